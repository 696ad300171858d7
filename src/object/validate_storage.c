/* Rules of volumes, claims, storage classes and CSI objects. */
#include "object/meta.h"
#include "object/path.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum { PARAMETERS_MAX = 512, PARAMETER_BYTES_MAX = 256 << 10, NODE_ID_MAX = 256 };

/* ---- access modes ---- */

/* ReadWriteOncePod allows no other mode beside it. */
static void access_modes(const struct rule_call *c)
{
    bool alone = false;
    json_each (it, c->value)
        alone |= slice_eq_str(json_string(it), "ReadWriteOncePod");
    if (alone && json_len(c->value) > 1)
        place_forbidden(c->v, c->at, "may not use ReadWriteOncePod with other access modes");
}

/* ---- PersistentVolume ---- */

static const char *const sources[] = {"gcePersistentDisk",
                                      "awsElasticBlockStore",
                                      "hostPath",
                                      "glusterfs",
                                      "nfs",
                                      "rbd",
                                      "iscsi",
                                      "cinder",
                                      "cephfs",
                                      "fc",
                                      "flocker",
                                      "flexVolume",
                                      "azureFile",
                                      "vsphereVolume",
                                      "quobyte",
                                      "azureDisk",
                                      "photonPersistentDisk",
                                      "portworxVolume",
                                      "scaleIO",
                                      "local",
                                      "storageos",
                                      "csi"};
enum { N_SOURCES = sizeof sources / sizeof *sources };

static void check_capacity(const struct rule_call *c)
{
    static const char *const known[] = {"storage", NULL};
    struct place at = place_member(c->at, "capacity");
    const struct json *capacity = json_get_str(c->value, "capacity");
    struct quantity q;
    if (json_len(capacity) && (json_len(capacity) > 1 || !json_get_str(capacity, "storage")))
        place_not_supported(c->v, &at, capacity, known);
    json_each (it, capacity) {
        struct place here = place_key(&at, it->key);
        if (quantity_from_json(it, &q) && q.nano <= 0)
            place_invalid(c->v, &here, it, "must be greater than zero");
    }
}

/* value: the spec. */
static void volume_spec(const struct rule_call *c)
{
    size_t n = 0;
    check_capacity(c);
    for (size_t i = 0; i < N_SOURCES; i++) {
        struct place here = place_member(c->at, sources[i]);
        if (json_get_str(c->value, sources[i]) && n++)
            place_forbidden(c->v, &here, "may not specify more than 1 volume type");
    }
    if (n == 0)
        place_required(c->v, c->at, "must specify a volume type");
    if (json_get_str(c->value, "hostPath") && slice_eq_str(json_path_string(c->value, "hostPath.path"), "/") &&
        slice_eq_str(json_path_string(c->value, "persistentVolumeReclaimPolicy"), "Recycle"))
        member_forbidden(c->v, c->at, "persistentVolumeReclaimPolicy",
                         "may not be 'recycle' for a hostPath mount of '/'");
    if (json_get_str(c->value, "local") && !json_path(c->value, "nodeAffinity.required"))
        member_required(c->v, c->at, json_new_object(c->v->a), "nodeAffinity");
}

/* value: the spec. */
static void volume_update(const struct rule_call *c)
{
    struct place affinity = place_member(c->at, "nodeAffinity");
    const struct json *had = json_get_str(c->old, "nodeAffinity");
    if (!c->update || !c->old)
        return;
    for (size_t i = 0; i < N_SOURCES; i++) {
        struct json *now = json_clone(c->v->a, json_get_str(c->value, sources[i]));
        struct json *before = json_clone(c->v->a, json_get_str(c->old, sources[i]));
        if (!json_get_str(before, "controllerExpandSecretRef"))
            json_del_str(now, "controllerExpandSecretRef");
        if (!(now || before) || json_equal(now, before))
            continue;
        place_forbidden(c->v, c->at, "spec.persistentvolumesource is immutable after creation");
        break;
    }
    if (had && !json_equal(had, json_get_str(c->value, "nodeAffinity")))
        place_invalid(c->v, &affinity, json_get_str(c->value, "nodeAffinity"), "field is immutable");
}

/* ---- PersistentVolumeClaim ---- */

static void check_data_source(const struct rule_call *c, const char *member)
{
    struct place at = place_member(c->at, member), group = place_member(&at, "apiGroup");
    const struct json *source = json_get_str(c->value, member);
    struct slice g = json_path_string(source, "apiGroup"), kind = json_path_string(source, "kind");
    if (source && g.n == 0 && kind.n && !slice_eq_str(kind, "PersistentVolumeClaim"))
        place_invalid(c->v, &at, json_get_str(source, "kind"),
                      "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    if (g.n)
        place_invalid(c->v, &group, json_get_str(source, "apiGroup"), validate_subdomain(g));
}

/* value: a claim's spec. */
static void claim_sources(const struct rule_call *c)
{
    const struct json *plain = json_get_str(c->value, "dataSource"), *ref = json_get_str(c->value, "dataSourceRef");
    struct place at = place_member(c->at, "dataSource");
    check_data_source(c, "dataSource");
    check_data_source(c, "dataSourceRef");
    if (ref && json_path_string(ref, "namespace").n) {
        if (plain)
            place_invalid(c->v, c->at, plain, "may not be specified when dataSourceRef.namespace is specified");
        return;
    }
    if (!plain || !ref)
        return;
    if (!slice_eq(json_path_string(plain, "kind"), json_path_string(ref, "kind")) ||
        !slice_eq(json_path_string(plain, "name"), json_path_string(ref, "name")) ||
        !slice_eq(json_path_string(plain, "apiGroup"), json_path_string(ref, "apiGroup")))
        place_invalid(c->v, &at, plain, "must match dataSourceRef");
}

/* ---- StorageClass and its like ---- */

static void parameters(const struct rule_call *c)
{
    size_t bytes = 0;
    if (json_len(c->value) > PARAMETERS_MAX)
        validation_too_long(c->v, "Provisioner Parameters Length", PARAMETERS_MAX);
    json_each (it, c->value) {
        if (it->key.n == 0)
            place_invalid(c->v, c->at, json_new_string(c->v->a, it->key), "field can not be empty.");
        bytes += it->key.n + json_string(it).n;
    }
    if (bytes > PARAMETER_BYTES_MAX)
        validation_too_long(c->v, place_path(c->v, c->at), PARAMETER_BYTES_MAX);
}

static void topologies(const struct rule_call *c)
{
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++), expressions = place_member(&here, "matchLabelExpressions");
        struct json *seen = json_new_object(c->v->a);
        size_t n = 0;
        const struct json *before = json_first(c->value);
        for (; before != it; before = before->next)
            if (json_equal(before, it)) {
                place_duplicate(c->v, &here, json_new_str(c->v->a, ""));
                break;
            }
        json_each (e, json_get_str(it, "matchLabelExpressions")) {
            struct place one = place_item(&expressions, n++), key = place_member(&one, "key");
            struct slice k = json_path_string(e, "key");
            place_invalid(c->v, &key, json_get_str(e, "key"), validate_qualified_name(k));
            if (json_get(seen, k))
                place_duplicate(c->v, &key, json_get_str(e, "key"));
            json_set(c->v->a, seen, k, json_new_null(c->v->a));
            if (json_len(json_get_str(e, "values")) == 0)
                member_required(c->v, &one, e, "values");
        }
    }
}

/* ---- CSI ---- */

static void token_requests(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++), audience = place_member(&here, "audience");
        struct place seconds = place_member(&here, "expirationSeconds");
        struct slice a = json_path_string(it, "audience");
        const struct json *n = json_get_str(it, "expirationSeconds");
        if (json_get(seen, a))
            place_duplicate(c->v, &audience, json_get_str(it, "audience"));
        json_set(c->v->a, seen, a, json_new_null(c->v->a));
        if (n && json_int(n, 0) < 600)
            place_invalid(c->v, &seconds, n, "may not specify a duration less than 10 minutes");
        if (n && json_int(n, 0) > INT64_C(1) << 32)
            place_invalid(c->v, &seconds, n, "may not specify a duration larger than 2^32 seconds");
    }
}

/* value: the drivers of a CSINode: one that is there keeps what it said. */
static void csi_node_drivers(const struct rule_call *c)
{
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++), topology = place_member(&here, "topologyKeys");
        struct json *seen = json_new_object(c->v->a);
        size_t n = 0;
        if (json_path_string(it, "nodeID").n > NODE_ID_MAX)
            member_invalid(c->v, &here, it, "nodeID", "must be 256 characters or less");
        json_each (key, json_get_str(it, "topologyKeys")) {
            struct place one = place_item(&topology, n++);
            place_invalid(c->v, &one, key, validate_qualified_name(json_string(key)));
            if (json_get(seen, json_string(key)))
                place_duplicate(c->v, &topology, key);
            json_set(c->v->a, seen, json_string(key), json_new_null(c->v->a));
        }
        json_each (before, c->update ? c->old : NULL) {
            if (!slice_eq(json_path_string(before, "name"), json_path_string(it, "name")))
                continue;
            struct json *x = json_clone(c->v->a, before), *y = json_clone(c->v->a, it);
            json_del_str(x, "allocatable");
            json_del_str(y, "allocatable");
            if (!json_equal(x, y))
                place_invalid(c->v, c->at, c->value, "field is immutable");
        }
    }
}

static void attachment_source(const struct rule_call *c)
{
    const struct json *name = json_get_str(c->value, "persistentVolumeName");
    const struct json *spec = json_get_str(c->value, "inlineVolumeSpec");
    if (!name && !spec)
        place_required(c->v, c->at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    if (name && spec)
        place_forbidden(c->v, c->at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    else if (name && is_blank(name))
        member_required(c->v, c->at, c->value, "persistentVolumeName");
}

static const struct rule_entry entries[] = {
    {"access_modes", access_modes},   {"attachment_source", attachment_source},
    {"claim_sources", claim_sources}, {"csi_node_drivers", csi_node_drivers},
    {"parameters", parameters},       {"token_requests", token_requests},
    {"topologies", topologies},       {"volume_spec", volume_spec},
    {"volume_update", volume_update},
};

const struct rule_table rules_storage = RULE_TABLE(entries);

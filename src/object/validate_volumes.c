/* Rules of a pod's volumes. */
#include "object/meta.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum { TOKEN_SECONDS_MIN = 600 };
#define TOKEN_SECONDS_MAX (INT64_C(1) << 32)

/* ---- items of ConfigMaps, Secrets and the downward API ---- */

/* A file's path below the volume: relative, no "..", and not the start of our own names. */
static void file_path(const struct rule_call *c)
{
    struct slice s = json_string(c->value);
    if (s.n == 0)
        return;
    if (s.p[0] == '/')
        place_invalid(c->v, c->at, c->value, "must be a relative path");
    rule_find("no-backsteps")(c);
    if (slice_starts(s, SLICE("..")) && !slice_eq_str(s, "..") && !slice_starts(s, SLICE("../")))
        place_invalid(c->v, c->at, c->value, "must not start with '..'");
}

/* value: a file of the downward API. */
static void downward_file(const struct rule_call *c)
{
    static const char *const members[] = {"fieldRef", "resourceFieldRef"};
    size_t n = members_given(c->value, members, 2);
    struct place ref = place_member(c->at, "resourceFieldRef");
    if (n == 0)
        place_required(c->v, c->at, "one of fieldRef and resourceFieldRef is required");
    else if (n > 1)
        place_invalid(c->v, c->at, json_new_str(c->v->a, "resource"),
                      "fieldRef and resourceFieldRef can not be specified simultaneously");
    if (json_get_str(c->value, "resourceFieldRef"))
        member_required(c->v, &ref, json_get_str(c->value, "resourceFieldRef"), "containerName");
}

/* ---- projections ---- */

/* whose: the source's name, or the path itself where it has none. */
static void note_path(const struct rule_call *c, struct json *seen, const struct json *path, const struct json *whose)
{
    struct slice s = json_string(path);
    if (s.n == 0)
        return;
    if (json_get(seen, s))
        place_invalid(c->v, c->at, whose ? whose : path, "conflicting duplicate paths");
    else
        json_set(c->v->a, seen, s, json_new_null(c->v->a));
}

static void check_token(const struct rule_call *c, const struct json *token, const struct place *at)
{
    struct place seconds = place_member(at, "expirationSeconds");
    const struct json *n = json_get_str(token, "expirationSeconds");
    if (json_int(n, TOKEN_SECONDS_MIN) < TOKEN_SECONDS_MIN)
        place_invalid(c->v, &seconds, n, "may not specify a duration less than 10 minutes");
    if (json_int(n, 0) > TOKEN_SECONDS_MAX)
        place_invalid(c->v, &seconds, n, "may not specify a duration larger than 2^32 seconds");
}

/* value: a projected volume. */
static void projected_sources(const struct rule_call *c)
{
    static const char *const kinds[] = {
        "secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"};
    struct place list = place_member(c->at, "sources");
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, json_get_str(c->value, "sources")) {
        struct place here = place_item(&list, i++), token = place_member(&here, "serviceAccountToken");
        if (members_given(it, kinds, sizeof kinds / sizeof *kinds) > 1)
            place_forbidden(c->v, &here, "may not specify more than 1 volume type per source");
        if (json_get_str(it, "serviceAccountToken"))
            check_token(c, json_get_str(it, "serviceAccountToken"), &token);
        note_path(c, seen, json_path(it, "serviceAccountToken.path"), NULL);
        for (size_t k = 0; k < 3; k++) {
            const struct json *source = json_get_str(it, kinds[k]);
            json_each (file, json_get_str(source, "items"))
                note_path(c, seen, json_get_str(file, "path"), json_get_str(source, "name"));
        }
    }
}

/* Whose token, where the pod has no account? value: a pod's spec. */
static void token_needs_account(const struct rule_call *c)
{
    struct place volumes = place_member(c->at, "volumes");
    size_t i = 0;
    if (c->update || json_path_string(c->value, "serviceAccountName").n || !slice_eq_str(meta_kind(c->root), "Pod"))
        return;
    json_each (it, json_get_str(c->value, "volumes")) {
        struct place one = place_item(&volumes, i++), projected = place_member(&one, "projected");
        struct place sources = place_member(&projected, "sources");
        size_t n = 0;
        json_each (source, json_path(it, "projected.sources")) {
            struct place here = place_item(&sources, n++);
            if (json_get_str(source, "serviceAccountToken"))
                member_forbidden(c->v, &here, "serviceAccountToken",
                                 "must not be specified when serviceAccountName is not set");
        }
    }
}

/* value: an image's volume. Only templates may leave the image to somebody else. */
static void image_volume(const struct rule_call *c)
{
    if (slice_eq_str(meta_kind(c->root), "Pod"))
        member_required(c->v, c->at, c->value, "reference");
}

static void size_limit(const struct rule_call *c)
{
    struct quantity q;
    if (quantity_from_json(c->value, &q) && q.nano < 0)
        place_forbidden(c->v, c->at, "SizeLimit field must be a valid resource quantity");
}

/* ---- names of claims ---- */

/* value: a pod's spec: an ephemeral volume makes a claim called POD-VOLUME, which no other volume may name. */
static void ephemeral_claims(const struct rule_call *c)
{
    struct place volumes = place_member(c->at, "volumes");
    struct slice pod = meta_name(c->root);
    struct json *made = json_new_object(c->v->a);
    size_t i = 0;
    if (!slice_eq_str(meta_kind(c->root), "Pod") || pod.n == 0)
        return;
    json_each (it, json_get_str(c->value, "volumes")) {
        struct place here = place_item(&volumes, i++), name = place_member(&here, "name");
        const char *claim = arena_printf(c->v->a, "%" SLICE_FMT "-%" SLICE_FMT, SLICE_ARG(pod),
                                         SLICE_ARG(json_path_string(it, "name")));
        if (!json_get_str(it, "ephemeral"))
            continue;
        const char *why = validate_subdomain(slice_str(claim));
        if (why)
            place_invalid(c->v, &name, json_get_str(it, "name"),
                          arena_printf(c->v->a, "PVC name \"%s\": %s", claim, why));
        json_set(c->v->a, made, slice_str(claim), json_new_null(c->v->a));
    }
    i = 0;
    json_each (it, json_get_str(c->value, "volumes")) {
        struct place one = place_item(&volumes, i++), source = place_member(&one, "persistentVolumeClaim");
        struct slice claim = json_path_string(it, "persistentVolumeClaim.claimName");
        if (claim.n && json_get(made, claim))
            member_invalid(c->v, &source, json_get_str(it, "persistentVolumeClaim"), "claimName",
                           "must not reference a PVC that gets created for an ephemeral volume");
    }
}

/* ---- block devices ---- */

static const struct json *volume_named(const struct json *spec, struct slice name)
{
    json_each (it, json_get_str(spec, "volumes"))
        if (slice_eq(json_path_string(it, "name"), name))
            return it;
    return NULL;
}

static bool has_backsteps(struct slice path)
{
    struct slice part;
    while (path.n) {
        slice_cut(path, '/', &part, &path);
        if (slice_eq_str(part, ".."))
            return true;
    }
    return false;
}

static void check_devices(const struct rule_call *c, const struct json *container, const struct place *at)
{
    struct place list = place_member(at, "volumeDevices");
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, json_get_str(container, "volumeDevices")) {
        struct place here = place_item(&list, i++);
        struct slice path = json_path_string(it, "devicePath");
        const struct json *volume = volume_named(c->value, json_path_string(it, "name"));
        if (volume && !json_get_str(volume, "persistentVolumeClaim") && !json_get_str(volume, "ephemeral"))
            member_invalid(c->v, &here, it, "name",
                           "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
        if (json_get(seen, json_path_string(it, "name")))
            member_invalid(c->v, &here, it, "name", "must be unique");
        json_set(c->v->a, seen, json_path_string(it, "name"), json_new_null(c->v->a));
        if (has_backsteps(path))
            member_invalid(c->v, &here, it, "devicePath", "can not contain backsteps ('..')");
        json_each (mount, json_get_str(container, "volumeMounts")) {
            if (slice_eq(json_path_string(mount, "name"), json_path_string(it, "name")))
                member_invalid(c->v, &here, it, "name", "must not already exist in volumeMounts");
            if (path.n && slice_eq(json_path_string(mount, "mountPath"), path))
                member_invalid(c->v, &here, it, "devicePath", "must not already exist as a path in volumeMounts");
        }
    }
}

/* value: a pod's spec. */
static void block_devices(const struct rule_call *c)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t l = 0; l < 2; l++) {
        struct place list = place_member(c->at, lists[l]);
        size_t i = 0;
        json_each (it, json_get_str(c->value, lists[l])) {
            struct place here = place_item(&list, i++);
            check_devices(c, it, &here);
        }
    }
}

static const struct rule_entry entries[] = {
    {"block_devices", block_devices},
    {"downward_file", downward_file},
    {"ephemeral_claims", ephemeral_claims},
    {"file_path", file_path},
    {"image_volume", image_volume},
    {"projected_sources", projected_sources},
    {"size_limit", size_limit},
    {"token_needs_account", token_needs_account},
};

const struct rule_table rules_volumes = RULE_TABLE(entries);

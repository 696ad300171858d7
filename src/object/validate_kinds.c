/* Rules of single kinds: services, configuration, claims, RBAC, ingresses and others. */
#include "base/text.h"
#include "object/intstr.h"
#include "object/meta.h"
#include "object/path.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum { CONFIG_MAX = 1 << 20, CONFIG_KEY_MAX = 253 };

/* ---- services ---- */

static bool is_type(const struct json *spec, const char *type)
{
    return slice_eq_str(json_path_string(spec, "type"), type);
}

static bool is_headless(const struct json *spec)
{
    return slice_eq_str(json_path_string(spec, "clusterIP"), "None");
}

/* No two ports of one protocol have the same number, nor the same node port. */
static void check_port_pairs(const struct rule_call *c, const struct place *list)
{
    static const char *const numbers[] = {"port", "nodePort"};
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, json_get_str(c->value, "ports")) {
        struct place here = place_item(list, i++), node = place_member(&here, "nodePort");
        for (size_t n = 0; n < 2; n++) {
            const struct json *number = json_get_str(it, numbers[n]);
            const char *key = arena_printf(c->v->a, "%zu%" SLICE_FMT "/%lld", n,
                                           SLICE_ARG(json_path_string(it, "protocol")), (long long)json_int(number, 0));
            if (json_int(number, 0) && json_get_str(seen, key))
                place_duplicate(c->v, n ? &node : &here, n ? number : it);
            else
                json_set(c->v->a, seen, slice_str(key), json_new_null(c->v->a));
        }
    }
}

static void check_port_names(const struct rule_call *c, const struct place *list)
{
    const struct json *ports = json_get_str(c->value, "ports");
    struct rule_call names = *c;
    size_t i = 0;
    json_each (it, ports) {
        struct place item = place_item(list, i++), here = place_member(&item, "name");
        if (json_len(ports) > 1 && json_path_string(it, "name").n == 0)
            place_required(c->v, &here, NULL);
        struct place node = place_member(&item, "nodePort");
        if (is_type(c->value, "ClusterIP") && json_int(json_get_str(it, "nodePort"), 0))
            place_forbidden(c->v, &node, "may not be used when `type` is 'ClusterIP'");
    }
    names.at = list;
    names.value = ports;
    names.argument = "name";
    rule_find("unique")(&names);
}

static void check_external_name(const struct rule_call *c)
{
    static const char *const unused[] = {"clusterIPs", "ipFamilies", "ipFamilyPolicy"};
    struct place at = place_member(c->at, "externalName");
    struct slice name = json_path_string(c->value, "externalName");
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0)
        place_required(c->v, &at, NULL);
    else
        place_invalid(c->v, &at, json_get_str(c->value, "externalName"), validate_subdomain(name));
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++) {
        struct place here = place_member(c->at, unused[i]);
        bool single = i == 0 && !is_blank(json_get_str(c->value, "clusterIP"));
        if (single || !is_blank(json_get_str(c->value, unused[i])))
            place_forbidden(c->v, &here, "may not be set when `type` is 'ExternalName'");
    }
}

static void check_traffic(const struct rule_call *c)
{
    static const char *const balancer_only[] = {"loadBalancerClass", "allocateLoadBalancerNodePorts",
                                                "loadBalancerSourceRanges"};
    struct place policy = place_member(c->at, "externalTrafficPolicy");
    bool external = is_type(c->value, "NodePort") || is_type(c->value, "LoadBalancer") ||
                    json_len(json_get_str(c->value, "externalIPs"));
    if (!external && !is_blank(json_get_str(c->value, "externalTrafficPolicy")))
        place_invalid(c->v, &policy, json_get_str(c->value, "externalTrafficPolicy"),
                      "may only be set for externally-accessible services");
    for (size_t i = 0; i < sizeof balancer_only / sizeof *balancer_only && !is_type(c->value, "LoadBalancer"); i++) {
        struct place here = place_member(c->at, balancer_only[i]);
        if (!is_blank(json_get_str(c->value, balancer_only[i])))
            place_forbidden(c->v, &here, "may only be used when `type` is 'LoadBalancer'");
    }
}

/* value: the spec. */
static void service(const struct rule_call *c)
{
    struct place ports = place_member(c->at, "ports"), ip = place_member(c->at, "clusterIPs");
    struct place first = place_item(&ip, 0);
    bool named = is_type(c->value, "ExternalName");
    if (json_len(json_get_str(c->value, "ports")) == 0 && !is_headless(c->value) && !named)
        place_required(c->v, &ports, NULL);
    if (named)
        check_external_name(c);
    if (is_headless(c->value) && (is_type(c->value, "NodePort") || is_type(c->value, "LoadBalancer")))
        place_invalid(c->v, &first, json_new_str(c->v->a, "None"),
                      arena_printf(c->v->a, "may not be set to 'None' for %" SLICE_FMT " services",
                                   SLICE_ARG(json_path_string(c->value, "type"))));
    check_port_names(c, &ports);
    check_port_pairs(c, &ports);
    check_traffic(c);
}

static void service_ip_update(const struct rule_call *c)
{
    struct place spec = *c->at->up, list = place_member(&spec, "clusterIPs"), here = place_item(&list, 0);
    bool named = is_type(json_get_str(c->root, "spec"), "ExternalName");
    if (c->update && !is_blank(c->old) && !named && !json_equal(c->value, c->old))
        place_invalid(c->v, &here, c->value, "may not change once set");
}

/* ---- ConfigMap, Secret ---- */

static const char *config_key(struct slice key)
{
    if (key.n > CONFIG_KEY_MAX)
        return "must be no more than 253 bytes";
    if (slice_eq_str(key, "."))
        return "must not be '.'";
    if (slice_eq_str(key, ".."))
        return "must not be '..'";
    if (slice_starts(key, SLICE("..")))
        return "must not start with '..'";
    bool fine = key.n > 0;
    for (size_t i = 0; i < key.n; i++) {
        char ch = key.p[i], low = (char)(ch | 0x20);
        fine &= (low >= 'a' && low <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || ch == '.';
    }
    return fine ? NULL
                : "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                  "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
}

/* Checks the keys and returns how many bytes the values take (base64 ones: decoded). */
static size_t check_keys(const struct rule_call *c, const char *member, bool base64)
{
    struct place list = place_member(c->at, member);
    size_t total = 0;
    json_each (it, json_get_str(c->value, member)) {
        struct place here = place_key(&list, it->key);
        place_invalid(c->v, &here, json_new_string(c->v->a, it->key), config_key(it->key));
        total += base64 ? json_string(it).n / 4 * 3 : json_string(it).n;
    }
    return total;
}

static void check_frozen(const struct rule_call *c, const char *const *members, size_t n)
{
    struct place flag = place_member(c->at, "immutable");
    if (!c->update || !json_bool(json_get_str(c->old, "immutable"), false))
        return;
    if (!json_bool(json_get_str(c->value, "immutable"), false))
        place_forbidden(c->v, &flag, "field is immutable when `immutable` is set");
    for (size_t i = 0; i < n; i++) {
        struct place here = place_member(c->at, members[i]);
        const struct json *now = json_get_str(c->value, members[i]), *before = json_get_str(c->old, members[i]);
        if (!(is_blank(now) && is_blank(before)) && !json_equal(now, before))
            place_forbidden(c->v, &here, "field is immutable when `immutable` is set");
    }
}

static void config_map(const struct rule_call *c)
{
    static const char *const members[] = {"data", "binaryData"};
    size_t total = check_keys(c, "data", false) + check_keys(c, "binaryData", true);
    struct place data = place_member(c->at, "data");
    json_each (it, json_get_str(c->value, "data")) {
        struct place here = place_key(&data, it->key);
        if (json_get(json_get_str(c->value, "binaryData"), it->key))
            place_invalid(c->v, &here, json_new_string(c->v->a, it->key), "duplicate of key present in binaryData");
    }
    if (total > CONFIG_MAX)
        validation_too_long(c->v, "", CONFIG_MAX);
    check_frozen(c, members, 2);
}

/* A client's configuration must be JSON; what it says is nobody's business. */
static void check_json(const struct rule_call *c, const struct place *at, const struct json *encoded)
{
    struct buf text = BUF_INIT(2 << 20);
    const char *why = NULL;
    if (base64_decode(&text, json_string(encoded)) == 0) {
        struct json *v = json_parse(c->v->a, buf_slice(&text), NULL, NULL, NULL);
        if (!text.n)
            why = "unexpected end of JSON input";
        else if (!v)
            why = arena_printf(c->v->a, "invalid character '%c' looking for beginning of value", buf_slice(&text).p[0]);
        else if (v->type != JSON_OBJECT)
            why = "json: cannot unmarshal into Go value of type map[string]interface {}";
    }
    buf_done(&text);
    place_invalid(c->v, at, json_new_str(c->v->a, "<secret contents redacted>"), why);
}

static void check_secret_keys(const struct rule_call *c)
{
    static const struct {
        const char *type, *keys[2];
    } needed[] = {
        {"kubernetes.io/dockercfg", {".dockercfg", NULL}},
        {"kubernetes.io/dockerconfigjson", {".dockerconfigjson", NULL}},
        {"kubernetes.io/ssh-auth", {"ssh-privatekey", NULL}},
        {"kubernetes.io/tls", {"tls.crt", "tls.key"}},
    };
    struct place data = place_member(c->at, "data");
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        for (size_t k = 0; k < 2 && needed[i].keys[k] && is_type(c->value, needed[i].type); k++) {
            struct place here = place_key(&data, slice_str(needed[i].keys[k]));
            const struct json *text = json_get_str(json_get_str(c->value, "data"), needed[i].keys[k]);
            if (!text)
                place_required(c->v, &here, NULL);
            else if (slice_starts(slice_str(needed[i].keys[k]), SLICE(".docker")))
                check_json(c, &here, text);
        }
    }
}

static void secret(const struct rule_call *c)
{
    static const char *const members[] = {"data"};
    const struct json *data = json_get_str(c->value, "data");
    struct place meta = place_member(c->at, "metadata"), notes = place_member(&meta, "annotations");
    struct place account = place_key(&notes, SLICE("kubernetes.io/service-account.name"));
    struct place list = place_member(c->at, "data"), user = place_key(&list, SLICE("username"));
    if (check_keys(c, "data", true) > CONFIG_MAX)
        validation_too_long(c->v, "data", CONFIG_MAX);
    check_secret_keys(c);
    if (is_type(c->value, "kubernetes.io/service-account-token") && meta_annotation(c->value, account.name).n == 0)
        place_required(c->v, &account, NULL);
    if (is_type(c->value, "kubernetes.io/basic-auth") && !json_get_str(data, "username") &&
        !json_get_str(data, "password"))
        place_required(c->v, &user, NULL);
    check_frozen(c, members, 1);
}

/* ---- claims ---- */

static void claim(const struct rule_call *c)
{
    struct place resources = place_member(c->at, "resources"), here = place_key(&resources, SLICE("storage"));
    const struct json *storage = json_path(c->value, "resources.requests.storage");
    struct quantity q;
    if (!storage)
        place_required(c->v, &here, NULL);
    else if (quantity_from_json(storage, &q) && q.nano <= 0)
        place_invalid(c->v, &here, storage, "must be greater than zero");
}

static void claim_update(const struct rule_call *c)
{
    struct arena *a = c->v->a;
    struct json *copy = json_clone(a, c->value);
    bool bound = slice_eq_str(json_path_string(c->root, "status.phase"), "Bound");
    if (!c->update || !c->old)
        return;
    if (is_blank(json_get_str(c->old, "volumeName")))
        json_del_str(copy, "volumeName");
    if (!json_get_str(c->old, "storageClassName"))
        json_del_str(copy, "storageClassName");
    if (bound) {
        path_set(a, copy, SLICE("resources.requests"), json_clone(a, json_path(c->old, "resources.requests")));
        json_del_str(copy, "volumeAttributesClassName");
        json_set_str(a, copy, "volumeAttributesClassName",
                     json_clone(a, json_get_str(c->old, "volumeAttributesClassName")));
    }
    if (!json_equal(copy, c->old))
        place_forbidden(c->v, c->at,
                        "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
                        "bound claims");
}

/* ---- RBAC ---- */

static void policy_rule(const struct rule_call *c)
{
    struct place groups = place_member(c->at, "apiGroups"), resources = place_member(c->at, "resources");
    struct place urls = place_member(c->at, "nonResourceURLs");
    const struct json *u = json_get_str(c->value, "nonResourceURLs");
    bool any = json_len(json_get_str(c->value, "apiGroups")) || json_len(json_get_str(c->value, "resources"));
    if (json_len(u)) {
        if (slice_eq_str(meta_kind(c->root), "Role"))
            place_invalid(c->v, &urls, u, "namespaced rules cannot apply to non-resource URLs");
        if (any)
            place_invalid(c->v, &urls, u, "rules cannot apply to both regular resources and non-resource URLs");
        return;
    }
    if (json_len(json_get_str(c->value, "apiGroups")) == 0)
        place_required(c->v, &groups, "resource rules must supply at least one api group");
    if (json_len(json_get_str(c->value, "resources")) == 0)
        place_required(c->v, &resources, "resource rules must supply at least one resource");
}

static void subject(const struct rule_call *c)
{
    static const char *const kinds[] = {"ServiceAccount", "User", "Group", NULL};
    static const char *const rbac[] = {"rbac.authorization.k8s.io", NULL}, *const none[] = {"", NULL};
    struct place kind = place_member(c->at, "kind"), group = place_member(c->at, "apiGroup");
    struct place name = place_member(c->at, "name");
    struct slice k = json_path_string(c->value, "kind"), g = json_path_string(c->value, "apiGroup");
    bool account = slice_eq_str(k, "ServiceAccount"), person = slice_eq_str(k, "User") || slice_eq_str(k, "Group");
    if (k.n && !account && !person)
        place_not_supported(c->v, &kind, json_get_str(c->value, "kind"), kinds);
    if ((account && g.n) || (person && !slice_eq_str(g, rbac[0])))
        place_not_supported(c->v, &group, json_new_string(c->v->a, g), account ? none : rbac);
    if (account && json_path_string(c->value, "name").n)
        place_invalid(c->v, &name, json_get_str(c->value, "name"),
                      validate_subdomain(json_path_string(c->value, "name")));
}

static void subjects_have_namespace(const struct rule_call *c)
{
    size_t i = 0;
    json_each (it, c->value) {
        struct place item = place_item(c->at, i++), here = place_member(&item, "namespace");
        if (slice_eq_str(json_path_string(it, "kind"), "ServiceAccount") && json_path_string(it, "namespace").n == 0)
            place_required(c->v, &here, NULL);
    }
}

/* ---- others ---- */

static void ingress(const struct rule_call *c)
{
    if (!json_get_str(c->value, "defaultBackend") && json_len(json_get_str(c->value, "rules")) == 0)
        place_invalid(c->v, c->at, c->value, "either `defaultBackend` or `rules` must be specified");
}

static void hpa(const struct rule_call *c)
{
    struct place here = place_member(c->at, "maxReplicas");
    const struct json *max = json_get_str(c->value, "maxReplicas"), *min = json_get_str(c->value, "minReplicas");
    if (max && min && json_int(max, 0) < json_int(min, 0))
        place_invalid(c->v, &here, max, "must be greater than or equal to `minReplicas`");
}

static void pdb(const struct rule_call *c)
{
    static const char *const members[] = {"minAvailable", "maxUnavailable"};
    int64_t percent;
    if (json_get_str(c->value, members[0]) && json_get_str(c->value, members[1]))
        place_invalid(c->v, c->at, c->value, "minAvailable and maxUnavailable cannot be both set");
    for (size_t i = 0; i < 2; i++) {
        struct place here = place_member(c->at, members[i]);
        const struct json *v = json_get_str(c->value, members[i]);
        if (v && intstr_is_percent(v, &percent) && percent > 100)
            place_invalid(c->v, &here, v, "must not be greater than 100%");
    }
}

/* An aggregated role says which roles it is made of. */
static void aggregation(const struct rule_call *c)
{
    struct place here = place_member(c->at, "clusterRoleSelectors");
    if (c->value && json_len(json_get_str(c->value, "clusterRoleSelectors")) == 0)
        place_required(c->v, &here, "at least one clusterRoleSelector required if aggregationRule is non-nil");
}

/* value: the status of a Namespace: Terminating exactly while it is being deleted. */
static void namespace_status(const struct rule_call *c)
{
    struct slice phase = json_path_string(c->value, "phase");
    if (meta_is_deleting(c->root) && !slice_eq_str(phase, "Terminating"))
        member_invalid(c->v, c->at, c->value, "phase", "may only be 'Terminating' if `deletionTimestamp` is not empty");
    else if (!meta_is_deleting(c->root) && phase.n && !slice_eq_str(phase, "Active"))
        member_invalid(c->v, c->at, c->value, "phase", "may only be 'Active' if `deletionTimestamp` is empty");
}

static void finalizers(const struct rule_call *c)
{
    json_each (it, c->value)
        place_invalid(c->v, c->at, it, validate_finalizer(json_string(it)));
}

static void finalizer(const struct rule_call *c)
{
    place_invalid(c->v, c->at, c->value, validate_finalizer(json_string(c->value)));
}

static void config_key_rule(const struct rule_call *c)
{
    if (!is_blank(c->value))
        place_invalid(c->v, c->at, c->value, config_key(json_string(c->value)));
}

static void priority_class(const struct rule_call *c)
{
    static const int64_t user_max = 1000000000, cluster = 2000000000, node = 2000001000;
    struct slice name = meta_name(c->value);
    struct place at = place_member(c->at, "value"), meta = place_member(c->at, "metadata");
    struct place here = place_member(&meta, "name");
    int64_t value = json_int(json_get_str(c->value, "value"), 0);
    bool known = (slice_eq_str(name, "system-cluster-critical") && value == cluster) ||
                 (slice_eq_str(name, "system-node-critical") && value == node);
    if (known)
        return;
    if (slice_starts(name, SLICE("system-")))
        place_forbidden(c->v, &here,
                        "priority class names with 'system-' prefix are reserved for system use only. error: priority "
                        "class name is not a known name or its value differs");
    else if (value > user_max)
        place_forbidden(c->v, &at, "maximum allowed value of a user defined priority is 1000000000");
}

static void crd_versions(const struct rule_call *c)
{
    struct place spec = place_member(c->at, "spec"), list = place_member(&spec, "versions");
    const struct json *versions = json_path(c->value, "spec.versions");
    size_t stored = 0, i = 0;
    json_each (it, versions) {
        struct place item = place_item(&list, i++), schema = place_member(&item, "schema");
        struct place here = place_member(&schema, "openAPIV3Schema");
        stored += json_bool(json_get_str(it, "storage"), false);
        if (!json_path(it, "schema.openAPIV3Schema"))
            place_required(c->v, &here, "schemas are required");
    }
    if (json_len(versions) && stored != 1)
        place_invalid(c->v, &list, versions, "must have exactly one version marked as storage version");
}

static void crd(const struct rule_call *c)
{
    struct place meta = place_member(c->at, "metadata"), here = place_member(&meta, "name");
    const char *name =
        arena_printf(c->v->a, "%" SLICE_FMT ".%" SLICE_FMT, SLICE_ARG(json_path_string(c->value, "spec.names.plural")),
                     SLICE_ARG(json_path_string(c->value, "spec.group")));
    if (!slice_eq_str(meta_name(c->value), name))
        place_invalid(c->v, &here, json_path(c->value, "metadata.name"), "must be spec.names.plural+\".\"+spec.group");
    crd_versions(c);
}

static const struct rule_entry entries[] = {
    {"aggregation", aggregation},
    {"claim", claim},
    {"claim_update", claim_update},
    {"config-key", config_key_rule},
    {"config_map", config_map},
    {"crd", crd},
    {"finalizer", finalizer},
    {"finalizers", finalizers},
    {"hpa", hpa},
    {"ingress", ingress},
    {"namespace_status", namespace_status},
    {"pdb", pdb},
    {"policy_rule", policy_rule},
    {"priority_class", priority_class},
    {"secret", secret},
    {"service", service},
    {"service_ip_update", service_ip_update},
    {"subject", subject},
    {"subjects_have_namespace", subjects_have_namespace},
};

const struct rule_table rules_kinds = RULE_TABLE(entries);

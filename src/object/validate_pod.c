/* Rules of pods and pod templates. */
#include "object/intstr.h"
#include "object/meta.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum { NAMESERVERS_MAX = 3 };

static const char *const container_lists[] = {"containers", "initContainers", "ephemeralContainers"};
enum { N_LISTS = sizeof container_lists / sizeof *container_lists };

static struct slice name_of(const struct json *v)
{
    return json_path_string(v, "name");
}

/* ---- names and volumes ---- */

static void pod_names(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    for (size_t l = 0; l < N_LISTS; l++) {
        struct place list = place_member(c->at, container_lists[l]);
        size_t i = 0;
        json_each (it, json_get_str(c->value, container_lists[l])) {
            struct place item = place_item(&list, i++), here = place_member(&item, "name");
            struct slice name = name_of(it);
            if (name.n && json_get(seen, name))
                place_duplicate(c->v, &here, json_get_str(it, "name"));
            else if (name.n)
                json_set(c->v->a, seen, name, json_new_null(c->v->a));
        }
    }
}

static void check_mounts(const struct rule_call *c, const struct json *names, const struct json *container,
                         const struct place *at, const char *member)
{
    struct place list = place_member(at, member);
    size_t i = 0;
    json_each (it, json_get_str(container, member)) {
        struct place item = place_item(&list, i++), here = place_member(&item, "name");
        if (name_of(it).n && !json_get(names, name_of(it)))
            validation_not_found(c->v, place_path(c->v, &here), json_get_str(it, "name"));
    }
}

static void check_file_keys(const struct rule_call *c, const struct json *names, const struct json *container,
                            const struct place *at)
{
    struct place list = place_member(at, "env");
    size_t i = 0;
    json_each (it, json_get_str(container, "env")) {
        struct place here = place_item(&list, i++), from = place_member(&here, "valueFrom");
        struct place ref = place_member(&from, "fileKeyRef"), volume = place_member(&ref, "volumeName");
        const struct json *name = json_path(it, "valueFrom.fileKeyRef.volumeName");
        if (json_string(name).n && !json_get(names, json_string(name)))
            validation_not_found(c->v, place_path(c->v, &volume), name);
    }
}

/* Mounts name volumes there are; those of a StatefulSet's claim templates count. */
static void pod_volumes(const struct rule_call *c)
{
    struct json *names = json_new_object(c->v->a);
    json_each (it, json_get_str(c->value, "volumes"))
        json_set(c->v->a, names, name_of(it), json_new_null(c->v->a));
    json_each (it, json_path(c->root, "spec.volumeClaimTemplates"))
        json_set(c->v->a, names, meta_name(it), json_new_null(c->v->a));
    for (size_t l = 0; l < N_LISTS; l++) {
        struct place list = place_member(c->at, container_lists[l]);
        size_t i = 0;
        json_each (it, json_get_str(c->value, container_lists[l])) {
            struct place here = place_item(&list, i++);
            check_mounts(c, names, it, &here, "volumeMounts");
            check_mounts(c, names, it, &here, "volumeDevices");
            check_file_keys(c, names, it, &here);
        }
    }
}

/* Of more than one source the first is right: emptyDir before all others. */
static void volume_source(const struct rule_call *c)
{
    size_t n = json_get_str(c->value, "emptyDir") != NULL;
    json_each (it, c->value) {
        struct place here = {.up = c->at, .name = it->key};
        if (slice_eq_str(it->key, "name") || slice_eq_str(it->key, "emptyDir") || it->type == JSON_NULL)
            continue;
        if (++n > 1)
            place_forbidden(c->v, &here, "may not specify more than 1 volume type");
    }
    if (n == 0)
        place_required(c->v, c->at, "must specify a volume type");
}

/* ---- the pod ---- */

static void check_host_ports(const struct rule_call *c, const struct json *container, const struct place *at)
{
    struct place list = place_member(at, "ports");
    size_t i = 0;
    json_each (it, json_get_str(container, "ports")) {
        struct place item = place_item(&list, i++), here = place_member(&item, "hostPort");
        int64_t host = json_int(json_get_str(it, "hostPort"), 0);
        if (host && host != json_int(json_get_str(it, "containerPort"), 0))
            place_invalid(c->v, &here, json_get_str(it, "hostPort"),
                          "must match `containerPort` when `hostNetwork` is true");
    }
}

static void pod_host(const struct rule_call *c)
{
    static const char *const shared[] = {"hostNetwork", "hostPID", "hostIPC"};
    bool own_users = !json_bool(json_get_str(c->value, "hostUsers"), true);
    for (size_t i = 0; i < 3 && own_users; i++) {
        struct place here = place_member(c->at, shared[i]);
        if (json_bool(json_get_str(c->value, shared[i]), false))
            place_forbidden(c->v, &here, "when `hostUsers` is false");
    }
    for (size_t l = 0; l < 2 && json_bool(json_get_str(c->value, "hostNetwork"), false); l++) {
        struct place list = place_member(c->at, container_lists[l]);
        size_t i = 0;
        json_each (it, json_get_str(c->value, container_lists[l])) {
            struct place here = place_item(&list, i++);
            check_host_ports(c, it, &here);
        }
    }
    if (slice_eq_str(json_path_string(c->value, "dnsPolicy"), "None") &&
        json_len(json_path(c->value, "dnsConfig.nameservers")) == 0) {
        struct place config = place_member(c->at, "dnsConfig"), here = place_member(&config, "nameservers");
        if (json_get_str(c->value, "dnsConfig"))
            place_required(c->v, &here, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        else
            place_required(c->v, &config, "must provide `dnsConfig` when `dnsPolicy` is None");
    }
}

static void pod_dns(const struct rule_call *c)
{
    rule_function *ip = rule_find("ip");
    size_t i = 0;
    if (json_len(c->value) > NAMESERVERS_MAX)
        place_invalid(c->v, c->at, c->value,
                      arena_printf(c->v->a, "must not have more than %d nameservers", NAMESERVERS_MAX));
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++);
        struct rule_call one = {.v = c->v, .at = &here, .value = it, .argument = ""};
        ip(&one);
    }
}

static void pod_create(const struct rule_call *c)
{
    struct place spec = place_member(c->at, "spec"), ephemeral = place_member(&spec, "ephemeralContainers");
    struct place node = place_member(&spec, "nodeName");
    if (c->update)
        return;
    if (json_len(json_path(c->value, "spec.ephemeralContainers")))
        place_forbidden(c->v, &ephemeral, "cannot be set on create");
    if (json_path_string(c->value, "spec.nodeName").n && json_len(json_path(c->value, "spec.schedulingGates")))
        place_forbidden(c->v, &node, "cannot be set until all schedulingGates have been cleared");
}

/* ---- updates ---- */

/* Gives the containers of spec the images that old ones have, so that what is left can be compared. */
static void take_images(struct arena *a, struct json *spec, const struct json *old, const char *list)
{
    const struct json *before = json_first(json_get_str(old, list));
    json_each (it, json_get_str(spec, list)) {
        if (before)
            json_set_str(a, it, "image", json_clone(a, json_get_str(before, "image")));
        before = before ? before->next : NULL;
    }
}

static void take_member(struct arena *a, struct json *spec, const struct json *old, const char *member)
{
    const struct json *before = json_get_str(old, member);
    if (before)
        json_set_str(a, spec, member, json_clone(a, before));
    else
        json_del_str(spec, member);
}

static bool same_toleration(struct arena *a, const struct json *x, const struct json *y)
{
    struct json *p = json_clone(a, x), *q = json_clone(a, y);
    json_del_str(p, "tolerationSeconds");
    json_del_str(q, "tolerationSeconds");
    return json_equal(p, q);
}

static void check_tolerations(const struct rule_call *c)
{
    struct place at = place_member(c->at, "tolerations");
    json_each (before, json_get_str(c->old, "tolerations")) {
        bool found = false;
        json_each (it, json_get_str(c->value, "tolerations"))
            found |= same_toleration(c->v->a, it, before);
        if (!found) {
            place_forbidden(c->v, &at, "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

static void check_gates(const struct rule_call *c)
{
    struct place at = place_member(c->at, "schedulingGates");
    json_each (it, json_get_str(c->value, "schedulingGates")) {
        bool found = false;
        json_each (before, json_get_str(c->old, "schedulingGates"))
            found |= slice_eq(name_of(it), name_of(before));
        if (!found)
            place_forbidden(c->v, &at,
                            arena_printf(c->v->a,
                                         "only deletion is allowed, but found new scheduling gate '%" SLICE_FMT "'",
                                         SLICE_ARG(name_of(it))));
    }
}

static void check_deadline(const struct rule_call *c)
{
    struct place at = place_member(c->at, "activeDeadlineSeconds");
    const struct json *now = json_get_str(c->value, "activeDeadlineSeconds");
    const struct json *before = json_get_str(c->old, "activeDeadlineSeconds");
    if (before && !now)
        place_invalid(c->v, &at, now, "must not update from a positive integer to nil value");
    else if (before && json_int(now, 0) > json_int(before, 0))
        place_invalid(c->v, &at, now, "must be less than or equal to previous value");
}

static bool check_counts(const struct rule_call *c)
{
    bool fine = true;
    for (size_t l = 0; l < 2; l++) {
        struct place at = place_member(c->at, container_lists[l]);
        if (json_len(json_get_str(c->value, container_lists[l])) == json_len(json_get_str(c->old, container_lists[l])))
            continue;
        place_forbidden(c->v, &at, "pod updates may not add or remove containers");
        fine = false;
    }
    return fine;
}

static void check_node_selector(const struct rule_call *c)
{
    struct place at = place_member(c->at, "nodeSelector");
    const struct json *now = json_get_str(c->value, "nodeSelector");
    json_each (it, json_get_str(c->old, "nodeSelector"))
        if (!json_get(now, it->key) || !json_equal(json_get(now, it->key), it)) {
            place_invalid(c->v, &at, now,
                          "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
            return;
        }
}

/* What was required is still, perhaps with more behind it. */
static bool only_adds(const struct json *now, const struct json *before, const char *list)
{
    const struct json *n = json_first(json_get_str(now, list));
    json_each (it, json_get_str(before, list)) {
        if (!n || !json_equal(n, it))
            return false;
        n = n->next;
    }
    return true;
}

static void check_node_affinity(const struct rule_call *c)
{
    static const char path[] = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    const struct json *now = json_path(c->value, path), *before = json_path(c->old, path);
    struct place affinity = place_member(c->at, "affinity"), node = place_member(&affinity, "nodeAffinity");
    struct place required = place_member(&node, "requiredDuringSchedulingIgnoredDuringExecution");
    struct place terms = place_member(&required, "nodeSelectorTerms");
    const struct json *old = json_first(before);
    size_t i = 0;
    if (json_len(before) && json_len(before) != json_len(now)) {
        place_invalid(c->v, &terms, now, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (const struct json *it = json_first(now); it && old; it = it->next, old = old->next) {
        struct place here = place_item(&terms, i++);
        if (!only_adds(it, old, "matchExpressions") || !only_adds(it, old, "matchFields"))
            place_invalid(c->v, &here, it, "only additions are allowed (no mutations or deletions)");
    }
}

/* A gated pod may still be narrowed down. */
static void take_narrowed(const struct rule_call *c, struct json *spec)
{
    if (!json_len(json_get_str(c->old, "schedulingGates")))
        return;
    check_node_selector(c);
    check_node_affinity(c);
    take_member(c->v->a, spec, c->old, "nodeSelector");
    struct json *affinity = json_object_at(c->v->a, spec, "affinity");
    take_member(c->v->a, affinity, json_get_str(c->old, "affinity"), "nodeAffinity");
    if (!json_len(affinity))
        json_del_str(spec, "affinity");
}

/* value: the new spec, old: the stored one. */
static void pod_update(const struct rule_call *c)
{
    static const char *const free[] = {"activeDeadlineSeconds", "tolerations", "schedulingGates"};
    struct arena *a = c->v->a;
    struct json *spec = json_clone(a, c->value);
    if (!c->update || !c->old || !check_counts(c))
        return;
    check_deadline(c);
    check_tolerations(c);
    check_gates(c);
    take_images(a, spec, c->old, "containers");
    take_images(a, spec, c->old, "initContainers");
    for (size_t i = 0; i < sizeof free / sizeof *free; i++)
        take_member(a, spec, c->old, free[i]);
    if (json_int(json_get_str(c->old, "terminationGracePeriodSeconds"), 0) < 0 &&
        json_int(json_get_str(c->value, "terminationGracePeriodSeconds"), 0) == 1)
        take_member(a, spec, c->old, "terminationGracePeriodSeconds");
    take_narrowed(c, spec);
    if (!json_equal(spec, c->old))
        place_forbidden(c->v, c->at,
                        "pod updates may not change fields other than "
                        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                        "`spec.tolerations` (only additions to existing tolerations),"
                        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)");
}

/* ---- containers ---- */

static void container_probes(const struct rule_call *c)
{
    static const char *const single[] = {"livenessProbe", "startupProbe"};
    static const char *const running[] = {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"};
    bool init = c->at->up && slice_eq_str(c->at->up->name, "initContainers") &&
                !slice_eq_str(json_path_string(c->value, "restartPolicy"), "Always");
    for (size_t i = 0; i < 2; i++) {
        struct place probe = place_member(c->at, single[i]), here = place_member(&probe, "successThreshold");
        const struct json *n = json_get_str(json_get_str(c->value, single[i]), "successThreshold");
        if (n && json_int(n, 1) != 1)
            place_invalid(c->v, &here, n, "must be 1");
    }
    for (size_t i = 0; i < 4 && init; i++) {
        struct place here = place_member(c->at, running[i]);
        if (json_get_str(c->value, running[i]))
            place_forbidden(c->v, &here, "may not be set for init containers without restartPolicy=Always");
    }
}

static void env_name(const struct rule_call *c)
{
    struct slice s = json_string(c->value);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '=') {
            place_invalid(
                c->v, c->at, c->value,
                "a valid environment variable name must consist only of printable ASCII characters other than "
                "'='");
            return;
        }
}

static void env_value(const struct rule_call *c)
{
    struct place here = place_member(c->at, "valueFrom");
    if (json_path_string(c->value, "value").n && json_get_str(c->value, "valueFrom"))
        place_invalid(c->v, &here, json_new_str(c->v->a, ""), "may not be specified when `value` is not empty");
}

/* ---- scheduling ---- */

static void toleration(const struct rule_call *c)
{
    static const char *const operators[] = {"Equal", "Exists", NULL};
    struct place key = place_member(c->at, "key"), operator= place_member(c->at, "operator");
    struct place effect = place_member(c->at, "effect");
    const struct json *op = json_get_str(c->value, "operator");
    struct slice k = json_path_string(c->value, "key"), o = json_string(op);
    bool exists = slice_eq_str(o, "Exists");
    if (k.n)
        place_invalid(c->v, &key, json_get_str(c->value, "key"), validate_qualified_name(k));
    else if (!exists)
        place_invalid(c->v, &operator, json_new_string(c->v->a, o),
                      "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    if (exists && json_path_string(c->value, "value").n)
        place_invalid(c->v, &operator, json_get_str(c->value, "value"),
                      "value must be empty when `operator` is 'Exists'");
    if (!o.n || slice_eq_str(o, "Equal"))
        place_invalid(c->v, &operator, json_get_str(c->value, "value"),
                      validate_label_value(json_path_string(c->value, "value")));
    if (o.n && !exists && !slice_eq_str(o, "Equal"))
        place_not_supported(c->v, &operator, op, operators);
    if (json_get_str(c->value, "tolerationSeconds") && !slice_eq_str(json_path_string(c->value, "effect"), "NoExecute"))
        place_invalid(c->v, &effect, json_new_string(c->v->a, json_path_string(c->value, "effect")),
                      "effect must be 'NoExecute' when `tolerationSeconds` is set");
}

static void node_requirement(const struct rule_call *c)
{
    struct slice op = json_path_string(c->value, "operator");
    struct place values = place_member(c->at, "values");
    size_t n = json_len(json_get_str(c->value, "values"));
    if ((slice_eq_str(op, "In") || slice_eq_str(op, "NotIn")) && n == 0)
        place_required(c->v, &values, "must be specified when `operator` is 'In' or 'NotIn'");
    if ((slice_eq_str(op, "Exists") || slice_eq_str(op, "DoesNotExist")) && n)
        place_forbidden(c->v, &values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    static const char *const known[] = {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", NULL};
    struct place operator= place_member(c->at, "operator");
    if (op.n && !text_is_one_of(op, known))
        place_invalid(c->v, &operator, json_get_str(c->value, "operator"), "not a valid selector operator");
    if ((slice_eq_str(op, "Gt") || slice_eq_str(op, "Lt")) && n != 1)
        place_required(c->v, &values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
}

static const struct rule_entry entries[] = {
    {"container_probes", container_probes},
    {"env_name", env_name},
    {"env_value", env_value},
    {"node_requirement", node_requirement},
    {"pod_create", pod_create},
    {"pod_dns", pod_dns},
    {"pod_host", pod_host},
    {"pod_names", pod_names},
    {"pod_update", pod_update},
    {"pod_volumes", pod_volumes},
    {"toleration", toleration},
    {"volume_source", volume_source},
};

const struct rule_table rules_pod = RULE_TABLE(entries);

/* Rules of containers: environment, mounts, probes, handlers, restarts. */
#include "object/meta.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum { RESTART_RULES_MAX = 20, EXIT_CODES_MAX = 255 };

static bool is_pod(const struct rule_call *c)
{
    return slice_eq_str(meta_kind(c->root), "Pod");
}

/* ---- image and ports ---- */

/* Templates of other kinds may still be completed. */
static void container_image(const struct rule_call *c)
{
    struct slice s = json_string(c->value);
    bool space = s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' ||
                         s.p[0] == '\n' || s.p[s.n - 1] == '\n');
    if (s.n == 0)
        place_required(c->v, c->at, NULL);
    else if (space && is_pod(c))
        place_invalid(c->v, c->at, c->value, "must not have leading or trailing whitespace");
}

/* Two containers cannot have the same port of the host. value: the pod's spec. */
static void host_ports(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    struct place list = place_member(c->at, "containers");
    size_t i = 0;
    json_each (container, json_get_str(c->value, "containers")) {
        struct place item = place_item(&list, i++), ports = place_member(&item, "ports");
        size_t n = 0;
        json_each (port, json_get_str(container, "ports")) {
            struct place one = place_item(&ports, n++), here = place_member(&one, "hostPort");
            const char *text = arena_printf(
                c->v->a, "%" SLICE_FMT "/%" SLICE_FMT "/%lld", SLICE_ARG(json_path_string(port, "protocol")),
                SLICE_ARG(json_path_string(port, "hostIP")), (long long)json_int(json_get_str(port, "hostPort"), 0));
            if (json_int(json_get_str(port, "hostPort"), 0) == 0)
                continue;
            if (json_get_str(seen, text))
                place_duplicate(c->v, &here, json_new_str(c->v->a, text));
            else
                json_set(c->v->a, seen, slice_str(text), json_new_null(c->v->a));
        }
    }
}

/* ---- environment ---- */

static void env_source(const struct rule_call *c)
{
    static const char *const members[] = {"fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef",
                                          "fileKeyRef"};
    size_t n = members_given(c->value, members, sizeof members / sizeof *members);
    if (c->value && n == 0)
        place_invalid(c->v, c->at, json_new_str(c->v->a, ""),
                      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or "
                      "`fileKeyRef`");
    else if (n > 1)
        place_invalid(c->v, c->at, json_new_str(c->v->a, ""), "may not have more than one field specified at a time");
}

static void env_from(const struct rule_call *c)
{
    static const char *const members[] = {"configMapRef", "secretRef"};
    size_t n = members_given(c->value, members, 2);
    if (n == 0)
        place_invalid(c->v, c->at, json_new_str(c->v->a, ""), "must specify one of: `configMapRef` or `secretRef`");
    else if (n > 1)
        place_invalid(c->v, c->at, json_new_str(c->v->a, ""), "may not have more than one field specified at a time");
    for (size_t i = 0; i < 2; i++) {
        struct place here = place_member(c->at, members[i]);
        const struct json *ref = json_get_str(c->value, members[i]);
        if (ref)
            member_required(c->v, &here, ref, "name");
    }
}

/* metadata.labels['k'] and metadata.annotations['k'] */
static bool has_subscript(struct slice path, struct slice *ret_base, struct slice *ret_key)
{
    struct slice rest;
    if (path.n < 4 || memcmp(path.p + path.n - 2, "']", 2) != 0 || !slice_cut(path, '[', ret_base, &rest))
        return false;
    if (rest.n < 3 || rest.p[0] != '\'')
        return false;
    *ret_key = slice_of(rest.p + 1, rest.n - 3);
    return true;
}

static void check_subscript(const struct rule_call *c, const struct place *here, struct slice base, struct slice key)
{
    if (slice_eq_str(base, "metadata.labels") || slice_eq_str(base, "metadata.annotations"))
        place_invalid(c->v, here, json_get_str(c->value, "fieldPath"), validate_qualified_name(key));
    else
        place_invalid(c->v, here, json_get_str(c->value, "fieldPath"),
                      arena_printf(c->v->a, "error converting fieldPath: field label does not support subscript: %s",
                                   json_string(json_get_str(c->value, "fieldPath")).p));
}

/* value: a reference to a field of the pod; allowed: what this place may refer to. */
static void check_field_ref(const struct rule_call *c, const char *const *allowed)
{
    static const char *const known[] = {"metadata.annotations",
                                        "metadata.labels",
                                        "metadata.name",
                                        "metadata.namespace",
                                        "metadata.uid",
                                        "spec.host",
                                        "spec.nodeName",
                                        "spec.restartPolicy",
                                        "spec.serviceAccountName",
                                        "spec.schedulerName",
                                        "status.hostIP",
                                        "status.hostIPs",
                                        "status.phase",
                                        "status.podIP",
                                        "status.podIPs",
                                        NULL};
    const struct json *path = json_get_str(c->value, "fieldPath");
    struct place here = place_member(c->at, "fieldPath");
    struct slice s = json_string(path), base, key;
    if (s.n == 0) /* told by the schema */
        return;
    if (has_subscript(s, &base, &key))
        check_subscript(c, &here, base, key);
    else if (!text_is_one_of(s, known))
        place_invalid(
            c->v, &here, path,
            arena_printf(c->v->a, "error converting fieldPath: field label not supported: %" SLICE_FMT, SLICE_ARG(s)));
    else if (!text_is_one_of(s, allowed))
        place_not_supported(c->v, &here, path, allowed);
}

static void env_field_ref(const struct rule_call *c)
{
    static const char *const allowed[] = {
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
        "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs", NULL};
    if (c->value)
        check_field_ref(c, allowed);
}

static void volume_field_ref(const struct rule_call *c)
{
    static const char *const allowed[] = {"metadata.annotations", "metadata.labels", "metadata.name",
                                          "metadata.namespace",   "metadata.uid",    NULL};
    if (c->value)
        check_field_ref(c, allowed);
}

static void check_divisor(const struct rule_call *c, struct slice resource)
{
    static const char *const cpu[] = {"", "0", "1m", "1", NULL};
    static const char *const bytes[] = {"",   "0",   "1",   "1k",  "1M",  "1G",  "1T",  "1P",
                                        "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};
    struct slice s = json_path_string(c->value, "divisor"), kind, name;
    slice_cut(resource, '.', &kind, &name);
    if (slice_eq_str(name, "cpu") && !text_is_one_of(s, cpu))
        member_invalid(c->v, c->at, c->value, "divisor",
                       "only divisor's values 1m and 1 are supported with the cpu resource");
    else if (!slice_eq_str(name, "cpu") && !text_is_one_of(s, bytes))
        member_invalid(c->v, c->at, c->value, "divisor",
                       arena_printf(c->v->a,
                                    "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are "
                                    "supported with the %" SLICE_FMT " resource",
                                    SLICE_ARG(name)));
}

static void resource_field_ref(const struct rule_call *c)
{
    static const char *const known[] = {"limits.cpu",
                                        "limits.ephemeral-storage",
                                        "limits.memory",
                                        "requests.cpu",
                                        "requests.ephemeral-storage",
                                        "requests.memory",
                                        NULL};
    struct slice s = json_path_string(c->value, "resource");
    struct place here = place_member(c->at, "resource");
    bool huge = slice_starts(s, SLICE("limits.hugepages-")) || slice_starts(s, SLICE("requests.hugepages-"));
    if (s.n == 0)
        return;
    if (!huge && !text_is_one_of(s, known))
        place_not_supported(c->v, &here, json_get_str(c->value, "resource"), known);
    else
        check_divisor(c, s);
}

/* ---- mounts ---- */

static bool is_privileged(const struct json *container)
{
    return json_bool(json_path(container, "securityContext.privileged"), false);
}

static void check_mount(const struct rule_call *c, const struct json *mount, const struct place *at)
{
    static const char *const recursives[] = {"Disabled", "Enabled", "IfPossible", NULL};
    struct slice propagation = json_path_string(mount, "mountPropagation");
    struct slice recursive = json_path_string(mount, "recursiveReadOnly");
    if (json_path_string(mount, "subPath").n && json_path_string(mount, "subPathExpr").n)
        member_invalid(c->v, at, mount, "subPathExpr", "subPathExpr and subPath are mutually exclusive");
    if (slice_eq_str(propagation, "Bidirectional") && !is_privileged(c->value))
        member_forbidden(c->v, at, "mountPropagation",
                         "Bidirectional mount propagation is available only to privileged containers");
    if (recursive.n == 0 || slice_eq_str(recursive, "Disabled"))
        return;
    if (!text_is_one_of(recursive, recursives)) {
        struct place here = place_member(at, "recursiveReadOnly");
        place_not_supported(c->v, &here, json_get_str(mount, "recursiveReadOnly"), recursives);
        return;
    }
    if (!json_bool(json_get_str(mount, "readOnly"), false))
        member_forbidden(c->v, at, "recursiveReadOnly", "may only be specified when readOnly is true");
    if (propagation.n && !slice_eq_str(propagation, "None"))
        member_forbidden(c->v, at, "recursiveReadOnly",
                         "may only be specified when mountPropagation is None or not specified");
}

static bool has_device(const struct json *container, const char *member, struct slice text)
{
    json_each (it, json_get_str(container, "volumeDevices"))
        if (text.n && slice_eq(json_path_string(it, member), text))
            return true;
    return false;
}

/* value: a container. */
static void container_mounts(const struct rule_call *c)
{
    struct place list = place_member(c->at, "volumeMounts");
    size_t i = 0;
    json_each (it, json_get_str(c->value, "volumeMounts")) {
        struct place here = place_item(&list, i++);
        check_mount(c, it, &here);
        if (has_device(c->value, "name", json_path_string(it, "name")))
            member_invalid(c->v, &here, it, "name", "must not already exist in volumeDevices");
        if (has_device(c->value, "devicePath", json_path_string(it, "mountPath")))
            member_invalid(c->v, &here, it, "mountPath", "must not already exist as a path in volumeDevices");
    }
}

/* ---- probes and handlers ---- */

static bool is_header_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i], low = (char)(ch | 0x20);
        if ((low >= 'a' && low <= 'z') || (ch >= '0' && ch <= '9') || ch == '-')
            continue;
        return false;
    }
    return true;
}

/* value: a list of headers. */
static void http_headers(const struct rule_call *c)
{
    json_each (it, c->value)
        if (!is_header_name(json_path_string(it, "name")))
            place_invalid(c->v, c->at, json_get_str(it, "name"),
                          "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', "
                          "regex used for validation is '[-A-Za-z0-9]+')");
}

/* value: a probe; where it stands says which. */
static void probe_grace(const struct rule_call *c)
{
    const struct json *grace = json_get_str(c->value, "terminationGracePeriodSeconds");
    struct place here = place_member(c->at, "terminationGracePeriodSeconds");
    if (!grace)
        return;
    if (slice_eq_str(c->at->name, "readinessProbe"))
        place_invalid(c->v, &here, grace, "must not be set for readinessProbes");
    else if (json_int(grace, 1) <= 0)
        place_invalid(c->v, &here, grace, "must be greater than 0");
}

/* value: a pod's spec: how long a hook may sleep depends on the pod. */
static void sleep_actions(const struct rule_call *c)
{
    static const char *const hooks[] = {"postStart", "preStop"};
    int64_t grace = json_int(json_get_str(c->value, "terminationGracePeriodSeconds"), 30);
    struct place list = place_member(c->at, "containers");
    size_t i = 0;
    json_each (it, json_get_str(c->value, "containers")) {
        struct place item = place_item(&list, i++), lifecycle = place_member(&item, "lifecycle");
        for (size_t h = 0; h < 2; h++) {
            struct place hook = place_member(&lifecycle, hooks[h]), sleep = place_member(&hook, "sleep");
            const struct json *action = json_get_str(json_get_str(json_get_str(it, "lifecycle"), hooks[h]), "sleep");
            int64_t seconds = json_int(json_get_str(action, "seconds"), 0);
            if (action && (seconds < 0 || seconds > grace))
                place_invalid(c->v, &sleep, json_get_str(action, "seconds"),
                              arena_printf(c->v->a,
                                           "must be non-negative and less than terminationGracePeriodSeconds (%lld)",
                                           (long long)grace));
        }
    }
}

static void stop_signal(const struct rule_call *c)
{
    const struct json *os = json_path(c->root, "spec.os.name");
    if (!is_blank(c->value) && is_pod(c) && is_blank(os))
        place_forbidden(c->v, c->at, "may not be set for containers with empty `spec.os.name`");
}

/* ---- restarts of single containers ---- */

static void check_exit_codes(const struct rule_call *c, const struct json *codes, const struct place *at)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    struct place values = place_member(at, "values");
    member_one_of(c->v, at, codes, "operator", operators);
    if (json_len(json_get_str(codes, "values")) > EXIT_CODES_MAX)
        validation_too_many(c->v, place_path(c->v, &values), (int64_t)json_len(json_get_str(codes, "values")),
                            EXIT_CODES_MAX);
}

/* value: a container. */
static void restart_rules(const struct rule_call *c)
{
    static const char *const policies[] = {"Always", "Never", "OnFailure", NULL};
    static const char *const actions[] = {"Restart", "RestartAllContainers", NULL};
    const struct json *rules = json_get_str(c->value, "restartPolicyRules");
    const struct json *policy = json_get_str(c->value, "restartPolicy");
    struct place list = place_member(c->at, "restartPolicyRules"), own = place_member(c->at, "restartPolicy");
    size_t i = 0;
    if (!is_blank(policy) && !text_is_one_of(json_string(policy), policies))
        place_not_supported(c->v, &own, policy, policies);
    if (json_len(rules) && is_blank(policy))
        place_required(c->v, &own, "must specify restartPolicy when restart rules are used");
    if (json_len(rules) > RESTART_RULES_MAX)
        validation_too_many(c->v, place_path(c->v, &list), (int64_t)json_len(rules), RESTART_RULES_MAX);
    json_each (it, rules) {
        struct place here = place_item(&list, i++), codes = place_member(&here, "exitCodes");
        member_one_of(c->v, &here, it, "action", actions);
        if (!json_get_str(it, "exitCodes"))
            place_required(c->v, &codes, "must be specified");
        else
            check_exit_codes(c, json_get_str(it, "exitCodes"), &codes);
    }
}

static void check_resize_text(const struct rule_call *c, const struct json *text, const char *const *allowed)
{
    if (is_blank(text))
        place_required(c->v, c->at, NULL);
    else if (!text_is_one_of(json_string(text), allowed))
        place_not_supported(c->v, c->at, text, allowed);
}

/* value: a list of how single resources are resized. */
static void resize_policy(const struct rule_call *c)
{
    static const char *const names[] = {"cpu", "memory", NULL};
    static const char *const policies[] = {"NotRequired", "RestartContainer", NULL};
    struct json *seen = json_new_object(c->v->a);
    bool never = is_pod(c) && slice_eq_str(json_path_string(c->root, "spec.restartPolicy"), "Never");
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++);
        struct slice name = json_path_string(it, "resourceName");
        if (name.n && json_get(seen, name))
            place_duplicate(c->v, &here, json_get_str(it, "resourceName"));
        json_set(c->v->a, seen, name, json_new_null(c->v->a));
        check_resize_text(c, json_get_str(it, "resourceName"), names);
        check_resize_text(c, json_get_str(it, "restartPolicy"), policies);
        if (never && !slice_eq_str(json_path_string(it, "restartPolicy"), "NotRequired"))
            place_invalid(c->v, c->at, json_get_str(it, "restartPolicy"),
                          "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

static const struct rule_entry entries[] = {
    {"container_image", container_image}, {"container_mounts", container_mounts},
    {"env_field_ref", env_field_ref},     {"env_from", env_from},
    {"env_source", env_source},           {"host_ports", host_ports},
    {"http_headers", http_headers},       {"probe_grace", probe_grace},
    {"resize_policy", resize_policy},     {"resource_field_ref", resource_field_ref},
    {"restart_rules", restart_rules},     {"sleep_actions", sleep_actions},
    {"stop_signal", stop_signal},         {"volume_field_ref", volume_field_ref},
};

const struct rule_table rules_container = RULE_TABLE(entries);

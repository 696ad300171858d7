/* Rules of where pods run and with what rights: affinity, spreading, DNS, security contexts, resources as a whole. */
#include "object/meta.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum {
    SEARCHES_MAX = 32,
    SEARCH_CHARS_MAX = 2048,
    HOSTNAME_OVERRIDE_MAX = 64,
    SYSCTL_MAX = 253,
};

/* ---- affinity ---- */

static bool in_list(const struct json *list, struct slice s)
{
    json_each (it, list)
        if (slice_eq(json_string(it), s))
            return true;
    return false;
}

/* value: a term of pod affinity. */
static void pod_affinity_term(const struct rule_call *c)
{
    static const char *const lists[] = {"matchLabelKeys", "mismatchLabelKeys"};
    const struct json *other = json_get_str(c->value, lists[1]);
    for (size_t l = 0; l < 2; l++) {
        struct place list = place_member(c->at, lists[l]);
        size_t i = 0;
        if (json_len(json_get_str(c->value, lists[l])) && !json_get_str(c->value, "labelSelector"))
            place_forbidden(c->v, &list, "must not be specified when labelSelector is not set");
        json_each (it, json_get_str(c->value, lists[l])) {
            struct place here = place_item(&list, i++);
            place_invalid(c->v, &here, it, validate_qualified_name(json_string(it)));
            if (l == 0 && in_list(other, json_string(it)))
                place_invalid(c->v, &here, it, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/* value: a list of terms' field requirements (matchFields). */
static void match_fields(const struct rule_call *c)
{
    static const char *const keys[] = {"metadata.name", NULL}, *const operators[] = {"In", "NotIn", NULL};
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++), key = place_member(&here, "key");
        struct place values = place_member(&here, "values");
        if (!text_is_one_of(json_path_string(it, "key"), keys))
            place_invalid(c->v, &key, json_get_str(it, "key"), "not a valid field selector key");
        member_one_of(c->v, &here, it, "operator", operators);
        if (json_len(json_get_str(it, "values")) != 1)
            place_required(c->v, &values,
                           "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    }
}

/* value: a list of spread constraints. */
static void spread(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++), domains = place_member(&here, "minDomains");
        struct slice when = json_path_string(it, "whenUnsatisfiable");
        const struct json *min = json_get_str(it, "minDomains");
        const char *pair = arena_printf(c->v->a, "{%" SLICE_FMT ", %" SLICE_FMT "}",
                                        SLICE_ARG(json_path_string(it, "topologyKey")), SLICE_ARG(when));
        struct place which = place_member(&here, "{topologyKey, whenUnsatisfiable}");
        if (json_get_str(seen, pair))
            place_duplicate(c->v, &which, json_new_str(c->v->a, pair));
        json_set(c->v->a, seen, slice_str(pair), json_new_null(c->v->a));
        struct place keys = place_member(&here, "matchLabelKeys");
        if (json_len(json_get_str(it, "matchLabelKeys")) && !json_get_str(it, "labelSelector"))
            place_forbidden(c->v, &keys, "must not be specified when labelSelector is not set");
        if (min && json_int(min, 1) <= 0)
            place_invalid(c->v, &domains, min, "must be greater than zero");
        if (min && !slice_eq_str(when, "DoNotSchedule"))
            place_invalid(c->v, &domains, min,
                          "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
                          "ScheduleAnyway");
    }
}

/* ---- DNS and names ---- */

static void dns_searches(const struct rule_call *c)
{
    size_t chars = 0, i = 0;
    if (json_len(c->value) > SEARCHES_MAX)
        place_invalid(c->v, c->at, c->value,
                      arena_printf(c->v->a, "must not have more than %d search paths", SEARCHES_MAX));
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++);
        struct slice s = json_string(it);
        chars += s.n + (i > 1);
        if (s.n && s.p[s.n - 1] == '.')
            s.n--;
        if (s.n)
            place_invalid(c->v, &here, it, validate_subdomain(s));
    }
    if (chars > SEARCH_CHARS_MAX)
        place_invalid(c->v, c->at, c->value,
                      "must not have more than 2048 characters (including spaces) in the search list");
}

static void dns_options(const struct rule_call *c)
{
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++);
        if (!json_path_string(it, "name").n)
            place_required(c->v, &here, "must not be empty");
    }
}

static void hostname_override(const struct rule_call *c)
{
    struct slice s = json_path_string(c->value, "hostnameOverride");
    if (s.n == 0)
        return;
    if (s.n > HOSTNAME_OVERRIDE_MAX) {
        struct place here = place_member(c->at, "hostnameOverride");
        validation_too_long(c->v, place_path(c->v, &here), HOSTNAME_OVERRIDE_MAX);
    }
    member_check(c->v, c->at, c->value, "hostnameOverride", validate_subdomain);
    if (json_bool(json_get_str(c->value, "hostNetwork"), false))
        member_forbidden(c->v, c->at, "hostnameOverride", "may not be set when hostNetwork is true");
    if (json_bool(json_get_str(c->value, "setHostnameAsFQDN"), false))
        member_forbidden(c->v, c->at, "hostnameOverride", "may not be set when setHostnameAsFQDN is true");
}

/* ---- security contexts ---- */

static void profile(const struct rule_call *c)
{
    const struct json *file = json_get_str(c->value, "localhostProfile");
    struct place here = place_member(c->at, "localhostProfile");
    bool local = slice_eq_str(json_path_string(c->value, "type"), "Localhost");
    bool seccomp = slice_eq_str(c->at->name, "seccompProfile");
    if (local && is_blank(file))
        place_required(c->v, &here,
                       seccomp ? "must be set when seccomp type is Localhost"
                               : "must be set when AppArmor type is Localhost");
    else if (!local && file && json_path_string(c->value, "type").n)
        place_invalid(c->v, &here, file,
                      seccomp ? "can only be set when seccomp type is Localhost"
                              : "can only be set when AppArmor type is Localhost");
    struct rule_call path = *c;
    path.at = &here;
    path.value = file;
    if (local && seccomp && !is_blank(file))
        rule_find("relative-path")(&path);
}

static bool adds_capability(const struct json *context, const char *name)
{
    json_each (it, json_path(context, "capabilities.add"))
        if (slice_eq_str(json_string(it), name))
            return true;
    return false;
}

/* value: a container's security context. */
static void security_context(const struct rule_call *c)
{
    const struct json *escalation = json_get_str(c->value, "allowPrivilegeEscalation");
    if (!escalation || json_bool(escalation, true))
        return;
    if (json_bool(json_get_str(c->value, "privileged"), false))
        place_invalid(c->v, c->at, c->value, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    if (adds_capability(c->value, "CAP_SYS_ADMIN"))
        place_invalid(c->v, c->at, c->value,
                      "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
}

static bool is_sysctl(struct slice s)
{
    bool edge = true; /* a part begins here */
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool alnum = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
        bool ends = ch == '.' || ch == '/', joint = ends || ch == '-' || ch == '_';
        bool after_dash = i && (s.p[i - 1] == '-' || s.p[i - 1] == '_');
        if ((!alnum && !joint) || (edge && !alnum) || (ends && after_dash))
            return false;
        edge = ends;
    }
    return s.n && !edge && s.p[s.n - 1] != '-' && s.p[s.n - 1] != '_';
}

static void check_sysctl_host(const struct rule_call *c, const struct json *sysctl, const struct place *at)
{
    struct slice s = json_string(json_get_str(sysctl, "name"));
    const struct json *spec = json_get_str(c->root, "spec");
    const struct json *pod = json_path(spec, "template.spec") ? json_path(spec, "template.spec") : spec;
    bool net = slice_starts(s, SLICE("net."));
    bool ipc = slice_starts(s, SLICE("kernel.shm")) || slice_starts(s, SLICE("kernel.msg")) ||
               slice_eq_str(s, "kernel.sem") || slice_starts(s, SLICE("fs.mqueue."));
    if (net && json_bool(json_get_str(pod, "hostNetwork"), false))
        member_invalid(c->v, at, sysctl, "name", "may not be specified when 'hostNetwork' is true");
    if (ipc && json_bool(json_get_str(pod, "hostIPC"), false))
        member_invalid(c->v, at, sysctl, "name", "may not be specified when 'hostIPC' is true");
}

static void sysctls(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++), name = place_member(&here, "name");
        struct slice s = json_path_string(it, "name");
        if (s.n > SYSCTL_MAX || (s.n && !is_sysctl(s)))
            place_invalid(c->v, &name, json_get_str(it, "name"),
                          "must have at most 253 characters and match regex "
                          "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9]$");
        else if (s.n && json_get(seen, s))
            place_duplicate(c->v, &name, json_get_str(it, "name"));
        else if (s.n)
            check_sysctl_host(c, it, &here);
        if (s.n)
            json_set(c->v->a, seen, s, json_new_null(c->v->a));
    }
}

/* value: a pod's spec: what goes with what of the host's namespaces. */
static void pod_security(const struct rule_call *c)
{
    bool shared = json_bool(json_get_str(c->value, "shareProcessNamespace"), false);
    struct place context = place_member(c->at, "securityContext"), list = place_member(c->at, "containers");
    size_t i = 0;
    if (shared && json_bool(json_get_str(c->value, "hostPID"), false)) {
        struct place here = place_member(&context, "shareProcessNamespace");
        place_invalid(c->v, &here, json_get_str(c->value, "shareProcessNamespace"),
                      "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    json_each (it, json_get_str(c->value, "containers")) {
        struct place one = place_item(&list, i++), sc = place_member(&one, "securityContext");
        const struct json *mount = json_path(it, "securityContext.procMount");
        if (slice_eq_str(json_string(mount), "Unmasked") && json_bool(json_get_str(c->value, "hostUsers"), true))
            member_invalid(c->v, &sc, json_get_str(it, "securityContext"), "procMount",
                           "`hostUsers` must be false to use `Unmasked`");
    }
}

/* ---- operating systems ---- */

static void pod_os(const struct rule_call *c)
{
    static const char *const systems[] = {"linux", "windows", NULL};
    static const char *const linux_only[] = {"hostPID", "hostIPC"};
    static const char *const context_only[] = {"runAsUser",      "runAsGroup",     "supplementalGroups",
                                               "fsGroup",        "sysctls",        "fsGroupChangePolicy",
                                               "seLinuxOptions", "seccompProfile", "appArmorProfile"};
    struct place os = place_member(c->at, "os"), context = place_member(c->at, "securityContext");
    const struct json *sc = json_get_str(c->value, "securityContext");
    if (!json_get_str(c->value, "os"))
        return;
    struct slice name = json_path_string(c->value, "os.name");
    struct place os_name = place_member(&os, "name");
    if (!name.n)
        place_required(c->v, &os_name, "cannot be empty");
    else if (!text_is_one_of(name, systems))
        place_not_supported(c->v, &os, json_path(c->value, "os.name"), systems);
    if (slice_eq_str(name, "linux") && json_get_str(sc, "windowsOptions"))
        member_forbidden(c->v, &context, "windowsOptions", "windows options cannot be set for a linux pod");
    if (!slice_eq_str(name, "windows"))
        return;
    for (size_t i = 0; i < 2; i++)
        if (json_bool(json_get_str(c->value, linux_only[i]), false))
            member_forbidden(c->v, c->at, linux_only[i], "cannot be set for a windows pod");
    for (size_t i = 0; i < sizeof context_only / sizeof *context_only; i++)
        if (json_get_str(sc, context_only[i]))
            member_forbidden(c->v, &context, context_only[i], "cannot be set for a windows pod");
}

/* ---- resources of the pod as a whole ---- */

static quantity_nano sum_requests(const struct json *spec, struct slice resource)
{
    quantity_nano sum = 0;
    struct quantity q;
    json_each (it, json_get_str(spec, "containers"))
        if (quantity_from_json(json_get(json_path(it, "resources.requests"), resource), &q))
            sum += q.nano;
    return sum;
}

static void check_container_limits(const struct rule_call *c, const struct json *limits)
{
    struct place list = place_member(c->at, "containers");
    size_t i = 0;
    json_each (it, json_get_str(c->value, "containers")) {
        struct place one = place_item(&list, i++), resources = place_member(&one, "resources");
        struct place here = place_member(&resources, "limits");
        json_each (limit, json_path(it, "resources.limits")) {
            struct place key = place_key(&here, limit->key);
            struct quantity own, pod;
            const struct json *most = json_get(limits, limit->key);
            if (quantity_from_json(limit, &own) && quantity_from_json(most, &pod) && quantity_cmp(own, pod) > 0)
                place_invalid(c->v, &key, limit,
                              arena_printf(c->v->a, "must be less than or equal to pod limits of %" SLICE_FMT,
                                           SLICE_ARG(json_string(most))));
        }
    }
}

/* value: a pod's spec. */
static void pod_resources(const struct rule_call *c)
{
    const struct json *resources = json_get_str(c->value, "resources");
    struct place at = place_member(c->at, "resources"), requests = place_member(&at, "requests");
    if (!resources)
        return;
    if (slice_eq_str(json_path_string(c->value, "os.name"), "windows"))
        place_forbidden(c->v, &at, "may not be set for a windows pod");
    if (json_len(json_get_str(resources, "claims")))
        member_forbidden(c->v, &at, "claims", "claims may not be set for Resources at pod-level");
    json_each (it, json_get_str(resources, "requests")) {
        struct place here = place_key(&requests, it->key);
        struct quantity q;
        quantity_nano sum = sum_requests(c->value, it->key);
        if (quantity_from_json(it, &q) && q.nano < sum) {
            struct quantity total = {.nano = sum, .format = q.format};
            place_invalid(c->v, &here, it,
                          arena_printf(c->v->a,
                                       "must be greater than or equal to aggregate container requests of %" SLICE_FMT,
                                       SLICE_ARG(json_string(quantity_to_json(c->v->a, total)))));
        }
    }
    check_container_limits(c, json_get_str(resources, "limits"));
}

/* value: a pod's spec: claims of containers are the pod's. */
static void resource_claims(const struct rule_call *c)
{
    static const char *const lists[] = {"containers", "initContainers"}, *const sources[] = {
                                                                             "resourceClaimName",
                                                                             "resourceClaimTemplateName"};
    struct json *names = json_new_object(c->v->a);
    struct place claims = place_member(c->at, "resourceClaims");
    size_t n = 0;
    json_each (it, json_get_str(c->value, "resourceClaims")) {
        struct place here = place_item(&claims, n++);
        size_t given = members_given(it, sources, 2);
        json_set(c->v->a, names, json_path_string(it, "name"), json_new_null(c->v->a));
        if (given != 1)
            place_invalid(c->v, &here, it,
                          given ? "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
                                : "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    }
    for (size_t l = 0; l < 2; l++) {
        struct place list = place_member(c->at, lists[l]);
        size_t i = 0;
        json_each (it, json_get_str(c->value, lists[l])) {
            struct place one = place_item(&list, i++), resources = place_member(&one, "resources");
            struct place used = place_member(&resources, "claims");
            size_t k = 0;
            json_each (claim, json_path(it, "resources.claims")) {
                struct place item = place_item(&used, k++);
                if (!json_get(names, json_path_string(claim, "name")))
                    validation_not_found(c->v, place_path(c->v, &item), json_get_str(claim, "name"));
            }
        }
    }
}

static const struct rule_entry entries[] = {
    {"dns_options", dns_options},
    {"dns_searches", dns_searches},
    {"hostname_override", hostname_override},
    {"match_fields", match_fields},
    {"pod_affinity_term", pod_affinity_term},
    {"pod_os", pod_os},
    {"pod_resources", pod_resources},
    {"pod_security", pod_security},
    {"profile", profile},
    {"resource_claims", resource_claims},
    {"security_context", security_context},
    {"spread", spread},
    {"sysctls", sysctls},
};

const struct rule_table rules_placement = RULE_TABLE(entries);

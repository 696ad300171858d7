/* Rules of writes to a pod's parts: status, ephemeralcontainers, resize. */
#include "object/meta.h"
#include "object/path.h"
#include "object/validate_rules.h"

static bool is_mirror(const struct json *pod)
{
    return meta_annotation(pod, SLICE("kubernetes.io/config.mirror")).p != NULL;
}

static const struct json *named(const struct json *list, struct slice name)
{
    json_each (it, list)
        if (slice_eq(json_path_string(it, "name"), name))
            return it;
    return NULL;
}

/* ---- ephemeral containers ---- */

static void check_ephemeral_mounts(const struct rule_call *c, const struct json *container, const struct place *at)
{
    static const char *const members[] = {"subPath", "subPathExpr"};
    struct place list = place_member(at, "volumeMounts");
    size_t i = 0;
    json_each (it, json_get_str(container, "volumeMounts")) {
        struct place here = place_item(&list, i++);
        for (size_t m = 0; m < 2; m++)
            if (!is_blank(json_get_str(it, members[m])))
                member_forbidden(c->v, &here, members[m], "cannot be set for an Ephemeral Container");
    }
}

static void check_ephemeral(const struct rule_call *c, const struct json *container, const struct place *at)
{
    static const char *const no[] = {"lifecycle",    "livenessProbe", "ports",       "readinessProbe",
                                     "resizePolicy", "resources",     "startupProbe"};
    struct place target = place_member(at, "targetContainerName");
    struct slice name = json_path_string(container, "targetContainerName");
    const struct json *spec = json_get_str(c->root, "spec");
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (!is_blank(json_get_str(container, no[i])))
            member_forbidden(c->v, at, no[i], "cannot be set for an Ephemeral Container");
    if (name.n && !named(json_get_str(spec, "containers"), name) && !named(json_get_str(spec, "initContainers"), name))
        validation_not_found(c->v, place_path(c->v, &target), json_get_str(container, "targetContainerName"));
    check_ephemeral_mounts(c, container, at);
}

/* value: the pod. */
static void ephemeral_containers(const struct rule_call *c)
{
    struct place spec = place_member(c->at, "spec"), list = place_member(&spec, "ephemeralContainers");
    const struct json *now = json_path(c->value, "spec.ephemeralContainers");
    size_t i = 0;
    if (is_mirror(c->root))
        validation_forbidden(c->v, "", "static pods do not support ephemeral containers");
    json_each (it, json_path(c->old, "spec.ephemeralContainers")) {
        struct slice name = json_path_string(it, "name");
        const struct json *same = named(now, name);
        if (!same || !json_equal(same, it))
            place_forbidden(c->v, &list,
                            arena_printf(c->v->a, "existing ephemeral containers \"%" SLICE_FMT "\" may not be %s",
                                         SLICE_ARG(name), same ? "changed" : "removed"));
    }
    json_each (it, now) {
        struct place here = place_item(&list, i++);
        check_ephemeral(c, it, &here);
    }
}

/* ---- resize ---- */

static const char *const lists[] = {"containers", "initContainers"};

static void check_members(const struct rule_call *c, const struct json *now, const struct json *before,
                          const struct place *at)
{
    static const char *const kinds[] = {"requests", "limits"};
    for (size_t k = 0; k < 2; k++) {
        struct place here = place_member(at, kinds[k]);
        const struct json *was = json_get_str(before, kinds[k]), *is = json_get_str(now, kinds[k]);
        json_each (it, was) {
            bool resizable = slice_eq_str(it->key, "cpu") || slice_eq_str(it->key, "memory");
            if (!resizable && !json_equal(it, json_get(is, it->key)))
                place_forbidden(c->v, &here, "only cpu and memory resources are mutable");
            else if (!json_get(is, it->key))
                place_forbidden(c->v, &here,
                                k ? "resource limits cannot be removed" : "resource requests cannot be removed");
        }
        json_each (it, is) {
            bool resizable = slice_eq_str(it->key, "cpu") || slice_eq_str(it->key, "memory");
            if (!resizable && !json_get(was, it->key))
                place_forbidden(c->v, &here, "only cpu and memory resources are mutable");
        }
    }
}

static void check_list(const struct rule_call *c, const struct place *spec, const char *which)
{
    const struct json *now = json_get_str(json_get_str(c->value, "spec"), which);
    const struct json *old = json_get_str(json_get_str(c->old, "spec"), which), *before = json_first(old);
    struct place list = place_member(spec, which);
    size_t i = 0;
    if (json_len(now) != json_len(old)) {
        place_forbidden(c->v, &list, "containers may not be added or removed on resize");
        return;
    }
    json_each (it, now) {
        struct place here = place_item(&list, i++), resources = place_member(&here, "resources");
        bool sidecar = which == lists[0] || slice_eq_str(json_path_string(it, "restartPolicy"), "Always");
        if (!slice_eq(json_path_string(it, "name"), json_path_string(before, "name")))
            place_forbidden(c->v, &list, "containers may not be renamed or reordered on resize");
        else if (sidecar)
            check_members(c, json_get_str(it, "resources"), json_get_str(before, "resources"), &resources);
        else if (!json_equal(json_get_str(it, "resources"), json_get_str(before, "resources")))
            place_forbidden(c->v, &resources, "resources for non-sidecar init containers are immutable");
        before = before->next;
    }
}

const char *validate_qos_class(const struct json *pod)
{
    static const char *const kinds[] = {"cpu", "memory"};
    bool any = false, all = true;
    for (size_t l = 0; l < 2; l++)
        json_each (c, json_get_str(json_get_str(pod, "spec"), lists[l]))
            for (size_t i = 0; i < 2; i++) {
                struct slice request = json_string(json_get_str(json_path(c, "resources.requests"), kinds[i]));
                struct slice limit = json_string(json_get_str(json_path(c, "resources.limits"), kinds[i]));
                bool zero = slice_eq_str(request, "0") && !limit.n;
                any |= (request.n && !zero) || limit.n;
                all &= limit.n && (!request.n || slice_eq(request, limit));
            }
    return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}

/* value: the pod. */
static void resize(const struct rule_call *c)
{
    struct place spec = place_member(c->at, "spec");
    const char *before = validate_qos_class(c->old), *now = validate_qos_class(c->value);
    if (is_mirror(c->root))
        validation_forbidden(c->v, "", "static pods cannot be resized");
    if (slice_eq_str(json_path_string(c->value, "spec.os.name"), "windows"))
        validation_forbidden(c->v, "", "windows pods cannot be resized");
    if (strcmp(before, now) != 0)
        place_invalid(c->v, &spec, json_new_str(c->v->a, now), "Pod QOS Class may not change as a result of resizing");
    for (size_t l = 0; l < 2; l++)
        check_list(c, &spec, lists[l]);
}

/* ---- status ---- */

static bool is_built_in(struct slice type)
{
    static const char *const types[] = {"PodScheduled", "Ready", "Initialized", "ContainersReady", NULL};
    return text_is_one_of(type, types);
}

static void check_conditions(const struct rule_call *c)
{
    struct place list = place_member(c->at, "conditions");
    size_t i = 0;
    json_each (it, json_get_str(c->value, "conditions")) {
        struct place here = place_item(&list, i++);
        struct slice type = json_path_string(it, "type");
        if (!is_built_in(type))
            member_invalid(c->v, &here, it, "type", validate_qualified_name(type));
    }
}

static void check_first_ip(const struct rule_call *c, const char *one, const char *many)
{
    struct place list = place_member(c->at, many), first = place_item(&list, 0);
    struct slice ip = json_path_string(c->value, one);
    const struct json *head = json_first(json_get_str(c->value, many));
    if (head && ip.n && !slice_eq(json_path_string(head, "ip"), ip))
        member_invalid(c->v, &first, head, "ip", arena_printf(c->v->a, "must be equal to `%s`", one));
}

/* A container that ended does not run again, unless somebody said that it should. */
static void check_terminated(const struct rule_call *c)
{
    struct place list = place_member(c->at, "containerStatuses");
    const struct json *spec = json_get_str(c->root, "spec");
    struct slice pod_policy = json_path_string(spec, "restartPolicy");
    size_t i = 0;
    json_each (it, json_get_str(c->value, "containerStatuses")) {
        struct place here = place_item(&list, i++), state = place_member(&here, "state");
        struct slice name = json_path_string(it, "name");
        const struct json *before = named(json_get_str(c->old, "containerStatuses"), name);
        const struct json *container = named(json_get_str(spec, "containers"), name);
        struct slice own = json_path_string(container, "restartPolicy"), policy = own.n ? own : pod_policy;
        bool again = slice_eq_str(policy, "Always") || json_len(json_get_str(container, "restartPolicyRules"));
        bool failed = json_int(json_path(before, "state.terminated.exitCode"), 0) != 0;
        if (!json_path(before, "state.terminated") || json_path(it, "state.terminated") || again ||
            (failed && slice_eq_str(policy, "OnFailure")))
            continue;
        place_forbidden(c->v, &state, "may not be transitioned to non-terminated state");
    }
}

/* value: the status. */
static void pod_status(const struct rule_call *c)
{
    if (!is_blank(json_get_str(c->old, "qosClass")) &&
        !json_equal(json_get_str(c->old, "qosClass"), json_get_str(c->value, "qosClass")))
        member_invalid(c->v, c->at, c->value, "qosClass", "field is immutable");
    check_conditions(c);
    check_first_ip(c, "podIP", "podIPs");
    check_first_ip(c, "hostIP", "hostIPs");
    check_terminated(c);
}

static const struct rule_entry entries[] = {
    {"ephemeral_containers", ephemeral_containers},
    {"pod_status", pod_status},
    {"resize", resize},
};

const struct rule_table rules_podsub = RULE_TABLE(entries);

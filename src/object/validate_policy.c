/* Rules of quotas, limit ranges, autoscalers, leases, events, nodes and flow control. */
#include <stdlib.h>

#include "object/meta.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum { EVENT_MESSAGE_MAX = 1024, EVENT_TEXT_MAX = 128 };

/* ---- quantities by resource ---- */

/* Resources of which there are only whole ones. */
static bool is_counted(struct slice name)
{
    static const char *const plain[] = {"pods",
                                        "services",
                                        "replicationcontrollers",
                                        "resourcequotas",
                                        "secrets",
                                        "configmaps",
                                        "persistentvolumeclaims",
                                        "services.nodeports",
                                        "services.loadbalancers",
                                        NULL};
    return text_is_one_of(name, plain) || slice_starts(name, SLICE("count/"));
}

static void whole_and_positive(const struct rule_call *c)
{
    struct place here = {0};
    json_each (it, c->value) {
        struct quantity q;
        here = place_key(c->at, it->key);
        if (!quantity_from_json(it, &q))
            continue;
        if (q.nano < 0)
            place_invalid(c->v, &here, it, "must be greater than or equal to 0");
        else if (is_counted(it->key) && q.nano % 1000000000 != 0)
            place_invalid(c->v, &here, it, "must be an integer");
    }
}

/* ---- ResourceQuota ---- */

static bool is_quota_name(struct slice name)
{
    static const char *const plain[] = {"cpu",
                                        "memory",
                                        "ephemeral-storage",
                                        "requests.cpu",
                                        "requests.memory",
                                        "requests.storage",
                                        "requests.ephemeral-storage",
                                        "limits.cpu",
                                        "limits.memory",
                                        "limits.ephemeral-storage",
                                        NULL};
    static const char *const prefixes[] = {"requests.hugepages-", "limits.hugepages-", "hugepages-"};
    if (text_is_one_of(name, plain) || is_counted(name))
        return true;
    for (size_t i = 0; i < 3; i++)
        if (slice_starts(name, slice_str(prefixes[i])))
            return true;
    return name.n && memchr(name.p, '/', name.n);
}

static void quota_names(const struct rule_call *c)
{
    json_each (it, c->value) {
        struct place here = place_key(c->at, it->key);
        const char *why = validate_qualified_name(it->key);
        if (!why && !is_quota_name(it->key))
            why = "must be a standard resource type or fully qualified";
        place_invalid(c->v, &here, json_new_string(c->v->a, it->key), why);
    }
}

static bool has_text(const struct json *list, const char *text)
{
    json_each (it, list)
        if (slice_eq_str(json_string(it), text))
            return true;
    return false;
}

static const char *const scope_names[] = {"BestEffort",
                                          "CrossNamespacePodAffinity",
                                          "NotBestEffort",
                                          "NotTerminating",
                                          "PriorityClass",
                                          "Terminating",
                                          "VolumeAttributesClass",
                                          NULL};

/* Whether a standard resource may be counted by scope. Others are not Kubernetes' to judge. */
static bool scope_fits(struct slice scope, struct slice resource)
{
    static const char *const computed[] = {"cpu",          "memory",          "limits.cpu", "limits.memory",
                                           "requests.cpu", "requests.memory", NULL};
    static const char *const others[] = {
        "ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "requests.storage",
        "services",          "replicationcontrollers",     "resourcequotas",           "secrets",
        "configmaps",        "services.nodeports",         "services.loadbalancers",   NULL};
    bool pods = slice_eq_str(resource, "pods"), claims = slice_eq_str(resource, "persistentvolumeclaims");
    if (!pods && !claims && !text_is_one_of(resource, computed) && !text_is_one_of(resource, others))
        return true;
    if (slice_eq_str(scope, "BestEffort"))
        return pods;
    if (slice_eq_str(scope, "VolumeAttributesClass"))
        return claims;
    return pods || text_is_one_of(resource, computed);
}

/* value: a quota's spec. */
static void quota_scopes(const struct rule_call *c)
{
    static const char *const opposite[][2] = {{"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"}};
    struct place at = place_member(c->at, "scopes");
    const struct json *scopes = json_get_str(c->value, "scopes");
    for (size_t i = 0; i < 2; i++)
        if (has_text(scopes, opposite[i][0]) && has_text(scopes, opposite[i][1]))
            place_invalid(c->v, &at, scopes, "conflicting scopes");
    json_each (scope, scopes) {
        if (!text_is_one_of(json_string(scope), scope_names))
            place_invalid(c->v, &at, scopes, "unsupported scope");
        json_each (it, json_get_str(c->value, "hard"))
            if (!scope_fits(json_string(scope), it->key)) {
                place_invalid(c->v, &at, scopes, "unsupported scope applied to resource");
                break;
            }
    }
}

static void scope_requirement(const struct rule_call *c)
{
    static const char *const plain[] = {
        "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity", NULL};
    struct place values = place_member(c->at, "values"), operator= place_member(c->at, "operator");
    struct slice op = json_path_string(c->value, "operator");
    bool listed = slice_eq_str(op, "In") || slice_eq_str(op, "NotIn");
    size_t n = json_len(json_get_str(c->value, "values"));
    if (text_is_one_of(json_path_string(c->value, "scopeName"), plain) && !slice_eq_str(op, "Exists"))
        place_invalid(c->v, &operator, json_get_str(c->value, "operator"),
                      "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
                      "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                      "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
    if (listed && n == 0)
        place_required(c->v, &values,
                       "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
    bool plainly = slice_eq_str(op, "Exists") || slice_eq_str(op, "DoesNotExist");
    struct place scope = place_member(c->at, "scopeName");
    if (!text_is_one_of(json_path_string(c->value, "scopeName"), scope_names))
        place_invalid(c->v, &scope, json_get_str(c->value, "scopeName"), "unsupported scope");
    if (!listed && !plainly)
        place_invalid(c->v, &operator, json_get_str(c->value, "operator"), "not a valid selector operator");
    if (plainly && n)
        place_invalid(c->v, &values, json_get_str(c->value, "values"),
                      "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
}

/* ---- LimitRange ---- */

static bool amount(const struct json *list, struct slice key, struct quantity *ret)
{
    return quantity_from_json(json_get(list, key), ret);
}

/* low ≤ high of a resource, as the two lists say; told at the lower one. */
static void check_pair(const struct rule_call *c, const char *low, const char *high, const char *words)
{
    struct place list = place_member(c->at, low);
    const struct json *most = json_get_str(c->value, high);
    json_each (it, json_get_str(c->value, low)) {
        struct place here = place_key(&list, it->key);
        struct quantity x, y;
        if (quantity_from_json(it, &x) && amount(most, it->key, &y) && quantity_cmp(x, y) > 0)
            place_invalid(c->v, &here, it,
                          arena_printf(c->v->a, "%s value %" SLICE_FMT " is greater than %s value %" SLICE_FMT, low,
                                       SLICE_ARG(json_string(it)), words,
                                       SLICE_ARG(json_string(json_get(most, it->key)))));
    }
}

static void check_ratio(const struct rule_call *c)
{
    struct place list = place_member(c->at, "maxLimitRequestRatio");
    json_each (it, json_get_str(c->value, "maxLimitRequestRatio")) {
        struct place here = place_key(&list, it->key);
        struct quantity ratio, min, max;
        if (!quantity_from_json(it, &ratio))
            continue;
        if (ratio.nano < 1000000000)
            place_invalid(c->v, &here, it,
                          arena_printf(c->v->a, "ratio %" SLICE_FMT " is less than 1", SLICE_ARG(json_string(it))));
        if (amount(json_get_str(c->value, "min"), it->key, &min) && min.nano > 0 &&
            amount(json_get_str(c->value, "max"), it->key, &max) &&
            (double)ratio.nano / 1e9 > (double)max.nano / (double)min.nano)
            place_invalid(c->v, &here, it,
                          arena_printf(c->v->a, "ratio %" SLICE_FMT " is greater than max/min = %f",
                                       SLICE_ARG(json_string(it)), (double)max.nano / (double)min.nano));
    }
}

static bool is_overcommittable(struct slice name)
{
    return !slice_starts(name, SLICE("hugepages-")) && !(name.n && memchr(name.p, '/', name.n));
}

/* value: one limit. */
static void limit_item(const struct rule_call *c)
{
    struct slice type = json_path_string(c->value, "type");
    struct place at = place_member(c->at, "defaultRequest");
    bool pod = slice_eq_str(type, "Pod"), claim = slice_eq_str(type, "PersistentVolumeClaim");
    if (!pod && !claim && !slice_eq_str(type, "Container") && type.n)
        member_invalid(c->v, c->at, c->value, "type",
                       memchr(type.p, '/', type.n) ? validate_qualified_name(type)
                                                   : "must be a standard limit type or fully qualified");
    if (pod && json_len(json_get_str(c->value, "default")))
        member_forbidden(c->v, c->at, "default", "may not be specified when `type` is 'Pod'");
    if (pod && json_len(json_get_str(c->value, "defaultRequest")))
        member_forbidden(c->v, c->at, "defaultRequest", "may not be specified when `type` is 'Pod'");
    if (claim && !json_get_str(json_get_str(c->value, "min"), "storage") &&
        !json_get_str(json_get_str(c->value, "max"), "storage"))
        place_required(c->v, c->at, "either minimum or maximum storage value is required, but neither was provided");
    check_pair(c, "min", "max", "max");
    check_pair(c, "min", "defaultRequest", "default request");
    check_pair(c, "defaultRequest", "max", "max");
    check_pair(c, "defaultRequest", "default", "default limit");
    check_pair(c, "default", "max", "max");
    check_ratio(c);
    json_each (it, json_get_str(c->value, "defaultRequest")) {
        struct place here = place_key(&at, it->key);
        const struct json *limit = json_get(json_get_str(c->value, "default"), it->key);
        if (limit && !is_overcommittable(it->key) && !json_equal(it, limit))
            place_invalid(c->v, &here, it,
                          "default value must equal to defaultRequest value for non-overcommitable resource");
    }
}

/* ---- HorizontalPodAutoscaler ---- */

static void hpa_target(const struct rule_call *c)
{
    member_check(c->v, c->at, c->value, "kind", validate_path_segment);
    member_check(c->v, c->at, c->value, "name", validate_path_segment);
    struct slice version = json_path_string(c->value, "apiVersion"), kind = json_path_string(c->value, "kind");
    bool same = c->update && json_equal(c->value, c->old);
    if (!same && !slice_eq_str(kind, "ReplicationController") && !(version.n && memchr(version.p, '/', version.n)))
        member_invalid(c->v, c->at, c->value, "apiVersion", "must specify the API group");
}

/* At most one of value, averageValue and averageUtilization, and it positive. */
static void metric_target(const struct rule_call *c)
{
    static const char *const types[] = {"AverageValue", "Utilization", "Value", NULL};
    static const char *const amounts[] = {"value", "averageValue"};
    if (!c->value)
        return;
    struct place type = place_member(c->at, "type");
    if (!text_is_one_of(json_path_string(c->value, "type"), types) && json_path_string(c->value, "type").n)
        place_invalid(c->v, &type, json_get_str(c->value, "type"),
                      "must be either Utilization, Value, or AverageValue");
    for (size_t i = 0; i < 2; i++) {
        struct place here = place_member(c->at, amounts[i]);
        struct quantity q;
        if (quantity_from_json(json_get_str(c->value, amounts[i]), &q) && q.nano <= 0)
            place_invalid(c->v, &here, json_get_str(c->value, amounts[i]), "must be positive");
    }
    const struct json *percent = json_get_str(c->value, "averageUtilization");
    if (percent && json_int(percent, 1) < 1)
        member_invalid(c->v, c->at, c->value, "averageUtilization", "must be greater than 0");
}

static bool given(const struct json *target, const char *member)
{
    return json_get_str(target, member) != NULL;
}

static void check_metric_target(const struct rule_call *c, struct slice type, const struct json *source,
                                const struct place *at)
{
    const struct json *target = json_get_str(source, "target");
    struct place here = place_member(at, "target"), average = place_member(&here, "averageValue");
    struct place value = place_member(&here, "value"), use = place_member(&here, "averageUtilization");
    bool resource = slice_eq_str(type, "Resource") || slice_eq_str(type, "ContainerResource");
    if (resource && !given(target, "averageUtilization") && !given(target, "averageValue"))
        place_required(c->v, &use, "must set either a target raw value or a target utilization");
    else if (resource && given(target, "averageUtilization") && given(target, "averageValue"))
        place_forbidden(c->v, &average, "may not set both a target raw value and a target utilization");
    if (slice_eq_str(type, "Pods") && !given(target, "averageValue"))
        place_required(c->v, &average, "must specify a positive target averageValue");
    if (slice_eq_str(type, "External") && !given(target, "value") && !given(target, "averageValue"))
        place_required(c->v, &average, "must set either a target value for metric or a per-pod target");
    else if (slice_eq_str(type, "External") && given(target, "value") && given(target, "averageValue"))
        place_forbidden(c->v, &value, "may not set both a target value for metric and a per-pod target");
}

static void metric(const struct rule_call *c)
{
    static const char *const types[] = {"ContainerResource", "External", "Object", "Pods", "Resource", NULL};
    static const char *const members[] = {"containerResource", "external", "object", "pods", "resource"};
    struct place type = place_member(c->at, "type");
    struct slice t = json_path_string(c->value, "type");
    if (t.n && !text_is_one_of(t, types)) {
        place_not_supported(c->v, &type, json_get_str(c->value, "type"), types);
        return;
    }
    for (size_t i = 0; i < 5; i++) {
        struct place here = place_member(c->at, members[i]);
        const struct json *source = json_get_str(c->value, members[i]);
        bool wanted = slice_eq_str(t, types[i]);
        if (wanted && !source)
            place_required(c->v, &here, "must populate information for the given metric source");
        else if (wanted)
            check_metric_target(c, t, source, &here);
        else if (source && t.n)
            place_forbidden(c->v, &here, "must populate the given metric source only");
    }
}

static void scaling_rules(const struct rule_call *c)
{
    static const char *const select[] = {"Disabled", "Max", "Min", NULL}, *const types[] = {"Percent", "Pods", NULL};
    struct place list = place_member(c->at, "policies"), window = place_member(c->at, "stabilizationWindowSeconds");
    struct place policy = place_member(c->at, "selectPolicy");
    const struct json *w = json_get_str(c->value, "stabilizationWindowSeconds"),
                      *s = json_get_str(c->value, "selectPolicy");
    size_t i = 0;
    if (!c->value)
        return;
    if (w && json_int(w, 0) < 0)
        place_invalid(c->v, &window, w, "must be greater than or equal to zero");
    if (w && json_int(w, 0) > 3600)
        place_invalid(c->v, &window, w, "must be less than or equal to 3600");
    if (!is_blank(s) && !text_is_one_of(json_string(s), select))
        place_not_supported(c->v, &policy, s, select);
    if (json_len(json_get_str(c->value, "policies")) == 0)
        place_required(c->v, &list, "must specify at least one Policy");
    json_each (it, json_get_str(c->value, "policies")) {
        struct place here = place_item(&list, i++), type = place_member(&here, "type");
        int64_t seconds = json_int(json_get_str(it, "periodSeconds"), 0);
        if (!text_is_one_of(json_path_string(it, "type"), types))
            place_not_supported(c->v, &type, json_get_str(it, "type"), types);
        if (json_int(json_get_str(it, "value"), 0) <= 0)
            member_invalid(c->v, &here, it, "value", "must be greater than zero");
        if (seconds <= 0)
            member_invalid(c->v, &here, it, "periodSeconds", "must be greater than zero");
        if (seconds > 1800)
            member_invalid(c->v, &here, it, "periodSeconds", "must be less than or equal to 1800");
    }
}

/* ---- Lease ---- */

static void lease(const struct rule_call *c)
{
    if (!is_blank(json_get_str(c->value, "preferredHolder")) && is_blank(json_get_str(c->value, "strategy")))
        member_forbidden(c->v, c->at, "preferredHolder", "may only be specified when `strategy` is defined");
}

/* ---- Event ---- */

static void check_limit(const struct rule_call *c, const char *member, size_t max)
{
    struct slice s = json_path_string(c->value, member);
    if (s.n > max)
        member_invalid(c->v, c->at, c->value, member, arena_printf(c->v->a, "can have at most %zu characters", max));
}

static void new_event(const struct rule_call *c)
{
    static const char *const needed[] = {"reportingInstance", "action", "reason"};
    static const char *const names[] = {"reportingComponent", "reportingController"};
    const char *reporter = names[json_get_str(c->value, names[1]) != NULL];
    struct place at = place_member(c->at, names[1]); /* so it is called in either version */
    const struct json *who = json_get_str(c->value, reporter);
    if (is_blank(who))
        place_required(c->v, &at, NULL);
    else
        place_invalid(c->v, &at, who, validate_qualified_name(json_string(who)));
    for (size_t i = 0; i < 3; i++) {
        member_required(c->v, c->at, c->value, needed[i]);
        check_limit(c, needed[i], EVENT_TEXT_MAX);
    }
    check_limit(c, json_get_str(c->value, "note") ? "note" : "message", EVENT_MESSAGE_MAX);
}

/* value: a core/v1 Event. */
static void event(const struct rule_call *c)
{
    struct place object = place_member(c->at, "involvedObject");
    struct slice ns = json_path_string(c->value, "involvedObject.namespace"), own = meta_namespace(c->value);
    bool fits = ns.n ? slice_eq(ns, own) : slice_eq_str(own, "default");
    if (!fits)
        member_invalid(c->v, &object, json_get_str(c->value, "involvedObject"), "namespace",
                       "does not match event.namespace");
    if (!is_blank(json_get_str(c->value, "eventTime")))
        new_event(c);
}

/* value: an events.k8s.io/v1 Event. */
static void event_v1(const struct rule_call *c)
{
    static const char *const old[] = {"deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp",
                                      "deprecatedCount"};
    static const char *const core[] = {"source", "firstTimestamp", "lastTimestamp", "count"};
    static const char *const types[] = {"Normal", "Warning", NULL};
    struct place series = place_member(c->at, "series"), type = place_member(c->at, "type");
    const struct json *count = json_path(c->value, "series.count");
    if (c->update) {
        struct json *x = json_clone(c->v->a, c->value), *y = json_clone(c->v->a, c->old);
        static const char *const free[] = {"series", "metadata", "apiVersion", "kind"};
        for (size_t i = 0; i < 4; i++) {
            json_del_str(x, free[i]);
            json_del_str(y, free[i]);
        }
        json_each (it, x)
            if (!json_equal(it, json_get(y, it->key)))
                place_invalid(c->v, &(struct place){.up = c->at, .name = it->key}, it, "field is immutable");
        return;
    }
    struct place meta = place_member(c->at, "metadata");
    member_check(c->v, &meta, json_get_str(c->value, "metadata"), "name", validate_subdomain);
    member_required(c->v, c->at, c->value, "eventTime");
    new_event(c);
    if (!text_is_one_of(json_path_string(c->value, "type"), types))
        place_invalid(c->v, &type, json_get_str(c->value, "type"), "has invalid value");
    if (count && json_int(count, 0) < 2)
        member_invalid(c->v, &series, json_get_str(c->value, "series"), "count", "should be at least 2");
    for (size_t i = 0; i < 4; i++) {
        const struct json *v = json_get_str(c->value, old[i]);
        bool zero = is_blank(v) || (json_is(v, JSON_INT) && json_int(v, 1) == 0);
        struct place here = place_member(c->at, core[i]);
        if (!zero)
            place_invalid(c->v, &here, json_new_str(c->v->a, ""), "needs to be unset");
    }
}

/* ---- Node ---- */

/* value: the spec. */
static void node_spec(const struct rule_call *c)
{
    const struct json *list = json_get_str(c->value, "podCIDRs"), *one = json_get_str(c->value, "podCIDR");
    struct place at = place_member(c->at, "podCIDRs"), first = place_item(&at, 0);
    if (json_len(list) && one && !slice_eq(json_string(json_at(list, 0)), json_string(one)))
        place_invalid(c->v, &first, json_at(list, 0), "must match `podCIDR`");
    if (c->update && c->old && !is_blank(json_get_str(c->old, "externalID")) &&
        !json_equal(json_get_str(c->old, "externalID"), json_get_str(c->value, "externalID")))
        member_forbidden(c->v, c->at, "externalID", "may not be updated");
}

/* ---- flow control ---- */

static void priority_level(const struct rule_call *c)
{
    static const char *const types[] = {"Exempt", "Limited", NULL};
    struct slice type = json_path_string(c->value, "type");
    struct place at = place_member(c->at, "type");
    if (type.n && !text_is_one_of(type, types))
        place_not_supported(c->v, &at, json_get_str(c->value, "type"), types);
    if (slice_eq_str(type, "Exempt") && json_get_str(c->value, "limited"))
        member_forbidden(c->v, c->at, "limited", "must be nil if the type is not Limited");
    if (slice_eq_str(type, "Limited") && !json_get_str(c->value, "limited"))
        member_required(c->v, c->at, json_new_object(c->v->a), "limited");
    if (slice_eq_str(type, "Limited") && json_get_str(c->value, "exempt"))
        member_forbidden(c->v, c->at, "exempt", "must be nil if the type is Limited");
}

static void limit_response(const struct rule_call *c)
{
    static const char *const types[] = {"Queue", "Reject", NULL};
    struct slice type = json_path_string(c->value, "type");
    struct place at = place_member(c->at, "type");
    if (type.n && !text_is_one_of(type, types))
        place_not_supported(c->v, &at, json_get_str(c->value, "type"), types);
    if (slice_eq_str(type, "Reject") && json_get_str(c->value, "queuing"))
        member_forbidden(c->v, c->at, "queuing", "must be nil if limited.limitResponse.type is not Limited");
    if (slice_eq_str(type, "Queue") && !json_get_str(c->value, "queuing"))
        place_required(c->v, &(struct place){.up = c->at, .name = SLICE("queuing")},
                       "must not be empty if limited.limitResponse.type is Limited");
}

static void queuing(const struct rule_call *c)
{
    if (json_int(json_get_str(c->value, "queues"), 1) <= 0)
        member_invalid(c->v, c->at, c->value, "queues", "must be positive");
    if (json_int(json_get_str(c->value, "handSize"), 1) <= 0)
        member_invalid(c->v, c->at, c->value, "handSize", "must be positive");
    if (json_int(json_get_str(c->value, "queueLengthLimit"), 1) <= 0)
        member_invalid(c->v, c->at, c->value, "queueLengthLimit", "must be positive");
    if (json_int(json_get_str(c->value, "handSize"), 0) > json_int(json_get_str(c->value, "queues"), 0))
        member_invalid(c->v, c->at, c->value, "handSize",
                       arena_printf(c->v->a, "should not be greater than queues (%lld)",
                                    (long long)json_int(json_get_str(c->value, "queues"), 0)));
}

static void flow_subject(const struct rule_call *c)
{
    static const char *const kinds[] = {"Group", "ServiceAccount", "User", NULL};
    static const char *const members[] = {"group", "serviceAccount", "user"};
    struct slice kind = json_path_string(c->value, "kind");
    struct place at = place_member(c->at, "kind");
    if (kind.n && !text_is_one_of(kind, kinds))
        place_not_supported(c->v, &at, json_get_str(c->value, "kind"), kinds);
    for (size_t i = 0; i < 3; i++) {
        bool wanted = slice_eq_str(kind, kinds[i]), there = json_get_str(c->value, members[i]);
        if (wanted && !there)
            place_required(c->v, &(struct place){.up = c->at, .name = slice_str(members[i])},
                           arena_printf(c->v->a, "%s is required when subject kind is '%s'", members[i], kinds[i]));
        else if (!wanted && there && kind.n)
            member_forbidden(
                c->v, c->at, members[i],
                arena_printf(c->v->a, "%s is forbidden when subject kind is not '%s'", members[i], kinds[i]));
    }
}

static void flow_rules(const struct rule_call *c)
{
    if (json_len(json_get_str(c->value, "subjects")) == 0)
        place_required(c->v, &(struct place){.up = c->at, .name = SLICE("subjects")},
                       "subjects must contain at least one value");
    if (json_len(json_get_str(c->value, "resourceRules")) == 0 &&
        json_len(json_get_str(c->value, "nonResourceRules")) == 0)
        place_required(c->v, c->at, "at least one of resourceRules and nonResourceRules has to be non-empty");
}

/* A list that must hold something, and "*" only alone. */
static void star_alone(const struct rule_call *c)
{
    if (json_len(c->value) == 0)
        place_required(c->v, c->at, NULL);
    else if (has_text(c->value, "*") && json_len(c->value) > 1)
        place_invalid(c->v, c->at, c->value, "if '*' is present, must not specify other values");
}

static const struct rule_entry entries[] = {
    {"event", event},
    {"event_v1", event_v1},
    {"flow_rules", flow_rules},
    {"flow_subject", flow_subject},
    {"hpa_target", hpa_target},
    {"lease", lease},
    {"limit_item", limit_item},
    {"limit_response", limit_response},
    {"metric", metric},
    {"metric_target", metric_target},
    {"node_spec", node_spec},
    {"priority_level", priority_level},
    {"queuing", queuing},
    {"quota_names", quota_names},
    {"quota_scopes", quota_scopes},
    {"scaling_rules", scaling_rules},
    {"scope_requirement", scope_requirement},
    {"star-alone", star_alone},
    {"whole_and_positive", whole_and_positive},
};

const struct rule_table rules_policy = RULE_TABLE(entries);

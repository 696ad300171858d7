/* PodDisruptionBudget: how many of the selected pods may be evicted now; the eviction subresource asks for it.
 * https://kubernetes.io/docs/concepts/workloads/pods/disruptions/ */
#include "base/timefmt.h"
#include "controllers/builtin.h"
#include "controllers/podutil.h"
#include "object/intstr.h"
#include "object/meta.h"

/* An eviction whose deletion does not show up for this long did not happen. */
#define EVICTION_SEEN_NS (120 * NS_PER_SEC)

struct candidates {
    struct key_sink *sink;
    struct arena *a;
    const struct json *pod;
};

static void match_budget(void *ctx, const struct json *budget)
{
    struct candidates *c = ctx;
    struct selector s;
    if (!selector_from_object(c->a, json_path(budget, "spec.selector"), &s) &&
        selector_matches_labels(&s, meta_labels(c->pod)))
        key_add_parts(c->sink, meta_namespace(budget), meta_name(budget));
}

void disruption_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    struct candidates c = {sink, a, pod};
    (void)before;
    sink_each(sink, a, "policy", "poddisruptionbudgets", meta_namespace(pod), match_budget, &c);
}

/* What the pods' owners ask for, each owner once; pods without one count themselves. */
static int64_t wanted_pods(struct reconcile *r, const struct json **pods, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        const struct json *owner = meta_controller(pods[i]);
        struct slice uid = json_path_string(owner, "uid");
        bool counted = false;
        for (size_t j = 0; j < i && owner && !counted; j++)
            counted = slice_eq(json_path_string(meta_controller(pods[j]), "uid"), uid);
        if (counted)
            continue;
        struct slice kind = json_path_string(owner, "kind"), name = json_path_string(owner, "name");
        const struct json *set = NULL;
        if (slice_eq_str(kind, "ReplicaSet"))
            set = view_get(r, "apps", "replicasets", r->ns, name);
        else if (slice_eq_str(kind, "ReplicationController"))
            set = view_get(r, "", "replicationcontrollers", r->ns, name);
        sum += set ? json_int(json_path(set, "spec.replicas"), 0) : 1;
    }
    return sum;
}

/* Healthy pods that must stay. */
static int64_t desired_healthy(const struct json *budget, int64_t expected, int64_t present)
{
    const struct json *min = json_path(budget, "spec.minAvailable"), *max = json_path(budget, "spec.maxUnavailable");
    int64_t n = 0, percent;
    if (max) {
        intstr_scaled(max, expected, true, &n);
        return expected > n ? expected - n : 0;
    }
    intstr_scaled(min, intstr_is_percent(min, &percent) ? expected : present, true, &n);
    return n;
}

/* Evicted, but not seen to be deleted yet: it counts no more, and is kept in the budget's list for a while. */
static bool is_going(struct reconcile *r, const struct json *budget, const struct json *pod, struct json *disrupted)
{
    const struct json *since = json_get(json_path(budget, "status.disruptedPods"), meta_name(pod));
    int64_t at;
    if (!since || !time_parse(json_string(since), &at) || r->now - at > EVICTION_SEEN_NS)
        return false;
    json_set(r->a, disrupted, meta_name(pod), json_clone(r->a, since));
    return true;
}

void disruption_reconcile(struct reconcile *r)
{
    struct arena *a = r->a;
    const struct json *budget = view_get(r, "policy", "poddisruptionbudgets", r->ns, r->name);
    struct selector selector;
    if (!budget || selector_from_object(a, json_path(budget, "spec.selector"), &selector))
        return;
    const struct json **pods = view_list(r, "", "pods", r->ns);
    size_t n = 0;
    int64_t healthy = 0;
    struct json *disrupted = json_new_object(a);
    for (size_t i = 0; pods[i]; i++) {
        if (!pod_is_active(pods[i]) || !selector_matches_labels(&selector, meta_labels(pods[i])))
            continue;
        healthy += !is_going(r, budget, pods[i], disrupted) && pod_is_ready(pods[i]);
        pods[n++] = pods[i];
    }
    int64_t expected = wanted_pods(r, pods, n), desired = desired_healthy(budget, expected, (int64_t)n);
    int64_t allowed = healthy > desired ? healthy - desired : 0;
    struct json *obj = json_clone(a, budget), *status = json_new_object(a), *conditions;
    const struct json *there = json_path(budget, "status.conditions");
    conditions = there ? json_clone(a, there) : json_new_array(a);
    condition_set(a, conditions, "DisruptionAllowed", allowed ? "True" : "False",
                  allowed ? "SufficientPods" : "InsufficientPods", "", r->now);
    json_each (c, conditions)
        json_del_str(c, "lastUpdateTime");
    json_set_str(a, status, "observedGeneration", json_new_int(a, meta_generation(budget)));
    if (json_len(disrupted)) {
        json_set_str(a, status, "disruptedPods", disrupted);
        r->requeue_ms = EVICTION_SEEN_NS / NS_PER_MS;
    }
    json_set_str(a, status, "disruptionsAllowed", json_new_int(a, allowed));
    json_set_str(a, status, "currentHealthy", json_new_int(a, healthy));
    json_set_str(a, status, "desiredHealthy", json_new_int(a, desired));
    json_set_str(a, status, "expectedPods", json_new_int(a, expected));
    json_set_str(a, status, "conditions", conditions);
    if (json_equal(status, json_get_str(budget, "status")))
        return;
    json_set_str(a, obj, "status", status);
    op_update(r, "policy", "poddisruptionbudgets", obj, "status");
}

/* Node lifecycle: a node that no longer renews its Lease is unreachable; nodes that are not ready are tainted, their pods are
 * no longer ready, and go when they do not tolerate it any longer.
 * https://kubernetes.io/docs/concepts/architecture/nodes/ */
#include "base/timefmt.h"
#include "controllers/builtin.h"
#include "controllers/podutil.h"
#include "object/meta.h"

enum { GRACE_S = 40, CHECK_MS = 5000 };

#define NOT_READY   "node.kubernetes.io/not-ready"
#define UNREACHABLE "node.kubernetes.io/unreachable"

void nodelifecycle_map_lease(struct key_sink *sink, struct arena *a, const struct json *lease,
                             const struct json *before)
{
    (void)a;
    if (slice_eq_str(meta_namespace(lease), "kube-node-lease") &&
        !before) /* renewals are looked at in turn, not each */
        key_add(sink, meta_name(lease));
}

void nodelifecycle_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    struct slice node = json_path_string(pod, "spec.nodeName");
    (void)a;
    if (node.n && !json_path_string(before, "spec.nodeName").n)
        key_add(sink, node);
}

/* ---- is it alive ---- */

/* No renewal was seen for the grace period, by this leader's monotonic clock: what time the node, or the leader, thinks it
 * is does not matter, and a cluster that was down as a whole does not lose its nodes. */
static bool is_stale(struct reconcile *r)
{
    const struct json *lease = view_get(r, "coordination.k8s.io", "leases", SLICE("kube-node-lease"), r->name);
    uint64_t renewal = 0;
    slice_to_u64(meta_resource_version(lease), &renewal);
    if (renewal != r->memo->what || !r->memo->seen) {
        r->memo->what = renewal;
        r->memo->seen = r->up;
    }
    return r->up - r->memo->seen > (uint64_t)GRACE_S * NS_PER_SEC;
}

static void mark_unknown(struct reconcile *r, const struct json *node)
{
    struct json *obj = json_clone(r->a, node), *status = json_object_at(r->a, obj, "status");
    struct json *list = json_get_str(status, "conditions");
    if (!json_is(list, JSON_ARRAY)) {
        list = json_new_array(r->a);
        json_set_str(r->a, status, "conditions", list);
    }
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    bool changed = false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        changed |= condition_set(r->a, list, types[i], "Unknown", "NodeStatusUnknown",
                                 "Kubelet stopped posting node status.", r->now);
    json_each (c, list)
        json_del_str(c, "lastUpdateTime"); /* node conditions have lastHeartbeatTime instead, which stays */
    if (!changed)
        return;
    op_update(r, "", "nodes", obj, "status");
    op_event(r, node, "Normal", "NodeNotReady", "Node %" SLICE_FMT " status is now: NodeNotReady", SLICE_ARG(r->name));
}

/* ---- taints ---- */

static struct json *taint(struct reconcile *r, const char *key, const char *effect)
{
    char now[TIME_SEC_LEN + 1];
    struct json *t = json_new_object(r->a);
    time_format_sec(r->now, now);
    json_set_str(r->a, t, "key", json_new_str(r->a, key));
    json_set_str(r->a, t, "effect", json_new_str(r->a, effect));
    json_set_str(r->a, t, "timeAdded", json_new_str(r->a, now));
    return t;
}

static const struct json *find_taint(const struct json *node, const char *key, const char *effect)
{
    json_each (t, json_path(node, "spec.taints"))
        if (slice_eq_str(json_path_string(t, "key"), key) && slice_eq_str(json_path_string(t, "effect"), effect))
            return t;
    return NULL;
}

static bool is_ours(const struct json *t)
{
    struct slice key = json_path_string(t, "key");
    return slice_eq_str(key, NOT_READY) || slice_eq_str(key, UNREACHABLE);
}

/* Brings our taints in line with wanted (NULL = none); true when nothing had to change. */
static bool sync_taints(struct reconcile *r, const struct json *node, const char *wanted)
{
    static const char *const effects[] = {"NoSchedule", "NoExecute"};
    struct json *list = json_new_array(r->a);
    bool same = true;
    json_each (t, json_path(node, "spec.taints")) {
        bool keep = !is_ours(t) || (wanted && slice_eq_str(json_path_string(t, "key"), wanted));
        same &= keep;
        if (keep)
            json_append(list, json_clone(r->a, t));
    }
    for (size_t i = 0; wanted && i < 2; i++) {
        if (find_taint(node, wanted, effects[i]))
            continue;
        json_append(list, taint(r, wanted, effects[i]));
        same = false;
    }
    if (same)
        return true;
    struct json *patch = json_new_object(r->a), *meta = json_new_object(r->a);
    json_set_str(r->a, meta, "resourceVersion", json_new_string(r->a, meta_resource_version(node)));
    json_set_str(r->a, patch, "metadata", meta);
    json_set_str(r->a, json_object_at(r->a, patch, "spec"), "taints", json_len(list) ? list : json_new_null(r->a));
    op_patch(r, "", "nodes", SLICE_NONE, r->name, patch, NULL);
    return false;
}

/* ---- pods ---- */

static void mark_pod_not_ready(struct reconcile *r, const struct json *pod)
{
    if (!condition_is(pod, "Ready", "True"))
        return;
    struct json *patch = json_new_object(r->a), *list = json_clone(r->a, json_path(pod, "status.conditions"));
    condition_set(r->a, list, "Ready", "False", "NodeNotReady", "Node is not ready", r->now);
    json_each (c, list)
        json_del_str(c, "lastUpdateTime");
    json_set_str(r->a, json_object_at(r->a, patch, "status"), "conditions", list);
    op_patch(r, "", "pods", meta_namespace(pod), meta_name(pod), patch, "status");
}

/* How long the pod bears a NoExecute taint, in seconds: -1 = for ever, 0 = not at all. */
static int64_t tolerated_seconds(const struct json *pod, const struct json *t)
{
    int64_t least = 0;
    bool any = false;
    json_each (tol, json_path(pod, "spec.tolerations")) {
        struct slice key = json_path_string(tol, "key"), effect = json_path_string(tol, "effect");
        if ((key.n && !slice_eq(key, json_path_string(t, "key"))) || (effect.n && !slice_eq_str(effect, "NoExecute")))
            continue;
        if (!slice_eq_str(json_path_string(tol, "operator"), "Exists") &&
            !slice_eq(json_path_string(tol, "value"), json_path_string(t, "value")))
            continue;
        int64_t seconds = json_int(json_get_str(tol, "tolerationSeconds"), -1);
        if (!any || (seconds >= 0 && (least < 0 || seconds < least)))
            least = seconds;
        any = true;
    }
    return any ? least : 0;
}

static void evict(struct reconcile *r, const struct json *node, const struct json *pod)
{
    json_each (t, json_path(node, "spec.taints")) {
        if (!slice_eq_str(json_path_string(t, "effect"), "NoExecute") || meta_is_deleting(pod))
            continue;
        int64_t seconds = tolerated_seconds(pod, t);
        if (seconds < 0 || r->up < r->memo->since + (uint64_t)seconds * NS_PER_SEC)
            continue;
        op_event(r, pod, "Normal", "TaintManagerEviction", "Marking for deletion Pod %" SLICE_FMT "/%" SLICE_FMT,
                 SLICE_ARG(meta_namespace(pod)), SLICE_ARG(meta_name(pod)));
        op_delete(r, "", "pods", meta_namespace(pod), meta_name(pod), meta_uid(pod), NULL, -1);
        return;
    }
}

static void sync_pods(struct reconcile *r, const struct json *node, bool ready)
{
    bool executes = false;
    json_each (t, json_path(node, "spec.taints"))
        executes |= slice_eq_str(json_path_string(t, "effect"), "NoExecute");
    if (!executes)
        r->memo->since = 0;
    else if (!r->memo->since)
        r->memo->since = r->up; /* as long as this leader sees it: who leads anew waits anew */
    if (ready && !executes)
        return;
    const struct json **pods = view_list(r, "", "pods", SLICE_NONE);
    for (size_t i = 0; pods[i]; i++) {
        if (!slice_eq(json_path_string(pods[i], "spec.nodeName"), r->name))
            continue;
        if (!ready)
            mark_pod_not_ready(r, pods[i]);
        if (executes)
            evict(r, node, pods[i]);
    }
}

void nodelifecycle_reconcile(struct reconcile *r)
{
    const struct json *node = view_get(r, "", "nodes", SLICE_NONE, r->name);
    if (!node || meta_is_deleting(node))
        return;
    bool stale = is_stale(r), ready = !stale && condition_is(node, "Ready", "True");
    bool unknown = stale || condition_is(node, "Ready", "Unknown");
    r->requeue_ms = CHECK_MS;
    if (stale)
        mark_unknown(r, node);
    if (sync_taints(r, node, ready ? NULL : unknown ? UNREACHABLE : NOT_READY))
        sync_pods(r, node, ready);
}

/* Pods on a node that no longer exists are deleted at once: nobody will ever report their end. */
void podgc_reconcile(struct reconcile *r)
{
    const struct json *pod = view_get(r, "", "pods", r->ns, r->name);
    struct slice node = json_path_string(pod, "spec.nodeName");
    if (!pod || !node.n || view_get(r, "", "nodes", SLICE_NONE, node))
        return;
    if (r->up < (uint64_t)GRACE_S * NS_PER_SEC) {
        r->requeue_ms = 1000UL * GRACE_S;
        return;
    }
    op_delete(r, "", "pods", r->ns, r->name, meta_uid(pod), NULL, 0);
}

static void add_pod_of(void *ctx, const struct json *pod)
{
    key_add_parts(ctx, meta_namespace(pod), meta_name(pod));
}

void podgc_map_node(struct key_sink *sink, struct arena *a, const struct json *node, const struct json *before)
{
    (void)node;
    if (!before) /* appeared or went */
        sink_each(sink, a, "", "pods", SLICE_NONE, add_pod_of, sink);
}

/* ReplicaSet and ReplicationController: as many pods as spec.replicas, adopted or created, the least useful deleted
 * first. https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
 * https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/ */
#include <stdlib.h>

#include "base/timefmt.h"
#include "controllers/builtin.h"
#include "controllers/podutil.h"
#include "object/meta.h"

enum { BURST_MAX = 500 }; /* pods created or deleted in one run */

/* The two kinds differ in nothing but names and the form of the selector. */
struct set_kind {
    const char *group, *plural, *kind;
    int (*selector)(struct arena *a, const struct json *v, struct selector *ret);
};

static const struct set_kind sets = {"apps", "replicasets", "ReplicaSet", selector_from_object};
static const struct set_kind controllers = {"", "replicationcontrollers", "ReplicationController", selector_from_map};

/* ---- which sets a pod concerns ---- */

struct candidates {
    struct key_sink *sink;
    struct arena *a;
    const struct json *pod;
    const struct set_kind *kind;
};

static void match_set(void *ctx, const struct json *rs)
{
    struct candidates *c = ctx;
    struct selector s;
    if (!c->kind->selector(c->a, json_path(rs, "spec.selector"), &s) &&
        selector_matches_labels(&s, meta_labels(c->pod)))
        key_add_parts(c->sink, meta_namespace(rs), meta_name(rs));
}

static void map_pod(const struct set_kind *kind, struct key_sink *sink, struct arena *a, const struct json *pod,
                    const struct json *before)
{
    const struct json *owner = meta_controller(pod), *old_owner = meta_controller(before);
    struct candidates c = {sink, a, pod, kind};
    if (slice_eq_str(json_path_string(owner, "kind"), kind->kind))
        key_add_parts(sink, meta_namespace(pod), json_path_string(owner, "name"));
    if (slice_eq_str(json_path_string(old_owner, "kind"), kind->kind))
        key_add_parts(sink, meta_namespace(pod), json_path_string(old_owner, "name"));
    if (!owner && !meta_is_deleting(pod))
        sink_each(sink, a, kind->group, kind->plural, meta_namespace(pod), match_set, &c);
}

void replicaset_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    map_pod(&sets, sink, a, pod, before);
}

void replicationcontroller_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod,
                                   const struct json *before)
{
    map_pod(&controllers, sink, a, pod, before);
}

/* ---- pods ---- */

struct pods {
    const struct json **at;
    size_t n;
};

static struct json *owner_patch(struct arena *a, const struct json *pod, const struct json *rs)
{
    struct json *patch = json_new_object(a), *holder = json_new_object(a), *meta = json_new_object(a);
    json_set_str(a, holder, "metadata", json_new_object(a));
    if (meta_owners(pod))
        json_set_str(a, json_get_str(holder, "metadata"), "ownerReferences", json_clone(a, meta_owners(pod)));
    meta_set_controller(a, holder, rs);
    json_set_str(a, meta, "ownerReferences", json_clone(a, json_path(holder, "metadata.ownerReferences")));
    json_set_str(a, meta, "uid", json_new_string(a, meta_uid(pod)));
    json_set_str(a, patch, "metadata", meta);
    return patch;
}

static struct json *release_patch(struct arena *a, const struct json *pod, const struct json *rs)
{
    struct json *patch = json_new_object(a), *meta = json_new_object(a), *owners = json_new_array(a);
    json_each (o, meta_owners(pod))
        if (!slice_eq(json_path_string(o, "uid"), meta_uid(rs)))
            json_append(owners, json_clone(a, o));
    json_set_str(a, meta, "ownerReferences", json_len(owners) ? owners : json_new_null(a));
    json_set_str(a, meta, "uid", json_new_string(a, meta_uid(pod)));
    json_set_str(a, patch, "metadata", meta);
    return patch;
}

/* The active pods that belong to rs; matching orphans are adopted, owned ones that no longer match are released. */
static struct pods claim(struct reconcile *r, const struct json *rs, const struct selector *selector)
{
    const struct json **all = view_list(r, "", "pods", r->ns);
    struct pods mine = {.at = all};
    for (size_t i = 0; all[i]; i++) {
        const struct json *pod = all[i], *owner = meta_controller(pod);
        bool matches = selector_matches_labels(selector, meta_labels(pod));
        bool owned = owner && slice_eq(json_path_string(owner, "uid"), meta_uid(rs));
        if (!pod_is_active(pod) || (owner && !owned))
            continue;
        if (owned && !matches) {
            op_patch(r, "", "pods", r->ns, meta_name(pod), release_patch(r->a, pod, rs), NULL);
        } else if (matches) {
            if (!owned && !meta_is_deleting(rs))
                op_patch(r, "", "pods", r->ns, meta_name(pod), owner_patch(r->a, pod, rs), NULL);
            mine.at[mine.n++] = pod;
        }
    }
    return mine;
}

/* ---- scaling ---- */

/* Lower = deleted earlier: without node, not running, not ready, lower deletion cost, younger. */
static int64_t worth(const struct json *pod)
{
    int64_t cost = 0;
    int64_t w = json_path_string(pod, "spec.nodeName").n ? 1 : 0;
    w = w * 4 + (slice_eq_str(json_path_string(pod, "status.phase"), "Running") ? 2 : 0);
    w = w * 4 + (pod_is_ready(pod) ? 2 : 0);
    slice_to_i64(meta_annotation(pod, SLICE("controller.kubernetes.io/pod-deletion-cost")), &cost);
    if (cost > INT32_MAX || cost < INT32_MIN)
        cost = 0;
    return w * (1LL << 33) + cost;
}

static int by_worth(const void *x, const void *y)
{
    const struct json *a = *(const struct json *const *)x, *b = *(const struct json *const *)y;
    int64_t wa = worth(a), wb = worth(b);
    if (wa != wb)
        return wa < wb ? -1 : 1;
    int64_t ta = meta_creation_time(a), tb = meta_creation_time(b);
    if (ta != tb)
        return ta > tb ? -1 : 1; /* the younger goes first */
    return slice_cmp(meta_name(a), meta_name(b));
}

static void scale(struct reconcile *r, const struct json *rs, struct pods *pods, int64_t replicas)
{
    int64_t diff = replicas - (int64_t)pods->n;
    for (int64_t i = 0; i < diff && i < BURST_MAX; i++)
        op_create(r, "", "pods", r->ns, pod_from_template(r->a, rs, json_path(rs, "spec.template")));
    if (diff >= 0)
        return;
    qsort(pods->at, pods->n, sizeof *pods->at, by_worth);
    for (int64_t i = 0; i < -diff && i < BURST_MAX; i++)
        op_delete(r, "", "pods", r->ns, meta_name(pods->at[i]), meta_uid(pods->at[i]), NULL, -1);
}

/* ---- status ---- */

static bool has_labels(const struct json *pod, const struct json *labels)
{
    json_each (l, labels)
        if (!slice_eq(meta_label(pod, l->key), json_string(l)) || !meta_label(pod, l->key).p)
            return false;
    return true;
}

static void update_status(struct reconcile *r, const struct set_kind *kind, const struct json *rs,
                          const struct pods *pods)
{
    struct arena *a = r->a;
    int64_t ready = 0, available = 0, labelled = 0, min_ready = json_int(json_path(rs, "spec.minReadySeconds"), 0);
    const struct json *labels = json_path(rs, "spec.template.metadata.labels");
    for (size_t i = 0; i < pods->n; i++) {
        ready += pod_is_ready(pods->at[i]);
        available += pod_is_available(pods->at[i], min_ready, r->now, &r->requeue_ms);
        labelled += has_labels(pods->at[i], labels);
    }
    struct json *obj = json_clone(a, rs), *status = json_new_object(a);
    json_set_str(a, status, "replicas", json_new_int(a, (int64_t)pods->n));
    if (labelled)
        json_set_str(a, status, "fullyLabeledReplicas", json_new_int(a, labelled));
    if (ready)
        json_set_str(a, status, "readyReplicas", json_new_int(a, ready));
    if (available)
        json_set_str(a, status, "availableReplicas", json_new_int(a, available));
    json_set_str(a, status, "observedGeneration", json_new_int(a, meta_generation(rs)));
    if (json_path(rs, "status.conditions"))
        json_set_str(a, status, "conditions", json_clone(a, json_path(rs, "status.conditions")));
    if (json_equal(status, json_get_str(rs, "status")))
        return;
    json_set_str(a, obj, "status", status);
    op_update(r, kind->group, kind->plural, obj, "status");
}

static void reconcile(struct reconcile *r, const struct set_kind *kind)
{
    const struct json *rs = view_get(r, kind->group, kind->plural, r->ns, r->name);
    struct selector selector;
    if (!rs || kind->selector(r->a, json_path(rs, "spec.selector"), &selector))
        return;
    struct pods pods = claim(r, rs, &selector);
    update_status(r, kind, rs, &pods);
    if (!meta_is_deleting(rs))
        scale(r, rs, &pods, json_int(json_path(rs, "spec.replicas"), 1));
}

void replicaset_reconcile(struct reconcile *r)
{
    reconcile(r, &sets);
}

void replicationcontroller_reconcile(struct reconcile *r)
{
    reconcile(r, &controllers);
}

/* Deployment: one ReplicaSet a template, the newest scaled up and the others down within maxSurge and maxUnavailable; old
 * ones kept as history for rollback.
 * https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/timefmt.h"
#include "controllers/builtin.h"
#include "controllers/podutil.h"
#include "object/intstr.h"
#include "object/meta.h"

#define REVISION     "deployment.kubernetes.io/revision"
#define DESIRED      "deployment.kubernetes.io/desired-replicas"
#define MAX_REPLICAS "deployment.kubernetes.io/max-replicas"

struct deploy {
    struct reconcile *r;
    const struct json *d;
    const struct json **sets; /* all owned, oldest first, NULL-terminated */
    size_t n_sets;
    const struct json *newest; /* the set of the current template, or NULL */
    int64_t replicas, max_surge, max_unavailable;
};

/* ---- which Deployments a change concerns ---- */

void deployment_map_replicaset(struct key_sink *sink, struct arena *a, const struct json *rs, const struct json *before)
{
    const struct json *owner = meta_controller(rs) ? meta_controller(rs) : meta_controller(before);
    (void)a;
    if (slice_eq_str(json_path_string(owner, "kind"), "Deployment"))
        key_add_parts(sink, meta_namespace(rs), json_path_string(owner, "name"));
}

/* Only for strategy Recreate, which waits for pods to be gone. */
void deployment_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    const struct json *owner = meta_controller(pod);
    if (before || !slice_eq_str(json_path_string(owner, "kind"), "ReplicaSet"))
        return;
    const char *key = arena_printf(a, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(meta_namespace(pod)),
                                   SLICE_ARG(json_path_string(owner, "name")));
    const struct json *rs = sink_get(sink, a, "apps", "replicasets", slice_str(key));
    if (rs)
        deployment_map_replicaset(sink, a, rs, NULL);
}

/* ---- ReplicaSets ---- */

static int64_t set_replicas(const struct json *rs)
{
    return json_int(json_path(rs, "spec.replicas"), 0);
}

static int64_t set_status(const struct json *rs, const char *path)
{
    return json_int(json_path(rs, path), 0);
}

static int64_t revision_of(const struct json *obj)
{
    int64_t v = 0;
    slice_to_i64(meta_annotation(obj, SLICE(REVISION)), &v);
    return v;
}

static int by_age(const void *x, const void *y)
{
    const struct json *a = *(const struct json *const *)x, *b = *(const struct json *const *)y;
    int64_t ta = meta_creation_time(a), tb = meta_creation_time(b);
    if (ta != tb)
        return ta < tb ? -1 : 1;
    return slice_cmp(meta_name(a), meta_name(b));
}

static void load_sets(struct deploy *p)
{
    p->sets = view_owned(p->r, "apps", "replicasets", p->r->ns, meta_uid(p->d));
    while (p->sets[p->n_sets])
        p->n_sets++;
    qsort(p->sets, p->n_sets, sizeof *p->sets, by_age);
    for (size_t i = 0; i < p->n_sets && !p->newest; i++)
        if (template_equal(p->r->a, json_path(p->sets[i], "spec.template"), json_path(p->d, "spec.template")))
            p->newest = p->sets[i];
}

static int64_t max_old_revision(const struct deploy *p)
{
    int64_t max = 0;
    for (size_t i = 0; i < p->n_sets; i++)
        if (p->sets[i] != p->newest && revision_of(p->sets[i]) > max)
            max = revision_of(p->sets[i]);
    return max;
}

static int64_t total(const struct deploy *p, const char *status_path)
{
    int64_t sum = 0;
    for (size_t i = 0; i < p->n_sets; i++)
        sum += status_path ? set_status(p->sets[i], status_path) : set_replicas(p->sets[i]);
    return sum;
}

static bool recreates(const struct deploy *p)
{
    return slice_eq_str(json_path_string(p->d, "spec.strategy.type"), "Recreate");
}

static void load_limits(struct deploy *p)
{
    int64_t surge = 0, unavailable = 0;
    p->replicas = json_int(json_path(p->d, "spec.replicas"), 1);
    if (recreates(p))
        return;
    intstr_scaled(json_path(p->d, "spec.strategy.rollingUpdate.maxSurge"), p->replicas, true, &surge);
    intstr_scaled(json_path(p->d, "spec.strategy.rollingUpdate.maxUnavailable"), p->replicas, false, &unavailable);
    if (surge == 0 && unavailable == 0)
        unavailable = 1; /* small percentages may both round to nothing: something has to move */
    p->max_surge = surge;
    p->max_unavailable = unavailable;
}

/* Short, without vowels, from the template's content and the number of collisions so far. */
static const char *template_hash(struct deploy *p)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    struct buf text = BUF_INIT(4 << 20);
    char out[11] = "";
    json_write(&text, json_path(p->d, "spec.template"));
    buf_printf(&text, "%ld", json_int(json_path(p->d, "status.collisionCount"), 0));
    uint64_t h = hash64(buf_slice(&text), 0);
    buf_done(&text);
    for (size_t i = 0; i < 10; i++, h /= sizeof alphabet - 1)
        out[i] = alphabet[h % (sizeof alphabet - 1)];
    return arena_printf(p->r->a, "%s", out);
}

/* Annotations that a set takes over from its Deployment: the cause of a change, for its history, among them. */
static bool is_taken_over(struct slice key)
{
    return !slice_starts(key, SLICE("deployment.kubernetes.io/")) &&
           !slice_eq_str(key, "kubectl.kubernetes.io/last-applied-configuration");
}

static void annotate(struct deploy *p, struct json *rs, int64_t revision)
{
    struct arena *a = p->r->a;
    json_each (m, meta_annotations(p->d))
        if (is_taken_over(m->key))
            meta_set_annotation(a, rs, m->key, json_string(m));
    meta_set_annotation(a, rs, SLICE(REVISION), slice_str(arena_printf(a, "%ld", revision)));
    meta_set_annotation(a, rs, SLICE(DESIRED), slice_str(arena_printf(a, "%ld", p->replicas)));
    meta_set_annotation(a, rs, SLICE(MAX_REPLICAS), slice_str(arena_printf(a, "%ld", p->replicas + p->max_surge)));
}

static struct json *new_set(struct deploy *p, int64_t replicas, int64_t revision)
{
    struct arena *a = p->r->a;
    const char *hash = template_hash(p);
    struct json *rs = json_new_object(a), *spec = json_new_object(a);
    json_set_str(a, rs, "kind", json_new_str(a, "ReplicaSet"));
    json_set_str(a, rs, "apiVersion", json_new_str(a, "apps/v1"));
    json_set_str(a, rs, "metadata", json_new_object(a));
    meta_set_name(a, rs, slice_str(arena_printf(a, "%" SLICE_FMT "-%s", SLICE_ARG(meta_name(p->d)), hash)));
    meta_set_namespace(a, rs, p->r->ns);
    json_each (l, json_path(p->d, "spec.template.metadata.labels"))
        meta_set_label(a, rs, l->key, json_string(l));
    meta_set_label(a, rs, SLICE("pod-template-hash"), slice_str(hash));
    annotate(p, rs, revision);
    meta_set_controller(a, rs, p->d);
    struct json *template = json_clone(a, json_path(p->d, "spec.template")),
                *selector = json_clone(a, json_path(p->d, "spec.selector"));
    json_set_str(a, json_object_at(a, json_object_at(a, template, "metadata"), "labels"), "pod-template-hash",
                 json_new_str(a, hash));
    json_set_str(a, json_object_at(a, selector, "matchLabels"), "pod-template-hash", json_new_str(a, hash));
    json_set_str(a, spec, "replicas", json_new_int(a, replicas));
    if (json_path(p->d, "spec.minReadySeconds"))
        json_set_str(a, spec, "minReadySeconds", json_clone(a, json_path(p->d, "spec.minReadySeconds")));
    json_set_str(a, spec, "selector", selector);
    json_set_str(a, spec, "template", template);
    json_set_str(a, rs, "spec", spec);
    return rs;
}

static void scale_set(struct deploy *p, const struct json *rs, int64_t replicas)
{
    struct arena *a = p->r->a;
    int64_t before = set_replicas(rs);
    struct json *patch = json_new_object(a);
    bool annotated = slice_eq(meta_annotation(rs, SLICE(DESIRED)), slice_str(arena_printf(a, "%ld", p->replicas)));
    if (before == replicas && annotated)
        return;
    meta_set_annotation(a, patch, SLICE(DESIRED), slice_str(arena_printf(a, "%ld", p->replicas)));
    meta_set_annotation(a, patch, SLICE(MAX_REPLICAS), slice_str(arena_printf(a, "%ld", p->replicas + p->max_surge)));
    json_set_str(a, json_object_at(a, patch, "spec"), "replicas", json_new_int(a, replicas));
    op_patch(p->r, "apps", "replicasets", p->r->ns, meta_name(rs), patch, NULL);
    if (before != replicas)
        op_event(p->r, p->d, "Normal", "ScalingReplicaSet", "Scaled %s replica set %" SLICE_FMT " from %ld to %ld",
                 replicas > before ? "up" : "down", SLICE_ARG(meta_name(rs)), before, replicas);
}

/* How far the newest set may grow now. */
static int64_t new_set_replicas(const struct deploy *p, int64_t current)
{
    if (recreates(p))
        return p->replicas;
    int64_t room = p->replicas + p->max_surge - total(p, NULL);
    if (current >= p->replicas)
        return p->replicas;
    if (room <= 0)
        return current;
    return current + (room < p->replicas - current ? room : p->replicas - current);
}

static bool old_pods_left(struct deploy *p)
{
    for (size_t i = 0; i < p->n_sets; i++)
        if (p->sets[i] != p->newest && *view_owned(p->r, "", "pods", p->r->ns, meta_uid(p->sets[i])))
            return true;
    return false;
}

static void create_newest(struct deploy *p)
{
    if (recreates(p) && (total(p, NULL) > 0 || old_pods_left(p)))
        return; /* first the old ones go */
    int64_t replicas = new_set_replicas(p, 0);
    struct json *rs = new_set(p, replicas, max_old_revision(p) + 1);
    const struct json *there = view_get(p->r, "apps", "replicasets", p->r->ns, meta_name(rs));
    if (there && !meta_is_controlled_by(there, meta_uid(p->d))) { /* a name that somebody else has: choose another */
        struct json *status = json_new_object(p->r->a);
        json_set_str(p->r->a, status, "collisionCount",
                     json_new_int(p->r->a, json_int(json_path(p->d, "status.collisionCount"), 0) + 1));
        struct json *patch = json_new_object(p->r->a);
        json_set_str(p->r->a, patch, "status", status);
        op_patch(p->r, "apps", "deployments", p->r->ns, p->r->name, patch, "status");
        return;
    }
    op_create(p->r, "apps", "replicasets", p->r->ns, rs);
    if (replicas > 0)
        op_event(p->r, p->d, "Normal", "ScalingReplicaSet", "Scaled up replica set %" SLICE_FMT " from 0 to %ld",
                 SLICE_ARG(meta_name(rs)), replicas);
}

/* The current template's set carries the highest revision: a rollback makes an old set the newest again. It follows the
 * Deployment's annotations. */
static void renumber_newest(struct deploy *p)
{
    struct arena *a = p->r->a;
    int64_t revision = max_old_revision(p) + 1;
    struct json *patch = json_new_object(a);
    bool changed = revision_of(p->newest) < revision;
    if (changed)
        meta_set_annotation(a, patch, SLICE(REVISION), slice_str(arena_printf(a, "%ld", revision)));
    json_each (m, meta_annotations(p->d))
        if (is_taken_over(m->key) && !slice_eq(meta_annotation(p->newest, m->key), json_string(m))) {
            meta_set_annotation(a, patch, m->key, json_string(m));
            changed = true;
        }
    if (!changed)
        return;
    op_patch(p->r, "apps", "replicasets", p->r->ns, meta_name(p->newest), patch, NULL);
}

static void copy_revision(struct deploy *p)
{
    struct arena *a = p->r->a;
    int64_t revision = p->newest ? revision_of(p->newest) : 0, next = max_old_revision(p) + 1;
    if (!p->newest || revision < next)
        revision = next;
    struct slice text = slice_str(arena_printf(a, "%ld", revision));
    if (slice_eq(meta_annotation(p->d, SLICE(REVISION)), text))
        return;
    struct json *patch = json_new_object(a);
    meta_set_annotation(a, patch, SLICE(REVISION), text);
    op_patch(p->r, "apps", "deployments", p->r->ns, p->r->name, patch, "status"); /* no change of what is desired */
}

/* ---- rolling ---- */

/* Pods of old sets may go as long as enough stay available; unhealthy ones go first. */
static void scale_down_old(struct deploy *p)
{
    int64_t min_available = p->replicas - p->max_unavailable;
    int64_t new_unavailable =
        p->newest ? set_replicas(p->newest) - set_status(p->newest, "status.availableReplicas") : 0;
    int64_t budget = total(p, NULL) - min_available - new_unavailable;
    int64_t available = total(p, "status.availableReplicas") - min_available;
    for (size_t i = 0; i < p->n_sets && budget > 0; i++) {
        const struct json *rs = p->sets[i];
        int64_t size = set_replicas(rs), down = size - set_status(rs, "status.availableReplicas");
        if (rs == p->newest || !size)
            continue;
        if (down > budget)
            down = budget;
        if (down < 0)
            down = 0;
        budget -= down;
        int64_t healthy = size - down;
        if (available > 0 && budget > 0 && healthy > 0) {
            int64_t more = healthy < available ? healthy : available;
            more = more < budget ? more : budget;
            down += more;
            available -= more;
            budget -= more;
        }
        if (down > 0)
            scale_set(p, rs, size - down);
    }
}

static void scale_old_to_zero(struct deploy *p)
{
    for (size_t i = 0; i < p->n_sets; i++)
        if (p->sets[i] != p->newest && set_replicas(p->sets[i]))
            scale_set(p, p->sets[i], 0);
}

static void roll(struct deploy *p)
{
    if (!p->newest) {
        create_newest(p);
    } else {
        renumber_newest(p);
        if (!recreates(p) || !old_pods_left(p) || set_replicas(p->newest))
            scale_set(p, p->newest, new_set_replicas(p, set_replicas(p->newest)));
    }
    if (recreates(p))
        scale_old_to_zero(p);
    else if (p->newest)
        scale_down_old(p);
}

/* A paused deployment, or one whose size alone changed: every set keeps its share. */
static void scale_paused(struct deploy *p)
{
    const struct json *only = NULL;
    size_t active = 0;
    for (size_t i = 0; i < p->n_sets; i++)
        if (set_replicas(p->sets[i]) > 0) {
            active++;
            only = p->sets[i];
        }
    if (active <= 1 && (only || p->newest)) {
        scale_set(p, only ? only : p->newest, p->replicas);
        return;
    }
    int64_t have = total(p, NULL), room = p->replicas + p->max_surge, left = room - have;
    for (size_t i = 0; i < p->n_sets && have && left; i++) {
        int64_t size = set_replicas(p->sets[i]), share = (room * size + have / 2) / have - size;
        if (!size)
            continue;
        if ((left > 0 && share > left) || (left < 0 && share < left))
            share = left;
        left -= share;
        scale_set(p, p->sets[i], size + share);
    }
}

static void clean_history(struct deploy *p)
{
    int64_t keep = json_int(json_path(p->d, "spec.revisionHistoryLimit"), 10), old = 0;
    for (size_t i = 0; i < p->n_sets; i++)
        old += p->sets[i] != p->newest;
    for (size_t i = 0; i < p->n_sets && old > keep; i++) {
        const struct json *rs = p->sets[i];
        if (rs == p->newest)
            continue;
        if (!set_replicas(rs) && !set_status(rs, "status.replicas") && !meta_is_deleting(rs)) {
            op_delete(p->r, "apps", "replicasets", p->r->ns, meta_name(rs), meta_uid(rs), "Background", -1);
            old--;
        }
    }
}

/* ---- status ---- */

static bool complete(const struct deploy *p)
{
    return p->newest && set_status(p->newest, "status.replicas") == p->replicas &&
           total(p, "status.replicas") == p->replicas && total(p, "status.availableReplicas") == p->replicas &&
           set_status(p->newest, "status.availableReplicas") == p->replicas;
}

static bool progressed(const struct deploy *p, const struct json *status)
{
    const struct json *old = json_get_str(p->d, "status");
    static const char *const counts[] = {"updatedReplicas", "readyReplicas", "availableReplicas"};
    for (size_t i = 0; i < 3; i++)
        if (json_int(json_get_str(status, counts[i]), 0) > json_int(json_get_str(old, counts[i]), 0))
            return true;
    /* Old pods going is progress too. */
    int64_t old_before = json_int(json_get_str(old, "replicas"), 0) - json_int(json_get_str(old, "updatedReplicas"), 0);
    int64_t old_now =
        json_int(json_get_str(status, "replicas"), 0) - json_int(json_get_str(status, "updatedReplicas"), 0);
    return old_now < old_before;
}

static void set_progress(struct deploy *p, struct json *conditions, const struct json *status)
{
    struct arena *a = p->r->a;
    int64_t deadline = json_int(json_path(p->d, "spec.progressDeadlineSeconds"), 600), since = 0;
    const struct json *was = condition_get(p->d, "Progressing");
    const char *who = p->newest ? arena_printf(a, "ReplicaSet \"%" SLICE_FMT "\"", SLICE_ARG(meta_name(p->newest)))
                                : arena_printf(a, "Deployment \"%" SLICE_FMT "\"", SLICE_ARG(p->r->name));
    time_parse(json_path_string(was, "lastUpdateTime"), &since);
    bool was_complete = slice_eq_str(json_path_string(was, "reason"), "NewReplicaSetAvailable");
    if (json_bool(json_path(p->d, "spec.paused"), false)) {
        if (!was || !slice_eq_str(json_path_string(was, "reason"), "DeploymentPaused"))
            condition_set(a, conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused",
                          p->r->now);
    } else if (complete(p)) {
        condition_set(a, conditions, "Progressing", "True", "NewReplicaSetAvailable",
                      arena_printf(a, "%s has successfully progressed.", who), p->r->now);
    } else if (!was || progressed(p, status) || (was_complete && !p->newest) ||
               meta_generation(p->d) != json_int(json_path(p->d, "status.observedGeneration"), 0)) {
        condition_set(a, conditions, "Progressing", "True", p->newest ? "ReplicaSetUpdated" : "NewReplicaSetCreated",
                      arena_printf(a, p->newest ? "%s is progressing." : "Created new replica set for %s", who),
                      p->r->now);
        json_each (c, conditions) /* the deadline counts from the last progress */
            if (slice_eq_str(json_path_string(c, "type"), "Progressing")) {
                char stamp[TIME_SEC_LEN + 1];
                time_format_sec(p->r->now, stamp);
                json_set_str(a, c, "lastUpdateTime", json_new_str(a, stamp));
            }
        p->r->requeue_ms = (uint64_t)deadline * 1000;
    } else if (!was_complete && p->r->now - since > deadline * NS_PER_SEC) {
        condition_set(a, conditions, "Progressing", "False", "ProgressDeadlineExceeded",
                      arena_printf(a, "%s has timed out progressing.", who), p->r->now);
    } else if (!was_complete) {
        p->r->requeue_ms = (uint64_t)((since + deadline * NS_PER_SEC - p->r->now) / NS_PER_MS) + 1;
    }
}

static void set_count(struct arena *a, struct json *status, const char *name, int64_t n)
{
    if (n)
        json_set_str(a, status, name, json_new_int(a, n));
}

static void update_status(struct deploy *p)
{
    struct arena *a = p->r->a;
    struct json *status = json_new_object(a), *obj = json_clone(a, p->d);
    int64_t all = total(p, "status.replicas"), available = total(p, "status.availableReplicas");
    json_set_str(a, status, "observedGeneration", json_new_int(a, meta_generation(p->d)));
    set_count(a, status, "replicas", all);
    set_count(a, status, "updatedReplicas", p->newest ? set_status(p->newest, "status.replicas") : 0);
    set_count(a, status, "readyReplicas", total(p, "status.readyReplicas"));
    set_count(a, status, "availableReplicas", available);
    int64_t wanted = p->replicas > all ? p->replicas : all;
    set_count(a, status, "unavailableReplicas", wanted - available > 0 ? wanted - available : 0);
    struct json *conditions =
        json_path(p->d, "status.conditions") ? json_clone(a, json_path(p->d, "status.conditions")) : json_new_array(a);
    if (available >= p->replicas - p->max_unavailable)
        condition_set(a, conditions, "Available", "True", "MinimumReplicasAvailable",
                      "Deployment has minimum availability.", p->r->now);
    else
        condition_set(a, conditions, "Available", "False", "MinimumReplicasUnavailable",
                      "Deployment does not have minimum availability.", p->r->now);
    set_progress(p, conditions, status);
    json_set_str(a, status, "conditions", conditions);
    set_count(a, status, "collisionCount", json_int(json_path(p->d, "status.collisionCount"), 0));
    if (json_equal(status, json_get_str(p->d, "status")))
        return;
    json_set_str(a, obj, "status", status);
    op_update(p->r, "apps", "deployments", obj, "status");
}

static bool only_size_changed(const struct deploy *p)
{
    for (size_t i = 0; i < p->n_sets; i++) {
        int64_t desired = 0;
        if (set_replicas(p->sets[i]) && slice_to_i64(meta_annotation(p->sets[i], SLICE(DESIRED)), &desired) &&
            desired != p->replicas)
            return true;
    }
    return false;
}

void deployment_reconcile(struct reconcile *r)
{
    struct deploy p = {.r = r, .d = view_get(r, "apps", "deployments", r->ns, r->name)};
    if (!p.d)
        return;
    load_limits(&p);
    load_sets(&p);
    update_status(&p);
    if (meta_is_deleting(p.d))
        return;
    if (json_bool(json_path(p.d, "spec.paused"), false)) {
        scale_paused(&p);
        return;
    }
    copy_revision(&p);
    if (p.newest && only_size_changed(&p) && !recreates(&p))
        scale_paused(&p);
    else
        roll(&p);
    if (complete(&p))
        clean_history(&p);
}

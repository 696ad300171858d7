#include "scheduler/scheduler.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "client/events.h"
#include "object/meta.h"
#include "scheduler/cache.h"

enum {
    BACKOFF_MIN_MS = 1000,
    BACKOFF_MAX_MS = 10000,
    RETRY_ANYWAY_MS = 300000, /* an unschedulable pod is tried again after this, whatever happens */
    PODS_PER_TURN = 100,
    BINDINGS_MAX = 1000, /* in flight */
    REASONS_MAX = 16,
    MESSAGE_MAX = 1024,
    POD_ARENA_MAX = 16 << 20,
};

static const char scheduler_name[] = "default-scheduler";

enum queued_state { QUEUED_ACTIVE, QUEUED_BACKOFF, QUEUED_UNSCHEDULABLE, QUEUED_BINDING };

/* A pod without a node. */
struct queued {
    struct list link;        /* of the active queue, or of the unschedulable ones */
    struct loop_timer timer; /* end of the backoff, or of patience */
    struct scheduler *owner;
    struct slice key;  /* owned */
    struct slice node; /* being bound to, owned */
    int64_t priority;
    uint64_t order;
    unsigned attempts;
    enum queued_state state;
    struct client_call *call;
    uint64_t since; /* loop_now when it was first seen */
};

struct scheduler {
    struct client *client;
    struct informer *pods, *nodes;
    struct sched_cache cache;
    struct map queue; /* key → struct queued */
    struct list active, unschedulable;
    struct events *events;
    struct loop_timer pump;
    size_t bindings, unsynced;
    uint64_t next_order;
    size_t next_node; /* ties are broken in turn */
    bool running;
    struct metric *m_scheduled, *m_unschedulable, *m_errors, *m_pending, *m_seconds, discarded;
};

/* ---- the queue ---- */

static void pump_soon(struct scheduler *s)
{
    if (!loop_timer_armed(&s->pump))
        loop_timer_start(s->client->loop, &s->pump, 0);
}

/* Higher priority first, then first come first served. */
static void activate(struct queued *q)
{
    struct scheduler *s = q->owner;
    struct list *at = s->active.prev;
    loop_timer_stop(s->client->loop, &q->timer);
    list_remove(&q->link);
    q->state = QUEUED_ACTIVE;
    for (; at != &s->active; at = at->prev) {
        const struct queued *other = container_of(at, struct queued, link);
        if (other->priority > q->priority || (other->priority == q->priority && other->order < q->order))
            break;
    }
    list_insert(at, &q->link);
    pump_soon(s);
}

static void on_due(struct loop_timer *t)
{
    activate(container_of(t, struct queued, timer));
}

static uint64_t backoff_ms(unsigned attempts)
{
    uint64_t ms = BACKOFF_MIN_MS;
    while (attempts-- > 1 && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void back_off(struct queued *q)
{
    list_remove(&q->link);
    q->state = QUEUED_BACKOFF;
    loop_timer_start(q->owner->client->loop, &q->timer, backoff_ms(q->attempts));
}

static void park(struct queued *q)
{
    list_remove(&q->link);
    q->state = QUEUED_UNSCHEDULABLE;
    list_push(&q->owner->unschedulable, &q->link);
    loop_timer_start(q->owner->client->loop, &q->timer, RETRY_ANYWAY_MS);
}

/* Something changed that may make room: everybody parked gets another try, after its backoff. */
static void something_changed(struct scheduler *s)
{
    list_each (link, &s->unschedulable)
        back_off(container_of(link, struct queued, link));
}

static void enqueue(struct scheduler *s, struct slice key, const struct json *obj)
{
    struct queued *q = map_get(&s->queue, key);
    if (q) {
        if (q->state == QUEUED_UNSCHEDULABLE)
            back_off(q); /* the pod itself changed */
        return;
    }
    q = mem_new(struct queued);
    q->owner = s;
    q->key = slice_of(mem_strndup(key.p, key.n), key.n);
    q->priority = json_int(json_path(obj, "spec.priority"), 0);
    q->order = s->next_order++;
    q->timer.cb = on_due;
    q->since = loop_now(s->client->loop);
    list_init(&q->link);
    map_put(&s->queue, key, q);
    activate(q);
}

static void queued_free(struct queued *q)
{
    struct scheduler *s = q->owner;
    loop_timer_stop(s->client->loop, &q->timer);
    list_remove(&q->link);
    if (q->call) {
        client_cancel(s->client, q->call);
        s->bindings--;
    }
    mem_free((char *)q->key.p);
    mem_free((char *)q->node.p);
    mem_free(q);
}

static void dequeue(struct scheduler *s, struct slice key)
{
    struct queued *q = map_del(&s->queue, key);
    if (q)
        queued_free(q);
}

/* ---- one pod ---- */

struct reasons {
    struct {
        const char *text;
        size_t n;
    } at[REASONS_MAX];
    size_t n;
};

static void count_reason(struct reasons *r, const char *text)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->at[i].text == text || !strcmp(r->at[i].text, text)) {
            r->at[i].n++;
            return;
        }
    if (r->n < REASONS_MAX) {
        r->at[r->n].text = text;
        r->at[r->n++].n = 1;
    }
}

static const char *filter(const struct sched_pod *pod, const struct sched_node *node)
{
    for (size_t i = 0; i < sched_n_plugins; i++) {
        const char *reason = sched_plugins[i].filter ? sched_plugins[i].filter(pod, node) : NULL;
        if (reason)
            return reason;
    }
    return NULL;
}

/* Scales raw scores so that the best gets SCORE_MAX; without differences all get it (or nothing, when nothing counts). */
static void normalize(const struct sched_plugin *p, int64_t *scores, size_t n)
{
    int64_t max = 0;
    for (size_t i = 0; i < n; i++)
        max = scores[i] > max ? scores[i] : max;
    for (size_t i = 0; i < n; i++) {
        int64_t scaled = max ? scores[i] * SCORE_MAX / max : 0;
        scores[i] = p->reverse ? SCORE_MAX - scaled : scaled;
    }
}

static void add_scores(const struct sched_plugin *p, const struct sched_pod *pod, struct sched_node *const *nodes,
                       size_t n, int64_t *total, int64_t *scratch)
{
    for (size_t i = 0; i < n; i++)
        scratch[i] = p->score(pod, nodes[i]);
    if (p->normalize)
        normalize(p, scratch, n);
    for (size_t i = 0; i < n; i++)
        total[i] += scratch[i] * p->weight;
}

static struct sched_node *best(struct scheduler *s, const struct sched_pod *pod, struct sched_node **nodes, size_t n)
{
    int64_t *total = mem_zalloc(n * sizeof *total), *scratch = mem_alloc(n * sizeof *scratch);
    for (size_t i = 0; i < sched_n_plugins; i++)
        if (sched_plugins[i].score)
            add_scores(&sched_plugins[i], pod, nodes, n, total, scratch);
    size_t start = s->next_node++ % n, choice = start;
    for (size_t k = 1; k < n; k++) {
        size_t i = (start + k) % n;
        if (total[i] > total[choice])
            choice = i;
    }
    mem_free(total);
    mem_free(scratch);
    return nodes[choice];
}

static struct sched_node *choose(struct scheduler *s, const struct sched_pod *pod, struct reasons *reasons)
{
    struct sched_node **feasible = mem_alloc((s->cache.nodes.n + 1) * sizeof *feasible), *node = NULL;
    size_t n = 0;
    for (struct map_entry *e = map_first(&s->cache.nodes); e; e = map_next(&s->cache.nodes, e)) {
        const char *reason = filter(pod, e->value);
        if (reason)
            count_reason(reasons, reason);
        else
            feasible[n++] = e->value;
    }
    if (n)
        node = n == 1 ? feasible[0] : best(s, pod, feasible, n);
    mem_free(feasible);
    return node;
}

/* ---- failure ---- */

static int by_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void failure_message(const struct scheduler *s, struct reasons *r, char out[MESSAGE_MAX])
{
    int at = snprintf(out, MESSAGE_MAX, "0/%zu nodes are available", s->cache.nodes.n);
    qsort(r->at, r->n, sizeof *r->at, by_text);
    for (size_t i = 0; i < r->n && at < MESSAGE_MAX; i++)
        at += snprintf(out + at, (size_t)(MESSAGE_MAX - at), "%s %zu %s", i ? "," : ":", r->at[i].n, r->at[i].text);
    if (at < MESSAGE_MAX - 1)
        snprintf(out + at, (size_t)(MESSAGE_MAX - at), r->n ? "." : ": no nodes are registered.");
}

static void ignore_reply(void *ctx, const struct client_reply *reply)
{
    (void)ctx, (void)reply;
}

static bool says_so_already(const struct json *pod, const char *message)
{
    json_each (c, json_path(pod, "status.conditions"))
        if (slice_eq_str(json_path_string(c, "type"), "PodScheduled"))
            return slice_eq_str(json_path_string(c, "status"), "False") &&
                   slice_eq_str(json_path_string(c, "message"), message);
    return false;
}

static void report_failure(struct scheduler *s, const struct sched_pod *pod, struct arena *a, const char *message)
{
    char now[TIME_SEC_LEN + 1];
    events_record(s->events, pod->obj, NULL, NULL, "Warning", "FailedScheduling", message);
    if (says_so_already(pod->obj, message))
        return;
    time_format_sec(loop_wall(s->client->loop), now);
    struct json *patch = json_new_object(a), *status = json_new_object(a), *list = json_new_array(a),
                *c = json_new_object(a);
    json_set_str(a, c, "type", json_new_str(a, "PodScheduled"));
    json_set_str(a, c, "status", json_new_str(a, "False"));
    json_set_str(a, c, "lastProbeTime", json_new_null(a));
    json_set_str(a, c, "lastTransitionTime", json_new_str(a, now));
    json_set_str(a, c, "reason", json_new_str(a, "Unschedulable"));
    json_set_str(a, c, "message", json_new_str(a, message));
    json_append(list, c);
    json_set_str(a, status, "conditions", list);
    json_set_str(a, patch, "status", status);
    client_do(s->client,
              &(struct client_request){.verb = CLIENT_PATCH,
                                       .res = resource_core("pods"),
                                       .ns = pod->ns,
                                       .name = meta_name(pod->obj),
                                       .sub = "status",
                                       .patch = CLIENT_STRATEGIC_PATCH,
                                       .body = patch},
              ignore_reply, NULL);
}

/* ---- binding ---- */

static void on_bound(void *ctx, const struct client_reply *reply)
{
    struct queued *q = ctx;
    struct scheduler *s = q->owner;
    q->call = NULL;
    s->bindings--;
    if (!reply->err && reply->code < 400) {
        struct client_object o;
        struct json_error err;
        char message[MESSAGE_MAX];
        struct arena a;
        s->m_scheduled->value++;
        metric_observe(s->m_seconds, (double)(loop_now(s->client->loop) - q->since) / 1e9);
        arena_init(&a, POD_ARENA_MAX);
        const struct json *pod = informer_get(s->pods, q->key, &o) ? json_parse(&a, o.json, &err, NULL, NULL) : NULL;
        snprintf(message, sizeof message, "Successfully assigned %" SLICE_FMT " to %" SLICE_FMT, SLICE_ARG(q->key),
                 SLICE_ARG(q->node));
        if (pod)
            events_record(s->events, pod, NULL, NULL, "Normal", "Scheduled", message);
        arena_done(&a);
        dequeue(s, q->key);
    } else {
        s->m_errors->value++;
        cache_forget(&s->cache, q->key);
        if (reply->code == 404)
            dequeue(s, q->key);
        else
            back_off(q);
    }
    pump_soon(s);
}

static void bind(struct queued *q, const struct sched_pod *pod, struct sched_node *node, struct arena *a)
{
    struct scheduler *s = q->owner;
    struct json *binding = json_new_object(a), *meta = json_new_object(a), *target = json_new_object(a);
    json_set_str(a, binding, "kind", json_new_str(a, "Binding"));
    json_set_str(a, binding, "apiVersion", json_new_str(a, "v1"));
    json_set_str(a, meta, "name", json_new_string(a, meta_name(pod->obj)));
    json_set_str(a, meta, "namespace", json_new_string(a, pod->ns));
    json_set_str(a, meta, "uid", json_new_string(a, meta_uid(pod->obj)));
    json_set_str(a, binding, "metadata", meta);
    json_set_str(a, target, "kind", json_new_str(a, "Node"));
    json_set_str(a, target, "name", json_new_string(a, node->name));
    json_set_str(a, binding, "target", target);
    cache_assume(&s->cache, pod, node);
    list_remove(&q->link);
    q->state = QUEUED_BINDING;
    mem_free((char *)q->node.p);
    q->node = slice_of(mem_strndup(node->name.p, node->name.n), node->name.n);
    s->bindings++;
    q->call = client_do(s->client,
                        &(struct client_request){.verb = CLIENT_CREATE,
                                                 .res = resource_core("pods"),
                                                 .ns = pod->ns,
                                                 .name = meta_name(pod->obj),
                                                 .sub = "binding",
                                                 .body = binding},
                        on_bound, q);
}

/* ---- the cycle ---- */

static void schedule_one(struct queued *q)
{
    struct scheduler *s = q->owner;
    struct client_object o;
    struct json_error err;
    struct arena a;
    struct sched_pod pod;
    struct reasons reasons = {.n = 0};
    char message[MESSAGE_MAX];
    arena_init(&a, POD_ARENA_MAX);
    const struct json *obj = informer_get(s->pods, q->key, &o) ? json_parse(&a, o.json, &err, NULL, NULL) : NULL;
    q->attempts++;
    if (!obj || json_path_string(obj, "spec.nodeName").n || meta_is_deleting(obj)) {
        dequeue(s, q->key);
        arena_done(&a);
        return;
    }
    sched_pod_init(&pod, q->key, obj);
    struct sched_node *node = choose(s, &pod, &reasons);
    if (node) {
        bind(q, &pod, node, &a);
    } else {
        s->m_unschedulable->value++;
        failure_message(s, &reasons, message);
        report_failure(s, &pod, &a, message);
        park(q);
    }
    arena_done(&a);
}

static void on_pump(struct loop_timer *t)
{
    struct scheduler *s = container_of(t, struct scheduler, pump);
    if (s->unsynced)
        return;
    for (int i = 0; i < PODS_PER_TURN && !list_empty(&s->active) && s->bindings < BINDINGS_MAX; i++)
        schedule_one(container_of(s->active.next, struct queued, link));
    s->m_pending->value = (double)s->queue.n;
    if (!list_empty(&s->active) && s->bindings < BINDINGS_MAX)
        pump_soon(s);
}

/* ---- what happens in the cluster ---- */

static bool is_over(const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    return slice_eq_str(phase, "Succeeded") || slice_eq_str(phase, "Failed");
}

static void on_pod(void *ctx, const struct client_object *before, const struct client_object *now)
{
    struct scheduler *s = ctx;
    struct slice key = now ? now->key : before->key;
    struct json_error err;
    struct arena a;
    arena_init(&a, POD_ARENA_MAX);
    const struct json *obj = now ? json_parse(&a, now->json, &err, NULL, NULL) : NULL;
    bool bound = json_path_string(obj, "spec.nodeName").n != 0;
    bool ours = slice_eq_str(json_path_string(obj, "spec.schedulerName"), scheduler_name);
    if (!obj || is_over(obj)) {
        dequeue(s, key);
        cache_del_pod(&s->cache, key);
        something_changed(s);
    } else if (bound) {
        struct queued *q = map_get(&s->queue, key);
        if (q && q->state != QUEUED_BINDING)
            dequeue(s, key);
        cache_set_pod(&s->cache, key, obj);
    } else if (ours && !meta_is_deleting(obj) && !json_len(json_path(obj, "spec.schedulingGates"))) {
        enqueue(s, key, obj);
    }
    arena_done(&a);
}

/* Heartbeats change nothing that matters here: only what plugins look at counts. */
static bool node_matters(const struct client_object *before, const struct client_object *now)
{
    static const char *const parts[] = {"metadata.labels", "spec", "status.allocatable"};
    struct json_error err;
    struct arena a;
    arena_init(&a, POD_ARENA_MAX);
    const struct json *x = json_parse(&a, before->json, &err, NULL, NULL),
                      *y = json_parse(&a, now->json, &err, NULL, NULL);
    bool differs = false;
    for (size_t i = 0; i < 3; i++)
        differs |= !json_equal(json_path(x, parts[i]), json_path(y, parts[i]));
    arena_done(&a);
    return differs;
}

static void on_node(void *ctx, const struct client_object *before, const struct client_object *now)
{
    struct scheduler *s = ctx;
    if (!now) {
        cache_del_node(&s->cache, before->key);
        return;
    }
    if (before && !node_matters(before, now))
        return;
    cache_set_node(&s->cache, now->key, now->json);
    something_changed(s);
}

static void on_synced(void *ctx)
{
    struct scheduler *s = ctx;
    if (--s->unsynced == 0)
        pump_soon(s);
}

static const struct informer_handler pod_handler = {on_pod, on_synced}, node_handler = {on_node, on_synced};

/* ---- life ---- */

static void init_metrics(struct scheduler *s, struct metrics *m)
{
    s->m_scheduled = s->m_unschedulable = s->m_errors = s->m_pending = s->m_seconds = &s->discarded;
    static const struct metric_family none = {.n_bounds = 0};
    s->discarded.family = &none;
    if (!m)
        return;
    struct metric_family *attempts =
        metrics_family(m, METRIC_COUNTER, "scheduler_schedule_attempts_total", "Attempts by result.");
    s->m_scheduled = metric_get(attempts, "profile=\"default-scheduler\",result=\"scheduled\"");
    s->m_unschedulable = metric_get(attempts, "profile=\"default-scheduler\",result=\"unschedulable\"");
    s->m_errors = metric_get(attempts, "profile=\"default-scheduler\",result=\"error\"");
    s->m_pending = metrics_one(m, METRIC_GAUGE, "scheduler_pending_pods", "Pods that wait for a node.");
    s->m_seconds = metrics_one(m, METRIC_HISTOGRAM, "scheduler_pod_scheduling_sli_duration_seconds",
                               "Time from a pod's first sight to its binding.");
}

struct scheduler *scheduler_new(struct client *c, struct metrics *metrics)
{
    struct scheduler *s = mem_new(struct scheduler);
    s->client = c;
    s->pump.cb = on_pump;
    init_metrics(s, metrics);
    return s;
}

void scheduler_start(struct scheduler *s)
{
    if (s->running)
        return;
    s->running = true;
    cache_init(&s->cache);
    map_init(&s->queue, 0);
    list_init(&s->active);
    list_init(&s->unschedulable);
    s->bindings = 0;
    s->unsynced = 2;
    s->events = events_new(s->client, scheduler_name, "");
    s->nodes = informer_new(s->client, &(struct informer_options){.res = resource_core("nodes")}, &node_handler, s);
    s->pods = informer_new(s->client, &(struct informer_options){.res = resource_core("pods")}, &pod_handler, s);
}

void scheduler_stop(struct scheduler *s)
{
    if (!s->running)
        return;
    s->running = false;
    loop_timer_stop(s->client->loop, &s->pump);
    informer_free(s->pods);
    informer_free(s->nodes);
    for (struct map_entry *e = map_first(&s->queue); e; e = map_next(&s->queue, e))
        queued_free(e->value);
    map_done(&s->queue);
    cache_done(&s->cache);
    events_free(s->events);
}

void scheduler_free(struct scheduler *s)
{
    if (!s)
        return;
    scheduler_stop(s);
    mem_free(s);
}

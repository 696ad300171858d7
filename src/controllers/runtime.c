#include "controllers/runtime.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "client/events.h"
#include "controllers/owners.h"
#include "object/meta.h"

enum {
    RUNS_MAX = 16,     /* keys of one controller at work at once */
    PARALLEL_MAX = 64, /* creates or deletes of one run in flight at once */
    BACKOFF_MIN_MS = 5,
    BACKOFF_MAX_MS = 300000,
    CATCH_UP_MS = 5, /* how often to look whether the informers have seen our writes */
    CATCH_UP_TRIES = 1000,
    MAP_ARENA_MAX = 16 << 20,
};

/* ---- informers, shared by all controllers ---- */

struct source {
    struct controllers *owner;
    const struct resource *res;
    struct informer *informer;
    uint64_t wanted_revision; /* of our own writes */
};

/* ---- queues ---- */

struct work {
    struct list link;        /* in ready, while queued */
    struct loop_timer timer; /* until due again */
    struct queue *queue;
    struct slice key; /* owned by the queue's map */
    bool queued, running, dirty;
    unsigned failures;
    struct memo memo;
};

struct queue {
    struct controllers *owner;
    const struct controller *controller;
    struct map works; /* key → struct work */
    struct list ready;
    size_t running;
    struct list runs;
    struct metric *m_depth, *m_runs, *m_failures;
};

struct controllers {
    struct client *client;
    struct queue *queues;
    size_t n_queues;
    struct map sources; /* "group/plural" → struct source */
    size_t unsynced;
    struct loop_timer pump;
    struct events *events;
    struct owners owners;
    bool any;                /* some controller hears of every change */
    struct metric discarded; /* written, never read: where there are no metrics */
    bool started;
    uint64_t started_at;
};

struct key_sink {
    struct queue *queue;
};

enum op_kind { OP_CREATE, OP_UPDATE, OP_PATCH, OP_DELETE };

struct op {
    struct op *next;
    enum op_kind kind;
    struct client_request req;
    struct client_call *call;
    struct run *run;
    struct source *source;
};

struct run {
    struct reconcile r;
    struct list link;
    struct arena arena;
    struct work *work;
    struct op *ops, **ops_end; /* not begun yet */
    struct op *begun;          /* in flight */
    size_t in_flight;
    bool failed, again;
    struct loop_timer catch_up;
    unsigned tries;
};

static struct source *source_of(const struct controllers *cs, const char *group, const char *plural)
{
    char name[256];
    int n = snprintf(name, sizeof name, "%s/%s", group, plural);
    return map_get(&cs->sources, slice_of(name, (size_t)n));
}

/* ---- queueing ---- */

static void pump_soon(struct controllers *cs)
{
    if (!loop_timer_armed(&cs->pump))
        loop_timer_start(cs->client->loop, &cs->pump, 0);
}

static void enqueue(struct work *w)
{
    loop_timer_stop(w->queue->owner->client->loop, &w->timer);
    if (w->running) {
        w->dirty = true;
        return;
    }
    if (w->queued)
        return;
    w->queued = true;
    list_push(&w->queue->ready, &w->link);
    pump_soon(w->queue->owner);
}

static void on_due(struct loop_timer *t)
{
    enqueue(container_of(t, struct work, timer));
}

void key_add(struct key_sink *sink, struct slice key)
{
    struct queue *q = sink->queue;
    struct work *w = map_get(&q->works, key);
    if (!w) {
        w = mem_new(struct work);
        w->queue = q;
        w->key = slice_of(mem_strndup(key.p, key.n), key.n);
        w->timer.cb = on_due;
        list_init(&w->link);
        map_put(&q->works, key, w);
    }
    enqueue(w);
}

void key_add_parts(struct key_sink *sink, struct slice ns, struct slice name)
{
    char key[1024];
    int n = snprintf(key, sizeof key, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(ns), ns.n ? "/" : "", SLICE_ARG(name));
    if (n > 0 && (size_t)n < sizeof key)
        key_add(sink, slice_of(key, (size_t)n));
}

static void work_free(struct work *w)
{
    loop_timer_stop(w->queue->owner->client->loop, &w->timer);
    mem_free((char *)w->key.p);
    mem_free(w);
}

/* A key without anything to do is forgotten, so that the queue holds what is alive only. */
static void forget(struct work *w)
{
    map_del(&w->queue->works, w->key);
    work_free(w);
}

/* ---- views ---- */

static const struct json *parse(struct arena *a, const struct client_object *o)
{
    struct json_error err;
    return json_parse(a, o->json, &err, NULL, NULL);
}

static const struct json *get(const struct controllers *cs, struct arena *a, const char *group, const char *plural,
                              struct slice key)
{
    struct source *s = source_of(cs, group, plural);
    struct client_object o;
    return s && informer_get(s->informer, key, &o) ? parse(a, &o) : NULL;
}

const struct json *sink_get(struct key_sink *sink, struct arena *a, const char *group, const char *plural,
                            struct slice key)
{
    return get(sink->queue->owner, a, group, plural, key);
}

struct each_ctx {
    struct arena *a;
    void (*each)(void *ctx, const struct json *obj);
    void *ctx;
};

static bool each_parsed(void *ctx, const struct client_object *o)
{
    struct each_ctx *e = ctx;
    const struct json *obj = parse(e->a, o);
    if (obj)
        e->each(e->ctx, obj);
    return obj != NULL;
}

static struct slice prefix_of(struct arena *a, struct slice ns)
{
    return ns.n ? slice_str(arena_printf(a, "%" SLICE_FMT "/", SLICE_ARG(ns))) : SLICE_NONE;
}

void sink_each(struct key_sink *sink, struct arena *a, const char *group, const char *plural, struct slice ns,
               void (*each)(void *ctx, const struct json *obj), void *ctx)
{
    struct source *s = source_of(sink->queue->owner, group, plural);
    struct each_ctx e = {a, each, ctx};
    if (s)
        informer_each(s->informer, prefix_of(a, ns), each_parsed, &e);
}

const struct json *view_get(struct reconcile *r, const char *group, const char *plural, struct slice ns,
                            struct slice name)
{
    const char *key =
        arena_printf(r->a, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(ns), ns.n ? "/" : "", SLICE_ARG(name));
    return get(r->owner, r->a, group, plural, slice_str(key));
}

struct collect {
    struct arena *a;
    struct slice uid; /* controlling owner, or empty */
    const struct json **items;
    size_t n, cap;
};

static bool collect_one(void *ctx, const struct client_object *o)
{
    struct collect *c = ctx;
    /* Most objects of a namespace belong to others: look before parsing. */
    if (c->uid.n && !memmem(o->json.p, o->json.n, c->uid.p, c->uid.n))
        return true;
    const struct json *obj = parse(c->a, o);
    if (!obj || (c->uid.n && !meta_is_controlled_by(obj, c->uid)))
        return obj != NULL;
    if (c->n + 1 >= c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        const struct json **items = arena_alloc(c->a, cap * sizeof *items);
        if (!items)
            return false;
        if (c->n)
            memcpy(items, c->items, c->n * sizeof *items);
        c->items = items;
        c->cap = cap;
    }
    c->items[c->n++] = obj;
    return true;
}

static const struct json **list(struct reconcile *r, const char *group, const char *plural, struct slice ns,
                                struct slice uid)
{
    struct source *s = source_of(r->owner, group, plural);
    struct collect c = {.a = r->a, .uid = uid};
    static const struct json *none[] = {NULL};
    if (s)
        informer_each(s->informer, prefix_of(r->a, ns), collect_one, &c);
    if (!c.items)
        return none;
    c.items[c.n] = NULL;
    return c.items;
}

const struct json **view_list(struct reconcile *r, const char *group, const char *plural, struct slice ns)
{
    return list(r, group, plural, ns, SLICE_NONE);
}

const struct json **view_owned(struct reconcile *r, const char *group, const char *plural, struct slice ns,
                               struct slice uid)
{
    return list(r, group, plural, ns, uid);
}

void sink_dependents(struct key_sink *sink, struct slice uid, void (*each)(void *ctx, struct slice id), void *ctx)
{
    owners_each(&sink->queue->owner->owners, uid, each, ctx);
}

void view_dependents(struct reconcile *r, struct slice uid, void (*each)(void *ctx, struct slice id), void *ctx)
{
    owners_each(&r->owner->owners, uid, each, ctx);
}

/* ---- operations ---- */

static struct op *op_add(struct reconcile *r, enum op_kind kind, const char *group, const char *plural)
{
    struct run *run = r->run;
    struct op *op = arena_new(r->a, struct op);
    struct source *s = source_of(r->owner, group, plural);
    if (!op)
        return NULL;
    op->kind = kind;
    op->run = run;
    op->source = s;
    op->req.res = s ? s->res : resource_find(slice_str(group), SLICE("v1"), slice_str(plural));
    *run->ops_end = op;
    run->ops_end = &op->next;
    return op;
}

void op_create(struct reconcile *r, const char *group, const char *plural, struct slice ns, struct json *obj)
{
    struct op *op = op_add(r, OP_CREATE, group, plural);
    if (!op)
        return;
    op->req.verb = CLIENT_CREATE;
    op->req.ns = arena_copy(r->a, ns); /* it runs later: what the slice is of may be gone by then */
    op->req.body = obj;
}

void op_update(struct reconcile *r, const char *group, const char *plural, struct json *obj, const char *sub)
{
    struct op *op = op_add(r, OP_UPDATE, group, plural);
    if (!op)
        return;
    op->req.verb = CLIENT_UPDATE;
    op->req.ns = meta_namespace(obj);
    op->req.name = meta_name(obj);
    op->req.sub = sub;
    op->req.body = obj;
}

void op_patch(struct reconcile *r, const char *group, const char *plural, struct slice ns, struct slice name,
              struct json *patch, const char *sub)
{
    struct op *op = op_add(r, OP_PATCH, group, plural);
    if (!op)
        return;
    op->req.verb = CLIENT_PATCH;
    op->req.patch = CLIENT_MERGE_PATCH;
    op->req.ns = arena_copy(r->a, ns);
    op->req.name = arena_copy(r->a, name);
    op->req.sub = sub;
    op->req.body = patch;
}

void op_delete(struct reconcile *r, const char *group, const char *plural, struct slice ns, struct slice name,
               struct slice uid, const char *policy, int64_t grace)
{
    struct op *op = op_add(r, OP_DELETE, group, plural);
    struct json *options = json_new_object(r->a);
    if (!op || !options)
        return;
    if (uid.n)
        json_set_str(r->a, json_object_at(r->a, options, "preconditions"), "uid", json_new_string(r->a, uid));
    if (policy)
        json_set_str(r->a, options, "propagationPolicy", json_new_str(r->a, policy));
    if (grace >= 0)
        json_set_str(r->a, options, "gracePeriodSeconds", json_new_int(r->a, grace));
    op->req.verb = CLIENT_DELETE;
    op->req.ns = arena_copy(r->a, ns);
    op->req.name = arena_copy(r->a, name);
    op->req.body = options;
}

void op_event(struct reconcile *r, const struct json *obj, const char *type, const char *reason, const char *fmt, ...)
{
    char message[1024];
    struct run *run = r->run;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    events_record(r->owner->events, obj, run->work->queue->controller->name, NULL, type, reason, message);
}

/* ---- runs ---- */

static void run_advance(struct run *run);

static void run_free(struct run *run)
{
    struct queue *q = run->work->queue;
    loop_timer_stop(q->owner->client->loop, &run->catch_up);
    list_remove(&run->link);
    q->running--;
    run->work->running = false;
    arena_done(&run->arena);
    mem_free(run);
}

static uint64_t backoff_ms(unsigned failures)
{
    uint64_t ms = BACKOFF_MIN_MS;
    while (failures-- > 1 && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void run_finish(struct run *run)
{
    struct work *w = run->work;
    struct controllers *cs = w->queue->owner;
    bool failed = run->failed, again = run->again || w->dirty;
    uint64_t requeue_ms = run->r.requeue_ms;
    run_free(run);
    w->dirty = false;
    w->failures = failed ? w->failures + 1 : 0;
    if (failed)
        w->queue->m_failures->value++;
    if (failed && !again)
        loop_timer_start(cs->client->loop, &w->timer, backoff_ms(w->failures));
    else if (again)
        enqueue(w);
    else if (requeue_ms)
        loop_timer_start(cs->client->loop, &w->timer, requeue_ms);
    else
        forget(w);
    pump_soon(cs);
}

static bool caught_up(const struct controllers *cs)
{
    for (struct map_entry *e = map_first(&cs->sources); e; e = map_next(&cs->sources, e)) {
        const struct source *s = e->value;
        if (informer_revision(s->informer) < s->wanted_revision)
            return false;
    }
    return true;
}

static void on_catch_up(struct loop_timer *t)
{
    struct run *run = container_of(t, struct run, catch_up);
    if (caught_up(run->r.owner) || ++run->tries >= CATCH_UP_TRIES)
        run_finish(run);
    else
        loop_timer_start(run->r.owner->client->loop, t, CATCH_UP_MS);
}

static void note_revision(struct op *op, const struct client_reply *reply)
{
    static const char member[] = "\"resourceVersion\":\"";
    const char *at = op->source ? memmem(reply->body.p, reply->body.n, member, sizeof member - 1) : NULL;
    uint64_t revision = 0;
    if (!at)
        return;
    for (at += sizeof member - 1; at < reply->body.p + reply->body.n && *at >= '0' && *at <= '9'; at++)
        revision = revision * 10 + (uint64_t)(*at - '0');
    if (revision > op->source->wanted_revision)
        op->source->wanted_revision = revision;
}

static void unlink_begun(struct run *run, struct op *op)
{
    struct op **at = &run->begun;
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
}

static void on_op_done(void *ctx, const struct client_reply *reply)
{
    struct op *op = ctx;
    struct run *run = op->run;
    unlink_begun(run, op);
    run->in_flight--;
    bool gone = reply->code == 404 && op->kind == OP_DELETE;
    if (!reply->err && reply->code < 400) {
        note_revision(op, reply);
    } else if (!gone) {
        run->failed = true;
        /* Somebody else was faster: what is there now decides. */
        run->again |= reply->code == 409 && run->work->failures < 5;
        log_debug(loop_log(run->r.owner->client->loop), run->work->queue->controller->name,
                  "operation failed key=%" SLICE_FMT " resource=%s code=%d err=%d answer=%" SLICE_FMT,
                  SLICE_ARG(run->work->key), op->req.res->plural, reply->code, reply->err, SLICE_ARG(reply->body));
    }
    run_advance(run);
}

static bool independent(const struct op *a, const struct op *b)
{
    return a->kind == b->kind && a->req.res == b->req.res && (a->kind == OP_CREATE || a->kind == OP_DELETE);
}

static void op_begin(struct run *run)
{
    struct op *op = run->ops;
    run->ops = op->next;
    if (!run->ops)
        run->ops_end = &run->ops;
    op->next = run->begun;
    run->begun = op;
    run->in_flight++;
    op->call = client_do(run->r.owner->client, &op->req, on_op_done, op);
}

/* Begins what may run now; when nothing is left and nothing in flight, the run ends. */
static void run_advance(struct run *run)
{
    while (run->ops && !run->failed && run->in_flight < PARALLEL_MAX &&
           (!run->begun || independent(run->begun, run->ops)))
        op_begin(run);
    if (run->in_flight)
        return;
    run->tries = 0;
    on_catch_up(&run->catch_up);
}

static void run_start(struct work *w)
{
    struct queue *q = w->queue;
    struct controllers *cs = q->owner;
    struct run *run = mem_new(struct run);
    w->running = true;
    q->running++;
    q->m_runs->value++;
    list_push(&q->runs, &run->link);
    arena_init(&run->arena, RECONCILE_ARENA_MAX);
    run->work = w;
    run->ops_end = &run->ops;
    run->catch_up.cb = on_catch_up;
    run->r = (struct reconcile){.a = &run->arena,
                                .key = w->key,
                                .now = loop_wall(cs->client->loop),
                                .up = loop_now(cs->client->loop) - cs->started_at,
                                .memo = &w->memo,
                                .owner = cs,
                                .run = run};
    loop_random(cs->client->loop, &run->r.seed, sizeof run->r.seed);
    if (!slice_cut(w->key, '/', &run->r.ns, &run->r.name)) {
        run->r.name = w->key;
        run->r.ns = SLICE_NONE;
    }
    q->controller->reconcile(&run->r);
    run->failed = arena_error(&run->arena) != 0;
    if (run->failed)
        run->ops = NULL;
    run_advance(run);
}

static void pump_queue(struct queue *q)
{
    while (q->running < RUNS_MAX && !list_empty(&q->ready)) {
        struct work *w = container_of(list_pop(&q->ready), struct work, link);
        w->queued = false;
        run_start(w);
    }
    q->m_depth->value = (double)q->works.n;
}

static void on_pump(struct loop_timer *t)
{
    struct controllers *cs = container_of(t, struct controllers, pump);
    if (cs->unsynced)
        return;
    for (size_t i = 0; i < cs->n_queues; i++)
        pump_queue(&cs->queues[i]);
}

/* ---- changes ---- */

static void map_change(struct queue *q, const struct controller_watch *w, struct arena *a,
                       const struct client_object *subject, const struct json *obj, const struct json *before)
{
    struct key_sink sink = {q};
    if (!w->map)
        key_add(&sink, subject->key);
    else if (obj)
        w->map(&sink, a, obj, before);
}

static bool watches(const struct controller_watch *w, const struct resource *res)
{
    return !strcmp(w->group, res->group) && !strcmp(w->plural, res->plural);
}

static bool mentions(const struct client_object *o, const char *member)
{
    return o && memmem(o->json.p, o->json.n, member, strlen(member));
}

/* Owners and finalizers, for those who follow every kind. */
static void any_change(struct source *s, struct arena *a, const struct client_object *before,
                       const struct client_object *now)
{
    struct controllers *cs = s->owner;
    bool owned = mentions(before, "\"ownerReferences\"") || mentions(now, "\"ownerReferences\"");
    if (!owned && now && !mentions(now, "\"finalizers\""))
        return;
    const struct json *old = before ? parse(a, before) : NULL, *obj = now ? parse(a, now) : NULL;
    if (owned)
        owners_update(&cs->owners, s->res, (now ? now : before)->key, old, obj);
    for (size_t i = 0; i < cs->n_queues; i++) {
        struct key_sink sink = {&cs->queues[i]};
        if (cs->queues[i].controller->map_any && (obj || old))
            cs->queues[i].controller->map_any(&sink, a, s->res, obj ? obj : old, !obj);
    }
}

static void on_change(void *ctx, const struct client_object *before, const struct client_object *now)
{
    struct source *s = ctx;
    struct controllers *cs = s->owner;
    const struct client_object *subject = now ? now : before;
    const struct json *obj = NULL, *old = NULL;
    struct arena a;
    arena_init(&a, MAP_ARENA_MAX);
    if (cs->any)
        any_change(s, &a, before, now);
    for (size_t i = 0; i < cs->n_queues; i++) {
        for (const struct controller_watch *w = cs->queues[i].controller->watches;
             w < cs->queues[i].controller->watches + CONTROLLER_WATCHES_MAX && w->plural; w++) {
            if (!watches(w, s->res))
                continue;
            if (w->map && !obj) {
                obj = parse(&a, subject);
                old = before && now ? parse(&a, before) : NULL;
            }
            map_change(&cs->queues[i], w, &a, subject, obj, old);
        }
    }
    arena_done(&a);
}

static void on_synced(void *ctx)
{
    struct source *s = ctx;
    struct controllers *cs = s->owner;
    if (--cs->unsynced == 0)
        pump_soon(cs);
}

static const struct informer_handler handler = {on_change, on_synced};

/* ---- life ---- */

static void add_source(struct controllers *cs, const char *group, const char *plural)
{
    char name[256];
    int n = snprintf(name, sizeof name, "%s/%s", group, plural);
    const struct resource *res = NULL;
    if (map_get(&cs->sources, slice_of(name, (size_t)n)))
        return;
    const struct api_group *g = api_group_find(slice_str(group));
    for (const char *const *version = g ? g->versions : NULL; version && *version && !res; version++)
        res = resource_find(slice_str(group), slice_str(*version), slice_str(plural));
    if (!res) {
        log_error(loop_log(cs->client->loop), "controllers", "no such resource name=%s", name);
        return;
    }
    struct source *s = mem_new(struct source);
    s->owner = cs;
    s->res = res;
    map_put(&cs->sources, slice_of(name, (size_t)n), s);
}

static void add_stored(struct controllers *cs, const struct resource *res)
{
    if (!res->virtual && (res->verbs & VERB_WATCH) && (!res->storage || res->storage == res))
        add_source(cs, res->group, res->plural);
}

static void queue_init(struct controllers *cs, struct queue *q, const struct controller *c, struct metrics *m)
{
    char labels[128];
    *q = (struct queue){.owner = cs,
                        .controller = c,
                        .m_depth = &cs->discarded,
                        .m_runs = &cs->discarded,
                        .m_failures = &cs->discarded};
    map_init(&q->works, 0);
    list_init(&q->ready);
    list_init(&q->runs);
    if (!m)
        return;
    snprintf(labels, sizeof labels, "name=\"%s\"", c->name);
    q->m_depth = metric_get(metrics_family(m, METRIC_GAUGE, "workqueue_depth", "Keys waiting or at work."), labels);
    q->m_runs = metric_get(metrics_family(m, METRIC_COUNTER, "workqueue_adds_total", "Runs of a controller."), labels);
    q->m_failures =
        metric_get(metrics_family(m, METRIC_COUNTER, "workqueue_retries_total", "Runs that failed."), labels);
}

struct controllers *controllers_new(struct client *c, const struct controller *table, struct metrics *metrics)
{
    struct controllers *cs = mem_new(struct controllers);
    cs->client = c;
    cs->pump.cb = on_pump;
    map_init(&cs->sources, 0);
    while (table[cs->n_queues].name)
        cs->n_queues++;
    cs->queues = mem_zalloc(cs->n_queues * sizeof *cs->queues);
    for (size_t i = 0; i < cs->n_queues; i++) {
        queue_init(cs, &cs->queues[i], &table[i], metrics);
        for (size_t j = 0; j < CONTROLLER_WATCHES_MAX && table[i].watches[j].plural; j++)
            add_source(cs, table[i].watches[j].group, table[i].watches[j].plural);
        for (size_t j = 0; j < CONTROLLER_WATCHES_MAX && table[i].reads[j][1]; j++)
            add_source(cs, table[i].reads[j][0], table[i].reads[j][1]);
        cs->any |= table[i].map_any != NULL;
        for (size_t j = 0; table[i].reads_everything && j < resource_count(); j++)
            add_stored(cs, resource_at(j));
    }
    return cs;
}

void controllers_start(struct controllers *cs)
{
    if (cs->started)
        return;
    cs->started = true;
    cs->started_at = loop_now(cs->client->loop);
    cs->events = events_new(cs->client, "controllers", "");
    owners_init(&cs->owners);
    cs->unsynced = cs->sources.n;
    for (struct map_entry *e = map_first(&cs->sources); e; e = map_next(&cs->sources, e)) {
        struct source *s = e->value;
        s->wanted_revision = 0;
        s->informer = informer_new(cs->client, &(struct informer_options){.res = s->res}, &handler, s);
    }
    for (size_t i = 0; i < cs->n_queues; i++) {
        struct key_sink sink = {&cs->queues[i]};
        for (const char *const *key = cs->queues[i].controller->initial_keys; key && *key; key++)
            key_add(&sink, slice_str(*key));
    }
}

static void queue_stop(struct queue *q)
{
    list_each (node, &q->runs) {
        struct run *run = container_of(node, struct run, link);
        for (struct op *op = run->begun; op; op = op->next)
            client_cancel(q->owner->client, op->call);
        run_free(run);
    }
    for (struct map_entry *e = map_first(&q->works); e; e = map_next(&q->works, e))
        work_free(e->value);
    map_done(&q->works);
    list_init(&q->ready);
}

void controllers_stop(struct controllers *cs)
{
    if (!cs->started)
        return;
    cs->started = false;
    loop_timer_stop(cs->client->loop, &cs->pump);
    for (struct map_entry *e = map_first(&cs->sources); e; e = map_next(&cs->sources, e)) {
        struct source *s = e->value;
        informer_free(s->informer);
        s->informer = NULL;
    }
    for (size_t i = 0; i < cs->n_queues; i++)
        queue_stop(&cs->queues[i]);
    owners_done(&cs->owners);
    events_free(cs->events);
    cs->events = NULL;
}

void controllers_free(struct controllers *cs)
{
    if (!cs)
        return;
    controllers_stop(cs);
    for (struct map_entry *e = map_first(&cs->sources); e; e = map_next(&cs->sources, e))
        mem_free(e->value);
    map_done(&cs->sources);
    mem_free(cs->queues);
    mem_free(cs);
}

bool controllers_idle(const struct controllers *cs)
{
    if (!cs->started || cs->unsynced)
        return false;
    for (size_t i = 0; i < cs->n_queues; i++)
        if (cs->queues[i].running || !list_empty(&cs->queues[i].ready))
            return false;
    return true;
}

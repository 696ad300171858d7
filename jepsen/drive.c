#include "jepsen/drive.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"

enum { WORKERS_MAX = 256, STRAY_PERCENT = 15, AGAIN_MS = 300, WORKER_ARENA = 512 << 20 };

struct drive {
    struct loop *loop;
    struct drive_options o;
    struct history history;
    struct worker *workers;
    uint64_t started, random;
    int64_t unique;
    size_t ops;
    bool quiet, finishing;
    struct drive *chained;
    char shared[DRIVE_SHARED] __attribute__((aligned(16)));
};

/* ---- small things ---- */

uint64_t drive_random(struct drive *d, uint64_t bound)
{
    d->random ^= d->random >> 12;
    d->random ^= d->random << 25;
    d->random ^= d->random >> 27;
    return (d->random * UINT64_C(2685821657736338717) >> 11) % bound;
}

int64_t drive_unique(struct drive *d)
{
    return ++d->unique;
}

void *drive_shared(struct drive *d)
{
    return d->shared;
}

struct history *drive_history(struct drive *d)
{
    return &d->history;
}

uint64_t drive_time(const struct drive *d)
{
    return loop_now(d->loop) - d->started;
}

const struct drive_options *drive_opts(const struct drive *d)
{
    return &d->o;
}

struct loop *drive_loop(const struct drive *d)
{
    return d->loop;
}

size_t drive_ops(const struct drive *d)
{
    return d->ops;
}

bool drive_is_quiet(const struct drive *d)
{
    return d->quiet;
}

void drive_chain(struct drive *d, struct drive *next)
{
    d->chained = next;
}

void drive_note(struct drive *d, enum hist_f f, unsigned node, int64_t value, const char *note)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.type = HIST_INFO;
    e.f = (uint8_t)f;
    e.process = -1;
    e.node = (uint16_t)node;
    e.value = value;
    e.time = drive_time(d);
    history_add(&d->history, &e, NULL, 0, note);
    if (d->chained)
        drive_note(d->chained, f, node, value, note);
}

int64_t json_revision(const struct json *obj)
{
    int64_t v;
    return slice_to_i64(json_path_string(obj, "metadata.resourceVersion"), &v) ? v : HIST_NIL;
}

int64_t json_value(const struct json *obj)
{
    int64_t v;
    return slice_to_i64(json_path_string(obj, "data.v"), &v) ? v : HIST_NIL;
}

const char *configmaps_path(struct worker *w, const char *rest)
{
    return arena_printf(&w->a, "/api/v1/namespaces/%s/configmaps%s", w->d->o.ns, rest);
}

const char *configmap_text(struct worker *w, const char *name, int64_t value, int64_t revision, const char *extra)
{
    const char *at = revision > 0 ? arena_printf(&w->a, ",\"resourceVersion\":\"%ld\"", revision) : "";
    return arena_printf(&w->a,
                        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"%s%s},"
                        "\"data\":{\"v\":\"%ld\"}}",
                        name, at, extra, value);
}

/* ---- turns of a worker ---- */

static void pause_worker(struct worker *w)
{
    struct drive *d = w->d;
    uint64_t mean = d->o.workload->think_ms ? d->o.workload->think_ms : d->o.think_ms;
    w->busy = false;
    if (!d->quiet)
        loop_timer_start(d->loop, &w->timer, 1 + drive_random(d, 2 * mean));
}

void worker_skip(struct worker *w)
{
    pause_worker(w);
}

void worker_done(struct worker *w)
{
    w->busy = false;
    w->finished = true;
}

void worker_again(struct worker *w)
{
    w->busy = false;
    loop_timer_start(w->d->loop, &w->timer, AGAIN_MS);
}

void worker_move(struct worker *w)
{
    w->node = (unsigned)drive_random(w->d, w->d->o.n_nodes);
}

static void on_turn(struct loop_timer *t)
{
    struct worker *w = container_of(t, struct worker, timer);
    struct drive *d = w->d;
    if (d->quiet && (!d->finishing || w->finished))
        return;
    arena_done(&w->a);
    arena_init(&w->a, WORKER_ARENA);
    w->node = w->i % (unsigned)d->o.n_nodes;
    if (drive_random(d, 100) < STRAY_PERCENT)
        worker_move(w);
    w->busy = true;
    if (d->finishing)
        d->o.workload->last(w);
    else
        d->o.workload->next(w);
}

/* ---- operations ---- */

void op_begin(struct worker *w, const struct hist_event *e, const int64_t *list, size_t n)
{
    w->op = *e;
    w->op.type = HIST_INVOKE;
    w->op.process = w->process;
    w->op.node = (uint16_t)(w->node + 1);
    w->op.time = drive_time(w->d);
    history_add(&w->d->history, &w->op, list, n, NULL);
    w->d->ops++;
}

void op_end(struct worker *w, enum hist_type type, const int64_t *list, size_t n, const char *note)
{
    w->op.type = (uint8_t)type;
    w->op.time = drive_time(w->d);
    w->op.node = (uint16_t)(w->node + 1);
    history_add(&w->d->history, &w->op, list, n, note);
    if (type == HIST_INFO)
        w->process += (int32_t)w->d->o.workers;
    if (!w->d->finishing)
        pause_worker(w);
}

bool answer_tells(const struct answer *a)
{
    return !a->err && !a->marked && (a->code == 404 || (a->code == 200 && a->json));
}

enum hist_type answer_fate(const struct answer *a)
{
    if (a->err)
        return a->sent ? HIST_INFO : HIST_FAIL;
    if (a->code < 300)
        return HIST_OK;
    if (a->code < 500)
        return HIST_FAIL;
    static const char *const refusals[] = {"no leader is known", "no quorum: a majority"};
    for (size_t i = 0; i < 2 && a->code == 503; i++)
        if (memmem(a->body.p, a->body.n, refusals[i], strlen(refusals[i])))
            return HIST_FAIL;
    return HIST_INFO;
}

void op_end_as(struct worker *w, const struct answer *a)
{
    char note[64];
    enum hist_type fate = answer_fate(a);
    if (a->err)
        snprintf(note, sizeof note, "%s%s", strerrorname_np(-a->err), a->sent ? "" : ", not sent");
    else
        snprintf(note, sizeof note, "%d", a->code);
    op_end(w, fate, NULL, 0, fate == HIST_OK ? NULL : note);
}

/* ---- calls ---- */

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct worker *w = ctx;
    static const char stale[] = "may be stale";
    (void)code;
    for (size_t i = 0; i < n; i++)
        w->answer.marked |= slice_eq_str(headers[i].name, "warning") &&
                            memmem(headers[i].value.p, headers[i].value.n, stale, sizeof stale - 1);
}

static void on_data(void *ctx, struct slice data)
{
    struct worker *w = ctx;
    buf_add_slice(&w->body, data);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct worker *w = ctx;
    (void)trailers, (void)n;
    w->call = NULL;
    w->answer.err = err;
    w->answer.sent = sent;
    w->answer.code = code;
    w->answer.body = buf_slice(&w->body);
    if (!err && w->body.n)
        w->answer.json = json_parse(&w->a, buf_slice(&w->body), NULL, NULL, NULL);
    w->on_answer(w, &w->answer);
}

void worker_call(struct worker *w, const char *method, const char *path, const char *body, answer_fn *done)
{
    bool patch = !strcmp(method, "PATCH");
    const struct http_header headers[] = {
        {SLICE("accept"), SLICE("application/json")},
        {SLICE("content-type"), patch ? SLICE("application/merge-patch+json") : SLICE("application/json")},
        {SLICE("pintle-consistency"), SLICE("linearizable")}};
    const struct drive_options *o = &w->d->o;
    buf_clear(&w->body);
    w->on_answer = done;
    w->answer = (struct answer){0};
    w->call = http_call(w->clients[w->node],
                        &(struct http_call_options){.method = method,
                                                    .path = path,
                                                    .headers = headers,
                                                    .n_headers = 2 + drive_random(w->d, 2),
                                                    .body = slice_str(body),
                                                    .timeout_ms = o->call_ms ? o->call_ms : DRIVE_CALL_MS,
                                                    .on_head = on_head,
                                                    .on_data = on_data,
                                                    .on_done = on_done,
                                                    .ctx = w});
}

/* ---- life ---- */

static void worker_init(struct drive *d, unsigned i)
{
    struct worker *w = &d->workers[i];
    w->d = d;
    w->i = i;
    w->process = (int32_t)i;
    w->state = mem_zalloc(d->o.workload->state_size + 1);
    w->timer.cb = on_turn;
    buf_init(&w->body, DRIVE_BODY_MAX);
    arena_init(&w->a, WORKER_ARENA);
    for (size_t n = 0; n < d->o.n_nodes; n++)
        w->clients[n] = http_client_new(
            d->loop,
            &(struct http_client_options){.addr = d->o.nodes[n], .tls = d->o.tls, .h2 = true, .connect_ms = 1500});
}

struct drive *drive_new(struct loop *l, const struct drive_options *o)
{
    struct drive *d = mem_new(struct drive);
    d->loop = l;
    d->o = *o;
    d->o.ns = o->ns ? o->ns : "default";
    d->o.workers = o->workers < WORKERS_MAX ? o->workers : WORKERS_MAX;
    d->random = o->seed * UINT64_C(0x9e3779b97f4a7c15) + 88172645463325252;
    d->started = loop_now(l);
    history_init(&d->history);
    d->workers = mem_zalloc(d->o.workers * sizeof *d->workers);
    for (unsigned i = 0; i < d->o.workers; i++)
        worker_init(d, i);
    return d;
}

void drive_start(struct drive *d)
{
    d->started = loop_now(d->loop);
    for (unsigned i = 0; i < d->o.workers; i++)
        loop_timer_start(d->loop, &d->workers[i].timer, 1 + drive_random(d, 2UL * d->o.think_ms));
}

void drive_quiet(struct drive *d)
{
    d->quiet = true;
}

void drive_finish(struct drive *d)
{
    d->finishing = true;
    for (unsigned i = 0; i < d->o.workers; i++) {
        if (d->o.workload->last)
            loop_timer_start(d->loop, &d->workers[i].timer, 1 + drive_random(d, 50));
        else
            d->workers[i].finished = true;
    }
}

bool drive_idle(const struct drive *d)
{
    for (unsigned i = 0; i < d->o.workers; i++)
        if (d->workers[i].busy || (d->finishing && !d->workers[i].finished))
            return false;
    return true;
}

void drive_free(struct drive *d)
{
    for (unsigned i = 0; i < d->o.workers; i++) {
        struct worker *w = &d->workers[i];
        if (d->o.workload->stop)
            d->o.workload->stop(w);
        if (w->call)
            http_call_cancel(w->call);
        loop_timer_stop(d->loop, &w->timer);
        for (size_t n = 0; n < d->o.n_nodes; n++)
            http_client_free(w->clients[n]);
        buf_done(&w->body);
        arena_done(&w->a);
        mem_free(w->state);
    }
    mem_free(d->workers);
    history_done(&d->history);
    mem_free(d);
}

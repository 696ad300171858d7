#include "agent/probes/probes.h"

#include <stdio.h>

#include "agent/probes/handler.h"
#include "base/mem.h"
#include "base/timefmt.h"

enum { PROBE_KINDS = 3, PROBE_SPREAD_MS = 500, PROBE_SPEC_MAX = 4 << 20, PROBE_PERIOD_S = 10, PROBE_FAILURES = 3 };

static const struct {
    const char *field, *word;
    bool begins;
} kinds[PROBE_KINDS] = {
    [PROBE_STARTUP] = {"startupProbe", "Startup", false},
    [PROBE_LIVENESS] = {"livenessProbe", "Liveness", true},
    [PROBE_READINESS] = {"readinessProbe", "Readiness", false},
};

struct prober {
    struct probe_watch *watch;
    enum probe_kind kind;
    const struct json *spec; /* NULL = the container has none */
    struct loop_timer timer;
    struct handler_run *run;
    bool result, last; /* what was told; the last run's outcome */
    int64_t in_a_row;
};

struct probes {
    struct agent *agent;
    struct list watches;
    struct list runs; /* handlers run once */
};

struct probe_watch {
    struct list link;
    struct probes *owner;
    struct arena arena;
    const struct json *container;
    char *id, *ip;
    uint64_t since; /* loop_now */
    struct prober probers[PROBE_KINDS];
    void (*on_result)(void *ctx, enum probe_kind kind, bool ok, const char *message);
    void *ctx;
};

static void probe_tick(struct loop_timer *t);

static int64_t option(const struct prober *p, const char *name, int64_t fallback)
{
    int64_t v = json_int(json_get_str(p->spec, name), fallback);
    return v > 0 ? v : fallback;
}

static void prober_begin(struct prober *p)
{
    struct loop *l = p->watch->owner->agent->loop;
    uint64_t delay = (uint64_t)option(p, "initialDelaySeconds", 0) * 1000;
    uint64_t passed = (loop_now(l) - p->watch->since) / NS_PER_MS;
    if (p->spec)
        loop_timer_start(l, &p->timer, (delay > passed ? delay - passed : 0) + loop_random_below(l, PROBE_SPREAD_MS));
}

/* Counts the outcome; true when it turns the result. */
static bool prober_count(struct prober *p, bool ok)
{
    p->in_a_row = p->in_a_row && p->last == ok ? p->in_a_row + 1 : 1;
    p->last = ok;
    int64_t threshold = ok ? option(p, "successThreshold", 1) : option(p, "failureThreshold", PROBE_FAILURES);
    if (p->in_a_row < threshold)
        return false;
    /* The first failure is told although startup and readiness began as failed: for the restart, and for the event. */
    bool turned = p->result != ok || (!ok && p->in_a_row == threshold);
    p->result = ok;
    return turned;
}

static void on_run(void *ctx, bool ok, const char *message)
{
    struct prober *p = ctx;
    struct probe_watch *w = p->watch;
    char text[PROBE_MESSAGE_MAX + 64];
    p->run = NULL;
    bool turned = prober_count(p, ok);
    bool started = p->kind == PROBE_STARTUP && p->result;
    if (!started) /* before on_result, which may end the watch */
        loop_timer_start(w->owner->agent->loop, &p->timer, (uint64_t)option(p, "periodSeconds", PROBE_PERIOD_S) * 1000);
    else {
        prober_begin(&w->probers[PROBE_LIVENESS]);
        prober_begin(&w->probers[PROBE_READINESS]);
    }
    if (!turned)
        return;
    snprintf(text, sizeof text, ok ? "%s probe succeeded" : "%s probe failed: %s", kinds[p->kind].word, message);
    w->on_result(w->ctx, p->kind, ok, text);
}

static void probe_tick(struct loop_timer *t)
{
    struct prober *p = container_of(t, struct prober, timer);
    struct probe_watch *w = p->watch;
    unsigned timeout = (unsigned)option(p, "timeoutSeconds", 1) * 1000;
    p->run = handler_start(w->owner->agent, p->spec, w->container, w->id, w->ip, timeout, on_run, p);
}

static bool has_probes(const struct json *container)
{
    for (size_t i = 0; i < PROBE_KINDS; i++)
        if (json_get_str(container, kinds[i].field))
            return true;
    return false;
}

struct probe_watch *probes_watch(struct probes *p, const struct json *container, const char *id, const char *ip,
                                 void (*on_result)(void *ctx, enum probe_kind kind, bool ok, const char *message),
                                 void *ctx)
{
    if (!has_probes(container))
        return NULL;
    struct probe_watch *w = mem_new(struct probe_watch);
    w->owner = p;
    arena_init(&w->arena, PROBE_SPEC_MAX);
    w->container = json_clone(&w->arena, container);
    w->id = mem_strndup(id, strlen(id));
    w->ip = mem_strndup(ip ? ip : "", ip ? strlen(ip) : 0);
    w->since = loop_now(p->agent->loop);
    w->on_result = on_result;
    w->ctx = ctx;
    list_push(&p->watches, &w->link);
    for (size_t i = 0; i < PROBE_KINDS; i++)
        w->probers[i] = (struct prober){.watch = w,
                                        .kind = (enum probe_kind)i,
                                        .timer = {.cb = probe_tick},
                                        .spec = json_get_str(w->container, kinds[i].field),
                                        .result = kinds[i].begins};
    if (w->probers[PROBE_STARTUP].spec) {
        prober_begin(&w->probers[PROBE_STARTUP]);
    } else {
        prober_begin(&w->probers[PROBE_LIVENESS]);
        prober_begin(&w->probers[PROBE_READINESS]);
    }
    return w;
}

void probes_stop(struct probe_watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < PROBE_KINDS; i++) {
        loop_timer_stop(w->owner->agent->loop, &w->probers[i].timer);
        handler_cancel(w->probers[i].run);
    }
    list_remove(&w->link);
    arena_done(&w->arena);
    mem_free(w->id);
    mem_free(w->ip);
    mem_free(w);
}

/* ---- one run, for lifecycle hooks ---- */

struct once {
    struct list link;
    struct handler_run *run;
    void (*done)(void *ctx, bool ok, const char *message);
    void *ctx;
};

static void on_once(void *ctx, bool ok, const char *message)
{
    struct once *o = ctx;
    struct once copy = *o;
    list_remove(&o->link);
    mem_free(o);
    copy.done(copy.ctx, ok, message);
}

void probes_run_handler(struct probes *p, const struct json *handler, const struct json *container, const char *id,
                        const char *ip, unsigned timeout_ms, void (*done)(void *ctx, bool ok, const char *message),
                        void *ctx)
{
    struct once *o = mem_new(struct once);
    o->done = done;
    o->ctx = ctx;
    list_push(&p->runs, &o->link);
    o->run = handler_start(p->agent, handler, container, id, ip, timeout_ms, on_once, o);
}

struct probes *probes_new(struct agent *agent)
{
    struct probes *p = mem_new(struct probes);
    p->agent = agent;
    list_init(&p->watches);
    list_init(&p->runs);
    return p;
}

void probes_free(struct probes *p)
{
    if (!p)
        return;
    list_each (it, &p->watches)
        probes_stop(container_of(it, struct probe_watch, link));
    list_each (it, &p->runs) {
        struct once *o = container_of(it, struct once, link);
        handler_cancel(o->run);
        mem_free(o);
    }
    mem_free(p);
}

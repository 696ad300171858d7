#include "loop/loop_uv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/timefmt.h"

/* Every lane of a few loops may block in a system call at once; a log write must not wait for a slow probe. */
#define POOL_THREADS "32"

static uint64_t uv_now_ns(struct loop *l)
{
    struct loop_uv *u = loop_uv_of(l);
    if (u->now == 0)
        u->now = uv_hrtime();
    return u->now;
}

static int64_t uv_wall(struct loop *l)
{
    (void)l;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static void uv_random_bytes(struct loop *l, void *p, size_t n)
{
    (void)l;
    for (size_t got = 0; got < n;) {
        ssize_t r = getrandom((char *)p + got, n - got, 0);
        if (r > 0)
            got += (size_t)r;
        else if (errno != EINTR)
            abort(); /* no kernel since 3.17 lacks it; keys must never be made without it */
    }
}

/* ---- turns ---- */

static void on_timer(uv_timer_t *t)
{
    struct loop_uv *u = t->data;
    u->timer_due = UINT64_MAX;
    timers_fire(&u->base.timers, loop_now(&u->base));
}

static void set_timer(struct loop_uv *u)
{
    uint64_t due = timers_next(&u->base.timers);
    if (due == u->timer_due)
        return;
    u->timer_due = due;
    if (due == UINT64_MAX) {
        uv_timer_stop(&u->timer);
        return;
    }
    uint64_t now = uv_hrtime();
    uv_update_time(&u->uv);
    uv_timer_start(&u->timer, on_timer, due > now ? (due - now + NS_PER_MS - 1) / NS_PER_MS : 0, 0);
}

static void end_turn(struct loop_uv *u)
{
    loop_run_hooks(&u->base);
    loop_uv_flush(u);
    set_timer(u);
    u->now = 0;
}

static void on_prepare(uv_prepare_t *p)
{
    end_turn(p->data);
}

static void timers_changed(struct loop *l)
{
    (void)l; /* looked at once, at the end of the turn */
}

static void run_deferred(struct loop_timer *t)
{
    struct loop_uv *u = container_of(t, struct loop_uv, deferred_timer);
    struct list batch;
    list_init(&batch);
    if (list_empty(&u->deferred))
        return;
    list_insert(u->deferred.prev, &batch);
    list_remove(&u->deferred);
    for (struct list *it; (it = list_pop(&batch));) {
        struct uv_deferred *d = container_of(it, struct uv_deferred, link);
        d->cb(d);
    }
}

void loop_uv_defer(struct loop_uv *u, struct uv_deferred *d)
{
    list_remove(&d->link);
    list_push(&u->deferred, &d->link);
    if (!loop_timer_armed(&u->deferred_timer))
        loop_timer_start(&u->base, &u->deferred_timer, 0);
}

/* ---- messages ---- */

static void uv_post_message(struct loop *l, void (*cb)(void *arg), void *arg)
{
    struct loop_uv *u = loop_uv_of(l);
    uv_mutex_lock(&u->posts_mutex);
    if (u->n_posts == u->cap_posts) {
        size_t cap = u->cap_posts ? u->cap_posts * 2 : 64;
        struct uv_post *posts = mem_alloc(cap * sizeof(*posts));
        if (u->n_posts)
            memcpy(posts, u->posts, u->n_posts * sizeof(*posts));
        mem_free(u->posts);
        u->posts = posts;
        u->cap_posts = cap;
    }
    u->posts[u->n_posts++] = (struct uv_post){cb, arg};
    bool first = u->n_posts == 1;
    uv_mutex_unlock(&u->posts_mutex);
    if (first)
        uv_async_send(&u->async);
}

static void on_async(uv_async_t *a)
{
    struct loop_uv *u = a->data;
    uv_mutex_lock(&u->posts_mutex);
    struct uv_post *posts = u->posts;
    size_t n = u->n_posts;
    u->posts = NULL;
    u->n_posts = u->cap_posts = 0;
    uv_mutex_unlock(&u->posts_mutex);
    for (size_t i = 0; i < n; i++)
        posts[i].cb(posts[i].arg);
    mem_free(posts);
}

/* ---- threads ---- */

static void on_work(uv_work_t *req)
{
    struct uv_lane *lane = req->data;
    lane->running->run(lane->running);
}

static void next_work(struct uv_lane *lane);

static void on_worked(uv_work_t *req, int status)
{
    (void)status;
    struct uv_lane *lane = req->data;
    struct loop_work *w = lane->running;
    lane->running = NULL;
    next_work(lane);
    w->done(w);
}

static void next_work(struct uv_lane *lane)
{
    struct list *it = lane->running ? NULL : list_pop(&lane->queue);
    if (!it)
        return;
    lane->running = container_of(it, struct loop_work, link);
    if (uv_queue_work(&lane->loop->uv, &lane->req, on_work, on_worked))
        abort(); /* only ever for a NULL callback */
}

static void uv_work_add(struct loop *l, unsigned lane, struct loop_work *w)
{
    struct loop_uv *u = loop_uv_of(l);
    list_push(&u->lanes[lane].queue, &w->link);
    next_work(&u->lanes[lane]);
}

static bool works_pending(const struct loop_uv *u)
{
    for (unsigned i = 0; i < LOOP_LANES; i++)
        if (u->lanes[i].running || !list_empty(&u->lanes[i].queue))
            return true;
    return false;
}

/* ---- life ---- */

static void on_signal(uv_signal_t *s, int signo)
{
    struct loop_uv *u = s->data;
    u->on_signal(u->signal_ctx, signo);
}

static void uv_set_on_signal(struct loop *l, void (*cb)(void *ctx, int signo), void *ctx)
{
    struct loop_uv *u = loop_uv_of(l);
    u->on_signal = cb;
    u->signal_ctx = ctx;
    uv_signal_start(&u->signals[0], on_signal, SIGTERM);
    uv_signal_start(&u->signals[1], on_signal, SIGINT);
}

static void uv_loop_run(struct loop *l)
{
    struct loop_uv *u = loop_uv_of(l);
    u->now = 0; /* what was read before the loop ran may be old */
    uv_run(&u->uv, UV_RUN_DEFAULT);
    end_turn(u); /* libuv leaves after the callbacks: what they queued still goes out */
}

static void uv_loop_stop(struct loop *l)
{
    uv_stop(&loop_uv_of(l)->uv);
}

static void uv_loop_free(struct loop *l)
{
    struct loop_uv *u = loop_uv_of(l);
    while (works_pending(u))
        uv_run(&u->uv, UV_RUN_ONCE);
    loop_uv_close_handles(u);
    uv_close((uv_handle_t *)&u->turn_end, NULL);
    uv_close((uv_handle_t *)&u->timer, NULL);
    uv_close((uv_handle_t *)&u->async, NULL);
    uv_close((uv_handle_t *)&u->signals[0], NULL);
    uv_close((uv_handle_t *)&u->signals[1], NULL);
    uv_run(&u->uv, UV_RUN_DEFAULT);
    if (uv_loop_close(&u->uv))
        abort(); /* a handle that nothing above knows of: a bug of this file */
    uv_mutex_destroy(&u->posts_mutex);
    mem_free(u->posts);
    mem_free(u->base.fs);
    loop_done(&u->base);
    mem_free(u);
}

static const struct loop_ops uv_ops = {
    .now = uv_now_ns,
    .wall = uv_wall,
    .random = uv_random_bytes,
    .timers_changed = timers_changed,
    .post = uv_post_message,
    .work_queue = uv_work_add,
    .listen = loop_uv_listen,
    .connect = loop_uv_connect,
    .run = uv_loop_run,
    .stop = uv_loop_stop,
    .on_signal = uv_set_on_signal,
    .free = uv_loop_free,
};

static void init_handles(struct loop_uv *u)
{
    if (uv_loop_init(&u->uv) || uv_mutex_init(&u->posts_mutex) || uv_async_init(&u->uv, &u->async, on_async))
        abort(); /* out of file descriptors at the start: nothing can work */
    uv_prepare_init(&u->uv, &u->turn_end);
    uv_timer_init(&u->uv, &u->timer);
    uv_signal_init(&u->uv, &u->signals[0]);
    uv_signal_init(&u->uv, &u->signals[1]);
    u->turn_end.data = u->timer.data = u->async.data = u->signals[0].data = u->signals[1].data = u;
    uv_prepare_start(&u->turn_end, on_prepare);
}

struct loop *loop_uv_new(const char *name)
{
    signal(SIGPIPE, SIG_IGN);
    setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 0);
    struct loop_uv *u = mem_new(struct loop_uv);
    loop_init(&u->base, &uv_ops, name);
    u->base.log.fd = STDERR_FILENO;
    u->base.fs = fs_real_new();
    u->timer_due = UINT64_MAX;
    u->deferred_timer.cb = run_deferred;
    list_init(&u->streams);
    list_init(&u->listeners);
    list_init(&u->flush);
    list_init(&u->deferred);
    for (unsigned i = 0; i < LOOP_LANES; i++) {
        list_init(&u->lanes[i].queue);
        u->lanes[i].loop = u;
        u->lanes[i].req.data = &u->lanes[i];
    }
    init_handles(u);
    return &u->base;
}

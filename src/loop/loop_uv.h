/* The real loop's insides, shared by loop_uv.c (clock, timers, threads, life) and loop_uv_stream.c (sockets).
 *
 * A turn: libuv's callbacks run (timers, sockets, posts, finished work), then, in the prepare phase just before libuv
 * blocks: the turn hooks, then one writev for each stream that was written to, then the timer is set. */
#ifndef PINTLE_LOOP_LOOP_UV_H
#define PINTLE_LOOP_LOOP_UV_H

#include <uv.h>

#include "loop/loop_impl.h"

enum { UV_READ_SIZE = 64 << 10, UV_BACKLOG = 1024 };

struct uv_lane {
    struct list queue; /* of loop_work */
    uv_work_t req;
    struct loop_work *running; /* NULL: idle */
    struct loop_uv *loop;
};

struct uv_post {
    void (*cb)(void *arg);
    void *arg;
};

struct loop_uv {
    struct loop base;
    uv_loop_t uv;
    uv_prepare_t turn_end;
    uv_timer_t timer;
    uint64_t timer_due; /* what timer is set to, UINT64_MAX when stopped */
    uint64_t now;       /* 0: to be read at the next need */
    uv_async_t async;
    uv_mutex_t posts_mutex;
    struct uv_post *posts; /* under the mutex */
    size_t n_posts, cap_posts;
    uv_signal_t signals[2];
    void (*on_signal)(void *ctx, int signo);
    void *signal_ctx;
    struct uv_lane lanes[LOOP_LANES];
    struct list streams;   /* open ones, to be closed by loop_free */
    struct list listeners; /* likewise */
    struct list flush;     /* streams with bytes queued in this turn */
    struct list deferred;  /* struct uv_deferred: what must not run inside the call that caused it */
    struct loop_timer deferred_timer;
    char read_buffer[UV_READ_SIZE];
};

struct uv_deferred {
    void (*cb)(struct uv_deferred *d);
    struct list link;
};

static inline struct loop_uv *loop_uv_of(struct loop *l)
{
    return container_of(l, struct loop_uv, base);
}

/* Runs d->cb in the next turn; d must not be queued already unless it is the same request. */
void loop_uv_defer(struct loop_uv *l, struct uv_deferred *d);
/* Writes out what was queued in this turn. */
void loop_uv_flush(struct loop_uv *l);
/* Closes streams and listeners that were left open. */
void loop_uv_close_handles(struct loop_uv *l);
int loop_uv_listen(struct loop *l, const char *addr, void (*on_accept)(void *ctx, struct stream *s), void *ctx,
                   struct listener **ret);
struct connecting *loop_uv_connect(struct loop *l, const char *addr,
                                   void (*on_done)(void *ctx, int err, struct stream *s), void *ctx);

#endif

/* A connection: bytes both ways, through whatever filters lie between (tcp, tls). Same contract as struct stream of
 * loop.h, one level up, so that HTTP, the Raft transport and tunnels need not know what they run on. */
#ifndef PINTLE_NET_CONN_H
#define PINTLE_NET_CONN_H

#include "loop/loop.h"

struct conn;

struct conn_handler {
    void (*on_data)(void *ctx, const char *p, size_t n);
    /* Exactly once unless closed by us; err 0 after an orderly end. The conn must still be closed. */
    void (*on_end)(void *ctx, int err);
    /* As stream_handler.on_drain. May be NULL. */
    void (*on_drain)(void *ctx);
};

/* Filters implement this. */
struct conn_ops {
    void (*handle)(struct conn *c, const struct conn_handler *h, void *ctx);
    int (*write)(struct conn *c, const struct chunk *chunks, size_t n);
    size_t (*queued)(const struct conn *c);
    void (*pause)(struct conn *c, bool paused);
    void (*shutdown)(struct conn *c);
    void (*close)(struct conn *c);
};

struct conn {
    const struct conn_ops *ops;
};

/* A conn over a plain stream; takes the stream over. */
struct conn *conn_plain(struct stream *s);

static inline void conn_handle(struct conn *c, const struct conn_handler *h, void *ctx)
{
    c->ops->handle(c, h, ctx);
}
static inline int conn_write(struct conn *c, const struct chunk *chunks, size_t n)
{
    return c->ops->write(c, chunks, n);
}
static inline size_t conn_queued(const struct conn *c)
{
    return c->ops->queued(c);
}
static inline void conn_pause(struct conn *c, bool paused)
{
    c->ops->pause(c, paused);
}
static inline void conn_shutdown(struct conn *c)
{
    c->ops->shutdown(c);
}
static inline void conn_close(struct conn *c)
{
    if (c)
        c->ops->close(c);
}

/* Passes bytes both ways between a and b with backpressure until both sides ended or one failed, then closes both and
 * calls done (may be NULL). Takes both over; when either is NULL, the other one is just closed. */
void conn_splice(struct loop *l, struct conn *a, struct conn *b, void (*done)(void *ctx), void *ctx);

#endif

#include "net/conn.h"

#include <errno.h>

#include "base/mem.h"
#include "net/conn_impl.h"

/* ---- plain ---- */

struct plain {
    struct conn conn;
    struct stream *stream;
    const struct conn_handler *handler;
    void *ctx;
};

static struct plain *plain_of(const struct conn *c)
{
    return container_of((struct conn *)(uintptr_t)c, struct plain, conn);
}

static void plain_on_data(void *ctx, const char *p, size_t n)
{
    struct plain *pl = ctx;
    if (pl->handler)
        pl->handler->on_data(pl->ctx, p, n);
}

static void plain_on_end(void *ctx, int err)
{
    struct plain *pl = ctx;
    if (pl->handler)
        pl->handler->on_end(pl->ctx, err);
}

static void plain_on_drain(void *ctx)
{
    struct plain *pl = ctx;
    if (pl->handler && pl->handler->on_drain)
        pl->handler->on_drain(pl->ctx);
}

static const struct stream_handler plain_stream_handler = {plain_on_data, plain_on_end, plain_on_drain};

static void plain_handle(struct conn *c, const struct conn_handler *h, void *ctx)
{
    struct plain *pl = plain_of(c);
    bool first = !pl->handler;
    pl->handler = h;
    pl->ctx = ctx;
    if (first)
        stream_handle(pl->stream, &plain_stream_handler, pl);
}

static int plain_write(struct conn *c, const struct chunk *chunks, size_t n)
{
    return stream_write(plain_of(c)->stream, chunks, n);
}

static size_t plain_queued(const struct conn *c)
{
    return stream_queued(plain_of(c)->stream);
}

static void plain_pause(struct conn *c, bool paused)
{
    stream_pause(plain_of(c)->stream, paused);
}

static void plain_shutdown(struct conn *c)
{
    stream_shutdown(plain_of(c)->stream);
}

static void plain_close(struct conn *c)
{
    struct plain *pl = plain_of(c);
    stream_close(pl->stream);
    mem_free(pl);
}

static const struct conn_ops plain_ops = {
    plain_handle, plain_write, plain_queued, plain_pause, plain_shutdown, plain_close,
};

struct conn *conn_plain(struct stream *s)
{
    struct plain *pl = mem_new(struct plain);
    pl->conn.ops = &plain_ops;
    pl->stream = s;
    return &pl->conn;
}

/* ---- prefixed: parked until somebody listens, then bytes that were read too early come first ---- */

struct prefixed {
    struct conn conn;
    struct conn *below;
    struct loop *loop;
    struct loop_timer timer; /* delivers the prefix, or an early end, in a later turn */
    const struct conn_handler *handler;
    void *ctx;
    char *bytes; /* NULL once delivered */
    size_t n;
    bool paused;
    bool ended; /* before anybody listened */
    int err;
};

static struct prefixed *prefixed_of(const struct conn *c)
{
    return container_of((struct conn *)(uintptr_t)c, struct prefixed, conn);
}

static void early_data(void *ctx, const char *p, size_t n)
{
    struct prefixed *x = ctx; /* what a paused filter had in its hands already */
    char *bytes = mem_alloc(x->n + n);
    if (x->n)
        memcpy(bytes, x->bytes, x->n);
    memcpy(bytes + x->n, p, n);
    mem_free(x->bytes);
    x->bytes = bytes;
    x->n += n;
}

static void prefixed_go_on(struct prefixed *x)
{
    if (!x->handler || x->paused)
        return;
    if (x->bytes || x->ended) {
        loop_timer_start(x->loop, &x->timer, 0);
        return;
    }
    conn_handle(x->below, x->handler, x->ctx); /* from here on the handler hears of the one below directly */
    conn_pause(x->below, false);
}

static void early_end(void *ctx, int err)
{
    struct prefixed *x = ctx;
    x->ended = true;
    x->err = err;
    prefixed_go_on(x);
}

static const struct conn_handler early_handler = {early_data, early_end, NULL};

static void on_prefix_due(struct loop_timer *t)
{
    struct prefixed *x = container_of(t, struct prefixed, timer);
    if (!x->bytes) {
        x->ended = false; /* told once */
        x->handler->on_end(x->ctx, x->err);
        return;
    }
    char *bytes = x->bytes;
    size_t n = x->n;
    x->bytes = NULL;
    x->n = 0;
    prefixed_go_on(x);
    x->handler->on_data(x->ctx, bytes, n); /* may close x */
    mem_free(bytes);
}

static void prefixed_handle(struct conn *c, const struct conn_handler *h, void *ctx)
{
    struct prefixed *x = prefixed_of(c);
    x->handler = h;
    x->ctx = ctx;
    prefixed_go_on(x);
}

static int prefixed_write(struct conn *c, const struct chunk *chunks, size_t n)
{
    return conn_write(prefixed_of(c)->below, chunks, n);
}

static size_t prefixed_queued(const struct conn *c)
{
    return conn_queued(prefixed_of(c)->below);
}

static void prefixed_pause(struct conn *c, bool paused)
{
    struct prefixed *x = prefixed_of(c);
    x->paused = paused;
    if (paused) {
        loop_timer_stop(x->loop, &x->timer);
        conn_pause(x->below, true);
    } else {
        prefixed_go_on(x);
    }
}

static void prefixed_shutdown(struct conn *c)
{
    conn_shutdown(prefixed_of(c)->below);
}

static void prefixed_close(struct conn *c)
{
    struct prefixed *x = prefixed_of(c);
    loop_timer_stop(x->loop, &x->timer);
    conn_close(x->below);
    mem_free(x->bytes);
    mem_free(x);
}

static const struct conn_ops prefixed_ops = {
    prefixed_handle, prefixed_write, prefixed_queued, prefixed_pause, prefixed_shutdown, prefixed_close,
};

struct conn *conn_prefixed(struct loop *l, struct conn *below, struct slice prefix)
{
    struct prefixed *x = mem_new(struct prefixed);
    x->conn.ops = &prefixed_ops;
    x->below = below;
    x->loop = l;
    x->timer.cb = on_prefix_due;
    if (prefix.n > 0)
        x->bytes = mem_dup(prefix.p, prefix.n);
    x->n = prefix.n;
    conn_pause(below, true);
    conn_handle(below, &early_handler, x);
    return &x->conn;
}

/* ---- splice ---- */

/* After both ends, what is still queued gets SPLICE_WAITS times SPLICE_WAIT_MS to go out. */
enum { SPLICE_WAIT_MS = 10, SPLICE_WAITS = 500 };

struct splice;

struct splice_side {
    struct splice *splice;
    struct conn *conn;
    struct splice_side *other;
    bool ended;  /* nothing more will be read from it */
    bool paused; /* because the other's queue is full */
};

struct splice {
    struct splice_side side[2];
    struct loop_timer finish; /* closes in a turn of its own, outside both connections' callbacks */
    struct loop *loop;
    unsigned waits; /* left for queued bytes to go out */
    void (*done)(void *ctx);
    void *ctx;
};

static void on_splice_finish(struct loop_timer *t)
{
    struct splice *s = container_of(t, struct splice, finish);
    if (s->waits > 0 && conn_queued(s->side[0].conn) + conn_queued(s->side[1].conn) > 0) {
        s->waits--;
        loop_timer_start(s->loop, &s->finish, SPLICE_WAIT_MS);
        return;
    }
    conn_close(s->side[0].conn);
    conn_close(s->side[1].conn);
    if (s->done)
        s->done(s->ctx);
    mem_free(s);
}

static void splice_fail(struct splice *s)
{
    s->waits = 0;
    loop_timer_start(s->loop, &s->finish, 0);
}

static void splice_data(void *ctx, const char *p, size_t n)
{
    struct splice_side *from = ctx;
    struct blob *b = blob_copy(slice_of(p, n));
    if (!b) {
        splice_fail(from->splice);
        return;
    }
    struct chunk c = chunk_take(b);
    if (conn_write(from->other->conn, &c, 1)) {
        splice_fail(from->splice);
        return;
    }
    if (conn_queued(from->other->conn) > STREAM_HIGH_WATER && !from->paused) {
        from->paused = true;
        conn_pause(from->conn, true);
    }
}

static void splice_end(void *ctx, int err)
{
    struct splice_side *from = ctx;
    from->ended = true;
    if (err) {
        splice_fail(from->splice);
        return;
    }
    conn_shutdown(from->other->conn);
    if (from->other->ended)
        loop_timer_start(from->splice->loop, &from->splice->finish, 0);
}

static void splice_drain(void *ctx)
{
    struct splice_side *from = ((struct splice_side *)ctx)->other;
    if (!from->paused)
        return;
    from->paused = false;
    conn_pause(from->conn, false);
}

static const struct conn_handler splice_handler = {splice_data, splice_end, splice_drain};

void conn_splice(struct loop *l, struct conn *a, struct conn *b, void (*done)(void *ctx), void *ctx)
{
    struct splice *s = mem_new(struct splice);
    s->loop = l;
    s->waits = SPLICE_WAITS;
    s->done = done;
    s->ctx = ctx;
    s->finish.cb = on_splice_finish;
    s->side[0] = (struct splice_side){.splice = s, .conn = a, .other = &s->side[1]};
    s->side[1] = (struct splice_side){.splice = s, .conn = b, .other = &s->side[0]};
    if (!a || !b) {
        splice_fail(s);
        return;
    }
    conn_handle(a, &splice_handler, &s->side[0]);
    conn_handle(b, &splice_handler, &s->side[1]);
}

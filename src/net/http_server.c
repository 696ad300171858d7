/* The server's connections: accepting, telling protocols apart, flushing, timers, draining. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "net/conn_impl.h"
#include "net/http_server_impl.h"

enum {
    IDLE_MS = 180000,
    HEAD_MS = 30000,
    LINGER_STEP_MS = 500,
    LINGER_ROUNDS = 4,   /* steps that the peer gets to end after all our bytes are out */
    LINGER_STALLED = 60, /* steps without progress of what is still queued */
    DRAIN_POLL_MS = 20,
    SWEEP_MS = 10000,
    STALLED_SWEEPS = 6 /* a peer that takes no byte for as many sweeps is given up */
};

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ---- closing ---- */

static void on_reap(struct turn_item *item)
{
    struct server_conn *c = container_of(item, struct server_conn, reap);
    list_remove(&c->link);
    c->server->n_conns--;
    if (c->proto)
        c->proto->destroy(c);
    if (--c->client->refs == 0)
        mem_free(c->client);
    buf_done(&c->sniff);
    chunkq_done(&c->out);
    mem_free(c);
}

void server_conn_close(struct server_conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    loop_timer_stop(c->server->loop, &c->timer);
    loop_timer_stop(c->server->loop, &c->drain);
    turn_unmark(&c->flush);
    exchange_abandon_all(c);
    tls_cancel(c->handshake);
    conn_close(c->conn);
    c->handshake = NULL;
    c->conn = NULL;
    turn_mark(&c->server->turn, &c->reap);
}

static void set_timer(struct server_conn *c, unsigned what, unsigned ms)
{
    if (c->timer_for == what && loop_timer_armed(&c->timer))
        return;
    c->timer_for = what;
    if (what == TIMER_NONE)
        loop_timer_stop(c->server->loop, &c->timer);
    else
        loop_timer_start(c->server->loop, &c->timer, ms);
}

/* Ends our half and waits for the peer to end his, so that our last bytes are not lost to a reset. */
static void begin_closing(struct server_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    conn_shutdown(c->conn);
    conn_pause(c->conn, false);
    c->lingers = 0;
    c->linger_last = conn_queued(c->conn);
    set_timer(c, TIMER_LINGER, LINGER_STEP_MS);
}

static void linger(struct server_conn *c)
{
    size_t queued = conn_queued(c->conn);
    c->lingers = queued == c->linger_last ? c->lingers + 1 : 0;
    c->linger_last = queued;
    if (c->lingers >= (queued ? LINGER_STALLED : LINGER_ROUNDS))
        server_conn_close(c);
    else
        set_timer(c, TIMER_LINGER, LINGER_STEP_MS);
}

/* ---- flushing ---- */

size_t server_conn_queued(const struct server_conn *c)
{
    return c->out.bytes + (c->conn ? conn_queued(c->conn) : 0);
}

void server_conn_dirty(struct server_conn *c)
{
    if (!c->dead)
        turn_mark(&c->server->turn, &c->flush);
}

static int pass_on(struct server_conn *c)
{
    size_t n;
    const struct chunk *chunks = chunkq_chunks(&c->out, &n);
    if (c->out.error)
        return c->out.error;
    c->written += c->out.bytes;
    int rv = n ? conn_write(c->conn, chunks, n) : 0;
    chunkq_forget(&c->out);
    if (conn_queued(c->conn) > STREAM_HIGH_WATER)
        c->above = true;
    return rv;
}

static void check_drains(struct server_conn *c)
{
    bool look_again = false;
    list_each (it, &c->exchanges) {
        look_again |= exchange_check_drain(container_of(it, struct http_exchange, link));
        if (c->dead)
            return;
    }
    if (!look_again) {
        c->drain_ms = 0;
    } else if (!c->above && !loop_timer_armed(&c->drain)) {
        loop_timer_start(c->server->loop, &c->drain, c->drain_ms); /* at first once the socket was written to */
        c->drain_ms = c->drain_ms ? c->drain_ms * 2 : 1;
        c->drain_ms = c->drain_ms < DRAIN_POLL_MS ? c->drain_ms : DRAIN_POLL_MS;
    }
}

static void on_drain_poll(struct loop_timer *t)
{
    server_conn_dirty(container_of(t, struct server_conn, drain));
}

void server_conn_flush(struct server_conn *c)
{
    if (c->dead || c->closing || !c->conn)
        return;
    if ((c->proto && c->proto->produce(c)) || pass_on(c)) {
        server_conn_close(c);
        return;
    }
    if (c->dead)
        return;
    if (c->want_close)
        begin_closing(c);
    else
        check_drains(c);
}

static void on_flush(struct turn_item *item)
{
    server_conn_flush(container_of(item, struct server_conn, flush));
}

/* ---- timers ---- */

void server_conn_timers(struct server_conn *c, bool in_request)
{
    if (c->dead || c->closing)
        return;
    if (in_request)
        set_timer(c, TIMER_HEAD, c->server->options.head_ms);
    else if (c->n_exchanges == 0)
        set_timer(c, TIMER_IDLE, c->server->options.idle_ms);
    else
        set_timer(c, TIMER_NONE, 0);
}

static void on_timer(struct loop_timer *t)
{
    struct server_conn *c = container_of(t, struct server_conn, timer);
    if (c->timer_for == TIMER_LINGER) {
        linger(c);
    } else if (c->timer_for == TIMER_IDLE && c->proto) {
        c->proto->drain(c);
        c->want_close = true;
        server_conn_dirty(c);
    } else {
        server_conn_close(c); /* the head did not come in time */
    }
}

/* ---- bytes ---- */

static void choose(struct server_conn *c, const struct server_proto *proto)
{
    c->proto = proto;
    if (c->draining || c->server->draining)
        proto->drain(c);
}

static void on_data(void *ctx, const char *p, size_t n);

/* A plain connection's first bytes say which protocol it speaks. */
static void sniff(struct server_conn *c, struct slice in)
{
    size_t lacking = sizeof PREFACE - 1 - c->sniff.n, take = in.n < lacking ? in.n : lacking;
    if (buf_add(&c->sniff, in.p, take)) {
        server_conn_close(c);
        return;
    }
    bool h2 = memcmp(c->sniff.p, PREFACE, c->sniff.n) == 0;
    if (h2 && c->sniff.n < sizeof PREFACE - 1)
        return;
    struct buf first = c->sniff;
    buf_init(&c->sniff, 0);
    choose(c, h2 ? &h2_server_proto : &h1_server_proto);
    c->proto->data(c, first.p, first.n);
    buf_done(&first);
    if (in.n > take)
        on_data(c, in.p + take, in.n - take);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct server_conn *c = ctx;
    if (c->dead || c->closing || c->want_close)
        return;
    if (c->proto)
        c->proto->data(c, p, n);
    else
        sniff(c, slice_of(p, n));
}

static bool all_ended(const struct server_conn *c)
{
    list_each (it, &c->exchanges) {
        if (!container_of(it, struct http_exchange, link)->ended)
            return false;
    }
    return true;
}

/* A client that has gone; one that only ended its half still gets what was answered already. */
static void on_end(void *ctx, int err)
{
    struct server_conn *c = ctx;
    if (c->dead)
        return;
    if (err || !all_ended(c)) {
        server_conn_close(c);
        return;
    }
    server_conn_flush(c);
    if (c->dead)
        return;
    if (server_conn_queued(c) == 0)
        server_conn_close(c);
    else
        begin_closing(c);
}

static void on_drain(void *ctx)
{
    struct server_conn *c = ctx;
    c->above = false;
    server_conn_dirty(c);
}

static const struct conn_handler conn_handler = {on_data, on_end, on_drain};

/* ---- accepting ---- */

static void begin(struct server_conn *c, struct conn *conn)
{
    c->conn = conn;
    const struct tls_identity *peer = tls_peer(conn);
    if (peer) {
        c->client->has_peer = true;
        c->client->peer = *peer;
    }
    if (strcmp(tls_alpn(conn), "h2") == 0)
        choose(c, &h2_server_proto);
    else if (c->server->options.tls)
        choose(c, &h1_server_proto);
    conn_handle(conn, &conn_handler, c);
    set_timer(c, TIMER_HEAD, c->server->options.head_ms);
    server_conn_dirty(c); /* HTTP/2 greets first */
}

static void on_handshake(void *ctx, int err, struct conn *conn)
{
    struct server_conn *c = ctx;
    c->handshake = NULL;
    if (err)
        server_conn_close(c);
    else
        begin(c, conn);
}

static struct server_conn *conn_new(struct http_server *s, const char *remote)
{
    struct server_conn *c = mem_new(struct server_conn);
    c->server = s;
    c->client = mem_new(struct client_info);
    c->client->refs = 1;
    snprintf(c->client->remote, sizeof c->client->remote, "%s", remote);
    c->timer.cb = on_timer;
    c->drain.cb = on_drain_poll;
    list_init(&c->exchanges);
    chunkq_init(&c->out);
    buf_init(&c->sniff, sizeof PREFACE - 1);
    turn_item_init(&c->flush, on_flush);
    turn_item_init(&c->reap, on_reap);
    list_push(&s->conns, &c->link);
    s->n_conns++;
    return c;
}

static void on_accept(void *ctx, struct stream *stream)
{
    struct http_server *s = ctx;
    if (s->n_conns >= HTTP_CONNECTIONS_MAX) {
        stream_close(stream);
        return;
    }
    struct server_conn *c = conn_new(s, stream_peer(stream));
    if (s->options.tls)
        c->handshake = tls_accept(s->loop, s->options.tls, stream, on_handshake, c);
    else
        begin(c, conn_plain(stream));
}

/* ---- the server ---- */

/* The same of single streams of HTTP/2: a window that stays shut holds the answer, however busy the rest is. */
static void sweep_exchanges(struct server_conn *c)
{
    if (!c->proto || !c->proto->give_up)
        return;
    list_each (it, &c->exchanges) {
        struct http_exchange *x = container_of(it, struct http_exchange, link);
        bool waits = x->started && !x->aborted && x->out.bytes > 0 && x->moved == x->seen_moved;
        x->stalled = waits ? x->stalled + 1 : 0;
        x->seen_moved = x->moved;
        if (x->stalled == STALLED_SWEEPS)
            c->proto->give_up(x);
    }
}

/* Peers that take nothing of what is queued for them hold memory: they are given up after a minute. */
static void on_sweep(struct loop_timer *t)
{
    struct http_server *s = container_of(t, struct http_server, sweep);
    list_each (it, &s->conns) {
        struct server_conn *c = container_of(it, struct server_conn, link);
        if (c->dead || !c->conn)
            continue;
        size_t queued = conn_queued(c->conn);
        bool moved = queued == 0 || queued < c->seen_queued + (c->written - c->seen_written);
        c->stalled = moved ? 0 : c->stalled + 1;
        c->seen_queued = queued;
        c->seen_written = c->written;
        if (c->stalled >= STALLED_SWEEPS)
            server_conn_close(c);
        else
            sweep_exchanges(c);
    }
    loop_timer_start(s->loop, &s->sweep, SWEEP_MS);
}

static void on_grace_over(struct loop_timer *t)
{
    struct http_server *s = container_of(t, struct http_server, grace);
    list_each (it, &s->conns) {
        server_conn_close(container_of(it, struct server_conn, link));
    }
}

int http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **ret)
{
    struct http_server *s = mem_new(struct http_server);
    s->loop = l;
    s->options = *o;
    s->options.body_max = o->body_max ? o->body_max : HTTP_BODY_MAX;
    s->options.idle_ms = o->idle_ms ? o->idle_ms : IDLE_MS;
    s->options.head_ms = o->head_ms ? o->head_ms : HEAD_MS;
    s->options.listen = NULL; /* not needed any more */
    list_init(&s->conns);
    int rv = loop_listen(l, o->listen, on_accept, s, &s->listener);
    if (rv) {
        mem_free(s);
        return rv;
    }
    turn_init(&s->turn, l);
    s->sweep.cb = on_sweep;
    s->grace.cb = on_grace_over;
    loop_timer_start(l, &s->sweep, SWEEP_MS);
    *ret = s;
    return 0;
}

unsigned http_server_port(const struct http_server *s)
{
    return s->listener ? listener_port(s->listener) : 0;
}

size_t http_server_connections(const struct http_server *s)
{
    return s->n_conns;
}

void http_server_drain(struct http_server *s, unsigned grace_ms)
{
    s->draining = true;
    listener_close(s->listener);
    s->listener = NULL;
    list_each (it, &s->conns) {
        struct server_conn *c = container_of(it, struct server_conn, link);
        if (c->dead || c->closing || c->draining)
            continue;
        c->draining = true;
        if (c->proto) {
            c->proto->drain(c);
            server_conn_dirty(c);
        } else if (c->conn) {
            server_conn_close(c);
        }
    }
    loop_timer_start(s->loop, &s->grace, grace_ms);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    listener_close(s->listener);
    loop_timer_stop(s->loop, &s->sweep);
    loop_timer_stop(s->loop, &s->grace);
    list_each (it, &s->conns) {
        server_conn_close(container_of(it, struct server_conn, link));
    }
    list_each (it, &s->conns) {
        struct server_conn *c = container_of(it, struct server_conn, link);
        turn_unmark(&c->reap);
        on_reap(&c->reap);
    }
    turn_done(&s->turn);
    mem_free(s);
}

struct slice server_date(struct http_server *s)
{
    int64_t now = loop_wall(s->loop) / NS_PER_SEC;
    if (now != s->date_second || !s->date_text[0]) {
        time_t t = (time_t)now;
        struct tm tm;
        s->date_second = now;
        if (!gmtime_r(&t, &tm) || !strftime(s->date_text, sizeof s->date_text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
            s->date_text[0] = '\0';
    }
    return slice_str(s->date_text);
}

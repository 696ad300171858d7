#include "raft/transport.h"

#include <errno.h>
#include <inttypes.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "raft/secure.h"

enum {
    IN_BUFFER_MAX = FRAME_HEAD + FRAME_APPEND_MAX + (1 << 20),
    IN_BUFFER_KEEP = 1 << 20,
    PONG_BUFFER_MAX = 64 << 10
};

struct transport_dial {
    struct transport *t; /* NULL: cancelled while the handshake, which cannot be, goes on */
    const struct raft_member *to;
    enum hello_kind kind;
    struct list link; /* in t->dials */
    struct connecting *connecting;
    struct loop_timer timer;
    void (*done)(void *ctx, int err, struct conn *c);
    void *ctx;
};

struct peer {
    struct transport *t;
    const struct raft_member *member;
    struct transport_dial *dial;
    struct conn *conn; /* what we send on; NULL when down */
    struct buf in;     /* part of a PONG */
    struct loop_timer retry;
    uint64_t retry_ms;
    uint64_t heard;  /* loop_now */
    unsigned format; /* 0 = it has not said */
};

struct incoming {
    struct transport *t; /* NULL: closed while the handshake goes on */
    struct list link;    /* in t->incoming */
    struct conn *conn;
    uint64_t from; /* 0 until hello */
    uint64_t heard;
    bool refused; /* what it says is not heard */
    struct buf in;
};

struct transport {
    struct transport_options o;
    struct listener *listener;
    struct peer peers[RAFT_MEMBERS_MAX];
    size_t n_peers, n_incoming;
    struct list dials, incoming;
    struct loop_timer tick;
};

static struct log *log_of(struct transport *t)
{
    return loop_log(t->o.loop);
}

static struct peer *find_peer(const struct transport *t, uint64_t id)
{
    for (size_t i = 0; i < t->n_peers; i++)
        if (t->peers[i].member->id == id)
            return (struct peer *)&t->peers[i];
    return NULL;
}

/* ---- dialling ---- */

/* Tells the outcome and forgets the dial. */
static void dial_done(struct transport_dial *d, int err, struct conn *c)
{
    struct transport *t = d->t;
    void (*done)(void *, int, struct conn *) = d->done;
    void *ctx = d->ctx;
    loop_timer_stop(t->o.loop, &d->timer);
    list_remove(&d->link);
    mem_free(d);
    done(ctx, err, c);
}

static void dial_secured(void *ctx, int err, struct conn *c)
{
    struct transport_dial *d = ctx;
    if (!d->t) {
        conn_close(c);
        mem_free(d);
        return;
    }
    if (!err && !secure_speaks_for(d->t->o.tls, c, d->to->id))
        err = -EKEYREJECTED;
    const struct hello hello = {d->kind, d->t->o.cluster_id, d->t->o.id, d->to->id};
    struct blob *b = err ? NULL : frame_hello(&hello);
    if (!err && !b)
        err = -ENOMEM;
    if (!err) {
        struct chunk chunk = chunk_take(b);
        err = conn_write(c, &chunk, 1);
    }
    if (err) {
        conn_close(c);
        c = NULL;
    }
    dial_done(d, err, c);
}

static void dial_connected(void *ctx, int err, struct stream *s)
{
    struct transport_dial *d = ctx;
    d->connecting = NULL;
    if (err)
        dial_done(d, err, NULL);
    else
        secure_connect(d->t->o.loop, d->t->o.tls, s, dial_secured, d);
}

/* Forgets the dial without a word. A handshake under way ends in dial_secured. */
void transport_dial_cancel(struct transport_dial *d)
{
    if (!d)
        return;
    loop_timer_stop(d->t->o.loop, &d->timer);
    list_remove(&d->link);
    bool shaking = !d->connecting && !loop_is_dead(d->t->o.loop);
    connect_cancel(d->connecting);
    d->t = NULL;
    if (!shaking)
        mem_free(d);
}

static void dial_timed_out(struct loop_timer *timer)
{
    struct transport_dial *d = container_of(timer, struct transport_dial, timer);
    void (*done)(void *, int, struct conn *) = d->done;
    void *done_ctx = d->ctx;
    transport_dial_cancel(d);
    done(done_ctx, -ETIMEDOUT, NULL);
}

static struct transport_dial *dial(struct transport *t, const struct raft_member *to, enum hello_kind kind,
                                   void (*done)(void *ctx, int err, struct conn *c), void *ctx)
{
    struct transport_dial *d = mem_new(struct transport_dial);
    *d = (struct transport_dial){.t = t, .to = to, .kind = kind, .done = done, .ctx = ctx};
    list_push(&t->dials, &d->link);
    d->timer.cb = dial_timed_out;
    loop_timer_start(t->o.loop, &d->timer, TRANSPORT_CONNECT_MS);
    d->connecting = loop_connect(t->o.loop, to->address, dial_connected, d);
    return d;
}

struct transport_dial *transport_dial_snapshot(struct transport *t, uint64_t to,
                                               void (*done)(void *ctx, int err, struct conn *c), void *ctx)
{
    const struct peer *p = find_peer(t, to);
    return p ? dial(t, p->member, HELLO_SNAPSHOT, done, ctx) : NULL;
}

/* ---- what we send on ---- */

static void peer_retry_later(struct peer *p)
{
    uint64_t jitter = loop_random_below(p->t->o.loop, p->retry_ms / 2 + 1);
    loop_timer_start(p->t->o.loop, &p->retry, p->retry_ms + jitter);
    p->retry_ms = p->retry_ms * 2 > TRANSPORT_RETRY_MAX_MS ? TRANSPORT_RETRY_MAX_MS : p->retry_ms * 2;
}

static void peer_down(struct peer *p, int err)
{
    log_info(log_of(p->t), "raft", "link down peer=%" PRIu64 " error=\"%s\"", p->member->id,
             err ? strerror(-err) : "closed");
    conn_close(p->conn);
    p->conn = NULL;
    p->format = 0;
    buf_clear(&p->in);
    peer_retry_later(p);
    p->t->o.handler->on_lost(p->t->o.ctx, p->member->id);
}

static enum refusal greet(struct peer *p, const struct message *m)
{
    p->format = m->format ? m->format : 1;
    return p->t->o.handler->on_greeting(p->t->o.ctx, p->member->id, m);
}

/* A listener sends nothing but PONGs. */
static void peer_on_data(void *ctx, const char *bytes, size_t n)
{
    struct peer *p = ctx;
    p->heard = loop_now(p->t->o.loop);
    int err = buf_add(&p->in, bytes, n);
    while (!err) {
        struct frame f;
        struct message m;
        size_t size;
        int got = frame_parse(buf_slice(&p->in), &f, &size);
        if (got == 0)
            return;
        err = got < 0 || f.type != FRAME_PONG ? -EPROTO : frame_read_message(&f, &m);
        buf_shift(&p->in, err ? 0 : size);
        if (!err)
            greet(p, &m);
    }
    peer_down(p, err);
}

static void peer_on_end(void *ctx, int err)
{
    peer_down(ctx, err);
}

static void say(struct transport *t, struct conn *c, enum frame_type type, enum refusal refusal)
{
    struct message m = {.type = type, .format = t->o.format, .refusal = (uint8_t)refusal};
    t->o.handler->fill_greeting(t->o.ctx, &m);
    struct blob *b = frame_message(&m);
    if (!b)
        return;
    struct chunk chunk = chunk_take(b);
    conn_write(c, &chunk, 1);
}

static const struct conn_handler peer_handler = {.on_data = peer_on_data, .on_end = peer_on_end};

static void peer_dialled(void *ctx, int err, struct conn *c)
{
    struct peer *p = ctx;
    p->dial = NULL;
    if (err) {
        log_debug(log_of(p->t), "raft", "cannot reach peer=%" PRIu64 " address=%s error=\"%s\"", p->member->id,
                  p->member->address, strerror(-err));
        peer_retry_later(p);
        return;
    }
    p->conn = c;
    p->retry_ms = TRANSPORT_RETRY_MIN_MS;
    p->heard = loop_now(p->t->o.loop);
    conn_handle(c, &peer_handler, p);
    say(p->t, c, FRAME_PING, REFUSAL_NONE);
    log_info(log_of(p->t), "raft", "link up peer=%" PRIu64, p->member->id);
}

static void peer_dial(struct loop_timer *timer)
{
    struct peer *p = container_of(timer, struct peer, retry);
    p->dial = dial(p->t, p->member, HELLO_LOG, peer_dialled, p);
}

static void drop_chunks(const struct chunk *chunks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        blob_unref(chunks[i].blob);
}

bool transport_send(struct transport *t, uint64_t to, const struct chunk *chunks, size_t n)
{
    const struct peer *p = find_peer(t, to);
    if (!p || !p->conn || conn_queued(p->conn) > TRANSPORT_QUEUE_MAX) {
        drop_chunks(chunks, n);
        return false;
    }
    return conn_write(p->conn, chunks, n) == 0;
}

bool transport_is_up(const struct transport *t, uint64_t to)
{
    const struct peer *p = find_peer(t, to);
    return p && p->conn;
}

unsigned transport_format(const struct transport *t, uint64_t id)
{
    const struct peer *p = find_peer(t, id);
    return p ? p->format : 0;
}

/* ---- what we hear on ---- */

static void incoming_free(struct incoming *in)
{
    buf_done(&in->in);
    mem_free(in);
}

static void incoming_close(struct incoming *in)
{
    struct transport *t = in->t;
    list_remove(&in->link);
    t->n_incoming--;
    in->t = NULL;
    if (in->conn || loop_is_dead(t->o.loop)) {
        conn_close(in->conn);
        incoming_free(in);
    } /* else: a handshake is under way and ends in incoming_secured */
}

static void incoming_lost(struct incoming *in)
{
    struct transport *t = in->t;
    uint64_t from = in->from;
    incoming_close(in);
    if (from)
        t->o.handler->on_lost(t->o.ctx, from);
}

static void refuse(struct incoming *in, const char *why)
{
    log_warn(log_of(in->t), "raft", "connection refused from=%" PRIu64 " reason=\"%s\"", in->from, why);
}

/* Guard G5: a peer that dials anew has given up what its old connection still had, and so do we. */
static void drop_older(struct transport *t, uint64_t from)
{
    list_each (it, &t->incoming) {
        struct incoming *in = container_of(it, struct incoming, link);
        if (in->from == from)
            incoming_close(in);
    }
}

static bool hello_ok(struct incoming *in, const struct frame *f, struct hello *ret)
{
    struct transport *t = in->t;
    if (f->type != FRAME_HELLO || frame_read_hello(f->payload, ret)) {
        refuse(in, "no hello");
        return false;
    }
    if (ret->cluster_id != t->o.cluster_id || ret->to != t->o.id || !find_peer(t, ret->from)) {
        refuse(in, "another cluster or member was meant");
        return false;
    }
    if (!secure_speaks_for(t->o.tls, in->conn, ret->from)) {
        refuse(in, "the certificate does not speak for that member");
        return false;
    }
    return true;
}

/* What became of a frame. */
enum taken { TAKEN, TAKEN_BAD, TAKEN_OVER };

static enum taken take_hello(struct incoming *in, const struct frame *f, struct slice rest)
{
    struct hello hello;
    if (!hello_ok(in, f, &hello))
        return TAKEN_BAD;
    struct transport *t = in->t;
    if (hello.kind == HELLO_LOG) {
        drop_older(t, hello.from);
        in->from = hello.from;
        return TAKEN;
    }
    struct conn *c = in->conn;
    in->conn = NULL;
    list_remove(&in->link);
    t->n_incoming--;
    t->o.handler->on_snapshot(t->o.ctx, hello.from, c, rest);
    incoming_free(in);
    return TAKEN_OVER;
}

static enum taken take_ping(struct incoming *in, const struct frame *f)
{
    struct message m;
    struct peer *p = find_peer(in->t, in->from);
    if (!p || frame_read_message(f, &m))
        return TAKEN_BAD;
    enum refusal refusal = greet(p, &m);
    in->refused = refusal != REFUSAL_NONE;
    say(in->t, in->conn, FRAME_PONG, refusal);
    return TAKEN;
}

static enum taken take_frame(struct incoming *in, const struct frame *f, struct slice rest)
{
    if (!in->from)
        return take_hello(in, f, rest);
    if (f->type == FRAME_PING)
        return take_ping(in, f);
    if (!in->refused && !in->t->o.handler->on_frame(in->t->o.ctx, in->from, f))
        return TAKEN_BAD;
    return TAKEN;
}

/* Takes the whole frames at the start of s; their size, or false when in is gone. */
static bool take_frames(struct incoming *in, struct slice s, size_t *ret_used)
{
    size_t used = 0;
    for (;;) {
        struct frame f;
        size_t n;
        int r = frame_parse(slice_from(s, used), &f, &n);
        if (r == 0)
            break;
        enum taken taken = r < 0 ? TAKEN_BAD : take_frame(in, &f, slice_from(s, used + n));
        if (taken == TAKEN_OVER)
            return false;
        if (taken == TAKEN_BAD) {
            log_warn(log_of(in->t), "raft", "malformed frame from=%" PRIu64, in->from);
            incoming_lost(in);
            return false;
        }
        used += n;
    }
    *ret_used = used;
    return true;
}

static void incoming_on_data(void *ctx, const char *p, size_t n)
{
    struct incoming *in = ctx;
    size_t used;
    in->heard = loop_now(in->t->o.loop);
    if (in->in.n == 0) {
        if (take_frames(in, slice_of(p, n), &used) && used < n && buf_add(&in->in, p + used, n - used))
            incoming_lost(in);
        return;
    }
    if (buf_add(&in->in, p, n)) {
        incoming_lost(in);
        return;
    }
    if (!take_frames(in, buf_slice(&in->in), &used))
        return;
    buf_shift(&in->in, used);
    if (in->in.n == 0 && in->in.cap > IN_BUFFER_KEEP)
        buf_done(&in->in);
}

static void incoming_on_end(void *ctx, int err)
{
    (void)err;
    incoming_lost(ctx);
}

static const struct conn_handler incoming_handler = {.on_data = incoming_on_data, .on_end = incoming_on_end};

static void incoming_secured(void *ctx, int err, struct conn *c)
{
    struct incoming *in = ctx;
    if (!in->t || err) {
        conn_close(c);
        if (in->t) {
            list_remove(&in->link);
            in->t->n_incoming--;
        }
        incoming_free(in);
        return;
    }
    in->conn = c;
    conn_handle(c, &incoming_handler, in);
}

static void on_accept(void *ctx, struct stream *s)
{
    struct transport *t = ctx;
    if (t->n_incoming >= TRANSPORT_INCOMING_MAX) {
        stream_close(s);
        return;
    }
    struct incoming *in = mem_new(struct incoming);
    in->t = t;
    in->heard = loop_now(t->o.loop);
    buf_init(&in->in, IN_BUFFER_MAX);
    list_push(&t->incoming, &in->link);
    t->n_incoming++;
    secure_accept(t->o.loop, t->o.tls, s, incoming_secured, in);
}

/* ---- pings ---- */

static bool silent(const struct transport *t, uint64_t heard)
{
    return loop_now(t->o.loop) - heard > TRANSPORT_SILENCE_MS * (uint64_t)NS_PER_MS;
}

static void on_tick(struct loop_timer *timer)
{
    struct transport *t = container_of(timer, struct transport, tick);
    loop_timer_start(t->o.loop, timer, TRANSPORT_PING_MS);
    for (size_t i = 0; i < t->n_peers; i++) {
        struct peer *p = &t->peers[i];
        if (p->conn && silent(t, p->heard))
            peer_down(p, -ETIMEDOUT);
        else if (p->conn)
            say(t, p->conn, FRAME_PING, REFUSAL_NONE);
    }
    list_each (it, &t->incoming) {
        struct incoming *in = container_of(it, struct incoming, link);
        if (silent(t, in->heard))
            incoming_lost(in);
    }
}

/* ---- life ---- */

static void add_peers(struct transport *t)
{
    for (size_t i = 0; i < t->o.n_members; i++) {
        if (t->o.members[i].id == t->o.id)
            continue;
        struct peer *p = &t->peers[t->n_peers++];
        *p = (struct peer){
            .t = t, .member = &t->o.members[i], .retry.cb = peer_dial, .retry_ms = TRANSPORT_RETRY_MIN_MS};
        buf_init(&p->in, PONG_BUFFER_MAX);
        loop_timer_start(t->o.loop, &p->retry, 0);
    }
}

int transport_new(const struct transport_options *o, struct transport **ret)
{
    struct transport *t = mem_new(struct transport);
    t->o = *o;
    list_init(&t->dials);
    list_init(&t->incoming);
    int err = loop_listen(o->loop, o->listen, on_accept, t, &t->listener);
    if (err) {
        mem_free(t);
        return err;
    }
    add_peers(t);
    t->tick.cb = on_tick;
    loop_timer_start(o->loop, &t->tick, TRANSPORT_PING_MS);
    *ret = t;
    return 0;
}

void transport_free(struct transport *t)
{
    if (!t)
        return;
    listener_close(t->listener);
    loop_timer_stop(t->o.loop, &t->tick);
    list_each (it, &t->dials) {
        transport_dial_cancel(container_of(it, struct transport_dial, link));
    }
    list_each (it, &t->incoming) {
        incoming_close(container_of(it, struct incoming, link));
    }
    for (size_t i = 0; i < t->n_peers; i++) {
        loop_timer_stop(t->o.loop, &t->peers[i].retry);
        conn_close(t->peers[i].conn);
        buf_done(&t->peers[i].in);
    }
    mem_free(t);
}

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
    uint64_t to;
    enum hello_kind kind;
    struct list link; /* in t->dials */
    struct connecting *connecting;
    struct loop_timer timer;
    void (*done)(void *ctx, int err, struct conn *c);
    void *ctx;
};

struct peer {
    struct transport *t;
    uint64_t id;
    char address[RAFT_ADDR_MAX]; /* as the membership says; "" = a guest */
    char told[RAFT_ADDR_MAX];    /* as it says itself; "" = it has not */
    char info[RAFT_INFO_MAX];
    size_t info_n;
    bool guest, informed; /* informed: our INFO is on its way on this link */
    unsigned attempts;    /* since the link was up: both addresses are tried in turn */
    struct transport_dial *dial;
    struct conn *conn; /* what we send on; NULL when down */
    struct buf in;     /* part of a PONG */
    struct loop_timer retry;
    uint64_t retry_ms;
    uint64_t heard;  /* loop_now */
    unsigned format; /* 0 = it has not said */
    bool stateless;
};

struct incoming {
    struct transport *t; /* NULL: closed while the handshake goes on */
    struct list link;    /* in t->incoming */
    struct conn *conn;
    uint64_t from; /* 0 until hello */
    uint64_t heard;
    enum refusal refusal; /* of a stranger, or of what the greeting said: nothing else is heard */
    struct buf in;
};

struct transport {
    struct transport_options o;
    struct listener *listener;
    struct peer *peers[TRANSPORT_PEERS_MAX];
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
        if (t->peers[i]->id == id)
            return t->peers[i];
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
    if (!err && !secure_speaks_for(d->t->o.tls, c, d->to))
        err = -EKEYREJECTED;
    const struct hello hello = {d->kind, d->t->o.cluster_id, d->t->o.id, d->to};
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

/* The address to try next. */
static const char *address_of(const struct peer *p)
{
    bool told = p->told[0] && (p->attempts % 2 == 0 || !p->address[0]);
    return told ? p->told : p->address;
}

static struct transport_dial *dial(struct transport *t, const struct peer *p, enum hello_kind kind,
                                   void (*done)(void *ctx, int err, struct conn *c), void *ctx)
{
    struct transport_dial *d = mem_new(struct transport_dial);
    *d = (struct transport_dial){.t = t, .to = p->id, .kind = kind, .done = done, .ctx = ctx};
    list_push(&t->dials, &d->link);
    d->timer.cb = dial_timed_out;
    loop_timer_start(t->o.loop, &d->timer, TRANSPORT_CONNECT_MS);
    d->connecting = loop_connect(t->o.loop, address_of(p), dial_connected, d);
    return d;
}

struct transport_dial *transport_dial_snapshot(struct transport *t, uint64_t to,
                                               void (*done)(void *ctx, int err, struct conn *c), void *ctx)
{
    const struct peer *p = find_peer(t, to);
    return p && address_of(p)[0] ? dial(t, p, HELLO_SNAPSHOT, done, ctx) : NULL;
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
    log_info(log_of(p->t), "raft", "link down peer=%" PRIu64 " error=\"%s\"", p->id, err ? strerror(-err) : "closed");
    conn_close(p->conn);
    p->conn = NULL;
    p->format = 0;
    p->informed = false;
    buf_clear(&p->in);
    peer_retry_later(p);
    p->t->o.handler->on_lost(p->t->o.ctx, p->id);
}

/* Once a link, to those who understand it. */
static void inform(struct peer *p)
{
    const struct transport_options *o = &p->t->o;
    if (p->informed || p->format < 2 || !p->conn || !o->address)
        return;
    struct blob *b = frame_info(slice_str(o->address), o->info);
    if (!b)
        return;
    struct chunk c = chunk_take(b);
    p->informed = true;
    conn_write(p->conn, &c, 1);
}

/* Takes what a peer says of itself; the verdict on it. */
static enum refusal greet(struct peer *p, const struct message *m)
{
    p->format = m->format ? m->format : 1;
    p->stateless = m->stateless;
    return p->t->o.handler->on_greeting(p->t->o.ctx, p->id, m);
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
        if (!err && greet(p, &m) == REFUSAL_FORMAT)
            err = -EPROTONOSUPPORT;
        if (!err) {
            p->retry_ms = TRANSPORT_RETRY_MIN_MS; /* only now: others hang up on who is not welcome */
            inform(p);
        }
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
        log_debug(log_of(p->t), "raft", "cannot reach peer=%" PRIu64 " address=%s error=\"%s\"", p->id, address_of(p),
                  strerror(-err));
        p->attempts++;
        peer_retry_later(p);
        return;
    }
    p->conn = c;
    p->heard = loop_now(p->t->o.loop);
    conn_handle(c, &peer_handler, p);
    say(p->t, c, FRAME_PING, REFUSAL_NONE);
    log_info(log_of(p->t), "raft", "link up peer=%" PRIu64, p->id);
}

static void peer_dial(struct loop_timer *timer)
{
    struct peer *p = container_of(timer, struct peer, retry);
    if (!address_of(p)[0] || p->dial || p->conn)
        return; /* a guest that has not said where it is */
    p->dial = dial(p->t, p, HELLO_LOG, peer_dialled, p);
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

bool transport_is_stateless(const struct transport *t, uint64_t id)
{
    const struct peer *p = find_peer(t, id);
    return p && p->stateless;
}

const char *transport_address(const struct transport *t, uint64_t id)
{
    const struct peer *p = find_peer(t, id);
    return !p ? "" : p->address[0] ? p->address : p->told;
}

const char *transport_told(const struct transport *t, uint64_t id, struct slice *ret_info)
{
    const struct peer *p = find_peer(t, id);
    *ret_info = p ? slice_of(p->info, p->info_n) : SLICE_NONE;
    return p ? p->told : "";
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
    if (!t)
        return; /* closed already; only its handshake is left */
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
    if (ret->cluster_id != t->o.cluster_id || ret->to != t->o.id || ret->from == t->o.id || !ret->from) {
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

static struct peer *peer_new(struct transport *t, uint64_t id)
{
    struct peer *p = mem_new(struct peer);
    *p = (struct peer){.t = t, .id = id, .retry.cb = peer_dial, .retry_ms = TRANSPORT_RETRY_MIN_MS};
    buf_init(&p->in, PONG_BUFFER_MAX);
    t->peers[t->n_peers++] = p;
    return p;
}

static enum refusal receive_stranger(struct transport *t, uint64_t id)
{
    enum refusal refusal = t->o.handler->on_stranger(t->o.ctx, id);
    if (refusal == REFUSAL_NONE && t->n_peers == TRANSPORT_PEERS_MAX)
        refusal = REFUSAL_STRANGER;
    if (refusal == REFUSAL_NONE)
        peer_new(t, id)->guest = true;
    return refusal;
}

static enum taken take_hello(struct incoming *in, const struct frame *f, struct slice rest)
{
    struct hello hello;
    if (!hello_ok(in, f, &hello))
        return TAKEN_BAD;
    struct transport *t = in->t;
    if (!find_peer(t, hello.from))
        in->refusal = receive_stranger(t, hello.from);
    if (in->refusal && hello.kind != HELLO_LOG)
        return TAKEN_BAD;
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
    if (frame_read_message(f, &m))
        return TAKEN_BAD;
    if (p)
        in->refusal = greet(p, &m);
    say(in->t, in->conn, FRAME_PONG, in->refusal);
    return TAKEN;
}

static enum taken take_info(struct incoming *in, const struct frame *f)
{
    struct slice address, info;
    struct peer *p = find_peer(in->t, in->from);
    if (frame_read_info(f->payload, &address, &info))
        return TAKEN_BAD;
    if (!p)
        return TAKEN;
    bool moved = !slice_eq_str(address, p->told);
    memcpy(p->told, address.p, address.n);
    p->told[address.n] = '\0';
    p->info_n = info.n;
    if (info.n)
        memcpy(p->info, info.p, info.n);
    if (moved && !p->conn && !p->dial) {
        p->attempts = 0;
        loop_timer_start(in->t->o.loop, &p->retry, 0);
    }
    return TAKEN;
}

static enum taken take_frame(struct incoming *in, const struct frame *f, struct slice rest)
{
    if (!in->from)
        return take_hello(in, f, rest);
    if (f->type == FRAME_PING)
        return take_ping(in, f);
    if (in->refusal)
        return TAKEN;
    if (f->type == FRAME_INFO)
        return take_info(in, f);
    if (!in->t->o.handler->on_frame(in->t->o.ctx, in->from, f))
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
        struct peer *p = t->peers[i];
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

static void peer_free(struct peer *p)
{
    loop_timer_stop(p->t->o.loop, &p->retry);
    transport_dial_cancel(p->dial);
    conn_close(p->conn);
    buf_done(&p->in);
    mem_free(p);
}

static void drop_peer(struct transport *t, size_t i)
{
    drop_older(t, t->peers[i]->id);
    peer_free(t->peers[i]);
    t->peers[i] = t->peers[--t->n_peers];
}

static bool is_among(uint64_t id, const struct raft_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (members[i].id == id)
            return true;
    return false;
}

void transport_set_members(struct transport *t, const struct raft_member *members, size_t n)
{
    for (size_t i = t->n_peers; i-- > 0;)
        if (!t->peers[i]->guest && !is_among(t->peers[i]->id, members, n))
            drop_peer(t, i);
    for (size_t i = 0; i < n; i++) {
        struct peer *p = find_peer(t, members[i].id);
        if (members[i].id == t->o.id || (!p && t->n_peers == TRANSPORT_PEERS_MAX))
            continue;
        if (!p)
            p = peer_new(t, members[i].id);
        p->guest = false;
        if (strcmp(p->address, members[i].address) == 0)
            continue;
        memcpy(p->address, members[i].address, sizeof p->address);
        if (!p->conn && !p->dial)
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
    transport_set_members(t, o->members, o->n_members);
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
        t->peers[i]->dial = NULL; /* cancelled above */
        peer_free(t->peers[i]);
    }
    mem_free(t);
}

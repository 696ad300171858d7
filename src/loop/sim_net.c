/* The simulated network: streams between hosts with latency, a window, cuts, resets and silence. */
#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "loop/sim_impl.h"

enum { ADDR_MAX = 160, BREAK_SPREAD_MS = 50, SPLIT_ONE_IN = 8, FRESH_PORTS = 20000 };
#define STALLED UINT64_MAX /* a packet on a cut link: arrives once it is healed */

enum packet_kind { PACKET_DATA, PACKET_FIN, PACKET_RESET };

struct sim_packet {
    struct list link;
    enum packet_kind kind;
    uint64_t at; /* when it arrives */
    struct chunk chunk;
};

struct sim_stream {
    struct stream base;
    struct sim_host *host, *remote;
    struct sim_stream *peer; /* NULL once the other end is gone */
    struct list link;        /* in host->streams */
    struct list flush_link;
    const struct stream_handler *handler;
    void *ctx;
    struct list out;   /* packets not yet sent: our window is used up */
    size_t out_bytes;  /* in out */
    struct list inbox; /* packets on the way to us or unread, in order */
    size_t in_bytes;   /* in inbox */
    uint64_t last_arrival;
    struct sim_event receive, drain, broken, credit;
    struct sim_event accept; /* a new stream on its way to the listener */
    char listener_addr[ADDR_MAX];
    bool paused, above_high, want_shutdown, sent_fin, eof, told, silent, reset_coming;
    bool dead;   /* its host died */
    bool closed; /* by its owner */
    int busy;    /* a callback is running: freed after it */
    int err;
    char peer_text[ADDR_MAX];
};

struct sim_listener {
    struct listener base;
    struct sim_host *host;
    struct list link;
    char addr[ADDR_MAX]; /* "name:port" or "unix:/path" */
    unsigned port;
    void (*on_accept)(void *ctx, struct stream *s);
    void *ctx;
};

struct sim_connect {
    struct connecting base;
    struct sim_host *host;
    struct list link;
    struct sim_event syn;  /* the hardware's: asks the other side */
    struct sim_event done; /* tells the owner */
    uint64_t give_up;
    char addr[ADDR_MAX];
    struct sim_stream *stream;
    int err;
    void (*on_done)(void *ctx, int err, struct stream *s);
    void *ctx;
};

static struct sim_stream *stream_of(const struct stream *s)
{
    return container_of(s, struct sim_stream, base);
}

static uint64_t latency(struct sim_host *from, struct sim_host *to)
{
    const struct sim_link *link = &from->links[to->index];
    return sim_between(from->sim, link->min_ns, link->max_ns);
}

static bool is_cut(const struct sim_host *a, const struct sim_host *b)
{
    return a->links[b->index].cut;
}

/* ---- packets ---- */

static void free_packet(struct sim_packet *p)
{
    blob_unref(p->chunk.blob);
    mem_free(p);
}

static void free_packets(struct list *packets)
{
    for (struct list *it; (it = list_pop(packets));)
        free_packet(container_of(it, struct sim_packet, link));
}

static struct sim_packet *first(const struct list *packets)
{
    return list_empty(packets) ? NULL : container_of(packets->next, struct sim_packet, link);
}

/* Wakes the receiver when the first packet arrives. */
static void schedule_receive(struct sim_stream *s)
{
    const struct sim_packet *p = first(&s->inbox);
    if (!p || p->at == STALLED || s->paused || !s->handler || s->dead || s->closed)
        return;
    sim_event_at(s->host->sim, &s->receive, p->at);
}

static uint64_t arrival(struct sim_host *from, struct sim_stream *to, size_t n)
{
    if (is_cut(from, to->host))
        return STALLED;
    uint64_t at = from->sim->now + latency(from, to->host) + n; /* a nanosecond a byte */
    if (at <= to->last_arrival)
        at = to->last_arrival + 1;
    to->last_arrival = at;
    return at;
}

static void deliver(struct sim_host *from, struct sim_stream *to, struct sim_packet *p)
{
    p->at = arrival(from, to, p->chunk.n);
    bool was_empty = list_empty(&to->inbox);
    list_push(&to->inbox, &p->link);
    to->in_bytes += p->chunk.n;
    if (was_empty)
        schedule_receive(to);
}

static void deliver_signal(struct sim_host *from, struct sim_stream *to, enum packet_kind kind)
{
    struct sim_packet *p = mem_new(struct sim_packet);
    p->kind = kind;
    list_init(&p->link);
    deliver(from, to, p);
}

/* The machine at the other end knows nothing of this stream: our bytes come back as a reset. */
static void bounce(struct sim_stream *s)
{
    free_packets(&s->out);
    s->out_bytes = 0;
    if (s->reset_coming)
        return;
    s->reset_coming = true;
    deliver_signal(s->remote, s, PACKET_RESET);
}

static void send_queued(struct sim_stream *s)
{
    if (s->dead || s->closed || s->err)
        return;
    if (!s->peer && !s->silent && (!list_empty(&s->out) || (s->want_shutdown && !s->sent_fin)))
        bounce(s);
    while (s->peer && s->peer->in_bytes < SIM_WINDOW && !list_empty(&s->out)) {
        struct sim_packet *p = container_of(list_pop(&s->out), struct sim_packet, link);
        s->out_bytes -= p->chunk.n;
        deliver(s->host, s->peer, p);
    }
    if (s->above_high && s->out_bytes < STREAM_LOW_WATER) {
        s->above_high = false;
        sim_event_at(s->host->sim, &s->drain, s->host->sim->now);
    }
    if (s->want_shutdown && !s->sent_fin && s->peer && list_empty(&s->out)) {
        s->sent_fin = true;
        deliver_signal(s->host, s->peer, PACKET_FIN);
    }
}

void sim_net_flush(struct sim_host *h)
{
    for (struct list *it; (it = list_pop(&h->flush));)
        send_queued(container_of(it, struct sim_stream, flush_link));
}

static void on_credit(struct sim_event *e)
{
    send_queued(container_of(e, struct sim_stream, credit));
}

/* ---- the end of a stream ---- */

static void remove_events(struct sim_stream *s)
{
    struct sim_event *events[] = {&s->receive, &s->drain, &s->broken, &s->credit, &s->accept};
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
        sim_event_remove(s->host->sim, events[i]);
}

static void drop_contents(struct sim_stream *s)
{
    remove_events(s);
    free_packets(&s->out);
    free_packets(&s->inbox);
    s->out_bytes = s->in_bytes = 0;
    list_remove(&s->flush_link);
}

static void free_stream(struct sim_stream *s)
{
    drop_contents(s);
    list_remove(&s->link);
    mem_free(s);
}

/* Cuts the tie to the other end, which gets a last packet of this kind. */
static void leave_peer(struct sim_stream *s, enum packet_kind kind)
{
    if (!s->peer)
        return;
    struct sim_stream *peer = s->peer;
    s->peer = NULL;
    peer->peer = NULL;
    if (kind == PACKET_RESET)
        peer->reset_coming = true;
    if (kind == PACKET_RESET || !s->sent_fin)
        deliver_signal(s->host, peer, kind);
}

static void sims_close(struct stream *base)
{
    struct sim_stream *s = stream_of(base);
    if (s->closed)
        return;
    s->closed = true;
    if (!s->dead && !s->err)
        leave_peer(s, list_empty(&s->inbox) ? PACKET_FIN : PACKET_RESET);
    else if (s->peer)
        s->peer = s->peer->peer = NULL;
    drop_contents(s);
    if (s->busy == 0)
        free_stream(s);
}

static void tell_end(struct sim_stream *s, int err)
{
    if (s->told || !s->handler)
        return;
    s->told = true;
    s->handler->on_end(s->ctx, err);
}

static void on_broken(struct sim_event *e)
{
    struct sim_stream *s = container_of(e, struct sim_stream, broken);
    s->busy++;
    free_packets(&s->out);
    free_packets(&s->inbox);
    s->out_bytes = s->in_bytes = 0;
    tell_end(s, s->err);
    if (--s->busy == 0 && s->closed)
        free_stream(s);
}

/* From now on s is over for this reason; its owner hears of it within spread_ms. */
static void break_stream(struct sim_stream *s, int err, uint64_t spread_ms)
{
    if (s->dead || s->closed || s->err)
        return;
    s->err = err;
    if (s->peer)
        s->peer = s->peer->peer = NULL;
    struct sim *sim = s->host->sim;
    sim_event_at(sim, &s->broken, sim->now + sim_between(sim, 0, spread_ms * NS_PER_MS));
}

/* ---- receiving ---- */

/* Sometimes a packet is read in two pieces, as real sockets do: puts the second one back. */
static void split_packet(struct sim_stream *s, struct sim_packet *p)
{
    struct sim *sim = s->host->sim;
    if (p->chunk.n < 2 || sim_random(sim, SPLIT_ONE_IN) != 0)
        return;
    size_t n = 1 + sim_random(sim, p->chunk.n - 1);
    struct sim_packet *rest = mem_new(struct sim_packet);
    rest->at = p->at;
    rest->chunk = (struct chunk){p->chunk.blob ? blob_ref(p->chunk.blob) : NULL, p->chunk.p + n, p->chunk.n - n};
    p->chunk.n = n;
    list_insert(&s->inbox, &rest->link);
}

/* Takes the first packet; tells a sender that waits that there is room again. */
static struct sim_packet *next_packet(struct sim_stream *s)
{
    struct sim_packet *p = container_of(list_pop(&s->inbox), struct sim_packet, link);
    split_packet(s, p);
    s->in_bytes -= p->chunk.n;
    struct sim_stream *peer = s->peer;
    if (peer && !list_empty(&peer->out) && !sim_event_armed(&peer->credit))
        sim_event_at(s->host->sim, &peer->credit, s->host->sim->now + latency(s->host, peer->host));
    return p;
}

static void receive_packet(struct sim_stream *s, struct sim_packet *p)
{
    switch (p->kind) {
    case PACKET_DATA:
        sim_trace(s->host->sim, hash64(slice_of(p->chunk.p, p->chunk.n), p->chunk.n));
        s->handler->on_data(s->ctx, p->chunk.p, p->chunk.n);
        break;
    case PACKET_FIN:
        s->eof = true;
        tell_end(s, 0);
        break;
    case PACKET_RESET:
        if (!s->err)
            s->err = -ECONNRESET;
        tell_end(s, -ECONNRESET);
        break;
    }
    free_packet(p);
}

static void on_receive(struct sim_event *e)
{
    struct sim_stream *s = container_of(e, struct sim_stream, receive);
    struct sim *sim = s->host->sim;
    s->busy++;
    while (!s->closed && !s->dead && !s->paused && s->handler && !s->err) {
        struct sim_packet *p = first(&s->inbox);
        if (!p || p->at > sim->now)
            break;
        receive_packet(s, next_packet(s));
    }
    if (!s->closed && !s->dead && !s->err)
        schedule_receive(s);
    if (--s->busy == 0 && s->closed)
        free_stream(s);
}

static void on_drained(struct sim_event *e)
{
    struct sim_stream *s = container_of(e, struct sim_stream, drain);
    if (s->handler && s->handler->on_drain)
        s->handler->on_drain(s->ctx);
}

/* ---- the owner's calls ---- */

static void sims_handle(struct stream *base, const struct stream_handler *h, void *ctx)
{
    struct sim_stream *s = stream_of(base);
    s->handler = h;
    s->ctx = ctx;
    if (s->dead)
        return;
    if (s->err && !s->told)
        sim_event_at(s->host->sim, &s->broken, s->host->sim->now);
    else
        schedule_receive(s);
}

static void sims_pause(struct stream *base, bool paused)
{
    struct sim_stream *s = stream_of(base);
    s->paused = paused;
    if (!s->err)
        schedule_receive(s);
}

static void flush_later(struct sim_stream *s)
{
    list_remove(&s->flush_link);
    list_push(&s->host->flush, &s->flush_link);
}

static int sims_write(struct stream *base, const struct chunk *chunks, size_t n)
{
    struct sim_stream *s = stream_of(base);
    bool over = s->dead || s->err || s->want_shutdown;
    for (size_t i = 0; i < n; i++) {
        if (over || chunks[i].n == 0) {
            blob_unref(chunks[i].blob);
            continue;
        }
        struct sim_packet *p = mem_new(struct sim_packet);
        p->chunk = chunks[i];
        list_push(&s->out, &p->link);
        s->out_bytes += chunks[i].n;
    }
    if (over)
        return -EPIPE;
    s->above_high = s->above_high || s->out_bytes > STREAM_HIGH_WATER;
    flush_later(s);
    return 0;
}

static size_t sims_queued(const struct stream *base)
{
    return stream_of(base)->out_bytes;
}

static void sims_shutdown(struct stream *base)
{
    struct sim_stream *s = stream_of(base);
    s->want_shutdown = true;
    if (!s->dead && !s->err)
        flush_later(s);
}

static const char *sims_peer(const struct stream *base)
{
    return stream_of(base)->peer_text;
}

static const struct stream_ops sim_stream_ops = {
    .handle = sims_handle,
    .write = sims_write,
    .queued = sims_queued,
    .pause = sims_pause,
    .shutdown = sims_shutdown,
    .close = sims_close,
    .peer = sims_peer,
};

static void on_accept_event(struct sim_event *e);

static struct sim_stream *new_stream(struct sim_host *h, struct sim_host *remote, const char *peer_text)
{
    struct sim_stream *s = mem_new(struct sim_stream);
    s->base.ops = &sim_stream_ops;
    s->host = h;
    s->remote = remote;
    s->receive = (struct sim_event){.host = h, .cb = on_receive};
    s->drain = (struct sim_event){.host = h, .cb = on_drained};
    s->broken = (struct sim_event){.host = h, .cb = on_broken};
    s->accept = (struct sim_event){.host = h, .cb = on_accept_event};
    s->credit = (struct sim_event){.cb = on_credit};
    list_init(&s->flush_link);
    list_init(&s->out);
    list_init(&s->inbox);
    list_push(&h->streams, &s->link);
    snprintf(s->peer_text, sizeof(s->peer_text), "%s", peer_text);
    return s;
}

/* ---- addresses ---- */

static bool is_own_name(const struct sim_host *h, struct slice name)
{
    return slice_eq_str(name, h->base.name) || slice_eq_str(name, "127.0.0.1") || slice_eq_str(name, "0.0.0.0");
}

/* Splits "name:port"; -EINVAL when it is not one. */
static int parse_address(const char *addr, struct slice *ret_name, unsigned *ret_port)
{
    const char *colon = strrchr(addr, ':');
    uint64_t port;
    if (!colon || !slice_to_u64(slice_str(colon + 1), &port) || port > 65535)
        return -EINVAL;
    *ret_name = slice_of(addr, (size_t)(colon - addr));
    *ret_port = (unsigned)port;
    return 0;
}

static bool is_unix(const char *addr)
{
    return strncmp(addr, "unix:", 5) == 0;
}

static struct sim_host *find_host(struct sim_host *from, struct slice name)
{
    if (is_own_name(from, name))
        return from;
    for (size_t i = 0; i < from->sim->n_hosts; i++)
        if (slice_eq_str(name, from->sim->hosts[i]->base.name))
            return from->sim->hosts[i];
    return NULL;
}

/* The host an address is on, and the address in the form listeners keep. */
static int resolve(struct sim_host *h, const char *addr, struct sim_host **ret_host, char out[ADDR_MAX])
{
    struct slice name;
    unsigned port;
    if (is_unix(addr)) {
        snprintf(out, ADDR_MAX, "%s", addr);
        *ret_host = h;
        return 0;
    }
    if (parse_address(addr, &name, &port))
        return -EINVAL;
    struct sim_host *to = find_host(h, name);
    if (!to)
        return -EHOSTUNREACH;
    snprintf(out, ADDR_MAX, "%.64s:%u", to->base.name, port);
    *ret_host = to;
    return 0;
}

static struct sim_listener *find_listener(struct sim_host *h, const char *addr)
{
    list_each (it, &h->listeners) {
        struct sim_listener *ls = container_of(it, struct sim_listener, link);
        if (strcmp(ls->addr, addr) == 0)
            return ls;
    }
    return NULL;
}

/* ---- listening ---- */

static void siml_close(struct listener *base)
{
    struct sim_listener *ls = container_of(base, struct sim_listener, base);
    list_remove(&ls->link);
    mem_free(ls);
}

static unsigned siml_port(const struct listener *base)
{
    return container_of(base, struct sim_listener, base)->port;
}

static const struct listener_ops sim_listener_ops = {.port = siml_port, .close = siml_close};

static int bind_address(struct sim_host *h, const char *addr, struct sim_listener *ls)
{
    struct slice name;
    if (is_unix(addr)) {
        snprintf(ls->addr, sizeof(ls->addr), "%s", addr);
        return find_listener(h, ls->addr) ? -EADDRINUSE : 0;
    }
    int err = parse_address(addr, &name, &ls->port);
    if (err)
        return err;
    if (!is_own_name(h, name))
        return -EADDRNOTAVAIL;
    if (ls->port == 0)
        ls->port = SIM_PORT_FIRST + h->next_port++ % FRESH_PORTS;
    snprintf(ls->addr, sizeof(ls->addr), "%.64s:%u", h->base.name, ls->port);
    return find_listener(h, ls->addr) ? -EADDRINUSE : 0;
}

int sim_net_listen(struct loop *l, const char *addr, void (*on_accept)(void *ctx, struct stream *s), void *ctx,
                   struct listener **ret)
{
    struct sim_host *h = sim_host_of(l);
    struct sim_listener *ls = mem_new(struct sim_listener);
    int err = h->alive ? bind_address(h, addr, ls) : -ESHUTDOWN;
    if (err) {
        mem_free(ls);
        return err;
    }
    ls->base.ops = &sim_listener_ops;
    ls->host = h;
    ls->on_accept = on_accept;
    ls->ctx = ctx;
    list_push(&h->listeners, &ls->link);
    *ret = &ls->base;
    return 0;
}

static void on_accept_event(struct sim_event *e)
{
    struct sim_stream *s = container_of(e, struct sim_stream, accept);
    struct sim_listener *ls = find_listener(s->host, s->listener_addr);
    if (ls)
        ls->on_accept(ls->ctx, &s->base);
    else
        sims_close(&s->base);
}

/* ---- connecting ---- */

static void free_connect(struct sim_connect *c)
{
    sim_event_remove(c->host->sim, &c->syn);
    sim_event_remove(c->host->sim, &c->done);
    list_remove(&c->link);
    mem_free(c);
}

static void sim_connect_cancel(struct connecting *base)
{
    struct sim_connect *c = container_of(base, struct sim_connect, base);
    if (c->stream)
        sims_close(&c->stream->base);
    free_connect(c);
}

static void on_connect_done(struct sim_event *e)
{
    struct sim_connect c = *container_of(e, struct sim_connect, done);
    free_connect(container_of(e, struct sim_connect, done));
    c.on_done(c.ctx, c.err, c.stream ? &c.stream->base : NULL);
}

static void connect_result(struct sim_connect *c, int err, uint64_t delay)
{
    c->err = err;
    sim_event_at(c->host->sim, &c->done, c->host->sim->now + delay);
}

static void establish(struct sim_connect *c, struct sim_host *to, const char *addr)
{
    char from_text[ADDR_MAX];
    snprintf(from_text, sizeof(from_text), "%.64s:%u", c->host->base.name,
             SIM_PORT_FIRST + FRESH_PORTS + c->host->next_port++ % 5000);
    struct sim_stream *ours = new_stream(c->host, to, is_unix(addr) ? "" : addr);
    struct sim_stream *theirs = new_stream(to, c->host, is_unix(addr) ? "" : from_text);
    ours->peer = theirs;
    theirs->peer = ours;
    snprintf(theirs->listener_addr, sizeof(theirs->listener_addr), "%s", addr);
    sim_event_at(to->sim, &theirs->accept, to->sim->now);
    c->stream = ours;
    connect_result(c, 0, latency(to, c->host));
}

static void on_syn(struct sim_event *e)
{
    struct sim_connect *c = container_of(e, struct sim_connect, syn);
    struct sim *sim = c->host->sim;
    struct sim_host *to;
    char addr[ADDR_MAX];
    int err = resolve(c->host, c->addr, &to, addr);
    if (err) {
        connect_result(c, err, 0);
    } else if (to->crashed || is_cut(c->host, to) || is_cut(to, c->host)) {
        if (sim->now >= c->give_up)
            connect_result(c, -ETIMEDOUT, 0);
        else
            sim_event_at(sim, e, sim->now + SIM_RETRY_MS * NS_PER_MS);
    } else if (!to->alive || !find_listener(to, addr)) {
        connect_result(c, -ECONNREFUSED, latency(to, c->host));
    } else {
        establish(c, to, addr);
    }
}

struct connecting *sim_net_connect(struct loop *l, const char *addr,
                                   void (*on_done)(void *ctx, int err, struct stream *s), void *ctx)
{
    struct sim_host *h = sim_host_of(l);
    struct sim_connect *c = mem_new(struct sim_connect);
    c->base.cancel = sim_connect_cancel;
    c->host = h;
    c->on_done = on_done;
    c->ctx = ctx;
    c->syn.cb = on_syn;
    c->done = (struct sim_event){.host = h, .cb = on_connect_done};
    c->give_up = h->sim->now + SIM_BREAK_MS * NS_PER_MS;
    snprintf(c->addr, sizeof(c->addr), "%s", addr);
    list_push(&h->connects, &c->link);
    struct sim_host *to;
    char full[ADDR_MAX];
    if (h->alive)
        sim_event_at(h->sim, &c->syn, h->sim->now + (resolve(h, addr, &to, full) ? 0 : latency(h, to)));
    return &c->base;
}

/* ---- faults ---- */

static void on_silence(struct sim_event *e)
{
    break_stream(container_of(e, struct sim_stream, credit), -ETIMEDOUT, BREAK_SPREAD_MS);
}

/* The machine at the other end is gone without a word. */
static void go_silent(struct sim_stream *s)
{
    struct sim *sim = s->host->sim;
    s->silent = true;
    s->credit.cb = on_silence; /* no credit will come any more */
    sim_event_at(sim, &s->credit, sim->now + SIM_BREAK_MS * NS_PER_MS);
}

static void kill_stream(struct sim_stream *s, bool crash)
{
    struct sim_stream *peer = s->peer;
    if (peer && peer->host != s->host && crash) {
        s->peer = peer->peer = NULL;
        go_silent(peer);
    } else {
        leave_peer(s, PACKET_RESET);
    }
    drop_contents(s);
    s->dead = true;
}

void sim_net_kill(struct sim_host *h, bool crash)
{
    list_each (it, &h->streams) {
        struct sim_stream *s = container_of(it, struct sim_stream, link);
        bool unseen = sim_event_armed(&s->accept); /* nobody has it who could close it */
        kill_stream(s, crash);
        if (unseen)
            free_stream(s);
    }
    list_each (it, &h->listeners) {
        list_remove(it);
    }
    list_each (it, &h->connects) {
        struct sim_connect *c = container_of(it, struct sim_connect, link);
        sim_event_remove(h->sim, &c->syn);
        sim_event_remove(h->sim, &c->done);
    }
}

void sim_net_start(struct sim_host *h)
{
    for (size_t i = 0; i < h->sim->n_hosts; i++)
        list_each (it, &h->sim->hosts[i]->streams) {
            struct sim_stream *s = container_of(it, struct sim_stream, link);
            if (!s->silent || s->remote != h || s->dead || s->closed || s->err)
                continue;
            s->silent = false;
            sim_event_remove(h->sim, &s->credit);
            s->credit.cb = on_credit;
            if (!s->reset_coming)
                bounce(s);
        }
}

static void break_between(struct sim_host *a, struct sim_host *b)
{
    list_each (it, &a->streams) {
        struct sim_stream *s = container_of(it, struct sim_stream, link);
        if (s->remote == b)
            break_stream(s, -ETIMEDOUT, BREAK_SPREAD_MS);
    }
}

struct cut_check {
    struct sim_event ev;
    struct sim_host *from, *to;
    uint64_t cuts;
};

static void free_cut_check(struct sim_event *e)
{
    mem_free(container_of(e, struct cut_check, ev));
}

static void on_cut_check(struct sim_event *e)
{
    struct cut_check c = *container_of(e, struct cut_check, ev);
    free_cut_check(e);
    const struct sim_link *link = &c.from->links[c.to->index];
    if (!link->cut || link->cuts != c.cuts)
        return;
    break_between(c.from, c.to);
    break_between(c.to, c.from);
}

static void stall(struct sim_stream *s)
{
    list_each (it, &s->inbox) {
        struct sim_packet *p = container_of(it, struct sim_packet, link);
        if (p->at > s->host->sim->now)
            p->at = STALLED;
    }
    const struct sim_packet *p = first(&s->inbox);
    if (p && p->at == STALLED)
        sim_event_remove(s->host->sim, &s->receive);
}

static void resume(struct sim_host *from, struct sim_stream *s)
{
    list_each (it, &s->inbox) {
        struct sim_packet *p = container_of(it, struct sim_packet, link);
        if (p->at == STALLED)
            p->at = arrival(from, s, p->chunk.n);
    }
    if (!s->err)
        schedule_receive(s);
}

void sim_net_cut(struct sim_host *from, struct sim_host *to, bool cut)
{
    struct sim_link *link = &from->links[to->index];
    if (link->cut == cut)
        return;
    link->cut = cut;
    list_each (it, &to->streams) {
        struct sim_stream *s = container_of(it, struct sim_stream, link);
        if (s->remote != from || s->dead || s->closed)
            continue;
        if (cut)
            stall(s);
        else
            resume(from, s);
    }
    if (!cut)
        return;
    link->cuts++;
    struct cut_check *c = mem_new(struct cut_check);
    *c = (struct cut_check){{.cb = on_cut_check, .drop = free_cut_check}, from, to, link->cuts};
    sim_event_at(from->sim, &c->ev, from->sim->now + SIM_BREAK_MS * NS_PER_MS);
}

void sim_net_done(struct sim_host *h)
{
    list_each (it, &h->streams) {
        free_stream(container_of(it, struct sim_stream, link));
    }
    list_each (it, &h->connects) {
        free_connect(container_of(it, struct sim_connect, link));
    }
}

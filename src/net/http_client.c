/* The client's pool: who gets which connection, connecting, flushing. */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/http_client_impl.h"

enum { CONNECT_MS = 5000, CLIENT_IDLE_MS = 90000 };

/* ---- closing ---- */

static void on_reap(struct turn_item *item)
{
    struct client_conn *c = container_of(item, struct client_conn, reap);
    list_remove(&c->link);
    if (c->proto)
        c->proto->destroy(c);
    chunkq_done(&c->out);
    mem_free(c);
}

static void fail_calls(struct client_conn *c, int err)
{
    struct list *l;
    while ((l = c->calls.next) != &c->calls) {
        struct http_call *call = container_of(l, struct http_call, link);
        if (c->used && !call->head_seen)
            call_retry_or_end(call, false, err); /* most likely the server closed an idle connection */
        else
            call_end(call, err);
    }
}

void client_conn_close(struct client_conn *c, int err)
{
    if (c->dead)
        return;
    struct http_client *cl = c->client;
    c->dead = c->no_new = true;
    cl->n_conns -= !c->alone;
    loop_timer_stop(cl->loop, &c->timer);
    turn_unmark(&c->flush);
    if (c->connecting)
        connect_cancel(c->connecting);
    tls_cancel(c->handshake);
    conn_close(c->conn);
    c->connecting = NULL;
    c->handshake = NULL;
    c->conn = NULL;
    turn_mark(&cl->turn, &c->reap);
    fail_calls(c, err ? err : -EPIPE);
    client_assign_later(cl);
}

/* A connection could not be made: who waits for one fails with it, and may ask again. */
static void connect_failed(struct client_conn *c, int err)
{
    struct http_client *cl = c->client;
    client_conn_close(c, err);
    if (c->alone)
        return;
    struct list failed;
    list_init(&failed);
    for (struct list *l; (l = list_pop(&cl->waiting));)
        list_push(&failed, l);
    while (!list_empty(&failed))
        call_end(container_of(failed.next, struct http_call, link), err);
}

/* ---- bytes ---- */

void client_conn_dirty(struct client_conn *c)
{
    if (!c->dead)
        turn_mark(&c->client->turn, &c->flush);
}

static void on_flush(struct turn_item *item)
{
    struct client_conn *c = container_of(item, struct client_conn, flush);
    size_t n;
    if (c->dead || !c->conn)
        return;
    int rv = c->proto->produce(c);
    if (c->dead)
        return;
    const struct chunk *chunks = chunkq_chunks(&c->out, &n);
    if (!rv)
        rv = c->out.error;
    if (!rv && n)
        rv = conn_write(c->conn, chunks, n);
    if (!c->out.error)
        chunkq_forget(&c->out);
    if (rv)
        client_conn_close(c, rv);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct client_conn *c = ctx;
    if (!c->dead)
        c->proto->data(c, p, n);
}

static void on_end(void *ctx, int err)
{
    struct client_conn *c = ctx;
    if (c->dead)
        return;
    c->no_new = true;
    c->proto->end(c, err);
    client_conn_close(c, err);
}

static void on_drain(void *ctx)
{
    client_conn_dirty(ctx);
}

static const struct conn_handler conn_handler = {on_data, on_end, on_drain};

/* ---- connecting ---- */

static void on_idle(struct loop_timer *t)
{
    client_conn_close(container_of(t, struct client_conn, timer), 0);
}

void client_conn_idle_check(struct client_conn *c)
{
    if (c->dead || !c->proto || c->n_calls > 0)
        return;
    if (c->no_new)
        loop_timer_start(c->client->loop, &c->timer, 0);
    else
        loop_timer_start(c->client->loop, &c->timer, CLIENT_IDLE_MS);
}

static void established(struct client_conn *c, struct conn *conn)
{
    struct http_client *cl = c->client;
    c->conn = conn;
    loop_timer_stop(cl->loop, &c->timer);
    c->timer.cb = on_idle;
    bool h2 = !c->alone && (cl->options.tls ? strcmp(tls_alpn(conn), "h2") == 0 : cl->options.h2);
    c->proto = h2 ? &h2_client_proto : &h1_client_proto;
    if (!c->alone) {
        cl->is_h2 = h2;
        cl->is_known = true;
    }
    conn_handle(conn, &conn_handler, c);
    if (c->upgrade && c->proto->submit(c, c->upgrade))
        client_conn_close(c, -ENOMEM);
    client_conn_idle_check(c);
    client_assign_later(cl);
}

static bool is_expected(const struct http_client *cl, const struct conn *conn)
{
    const struct tls_identity *who = tls_peer(conn);
    return !cl->tls_subject || (who && strcmp(who->common_name, cl->tls_subject) == 0);
}

static void on_handshake(void *ctx, int err, struct conn *conn)
{
    struct client_conn *c = ctx;
    c->handshake = NULL;
    if (!err && !is_expected(c->client, conn)) {
        conn_close(conn);
        err = -EKEYREJECTED;
    }
    if (err)
        connect_failed(c, err);
    else
        established(c, conn);
}

static void on_connected(void *ctx, int err, struct stream *s)
{
    struct client_conn *c = ctx;
    struct http_client *cl = c->client;
    c->connecting = NULL;
    if (err)
        connect_failed(c, err);
    else if (!cl->options.tls)
        established(c, conn_plain(s));
    else
        c->handshake = (c->alone ? tls_connect_http1 : tls_connect)(
            cl->loop, cl->options.tls, s, cl->tls_subject ? NULL : cl->tls_name, on_handshake, c);
}

static void on_connect_late(struct loop_timer *t)
{
    connect_failed(container_of(t, struct client_conn, timer), -ETIMEDOUT);
}

static struct client_conn *open_conn(struct http_client *cl, struct http_call *upgrade)
{
    struct client_conn *c = mem_new(struct client_conn);
    c->client = cl;
    c->upgrade = upgrade;
    c->alone = upgrade != NULL;
    list_init(&c->calls);
    chunkq_init(&c->out);
    turn_item_init(&c->flush, on_flush);
    turn_item_init(&c->reap, on_reap);
    list_push(&cl->conns, &c->link);
    cl->n_conns += !c->alone;
    c->timer.cb = on_connect_late;
    loop_timer_start(cl->loop, &c->timer, cl->options.connect_ms);
    c->connecting = loop_connect(cl->loop, cl->addr, on_connected, c);
    return c;
}

/* ---- who gets which connection ---- */

void client_assign_later(struct http_client *cl)
{
    turn_mark(&cl->turn, &cl->assign);
}

static void place(struct client_conn *c, struct http_call *call)
{
    list_remove(&call->link);
    list_push(&c->calls, &call->link);
    call->conn = c;
    c->n_calls++;
    if (c->proto)
        loop_timer_stop(c->client->loop, &c->timer); /* not idle any more */
}

static struct client_conn *find_room(struct http_client *cl)
{
    list_each (it, &cl->conns) {
        struct client_conn *c = container_of(it, struct client_conn, link);
        if (c->proto && !c->dead && !c->no_new && !c->alone && c->proto->room(c) > 0)
            return c;
    }
    return NULL;
}

static size_t count_connecting(const struct http_client *cl)
{
    size_t n = 0;
    list_each (it, &cl->conns) {
        const struct client_conn *c = container_of(it, struct client_conn, link);
        n += !c->dead && !c->proto && !c->alone;
    }
    return n;
}

static bool has_conn(const struct http_client *cl)
{
    list_each (it, &cl->conns) {
        const struct client_conn *c = container_of(it, struct client_conn, link);
        if (!c->dead && !c->no_new && !c->alone)
            return true;
    }
    return false;
}

/* Opens what the waiting calls need: one connection while the protocol is unknown or when it is HTTP/2. */
static void open_for(struct http_client *cl, size_t waiting)
{
    if (!cl->is_known || cl->is_h2) {
        if (waiting > 0 && !has_conn(cl))
            open_conn(cl, NULL);
        return;
    }
    for (size_t n = count_connecting(cl); n < waiting && cl->n_conns < CLIENT_H1_CONNECTIONS; n++)
        open_conn(cl, NULL);
}

/* The connection for a waiting call, or NULL. */
static struct client_conn *conn_for(struct http_client *cl, struct http_call *call)
{
    if (!call->upgrade)
        return find_room(cl);
    cl->upgrades_waiting--;
    return open_conn(cl, call);
}

static void on_assign(struct turn_item *item)
{
    struct http_client *cl = container_of(item, struct http_client, assign);
    size_t left = 0; /* of which more than connections may be need not be counted */
    list_each (it, &cl->waiting) {
        struct http_call *call = container_of(it, struct http_call, link);
        if (left > 0 && !call->upgrade) {
            if (++left > CLIENT_H1_CONNECTIONS && cl->upgrades_waiting == 0)
                break;
            continue;
        }
        struct client_conn *c = conn_for(cl, call);
        if (!c) {
            left++;
            continue;
        }
        place(c, call);
        if (c->proto && c->proto->submit(c, call))
            client_conn_close(c, -ENOMEM);
    }
    open_for(cl, left);
}

/* ---- the client ---- */

static char *dup_str(const char *s)
{
    return mem_strndup(s, strlen(s));
}

/* The host part of "ip:port" or "[ip6]:port". */
static char *host_of(const char *addr)
{
    if (strncmp(addr, "unix:", 5) == 0)
        return dup_str("localhost");
    const char *colon = strrchr(addr, ':');
    size_t n = colon ? (size_t)(colon - addr) : strlen(addr);
    if (n >= 2 && addr[0] == '[' && addr[n - 1] == ']')
        return mem_strndup(addr + 1, n - 2);
    return mem_strndup(addr, n);
}

struct http_client *http_client_new(struct loop *l, const struct http_client_options *o)
{
    struct http_client *cl = mem_new(struct http_client);
    bool is_unix = strncmp(o->addr, "unix:", 5) == 0;
    cl->loop = l;
    cl->options = *o;
    cl->options.connect_ms = o->connect_ms ? o->connect_ms : CONNECT_MS;
    cl->addr = dup_str(o->addr);
    cl->host = dup_str(o->host ? o->host : is_unix ? "localhost" : o->addr);
    cl->tls_name = o->tls_name ? dup_str(o->tls_name) : host_of(o->addr);
    cl->tls_subject = o->tls_subject ? dup_str(o->tls_subject) : NULL;
    cl->is_known = !o->tls;
    cl->is_h2 = !o->tls && o->h2;
    list_init(&cl->waiting);
    list_init(&cl->conns);
    list_init(&cl->finishing);
    turn_init(&cl->turn, l);
    turn_item_init(&cl->assign, on_assign);
    return cl;
}

void http_client_warm(struct http_client *cl)
{
    if (!has_conn(cl))
        open_conn(cl, NULL);
}

static void end_all(struct list *calls)
{
    while (!list_empty(calls)) {
        struct http_call *call = container_of(calls->next, struct http_call, link);
        call->paused = call->over = false;
        chunkq_done(&call->held);
        call_end(call, -ESHUTDOWN);
    }
}

void http_client_free(struct http_client *cl)
{
    if (!cl)
        return;
    list_each (it, &cl->conns) {
        struct client_conn *c = container_of(it, struct client_conn, link);
        end_all(&c->calls);
        client_conn_close(c, -ESHUTDOWN);
    }
    end_all(&cl->finishing);
    end_all(&cl->waiting);
    list_each (it, &cl->conns) {
        struct client_conn *c = container_of(it, struct client_conn, link);
        turn_unmark(&c->reap);
        on_reap(&c->reap);
    }
    turn_done(&cl->turn);
    mem_free(cl->addr);
    mem_free(cl->host);
    mem_free(cl->tls_name);
    mem_free(cl->tls_subject);
    mem_free(cl);
}

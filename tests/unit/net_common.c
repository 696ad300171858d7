#include "net_common.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/pki.h"
#include "base/arena.h"
#include "base/mem.h"

/* ---- the world ---- */

static void check(struct loop_hook *h)
{
    struct net_env *e = container_of(h, struct net_env, hook);
    if (e->until && e->until(e->until_ctx)) {
        e->until = NULL;
        loop_stop(e->l);
    }
}

static void on_limit(struct loop_timer *t)
{
    struct net_env *e = container_of(t, struct net_env, limit);
    e->late = true;
    loop_stop(e->l);
}

void net_run(struct net_env *e, bool (*until)(void *ctx), void *ctx)
{
    e->until = until;
    e->until_ctx = ctx;
    e->late = false;
    e->limit.cb = on_limit;
    loop_timer_start(e->l, &e->limit, 20000);
    loop_hook_add(e->l, &e->hook); /* looks after all others */
    loop_run(e->l);
    loop_hook_remove(e->l, &e->hook);
    loop_timer_stop(e->l, &e->limit);
    e->until = NULL;
    assert_false(e->late);
}

void net_run_ms(struct net_env *e, unsigned ms)
{
    e->limit.cb = on_limit;
    e->until = NULL;
    loop_timer_start(e->l, &e->limit, ms);
    loop_run(e->l);
}

void net_setup(struct net_env *e)
{
    const char *tmp = getenv("TMPDIR");
    memset(e, 0, sizeof *e);
    snprintf(e->dir, sizeof e->dir, "%s/pintle-net-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(e->dir));
    e->l = loop_uv_new("test");
    loop_log(e->l)->fd = -1;
    e->hook.cb = check;
    list_init(&e->timers);
}

void net_teardown(struct net_env *e)
{
    char command[256];
    http_server_free(e->server);
    tls_context_free(e->server_tls);
    tls_context_free(e->client_tls);
    loop_timer_stop(e->l, &e->limit);
    loop_free(e->l);
    snprintf(command, sizeof command, "rm -rf '%s'", e->dir);
    assert_int_equal(system(command), 0);
}

const char *net_file(struct net_env *e, const char *name)
{
    char *path = e->path[e->n_paths++ % 16];
    snprintf(path, sizeof e->path[0], "%s/%s", e->dir, name);
    return path;
}

static void make_pair(struct net_env *e, const struct pki_pair *ca, const struct pki_request *r, const char *cert,
                      const char *key)
{
    struct pki_pair *p = NULL;
    assert_int_equal(pki_issue(ca, r, loop_wall(e->l), &p), 0);
    assert_int_equal(pki_pair_write(p, loop_fs(e->l), net_file(e, cert), net_file(e, key)), 0);
    pki_pair_free(p);
}

void net_make_certs(struct net_env *e)
{
    static const char *const orgs[] = {"team-a", "team-b"}, *const dns[] = {"localhost"},
                             *const ips[] = {"127.0.0.1", "::1"};
    const struct pki_request server = {
        .common_name = "server", .dns = dns, .n_dns = 1, .ips = ips, .n_ips = 2, .server = true, .days = 10};
    const struct pki_request client = {.common_name = "tester", .orgs = orgs, .n_orgs = 2, .client = true, .days = 10};
    struct pki_pair *ca = NULL, *other = NULL;
    assert_int_equal(pki_ca_create("test-ca", PKI_CA_DAYS, loop_wall(e->l), &ca), 0);
    assert_int_equal(pki_ca_create("other-ca", PKI_CA_DAYS, loop_wall(e->l), &other), 0);
    assert_int_equal(pki_pair_write(ca, loop_fs(e->l), net_file(e, "ca.crt"), net_file(e, "ca.key")), 0);
    make_pair(e, ca, &server, "server.crt", "server.key");
    make_pair(e, ca, &client, "client.crt", "client.key");
    make_pair(e, other, &client, "other.crt", "other.key");
    pki_pair_free(ca);
    pki_pair_free(other);
}

/* ---- the server ---- */

struct piecemeal {
    struct http_exchange *x;
    struct net_env *e;
    struct loop_timer timer;
    unsigned left;
};

struct big {
    struct net_env *e;
    size_t left;
};

static struct net_env *env_of(struct http_exchange *x)
{
    return *(struct net_env **)http_ctx(x);
}

static void answer_text(struct http_exchange *x, int code, struct slice text)
{
    const struct http_header type = {SLICE("content-type"), SLICE("text/plain")};
    struct blob *b = blob_copy(text);
    struct chunk c = b ? chunk_take(b) : chunk_static(SLICE("short of memory"));
    http_reply(x, code, &type, 1, &c, 1);
}

static void next_piece(struct loop_timer *t)
{
    struct piecemeal *p = container_of(t, struct piecemeal, timer);
    struct chunk c = chunk_static(SLICE("piece\n"));
    http_reply_write(p->x, &c, 1);
    if (--p->left > 0) {
        loop_timer_start(p->e->l, &p->timer, 5);
    } else {
        http_reply_end(p->x);
        mem_free(p);
    }
}

static void piece_aborted(struct http_exchange *x)
{
    struct piecemeal *p = http_ctx(x);
    p->e->aborts++;
    loop_timer_stop(p->e->l, &p->timer);
    mem_free(p);
    http_abort(x);
}

static void answer_pieces(struct net_env *e, struct http_exchange *x, unsigned n)
{
    struct piecemeal *p = mem_new(struct piecemeal);
    *p = (struct piecemeal){.x = x, .e = e, .left = n, .timer.cb = next_piece};
    http_set_ctx(x, p, piece_aborted);
    http_reply_start(x, 200, NULL, 0);
    loop_timer_start(e->l, &p->timer, 1);
}

static void fill(struct http_exchange *x)
{
    struct big *b = http_ctx(x);
    while (b->left > 0 && http_reply_queued(x) < STREAM_HIGH_WATER) {
        size_t n = b->left < 50000 ? b->left : 50000;
        struct blob *blob = blob_new(n);
        memset(blob->bytes, 'b', n);
        struct chunk c = chunk_take(blob);
        http_reply_write(x, &c, 1);
        b->left -= n;
        size_t queued = http_reply_queued(x);
        b->e->most_queued = queued > b->e->most_queued ? queued : b->e->most_queued;
    }
    if (b->left == 0) {
        mem_free(b);
        http_reply_end(x);
    }
}

static void big_aborted(struct http_exchange *x)
{
    struct big *b = http_ctx(x);
    b->e->aborts++;
    mem_free(b);
    http_abort(x);
}

static void answer_big(struct net_env *e, struct http_exchange *x, size_t n)
{
    struct big *b = mem_new(struct big);
    *b = (struct big){e, n};
    http_set_ctx(x, b, big_aborted);
    http_on_drain(x, fill);
    http_reply_start(x, 200, NULL, 0);
    fill(x);
}

static void hold_aborted(struct http_exchange *x)
{
    struct net_env *e = env_of(x);
    e->aborts++;
    if (e->held == x)
        e->held = NULL;
    http_abort(x);
}

struct echo {
    struct conn *conn;
};

static void echo_data(void *ctx, const char *p, size_t n)
{
    struct echo *e = ctx;
    struct chunk c = chunk_take(blob_copy(slice_of(p, n)));
    conn_write(e->conn, &c, 1);
}

static void echo_end(void *ctx, int err)
{
    struct echo *e = ctx;
    (void)err;
    conn_close(e->conn);
    mem_free(e);
}

static const struct conn_handler echo_handler = {echo_data, echo_end, NULL};

static void answer_upgrade(struct http_exchange *x)
{
    const struct http_header h[] = {{SLICE("connection"), SLICE("Upgrade")}, {SLICE("upgrade"), SLICE("echo")}};
    struct echo *e = mem_new(struct echo);
    e->conn = http_upgrade(x, 101, h, 2);
    if (!e->conn)
        mem_free(e);
    else
        conn_handle(e->conn, &echo_handler, e);
}

static void answer_who(struct http_exchange *x)
{
    const struct http_request *r = http_request(x);
    const char *text = arena_printf(http_arena(x), "%s/%zu/%u", r->peer ? r->peer->common_name : "nobody",
                                    r->peer ? r->peer->n_orgs : 0, r->version);
    answer_text(x, 200, slice_str(text));
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct net_env *e = ctx;
    const struct http_request *r = http_request(x);
    uint64_t n = 0;
    e->requests++;
    slice_to_u64(r->query, &n);
    if (slice_eq_str(r->path, "/echo")) {
        answer_text(x, 200, r->body);
    } else if (slice_eq_str(r->path, "/pieces")) {
        answer_pieces(e, x, (unsigned)n);
    } else if (slice_eq_str(r->path, "/big")) {
        answer_big(e, x, (size_t)n);
    } else if (slice_eq_str(r->path, "/hold")) {
        struct net_env **slot = arena_alloc(http_arena(x), sizeof(void *));
        *slot = e;
        e->held = x;
        http_set_ctx(x, slot, hold_aborted);
    } else if (slice_eq_str(r->path, "/cut")) {
        struct chunk c = chunk_static(SLICE("half"));
        http_reply_start(x, 200, NULL, 0);
        http_reply_write(x, &c, 1);
        http_abort(x);
    } else if (slice_eq_str(r->path, "/up") && r->upgrade) {
        answer_upgrade(x);
    } else if (slice_eq_str(r->path, "/who")) {
        answer_who(x);
    } else if (slice_eq_str(r->path, "/empty")) {
        http_reply(x, 204, NULL, 0, NULL, 0);
    } else {
        answer_text(x, 404, SLICE("nothing here"));
    }
}

static void make_contexts(struct net_env *e, struct net_mode mode)
{
    char why[256] = "";
    const struct tls_options server = {.cert_file = net_file(e, "server.crt"),
                                       .key_file = net_file(e, "server.key"),
                                       .ca_file = net_file(e, "ca.crt"),
                                       .verify_client = true,
                                       .h2 = mode.h2};
    const struct tls_options client = {.cert_file = mode.client_cert ? net_file(e, "client.crt") : NULL,
                                       .key_file = mode.client_cert ? net_file(e, "client.key") : NULL,
                                       .ca_file = net_file(e, "ca.crt"),
                                       .h2 = mode.h2};
    net_make_certs(e);
    assert_int_equal(tls_context_new(&server, &e->server_tls, why), 0);
    assert_int_equal(tls_context_new(&client, &e->client_tls, why), 0);
}

void net_serve(struct net_env *e, struct net_mode mode, const struct http_server_options *o)
{
    struct http_server_options all = o ? *o : (struct http_server_options){0};
    char unix_addr[160];
    if (mode.tls)
        make_contexts(e, mode);
    snprintf(unix_addr, sizeof unix_addr, "unix:%s/http.sock", e->dir);
    e->mode = mode;
    all.listen = mode.unix_socket ? unix_addr : "127.0.0.1:0";
    all.tls = e->server_tls;
    all.on_request = on_request;
    all.ctx = e;
    assert_int_equal(http_server_new(e->l, &all, &e->server), 0);
    if (mode.unix_socket)
        snprintf(e->addr, sizeof e->addr, "%s", unix_addr);
    else
        snprintf(e->addr, sizeof e->addr, "127.0.0.1:%u", http_server_port(e->server));
}

/* ---- the client ---- */

struct http_client *net_client(struct net_env *e)
{
    const struct http_client_options o = {.addr = e->addr, .tls = e->client_tls, .h2 = e->mode.h2};
    return http_client_new(e->l, &o);
}

static void find_trailer(struct net_call *c, const struct http_header *h, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_str(h[i].name, "grpc-status"))
            snprintf(c->trailer, sizeof c->trailer, "%" SLICE_FMT, SLICE_ARG(h[i].value));
}

static void on_head(void *ctx, int code, const struct http_header *h, size_t n)
{
    struct net_call *c = ctx;
    assert_false(c->head);
    c->head = true;
    c->code = code;
    c->n_headers = n;
    find_trailer(c, h, n);
}

static void on_data(void *ctx, struct slice data)
{
    struct net_call *c = ctx;
    assert_false(c->done);
    c->bytes += data.n;
    if (!c->drop)
        assert_int_equal(buf_add_slice(&c->body, data), 0);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct net_call *c = ctx;
    assert_false(c->done);
    c->done = true;
    c->err = err;
    c->sent = sent;
    if (!err)
        assert_int_equal(code, c->code);
    find_trailer(c, trailers, n);
}

void net_call_start(struct net_call *c, struct http_client *client, const struct http_call_options *o)
{
    struct http_call_options all = *o;
    bool drop = c->drop;
    memset(c, 0, sizeof *c);
    c->drop = drop;
    buf_init(&c->body, 64 << 20);
    all.on_head = on_head;
    all.on_data = on_data;
    all.on_done = on_done;
    all.ctx = c;
    c->call = http_call(client, &all);
}

void net_get(struct net_call *c, struct http_client *client, const char *path)
{
    const struct http_call_options o = {.method = "GET", .path = path};
    net_call_start(c, client, &o);
}

void net_call_done(struct net_call *c)
{
    buf_done(&c->body);
}

bool net_is_done(void *call)
{
    return ((struct net_call *)call)->done;
}

/* ---- raw bytes ---- */

static void raw_data(void *ctx, const char *p, size_t n)
{
    struct net_raw *r = ctx;
    assert_int_equal(buf_add(&r->in, p, n), 0);
}

static void raw_end(void *ctx, int err)
{
    struct net_raw *r = ctx;
    r->ended = true;
    r->err = err;
}

static const struct stream_handler raw_handler = {raw_data, raw_end, NULL};

static void raw_connected(void *ctx, int err, struct stream *s)
{
    struct net_raw *r = ctx;
    assert_int_equal(err, 0);
    r->stream = s;
    r->connected = true;
    stream_handle(s, &raw_handler, r);
}

static bool is_connected(void *raw)
{
    return ((struct net_raw *)raw)->connected;
}

void net_raw_open(struct net_raw *r, struct net_env *e)
{
    memset(r, 0, sizeof *r);
    r->e = e;
    buf_init(&r->in, 64 << 20);
    loop_connect(e->l, e->addr, raw_connected, r);
    net_run(e, is_connected, r);
}

void net_raw_send(struct net_raw *r, struct slice bytes)
{
    struct chunk c = chunk_take(blob_copy(bytes));
    stream_write(r->stream, &c, 1);
}

bool net_raw_has(void *raw)
{
    struct net_raw *r = raw;
    return r->ended || (r->in.p && strstr(r->in.p, r->expect));
}

bool net_raw_ended(void *raw)
{
    return ((struct net_raw *)raw)->ended;
}

void net_raw_close(struct net_raw *r)
{
    stream_close(r->stream);
    buf_done(&r->in);
}

/* HTTP client and server against each other, over every kind of connection. */
#include "net_common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static const struct net_mode modes[] = {
    {.tls = false, .h2 = false}, {.tls = false, .h2 = false, .unix_socket = true},
    {.tls = false, .h2 = true},  {.tls = true, .h2 = false},
    {.tls = true, .h2 = true},
};

static void each_mode(void (*test)(struct net_env *e))
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct net_env e;
        net_setup(&e);
        net_serve(&e, modes[i], NULL);
        test(&e);
        net_teardown(&e);
    }
}

#define EACH_MODE(name)                                                                                                \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        each_mode(name);                                                                                               \
    }

static void requests(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    const struct http_header h = {SLICE("x-test"), SLICE("1")};
    struct http_call_options o = {
        .method = "POST", .path = "/echo", .headers = &h, .n_headers = 1, .body = SLICE("hello")};
    for (unsigned i = 0; i < 3; i++) {
        net_call_start(&c, client, &o);
        net_run(e, net_is_done, &c);
        assert_int_equal(c.err, 0);
        assert_int_equal(c.code, 200);
        assert_slice(buf_slice(&c.body), "hello");
        net_call_done(&c);
    }
    assert_int_equal(http_server_connections(e->server), 1); /* kept alive */
    net_get(&c, client, "/none");
    net_run(e, net_is_done, &c);
    assert_int_equal(c.code, 404);
    net_call_done(&c);
    net_get(&c, client, "/empty");
    net_run(e, net_is_done, &c);
    assert_int_equal(c.code, 204);
    assert_int_equal(c.bytes, 0);
    net_call_done(&c);
    o = (struct http_call_options){.method = "HEAD", .path = "/big?100000"};
    net_call_start(&c, client, &o);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.code, 200);
    assert_int_equal(c.bytes, 0);
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(requests)

static void pieces(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    net_get(&c, client, "/pieces?5");
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_slice(buf_slice(&c.body), "piece\npiece\npiece\npiece\npiece\n");
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(pieces)

static void large_request(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    size_t n = HTTP_BODY_MAX;
    char *body = mem_alloc(n + 1);
    for (size_t i = 0; i <= n; i++)
        body[i] = (char)('a' + i % 23);
    struct http_call_options o = {.method = "POST", .path = "/echo", .body = slice_of(body, n)};
    net_call_start(&c, client, &o);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.code, 200);
    assert_int_equal(c.body.n, n);
    assert_memory_equal(c.body.p, body, n);
    net_call_done(&c);
    o.body = slice_of(body, n + 1);
    net_call_start(&c, client, &o);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.code, 413);
    assert_non_null(strstr(c.body.p, "RequestEntityTooLarge"));
    net_call_done(&c);
    mem_free(body);
    http_client_free(client);
}
EACH_MODE(large_request)

static bool enough(void *ctx)
{
    return ((struct net_call *)ctx)->bytes > 0;
}

/* A reader that pauses stops the writer at its high watermark; what then comes is all there. */
static void large_answer(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {.drop = true};
    net_get(&c, client, "/big?30000000");
    net_run(e, enough, &c);
    http_call_pause(c.call, true);
    size_t before = c.bytes;
    net_run_ms(e, 100);
    assert_int_equal(c.bytes, before);
    assert_false(c.done);
    http_call_pause(c.call, false);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.bytes, 30000000);
    assert_true(e->most_queued <= STREAM_HIGH_WATER + 50000);
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(large_answer)

/* The end of an answer waits for its paused reader as well. */
static void paused_end(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    net_get(&c, client, "/pieces?3");
    http_call_pause(c.call, true);
    net_run_ms(e, 100);
    assert_false(c.done);
    assert_int_equal(c.bytes, 0);
    http_call_pause(c.call, false);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.bytes, 18);
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(paused_end)

static bool is_held(void *ctx)
{
    return ((struct net_env *)ctx)->held != NULL;
}

static bool is_aborted(void *ctx)
{
    return ((struct net_env *)ctx)->aborts > 0;
}

static void client_abort(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    net_get(&c, client, "/hold");
    net_run(e, is_held, e);
    http_call_cancel(c.call);
    net_run(e, is_aborted, e);
    assert_false(c.done);
    net_call_done(&c);
    e->aborts = 0;
    net_get(&c, client, "/pieces?100000");
    net_run(e, enough, &c);
    http_client_free(client); /* tells c as well */
    assert_true(c.done);
    assert_int_equal(c.err, -ESHUTDOWN);
    net_run(e, is_aborted, e);
    net_call_done(&c);
}
EACH_MODE(client_abort)

/* Exchanges outlive the server until their handlers end them. */
static void server_free_with_open_exchange(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    net_get(&c, client, "/hold");
    net_run(e, is_held, e);
    struct http_exchange *x = e->held;
    http_set_ctx(x, http_ctx(x), NULL);
    http_server_free(e->server);
    e->server = NULL;
    assert_slice(http_request(x)->path, "/hold");
    struct chunk body = chunk_take(blob_copy(SLICE("too late")));
    http_reply(x, 200, NULL, 0, &body, 1);
    net_run(e, net_is_done, &c);
    assert_true(c.err < 0);
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(server_free_with_open_exchange)

static void server_abort(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    net_get(&c, client, "/cut");
    net_run(e, net_is_done, &c);
    assert_true(c.err < 0);
    assert_true(c.sent);
    net_call_done(&c);
    net_get(&c, client, "/who"); /* the client goes on */
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(server_abort)

static void call_timeout(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    const struct http_call_options o = {.method = "GET", .path = "/hold", .timeout_ms = 50};
    net_call_start(&c, client, &o);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, -ETIMEDOUT);
    assert_true(c.sent);
    net_run(e, is_aborted, e);
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(call_timeout)

enum { MANY = 300 };

static bool all_done(void *ctx)
{
    struct net_call *c = ctx;
    for (unsigned i = 0; i < MANY; i++)
        if (!c[i].done)
            return false;
    return true;
}

static void many_at_once(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call *c = mem_zalloc(MANY * sizeof *c);
    for (unsigned i = 0; i < MANY; i++) {
        c[i].drop = true;
        net_get(&c[i], client, i % 3 == 0 ? "/pieces?3" : i % 3 == 1 ? "/big?70000" : "/who");
    }
    net_run(e, all_done, c);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(c[i].err, 0);
        assert_int_equal(c[i].code, 200);
        if (i % 3 < 2)
            assert_int_equal(c[i].bytes, i % 3 == 0 ? 18 : 70000);
        net_call_done(&c[i]);
    }
    assert_int_equal(e->requests, MANY);
    assert_true(http_server_connections(e->server) <= (e->mode.h2 ? 1 : 8));
    mem_free(c);
    http_client_free(client);
}
EACH_MODE(many_at_once)

static bool no_connections(void *ctx)
{
    return http_server_connections(((struct net_env *)ctx)->server) == 0;
}

/* What is under way ends in good order; new calls are refused. */
static void drain(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0}, late = {0};
    net_get(&c, client, "/pieces?20");
    net_run(e, enough, &c);
    uint64_t start = loop_now(e->l);
    http_server_drain(e->server, 5000);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.bytes, 120);
    net_run(e, no_connections, e);
    assert_true(loop_now(e->l) - start < 4000000000); /* without waiting for the grace's end */
    net_get(&late, client, "/who");
    net_run(e, net_is_done, &late);
    assert_true(late.err < 0);
    assert_false(late.sent);
    net_call_done(&c);
    net_call_done(&late);
    http_client_free(client);
}
EACH_MODE(drain)

static void drain_grace(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    net_get(&c, client, "/hold");
    net_run(e, is_held, e);
    http_server_drain(e->server, 50);
    net_run(e, net_is_done, &c);
    assert_true(c.err < 0);
    assert_int_equal(e->aborts, 1);
    net_call_done(&c);
    http_client_free(client);
}
EACH_MODE(drain_grace)

/* More bytes each way than the windows of an HTTP/2 connection hold: they must be given back. */
static void long_life(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {.drop = true};
    size_t n = 3000000;
    char *body = mem_zalloc(n);
    const struct http_call_options o = {.method = "PUT", .path = "/echo", .body = slice_of(body, n)};
    for (unsigned i = 0; i < 25; i++) {
        net_call_start(&c, client, &o);
        net_run(e, net_is_done, &c);
        assert_int_equal(c.err, 0);
        assert_int_equal(c.bytes, n);
        net_call_done(&c);
    }
    assert_int_equal(http_server_connections(e->server), 1);
    mem_free(body);
    http_client_free(client);
}
EACH_MODE(long_life)

/* A call that was paused when it ended leaves a usable connection behind. */
static void paused_then_next(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call first = {0}, second = {0};
    net_get(&first, client, "/who");
    http_call_pause(first.call, true);
    net_run_ms(e, 50);
    assert_false(first.done);
    net_get(&second, client, "/who");
    net_run(e, net_is_done, &second);
    assert_int_equal(second.err, 0);
    http_call_cancel(first.call);
    assert_false(first.done);
    net_call_done(&first);
    net_call_done(&second);
    http_client_free(client);
}
EACH_MODE(paused_then_next)

/* Every allocation that depends on what a peer sends may fail: the call then fails or not, and the next one works. */
static void out_of_memory(struct net_env *e)
{
    const struct http_header h = {SLICE("x-test"), SLICE("1")};
    const struct http_call_options o = {
        .method = "POST", .path = "/echo", .headers = &h, .n_headers = 1, .body = SLICE("hello"), .timeout_ms = 5000};
    bool failed = true;
    for (long nth = 1; failed; nth++) {
        struct http_client *client = net_client(e);
        struct net_call c = {.drop = true};
        mem_fail_at(nth);
        net_call_start(&c, client, &o);
        net_run(e, net_is_done, &c);
        failed = mem_failed();
        mem_fail_at(0);
        if (!failed)
            assert_int_equal(c.err, 0);
        net_call_done(&c);
        net_call_start(&c, client, &o);
        net_run(e, net_is_done, &c);
        assert_int_equal(c.err, 0);
        assert_int_equal(c.code, 200);
        net_call_done(&c);
        http_client_free(client);
        assert_true(nth < 500);
    }
}
EACH_MODE(out_of_memory)

/* What a caller passes on must not become part of somebody else's request. */
static void unclean(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct net_call c = {0};
    const struct http_header bad = {SLICE("x-a"), SLICE("1\r\nx-b: 2")};
    const struct http_call_options cases[] = {{.method = "GET", .path = "/who HTTP/1.1\r\nx: y"},
                                              {.method = "GET /", .path = "/who"},
                                              {.method = "GET", .path = ""},
                                              {.method = "GET", .path = "/who", .headers = &bad, .n_headers = 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        net_call_start(&c, client, &cases[i]);
        assert_false(c.done);
        net_run(e, net_is_done, &c);
        assert_int_equal(c.err, -EINVAL);
        assert_false(c.sent);
        net_call_done(&c);
    }
    assert_int_equal(e->requests, 0);
    http_client_free(client);
}
EACH_MODE(unclean)

/* ---- upgrades ---- */

struct upgraded {
    bool done, ended;
    int err, code;
    struct conn *raw;
    struct buf in;
    char body[64];
};

static void up_data(void *ctx, const char *p, size_t n)
{
    buf_add(&((struct upgraded *)ctx)->in, p, n);
}

static void up_end(void *ctx, int err)
{
    (void)err;
    ((struct upgraded *)ctx)->ended = true;
}

static const struct conn_handler up_handler = {up_data, up_end, NULL};

static void on_upgraded(void *ctx, int err, int code, const struct http_header *h, size_t n, struct slice body,
                        struct conn *raw)
{
    struct upgraded *u = ctx;
    u->done = true;
    u->err = err;
    u->code = code;
    u->raw = raw;
    snprintf(u->body, sizeof u->body, "%" SLICE_FMT, SLICE_ARG(body));
    if (raw) {
        bool named = false;
        for (size_t i = 0; i < n; i++)
            named |= slice_eq_str(h[i].name, "upgrade") && slice_eq_str(h[i].value, "echo");
        assert_true(named);
        conn_handle(raw, &up_handler, u);
    }
}

static bool up_done(void *ctx)
{
    return ((struct upgraded *)ctx)->done;
}

static bool up_has_it(void *ctx)
{
    struct upgraded *u = ctx;
    return u->in.n >= 9;
}

static bool up_all(void *ctx)
{
    return ((struct upgraded *)ctx)->in.n == 9 + 3000000;
}

static void start_upgrade(struct upgraded *u, struct http_client *client, const char *path)
{
    const struct http_header h[] = {{SLICE("connection"), SLICE("Upgrade")}, {SLICE("upgrade"), SLICE("echo")}};
    const struct http_call_options o = {.method = "GET", .path = path, .headers = h, .n_headers = 2};
    memset(u, 0, sizeof *u);
    buf_init(&u->in, 16 << 20);
    http_client_upgrade(client, &o, on_upgraded, u);
}

static void upgrade(struct net_env *e)
{
    struct http_client *client = net_client(e);
    struct upgraded u;
    start_upgrade(&u, client, "/up");
    net_run(e, up_done, &u);
    assert_int_equal(u.err, 0);
    assert_int_equal(u.code, 101);
    assert_non_null(u.raw);
    struct chunk c = chunk_take(blob_copy(SLICE("over here")));
    assert_int_equal(conn_write(u.raw, &c, 1), 0);
    net_run(e, up_has_it, &u);
    assert_slice(buf_slice(&u.in), "over here");
    struct blob *large = blob_new(3000000);
    memset(large->bytes, 'x', large->n);
    c = chunk_take(large);
    assert_int_equal(conn_write(u.raw, &c, 1), 0);
    net_run(e, up_all, &u);
    conn_close(u.raw);
    buf_done(&u.in);
    start_upgrade(&u, client, "/who"); /* refused */
    net_run(e, up_done, &u);
    assert_int_equal(u.err, 0);
    assert_int_equal(u.code, 200);
    assert_null(u.raw);
    assert_string_equal(u.body, "nobody/0/1");
    net_run_ms(e, 20);
    buf_done(&u.in);
    http_client_free(client);
}
EACH_MODE(upgrade)

/* ---- splice: client → proxy → echo server ---- */

struct proxy {
    struct net_env *e;
    struct stream *in;
    bool done;
};

static void proxy_connected(void *ctx, int err, struct stream *s)
{
    struct proxy *p = ctx;
    assert_int_equal(err, 0);
    void (*no_done)(void *) = NULL;
    conn_splice(p->e->l, conn_plain(p->in), conn_plain(s), no_done, NULL);
    p->done = true;
}

static void proxy_accept(void *ctx, struct stream *s)
{
    struct proxy *p = ctx;
    p->in = s;
    loop_connect(p->e->l, p->e->addr, proxy_connected, p);
}

static void test_splice(void **state)
{
    (void)state;
    struct net_env e;
    net_setup(&e);
    net_serve(&e, (struct net_mode){.tls = false}, NULL);
    struct proxy p = {.e = &e};
    struct listener *ls;
    char addr[64];
    assert_int_equal(loop_listen(e.l, "127.0.0.1:0", proxy_accept, &p, &ls), 0);
    snprintf(addr, sizeof addr, "127.0.0.1:%u", listener_port(ls));
    const struct http_client_options o = {.addr = addr};
    struct http_client *client = http_client_new(e.l, &o);
    struct net_call c = {.drop = true};
    net_get(&c, client, "/big?20000000");
    net_run(&e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.bytes, 20000000);
    net_call_done(&c);
    http_client_free(client);
    net_run(&e, no_connections, &e); /* the end goes through */
    net_run_ms(&e, 20);
    listener_close(ls);
    net_teardown(&e);
}

/* ---- what fails before a request ---- */

static void test_refused(void **state)
{
    (void)state;
    struct net_env e;
    net_setup(&e);
    snprintf(e.addr, sizeof e.addr, "127.0.0.1:1");
    struct http_client *client = net_client(&e);
    struct net_call c = {0};
    net_get(&c, client, "/who");
    net_run(&e, net_is_done, &c);
    assert_int_equal(c.err, -ECONNREFUSED);
    assert_false(c.sent);
    net_call_done(&c);
    http_client_free(client);
    net_teardown(&e);
}

static void never(void *ctx, struct stream *s)
{
    *(struct stream **)ctx = s; /* accepted, but nobody speaks TLS */
}

static void test_connect_timeout(void **state)
{
    (void)state;
    struct net_env e;
    struct stream *s = NULL;
    struct listener *ls;
    net_setup(&e);
    net_serve(&e, (struct net_mode){.tls = true, .h2 = true}, NULL);
    assert_int_equal(loop_listen(e.l, "127.0.0.1:0", never, &s, &ls), 0);
    snprintf(e.addr, sizeof e.addr, "127.0.0.1:%u", listener_port(ls));
    const struct http_client_options o = {.addr = e.addr, .tls = e.client_tls, .connect_ms = 80};
    struct http_client *client = http_client_new(e.l, &o);
    struct net_call c = {0};
    net_get(&c, client, "/who");
    net_run(&e, net_is_done, &c);
    assert_int_equal(c.err, -ETIMEDOUT);
    assert_false(c.sent);
    net_call_done(&c);
    http_client_free(client);
    stream_close(s);
    listener_close(ls);
    net_teardown(&e);
}

/* ---- TLS identities ---- */

static void get_as(struct net_env *e, const struct tls_options *o, const char *name, const char *subject,
                   struct net_call *c)
{
    struct tls_context *t;
    char why[256];
    assert_int_equal(tls_context_new(o, &t, why), 0);
    const struct http_client_options co = {.addr = e->addr, .tls = t, .tls_name = name, .tls_subject = subject};
    struct http_client *client = http_client_new(e->l, &co);
    net_get(c, client, "/who");
    net_run(e, net_is_done, c);
    http_client_free(client);
    tls_context_free(t);
}

static void get_with(struct net_env *e, const struct tls_options *o, const char *name, struct net_call *c)
{
    get_as(e, o, name, NULL, c);
}

static void test_tls_identities(void **state)
{
    (void)state;
    struct net_env e;
    struct net_call c = {0};
    net_setup(&e);
    net_serve(&e, (struct net_mode){.tls = true, .h2 = true}, NULL);
    struct tls_options o = {.ca_file = net_file(&e, "ca.crt")};
    get_with(&e, &o, NULL, &c);
    assert_slice(buf_slice(&c.body), "nobody/0/1");
    net_call_done(&c);
    o.cert_file = net_file(&e, "client.crt");
    o.key_file = net_file(&e, "client.key");
    o.h2 = true;
    get_with(&e, &o, "localhost", &c);
    assert_slice(buf_slice(&c.body), "tester/2/2");
    net_call_done(&c);
    get_with(&e, &o, "elsewhere", &c); /* the server's certificate does not carry this name */
    assert_int_equal(c.err, -EKEYREJECTED);
    assert_false(c.sent);
    net_call_done(&c);
    get_as(&e, &o, "elsewhere", "server", &c); /* who it is counts, not where */
    assert_slice(buf_slice(&c.body), "tester/2/2");
    net_call_done(&c);
    get_as(&e, &o, "localhost", "system:node:n", &c);
    assert_int_equal(c.err, -EKEYREJECTED);
    assert_false(c.sent);
    net_call_done(&c);
    o.cert_file = net_file(&e, "other.crt"); /* of a CA that the server does not know */
    o.key_file = net_file(&e, "other.key");
    get_with(&e, &o, NULL, &c);
    assert_int_equal(c.err, -EKEYREJECTED);
    net_call_done(&c);
    o.cert_file = NULL;
    o.ca_file = net_file(&e, "other.crt"); /* does not sign the server's */
    get_with(&e, &o, NULL, &c);
    assert_int_equal(c.err, -EKEYREJECTED);
    net_call_done(&c);
    assert_int_equal(e.requests, 3);
    net_teardown(&e);
}

static void test_tls_reload(void **state)
{
    (void)state;
    struct net_env e;
    struct net_call c = {0};
    char why[256] = "";
    net_setup(&e);
    net_serve(&e, (struct net_mode){.tls = true}, NULL);
    net_make_certs(&e); /* a new CA and all */
    struct tls_options o = {.ca_file = net_file(&e, "ca.crt")};
    get_with(&e, &o, NULL, &c);
    assert_int_equal(c.err, -EKEYREJECTED);
    net_call_done(&c);
    assert_int_equal(tls_context_reload(e.server_tls, why), 0);
    get_with(&e, &o, NULL, &c);
    assert_int_equal(c.err, 0);
    net_call_done(&c);
    char command[256];
    snprintf(command, sizeof command, "echo broken > %s/server.key", e.dir);
    assert_int_equal(system(command), 0);
    assert_true(tls_context_reload(e.server_tls, why) < 0);
    assert_non_null(strstr(why, "server.key"));
    get_with(&e, &o, NULL, &c);
    assert_int_equal(c.err, 0);
    net_call_done(&c);
    net_teardown(&e);
}

static void test_tls_bad_files(void **state)
{
    (void)state;
    struct net_env e;
    struct tls_context *t = NULL;
    char why[256] = "";
    net_setup(&e);
    net_make_certs(&e);
    struct tls_options o = {.cert_file = net_file(&e, "absent.crt"), .key_file = net_file(&e, "server.key")};
    assert_true(tls_context_new(&o, &t, why) < 0);
    assert_non_null(strstr(why, "absent.crt"));
    o.cert_file = net_file(&e, "client.crt");
    assert_true(tls_context_new(&o, &t, why) < 0);
    assert_non_null(strstr(why, "server.key")); /* belongs to another certificate */
    o = (struct tls_options){.ca_file = net_file(&e, "server.key")};
    assert_true(tls_context_new(&o, &t, why) < 0);
    assert_null(t);
    net_teardown(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_large_request),
        cmocka_unit_test(test_large_answer),
        cmocka_unit_test(test_paused_end),
        cmocka_unit_test(test_client_abort),
        cmocka_unit_test(test_server_free_with_open_exchange),
        cmocka_unit_test(test_server_abort),
        cmocka_unit_test(test_call_timeout),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_grace),
        cmocka_unit_test(test_long_life),
        cmocka_unit_test(test_paused_then_next),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_unclean),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_splice),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_tls_identities),
        cmocka_unit_test(test_tls_reload),
        cmocka_unit_test(test_tls_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

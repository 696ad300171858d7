/* HTTP in the simulated world: latency, cut links, killed hosts; the same seed gives the same run. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "loop/sim.h"
#include "net/http.h"

struct world {
    struct sim *sim;
    struct loop *a, *b; /* server, client */
    struct http_server *server;
    struct http_client *client;
    unsigned requests, aborts;
    unsigned done, failed;
    size_t bytes;
};

static void fill(struct http_exchange *x)
{
    while (http_reply_queued(x) < STREAM_HIGH_WATER) {
        struct blob *b = blob_new(10000);
        memset(b->bytes, 'b', b->n);
        struct chunk c = chunk_take(b);
        http_reply_write(x, &c, 1);
    }
}

static void on_abort(struct http_exchange *x)
{
    ((struct world *)http_ctx(x))->aborts++;
    http_abort(x);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    ((struct world *)ctx)->requests++;
    if (slice_eq_str(http_request(x)->path, "/endless")) {
        http_set_ctx(x, ctx, on_abort);
        http_on_drain(x, fill);
        http_reply_start(x, 200, NULL, 0);
        fill(x);
        return;
    }
    struct chunk c = chunk_static(SLICE("hello"));
    http_reply(x, 200, NULL, 0, &c, 1);
}

static void on_data(void *ctx, struct slice data)
{
    ((struct world *)ctx)->bytes += data.n;
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct world *w = ctx;
    (void)trailers;
    (void)n;
    (void)sent;
    w->done++;
    w->failed += err != 0 || code != 200;
}

static void serve(struct world *w)
{
    const struct http_server_options o = {.listen = "a:80", .on_request = on_request, .ctx = w};
    assert_int_equal(http_server_new(w->a, &o, &w->server), 0);
}

static void start(struct world *w, uint64_t seed, bool h2)
{
    *w = (struct world){.sim = sim_new(seed)};
    w->a = sim_host(w->sim, "a");
    w->b = sim_host(w->sim, "b");
    serve(w);
    const struct http_client_options o = {.addr = "a:80", .h2 = h2};
    w->client = http_client_new(w->b, &o);
}

static void finish(struct world *w)
{
    http_client_free(w->client);
    http_server_free(w->server);
    sim_free(w->sim);
}

static void ask(struct world *w, const char *method, const char *path)
{
    const struct http_call_options o = {
        .method = method, .path = path, .on_data = on_data, .on_done = on_done, .ctx = w};
    http_call(w->client, &o);
}

static void get(struct world *w, const char *path)
{
    ask(w, "GET", path);
}

static uint64_t run_once(uint64_t seed, bool h2)
{
    struct world w;
    start(&w, seed, h2);
    for (unsigned i = 0; i < 50; i++)
        get(&w, "/hello");
    sim_run_ms(w.sim, 1000);
    assert_int_equal(w.done, 50);
    assert_int_equal(w.failed, 0);
    assert_int_equal(w.bytes, 250);
    uint64_t hash = sim_trace_hash(w.sim);
    finish(&w);
    return hash;
}

static void test_same_seed_same_run(void **state)
{
    (void)state;
    for (unsigned h2 = 0; h2 < 2; h2++) {
        assert_int_equal(run_once(7, h2), run_once(7, h2));
        assert_int_not_equal(run_once(7, h2), run_once(8, h2));
    }
}

static void test_cut_link(void **state)
{
    (void)state;
    for (unsigned h2 = 0; h2 < 2; h2++) {
        struct world w;
        start(&w, 3, h2);
        get(&w, "/endless");
        sim_run_ms(w.sim, 100);
        assert_true(w.bytes > 100000);
        sim_cut(w.sim, w.a, w.b, true);
        sim_cut(w.sim, w.b, w.a, true);
        sim_run_ms(w.sim, 10000);
        assert_int_equal(w.done, 1);
        assert_int_equal(w.failed, 1);
        assert_int_equal(w.aborts, 1);
        sim_cut(w.sim, w.a, w.b, false);
        sim_cut(w.sim, w.b, w.a, false);
        get(&w, "/hello");
        sim_run_ms(w.sim, 1000);
        assert_int_equal(w.done, 2);
        assert_int_equal(w.failed, 1);
        finish(&w);
    }
}

/* A peer that is cut off is given up after twice the quiet time, before the stream itself breaks. */
static void test_silent_peer(void **state)
{
    (void)state;
    for (unsigned asked = 0; asked < 2; asked++) {
        struct world w;
        start(&w, 4, true);
        http_client_free(w.client);
        w.client = http_client_new(
            w.b, &(struct http_client_options){.addr = "a:80", .h2 = true, .quiet_ms = asked ? 300 : 0});
        get(&w, "/hello");
        sim_run_ms(w.sim, 100);
        assert_int_equal(w.done, 1);
        sim_cut(w.sim, w.a, w.b, true);
        ask(&w, "POST", "/hello"); /* which is not repeated */
        sim_run_ms(w.sim, 700);
        assert_int_equal(w.done, 1 + asked);
        assert_int_equal(w.failed, asked);
        sim_cut(w.sim, w.a, w.b, false);
        get(&w, "/hello");
        sim_run_ms(w.sim, 100);
        assert_int_equal(w.done, 3);
        assert_int_equal(w.failed, asked);
        finish(&w);
    }
}

static void test_killed_server(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct world w;
        start(&w, 5, i & 1);
        get(&w, "/endless");
        sim_run_ms(w.sim, 50);
        sim_kill(w.sim, w.a, i & 2);
        http_server_free(w.server);
        assert_int_equal(w.aborts, 1);
        sim_run_ms(w.sim, 60000); /* also for silence to be noticed */
        assert_int_equal(w.done, 1);
        assert_int_equal(w.failed, 1);
        sim_start(w.sim, w.a);
        serve(&w);
        get(&w, "/hello");
        sim_run_ms(w.sim, 1000);
        assert_int_equal(w.done, 2);
        assert_int_equal(w.failed, 1);
        finish(&w);
    }
}

/* ---- damaged bytes, both ways: whatever comes, the next peer is served ---- */

enum { ROUNDS = 1500 };

static const char h1_requests[] =
    "POST /hello?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
    "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    "PUT /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3;x=y\r\nabc\r\n0\r\nt: 1\r\n\r\n";
static const char h2_requests[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
                                  "\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01\x61"
                                  "\0\0\x06\x01\x04\0\0\0\x03\x83\x84\x86\x41\x01\x61"
                                  "\0\0\x05\0\x01\0\0\0\x03hello"
                                  "\0\0\x08\x06\0\0\0\0\0\1\2\3\4\5\6\7\x08"
                                  "\0\0\x04\x08\0\0\0\0\0\0\0\xff\xff"
                                  "\0\0\x03\x01\x01\0\0\0\x05\x82\x84\x86\0\0\x03\x09\x04\0\0\0\x05\x41\x01\x61"
                                  "\0\0\x04\x03\0\0\0\0\x05\0\0\0\x08"
                                  "\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const char h1_answers[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nx:\r\n\r\nhello"
                                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
static const char h2_answers[] = "\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0"
                                 "\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x05\0\0\0\0\0\x01hello"
                                 "\0\0\x01\x01\x05\0\0\0\x01\x88"
                                 "\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";

struct damaged {
    struct sim *sim;
    const char *bytes;
    size_t n;
    struct stream *stream;
};

static void ignore_data(void *ctx, const char *p, size_t n)
{
    (void)ctx;
    (void)p;
    (void)n;
}

static void ignore_end(void *ctx, int err)
{
    (void)ctx;
    (void)err;
}

static const struct stream_handler ignore = {ignore_data, ignore_end, NULL};

/* Sends the bytes with up to four of them changed, cut short or doubled, in two pieces. */
static void send_damaged(struct damaged *d)
{
    char copy[1024];
    size_t n = d->n;
    memcpy(copy, d->bytes, n);
    for (uint64_t i = sim_random(d->sim, 5); i > 0; i--)
        copy[sim_random(d->sim, n)] = (char)sim_random(d->sim, 256);
    if (sim_random(d->sim, 4) == 0)
        n = sim_random(d->sim, n);
    size_t cut = n ? sim_random(d->sim, n) : 0;
    struct chunk c[2] = {chunk_take(blob_copy(slice_of(copy, cut))),
                         chunk_take(blob_copy(slice_of(copy + cut, n - cut)))};
    stream_write(d->stream, c, 1);
    stream_write(d->stream, c + 1, 1);
}

static void damaged_connected(void *ctx, int err, struct stream *s)
{
    struct damaged *d = ctx;
    assert_int_equal(err, 0);
    d->stream = s;
    stream_handle(s, &ignore, NULL);
    send_damaged(d);
}

static void test_damaged_requests(void **state)
{
    (void)state;
    struct world w;
    start(&w, 11, false);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct damaged d = {.sim = w.sim,
                            .bytes = i & 1 ? h2_requests : h1_requests,
                            .n = i & 1 ? sizeof h2_requests - 1 : sizeof h1_requests - 1};
        loop_connect(w.b, "a:80", damaged_connected, &d);
        sim_run_ms(w.sim, 5);
        assert_non_null(d.stream);
        if (i & 4)
            stream_shutdown(d.stream);
        sim_run_ms(w.sim, 5);
        stream_close(d.stream);
    }
    sim_run_ms(w.sim, 60000);
    assert_in_range(w.requests, ROUNDS / 4, ROUNDS * 4); /* some of them were whole */
    get(&w, "/hello");
    sim_run_ms(w.sim, 1000);
    assert_int_equal(w.failed, 0);
    assert_int_equal(w.done, 1);
    finish(&w);
}

static void damaged_accept(void *ctx, struct stream *s)
{
    struct damaged *d = ctx;
    stream_close(d->stream);
    d->stream = s;
    stream_handle(s, &ignore, NULL);
    send_damaged(d);
}

/* Every call ends, whatever the server says or leaves out. */
static void test_damaged_answers(void **state)
{
    (void)state;
    struct world w = {.sim = sim_new(13)};
    w.a = sim_host(w.sim, "a");
    w.b = sim_host(w.sim, "b");
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct listener *ls;
        struct damaged d = {.sim = w.sim,
                            .bytes = i & 1 ? h2_answers : h1_answers,
                            .n = i & 1 ? sizeof h2_answers - 1 : sizeof h1_answers - 1};
        const struct http_client_options o = {.addr = "a:80", .h2 = i & 1};
        assert_int_equal(loop_listen(w.a, "a:80", damaged_accept, &d, &ls), 0);
        w.client = http_client_new(w.b, &o);
        get(&w, "/x");
        get(&w, "/y");
        sim_run_ms(w.sim, 10);
        stream_close(d.stream);
        d.stream = NULL;
        sim_run_ms(w.sim, 10);
        listener_close(ls);
        http_client_free(w.client);
        stream_close(d.stream);
        assert_int_equal(w.done, 2 * (i + 1));
    }
    sim_free(w.sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_run), cmocka_unit_test(test_cut_link),
        cmocka_unit_test(test_silent_peer),        cmocka_unit_test(test_killed_server),
        cmocka_unit_test(test_damaged_requests),   cmocka_unit_test(test_damaged_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
    unsigned aborts;
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

static void get(struct world *w, const char *path)
{
    const struct http_call_options o = {
        .method = "GET", .path = path, .on_data = on_data, .on_done = on_done, .ctx = w};
    http_call(w->client, &o);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_cut_link),
        cmocka_unit_test(test_killed_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

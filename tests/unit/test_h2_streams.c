/* Many streams on one HTTP/2 connection, in the simulator: that none starves, none holds up the others, and none costs
 * more memory than its queue. Fairness is a ratio of bytes, so that no clock decides. */
#include "unit.h"

#include <stdio.h>

#include "loop/sim.h"
#include "net/http.h"

enum { STREAMS = HTTP_STREAMS_MAX, QUEUE = STREAM_LOW_WATER, PIECE = 8 << 10 };

struct world;

struct stream_test {
    struct world *w;
    struct http_call *call;
    struct http_exchange *x;
    size_t bytes, written; /* got by the client; given to the server */
    bool done, aborted;
};

struct world {
    struct sim *sim;
    struct loop *a, *b; /* server, client */
    struct http_server *server;
    struct http_client *client;
    struct stream_test s[STREAMS + 1];
    unsigned open, most_open;
};

static void fill(struct http_exchange *x)
{
    struct stream_test *t = http_ctx(x);
    while (http_reply_queued(x) < QUEUE) {
        static const char piece[PIECE];
        struct chunk c = chunk_static(slice_of(piece, PIECE));
        http_reply_write(x, &c, 1);
        t->written += PIECE;
    }
}

static void on_abort(struct http_exchange *x)
{
    struct stream_test *t = http_ctx(x);
    t->aborted = true;
    t->x = NULL;
    t->w->open--;
    http_abort(x);
}

/* /N is endless, /quiet/N says what the test gives it. */
static void on_request(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    struct slice path = http_request(x)->path;
    bool quiet = slice_starts(path, SLICE("/quiet"));
    uint64_t n = 0;
    assert_true(slice_to_u64(slice_from(path, quiet ? 7 : 1), &n));
    w->s[n].x = x;
    w->open++;
    w->most_open = w->open > w->most_open ? w->open : w->most_open;
    http_set_ctx(x, &w->s[n], on_abort);
    http_reply_start(x, 200, NULL, 0);
    if (quiet)
        return;
    http_on_drain(x, fill);
    fill(x);
}

static void on_data(void *ctx, struct slice data)
{
    ((struct stream_test *)ctx)->bytes += data.n;
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    (void)err, (void)code, (void)trailers, (void)n, (void)sent;
    ((struct stream_test *)ctx)->done = true;
}

static void start(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->sim = sim_new(11);
    w->a = sim_host(w->sim, "a");
    w->b = sim_host(w->sim, "b");
    const struct http_server_options o = {.listen = "a:80", .on_request = on_request, .ctx = w};
    assert_int_equal(http_server_new(w->a, &o, &w->server), 0);
    w->client = http_client_new(w->b, &(struct http_client_options){.addr = "a:80", .h2 = true});
}

static void finish(struct world *w)
{
    http_client_free(w->client);
    http_server_free(w->server);
    sim_free(w->sim);
}

static void ask(struct world *w, size_t i, const char *kind)
{
    char path[32];
    snprintf(path, sizeof path, "%s%zu", kind, i);
    w->s[i].w = w;
    w->s[i].call = http_call(
        w->client, &(struct http_call_options){
                       .method = "GET", .path = path, .on_data = on_data, .on_done = on_done, .ctx = &w->s[i]});
}

static size_t total(const struct world *w)
{
    size_t n = 0;
    for (size_t i = 0; i < STREAMS; i++)
        n += w->s[i].bytes;
    return n;
}

static void run_until_total(struct world *w, size_t bytes)
{
    while (total(w) < bytes)
        sim_run_ms(w->sim, 1);
}

/* A thousand streams that could all send for ever: each gets nearly the same. */
static void test_fair(void **state)
{
    static struct world w;
    (void)state;
    start(&w);
    for (size_t i = 0; i < STREAMS; i++)
        ask(&w, i, "/");
    run_until_total(&w, (size_t)STREAMS * (64 << 10)); /* all have begun */
    size_t before[STREAMS], least = SIZE_MAX, most = 0, from = total(&w);
    for (size_t i = 0; i < STREAMS; i++)
        before[i] = w.s[i].bytes;
    run_until_total(&w, from + (size_t)STREAMS * (160 << 10));
    for (size_t i = 0; i < STREAMS; i++) {
        size_t got = w.s[i].bytes - before[i];
        least = got < least ? got : least;
        most = got > most ? got : most;
    }
    print_message("of 160 KiB each, the least got %zu KiB and the most %zu\n", least >> 10, most >> 10);
    assert_true(least * 5 >= most * 4);
    assert_int_equal(http_server_connections(w.server), 1);
    finish(&w);
}

static void say(struct world *w, size_t i, size_t n)
{
    static char text[1 << 20];
    struct chunk c = chunk_take(blob_copy(slice_of(text, n)));
    http_reply_write(w->s[i].x, &c, 1);
    w->s[i].written += n;
}

/* Watchers beside lists that never end: what they have to say is there before each list has got a round more. */
static void test_small_beside_large(void **state)
{
    enum { LARGE = 20 };
    static struct world w;
    (void)state;
    start(&w);
    for (size_t i = 0; i < STREAMS; i++)
        ask(&w, i, i < LARGE ? "/" : "/quiet/");
    while (!w.s[STREAMS - 1].x || w.s[0].bytes < (1 << 20))
        sim_run_ms(w.sim, 1);
    for (unsigned round = 0; round < 4; round++) {
        size_t large = 0, late = 0;
        for (size_t i = LARGE; i < STREAMS; i++)
            say(&w, i, 100);
        size_t before = total(&w);
        for (bool all = false; !all;) {
            sim_run_ms(w.sim, 1);
            all = true;
            for (size_t i = LARGE; i < STREAMS; i++)
                all &= w.s[i].bytes == w.s[i].written;
            assert_true(++late < 10000);
        }
        for (size_t i = 0; i < LARGE; i++)
            large += w.s[i].bytes;
        /* What was in front of them: the connection's queue and a frame or two of each, not whole answers. */
        assert_true(total(&w) - before < 3 * STREAM_HIGH_WATER + LARGE * 4 * (16 << 10));
        assert_true(large > 0);
    }
    finish(&w);
}

/* Readers that stop: the others go on as if they were not there, and what waits for them stays small. */
static void test_stalled_reader(void **state)
{
    enum { ALL = 20, STALLED = 10 };
    static struct world w;
    (void)state;
    start(&w);
    for (size_t i = 0; i < ALL; i++)
        ask(&w, i, "/");
    while (!w.s[ALL - 1].bytes)
        sim_run_ms(w.sim, 1);
    for (size_t i = 0; i < STALLED; i++)
        http_call_pause(w.s[i].call, true);
    run_until_total(&w, total(&w) + (size_t)ALL * (2 << 20)); /* their windows are full by now */
    size_t before[ALL], from = total(&w);
    for (size_t i = 0; i < ALL; i++)
        before[i] = w.s[i].bytes;
    run_until_total(&w, from + (size_t)(ALL - STALLED) * (2 << 20));
    for (size_t i = 0; i < ALL; i++) {
        assert_int_equal(w.s[i].bytes > before[i], i >= STALLED);
        assert_true(http_reply_queued(w.s[i].x) < QUEUE + PIECE);
    }
    for (size_t i = 0; i < STALLED / 2; i++)
        http_call_pause(w.s[i].call, false);
    run_until_total(&w, total(&w) + (size_t)ALL * (1 << 20));
    for (size_t i = 0; i < STALLED / 2; i++)
        assert_true(w.s[i].bytes > before[i]);
    /* Those that stay shut are given up after a minute, and only those. */
    ask(&w, ALL, "/quiet/");
    for (size_t i = 0; i < ALL; i++)
        if (i < STALLED / 2 || i >= STALLED)
            http_call_cancel(w.s[i].call);
    sim_run_ms(w.sim, 45000);
    assert_int_equal(w.open, STALLED / 2 + 1);
    say(&w, ALL, 100);
    sim_run_ms(w.sim, 35000);
    assert_int_equal(w.open, 1);
    assert_false(w.s[ALL].aborted);
    assert_int_equal(w.s[ALL].bytes, 100);
    assert_int_equal(http_server_connections(w.server), 1);
    finish(&w);
}

/* A stream that waits for nothing but news is not stalled, however long. */
static void test_quiet_is_not_stalled(void **state)
{
    static struct world w;
    (void)state;
    start(&w);
    ask(&w, 0, "/quiet/");
    ask(&w, 1, "/quiet/");
    sim_run_ms(w.sim, 600000);
    assert_non_null(w.s[0].x);
    say(&w, 0, 100);
    sim_run_ms(w.sim, 1000);
    assert_int_equal(w.s[0].bytes, 100);
    assert_false(w.s[0].aborted || w.s[1].aborted);
    finish(&w);
}

/* The client resets one of many: its handler hears of it, the others do not. */
static void test_cancel(void **state)
{
    static struct world w;
    (void)state;
    start(&w);
    for (size_t i = 0; i < STREAMS; i++)
        ask(&w, i, i % 2 ? "/quiet/" : "/");
    while (w.open < STREAMS)
        sim_run_ms(w.sim, 1);
    ask(&w, STREAMS, "/quiet/"); /* more than the server allows: it waits for room */
    sim_run_ms(w.sim, 50);
    assert_null(w.s[STREAMS].x);
    assert_int_equal(w.most_open, STREAMS);
    for (size_t i = 0; i < STREAMS; i += 10)
        http_call_cancel(w.s[i].call);
    sim_run_ms(w.sim, 200);
    for (size_t i = 0; i < STREAMS; i++)
        assert_int_equal(w.s[i].aborted, i % 10 == 0);
    assert_non_null(w.s[STREAMS].x);
    assert_int_equal(w.open, STREAMS - STREAMS / 10 + 1);
    assert_int_equal(http_server_connections(w.server), 1);
    finish(&w);
}

/* Draining: what is open goes on, what is new goes elsewhere, and the connection ends with the last stream. */
static void test_drain(void **state)
{
    static struct world w;
    (void)state;
    start(&w);
    for (size_t i = 0; i < 10; i++)
        ask(&w, i, "/quiet/");
    while (w.open < 10)
        sim_run_ms(w.sim, 1);
    http_server_drain(w.server, 60000);
    sim_run_ms(w.sim, 1000);
    ask(&w, 10, "/quiet/"); /* refused: nobody listens any more */
    sim_run_ms(w.sim, 1000);
    assert_null(w.s[10].x);
    for (size_t i = 0; i < 10; i++) {
        say(&w, i, 100);
        http_reply_end(w.s[i].x);
    }
    sim_run_ms(w.sim, 5000);
    for (size_t i = 0; i < 10; i++)
        assert_true(w.s[i].done && w.s[i].bytes == 100 && !w.s[i].aborted);
    assert_int_equal(http_server_connections(w.server), 0);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fair),           cmocka_unit_test(test_small_beside_large),
        cmocka_unit_test(test_stalled_reader), cmocka_unit_test(test_quiet_is_not_stalled),
        cmocka_unit_test(test_cancel),         cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

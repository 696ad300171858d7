/* The HTTP server against peers that speak bytes: limits, time limits, malformed and hostile input. */
#include "net_common.h"

#include <errno.h>
#include <stdio.h>

#include "net/h2_guard.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): mode is a list in braces */
#define RUN(e, mode, options)                                                                                          \
    net_setup(&(e));                                                                                                   \
    net_serve(&(e), (struct net_mode)mode, options)
/* NOLINTEND(bugprone-macro-parentheses) */

static void expect(struct net_raw *r, const char *text)
{
    r->expect = text;
    net_run(r->e, net_raw_has, r);
    if (!r->in.p || !strstr(r->in.p, text))
        fail_msg("expected \"%s\", got \"%s\"", text, r->in.p ? r->in.p : "");
}

static void send_str(struct net_raw *r, const char *text)
{
    net_raw_send(r, slice_str(text));
}

/* Sends one request and expects an answer that holds `want`, then the end of the connection. */
static void refused(struct net_env *e, struct slice request, const char *want)
{
    struct net_raw r;
    net_raw_open(&r, e);
    net_raw_send(&r, request);
    expect(&r, want);
    net_run(e, net_raw_ended, &r);
    net_raw_close(&r);
}

static void test_h1_answers(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    RUN(e, {0}, NULL);
    net_raw_open(&r, &e);
    send_str(&r, "\r\nPOST /ec");
    net_run_ms(&e, 5);
    send_str(&r, "ho HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nTransfer-Enc");
    net_run_ms(&e, 5);
    send_str(&r, "oding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\ntrailer: x\r\n\r\n");
    expect(&r, "\r\n\r\nabcde");
    assert_non_null(strstr(r.in.p, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(r.in.p, "content-length: 5\r\n"));
    assert_non_null(strstr(r.in.p, "\r\ndate: "));
    buf_clear(&r.in);
    send_str(&r, "GET http://a/pieces?2 HTTP/1.1\r\nHost: a\r\n\r\n"); /* absolute form */
    expect(&r, "0\r\n\r\n");
    assert_non_null(strstr(r.in.p, "transfer-encoding: chunked\r\n"));
    assert_non_null(strstr(r.in.p, "6\r\npiece\n\r\n"));
    buf_clear(&r.in);
    send_str(&r, "GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(&r, "nobody");
    net_run(&e, net_raw_ended, &r);
    assert_non_null(strstr(r.in.p, "connection: close\r\n"));
    net_raw_close(&r);
    net_teardown(&e);
}

static void test_h1_pipelining(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    RUN(e, {0}, NULL);
    net_raw_open(&r, &e);
    for (unsigned i = 0; i < 50; i++)
        send_str(&r, "GET /pieces?1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                     "\r\nhi");
    send_str(&r, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&r, "nothing here");
    assert_int_equal(e.requests, 101);
    unsigned answers = 0;
    for (const char *p = r.in.p; (p = strstr(p, "HTTP/1.1 ")); p++)
        answers++;
    assert_int_equal(answers, 101);
    net_raw_close(&r);
    net_teardown(&e);
}

static void test_h1_old_clients(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    RUN(e, {0}, NULL);
    net_raw_open(&r, &e);
    send_str(&r, "GET /pieces?2 HTTP/1.0\r\n\r\n");
    net_run(&e, net_raw_ended, &r);
    assert_non_null(strstr(r.in.p, "\r\n\r\npiece\npiece\n"));
    assert_null(strstr(r.in.p, "chunked"));
    net_raw_close(&r);
    net_teardown(&e);
}

static void test_h1_continue(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    RUN(e, {0}, NULL);
    net_raw_open(&r, &e);
    send_str(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    expect(&r, "HTTP/1.1 100 Continue\r\n\r\n");
    send_str(&r, "body");
    expect(&r, "\r\n\r\nbody");
    net_raw_close(&r);
    /* no invitation for a body that is too large anyway */
    refused(&e, SLICE("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"),
            "HTTP/1.1 413 ");
    assert_int_equal(e.requests, 1);
    net_teardown(&e);
}

static void test_h1_malformed(void **state)
{
    (void)state;
    struct net_env e;
    static const struct {
        const char *request, *want;
    } cases[] = {
        {"nonsense\r\n\r\n", " 400 "},
        {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", " 400 "},
        {"GET / HTTP/1.1\r\n\r\n", " 400 "},                       /* no Host */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", " 400 "}, /* two */
        {"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", " 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", " 400 "},
        {"GET relative HTTP/1.1\r\nHost: a\r\n\r\n", " 400 "},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", " 405 "},
        {"GET / HTTP/3.7\r\nHost: a\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0b"
         "chunked\r\n\r\n0\r\n\r\n",
         " 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n", " 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", " 400 "},
        {"GET / HTTP/1.1\nHost: a\n\n", " 400 "},
        {"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", " 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\na", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", " 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", " 415 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", " 400 "},
    };
    RUN(e, {0}, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool keeps = strstr(cases[i].request, "Encoding: br") || strstr(cases[i].request, "gzip");
        if (!keeps) {
            refused(&e, slice_str(cases[i].request), cases[i].want);
            continue;
        }
        struct net_raw r;
        net_raw_open(&r, &e);
        send_str(&r, cases[i].request);
        expect(&r, cases[i].want);
        net_raw_close(&r);
    }
    assert_int_equal(e.requests, 0);
    net_teardown(&e);
}

static void test_h1_head_limits(void **state)
{
    (void)state;
    struct net_env e;
    struct buf b = BUF_INIT(1 << 20);
    RUN(e, {0}, NULL);
    buf_add_str(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    for (unsigned i = 0; i < HTTP_HEAD_MAX; i++)
        buf_add_char(&b, 'x');
    refused(&e, buf_slice(&b), " 431 ");
    buf_clear(&b);
    buf_add_str(&b, "GET /");
    for (unsigned i = 0; i < HTTP_HEAD_MAX + 1; i++)
        buf_add_char(&b, 'x');
    refused(&e, buf_slice(&b), " 431 ");
    buf_clear(&b);
    buf_add_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++)
        buf_printf(&b, "x%u: 1\r\n", i);
    buf_add_str(&b, "\r\n");
    refused(&e, buf_slice(&b), " 431 ");
    buf_done(&b);
    assert_int_equal(e.requests, 0);
    net_teardown(&e);
}

static void test_h1_gzip(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    /* "hello\n" as gzip makes it */
    static const char zipped[] =
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36"
        "\x06\x00\x00\x00";
    RUN(e, {0}, NULL);
    net_raw_open(&r, &e);
    send_str(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 26\r\n\r\n");
    net_raw_send(&r, slice_of(zipped, sizeof zipped - 1));
    expect(&r, "\r\n\r\nhello\n");
    net_raw_close(&r);
    net_teardown(&e);
}

static void test_time_limits(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    const struct http_server_options o = {.head_ms = 60, .idle_ms = 60};
    RUN(e, {0}, &o);
    net_raw_open(&r, &e); /* says nothing */
    net_run(&e, net_raw_ended, &r);
    net_raw_close(&r);
    net_raw_open(&r, &e); /* never finishes its head */
    send_str(&r, "GET / HTTP/1.1\r\nHo");
    net_run(&e, net_raw_ended, &r);
    net_raw_close(&r);
    net_raw_open(&r, &e); /* never finishes its body */
    send_str(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    expect(&r, " 408 ");
    net_run(&e, net_raw_ended, &r);
    net_raw_close(&r);
    net_raw_open(&r, &e); /* idle after an answer */
    send_str(&r, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&r, "nobody");
    net_run(&e, net_raw_ended, &r);
    net_raw_close(&r);
    net_raw_open(&r, &e); /* an answer under way is no idleness */
    send_str(&r, "GET /pieces?40 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&r, "0\r\n\r\n");
    net_raw_close(&r);
    net_teardown(&e);
}

static bool aborted(void *ctx)
{
    return ((struct net_env *)ctx)->aborts > 0;
}

static void test_h1_client_gone(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    RUN(e, {0}, NULL);
    net_raw_open(&r, &e);
    send_str(&r, "GET /big?900000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&r, "bbb");
    net_raw_close(&r);
    net_run(&e, aborted, &e);
    net_teardown(&e);
}

/* A writer whose own limit is below the high watermark hears of the drain all the same. */
struct modest {
    struct http_exchange *x;
    size_t left, most;
    unsigned drains;
};

static void modest_fill(struct http_exchange *x)
{
    struct modest *m = http_ctx(x);
    m->drains++;
    while (m->left > 0 && http_reply_queued(x) < STREAM_LOW_WATER) {
        struct blob *b = blob_new(8192);
        memset(b->bytes, 'm', b->n);
        struct chunk c = chunk_take(b);
        http_reply_write(x, &c, 1);
        m->left -= 8192;
    }
    if (m->left == 0)
        http_reply_end(x);
}

static void modest_request(void *ctx, struct http_exchange *x)
{
    http_set_ctx(x, ctx, NULL);
    http_on_drain(x, modest_fill);
    http_reply_start(x, 200, NULL, 0);
    modest_fill(x);
}

static void modest_writer(bool h2)
{
    struct net_env e;
    struct net_call c = {.drop = true};
    struct modest m = {.left = 8192 * 9000};
    const struct http_server_options o = {.listen = "127.0.0.1:0", .on_request = modest_request, .ctx = &m};
    net_setup(&e);
    assert_int_equal(http_server_new(e.l, &o, &e.server), 0);
    snprintf(e.addr, sizeof e.addr, "127.0.0.1:%u", http_server_port(e.server));
    e.mode.h2 = h2;
    struct http_client *client = net_client(&e);
    net_get(&c, client, "/");
    for (unsigned i = 0; i < 10; i++) { /* a reader that stops now and then */
        net_run_ms(&e, 2);
        if (c.done)
            break;
        http_call_pause(c.call, true);
        net_run_ms(&e, 30);
        http_call_pause(c.call, false);
    }
    net_run(&e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.bytes, 8192 * 9000);
    assert_true(m.drains > 3);
    net_call_done(&c);
    http_client_free(client);
    net_teardown(&e);
}

static void test_modest_writer(void **state)
{
    (void)state;
    modest_writer(false);
    modest_writer(true);
}

/* ---- HTTP/2 ---- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

static void frame(struct buf *b, unsigned type, unsigned flags, uint32_t stream, struct slice payload)
{
    const unsigned char head[9] = {(unsigned char)(payload.n >> 16),
                                   (unsigned char)(payload.n >> 8),
                                   (unsigned char)payload.n,
                                   (unsigned char)type,
                                   (unsigned char)flags,
                                   (unsigned char)(stream >> 24),
                                   (unsigned char)(stream >> 16),
                                   (unsigned char)(stream >> 8),
                                   (unsigned char)stream};
    buf_add(b, head, sizeof head);
    buf_add_slice(b, payload);
}

/* GET / with authority "a" in HPACK: indexed fields and one literal. */
static struct slice get_root(void)
{
    return SLICE("\x82\x84\x86\x41\x01\x61");
}

static void h2_open(struct net_raw *r, struct net_env *e)
{
    net_raw_open(r, e);
    net_raw_send(r, slice_of(preface, sizeof preface - 1));
}

static bool h2_has_goaway(const struct net_raw *r, unsigned char code)
{
    for (size_t at = 0; at + 17 <= r->in.n;) {
        const unsigned char *p = (const unsigned char *)r->in.p + at;
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        if (p[3] == 7 && at + 9 + n <= r->in.n)
            return p[16] == code;
        at += 9 + n;
    }
    return false;
}

/* Sends a flood and expects the connection to end in good order with ENHANCE_YOUR_CALM. */
static void calmed(struct net_env *e, const struct buf *flood)
{
    struct net_raw r;
    h2_open(&r, e);
    net_raw_send(&r, buf_slice(flood));
    net_run(e, net_raw_ended, &r);
    assert_true(h2_has_goaway(&r, 0x0b));
    net_raw_close(&r);
}

static void test_h2_floods(void **state)
{
    (void)state;
    struct net_env e;
    struct buf b = BUF_INIT(4 << 20);
    RUN(e, {0}, NULL);
    for (uint32_t i = 0; i < 5000; i++) { /* rapid reset */
        frame(&b, 1, 4 | 1, i * 2 + 1, get_root());
        frame(&b, 3, 0, i * 2 + 1, SLICE("\0\0\0\x08"));
    }
    calmed(&e, &b);
    assert_int_equal(e.requests, 0); /* none was given to the handler */
    buf_clear(&b);
    for (unsigned i = 0; i < 3000; i++)
        frame(&b, 6, 0, 0, SLICE("12345678"));
    calmed(&e, &b);
    buf_clear(&b);
    for (unsigned i = 0; i < 3000; i++)
        frame(&b, 4, 0, 0, SLICE(""));
    calmed(&e, &b);
    buf_clear(&b);
    frame(&b, 1, 1, 1, SLICE(""));
    for (unsigned i = 0; i < 100; i++)
        frame(&b, 9, 0, 1, SLICE("\x82"));
    calmed(&e, &b);
    buf_clear(&b);
    frame(&b, 1, 4, 1, get_root());
    for (unsigned i = 0; i < 3000; i++)
        frame(&b, 0, 0, 1, SLICE(""));
    calmed(&e, &b);
    buf_clear(&b);
    for (uint32_t i = 0; i < 5000; i++) { /* faults that make us reset */
        frame(&b, 1, 4, i * 2 + 1, get_root());
        frame(&b, 8, 0, i * 2 + 1, SLICE("\x7f\xff\xff\xff"));
    }
    calmed(&e, &b);
    buf_done(&b);
    net_run_ms(&e, 10);
    net_teardown(&e);
}

static void test_h2_malformed(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    struct buf b = BUF_INIT(1 << 20);
    RUN(e, {0}, NULL);
    frame(&b, 1, 4 | 1, 2, get_root()); /* an even stream number */
    h2_open(&r, &e);
    net_raw_send(&r, buf_slice(&b));
    net_run(&e, net_raw_ended, &r);
    assert_true(h2_has_goaway(&r, 1));
    net_raw_close(&r);
    buf_clear(&b);
    frame(&b, 1, 4 | 1, 1, SLICE("\xff\xff\xff\xff\xff\xff\xff")); /* no HPACK */
    h2_open(&r, &e);
    net_raw_send(&r, buf_slice(&b));
    net_run(&e, net_raw_ended, &r);
    assert_true(h2_has_goaway(&r, 9));
    net_raw_close(&r);
    buf_clear(&b);
    for (unsigned i = 0; i < 20000; i++)
        buf_add_char(&b, 'x');
    struct buf large = BUF_INIT(1 << 20);
    frame(&large, 0, 0, 1, buf_slice(&b)); /* larger than SETTINGS_MAX_FRAME_SIZE */
    h2_open(&r, &e);
    net_raw_send(&r, buf_slice(&large));
    net_run(&e, net_raw_ended, &r);
    net_raw_close(&r);
    net_raw_open(&r, &e);
    net_raw_send(&r, slice_of(preface, 24)); /* the preface without SETTINGS after it */
    buf_clear(&b);
    frame(&b, 6, 0, 0, SLICE("12345678"));
    net_raw_send(&r, buf_slice(&b));
    net_run(&e, net_raw_ended, &r);
    net_raw_close(&r);
    buf_done(&b);
    buf_done(&large);
    assert_int_equal(e.requests, 0);
    net_teardown(&e);
}

/* Headers over the limit get an answer (431) on their stream; the connection goes on. */
static void test_h2_head_limit(void **state)
{
    (void)state;
    struct net_env e;
    RUN(e, {.h2 = true}, NULL);
    struct http_client *client = net_client(&e);
    struct net_call c = {0};
    static char value[8000];
    struct http_header h[12];
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < 12; i++)
        h[i] = (struct http_header){SLICE("x-long"), slice_of(value, 5400)};
    struct http_call_options o = {.method = "GET", .path = "/who", .headers = h, .n_headers = 12};
    net_call_start(&c, client, &o);
    net_run(&e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.code, 200); /* just below */
    net_call_done(&c);
    struct http_header many[HTTP_HEADERS_MAX];
    for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++)
        many[i] = (struct http_header){SLICE("x-many"), SLICE("1")};
    o.headers = many;
    o.n_headers = HTTP_HEADERS_MAX;
    net_call_start(&c, client, &o);
    net_run(&e, net_is_done, &c);
    assert_int_equal(c.code, 431);
    net_call_done(&c);
    net_get(&c, client, "/who");
    net_run(&e, net_is_done, &c);
    assert_int_equal(c.code, 200);
    net_call_done(&c);
    assert_int_equal(http_server_connections(e.server), 1);
    http_client_free(client);
    net_teardown(&e);
}

static void test_h2_time_limits(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    struct buf b = BUF_INIT(4096);
    const struct http_server_options o = {.head_ms = 60, .idle_ms = 60};
    RUN(e, {0}, &o);
    h2_open(&r, &e); /* nothing but the greeting */
    net_run(&e, net_raw_ended, &r);
    assert_true(h2_has_goaway(&r, 0));
    net_raw_close(&r);
    frame(&b, 1, 4, 1, get_root()); /* the body never ends */
    h2_open(&r, &e);
    net_raw_send(&r, buf_slice(&b));
    net_run(&e, net_raw_ended, &r);
    assert_non_null(memmem(r.in.p, r.in.n, "did not come in time", 20));
    net_raw_close(&r);
    buf_done(&b);
    net_teardown(&e);
}

/* Each limit by its name: as many are fine, one more is not. */
static void test_guard_limits(void **state)
{
    (void)state;
    static const struct {
        unsigned type, flags;
        struct slice payload;
        unsigned limit;
        const char *why;
    } cases[] = {
        {3, 0, SLICE_INIT("\0\0\0\x08"), H2_RESETS, "rapid-reset"},
        {4, 0, SLICE_INIT(""), H2_CONTROLS, "control-flood"},
        {6, 0, SLICE_INIT("12345678"), H2_CONTROLS, "control-flood"},
        {0xb, 0, SLICE_INIT("x"), H2_CONTROLS, "control-flood"},
        {2, 0, SLICE_INIT("\0\0\0\0\x10"), H2_PRIORITIES, "priority-flood"},
        {0, 0, SLICE_INIT(""), H2_EMPTIES, "empty-data-flood"},
        {9, 0, SLICE_INIT("x"), H2_CONTINUATIONS_MAX, "continuation-flood"},
        {4, 1, SLICE_INIT(""), 0, ""}, /* acknowledgements, */
        {6, 1, SLICE_INIT("12345678"), 0, ""},
        {0, 1, SLICE_INIT(""), 0, ""},  /* ends */
        {0, 0, SLICE_INIT("x"), 0, ""}, /* and data are not counted */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct h2_guard g;
        struct buf b = BUF_INIT(64);
        const char *why = "";
        unsigned n = 0;
        h2_guard_init(&g, 0, 1000);
        frame(&b, cases[i].type, cases[i].flags, 1, cases[i].payload);
        while (n < 10000 && h2_guard_feed(&g, b.p, b.n, 1000, &why) == 0)
            n++;
        assert_int_equal(n, cases[i].limit ? cases[i].limit : 10000);
        assert_string_equal(why, cases[i].why);
        buf_done(&b);
    }
}

/* Resets that come in small pieces too: nghttp2's own limit, lower in some versions, is not the one that counts. */
static void test_h2_resets_in_pieces(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    struct buf b = BUF_INIT(1 << 20);
    RUN(e, {0}, NULL);
    h2_open(&r, &e);
    for (uint32_t i = 0; i < H2_RESETS + 200 && !r.ended; i++) {
        buf_clear(&b);
        frame(&b, 1, 4 | 1, i * 2 + 1, get_root());
        frame(&b, 3, 0, i * 2 + 1, SLICE("\0\0\0\x08"));
        net_raw_send(&r, buf_slice(&b));
        if (i % 100 == 99)
            net_run_ms(&e, 1);
        if (i == H2_RESETS - 100)
            assert_false(r.ended);
    }
    net_run(&e, net_raw_ended, &r);
    assert_true(h2_has_goaway(&r, 0x0b));
    net_raw_close(&r);
    buf_done(&b);
    net_teardown(&e);
}

/* A few bytes that decode to a large head: refused with 431, and the connection closed once it is far over. */
static void test_h2_hpack_bomb(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    struct buf b = BUF_INIT(1 << 20), block = BUF_INIT(1 << 20);
    RUN(e, {0}, NULL);
    buf_add(&block, "\x82\x84\x86\x41\x01\x61\x40\x01x\x7f\xa1\x1e", 12); /* a value of 4,000 bytes, to be kept */
    for (unsigned i = 0; i < 4000; i++)
        buf_add_char(&block, 'v');
    size_t first = block.n;
    for (unsigned i = 0; i < 30; i++) /* 31 × 4,001 bytes: over HTTP_HEAD_MAX */
        buf_add_char(&block, '\xbe');
    h2_open(&r, &e);
    frame(&b, 1, 4 | 1, 1, buf_slice(&block));
    net_raw_send(&r, buf_slice(&b));
    net_run_ms(&e, 50);
    assert_false(r.ended);
    assert_non_null(memmem(r.in.p, r.in.n, "head is too large", 17));
    buf_clear(&b);
    block.n = first;
    for (unsigned i = 0; i < 10000; i++) /* 40 MB */
        buf_add_char(&block, '\xbe');
    frame(&b, 1, 4 | 1, 3, buf_slice(&block));
    net_raw_send(&r, buf_slice(&b));
    net_run(&e, net_raw_ended, &r);
    assert_true(h2_has_goaway(&r, 0x0b));
    net_raw_close(&r);
    assert_int_equal(e.requests, 0);
    buf_done(&block);
    buf_done(&b);
    net_teardown(&e);
}

static void test_guard_refills(void **state)
{
    (void)state;
    struct h2_guard g;
    struct buf b = BUF_INIT(1 << 20);
    const char *why = "";
    uint64_t now = 1000;
    h2_guard_init(&g, 0, now);
    for (unsigned i = 0; i < 100; i++)
        frame(&b, 3, 0, 1, SLICE("\0\0\0\x08"));
    for (unsigned i = 0; i < 100; i++) { /* 100 resets a second may go on for ever */
        assert_int_equal(h2_guard_feed(&g, b.p, b.n, now, &why), 0);
        now += 1000000000;
    }
    int rv = 0;
    for (unsigned i = 0; i < 40 && !rv; i++)
        for (size_t at = 0; at < b.n && !rv; at++) /* byte by byte */
            rv = h2_guard_feed(&g, b.p + at, 1, now, &why);
    assert_int_equal(rv, -EPROTO);
    assert_string_equal(why, "rapid-reset");
    buf_done(&b);
}

/* ---- TLS ---- */

static void test_tls_garbage(void **state)
{
    (void)state;
    struct net_env e;
    struct net_raw r;
    RUN(e, {.tls = true}, NULL);
    net_raw_open(&r, &e);
    send_str(&r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* plain bytes on a TLS port */
    net_run(&e, net_raw_ended, &r);
    net_raw_close(&r);
    net_raw_open(&r, &e); /* leaves in the middle of the handshake */
    net_raw_send(&r, SLICE("\x16\x03\x01\x02\x00\x01"));
    net_run_ms(&e, 10);
    net_raw_close(&r);
    net_run_ms(&e, 20);
    net_raw_open(&r, &e); /* still there when the server goes */
    net_run_ms(&e, 10);
    net_raw_close(&r);
    net_teardown(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h1_answers),     cmocka_unit_test(test_h1_pipelining),
        cmocka_unit_test(test_h1_old_clients), cmocka_unit_test(test_h1_continue),
        cmocka_unit_test(test_h1_malformed),   cmocka_unit_test(test_h1_head_limits),
        cmocka_unit_test(test_h1_gzip),        cmocka_unit_test(test_time_limits),
        cmocka_unit_test(test_h1_client_gone), cmocka_unit_test(test_modest_writer),
        cmocka_unit_test(test_h2_floods),      cmocka_unit_test(test_h2_malformed),
        cmocka_unit_test(test_h2_head_limit),  cmocka_unit_test(test_h2_time_limits),
        cmocka_unit_test(test_guard_limits),   cmocka_unit_test(test_h2_resets_in_pieces),
        cmocka_unit_test(test_h2_hpack_bomb),  cmocka_unit_test(test_guard_refills),
        cmocka_unit_test(test_tls_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

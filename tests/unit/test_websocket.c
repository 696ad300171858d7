/* WebSocket on the server's side: the codec by itself, and a server's connection against a client that speaks bytes. */
#include "net_common.h"

#include <errno.h>
#include <stdio.h>

#include "net/websocket.h"

/* ---- the codec ---- */

static void test_accept(void **state)
{
    (void)state;
    char out[WEBSOCKET_ACCEPT_MAX];
    assert_int_equal(websocket_accept(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), out), 0); /* RFC 6455 section 1.3 */
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(websocket_accept(SLICE(""), out), -EINVAL);
    assert_int_equal(websocket_accept(SLICE("c2hvcnQ="), out), -EINVAL);
    assert_int_equal(websocket_accept(SLICE("dGhlIHNhbXBsZSBub25jZQ"), out), -EINVAL);
    assert_int_equal(websocket_accept(SLICE("dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ=="), out), -EINVAL);
}

static void test_heads(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        struct slice head;
    } cases[] = {
        {0, SLICE_INIT("\x81\x00")},
        {125, SLICE_INIT("\x81\x7d")},
        {126, SLICE_INIT("\x81\x7e\x00\x7e")},
        {65535, SLICE_INIT("\x81\x7e\xff\xff")},
        {65536, SLICE_INIT("\x81\x7f\0\0\0\0\0\x01\0\0")},
    };
    unsigned char out[WEBSOCKET_HEAD_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = websocket_head(WEBSOCKET_TEXT, cases[i].n, out);
        assert_true(slice_eq(slice_of(out, n), cases[i].head));
    }
    size_t n = websocket_close(1000, out);
    assert_true(slice_eq(slice_of(out, n), SLICE("\x88\x02\x03\xe8")));
}

/* A client's frame, masked. */
static void add_frame(struct buf *b, unsigned first, struct slice payload)
{
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    unsigned char head[WEBSOCKET_HEAD_MAX];
    size_t n = websocket_head(WEBSOCKET_TEXT, payload.n, head);
    head[0] = (unsigned char)first;
    head[1] |= 0x80;
    buf_add(b, head, n);
    buf_add(b, mask, sizeof mask);
    for (size_t i = 0; i < payload.n; i++)
        buf_add_char(b, (char)(payload.p[i] ^ mask[i % 4]));
}

/* What the reader makes of b, however it is cut: the first event, or 0. */
static int read_cut(const struct buf *b, size_t step, struct websocket_reader *w)
{
    *w = (struct websocket_reader){0};
    for (size_t at = 0; at < b->n; at += step) {
        struct slice in = slice_of(b->p + at, b->n - at < step ? b->n - at : step);
        int rv = websocket_read(w, &in);
        if (rv)
            return rv;
        assert_int_equal(in.n, 0);
    }
    return 0;
}

static void expect_event(const struct buf *b, int event, const char *payload)
{
    for (size_t step = 1; step <= b->n; step = step < 16 ? step + 1 : step * 2) {
        struct websocket_reader w;
        assert_int_equal(read_cut(b, step, &w), event);
        if (payload)
            assert_slice(slice_of(w.payload, w.payload_n), payload);
    }
}

static void test_reader(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20);
    static char large[WEBSOCKET_MESSAGE_MAX + 1];
    add_frame(&b, 0x81, SLICE("hello"));
    add_frame(&b, 0x01, SLICE("in"));
    add_frame(&b, 0x8a, SLICE("a pong between"));
    add_frame(&b, 0x80, SLICE(" two"));
    add_frame(&b, 0x82, slice_of(large, WEBSOCKET_MESSAGE_MAX));
    add_frame(&b, 0x82, SLICE(""));
    expect_event(&b, 0, NULL);
    add_frame(&b, 0x89, SLICE("ping"));
    expect_event(&b, WEBSOCKET_PING, "ping");
    buf_clear(&b);
    add_frame(&b, 0x88, SLICE("\x03\xe9 away"));
    expect_event(&b, WEBSOCKET_CLOSE, "\x03\xe9 away");
    buf_clear(&b);
    add_frame(&b, 0x89, SLICE(""));
    expect_event(&b, WEBSOCKET_PING, "");
    buf_done(&b);
}

static void test_reader_refuses(void **state)
{
    (void)state;
    static char large[WEBSOCKET_MESSAGE_MAX + 1];
    static const struct {
        unsigned first[3], n_frames; /* first bytes of frames of n bytes */
        size_t n;
        int code;
    } cases[] = {
        {{0xc1}, 1, 1, -1002},                                 /* reserved bit */
        {{0x83}, 1, 1, -1002},                                 /* no such opcode */
        {{0x8b}, 1, 1, -1002},                                 /* nor such a control frame */
        {{0x80}, 1, 1, -1002},                                 /* goes on with nothing */
        {{0x01, 0x81}, 2, 1, -1002},                           /* a new message within one */
        {{0x09}, 1, 1, -1002},                                 /* control frame in pieces */
        {{0x89}, 1, 126, -1002},                               /* and too long */
        {{0x82}, 1, WEBSOCKET_MESSAGE_MAX + 1, -1009},         /* a large message */
        {{0x02, 0x00}, 2, WEBSOCKET_MESSAGE_MAX / 2, 0},       /* just not */
        {{0x02, 0x00, 0x00}, 3, WEBSOCKET_MESSAGE_MAX, -1009}, /* in pieces */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = BUF_INIT(1 << 20);
        for (size_t k = 0; k < cases[i].n_frames; k++)
            add_frame(&b, cases[i].first[k], slice_of(large, cases[i].n));
        if (cases[i].code == 0)
            add_frame(&b, 0x80, SLICE(""));
        expect_event(&b, cases[i].code, NULL);
        buf_done(&b);
    }
    struct buf b = BUF_INIT(64);
    buf_add(&b, "\x81\x01x", 3); /* not masked */
    expect_event(&b, -1002, NULL);
    buf_clear(&b);
    buf_add(&b, "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff....", 14); /* a length that wraps */
    expect_event(&b, -1009, NULL);
    buf_done(&b);
}

static void test_close_codes(void **state)
{
    (void)state;
    static const struct {
        struct slice payload;
        unsigned code;
    } cases[] = {{SLICE_INIT(""), 1000},         {SLICE_INIT("\x03\xe9"), 1001}, {SLICE_INIT("\x0f\xa0x"), 4000},
                 {SLICE_INIT("\x03"), 1002},     {SLICE_INIT("\x03\xed"), 1002}, /* 1005 is never sent */
                 {SLICE_INIT("\x13\x88"), 1002}, {SLICE_INIT("\0\0"), 1002}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = BUF_INIT(64);
        struct websocket_reader w;
        add_frame(&b, 0x88, cases[i].payload);
        assert_int_equal(read_cut(&b, b.n, &w), WEBSOCKET_CLOSE);
        assert_int_equal(websocket_close_code(&w), cases[i].code);
        buf_done(&b);
    }
}

/* ---- a server ---- */

struct echo {
    struct net_env e;
    struct net_raw r;
    struct http_exchange *x;
    unsigned opened, aborts;
    bool text;
};

static void on_abort(struct http_exchange *x)
{
    struct echo *t = http_ctx(x);
    t->aborts++;
    t->x = NULL;
    http_abort(x);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct echo *t = ctx;
    const char *fault = http_wants_websocket(x) ? http_websocket_fault(x) : "no upgrade";
    if (fault) {
        struct chunk c = chunk_static(slice_str(fault));
        http_reply(x, 400, NULL, 0, &c, 1);
        return;
    }
    t->opened++;
    t->x = x;
    http_set_ctx(x, t, on_abort);
    http_websocket_start(x, t->text, SLICE("spoken"));
}

static void expect(struct echo *t, const char *text)
{
    t->r.expect = text;
    net_run(&t->e, net_raw_has, &t->r);
    if (!t->r.in.p || !strstr(t->r.in.p, text))
        fail_msg("expected \"%s\", got \"%s\"", text, t->r.in.p ? t->r.in.p : "");
}

static bool has_bytes(void *ctx)
{
    struct echo *t = ctx;
    size_t n = strlen(t->r.expect);
    return t->r.ended || (t->r.in.n >= n && memmem(t->r.in.p, t->r.in.n, t->r.expect, n));
}

/* The same of bytes behind zeros. */
static void expect_bytes(struct echo *t, const char *bytes)
{
    t->r.expect = bytes;
    net_run(&t->e, has_bytes, t);
    assert_non_null(memmem(t->r.in.p, t->r.in.n, bytes, strlen(bytes)));
}

#define HANDSHAKE                                                                                                      \
    "GET /w HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"                          \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void echo_setup(struct echo *t)
{
    *t = (struct echo){.text = true};
    net_setup(&t->e);
    const struct http_server_options o = {.listen = "127.0.0.1:0", .on_request = on_request, .ctx = t};
    assert_int_equal(http_server_new(t->e.l, &o, &t->e.server), 0);
    snprintf(t->e.addr, sizeof t->e.addr, "127.0.0.1:%u", http_server_port(t->e.server));
}

static void echo_open(struct echo *t)
{
    net_raw_open(&t->r, &t->e);
    net_raw_send(&t->r, SLICE(HANDSHAKE));
    expect(t, "\r\n\r\n");
    assert_non_null(strstr(t->r.in.p, "HTTP/1.1 101 Switching Protocols\r\n"));
    assert_non_null(strstr(t->r.in.p, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(t->r.in.p, "sec-websocket-protocol: spoken\r\n"));
    assert_null(strstr(t->r.in.p, "content-length"));
    buf_clear(&t->r.in);
}

static void send_frame(struct echo *t, unsigned first, struct slice payload)
{
    struct buf b = BUF_INIT(1 << 20);
    add_frame(&b, first, payload);
    net_raw_send(&t->r, buf_slice(&b));
    buf_done(&b);
}

static void write_text(struct echo *t, const char *text)
{
    struct chunk two[] = {chunk_static(slice_str(text)), chunk_static(SLICE("\n"))};
    http_reply_write(t->x, two, 2);
}

static void test_messages(void **state)
{
    (void)state;
    struct echo t;
    echo_setup(&t);
    echo_open(&t);
    write_text(&t, "one");
    write_text(&t, "two"); /* in one turn, and yet two messages */
    expect(&t, "\x81\x04one\n\x81\x04two\n");
    send_frame(&t, 0x89, SLICE("are you there"));
    expect(&t, "\x8a\x0d"
               "are you there");
    send_frame(&t, 0x81, SLICE("nobody listens"));
    write_text(&t, "three");
    expect(&t, "\x81\x06three\n");
    struct blob *large = blob_new(70000);
    memset(large->bytes, 'x', large->n);
    struct chunk c = chunk_take(large);
    buf_clear(&t.r.in);
    http_reply_write(t.x, &c, 1);
    write_text(&t, "after");
    expect_bytes(&t, "xx\x81\x06"
                     "after\n");
    assert_int_equal(t.r.in.n, 10 + 70000 + 8);
    assert_memory_equal(t.r.in.p, "\x81\x7f\0\0\0\0\0\x01\x11\x70x", 11);
    http_reply_end(t.x);
    expect_bytes(&t, "\x88\x02\x03\xe8");
    net_run(&t.e, net_raw_ended, &t.r);
    assert_int_equal(t.aborts, 0);
    net_raw_close(&t.r);
    net_teardown(&t.e);
}

static void test_binary(void **state)
{
    (void)state;
    struct echo t;
    echo_setup(&t);
    t.text = false;
    echo_open(&t);
    write_text(&t, "one");
    expect(&t, "\x82\x04one\n");
    net_raw_close(&t.r); /* the client goes without a word */
    net_run_ms(&t.e, 20);
    assert_int_equal(t.aborts, 1);
    net_teardown(&t.e);
}

/* Frames that come with the handshake are read after it. */
static void test_eager_client(void **state)
{
    (void)state;
    struct echo t;
    echo_setup(&t);
    struct buf b = BUF_INIT(4096);
    buf_add_str(&b, HANDSHAKE);
    add_frame(&b, 0x89, SLICE("early"));
    add_frame(&b, 0x88, SLICE("\x03\xe8"));
    net_raw_open(&t.r, &t.e);
    net_raw_send(&t.r, buf_slice(&b));
    expect(&t, "\x8a\x05"
               "early\x88\x02\x03\xe8");
    net_run(&t.e, net_raw_ended, &t.r);
    assert_int_equal(t.aborts, 1);
    net_raw_close(&t.r);
    buf_done(&b);
    net_teardown(&t.e);
}

/* The client sends this and is closed with the code; what was queued before goes out first. */
static void closed_with(struct echo *t, const struct buf *bytes, const char *close)
{
    echo_open(t);
    unsigned aborts = t->aborts;
    write_text(t, "queued");
    net_run_ms(&t->e, 5);
    net_raw_send(&t->r, buf_slice(bytes));
    net_run(&t->e, net_raw_ended, &t->r);
    assert_true(slice_starts(buf_slice(&t->r.in), SLICE("\x81\x07queued\n")));
    assert_true(t->r.in.n > 4 && memcmp(t->r.in.p + t->r.in.n - 4, close, 4) == 0);
    assert_int_equal(t->aborts, aborts + 1);
    net_raw_close(&t->r);
}

static void test_server_closes(void **state)
{
    (void)state;
    struct echo t;
    struct buf b = BUF_INIT(1 << 20);
    static char large[WEBSOCKET_MESSAGE_MAX + 1];
    echo_setup(&t);
    add_frame(&b, 0x88,
              SLICE("\x03\xe9"
                    "bye"));
    closed_with(&t, &b, "\x88\x02\x03\xe9");
    buf_clear(&b);
    add_frame(&b, 0x82, slice_of(large, sizeof large));
    closed_with(&t, &b, "\x88\x02\x03\xf1"); /* 1009 */
    buf_clear(&b);
    buf_add(&b, "\x81\x05hello", 7);
    closed_with(&t, &b, "\x88\x02\x03\xea"); /* 1002: not masked */
    buf_clear(&b);
    for (unsigned i = 0; i < 2 * WEBSOCKET_PINGS; i++)
        add_frame(&b, 0x89, SLICE("flood"));
    closed_with(&t, &b, "\x88\x02\x03\xf0"); /* 1008 */
    buf_done(&b);
    net_teardown(&t.e);
}

static void test_shutdown(void **state)
{
    (void)state;
    struct echo t;
    echo_setup(&t);
    echo_open(&t);
    http_server_drain(t.e.server, 1000);
    http_reply_end(t.x);
    expect(&t, "\x88\x02\x03\xe9"); /* 1001: going away */
    net_run(&t.e, net_raw_ended, &t.r);
    net_raw_close(&t.r);
    net_teardown(&t.e);
}

static void test_bad_handshakes(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: !\r\n\r\n",
        "GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
    };
    struct echo t;
    echo_setup(&t);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        net_raw_open(&t.r, &t.e);
        net_raw_send(&t.r, slice_str(requests[i]));
        expect(&t, "HTTP/1.1 400 ");
        net_run(&t.e, net_raw_ended, &t.r); /* nobody can tell what comes behind */
        net_raw_close(&t.r);
    }
    assert_int_equal(t.opened, 0);
    net_teardown(&t.e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),         cmocka_unit_test(test_heads),
        cmocka_unit_test(test_reader),         cmocka_unit_test(test_reader_refuses),
        cmocka_unit_test(test_close_codes),    cmocka_unit_test(test_messages),
        cmocka_unit_test(test_binary),         cmocka_unit_test(test_eager_client),
        cmocka_unit_test(test_server_closes),  cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_bad_handshakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

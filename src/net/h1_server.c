/* HTTP/1.1 on the server's side: llhttp reads, one request at a time; pipelined ones wait in `pending`. */
#include <errno.h>
#include <llhttp.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "net/conn_impl.h"
#include "net/http_server_impl.h"
#include "net/websocket.h"

enum { PENDING_MAX = 1 << 20, PENDING_PAUSE = 64 << 10, RESPONSE_HEAD_MAX = 64 << 10 };

/* A piece of the head that is being read: what came of it so far is in h1->head. */
struct span {
    size_t at, n;
};

/* What a connection that became a WebSocket knows of its client. */
struct h1_websocket {
    struct websocket_reader reader;
    uint64_t pings_full; /* loop_now at which all pings are regained */
};

struct h1 {
    struct server_conn *conn;
    llhttp_t parser;
    struct buf head; /* target and headers of the request being read */
    struct span target;
    struct span names[HTTP_HEADERS_MAX], values[HTTP_HEADERS_MAX];
    size_t n_headers;
    bool begun, in_value, head_done;
    int reject; /* code for a request that the callbacks refused */
    const char *reject_why;
    struct http_exchange *x; /* the request read or being answered */
    bool whole;              /* x is dispatched: nothing is parsed until it is answered */
    bool keep_alive, chunked, http10, upgrade;
    bool stalled;                   /* not parsing because too much is queued for the peer */
    struct slice rest;              /* of the running call: behind the current request */
    struct buf pending;             /* kept from earlier calls */
    struct h1_websocket *websocket; /* or NULL */
};

static struct h1 *h1_of(llhttp_t *p)
{
    return container_of(p, struct h1, parser);
}

static int refuse(struct h1 *h, int code, const char *why)
{
    h->reject = code;
    h->reject_why = why;
    return HPE_USER;
}

/* ---- parser callbacks ---- */

static int on_begin(llhttp_t *p)
{
    struct h1 *h = h1_of(p);
    buf_clear(&h->head);
    h->n_headers = 0;
    h->target = (struct span){0, 0};
    h->begun = true;
    h->in_value = h->head_done = h->upgrade = false;
    return 0;
}

static int add_text(struct h1 *h, struct span *s, const char *p, size_t n)
{
    if (s->n == 0)
        s->at = h->head.n;
    if (buf_add(&h->head, p, n))
        return refuse(h, buf_error(&h->head) == -E2BIG ? 431 : 503, "the request's head is too large");
    s->n += n;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    return add_text(h1_of(p), &h1_of(p)->target, at, n);
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = h1_of(p);
    if (h->in_value || h->n_headers == 0) {
        if (h->n_headers == HTTP_HEADERS_MAX)
            return refuse(h, 431, "the request has too many header fields");
        h->names[h->n_headers] = h->values[h->n_headers] = (struct span){h->head.n, 0};
        h->n_headers++;
        h->in_value = false;
    }
    return add_text(h, &h->names[h->n_headers - 1], at, n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = h1_of(p);
    if (h->n_headers == 0)
        return 0;
    h->in_value = true;
    return add_text(h, &h->values[h->n_headers - 1], at, n);
}

static int on_value_complete(llhttp_t *p)
{
    h1_of(p)->in_value = true; /* also after an empty value */
    return 0;
}

static struct slice text_of(const struct h1 *h, struct span s)
{
    return s.n ? slice_of(h->head.p + s.at, s.n) : slice_of("", 0);
}

static void lower(const struct h1 *h, struct span s)
{
    for (size_t i = s.at; i < s.at + s.n; i++)
        if (h->head.p[i] >= 'A' && h->head.p[i] <= 'Z')
            h->head.p[i] = (char)(h->head.p[i] | 0x20);
}

static int copy_headers(struct h1 *h)
{
    unsigned hosts = 0;
    for (size_t i = 0; i < h->n_headers; i++) {
        lower(h, h->names[i]);
        struct slice name = text_of(h, h->names[i]);
        int rv = exchange_header(h->x, name, slice_trim(text_of(h, h->values[i])));
        if (rv)
            return refuse(h, rv == -E2BIG ? 431 : 503, "the request's head is too large");
        hosts += slice_eq(name, SLICE("host"));
    }
    if (hosts > 1 || (hosts == 0 && !h->http10))
        return refuse(h, 400, "a request needs exactly one Host header");
    return 0;
}

/* Origin form, or "*", or the absolute form that proxies get. */
static int copy_target(struct h1 *h)
{
    struct slice target = text_of(h, h->target);
    if (target.n > 0 && target.p[0] != '/' && !slice_eq(target, SLICE("*"))) {
        struct slice scheme, rest;
        if (!slice_cut(target, ':', &scheme, &rest) || !slice_starts(rest, SLICE("//")))
            return refuse(h, 400, "the request's target is malformed");
        rest = slice_from(rest, 2);
        const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
        target = slash ? slice_of(slash, rest.n - (size_t)(slash - rest.p)) : SLICE("/");
    }
    exchange_target(h->x, target);
    return h->x->req.path.p ? 0 : refuse(h, 503, "the server is short of memory");
}

static void expect_continue(struct h1 *h)
{
    struct slice expect = http_request_header(h->x, "expect");
    bool has_body = h->parser.content_length > 0 || (h->parser.flags & F_CHUNKED);
    if (has_body && !h->http10 && slice_ieq(expect, SLICE("100-continue"))) {
        static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
        chunkq_copy(&h->conn->out, line, sizeof line - 1);
        server_conn_dirty(h->conn);
    }
}

static int on_head(llhttp_t *p)
{
    struct h1 *h = h1_of(p);
    struct server_conn *c = h->conn;
    h->head_done = true;
    h->in_value = true;
    h->x = exchange_new(c);
    h->http10 = p->http_minor == 0;
    if (p->http_major != 1)
        return refuse(h, 505, "only HTTP/1.1 and HTTP/2 are spoken here");
    if (p->method == HTTP_CONNECT)
        return refuse(h, 405, "CONNECT is not supported");
    h->x->req.method = slice_str(llhttp_method_name(p->method));
    h->x->req.version = 1;
    int rv = copy_headers(h);
    if (!rv)
        rv = copy_target(h);
    if (rv)
        return rv;
    if ((p->flags & F_CONTENT_LENGTH) && p->content_length > c->server->options.body_max)
        return refuse(h, 413, HTTP_TOO_LARGE);
    h->upgrade = p->upgrade && !slice_ieq(http_request_header(h->x, "upgrade"), SLICE("h2c"));
    h->x->req.upgrade = h->upgrade;
    expect_continue(h);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = h1_of(p);
    int rv = buf_add(&h->x->body, at, n);
    return rv == 0
               ? 0
               : refuse(h, rv == -E2BIG ? 413 : 503, rv == -E2BIG ? HTTP_TOO_LARGE : "the server is short of memory");
}

static int on_whole(llhttp_t *p)
{
    h1_of(p)->keep_alive = llhttp_should_keep_alive(p);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

/* ---- answering ---- */

static void add_status(struct chunkq *q, int code)
{
    char line[80];
    int n = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", code, http_reason(code));
    chunkq_copy(q, line, (size_t)n);
}

static void add_headers(struct h1 *h, const struct http_header *headers, size_t n)
{
    struct chunkq *q = &h->conn->out;
    for (size_t i = 0; i < n; i++) {
        if (header_is_clean(&headers[i]))
            header_line(q, headers[i].name, headers[i].value);
        if (slice_ieq(headers[i].name, SLICE("connection")) && header_has_token(headers[i].value, SLICE("close")))
            h->keep_alive = false;
    }
    header_line(q, SLICE("date"), server_date(h->conn->server));
}

/* How the end of the body is told: length, chunks, or the end of the connection (HTTP/1.0). */
static void add_framing(struct h1 *h, int code, int64_t length)
{
    struct chunkq *q = &h->conn->out;
    h->chunked = false;
    if (code == 204 || code == 304 || code / 100 == 1)
        return;
    if (length >= 0) {
        char text[24];
        int n = snprintf(text, sizeof text, "%lld", (long long)length);
        header_line(q, SLICE("content-length"), slice_of(text, (size_t)n));
    } else if (h->http10) {
        h->keep_alive = false;
    } else {
        h->chunked = true;
        header_line(q, SLICE("transfer-encoding"), SLICE("chunked"));
    }
}

static void h1_head(struct http_exchange *x, int code, const struct http_header *headers, size_t n, int64_t length)
{
    struct h1 *h = x->conn->state;
    struct chunkq *q = &x->conn->out;
    if (x->conn->draining || h->upgrade)
        h->keep_alive = false; /* after a refused upgrade nobody can tell what the peer says next */
    add_status(q, code);
    add_headers(h, headers, n);
    add_framing(h, code, length);
    if (!h->keep_alive)
        header_line(q, SLICE("connection"), SLICE("close"));
    else if (h->http10)
        header_line(q, SLICE("connection"), SLICE("keep-alive"));
    chunkq_copy(q, "\r\n", 2);
}

static void add_body(struct h1 *h, struct http_exchange *x)
{
    struct chunkq *q = &h->conn->out;
    size_t bytes = x->out.bytes;
    if (bytes > 0) {
        char line[24];
        int n = snprintf(line, sizeof line, "%zx\r\n", bytes);
        if (h->chunked)
            chunkq_copy(q, line, (size_t)n);
        chunkq_move(q, &x->out, bytes);
        if (h->chunked)
            chunkq_copy(q, "\r\n", 2);
    }
    if (x->ended && h->chunked && !x->bodyless)
        chunkq_copy(q, "0\r\n\r\n", 5);
}

static void say_close(struct h1 *h, unsigned code)
{
    unsigned char frame[WEBSOCKET_HEAD_MAX];
    chunkq_copy(&h->conn->out, frame, websocket_close(code, frame));
    h->keep_alive = false;
}

/* Moves what the handler queued to the connection; true when the exchange is over. */
static bool answer(struct h1 *h)
{
    struct http_exchange *x = h->x;
    if (!x || !x->started)
        return false;
    if (x->out.error) {
        server_conn_close(h->conn);
        return false;
    }
    add_body(h, x);
    if (!x->ended)
        return false;
    if (h->websocket)
        say_close(h, h->conn->draining ? WEBSOCKET_GOING_AWAY : WEBSOCKET_NORMAL);
    h->x = NULL;
    h->whole = false;
    exchange_free(x);
    if (!h->keep_alive || h->conn->draining)
        h->conn->want_close = true;
    return true;
}

/* ---- reading ---- */

static void reject(struct h1 *h, int code, const char *why)
{
    if (!h->x)
        h->x = exchange_new(h->conn);
    h->keep_alive = false;
    h->whole = true;
    exchange_reject(h->x, code, why);
    answer(h);
}

static void on_late(struct loop_timer *t)
{
    struct http_exchange *x = container_of(t, struct http_exchange, timer);
    reject(x->conn->state, 408, "the request did not come in time");
}

static void parse_error(struct h1 *h)
{
    if (h->reject)
        reject(h, h->reject, h->reject_why);
    else
        reject(h, 400, "the request is not valid HTTP/1.1");
    server_conn_dirty(h->conn);
}

/* Reads h->rest up to the end of a request. True when one is whole. */
static bool parse_one(struct h1 *h)
{
    const char *p = h->rest.p;
    size_t n = h->rest.n;
    llhttp_errno_t err = llhttp_execute(&h->parser, p, n);
    h->rest = SLICE_NONE;
    if (err == HPE_OK)
        return false;
    const char *at = llhttp_get_error_pos(&h->parser);
    size_t used = at >= p && at <= p + n ? (size_t)(at - p) : n;
    h->rest = slice_of(p + used, n - used);
    if (err == HPE_PAUSED_UPGRADE) {
        llhttp_resume_after_upgrade(&h->parser);
        return false;
    }
    if (err == HPE_PAUSED) {
        llhttp_resume(&h->parser);
        return true;
    }
    h->rest = SLICE_NONE;
    parse_error(h);
    return false;
}

static bool may_parse(const struct h1 *h)
{
    const struct server_conn *c = h->conn;
    return h->rest.n > 0 && !h->whole && !c->want_close && !c->dead && server_conn_queued(c) <= STREAM_HIGH_WATER;
}

/* Keeps h->rest for later and holds a peer that sends too far ahead. */
static void keep_rest(struct h1 *h)
{
    struct server_conn *c = h->conn;
    if (c->dead || c->want_close)
        return;
    if (h->rest.n > 0 && buf_add_slice(&h->pending, h->rest)) {
        server_conn_close(c);
        return;
    }
    h->rest = SLICE_NONE;
    bool stalled = h->pending.n > PENDING_PAUSE || server_conn_queued(c) > STREAM_HIGH_WATER;
    if (stalled != h->stalled)
        conn_pause(c->conn, stalled);
    h->stalled = stalled;
}

static void watch_time(struct h1 *h)
{
    struct server_conn *c = h->conn;
    if (c->dead || c->want_close)
        return;
    bool reading_head = h->begun && !h->head_done;
    if (h->x && !h->whole && !loop_timer_armed(&h->x->timer)) {
        h->x->timer.cb = on_late;
        loop_timer_start(c->server->loop, &h->x->timer, c->server->options.head_ms);
    }
    server_conn_timers(c, reading_head);
}

/* Reads and dispatches requests from h->rest. h and its connection may be closed when this returns, but not freed. */
static void parse(struct h1 *h)
{
    struct server_conn *c = h->conn;
    while (may_parse(h)) {
        if (!parse_one(h))
            continue;
        h->whole = true;
        exchange_dispatch(h->x);
        if (c->dead)
            return;
        answer(h);
        h->begun = false;
    }
    if (c->dead)
        return;
    keep_rest(h);
    watch_time(h);
}

static struct h1 *h1_get(struct server_conn *c)
{
    if (c->state)
        return c->state;
    struct h1 *h = mem_new(struct h1);
    h->conn = c;
    buf_init(&h->head, HTTP_HEAD_MAX);
    buf_init(&h->pending, PENDING_MAX);
    llhttp_init(&h->parser, HTTP_REQUEST, &settings);
    c->state = h;
    return h;
}

/* ---- WebSocket ---- */

/* The client closed, or has to go. */
static void leave(struct h1 *h, unsigned code)
{
    struct http_exchange *x = h->x;
    say_close(h, code);
    h->x = NULL;
    h->conn->want_close = true;
    exchange_gone(h->conn->server, x);
}

/* False when there are too many of them. */
static bool take_ping(struct h1 *h)
{
    static const uint64_t step = (uint64_t)NS_PER_SEC / WEBSOCKET_PINGS_PER_SECOND;
    struct h1_websocket *ws = h->websocket;
    uint64_t now = loop_now(h->conn->server->loop);
    uint64_t from = ws->pings_full > now ? ws->pings_full : now;
    if (from + step > now + WEBSOCKET_PINGS * step)
        return false;
    ws->pings_full = from + step;
    return true;
}

/* A client that takes nothing gets no answer to its pings either. */
static void pong(struct h1 *h)
{
    const struct websocket_reader *r = &h->websocket->reader;
    unsigned char head[WEBSOCKET_HEAD_MAX];
    if (server_conn_queued(h->conn) > STREAM_HIGH_WATER)
        return;
    answer(h); /* what is queued goes first, and whole */
    if (!h->x || h->conn->dead)
        return;
    chunkq_copy(&h->conn->out, head, websocket_head(WEBSOCKET_PONG, r->payload_n, head));
    chunkq_copy(&h->conn->out, r->payload, r->payload_n);
}

static void read_frames(struct h1 *h, struct slice in)
{
    int event = 0;
    while (h->x && !h->conn->dead && (event = websocket_read(&h->websocket->reader, &in)) != 0) {
        if (event == WEBSOCKET_PING && take_ping(h))
            pong(h);
        else if (event == WEBSOCKET_CLOSE)
            leave(h, websocket_close_code(&h->websocket->reader));
        else
            leave(h, event == WEBSOCKET_PING ? WEBSOCKET_POLICY : (unsigned)-event);
    }
}

/* What came together with the handshake or before it was answered. */
static void read_pending_frames(struct h1 *h)
{
    struct buf pending = h->pending;
    buf_init(&h->pending, PENDING_MAX);
    if (h->stalled)
        conn_pause(h->conn->conn, false);
    h->stalled = false;
    read_frames(h, buf_slice(&pending));
    buf_done(&pending);
}

bool http_wants_websocket(const struct http_exchange *x)
{
    return x->req.upgrade && slice_ieq(http_request_header(x, "upgrade"), SLICE("websocket"));
}

const char *http_websocket_fault(const struct http_exchange *x)
{
    char accept[WEBSOCKET_ACCEPT_MAX];
    if (!slice_eq(x->req.method, SLICE("GET")))
        return "a WebSocket begins with GET";
    if (!slice_eq(http_request_header(x, "sec-websocket-version"), SLICE("13")))
        return "only version 13 of WebSocket is spoken here";
    if (websocket_accept(http_request_header(x, "sec-websocket-key"), accept))
        return "Sec-WebSocket-Key is missing or malformed";
    return NULL;
}

void http_websocket_start(struct http_exchange *x, bool text, struct slice protocol)
{
    x->started = true;
    if (!x->conn || x->aborted)
        return;
    struct h1 *h = x->conn->state;
    char accept[WEBSOCKET_ACCEPT_MAX];
    if (websocket_accept(http_request_header(x, "sec-websocket-key"), accept)) {
        server_conn_close(x->conn); /* memory is short: http_websocket_fault was asked */
        return;
    }
    const struct http_header headers[] = {{SLICE("upgrade"), SLICE("websocket")},
                                          {SLICE("connection"), SLICE("Upgrade")},
                                          {SLICE("sec-websocket-accept"), slice_str(accept)},
                                          {SLICE("sec-websocket-protocol"), protocol}};
    x->message = text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
    h->websocket = mem_new(struct h1_websocket);
    h->chunked = h->keep_alive = false;
    add_status(&x->conn->out, 101);
    add_headers(h, headers, protocol.n ? 4 : 3);
    chunkq_copy(&x->conn->out, "\r\n", 2);
    server_conn_dirty(x->conn);
}

/* ---- the connection ---- */

static void h1_data(struct server_conn *c, const char *p, size_t n)
{
    struct h1 *h = h1_get(c);
    if (h->websocket && h->pending.n == 0) {
        read_frames(h, slice_of(p, n));
        server_conn_dirty(c);
        return;
    }
    if (h->pending.n > 0 || h->whole) {
        h->rest = slice_of(p, n);
        keep_rest(h);
        return;
    }
    h->rest = slice_of(p, n);
    parse(h);
    server_conn_dirty(c);
}

static int h1_produce(struct server_conn *c)
{
    struct h1 *h = h1_get(c);
    bool over = answer(h);
    if (!c->dead && h->websocket && h->pending.n > 0)
        read_pending_frames(h);
    if (c->dead || h->websocket || (!over && !h->stalled) || h->whole || c->want_close)
        return 0;
    struct buf pending = h->pending;
    buf_init(&h->pending, PENDING_MAX);
    h->rest = buf_slice(&pending);
    if (h->rest.n > 0)
        turn_again(&c->server->turn);
    parse(h); /* also starts the idle timer and lets the peer go on */
    buf_done(&pending);
    return 0;
}

static void h1_wrote(struct http_exchange *x)
{
    server_conn_dirty(x->conn);
}

static void h1_abort(struct http_exchange *x)
{
    server_conn_close(x->conn);
}

static void h1_drain(struct server_conn *c)
{
    struct h1 *h = h1_get(c);
    c->draining = true;
    if (!h->x && h->pending.n == 0) {
        c->want_close = true;
        server_conn_dirty(c);
    }
}

static size_t h1_queued(const struct http_exchange *x)
{
    return x->out.bytes + server_conn_queued(x->conn);
}

static void h1_destroy(struct server_conn *c)
{
    struct h1 *h = c->state;
    if (!h)
        return;
    buf_done(&h->head);
    buf_done(&h->pending);
    mem_free(h->websocket);
    mem_free(h);
    c->state = NULL;
}

const struct server_proto h1_server_proto = {
    h1_data, h1_head, h1_wrote, h1_abort, h1_produce, NULL, h1_drain, h1_queued, h1_destroy,
};

/* ---- upgrades ---- */

struct conn *http_upgrade(struct http_exchange *x, int code, const struct http_header *headers, size_t n_headers)
{
    struct server_conn *c = x->conn;
    if (!c || x->aborted || !x->req.upgrade) {
        http_abort(x);
        return NULL;
    }
    struct h1 *h = c->state;
    add_status(&c->out, code);
    add_headers(h, headers, n_headers);
    chunkq_copy(&c->out, "\r\n", 2);
    size_t n;
    const struct chunk *chunks = chunkq_chunks(&c->out, &n);
    struct conn *raw = c->conn;
    int rv = c->out.error ? c->out.error : conn_write(raw, chunks, n);
    chunkq_forget(&c->out);
    if (rv) {
        http_abort(x);
        return NULL;
    }
    if (h->rest.n == 0)
        h->rest = buf_slice(&h->pending);
    raw = conn_prefixed(c->server->loop, raw, h->rest);
    c->conn = NULL;
    x->ended = true;
    server_conn_close(c); /* frees x */
    return raw;
}

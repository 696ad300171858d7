#include <errno.h>
#include <stdio.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "net/conn_impl.h"
#include "net/http_server_impl.h"
#include "net/websocket.h"

enum { HEADERS_FIRST_CAP = 24, GZIP_WINDOW = 15 + 16, GZIP_STEP = 64 << 10 };

/* ---- life ---- */

struct http_exchange *exchange_new(struct server_conn *c)
{
    struct http_exchange *x = mem_new(struct http_exchange);
    x->conn = c;
    x->client = c->client;
    x->client->refs++;
    arena_init(&x->arena, HTTP_ARENA_MAX);
    buf_init(&x->body, c->server->options.body_max);
    buf_init(&x->inflated, c->server->options.body_max);
    chunkq_init(&x->out);
    list_init(&x->ready_link);
    list_push(&c->exchanges, &x->link);
    c->n_exchanges++;
    x->req.peer = x->client->has_peer ? &x->client->peer : NULL;
    x->req.remote = x->client->remote;
    return x;
}

void exchange_free(struct http_exchange *x)
{
    list_remove(&x->link);
    list_remove(&x->ready_link);
    if (x->conn) {
        loop_timer_stop(x->conn->server->loop, &x->timer);
        x->conn->n_exchanges--;
    }
    if (--x->client->refs == 0)
        mem_free(x->client);
    buf_done(&x->body);
    buf_done(&x->inflated);
    chunkq_done(&x->out);
    arena_done(&x->arena);
    mem_free(x);
}

void exchange_gone(struct http_server *server, struct http_exchange *x)
{
    if (x->ended || !x->dispatched) {
        exchange_free(x);
        return;
    }
    if (x->aborted)
        return;
    x->aborted = true;
    chunkq_done(&x->out);
    turn_again(&server->turn);
    if (x->on_abort)
        x->on_abort(x); /* may free x */
}

void exchange_abandon_all(struct server_conn *c)
{
    struct list all;
    list_init(&all);
    for (struct list *l; (l = list_pop(&c->exchanges));)
        list_push(&all, l);
    for (struct list *l; (l = list_pop(&all));) {
        struct http_exchange *x = container_of(l, struct http_exchange, link);
        loop_timer_stop(c->server->loop, &x->timer);
        x->conn = NULL;
        list_remove(&x->ready_link);
        exchange_gone(c->server, x);
    }
    c->n_exchanges = 0;
}

/* ---- the request ---- */

int exchange_header(struct http_exchange *x, struct slice name, struct slice value)
{
    x->head_bytes += name.n + value.n;
    if (x->head_bytes > HTTP_HEAD_MAX || x->req.n_headers == HTTP_HEADERS_MAX)
        return -E2BIG;
    if (x->req.n_headers == x->headers_cap) {
        size_t cap = x->headers_cap ? x->headers_cap * 2 : HEADERS_FIRST_CAP;
        struct http_header *grown = arena_alloc(&x->arena, cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        if (x->req.n_headers)
            memcpy(grown, x->headers, x->req.n_headers * sizeof *grown);
        x->headers = grown;
        x->headers_cap = cap;
        x->req.headers = grown;
    }
    struct http_header *h = &x->headers[x->req.n_headers];
    h->name = arena_copy(&x->arena, name);
    h->value = arena_copy(&x->arena, value);
    if (!h->name.p || !h->value.p)
        return -ENOMEM;
    x->req.n_headers++;
    return 0;
}

void exchange_target(struct http_exchange *x, struct slice target)
{
    struct slice copy = arena_copy(&x->arena, target);
    slice_cut(copy, '?', &x->req.path, &x->req.query);
}

struct slice http_request_header(const struct http_exchange *x, const char *name)
{
    struct slice want = slice_str(name);
    for (size_t i = 0; i < x->req.n_headers; i++)
        if (slice_eq(x->req.headers[i].name, want))
            return x->req.headers[i].value;
    return SLICE_NONE;
}

/* 0, -E2BIG when the body grows over the limit, -EINVAL when it is no gzip, -ENOMEM. */
static int inflate_body(struct http_exchange *x)
{
    z_stream z = {.next_in = (unsigned char *)x->body.p, .avail_in = (unsigned)x->body.n};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return -ENOMEM;
    int rv = 0, end = Z_OK;
    while (!rv && end == Z_OK) {
        size_t room = x->inflated.max - x->inflated.n;
        size_t step = room < GZIP_STEP ? room + 1 : GZIP_STEP; /* one more than fits tells that it does not */
        unsigned char piece[GZIP_STEP];
        z.next_out = piece;
        z.avail_out = (unsigned)step;
        end = inflate(&z, Z_NO_FLUSH);
        size_t got = step - z.avail_out;
        rv = buf_add(&x->inflated, piece, got);
        if (!rv && end == Z_OK && got == 0)
            rv = -EINVAL; /* cut short */
    }
    inflateEnd(&z);
    return rv ? rv : end == Z_STREAM_END ? 0 : -EINVAL;
}

/* Undoes content-encoding. False when x was rejected. */
static bool decode_body(struct http_exchange *x)
{
    x->req.body = buf_slice(&x->body);
    struct slice encoding = http_request_header(x, "content-encoding");
    if (encoding.n == 0 || x->body.n == 0 || slice_ieq(encoding, SLICE("identity")))
        return true;
    if (!slice_ieq(encoding, SLICE("gzip"))) {
        exchange_reject(x, 415, "the request body's content-encoding is not supported; use gzip or none");
        return false;
    }
    switch (inflate_body(x)) {
    case 0:
        x->req.body = buf_slice(&x->inflated);
        return true;
    case -E2BIG:
        exchange_reject(x, 413, HTTP_TOO_LARGE);
        return false;
    case -ENOMEM:
        exchange_reject(x, 503, "the server is short of memory");
        return false;
    default:
        exchange_reject(x, 400, "the request body is not valid gzip");
        return false;
    }
}

void exchange_dispatch(struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    loop_timer_stop(s->loop, &x->timer);
    if (!decode_body(x))
        return;
    x->dispatched = true;
    s->options.on_request(s->options.ctx, x);
}

/* ---- the handler's side ---- */

const struct http_request *http_request(const struct http_exchange *x)
{
    return &x->req;
}

struct arena *http_arena(struct http_exchange *x)
{
    return &x->arena;
}

void http_set_ctx(struct http_exchange *x, void *ctx, void (*on_abort)(struct http_exchange *x))
{
    x->ctx = ctx;
    x->on_abort = on_abort;
}

void *http_ctx(const struct http_exchange *x)
{
    return x->ctx;
}

void http_on_drain(struct http_exchange *x, void (*cb)(struct http_exchange *x))
{
    x->on_drain = cb;
}

static bool reachable(const struct http_exchange *x)
{
    return x->conn && !x->aborted;
}

static void start(struct http_exchange *x, int code, const struct http_header *headers, size_t n, int64_t length)
{
    x->started = true;
    x->bodyless = slice_eq(x->req.method, SLICE("HEAD")) || code == 204 || code == 304;
    if (reachable(x))
        x->conn->proto->head(x, code, headers, n, length);
}

void http_reply_start(struct http_exchange *x, int code, const struct http_header *headers, size_t n_headers)
{
    start(x, code, headers, n_headers, -1);
    if (reachable(x))
        x->conn->proto->wrote(x);
}

static void drop(const struct chunk *chunks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        blob_unref(chunks[i].blob);
}

static size_t chunks_bytes(const struct chunk *chunks, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += chunks[i].n;
    return bytes;
}

static void frame_head(struct http_exchange *x, size_t n)
{
    unsigned char head[WEBSOCKET_HEAD_MAX];
    chunkq_copy(&x->out, head, websocket_head(x->message, n, head));
}

static void queue(struct http_exchange *x, const struct chunk *chunks, size_t n)
{
    if (!reachable(x) || x->bodyless) {
        drop(chunks, n);
        return;
    }
    if (x->message)
        frame_head(x, chunks_bytes(chunks, n));
    for (size_t i = 0; i < n; i++)
        chunkq_push(&x->out, chunks[i]);
    if (http_reply_queued(x) >= STREAM_LOW_WATER)
        x->above = true;
}

void http_reply_write(struct http_exchange *x, const struct chunk *chunks, size_t n)
{
    queue(x, chunks, n);
    if (reachable(x))
        x->conn->proto->wrote(x);
}

size_t http_reply_queued(const struct http_exchange *x)
{
    return reachable(x) ? x->conn->proto->queued(x) : 0;
}

void http_reply_end(struct http_exchange *x)
{
    x->ended = true;
    if (reachable(x))
        x->conn->proto->wrote(x);
    else
        exchange_free(x);
}

void http_reply(struct http_exchange *x, int code, const struct http_header *headers, size_t n_headers,
                const struct chunk *body, size_t n_chunks)
{
    start(x, code, headers, n_headers, (int64_t)chunks_bytes(body, n_chunks));
    queue(x, body, n_chunks);
    http_reply_end(x);
}

void http_abort(struct http_exchange *x)
{
    x->ended = true;
    if (reachable(x))
        x->conn->proto->abort(x);
    else
        exchange_free(x);
}

bool exchange_check_drain(struct http_exchange *x)
{
    if (!x->above || x->ended || x->aborted)
        return false;
    if (http_reply_queued(x) >= STREAM_LOW_WATER)
        return x->out.bytes == 0;
    x->above = false;
    turn_again(&x->conn->server->turn);
    if (x->on_drain)
        x->on_drain(x);
    return false;
}

/* ---- rejections ---- */

void exchange_reject(struct http_exchange *x, int code, const char *message)
{
    char text[512];
    int n = snprintf(text, sizeof text,
                     "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
                     "\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}\n",
                     message, status_reason(code), code);
    const struct http_header type = {SLICE("content-type"), SLICE("application/json")};
    struct blob *b = blob_copy(slice_of(text, (size_t)n));
    struct chunk c = b ? chunk_take(b) : chunk_static(SLICE_NONE);
    x->dispatched = true;
    loop_timer_stop(x->conn->server->loop, &x->timer);
    http_reply(x, code, &type, 1, &c, 1);
}

const char *http_reason(int code)
{
    static const struct {
        int code;
        const char *text;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Request Entity Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].code == code)
            return reasons[i].text;
    return "Unknown";
}

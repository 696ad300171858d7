/* An HTTP server in the simulator for fuzz_http1 and fuzz_http2: the real session code from the accepted stream on, a
 * peer that sends what the input says, and what must hold of every request that gets as far as the handler.
 *
 * Paths: those that begin with /s stream pieces, /h are never answered, the rest get their body back; a WebSocket gets
 * two messages. */
#ifndef PINTLE_TESTS_FUZZ_SERVER_H
#define PINTLE_TESTS_FUZZ_SERVER_H

#include "base/buf.h"
#include "fuzz.h"
#include "loop/sim.h"
#include "net/http.h"

enum { FUZZ_OUT_MAX = 16 << 20, FUZZ_RUN_MS = 40, FUZZ_END_MS = 5000 };

struct fuzz_server {
    struct sim *sim;
    struct loop *host, *far;
    struct http_server *server;
    struct stream *peer;
    struct buf out; /* what the server said */
    unsigned requests, open, most_open;
    bool ended;
    struct loop_timer say;
    struct slice left; /* to be said */
    size_t step;
};

static inline bool fuzz_is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == ':')
            return false;
    return s.n > 0;
}

/* What the handlers above rely on, and what keeps a request from being read as two by a proxy before us. */
static inline void fuzz_check_request(const struct http_exchange *x)
{
    const struct http_request *r = http_request(x);
    unsigned lengths = 0, hosts = 0;
    bool coded = false;
    FUZZ_CHECK(fuzz_is_token(r->method));
    FUZZ_CHECK(r->path.n > 0 && (r->path.p[0] == '/' || slice_eq_str(r->path, "*")));
    FUZZ_CHECK(r->n_headers <= HTTP_HEADERS_MAX && r->body.n <= HTTP_BODY_MAX);
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        FUZZ_CHECK(fuzz_is_token(h->name));
        FUZZ_CHECK(!h->value.n || !memchr(h->value.p, '\n', h->value.n));
        FUZZ_CHECK(!h->value.n || !memchr(h->value.p, '\r', h->value.n));
        FUZZ_CHECK(!h->value.n || !memchr(h->value.p, '\0', h->value.n));
        for (size_t k = 0; k < h->name.n; k++)
            FUZZ_CHECK(h->name.p[k] < 'A' || h->name.p[k] > 'Z');
        lengths += slice_eq_str(h->name, "content-length");
        hosts += slice_eq_str(h->name, "host");
        coded |= slice_eq_str(h->name, "transfer-encoding");
    }
    if (r->version == 1)
        FUZZ_CHECK(hosts <= 1 && lengths <= 1 && !(coded && lengths));
    else
        FUZZ_CHECK(!coded);
}

static inline void fuzz_on_abort(struct http_exchange *x)
{
    struct fuzz_server *f = http_ctx(x);
    f->open--;
    http_abort(x);
}

static inline void fuzz_on_request(void *ctx, struct http_exchange *x)
{
    static const struct slice piece = SLICE_INIT("piece");
    struct fuzz_server *f = ctx;
    const struct http_request *r = http_request(x);
    struct chunk c = chunk_static(piece);
    fuzz_check_request(x);
    f->requests++;
    f->open++;
    f->most_open = f->open > f->most_open ? f->open : f->most_open;
    http_set_ctx(x, f, fuzz_on_abort);
    if (slice_starts(r->path, SLICE("/h")))
        return;
    f->open--;
    if (http_wants_websocket(x) && !http_websocket_fault(x)) {
        f->open++;
        http_websocket_start(x, true, SLICE_NONE);
        http_reply_write(x, &c, 1);
        http_reply_write(x, &c, 1);
    } else if (slice_starts(r->path, SLICE("/s"))) {
        http_reply_start(x, 200, NULL, 0);
        for (unsigned i = 0; i < 3; i++)
            http_reply_write(x, &c, 1);
        http_reply_end(x);
    } else {
        struct blob *b = blob_copy(r->body);
        c = b ? chunk_take(b) : chunk_static(SLICE(""));
        http_reply(x, 200, NULL, 0, &c, 1);
    }
}

static inline void fuzz_on_data(void *ctx, const char *p, size_t n)
{
    FUZZ_CHECK(!buf_add(&((struct fuzz_server *)ctx)->out, p, n));
}

static inline void fuzz_on_end(void *ctx, int err)
{
    (void)err;
    ((struct fuzz_server *)ctx)->ended = true;
}

static inline void fuzz_connected(void *ctx, int err, struct stream *s)
{
    static const struct stream_handler handler = {fuzz_on_data, fuzz_on_end, NULL};
    struct fuzz_server *f = ctx;
    FUZZ_CHECK(!err);
    f->peer = s;
    stream_handle(s, &handler, f);
}

static inline void fuzz_server_open(struct fuzz_server *f)
{
    *f = (struct fuzz_server){.sim = sim_new(1)};
    buf_init(&f->out, FUZZ_OUT_MAX);
    f->host = sim_host(f->sim, "a");
    f->far = sim_host(f->sim, "b");
    loop_log(f->host)->level = LOG_ERROR;
    const struct http_server_options o = {.listen = "a:80", .on_request = fuzz_on_request, .ctx = f};
    FUZZ_CHECK(!http_server_new(f->host, &o, &f->server));
    loop_connect(f->far, "a:80", fuzz_connected, f);
    sim_run_ms(f->sim, 5);
    FUZZ_CHECK(f->peer);
}

/* In a turn of the peer's own loop: what is written outside one waits for the next. */
static inline void fuzz_say(struct loop_timer *t)
{
    struct fuzz_server *f = (struct fuzz_server *)((char *)t - offsetof(struct fuzz_server, say));
    size_t n = f->left.n < f->step ? f->left.n : f->step;
    struct blob *b = blob_copy(slice_of(f->left.p, n));
    struct chunk c = b ? chunk_take(b) : chunk_static(SLICE(""));
    stream_write(f->peer, &c, 1);
    f->left = slice_from(f->left, n);
    if (f->left.n > 0)
        loop_timer_start(f->far, t, 1);
}

/* Sends bytes cut into pieces of at most `step` bytes, a millisecond apart. */
static inline void fuzz_server_send(struct fuzz_server *f, struct slice bytes, size_t step)
{
    f->left = bytes;
    f->step = step;
    f->say.cb = fuzz_say;
    if (bytes.n > 0)
        loop_timer_start(f->far, &f->say, 0);
    sim_run_ms(f->sim, FUZZ_RUN_MS + bytes.n / (step ? step : 1));
    loop_timer_stop(f->far, &f->say);
}

/* The peer goes: nothing of it may be left. */
static inline void fuzz_server_close(struct fuzz_server *f)
{
    stream_close(f->peer);
    sim_run_ms(f->sim, FUZZ_END_MS);
    FUZZ_CHECK(http_server_connections(f->server) == 0);
    FUZZ_CHECK(f->open == 0);
    http_server_free(f->server);
    sim_free(f->sim);
    buf_done(&f->out);
}

#endif

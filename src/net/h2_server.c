/* HTTP/2 on the server's side over nghttp2. Requests are dispatched after nghttp2 has read all of a piece of input, so
 * that no handler runs inside its callbacks and requests reset at once are never seen by a handler. */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/h2_guard.h"
#include "net/h2_session.h"
#include "net/http_server_impl.h"

enum {
    STREAM_WINDOW = 1 << 20,      /* request body bytes a stream may send ahead */
    CONNECTION_WINDOW = 32 << 20, /* of all unfinished request bodies of a connection */
    PREFACE_BYTES = 24,
    NV_MAX = HTTP_HEADERS_MAX + 4,
    DECODED_HEAD_MAX = 4 * HTTP_HEAD_MAX /* a head that decodes to more ends the connection */
};

struct h2 {
    struct server_conn *conn;
    nghttp2_session *session;
    struct h2_guard guard;
    struct list ready; /* exchanges to be dispatched, in order */
    bool blocked;      /* the conn's queue is full: nghttp2 waits */
    bool told_away;
    struct loop_timer away; /* second step of draining */
};

enum { UNWANTED_MS = 1000 };
enum { AWAY_MS = 200 }; /* between "no new streams soon" and "none from now on": what is under way still arrives */

static void pass(struct h2 *h)
{
    server_conn_dirty(h->conn);
}

static struct http_exchange *exchange_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* ---- reading ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h->conn->n_exchanges >= HTTP_STREAMS_MAX) { /* handlers still work on requests the client has given up */
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    struct http_exchange *x = exchange_new(h->conn);
    x->stream_id = frame->hd.stream_id;
    x->req.version = 2;
    nghttp2_session_set_stream_user_data(session, x->stream_id, x);
    return 0;
}

/* Pseudo-headers; nghttp2 has checked that they are there, once each and before the others. */
static int take_pseudo(struct http_exchange *x, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE(":method")))
        x->req.method = arena_copy(&x->arena, value);
    else if (slice_eq(name, SLICE(":path")))
        exchange_target(x, value);
    else if (slice_eq(name, SLICE(":authority")))
        return exchange_header(x, SLICE("host"), value);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_p, size_t name_n,
                     const uint8_t *value_p, size_t value_n, uint8_t flags, void *user)
{
    (void)flags;
    (void)user;
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
    if (!x || frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct slice name = slice_of(name_p, name_n), value = slice_of(value_p, value_n);
    if (x->reject) {
        x->head_bytes += name_n + value_n;
        return x->head_bytes > DECODED_HEAD_MAX ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    }
    int rv = name_n > 0 && name.p[0] == ':' ? take_pseudo(x, name, value) : exchange_header(x, name, value);
    if (rv)
        x->reject = rv == -E2BIG ? 431 : 503;
    return 0;
}

static void become_ready(struct h2 *h, struct http_exchange *x)
{
    if (!x->dispatched && list_empty(&x->ready_link))
        list_push(&h->ready, &x->ready_link);
}

static void on_late(struct loop_timer *t)
{
    struct http_exchange *x = container_of(t, struct http_exchange, timer);
    exchange_reject(x, 408, "the request did not come in time");
}

static void expect_continue(nghttp2_session *session, struct http_exchange *x)
{
    static uint8_t name[] = ":status", code[] = "100";
    if (!slice_ieq(http_request_header(x, "expect"), SLICE("100-continue")))
        return;
    nghttp2_nv nv = {name, code, sizeof name - 1, sizeof code - 1, NGHTTP2_NV_FLAG_NO_COPY_NAME};
    nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, x->stream_id, NULL, &nv, 1, NULL);
}

/* CONNECT has no path; nghttp2 leaves the form of others to us. */
static bool is_target(struct slice path)
{
    return path.n > 0 && (path.p[0] == '/' || slice_eq(path, SLICE("*")));
}

/* The head is in. Rejections are left to the time after nghttp2's callbacks. */
static void head_done(struct h2 *h, struct http_exchange *x, bool whole)
{
    uint64_t length;
    if (!x->reject && (!x->req.method.p || !is_target(x->req.path)))
        x->reject = 400;
    if (!x->reject && slice_to_u64(http_request_header(x, "content-length"), &length) && length > x->body.max)
        x->reject = 413;
    if (whole || x->reject) {
        become_ready(h, x);
        return;
    }
    expect_continue(h->session, x);
    x->timer.cb = on_late;
    loop_timer_start(h->conn->server->loop, &x->timer, h->conn->server->options.head_ms);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
    if (!x)
        return 0;
    bool whole = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        head_done(h, x, whole);
    else if (whole)
        become_ready(h, x);
    return 0;
}

/* The stream's window opens at once, the connection's only when the body is whole or given up: that bounds the memory
 * of unfinished bodies. What a finished body used is given back in give_back. */
static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *p, size_t n,
                         void *user)
{
    (void)flags;
    struct h2 *h = user;
    struct http_exchange *x = exchange_of(session, stream_id);
    nghttp2_session_consume_stream(session, stream_id, n);
    if (!x || x->dispatched || x->reject) {
        nghttp2_session_consume_connection(session, n);
        return 0;
    }
    x->held += n;
    int rv = buf_add(&x->body, p, n);
    if (rv) {
        x->reject = rv == -E2BIG ? 413 : 503;
        become_ready(h, x);
    }
    return 0;
}

static void give_back(struct h2 *h, struct http_exchange *x)
{
    if (x->held > 0)
        nghttp2_session_consume_connection(h->session, x->held);
    x->held = 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user)
{
    (void)error_code;
    struct h2 *h = user;
    struct http_exchange *x = exchange_of(session, stream_id);
    if (!x)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    give_back(h, x);
    exchange_gone(h->conn->server, x);
    return 0;
}

/* ---- writing ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *user)
{
    (void)session;
    (void)flags;
    struct h2 *h = user;
    if (server_conn_queued(h->conn) > STREAM_HIGH_WATER) {
        h->blocked = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    return chunkq_copy(&h->conn->out, p, n) ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head, size_t n,
                        nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)frame;
    struct h2 *h = user;
    struct http_exchange *x = source->ptr;
    if (server_conn_queued(h->conn) > STREAM_HIGH_WATER) {
        h->blocked = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    chunkq_copy(&h->conn->out, frame_head, 9);
    x->moved += n;
    return chunkq_move(&h->conn->out, &x->out, n) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t stream_id, uint8_t *p, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)stream_id;
    (void)p;
    (void)user;
    struct http_exchange *x = source->ptr;
    if (x->out.error)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    if (x->out.bytes == 0 && !x->ended) {
        x->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    size_t take = x->out.bytes < n ? x->out.bytes : n;
    if (take == x->out.bytes && x->ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)take;
}

static void on_unwanted(struct loop_timer *t)
{
    struct http_exchange *x = container_of(t, struct http_exchange, timer);
    struct h2 *h = x->conn->state;
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_NO_ERROR);
    pass(h);
}

/* Streams that we had to reset for the peer's faults cost like those it resets itself: work is begun and thrown away. */
static void count_reset(struct h2 *h, uint32_t code)
{
    const char *why;
    bool fault = code != NGHTTP2_NO_ERROR && code != NGHTTP2_INTERNAL_ERROR;
    if (fault && h2_guard_reset(&h->guard, loop_now(h->conn->server->loop), &why)) {
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
        h->conn->want_close = true;
    }
}

/* An answer that ended before its request did: the rest of the request is not wanted (RFC 9113 section 8.1). Some
 * clients drop the answer when they are told so while they send; they get a moment to read it. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        count_reset(h, frame->rst_stream.error_code);
    bool end = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    struct http_exchange *x = end ? exchange_of(session, frame->hd.stream_id) : NULL;
    if (x && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
        x->timer.cb = on_unwanted;
        loop_timer_start(h->conn->server->loop, &x->timer, UNWANTED_MS);
    }
    return 0;
}

static void h2_head(struct http_exchange *x, int code, const struct http_header *headers, size_t n, int64_t length)
{
    struct h2 *h = x->conn->state;
    nghttp2_nv nv[NV_MAX];
    size_t k = 0;
    char status[16], length_text[24];
    int status_n = snprintf(status, sizeof status, "%d", code);
    nv[k++] = h2_nv(SLICE(":status"), slice_of(status, (size_t)status_n));
    nv[k++] = h2_nv(SLICE("date"), server_date(x->conn->server));
    if (length >= 0 && code != 204 && code != 304) {
        int length_n = snprintf(length_text, sizeof length_text, "%lld", (long long)length);
        nv[k++] = h2_nv(SLICE("content-length"), slice_of(length_text, (size_t)length_n));
    }
    for (size_t i = 0; i < n && k < NV_MAX; i++)
        if (header_is_clean(&headers[i]) && !header_is_for_h1(headers[i].name))
            nv[k++] = h2_nv(headers[i].name, headers[i].value);
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = on_read};
    bool empty = x->bodyless || length == 0;
    if (nghttp2_submit_response(h->session, x->stream_id, nv, k, empty ? NULL : &body))
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
}

static void h2_wrote(struct http_exchange *x)
{
    struct h2 *h = x->conn->state;
    if (x->deferred) {
        x->deferred = false;
        nghttp2_session_resume_data(h->session, x->stream_id);
    }
    pass(h);
}

static void h2_abort(struct http_exchange *x)
{
    struct h2 *h = x->conn->state;
    chunkq_done(&x->out);
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
    pass(h);
}

/* The handler hears of it when the reset is sent. */
static void h2_give_up(struct http_exchange *x)
{
    struct h2 *h = x->conn->state;
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_CANCEL);
    pass(h);
}

static struct h2 *h2_get(struct server_conn *c);

static int h2_produce(struct server_conn *c)
{
    struct h2 *h = h2_get(c);
    if (!h)
        return 0;
    h->blocked = false; /* once blocked, the conn's on_drain brings us here again */
    if (c->want_close)
        nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
    if (nghttp2_session_send(h->session))
        return -EPROTO;
    if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session) && !h->blocked)
        c->want_close = true;
    server_conn_timers(c, false);
    return 0;
}

/* ---- life ---- */

static int open_session(struct h2 *h)
{
    static const struct h2_callbacks callbacks = {
        .on_begin_headers = on_begin_headers,
        .on_header = on_header,
        .on_frame_recv = on_frame_recv,
        .on_data_chunk_recv = on_data_chunk,
        .on_stream_close = on_stream_close,
        .send = on_send,
        .send_data = on_send_data,
        .on_frame_send = on_frame_send,
    };
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_MAX},
    };
    return h2_session_open(&h->session, true, &callbacks, h, settings, sizeof settings / sizeof *settings,
                           CONNECTION_WINDOW);
}

/* No new streams from here on; those at work go on. */
static void on_away(struct loop_timer *t)
{
    struct h2 *h = container_of(t, struct h2, away);
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                          NGHTTP2_NO_ERROR, NULL, 0);
    pass(h);
}

static struct h2 *h2_get(struct server_conn *c)
{
    if (c->state)
        return c->state;
    struct h2 *h = mem_new(struct h2);
    h->conn = c;
    h->away.cb = on_away;
    list_init(&h->ready);
    h2_guard_init(&h->guard, PREFACE_BYTES, loop_now(c->server->loop));
    c->state = h;
    if (open_session(h)) {
        server_conn_close(c);
        return NULL;
    }
    pass(h);
    return h;
}

static const char *reject_text(int code)
{
    switch (code) {
    case 400:
        return "the request's target is malformed";
    case 413:
        return HTTP_TOO_LARGE;
    case 431:
        return "the request's head is too large";
    default:
        return "the server is short of memory";
    }
}

static void dispatch_ready(struct h2 *h)
{
    for (struct list *l; !h->conn->dead && (l = list_pop(&h->ready));) {
        struct http_exchange *x = container_of(l, struct http_exchange, ready_link);
        give_back(h, x);
        if (x->reject)
            exchange_reject(x, x->reject, reject_text(x->reject));
        else
            exchange_dispatch(x);
    }
}

static void h2_data(struct server_conn *c, const char *p, size_t n)
{
    struct h2 *h = h2_get(c);
    const char *why = "";
    if (!h || c->dead)
        return;
    if (h2_guard_feed(&h->guard, p, n, loop_now(c->server->loop), &why)) {
        log_warn(loop_log(c->server->loop), "http", "closing an HTTP/2 connection reason=%s peer=%s", why,
                 c->client->remote);
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
        c->want_close = true;
        pass(h);
        return;
    }
    ssize_t rv = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, n);
    if (rv < 0) {
        bool calm = rv == NGHTTP2_ERR_FLOODED || rv == NGHTTP2_ERR_CALLBACK_FAILURE; /* the latter: DECODED_HEAD_MAX */
        nghttp2_session_terminate_session(h->session, calm ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
        c->want_close = true;
    }
    dispatch_ready(h);
    pass(h);
}

static void h2_drain(struct server_conn *c)
{
    struct h2 *h = h2_get(c);
    c->draining = true;
    if (!h || c->dead || h->told_away)
        return;
    h->told_away = true;
    nghttp2_submit_shutdown_notice(h->session);
    loop_timer_start(c->server->loop, &h->away, AWAY_MS);
    pass(h);
}

static size_t h2_queued(const struct http_exchange *x)
{
    return x->out.bytes;
}

static void h2_destroy(struct server_conn *c)
{
    struct h2 *h = c->state;
    if (!h)
        return;
    loop_timer_stop(c->server->loop, &h->away);
    nghttp2_session_del(h->session);
    mem_free(h);
    c->state = NULL;
}

const struct server_proto h2_server_proto = {
    h2_data, h2_head, h2_wrote, h2_abort, h2_produce, h2_give_up, h2_drain, h2_queued, h2_destroy,
};

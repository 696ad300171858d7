/* HTTP/2 on the client's side over nghttp2: many calls on one connection. */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/h2_guard.h"
#include "net/h2_session.h"
#include "net/http_client_impl.h"
#include "net/http_head.h"

enum {
    STREAM_WINDOW = 1 << 20,
    CONNECTION_WINDOW = 64 << 20, /* paused calls hold back only their own streams */
    NV_MAX = HTTP_HEADERS_MAX + 5,
    QUIET_MS = 30000, /* a connection with calls that is silent as long is probed with a PING */
    PROBE_MS = 15000  /* and given up when nothing comes for as long after that */
};

struct h2 {
    struct client_conn *conn;
    nghttp2_session *session;
    struct h2_guard guard;
    struct loop_timer probe;
    bool probing;
};

static struct http_call *call_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* ---- reading ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    struct http_call *call = call_of(session, frame->hd.stream_id);
    if (call)
        call_begin_fields(call);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_p, size_t name_n,
                     const uint8_t *value_p, size_t value_n, uint8_t flags, void *user)
{
    (void)flags;
    (void)user;
    struct http_call *call = call_of(session, frame->hd.stream_id);
    if (!call)
        return 0;
    struct slice name = slice_of(name_p, name_n), value = slice_of(value_p, value_n);
    int64_t code;
    if (slice_eq(name, SLICE(":status"))) {
        call->code = slice_to_i64(value, &code) ? (int)code : 0;
        return 0;
    }
    return call_add_field(call, name, value) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        h->conn->no_new = true;
        client_assign_later(h->conn->client);
        client_conn_idle_check(h->conn);
        return 0;
    }
    if (frame->hd.type == NGHTTP2_SETTINGS)
        client_assign_later(h->conn->client); /* there may be room for more streams */
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct http_call *call = call_of(session, frame->hd.stream_id);
    if (call && !call->head_seen && call->code / 100 != 1)
        call_head(call, call->code);
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *p, size_t n,
                         void *user)
{
    (void)flags;
    (void)user;
    struct http_call *call = call_of(session, stream_id);
    nghttp2_session_consume_connection(session, n);
    size_t delivered = call ? call_data(call, slice_of(p, n)) : n;
    nghttp2_session_consume_stream(session, stream_id, delivered);
    call = call_of(session, stream_id); /* it may have been cancelled */
    if (call)
        call->unconsumed += n - delivered;
    return 0;
}

static int error_of(uint32_t code)
{
    switch (code) {
    case NGHTTP2_NO_ERROR:
    case NGHTTP2_CANCEL:
    case NGHTTP2_INTERNAL_ERROR:
        return -EPIPE;
    case NGHTTP2_REFUSED_STREAM:
        return -EAGAIN;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return -EBUSY;
    default:
        return -EPROTO;
    }
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *user)
{
    struct h2 *h = user;
    struct http_call *call = call_of(session, stream_id);
    if (!call)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    h->conn->used = true;
    /* With NO_ERROR after the whole answer the server only tells that it did not need the request's rest. */
    if (code == NGHTTP2_NO_ERROR && call->head_seen)
        call_end(call, 0);
    else if (code == NGHTTP2_REFUSED_STREAM)
        call_retry_or_end(call, true, -EAGAIN);
    else
        call_end(call, error_of(code));
    return 0;
}

/* ---- writing ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *user)
{
    (void)session;
    (void)flags;
    struct h2 *h = user;
    struct client_conn *c = h->conn;
    if (!c->conn || c->out.bytes + conn_queued(c->conn) > STREAM_HIGH_WATER)
        return NGHTTP2_ERR_WOULDBLOCK; /* on_drain brings us back */
    return chunkq_copy(&c->out, p, n) ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    struct http_call *call = frame->hd.type == NGHTTP2_HEADERS ? call_of(session, frame->hd.stream_id) : NULL;
    if (call)
        call->sent = true;
    return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t stream_id, uint8_t *p, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    (void)source;
    (void)user;
    struct http_call *call = call_of(session, stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct slice body = call->options.body;
    size_t left = body.n - call->sent_body, take = left < n ? left : n;
    if (take)
        memcpy(p, body.p + call->sent_body, take);
    call->sent_body += take;
    if (call->sent_body == body.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)take;
}

static size_t request_nv(const struct http_call *call, char length[24], nghttp2_nv nv[NV_MAX])
{
    const struct http_call_options *o = &call->options;
    size_t k = 0;
    nv[k++] = h2_nv(SLICE(":method"), slice_str(o->method));
    nv[k++] = h2_nv(SLICE(":scheme"), call->client->options.tls ? SLICE("https") : SLICE("http"));
    nv[k++] = h2_nv(SLICE(":authority"), slice_str(call->client->host));
    nv[k++] = h2_nv(SLICE(":path"), slice_str(o->path));
    if (o->body.n > 0) {
        int n = snprintf(length, 24, "%zu", o->body.n);
        nv[k++] = h2_nv(SLICE("content-length"), slice_of(length, (size_t)n));
    }
    for (size_t i = 0; i < o->n_headers && k < NV_MAX; i++)
        if (!header_is_for_h1(o->headers[i].name))
            nv[k++] = h2_nv(o->headers[i].name, o->headers[i].value);
    return k;
}

/* ---- the connection's silence ---- */

static void watch_silence(struct h2 *h)
{
    h->probing = false;
    unsigned quiet_ms = h->conn->client->options.quiet_ms;
    if (h->conn->n_calls > 0)
        loop_timer_start(h->conn->client->loop, &h->probe, quiet_ms ? quiet_ms : QUIET_MS);
    else
        loop_timer_stop(h->conn->client->loop, &h->probe);
}

static void on_probe(struct loop_timer *t)
{
    struct h2 *h = container_of(t, struct h2, probe);
    if (h->conn->n_calls == 0)
        return;
    if (h->probing) {
        client_conn_close(h->conn, -ETIMEDOUT);
        return;
    }
    h->probing = true;
    nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
    client_conn_dirty(h->conn);
    unsigned quiet_ms = h->conn->client->options.quiet_ms;
    loop_timer_start(h->conn->client->loop, &h->probe, quiet_ms ? quiet_ms : PROBE_MS);
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
        .on_frame_send = on_frame_send,
    };
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CLIENT_HEAD_MAX},
    };
    return h2_session_open(&h->session, false, &callbacks, h, settings, sizeof settings / sizeof *settings,
                           CONNECTION_WINDOW);
}

static void h2_destroy(struct client_conn *c)
{
    struct h2 *h = c->state;
    if (!h)
        return;
    loop_timer_stop(c->client->loop, &h->probe);
    nghttp2_session_del(h->session);
    mem_free(h);
    c->state = NULL;
}

static struct h2 *h2_get(struct client_conn *c)
{
    if (c->state)
        return c->state;
    struct h2 *h = mem_new(struct h2);
    h->conn = c;
    h->probe.cb = on_probe;
    h2_guard_init(&h->guard, 0, loop_now(c->client->loop));
    c->state = h;
    if (!open_session(h))
        return h;
    h2_destroy(c);
    return NULL;
}

static int h2_submit(struct client_conn *c, struct http_call *call)
{
    struct h2 *h = h2_get(c);
    char length[24];
    nghttp2_nv nv[NV_MAX];
    if (!h)
        return -ENOMEM;
    size_t n = request_nv(call, length, nv);
    nghttp2_data_provider body = {.read_callback = on_read};
    int32_t id = nghttp2_submit_request(h->session, NULL, nv, n, call->options.body.n ? &body : NULL, call);
    if (id < 0) { /* all stream numbers are used up, or no memory */
        c->no_new = true;
        call_retry_or_end(call, true, id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EAGAIN);
        return 0;
    }
    call->stream_id = id;
    watch_silence(h);
    client_conn_dirty(c);
    return 0;
}

static void h2_data(struct client_conn *c, const char *p, size_t n)
{
    struct h2 *h = h2_get(c);
    const char *why = "";
    if (!h || h2_guard_feed(&h->guard, p, n, loop_now(c->client->loop), &why)) {
        client_conn_close(c, h ? -EPROTO : -ENOMEM);
        return;
    }
    ssize_t used = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, n);
    if (c->dead)
        return;
    if (used < 0) {
        client_conn_close(c, -EPROTO);
        return;
    }
    watch_silence(h);
    client_conn_dirty(c);
}

static void h2_end(struct client_conn *c, int err)
{
    (void)c;
    (void)err; /* a stream that is not closed by now was cut */
}

static void h2_cancel(struct client_conn *c, struct http_call *call)
{
    struct h2 *h = c->state;
    if (h && call->stream_id > 0) {
        nghttp2_session_set_stream_user_data(h->session, call->stream_id, NULL);
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
        client_conn_dirty(c);
    }
    call_detach(call);
}

static void h2_pause(struct client_conn *c, struct http_call *call, bool paused)
{
    struct h2 *h = c->state;
    if (paused || !h)
        return; /* what comes is held; the stream's window then closes */
    nghttp2_session_consume_stream(h->session, call->stream_id, call->unconsumed);
    call->unconsumed = 0;
    client_conn_dirty(c);
}

static int h2_produce(struct client_conn *c)
{
    struct h2 *h = h2_get(c);
    if (!h || nghttp2_session_send(h->session))
        return -EPROTO;
    if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)) {
        c->no_new = true;
        client_conn_idle_check(c);
    }
    return 0;
}

static size_t h2_room(const struct client_conn *c)
{
    const struct h2 *h = c->state;
    uint32_t most = h ? nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) : 100;
    most = most < HTTP_STREAMS_MAX ? most : HTTP_STREAMS_MAX;
    return c->n_calls < most ? most - c->n_calls : 0;
}

const struct client_proto h2_client_proto = {
    h2_submit, h2_data, h2_end, h2_cancel, h2_pause, h2_produce, h2_room, h2_destroy,
};

/* HTTP/1.1 on the client's side: one call at a time on a connection. */
#include <errno.h>
#include <llhttp.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/http_client_impl.h"
#include "net/http_head.h"

struct h1 {
    struct client_conn *conn;
    struct http_call *call; /* NULL between calls, and once the call of a running parse is gone */
    llhttp_t parser;
    struct buf text; /* the field being read: name, then value */
    size_t name_n;
    bool in_value;
    bool written; /* the request was given to the connection */
    bool whole, keep_alive;
    int err; /* why a callback stopped the parser */
};

static struct h1 *h1_of(llhttp_t *p)
{
    return container_of(p, struct h1, parser);
}

static int stop(struct h1 *h, int err)
{
    h->err = err;
    return HPE_USER;
}

/* ---- reading ---- */

static int flush_field(struct h1 *h)
{
    if (h->text.n == 0 && !h->in_value)
        return 0;
    struct slice name = slice_of(h->text.p, h->name_n);
    struct slice value = slice_trim(slice_from(buf_slice(&h->text), h->name_n));
    if (!value.p)
        value = SLICE("");
    int rv = h->call && !h->call->head_seen ? call_add_field(h->call, name, value) : 0;
    buf_clear(&h->text);
    h->name_n = 0;
    h->in_value = false;
    return rv ? stop(h, rv) : 0;
}

static int on_begin(llhttp_t *p)
{
    struct h1 *h = h1_of(p);
    if (!h->call)
        return stop(h, -EPROTO); /* an answer nobody asked for */
    buf_clear(&h->text);
    h->name_n = 0;
    h->in_value = h->whole = false;
    call_begin_fields(h->call);
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = h1_of(p);
    int rv = h->in_value ? flush_field(h) : 0;
    if (rv || buf_add(&h->text, at, n))
        return rv ? rv : stop(h, -EPROTO);
    for (size_t i = h->text.n - n; i < h->text.n; i++)
        if (h->text.p[i] >= 'A' && h->text.p[i] <= 'Z')
            h->text.p[i] = (char)(h->text.p[i] | 0x20);
    h->name_n = h->text.n;
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = h1_of(p);
    h->in_value = true;
    return buf_add(&h->text, at, n) ? stop(h, -EPROTO) : 0;
}

static int on_value_complete(llhttp_t *p)
{
    h1_of(p)->in_value = true; /* also after an empty value */
    return flush_field(h1_of(p));
}

static bool is_interim(const llhttp_t *p)
{
    return p->status_code / 100 == 1 && p->status_code != 101;
}

/* 1 tells llhttp that the answer has no body whatever its head says. */
static int on_head(llhttp_t *p)
{
    struct h1 *h = h1_of(p);
    if (p->http_major != 1)
        return stop(h, -EPROTO);
    if (is_interim(p))
        return 0;
    bool no_body = strcmp(h->call->options.method, "HEAD") == 0;
    call_head(h->call, p->status_code);
    return no_body && h->call ? 1 : 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = h1_of(p);
    if (!h->call)
        return stop(h, -ECANCELED);
    call_data(h->call, slice_of(at, n));
    return 0;
}

static int on_whole(llhttp_t *p)
{
    struct h1 *h = h1_of(p);
    if (is_interim(p))
        return 0;
    h->keep_alive = llhttp_should_keep_alive(p);
    h->whole = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

/* The answer is in: the connection is free for the next call, or done. */
static void finish_call(struct h1 *h)
{
    struct http_call *call = h->call;
    h->call = NULL;
    h->conn->used = true;
    if (!h->keep_alive)
        h->conn->no_new = true;
    if (!call)
        return;
    if (call->paused)
        conn_pause(h->conn->conn, false); /* what is held is the call's own matter */
    call_end(call, 0);
}

static void hand_over(struct h1 *h, struct slice rest)
{
    struct client_conn *c = h->conn;
    struct http_call *call = h->call;
    struct conn *raw = conn_prefixed(c->client->loop, c->conn, rest);
    h->call = NULL;
    c->conn = NULL;
    call_upgraded(call, raw); /* also has c closed */
}

static void on_stop(struct h1 *h, llhttp_errno_t err, struct slice rest)
{
    struct client_conn *c = h->conn;
    bool upgraded = h->call && h->call->upgrade && h->parser.status_code == 101;
    if (err == HPE_PAUSED && h->whole && upgraded) {
        hand_over(h, rest);
    } else if (err == HPE_PAUSED && h->whole) {
        llhttp_resume(&h->parser);
        if (rest.n > 0)
            h->keep_alive = false; /* more than was asked for */
        finish_call(h);
    } else {
        client_conn_close(c, h->err ? h->err : -EPROTO);
    }
}

static void h1_data(struct client_conn *c, const char *p, size_t n)
{
    struct h1 *h = c->state;
    if (!h) {
        client_conn_close(c, -EPROTO); /* nothing was asked yet */
        return;
    }
    h->err = 0;
    llhttp_errno_t err = llhttp_execute(&h->parser, p, n);
    if (c->dead || err == HPE_OK)
        return;
    const char *at = llhttp_get_error_pos(&h->parser);
    size_t used = at >= p && at <= p + n ? (size_t)(at - p) : n;
    on_stop(h, err, slice_of(p + used, n - used));
}

/* An answer without length ends with the connection, if that ends in good order. */
static void h1_end(struct client_conn *c, int err)
{
    struct h1 *h = c->state;
    if (err || !h || !h->call || !h->call->head_seen)
        return;
    llhttp_finish(&h->parser);
    h->keep_alive = false;
    if (h->whole)
        finish_call(h);
}

/* ---- writing ---- */

static bool wants_length(const struct http_call_options *o)
{
    return o->body.n > 0 || strcmp(o->method, "POST") == 0 || strcmp(o->method, "PUT") == 0 ||
           strcmp(o->method, "PATCH") == 0;
}

static void write_request(struct client_conn *c, struct http_call *call)
{
    const struct http_call_options *o = &call->options;
    struct chunkq *q = &c->out;
    chunkq_copy(q, o->method, strlen(o->method));
    chunkq_copy(q, " ", 1);
    chunkq_copy(q, o->path, strlen(o->path));
    chunkq_copy(q, " HTTP/1.1\r\n", 11);
    header_line(q, SLICE("host"), slice_str(c->client->host));
    for (size_t i = 0; i < o->n_headers; i++)
        header_line(q, o->headers[i].name, o->headers[i].value);
    if (wants_length(o)) {
        char text[24];
        int n = snprintf(text, sizeof text, "%zu", o->body.n);
        header_line(q, SLICE("content-length"), slice_of(text, (size_t)n));
    }
    chunkq_copy(q, "\r\n", 2);
    chunkq_copy(q, o->body.p, o->body.n);
    call->sent = true;
}

static int h1_submit(struct client_conn *c, struct http_call *call)
{
    struct h1 *h = c->state;
    if (!h) {
        h = mem_new(struct h1);
        h->conn = c;
        buf_init(&h->text, CLIENT_HEAD_MAX);
        llhttp_init(&h->parser, HTTP_RESPONSE, &settings);
        c->state = h;
    }
    h->call = call;
    h->whole = h->written = false;
    client_conn_dirty(c);
    return 0;
}

static int h1_produce(struct client_conn *c)
{
    struct h1 *h = c->state;
    if (!h || !h->call || h->written)
        return 0;
    h->written = true;
    write_request(c, h->call);
    if (h->call->paused)
        conn_pause(c->conn, true);
    return 0;
}

/* What the server still sends for a call that is gone cannot be told from the next answer. */
static void h1_cancel(struct client_conn *c, struct http_call *call)
{
    struct h1 *h = c->state;
    if (!h || h->call != call)
        return;
    h->call = NULL;
    call_detach(call);
    client_conn_close(c, -ECANCELED);
}

static void h1_pause(struct client_conn *c, struct http_call *call, bool paused)
{
    (void)call;
    if (c->conn)
        conn_pause(c->conn, paused);
}

static size_t h1_room(const struct client_conn *c)
{
    return c->n_calls == 0;
}

static void h1_destroy(struct client_conn *c)
{
    struct h1 *h = c->state;
    if (!h)
        return;
    buf_done(&h->text);
    mem_free(h);
    c->state = NULL;
}

const struct client_proto h1_client_proto = {
    h1_submit, h1_data, h1_end, h1_cancel, h1_pause, h1_produce, h1_room, h1_destroy,
};

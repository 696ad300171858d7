#include <errno.h>

#include "base/mem.h"
#include "net/http_client_impl.h"
#include "net/http_head.h"

enum { CALL_ARENA_MAX = 16 << 20, FIELDS_FIRST_CAP = 16 };

/* ---- fields ---- */

void call_begin_fields(struct http_call *call)
{
    call->n_fields = call->field_bytes = 0;
}

int call_add_field(struct http_call *call, struct slice name, struct slice value)
{
    call->field_bytes += name.n + value.n;
    if (call->n_fields == HTTP_HEADERS_MAX || call->field_bytes > CLIENT_HEAD_MAX)
        return -EPROTO;
    if (call->n_fields == call->fields_cap) {
        size_t cap = call->fields_cap ? call->fields_cap * 2 : FIELDS_FIRST_CAP;
        struct http_header *grown = arena_alloc(&call->arena, cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        if (call->n_fields)
            memcpy(grown, call->fields, call->n_fields * sizeof *grown);
        call->fields = grown;
        call->fields_cap = cap;
    }
    struct http_header *f = &call->fields[call->n_fields];
    f->name = arena_copy(&call->arena, name);
    f->value = arena_copy(&call->arena, value);
    if (!f->name.p || !f->value.p)
        return -ENOMEM;
    call->n_fields++;
    return 0;
}

/* ---- life ---- */

static void call_free(struct http_call *call)
{
    list_remove(&call->link);
    turn_unmark(&call->resume);
    loop_timer_stop(call->client->loop, &call->timeout);
    chunkq_done(&call->held);
    buf_done(&call->upgrade_body);
    arena_done(&call->arena);
    mem_free(call);
}

void call_detach(struct http_call *call)
{
    struct client_conn *c = call->conn;
    list_remove(&call->link);
    if (!c && call->upgrade && !call->over)
        call->client->upgrades_waiting--;
    if (!c)
        return; /* it was waiting, or has been taken off already */
    call->conn = NULL;
    c->n_calls--;
    if (c->upgrade == call) {
        c->upgrade = NULL;
        c->no_new = true;
        if (!c->dead)
            loop_timer_start(call->client->loop, &c->timer, 0); /* closes it */
    }
    client_assign_later(call->client);
    client_conn_idle_check(c);
}

/* on_done, and the end of the call. */
static void finish(struct http_call *call)
{
    const struct http_call_options *o = &call->options;
    size_t n = call->n_fields;
    turn_again(&call->client->turn);
    list_remove(&call->link);
    loop_timer_stop(call->client->loop, &call->timeout);
    if (call->upgrade) {
        call->on_upgraded(o->ctx, call->err, call->code, call->fields, call->err ? 0 : n,
                          buf_slice(&call->upgrade_body), NULL);
    } else if (o->on_done) {
        bool trailers = call->err == 0 && call->head_seen;
        o->on_done(o->ctx, call->err, call->code, trailers ? call->fields : NULL, trailers ? n : 0, call->sent);
    }
    call_free(call);
}

void call_end(struct http_call *call, int err)
{
    call_detach(call);
    if (call->over)
        return;
    call->over = true;
    call->err = err;
    list_push(&call->client->finishing, &call->link);
    if (call->held.bytes == 0 && !call->paused)
        finish(call);
}

void call_upgraded(struct http_call *call, struct conn *raw)
{
    call_detach(call);
    turn_again(&call->client->turn);
    call->on_upgraded(call->options.ctx, 0, call->code, call->fields, call->n_fields, SLICE_NONE, raw);
    call_free(call);
}

static bool is_repeatable(const struct http_call *call)
{
    struct slice m = slice_str(call->options.method);
    return slice_eq(m, SLICE("GET")) || slice_eq(m, SLICE("HEAD"));
}

void call_retry_or_end(struct http_call *call, bool unprocessed, int err)
{
    struct http_client *cl = call->client;
    bool safe = unprocessed || !call->sent || is_repeatable(call);
    if (unprocessed)
        call->sent = false;
    if (!safe || call->head_seen || call->over || call->upgrade || ++call->tries >= CLIENT_TRIES_MAX) {
        call_end(call, err);
        return;
    }
    call_detach(call);
    call->sent = false;
    call->sent_body = 0;
    call_begin_fields(call);
    list_push(&cl->waiting, &call->link);
    client_assign_later(cl);
}

/* ---- the answer ---- */

void call_head(struct http_call *call, int code)
{
    const struct http_call_options *o = &call->options;
    call->head_seen = true;
    call->code = code;
    size_t n = call->n_fields;
    if (call->upgrade)
        return; /* the fields are handed out at the end */
    call_begin_fields(call);
    if (o->on_head)
        o->on_head(o->ctx, code, call->fields, n);
}

static void keep_upgrade_body(struct http_call *call, struct slice data)
{
    size_t room = CLIENT_UPGRADE_BODY_MAX - call->upgrade_body.n;
    buf_add(&call->upgrade_body, data.p, data.n < room ? data.n : room);
}

size_t call_data(struct http_call *call, struct slice data)
{
    if (call->upgrade) {
        keep_upgrade_body(call, data);
        return data.n;
    }
    if (call->paused || call->held.bytes > 0) {
        chunkq_copy(&call->held, data.p, data.n);
        return 0;
    }
    if (call->options.on_data)
        call->options.on_data(call->options.ctx, data);
    return data.n;
}

/* Delivers one held piece. */
static void deliver_held(struct http_call *call)
{
    size_t n;
    struct chunk c = chunkq_chunks(&call->held, &n)[0];
    blob_ref(c.blob);
    chunkq_drop(&call->held, c.n);
    turn_again(&call->client->turn);
    if (call->options.on_data)
        call->options.on_data(call->options.ctx, slice_of(c.p, c.n)); /* may cancel the call */
    blob_unref(c.blob);
}

static void on_resume(struct turn_item *item)
{
    struct http_call *call = container_of(item, struct http_call, resume);
    if (call->paused)
        return;
    turn_mark(&call->client->turn, &call->resume); /* unless cancelled meanwhile, once more */
    if (call->held.bytes > 0) {
        deliver_held(call);
        return;
    }
    turn_unmark(&call->resume);
    if (call->over)
        finish(call);
    else if (call->conn && call->conn->proto)
        call->conn->proto->pause(call->conn, call, false);
}

/* ---- the caller's side ---- */

static void on_timeout(struct loop_timer *t)
{
    struct http_call *call = container_of(t, struct http_call, timeout);
    struct client_conn *c = call->conn;
    if (call->over) {
        call->err = -ETIMEDOUT; /* it came in time, but was not taken in time */
        finish(call);
        return;
    }
    if (c && c->proto)
        c->proto->cancel(c, call);
    call->paused = false;
    chunkq_done(&call->held);
    call_end(call, -ETIMEDOUT);
}

static void copy_headers(struct http_call *call, const struct http_call_options *o)
{
    struct http_header *copies = arena_alloc(&call->arena, o->n_headers * sizeof *copies + 1);
    call->options.n_headers = 0;
    for (size_t i = 0; copies && i < o->n_headers; i++) {
        copies[i].name = arena_copy(&call->arena, o->headers[i].name);
        copies[i].value = arena_copy(&call->arena, o->headers[i].value);
        call->options.n_headers = i + 1;
    }
    call->options.headers = copies;
}

static struct http_call *call_new(struct http_client *cl, const struct http_call_options *o)
{
    struct http_call *call = mem_new(struct http_call);
    call->client = cl;
    call->options = *o;
    arena_init(&call->arena, CALL_ARENA_MAX);
    chunkq_init(&call->held);
    buf_init(&call->upgrade_body, CLIENT_UPGRADE_BODY_MAX);
    turn_item_init(&call->resume, on_resume);
    call->options.method = arena_copy(&call->arena, slice_str(o->method)).p;
    call->options.path = arena_copy(&call->arena, slice_str(o->path)).p;
    call->options.body = arena_copy(&call->arena, o->body);
    copy_headers(call, o);
    call->timeout.cb = on_timeout;
    if (o->timeout_ms)
        loop_timer_start(cl->loop, &call->timeout, o->timeout_ms);
    return call;
}

/* No blanks and control characters: they would end a line or a word of the request's head. */
static bool is_one_word(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    return true;
}

static int check_request(const struct http_call_options *o)
{
    bool clean = is_one_word(o->method) && is_one_word(o->path) && o->path[0];
    for (size_t i = 0; i < o->n_headers && clean; i++)
        clean = header_is_clean(&o->headers[i]);
    return clean ? 0 : -EINVAL;
}

/* Puts the call on its way; without memory for its copies, or with bytes that belong in no head, it fails in a later
 * turn. */
static void call_begin(struct http_call *call)
{
    struct http_client *cl = call->client;
    int err = arena_error(&call->arena);
    if (!err)
        err = check_request(&call->options);
    if (!err) {
        list_push(&cl->waiting, &call->link);
        cl->upgrades_waiting += call->upgrade;
        client_assign_later(cl);
        return;
    }
    call->over = true;
    call->err = err;
    list_push(&cl->finishing, &call->link);
    turn_mark(&cl->turn, &call->resume);
}

struct http_call *http_call(struct http_client *c, const struct http_call_options *o)
{
    struct http_call *call = call_new(c, o);
    call_begin(call);
    return call;
}

void http_client_upgrade(struct http_client *c, const struct http_call_options *o,
                         void (*done)(void *ctx, int err, int code, const struct http_header *headers, size_t n,
                                      struct slice body, struct conn *raw),
                         void *ctx)
{
    struct http_call *call = call_new(c, o);
    call->upgrade = true;
    call->on_upgraded = done;
    call->options.ctx = ctx;
    call_begin(call);
}

void http_call_cancel(struct http_call *call)
{
    struct client_conn *c = call->conn;
    if (c && c->proto)
        c->proto->cancel(c, call);
    call_detach(call);
    call_free(call);
}

void http_call_pause(struct http_call *call, bool paused)
{
    if (paused == call->paused)
        return;
    call->paused = paused;
    if (!paused)
        turn_mark(&call->client->turn, &call->resume);
    else if (call->conn && call->conn->proto)
        call->conn->proto->pause(call->conn, call, true);
}

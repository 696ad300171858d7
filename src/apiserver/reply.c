/* Ways to answer a request. */
#include <stdarg.h>
#include <stdio.h>

#include "apiserver/internal.h"
#include "base/timefmt.h"
#include "codec/yaml.h"

/* Appends the headers that every answer carries. */
static size_t common_headers(struct api_request *r, struct http_header *h, const char *content_type)
{
    size_t n = 0;
    h[n++] = (struct http_header){SLICE("content-type"), slice_str(content_type)};
    h[n++] = (struct http_header){SLICE("cache-control"), SLICE("no-cache, private")};
    for (size_t i = 0; i < r->n_warnings && n < API_HEADERS_MAX; i++)
        h[n++] = (struct http_header){SLICE("warning"), slice_str(r->warnings[i])};
    return n;
}

void api_warn(struct api_request *r, const char *text)
{
    if (r->n_warnings == API_HEADERS_MAX - 4)
        return;
    struct buf quoted = BUF_INIT(4096);
    if (!json_write_string(&quoted, slice_str(text)))
        r->warnings[r->n_warnings++] = arena_printf(r->arena, "299 - %s", quoted.p);
    buf_done(&quoted);
}

static void finish(struct api_request *r, int code, const struct http_header *headers, size_t n, struct chunk body)
{
    api_account(r, code);
    r->replied = true;
    r->responder->reply(r, code, headers, n, &body, 1);
}

void api_reply_bytes(struct api_request *r, int code, const char *content_type, struct chunk body)
{
    struct http_header headers[API_HEADERS_MAX];
    size_t n = common_headers(r, headers, content_type);
    finish(r, code, headers, n, body);
}

static struct blob *encode(struct api_request *r, const struct json *v)
{
    struct buf out = BUF_INIT(API_ARENA_MAX);
    int rv = r->encoding == ENCODE_YAML ? yaml_write(&out, v) : json_write(&out, v);
    if (!rv && r->encoding != ENCODE_YAML)
        rv = buf_add_char(&out, '\n');
    struct blob *b = rv ? NULL : blob_copy(buf_slice(&out));
    buf_done(&out);
    return b;
}

static const char out_of_memory[] = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
                                    "\"message\":\"memory is short, try "
                                    "again later\",\"reason\":\"ServiceUnavailable\",\"code\":503}\n";

void api_reply_json(struct api_request *r, int code, const struct json *v)
{
    struct blob *b = encode(r, v);
    if (!b) {
        api_reply_bytes(r, 503, "application/json", chunk_static(slice_str(out_of_memory)));
        return;
    }
    api_reply_bytes(r, code, r->encoding == ENCODE_YAML ? "application/yaml" : "application/json", chunk_take(b));
}

static struct json *details_json(struct arena *a, const struct status *st)
{
    struct json *d = json_new_object(a);
    if (st->name && st->name[0])
        json_set_str(a, d, "name", json_new_str(a, st->name));
    if (st->group && st->group[0])
        json_set_str(a, d, "group", json_new_str(a, st->group));
    if (st->kind)
        json_set_str(a, d, "kind", json_new_str(a, st->kind));
    if (st->uid)
        json_set_str(a, d, "uid", json_new_str(a, st->uid));
    struct json *causes = st->causes ? json_new_array(a) : NULL;
    for (const struct status_cause *c = st->causes; c; c = c->next) {
        struct json *cause = json_new_object(a);
        json_set_str(a, cause, "reason", json_new_str(a, c->reason));
        json_set_str(a, cause, "message", json_new_str(a, c->message));
        if (c->field && c->field[0])
            json_set_str(a, cause, "field", json_new_str(a, c->field));
        json_append(causes, cause);
    }
    if (causes)
        json_set_str(a, d, "causes", causes);
    if (st->retry_after)
        json_set_str(a, d, "retryAfterSeconds", json_new_int(a, st->retry_after));
    return d;
}

struct json *api_status_json(struct arena *a, const struct status *st)
{
    struct json *v = json_new_object(a);
    json_set_str(a, v, "kind", json_new_str(a, "Status"));
    json_set_str(a, v, "apiVersion", json_new_str(a, "v1"));
    json_set_str(a, v, "metadata", json_new_object(a));
    json_set_str(a, v, "status", json_new_str(a, st->code >= 400 ? "Failure" : "Success"));
    if (st->message && st->message[0])
        json_set_str(a, v, "message", json_new_str(a, st->message));
    if (st->reason && st->reason[0])
        json_set_str(a, v, "reason", json_new_str(a, st->reason));
    struct json *details = details_json(a, st);
    if (json_len(details))
        json_set_str(a, v, "details", details);
    if (st->code >= 400)
        json_set_str(a, v, "code", json_new_int(a, st->code));
    return v;
}

void api_reply_status(struct api_request *r, const struct status *st)
{
    struct http_header headers[API_HEADERS_MAX];
    struct arena own;
    arena_init(&own, 1 << 20); /* the request's arena may be what failed */
    struct blob *b = encode(r, api_status_json(&own, st));
    int code = st->code ? st->code : 200;
    size_t n = common_headers(r, headers, r->encoding == ENCODE_YAML ? "application/yaml" : "application/json");
    char seconds[16];
    if (st->retry_after) {
        snprintf(seconds, sizeof seconds, "%d", st->retry_after);
        headers[n++] = (struct http_header){SLICE("retry-after"), slice_str(seconds)};
    }
    if (code == 401)
        headers[n++] = (struct http_header){SLICE("www-authenticate"), SLICE("Bearer")};
    finish(r, code, headers, n, b ? chunk_take(b) : chunk_static(slice_str(out_of_memory)));
    arena_done(&own);
}

void api_reply_error(struct api_request *r, int code, const char *fmt, ...)
{
    struct status st;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    status_set(&st, r->arena, code, "%s", text);
    api_reply_status(r, &st);
}

void api_stream_start(struct api_request *r, int code, const char *content_type)
{
    struct http_header headers[API_HEADERS_MAX];
    size_t n = common_headers(r, headers, content_type);
    api_account(r, code);
    r->replied = true;
    r->responder->start(r, code, headers, n);
}

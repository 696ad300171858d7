/* Ways to answer a request. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "apiserver/internal.h"
#include "apiserver/output.h"
#include "base/timefmt.h"
#include "codec/gzip.h"
#include "codec/yaml.h"
#include "object/protobuf.h"

enum { HEADERS_MORE = 4 }; /* beside common_headers */

/* Characters of UTF-8 in s; with *cut, only its first `most` are counted and kept. */
static size_t runes(struct slice *s, size_t most, bool cut)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool begins = ((unsigned char)s->p[i] & 0xc0) != 0x80;
        if (begins && cut && n == most) {
            s->n = i;
            return n;
        }
        n += begins;
    }
    return n;
}

/* All as they are when they are short together, else each cut, until there were enough. */
static size_t warning_headers(struct api_request *r, struct http_header *h)
{
    size_t n = 0, total = 0, written = 0;
    for (size_t i = 0; i < r->n_warnings; i++) {
        struct slice text = slice_str(r->warnings[i]);
        total += runes(&text, 0, false);
    }
    bool cut = total > API_WARNINGS_RUNES;
    for (size_t i = 0; i < r->n_warnings && (!cut || written < API_WARNINGS_RUNES); i++) {
        struct slice text = slice_str(r->warnings[i]);
        struct buf quoted = BUF_INIT((size_t)6 * API_WARNINGS_RUNES);
        written += runes(&text, API_WARNING_RUNES, cut);
        if (!json_write_string(&quoted, text))
            h[n++] = (struct http_header){SLICE("warning"), slice_str(arena_printf(r->arena, "299 - %s", quoted.p))};
        buf_done(&quoted);
    }
    return n;
}

/* Appends the headers that every answer carries. */
static size_t common_headers(struct api_request *r, struct http_header *h, const char *content_type)
{
    size_t n = 0;
    h[n++] = (struct http_header){SLICE("content-type"), slice_str(content_type)};
    h[n++] = (struct http_header){SLICE("cache-control"), SLICE("no-cache, private")};
    return n + warning_headers(r, h + n);
}

void api_warn(struct api_request *r, const char *text)
{
    for (size_t i = 0; i < r->n_warnings; i++)
        if (strcmp(r->warnings[i], text) == 0)
            return;
    if (r->n_warnings < API_WARNINGS_MAX)
        r->warnings[r->n_warnings++] = text;
}

bool api_accepts_gzip(const struct api_request *r)
{
    struct slice rest = r->http ? http_request_header(r->http, "accept-encoding") : SLICE_NONE, one;
    while (rest.n) {
        slice_cut(rest, ',', &one, &rest);
        if (slice_eq_str(slice_trim(one), "gzip"))
            return true;
    }
    return false;
}

static void drop(const struct chunk *chunks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        blob_unref(chunks[i].blob);
}

/* The chunks compressed as one, or NULL when they are not to be or memory is short. */
static struct blob *compressed(const struct api_request *r, const struct chunk *chunks, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += chunks[i].n;
    if (bytes <= API_GZIP_ABOVE || !api_accepts_gzip(r))
        return NULL;
    struct buf out = BUF_INIT(bytes + API_GZIP_ABOVE);
    struct gzip *g = gzip_new();
    int rv = g ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && !rv; i++)
        rv = gzip_write(g, slice_of(chunks[i].p, chunks[i].n), i + 1 == n, &out);
    struct blob *b = rv ? NULL : blob_copy(buf_slice(&out));
    gzip_free(g);
    buf_done(&out);
    return b;
}

static size_t add_gzip_headers(struct http_header *h, size_t n)
{
    h[n++] = (struct http_header){SLICE("content-encoding"), SLICE("gzip")};
    h[n++] = (struct http_header){SLICE("vary"), SLICE("Accept-Encoding")};
    return n;
}

bool api_is_pretty(const struct api_request *r, struct slice content_type)
{
    return r->options.pretty && slice_eq_str(content_type, "application/json");
}

struct blob *api_indent(struct json_pretty *p, const struct chunk *chunks, size_t n)
{
    struct json_pretty at = *p;
    struct buf out = BUF_INIT(API_ARENA_MAX);
    for (size_t i = 0; i < n; i++)
        json_pretty(&at, slice_of(chunks[i].p, chunks[i].n), &out);
    struct blob *b = buf_error(&out) ? NULL : blob_copy(buf_slice(&out));
    buf_done(&out);
    if (!b)
        return NULL;
    *p = at;
    drop(chunks, n);
    return b;
}

/* The first header is the content's type. */
static void finish(struct api_request *r, int code, struct http_header *headers, size_t n, const struct chunk *chunks,
                   size_t n_chunks)
{
    struct json_pretty start = {0};
    struct blob *b = api_is_pretty(r, headers[0].value) ? api_indent(&start, chunks, n_chunks) : NULL;
    struct chunk whole = b ? chunk_take(b) : (struct chunk){NULL, NULL, 0};
    if (b) {
        chunks = &whole;
        n_chunks = 1;
    }
    struct blob *packed = compressed(r, chunks, n_chunks);
    api_account(r, code);
    r->replied = true;
    if (packed) {
        drop(chunks, n_chunks);
        whole = chunk_take(packed);
        r->responder->reply(r, code, headers, add_gzip_headers(headers, n), &whole, 1);
    } else {
        r->responder->reply(r, code, headers, n, chunks, n_chunks);
    }
}

void api_reply_chunks(struct api_request *r, int code, const char *content_type, const struct chunk *chunks, size_t n)
{
    struct http_header headers[API_HEADERS_MAX + HEADERS_MORE];
    finish(r, code, headers, common_headers(r, headers, content_type), chunks, n);
}

void api_reply_bytes(struct api_request *r, int code, const char *content_type, struct chunk body)
{
    api_reply_chunks(r, code, content_type, &body, 1);
}

/* If-None-Match: a list of tags, weak ones too, or "*". */
static bool has_seen(const struct api_request *r, const char *etag)
{
    struct slice rest = r->http ? http_request_header(r->http, "if-none-match") : SLICE_NONE, one;
    while (rest.n) {
        slice_cut(rest, ',', &one, &rest);
        one = slice_trim(one);
        if (slice_starts(one, SLICE("W/")))
            one = slice_from(one, 2);
        if (slice_eq_str(one, etag) || slice_eq_str(one, "*"))
            return true;
    }
    return false;
}

void api_reply_document(struct api_request *r, const char *content_type, const char *etag, struct chunk body, bool gzip)
{
    struct http_header headers[API_HEADERS_MAX];
    size_t n = 0;
    headers[n++] = (struct http_header){SLICE("content-type"), slice_str(content_type)};
    headers[n++] = (struct http_header){SLICE("etag"), slice_str(etag)};
    headers[n++] = (struct http_header){SLICE("vary"), SLICE("Accept-Encoding, Accept")};
    headers[n++] =
        (struct http_header){SLICE("cache-control"), r->expires ? SLICE("public, immutable") : SLICE("public")};
    if (r->expires)
        headers[n++] = (struct http_header){SLICE("expires"), slice_str(r->expires)};
    if (gzip)
        headers[n++] = (struct http_header){SLICE("content-encoding"), SLICE("gzip")};
    bool seen = has_seen(r, etag);
    if (seen) {
        blob_unref(body.blob);
        body = chunk_static(SLICE(""));
    }
    api_account(r, seen ? 304 : 200);
    r->replied = true;
    r->responder->reply(r, seen ? 304 : 200, headers, n, &body, 1);
}

/* v as negotiated; *ret_type is what it became. */
static struct blob *encode(struct api_request *r, struct arena *a, const struct json *v, const char **ret_type)
{
    struct buf out = BUF_INIT(API_ARENA_MAX);
    const struct schema_type *type = r->encoding == ENCODE_PROTOBUF ? api_answer_type(a, v) : NULL;
    int rv;
    *ret_type = type ? API_PROTOBUF : r->encoding == ENCODE_YAML ? "application/yaml" : "application/json";
    if (type)
        rv = protobuf_encode(&out, type, v);
    else if (r->encoding == ENCODE_YAML)
        rv = yaml_write(&out, v);
    else if (!(rv = json_write(&out, v)))
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
    const char *type;
    struct blob *b = encode(r, r->arena, v, &type);
    if (b)
        api_reply_bytes(r, code, type, chunk_take(b));
    else
        api_reply_bytes(r, 503, "application/json", chunk_static(slice_str(out_of_memory)));
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
    struct http_header headers[API_HEADERS_MAX + HEADERS_MORE];
    struct arena own;
    const char *type;
    arena_init(&own, 1 << 20); /* the request's arena may be what failed */
    struct status unknown;
    if (r->write_repeated && ((st->code >= 400 && st->code < 500) || st->code == 503)) {
        /* An earlier try may still be on its way to some leader, which would not know that it was refused meanwhile. */
        status_errno(&unknown, &own, -ETIMEDOUT, "writing");
        st = &unknown;
    }
    struct blob *b = encode(r, &own, api_status_json(&own, st), &type);
    int code = st->code ? st->code : 200;
    size_t n = common_headers(r, headers, b ? type : "application/json");
    char seconds[16];
    if (st->retry_after) {
        snprintf(seconds, sizeof seconds, "%d", st->retry_after);
        headers[n++] = (struct http_header){SLICE("retry-after"), slice_str(seconds)};
    }
    if (code == 400 && r->websocket)
        headers[n++] = (struct http_header){SLICE("sec-websocket-version"), SLICE("13")};
    if (code == 401)
        headers[n++] = (struct http_header){SLICE("www-authenticate"), SLICE("Bearer")};
    struct chunk body = b ? chunk_take(b) : chunk_static(slice_str(out_of_memory));
    finish(r, code, headers, n, &body, 1);
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

static void stream_start(struct api_request *r, int code, const char *content_type, bool gzip)
{
    struct http_header headers[API_HEADERS_MAX + HEADERS_MORE];
    size_t n = common_headers(r, headers, content_type);
    if (gzip)
        n = add_gzip_headers(headers, n);
    api_account(r, code);
    r->replied = true;
    r->responder->start(r, code, headers, n);
}

void api_stream_start(struct api_request *r, int code, const char *content_type)
{
    stream_start(r, code, content_type, false);
}

void api_stream_start_gzip(struct api_request *r, int code, const char *content_type)
{
    stream_start(r, code, content_type, true);
}

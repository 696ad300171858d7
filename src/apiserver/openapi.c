/* OpenAPI documents: v2 whole, v3 by group and version, derived from the schema's tables. Each is made at its first use, in
 * one piece, and kept with its compressed form, so that it costs nothing but sending from then on. */
#include "apiserver/openapi.h"

#include <stdio.h>
#include <time.h>

#include "apiserver/internal.h"
#include "apiserver/openapi_impl.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/gzip.h"

/* ---- documents ---- */

static struct openapi *document_new(bool v3)
{
    struct openapi *o = mem_new(struct openapi);
    o->v3 = v3;
    buf_init(&o->out, OPENAPI_MAX);
    map_init(&o->seen, 0);
    return o;
}

static void document_free(struct openapi *o)
{
    buf_done(&o->out);
    map_done(&o->seen);
    mem_free(o);
}

static struct api_document *keep(struct api *api, struct slice key, struct slice body)
{
    struct buf packed = BUF_INIT(OPENAPI_MAX);
    struct api_document *d = mem_new(struct api_document);
    d->body = blob_copy(body);
    d->packed = gzip_pack(body, &packed) ? NULL : blob_copy(buf_slice(&packed));
    buf_done(&packed);
    if (!d->body || !d->packed) {
        api_document_free(d);
        return NULL;
    }
    snprintf(d->etag, sizeof d->etag, "\"%016lX%016lX\"", hash64(body, 1), hash64(body, 2));
    map_put(&api->documents, key, d);
    return d;
}

static const char head_v2[] =
    "{\"swagger\":\"2.0\",\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.36.4\"},\"paths\":{";
static const char head_v3[] =
    "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.36.4\"},\"paths\":{";

static struct api_document *make(struct api *api, struct slice key, size_t first, size_t n, bool v3)
{
    struct openapi *o = document_new(v3);
    buf_add_str(&o->out, v3 ? head_v3 : head_v2);
    openapi_write_paths(o, first, n);
    buf_add_str(&o->out, v3 ? "},\"components\":{\"schemas\":{" : "},\"definitions\":{");
    openapi_write_schemas(o);
    buf_add_str(&o->out, v3 ? "}}}\n" : "}}\n");
    struct api_document *d = buf_error(&o->out) ? NULL : keep(api, key, buf_slice(&o->out));
    document_free(o);
    return d;
}

/* ---- v2 ---- */

static const struct slice key_v2 = SLICE_INIT("openapi/v2 JSON"), key_v2_protobuf = SLICE_INIT("openapi/v2 protobuf");

static struct api_document *v2(struct api *api)
{
    struct api_document *d = map_get(&api->documents, key_v2);
    return d ? d : make(api, key_v2, 0, api_n_operations, false);
}

/* The protobuf form of a document, kept under key. */
static struct api_document *protobuf_of(struct api *api, struct slice key, const struct api_document *json,
                                        int (*encode)(struct buf *out, const struct json *document))
{
    struct api_document *d = NULL;
    struct arena a;
    struct buf out = BUF_INIT(OPENAPI_MAX);
    arena_init(&a, 512 << 20);
    const struct json *v = json_parse(&a, blob_slice(json->body), NULL, NULL, NULL);
    if (v && !encode(&out, v))
        d = keep(api, key, buf_slice(&out));
    arena_done(&a);
    buf_done(&out);
    return d;
}

static struct api_document *v2_protobuf(struct api *api)
{
    struct api_document *d = map_get(&api->documents, key_v2_protobuf), *json = d ? NULL : v2(api);
    return d || !json ? d : protobuf_of(api, key_v2_protobuf, json, openapi_v2_protobuf);
}

/* What the client likes best, in the order it names things. */
enum form { FORM_NONE, FORM_JSON, FORM_PROTOBUF };

/* names: the version's two names of its protobuf form. */
static enum form form_of(struct slice accept, const char *const names[static 2])
{
    struct slice one, type, params;
    if (!slice_trim(accept).n)
        return FORM_JSON;
    while (accept.n) {
        slice_cut(accept, ',', &one, &accept);
        slice_cut(one, ';', &type, &params);
        type = slice_trim(type);
        if (slice_eq_str(type, "application/json") || slice_eq_str(type, "*/*") || slice_eq_str(type, "application/*"))
            return FORM_JSON;
        if (slice_eq_str(type, names[0]) || slice_eq_str(type, names[1]))
            return FORM_PROTOBUF;
    }
    return FORM_NONE;
}

static void serve(struct api_request *r, const struct api_document *d, const char *type)
{
    bool packed = api_accepts_gzip(r);
    struct blob *b = packed ? d->packed : d->body;
    api_reply_document(r, type, d->etag, chunk_part(b, 0, b->n), packed);
}

void api_openapi_v2(struct api_request *r)
{
    static const char *const names[] = {"application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
                                        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"};
    enum form form = form_of(r->accept, names);
    const struct api_document *d = form == FORM_PROTOBUF ? v2_protobuf(r->api) : v2(r->api);
    if (form == FORM_NONE)
        api_reply_bytes(r, 406, "text/plain; charset=utf-8", chunk_static(SLICE("")));
    else if (!d)
        api_reply_error(r, 503, "memory is short, try again later");
    else
        serve(r, d, form == FORM_PROTOBUF ? names[0] : "application/json");
}

/* ---- v3 ---- */

/* The document that an operation belongs to: "api/v1", "apis/apps/v1", else its path without slashes around. */
static struct slice document_of(const char *path)
{
    struct slice s = slice_from(slice_str(path), 1);
    size_t parts = slice_starts(s, SLICE("api/v1/")) ? 2 : slice_starts(s, SLICE("apis/")) ? 3 : 0;
    for (size_t i = 0, seen = 0; i < s.n && parts; i++)
        if (s.p[i] == '/' && ++seen == parts)
            return slice_of(s.p, i);
    if (s.n && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

/* The operations of a document stand together. Returns how many, from *first on. */
static size_t operations_of(struct slice name, size_t *first)
{
    size_t n = 0;
    for (size_t i = 0; i < api_n_operations; i++)
        if (slice_eq(document_of(api_operations[i].path), name) && n++ == 0)
            *first = i;
    return n;
}

static struct api_document *v3(struct api *api, struct arena *a, struct slice name)
{
    size_t first = 0;
    struct slice key = slice_str(arena_printf(a, "openapi/v3 %" SLICE_FMT, SLICE_ARG(name)));
    struct api_document *d = map_get(&api->documents, key);
    size_t n = d ? 0 : operations_of(name, &first);
    return n ? make(api, key, first, n, true) : d;
}

/* Has the hash of the JSON: both are the document. */
static struct api_document *v3_protobuf(struct api *api, struct arena *a, struct slice name,
                                        const struct api_document *json)
{
    struct slice key = slice_str(arena_printf(a, "openapi/v3 protobuf %" SLICE_FMT, SLICE_ARG(name)));
    struct api_document *d = map_get(&api->documents, key);
    if (!d && (d = protobuf_of(api, key, json, openapi_v3_protobuf)))
        memcpy(d->etag, json->etag, sizeof d->etag);
    return d;
}

/* An etag without its quotes. */
static struct slice hash_of(const struct api_document *d)
{
    return slice_of(d->etag + 1, strlen(d->etag) - 2);
}

static void serve_index(struct api_request *r)
{
    struct arena *a = r->arena;
    struct json *v = json_new_object(a), *paths = json_new_object(a);
    struct slice last = SLICE_NONE;
    for (size_t i = 0; i < api_n_operations; i++) {
        struct slice name = document_of(api_operations[i].path);
        struct api_document *d = slice_eq(name, last) ? NULL : v3(r->api, a, name);
        last = name;
        if (!d || json_get(paths, name))
            continue;
        struct json *one = json_new_object(a);
        json_set_str(
            a, one, "serverRelativeURL",
            json_new_printf(a, "/openapi/v3/%" SLICE_FMT "?hash=%" SLICE_FMT, SLICE_ARG(name), SLICE_ARG(hash_of(d))));
        json_set(a, paths, name, one);
    }
    json_set_str(a, v, "paths", paths);
    r->encoding = ENCODE_JSON;
    api_reply_json(r, 200, v);
}

static void note_hash(void *ctx, struct slice value)
{
    *(struct slice *)ctx = value;
}

/* With the right hash in its address a document never changes; with a wrong one it has moved. */
static void serve_hashed(struct api_request *r, struct slice name, const struct api_document *d, const char *type,
                         struct slice hash)
{
    enum { YEAR_S = 365 * 24 * 3600 };
    if (slice_eq(hash, hash_of(d))) {
        char expires[64];
        time_t t = (time_t)(loop_wall(r->api->loop) / NS_PER_SEC) + YEAR_S;
        struct tm tm;
        if (gmtime_r(&t, &tm) && strftime(expires, sizeof expires, "%a, %d %b %Y %H:%M:%S GMT", &tm))
            r->expires = arena_printf(r->arena, "%s", expires);
        serve(r, d, type);
        return;
    }
    const char *to =
        arena_printf(r->arena, "/openapi/v3/%" SLICE_FMT "?hash=%" SLICE_FMT, SLICE_ARG(name), SLICE_ARG(hash_of(d)));
    struct http_header headers[] = {{SLICE("location"), slice_str(to)}};
    struct chunk none = chunk_static(SLICE(""));
    api_account(r, 301);
    r->replied = true;
    r->responder->reply(r, 301, headers, 1, &none, 1);
}

void api_openapi_v3(struct api_request *r)
{
    static const char *const names[] = {"application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
                                        "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"};
    struct slice name = slice_from(r->path, sizeof "/openapi/v3" - 1), hash = SLICE_NONE;
    enum form form = form_of(r->accept, names);
    if (name.n <= 1) {
        serve_index(r);
        return;
    }
    name = slice_from(name, 1);
    const struct api_document *d = v3(r->api, r->arena, name);
    bool known = d != NULL;
    api_query_each(r, SLICE("hash"), note_hash, &hash);
    if (d && form == FORM_PROTOBUF)
        d = v3_protobuf(r->api, r->arena, name, d);
    const char *type = form == FORM_PROTOBUF ? names[0] : "application/json";
    if (!known)
        api_reply_bytes(r, 404, "text/plain; charset=utf-8", chunk_static(SLICE("404 page not found\n")));
    else if (form == FORM_NONE)
        api_reply_bytes(r, 406, "text/plain; charset=utf-8", chunk_static(SLICE("")));
    else if (!d)
        api_reply_error(r, 503, "memory is short, try again later");
    else if (hash.n)
        serve_hashed(r, name, d, type, hash);
    else
        serve(r, d, type);
}

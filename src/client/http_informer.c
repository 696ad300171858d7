/* An informer over HTTP: list, then watch from the list's revision; objects kept by key. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/http_impl.h"
#include "client/path.h"
#include "object/meta.h"

enum {
    LIST_MAX = 256 << 20,
    EVENT_MAX = 8 << 20, /* bytes of one watch event */
    EVENT_ARENA_MAX = 64 << 20,
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 5000,
    WATCH_SECONDS = 600,
    LIST_TIMEOUT_MS = 60000,
    OTHER_CLUSTER_FAILURES = 20, /* one to two minutes */
};

struct cached {
    struct slice key, json; /* owned */
    uint64_t revision;
    bool seen; /* by the list at work */
};

struct http_informer {
    struct informer base;
    struct http_client_set *set;
    const struct resource *res;
    const struct informer_handler *handler;
    void *ctx;
    char *ns, *query;   /* query: selectors, encoded, each behind '&' */
    struct map objects; /* key → struct cached */
    struct http_call *call;
    size_t server;
    struct buf in;
    struct loop_timer retry;
    unsigned failures;
    int code;
    bool watching, must_list;
};

static void list_begin(struct http_informer *i);
static void watch_begin(struct http_informer *i);

/* ---- the cache ---- */

static struct client_object object_of(const struct cached *c)
{
    return (struct client_object){c->key, c->json, c->revision};
}

static void cached_free(struct cached *c)
{
    mem_free((char *)c->key.p);
    mem_free((char *)c->json.p);
    mem_free(c);
}

static struct slice copy(struct slice s)
{
    return slice_of(mem_strndup(s.p, s.n), s.n);
}

static uint64_t revision_of(const struct json *obj)
{
    uint64_t v = 0;
    slice_to_u64(meta_resource_version(obj), &v);
    return v;
}

/* Keeps obj (its JSON is text) and tells of the change, if there is one. */
static void put(struct http_informer *i, const struct json *obj, struct slice text)
{
    char key[2048];
    struct slice ns = meta_namespace(obj), name = meta_name(obj);
    int n = snprintf(key, sizeof key, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(ns), ns.n ? "/" : "", SLICE_ARG(name));
    if (n < 0 || (size_t)n >= sizeof key)
        return;
    struct cached *c = mem_new(struct cached);
    *c = (struct cached){copy(slice_of(key, (size_t)n)), copy(text), revision_of(obj), true};
    struct cached *old = map_put(&i->objects, c->key, c);
    struct client_object now = object_of(c), before;
    if (old)
        before = object_of(old);
    if (!old || old->revision != c->revision)
        i->handler->on_change(i->ctx, old ? &before : NULL, &now);
    if (old)
        cached_free(old);
}

static void drop(struct http_informer *i, struct slice key)
{
    struct cached *old = map_del(&i->objects, key);
    if (!old)
        return;
    struct client_object before = object_of(old);
    i->handler->on_change(i->ctx, &before, NULL);
    cached_free(old);
}

/* ---- failure ---- */

static void on_retry(struct loop_timer *t)
{
    struct http_informer *i = container_of(t, struct http_informer, retry);
    if (i->must_list)
        list_begin(i);
    else
        watch_begin(i);
}

static void retry_later(struct http_informer *i)
{
    uint64_t ms = RETRY_MIN_MS;
    for (unsigned n = i->failures++; n && ms < RETRY_MAX_MS; n--)
        ms *= 2;
    if (ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    loop_timer_start(i->base.client->loop, &i->retry, ms / 2 + loop_random_below(i->base.client->loop, ms / 2 + 1));
}

/* ---- list ---- */

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct http_informer *i = ctx;
    (void)headers, (void)n;
    i->code = code;
}

static void on_list_data(void *ctx, struct slice data)
{
    struct http_informer *i = ctx;
    buf_add_slice(&i->in, data);
}

static void drop_unseen(struct http_informer *i)
{
    for (struct map_entry *e = map_first(&i->objects); e; e = map_next(&i->objects, e)) {
        struct cached *c = e->value;
        if (!c->seen) {
            struct slice key = copy(c->key);
            drop(i, key);
            mem_free((char *)key.p);
        }
    }
}

/* Items of lists carry no kind and apiVersion: they get them here, so that all cached objects look alike. */
static void put_item(struct http_informer *i, struct arena *a, struct json *item)
{
    struct buf text = BUF_INIT(EVENT_MAX);
    json_set_first(a, item, "apiVersion", json_new_str(a, i->res->api_version));
    json_set_first(a, item, "kind", json_new_str(a, i->res->kind));
    if (!json_write(&text, item))
        put(i, item, buf_slice(&text));
    buf_done(&text);
}

static int take_list(struct http_informer *i)
{
    struct arena a;
    struct json_error err;
    arena_init(&a, (size_t)LIST_MAX * 4);
    struct json *list = buf_error(&i->in) ? NULL : json_parse(&a, buf_slice(&i->in), &err, NULL, NULL);
    if (!list) {
        arena_done(&a);
        return -EPROTO;
    }
    for (struct map_entry *e = map_first(&i->objects); e; e = map_next(&i->objects, e))
        ((struct cached *)e->value)->seen = false;
    json_each (item, json_get_str(list, "items"))
        put_item(i, &a, item);
    drop_unseen(i);
    i->base.revision = revision_of(list);
    arena_done(&a);
    return 0;
}

static void on_list_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct http_informer *i = ctx;
    (void)trailers, (void)n, (void)sent;
    i->call = NULL;
    if (err || code == 504) /* this one lags: another may not */
        client_failed(i->set, i->server);
    if (err || code != 200 || take_list(i)) {
        if (!err && code != 200)
            log_warn(loop_log(i->base.client->loop), "informer", "list refused resource=%s code=%d", i->res->plural,
                     code);
        buf_clear(&i->in);
        retry_later(i);
        return;
    }
    buf_done(&i->in);
    i->must_list = false;
    i->failures = 0;
    if (!i->base.synced) {
        i->base.synced = true;
        if (i->handler->on_synced)
            i->handler->on_synced(i->ctx);
    }
    watch_begin(i);
}

static void begin(struct http_informer *i, const char *query, unsigned timeout_ms,
                  void (*on_data)(void *, struct slice),
                  void (*on_done)(void *, int, int, const struct http_header *, size_t, bool))
{
    struct http_header headers[8];
    struct buf path = BUF_INIT(8192);
    client_path(&path, &(struct client_request){.verb = CLIENT_LIST, .res = i->res, .ns = slice_str(i->ns)});
    buf_printf(&path, "?%s%s", query, i->query);
    size_t n = client_headers(i->set, headers, NULL);
    i->server = i->set->current;
    i->code = 0;
    i->call = http_call(i->set->servers[i->server].http, &(struct http_call_options){.method = "GET",
                                                                                     .path = path.p,
                                                                                     .headers = headers,
                                                                                     .n_headers = n,
                                                                                     .timeout_ms = timeout_ms,
                                                                                     .on_head = on_head,
                                                                                     .on_data = on_data,
                                                                                     .on_done = on_done,
                                                                                     .ctx = i});
    buf_done(&path);
}

/* The first list may be of any state. A later one must not be older than what was seen: on a replica that lags, objects
 * that are gone would come back, and pods with them. A cluster that has nothing so new for a long time is another one.
 */
static void list_begin(struct http_informer *i)
{
    char query[96] = "resourceVersion=0";
    if (i->base.revision && i->failures < OTHER_CLUSTER_FAILURES)
        snprintf(query, sizeof query, "resourceVersion=%lu&resourceVersionMatch=NotOlderThan", i->base.revision);
    else if (i->base.revision)
        snprintf(query, sizeof query, "limit=0"); /* the newest there is */
    buf_done(&i->in);
    buf_init(&i->in, LIST_MAX);
    begin(i, query, LIST_TIMEOUT_MS, on_list_data, on_list_done);
}

/* ---- watch ---- */

/* The object's own bytes inside the frame {"type":…,"object":…}. */
static struct slice object_text(struct slice line)
{
    static const char member[] = "\"object\":";
    const char *at = memmem(line.p, line.n, member, sizeof member - 1);
    if (!at)
        return SLICE_NONE;
    size_t from = (size_t)(at - line.p) + sizeof member - 1;
    struct slice rest = slice_trim(slice_from(line, from));
    return slice_of(rest.p, rest.n ? rest.n - 1 : 0); /* without the frame's closing brace */
}

static void take_event(struct http_informer *i, struct slice line)
{
    struct arena a;
    struct json_error err;
    arena_init(&a, EVENT_ARENA_MAX);
    const struct json *event = json_parse(&a, line, &err, NULL, NULL), *obj = json_get_str(event, "object");
    struct slice type = json_path_string(event, "type");
    char key[2048];
    struct slice ns = meta_namespace(obj), name = meta_name(obj);
    int n = snprintf(key, sizeof key, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(ns), ns.n ? "/" : "", SLICE_ARG(name));
    uint64_t revision = revision_of(obj);
    if (slice_eq_str(type, "ERROR")) {
        i->must_list |= json_int(json_get_str(obj, "code"), 0) == 410;
    } else if (slice_eq_str(type, "DELETED") && n > 0 && (size_t)n < sizeof key) {
        drop(i, slice_of(key, (size_t)n));
    } else if (slice_eq_str(type, "ADDED") || slice_eq_str(type, "MODIFIED")) {
        put(i, obj, object_text(line));
    }
    if (revision > i->base.revision)
        i->base.revision = revision;
    i->failures = 0;
    arena_done(&a);
}

static void on_watch_data(void *ctx, struct slice data)
{
    struct http_informer *i = ctx;
    size_t used = 0;
    buf_add_slice(&i->in, data);
    for (;;) {
        const char *end = i->in.n > used ? memchr(i->in.p + used, '\n', i->in.n - used) : NULL;
        if (!end)
            break;
        struct slice line = slice_of(i->in.p + used, (size_t)(end - i->in.p) - used);
        if (i->code == 200 && line.n)
            take_event(i, line);
        used += line.n + 1;
    }
    buf_shift(&i->in, used);
}

static void on_watch_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct http_informer *i = ctx;
    (void)trailers, (void)n, (void)sent;
    i->call = NULL;
    if (err)
        client_failed(i->set, i->server);
    if (code == 410 || buf_error(&i->in))
        i->must_list = true;
    buf_done(&i->in);
    if (!err && code == 200 && !i->must_list)
        watch_begin(i); /* its time was up */
    else
        retry_later(i);
}

static void watch_begin(struct http_informer *i)
{
    char query[256];
    buf_done(&i->in);
    buf_init(&i->in, EVENT_MAX);
    snprintf(query, sizeof query, "watch=true&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=%lu",
             WATCH_SECONDS, i->base.revision);
    begin(i, query, 0, on_watch_data, on_watch_done);
}

/* ---- interface ---- */

static void informer_http_free(struct informer *base)
{
    struct http_informer *i = container_of(base, struct http_informer, base);
    loop_timer_stop(base->client->loop, &i->retry);
    if (i->call)
        http_call_cancel(i->call);
    for (struct map_entry *e = map_first(&i->objects); e; e = map_next(&i->objects, e))
        cached_free(e->value);
    map_done(&i->objects);
    buf_done(&i->in);
    mem_free(i->ns);
    mem_free(i->query);
    mem_free(i);
}

static bool informer_http_get(const struct informer *base, struct slice key, struct client_object *ret)
{
    const struct http_informer *i = container_of(base, struct http_informer, base);
    const struct cached *c = map_get(&i->objects, key);
    if (c)
        *ret = object_of(c);
    return c != NULL;
}

static int by_key(const void *x, const void *y)
{
    return slice_cmp((*(const struct cached *const *)x)->key, (*(const struct cached *const *)y)->key);
}

static void informer_http_each(const struct informer *base, struct slice prefix,
                               bool (*each)(void *ctx, const struct client_object *o), void *ctx)
{
    const struct http_informer *i = container_of(base, struct http_informer, base);
    const struct cached **sorted = mem_alloc((i->objects.n + 1) * sizeof *sorted);
    size_t n = 0;
    for (struct map_entry *e = map_first(&i->objects); e; e = map_next(&i->objects, e))
        if (slice_starts(e->key, prefix))
            sorted[n++] = e->value;
    qsort(sorted, n, sizeof *sorted, by_key);
    for (size_t j = 0; j < n; j++) {
        struct client_object o = object_of(sorted[j]);
        if (!each(ctx, &o))
            break;
    }
    mem_free(sorted);
}

static size_t informer_http_count(const struct informer *base)
{
    return container_of(base, struct http_informer, base)->objects.n;
}

static const struct informer_ops http_informer_ops = {informer_http_free, informer_http_get, informer_http_each,
                                                      informer_http_count};

static void add_selector(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, "&%s=", name);
    percent_encode(out, slice_str(value));
}

struct informer *client_http_informer(struct client *c, const struct informer_options *o,
                                      const struct informer_handler *h, void *ctx)
{
    struct http_informer *i = mem_new(struct http_informer);
    struct buf query = BUF_INIT(4096);
    i->base = (struct informer){.ops = &http_informer_ops, .client = c};
    i->set = container_of(c, struct http_client_set, base);
    i->res = o->res;
    i->handler = h;
    i->ctx = ctx;
    i->ns = o->ns ? mem_strndup(o->ns, strlen(o->ns)) : NULL;
    add_selector(&query, "labelSelector", o->label_selector);
    add_selector(&query, "fieldSelector", o->field_selector);
    i->query = mem_strndup(query.p ? query.p : "", query.n);
    buf_done(&query);
    map_init(&i->objects, 0);
    buf_init(&i->in, LIST_MAX);
    i->retry.cb = on_retry;
    i->must_list = true;
    loop_timer_start(c->loop, &i->retry, 0);
    return &i->base;
}

#include "load.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "client/http.h"
#include "net/http.h"
#include "object/meta.h"

enum { LOAD_ARENA = 8 << 20, CALL_MS = 3000, LINE_MAX_BYTES = 4 << 20, PODS_MAX = 8 };

/* One change as somebody learned of it. */
struct seen {
    uint64_t revision, key, value; /* hashes of key and value */
    char type;                     /* 'A', 'M', 'D'; 0 in an acknowledgement */
};

struct record {
    struct seen *at;
    size_t n, cap;
};

struct writer {
    struct load *l;
    struct client *client;
    struct loop_timer timer;
    size_t i, key;
    uint64_t next;               /* the value being written; never used twice */
    uint64_t acked[WRITER_KEYS]; /* revision of the newest acknowledged write */
    bool exists[WRITER_KEYS];
    bool may_vanish[WRITER_KEYS]; /* a deletion whose fate is unknown may still come */
    bool busy, reading;
    uint64_t floor;
};

struct watcher {
    struct load *l;
    struct http_client *servers[REPLICAS];
    struct http_call *call;
    struct loop_timer retry;
    struct buf line;
    size_t i, server;
    uint64_t revision; /* seen up to here; resumes from here */
    int code;
    struct record seen;
};

/* Creates and deletes one Service. */
struct exposer {
    struct load *l;
    struct client *client;
    struct loop_timer timer;
    size_t i;
    bool busy, exists;
};

struct load {
    struct world *w;
    struct arena a;
    struct writer writers[WRITERS];
    struct watcher watchers[WATCHERS];
    struct exposer exposers[EXPOSERS];
    struct client *scaler;
    struct loop_timer scale;
    int64_t pods, pods_acked;
    bool scaling, deployed, quiet;
    struct record acks;
    struct load_totals totals;
};

static void record_add(struct record *r, struct seen s)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 256;
        struct seen *at = mem_alloc(cap * sizeof *at);
        if (r->n)
            memcpy(at, r->at, r->n * sizeof *at);
        mem_free(r->at);
        r->at = at;
        r->cap = cap;
    }
    r->at[r->n++] = s;
}

static const struct resource *configmaps(void)
{
    return resource_find(SLICE(""), SLICE("v1"), SLICE("configmaps"));
}

static struct json *parse(struct load *l, const char *text)
{
    struct json *v = json_parse(&l->a, slice_str(text), NULL, NULL, NULL);
    assert_non_null(v);
    return v;
}

static void new_round(struct load *l)
{
    arena_done(&l->a);
    arena_init(&l->a, LOAD_ARENA);
}

/* What a ConfigMap of ours says, as a struct seen. */
static struct seen seen_of(const struct json *obj, char type)
{
    struct seen s = {
        .type = type, .key = hash64(meta_name(obj), 1), .value = hash64(json_path_string(obj, "data.v"), 2)};
    slice_to_u64(meta_resource_version(obj), &s.revision);
    return s;
}

/* ---- writers and readers ---- */

static const char *key_name(struct load *l, const struct writer *x)
{
    return arena_printf(&l->a, "cm-%zu-%zu", x->i, x->key);
}

static void on_written(void *ctx, const struct client_reply *reply)
{
    struct writer *x = ctx;
    struct load *l = x->l;
    x->busy = false;
    if (reply->err || reply->code >= 500) {
        l->totals.unknown++;
        x->exists[x->key] = reply->err ? loop_random_below(l->w->load, 2) : x->exists[x->key];
        return;
    }
    if (reply->code == 200 || reply->code == 201) {
        new_round(l);
        struct json *obj = json_parse(&l->a, reply->body, NULL, NULL, NULL);
        CHECK(l->w, obj, "an acknowledgement is no JSON");
        struct seen s = seen_of(obj, 0);
        char value[32];
        snprintf(value, sizeof value, "%lu", x->next);
        CHECK(l->w, s.value == hash64(slice_str(value), 2), "the answer to a write shows another value");
        record_add(&l->acks, s);
        x->acked[x->key] = s.revision;
        x->exists[x->key] = true;
        l->totals.acked++;
        return;
    }
    l->totals.refused++;
    CHECK(l->w, reply->code == 409 || reply->code == 404 || reply->code == 429, "a write is refused with %d: %.*s",
          reply->code, (int)reply->body.n, reply->body.p);
    x->exists[x->key] = reply->code == 409;
}

static void write_one(struct writer *x)
{
    struct load *l = x->l;
    bool update = x->exists[x->key];
    new_round(l);
    const char *name = key_name(l, x);
    struct client_request req = {.verb = update ? CLIENT_UPDATE : CLIENT_CREATE,
                                 .res = configmaps(),
                                 .ns = SLICE("default"),
                                 .name = update ? slice_str(name) : SLICE_NONE,
                                 .timeout_ms = CALL_MS};
    x->busy = true;
    x->next++;
    req.body = parse(l, arena_printf(&l->a,
                                     "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\","
                                     "\"namespace\":\"default\"},\"data\":{\"v\":\"%lu\"}}",
                                     name, x->next));
    client_do(x->client, &req, on_written, x);
}

static void on_read(void *ctx, const struct client_reply *reply)
{
    struct writer *x = ctx;
    struct load *l = x->l;
    x->reading = x->busy = false;
    if (reply->err || (reply->code != 200 && reply->code != 404))
        return;
    CHECK(l->w, reply->code == 200 || !x->floor || x->may_vanish[x->key],
          "a read does not find what was acknowledged at revision %lu", x->floor);
    l->totals.reads++;
    if (reply->code != 200)
        return;
    new_round(l);
    struct seen s = seen_of(json_parse(&l->a, reply->body, NULL, NULL, NULL), 0);
    CHECK(l->w, s.revision >= x->floor, "a read answers revision %lu, %lu was acknowledged before", s.revision,
          x->floor);
}

static void read_one(struct writer *x)
{
    new_round(x->l);
    struct client_request req = {.verb = CLIENT_GET,
                                 .res = configmaps(),
                                 .ns = SLICE("default"),
                                 .name = slice_str(key_name(x->l, x)),
                                 .timeout_ms = CALL_MS};
    x->busy = x->reading = true;
    x->floor = x->acked[x->key];
    client_do(x->client, &req, on_read, x);
}

static void delete_one(struct writer *x);

static void on_deleted(void *ctx, const struct client_reply *reply)
{
    struct writer *x = ctx;
    x->busy = false;
    if (reply->err || (reply->code != 200 && reply->code != 404)) {
        x->may_vanish[x->key] = true;
        return;
    }
    x->exists[x->key] = false;
}

static void delete_one(struct writer *x)
{
    new_round(x->l);
    struct client_request req = {.verb = CLIENT_DELETE,
                                 .res = configmaps(),
                                 .ns = SLICE("default"),
                                 .name = slice_str(key_name(x->l, x)),
                                 .timeout_ms = CALL_MS};
    x->busy = true;
    x->acked[x->key] = 0; /* it may be gone from now on */
    client_do(x->client, &req, on_deleted, x);
}

static void on_writer(struct loop_timer *t)
{
    struct writer *x = container_of(t, struct writer, timer);
    struct loop *loop = x->l->w->load;
    loop_timer_start(loop, t, 5 + loop_random_below(loop, 100));
    if (x->busy || x->l->quiet)
        return;
    x->key = loop_random_below(loop, WRITER_KEYS);
    switch (loop_random_below(loop, 10)) {
    case 0:
        delete_one(x);
        break;
    case 1:
    case 2:
    case 3:
        read_one(x);
        break;
    default:
        write_one(x);
    }
}

/* ---- the scaler ---- */

static void on_scaled(void *ctx, const struct client_reply *reply)
{
    struct load *l = ctx;
    l->scaling = false;
    if (reply->err || reply->code >= 500)
        return;
    if (reply->code == 404 || reply->code == 409) {
        l->deployed = reply->code == 409;
        return;
    }
    CHECK(l->w, reply->code == 200 || reply->code == 201, "the Deployment is refused with %d: %.*s", reply->code,
          (int)reply->body.n, reply->body.p);
    new_round(l);
    l->pods_acked = json_int(json_path(json_parse(&l->a, reply->body, NULL, NULL, NULL), "spec.replicas"), -1);
    l->deployed = true;
    l->totals.scaled++;
}

static const char deployment[] =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},"
    "\"spec\":{\"replicas\":%ld,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{"
    "\"labels\":{"
    "\"app\":\"web\"}},\"spec\":{\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":\"c\",\"image\":"
    "\"example.com/web:1\"}]}}}}";

static void on_scale(struct loop_timer *t)
{
    struct load *l = container_of(t, struct load, scale);
    /* In the end the last number is asked for again and again: an earlier call that nobody answered may come late. */
    loop_timer_start(l->w->load, t, (l->quiet ? 50 : 200) + loop_random_below(l->w->load, l->quiet ? 200 : 2000));
    if (l->scaling)
        return;
    if (!l->quiet)
        l->pods = (int64_t)loop_random_below(l->w->load, PODS_MAX + 1);
    struct client_request req = {.verb = l->deployed ? CLIENT_PATCH : CLIENT_CREATE,
                                 .res = resource_find(SLICE("apps"), SLICE("v1"), SLICE("deployments")),
                                 .ns = SLICE("default"),
                                 .name = l->deployed ? SLICE("web") : SLICE_NONE,
                                 .timeout_ms = CALL_MS};
    new_round(l);
    req.body = parse(l, l->deployed ? arena_printf(&l->a, "{\"spec\":{\"replicas\":%ld}}", l->pods)
                                    : arena_printf(&l->a, deployment, l->pods));
    l->scaling = true;
    client_do(l->scaler, &req, on_scaled, l);
}

/* ---- services ---- */

static void on_exposed(void *ctx, const struct client_reply *reply)
{
    struct exposer *x = ctx;
    x->busy = false;
    if (reply->err)
        return;
    CHECK(x->l->w, reply->code < 300 || reply->code == 404 || reply->code == 409 || reply->code >= 429,
          "a Service is refused with %d: %.*s", reply->code, (int)reply->body.n, reply->body.p);
    if (reply->code == 404)
        x->exists = false;
    else if (reply->code < 300 || reply->code == 409)
        x->exists = reply->code == 409 || !x->exists;
}

static void on_expose(struct loop_timer *t)
{
    struct exposer *x = container_of(t, struct exposer, timer);
    struct load *l = x->l;
    struct client_request req = {.verb = x->exists ? CLIENT_DELETE : CLIENT_CREATE,
                                 .res = resource_find(SLICE(""), SLICE("v1"), SLICE("services")),
                                 .ns = SLICE("default"),
                                 .timeout_ms = CALL_MS};
    /* Many in the same moment. */
    uint64_t ms = loop_now(l->w->load) / 1000000;
    loop_timer_start(l->w->load, t, 300 - ms % 300 + loop_random_below(l->w->load, 2));
    if (x->busy || l->quiet || loop_random_below(l->w->load, 3) == 0)
        return;
    new_round(l);
    const char *name = arena_printf(&l->a, "svc-%zu", x->i);
    if (x->exists)
        req.name = slice_str(name);
    else
        req.body = parse(l, arena_printf(&l->a,
                                         "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%s\","
                                         "\"namespace\":\"default\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{"
                                         "\"port\":80}]}}",
                                         name));
    x->busy = true;
    client_do(x->client, &req, on_exposed, x);
}

/* ---- watchers ---- */

static void watch_begin(struct watcher *x);

static void watch_later(struct watcher *x)
{
    struct loop *loop = x->l->w->load;
    x->server = loop_random_below(loop, REPLICAS);
    x->l->totals.resumed++;
    loop_timer_start(loop, &x->retry, 20 + loop_random_below(loop, 200));
}

static void on_retry(struct loop_timer *t)
{
    watch_begin(container_of(t, struct watcher, retry));
}

static void take_event(struct watcher *x, struct slice line)
{
    struct load *l = x->l;
    new_round(l);
    struct json *e = json_parse(&l->a, line, NULL, NULL, NULL), *obj = json_get_str(e, "object");
    CHECK(l->w, e && obj, "watcher %zu got no JSON: %.*s", x->i, (int)line.n, line.p);
    struct slice type = json_path_string(e, "type");
    if (slice_eq_str(type, "ERROR")) {
        /* A replica that is behind does not know our revision yet; one that was damaged tells us to list anew. What is
         * damaged is no ConfigMap (test_damaged_state), so we go on where we are. Nothing else may go wrong. */
        int64_t code = json_int(json_get_str(obj, "code"), 0);
        bool damaged = l->w->damaged && code == 410;
        CHECK(l->w, code == 504 || damaged, "watcher %zu got an error: %.*s", x->i, (int)line.n, line.p);
        return;
    }
    struct seen s = seen_of(obj, type.p[0]);
    if (slice_eq_str(type, "BOOKMARK")) {
        CHECK(l->w, s.revision >= x->revision, "watcher %zu: a bookmark goes back from %lu to %lu", x->i, x->revision,
              s.revision);
    } else {
        CHECK(l->w, s.revision > x->revision, "watcher %zu: an event of %lu after one of %lu", x->i, s.revision,
              x->revision);
        record_add(&x->seen, s);
        l->totals.events++;
    }
    x->revision = s.revision;
}

static void on_watch_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct watcher *x = ctx;
    (void)headers, (void)n;
    x->code = code;
}

static void on_watch_data(void *ctx, struct slice data)
{
    struct watcher *x = ctx;
    if (x->code != 200)
        return;
    for (size_t i = 0; i < data.n; i++) {
        buf_add_char(&x->line, data.p[i]);
        if (data.p[i] != '\n')
            continue;
        take_event(x, buf_slice(&x->line));
        buf_clear(&x->line);
    }
}

static void on_watch_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct watcher *x = ctx;
    (void)trailers, (void)n, (void)sent;
    CHECK(x->l->w, err || code == 200 || code >= 429, "a watch is refused with %d", code);
    x->call = NULL;
    watch_later(x);
}

static void watch_begin(struct watcher *x)
{
    static const struct http_header headers[] = {{SLICE("accept"), SLICE("application/json")}};
    char path[256];
    struct loop *loop = x->l->w->load;
    buf_clear(&x->line);
    snprintf(path, sizeof path,
             "/api/v1/namespaces/default/configmaps?watch=1&allowWatchBookmarks=true&resourceVersion=%lu"
             "&timeoutSeconds=%lu",
             x->revision, 1 + (unsigned long)loop_random_below(loop, 10));
    x->call = http_call(x->servers[x->server], &(struct http_call_options){.method = "GET",
                                                                           .path = path,
                                                                           .headers = headers,
                                                                           .n_headers = 1,
                                                                           .timeout_ms = 12000,
                                                                           .on_head = on_watch_head,
                                                                           .on_data = on_watch_data,
                                                                           .on_done = on_watch_done,
                                                                           .ctx = x});
}

/* ---- checks ---- */

typedef void each_change(void *ctx, const struct json *obj, const struct store_event *e);

static void history(const struct load *l, const struct replica_host *h, each_change *each, void *ctx)
{
    struct store *s = replica_store(h->replica);
    struct store_watch cursor = {0};
    bool lost = false;
    list_init(&cursor.link);
    CHECK(l->w, store_watch_start(s, store_table(s, SLICE("configmaps")), 1, &cursor) == 0,
          "the history of replica %zu does not reach back to the start", h->i + 1);
    for (const struct store_event *e; (e = store_watch_next(s, &cursor, &lost));) {
        struct arena a;
        arena_init(&a, LOAD_ARENA);
        if (slice_starts(item_key(e->now), SLICE("default/")))
            each(ctx, json_parse(&a, blob_slice(e->now->value), NULL, NULL, NULL), e);
        arena_done(&a);
    }
    store_watch_stop(&cursor);
    assert_false(lost);
}

static void take_change(void *ctx, const struct json *obj, const struct store_event *e)
{
    record_add(ctx, seen_of(obj, e->deleted ? 'D' : e->before ? 'M' : 'A'));
}

static const struct seen *find(const struct record *r, uint64_t revision)
{
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (r->at[mid].revision < revision)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < r->n && r->at[lo].revision == revision ? &r->at[lo] : NULL;
}

static void check_watcher(const struct load *l, const struct watcher *x, const struct record *all)
{
    for (size_t i = 0; i < all->n && i < x->seen.n; i++)
        CHECK(l->w, !memcmp(&all->at[i], &x->seen.at[i], sizeof all->at[i]),
              "watcher %zu saw %c of revision %lu where the history has %c of revision %lu", x->i, x->seen.at[i].type,
              x->seen.at[i].revision, all->at[i].type, all->at[i].revision);
    CHECK(l->w, all->n == x->seen.n, "watcher %zu saw %zu changes of %zu", x->i, x->seen.n, all->n);
}

void load_check(const struct load *l, const struct replica_host *h)
{
    struct record all = {0};
    history(l, h, take_change, &all);
    for (size_t i = 0; i < l->acks.n; i++) {
        const struct seen *ack = &l->acks.at[i], *s = find(&all, ack->revision);
        CHECK(l->w, s && s->key == ack->key && s->value == ack->value && s->type != 'D',
              "replica %zu lost the write acknowledged at revision %lu", h->i + 1, ack->revision);
    }
    for (size_t i = 0; i < WATCHERS; i++)
        check_watcher(l, &l->watchers[i], &all);
    mem_free(all.at);
}

bool load_watchers_are_current(const struct load *l, const struct replica_host *h)
{
    struct record all = {0};
    bool current = true;
    history(l, h, take_change, &all);
    for (size_t i = 0; i < WATCHERS; i++)
        current &= !all.n || l->watchers[i].revision >= all.at[all.n - 1].revision;
    mem_free(all.at);
    return current;
}

/* ---- life ---- */

struct load *load_new(struct world *w)
{
    struct load *l = mem_new(struct load);
    struct client_http_options o = {.servers = world_servers, .n_servers = REPLICAS};
    l->w = w;
    arena_init(&l->a, LOAD_ARENA);
    for (size_t i = 0; i < WRITERS; i++) {
        struct writer *x = &l->writers[i];
        x->l = l;
        x->i = i;
        x->client = client_http_new(w->load, &o);
        x->timer.cb = on_writer;
        loop_timer_start(w->load, &x->timer, 500);
    }
    for (size_t i = 0; i < WATCHERS; i++) {
        struct watcher *x = &l->watchers[i];
        x->l = l;
        x->i = x->server = i;
        x->revision = 1;
        x->retry.cb = on_retry;
        buf_init(&x->line, LINE_MAX_BYTES);
        for (size_t j = 0; j < REPLICAS; j++)
            x->servers[j] =
                http_client_new(w->load, &(struct http_client_options){.addr = world_servers[j], .h2 = true});
        loop_timer_start(w->load, &x->retry, 100);
    }
    for (size_t i = 0; i < EXPOSERS; i++) {
        struct exposer *x = &l->exposers[i];
        x->l = l;
        x->i = i;
        x->client = client_http_new(w->load, &o);
        x->timer.cb = on_expose;
        loop_timer_start(w->load, &x->timer, 800);
    }
    l->scaler = client_http_new(w->load, &o);
    l->pods = l->pods_acked = -1;
    l->scale.cb = on_scale;
    loop_timer_start(w->load, &l->scale, 1000);
    return l;
}

void load_free(struct load *l)
{
    for (size_t i = 0; i < WRITERS; i++) {
        loop_timer_stop(l->w->load, &l->writers[i].timer);
        client_http_free(l->writers[i].client);
    }
    for (size_t i = 0; i < WATCHERS; i++) {
        struct watcher *x = &l->watchers[i];
        if (x->call)
            http_call_cancel(x->call);
        loop_timer_stop(l->w->load, &x->retry);
        for (size_t j = 0; j < REPLICAS; j++)
            http_client_free(x->servers[j]);
        buf_done(&x->line);
        mem_free(x->seen.at);
    }
    for (size_t i = 0; i < EXPOSERS; i++) {
        loop_timer_stop(l->w->load, &l->exposers[i].timer);
        client_http_free(l->exposers[i].client);
    }
    loop_timer_stop(l->w->load, &l->scale);
    client_http_free(l->scaler);
    mem_free(l->acks.at);
    arena_done(&l->a);
    mem_free(l);
}

void load_quiet(struct load *l)
{
    l->quiet = true;
    if (l->pods < 0)
        l->pods = 3;
}

bool load_settled(const struct load *l)
{
    for (size_t i = 0; i < WRITERS; i++)
        if (l->writers[i].busy)
            return false;
    return !l->scaling && l->pods == l->pods_acked;
}

int64_t load_pods_wanted(const struct load *l)
{
    return l->pods;
}

void load_count(const struct load *l, struct load_totals *t)
{
    t->acked += l->totals.acked;
    t->unknown += l->totals.unknown;
    t->refused += l->totals.refused;
    t->reads += l->totals.reads;
    t->scaled += l->totals.scaled;
    t->events += l->totals.events;
    t->resumed += l->totals.resumed;
}

/* GET and LIST from the local state. */
#include <errno.h>

#include "apiserver/body.h"
#include "apiserver/filter.h"
#include "apiserver/internal.h"
#include "apiserver/options.h"
#include "apiserver/output.h"
#include "apiserver/past.h"
#include "apiserver/seal.h"
#include "base/text.h"
#include "object/print.h"
#include "object/protobuf.h"

/* ---- which revision ---- */

enum { WAIT_POLL_MS = 5, WAIT_MAX_MS = 3000, LIST_REWIND = 300 /* events undone in one turn */ };

/* A read that must not be older than a revision waits for the local state to reach it. */
struct fresh_wait {
    struct loop_timer timer;
    struct api_request *r;
    uint64_t revision, deadline;
};

static void wait_close(struct api_request *r)
{
    struct fresh_wait *w = r->waiting;
    loop_timer_stop(r->api->loop, &w->timer);
    r->responder->abort(r);
}

static void wait_more(struct fresh_wait *w)
{
    w->r->waiting = w;
    w->r->on_close = wait_close;
    loop_timer_start(w->r->api->loop, &w->timer, WAIT_POLL_MS);
}

static void on_wait(struct loop_timer *t)
{
    struct fresh_wait *w = container_of(t, struct fresh_wait, timer);
    struct api_request *r = w->r;
    r->on_close = NULL;
    if (r->gone) {
        r->responder->abort(r);
    } else if (api_fenced(r)) {
        return;
    } else if (store_revision(r->api->store) >= w->revision) {
        r->next(r, 0);
    } else if (loop_now(r->api->loop) >= w->deadline) {
        struct status st;
        status_set_reason(&st, r->arena, 504, "Timeout", "Timeout: Too large resource version: %lu, current: %lu",
                          w->revision, store_revision(r->api->store));
        status_cause(&st, r->arena, "ResourceVersionTooLarge", "", "Too large resource version");
        st.retry_after = API_RETRY_SECONDS;
        api_reply_status(r, &st);
    } else {
        wait_more(w);
    }
}

void api_wait_revision(struct api_request *r, uint64_t revision, void (*next)(struct api_request *r, int err))
{
    if (store_revision(r->api->store) >= revision) {
        next(r, 0);
        return;
    }
    struct fresh_wait *w = arena_state(r->arena, struct fresh_wait);
    *w = (struct fresh_wait){.timer.cb = on_wait, .r = r, .revision = revision};
    w->deadline = loop_now(r->api->loop) + (uint64_t)WAIT_MAX_MS * 1000000;
    r->next = next;
    wait_more(w);
}

/* "" = as fresh as any write acknowledged before (a round to the majority), "0" = whatever is here, N = at least N. */
static void when_fresh(struct api_request *r, void (*next)(struct api_request *r, int err))
{
    uint64_t revision;
    struct slice rv = r->options.resource_version;
    if (!rv.n)
        api_when_confirmed(r, next);
    else if (!slice_to_u64(rv, &revision))
        api_reply_error(r, 400,
                        "invalid resource version: resourceVersion: Invalid value: \"%" SLICE_FMT
                        "\": strconv.ParseUint: parsing \"%" SLICE_FMT "\": invalid syntax",
                        SLICE_ARG(rv), SLICE_ARG(rv));
    else {
        api_warn_stale(r);
        api_wait_revision(r, revision, next);
    }
}

/* ---- GET ---- */

static void reply_got(struct api_request *r, const struct store_item *item)
{
    struct status st;
    if (item) {
        api_reply_item(r, 200, item);
        return;
    }
    status_not_found(&st, r->arena, slice_str(r->res->group), slice_str(r->res->plural), r->name);
    api_reply_status(r, &st);
}

static struct slice key_of(struct api_request *r)
{
    return api_key(r, r->res->namespaced ? r->ns : SLICE_NONE, r->name);
}

static void get_now(struct api_request *r, int err)
{
    if (err)
        api_reply_errno(r, err, "reading");
    else
        reply_got(r, store_get(api_table(r->api, r->res), key_of(r)));
}

static void get_past(struct api_request *r, int err)
{
    struct status st;
    uint64_t revision;
    struct store_item *item = NULL;
    if (err) {
        api_reply_errno(r, err, "reading");
    } else if (api_past_revision(r, &revision, &st)) {
        api_reply_status(r, &st);
    } else {
        store_get_at(r->api->store, api_table(r->api, r->res), key_of(r), revision, &item);
        reply_got(r, item);
    }
}

void api_get(struct api_request *r)
{
    if (r->options.as_of.n)
        api_when_confirmed(r, get_past);
    else
        when_fresh(r, get_now);
}

/* ---- LIST ---- */

struct page {
    struct api_filter filter;
    struct tree_node *root;    /* held while the answer is produced */
    struct store_frozen *past; /* of an exact revision: the root is this one's */
    struct replica *replica;   /* frees it */
    struct loop_timer rewind;
    struct api_request *r;
    struct tree_iter iter;
    struct slice start;        /* continue: keys after this one */
    struct slice from;         /* where the scan begins */
    uint64_t revision;         /* of the answer */
    bool exact;                /* the revision was asked for */
    struct store_item **items; /* a page with a limit is collected first */
    size_t n_items, at;
    struct slice next_key; /* where the next page starts; n 0 = this is the last */
    int64_t remaining;     /* items after this page, -1 = not known */
    bool first, ended;
    struct api_body body;
    struct loop_timer timer; /* goes on in a later turn of the loop */
    struct buf meta;         /* protobuf: ListMeta */
    uint64_t bytes;          /* protobuf: of all items */
};

static int bad_continue(struct api_request *r, struct status *st, const char *why)
{
    return status_set(st, r->arena, 400, "invalid continue token: continue key is not valid: %s", why);
}

/* Continue tokens are Kubernetes': base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"KEY"}. */
static int parse_continue(struct api_request *r, struct page *p, struct status *st)
{
    struct buf text = BUF_INIT(8192);
    struct json_error err;
    bool decoded = !base64url_decode(&text, r->options.continue_token);
    struct json *v = decoded ? json_parse(r->arena, buf_slice(&text), &err, NULL, NULL) : NULL;
    buf_done(&text);
    if (!v)
        return bad_continue(r, st, decoded ? "it is no JSON object" : "it is no base64url text");
    p->start = json_path_string(v, "start");
    int64_t revision = json_int(json_get_str(v, "rv"), 0);
    if (!slice_eq_str(json_path_string(v, "v"), "meta.k8s.io/v1"))
        return bad_continue(r, st,
                            arena_printf(r->arena, "server does not recognize this encoded version \"%" SLICE_FMT "\"",
                                         SLICE_ARG(json_path_string(v, "v"))));
    if (!revision)
        return bad_continue(r, st, "incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
    if (!p->start.n || !slice_starts(p->start, p->filter.prefix))
        return bad_continue(r, st, "encoded start key empty (version meta.k8s.io/v1)");
    p->exact = revision > 0; /* below: the inconsistent continuation, at whatever revision is current */
    p->revision = p->exact ? (uint64_t)revision : 0;
    if (r->options.resource_version.n && !slice_eq_str(r->options.resource_version, "0"))
        return status_set(st, r->arena, 400, "specifying resource version is not allowed when using continue");
    return 0;
}

static const char *continue_token(struct api_request *r, int64_t revision, struct slice key)
{
    struct buf text = BUF_INIT(8192), token = BUF_INIT(16384);
    buf_printf(&text, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%ld,\"start\":", revision);
    json_write_string(&text, key);
    buf_add_char(&text, '}');
    base64url_encode(&token, buf_slice(&text));
    struct slice copy = arena_copy(r->arena, buf_slice(&token));
    buf_done(&text);
    buf_done(&token);
    return copy.p ? copy.p : "";
}

static void page_done(struct page *p)
{
    for (size_t i = 0; i < p->n_items; i++)
        item_unref(p->items[i]);
    p->n_items = 0;
    if (p->past)
        replica_free_frozen(p->replica, p->past);
    else
        tree_unref(p->root);
    p->past = NULL;
    p->root = NULL;
    buf_done(&p->meta);
}

/* The next matching item of the range, or NULL. */
static struct store_item *scan(struct page *p)
{
    for (struct store_item *item; (item = tree_iter_next(&p->iter));) {
        if (api_filter_past(&p->filter, item))
            return NULL;
        if (api_filter_match(&p->filter, item))
            return item;
    }
    return NULL;
}

static size_t range_end_rank(struct api_request *r, const struct page *p)
{
    if (!p->filter.prefix.n)
        return tree_count(p->root);
    struct slice end = arena_copy(r->arena, p->filter.prefix);
    if (!end.n)
        return tree_count(p->root);
    ((char *)end.p)[end.n - 1]++; /* '/' + 1: the first key behind the namespace */
    return tree_rank(p->root, end);
}

/* Collects at most limit items and looks whether there are more. */
static int collect(struct api_request *r, struct page *p)
{
    size_t limit = (size_t)r->options.limit, count = tree_count(p->root);
    if (limit > count)
        limit = count;
    p->items = arena_alloc(r->arena, (limit + 1) * sizeof *p->items);
    if (!p->items)
        return -ENOMEM;
    struct store_item *item = NULL;
    while (p->n_items < limit && (item = scan(p)))
        p->items[p->n_items++] = item_ref(item);
    if (p->n_items < limit || !limit || !(item = scan(p)))
        return 0;
    p->next_key = item_key(item);
    p->remaining =
        api_filter_selects(&p->filter) ? -1 : (int64_t)(range_end_rank(r, p) - tree_rank(p->root, item_key(item)));
    return 0;
}

static struct store_item *next_item(struct page *p)
{
    if (p->items)
        return p->at < p->n_items ? p->items[p->at++] : NULL;
    return scan(p);
}

static void add_head(struct api_request *r, struct page *p, struct buf *out)
{
    struct api_kind kind = api_answer_kind(r, true);
    buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%lu\"", kind.kind,
               kind.api_version, p->revision);
    if (p->next_key.n) {
        buf_printf(out, ",\"continue\":\"%s\"", continue_token(r, (int64_t)p->revision, p->next_key));
        if (p->remaining >= 0)
            buf_printf(out, ",\"remainingItemCount\":%ld", p->remaining);
    }
    buf_add_str(out, "}");
    if (r->shape == SHAPE_TABLE) {
        buf_add_str(out, ",\"columnDefinitions\":");
        json_write(out, print_columns(r->arena, r->res));
    }
    buf_add_str(out, r->shape == SHAPE_TABLE ? ",\"rows\":[" : ",\"items\":[");
}

/* One item's chunks: for stored bytes, the object without its kind and apiVersion, as Kubernetes lists have it. */
static int add_item(struct api_request *r, struct page *p, struct store_item *item, struct chunk *out, size_t *n)
{
    if (!p->first && r->encoding == ENCODE_JSON)
        out[(*n)++] = chunk_static(SLICE(","));
    p->first = false;
    if (api_output_raw(r)) {
        struct api_plain plain;
        int err = api_open(r->api, item, &plain);
        if (err)
            return err;
        out[(*n)++] = chunk_static(SLICE("{"));
        out[(*n)++] = (struct chunk){plain.value, plain.value->bytes + plain.type_len, plain.value->n - plain.type_len};
        return 0;
    }
    struct chunk made;
    int rv = api_output_list_item(r, item, &made);
    if (!rv)
        out[(*n)++] = made;
    return rv;
}

static void list_finish(struct api_request *r, bool whole)
{
    struct page *p = r->state;
    if (p->ended)
        return;
    p->ended = true;
    r->on_drain = NULL;
    r->on_gone = NULL;
    r->on_close = NULL;
    loop_timer_stop(r->api->loop, &p->timer);
    page_done(p);
    api_body_end(r, &p->body, whole);
}

/* Queues items until the client's share of memory is used up, or others are to have their turn; goes on when it has
 * drained, or in the next turn. */
static void list_more(struct api_request *r)
{
    enum { CHUNKS = 64 * 3 };
    struct page *p = r->state;
    struct chunk chunks[CHUNKS + 3];
    struct store_item *item = NULL;
    size_t looked = 0;
    if (loop_timer_armed(&p->timer))
        return;
    while (r->responder->queued(r) < API_LIST_BATCH) {
        size_t n = 0;
        int rv = 0;
        while (n < CHUNKS && !rv && (item = next_item(p))) {
            looked += item->value->n;
            rv = add_item(r, p, item, chunks, &n);
        }
        if (!item)
            chunks[n++] = chunk_static(r->encoding == ENCODE_PROTOBUF ? PROTOBUF_TAIL : SLICE("]}\n"));
        int sent = api_body_write(r, &p->body, chunks, n);
        if (rv || sent || !item) {
            list_finish(r, !rv && !sent);
            return;
        }
        if (looked > API_LIST_TURN && r->http) {
            loop_timer_start(r->api->loop, &p->timer, 0);
            return;
        }
    }
}

static void on_turn(struct loop_timer *t)
{
    list_more(container_of(t, struct page, timer)->r);
}

static void list_gone(struct api_request *r)
{
    list_finish(r, false);
}

/* Sends the head (which it frees), then the items as the client takes them. */
static void list_stream(struct api_request *r, struct page *p, struct buf *head, const char *content_type)
{
    struct blob *b = buf_error(head) ? NULL : blob_copy(buf_slice(head));
    buf_done(head);
    if (!b) {
        page_done(p);
        api_reply_error(r, 503, "memory is short, try again later");
        return;
    }
    struct chunk c = chunk_take(b);
    p->timer.cb = on_turn;
    r->on_drain = list_more;
    r->on_gone = list_gone;
    r->on_close = list_gone;
    api_body_begin(r, &p->body, content_type);
    if (api_body_write(r, &p->body, &c, 1))
        list_finish(r, false);
    else
        list_more(r);
}

/* ---- protobuf: lengths stand before what they measure, so a first pass adds up the items ---- */

static void rewind_page(struct page *p)
{
    p->at = 0;
    tree_iter_init(&p->iter, p->root, p->from);
}

static void protobuf_meta(struct api_request *r, struct page *p)
{
    struct arena *a = r->arena;
    struct json *meta = json_new_object(a);
    json_set_str(a, meta, "resourceVersion", json_new_printf(a, "%lu", p->revision));
    if (p->next_key.n)
        json_set_str(a, meta, "continue", json_new_str(a, continue_token(r, (int64_t)p->revision, p->next_key)));
    if (p->next_key.n && p->remaining >= 0)
        json_set_str(a, meta, "remainingItemCount", json_new_int(a, p->remaining));
    protobuf_encode_message(&p->meta, schema_type_find(SLICE("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")), meta);
}

static void protobuf_send(struct api_request *r, struct page *p)
{
    struct api_kind kind = api_answer_kind(r, true);
    struct buf meta = BUF_INIT(1 << 20), head = BUF_INIT(1 << 20);
    protobuf_encode_bytes(&meta, 1, buf_slice(&p->meta));
    protobuf_encode_head(&head, slice_str(kind.api_version), slice_str(kind.kind), meta.n + p->bytes);
    buf_add_slice(&head, buf_slice(&meta));
    buf_done(&meta);
    rewind_page(p);
    list_stream(r, p, &head, API_PROTOBUF);
}

static void measure_gone(struct api_request *r)
{
    struct page *p = r->state;
    loop_timer_stop(r->api->loop, &p->timer);
    page_done(p);
    r->responder->abort(r);
}

/* One turn's share of the first pass. */
static void measure(struct api_request *r)
{
    struct page *p = r->state;
    struct store_item *item = NULL;
    struct chunk c;
    r->on_close = NULL;
    for (size_t looked = 0; looked < API_LIST_TURN || !r->http;) {
        item = next_item(p);
        if (!item) {
            protobuf_send(r, p);
            return;
        }
        if (api_output_list_item(r, item, &c)) {
            page_done(p);
            api_reply_error(r, 503, "memory is short, try again later");
            return;
        }
        p->bytes += c.n;
        looked += item->value->n;
        blob_unref(c.blob);
    }
    r->on_close = measure_gone;
    loop_timer_start(r->api->loop, &p->timer, 0);
}

static void on_measure(struct loop_timer *t)
{
    struct page *p = container_of(t, struct page, timer);
    struct api_request *r = p->r;
    r->on_close = NULL;
    if (r->gone)
        measure_gone(r);
    else if (api_fenced(r))
        page_done(p);
    else
        measure(r);
}

/* YAML lists are built whole: they are for people. */
static void list_as_yaml(struct api_request *r, struct page *p, struct buf *head)
{
    struct json_error err;
    buf_add_str(head, "]}");
    struct json *v = json_parse(r->arena, buf_slice(head), &err, NULL, NULL);
    struct json *items = json_get_str(v, r->shape == SHAPE_TABLE ? "rows" : "items");
    for (struct store_item *item; (item = next_item(p));) {
        struct chunk c;
        if (api_output_list_item(r, item, &c))
            break;
        json_append(items, json_parse(r->arena, slice_of(c.p, c.n), &err, NULL, NULL));
        blob_unref(c.blob);
    }
    page_done(p);
    api_reply_json(r, 200, v);
}

static void list_send(struct api_request *r, struct page *p)
{
    struct buf head = BUF_INIT(1 << 20);
    p->first = true;
    p->r = r;
    if (r->encoding == ENCODE_PROTOBUF) {
        p->timer.cb = on_measure;
        buf_init(&p->meta, 1 << 20);
        protobuf_meta(r, p);
        measure(r);
        return;
    }
    add_head(r, p, &head);
    if (r->encoding == ENCODE_YAML) {
        list_as_yaml(r, p, &head);
        buf_done(&head);
        return;
    }
    list_stream(r, p, &head, "application/json");
}

void api_list_items(struct api_request *r, struct store_item **items, size_t n)
{
    struct page *p = arena_state(r->arena, struct page);
    *p = (struct page){.items = items, .n_items = n, .remaining = -1, .revision = store_revision(r->api->store)};
    r->state = p;
    list_send(r, p);
}

static void reply_expired(struct api_request *r, const struct page *p)
{
    struct status st;
    if (p->start.n) {
        status_set_reason(
            &st, r->arena, 410, "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a new "
            "list without the continue parameter, or use the continue token in this response to retrieve the "
            "remainder of the results. Continuing with the provided token results in an inconsistent list - "
            "objects that were created, modified, or deleted between the time the first chunk was returned and "
            "now may show up in the list.");
    } else {
        status_set_reason(&st, r->arena, 410, "Expired", "The resourceVersion for the provided list is too old.");
    }
    struct json *v = api_status_json(r->arena, &st);
    if (p->start.n)
        json_set_str(r->arena, json_get_str(v, "metadata"), "continue",
                     json_new_str(r->arena, continue_token(r, -1, p->start)));
    api_reply_json(r, 410, v);
}

/* An answer that has begun cannot become an error, so the first item that is sealed with each key is opened before. */
static struct store_item *find_locked(struct api_request *r, struct page *p)
{
    struct page look = *p;
    struct slice known = SLICE_NONE;
    for (struct store_item *item; (item = next_item(&look));) {
        struct slice key = api_is_sealed(item) ? api_seal_key(item) : SLICE_NONE;
        if (!key.n || slice_eq(key, known))
            continue;
        struct api_plain plain;
        if (api_open(r->api, item, &plain))
            return item;
        blob_unref(plain.value);
        known = key;
    }
    return NULL;
}

/* The root is there. */
static void list_root(struct api_request *r)
{
    struct page *p = r->state;
    p->from = p->start.n ? p->start : api_filter_start(&p->filter);
    tree_iter_init(&p->iter, p->root, p->from);
    if (r->options.limit > 0 && collect(r, p)) {
        page_done(p);
        api_reply_error(r, 503, "memory is short, try again later");
        return;
    }
    struct store_item *locked = api_may_be_sealed(r->api, r->res) ? find_locked(r, p) : NULL;
    if (locked && api_locked(r, locked))
        page_done(p);
    else
        list_send(r, p);
}

static void rewind_close(struct api_request *r)
{
    struct page *p = r->state;
    loop_timer_stop(r->api->loop, &p->rewind);
    page_done(p);
    r->responder->abort(r);
}

/* What is long past takes many turns, so that others are served in between. */
static void rewind_some(struct loop_timer *timer)
{
    struct page *p = container_of(timer, struct page, rewind);
    struct api_request *r = p->r;
    r->on_close = NULL;
    if (r->gone || api_fenced(r)) {
        page_done(p);
        if (r->gone)
            r->responder->abort(r);
    } else if (store_past_some(p->past, LIST_REWIND)) {
        p->root = store_past_root(p->past);
        list_root(r);
    } else {
        r->on_close = rewind_close;
        loop_timer_start(r->api->loop, timer, 0);
    }
}

static void list_exact(struct api_request *r, struct page *p)
{
    int rv = store_past_begin(r->api->store, api_table(r->api, r->res), p->revision, &p->past);
    if (rv == -ESTALE) {
        reply_expired(r, p);
    } else if (rv) {
        api_reply_errno(r, -EAGAIN, "reading");
    } else {
        p->r = r;
        p->replica = r->api->o.replica;
        p->rewind.cb = rewind_some;
        rewind_some(&p->rewind);
    }
}

static void list_now(struct api_request *r, int err)
{
    struct page *p = r->state;
    if (err) {
        api_reply_errno(r, err, "reading");
    } else if (p->exact) {
        list_exact(r, p);
    } else {
        p->revision = store_revision(r->api->store);
        p->root = tree_ref(store_root(api_table(r->api, r->res)));
        list_root(r);
    }
}

/* A page of the past; the pages behind it have its revision in their continue token. */
static void list_past(struct api_request *r, int err)
{
    struct page *p = r->state;
    struct status st;
    if (!err && !p->exact && api_past_revision(r, &p->revision, &st)) {
        api_reply_status(r, &st);
        return;
    }
    p->exact = true;
    list_now(r, err);
}

/* A list is of one revision when it goes on with one (continue), when it asks for it (Exact), and when it begins to page
 * at a revision: what would follow could not be told otherwise. */
static int choose_revision(struct api_request *r, struct page *p, struct status *st)
{
    struct slice match = r->options.resource_version_match;
    bool paged = !match.n && r->options.limit > 0;
    if (r->options.continue_token.n)
        return parse_continue(r, p, st);
    p->exact = (slice_eq_str(match, "Exact") || paged) && slice_to_u64(r->options.resource_version, &p->revision) &&
               p->revision;
    return 0;
}

void api_list(struct api_request *r)
{
    struct status st = {0};
    struct page *p = arena_state(r->arena, struct page);
    r->state = p;
    p->remaining = -1;
    int rv = api_check_list_options(r, &st);
    if (!rv)
        rv = api_filter_parse(r, &p->filter, &st);
    if (!rv)
        rv = choose_revision(r, p, &st);
    if (rv) {
        api_reply_status(r, &st);
    } else if (r->options.as_of.n) {
        api_when_confirmed(r, list_past);
    } else if (p->exact) {
        api_wait_revision(r, p->revision, list_now);
    } else {
        if (p->start.n) /* "0" beside an inconsistent continuation means nothing */
            r->options.resource_version = SLICE_NONE;
        when_fresh(r, list_now);
    }
}

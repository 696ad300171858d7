/* WATCH: a cursor into the event window, sent at the client's own pace. An event's bytes are shared by all its watchers.
 * Over a WebSocket each event is a message: the same bytes, in protobuf without the length before them. */
#include <errno.h>

#include "apiserver/filter.h"
#include "apiserver/internal.h"
#include "apiserver/options.h"
#include "apiserver/output.h"
#include "apiserver/seal.h"
#include "object/meta.h"
#include "object/protobuf.h"

enum {
    WATCH_QUEUE_MAX = 256 << 10, /* bytes queued for one watcher before it waits for its client */
    WATCH_DEFAULT_S = 1800,      /* a watch without timeoutSeconds ends after this to twice this */
    WATCH_BOOKMARK_MS = 60000,
    WATCH_INITIAL_BATCH = 64,
};

struct watch {
    struct store_watch cursor;
    struct api_request *r;
    struct api_filter filter;
    struct loop_timer timer;   /* bookmarks and the end */
    uint64_t end;              /* loop_now at which the watch ends */
    uint64_t sent_revision;    /* newest revision the client knows of */
    struct tree_node *initial; /* objects to send first, while sending them */
    struct tree_iter iter;
    uint64_t initial_revision;
    uint64_t after; /* resourceVersion, 0 = any */
    bool wants_initial, sending_initial, bookmark_initial, columns_sent, ended, started;
};

static void watch_end(struct watch *w, bool abort)
{
    struct api_request *r = w->r;
    if (w->ended)
        return;
    w->ended = true;
    r->on_drain = NULL;
    r->on_gone = NULL;
    loop_timer_stop(r->api->loop, &w->timer);
    store_watch_stop(&w->cursor);
    tree_unref(w->initial);
    r->api->m_watches->value--;
    if (abort)
        r->responder->abort(r);
    else
        r->responder->end(r);
}

/* ---- frames ---- */

static const char *const frame_types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
enum frame { FRAME_ADDED, FRAME_MODIFIED, FRAME_DELETED, FRAME_BOOKMARK, FRAME_ERROR };

enum { FRAME_CHUNKS = API_ENVELOPE_CHUNKS + 2 };

/* JSON: {"type":T,"object":O} and a line feed, around the object's chunk. */
static size_t frame_json(enum frame frame, struct chunk object, struct chunk out[static FRAME_CHUNKS])
{
    static const char *const heads[] = {
        "{\"type\":\"ADDED\",\"object\":", "{\"type\":\"MODIFIED\",\"object\":", "{\"type\":\"DELETED\",\"object\":",
        "{\"type\":\"BOOKMARK\",\"object\":", "{\"type\":\"ERROR\",\"object\":"};
    out[0] = chunk_static(slice_str(heads[frame]));
    out[1] = object;
    out[2] = chunk_static(SLICE("}\n"));
    return 3;
}

/* Protobuf: four bytes of length, then WatchEvent {1 type, 2 object {1 raw}} around n bytes of an enveloped object. */
static struct blob *frame_head(enum frame frame, size_t n, bool with_length)
{
    struct buf raw = BUF_INIT(64), event = BUF_INIT(128), out = BUF_INIT(256);
    protobuf_encode_part(&raw, 1, n);
    protobuf_encode_bytes(&event, 1, slice_str(frame_types[frame]));
    protobuf_encode_part(&event, 2, raw.n + n);
    buf_add_slice(&event, buf_slice(&raw));
    size_t length = event.n + n;
    for (int shift = 24; shift >= 0 && with_length; shift -= 8)
        buf_add_char(&out, (char)(length >> shift));
    buf_add_slice(&out, buf_slice(&event));
    struct blob *b = buf_error(&out) || length > UINT32_MAX ? NULL : blob_copy(buf_slice(&out));
    buf_done(&raw);
    buf_done(&event);
    buf_done(&out);
    return b;
}

/* Frames the n_object chunks at out + 1; takes over their references. The number of chunks, 0 when memory is short. */
static size_t frame_protobuf(const struct watch *w, enum frame frame, size_t n_object,
                             struct chunk out[static FRAME_CHUNKS])
{
    size_t bytes = 0;
    for (size_t i = 1; i <= n_object; i++)
        bytes += out[i].n;
    struct blob *head = frame_head(frame, bytes, !w->r->websocket);
    if (head) {
        out[0] = chunk_take(head);
        return n_object + 1;
    }
    for (size_t i = 1; i <= n_object; i++)
        blob_unref(out[i].blob);
    return 0;
}

/* Sends an object that was made for this watcher alone. */
static int send_made(struct watch *w, enum frame frame, const struct json *v)
{
    struct api_request *r = w->r;
    struct chunk chunks[FRAME_CHUNKS];
    struct buf out = BUF_INIT(API_ARENA_MAX);
    const struct schema_type *type = r->encoding == ENCODE_PROTOBUF ? api_answer_type(r->arena, v) : NULL;
    int rv = !v ? -ENOMEM : type ? protobuf_encode(&out, type, v) : json_write(&out, v);
    struct blob *b = rv ? NULL : blob_copy(buf_slice(&out));
    size_t n = 0;
    buf_done(&out);
    if (b && r->encoding == ENCODE_PROTOBUF) {
        chunks[1] = chunk_take(b);
        n = frame_protobuf(w, frame, 1, chunks);
    } else if (b) {
        n = frame_json(frame, chunk_take(b), chunks);
    }
    if (!n)
        return -ENOMEM;
    r->responder->write(r, chunks, n);
    return 0;
}

static void send_error(struct watch *w, int code, const char *reason, const char *message)
{
    struct api_request *r = w->r;
    struct status st;
    status_set_reason(&st, r->arena, code, reason, "%s", message);
    watch_end(w, send_made(w, FRAME_ERROR, api_status_json(r->arena, &st)) != 0);
}

/* What came after its place is no longer in the window. */
static void expire(struct watch *w)
{
    const struct store *s = w->r->api->store;
    uint64_t oldest = store_table_compacted(s, api_table(w->r->api, w->r->res));
    send_error(w, 410, "Expired",
               arena_printf(w->r->arena, "too old resource version: %lu (%lu)", w->sent_revision, oldest));
}

void api_watch_expire(struct api_request *r)
{
    send_error(r->state, 410, "Expired", "The state of this server was found wrong, please list again");
}

/* A row or a Table tells ages and, in the first event, columns: it is made each time. */
static int send_table(struct watch *w, enum frame frame, const struct store_item *item)
{
    struct arena scratch;
    arena_init(&scratch, API_ARENA_MAX);
    int rv = send_made(w, frame, api_output_item(w->r, &scratch, item, !w->columns_sent));
    arena_done(&scratch);
    w->columns_sent |= !rv;
    return rv;
}

/* An object that cannot be opened ends the watch; 1: it is over, and w may be gone. */
static int end_locked(struct watch *w, const struct store_item *item, int err)
{
    struct status st = {0};
    api_open_status(item, err, w->r->arena, &st);
    send_error(w, st.code, "InternalError", st.message);
    return 1;
}

/* 0, negative when memory is short, or 1 as above. */
static int send_frame(struct watch *w, enum frame frame, struct store_item *item)
{
    struct api_request *r = w->r;
    struct chunk chunks[FRAME_CHUNKS], object;
    struct api_plain plain;
    size_t n = 0;
    int err = api_open(r->api, item, &plain);
    if (err)
        return end_locked(w, item, err);
    if (r->shape == SHAPE_TABLE) {
        err = send_table(w, frame, item);
    } else if (r->encoding == ENCODE_PROTOBUF) {
        if (!api_output_envelope(r, item, chunks + 1))
            n = frame_protobuf(w, frame, API_ENVELOPE_CHUNKS, chunks);
    } else if (api_output_raw(r)) {
        n = frame_json(frame, chunk_take(blob_ref(plain.value)), chunks);
    } else if (!api_output_alone(r, item, &object)) {
        n = frame_json(frame, object, chunks);
    }
    blob_unref(plain.value);
    if (r->shape == SHAPE_TABLE)
        return err;
    if (!n)
        return -ENOMEM;
    r->responder->write(r, chunks, n);
    return 0;
}

/* An object of the kind with nothing but its place in time, in the shape of the other events. */
static struct json *bookmark_object(struct watch *w, struct arena *a, bool initial_end)
{
    const struct resource *res = w->r->res;
    struct json *obj = json_new_object(a), *meta = json_new_object(a);
    json_set_str(a, obj, "kind", json_new_str(a, res->kind));
    json_set_str(a, obj, "apiVersion", json_new_str(a, res->api_version));
    json_set_str(a, obj, "metadata", meta);
    json_set_str(a, meta, "resourceVersion", json_new_str(a, arena_printf(a, "%lu", w->sent_revision)));
    if (initial_end)
        meta_set_annotation(a, obj, SLICE("k8s.io/initial-events-end"), SLICE("true"));
    return api_output_tree(w->r, a, obj, !w->columns_sent);
}

static void send_bookmark(struct watch *w, bool initial_end)
{
    struct arena a;
    arena_init(&a, API_ARENA_MAX);
    struct json *obj = bookmark_object(w, &a, initial_end);
    if (obj && !send_made(w, FRAME_BOOKMARK, obj))
        w->columns_sent = true;
    arena_done(&a);
}

/* An event as this watcher sees it: a change may bring an object into its selection or take it out. */
static int send_event(struct watch *w, const struct store_event *e)
{
    bool was = api_filter_match(&w->filter, e->before);
    bool is = !e->deleted && api_filter_match(&w->filter, e->now);
    w->sent_revision = e->revision;
    if (was && is)
        return send_frame(w, FRAME_MODIFIED, e->now);
    if (is)
        return send_frame(w, FRAME_ADDED, e->now);
    if (!was)
        return 0;
    if (e->deleted)
        return send_frame(w, FRAME_DELETED, e->now);
    /* It left the selection: its last selected state, at the revision of the change. */
    struct store_item *last = item_at_revision(e->before, e->revision);
    int rv = send_frame(w, FRAME_DELETED, last);
    item_unref(last);
    return rv;
}

static bool send_initial(struct watch *w)
{
    struct store_item *item;
    while (w->r->responder->queued(w->r) < WATCH_QUEUE_MAX) {
        item = tree_iter_next(&w->iter);
        if (!item || api_filter_past(&w->filter, item)) {
            tree_unref(w->initial);
            w->initial = NULL;
            w->sending_initial = false;
            w->sent_revision = w->initial_revision;
            if (w->bookmark_initial)
                send_bookmark(w, true);
            return true;
        }
        int rv = api_filter_match(&w->filter, item) ? send_frame(w, FRAME_ADDED, item) : 0;
        if (rv < 0)
            watch_end(w, true);
        if (rv)
            return false;
    }
    return false;
}

static void watch_more(struct watch *w)
{
    struct api_request *r = w->r;
    bool lost = false;
    if (w->ended || !w->started || (w->sending_initial && !send_initial(w)))
        return;
    while (r->responder->queued(r) < WATCH_QUEUE_MAX) {
        const struct store_event *e = store_watch_next(r->api->store, &w->cursor, &lost);
        if (lost) {
            expire(w);
            return;
        }
        if (!e)
            return;
        int rv = send_event(w, e);
        if (rv < 0)
            watch_end(w, true);
        if (rv)
            return;
    }
}

static void on_notify(struct store_watch *cursor)
{
    watch_more(container_of(cursor, struct watch, cursor));
}

static void on_drain(struct api_request *r)
{
    watch_more(r->state);
}

static void on_gone(struct api_request *r)
{
    struct watch *w = r->state;
    watch_end(w, r->gone);
}

static void on_timer(struct loop_timer *t)
{
    struct watch *w = container_of(t, struct watch, timer);
    struct api_request *r = w->r;
    uint64_t now = loop_now(r->api->loop);
    if (now >= w->end) {
        watch_end(w, false);
        return;
    }
    if (r->options.bookmarks && !w->sending_initial && w->cursor.next == store_watch_newest(w->cursor.table)) {
        w->sent_revision = store_revision(r->api->store);
        send_bookmark(w, false);
    }
    uint64_t left_ms = (w->end - now) / 1000000 + 1;
    loop_timer_start(r->api->loop, t, left_ms < WATCH_BOOKMARK_MS ? left_ms : WATCH_BOOKMARK_MS);
}

/* ---- start ---- */

static void watch_begin(struct api_request *r, struct watch *w, uint64_t after)
{
    struct store_table *t = api_table(r->api, r->res);
    w->cursor.notify = on_notify;
    w->started = true;
    list_init(&w->cursor.link);
    int rv = store_watch_start(r->api->store, t, after, &w->cursor);
    uint64_t seconds = r->options.timeout_seconds > 0
                           ? (uint64_t)r->options.timeout_seconds
                           : WATCH_DEFAULT_S + loop_random_below(r->api->loop, WATCH_DEFAULT_S);
    w->end = loop_now(r->api->loop) + seconds * 1000000000;
    w->sent_revision = after;
    w->timer.cb = on_timer;
    r->on_drain = on_drain;
    r->on_gone = on_gone;
    r->api->m_watches->value++;
    list_push(&r->api->streams, &r->link);
    api_stream_start(r, 200, r->encoding == ENCODE_PROTOBUF ? API_PROTOBUF ";stream=watch" : "application/json");
    if (rv == -ESTALE) {
        expire(w);
        return;
    }
    if (rv) {
        send_error(w, 504, "Timeout", "Timeout: Too large resource version");
        return;
    }
    loop_timer_start(r->api->loop, &w->timer, seconds * 1000 < WATCH_BOOKMARK_MS ? seconds * 1000 : WATCH_BOOKMARK_MS);
    watch_more(w);
}

static void watch_now(struct api_request *r, int err)
{
    struct watch *w = r->state;
    if (err) {
        api_reply_errno(r, err, "watching");
        return;
    }
    uint64_t now = store_revision(r->api->store);
    if (w->wants_initial) {
        w->initial_revision = now;
        w->initial = tree_ref(store_root(api_table(r->api, r->res)));
        w->sending_initial = true;
        tree_iter_init(&w->iter, w->initial, api_filter_start(&w->filter));
    }
    watch_begin(r, w, w->wants_initial || !w->after ? now : w->after);
}

static int parse_revision(struct api_request *r, struct watch *w, struct status *st)
{
    struct slice rv = r->options.resource_version;
    if (!rv.n || slice_to_u64(rv, &w->after))
        return 0;
    const char *why = arena_printf(
        r->arena, "Invalid value: \"%" SLICE_FMT "\": strconv.ParseUint: parsing \"%" SLICE_FMT "\": invalid syntax",
        SLICE_ARG(rv), SLICE_ARG(rv));
    status_set(st, r->arena, 422, "%s%s%s \"\" is invalid: resourceVersion: %s", r->res->plural,
               r->res->group[0] ? "." : "", r->res->group, why);
    status_cause(st, r->arena, "FieldValueInvalid", "resourceVersion", "%s", why);
    st->group = r->res->group;
    st->kind = r->res->plural;
    return st->code;
}

/* What a watch begins with, by resourceVersion and sendInitialEvents:
 *
 *              not given                     true                          false
 *   unset      objects, then changes         objects, as new as any read   changes from now on
 *   0          objects as they are here      objects as they are here      changes from what is here
 *   N          changes after N               objects, not older than N     changes after N
 *
 * With sendInitialEvents=true and bookmarks, one that says so follows the objects (WatchList). */
void api_watch(struct api_request *r)
{
    struct status st = {0};
    struct watch *w = arena_state(r->arena, struct watch);
    const struct api_query *q = &r->options;
    r->state = w;
    w->r = r;
    r->websocket = r->http && http_wants_websocket(r->http);
    const char *fault = r->websocket ? http_websocket_fault(r->http) : NULL;
    int rv = fault ? status_set(&st, r->arena, 400, "%s", fault) : api_check_list_options(r, &st);
    if (!rv)
        rv = api_filter_parse(r, &w->filter, &st);
    if (!rv)
        rv = parse_revision(r, w, &st);
    if (rv) {
        api_reply_status(r, &st);
        return;
    }
    w->wants_initial = q->send_initial_set ? q->send_initial_events : !w->after;
    w->bookmark_initial = q->send_initial_set && q->send_initial_events && q->bookmarks;
    if (!q->resource_version.n) {
        api_when_confirmed(r, watch_now);
        return;
    }
    api_warn_stale(r);
    api_wait_revision(r, w->after, watch_now);
}

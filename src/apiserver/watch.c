/* WATCH: a cursor into the event window, sent at the client's own pace. An event's bytes are shared by all its watchers. */
#include <errno.h>

#include "apiserver/filter.h"
#include "apiserver/internal.h"
#include "apiserver/output.h"
#include "apiserver/seal.h"

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
    bool sending_initial, bookmark_initial, columns_sent, ended, started;
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

static void send_error(struct watch *w, int code, const char *reason, const char *message)
{
    struct api_request *r = w->r;
    struct status st;
    struct buf out = BUF_INIT(65536);
    status_set_reason(&st, r->arena, code, reason, "%s", message);
    buf_add_str(&out, "{\"type\":\"ERROR\",\"object\":");
    json_write(&out, api_status_json(r->arena, &st));
    buf_add_str(&out, "}\n");
    struct blob *b = blob_copy(buf_slice(&out));
    buf_done(&out);
    if (b)
        r->responder->write(r, &(struct chunk){b, b->bytes, b->n}, 1);
    watch_end(w, !b);
}

void api_watch_expire(struct api_request *r)
{
    send_error(r->state, 410, "Expired", "The state of this server was found wrong, please list again");
}

static const char *const frame_heads[] = {
    "{\"type\":\"ADDED\",\"object\":", "{\"type\":\"MODIFIED\",\"object\":", "{\"type\":\"DELETED\",\"object\":"};
enum frame { FRAME_ADDED, FRAME_MODIFIED, FRAME_DELETED };

/* A frame whose object has to be made for this watcher (Table, partial, another version). */
static int made_object(struct watch *w, const struct store_item *item, struct chunk *ret)
{
    struct arena scratch;
    struct buf out = BUF_INIT(API_ARENA_MAX);
    arena_init(&scratch, API_ARENA_MAX);
    struct json *v = api_output_item(w->r, &scratch, item, !w->columns_sent);
    int rv = v ? json_write(&out, v) : -ENOMEM;
    struct blob *b = rv ? NULL : blob_copy(buf_slice(&out));
    arena_done(&scratch);
    buf_done(&out);
    if (!b)
        return -ENOMEM;
    w->columns_sent = true;
    *ret = chunk_take(b);
    return 0;
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
    struct chunk chunks[3];
    struct api_plain plain;
    int err = api_open(w->r->api, item, &plain);
    if (err)
        return end_locked(w, item, err);
    chunks[0] = chunk_static(slice_str(frame_heads[frame]));
    if (api_output_raw(w->r)) {
        chunks[1] = chunk_take(plain.value);
    } else {
        err = made_object(w, item, &chunks[1]);
        blob_unref(plain.value);
    }
    if (err)
        return err;
    chunks[2] = chunk_static(SLICE("}\n"));
    w->r->responder->write(w->r, chunks, 3);
    return 0;
}

static void send_bookmark(struct watch *w, bool initial_end)
{
    struct api_request *r = w->r;
    struct buf out = BUF_INIT(4096);
    buf_printf(
        &out,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":"
        "\"%lu\"%s}}}\n",
        r->shape == SHAPE_TABLE     ? "Table"
        : r->shape == SHAPE_PARTIAL ? "PartialObjectMetadata"
                                    : r->res->kind,
        r->shape == SHAPE_OBJECT ? r->res->api_version : "meta.k8s.io/v1", w->sent_revision,
        initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    struct blob *b = blob_copy(buf_slice(&out));
    buf_done(&out);
    if (b)
        r->responder->write(r, &(struct chunk){b, b->bytes, b->n}, 1);
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
        if (!item || !slice_starts(item_key(item), w->filter.prefix)) {
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
            send_error(w, 410, "Expired", "The resourceVersion for the provided watch is too old.");
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
    api_stream_start(r, 200, "application/json");
    if (rv == -ESTALE) {
        send_error(w, 410, "Expired", "The resourceVersion for the provided watch is too old.");
        return;
    }
    if (rv) {
        send_error(w, 504, "Timeout", "Too large resource version");
        return;
    }
    loop_timer_start(r->api->loop, &w->timer, seconds * 1000 < WATCH_BOOKMARK_MS ? seconds * 1000 : WATCH_BOOKMARK_MS);
    watch_more(w);
}

static void watch_with_initial(struct api_request *r, int err)
{
    struct watch *w = r->state;
    if (err) {
        api_reply_errno(r, err, "watching");
        return;
    }
    w->initial_revision = store_revision(r->api->store);
    w->initial = tree_ref(store_root(api_table(r->api, r->res)));
    w->sending_initial = true;
    tree_iter_init(&w->iter, w->initial, w->filter.prefix);
    watch_begin(r, w, w->initial_revision);
}

static void watch_after(struct api_request *r, int err)
{
    uint64_t after = 0;
    (void)err;
    slice_to_u64(r->options.resource_version, &after);
    watch_begin(r, r->state, after);
}

/* sendInitialEvents (WatchList): the objects there are, a bookmark, then changes. Without it a watch from "" or "0" gets
 * them too, without the bookmark; from a revision it gets what came later. */
void api_watch(struct api_request *r)
{
    struct status st = {0};
    uint64_t revision = 0;
    struct slice rv = r->options.resource_version;
    struct watch *w = arena_state(r->arena, struct watch);
    r->state = w;
    w->r = r;
    if (api_filter_parse(r, &w->filter, &st)) {
        api_reply_status(r, &st);
        return;
    }
    if (rv.n && !slice_to_u64(rv, &revision)) {
        api_reply_error(r, 400, "Invalid value: \"%" SLICE_FMT "\": resourceVersion must be a number", SLICE_ARG(rv));
        return;
    }
    w->bookmark_initial = r->options.send_initial_events;
    if (!rv.n) {
        api_when_confirmed(r, watch_with_initial);
        return;
    }
    api_warn_stale(r);
    if (!revision)
        watch_with_initial(r, 0);
    else if (r->options.send_initial_events)
        api_wait_revision(r, revision, watch_with_initial);
    else
        api_wait_revision(r, revision, watch_after);
}

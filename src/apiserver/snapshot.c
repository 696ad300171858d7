/* GET /pintle/v1/snapshot: the whole state as a backup file (store/backup.h), streamed.
 *
 * The state is frozen on the loop's thread; a pool lane makes the file's next pieces whenever the client has taken the
 * ones before. So the state loop does not wait, memory stays constant, and no disk of the replica is used. What it
 * costs
 * is that what changes meanwhile is kept twice: at most SNAPSHOT_STREAMS_MAX at a time, and a client that takes nothing
 * for SNAPSHOT_STALL_MS loses its stream (the file is then without its end mark, and refused).
 *
 * Query: local=true leaves out the question to the majority: for when there is none. */
#include <errno.h>

#include "apiserver/internal.h"
#include "apiserver/nonresource.h"
#include "base/mem.h"
#include "store/backup.h"

enum { SNAPSHOT_PIECES = 4, SNAPSHOT_STREAMS_MAX = 2, SNAPSHOT_STALL_MS = 60000 };

struct snapshot_stream {
    struct list link; /* in api->snapshots */
    struct api *api;  /* NULL: freed */
    struct loop_work work;
    struct loop_timer stall;
    struct api_request *r; /* NULL: nobody wants the rest */
    struct loop *loop;
    unsigned lane;
    bool busy;
    struct store_frozen *frozen;
    struct backup_writer writer;
    struct buf piece;
    int rv; /* of the newest piece */
};

static void stream_free(struct snapshot_stream *s)
{
    backup_writer_done(&s->writer);
    if (s->api && !loop_is_dead(s->loop))
        replica_free_frozen(s->api->o.replica, s->frozen);
    else
        store_frozen_free(s->frozen);
    list_remove(&s->link);
    buf_done(&s->piece);
    mem_free(s);
}

/* The request ends; the rest goes when no thread works on it. */
static void stream_end(struct snapshot_stream *s, bool whole)
{
    struct api_request *r = s->r;
    if (!r)
        return;
    s->r = NULL;
    r->on_drain = NULL;
    r->on_gone = NULL;
    r->on_close = NULL;
    r->api->snapshot_streams--;
    loop_timer_stop(s->loop, &s->stall);
    if (whole)
        r->responder->end(r);
    else
        r->responder->abort(r);
    if (!s->busy || loop_is_dead(s->loop))
        stream_free(s);
}

static void piece_run(struct loop_work *w)
{
    struct snapshot_stream *s = container_of(w, struct snapshot_stream, work);
    for (int i = 0; i < SNAPSHOT_PIECES && !s->rv; i++)
        s->rv = backup_writer_next(&s->writer, &s->piece);
}

static void stream_more(struct snapshot_stream *s)
{
    if (s->busy || s->r->responder->queued(s->r) > API_SNAPSHOT_QUEUE)
        return; /* goes on when it has drained */
    s->busy = true;
    loop_work_queue(s->loop, s->lane, &s->work);
}

static void piece_done(struct loop_work *w)
{
    struct snapshot_stream *s = container_of(w, struct snapshot_stream, work);
    s->busy = false;
    if (!s->r) {
        stream_free(s);
        return;
    }
    struct blob *b = s->rv < 0 ? NULL : blob_copy(buf_slice(&s->piece));
    buf_clear(&s->piece);
    if (!b) {
        log_warn(loop_log(s->loop), "backup", "a snapshot for a client broke off error=\"%s\"",
                 strerror(s->rv < 0 ? -s->rv : ENOMEM));
        stream_end(s, false);
        return;
    }
    struct chunk c = chunk_take(b);
    loop_timer_start(s->loop, &s->stall, SNAPSHOT_STALL_MS);
    struct api_request *r = s->r;
    r->responder->write(r, &c, 1);
    if (!s->r)
        return; /* the client went away meanwhile */
    if (s->rv == 1)
        stream_end(s, true);
    else
        stream_more(s);
}

static void on_stall(struct loop_timer *t)
{
    struct snapshot_stream *s = container_of(t, struct snapshot_stream, stall);
    log_warn(loop_log(s->loop), "backup", "a client takes nothing of its snapshot: ended");
    stream_end(s, false);
}

static void on_drain(struct api_request *r)
{
    stream_more(r->state);
}

static void on_gone(struct api_request *r)
{
    stream_end(r->state, false);
}

static void snapshot_now(struct api_request *r, int err)
{
    struct backup_info info;
    if (err) {
        api_reply_errno(r, err, "taking a snapshot");
        return;
    }
    if (r->api->snapshot_streams == SNAPSHOT_STREAMS_MAX) {
        api_reply_error(r, 429, "%d snapshots are being sent already, please try again later", SNAPSHOT_STREAMS_MAX);
        return;
    }
    struct snapshot_stream *s = mem_new(struct snapshot_stream);
    *s = (struct snapshot_stream){.work = {.run = piece_run, .done = piece_done},
                                  .stall.cb = on_stall,
                                  .r = r,
                                  .api = r->api,
                                  .loop = r->api->loop,
                                  .lane = LOOP_LANE_POOL0 + 1 + (unsigned)r->api->snapshot_streams,
                                  .piece = BUF_INIT((size_t)SNAPSHOT_PIECES * BACKUP_PIECE_MAX)};
    s->frozen = backup_begin(r->api->o.replica, &info);
    backup_writer_init(&s->writer, &info, s->frozen);
    r->api->snapshot_streams++;
    list_push(&r->api->snapshots, &s->link);
    list_push(&r->api->streams, &r->link);
    r->state = s;
    r->on_drain = on_drain;
    r->on_gone = on_gone;
    r->on_close = on_gone;
    loop_timer_start(s->loop, &s->stall, SNAPSHOT_STALL_MS);
    api_stream_start(r, 200, "application/vnd.pintle.snapshot");
    stream_more(s);
}

void api_snapshots_forget(struct api *api)
{
    for (struct list *it; (it = list_pop(&api->snapshots));) {
        list_init(it);
        container_of(it, struct snapshot_stream, link)->api = NULL;
    }
}

static void note_local(void *ctx, struct slice value)
{
    *(bool *)ctx = slice_eq_str(value, "true");
}

void api_snapshot(struct api_request *r)
{
    bool local = false;
    api_query_each(r, SLICE("local"), note_local, &local);
    if (!slice_eq_str(r->method, "GET"))
        api_reply_error(r, 405, "a snapshot is taken with GET");
    else if (local)
        snapshot_now(r, 0);
    else
        api_barrier(r, snapshot_now);
}

/* Guard G8, the leader's side: libraft's InstallSnapshot message becomes a stream of the snapshot's file on a connection
 * of its own, read block by block on a pool lane, as fast as the peer takes it. While one runs, the core's repeated
 * wishes for the same peer are granted already; when one breaks, the next wish starts anew. */
#include <errno.h>
#include <inttypes.h>

#include "base/mem.h"
#include "raft/node_impl.h"

enum { SEND_LINGER_MS = 30000 }; /* for the peer to check and close after the last byte */

struct snapshot_send {
    struct list link; /* in n->sends */
    struct raft_node *n;
    struct node_work w; /* reads the next block */
    bool busy, gone, ended;
    bool head_only; /* the peer keeps no state: it gets the head of the snapshot, and an end */
    uint64_t to, index, at;
    struct transport_dial *dial;
    struct conn *conn;
    struct loop_timer linger;
    char path[SNAP_PATH_MAX];
    struct file *file;
    struct blob *block; /* what the work read */
    size_t block_n;
    int err;
};

static void free_send(struct snapshot_send *s)
{
    file_close(s->file);
    blob_unref(s->block);
    mem_free(s);
}

/* Forgets the connection at once, the rest when no thread works on it. */
static void end_send(struct snapshot_send *s)
{
    if (s->gone)
        return;
    s->gone = true;
    list_remove(&s->link);
    loop_timer_stop(s->n->l, &s->linger);
    transport_dial_cancel(s->dial);
    conn_close(s->conn);
    s->dial = NULL;
    s->conn = NULL;
    if (!s->busy)
        free_send(s);
}

/* What comes next, into the block: its size, 0 at the end, or a negative errno. */
static ssize_t read_some(struct snapshot_send *s)
{
    if (!s->head_only)
        return file_pread(s->file, s->block->bytes, FRAME_SNAP_MAX, s->at);
    return s->at ? 0 : snap_read_head(s->file, s->block->bytes);
}

static void read_run(struct node_work *w)
{
    struct snapshot_send *s = container_of(w, struct snapshot_send, w);
    s->err = s->file ? 0 : fs_open(loop_fs(w->n->l), s->path, FS_READ, &s->file);
    ssize_t r = s->err ? s->err : read_some(s);
    s->err = r < 0 ? (int)r : 0;
    s->block_n = r < 0 ? 0 : (size_t)r;
}

static void next_block(struct snapshot_send *s);

static void write_frame(struct snapshot_send *s, struct blob *b)
{
    if (!b)
        return;
    struct chunk c = chunk_take(b);
    conn_write(s->conn, &c, 1);
}

static void write_end(struct snapshot_send *s)
{
    const struct message m = {.type = FRAME_SNAP_END};
    write_frame(s, frame_message(&m));
    s->ended = true;
    loop_timer_start(s->n->l, &s->linger, SEND_LINGER_MS);
}

static void read_done(struct node_work *w)
{
    struct snapshot_send *s = container_of(w, struct snapshot_send, w);
    s->busy = false;
    if (s->gone || w->n->closing) {
        if (s->gone)
            free_send(s);
        return;
    }
    if (s->err) {
        log_warn(loop_log(w->n->l), "raft", "cannot read the snapshot error=\"%s\"", strerror(-s->err));
        end_send(s);
        return;
    }
    if (s->block_n == 0) {
        write_end(s);
        return;
    }
    struct blob *head = blob_new(FRAME_HEAD);
    if (!head) {
        end_send(s);
        return;
    }
    frame_data_head(head->bytes, s->block_n);
    struct chunk c[] = {chunk_take(head), {s->block, s->block->bytes, s->block_n}};
    s->block = NULL;
    s->at += s->block_n;
    conn_write(s->conn, c, 2);
    next_block(s);
}

static void next_block(struct snapshot_send *s)
{
    if (s->busy || s->ended || conn_queued(s->conn) > STREAM_HIGH_WATER)
        return; /* goes on when the queue has drained */
    s->block = blob_new(FRAME_SNAP_MAX);
    if (!s->block) {
        end_send(s);
        return;
    }
    s->busy = true;
    s->w.run = read_run;
    s->w.done = read_done;
    node_work_queue(s->n, LOOP_LANE_POOL0, &s->w);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    (void)ctx; /* the receiver says nothing; closing tells that it is done */
    (void)p;
    (void)n;
}

static void on_end(void *ctx, int err)
{
    struct snapshot_send *s = ctx;
    if (!s->ended)
        log_info(loop_log(s->n->l), "raft", "snapshot to peer=%" PRIu64 " broke off error=\"%s\"", s->to,
                 err ? strerror(-err) : "closed");
    end_send(s);
}

static void on_drain(void *ctx)
{
    next_block(ctx);
}

static const struct conn_handler send_handler = {.on_data = on_data, .on_end = on_end, .on_drain = on_drain};

static void on_linger(struct loop_timer *t)
{
    end_send(container_of(t, struct snapshot_send, linger));
}

static void dialled(void *ctx, int err, struct conn *c)
{
    struct snapshot_send *s = ctx;
    s->dial = NULL;
    s->conn = c;
    if (err) {
        end_send(s);
        return;
    }
    conn_handle(c, &send_handler, s);
    const struct message head = {.type = FRAME_SNAP_HEAD, .term = raft_current_term(&s->n->core), .index = s->index};
    write_frame(s, frame_message(&head));
    next_block(s);
}

void node_send_snapshot(struct raft_node *n, uint64_t to)
{
    list_each (it, &n->sends) {
        if (container_of(it, struct snapshot_send, link)->to == to)
            return;
    }
    if (n->snap_index == 0 || !n->transport || n->o.stateless) /* a witness has nothing to give */
        return;
    struct snapshot_send *s = mem_new(struct snapshot_send);
    s->n = n;
    s->head_only = transport_is_stateless(n->transport, to);
    s->to = to;
    s->index = n->snap_index;
    s->linger.cb = on_linger;
    snap_path(s->path, n->dir, s->index);
    list_push(&n->sends, &s->link);
    log_info(loop_log(n->l), "raft", "sending snapshot index=%" PRIu64 " to peer=%" PRIu64, s->index, to);
    s->dial = transport_dial_snapshot(n->transport, to, dialled, s);
    if (!s->dial)
        end_send(s);
}

void node_sends_close(struct raft_node *n)
{
    list_each (it, &n->sends) {
        end_send(container_of(it, struct snapshot_send, link));
    }
}

/* Guard G8, the follower's side: a snapshot arrives on a connection of its own and goes to a file, block by block; the
 * whole file is checked before the core hears of it. Only then is the log given up for it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "raft/node_impl.h"

enum { RECEIVE_BUFFER_MAX = FRAME_HEAD + FRAME_SNAP_MAX + (1 << 20), RECEIVE_BATCH = 1 << 20 };

struct snapshot_receive {
    struct raft_node *n;
    struct node_work w; /* writes out, or verifies */
    bool busy, gone, end, verified;
    bool finish; /* the work is the last one: it verifies too */
    uint64_t from, term, at;
    struct conn *conn;
    struct buf in;  /* not yet parsed */
    struct buf out; /* file bytes not yet given to the work */
    struct buf writing;
    struct file *file;
    struct snap_info info;
    char path[SNAP_PATH_MAX];
    int err;
};

static void free_receive(struct snapshot_receive *r)
{
    file_close(r->file);
    buf_done(&r->in);
    buf_done(&r->out);
    buf_done(&r->writing);
    mem_free(r);
}

static void end_receive(struct snapshot_receive *r)
{
    if (r->gone)
        return;
    r->gone = true;
    conn_close(r->conn);
    r->conn = NULL;
    if (r->busy)
        return; /* n->receive stays until the thread has let go of the file */
    r->n->receive = NULL;
    free_receive(r);
}

/* ---- handing it to the core ---- */

static void offer(struct raft_node *n, const struct snapshot_receive *r)
{
    struct raft_message m = {.type = RAFT_INSTALL_SNAPSHOT,
                             .server_id = r->from,
                             .server_address = transport_address(n->transport, r->from)};
    struct raft_install_snapshot *args = &m.install_snapshot;
    struct raft_buffer conf = {(void *)r->info.conf, r->info.conf_n};
    if (raft_configuration_decode(&conf, &args->conf))
        return;
    args->version = 0;
    args->term = r->term;
    args->last_index = r->info.index;
    args->last_term = r->info.term;
    args->conf_index = r->info.conf_index;
    args->data.base = raft_malloc(1); /* the core wants bytes to own */
    args->data.len = 1;
    struct raft_event e = {.type = RAFT_RECEIVE};
    e.receive.message = &m;
    node_step(n, &e);
}

static bool worth_it(const struct raft_node *n, const struct snapshot_receive *r)
{
    return !n->installing && !n->taking && raft_current_term(&n->core) <= r->term && r->info.index > n->snap_index &&
           r->info.index > n->applied && r->info.index > raft_commit_index(&n->core) &&
           r->info.cluster_id == n->o.cluster_id;
}

void node_installed(struct raft_node *n, uint64_t index)
{
    char path[SNAP_PATH_MAX];
    struct snap_reader *reader;
    snap_path(path, n->dir, index);
    int err = snap_open(loop_fs(n->l), path, &reader);
    if (!err) {
        err = n->machine.restore(n->ctx, index, &reader->source);
        struct raft_event e = {.type = RAFT_PERSISTED_SNAPSHOT};
        struct raft_buffer conf = {reader->info.conf, reader->info.conf_n};
        if (!err && raft_configuration_decode(&conf, &e.persisted_snapshot.metadata.configuration))
            err = -ENOMEM;
        if (!err) {
            e.persisted_snapshot.metadata.index = index;
            e.persisted_snapshot.metadata.term = reader->info.term;
            e.persisted_snapshot.metadata.configuration_index = reader->info.conf_index;
            e.persisted_snapshot.last = true;
            n->snap_index = n->applied = index;
            n->snap_term = reader->info.term;
            n->snap_bytes_mark = 0;
            n->installing = false;
            node_step(n, &e);
        }
        snap_close(reader);
    }
    if (err)
        node_fail(n, err, "cannot restore the state from the leader's snapshot");
    else
        log_info(loop_log(n->l), "raft", "snapshot installed index=%" PRIu64, index);
    if (!err)
        node_resync_installed(n);
    node_wake(n);
}

/* ---- to the file ---- */

static void work_run(struct node_work *w)
{
    struct snapshot_receive *r = container_of(w, struct snapshot_receive, w);
    struct fs *fs = loop_fs(w->n->l);
    if (!r->file)
        r->err = fs_open(fs, r->path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &r->file);
    ssize_t put = r->err || !r->writing.n ? r->err : file_pwrite(r->file, r->writing.p, r->writing.n, r->at);
    if (put < 0)
        r->err = (int)put;
    r->at += r->writing.n;
    if (r->err || !r->finish)
        return;
    r->err = file_sync(r->file);
    if (!r->err)
        r->err = snap_verify(fs, r->path, &r->info);
    r->verified = !r->err;
}

static void next_work(struct snapshot_receive *r);

static void work_done(struct node_work *w)
{
    struct snapshot_receive *r = container_of(w, struct snapshot_receive, w);
    struct raft_node *n = w->n;
    r->busy = false;
    buf_clear(&r->writing);
    if (r->gone || n->closing) {
        n->receive = NULL;
        conn_close(r->conn);
        free_receive(r);
        return;
    }
    if (r->err) {
        log_warn(loop_log(n->l), "raft", "snapshot from peer=%" PRIu64 " refused error=\"%s\"", r->from,
                 strerror(-r->err));
        end_receive(r);
        return;
    }
    if (r->verified) {
        if (worth_it(n, r))
            offer(n, r);
        else
            node_resync_take(n, &r->info);
        end_receive(r);
        node_wake(n);
        return;
    }
    conn_pause(r->conn, false);
    next_work(r);
}

static void next_work(struct snapshot_receive *r)
{
    if (r->busy || r->gone || (!r->end && r->out.n == 0))
        return;
    struct buf free_buf = r->writing;
    r->writing = r->out;
    r->out = free_buf;
    r->finish = r->end; /* nothing is taken after the end */
    r->busy = true;
    r->w.run = work_run;
    r->w.done = work_done;
    node_work_queue(r->n, LOOP_LANE_SNAPSHOT, &r->w);
}

/* ---- from the connection ---- */

static bool take_frame(struct snapshot_receive *r, const struct frame *f)
{
    struct message m;
    switch (f->type) {
    case FRAME_SNAP_HEAD:
        if (r->term || frame_read_message(f, &m))
            return false;
        if (!node_resync_wants(r->n, m.index) &&
            (m.term < raft_current_term(&r->n->core) ||
             m.index <= raft_commit_index(&r->n->core))) /* nothing in it that we have not */
            return false;
        r->term = m.term;
        return true;
    case FRAME_SNAP_DATA:
        return r->term && !r->end && buf_add_slice(&r->out, f->payload) == 0;
    case FRAME_SNAP_END:
        r->end = true;
        return r->term != 0;
    default:
        return false;
    }
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct snapshot_receive *r = ctx;
    size_t used = 0;
    if (buf_add(&r->in, p, n)) {
        end_receive(r);
        return;
    }
    for (;;) {
        struct frame f;
        size_t size;
        int got = frame_parse(slice_from(buf_slice(&r->in), used), &f, &size);
        if (got < 0 || (got > 0 && !take_frame(r, &f))) {
            end_receive(r);
            return;
        }
        if (got == 0)
            break;
        used += size;
    }
    buf_shift(&r->in, used);
    if (r->out.n > RECEIVE_BATCH)
        conn_pause(r->conn, true); /* until the disk has taken it */
    next_work(r);
}

static void on_end(void *ctx, int err)
{
    (void)err;
    struct snapshot_receive *r = ctx;
    if (!r->end)
        end_receive(r);
}

static const struct conn_handler receive_handler = {.on_data = on_data, .on_end = on_end};

void node_on_snapshot(void *ctx, uint64_t from, struct conn *c, struct slice rest)
{
    struct raft_node *n = ctx;
    if (n->receive && !n->receive->busy)
        end_receive(n->receive); /* the sender has given that one up */
    if (n->receive || n->installing || node_resync_holds(n) || n->closing || n->failed) {
        conn_close(c); /* the leader tries again */
        return;
    }
    struct snapshot_receive *r = mem_new(struct snapshot_receive);
    r->n = n;
    r->from = from;
    r->conn = c;
    buf_init(&r->in, RECEIVE_BUFFER_MAX);
    buf_init(&r->out, RECEIVE_BUFFER_MAX + RECEIVE_BATCH);
    buf_init(&r->writing, RECEIVE_BUFFER_MAX + RECEIVE_BATCH);
    snprintf(r->path, sizeof(r->path), "%s/incoming.tmp", n->dir);
    n->receive = r;
    conn_handle(c, &receive_handler, r);
    if (rest.n)
        on_data(r, rest.p, rest.n);
}

void node_receive_close(struct raft_node *n)
{
    if (n->receive)
        end_receive(n->receive);
}

/* Recovery: lock, snapshot, term and vote, log, in this order, and what they must have to do with each other. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "raft/node_impl.h"

enum { DEFAULT_ELECTION_MS = 250, DEFAULT_HEARTBEAT_MS = 25, DEFAULT_SNAPSHOT_EVERY = 100000 };
enum {
    DEFAULT_SEGMENT_BYTES = 16 << 20,
    WITNESS_SEGMENT_BYTES = 1 << 20,
    SEGMENT_BYTES_MIN = 16 << 10,
    DEFAULT_QUEUE_MAX = 64 << 20
};

/* ---- the log ---- */

static int on_entry(void *ctx, uint64_t index, uint64_t term, uint16_t type, struct slice data)
{
    struct raft_node *n = ctx;
    /* Entries that were replaced later may begin behind the point from which on they were: the segments before them
     * were cut off, for a snapshot covers what those held. */
    if (n->log.n == 0 || index < n->log.first)
        entries_reset(&n->log, index);
    if (index > entries_last(&n->log) + 1 || type < RAFT_COMMAND || type > RAFT_CHANGE ||
        term < entries_term(&n->log, index - 1))
        return -EBADMSG;
    struct blob *b = blob_copy(data);
    if (!b)
        return -ENOMEM;
    const struct entry entry = {term, type, chunk_take(b)};
    entries_put(&n->log, index, &entry);
    return 0;
}

/* Runs op now, on this thread: before the loop runs there is no other. */
static int run_now(struct raft_node *n, struct wal_op *op)
{
    op->spares = n->spares;
    int err = wal_run(n->wal, op);
    n->spares = op->spares;
    n->wal_bytes = op->wal_bytes;
    return err;
}

static int discard_log(struct raft_node *n, uint64_t first)
{
    struct wal_op op;
    wal_op_init(&op);
    op.reset = true;
    int err = run_now(n, &op);
    wal_op_done(&op);
    entries_reset(&n->log, first);
    return err;
}

/* The log must continue the snapshot. One that ends before it, or disagrees with it, was about to be given up when the
 * replica died; nothing in it can be of use. */
static int fit_log_to_snapshot(struct raft_node *n, char why[256])
{
    uint64_t index = n->snap_index;
    if (index == 0) {
        if (n->log.n == 0 || n->log.first == 1)
            return 0;
        snprintf(why, 256,
                 "the log in %.100s begins at %" PRIu64
                 " and the snapshot before it is gone: wipe the directory and join under a new member id",
                 n->dir, n->log.first);
        return -EBADMSG;
    }
    if (n->log.n && n->log.first > index + 1) {
        snprintf(why, 256,
                 "the log in %.100s begins at %" PRIu64 ", behind the snapshot at %" PRIu64
                 ": wipe the directory and join under a new member id",
                 n->dir, n->log.first, index);
        return -EBADMSG;
    }
    uint64_t term = entries_term(&n->log, index);
    bool follows = n->log.n && n->log.first == index + 1;
    if (term == n->snap_term || (follows && term == 0))
        return 0;
    return discard_log(n, index + 1);
}

/* ---- the snapshot ---- */

static int restore_snapshot(struct raft_node *n, uint64_t index, char why[256])
{
    char path[SNAP_PATH_MAX];
    struct snap_reader *reader;
    snap_path(path, n->dir, index);
    int err = snap_open(loop_fs(n->l), path, &reader);
    if (!err) {
        n->snap_info = reader->info;
        if (reader->info.cluster_id != n->o.cluster_id) {
            snprintf(why, 256, "%.120s belongs to cluster %" PRIx64 ", not %" PRIx64, path, reader->info.cluster_id,
                     n->o.cluster_id);
            err = -EINVAL;
        }
        if (!err)
            err = n->machine.restore(n->ctx, index, &reader->source);
        snap_close(reader);
    }
    if (err == -EBADMSG && !why[0])
        snprintf(why, 256, "%.150s is damaged: wipe the directory and join under a new member id", path);
    else if (err && !why[0])
        snprintf(why, 256, "cannot read %.150s: %s", path, strerror(-err));
    n->snap_index = n->applied = index;
    n->snap_term = n->snap_info.term;
    return err;
}

/* ---- a new directory ---- */

static int write_first_entry(struct raft_node *n)
{
    struct raft_configuration conf;
    struct raft_buffer buf = {0};
    raft_configuration_init(&conf);
    int rv = 0;
    for (size_t i = 0; i < n->n_members && !rv; i++)
        rv = raft_configuration_add(&conf, n->members[i].id, n->members[i].address, RAFT_VOTER);
    if (!rv)
        rv = raft_configuration_encode(&conf, &buf);
    raft_configuration_close(&conf);
    if (rv)
        return rv == RAFT_NOMEM ? -ENOMEM : -EINVAL;
    struct wal_op op;
    wal_op_init(&op);
    const struct slice data = slice_of(buf.base, buf.len);
    int err = wal_op_add(&op, 1, 1, RAFT_CHANGE, data);
    if (!err)
        err = run_now(n, &op);
    if (!err)
        err = on_entry(n, 1, 1, RAFT_CHANGE, data);
    wal_op_done(&op);
    raft_free(buf.base);
    return err;
}

/* Term and vote are written last: a directory without them was never used, unless more than the first entry is there. */
static int bootstrap(struct raft_node *n, uint64_t run, char why[256])
{
    if (n->snap_index || entries_last(&n->log) > 1) {
        snprintf(why, 256, "%.150s/meta is missing: wipe the directory and join under a new member id", n->dir);
        return -EBADMSG;
    }
    int err = n->log.n || n->o.join ? 0 : write_first_entry(n);
    const struct meta m = {
        .cluster_id = n->o.cluster_id, .id = n->o.id, .term = n->o.join ? 0 : 1, .incarnation = 1, .runs = {run}};
    return err ? err : meta_create(loop_fs(n->l), n->dir, &m, &n->meta);
}

/* ---- a machine without state ---- */

static void apply_nothing(void *ctx, uint64_t index, struct slice command, struct raft_proposal *proposal)
{
    (void)ctx, (void)index, (void)command, (void)proposal;
}

static void *take_nothing(void *ctx)
{
    return ctx;
}

static int write_nothing(void *frozen, struct raft_sink *sink)
{
    (void)frozen, (void)sink;
    return 0;
}

static void free_nothing(void *ctx, void *frozen)
{
    (void)ctx, (void)frozen;
}

static int restore_nothing(void *ctx, uint64_t index, struct raft_source *source)
{
    (void)ctx, (void)index, (void)source;
    return 0;
}

static void keep_no_state(struct raft_machine *m)
{
    m->apply = apply_nothing;
    m->applied = NULL;
    m->snapshot_take = take_nothing;
    m->snapshot_write = write_nothing;
    m->snapshot_free = free_nothing;
    m->restore = restore_nothing;
}

/* ---- opening ---- */

static int open_dir(struct raft_node *n, char why[256])
{
    char path[SNAP_PATH_MAX];
    struct fs *fs = loop_fs(n->l);
    int err = fs_mkdir_synced(fs, n->dir);
    if (err) {
        snprintf(why, 256, "cannot make %.150s: %s", n->dir, strerror(-err));
        return err;
    }
    snprintf(path, sizeof(path), "%s/lock", n->dir);
    err = fs_lock(fs, path, &n->lock);
    if (err)
        snprintf(why, 256, "%.150s %s", n->dir, err == -EWOULDBLOCK ? "is in use by another process" : strerror(-err));
    return err;
}

/* Whoever does not say which cluster this is takes what the directory says. */
static void take_cluster_id(struct raft_node *n)
{
    struct meta m;
    if (n->o.cluster_id == 0)
        n->o.cluster_id = meta_read(loop_fs(n->l), n->dir, &m) ? RAFT_FIRST_CLUSTER : m.cluster_id;
    n->wal_options.cluster_id = n->o.cluster_id;
}

static int recover(struct raft_node *n, char why[256])
{
    struct fs *fs = loop_fs(n->l);
    uint64_t snapshot = 0, run;
    int err = open_dir(n, why);
    if (err)
        return err;
    loop_random(n->l, &run, sizeof(run));
    take_cluster_id(n);
    int meta_err = meta_open(fs, n->dir, n->o.cluster_id, n->o.id, run, &n->meta, why);
    if (meta_err && meta_err != -ENOENT)
        return meta_err;
    testimony_load(fs, n->dir, &n->testimony);
    err = snap_find(fs, n->dir, &snapshot);
    if (!err && snapshot)
        err = restore_snapshot(n, snapshot, why);
    if (!err)
        err = wal_open(&n->wal_options, on_entry, n, &n->spares, &n->wal, why);
    if (!err)
        n->wal_bytes = wal_size(n->wal);
    if (!err)
        err = fit_log_to_snapshot(n, why);
    if (!err && meta_err)
        err = bootstrap(n, run, why);
    if (!err && n->log.n == 0 && n->snap_index == 0 && !n->o.join) {
        snprintf(why, 256, "the log in %.150s is gone: wipe the directory and join under a new member id", n->dir);
        err = -EBADMSG;
    }
    n->stored = entries_last(&n->log);
    return err;
}

static void copy_options(struct raft_node *n, struct loop *l, const struct raft_options *o)
{
    n->l = l;
    n->o = *o;
    snprintf(n->dir, sizeof(n->dir), "%s", o->dir);
    n->o.dir = n->dir;
    memcpy(n->members, o->members, o->n_members * sizeof(*o->members));
    n->n_members = o->n_members;
    const struct raft_member *own = node_member(n, o->id);
    snprintf(n->address, sizeof(n->address), "%s", o->address ? o->address : own ? own->address : "");
    memcpy(n->info, o->info.p ? o->info.p : "", o->info.n);
    n->o.info = slice_of(n->info, o->info.n);
    n->o.election_ms = o->election_ms ? o->election_ms : DEFAULT_ELECTION_MS;
    n->o.heartbeat_ms = o->heartbeat_ms ? o->heartbeat_ms : DEFAULT_HEARTBEAT_MS;
    n->o.snapshot_every = o->snapshot_every ? o->snapshot_every : DEFAULT_SNAPSHOT_EVERY;
    n->o.segment_bytes = o->segment_bytes ? o->segment_bytes
                         : o->stateless   ? WITNESS_SEGMENT_BYTES
                                          : DEFAULT_SEGMENT_BYTES;
    n->snap_bytes_max = o->stateless ? NODE_WITNESS_BYTES : NODE_SNAPSHOT_BYTES;
    n->trailing_max = o->stateless ? NODE_WITNESS_BYTES : NODE_TRAILING_BYTES;
    n->o.queue_max = o->queue_max ? o->queue_max : DEFAULT_QUEUE_MAX;
    n->wal_options = (struct wal_options){loop_fs(l), n->dir, o->cluster_id, n->o.segment_bytes};
}

static int check_options(const struct raft_options *o, char why[256])
{
    bool member = o->address && o->join; /* to be added by the others */
    for (size_t i = 0; i < o->n_members && i < RAFT_MEMBERS_MAX; i++)
        member = member || o->members[i].id == o->id;
    if (member && o->id && o->info.n <= RAFT_INFO_MAX && o->n_members <= RAFT_MEMBERS_MAX &&
        strlen(o->dir) < sizeof(((struct raft_node *)0)->dir) - 64 &&
        (o->segment_bytes == 0 || o->segment_bytes >= SEGMENT_BYTES_MIN))
        return 0;
    snprintf(why, 256, "bad options: id %" PRIu64 " must be one of 1 to %d members, the directory's name short", o->id,
             RAFT_MEMBERS_MAX);
    return -EINVAL;
}

void node_destroy(struct raft_node *n)
{
    if (n->core_open)
        raft_close(&n->core, NULL);
    wal_close(n->wal);
    wal_op_done(&n->pending);
    wal_op_done(&n->writing.op);
    entries_done(&n->log);
    meta_close(&n->meta);
    file_close(n->lock);
    mem_free(n);
}

int raft_node_open(struct loop *l, const struct raft_options *o, const struct raft_machine *m, void *ctx,
                   struct raft_node **ret, char why[256])
{
    why[0] = '\0';
    int err = check_options(o, why);
    if (err)
        return err;
    struct raft_node *n = mem_new(struct raft_node);
    copy_options(n, l, o);
    n->machine = *m;
    if (o->stateless)
        keep_no_state(&n->machine);
    n->ctx = ctx;
    node_init(n);
    err = recover(n, why);
    if (err) {
        if (!why[0])
            snprintf(why, 256, "cannot open %.150s: %s", n->dir, strerror(-err));
        node_destroy(n);
        return err;
    }
    node_resync_recover(n);
    *ret = n;
    return 0;
}

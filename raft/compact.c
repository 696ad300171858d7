/* Taking snapshots: the state is frozen on the loop's thread, written on the snapshot lane, and then lets the log go. */
#include <errno.h>
#include <inttypes.h>

#include "base/mem.h"
#include "raft/node_impl.h"

struct snapshot_take {
    struct node_work w;
    struct snap_info info;
    void *frozen;
    size_t bytes; /* of log since the last one; still so when this one fails */
    atomic_bool cancel;
    int err;
};

/* Entries kept behind a snapshot at index, bounded in number and bytes. */
static unsigned trailing(const struct raft_node *n, uint64_t index)
{
    uint64_t most = n->o.snapshot_every / 8 + 16, count = 0;
    size_t bytes = 0;
    for (; count < most && count < index; count++) {
        const struct entry *e = entries_get(&n->log, index - count);
        if (!e || (bytes += e->chunk.n) > n->trailing_max)
            break;
    }
    return (unsigned)count;
}

void node_snapshot_taken(struct raft_node *n, const struct snap_info *info)
{
    struct raft_event e = {.type = RAFT_SNAPSHOT};
    struct raft_buffer conf = {(void *)info->conf, info->conf_n};
    if (raft_configuration_decode(&conf, &e.snapshot.metadata.configuration)) {
        node_fail(n, -ENOMEM, "cannot decode the configuration of a snapshot");
        return;
    }
    e.snapshot.metadata.index = info->index;
    e.snapshot.metadata.term = info->term;
    e.snapshot.metadata.configuration_index = info->conf_index;
    e.snapshot.trailing = trailing(n, info->index);
    uint64_t cut = info->index - e.snapshot.trailing;
    bool have = entries_term(&n->log, cut) != 0; /* the core's own rule for letting go of its trail */
    if (node_step(n, &e))
        return;
    n->snap_index = info->index;
    n->snap_term = info->term;
    if (!have)
        return;
    entries_cut(&n->log, cut);
    n->pending.cut = cut;
}

static void take_done(struct node_work *w)
{
    struct snapshot_take *t = container_of(w, struct snapshot_take, w);
    struct raft_node *n = w->n;
    n->machine.snapshot_free(n->ctx, t->frozen);
    n->taking = NULL;
    if (!n->closing && !n->failed && !n->resync) {
        if (t->err == -EBADMSG)
            node_fence(n, "the state in memory is damaged");
        else if (t->err) {
            log_warn(loop_log(n->l), "raft", "cannot write a snapshot error=\"%s\"", strerror(-t->err));
            n->snap_bytes_mark += t->bytes;
            n->snapshot_held = true;
            loop_timer_start(n->l, &n->snapshot_timer, NODE_SNAPSHOT_RETRY_MS);
        } else if (!n->installing && t->info.index > n->snap_index) {
            log_info(loop_log(n->l), "raft", "snapshot taken index=%" PRIu64, t->info.index);
            node_snapshot_taken(n, &t->info);
        }
    }
    mem_free(t);
}

static void take_run(struct node_work *w)
{
    struct snapshot_take *t = container_of(w, struct snapshot_take, w);
    struct raft_node *n = w->n;
    t->err = snap_write(loop_fs(n->l), n->dir, &t->info, n->machine.snapshot_write, t->frozen, &t->cancel);
}

static bool wanted(const struct raft_node *n)
{
    if (n->taking || n->installing || n->receive || n->snapshot_held || n->resync || n->applied <= n->snap_index)
        return false;
    /* Guard G4: the core asserts that a snapshot is not ahead of what is stored. */
    if (n->applied > n->core.last_stored || n->core.snapshot.installing)
        return false;
    /* A peer that is being sent a snapshot needs the log behind it when it is done: wait, within reason. */
    if (!list_empty((struct list *)&n->sends) && n->snap_bytes_mark < n->snap_bytes_max * 4)
        return false;
    return n->snapshot_asked || n->applied - n->snap_index >= n->o.snapshot_every ||
           n->snap_bytes_mark >= n->snap_bytes_max;
}

static int fill_info(struct raft_node *n, struct snap_info *info)
{
    struct raft_buffer conf;
    if (raft_configuration_encode(&n->core.configuration_committed, &conf))
        return -ENOMEM;
    int err = conf.len > SNAP_CONF_MAX ? -E2BIG : 0;
    if (!err) {
        memcpy(info->conf, conf.base, conf.len);
        info->conf_n = conf.len;
    }
    raft_free(conf.base);
    info->cluster_id = n->o.cluster_id;
    info->index = n->applied;
    info->term = entries_term(&n->log, n->applied);
    info->conf_index = n->core.configuration_committed_index;
    return err;
}

void node_snapshot_turn(struct raft_node *n)
{
    if (!wanted(n) || entries_term(&n->log, n->applied) == 0)
        return;
    struct snapshot_take *t = mem_new(struct snapshot_take);
    if (fill_info(n, &t->info)) {
        mem_free(t);
        return;
    }
    t->bytes = n->snap_bytes_mark;
    n->snap_bytes_mark = 0;
    n->snapshot_asked = false;
    t->frozen = n->machine.snapshot_take(n->ctx);
    atomic_init(&t->cancel, false);
    t->w.run = take_run;
    t->w.done = take_done;
    n->taking = t;
    node_work_queue(n, LOOP_LANE_SNAPSHOT, &t->w);
}

void node_snapshot_cancel(struct raft_node *n)
{
    if (n->taking)
        atomic_store(&n->taking->cancel, true);
}

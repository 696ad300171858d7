#include "store/replica.h"

#include <errno.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "store/members.h"

struct replica {
    struct loop *loop;
    struct store *store;
    struct raft_node *raft;
    struct replica_options options;
    struct list listeners;
    struct loop_timer housekeeping;
    struct raft_proposal maintenance; /* at most one compaction or expiry in flight */
    bool maintaining;
    struct buf encode;
    bool is_leader;
    uint64_t leader_id;
};

/* ---- state machine ---- */

static void txn_done(struct raft_proposal *p, int err);

static void apply(void *ctx, uint64_t index, struct slice command, struct raft_proposal *proposal)
{
    struct replica *r = ctx;
    struct store_result result;
    (void)index;
    store_apply(r->store, command, &result);
    if (proposal && proposal->done == txn_done) {
        container_of(proposal, struct replica_txn, proposal)->result = result;
        item_ref(result.item);
    }
}

/* While the node is being opened there is nobody to refuse yet; applied is called again later. */
static void require_format(struct replica *r)
{
    if (r->raft)
        raft_node_require_format(r->raft, store_format(r->store));
}

static void applied(void *ctx, uint64_t index)
{
    struct replica *r = ctx;
    (void)index;
    store_notify(r->store);
    require_format(r);
}

static void *snapshot_take(void *ctx)
{
    struct replica *r = ctx;
    return store_freeze(r->store);
}

static int sink_write(void *ctx, const void *p, size_t n)
{
    struct raft_sink *sink = ctx;
    return sink->write(sink, p, n);
}

static int snapshot_write(void *frozen, struct raft_sink *sink)
{
    return store_frozen_write(frozen, sink_write, sink);
}

static void snapshot_free(void *ctx, void *frozen)
{
    (void)ctx;
    store_frozen_free(frozen);
}

static int source_read(void *ctx, void *p, size_t n)
{
    struct raft_source *source = ctx;
    return source->read(source, p, n);
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    struct replica *r = ctx;
    (void)index;
    int rv = store_restore(r->store, source_read, source);
    if (rv)
        return rv;
    store_notify(r->store);
    require_format(r);
    return 0;
}

static bool removed(void *ctx, uint64_t id)
{
    const struct replica *r = ctx;
    return members_was_removed(r->store, id);
}

static void role(void *ctx, bool is_leader, uint64_t term, uint64_t leader_id)
{
    struct replica *r = ctx;
    r->is_leader = is_leader;
    r->leader_id = leader_id;
    list_each (node, &r->listeners) {
        struct replica_listener *l = container_of(node, struct replica_listener, link);
        l->role(l, is_leader, term, leader_id);
    }
}

static void failed(void *ctx, int err, const char *reason)
{
    struct replica *r = ctx;
    r->options.failed(r->options.ctx, err, reason);
}

static const struct raft_machine machine = {.apply = apply,
                                            .applied = applied,
                                            .snapshot_take = snapshot_take,
                                            .snapshot_write = snapshot_write,
                                            .snapshot_free = snapshot_free,
                                            .restore = restore,
                                            .role = role,
                                            .removed = removed,
                                            .failed = failed};

/* ---- housekeeping on the leader ---- */

static void maintenance_done(struct raft_proposal *p, int err)
{
    struct replica *r = container_of(p, struct replica, maintenance);
    (void)err; /* the next round tries again */
    r->maintaining = false;
}

static struct blob *take_encoded(struct replica *r)
{
    struct blob *b = buf_error(&r->encode) ? NULL : blob_copy(buf_slice(&r->encode));
    buf_clear(&r->encode);
    return b;
}

static void propose_maintenance(struct replica *r)
{
    uint64_t now = replica_time_ms(r);
    uint64_t compact = store_compact_target(r->store, r->options.window_events, r->options.window_bytes);
    unsigned common = raft_node_common_format(r->raft);
    if (common > STORE_FORMAT)
        common = STORE_FORMAT;
    if (store_expiry_due(r->store, now))
        store_expire_encode(&r->encode, now);
    else if (compact)
        store_compact_encode(&r->encode, compact, now);
    else if (common > store_format(r->store))
        store_format_encode(&r->encode, common, now);
    else
        return;
    struct blob *command = take_encoded(r);
    if (!command)
        return;
    r->maintenance = (struct raft_proposal){.done = maintenance_done, .use_reserve = true};
    r->maintaining = true;
    raft_node_propose(r->raft, command, &r->maintenance);
}

static void on_housekeeping(struct loop_timer *t)
{
    struct replica *r = container_of(t, struct replica, housekeeping);
    if (r->is_leader && !r->maintaining)
        propose_maintenance(r);
    loop_timer_start(r->loop, t, REPLICA_HOUSEKEEPING_MS);
}

/* ---- interface ---- */

int replica_open(struct loop *l, const struct replica_options *o, struct replica **ret, char why[256])
{
    struct replica *r = mem_new(struct replica);
    r->loop = l;
    r->options = *o;
    if (!r->options.window_events)
        r->options.window_events = REPLICA_WINDOW_EVENTS;
    if (!r->options.window_bytes)
        r->options.window_bytes = REPLICA_WINDOW_BYTES;
    r->store = store_new();
    list_init(&r->listeners);
    buf_init(&r->encode, RAFT_COMMAND_MAX);
    r->housekeeping.cb = on_housekeeping;
    int rv = raft_node_open(l, &o->raft, &machine, r, &r->raft, why);
    if (rv) {
        replica_free(r);
        return rv;
    }
    *ret = r;
    return 0;
}

int replica_start(struct replica *r)
{
    loop_timer_start(r->loop, &r->housekeeping, REPLICA_HOUSEKEEPING_MS);
    return raft_node_start(r->raft);
}

void replica_free(struct replica *r)
{
    if (!r)
        return;
    loop_timer_stop(r->loop, &r->housekeeping);
    if (r->raft)
        raft_node_free(r->raft);
    store_free(r->store);
    buf_done(&r->encode);
    mem_free(r);
}

struct store *replica_store(struct replica *r)
{
    return r->store;
}

struct raft_node *replica_raft(struct replica *r)
{
    return r->raft;
}

bool replica_is_leader(const struct replica *r)
{
    return r->is_leader;
}

uint64_t replica_leader(const struct replica *r)
{
    return r->leader_id;
}

uint64_t replica_time_ms(const struct replica *r)
{
    uint64_t wall = (uint64_t)(loop_wall(r->loop) / NS_PER_MS), state = store_time_ms(r->store);
    return wall > state ? wall : state;
}

static void txn_done(struct raft_proposal *p, int err)
{
    struct replica_txn *t = container_of(p, struct replica_txn, proposal);
    struct store_item *item = t->result.item; /* t may be gone after done */
    t->done(t, err);
    item_unref(item);
}

/* Whether a transaction makes room: it may use what is kept back for a full disk. */
static bool only_deletes(const struct store_txn *txn)
{
    for (size_t i = 0; i < txn->n; i++)
        if (txn->ops[i].kind == STORE_PUT)
            return false;
    return true;
}

void replica_txn(struct replica *r, const struct store_txn *txn, struct replica_txn *t)
{
    t->result = (struct store_result){0};
    t->proposal = (struct raft_proposal){.done = txn_done, .use_reserve = only_deletes(txn)};
    store_txn_encode(&r->encode, txn);
    int err = buf_error(&r->encode);
    struct blob *command = take_encoded(r);
    if (!command) {
        t->done(t, err ? err : -ENOMEM);
        return;
    }
    raft_node_propose(r->raft, command, &t->proposal);
}

void replica_barrier(struct replica *r, struct raft_read *read)
{
    raft_node_read(r->raft, read);
}

void replica_barrier_cancel(struct replica *r, struct raft_read *read)
{
    raft_node_read_cancel(r->raft, read);
}

void replica_listen(struct replica *r, struct replica_listener *l)
{
    list_push(&r->listeners, &l->link);
}

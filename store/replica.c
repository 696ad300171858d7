#include "store/replica.h"

#include <errno.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "store/clock.h"
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
    struct ship *ship; /* NULL: no continuous backup */
    bool is_leader;
    uint64_t leader_id;
    unsigned next_job;
    struct cluster_clock clock;
    uint64_t fresh_from; /* commands from this index on were made while we followed this leader; 0 = not known yet */
    /* checks of the state, as the leader */
    uint64_t check_due;      /* loop_now */
    uint64_t check_revision; /* of the last one that began from the start */
    char check_table[STORE_KEY_MAX], check_key[STORE_KEY_MAX];
    size_t check_table_n, check_key_n;
    /* frozen states that nobody needs any more, freed piece by piece */
    struct frozen *taken, *pile;
    struct loop_timer free_timer;
};

struct frozen {
    struct replica *replica; /* NULL: freed in the meantime */
    struct frozen *next;     /* in the pile */
    struct store_frozen *state;
};

/* Tables whose objects change all the time and whose past nobody asks for. */
static const char *const noisy_tables[] = {"coordination.k8s.io/leases", "events"};

/* ---- state machine ---- */

static void txn_done(struct raft_proposal *p, int err);

static void checked(struct replica *r, uint64_t index, const struct store_check *c)
{
    bool more = c->table.n && c->table.n <= sizeof r->check_table; /* no table is called so, but nothing forbids it */
    r->check_table_n = more ? c->table.n : 0;
    r->check_key_n = more ? c->key_n : 0;
    if (more) {
        memcpy(r->check_table, c->table.p, c->table.n);
        memcpy(r->check_key, c->key, c->key_n);
    }
    raft_node_digest(r->raft, index, c->digest, c->damaged);
}

static void apply(void *ctx, uint64_t index, struct slice command, struct raft_proposal *proposal)
{
    struct replica *r = ctx;
    struct store_result result;
    store_apply(r->store, command, &result);
    if (!r->is_leader && r->fresh_from && index >= r->fresh_from)
        clock_heard(&r->clock, store_time_ms(r->store) * NS_PER_MS, loop_now(r->loop));
    if (r->ship && result.err != -EBADMSG)
        ship_entry(r->ship, index, command);
    if (result.check)
        checked(r, index, result.check);
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
    if (r->raft && r->leader_id && !r->fresh_from && index >= raft_node_commit_index(r->raft))
        r->fresh_from = index + 1;
    store_notify(r->store);
    require_format(r);
}

static void *snapshot_take(void *ctx)
{
    struct replica *r = ctx;
    r->taken = mem_new(struct frozen);
    *r->taken = (struct frozen){.replica = r, .state = store_freeze(r->store)};
    return r->taken;
}

static int sink_write(void *ctx, const void *p, size_t n)
{
    struct raft_sink *sink = ctx;
    return sink->write(sink, p, n);
}

static int snapshot_write(void *frozen, struct raft_sink *sink)
{
    return store_frozen_write(((struct frozen *)frozen)->state, sink_write, sink);
}

static void on_free(struct loop_timer *t)
{
    struct replica *r = container_of(t, struct replica, free_timer);
    struct frozen *top = r->pile;
    if (store_frozen_free_some(top->state, REPLICA_FREE_PIECE)) {
        r->pile = top->next;
        mem_free(top);
    }
    if (r->pile)
        loop_timer_start(r->loop, t, REPLICA_FREE_MS);
}

static void free_pile(struct replica *r)
{
    for (struct frozen *top; (top = r->pile);) {
        r->pile = top->next;
        store_frozen_free(top->state);
        mem_free(top);
    }
}

static void pile_up(struct replica *r, struct frozen *f)
{
    f->next = r->pile;
    r->pile = f;
    if (!loop_timer_armed(&r->free_timer))
        loop_timer_start(r->loop, &r->free_timer, 0);
}

void replica_free_frozen(struct replica *r, struct store_frozen *f)
{
    struct frozen *piled = mem_new(struct frozen);
    *piled = (struct frozen){.replica = r, .state = f};
    pile_up(r, piled);
}

/* ctx may be gone: the frozen state knows. */
static void snapshot_free(void *ctx, void *frozen)
{
    struct frozen *f = frozen;
    (void)ctx;
    if (f->replica) {
        f->replica->taken = NULL;
        pile_up(f->replica, f);
        return;
    }
    store_frozen_free(f->state);
    mem_free(f);
}

static int source_read(void *ctx, void *p, size_t n)
{
    struct raft_source *source = ctx;
    return source->read(source, p, n);
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    struct replica *r = ctx;
    int rv = store_restore(r->store, source_read, source);
    if (rv)
        return rv;
    if (r->ship)
        ship_jump(r->ship, index);
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
    if (is_leader && !r->is_leader)
        clock_lead(&r->clock, store_time_ms(r->store) * NS_PER_MS, loop_now(r->loop), (uint64_t)loop_wall(r->loop));
    r->is_leader = is_leader;
    r->leader_id = leader_id;
    r->fresh_from = 0;
    list_each (node, &r->listeners) {
        struct replica_listener *l = container_of(node, struct replica_listener, link);
        l->role(l, is_leader, term, leader_id);
    }
}

static void fenced(void *ctx, bool is_fenced)
{
    struct replica *r = ctx;
    list_each (node, &r->listeners) {
        struct replica_listener *l = container_of(node, struct replica_listener, link);
        if (l->fenced)
            l->fenced(l, is_fenced);
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
                                            .fenced = fenced,
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

/* The noisy table that has more than its share of the window, and the revision to trim it to. */
static struct store_table *to_trim(struct replica *r, uint64_t *ret_revision)
{
    const struct replica_options *o = &r->options;
    for (size_t i = 0; i < sizeof noisy_tables / sizeof *noisy_tables; i++) {
        struct store_table *t = store_table(r->store, slice_str(noisy_tables[i]));
        size_t events = o->window_events / REPLICA_NOISY_SHARE, bytes = o->window_bytes / REPLICA_NOISY_SHARE;
        if (!store_trim_target(t, events, bytes))
            continue;
        /* A little more than needed, so that it is not needed every second. */
        *ret_revision = store_trim_target(t, events - events / 8, bytes - bytes / 8);
        return t;
    }
    return NULL;
}

static uint64_t to_compact(const struct replica *r, uint64_t now)
{
    const struct replica_options *o = &r->options;
    uint64_t by_size = store_compact_target(r->store, o->window_events, o->window_bytes), by_age = 0;
    if (o->window_age_ms && now > o->window_age_ms)
        by_age = store_compact_older(r->store, now - o->window_age_ms);
    return by_size > by_age ? by_size : by_age;
}

/* Every few seconds, while there is something that was not looked at since it changed. */
static bool check_due(const struct replica *r)
{
    if (loop_now(r->loop) < r->check_due || store_format(r->store) < 2)
        return false;
    return r->check_table_n || r->check_revision != store_revision(r->store) ||
           loop_now(r->loop) >= r->check_due + REPLICA_CHECK_IDLE * r->options.check_ms * NS_PER_MS;
}

static void encode_check(struct replica *r, uint64_t now)
{
    if (!r->check_table_n)
        r->check_revision = store_revision(r->store);
    r->check_due = loop_now(r->loop) + r->options.check_ms * NS_PER_MS;
    store_check_encode(&r->encode, slice_of(r->check_table, r->check_table_n), slice_of(r->check_key, r->check_key_n),
                       now);
}

/* ---- the jobs: each encodes a command, or says that there is nothing to do ---- */

static bool job_expire(struct replica *r, uint64_t now)
{
    if (!store_expiry_due(r->store, now))
        return false;
    store_expire_encode(&r->encode, now);
    return true;
}

static bool job_format(struct replica *r, uint64_t now)
{
    unsigned common = raft_node_common_format(r->raft);
    if (common <= store_format(r->store) || common > STORE_FORMAT)
        return false;
    store_format_encode(&r->encode, common, now);
    return true;
}

static bool job_trim(struct replica *r, uint64_t now)
{
    uint64_t revision;
    const struct store_table *noisy = store_format(r->store) >= 2 ? to_trim(r, &revision) : NULL;
    if (!noisy)
        return false;
    store_trim_encode(&r->encode, store_table_name(noisy), revision, now);
    return true;
}

static bool job_compact(struct replica *r, uint64_t now)
{
    uint64_t revision = to_compact(r, now);
    if (!revision)
        return false;
    store_compact_encode(&r->encode, revision, now);
    return true;
}

static bool job_check(struct replica *r, uint64_t now)
{
    if (!check_due(r))
        return false;
    encode_check(r, now);
    return true;
}

/* One after the other, so that none waits for ever for another that always has something to do. */
static bool encode_maintenance(struct replica *r)
{
    static bool (*const jobs[])(struct replica * r, uint64_t now) = {job_expire, job_format, job_trim, job_compact,
                                                                     job_check};
    enum { JOBS = sizeof jobs / sizeof *jobs };
    uint64_t now = replica_time_ms(r);
    for (size_t i = 0; i < JOBS; i++)
        if (jobs[r->next_job++ % JOBS](r, now))
            return true;
    return false;
}

static void propose_maintenance(struct replica *r)
{
    struct blob *command = encode_maintenance(r) ? take_encoded(r) : NULL;
    if (!command)
        return;
    r->maintenance = (struct raft_proposal){.done = maintenance_done, .use_reserve = true};
    r->maintaining = true;
    raft_node_propose(r->raft, command, &r->maintenance);
}

static void on_housekeeping(struct loop_timer *t)
{
    struct replica *r = container_of(t, struct replica, housekeeping);
    if (r->is_leader)
        clock_slew(&r->clock, loop_now(r->loop), (uint64_t)loop_wall(r->loop));
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
    if (!r->options.window_bytes)
        r->options.window_bytes = REPLICA_WINDOW_BYTES;
    if (!r->options.window_events) /* as many for each byte as by default */
        r->options.window_events = r->options.window_bytes / (REPLICA_WINDOW_BYTES / REPLICA_WINDOW_EVENTS);
    if (!r->options.check_ms)
        r->options.check_ms = REPLICA_CHECK_MS;
    if (!r->options.raft.format)
        r->options.raft.format = STORE_FORMAT;
    r->free_timer.cb = on_free;
    r->store = store_new();
    list_init(&r->listeners);
    buf_init(&r->encode, RAFT_COMMAND_MAX);
    r->housekeeping.cb = on_housekeeping;
    r->options.backup.id = o->raft.id;
    if (o->backup.dir)
        r->ship = ship_new(l, r, &r->options.backup);
    int rv = raft_node_open(l, &r->options.raft, &machine, r, &r->raft, why);
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
    if (r->ship)
        ship_start(r->ship);
    return raft_node_start(r->raft);
}

void replica_free(struct replica *r)
{
    if (!r)
        return;
    loop_timer_stop(r->loop, &r->housekeeping);
    if (r->raft)
        raft_node_free(r->raft);
    if (r->taken)
        r->taken->replica = NULL; /* its writer has not let go yet */
    ship_free(r->ship);
    loop_timer_stop(r->loop, &r->free_timer);
    free_pile(r);
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

const char *replica_fenced(const struct replica *r)
{
    return raft_node_fenced(r->raft);
}

uint64_t replica_time_ms(const struct replica *r)
{
    uint64_t state = store_time_ms(r->store);
    uint64_t time = clock_time(&r->clock, loop_now(r->loop), (uint64_t)loop_wall(r->loop)) / NS_PER_MS;
    return time > state ? time : state;
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
    struct store_txn known = *txn;
    if (store_format(r->store) < 2)
        known.actor = SLICE_NONE;
    store_txn_encode(&r->encode, &known);
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

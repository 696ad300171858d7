#include "raft/node.h"

#include <errno.h>
#include <inttypes.h>

#include "base/mem.h"
#include "raft/node_impl.h"

/* ---- work on pool threads ---- */

static void run_work(struct loop_work *lw)
{
    struct node_work *w = container_of(lw, struct node_work, w);
    w->run(w);
}

static void work_done(struct loop_work *lw)
{
    struct node_work *w = container_of(lw, struct node_work, w);
    struct raft_node *n = w->n;
    list_remove(&w->link);
    w->done(w);
    if (n->closing && list_empty(&n->works))
        node_destroy(n);
}

void node_work_queue(struct raft_node *n, unsigned lane, struct node_work *w)
{
    w->n = n;
    w->w.run = run_work;
    w->w.done = work_done;
    list_push(&n->works, &w->link);
    loop_work_queue(n->l, lane, &w->w);
}

/* ---- failing and waking ---- */

void node_fail(struct raft_node *n, int err, const char *reason)
{
    if (n->failed || n->closing)
        return;
    n->failed = true;
    log_error(loop_log(n->l), "raft", "replica stops reason=\"%s\" error=\"%s\"", reason, strerror(-err));
    for (struct list *it; (it = list_pop(&n->appended));)
        node_fail_proposal(n, container_of(it, struct raft_proposal, link), -ETIMEDOUT);
    for (struct list *it; (it = list_pop(&n->queued));)
        node_fail_proposal(n, container_of(it, struct raft_proposal, link), -ESHUTDOWN);
    if (n->change)
        node_fail_proposal(n, n->change, -ESHUTDOWN);
    n->change = NULL;
    node_wake(n);
    n->machine.failed(n->ctx, err, reason);
}

static void on_wake(struct loop_timer *t)
{
    (void)t; /* a turn happens, that is all */
}

void node_wake(struct raft_node *n)
{
    bool soon = loop_timer_armed(&n->wake) && n->wake.due <= loop_now(n->l);
    if (!n->closing && !soon)
        loop_timer_start(n->l, &n->wake, 0);
}

/* ---- starting ---- */

static void on_space_timer(struct loop_timer *t)
{
    node_prepare_segments(container_of(t, struct raft_node, space_timer));
}

static void on_snapshot_timer(struct loop_timer *t)
{
    container_of(t, struct raft_node, snapshot_timer)->snapshot_held = false;
}

static void on_transfer_timer(struct loop_timer *t)
{
    (void)t; /* the turn's end sees that the time is over */
}

void node_init(struct raft_node *n)
{
    list_init(&n->works);
    list_init(&n->queued);
    list_init(&n->appended);
    list_init(&n->failed_proposals);
    list_init(&n->sends);
    node_reads_init(n);
    entries_init(&n->log, 1);
    wal_op_init(&n->pending);
    wal_op_init(&n->writing.op);
    n->timer.cb = node_on_core_timer;
    n->wake.cb = on_wake;
    n->space_timer.cb = on_space_timer;
    n->snapshot_timer.cb = on_snapshot_timer;
    n->transfer_timer.cb = on_transfer_timer;
    n->hook.cb = node_turn;
    list_init(&n->hook.link);
}

static void init_disk_metrics(struct raft_node *n, struct metrics *m)
{
    n->metrics.etcd_fsync = metrics_one(m, METRIC_HISTOGRAM, "etcd_disk_wal_fsync_duration_seconds",
                                        "The same as pintle_raft_fsync_seconds, under etcd's name.");
    n->metrics.etcd_is_leader =
        metrics_one(m, METRIC_GAUGE, "etcd_server_is_leader", "The same as pintle_raft_is_leader, under etcd's name.");
    n->metrics.etcd_has_leader =
        metrics_one(m, METRIC_GAUGE, "etcd_server_has_leader", "1 when a leader is known; etcd's name.");
    n->metrics.sync_recent =
        metrics_one(m, METRIC_GAUGE, "pintle_raft_sync_recent_seconds", "Average time of the newest log writes.");
    n->metrics.stalls = metrics_one(m, METRIC_COUNTER, "pintle_raft_disk_stalls_total",
                                    "Log writes that took longer than two election timeouts.");
    n->metrics.handovers = metrics_one(m, METRIC_COUNTER, "pintle_raft_disk_handovers_total",
                                       "Times leadership was handed over because of the disk.");
    n->metrics.refused = metrics_one(m, METRIC_COUNTER, "pintle_raft_refused_total",
                                     "Greetings of members whose data directory lost what it had confirmed.");
    n->metrics.disk_full =
        metrics_one(m, METRIC_GAUGE, "pintle_raft_disk_full", "1 while writes are refused for want of disk space.");
}

static void init_metrics(struct raft_node *n)
{
    struct metrics *m = n->o.metrics;
    if (!m)
        return;
    n->metrics.is_leader = metrics_one(m, METRIC_GAUGE, "pintle_raft_is_leader", "1 on the replica that leads.");
    n->metrics.term = metrics_one(m, METRIC_GAUGE, "pintle_raft_term", "Current Raft term.");
    n->metrics.commit = metrics_one(m, METRIC_GAUGE, "pintle_raft_commit_index", "Newest entry known to be committed.");
    n->metrics.applied = metrics_one(m, METRIC_GAUGE, "pintle_raft_applied_index", "Newest entry applied here.");
    n->metrics.pending =
        metrics_one(m, METRIC_GAUGE, "pintle_raft_proposals_pending", "Proposals appended and not yet applied.");
    n->metrics.fsync = metrics_one(m, METRIC_HISTOGRAM, "pintle_raft_fsync_seconds",
                                   "Time from handing entries to the log lane until they were on disk.");
    n->m_fenced = metrics_one(m, METRIC_GAUGE, "pintle_state_fenced",
                              "1 while the state here is known to be wrong and is replaced by a peer's.");
    n->m_disagree = metrics_one(m, METRIC_COUNTER, "pintle_state_disagreements_total",
                                "Checks at which another replica's state was not the same as here.");
    n->metrics.syncs = metrics_one(m, METRIC_COUNTER, "pintle_raft_syncs_total", "Log writes with one sync each.");
    n->metrics.entries_synced =
        metrics_one(m, METRIC_COUNTER, "pintle_raft_entries_synced_total", "Entries written by those.");
    init_disk_metrics(n, m);
}

static int init_core(struct raft_node *n)
{
    struct raft *r = &n->core;
    if (raft_init(r, NULL, NULL, n->o.id, n->address))
        return -ENOMEM;
    uint64_t seed;
    loop_random(n->l, &seed, sizeof(seed));
    n->core_open = true;
    r->tracer = NULL;
    raft_seed(r, (unsigned)seed);
    raft_set_election_timeout(r, n->o.election_ms);
    raft_set_heartbeat_timeout(r, n->o.heartbeat_ms);
    raft_set_pre_vote(r, true);
    raft_set_max_inflight_entries(r, NODE_INFLIGHT); /* guard G6 */
    /* The core learns of a stream that broke off by this timeout only; it may ask as often as it likes (send.c). */
    raft_set_install_snapshot_timeout(r, 2 * n->o.election_ms);
    return 0;
}

static struct raft_entry *start_entries(struct raft_node *n, void *token)
{
    struct raft_entry *entries = mem_alloc(n->log.n * sizeof(*entries));
    for (size_t i = 0; i < n->log.n; i++) {
        const struct entry *e = entries_get(&n->log, n->log.first + i);
        entries[i] = (struct raft_entry){.term = e->term, .type = e->type, .buf = {(void *)e->chunk.p, e->chunk.n}};
        entries[i].batch = token;
    }
    return entries;
}

static int start_core(struct raft_node *n)
{
    struct raft_event e = {.type = RAFT_START};
    struct raft_snapshot_metadata metadata = {.index = n->snap_index, .term = n->snap_term};
    struct raft_buffer conf = {n->snap_info.conf, n->snap_info.conf_n};
    if (n->snap_index) {
        if (raft_configuration_decode(&conf, &metadata.configuration))
            return -EBADMSG;
        metadata.configuration_index = n->snap_info.conf_index;
        e.start.metadata = &metadata;
    }
    void *token = raft_malloc(1);
    e.start.term = n->meta.term;
    e.start.voted_for = n->meta.voted_for;
    e.start.start_index = n->log.first;
    e.start.entries = start_entries(n, token);
    e.start.n_entries = (unsigned)n->log.n;
    int err = node_step(n, &e);
    if (!err) { /* else the core has freed both */
        mem_free(e.start.entries);
        raft_free(token);
    }
    return err;
}

static const struct transport_handler transport_handler = {
    .on_frame = node_on_frame,
    .fill_greeting = node_fill_greeting,
    .on_greeting = node_on_greeting,
    .on_stranger = node_on_stranger,
    .on_lost = node_on_lost,
    .on_snapshot = node_on_snapshot,
};

int raft_node_start(struct raft_node *n)
{
    const struct transport_options o = {.loop = n->l,
                                        .cluster_id = n->o.cluster_id,
                                        .id = n->o.id,
                                        .members = n->members,
                                        .n_members = n->n_members,
                                        .listen = n->o.listen,
                                        .address = n->address,
                                        .info = n->o.info,
                                        .format = n->o.format,
                                        .tls = n->o.security.tls,
                                        .handler = &transport_handler,
                                        .ctx = n};
    int err = init_core(n);
    if (!err)
        err = transport_new(&o, &n->transport);
    if (err)
        return err;
    init_metrics(n);
    n->started = true;
    loop_hook_add(n->l, &n->hook);
    node_wake(n);
    node_prepare_segments(n);
    return start_core(n);
}

/* ---- asking ---- */

bool raft_node_is_leader(const struct raft_node *n)
{
    return n->told_leader && !n->failed;
}

uint64_t raft_node_leader(const struct raft_node *n)
{
    return n->told_leader_id;
}

uint64_t raft_node_applied(const struct raft_node *n)
{
    return n->applied;
}

/* What member i is known to have said of itself. */
static void fill_told(const struct raft_node *n, struct raft_status *ret, size_t i)
{
    uint64_t id = n->members[i].id;
    struct slice info = n->o.info;
    bool own = id == n->o.id;
    const char *address = own ? n->address : n->transport ? transport_told(n->transport, id, &info) : "";
    ret->members[i].connected = own || (n->transport && transport_is_up(n->transport, id));
    ret->members[i].stateless = own ? n->o.stateless : n->transport && transport_is_stateless(n->transport, id);
    ret->members[i].format = own || !n->transport ? n->o.format : transport_format(n->transport, id);
    snprintf(ret->members[i].address, sizeof(ret->members[i].address), "%s", address);
    if (!n->transport && !own)
        return;
    ret->members[i].info_n = info.n;
    if (info.n)
        memcpy(ret->members[i].info, info.p, info.n);
}

uint64_t raft_node_commit_index(const struct raft_node *n)
{
    return n->core_open ? raft_commit_index((struct raft *)&n->core) : n->applied;
}

/* As the core sees it now: who leads is told at the end of the turn only, and may be deposed by then. */
static uint64_t present_leader(const struct raft_node *n)
{
    raft_id id = 0;
    const char *address;
    if (n->core_open && raft_state((struct raft *)&n->core) == RAFT_LEADER)
        return n->told_leader ? n->o.id : 0;
    if (n->core_open && !n->failed && raft_state((struct raft *)&n->core) == RAFT_FOLLOWER)
        raft_leader((struct raft *)&n->core, &id, &address);
    return id;
}

void raft_node_status(const struct raft_node *n, struct raft_status *ret)
{
    struct raft *r = (struct raft *)&n->core;
    bool leads = n->core_open && raft_state(r) == RAFT_LEADER;
    *ret = (struct raft_status){.is_leader = raft_node_is_leader(n),
                                .cluster_id = n->o.cluster_id,
                                .id = n->o.id,
                                .leader_id = present_leader(n),
                                .term = n->core_open ? raft_current_term(r) : n->meta.term,
                                .commit_index = n->core_open ? raft_commit_index(r) : n->applied,
                                .applied_index = n->applied,
                                .last_index = entries_last(&n->log),
                                .snapshot_index = n->snap_index,
                                .wal_bytes = n->wal_bytes,
                                .n_members = n->n_members,
                                .changing = n->change || (n->core_open && r->configuration_uncommitted_index)};
    for (size_t i = 0; i < n->n_members; i++) {
        raft_index match = 0;
        ret->members[i].member = n->members[i];
        if (leads && raft_match_index(r, n->members[i].id, &match) == 0)
            ret->members[i].match_index = match;
        fill_told(n, ret, i);
    }
}

/* ---- leadership transfer ---- */

static uint64_t most_advanced(struct raft_node *n)
{
    uint64_t best = 0;
    raft_index best_match = 0;
    for (size_t i = 0; i < n->n_members; i++) {
        raft_index match = 0;
        uint64_t id = n->members[i].id;
        if (id == n->o.id || n->members[i].role != MEMBER_VOTER || !n->transport ||
            transport_is_stateless(n->transport, id) || !transport_is_up(n->transport, id) ||
            raft_match_index(&n->core, id, &match))
            continue;
        if (!best || match > best_match) {
            best = id;
            best_match = match;
        }
    }
    return best;
}

/* Entries that the one who is to lead lacks, or UINT64_MAX when it cannot be told that it may lead. */
static uint64_t transfer_lag(struct raft_node *n, uint64_t to)
{
    raft_index match = 0;
    uint64_t last = entries_last(&n->log);
    if (!to || !n->transport || !transport_is_up(n->transport, to) || raft_match_index(&n->core, to, &match))
        return UINT64_MAX;
    return last > match ? last - match : 0;
}

static uint64_t transfer_target(struct raft_node *n)
{
    return n->transfer_to ? n->transfer_to : most_advanced(n);
}

/* Guard G12: the core is asked only once the other has everything. Asked before, it says TimeoutNow at the first answer
 * that comes in, whatever that answer is about; the other ignores it, still writing, and an election timeout is lost.
 */
static void ask_transfer(struct raft_node *n)
{
    struct raft_event e = {.type = RAFT_TRANSFER};
    e.transfer.server_id = transfer_target(n);
    if (e.transfer.server_id && transfer_lag(n, e.transfer.server_id) == 0)
        node_step(n, &e);
}

bool node_hands_over(struct raft_node *n)
{
    if (raft_state(&n->core) != RAFT_LEADER)
        return false;
    return raft_transferee(&n->core) || (n->transfer_done && transfer_lag(n, transfer_target(n)) <= NODE_TRANSFER_LAG);
}

/* A witness leads just long enough to bring what was committed to those that can serve it. */
void node_hand_on(struct raft_node *n)
{
    if (n->o.stateless && !n->transfer_done && raft_state(&n->core) == RAFT_LEADER && n->own_index &&
        n->applied >= n->own_index && raft_transferee(&n->core) == 0)
        ask_transfer(n);
}

static void end_transfer(struct raft_node *n, int err)
{
    void (*done)(void *, int) = n->transfer_done;
    n->transfer_done = NULL;
    loop_timer_stop(n->l, &n->transfer_timer);
    node_wake(n); /* what was held back goes on, if we lead still */
    done(n->transfer_ctx, err);
}

void node_check_transfer(struct raft_node *n)
{
    if (!n->transfer_done)
        return;
    bool leads = raft_state(&n->core) == RAFT_LEADER;
    bool moved = n->told_leader_id && n->told_leader_id != n->o.id;
    if (!leads && moved)
        end_transfer(n, !n->transfer_to || n->transfer_to == n->told_leader_id ? 0 : -EAGAIN);
    else if (!loop_timer_armed(&n->transfer_timer))
        end_transfer(n, -EAGAIN);
    else if (leads && raft_transferee(&n->core) == 0)
        ask_transfer(n); /* for the first time, or once more after the core gave up */
}

void raft_node_transfer(struct raft_node *n, uint64_t to, uint32_t timeout_ms, void (*done)(void *ctx, int err),
                        void *ctx)
{
    if (n->transfer_done)
        end_transfer(n, -EAGAIN);
    n->transfer_done = done;
    n->transfer_ctx = ctx;
    n->transfer_to = to;
    loop_timer_start(n->l, &n->transfer_timer, timeout_ms);
    node_wake(n);
}

/* ---- closing ---- */

static void end_all(struct raft_node *n)
{
    if (n->change)
        list_push(&n->failed_proposals, &n->change->link);
    n->change = NULL;
    for (struct list *it; (it = list_pop(&n->appended));)
        list_push(&n->failed_proposals, it);
    for (struct list *it; (it = list_pop(&n->queued));)
        list_push(&n->failed_proposals, it);
    list_each (it, &n->failed_proposals) {
        container_of(it, struct raft_proposal, link)->index = (uint64_t)(int64_t)-ESHUTDOWN;
    }
    node_finish_failed(n);
    node_reads_close(n);
    if (n->transfer_done)
        end_transfer(n, -ESHUTDOWN);
}

static void stop_timers(struct raft_node *n)
{
    struct loop_timer *timers[] = {&n->timer,       &n->wake,           &n->drop_timer,
                                   &n->space_timer, &n->snapshot_timer, &n->transfer_timer};
    for (size_t i = 0; i < sizeof(timers) / sizeof(*timers); i++)
        loop_timer_stop(n->l, timers[i]);
    loop_hook_remove(n->l, &n->hook);
}

void raft_node_free(struct raft_node *n)
{
    if (!n)
        return;
    n->closing = true;
    stop_timers(n);
    node_sends_close(n);
    node_receive_close(n);
    node_snapshot_cancel(n);
    node_resync_free(n);
    node_verify_free(n);
    transport_free(n->transport);
    n->transport = NULL;
    end_all(n);
    if (loop_is_dead(n->l))
        for (struct list *it; (it = list_pop(&n->works));) {
            struct node_work *w = container_of(it, struct node_work, link);
            w->done(w);
        }
    if (list_empty(&n->works))
        node_destroy(n);
}

/* The end of a turn: what many callbacks asked for is done once. In this order: apply what was committed, tell its
 * proposers, tell the role, submit new proposals in one event (guard G6), give the log one write, begin reads'
 * rounds and snapshots, set the timer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "raft/node_impl.h"

/* ---- proposals ---- */

static struct raft_proposal *proposal_of(struct list *link)
{
    return container_of(link, struct raft_proposal, link);
}

static size_t proposal_size(const struct raft_proposal *p)
{
    return p->command->n + sizeof(*p);
}

static void end_proposal(struct raft_node *n, struct raft_proposal *p, int err)
{
    if (p->command) {
        n->proposal_bytes -= proposal_size(p);
        blob_unref(p->command);
        p->command = NULL;
    }
    p->done(p, err);
}

/* Ends p with err in the next turn: never inside the call that caused it. */
void node_fail_proposal(struct raft_node *n, struct raft_proposal *p, int err)
{
    p->index = (uint64_t)(int64_t)err; /* nobody reads the index of a failed proposal */
    list_push(&n->failed_proposals, &p->link);
    node_wake(n);
}

void node_finish_failed(struct raft_node *n)
{
    struct list batch;
    list_init(&batch);
    if (list_empty(&n->failed_proposals))
        return;
    list_insert(n->failed_proposals.prev, &batch);
    list_remove(&n->failed_proposals);
    for (struct list *it; (it = list_pop(&batch));) {
        struct raft_proposal *p = proposal_of(it);
        int err = (int)(int64_t)p->index;
        p->index = 0;
        end_proposal(n, p, err);
    }
}

static void fail_queued(struct raft_node *n)
{
    for (struct list *it; (it = list_pop(&n->queued));)
        node_fail_proposal(n, proposal_of(it), -EAGAIN);
}

static void on_drop_late(struct loop_timer *t)
{
    struct raft_node *n = container_of(t, struct raft_node, drop_timer);
    uint64_t commit = raft_commit_index(&n->core);
    list_each (it, &n->appended) {
        struct raft_proposal *p = proposal_of(it);
        if (p->index <= commit || p->term == raft_current_term(&n->core))
            continue; /* will be applied here; or is a new one, we lead again */
        list_remove(it);
        node_fail_proposal(n, p, -ETIMEDOUT);
    }
    node_finish_failed(n);
}

/* What was appended may be committed all the same: the next leader has it, when leadership was handed over as planned.
 * Those who wait hear so when it is applied here (applied_proposal), and after a while that nobody knows. */
void node_drop_proposals(struct raft_node *n)
{
    log_info(loop_log(n->l), "raft", "leads no more term=%llu", raft_current_term(&n->core));
    fail_queued(n);
    if (list_empty(&n->appended))
        return;
    n->drop_timer.cb = on_drop_late;
    loop_timer_start(n->l, &n->drop_timer, (uint64_t)NODE_DROP_ELECTIONS * n->o.election_ms);
}

/* We lead again: what an earlier term of ours left behind and our log has lost since is not in the way of new entries. */
void node_drop_leftovers(struct raft_node *n)
{
    list_each (it, &n->appended) {
        struct raft_proposal *p = proposal_of(it);
        if (entries_term(&n->log, p->index) == p->term)
            continue;
        list_remove(it);
        node_fail_proposal(n, p, -ETIMEDOUT);
    }
}

static bool out_of_space(const struct raft_node *n)
{
    return n->no_space && n->spares.n + n->writing.n_lent <= WAL_RESERVE;
}

/* On a full disk the log lives on its spare segments. Running out of them would end the replica, so whatever would need
 * more is refused before; half of each may be lost to records that do not fit. */
bool node_has_room(const struct raft_node *n, size_t bytes)
{
    if (!n->no_space)
        return true;
    uint64_t room = (n->spares.n + n->writing.n_lent) * n->o.segment_bytes / 2;
    uint64_t taken = n->pending.records.n + (n->writing.busy ? n->writing.op.records.n : 0);
    return taken + n->proposal_bytes + bytes <= room;
}

static int refusal(const struct raft_node *n, const struct blob *command, const struct raft_proposal *p)
{
    if (n->failed || n->closing)
        return -ESHUTDOWN;
    if (command->n > RAFT_COMMAND_MAX)
        return -E2BIG;
    if (!n->told_leader)
        return -EAGAIN;
    if (n->proposal_bytes + command->n > n->o.queue_max)
        return -EBUSY;
    return out_of_space(n) && !(p->use_reserve && node_has_room(n, command->n)) ? -ENOSPC : 0;
}

void raft_node_propose(struct raft_node *n, struct blob *command, struct raft_proposal *p)
{
    int err = refusal(n, command, p);
    p->index = p->term = 0;
    if (err) {
        p->command = NULL;
        blob_unref(command);
        node_fail_proposal(n, p, err);
        return;
    }
    p->command = command;
    n->proposal_bytes += proposal_size(p);
    list_push(&n->queued, &p->link);
    node_wake(n);
}

/* ---- submitting ---- */

int node_submit(struct raft_node *n, struct raft_entry *entries, unsigned count)
{
    struct raft_event e = {.type = RAFT_SUBMIT};
    e.submit.entries = entries;
    e.submit.n = count;
    n->submitting = true;
    int err = node_step(n, &e);
    n->submitting = false;
    return err;
}

static void submit_proposals(struct raft_node *n, struct raft_entry *entries, unsigned count)
{
    uint64_t first = entries_last(&n->log) + 1;
    int err = node_submit(n, entries, count);
    struct list *it = n->queued.next;
    for (unsigned i = 0; i < count && it != &n->queued; i++) {
        struct raft_proposal *p = proposal_of(it);
        it = it->next;
        list_remove(&p->link);
        if (err) {
            node_fail_proposal(n, p, -EAGAIN);
            continue;
        }
        p->index = first + i;
        p->term = entries[i].term;
        list_push(&n->appended, &p->link);
    }
}

static void submit_queued(struct raft_node *n)
{
    if (list_empty(&n->queued))
        return;
    if (raft_state(&n->core) != RAFT_LEADER) {
        fail_queued(n);
        return;
    }
    /* Held back while leadership is handed over, so that the next leader can have all there is (Raft thesis §3.10).
     * The queue fails when it leads, and goes on when it does not. */
    if (node_hands_over(n))
        return;
    struct raft_entry *entries = mem_alloc(NODE_SUBMIT_ENTRIES * sizeof(*entries));
    unsigned count = 0;
    size_t bytes = 0;
    for (struct list *it = n->queued.next; it != &n->queued && count < NODE_SUBMIT_ENTRIES; it = it->next) {
        struct blob *b = proposal_of(it)->command;
        if (count && bytes + b->n > NODE_SUBMIT_BYTES)
            break;
        bytes += b->n;
        entries[count++] = (struct raft_entry){
            .term = raft_current_term(&n->core), .type = RAFT_COMMAND, .buf = {b->bytes, b->n}, .batch = b};
    }
    submit_proposals(n, entries, count);
    mem_free(entries);
    if (!list_empty(&n->queued))
        node_wake(n);
}

/* A leader with nothing uncommitted gets no barrier from the core; reads and role() need an entry of its own term. */
static void submit_barrier(struct raft_node *n)
{
    struct blob *b = blob_copy(SLICE("\0\0\0\0\0\0\0\0"));
    if (!b)
        return;
    struct raft_entry entry = {
        .term = raft_current_term(&n->core), .type = RAFT_BARRIER, .buf = {b->bytes, b->n}, .batch = b};
    uint64_t index = entries_last(&n->log) + 1;
    if (node_submit(n, &entry, 1) == 0)
        n->own_index = index;
    blob_unref(b);
}

/* ---- applying ---- */

/* The proposal that the entry at index is. Others up to there have lost their place: a leader that is told of a newer
 * one may get entries in the place of its own, and their commit, in one message. */
static struct raft_proposal *applied_proposal(struct raft_node *n, uint64_t index, uint64_t term)
{
    while (!list_empty(&n->appended)) {
        struct raft_proposal *p = proposal_of(n->appended.next);
        if (p->index > index)
            return NULL;
        if (p->index == index && p->term == term)
            return p;
        list_remove(&p->link);
        node_fail_proposal(n, p, -ETIMEDOUT);
    }
    return NULL;
}

static void apply_change(struct raft_node *n, uint64_t index, const struct entry *entry)
{
    struct raft_event e = {.type = RAFT_CONFIGURATION};
    struct raft_buffer buf = {(void *)entry->chunk.p, entry->chunk.n};
    e.configuration.index = index;
    if (raft_configuration_decode(&buf, &e.configuration.conf))
        node_fail(n, -EBADMSG, "a committed configuration cannot be read");
    else
        node_step(n, &e);
}

static void apply_one(struct raft_node *n, uint64_t index, const struct entry *entry, struct list *done)
{
    struct raft_proposal *p = applied_proposal(n, index, entry->term);
    n->applied = index;
    if (entry->type == RAFT_COMMAND)
        n->machine.apply(n->ctx, index, slice_of(entry->chunk.p, entry->chunk.n), p);
    else if (entry->type == RAFT_CHANGE)
        apply_change(n, index, entry);
    if (p) {
        list_remove(&p->link);
        list_push(done, &p->link);
    }
}

static void apply_committed(struct raft_node *n)
{
    struct list done;
    list_init(&done);
    uint64_t from = n->applied;
    for (int i = 0; n->applied < raft_commit_index(&n->core) && !n->installing && !n->failed && !n->resync; i++) {
        const struct entry *entry = entries_get(&n->log, n->applied + 1);
        if (!entry || i == NODE_APPLY_BATCH) {
            if (entry)
                node_wake(n);
            break;
        }
        apply_one(n, n->applied + 1, entry, &done);
    }
    if (n->applied > from && n->machine.applied)
        n->machine.applied(n->ctx, n->applied);
    for (struct list *it; (it = list_pop(&done));)
        end_proposal(n, proposal_of(it), 0);
}

/* ---- the role ---- */

static uint64_t known_leader(struct raft_node *n, bool leading)
{
    raft_id id = 0;
    const char *address;
    if (leading)
        return n->o.id;
    if (raft_state(&n->core) == RAFT_FOLLOWER)
        raft_leader(&n->core, &id, &address);
    return id;
}

static void tell_role(struct raft_node *n)
{
    bool leading = raft_state(&n->core) == RAFT_LEADER && n->own_index && n->applied >= n->own_index && !n->failed &&
                   !n->resync && !n->o.stateless;
    uint64_t term = raft_current_term(&n->core), leader = n->failed ? 0 : known_leader(n, leading);
    if (leading == n->told_leader && leader == n->told_leader_id && (term == n->told_term || !leading))
        return;
    n->told_leader = leading;
    n->told_leader_id = leader;
    n->told_term = term;
    n->machine.role(n->ctx, leading, term, leader);
}

/* ---- the log ---- */

static void prepare_done(struct node_work *w)
{
    struct preparing *p = container_of(w, struct preparing, w);
    struct raft_node *n = w->n;
    p->busy = false;
    if (n->closing)
        return;
    if (p->err) {
        if (!n->no_space)
            log_warn(loop_log(n->l), "raft", "cannot make a log segment error=\"%s\" remedy=\"free disk space\"",
                     strerror(-p->err));
        n->no_space = true;
        loop_timer_start(n->l, &n->space_timer, NODE_SPACE_RETRY_MS);
        return;
    }
    if (n->no_space)
        log_info(loop_log(n->l), "raft", "disk space is back");
    n->no_space = false;
    if (n->spares.n < WAL_SPARES_MAX)
        memcpy(n->spares.names[n->spares.n++], p->name, sizeof(p->name));
    node_prepare_segments(n);
}

static void prepare_run(struct node_work *w)
{
    struct preparing *p = container_of(w, struct preparing, w);
    p->err = wal_prepare(&p->o, p->name);
}

void node_prepare_segments(struct raft_node *n)
{
    struct preparing *p = &n->preparing;
    if (p->busy || n->spares.n + n->writing.n_lent >= WAL_SPARES_WANTED || loop_timer_armed(&n->space_timer))
        return;
    uint64_t number; /* random: spares of earlier runs keep their names */
    loop_random(n->l, &number, sizeof(number));
    p->busy = true;
    p->o = n->wal_options;
    snprintf(p->name, sizeof(p->name), "new-%016" PRIx64, number);
    p->w.run = prepare_run;
    p->w.done = prepare_done;
    node_work_queue(n, LOOP_LANE_MISC, &p->w);
}

static void take_back_spares(struct raft_node *n)
{
    const struct wal_spares *back = &n->writing.op.spares;
    for (size_t i = 0; i < back->n && n->spares.n < WAL_SPARES_MAX; i++)
        memcpy(n->spares.names[n->spares.n++], back->names[i], WAL_NAME_MAX);
    n->writing.n_lent = 0;
}

/* Tells the core how far the log is on disk. A candidate must not hear it (the core takes it for misuse): it is told
 * once it is something else. */
static void report_stored(struct raft_node *n)
{
    uint64_t index = n->stored;
    if (n->installing || n->core.snapshot.installing || index > entries_last(&n->log) || index <= n->core.last_stored ||
        raft_state(&n->core) == RAFT_CANDIDATE)
        return;
    struct raft_event e = {.type = RAFT_PERSISTED_ENTRIES};
    e.persisted_entries.index = index;
    node_step(n, &e);
}

/* Whether the others have committed all of the write under way, or just done. */
static bool overtaken(const struct raft_node *n)
{
    return n->writing.op.n_records && raft_commit_index(&n->core) >= n->writing.last;
}

static void measure_write(struct raft_node *n)
{
    uint64_t took = loop_now(n->l) - n->writing.started;
    if (n->health.stalled)
        log_info(loop_log(n->l), "raft", "the disk answers again after ms=%" PRIu64, took / (uint64_t)NS_PER_MS);
    n->health.stalled = false;
    health_note_sync(&n->health, took, n->told_leader && overtaken(n));
    if (!n->o.metrics)
        return;
    metric_observe(n->metrics.fsync, (double)took / 1e9);
    metric_observe(n->metrics.etcd_fsync, (double)took / 1e9);
    n->metrics.syncs->value += 1;
    n->metrics.entries_synced->value += (double)n->writing.op.n_records;
}

static void write_done(struct node_work *w)
{
    struct writing *x = container_of(w, struct writing, w);
    struct raft_node *n = w->n;
    x->busy = false;
    if (n->closing)
        return;
    if (x->err) { /* guard G10: what reached the disk is unknown */
        node_fail(n, x->err, "cannot write the log");
        return;
    }
    take_back_spares(n);
    measure_write(n);
    n->wal_bytes = x->op.wal_bytes;
    uint64_t installed = x->install_index;
    if (x->op.n_records) /* as far as the entries written are still the ones we have */
        n->stored = x->last < x->valid ? x->last : x->valid;
    report_stored(n);
    wal_op_clear(&x->op);
    if (installed)
        node_installed(n, installed);
    node_prepare_segments(n);
}

static int put_snapshot_in_place(const struct writing *x, struct fs *fs)
{
    char from[SNAP_PATH_MAX], to[SNAP_PATH_MAX];
    const char *dir = x->w.n->dir;
    snprintf(from, sizeof(from), "%s/incoming.tmp", dir);
    snap_path(to, dir, x->install_index);
    int err = fs_rename(fs, from, to);
    if (!err)
        err = fs_sync_dir(fs, dir);
    return err ? err : snap_remove_others(fs, dir, x->install_index);
}

static void write_run(struct node_work *w)
{
    struct writing *x = container_of(w, struct writing, w);
    x->err = x->install_index ? put_snapshot_in_place(x, loop_fs(w->n->l)) : 0;
    if (!x->err)
        x->err = wal_run(x->wal, &x->op);
}

/* One write for everything the turn (or the time of the write before) brought. */
static void write_log(struct raft_node *n)
{
    struct writing *x = &n->writing;
    if (x->busy || n->failed || wal_op_empty(&n->pending))
        return;
    struct wal_op op = x->op;
    x->op = n->pending;
    n->pending = op;
    x->op.spares = n->spares;
    x->n_lent = n->spares.n;
    n->spares.n = 0;
    x->last = n->pending_last;
    x->valid = UINT64_MAX;
    x->install_index = n->pending_install;
    n->pending_install = 0;
    x->wal = n->wal;
    x->busy = true;
    x->started = loop_now(n->l);
    x->w.run = write_run;
    x->w.done = write_done;
    node_work_queue(n, LOOP_LANE_LOG, &x->w);
}

/* ---- the disk's health ---- */

static void handed_over(void *ctx, int err)
{
    (void)ctx, (void)err; /* the roles tell; another attempt waits its time */
}

static void hand_over(struct raft_node *n, enum health_trouble trouble)
{
    uint64_t now = loop_now(n->l);
    if (n->transfer_done || !health_may_hand_over(&n->health, now))
        return;
    health_handed_over(&n->health, now);
    log_warn(loop_log(n->l), "raft", "handing leadership over reason=\"the disk is %s\" recent_ms=%" PRIu64,
             health_name(trouble), n->health.recent_ns / (uint64_t)NS_PER_MS);
    raft_node_transfer(n, 0, 2 * n->o.election_ms, handed_over, n);
}

static void note_stall(struct raft_node *n, const struct health_signs *signs)
{
    if (signs->busy_ns <= signs->stall_ns || n->health.stalled)
        return;
    n->health.stalled = true;
    log_warn(loop_log(n->l), "raft", "the disk stalls: a write of the log takes longer than ms=%" PRIu64,
             signs->stall_ns / (uint64_t)NS_PER_MS);
    if (n->metrics.stalls)
        n->metrics.stalls->value += 1;
}

static void check_disk(struct raft_node *n)
{
    struct health *h = &n->health;
    uint64_t now = loop_now(n->l);
    const struct health_signs signs = {.busy_ns = n->writing.busy ? now - n->writing.started : 0,
                                       .stall_ns = HEALTH_STALL * (uint64_t)n->o.election_ms * NS_PER_MS,
                                       .overtaken = overtaken(n),
                                       .full = out_of_space(n)};
    note_stall(n, &signs);
    if (!n->told_leader)
        h->lead_since = 0;
    else if (!h->lead_since)
        h->lead_since = now;
    enum health_trouble trouble = health_judge(h, &signs);
    if (trouble && n->told_leader && n->n_members > 1)
        hand_over(n, trouble);
}

/* ---- the turn ---- */

void node_on_core_timer(struct loop_timer *t)
{
    struct raft_node *n = container_of(t, struct raft_node, timer);
    struct raft *r = &n->core;
    /* A follower whose disk is busy may not stand for election; asking the core now would cost a whole timeout. */
    if (raft_state(r) == RAFT_FOLLOWER && !n->installing && !n->failed && r->follower_state.current_leader.id == 0 &&
        r->last_stored < entries_last(&n->log) && n->writing.busy) {
        r->election_timer_start += 5;
        return;
    }
    /* Guard G11: only a voter forgets a silent leader by itself. Another one would refuse its vote for ever, and after a
     * promotion that it has not heard of, that vote may be the one that counts. */
    if (raft_state(r) == RAFT_FOLLOWER &&
        node_ms(n) >= r->election_timer_start + r->follower_state.randomized_election_timeout)
        node_forget_leader(n);
    struct raft_event e = {.type = RAFT_TIMEOUT};
    node_step(n, &e);
}

static void set_timer(struct raft_node *n)
{
    uint64_t now = node_ms(n), due = raft_timeout(&n->core);
    uint64_t delay = due > now ? due - now : 0;
    uint64_t at = loop_now(n->l) + delay * NS_PER_MS;
    if (loop_timer_armed(&n->timer) && n->timer.due / NS_PER_MS == at / NS_PER_MS)
        return;
    loop_timer_start(n->l, &n->timer, delay);
}

static void update_metrics(struct raft_node *n)
{
    if (!n->o.metrics)
        return;
    n->metrics.is_leader->value = n->metrics.etcd_is_leader->value = n->told_leader;
    n->metrics.etcd_has_leader->value = n->told_leader_id != 0;
    n->metrics.sync_recent->value = (double)n->health.recent_ns / 1e9;
    n->metrics.handovers->value = (double)n->health.n_handovers;
    n->metrics.disk_full->value = out_of_space(n);
    n->metrics.term->value = (double)raft_current_term(&n->core);
    n->metrics.commit->value = (double)raft_commit_index(&n->core);
    n->metrics.applied->value = (double)n->applied;
    double pending = 0;
    for (const struct list *it = n->appended.next; it != &n->appended && pending < 1000; it = it->next)
        pending++;
    n->metrics.pending->value = pending;
}

static void failed_turn(struct raft_node *n)
{
    tell_role(n);
    loop_timer_stop(n->l, &n->timer);
    node_sends_close(n);
    node_receive_close(n);
    transport_free(n->transport); /* peers learn of it at once */
    n->transport = NULL;
    node_reads_close(n);
}

void node_turn(struct loop_hook *h)
{
    struct raft_node *n = container_of(h, struct raft_node, hook);
    loop_timer_stop(n->l, &n->wake);
    if (n->failed) {
        failed_turn(n);
        node_finish_failed(n);
        return;
    }
    report_stored(n);
    apply_committed(n);
    node_follow_members(n);
    node_finish_failed(n);
    tell_role(n);
    node_resync_turn(n);
    if (raft_state(&n->core) == RAFT_LEADER && n->own_index == 0)
        submit_barrier(n);
    node_submit_change(n);
    submit_queued(n);
    node_follow_members(n);
    write_log(n);
    node_reads_turn(n);
    node_snapshot_turn(n);
    check_disk(n);
    node_check_transfer(n);
    node_hand_on(n);
    node_testify_turn(n);
    set_timer(n);
    update_metrics(n);
}

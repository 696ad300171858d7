/* Linearizable reads without a log write (Raft §6.4, without clocks).
 *
 * The leader notes its commit index, then asks the voters whether its term is still theirs. Yes from a majority means
 * that nobody else led when they answered, hence that no write was acknowledged elsewhere before the read began: once
 * the noted index is applied here, the read may be served. One round serves all reads that waited when it began.
 * A follower asks the leader for such an index and serves from its own state once it has applied that far. */
#include <errno.h>

#include "base/mem.h"
#include "raft/node_impl.h"

enum { READ_RESEND_MS = 100, READ_GIVE_UP_FACTOR = 4, REMOTE_READS_MAX = 1024 };

/* A follower's request. */
struct remote_read {
    struct list link;
    uint64_t from, seq;
};

void node_reads_init(struct raft_node *n)
{
    struct list *lists[] = {&n->reads_waiting, &n->reads_probing, &n->reads_confirmed, &n->reads_remote,
                            &n->reads_remote_probing};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        list_init(lists[i]);
}

static struct raft_read *read_of(struct list *link)
{
    return container_of(link, struct raft_read, link);
}

static void move_all(struct list *to, struct list *from)
{
    for (struct list *it; (it = list_pop(from));)
        list_push(to, it);
}

static void drop_remote(struct list *from)
{
    for (struct list *it; (it = list_pop(from));)
        mem_free(container_of(it, struct remote_read, link));
}

void raft_node_read(struct raft_node *n, struct raft_read *r)
{
    r->index = node_ms(n) + (uint64_t)n->o.election_ms * READ_GIVE_UP_FACTOR;
    if (n->failed)
        r->index = 0;
    list_push(&n->reads_waiting, &r->link);
    node_wake(n);
}

void raft_node_read_cancel(struct raft_node *n, struct raft_read *r)
{
    (void)n;
    list_remove(&r->link);
}

/* The round under way is void; its reads wait for another one. */
void node_reads_reset(struct raft_node *n)
{
    struct list late;
    list_init(&late);
    move_all(&late, &n->reads_waiting);
    move_all(&n->reads_waiting, &n->reads_probing);
    move_all(&n->reads_waiting, &late);
    drop_remote(&n->reads_remote_probing);
    drop_remote(&n->reads_remote);
    n->read_round = n->read_asked = false;
}

/* ---- the leader's rounds ---- */

static bool is_voter(const struct raft_node *n, uint64_t id)
{
    for (unsigned i = 0; i < n->core.configuration.n; i++)
        if (n->core.configuration.servers[i].id == id)
            return n->core.configuration.servers[i].role == RAFT_VOTER;
    return false;
}

static void send_probes(struct raft_node *n)
{
    const struct message m = {.type = FRAME_PROBE, .term = n->read_term, .seq = n->read_seq};
    n->read_sent = node_ms(n);
    for (size_t i = 0; i < n->n_members; i++)
        if (n->members[i].id != n->o.id && is_voter(n, n->members[i].id) && !(n->read_acks >> i & 1))
            node_send_message(n, n->members[i].id, &m);
}

static bool have_majority(const struct raft_node *n)
{
    unsigned voters = 0, yes = 0;
    for (size_t i = 0; i < n->n_members; i++) {
        if (!is_voter(n, n->members[i].id))
            continue;
        voters++;
        yes += n->members[i].id == n->o.id || (n->read_acks >> i & 1);
    }
    return yes > voters / 2;
}

static void answer_remote(struct raft_node *n)
{
    for (struct list *it; (it = list_pop(&n->reads_remote_probing));) {
        struct remote_read *r = container_of(it, struct remote_read, link);
        const struct message m = {.type = FRAME_READ_RESULT, .seq = r->seq, .index = n->read_index};
        node_send_message(n, r->from, &m);
        mem_free(r);
    }
}

static void finish_round(struct raft_node *n)
{
    n->read_round = false;
    for (struct list *it; (it = list_pop(&n->reads_probing));) {
        read_of(it)->index = n->read_index;
        list_push(&n->reads_confirmed, it);
    }
    answer_remote(n);
}

static void begin_round(struct raft_node *n)
{
    n->read_round = true;
    n->read_seq++;
    n->read_acks = 0;
    n->read_term = raft_current_term(&n->core);
    n->read_index = raft_commit_index(&n->core); /* of our own term at least: told_leader says so */
    move_all(&n->reads_probing, &n->reads_waiting);
    move_all(&n->reads_remote_probing, &n->reads_remote);
    if (have_majority(n))
        finish_round(n);
    else
        send_probes(n);
}

static void leader_turn(struct raft_node *n)
{
    if (n->read_round && node_ms(n) - n->read_sent >= READ_RESEND_MS)
        send_probes(n);
    if (!n->read_round && (!list_empty(&n->reads_waiting) || !list_empty(&n->reads_remote)))
        begin_round(n);
}

/* ---- the follower's request ---- */

static void follower_turn(struct raft_node *n)
{
    if (n->read_asked && n->read_asked_of == n->told_leader_id && node_ms(n) - n->read_sent < READ_RESEND_MS)
        return;
    if (n->read_asked) { /* lost, or the leader changed */
        struct list late;
        list_init(&late);
        move_all(&late, &n->reads_waiting);
        move_all(&n->reads_waiting, &n->reads_probing);
        move_all(&n->reads_waiting, &late);
        n->read_asked = false;
    }
    if (list_empty(&n->reads_waiting) || n->told_leader_id == 0)
        return;
    const struct message m = {.type = FRAME_READ, .seq = ++n->read_seq};
    move_all(&n->reads_probing, &n->reads_waiting);
    n->read_asked = true;
    n->read_asked_of = n->told_leader_id;
    n->read_sent = node_ms(n);
    node_send_message(n, n->told_leader_id, &m);
}

/* ---- frames ---- */

static void on_probe(struct raft_node *n, uint64_t from, const struct message *m)
{
    /* The one thing that matters: a voter that has moved to a later term does not say yes. */
    if (raft_current_term(&n->core) != m->term)
        return;
    const struct message yes = {.type = FRAME_PROBE_RESULT, .term = m->term, .seq = m->seq};
    node_send_message(n, from, &yes);
}

static void on_probe_result(struct raft_node *n, uint64_t from, const struct message *m)
{
    if (!n->read_round || m->seq != n->read_seq || m->term != n->read_term ||
        n->read_term != raft_current_term(&n->core) || raft_state(&n->core) != RAFT_LEADER)
        return;
    for (size_t i = 0; i < n->n_members; i++)
        if (n->members[i].id == from)
            n->read_acks |= (uint64_t)1 << i;
    if (have_majority(n))
        finish_round(n);
}

static void on_read(struct raft_node *n, uint64_t from, const struct message *m)
{
    size_t queued = 0;
    list_each (it, &n->reads_remote) {
        queued++;
    }
    if (!n->told_leader || queued >= REMOTE_READS_MAX)
        return; /* the follower asks again */
    struct remote_read *r = mem_new(struct remote_read);
    *r = (struct remote_read){.from = from, .seq = m->seq};
    list_push(&n->reads_remote, &r->link);
}

static void on_read_result(struct raft_node *n, const struct message *m)
{
    if (!n->read_asked || m->seq != n->read_seq)
        return;
    n->read_asked = false;
    for (struct list *it; (it = list_pop(&n->reads_probing));) {
        read_of(it)->index = m->index;
        list_push(&n->reads_confirmed, it);
    }
}

bool node_on_read_frame(struct raft_node *n, uint64_t from, const struct message *m)
{
    switch (m->type) {
    case FRAME_PROBE:
        on_probe(n, from, m);
        return true;
    case FRAME_PROBE_RESULT:
        on_probe_result(n, from, m);
        return true;
    case FRAME_READ:
        on_read(n, from, m);
        return true;
    case FRAME_READ_RESULT:
        on_read_result(n, m);
        return true;
    default:
        return false;
    }
}

/* ---- the turn ---- */

static void serve_confirmed(struct raft_node *n)
{
    struct list ready;
    list_init(&ready);
    list_each (it, &n->reads_confirmed) {
        if (read_of(it)->index > n->applied && !n->resync)
            continue;
        list_remove(it);
        list_push(&ready, it);
    }
    for (struct list *it; (it = list_pop(&ready));)
        read_of(it)->done(read_of(it), n->resync ? -EAGAIN : 0);
}

static void give_up_late(struct raft_node *n, struct list *reads)
{
    struct list late;
    list_init(&late);
    uint64_t now = node_ms(n);
    list_each (it, reads) {
        if (read_of(it)->index > now)
            continue;
        list_remove(it);
        list_push(&late, it);
    }
    for (struct list *it; (it = list_pop(&late));)
        read_of(it)->done(read_of(it), -EAGAIN);
}

void node_reads_turn(struct raft_node *n)
{
    bool leader = raft_state(&n->core) == RAFT_LEADER;
    /* An index noted in an earlier term says nothing, even when we lead again. */
    if (n->read_round && (!leader || !n->told_leader || n->read_term != raft_current_term(&n->core)))
        node_reads_reset(n);
    if (leader && n->told_leader)
        leader_turn(n);
    else if (!leader)
        follower_turn(n);
    serve_confirmed(n);
    give_up_late(n, &n->reads_waiting);
    give_up_late(n, &n->reads_probing);
    if (!list_empty(&n->reads_waiting) || !list_empty(&n->reads_probing) || n->read_round)
        if (!loop_timer_armed(&n->wake))
            loop_timer_start(n->l, &n->wake, READ_RESEND_MS / 2);
}

void node_reads_close(struct raft_node *n)
{
    struct list all;
    list_init(&all);
    move_all(&all, &n->reads_confirmed);
    move_all(&all, &n->reads_probing);
    move_all(&all, &n->reads_waiting);
    drop_remote(&n->reads_remote);
    drop_remote(&n->reads_remote_probing);
    n->read_round = n->read_asked = false;
    for (struct list *it; (it = list_pop(&all));)
        read_of(it)->done(read_of(it), -ESHUTDOWN);
}

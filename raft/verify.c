/* Is our state what the others' is?
 *
 * At some entries of the log (the machine knows which) every replica takes a digest of its state. It sends it to all
 * others, and each compares for itself: when more than half of all voters have one and the same digest for an index and
 * ours is another, ours is wrong, and we fence ourselves (resync.c). So a wrong leader is found as any other replica
 * is,
 * and nobody has to believe anybody but a majority. When digests differ and no majority has the same one (two voters;
 * or
 * one is away), nobody can tell who is wrong: that is an alarm and no more. A machine that finds by itself that its
 * state
 * was damaged says so, and then nobody else is asked.
 *
 * A replica that was away takes its digests when it replays the log. Peers answer a digest with their own, as far as
 * they
 * still have it: the newest DIGESTS_KEPT.
 *
 * The same digests say whose state a fenced replica may take over (node_verify_vouched): one that more than half of the
 * voters had at its newest check. Else two faults at once might make a wrong majority: one replica is fenced, another
 * one wrong and the source of its new state, and then they are two against the third. Of two voters the other one will
 * do: there is nobody else.
 *
 * Peers that do not know format 2 are sent nothing; they count as voters that said nothing. */
#include <inttypes.h>

#include "base/mem.h"
#include "raft/node_impl.h"

enum { DIGESTS_KEPT = 16 };

struct report {
    uint64_t from, digest;
};

struct digest {
    uint64_t index; /* 0 = an empty place */
    uint64_t own;
    bool own_known, told;                    /* told: that there is a disagreement */
    struct report reports[RAFT_MEMBERS_MAX]; /* of others */
    size_t n;
};

struct verify {
    struct digest kept[DIGESTS_KEPT];
};

static struct digest *find(struct verify *v, uint64_t index)
{
    for (size_t i = 0; i < DIGESTS_KEPT; i++)
        if (v->kept[i].index == index)
            return &v->kept[i];
    return NULL;
}

/* The place for index, which pushes out the oldest; NULL when it is older than all. */
static struct digest *place(struct raft_node *n, uint64_t index)
{
    if (!n->verify)
        n->verify = mem_new(struct verify);
    struct digest *d = find(n->verify, index);
    if (d)
        return d;
    d = &n->verify->kept[0];
    for (size_t i = 1; i < DIGESTS_KEPT; i++)
        if (n->verify->kept[i].index < d->index)
            d = &n->verify->kept[i];
    if (d->index > index)
        return NULL;
    *d = (struct digest){.index = index};
    return d;
}

static void tell(struct raft_node *n, uint64_t to, const struct digest *d, bool answer)
{
    const struct message m = {.type = FRAME_DIGEST, .index = d->index, .seq = d->own, .granted = answer};
    if (n->transport && to != n->o.id && transport_format(n->transport, to) >= 2 &&
        !transport_is_stateless(n->transport, to))
        node_send_message(n, to, &m);
}

/* Witnesses have no state to speak of. */
static bool is_voter(const struct raft_node *n, uint64_t id)
{
    const struct raft_member *m = node_member(n, id);
    return m && m->role == MEMBER_VOTER && !(n->transport && transport_is_stateless(n->transport, id));
}

/* How many voters reported this digest. */
static unsigned count(const struct raft_node *n, const struct digest *d, uint64_t digest)
{
    unsigned same = d->own == digest && is_voter(n, n->o.id);
    for (size_t i = 0; i < d->n; i++)
        same += d->reports[i].digest == digest && is_voter(n, d->reports[i].from);
    return same;
}

static void disagree(struct raft_node *n, struct digest *d, uint64_t with)
{
    if (d->told)
        return;
    d->told = true;
    if (n->m_disagree)
        n->m_disagree->value += 1;
    log_error(loop_log(n->l), "raft", "states differ index=%" PRIu64 " peer=%" PRIu64 " digest=%016" PRIx64, d->index,
              with, d->own);
}

static unsigned count_voters(const struct raft_node *n)
{
    unsigned voters = 0;
    for (size_t i = 0; i < n->n_members; i++)
        voters += is_voter(n, n->members[i].id);
    return voters;
}

/* The newest digest that member id reported. */
static const struct digest *newest_of(const struct raft_node *n, uint64_t id, uint64_t *ret_digest)
{
    const struct digest *newest = NULL;
    for (size_t i = 0; n->verify && i < DIGESTS_KEPT; i++) {
        const struct digest *d = &n->verify->kept[i];
        for (size_t j = 0; j < d->n; j++)
            if (d->reports[j].from == id && (!newest || d->index > newest->index)) {
                newest = d;
                *ret_digest = d->reports[j].digest;
            }
    }
    return newest;
}

bool node_verify_vouched(const struct raft_node *n, uint64_t id)
{
    uint64_t digest = 0;
    unsigned voters = count_voters(n), others = 0, same = 0;
    const struct digest *d = newest_of(n, id, &digest);
    for (size_t i = 0; d && i < d->n; i++) {
        if (!is_voter(n, d->reports[i].from))
            continue;
        others++;
        same += d->reports[i].digest == digest;
    }
    return voters > 2 ? same > voters / 2 : same && same == others;
}

static void judge(struct raft_node *n, struct digest *d)
{
    unsigned voters = count_voters(n);
    if (!d->own_known || n->resync)
        return;
    for (size_t i = 0; i < d->n; i++) {
        if (d->reports[i].digest == d->own)
            continue;
        disagree(n, d, d->reports[i].from);
        if (count(n, d, d->reports[i].digest) <= voters / 2)
            continue;
        node_fence(n, "the state differs from what a majority has");
        return;
    }
}

void raft_node_digest(struct raft_node *n, uint64_t index, uint64_t digest, bool damaged)
{
    struct digest *d = damaged ? NULL : place(n, index);
    if (damaged)
        node_fence(n, "the state in memory is damaged");
    if (!d)
        return;
    d->own = digest;
    d->own_known = true;
    for (size_t i = 0; i < n->n_members; i++)
        tell(n, n->members[i].id, d, false);
    judge(n, d);
}

void node_on_digest(struct raft_node *n, uint64_t from, const struct message *m)
{
    struct digest *d = m->index ? place(n, m->index) : NULL;
    if (!d)
        return;
    size_t i = 0;
    while (i < d->n && d->reports[i].from != from)
        i++;
    if (i == RAFT_MEMBERS_MAX)
        return;
    d->reports[i] = (struct report){from, m->seq}; /* a newer one replaces: the peer has resynchronised */
    d->n += i == d->n;
    if (!m->granted && d->own_known && !n->resync)
        tell(n, from, d, true);
    judge(n, d);
}

void node_verify_reset(struct raft_node *n)
{
    for (size_t i = 0; n->verify && i < DIGESTS_KEPT; i++)
        n->verify->kept[i].own_known = false;
}

void node_verify_free(struct raft_node *n)
{
    mem_free(n->verify);
    n->verify = NULL;
}

/* A simulated cluster of replicas with a machine of registers, and the checks that must hold at every step:
 *  - at most one leader a term;
 *  - all replicas apply the same command at the same index, and have the same state there, snapshots included;
 *  - a write that was acknowledged is in that history;
 *  - a read sees at least every write acknowledged, and every value read, before it began. */
#ifndef PINTLE_TESTS_RAFT_CLUSTER_H
#define PINTLE_TESTS_RAFT_CLUSTER_H

#include "unit.h"

#include "loop/sim.h"
#include "raft/node.h"

enum { CLUSTER_MAX = 8, CLUSTER_KEYS = 8, CLUSTER_TERMS = 4096 };

struct cluster;

struct machine_state {
    uint64_t index, hash;
    uint64_t value[CLUSTER_KEYS], at[CLUSTER_KEYS]; /* last value and the index that wrote it */
};

struct cluster_node {
    struct cluster *c;
    size_t i;
    uint64_t id; /* its member id; another one when it joins again */
    unsigned port;
    bool outside; /* no member, or a spare: gets nothing */
    struct loop *l;
    struct raft_node *n; /* NULL while down */
    struct machine_state state;
    bool leader, failed;
    uint64_t term;
    size_t restores, applied_calls, snapshots;
};

struct cluster {
    struct sim *w;
    uint64_t seed;
    size_t n;
    size_t initial;       /* the first of them form the cluster; the others are outside */
    uint64_t next_member; /* id for the next one that joins */
    uint64_t asked;       /* bit id: it was asked to join, or is one of the first */
    uint64_t removed;     /* bit id: that member was removed */
    struct cluster_node nodes[CLUSTER_MAX];
    struct raft_options options;
    struct raft_member members[CLUSTER_MAX];
    /* the one history */
    uint64_t *ids, *hashes;
    size_t cap;
    uint64_t last; /* newest index anybody applied */
    uint64_t leader_of[CLUSTER_TERMS];
    uint64_t floor[CLUSTER_KEYS]; /* what a read that begins now must at least see */
    uint64_t next_id;
    size_t proposed, acked, refused, unknown, reads, reads_served, pending;
    bool expect_failures;
};

/* n replicas, running. options: defaults for tests may be changed in c->options before cluster_start_all. */
void cluster_init(struct cluster *c, uint64_t seed, size_t n);
void cluster_done(struct cluster *c);
/* Member id lives here and may lead: the node of that member, or NULL. */
struct cluster_node *cluster_member(struct cluster *c, uint64_t id);
/* Starts node i with an empty directory as a member-to-be under a new id, which is returned. */
uint64_t cluster_join(struct cluster *c, size_t i);
/* Asks the leader for a step of membership and waits; the outcome. */
int cluster_change(struct cluster *c, enum raft_change_kind kind, uint64_t id, enum raft_member_role role);
void cluster_start(struct cluster *c, size_t i);
/* 0 or what raft_node_open said. */
int cluster_try_start(struct cluster *c, size_t i, char why[256]);
void cluster_kill(struct cluster *c, size_t i, bool crash);
/* Waits until somebody leads; its number. Fails the test after 20 s of virtual time. */
size_t cluster_leader(struct cluster *c);
/* -1 when nobody says so now. */
int cluster_leader_now(const struct cluster *c);
/* Proposes a write of n bytes on replica i. */
void cluster_propose(struct cluster *c, size_t i, size_t bytes);
void cluster_read(struct cluster *c, size_t i);
/* Heals everything and waits until all replicas have the same state; then one more write must be acknowledged. */
void cluster_settle(struct cluster *c);
/* Proposes on i and waits; the outcome. */
int cluster_write(struct cluster *c, size_t i, size_t bytes);

#endif

/* Who the replicas are, and keeping it so: the policy above raft/members.c, and what everybody may know of a member.
 *
 * Each member has a record in the replicated table "pintle/members": where its API listens, whether it is a witness,
 * and
 * what an operator decided about its seat. The leader writes it from what the member says of itself when it connects
 * (raft_options.info), so a replica that comes back elsewhere is found again by everybody without anyone's help.
 *
 * Twice a second the leader looks what there is to do, one step at a time:
 *  - a member that said another address than the membership has: enter it;
 *  - a spare that is connected: make it a standby, so that it gets the log (a snapshot first, when it needs one);
 *  - fewer voters than wanted and enough standbys that keep up: promote. An odd number of voters is wanted, at most
 *    voters_max, so a second replica stays a standby until the third one has come;
 *  - an even number of voters above two: demote one, the leader never;
 *  - a voter that was away for replace_ms, and a standby that keeps up: the standby gets the seat;
 *  - a newcomer that has not caught up within join_ms: remove it;
 *  - all members know a newer format: put it in force (store/format.h).
 * Two voters are never made one: a lone voter would acknowledge what exists once.
 *
 * A witness votes and keeps the log's tail, but no state; it hands leadership on as soon as it gets it.
 *
 * Failures: a step that fails is tried again in the next round; an operation ends with the errors below, nothing half
 * done but what members_list shows. Thread: the state loop's. */
#ifndef PINTLE_STORE_MEMBERS_H
#define PINTLE_STORE_MEMBERS_H

#include "store/replica.h"

enum {
    MEMBERS_ROUND_MS = 500,
    MEMBERS_VOTERS_MAX = 5,
    MEMBERS_REPLACE_MS = 60 * 1000,
    MEMBERS_JOIN_MS = 10 * 60 * 1000,
    MEMBERS_LAG_MAX = 1000, /* entries behind the commit index with which a standby counts as keeping up */
    MEMBERS_INFO_MAX = RAFT_INFO_MAX,
};

struct members;

struct members_options {
    struct replica *replica;
    const char *api;     /* where our API is reached; may be NULL (a witness has none); copied */
    bool witness;        /* as said in raft_options.info (members_info) */
    unsigned voters_max; /* 0 = MEMBERS_VOTERS_MAX; odd */
    uint64_t replace_ms; /* 0 = MEMBERS_REPLACE_MS */
    uint64_t join_ms;    /* 0 = MEMBERS_JOIN_MS */
    /* What is known before the replicated records are: the API addresses of the first members, or of those that a
     * joining replica was told. Copied. */
    const struct raft_member *hints; /* address = the API's */
    size_t n_hints;
};

/* One member as this replica knows it. */
struct member_view {
    uint64_t id;
    enum raft_member_role role;
    bool witness, leader, self;
    bool pinned;    /* an operator demoted it: it is not promoted by itself */
    bool connected; /* as seen by this replica */
    char peer[RAFT_ADDR_MAX];
    char api[RAFT_ADDR_MAX];      /* "" = not known, or a witness */
    unsigned format;              /* newest format it knows; 0 = not told */
    bool has_match;               /* the next two are known: on the leader only */
    uint64_t match_index, behind; /* entries on its disk; entries it lacks of what is committed */
};

/* Fills out (≤ RAFT_INFO_MAX bytes) with what raft_options.info should say. */
struct slice members_info(char out[MEMBERS_INFO_MAX], const char *api, bool witness);

/* Borrows the replica. Starts working at once (before replica_start is fine). */
struct members *members_new(struct loop *l, const struct members_options *o);
/* NULL is fine. Before replica_free; operations that wait for the replica end then, all others now, with -ESHUTDOWN. */
void members_free(struct members *m);

/* All members, by id. The number, at most RAFT_MEMBERS_MAX. */
size_t members_list(struct members *m, struct member_view out[RAFT_MEMBERS_MAX]);
/* Where member id's API is reached, or NULL. Valid until control returns to the loop. */
const char *members_api_address(struct members *m, uint64_t id);
/* Changes whenever what members_list says of ids, roles or addresses may have changed. */
uint64_t members_version(const struct members *m);

/* ---- operations, on the leader ---- */

enum members_op_kind {
    MEMBERS_ADD,      /* peer, api, witness: a new member with a new id (ret_id), to begin with a spare */
    MEMBERS_REMOVE,   /* id */
    MEMBERS_PROMOTE,  /* id: a voter, and free to be one; must keep up */
    MEMBERS_DEMOTE,   /* id: a standby, until promoted again */
    MEMBERS_TRANSFER, /* id, or 0 = the most advanced voter: leads */
    MEMBERS_REPLACE, /* id: a standby that keeps up gets its seat, where the number of voters asks for it; it is removed */
};

struct members_op {
    struct list link; /* the members' */
    enum members_op_kind kind;
    uint64_t id;
    const char *peer, *api; /* ADD; valid until done */
    bool witness;           /* ADD */
    uint64_t ret_id;        /* ADD: the new member's */
    char why[200];          /* for people, when err is set */
    /* 0, or -EAGAIN (not the leader, or leadership is being handed over so that it can be done: ask again), -ENOENT,
     * -EEXIST (the address is taken), -EBUSY (another change is under way), -EXDEV (too few healthy voters would be
     * left), -E2BIG, -ETIMEDOUT (it may still take effect), -ESHUTDOWN. Exactly once, never inside the call. */
    void (*done)(struct members_op *op, int err);
    /* private */
    struct raft_proposal proposal;
    struct replica_txn txn;
    struct members *members;
    int step;
    bool waiting, cancelled;
    uint64_t deadline_ms;
};

/* op is the caller's and lives until done. To remove, demote or replace the leader, it first hands leadership over and
 * ends with -EAGAIN: the next leader can do it. */
void members_start(struct members *m, struct members_op *op);
/* Forgets the op, which must be an allocation of its own (mem_new), without done; it may still take effect. The op is the
 * members' from now on. */
void members_cancel(struct members_op *op);

/* Whether this id was a member's once, by what the state says of ids that were given away. */
bool members_was_removed(struct store *s, uint64_t id);

#endif

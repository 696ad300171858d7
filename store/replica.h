/* One replica of the store: the state machine of store.h behind a Raft node. What the API server builds on.
 *
 * Writes: replica_txn on the leader; done runs after the transaction was applied here (or is known to have failed).
 * Reads: replica_barrier makes sure that the local state holds every write acknowledged before; then read through
 * store.h.
 * The leader compacts the event window and removes what expired; every replica stays within the same limits. It also
 * has
 * the state checked (store_check_encode): each replica takes its digest at the same entry of the log and shows it to
 * the
 * others (raft/verify.h); one that differs from the majority, or finds its own memory damaged, serves nothing any more
 * (replica_fenced) until it has a sound state from another one.
 *
 * Listeners hear of leadership (is_leader only once reads and writes may start). Thread: the state loop's. */
#ifndef PINTLE_STORE_REPLICA_H
#define PINTLE_STORE_REPLICA_H

#include "raft/node.h"
#include "store/ship.h"
#include "store/store.h"

enum {
    REPLICA_WINDOW_EVENTS = 100000, /* events kept for watchers, exact lists and history */
    REPLICA_WINDOW_BYTES = 256 << 20,
    REPLICA_NOISY_SHARE = 8, /* leases and events get at most this part of the window, each */
    REPLICA_HOUSEKEEPING_MS = 1000,
    REPLICA_CHECK_MS = 5000, /* between checks of the state, when it changed or is not read through yet */
    REPLICA_CHECK_IDLE = 12, /* times that long between them when nothing changes */
    REPLICA_FREE_MS = 5,     /* between pieces of a frozen state that is freed */
    REPLICA_FREE_PIECE = 1000,
};

struct replica;

struct replica_options {
    struct raft_options raft;
    size_t window_events;       /* 0 = REPLICA_WINDOW_EVENTS, or in proportion to window_bytes */
    size_t window_bytes;        /* 0 = REPLICA_WINDOW_BYTES */
    uint64_t window_age_ms;     /* events older than that are dropped too; 0 = never */
    struct ship_options backup; /* dir NULL: none; the id is raft's */
    uint64_t check_ms;          /* 0 = REPLICA_CHECK_MS */
    /* The replica cannot go on; stop the process. */
    void (*failed)(void *ctx, int err, const char *reason);
    void *ctx;
};

struct replica_txn {
    struct raft_proposal proposal; /* the replica's */
    struct store_result result;    /* valid in done when err is 0 */
    /* err: 0 = applied or refused by a compare (see result.err); -EAGAIN = not the leader or not appended, safe to
     * repeat elsewhere; -ETIMEDOUT = unknown; -EBUSY, -ENOSPC, -E2BIG, -ESHUTDOWN. */
    void (*done)(struct replica_txn *t, int err);
};

struct replica_listener {
    struct list link;
    void (*role)(struct replica_listener *l, bool is_leader, uint64_t term, uint64_t leader_id);
    /* From now on the state here may not be shown to anybody, or may again. May be NULL. */
    void (*fenced)(struct replica_listener *l, bool fenced);
};

/* As raft_node_open and raft_node_start. */
int replica_open(struct loop *l, const struct replica_options *o, struct replica **ret, char why[256]);
int replica_start(struct replica *r);
void replica_free(struct replica *r);

struct store *replica_store(struct replica *r);
struct raft_node *replica_raft(struct replica *r);
bool replica_is_leader(const struct replica *r);
/* Member id of the leader, 0 when unknown. */
uint64_t replica_leader(const struct replica *r);
/* NULL, or why the state here may not be shown to anybody at present. */
const char *replica_fenced(const struct replica *r);
/* Wall clock in ms, never below the state's time. */
uint64_t replica_time_ms(const struct replica *r);
/* Encodes and proposes; t->done must be set, t lives until then. */
void replica_txn(struct replica *r, const struct store_txn *txn, struct replica_txn *t);
/* See raft_node_read. */
void replica_barrier(struct replica *r, struct raft_read *read);
void replica_barrier_cancel(struct replica *r, struct raft_read *read);
/* Takes over a frozen state that nobody needs any more, and frees it piece by piece, for it may be large. */
void replica_free_frozen(struct replica *r, struct store_frozen *f);
/* Hears of every change of role from now on; call with the current role is not made. */
void replica_listen(struct replica *r, struct replica_listener *l);

#endif

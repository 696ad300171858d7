/* A replica's insides, shared by the files of raft/ that make it up:
 *   open.c     recovery from disk
 *   node.c     starting, closing, status, leadership transfer
 *   step.c     libraft's core: events in, updates out; messages to and from peers
 *   turn.c     the end of a turn: submit, write the log, apply, tell the role
 *   members.c  membership and greetings
 *   read.c     linearizable reads
 *   compact.c  taking snapshots
 *   testify.c  telling peers of our data directory, and judging theirs
 *   send.c     streaming a snapshot to a peer
 *   receive.c  streaming one from a peer, and installing it
 *   verify.c   comparing the state with the peers'
 *   resync.c   a replica whose state is wrong gets a sound one
 *
 * Order within a turn: frames, finished work and timers call node_step as they come; the hook (turn.c) then does once
 * what many of them asked for. */
#ifndef PINTLE_RAFT_NODE_IMPL_H
#define PINTLE_RAFT_NODE_IMPL_H

#include <raft.h>

#include "raft/entries.h"
#include "raft/health.h"
#include "raft/log.h"
#include "raft/meta.h"
#include "raft/node.h"
#include "raft/snapshot.h"
#include "raft/testimony.h"
#include "raft/transport.h"

enum {
    NODE_SUBMIT_ENTRIES = 4096,     /* entries of one submit */
    NODE_SUBMIT_BYTES = 4 << 20,    /* bytes of one submit, but at least one entry */
    NODE_APPLY_BATCH = 4096,        /* entries applied in one turn */
    NODE_INFLIGHT = 4096,           /* guard G6 */
    NODE_TRANSFER_LAG = 16384,      /* entries the next leader may lack for proposals to be held back for it */
    NODE_DROP_ELECTIONS = 4,        /* election timeouts that proposals wait for the next leader to commit them */
    NODE_CAPACITY = 60000,          /* guard G7: MiB of disk we tell the core we have */
    NODE_BACKLOG_MAX = 96 << 20,    /* bytes waiting for the disk beyond which a follower drops appends */
    NODE_SNAPSHOT_BYTES = 64 << 20, /* of log since the last snapshot: take one, whatever the count */
    NODE_TRAILING_BYTES = 16 << 20, /* of log kept behind a snapshot for followers that lag a little */
    NODE_WITNESS_BYTES = 4 << 20,   /* both, of a witness */
    NODE_SNAPSHOT_RETRY_MS = 10000,
    NODE_SPACE_RETRY_MS = 1000,
    NODE_TIME_OFFSET_MS = 3600000, /* keeps the core's time far from zero */
};

/* Work of the node on a pool thread. done always runs: after run, or when the host of a simulated loop died. It
 * looks at n->closing first: then it only frees. */
struct node_work {
    struct loop_work w;
    struct list link; /* in n->works */
    struct raft_node *n;
    void (*run)(struct node_work *w);
    void (*done)(struct node_work *w);
};

struct writing {
    struct node_work w;
    struct wal_op op;
    struct wal *wal;
    bool busy;
    uint64_t last;          /* newest entry in op */
    uint64_t valid;         /* newest entry that no later write replaces */
    uint64_t install_index; /* a received snapshot to put in place first; 0 = none */
    uint64_t started;       /* loop_now */
    size_t n_lent;          /* spares lent */
    int err;
};

struct preparing {
    struct node_work w;
    bool busy;
    struct wal_options o;
    char name[WAL_NAME_MAX];
    int err;
};

struct testifying {
    struct node_work w;
    bool busy;
    struct testimony copy;
    int err;
};

struct node_metrics {
    struct metric *is_leader, *term, *commit, *applied, *pending, *fsync, *syncs, *entries_synced;
    struct metric *etcd_fsync, *etcd_is_leader, *etcd_has_leader; /* under the names that dashboards know */
    struct metric *stalls, *sync_recent, *handovers, *disk_full, *refused;
};

struct snapshot_send;
struct snapshot_receive;
struct snapshot_take;

struct raft_node {
    struct loop *l;
    struct raft_options o;
    char dir[256];
    char address[RAFT_ADDR_MAX];
    char info[RAFT_INFO_MAX];
    struct raft_member members[RAFT_MEMBERS_MAX]; /* of the newest configuration; before there is one, of the options */
    size_t n_members;
    uint64_t members_version;
    unsigned required_format;
    struct raft_proposal *change; /* a step of membership to be submitted */
    struct raft_machine machine;
    void *ctx;
    struct raft core;
    bool core_open, started, closing, failed;
    struct file *lock;
    struct meta meta;
    struct list works; /* of node_work, under way */

    /* the log */
    struct entries log;
    struct wal *wal;
    struct wal_options wal_options;
    struct wal_spares spares;
    struct wal_op pending; /* what the next write takes */
    uint64_t pending_last;
    uint64_t pending_install;
    uint64_t stored; /* on disk and not replaced since */
    struct writing writing;
    struct preparing preparing;
    struct loop_timer space_timer;
    bool no_space;
    struct health health;
    uint64_t wal_bytes;

    struct testimony testimony;
    struct testifying testifying;
    struct transport *transport;
    struct loop_timer timer;      /* the core's */
    struct loop_timer wake;       /* makes a turn happen */
    struct loop_timer drop_timer; /* ends proposals whose fate stays unknown */
    struct loop_hook hook;
    struct blob *receiving; /* what the entries of the event being stepped lie in */
    bool submitting;        /* the event being stepped is ours */

    /* proposals: queued → appended (in the order of index) → done */
    struct list queued, appended, failed_proposals;
    size_t proposal_bytes; /* of queued and appended */

    uint64_t applied;
    uint64_t own_index; /* as leader: our first entry of this term; 0 = to be submitted */
    bool told_leader;   /* what role() said last */
    uint64_t told_term, told_leader_id;

    /* reads */
    struct list reads_waiting;   /* for a round to begin; index holds the deadline (ms) */
    struct list reads_probing;   /* for the round under way; likewise */
    struct list reads_confirmed; /* for applied to reach index */
    struct list reads_remote;    /* followers' requests waiting, struct remote_read */
    struct list reads_remote_probing;
    uint64_t read_seq; /* of the newest round */
    bool read_round;   /* one is under way */
    uint64_t read_term, read_index, read_sent;
    uint64_t read_acks; /* bit i: members[i] said yes */
    bool read_asked;    /* as follower: a request to the leader is under way */
    uint64_t read_asked_of;

    /* snapshots */
    uint64_t snap_index, snap_term;
    size_t snap_bytes_mark;              /* bytes appended since the last one */
    size_t snap_bytes_max, trailing_max; /* NODE_SNAPSHOT_BYTES, NODE_TRAILING_BYTES, or a witness's */
    struct snap_info snap_info;          /* as recovered; for the core's start */
    struct snapshot_take *taking;
    struct loop_timer snapshot_timer;
    bool snapshot_held; /* a failure: wait for the timer */
    struct list sends;
    struct snapshot_receive *receive;
    bool installing;
    bool snapshot_asked; /* a peer needs one that is newer than ours */

    struct verify *verify;
    struct resync *resync; /* NULL: our state is sound as far as we know */
    struct metric *m_fenced, *m_disagree;

    /* leadership transfer */
    void (*transfer_done)(void *ctx, int err);
    void *transfer_ctx;
    uint64_t transfer_to; /* 0 = the most advanced */
    struct loop_timer transfer_timer;

    struct node_metrics metrics;
};

static inline uint64_t node_ms(const struct raft_node *n)
{
    return loop_now(n->l) / 1000000 + NODE_TIME_OFFSET_MS;
}

/* open.c */
void node_destroy(struct raft_node *n);

/* node.c */
void node_init(struct raft_node *n);
void node_work_queue(struct raft_node *n, unsigned lane, struct node_work *w);
/* Guard G10: the replica stops; the owner is told once. */
void node_fail(struct raft_node *n, int err, const char *reason);
/* Makes another turn happen soon. */
void node_wake(struct raft_node *n);
void node_check_transfer(struct raft_node *n);
/* We lead, and take nothing new as another is about to. */
bool node_hands_over(struct raft_node *n);
void node_hand_on(struct raft_node *n);

/* members.c */
const struct raft_member *node_member(const struct raft_node *n, uint64_t id);
/* Takes over the newest configuration; at the end of a turn. */
void node_follow_members(struct raft_node *n);
void node_submit_change(struct raft_node *n);
enum refusal node_on_greeting(void *ctx, uint64_t from, const struct message *m);
enum refusal node_on_stranger(void *ctx, uint64_t id);

/* step.c */
int node_step(struct raft_node *n, struct raft_event *e);
bool node_on_frame(void *ctx, uint64_t from, const struct frame *f);
/* As a follower: no leader is known from now on. */
void node_forget_leader(struct raft_node *n);
void node_on_lost(void *ctx, uint64_t from);
void node_send_message(struct raft_node *n, uint64_t to, const struct message *m);

/* turn.c */
/* One SUBMIT of entries whose batches are blobs. 0 or a negative errno. */
int node_submit(struct raft_node *n, struct raft_entry *entries, unsigned count);
void node_turn(struct loop_hook *h);
void node_on_core_timer(struct loop_timer *t);
/* The replica leads no more: proposals end, those that were appended when the next leader says what became of them. */
void node_drop_proposals(struct raft_node *n);
/* We lead again: see there. */
void node_drop_leftovers(struct raft_node *n);
void node_fail_proposal(struct raft_node *n, struct raft_proposal *p, int err);
void node_finish_failed(struct raft_node *n);
void node_prepare_segments(struct raft_node *n);
/* Whether the log can take that many more bytes, be the disk full or not. */
bool node_has_room(const struct raft_node *n, size_t bytes);

/* testify.c */
void node_fill_greeting(void *ctx, struct message *m);
/* What a peer's PING says of its data directory. */
enum refusal node_judge(struct raft_node *n, uint64_t from, const struct message *m);
/* A peer found ours outdated: the end. */
void node_outdated(struct raft_node *n, uint64_t by);
void node_testify_turn(struct raft_node *n);

/* read.c */
void node_reads_init(struct raft_node *n);
void node_reads_turn(struct raft_node *n);
void node_reads_reset(struct raft_node *n);
void node_reads_close(struct raft_node *n);
bool node_on_read_frame(struct raft_node *n, uint64_t from, const struct message *m);

/* compact.c */
void node_snapshot_turn(struct raft_node *n);
void node_snapshot_cancel(struct raft_node *n);

/* send.c */
void node_send_snapshot(struct raft_node *n, uint64_t to);
void node_sends_close(struct raft_node *n);

/* Tells the core of a snapshot of ours that is in place, and lets go of the log behind it. */
void node_snapshot_taken(struct raft_node *n, const struct snap_info *info);

/* verify.c */
void node_on_digest(struct raft_node *n, uint64_t from, const struct message *m);
/* Whether the state of member id was, at its newest check, what a majority has. */
bool node_verify_vouched(const struct raft_node *n, uint64_t id);
/* What was compared so far is void: the state was replaced. */
void node_verify_reset(struct raft_node *n);
void node_verify_free(struct raft_node *n);

/* resync.c */
/* The state here is wrong: nobody may see it until it was replaced. */
void node_fence(struct raft_node *n, const char *why);
/* Whether the directory says that the replica was fenced when it stopped; in the opening. */
void node_resync_recover(struct raft_node *n);
/* Part of each turn while fenced. */
void node_resync_turn(struct raft_node *n);
void node_on_resync(struct raft_node *n, uint64_t from, const struct message *m);
/* Whether a snapshot at index, offered by a peer, is one we want; and: it is in incoming.tmp, whole and checked. */
bool node_resync_wants(const struct raft_node *n, uint64_t index);
/* Such a one is there: no other may be written over it. */
bool node_resync_holds(const struct raft_node *n);
bool node_resync_take(struct raft_node *n, const struct snap_info *info);
/* The core installed a snapshot of the leader's: the state is a new one. */
void node_resync_installed(struct raft_node *n);
void node_resync_free(struct raft_node *n);

/* receive.c */
void node_on_snapshot(void *ctx, uint64_t from, struct conn *c, struct slice rest);
void node_receive_close(struct raft_node *n);
/* The log lane has put the snapshot at index in place. */
void node_installed(struct raft_node *n, uint64_t index);

#endif

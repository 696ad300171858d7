/* A Raft replica: libraft's I/O-free core (raft_step) with our own log, transport and snapshots.
 *
 * Happy path: raft_node_open recovers term, vote, log and the newest snapshot from the data directory;
 * raft_node_start joins the others. A command proposed on the leader is appended to the log, written and synced
 * together with all others of the same loop turn, sent to the followers, and once a majority holds it on disk it is
 * applied on every replica in the same order (Raft §5.3, §5.4). The proposer hears of it after it was applied here.
 *
 * Failures: a write or sync error of the log stops the replica at once (guard G10; Raft needs what it promised to be
 * on disk); a proposal whose fate is unknown ends with -EAGAIN (not appended: safe to repeat) or -ETIMEDOUT (appended,
 * leadership lost: it may still be committed). A full disk refuses proposals with -ENOSPC while the log itself lives
 * on reserved space.
 *
 * Ownership: the caller owns the state machine behind the callbacks, struct raft_proposal and struct raft_read; each
 * is handed back exactly once through its done. Thread: the loop's. Snapshots are written on a pool thread from a
 * frozen view of the state. The guards G1 to G12 that libraft's core needs are named where they are kept. */
#ifndef PINTLE_RAFT_NODE_H
#define PINTLE_RAFT_NODE_H

#include "base/metrics.h"
#include "loop/loop.h"

enum { RAFT_MEMBERS_MAX = 16, RAFT_ADDR_MAX = 128, RAFT_INFO_MAX = 256, RAFT_COMMAND_MAX = 8 << 20 };
enum { RAFT_FIRST_CLUSTER = 1 }; /* the cluster id of what was never restored from a backup */

/* What a member is for. Voters decide; standbys get the log and may become voters; spares are known, and get nothing. */
enum raft_member_role { MEMBER_VOTER, MEMBER_STANDBY, MEMBER_SPARE };

struct raft_member {
    uint64_t id;                 /* > 0, never reused */
    char address[RAFT_ADDR_MAX]; /* where its peer transport listens, as loop_connect takes it */
    enum raft_member_role role;
};

/* Writes a snapshot's bytes; err sticks, as in struct buf. */
struct raft_sink {
    int (*write)(struct raft_sink *sink, const void *p, size_t n); /* 0 or negative errno */
};
/* Reads a snapshot's bytes: exactly n, 0; at the end -ENODATA; on damage -EBADMSG. */
struct raft_source {
    int (*read)(struct raft_source *source, void *p, size_t n);
};

struct raft_proposal;

/* The state machine. All run on the loop's thread but snapshot_write. */
struct raft_machine {
    /* Applies one committed command, in log order, deterministically. proposal is the local proposal that this is,
     * or NULL; the machine may leave its result there before done is called. */
    void (*apply)(void *ctx, uint64_t index, struct slice command, struct raft_proposal *proposal);
    /* All that was applied in this turn is in; called once after the last apply of a batch. May be NULL. */
    void (*applied)(void *ctx, uint64_t index);
    /* Freezes the state as it is now, in O(1). */
    void *(*snapshot_take)(void *ctx);
    /* Writes a frozen state. On a pool thread: touches nothing else. 0 or negative errno. */
    int (*snapshot_write)(void *frozen, struct raft_sink *sink);
    void (*snapshot_free)(void *ctx, void *frozen);
    /* Replaces the whole state by what source holds, taken at index. 0 or negative errno (the replica stops). */
    int (*restore)(void *ctx, uint64_t index, struct raft_source *source);
    /* Leadership or the known leader changed. leader_id 0 = none known. is_leader is true only once an entry of this
     * term was committed, so that reads and writes may start. */
    void (*role)(void *ctx, bool is_leader, uint64_t term, uint64_t leader_id);
    /* Whether this id was a member once and was removed (ids are never reused). May be NULL: never. */
    bool (*removed)(void *ctx, uint64_t id);
    /* The state here was found wrong and may not be shown any more; or is sound again. May be NULL. */
    void (*fenced)(void *ctx, bool fenced);
    /* The replica cannot go on (disk error, damaged log); reason is for people. The owner stops the process. */
    void (*failed)(void *ctx, int err, const char *reason);
};

/* Makes and wraps the transport's connections; NULL members give plain streams (simulation). */
struct raft_security {
    /* Turns a connected stream into a mutually authenticated one and checks that the peer's certificate belongs to
     * member id (client side: the one dialled). Calls done exactly once with a stream-like conn. See raft/transport.h.
     */
    void *tls; /* struct tls_context of net/tls.h, or NULL */
};

struct raft_options {
    const char *dir; /* data directory, made when absent */
    uint64_t id;     /* our own member id */
    /* Refused when it differs from the one on disk or of a peer. 0: as on disk, RAFT_FIRST_CLUSTER when there is none. */
    uint64_t cluster_id;
    /* On an empty directory: the initial membership, the same on all its members; or, to join, whom to listen to until
     * the leader has sent the membership. A directory that knows its membership does not look here. */
    const struct raft_member *members;
    size_t n_members;
    bool join; /* on an empty directory: we are to be added by the members, not one of the first */
    /* A witness: votes and keeps the log, but no state. It applies nothing (apply, snapshot_* and restore are not called),
     * keeps little of the log, and hands leadership on as soon as it gets it: role never says that it leads. */
    bool stateless;
    const char *listen;  /* address of the peer transport */
    const char *address; /* how others reach it; NULL: as members say */
    struct slice info;   /* ≤ RAFT_INFO_MAX bytes that the others may want to know; they see it in their status */
    uint8_t format;      /* newest format we know (store/format.h); 0 = 1 */
    struct raft_security security;
    uint32_t election_ms;    /* 0 = 250 */
    uint32_t heartbeat_ms;   /* 0 = 25 */
    uint64_t snapshot_every; /* entries between snapshots; 0 = 100,000 */
    uint64_t segment_bytes;  /* log segment size; 0 = 16 MiB */
    size_t queue_max;        /* bytes of proposals not yet committed; 0 = 64 MiB: beyond it -EBUSY */
    struct metrics *metrics; /* may be NULL */
};

struct raft_node;

struct raft_proposal {
    struct list link;     /* the node's */
    struct blob *command; /* the node's reference while pending */
    uint64_t index;       /* once appended */
    uint64_t term;
    bool use_reserve; /* a delete or a compaction: taken on a full disk too, while the reserve lasts */
    /* 0: applied here. Negative: -EAGAIN, -ETIMEDOUT, -EBUSY, -ENOSPC, -E2BIG, -ESHUTDOWN as told above. */
    void (*done)(struct raft_proposal *p, int err);
};

struct raft_read {
    struct list link;
    uint64_t index;
    /* 0: the local state holds every write acknowledged before the read began; serve now. -EAGAIN: no leader could
     * confirm it in time, -ESHUTDOWN. */
    void (*done)(struct raft_read *r, int err);
};

enum raft_change_kind { RAFT_CHANGE_ADD, RAFT_CHANGE_ROLE, RAFT_CHANGE_ADDRESS, RAFT_CHANGE_REMOVE };

/* One step of membership (Raft §4.1: one server at a time). */
struct raft_change_request {
    enum raft_change_kind kind;
    struct raft_member member; /* id; ADD: all; ROLE: role; ADDRESS: address */
};

struct raft_status {
    bool is_leader;
    uint64_t cluster_id, id, leader_id, term, commit_index, applied_index, last_index, snapshot_index;
    uint64_t wal_bytes;
    size_t n_members;
    struct {
        struct raft_member member;
        uint64_t match_index;        /* as leader: what it is known to have on disk */
        bool connected;              /* we can send to it */
        bool stateless;              /* it said so on the present connections */
        unsigned format;             /* newest it knows; 0 = not told */
        char address[RAFT_ADDR_MAX]; /* as it told itself; "" = not told */
        char info[RAFT_INFO_MAX];
        size_t info_n;
    } members[RAFT_MEMBERS_MAX];
    bool changing; /* a step of membership is not committed yet */
};

/* Recovers from disk: calls machine->restore when there is a snapshot. Blocking; before the loop runs. 0, or
 * -EBADMSG (corruption, told from a torn tail), -EINVAL (another id or cluster in the directory), -EWOULDBLOCK (the
 * directory is in use), I/O errors; *why then says what and what to do (caller's buffer of 256 bytes). */
int raft_node_open(struct loop *l, const struct raft_options *o, const struct raft_machine *m, void *ctx,
                   struct raft_node **ret, char why[256]);
/* Starts listening, connecting and electing. */
int raft_node_start(struct raft_node *n);
/* Takes over one reference of command. p->done must be set. Only the leader appends: elsewhere -EAGAIN. */
void raft_node_propose(struct raft_node *n, struct blob *command, struct raft_proposal *p);
/* On any replica. One probe serves all waiting reads. */
void raft_node_read(struct raft_node *n, struct raft_read *r);
/* Takes a read or proposal back before its done (the proposal may still be committed). */
void raft_node_read_cancel(struct raft_node *n, struct raft_read *r);
bool raft_node_is_leader(const struct raft_node *n);
/* 0 when none is known. */
uint64_t raft_node_leader(const struct raft_node *n);
uint64_t raft_node_applied(const struct raft_node *n);
void raft_node_status(const struct raft_node *n, struct raft_status *ret);
/* The newest entry known here to be committed. */
uint64_t raft_node_commit_index(const struct raft_node *n);
/* Changes membership by one step; only on the leader, one at a time. p as in raft_node_propose, with these errors before
 * anything is done: -EAGAIN (not the leader), -EBUSY (another change is under way), -EEXIST, -ENOENT, -EINVAL (an
 * address that is taken), -E2BIG (RAFT_MEMBERS_MAX), -EPERM (the leader may not demote or remove itself: transfer
 * first),
 * -EXDEV (too few healthy voters would be left for a majority). */
void raft_node_change(struct raft_node *n, const struct raft_change_request *q, struct raft_proposal *p);
/* Changes whenever the membership in force does. */
uint64_t raft_node_members_version(const struct raft_node *n);
/* The newest format that every member, ourselves included, is known to know; 0 while one has not said. */
unsigned raft_node_common_format(const struct raft_node *n);
/* From now on replicas that do not know this format are neither heard nor sent anything. */
void raft_node_require_format(struct raft_node *n, unsigned format);
/* Hands leadership to the voter `to`, or to the most advanced one when to is 0; done(ctx, 0) once somebody else leads, -EAGAIN after timeout_ms. */
void raft_node_transfer(struct raft_node *n, uint64_t to, uint32_t timeout_ms, void (*done)(void *ctx, int err),
                        void *ctx);
/* Called by the machine's apply: what the state is at index, in one number that is the same on all replicas; damaged: the
 * machine found by itself that its state is not what it was. See raft/verify.c. */
void raft_node_digest(struct raft_node *n, uint64_t index, uint64_t digest, bool damaged);
/* NULL, or why the state here may not be shown to anybody at present (raft/resync.c). */
const char *raft_node_fenced(const struct raft_node *n);
/* Stops and frees; pending dones get -ESHUTDOWN. Not from inside a callback of the node. A snapshot that is being
 * written is told to give up; its snapshot_free runs when the pool thread is done with it, at the latest in loop_free,
 * so ctx must live as long as the loop. */
void raft_node_free(struct raft_node *n);

#endif

/* What replicas say to each other: frames of a fixed head and a payload, all numbers little-endian.
 *
 *   head: payload length 4, type 1, version of libraft's message 1, zero 2
 *
 * The head is checked before anything is allocated for the payload (guard G9): a length above the type's limit ends
 * the connection. Pure encoding, no I/O. */
#ifndef PINTLE_RAFT_FRAME_H
#define PINTLE_RAFT_FRAME_H

#include "base/blob.h"
#include "raft/node.h"

enum frame_type {
    FRAME_HELLO = 1, /* first on every connection */
    FRAME_PING, /* dialler to listener, at once after hello and then regularly: also says who we are (struct message) */
    FRAME_PONG, /* the answer, on the same connection: also says whether the listener refuses the dialler */
    FRAME_APPEND,
    FRAME_APPEND_RESULT,
    FRAME_VOTE,
    FRAME_VOTE_RESULT,
    FRAME_TIMEOUT_NOW,
    FRAME_PROBE,        /* leader to voters: is this still your term? */
    FRAME_PROBE_RESULT, /* only sent for yes */
    FRAME_READ,         /* follower to leader: an index to read at, please */
    FRAME_READ_RESULT,
    FRAME_SNAP_HEAD, /* on a snapshot connection: what comes */
    FRAME_SNAP_DATA, /* bytes of the file */
    FRAME_SNAP_END,
    FRAME_INFO,   /* since format 2: where the dialler can be reached, and what its owner wants known */
    FRAME_DIGEST, /* since format 2: index, seq = the digest of the state there; granted: an answer to one */
    FRAME_RESYNC, /* since format 2: a snapshot at index or later, please: our state is wrong */
    FRAME_TYPES,
};

enum {
    FRAME_HEAD = 8,
    FRAME_VERSION = 1,            /* of this protocol, in hello */
    FRAME_SNAP_MAX = 256 << 10,   /* payload of SNAP_DATA */
    FRAME_APPEND_BYTES = 1 << 20, /* entries' data that one APPEND carries, but at least one entry */
    FRAME_APPEND_ENTRIES = 4096,  /* entries that one APPEND carries */
    FRAME_APPEND_FIXED = 40,
    FRAME_ENTRY_FIXED = 16,
    FRAME_APPEND_MAX =
        FRAME_APPEND_FIXED + FRAME_APPEND_ENTRIES * FRAME_ENTRY_FIXED + FRAME_APPEND_BYTES + RAFT_COMMAND_MAX,
};

enum hello_kind { HELLO_LOG = 1, HELLO_SNAPSHOT = 2 };

struct hello {
    enum hello_kind kind;
    uint64_t cluster_id, from, to;
};

struct frame {
    enum frame_type type;
    uint8_t version;
    struct slice payload;
};

/* Small messages, in one form; each type uses some of the fields. */
struct message {
    enum frame_type type;
    uint8_t version;
    uint64_t term, index, index_term; /* APPEND_RESULT: term, last index; rejected */
    uint64_t id;                      /* candidate */
    uint64_t seq;                     /* PROBE, READ: which one */
    uint64_t rejected;
    uint16_t features, capacity;
    bool granted, pre_vote, disrupt;
    /* PING and PONG, since format 2; replicas of format 1 send zeros and ignore them. */
    uint8_t format;       /* newest format the sender knows; 0 = 1 */
    bool stateless;       /* keeps the log only (raft_options) */
    uint8_t refusal;      /* PONG: enum refusal */
    uint64_t incarnation; /* how often the sender's data directory was opened; 0 = not told */
    /* and of the data directory, for testimony.h: term and index (its last entry), and the marks of its newest starts, the
     * present one first: seq, id, rejected, index_term (frame_put_runs) */
};

enum { FRAME_RUNS = 4 };

/* The marks in a greeting, in the order newest first. */
static inline void frame_put_runs(struct message *m, const uint64_t runs[FRAME_RUNS])
{
    m->seq = runs[0];
    m->id = runs[1];
    m->rejected = runs[2];
    m->index_term = runs[3];
}
static inline void frame_get_runs(const struct message *m, uint64_t ret[FRAME_RUNS])
{
    ret[0] = m->seq;
    ret[1] = m->id;
    ret[2] = m->rejected;
    ret[3] = m->index_term;
}

/* Why a listener will not hear a dialler. */
enum refusal {
    REFUSAL_NONE,
    REFUSAL_OUTDATED, /* its data directory is older than what it told us before, or another one */
    REFUSAL_REMOVED,  /* it is no member any more */
    REFUSAL_FORMAT,   /* it does not know the format in force */
    REFUSAL_STRANGER, /* it is no member we know of, and not welcome as a guest: perhaps later */
};

struct append {
    uint8_t version;
    uint64_t term, prev_index, prev_term, commit;
    uint32_t n;
};

struct append_entry {
    uint64_t term;
    uint16_t type;
    struct slice data; /* in the payload */
};

/* The payload's limit for a type, 0 for unknown types. */
size_t frame_limit(unsigned type);
/* Looks at the start of s: 1 and *ret when a whole frame is there (*ret_n: its size), 0 when more bytes are needed,
 * -EPROTO when this can be no frame. */
int frame_parse(struct slice s, struct frame *ret, size_t *ret_n);

/* One blob with a whole frame, or NULL. */
struct blob *frame_hello(const struct hello *h);
struct blob *frame_message(const struct message *m);
/* The head of a SNAP_DATA frame for n bytes that follow. */
void frame_data_head(char out[FRAME_HEAD], size_t n);

/* INFO: the sender's peer address (< RAFT_ADDR_MAX bytes) and info (≤ RAFT_INFO_MAX bytes). */
struct blob *frame_info(struct slice address, struct slice info);

/* 0 or -EPROTO. */
int frame_read_info(struct slice payload, struct slice *ret_address, struct slice *ret_info);
int frame_read_hello(struct slice payload, struct hello *ret);
int frame_read_message(const struct frame *f, struct message *ret);

/* An APPEND frame is built in one blob: frame_append_new, frame_append_add for each entry in order. */
struct blob *frame_append_new(const struct append *a, size_t data_bytes);
void frame_append_add(struct blob *b, uint32_t i, size_t *at, uint64_t term, uint16_t type, struct slice data);
/* Where the first entry's data goes. */
size_t frame_append_data_at(uint32_t n);
/* Reads the fixed part and checks that all entries lie within the payload. 0 or -EPROTO. */
int frame_read_append(const struct frame *f, struct append *ret);
/* Entry i; *at is where its data starts (frame_append_data_at - FRAME_HEAD for the first) and moves on. */
void frame_append_entry(struct slice payload, uint32_t i, size_t *at, struct append_entry *ret);

#endif

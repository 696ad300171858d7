/* Is our disk slower than those of the others, and has it space? A leader whose disk is not good for writes keeps memory
 * full of what waits for it, cannot be part of a majority, and with a full disk refuses what others could take: it
 * hands
 * leadership over.
 *
 * What counts as trouble: a write of the log under way for longer than HEALTH_STALL elections, or HEALTH_BEHIND writes
 * in a row that took HEALTH_SLOW_MS on average, while the others had committed the same entries before; no space for
 * new
 * entries. That the others must have been faster means that a cluster all of whose disks are slow, or whose machines
 * are
 * just busy, stays as it is. So that disks full everywhere do not send leadership round, a new leader waits
 * HEALTH_HOLD_MS, and twice as long after each handover of its own, up to HEALTH_HOLD_MAX_MS; an hour without one
 * forgives. */
#ifndef PINTLE_RAFT_HEALTH_H
#define PINTLE_RAFT_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HEALTH_STALL = 2, /* election timeouts */
    HEALTH_SLOW_MS = 50,
    HEALTH_BEHIND = 16,
    HEALTH_HOLD_MS = 10000,
    HEALTH_HOLD_MAX_MS = 640000,
    HEALTH_FORGIVE_MS = 3600000,
};

enum health_trouble { HEALTH_FINE, HEALTH_STALLED, HEALTH_SLOW, HEALTH_FULL };

struct health {
    uint64_t recent_ns;   /* average time of the newest 8 syncs or so */
    unsigned behind;      /* writes in a row that the others had committed before */
    bool stalled;         /* told of the write under way */
    uint64_t lead_since;  /* loop_now; 0 = we do not lead */
    uint64_t last, hold;  /* our last handover, and how long to wait after it, ns */
    uint64_t n_handovers; /* for metrics */
};

/* What health_judge looks at. */
struct health_signs {
    uint64_t busy_ns;  /* time of the write under way */
    uint64_t stall_ns; /* what is too long */
    bool overtaken;    /* the others have committed what we have not on disk */
    bool full;
};

/* A write took ns; overtaken: we lead, and the others had committed it before. */
void health_note_sync(struct health *h, uint64_t ns, bool overtaken);
enum health_trouble health_judge(const struct health *h, const struct health_signs *s);
/* Whether a leader in trouble may hand over now. */
bool health_may_hand_over(struct health *h, uint64_t now);
/* It did. */
void health_handed_over(struct health *h, uint64_t now);
const char *health_name(enum health_trouble t);

#endif

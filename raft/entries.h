/* The recent log in memory, by index: what libraft's trail knows by term only. Everything from the entry after the
 * last cut to the newest one is here, so that messages and applying never read the disk; snapshots bound it.
 * Loop's thread. */
#ifndef PINTLE_RAFT_ENTRIES_H
#define PINTLE_RAFT_ENTRIES_H

#include "base/blob.h"

struct entry {
    uint64_t term;
    uint16_t type;      /* libraft's raft_entry_type */
    struct chunk chunk; /* its data, with a reference */
};

struct entries {
    struct entry *at; /* at[head] is entry number first */
    size_t head, n, cap;
    uint64_t first; /* index of the oldest one kept, or that the next one will have */
    size_t bytes;   /* of data */
};

/* first: index the first entry will have. */
void entries_init(struct entries *e, uint64_t first);
void entries_done(struct entries *e);
static inline uint64_t entries_last(const struct entries *e)
{
    return e->first + e->n - 1;
}
/* NULL when it is not (or no longer) here. */
const struct entry *entries_get(const struct entries *e, uint64_t index);
/* 0 when it is not here. */
uint64_t entries_term(const struct entries *e, uint64_t index);
/* Puts an entry at index ≤ last + 1 (≥ first), dropping what was there and behind. Takes over the chunk's reference. */
void entries_put(struct entries *e, uint64_t index, const struct entry *entry);
/* Drops everything up to index. */
void entries_cut(struct entries *e, uint64_t index);
/* Drops everything; the next one has index first. */
void entries_reset(struct entries *e, uint64_t first);

#endif

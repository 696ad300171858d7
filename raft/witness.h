/* Each replica is a witness of the others' data directories.
 *
 * Raft stands on promises that a member wrote to its disk: whom it voted for, which entries it has. A directory that
 * was
 * lost, set back to an older copy, or copied and started twice has broken them, and a majority that was counted with it
 * may be none. So every start on a directory has a number (its incarnation) and a random mark (its run), and says both
 * in its greetings, with the marks of the starts before, its term and its last entry (frame.h). Its peers remember the
 * newest they heard: one that comes back with a lower number, or with the same numbers and other marks, or in an older
 * term, is refused, told so, and remembers that it was (meta.h). It must join as a new member.
 *
 * Happy path: witness_load at the start; witness_judge for each greeting; witness_save on a pool lane when something
 * changed. Failures: a lost or damaged file makes a witness that knows nothing, which is harmless: the others know.
 * Threads: the struct is the loop's; witness_save gets a copy. */
#ifndef PINTLE_RAFT_WITNESS_H
#define PINTLE_RAFT_WITNESS_H

#include "loop/loop.h"
#include "raft/frame.h"

enum { WITNESS_MAX = 32, WITNESS_VERSION = 1 }; /* members remembered; beyond it the lowest id goes, for ids grow */

struct witnessed {
    uint64_t id, incarnation, run, term;
};

struct witness {
    struct witnessed at[WITNESS_MAX];
    size_t n;
    bool changed; /* since it was saved */
};

/* What dir/peers says; nothing when there is none or it is damaged. */
void witness_load(struct fs *fs, const char *dir, struct witness *ret);
/* Writes dir/peers in one step. 0 or a negative errno; then the old file stands. */
int witness_save(struct fs *fs, const char *dir, const struct witness *w);
/* Whether member id, which says m, may be believed; then it is remembered. One that does not tell (format 1) may. */
bool witness_judge(struct witness *w, uint64_t id, const struct message *m);
/* A member acted in term. */
void witness_term(struct witness *w, uint64_t id, uint64_t term);
/* What is known of a member, or NULL. */
const struct witnessed *witness_find(const struct witness *w, uint64_t id);

#endif

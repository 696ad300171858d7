/* Each replica testifies to the state of the others' data directories.
 *
 * Raft stands on promises that a member wrote to its disk: whom it voted for, which entries it has. A directory that
 * was
 * lost, set back to an older copy, or copied and started twice has broken them, and a majority that was counted with it
 * may be none. So every start on a directory has a number (its incarnation) and a random mark (its run), and says both
 * in its greetings, with the marks of the starts before, its term and its last entry (frame.h). Its peers remember the
 * newest they heard: one that comes back with a lower number, or with the same numbers and other marks, or in an older
 * term, is refused, told so, and remembers that it was (meta.h). It must join as a new member.
 *
 * Happy path: testimony_load at the start; testimony_judge for each greeting; testimony_save on a pool lane when
 * something
 * changed. Failures: a lost or damaged file makes a replica that knows nothing, which is harmless: the others know.
 * Threads: the struct is the loop's; testimony_save gets a copy. */
#ifndef PINTLE_RAFT_TESTIMONY_H
#define PINTLE_RAFT_TESTIMONY_H

#include "loop/loop.h"
#include "raft/frame.h"

enum { TESTIMONY_MAX = 32, TESTIMONY_VERSION = 1 }; /* members remembered; beyond it the lowest id goes, for ids grow */

struct testified {
    uint64_t id, incarnation, run, term;
};

struct testimony {
    struct testified at[TESTIMONY_MAX];
    size_t n;
    bool changed; /* since it was saved */
};

/* What dir/peers says; nothing when there is none or it is damaged. */
void testimony_load(struct fs *fs, const char *dir, struct testimony *ret);
/* Writes dir/peers in one step. 0 or a negative errno; then the old file stands. */
int testimony_save(struct fs *fs, const char *dir, const struct testimony *w);
/* Whether member id, which says m, may be believed; then it is remembered. One that does not tell (format 1) may. */
bool testimony_judge(struct testimony *w, uint64_t id, const struct message *m);
/* A member acted in term. */
void testimony_term(struct testimony *w, uint64_t id, uint64_t term);
/* What is known of a member, or NULL. */
const struct testified *testimony_find(const struct testimony *w, uint64_t id);

#endif

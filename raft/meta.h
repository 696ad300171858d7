/* Term and vote on disk, in two checksummed slots that say the same: one is written and synced, then the other, so that a
 * crash while one is written leaves the other, and so does damage to either. Written synchronously on the loop's thread
 * before any message that depends on them goes out (Raft figure 2); that happens only in elections. Whoever writes it
 * is
 * member `id` of cluster `cluster_id`, for ever.
 *
 * It also counts the starts on this directory (its incarnations) and remembers a random number of each of the newest:
 * with them the other members tell a directory that was set back to an older copy, or lives twice (testimony.h). One
 * that
 * they refused stays refused. */
#ifndef PINTLE_RAFT_META_H
#define PINTLE_RAFT_META_H

#include "loop/loop.h"

enum { META_SLOT = 4096, META_VERSION = 1, META_RUNS = 4 };

struct meta {
    uint64_t cluster_id, id, term, voted_for;
    uint64_t sequence;        /* of the newest write */
    uint64_t incarnation;     /* this start's number; the first is 1 */
    uint64_t runs[META_RUNS]; /* random, of this start, the one before and so on; 0 = there was none */
    uint64_t refused_by;      /* the member that knows of a newer state of this directory; 0 = nobody */
    struct file *file;
};

/* Opens dir/meta for one more start, whose random number is run. 0, -ENOENT when there is none, -EBADMSG when both
 * slots are damaged, -EINVAL when it belongs to another member or cluster than asked for, -ESTALE when it was refused;
 * why (256 bytes) then says so. */
int meta_open(struct fs *fs, const char *dir, uint64_t cluster_id, uint64_t id, uint64_t run, struct meta *ret,
              char why[256]);
/* Only looks: ret->file is NULL. 0, -ENOENT or -EBADMSG. */
int meta_read(struct fs *fs, const char *dir, struct meta *ret);
/* Makes dir/meta in one step (written aside, synced, renamed) and opens it. */
int meta_create(struct fs *fs, const char *dir, const struct meta *m, struct meta *ret);
/* Writes and syncs; any error is final (guard G10). */
int meta_save(struct meta *m, uint64_t term, uint64_t voted_for);
/* Remembers that a member refused this directory. */
int meta_refuse(struct meta *m, uint64_t by);
void meta_close(struct meta *m);

#endif

/* Term and vote on disk, in two checksummed slots that are written in turn: a crash while one is written leaves the
 * other. Written synchronously on the loop's thread before any message that depends on them goes out (Raft figure 2);
 * that happens only in elections. Whoever writes it is member `id` of cluster `cluster_id`, for ever. */
#ifndef PINTLE_RAFT_META_H
#define PINTLE_RAFT_META_H

#include "loop/loop.h"

enum { META_SLOT = 4096, META_VERSION = 1 };

struct meta {
    uint64_t cluster_id, id, term, voted_for;
    uint64_t sequence; /* of the slot written last */
    struct file *file;
};

/* Opens dir/meta. 0, -ENOENT when there is none, -EBADMSG when both slots are damaged, -EINVAL when it belongs to
 * another member or cluster than asked for; why (256 bytes) then says so. */
int meta_open(struct fs *fs, const char *dir, uint64_t cluster_id, uint64_t id, struct meta *ret, char why[256]);
/* Only looks: ret->file is NULL. 0, -ENOENT or -EBADMSG. */
int meta_read(struct fs *fs, const char *dir, struct meta *ret);
/* Makes dir/meta in one step (written aside, synced, renamed) and opens it. */
int meta_create(struct fs *fs, const char *dir, const struct meta *m, struct meta *ret);
/* Writes and syncs; any error is final (guard G10). */
int meta_save(struct meta *m, uint64_t term, uint64_t voted_for);
void meta_close(struct meta *m);

#endif

/* Snapshots on disk: a header, then blocks (blocks.h).
 *
 * Happy path: snap_write streams a frozen state to snapshot.tmp, syncs, renames it to snapshot-<index>, syncs the
 * directory and removes older ones, so there is always one whole snapshot. snap_open reads it back, block by block:
 * memory stays constant however large the state is (guard G8).
 *
 * Failures: -EBADMSG with any damage, -ENOSPC and I/O errors from writing leave the old snapshot in place (a snapshot
 * that fails is tried again later, unlike the log). Thread: all calls block; a pool lane, or the start. */
#ifndef PINTLE_RAFT_SNAPSHOT_H
#define PINTLE_RAFT_SNAPSHOT_H

#include <stdatomic.h>

#include "loop/loop.h"
#include "raft/blocks.h"
#include "raft/node.h"

enum {
    SNAP_CONF_MAX = 8 << 10, /* encoded configuration */
    SNAP_VERSION = 1,
    SNAP_PATH_MAX = 512,
    SNAP_NOTHING_MAX = 16 << 10,
};

struct snap_info {
    uint64_t cluster_id, index, term, conf_index;
    char conf[SNAP_CONF_MAX]; /* libraft's encoding of the configuration at index */
    size_t conf_n;
};

/* Writes info and what write(frozen) produces to dir/snapshot-<index>. cancel: set by another thread to give up
 * (-ECANCELED). 0 or a negative errno. */
int snap_write(struct fs *fs, const char *dir, const struct snap_info *info,
               int (*write)(void *frozen, struct raft_sink *sink), void *frozen, atomic_bool *cancel);

/* The newest snapshot's index in dir, 0 when there is none; removes older ones and leftovers. */
int snap_find(struct fs *fs, const char *dir, uint64_t *ret_index);
/* The path of the snapshot at index. */
void snap_path(char out[SNAP_PATH_MAX], const char *dir, uint64_t index);
/* Removes all but the one at index. */
int snap_remove_others(struct fs *fs, const char *dir, uint64_t index);

struct snap_reader {
    struct raft_source source; /* for the machine's restore */
    struct snap_info info;
    struct file *file;
    uint64_t at; /* in the file */
    struct block_reader blocks;
};

/* Opens the snapshot file at path. 0, -EBADMSG or an I/O error. */
int snap_open(struct fs *fs, const char *path, struct snap_reader **ret);
void snap_close(struct snap_reader *r);
/* A snapshot of nothing at the same index, for a member that keeps no state: the head of an open snapshot file, and an end.
 * Writes at most SNAP_NOTHING_MAX bytes; their number or a negative errno. */
ssize_t snap_read_head(struct file *f, char *out);
/* Reads a whole snapshot file and checks all of it. Fills ret_info. */
int snap_verify(struct fs *fs, const char *path, struct snap_info *ret_info);

#endif

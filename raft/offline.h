/* Data directories on which no replica runs: reading what is in one, and making one from a state. What restoring a
 * backup and recovering after the loss of a majority are made of.
 *
 * Reading takes the directory's lock and goes the way of raft_node_open: meta, snapshot, log. Every entry of the log is
 * applied, also those of which nobody knows whether a majority ever had them: one replica's disk cannot tell.
 * Making writes a snapshot first and the identity last, so that a directory that was half made is refused by the
 * server.
 *
 * Blocking. Failures: negative errno, with a reason for people in why. */
#ifndef PINTLE_RAFT_OFFLINE_H
#define PINTLE_RAFT_OFFLINE_H

#include "raft/node.h"

struct raft_dir_info {
    uint64_t cluster_id, id, term; /* of the identity; term: the newest one voted in */
    uint64_t snapshot_index;       /* all up to here was committed */
    uint64_t last_index, last_term;
    struct raft_member members[RAFT_MEMBERS_MAX]; /* of the newest configuration in snapshot and log */
    size_t n_members;
};

/* Where the state goes; either may be NULL. As in struct raft_machine. */
struct raft_dir_visitor {
    int (*restore)(void *ctx, uint64_t index, struct raft_source *source);
    void (*apply)(void *ctx, uint64_t index, struct slice command);
};

/* 0; -ENOENT when there is no identity in dir, -EWOULDBLOCK when it is in use, -EBADMSG with damage, I/O errors. */
int raft_dir_read(struct fs *fs, const char *dir, const struct raft_dir_visitor *v, void *ctx,
                  struct raft_dir_info *ret, char why[256]);

struct raft_dir_new {
    uint64_t cluster_id, id;
    uint64_t index,
        term; /* the snapshot's, index ≥ 2 and term ≥ 2: a fresh member's first entry must not look the same */
    const struct raft_member *members; /* all voters; id is one of them */
    size_t n_members;
};

/* Makes dir (or uses it when it is empty) with the state that write(frozen) gives. -ENOTEMPTY when something is there. */
int raft_dir_create(struct fs *fs, const char *dir, const struct raft_dir_new *o,
                    int (*write)(void *frozen, struct raft_sink *sink), void *frozen, char why[256]);
/* Moves all that a replica made in dir to dir/aside, for raft_dir_create to find it empty. */
int raft_dir_set_aside(struct fs *fs, const char *dir, const char *aside, char why[256]);

#endif

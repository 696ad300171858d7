/* Who a replica is, in its data directory (server.json), so that the command line need not say it again: its member id,
 * whether it joined or was one of the first, and the members it knew when it began.
 *
 * Written when a replica has opened its directory for the first time, or has joined; written again when its addresses
 * changed. Blocking; before the loop runs. */
#ifndef PINTLE_CLI_IDENTITY_H
#define PINTLE_CLI_IDENTITY_H

#include "raft/node.h"

enum { IDENTITY_PATH_MAX = 512, IDENTITY_FILE_MAX = 1 << 20 };

struct identity_member {
    uint64_t id;
    char peer[RAFT_ADDR_MAX], api[RAFT_ADDR_MAX]; /* api "" = it has none */
};

struct identity {
    uint64_t id; /* 0 = not known */
    uint64_t cluster_id;
    bool joined, witness;
    char peer[RAFT_ADDR_MAX], api[RAFT_ADDR_MAX];           /* how others reach us */
    char peer_listen[RAFT_ADDR_MAX], listen[RAFT_ADDR_MAX]; /* the options with which that was so */
    struct identity_member members[RAFT_MEMBERS_MAX];
    size_t n_members;
};

/* 0, -ENOENT, -EBADMSG when the file is damaged, or the error of reading it. */
int identity_load(struct fs *fs, const char *data_dir, struct identity *ret);
/* Makes the directory when needed. */
int identity_save(struct fs *fs, const char *data_dir, const struct identity *i);
/* The entry of a member, or NULL. */
struct identity_member *identity_member(struct identity *i, uint64_t id);
/* Reads a cluster id, hexadecimal; 0 when it is none. */
uint64_t identity_cluster(struct slice text);
/* Copies text into a member's field; false when it is too long. */
bool identity_set(char out[RAFT_ADDR_MAX], struct slice text);

#endif

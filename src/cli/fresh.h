/* Making a data directory out of a state, with which a new history begins: the end of `snapshot restore` and `recover`.
 *
 * The state is rebased (store_rebase), so that every client lists anew. The new cluster has an id of its own, so that
 * its
 * members do not talk to what is left of the old one: derived from the state and --name, so that all who restore the
 * same state under the same name agree. */
#ifndef PINTLE_CLI_FRESH_H
#define PINTLE_CLI_FRESH_H

#include "cli/options.h"
#include "loop/loop.h"
#include "raft/node.h"
#include "store/store.h"

struct fresh_options {
    const char *data_dir, *name;
    int64_t id;
    struct option_list members;
};

/* The rows of a command whose options struct type has a struct fresh_options member called fresh. */
#define FRESH_ROWS(type)                                                                                               \
    {"data-dir", OPTION_TEXT, offsetof(type, fresh.data_dir), "DIR", "where the replica's data go (/var/lib/pintle)"}, \
        {"id", OPTION_NUMBER, offsetof(type, fresh.id), "N", "the replica's member id"},                               \
        {"member", OPTION_LIST, offsetof(type, fresh.members), "ID=PEER[,API]",                                        \
         "the members of the new cluster, the same everywhere; the API address is not looked at"},                     \
    {                                                                                                                  \
        "name", OPTION_TEXT, offsetof(type, fresh.name), "NAME",                                                       \
            "tells two clusters apart that are made of the same state"                                                 \
    }

struct fresh_state {
    struct store *store;
    uint64_t index, term; /* of the log, as far as the state goes */
    uint64_t seed;        /* names the state, for the cluster id */
};

/* Reads o->members into members; when none are given, fallback (may be NULL) is the only one. 0, or 2 with a message. */
int fresh_members(const struct fresh_options *o, const char *command, const struct raft_member *fallback,
                  struct raft_member members[RAFT_MEMBERS_MAX], size_t *ret_n);
/* Rebases and writes. 0, or 1 with a message; *ret_cluster gets the new cluster's id. */
int fresh_make(struct loop *l, const struct fresh_options *o, const char *command, const struct raft_member *members,
               size_t n_members, struct fresh_state *state, uint64_t *ret_cluster);

#endif

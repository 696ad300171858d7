#include "cli/fresh.h"

#include <stdio.h>

#include "base/hash.h"
#include "raft/offline.h"

static bool parse_member(const char *text, struct raft_member *m)
{
    struct slice id, rest, peer, api;
    if (!slice_cut(slice_str(text), '=', &id, &rest) || !slice_to_u64(id, &m->id) || !m->id)
        return false;
    slice_cut(rest, ',', &peer, &api);
    if (!peer.n || peer.n >= sizeof m->address)
        return false;
    memcpy(m->address, peer.p, peer.n);
    return true;
}

int fresh_members(const struct fresh_options *o, const char *command, const struct raft_member *fallback,
                  struct raft_member members[RAFT_MEMBERS_MAX], size_t *ret_n)
{
    bool own = false;
    *ret_n = 0;
    for (size_t i = 0; i < o->members.n; i++) {
        struct raft_member m = {0};
        if (*ret_n == RAFT_MEMBERS_MAX || !parse_member(o->members.at[i], &m)) {
            fprintf(stderr, "pintle %s: --member %s: want ID=PEER such as 1=10.0.0.1:7443, at most %d\n", command,
                    o->members.at[i], RAFT_MEMBERS_MAX);
            return 2;
        }
        own |= m.id == (uint64_t)o->id;
        members[(*ret_n)++] = m;
    }
    if (!*ret_n && fallback) {
        members[(*ret_n)++] = *fallback;
        own = fallback->id == (uint64_t)o->id;
    }
    if (own)
        return 0;
    fprintf(stderr, "pintle %s: --id %ld must be one of the --member ids\n", command, o->id);
    return 2;
}

/* Never that of a cluster that was not restored. */
static uint64_t new_cluster_id(const struct fresh_options *o, const struct fresh_state *state)
{
    uint64_t id = hash64(slice_str(o->name ? o->name : ""), state->seed ^ store_revision(state->store));
    return id > RAFT_FIRST_CLUSTER ? id : id + RAFT_FIRST_CLUSTER + 1;
}

static int sink_write(void *ctx, const void *p, size_t n)
{
    struct raft_sink *sink = ctx;
    return sink->write(sink, p, n);
}

static int write_state(void *frozen, struct raft_sink *sink)
{
    return store_frozen_write(frozen, sink_write, sink);
}

int fresh_make(struct loop *l, const struct fresh_options *o, const char *command, const struct raft_member *members,
               size_t n_members, struct fresh_state *state, uint64_t *ret_cluster)
{
    char why[256];
    /* Behind all that the old cluster may have had, so that nothing of a fresh member's log looks like a part of it. */
    const struct raft_dir_new n = {.cluster_id = new_cluster_id(o, state),
                                   .id = (uint64_t)o->id,
                                   .index = state->index + 1 > 2 ? state->index + 1 : 2,
                                   .term = state->term + 1 > 2 ? state->term + 1 : 2,
                                   .members = members,
                                   .n_members = n_members};
    store_rebase(state->store);
    struct store_frozen *frozen = store_freeze(state->store);
    int err = raft_dir_create(loop_fs(l), o->data_dir, &n, write_state, frozen, why);
    store_frozen_free(frozen);
    if (err) {
        fprintf(stderr, "pintle %s: %s\n", command, why);
        return 1;
    }
    *ret_cluster = n.cluster_id;
    return 0;
}

/* pintle recover: going on from one replica's disk after a majority was lost for good. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/fresh.h"
#include "raft/offline.h"

enum { CANDIDATES_MAX = 10, ASIDE_MAX = 64 };

struct recover_options {
    struct fresh_options fresh;
    struct option_list from;
    bool examine;
};

static const struct option_row rows[] = {
    FRESH_ROWS(struct recover_options),
    {"from", OPTION_LIST, offsetof(struct recover_options, from), "DIR",
     "another replica's data directory (or a copy of one), to choose the best from; once for each"},
    {"examine", OPTION_FLAG, offsetof(struct recover_options, examine), NULL, "only say what the directories hold"},
    {0},
};

struct candidate {
    const char *dir;
    struct raft_dir_info info;
    struct store *store; /* NULL: could not be read */
    char why[256];
};

static int source_read(void *ctx, void *p, size_t n)
{
    struct raft_source *source = ctx;
    return source->read(source, p, n);
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    struct candidate *c = ctx;
    (void)index;
    return store_restore(c->store, source_read, source);
}

static void apply(void *ctx, uint64_t index, struct slice command)
{
    struct candidate *c = ctx;
    struct store_result result;
    (void)index;
    store_apply(c->store, command, &result);
}

static void read_candidate(struct loop *l, struct candidate *c)
{
    static const struct raft_dir_visitor visitor = {restore, apply};
    c->store = store_new();
    if (!raft_dir_read(loop_fs(l), c->dir, &visitor, c, &c->info, c->why))
        return;
    store_free(c->store);
    c->store = NULL;
}

/* Raft's own order of logs (§5.4.1): what was acknowledged is in the log that a majority would have voted for. */
static bool better(const struct candidate *a, const struct candidate *b)
{
    if (!a->store || !b->store)
        return a->store != NULL;
    return a->info.last_term != b->info.last_term ? a->info.last_term > b->info.last_term
                                                  : a->info.last_index > b->info.last_index;
}

static void print_candidate(const struct candidate *c, bool best)
{
    char time[TIME_SEC_LEN + 1];
    if (!c->store) {
        printf("  %-30s %s\n", c->dir, c->why);
        return;
    }
    time_format_sec((int64_t)(store_time_ms(c->store) * NS_PER_MS), time);
    printf("%s %-30s %6" PRIu64 " %6" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %s\n", best ? "*" : " ",
           c->dir, c->info.id, c->info.last_term, c->info.last_index, c->info.snapshot_index, store_revision(c->store),
           time);
}

static void print_losses(const struct candidate *best)
{
    printf(
        "\nWhat %s holds is kept, all of its log included: a write that was stored there but that no majority had\n"
        "is now in the state, although whoever sent it may have been told that it failed. What this replica had not\n"
        "stored is lost, and nobody can tell whether there was something. ",
        best->dir);
    if (best->info.snapshot_index)
        printf("All was committed for certain up to entry %" PRIu64 ".\n", best->info.snapshot_index);
    else
        printf("Nothing says how much of it was committed.\n");
}

/* The member's own address in the membership it knew. */
static const struct raft_member *own_member(const struct candidate *c, int64_t id)
{
    for (size_t i = 0; i < c->info.n_members; i++)
        if (c->info.members[i].id == (uint64_t)id)
            return &c->info.members[i];
    return NULL;
}

static uint64_t seed_of(const struct candidate *c)
{
    const uint64_t parts[] = {c->info.cluster_id, c->info.last_index, c->info.last_term, store_hash(c->store)};
    return hash64(slice_of(parts, sizeof parts), 0);
}

static int rewrite(struct loop *l, struct recover_options *o, const struct command *c, struct candidate *own,
                   struct candidate *best)
{
    struct raft_member members[RAFT_MEMBERS_MAX];
    struct fresh_state state = {best->store, best->info.last_index, best->info.term, seed_of(best)};
    char aside[ASIDE_MAX], why[256];
    size_t n;
    uint64_t cluster;
    if (state.term < best->info.last_term)
        state.term = best->info.last_term;
    if (!o->fresh.id)
        o->fresh.id = (int64_t)(own->store ? own->info.id : best->info.id);
    int rv = fresh_members(&o->fresh, c->name, own_member(best, o->fresh.id), members, &n);
    if (rv)
        return rv;
    snprintf(aside, sizeof aside, "before-recover-%" PRIu64, best->info.last_index);
    if (raft_dir_set_aside(loop_fs(l), o->fresh.data_dir, aside, why)) {
        fprintf(stderr, "pintle %s: %s\n", c->name, why);
        return 1;
    }
    rv = fresh_make(l, &o->fresh, c->name, members, n, &state, &cluster);
    if (rv) {
        fprintf(stderr, "What was in %s is in its subdirectory %s.\n", o->fresh.data_dir, aside);
        return rv;
    }
    printf("\n%s: member %ld of new cluster %" PRIx64 " with %zu voter%s, revision %" PRIu64 "\n"
           "What was there before is in its subdirectory %s. Start the server; wipe the other replicas' data and let "
           "them\n"
           "join as new members. Replicas of the old cluster are refused, so are clients' old resource versions.\n",
           o->fresh.data_dir, o->fresh.id, cluster, n, n == 1 ? "" : "s", store_revision(best->store), aside);
    return 0;
}

static int recover(struct loop *l, struct recover_options *o, const struct command *c)
{
    struct candidate *all = mem_zalloc(CANDIDATES_MAX * sizeof *all);
    size_t n = 0, best = 0;
    int rv = 1;
    all[n++].dir = o->fresh.data_dir;
    for (size_t i = 0; i < o->from.n && n < CANDIDATES_MAX; i++)
        all[n++].dir = o->from.at[i];
    for (size_t i = 0; i < n; i++) {
        read_candidate(l, &all[i]);
        if (better(&all[i], &all[best]))
            best = i;
    }
    printf("  %-30s %6s %6s %12s %12s %12s %s\n", "DIRECTORY", "MEMBER", "TERM", "LAST", "COMMITTED", "REVISION",
           "TIME");
    for (size_t i = 0; i < n; i++)
        print_candidate(&all[i], i == best && all[i].store);
    if (!all[best].store)
        fprintf(stderr, "pintle %s: no directory can be used; a backup can: see pintle snapshot restore\n", c->name);
    else if (print_losses(&all[best]), o->examine)
        rv = 0;
    else
        rv = rewrite(l, o, c, &all[0], &all[best]);
    for (size_t i = 0; i < n; i++)
        store_free(all[i].store);
    mem_free(all);
    return rv;
}

static int run(int argc, char **argv, const struct command *c)
{
    struct recover_options o = {.fresh = {.data_dir = "/var/lib/pintle"}};
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    struct loop *l = loop_uv_new("cli");
    rv = recover(l, &o, c);
    loop_free(l);
    return rv;
}

const struct command command_recover = {"recover",
                                        "Goes on from one replica's data after a majority was lost.",
                                        "",
                                        "Offline. Only when a majority of the data directories is gone for good: what "
                                        "the lost ones alone had is lost. Takes "
                                        "the\nbest log of --data-dir and --from, and makes --data-dir the only voter "
                                        "(or one of --member) of a new cluster.",
                                        rows,
                                        run};

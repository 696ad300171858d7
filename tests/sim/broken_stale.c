/* Reads without the round that asks a majority: every replica answers from what it has. */
#include "broken.h"

#include "raft/node.h"

void __wrap_raft_node_read(struct raft_node *n, struct raft_read *r);

void __wrap_raft_node_read(struct raft_node *n, struct raft_read *r)
{
    (void)n;
    list_init(&r->link);
    r->done(r, 0);
}

static const char *const anomalies[] = {"stale-read", NULL};
const struct broken_build broken_build = {
    .what = "stale reads on", .workload = "register", .faults = "all", .anomalies = anomalies, .seeds = 20};

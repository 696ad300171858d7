/* Guard G2 off: a server that its own newest configuration does not call a voter refuses its vote, as libraft's core
 * does by itself. */
#include "broken.h"

#include "raft/node_impl.h"

int __wrap_raft_step(struct raft *r, struct raft_event *e, struct raft_update *u);
int __real_raft_step(struct raft *r, struct raft_event *e, struct raft_update *u);

/* What each server was before the guard let it count itself a voter. */
static int true_roles[8];

static int *own_role(struct raft *r)
{
    for (unsigned i = 0; i < r->configuration.n; i++)
        if (r->configuration.servers[i].id == r->id)
            return &r->configuration.servers[i].role;
    return NULL;
}

int __wrap_raft_step(struct raft *r, struct raft_event *e, struct raft_update *u)
{
    bool vote = e->type == RAFT_RECEIVE && e->receive.message->type == RAFT_REQUEST_VOTE;
    int *role = own_role(r), counted = role ? *role : 0;
    if (vote && role)
        *role = true_roles[r->id % 8];
    int rv = __real_raft_step(r, e, u);
    role = own_role(r);
    if (role && !vote)
        true_roles[r->id % 8] = *role;
    else if (role)
        *role = counted;
    return rv;
}

static const char *const anomalies[] = {NULL};
const struct broken_build broken_build = {
    .what = "guard G2 off", .anomalies = anomalies, .violation = "nobody leads", .seeds = 100};

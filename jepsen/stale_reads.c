/* A server that is broken on purpose: every replica answers reads from what it has, without the round that asks a
 * majority. The linker puts this in the place of raft_node_read (ld --wrap); the product's code knows nothing of it.
 * Whoever judges a run of it must find stale reads. */
#include "raft/node.h"

void __wrap_raft_node_read(struct raft_node *n, struct raft_read *r);

void __wrap_raft_node_read(struct raft_node *n, struct raft_read *r)
{
    (void)n;
    list_init(&r->link);
    r->done(r, 0);
}

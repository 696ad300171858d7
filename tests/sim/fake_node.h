/* A fake node: a host of the simulated world that does over HTTP what an agent does, without containers. It registers its
 * Node, renews its Lease, makes the pods bound to it Running and Ready after a while, and finishes those that are to
 * end. */
#ifndef PINTLE_TESTS_SIM_FAKE_NODE_H
#define PINTLE_TESTS_SIM_FAKE_NODE_H

#include "cluster.h"

/* On its host l, running. */
struct fake_node *fake_node_new(struct world *w, struct loop *l, const char *name);
void fake_node_free(struct fake_node *n);
void fake_node_kill(struct fake_node *n, bool crash);
/* Harmless when it runs. */
void fake_node_start(struct fake_node *n);
struct loop *fake_node_loop(const struct fake_node *n);

#endif

/* This node in the API: the Node object (created, kept), its status (capacity, allocatable, addresses, node info,
 * conditions, images), and its Lease in kube-node-lease (renewed every 10 s). Status is patched when it changed, and
 * every
 * 5 minutes. Thread: the loop's. */
#ifndef PINTLE_AGENT_NODE_H
#define PINTLE_AGENT_NODE_H

#include "agent/agent.h"

struct node *node_new(struct agent *agent);
void node_free(struct node *n);
/* What pods can have of "cpu" (milli units), "memory" or "ephemeral-storage" (bytes); 0 for others, before the first look at
 * the host, and when n is NULL. */
int64_t node_allocatable(const struct node *n, struct slice resource);

#endif

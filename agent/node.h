/* This node in the API: the Node object (created, kept), its status (capacity, allocatable, addresses, node info,
 * conditions, images), and its Lease in kube-node-lease (renewed every 10 s). Status is patched when it changed, and every
 * 5 minutes. Thread: the loop's. */
#ifndef PINTLE_AGENT_NODE_H
#define PINTLE_AGENT_NODE_H

#include "agent/agent.h"

struct node *node_new(struct agent *agent);
void node_free(struct node *n);

#endif

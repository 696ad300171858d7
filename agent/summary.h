/* /stats/summary: what the containers of this node use, as the runtime counts it, in the shape of Kubernetes' node agent.
 * Of the node itself it tells the name only. Thread: the loop's. */
#ifndef PINTLE_AGENT_SUMMARY_H
#define PINTLE_AGENT_SUMMARY_H

#include "agent/agent.h"
#include "net/http.h"

/* Answers x, once the runtime has answered; without the runtime, with no pods. */
void summary_serve(struct agent *agent, struct http_exchange *x);

#endif

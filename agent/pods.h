/* Pod workers: one a pod, each a small state machine that makes the runtime match the pod's spec and tells the API server.
 *
 * A worker goes through: volumes prepared → image pulled (by policy) → sandbox (network) → init containers, one after
 * the
 * other → containers → kept running by restartPolicy with backoff (10 s doubling to 5 min, reset after 10 min of
 * running) →
 * terminating (preStop hooks, SIGTERM, grace, SIGKILL) → sandbox and volumes removed → status final → pod deleted from
 * the API
 * with grace 0. Every step is driven by what the runtime says (listed once a second, and at once after our own calls),
 * so a
 * restart of agent or runtime only means looking again.
 * Thread: the loop's. */
#ifndef PINTLE_AGENT_PODS_H
#define PINTLE_AGENT_PODS_H

#include "agent/agent.h"

struct pods *pods_new(struct agent *agent);
void pods_free(struct pods *p);

/* For the server: what the runtime calls a pod's sandbox and container. 0 or -ENOENT, also when the container does not
 * run. */
int pods_sandbox_id(const struct pods *p, struct slice ns, struct slice name, char *out, size_t n);
int pods_container_id(const struct pods *p, struct slice ns, struct slice name, struct slice container, char *out,
                      size_t n);
/* The container's log file on the host; previous: of the container before. 0, -ENOENT (no such container) or -EAGAIN
 * (no log yet) with why. */
int pods_log_path(const struct pods *p, struct slice ns, struct slice name, struct slice container, bool previous,
                  char *out, size_t n, char why[512]);
/* Whether the container is running now (a follower of its log stops when not). */
bool pods_container_running(const struct pods *p, struct slice ns, struct slice name, struct slice container);
/* Appends the pods of this node as a PodList's items (JSON, comma separated). */
int pods_list_json(const struct pods *p, struct buf *out);

#endif

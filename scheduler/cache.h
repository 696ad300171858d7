/* The scheduler's picture of the cluster: nodes, and the pods that count on each. Pods being bound are assumed: they count
 * until the informer shows them bound, or they are forgotten. Thread: the loop's. */
#ifndef PINTLE_SCHEDULER_CACHE_H
#define PINTLE_SCHEDULER_CACHE_H

#include "scheduler/framework.h"

struct sched_cache {
    struct map nodes; /* name → struct sched_node */
    struct map pods;  /* key → struct sched_placed */
};

void cache_init(struct sched_cache *c);
void cache_done(struct sched_cache *c);
/* text: the node's JSON. */
void cache_set_node(struct sched_cache *c, struct slice name, struct slice text);
void cache_del_node(struct sched_cache *c, struct slice name);
/* A pod that is bound (obj has spec.nodeName) and neither Succeeded nor Failed. */
void cache_set_pod(struct sched_cache *c, struct slice key, const struct json *obj);
void cache_del_pod(struct sched_cache *c, struct slice key);
/* Counts pod on node from now on. */
void cache_assume(struct sched_cache *c, const struct sched_pod *pod, struct sched_node *node);
/* Takes an assumption back; no effect on a pod that is known to be bound. */
void cache_forget(struct sched_cache *c, struct slice key);

#endif

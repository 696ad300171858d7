/* What plugins see: a pod to place, nodes with what runs on them, and a verdict to give. A plugin is a row: filter says
 * whether the pod can run on a node (NULL = yes, else a static reason for the event), score how good the node is for it
 * (0 to SCORE_MAX), weighted. Plugins are pure; state that a plugin computes once for a pod goes into its slot of
 * struct sched_cycle. */
#ifndef PINTLE_SCHEDULER_FRAMEWORK_H
#define PINTLE_SCHEDULER_FRAMEWORK_H

#include "base/list.h"
#include "base/map.h"
#include "codec/json.h"

enum { SCORE_MAX = 100, SCHED_PORTS_MAX = 64, SCHED_EXTENDED_MAX = 8 };

enum sched_resource { RES_CPU, RES_MEMORY, RES_STORAGE, RES_PODS, RES_COUNT };

/* cpu in milli units, the rest in whole ones. */
struct sched_amounts {
    int64_t of[RES_COUNT];
};

struct sched_port {
    uint16_t port;
    char protocol; /* 'T', 'U', 'S' */
    uint32_t ip;   /* hash of hostIP, 0 = all addresses */
};

/* A pod that counts on a node: bound, or assumed. Owned by the cache. */
struct sched_placed {
    struct list link;                           /* of its node */
    struct sched_node *node;                    /* NULL while the node is not known */
    struct slice key, node_name, owner_uid, ns; /* owned */
    struct sched_amounts requests;
    struct sched_port ports[SCHED_PORTS_MAX];
    size_t n_ports;
    bool assumed;
};

struct sched_node {
    struct slice name; /* owned */
    struct arena arena;
    const struct json *obj; /* in arena */
    struct sched_amounts allocatable, used;
    struct list pods; /* sched_placed.link */
};

/* The pod being placed. */
struct sched_pod {
    struct slice key;
    const struct json *obj;
    struct slice owner_uid, ns;
    struct sched_amounts requests;
    struct sched_port ports[SCHED_PORTS_MAX];
    size_t n_ports;
};

struct sched_plugin {
    const char *name;
    const char *(*filter)(const struct sched_pod *pod, const struct sched_node *node);
    int64_t (*score)(const struct sched_pod *pod, const struct sched_node *node);
    bool normalize; /* raw scores are scaled so that the best is SCORE_MAX */
    bool reverse;   /* and the lowest raw score is the best */
    int weight;
};

extern const struct sched_plugin sched_plugins[];
extern const size_t sched_n_plugins;

/* Takes from a pod's JSON what plugins ask for. */
void sched_pod_init(struct sched_pod *p, struct slice key, const struct json *obj);
/* One plugin's files each. */
const char *fit_filter(const struct sched_pod *pod, const struct sched_node *node);
int64_t least_allocated_score(const struct sched_pod *pod, const struct sched_node *node);
int64_t balanced_score(const struct sched_pod *pod, const struct sched_node *node);
const char *node_name_filter(const struct sched_pod *pod, const struct sched_node *node);
const char *unschedulable_filter(const struct sched_pod *pod, const struct sched_node *node);
const char *taints_filter(const struct sched_pod *pod, const struct sched_node *node);
int64_t taints_score(const struct sched_pod *pod, const struct sched_node *node);
const char *node_affinity_filter(const struct sched_pod *pod, const struct sched_node *node);
int64_t node_affinity_score(const struct sched_pod *pod, const struct sched_node *node);
const char *ports_filter(const struct sched_pod *pod, const struct sched_node *node);
int64_t spread_score(const struct sched_pod *pod, const struct sched_node *node);

#endif

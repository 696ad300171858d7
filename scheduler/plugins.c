#include "scheduler/framework.h"

/* In the order in which filters are tried: cheap ones first. Weights are Kubernetes' defaults. */
const struct sched_plugin sched_plugins[] = {
    {.name = "NodeUnschedulable", .filter = unschedulable_filter},
    {.name = "NodeName", .filter = node_name_filter},
    {.name = "TaintToleration",
     .filter = taints_filter,
     .score = taints_score,
     .normalize = true,
     .reverse = true,
     .weight = 3},
    {.name = "NodeAffinity",
     .filter = node_affinity_filter,
     .score = node_affinity_score,
     .normalize = true,
     .weight = 2},
    {.name = "NodePorts", .filter = ports_filter},
    {.name = "NodeResourcesFit", .filter = fit_filter, .score = least_allocated_score, .weight = 1},
    {.name = "NodeResourcesBalancedAllocation", .score = balanced_score, .weight = 1},
    {.name = "PodTopologySpread", .score = spread_score, .normalize = true, .reverse = true, .weight = 2},
};

const size_t sched_n_plugins = sizeof sched_plugins / sizeof *sched_plugins;

/* NodeResourcesFit, least allocated, and balanced allocation. */
#include <math.h>

#include "scheduler/framework.h"

static const char *const missing[RES_COUNT] = {"Insufficient cpu", "Insufficient memory",
                                               "Insufficient ephemeral-storage", "Too many pods"};

const char *fit_filter(const struct sched_pod *pod, const struct sched_node *node)
{
    static const int order[] = {RES_PODS, RES_CPU, RES_MEMORY, RES_STORAGE};
    for (size_t i = 0; i < RES_COUNT; i++) {
        int res = order[i];
        if (pod->requests.of[res] > 0 && node->used.of[res] + pod->requests.of[res] > node->allocatable.of[res])
            return missing[res];
    }
    return NULL;
}

/* Pods that ask for nothing count a little, so that they spread too (as Kubernetes: 100 millicores, 200 MB). */
static int64_t counted(const struct sched_pod *pod, int res)
{
    static const int64_t floor_of[] = {[RES_CPU] = 100, [RES_MEMORY] = 200 << 20};
    return pod->requests.of[res] ? pod->requests.of[res] : floor_of[res];
}

int64_t least_allocated_score(const struct sched_pod *pod, const struct sched_node *node)
{
    int64_t sum = 0;
    for (int res = RES_CPU; res <= RES_MEMORY; res++) {
        int64_t have = node->allocatable.of[res], used = node->used.of[res] + counted(pod, res);
        if (have > 0 && used < have)
            sum += (int64_t)((double)(have - used) / (double)have * SCORE_MAX);
    }
    return sum / 2;
}

int64_t balanced_score(const struct sched_pod *pod, const struct sched_node *node)
{
    double fraction[2];
    for (int res = RES_CPU; res <= RES_MEMORY; res++) {
        double have = (double)node->allocatable.of[res];
        fraction[res] = have > 0 ? (double)(node->used.of[res] + counted(pod, res)) / have : 1;
        if (fraction[res] > 1)
            fraction[res] = 1;
    }
    return (int64_t)((1 - fabs(fraction[0] - fraction[1]) / 2) * SCORE_MAX);
}

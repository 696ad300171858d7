/* NodePorts: no two pods on one node with the same host port; and the spreading of one owner's pods over nodes. */
#include "scheduler/framework.h"

static bool collides(const struct sched_port *a, const struct sched_port *b)
{
    return a->port == b->port && a->protocol == b->protocol && (!a->ip || !b->ip || a->ip == b->ip);
}

const char *ports_filter(const struct sched_pod *pod, const struct sched_node *node)
{
    if (!pod->n_ports)
        return NULL;
    list_each (link, &node->pods) {
        const struct sched_placed *other = container_of(link, struct sched_placed, link);
        for (size_t i = 0; i < pod->n_ports; i++)
            for (size_t j = 0; j < other->n_ports; j++)
                if (collides(&pod->ports[i], &other->ports[j]))
                    return "node(s) didn't have free ports for the requested pod ports";
    }
    return NULL;
}

/* Raw score: pods of the same owner that run there already. */
int64_t spread_score(const struct sched_pod *pod, const struct sched_node *node)
{
    int64_t n = 0;
    if (!pod->owner_uid.n)
        return 0;
    list_each (link, &node->pods) {
        const struct sched_placed *other = container_of(link, struct sched_placed, link);
        n += slice_eq(other->owner_uid, pod->owner_uid);
    }
    return n;
}

/* What a witness serves: health to anybody, metrics to replicas and administrators. It has no API, for it has no state.
 * Thread: the loop's. */
#ifndef PINTLE_CLI_HEALTH_H
#define PINTLE_CLI_HEALTH_H

#include "base/metrics.h"
#include "net/http.h"
#include "raft/node.h"

struct health;

struct health_options {
    const char *listen;
    struct tls_context *tls;
    const struct metrics *metrics;
    const struct raft_node *raft;
};

/* Borrows what the options point to. 0 or a negative errno of http_server_new. */
int health_new(struct loop *l, const struct health_options *o, struct health **ret);
/* NULL is fine. */
void health_free(struct health *h);

#endif

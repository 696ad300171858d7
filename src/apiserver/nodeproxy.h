/* The nodes' agents as HTTP servers, for the files that pass requests on to them: nodeproxy.c, proxy.c, relay.c. */
#ifndef PINTLE_APISERVER_NODEPROXY_H
#define PINTLE_APISERVER_NODEPROXY_H

#include "apiserver/internal.h"

struct api_nodes {
    struct api *api;
    struct map clients;      /* node's name → struct node_client */
    struct list once, spent; /* api_once.link: clients at work for one request, and those to be freed */
    struct loop_timer sweep; /* frees the spent ones */
    struct tls_context
        *trust; /* takes any certificate: of pods, which have none that one could verify; made when used */
    size_t n_once;
};

/* "ip:port" of the agent of a Node; p is NULL when it has none. */
struct slice api_agent_address(struct api_request *r, const struct json *node);
/* A client to the agent of the node of this name at this address, which must show that node's certificate. NULL when
 * there are too many. */
struct http_client *api_agent_client(struct api_request *r, struct slice node, struct slice address);

/* relay.c */
void api_once_init(struct api_nodes *n);
void api_once_done(struct api_nodes *n);

#endif

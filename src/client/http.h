/* The client over HTTPS, for any Kubernetes API server: one connection (HTTP/2) to one of several servers, the next one
 * when it fails; informers that list and watch.
 *
 * A request that cannot have reached a server is tried on the next one, up to once around; one that may have is
 * reported as
 * -ETIMEDOUT or -EPIPE, and the caller's queue looks again. Informers go on from their last revision on another server
 * and
 * list anew only when told that it is too old (410). */
#ifndef PINTLE_CLIENT_HTTP_H
#define PINTLE_CLIENT_HTTP_H

#include "client/client.h"
#include "net/tls.h"

enum { CLIENT_SERVERS_MAX = 16 };

struct client_http_options {
    const char *const *servers; /* "ip:port" */
    size_t n_servers;
    struct tls_context *tls; /* NULL = plain (simulation) */
    const char *token;       /* bearer token, or NULL */
    const char *user_agent;  /* NULL = "pintle" */
};

/* Copies what the options point to, but tls. */
struct client *client_http_new(struct loop *l, const struct client_http_options *o);
/* Calls in flight are cancelled; informers must have been freed. */
void client_http_free(struct client *c);

#endif

/* The client over HTTPS, for any Kubernetes API server: one connection (HTTP/2) to one of several servers, the next one
 * when it fails; informers that list and watch.
 *
 * A request that cannot have reached a server is tried on the next one, up to once around; one that may have is
 * reported as
 * -ETIMEDOUT or -EPIPE, and the caller's queue looks again. Informers go on from their last revision on another server
 * and
 * list anew only when told that it is too old (410).
 *
 * With more than one server, the one in use is asked for its health every CLIENT_PROBE_MS; when it does not answer
 * within
 * CLIENT_SILENCE_MS (longer while several in a row do not), its connection is given up and all goes on with the next
 * one:
 * so a server that hangs, or whose machine is gone without a word, costs about a second. */
#ifndef PINTLE_CLIENT_HTTP_H
#define PINTLE_CLIENT_HTTP_H

#include "client/client.h"
#include "net/tls.h"

enum { CLIENT_SERVERS_MAX = 16, CLIENT_PROBE_MS = 400, CLIENT_SILENCE_MS = 500, CLIENT_SILENCE_MAX_MS = 4000 };

struct client_http_options {
    const char *const *servers; /* "ip:port" */
    size_t n_servers;
    struct tls_context *tls; /* NULL = plain (simulation) */
    const char *token;       /* bearer token, or NULL */
    const char *user_agent;  /* NULL = "pintle" */
};

/* Copies what the options point to, but tls. */
struct client *client_http_new(struct loop *l, const struct client_http_options *o);
/* Uses these servers from the next turn on; those that were there before keep their connections. An empty list changes
 * nothing. */
void client_http_set_servers(struct client *c, const char *const *servers, size_t n);
/* The server in use at present. */
const char *client_http_server(const struct client *c);
/* Calls in flight are cancelled; informers must have been freed. */
void client_http_free(struct client *c);

#endif

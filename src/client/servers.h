/* Keeps a client over HTTPS pointed at the replicas that there are: follows the Endpoints default/kubernetes, which the
 * cluster keeps in step with its members, and remembers them in a file for the next start. Those given at the start
 * stay
 * in the list, behind the others.
 *
 * Failures: a file that is not there or cannot be read or written is told on the log and does no other harm. Thread:
 * the
 * loop's; the file is written on a pool thread. */
#ifndef PINTLE_CLIENT_SERVERS_H
#define PINTLE_CLIENT_SERVERS_H

#include "client/http.h"

enum { CLIENT_SERVERS_FILE_MAX = 64 << 10, CLIENT_SERVER_MAX = 128 /* bytes of an address */ };

struct client_servers;

/* client: made by client_http_new, outlives the result. path: of the file, or NULL. given: copied. What the file says is
 * used at once (blocking read; before the loop runs). */
struct client_servers *client_servers_new(struct client *client, const char *path, const char *const *given,
                                          size_t n_given);
/* NULL is fine. */
void client_servers_free(struct client_servers *s);

#endif

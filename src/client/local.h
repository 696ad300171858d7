/* The in-process client: requests go straight into the API server of this replica, informers read its state without a
 * copy. Controllers and scheduler use it on the leader, where the state is the newest there is: what a done call
 * reported is visible to the informers at once. */
#ifndef PINTLE_CLIENT_LOCAL_H
#define PINTLE_CLIENT_LOCAL_H

#include "apiserver/api.h"
#include "client/client.h"

/* user: who acts, e.g. "system:kube-controller-manager"; copied. It may do everything (group system:masters). */
struct client *client_local_new(struct api *api, const char *user);
/* Calls in flight are cancelled; informers must have been freed. */
void client_local_free(struct client *c);

#endif

/* From a client_request to method and path. */
#ifndef PINTLE_CLIENT_PATH_H
#define PINTLE_CLIENT_PATH_H

#include "base/buf.h"
#include "client/client.h"

const char *client_method(enum client_verb v);
/* Appends "/apis/G/V/namespaces/NS/PLURAL/NAME/SUB" without a query. 0 or negative errno. */
int client_path(struct buf *out, const struct client_request *req);

#endif

/* The Node authorizer: what an agent (user "system:node:NAME" in group "system:nodes") may do, and no more. It reads
 * secrets, config maps, claims and service accounts only when a pod bound to it refers to them. Follows the pods.
 * Thread: the state loop's. */
#ifndef PINTLE_AUTH_NODE_AUTHZ_H
#define PINTLE_AUTH_NODE_AUTHZ_H

#include "auth/rbac.h"

struct node_authz;

struct node_authz *node_authz_new(void);
void node_authz_free(struct node_authz *n);
/* Adds, replaces or (pod NULL) forgets what a pod refers to and where it runs. */
void node_authz_set_pod(struct node_authz *n, struct slice ns, struct slice name, const struct json *pod);
bool node_authz_allows(const struct node_authz *n, const struct user *u, const struct access *q, const char **why);

#endif

/* Who sent a request: the authenticators in order, first match wins.
 *   1. a client certificate (CN → name, O → groups); one with group "pintle:servers" may name the real user by the headers
 *      x-remote-user, x-remote-group (repeated), x-remote-uid: how one replica passes a request on to the leader;
 *   2. a bearer token: a ServiceAccount JWT, a row of the static token file, or a bootstrap token (auth/join_token.h);
 *      also as a subprotocol of a WebSocket (authn_subprotocols);
 *   3. nothing: system:anonymous.
 * A credential that is given and wrong is 401, never anonymous; 429 while too many wrong bootstrap tokens come. Thread:
 * the loop's. */
#ifndef PINTLE_AUTH_AUTHN_H
#define PINTLE_AUTH_AUTHN_H

#include "auth/user.h"
#include "base/status.h"
#include "codec/json.h"
#include "net/http.h"

#define AUTHN_SERVERS_GROUP   "pintle:servers"
#define AUTHN_BEARER_PROTOCOL "base64url.bearer.authorization.k8s.io."

struct sa_signer; /* auth/sa_token.h: the key that signs and verifies ServiceAccount tokens */

struct authn_options {
    const char *token_file;         /* CSV: token,user,uid,"group1,group2"; NULL = none. Read again when it changed. */
    const struct sa_signer *signer; /* NULL = no ServiceAccount tokens */
    const char *issuer;             /* expected iss */
    const char *audience;           /* expected aud */
    /* Whether the object a token is bound to still exists with this uid: kind "ServiceAccount", "Pod", "Secret", "Node". */
    bool (*bound_exists)(void *ctx, const char *kind, struct slice ns, struct slice name, struct slice uid);
    void *ctx;
};

/* Whose bootstrap token this is: fills *u (strings in a). from: the client's address, "" = a review. 0, -EACCES, or
 * -EBUSY (too many wrong ones lately). */
typedef int authn_bootstrap_fn(void *ctx, struct slice token, const char *from, struct arena *a, struct user *u);

struct authn;

int authn_new(struct loop *l, const struct authn_options *o, struct authn **ret, char why[256]);
void authn_free(struct authn *n);
/* Sets where bound_exists asks; for owners that exist only after the authn. */
void authn_set_bound(struct authn *n,
                     bool (*bound_exists)(void *ctx, const char *kind, struct slice ns, struct slice name,
                                          struct slice uid),
                     void *ctx);
/* Sets who knows bootstrap tokens; without, there are none. */
void authn_set_bootstrap(struct authn *n, authn_bootstrap_fn *bootstrap, void *ctx);
/* Fills *u (strings in a), or sets *st to 401 or 429. */
void authn_http(struct authn *n, struct http_exchange *x, struct arena *a, struct user *u, struct status *st);
/* The WebSocket subprotocols that x offers, without the one that carries a bearer token (AUTHN_BEARER_PROTOCOL and the
 * token in base64url, for browsers, which cannot set headers): "a, b", in arena; n 0 when there are none. */
struct slice authn_subprotocols(const struct http_exchange *x, struct arena *a);
/* One bearer token (for TokenReview). aud: required audience, or empty = ours. 0, or -EACCES with *why (static text). */
int authn_token(struct authn *n, struct slice token, struct slice aud, struct arena *a, struct user *u,
                const char **why);

#endif

/* ServiceAccount tokens: JWTs as Kubernetes shapes them (iss, sub "system:serviceaccount:NS:NAME", aud, exp, iat, nbf, jti,
 * and the member "kubernetes.io" with namespace, serviceaccount, pod, node, secret). */
#ifndef PINTLE_AUTH_SA_TOKEN_H
#define PINTLE_AUTH_SA_TOKEN_H

#include "auth/user.h"
#include "base/buf.h"
#include "codec/json.h"
#include "loop/loop.h"

struct sa_signer;

/* Reads a PEM private key (EC P-256 or RSA); it signs, and verifies together with the public keys of extra_file (PEM, may
 * be NULL; for rotation). 0 or negative errno with why. */
int sa_signer_new(const char *key_file, const char *extra_file, struct sa_signer **ret, char why[256]);
void sa_signer_free(struct sa_signer *s);

struct sa_token_request {
    const char *issuer;
    const struct slice *audiences;
    size_t n_audiences;
    struct slice ns, name, uid;     /* the ServiceAccount */
    struct slice pod_name, pod_uid; /* bound to, or empty */
    struct slice node_name, node_uid;
    struct slice secret_name, secret_uid;
    int64_t now;     /* wall clock, nanoseconds */
    int64_t seconds; /* lifetime */
};

/* Appends the token. 0 or negative errno. */
int sa_token_make(const struct sa_signer *s, struct loop *l, const struct sa_token_request *q, struct buf *out);
struct sa_check {
    struct slice issuer;   /* expected iss */
    struct slice audience; /* expected among aud */
    int64_t now;           /* wall clock, nanoseconds */
    /* Whether a bound object still exists with this uid: kind "ServiceAccount", "Pod", "Secret", "Node" (ns empty). NULL =
     * not asked. */
    bool (*bound_exists)(void *ctx, const char *kind, struct slice ns, struct slice name, struct slice uid);
    void *ctx;
};
/* Verifies a token and fills who it speaks for (strings in a): user "system:serviceaccount:NS:NAME" with the account's
 * groups and, as extra, its token id, pod and node. 0, -EACCES with *why (static text), -ENOMEM. */
int sa_token_verify(const struct sa_signer *s, const struct sa_check *c, struct slice token, struct arena *a,
                    struct user *u, const char **why);
/* How tokens are signed: "ES256" or "RS256". */
const char *sa_signer_algorithm(const struct sa_signer *s);
/* JWKS (RFC 7517) of the public keys as JSON text. */
int sa_signer_jwks(const struct sa_signer *s, struct buf *out);

#endif

/* Tokens with which a machine that has no certificate yet asks for one: Kubernetes' bootstrap tokens, "ID.SECRET" (6 and 16
 * lower-case letters and digits), and behind another dot what the cluster's authority is known by: the first hex digits
 * of
 * the SHA-256 of its public key (SubjectPublicKeyInfo, RFC 7469). With that the newcomer knows whom it talks to before
 * it
 * shows the secret.
 *
 * Nothing here keeps state. Any thread. */
#ifndef PINTLE_AUTH_JOIN_TOKEN_H
#define PINTLE_AUTH_JOIN_TOKEN_H

#include "loop/loop.h"

enum {
    JOIN_TOKEN_ID = 6,
    JOIN_TOKEN_SECRET = 16,
    JOIN_TOKEN_CA_MIN = 32, /* hex digits: 128 bits, which nobody can find a second key for */
    JOIN_TOKEN_CA_MAX = 64,
    JOIN_TOKEN_MAX = JOIN_TOKEN_ID + 1 + JOIN_TOKEN_SECRET + 1 + JOIN_TOKEN_CA_MAX,
};

#define JOIN_TOKEN_USER_PREFIX  "system:bootstrap:"
#define JOIN_TOKEN_GROUP        "system:bootstrappers"
#define JOIN_TOKEN_SERVER_GROUP "pintle:joiners" /* may ask to become a replica */

struct join_token {
    char id[JOIN_TOKEN_ID + 1], secret[JOIN_TOKEN_SECRET + 1];
    char ca[JOIN_TOKEN_CA_MAX + 1]; /* "" when the text had none */
};

/* Reads "ID.SECRET" or "ID.SECRET.CA"; white space around it is fine. 0 or -EINVAL. */
int join_token_parse(struct slice text, struct join_token *ret);
/* A new id and secret. */
void join_token_make(struct loop *l, struct join_token *ret);
/* Whether both are equal, in a time that does not depend on where they differ. */
bool join_token_same(struct slice a, struct slice b);
/* What a certificate's public key is known by: 64 hex digits. -EINVAL when pem holds no certificate. */
int join_token_ca_of(struct slice pem, char out[JOIN_TOKEN_CA_MAX + 1]);
/* Whether pem's first certificate is the one that the token names. */
bool join_token_knows(const struct join_token *t, struct slice pem);

#endif

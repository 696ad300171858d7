/* JSON Web Tokens (RFC 7519) signed with ES256 or RS256, and their public keys as a JWK set (RFC 7517).
 *
 * Happy path: jwt_sign makes compact text from claims; jwt_verify gives the claims back once algorithm, signature,
 * times, issuer and audience are right. The algorithm is bound to the key: a token cannot choose another one, such as
 * "none". The key id is derived from the public key, so that replicas agree on it without a word.
 *
 * Failures of jwt_verify: -EACCES with a static text that tells people why, -ENOMEM. Any thread. */
#ifndef PINTLE_AUTH_JWT_H
#define PINTLE_AUTH_JWT_H

#include "auth/pki.h"
#include "codec/json.h"

enum {
    JWT_MAX = 16 << 10,  /* bytes of a token */
    JWT_KEY_ID_MAX = 64, /* bytes of a key id with its NUL */
    JWT_KEYS_MAX = 16    /* tried for one token */
};

/* "ES256" or "RS256". */
const char *jwt_algorithm(const struct pki_key *k);
/* Base64url of the SHA-256 of the public key (SubjectPublicKeyInfo, DER), as Kubernetes derives it. */
int jwt_key_id(const struct pki_key *k, char ret[JWT_KEY_ID_MAX]);

/* Appends the token. claims: a JSON object. -EINVAL when k is no private key. */
int jwt_sign(const struct pki_key *k, const struct json *claims, struct buf *out);

struct jwt_rules {
    const struct pki_key *const *keys;
    size_t n_keys;                 /* ≤ JWT_KEYS_MAX */
    struct slice issuer;           /* iss must be this */
    const struct slice *audiences; /* aud must hold one of these */
    size_t n_audiences;
    int64_t now; /* wall clock, nanoseconds; exp and nbf are held to the second, without leeway */
};

/* Verifies and yields the claims (in a). exp is required; nbf and iat are heeded when given. */
int jwt_verify(const struct jwt_rules *r, struct slice token, struct arena *a, struct json **ret, const char **why);

/* Whether the text has the shape of a token (three parts); says nothing about its worth. */
bool jwt_looks_like(struct slice token);
/* Reads iss without verifying anything: only to choose who is to verify. Empty when it cannot be read. */
struct slice jwt_peek_issuer(struct slice token, struct arena *a);

/* Appends {"keys":[…]}. */
int jwt_jwks(const struct pki_key *const *keys, size_t n, struct buf *out);

#endif

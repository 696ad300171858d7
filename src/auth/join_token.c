#include "auth/join_token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "auth/pki.h"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

static bool of_alphabet(struct slice s, size_t n)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(alphabet, s.p[i], sizeof alphabet - 1))
            return false;
    return s.n == n;
}

static bool is_hash(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n >= JOIN_TOKEN_CA_MIN && s.n <= JOIN_TOKEN_CA_MAX;
}

int join_token_parse(struct slice text, struct join_token *ret)
{
    struct slice id, secret, ca, rest;
    slice_cut(slice_trim(text), '.', &id, &rest);
    bool has_ca = slice_cut(rest, '.', &secret, &ca);
    if (!of_alphabet(id, JOIN_TOKEN_ID) || !of_alphabet(secret, JOIN_TOKEN_SECRET) || (has_ca && !is_hash(ca)))
        return -EINVAL;
    struct join_token t = {0};
    memcpy(t.id, id.p, id.n);
    memcpy(t.secret, secret.p, secret.n);
    if (has_ca)
        memcpy(t.ca, ca.p, ca.n);
    *ret = t;
    return 0;
}

static void draw(struct loop *l, char *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[loop_random_below(l, sizeof alphabet - 1)];
    out[n] = '\0';
}

void join_token_make(struct loop *l, struct join_token *ret)
{
    draw(l, ret->id, JOIN_TOKEN_ID);
    draw(l, ret->secret, JOIN_TOKEN_SECRET);
    ret->ca[0] = '\0';
}

bool join_token_same(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

int join_token_ca_of(struct slice pem, char out[JOIN_TOKEN_CA_MAX + 1])
{
    return pki_cert_key_hash(pem, out);
}

bool join_token_knows(const struct join_token *t, struct slice pem)
{
    char hash[JOIN_TOKEN_CA_MAX + 1];
    size_t n = strlen(t->ca);
    return n >= JOIN_TOKEN_CA_MIN && join_token_ca_of(pem, hash) == 0 && memcmp(hash, t->ca, n) == 0;
}

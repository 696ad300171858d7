#include "auth/jwt.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdio.h>

#include "auth/pki_impl.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/timefmt.h"

enum { ES256_SIZE = 64, HALF = ES256_SIZE / 2, DER_MAX = 80, RSA_SIG_MAX = 1024, HEADER_ARENA = 64 << 10 };

static bool is_rsa(const struct pki_key *k)
{
    return EVP_PKEY_is_a(k->pkey, "RSA");
}

const char *jwt_algorithm(const struct pki_key *k)
{
    return is_rsa(k) ? "RS256" : "ES256";
}

int jwt_key_id(const struct pki_key *k, char ret[JWT_KEY_ID_MAX])
{
    unsigned char *der = NULL, digest[32];
    size_t digest_n = sizeof digest;
    struct buf text = BUF_INIT(JWT_KEY_ID_MAX - 1);
    int n = i2d_PUBKEY(k->pkey, &der);
    int rv = n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, digest, &digest_n) == 1 ? 0 : -ENOMEM;
    if (!rv)
        rv = base64url_encode(&text, slice_of(digest, digest_n));
    if (!rv)
        memcpy(ret, text.p, text.n + 1);
    buf_done(&text);
    OPENSSL_free(der);
    return rv;
}

/* ---- signatures ---- */

/* JOSE writes an ECDSA signature as two fixed numbers, OpenSSL as DER (RFC 7518 section 3.4). */
static int der_to_fixed(const unsigned char *der, size_t n, unsigned char out[ES256_SIZE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, HALF) == HALF &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + HALF, HALF) == HALF;
    ECDSA_SIG_free(sig);
    return ok ? 0 : -EINVAL;
}

static int fixed_to_der(struct slice fixed, unsigned char der[DER_MAX], size_t *ret_n)
{
    const unsigned char *p = (const unsigned char *)fixed.p;
    if (fixed.n != ES256_SIZE)
        return -EINVAL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, HALF, NULL), *s = BN_bin2bn(p + HALF, HALF, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return -ENOMEM;
    }
    unsigned char *at = der;
    int n = i2d_ECDSA_SIG(sig, &at);
    ECDSA_SIG_free(sig);
    *ret_n = n > 0 ? (size_t)n : 0;
    return n > 0 ? 0 : -EINVAL;
}

static int sign_bytes(const struct pki_key *k, struct slice text, struct buf *out)
{
    unsigned char sig[RSA_SIG_MAX], fixed[ES256_SIZE];
    size_t n = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
              EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!ok)
        return -ENOMEM;
    if (is_rsa(k))
        return base64url_encode(out, slice_of(sig, n));
    int rv = der_to_fixed(sig, n, fixed);
    return rv ? rv : base64url_encode(out, slice_of(fixed, sizeof fixed));
}

static bool signature_holds(const struct pki_key *k, struct slice text, struct slice sig)
{
    unsigned char der[DER_MAX];
    size_t n = sig.n;
    const unsigned char *p = (const unsigned char *)sig.p;
    if (!is_rsa(k)) {
        if (fixed_to_der(sig, der, &n))
            return false;
        p = der;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
              EVP_DigestVerify(ctx, p, n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

int jwt_sign(const struct pki_key *k, const struct json *claims, struct buf *out)
{
    char id[JWT_KEY_ID_MAX];
    if (!k->is_private)
        return -EINVAL;
    struct buf part = BUF_INIT(JWT_MAX);
    size_t start = out->n;
    int rv = jwt_key_id(k, id);
    if (!rv)
        rv = buf_printf(&part, "{\"alg\":\"%s\",\"kid\":\"%s\"}", jwt_algorithm(k), id);
    if (!rv)
        rv = base64url_encode(out, buf_slice(&part));
    buf_clear(&part);
    if (!rv)
        rv = json_write(&part, claims);
    if (!rv)
        rv = buf_add_char(out, '.');
    if (!rv)
        rv = base64url_encode(out, buf_slice(&part));
    buf_done(&part);
    struct buf sig = BUF_INIT(4UL * RSA_SIG_MAX);
    if (!rv)
        rv = sign_bytes(k, slice_of(out->p + start, out->n - start), &sig);
    if (!rv)
        rv = buf_add_char(out, '.');
    if (!rv)
        rv = buf_add_slice(out, buf_slice(&sig));
    buf_done(&sig);
    return rv;
}

/* ---- verification ---- */

struct parts {
    struct slice header, payload, signature; /* still encoded */
    struct slice text;                       /* what is signed */
};

static bool split(struct slice token, struct parts *p)
{
    struct slice rest;
    if (token.n > JWT_MAX || !slice_cut(token, '.', &p->header, &rest) ||
        !slice_cut(rest, '.', &p->payload, &p->signature))
        return false;
    p->text = slice_of(token.p, p->header.n + 1 + p->payload.n);
    return p->header.n && p->payload.n && p->signature.n && !memchr(p->signature.p, '.', p->signature.n);
}

bool jwt_looks_like(struct slice token)
{
    struct parts p;
    return split(token, &p);
}

static void on_duplicate(void *ctx, const char *path, struct slice name)
{
    (void)path;
    (void)name;
    *(bool *)ctx = true;
}

/* One part as a JSON object; NULL when it is none. A repeated member could mean one thing here and another elsewhere. */
static struct json *part_json(struct arena *a, struct slice encoded)
{
    struct buf text = BUF_INIT(JWT_MAX);
    struct json_error err;
    bool duplicate = false;
    struct json *v = NULL;
    if (!base64url_decode(&text, encoded))
        v = json_parse(a, buf_slice(&text), &err, on_duplicate, &duplicate);
    buf_done(&text);
    return json_is(v, JSON_OBJECT) && !duplicate ? v : NULL;
}

struct slice jwt_peek_issuer(struct slice token, struct arena *a)
{
    struct parts p;
    struct json *claims = split(token, &p) ? part_json(a, p.payload) : NULL;
    return json_string(json_get_str(claims, "iss"));
}

static int deny(const char **why, const char *text)
{
    *why = text;
    return -EACCES;
}

/* Whether key k is meant by the header and its signature holds. */
static bool key_fits(const struct pki_key *k, const struct json *header, const struct parts *p, struct slice sig)
{
    char id[JWT_KEY_ID_MAX];
    const struct json *kid = json_get_str(header, "kid");
    if (!slice_eq_str(json_string(json_get_str(header, "alg")), jwt_algorithm(k)))
        return false;
    if (kid && (jwt_key_id(k, id) || !slice_eq_str(json_string(kid), id)))
        return false;
    return signature_holds(k, p->text, sig);
}

static int check_signature(const struct jwt_rules *r, const struct parts *p, const char **why)
{
    struct arena a;
    struct buf sig = BUF_INIT(RSA_SIG_MAX);
    bool ok = false;
    arena_init(&a, HEADER_ARENA);
    const struct json *header = part_json(&a, p->header);
    bool usable = header && !json_get_str(header, "crit") && base64url_decode(&sig, p->signature) == 0;
    for (size_t i = 0; usable && i < r->n_keys && i < JWT_KEYS_MAX && !ok; i++)
        ok = key_fits(r->keys[i], header, p, buf_slice(&sig));
    buf_done(&sig);
    arena_done(&a);
    return ok ? 0 : deny(why, "the token's signature does not belong to a known key");
}

/* A NumericDate in whole seconds. */
static bool read_time(const struct json *v, int64_t *ret)
{
    if (json_is(v, JSON_INT))
        *ret = v->u.integer;
    else if (json_is(v, JSON_REAL) && v->u.real >= 0 && v->u.real < 1e15)
        *ret = (int64_t)v->u.real;
    else
        return false;
    return true;
}

static int check_times(const struct json *claims, int64_t now, const char **why)
{
    int64_t at, seconds = now / NS_PER_SEC;
    const struct json *nbf = json_get_str(claims, "nbf");
    if (!read_time(json_get_str(claims, "exp"), &at))
        return deny(why, "the token has no time of expiry");
    if (seconds >= at)
        return deny(why, "the token has expired");
    if (nbf && (!read_time(nbf, &at) || seconds < at))
        return deny(why, "the token is not valid yet");
    return 0;
}

static bool wanted(const struct jwt_rules *r, struct slice audience)
{
    for (size_t i = 0; i < r->n_audiences; i++)
        if (slice_eq(r->audiences[i], audience))
            return true;
    return false;
}

static bool audience_fits(const struct jwt_rules *r, const struct json *aud)
{
    if (json_is(aud, JSON_STRING))
        return wanted(r, json_string(aud));
    if (!json_is(aud, JSON_ARRAY))
        return false;
    json_each (it, aud)
        if (json_is(it, JSON_STRING) && wanted(r, json_string(it)))
            return true;
    return false;
}

int jwt_verify(const struct jwt_rules *r, struct slice token, struct arena *a, struct json **ret, const char **why)
{
    struct parts p;
    if (!split(token, &p))
        return deny(why, "the token is not a JSON web token");
    int rv = check_signature(r, &p, why);
    if (rv)
        return rv;
    struct json *claims = part_json(a, p.payload);
    if (!claims)
        return arena_error(a) == -ENOMEM ? -ENOMEM : deny(why, "the token's claims are malformed");
    const struct json *iss = json_get_str(claims, "iss");
    if (!json_is(iss, JSON_STRING) || !slice_eq(json_string(iss), r->issuer))
        return deny(why, "the token is from another issuer");
    rv = check_times(claims, r->now, why);
    if (rv)
        return rv;
    if (!audience_fits(r, json_get_str(claims, "aud")))
        return deny(why, "the token is for another audience");
    *ret = claims;
    return 0;
}

/* ---- JWK sets ---- */

static int add_number(struct buf *out, const struct pki_key *k, const char *member, const char *param, int size)
{
    unsigned char bytes[RSA_SIG_MAX];
    BIGNUM *n = NULL;
    if (EVP_PKEY_get_bn_param(k->pkey, param, &n) != 1)
        return -EINVAL;
    int len = size ? size : BN_num_bytes(n);
    bool ok = len <= RSA_SIG_MAX && BN_bn2binpad(n, bytes, len) == len;
    BN_free(n);
    if (!ok)
        return -EINVAL;
    int rv = buf_printf(out, ",\"%s\":\"", member);
    if (!rv)
        rv = base64url_encode(out, slice_of(bytes, (size_t)len));
    return rv ? rv : buf_add_char(out, '"');
}

static int add_jwk(struct buf *out, const struct pki_key *k)
{
    char id[JWT_KEY_ID_MAX];
    int rv = jwt_key_id(k, id);
    if (!rv)
        rv = buf_printf(out, "{\"use\":\"sig\",\"kty\":\"%s\",\"kid\":\"%s\"%s,\"alg\":\"%s\"",
                        is_rsa(k) ? "RSA" : "EC", id, is_rsa(k) ? "" : ",\"crv\":\"P-256\"", jwt_algorithm(k));
    if (!rv)
        rv = is_rsa(k) ? add_number(out, k, "n", OSSL_PKEY_PARAM_RSA_N, 0)
                       : add_number(out, k, "x", OSSL_PKEY_PARAM_EC_PUB_X, HALF);
    if (!rv)
        rv = is_rsa(k) ? add_number(out, k, "e", OSSL_PKEY_PARAM_RSA_E, 0)
                       : add_number(out, k, "y", OSSL_PKEY_PARAM_EC_PUB_Y, HALF);
    return rv ? rv : buf_add_char(out, '}');
}

int jwt_jwks(const struct pki_key *const *keys, size_t n, struct buf *out)
{
    int rv = buf_add_str(out, "{\"keys\":[");
    for (size_t i = 0; !rv && i < n; i++) {
        rv = i ? buf_add_char(out, ',') : 0;
        if (!rv)
            rv = add_jwk(out, keys[i]);
    }
    ERR_clear_error();
    return rv ? rv : buf_add_str(out, "]}");
}

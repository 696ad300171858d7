/* Certificates, tokens and who a request speaks for. */
#include "net_common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/authn.h"
#include "auth/join_token.h"
#include "auth/jwt.h"
#include "auth/pki.h"
#include "auth/sa_token.h"
#include "auth/token_file.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/timefmt.h"

static const int64_t NOW = 1800000000 * NS_PER_SEC;

/* ---- certificates ---- */

static const char *const orgs[] = {"team-a", "system:masters"}, *const dns[] = {"a.example", "*.b.example"},
                         *const ips[] = {"10.0.0.1", "fe80::1"};

static const struct pki_request full = {.common_name = "node-1",
                                        .orgs = orgs,
                                        .n_orgs = 2,
                                        .dns = dns,
                                        .n_dns = 2,
                                        .ips = ips,
                                        .n_ips = 2,
                                        .server = true,
                                        .client = true,
                                        .days = 100};

static struct pki_pair *new_ca(unsigned days)
{
    struct pki_pair *ca = NULL;
    assert_int_equal(pki_ca_create("ca", days, NOW, &ca), 0);
    return ca;
}

static void test_pki_pairs(void **state)
{
    (void)state;
    struct net_env e;
    struct pki_pair *ca = new_ca(PKI_CA_DAYS), *p = NULL, *again = NULL;
    struct tls_identity id, id2;
    net_setup(&e);
    assert_int_equal(pki_issue(ca, &full, NOW, &p), 0);
    assert_int_equal(pki_pair_identity(p, &id), 0);
    assert_string_equal(id.common_name, "node-1");
    assert_int_equal(id.n_orgs, 2);
    assert_string_equal(id.orgs[1], "system:masters");
    assert_int_equal(id.not_after, NOW + 100LL * 86400 * NS_PER_SEC);
    assert_int_equal(strlen(id.fingerprint), 64);
    const char *cert = net_file(&e, "n.crt"), *key = net_file(&e, "n.key");
    assert_int_equal(pki_pair_load(loop_fs(e.l), cert, key, &again), -ENOENT);
    assert_int_equal(pki_pair_write(p, loop_fs(e.l), cert, key), 0);
    assert_int_equal(pki_pair_write(p, loop_fs(e.l), cert, key), 0); /* replaces */
    assert_int_equal(pki_pair_load(loop_fs(e.l), cert, key, &again), 0);
    assert_int_equal(pki_pair_identity(again, &id2), 0);
    assert_string_equal(id.fingerprint, id2.fingerprint);
    char command[400];
    snprintf(command, sizeof command, "test \"$(stat -c %%a %s)\" = 600 && test ! -e %s.new", key, key);
    assert_int_equal(system(command), 0);
    pki_pair_free(p);
    pki_pair_free(again);
    pki_pair_free(ca);
    net_teardown(&e);
}

static void test_pki_limits(void **state)
{
    (void)state;
    struct pki_pair *ca = new_ca(10), *p = NULL, *q = NULL;
    struct pki_request r = full;
    struct tls_identity id;
    struct buf cert = BUF_INIT(PKI_PEM_MAX), key = BUF_INIT(PKI_PEM_MAX);
    assert_int_equal(pki_issue(ca, &r, NOW, &p), 0); /* no longer than its CA */
    assert_int_equal(pki_pair_identity(p, &id), 0);
    assert_int_equal(id.not_after, NOW + 10LL * 86400 * NS_PER_SEC);
    r.server = r.client = false;
    assert_int_equal(pki_issue(ca, &r, NOW, &q), -EINVAL);
    r = full;
    r.common_name = "";
    assert_int_equal(pki_issue(ca, &r, NOW, &q), -EINVAL);
    r = full;
    r.ips = dns; /* no addresses */
    assert_int_equal(pki_issue(ca, &r, NOW, &q), -EINVAL);
    r = full;
    r.days = 0;
    assert_int_equal(pki_issue(ca, &r, NOW, &q), -EINVAL);
    r = full;
    char name[300];
    memset(name, 'x', sizeof name);
    name[200] = '\0';
    r.common_name = name; /* longer than X.520 has it, as node names may be */
    assert_int_equal(pki_issue(ca, &r, NOW, &q), 0);
    assert_int_equal(pki_pair_identity(q, &id), 0);
    assert_int_equal(strlen(id.common_name), 200);
    /* a key of another certificate */
    assert_int_equal(pki_pair_cert_pem(p, &cert), 0);
    assert_int_equal(pki_pair_key_pem(q, &key), 0);
    pki_pair_free(q);
    q = NULL;
    assert_int_equal(pki_pair_parse(buf_slice(&cert), buf_slice(&key), &q), -EINVAL);
    assert_int_equal(pki_pair_parse(SLICE("junk"), buf_slice(&key), &q), -EINVAL);
    assert_int_equal(pki_pair_parse(SLICE_NONE, SLICE_NONE, &q), -EINVAL);
    assert_int_equal(pki_cert_identity(buf_slice(&cert), &id), 0);
    assert_string_equal(id.common_name, "node-1");
    assert_int_equal(pki_cert_identity(SLICE("-----BEGIN CERTIFICATE-----\n"), &id), -EINVAL);
    assert_null(q);
    buf_done(&cert);
    buf_done(&key);
    pki_pair_free(p);
    pki_pair_free(ca);
}

static void count_name(void *ctx, bool is_ip, const char *text)
{
    unsigned *n = ctx;
    n[is_ip]++;
    assert_true(is_ip || strstr(text, "example"));
}

static void test_pki_requests(void **state)
{
    (void)state;
    struct pki_pair *ca = new_ca(100);
    struct pki_key *key = NULL;
    struct pki_csr *csr = NULL;
    struct tls_identity id;
    struct buf pem = BUF_INIT(PKI_PEM_MAX), cert = BUF_INIT(PKI_PEM_MAX);
    unsigned names[2] = {0, 0};
    assert_int_equal(pki_key_create(&key), 0);
    assert_int_equal(pki_csr_make(key, &full, &pem), 0);
    assert_int_equal(pki_csr_parse(buf_slice(&pem), &csr), 0);
    assert_int_equal(pki_csr_subject(csr, &id), 0);
    assert_string_equal(id.common_name, "node-1");
    assert_int_equal(id.n_orgs, 2);
    assert_int_equal(pki_csr_names(csr, count_name, names), 0);
    assert_int_equal(names[0], 2);
    assert_int_equal(names[1], 2);
    assert_int_equal(pki_sign_csr(ca, csr, &full, NOW, &cert), 0);
    assert_int_equal(pki_cert_identity(buf_slice(&cert), &id), 0);
    assert_string_equal(id.orgs[0], "team-a");
    struct buf key_text = BUF_INIT(PKI_PEM_MAX);
    struct pki_pair *p = NULL;
    assert_int_equal(pki_key_pem(key, &key_text), 0);
    assert_int_equal(pki_pair_parse(buf_slice(&cert), buf_slice(&key_text), &p), 0); /* they belong together */
    pki_pair_free(p);
    pki_csr_free(csr);
    csr = NULL;
    char *middle = pem.p + pem.n / 2; /* a request whose signature does not hold */
    *middle = *middle == 'A' ? 'B' : 'A';
    assert_int_equal(pki_csr_parse(buf_slice(&pem), &csr), -EINVAL);
    assert_null(csr);
    buf_done(&key_text);
    buf_done(&pem);
    buf_done(&cert);
    pki_key_free(key);
    pki_pair_free(ca);
}

/* ---- JWT ---- */

/* Made for this test, used nowhere else. */
static const char rsa_public[] = "-----BEGIN PUBLIC KEY-----\n"
                                 "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAk3A4J/qLoHfFtKskUfQe\n"
                                 "VvhzvTYfDcGKsksbcaENDjWiG4cN/eoVA043N7xsnT1zPmoSdURsZn3dcqnJ64Vp\n"
                                 "zI3RVFPIyIPoDeJe9iSoP6SbvBZEKFPzNUjazUt4YaewHoY22qcSLOFWKVbX3QhB\n"
                                 "40DhFag7d/BG+5oCOW/Q+nI8s0/uzWmzWf2BxMUUZdQcnAurp2F2bsY66Qt0i74K\n"
                                 "22Tt3vY2Yf3OQOwz/nqJKrFntFKcMBmRcPkz008CjEmGP0Mq2iBMeKFoMY3uGnrA\n"
                                 "E6vZ1yuK9p1gTiF6PK+BDWviFjMJuP2enkjHdMGUzbktmjfVODVEV7wMFygXECMc\n"
                                 "WwIDAQAB\n"
                                 "-----END PUBLIC KEY-----\n";
static const char rsa_private[] = "-----BEGIN PRIVATE KEY-----\n"
                                  "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCTcDgn+ougd8W0\n"
                                  "qyRR9B5W+HO9Nh8NwYqySxtxoQ0ONaIbhw396hUDTjc3vGydPXM+ahJ1RGxmfd1y\n"
                                  "qcnrhWnMjdFUU8jIg+gN4l72JKg/pJu8FkQoU/M1SNrNS3hhp7AehjbapxIs4VYp\n"
                                  "VtfdCEHjQOEVqDt38Eb7mgI5b9D6cjyzT+7NabNZ/YHExRRl1BycC6unYXZuxjrp\n"
                                  "C3SLvgrbZO3e9jZh/c5A7DP+eokqsWe0UpwwGZFw+TPTTwKMSYY/QyraIEx4oWgx\n"
                                  "je4aesATq9nXK4r2nWBOIXo8r4ENa+IWMwm4/Z6eSMd0wZTNuS2aN9U4NURXvAwX\n"
                                  "KBcQIxxbAgMBAAECggEAMz1+fsJv8UJ+9wW9ly/gtXgefUVIcJbxdXpt3MVMjMIu\n"
                                  "ByQeRD8ss1vlC91T4Cfhm/DwXkn75Hjc1ANXNh/FP76P4B9IOgvBw8WHHENsJ8Y1\n"
                                  "C56vbFaUwVGDHXMbsNC/ADTD7qS+x9M+hxpz5hD/GRRMxaKUnF/ow3toR37pYYh3\n"
                                  "+dc7yMYMgJpslx+KXh/vcNP+xObnJQTYC3GvvDj5FP/y/fcqsWD1t3kTFEEpIP+a\n"
                                  "w54aiC+M+RrAHUXz/2UtXKf4JMAOAV0f0Z32p/a+ap0aBX02UJxtwMyuPgjKB80r\n"
                                  "7LAO4kCQPA9j+nF8cIufd9Qve2Xg0EU2x/5i8/D8eQKBgQDNV1F20J7SGFreu6Sq\n"
                                  "UxCnauagk1YhKk2qkUu2HQi/rYGRlCW76QreihDrbOvlIvJY60Pm5H79idX22WAV\n"
                                  "U7SPndP8ogSimTHumUa7ok8One0cm8u5fP/2hwiWqM2HmEfabLBp/tyaSvg5XfDn\n"
                                  "nsILcFenUVY798u3hMrx5RpYuQKBgQC3z/OAxWwWUSzJclbtQUxCsHIczHwtvn0g\n"
                                  "XU3t2oRAaub5Yl2DBnuMNdsUoF5M4E3CUzvPrVqq0wzEhUmTuKrCg6JeQUcDFTXK\n"
                                  "gDMY+ovSWrmIoRt+nkmCvQnZj4s53vt4FqAA6yJsCEhvF46vJmlJ8maRgEhoYGkZ\n"
                                  "kRvWeFArswKBgFAEEKieDuWLvA1DTZ1ZlQnILGqyP0PZOj6XM8uZcMlQkUbrVfDt\n"
                                  "lOC3KHS1Ew9NGObxdppIu/uMdKYmeryUy62TMQInGGtMCxsQ+3EuhGQLwlP9mduE\n"
                                  "DDJC2GPtD3ohKw7Af9YuDETLpgKkyrVXNgJDGsUGevYPT4EJ7BNq1WNxAoGAG8T5\n"
                                  "57Frw+9dkc2JXmyoBcc8Zidqd0q5AqO1+0IxCr5byL9Ym0vmbGdSgso7lOeqN7p1\n"
                                  "Zcmt0fLykdoFJKEYgyx54j2AafHRX5eAoLxxVUVJlF+qlLV7K5o9m7W49fQ/D4Rz\n"
                                  "hdAAMkwKDWaEsuddrsNFRaQYzFQMbMVkbEFe80sCgYEAreWEF8vn9xh+zwUoAAiJ\n"
                                  "IfkvMhF4TpEzxwOVk/h0IzOfl7Y2uGb+Oyzc4uEuYCPVNj3V+wNlkRqOB5Ej7bsD\n"
                                  "8XAY+vnwDHNJsA5tSDAajT6i/l4zO6Xw3jXtXUdS8PKaIvDcrezN40fOZVeMNiSg\n"
                                  "GyBtnxrGEMP6GyvuBNIr/Jo=\n"
                                  "-----END PRIVATE KEY-----\n";

static struct json *claims_of(struct arena *a, const char *text)
{
    struct json *v = json_parse(a, slice_str(text), NULL, NULL, NULL);
    assert_non_null(v);
    return v;
}

static const struct slice audience = SLICE_INIT("api");

static int verify(const struct pki_key *k, struct slice token, int64_t now, struct json **ret, struct arena *a,
                  const char **why)
{
    const struct pki_key *keys[] = {k};
    const struct jwt_rules r = {
        .keys = keys, .n_keys = 1, .issuer = SLICE("us"), .audiences = &audience, .n_audiences = 1, .now = now};
    *why = "";
    return jwt_verify(&r, token, a, ret, why);
}

static void with_key(struct pki_key *private, struct pki_key *public, const char *alg)
{
    struct arena a;
    struct buf t = BUF_INIT(JWT_MAX);
    struct json *got = NULL;
    const char *why;
    arena_init(&a, 1 << 20);
    const struct json *claims = claims_of(&a, "{\"iss\":\"us\",\"aud\":[\"x\",\"api\"],\"exp\":1800000010,"
                                              "\"nbf\":1800000000,\"sub\":\"me\"}");
    assert_string_equal(jwt_algorithm(private), alg);
    assert_int_equal(jwt_sign(private, claims, &t), 0);
    assert_true(jwt_looks_like(buf_slice(&t)));
    assert_slice(jwt_peek_issuer(buf_slice(&t), &a), "us");
    assert_int_equal(verify(public, buf_slice(&t), NOW, &got, &a, &why), 0);
    assert_slice(json_path_string(got, "sub"), "me");
    assert_int_equal(verify(public, buf_slice(&t), NOW + 10 * NS_PER_SEC - 1, &got, &a, &why), 0);
    assert_int_equal(verify(public, buf_slice(&t), NOW + 10 * NS_PER_SEC, &got, &a, &why), -EACCES);
    assert_non_null(strstr(why, "expired"));
    assert_int_equal(verify(public, buf_slice(&t), NOW - 1, &got, &a, &why), -EACCES);
    assert_non_null(strstr(why, "not valid yet"));
    for (size_t i = 0; i < t.n; i += 7) { /* any damage is noticed */
        char was = t.p[i];
        t.p[i] = was == 'A' ? 'E' : 'A';
        int rv = verify(public, buf_slice(&t), NOW, &got, &a, &why);
        if (was != t.p[i])
            assert_int_equal(rv, -EACCES);
        t.p[i] = was;
    }
    assert_int_equal(verify(public, slice_of(t.p, t.n - 10), NOW, &got, &a, &why), -EACCES);
    buf_done(&t);
    arena_done(&a);
}

static void test_jwt_es256(void **state)
{
    (void)state;
    struct pki_key *key = NULL, *public = NULL, *other = NULL;
    struct buf pem = BUF_INIT(PKI_PEM_MAX);
    char id[JWT_KEY_ID_MAX], id2[JWT_KEY_ID_MAX];
    assert_int_equal(pki_key_create(&key), 0);
    assert_int_equal(pki_key_public_pem(key, &pem), 0);
    assert_int_equal(pki_key_parse(buf_slice(&pem), &public), 0);
    assert_int_equal(jwt_key_id(key, id), 0);
    assert_int_equal(jwt_key_id(public, id2), 0);
    assert_string_equal(id, id2);
    with_key(key, public, "ES256");
    struct arena a;
    struct buf t = BUF_INIT(JWT_MAX);
    struct json *got;
    const char *why;
    arena_init(&a, 1 << 20);
    const struct json *claims = claims_of(&a, "{\"iss\":\"us\",\"aud\":\"api\",\"exp\":1800000010}");
    assert_int_equal(jwt_sign(public, claims, &t), -EINVAL);
    assert_int_equal(jwt_sign(key, claims, &t), 0);
    assert_int_equal(pki_key_create(&other), 0);
    assert_int_equal(verify(other, buf_slice(&t), NOW, &got, &a, &why), -EACCES);
    assert_non_null(strstr(why, "signature"));
    buf_done(&t);
    buf_done(&pem);
    arena_done(&a);
    pki_key_free(key);
    pki_key_free(public);
    pki_key_free(other);
}

static void test_jwt_rs256(void **state)
{
    (void)state;
    struct pki_key *key = NULL, *public = NULL;
    assert_int_equal(pki_key_parse(slice_str(rsa_private), &key), 0);
    assert_int_equal(pki_key_parse(slice_str(rsa_public), &public), 0);
    with_key(key, public, "RS256");
    pki_key_free(key);
    pki_key_free(public);
}

static void refuse_claims(const struct pki_key *key, const char *text, const char *because)
{
    struct arena a;
    struct buf t = BUF_INIT(JWT_MAX);
    struct json *got;
    const char *why;
    arena_init(&a, 1 << 20);
    assert_int_equal(jwt_sign(key, claims_of(&a, text), &t), 0);
    assert_int_equal(verify(key, buf_slice(&t), NOW, &got, &a, &why), -EACCES);
    if (!strstr(why, because))
        fail_msg("%s: expected \"%s\", got \"%s\"", text, because, why);
    buf_done(&t);
    arena_done(&a);
}

static void forged(const struct pki_key *key, const char *header, const char *signature)
{
    struct arena a;
    struct buf t = BUF_INIT(JWT_MAX);
    struct json *got;
    const char *why;
    arena_init(&a, 1 << 20);
    base64url_encode(&t, slice_str(header));
    buf_add_char(&t, '.');
    base64url_encode(&t, SLICE("{\"iss\":\"us\",\"aud\":\"api\",\"exp\":1900000000}"));
    buf_add_char(&t, '.');
    buf_add_str(&t, signature);
    assert_int_equal(verify(key, buf_slice(&t), NOW, &got, &a, &why), -EACCES);
    buf_done(&t);
    arena_done(&a);
}

static void test_jwt_refusals(void **state)
{
    (void)state;
    struct pki_key *key = NULL;
    struct arena a;
    struct json *got;
    const char *why;
    assert_int_equal(pki_key_create(&key), 0);
    refuse_claims(key, "{\"iss\":\"them\",\"aud\":\"api\",\"exp\":1800000010}", "issuer");
    refuse_claims(key, "{\"aud\":\"api\",\"exp\":1800000010}", "issuer");
    refuse_claims(key, "{\"iss\":\"us\",\"aud\":\"apis\",\"exp\":1800000010}", "audience");
    refuse_claims(key, "{\"iss\":\"us\",\"aud\":[],\"exp\":1800000010}", "audience");
    refuse_claims(key, "{\"iss\":\"us\",\"exp\":1800000010}", "audience");
    refuse_claims(key, "{\"iss\":\"us\",\"aud\":\"api\"}", "expiry");
    refuse_claims(key, "{\"iss\":\"us\",\"aud\":\"api\",\"exp\":\"1900000000\"}", "expiry");
    refuse_claims(key, "{\"iss\":\"us\",\"aud\":\"api\",\"exp\":-1}", "expired");
    refuse_claims(key, "{\"iss\":\"us\",\"aud\":\"api\",\"exp\":1900000000,\"nbf\":\"x\"}", "not valid yet");
    forged(key, "{\"alg\":\"none\"}", "AA");
    forged(key, "{\"alg\":\"HS256\"}", "AAAA");
    forged(key, "{\"alg\":\"ES256\"}", "AAAA");
    forged(key, "{\"alg\":\"ES256\",\"alg\":\"ES256\"}", "AAAA");
    forged(key, "[]", "AAAA");
    forged(key, "", "AAAA");
    arena_init(&a, 1 << 20);
    static const char *const shapes[] = {"", ".", "..", "a.b", "a.b.", ".b.c", "a.b.c.d", "!.!.!"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        assert_int_equal(verify(key, slice_str(shapes[i]), NOW, &got, &a, &why), -EACCES);
    arena_done(&a);
    pki_key_free(key);
}

static void test_jwks(void **state)
{
    (void)state;
    struct pki_key *keys[2] = {NULL, NULL};
    struct buf out = BUF_INIT(1 << 16);
    struct arena a;
    assert_int_equal(pki_key_create(&keys[0]), 0);
    assert_int_equal(pki_key_parse(slice_str(rsa_public), &keys[1]), 0);
    assert_int_equal(jwt_jwks((const struct pki_key *const *)keys, 2, &out), 0);
    arena_init(&a, 1 << 20);
    const struct json *v = claims_of(&a, out.p), *list = json_get_str(v, "keys");
    assert_int_equal(json_len(list), 2);
    assert_slice(json_path_string(json_at(list, 0), "crv"), "P-256");
    assert_int_equal(json_path_string(json_at(list, 0), "x").n, 43);
    assert_int_equal(json_path_string(json_at(list, 0), "y").n, 43);
    assert_slice(json_path_string(json_at(list, 1), "kty"), "RSA");
    assert_slice(json_path_string(json_at(list, 1), "e"), "AQAB");
    assert_slice(json_path_string(json_at(list, 1), "kid"), "MelVA55JAqhOdbNKsAmoapDjd7HoYQhM1QncvYEeBe0");
    arena_done(&a);
    buf_done(&out);
    pki_key_free(keys[0]);
    pki_key_free(keys[1]);
}

/* ---- ServiceAccount tokens ---- */

static struct sa_signer *new_signer(struct net_env *e)
{
    struct pki_key *key = NULL;
    struct sa_signer *s = NULL;
    char why[256] = "";
    assert_int_equal(pki_key_create(&key), 0);
    assert_int_equal(pki_key_write(key, loop_fs(e->l), net_file(e, "sa.key")), 0);
    assert_int_equal(pki_file_write(loop_fs(e->l), net_file(e, "extra.pem"), slice_str(rsa_public)), 0);
    pki_key_free(key);
    assert_int_equal(sa_signer_new(net_file(e, "sa.key"), net_file(e, "extra.pem"), &s, why), 0);
    return s;
}

static const struct slice both[] = {SLICE_INIT("api"), SLICE_INIT("vault")};

static void make_token(struct net_env *e, const struct sa_signer *s, const char *pod, struct buf *out)
{
    const struct sa_token_request q = {.issuer = "us",
                                       .audiences = both,
                                       .n_audiences = 2,
                                       .ns = SLICE("default"),
                                       .name = SLICE("robot"),
                                       .uid = SLICE("sa-uid"),
                                       .pod_name = slice_str(pod),
                                       .pod_uid = pod ? SLICE("pod-uid") : SLICE_NONE,
                                       .node_name = pod ? SLICE("n1") : SLICE_NONE,
                                       .node_uid = pod ? SLICE("node-uid") : SLICE_NONE,
                                       .now = loop_wall(e->l),
                                       .seconds = 3600};
    assert_int_equal(sa_token_make(s, e->l, &q, out), 0);
}

/* ctx: the kind that is gone. */
static bool exists(void *ctx, const char *kind, struct slice ns, struct slice name, struct slice uid)
{
    if (strcmp(kind, "Pod") == 0) {
        assert_slice(name, "web");
        assert_slice(uid, "pod-uid");
    }
    assert_slice(ns, "default");
    return !ctx || strcmp(ctx, kind) != 0;
}

static void test_sa_tokens(void **state)
{
    (void)state;
    struct net_env e;
    struct buf t = BUF_INIT(JWT_MAX);
    struct arena a;
    struct user u;
    const char *why = "";
    net_setup(&e);
    arena_init(&a, 1 << 20);
    struct sa_signer *s = new_signer(&e);
    make_token(&e, s, "web", &t);
    struct sa_check c = {
        .issuer = SLICE("us"), .audience = SLICE("api"), .now = loop_wall(e.l), .bound_exists = exists};
    assert_int_equal(sa_token_verify(s, &c, buf_slice(&t), &a, &u, &why), 0);
    assert_slice(u.name, "system:serviceaccount:default:robot");
    assert_slice(u.uid, "sa-uid");
    assert_true(user_in_group(&u, SLICE("system:serviceaccounts")));
    assert_true(user_in_group(&u, SLICE("system:serviceaccounts:default")));
    assert_true(user_in_group(&u, SLICE("system:authenticated")));
    assert_int_equal(u.n_extra, 5);
    assert_slice(u.extra[3].value, "web");
    c.audience = SLICE("vault");
    assert_int_equal(sa_token_verify(s, &c, buf_slice(&t), &a, &u, &why), 0);
    c.audience = SLICE("elsewhere");
    assert_int_equal(sa_token_verify(s, &c, buf_slice(&t), &a, &u, &why), -EACCES);
    c.audience = SLICE("api");
    c.ctx = (void *)(uintptr_t) "Pod";
    assert_int_equal(sa_token_verify(s, &c, buf_slice(&t), &a, &u, &why), -EACCES);
    assert_non_null(strstr(why, "pod"));
    c.ctx = (void *)(uintptr_t) "ServiceAccount";
    assert_int_equal(sa_token_verify(s, &c, buf_slice(&t), &a, &u, &why), -EACCES);
    c.ctx = NULL;
    c.now += 3600 * NS_PER_SEC;
    assert_int_equal(sa_token_verify(s, &c, buf_slice(&t), &a, &u, &why), -EACCES);
    struct buf jwks = BUF_INIT(1 << 16);
    assert_int_equal(sa_signer_jwks(s, &jwks), 0);
    assert_int_equal(json_len(json_get_str(claims_of(&a, jwks.p), "keys")), 2);
    buf_done(&jwks);
    char why2[256] = "";
    struct sa_signer *none = NULL;
    assert_true(sa_signer_new(net_file(&e, "extra.pem"), NULL, &none, why2) < 0); /* public only */
    assert_non_null(strstr(why2, "no private key"));
    assert_true(sa_signer_new(net_file(&e, "absent"), NULL, &none, why2) < 0);
    assert_non_null(strstr(why2, "absent"));
    assert_null(none);
    sa_signer_free(s);
    buf_done(&t);
    arena_done(&a);
    net_teardown(&e);
}

/* ---- the token file ---- */

static void test_token_file(void **state)
{
    (void)state;
    struct token_file *f = NULL;
    struct arena a;
    struct user u;
    char why[256] = "";
    arena_init(&a, 1 << 20);
    assert_int_equal(
        token_file_parse(SLICE("# who\n\nt1,alice,u1\r\n t2 , bob , u2 , \"dev, system:masters\"\nt3,eve,,x"), &f, why),
        0);
    assert_int_equal(token_file_rows(f), 3);
    assert_true(token_file_find(f, SLICE("t1"), &a, &u));
    assert_slice(u.name, "alice");
    assert_slice(u.uid, "u1");
    assert_int_equal(u.n_groups, 1);
    assert_true(token_file_find(f, SLICE("t2"), &a, &u));
    assert_true(user_in_group(&u, SLICE("system:masters")));
    assert_true(user_in_group(&u, SLICE("dev")));
    assert_true(user_in_group(&u, SLICE("system:authenticated")));
    assert_false(token_file_find(f, SLICE("t"), &a, &u));
    assert_false(token_file_find(f, SLICE(""), &a, &u));
    token_file_free(f);
    f = NULL;
    static const char *const bad[] = {"t1",        "t1,u",         ",user,uid", "t1,,uid",
                                      "t,u,i,\"g", "t,u,i,\"g\"x", "t,u,i,g,h", "t,a,1\nt,b,2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(token_file_parse(slice_str(bad[i]), &f, why), -EINVAL);
        assert_non_null(strstr(why, "line"));
    }
    assert_null(f);
    arena_done(&a);
}

/* ---- requests ---- */

struct authn_case {
    struct net_env *e;
    struct authn *n;
};

static void on_request(void *ctx, struct http_exchange *x)
{
    struct authn_case *c = ctx;
    struct user u = {0};
    struct status st = {0};
    struct arena *a = http_arena(x);
    authn_http(c->n, x, a, &u, &st);
    const char *text = st.code ? "refused"
                               : arena_printf(a, "%" SLICE_FMT "%s%s", SLICE_ARG(u.name),
                                              u.anonymous ? " anonymous" : "", u.forwarded ? " forwarded" : "");
    for (size_t i = 0; i < u.n_groups; i++)
        text = arena_printf(a, "%s %" SLICE_FMT, text, SLICE_ARG(u.groups[i]));
    struct chunk body = chunk_take(blob_copy(slice_str(text)));
    http_reply(x, st.code ? st.code : 200, NULL, 0, &body, 1);
}

static void ask(struct net_env *e, struct http_client *client, const struct http_header *h, size_t n, const char *want)
{
    struct net_call c = {0};
    const struct http_call_options o = {.method = "GET", .path = "/", .headers = h, .n_headers = n};
    net_call_start(&c, client, &o);
    net_run(e, net_is_done, &c);
    assert_int_equal(c.err, 0);
    assert_int_equal(c.code, strcmp(want, "refused") == 0 ? 401 : 200);
    assert_slice(buf_slice(&c.body), want);
    net_call_done(&c);
}

static struct http_client *client_named(struct net_env *e, const char *cn, const char *org, struct tls_context **t)
{
    struct pki_pair *ca = NULL, *p = NULL;
    char why[256];
    const char *const groups[] = {org, "system:unauthenticated"}; /* the second is not for certificates to claim */
    const struct pki_request r = {.common_name = cn, .orgs = groups, .n_orgs = 2, .client = true, .days = 1};
    assert_int_equal(pki_pair_load(loop_fs(e->l), net_file(e, "ca.crt"), net_file(e, "ca.key"), &ca), 0);
    assert_int_equal(pki_issue(ca, &r, loop_wall(e->l), &p), 0);
    assert_int_equal(pki_pair_write(p, loop_fs(e->l), net_file(e, "x.crt"), net_file(e, "x.key")), 0);
    pki_pair_free(p);
    pki_pair_free(ca);
    const struct tls_options o = {
        .cert_file = net_file(e, "x.crt"), .key_file = net_file(e, "x.key"), .ca_file = net_file(e, "ca.crt")};
    assert_int_equal(tls_context_new(&o, t, why), 0);
    const struct http_client_options co = {.addr = e->addr, .tls = *t};
    return http_client_new(e->l, &co);
}

static void serve(struct net_env *e, struct authn_case *c)
{
    char why[256];
    net_make_certs(e);
    const struct tls_options t = {.cert_file = net_file(e, "server.crt"),
                                  .key_file = net_file(e, "server.key"),
                                  .ca_file = net_file(e, "ca.crt"),
                                  .verify_client = true};
    const struct tls_options ct = {.ca_file = net_file(e, "ca.crt")};
    assert_int_equal(tls_context_new(&t, &e->server_tls, why), 0);
    assert_int_equal(tls_context_new(&ct, &e->client_tls, why), 0);
    const struct http_server_options o = {
        .listen = "127.0.0.1:0", .tls = e->server_tls, .on_request = on_request, .ctx = c};
    assert_int_equal(http_server_new(e->l, &o, &e->server), 0);
    snprintf(e->addr, sizeof e->addr, "127.0.0.1:%u", http_server_port(e->server));
}

static void test_authn_tokens(void **state)
{
    (void)state;
    struct net_env e;
    struct authn_case c = {&e, NULL};
    char why[256] = "";
    struct buf t = BUF_INIT(JWT_MAX);
    net_setup(&e);
    struct sa_signer *s = new_signer(&e);
    assert_int_equal(pki_file_write(loop_fs(e.l), net_file(&e, "tokens"), SLICE("secret,alice,u1,\"dev\"")), 0);
    struct authn_options o = {.token_file = net_file(&e, "tokens"), .signer = s, .issuer = "us", .audience = "api"};
    assert_int_equal(authn_new(e.l, &o, &c.n, why), 0);
    serve(&e, &c);
    struct http_client *client = net_client(&e);
    struct http_header h[3] = {{SLICE("authorization"), SLICE("Bearer secret")}};
    ask(&e, client, NULL, 0, "system:anonymous anonymous system:unauthenticated");
    ask(&e, client, h, 1, "alice dev system:authenticated");
    h[0].value = SLICE("bearer   secret ");
    ask(&e, client, h, 1, "alice dev system:authenticated");
    h[0].value = SLICE("Bearer wrong");
    ask(&e, client, h, 1, "refused");
    h[0].value = SLICE("Basic c2VjcmV0");
    ask(&e, client, h, 1, "refused");
    h[0].value = SLICE("Bearer");
    ask(&e, client, h, 1, "refused");
    buf_add_str(&t, "Bearer ");
    make_token(&e, s, "web", &t);
    h[0].value = buf_slice(&t);
    const char *robot = "system:serviceaccount:default:robot system:serviceaccounts "
                        "system:serviceaccounts:default system:authenticated";
    ask(&e, client, h, 1, robot);
    authn_set_bound(c.n, exists, (void *)(uintptr_t) "Pod");
    ask(&e, client, h, 1, "refused");
    authn_set_bound(c.n, exists, NULL);
    ask(&e, client, h, 1, robot);
    h[0] = (struct http_header){SLICE("x-remote-user"), SLICE("root")}; /* nobody may say so without a certificate */
    h[1] = (struct http_header){SLICE("x-remote-group"), SLICE("system:masters")};
    ask(&e, client, h, 2, "system:anonymous anonymous system:unauthenticated");
    http_client_free(client);
    assert_int_equal(pki_file_write(loop_fs(e.l), net_file(&e, "tokens"), SLICE("broken")), 0);
    struct authn *none = NULL;
    assert_true(authn_new(e.l, &o, &none, why) < 0);
    assert_non_null(strstr(why, "line 1"));
    authn_free(c.n);
    sa_signer_free(s);
    buf_done(&t);
    net_teardown(&e);
}

static void test_authn_certificates(void **state)
{
    (void)state;
    struct net_env e;
    struct authn_case c = {&e, NULL};
    struct tls_context *t;
    char why[256] = "";
    net_setup(&e);
    const struct authn_options o = {.issuer = "us", .audience = "api"};
    assert_int_equal(authn_new(e.l, &o, &c.n, why), 0);
    serve(&e, &c);
    const struct http_header h[] = {{SLICE("x-remote-user"), SLICE("carol")},
                                    {SLICE("x-remote-group"), SLICE("dev")},
                                    {SLICE("x-remote-group"), SLICE("system:authenticated")},
                                    {SLICE("x-remote-uid"), SLICE("u7")}};
    struct http_client *client = client_named(&e, "dave", "ops", &t);
    ask(&e, client, NULL, 0, "dave ops system:authenticated");
    ask(&e, client, h, 4, "dave ops system:authenticated"); /* an ordinary client speaks for itself only */
    http_client_free(client);
    tls_context_free(t);
    client = client_named(&e, "replica-2", AUTHN_SERVERS_GROUP, &t);
    ask(&e, client, h, 4, "carol forwarded dev system:authenticated");
    ask(&e, client, NULL, 0, "replica-2 pintle:servers system:authenticated");
    http_client_free(client);
    tls_context_free(t);
    authn_free(c.n);
    net_teardown(&e);
}

/* ---- join tokens ---- */

static void test_join_token_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "abc123",
                                      "abc123.",
                                      "abc12.0123456789abcdef",
                                      "abc123.0123456789abcde",
                                      "abc123.0123456789abcdeF",
                                      "abc123.0123456789abcdef.",
                                      "abc123.0123456789abcdef.0123456789abcdef0123456789abcde",
                                      "abc123.0123456789abcdef.0123456789abcdef0123456789abcdeg",
                                      "abc123.0123456789abcdef.0123456789abcdef0123456789abcdef.x"};
    struct join_token t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(join_token_parse(slice_str(bad[i]), &t), -EINVAL);
    assert_int_equal(join_token_parse(SLICE(" abc123.0123456789abcdef\n"), &t), 0);
    assert_string_equal(t.id, "abc123");
    assert_string_equal(t.secret, "0123456789abcdef");
    assert_string_equal(t.ca, "");
    assert_true(join_token_same(SLICE("ab"), SLICE("ab")));
    assert_false(join_token_same(SLICE("ab"), SLICE("ac")));
    assert_false(join_token_same(SLICE("ab"), SLICE("abc")));
    assert_false(join_token_same(SLICE_NONE, SLICE("a")));
}

/* The token names one authority and no other, by all or by the first half of its key's hash. */
static void test_join_token_authority(void **state)
{
    (void)state;
    struct pki_pair *ca = new_ca(10), *other = new_ca(10);
    struct buf pem = BUF_INIT(PKI_PEM_MAX), other_pem = BUF_INIT(PKI_PEM_MAX);
    struct join_token t = {.id = "abc123"};
    assert_int_equal(pki_pair_cert_pem(ca, &pem), 0);
    assert_int_equal(pki_pair_cert_pem(other, &other_pem), 0);
    assert_false(join_token_knows(&t, buf_slice(&pem))); /* it names none */
    assert_int_equal(join_token_ca_of(buf_slice(&pem), t.ca), 0);
    assert_int_equal(strlen(t.ca), JOIN_TOKEN_CA_MAX);
    assert_true(join_token_knows(&t, buf_slice(&pem)));
    t.ca[JOIN_TOKEN_CA_MIN] = '\0';
    assert_true(join_token_knows(&t, buf_slice(&pem)));
    assert_false(join_token_knows(&t, buf_slice(&other_pem)));
    assert_false(join_token_knows(&t, SLICE("no certificate")));
    t.ca[JOIN_TOKEN_CA_MIN - 1] = '\0'; /* too short to mean one */
    assert_false(join_token_knows(&t, buf_slice(&pem)));
    buf_done(&pem);
    buf_done(&other_pem);
    pki_pair_free(ca);
    pki_pair_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pki_pairs),
        cmocka_unit_test(test_pki_limits),
        cmocka_unit_test(test_pki_requests),
        cmocka_unit_test(test_jwt_es256),
        cmocka_unit_test(test_jwt_rs256),
        cmocka_unit_test(test_jwt_refusals),
        cmocka_unit_test(test_jwks),
        cmocka_unit_test(test_sa_tokens),
        cmocka_unit_test(test_token_file),
        cmocka_unit_test(test_join_token_text),
        cmocka_unit_test(test_join_token_authority),
        cmocka_unit_test(test_authn_tokens),
        cmocka_unit_test(test_authn_certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

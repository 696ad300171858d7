/* Tokens: none of them is signed by our key, so none is accepted. Half are given the right head, to reach what is read
 * behind it. */
#include "fuzz.h"

#include "auth/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct pki_key *key;
    static const struct slice audience = SLICE_INIT("api");
    if (!key)
        FUZZ_CHECK(pki_key_create(&key) == 0);
    const struct pki_key *keys[] = {key};
    struct jwt_rules r = {
        .keys = keys, .n_keys = 1, .issuer = SLICE("i"), .audiences = &audience, .n_audiences = 1, .now = 1};
    struct arena a;
    struct json *claims = NULL;
    const char *why = NULL;
    arena_init(&a, FUZZ_ARENA_MAX);
    struct slice token = slice_of(p, n);
    if (n && p[0] == '!') /* {"alg":"ES256"} */
        token = slice_str(arena_printf(&a, "eyJhbGciOiJFUzI1NiJ9.%.*s", (int)(n - 1), (const char *)p + 1));
    (void)jwt_looks_like(token);
    (void)jwt_peek_issuer(token, &a);
    FUZZ_CHECK(jwt_verify(&r, token, &a, &claims, &why) != 0 && !claims);
    arena_done(&a);
    return 0;
}

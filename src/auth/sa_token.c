#include "auth/sa_token.h"

#include <errno.h>
#include <stdio.h>

#include "auth/jwt.h"
#include "base/mem.h"
#include "base/timefmt.h"

enum { CLAIMS_ARENA = 256 << 10, EXTRA_MAX = 5, WHY_MAX = 256 };

struct sa_signer {
    struct pki_key *keys[JWT_KEYS_MAX]; /* the first one signs */
    size_t n;
};

/* ---- keys ---- */

/* The next PEM block of text, or nothing. */
static struct slice next_block(struct slice *text)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";
    const char *from = text->n ? memmem(text->p, text->n, begin, sizeof begin - 1) : NULL;
    if (!from)
        return SLICE_NONE;
    struct slice rest = slice_of(from, text->n - (size_t)(from - text->p));
    const char *to = memmem(rest.p, rest.n, end, sizeof end - 1);
    const char *line = to ? memchr(to, '\n', rest.n - (size_t)(to - rest.p)) : NULL;
    size_t n = line ? (size_t)(line - rest.p) + 1 : rest.n;
    *text = slice_from(rest, n);
    return slice_of(rest.p, n);
}

static int add_keys(struct sa_signer *s, struct slice text)
{
    size_t before = s->n;
    for (struct slice block; (block = next_block(&text)).n;) {
        if (s->n == JWT_KEYS_MAX)
            return -E2BIG;
        if (pki_key_parse(block, &s->keys[s->n]))
            continue; /* such as EC PARAMETERS before a key */
        s->n++;
    }
    return s->n > before ? 0 : -EINVAL;
}

static int read_keys(struct sa_signer *s, const char *path, char why[WHY_MAX])
{
    struct buf text = BUF_INIT(PKI_PEM_MAX);
    int rv = pki_text_load(path, &text);
    if (rv)
        snprintf(why, WHY_MAX, "cannot read %s: %s", path, strerror(-rv));
    else if ((rv = add_keys(s, buf_slice(&text))))
        snprintf(why, WHY_MAX, "%s holds no usable key (ECDSA P-256, or RSA of 2048 bits or more)", path);
    pki_wipe(&text);
    buf_done(&text);
    return rv;
}

int sa_signer_new(const char *key_file, const char *extra_file, struct sa_signer **ret, char why[WHY_MAX])
{
    struct buf probe = BUF_INIT(PKI_PEM_MAX);
    struct sa_signer *s = mem_new(struct sa_signer);
    int rv = read_keys(s, key_file, why);
    if (!rv && pki_key_pem(s->keys[0], &probe)) {
        snprintf(why, WHY_MAX, "%s holds no private key", key_file);
        rv = -EINVAL;
    }
    pki_wipe(&probe);
    buf_done(&probe);
    if (!rv && extra_file)
        rv = read_keys(s, extra_file, why);
    if (rv) {
        sa_signer_free(s);
        return rv;
    }
    *ret = s;
    return 0;
}

void sa_signer_free(struct sa_signer *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        pki_key_free(s->keys[i]);
    mem_free(s);
}

static const struct pki_key *const *keys_of(const struct sa_signer *s)
{
    return (const struct pki_key *const *)s->keys;
}

const char *sa_signer_algorithm(const struct sa_signer *s)
{
    return jwt_algorithm(s->keys[0]);
}

int sa_signer_jwks(const struct sa_signer *s, struct buf *out)
{
    return jwt_jwks(keys_of(s), s->n, out);
}

/* ---- making ---- */

static struct json *reference(struct arena *a, struct slice name, struct slice uid)
{
    struct json *ref = json_new_object(a);
    json_set_str(a, ref, "name", json_new_string(a, name));
    json_set_str(a, ref, "uid", json_new_string(a, uid));
    return ref;
}

static struct json *private_claims(struct arena *a, const struct sa_token_request *q)
{
    struct json *k = json_new_object(a);
    json_set_str(a, k, "namespace", json_new_string(a, q->ns));
    if (q->node_name.n)
        json_set_str(a, k, "node", reference(a, q->node_name, q->node_uid));
    if (q->pod_name.n)
        json_set_str(a, k, "pod", reference(a, q->pod_name, q->pod_uid));
    if (q->secret_name.n)
        json_set_str(a, k, "secret", reference(a, q->secret_name, q->secret_uid));
    json_set_str(a, k, "serviceaccount", reference(a, q->name, q->uid));
    return k;
}

/* A random UUID (RFC 9562, version 4). */
static struct json *new_token_id(struct arena *a, struct loop *l)
{
    unsigned char b[16];
    loop_random(l, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    return json_new_printf(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                           b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static struct json *make_claims(struct arena *a, struct loop *l, const struct sa_token_request *q)
{
    struct json *c = json_new_object(a), *aud = json_new_array(a);
    int64_t now = q->now / NS_PER_SEC;
    for (size_t i = 0; i < q->n_audiences; i++)
        json_append(aud, json_new_string(a, q->audiences[i]));
    json_set_str(a, c, "aud", aud);
    json_set_str(a, c, "exp", json_new_int(a, now + q->seconds));
    json_set_str(a, c, "iat", json_new_int(a, now));
    json_set_str(a, c, "iss", json_new_str(a, q->issuer));
    json_set_str(a, c, "jti", new_token_id(a, l));
    json_set_str(a, c, "kubernetes.io", private_claims(a, q));
    json_set_str(a, c, "nbf", json_new_int(a, now));
    json_set_str(
        a, c, "sub",
        json_new_printf(a, "system:serviceaccount:%" SLICE_FMT ":%" SLICE_FMT, SLICE_ARG(q->ns), SLICE_ARG(q->name)));
    return c;
}

int sa_token_make(const struct sa_signer *s, struct loop *l, const struct sa_token_request *q, struct buf *out)
{
    struct arena a;
    arena_init(&a, CLAIMS_ARENA);
    const struct json *claims = make_claims(&a, l, q);
    int rv = arena_error(&a) ? arena_error(&a) : jwt_sign(s->keys[0], claims, out);
    arena_done(&a);
    return rv;
}

/* ---- verifying ---- */

static int deny(const char **why, const char *text)
{
    *why = text;
    return -EACCES;
}

static bool lives(const struct sa_check *c, const char *kind, struct slice ns, const struct json *ref)
{
    struct slice name = json_string(json_get_str(ref, "name")), uid = json_string(json_get_str(ref, "uid"));
    return name.n && uid.n && (!c->bound_exists || c->bound_exists(c->ctx, kind, ns, name, uid));
}

static int check_bound(const struct sa_check *c, const struct json *k, struct slice ns, const char **why)
{
    const struct json *pod = json_get_str(k, "pod"), *secret = json_get_str(k, "secret"),
                      *node = json_get_str(k, "node");
    if (!lives(c, "ServiceAccount", ns, json_get_str(k, "serviceaccount")))
        return deny(why, "the token's service account does not exist any more");
    if (pod && !lives(c, "Pod", ns, pod))
        return deny(why, "the pod that the token is bound to does not exist any more");
    if (secret && !lives(c, "Secret", ns, secret))
        return deny(why, "the secret that the token is bound to does not exist any more");
    if (node && !pod && !lives(c, "Node", SLICE_NONE, node))
        return deny(why, "the node that the token is bound to does not exist any more");
    return 0;
}

static void add_extra(struct user_extra *extra, size_t *n, const char *key, struct slice value)
{
    if (value.n)
        extra[(*n)++] = (struct user_extra){slice_str(key), value};
}

static int fill_user(struct user *u, struct arena *a, const struct json *claims, const struct json *k, struct slice ns)
{
    enum { GROUPS = 3 };
    struct slice *groups = arena_alloc(a, GROUPS * sizeof *groups);
    struct user_extra *extra = arena_alloc(a, EXTRA_MAX * sizeof *extra);
    struct slice jti = json_string(json_get_str(claims, "jti"));
    size_t n = 0;
    if (!groups || !extra)
        return -ENOMEM;
    groups[0] = SLICE("system:serviceaccounts");
    groups[1] = slice_str(arena_printf(a, "system:serviceaccounts:%" SLICE_FMT, SLICE_ARG(ns)));
    groups[2] = SLICE("system:authenticated");
    if (jti.n)
        add_extra(extra, &n, "authentication.kubernetes.io/credential-id",
                  slice_str(arena_printf(a, "JTI=%" SLICE_FMT, SLICE_ARG(jti))));
    add_extra(extra, &n, "authentication.kubernetes.io/node-name", json_path_string(k, "node.name"));
    add_extra(extra, &n, "authentication.kubernetes.io/node-uid", json_path_string(k, "node.uid"));
    add_extra(extra, &n, "authentication.kubernetes.io/pod-name", json_path_string(k, "pod.name"));
    add_extra(extra, &n, "authentication.kubernetes.io/pod-uid", json_path_string(k, "pod.uid"));
    *u = (struct user){.name = json_string(json_get_str(claims, "sub")),
                       .uid = json_path_string(k, "serviceaccount.uid"),
                       .groups = groups,
                       .n_groups = GROUPS,
                       .extra = extra,
                       .n_extra = n};
    return arena_error(a) ? -ENOMEM : 0;
}

int sa_token_verify(const struct sa_signer *s, const struct sa_check *c, struct slice token, struct arena *a,
                    struct user *u, const char **why)
{
    const struct jwt_rules rules = {.keys = keys_of(s),
                                    .n_keys = s->n,
                                    .issuer = c->issuer,
                                    .audiences = &c->audience,
                                    .n_audiences = 1,
                                    .now = c->now};
    struct json *claims;
    int rv = jwt_verify(&rules, token, a, &claims, why);
    if (rv)
        return rv;
    const struct json *k = json_get_str(claims, "kubernetes.io");
    struct slice ns = json_string(json_get_str(k, "namespace"));
    const char *sub = arena_printf(a, "system:serviceaccount:%" SLICE_FMT ":%" SLICE_FMT, SLICE_ARG(ns),
                                   SLICE_ARG(json_path_string(k, "serviceaccount.name")));
    if (!ns.n || !slice_eq_str(json_string(json_get_str(claims, "sub")), sub))
        return deny(why, "the token's subject is not its service account");
    rv = check_bound(c, k, ns, why);
    return rv ? rv : fill_user(u, a, claims, k, ns);
}

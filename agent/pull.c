#include "agent/pull.h"

#include <errno.h>

#include "agent/volumes/volumes.h"
#include "base/mem.h"
#include "base/text.h"
#include "object/meta.h"

enum { PULL_ARENA_MAX = 4 << 20, PULL_SECRET_MAX = 1 << 20 };

/* ---- which credentials ---- */

struct place {
    struct slice host, path;
};

/* "HOST[:PORT]/PATH" of an image, the hub's when it names no registry. */
static struct place image_place(struct slice image)
{
    struct slice first, rest;
    bool parts = slice_cut(image, '/', &first, &rest);
    bool named =
        parts && (memchr(first.p, '.', first.n) || memchr(first.p, ':', first.n) || slice_eq_str(first, "localhost"));
    if (!named)
        return (struct place){SLICE("index.docker.io"), image};
    return (struct place){slice_eq_str(first, "docker.io") ? SLICE("index.docker.io") : first, rest};
}

/* A key of "auths": [SCHEME://]HOST[:PORT][/PATH], "/v1/" and "/v2/" meaning nothing. */
static struct place key_place(struct slice key)
{
    struct place p;
    if (slice_starts(key, SLICE("https://")))
        key = slice_from(key, 8);
    else if (slice_starts(key, SLICE("http://")))
        key = slice_from(key, 7);
    slice_cut(key, '/', &p.host, &p.path);
    if (slice_starts(p.path, SLICE("v1")) || slice_starts(p.path, SLICE("v2")))
        p.path = SLICE_NONE;
    while (p.path.n && p.path.p[p.path.n - 1] == '/')
        p.path.n--;
    if (slice_eq_str(p.host, "docker.io"))
        p.host = SLICE("index.docker.io");
    return p;
}

/* Label by label; "*" stands for any one label. */
static bool host_matches(struct slice pattern, struct slice host)
{
    while (pattern.n && host.n) {
        struct slice want, have;
        slice_cut(pattern, '.', &want, &pattern);
        slice_cut(host, '.', &have, &host);
        if (!slice_eq_str(want, "*") && !slice_eq(want, have))
            return false;
    }
    return !pattern.n && !host.n;
}

static bool is_for(struct slice key, struct slice image)
{
    struct place have = image_place(image), want = key_place(key);
    bool below = slice_starts(have.path, want.path) &&
                 (!want.path.n || have.path.n == want.path.n || strchr("/:@", have.path.p[want.path.n]));
    return host_matches(want.host, have.host) && below;
}

static const char *decoded(struct arena *a, struct slice base64)
{
    struct buf text = BUF_INIT(PULL_SECRET_MAX);
    const char *out = base64_decode(&text, base64) ? NULL : arena_copy(a, buf_slice(&text)).p;
    buf_done(&text);
    return out;
}

/* {"username": …, "password": …} or {"auth": base64 of "username:password"} */
static bool read_credential(struct arena *a, const struct json *entry, struct pull_credential *ret)
{
    struct slice name = json_path_string(entry, "username"), word = json_path_string(entry, "password");
    const char *auth = decoded(a, json_path_string(entry, "auth"));
    if (!name.n && auth)
        slice_cut(slice_str(auth), ':', &name, &word);
    ret->username = arena_printf(a, "%" SLICE_FMT, SLICE_ARG(name));
    ret->password = arena_printf(a, "%" SLICE_FMT, SLICE_ARG(word));
    return name.n;
}

void pull_credentials(struct arena *a, const struct json *secret, struct slice image, struct pull_credential *out,
                      size_t *n)
{
    const struct json *data = json_get_str(secret, "data");
    struct slice now = json_string(json_get_str(data, ".dockerconfigjson"));
    struct slice old = json_string(json_get_str(data, ".dockercfg"));
    const char *text = decoded(a, now.n ? now : old);
    struct json_error err;
    const struct json *config = text ? json_parse(a, slice_str(text), &err, NULL, NULL) : NULL;
    json_each (entry, now.n ? json_get_str(config, "auths") : config)
        if (*n < PULL_CREDENTIALS_MAX && is_for(entry->key, image) && read_credential(a, entry, &out[*n]))
            (*n)++;
}

/* ---- pulling ---- */

struct pull {
    struct agent *agent;
    struct arena arena;
    struct json *pod; /* what is needed of it */
    struct slice image;
    unsigned timeout_ms;
    size_t secret; /* the next one to fetch */
    struct pull_credential credentials[PULL_CREDENTIALS_MAX];
    size_t n, tried;
    void (*done)(void *ctx, int err, const char *message, const ProtobufCMessage *response);
    void *ctx;
};

static void try_next(struct pull *u);

static void on_pulled(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct pull *u = ctx;
    if (err && err != -ESHUTDOWN && u->tried < u->n) {
        try_next(u);
        return;
    }
    u->done(u->ctx, err, message, response);
    arena_done(&u->arena);
    mem_free(u);
}

static void try_next(struct pull *u)
{
    Runtime__V1__PullImageRequest q = RUNTIME__V1__PULL_IMAGE_REQUEST__INIT;
    Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    Runtime__V1__AuthConfig auth = RUNTIME__V1__AUTH_CONFIG__INIT;
    spec.image = (char *)u->image.p;
    q.image = &spec;
    if (u->tried < u->n) {
        auth.username = (char *)u->credentials[u->tried].username;
        auth.password = (char *)u->credentials[u->tried].password;
        q.auth = &auth;
        u->tried++;
    }
    cri_call(u->agent->cri, CRI_PULL_IMAGE, &q.base, u->timeout_ms, on_pulled, u);
}

static void fetch_next(struct pull *u);

static void on_secret(void *ctx, int err, const struct json *secret)
{
    struct pull *u = ctx;
    if (!err && secret)
        pull_credentials(&u->arena, secret, u->image, u->credentials, &u->n);
    fetch_next(u);
}

static void fetch_next(struct pull *u)
{
    const struct json *ref = json_at(json_path(u->pod, "spec.imagePullSecrets"), u->secret++);
    struct slice name = json_path_string(ref, "name");
    if (name.n)
        volumes_fetch(u->agent->volumes, "secrets", meta_namespace(u->pod), name, on_secret, u);
    else if (ref)
        fetch_next(u);
    else
        try_next(u);
}

void image_pull(struct agent *agent, const struct json *pod, struct slice image, unsigned timeout_ms,
                void (*done)(void *ctx, int err, const char *message, const ProtobufCMessage *response), void *ctx)
{
    struct pull *u = mem_new(struct pull);
    *u = (struct pull){.agent = agent, .timeout_ms = timeout_ms, .done = done, .ctx = ctx};
    arena_init(&u->arena, PULL_ARENA_MAX);
    u->image = slice_str(arena_printf(&u->arena, "%" SLICE_FMT, SLICE_ARG(image)));
    u->pod = json_clone(&u->arena, pod); /* the pod's own may be replaced meanwhile */
    fetch_next(u);
}

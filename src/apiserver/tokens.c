/* Bootstrap tokens: Secrets of type bootstrap.kubernetes.io/token in kube-system, as Kubernetes keeps them, and one usage of
 * our own: usage-pintle-server lets a machine ask to become a replica (join.c). Each replica answers from its own
 * state.
 *
 * Wrong ones are counted: TOKENS_WRONG_MAX a minute from one address, TOKENS_WRONG_ALL_MAX from all together; beyond it
 * nobody's token is looked at for a while, so that secrets cannot be guessed. The leader removes what has expired. */
#include <errno.h>
#include <stdio.h>

#include "apiserver/internal.h"
#include "apiserver/output.h"
#include "auth/join_token.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/timefmt.h"
#include "object/meta.h"

enum {
    TOKENS_SOURCES_MAX = 256, /* addresses remembered; the one whose minute ends first makes room */
    TOKENS_WRONG_MAX = 10,
    TOKENS_WRONG_ALL_MAX = 100,
    TOKENS_MINUTE_MS = 60 * 1000,
    TOKENS_CLEAN_MS = 10 * 1000,
    TOKENS_SOURCE_MAX = 64,
};

static const char prefix[] = "kube-system/bootstrap-token-";

struct source {
    char address[TOKENS_SOURCE_MAX];
    unsigned wrong;
    uint64_t until; /* loop_now when its minute ends */
};

struct api_tokens {
    struct api *api;
    struct loop_timer timer;
    struct source sources[TOKENS_SOURCES_MAX], all;
    struct token_call *call; /* a removal under way, or NULL */
};

struct token_call {
    struct api_local local; /* first: a cancelled call is freed as its api_local */
    struct api_tokens *t;
};

/* ---- counting ---- */

/* The address without its port. */
static void copy_address(char out[TOKENS_SOURCE_MAX], const char *from)
{
    const char *colon = strrchr(from, ':');
    size_t n = colon ? (size_t)(colon - from) : strlen(from);
    if (n >= TOKENS_SOURCE_MAX)
        n = TOKENS_SOURCE_MAX - 1;
    memcpy(out, from, n);
    out[n] = '\0';
}

/* The place of an address, or the one to give up for it. */
static struct source *source_of(struct api_tokens *t, const char *address)
{
    struct source *oldest = &t->sources[0];
    for (size_t i = 0; i < TOKENS_SOURCES_MAX; i++) {
        if (!strcmp(t->sources[i].address, address))
            return &t->sources[i];
        if (t->sources[i].until < oldest->until)
            oldest = &t->sources[i];
    }
    return oldest;
}

static bool is_over(const struct source *s, unsigned most, uint64_t now)
{
    return s->wrong >= most && now < s->until;
}

static void count(struct source *s, const char *address, uint64_t now)
{
    if (now >= s->until || strcmp(s->address, address) != 0) {
        *s = (struct source){.until = now + (uint64_t)TOKENS_MINUTE_MS * NS_PER_MS};
        snprintf(s->address, sizeof s->address, "%s", address);
    }
    s->wrong++;
}

static bool too_many(struct api_tokens *t, const char *address)
{
    uint64_t now = loop_now(t->api->loop);
    const struct source *s = source_of(t, address);
    return (!strcmp(s->address, address) && is_over(s, TOKENS_WRONG_MAX, now)) ||
           is_over(&t->all, TOKENS_WRONG_ALL_MAX, now);
}

static void count_wrong(struct api_tokens *t, const char *address)
{
    uint64_t now = loop_now(t->api->loop);
    count(source_of(t, address), address, now);
    count(&t->all, "", now);
    log_warn(loop_log(t->api->loop), "tokens", "wrong or expired bootstrap token from=%s", address);
}

/* ---- the Secrets ---- */

static struct slice datum(struct arena *a, const struct json *secret, const char *name)
{
    struct buf out = BUF_INIT(4096);
    struct slice text = json_string(json_get_str(json_get_str(secret, "data"), name)), value = SLICE_NONE;
    if (text.n && !base64_decode(&out, text))
        value = arena_copy(a, buf_slice(&out));
    buf_done(&out);
    return value;
}

static bool is_set(struct arena *a, const struct json *secret, const char *usage)
{
    return slice_eq_str(datum(a, secret, usage), "true");
}

/* A time that cannot be read is over. */
static bool is_expired(struct arena *a, const struct json *secret, int64_t now)
{
    int64_t until;
    struct slice text = datum(a, secret, "expiration");
    return text.n && (!time_parse(text, &until) || until <= now);
}

static struct json *find(struct api_tokens *t, struct arena *a, const char *id)
{
    char key[sizeof prefix + JOIN_TOKEN_ID];
    snprintf(key, sizeof key, "%s%s", prefix, id);
    const struct store_item *item = store_get(api_table(t->api, resource_core("secrets")), slice_str(key));
    struct json *secret = item ? api_item_json(t->api, a, item) : NULL;
    bool fits = slice_eq_str(json_path_string(secret, "type"), "bootstrap.kubernetes.io/token") &&
                !meta_is_deleting(secret) && slice_eq_str(datum(a, secret, "token-id"), id) &&
                !is_expired(a, secret, loop_wall(t->api->loop));
    return fits ? secret : NULL;
}

/* Groups that the Secret adds; only below Kubernetes' own prefix, so that a token cannot be made an administrator's. */
static size_t extra_groups(struct arena *a, const struct json *secret, struct slice *groups, size_t n)
{
    struct slice rest = datum(a, secret, "auth-extra-groups"), one;
    while (rest.n && n < USER_GROUPS_MAX) {
        slice_cut(rest, ',', &one, &rest);
        if (slice_starts(one, SLICE(JOIN_TOKEN_GROUP ":")))
            groups[n++] = one;
    }
    return n;
}

static bool fill_user(struct arena *a, const struct json *secret, const char *id, struct user *u)
{
    struct slice *groups = arena_alloc(a, (USER_GROUPS_MAX + 3) * sizeof *groups);
    size_t n = 0;
    if (!groups)
        return false;
    if (is_set(a, secret, "usage-bootstrap-authentication")) {
        groups[n++] = SLICE(JOIN_TOKEN_GROUP);
        n = extra_groups(a, secret, groups, n);
    }
    if (is_set(a, secret, "usage-pintle-server"))
        groups[n++] = SLICE(JOIN_TOKEN_SERVER_GROUP);
    if (!n)
        return false;
    groups[n++] = SLICE("system:authenticated");
    *u = (struct user){
        .name = slice_str(arena_printf(a, JOIN_TOKEN_USER_PREFIX "%s", id)), .groups = groups, .n_groups = n};
    return true;
}

int api_bootstrap_user(void *ctx, struct slice token, const char *from, struct arena *a, struct user *u)
{
    struct api_tokens *t = ((struct api *)ctx)->tokens;
    struct join_token parts;
    char address[TOKENS_SOURCE_MAX];
    copy_address(address, from);
    if (too_many(t, address))
        return -EBUSY;
    int rv = join_token_parse(token, &parts);
    const struct json *secret = rv ? NULL : find(t, a, parts.id);
    if (!join_token_same(datum(a, secret, "token-secret"), slice_str(parts.secret)) || !secret ||
        !fill_user(a, secret, parts.id, u)) {
        count_wrong(t, address);
        return -EACCES;
    }
    return 0;
}

bool api_token_stands(struct api *api, struct slice user)
{
    static const struct slice start = SLICE_INIT(JOIN_TOKEN_USER_PREFIX);
    struct slice id = slice_from(user, start.n);
    char text[JOIN_TOKEN_ID + 1] = "";
    struct arena a;
    if (!slice_starts(user, start) || id.n != JOIN_TOKEN_ID)
        return true; /* no token's user */
    memcpy(text, id.p, id.n);
    arena_init(&a, API_ARENA_MAX);
    bool stands = find(api->tokens, &a, text) != NULL;
    arena_done(&a);
    return stands;
}

/* ---- removing what has expired ---- */

static void on_removed(struct api_local *l, int code, struct slice body)
{
    struct token_call *call = container_of(l, struct token_call, local);
    (void)code, (void)body; /* the next round sees what is left */
    call->t->call = NULL;
    mem_free(call);
}

static void remove_secret(struct api_tokens *t, struct slice key)
{
    struct user user = {0};
    char path[512];
    struct arena scratch;
    arena_init(&scratch, 1 << 16);
    user_set_superuser(&user, &scratch);
    snprintf(path, sizeof path, "/api/v1/namespaces/kube-system/secrets/%" SLICE_FMT,
             SLICE_ARG(slice_from(key, sizeof "kube-system/" - 1)));
    log_info(loop_log(t->api->loop), "tokens", "an expired token is removed secret=%" SLICE_FMT, SLICE_ARG(key));
    t->call = mem_new(struct token_call);
    t->call->t = t;
    t->call->local.done = on_removed;
    api_local_start(t->api, &t->call->local, &user, "DELETE", path, "", "", SLICE_NONE);
    arena_done(&scratch);
}

static bool has_expired(struct api_tokens *t, const struct store_item *item)
{
    struct arena a;
    arena_init(&a, API_ARENA_MAX);
    bool expired = is_expired(&a, api_item_json(t->api, &a, item), loop_wall(t->api->loop));
    arena_done(&a);
    return expired;
}

/* One at a time: there are few. */
static void clean(struct api_tokens *t)
{
    struct tree_iter it;
    struct slice from = slice_of(prefix, sizeof prefix - 1);
    tree_iter_init(&it, store_root(api_table(t->api, resource_core("secrets"))), from);
    for (struct store_item *item; (item = tree_iter_next(&it)) && slice_starts(item_key(item), from);)
        if (has_expired(t, item)) {
            remove_secret(t, item_key(item));
            return;
        }
}

static void on_timer(struct loop_timer *timer)
{
    struct api_tokens *t = container_of(timer, struct api_tokens, timer);
    if (replica_is_leader(t->api->o.replica) && !t->call)
        clean(t);
    loop_timer_start(t->api->loop, &t->timer, TOKENS_CLEAN_MS);
}

/* ---- life ---- */

struct api_tokens *api_tokens_new(struct api *api)
{
    struct api_tokens *t = mem_new(struct api_tokens);
    t->api = api;
    t->timer.cb = on_timer;
    loop_timer_start(api->loop, &t->timer, TOKENS_CLEAN_MS);
    return t;
}

void api_tokens_free(struct api_tokens *t)
{
    if (!t)
        return;
    loop_timer_stop(t->api->loop, &t->timer);
    if (t->call)
        api_local_cancel(&t->call->local);
    mem_free(t);
}

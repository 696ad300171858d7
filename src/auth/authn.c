#include "auth/authn.h"

#include <errno.h>
#include <stdio.h>

#include "auth/join_token.h"
#include "auth/jwt.h"
#include "auth/sa_token.h"
#include "auth/token_file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"

enum { TOKEN_MAX = JWT_MAX, REREAD_MS = 15000, WHY_MAX = 256, BUSY_SECONDS = 10 };

/* Reads the token file on a pool thread. Outlives its authn when that is freed meanwhile. */
struct reread {
    struct loop_work work;
    struct authn *owner; /* NULL once freed */
    struct fs *fs;
    char *path;
    struct buf text;
    int err;
};

struct authn {
    struct loop *loop;
    struct authn_options options; /* strings are our own */
    char *token_path, *issuer, *audience;
    struct token_file *tokens; /* NULL when there is no file */
    uint64_t tokens_hash;      /* of the file's text */
    struct loop_timer timer;
    struct reread *reread; /* under way, or NULL */
    authn_bootstrap_fn *bootstrap;
    void *bootstrap_ctx;
};

/* ---- the token file ---- */

static int take_tokens(struct authn *n, struct slice text, char why[WHY_MAX])
{
    struct token_file *fresh;
    uint64_t hash = hash64(text, 0);
    if (n->tokens && hash == n->tokens_hash)
        return 0;
    int rv = token_file_parse(text, &fresh, why);
    if (rv)
        return rv;
    token_file_free(n->tokens);
    n->tokens = fresh;
    n->tokens_hash = hash;
    return 0;
}

static void run_reread(struct loop_work *w)
{
    struct reread *r = container_of(w, struct reread, work);
    r->err = pki_file_read(r->fs, r->path, &r->text);
}

static void reread_done(struct loop_work *w)
{
    struct reread *r = container_of(w, struct reread, work);
    struct authn *n = r->owner;
    char why[WHY_MAX] = "";
    if (n) {
        n->reread = NULL;
        if (r->err)
            log_warn(loop_log(n->loop), "authn", "cannot read the token file again, the old tokens stay error=\"%s\"",
                     strerror(-r->err));
        else if (take_tokens(n, buf_slice(&r->text), why))
            log_warn(loop_log(n->loop), "authn", "the token file is damaged, the old tokens stay error=\"%s\"", why);
        loop_timer_start(n->loop, &n->timer, REREAD_MS);
    }
    pki_wipe(&r->text);
    buf_done(&r->text);
    mem_free(r->path);
    mem_free(r);
}

static void on_reread_due(struct loop_timer *t)
{
    struct authn *n = container_of(t, struct authn, timer);
    struct reread *r = mem_new(struct reread);
    r->owner = n;
    r->fs = loop_fs(n->loop);
    r->path = mem_strndup(n->token_path, strlen(n->token_path));
    buf_init(&r->text, TOKEN_FILE_MAX);
    r->work.run = run_reread;
    r->work.done = reread_done;
    n->reread = r;
    loop_work_queue(n->loop, LOOP_LANE_MISC, &r->work);
}

static int first_tokens(struct authn *n, char why[WHY_MAX])
{
    struct buf text = BUF_INIT(TOKEN_FILE_MAX);
    char detail[WHY_MAX] = "";
    int rv = pki_file_read(loop_fs(n->loop), n->token_path, &text);
    if (rv)
        snprintf(detail, sizeof detail, "%s", strerror(-rv));
    else
        rv = take_tokens(n, buf_slice(&text), detail);
    pki_wipe(&text);
    buf_done(&text);
    if (rv)
        snprintf(why, WHY_MAX, "token file %.100s: %.120s", n->token_path, detail);
    else
        loop_timer_start(n->loop, &n->timer, REREAD_MS);
    return rv;
}

/* ---- life ---- */

static char *dup_or_null(const char *s)
{
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

int authn_new(struct loop *l, const struct authn_options *o, struct authn **ret, char why[WHY_MAX])
{
    struct authn *n = mem_new(struct authn);
    n->loop = l;
    n->options = *o;
    n->token_path = dup_or_null(o->token_file);
    n->issuer = dup_or_null(o->issuer);
    n->audience = dup_or_null(o->audience);
    n->timer.cb = on_reread_due;
    int rv = n->token_path ? first_tokens(n, why) : 0;
    if (rv) {
        authn_free(n);
        return rv;
    }
    *ret = n;
    return 0;
}

void authn_free(struct authn *n)
{
    if (!n)
        return;
    loop_timer_stop(n->loop, &n->timer);
    if (n->reread)
        n->reread->owner = NULL;
    token_file_free(n->tokens);
    mem_free(n->token_path);
    mem_free(n->issuer);
    mem_free(n->audience);
    mem_free(n);
}

void authn_set_bound(struct authn *n,
                     bool (*bound_exists)(void *ctx, const char *kind, struct slice ns, struct slice name,
                                          struct slice uid),
                     void *ctx)
{
    n->options.bound_exists = bound_exists;
    n->options.ctx = ctx;
}

void authn_set_bootstrap(struct authn *n, authn_bootstrap_fn *bootstrap, void *ctx)
{
    n->bootstrap = bootstrap;
    n->bootstrap_ctx = ctx;
}

/* ---- tokens ---- */

static int deny(const char **why, const char *text)
{
    *why = text;
    return -EACCES;
}

static int bootstrap_token(struct authn *n, struct slice token, const char *from, struct arena *a, struct user *u,
                           const char **why)
{
    int rv = n->bootstrap(n->bootstrap_ctx, token, from, a, u);
    if (rv)
        deny(why, rv == -EBUSY ? "too many wrong bootstrap tokens" : "the bootstrap token is unknown or expired");
    return rv;
}

static int check_token(struct authn *n, struct slice token, struct slice aud, const char *from, struct arena *a,
                       struct user *u, const char **why)
{
    struct join_token parts;
    if (token.n == 0 || token.n > TOKEN_MAX)
        return deny(why, "the bearer token is empty or too long");
    bool ours = aud.n == 0 || slice_eq_str(aud, n->audience ? n->audience : "");
    if (n->tokens && ours && token_file_find(n->tokens, token, a, u))
        return 0;
    if (n->bootstrap && ours && join_token_parse(token, &parts) == 0)
        return bootstrap_token(n, token, from, a, u, why);
    if (!n->options.signer || !jwt_looks_like(token))
        return deny(why, "the bearer token is unknown");
    const struct sa_check check = {.issuer = slice_str(n->issuer),
                                   .audience = aud.n ? aud : slice_str(n->audience),
                                   .now = loop_wall(n->loop),
                                   .bound_exists = n->options.bound_exists,
                                   .ctx = n->options.ctx};
    return sa_token_verify(n->options.signer, &check, token, a, u, why);
}

int authn_token(struct authn *n, struct slice token, struct slice aud, struct arena *a, struct user *u,
                const char **why)
{
    int rv = check_token(n, token, aud, "", a, u, why);
    return rv == -EBUSY ? -EACCES : rv;
}

/* ---- certificates ---- */

static bool has_org(const struct tls_identity *id, const char *org)
{
    for (size_t i = 0; i < id->n_orgs; i++)
        if (strcmp(id->orgs[i], org) == 0)
            return true;
    return false;
}

/* Groups that a client claims but only the authenticator gives. */
static bool is_given(struct slice group)
{
    return slice_eq(group, SLICE("system:authenticated")) || slice_eq(group, SLICE("system:unauthenticated"));
}

static int user_of_certificate(struct user *u, struct arena *a, const struct tls_identity *id)
{
    struct slice *groups = arena_alloc(a, (id->n_orgs + 1) * sizeof *groups);
    struct user_extra *extra = arena_alloc(a, sizeof *extra);
    size_t n = 0;
    if (!groups || !extra)
        return -ENOMEM;
    for (size_t i = 0; i < id->n_orgs; i++)
        if (!is_given(slice_str(id->orgs[i])))
            groups[n++] = arena_copy(a, slice_str(id->orgs[i]));
    groups[n++] = SLICE("system:authenticated");
    extra[0].key = SLICE("authentication.kubernetes.io/credential-id");
    extra[0].value = slice_str(arena_printf(a, "X509SHA256=%s", id->fingerprint));
    *u = (struct user){.name = arena_copy(a, slice_str(id->common_name)),
                       .groups = groups,
                       .n_groups = n,
                       .extra = extra,
                       .n_extra = 1};
    return arena_error(a) ? -ENOMEM : 0;
}

/* Another replica names the user it has authenticated. */
static int user_of_headers(struct user *u, struct http_exchange *x, struct arena *a)
{
    static const struct slice extra_prefix = SLICE_INIT("x-remote-extra-");
    const struct http_request *r = http_request(x);
    struct slice *groups = arena_alloc(a, USER_GROUPS_MAX * sizeof *groups);
    struct user_extra *extra = arena_alloc(a, r->n_headers * sizeof *extra + 1);
    if (!groups || !extra)
        return -ENOMEM;
    *u = (struct user){.groups = groups, .extra = extra, .forwarded = true};
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        if (slice_eq(h->name, SLICE("x-remote-user")))
            u->name = arena_copy(a, h->value);
        else if (slice_eq(h->name, SLICE("x-remote-uid")))
            u->uid = arena_copy(a, h->value);
        else if (slice_eq(h->name, SLICE("x-remote-group")) && u->n_groups < USER_GROUPS_MAX)
            groups[u->n_groups++] = arena_copy(a, h->value);
        else if (slice_starts(h->name, extra_prefix))
            extra[u->n_extra++] = (struct user_extra){percent_decode(a, slice_from(h->name, extra_prefix.n), false),
                                                      arena_copy(a, h->value)};
    }
    u->anonymous = slice_eq(u->name, SLICE("system:anonymous"));
    return arena_error(a) ? -ENOMEM : 0;
}

/* ---- requests ---- */

static void refuse(struct authn *n, struct http_exchange *x, struct arena *a, struct status *st, const char *why)
{
    log_debug(loop_log(n->loop), "authn", "refused remote=%s reason=\"%s\"", http_request(x)->remote, why);
    status_set(st, a, 401, "Unauthorized");
}

static void by_certificate(struct authn *n, struct http_exchange *x, struct arena *a, struct user *u, struct status *st)
{
    const struct tls_identity *id = http_request(x)->peer;
    int rv;
    if (!id->common_name[0]) {
        refuse(n, x, a, st, "the client certificate has no common name");
        return;
    }
    if (has_org(id, AUTHN_SERVERS_GROUP) && http_request_header(x, "x-remote-user").n)
        rv = user_of_headers(u, x, a);
    else
        rv = user_of_certificate(u, a, id);
    if (rv)
        status_errno(st, a, rv, "authentication");
}

static void by_token(struct authn *n, struct http_exchange *x, struct arena *a, struct slice token, struct user *u,
                     struct status *st)
{
    const char *why = "";
    int rv = check_token(n, token, SLICE_NONE, http_request(x)->remote, a, u, &why);
    if (rv == -EBUSY) {
        status_set(st, a, 429, "%s came lately, please try again later", why);
        st->retry_after = BUSY_SECONDS;
    } else if (rv == -EACCES)
        refuse(n, x, a, st, why);
    else if (rv)
        status_errno(st, a, rv, "authentication");
}

static void by_authorization(struct authn *n, struct http_exchange *x, struct arena *a, struct slice value,
                             struct user *u, struct status *st)
{
    struct slice scheme, token;
    slice_cut(slice_trim(value), ' ', &scheme, &token);
    if (slice_ieq(scheme, SLICE("bearer")))
        by_token(n, x, a, slice_trim(token), u, st);
    else
        refuse(n, x, a, st, "only bearer tokens are understood");
}

/* ---- tokens as subprotocols of WebSockets ---- */

static void each_subprotocol(const struct http_exchange *x, void (*each)(void *ctx, struct slice protocol), void *ctx)
{
    const struct http_request *r = http_request(x);
    for (size_t i = 0; i < r->n_headers; i++) {
        struct slice rest = r->headers[i].value, one;
        while (slice_eq_str(r->headers[i].name, "sec-websocket-protocol") && rest.n) {
            slice_cut(rest, ',', &one, &rest);
            one = slice_trim(one);
            if (one.n)
                each(ctx, one);
        }
    }
}

struct subprotocols {
    struct slice token; /* still encoded */
    unsigned n_tokens, n_others;
    struct buf others;
};

static void sort_subprotocol(void *ctx, struct slice protocol)
{
    struct subprotocols *s = ctx;
    if (slice_starts(protocol, SLICE(AUTHN_BEARER_PROTOCOL))) {
        s->token = slice_from(protocol, sizeof AUTHN_BEARER_PROTOCOL - 1);
        s->n_tokens++;
        return;
    }
    buf_printf(&s->others, "%s%" SLICE_FMT, s->n_others ? ", " : "", SLICE_ARG(protocol));
    s->n_others++;
}

struct slice authn_subprotocols(const struct http_exchange *x, struct arena *a)
{
    struct subprotocols s = {.others = BUF_INIT(HTTP_HEAD_MAX)};
    each_subprotocol(x, sort_subprotocol, &s);
    struct slice others = arena_copy(a, buf_slice(&s.others));
    buf_done(&s.others);
    return others;
}

/* As Kubernetes: one token at most, and beside it a protocol that can be answered. False when there is none. */
static bool by_subprotocol(struct authn *n, struct http_exchange *x, struct arena *a, struct user *u, struct status *st)
{
    struct subprotocols s = {.others = BUF_INIT(HTTP_HEAD_MAX)};
    struct buf token = BUF_INIT(HTTP_HEAD_MAX);
    if (http_wants_websocket(x))
        each_subprotocol(x, sort_subprotocol, &s);
    buf_done(&s.others);
    if (s.n_tokens == 0)
        return false;
    if (s.n_tokens > 1)
        refuse(n, x, a, st, "more than one token as a subprotocol");
    else if (base64url_decode(&token, s.token))
        refuse(n, x, a, st, "the token of the subprotocol is malformed");
    else if (s.n_others == 0)
        refuse(n, x, a, st, "no subprotocol beside the token's");
    else
        by_token(n, x, a, buf_slice(&token), u, st);
    buf_done(&token);
    return true;
}

void authn_http(struct authn *n, struct http_exchange *x, struct arena *a, struct user *u, struct status *st)
{
    struct slice authorization = http_request_header(x, "authorization");
    if (http_request(x)->peer)
        by_certificate(n, x, a, u, st);
    else if (authorization.p)
        by_authorization(n, x, a, authorization, u, st);
    else if (!by_subprotocol(n, x, a, u, st))
        user_set_anonymous(u, a);
}

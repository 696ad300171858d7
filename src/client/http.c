#include "client/http.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "client/http_impl.h"
#include "client/path.h"

enum { CALL_TIMEOUT_MS = 30000, ANSWER_MAX = 64 << 20 };

struct call {
    struct list link;
    struct http_client_set *owner;
    struct http_call *http;
    size_t server, tries;
    enum client_verb verb;
    enum client_patch patch;
    unsigned timeout_ms;
    struct buf path, body, answer;
    void (*done)(void *ctx, const struct client_reply *reply);
    void *ctx;
};

static void call_try(struct call *call);

size_t client_headers(const struct http_client_set *s, struct http_header *out, const char *content_type)
{
    size_t n = 0;
    out[n++] = (struct http_header){SLICE("accept"), SLICE("application/json")};
    out[n++] = (struct http_header){SLICE("user-agent"), slice_str(s->user_agent)};
    /* Without a quorum, rather no answer than an old one: agents and controllers act on what they read. */
    out[n++] = (struct http_header){SLICE("pintle-consistency"), SLICE("linearizable")};
    if (content_type)
        out[n++] = (struct http_header){SLICE("content-type"), slice_str(content_type)};
    if (s->authorization)
        out[n++] = (struct http_header){SLICE("authorization"), slice_str(s->authorization)};
    return n;
}

void client_failed(struct http_client_set *s, size_t which)
{
    if (s->current == which)
        s->current = (s->current + 1) % s->n;
}

static void call_free(struct call *call)
{
    list_remove(&call->link);
    buf_done(&call->path);
    buf_done(&call->body);
    buf_done(&call->answer);
    mem_free(call);
}

static void on_data(void *ctx, struct slice data)
{
    struct call *call = ctx;
    buf_add_slice(&call->answer, data);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct call *call = ctx;
    (void)trailers, (void)n;
    if (err)
        client_failed(call->owner, call->server);
    bool safe = err && (!sent || call->verb == CLIENT_GET || call->verb == CLIENT_LIST);
    if (safe && ++call->tries < call->owner->n) {
        buf_clear(&call->answer);
        call_try(call);
        return;
    }
    if (!err && buf_error(&call->answer))
        err = buf_error(&call->answer);
    struct client_reply reply = {.err = err, .code = code, .body = buf_slice(&call->answer)};
    list_remove(&call->link);
    call->done(call->ctx, &reply);
    call_free(call);
}

static const char *content_type(const struct call *call)
{
    static const char *const patches[] = {"application/merge-patch+json", "application/json-patch+json",
                                          "application/strategic-merge-patch+json", "application/apply-patch+yaml"};
    if (!call->body.n)
        return NULL;
    return call->verb == CLIENT_PATCH ? patches[call->patch] : "application/json";
}

static void call_try(struct call *call)
{
    struct http_client_set *s = call->owner;
    struct http_header headers[8];
    call->server = s->current;
    size_t n = client_headers(s, headers, content_type(call));
    call->http =
        http_call(s->servers[call->server].http, &(struct http_call_options){.method = client_method(call->verb),
                                                                             .path = call->path.p,
                                                                             .headers = headers,
                                                                             .n_headers = n,
                                                                             .body = buf_slice(&call->body),
                                                                             .timeout_ms = call->timeout_ms,
                                                                             .on_data = on_data,
                                                                             .on_done = on_done,
                                                                             .ctx = call});
}

static struct client_call *start(struct client *c, const struct client_request *req,
                                 void (*done)(void *ctx, const struct client_reply *reply), void *ctx)
{
    struct call *call = mem_new(struct call);
    call->owner = container_of(c, struct http_client_set, base);
    call->verb = req->verb;
    call->patch = req->patch;
    call->timeout_ms = req->timeout_ms ? req->timeout_ms : CALL_TIMEOUT_MS;
    buf_init(&call->path, 8192);
    buf_init(&call->body, ANSWER_MAX);
    buf_init(&call->answer, ANSWER_MAX);
    call->done = done;
    call->ctx = ctx;
    client_path(&call->path, req);
    if (req->query && req->query[0])
        buf_printf(&call->path, "?%s", req->query);
    if (req->body)
        json_write(&call->body, req->body);
    list_push(&call->owner->calls, &call->link);
    call_try(call);
    return (struct client_call *)call;
}

static void cancel(struct client *c, struct client_call *handle)
{
    struct call *call = (struct call *)handle;
    (void)c;
    http_call_cancel(call->http);
    call_free(call);
}

static const struct client_ops http_ops = {start, cancel, client_http_informer};

/* ---- the servers ---- */

static void connect_to(struct http_client_set *s, struct client_server *server)
{
    server->http = http_client_new(s->base.loop,
                                   &(struct http_client_options){.addr = server->address, .tls = s->tls, .h2 = true});
}

static void add_server(struct http_client_set *s, const char *address)
{
    struct client_server *server = &s->servers[s->n++];
    server->address = mem_strndup(address, strlen(address));
    connect_to(s, server);
}

static void probe_later(struct http_client_set *s)
{
    if (s->n > 1)
        loop_timer_start(s->base.loop, &s->probe_timer, CLIENT_PROBE_MS);
}

static void drop_probe(struct http_client_set *s)
{
    if (s->probe)
        http_call_cancel(s->probe);
    s->probe = NULL;
}

/* All that waits for this server's connection ends, and is tried elsewhere where that is safe. */
static void renew_connection(struct http_client_set *s, size_t i)
{
    struct http_client *old = s->servers[i].http;
    client_failed(s, i);
    connect_to(s, &s->servers[i]);
    http_client_free(old);
}

static bool is_among(const char *address, char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], address))
            return true;
    return false;
}

/* Calls name their server by its place: they are gone, or elsewhere, before places move. */
static void take_wanted(struct http_client_set *s)
{
    struct client_server old[CLIENT_SERVERS_MAX];
    size_t n_old = s->n, current = 0;
    memcpy(old, s->servers, sizeof old);
    const char *in_use = old[s->current].address;
    drop_probe(s);
    s->n = 0;
    for (size_t i = 0; i < s->n_wanted; i++) {
        size_t k = 0;
        while (k < n_old && (!old[k].http || strcmp(old[k].address, s->wanted[i]) != 0))
            k++;
        if (!strcmp(s->wanted[i], in_use))
            current = s->n;
        if (k < n_old) {
            s->servers[s->n++] =
                (struct client_server){mem_strndup(old[k].address, strlen(old[k].address)), old[k].http};
            old[k].http = NULL;
        } else {
            add_server(s, s->wanted[i]);
        }
        mem_free(s->wanted[i]);
    }
    s->n_wanted = 0;
    s->current = current;
    for (size_t k = 0; k < n_old; k++) {
        http_client_free(old[k].http);
        mem_free(old[k].address);
    }
    probe_later(s);
}

static void on_renew(struct loop_timer *t)
{
    struct http_client_set *s = container_of(t, struct http_client_set, renew_timer);
    if (s->renew && s->probed < s->n)
        renew_connection(s, s->probed);
    s->renew = false;
    if (s->n_wanted)
        take_wanted(s);
}

static void on_probed(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct http_client_set *s = ctx;
    (void)code, (void)trailers, (void)n, (void)sent;
    s->probe = NULL;
    if (err == -ESHUTDOWN)
        return;
    if (err == -ETIMEDOUT) {
        log_info(loop_log(s->base.loop), "client", "server is silent, taking another one address=%s",
                 s->servers[s->probed].address);
        s->silent++;
        s->renew = true;
        loop_timer_start(s->base.loop, &s->renew_timer, 0); /* not inside its callback */
    } else if (err) {
        client_failed(s, s->probed);
    } else {
        s->silent = 0;
    }
    probe_later(s);
}

static void on_probe_due(struct loop_timer *t)
{
    struct http_client_set *s = container_of(t, struct http_client_set, probe_timer);
    unsigned patience = CLIENT_SILENCE_MS;
    for (size_t i = s->n; i <= s->silent && patience < CLIENT_SILENCE_MAX_MS; i++)
        patience *= 2; /* all were silent: it may be us */
    s->probed = s->current;
    s->probe =
        http_call(s->servers[s->probed].http,
                  &(struct http_call_options){
                      .method = "GET", .path = "/livez", .timeout_ms = patience, .on_done = on_probed, .ctx = s});
}

void client_http_set_servers(struct client *c, const char *const *servers, size_t n)
{
    struct http_client_set *s = container_of(c, struct http_client_set, base);
    for (size_t i = 0; i < s->n_wanted; i++)
        mem_free(s->wanted[i]);
    s->n_wanted = 0;
    for (size_t i = 0; i < n && s->n_wanted < CLIENT_SERVERS_MAX; i++)
        if (!is_among(servers[i], s->wanted, s->n_wanted))
            s->wanted[s->n_wanted++] = mem_strndup(servers[i], strlen(servers[i]));
    if (s->n_wanted)
        loop_timer_start(c->loop, &s->renew_timer, 0);
}

const char *client_http_server(const struct client *c)
{
    const struct http_client_set *s = container_of(c, struct http_client_set, base);
    return s->servers[s->current].address;
}

struct client *client_http_new(struct loop *l, const struct client_http_options *o)
{
    struct http_client_set *s = mem_new(struct http_client_set);
    const char *agent = o->user_agent ? o->user_agent : "pintle";
    s->base = (struct client){&http_ops, l};
    list_init(&s->calls);
    s->tls = o->tls;
    s->probe_timer.cb = on_probe_due;
    s->renew_timer.cb = on_renew;
    for (size_t i = 0; i < o->n_servers && s->n < CLIENT_SERVERS_MAX; i++)
        add_server(s, o->servers[i]);
    probe_later(s);
    s->current = (size_t)loop_random_below(l, s->n);
    s->user_agent = mem_strndup(agent, strlen(agent));
    if (o->token) {
        size_t n = strlen(o->token) + 8;
        s->authorization = mem_alloc(n);
        snprintf(s->authorization, n, "Bearer %s", o->token);
    }
    return &s->base;
}

void client_http_free(struct client *c)
{
    if (!c)
        return;
    struct http_client_set *s = container_of(c, struct http_client_set, base);
    list_each (node, &s->calls)
        cancel(c, (struct client_call *)container_of(node, struct call, link));
    loop_timer_stop(c->loop, &s->probe_timer);
    loop_timer_stop(c->loop, &s->renew_timer);
    drop_probe(s);
    for (size_t i = 0; i < s->n; i++) {
        http_client_free(s->servers[i].http);
        mem_free(s->servers[i].address);
    }
    for (size_t i = 0; i < s->n_wanted; i++)
        mem_free(s->wanted[i]);
    mem_free(s->authorization);
    mem_free(s->user_agent);
    mem_free(s);
}

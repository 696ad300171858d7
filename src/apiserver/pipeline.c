/* The way of a request from its arrival to its handler. */
#include <errno.h>
#include <stdio.h>

#include "apiserver/derived.h"
#include "apiserver/internal.h"
#include "apiserver/nonresource.h"
#include "apiserver/output.h"
#include "apiserver/past.h"
#include "auth/authn.h"
#include "base/mem.h"
#include "object/meta.h"
#include "object/warnings.h"

/* ---- answering over HTTP ---- */

static struct api_request *request_of(struct http_exchange *x)
{
    return http_ctx(x);
}

/* Every answer ends the exchange and with it the request's arena. */
void api_leave(struct api_request *r)
{
    struct api *api = r->api;
    api->inflight--;
    api->m_inflight->value = (double)api->inflight;
    list_remove(&r->link);
    list_remove(&r->at_work);
    if (api->closed && list_empty(&api->requests))
        mem_free(api);
}

static void http_answer(struct api_request *r, int code, const struct http_header *headers, size_t n,
                        const struct chunk *body, size_t n_chunks)
{
    struct http_exchange *x = r->http;
    api_leave(r);
    http_reply(x, code, headers, n, body, n_chunks);
}

/* Each event is a message: text in JSON, binary in protobuf. Of the subprotocols the first that is offered is spoken: none
 * makes a difference to a watch. */
static void start_websocket(struct api_request *r)
{
    struct slice protocol, rest;
    slice_cut(authn_subprotocols(r->http, r->arena), ',', &protocol, &rest);
    http_websocket_start(r->http, r->encoding == ENCODE_JSON, protocol);
}

static void http_start(struct api_request *r, int code, const struct http_header *headers, size_t n)
{
    if (r->websocket)
        start_websocket(r);
    else
        http_reply_start(r->http, code, headers, n);
}

static void http_write(struct api_request *r, const struct chunk *chunks, size_t n)
{
    http_reply_write(r->http, chunks, n);
}

static size_t http_queued(const struct api_request *r)
{
    return http_reply_queued(r->http);
}

static void http_finish(struct api_request *r)
{
    struct http_exchange *x = r->http;
    api_leave(r);
    http_reply_end(x);
}

static void http_give_up(struct api_request *r)
{
    struct http_exchange *x = r->http;
    api_leave(r);
    http_abort(x);
}

static const struct api_responder http_responder = {http_answer, http_start,  http_write,
                                                    http_queued, http_finish, http_give_up};

static void on_client_gone(struct http_exchange *x)
{
    struct api_request *r = request_of(x);
    r->gone = true;
    if (r->on_gone)
        r->on_gone(r);
}

static void on_client_drained(struct http_exchange *x)
{
    struct api_request *r = request_of(x);
    if (r->on_drain)
        r->on_drain(r);
}

/* ---- metrics ---- */

static const char *metric_scope(const struct api_request *r)
{
    return r->name.n ? "resource" : r->ns.n ? "namespace" : "cluster";
}

void api_account(struct api_request *r, int code)
{
    char labels[512];
    const char *group = r->res ? r->res->group : "", *version = r->res ? r->res->version : "";
    const char *plural = r->res ? r->res->plural : "", *verb = r->res ? api_verb_name(r->verb) : "get";
    const char *sub = r->sub ? r->sub->name : "";
    snprintf(labels, sizeof labels,
             "code=\"%d\",component=\"apiserver\",dry_run=\"%s\",group=\"%s\",resource=\"%s\",scope=\"%s\",subresource="
             "\"%s\","
             "verb=\"%s\",version=\"%s\"",
             code, r->options.dry_run ? "All" : "", group, plural, metric_scope(r), sub, verb, version);
    metric_get(r->api->m_requests, labels)->value++;
    if (r->verb == API_WATCH && r->res)
        return; /* a watch's duration says nothing about latency */
    snprintf(labels, sizeof labels,
             "component=\"apiserver\",group=\"%s\",resource=\"%s\",subresource=\"%s\",verb=\"%s\"", group, plural, sub,
             verb);
    metric_observe(metric_get(r->api->m_seconds, labels), (double)(loop_now(r->api->loop) - r->started) / 1e9);
}

/* ---- barrier ---- */

void api_reply_errno(struct api_request *r, int err, const char *what)
{
    struct status st;
    char when[API_CONFIRMED_MAX];
    if (err == -EAGAIN && api_no_quorum(r->api)) {
        status_set(&st, r->arena, 503, "%s: no quorum: a majority of the replicas cannot be reached (last reached %s)",
                   what, api_confirmed_text(r->api, when));
        st.retry_after = API_RETRY_SECONDS;
        api_reply_status(r, &st);
        return;
    }
    switch (-err) {
    case EAGAIN:
    case EBUSY:
        status_set(&st, r->arena, err == -EBUSY ? 429 : 503, "%s: %s", what,
                   err == -EBUSY ? "too many writes are waiting, please try again later"
                                 : "no leader is known at the moment, please try again");
        st.retry_after = API_RETRY_SECONDS;
        break;
    case ESHUTDOWN:
        status_set(&st, r->arena, 503, "%s: this server is shutting down, please try another one", what);
        st.retry_after = API_RETRY_SECONDS;
        break;
    default:
        status_errno(&st, r->arena, err, what);
    }
    api_reply_status(r, &st);
}

static void on_barrier(struct raft_read *read, int err)
{
    struct api_request *r = container_of(read, struct api_request, read);
    if (r->gone)
        r->responder->abort(r);
    else
        r->next(r, err);
}

void api_barrier(struct api_request *r, void (*next)(struct api_request *r, int err))
{
    r->next = next;
    r->read = (struct raft_read){.done = on_barrier};
    replica_barrier(r->api->o.replica, &r->read);
}

/* ---- dispatch ---- */

static const struct {
    void (*run)(struct api_request *r);
    bool write;
} handlers[API_VERBS] = {
    [API_GET] = {api_get, false},      [API_LIST] = {api_list, false},
    [API_WATCH] = {api_watch, false},  [API_CREATE] = {api_create, true},
    [API_UPDATE] = {api_update, true}, [API_PATCH] = {api_patch, true},
    [API_DELETE] = {api_delete, true}, [API_DELETECOLLECTION] = {api_delete_collection, true},
};

static void run_resource(struct api_request *r)
{
    struct status st;
    const char *warning = resource_warning(r->res);
    if (warning)
        api_warn(r, warning);
    if (api_past_check(r, &st)) {
        api_reply_status(r, &st);
        return;
    }
    if (api_special(r))
        return;
    if (handlers[r->verb].write && !replica_is_leader(r->api->o.replica))
        api_forward(r);
    else
        handlers[r->verb].run(r);
}

static void dispatch(struct api_request *r)
{
    switch (r->route) {
    case ROUTE_RESOURCE:
        run_resource(r);
        break;
    case ROUTE_FIXED:
        ((const struct api_fixed *)r->fixed)->serve(r);
        break;
    case ROUTE_NOT_FOUND:
        api_reply_bytes(r, 404, "text/plain; charset=utf-8", chunk_static(SLICE("404 page not found\n")));
        break;
    default:
        api_discovery(r);
    }
}

static bool is_public(const struct api_request *r)
{
    return r->route == ROUTE_FIXED && ((const struct api_fixed *)r->fixed)->anonymous;
}

/* A state that was found wrong is shown to nobody, nor does it say who may do what. What is wrong with this server can
 * still be asked: health, and the metrics. */
static int check_fence(struct api_request *r, struct status *st)
{
    const char *why = replica_fenced(r->api->o.replica);
    if (!why || is_public(r) || (r->route == ROUTE_FIXED && slice_eq_str(r->path, "/metrics")))
        return 0;
    status_set(st, r->arena, 503, "this server is fenced: %s; it is resynchronising, please try another one", why);
    st->retry_after = API_RETRY_SECONDS;
    return 503;
}

bool api_fenced(struct api_request *r)
{
    struct status st;
    if (!check_fence(r, &st))
        return false;
    api_reply_status(r, &st);
    return true;
}

void api_run(struct api_request *r)
{
    struct status st = {0};
    int rv = api_route_request(r, &st);
    if (!rv)
        rv = check_fence(r, &st);
    if (r->user.anonymous && !is_public(r))
        rv = status_set(&st, r->arena, 401, "Unauthorized");
    if (!rv)
        rv = api_negotiate(r, &st);
    if (!rv && !is_public(r) && !api_authorize(r, &st))
        rv = st.code;
    if (rv)
        api_reply_status(r, &st);
    else
        dispatch(r);
}

/* ---- impersonation: kubectl --as ---- */

static bool may_impersonate(struct api_request *r, const char *resource, struct slice name, struct status *st)
{
    const char *why;
    struct access q = {.verb = SLICE("impersonate"), .resource = slice_str(resource), .name = name};
    if (api_access_allowed(r->api, &r->user, &q, &why))
        return true;
    status_set(st, r->arena, 403,
               "%s \"%" SLICE_FMT "\" is forbidden: User \"%" SLICE_FMT
               "\" cannot impersonate resource \"%s\" in API group \"\" at the cluster scope",
               resource, SLICE_ARG(name), SLICE_ARG(r->user.name), resource);
    return false;
}

/* The headers impersonate-user, -group (repeated) and -uid make the request another's, for those who may. */
static void impersonate(struct api_request *r, struct status *st)
{
    const struct http_request *q = http_request(r->http);
    struct slice name = http_request_header(r->http, "impersonate-user");
    struct slice *groups = arena_alloc(r->arena, (HTTP_HEADERS_MAX + 1) * sizeof *groups);
    size_t n = 0;
    for (size_t i = 0; i < q->n_headers && groups; i++) {
        if (!slice_eq_str(q->headers[i].name, "impersonate-group"))
            continue;
        if (!may_impersonate(r, "groups", q->headers[i].value, st))
            return;
        groups[n++] = q->headers[i].value;
    }
    bool account = slice_starts(name, SLICE("system:serviceaccount:"));
    if ((!name.p && !n) || !groups)
        return;
    if (!name.n) {
        status_set(st, r->arena, 400, "requested groups without impersonating a user");
        return;
    }
    if (!may_impersonate(r, account ? "serviceaccounts" : "users", account ? SLICE_NONE : name, st))
        return;
    groups[n++] = SLICE("system:authenticated");
    r->user = (struct user){.name = name,
                            .uid = http_request_header(r->http, "impersonate-uid"),
                            .groups = groups,
                            .n_groups = n,
                            .forwarded = r->user.forwarded};
}

static void enter(struct api *api, struct api_request *r)
{
    r->api = api;
    r->started = loop_now(api->loop);
    list_init(&r->link);
    list_push(&api->requests, &r->at_work);
    api->inflight++;
    api->m_inflight->value = (double)api->inflight;
}

/* From a replica only: anybody else could have another's write answered as done. */
static void take_write_id(struct api_request *r)
{
    struct slice since = http_request_header(r->http, "x-pintle-write-since");
    r->write_id = http_request_header(r->http, "x-pintle-write-id");
    if (r->write_id.n > STORE_REQUEST_ID_MAX)
        r->write_id = SLICE_NONE;
    r->write_repeated = r->write_id.n && since.n && slice_to_u64(since, &r->write_since);
}

/* As Kubernetes has it: what people ask with is answered for people, unless ?pretty says otherwise. */
static bool is_for_people(struct slice user_agent)
{
    static const char *const agents[] = {"curl", "Wget", "Mozilla/5.0"};
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++)
        if (slice_starts(user_agent, slice_str(agents[i])))
            return true;
    return false;
}

static void on_http_request(void *ctx, struct http_exchange *x)
{
    struct api *api = ctx;
    const struct http_request *q = http_request(x);
    struct api_request *r = arena_state(http_arena(x), struct api_request);
    if (!r) {
        http_abort(x);
        return;
    }
    *r = (struct api_request){.arena = http_arena(x),
                              .responder = &http_responder,
                              .http = x,
                              .method = q->method,
                              .path = q->path,
                              .query = q->query,
                              .body = q->body,
                              .content_type = http_request_header(x, "content-type"),
                              .accept = http_request_header(x, "accept"),
                              .options.pretty = is_for_people(http_request_header(x, "user-agent"))};
    enter(api, r);
    api_negotiate_errors(r);
    http_set_ctx(x, r, on_client_gone);
    http_on_drain(x, on_client_drained);
    struct status st = {0};
    if (api->inflight > API_INFLIGHT_MAX) {
        status_set(&st, r->arena, 429, "too many requests, please try again later");
        st.retry_after = API_RETRY_SECONDS;
    } else if (api->o.authn) {
        authn_http(api->o.authn, x, r->arena, &r->user, &st);
        if (r->user.forwarded)
            take_write_id(r);
        if (!st.code && !r->user.anonymous)
            impersonate(r, &st);
    } else {
        user_set_superuser(&r->user, r->arena);
        take_write_id(r); /* only replicas send one here */
        r->user.forwarded = r->write_id.n > 0;
    }
    if (st.code)
        api_reply_status(r, &st);
    else
        api_run(r);
}

/* ---- in-process requests ---- */

static struct api_local *local_of(const struct api_request *r)
{
    return r->responder_ctx;
}

static void local_free(struct api_local *l)
{
    arena_done(&l->arena);
    buf_done(&l->out);
}

/* Nobody waits for it any more. */
static void local_drop(struct api_local *l)
{
    bool cancelled = l->cancelled;
    local_free(l);
    if (cancelled)
        mem_free(l);
}

static void local_done(struct api_local *l)
{
    struct buf out = l->out;
    buf_init(&l->out, API_ARENA_MAX);
    local_free(l);
    l->done(l, l->code, buf_slice(&out));
    buf_done(&out);
}

/* In a later turn, so that done never runs inside the call that asked. Those answered meanwhile have to wait. */
static void local_deliver(struct loop_timer *t)
{
    struct api *api = container_of(t, struct api, deliver);
    struct list now;
    list_init(&now);
    for (struct list *it; (it = list_pop(&api->answered));)
        list_push(&now, it);
    for (struct list *it; (it = list_pop(&now));) {
        struct api_local *l = container_of(it, struct api_local, link);
        if (l->cancelled)
            local_drop(l);
        else
            local_done(l);
    }
}

static void local_finish(struct api_request *r, int code)
{
    struct api *api = r->api;
    struct api_local *l = local_of(r);
    bool closed = api->closed;
    l->code = code;
    api_leave(r);
    if (closed) {
        local_drop(l);
        return;
    }
    list_push(&api->answered, &l->link);
    if (!loop_timer_armed(&api->deliver))
        loop_timer_start(api->loop, &api->deliver, 0);
}

static void local_write(struct api_request *r, const struct chunk *chunks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_add(&local_of(r)->out, chunks[i].p, chunks[i].n);
        blob_unref(chunks[i].blob);
    }
}

static void local_answer(struct api_request *r, int code, const struct http_header *headers, size_t n,
                         const struct chunk *body, size_t n_chunks)
{
    (void)headers, (void)n;
    local_write(r, body, n_chunks);
    local_finish(r, code);
}

static void local_start(struct api_request *r, int code, const struct http_header *headers, size_t n)
{
    (void)r, (void)code, (void)headers, (void)n;
}

static size_t local_queued(const struct api_request *r)
{
    (void)r;
    return 0;
}

static void local_end(struct api_request *r)
{
    local_finish(r, 200);
}

static void local_abort(struct api_request *r)
{
    local_finish(r, 500);
}

static const struct api_responder local_responder = {local_answer, local_start, local_write,
                                                     local_queued, local_end,   local_abort};

void api_local_start(struct api *api, struct api_local *l, const struct user *user, const char *method,
                     const char *path, const char *query, const char *content_type, struct slice body)
{
    arena_init(&l->arena, API_ARENA_MAX);
    buf_init(&l->out, API_ARENA_MAX);
    l->cancelled = false;
    struct arena *a = &l->arena;
    struct api_request *r = l->request = arena_state(a, struct api_request);
    *r = (struct api_request){.arena = a,
                              .responder = &local_responder,
                              .responder_ctx = l,
                              .method = arena_copy(a, slice_str(method)),
                              .path = arena_copy(a, slice_str(path)),
                              .query = arena_copy(a, slice_str(query)),
                              .body = arena_copy(a, body),
                              .content_type = arena_copy(a, slice_str(content_type))};
    enter(api, r);
    user_copy(&r->user, a, user);
    api_run(r);
}

void api_local_cancel(struct api_local *l)
{
    l->cancelled = true;
}

/* ---- life ---- */

struct store_table *api_table(struct api *api, const struct resource *res)
{
    char name[256];
    const struct resource *storage = res->storage ? res->storage : res;
    int n = snprintf(name, sizeof name, "%s%s%s", storage->group, storage->group[0] ? "/" : "", storage->plural);
    return store_table(api->store, slice_of(name, (size_t)n));
}

struct slice api_key(struct api_request *r, struct slice ns, struct slice name)
{
    if (!ns.n)
        return name;
    return slice_str(arena_printf(r->arena, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(ns), SLICE_ARG(name)));
}

static void on_role(struct replica_listener *l, bool is_leader, uint64_t term, uint64_t leader_id)
{
    struct api *api = container_of(l, struct api, role);
    (void)term;
    api_note_leader(api, leader_id);
    api_forward_leader(api);
    if (is_leader)
        api_bootstrap_start(api->bootstrap);
    else
        api_bootstrap_stop(api->bootstrap);
}

static void end_streams(struct api *api)
{
    list_each (node, &api->streams) {
        struct api_request *r = container_of(node, struct api_request, link);
        if (r->on_gone)
            r->on_gone(r);
    }
}

/* Watches, lists and backups that are being sent: what is left of them is as wrong as what was sent. Streams to nodes and
 * writes on their way to the leader are not of this state. */
static void expire_streams(struct api *api)
{
    list_each (node, &api->requests) {
        struct api_request *r = container_of(node, struct api_request, at_work);
        bool resource = r->route == ROUTE_RESOURCE && !r->sub;
        if (!r->on_gone)
            continue;
        if (resource && r->verb == API_WATCH)
            api_watch_expire(r);
        else if ((resource && r->verb == API_LIST) || r->route == ROUTE_FIXED)
            r->on_gone(r);
    }
}

static void on_fenced(struct replica_listener *l, bool fenced)
{
    struct api *api = container_of(l, struct api, role);
    if (fenced)
        expire_streams(api);
    else
        api_authz_reload(api->authz);
}

struct api *api_new(struct loop *l, const struct api_options *o)
{
    struct api *api = mem_new(struct api);
    api->loop = l;
    api->o = *o;
    api->store = replica_store(o->replica);
    list_init(&api->streams);
    list_init(&api->requests);
    list_init(&api->snapshots);
    list_init(&api->answered);
    api->deliver.cb = local_deliver;
    map_init(&api->documents, 0);
    loop_random(l, &api->instance, sizeof api->instance);
    api->started = loop_now(l);
    api->m_requests = metrics_family(o->metrics, METRIC_COUNTER, "apiserver_request_total", "Answered requests.");
    api->m_seconds = metrics_family(o->metrics, METRIC_HISTOGRAM, "apiserver_request_duration_seconds",
                                    "Time from the whole request to the head of its answer.");
    api->m_inflight = metrics_one(o->metrics, METRIC_GAUGE, "apiserver_current_inflight_requests", "Requests at work.");
    api->m_watches = metrics_one(o->metrics, METRIC_GAUGE, "apiserver_longrunning_requests", "Open watches.");
    api->derived = api_derived_new(API_DERIVED_MAX);
    api->authz = api_authz_new(api);
    api->forward = api_forward_new(api);
    api->nodes = api_nodes_new(api);
    api->tokens = api_tokens_new(api);
    api->bootstrap = api_bootstrap_new(api);
    api->m_stale = metrics_one(o->metrics, METRIC_COUNTER, "pintle_api_stale_reads_total",
                               "Reads answered without a quorum, marked as such.");
    api_note_leader(api, 0);
    api->confirmed = 0;
    api->role.role = on_role;
    api->role.fenced = on_fenced;
    replica_listen(o->replica, &api->role);
    return api;
}

int api_serve(struct api *api, const char *listen, unsigned *ret_port)
{
    struct http_server *server;
    int rv = http_server_new(
        api->loop,
        &(struct http_server_options){.listen = listen, .tls = api->o.tls, .on_request = on_http_request, .ctx = api},
        &server);
    if (rv)
        return rv;
    struct api_listener *l = mem_new(struct api_listener);
    *l = (struct api_listener){server, api->listeners};
    api->listeners = l;
    if (ret_port)
        *ret_port = http_server_port(server);
    return 0;
}

void api_drain(struct api *api, unsigned grace_ms)
{
    api->draining = true;
    end_streams(api);
    for (struct api_listener *l = api->listeners; l; l = l->next)
        http_server_drain(l->server, grace_ms);
}

/* What still waits for a timer ends here; what waits for the replica ends with it. */
static void end_requests(struct api *api)
{
    list_each (node, &api->requests) {
        struct api_request *r = container_of(node, struct api_request, at_work);
        r->gone = true;
        if (r->on_close)
            r->on_close(r);
    }
    loop_timer_stop(api->loop, &api->deliver);
    for (struct list *it; (it = list_pop(&api->answered));)
        local_drop(container_of(it, struct api_local, link));
}

void api_free(struct api *api)
{
    if (!api)
        return;
    api->draining = true;
    list_remove(&api->role.link);
    api_bootstrap_free(api->bootstrap);
    for (struct api_listener *l = api->listeners, *next; l; l = next) {
        next = l->next;
        http_server_free(l->server);
        mem_free(l);
    }
    api_nodes_free(api->nodes);
    api_tokens_free(api->tokens);
    api_forward_free(api->forward);
    api_authz_free(api->authz);
    for (struct map_entry *e = map_first(&api->documents); e; e = map_next(&api->documents, e))
        api_document_free(e->value);
    map_done(&api->documents);
    end_requests(api);
    api_derived_free(api->derived);
    api->derived = NULL;
    api_snapshots_forget(api);
    api->closed = true;
    if (list_empty(&api->requests))
        mem_free(api);
}

struct replica *api_replica(struct api *api)
{
    return api->o.replica;
}

struct loop *api_loop(struct api *api)
{
    return api->loop;
}

bool api_object_exists(struct api *api, const char *kind, struct slice ns, struct slice name, struct slice uid)
{
    const struct resource *res = resource_by_kind(SLICE(""), SLICE("v1"), slice_str(kind));
    char key[STORE_KEY_MAX];
    int n = snprintf(key, sizeof key, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(ns), ns.n ? "/" : "", SLICE_ARG(name));
    const struct store_item *item = res ? store_get(api_table(api, res), slice_of(key, (size_t)n)) : NULL;
    struct arena a;
    if (!item || !uid.n)
        return item != NULL;
    arena_init(&a, API_ARENA_MAX);
    bool same = slice_eq(meta_uid(api_item_json(api, &a, item)), uid);
    arena_done(&a);
    return same;
}

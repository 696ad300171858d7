/* Requests that end at a node's agent: logs, exec, attach, port-forward, and the proxy subresources.
 *
 * Logs are one streamed answer; exec and its like are byte tunnels: the agent (and the runtime behind it) answers the
 * Upgrade, and from then on bytes pass unread, whatever protocol they speak. */
#include <errno.h>
#include <stdio.h>

#include "apiserver/output.h"
#include "apiserver/special.h"
#include "auth/authn.h"
#include "base/mem.h"
#include "object/meta.h"

enum { NODE_HEADERS_MAX = 24, NODE_CLIENTS_MAX = 10000, LOG_QUEUE_MAX = 1 << 20 };

/* A node says itself where its agent listens. Whoever is there must show that node's certificate: else it could have us
 * speak, with our own certificate, to another API server. */
struct node_client {
    struct http_client *client;
    char address[128];
};

struct api_nodes {
    struct api *api;
    struct map clients; /* node's name → struct node_client */
};

struct api_nodes *api_nodes_new(struct api *api)
{
    struct api_nodes *n = mem_new(struct api_nodes);
    n->api = api;
    map_init(&n->clients, 0);
    return n;
}

static void node_client_free(struct node_client *c)
{
    http_client_free(c->client);
    mem_free(c);
}

void api_nodes_free(struct api_nodes *n)
{
    if (!n)
        return;
    for (struct map_entry *e = map_first(&n->clients); e; e = map_next(&n->clients, e))
        node_client_free(e->value);
    map_done(&n->clients);
    mem_free(n);
}

/* Lets go of nodes that are gone. */
static void forget_nodes(struct api_nodes *n, struct api_request *r)
{
    struct buf gone = BUF_INIT(256UL * NODE_CLIENTS_MAX);
    for (struct map_entry *e = map_first(&n->clients); e; e = map_next(&n->clients, e))
        if (!api_object(r, resource_core("nodes"), SLICE_NONE, e->key)) {
            buf_add_slice(&gone, e->key);
            buf_add_char(&gone, '\n');
        }
    struct slice name, rest = buf_slice(&gone);
    while (slice_cut(rest, '\n', &name, &rest)) {
        struct node_client *c = map_del(&n->clients, name);
        if (c)
            node_client_free(c);
    }
    buf_done(&gone);
}

static struct http_client *client_of(struct api_request *r, struct slice node, struct slice address)
{
    struct api_nodes *n = r->api->nodes;
    struct node_client *c = map_get(&n->clients, node);
    if (c && slice_eq_str(address, c->address))
        return c->client;
    if (c)
        node_client_free(map_del(&n->clients, node));
    if (n->clients.n >= NODE_CLIENTS_MAX)
        forget_nodes(n, r);
    if (n->clients.n >= NODE_CLIENTS_MAX || address.n >= sizeof c->address)
        return NULL;
    c = mem_new(struct node_client);
    memcpy(c->address, address.p, address.n);
    c->client = http_client_new(r->api->loop,
                                &(struct http_client_options){
                                    .addr = c->address,
                                    .tls = r->api->o.peer_tls,
                                    .tls_subject = arena_printf(r->arena, "system:node:%" SLICE_FMT, SLICE_ARG(node))});
    map_put(&n->clients, node, c);
    return c->client;
}

/* "ip:port" of a node's agent; p is NULL when the node has none. */
static struct slice agent_address(struct api_request *r, const struct json *node)
{
    int64_t port = json_int(json_path(node, "status.daemonEndpoints.kubeletEndpoint.Port"), 10250);
    json_each (address, json_path(node, "status.addresses"))
        if (slice_eq_str(json_path_string(address, "type"), "InternalIP"))
            return slice_str(
                arena_printf(r->arena, "%" SLICE_FMT ":%ld", SLICE_ARG(json_path_string(address, "address")), port));
    return SLICE_NONE;
}

/* ---- which container ---- */

static void take_value(void *ctx, struct slice value)
{
    *(struct slice *)ctx = value;
}

static bool has_container(const struct json *pod, struct slice name)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers", "spec.ephemeralContainers"};
    for (size_t i = 0; i < 3; i++)
        json_each (c, json_path(pod, lists[i]))
            if (slice_eq(json_path_string(c, "name"), name))
                return true;
    return false;
}

static int choose_container(struct api_request *r, const struct json *pod, struct slice *ret, struct status *st)
{
    struct slice name = SLICE_NONE;
    api_query_each(r, SLICE("container"), take_value, &name);
    const struct json *containers = json_path(pod, "spec.containers");
    if (!name.n && json_len(containers) == 1)
        name = json_path_string(json_at(containers, 0), "name");
    if (!name.n) {
        struct buf names = BUF_INIT(4096);
        json_each (c, containers)
            buf_printf(&names, "%s%" SLICE_FMT, names.n ? " " : "", SLICE_ARG(json_path_string(c, "name")));
        status_set(st, r->arena, 400, "a container name must be specified for pod %" SLICE_FMT ", choose one of: [%s]",
                   SLICE_ARG(r->name), names.p ? names.p : "");
        buf_done(&names);
        return 400;
    }
    if (!has_container(pod, name))
        return status_set(st, r->arena, 400, "container %" SLICE_FMT " is not valid for pod %" SLICE_FMT,
                          SLICE_ARG(name), SLICE_ARG(r->name));
    *ret = name;
    return 0;
}

struct target {
    struct http_client *client;
    const char *path;
};

/* endpoint: "containerLogs", "exec", "attach" or "portForward". */
static int find_target(struct api_request *r, const char *endpoint, bool container_wanted, struct target *ret,
                       struct status *st)
{
    const struct json *pod = api_object(r, resource_core("pods"), r->ns, r->name);
    struct slice container = SLICE_NONE, node_name = json_path_string(pod, "spec.nodeName"), address;
    if (!pod)
        return status_not_found(st, r->arena, SLICE(""), SLICE("pods"), r->name);
    if (container_wanted && choose_container(r, pod, &container, st))
        return st->code;
    if (!node_name.n)
        return status_set(st, r->arena, 400, "pod %" SLICE_FMT " does not have a host assigned", SLICE_ARG(r->name));
    const struct json *node = api_object(r, resource_core("nodes"), SLICE_NONE, node_name);
    address = agent_address(r, node);
    ret->client = address.p ? client_of(r, node_name, address) : NULL;
    if (!ret->client)
        return status_set(st, r->arena, 503, "the address of node %" SLICE_FMT " is not known", SLICE_ARG(node_name));
    ret->path = arena_printf(r->arena, "/%s/%" SLICE_FMT "/%" SLICE_FMT "%s%" SLICE_FMT "%s%" SLICE_FMT, endpoint,
                             SLICE_ARG(r->ns), SLICE_ARG(r->name), container.n ? "/" : "", SLICE_ARG(container),
                             r->query.n ? "?" : "", SLICE_ARG(r->query));
    return 0;
}

/* ---- one streamed answer ---- */

struct relay {
    struct api_request *r;
    struct http_call *call;
    bool started, paused;
};

static void relay_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct relay *y = ctx;
    const char *type = "text/plain";
    for (size_t i = 0; i < n; i++)
        if (slice_eq_str(headers[i].name, "content-type"))
            type = arena_printf(y->r->arena, "%" SLICE_FMT, SLICE_ARG(headers[i].value));
    y->started = true;
    api_stream_start(y->r, code, type);
}

static void relay_data(void *ctx, struct slice data)
{
    struct relay *y = ctx;
    struct blob *b = blob_copy(data);
    if (!b)
        return;
    y->r->responder->write(y->r, &(struct chunk){b, b->bytes, b->n}, 1);
    if (y->r->responder->queued(y->r) > LOG_QUEUE_MAX && !y->paused) {
        y->paused = true;
        http_call_pause(y->call, true);
    }
}

static void relay_drain(struct api_request *r)
{
    struct relay *y = r->state;
    if (!y->paused)
        return;
    y->paused = false;
    http_call_pause(y->call, false);
}

static void relay_gone(struct api_request *r)
{
    struct relay *y = r->state;
    http_call_cancel(y->call);
    r->responder->abort(r);
}

static void relay_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct relay *y = ctx;
    struct api_request *r = y->r;
    (void)code, (void)trailers, (void)n, (void)sent;
    r->on_gone = NULL;
    r->on_drain = NULL;
    if (!y->started)
        api_reply_error(r, 502, "the node's agent does not answer: %s", strerror(-err));
    else if (err)
        r->responder->abort(r);
    else
        r->responder->end(r);
}

static void relay_start(struct api_request *r, const struct target *t, const struct http_header *headers, size_t n)
{
    struct relay *y = arena_state(r->arena, struct relay);
    y->r = r;
    r->state = y;
    r->on_gone = relay_gone;
    r->on_drain = relay_drain;
    list_push(&r->api->streams, &r->link);
    y->call = http_call(
        t->client, &(struct http_call_options){.method = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(r->method)),
                                               .path = t->path,
                                               .headers = headers,
                                               .n_headers = n,
                                               .body = r->body,
                                               .on_head = relay_head,
                                               .on_data = relay_data,
                                               .on_done = relay_done,
                                               .ctx = y});
}

void api_pod_log(struct api_request *r)
{
    struct status st = {0};
    struct target t = {0};
    if (find_target(r, "containerLogs", true, &t, &st))
        api_reply_status(r, &st);
    else
        relay_start(r, &t, NULL, 0);
}

/* ---- tunnels ---- */

/* Headers that belong to the connection to us, or say who the caller is (a subprotocol may hold a token). */
static bool stays_here(struct slice name)
{
    static const char *const own[] = {"host",   "authorization",         "content-length", "transfer-encoding",
                                      "cookie", "sec-websocket-protocol"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (slice_eq_str(name, own[i]))
            return true;
    return slice_starts(name, SLICE("x-remote-")) || slice_starts(name, SLICE("impersonate-"));
}

static size_t passed_headers(struct api_request *r, struct http_header *out)
{
    const struct http_request *q = http_request(r->http);
    size_t n = 0;
    for (size_t i = 0; i < q->n_headers && n < NODE_HEADERS_MAX - 1; i++)
        if (!stays_here(q->headers[i].name))
            out[n++] = q->headers[i];
    struct slice protocols = authn_subprotocols(r->http, r->arena);
    if (protocols.n)
        out[n++] = (struct http_header){SLICE("sec-websocket-protocol"), protocols};
    return n;
}

static void tunnel_ready(void *ctx, int err, int code, const struct http_header *headers, size_t n, struct slice body,
                         struct conn *raw)
{
    struct api_request *r = ctx;
    if (r->gone) {
        conn_close(raw);
        r->responder->abort(r);
        return;
    }
    if (err) {
        api_reply_error(r, 502, "the node's agent does not answer: %s", strerror(-err));
        return;
    }
    if (!raw) {
        struct blob *b = blob_copy(body);
        api_reply_bytes(r, code, "text/plain", b ? chunk_take(b) : chunk_static(SLICE("")));
        return;
    }
    struct loop *l = r->api->loop;
    api_account(r, code);
    struct http_exchange *x = r->http;
    api_leave(r);
    conn_splice(l, http_upgrade(x, code, headers, n), raw, NULL, NULL);
}

void api_pod_stream(struct api_request *r)
{
    static const struct {
        const char *sub, *endpoint;
        bool container;
    } rows[] = {{"exec", "exec", true}, {"attach", "attach", true}, {"portforward", "portForward", false}};
    struct status st = {0};
    struct target t = {0};
    struct http_header headers[NODE_HEADERS_MAX];
    size_t i = 0;
    if (!r->http || !http_request(r->http)->upgrade) {
        api_reply_error(r, 400, "Upgrade request required");
        return;
    }
    while (strcmp(rows[i].sub, r->sub->name) != 0)
        i++;
    if (find_target(r, rows[i].endpoint, rows[i].container, &t, &st)) {
        api_reply_status(r, &st);
        return;
    }
    size_t n = passed_headers(r, headers);
    http_client_upgrade(
        t.client,
        &(struct http_call_options){.method = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(r->method)),
                                    .path = t.path,
                                    .headers = headers,
                                    .n_headers = n,
                                    .body = r->body},
        tunnel_ready, r);
}

/* ---- proxy: nodes/NAME/proxy goes to the agent itself ---- */

void api_proxy(struct api_request *r)
{
    struct target t = {0};
    if (strcmp(r->res->plural, "nodes") != 0) {
        api_reply_error(r, 501, "proxying to %s is not built yet", r->res->plural);
        return;
    }
    const struct json *node = api_object(r, resource_core("nodes"), SLICE_NONE, r->name);
    struct slice address = agent_address(r, node);
    t.client = address.p ? client_of(r, r->name, address) : NULL;
    t.path = arena_printf(r->arena, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(r->rest.n ? r->rest : SLICE("/")),
                          r->query.n ? "?" : "", SLICE_ARG(r->query));
    if (t.client)
        relay_start(r, &t, NULL, 0);
    else
        api_reply_error(r, 503, "the address of node %" SLICE_FMT " is not known", SLICE_ARG(r->name));
}

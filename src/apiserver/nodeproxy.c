/* Requests that end at a node's agent: logs, exec, attach, port-forward.
 *
 * Logs are one streamed answer; exec and its like are byte tunnels: the agent (and the runtime behind it) answers the
 * Upgrade, and from then on bytes pass unread, whatever protocol they speak. */
#include <errno.h>
#include <stdio.h>

#include "apiserver/nodeproxy.h"
#include "apiserver/output.h"
#include "apiserver/relay.h"
#include "apiserver/special.h"
#include "base/mem.h"
#include "object/meta.h"

enum { NODE_CLIENTS_MAX = 10000 };

/* A node says itself where its agent listens. Whoever is there must show that node's certificate: else it could have us
 * speak, with our own certificate, to another API server. */
struct node_client {
    struct http_client *client;
    char address[128];
};

struct api_nodes *api_nodes_new(struct api *api)
{
    struct api_nodes *n = mem_new(struct api_nodes);
    n->api = api;
    map_init(&n->clients, 0);
    api_once_init(n);
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
    api_once_done(n);
    tls_context_free(n->trust);
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

struct http_client *api_agent_client(struct api_request *r, struct slice node, struct slice address)
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

struct slice api_agent_address(struct api_request *r, const struct json *node)
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

/* The containers' names with a space between. */
static const char *names_of(struct arena *a, const struct json *containers)
{
    struct buf names = BUF_INIT(64 << 10);
    json_each (c, containers)
        buf_printf(&names, "%s%" SLICE_FMT, names.n ? " " : "", SLICE_ARG(json_path_string(c, "name")));
    const char *text = arena_printf(a, "%s", names.n ? names.p : "");
    buf_done(&names);
    return text;
}

static int choose_container(struct api_request *r, const struct json *pod, struct slice *ret, struct status *st)
{
    struct slice name = SLICE_NONE;
    api_query_each(r, SLICE("container"), take_value, &name);
    const struct json *containers = json_path(pod, "spec.containers");
    if (!name.n && json_len(containers) == 1)
        name = json_path_string(json_at(containers, 0), "name");
    if (!name.n) {
        const struct json *init = json_path(pod, "spec.initContainers");
        return status_set(st, r->arena, 400,
                          "a container name must be specified for pod %" SLICE_FMT ", choose one of: [%s]%s%s%s",
                          SLICE_ARG(r->name), names_of(r->arena, containers),
                          json_len(init) ? " or one of the init containers: [" : "", names_of(r->arena, init),
                          json_len(init) ? "]" : "");
    }
    if (!has_container(pod, name))
        return status_set(st, r->arena, 400, "container %" SLICE_FMT " is not valid for pod %" SLICE_FMT,
                          SLICE_ARG(name), SLICE_ARG(r->name));
    *ret = name;
    return 0;
}

struct target {
    struct http_client *client;
    const char *path, *address;
};

/* endpoint: "containerLogs", "exec", "attach" or "portForward". No client when the pod has no node yet. */
static int find_target(struct api_request *r, const char *endpoint, bool container_wanted, struct target *ret,
                       struct status *st)
{
    const struct json *pod = api_object(r, resource_core("pods"), r->ns, r->name);
    struct slice container = SLICE_NONE, node_name = json_path_string(pod, "spec.nodeName"), address;
    if (!pod)
        return status_not_found(st, r->arena, SLICE(""), SLICE("pods"), r->name);
    if (container_wanted && choose_container(r, pod, &container, st))
        return st->code;
    *ret = (struct target){0};
    if (!node_name.n)
        return 0;
    const struct json *node = api_object(r, resource_core("nodes"), SLICE_NONE, node_name);
    address = api_agent_address(r, node);
    ret->client = address.p ? api_agent_client(r, node_name, address) : NULL;
    ret->address = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(address));
    if (!ret->client)
        return status_set_reason(st, r->arena, 500, "", "no preferred addresses found; known addresses: []");
    ret->path = arena_printf(r->arena, "/%s/%" SLICE_FMT "/%" SLICE_FMT "%s%" SLICE_FMT "%s%" SLICE_FMT, endpoint,
                             SLICE_ARG(r->ns), SLICE_ARG(r->name), container.n ? "/" : "", SLICE_ARG(container),
                             r->query.n ? "?" : "", SLICE_ARG(r->query));
    return 0;
}

static void relay(struct api_request *r, const struct target *t, int unreachable, const char *problem)
{
    api_relay(r, &(struct relay_target){.client = t->client,
                                        .path = t->path,
                                        .address = t->address,
                                        .unreachable = unreachable,
                                        .problem = problem});
}

void api_pod_log(struct api_request *r)
{
    struct status st = {0};
    struct target t = {0};
    if (find_target(r, "containerLogs", true, &t, &st))
        api_reply_status(r, &st);
    else if (!t.client)
        api_reply_bytes(r, 204, "text/plain", chunk_static(SLICE(""))); /* no node yet, so nothing was said */
    else
        relay(r, &t, 500, arena_printf(r->arena, "Get \"https://%s%s\"", t.address, t.path));
}

void api_pod_stream(struct api_request *r)
{
    static const struct {
        const char *sub, *endpoint;
        bool container;
    } rows[] = {{"exec", "exec", true}, {"attach", "attach", true}, {"portforward", "portForward", false}};
    struct status st = {0};
    struct target t = {0};
    size_t i = 0;
    if (!r->http || !http_request(r->http)->upgrade) {
        api_reply_error(r, 400, "Upgrade request required");
        return;
    }
    while (strcmp(rows[i].sub, r->sub->name) != 0)
        i++;
    if (find_target(r, rows[i].endpoint, rows[i].container, &t, &st))
        api_reply_status(r, &st);
    else if (!t.client)
        api_reply_error(r, 400, "pod %" SLICE_FMT " does not have a host assigned", SLICE_ARG(r->name));
    else
        relay(r, &t, 500, "error dialing backend");
}

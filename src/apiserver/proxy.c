/* The proxy subresources: nodes/N/proxy, pods/N/proxy, services/N/proxy, with N = [SCHEME:]NAME[:PORT].
 *
 * A request is passed on with its method, headers, query and body, and the answer comes back; redirects are rewritten
 * so
 * that they lead through here again. Pods are reached at their own address, as the server may reach it; nothing but
 * pods'
 * own addresses can be asked for, so that nobody gets to this machine's neighbours through us. */
#include <errno.h>

#include "apiserver/nodeproxy.h"
#include "apiserver/output.h"
#include "apiserver/relay.h"
#include "apiserver/special.h"

/* [SCHEME:]NAME[:PORT] */
struct proxy_name {
    struct slice scheme, name, port;
};

static bool split_name(struct slice id, struct proxy_name *ret)
{
    struct slice part[3] = {0}, rest = id;
    size_t n = 1;
    for (size_t i = 0; i < id.n; i++)
        n += id.p[i] == ':';
    if (n > 3)
        return false;
    for (size_t i = 0; i < n; i++)
        slice_cut(rest, ':', &part[i], &rest);
    *ret = (struct proxy_name){.name = part[n == 3]};
    if (n == 3)
        ret->scheme = part[0];
    if (n > 1)
        ret->port = part[n - 1];
    bool known = !ret->scheme.n || slice_eq_str(ret->scheme, "http") || slice_eq_str(ret->scheme, "https");
    return known && ret->name.n;
}

/* An address of the ordinary kind: neither this machine itself, nor a link's, nor a group's. */
static bool may_reach(struct slice ip)
{
    static const char *const refused[] = {"127.", "169.254.", "0.", "255.255.255.255", "::1", "fe80:", "ff"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (slice_starts(ip, slice_str(refused[i])))
            return false;
    bool six = ip.n && memchr(ip.p, ':', ip.n);
    int64_t first = 0;
    struct slice head, rest;
    slice_cut(ip, '.', &head, &rest);
    return ip.n && (six ? !slice_eq_str(ip, "::") : slice_to_i64(head, &first) && first < 224);
}

static const char *join(struct arena *a, struct slice ip, int64_t port)
{
    return arena_printf(a, ip.n && memchr(ip.p, ':', ip.n) ? "[%" SLICE_FMT "]:%ld" : "%" SLICE_FMT ":%ld",
                        SLICE_ARG(ip), port);
}

/* ---- sending ---- */

/* The path that the proxied server sees. */
static const char *target_path(struct api_request *r)
{
    return arena_printf(r->arena, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(r->rest.n ? r->rest : SLICE("/")),
                        r->query.n ? "?" : "", SLICE_ARG(r->query));
}

/* What stands before the proxied path in the request's. */
static const char *prefix(struct api_request *r)
{
    return arena_printf(r->arena, "%" SLICE_FMT, (int)(r->path.n - r->rest.n), r->path.p);
}

static void pass_on(struct api_request *r, bool https, struct slice ip, int64_t port)
{
    const char *address = join(r->arena, ip, port);
    struct slice host = r->http ? http_request_header(r->http, "host") : SLICE_NONE;
    struct tls_context *tls = https ? tls_trusting(&r->api->nodes->trust) : NULL;
    struct relay_target t = {
        .path = target_path(r),
        .address = address,
        .prepend = prefix(r),
        .host = host.n ? arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(host)) : address,
        .headers = true,
        .unreachable = 503,
        .problem = "error trying to reach service",
    };
    t.once = https && !tls ? NULL : api_once_new(r->api, address, tls, t.host);
    if (!t.once) {
        api_reply_error(r, 503, "error trying to reach service: too many requests are being proxied");
        return;
    }
    t.client = api_once_client(t.once);
    api_relay(r, &t);
}

/* ---- pods ---- */

static int64_t first_port(const struct json *pod)
{
    json_each (c, json_path(pod, "spec.containers"))
        json_each (port, json_get_str(c, "ports"))
            return json_int(json_get_str(port, "containerPort"), 0);
    return 0;
}

static void proxy_pod(struct api_request *r, const struct proxy_name *n)
{
    const struct json *pod = api_object(r, resource_core("pods"), r->ns, n->name);
    bool https = slice_eq_str(n->scheme, "https");
    int64_t port = 0;
    struct status st;
    if (!pod) {
        status_not_found(&st, r->arena, SLICE(""), SLICE("pods"), n->name);
        api_reply_status(r, &st);
        return;
    }
    struct slice ip = json_path_string(pod, "status.podIP");
    if (n->port.n && (!slice_to_i64(n->port, &port) || port < 1 || port > 65535)) {
        api_reply_error(r, 503, "error trying to reach service: dial tcp: lookup tcp/%" SLICE_FMT ": unknown port",
                        SLICE_ARG(n->port));
        return;
    }
    if (!port)
        port = first_port(pod);
    if (!port)
        port = https ? 443 : 80;
    if (may_reach(ip))
        pass_on(r, https, ip, port);
    else
        api_reply_error(r, 400, "address not allowed");
}

/* ---- services ---- */

/* The name of the port that n names by name or number. False when the Service has no such number. */
static bool service_port(struct api_request *r, const struct json *service, const struct proxy_name *n,
                         struct slice *ret)
{
    int64_t number;
    *ret = n->port;
    if (!slice_to_i64(n->port, &number))
        return true;
    json_each (port, json_path(service, "spec.ports"))
        if (json_int(json_get_str(port, "port"), 0) == number) {
            *ret = json_path_string(port, "name");
            return true;
        }
    api_reply_error(r, 503, "no service port %ld found for service \"%" SLICE_FMT "\"", number, SLICE_ARG(n->name));
    return false;
}

/* Only addresses that are pods' own: anybody may write Endpoints. */
static bool is_pods(struct api_request *r, const struct json *address)
{
    struct slice kind = json_path_string(address, "targetRef.kind"), ip = json_path_string(address, "ip");
    if (!slice_eq_str(kind, "Pod"))
        return false;
    const struct json *pod = api_object(r, resource_core("pods"), r->ns, json_path_string(address, "targetRef.name"));
    json_each (own, json_path(pod, "status.podIPs"))
        if (slice_eq(json_path_string(own, "ip"), ip))
            return may_reach(ip);
    return pod && slice_eq(json_path_string(pod, "status.podIP"), ip) && may_reach(ip);
}

static int64_t subset_port(const struct json *subset, struct slice name)
{
    json_each (port, json_get_str(subset, "ports"))
        if (slice_eq(json_path_string(port, "name"), name))
            return json_int(json_get_str(port, "port"), 0);
    return 0;
}

static void proxy_service(struct api_request *r, const struct proxy_name *n)
{
    const struct json *service = api_object(r, resource_core("services"), r->ns, n->name);
    const struct json *endpoints = api_object(r, resource_core("endpoints"), r->ns, n->name);
    struct slice port;
    struct status st;
    if (!service) {
        status_not_found(&st, r->arena, SLICE(""), SLICE("services"), n->name);
        api_reply_status(r, &st);
        return;
    }
    if (!service_port(r, service, n, &port))
        return;
    json_each (subset, json_path(endpoints, "subsets")) {
        const struct json *addresses = json_get_str(subset, "addresses");
        size_t many = json_len(addresses);
        int64_t number = subset_port(subset, port);
        uint64_t first = many ? loop_random_below(r->api->loop, many) : 0;
        for (size_t i = 0; number && i < many; i++) {
            const struct json *address = json_at(addresses, (first + i) % many);
            if (is_pods(r, address)) {
                pass_on(r, slice_eq_str(n->scheme, "https"), json_path_string(address, "ip"), number);
                return;
            }
        }
    }
    api_reply_error(r, 503, "no endpoints available for service \"%" SLICE_FMT "\"", SLICE_ARG(r->name));
}

/* ---- nodes ---- */

static void proxy_node(struct api_request *r, const struct proxy_name *n)
{
    const struct json *node = api_object(r, resource_core("nodes"), SLICE_NONE, n->name);
    struct slice address = api_agent_address(r, node);
    const char *colon = address.n ? memrchr(address.p, ':', address.n) : NULL;
    struct slice ip = colon ? slice_of(address.p, (size_t)(colon - address.p)) : SLICE_NONE;
    struct slice own = colon ? slice_from(address, ip.n + 1) : SLICE_NONE;
    struct status st;
    int64_t port;
    if (!node) {
        status_not_found(&st, r->arena, SLICE(""), SLICE("nodes"), n->name);
        api_reply_status(r, &st);
        return;
    }
    if (n->port.n && !slice_eq(n->port, own)) {
        if (slice_to_i64(n->port, &port) && port > 0 && port < 65536 && may_reach(ip))
            pass_on(r, slice_eq_str(n->scheme, "https"), ip, port);
        else
            api_reply_error(r, 400, "address not allowed");
        return;
    }
    struct relay_target t = {
        .client = address.p ? api_agent_client(r, n->name, address) : NULL,
        .path = target_path(r),
        .address = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(address)),
        .prepend = prefix(r),
        .headers = true,
        .unreachable = 503,
        .problem = "error trying to reach service",
    };
    if (t.client)
        api_relay(r, &t);
    else
        api_reply_error(r, 503, "the address of node %" SLICE_FMT " is not known", SLICE_ARG(n->name));
}

/* ---- any ---- */

/* A page's own links are relative to a path that ends with a slash. */
static bool moved_to_root(struct api_request *r)
{
    if (r->rest.n || !r->http || !(slice_eq_str(r->method, "GET") || slice_eq_str(r->method, "HEAD")))
        return false;
    struct http_header h = {SLICE("location"),
                            slice_str(arena_printf(r->arena, "%" SLICE_FMT "/%s%" SLICE_FMT, SLICE_ARG(r->path),
                                                   r->query.n ? "?" : "", SLICE_ARG(r->query)))};
    api_account(r, 301);
    r->replied = true;
    r->responder->reply(r, 301, &h, 1, NULL, 0);
    return true;
}

void api_proxy(struct api_request *r)
{
    static const struct {
        const char *plural, *what;
        void (*proxy)(struct api_request *r, const struct proxy_name *n);
    } rows[] = {{"nodes", "node", proxy_node}, {"pods", "pod", proxy_pod}, {"services", "service", proxy_service}};
    struct proxy_name n;
    size_t i = 0;
    while (strcmp(rows[i].plural, r->res->plural) != 0)
        i++;
    if (!split_name(r->name, &n))
        api_reply_error(r, 400, "invalid %s request \"%" SLICE_FMT "\"", rows[i].what, SLICE_ARG(r->name));
    else if (!moved_to_root(r))
        rows[i].proxy(r, &n);
}

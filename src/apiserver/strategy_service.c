/* Services: their addresses and ports, and what a change of type does to them. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "apiserver/output.h"
#include "apiserver/strategy.h"
#include "object/defaults.h"
#include "object/meta.h"
#include "object/validate.h"

enum { NODE_PORT_MIN = 30000, NODE_PORT_MAX = 32767 };

struct allocation {
    uint32_t base, size;                                    /* host addresses base + 1 … base + size - 2 */
    uint8_t *addresses;                                     /* bit set of those in use */
    uint8_t ports[(NODE_PORT_MAX - NODE_PORT_MIN) / 8 + 1]; /* in use by other Services, or given out here */
    struct slice skip;                                      /* key of the service being written */
};

static bool bit_get(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

static void bit_set(uint8_t *bits, uint32_t i)
{
    bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
}

static bool parse_ip(struct slice s, uint32_t *ret)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr addr;
    if (s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (inet_pton(AF_INET, text, &addr) != 1)
        return false;
    *ret = ntohl(addr.s_addr);
    return true;
}

static void note_service(struct allocation *al, const struct json *svc)
{
    uint32_t ip;
    json_each (entry, json_path(svc, "spec.clusterIPs"))
        if (parse_ip(json_string(entry), &ip) && ip - al->base < al->size)
            bit_set(al->addresses, ip - al->base);
    json_each (port, json_path(svc, "spec.ports")) {
        int64_t n = json_int(json_get_str(port, "nodePort"), 0);
        if (n >= NODE_PORT_MIN && n <= NODE_PORT_MAX)
            bit_set(al->ports, (uint32_t)(n - NODE_PORT_MIN));
    }
}

/* Writes that are proposed and not applied yet. All of them are in this api: only the leader allocates, and it does not
 * lead before everything that earlier leaders proposed is applied, or never will be. */
static void note_pending(struct strategy *s, struct allocation *al, struct slice own)
{
    list_each (node, &s->r->api->requests) {
        const struct api_request *other = container_of(node, struct api_request, at_work);
        const struct json *svc = other->allocates;
        if (svc && other != s->r && !slice_eq(api_key(s->r, meta_namespace(svc), meta_name(svc)), own))
            note_service(al, svc);
    }
}

static struct allocation *allocation_of(struct strategy *s)
{
    struct slice cidr = slice_str(s->r->api->o.service_cidr ? s->r->api->o.service_cidr : "10.96.0.0/16"), ip, bits;
    struct allocation *al = arena_state(s->r->arena, struct allocation);
    int64_t prefix = 16;
    slice_cut(cidr, '/', &ip, &bits);
    slice_to_i64(bits, &prefix);
    if (!parse_ip(ip, &al->base) || prefix < 12 || prefix > 30)
        prefix = 16;
    al->size = 1u << (32 - prefix);
    al->addresses = arena_always(s->r->arena, al->size / 8 + 1);
    bit_set(al->addresses, 0);
    bit_set(al->addresses, al->size - 1);
    struct tree_iter it;
    struct slice own = api_key(s->r, s->w->ns, meta_name(s->obj));
    tree_iter_init(&it, store_root(api_table(s->r->api, s->r->res)), SLICE_NONE);
    for (struct store_item *i; (i = tree_iter_next(&it));) {
        struct arena scratch; /* all Services together may be larger than one request's memory */
        arena_init(&scratch, API_ARENA_MAX);
        if (!slice_eq(item_key(i), own))
            note_service(al, api_item_json(s->r->api, &scratch, i));
        arena_done(&scratch);
    }
    note_pending(s, al, own);
    return al;
}

static void set_cluster_ip(struct strategy *s, struct slice ip)
{
    struct arena *a = s->r->arena;
    struct json *spec = json_get_str(s->obj, "spec"), *ips = json_new_array(a);
    json_set_str(a, spec, "clusterIP", json_new_string(a, ip));
    json_append(ips, json_new_string(a, ip));
    json_set_str(a, spec, "clusterIPs", ips);
}

static int service_invalid(struct strategy *s, const char *field, const struct json *value, const char *why)
{
    struct validation v = {.a = s->r->arena};
    validation_invalid(&v, field, value, why);
    return validation_result(&v, s->w->res, s->obj, s->st);
}

static struct json *wanted_ips(struct strategy *s, struct slice ip)
{
    struct json *list = json_new_array(s->r->arena);
    json_append(list, json_new_string(s->r->arena, ip));
    return list;
}

static int allocate_ip(struct strategy *s, struct allocation *al)
{
    struct json *spec = json_get_str(s->obj, "spec");
    struct slice wanted = json_path_string(spec, "clusterIP");
    uint32_t ip;
    if (!wanted.n)
        wanted = json_string(json_at(json_get_str(spec, "clusterIPs"), 0));
    if (slice_eq_str(wanted, "None")) {
        set_cluster_ip(s, wanted);
        return 0;
    }
    if (wanted.n) {
        if (!parse_ip(wanted, &ip) || ip - al->base >= al->size)
            return service_invalid(s, "spec.clusterIPs", wanted_ips(s, wanted),
                                   "failed to allocate IP: the provided IP is not in the valid range");
        if (bit_get(al->addresses, ip - al->base))
            return service_invalid(s, "spec.clusterIPs", wanted_ips(s, wanted),
                                   "failed to allocate IP: provided IP is already allocated");
        set_cluster_ip(s, wanted);
        return 0;
    }
    /* Random within the upper part: low addresses are left for those who choose theirs. */
    uint32_t reserved = al->size / 16 < 16 ? 16 : al->size / 16 > 256 ? 256 : al->size / 16;
    uint32_t span = al->size - reserved, start = (uint32_t)loop_random_below(s->r->api->loop, span);
    for (uint32_t i = 0; i < al->size; i++) {
        uint32_t at = i < span ? reserved + (start + i) % span : i - span;
        if (bit_get(al->addresses, at))
            continue;
        struct in_addr addr = {.s_addr = htonl(al->base + at)};
        char text[INET_ADDRSTRLEN];
        set_cluster_ip(s, slice_str(inet_ntop(AF_INET, &addr, text, sizeof text)));
        return 0;
    }
    return status_set(s->st, s->r->arena, 500, "no service address is left in the range: delete services or widen it");
}

static int refuse_node_port(struct strategy *s, int64_t wanted, const char *why)
{
    return service_invalid(s, "spec.ports[].nodePort", json_new_int(s->r->arena, wanted), why);
}

static struct slice protocol(const struct json *port)
{
    struct slice s = json_path_string(port, "protocol");
    return s.n ? s : SLICE("TCP");
}

/* The node port that another protocol of the same port has, so that both get one number; 0 = none. */
static int64_t shared_node_port(const struct json *ports, const struct json *port)
{
    json_each (other, ports)
        if (other != port && json_equal(json_get_str(other, "port"), json_get_str(port, "port")) &&
            !slice_eq(protocol(other), protocol(port)) && json_int(json_get_str(other, "nodePort"), 0))
            return json_int(json_get_str(other, "nodePort"), 0);
    return 0;
}

/* A free number, marked as used; 0 and *st when there is none. */
static int64_t any_node_port(struct strategy *s, struct allocation *al)
{
    uint32_t span = NODE_PORT_MAX - NODE_PORT_MIN + 1, at = (uint32_t)loop_random_below(s->r->api->loop, span), i = 0;
    while (i < span && bit_get(al->ports, (at + i) % span))
        i++;
    if (i == span) {
        status_set(s->st, s->r->arena, 500, "no node port is left in 30000-32767");
        return 0;
    }
    at = (at + i) % span;
    bit_set(al->ports, at);
    return NODE_PORT_MIN + at;
}

/* Ports that the caller chose. One number may stand at several protocols of this Service, but not at another's. */
static int check_node_port(struct strategy *s, const struct allocation *al, int64_t wanted)
{
    if (wanted < NODE_PORT_MIN || wanted > NODE_PORT_MAX)
        return refuse_node_port(s, wanted,
                                "provided port is not in the valid range. The range of valid ports is 30000-32767");
    if (bit_get(al->ports, (uint32_t)(wanted - NODE_PORT_MIN)))
        return refuse_node_port(s, wanted, "provided port is already allocated");
    return 0;
}

static int allocate_node_ports(struct strategy *s, struct allocation *al)
{
    struct json *ports = json_path(s->obj, "spec.ports");
    json_each (port, ports) {
        int64_t wanted = json_int(json_get_str(port, "nodePort"), 0);
        if (wanted && check_node_port(s, al, wanted))
            return s->st->code;
    }
    json_each (port, ports) {
        int64_t wanted = json_int(json_get_str(port, "nodePort"), 0);
        if (wanted)
            bit_set(al->ports, (uint32_t)(wanted - NODE_PORT_MIN));
    }
    json_each (port, ports) {
        if (json_int(json_get_str(port, "nodePort"), 0))
            continue;
        int64_t n = shared_node_port(ports, port);
        if (!n && !(n = any_node_port(s, al)))
            return s->st->code;
        json_set_str(s->r->arena, port, "nodePort", json_new_int(s->r->arena, n));
    }
    return 0;
}

/* The port that load balancers ask for a node's health: of type LoadBalancer with traffic policy Local only. */
static int allocate_health_port(struct strategy *s, struct allocation *al)
{
    struct json *spec = json_get_str(s->obj, "spec");
    int64_t wanted = json_int(json_get_str(spec, "healthCheckNodePort"), 0);
    if (wanted)
        return check_node_port(s, al, wanted);
    wanted = any_node_port(s, al);
    json_set_str(s->r->arena, spec, "healthCheckNodePort", json_new_int(s->r->arena, wanted));
    return wanted ? 0 : s->st->code;
}

static bool wants_node_ports(const struct json *obj)
{
    struct slice type = json_path_string(obj, "spec.type");
    return slice_eq_str(type, "NodePort") || slice_eq_str(type, "LoadBalancer");
}

static bool wants_health_port(const struct json *obj)
{
    return slice_eq_str(json_path_string(obj, "spec.type"), "LoadBalancer") &&
           slice_eq_str(json_path_string(obj, "spec.externalTrafficPolicy"), "Local");
}

static bool has_node_port(const struct json *ports, const struct json *node_port)
{
    json_each (it, ports)
        if (json_get_str(it, "nodePort") && json_equal(json_get_str(it, "nodePort"), node_port))
            return true;
    return false;
}

/* A port without a node port has the one that the port of its name had, unless that went to another. */
static void keep_node_port(struct strategy *s, const struct json *given, struct json *port)
{
    if (json_int(json_get_str(port, "nodePort"), 0))
        return;
    json_each (before, json_path(s->old, "spec.ports")) {
        const struct json *had = json_get_str(before, "nodePort");
        if (had && slice_eq(json_path_string(port, "name"), json_path_string(before, "name")) &&
            !has_node_port(given, had))
            json_set_str(s->r->arena, port, "nodePort", json_clone(s->r->arena, had));
    }
}

/* What the caller left out is taken over from the stored object. */
static void keep_allocated(struct strategy *s)
{
    static const char *const members[] = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy",
                                          "healthCheckNodePort"};
    struct arena *a = s->r->arena;
    struct json *spec = json_get_str(s->obj, "spec");
    size_t n = sizeof members / sizeof *members - !wants_health_port(s->obj);
    for (size_t i = 0; i < n; i++)
        if (!json_get_str(spec, members[i]) && json_get_str(json_get_str(s->old, "spec"), members[i]))
            json_set_str(a, spec, members[i], json_clone(a, json_get_str(json_get_str(s->old, "spec"), members[i])));
    const struct json *given = json_clone(a, json_get_str(spec, "ports"));
    json_each (port, wants_node_ports(s->obj) ? json_get_str(spec, "ports") : NULL)
        keep_node_port(s, given, port);
}

/* The same ports, in order, have the same node ports. */
static bool same_node_ports(const struct json *now, const struct json *before)
{
    const struct json *old = json_first(json_path(before, "spec.ports"));
    json_each (port, json_path(now, "spec.ports")) {
        if (!old || json_int(json_get_str(port, "nodePort"), 0) != json_int(json_get_str(old, "nodePort"), 0))
            return false;
        old = old->next;
    }
    return !old;
}

static void drop_same(struct json *obj, const struct json *old, const char *member)
{
    struct json *spec = json_get_str(obj, "spec");
    if (json_equal(json_get_str(spec, member), json_get_str(json_get_str(old, "spec"), member)))
        json_del_str(spec, member);
}

/* A client that changes the type and sends the rest as it was does not mean what only the old type had. */
static void drop_dependent(struct strategy *s)
{
    static const char *const addresses[] = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"};
    bool balancer = slice_eq_str(json_path_string(s->obj, "spec.type"), "LoadBalancer");
    bool was_balancer = slice_eq_str(json_path_string(s->old, "spec.type"), "LoadBalancer");
    bool external = slice_eq_str(json_path_string(s->obj, "spec.type"), "ExternalName");
    if (wants_node_ports(s->old) && !wants_node_ports(s->obj) && same_node_ports(s->obj, s->old))
        json_each (port, json_path(s->obj, "spec.ports"))
            json_del_str(port, "nodePort");
    if (wants_health_port(s->old) && !wants_health_port(s->obj))
        drop_same(s->obj, s->old, "healthCheckNodePort");
    if (was_balancer && !balancer) {
        drop_same(s->obj, s->old, "allocateLoadBalancerNodePorts");
        drop_same(s->obj, s->old, "loadBalancerClass");
        json_set_str(s->r->arena, json_object_at(s->r->arena, s->obj, "status"), "loadBalancer",
                     json_new_object(s->r->arena));
    }
    if (wants_node_ports(s->old) && !wants_node_ports(s->obj) && !json_len(json_path(s->obj, "spec.externalIPs")))
        drop_same(s->obj, s->old, "externalTrafficPolicy");
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses && external; i++)
        drop_same(s->obj, s->old, addresses[i]);
}

static void default_families(struct strategy *s)
{
    struct arena *a = s->r->arena;
    struct json *spec = json_get_str(s->obj, "spec"), *families = json_new_array(a);
    json_append(families, json_new_str(a, "IPv4"));
    if (!json_get_str(spec, "ipFamilies"))
        json_set_str(a, spec, "ipFamilies", families);
    if (!json_get_str(spec, "ipFamilyPolicy"))
        json_set_str(a, spec, "ipFamilyPolicy", json_new_str(a, "SingleStack"));
    if (!json_get_str(s->obj, "status"))
        json_set_str(a, json_object_at(a, s->obj, "status"), "loadBalancer", json_new_object(a));
}

/* What is refused by validation gets no address and no port. */
static bool may_allocate(struct strategy *s)
{
    struct status ignored = {0};
    struct json *copy = json_clone(s->r->arena, s->obj);
    if (defaults_apply(s->r->arena, s->w->res->type, copy, loop_wall(s->r->api->loop)))
        return false;
    return !(s->old ? validate_update(s->r->arena, s->w->res, SLICE(""), copy, s->old, &ignored)
                    : validate_create(s->r->arena, s->w->res, copy, &ignored));
}

int strategy_service(struct strategy *s)
{
    struct json *spec = json_get_str(s->obj, "spec");
    if (!spec || s->w->sub.n)
        return 0;
    bool external = slice_eq_str(json_path_string(spec, "type"), "ExternalName");
    bool was_external = slice_eq_str(json_path_string(s->old, "spec.type"), "ExternalName");
    if (s->old)
        drop_dependent(s);
    if (s->old && !external && !was_external)
        keep_allocated(s);
    if (external || !may_allocate(s))
        return 0;
    struct allocation *al = allocation_of(s);
    bool ports = wants_node_ports(s->obj) && json_bool(json_get_str(spec, "allocateLoadBalancerNodePorts"), true);
    int rv = allocate_ip(s, al);
    if (!rv && ports)
        rv = allocate_node_ports(s, al);
    if (!rv && wants_health_port(s->obj))
        rv = allocate_health_port(s, al);
    default_families(s);
    if (!rv)
        s->r->allocates = s->obj;
    return rv;
}

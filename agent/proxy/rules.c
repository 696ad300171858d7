#include "agent/proxy/rules.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/map.h"
#include "object/meta.h"

/* Packets to be masqueraded carry this mark from the nat decision to postrouting. */
#define MARK "0x4000"

struct rules {
    struct arena *a;
    const char *node_name, *pod_cidr;
    struct buf chains;      /* one a service port and endpoint */
    struct buf service_ips; /* elements of the map address . protocol . port */
    struct buf node_ports;  /* elements of the map protocol . port */
    struct buf no_endpoints, no_endpoints_ports;
    struct buf pod_cidrs;
    struct map seen; /* elements that are there: one key twice and nft refuses the whole table */
    struct slices {
        const struct json *slice;
        struct slices *next;
    } * slices;
};

struct rules *rules_new(struct arena *a, const char *node_name, const char *pod_cidr)
{
    struct rules *r = arena_new(a, struct rules);
    if (!r)
        return NULL;
    r->a = a;
    r->node_name = node_name;
    r->pod_cidr = pod_cidr;
    struct buf *const all[] = {&r->chains,       &r->service_ips,        &r->node_ports,
                               &r->no_endpoints, &r->no_endpoints_ports, &r->pod_cidrs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_init(all[i], RULES_TEXT_MAX);
    map_init(&r->seen, 0);
    return r;
}

/* What comes from the API goes into a ruleset, which one malformed element would make void for all services. */
static bool is_address(struct slice s)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr addr;
    if (!s.n || s.n >= sizeof text || memchr(s.p, '\0', s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(AF_INET, text, &addr) == 1;
}

static bool is_cidr(struct slice s)
{
    struct slice ip, bits;
    int64_t n;
    return slice_cut(s, '/', &ip, &bits) && is_address(ip) && slice_to_i64(bits, &n) && n >= 0 && n <= 32;
}

static bool is_port(int64_t n)
{
    return n > 0 && n < 65536;
}

/* Whether this address (empty: of the node), protocol and port are met the first time. */
static bool is_new(struct rules *r, struct slice ip, const char *protocol, int64_t port)
{
    static const char there = 0;
    char key[64];
    int n = snprintf(key, sizeof key, "%" SLICE_FMT " %s %ld", SLICE_ARG(ip), protocol, port);
    if (map_get(&r->seen, slice_of(key, (size_t)n)))
        return false;
    map_put(&r->seen, slice_of(key, (size_t)n), (void *)(uintptr_t)&there);
    return true;
}

static const char *protocol_of(struct slice s)
{
    return slice_eq_str(s, "UDP") ? "udp" : slice_eq_str(s, "SCTP") ? "sctp" : "tcp";
}

static void element(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void element(struct buf *out, const char *fmt, ...)
{
    va_list ap;
    buf_add_str(out, out->n ? ",\n\t\t\t" : "");
    va_start(ap, fmt);
    buf_vprintf(out, fmt, ap);
    va_end(ap);
}

void rules_add_node(struct rules *r, const struct json *node)
{
    struct slice cidr = json_path_string(node, "spec.podCIDR");
    if (is_cidr(cidr))
        element(&r->pod_cidrs, "%" SLICE_FMT, SLICE_ARG(cidr));
}

void rules_add_slice(struct rules *r, const struct json *slice)
{
    struct slices *s = arena_new(r->a, struct slices);
    if (!s || !slice_eq_str(json_path_string(slice, "addressType"), "IPv4"))
        return;
    s->slice = slice;
    s->next = r->slices;
    r->slices = s;
}

/* ---- one service port ---- */

struct target {
    struct slice ip;
    int64_t port;
    bool local;
};

struct targets {
    struct target at[RULES_ENDPOINTS_MAX];
    size_t n;
};

static int64_t slice_port(const struct json *slice, struct slice name, const char *protocol)
{
    json_each (p, json_get_str(slice, "ports"))
        if (slice_eq(json_path_string(p, "name"), name) &&
            !strcmp(protocol_of(json_path_string(p, "protocol")), protocol))
            return json_int(json_get_str(p, "port"), 0);
    return 0;
}

static void add_targets(const struct rules *r, const struct json *slice, int64_t port, struct targets *t)
{
    json_each (e, json_get_str(slice, "endpoints")) {
        struct slice ip = json_string(json_at(json_get_str(e, "addresses"), 0));
        bool ready = json_bool(json_path(e, "conditions.ready"), true);
        if (!ready || !is_address(ip) || !is_port(port) || t->n == RULES_ENDPOINTS_MAX)
            continue;
        t->at[t->n++] = (struct target){ip, port, slice_eq_str(json_path_string(e, "nodeName"), r->node_name)};
    }
}

static void collect(const struct rules *r, const struct json *svc, const struct json *port, struct targets *t)
{
    const char *protocol = protocol_of(json_path_string(port, "protocol"));
    t->n = 0;
    for (const struct slices *s = r->slices; s; s = s->next) {
        struct slice service = meta_label(s->slice, SLICE("kubernetes.io/service-name"));
        int64_t number;
        if (slice_eq(service, meta_name(svc)) && slice_eq(meta_namespace(s->slice), meta_namespace(svc)) &&
            (number = slice_port(s->slice, json_path_string(port, "name"), protocol)))
            add_targets(r, s->slice, number, t);
    }
}

/* Keeps the endpoints of this node only. */
static void keep_local(struct targets *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->at[i].local)
            t->at[n++] = t->at[i];
    t->n = n;
}

static uint64_t chain_id(const struct json *svc, const struct json *port, const char *what)
{
    uint64_t h = hash64(meta_name(svc), hash64(meta_namespace(svc), hash64(slice_str(what), 1)));
    return hash64(json_path_string(port, "name"), h + (uint64_t)json_int(json_get_str(port, "port"), 0));
}

/* A chain that sends what comes here to one of the targets. masquerade: the answer must come back through this node. */
static void write_chain(struct rules *r, uint64_t id, const char *protocol, const struct targets *t, bool by_client,
                        bool masquerade)
{
    struct buf *out = &r->chains;
    for (size_t i = 0; i < t->n; i++) {
        buf_printf(out, "\tchain ep_%016lx_%zu {\n", id, i);
        /* A pod that reaches itself through its Service must see another source. */
        buf_printf(out, "\t\tip saddr %" SLICE_FMT " meta mark set meta mark or " MARK "\n", SLICE_ARG(t->at[i].ip));
        buf_printf(out, "\t\tmeta l4proto %s dnat to %" SLICE_FMT ":%ld\n\t}\n", protocol, SLICE_ARG(t->at[i].ip),
                   t->at[i].port);
    }
    buf_printf(out, "\tchain svc_%016lx {\n", id);
    if (masquerade)
        buf_add_str(out, "\t\tmeta mark set meta mark or " MARK "\n");
    buf_printf(out, "\t\t%s mod %zu vmap { ", by_client ? "jhash ip saddr" : "numgen random", t->n);
    for (size_t i = 0; i < t->n; i++)
        buf_printf(out, "%s%zu : goto ep_%016lx_%zu", i ? ", " : "", i, id, i);
    buf_add_str(out, " }\n\t}\n");
}

static void add_address(struct rules *r, struct slice ip, const char *protocol, int64_t port, uint64_t id, bool any)
{
    if (!is_address(ip) || !is_new(r, ip, protocol, port))
        return;
    if (any)
        element(&r->service_ips, "%" SLICE_FMT " . %s . %ld : goto svc_%016lx", SLICE_ARG(ip), protocol, port, id);
    else
        element(&r->no_endpoints, "%" SLICE_FMT " . %s . %ld : goto refuse", SLICE_ARG(ip), protocol, port);
}

static void add_port(struct rules *r, const struct json *svc, const struct json *port, struct targets *t)
{
    const char *protocol = protocol_of(json_path_string(port, "protocol"));
    int64_t number = json_int(json_get_str(port, "port"), 0), node_port = json_int(json_get_str(port, "nodePort"), 0);
    bool by_client = slice_eq_str(json_path_string(svc, "spec.sessionAffinity"), "ClientIP");
    bool local_in = slice_eq_str(json_path_string(svc, "spec.internalTrafficPolicy"), "Local");
    bool local_out = slice_eq_str(json_path_string(svc, "spec.externalTrafficPolicy"), "Local");
    uint64_t in = chain_id(svc, port, "cluster"), out = chain_id(svc, port, "node");
    if (!is_port(number))
        return;
    collect(r, svc, port, t);
    struct targets *inside = t;
    if (local_in)
        keep_local(inside);
    if (inside->n)
        write_chain(r, in, protocol, inside, by_client, false);
    add_address(r, json_path_string(svc, "spec.clusterIP"), protocol, number, in, inside->n);
    json_each (ip, json_path(svc, "spec.externalIPs"))
        add_address(r, json_string(ip), protocol, number, in, inside->n);
    if (!is_port(node_port) || !is_new(r, SLICE_NONE, protocol, node_port))
        return;
    if (local_in) /* chosen anew: the two policies are independent */
        collect(r, svc, port, t);
    if (local_out)
        keep_local(t);
    if (t->n) {
        write_chain(r, out, protocol, t, by_client, !local_out);
        element(&r->node_ports, "%s . %ld : goto svc_%016lx", protocol, node_port, out);
    } else {
        element(&r->no_endpoints_ports, "%s . %ld : goto refuse", protocol, node_port);
    }
}

void rules_add_service(struct rules *r, const struct json *svc)
{
    struct slice ip = json_path_string(svc, "spec.clusterIP");
    size_t n = 0;
    struct targets *t = arena_new(r->a, struct targets);
    if (!t || !is_address(ip)) /* headless and external names have nothing to translate */
        return;
    json_each (port, json_path(svc, "spec.ports"))
        if (n++ < RULES_PORTS_MAX)
            add_port(r, svc, port, t);
}

/* ---- the table ---- */

static void write_map(struct buf *out, const char *kind, const char *name, const char *type, const struct buf *elements)
{
    buf_printf(out, "\t%s %s {\n\t\ttype %s\n", kind, name, type);
    if (elements->n)
        buf_printf(out, "\t\telements = {\n\t\t\t%s\n\t\t}\n", elements->p);
    buf_add_str(out, "\t}\n");
}

static const char base_chains[] =
    "\tchain services {\n"
    "\t\tip daddr . meta l4proto . th dport vmap @service_ips\n"
    "\t\tfib daddr type local meta l4proto . th dport vmap @node_ports\n"
    "\t}\n"
    "\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat\n\t\tjump services\n\t}\n"
    "\tchain output {\n\t\ttype nat hook output priority -100\n\t\tjump services\n\t}\n"
    "\tchain unserved {\n"
    "\t\tip daddr . meta l4proto . th dport vmap @no_endpoints\n"
    "\t\tfib daddr type local meta l4proto . th dport vmap @no_endpoints_ports\n"
    "\t}\n"
    "\tchain filter_input {\n\t\ttype filter hook input priority 0\n\t\tct state new jump unserved\n\t}\n"
    "\tchain filter_forward {\n\t\ttype filter hook forward priority 0\n\t\tct state new jump unserved\n\t}\n"
    "\tchain filter_output {\n\t\ttype filter hook output priority 0\n\t\tct state new jump unserved\n\t}\n";

int rules_write(struct rules *r, struct buf *out)
{
    buf_add_str(out, "add table ip pintle\ndelete table ip pintle\ntable ip pintle {\n");
    buf_add_str(out, "\tset pod_cidrs {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge\n");
    if (r->pod_cidrs.n)
        buf_printf(out, "\t\telements = {\n\t\t\t%s\n\t\t}\n", r->pod_cidrs.p);
    buf_add_str(out, "\t}\n");
    if (r->chains.n)
        buf_add_slice(out, buf_slice(&r->chains));
    buf_add_str(out, "\tchain refuse {\n\t\treject\n\t}\n");
    write_map(out, "map", "service_ips", "ipv4_addr . inet_proto . inet_service : verdict", &r->service_ips);
    write_map(out, "map", "node_ports", "inet_proto . inet_service : verdict", &r->node_ports);
    write_map(out, "map", "no_endpoints", "ipv4_addr . inet_proto . inet_service : verdict", &r->no_endpoints);
    write_map(out, "map", "no_endpoints_ports", "inet_proto . inet_service : verdict", &r->no_endpoints_ports);
    buf_add_str(out, base_chains);
    buf_add_str(out, "\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat\n"
                     "\t\tmeta mark and " MARK " == " MARK " masquerade\n");
    if (r->pod_cidr && is_cidr(slice_str(r->pod_cidr)))
        buf_printf(out, "\t\tip saddr %s ip daddr != @pod_cidrs masquerade\n", r->pod_cidr);
    buf_add_str(out, "\t}\n}\n");
    int rv = buf_error(out) ? buf_error(out) : buf_error(&r->chains);
    struct buf *const all[] = {&r->chains,       &r->service_ips,        &r->node_ports,
                               &r->no_endpoints, &r->no_endpoints_ports, &r->pod_cidrs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_done(all[i]);
    map_done(&r->seen);
    return rv;
}

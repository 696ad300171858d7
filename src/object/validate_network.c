/* Rules of Ingress, NetworkPolicy, EndpointSlice, Endpoints, IPAddress, ServiceCIDR, and what Services need beyond ports. */
#include <arpa/inet.h>

#include "object/meta.h"
#include "object/validate_rules.h"

enum { SLICE_ENDPOINTS_MAX = 1000, SUBNET_TEXT_MAX = 64 };

/* ---- Ingress ---- */

static bool holds(struct slice s, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, part, n) == 0)
            return true;
    return false;
}

static bool ends(struct slice s, const char *part)
{
    size_t n = strlen(part);
    return s.n >= n && memcmp(s.p + s.n - n, part, n) == 0;
}

/* value: one path of a rule. */
static void ingress_path(const struct rule_call *c)
{
    static const char *const inside[] = {"//", "/./", "/../", "%2f", "%2F"}, *const last[] = {"/..", "/."};
    struct slice type = json_path_string(c->value, "pathType"), path = json_path_string(c->value, "path");
    bool strict = slice_eq_str(type, "Exact") || slice_eq_str(type, "Prefix");
    bool rooted = path.n && path.p[0] == '/';
    if ((strict || path.n) && !rooted)
        member_invalid(c->v, c->at, c->value, "path", "must be an absolute path");
    for (size_t i = 0; i < sizeof inside / sizeof *inside && strict && rooted; i++)
        if (holds(path, inside[i]))
            member_invalid(c->v, c->at, c->value, "path", arena_printf(c->v->a, "must not contain '%s'", inside[i]));
    for (size_t i = 0; i < 2 && strict && rooted; i++)
        if (ends(path, last[i]))
            member_invalid(c->v, c->at, c->value, "path", arena_printf(c->v->a, "cannot end with '%s'", last[i]));
}

static void ingress_host(const struct rule_call *c)
{
    struct slice host = json_string(c->value);
    int family;
    if (host.n == 0)
        return;
    if (text_is_ip(host, &family))
        place_invalid(c->v, c->at, c->value, "must be a DNS name, not an IP address");
    else
        place_invalid(c->v, c->at, c->value,
                      validate_subdomain(slice_starts(host, SLICE("*.")) ? slice_from(host, 2) : host));
}

static void check_ingress_service(const struct rule_call *c, const struct json *service)
{
    struct place at = place_member(c->at, "service"), port = place_member(&at, "port");
    struct place number = place_member(&port, "number");
    const struct json *p = json_get_str(service, "port");
    bool named = json_path_string(p, "name").n, numbered = json_int(json_get_str(p, "number"), 0) != 0;
    if (!named && !numbered)
        place_required(c->v, c->at, "port name or number is required");
    else if (named && numbered)
        place_invalid(c->v, c->at, json_new_str(c->v->a, ""), "cannot set both port name & port number");
    else if (named)
        member_check(c->v, &port, p, "name", validate_port_name);
    else
        check_range(c->v, &number, json_get_str(p, "number"), 1, 65535);
}

/* value: where an Ingress sends requests. */
static void ingress_backend(const struct rule_call *c)
{
    static const char *const kinds[] = {"resource", "service"};
    size_t n = members_given(c->value, kinds, 2);
    if (c->value && n != 1)
        place_invalid(c->v, c->at, json_new_str(c->v->a, ""),
                      n ? "cannot set both resource and service backends" : "resource or service backend is required");
    else if (json_get_str(c->value, "service"))
        check_ingress_service(c, json_get_str(c->value, "service"));
}

/* value: an Ingress: the old annotation and the field must not contradict each other from the start. */
static void ingress_class(const struct rule_call *c)
{
    struct slice note = meta_annotation(c->value, SLICE("kubernetes.io/ingress.class"));
    const struct json *name = json_path(c->value, "spec.ingressClassName");
    struct place notes = place_member(c->at, "annotations"), here = place_member(&notes, "kubernetes.io/ingress.class");
    if (!c->update && note.n && name && !slice_eq(note, json_string(name)))
        place_invalid(c->v, &here, json_new_string(c->v->a, note),
                      "must match `ingressClassName` when both are specified");
}

/* value: parameters of an IngressClass. */
static void class_parameters(const struct rule_call *c)
{
    static const char *const scopes[] = {"Cluster", "Namespace", NULL};
    struct slice scope = json_path_string(c->value, "scope");
    const struct json *ns = json_get_str(c->value, "namespace");
    if (!c->value)
        return;
    member_one_of(c->v, c->at, c->value, "scope", scopes);
    if (slice_eq_str(scope, "Namespace"))
        member_required(c->v, c->at, c->value, "namespace");
    else if (slice_eq_str(scope, "Cluster") && ns)
        member_forbidden(c->v, c->at, "namespace", "`parameters.scope` is set to 'Cluster'");
}

/* ---- NetworkPolicy ---- */

static void policy_port(const struct rule_call *c)
{
    const struct json *port = json_get_str(c->value, "port"), *end = json_get_str(c->value, "endPort");
    if (!end)
        return;
    if (!port)
        member_invalid(c->v, c->at, c->value, "endPort", "may not be specified when `port` is not specified");
    else if (json_is(port, JSON_STRING))
        member_invalid(c->v, c->at, c->value, "endPort", "may not be specified when `port` is non-numeric");
    else if (json_int(end, 0) < json_int(port, 0))
        member_invalid(c->v, c->at, c->value, "endPort", "must be greater than or equal to `port`");
}

static void policy_types(const struct rule_call *c)
{
    if (json_len(c->value) > 2)
        place_invalid(c->v, c->at, c->value, "may not specify more than two policyTypes");
}

static void policy_peer(const struct rule_call *c)
{
    static const char *const selectors[] = {"podSelector", "namespaceSelector"};
    size_t n = members_given(c->value, selectors, 2);
    bool block = json_get_str(c->value, "ipBlock");
    if (n && block)
        place_forbidden(c->v, c->at, "may not specify both ipBlock and another peer");
    else if (!n && !block)
        place_required(c->v, c->at, "must specify a peer");
}

struct subnet {
    unsigned char bytes[16];
    int family;
    uint64_t bits;
};

static bool subnet_of(struct slice s, struct subnet *ret)
{
    struct slice ip, tail;
    char text[SUBNET_TEXT_MAX];
    if (!text_is_cidr(s, &ret->family) || !slice_cut(s, '/', &ip, &tail) || ip.n >= sizeof text)
        return false;
    memcpy(text, ip.p, ip.n);
    text[ip.n] = '\0';
    slice_to_u64(tail, &ret->bits);
    return inet_pton(ret->family == 4 ? AF_INET : AF_INET6, text, ret->bytes) == 1;
}

static bool same_bits(const unsigned char *x, const unsigned char *y, uint64_t bits)
{
    if (memcmp(x, y, bits / 8) != 0)
        return false;
    return bits % 8 == 0 || ((x[bits / 8] ^ y[bits / 8]) >> (8 - bits % 8)) == 0;
}

/* value: an ipBlock: exceptions are strict parts of it. */
static void ip_block(const struct rule_call *c)
{
    struct place list = place_member(c->at, "except");
    struct slice cidr = json_path_string(c->value, "cidr");
    struct subnet whole, part;
    size_t i = 0;
    bool known = subnet_of(cidr, &whole);
    json_each (it, json_get_str(c->value, "except")) {
        struct place here = place_item(&list, i++);
        if (!subnet_of(json_string(it), &part))
            place_invalid(c->v, &here, it, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        else if (known && (part.family != whole.family || part.bits <= whole.bits ||
                           !same_bits(part.bytes, whole.bytes, whole.bits)))
            place_invalid(
                c->v, &here, it,
                arena_printf(c->v->a, "must be a strict subset of `cidr`: \"%" SLICE_FMT "\"", SLICE_ARG(cidr)));
    }
}

/* ---- EndpointSlice and Endpoints ---- */

static void check_slice_address(const struct rule_call *c, struct slice type, const struct json *address,
                                const struct place *at)
{
    struct rule_call one = *c;
    int family;
    one.at = at;
    one.value = address;
    if (slice_eq_str(type, "FQDN")) {
        place_invalid(c->v, at, address, validate_subdomain(json_string(address)));
        return;
    }
    if (text_is_ip(json_string(address), &family) && family != (slice_eq_str(type, "IPv4") ? 4 : 6))
        place_invalid(c->v, at, address, family == 6 ? "must be an IPv4 address" : "must be an IPv6 address");
    else
        rule_find("reachable-ip")(&one);
}

/* value: an EndpointSlice. */
static void slice_addresses(const struct rule_call *c)
{
    struct place list = place_member(c->at, "endpoints");
    const struct json *endpoints = json_get_str(c->value, "endpoints");
    struct slice type = json_path_string(c->value, "addressType");
    size_t i = 0;
    if (json_len(endpoints) > SLICE_ENDPOINTS_MAX) {
        validation_too_many(c->v, "endpoints", (int64_t)json_len(endpoints), SLICE_ENDPOINTS_MAX);
        return;
    }
    json_each (it, endpoints) {
        struct place one = place_item(&list, i++), addresses = place_member(&one, "addresses");
        size_t n = 0;
        json_each (address, json_get_str(it, "addresses")) {
            struct place here = place_item(&addresses, n++);
            check_slice_address(c, type, address, &here);
        }
    }
}

static void endpoint_subset(const struct rule_call *c)
{
    static const char *const lists[] = {"addresses", "notReadyAddresses"};
    const struct json *ports = json_get_str(c->value, "ports");
    struct place list = place_member(c->at, "ports");
    size_t i = 0;
    if (json_len(json_get_str(c->value, lists[0])) == 0 && json_len(json_get_str(c->value, lists[1])) == 0)
        place_required(c->v, c->at, "must specify `addresses` or `notReadyAddresses`");
    json_each (it, ports) {
        struct place here = place_item(&list, i++);
        if (json_len(ports) > 1)
            member_required(c->v, &here, it, "name");
    }
}

/* ---- IPAddress, ServiceCIDR ---- */

/* value: an IPAddress: its name is the address, written the one way it is written. */
static void ip_name(const struct rule_call *c)
{
    struct place meta = place_member(c->at, "metadata"), here = place_member(&meta, "name");
    struct slice name = meta_name(c->value);
    char canonical[INET6_ADDRSTRLEN] = "";
    unsigned char bytes[16];
    int family;
    const char *text = arena_copy(c->v->a, name).p;
    if (!text_is_ip(name, &family)) {
        place_invalid(c->v, &here, json_path(c->value, "metadata.name"),
                      "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return;
    }
    inet_pton(family == 4 ? AF_INET : AF_INET6, text, bytes);
    inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes, canonical, sizeof canonical);
    if (!slice_eq_str(name, canonical))
        place_invalid(c->v, &here, json_path(c->value, "metadata.name"),
                      arena_printf(c->v->a, "must be in canonical form (\"%s\")", canonical));
}

/* value: the list of ranges: set once; a second one of the other family may be added. */
static void service_cidrs(const struct rule_call *c)
{
    const struct json *before = json_first(c->old), *now = json_first(c->value);
    size_t i = 0;
    if (!c->update || !c->old)
        return;
    if (json_len(c->value) == json_len(c->old)) {
        for (; now; now = now->next, before = before->next) {
            struct place here = place_item(c->at, i++);
            if (!json_equal(now, before))
                place_invalid(c->v, &here, now, "field is immutable");
        }
        return;
    }
    if (json_len(c->value) < json_len(c->old) || !json_equal(before, now) ||
        (json_len(c->old) == 2 && !json_equal(c->old, c->value)))
        place_invalid(c->v, c->at, c->value, "field is immutable");
}

/* Host bits of a new range must be zero. */
static void cidr_exact(const struct rule_call *c)
{
    struct subnet s;
    if (is_blank(c->value) || !subnet_of(json_string(c->value), &s))
        return;
    size_t len = s.family == 4 ? 4 : 16;
    for (size_t i = 0; i < len; i++) {
        unsigned host = i * 8 >= s.bits ? 0xffu : (i + 1) * 8 <= s.bits ? 0u : 0xffu >> (s.bits % 8);
        if (s.bytes[i] & host) {
            place_invalid(c->v, c->at, c->value, "must not have bits set beyond the prefix length");
            return;
        }
    }
}

/* ---- Services ---- */

static bool is_type(const struct json *spec, const char *type)
{
    return slice_eq_str(json_path_string(spec, "type"), type);
}

static void check_health_port(const struct rule_call *c)
{
    bool wanted =
        is_type(c->value, "LoadBalancer") && slice_eq_str(json_path_string(c->value, "externalTrafficPolicy"), "Local");
    const struct json *port = json_get_str(c->value, "healthCheckNodePort");
    if (!wanted && json_int(port, 0))
        member_invalid(c->v, c->at, c->value, "healthCheckNodePort",
                       "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    if (wanted && c->update && json_int(json_get_str(c->old, "healthCheckNodePort"), 0) &&
        !json_equal(port, json_get_str(c->old, "healthCheckNodePort")))
        member_invalid(c->v, c->at, c->value, "healthCheckNodePort", "field is immutable");
}

static void check_affinity(const struct rule_call *c)
{
    static const char *const distributions[] = {"PreferClose", "PreferSameNode", "PreferSameZone", NULL};
    struct place here = place_member(c->at, "trafficDistribution");
    const struct json *d = json_get_str(c->value, "trafficDistribution");
    if (is_type(c->value, "ExternalName") && slice_eq_str(json_path_string(c->value, "sessionAffinity"), "ClientIP"))
        member_invalid(c->v, c->at, c->value, "sessionAffinity", "must be 'None' when `type` is 'ExternalName'");
    if (!is_blank(d) && !text_is_one_of(json_string(d), distributions))
        place_not_supported(c->v, &here, d, distributions);
}

static int wanted_family(const struct json *family)
{
    return slice_eq_str(json_string(family), "IPv4") ? 4 : 6;
}

/* Addresses fit each other, and the families asked for. */
static void check_cluster_ips(const struct rule_call *c)
{
    const struct json *ips = json_get_str(c->value, "clusterIPs"), *one = json_get_str(c->value, "clusterIP");
    const struct json *families = json_get_str(c->value, "ipFamilies"), *wanted = json_first(families);
    struct place list = place_member(c->at, "clusterIPs");
    int seen[2] = {0}, family;
    size_t i = 0;
    if (json_len(ips) && !json_equal(json_at(ips, 0), one)) {
        struct place first = place_item(&list, 0);
        place_invalid(c->v, &first, json_at(ips, 0), "first value must match `clusterIP`");
    }
    if (json_len(ips) > 2)
        place_invalid(c->v, &list, ips, "may only hold up to 2 values");
    json_each (it, ips) {
        struct place here = place_item(&list, i++);
        if (slice_eq_str(json_string(it), "None")) {
            if (json_len(ips) > 1)
                place_invalid(c->v, &list, ips, "'None' must be the first and only value");
            return;
        }
        if (!text_is_ip(json_string(it), &family)) {
            place_invalid(c->v, &here, it, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
            continue;
        }
        if (wanted && family != wanted_family(wanted))
            place_invalid(c->v, &here, it,
                          arena_printf(c->v->a, "expected an IPv%d value as indicated by `ipFamilies[%zu]`",
                                       wanted_family(wanted), i - 1));
        if (seen[family == 6]++)
            place_invalid(c->v, &list, ips, "may specify no more than one IP for each IP family");
        wanted = wanted ? wanted->next : NULL;
    }
}

/* What was stored before a rule came is not held against who does not touch it. */
static bool was_there(const struct rule_call *c, const char *list, const struct json *item)
{
    json_each (it, json_get_str(c->old, list))
        if (json_equal(it, item))
            return true;
    return false;
}

static void check_ranges(const struct rule_call *c)
{
    struct place ranges = place_member(c->at, "loadBalancerSourceRanges"), ips = place_member(c->at, "externalIPs");
    size_t i = 0;
    json_each (it, json_get_str(c->value, "loadBalancerSourceRanges")) {
        struct place here = place_item(&ranges, i++);
        if (!was_there(c, "loadBalancerSourceRanges", it))
            place_invalid(c->v, &here, it, cidr_problem(json_string(it)));
    }
    i = 0;
    json_each (it, json_get_str(c->value, "externalIPs")) {
        struct place here = place_item(&ips, i++);
        struct rule_call one = {.v = c->v, .at = &here, .value = it, .root = c->root, .argument = ""};
        if (was_there(c, "externalIPs", it))
            continue;
        if (ip_problem(json_string(it)))
            place_invalid(c->v, &here, it, ip_problem(json_string(it)));
        else
            rule_find("reachable-ip")(&one);
    }
}

/* value: a Service's spec. */
static void service_more(const struct rule_call *c)
{
    check_health_port(c);
    check_affinity(c);
    check_cluster_ips(c);
    check_ranges(c);
    if (c->update && is_type(c->value, "LoadBalancer") && is_type(c->old, "LoadBalancer") &&
        !(is_blank(json_get_str(c->value, "loadBalancerClass")) &&
          is_blank(json_get_str(c->old, "loadBalancerClass"))) &&
        !json_equal(json_get_str(c->value, "loadBalancerClass"), json_get_str(c->old, "loadBalancerClass")))
        member_invalid(c->v, c->at, c->value, "loadBalancerClass", "may not change once set");
}

/* value: the status of a Service. */
static void service_status(const struct rule_call *c)
{
    static const char *const modes[] = {"Proxy", "VIP", NULL};
    struct place balancer = place_member(c->at, "loadBalancer"), list = place_member(&balancer, "ingress");
    const struct json *ingress = json_path(c->value, "loadBalancer.ingress");
    size_t i = 0;
    int family;
    if (json_len(ingress) && !is_type(json_get_str(c->root, "spec"), "LoadBalancer") && !json_equal(c->value, c->old))
        place_forbidden(c->v, &list, "may only be used when `spec.type` is \"LoadBalancer\"");
    json_each (it, ingress) {
        struct place here = place_item(&list, i++), mode = place_member(&here, "ipMode");
        struct slice ip = json_path_string(it, "ip"), host = json_path_string(it, "hostname");
        const struct json *m = json_get_str(it, "ipMode");
        if (ip.n && !text_is_ip(ip, &family))
            member_invalid(c->v, &here, it, "ip", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        if (ip.n && is_blank(m))
            place_required(c->v, &mode, "must be specified when `ip` is set");
        else if (!ip.n && m)
            place_forbidden(c->v, &mode, "may not be specified when `ip` is not set");
        else if (ip.n && !text_is_one_of(json_string(m), modes))
            place_not_supported(c->v, &mode, m, modes);
        if (host.n && text_is_ip(host, &family))
            member_invalid(c->v, &here, it, "hostname", "must be a DNS name, not an IP address");
        else
            member_check(c->v, &here, it, "hostname", validate_subdomain);
    }
}

static const struct rule_entry entries[] = {
    {"cidr-exact", cidr_exact},
    {"class_parameters", class_parameters},
    {"endpoint_subset", endpoint_subset},
    {"ingress_backend", ingress_backend},
    {"ingress_class", ingress_class},
    {"ingress_host", ingress_host},
    {"ingress_path", ingress_path},
    {"ip_block", ip_block},
    {"ip_name", ip_name},
    {"policy_peer", policy_peer},
    {"policy_port", policy_port},
    {"policy_types", policy_types},
    {"service_cidrs", service_cidrs},
    {"service_more", service_more},
    {"service_status", service_status},
    {"slice_addresses", slice_addresses},
};

const struct rule_table rules_network = RULE_TABLE(entries);

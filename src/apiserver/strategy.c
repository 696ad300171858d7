/* What single kinds do on create and update that no table can say: a row a kind. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "apiserver/output.h"
#include "apiserver/write.h"
#include "base/text.h"
#include "object/meta.h"
#include "object/quantity.h"

enum { NODE_PORT_MIN = 30000, NODE_PORT_MAX = 32767 };

struct strategy {
    struct api_request *r;
    struct write *w;
    struct json *obj;
    const struct json *old; /* NULL on create */
    struct status *st;
};

/* ---- Namespace ---- */

static int namespace_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old) {
        if (!slice_eq_str(s->w->sub, "finalize") && json_path(s->old, "spec.finalizers"))
            json_set_str(a, json_object_at(a, s->obj, "spec"), "finalizers",
                         json_clone(a, json_path(s->old, "spec.finalizers")));
        return 0;
    }
    struct json *spec = json_object_at(a, s->obj, "spec"), *list = json_get_str(spec, "finalizers");
    if (!json_is(list, JSON_ARRAY)) {
        list = json_new_array(a);
        json_set_str(a, spec, "finalizers", list);
    }
    bool there = false;
    json_each (f, list)
        there |= slice_eq_str(json_string(f), "kubernetes");
    if (!there)
        json_append(list, json_new_str(a, "kubernetes"));
    struct json *status = json_new_object(a);
    json_set_str(a, status, "phase", json_new_str(a, "Active"));
    json_set_str(a, s->obj, "status", status);
    return 0;
}

/* ---- Pod ---- */

/* Guaranteed: every container has limits for cpu and memory, and requests equal to them; BestEffort: none has any. */
static const char *qos_class(const struct json *obj)
{
    static const char *const kinds[] = {"cpu", "memory"};
    bool any = false, all = true;
    json_each (c, json_path(obj, "spec.containers")) {
        for (size_t i = 0; i < 2; i++) {
            struct slice request = json_string(json_get_str(json_path(c, "resources.requests"), kinds[i]));
            struct slice limit = json_string(json_get_str(json_path(c, "resources.limits"), kinds[i]));
            any |= request.n || limit.n;
            all &= limit.n && (!request.n || slice_eq(request, limit));
        }
    }
    return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}

static int pod_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old)
        return 0;
    struct json *status = json_new_object(a);
    json_set_str(a, status, "phase", json_new_str(a, "Pending"));
    json_set_str(a, status, "qosClass", json_new_str(a, qos_class(s->obj)));
    json_set_str(a, s->obj, "status", status);
    return 0;
}

/* ---- Service: addresses and node ports ---- */

struct allocation {
    uint32_t base, size; /* host addresses base + 1 … base + size - 2 */
    uint8_t *addresses;  /* bit set of those in use */
    uint8_t ports[(NODE_PORT_MAX - NODE_PORT_MIN) / 8 + 1];
    struct slice skip; /* key of the service being written */
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

static int service_invalid(struct strategy *s, const char *field, struct slice value, const char *why)
{
    struct slice name = meta_name(s->obj);
    status_set(s->st, s->r->arena, 422,
               "Service \"%" SLICE_FMT "\" is invalid: %s: Invalid value: \"%" SLICE_FMT "\": %s", SLICE_ARG(name),
               field, SLICE_ARG(value), why);
    status_cause(s->st, s->r->arena, "FieldValueInvalid", field, "Invalid value: \"%" SLICE_FMT "\": %s",
                 SLICE_ARG(value), why);
    s->st->kind = "Service";
    s->st->name = arena_copy(s->r->arena, name).p;
    return 422;
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
            return service_invalid(s, "spec.clusterIPs", wanted,
                                   "failed to allocate IP: the provided IP is not in the valid range");
        if (bit_get(al->addresses, ip - al->base))
            return service_invalid(s, "spec.clusterIPs", wanted,
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

static int allocate_node_ports(struct strategy *s, struct allocation *al)
{
    json_each (port, json_path(s->obj, "spec.ports")) {
        int64_t wanted = json_int(json_get_str(port, "nodePort"), 0);
        if (wanted) {
            if (wanted < NODE_PORT_MIN || wanted > NODE_PORT_MAX)
                return service_invalid(
                    s, "spec.ports.nodePort", slice_str(arena_printf(s->r->arena, "%ld", wanted)),
                    "provided port is not in the valid range. The range of valid ports is 30000-32767");
            if (bit_get(al->ports, (uint32_t)(wanted - NODE_PORT_MIN)))
                return service_invalid(s, "spec.ports.nodePort", slice_str(arena_printf(s->r->arena, "%ld", wanted)),
                                       "provided port is already allocated");
            bit_set(al->ports, (uint32_t)(wanted - NODE_PORT_MIN));
            continue;
        }
        uint32_t span = NODE_PORT_MAX - NODE_PORT_MIN + 1, at = (uint32_t)loop_random_below(s->r->api->loop, span),
                 i = 0;
        while (i < span && bit_get(al->ports, (at + i) % span))
            i++;
        if (i == span)
            return status_set(s->st, s->r->arena, 500, "no node port is left in 30000-32767");
        at = (at + i) % span;
        bit_set(al->ports, at);
        json_set_str(s->r->arena, port, "nodePort", json_new_int(s->r->arena, NODE_PORT_MIN + at));
    }
    return 0;
}

/* What the caller left out is taken over from the stored object. */
static void keep_allocated(struct strategy *s)
{
    static const char *const members[] = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy",
                                          "healthCheckNodePort"};
    struct arena *a = s->r->arena;
    struct json *spec = json_get_str(s->obj, "spec");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!json_get_str(spec, members[i]) && json_get_str(json_get_str(s->old, "spec"), members[i]))
            json_set_str(a, spec, members[i], json_clone(a, json_get_str(json_get_str(s->old, "spec"), members[i])));
    json_each (port, json_get_str(spec, "ports"))
        json_each (before, json_path(s->old, "spec.ports"))
            if (!json_get_str(port, "nodePort") && json_get_str(before, "nodePort") &&
                json_equal(json_get_str(port, "port"), json_get_str(before, "port")) &&
                slice_eq(json_path_string(port, "name"), json_path_string(before, "name")))
                json_set_str(a, port, "nodePort", json_clone(a, json_get_str(before, "nodePort")));
}

static void drop_node_ports(struct json *obj)
{
    json_each (port, json_path(obj, "spec.ports"))
        json_del_str(port, "nodePort");
}

static int service_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    struct json *spec = json_get_str(s->obj, "spec");
    struct slice type = json_path_string(spec, "type");
    if (!spec || s->w->sub.n)
        return 0;
    bool external = slice_eq_str(type, "ExternalName");
    bool node_ports = slice_eq_str(type, "NodePort") || slice_eq_str(type, "LoadBalancer");
    bool was_external = slice_eq_str(json_path_string(s->old, "spec.type"), "ExternalName");
    if (s->old && !external && !was_external)
        keep_allocated(s);
    if (external) {
        json_del_str(spec, "clusterIP");
        json_del_str(spec, "clusterIPs");
        return 0;
    }
    if (!node_ports && s->old && !json_equal(json_path(s->old, "spec.type"), json_get_str(spec, "type")))
        drop_node_ports(s->obj);
    struct allocation *al = allocation_of(s);
    int rv = allocate_ip(s, al);
    if (!rv && node_ports)
        rv = allocate_node_ports(s, al);
    if (!json_get_str(spec, "ipFamilies")) {
        struct json *families = json_new_array(a);
        json_append(families, json_new_str(a, "IPv4"));
        json_set_str(a, spec, "ipFamilies", families);
    }
    if (!json_get_str(spec, "ipFamilyPolicy"))
        json_set_str(a, spec, "ipFamilyPolicy", json_new_str(a, "SingleStack"));
    if (!json_get_str(s->obj, "status")) {
        struct json *status = json_new_object(a);
        json_set_str(a, status, "loadBalancer", json_new_object(a));
        json_set_str(a, s->obj, "status", status);
    }
    if (!rv)
        s->r->allocates = s->obj;
    return rv;
}

/* ---- Secret ---- */

static int secret_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    struct json *plain = json_get_str(s->obj, "stringData");
    if (s->old && !json_path_string(s->obj, "type").n)
        json_set_str(a, s->obj, "type", json_clone(a, json_get_str(s->old, "type")));
    if (!json_len(plain))
        return 0;
    struct json *data = json_object_at(a, s->obj, "data");
    json_each (m, plain) {
        struct buf encoded = BUF_INIT(4 << 20);
        if (!base64_encode(&encoded, json_string(m)))
            json_set(a, data, m->key, json_new_string(a, buf_slice(&encoded)));
        buf_done(&encoded);
    }
    json_del_str(s->obj, "stringData");
    return 0;
}

/* ---- Job ---- */

static int job_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old || json_bool(json_path(s->obj, "spec.manualSelector"), false))
        return 0;
    struct slice uid = meta_uid(s->obj), name = meta_name(s->obj);
    struct json *spec = json_object_at(a, s->obj, "spec"), *template = json_object_at(a, spec, "template");
    meta_set_label(a, template, SLICE("batch.kubernetes.io/controller-uid"), uid);
    meta_set_label(a, template, SLICE("batch.kubernetes.io/job-name"), name);
    meta_set_label(a, template, SLICE("controller-uid"), uid);
    meta_set_label(a, template, SLICE("job-name"), name);
    struct json *selector = json_new_object(a);
    json_set_str(a, json_object_at(a, selector, "matchLabels"), "batch.kubernetes.io/controller-uid",
                 json_new_string(a, uid));
    json_set_str(a, spec, "selector", selector);
    return 0;
}

/* ---- CertificateSigningRequest ---- */

static int csr_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old)
        return 0;
    const struct user *u = &s->r->user;
    struct json *spec = json_object_at(a, s->obj, "spec"), *groups = json_new_array(a);
    json_set_str(a, spec, "username", json_new_string(a, u->name));
    if (u->uid.n)
        json_set_str(a, spec, "uid", json_new_string(a, u->uid));
    for (size_t i = 0; i < u->n_groups; i++)
        json_append(groups, json_new_string(a, u->groups[i]));
    json_set_str(a, spec, "groups", groups);
    json_del_str(spec, "extra");
    json_del_str(s->obj, "status");
    return 0;
}

/* ---- RBAC: nobody grants what they do not hold ---- */

static int escalates(struct strategy *s, const char *missing)
{
    struct slice name = meta_name(s->obj);
    status_set(s->st, s->r->arena, 403,
               "%s.rbac.authorization.k8s.io \"%" SLICE_FMT "\" is forbidden: user \"%" SLICE_FMT
               "\" is attempting to grant RBAC permissions not currently held: %s",
               s->w->res->plural, SLICE_ARG(name), SLICE_ARG(s->r->user.name), missing);
    return 403;
}

static bool may(struct strategy *s, const char *verb, struct slice resource, struct slice name)
{
    const char *why;
    struct access q = {.verb = slice_str(verb),
                       .group = SLICE("rbac.authorization.k8s.io"),
                       .resource = resource,
                       .ns = s->w->ns,
                       .name = name};
    return api_access_allowed(s->r->api, &s->r->user, &q, &why);
}

static int role_prepare(struct strategy *s)
{
    const char *missing = "";
    const struct json *rules = json_get_str(s->obj, "rules");
    if (s->old && json_equal(rules, json_get_str(s->old, "rules")))
        return 0;
    if (may(s, "escalate", slice_str(s->w->res->plural), meta_name(s->obj)) ||
        api_access_covers(s->r->api, &s->r->user, s->w->ns, rules, s->r->arena, &missing))
        return 0;
    return escalates(s, missing);
}

static int binding_prepare(struct strategy *s)
{
    struct slice kind = json_path_string(s->obj, "roleRef.kind"), name = json_path_string(s->obj, "roleRef.name");
    bool cluster = slice_eq_str(kind, "ClusterRole");
    const struct resource *res = resource_find(SLICE("rbac.authorization.k8s.io"), SLICE("v1"),
                                               cluster ? SLICE("clusterroles") : SLICE("roles"));
    const char *missing = "";
    if (may(s, "bind", slice_str(res->plural), name))
        return 0;
    const struct json *role = api_object(s->r, res, cluster ? SLICE_NONE : s->w->ns, name);
    if (!role)
        return status_not_found(s->st, s->r->arena, SLICE("rbac.authorization.k8s.io"), slice_str(res->plural), name);
    if (api_access_covers(s->r->api, &s->r->user, s->w->ns, json_get_str(role, "rules"), s->r->arena, &missing))
        return 0;
    return escalates(s, missing);
}

static const struct {
    const char *group, *plural;
    int (*prepare)(struct strategy *s);
} rows[] = {
    {"", "namespaces", namespace_prepare},
    {"", "pods", pod_prepare},
    {"", "services", service_prepare},
    {"", "secrets", secret_prepare},
    {"batch", "jobs", job_prepare},
    {"certificates.k8s.io", "certificatesigningrequests", csr_prepare},
    {"rbac.authorization.k8s.io", "clusterroles", role_prepare},
    {"rbac.authorization.k8s.io", "roles", role_prepare},
    {"rbac.authorization.k8s.io", "clusterrolebindings", binding_prepare},
    {"rbac.authorization.k8s.io", "rolebindings", binding_prepare},
};

int api_strategy(struct api_request *r, struct write *w, struct json *obj, const struct json *old, struct status *st)
{
    struct strategy s = {.r = r, .w = w, .obj = obj, .old = old, .st = st};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(w->res->group, rows[i].group) && !strcmp(w->res->plural, rows[i].plural))
            return rows[i].prepare(&s);
    return 0;
}

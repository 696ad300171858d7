/* EndpointSlices for Endpoints that somebody keeps by hand: those of Services without selector. Proxies read slices only.
 * https://kubernetes.io/docs/concepts/services-networking/service/#services-without-selectors */
#include "controllers/builtin.h"
#include "object/meta.h"

#define MANAGER      "endpointslicemirroring-controller.k8s.io"
#define SERVICE_NAME "kubernetes.io/service-name"
#define MANAGED_BY   "endpointslice.kubernetes.io/managed-by"

enum { SUBSET_ADDRESSES_MAX = 1000 }; /* as Kubernetes: the rest of a subset is not mirrored */

void mirror_map_slice(struct key_sink *sink, struct arena *a, const struct json *slice, const struct json *before)
{
    (void)a, (void)before;
    if (slice_eq_str(meta_label(slice, SLICE(MANAGED_BY)), MANAGER))
        key_add_parts(sink, meta_namespace(slice), meta_label(slice, SLICE(SERVICE_NAME)));
}

static bool is_mirrored(struct reconcile *r, const struct json *endpoints)
{
    const struct json *service = view_get(r, "", "services", r->ns, r->name);
    return endpoints && service && !meta_is_deleting(endpoints) && !json_len(json_path(service, "spec.selector")) &&
           !slice_eq_str(json_path_string(service, "spec.type"), "ExternalName") &&
           !slice_eq_str(meta_label(endpoints, SLICE("endpointslice.kubernetes.io/skip-mirror")), "true") &&
           !meta_annotation(endpoints, SLICE("control-plane.alpha.kubernetes.io/leader")).p;
}

static bool is_ipv6(struct slice ip)
{
    return ip.n && memchr(ip.p, ':', ip.n) != NULL;
}

static void add_addresses(struct arena *a, struct json *into, const struct json *list, bool ready, bool ipv6)
{
    static const char *const members[] = {"hostname", "nodeName", "targetRef"};
    json_each (address, list) {
        if (is_ipv6(json_path_string(address, "ip")) != ipv6 || json_len(into) == SUBSET_ADDRESSES_MAX)
            continue;
        struct json *e = json_new_object(a), *ips = json_new_array(a), *conditions = json_new_object(a);
        json_append(ips, json_new_string(a, json_path_string(address, "ip")));
        json_set_str(a, conditions, "ready", json_new_bool(a, ready));
        json_set_str(a, e, "addresses", ips);
        json_set_str(a, e, "conditions", conditions);
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            if (json_get_str(address, members[i]))
                json_set_str(a, e, members[i], json_clone(a, json_get_str(address, members[i])));
        json_append(into, e);
    }
}

/* Go writes a port's name always, also an empty one. */
static struct json *ports_of(struct arena *a, const struct json *subset)
{
    struct json *ports = json_new_array(a);
    json_each (p, json_get_str(subset, "ports")) {
        struct json *port = json_new_object(a);
        json_set_str(a, port, "name", json_new_string(a, json_path_string(p, "name")));
        json_each (m, p)
            if (!slice_eq_str(m->key, "name"))
                json_set(a, port, m->key, json_clone(a, m));
        json_append(ports, port);
    }
    return ports;
}

static struct json *new_slice(struct reconcile *r, const struct json *endpoints, bool ipv6)
{
    struct arena *a = r->a;
    struct json *s = json_new_object(a), *meta = meta_object(a, s);
    json_set_str(a, s, "apiVersion", json_new_str(a, "discovery.k8s.io/v1"));
    json_set_str(a, s, "kind", json_new_str(a, "EndpointSlice"));
    json_set_str(a, meta, "generateName", json_new_printf(a, "%" SLICE_FMT "-", SLICE_ARG(r->name)));
    meta_set_namespace(a, s, r->ns);
    json_each (l, meta_labels(endpoints))
        meta_set_label(a, s, l->key, json_string(l));
    meta_set_label(a, s, SLICE(SERVICE_NAME), r->name);
    meta_set_label(a, s, SLICE(MANAGED_BY), SLICE(MANAGER));
    meta_set_controller(a, s, endpoints);
    json_set_str(a, s, "addressType", json_new_str(a, ipv6 ? "IPv6" : "IPv4"));
    return s;
}

struct mirror {
    struct reconcile *r;
    const struct json **there; /* our slices of this Service; NULL where one was used */
    size_t n;
};

/* A slice that is there already, of that family; or NULL. */
static const struct json *take_old(struct mirror *m, bool ipv6)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct json *s = m->there[i];
        if (s && slice_eq_str(json_path_string(s, "addressType"), ipv6 ? "IPv6" : "IPv4")) {
            m->there[i] = NULL;
            return s;
        }
    }
    return NULL;
}

static void sync_subset(struct mirror *m, const struct json *endpoints, const struct json *subset, bool ipv6)
{
    struct reconcile *r = m->r;
    struct json *list = json_new_array(r->a), *ports = ports_of(r->a, subset);
    add_addresses(r->a, list, json_get_str(subset, "addresses"), true, ipv6);
    add_addresses(r->a, list, json_get_str(subset, "notReadyAddresses"), false, ipv6);
    if (!json_len(list))
        return;
    const struct json *old = take_old(m, ipv6);
    if (old && json_equal(json_get_str(old, "endpoints"), list) && json_equal(json_get_str(old, "ports"), ports))
        return;
    struct json *s = old ? json_clone(r->a, old) : new_slice(r, endpoints, ipv6);
    json_set_str(r->a, s, "endpoints", list);
    json_set_str(r->a, s, "ports", ports);
    if (old)
        op_update(r, "discovery.k8s.io", "endpointslices", s, NULL);
    else
        op_create(r, "discovery.k8s.io", "endpointslices", r->ns, s);
}

void mirror_reconcile(struct reconcile *r)
{
    const struct json *endpoints = view_get(r, "", "endpoints", r->ns, r->name);
    const struct json **all = view_list(r, "discovery.k8s.io", "endpointslices", r->ns);
    struct mirror m = {.r = r, .there = all};
    for (size_t i = 0; all[i]; i++)
        if (slice_eq_str(meta_label(all[i], SLICE(MANAGED_BY)), MANAGER) &&
            slice_eq(meta_label(all[i], SLICE(SERVICE_NAME)), r->name))
            m.there[m.n++] = all[i];
    if (is_mirrored(r, endpoints))
        json_each (subset, json_get_str(endpoints, "subsets"))
            for (int ipv6 = 0; ipv6 < 2; ipv6++)
                sync_subset(&m, endpoints, subset, ipv6);
    for (size_t i = 0; i < m.n; i++)
        if (m.there[i] && !meta_is_deleting(m.there[i]))
            op_delete(r, "discovery.k8s.io", "endpointslices", r->ns, meta_name(m.there[i]), meta_uid(m.there[i]), NULL,
                      -1);
}

/* Endpoints and EndpointSlices: the addresses of the pods a Service selects.
 * https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/ */
#include <stdlib.h>

#include "controllers/builtin.h"
#include "controllers/podutil.h"
#include "object/intstr.h"
#include "object/meta.h"

enum { SLICE_ENDPOINTS_MAX = 100, ENDPOINTS_MAX = 1000 };

/* ---- which Services a pod concerns ---- */

struct candidates {
    struct key_sink *sink;
    struct arena *a;
    const struct json *pod, *before;
};

static bool selects(struct arena *a, const struct json *svc, const struct json *pod)
{
    struct selector s;
    return pod && !selector_from_map(a, json_path(svc, "spec.selector"), &s) &&
           selector_matches_labels(&s, meta_labels(pod));
}

static void match_service(void *ctx, const struct json *svc)
{
    struct candidates *c = ctx;
    if (selects(c->a, svc, c->pod) || selects(c->a, svc, c->before))
        key_add_parts(c->sink, meta_namespace(svc), meta_name(svc));
}

void endpoints_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    struct candidates c = {sink, a, pod, before};
    sink_each(sink, a, "", "services", meta_namespace(pod), match_service, &c);
}

void endpoints_map_slice(struct key_sink *sink, struct arena *a, const struct json *slice, const struct json *before)
{
    struct slice name = meta_label(slice, SLICE("kubernetes.io/service-name"));
    (void)a, (void)before;
    if (name.n)
        key_add_parts(sink, meta_namespace(slice), name);
}

/* ---- addresses ---- */

/* A Service's target port in a pod: a number, or the name of a container port. 0 = the pod has none. */
static int64_t target_port(const struct json *service_port, const struct json *pod)
{
    const struct json *target = json_get_str(service_port, "targetPort");
    int64_t number = intstr_int(target);
    if (!target)
        return json_int(json_get_str(service_port, "port"), 0);
    if (number)
        return number;
    json_each (c, json_path(pod, "spec.containers"))
        json_each (p, json_get_str(c, "ports"))
            if (slice_eq(json_path_string(p, "name"), json_string(target)))
                return json_int(json_get_str(p, "containerPort"), 0);
    return 0;
}

static bool has_address(const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    return json_path_string(pod, "status.podIP").n && !slice_eq_str(phase, "Succeeded") &&
           !slice_eq_str(phase, "Failed");
}

static int by_name(const void *x, const void *y)
{
    return slice_cmp(meta_name(*(const struct json *const *)x), meta_name(*(const struct json *const *)y));
}

struct members {
    struct reconcile *r;
    const struct json *svc;
    const struct json **pods; /* selected, with an address, by name */
    size_t n;
    bool publish_not_ready;
};

static void load_members(struct members *m)
{
    const struct json **all = view_list(m->r, "", "pods", m->r->ns);
    m->pods = all;
    for (size_t i = 0; all[i]; i++)
        if (has_address(all[i]) && selects(m->r->a, m->svc, all[i]))
            m->pods[m->n++] = all[i];
    qsort(m->pods, m->n, sizeof *m->pods, by_name);
    m->publish_not_ready = json_bool(json_path(m->svc, "spec.publishNotReadyAddresses"), false);
}

static bool serves(const struct members *m, const struct json *pod)
{
    return m->publish_not_ready || pod_is_ready(pod);
}

static struct json *pod_ref(struct arena *a, const struct json *pod)
{
    struct json *ref = json_new_object(a);
    json_set_str(a, ref, "kind", json_new_str(a, "Pod"));
    json_set_str(a, ref, "namespace", json_new_string(a, meta_namespace(pod)));
    json_set_str(a, ref, "name", json_new_string(a, meta_name(pod)));
    json_set_str(a, ref, "uid", json_new_string(a, meta_uid(pod)));
    return ref;
}

/* ---- Endpoints ---- */

static struct json *subset_port(struct arena *a, const struct json *p, int64_t number)
{
    struct json *port = json_new_object(a);
    if (json_path_string(p, "name").n)
        json_set_str(a, port, "name", json_new_string(a, json_path_string(p, "name")));
    json_set_str(a, port, "port", json_new_int(a, number));
    json_set_str(a, port, "protocol", json_new_string(a, json_path_string(p, "protocol")));
    return port;
}

static void add_address(const struct members *m, struct json *subset, const struct json *pod)
{
    struct arena *a = m->r->a;
    const char *list = serves(m, pod) ? "addresses" : "notReadyAddresses";
    struct json *array = json_get_str(subset, list), *address = json_new_object(a);
    if (!array) {
        array = json_new_array(a);
        json_set_str(a, subset, list, array);
    }
    json_set_str(a, address, "ip", json_new_string(a, json_path_string(pod, "status.podIP")));
    if (json_path_string(pod, "spec.nodeName").n)
        json_set_str(a, address, "nodeName", json_new_string(a, json_path_string(pod, "spec.nodeName")));
    json_set_str(a, address, "targetRef", pod_ref(a, pod));
    json_append(array, address);
}

/* Pods whose target ports come out the same share a subset; usually there is one. */
static struct json *subsets(const struct members *m)
{
    struct arena *a = m->r->a;
    struct json *out = json_new_array(a);
    for (size_t i = 0; i < m->n && i < ENDPOINTS_MAX; i++) {
        struct json *ports = json_new_array(a), *subset = NULL;
        json_each (p, json_path(m->svc, "spec.ports")) {
            int64_t number = target_port(p, m->pods[i]);
            if (number)
                json_append(ports, subset_port(a, p, number));
        }
        json_each (s, out)
            if (json_equal(json_get_str(s, "ports"), ports) || (!json_len(ports) && !json_get_str(s, "ports")))
                subset = s;
        if (!subset) {
            subset = json_new_object(a);
            json_append(out, subset);
        }
        add_address(m, subset, m->pods[i]);
        if (json_len(ports))
            json_set_str(a, subset, "ports", ports);
    }
    return out;
}

static void sync_endpoints(const struct members *m)
{
    struct arena *a = m->r->a;
    const struct json *there = view_get(m->r, "", "endpoints", m->r->ns, m->r->name);
    struct json *wanted = subsets(m), *labels = json_new_object(a);
    json_each (l, meta_labels(m->svc))
        json_set(a, labels, l->key, json_clone(a, l));
    json_set_str(a, labels, "endpoints.kubernetes.io/managed-by", json_new_str(a, "endpoint-controller"));
    if (there &&
        (json_equal(json_get_str(there, "subsets"), wanted) ||
         (!json_len(wanted) && !json_len(json_get_str(there, "subsets")))) &&
        json_equal(meta_labels(there), labels))
        return;
    struct json *obj = there ? json_clone(a, there) : json_new_object(a);
    if (!there) {
        json_set_str(a, obj, "kind", json_new_str(a, "Endpoints"));
        json_set_str(a, obj, "apiVersion", json_new_str(a, "v1"));
        meta_set_name(a, obj, m->r->name);
        meta_set_namespace(a, obj, m->r->ns);
    }
    json_set_str(a, meta_object(a, obj), "labels", labels);
    json_set_str(a, obj, "subsets", wanted);
    if (there)
        op_update(m->r, "", "endpoints", obj, NULL);
    else
        op_create(m->r, "", "endpoints", m->r->ns, obj);
}

/* ---- EndpointSlices ---- */

static struct json *endpoint(const struct members *m, const struct json *pod)
{
    struct arena *a = m->r->a;
    struct json *e = json_new_object(a), *addresses = json_new_array(a), *conditions = json_new_object(a);
    bool ready = condition_is(pod, "Ready", "True"), terminating = meta_is_deleting(pod);
    json_append(addresses, json_new_string(a, json_path_string(pod, "status.podIP")));
    json_set_str(a, e, "addresses", addresses);
    json_set_str(a, conditions, "ready", json_new_bool(a, serves(m, pod)));
    json_set_str(a, conditions, "serving", json_new_bool(a, m->publish_not_ready || ready));
    json_set_str(a, conditions, "terminating", json_new_bool(a, terminating));
    json_set_str(a, e, "conditions", conditions);
    json_set_str(a, e, "targetRef", pod_ref(a, pod));
    if (json_path_string(pod, "spec.nodeName").n)
        json_set_str(a, e, "nodeName", json_new_string(a, json_path_string(pod, "spec.nodeName")));
    return e;
}

static struct json *slice_ports(const struct members *m, const struct json *pod)
{
    struct arena *a = m->r->a;
    struct json *ports = json_new_array(a);
    json_each (p, json_path(m->svc, "spec.ports")) {
        struct json *port = json_new_object(a);
        int64_t number = pod ? target_port(p, pod) : 0;
        if (!number)
            continue;
        json_set_str(a, port, "name", json_new_string(a, json_path_string(p, "name")));
        json_set_str(a, port, "protocol", json_new_string(a, json_path_string(p, "protocol")));
        json_set_str(a, port, "port", json_new_int(a, number));
        if (json_get_str(p, "appProtocol"))
            json_set_str(a, port, "appProtocol", json_clone(a, json_get_str(p, "appProtocol")));
        json_append(ports, port);
    }
    return ports;
}

static struct json *new_slice(const struct members *m)
{
    struct arena *a = m->r->a;
    struct json *s = json_new_object(a);
    json_set_str(a, s, "kind", json_new_str(a, "EndpointSlice"));
    json_set_str(a, s, "apiVersion", json_new_str(a, "discovery.k8s.io/v1"));
    struct json *meta = meta_object(a, s);
    json_set_str(a, meta, "generateName", json_new_printf(a, "%" SLICE_FMT "-", SLICE_ARG(m->r->name)));
    meta_set_namespace(a, s, m->r->ns);
    json_each (l, meta_labels(m->svc))
        meta_set_label(a, s, l->key, json_string(l));
    meta_set_label(a, s, SLICE("kubernetes.io/service-name"), m->r->name);
    meta_set_label(a, s, SLICE("endpointslice.kubernetes.io/managed-by"), SLICE("endpointslice-controller.k8s.io"));
    if (slice_eq_str(json_path_string(m->svc, "spec.clusterIP"), "None"))
        meta_set_label(a, s, SLICE("service.kubernetes.io/headless"), SLICE(""));
    meta_set_controller(a, s, m->svc);
    json_set_str(a, s, "addressType", json_new_str(a, "IPv4"));
    return s;
}

static bool is_ours(const struct json *s)
{
    return slice_eq_str(meta_label(s, SLICE("endpointslice.kubernetes.io/managed-by")),
                        "endpointslice-controller.k8s.io");
}

/* The slices that should be, each full before the next begins: a slice's endpoints all have its ports, so pods whose
 * target ports come out differently are in different ones. */
static struct json *wanted_slices(const struct members *m)
{
    struct arena *a = m->r->a;
    struct json *all = json_new_array(a);
    for (size_t i = 0; i < m->n; i++) {
        struct json *ports = slice_ports(m, m->pods[i]), *into = NULL;
        json_each (s, all)
            if (json_len(json_get_str(s, "endpoints")) < SLICE_ENDPOINTS_MAX &&
                json_equal(json_get_str(s, "ports"), ports))
                into = s;
        if (!into) {
            into = json_new_object(a);
            json_set_str(a, into, "endpoints", json_new_array(a));
            json_set_str(a, into, "ports", ports);
            json_append(all, into);
        }
        json_append(json_get_str(into, "endpoints"), endpoint(m, m->pods[i]));
    }
    if (!json_len(all)) { /* a Service without pods has an empty one */
        struct json *none = json_new_object(a);
        json_set_str(a, none, "endpoints", json_new_array(a));
        json_set_str(a, none, "ports", json_new_array(a));
        json_append(all, none);
    }
    return all;
}

static bool same_list(const struct json *x, const struct json *y)
{
    return json_equal(x, y) || (!json_len(x) && !json_len(y));
}

/* Slice i of what there is becomes slice i of what is wanted. */
static void sync_slices(const struct members *m)
{
    struct arena *a = m->r->a;
    const struct json **there = view_owned(m->r, "discovery.k8s.io", "endpointslices", m->r->ns, meta_uid(m->svc));
    size_t used = 0;
    json_each (want, wanted_slices(m)) {
        struct json *endpoints = json_get_str(want, "endpoints"), *ports = json_get_str(want, "ports");
        while (there[used] && !is_ours(there[used]))
            used++;
        const struct json *old = there[used];
        used += old != NULL;
        if (old && json_equal(json_get_str(old, "endpoints"), endpoints) &&
            same_list(json_get_str(old, "ports"), ports))
            continue;
        struct json *s = old ? json_clone(a, old) : new_slice(m);
        json_set_str(a, s, "endpoints", json_clone(a, endpoints));
        json_set_str(a, s, "ports", json_clone(a, ports));
        if (old)
            op_update(m->r, "discovery.k8s.io", "endpointslices", s, NULL);
        else
            op_create(m->r, "discovery.k8s.io", "endpointslices", m->r->ns, s);
    }
    for (; there[used]; used++)
        if (is_ours(there[used]))
            op_delete(m->r, "discovery.k8s.io", "endpointslices", m->r->ns, meta_name(there[used]),
                      meta_uid(there[used]), NULL, -1);
}

void endpoints_reconcile(struct reconcile *r)
{
    struct members m = {.r = r, .svc = view_get(r, "", "services", r->ns, r->name)};
    const struct json *endpoints = view_get(r, "", "endpoints", r->ns, r->name);
    if (!m.svc || meta_is_deleting(m.svc)) {
        bool ours = meta_label(endpoints, SLICE("endpoints.kubernetes.io/managed-by")).p != NULL;
        if (ours)
            op_delete(r, "", "endpoints", r->ns, r->name, meta_uid(endpoints), NULL, -1);
        return; /* slices go with their owner */
    }
    if (!json_len(json_path(m.svc, "spec.selector")) ||
        slice_eq_str(json_path_string(m.svc, "spec.type"), "ExternalName"))
        return; /* somebody else keeps the endpoints of a Service without selector */
    load_members(&m);
    sync_endpoints(&m);
    sync_slices(&m);
}

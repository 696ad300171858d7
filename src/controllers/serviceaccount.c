/* ServiceAccount: every namespace has the account "default", and the CA certificate as ConfigMap kube-root-ca.crt. */
#include "controllers/builtin.h"
#include "object/meta.h"

#define CA_CONFIGMAP "kube-root-ca.crt"

static bool is_gone(const struct json *ns)
{
    return !ns || meta_is_deleting(ns);
}

void serviceaccount_map(struct key_sink *sink, struct arena *a, const struct json *obj, const struct json *before)
{
    (void)a, (void)before;
    if (slice_eq_str(meta_name(obj), "default") || slice_eq_str(meta_name(obj), CA_CONFIGMAP))
        key_add(sink, meta_namespace(obj));
}

static struct json *named(struct arena *a, const char *kind, const char *name, struct slice ns)
{
    struct json *obj = json_new_object(a);
    json_set_str(a, obj, "kind", json_new_str(a, kind));
    json_set_str(a, obj, "apiVersion", json_new_str(a, "v1"));
    meta_set_name(a, obj, slice_str(name));
    meta_set_namespace(a, obj, ns);
    return obj;
}

void serviceaccount_reconcile(struct reconcile *r)
{
    if (is_gone(view_get(r, "", "namespaces", SLICE_NONE, r->name)))
        return;
    if (!view_get(r, "", "serviceaccounts", r->name, SLICE("default")))
        op_create(r, "", "serviceaccounts", r->name, named(r->a, "ServiceAccount", "default", r->name));
}

/* The certificate is what the cluster keeps in kube-system's ConfigMap of the same name; the server writes that one. */
void rootca_reconcile(struct reconcile *r)
{
    struct slice system = SLICE("kube-system");
    const struct json *source = view_get(r, "", "configmaps", system, SLICE(CA_CONFIGMAP));
    const struct json *there = view_get(r, "", "configmaps", r->name, SLICE(CA_CONFIGMAP));
    if (slice_eq(r->name, system) || !source || is_gone(view_get(r, "", "namespaces", SLICE_NONE, r->name)))
        return;
    if (there && json_equal(json_get_str(there, "data"), json_get_str(source, "data")))
        return;
    struct json *obj = there ? json_clone(r->a, there) : named(r->a, "ConfigMap", CA_CONFIGMAP, r->name);
    json_set_str(r->a, obj, "data", json_clone(r->a, json_get_str(source, "data")));
    if (there)
        op_update(r, "", "configmaps", obj, NULL);
    else
        op_create(r, "", "configmaps", r->name, obj);
}

struct fan_out {
    struct key_sink *sink;
};

static void add_namespace(void *ctx, const struct json *ns)
{
    struct fan_out *f = ctx;
    key_add(f->sink, meta_name(ns));
}

void rootca_map(struct key_sink *sink, struct arena *a, const struct json *obj, const struct json *before)
{
    struct fan_out f = {sink};
    (void)before;
    if (!slice_eq_str(meta_name(obj), CA_CONFIGMAP))
        return;
    if (slice_eq_str(meta_namespace(obj), "kube-system"))
        sink_each(sink, a, "", "namespaces", SLICE_NONE, add_namespace, &f);
    else
        key_add(sink, meta_namespace(obj));
}

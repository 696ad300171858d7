/* Namespace: a terminating namespace is emptied, then let go. */
#include "controllers/builtin.h"
#include "object/meta.h"

enum { CHECK_AGAIN_MS = 500, DELETES_MAX = 1000 };

static bool can_empty(const struct resource *res)
{
    unsigned both = VERB_LIST | VERB_DELETE;
    return res->namespaced && !res->virtual && (res->verbs & both) == both && (!res->storage || res->storage == res);
}

/* Deletes what is left of every namespaced kind; returns how many objects there still are. */
static size_t empty(struct reconcile *r, struct slice ns)
{
    size_t left = 0, deletes = 0;
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        if (!can_empty(res))
            continue;
        const struct json **objects = view_list(r, res->group, res->plural, ns);
        for (size_t j = 0; objects[j]; j++, left++)
            if (!meta_is_deleting(objects[j]) && deletes++ < DELETES_MAX)
                op_delete(r, res->group, res->plural, ns, meta_name(objects[j]), meta_uid(objects[j]), "Background",
                          -1);
    }
    return left;
}

void namespace_reconcile(struct reconcile *r)
{
    const struct json *ns = view_get(r, "", "namespaces", SLICE_NONE, r->name);
    if (!ns || !meta_is_deleting(ns))
        return;
    bool held = false;
    json_each (f, json_path(ns, "spec.finalizers"))
        held |= slice_eq_str(json_string(f), "kubernetes");
    if (!held)
        return;
    if (empty(r, r->name)) {
        r->requeue_ms = CHECK_AGAIN_MS; /* pods take their grace period */
        return;
    }
    struct json *obj = json_clone(r->a, ns), *rest = json_new_array(r->a);
    json_each (f, json_path(ns, "spec.finalizers"))
        if (!slice_eq_str(json_string(f), "kubernetes"))
            json_append(rest, json_clone(r->a, f));
    json_set_str(r->a, json_object_at(r->a, obj, "spec"), "finalizers", rest);
    op_update(r, "", "namespaces", obj, "finalize");
}

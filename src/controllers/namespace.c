/* Namespace: a terminating namespace is emptied, then let go. Pods go first: what they need stays until none is left
 * (KEP-5080). Its conditions say what is still there, and what holds it. */
#include "base/buf.h"
#include "base/timefmt.h"
#include "controllers/builtin.h"
#include "controllers/podutil.h"
#include "object/meta.h"

enum { CHECK_AGAIN_MS = 500, DELETES_MAX = 1000, HOLDERS_MAX = 32, REPORT_MAX = 16 << 10 };

/* What is left of a namespace. */
struct rest {
    struct reconcile *r;
    size_t objects, deletes;
    struct buf kinds;     /* "pods. has 1 resource instances, …" */
    struct json *holders; /* finalizer → how many objects have it */
};

static bool can_empty(const struct resource *res)
{
    unsigned both = VERB_LIST | VERB_DELETE;
    return res->namespaced && !res->virtual && (res->verbs & both) == both && (!res->storage || res->storage == res);
}

static void count_holders(struct rest *rest, const struct json *obj)
{
    json_each (f, json_path(obj, "metadata.finalizers")) {
        const struct json *n = json_get(rest->holders, json_string(f));
        if (n || json_len(rest->holders) < HOLDERS_MAX)
            json_set(rest->r->a, rest->holders, json_string(f), json_new_int(rest->r->a, json_int(n, 0) + 1));
    }
}

/* Deletes what is left of a kind. */
static void empty_kind(struct rest *rest, const struct resource *res)
{
    struct reconcile *r = rest->r;
    const struct json **objects = view_list(r, res->group, res->plural, r->name);
    size_t n = 0;
    for (; objects[n]; n++) {
        count_holders(rest, objects[n]);
        if (!meta_is_deleting(objects[n]) && rest->deletes++ < DELETES_MAX)
            op_delete(r, res->group, res->plural, r->name, meta_name(objects[n]), meta_uid(objects[n]), "Background",
                      -1);
    }
    if (n)
        buf_printf(&rest->kinds, "%s%s.%s has %zu resource instances", rest->objects ? ", " : "", res->plural,
                   res->group, n);
    rest->objects += n;
}

static void empty(struct rest *rest)
{
    empty_kind(rest, resource_core("pods"));
    if (rest->objects)
        return;
    for (size_t i = 0; i < resource_count(); i++)
        if (can_empty(resource_at(i)))
            empty_kind(rest, resource_at(i));
}

static void condition(struct reconcile *r, struct json *list, const char *type, bool is, const char *reason,
                      const char *message)
{
    condition_set(r->a, list, type, is ? "True" : "False", reason, message, r->now);
    json_each (c, list)
        json_del_str(c, "lastUpdateTime");
}

/* Kubernetes' conditions, in its words. */
static void report(struct rest *rest, const struct json *ns)
{
    struct reconcile *r = rest->r;
    struct json *obj = json_clone(r->a, ns), *status = json_object_at(r->a, obj, "status");
    const struct json *had = json_get_str(status, "conditions");
    struct json *list = had ? json_clone(r->a, had) : json_new_array(r->a);
    struct buf held;
    size_t n = 0;
    buf_init(&held, REPORT_MAX);
    json_each (f, rest->holders)
        buf_printf(&held, "%s%" SLICE_FMT " in %ld resource instances", n++ ? ", " : "", SLICE_ARG(f->key),
                   (long)json_int(f, 0));
    struct slice kinds = buf_slice(&rest->kinds), holders = buf_slice(&held);
    condition(r, list, "NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
              "All resources successfully discovered");
    condition(r, list, "NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
              "All legacy kube types successfully parsed");
    condition(r, list, "NamespaceDeletionContentFailure", false, "ContentDeleted",
              "All content successfully deleted, may be waiting on finalization");
    condition(r, list, "NamespaceContentRemaining", kinds.n, kinds.n ? "SomeResourcesRemain" : "ContentRemoved",
              kinds.n ? arena_printf(r->a, "Some resources are remaining: %" SLICE_FMT, SLICE_ARG(kinds))
                      : "All content successfully removed");
    condition(r, list, "NamespaceFinalizersRemaining", n > 0, n ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
              n ? arena_printf(r->a, "Some content in the namespace has finalizers remaining: %" SLICE_FMT,
                               SLICE_ARG(holders))
                : "All content-preserving finalizers finished");
    buf_done(&held);
    if (had && json_equal(had, list))
        return;
    json_set_str(r->a, status, "conditions", list);
    op_update(r, "", "namespaces", obj, "status");
}

static void let_go(struct reconcile *r, const struct json *ns)
{
    struct json *obj = json_clone(r->a, ns), *rest = json_new_array(r->a);
    json_each (f, json_path(ns, "spec.finalizers"))
        if (!slice_eq_str(json_string(f), "kubernetes"))
            json_append(rest, json_clone(r->a, f));
    json_set_str(r->a, json_object_at(r->a, obj, "spec"), "finalizers", rest);
    op_update(r, "", "namespaces", obj, "finalize");
}

void namespace_reconcile(struct reconcile *r)
{
    const struct json *ns = view_get(r, "", "namespaces", SLICE_NONE, r->name);
    struct rest rest = {.r = r, .holders = json_new_object(r->a)};
    bool held = false;
    if (!ns || !meta_is_deleting(ns))
        return;
    json_each (f, json_path(ns, "spec.finalizers"))
        held |= slice_eq_str(json_string(f), "kubernetes");
    if (!held)
        return;
    buf_init(&rest.kinds, REPORT_MAX);
    empty(&rest);
    if (!rest.objects) {
        let_go(r, ns);
    } else {
        if (json_len(rest.holders) || !rest.deletes) /* not for what is gone in a moment */
            report(&rest, ns);
        r->requeue_ms = CHECK_AGAIN_MS; /* pods take their grace period */
    }
    buf_done(&rest.kinds);
}

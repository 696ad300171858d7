/* Garbage collection by owner references: what nobody owns any more goes; an owner that is deleted in the foreground waits
 * for what blocks it; one that is orphaned lets its dependents go first.
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/
 * Keys are "group|plural|namespace/name". */
#include <stdio.h>

#include "controllers/builtin.h"
#include "object/meta.h"

enum { CHECK_AGAIN_MS = 200 };

static const struct slice orphan = SLICE_INIT("orphan"), foreground = SLICE_INIT("foregroundDeletion");

/* ---- keys ---- */

struct subject {
    struct slice group, plural, ns, name;
    const struct json *obj;
};

static const char *text(struct arena *a, struct slice s)
{
    return arena_printf(a, "%" SLICE_FMT, SLICE_ARG(s));
}

static bool load(struct reconcile *r, struct slice id, struct subject *s)
{
    struct slice rest, key;
    if (!slice_cut(id, '|', &s->group, &rest) || !slice_cut(rest, '|', &s->plural, &key))
        return false;
    if (!slice_cut(key, '/', &s->ns, &s->name)) {
        s->name = key;
        s->ns = SLICE_NONE;
    }
    s->obj = view_get(r, text(r->a, s->group), text(r->a, s->plural), s->ns, s->name);
    return s->obj != NULL;
}

static void add_id(void *ctx, struct slice id)
{
    key_add(ctx, id);
}

static void add_object(struct key_sink *sink, struct arena *a, const struct resource *res, struct slice ns,
                       struct slice name)
{
    const char *id = arena_printf(a, "%s|%s|%" SLICE_FMT "%s%" SLICE_FMT, res->group, res->plural, SLICE_ARG(ns),
                                  ns.n ? "/" : "", SLICE_ARG(name));
    key_add(sink, slice_str(id));
}

static const struct resource *owner_resource(const struct json *ref)
{
    return resource_by_api_version(json_path_string(ref, "apiVersion"), json_path_string(ref, "kind"));
}

void gc_map(struct key_sink *sink, struct arena *a, const struct resource *res, const struct json *obj, bool gone)
{
    struct slice ns = meta_namespace(obj);
    bool waits = meta_is_deleting(obj) && (meta_has_finalizer(obj, orphan) || meta_has_finalizer(obj, foreground));
    if (gone)
        sink_dependents(sink, meta_uid(obj), add_id, sink);
    else if (waits || json_len(meta_owners(obj)))
        add_object(sink, a, res, ns, meta_name(obj));
    if (!gone && !meta_is_deleting(obj))
        return;
    json_each (ref, meta_owners(obj)) { /* owners may be waiting for it */
        const struct resource *owner = owner_resource(ref);
        if (owner)
            add_object(sink, a, owner, owner->namespaced ? ns : SLICE_NONE, json_path_string(ref, "name"));
    }
}

/* ---- dependents ---- */

struct dependents {
    struct reconcile *r;
    struct slice uid; /* of the owner */
    size_t left;      /* that block (foreground) or still name it (orphan) */
    bool orphaning;
};

static void check_owners(struct reconcile *r, const struct subject *s);

static struct json *without_owner(struct arena *a, const struct json *obj, struct slice uid)
{
    struct json *patch = json_new_object(a), *meta = json_new_object(a), *owners = json_new_array(a);
    json_each (ref, meta_owners(obj))
        if (!slice_eq(json_path_string(ref, "uid"), uid))
            json_append(owners, json_clone(a, ref));
    json_set_str(a, meta, "uid", json_new_string(a, meta_uid(obj)));
    json_set_str(a, meta, "resourceVersion", json_new_string(a, meta_resource_version(obj)));
    json_set_str(a, meta, "ownerReferences", json_len(owners) ? owners : json_new_null(a));
    json_set_str(a, patch, "metadata", meta);
    return patch;
}

static bool blocks(const struct json *obj, struct slice uid)
{
    json_each (ref, meta_owners(obj))
        if (slice_eq(json_path_string(ref, "uid"), uid))
            return json_bool(json_get_str(ref, "blockOwnerDeletion"), false);
    return false;
}

static void on_dependent(void *ctx, struct slice id)
{
    struct dependents *d = ctx;
    struct reconcile *r = d->r;
    struct subject s;
    if (!load(r, id, &s))
        return;
    const char *group = text(r->a, s.group), *plural = text(r->a, s.plural);
    if (d->orphaning) {
        d->left++;
        op_patch(r, group, plural, s.ns, s.name, without_owner(r->a, s.obj, d->uid), NULL);
        return;
    }
    d->left += blocks(s.obj, d->uid);
    if (!meta_is_deleting(s.obj))
        check_owners(r, &s); /* it goes, unless another owner keeps it */
}

static void drop_finalizer(struct reconcile *r, const struct subject *s, struct slice finalizer)
{
    struct json *patch = json_new_object(r->a), *meta = json_new_object(r->a), *rest = json_new_array(r->a);
    json_each (f, meta_finalizers(s->obj))
        if (!slice_eq(json_string(f), finalizer))
            json_append(rest, json_clone(r->a, f));
    json_set_str(r->a, meta, "uid", json_new_string(r->a, meta_uid(s->obj)));
    json_set_str(r->a, meta, "resourceVersion", json_new_string(r->a, meta_resource_version(s->obj)));
    json_set_str(r->a, meta, "finalizers", rest);
    json_set_str(r->a, patch, "metadata", meta);
    op_patch(r, text(r->a, s->group), text(r->a, s->plural), s->ns, s->name, patch, NULL);
}

/* An owner that waits for its dependents. */
static void finish_owner(struct reconcile *r, const struct subject *s, struct slice finalizer, bool orphaning)
{
    struct dependents d = {.r = r, .uid = meta_uid(s->obj), .orphaning = orphaning};
    view_dependents(r, d.uid, on_dependent, &d);
    if (!d.left)
        drop_finalizer(r, s, finalizer);
    else if (!orphaning)
        r->requeue_ms = CHECK_AGAIN_MS; /* a dependent that is kept for another owner says nothing when it lets go */
}

/* ---- owners of an object ---- */

enum owner_state { OWNER_SOLID, OWNER_WAITING, OWNER_GONE };

static enum owner_state owner_state(struct reconcile *r, const struct subject *s, const struct json *ref)
{
    const struct resource *res = owner_resource(ref);
    if (!res || res->virtual)
        return OWNER_SOLID; /* a kind this server does not know: somebody else's business */
    const struct json *owner =
        view_get(r, res->group, res->plural, res->namespaced ? s->ns : SLICE_NONE, json_path_string(ref, "name"));
    if (!owner || !slice_eq(meta_uid(owner), json_path_string(ref, "uid")))
        return OWNER_GONE;
    return meta_is_deleting(owner) && meta_has_finalizer(owner, foreground) ? OWNER_WAITING : OWNER_SOLID;
}

static void keep_solid_owners(struct reconcile *r, const struct subject *s)
{
    struct json *patch = json_new_object(r->a), *meta = json_new_object(r->a), *owners = json_new_array(r->a);
    json_each (ref, meta_owners(s->obj))
        if (owner_state(r, s, ref) == OWNER_SOLID)
            json_append(owners, json_clone(r->a, ref));
    json_set_str(r->a, meta, "uid", json_new_string(r->a, meta_uid(s->obj)));
    json_set_str(r->a, meta, "resourceVersion", json_new_string(r->a, meta_resource_version(s->obj)));
    json_set_str(r->a, meta, "ownerReferences", owners);
    json_set_str(r->a, patch, "metadata", meta);
    op_patch(r, text(r->a, s->group), text(r->a, s->plural), s->ns, s->name, patch, NULL);
}

/* ---- circles ---- */

struct circle {
    struct reconcile *r;
    bool found;
};

static void find_waiting(void *ctx, struct slice id)
{
    struct circle *c = ctx;
    struct subject s;
    if (!c->found && load(c->r, id, &s))
        c->found = meta_is_deleting(s.obj) && meta_has_finalizer(s.obj, foreground);
}

/* An owner waits for this object, and this object would have to wait for a dependent that waits itself: a circle, or
 * taken for one. It blocks none of its owners then. */
static void break_circle(struct reconcile *r, const struct subject *s)
{
    struct circle c = {.r = r};
    view_dependents(r, meta_uid(s->obj), find_waiting, &c);
    if (!c.found)
        return;
    struct json *patch = json_new_object(r->a), *meta = json_new_object(r->a);
    struct json *owners = json_clone(r->a, meta_owners(s->obj));
    json_each (ref, owners)
        json_set_str(r->a, ref, "blockOwnerDeletion", json_new_bool(r->a, false));
    json_set_str(r->a, meta, "uid", json_new_string(r->a, meta_uid(s->obj)));
    json_set_str(r->a, meta, "ownerReferences", owners);
    json_set_str(r->a, patch, "metadata", meta);
    op_patch(r, text(r->a, s->group), text(r->a, s->plural), s->ns, s->name, patch, NULL);
}

static void check_owners(struct reconcile *r, const struct subject *s)
{
    size_t count[3] = {0};
    json_each (ref, meta_owners(s->obj))
        count[owner_state(r, s, ref)]++;
    if (count[OWNER_SOLID] && count[OWNER_WAITING] + count[OWNER_GONE])
        keep_solid_owners(r, s);
    if (count[OWNER_SOLID] || !json_len(meta_owners(s->obj)))
        return;
    if (count[OWNER_WAITING])
        break_circle(r, s);
    const char *policy = count[OWNER_WAITING] || meta_has_finalizer(s->obj, foreground) ? "Foreground"
                         : meta_has_finalizer(s->obj, orphan)                           ? "Orphan"
                                                                                        : "Background";
    op_delete(r, text(r->a, s->group), text(r->a, s->plural), s->ns, s->name, meta_uid(s->obj), policy, -1);
}

void gc_reconcile(struct reconcile *r)
{
    struct subject s;
    if (!load(r, r->key, &s))
        return;
    if (!meta_is_deleting(s.obj))
        check_owners(r, &s);
    else if (meta_has_finalizer(s.obj, orphan))
        finish_owner(r, &s, orphan, true);
    else if (meta_has_finalizer(s.obj, foreground))
        finish_owner(r, &s, foreground, false);
}

#include "object/apply.h"

#include "base/timefmt.h"
#include "object/apply_kubectl.h"
#include "object/check.h"
#include "object/convert.h"
#include "object/fieldset.h"
#include "object/meta.h"

/* Never owned by anybody: identity, and what the server itself writes. */
static const char unowned[] =
    "{\"f:apiVersion\":{},\"f:kind\":{},\"f:metadata\":{\".\":{},\"f:name\":{},\"f:namespace\":{},\"f:uid\":{},"
    "\"f:creationTimestamp\":{},\"f:deletionTimestamp\":{},\"f:deletionGracePeriodSeconds\":{},\"f:selfLink\":{},"
    "\"f:generation\":{},\"f:managedFields\":{},\"f:resourceVersion\":{}}}";

/* One entry of managedFields, decoded. */
struct manager {
    struct slice name, api_version, sub, time; /* time: RFC 3339, "" when unknown */
    bool apply;
    struct json *fields; /* NULL = none left */
    bool changed;        /* gets a new time */
};

struct managers {
    struct manager *list;
    size_t n;
};

struct job {
    struct arena *a;
    const struct apply_request *rq;
    struct schema_field root; /* a REF to the kind's type */
    struct status *st;
    const struct json *allowed; /* fields that are no conflict, whoever owns them */
};

static struct job job_of(struct arena *a, const struct apply_request *rq, struct status *st)
{
    struct job j = {.a = a, .rq = rq, .st = st};
    j.root.kind = SCHEMA_REF;
    j.root.type = rq->res->type;
    return j;
}

/* ---- versions: a manager's fields are paths of the version it wrote in ---- */

/* The version of the same objects that a manager wrote in; the request's own when that is none we know. */
static const struct resource *version_of(const struct job *j, struct slice api_version)
{
    const struct resource *res = j->rq->res, *other;
    if (slice_eq_str(api_version, res->api_version))
        return res;
    other = resource_by_api_version(api_version, slice_str(res->kind));
    return other && other->storage == res->storage ? other : res;
}

static struct json *as_version(const struct job *j, const struct resource *res, const struct json *obj)
{
    struct json *copy = json_clone(j->a, obj);
    return meta_api_version(copy).n ? object_convert(j->a, res, copy) : copy;
}

/* What differs between two objects, in another version's paths. */
static struct fieldset_diff diff_as(const struct job *j, const struct resource *res, const struct json *before,
                                    const struct json *now)
{
    struct schema_field root = {.kind = SCHEMA_REF, .type = res->type};
    return fieldset_compare(j->a, &root, as_version(j, res, before), as_version(j, res, now));
}

/* ---- managedFields ---- */

static struct manager decode_manager(struct arena *a, const struct json *e)
{
    struct json *fields = json_clone(a, json_get_str(e, "fieldsV1"));
    return (struct manager){
        .name = json_path_string(e, "manager"),
        .api_version = json_path_string(e, "apiVersion"),
        .sub = json_path_string(e, "subresource"),
        .time = json_path_string(e, "time"),
        .apply = slice_eq_str(json_path_string(e, "operation"), "Apply"),
        .fields = json_is(fields, JSON_OBJECT) && json_len(fields) ? fields : NULL,
    };
}

/* The entries with room for one more. */
static struct managers decode_managers(struct arena *a, const struct json *obj)
{
    const struct json *entries = json_path(obj, "metadata.managedFields");
    struct managers m = {.list = arena_zalloc(a, (json_len(entries) + 1) * sizeof *m.list)};
    if (m.list)
        json_each (e, entries)
            m.list[m.n++] = decode_manager(a, e);
    return m;
}

static struct json *encode_manager(const struct job *j, const struct manager *m)
{
    struct json *e = json_new_object(j->a);
    char now[TIME_SEC_LEN + 1];
    time_format_sec(j->rq->now, now);
    struct slice time = m->changed || m->time.n == 0 ? slice_str(now) : m->time;
    json_set_str(j->a, e, "manager", json_new_string(j->a, m->name));
    json_set_str(j->a, e, "operation", json_new_str(j->a, m->apply ? "Apply" : "Update"));
    json_set_str(j->a, e, "apiVersion", json_new_string(j->a, m->api_version));
    json_set_str(j->a, e, "time", json_new_string(j->a, time));
    json_set_str(j->a, e, "fieldsType", json_new_str(j->a, "FieldsV1"));
    json_set_str(j->a, e, "fieldsV1", json_clone(j->a, m->fields));
    if (m->sub.n)
        json_set_str(j->a, e, "subresource", json_new_string(j->a, m->sub));
    return e;
}

/* Appliers first, then by time and name. */
static int by_rank(const void *ctx, const struct json *a, const struct json *b)
{
    static const char *const members[] = {"operation", "time", "manager", "apiVersion", "subresource"};
    (void)ctx;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        int order = slice_cmp(json_path_string(a, members[i]), json_path_string(b, members[i]));
        if (order)
            return order;
    }
    return 0;
}

static int by_key(const void *ctx, const struct json *a, const struct json *b)
{
    (void)ctx;
    return slice_cmp(a->key, b->key);
}

static void sort_fields(struct json *set)
{
    json_sort(set, by_key, NULL);
    json_each (e, set)
        sort_fields(e);
}

static void encode_managers(const struct job *j, const struct managers *m, struct json *obj)
{
    struct json *list = json_new_array(j->a);
    for (size_t i = 0; i < m->n; i++) {
        if (!m->list[i].fields)
            continue;
        sort_fields(m->list[i].fields);
        json_append(list, encode_manager(j, &m->list[i]));
    }
    json_sort(list, by_rank, NULL);
    json_del_str(json_get_str(obj, "metadata"), "managedFields");
    if (json_len(list))
        json_set_str(j->a, meta_object(j->a, obj), "managedFields", list);
}

/* The writer's own entry, made when there is none. */
static struct manager *own_entry(const struct job *j, struct managers *m, bool apply)
{
    const struct apply_request *rq = j->rq;
    for (size_t i = 0; i < m->n; i++) {
        struct manager *e = &m->list[i];
        bool version = apply || slice_eq_str(e->api_version, rq->res->api_version);
        if (e->apply == apply && version && slice_eq(e->name, rq->manager) && slice_eq(e->sub, rq->sub))
            return e;
    }
    struct manager *e = &m->list[m->n++];
    *e = (struct manager){.name = rq->manager, .sub = rq->sub, .apply = apply};
    e->api_version = slice_str(rq->res->api_version);
    return e;
}

/* What a write to /approval leaves as it is. */
static const char *const reset_approval[] = {"spec", "status.certificate", NULL};

/* Leaves out what nobody owns and what this endpoint does not write. */
static struct json *owned(const struct job *j, const struct json *set)
{
    struct json *left = fieldset_minus(j->a, set, json_parse(j->a, slice_str(unowned), NULL, NULL, NULL));
    const char *const *reset = j->rq->sub.n == 0                      ? j->rq->res->reset_main
                               : slice_eq_str(j->rq->sub, "status")   ? j->rq->res->reset_status
                               : slice_eq_str(j->rq->sub, "approval") ? reset_approval
                                                                      : NULL;
    for (size_t i = 0; reset && reset[i]; i++)
        left = fieldset_without(left, reset[i]);
    return left;
}

static void give(struct manager *m, struct json *fields)
{
    m->changed |= !m->fields || !fields || !json_equal(m->fields, fields);
    m->fields = fields;
}

/* ---- merging ---- */

static struct json *merge(const struct job *j, const struct schema_field *f, struct json *live, struct json *patch);

static struct json *merge_members(const struct job *j, const struct schema_field *f, struct json *live,
                                  struct json *patch)
{
    struct json *out = json_clone(j->a, live);
    json_each (it, patch)
        json_set(j->a, out, it->key, merge(j, fieldset_child(f, it->key), json_get(live, it->key), it));
    return out;
}

/* The next element of the patch, from e on, that live has too. */
static const struct json *next_shared(const struct fieldset_items *live, const struct json *e)
{
    while (e && !json_get(live->elements, e->key))
        e = e->next;
    return e;
}

/* Items of both, as structured merge does it: what only live has comes as early as the order of the patch allows. */
static struct json *merge_items(const struct job *j, const struct schema_field *f, struct json *live,
                                struct json *patch)
{
    struct fieldset_items x, y;
    struct json *out = json_new_array(j->a), *merged = json_new_object(j->a);
    if (!fieldset_items(j->a, f, live, &x) || !fieldset_items(j->a, f, patch, &y))
        return NULL;
    const struct json *l = json_first(x.elements), *r = json_first(y.elements), *shared = next_shared(&x, r);
    while (l || r) {
        bool both = l && json_get(y.elements, l->key);
        if (l && r && both && !slice_eq(l->key, r->key) && shared && !slice_eq(shared->key, l->key)) {
            l = l->next; /* its turn comes with the patch's */
            continue;
        }
        if (l && !both) {
            json_append(out, json_clone(j->a, fieldset_at(&x, l->key)));
            l = l->next;
            continue;
        }
        if (l && (json_get(merged, l->key) || (r && slice_eq(l->key, r->key))))
            l = l->next;
        if (!r)
            continue;
        json_append(out, merge(j, f->item, fieldset_at(&x, r->key), fieldset_at(&y, r->key)));
        json_set(j->a, merged, r->key, json_new_null(j->a));
        shared = shared == r ? next_shared(&x, r->next) : shared;
        r = r->next;
    }
    return out;
}

static struct json *merge(const struct job *j, const struct schema_field *f, struct json *live, struct json *patch)
{
    enum field_shape shape = fieldset_shape(f, patch);
    if (!live || shape == SHAPE_LEAF || live->type != patch->type)
        return json_clone(j->a, patch);
    if (shape == SHAPE_STRUCT || shape == SHAPE_MAP)
        return merge_members(j, f, live, patch);
    return f ? merge_items(j, f, live, patch) : json_clone(j->a, patch);
}

/* ---- pruning ---- */

static bool is_list_key(const struct schema_field *list, struct slice element)
{
    for (size_t i = 0; list && list->list_keys && list->list_keys[i]; i++)
        if (slice_eq_str(slice_from(element, 2), list->list_keys[i]))
            return true;
    return false;
}

static void remove_item(struct json *box, struct json *item)
{
    size_t i = 0;
    if (box->type == JSON_OBJECT) {
        json_del(box, item->key);
        return;
    }
    json_each (it, box) {
        if (it == item) {
            json_remove_at(box, i);
            return;
        }
        i++;
    }
}

/* Takes out of v what last names and nobody owns any more; list is the field whose item v is, if any. */
static void prune(const struct job *j, const struct schema_field *f, const struct schema_field *list, struct json *v,
                  const struct json *last, const struct json *still)
{
    struct fieldset_items items;
    if (!json_len(v) || !fieldset_items(j->a, f, v, &items))
        return;
    json_each (e, last) {
        struct json *item = fieldset_at(&items, e->key);
        const struct json *owned_below = json_get(still, e->key);
        bool member = !json_len(e) || fieldset_has_self(e); /* else the way to what last names */
        if (!item || slice_eq_str(e->key, ".") || is_list_key(list, e->key))
            continue;
        if (!owned_below && member) {
            remove_item(v, item);
            continue;
        }
        const struct schema_field *child = fieldset_child(f, slice_from(e->key, 2));
        bool filled = json_len(item) > 0;
        prune(j, child, fieldset_shape(f, v) == SHAPE_LIST ? f : NULL, item, e, owned_below);
        if (filled && !json_len(item))
            remove_item(v, item);
    }
}

/* ---- conflicts ---- */

struct conflicts {
    const struct job *j;
    const struct manager *m;
    struct buf text;
    size_t n;
    const char *who, *first_who, *first_path, *headed; /* headed: the manager whose heading stands in text */
};

static const char *describe(struct arena *a, const struct manager *m)
{
    struct buf b = BUF_INIT(4096);
    json_write_string(&b, m->name);
    if (m->sub.n) {
        buf_add_str(&b, " with subresource ");
        json_write_string(&b, m->sub);
    }
    if (!m->apply)
        buf_printf(&b, " using %" SLICE_FMT, SLICE_ARG(m->api_version));
    const char *text = arena_copy(a, buf_slice(&b)).p;
    buf_done(&b);
    return text ? text : "";
}

static void add_conflict(void *ctx, const char *path)
{
    struct conflicts *c = ctx;
    if (c->n++ == 0) {
        c->first_who = c->who;
        c->first_path = path;
    }
    if (c->headed != c->who)
        buf_printf(&c->text, "%sconflicts with %s:", c->headed ? "\n" : "", c->who);
    c->headed = c->who;
    buf_printf(&c->text, "\n- %s", path);
    status_cause(c->j->st, c->j->a, "FieldManagerConflict", path, "conflict with %s", c->who);
}

static int report_conflicts(struct conflicts *c)
{
    struct status *st = c->j->st;
    struct status causes = *st;
    const char *text = c->n == 1 ? arena_printf(c->j->a, "conflict with %s: %s", c->first_who, c->first_path)
                                 : arena_copy(c->j->a, buf_slice(&c->text)).p;
    status_set_reason(st, c->j->a, 409, "Conflict", "Apply failed with %zu conflict%s: %s", c->n, c->n == 1 ? "" : "s",
                      text ? text : "");
    st->n_causes = causes.n_causes;
    st->causes = causes.causes;
    st->causes_end = causes.causes_end;
    return st->code;
}

/* A write as other managers see it. */
struct change {
    const struct json *before, *now;
    struct fieldset_diff d; /* in the request's version */
};

static struct fieldset_diff seen_by(const struct job *j, const struct manager *m, const struct change *c)
{
    const struct resource *res = version_of(j, m->api_version);
    if (res == j->rq->res)
        return c->d;
    struct fieldset_diff d = diff_as(j, res, c->before, c->now);
    d.changed = owned(j, d.changed);
    return d;
}

/* Looks for others who own what changes, and takes it from them when force is set. What is removed is nobody's. */
static int settle(const struct job *j, struct managers *m, const struct manager *self, const struct change *change,
                  bool force)
{
    struct conflicts c = {.j = j, .text = BUF_INIT(256 << 10)};
    int rv = 0;
    for (size_t i = 0; i < m->n && !force; i++) {
        struct manager *other = &m->list[i];
        if (other == self || !other->fields)
            continue;
        struct json *common = fieldset_and(j->a, other->fields, seen_by(j, other, change).changed);
        if (common && j->allowed)
            common = fieldset_minus(j->a, common, j->allowed);
        if (!common)
            continue;
        c.who = describe(j->a, other);
        fieldset_each(j->a, common, add_conflict, &c);
    }
    if (c.n)
        rv = report_conflicts(&c);
    buf_done(&c.text);
    for (size_t i = 0; i < m->n && !rv; i++) {
        struct manager *other = &m->list[i];
        if (other == self || !other->fields)
            continue;
        struct fieldset_diff d = seen_by(j, other, change);
        struct json *left = fieldset_minus(j->a, other->fields, d.changed);
        other->fields = fieldset_minus(j->a, left, d.removed);
    }
    return rv;
}

/* ---- whole writes ---- */

/* A copy without what no manager can own, so that it does not show up in comparisons. */
static struct json *bare(struct arena *a, const struct json *obj)
{
    struct json *copy = json_clone(a, obj);
    json_del_str(json_get_str(copy, "metadata"), "managedFields");
    return copy;
}

/* What a create starts from: the kind's empty object. */
static struct json *nothing(const struct job *j)
{
    struct check c = {.a = j->a};
    struct status st = {0};
    struct json *obj = json_new_object(j->a);
    if (obj)
        check_object(&c, j->rq->res->type, obj, &st);
    return obj;
}

/* Items without their keys, or twice the same, cannot be merged. */
static int check_lists(const struct job *j, const struct schema_field *f, struct json *v, const char *path)
{
    struct fieldset_items items;
    enum field_shape shape = fieldset_shape(f, v);
    if (shape == SHAPE_LEAF)
        return 0;
    if (!fieldset_items(j->a, f, v, &items))
        return status_errno(j->st, j->a, arena_error(j->a), "the applied object");
    if (items.missing)
        return status_set(
            j->st, j->a, 400,
            "failed to create typed patch object: %s: associative list with keys has an element that omits "
            "key field \"%s\" (and doesn't have default value)",
            path, items.missing);
    if (items.duplicate.p && (shape == SHAPE_LIST || shape == SHAPE_SET))
        return status_set(j->st, j->a, 400,
                          "failed to create typed patch object: %s: duplicate entries for key %" SLICE_FMT, path,
                          SLICE_ARG(slice_from(items.duplicate, 2)));
    json_each (it, v) {
        const char *below = it->key.p ? arena_printf(j->a, "%s.%" SLICE_FMT, path, SLICE_ARG(it->key)) : path;
        int rv = check_lists(j, fieldset_child(f, it->key), it, below);
        if (rv)
            return rv;
    }
    return 0;
}

/* NULL, with an answer in st when none is there yet. */
static struct json *no_memory(struct status *st, struct arena *a)
{
    if (st->code == 0)
        status_errno(st, a, arena_error(a), "the applied object");
    return NULL;
}

/* Everything that some manager owns in this version's paths. */
static struct json *all_owned(const struct job *j, const struct managers *m, const struct resource *res)
{
    struct json *all = NULL;
    for (size_t i = 0; i < m->n; i++)
        if (version_of(j, m->list[i].api_version) == res)
            all = fieldset_union(j->a, all, m->list[i].fields);
    return all;
}

/* Whether somebody who wrote in a version other than res owns what is gone. */
static bool is_owned_elsewhere(const struct job *j, const struct managers *m, const struct manager *self,
                               const struct resource *res, const struct json *before, const struct json *pruned)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct resource *other = version_of(j, m->list[i].api_version);
        if (&m->list[i] != self && other != res && m->list[i].fields &&
            fieldset_and(j->a, m->list[i].fields, diff_as(j, other, before, pruned).removed))
            return true;
    }
    return false;
}

/* An apply: what its manager owned before, and in which version's paths that was said. */
struct applied {
    const struct manager *self;
    const struct resource *version;
    const struct json *last;
    const struct json *config; /* what it names now */
};

/* merged without what its manager named last time and nobody owns now. The object is brought to the version in which
 * that was said, and back. What somebody owns by another version's paths stays, and with it all that would have gone.
 */
static struct json *pruned(const struct job *j, const struct managers *m, const struct applied *ap, struct json *merged)
{
    struct schema_field root = {.kind = SCHEMA_REF, .type = ap->version->type};
    struct json *there = as_version(j, ap->version, merged), *still = all_owned(j, m, ap->version);
    if (!there)
        return NULL;
    if (ap->version != j->rq->res)
        still = fieldset_union(j->a, still, fieldset_of(j->a, &root, as_version(j, ap->version, ap->config)));
    prune(j, &root, NULL, there, ap->last, still);
    if (is_owned_elsewhere(j, m, ap->self, ap->version, merged, there))
        return merged;
    return as_version(j, j->rq->res, there);
}

struct json *apply_patch(struct arena *a, const struct apply_request *rq, const struct json *live,
                         const struct json *patch, struct status *st)
{
    struct job j = job_of(a, rq, st);
    struct json *config = bare(a, patch), *before = live ? bare(a, live) : nothing(&j);
    struct managers m = decode_managers(a, live);
    if (json_len(json_path(patch, "metadata.managedFields"))) {
        status_set(st, a, 400, "metadata.managedFields must be nil");
        return NULL;
    }
    if (!config || !before || !m.list || check_lists(&j, &j.root, config, ""))
        return no_memory(st, a);
    j.allowed = rq->force ? NULL : apply_kubectl_allowed(a, rq, live);
    struct manager *self = own_entry(&j, &m, true);
    struct applied ap = {self, version_of(&j, self->api_version), json_clone(a, self->fields), config};
    struct json *merged = merge(&j, &j.root, before, config);
    give(self, owned(&j, fieldset_of(a, &j.root, config)));
    self->api_version = slice_str(rq->res->api_version);
    if (ap.last && merged)
        merged = pruned(&j, &m, &ap, merged);
    if (!merged)
        return no_memory(st, a);
    struct change change = {before, merged, fieldset_compare(a, &j.root, before, merged)};
    change.d.changed = owned(&j, change.d.changed);
    self->changed |= change.d.changed || change.d.removed;
    if (settle(&j, &m, self, &change, rq->force))
        return NULL;
    apply_kubectl_note(a, rq, live, patch, merged);
    encode_managers(&j, &m, merged);
    return arena_error(a) ? no_memory(st, a) : merged;
}

int apply_track_update(struct arena *a, const struct apply_request *rq, const struct json *live, struct json *obj)
{
    struct status ignored = {0};
    struct job j = job_of(a, rq, &ignored);
    const struct json *given = json_path(obj, "metadata.managedFields");
    struct managers m = decode_managers(a, json_len(given) ? obj : live);
    struct json *before = live ? bare(a, live) : nothing(&j), *now = bare(a, obj);
    if (!before || !now || !m.list)
        return arena_error(a);
    struct manager *self = own_entry(&j, &m, false);
    struct change change = {before, now, fieldset_compare(a, &j.root, before, now)};
    change.d.changed = owned(&j, change.d.changed);
    settle(&j, &m, self, &change, true);
    struct json *mine = fieldset_minus(a, self->fields, change.d.removed);
    give(self, fieldset_union(a, mine, change.d.changed));
    encode_managers(&j, &m, obj);
    return arena_error(a);
}

#include "object/fieldset.h"

enum { ELEMENT_MAX = 64 << 10 };

/* ---- the schema's view ---- */

enum field_shape fieldset_shape(const struct schema_field *f, const struct json *v)
{
    if (!f)
        return json_is(v, JSON_OBJECT) ? SHAPE_MAP : SHAPE_LEAF;
    switch (f->kind) {
    case SCHEMA_REF:
        return (f->type->flags & SCHEMA_ATOMIC) || f->list_type == SCHEMA_LIST_ATOMIC ? SHAPE_LEAF : SHAPE_STRUCT;
    case SCHEMA_MAP:
        return f->list_type == SCHEMA_LIST_ATOMIC ? SHAPE_LEAF : SHAPE_MAP;
    case SCHEMA_ARRAY:
        return f->list_type == SCHEMA_LIST_MAP ? SHAPE_LIST : f->list_type == SCHEMA_LIST_SET ? SHAPE_SET : SHAPE_LEAF;
    default:
        return SHAPE_LEAF;
    }
}

const struct schema_field *fieldset_child(const struct schema_field *f, struct slice member)
{
    if (!f)
        return NULL;
    return f->kind == SCHEMA_REF ? schema_field_find(f->type, member) : f->item;
}

/* The key member of an item, or the default that the schema gives it. */
static const struct json *key_value(struct arena *a, const struct schema_field *item, const struct json *v,
                                    const char *key)
{
    const struct json *have = json_get_str(v, key);
    const struct schema_field *f = have ? NULL : fieldset_child(item, slice_str(key));
    return f && f->default_json ? json_parse(a, slice_str(f->default_json), NULL, NULL, NULL) : have;
}

static int by_key(const void *ctx, const struct json *a, const struct json *b)
{
    (void)ctx;
    return slice_cmp(a->key, b->key);
}

/* k:{"name":"c"}, members sorted; *missing is set when one is neither there nor has a default. */
static void write_keys(struct arena *a, const struct schema_field *f, const struct json *v, struct buf *out,
                       const char **missing)
{
    struct json *keys = json_new_object(a);
    for (size_t i = 0; f->list_keys && f->list_keys[i]; i++) {
        const struct json *value = key_value(a, f->item, v, f->list_keys[i]);
        if (!value)
            *missing = f->list_keys[i];
        json_set_str(a, keys, f->list_keys[i], json_clone(a, value));
    }
    json_sort(keys, by_key, NULL);
    buf_add_str(out, "k:");
    json_write(out, keys);
}

static bool add_item(struct arena *a, struct fieldset_items *items, struct slice element, struct json *v)
{
    if (json_get(items->elements, element)) {
        if (!items->duplicate.p)
            items->duplicate = arena_copy(a, element);
        return true;
    }
    json_set(a, items->elements, element, json_new_int(a, (int64_t)items->n));
    items->values[items->n++] = v;
    return a->error == 0;
}

static bool add_element(struct arena *a, const struct schema_field *f, enum field_shape shape, struct json *v,
                        struct fieldset_items *items)
{
    struct buf text = BUF_INIT(ELEMENT_MAX);
    switch (shape) {
    case SHAPE_SET:
        buf_add_str(&text, "v:");
        json_write(&text, v);
        break;
    case SHAPE_LIST:
        write_keys(a, f, v, &text, &items->missing);
        break;
    default:
        buf_printf(&text, "f:%" SLICE_FMT, SLICE_ARG(v->key));
    }
    bool ok = !buf_error(&text) && add_item(a, items, buf_slice(&text), v);
    buf_done(&text);
    return ok;
}

bool fieldset_items(struct arena *a, const struct schema_field *f, struct json *v, struct fieldset_items *ret)
{
    enum field_shape shape = fieldset_shape(f, v);
    *ret = (struct fieldset_items){.elements = json_new_object(a)};
    ret->values = arena_alloc(a, (json_len(v) + 1) * sizeof *ret->values);
    if (!ret->values)
        return false;
    json_each (it, v)
        if (!add_element(a, f, shape, it, ret))
            return false;
    return true;
}

struct json *fieldset_at(const struct fieldset_items *items, struct slice element)
{
    const struct json *i = json_get(items->elements, element);
    return i ? items->values[i->u.integer] : NULL;
}

/* The member or item that an element of a set speaks of. */
static const struct schema_field *element_field(const struct schema_field *f, struct slice element)
{
    return fieldset_child(f, slice_from(element, 2));
}

/* ---- making sets ---- */

/* Puts a subset below a set that may not exist yet; NULL changes nothing. */
static void put(struct arena *a, struct json **set, struct slice element, struct json *below)
{
    if (!below)
        return;
    if (!*set)
        *set = json_new_object(a);
    json_set(a, *set, element, below);
}

/* The set with its own path as a member. */
static struct json *with_self(struct arena *a, struct json *set)
{
    if (!set)
        return json_new_object(a);
    if (json_len(set) && !json_get_str(set, "."))
        json_set_first(a, set, ".", json_new_object(a));
    return set;
}

bool fieldset_has_self(const struct json *set)
{
    return set && (json_len(set) == 0 || json_get_str(set, "."));
}

static bool is_hollow(const struct json *v)
{
    return !v || v->type == JSON_NULL || (v->type >= JSON_ARRAY && json_len(v) == 0);
}

struct json *fieldset_of(struct arena *a, const struct schema_field *f, struct json *v)
{
    enum field_shape shape = fieldset_shape(f, v);
    struct fieldset_items items;
    struct json *set = NULL;
    if (shape == SHAPE_LEAF)
        return json_new_object(a);
    if (!fieldset_items(a, f, v, &items))
        return NULL;
    json_each (e, items.elements) {
        struct json *child = fieldset_at(&items, e->key);
        struct json *below = fieldset_of(a, element_field(f, e->key), child);
        bool member = shape != SHAPE_STRUCT || is_hollow(child);
        put(a, &set, e->key, member ? with_self(a, below) : below);
    }
    return set;
}

static struct fieldset_diff leaf_diff(struct arena *a, const struct json *before, const struct json *now)
{
    struct fieldset_diff d = {0};
    if (before && !now)
        d.removed = json_new_object(a);
    else if (now && !(before && json_equal(before, now)))
        d.changed = json_new_object(a);
    return d;
}

struct fieldset_diff fieldset_compare(struct arena *a, const struct schema_field *f, struct json *before,
                                      struct json *now)
{
    struct fieldset_diff d = {0};
    struct fieldset_items x, y;
    if (fieldset_shape(f, now ? now : before) == SHAPE_LEAF || (is_hollow(before) && is_hollow(now)))
        return leaf_diff(a, before, now);
    if (!fieldset_items(a, f, before, &x) || !fieldset_items(a, f, now, &y))
        return d;
    json_each (e, y.elements) {
        struct fieldset_diff below =
            fieldset_compare(a, element_field(f, e->key), fieldset_at(&x, e->key), fieldset_at(&y, e->key));
        put(a, &d.changed, e->key, below.changed);
        put(a, &d.removed, e->key, below.removed);
    }
    json_each (e, x.elements) {
        if (fieldset_at(&y, e->key))
            continue;
        struct fieldset_diff below = fieldset_compare(a, element_field(f, e->key), fieldset_at(&x, e->key), NULL);
        put(a, &d.removed, e->key, below.removed);
    }
    if (!before)
        d.changed = with_self(a, d.changed);
    if (!now)
        d.removed = with_self(a, d.removed);
    return d;
}

/* ---- algebra ---- */

static bool is_self(const struct json *e)
{
    return slice_eq_str(e->key, ".");
}

struct json *fieldset_union(struct arena *a, const struct json *x, const struct json *y)
{
    if (!x || !y)
        return json_clone(a, x ? x : y);
    struct json *set = NULL;
    json_each (e, x)
        if (!is_self(e))
            put(a, &set, e->key, fieldset_union(a, e, json_get(y, e->key)));
    json_each (e, y)
        if (!is_self(e) && !json_get(x, e->key))
            put(a, &set, e->key, json_clone(a, e));
    return fieldset_has_self(x) || fieldset_has_self(y) ? with_self(a, set) : set;
}

struct json *fieldset_minus(struct arena *a, const struct json *x, const struct json *y)
{
    if (!x || !y)
        return json_clone(a, x);
    struct json *set = NULL;
    json_each (e, x)
        if (!is_self(e))
            put(a, &set, e->key, fieldset_minus(a, e, json_get(y, e->key)));
    return fieldset_has_self(x) && !fieldset_has_self(y) ? with_self(a, set) : set;
}

struct json *fieldset_and(struct arena *a, const struct json *x, const struct json *y)
{
    struct json *set = NULL;
    if (!x || !y)
        return NULL;
    json_each (e, x)
        if (!is_self(e))
            put(a, &set, e->key, fieldset_and(a, e, json_get(y, e->key)));
    return fieldset_has_self(x) && fieldset_has_self(y) ? with_self(a, set) : set;
}

/* Takes the path's last step out; containers left without members go too. True when set is empty now. */
static bool drop(struct json *set, struct slice path)
{
    struct slice step, rest;
    char name[256];
    bool more = slice_cut(path, '.', &step, &rest);
    if (step.n > sizeof name - 2)
        return false;
    memcpy(name, "f:", 2);
    memcpy(name + 2, step.p, step.n);
    struct slice element = slice_of(name, step.n + 2);
    struct json *below = json_get(set, element);
    if (below && (!more || (json_len(below) && drop(below, rest))))
        json_del(set, element);
    return below && json_len(set) == 0;
}

static void keep_status(struct json *set)
{
    struct json *next;
    for (struct json *e = json_first(set); e; e = next) {
        next = e->next;
        if (!slice_eq_str(e->key, "f:status"))
            json_del(set, e->key);
    }
}

struct json *fieldset_without(struct json *set, const char *path)
{
    if (!set || json_len(set) == 0)
        return set;
    if (*path)
        drop(set, slice_str(path));
    else
        keep_status(set);
    return json_len(set) ? set : NULL;
}

/* ---- telling ---- */

struct telling {
    struct arena *a;
    void (*each)(void *ctx, const char *path);
    void *ctx;
};

/* [name="c",port=80] */
static void write_element(struct arena *a, struct buf *out, struct slice element)
{
    struct slice text = slice_from(element, 2);
    if (slice_starts(element, SLICE("f:"))) {
        buf_printf(out, ".%" SLICE_FMT, SLICE_ARG(text));
        return;
    }
    buf_add_char(out, '[');
    struct json *keys = json_parse(a, text, NULL, NULL, NULL);
    if (slice_starts(element, SLICE("v:")))
        buf_printf(out, "=%" SLICE_FMT, SLICE_ARG(text));
    json_each (k, json_is(keys, JSON_OBJECT) ? keys : NULL) {
        buf_printf(out, "%s%" SLICE_FMT "=", k->prev ? "," : "", SLICE_ARG(k->key));
        json_write(out, k);
    }
    buf_add_char(out, ']');
}

static void tell(const struct telling *t, const struct json *set, const char *path)
{
    if (fieldset_has_self(set))
        t->each(t->ctx, path);
    json_each (e, set) {
        struct buf text = BUF_INIT(ELEMENT_MAX);
        if (is_self(e))
            continue;
        buf_add_str(&text, path);
        write_element(t->a, &text, e->key);
        struct slice copy = arena_copy(t->a, buf_slice(&text));
        buf_done(&text);
        if (copy.p)
            tell(t, e, copy.p);
    }
}

void fieldset_each(struct arena *a, const struct json *set, void (*each)(void *ctx, const char *path), void *ctx)
{
    struct telling t = {a, each, ctx};
    if (set)
        tell(&t, set, "");
}

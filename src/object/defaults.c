#include "object/defaults.h"

#include <errno.h>

#include "object/check.h"
#include "object/defaults_kinds.h"
#include "object/path.h"
#include "object/quantity.h"

struct walk {
    struct arena *a;
    int64_t now;
};

static void apply_type(const struct walk *w, const struct schema_type *type, struct json *obj);

/* ---- rules ---- */

static bool is_set(const struct json *v)
{
    return v && v->type != JSON_NULL;
}

static bool is_empty(const struct json *v)
{
    if (!is_set(v))
        return true;
    return v->type >= JSON_ARRAY ? json_len(v) == 0 : v->type == JSON_STRING ? v->u.string.n == 0 : json_int(v, 1) == 0;
}

/* path, !path, or path=a,b */
static bool condition_holds(const struct json *obj, struct slice condition)
{
    struct slice path, texts, text;
    if (slice_starts(condition, SLICE("!")))
        return !is_set(path_get(obj, slice_from(condition, 1)));
    bool compare = slice_cut(condition, '=', &path, &texts);
    const struct json *v = path_get(obj, path);
    if (!compare)
        return is_set(v);
    while (texts.n) {
        slice_cut(texts, ',', &text, &texts);
        if (slice_eq(json_string(v), text))
            return true;
    }
    return false;
}

static bool conditions_hold(const struct json *obj, const char *conditions)
{
    struct slice rest = slice_str(conditions), one;
    while (rest.n) {
        slice_cut(rest, '&', &one, &rest);
        if (!condition_holds(obj, slice_trim(one)))
            return false;
    }
    return true;
}

static void apply_rule(const struct walk *w, const struct schema_default *d, struct json *obj)
{
    struct slice path = slice_str(d->path), value = slice_str(d->value);
    if (value.p[0] == '!') {
        defaults_function *f = defaults_function_find(slice_from(value, 1));
        if (f)
            f(w->a, obj, w->now);
        return;
    }
    const struct json *have = path_get(obj, path);
    if ((d->when == SCHEMA_WHEN_UNSET && is_set(have)) || (d->when == SCHEMA_WHEN_EMPTY && !is_empty(have)) ||
        !conditions_hold(obj, d->condition))
        return;
    if (slice_eq_str(value, "-")) {
        path_del(obj, path);
        return;
    }
    const struct json *from = value.p[0] == '@' ? path_get(obj, slice_from(value, 1)) : NULL;
    struct json *v = value.p[0] == '@' ? json_clone(w->a, from) : json_parse(w->a, value, NULL, NULL, NULL);
    if (v && !(have && json_equal(have, v)))
        path_set(w->a, obj, path, v);
}

/* Custom resources: the defaults their fields carry. */
static void apply_fields(const struct walk *w, const struct schema_type *type, struct json *obj)
{
    for (size_t i = 0; i < type->n_fields; i++) {
        const struct schema_field *f = &type->fields[i];
        const struct json *have = f->default_json ? json_get(obj, f->name) : NULL;
        if (!f->default_json || (have && (have->type != JSON_NULL || (f->flags & SCHEMA_NULLABLE))))
            continue;
        json_set(w->a, obj, f->name, json_parse(w->a, slice_str(f->default_json), NULL, NULL, NULL));
    }
}

/* ---- the walk ---- */

/* Resource lists hold no more than milli units. */
static void round_quantities(const struct walk *w, struct json *map)
{
    struct quantity q;
    json_each (it, map) {
        struct slice s = json_string(it);
        bool fine = s.n && (s.p[s.n - 1] == 'n' || s.p[s.n - 1] == 'u' || memchr(s.p, 'e', s.n));
        if (!fine || !quantity_parse(s, &q))
            continue;
        struct json *rounded = quantity_to_json(w->a, quantity_round_milli(q));
        if (rounded)
            json_assign(it, rounded);
    }
}

static void apply_value(const struct walk *w, const struct schema_field *f, struct json *v)
{
    if (f->kind == SCHEMA_REF && v->type == JSON_OBJECT) {
        apply_type(w, f->type, v);
    } else if (f->kind == SCHEMA_MAP && f->item->kind == SCHEMA_QUANTITY) {
        round_quantities(w, v);
    } else if (f->kind == SCHEMA_ARRAY || f->kind == SCHEMA_MAP) {
        const struct schema_field *item = f->item;
        if (item->kind == SCHEMA_ARRAY || item->kind == SCHEMA_MAP ||
            (item->kind == SCHEMA_REF && (item->type->flags & SCHEMA_DEFAULTED)))
            json_each (it, v)
                apply_value(w, item, it);
    }
}

static void apply_type(const struct walk *w, const struct schema_type *type, struct json *obj)
{
    if (!(type->flags & SCHEMA_DEFAULTED))
        return;
    if (type->flags & SCHEMA_CUSTOM)
        apply_fields(w, type, obj);
    for (size_t i = 0; i < type->n_defaults; i++)
        apply_rule(w, &type->defaults[i], obj);
    json_each (it, obj) {
        const struct schema_field *f = schema_field_find(type, it->key);
        if (f)
            apply_value(w, f, it);
    }
    check_order(type, obj);
}

int defaults_apply(struct arena *a, const struct schema_type *type, struct json *obj, int64_t now)
{
    struct walk w = {.a = a, .now = now};
    if (json_is(obj, JSON_OBJECT))
        apply_type(&w, type, obj);
    return arena_error(a);
}

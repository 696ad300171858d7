/* Merge patch (RFC 7386) and strategic merge patch. */
#include "object/patch.h"

static struct json *finish(struct arena *a, struct json *v, struct status *st)
{
    if (v && !arena_error(a))
        return v;
    if (st->code == 0)
        status_errno(st, a, arena_error(a), "the patched object");
    return NULL;
}

static bool check_is_object(struct arena *a, const struct json *patch, struct status *st)
{
    if (json_is(patch, JSON_OBJECT))
        return true;
    status_set(st, a, 400, "error decoding patch: a merge patch is an object");
    return false;
}

/* ---- merge patch ---- */

static struct json *merged(struct arena *a, struct json *target, const struct json *patch)
{
    if (patch->type != JSON_OBJECT)
        return json_clone(a, patch);
    if (!json_is(target, JSON_OBJECT))
        target = json_new_object(a);
    json_each (it, patch) {
        struct json *have = json_get(target, it->key);
        if (it->type == JSON_NULL)
            json_del(target, it->key);
        else
            json_set(a, target, it->key, merged(a, have, it));
    }
    return target;
}

struct json *patch_merge(struct arena *a, const struct json *obj, const struct json *patch, struct status *st)
{
    if (!check_is_object(a, patch, st))
        return NULL;
    return finish(a, merged(a, json_clone(a, obj), patch), st);
}

/* ---- strategic merge patch ---- */

struct merger {
    struct arena *a;
    struct status *st;
};

static int merge_object(struct merger *m, const struct schema_type *type, struct json *target,
                        const struct json *patch);

static int reject(struct merger *m, int code, const char *why, struct slice about)
{
    return status_set(m->st, m->a, code, "%s: %" SLICE_FMT, why, SLICE_ARG(about));
}

/* A directive's member such as "$setElementOrder/ports"; *name is what follows the slash. */
static bool is_directive(struct slice key, const char *directive, struct slice *name)
{
    struct slice head;
    return slice_cut(key, '/', &head, name) && slice_eq_str(head, directive);
}

static bool same_value(const struct json *list, const struct json *v)
{
    json_each (it, list)
        if (json_equal(it, v))
            return true;
    return false;
}

/* ---- lists of primitives ---- */

static void delete_primitives(struct json *list, const struct json *gone)
{
    struct json *next;
    size_t i = 0;
    for (struct json *it = json_first(list); it; it = next) {
        next = it->next;
        if (same_value(gone, it))
            json_remove_at(list, i);
        else
            i++;
    }
}

static void merge_primitives(struct merger *m, struct json *list, const struct json *patch)
{
    json_each (it, patch)
        if (!same_value(list, it))
            json_append(list, json_clone(m->a, it));
}

/* ---- lists of objects ---- */

static struct json *find_by_key(const struct json *list, const char *merge_key, const struct json *value, size_t *ret_i)
{
    size_t i = 0;
    json_each (it, list) {
        if (json_equal(json_get_str(it, merge_key), value)) {
            *ret_i = i;
            return it;
        }
        i++;
    }
    return NULL;
}

static struct slice directive_of(const struct json *item)
{
    return json_string(json_get_str(item, "$patch"));
}

/* A list with an item {$patch: replace} replaces the whole. */
static bool replaces_list(const struct json *patch)
{
    json_each (it, patch)
        if (slice_eq_str(directive_of(it), "replace"))
            return true;
    return false;
}

static int merge_item(struct merger *m, const struct schema_field *f, struct json *list, const struct json *item)
{
    size_t i;
    struct slice directive = directive_of(item);
    const struct json *value = json_get_str(item, f->merge_key);
    if (!json_is(item, JSON_OBJECT))
        return reject(m, 400, "an item of the list is no object", f->name);
    if (slice_eq_str(directive, "replace"))
        return 0;
    if (!value)
        return status_set(m->st, m->a, 400, "map: map[] does not contain declared merge key: %s", f->merge_key);
    struct json *have = find_by_key(list, f->merge_key, value, &i);
    if (slice_eq_str(directive, "delete")) {
        while (have) {
            json_remove_at(list, i);
            have = find_by_key(list, f->merge_key, value, &i);
        }
        return 0;
    }
    if (!have) {
        have = json_new_object(m->a);
        json_append(list, have);
    }
    return have ? merge_object(m, f->item->type, have, item) : 0;
}

/* Into a list that is new, items go as they are: there is nothing that their keys would have to find. */
static int add_item(struct merger *m, const struct schema_field *f, struct json *list, const struct json *item)
{
    struct json *new = json_is(item, JSON_OBJECT) ? json_new_object(m->a) : json_clone(m->a, item);
    json_append(list, new);
    return new &&new->type == JSON_OBJECT ? merge_object(m, f->item->type, new, item) : 0;
}

static int merge_list(struct merger *m, const struct schema_field *f, struct json *list, const struct json *patch)
{
    bool fresh = json_len(list) == 0;
    if (replaces_list(patch))
        while (json_remove_at(list, 0))
            continue;
    json_each (it, patch) {
        bool plain = fresh && !json_get_str(it, "$patch");
        int rv = plain && !json_get_str(it, f->merge_key) ? add_item(m, f, list, it) : merge_item(m, f, list, it);
        if (rv)
            return rv;
    }
    return 0;
}

/* ---- $setElementOrder ---- */

struct ordering {
    const struct json *wanted; /* keys or values in the order asked for */
    const struct json *before; /* the list as it was on the server */
    const char *merge_key;     /* NULL for primitives */
};

static size_t place_in(const struct json *list, const char *merge_key, const struct json *item)
{
    const struct json *key = merge_key ? json_get_str(item, merge_key) : item;
    size_t i = 0;
    json_each (it, list) {
        const struct json *other = merge_key && it->type == JSON_OBJECT ? json_get_str(it, merge_key) : it;
        if (json_equal(other, key))
            return i;
        i++;
    }
    return SIZE_MAX;
}

static int by_wanted(const void *ctx, const struct json *a, const struct json *b)
{
    const struct ordering *o = ctx;
    size_t x = place_in(o->wanted, o->merge_key, a), y = place_in(o->wanted, o->merge_key, b);
    return x < y ? -1 : x > y;
}

/* Items that the patch orders come in its order; those only the server has keep their place among them. */
static void set_order(struct arena *a, struct json *list, const struct ordering *o)
{
    struct json *ordered = json_new_array(a), *rest = json_new_array(a), *it;
    if (!ordered || !rest)
        return;
    while ((it = json_remove_at(list, 0)))
        json_append(place_in(o->wanted, o->merge_key, it) == SIZE_MAX ? rest : ordered, it);
    json_sort(ordered, by_wanted, o);
    while (json_len(ordered) || json_len(rest)) {
        struct json *l = json_first(ordered), *r = json_first(rest);
        size_t x = l ? place_in(o->before, o->merge_key, l) : SIZE_MAX;
        size_t y = r ? place_in(o->before, o->merge_key, r) : SIZE_MAX;
        bool left = l && (!r || x == SIZE_MAX || x < y);
        json_append(list, json_remove_at(left ? ordered : rest, 0));
    }
}

/* ---- objects ---- */

/* The member as an array, replacing anything else. */
static struct json *list_at(struct arena *a, struct json *obj, struct slice name)
{
    struct json *v = json_get(obj, name);
    if (json_is(v, JSON_ARRAY))
        return v;
    v = json_new_array(a);
    json_set(a, obj, name, v);
    return v;
}

static int merge_array(struct merger *m, const struct schema_field *f, struct json *target, const struct json *patch)
{
    if (!f || !(f->patch & SCHEMA_PATCH_MERGE)) {
        json_set(m->a, target, patch->key, json_clone(m->a, patch));
        return 0;
    }
    struct json *list = list_at(m->a, target, patch->key);
    if (f->merge_key && f->item->kind == SCHEMA_REF)
        return merge_list(m, f, list, patch);
    merge_primitives(m, list, patch);
    return 0;
}

static int merge_child(struct merger *m, const struct schema_field *f, struct json *target, const struct json *patch)
{
    struct json *have = json_get(target, patch->key);
    bool whole = f && (f->kind == SCHEMA_RAW || f->kind == SCHEMA_ANY || (f->patch & SCHEMA_PATCH_REPLACE));
    if (whole) {
        json_set(m->a, target, patch->key, json_clone(m->a, patch));
        return 0;
    }
    if (!json_is(have, JSON_OBJECT)) {
        have = json_new_object(m->a);
        json_set(m->a, target, patch->key, have);
    }
    const struct schema_type *type = f && f->kind == SCHEMA_REF ? f->type : NULL;
    if (f && f->kind == SCHEMA_MAP && f->item->kind == SCHEMA_REF)
        type = NULL;
    return have ? merge_object(m, type, have, patch) : 0;
}

static int merge_member(struct merger *m, const struct schema_type *type, struct json *target, const struct json *patch)
{
    const struct schema_field *f = type ? schema_field_find(type, patch->key) : NULL;
    switch (patch->type) {
    case JSON_NULL:
        json_del(target, patch->key);
        return 0;
    case JSON_ARRAY:
        return merge_array(m, f, target, patch);
    case JSON_OBJECT:
        return merge_child(m, f, target, patch);
    default:
        json_set(m->a, target, patch->key, json_clone(m->a, patch));
        return 0;
    }
}

static void retain_keys(struct json *target, const struct json *keys)
{
    struct json *next;
    for (struct json *it = json_first(target); it; it = next) {
        bool kept = false;
        next = it->next;
        json_each (key, keys)
            kept |= slice_eq(json_string(key), it->key);
        if (!kept)
            json_del(target, it->key);
    }
}

/* Directives that work before the members are merged. */
static int apply_directives(struct merger *m, struct json *target, const struct json *patch)
{
    const struct json *keys = json_get_str(patch, "$retainKeys");
    struct slice name;
    if (keys && keys->type != JSON_ARRAY)
        return reject(m, 400, "invalid patch format of retainKeys", SLICE("$retainKeys"));
    if (keys)
        retain_keys(target, keys);
    json_each (it, patch) {
        if (!is_directive(it->key, "$deleteFromPrimitiveList", &name))
            continue;
        if (it->type != JSON_ARRAY)
            return reject(m, 400, "invalid patch format of primitive list", it->key);
        struct json *list = json_get(target, name);
        delete_primitives(list, it);
        if (list && json_len(list) == 0)
            json_del(target, name);
    }
    return 0;
}

static int order_lists(struct merger *m, const struct schema_type *type, struct json *target, const struct json *patch,
                       const struct json *before)
{
    struct slice name;
    json_each (it, patch) {
        if (!is_directive(it->key, "$setElementOrder", &name))
            continue;
        if (it->type != JSON_ARRAY)
            return reject(m, 400, "invalid patch format of setElementOrder list", it->key);
        const struct schema_field *f = type ? schema_field_find(type, name) : NULL;
        struct json *list = json_get(target, name);
        struct ordering o = {.wanted = it, .before = json_get(before, name), .merge_key = f ? f->merge_key : NULL};
        if (json_is(list, JSON_ARRAY))
            set_order(m->a, list, &o);
    }
    return 0;
}

static bool has_order(const struct json *patch)
{
    json_each (it, patch)
        if (slice_starts(it->key, SLICE("$setElementOrder/")))
            return true;
    return false;
}

static int merge_members(struct merger *m, const struct schema_type *type, struct json *target,
                         const struct json *patch)
{
    json_each (it, patch) {
        bool directive = it->key.n && it->key.p[0] == '$' && (type || slice_starts(it->key, SLICE("$patch")));
        int rv = directive ? 0 : merge_member(m, type, target, it);
        if (rv)
            return rv;
    }
    return 0;
}

static int merge_object(struct merger *m, const struct schema_type *type, struct json *target, const struct json *patch)
{
    const struct json *directive = json_get_str(patch, "$patch");
    if (directive) {
        struct slice word = json_string(directive);
        bool empties = slice_eq_str(word, "replace") || slice_eq_str(word, "delete");
        if (!empties && !slice_eq_str(word, "merge"))
            return reject(m, 400, "unknown patch type found", word);
        if (empties)
            retain_keys(target, NULL);
        json_each (it, slice_eq_str(word, "replace") ? patch : NULL) /* as it is */
            if (it != directive)
                json_set(m->a, target, it->key, json_clone(m->a, it));
        if (empties)
            return 0;
    }
    const struct json *before = has_order(patch) ? json_clone(m->a, target) : NULL;
    int rv = apply_directives(m, target, patch);
    if (!rv)
        rv = merge_members(m, type, target, patch);
    return rv ? rv : order_lists(m, type, target, patch, before);
}

struct json *patch_strategic(struct arena *a, const struct schema_type *type, const struct json *obj,
                             const struct json *patch, struct status *st)
{
    struct merger m = {.a = a, .st = st};
    struct json *target = json_clone(a, obj);
    if (!check_is_object(a, patch, st))
        return NULL;
    if (target && merge_object(&m, type, target, patch))
        return NULL;
    return finish(a, target, st);
}

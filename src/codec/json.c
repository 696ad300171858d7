#include "codec/json.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"

/* Objects with more members than this are looked up through an index. */
enum { INDEX_FROM = 16 };

/* Open addressing; its memory comes with the member that makes the object large, it is filled at the first lookup. */
struct json_index {
    size_t cap;  /* slots, a power of two */
    size_t used; /* slots taken, holes of removed members included */
    bool built;
    const struct json *slots[]; /* member, &hole, or NULL */
};

static const struct json hole;

/* ---- the index ---- */

static size_t slot_of(const struct json_index *ix, struct slice key)
{
    return (size_t)hash64(key, (uint64_t)(uintptr_t)ix) & (ix->cap - 1);
}

static void index_add(struct json_index *ix, const struct json *member)
{
    size_t at = slot_of(ix, member->key);
    while (ix->slots[at])
        at = (at + 1) & (ix->cap - 1);
    ix->slots[at] = member;
    ix->used++;
}

static void index_build(struct json_index *ix, const struct json *obj)
{
    memset(ix->slots, 0, ix->cap * sizeof *ix->slots);
    ix->used = 0;
    json_each (it, obj)
        index_add(ix, it);
    ix->built = true;
}

static const struct json **index_find(struct json_index *ix, struct slice key)
{
    size_t at = slot_of(ix, key);
    for (; ix->slots[at]; at = (at + 1) & (ix->cap - 1))
        if (ix->slots[at] != &hole && slice_eq(ix->slots[at]->key, key))
            return &ix->slots[at];
    return NULL;
}

/* Prepares for one more member; called before it is linked. */
static void index_reserve(struct arena *a, struct json *obj)
{
    struct json_index *ix = obj->u.items.index;
    size_t n = obj->u.items.n + 1;
    if (n <= INDEX_FROM) {
        if (ix)
            ix->built = false;
        return;
    }
    if (ix && (ix->built ? ix->used + 1 : n) * 2 <= ix->cap)
        return;
    size_t cap = 64;
    while (cap < n * 4)
        cap *= 2;
    if (ix && cap <= ix->cap) { /* holes only */
        ix->built = false;
        return;
    }
    ix = arena_alloc(a, sizeof *ix + cap * sizeof *ix->slots);
    if (ix)
        *ix = (struct json_index){.cap = cap};
    obj->u.items.index = ix;
}

static struct json *find(const struct json *obj, struct slice key)
{
    struct json_index *ix = obj->u.items.index;
    if (ix && obj->u.items.n > INDEX_FROM) {
        if (!ix->built)
            index_build(ix, obj);
        const struct json **at = index_find(ix, key);
        return at ? (struct json *)*at : NULL;
    }
    json_each (it, obj)
        if (slice_eq(it->key, key))
            return it;
    return NULL;
}

/* ---- lists of items ---- */

/* Links v before `before` (NULL = at the end). */
static void link_before(struct json *box, struct json *v, struct json *before)
{
    v->next = before;
    v->prev = before ? before->prev : box->u.items.last;
    if (v->prev)
        v->prev->next = v;
    else
        box->u.items.first = v;
    if (before)
        before->prev = v;
    else
        box->u.items.last = v;
    box->u.items.n++;
}

static void unlink_item(struct json *box, struct json *v)
{
    if (v->prev)
        v->prev->next = v->next;
    else
        box->u.items.first = v->next;
    if (v->next)
        v->next->prev = v->prev;
    else
        box->u.items.last = v->prev;
    v->next = v->prev = NULL;
    box->u.items.n--;
}

/* ---- making ---- */

static struct json *make(struct arena *a, enum json_type type)
{
    struct json *v = arena_new(a, struct json);
    if (v)
        v->type = type;
    return v;
}

struct json *json_new_null(struct arena *a)
{
    return make(a, JSON_NULL);
}

struct json *json_new_bool(struct arena *a, bool b)
{
    struct json *v = make(a, JSON_BOOL);
    if (v)
        v->u.boolean = b;
    return v;
}

struct json *json_new_int(struct arena *a, int64_t i)
{
    struct json *v = make(a, JSON_INT);
    if (v)
        v->u.integer = i;
    return v;
}

struct json *json_new_real(struct arena *a, double r)
{
    struct json *v = make(a, JSON_REAL);
    if (v)
        v->u.real = r;
    return v;
}

struct json *json_new_string(struct arena *a, struct slice s)
{
    struct slice copy = arena_copy(a, s);
    struct json *v = copy.p ? make(a, JSON_STRING) : NULL;
    if (v)
        v->u.string = copy;
    return v;
}

struct json *json_new_str(struct arena *a, const char *s)
{
    return json_new_string(a, slice_str(s));
}

struct json *json_new_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    struct json *v = p ? make(a, JSON_STRING) : NULL;
    if (v) {
        vsnprintf(p, (size_t)n + 1, fmt, again);
        v->u.string = slice_of(p, (size_t)n);
    }
    va_end(again);
    va_end(ap);
    return v;
}

struct json *json_new_array(struct arena *a)
{
    return make(a, JSON_ARRAY);
}

struct json *json_new_object(struct arena *a)
{
    return make(a, JSON_OBJECT);
}

static struct json *clone(struct arena *a, const struct json *v, unsigned depth)
{
    if (v->type == JSON_STRING)
        return json_new_string(a, v->u.string);
    if (depth > JSON_DEPTH_MAX && !a->error)
        a->error = -E2BIG;
    struct json *copy = make(a, v->type);
    if (!copy)
        return NULL;
    if (v->type < JSON_ARRAY) {
        copy->u = v->u;
        return copy;
    }
    json_each (it, v) {
        struct json *item = clone(a, it, depth + 1);
        if (!item)
            return NULL;
        if (v->type == JSON_OBJECT) {
            item->key = arena_copy(a, it->key);
            index_reserve(a, copy);
        }
        link_before(copy, item, NULL);
    }
    return a->error ? NULL : copy;
}

struct json *json_clone(struct arena *a, const struct json *v)
{
    return v ? clone(a, v, 1) : NULL;
}

/* ---- reading ---- */

struct json *json_get(const struct json *obj, struct slice key)
{
    return json_is(obj, JSON_OBJECT) ? find(obj, key) : NULL;
}

struct json *json_get_str(const struct json *obj, const char *key)
{
    return json_get(obj, slice_str(key));
}

struct json *json_path(const struct json *v, const char *path)
{
    struct slice rest = slice_str(path), name;
    while (v && rest.n) {
        slice_cut(rest, '.', &name, &rest);
        v = json_get(v, name);
    }
    return (struct json *)v;
}

struct json *json_at(const struct json *array, size_t i)
{
    if (i >= json_len(array))
        return NULL;
    struct json *it = array->u.items.first;
    while (i--)
        it = it->next;
    return it;
}

struct slice json_string(const struct json *v)
{
    return json_is(v, JSON_STRING) ? v->u.string : SLICE_NONE;
}

int64_t json_int(const struct json *v, int64_t fallback)
{
    if (json_is(v, JSON_INT))
        return v->u.integer;
    if (json_is(v, JSON_REAL) && v->u.real == floor(v->u.real) && fabs(v->u.real) < 0x1p63)
        return (int64_t)v->u.real;
    return fallback;
}

bool json_bool(const struct json *v, bool fallback)
{
    return json_is(v, JSON_BOOL) ? v->u.boolean : fallback;
}

bool json_flag(const struct json *obj, const char *name)
{
    return json_bool(json_get_str(obj, name), false);
}

static double as_real(const struct json *v)
{
    return v->type == JSON_INT ? (double)v->u.integer : v->u.real;
}

static bool is_number(const struct json *v)
{
    return v->type == JSON_INT || v->type == JSON_REAL;
}

static bool equal_items(const struct json *a, const struct json *b)
{
    if (a->u.items.n != b->u.items.n)
        return false;
    struct json *other = b->u.items.first;
    json_each (it, a) {
        if (a->type == JSON_OBJECT)
            other = find(b, it->key);
        if (!other || !json_equal(it, other))
            return false;
        other = other->next;
    }
    return true;
}

bool json_equal(const struct json *a, const struct json *b)
{
    if (!a || !b)
        return a == b;
    if (is_number(a) && is_number(b) && a->type != b->type)
        return fpclassify(as_real(a) - as_real(b)) == FP_ZERO;
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return a->u.boolean == b->u.boolean;
    case JSON_INT:
        return a->u.integer == b->u.integer;
    case JSON_REAL:
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the same bits, so that a NaN is like itself */
        return memcmp(&a->u.real, &b->u.real, sizeof a->u.real) == 0;
    case JSON_STRING:
        return slice_eq(a->u.string, b->u.string);
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return equal_items(a, b);
}

/* ---- changing ---- */

static void replace_member(struct json *obj, struct json *old, struct json *v)
{
    struct json_index *ix = obj->u.items.index;
    const struct json **slot = ix && ix->built ? index_find(ix, old->key) : NULL;
    struct json *next = old->next;
    v->key = old->key;
    if (slot)
        *slot = v;
    unlink_item(obj, old);
    link_before(obj, v, next);
}

static void add_member(struct arena *a, struct json *obj, struct slice key, struct json *v, struct json *before)
{
    v->key = key;
    index_reserve(a, obj);
    link_before(obj, v, before);
    struct json_index *ix = obj->u.items.index;
    if (ix && ix->built)
        index_add(ix, v);
}

void json_set(struct arena *a, struct json *obj, struct slice key, struct json *v)
{
    if (!v || !json_is(obj, JSON_OBJECT))
        return;
    struct json *old = find(obj, key);
    if (old == v)
        return;
    if (old) {
        replace_member(obj, old, v);
        return;
    }
    struct slice copy = arena_copy(a, key);
    if (copy.p)
        add_member(a, obj, copy, v, NULL);
}

void json_set_str(struct arena *a, struct json *obj, const char *static_key, struct json *v)
{
    if (!v || !json_is(obj, JSON_OBJECT))
        return;
    struct json *old = json_get_str(obj, static_key);
    if (old == v)
        return;
    if (old)
        replace_member(obj, old, v);
    else
        add_member(a, obj, slice_str(static_key), v, NULL);
}

void json_set_first(struct arena *a, struct json *obj, const char *static_key, struct json *v)
{
    if (!v || !json_is(obj, JSON_OBJECT))
        return;
    json_del_str(obj, static_key);
    add_member(a, obj, slice_str(static_key), v, obj->u.items.first);
}

struct json *json_object_at(struct arena *a, struct json *obj, const char *static_key)
{
    struct json *v = json_get_str(obj, static_key);
    if (v && v->type != JSON_NULL)
        return v->type == JSON_OBJECT ? v : NULL;
    if (!json_is(obj, JSON_OBJECT))
        return NULL;
    v = json_new_object(a);
    json_set_str(a, obj, static_key, v);
    return v;
}

bool json_del(struct json *obj, struct slice key)
{
    struct json *v = json_get(obj, key);
    if (!v)
        return false;
    struct json_index *ix = obj->u.items.index;
    const struct json **slot = ix && ix->built ? index_find(ix, key) : NULL;
    if (slot)
        *slot = &hole;
    unlink_item(obj, v);
    return true;
}

bool json_del_str(struct json *obj, const char *key)
{
    return json_del(obj, slice_str(key));
}

void json_append(struct json *array, struct json *v)
{
    if (v && json_is(array, JSON_ARRAY))
        link_before(array, v, NULL);
}

void json_insert(struct json *array, size_t i, struct json *v)
{
    if (v && json_is(array, JSON_ARRAY))
        link_before(array, v, json_at(array, i));
}

struct json *json_remove_at(struct json *array, size_t i)
{
    struct json *v = json_is(array, JSON_ARRAY) ? json_at(array, i) : NULL;
    if (v)
        unlink_item(array, v);
    return v;
}

/* Merges two sorted chains linked by ->next. */
static struct json *merge(struct json *a, struct json *b,
                          int (*order)(const void *ctx, const struct json *a, const struct json *b), const void *ctx)
{
    struct json head, *last = &head;
    while (a && b) {
        struct json **least = order(ctx, b, a) < 0 ? &b : &a;
        last->next = *least;
        last = *least;
        *least = last->next;
    }
    last->next = a ? a : b;
    return head.next;
}

/* Bottom-up merge sort: runs[i] holds a sorted chain of 2^i items, or nothing. */
static struct json *sort_chain(struct json *first,
                               int (*order)(const void *ctx, const struct json *a, const struct json *b),
                               const void *ctx)
{
    struct json *runs[64] = {0}, *all = NULL, *next;
    for (struct json *it = first; it; it = next) {
        next = it->next;
        it->next = NULL;
        size_t i = 0;
        for (; runs[i]; i++) {
            it = merge(runs[i], it, order, ctx);
            runs[i] = NULL;
        }
        runs[i] = it;
    }
    for (size_t i = 0; i < 64; i++)
        if (runs[i])
            all = merge(runs[i], all, order, ctx);
    return all;
}

void json_sort(struct json *box, int (*order)(const void *ctx, const struct json *a, const struct json *b),
               const void *ctx)
{
    bool sorted = true;
    struct json *prev = NULL;
    json_each (it, box)
        sorted &= !it->prev || order(ctx, it->prev, it) <= 0;
    if (sorted)
        return;
    box->u.items.first = sort_chain(box->u.items.first, order, ctx);
    json_each (it, box) {
        it->prev = prev;
        prev = it;
    }
    box->u.items.last = prev;
}

void json_assign(struct json *v, const struct json *w)
{
    if (!v || !w || v == w)
        return;
    v->type = w->type;
    v->u = w->u;
}

/* JSON patch (RFC 6902). */
#include <stdlib.h>

#include "object/patch.h"

struct patcher {
    struct arena *a;
    struct json *root;
    struct status *st;
    size_t i; /* number of the operation */
};

/* A pointer resolved: the container and the step in it. */
struct place {
    struct json *box;  /* NULL: the whole document */
    struct slice step; /* unescaped */
    struct json *at;   /* what stands there, or NULL */
    size_t depth;      /* steps */
};

static int reject(struct patcher *p, const char *why, struct slice about)
{
    return status_set(p->st, p->a, 422,
                      "the server rejected our request due to an error in our request: operation %zu: %s: %" SLICE_FMT,
                      p->i, why, SLICE_ARG(about));
}

/* ~1 is '/', ~0 is '~' (RFC 6901). */
static struct slice unescape(struct arena *a, struct slice s)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    if (!out)
        return SLICE_NONE;
    for (size_t i = 0; i < s.n; i++) {
        bool escape = s.p[i] == '~' && i + 1 < s.n && (s.p[i + 1] == '0' || s.p[i + 1] == '1');
        out[n++] = escape ? (s.p[++i] == '0' ? '~' : '/') : s.p[i];
    }
    out[n] = '\0';
    return slice_of(out, n);
}

/* An array index: digits without leading zeros. */
static bool parse_index(struct slice s, size_t *ret)
{
    uint64_t i;
    if ((s.n > 1 && s.p[0] == '0') || !slice_to_u64(s, &i))
        return false;
    *ret = (size_t)i;
    return true;
}

static struct json *step_into(struct json *box, struct slice step)
{
    size_t i;
    if (json_is(box, JSON_ARRAY))
        return parse_index(step, &i) ? json_at(box, i) : NULL;
    return json_get(box, step);
}

static int resolve(struct patcher *p, struct slice pointer, struct place *ret)
{
    struct slice rest = slice_from(pointer, 1), step;
    *ret = (struct place){.at = p->root};
    if (pointer.n == 0)
        return 0;
    if (pointer.p[0] != '/')
        return reject(p, "the path must start with '/'", pointer);
    for (bool more = true; more;) {
        more = slice_cut(rest, '/', &step, &rest);
        if (!ret->at || ret->at->type < JSON_ARRAY)
            return reject(p, "the path does not exist", pointer);
        ret->box = ret->at;
        ret->step = unescape(p->a, step);
        ret->at = step_into(ret->box, ret->step);
        ret->depth++;
    }
    return 0;
}

static size_t depth_of(const struct json *v)
{
    size_t deepest = 0;
    json_each (it, v) {
        size_t d = depth_of(it);
        if (d > deepest)
            deepest = d;
    }
    return v && v->type >= JSON_ARRAY ? deepest + 1 : 0;
}

static int put(struct patcher *p, struct slice pointer, struct json *v)
{
    struct place at;
    size_t i;
    int rv = resolve(p, pointer, &at);
    if (rv)
        return rv;
    if (!v || at.depth + depth_of(v) > JSON_DEPTH_MAX)
        return reject(p, "the result would be too deep or too large", pointer);
    if (!at.box) {
        p->root = v;
        return 0;
    }
    if (at.box->type == JSON_OBJECT) {
        json_set(p->a, at.box, at.step, v);
        return 0;
    }
    if (slice_eq_str(at.step, "-")) {
        json_append(at.box, v);
        return 0;
    }
    if (!parse_index(at.step, &i) || i > json_len(at.box))
        return reject(p, "the index is out of range", pointer);
    json_insert(at.box, i, v);
    return 0;
}

/* Takes out what stands there. */
static int take(struct patcher *p, struct slice pointer, struct json **ret)
{
    struct place at;
    size_t i;
    int rv = resolve(p, pointer, &at);
    if (rv)
        return rv;
    if (!at.at || !at.box)
        return reject(p, "the path does not exist", pointer);
    *ret = at.at;
    if (at.box->type == JSON_OBJECT)
        json_del(at.box, at.step);
    else if (parse_index(at.step, &i))
        json_remove_at(at.box, i);
    return 0;
}

static int replace(struct patcher *p, struct slice pointer, const struct json *value)
{
    struct place at;
    int rv = resolve(p, pointer, &at);
    if (rv)
        return rv;
    struct json *copy = json_clone(p->a, value);
    if (!at.at)
        return reject(p, "the path does not exist", pointer);
    if (!copy || at.depth + depth_of(copy) > JSON_DEPTH_MAX)
        return reject(p, "the result would be too deep or too large", pointer);
    json_assign(at.at, copy);
    return 0;
}

static int test(struct patcher *p, struct slice pointer, const struct json *value)
{
    struct place at;
    int rv = resolve(p, pointer, &at);
    if (rv)
        return rv;
    bool both_null = json_is(value, JSON_NULL) && !at.at;
    return both_null || json_equal(at.at, value) ? 0 : reject(p, "the test failed", pointer);
}

static int move(struct patcher *p, struct slice from, struct slice to)
{
    struct json *v = NULL;
    bool inside = slice_starts(to, from) && to.n > from.n && to.p[from.n] == '/';
    if (inside)
        return reject(p, "a value cannot be moved into itself", to);
    int rv = take(p, from, &v);
    return rv ? rv : put(p, to, v);
}

static int copy(struct patcher *p, struct slice from, struct slice to)
{
    struct place at;
    int rv = resolve(p, from, &at);
    if (rv)
        return rv;
    return at.at ? put(p, to, json_clone(p->a, at.at)) : reject(p, "the path does not exist", from);
}

static int apply(struct patcher *p, const struct json *op)
{
    struct slice name = json_string(json_get_str(op, "op"));
    const struct json *path = json_get_str(op, "path"), *from = json_get_str(op, "from");
    const struct json *value = json_get_str(op, "value");
    struct slice to = json_string(path);
    struct json *removed;
    if (!json_is(path, JSON_STRING))
        return reject(p, "a path is needed", name);
    if (slice_eq_str(name, "remove"))
        return take(p, to, &removed);
    if (slice_eq_str(name, "move") || slice_eq_str(name, "copy")) {
        if (!json_is(from, JSON_STRING))
            return reject(p, "a from path is needed", name);
        return slice_eq_str(name, "move") ? move(p, from->u.string, to) : copy(p, from->u.string, to);
    }
    if (!value)
        return reject(p, "a value is needed", name);
    if (slice_eq_str(name, "add"))
        return put(p, to, json_clone(p->a, value));
    if (slice_eq_str(name, "replace"))
        return replace(p, to, value);
    if (slice_eq_str(name, "test"))
        return test(p, to, value);
    return reject(p, "unknown operation", name);
}

struct json *patch_json(struct arena *a, const struct json *obj, const struct json *patch, struct status *st)
{
    struct patcher p = {.a = a, .root = json_clone(a, obj), .st = st};
    if (!json_is(patch, JSON_ARRAY)) {
        status_set(st, a, 400, "error decoding patch: a JSON patch is an array of operations");
        return NULL;
    }
    if (json_len(patch) > PATCH_OPERATIONS_MAX) {
        status_set(st, a, 413, "The allowed maximum operations in a JSON patch is %d, got %zu", PATCH_OPERATIONS_MAX,
                   json_len(patch));
        return NULL;
    }
    json_each (it, patch) {
        if (!json_is(it, JSON_OBJECT)) {
            status_set(st, a, 400, "error decoding patch: an operation is an object");
            return NULL;
        }
        if (apply(&p, it))
            return NULL;
        p.i++;
    }
    if (!arena_error(a))
        return p.root;
    status_errno(st, a, arena_error(a), "the patched object");
    return NULL;
}

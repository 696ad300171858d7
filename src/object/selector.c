#include "object/selector.h"

#include <errno.h>
#include <stdlib.h>

#include "object/path.h"
#include "object/selector_parse.h"

/* ---- sets of terms ---- */

static int by_key(const void *a, const void *b)
{
    return slice_cmp(((const struct selector_term *)a)->key, ((const struct selector_term *)b)->key);
}

static bool has_value(const struct selector_term *t, struct slice value)
{
    return t->n_values && bsearch(&value, t->values, t->n_values, sizeof value, slice_order);
}

/* Kinds outside of namespaces that have labels of their own take no other; the rest is given the two of all kinds. */
static const struct resource_selectable *selectable(const struct resource *res, struct slice label)
{
    static const struct resource_selectable always[] = {
        {"metadata.name", "metadata.name", ""},
        {"metadata.namespace", "metadata.namespace", ""},
    };
    size_t n = res->namespaced || res->n_selectable == 0 ? 2 : 1;
    for (size_t i = 0; i < n; i++)
        if (slice_eq_str(label, always[i].label))
            return &always[i];
    for (size_t i = 0; i < res->n_selectable; i++)
        if (slice_eq_str(label, res->selectable[i].label))
            return &res->selectable[i];
    return NULL;
}

void selector_sort(struct selector_term *terms, size_t n, struct selector *ret)
{
    if (n)
        qsort(terms, n, sizeof *terms, by_key);
    *ret = (struct selector){.terms = terms, .n = n};
}

bool selector_has_field(const struct resource *res, struct slice label)
{
    return selectable(res, label) != NULL;
}

/* ---- from objects ---- */

static struct slice *one_value(struct arena *a, struct slice value)
{
    struct slice *v = arena_alloc(a, sizeof *v);
    if (v)
        *v = arena_copy(a, value);
    return v && v->p ? v : NULL;
}

static int term_equals(struct arena *a, struct selector_term *t, struct slice key, struct slice value)
{
    *t = (struct selector_term){
        .key = arena_copy(a, key), .op = SELECTOR_IN, .exact = true, .values = one_value(a, value), .n_values = 1};
    return arena_error(a);
}

/* {"k": "v", …} → terms; returns how many, or a negative errno. */
static int terms_from_map(struct arena *a, const struct json *map, struct selector_term *terms)
{
    int n = 0;
    json_each (it, map) {
        if (it->type != JSON_STRING)
            return -EINVAL;
        int rv = term_equals(a, &terms[n++], it->key, it->u.string);
        if (rv)
            return rv;
    }
    return n;
}

static bool operator_of(struct slice s, enum selector_op *ret)
{
    static const struct {
        const char *name;
        enum selector_op op;
    } names[] = {
        {"In", SELECTOR_IN},         {"NotIn", SELECTOR_NOT_IN},
        {"Exists", SELECTOR_EXISTS}, {"DoesNotExist", SELECTOR_NOT_EXISTS},
        {"Gt", SELECTOR_GREATER},    {"Lt", SELECTOR_LESS},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (slice_eq_str(s, names[i].name)) {
            *ret = names[i].op;
            return true;
        }
    }
    return false;
}

/* {key, operator, values} → one term. */
static int term_from_expression(struct arena *a, const struct json *e, struct selector_term *t)
{
    const struct json *values = json_get_str(e, "values");
    struct slice key = json_string(json_get_str(e, "key"));
    size_t n = 0;
    *t = (struct selector_term){.key = arena_copy(a, key)};
    if (key.n == 0 || !operator_of(json_string(json_get_str(e, "operator")), &t->op))
        return -EINVAL;
    bool wants_values = t->op == SELECTOR_IN || t->op == SELECTOR_NOT_IN;
    bool wants_one = t->op == SELECTOR_GREATER || t->op == SELECTOR_LESS;
    if (wants_one ? json_len(values) != 1 : wants_values != (json_len(values) > 0))
        return -EINVAL;
    struct slice *list = arena_alloc(a, (json_len(values) + 1) * sizeof *list);
    if (!list)
        return arena_error(a);
    json_each (it, values)
        list[n++] = arena_copy(a, json_string(it));
    qsort(list, n, sizeof *list, slice_order);
    t->values = list;
    t->n_values = n;
    return arena_error(a);
}

int selector_from_object(struct arena *a, const struct json *label_selector, struct selector *ret)
{
    if (!label_selector || label_selector->type == JSON_NULL) {
        *ret = (struct selector){.nothing = true};
        return 0;
    }
    const struct json *map = json_get_str(label_selector, "matchLabels");
    const struct json *expressions = json_get_str(label_selector, "matchExpressions");
    struct selector_term *terms = arena_alloc(a, (json_len(map) + json_len(expressions) + 1) * sizeof *terms);
    if (!terms)
        return arena_error(a);
    int n = terms_from_map(a, map, terms);
    json_each (it, expressions) {
        if (n < 0)
            break;
        int rv = term_from_expression(a, it, &terms[n]);
        n = rv ? rv : n + 1;
    }
    if (n < 0)
        return n;
    selector_sort(terms, (size_t)n, ret);
    return 0;
}

int selector_from_map(struct arena *a, const struct json *map, struct selector *ret)
{
    if (json_len(map) == 0) {
        *ret = (struct selector){.nothing = true};
        return 0;
    }
    struct selector_term *terms = arena_alloc(a, json_len(map) * sizeof *terms);
    if (!terms)
        return arena_error(a);
    int n = terms_from_map(a, map, terms);
    if (n < 0)
        return n;
    selector_sort(terms, (size_t)n, ret);
    return 0;
}

/* ---- matching ---- */

static bool compare_number(const struct selector_term *t, struct slice value)
{
    int64_t have, want;
    if (!slice_to_i64(value, &have) || t->n_values != 1 || !slice_to_i64(t->values[0], &want))
        return false;
    return t->op == SELECTOR_GREATER ? have > want : have < want;
}

/* value.p is NULL when the key is absent. */
static bool term_matches(const struct selector_term *t, struct slice value)
{
    switch (t->op) {
    case SELECTOR_IN:
        return value.p && has_value(t, value);
    case SELECTOR_NOT_IN:
        return !value.p || !has_value(t, value);
    case SELECTOR_EXISTS:
        return value.p;
    case SELECTOR_NOT_EXISTS:
        return !value.p;
    case SELECTOR_GREATER:
    case SELECTOR_LESS:
        break;
    }
    return value.p && compare_number(t, value);
}

bool selector_matches(const struct selector *s, bool fields, struct slice (*get)(const void *ctx, struct slice key),
                      const void *ctx)
{
    if (s->nothing)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        struct slice value = get(ctx, s->terms[i].key);
        if (fields && !value.p)
            value = SLICE("");
        if (!term_matches(&s->terms[i], value))
            return false;
    }
    return true;
}

static struct slice label_value(const void *labels, struct slice key)
{
    const struct json *v = json_get(labels, key);
    struct slice s = json_string(v);
    return json_is(v, JSON_STRING) && !s.p ? SLICE("") : s;
}

bool selector_matches_labels(const struct selector *s, const struct json *labels)
{
    return selector_matches(s, false, label_value, labels);
}

/* ---- selectable fields ---- */

struct slice selector_field_value(struct arena *a, const struct resource *res, const struct json *obj,
                                  struct slice label)
{
    const struct resource_selectable *f = selectable(res, label);
    if (!f)
        return SLICE_NONE;
    struct slice text = path_text(a, path_first(obj, slice_str(f->path)));
    return text.p ? text : slice_str(f->fallback);
}

bool selector_matches_fields(const struct selector *s, const struct resource *res, const struct json *obj)
{
    struct arena scratch;
    bool matches = !s->nothing;
    arena_init(&scratch, 64 << 10);
    for (size_t i = 0; i < s->n && matches; i++) {
        struct slice value = selector_field_value(&scratch, res, obj, s->terms[i].key);
        matches = term_matches(&s->terms[i], value.p ? value : SLICE(""));
    }
    arena_done(&scratch);
    return matches;
}

struct slice selector_exact(const struct selector *s, struct slice key)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->terms[i].op == SELECTOR_IN && s->terms[i].n_values == 1 && slice_eq(s->terms[i].key, key))
            return s->terms[i].values[0];
    return SLICE_NONE;
}

/* ---- writing ---- */

static void write_values(struct buf *out, const struct selector_term *t)
{
    buf_add_char(out, '(');
    for (size_t i = 0; i < t->n_values; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_slice(out, t->values[i]);
    }
    buf_add_char(out, ')');
}

static void write_term(struct buf *out, const struct selector_term *t)
{
    static const char *const one[] = {"=", "!=", "", "", ">", "<"};
    if (t->op == SELECTOR_NOT_EXISTS)
        buf_add_char(out, '!');
    buf_add_slice(out, t->key);
    if (t->op == SELECTOR_EXISTS || t->op == SELECTOR_NOT_EXISTS)
        return;
    if (t->exact) {
        buf_add_str(out, one[t->op]);
        buf_add_slice(out, t->values[0]);
        return;
    }
    buf_add_str(out, t->op == SELECTOR_IN ? " in " : " notin ");
    write_values(out, t);
}

int selector_write(struct buf *out, const struct selector *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (i)
            buf_add_char(out, ',');
        write_term(out, &s->terms[i]);
    }
    return buf_reserve(out, 0);
}

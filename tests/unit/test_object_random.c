/* Everything that walks objects, over random objects of every kind: no crash, and what must hold holds. The seed is
 * fixed, so that a failure comes again. */
#include "unit_json.h"

#include "object/apply.h"
#include "object/check.h"
#include "object/defaults.h"
#include "object/patch.h"
#include "object/print.h"
#include "object/protobuf.h"
#include "object/validate.h"

enum { ROUNDS = 12, ROUND_TRIPS = 2000, DEPTH = 9 };

struct random {
    struct arena *a;
    uint64_t state;
    unsigned wrong; /* one value in this many has another type; 0 = none */
};

static unsigned below(struct random *r, unsigned n)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (unsigned)((r->state >> 33) % n);
}

static struct json *text(struct random *r, const char *const *list, unsigned n)
{
    return json_new_str(r->a, list[below(r, n)]);
}

static struct json *anything(struct random *r)
{
    switch (below(r, 7)) {
    case 0:
        return json_new_null(r->a);
    case 1:
        return json_new_bool(r->a, below(r, 2));
    case 2:
        return json_new_int(r->a, (int64_t)below(r, 100000) - 50000);
    case 3:
        return json_new_real(r->a, below(r, 1000) / 7.0);
    case 4:
        return json_of(r->a, "[1,[null],{'a':[]}]");
    case 5:
        return json_of(r->a, "{'x':{'y':null},'f:z':[]}");
    default:
        return json_new_str(r->a, "text");
    }
}

static struct json *value(struct random *r, const struct schema_field *f, unsigned depth);

/* Members of schemas that are one of two things, so not quite anything. NULL for all others. */
static struct json *one_of_two(struct random *r, const struct schema_field *f)
{
    bool first = below(r, 2);
    if (slice_eq_str(f->name, "additionalProperties") || slice_eq_str(f->name, "additionalItems"))
        return first ? json_new_bool(r->a, below(r, 2)) : json_of(r->a, "{'type':'t'}");
    if (slice_eq_str(f->name, "items"))
        return json_of(r->a, first ? "{'type':'t'}" : "[{'type':'t'},{'minLength':1}]");
    return slice_eq_str(f->name, "dependencies") ? json_of(r->a, first ? "{'d':['a','b']}" : "{'d':{'type':'t'}}")
                                                 : NULL;
}

static struct json *object(struct random *r, const struct schema_type *t, unsigned depth)
{
    struct json *o = json_new_object(r->a);
    for (size_t i = 0; i < t->n_fields; i++)
        if (below(r, depth < 3 ? 3 : 5) < 2 && depth < DEPTH)
            json_set(r->a, o, t->fields[i].name, value(r, &t->fields[i], depth + 1));
    if (r->wrong && below(r, 8) == 0)
        json_set_str(r->a, o, "unheardOf", anything(r));
    return o;
}

static struct json *items(struct random *r, const struct schema_field *f, unsigned depth)
{
    static const char *const keys[] = {"a", "b.c/d", "app", "cpu", "memory", "limits.cpu", ""};
    struct json *box = f->kind == SCHEMA_MAP ? json_new_object(r->a) : json_new_array(r->a);
    for (unsigned n = below(r, 4); n > 0; n--) {
        struct json *v = value(r, f->item, depth + 1);
        if (f->kind == SCHEMA_MAP)
            json_set(r->a, box, slice_str(keys[below(r, 7)]), v);
        else
            json_append(box, v);
    }
    return box;
}

static struct json *scalar(struct random *r, const struct schema_field *f)
{
    static const char *const words[] = {"", "a", "web", "Always", "x/y", "10.0.0.1", "metadata.name", "A b", "None"};
    static const char *const amounts[] = {"1", "100m", "1.5Gi", "1n", "-3", "2e3", "0", "1E"};
    static const char *const times[] = {"2026-01-02T03:04:05Z", "1969-12-31T23:59:59.5Z",
                                        "2026-01-02T03:04:05.123456+02:00"};
    switch (f->kind) {
    case SCHEMA_BOOL:
        return json_new_bool(r->a, below(r, 2));
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return json_new_int(r->a, (int64_t)below(r, 5) * below(r, 40000) - 3);
    case SCHEMA_DOUBLE:
        return json_new_real(r->a, below(r, 100) / 4.0);
    case SCHEMA_QUANTITY:
        return text(r, amounts, 8);
    case SCHEMA_INT_OR_STRING:
        return below(r, 2) ? json_new_int(r->a, below(r, 70000)) : json_new_str(r->a, below(r, 2) ? "25%" : "http");
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return text(r, times, 3);
    case SCHEMA_BYTES:
        return json_new_str(r->a, below(r, 2) ? "AAEC/w==" : "");
    case SCHEMA_RAW:
    case SCHEMA_ANY:
        return json_of(r->a, "{'k':[1,{'x':'y'}]}");
    default:
        if (f->enums && below(r, 4))
            return json_new_str(r->a, f->enums[f->enums[1] ? below(r, 2) : 0]);
        return text(r, words, 9);
    }
}

static struct json *value(struct random *r, const struct schema_field *f, unsigned depth)
{
    if (r->wrong && below(r, r->wrong) == 0)
        return anything(r);
    bool any = f->kind == SCHEMA_ANY || (f->kind == SCHEMA_MAP && f->item->kind == SCHEMA_ANY);
    struct json *special = any ? one_of_two(r, f) : NULL;
    if (special)
        return special;
    if (f->kind == SCHEMA_REF)
        return object(r, f->type, depth);
    return f->kind == SCHEMA_ARRAY || f->kind == SCHEMA_MAP ? items(r, f, depth) : scalar(r, f);
}

static struct json *named(struct random *r, const struct resource *res, unsigned wrong)
{
    r->wrong = wrong;
    struct json *o = object(r, res->type, 0);
    json_set_str(r->a, o, "kind", json_new_str(r->a, res->kind));
    json_set_str(r->a, o, "apiVersion", json_new_str(r->a, res->api_version));
    return o;
}

/* False when it is refused. */
static bool checked(struct arena *a, const struct resource *res, struct json *o)
{
    struct check c = {.a = a, .mode = CHECK_WARN};
    struct status st = {0};
    int rv = check_object(&c, res->type, o, &st);
    assert_true(rv == 0 || rv == 400);
    return rv == 0;
}

static void assert_stable(struct arena *a, const struct resource *res, struct json *o)
{
    const char *once = json_text(a, o);
    assert_true(checked(a, res, o));
    assert_string_equal(json_text(a, o), once);
    assert_int_equal(defaults_apply(a, res->type, o, 0), 0);
    once = json_text(a, o);
    assert_int_equal(defaults_apply(a, res->type, o, 0), 0);
    assert_string_equal(json_text(a, o), once);
}

static void drop_empty(const struct schema_type *t, struct json *o);

static void drop_inside(const struct schema_field *f, struct json *v)
{
    if (f->kind == SCHEMA_REF)
        drop_empty(f->type, v);
    else if (f->kind == SCHEMA_ARRAY || f->kind == SCHEMA_MAP)
        json_each (it, v)
            drop_inside(f->item, it);
}

/* Protobuf tells no empty list or map from none, and no time at the epoch; objects inside objects have no kind there. */
static bool lost(const struct schema_field *f, const struct json *v)
{
    bool list = f->kind == SCHEMA_ARRAY || f->kind == SCHEMA_MAP;
    bool time = f->kind == SCHEMA_TIME || f->kind == SCHEMA_MICRO_TIME;
    return !f->pb || (list && !json_len(v)) || (time && slice_starts(json_string(v), SLICE("1970-01-01T00:00:00")));
}

static void drop_empty(const struct schema_type *t, struct json *o)
{
    for (struct json *it = json_first(o), *next; it; it = next) {
        const struct schema_field *f = schema_field_find(t, it->key);
        next = it->next;
        if (f && lost(f, it))
            json_del(o, it->key);
        else if (f)
            drop_inside(f, it);
    }
}

static void assert_protobuf(struct arena *a, const struct resource *res, const struct json *o)
{
    struct buf out = BUF_INIT(16 << 20);
    struct status st = {0};
    assert_int_equal(protobuf_encode(&out, res->type, o), 0);
    struct json *back = protobuf_decode(a, res->type, buf_slice(&out), &st);
    buf_done(&out);
    if (!back)
        fail_msg("%s", st.message);
    assert_true(checked(a, res, back));
    struct json *sent = json_clone(a, o);
    assert_true(checked(a, res, sent)); /* a default may be a zero that is not written */
    drop_empty(res->type, sent);
    drop_empty(res->type, back);
    const char *want = json_text(a, sent), *got = json_text(a, back);
    size_t same = 0, from;
    while (want[same] && want[same] == got[same])
        same++;
    from = same < 80 ? 0 : same - 80;
    if (want[same] || got[same])
        fail_msg("%s: sent …%.160s, back came …%.160s", res->kind, want + from, got + from);
}

static void use(struct arena *a, const struct resource *res, struct json *o, struct json *other)
{
    struct status st = {0};
    struct apply_request rq = {.res = res, .manager = SLICE("m"), .force = true};
    validate_create(a, res, o, &st);
    validate_update(a, res, SLICE(""), o, other, &st);
    assert_int_equal(json_len(print_cells(a, res, o, 0)), res->n_columns ? res->n_columns : 2);
    st = (struct status){0};
    struct json *patched = patch_strategic(a, res->type, o, other, &st);
    assert_true(patched || st.code);
    st = (struct status){0};
    assert_non_null(patch_merge(a, o, other, &st));
    struct json *tracked = json_clone(a, o);
    assert_int_equal(apply_track_update(a, &rq, NULL, tracked), 0);
    st = (struct status){0};
    json_del_str(json_get_str(other, "metadata"), "managedFields");
    struct json *applied = apply_patch(a, &rq, tracked, other, &st);
    assert_true(applied || st.code);
}

/* Returns how many objects went all the way. */
static size_t run(struct arena *a, unsigned wrong, uint64_t seed)
{
    size_t n = 0;
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        struct random r = {.a = a, .state = seed + i * 7919 + 1};
        struct json *o = named(&r, res, wrong), *other = named(&r, res, wrong);
        bool fine = checked(a, res, o), both = fine && checked(a, res, other);
        assert_true(wrong || fine);
        if (!both)
            continue;
        assert_stable(a, res, o);
        assert_stable(a, res, other);
        assert_protobuf(a, res, o);
        use(a, res, o, other);
        n++;
    }
    return n;
}

static void test_right_types(void **state)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        assert_int_equal(run(*state, 0, 0x9e3779b97f4a7c15u * (round + 1)), resource_count());
        arena_done(*state);
    }
}

/* Thousands of each kind there and back, by themselves. */
static void test_round_trips(void **state)
{
    for (uint64_t round = 0; round < ROUND_TRIPS; round++) {
        for (size_t i = 0; i < resource_count(); i++) {
            const struct resource *res = resource_at(i);
            struct random r = {.a = *state, .state = round * 15485863 + i * 7919 + 1};
            struct json *o = named(&r, res, 0);
            assert_true(checked(*state, res, o));
            assert_protobuf(*state, res, o);
        }
        arena_done(*state);
    }
}

static void test_wrong_types(void **state)
{
    size_t n = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        n += run(*state, 300, 0xc2b2ae3d27d4eb4fu * (round + 1));
        arena_done(*state);
    }
    assert_true(n > 0 && n < ROUNDS * resource_count());
}

/* What handlers have is unchecked where a stored value comes from elsewhere: printing must not trust it. */
static void test_printing_unchecked(void **state)
{
    struct arena *a = *state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < resource_count(); i++) {
            struct random r = {.a = a, .state = round * 104729 + i + 1};
            struct json *o = named(&r, resource_at(i), 6);
            assert_non_null(print_row(a, resource_at(i), o, 0, print_partial(a, o)));
        }
        arena_done(a);
    }
}

/* ---- shortage ---- */

static const char deployment[] =
    "{'apiVersion':'apps/"
    "v1','kind':'Deployment','metadata':{'name':'d','namespace':'n','labels':{'a':'b'}},'spec':{'selector':{"
    "'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'"
    ",'ports':[{"
    "'containerPort':80}]}]}}}}";

/* The whole way of a write; false when something ran short. */
static bool whole_way(struct arena *a, struct slice json)
{
    const struct resource *res = resource_by_api_version(SLICE("apps/v1"), SLICE("Deployment"));
    struct check c = {.a = a};
    struct status st = {0};
    struct apply_request rq = {.res = res, .manager = SLICE("m")};
    struct json *o = json_parse(a, json, NULL, NULL, NULL), *patch = json_clone(a, o), *copy;
    if (!patch || check_object(&c, res->type, o, &st) || defaults_apply(a, res->type, o, 0) ||
        validate_create(a, res, o, &st) || apply_track_update(a, &rq, NULL, o))
        return false;
    copy = patch_strategic(a, res->type, o, patch, &st);
    rq.force = true;
    if (!copy || !apply_patch(a, &rq, o, patch, &st) || !print_cells(a, res, copy, 0))
        return false;
    return arena_error(a) == 0;
}

static void test_little_memory(void **state)
{
    struct slice json = slice_str(deployment);
    struct arena *outer = *state;
    json = arena_copy(outer, json);
    for (size_t i = 0; i < json.n; i++)
        if (json.p[i] == '\'')
            ((char *)json.p)[i] = '"';
    bool done = false;
    for (size_t max = 100; !done; max += max / 16 + 8) {
        struct arena a;
        arena_init(&a, max);
        done = whole_way(&a, json);
        arena_done(&a);
    }
    done = false;
    for (long n = 1; !done; n++) {
        struct arena a;
        arena_init(&a, 64 << 20);
        mem_fail_at(n);
        done = whole_way(&a, json);
        mem_fail_at(0);
        assert_true(done || mem_failed());
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_right_types), unit(test_round_trips), unit(test_wrong_types),
                                       unit(test_printing_unchecked), unit(test_little_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

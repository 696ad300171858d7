/* Thousands of valid objects of every kind, and thousands with one fault each.
 *
 * A valid one is a kind's example (tests/data/kinds.jsonl) with random members added one by one, each kept only if the
 * object is still valid. What must hold: defaults twice are defaults once, a write of the same is no change, patches
 * lead there and back, what is applied is what is there. A faulty one is a valid one with one value changed against one
 * rule of the tables, drawn at random: it is refused, and the field is named. */
#include "unit_json.h"

#include <stdlib.h>

#include "object/apply.h"
#include "object/check.h"
#include "object/defaults.h"
#include "object/meta.h"
#include "object/patch.h"
#include "object/path.h"
#include "object/protobuf.h"
#include "object/validate.h"

enum {
    ROUNDS = 30,
    ADDITIONS = 14,
    FAULTS = 24,
    EXAMPLES_MAX = 100,
    DEPTH = 5,
    FILE_MAX = 1 << 20,
    TOO_MANY_MAX = 1000,
    PLACES_MAX = 4000
};

static uint64_t seed;

static unsigned below(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 33) % n);
}

struct example {
    const struct resource *res;
    struct json *obj;
};

static size_t read_examples(struct arena *a, struct example *list)
{
    static char text[FILE_MAX];
    FILE *f = fopen(KINDS_FILE, "r");
    size_t n = 0;
    assert_non_null(f);
    struct slice rest = slice_of(text, fread(text, 1, sizeof text, f)), line;
    fclose(f);
    while (rest.n && n < EXAMPLES_MAX) {
        slice_cut(rest, '\n', &line, &rest);
        struct json *o = line.n ? json_parse(a, line, NULL, NULL, NULL) : NULL;
        assert_true(o || !line.n);
        if (!o)
            continue;
        list[n].res = resource_by_api_version(meta_api_version(o), meta_kind(o));
        assert_non_null(list[n].res);
        meta_set_resource_version(a, o, 1);
        list[n++].obj = o;
    }
    return n;
}

/* Brings o into its stored form. False when it is refused; *st says why. */
static bool complete(struct arena *a, const struct resource *res, struct json *o, struct status *st)
{
    struct check c = {.a = a, .mode = CHECK_WARN};
    *st = (struct status){0};
    if (check_object(&c, res->type, o, st))
        return false;
    assert_int_equal(defaults_apply(a, res->type, o, 0), 0);
    return validate_create(a, res, o, st) == 0;
}

/* ---- random members ---- */

static struct json *random_value(struct arena *a, const struct schema_field *f, unsigned depth);

static struct json *random_object(struct arena *a, const struct schema_type *t, unsigned depth)
{
    struct json *o = json_new_object(a);
    for (size_t i = 0; i < t->n_fields; i++)
        if ((t->fields[i].flags & SCHEMA_REQUIRED) || (depth < DEPTH && below(5) == 0))
            json_set(a, o, t->fields[i].name, random_value(a, &t->fields[i], depth + 1));
    return o;
}

static struct json *random_text(struct arena *a, const struct schema_field *f)
{
    static const char *const words[] = {"a",          "web",  "example.com/a", "10.0.0.1",
                                        "10.0.0.0/8", "/p",   "metadata.name", "b.c",
                                        "Never",      "True", "AAAA",          "v1"};
    size_t n = 0;
    while (f->enums && f->enums[n])
        n++;
    return json_new_str(a, n ? f->enums[below((unsigned)n)] : words[below(sizeof words / sizeof *words)]);
}

static struct json *random_value(struct arena *a, const struct schema_field *f, unsigned depth)
{
    static const char *const amounts[] = {"1", "100m", "1Gi", "2k"};
    struct json *box;
    if (depth > DEPTH + 2)
        return NULL;
    switch (f->kind) {
    case SCHEMA_BOOL:
        return json_new_bool(a, below(2));
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return json_new_int(a, below(2) ? below(5) : below(70000));
    case SCHEMA_DOUBLE:
        return json_new_real(a, below(9) / 2.0);
    case SCHEMA_QUANTITY:
        return json_new_str(a, amounts[below(4)]);
    case SCHEMA_INT_OR_STRING:
        return below(2) ? json_new_int(a, 1 + below(90)) : json_new_str(a, below(2) ? "25%" : "http");
    case SCHEMA_TIME:
        return json_new_str(a, "2026-01-02T03:04:05Z");
    case SCHEMA_MICRO_TIME:
        return json_new_str(a, "2026-01-02T03:04:05.000006Z");
    case SCHEMA_DURATION:
        return json_new_str(a, "1m0s");
    case SCHEMA_BYTES:
        return json_new_str(a, "AAEC");
    case SCHEMA_RAW:
    case SCHEMA_ANY:
        return json_of(a, "{'k':[1,{'x':'y'}]}");
    case SCHEMA_REF:
        return random_object(a, f->type, depth);
    case SCHEMA_ARRAY:
        box = json_new_array(a);
        json_append(box, random_value(a, f->item, depth + 1));
        return box;
    case SCHEMA_MAP:
        box = json_new_object(a);
        json_set(a, box, SLICE("k"), random_value(a, f->item, depth + 1));
        return box;
    default:
        return random_text(a, f);
    }
}

/* Adds one member somewhere in o. */
static void add_somewhere(struct arena *a, const struct schema_type *t, struct json *o, unsigned depth)
{
    const struct schema_field *f = &t->fields[below(t->n_fields)];
    struct json *v = json_get(o, f->name);
    bool server = slice_eq_str(f->name, "status") || slice_eq_str(f->name, "managedFields") ||
                  slice_eq_str(f->name, "kind") || slice_eq_str(f->name, "apiVersion");
    if (server)
        return;
    if (!v)
        json_set(a, o, f->name, random_value(a, f, depth));
    else if (f->kind == SCHEMA_REF && json_is(v, JSON_OBJECT))
        add_somewhere(a, f->type, v, depth + 1);
    else if (f->kind == SCHEMA_ARRAY && f->item->kind == SCHEMA_REF && json_len(v) && below(4))
        add_somewhere(a, f->item->type, json_at(v, below((unsigned)json_len(v))), depth + 1);
    else if (f->kind == SCHEMA_ARRAY)
        json_append(v, random_value(a, f->item, depth + 1));
}

/* A copy of o with what could be added to it. *tried and *kept count. */
static struct json *grow(struct arena *a, const struct resource *res, struct json *o, size_t *tried, size_t *kept)
{
    struct status st;
    for (unsigned i = 0; i < ADDITIONS; i++) {
        struct json *more = json_clone(a, o);
        for (unsigned n = 0; n < 3; n++)
            add_somewhere(a, res->type, more, 0);
        if (json_equal(more, o))
            continue;
        (*tried)++;
        if (!complete(a, res, more, &st))
            continue;
        (*kept)++;
        o = more;
    }
    return o;
}

/* ---- what holds for valid objects ---- */

static struct json *merge_diff(struct arena *a, const struct json *from, const struct json *to)
{
    struct json *patch = json_new_object(a);
    json_each (m, from)
        if (!json_get(to, m->key))
            json_set(a, patch, m->key, json_new_null(a));
    json_each (m, to) {
        const struct json *before = json_get(from, m->key);
        if (before && json_equal(before, m))
            continue;
        bool both = json_is(before, JSON_OBJECT) && m->type == JSON_OBJECT;
        json_set(a, patch, m->key, both ? merge_diff(a, before, m) : json_clone(a, m));
    }
    return patch;
}

static void assert_same(struct arena *a, const char *what, const struct json *x, const struct json *y)
{
    if (!x || !json_equal(x, y))
        fail_msg("%s: differs in %s; wanted %s", what, x ? json_text(a, merge_diff(a, y, x)) : "everything",
                 json_text(a, y));
}

static void check_twice(struct arena *a, const struct resource *res, const struct json *o)
{
    struct json *again = json_clone(a, o);
    struct status st;
    assert_true(complete(a, res, again, &st));
    assert_string_equal(json_text(a, again), json_text(a, o));
    if (validate_update(a, res, SLICE(""), o, o, &st))
        fail_msg("%s", st.message ? st.message : "");
}

static const char *pointer(struct arena *a, const char *at, struct slice key)
{
    struct buf b = BUF_INIT(4096);
    buf_printf(&b, "%s/", at);
    for (size_t i = 0; i < key.n; i++)
        buf_printf(&b, key.p[i] == '~' ? "~0" : key.p[i] == '/' ? "~1" : "%c", key.p[i]);
    const char *s = arena_copy(a, buf_slice(&b)).p;
    buf_done(&b);
    return s;
}

static void add_operation(struct arena *a, struct json *patch, const char *op, const char *path, const struct json *v)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "op", json_new_str(a, op));
    json_set_str(a, o, "path", json_new_str(a, path));
    if (v)
        json_set_str(a, o, "value", json_clone(a, v));
    json_append(patch, o);
}

static void json_diff(struct arena *a, struct json *patch, const char *at, const struct json *from,
                      const struct json *to)
{
    json_each (m, from) {
        const char *path = pointer(a, at, m->key);
        const struct json *now = json_get(to, m->key);
        if (!now) {
            add_operation(a, patch, "test", path, m);
            add_operation(a, patch, "remove", path, NULL);
        } else if (m->type == JSON_OBJECT && now->type == JSON_OBJECT) {
            json_diff(a, patch, path, m, now);
        } else if (!json_equal(m, now)) {
            add_operation(a, patch, "replace", path, now);
        }
    }
    json_each (m, to)
        if (!json_get(from, m->key))
            add_operation(a, patch, "add", pointer(a, at, m->key), m);
}

static void check_patches(struct arena *a, const struct resource *res, const struct json *x, const struct json *y)
{
    const struct json *ends[] = {x, y};
    struct status st = {0};
    for (size_t i = 0; i < 2; i++) { /* there and back */
        struct json *ops = json_new_array(a), *whole = json_new_object(a);
        assert_same(a, "merge patch", patch_merge(a, ends[i], merge_diff(a, ends[i], ends[!i]), &st), ends[!i]);
        json_diff(a, ops, "", ends[i], ends[!i]);
        assert_same(a, "JSON patch", patch_json(a, ends[i], ops, &st), ends[!i]);
        json_each (m, ends[!i])
            json_set(a, whole, m->key, json_clone(a, m));
        json_set_str(a, whole, "$patch", json_new_str(a, "replace"));
        assert_same(a, "replacing", patch_strategic(a, res->type, ends[i], whole, &st), ends[!i]);
    }
}

static void check_apply(struct arena *a, const struct resource *res, const struct json *o)
{
    struct apply_request rq = {.res = res, .manager = SLICE("m"), .now = 1000000000};
    struct status st = {0};
    struct json *patch = json_clone(a, o);
    json_del_str(json_get_str(patch, "metadata"), "resourceVersion");
    struct json *once = apply_patch(a, &rq, NULL, patch, &st);
    if (!once && st.code == 400) /* a random list may lack keys or have one twice */
        return;
    struct json *own = patch_strategic(a, res->type, o, o, &st);
    if (own || st.code != 400)
        assert_same(a, "an object as its own patch", own, o);
    st = (struct status){0};
    if (!once)
        fail_msg("%s", st.message ? st.message : "");
    rq.now *= 2;
    assert_same(a, "applied again", apply_patch(a, &rq, once, patch, &st), once);
    json_del_str(json_get_str(once, "metadata"), "managedFields");
    assert_same(a, "applied", once, patch);
}

static void check_protobuf(struct arena *a, const struct resource *res, const struct json *o)
{
    struct buf out = BUF_INIT(16 << 20);
    struct check c = {.a = a};
    struct status st = {0};
    assert_int_equal(protobuf_encode(&out, res->type, o), 0);
    struct json *back = protobuf_decode(a, res->type, buf_slice(&out), &st);
    buf_done(&out);
    if (!back || check_object(&c, res->type, back, &st))
        fail_msg("%s", st.message ? st.message : "");
    assert_int_equal(defaults_apply(a, res->type, back, 0), 0); /* kinds inside lists are not on the wire */
    assert_same(a, "protobuf", back, o);
}

static void test_valid(void **state)
{
    struct arena *a = *state;
    struct example list[EXAMPLES_MAX];
    size_t objects = 0, tried = 0, kept = 0;
    seed = 0x9e3779b97f4a7c15u;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t n = read_examples(a, list);
        for (size_t i = 0; i < n; i++) {
            const struct resource *res = list[i].res;
            struct status st;
            if (!complete(a, res, list[i].obj, &st)) {
                fail_msg("%s", st.message ? st.message : "");
            }
            struct json *x = grow(a, res, list[i].obj, &tried, &kept), *y = grow(a, res, list[i].obj, &tried, &kept);
            check_twice(a, res, x);
            check_patches(a, res, x, y);
            check_apply(a, res, x);
            check_protobuf(a, res, x);
            objects += 2;
        }
        arena_done(a);
    }
    print_message("%zu objects, %zu of %zu additions kept\n", objects, kept, tried);
    assert_true(objects > 1000 && kept > tried / 10);
}

static void test_every_kind_has_an_example(void **state)
{
    struct example list[EXAMPLES_MAX];
    size_t n = read_examples(*state, list);
    for (size_t i = 0; i < resource_count(); i++) {
        bool found = resource_at(i)->virtual;
        for (size_t k = 0; k < n; k++)
            found |= list[k].res == resource_at(i);
        if (!found)
            fail_msg("no example of %s %s", resource_at(i)->api_version, resource_at(i)->kind);
    }
}

/* ---- faults ---- */

/* A place in an object and a rule that may be broken there. */
struct place {
    const char *path, *check, *argument;
};

struct places {
    struct arena *a;
    struct place *list;
    size_t n;
};

static void note(struct places *p, const char *path, const char *check, const char *argument)
{
    if (p->n < PLACES_MAX)
        p->list[p->n++] = (struct place){path, check, argument};
}

static const char *below_path(struct arena *a, const char *path, struct slice member)
{
    return arena_printf(a, *path ? "%s.%" SLICE_FMT : "%s%" SLICE_FMT, path, SLICE_ARG(member));
}

static void collect(struct places *p, const struct schema_type *t, struct json *o, const char *path);

static void collect_value(struct places *p, const struct schema_field *f, struct json *v, const char *path)
{
    size_t i = 0;
    if (f->kind == SCHEMA_REF && json_is(v, JSON_OBJECT))
        collect(p, f->type, v, path);
    if (f->kind != SCHEMA_ARRAY && f->kind != SCHEMA_MAP)
        return;
    json_each (it, v)
        collect_value(p, f->item, it,
                      f->kind == SCHEMA_MAP ? arena_printf(p->a, "%s[%" SLICE_FMT "]", path, SLICE_ARG(it->key))
                                            : arena_printf(p->a, "%s[%zu]", path, i++));
}

static bool may_be_empty(const struct schema_type *t, struct slice name)
{
    for (size_t i = 0; i < t->n_checks; i++)
        if (slice_eq_str(name, t->checks[i].path) && strcmp(t->checks[i].check, "may-be-empty") == 0)
            return true;
    return false;
}

/* Everything that can be broken in o and below. */
static void collect(struct places *p, const struct schema_type *t, struct json *o, const char *path)
{
    for (size_t i = 0; i < t->n_checks; i++) {
        const struct schema_rule *r = &t->checks[i];
        struct slice rule_path = slice_str(r->path);
        if (rule_path.n && path_get(o, rule_path) && !slice_starts(rule_path, SLICE("status")))
            note(p, below_path(p->a, path, rule_path), r->check, r->argument);
    }
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct schema_field *f = &t->fields[i];
        struct json *v = json_get(o, f->name);
        const char *here = below_path(p->a, path, f->name);
        if (!v || slice_eq_str(f->name, "status") || slice_eq_str(f->name, "metadata"))
            continue;
        if (f->kind == SCHEMA_STRING && (f->flags & SCHEMA_REQUIRED) && !may_be_empty(t, f->name))
            note(p, here, "empty", "");
        if (f->kind == SCHEMA_STRING && f->enums && !(f->flags & SCHEMA_ENUM_KNOWN))
            note(p, here, "one-of", "");
        collect_value(p, f, v, here);
    }
}

/* The wrong value for a rule, or NULL when the rule is not one that a single value can break. */
static struct json *fault(struct arena *a, const struct place *at, const struct json *v)
{
    static const char *const named[][2] = {
        {"one-of", "Nonesuch"},
        {"subdomain", "-bad-"},
        {"label", "Bad_"},
        {"label-1035", "1bad"},
        {"qualified-name", "a/b/c"},
        {"path-segment", "a/b"},
        {"ip", "1.2.3"},
        {"cidr", "1.2.3.4"},
        {"port-name", "--"},
        {"config-key", "a b"},
        {"domain-path", "nopath"},
        {"absolute-path", "rel"},
        {"relative-path", "/abs"},
        {"file_path", "/abs"},
        {"no-backsteps", "/a/../b"},
        {"subdomain-any-case", "-b-"},
        {"label-value", "-b-"},
        {"qualified-any-case", "a/b/c"},
        {"full-domain", "a.b"},
        {"ingress_host", "-bad-"},
        {"cron_schedule", "* * *"},
        {"time_zone", "No Zone"},
        {"int-or-percent", "a%"},
        {"percent-max", "101%"},
        {"env_name", "a=b"},
        {"http_header_name", "a:b"},
        {"reachable-ip", "127.0.0.1"},
        {"port-reference", "--"},
        {"empty", ""},
        {"required", ""},
        {"container_image", ""},
        {"cidr-exact", "10.0.0.1/8"},
    };
    if (strcmp(at->check, "range") == 0) {
        long long min = atoll(at->argument);
        const char *cut = strchr(at->argument, ',');
        return json_new_int(a, cut && below(2) ? atoll(cut + 1) + 1 : min - 1);
    }
    if (strcmp(at->check, "port") == 0)
        return json_new_int(a, below(2) ? 0 : 70000);
    if (strcmp(at->check, "quantity") == 0)
        return json_new_str(a, "-1");
    if (strcmp(at->check, "required") == 0 && json_is(v, JSON_ARRAY))
        return json_new_array(a);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(at->check, named[i][0]) == 0 && json_is(v, JSON_STRING))
            return json_new_str(a, named[i][1]);
    return NULL;
}

/* The first item once more. */
static bool double_first(struct arena *a, const struct place *at, struct json *v)
{
    const struct json *first = json_first(v);
    bool unique = strncmp(at->check, "unique", 6) == 0 || strcmp(at->check, "must-be-unique") == 0;
    if (!unique || !first ||
        (first->type == JSON_OBJECT && strcmp(at->check, "unique") == 0 && !path_get_str(first, at->argument)))
        return false;
    json_append(v, json_clone(a, first));
    return true;
}

static bool too_many(struct arena *a, const struct place *at, struct json *v)
{
    if (strcmp(at->check, "max-items") != 0 || !json_is(v, JSON_ARRAY) || !json_first(v) ||
        atol(at->argument) > TOO_MANY_MAX)
        return false;
    for (long n = atol(at->argument); n >= 0; n--)
        json_append(v, json_clone(a, json_first(v)));
    return true;
}

static void assert_named(const struct place *at, const struct status *st, const char *before)
{
    for (const struct status_cause *c = st->causes; c; c = c->next)
        if (strncmp(c->field, at->path, strlen(at->path)) == 0)
            return;
    fail_msg("%s %s at %s was %s; answer: %d %s", at->check, at->argument, at->path, before, st->code,
             st->message ? st->message : "");
}

/* Breaks up to FAULTS rules of o, one at a time. Returns how many. */
static size_t break_some(struct arena *a, const struct resource *res, struct json *o)
{
    struct places p = {.a = a, .list = arena_alloc(a, PLACES_MAX * sizeof *p.list)};
    size_t broken = 0;
    collect(&p, res->type, o, "");
    for (unsigned i = 0; i < FAULTS && p.n; i++) {
        const struct place *at = &p.list[below((unsigned)p.n)];
        struct json *bad = json_clone(a, o), *v = path_get_str(bad, at->path);
        struct status st = {0};
        const char *before = json_text(a, v);
        struct json *wrong = fault(a, at, v);
        if (wrong)
            json_assign(v, wrong);
        else if (!double_first(a, at, v) && !too_many(a, at, v))
            continue;
        validate_create(a, res, bad, &st);
        assert_named(at, &st, before);
        broken++;
    }
    return broken;
}

static void test_faults(void **state)
{
    struct arena *a = *state;
    struct example list[EXAMPLES_MAX];
    size_t broken = 0, tried = 0, kept = 0;
    seed = 0xc2b2ae3d27d4eb4fu;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t n = read_examples(a, list);
        for (size_t i = 0; i < n; i++) {
            struct status st;
            if (!complete(a, list[i].res, list[i].obj, &st)) {
                fail_msg("%s", st.message ? st.message : "");
            }
            broken += break_some(a, list[i].res, grow(a, list[i].res, list[i].obj, &tried, &kept));
        }
        arena_done(a);
    }
    print_message("%zu faults, each refused by name\n", broken);
    assert_true(broken > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_every_kind_has_an_example), unit(test_valid), unit(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

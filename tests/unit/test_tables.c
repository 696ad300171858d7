/* The tables of tests/data against what objects become: each row of defaults.tsv in every kind that holds its type. */
#include "table.h"

#include "admission/admission.h"
#include "object/check.h"
#include "object/defaults.h"
#include "object/path.h"
#include "object/print.h"
#include "schema/tables.h"

enum { CHAIN_MAX = 24, NOW_SECONDS = 1000000000 };
static const int64_t now_ns = (int64_t)NOW_SECONDS * 1000000000;

/* ---- a type inside a kind ---- */

/* The way from a kind to a type: the fields that lead there. */
struct chain {
    const struct schema_type *root, *wanted;
    const struct schema_field *step[CHAIN_MAX];
    const struct schema_type *seen[CHAIN_MAX];
    size_t n;
};

typedef void chain_function(struct arena *a, struct table *t, const struct chain *c);

static const struct schema_type *held_by(const struct schema_field *f)
{
    while (f->kind == SCHEMA_ARRAY || f->kind == SCHEMA_MAP)
        f = f->item;
    return f->kind == SCHEMA_REF ? f->type : NULL;
}

static size_t each_chain(struct arena *a, struct table *t, struct chain *c, const struct schema_type *at,
                         chain_function *f)
{
    size_t found = at == c->wanted;
    if (found)
        f(a, t, c);
    if (c->n == CHAIN_MAX)
        return found;
    for (size_t i = 0; i < c->n; i++)
        if (c->seen[i] == at)
            return found;
    for (size_t i = 0; i < at->n_fields; i++) {
        const struct schema_type *next = held_by(&at->fields[i]);
        if (!next)
            continue;
        c->seen[c->n] = at;
        c->step[c->n++] = &at->fields[i];
        found += each_chain(a, t, c, next, f);
        c->n--;
    }
    return found;
}

/* obj in lists, maps and members, so that it stands where the chain leads; *ret_path says where. */
static struct json *wrap(struct arena *a, const struct chain *c, struct json *obj, const char **ret_path)
{
    const char *path = "";
    for (size_t i = c->n; i-- > 0;) {
        const struct schema_field *f = c->step[i];
        const char *inside = "";
        for (const struct schema_field *g = f; g->kind == SCHEMA_ARRAY || g->kind == SCHEMA_MAP; g = g->item) {
            struct json *box = g->kind == SCHEMA_ARRAY ? json_new_array(a) : json_new_object(a);
            if (g->kind == SCHEMA_ARRAY)
                json_append(box, obj);
            else
                json_set_str(a, box, "k", obj);
            inside = arena_printf(a, "%s%s", g->kind == SCHEMA_ARRAY ? "[0]" : "[k]", inside);
            obj = box;
        }
        struct json *outer = json_new_object(a);
        json_set(a, outer, f->name, obj);
        obj = outer;
        path = arena_printf(a, "%" SLICE_FMT "%s.%s", SLICE_ARG(f->name), inside, path);
    }
    *ret_path = path;
    return obj;
}

/* ---- defaults ---- */

enum { COL_TYPE, COL_WHEN, COL_PATH, COL_GIVEN, COL_WANT, COL_OTHER };

static struct json *defaulted(struct arena *a, struct table *t, const struct chain *c, struct json *given,
                              const char **ret_path)
{
    struct check check = {.a = a};
    struct status st = {0};
    struct json *o = wrap(a, c, given, ret_path);
    if (check_object(&check, c->root, o, &st))
        fail_msg("line %zu: %s", t->line, st.message ? st.message : "");
    assert_int_equal(defaults_apply(a, c->root, o, now_ns), 0);
    struct json *once = json_clone(a, o);
    assert_int_equal(defaults_apply(a, c->root, o, now_ns + 5000000000), 0);
    if (!json_equal(once, o))
        table_wrong(t, "defaults of defaults: %s not %s", json_text(a, o), json_text(a, once));
    return o;
}

static void expect(struct arena *a, struct table *t, const struct chain *c, struct json *given, const struct json *want)
{
    const char *prefix;
    struct json *o = defaulted(a, t, c, given, &prefix);
    const struct json *got = path_get_str(o, arena_printf(a, "%s%s", prefix, table_text(a, t, COL_PATH)));
    if (got && want ? json_equal(got, want) : !want && (!got || json_string(got).n + json_len(got) == 0))
        return;
    table_wrong(t, "%s%s of %s is %s, not %s", prefix, table_text(a, t, COL_PATH), c->root->name,
                got ? json_text(a, got) : "absent", want ? json_text(a, want) : "absent");
}

/* Makes o hold v at the row's path. False when lists are on the way. */
static bool given_at(struct arena *a, struct table *t, struct json *o, struct json *v)
{
    path_set(a, o, t->column[COL_PATH], v);
    return path_get(o, t->column[COL_PATH]) == v;
}

static struct json *given_by(struct arena *a, struct table *t)
{
    struct json *o = table_json(a, t, COL_GIVEN);
    return o ? o : json_new_object(a);
}

static void check_defaults(struct arena *a, struct table *t, const struct chain *c)
{
    const struct json *want = table_json(a, t, COL_WANT);
    struct json *other = table_json(a, t, COL_OTHER), *o = given_by(a, t);
    expect(a, t, c, o, want);
    o = given_by(a, t);
    if (other && given_at(a, t, o, json_clone(a, other)))
        expect(a, t, c, o, other);
    o = given_by(a, t);
    bool empty = slice_eq_str(t->column[COL_WHEN], "empty");
    if (!empty || !want || (want->type != JSON_STRING && want->type != JSON_INT))
        return;
    if (given_at(a, t, o, want->type == JSON_INT ? json_new_int(a, 0) : json_new_str(a, "")))
        expect(a, t, c, o, want);
}

static void test_defaults(void **state)
{
    struct table t;
    size_t rows = 0, places = 0;
    table_open(&t, DATA "/defaults.tsv");
    for (; table_next(&t); rows++) {
        size_t found = 0;
        struct chain c = {.wanted = schema_type_find(t.column[COL_TYPE])};
        if (!c.wanted)
            fail_msg("line %zu: no such type", t.line);
        for (size_t i = 0; i < resource_count(); i++) {
            c.root = resource_at(i)->type;
            found += each_chain(*state, &t, &c, c.root, check_defaults);
            arena_done(*state);
        }
        if (!found) { /* of a subresource's body */
            c.root = c.wanted;
            found = each_chain(*state, &t, &c, c.root, check_defaults);
        }
        places += found;
    }
    table_close(&t);
    print_message("%zu rows, in %zu places\n", rows, places);
    assert_true(rows > 300 && places > rows);
}

/* ---- columns ---- */

static const struct resource *resource_of(struct table *t)
{
    const struct resource *res = resource_by_api_version(t->column[0], t->column[1]);
    if (!res)
        fail_msg("line %zu: no such kind", t->line);
    return res;
}

static void check_columns(struct arena *a, struct table *t)
{
    size_t n = 0;
    json_each (it, print_columns(a, resource_of(t))) {
        const char *has =
            arena_printf(a, "%" SLICE_FMT ":%" SLICE_FMT ":%" SLICE_FMT ":%d", SLICE_ARG(json_path_string(it, "name")),
                         SLICE_ARG(json_path_string(it, "type")), SLICE_ARG(json_path_string(it, "format")),
                         (int)json_int(json_get_str(it, "priority"), -1));
        if (2 + n >= TABLE_COLUMNS_MAX || !slice_eq_str(t->column[2 + n++], has))
            table_wrong(t, "%s has a column %s", table_text(a, t, 1), has);
    }
    if (t->column[2 + n].n)
        table_wrong(t, "%s has no column %s", table_text(a, t, 1), table_text(a, t, 2 + n));
}

static void test_columns(void **state)
{
    struct table t;
    size_t rows = 0;
    for (table_open(&t, DATA "/columns.tsv"); table_next(&t); rows++)
        check_columns(*state, &t);
    table_close(&t);
    for (size_t i = 0; i < resource_count(); i++)
        rows -= resource_at(i)->n_columns > 0;
    assert_int_equal(rows, 0); /* no kind has columns that the table does not know */
}

static void test_cells(void **state)
{
    struct table t;
    size_t rows = 0;
    for (table_open(&t, DATA "/cells.tsv"); table_next(&t); rows++) {
        const char *has = json_text(*state, print_cells(*state, resource_of(&t), table_json(*state, &t, 2), now_ns));
        if (!slice_eq_str(t.column[3], has))
            table_wrong(&t, "%s\n  has %s\n  not %s", table_text(*state, &t, 1), has, table_text(*state, &t, 3));
    }
    table_close(&t);
    assert_true(rows > 200);
}

/* ---- admission ---- */

/* What acts here acts in Kubernetes' order; what the table says acts does. */
static void test_admission(void **state)
{
    struct table t;
    size_t i = 0;
    for (table_open(&t, DATA "/admission.tsv"); table_next(&t);) {
        bool acts = admission_plugin(i) && slice_eq_str(t.column[0], admission_plugin(i));
        i += acts;
        if (!acts && slice_eq_str(t.column[2], "y"))
            table_wrong(&t, "%s does not act here", table_text(*state, &t, 0));
    }
    if (admission_plugin(i))
        table_wrong(&t, "%s is not known, or in another order", admission_plugin(i));
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_defaults), unit(test_columns), unit(test_cells), unit(test_admission)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

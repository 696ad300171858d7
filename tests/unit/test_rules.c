/* Every rule of validation by example (tests/data/rules.tsv): a change of a kind's example that is refused, with the
 * field, the reason and the words, or one that passes.
 *
 * PINTLE_RULES=learn prints what is said of each row instead of comparing. */
#include "table.h"

#include "object/check.h"
#include "object/defaults.h"
#include "object/meta.h"
#include "object/path.h"
#include "object/validate.h"

enum { COL_VERSION, COL_KIND, COL_CHANGE, COL_BEFORE, COL_SUB, COL_FIELD, COL_REASON, COL_MESSAGE, COL_COUNT };

/* ---- objects by example ---- */

struct examples {
    struct json *list[100];
    size_t n;
};

static void read_examples(struct arena *a, struct examples *e)
{
    struct table t;
    table_open(&t, DATA "/kinds.jsonl");
    for (e->n = 0; table_next(&t); e->n++)
        e->list[e->n] = json_parse(a, t.column[0], NULL, NULL, NULL);
    table_close(&t);
}

static struct json *example_of(struct arena *a, const struct examples *e, struct table *t)
{
    for (size_t i = 0; i < e->n; i++)
        if (slice_eq(meta_kind(e->list[i]), t->column[COL_KIND]) &&
            slice_eq(meta_api_version(e->list[i]), t->column[COL_VERSION]))
            return json_clone(a, e->list[i]);
    fail_msg("line %zu: no example", t->line);
    return NULL;
}

/* ---- changes ---- */

/* Text in which # stands for a number. */
static struct json *numbered(struct arena *a, const struct json *v, size_t number)
{
    struct json *copy = json_clone(a, v);
    struct slice s = json_string(v), head, tail;
    if (v->type == JSON_STRING && slice_cut(s, '#', &head, &tail))
        return json_new_printf(a, "%" SLICE_FMT "%zu%" SLICE_FMT, SLICE_ARG(head), number, SLICE_ARG(tail));
    if (v->type == JSON_ARRAY) {
        copy = json_new_array(a);
        json_each (it, v)
            json_append(copy, numbered(a, it, number));
    } else if (v->type == JSON_OBJECT) {
        copy = json_new_object(a);
        json_each (it, v)
            json_set(a, copy, it->key, numbered(a, it, number));
    }
    return copy;
}

/* {'$text':n}: n letters; {'$n':n,'$of':v}: a list of n, each with its number for #; anything else is itself. */
static struct json *expanded(struct arena *a, struct json *v)
{
    int64_t n = json_int(json_get_str(v, "$text"), 0), count = json_int(json_get_str(v, "$n"), 0);
    if (n) {
        char *s = arena_alloc(a, (size_t)n);
        memset(s, 'a', (size_t)n);
        return json_new_string(a, slice_of(s, (size_t)n));
    }
    if (count) {
        struct json *list = json_new_array(a);
        for (int64_t i = 0; i < count; i++)
            json_append(list, expanded(a, numbered(a, json_get_str(v, "$of"), (size_t)i)));
        return list;
    }
    if (!v || v->type < JSON_ARRAY)
        return json_clone(a, v);
    struct json *copy = v->type == JSON_ARRAY ? json_new_array(a) : json_new_object(a);
    json_each (it, v) {
        if (v->type == JSON_ARRAY)
            json_append(copy, expanded(a, it));
        else
            json_set(a, copy, it->key, expanded(a, it));
    }
    return copy;
}

/* Puts v at the path, also into lists: at an item, or behind the last. */
static void put(struct arena *a, struct json *obj, struct slice path, struct json *v)
{
    size_t open = path.n;
    while (open > 0 && path.p[open - 1] != '[')
        open--;
    struct slice list = slice_of(path.p, open ? open - 1 : 0), rest = slice_from(path, open), index;
    uint64_t i;
    if (!open || !slice_cut(rest, ']', &index, &rest) || !slice_to_u64(index, &i)) {
        path_set(a, obj, path, v);
        return;
    }
    struct json *array = path_get(obj, list), *item = json_at(array, (size_t)i);
    if (!array) {
        array = json_new_array(a);
        put(a, obj, list, array);
    }
    if (!item) {
        item = json_new_object(a);
        json_append(array, item);
    }
    if (rest.n)
        path_set(a, item, slice_from(rest, 1), v);
    else
        json_assign(item, v);
}

static void take_out(struct json *obj, struct slice path)
{
    size_t dot = path.n;
    while (dot > 0 && path.p[dot - 1] != '.' && path.p[dot - 1] != '[')
        dot--;
    if (dot > 0 && path.p[dot - 1] == '.')
        json_del(path_get(obj, slice_of(path.p, dot - 1)), slice_from(path, dot));
    else
        path_del(obj, path);
}

static struct json *changed(struct arena *a, struct json *obj, struct json *change)
{
    json_each (it, change) {
        if (it->type == JSON_NULL)
            take_out(obj, it->key);
        else
            put(a, obj, it->key, expanded(a, it));
    }
    return obj;
}

/* ---- a row ---- */

static struct json *complete(struct arena *a, struct table *t, const struct resource *res, struct json *obj)
{
    struct check c = {.a = a, .mode = CHECK_STRICT};
    struct status st = {0};
    if (check_object(&c, res->type, obj, &st)) {
        table_wrong(t, "not even decoded: %s", st.message ? st.message : "");
        return NULL;
    }
    assert_int_equal(defaults_apply(a, res->type, obj, 0), 0);
    return obj;
}

/* 0 or 422, as the server would say. */
static int validated(struct arena *a, const struct examples *e, struct table *t, struct status *st)
{
    const struct resource *res = resource_by_api_version(t->column[COL_VERSION], t->column[COL_KIND]);
    bool update = t->column[COL_BEFORE].n;
    struct json *obj = example_of(a, e, t), *old = NULL;
    if (update) { /* the change is one of what was before */
        meta_set_resource_version(a, obj, 1);
        old = complete(a, t, res, changed(a, json_clone(a, obj), table_json(a, t, COL_BEFORE)));
        changed(a, obj, table_json(a, t, COL_BEFORE));
        json_each (it, table_json(a, t, COL_BEFORE))
            if (json_get(table_json(a, t, COL_CHANGE), it->key) == NULL && !slice_starts(it->key, SLICE("metadata")))
                path_del(obj, it->key);
    }
    obj = complete(a, t, res, changed(a, obj, table_json(a, t, COL_CHANGE)));
    if (!obj || (update && !old))
        return -1;
    return update ? validate_update(a, res, t->column[COL_SUB], obj, old, st) : validate_create(a, res, obj, st);
}

/* Long ones end with … in the table. */
static bool same_words(struct slice wanted, const char *said)
{
    static const struct slice more = SLICE_INIT("\xe2\x80\xa6");
    return slice_ends(wanted, more) ? slice_starts(slice_str(said), slice_of(wanted.p, wanted.n - more.n))
                                    : slice_eq_str(wanted, said);
}

static bool is_cause(struct table *t, const struct status_cause *c, bool words)
{
    return slice_eq_str(t->column[COL_FIELD], c->field ? c->field : "") &&
           slice_eq_str(t->column[COL_REASON], c->reason) && (!words || same_words(t->column[COL_MESSAGE], c->message));
}

static void tell(struct table *t, const struct status *st)
{
    if (!st->n_causes)
        print_error("    nothing is said\n");
    for (const struct status_cause *c = st->causes; c; c = c->next)
        print_error("    %s %s: %s\n", c->reason, c->field ? c->field : "", c->message);
    (void)t;
}

static const char *words_of(struct table *t, const struct status *st)
{
    for (const struct status_cause *c = st->causes; c; c = c->next)
        if (is_cause(t, c, false))
            return c->message;
    return "";
}

static void test_rules(void **state)
{
    struct table t;
    struct arena examples_arena;
    struct examples e;
    size_t refused = 0, passed = 0;
    bool learn = getenv("PINTLE_RULES");
    arena_init(&examples_arena, 4 << 20);
    read_examples(&examples_arena, &e);
    for (table_open(&t, DATA "/rules.tsv"); table_next(&t);) {
        struct status st = {0};
        bool found = false, valid = t.column[COL_REASON].n == 0;
        int rv = validated(*state, &e, &t, &st);
        for (const struct status_cause *c = st.causes; c; c = c->next)
            found |= is_cause(&t, c, !learn);
        int64_t count = 1;
        slice_to_i64(t.column[COL_COUNT], &count);
        if (rv >= 0 && (valid ? rv != 0 : !found || (!learn && st.n_causes != (size_t)count))) {
            table_wrong(&t, "%s %s", table_text(*state, &t, COL_KIND), table_text(*state, &t, COL_CHANGE));
            if (!valid)
                print_error("    wanted %s %s: %s; it is said:\n", table_text(*state, &t, COL_REASON),
                            table_text(*state, &t, COL_FIELD), table_text(*state, &t, COL_MESSAGE));
            tell(&t, &st);
        } else if (learn && !valid && rv >= 0) {
            print_message("OK\t%zu\t%.300s\t%u\n", t.line, words_of(&t, &st), (unsigned)st.n_causes);
        }
        valid ? passed++ : refused++;
        arena_done(*state);
    }
    table_close(&t);
    arena_done(&examples_arena);
    print_message("%zu changes refused in the right words, %zu passed\n", refused, passed);
    assert_true(refused > 400 && passed > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

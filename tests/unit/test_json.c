#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "codec/json.h"

static int setup(void **state)
{
    struct arena *a = mem_new(struct arena);
    arena_init(a, 16 << 20);
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    arena_done(*state);
    mem_free(*state);
    return 0;
}

static struct json *parse(struct arena *a, const char *text)
{
    return json_parse(a, slice_str(text), NULL, NULL, NULL);
}

static void assert_json(const struct json *v, const char *text)
{
    struct buf out = BUF_INIT(1 << 20);
    assert_int_equal(json_write(&out, v), 0);
    assert_string_equal(out.p, text);
    buf_done(&out);
}

static void test_round_trip(void **state)
{
    static const char *const same[] = {
        "null",
        "true",
        "[]",
        "{}",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "0.1",
        "1e-7",
        "1e+21",
        "123456789012345680000",
        "\"a\\\"b\\\\c\\n\\u0001\\u2028\"",
        "{\"b\":[1,{\"a\":null}],\"a\":\"\xc3\xa4\"}",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_json(parse(*state, same[i]), same[i]);
    assert_json(parse(*state, " { \"a\" : 1.0 , \"b\" : 1E2 } "), "{\"a\":1,\"b\":100}");
    assert_json(parse(*state, "18446744073709551615"), "18446744073709552000");
    assert_json(json_new_string(*state, slice_of("\xff\xc3", 2)), "\"\\ufffd\\ufffd\"");
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {"", " ", "{", "[1,]", "{\"a\":1,}", "01", "nul", "1 2", "'a'", "\"\xff\"", "NaN"};
    struct json_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(json_parse(*state, slice_str(bad[i]), &err, NULL, NULL));
        assert_true(strlen(err.message) > 0);
    }
}

static struct json *nested(struct arena *a, int depth)
{
    char text[1000];
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    return json_parse(a, slice_of(text, 2 * (size_t)depth), NULL, NULL, NULL);
}

static void test_depth_limit(void **state)
{
    assert_non_null(nested(*state, JSON_DEPTH_MAX));
    assert_null(nested(*state, JSON_DEPTH_MAX + 1));
    struct json *v = json_new_array(*state);
    for (int i = 0; i < 3 * JSON_DEPTH_MAX; i++) {
        struct json *outer = json_new_array(*state);
        json_append(outer, v);
        v = outer;
    }
    struct buf out = BUF_INIT(1 << 20);
    assert_int_equal(json_write(&out, v), -E2BIG);
    buf_done(&out);
    assert_null(json_clone(*state, v));
}

static void on_dup(void *ctx, const char *path, struct slice name)
{
    char *text = ctx;
    sprintf(text + strlen(text), "%s|%.*s;", path, SLICE_ARG(name));
}

static void test_duplicates(void **state)
{
    struct json_error err;
    char seen[200] = "";
    struct json *v =
        json_parse(*state, SLICE("{\"a\":1,\"s\":{\"c\":[{\"n\":1},{\"n\":1,\"n\":2}]},\"a\":3}"), &err, on_dup, seen);
    assert_json(v, "{\"a\":3,\"s\":{\"c\":[{\"n\":1},{\"n\":2}]}}");
    assert_true(err.duplicate);
    assert_string_equal(seen, "s.c[1]|n;|a;");
    json_parse(*state, SLICE("{\"a\":1}"), &err, NULL, NULL);
    assert_false(err.duplicate);
}

static void test_large_object_is_indexed(void **state)
{
    struct json *obj = json_new_object(*state);
    char key[20];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        json_set(*state, obj, slice_str(key), json_new_int(*state, i));
    }
    for (int i = 0; i < 5000; i += 2) {
        snprintf(key, sizeof key, "k%d", i);
        assert_true(json_del(obj, slice_str(key)));
        assert_false(json_del(obj, slice_str(key)));
    }
    json_set(*state, obj, SLICE("k1"), json_new_int(*state, -1));
    assert_int_equal(json_len(obj), 2500);
    assert_int_equal(json_int(json_get_str(obj, "k1"), 0), -1);
    assert_int_equal(json_int(json_get_str(obj, "k4999"), 0), 4999);
    assert_null(json_get_str(obj, "k4998"));
    assert_true(json_equal(obj, json_clone(*state, obj)));
}

static void test_index_survives_churn(void **state)
{
    struct json *obj = json_new_object(*state);
    char key[20];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        json_set(*state, obj, slice_str(key), json_new_int(*state, i));
        if (i >= 20) {
            snprintf(key, sizeof key, "k%d", i - 20 + i % 7);
            json_del(obj, slice_str(key));
        }
        assert_non_null(json_get(obj, obj->u.items.last->key));
    }
    json_each (it, obj)
        assert_ptr_equal(json_get(obj, it->key), it);
}

static void test_changing(void **state)
{
    struct arena *a = *state;
    struct json *o = parse(a, "{\"b\":[1,2],\"c\":null}");
    json_set_first(a, o, "kind", json_new_str(a, "Pod"));
    json_set_str(a, o, "b", json_new_bool(a, false));
    struct json *c = json_object_at(a, o, "c");
    json_set_str(a, c, "x", json_new_real(a, 0.5));
    assert_null(json_object_at(a, o, "b"));
    assert_json(o, "{\"kind\":\"Pod\",\"b\":false,\"c\":{\"x\":0.5}}");
    struct json *l = parse(a, "[1,2,3]");
    json_insert(l, 0, json_new_int(a, 0));
    json_insert(l, 4, json_new_int(a, 9));
    assert_int_equal(json_int(json_remove_at(l, 1), -1), 1);
    assert_null(json_remove_at(l, 7));
    assert_json(l, "[0,2,3,9]");
    json_assign(json_at(l, 0), c);
    assert_json(l, "[{\"x\":0.5},2,3,9]");
}

static int by_tens(const void *ctx, const struct json *a, const struct json *b)
{
    (void)ctx;
    return (int)(json_int(a, 0) / 10 - json_int(b, 0) / 10);
}

static void test_sort_is_stable(void **state)
{
    struct json *l = parse(*state, "[31,12,35,11,1,39,13,30]");
    json_sort(l, by_tens, NULL);
    assert_json(l, "[1,12,11,13,31,35,39,30]");
    assert_int_equal(json_int(l->u.items.last->prev, 0), 39);
    json_append(l, json_new_int(*state, 0));
    json_sort(l, by_tens, NULL);
    assert_json(l, "[1,0,12,11,13,31,35,39,30]");
    json_sort(NULL, by_tens, NULL);
}

static void test_reading_absent(void **state)
{
    struct json *v = parse(*state, "{\"a\":{\"b\":7.0},\"s\":\"x\"}");
    assert_int_equal(json_int(json_path(v, "a.b"), 0), 7);
    assert_null(json_path(v, "a.b.c.d"));
    assert_null(json_get_str(NULL, "x"));
    assert_int_equal(json_len(json_path(v, "s")), 0);
    assert_slice(json_path_string(v, "s"), "x");
    assert_int_equal(json_string(json_path(v, "a")).n, 0);
    assert_true(json_equal(parse(*state, "{\"x\":1,\"y\":2}"), parse(*state, "{\"y\":2.0,\"x\":1}")));
    assert_false(json_equal(parse(*state, "[1]"), parse(*state, "[1,2]")));
}

static void test_memory_short(void **state)
{
    (void)state;
    static const char text[] = "{\"metadata\":{\"name\":\"x\"},\"data\":[1,2,3,\"four\"]}";
    for (long n = 1;; n++) {
        struct arena a;
        arena_init(&a, 1 << 20);
        mem_fail_at(n);
        struct json *v = parse(&a, text);
        mem_fail_at(0);
        bool failed = mem_failed();
        assert_true(failed == !v);
        arena_done(&a);
        if (!failed)
            break;
    }
    struct arena tiny;
    arena_init(&tiny, 300);
    struct json_error err;
    assert_null(json_parse(&tiny, SLICE("[1,2,3,4,5,6,7]"), &err, NULL, NULL));
    assert_string_equal(err.message, "the document is too large");
    arena_done(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_duplicates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_object_is_indexed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index_survives_churn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sort_is_stable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reading_absent, setup, teardown),
        cmocka_unit_test(test_memory_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

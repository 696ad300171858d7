#include "unit.h"

#include <stdio.h>

#include "base/list.h"
#include "object/diff.h"

struct lines {
    struct diff d;
    struct buf out;
};

static void each(struct diff *d, const char *path, const struct json *old, const struct json *new)
{
    struct lines *l = container_of(d, struct lines, d);
    buf_printf(&l->out, "%s:", path);
    if (old)
        json_write(&l->out, old);
    buf_add_str(&l->out, ">");
    if (new)
        json_write(&l->out, new);
    buf_add_str(&l->out, ";");
}

static void check(const char *old, const char *new, const char *expected)
{
    struct arena a;
    struct json_error err;
    struct lines l = {.d.each = each, .out = BUF_INIT(1 << 16)};
    arena_init(&a, 1 << 20);
    diff_run(&l.d, json_parse(&a, slice_str(old), &err, NULL, NULL), json_parse(&a, slice_str(new), &err, NULL, NULL));
    assert_slice(buf_slice(&l.out), expected);
    buf_done(&l.out);
    arena_done(&a);
}

static void test_members(void **state)
{
    (void)state;
    check("{\"a\":1,\"b\":{\"c\":2}}", "{\"b\":{\"c\":2},\"a\":1.0}", "");
    check("{\"a\":1,\"b\":{\"c\":2}}", "{\"a\":2,\"b\":{\"d\":3}}", "a:1>2;b.c:2>;b.d:>3;");
    check("{\"a\":{\"x\":1}}", "{\"a\":[1]}", "a:{\"x\":1}>[1];");
    check("{\"a\":null}", "{}", "a:null>;");
}

static void test_arrays(void **state)
{
    (void)state;
    /* By name: one that is put first is one difference. */
    check("{\"c\":[{\"name\":\"x\",\"i\":1}]}", "{\"c\":[{\"name\":\"y\"},{\"name\":\"x\",\"i\":2}]}",
          "c[x].i:1>2;c[y]:>{\"name\":\"y\"};");
    check("{\"c\":[{\"name\":\"x\"},{\"name\":\"y\"}]}", "{\"c\":[{\"name\":\"y\"}]}", "c[x]:{\"name\":\"x\"}>;");
    /* By place where names do not tell. */
    check("{\"c\":[1,2]}", "{\"c\":[1,3,4]}", "c[1]:2>3;c[2]:>4;");
    check("{\"c\":[{\"name\":\"x\"},1]}", "{\"c\":[1]}", "c[0]:{\"name\":\"x\"}>1;c[1]:1>;");
}

/* Deep and long names: the path is cut, the differences are all told. */
static void test_long_paths(void **state)
{
    (void)state;
    char name[DIFF_PATH_MAX], old[2 * DIFF_PATH_MAX + 100], new[2 * DIFF_PATH_MAX + 100];
    struct arena a;
    struct json_error err;
    struct lines l = {.d.each = each, .out = BUF_INIT(1 << 16)};
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(old, sizeof old, "{\"%s\":{\"%s\":1},\"z\":1}", name, name);
    snprintf(new, sizeof new, "{\"%s\":{\"%s\":2},\"z\":2}", name, name);
    arena_init(&a, 1 << 20);
    diff_run(&l.d, json_parse(&a, slice_str(old), &err, NULL, NULL), json_parse(&a, slice_str(new), &err, NULL, NULL));
    assert_int_equal(strlen(l.d.path), 0);
    assert_non_null(strstr(l.out.p, ":1>2;z:1>2;"));
    assert_in_range(l.out.n, DIFF_PATH_MAX - 1, DIFF_PATH_MAX + 20);
    buf_done(&l.out);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_long_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

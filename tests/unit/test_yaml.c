#include "unit.h"

#include <errno.h>

#include "codec/yaml.h"

static void assert_reads(const char *yaml, const char *json)
{
    struct arena a;
    struct buf out = BUF_INIT(1 << 20);
    const char *error = "";
    arena_init(&a, 1 << 20);
    struct json *v = yaml_parse(&a, slice_str(yaml), &error);
    assert_string_equal(error, "");
    assert_int_equal(json_write(&out, v), 0);
    assert_string_equal(out.p, json);
    buf_done(&out);
    arena_done(&a);
}

static void test_scalars(void **state)
{
    (void)state;
    assert_reads("[1, -2, 0x10, 010, 0o10, 0b11, 1_000, 1.5, 1e3, .5]", "[1,-2,16,8,8,3,1000,1.5,1000,0.5]");
    assert_reads(
        "[yes, No, on, true, ~, null, '', \"1\", !!str 1, abc, 1.2.3, 0x, 08, -, 100m, 2020-01-01, 12:30]",
        "[true,false,true,true,null,null,\"\",\"1\",\"1\",\"abc\",\"1.2.3\",\"0x\",8,\"-\",\"100m\",\"2020-01-01\","
        "\"12:30\"]");
    assert_reads("", "null");
}

static void test_structure(void **state)
{
    (void)state;
    assert_reads(
        "# comment\napiVersion: v1\nkind: List\nitems:\n- a: |\n    x\n    y\n- {1: b, true: c}\n---\nsecond: 1\n",
        "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"a\":\"x\\ny\\n\"},{\"1\":\"b\",\"true\":\"c\"}]}");
    assert_reads("base: &b {x: 1, z: 2}\nc:\n  <<: *b\n  z: 3\nd: *b\n",
                 "{\"base\":{\"x\":1,\"z\":2},\"c\":{\"z\":3,\"x\":1},\"d\":{\"x\":1,\"z\":2}}");
}

static void assert_refused(const char *yaml, const char *part)
{
    struct arena a;
    const char *error = "";
    arena_init(&a, 1 << 20);
    assert_null(yaml_parse(&a, slice_str(yaml), &error));
    assert_non_null(strstr(error, part));
    arena_done(&a);
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused("a: [1\nb: 2\n", "line");
    assert_refused("a: *nowhere\n", "line 1: unknown anchor");
    assert_refused("a: &a [*a]\n", "unknown anchor");
    assert_refused("{[1]: 2}\n", "key");
    assert_refused("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c "
                   "[*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d]\n",
                   "too large");
    char deep[400];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_refused(deep, "depth");
}

static void note(void *ctx, size_t line, struct slice key)
{
    struct buf *out = ctx;
    buf_printf(out, "%zu:%" SLICE_FMT " ", line, SLICE_ARG(key));
}

static void test_duplicates(void **state)
{
    (void)state;
    struct arena a;
    struct buf out = BUF_INIT(256);
    const char *error = "";
    arena_init(&a, 1 << 20);
    struct json *v = yaml_parse_noting(&a, SLICE("a: 1\nb: {c: 1, d: 2, c: 3}\n? a\n: 4\n"), note, &out, &error);
    assert_int_equal(json_int(json_get_str(v, "a"), 0), 4);
    assert_string_equal(out.p, "2:c 3:a ");
    buf_done(&out);
    arena_done(&a);
}

static void test_write(void **state)
{
    (void)state;
    struct arena a;
    struct buf out = BUF_INIT(1 << 20);
    arena_init(&a, 1 << 20);
    struct json *v = json_parse(
        &a,
        SLICE("{\"b\":[{\"x\":\"true\",\"a\":1},[],{}],\"a\":\"l1\\nl2\\n\",\"c\":null,\"d\":\"\",\"e\":\"a: "
              "b\",\"f\":1.5,\"g\":\"12\"}"),
        NULL, NULL, NULL);
    assert_int_equal(yaml_write(&out, v), 0);
    assert_string_equal(
        out.p, "a: |\n  l1\n  l2\nb:\n- a: 1\n  x: \"true\"\n- []\n- {}\nc: null\nd: \"\"\ne: 'a: b'\nf: 1.5\ng: "
               "\"12\"\n");
    struct buf small = BUF_INIT(4);
    assert_int_equal(yaml_write(&small, v), -E2BIG);
    buf_done(&small);
    buf_done(&out);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),    cmocka_unit_test(test_structure), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_duplicates), cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

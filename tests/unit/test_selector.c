#include "unit_json.h"

#include "object/selector.h"
#include "object/validate.h"

static void assert_labels(struct arena *a, const char *text, const char *canonical, const char *yes, const char *no)
{
    struct selector s;
    struct status st = {0};
    struct buf out = BUF_INIT(4096);
    if (selector_parse_labels(a, slice_str(text), &s, &st))
        fail_msg("%s: %s", text, st.message);
    selector_write(&out, &s);
    assert_string_equal(out.p ? out.p : "", canonical);
    buf_done(&out);
    assert_true(selector_matches_labels(&s, yes ? json_of(a, yes) : NULL));
    if (no)
        assert_false(selector_matches_labels(&s, json_of(a, no)));
}

static void test_labels(void **state)
{
    struct arena *a = *state;
    assert_labels(a, "", "", NULL, NULL);
    assert_labels(a, "a=b", "a=b", "{'a':'b'}", "{'a':'c'}");
    assert_labels(a, " a == b , c!=d", "a=b,c!=d", "{'a':'b'}", "{'a':'b','c':'d'}");
    assert_labels(a, "x in (b, a),y notin (c)", "x in (a,b),y notin (c)", "{'x':'a'}", "{'x':'a','y':'c'}");
    assert_labels(a, "!a,b", "!a,b", "{'b':''}", "{'a':'','b':''}");
    assert_labels(a, "a=,b", "a=,b", "{'a':'','b':'1'}", "{'b':'1'}");
    assert_labels(a, "n>3", "n>3", "{'n':'4'}", "{'n':'3'}");
    assert_labels(a, "a in (,b)", "a in (,b)", "{'a':''}", "{'a':'c'}");
    assert_labels(a, "example.com/k=v", "example.com/k=v", "{'example.com/k':'v'}", "{}");
}

static void assert_bad_labels(struct arena *a, const char *text, const char *message)
{
    struct selector s;
    struct status st = {0};
    assert_int_equal(selector_parse_labels(a, slice_str(text), &s, &st), 400);
    assert_string_equal(st.message, message);
}

static void test_bad_labels(void **state)
{
    struct arena *a = *state;
    assert_bad_labels(a, "a in", "unable to parse requirement: found '' expected: '('");
    assert_bad_labels(a, "a in (b", "unable to parse requirement: found '', expected: ',' or ')'");
    assert_bad_labels(a, "a,", "found '', expected: identifier after ','");
    assert_bad_labels(a, "=a", "found '=', expected: !, identifier, or 'end of string'");
    assert_bad_labels(a, "a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
    assert_bad_labels(a, "a in ()",
                      "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set "
                      "can't be empty");
    struct selector s;
    struct status st = {0};
    assert_int_equal(selector_parse_labels(a, SLICE("a=-"), &s, &st), 400);
    assert_non_null(strstr(st.message, "values[0][a]: Invalid value: \"-\": a valid label"));
    assert_int_equal(selector_parse_labels(a, SLICE("a/b/c=d"), &s, &st), 400);
}

static void test_objects(void **state)
{
    struct arena *a = *state;
    struct selector s;
    assert_int_equal(selector_from_object(a, NULL, &s), 0);
    assert_false(selector_matches_labels(&s, json_of(a, "{'a':'b'}")));
    assert_int_equal(selector_from_object(a, json_of(a, "{}"), &s), 0);
    assert_true(selector_matches_labels(&s, NULL));
    struct json *o =
        json_of(a, "{'matchLabels':{'a':'b'},'matchExpressions':[{'key':'c','operator':'In','values':['d']},"
                   "{'key':'e','operator':'DoesNotExist'}]}");
    assert_int_equal(selector_from_object(a, o, &s), 0);
    assert_true(selector_matches_labels(&s, json_of(a, "{'a':'b','c':'d'}")));
    assert_false(selector_matches_labels(&s, json_of(a, "{'a':'b','c':'d','e':''}")));
    struct buf out = BUF_INIT(100);
    selector_write(&out, &s);
    assert_string_equal(out.p, "a=b,c in (d),!e");
    buf_done(&out);
    assert_slice(selector_exact(&s, SLICE("a")), "b");
    assert_null(selector_exact(&s, SLICE("e")).p);
    assert_true(selector_from_object(a, json_of(a, "{'matchExpressions':[{'key':'c','operator':'In'}]}"), &s) < 0);
    assert_true(selector_from_object(a, json_of(a, "{'matchExpressions':[{'key':'c','operator':'is'}]}"), &s) < 0);
    assert_int_equal(selector_from_map(a, json_of(a, "{}"), &s), 0);
    assert_false(selector_matches_labels(&s, json_of(a, "{'a':'b'}")));
    assert_int_equal(selector_from_map(a, json_of(a, "{'a':'b'}"), &s), 0);
    assert_true(selector_matches_labels(&s, json_of(a, "{'a':'b','x':'y'}")));
}

static void test_fields(void **state)
{
    struct arena *a = *state;
    struct selector s;
    struct status st = {0};
    const struct resource *pods = resource_find(SLICE(""), SLICE("v1"), SLICE("pods"));
    const struct resource *maps = resource_find(SLICE(""), SLICE("v1"), SLICE("configmaps"));
    struct json *pod =
        json_of(a, "{'metadata':{'name':'x'},'spec':{'nodeName':'n,1'},'status':{'podIPs':[{'ip':'1.2.3.4'}]}}");
    assert_int_equal(
        selector_parse_fields(a, pods, SLICE("spec.nodeName=n\\,1,metadata.name!=y,spec.hostNetwork==false"), &s, &st),
        0);
    assert_true(selector_matches_fields(&s, pods, pod));
    assert_slice(selector_exact(&s, SLICE("spec.nodeName")), "n,1");
    assert_int_equal(selector_parse_fields(a, pods, SLICE("status.podIP=1.2.3.5"), &s, &st), 0);
    assert_false(selector_matches_fields(&s, pods, pod));
    assert_int_equal(selector_parse_fields(a, pods, SLICE("spec.x=y"), &s, &st), 400);
    assert_string_equal(st.message, "field label not supported: spec.x");
    assert_int_equal(selector_parse_fields(a, maps, SLICE("data=y"), &s, &st), 400);
    assert_string_equal(st.message,
                        "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
    assert_int_equal(selector_parse_fields(a, maps, SLICE("metadata.name"), &s, &st), 400);
    assert_string_equal(st.message, "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
    assert_int_equal(selector_parse_fields(a, maps, SLICE("metadata.name=a\\b"), &s, &st), 400);
}

static void test_names(void **state)
{
    (void)state;
    assert_null(validate_subdomain(SLICE("a.b-c.9")));
    assert_non_null(validate_subdomain(SLICE("a..b")));
    assert_non_null(validate_subdomain(SLICE("A")));
    assert_non_null(validate_label_name(SLICE("a.b")));
    assert_non_null(validate_label_1035(SLICE("9a")));
    assert_null(validate_qualified_name(SLICE("example.com/A_b.c")));
    assert_non_null(validate_qualified_name(SLICE("/a")));
    assert_non_null(validate_qualified_name(SLICE("a/")));
    assert_null(validate_path_segment(SLICE("system:node")));
    assert_non_null(validate_path_segment(SLICE("a/b")));
    assert_null(validate_port_name(SLICE("http-1")));
    assert_non_null(validate_port_name(SLICE("1-2")));
    assert_non_null(validate_port_name(SLICE("a--b")));
    assert_non_null(validate_port_name(SLICE("-a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_labels), unit(test_bad_labels), unit(test_objects), unit(test_fields),
                                       unit(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

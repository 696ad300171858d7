#include "unit_json.h"

#include "object/intstr.h"
#include "object/meta.h"
#include "object/path.h"

static void test_reading(void **state)
{
    struct json *o = json_of(*state, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':'b','uid':'u',"
                                     "'labels':{'x':''},'generation':3,'creationTimestamp':'1970-01-01T00:00:10Z',"
                                     "'ownerReferences':[{'uid':'1'},{'uid':'2','controller':true}]}}");
    assert_slice(meta_name(o), "a");
    assert_slice(meta_namespace(o), "b");
    assert_slice(meta_kind(o), "Pod");
    assert_int_equal(meta_generation(o), 3);
    assert_true(meta_creation_time(o) == 10000000000LL);
    assert_non_null(meta_label(o, SLICE("x")).p);
    assert_null(meta_label(o, SLICE("y")).p);
    assert_true(meta_is_controlled_by(o, SLICE("2")));
    assert_false(meta_is_controlled_by(o, SLICE("1")));
    assert_false(meta_is_deleting(o));
    assert_int_equal(meta_name(NULL).n, 0);
    assert_int_equal(meta_name(json_of(*state, "{'metadata':[]}")).n, 0);
}

static void test_changing(void **state)
{
    struct arena *a = *state;
    struct json *o = json_of(a, "{}");
    meta_set_name(a, o, SLICE("n"));
    meta_set_resource_version(a, o, 7);
    meta_set_label(a, o, SLICE("k"), SLICE("v"));
    meta_add_finalizer(a, o, SLICE("f"));
    meta_add_finalizer(a, o, SLICE("f"));
    meta_set_deletion(a, o, 0, 30);
    assert_json(a, o,
                "{'metadata':{'name':'n','resourceVersion':'7','labels':{'k':'v'},'finalizers':['f'],"
                "'deletionTimestamp':'1970-01-01T00:00:00Z','deletionGracePeriodSeconds':30}}");
    assert_true(meta_is_deleting(o));
    assert_true(meta_remove_finalizer(o, SLICE("f")));
    assert_false(meta_remove_finalizer(o, SLICE("f")));
    assert_null(meta_finalizers(o));
    meta_set_resource_version(a, o, 0);
    assert_int_equal(meta_resource_version(o).n, 0);
    struct json *child = json_of(a, "{}");
    meta_set_controller(a, child, json_of(a, "{'apiVersion':'apps/v1','kind':'X','metadata':{'name':'n','uid':'u'}}"));
    assert_true(meta_is_controlled_by(child, SLICE("u")));
}

static void test_paths(void **state)
{
    struct arena *a = *state;
    struct json *o = json_of(a, "{'a':{'x.y/z':{'n':1}},'l':[{'v':'p'},{'v':'q'}],'e':'','t':true}");
    assert_int_equal(json_int(path_get_str(o, "a[x.y/z].n"), 0), 1);
    assert_slice(json_string(path_get_str(o, "l[1].v")), "q");
    assert_null(path_get_str(o, "l[2].v"));
    assert_null(path_get_str(o, "l.v"));
    assert_ptr_equal(path_get_str(o, ""), o);
    assert_slice(json_string(path_first(o, SLICE("none|e|l[0].v"))), "p");
    assert_slice(path_text(a, path_get_str(o, "t")), "true");
    assert_slice(path_text(a, path_get_str(o, "a[x.y/z].n")), "1");
    assert_null(path_text(a, path_get_str(o, "l")).p);
}

static void test_intstr(void **state)
{
    struct arena *a = *state;
    int64_t v;
    assert_int_equal(intstr_scaled(json_of(a, "'25%'"), 10, true, &v), 0);
    assert_int_equal(v, 3);
    assert_int_equal(intstr_scaled(json_of(a, "'25%'"), 10, false, &v), 0);
    assert_int_equal(v, 2);
    assert_int_equal(intstr_scaled(json_of(a, "4"), 10, false, &v), 0);
    assert_int_equal(v, 4);
    assert_int_equal(intstr_scaled(NULL, 10, false, &v), 0);
    assert_int_equal(v, 0);
    assert_true(intstr_scaled(json_of(a, "'x%'"), 10, false, &v) < 0);
    assert_true(intstr_scaled(json_of(a, "'-5%'"), 10, false, &v) < 0);
    assert_int_equal(intstr_int(json_of(a, "'80'")), 80);
    assert_int_equal(intstr_int(json_of(a, "'http'")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_reading), unit(test_changing), unit(test_paths), unit(test_intstr)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

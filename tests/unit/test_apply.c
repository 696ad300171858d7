#include "unit_json.h"

#include "object/apply.h"
#include "object/check.h"
#include "object/fieldset.h"

static const struct resource *resource_of(const char *plural)
{
    for (size_t i = 0; i < resource_count(); i++)
        if (strcmp(resource_at(i)->plural, plural) == 0)
            return resource_at(i);
    return NULL;
}

static struct json *normal(struct arena *a, const struct resource *res, const char *text, bool partial)
{
    struct check c = {.a = a, .partial = partial};
    struct status st = {0};
    struct json *o = json_of(a, text);
    if (check_object(&c, res->type, o, &st))
        fail_msg("%s", st.message);
    return o;
}

static struct apply_request request(const char *plural, const char *manager, bool force)
{
    return (struct apply_request){
        .res = resource_of(plural), .manager = slice_str(manager), .force = force, .now = 1000000000LL};
}

static struct json *apply(struct arena *a, const char *plural, const char *manager, bool force, const struct json *live,
                          const char *patch, struct status *st)
{
    struct apply_request rq = request(plural, manager, force);
    return apply_patch(a, &rq, live, normal(a, rq.res, patch, true), st);
}

static struct json *applied(struct arena *a, const char *plural, const char *manager, const struct json *live,
                            const char *patch)
{
    struct status st = {0};
    struct json *o = apply(a, plural, manager, false, live, patch, &st);
    if (!o)
        fail_msg("%s", st.message);
    return o;
}

static const struct json *fields_of(const struct json *obj, const char *manager)
{
    json_each (e, json_path(obj, "metadata.managedFields"))
        if (slice_eq_str(json_path_string(e, "manager"), manager))
            return json_get_str(e, "fieldsV1");
    return NULL;
}

static void test_create_by_apply(void **state)
{
    struct arena *a = *state;
    struct json *o =
        applied(a, "configmaps", "m", NULL, "{'metadata':{'name':'x','labels':{'l':'1'}},'data':{'k':'v'}}");
    assert_json(a, o,
                "{'metadata':{'name':'x','labels':{'l':'1'},'managedFields':[{'manager':'m','operation':'Apply','"
                "apiVersion':'v1',"
                "'time':'1970-01-01T00:00:01Z','fieldsType':'FieldsV1','fieldsV1':{'f:data':{'f:k':{}},'f:metadata':{'"
                "f:labels':{"
                "'f:l':{}}}}}]},'data':{'k':'v'}}");
    o = applied(
        a, "deployments", "m", NULL,
        "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'i','ports':[{'containerPort':80}]}]}}}}");
    assert_json(
        a, fields_of(o, "m"),
        "{'f:spec':{'f:template':{'f:spec':{'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:image':{},'f:name':{},"
        "'f:ports':{'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},'f:containerPort':{}}}}}}}}}");
}

/* What was given up is all that goes: not what it stood in. */
static void test_what_stands_around_stays(void **state)
{
    struct arena *a = *state;
    struct json *o =
        applied(a, "configmaps", "m", NULL, "{'metadata':{'name':'x','annotations':{'n':'1'}},'data':{'a':'1'}}");
    o = applied(a, "configmaps", "m", o, "{'metadata':{'name':'x'},'data':{'a':'1'}}");
    json_del_str(json_get_str(o, "metadata"), "managedFields");
    assert_json(a, o, "{'metadata':{'name':'x'},'data':{'a':'1'}}");
}

static void test_fields_given_up_go(void **state)
{
    struct arena *a = *state;
    struct json *o = applied(a, "configmaps", "m", NULL, "{'data':{'a':'1','b':'2'}}");
    o = applied(a, "configmaps", "n", o, "{'data':{'b':'2','c':'3'}}");
    o = applied(a, "configmaps", "m", o, "{'data':{'a':'9'}}");
    assert_json(a, json_get_str(o, "data"), "{'a':'9','b':'2','c':'3'}");
    o = applied(a, "configmaps", "n", o, "{'data':{'c':'3'}}");
    assert_json(a, json_get_str(o, "data"), "{'a':'9','c':'3'}");
    assert_json(a, fields_of(o, "n"), "{'f:data':{'f:c':{}}}");
}

static void test_list_items_merge(void **state)
{
    struct arena *a = *state;
    static const char pod[] = "{'spec':{'containers':[%s]}}";
    struct json *o =
        applied(a, "pods", "m", NULL, arena_printf(a, pod, "{'name':'a','image':'1'},{'name':'b','image':'1'}"));
    o = applied(a, "pods", "n", o, arena_printf(a, pod, "{'name':'s','image':'x'},{'name':'b','tty':true}"));
    assert_json(a, json_path(o, "spec.containers"),
                "[{'name':'s','image':'x'},{'name':'a','image':'1'},{'name':'b','image':'1','tty':true}]");
    o = applied(a, "pods", "m", o, arena_printf(a, pod, "{'name':'a','image':'2'}"));
    assert_json(a, json_path(o, "spec.containers"),
                "[{'name':'s','image':'x'},{'name':'a','image':'2'},{'name':'b','tty':true}]");
}

static void test_conflicts(void **state)
{
    struct arena *a = *state;
    struct status st = {0};
    struct json *o = applied(a, "configmaps", "m", NULL, "{'data':{'a':'1','b':'1'}}");
    assert_null(apply(a, "configmaps", "n", false, o, "{'data':{'a':'2'}}", &st));
    assert_int_equal(st.code, 409);
    assert_string_equal(st.reason, "Conflict");
    assert_string_equal(st.message, "Apply failed with 1 conflict: conflict with \"m\": .data.a");
    assert_string_equal(st.causes->reason, "FieldManagerConflict");
    assert_string_equal(st.causes->field, ".data.a");
    assert_string_equal(st.causes->message, "conflict with \"m\"");
    st = (struct status){0};
    assert_null(apply(a, "configmaps", "n", false, o, "{'data':{'a':'2','b':'2'}}", &st));
    assert_string_equal(st.message, "Apply failed with 2 conflicts: conflicts with \"m\":\n- .data.a\n- .data.b");
    o = apply(a, "configmaps", "n", true, o, "{'data':{'a':'2'}}", &st);
    assert_json(a, json_get_str(o, "data"), "{'a':'2','b':'1'}");
    assert_json(a, fields_of(o, "m"), "{'f:data':{'f:b':{}}}");
    assert_json(a, fields_of(o, "n"), "{'f:data':{'f:a':{}}}");
    o = applied(a, "configmaps", "k", o, "{'data':{'a':'2'}}");
    assert_json(a, fields_of(o, "n"), "{'f:data':{'f:a':{}}}");
}

static void test_updates_are_tracked(void **state)
{
    struct arena *a = *state;
    struct apply_request rq = request("deployments", "kubectl", false);
    struct json *o = normal(
        a, rq.res,
        "{'metadata':{'name':'d','labels':{'l':'1'}},'spec':{'replicas':1,'selector':{'matchLabels':{'a':'b'}}}}",
        false);
    assert_int_equal(apply_track_update(a, &rq, NULL, o), 0);
    assert_json(a, fields_of(o, "kubectl"),
                "{'f:metadata':{'f:labels':{'.':{},'f:l':{}}},'f:spec':{'f:replicas':{},'f:selector':{}}}");
    struct json *next = json_clone(a, o);
    json_set_str(a, json_get_str(next, "spec"), "replicas", json_new_int(a, 5));
    json_del_str(json_path(next, "metadata"), "labels");
    rq.manager = SLICE("hpa");
    assert_int_equal(apply_track_update(a, &rq, o, next), 0);
    assert_json(a, fields_of(next, "hpa"), "{'f:spec':{'f:replicas':{}}}");
    assert_json(a, fields_of(next, "kubectl"), "{'f:spec':{'f:selector':{}}}");
    struct status st = {0};
    assert_null(apply(a, "deployments", "m", false, next, "{'spec':{'replicas':2}}", &st));
    assert_string_equal(st.message,
                        "Apply failed with 1 conflict: conflict with \"hpa\" using apps/v1: .spec.replicas");
}

static void test_status_is_not_owned_on_main(void **state)
{
    struct arena *a = *state;
    struct apply_request rq = request("deployments", "c", false);
    struct json *live = normal(a, rq.res, "{'spec':{'replicas':1}}", false);
    struct json *o = normal(a, rq.res, "{'spec':{'replicas':2},'status':{'replicas':1}}", false);
    struct json *p = json_clone(a, o);
    assert_int_equal(apply_track_update(a, &rq, live, o), 0);
    assert_json(a, fields_of(o, "c"), "{'f:spec':{'f:replicas':{}}}");
    rq.sub = SLICE("status");
    assert_int_equal(apply_track_update(a, &rq, live, p), 0);
    assert_json(a, fields_of(p, "c"), "{'f:status':{'f:replicas':{}}}");
    assert_slice(json_path_string(json_at(json_path(p, "metadata.managedFields"), 0), "subresource"), "status");
}

static void test_refused(void **state)
{
    struct arena *a = *state;
    struct status st = {0};
    assert_null(apply(a, "pods", "m", false, NULL, "{'spec':{'containers':[{'image':'x'}]}}", &st));
    assert_string_equal(st.message,
                        "failed to create typed patch object: .spec.containers: associative list with keys has an "
                        "element that omits key field \"name\" (and doesn't have default value)");
    st = (struct status){0};
    assert_null(apply(a, "pods", "m", false, NULL, "{'spec':{'containers':[{'name':'x'},{'name':'x'}]}}", &st));
    assert_int_equal(st.code, 400);
    st = (struct status){0};
    assert_null(apply(a, "pods", "m", false, NULL, "{'metadata':{'managedFields':[{'manager':'x'}]}}", &st));
    assert_string_equal(st.message, "metadata.managedFields must be nil");
}

static void test_algebra(void **state)
{
    struct arena *a = *state;
    struct json *x = json_of(a, "{'f:a':{'.':{},'f:b':{}},'f:c':{}}"), *y = json_of(a, "{'f:a':{'f:b':{},'f:d':{}}}");
    assert_json(a, fieldset_union(a, x, y), "{'f:a':{'.':{},'f:b':{},'f:d':{}},'f:c':{}}");
    assert_json(a, fieldset_minus(a, x, y), "{'f:a':{},'f:c':{}}");
    assert_json(a, fieldset_and(a, x, y), "{'f:a':{'f:b':{}}}");
    assert_null(fieldset_minus(a, y, y));
    assert_null(fieldset_and(a, NULL, y));
    assert_json(a, fieldset_without(json_clone(a, x), "a.b"), "{'f:a':{'.':{}},'f:c':{}}");
    assert_json(a, fieldset_without(json_of(a, "{'f:a':{},'f:status':{}}"), ""), "{'f:status':{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(test_create_by_apply),
        unit(test_what_stands_around_stays),
        unit(test_fields_given_up_go),
        unit(test_list_items_merge),
        unit(test_conflicts),
        unit(test_updates_are_tracked),
        unit(test_status_is_not_owned_on_main),
        unit(test_refused),
        unit(test_algebra),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

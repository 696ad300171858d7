#include "unit_json.h"

#include "object/patch.h"

static void assert_json_patch(struct arena *a, const char *obj, const char *patch, const char *want)
{
    struct status st = {0};
    struct json *before = json_of(a, obj);
    struct json *v = patch_json(a, before, json_of(a, patch), &st);
    if (want && !v)
        fail_msg("%s", st.message);
    if (want)
        assert_json(a, v, want);
    else
        assert_null(v);
    assert_json(a, before, obj);
}

static void test_json_patch(void **state)
{
    struct arena *a = *state;
    assert_json_patch(a, "{'a':[1,2]}", "[{'op':'add','path':'/a/1','value':9},{'op':'add','path':'/a/-','value':3}]",
                      "{'a':[1,9,2,3]}");
    assert_json_patch(a, "{'a':{'x/y~':1}}", "[{'op':'remove','path':'/a/x~1y~0'}]", "{'a':{}}");
    assert_json_patch(a, "{'a':1}", "[{'op':'replace','path':'/a','value':{'b':null}}]", "{'a':{'b':null}}");
    assert_json_patch(a, "{'a':1,'b':{}}",
                      "[{'op':'move','from':'/a','path':'/b/c'},{'op':'copy','from':'/b','path':'/d'}]",
                      "{'b':{'c':1},'d':{'c':1}}");
    assert_json_patch(a, "{'a':1}", "[{'op':'test','path':'/a','value':1.0},{'op':'add','path':'','value':[]}]", "[]");
    static const char *const bad[] = {
        "[{'op':'remove','path':'/x'}]",
        "[{'op':'replace','path':'/x','value':1}]",
        "[{'op':'test','path':'/a','value':2}]",
        "[{'op':'add','path':'/l/3','value':1}]",
        "[{'op':'add','path':'/l/01','value':1}]",
        "[{'op':'add','path':'/x/y','value':1}]",
        "[{'op':'add','path':'x','value':1}]",
        "[{'op':'add','path':'/x'}]",
        "[{'op':'jump','path':'/x','value':1}]",
        "[{'path':'/x'}]",
        "[{'op':'move','from':'/l','path':'/l/0'}]",
        "[1]",
        "{}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_json_patch(a, "{'a':1,'l':[1,2]}", bad[i], NULL);
}

static void test_json_patch_limits(void **state)
{
    struct status st = {0};
    struct json *patch = json_new_array(*state), *op = json_of(*state, "{'op':'copy','from':'','path':'/a'}");
    for (int i = 0; i < 200; i++)
        json_append(patch, json_clone(*state, op));
    assert_null(patch_json(*state, json_of(*state, "{}"), patch, &st));
    assert_int_equal(st.code, 422);
    for (int i = 0; i < PATCH_OPERATIONS_MAX; i++)
        json_append(patch, json_clone(*state, op));
    assert_null(patch_json(*state, json_of(*state, "{}"), patch, &st));
    assert_int_equal(st.code, 413);
}

static void test_merge_patch(void **state)
{
    struct arena *a = *state;
    struct status st = {0};
    struct json *v = patch_merge(a, json_of(a, "{'a':{'b':1,'c':2},'l':[1],'x':1}"),
                                 json_of(a, "{'a':{'b':null,'d':{'e':null,'f':1}},'l':[2],'x':{'y':2}}"), &st);
    assert_json(a, v, "{'a':{'c':2,'d':{'f':1}},'l':[2],'x':{'y':2}}");
    assert_null(patch_merge(a, v, json_of(a, "[]"), &st));
    assert_int_equal(st.code, 400);
}

static void assert_strategic(struct arena *a, const char *plural, const char *obj, const char *patch, const char *want)
{
    struct status st = {0};
    const struct schema_type *type = NULL;
    for (size_t i = 0; i < resource_count(); i++)
        if (strcmp(resource_at(i)->plural, plural) == 0)
            type = resource_at(i)->type;
    struct json *v = patch_strategic(a, type, json_of(a, obj), json_of(a, patch), &st);
    if (want && !v)
        fail_msg("%s", st.message);
    if (want)
        assert_json(a, v, want);
    else
        assert_int_equal(st.code, 400);
}

static void test_strategic_lists(void **state)
{
    struct arena *a = *state;
    assert_strategic(a, "pods", "{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'name':'b','image':'2'},{'name':'c','tty':null}]}}",
                     "{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'2'},{'name':'c'}]}}");
    assert_strategic(a, "pods", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'$patch':'delete','name':'a'}]}}",
                     "{'spec':{'containers':[{'name':'b'}]}}");
    assert_strategic(a, "pods", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'$patch':'replace'},{'name':'z'}]}}",
                     "{'spec':{'containers':[{'name':'z'}]}}");
    assert_strategic(a, "pods", "{'spec':{'tolerations':[{'key':'a'}]}}", "{'spec':{'tolerations':[{'key':'b'}]}}",
                     "{'spec':{'tolerations':[{'key':'b'}]}}");
    assert_strategic(a, "pods", "{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':[{'image':'x'}]}}",
                     NULL);
    assert_strategic(a, "pods", "{'spec':{}}", "{'spec':{'containers':[{'image':'x'}]}}",
                     "{'spec':{'containers':[{'image':'x'}]}}");
    assert_strategic(a, "pods", "{'spec':{'hostname':'h'}}",
                     "{'spec':{'$patch':'replace','containers':[{'image':'x'}]}}",
                     "{'spec':{'containers':[{'image':'x'}]}}");
    assert_strategic(a, "pods", "{'metadata':{'finalizers':['a','b']}}",
                     "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a'],'finalizers':['c','b']}}",
                     "{'metadata':{'finalizers':['b','c']}}");
}

static void test_strategic_order(void **state)
{
    struct arena *a = *state;
    assert_strategic(
        a, "pods", "{'spec':{'containers':[{'name':'a'},{'name':'s'},{'name':'b'}]}}",
        "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'n'},{'name':'a'}],'containers':[{'name':'n'}]}}",
        "{'spec':{'containers':[{'name':'s'},{'name':'b'},{'name':'n'},{'name':'a'}]}}");
}

static void test_strategic_objects(void **state)
{
    struct arena *a = *state;
    assert_strategic(a, "deployments", "{'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
                     "{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}",
                     "{'spec':{'strategy':{'type':'Recreate'}}}");
    assert_strategic(a, "deployments", "{'spec':{'template':{'metadata':{'labels':{'a':'1','b':'2'}}}}}",
                     "{'spec':{'template':{'metadata':{'labels':{'$patch':'replace','c':'3'}}}}}",
                     "{'spec':{'template':{'metadata':{'labels':{'c':'3'}}}}}");
    assert_strategic(a, "configmaps", "{'data':{'a':'1'}}",
                     "{'data':{'$patch':'delete'},'metadata':{'labels':{'x':'y'}}}",
                     "{'data':{},'metadata':{'labels':{'x':'y'}}}");
    assert_strategic(a, "configmaps", "{'data':{'a':'1'}}", "{'data':{'a':null,'$x':'y'}}", "{'data':{'$x':'y'}}");
    assert_strategic(a, "configmaps", "{}", "{'data':{'$patch':'mend'}}", NULL);
    assert_strategic(a, "pods", "{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
                     "{'spec':{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v','hostPath':{'path':'/x'}}]}}",
                     "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(test_json_patch),      unit(test_json_patch_limits), unit(test_merge_patch),
        unit(test_strategic_lists), unit(test_strategic_order),   unit(test_strategic_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

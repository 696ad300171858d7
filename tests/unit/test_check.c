#include "unit_json.h"

#include "object/check.h"

static const struct schema_type *type_of(const char *plural)
{
    for (size_t i = 0; i < resource_count(); i++)
        if (strcmp(resource_at(i)->plural, plural) == 0)
            return resource_at(i)->type;
    return NULL;
}

static void assert_becomes(struct arena *a, const char *plural, const char *in, const char *out)
{
    struct check c = {.a = a};
    struct status st = {0};
    struct json *o = json_of(a, in);
    if (check_object(&c, type_of(plural), o, &st))
        fail_msg("%s", st.message);
    assert_json(a, o, out);
}

static void test_normal_form(void **state)
{
    struct arena *a = *state;
    assert_becomes(a, "configmaps",
                   "{'data':{'b':'1','a':null},'x':1,'metadata':{'name':'n','labels':{}},'kind':'ConfigMap'}",
                   "{'kind':'ConfigMap','metadata':{'name':'n'},'data':{'b':'1','a':''}}");
    assert_becomes(
        a, "leases", "{'spec':{'renewTime':'2026-01-02T03:04:05+01:00','leaseTransitions':0,'holderIdentity':''}}",
        "{'metadata':{},'spec':{'holderIdentity':'','renewTime':'2026-01-02T02:04:05.000000Z','leaseTransitions':0}}");
    assert_becomes(a, "resourcequotas", "{'spec':{'hard':{'cpu':0.5,'memory':'1024Mi','pods':10}}}",
                   "{'metadata':{},'spec':{'hard':{'cpu':'500m','memory':'1Gi','pods':'10'}},'status':{}}");
    assert_becomes(a, "roles", "{'rules':[{'resources':['pods'],'verbs':['get'],'apiGroups':['']}]}",
                   "{'metadata':{},'rules':[{'verbs':['get'],'apiGroups':[''],'resources':['pods']}]}");
    assert_becomes(a, "services", "{'spec':{'ports':[{'targetPort':'http','port':80.0}]}}",
                   "{'metadata':{},'spec':{'ports':[{'port':80,'targetPort':'http'}]},'status':{'loadBalancer':{}}}");
}

static void test_pods_keep_empty_pointers(void **state)
{
    assert_becomes(
        *state, "pods",
        "{'spec':{'volumes':[{'emptyDir':{},'name':'v'}],'hostNetwork':false,'hostUsers':false,"
        "'containers':[{'name':'c'}]}}",
        "{'metadata':{},'spec':{'volumes':[{'name':'v','emptyDir':{}}],'containers':[{'name':'c','resources':{}}],"
        "'hostUsers':false},'status':{}}");
}

static void test_partial(void **state)
{
    struct check c = {.a = *state, .partial = true};
    struct status st = {0};
    struct json *o = json_of(
        *state, "{'spec':{'replicas':0,'paused':false,'template':{'spec':{'nodeName':null}}},'kind':'Deployment'}");
    assert_int_equal(check_object(&c, type_of("deployments"), o, &st), 0);
    assert_json(*state, o, "{'kind':'Deployment','spec':{'replicas':0,'template':{'spec':{}},'paused':false}}");
}

static void assert_refused(struct arena *a, const char *plural, const char *in, const char *message)
{
    struct check c = {.a = a};
    struct status st = {0};
    assert_int_equal(check_object(&c, type_of(plural), json_of(a, in), &st), 400);
    assert_string_equal(st.reason, "BadRequest");
    assert_string_equal(st.message, message);
}

static void test_wrong_types(void **state)
{
    struct arena *a = *state;
    assert_refused(
        a, "pods", "{'apiVersion':'v1','kind':'Pod','spec':{'containers':'x'}}",
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field "
        "PodSpec.spec.containers of type []v1.Container");
    assert_refused(a, "pods", "{'spec':{'containers':[{'name':1}]}}",
                   "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string");
    assert_refused(
        a, "deployments", "{'apiVersion':'apps/v1','kind':'Deployment','spec':{'replicas':'3'}}",
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go "
        "struct field DeploymentSpec.spec.replicas of type int32");
    assert_refused(
        a, "deployments", "{'spec':{'replicas':3000000000}}",
        "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32");
    assert_refused(a, "configmaps", "{'data':{'a':true}}",
                   "json: cannot unmarshal bool into Go struct field ConfigMap.data of type string");
    assert_refused(a, "configmaps", "[]", "the body must be a JSON object, not array");
    assert_refused(a, "secrets", "{'data':{'a':'?'}}", "illegal base64 data");
}

static void test_strict(void **state)
{
    struct arena *a = *state;
    struct check c = {.a = a, .mode = CHECK_STRICT};
    struct status st = {0};
    struct json *o =
        json_parse(a,
                   SLICE("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"foo\":1,\"foo\":2,\"containers\":[{"
                         "\"Name\":\"x\"}]}}"),
                   NULL, check_on_duplicate, &c);
    assert_int_equal(check_object(&c, type_of("pods"), o, &st), 400);
    assert_string_equal(st.message,
                        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: duplicate field "
                        "\"spec.foo\", unknown field \"spec.foo\", unknown field \"spec.containers[0].Name\"");
}

static void test_warn(void **state)
{
    struct arena *a = *state;
    struct check c = {.a = a, .mode = CHECK_WARN};
    struct status st = {0};
    struct json *o = json_of(a, "{'bogus':1,'data':{'a':'b'}}");
    assert_int_equal(check_object(&c, type_of("configmaps"), o, &st), 0);
    assert_int_equal(c.n_warnings, 1);
    assert_string_equal(c.warnings->text, "unknown field \"bogus\"");
    assert_null(json_get_str(o, "bogus"));
    enum check_mode m;
    assert_true(check_mode_parse(SLICE(""), &m));
    assert_int_equal(m, CHECK_WARN);
    assert_true(check_mode_parse(SLICE("Strict"), &m));
    assert_false(check_mode_parse(SLICE("strict"), &m));
}

static void test_bootstrap_objects_are_in_normal_form(void **state)
{
    struct arena *a = *state;
    for (size_t i = 0; i < bootstrap_n_rbac; i++) {
        struct check c = {.a = a, .mode = CHECK_STRICT};
        struct status st = {0};
        struct json *o = json_parse(a, bootstrap_rbac[i], NULL, NULL, NULL);
        const struct resource *r =
            resource_by_api_version(json_path_string(o, "apiVersion"), json_path_string(o, "kind"));
        struct json *before = json_clone(a, o);
        assert_int_equal(check_object(&c, r->type, o, &st), 0);
        assert_true(json_equal(before, o));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(test_normal_form),
        unit(test_pods_keep_empty_pointers),
        unit(test_partial),
        unit(test_wrong_types),
        unit(test_strict),
        unit(test_warn),
        unit(test_bootstrap_objects_are_in_normal_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

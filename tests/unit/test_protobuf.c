#include "unit_json.h"

#include <errno.h>

#include "object/check.h"
#include "object/protobuf.h"
#include "schema/tables.h"

static const struct resource *resource_of(const char *plural)
{
    for (size_t i = 0; i < resource_count(); i++)
        if (strcmp(resource_at(i)->plural, plural) == 0)
            return resource_at(i);
    return NULL;
}

static struct json *normal(struct arena *a, const struct schema_type *type, struct json *o)
{
    struct check c = {.a = a};
    struct status st = {0};
    if (check_object(&c, type, o, &st))
        fail_msg("%s", st.message);
    return o;
}

static void assert_round_trip(struct arena *a, const char *plural, const char *text)
{
    const struct resource *res = resource_of(plural);
    struct buf out = BUF_INIT(1 << 20);
    struct status st = {0};
    struct json *o = json_of(a, text);
    json_set_first(a, o, "apiVersion", json_new_str(a, res->api_version));
    json_set_first(a, o, "kind", json_new_str(a, res->kind));
    normal(a, res->type, o);
    assert_int_equal(protobuf_encode(&out, res->type, o), 0);
    struct json *back = protobuf_decode(a, res->type, buf_slice(&out), &st);
    if (!back)
        fail_msg("%s", st.message);
    assert_string_equal(json_text(a, normal(a, res->type, back)), json_text(a, o));
    buf_done(&out);
}

static void test_round_trips(void **state)
{
    struct arena *a = *state;
    assert_round_trip(
        a, "pods",
        "{'metadata':{'name':'p','labels':{'a':'b','c':''},'creationTimestamp':'2026-01-02T03:04:05Z'},'spec':{"
        "'volumes':[{'name':'v','configMap':{'name':'m','defaultMode':420}},{'name':'e','emptyDir':{}}],'containers':[{"
        "'name':'c','resources':{'limits':{'cpu':'500m'}},'livenessProbe':{'httpGet':{'port':'http'},'periodSeconds':5}"
        "}],"
        "'terminationGracePeriodSeconds':0,'hostNetwork':true,'tolerations':[{'tolerationSeconds':-1}]},'status':{"
        "'startTime':'1969-12-31T23:59:59Z'}}");
    assert_round_trip(a, "secrets", "{'data':{'k':'AP8=','e':''},'immutable':false}");
    assert_round_trip(a, "leases", "{'spec':{'renewTime':'2026-01-02T03:04:05.678901Z','leaseTransitions':0}}");
    assert_round_trip(a, "services", "{'spec':{'ports':[{'port':80,'targetPort':8080}],'clusterIPs':['None']}}");
    assert_round_trip(
        a, "customresourcedefinitions",
        "{'spec':{'group':'g','scope':'Cluster','names':{'plural':'p','kind':'K'},'versions':[{'name':'v1','served':"
        "true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object','properties':{'a':{'items':{'type':'string'}}"
        ","
        "'b':{'items':[{'type':'a'},{'type':'b'}]},'c':{'additionalProperties':false},'d':{'additionalProperties':{'"
        "type':"
        "'x'},'maximum':1.5,'default':{'k':[1,null]},'enum':['a',1]},'e':{'dependencies':{'x':['y'],'z':{'type':'t'}}}}"
        "}}}]}}");
    assert_round_trip(a, "subjectaccessreviews", "{'spec':{'extra':{'k':['a','b']},'user':'u'}}");
    assert_round_trip(a, "controllerrevisions", "{'data':{'spec':{'x':[1,2.5,'y']}},'revision':3}");
    assert_round_trip(
        a, "validatingwebhookconfigurations",
        "{'webhooks':[{'name':'w','rules':[{'operations':['*'],'apiGroups':['g'],'scope':'*'}],'clientConfig':{"
        "'caBundle':'AAAA'}}]}");
}

static void test_bootstrap_objects_round_trip(void **state)
{
    struct arena *a = *state;
    for (size_t i = 0; i < bootstrap_n_rbac; i++) {
        struct buf out = BUF_INIT(1 << 20);
        struct status st = {0};
        struct json *o = json_parse(a, bootstrap_rbac[i], NULL, NULL, NULL);
        const struct resource *r =
            resource_by_api_version(json_path_string(o, "apiVersion"), json_path_string(o, "kind"));
        assert_int_equal(protobuf_encode(&out, r->type, o), 0);
        assert_true(json_equal(normal(a, r->type, protobuf_decode(a, r->type, buf_slice(&out), &st)), o));
        buf_done(&out);
    }
}

/* A ConfigMap {data: {k: v}} as Go writes it. */
static const char config_map[] = "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"
                                 "ConfigMap\x12\x0c\x0a\x02\x0a\0\x12\x06\x0a\x01k\x12\x01v\x1a\0\"\0";

static void test_bytes_of_go(void **state)
{
    struct arena *a = *state;
    struct status st = {0};
    const struct schema_type *type = resource_of("configmaps")->type;
    struct json *o = protobuf_decode(a, type, slice_of(config_map, sizeof config_map - 1), &st);
    assert_json(a, normal(a, type, o), "{'kind':'ConfigMap','apiVersion':'v1','metadata':{},'data':{'k':'v'}}");
}

static void test_damaged(void **state)
{
    struct arena *a = *state;
    const struct schema_type *type = resource_of("configmaps")->type;
    size_t refused = 0;
    for (size_t n = 0; n < sizeof config_map - 1; n++) {
        struct status st = {0};
        refused += protobuf_decode(a, type, slice_of(config_map, n), &st) == NULL;
    }
    assert_true(refused > sizeof config_map - 12); /* but for the empty end, nothing can be left out */
    for (size_t i = 4; i < sizeof config_map - 1; i++) {
        for (int bit = 0; bit < 8; bit++) {
            char copy[sizeof config_map];
            struct status st = {0};
            memcpy(copy, config_map, sizeof copy);
            copy[i] = (char)(copy[i] ^ 1 << bit);
            struct json *o = protobuf_decode(a, type, slice_of(copy, sizeof copy - 1), &st);
            assert_true((o == NULL) == (st.code == 400));
        }
    }
}

static void test_depth(void **state)
{
    struct arena *a = *state;
    struct buf out = BUF_INIT(1 << 20);
    struct status st = {0};
    const struct schema_type *type =
        schema_type_find(SLICE("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"));
    struct json *o = json_new_object(a);
    for (int i = 0; i < 3 * JSON_DEPTH_MAX; i++) {
        struct json *outer = json_new_object(a);
        json_set_str(a, outer, "not", o);
        o = outer;
    }
    assert_int_equal(protobuf_encode(&out, type, o), -E2BIG);
    buf_clear(&out);
    for (int i = 0; i < JSON_DEPTH_MAX / 2 + 80; i++)
        o = json_get_str(o, "not");
    assert_int_equal(protobuf_encode(&out, type, o), 0);
    assert_null(protobuf_decode(a, type, buf_slice(&out), &st));
    assert_non_null(strstr(st.message, "deep"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_round_trips), unit(test_bootstrap_objects_round_trip),
                                       unit(test_bytes_of_go), unit(test_damaged), unit(test_depth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

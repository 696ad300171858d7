#include "unit_json.h"

#include "object/check.h"
#include "object/defaults.h"
#include "object/defaults_kinds.h"
#include "schema/tables.h"

static struct json *defaulted(struct arena *a, const char *plural, const char *in)
{
    const struct schema_type *type = NULL;
    for (size_t i = 0; i < resource_count(); i++)
        if (strcmp(resource_at(i)->plural, plural) == 0)
            type = resource_at(i)->type;
    struct check c = {.a = a};
    struct status st = {0};
    struct json *o = json_of(a, in);
    assert_int_equal(check_object(&c, type, o, &st), 0);
    assert_int_equal(defaults_apply(a, type, o, 0), 0);
    struct json *once = json_clone(a, o);
    assert_int_equal(defaults_apply(a, type, o, 0), 0);
    assert_true(json_equal(once, o));
    return o;
}

static void test_pod(void **state)
{
    struct arena *a = *state;
    struct json *o =
        defaulted(a, "pods",
                  "{'spec':{'hostNetwork':true,'serviceAccount':'sa','containers':[{'name':'c','image':'r:5000/x',"
                  "'ports':[{'containerPort':80}],'resources':{'limits':{'cpu':'1','memory':'1500u'}},"
                  "'livenessProbe':{'httpGet':{'port':80}}}],'volumes':[{'name':'v'},{'name':'s','secret':{}}]}}");
    assert_json(
        a, json_get_str(o, "spec"),
        "{'volumes':[{'name':'v','emptyDir':{}},{'name':'s','secret':{'defaultMode':420}}],'containers':[{'name':'c',"
        "'image':'r:5000/x','ports':[{'hostPort':80,'containerPort':80,'protocol':'TCP'}],'resources':{'limits':{"
        "'cpu':'1','memory':'2m'},'requests':{'cpu':'1','memory':'2m'}},'livenessProbe':{'httpGet':{'path':'/','port':"
        "80,'scheme':'HTTP'},'timeoutSeconds':1,'periodSeconds':10,'successThreshold':1,'failureThreshold':3},"
        "'terminationMessagePath':'/dev/"
        "termination-log','terminationMessagePolicy':'File','imagePullPolicy':'Always'}],"
        "'restartPolicy':'Always','terminationGracePeriodSeconds':30,'dnsPolicy':'ClusterFirst',"
        "'serviceAccountName':'sa','serviceAccount':'sa','hostNetwork':true,'securityContext':{},"
        "'schedulerName':'default-scheduler','enableServiceLinks':true}");
    o = defaulted(a, "pods",
                  "{'spec':{'terminationGracePeriodSeconds':0,'containers':[{'image':'a:1'},{'image':'a@sha256:0'}]}}");
    assert_int_equal(json_int(json_path(o, "spec.terminationGracePeriodSeconds"), 9), 0);
    json_each (it, json_path(o, "spec.containers"))
        assert_slice(json_path_string(it, "imagePullPolicy"), "IfNotPresent");
}

static void test_templates(void **state)
{
    struct arena *a = *state;
    struct json *o =
        defaulted(a, "deployments", "{'spec':{'selector':{},'template':{'spec':{'containers':[{'name':'c'}]}}}}");
    assert_json(a, json_path(o, "spec.strategy"),
                "{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':'25%','maxSurge':'25%'}}");
    assert_int_equal(json_int(json_path(o, "spec.replicas"), 0), 1);
    assert_slice(json_path_string(o, "spec.template.spec.restartPolicy"), "Always");
    assert_null(json_path(o, "spec.template.spec.enableServiceLinks"));
    o = defaulted(a, "deployments", "{'spec':{'strategy':{'type':'Recreate'},'replicas':0}}");
    assert_json(a, json_path(o, "spec.strategy"), "{'type':'Recreate'}");
    assert_int_equal(json_int(json_path(o, "spec.replicas"), 9), 0);
    o = defaulted(a, "cronjobs", "{'spec':{'jobTemplate':{'spec':{'template':{'spec':{}}}}}}");
    assert_null(json_path(o, "spec.jobTemplate.spec.backoffLimit"));
    assert_slice(json_path_string(o, "spec.jobTemplate.spec.template.spec.dnsPolicy"), "ClusterFirst");
    o = defaulted(a, "statefulsets", "{'spec':{'volumeClaimTemplates':[{}]}}");
    assert_json(a, json_path(o, "spec.updateStrategy"), "{'type':'RollingUpdate','rollingUpdate':{'partition':0}}");
    assert_slice(json_path_string(json_at(json_path(o, "spec.volumeClaimTemplates"), 0), "status.phase"), "Pending");
}

static void test_service(void **state)
{
    struct arena *a = *state;
    struct json *o = defaulted(a, "services", "{'spec':{'ports':[{'port':80}]}}");
    assert_json(a, json_get_str(o, "spec"),
                "{'ports':[{'protocol':'TCP','port':80,'targetPort':80}],'type':'ClusterIP','sessionAffinity':'None',"
                "'internalTrafficPolicy':'Cluster'}");
    o = defaulted(a, "services", "{'spec':{'type':'LoadBalancer','sessionAffinity':'ClientIP'}}");
    assert_slice(json_path_string(o, "spec.externalTrafficPolicy"), "Cluster");
    assert_true(json_bool(json_path(o, "spec.allocateLoadBalancerNodePorts"), false));
    assert_int_equal(json_int(json_path(o, "spec.sessionAffinityConfig.clientIP.timeoutSeconds"), 0), 10800);
}

static void test_odd_ones(void **state)
{
    struct arena *a = *state;
    struct json *o = defaulted(a, "namespaces", "{'metadata':{'name':'n'}}");
    assert_json(
        a, o,
        "{'metadata':{'name':'n','labels':{'kubernetes.io/metadata.name':'n'}},'spec':{},'status':{'phase':'Active'}}");
    o = defaulted(a, "networkpolicies", "{'spec':{'egress':[{}]}}");
    assert_json(a, json_path(o, "spec.policyTypes"), "['Ingress','Egress']");
    o = defaulted(a, "customresourcedefinitions",
                  "{'spec':{'names':{'kind':'Cat'},'versions':[{'name':'v1'},{'name':'v2','storage':true}]}}");
    assert_slice(json_path_string(o, "spec.names.singular"), "cat");
    assert_slice(json_path_string(o, "spec.names.listKind"), "CatList");
    assert_json(a, json_path(o, "status.storedVersions"), "['v2']");
    o = defaulted(a, "limitranges",
                  "{'spec':{'limits':[{'type':'Container','max':{'cpu':'2'},'min':{'memory':'1Mi'}}]}}");
    assert_json(a, json_at(json_path(o, "spec.limits"), 0),
                "{'type':'Container','max':{'cpu':'2'},'min':{'memory':'1Mi'},'default':{'cpu':'2'},'defaultRequest':{'"
                "cpu':'2',"
                "'memory':'1Mi'}}");
    o = defaulted(a, "secrets", "{'data':{'a':'eA=='},'stringData':{'b':'hi','a':''}}");
    assert_json(a, o, "{'metadata':{},'data':{'a':'','b':'aGk='},'type':'Opaque'}");
    o = defaulted(a, "jobs", "{'spec':{'parallelism':0,'template':{'metadata':{'labels':{'a':'b'}}}}}");
    assert_null(json_path(o, "spec.completions"));
    assert_json(a, json_path(o, "metadata.labels"), "{'a':'b'}");
    o = defaulted(a, "clusterrolebindings",
                  "{'subjects':[{'kind':'User','name':'u'},{'kind':'ServiceAccount','name':'s'}]}");
    assert_slice(json_path_string(json_at(json_get_str(o, "subjects"), 0), "apiGroup"), "rbac.authorization.k8s.io");
    assert_int_equal(json_path_string(json_at(json_get_str(o, "subjects"), 1), "apiGroup").n, 0);
}

static void test_every_named_function_exists(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_n_types; i++) {
        const struct schema_type *t = &schema_types[i];
        for (size_t d = 0; d < t->n_defaults; d++)
            if (t->defaults[d].value[0] == '!')
                assert_non_null(defaults_function_find(slice_from(slice_str(t->defaults[d].value), 1)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_pod), unit(test_templates), unit(test_service), unit(test_odd_ones),
                                       unit(test_every_named_function_exists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

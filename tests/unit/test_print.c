#include "unit_json.h"

#include "object/print.h"
#include "object/print_cell.h"

#define NOW 1000000000000000000LL /* 2001-09-09T01:46:40Z */

static void assert_cells(struct arena *a, const char *group, const char *plural, const char *obj, const char *want)
{
    const struct resource *res = resource_find(slice_str(group), SLICE("v1"), slice_str(plural));
    assert_non_null(res);
    assert_json(a, print_cells(a, res, json_of(a, obj), NOW), want);
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        int64_t s;
        const char *text;
    } cases[] = {
        {-2, "<invalid>"}, {-1, "0s"},       {0, "0s"},      {119, "119s"},    {120, "2m"},        {125, "2m5s"},
        {600, "10m"},      {10799, "179m"},  {10800, "3h"},  {11160, "3h6m"},  {28800, "8h"},      {172799, "47h"},
        {172800, "2d"},    {190800, "2d5h"}, {691200, "8d"}, {63072000, "2y"}, {63158400, "2y1d"}, {252288000, "8y"},
    };
    char out[DURATION_TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_duration(cases[i].s * 1000000000, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void test_pods(void **state)
{
    struct arena *a = *state;
    assert_cells(
        a, "", "pods",
        "{'metadata':{'name':'p','creationTimestamp':'2001-09-09T01:45:40Z'},'spec':{'nodeName':'n','containers':[{},{}"
        "]},"
        "'status':{'phase':'Running','podIPs':[{'ip':'1.2.3.4'}],'containerStatuses':[{'name':'a','ready':true,"
        "'restartCount':2,'state':{'running':{}},'lastState':{'terminated':{'finishedAt':'2001-09-09T01:46:00Z'}}},"
        "{'name':'b','ready':false,'restartCount':1,'state':{'waiting':{'reason':'CrashLoopBackOff'}}}]}}",
        "['p','1/2','CrashLoopBackOff','3 (40s ago)','60s','1.2.3.4','n','<none>','<none>']");
    assert_cells(
        a, "", "pods",
        "{'metadata':{'name':'p'},'spec':{'initContainers':[{'name':'i'},{'name':'j'}],'containers':[{}]},'status':{"
        "'phase':'Pending','initContainerStatuses':[{'name':'i','state':{'terminated':{'exitCode':0}}},{'name':'j',"
        "'restartCount':4,'state':{'running':{}}}]}}",
        "['p','0/1','Init:1/2','4','<unknown>','<none>','<none>','<none>','<none>']");
    assert_cells(a, "", "pods",
                 "{'metadata':{'name':'p','deletionTimestamp':'2001-09-09T01:45:40Z'},'spec':{'containers':[{}],'"
                 "readinessGates':"
                 "[{'conditionType':'x'}]},'status':{'phase':'Running','conditions':[{'type':'x','status':'True'}]}}",
                 "['p','0/1','Terminating','0','<unknown>','<none>','<none>','<none>','1/1']");
    assert_cells(
        a, "", "pods",
        "{'metadata':{'name':'p'},'spec':{'containers':[{}]},'status':{'phase':'Failed','containerStatuses':[{'state':"
        "{'terminated':{'exitCode':137,'signal':9}}}]}}",
        "['p','0/1','Signal:9','0','<unknown>','<none>','<none>','<none>','<none>']");
}

static void test_nodes_and_services(void **state)
{
    struct arena *a = *state;
    assert_cells(
        a, "", "nodes",
        "{'metadata':{'name':'n','labels':{'node-role.kubernetes.io/worker':'','node-role.kubernetes.io/"
        "cp':''}},'spec':{"
        "'unschedulable':true},'status':{'conditions':[{'type':'Ready','status':'True'}],'addresses':[{'type':'"
        "InternalIP',"
        "'address':'10.0.0.1'}],'nodeInfo':{'kubeletVersion':'v1','kernelVersion':'6.1','architecture':'amd64'}}}",
        "['n','Ready,SchedulingDisabled','cp,worker','<unknown>','v1','10.0.0.1','<none>','<unknown>','6.1 (amd64)',"
        "'<unknown>']");
    assert_cells(
        a, "", "services",
        "{'metadata':{'name':'s'},'spec':{'type':'LoadBalancer','clusterIPs':['10.0.0.1'],'ports':[{'port':80,'"
        "nodePort':"
        "30000,'protocol':'TCP'},{'port':53,'protocol':'UDP'}],'selector':{'b':'2','a':'1'}},'status':{'loadBalancer':{"
        "'ingress':[{'hostname':'x'},{'ip':'1.1.1.1'}]}}}",
        "['s','LoadBalancer','10.0.0.1','1.1.1.1,x','80:30000/TCP,53/UDP','<unknown>','a=1,b=2']");
    assert_cells(a, "", "services", "{'metadata':{'name':'s'},'spec':{'type':'ExternalName','externalName':'e.x'}}",
                 "['s','ExternalName','<none>','e.x','<none>','<unknown>','<none>']");
}

static void test_workloads(void **state)
{
    struct arena *a = *state;
    assert_cells(
        a, "apps", "deployments",
        "{'metadata':{'name':'d'},'spec':{'replicas':3,'selector':{'matchLabels':{'a':'b'}},'template':{'spec':{'"
        "containers':"
        "[{'name':'x','image':'i'},{'name':'y','image':'j'}]}}},'status':{'readyReplicas':2,'updatedReplicas':3}}",
        "['d','2/3',3,0,'<unknown>','x,y','i,j','a=b']");
    assert_cells(a, "batch", "jobs",
                 "{'metadata':{'name':'j'},'spec':{'completions':2,'selector':{},'template':{}},'status':{'succeeded':"
                 "2,'startTime':"
                 "'2001-09-09T01:00:00Z','completionTime':'2001-09-09T01:05:10Z','conditions':[{'type':'Complete','"
                 "status':'True'}]}}",
                 "['j','Complete','2/2','5m10s','<unknown>','','','<none>']");
}

static void test_others(void **state)
{
    struct arena *a = *state;
    assert_cells(a, "", "configmaps", "{'metadata':{'name':'c'},'data':{'a':'','b':''},'binaryData':{'x':''}}",
                 "['c',3,'<unknown>']");
    assert_cells(a, "", "endpoints",
                 "{'metadata':{'name':'e'},'subsets':[{'addresses':[{'ip':'1.1.1.1'},{'ip':'::1'}],'ports':[{'port':1},"
                 "{'port':2}]}]}",
                 "['e','1.1.1.1:1,[::1]:1,1.1.1.1:2 + 1 more...','<unknown>']");
    assert_cells(
        a, "", "events",
        "{'metadata':{'name':'e'},'type':'Normal','reason':'R','involvedObject':{'kind':'Pod','name':'p'},'source':{"
        "'component':'c','host':'h'},'message':' m\\n','count':2,'lastTimestamp':'2001-09-09T01:46:30Z'}",
        "['10s','Normal','R','pod/p','','c, h','m','<unknown>',2,'e']");
    assert_cells(a, "events.k8s.io", "events",
                 "{'metadata':{'name':'e'},'reason':'R','regarding':{'kind':'Pod','name':'p'},'note':'m','eventTime':"
                 "'2001-09-09T01:46:35.000000Z','reportingController':'c'}",
                 "['5s','','R','pod/p','','c','m','5s',1,'e']");
    assert_cells(
        a, "rbac.authorization.k8s.io", "rolebindings",
        "{'metadata':{'name':'b'},'roleRef':{'kind':'Role','name':'r'},'subjects':[{'kind':'User','name':'u'},{'kind':"
        "'ServiceAccount','namespace':'n','name':'s'}]}",
        "['b','Role/r','<unknown>','u','','n/s']");
    assert_cells(
        a, "", "resourcequotas",
        "{'metadata':{'name':'q'},'status':{'hard':{'pods':'5','cpu':'1','limits.cpu':'2'},'used':{'pods':'1'}}}",
        "['q','cpu: 0/1, pods: 1/5','limits.cpu: 0/2','<unknown>']");
    assert_cells(a, "storage.k8s.io", "storageclasses",
                 "{'metadata':{'name':'s','annotations':{'storageclass.kubernetes.io/"
                 "is-default-class':'true'}},'provisioner':'p'}",
                 "['s (default)','p','Delete','Immediate',false,'<unknown>']");
    assert_cells(a, "", "persistentvolumeclaims",
                 "{'metadata':{'name':'c'},'spec':{'volumeName':'v','storageClassName':'s'},'status':{'phase':'Bound','"
                 "capacity':{"
                 "'storage':'1Gi'},'accessModes':['ReadWriteMany','ReadWriteOnce']}}",
                 "['c','Bound','v','1Gi','RWO,RWX','s','<unset>','<unknown>','<unset>']");
}

static void test_hpa(void **state)
{
    struct arena *a = *state;
    const struct resource *res = resource_find(SLICE("autoscaling"), SLICE("v2"), SLICE("horizontalpodautoscalers"));
    struct json *o = json_of(
        a, "{'metadata':{'name':'h'},'spec':{'scaleTargetRef':{'kind':'Deployment','name':'d'},'maxReplicas':5,"
           "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'averageUtilization':80}}},{'type':"
           "'Pods','pods':{'target':{'averageValue':'10'}}},{'type':'x'}]},'status':{'currentMetrics':[{'resource':"
           "{'current':{'averageUtilization':42}}}]}}");
    assert_json(a, print_cells(a, res, o, NOW),
                "['h','Deployment/d','cpu: 42%/80%, <unknown>/10 + 1 more...','<unset>',5,0,'<unknown>']");
}

static void test_rows(void **state)
{
    struct arena *a = *state;
    const struct resource *pods = resource_find(SLICE(""), SLICE("v1"), SLICE("pods"));
    struct json *pod = json_of(a, "{'metadata':{'name':'p'},'status':{'phase':'Succeeded'}}");
    struct json *row = print_row(a, pods, pod, NOW, print_partial(a, pod));
    assert_json(a, json_get_str(row, "object"),
                "{'kind':'PartialObjectMetadata','apiVersion':'meta.k8s.io/v1','metadata':{'name':'p'}}");
    assert_json(
        a, json_get_str(row, "conditions"),
        "[{'type':'Completed','status':'True','reason':'Succeeded','message':'The pod has completed successfully.'}]");
    assert_json(a, json_at(print_columns(a, pods), 0),
                "{'name':'Name','type':'string','format':'name','description':'','priority':0}");
    struct resource custom = *pods;
    custom.n_columns = 0;
    assert_json(a, print_cells(a, &custom, pod, NOW), "['p','<unknown>']");
}

/* A misspelt function would leave its column empty. */
static void test_every_function_exists(void **state)
{
    (void)state;
    static const struct cell_entry *const tables[] = {cell_general, cell_pod, cell_kinds};
    for (size_t r = 0; r < resource_count(); r++) {
        for (size_t i = 0; i < resource_at(r)->n_columns; i++) {
            const char *cell = resource_at(r)->columns[i].cell, *open = strchr(cell, '(');
            const char *quote = strchr(cell, '\'');
            if (!open || (quote && quote < open))
                continue;
            bool found = false;
            for (size_t t = 0; t < 3; t++)
                for (const struct cell_entry *e = tables[t]; e->name; e++)
                    found |= slice_eq_str(slice_of(cell, (size_t)(open - cell)), e->name);
            if (!found)
                fail_msg("%s", cell);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(test_duration), unit(test_pods), unit(test_nodes_and_services),    unit(test_workloads), unit(test_others),
        unit(test_hpa),      unit(test_rows), unit(test_every_function_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

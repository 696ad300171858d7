#include "unit_json.h"

#include "object/convert.h"

static const struct resource *find(const char *group, const char *version, const char *plural)
{
    return resource_find(slice_str(group), slice_str(version), slice_str(plural));
}

static void test_events(void **state)
{
    struct arena *a = *state;
    static const char core[] =
        "{'kind':'Event','apiVersion':'v1','metadata':{'name':'e'},'involvedObject':{'kind':'Pod'},'reason':'R','"
        "message':'m',"
        "'source':{'component':'c'},'lastTimestamp':'2026-01-01T00:00:00Z','count':2,'reportingComponent':'x',"
        "'reportingInstance':'i'}";
    struct json *o = object_convert(a, find("events.k8s.io", "v1", "events"), json_of(a, core));
    assert_json(a, o,
                "{'kind':'Event','apiVersion':'events.k8s.io/v1','metadata':{'name':'e'},'reportingController':'x',"
                "'reportingInstance':'i','reason':'R','regarding':{'kind':'Pod'},'note':'m','deprecatedSource':{'"
                "component':'c'},"
                "'deprecatedLastTimestamp':'2026-01-01T00:00:00Z','deprecatedCount':2}");
    assert_json(a, object_convert(a, find("", "v1", "events"), o), core);
}

static void test_autoscalers(void **state)
{
    struct arena *a = *state;
    static const char v2[] = "{'kind':'HorizontalPodAutoscaler','apiVersion':'autoscaling/"
                             "v2','metadata':{'name':'h'},'spec':{'scaleTargetRef':{'kind':"
                             "'D','name':'d'},'maxReplicas':3,'metrics':[{'type':'Resource','resource':{'name':'cpu','"
                             "target':{'type':'Utilization',"
                             "'averageUtilization':80}}},{'type':'Pods','pods':{'metric':{'name':'q'},'target':{'type':"
                             "'AverageValue','averageValue':'1'"
                             "}}}],'behavior':{'scaleUp':{'selectPolicy':'Max'}}},'status':{'desiredReplicas':2,'"
                             "currentMetrics':[{'type':'Resource',"
                             "'resource':{'name':'cpu','current':{'averageUtilization':42}}}],'conditions':[{'type':'"
                             "AbleToScale','status':'True'}]}}";
    struct json *o = object_convert(a, find("autoscaling", "v1", "horizontalpodautoscalers"), json_of(a, v2));
    assert_int_equal(json_int(json_path(o, "spec.targetCPUUtilizationPercentage"), 0), 80);
    assert_int_equal(json_int(json_path(o, "status.currentCPUUtilizationPercentage"), 0), 42);
    assert_null(json_path(o, "spec.metrics"));
    assert_int_equal(json_len(json_path(o, "metadata.annotations")), 3);
    assert_true(
        json_equal(json_of(a, v2), object_convert(a, find("autoscaling", "v2", "horizontalpodautoscalers"), o)));
}

static void test_same_version_is_left_alone(void **state)
{
    struct arena *a = *state;
    struct json *o = json_of(a, "{'kind':'Event','apiVersion':'v1','x':1}");
    assert_ptr_equal(object_convert(a, find("", "v1", "events"), o), o);
    assert_non_null(json_get_str(o, "x"));
    assert_null(object_convert(a, find("", "v1", "events"), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_events), unit(test_autoscalers),
                                       unit(test_same_version_is_left_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit_json.h"

#include "agent/node_impl.h"
#include "base/timefmt.h"

static struct node_facts healthy(void)
{
    struct node_facts f = {.cpus = 2,
                           .memory = 4LL << 30,
                           .memory_available = 1LL << 30,
                           .disk = 100LL << 30,
                           .disk_available = 50LL << 30,
                           .pids_max = 32768,
                           .pids_used = 100,
                           .kernel = "6.1",
                           .architecture = "amd64",
                           .runtime = "containerd://1.6.20",
                           .runtime_ready = true,
                           .network_ready = true};
    return f;
}

static const struct agent_options options = {.node_name = "n1",
                                             .node_ip = "10.0.0.2",
                                             .pod_cidr = "10.244.1.0/24",
                                             .labels = "zone=a, disk=ssd",
                                             .listen = "10.0.0.2:10251"};

static struct slice condition(const struct json *status, const char *type, const char *field)
{
    json_each (c, json_get_str(status, "conditions"))
        if (slice_eq_str(json_path_string(c, "type"), type))
            return json_string(json_get_str(c, field));
    return SLICE_NONE;
}

static void node_has_labels_and_addresses(void **state)
{
    struct arena *a = *state;
    struct node_facts f = healthy();
    assert_json(a, node_object(a, &options, &f),
                "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n1','labels':{'kubernetes.io/hostname':'n1',"
                "'kubernetes.io/os':'linux','kubernetes.io/arch':'amd64','zone':'a','disk':'ssd'}},"
                "'spec':{'podCIDR':'10.244.1.0/24','podCIDRs':['10.244.1.0/24']}}");
}

static void status_of_a_healthy_node(void **state)
{
    struct arena *a = *state;
    struct node_facts f = healthy();
    struct node_condition c[NODE_CONDITIONS] = {{0}};
    assert_true(node_conditions_update(c, &f, NS_PER_SEC));
    struct json *s = node_status_json(a, &options, &f, c, NULL, 5 * NS_PER_SEC);
    assert_json(a, json_get_str(s, "capacity"),
                "{'cpu':'2','ephemeral-storage':'104857600Ki','memory':'4194304Ki','pods':'110'}");
    assert_slice(json_path_string(s, "allocatable.memory"), "4091904Ki");
    assert_json(a, json_get_str(s, "addresses"),
                "[{'type':'InternalIP','address':'10.0.0.2'},{'type':'Hostname','address':'n1'}]");
    assert_json(a, json_get_str(s, "daemonEndpoints"), "{'kubeletEndpoint':{'Port':10251}}");
    assert_slice(json_path_string(s, "nodeInfo.containerRuntimeVersion"), "containerd://1.6.20");
    assert_slice(json_path_string(s, "nodeInfo.kubeletVersion"), "v1.36.4+pintle-0.1.0");
    assert_slice(condition(s, "Ready", "status"), "True");
    assert_slice(condition(s, "Ready", "reason"), "KubeletReady");
    assert_slice(condition(s, "Ready", "lastHeartbeatTime"), "1970-01-01T00:00:05Z");
    assert_slice(condition(s, "Ready", "lastTransitionTime"), "1970-01-01T00:00:01Z");
    assert_slice(condition(s, "DiskPressure", "status"), "False");
}

static void conditions_change_and_remember_when(void **state)
{
    struct arena *a = *state;
    struct node_facts f = healthy();
    struct node_condition c[NODE_CONDITIONS] = {{0}};
    node_conditions_update(c, &f, NS_PER_SEC);
    assert_false(node_conditions_update(c, &f, 2 * NS_PER_SEC));
    f.network_ready = false;
    f.disk_available = 1LL << 30;
    f.memory_available = 1 << 20;
    f.pids_used = 32760;
    snprintf(f.runtime_message, sizeof f.runtime_message, "NetworkReady=false");
    assert_true(node_conditions_update(c, &f, 3 * NS_PER_SEC));
    struct json *s = node_status_json(a, &options, &f, c, NULL, 4 * NS_PER_SEC);
    assert_slice(condition(s, "Ready", "status"), "False");
    assert_slice(condition(s, "Ready", "reason"), "KubeletNotReady");
    assert_slice(condition(s, "Ready", "message"), "NetworkReady=false");
    assert_slice(condition(s, "Ready", "lastTransitionTime"), "1970-01-01T00:00:03Z");
    assert_slice(condition(s, "MemoryPressure", "reason"), "KubeletHasInsufficientMemory");
    assert_slice(condition(s, "DiskPressure", "status"), "True");
    assert_slice(condition(s, "PIDPressure", "status"), "True");
}

static void os_release_values(void **state)
{
    char out[64] = "";
    struct slice text = SLICE("NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nID='x'\n");
    (void)state;
    assert_true(node_os_release(text, "PRETTY_NAME", out, sizeof out));
    assert_string_equal(out, "Debian GNU/Linux 12");
    assert_true(node_os_release(text, "ID", out, sizeof out));
    assert_string_equal(out, "x");
    assert_false(node_os_release(text, "VERSION", out, sizeof out));
}

static void facts_of_this_host(void **state)
{
    struct node_facts f = {0};
    (void)state;
    node_facts_read(&f, "/");
    assert_true(f.cpus > 0);
    assert_true(f.memory > f.memory_available && f.memory_available > 0);
    assert_true(f.disk > 0);
    assert_true(f.kernel[0] && f.architecture[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(node_has_labels_and_addresses), unit(status_of_a_healthy_node),
                                       unit(conditions_change_and_remember_when), unit(os_release_values),
                                       unit(facts_of_this_host)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

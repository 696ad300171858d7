/* From facts to the Node object and its status. Pure. */
#include "agent/node_impl.h"
#include "base/timefmt.h"

#define NODE_VERSION "v1.36.4+pintle-0.1.0"

const char *const node_condition_types[NODE_CONDITIONS] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};

static void set(struct arena *a, struct json *obj, const char *key, const char *value)
{
    json_set_str(a, obj, key, json_new_str(a, value));
}

/* ---- conditions ---- */

static bool evaluate(const struct node_facts *f, size_t i)
{
    switch (i) {
    case 0:
        return f->runtime_ready && f->network_ready;
    case 1:
        return f->memory && f->memory_available < NODE_MEMORY_RESERVED;
    case 2:
        return f->disk && f->disk_available < f->disk / 100 * NODE_DISK_FREE_PERCENT;
    default:
        return f->pids_max && f->pids_max - f->pids_used < f->pids_max / 100 * NODE_PID_FREE_PERCENT;
    }
}

bool node_conditions_update(struct node_condition c[NODE_CONDITIONS], const struct node_facts *f, int64_t wall)
{
    bool changed = false;
    for (size_t i = 0; i < NODE_CONDITIONS; i++) {
        bool now = evaluate(f, i);
        if (c[i].since && c[i].value == now)
            continue;
        c[i] = (struct node_condition){now, wall};
        changed = true;
    }
    return changed;
}

static const char *ready_message(const struct node_facts *f)
{
    if (f->runtime_ready && f->network_ready)
        return "agent is posting ready status";
    return f->runtime_message[0] ? f->runtime_message : "container runtime is not ready";
}

static void add_condition(struct arena *a, struct json *list, const struct node_facts *f, size_t i,
                          const struct node_condition *c, int64_t heartbeat)
{
    static const struct {
        const char *reason[2], *message[2];
    } texts[NODE_CONDITIONS] = {
        {{"KubeletNotReady", "KubeletReady"}, {NULL, NULL}},
        {{"KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"},
         {"kubelet has sufficient memory available", "kubelet has insufficient memory available"}},
        {{"KubeletHasNoDiskPressure", "KubeletHasDiskPressure"},
         {"kubelet has no disk pressure", "kubelet has disk pressure"}},
        {{"KubeletHasSufficientPID", "KubeletHasInsufficientPID"},
         {"kubelet has sufficient PID available", "kubelet has insufficient PID available"}},
    };
    char beat[TIME_SEC_LEN + 1], since[TIME_SEC_LEN + 1];
    struct json *o = json_new_object(a);
    time_format_sec(heartbeat, beat);
    time_format_sec(c->since, since);
    set(a, o, "type", node_condition_types[i]);
    set(a, o, "status", c->value ? "True" : "False");
    set(a, o, "lastHeartbeatTime", beat);
    set(a, o, "lastTransitionTime", since);
    set(a, o, "reason", texts[i].reason[c->value]);
    set(a, o, "message", i == 0 ? ready_message(f) : texts[i].message[c->value]);
    json_append(list, o);
}

/* ---- status ---- */

static struct json *resources(struct arena *a, const struct agent_options *o, const struct node_facts *f,
                              int64_t memory)
{
    struct json *r = json_new_object(a);
    json_set_str(a, r, "cpu", json_new_printf(a, "%ld", f->cpus));
    json_set_str(a, r, "ephemeral-storage", json_new_printf(a, "%ldKi", f->disk >> 10));
    json_set_str(a, r, "memory", json_new_printf(a, "%ldKi", memory >> 10));
    json_set_str(a, r, "pods", json_new_printf(a, "%ld", o->max_pods ? o->max_pods : 110));
    return r;
}

static struct json *address(struct arena *a, const char *type, const char *value)
{
    struct json *o = json_new_object(a);
    set(a, o, "type", type);
    set(a, o, "address", value);
    return o;
}

static struct json *addresses(struct arena *a, const struct agent_options *o)
{
    struct json *list = json_new_array(a);
    if (o->node_ip)
        json_append(list, address(a, "InternalIP", o->node_ip));
    json_append(list, address(a, "Hostname", o->node_name));
    return list;
}

static struct json *info(struct arena *a, const struct node_facts *f)
{
    struct json *o = json_new_object(a);
    set(a, o, "machineID", f->machine_id);
    set(a, o, "systemUUID", f->system_uuid);
    set(a, o, "bootID", f->boot_id);
    set(a, o, "kernelVersion", f->kernel);
    set(a, o, "osImage", f->os_image);
    set(a, o, "containerRuntimeVersion", f->runtime);
    set(a, o, "kubeletVersion", NODE_VERSION);
    set(a, o, "kubeProxyVersion", "");
    set(a, o, "operatingSystem", "linux");
    set(a, o, "architecture", f->architecture);
    return o;
}

/* The port behind the last colon of listen. */
static int64_t port_of(const char *listen)
{
    const char *colon = listen ? strrchr(listen, ':') : NULL;
    int64_t port;
    return colon && slice_to_i64(slice_str(colon + 1), &port) ? port : 10250;
}

struct json *node_status_json(struct arena *a, const struct agent_options *o, const struct node_facts *f,
                              const struct node_condition c[NODE_CONDITIONS], const struct json *images,
                              int64_t heartbeat)
{
    struct json *s = json_new_object(a), *conditions = json_new_array(a), *endpoints = json_new_object(a),
                *e = json_new_object(a);
    int64_t usable = f->memory > NODE_MEMORY_RESERVED ? f->memory - NODE_MEMORY_RESERVED : 0;
    json_set_str(a, s, "capacity", resources(a, o, f, f->memory));
    json_set_str(a, s, "allocatable", resources(a, o, f, usable));
    for (size_t i = 0; i < NODE_CONDITIONS; i++)
        add_condition(a, conditions, f, i, &c[i], heartbeat);
    json_set_str(a, s, "conditions", conditions);
    json_set_str(a, s, "addresses", addresses(a, o));
    json_set_str(a, e, "Port", json_new_int(a, port_of(o->listen)));
    json_set_str(a, endpoints, "kubeletEndpoint", e);
    json_set_str(a, s, "daemonEndpoints", endpoints);
    json_set_str(a, s, "nodeInfo", info(a, f));
    if (images)
        json_set_str(a, s, "images", json_clone(a, images));
    return s;
}

/* ---- the object ---- */

static void add_labels(struct arena *a, struct json *labels, struct slice text)
{
    while (text.n) {
        struct slice one, key, value;
        slice_cut(text, ',', &one, &text);
        slice_cut(one, '=', &key, &value);
        if (slice_trim(key).n)
            json_set(a, labels, slice_trim(key), json_new_string(a, slice_trim(value)));
    }
}

struct json *node_object(struct arena *a, const struct agent_options *o, const struct node_facts *f)
{
    struct json *node = json_new_object(a), *meta = json_new_object(a), *labels = json_new_object(a),
                *spec = json_new_object(a);
    const char *arch = f->architecture[0] ? f->architecture : "amd64";
    set(a, node, "apiVersion", "v1");
    set(a, node, "kind", "Node");
    set(a, meta, "name", o->node_name);
    set(a, labels, "kubernetes.io/hostname", o->node_name);
    set(a, labels, "kubernetes.io/os", "linux");
    set(a, labels, "kubernetes.io/arch", arch);
    add_labels(a, labels, slice_str(o->labels));
    json_set_str(a, meta, "labels", labels);
    json_set_str(a, node, "metadata", meta);
    if (o->pod_cidr) {
        struct json *cidrs = json_new_array(a);
        json_append(cidrs, json_new_str(a, o->pod_cidr));
        set(a, spec, "podCIDR", o->pod_cidr);
        json_set_str(a, spec, "podCIDRs", cidrs);
    }
    json_set_str(a, node, "spec", spec);
    return node;
}

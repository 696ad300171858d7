/* TaintToleration and NodeUnschedulable. */
#include "object/meta.h"
#include "scheduler/framework.h"

static bool tolerates(const struct json *toleration, struct slice key, struct slice value, struct slice effect)
{
    struct slice t_key = json_path_string(toleration, "key"), t_effect = json_path_string(toleration, "effect");
    struct slice op = json_path_string(toleration, "operator");
    if (t_effect.n && !slice_eq(t_effect, effect))
        return false;
    if (t_key.n && !slice_eq(t_key, key))
        return false;
    if (slice_eq_str(op, "Exists"))
        return true;
    return t_key.n && slice_eq(json_path_string(toleration, "value"), value);
}

static bool tolerated(const struct sched_pod *pod, const struct json *taint)
{
    json_each (t, json_path(pod->obj, "spec.tolerations"))
        if (tolerates(t, json_path_string(taint, "key"), json_path_string(taint, "value"),
                      json_path_string(taint, "effect")))
            return true;
    return false;
}

const char *taints_filter(const struct sched_pod *pod, const struct sched_node *node)
{
    json_each (taint, json_path(node->obj, "spec.taints"))
        if (!slice_eq_str(json_path_string(taint, "effect"), "PreferNoSchedule") && !tolerated(pod, taint))
            return "node(s) had untolerated taint(s)";
    return NULL;
}

/* Raw score: taints the pod would rather avoid. */
int64_t taints_score(const struct sched_pod *pod, const struct sched_node *node)
{
    int64_t n = 0;
    json_each (taint, json_path(node->obj, "spec.taints"))
        n += slice_eq_str(json_path_string(taint, "effect"), "PreferNoSchedule") && !tolerated(pod, taint);
    return n;
}

const char *unschedulable_filter(const struct sched_pod *pod, const struct sched_node *node)
{
    if (!json_bool(json_path(node->obj, "spec.unschedulable"), false))
        return NULL;
    json_each (t, json_path(pod->obj, "spec.tolerations"))
        if (tolerates(t, SLICE("node.kubernetes.io/unschedulable"), SLICE(""), SLICE("NoSchedule")))
            return NULL;
    return "node(s) were unschedulable";
}

const char *node_name_filter(const struct sched_pod *pod, const struct sched_node *node)
{
    struct slice wanted = json_path_string(pod->obj, "spec.nodeName");
    return wanted.n && !slice_eq(wanted, node->name) ? "node(s) didn't match the requested node name" : NULL;
}

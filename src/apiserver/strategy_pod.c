/* What becomes of a pod on its creation. */
#include "apiserver/strategy.h"
#include "object/meta.h"
#include "object/validate.h"

/* A pod that waits for its gates says so from the start. */
static void add_gated(struct arena *a, struct json *status)
{
    struct json *list = json_new_array(a), *c = json_new_object(a);
    json_set_str(a, c, "type", json_new_str(a, "PodScheduled"));
    json_set_str(a, c, "status", json_new_str(a, "False"));
    json_set_str(a, c, "lastProbeTime", json_new_null(a));
    json_set_str(a, c, "lastTransitionTime", json_new_null(a));
    json_set_str(a, c, "reason", json_new_str(a, "SchedulingGated"));
    json_set_str(a, c, "message", json_new_str(a, "Scheduling is blocked due to non-empty scheduling gates"));
    json_append(list, c);
    json_set_str(a, status, "conditions", list);
}

/* One requirement for each key that the pod has a label of, with its value. */
static void add_requirements(struct arena *a, struct json *selector, const struct json *keys, const char *op,
                             const struct json *labels)
{
    json_each (key, keys) {
        const struct json *value = json_get(labels, json_string(key));
        if (!value)
            continue;
        struct json *list = json_get_str(selector, "matchExpressions"), *one = json_new_object(a);
        if (!list) {
            list = json_new_array(a);
            json_set_str(a, selector, "matchExpressions", list);
        }
        struct json *values = json_new_array(a);
        json_append(values, json_clone(a, value));
        json_set_str(a, one, "key", json_clone(a, key));
        json_set_str(a, one, "operator", json_new_str(a, op));
        json_set_str(a, one, "values", values);
        json_append(list, one);
    }
}

/* matchLabelKeys and mismatchLabelKeys name labels whose values are the pod's own: from here on they stand in the
 * selector, and nobody else needs to know of them. */
static void merge_keys(struct arena *a, struct json *term, const struct json *labels)
{
    struct json *selector = json_get_str(term, "labelSelector");
    if (!selector)
        return;
    add_requirements(a, selector, json_get_str(term, "matchLabelKeys"), "In", labels);
    add_requirements(a, selector, json_get_str(term, "mismatchLabelKeys"), "NotIn", labels);
}

static void merge_label_keys(struct arena *a, struct json *pod)
{
    static const char *const kinds[] = {"spec.affinity.podAffinity", "spec.affinity.podAntiAffinity"};
    const struct json *labels = meta_labels(pod);
    for (size_t i = 0; i < 2; i++) {
        struct json *affinity = json_path(pod, kinds[i]);
        json_each (it, json_get_str(affinity, "requiredDuringSchedulingIgnoredDuringExecution"))
            merge_keys(a, it, labels);
        json_each (it, json_get_str(affinity, "preferredDuringSchedulingIgnoredDuringExecution"))
            merge_keys(a, json_get_str(it, "podAffinityTerm"), labels);
    }
    json_each (it, json_path(pod, "spec.topologySpreadConstraints"))
        merge_keys(a, it, labels);
}

int strategy_pod(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old)
        return 0;
    struct json *status = json_new_object(a);
    json_set_str(a, status, "phase", json_new_str(a, "Pending"));
    if (json_len(json_path(s->obj, "spec.schedulingGates")))
        add_gated(a, status);
    json_set_str(a, status, "qosClass", json_new_str(a, validate_qos_class(s->obj)));
    json_set_str(a, s->obj, "status", status);
    merge_label_keys(a, s->obj);
    return 0;
}

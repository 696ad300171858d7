/* NodeAffinity: spec.nodeSelector and spec.affinity.nodeAffinity. */
#include "object/meta.h"
#include "scheduler/framework.h"

static const char mismatch[] = "node(s) didn't match Pod's node affinity/selector";

static bool in_values(const struct json *values, struct slice value)
{
    json_each (v, values)
        if (slice_eq(json_string(v), value))
            return true;
    return false;
}

static bool compare(struct slice value, const struct json *values, bool greater)
{
    int64_t have, limit;
    if (!slice_to_i64(value, &have) || !slice_to_i64(json_string(json_at(values, 0)), &limit))
        return false;
    return greater ? have > limit : have < limit;
}

/* value.p is NULL when the node has no such label. */
static bool expression_matches(const struct json *e, struct slice value)
{
    struct slice op = json_path_string(e, "operator");
    const struct json *values = json_get_str(e, "values");
    if (slice_eq_str(op, "In"))
        return value.p && in_values(values, value);
    if (slice_eq_str(op, "NotIn"))
        return !value.p || !in_values(values, value);
    if (slice_eq_str(op, "Exists"))
        return value.p != NULL;
    if (slice_eq_str(op, "DoesNotExist"))
        return !value.p;
    return value.p && compare(value, values, slice_eq_str(op, "Gt"));
}

/* All expressions of a term must hold; a term without any matches nothing. */
static bool term_matches(const struct json *term, const struct sched_node *node)
{
    const struct json *labels = json_get_str(term, "matchExpressions"), *fields = json_get_str(term, "matchFields");
    if (!json_len(labels) && !json_len(fields))
        return false;
    json_each (e, labels)
        if (!expression_matches(e, meta_label(node->obj, json_path_string(e, "key"))))
            return false;
    json_each (e, fields)
        if (!slice_eq_str(json_path_string(e, "key"), "metadata.name") || !expression_matches(e, node->name))
            return false;
    return true;
}

const char *node_affinity_filter(const struct sched_pod *pod, const struct sched_node *node)
{
    json_each (want, json_path(pod->obj, "spec.nodeSelector")) {
        struct slice have = meta_label(node->obj, want->key);
        if (!have.p || !slice_eq(have, json_string(want)))
            return mismatch;
    }
    const struct json *required =
        json_path(pod->obj, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    if (!required)
        return NULL;
    json_each (term, json_get_str(required, "nodeSelectorTerms"))
        if (term_matches(term, node))
            return NULL;
    return mismatch;
}

int64_t node_affinity_score(const struct sched_pod *pod, const struct sched_node *node)
{
    int64_t sum = 0;
    json_each (p, json_path(pod->obj, "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution"))
        if (term_matches(json_get_str(p, "preference"), node))
            sum += json_int(json_get_str(p, "weight"), 0);
    return sum;
}

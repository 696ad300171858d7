#include "controllers/podutil.h"

#include "base/timefmt.h"
#include "object/meta.h"

const struct json *condition_get(const struct json *obj, const char *type)
{
    json_each (c, json_path(obj, "status.conditions"))
        if (slice_eq_str(json_path_string(c, "type"), type))
            return c;
    return NULL;
}

bool condition_is(const struct json *obj, const char *type, const char *status)
{
    return slice_eq_str(json_path_string(condition_get(obj, type), "status"), status);
}

bool condition_set(struct arena *a, struct json *conditions, const char *type, const char *status, const char *reason,
                   const char *message, int64_t now)
{
    char stamp[TIME_SEC_LEN + 1];
    struct json *c = NULL;
    time_format_sec(now, stamp);
    json_each (it, conditions)
        if (slice_eq_str(json_path_string(it, "type"), type))
            c = it;
    if (!c) {
        c = json_new_object(a);
        json_set_str(a, c, "type", json_new_str(a, type));
        json_append(conditions, c);
    }
    bool moved = !slice_eq_str(json_path_string(c, "status"), status);
    bool changed = moved || !slice_eq_str(json_path_string(c, "reason"), reason) ||
                   !slice_eq_str(json_path_string(c, "message"), message);
    if (!changed)
        return false;
    json_set_str(a, c, "status", json_new_str(a, status));
    json_set_str(a, c, "lastUpdateTime", json_new_str(a, stamp));
    if (moved)
        json_set_str(a, c, "lastTransitionTime", json_new_str(a, stamp));
    json_set_str(a, c, "reason", json_new_str(a, reason));
    json_set_str(a, c, "message", json_new_str(a, message));
    return true;
}

bool pod_is_ready(const struct json *pod)
{
    return !meta_is_deleting(pod) && condition_is(pod, "Ready", "True");
}

bool pod_is_available(const struct json *pod, int64_t min_seconds, int64_t now, uint64_t *ret_wait_ms)
{
    int64_t since = 0;
    if (!pod_is_ready(pod))
        return false;
    if (min_seconds == 0)
        return true;
    if (!time_parse(json_path_string(condition_get(pod, "Ready"), "lastTransitionTime"), &since))
        return false;
    int64_t left = since + min_seconds * NS_PER_SEC - now;
    if (left <= 0)
        return true;
    uint64_t ms = (uint64_t)(left / NS_PER_MS) + 1;
    if (ret_wait_ms && (*ret_wait_ms == 0 || ms < *ret_wait_ms))
        *ret_wait_ms = ms;
    return false;
}

bool pod_is_active(const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    return !meta_is_deleting(pod) && !slice_eq_str(phase, "Succeeded") && !slice_eq_str(phase, "Failed");
}

struct json *pod_from_template(struct arena *a, const struct json *obj, const struct json *template)
{
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    struct json *pod = json_new_object(a), *meta = json_new_object(a);
    json_set_str(a, pod, "kind", json_new_str(a, "Pod"));
    json_set_str(a, pod, "apiVersion", json_new_str(a, "v1"));
    json_set_str(a, pod, "metadata", meta);
    json_set_str(a, meta, "generateName", json_new_printf(a, "%" SLICE_FMT "-", SLICE_ARG(meta_name(obj))));
    json_set_str(a, meta, "namespace", json_new_string(a, meta_namespace(obj)));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        const struct json *v = json_get_str(json_get_str(template, "metadata"), copied[i]);
        if (v)
            json_set_str(a, meta, copied[i], json_clone(a, v));
    }
    meta_set_controller(a, pod, obj);
    json_set_str(a, pod, "spec", json_clone(a, json_get_str(template, "spec")));
    return pod;
}

static struct json *bare_template(struct arena *a, const struct json *t)
{
    struct json *v = json_clone(a, t), *labels = json_path(v, "metadata.labels");
    json_del_str(labels, "pod-template-hash");
    json_del_str(json_get_str(v, "metadata"), "creationTimestamp");
    return v;
}

bool template_equal(struct arena *a, const struct json *x, const struct json *y)
{
    return json_equal(bare_template(a, x), bare_template(a, y));
}

#include "object/convert.h"

#include "object/check.h"
#include "object/meta.h"
#include "object/path.h"

/* What autoscaling/v1 has no place for travels in these annotations, as autoscaling/v2 JSON. */
#define METRICS_NOTE    "autoscaling.alpha.kubernetes.io/metrics"
#define CURRENT_NOTE    "autoscaling.alpha.kubernetes.io/current-metrics"
#define CONDITIONS_NOTE "autoscaling.alpha.kubernetes.io/conditions"
#define BEHAVIOR_NOTE   "autoscaling.alpha.kubernetes.io/behavior"

enum { NOTE_MAX = 256 << 10 };

/* ---- events: the same members under other names ---- */

static const char *const event_names[][2] = {
    /* core/v1, events.k8s.io/v1 */
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

static void convert_event(struct arena *a, struct json *obj, bool to_core)
{
    for (size_t i = 0; i < sizeof event_names / sizeof *event_names; i++) {
        const char *from = event_names[i][to_core], *name = event_names[i][!to_core];
        struct json *v = json_get_str(obj, from);
        json_del_str(obj, from);
        json_set_str(a, obj, name, v);
    }
}

struct slice convert_field_label(struct arena *a, const struct resource *res, struct slice label)
{
    struct slice member, rest;
    if (res->storage == res || strcmp(res->kind, "Event") != 0)
        return label;
    bool nested = slice_cut(label, '.', &member, &rest);
    for (size_t i = 0; i < sizeof event_names / sizeof *event_names; i++)
        if (slice_eq_str(member, event_names[i][1]))
            return slice_str(arena_printf(a, "%s%s%" SLICE_FMT, event_names[i][0], nested ? "." : "", SLICE_ARG(rest)));
    return label;
}

/* ---- HorizontalPodAutoscaler ---- */

static bool is_cpu_percent(const struct json *metric)
{
    return slice_eq_str(json_path_string(metric, "type"), "Resource") &&
           slice_eq_str(json_path_string(metric, "resource.name"), "cpu");
}

/* Takes the CPU percentage out of a list of metrics: spec's target or status's current. */
static struct json *take_percent(struct json *metrics, const char *path)
{
    size_t i = 0;
    json_each (it, metrics) {
        struct json *percent = is_cpu_percent(it) ? json_path(it, path) : NULL;
        if (percent) {
            json_remove_at(metrics, i);
            return percent;
        }
        i++;
    }
    return NULL;
}

/* Moves what stands at the path into an annotation. */
static void to_note(struct arena *a, struct json *obj, const char *path, const char *note)
{
    struct buf text = BUF_INIT(NOTE_MAX);
    const struct json *v = path_get_str(obj, path);
    if (v && json_len(v) && json_write(&text, v) == 0)
        meta_set_annotation(a, obj, slice_str(note), buf_slice(&text));
    buf_done(&text);
    path_del(obj, slice_str(path));
}

static struct json *from_note(struct arena *a, struct json *obj, const char *note)
{
    struct slice text = meta_annotation(obj, slice_str(note));
    struct json *v = text.n ? json_parse(a, text, NULL, NULL, NULL) : NULL;
    struct json *notes = json_path(obj, "metadata.annotations");
    if (v)
        json_del_str(notes, note);
    if (notes && json_len(notes) == 0)
        json_del_str(json_get_str(obj, "metadata"), "annotations");
    return v;
}

static void set_number(struct arena *a, struct json *obj, const char *path, const struct json *v)
{
    if (v)
        path_set(a, obj, slice_str(path), json_new_int(a, json_int(v, 0)));
}

static void hpa_to_v1(struct arena *a, struct json *obj)
{
    struct json *target = take_percent(json_path(obj, "spec.metrics"), "resource.target.averageUtilization");
    struct json *now = take_percent(json_path(obj, "status.currentMetrics"), "resource.current.averageUtilization");
    set_number(a, obj, "spec.targetCPUUtilizationPercentage", target);
    set_number(a, obj, "status.currentCPUUtilizationPercentage", now);
    to_note(a, obj, "spec.metrics", METRICS_NOTE);
    to_note(a, obj, "spec.behavior", BEHAVIOR_NOTE);
    to_note(a, obj, "status.currentMetrics", CURRENT_NOTE);
    to_note(a, obj, "status.conditions", CONDITIONS_NOTE);
}

/* [{"type":"Resource","resource":{"name":"cpu",which:{…}}}] in front of what the annotation held. */
static void add_percent(struct arena *a, struct json *obj, const char *path, const char *which, const char *from,
                        const char *note, const char *type)
{
    struct json *list = from_note(a, obj, note), *percent = json_path(obj, from);
    if (!json_is(list, JSON_ARRAY))
        list = json_new_array(a);
    if (percent) {
        struct json *metric = json_new_object(a), *value = json_new_object(a), *resource = json_new_object(a);
        if (*type)
            json_set_str(a, value, "type", json_new_str(a, type));
        json_set_str(a, value, "averageUtilization", json_new_int(a, json_int(percent, 0)));
        json_set_str(a, resource, "name", json_new_str(a, "cpu"));
        json_set_str(a, resource, which, value);
        json_set_str(a, metric, "type", json_new_str(a, "Resource"));
        json_set_str(a, metric, "resource", resource);
        json_insert(list, 0, metric);
        path_del(obj, slice_str(from));
    }
    if (json_len(list))
        path_set(a, obj, slice_str(path), list);
}

static void hpa_to_v2(struct arena *a, struct json *obj)
{
    struct json *behavior = from_note(a, obj, BEHAVIOR_NOTE), *conditions = from_note(a, obj, CONDITIONS_NOTE);
    add_percent(a, obj, "spec.metrics", "target", "spec.targetCPUUtilizationPercentage", METRICS_NOTE, "Utilization");
    add_percent(a, obj, "status.currentMetrics", "current", "status.currentCPUUtilizationPercentage", CURRENT_NOTE, "");
    if (behavior)
        path_set(a, obj, SLICE("spec.behavior"), behavior);
    if (conditions)
        path_set(a, obj, SLICE("status.conditions"), conditions);
}

struct json *object_convert(struct arena *a, const struct resource *to, struct json *obj)
{
    struct check c = {.a = a};
    struct status st = {0};
    if (!obj || slice_eq_str(meta_api_version(obj), to->api_version))
        return obj;
    if (strcmp(to->kind, "Event") == 0)
        convert_event(a, obj, *to->group == '\0');
    else if (strcmp(to->kind, "HorizontalPodAutoscaler") == 0 && strcmp(to->version, "v1") == 0)
        hpa_to_v1(a, obj);
    else if (strcmp(to->kind, "HorizontalPodAutoscaler") == 0)
        hpa_to_v2(a, obj);
    json_set_str(a, obj, "apiVersion", json_new_str(a, to->api_version));
    /* Brings the members into order; a stored annotation that is no valid object any more is told by the caller. */
    check_object(&c, to->type, obj, &st);
    return arena_error(a) ? NULL : obj;
}

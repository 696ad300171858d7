/* Binding a pod to a node. */
#include "apiserver/podsub.h"

#include "apiserver/output.h"
#include "apiserver/special.h"
#include "base/timefmt.h"
#include "object/meta.h"
#include "object/validate.h"

void api_pod_success(struct api_request *r, struct write *w, const struct store_item *item, bool created)
{
    struct status st = {0};
    (void)w, (void)item, (void)created;
    api_reply_json(r, 201, api_status_json(r->arena, &st));
}

void api_pod_success_dry(struct api_request *r, struct write *w, const struct json *obj)
{
    (void)obj;
    api_pod_success(r, w, NULL, false);
}

void api_pod_condition(struct api_request *r, struct json *obj, const char *type, const char *reason,
                       const char *message)
{
    struct arena *a = r->arena;
    char now[TIME_SEC_LEN + 1];
    struct json *status = json_object_at(a, obj, "status"), *list = json_get_str(status, "conditions"), *c = NULL;
    if (!json_is(list, JSON_ARRAY)) {
        list = json_new_array(a);
        json_set_str(a, status, "conditions", list);
    }
    json_each (it, list)
        if (slice_eq_str(json_path_string(it, "type"), type))
            c = it;
    if (!c) {
        c = json_new_object(a);
        json_append(list, c);
    }
    time_format_sec(loop_wall(r->api->loop), now);
    json_set_str(a, c, "type", json_new_str(a, type));
    json_set_str(a, c, "status", json_new_str(a, "True"));
    json_set_str(a, c, "lastProbeTime", json_new_null(a));
    json_set_str(a, c, "lastTransitionTime", json_new_str(a, now));
    if (reason)
        json_set_str(a, c, "reason", json_new_str(a, reason));
    if (message)
        json_set_str(a, c, "message", json_new_str(a, message));
}

static void conflict(struct api_request *r, struct write *w, struct status *st, const char *why)
{
    status_set(st, r->arena, 409, "Operation cannot be fulfilled on pods/binding \"%" SLICE_FMT "\": %s",
               SLICE_ARG(w->name), why);
    st->name = arena_copy(r->arena, w->name).p;
    st->kind = "pods/binding";
}

static int invalid_target(struct api_request *r, struct write *w, struct slice node, struct slice kind,
                          struct status *st)
{
    struct validation v = {.a = r->arena};
    if (kind.n && !slice_eq_str(kind, "Node")) {
        static const char *const kinds[] = {"Node", "<empty>", NULL};
        validation_not_supported(&v, "target.kind", json_new_string(r->arena, kind), kinds);
    }
    if (!node.n)
        validation_required(&v, "target.name", NULL);
    struct json *named = json_new_object(r->arena);
    meta_set_name(r->arena, named, w->name);
    return validation_result(&v, resource_core("bindings"), named, st);
}

/* Where the node stands is written on its pods (PodTopologyLabels). */
static void copy_topology(struct api_request *r, struct json *pod, struct slice node)
{
    static const char *const keys[] = {"topology.kubernetes.io/zone", "topology.kubernetes.io/region"};
    const struct json *obj = api_object(r, resource_core("nodes"), SLICE_NONE, node);
    for (size_t i = 0; i < 2; i++) {
        struct slice value = meta_label(obj, slice_str(keys[i]));
        if (value.n)
            meta_set_label(r->arena, pod, slice_str(keys[i]), value);
    }
}

static struct json *compute_binding(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    const struct json *binding = w->ctx;
    struct slice node = json_path_string(binding, "target.name"), kind = json_path_string(binding, "target.kind");
    struct slice bound = json_path_string(old, "spec.nodeName");
    if (invalid_target(r, w, node, kind, st))
        return NULL;
    if (meta_is_deleting(old))
        conflict(r, w, st, "pod is being deleted, cannot be assigned to a host");
    else if (bound.n)
        conflict(r, w, st,
                 arena_printf(r->arena, "pod %" SLICE_FMT " is already assigned to node \"%" SLICE_FMT "\"",
                              SLICE_ARG(w->name), SLICE_ARG(bound)));
    else if (json_len(json_path(old, "spec.schedulingGates")))
        conflict(r, w, st, "pod has non-empty .spec.schedulingGates");
    if (st->code)
        return NULL;
    struct json *obj = json_clone(r->arena, old);
    json_set_str(r->arena, json_object_at(r->arena, obj, "spec"), "nodeName", json_new_string(r->arena, node));
    api_pod_condition(r, obj, "PodScheduled", NULL, NULL);
    json_del_str(json_get_str(obj, "status"), "nominatedNodeName");
    json_each (m, json_path(binding, "metadata.annotations"))
        meta_set_annotation(r->arena, obj, m->key, json_string(m));
    copy_topology(r, obj, node);
    return obj;
}

void api_bind(struct api_request *r)
{
    struct status st = {0};
    const struct resource *bindings = resource_core("bindings");
    struct json *binding = api_decode(r, bindings, NULL, false, &st);
    if (binding && r->name.n && meta_name(binding).n && !slice_eq(meta_name(binding), r->name))
        status_set(&st, r->arena, 400, "name in URL does not match name in Binding object");
    if (!binding || st.code) {
        api_reply_status(r, &st);
        return;
    }
    struct write *w = arena_state(r->arena, struct write);
    *w = (struct write){.res = resource_core("pods"),
                        .ns = r->ns,
                        .name = r->name.n ? r->name : meta_name(binding),
                        .sub = SLICE("binding"),
                        .manager_sub = SLICE("binding"),
                        .compute = compute_binding,
                        .reply = api_pod_success,
                        .reply_dry = api_pod_success_dry,
                        .expected_uid = meta_uid(binding),
                        .ctx = binding};
    api_write(r, w);
}

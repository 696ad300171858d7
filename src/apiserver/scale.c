/* The scale subresource: spec.replicas of anything that has one, as autoscaling/v1 Scale. */
#include "apiserver/output.h"
#include "apiserver/special.h"
#include "object/apply.h"
#include "object/check.h"
#include "object/meta.h"
#include "object/patch.h"
#include "object/selector.h"

/* status.selector: the text of the object's selector. */
static void add_selector(struct arena *a, const struct json *obj, struct json *status)
{
    const struct json *selector = json_path(obj, "spec.selector");
    struct selector compiled;
    struct buf text = BUF_INIT(65536);
    bool plain = selector && !json_get_str(selector, "matchLabels") && !json_get_str(selector, "matchExpressions");
    int rv = plain ? selector_from_map(a, selector, &compiled) : selector_from_object(a, selector, &compiled);
    if (!rv && !selector_write(&text, &compiled) && text.n)
        json_set_str(a, status, "selector", json_new_string(a, buf_slice(&text)));
    buf_done(&text);
}

static struct json *scale_of(struct arena *a, const struct json *obj)
{
    static const char *const copied[] = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"};
    struct json *v = json_new_object(a), *meta = json_new_object(a), *spec = json_new_object(a),
                *status = json_new_object(a);
    json_set_str(a, v, "kind", json_new_str(a, "Scale"));
    json_set_str(a, v, "apiVersion", json_new_str(a, "autoscaling/v1"));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        if (json_get_str(json_get_str(obj, "metadata"), copied[i]))
            json_set_str(a, meta, copied[i], json_clone(a, json_get_str(json_get_str(obj, "metadata"), copied[i])));
    json_set_str(a, v, "metadata", meta);
    json_set_str(a, spec, "replicas", json_new_int(a, json_int(json_path(obj, "spec.replicas"), 0)));
    json_set_str(a, v, "spec", spec);
    json_set_str(a, status, "replicas", json_new_int(a, json_int(json_path(obj, "status.replicas"), 0)));
    add_selector(a, obj, status);
    json_set_str(a, v, "status", status);
    return v;
}

static void reply_scale(struct api_request *r, struct write *w, const struct store_item *item, bool created)
{
    (void)w, (void)created;
    api_reply_json(r, 200, scale_of(r->arena, api_item_json(r->api, r->arena, item)));
}

static struct json *new_scale(struct api_request *r, struct json *old, struct status *st)
{
    struct json *scale = scale_of(r->arena, old), *body, *patched;
    struct check check = {.a = r->arena, .mode = CHECK_WARN};
    if (r->verb == API_UPDATE)
        return api_decode(r, r->res, r->sub, false, st);
    body = api_decode_any(r, st);
    if (!body)
        return NULL;
    if (r->patch_type == PATCH_JSON)
        patched = patch_json(r->arena, scale, body, st);
    else
        patched = patch_merge(r->arena, scale, body, st);
    return patched && !check_object(&check, r->sub->type, patched, st) ? patched : NULL;
}

/* An apply to /scale is one of the object's replicas, with its owner under the subresource's name. */
static struct json *apply_scale(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    struct arena *a = r->arena;
    struct json *body = api_decode_any(r, st), *patch = json_new_object(a);
    const struct json *replicas = json_path(body, "spec.replicas");
    if (st->code)
        return NULL;
    if (!r->options.field_manager.n) {
        status_set(
            st, a, 400,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch");
        return NULL;
    }
    json_set_str(a, patch, "apiVersion", json_new_str(a, r->res->api_version));
    json_set_str(a, patch, "kind", json_new_str(a, r->res->kind));
    if (replicas)
        json_set_str(a, json_object_at(a, patch, "spec"), "replicas", json_clone(a, replicas));
    struct apply_request rq = {.res = r->res,
                               .sub = w->manager_sub,
                               .manager = r->options.field_manager,
                               .force = r->options.force,
                               .now = loop_wall(r->api->loop)};
    w->keep_managed_fields = true;
    return apply_patch(a, &rq, old, patch, st);
}

static struct json *compute_scale(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    if (r->verb == API_PATCH && r->patch_type == PATCH_APPLY)
        return apply_scale(r, w, old, st);
    struct json *scale = new_scale(r, old, st);
    if (!scale)
        return NULL;
    int64_t replicas = json_int(json_path(scale, "spec.replicas"), 0);
    struct slice rv = meta_resource_version(scale);
    if (r->verb == API_UPDATE && rv.n && !slice_to_u64(rv, &w->expected)) {
        status_set(st, r->arena, 400, "metadata.resourceVersion must be a number");
        return NULL;
    }
    if (w->expected && w->old->mod_revision != w->expected) {
        status_set(st, r->arena, 409,
                   "Operation cannot be fulfilled on %s \"%" SLICE_FMT
                   "\": the object has been modified; please apply your changes to the latest version and "
                   "try again",
                   w->res->plural, SLICE_ARG(w->name));
        return NULL;
    }
    if (replicas < 0) {
        status_set(st, r->arena, 422,
                   "Scale.autoscaling \"%" SLICE_FMT
                   "\" is invalid: spec.replicas: Invalid value: %ld: must be greater than or "
                   "equal to 0",
                   SLICE_ARG(w->name), replicas);
        status_cause(st, r->arena, "FieldValueInvalid", "spec.replicas",
                     "Invalid value: %ld: must be greater than or equal to 0", replicas);
        return NULL;
    }
    struct json *obj = json_clone(r->arena, old);
    json_set_str(r->arena, json_object_at(r->arena, obj, "spec"), "replicas", json_new_int(r->arena, replicas));
    return obj;
}

static void get_scale(struct api_request *r, int err)
{
    struct status st;
    struct store_item *item = err ? NULL : store_get(api_table(r->api, r->res), api_key(r, r->ns, r->name));
    if (err) {
        api_reply_errno(r, err, "reading");
    } else if (item) {
        reply_scale(r, NULL, item, false);
    } else {
        status_not_found(&st, r->arena, slice_str(r->res->group), slice_str(r->res->plural), r->name);
        api_reply_status(r, &st);
    }
}

static void reply_scale_dry(struct api_request *r, struct write *w, const struct json *obj)
{
    (void)w;
    api_reply_json(r, 200, scale_of(r->arena, obj));
}

void api_scale(struct api_request *r)
{
    if (r->verb == API_GET) {
        api_when_confirmed(r, get_scale);
        return;
    }
    struct write *w = arena_state(r->arena, struct write);
    *w = (struct write){.res = r->res,
                        .ns = r->ns,
                        .name = r->name,
                        .compute = compute_scale,
                        .reply = reply_scale,
                        .reply_dry = reply_scale_dry,
                        .manager_sub = SLICE("scale")};
    api_write(r, w);
}

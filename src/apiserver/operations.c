/* create, update and patch: how each computes the new object. */
#include <errno.h>

#include "apiserver/options.h"
#include "apiserver/output.h"
#include "apiserver/write.h"
#include "object/apply.h"
#include "object/check.h"
#include "object/meta.h"
#include "object/patch.h"

static struct write *new_write(struct api_request *r)
{
    struct write *w = arena_state(r->arena, struct write);
    *w = (struct write){.res = r->res, .ns = r->ns, .name = r->name};
    if (r->sub)
        w->sub = w->manager_sub = slice_str(r->sub->name);
    return w;
}

static void run(struct api_request *r, struct write *w)
{
    struct status st;
    if (api_check_write_options(r, &st))
        api_reply_status(r, &st);
    else
        api_write(r, w);
}

/* ---- create ---- */

static struct json *compute_create(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    (void)old;
    struct json *obj = api_decode(r, r->res, NULL, false, st);
    if (!obj)
        return NULL;
    struct slice ns = meta_namespace(obj);
    if (r->res->namespaced && ns.n && !slice_eq(ns, r->ns)) {
        status_set(st, r->arena, 400,
                   "the namespace of the provided object does not match the namespace sent on the request");
        return NULL;
    }
    if (!r->res->namespaced && ns.n)
        json_del_str(json_get_str(obj, "metadata"), "namespace");
    w->name = meta_name(obj);
    return obj;
}

void api_create(struct api_request *r)
{
    struct write *w = new_write(r);
    w->compute = compute_create;
    w->must_create = true;
    run(r, w);
}

/* ---- update ---- */

/* The body's resourceVersion is a condition; kinds that must have one say so. */
static int take_conditions(struct api_request *r, struct write *w, const struct json *obj, const struct json *old,
                           struct status *st)
{
    struct slice rv = meta_resource_version(obj);
    w->expected_uid = meta_uid(obj);
    if (rv.n && !slice_eq_str(rv, "0") && !slice_to_u64(rv, &w->expected))
        return status_set(st, r->arena, 400,
                          "Invalid value: \"%" SLICE_FMT "\": metadata.resourceVersion must be a number",
                          SLICE_ARG(rv));
    if (!w->expected && old && !w->res->unconditional_update && !w->sub.n) {
        status_set(st, r->arena, 422,
                   "%s%s%s \"%" SLICE_FMT "\" is invalid: metadata.resourceVersion: Invalid value: 0x0: "
                   "must be specified for an update",
                   w->res->kind, w->res->group[0] ? "." : "", w->res->group, SLICE_ARG(w->name));
        status_cause(st, r->arena, "FieldValueInvalid", "metadata.resourceVersion",
                     "Invalid value: 0x0: must be specified for an update");
        return st->code;
    }
    if (w->expected && old && w->old->mod_revision != w->expected) {
        status_set(st, r->arena, 409,
                   "Operation cannot be fulfilled on %s%s%s \"%" SLICE_FMT
                   "\": the object has been modified; please apply your changes to the latest version and try again",
                   w->res->plural, w->res->group[0] ? "." : "", w->res->group, SLICE_ARG(w->name));
        st->name = arena_copy(r->arena, w->name).p;
        st->group = w->res->group[0] ? w->res->group : NULL;
        st->kind = w->res->plural;
        return st->code;
    }
    if (w->expected_uid.n && old && !slice_eq(w->expected_uid, meta_uid(old))) {
        status_set(st, r->arena, 409,
                   "Operation cannot be fulfilled on %s%s%s \"%" SLICE_FMT
                   "\": StorageError: invalid object, Code: 4, Key: /registry/%s/%" SLICE_FMT
                   ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: %" SLICE_FMT
                   ", UID in object meta: %" SLICE_FMT,
                   w->res->plural, w->res->group[0] ? "." : "", w->res->group, SLICE_ARG(w->name), w->res->plural,
                   SLICE_ARG(item_key(w->old)), SLICE_ARG(w->expected_uid), SLICE_ARG(meta_uid(old)));
        st->name = arena_copy(r->arena, w->name).p;
        st->group = w->res->group[0] ? w->res->group : NULL;
        st->kind = w->res->plural;
        return st->code;
    }
    return 0;
}

static int check_names(struct api_request *r, struct json *obj, struct status *st)
{
    struct slice name = meta_name(obj), ns = meta_namespace(obj);
    if (name.n && !slice_eq(name, r->name))
        return status_set(st, r->arena, 400,
                          "the name of the object (%" SLICE_FMT ") does not match the name on the URL (%" SLICE_FMT ")",
                          SLICE_ARG(name), SLICE_ARG(r->name));
    if (r->res->namespaced && ns.n && !slice_eq(ns, r->ns))
        return status_set(st, r->arena, 400,
                          "the namespace of the object (%" SLICE_FMT
                          ") does not match the namespace on the URL (%" SLICE_FMT ")",
                          SLICE_ARG(ns), SLICE_ARG(r->ns));
    meta_set_name(r->arena, obj, r->name);
    if (r->res->namespaced)
        meta_set_namespace(r->arena, obj, r->ns);
    return 0;
}

static struct json *compute_update(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    struct json *obj = api_decode(r, r->res, NULL, false, st);
    if (!obj || check_names(r, obj, st) || take_conditions(r, w, obj, old, st))
        return NULL;
    return obj;
}

void api_update(struct api_request *r)
{
    struct write *w = new_write(r);
    w->compute = compute_update;
    w->may_create = r->res->create_on_update && !r->sub;
    run(r, w);
}

/* ---- patch ---- */

static struct json *merge(struct api_request *r, struct json *old, struct json *patch, struct status *st)
{
    switch (r->patch_type) {
    case PATCH_JSON:
        return patch_json(r->arena, old, patch, st);
    case PATCH_MERGE:
        return patch_merge(r->arena, old, patch, st);
    default:
        return patch_strategic(r->arena, r->res->type, old, patch, st);
    }
}

static struct json *compute_patch(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    static const enum check_mode modes[] = {
        [VALIDATION_WARN] = CHECK_WARN, [VALIDATION_STRICT] = CHECK_STRICT, [VALIDATION_IGNORE] = CHECK_IGNORE};
    struct check check = {.a = r->arena, .mode = modes[r->options.validation]};
    struct json *patch = api_decode_any(r, st);
    struct json *obj = patch ? merge(r, old, patch, st) : NULL;
    if (!obj)
        return NULL;
    if (check_object(&check, r->res->type, obj, st))
        return NULL;
    if (w->tries == 1)
        for (const struct check_warning *warning = check.warnings; warning; warning = warning->next)
            api_warn(r, warning->text);
    if (!slice_eq(meta_name(obj), r->name) || check_names(r, obj, st)) {
        if (!st->code)
            status_set(st, r->arena, 400,
                       "the name of the object (%" SLICE_FMT ") does not match the name on the URL (%" SLICE_FMT ")",
                       SLICE_ARG(meta_name(obj)), SLICE_ARG(r->name));
        return NULL;
    }
    /* A patch is conditional only when it names a resourceVersion itself. */
    bool names_revision = r->patch_type != PATCH_JSON && json_path_string(patch, "metadata.resourceVersion").n;
    if (names_revision && take_conditions(r, w, obj, old, st))
        return NULL;
    w->expected = names_revision ? w->expected : 0;
    return obj;
}

static struct json *compute_apply(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    struct json *patch = api_decode(r, r->res, NULL, true, st);
    if (!patch || check_names(r, patch, st))
        return NULL;
    struct apply_request rq = {.res = r->res,
                               .sub = w->manager_sub,
                               .manager = r->options.field_manager,
                               .force = r->options.force,
                               .now = loop_wall(r->api->loop)};
    struct json *obj = apply_patch(r->arena, &rq, old, patch, st);
    /* What was given up may be what is always written ("resources":{}): else a template would seem to have changed. */
    struct check check = {.a = r->arena, .mode = CHECK_IGNORE};
    return obj && !check_object(&check, r->res->type, obj, st) ? obj : NULL;
}

void api_patch(struct api_request *r)
{
    struct write *w = new_write(r);
    w->compute = r->patch_type == PATCH_APPLY ? compute_apply : compute_patch;
    w->keep_managed_fields = r->patch_type == PATCH_APPLY;
    w->may_create = r->patch_type == PATCH_APPLY && !r->sub;
    run(r, w);
}

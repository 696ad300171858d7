#include "apiserver/options.h"

#include "apiserver/internal.h"
#include "object/meta.h"
#include "object/validate.h"

static int result(struct validation *v, const char *kind, struct status *st)
{
    const struct resource options = {.group = "meta.k8s.io", .kind = kind};
    return validation_result(v, &options, NULL, st);
}

static void unsupported(struct validation *v, const char *field, struct slice value, const char *const *supported)
{
    validation_not_supported(v, field, json_new_string(v->a, value), supported);
}

/* ---- list and watch ---- */

static void check_list(struct validation *v, const struct api_query *q)
{
    static const char *const matches[] = {"Exact", "NotOlderThan", "", NULL};
    struct slice match = q->resource_version_match;
    if (match.n && !q->resource_version.n)
        validation_forbidden(v, "resourceVersionMatch",
                             "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (match.n && q->continue_token.n)
        validation_forbidden(v, "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
    if (match.n && !slice_eq_str(match, "Exact") && !slice_eq_str(match, "NotOlderThan"))
        unsupported(v, "resourceVersionMatch", match, matches);
    if (slice_eq_str(match, "Exact") && slice_eq_str(q->resource_version, "0"))
        validation_forbidden(v, "resourceVersionMatch",
                             "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    if (q->send_initial_set)
        validation_forbidden(v, "sendInitialEvents", "sendInitialEvents is forbidden for list");
}

static void check_watch(struct validation *v, const struct api_query *q)
{
    static const char *const matches[] = {"NotOlderThan", NULL};
    struct slice match = q->resource_version_match;
    bool not_older = slice_eq_str(match, "NotOlderThan");
    if (q->send_initial_set && !not_older)
        validation_forbidden(v, "resourceVersionMatch",
                             "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (match.n && !q->send_initial_set)
        validation_forbidden(v, "resourceVersionMatch",
                             "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (match.n && !not_older)
        unsupported(v, "resourceVersionMatch", match, matches);
    if (match.n && q->continue_token.n)
        validation_forbidden(v, "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
}

int api_check_list_options(struct api_request *r, struct status *st)
{
    struct validation v = {.a = r->arena};
    if (r->verb == API_WATCH)
        check_watch(&v, &r->options);
    else
        check_list(&v, &r->options);
    return result(&v, "ListOptions", st);
}

/* ---- writes ---- */

static void check_manager(struct validation *v, struct slice manager)
{
    if (manager.n > FIELD_MANAGER_MAX)
        validation_too_long(v, "fieldManager", FIELD_MANAGER_MAX);
    for (size_t i = 0; i < manager.n; i++) {
        unsigned char c = (unsigned char)manager.p[i];
        if (c < ' ' || c == 0x7f)
            validation_invalid(v, "fieldManager", json_new_string(v->a, manager),
                               arena_printf(v->a, "invalid character U+%04X (at position %zu)", c, i));
    }
}

static void check_dry_run(struct validation *v, const struct json *value)
{
    static const char *const supported[] = {"All", NULL};
    bool bad = false;
    json_each (it, value)
        bad |= !slice_eq_str(json_string(it), "All");
    if (bad)
        validation_not_supported(v, "dryRun", value, supported);
}

static void check_dry_run_text(struct validation *v, const struct api_query *q)
{
    if (!q->bad_dry_run.p)
        return;
    struct json *list = json_new_array(v->a);
    json_append(list, json_new_string(v->a, q->bad_dry_run));
    check_dry_run(v, list);
}

int api_check_write_options(struct api_request *r, struct status *st)
{
    static const char *const validations[] = {"", "Ignore", "Strict", "Warn", NULL};
    struct validation v = {.a = r->arena};
    const struct api_query *q = &r->options;
    bool apply = r->patch_type == PATCH_APPLY, patch = r->verb == API_PATCH;
    if (patch && !apply && q->force_set)
        validation_forbidden(&v, "force", "may not be specified for non-apply patch");
    if (apply && !q->field_manager.n)
        validation_required(&v, "fieldManager", "is required for apply patch");
    check_manager(&v, q->field_manager);
    check_dry_run_text(&v, q);
    if (q->bad_validation.p)
        unsupported(&v, "fieldValidation", q->bad_validation, validations);
    return result(&v, patch ? "PatchOptions" : r->verb == API_UPDATE ? "UpdateOptions" : "CreateOptions", st);
}

/* ---- deletes ---- */

static bool is_policy(struct slice s)
{
    return slice_eq_str(s, "Orphan") || slice_eq_str(s, "Foreground") || slice_eq_str(s, "Background");
}

int api_delete_options(struct api_request *r, const struct json *v, struct delete_options *ret, struct status *st)
{
    static const char *const policies[] = {"Foreground", "Background", "Orphan", "nil", NULL};
    struct validation checked = {.a = r->arena};
    const struct json *orphan = json_get_str(v, "orphanDependents"), *dry = json_get_str(v, "dryRun");
    *ret = (struct delete_options){.grace = json_int(json_get_str(v, "gracePeriodSeconds"), r->options.grace_seconds),
                                   .propagation = json_path_string(v, "propagationPolicy"),
                                   .uid = json_path_string(v, "preconditions.uid"),
                                   .revision = json_path_string(v, "preconditions.resourceVersion"),
                                   .dry_run = r->options.dry_run || json_len(dry) > 0};
    if (!ret->propagation.n)
        ret->propagation = r->options.propagation;
    bool orphan_set = orphan || r->options.orphan_set;
    if (orphan_set && ret->propagation.n)
        validation_invalid(&checked, "propagationPolicy", json_new_string(r->arena, ret->propagation),
                           "orphanDependents and deletionPropagation cannot be both set");
    if (ret->propagation.n && !is_policy(ret->propagation))
        unsupported(&checked, "propagationPolicy", ret->propagation, policies);
    check_dry_run(&checked, dry);
    check_dry_run_text(&checked, &r->options);
    if (orphan_set)
        ret->propagation = json_bool(orphan, r->options.orphan) ? SLICE("Orphan") : SLICE("Background");
    r->options.dry_run = ret->dry_run;
    return result(&checked, "DeleteOptions", st);
}

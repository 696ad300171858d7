/* Writes to pods by way of subresources: binding to a node, eviction. */
#include "apiserver/output.h"
#include "apiserver/special.h"
#include "base/timefmt.h"
#include "object/meta.h"
#include "object/selector.h"

static void reply_success(struct api_request *r, struct write *w, const struct store_item *item, bool created)
{
    struct status st = {0};
    (void)w, (void)item, (void)created;
    api_reply_json(r, 201, api_status_json(r->arena, &st));
}

/* Sets or replaces the condition of this type. */
static void set_condition(struct api_request *r, struct json *obj, const char *type, const char *reason,
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

static struct json *compute_binding(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    const struct json *binding = w->ctx;
    struct slice node = json_path_string(binding, "target.name"), kind = json_path_string(binding, "target.kind");
    struct slice bound = json_path_string(old, "spec.nodeName");
    if (!node.n || (kind.n && !slice_eq_str(kind, "Node")))
        status_set(st, r->arena, 422,
                   "Binding \"%" SLICE_FMT "\" is invalid: target: Required value: a Node with a name",
                   SLICE_ARG(w->name));
    else if (meta_is_deleting(old))
        conflict(r, w, st, "pod is being deleted, cannot be assigned to a host");
    else if (bound.n)
        conflict(r, w, st,
                 arena_printf(r->arena, "pod is already assigned to node \"%" SLICE_FMT "\"", SLICE_ARG(bound)));
    else if (json_len(json_path(old, "spec.schedulingGates")))
        conflict(r, w, st, "pod has non-empty .spec.schedulingGates");
    if (st->code)
        return NULL;
    struct json *obj = json_clone(r->arena, old);
    json_set_str(r->arena, json_object_at(r->arena, obj, "spec"), "nodeName", json_new_string(r->arena, node));
    set_condition(r, obj, "PodScheduled", NULL, NULL);
    json_del_str(json_get_str(obj, "status"), "nominatedNodeName");
    json_each (m, json_path(binding, "metadata.annotations"))
        meta_set_annotation(r->arena, obj, m->key, json_string(m));
    return obj;
}

void api_bind(struct api_request *r)
{
    struct status st = {0};
    const struct resource *bindings = resource_core("bindings");
    struct json *binding = api_decode(r, bindings, NULL, false, &st);
    if (!binding) {
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
                        .reply = reply_success,
                        .expected_uid = meta_uid(binding),
                        .ctx = binding};
    api_write(r, w);
}

/* ---- eviction ---- */

struct budget_search {
    struct api_request *r;
    const struct json *pod;
    const struct json *budget;
    unsigned matches;
};

static void match_budget(void *arg, const struct json *budget)
{
    struct budget_search *s = arg;
    struct selector selector;
    if (selector_from_object(s->r->arena, json_path(budget, "spec.selector"), &selector) ||
        !selector_matches_labels(&selector, meta_labels(s->pod)))
        return;
    s->matches++;
    s->budget = budget;
}

static void find_budget(struct budget_search *s)
{
    struct tree_iter it;
    struct slice prefix = api_key(s->r, s->r->ns, SLICE_NONE);
    const struct resource *res = resource_find(SLICE("policy"), SLICE("v1"), SLICE("poddisruptionbudgets"));
    tree_iter_init(&it, store_root(api_table(s->r->api, res)), prefix);
    for (struct store_item *i; (i = tree_iter_next(&it)) && slice_starts(item_key(i), prefix);)
        match_budget(s, api_item_json(s->r->api, s->r->arena, i));
}

static bool needs_no_budget(const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    return slice_eq_str(phase, "Succeeded") || slice_eq_str(phase, "Failed") || slice_eq_str(phase, "Pending") ||
           meta_is_deleting(pod);
}

static struct json *compute_eviction(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    struct budget_search s = {.r = r, .pod = old};
    const struct json *options = w->ctx;
    find_budget(&s);
    if (s.matches > 1) {
        status_set(st, r->arena, 500,
                   "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
                   "support.");
        return NULL;
    }
    if (s.matches && !needs_no_budget(old) && json_int(json_path(s.budget, "status.disruptionsAllowed"), 0) <= 0) {
        status_set(st, r->arena, 429, "Cannot evict pod as it would violate the pod's disruption budget.");
        status_cause(st, r->arena, "DisruptionBudget", "", "The disruption budget %" SLICE_FMT " does not allow it now",
                     SLICE_ARG(meta_name(s.budget)));
        return NULL;
    }
    struct json *obj = json_clone(r->arena, old);
    int64_t grace = json_int(json_path(options, "gracePeriodSeconds"),
                             json_int(json_path(old, "spec.terminationGracePeriodSeconds"), 30));
    if (!json_path_string(old, "spec.nodeName").n || (needs_no_budget(old) && !meta_is_deleting(old)))
        grace = 0;
    if (grace <= 0 && !json_len(meta_finalizers(old))) {
        w->remove = true;
        return obj;
    }
    set_condition(r, obj, "DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting");
    w->force_finalize = true;
    if (!meta_is_deleting(old))
        meta_set_deletion(r->arena, obj, loop_wall(r->api->loop) + grace * NS_PER_SEC, grace);
    return obj;
}

void api_evict(struct api_request *r)
{
    struct status st = {0};
    struct json *eviction = NULL;
    if (slice_starts(r->content_type, SLICE("application/vnd.kubernetes.protobuf")))
        eviction = api_decode(r, r->res, r->sub, false, &st);
    else
        eviction = api_decode_any(r, &st); /* policy/v1 and v1beta1 bodies alike */
    if (eviction && meta_name(eviction).n && !slice_eq(meta_name(eviction), r->name))
        status_set(&st, r->arena, 400, "name in URL does not match name in Eviction object");
    if (st.code) {
        api_reply_status(r, &st);
        return;
    }
    r->options.dry_run |= json_len(json_path(eviction, "deleteOptions.dryRun")) > 0;
    struct write *w = arena_state(r->arena, struct write);
    *w = (struct write){.res = resource_core("pods"),
                        .ns = r->ns,
                        .name = r->name,
                        .compute = compute_eviction,
                        .reply = reply_success,
                        .ctx = json_get_str(eviction, "deleteOptions"),
                        .keep_managed_fields = true,
                        .deletes = true};
    api_write(r, w);
}

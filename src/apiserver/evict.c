/* Eviction: a deletion that asks the pod's disruption budget first, and takes from it in the same transaction, so that
 * two evictions in one moment cannot both use the last place.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/ */
#include "apiserver/output.h"
#include "apiserver/podsub.h"
#include "apiserver/special.h"
#include "base/timefmt.h"
#include "object/meta.h"
#include "object/selector.h"

enum { DISRUPTED_PODS_MAX = 2000, RETRY_SECONDS = 10 };

struct budget_search {
    struct api_request *r;
    const struct json *pod;
    struct store_item *item; /* of the last match, borrowed from the tree */
    struct json *budget;
    unsigned matches;
};

static void match_budget(struct budget_search *s, struct store_item *item)
{
    struct selector selector;
    struct json *budget = api_item_json(s->r->api, s->r->arena, item);
    if (selector_from_object(s->r->arena, json_path(budget, "spec.selector"), &selector) ||
        !selector_matches_labels(&selector, meta_labels(s->pod)))
        return;
    s->matches++;
    s->item = item;
    s->budget = budget;
}

static const struct resource *budgets(void)
{
    return resource_find(SLICE("policy"), SLICE("v1"), SLICE("poddisruptionbudgets"));
}

static void find_budget(struct budget_search *s)
{
    struct tree_iter it;
    struct slice prefix = api_key(s->r, s->r->ns, SLICE_NONE);
    tree_iter_init(&it, store_root(api_table(s->r->api, budgets())), prefix);
    for (struct store_item *i; (i = tree_iter_next(&it)) && slice_starts(item_key(i), prefix);)
        match_budget(s, i);
}

/* It does not serve, or not any more: its end disturbs nobody. */
static bool needs_no_budget(const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    return slice_eq_str(phase, "Succeeded") || slice_eq_str(phase, "Failed") || slice_eq_str(phase, "Pending") ||
           meta_is_deleting(pod);
}

static bool is_ready(const struct json *pod)
{
    json_each (c, json_path(pod, "status.conditions"))
        if (slice_eq_str(json_path_string(c, "type"), "Ready"))
            return slice_eq_str(json_path_string(c, "status"), "True");
    return false;
}

static int64_t count(const struct json *budget, const char *path)
{
    return json_int(json_path(budget, path), 0);
}

/* A pod that is not ready may go while enough others are, or always when the budget says so. */
static bool is_beside_budget(const struct json *pod, const struct json *budget)
{
    int64_t desired = count(budget, "status.desiredHealthy");
    if (is_ready(pod))
        return false;
    return slice_eq_str(json_path_string(budget, "spec.unhealthyPodEvictionPolicy"), "AlwaysAllow") ||
           (desired > 0 && count(budget, "status.currentHealthy") >= desired);
}

static void refuse(struct api_request *r, struct status *st, int retry, const char *why)
{
    status_set(st, r->arena, 429, "Cannot evict pod as it would violate the pod's disruption budget.");
    status_cause(st, r->arena, "DisruptionBudget", "", "%s", why);
    st->retry_after = retry;
}

/* Takes one place from the budget. */
static int take(struct api_request *r, struct write *w, struct budget_search *s, struct status *st)
{
    struct arena *a = r->arena;
    struct json *budget = s->budget, *status = json_object_at(a, budget, "status");
    struct slice name = meta_name(budget);
    int64_t allowed = count(budget, "status.disruptionsAllowed");
    char now[TIME_SEC_LEN + 1];
    if (count(budget, "status.observedGeneration") < meta_generation(budget))
        refuse(r, st, RETRY_SECONDS,
               arena_printf(a, "The disruption budget %" SLICE_FMT " is still being processed by the server.",
                            SLICE_ARG(name)));
    else if (allowed <= 0)
        refuse(r, st, 0,
               arena_printf(a, "The disruption budget %" SLICE_FMT " needs %lld healthy pods and has %lld currently",
                            SLICE_ARG(name), (long long)count(budget, "status.desiredHealthy"),
                            (long long)count(budget, "status.currentHealthy")));
    else if (json_len(json_get_str(status, "disruptedPods")) >= DISRUPTED_PODS_MAX)
        status_set(st, a, 403, "pod disruption budget %" SLICE_FMT " has too many disrupted pods", SLICE_ARG(name));
    if (st->code)
        return st->code;
    time_format_sec(loop_wall(r->api->loop), now);
    json_set_str(a, status, "disruptionsAllowed", json_new_int(a, allowed - 1));
    json_set(a, json_object_at(a, status, "disruptedPods"), meta_name(s->pod), json_new_str(a, now));
    w->also.res = budgets();
    w->also.old = item_ref(s->item);
    w->also.obj = budget;
    return 0;
}

static int ask_budget(struct api_request *r, struct write *w, const struct json *pod, struct status *st)
{
    struct budget_search s = {.r = r, .pod = pod};
    find_budget(&s);
    if (s.matches > 1)
        return status_set(st, r->arena, 500,
                          "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
                          "support.");
    return s.matches && !is_beside_budget(pod, s.budget) ? take(r, w, &s, st) : 0;
}

static int check_preconditions(struct api_request *r, struct write *w, const struct json *old, struct status *st)
{
    const struct json *wanted = json_get_str(w->ctx, "preconditions");
    struct slice uid = json_path_string(wanted, "uid"), rv = json_path_string(wanted, "resourceVersion");
    uint64_t revision = 0;
    const char *what = NULL;
    if (rv.n && (!slice_to_u64(rv, &revision) || revision != w->old->mod_revision))
        what = arena_printf(r->arena,
                            "ResourceVersion in precondition: %" SLICE_FMT ", ResourceVersion in object meta: %llu",
                            SLICE_ARG(rv), (unsigned long long)w->old->mod_revision);
    else if (uid.n && !slice_eq(uid, meta_uid(old)))
        what = arena_printf(r->arena, "UID in precondition: %" SLICE_FMT ", UID in object meta: %" SLICE_FMT,
                            SLICE_ARG(uid), SLICE_ARG(meta_uid(old)));
    if (!what)
        return 0;
    return status_set(st, r->arena, 409,
                      "Operation cannot be fulfilled on pods \"%" SLICE_FMT "\": Precondition failed: %s",
                      SLICE_ARG(w->name), what);
}

static struct json *compute_eviction(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    const struct json *options = w->ctx;
    bool alone = needs_no_budget(old);
    if (check_preconditions(r, w, old, st) || (!alone && ask_budget(r, w, old, st)))
        return NULL;
    struct json *obj = json_clone(r->arena, old);
    int64_t grace = json_int(json_path(options, "gracePeriodSeconds"),
                             json_int(json_path(old, "spec.terminationGracePeriodSeconds"), 30));
    if (!json_path_string(old, "spec.nodeName").n || (alone && !meta_is_deleting(old)))
        grace = 0;
    if (grace <= 0 && !json_len(meta_finalizers(old))) {
        w->remove = true;
        return obj;
    }
    if (!alone)
        api_pod_condition(r, obj, "DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting");
    w->force_finalize = true;
    if (!meta_is_deleting(old)) {
        meta_set_deletion(r->arena, obj, loop_wall(r->api->loop) + grace * NS_PER_SEC, grace);
        meta_set_generation(r->arena, obj, meta_generation(obj) + 1);
    }
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
                        .reply = api_pod_success,
                        .reply_dry = api_pod_success_dry,
                        .ctx = json_get_str(eviction, "deleteOptions"),
                        .keep_managed_fields = true,
                        .deletes = true};
    api_write(r, w);
}

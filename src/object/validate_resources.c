/* Rules of what containers ask for and may use. */
#include "object/quantity.h"
#include "object/validate_rules.h"

static bool is_huge(struct slice name)
{
    return slice_starts(name, SLICE("hugepages-"));
}

/* Of Kubernetes itself: without a domain, or of one of kubernetes.io. */
static bool is_native(struct slice name)
{
    struct slice domain, rest;
    return !slice_cut(name, '/', &domain, &rest) || slice_eq_str(domain, "kubernetes.io") ||
           slice_ends(domain, SLICE(".kubernetes.io"));
}

static bool may_overcommit(struct slice name)
{
    return is_native(name) && !is_huge(name);
}

static bool is_container_resource(struct slice name)
{
    static const char *const plain[] = {"cpu", "memory", "ephemeral-storage"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (slice_eq_str(name, plain[i]))
            return true;
    return is_huge(name) || (name.n && memchr(name.p, '/', name.n));
}

/* Claims ask for storage, volumes are no containers. */
static bool is_claim(const struct place *at)
{
    return at->up && at->up->up && at->up->name.p && slice_eq_str(at->name, "resources") &&
           slice_eq_str(at->up->name, "spec");
}

/* Of the pod as a whole. */
static bool is_pod_level(const struct rule_call *c)
{
    return is_claim(c->at) && slice_eq_str(json_path_string(c->root, "kind"), "Pod");
}

static bool is_page_multiple(struct slice name, struct quantity amount)
{
    struct quantity page;
    if (!quantity_parse(slice_from(name, sizeof "hugepages-" - 1), &page) || page.nano <= 0)
        return true;
    return amount.nano % page.nano == 0;
}

static void check_amount(const struct rule_call *c, const struct place *at, const struct json *amount)
{
    struct quantity q;
    if (!quantity_from_json(amount, &q))
        return;
    if (q.nano < 0)
        place_invalid(c->v, at, amount, "must be greater than or equal to 0");
    if (!is_claim(c->at) && !is_native(amount->key) && q.nano % 1000000000)
        place_invalid(c->v, at, amount, "must be an integer");
    if (is_huge(amount->key) && !is_page_multiple(amount->key, q))
        place_invalid(c->v, at, amount,
                      arena_printf(c->v->a, "%" SLICE_FMT " is not positive integer multiple of %" SLICE_FMT,
                                   SLICE_ARG(json_string(amount)), SLICE_ARG(amount->key)));
}

static void check_list(const struct rule_call *c, const char *which)
{
    static const char *const of_pods[] = {"cpu", "hugepages-", "memory", NULL};
    struct place list = place_member(c->at, which);
    json_each (it, json_get_str(c->value, which)) {
        struct place here = place_key(&list, it->key);
        const char *why = validate_qualified_name(it->key);
        if (!why && !is_claim(c->at) && !is_container_resource(it->key))
            why = "must be a standard resource for containers";
        place_invalid(c->v, &here, json_new_string(c->v->a, it->key), why);
        if (is_pod_level(c) && !is_huge(it->key) && !text_is_one_of(it->key, of_pods))
            place_not_supported(c->v, &here, json_new_string(c->v->a, it->key), of_pods);
        check_amount(c, &here, it);
    }
}

/* What may not be overcommitted is asked for and limited by the same amount. */
static void check_request(const struct rule_call *c, const struct json *request, const struct json *limit)
{
    struct place limits = place_member(c->at, "limits"), requests = place_member(c->at, "requests");
    struct quantity want, most;
    bool over = may_overcommit(request->key);
    if (!limit) {
        if (!over && !is_claim(c->at))
            place_required(c->v, &limits, "Limit must be set for non overcommitable resources");
        return;
    }
    if (!quantity_from_json(request, &want) || !quantity_from_json(limit, &most))
        return;
    const char *how = !over && quantity_cmp(want, most)      ? "equal to"
                      : over && quantity_cmp(want, most) > 0 ? "less than or equal to"
                                                             : NULL;
    if (how)
        place_invalid(c->v, &requests, request,
                      arena_printf(c->v->a, "must be %s %" SLICE_FMT " limit of %" SLICE_FMT, how,
                                   SLICE_ARG(request->key), SLICE_ARG(json_string(limit))));
}

/* Which of two kinds of resources the list has. */
static void note_kinds(const struct json *list, bool *huge, bool *base)
{
    json_each (it, list) {
        *huge |= is_huge(it->key);
        *base |= slice_eq_str(it->key, "cpu") || slice_eq_str(it->key, "memory");
    }
}

static void check_claims(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    struct place list = place_member(c->at, "claims");
    size_t i = 0;
    json_each (it, json_get_str(c->value, "claims")) {
        struct place here = place_item(&list, i++);
        struct slice name = json_path_string(it, "name"), request = json_path_string(it, "request");
        const char *both = arena_printf(c->v->a, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(name), SLICE_ARG(request));
        if (name.n && json_get_str(seen, both))
            place_duplicate(c->v, &here, json_get_str(it, "name"));
        json_set(c->v->a, seen, slice_str(both), json_new_null(c->v->a));
    }
}

/* value: {limits, requests, claims} of a container, a pod or a volume's claim. */
static void resources(const struct rule_call *c)
{
    const struct json *limits = json_get_str(c->value, "limits"), *requests = json_get_str(c->value, "requests");
    bool huge = false, base = false;
    check_list(c, "limits");
    check_list(c, "requests");
    json_each (it, requests)
        check_request(c, it, json_get(limits, it->key));
    note_kinds(limits, &huge, &base);
    note_kinds(requests, &huge, &base);
    if (huge && !base)
        place_forbidden(c->v, c->at, "HugePages require cpu or memory");
    check_claims(c);
}

static const struct rule_entry entries[] = {
    {"resources", resources},
};

const struct rule_table rules_resources = RULE_TABLE(entries);

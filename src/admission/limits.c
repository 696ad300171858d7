/* LimitRanger: each LimitRange of a namespace has its say about new pods and about claims.
 * https://kubernetes.io/docs/concepts/policy/limit-range/ The words are Kubernetes', which tell of the first limit that
 * each resource breaks. */
#include "admission/plugins.h"
#include "object/meta.h"
#include "object/quantity.h"

enum { TEXT_MAX = 16 << 10 };

struct limits {
    struct admission *ad;
    struct buf text; /* annotation, or complaints */
    size_t complaints;
};

static bool is_type(const struct json *limit, const char *type)
{
    return slice_eq_str(json_path_string(limit, "type"), type);
}

/* ---- defaults ---- */

/* Adds what is missing of a container's requests or limits; notes which, as Kubernetes' annotation does. */
static void add_missing(struct limits *l, struct json *container, const char *part, const struct json *defaults,
                        const char *what, bool init)
{
    struct arena *a = l->ad->a;
    struct json *resources = json_object_at(a, container, "resources");
    bool any = false;
    json_each (d, defaults) {
        struct json *amounts = json_object_at(a, resources, part);
        if (json_get(amounts, d->key))
            continue;
        json_set(a, amounts, d->key, json_clone(a, d));
        buf_printf(&l->text, "%s%" SLICE_FMT,
                   any         ? ", "
                   : l->text.n ? "; "
                               : "LimitRanger plugin set: ",
                   SLICE_ARG(d->key));
        any = true;
    }
    if (any)
        buf_printf(&l->text, " %s for %scontainer %" SLICE_FMT, what, init ? "init " : "",
                   SLICE_ARG(json_path_string(container, "name")));
}

static void add_defaults(void *arg, const struct json *range)
{
    struct limits *l = arg;
    static const char *const lists[] = {"containers", "initContainers"};
    json_each (limit, json_path(range, "spec.limits"))
        for (size_t i = 0; i < 2 && is_type(limit, "Container"); i++)
            json_each (c, json_get_str(json_get_str(l->ad->obj, "spec"), lists[i])) {
                add_missing(l, c, "requests", json_get_str(limit, "defaultRequest"), "request", i == 1);
                add_missing(l, c, "limits", json_get_str(limit, "default"), "limit", i == 1);
            }
}

static const struct resource *ranges(void)
{
    return resource_core("limitranges");
}

static bool is_new_pod(const struct admission *ad)
{
    return admission_is(ad, "", "pods") && ad->op == ADMIT_CREATE;
}

int limit_ranger_mutate(struct admission *ad, struct status *st)
{
    struct limits l = {.ad = ad};
    (void)st;
    if (!is_new_pod(ad))
        return 0;
    buf_init(&l.text, TEXT_MAX);
    ad->each(ad->ctx, ranges(), ad->ns, add_defaults, &l);
    if (l.text.n)
        meta_set_annotation(ad->a, ad->obj, SLICE("kubernetes.io/limit-ranger"), buf_slice(&l.text));
    buf_done(&l.text);
    return 0;
}

/* ---- limits ---- */

static void complain(struct limits *l, const char *text)
{
    buf_printf(&l->text, "%s%s", l->complaints++ ? ", " : "", text);
}

static bool amount(const struct json *amounts, struct slice name, struct quantity *ret)
{
    return quantity_from_json(json_get(amounts, name), ret);
}

/* The canonical text of a quantity. */
static const char *said(struct limits *l, struct quantity q)
{
    return arena_copy(l->ad->a, json_string(quantity_to_json(l->ad->a, q))).p;
}

struct asked {
    const char *type; /* Container, Pod, PersistentVolumeClaim */
    const struct json *requests, *limits;
};

static void check_min(struct limits *l, const struct asked *asked, const struct json *min)
{
    struct quantity most, request, limit;
    json_each (m, min) {
        if (!quantity_from_json(m, &most))
            continue;
        bool has = amount(asked->requests, m->key, &request), limited = amount(asked->limits, m->key, &limit);
        const char *head = arena_printf(l->ad->a, "minimum %" SLICE_FMT " usage per %s is %s", SLICE_ARG(m->key),
                                        asked->type, said(l, most));
        if (!has)
            complain(l, arena_printf(l->ad->a, "%s.  No request is specified", head));
        else if (quantity_cmp(request, most) < 0)
            complain(l, arena_printf(l->ad->a, "%s, but request is %s", head, said(l, request)));
        else if (limited && quantity_cmp(limit, most) < 0)
            complain(l, arena_printf(l->ad->a, "%s, but limit is %s", head, said(l, limit)));
    }
}

/* Claims have no limits: of them only requests are looked at. */
static void check_max(struct limits *l, const struct asked *asked, const struct json *max)
{
    bool claim = !asked->limits && slice_eq_str(slice_str(asked->type), "PersistentVolumeClaim");
    struct quantity most, request, limit;
    json_each (m, max) {
        if (!quantity_from_json(m, &most))
            continue;
        bool has = amount(asked->requests, m->key, &request), limited = amount(asked->limits, m->key, &limit);
        const char *head = arena_printf(l->ad->a, "maximum %" SLICE_FMT " usage per %s is %s", SLICE_ARG(m->key),
                                        asked->type, said(l, most));
        if (claim && !has)
            complain(l, arena_printf(l->ad->a, "%s.  No request is specified", head));
        else if (!claim && !limited)
            complain(l, arena_printf(l->ad->a, "%s.  No limit is specified", head));
        else if (limited && quantity_cmp(limit, most) > 0)
            complain(l, arena_printf(l->ad->a, "%s, but limit is %s", head, said(l, limit)));
        else if (has && quantity_cmp(request, most) > 0)
            complain(l, arena_printf(l->ad->a, "%s, but request is %s", head, said(l, request)));
    }
}

static void check_ratio(struct limits *l, const struct asked *asked, const struct json *ratios)
{
    struct quantity most, request, limit;
    json_each (m, ratios) {
        if (!quantity_from_json(m, &most))
            continue;
        const char *head = arena_printf(l->ad->a, "%" SLICE_FMT " max limit to request ratio per %s is %s",
                                        SLICE_ARG(m->key), asked->type, said(l, most));
        if (!amount(asked->requests, m->key, &request) || quantity_is_zero(request)) {
            complain(l, arena_printf(l->ad->a, "%s, but no request is specified or request is 0", head));
        } else if (!amount(asked->limits, m->key, &limit) || quantity_is_zero(limit)) {
            complain(l, arena_printf(l->ad->a, "%s, but no limit is specified or limit is 0", head));
        } else {
            double ratio = (double)limit.nano / (double)request.nano;
            if (ratio > (double)most.nano / 1e9)
                complain(l, arena_printf(l->ad->a, "%s, but provided ratio is %f", head, ratio));
        }
    }
}

static void check(struct limits *l, const struct json *limit, const struct asked *asked)
{
    check_min(l, asked, json_get_str(limit, "min"));
    check_max(l, asked, json_get_str(limit, "max"));
    check_ratio(l, asked, json_get_str(limit, "maxLimitRequestRatio"));
}

static void add_amounts(struct arena *a, struct json *sum, const struct json *amounts)
{
    struct quantity q, had;
    json_each (m, amounts)
        if (quantity_from_json(m, &q))
            json_set(a, sum, m->key, quantity_to_json(a, amount(sum, m->key, &had) ? quantity_add(had, q) : q));
}

/* A pod asks for what its containers do together, or for what its largest init container does. */
static struct json *of_pod(struct arena *a, const struct json *spec, const char *part)
{
    struct json *sum = json_new_object(a);
    struct quantity q, had;
    json_each (c, json_get_str(spec, "containers"))
        add_amounts(a, sum, json_get_str(json_get_str(c, "resources"), part));
    json_each (c, json_get_str(spec, "initContainers"))
        json_each (m, json_get_str(json_get_str(c, "resources"), part))
            if (quantity_from_json(m, &q) && (!amount(sum, m->key, &had) || quantity_cmp(had, q) < 0))
                json_set(a, sum, m->key, json_clone(a, m));
    return sum;
}

static void check_containers(struct limits *l, const struct json *limit, const struct json *list)
{
    json_each (c, list) {
        const struct json *resources = json_get_str(c, "resources");
        struct asked asked = {"Container", json_get_str(resources, "requests"), json_get_str(resources, "limits")};
        check(l, limit, &asked);
    }
}

static void check_range(void *arg, const struct json *range)
{
    struct limits *l = arg;
    const struct json *spec = json_get_str(l->ad->obj, "spec");
    bool pod = admission_is(l->ad, "", "pods");
    json_each (limit, json_path(range, "spec.limits")) {
        if (pod && is_type(limit, "Container")) {
            check_containers(l, limit, json_get_str(spec, "containers"));
            check_containers(l, limit, json_get_str(spec, "initContainers"));
        } else if (pod && is_type(limit, "Pod")) {
            struct asked asked = {"Pod", of_pod(l->ad->a, spec, "requests"), of_pod(l->ad->a, spec, "limits")};
            check(l, limit, &asked);
        } else if (!pod && is_type(limit, "PersistentVolumeClaim")) {
            struct asked asked = {"PersistentVolumeClaim", json_path(spec, "resources.requests"), NULL};
            check(l, limit, &asked);
        }
    }
}

int limit_ranger_validate(struct admission *ad, struct status *st)
{
    struct limits l = {.ad = ad};
    bool claim = admission_is(ad, "", "persistentvolumeclaims") && (ad->op == ADMIT_CREATE || ad->op == ADMIT_UPDATE);
    if ((!is_new_pod(ad) && !claim) || (ad->old && meta_is_deleting(ad->old)))
        return 0;
    buf_init(&l.text, TEXT_MAX);
    ad->each(ad->ctx, ranges(), ad->ns, check_range, &l);
    struct slice why = buf_slice(&l.text);
    const char *text = arena_printf(ad->a, l.complaints > 1 ? "[%" SLICE_FMT "]" : "%" SLICE_FMT, SLICE_ARG(why));
    buf_done(&l.text);
    return l.complaints ? admission_forbidden(ad, st, text) : 0;
}

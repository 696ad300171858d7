/* Writes to subresources that are a part of the object: what each takes of what was sent; the rest stays as stored. */
#include "apiserver/output.h"
#include "apiserver/strategy.h"
#include "base/timefmt.h"
#include "object/meta.h"
#include "object/path.h"

/* One container of a resize: nothing but its resources and how they are changed. */
static void take_resources(struct arena *a, struct json *to, const struct json *from)
{
    static const char *const members[] = {"resources", "resizePolicy"};
    for (size_t i = 0; i < 2; i++) {
        const struct json *v = json_get_str(from, members[i]);
        json_del_str(to, members[i]);
        if (v)
            json_set_str(a, to, members[i], json_clone(a, v));
    }
}

static bool same_names(const struct json *x, const struct json *y)
{
    const struct json *other = json_first(y);
    json_each (it, x) {
        if (!other || !slice_eq(json_path_string(it, "name"), json_path_string(other, "name")))
            return false;
        other = other->next;
    }
    return !other;
}

/* Containers that came, went or moved are left for validation to refuse. */
static struct json *resize(struct arena *a, const struct json *obj, const struct json *old)
{
    static const char *const lists[] = {"containers", "initContainers"};
    struct json *kept = json_clone(a, old), *spec = json_get_str(kept, "spec");
    for (size_t l = 0; l < 2; l++) {
        const struct json *now = json_get_str(json_get_str(obj, "spec"), lists[l]);
        struct json *before = json_get_str(spec, lists[l]);
        if (!same_names(now, before)) {
            json_set_str(a, spec, lists[l], json_clone(a, now));
            continue;
        }
        const struct json *from = json_first(now);
        json_each (it, before) {
            take_resources(a, it, from);
            from = from->next;
        }
    }
    return kept;
}

static const struct {
    const char *group, *plural, *sub;
    const char *path; /* what is taken; NULL = by resize */
    bool meta;        /* labels and annotations too */
} parts[] = {
    {"", "pods", "ephemeralcontainers", "spec.ephemeralContainers", false},
    {"", "pods", "resize", NULL, false},
    {"", "namespaces", "finalize", "spec.finalizers", true},
    {"certificates.k8s.io", "certificatesigningrequests", "approval", "status.conditions", true},
};

struct json *api_strategy_part(struct api_request *r, struct write *w, struct json *obj, const struct json *old)
{
    struct arena *a = r->arena;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(w->res->group, parts[i].group) != 0 || strcmp(w->res->plural, parts[i].plural) != 0 ||
            !slice_eq_str(w->sub, parts[i].sub))
            continue;
        if (!parts[i].path)
            return resize(a, obj, old);
        struct json *kept = json_clone(a, old);
        const struct json *part = path_get_str(obj, parts[i].path);
        path_del(kept, slice_str(parts[i].path));
        if (part)
            path_set(a, kept, slice_str(parts[i].path), json_clone(a, part));
        if (parts[i].meta)
            json_set_str(a, kept, "metadata", json_clone(a, json_get_str(obj, "metadata")));
        return kept;
    }
    return obj;
}

/* ---- CertificateSigningRequest ---- */

static bool is_verdict(const struct json *condition)
{
    struct slice type = json_path_string(condition, "type");
    return slice_eq_str(type, "Approved") || slice_eq_str(type, "Denied");
}

static const struct json *same_condition(const struct json *list, const struct json *condition)
{
    json_each (it, list)
        if (slice_eq(json_path_string(it, "type"), json_path_string(condition, "type")) &&
            slice_eq(json_path_string(it, "status"), json_path_string(condition, "status")))
            return it;
    return NULL;
}

static void stamp(struct arena *a, struct json *condition, const struct json *before, const char *now)
{
    const struct json *since = json_get_str(before, "lastTransitionTime");
    if (!json_path_string(condition, "lastUpdateTime").n)
        json_set_str(a, condition, "lastUpdateTime", json_new_str(a, now));
    if (!json_path_string(condition, "lastTransitionTime").n)
        json_set_str(a, condition, "lastTransitionTime", since ? json_clone(a, since) : json_new_str(a, now));
}

void strategy_csr_conditions(struct strategy *s)
{
    struct arena *a = s->r->arena;
    const struct json *had = json_path(s->old, "status.conditions");
    struct json *list = json_path(s->obj, "status.conditions"), *kept = json_new_array(a);
    char now[TIME_SEC_LEN + 1];
    bool verdicts = slice_eq_str(s->w->sub, "status"); /* are for /approval only: the stored ones stay */
    time_format_sec(loop_wall(s->r->api->loop), now);
    json_each (it, had)
        if (verdicts && is_verdict(it))
            json_append(kept, json_clone(a, it));
    json_each (it, list) {
        if (verdicts && is_verdict(it))
            continue;
        struct json *copy = json_clone(a, it);
        stamp(a, copy, same_condition(had, it), now);
        json_append(kept, copy);
    }
    if (json_len(kept))
        json_set_str(a, json_object_at(a, s->obj, "status"), "conditions", kept);
    else
        json_del_str(json_get_str(s->obj, "status"), "conditions");
}

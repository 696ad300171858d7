/* RuntimeClass: https://kubernetes.io/docs/concepts/containers/runtime-class/ */
#include "admission/plugins.h"
#include "object/meta.h"

static const struct json *class_of(struct admission *ad, struct slice name)
{
    const struct resource *res = resource_find(SLICE("node.k8s.io"), SLICE("v1"), SLICE("runtimeclasses"));
    return ad->lookup(ad->ctx, res, SLICE_NONE, name);
}

static bool is_new_pod(const struct admission *ad)
{
    return admission_is(ad, "", "pods") && ad->op == ADMIT_CREATE;
}

/* The class's node labels become the pod's; true when both want the same label with other values. */
static bool selectors_conflict(struct admission *ad, struct json *spec, const struct json *wanted)
{
    struct json *selector = json_object_at(ad->a, spec, "nodeSelector");
    json_each (l, wanted) {
        const struct json *has = json_get(selector, l->key);
        if (has && !json_equal(has, l))
            return true;
        if (!has)
            json_set(ad->a, selector, l->key, json_clone(ad->a, l));
    }
    return false;
}

static void add_tolerations(struct admission *ad, struct json *spec, const struct json *wanted)
{
    struct json *list = json_get_str(spec, "tolerations");
    if (!list) {
        list = json_new_array(ad->a);
        json_set_str(ad->a, spec, "tolerations", list);
    }
    json_each (t, wanted) {
        bool has = false;
        json_each (there, list)
            has |= json_equal(there, t);
        if (!has)
            json_append(list, json_clone(ad->a, t));
    }
}

int runtime_class_mutate(struct admission *ad, struct status *st)
{
    struct json *spec = is_new_pod(ad) ? json_object_at(ad->a, ad->obj, "spec") : NULL;
    struct slice name = json_path_string(spec, "runtimeClassName");
    if (!name.n)
        return 0;
    const struct json *class = class_of(ad, name), *overhead = json_path(class, "overhead.podFixed");
    if (!class)
        return admission_forbidden(
            ad, st, arena_printf(ad->a, "pod rejected: RuntimeClass \"%" SLICE_FMT "\" not found", SLICE_ARG(name)));
    if (overhead && json_get_str(spec, "overhead") && !json_equal(json_get_str(spec, "overhead"), overhead))
        return admission_forbidden(ad, st,
                                   "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    if (overhead)
        json_set_str(ad->a, spec, "overhead", json_clone(ad->a, overhead));
    const struct json *labels = json_path(class, "scheduling.nodeSelector");
    if (json_len(labels) && selectors_conflict(ad, spec, labels))
        return admission_forbidden(ad, st, "pod rejected: conflict: RuntimeClass and Pod want different nodes");
    if (json_len(json_path(class, "scheduling.tolerations")))
        add_tolerations(ad, spec, json_path(class, "scheduling.tolerations"));
    return 0;
}

int runtime_class_validate(struct admission *ad, struct status *st)
{
    const struct json *spec = is_new_pod(ad) ? json_get_str(ad->obj, "spec") : NULL;
    struct slice name = json_path_string(spec, "runtimeClassName");
    const struct json *overhead = name.n ? json_path(class_of(ad, name), "overhead.podFixed") : NULL;
    if (json_len(json_get_str(spec, "overhead")) && !overhead)
        return admission_forbidden(
            ad, st, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    return 0;
}

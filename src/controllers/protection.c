/* PersistentVolumeClaims and PersistentVolumes are kept by a finalizer, which admission gives to each, for as long as a pod
 * uses the claim and the volume is bound.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection */
#include "controllers/builtin.h"
#include "object/meta.h"

static bool has_finalizer(const struct json *obj, const char *finalizer)
{
    json_each (f, json_path(obj, "metadata.finalizers"))
        if (slice_eq_str(json_string(f), finalizer))
            return true;
    return false;
}

static void release(struct reconcile *r, const char *plural, const struct json *obj, const char *finalizer)
{
    struct json *freed = json_clone(r->a, obj), *rest = json_new_array(r->a);
    json_each (f, json_path(obj, "metadata.finalizers"))
        if (!slice_eq_str(json_string(f), finalizer))
            json_append(rest, json_clone(r->a, f));
    json_set_str(r->a, meta_object(r->a, freed), "finalizers", rest);
    op_update(r, "", plural, freed, NULL);
}

/* The claim that a volume of a pod is about; that of an ephemeral volume is named after both. */
static struct slice claim_of(struct arena *a, const struct json *pod, const struct json *volume)
{
    if (!json_get_str(volume, "ephemeral"))
        return json_path_string(volume, "persistentVolumeClaim.claimName");
    return slice_str(arena_printf(a, "%" SLICE_FMT "-%" SLICE_FMT, SLICE_ARG(meta_name(pod)),
                                  SLICE_ARG(json_path_string(volume, "name"))));
}

void pvc_protection_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    (void)before;
    json_each (v, json_path(pod, "spec.volumes")) {
        struct slice claim = claim_of(a, pod, v);
        if (claim.n)
            key_add_parts(sink, meta_namespace(pod), claim);
    }
}

/* A pod that no node has, or that has come to its end, uses nothing. */
static bool uses(struct reconcile *r, const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    if (!json_path_string(pod, "spec.nodeName").n || slice_eq_str(phase, "Succeeded") || slice_eq_str(phase, "Failed"))
        return false;
    json_each (v, json_path(pod, "spec.volumes"))
        if (slice_eq(claim_of(r->a, pod, v), r->name))
            return true;
    return false;
}

void pvc_protection_reconcile(struct reconcile *r)
{
    static const char finalizer[] = "kubernetes.io/pvc-protection";
    const struct json *claim = view_get(r, "", "persistentvolumeclaims", r->ns, r->name);
    if (!claim || !meta_is_deleting(claim) || !has_finalizer(claim, finalizer))
        return;
    const struct json **pods = view_list(r, "", "pods", r->ns);
    for (size_t i = 0; pods[i]; i++)
        if (uses(r, pods[i]))
            return; /* its change brings the key back */
    release(r, "persistentvolumeclaims", claim, finalizer);
}

void pv_protection_reconcile(struct reconcile *r)
{
    static const char finalizer[] = "kubernetes.io/pv-protection";
    const struct json *volume = view_get(r, "", "persistentvolumes", SLICE_NONE, r->name);
    if (volume && meta_is_deleting(volume) && has_finalizer(volume, finalizer) &&
        !slice_eq_str(json_path_string(volume, "status.phase"), "Bound"))
        release(r, "persistentvolumes", volume, finalizer);
}

/* Protection of storage: a claim that is deleted stays while a pod uses it, a volume while it is bound. Admission puts the
 * finalizers on; these controllers take them off when nobody uses the object any more.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection */
#include "controllers/builtin.h"
#include "object/meta.h"

#define CLAIM_FINALIZER  "kubernetes.io/pvc-protection"
#define VOLUME_FINALIZER "kubernetes.io/pv-protection"

/* The claim that a volume of a pod uses; p is NULL when it uses none. */
static struct slice claim_of(struct arena *a, const struct json *pod, const struct json *volume)
{
    if (json_get_str(volume, "ephemeral"))
        return slice_str(arena_printf(a, "%" SLICE_FMT "-%" SLICE_FMT, SLICE_ARG(meta_name(pod)),
                                      SLICE_ARG(json_path_string(volume, "name"))));
    return json_path_string(volume, "persistentVolumeClaim.claimName");
}

static bool is_over(const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    return slice_eq_str(phase, "Succeeded") || slice_eq_str(phase, "Failed");
}

/* A pod without a node cannot use it: no node starts a pod whose claim is being deleted. */
static bool uses(struct reconcile *r, const struct json *pod, const struct json *claim)
{
    if (!json_path_string(pod, "spec.nodeName").n)
        return false;
    json_each (volume, json_path(pod, "spec.volumes")) {
        bool own = json_get_str(volume, "ephemeral");
        if (slice_eq(claim_of(r->a, pod, volume), r->name) &&
            (!own || (!is_over(pod) && meta_is_controlled_by(claim, meta_uid(pod)))))
            return true;
    }
    return false;
}

static void release(struct reconcile *r, const char *plural, const struct json *obj, struct slice finalizer)
{
    struct json *freed = json_clone(r->a, obj);
    if (meta_remove_finalizer(freed, finalizer))
        op_update(r, "", plural, freed, NULL);
}

void claimprotection_reconcile(struct reconcile *r)
{
    const struct json *claim = view_get(r, "", "persistentvolumeclaims", r->ns, r->name);
    if (!claim || !meta_is_deleting(claim) || !meta_has_finalizer(claim, SLICE(CLAIM_FINALIZER)))
        return;
    const struct json **pods = view_list(r, "", "pods", r->ns);
    for (size_t i = 0; pods[i]; i++)
        if (uses(r, pods[i], claim))
            return;
    release(r, "persistentvolumeclaims", claim, SLICE(CLAIM_FINALIZER));
}

void claimprotection_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    (void)before;
    json_each (volume, json_path(pod, "spec.volumes")) {
        struct slice claim = claim_of(a, pod, volume);
        if (claim.n)
            key_add_parts(sink, meta_namespace(pod), claim);
    }
}

void volumeprotection_reconcile(struct reconcile *r)
{
    const struct json *volume = view_get(r, "", "persistentvolumes", SLICE_NONE, r->name);
    if (volume && meta_is_deleting(volume) && meta_has_finalizer(volume, SLICE(VOLUME_FINALIZER)) &&
        !slice_eq_str(json_path_string(volume, "status.phase"), "Bound"))
        release(r, "persistentvolumes", volume, SLICE(VOLUME_FINALIZER));
}

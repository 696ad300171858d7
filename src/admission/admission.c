#include "admission/admission.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "admission/plugins.h"
#include "base/hash.h"
#include "object/meta.h"

bool admission_is(const struct admission *ad, const char *group, const char *plural)
{
    return !strcmp(ad->res->group, group) && !strcmp(ad->res->plural, plural) && !ad->sub.n;
}

int admission_forbidden(struct admission *ad, struct status *st, const char *why)
{
    struct slice name = ad->obj ? meta_name(ad->obj) : ad->name;
    status_set(st, ad->a, 403, "%s%s%s \"%" SLICE_FMT "\" is forbidden: %s", ad->res->plural,
               ad->res->group[0] ? "." : "", ad->res->group, SLICE_ARG(name), why);
    st->name = arena_copy(ad->a, name).p;
    st->group = ad->res->group[0] ? ad->res->group : NULL;
    st->kind = ad->res->plural;
    return st->code;
}

/* ---- NamespaceLifecycle ---- */

static int namespace_lifecycle(struct admission *ad, struct status *st)
{
    static const char *const immortal[] = {"default", "kube-system", "kube-public"};
    if (ad->op == ADMIT_DELETE && admission_is(ad, "", "namespaces"))
        for (size_t i = 0; i < sizeof immortal / sizeof *immortal; i++)
            if (slice_eq_str(ad->name, immortal[i]))
                return admission_forbidden(ad, st, "this namespace may not be deleted");
    if (ad->op != ADMIT_CREATE || !ad->res->namespaced)
        return 0;
    const struct json *ns = ad->lookup(ad->ctx, resource_core("namespaces"), SLICE_NONE, ad->ns);
    if (!ns)
        return status_not_found(st, ad->a, SLICE(""), SLICE("namespaces"), ad->ns);
    if (!meta_is_deleting(ns))
        return 0;
    admission_forbidden(
        ad, st,
        arena_printf(ad->a, "unable to create new content in namespace %" SLICE_FMT " because it is being terminated",
                     SLICE_ARG(ad->ns)));
    status_cause(st, ad->a, "NamespaceTerminating", "metadata.namespace",
                 "namespace %" SLICE_FMT " is being terminated", SLICE_ARG(ad->ns));
    return st->code;
}

/* ---- ServiceAccount ---- */

static const char token_path[] = "/var/run/secrets/kubernetes.io/serviceaccount";

static struct json *pair(struct arena *a, const char *k1, struct json *v1, const char *k2, struct json *v2)
{
    struct json *v = json_new_object(a);
    json_set_str(a, v, k1, v1);
    if (k2)
        json_set_str(a, v, k2, v2);
    return v;
}

static struct json *list_of(struct arena *a, struct json *one)
{
    struct json *v = json_new_array(a);
    json_append(v, one);
    return v;
}

/* Token, CA certificate and namespace, as every pod finds them. */
static struct json *access_volume(struct arena *a, const char *name)
{
    struct json *sources = json_new_array(a), *projected = json_new_object(a);
    struct json *token = pair(a, "expirationSeconds", json_new_int(a, 3607), "path", json_new_str(a, "token"));
    struct json *ca_item = pair(a, "key", json_new_str(a, "ca.crt"), "path", json_new_str(a, "ca.crt"));
    struct json *ca = pair(a, "name", json_new_str(a, "kube-root-ca.crt"), "items", list_of(a, ca_item));
    struct json *field =
        pair(a, "apiVersion", json_new_str(a, "v1"), "fieldPath", json_new_str(a, "metadata.namespace"));
    struct json *ns = pair(a, "path", json_new_str(a, "namespace"), "fieldRef", field);
    json_append(sources, pair(a, "serviceAccountToken", token, NULL, NULL));
    json_append(sources, pair(a, "configMap", ca, NULL, NULL));
    json_append(sources, pair(a, "downwardAPI", pair(a, "items", list_of(a, ns), NULL, NULL), NULL, NULL));
    json_set_str(a, projected, "sources", sources);
    json_set_str(a, projected, "defaultMode", json_new_int(a, 420));
    return pair(a, "name", json_new_str(a, name), "projected", projected);
}

static bool mounts_token_path(const struct json *container)
{
    json_each (m, json_get_str(container, "volumeMounts"))
        if (slice_eq_str(json_path_string(m, "mountPath"), token_path))
            return true;
    return false;
}

static struct json *array_at(struct arena *a, struct json *obj, const char *name)
{
    struct json *v = json_get_str(obj, name);
    if (json_is(v, JSON_ARRAY))
        return v;
    v = json_new_array(a);
    json_set_str(a, obj, name, v);
    return v;
}

static bool mount_token(struct arena *a, struct json *spec, const char *list, const char *volume)
{
    bool any = false;
    json_each (c, json_get_str(spec, list)) {
        if (mounts_token_path(c))
            continue;
        struct json *mount = pair(a, "name", json_new_str(a, volume), "readOnly", json_new_bool(a, true));
        json_set_str(a, mount, "mountPath", json_new_str(a, token_path));
        json_append(array_at(a, c, "volumeMounts"), mount);
        any = true;
    }
    return any;
}

/* Kubernetes ends the volume's name with five random characters; ours derive from the pod's uid, which is as unique. */
static const char *volume_name(struct admission *ad)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char suffix[6] = "";
    uint64_t h = hash64(meta_uid(ad->obj), 0);
    for (int i = 0; i < 5; i++, h /= sizeof alphabet - 1)
        suffix[i] = alphabet[h % (sizeof alphabet - 1)];
    return arena_printf(ad->a, "kube-api-access-%s", suffix);
}

static int service_account(struct admission *ad, struct status *st)
{
    if (!admission_is(ad, "", "pods") || ad->op != ADMIT_CREATE)
        return 0;
    struct json *spec = json_object_at(ad->a, ad->obj, "spec");
    if (meta_annotation(ad->obj, SLICE("kubernetes.io/config.mirror")).p)
        return 0; /* mirror pods show what a node runs by itself */
    struct slice name = json_path_string(spec, "serviceAccountName");
    if (!name.n) {
        name = SLICE("default");
        json_set_str(ad->a, spec, "serviceAccountName", json_new_string(ad->a, name));
        json_set_str(ad->a, spec, "serviceAccount", json_new_string(ad->a, name));
    }
    const struct json *account = ad->lookup(ad->ctx, resource_core("serviceaccounts"), ad->ns, name);
    if (!account)
        return admission_forbidden(ad, st,
                                   arena_printf(ad->a,
                                                "error looking up service account %" SLICE_FMT "/%" SLICE_FMT
                                                ": serviceaccount \"%" SLICE_FMT "\" not found",
                                                SLICE_ARG(ad->ns), SLICE_ARG(name), SLICE_ARG(name)));
    if (!json_len(json_get_str(spec, "imagePullSecrets")) && json_len(json_get_str(account, "imagePullSecrets")))
        json_set_str(ad->a, spec, "imagePullSecrets", json_clone(ad->a, json_get_str(account, "imagePullSecrets")));
    bool automount = json_bool(json_get_str(account, "automountServiceAccountToken"), true);
    if (!json_bool(json_get_str(spec, "automountServiceAccountToken"), automount))
        return 0;
    const char *volume = volume_name(ad);
    bool mounted = mount_token(ad->a, spec, "containers", volume);
    mounted |= mount_token(ad->a, spec, "initContainers", volume);
    if (mounted)
        json_append(array_at(ad->a, spec, "volumes"), access_volume(ad->a, volume));
    return 0;
}

/* ---- TaintNodesByCondition ---- */

static int taint_new_node(struct admission *ad, struct status *st)
{
    static const char key[] = "node.kubernetes.io/not-ready";
    (void)st;
    if (!admission_is(ad, "", "nodes") || ad->op != ADMIT_CREATE)
        return 0;
    struct json *taints = array_at(ad->a, json_object_at(ad->a, ad->obj, "spec"), "taints");
    json_each (t, taints)
        if (slice_eq_str(json_path_string(t, "key"), key) && slice_eq_str(json_path_string(t, "effect"), "NoSchedule"))
            return 0;
    json_append(taints, pair(ad->a, "key", json_new_str(ad->a, key), "effect", json_new_str(ad->a, "NoSchedule")));
    return 0;
}

/* ---- Priority ---- */

struct default_class {
    const struct json *found;
};

static void note_default_class(void *arg, const struct json *obj)
{
    struct default_class *d = arg;
    if (json_bool(json_get_str(obj, "globalDefault"), false))
        d->found = obj;
}

static int priority(struct admission *ad, struct status *st)
{
    const struct resource *classes = resource_find(SLICE("scheduling.k8s.io"), SLICE("v1"), SLICE("priorityclasses"));
    if (!admission_is(ad, "", "pods") || ad->op != ADMIT_CREATE)
        return 0;
    struct json *spec = json_object_at(ad->a, ad->obj, "spec");
    struct slice name = json_path_string(spec, "priorityClassName");
    struct default_class d = {0};
    if (name.n)
        d.found = ad->lookup(ad->ctx, classes, SLICE_NONE, name);
    else
        ad->each(ad->ctx, classes, SLICE_NONE, note_default_class, &d);
    if (name.n && !d.found)
        return admission_forbidden(
            ad, st, arena_printf(ad->a, "no PriorityClass with name %" SLICE_FMT " was found", SLICE_ARG(name)));
    int64_t value = json_int(json_get_str(d.found, "value"), 0);
    if (json_get_str(spec, "priority") && json_int(json_get_str(spec, "priority"), 0) != value)
        return admission_forbidden(
            ad, st,
            "the integer value of priority must not be provided in pod spec; priority admission controller "
            "computed a different one from the given PriorityClass name");
    if (!name.n && d.found)
        json_set_str(ad->a, spec, "priorityClassName", json_new_string(ad->a, meta_name(d.found)));
    struct slice preemption = json_path_string(d.found, "preemptionPolicy");
    json_set_str(ad->a, spec, "priority", json_new_int(ad->a, value));
    json_set_str(ad->a, spec, "preemptionPolicy",
                 json_new_string(ad->a, preemption.n ? preemption : SLICE("PreemptLowerPriority")));
    return 0;
}

/* No more than one PriorityClass is the default. */
static int one_default_class(struct admission *ad, struct status *st)
{
    struct default_class d = {0};
    if (!admission_is(ad, "scheduling.k8s.io", "priorityclasses") || ad->op == ADMIT_DELETE ||
        !json_bool(json_get_str(ad->obj, "globalDefault"), false))
        return 0;
    ad->each(ad->ctx, ad->res, SLICE_NONE, note_default_class, &d);
    if (!d.found || slice_eq(meta_name(d.found), meta_name(ad->obj)))
        return 0;
    return admission_forbidden(
        ad, st,
        arena_printf(ad->a, "PriorityClass %" SLICE_FMT " is already marked as default. Only one default can exist",
                     SLICE_ARG(meta_name(d.found))));
}

/* ---- DefaultTolerationSeconds ---- */

static bool tolerates(const struct json *tolerations, const char *key)
{
    json_each (t, tolerations) {
        struct slice has = json_path_string(t, "key"), effect = json_path_string(t, "effect");
        if ((!has.n || slice_eq_str(has, key)) && (!effect.n || slice_eq_str(effect, "NoExecute")))
            return true;
    }
    return false;
}

static int default_toleration_seconds(struct admission *ad, struct status *st)
{
    static const char *const keys[] = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"};
    enum { SECONDS = 300 };
    (void)st;
    if (!admission_is(ad, "", "pods") || (ad->op != ADMIT_CREATE && ad->op != ADMIT_UPDATE))
        return 0;
    struct json *spec = json_object_at(ad->a, ad->obj, "spec");
    for (size_t i = 0; i < 2; i++) {
        if (tolerates(json_get_str(spec, "tolerations"), keys[i]))
            continue;
        struct json *t = pair(ad->a, "key", json_new_str(ad->a, keys[i]), "operator", json_new_str(ad->a, "Exists"));
        json_set_str(ad->a, t, "effect", json_new_str(ad->a, "NoExecute"));
        json_set_str(ad->a, t, "tolerationSeconds", json_new_int(ad->a, SECONDS));
        json_append(array_at(ad->a, spec, "tolerations"), t);
    }
    return 0;
}

/* ---- StorageObjectInUseProtection ---- */

static int storage_protection(struct admission *ad, struct status *st)
{
    (void)st;
    if (ad->op != ADMIT_CREATE)
        return 0;
    if (admission_is(ad, "", "persistentvolumeclaims"))
        meta_add_finalizer(ad->a, ad->obj, SLICE("kubernetes.io/pvc-protection"));
    else if (admission_is(ad, "", "persistentvolumes"))
        meta_add_finalizer(ad->a, ad->obj, SLICE("kubernetes.io/pv-protection"));
    return 0;
}

/* ---- NodeRestriction ---- */

static bool is_restricted(struct slice label)
{
    static const struct slice domain = SLICE_INIT("node-restriction.kubernetes.io");
    struct slice host, name;
    if (!slice_cut(label, '/', &host, &name) || host.n < domain.n)
        return false;
    return slice_eq(slice_from(host, host.n - domain.n), domain) &&
           (host.n == domain.n || host.p[host.n - domain.n - 1] == '.');
}

/* Whether every restricted label of one is on the other with the same value. */
static bool restricted_on(const struct json *labels, const struct json *others)
{
    json_each (l, labels)
        if (is_restricted(l->key) && !json_equal(l, json_get(others, l->key)))
            return false;
    return true;
}

struct range {
    unsigned char bytes[16];
    size_t len; /* 4 or 16; 0 = none */
    uint64_t bits;
};

static struct range range_of(struct arena *a, struct slice cidr)
{
    struct range r = {0};
    struct slice ip, bits;
    slice_cut(cidr, '/', &ip, &bits);
    const char *text = arena_copy(a, ip).p;
    if (!text || !slice_to_u64(bits, &r.bits))
        return r;
    r.len = inet_pton(AF_INET, text, r.bytes) == 1 ? 4 : inet_pton(AF_INET6, text, r.bytes) == 1 ? 16 : 0;
    if (r.bits > 8 * r.len)
        r.len = 0;
    return r;
}

static bool overlap(const struct range *x, const struct range *y)
{
    uint64_t bits = x->bits < y->bits ? x->bits : y->bits;
    if (!x->len || x->len != y->len || memcmp(x->bytes, y->bytes, bits / 8) != 0)
        return false;
    return bits % 8 == 0 || ((x->bytes[bits / 8] ^ y->bytes[bits / 8]) >> (8 - bits % 8)) == 0;
}

struct network_search {
    const struct admission *ad;
    bool taken;
};

static void compare_networks(void *arg, const struct json *other)
{
    struct network_search *s = arg;
    if (slice_eq(meta_name(other), meta_name(s->ad->obj)))
        return;
    json_each (mine, json_path(s->ad->obj, "spec.podCIDRs")) {
        struct range wanted = range_of(s->ad->a, json_string(mine));
        json_each (theirs, json_path(other, "spec.podCIDRs")) {
            struct range has = range_of(s->ad->a, json_string(theirs));
            s->taken |= overlap(&wanted, &has);
        }
    }
}

/* A node says which addresses its pods have, and the others send there what is for them: so it must not say another
 * node's. */
static bool takes_others_network(const struct admission *ad)
{
    struct network_search s = {.ad = ad};
    const struct json *now = json_path(ad->obj, "spec.podCIDRs");
    if (json_len(now) && !json_equal(now, json_path(ad->old, "spec.podCIDRs")))
        ad->each(ad->ctx, ad->res, SLICE_NONE, compare_networks, &s);
    return s.taken;
}

/* What keeps pods from a node, or draws them to it by the administrator's word, is not the node's to change. */
static const char *node_oversteps(const struct admission *ad)
{
    if (ad->op == ADMIT_DELETE)
        return NULL;
    if (!restricted_on(meta_labels(ad->obj), meta_labels(ad->old)) ||
        !restricted_on(meta_labels(ad->old), meta_labels(ad->obj)))
        return "is not allowed to modify labels of the domain node-restriction.kubernetes.io";
    const struct json *taints = json_path(ad->obj, "spec.taints"), *had = json_path(ad->old, "spec.taints");
    if (ad->old && (json_len(taints) || json_len(had)) && !json_equal(taints, had))
        return "is not allowed to modify taints";
    if (takes_others_network(ad))
        return "is not allowed to set a podCIDR that overlaps another node's";
    return NULL;
}

/* A node's agent may write its own Node, its own Lease, and pods bound to it; and may not label itself into privilege. */
static int node_restriction(struct admission *ad, struct status *st)
{
    struct slice prefix = SLICE("system:node:"), node;
    if (!user_in_group(ad->user, SLICE("system:nodes")) || !slice_starts(ad->user->name, prefix))
        return 0;
    node = slice_from(ad->user->name, prefix.n);
    bool core_group = !ad->res->group[0];
    if (core_group && !strcmp(ad->res->plural, "nodes")) {
        struct slice name = ad->name.n ? ad->name : meta_name(ad->obj);
        const char *why = node_oversteps(ad);
        if (!slice_eq(name, node))
            return admission_forbidden(
                ad, st,
                arena_printf(ad->a, "node \"%" SLICE_FMT "\" is not allowed to modify node \"%" SLICE_FMT "\"",
                             SLICE_ARG(node), SLICE_ARG(name)));
        return why ? admission_forbidden(ad, st,
                                         arena_printf(ad->a, "node \"%" SLICE_FMT "\" %s", SLICE_ARG(node), why))
                   : 0;
    }
    if (core_group && !strcmp(ad->res->plural, "pods")) {
        const struct json *pod = ad->old ? ad->old : ad->obj;
        bool mirror = ad->op != ADMIT_CREATE || meta_annotation(ad->obj, SLICE("kubernetes.io/config.mirror")).p;
        if (!mirror || !slice_eq(json_path_string(pod, "spec.nodeName"), node))
            return admission_forbidden(
                ad, st,
                arena_printf(ad->a, "node \"%" SLICE_FMT "\" can only write pods bound to itself", SLICE_ARG(node)));
    }
    if (!strcmp(ad->res->plural, "leases") &&
        !(slice_eq_str(ad->ns, "kube-node-lease") && slice_eq(ad->name.n ? ad->name : meta_name(ad->obj), node)))
        return admission_forbidden(ad, st, "can only access the lease with the same name as the requesting node");
    return 0;
}

/* ---- the table ---- */

struct plugin {
    const char *name;
    int (*mutate)(struct admission *ad, struct status *st);
    int (*validate)(struct admission *ad, struct status *st);
};

/* In Kubernetes' order. */
static const struct plugin plugins[] = {
    {"NamespaceLifecycle", namespace_lifecycle, NULL},
    {"LimitRanger", limit_ranger_mutate, limit_ranger_validate},
    {"ServiceAccount", service_account, NULL},
    {"NodeRestriction", NULL, node_restriction},
    {"TaintNodesByCondition", taint_new_node, NULL},
    {"Priority", priority, one_default_class},
    {"DefaultTolerationSeconds", default_toleration_seconds, NULL},
    {"StorageObjectInUseProtection", storage_protection, NULL},
    {"RuntimeClass", runtime_class_mutate, runtime_class_validate},
};

const char *admission_plugin(size_t i)
{
    return i < sizeof plugins / sizeof *plugins ? plugins[i].name : NULL;
}

int admission_mutate(struct admission *ad, struct status *st)
{
    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++) {
        int rv = plugins[i].mutate ? plugins[i].mutate(ad, st) : 0;
        if (rv)
            return rv;
    }
    return 0;
}

int admission_validate(struct admission *ad, struct status *st)
{
    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++) {
        int rv = plugins[i].validate ? plugins[i].validate(ad, st) : 0;
        if (rv)
            return rv;
    }
    return 0;
}

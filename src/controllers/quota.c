/* ResourceQuota: what of a namespace's quotas is used, counted anew from what there is.
 * https://kubernetes.io/docs/concepts/policy/resource-quotas/ Nothing is refused here: status.used tells. Kinds that
 * only
 * count/… names are looked at now and then, all others at once. */
#include "base/buf.h"
#include "controllers/builtin.h"
#include "object/meta.h"
#include "object/quantity.h"

enum { LOOK_AGAIN_MS = 1000 };

/* ---- which quotas a change concerns ---- */

static void add_quota(void *ctx, const struct json *quota)
{
    key_add_parts(ctx, meta_namespace(quota), meta_name(quota));
}

void quota_map_object(struct key_sink *sink, struct arena *a, const struct json *obj, const struct json *before)
{
    /* Of an object that stays only its spec counts: a Service's ports, a claim's size, the quota itself. */
    if (!before || !json_equal(json_get_str(obj, "spec"), json_get_str(before, "spec")) || json_get_str(obj, "status"))
        sink_each(sink, a, "", "resourcequotas", meta_namespace(obj), add_quota, sink);
}

static bool is_over(const struct json *pod)
{
    struct slice phase = json_path_string(pod, "status.phase");
    return slice_eq_str(phase, "Succeeded") || slice_eq_str(phase, "Failed");
}

void quota_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before)
{
    if (!before || is_over(pod) != is_over(before) ||
        !json_equal(json_get_str(pod, "spec"), json_get_str(before, "spec")))
        sink_each(sink, a, "", "resourcequotas", meta_namespace(pod), add_quota, sink);
}

/* ---- pods ---- */

static bool amount(const struct json *amounts, struct slice name, struct quantity *ret)
{
    return quantity_from_json(json_get(amounts, name), ret);
}

static struct quantity sum(struct quantity a, struct quantity b)
{
    return a.nano ? quantity_add(a, b) : b; /* the format of the first that says something */
}

/* What a pod asks of a resource: all its containers at once, or an init container with the sidecars before it. */
static struct quantity pod_amount(const struct json *pod, const char *part, struct slice name)
{
    struct quantity all = quantity_of(0), most = quantity_of(0), sidecars = quantity_of(0), q;
    json_each (c, json_path(pod, "spec.containers"))
        if (amount(json_get_str(json_get_str(c, "resources"), part), name, &q))
            all = sum(all, q);
    json_each (c, json_path(pod, "spec.initContainers")) {
        bool stays = slice_eq_str(json_path_string(c, "restartPolicy"), "Always");
        if (!amount(json_get_str(json_get_str(c, "resources"), part), name, &q))
            continue;
        struct quantity then = sum(sidecars, q);
        if (stays)
            sidecars = then;
        if (quantity_cmp(then, most) > 0)
            most = then;
    }
    all = sum(all, sidecars);
    if (quantity_cmp(most, all) > 0)
        all = most;
    return amount(json_path(pod, "spec.overhead"), name, &q) ? sum(all, q) : all;
}

static bool in_list(const struct json *list, struct slice s)
{
    json_each (v, list)
        if (slice_eq(json_string(v), s))
            return true;
    return false;
}

/* Pods whose affinity reaches beyond their namespace. */
static bool reaches_out(const struct json *pod)
{
    static const char *const kinds[] = {"spec.affinity.podAffinity", "spec.affinity.podAntiAffinity"};
    for (size_t i = 0; i < 2; i++) {
        const struct json *k = json_path(pod, kinds[i]);
        json_each (t, json_get_str(k, "requiredDuringSchedulingIgnoredDuringExecution"))
            if (json_len(json_get_str(t, "namespaces")) || json_get_str(t, "namespaceSelector"))
                return true;
        json_each (w, json_get_str(k, "preferredDuringSchedulingIgnoredDuringExecution")) {
            const struct json *t = json_get_str(w, "podAffinityTerm");
            if (json_len(json_get_str(t, "namespaces")) || json_get_str(t, "namespaceSelector"))
                return true;
        }
    }
    return false;
}

static bool in_scope(const struct json *pod, struct slice scope, struct slice op, const struct json *values)
{
    bool best = slice_eq_str(json_path_string(pod, "status.qosClass"), "BestEffort");
    bool ends = json_path(pod, "spec.activeDeadlineSeconds") != NULL;
    struct slice class = json_path_string(pod, "spec.priorityClassName");
    if (slice_eq_str(scope, "BestEffort") || slice_eq_str(scope, "NotBestEffort"))
        return best == slice_eq_str(scope, "BestEffort");
    if (slice_eq_str(scope, "Terminating") || slice_eq_str(scope, "NotTerminating"))
        return ends == slice_eq_str(scope, "Terminating");
    if (slice_eq_str(scope, "CrossNamespacePodAffinity"))
        return reaches_out(pod);
    if (!slice_eq_str(scope, "PriorityClass"))
        return false;
    if (slice_eq_str(op, "In"))
        return class.n && in_list(values, class);
    if (slice_eq_str(op, "NotIn"))
        return !in_list(values, class);
    return slice_eq_str(op, "DoesNotExist") ? !class.n : class.n > 0;
}

static bool is_scoped(const struct json *quota)
{
    return json_len(json_path(quota, "spec.scopes")) ||
           json_len(json_path(quota, "spec.scopeSelector.matchExpressions"));
}

static bool counts_pod(const struct json *quota, const struct json *pod)
{
    if (is_over(pod))
        return false;
    json_each (s, json_path(quota, "spec.scopes"))
        if (!in_scope(pod, json_string(s), SLICE("Exists"), NULL))
            return false;
    json_each (e, json_path(quota, "spec.scopeSelector.matchExpressions"))
        if (!in_scope(pod, json_path_string(e, "scopeName"), json_path_string(e, "operator"),
                      json_get_str(e, "values")))
            return false;
    return true;
}

struct count {
    struct reconcile *r;
    const struct json *quota;
    const struct json **pods; /* that the quota counts, NULL-terminated */
};

/* The sum over the pods, when the name is one of theirs. */
static bool pod_use(const struct count *c, struct slice name, struct quantity *ret)
{
    static const char *const plain[] = {"cpu", "memory", "ephemeral-storage"};
    const char *part = "requests";
    struct slice of = name;
    bool named = false;
    if (slice_starts(name, SLICE("requests."))) {
        of = slice_from(name, sizeof "requests." - 1);
    } else if (slice_starts(name, SLICE("limits."))) {
        of = slice_from(name, sizeof "limits." - 1);
        part = "limits";
    } else {
        for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
            named |= slice_eq_str(name, plain[i]);
        if (!named && !slice_starts(name, SLICE("hugepages-")))
            return false;
    }
    if (slice_eq_str(of, "storage"))
        return false; /* of claims */
    *ret = quantity_of(0);
    for (size_t i = 0; c->pods[i]; i++)
        *ret = sum(*ret, pod_amount(c->pods[i], part, of));
    return true;
}

/* ---- objects ---- */

static int64_t how_many(struct reconcile *r, const char *group, const char *plural)
{
    int64_t n = 0;
    for (const struct json **o = view_list(r, group, plural, r->ns); o[n];)
        n++;
    return n;
}

/* "deployments.apps", of a kind that is in namespaces; -1 when there is none. */
static int64_t counted(struct reconcile *r, struct slice name)
{
    struct slice plural = name, group = SLICE_NONE;
    slice_cut(name, '.', &plural, &group);
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        if (res->namespaced && !res->virtual && (!res->storage || res->storage == res) &&
            slice_eq_str(plural, res->plural) && slice_eq_str(group, res->group))
            return how_many(r, res->group, res->plural);
    }
    return -1;
}

/* Node ports and load balancers of the Services. */
static int64_t service_use(struct reconcile *r, bool ports)
{
    const struct json **all = view_list(r, "", "services", r->ns);
    int64_t n = 0;
    for (size_t i = 0; all[i]; i++) {
        struct slice type = json_path_string(all[i], "spec.type");
        if (!ports) {
            n += slice_eq_str(type, "LoadBalancer");
            continue;
        }
        json_each (p, json_path(all[i], "spec.ports"))
            n += json_int(json_get_str(p, "nodePort"), 0) != 0;
    }
    return n;
}

/* Claims of a storage class (n 0: of any): how many, or how much they ask for. */
static struct quantity claim_use(struct reconcile *r, struct slice class, bool storage)
{
    const struct json **all = view_list(r, "", "persistentvolumeclaims", r->ns);
    struct quantity total = quantity_of(0), q;
    for (size_t i = 0; all[i]; i++) {
        if (class.n && !slice_eq(json_path_string(all[i], "spec.storageClassName"), class))
            continue;
        if (!storage)
            total = sum(total, quantity_of(1));
        else if (amount(json_path(all[i], "spec.resources.requests"), SLICE("storage"), &q))
            total = sum(total, q);
    }
    return total;
}

static bool claim_named(struct reconcile *r, struct slice name, struct quantity *ret)
{
    static const struct slice of_class = SLICE_INIT(".storageclass.storage.k8s.io/");
    struct slice class = SLICE_NONE;
    for (size_t i = 0; i + of_class.n < name.n && !class.n; i++)
        if (slice_starts(slice_from(name, i), of_class)) {
            class = slice_of(name.p, i);
            name = slice_from(name, i + of_class.n);
        }
    bool storage = slice_eq_str(name, "requests.storage");
    if (!storage && !slice_eq_str(name, "persistentvolumeclaims"))
        return false;
    *ret = claim_use(r, class, storage);
    return true;
}

static bool object_use(struct count *c, struct slice name, struct quantity *ret)
{
    static const char *const plain[] = {"services", "secrets", "configmaps", "replicationcontrollers",
                                        "resourcequotas"};
    int64_t n = -1;
    if (slice_starts(name, SLICE("count/"))) {
        n = counted(c->r, slice_from(name, sizeof "count/" - 1));
        c->r->requeue_ms = LOOK_AGAIN_MS;
    } else if (slice_eq_str(name, "services.nodeports") || slice_eq_str(name, "services.loadbalancers")) {
        n = service_use(c->r, slice_eq_str(name, "services.nodeports"));
    } else if (claim_named(c->r, name, ret)) {
        return true;
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (slice_eq_str(name, plain[i]))
            n = how_many(c->r, "", plain[i]);
    *ret = quantity_of(n);
    return n >= 0;
}

/* ---- status ---- */

static const struct json **pods_of(struct reconcile *r, const struct json *quota)
{
    const struct json **pods = view_list(r, "", "pods", r->ns);
    size_t n = 0;
    for (size_t i = 0; pods[i]; i++)
        if (counts_pod(quota, pods[i]))
            pods[n++] = pods[i];
    pods[n] = NULL;
    return pods;
}

static bool use_of(struct count *c, struct slice name, struct quantity *ret)
{
    size_t n = 0;
    if (slice_eq_str(name, "pods")) {
        while (c->pods[n])
            n++;
        *ret = quantity_of((int64_t)n);
        return true;
    }
    return pod_use(c, name, ret) || (!is_scoped(c->quota) && object_use(c, name, ret));
}

void quota_reconcile(struct reconcile *r)
{
    struct arena *a = r->a;
    const struct json *quota = view_get(r, "", "resourcequotas", r->ns, r->name);
    if (!quota || meta_is_deleting(quota))
        return;
    struct count c = {r, quota, pods_of(r, quota)};
    struct json *used = json_new_object(a), *status = json_new_object(a);
    json_each (h, json_path(quota, "spec.hard")) {
        struct quantity q;
        if (use_of(&c, h->key, &q))
            json_set(a, used, h->key, quantity_to_json(a, q));
    }
    if (json_len(json_path(quota, "spec.hard")))
        json_set_str(a, status, "hard", json_clone(a, json_path(quota, "spec.hard")));
    if (json_len(used))
        json_set_str(a, status, "used", used);
    if (json_equal(status, json_get_str(quota, "status")))
        return;
    struct json *obj = json_clone(a, quota);
    json_set_str(a, obj, "status", status);
    op_update(r, "", "resourcequotas", obj, "status");
}

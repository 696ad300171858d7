#include "object/defaults_kinds.h"

#include "base/text.h"
#include "base/timefmt.h"
#include "object/path.h"
#include "object/quantity.h"

static void set_string(struct arena *a, struct json *obj, const char *member, const char *value)
{
    json_set_str(a, obj, member, json_new_str(a, value));
}

static bool is_missing(const struct json *obj, const char *member)
{
    const struct json *v = json_get_str(obj, member);
    return !v || v->type == JSON_NULL || (v->type == JSON_STRING && v->u.string.n == 0);
}

/* Copies the members of from that to lacks. */
static void copy_absent(struct arena *a, struct json *to, const struct json *from)
{
    json_each (it, from)
        if (!json_get(to, it->key))
            json_set(a, to, it->key, json_clone(a, it));
}

/* ---- pods ---- */

static void requests_from_limits(struct arena *a, struct json *resources)
{
    const struct json *limits = json_get_str(resources, "limits");
    if (json_len(limits))
        copy_absent(a, json_object_at(a, resources, "requests"), limits);
}

static void pod_requests(struct arena *a, struct json *pod, int64_t now)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    (void)now;
    for (size_t i = 0; i < 2; i++)
        json_each (it, json_path(pod, lists[i]))
            requests_from_limits(a, json_get_str(it, "resources"));
}

/* Resources that a pod as a whole may ask for. */
static bool is_pod_level(struct slice name)
{
    return slice_eq_str(name, "cpu") || slice_eq_str(name, "memory") || slice_starts(name, SLICE("hugepages-"));
}

static bool is_huge(struct slice name)
{
    return slice_starts(name, SLICE("hugepages-"));
}

/* Adds v to map[name]. */
static void add_amount(struct arena *a, struct json *map, struct slice name, const struct json *v)
{
    struct quantity sum, more;
    if (!quantity_from_json(v, &more))
        return;
    if (quantity_from_json(json_get(map, name), &sum))
        more = quantity_add(sum, more);
    json_set(a, map, name, quantity_to_json(a, more));
}

/* Makes map[name] at least v. */
static void raise_amount(struct arena *a, struct json *map, struct slice name, const struct json *v)
{
    struct quantity have, wanted;
    if (!quantity_from_json(v, &wanted) ||
        (quantity_from_json(json_get(map, name), &have) && quantity_cmp(have, wanted) >= 0))
        return;
    json_set(a, map, name, json_clone(a, v));
}

/* What the containers need in sum ("resources.requests" or "resources.limits"): those that run together, and no less
 * than any init container together with the sidecars before it. */
static struct json *sum_over_containers(struct arena *a, const struct json *pod, const char *which)
{
    struct json *sum = json_new_object(a), *sidecars = json_new_object(a), *peak = json_new_object(a);
    json_each (it, json_path(pod, "spec.containers"))
        json_each (r, json_path(it, which))
            add_amount(a, sum, r->key, r);
    json_each (it, json_path(pod, "spec.initContainers")) {
        bool sidecar = slice_eq_str(json_path_string(it, "restartPolicy"), "Always");
        struct json *now = sidecar ? sidecars : json_clone(a, sidecars);
        json_each (r, json_path(it, which)) {
            add_amount(a, now, r->key, r);
            if (sidecar)
                add_amount(a, sum, r->key, r);
        }
        json_each (r, now)
            raise_amount(a, peak, r->key, r);
    }
    json_each (r, peak)
        raise_amount(a, sum, r->key, r);
    return sum;
}

/* Copies what a pod as a whole may ask for; huge pages or all else. */
static void copy_pod_level(struct arena *a, struct json *to, const struct json *from, bool huge, const struct json *but)
{
    json_each (it, from)
        if (is_pod_level(it->key) && is_huge(it->key) == huge && !json_get(to, it->key) && !json_get(but, it->key))
            json_set(a, to, it->key, json_clone(a, it));
}

/* Of a pod that says something for all its containers: limits of huge pages are the containers' in sum; requests are the
 * containers' in sum, else the pod's limit. */
static void pod_level_requests(struct arena *a, struct json *pod, int64_t now)
{
    struct json *resources = json_path(pod, "spec.resources"), *sum;
    (void)now;
    if (!json_is(resources, JSON_OBJECT))
        return;
    sum = sum_over_containers(a, pod, "resources.limits");
    struct json *limits = json_new_object(a);
    copy_pod_level(a, limits, sum, true, json_get_str(resources, "requests"));
    if (json_len(limits))
        copy_absent(a, json_object_at(a, resources, "limits"), limits);
    limits = json_get_str(resources, "limits");
    if (json_len(limits) == 0)
        return;
    struct json *requests = json_object_at(a, resources, "requests");
    copy_pod_level(a, requests, sum_over_containers(a, pod, "resources.requests"), false, NULL);
    copy_pod_level(a, requests, limits, false, NULL);
    copy_pod_level(a, requests, limits, true, NULL);
}

static void host_ports(struct arena *a, struct json *pod, int64_t now)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    (void)now;
    if (!json_bool(json_path(pod, "spec.hostNetwork"), false))
        return;
    for (size_t i = 0; i < 2; i++)
        json_each (it, json_path(pod, lists[i]))
            json_each (port, json_get_str(it, "ports"))
                if (json_int(json_get_str(port, "hostPort"), 0) == 0)
                    json_set_str(a, port, "hostPort", json_clone(a, json_get_str(port, "containerPort")));
}

/* Always for the tag latest, given or implied; IfNotPresent for other tags and digests. */
static const char *pull_policy(struct slice image)
{
    struct slice name = image;
    if (image.n && memchr(image.p, '@', image.n))
        return "IfNotPresent";
    for (size_t i = image.n; i > 0; i--) {
        if (image.p[i - 1] == '/') {
            name = slice_from(image, i);
            break;
        }
    }
    struct slice tag;
    bool tagged = slice_cut(name, ':', &name, &tag);
    return !tagged || slice_eq_str(tag, "latest") ? "Always" : "IfNotPresent";
}

static void image_pull_policy(struct arena *a, struct json *container, int64_t now)
{
    (void)now;
    if (is_missing(container, "imagePullPolicy"))
        set_string(a, container, "imagePullPolicy", pull_policy(json_path_string(container, "image")));
}

static void volume_source(struct arena *a, struct json *volume, int64_t now)
{
    (void)now;
    json_each (it, volume)
        if (!slice_eq_str(it->key, "name") && it->type != JSON_NULL)
            return;
    json_set_str(a, volume, "emptyDir", json_new_object(a));
}

static void image_volume_pull_policy(struct arena *a, struct json *volume, int64_t now)
{
    struct json *image = json_get_str(volume, "image");
    (void)now;
    if (image && is_missing(image, "pullPolicy"))
        set_string(a, image, "pullPolicy", pull_policy(json_path_string(image, "reference")));
}

/* ---- services ---- */

static void service_target_ports(struct arena *a, struct json *service, int64_t now)
{
    (void)now;
    json_each (it, json_path(service, "spec.ports")) {
        const struct json *target = json_get_str(it, "targetPort");
        bool given = json_is(target, JSON_STRING) ? target->u.string.n > 0 : json_int(target, 0) != 0;
        if (!given)
            json_set_str(a, it, "targetPort", json_clone(a, json_get_str(it, "port")));
    }
}

static void load_balancer_ip_mode(struct arena *a, struct json *service, int64_t now)
{
    (void)now;
    if (!slice_eq_str(json_path_string(service, "spec.type"), "LoadBalancer"))
        return;
    json_each (it, json_path(service, "status.loadBalancer.ingress"))
        if (!is_missing(it, "ip") && is_missing(it, "ipMode"))
            set_string(a, it, "ipMode", "VIP");
}

/* ---- others ---- */

static void limit_range_item(struct arena *a, struct json *item, int64_t now)
{
    static const char *const steps[][2] = {
        {"max", "default"}, {"default", "defaultRequest"}, {"min", "defaultRequest"}};
    (void)now;
    if (!slice_eq_str(json_path_string(item, "type"), "Container"))
        return;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct json *from = json_get_str(item, steps[i][0]);
        if (json_len(from))
            copy_absent(a, json_object_at(a, item, steps[i][1]), from);
    }
}

/* stringData is write-only: it goes into data, base64-encoded. */
static void secret_string_data(struct arena *a, struct json *secret, int64_t now)
{
    const struct json *plain = json_get_str(secret, "stringData");
    (void)now;
    if (json_len(plain) == 0)
        return;
    struct json *data = json_object_at(a, secret, "data");
    json_each (it, plain) {
        struct buf text = BUF_INIT(json_string(it).n * 2 + 8);
        if (base64_encode(&text, json_string(it)) == 0)
            json_set(a, data, it->key, json_new_string(a, buf_slice(&text)));
        buf_done(&text);
    }
    json_del_str(secret, "stringData");
}

static void claim_templates(struct arena *a, struct json *set, int64_t now)
{
    (void)now;
    json_each (it, json_path(set, "spec.volumeClaimTemplates")) {
        set_string(a, it, "apiVersion", "v1");
        set_string(a, it, "kind", "PersistentVolumeClaim");
    }
}

static void time_added(struct arena *a, struct json *taint, int64_t now)
{
    char text[TIME_SEC_LEN + 1];
    time_format_sec(now, text);
    if (is_missing(taint, "timeAdded"))
        set_string(a, taint, "timeAdded", text);
}

static void crd_names(struct arena *a, struct json *crd, int64_t now)
{
    struct json *names = json_path(crd, "spec.names");
    struct slice kind = json_path_string(names, "kind");
    (void)now;
    if (!names || kind.n == 0)
        return;
    if (is_missing(names, "singular")) {
        struct slice lower = arena_copy(a, kind);
        for (size_t i = 0; i < lower.n; i++)
            if (lower.p[i] >= 'A' && lower.p[i] <= 'Z')
                ((char *)lower.p)[i] = (char)(lower.p[i] | 0x20);
        json_set_str(a, names, "singular", json_new_string(a, lower));
    }
    if (is_missing(names, "listKind"))
        json_set_str(a, names, "listKind", json_new_printf(a, "%" SLICE_FMT "List", SLICE_ARG(kind)));
}

static void crd_stored_versions(struct arena *a, struct json *crd, int64_t now)
{
    (void)now;
    if (json_len(json_path(crd, "status.storedVersions")))
        return;
    json_each (it, json_path(crd, "spec.versions")) {
        if (!json_bool(json_get_str(it, "storage"), false))
            continue;
        struct json *list = json_new_array(a);
        json_append(list, json_new_string(a, json_path_string(it, "name")));
        path_set(a, crd, SLICE("status.storedVersions"), list);
        return;
    }
}

defaults_function *defaults_function_find(struct slice name)
{
    static const struct {
        const char *name;
        defaults_function *function;
    } functions[] = {
        {"claim_templates", claim_templates},
        {"crd_names", crd_names},
        {"crd_stored_versions", crd_stored_versions},
        {"host_ports", host_ports},
        {"image_pull_policy", image_pull_policy},
        {"image_volume_pull_policy", image_volume_pull_policy},
        {"limit_range_item", limit_range_item},
        {"load_balancer_ip_mode", load_balancer_ip_mode},
        {"pod_level_requests", pod_level_requests},
        {"pod_requests", pod_requests},
        {"secret_string_data", secret_string_data},
        {"service_target_ports", service_target_ports},
        {"time_added", time_added},
        {"volume_source", volume_source},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (slice_eq_str(name, functions[i].name))
            return functions[i].function;
    return NULL;
}

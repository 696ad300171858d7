/* What single kinds do on create and update that no table can say: a row a kind. */
#include "apiserver/strategy.h"

#include <errno.h>

#include "apiserver/output.h"
#include "base/text.h"
#include "base/timefmt.h"
#include "object/meta.h"
#include "object/validate.h"

/* ---- Namespace ---- */

static int namespace_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old) {
        if (!slice_eq_str(s->w->sub, "finalize") && json_path(s->old, "spec.finalizers"))
            json_set_str(a, json_object_at(a, s->obj, "spec"), "finalizers",
                         json_clone(a, json_path(s->old, "spec.finalizers")));
        return 0;
    }
    struct json *spec = json_object_at(a, s->obj, "spec"), *list = json_get_str(spec, "finalizers");
    if (!json_is(list, JSON_ARRAY)) {
        list = json_new_array(a);
        json_set_str(a, spec, "finalizers", list);
    }
    bool there = false;
    json_each (f, list)
        there |= slice_eq_str(json_string(f), "kubernetes");
    if (!there)
        json_append(list, json_new_str(a, "kubernetes"));
    struct json *status = json_new_object(a);
    json_set_str(a, status, "phase", json_new_str(a, "Active"));
    json_set_str(a, s->obj, "status", status);
    return 0;
}

/* ---- PersistentVolume, PersistentVolumeClaim ---- */

static int volume_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    char now[TIME_SEC_LEN + 1];
    struct json *status;
    time_format_sec(loop_wall(s->r->api->loop), now);
    if (!s->old) {
        status = json_new_object(a);
        json_set_str(a, status, "phase", json_new_str(a, "Pending"));
        json_set_str(a, s->obj, "status", status);
    } else if (slice_eq_str(s->w->sub, "status") &&
               !slice_eq(json_path_string(s->obj, "status.phase"), json_path_string(s->old, "status.phase"))) {
        status = json_object_at(a, s->obj, "status");
    } else {
        return 0;
    }
    json_set_str(a, status, "lastPhaseTransitionTime", json_new_str(a, now));
    return 0;
}

/* What a claim is filled from stands in two members; who gives one means both. */
static int claim_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    struct json *spec = json_get_str(s->obj, "spec");
    const struct json *plain = json_get_str(spec, "dataSource"), *ref = json_get_str(spec, "dataSourceRef");
    struct slice kind = json_path_string(ref ? ref : plain, "kind");
    bool both = slice_eq_str(kind, "PersistentVolumeClaim") || slice_eq_str(kind, "VolumeSnapshot");
    if (s->old || !both || (plain && ref) || json_path_string(ref, "namespace").n)
        return 0;
    json_set_str(a, spec, plain ? "dataSourceRef" : "dataSource", json_clone(a, plain ? plain : ref));
    return 0;
}

/* ---- DaemonSet ---- */

/* How often the template changed: an old name for a generation, which clients still read. */
static int daemon_set_prepare(struct strategy *s)
{
    static const struct slice key = SLICE_INIT("deprecated.daemonset.template.generation");
    struct arena *a = s->r->arena;
    int64_t n = 0;
    if (s->w->sub.n)
        return 0;
    slice_to_i64(meta_annotation(s->old, key), &n);
    if (!s->old || !json_equal(json_path(s->obj, "spec.template"), json_path(s->old, "spec.template")))
        n++;
    meta_set_annotation(a, s->obj, key, slice_str(arena_printf(a, "%lld", (long long)n)));
    return 0;
}

/* ---- Secret ---- */

static int secret_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    struct json *plain = json_get_str(s->obj, "stringData");
    if (s->old && !json_path_string(s->obj, "type").n)
        json_set_str(a, s->obj, "type", json_clone(a, json_get_str(s->old, "type")));
    if (!json_len(plain))
        return 0;
    struct json *data = json_object_at(a, s->obj, "data");
    json_each (m, plain) {
        struct buf encoded = BUF_INIT(4 << 20);
        if (!base64_encode(&encoded, json_string(m)))
            json_set(a, data, m->key, json_new_string(a, buf_slice(&encoded)));
        buf_done(&encoded);
    }
    json_del_str(s->obj, "stringData");
    return 0;
}

/* ---- Job ---- */

static int job_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old || json_bool(json_path(s->obj, "spec.manualSelector"), false))
        return 0;
    struct slice uid = meta_uid(s->obj), name = meta_name(s->obj);
    struct json *spec = json_object_at(a, s->obj, "spec"), *template = json_object_at(a, spec, "template");
    meta_set_label(a, template, SLICE("batch.kubernetes.io/controller-uid"), uid);
    meta_set_label(a, template, SLICE("batch.kubernetes.io/job-name"), name);
    meta_set_label(a, template, SLICE("controller-uid"), uid);
    meta_set_label(a, template, SLICE("job-name"), name);
    struct json *selector = json_new_object(a);
    json_set_str(a, json_object_at(a, selector, "matchLabels"), "batch.kubernetes.io/controller-uid",
                 json_new_string(a, uid));
    json_set_str(a, spec, "selector", selector);
    return 0;
}

/* ---- CertificateSigningRequest ---- */

/* What else authentication said of the user: keys and their values. NULL when nothing. */
static struct json *extra_of(struct arena *a, const struct user *u)
{
    struct json *all = json_new_object(a);
    for (size_t i = 0; i < u->n_extra; i++) {
        struct json *list = json_get(all, u->extra[i].key);
        if (!list) {
            list = json_new_array(a);
            json_set(a, all, u->extra[i].key, list);
        }
        json_append(list, json_new_string(a, u->extra[i].value));
    }
    return u->n_extra ? all : NULL;
}

/* Who asks is who sent it, whatever the request says. */
static int csr_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    if (s->old) {
        if (s->w->sub.n)
            strategy_csr_conditions(s);
        else /* nothing but metadata */
            json_set_str(a, s->obj, "spec", json_clone(a, json_get_str(s->old, "spec")));
        return 0;
    }
    const struct user *u = &s->r->user;
    struct json *spec = json_object_at(a, s->obj, "spec"), *groups = json_new_array(a);
    json_set_str(a, spec, "username", json_new_string(a, u->name));
    json_del_str(spec, "uid");
    json_del_str(spec, "extra");
    if (u->uid.n)
        json_set_str(a, spec, "uid", json_new_string(a, u->uid));
    for (size_t i = 0; i < u->n_groups; i++)
        json_append(groups, json_new_string(a, u->groups[i]));
    json_set_str(a, spec, "groups", groups);
    json_set_str(a, spec, "extra", extra_of(a, u));
    json_del_str(s->obj, "status");
    return 0;
}

/* ---- RBAC: nobody grants what they do not hold ---- */

static int escalates(struct strategy *s, const char *missing)
{
    struct slice name = meta_name(s->obj);
    status_set(s->st, s->r->arena, 403,
               "%s.rbac.authorization.k8s.io \"%" SLICE_FMT "\" is forbidden: user \"%" SLICE_FMT
               "\" is attempting to grant RBAC permissions not currently held: %s",
               s->w->res->plural, SLICE_ARG(name), SLICE_ARG(s->r->user.name), missing);
    return 403;
}

static bool may(struct strategy *s, const char *verb, struct slice resource, struct slice name)
{
    const char *why;
    struct access q = {.verb = slice_str(verb),
                       .group = SLICE("rbac.authorization.k8s.io"),
                       .resource = resource,
                       .ns = s->w->ns,
                       .name = name};
    return api_access_allowed(s->r->api, &s->r->user, &q, &why);
}

static int role_prepare(struct strategy *s)
{
    const char *missing = "";
    const struct json *rules = json_get_str(s->obj, "rules");
    if (s->old && json_equal(rules, json_get_str(s->old, "rules")))
        return 0;
    if (may(s, "escalate", slice_str(s->w->res->plural), meta_name(s->obj)) ||
        api_access_covers(s->r->api, &s->r->user, s->w->ns, rules, s->r->arena, &missing))
        return 0;
    return escalates(s, missing);
}

static int binding_prepare(struct strategy *s)
{
    struct slice kind = json_path_string(s->obj, "roleRef.kind"), name = json_path_string(s->obj, "roleRef.name");
    bool cluster = slice_eq_str(kind, "ClusterRole");
    const struct resource *res = resource_find(SLICE("rbac.authorization.k8s.io"), SLICE("v1"),
                                               cluster ? SLICE("clusterroles") : SLICE("roles"));
    const char *missing = "";
    if (may(s, "bind", slice_str(res->plural), name))
        return 0;
    const struct json *role = api_object(s->r, res, cluster ? SLICE_NONE : s->w->ns, name);
    if (!role)
        return status_not_found(s->st, s->r->arena, SLICE("rbac.authorization.k8s.io"), slice_str(res->plural), name);
    if (api_access_covers(s->r->api, &s->r->user, s->w->ns, json_get_str(role, "rules"), s->r->arena, &missing))
        return 0;
    return escalates(s, missing);
}

/* ---- LimitRange: one without a name gets one ---- */

static int limit_range_prepare(struct strategy *s)
{
    if (!s->old && !meta_name(s->obj).n)
        meta_set_name(s->r->arena, s->obj, api_uuid(s->r));
    return 0;
}

/* ---- APIService: what this server serves itself is always there ---- */

static int api_service_prepare(struct strategy *s)
{
    struct arena *a = s->r->arena;
    char now[TIME_SEC_LEN + 1];
    if (s->old || json_path(s->obj, "spec.service"))
        return 0;
    struct json *c = json_new_object(a), *list = json_new_array(a);
    time_format_sec(loop_wall(s->r->api->loop), now);
    json_set_str(a, c, "type", json_new_str(a, "Available"));
    json_set_str(a, c, "status", json_new_str(a, "True"));
    json_set_str(a, c, "lastTransitionTime", json_new_str(a, now));
    json_set_str(a, c, "reason", json_new_str(a, "Local"));
    json_set_str(a, c, "message", json_new_str(a, "Local APIServices are always available"));
    json_append(list, c);
    json_set_str(a, json_object_at(a, s->obj, "status"), "conditions", list);
    return 0;
}

static const struct {
    const char *group, *plural;
    int (*prepare)(struct strategy *s);
} rows[] = {
    {"", "limitranges", limit_range_prepare},
    {"", "namespaces", namespace_prepare},
    {"", "persistentvolumeclaims", claim_prepare},
    {"", "persistentvolumes", volume_prepare},
    {"", "pods", strategy_pod},
    {"apiregistration.k8s.io", "apiservices", api_service_prepare},
    {"apps", "daemonsets", daemon_set_prepare},
    {"", "services", strategy_service},
    {"", "secrets", secret_prepare},
    {"batch", "jobs", job_prepare},
    {"certificates.k8s.io", "certificatesigningrequests", csr_prepare},
    {"rbac.authorization.k8s.io", "clusterroles", role_prepare},
    {"rbac.authorization.k8s.io", "roles", role_prepare},
    {"rbac.authorization.k8s.io", "clusterrolebindings", binding_prepare},
    {"rbac.authorization.k8s.io", "rolebindings", binding_prepare},
};

int api_strategy(struct api_request *r, struct write *w, struct json *obj, const struct json *old, struct status *st)
{
    struct strategy s = {.r = r, .w = w, .obj = obj, .old = old, .st = st};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(w->res->group, rows[i].group) && !strcmp(w->res->plural, rows[i].plural))
            return rows[i].prepare(&s);
    return 0;
}

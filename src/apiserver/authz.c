/* Authorization: RBAC for everybody, and for nodes what they need. The index follows the stored roles, bindings and pods by
 * watching their tables, so a decision never reads the store. */
#include <errno.h>

#include "apiserver/internal.h"
#include "apiserver/output.h"
#include "auth/node_authz.h"
#include "auth/rbac.h"
#include "base/mem.h"
#include "object/meta.h"

struct followed {
    struct store_watch watch;
    struct api_authz *owner;
    const struct resource *res;
};

enum { RBAC_TABLES = 4, PODS = 4, TABLES = 5 };

struct api_authz {
    struct api *api;
    struct rbac *rbac;
    struct node_authz *nodes;
    struct followed tables[TABLES];
};

static void set_object(struct followed *f, struct slice key, const struct json *obj)
{
    struct slice ns, name;
    if (!slice_cut(key, '/', &ns, &name)) {
        name = key;
        ns = SLICE_NONE;
    }
    if (f - f->owner->tables == PODS)
        node_authz_set_pod(f->owner->nodes, ns, name, obj);
    else
        rbac_set(f->owner->rbac, slice_str(f->res->kind), ns, name, obj);
}

static void load_item(struct followed *f, const struct store_item *item, bool gone)
{
    struct arena a;
    arena_init(&a, API_ARENA_MAX);
    set_object(f, item_key(item), gone ? NULL : api_item_json(f->owner->api, &a, item));
    arena_done(&a);
}

/* At start, and after the state was replaced as a whole. */
static void load_all(struct followed *f)
{
    struct store_table *t = api_table(f->owner->api, f->res);
    struct tree_iter it;
    tree_iter_init(&it, store_root(t), SLICE_NONE);
    for (struct store_item *item; (item = tree_iter_next(&it));)
        load_item(f, item, false);
    store_watch_start(f->owner->api->store, t, store_revision(f->owner->api->store), &f->watch);
}

static void on_notify(struct store_watch *w)
{
    struct followed *f = container_of(w, struct followed, watch);
    const struct store_event *e;
    bool lost = false;
    while ((e = store_watch_next(f->owner->api->store, w, &lost)))
        load_item(f, e->now, e->deleted);
    if (lost)
        api_authz_reload(f->owner);
}

static void load_tables(struct api_authz *z)
{
    z->rbac = rbac_new();
    z->nodes = node_authz_new();
    for (size_t i = 0; i < TABLES; i++)
        load_all(&z->tables[i]);
}

/* Also what is gone must be forgotten, and nothing says what that is. */
void api_authz_reload(struct api_authz *z)
{
    for (size_t i = 0; i < TABLES; i++)
        store_watch_stop(&z->tables[i].watch);
    rbac_free(z->rbac);
    node_authz_free(z->nodes);
    load_tables(z);
}

struct api_authz *api_authz_new(struct api *api)
{
    static const char *const rows[TABLES][2] = {{"rbac.authorization.k8s.io", "clusterroles"},
                                                {"rbac.authorization.k8s.io", "roles"},
                                                {"rbac.authorization.k8s.io", "clusterrolebindings"},
                                                {"rbac.authorization.k8s.io", "rolebindings"},
                                                {"", "pods"}};
    struct api_authz *z = mem_new(struct api_authz);
    z->api = api;
    for (size_t i = 0; i < TABLES; i++) {
        struct followed *f = &z->tables[i];
        f->owner = z;
        f->res = resource_find(slice_str(rows[i][0]), SLICE("v1"), slice_str(rows[i][1]));
        f->watch.notify = on_notify;
    }
    load_tables(z);
    return z;
}

void api_authz_free(struct api_authz *z)
{
    if (!z)
        return;
    for (size_t i = 0; i < TABLES; i++)
        store_watch_stop(&z->tables[i].watch);
    rbac_free(z->rbac);
    node_authz_free(z->nodes);
    mem_free(z);
}

bool api_access_allowed(struct api *api, const struct user *u, const struct access *q, const char **why)
{
    *why = "";
    return !api->o.authorize || rbac_allows(api->authz->rbac, u, q, why) ||
           node_authz_allows(api->authz->nodes, u, q, why);
}

void api_access_rules(struct api *api, const struct user *u, struct slice ns, struct arena *a,
                      struct json *resource_rules, struct json *nonresource_rules)
{
    rbac_rules(api->authz->rbac, u, ns, a, resource_rules, nonresource_rules);
}

bool api_access_covers(struct api *api, const struct user *u, struct slice ns, const struct json *rules,
                       struct arena *a, const char **missing)
{
    return !api->o.authorize || rbac_covers(api->authz->rbac, u, ns, rules, a, missing);
}

/* Paths that are no resources have the method for their verb. */
static struct slice method_verb(struct slice method)
{
    static const char *const verbs[] = {"get", "head", "post", "put", "patch", "delete", "options"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (slice_ieq(method, slice_str(verbs[i])))
            return slice_str(verbs[i]);
    return method;
}

static struct access access_of(const struct api_request *r)
{
    struct access q = {.verb = slice_str(api_verb_name(r->verb))};
    if (r->route != ROUTE_RESOURCE) {
        q.verb = method_verb(r->method);
        q.path = r->path;
        return q;
    }
    q.group = slice_str(r->res->group);
    q.resource = slice_str(r->res->plural);
    q.sub = r->sub ? slice_str(r->sub->name) : SLICE_NONE;
    q.ns = r->ns;
    q.name = r->name;
    return q;
}

/* `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"` */
static void refuse(struct api_request *r, const struct access *q, struct status *st)
{
    struct arena *a = r->arena;
    if (q->path.n) {
        status_set(st, a, 403, "forbidden: User \"%" SLICE_FMT "\" cannot %" SLICE_FMT " path \"%" SLICE_FMT "\"",
                   SLICE_ARG(r->user.name), SLICE_ARG(q->verb), SLICE_ARG(q->path));
        return;
    }
    const char *what = arena_printf(a, "%s%s%s", r->res->plural, r->res->group[0] ? "." : "", r->res->group);
    const char *named = q->name.n ? arena_printf(a, " \"%" SLICE_FMT "\"", SLICE_ARG(q->name)) : "";
    const char *where = q->ns.n && r->res->namespaced
                            ? arena_printf(a, " in the namespace \"%" SLICE_FMT "\"", SLICE_ARG(q->ns))
                            : " at the cluster scope";
    status_set(st, a, 403,
               "%s%s is forbidden: User \"%" SLICE_FMT "\" cannot %" SLICE_FMT
               " resource \"%s%s%s\" in API group \"%s\"%s",
               what, named, SLICE_ARG(r->user.name), SLICE_ARG(q->verb), r->res->plural, r->sub ? "/" : "",
               r->sub ? r->sub->name : "", r->res->group, where);
    st->name = q->name.n ? arena_copy(a, q->name).p : NULL;
    st->group = r->res->group[0] ? r->res->group : NULL;
    st->kind = r->res->plural;
}

/* Who enters a pod by WebSocket begins with a GET, and yet does what others do with a POST. */
static bool enters_pod(const struct api_request *r)
{
    static const char *const subs[] = {"exec", "attach", "portforward"};
    bool socket = r->http && slice_ieq(http_request_header(r->http, "upgrade"), SLICE("websocket"));
    for (size_t i = 0; socket && r->sub && i < sizeof subs / sizeof *subs; i++)
        if (!strcmp(r->sub->name, subs[i]) && r->verb == API_GET)
            return true;
    return false;
}

bool api_authorize(struct api_request *r, struct status *st)
{
    const char *why;
    struct access q = access_of(r);
    bool allowed = api_access_allowed(r->api, &r->user, &q, &why);
    if (allowed && enters_pod(r)) {
        q.verb = SLICE("create");
        allowed = api_access_allowed(r->api, &r->user, &q, &why);
    }
    if (!allowed)
        refuse(r, &q, st);
    return allowed;
}

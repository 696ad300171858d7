/* What the event window tells of one object, and of the state's hash:
 *   GET /pintle/v1/history?type=T&name=N[&namespace=NS][&limit=L][&status=true]   who changed what, newest first;
 *                                          changes of nothing but status only when asked for
 *   GET /pintle/v1/deleted?type=T&name=N[&namespace=NS]             the last state of what is gone, ready to be created
 *   GET /pintle/v1/hash?revision=R                                  the hash over all changes up to R
 * type is a plural, kind or short name, or plural.group. A caller needs the path, and `get` of the object itself.
 *
 * Values are shown as compact JSON, cut when long; of Secrets only which paths changed, also in annotations: what
 * applied
 * them may have left a copy there. Failures: 404, 403, 410 when the window does not reach back. */
#include <errno.h>

#include "apiserver/internal.h"
#include "apiserver/nonresource.h"
#include "apiserver/output.h"
#include "apiserver/seal.h"
#include "base/timefmt.h"
#include "object/diff.h"
#include "object/meta.h"

enum { HISTORY_LIMIT = 50, HISTORY_LIMIT_MAX = 500, HISTORY_CHANGES_MAX = 100, HISTORY_VALUE_MAX = 200 };

struct question {
    struct slice type, name, ns, limit, status, revision;
    const struct resource *res;
};

/* ---- the question ---- */

static void note(void *ctx, struct slice value)
{
    *(struct slice *)ctx = value;
}

static void read_question(struct api_request *r, struct question *q)
{
    *q = (struct question){0};
    api_query_each(r, SLICE("type"), note, &q->type);
    api_query_each(r, SLICE("name"), note, &q->name);
    api_query_each(r, SLICE("namespace"), note, &q->ns);
    api_query_each(r, SLICE("limit"), note, &q->limit);
    api_query_each(r, SLICE("status"), note, &q->status);
    api_query_each(r, SLICE("revision"), note, &q->revision);
}

static bool is_called(const struct resource *res, struct slice type)
{
    struct slice name, group;
    if (slice_cut(type, '.', &name, &group) && slice_eq_str(name, res->plural) && slice_eq_str(group, res->group))
        return true;
    if (slice_ieq(type, slice_str(res->plural)) || slice_ieq(type, slice_str(res->singular)) ||
        slice_ieq(type, slice_str(res->kind)))
        return true;
    for (const char *const *s = res->short_names; s && *s; s++)
        if (slice_ieq(type, slice_str(*s)))
            return true;
    return false;
}

static const struct resource *find_type(struct slice type)
{
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        if (!res->virtual && is_called(res, type))
            return res;
    }
    return NULL;
}

/* Who may not get the object may not hear of its past. False when r was answered. */
static bool may_ask(struct api_request *r, struct question *q)
{
    const char *why;
    read_question(r, q);
    q->res = find_type(q->type);
    if (!slice_eq_str(r->method, "GET")) {
        api_reply_error(r, 405, "this path is for GET only");
    } else if (!q->type.n || !q->name.n) {
        api_reply_error(r, 400, "type and name must be given");
    } else if (!q->res) {
        api_reply_error(r, 404, "there is no type \"%" SLICE_FMT "\"", SLICE_ARG(q->type));
    } else {
        if (!q->res->namespaced)
            q->ns = SLICE_NONE;
        else if (!q->ns.n)
            q->ns = SLICE("default");
        const struct access a = {.verb = SLICE("get"),
                                 .group = slice_str(q->res->group),
                                 .resource = slice_str(q->res->plural),
                                 .ns = q->ns,
                                 .name = q->name};
        if (api_access_allowed(r->api, &r->user, &a, &why))
            return true;
        api_reply_error(r, 403, "User \"%" SLICE_FMT "\" cannot get %s \"%" SLICE_FMT "\"", SLICE_ARG(r->user.name),
                        q->res->plural, SLICE_ARG(q->name));
    }
    return false;
}

/* A handler that goes on once the state is fresh. */
static void ask(struct api_request *r, void (*next)(struct api_request *r, int err))
{
    struct question *q = arena_state(r->arena, struct question);
    if (!may_ask(r, q))
        return;
    r->state = q;
    api_when_confirmed(r, next);
}

static struct slice key_of(struct api_request *r, const struct question *q)
{
    return api_key(r, q->ns, q->name);
}

static struct json *time_json(struct arena *a, uint64_t ms)
{
    char text[TIME_MICRO_LEN + 1];
    time_format_micro((int64_t)(ms * NS_PER_MS), text);
    return json_new_str(a, text);
}

/* ---- what changed ---- */

struct changes {
    struct diff diff;
    struct arena *a;
    struct json *list;
    size_t n;
    bool secret;
};

static void set_value(struct changes *c, struct json *to, const char *name, const struct json *v)
{
    struct buf out = BUF_INIT(API_ARENA_MAX);
    if (!v || c->secret || json_write(&out, v)) {
        buf_done(&out);
        return;
    }
    bool cut = out.n > HISTORY_VALUE_MAX;
    size_t n = cut ? HISTORY_VALUE_MAX : out.n;
    while (cut && n && ((unsigned char)out.p[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    json_set_str(c->a, to, name, json_new_printf(c->a, "%.*s%s", (int)n, out.p, cut ? "…" : ""));
    buf_done(&out);
}

static void on_change(struct diff *d, const char *path, const struct json *old, const struct json *new)
{
    struct changes *c = container_of(d, struct changes, diff);
    if (++c->n > HISTORY_CHANGES_MAX)
        return;
    struct json *v = json_new_object(c->a);
    json_set_str(c->a, v, "path", json_new_str(c->a, path));
    set_value(c, v, "old", old);
    set_value(c, v, "new", new);
    json_append(c->list, v);
}

/* What every write changes says nothing. */
static struct json *without_noise(struct json *obj)
{
    struct json *metadata = json_get_str(obj, "metadata");
    json_del_str(metadata, "resourceVersion");
    json_del_str(metadata, "managedFields");
    return obj;
}

static bool has_entry(const struct json *list, const struct json *entry)
{
    json_each (v, list)
        if (json_equal(v, entry))
            return true;
    return false;
}

/* The manager whose entry this change made or changed; none when all are as before: times are whole seconds. */
static struct slice manager_of(const struct json *before, const struct json *now)
{
    struct slice manager = SLICE_NONE, newest = SLICE_NONE;
    json_each (v, json_path(now, "metadata.managedFields")) {
        struct slice time = json_string(json_get_str(v, "time"));
        if (slice_cmp(time, newest) < 0 || has_entry(json_path(before, "metadata.managedFields"), v))
            continue;
        newest = time; /* RFC 3339 in UTC: in the order of their text */
        manager = json_string(json_get_str(v, "manager"));
    }
    return manager;
}

static struct json *event_json(struct api_request *r, const struct question *q, const struct store_event *e)
{
    struct arena scratch, *a = r->arena;
    arena_init(&scratch, API_ARENA_MAX);
    struct json *v = json_new_object(a), *now = api_item_json(r->api, &scratch, e->now);
    struct json *before = e->before ? api_item_json(r->api, &scratch, e->before) : NULL;
    struct slice manager = e->deleted ? SLICE_NONE : manager_of(before, now);
    json_set_str(a, v, "revision", json_new_int(a, (int64_t)e->revision));
    if (e->time_ms)
        json_set_str(a, v, "time", time_json(a, e->time_ms));
    json_set_str(a, v, "verb", json_new_str(a, e->deleted ? "delete" : e->before ? "update" : "create"));
    if (e->actor)
        json_set_str(a, v, "user", json_new_string(a, blob_slice(e->actor)));
    if (manager.n)
        json_set_str(a, v, "manager", json_new_string(a, manager));
    if (!now || (e->before && !before)) { /* sealed with a key that is not here: that it changed is all one can tell */
        json_set_str(a, v, "sealed", json_new_bool(a, true));
    } else if (before && !e->deleted) {
        struct changes c = {.diff.each = on_change, .a = a, .list = json_new_array(a)};
        c.secret = !strcmp(q->res->plural, "secrets");
        diff_run(&c.diff, without_noise(before), without_noise(now));
        json_set_str(a, v, "changes", c.list);
        if (c.n > HISTORY_CHANGES_MAX)
            json_set_str(a, v, "moreChanges", json_new_int(a, (int64_t)c.n - HISTORY_CHANGES_MAX));
    }
    arena_done(&scratch);
    return v;
}

/* What controllers note all the time; few ask for it. */
static bool only_status(const struct json *event)
{
    const struct json *changes = json_get_str(event, "changes");
    json_each (c, changes)
        if (!slice_starts(json_path_string(c, "path"), SLICE("status")))
            return false;
    return changes != NULL;
}

static void add_events(struct api_request *r, const struct question *q, struct json *out)
{
    struct store_table *t = api_table(r->api, q->res);
    struct json *items = json_new_array(r->arena);
    struct slice key = key_of(r, q);
    uint64_t limit = HISTORY_LIMIT, looked = 0, hidden = 0;
    bool more = false, whole = false, all = slice_eq_str(q->status, "true");
    if (q->limit.n && (!slice_to_u64(q->limit, &limit) || !limit || limit > HISTORY_LIMIT_MAX))
        limit = HISTORY_LIMIT_MAX;
    for (size_t i = store_table_events(t); i-- > 0 && !more;) {
        const struct store_event *e = store_table_event(t, i);
        if (!slice_eq(item_key(e->now), key))
            continue;
        more = json_len(items) == limit || looked++ == HISTORY_LIMIT_MAX;
        whole = !e->before;
        struct json *v = more ? NULL : event_json(r, q, e);
        if (!v || (!all && only_status(v)))
            hidden += v != NULL;
        else
            json_append(items, v);
    }
    json_set_str(r->arena, out, "complete", json_new_bool(r->arena, whole && !more));
    json_set_str(r->arena, out, "statusOnly", json_new_int(r->arena, (int64_t)hidden));
    json_set_str(r->arena, out, "items", items);
}

static void history_now(struct api_request *r, int err)
{
    const struct question *q = r->state;
    struct arena *a = r->arena;
    if (err) {
        api_reply_errno(r, err, "reading");
        return;
    }
    struct json *v = json_new_object(a);
    json_set_str(a, v, "resource",
                 json_new_printf(a, "%s%s%s", q->res->plural, q->res->group[0] ? "." : "", q->res->group));
    if (q->ns.n)
        json_set_str(a, v, "namespace", json_new_string(a, q->ns));
    json_set_str(a, v, "name", json_new_string(a, q->name));
    json_set_str(a, v, "exists", json_new_bool(a, store_get(api_table(r->api, q->res), key_of(r, q)) != NULL));
    json_set_str(a, v, "oldest", time_json(a, store_oldest_time(r->api->store)));
    add_events(r, q, v);
    if (!json_len(json_get_str(v, "items")) && !json_bool(json_get_str(v, "exists"), false)) {
        struct status st;
        status_not_found(&st, a, slice_str(q->res->group), slice_str(q->res->plural), q->name);
        api_reply_status(r, &st);
        return;
    }
    api_reply_json(r, 200, v);
}

void api_history(struct api_request *r)
{
    ask(r, history_now);
}

/* ---- what was deleted ---- */

struct revival {
    struct api_request *r;
    struct json *obj, *dropped;
};

static void drop(struct revival *v, struct json *from, const char *name, const char *path)
{
    if (json_del_str(from, name))
        json_append(v->dropped, json_new_str(v->r->arena, path));
}

static bool owner_lives(struct api_request *r, struct slice ns, const struct json *owner)
{
    const struct resource *res = resource_by_api_version(json_string(json_get_str(owner, "apiVersion")),
                                                         json_string(json_get_str(owner, "kind")));
    const struct json *obj =
        res ? api_object(r, res, res->namespaced ? ns : SLICE_NONE, json_string(json_get_str(owner, "name"))) : NULL;
    return obj && slice_eq(meta_uid(obj), json_string(json_get_str(owner, "uid")));
}

static void drop_dead_owners(struct revival *v, struct slice ns)
{
    struct json *owners = json_path(v->obj, "metadata.ownerReferences");
    for (size_t i = json_len(owners); i-- > 0;) {
        const struct json *owner = json_at(owners, i);
        if (owner_lives(v->r, ns, owner))
            continue;
        json_append(v->dropped, json_new_printf(v->r->arena, "metadata.ownerReferences[%" SLICE_FMT "] (it is gone)",
                                                SLICE_ARG(json_string(json_get_str(owner, "name")))));
        json_remove_at(owners, i);
    }
    if (owners && !json_len(owners))
        json_del_str(json_get_str(v->obj, "metadata"), "ownerReferences");
}

/* How it was deleted is no part of what it was. */
static void drop_deletion_finalizers(struct revival *v)
{
    static const char *const rows[] = {"foregroundDeletion", "orphan"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (meta_remove_finalizer(v->obj, slice_str(rows[i])))
            json_append(v->dropped, json_new_printf(v->r->arena, "metadata.finalizers[%s]", rows[i]));
}

/* A Job's own uid is in its selector and labels, unless somebody chose them. */
static void drop_job_identity(struct revival *v)
{
    static const char *const labels[] = {"batch.kubernetes.io/controller-uid", "controller-uid",
                                         "batch.kubernetes.io/job-name", "job-name"};
    struct json *spec = json_get_str(v->obj, "spec");
    if (json_bool(json_get_str(spec, "manualSelector"), false))
        return;
    drop(v, spec, "selector", "spec.selector");
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        const char *path = arena_printf(v->r->arena, "spec.template.metadata.labels[%s]", labels[i]);
        drop(v, json_path(spec, "template.metadata.labels"), labels[i], path);
        json_del_str(json_path(v->obj, "metadata.labels"), labels[i]);
    }
}

static void revive(struct revival *v, const struct question *q)
{
    static const char *const own[] = {"uid",      "resourceVersion",   "creationTimestamp",          "generation",
                                      "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"};
    struct json *metadata = json_get_str(v->obj, "metadata");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        drop(v, metadata, own[i], arena_printf(v->r->arena, "metadata.%s", own[i]));
    drop(v, v->obj, "status", "status");
    drop_dead_owners(v, q->ns);
    drop_deletion_finalizers(v);
    if (!strcmp(q->res->plural, "pods"))
        drop(v, json_get_str(v->obj, "spec"), "nodeName", "spec.nodeName");
    if (!strcmp(q->res->plural, "jobs"))
        drop_job_identity(v);
}

static const struct store_event *last_deletion(const struct store_table *t, struct slice key)
{
    for (size_t i = store_table_events(t); i-- > 0;) {
        const struct store_event *e = store_table_event(t, i);
        if (e->deleted && slice_eq(item_key(e->now), key))
            return e;
    }
    return NULL;
}

/* Where it is to be created: with POST, as anything else. */
static struct json *collection_path(struct arena *a, const struct question *q)
{
    const char *root = q->res->group[0] ? "/apis/" : "/api/";
    if (!q->ns.n)
        return json_new_printf(a, "%s%s/%s", root, q->res->api_version, q->res->plural);
    return json_new_printf(a, "%s%s/namespaces/%" SLICE_FMT "/%s", root, q->res->api_version, SLICE_ARG(q->ns),
                           q->res->plural);
}

static void reply_deleted(struct api_request *r, struct question *q, const struct store_event *e)
{
    struct arena *a = r->arena;
    if (api_locked(r, e->now))
        return;
    struct revival v = {r, api_item_json(r->api, a, e->now), json_new_array(a)};
    struct json *out = json_new_object(a);
    /* As it is stored: the version that is stored is the one to create it with. */
    q->res = q->res->storage ? q->res->storage : q->res;
    revive(&v, q);
    json_set_str(a, out, "revision", json_new_int(a, (int64_t)e->revision));
    if (e->time_ms)
        json_set_str(a, out, "time", time_json(a, e->time_ms));
    if (e->actor)
        json_set_str(a, out, "user", json_new_string(a, blob_slice(e->actor)));
    json_set_str(a, out, "path", collection_path(a, q));
    json_set_str(a, out, "dropped", v.dropped);
    json_set_str(a, out, "object", v.obj);
    api_reply_json(r, 200, out);
}

static void deleted_now(struct api_request *r, int err)
{
    struct question *q = r->state;
    struct status st;
    if (err) {
        api_reply_errno(r, err, "reading");
        return;
    }
    const struct store_table *t = api_table(r->api, q->res);
    const struct store_event *e = last_deletion(t, key_of(r, q));
    if (store_get(t, key_of(r, q))) {
        api_reply_error(r, 409, "%s \"%" SLICE_FMT "\" exists", q->res->plural, SLICE_ARG(q->name));
    } else if (!e) {
        status_not_found(&st, r->arena, slice_str(q->res->group), slice_str(q->res->plural), q->name);
        api_reply_status(r, &st);
    } else {
        reply_deleted(r, q, e);
    }
}

void api_deleted(struct api_request *r)
{
    ask(r, deleted_now);
}

/* ---- the hash ---- */

static void reply_hash(struct api_request *r, uint64_t revision)
{
    struct arena *a = r->arena;
    uint64_t hash;
    int rv = store_hash_at(r->api->store, revision, &hash);
    if (rv == -EAGAIN) {
        api_reply_error(r, 400, "there is no revision %lu yet, %lu is current", revision,
                        store_revision(r->api->store));
    } else if (rv) {
        struct status st;
        status_set_reason(&st, a, 410, "Expired", "the hash of revision %lu is not kept any more", revision);
        api_reply_status(r, &st);
    } else {
        struct json *v = json_new_object(a);
        json_set_str(a, v, "revision", json_new_int(a, (int64_t)revision));
        json_set_str(a, v, "hash", json_new_printf(a, "%016lx", hash));
        api_reply_json(r, 200, v);
    }
}

static void hash_now(struct api_request *r, int err)
{
    const struct question *q = r->state;
    uint64_t revision = store_revision(r->api->store);
    if (err)
        api_reply_errno(r, err, "reading");
    else if (q->revision.n && !slice_to_u64(q->revision, &revision))
        api_reply_error(r, 400, "revision must be a number");
    else
        reply_hash(r, revision);
}

void api_hash(struct api_request *r)
{
    struct question *q = arena_state(r->arena, struct question);
    read_question(r, q);
    r->state = q;
    if (!slice_eq_str(r->method, "GET"))
        api_reply_error(r, 405, "this path is for GET only");
    else
        api_when_confirmed(r, hash_now);
}

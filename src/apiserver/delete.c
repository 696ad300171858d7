/* delete and deletecollection: grace, finalizers, propagation, preconditions. */
#include <errno.h>

#include "apiserver/filter.h"
#include "apiserver/options.h"
#include "apiserver/output.h"
#include "apiserver/write.h"
#include "base/timefmt.h"
#include "codec/yaml.h"
#include "object/check.h"
#include "object/meta.h"
#include "object/protobuf.h"

static const struct schema_type *options_type(void)
{
    return schema_type_find(SLICE("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
}

static struct json *decode_options(struct api_request *r, struct status *st)
{
    if (!r->body.n)
        return json_new_object(r->arena);
    if (slice_starts(r->content_type, SLICE("application/vnd.kubernetes.protobuf")))
        return protobuf_decode(r->arena, options_type(), r->body, st);
    return api_decode_any(r, st);
}

static int parse_options(struct api_request *r, struct delete_options *o, struct status *st)
{
    struct json *v = decode_options(r, st);
    return v ? api_delete_options(r, v, o, st) : st->code;
}

/* How long a pod has to end; other kinds go at once. */
static int64_t grace_of(const struct write *w, const struct json *obj, int64_t asked)
{
    struct slice phase = json_path_string(obj, "status.phase");
    if (strcmp(w->res->plural, "pods") != 0)
        return 0;
    if (!json_path_string(obj, "spec.nodeName").n || slice_eq_str(phase, "Succeeded") || slice_eq_str(phase, "Failed"))
        return 0;
    int64_t grace = asked >= 0 ? asked : json_int(json_path(obj, "spec.terminationGracePeriodSeconds"), 30);
    return grace < 0 ? 1 : grace;
}

static void add_propagation(struct api_request *r, struct write *w, struct json *obj, struct slice policy)
{
    static const struct slice orphan = SLICE_INIT("orphan"), foreground = SLICE_INIT("foregroundDeletion");
    bool by_kind_orphan = !policy.n && w->res->propagation == PROPAGATION_ORPHAN;
    if (!policy.n && !by_kind_orphan)
        return; /* finalizers stay as they are */
    meta_remove_finalizer(obj, orphan);
    meta_remove_finalizer(obj, foreground);
    if (by_kind_orphan || slice_eq_str(policy, "Orphan"))
        meta_add_finalizer(r->arena, obj, orphan);
    else if (slice_eq_str(policy, "Foreground"))
        meta_add_finalizer(r->arena, obj, foreground);
}

/* Namespaces end through their own finalizer: the phase says so, the namespace controller empties them. */
static bool namespace_terminates(struct api_request *r, struct write *w, struct json *obj)
{
    if (strcmp(w->res->plural, "namespaces") != 0)
        return false;
    json_set_str(r->arena, json_object_at(r->arena, obj, "status"), "phase", json_new_str(r->arena, "Terminating"));
    return json_len(json_path(obj, "spec.finalizers")) > 0;
}

/* The object must still be the one that the caller means. */
static int check_preconditions(struct api_request *r, struct write *w, const struct json *old, struct status *st)
{
    const struct delete_options *o = w->ctx;
    struct slice uid = meta_uid(old), revision = meta_resource_version(old);
    const char *format = NULL;
    if (o->uid.n && !slice_eq(o->uid, uid))
        format =
            arena_printf(r->arena,
                         "the UID in the precondition (%" SLICE_FMT ") does not match the UID in record (%" SLICE_FMT
                         "). The object might have been deleted and then recreated",
                         SLICE_ARG(o->uid), SLICE_ARG(uid));
    else if (o->revision.n && !slice_eq(o->revision, revision))
        format = arena_printf(r->arena,
                              "the ResourceVersion in the precondition (%" SLICE_FMT
                              ") does not match the ResourceVersion in record (%" SLICE_FMT
                              "). The object might have been modified",
                              SLICE_ARG(o->revision), SLICE_ARG(revision));
    if (!format)
        return 0;
    status_set(st, r->arena, 409, "Operation cannot be fulfilled on %s%s%s \"%" SLICE_FMT "\": %s", w->res->kind,
               w->res->group[0] ? "." : "", w->res->group, SLICE_ARG(w->name), format);
    st->name = arena_copy(r->arena, w->name).p;
    st->group = w->res->group[0] ? w->res->group : NULL;
    st->kind = w->res->kind;
    return st->code;
}

static struct json *compute_delete(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    const struct delete_options *o = w->ctx;
    if (check_preconditions(r, w, old, st))
        return NULL;
    struct json *obj = json_clone(r->arena, old);
    int64_t now = loop_wall(r->api->loop), grace = grace_of(w, old, o->grace);
    bool deleting = meta_is_deleting(old);
    add_propagation(r, w, obj, o->propagation);
    bool held = json_len(meta_finalizers(obj)) > 0;
    held |= namespace_terminates(r, w, obj);
    int64_t old_grace = json_int(json_path(old, "metadata.deletionGracePeriodSeconds"), 0);
    if (deleting && grace > old_grace)
        grace = old_grace; /* only ever shortened */
    if (!held && grace == 0) {
        w->remove = true;
        return obj;
    }
    w->force_finalize = true; /* compute sets the deletion marks itself */
    if (!deleting || grace < old_grace)
        meta_set_deletion(r->arena, obj, now + grace * NS_PER_SEC, grace);
    if (!deleting && meta_generation(obj)) /* to be deleted is another desired state */
        meta_set_generation(r->arena, obj, meta_generation(obj) + 1);
    return obj;
}

static void reply_delete(struct api_request *r, struct write *w, const struct store_item *item, bool created)
{
    (void)created;
    struct status st = {0};
    if (!w->remove || w->res->returns_deleted) {
        api_reply_item(r, 200, item);
        return;
    }
    struct json *v = api_status_json(r->arena, &st), *details = json_new_object(r->arena);
    struct json *obj = api_item_json(r->api, r->arena, item);
    json_set_str(r->arena, details, "name", json_new_string(r->arena, w->name));
    if (w->res->group[0])
        json_set_str(r->arena, details, "group", json_new_str(r->arena, w->res->group));
    json_set_str(r->arena, details, "kind", json_new_str(r->arena, w->res->plural));
    json_set_str(r->arena, details, "uid", json_new_string(r->arena, meta_uid(obj)));
    json_set_str(r->arena, v, "details", details);
    api_reply_json(r, 200, v);
}

static struct write *new_delete(struct api_request *r, const struct delete_options *o, struct slice ns,
                                struct slice name)
{
    struct write *w = arena_state(r->arena, struct write);
    *w = (struct write){.res = r->res,
                        .ns = ns,
                        .name = name,
                        .compute = compute_delete,
                        .reply = reply_delete,
                        .keep_managed_fields = true,
                        .deletes = true,
                        .ctx = (void *)o};
    return w;
}

void api_delete(struct api_request *r)
{
    struct status st = {0};
    struct delete_options *o = arena_state(r->arena, struct delete_options);
    if (parse_options(r, o, &st))
        api_reply_status(r, &st);
    else
        api_write(r, new_delete(r, o, r->ns, r->name));
}

/* ---- deletecollection: one object after the other; what vanished meanwhile is fine ---- */

/* The answer is the list of what was there. */
struct collection {
    struct delete_options options;
    struct store_item **items; /* references */
    size_t n, at;
    struct arena scratch, *outer_arena; /* one deletion's memory at a time */
    struct api_responder own;           /* the request's responder, with the single deletes' answers caught */
    const struct api_responder *outer;
    struct api_request *r;
    struct loop_timer timer;
};

static void next_deletion(struct loop_timer *t);

/* The request is itself again; its end frees it and c, so that what c still holds is handed back. */
static struct arena leave(struct api_request *r, struct collection *c)
{
    struct arena scratch = c->scratch;
    for (size_t i = 0; i < c->n; i++)
        item_unref(c->items[i]);
    c->n = 0;
    loop_timer_stop(r->api->loop, &c->timer);
    r->responder = c->outer;
    r->arena = c->outer_arena;
    return scratch;
}

static void caught_abort(struct api_request *r)
{
    struct arena scratch = leave(r, container_of(r->responder, struct collection, own));
    r->responder->abort(r);
    arena_done(&scratch);
}

static void deletion_close(struct api_request *r)
{
    struct arena scratch = leave(r, r->waiting);
    r->responder->abort(r);
    arena_done(&scratch);
}

static void caught(struct api_request *r, int code, const struct http_header *headers, size_t n,
                   const struct chunk *body, size_t n_chunks)
{
    struct collection *c = container_of(r->responder, struct collection, own);
    if (code >= 400 && code != 404) {
        struct arena scratch = leave(r, c); /* what is said lives there */
        r->responder->reply(r, code, headers, n, body, n_chunks);
        arena_done(&scratch);
        return;
    }
    for (size_t i = 0; i < n_chunks; i++)
        blob_unref(body[i].blob);
    r->waiting = c;
    r->on_close = deletion_close;
    loop_timer_start(r->api->loop, &c->timer, 0);
}

static void next_deletion(struct loop_timer *t)
{
    struct collection *c = container_of(t, struct collection, timer);
    struct api_request *r = c->r;
    struct slice ns, name;
    r->on_close = NULL;
    arena_done(&c->scratch);
    if (r->gone) {
        leave(r, c);
        r->responder->abort(r);
        return;
    }
    if (c->at == c->n) {
        size_t n = c->n;
        c->n = 0; /* the list takes the references */
        leave(r, c);
        r->replied = false;
        api_list_items(r, c->items, n);
        return;
    }
    struct slice key = item_key(c->items[c->at++]);
    if (!slice_cut(key, '/', &ns, &name)) {
        name = key;
        ns = SLICE_NONE;
    }
    api_write(r, new_delete(r, &c->options, ns, name));
}

static int collect(struct api_request *r, const struct api_filter *f, struct collection *c)
{
    struct tree_node *root = store_root(api_table(r->api, r->res));
    struct tree_iter it;
    size_t max = r->options.limit > 0 ? (size_t)r->options.limit : SIZE_MAX;
    c->items = arena_alloc(r->arena, (tree_count(root) + 1) * sizeof(struct store_item *));
    if (!c->items)
        return -ENOMEM;
    tree_iter_init(&it, root, api_filter_start(f));
    for (struct store_item *i; c->n < max && (i = tree_iter_next(&it)) && !api_filter_past(f, i);)
        if (api_filter_match(f, i))
            c->items[c->n++] = item_ref(i);
    return 0;
}

void api_delete_collection(struct api_request *r)
{
    struct status st = {0};
    struct api_filter filter;
    struct collection *c = arena_state(r->arena, struct collection);
    if (parse_options(r, &c->options, &st) || api_filter_parse(r, &filter, &st)) {
        api_reply_status(r, &st);
        return;
    }
    if (collect(r, &filter, c)) {
        api_reply_error(r, 413, "the collection is too large to be deleted at once");
        return;
    }
    r->write_id = SLICE_NONE; /* one for many transactions; deleting again what is left is the same request */
    r->write_repeated = false;
    c->outer = r->responder;
    c->own = *r->responder;
    c->own.reply = caught;
    c->own.abort = caught_abort;
    c->outer_arena = r->arena;
    arena_init(&c->scratch, API_ARENA_MAX);
    r->arena = &c->scratch;
    r->responder = &c->own;
    c->r = r;
    c->timer.cb = next_deletion;
    next_deletion(&c->timer);
}

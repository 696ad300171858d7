#include "apiserver/write.h"

#include <errno.h>

#include "admission/admission.h"
#include "apiserver/filter.h"
#include "apiserver/output.h"
#include "apiserver/seal.h"
#include "base/timefmt.h"
#include "codec/yaml.h"
#include "object/apply.h"
#include "object/check.h"
#include "object/convert.h"
#include "object/defaults.h"
#include "object/meta.h"
#include "object/protobuf.h"
#include "object/validate.h"
#include "object/warnings.h"

enum { GENERATED_SUFFIX = 5, GENERATED_BASE_MAX = 58, EVENT_TTL_MS = 3600000 };

/* ---- decoding ---- */

static bool is_yaml(const struct api_request *r)
{
    return slice_starts(r->content_type, SLICE("application/yaml")) || r->patch_type == PATCH_APPLY;
}

static bool is_protobuf(const struct api_request *r)
{
    return slice_starts(r->content_type, SLICE("application/vnd.kubernetes.protobuf"));
}

static struct json *decode_text(struct api_request *r, struct check *check, struct status *st)
{
    struct json_error err;
    const char *message = "";
    struct json *v = NULL;
    if (!r->body.n) {
        status_set(st, r->arena, 400, "the request has no body");
        return NULL;
    }
    if (is_yaml(r)) {
        v = yaml_parse_noting(r->arena, r->body, check ? check_on_yaml_duplicate : NULL, check, &message);
    } else {
        v = json_parse(r->arena, r->body, &err, check ? check_on_duplicate : NULL, check);
        message = err.message;
    }
    if (!v)
        status_set(st, r->arena, 400, "the body of the request is no valid %s: %s", is_yaml(r) ? "YAML" : "JSON",
                   message);
    return v;
}

struct json *api_decode_any(struct api_request *r, struct status *st)
{
    return decode_text(r, NULL, st);
}

/* The body must be of the kind that the path names; what it leaves out is filled in. */
static int check_kind(struct api_request *r, const char *api_version, const char *kind, struct json *v,
                      struct status *st)
{
    struct slice has_kind = meta_kind(v), has_version = meta_api_version(v);
    if (!json_is(v, JSON_OBJECT))
        return status_set(st, r->arena, 400, "the body of the request must be an object");
    if ((has_kind.n && !slice_eq_str(has_kind, kind)) || (has_version.n && !slice_eq_str(has_version, api_version)))
        return status_set(st, r->arena, 400,
                          "%" SLICE_FMT " in version \"%" SLICE_FMT
                          "\" cannot be handled as a %s: the path asks for apiVersion %s, kind %s",
                          SLICE_ARG(has_kind), SLICE_ARG(has_version), kind, api_version, kind);
    json_set_first(r->arena, v, "apiVersion", json_new_str(r->arena, api_version));
    json_set_first(r->arena, v, "kind", json_new_str(r->arena, kind));
    return 0;
}

struct json *api_decode(struct api_request *r, const struct resource *res, const struct resource_sub *sub, bool partial,
                        struct status *st)
{
    static const enum check_mode modes[] = {
        [VALIDATION_WARN] = CHECK_WARN, [VALIDATION_STRICT] = CHECK_STRICT, [VALIDATION_IGNORE] = CHECK_IGNORE};
    const struct schema_type *type = sub ? sub->type : res->type;
    const char *kind = sub ? sub->kind : res->kind, *api_version = res->api_version;
    if (sub)
        api_version = sub->group[0] ? arena_printf(r->arena, "%s/%s", sub->group, sub->version) : sub->version;
    struct check check = {.a = r->arena, .mode = modes[r->options.validation], .partial = partial};
    struct json *v = is_protobuf(r) ? protobuf_decode(r->arena, type, r->body, st) : decode_text(r, &check, st);
    if (!v || check_kind(r, api_version, kind, v, st) || check_object(&check, type, v, st))
        return NULL;
    for (const struct check_warning *w = check.warnings; w; w = w->next)
        api_warn(r, w->text);
    return v;
}

/* ---- preparing ---- */

struct slice api_uuid(struct api_request *r)
{
    unsigned char b[16];
    loop_random(r->api->loop, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    return slice_str(arena_printf(r->arena, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                                  b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                                  b[13], b[14], b[15]));
}

/* generateName plus five characters that make no words (as Kubernetes: no vowels, no 0, 1, 3). */
static void generate_name(struct api_request *r, struct write *w, struct json *obj)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    struct slice base = meta_generate_name(obj);
    char suffix[GENERATED_SUFFIX + 1] = "";
    if ((meta_name(obj).n && !w->generated_name) || !base.n)
        return;
    if (base.n > GENERATED_BASE_MAX)
        base.n = GENERATED_BASE_MAX;
    for (int i = 0; i < GENERATED_SUFFIX; i++)
        suffix[i] = alphabet[loop_random_below(r->api->loop, sizeof alphabet - 1)];
    w->generated_name = true;
    meta_set_name(r->arena, obj, slice_str(arena_printf(r->arena, "%" SLICE_FMT "%s", SLICE_ARG(base), suffix)));
}

static void prepare_create(struct api_request *r, struct write *w, struct json *obj)
{
    struct json *meta = meta_object(r->arena, obj);
    static const char *const server_owned[] = {
        "uid",      "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "selfLink", "generation"};
    for (size_t i = 0; i < sizeof server_owned / sizeof *server_owned; i++)
        json_del_str(meta, server_owned[i]);
    generate_name(r, w, obj);
    if (w->res->namespaced)
        meta_set_namespace(r->arena, obj, w->ns);
    meta_set_uid(r->arena, obj, api_uuid(r));
    meta_set_creation_time(r->arena, obj, loop_wall(r->api->loop));
    if (w->res->generation != GENERATION_NONE && w->res->generation != GENERATION_SPEC_FROM_ZERO)
        meta_set_generation(r->arena, obj, 1);
    if (w->res->status_create == STATUS_CLEARED)
        json_del_str(obj, "status");
}

static void copy_member(struct api_request *r, struct json *to, const struct json *from, const char *name)
{
    const struct json *v = json_get_str(from, name);
    if (v)
        json_set_str(r->arena, to, name, json_clone(r->arena, v));
    else
        json_del_str(to, name);
}

/* Copies what stands at a dotted path of from to the same place in to. */
static void copy_path(struct api_request *r, struct json *to, const struct json *from, const char *path)
{
    struct slice head, tail;
    slice_cut(slice_str(path), '.', &head, &tail);
    const char *name = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(head));
    if (!tail.n)
        copy_member(r, to, from, name);
    else if (json_get_str(from, name))
        copy_path(r, json_object_at(r->arena, to, name), json_get_str(from, name), tail.p);
}

static const char *const owned_meta[] = {
    "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"};

/* A write to /status takes nothing but the status, and of metadata only what clients may change. */
static struct json *keep_all_but_status(struct api_request *r, struct write *w, struct json *obj,
                                        const struct json *old)
{
    struct json *kept = json_clone(r->arena, old);
    if (!w->res->status_keeps || !*w->res->status_keeps) {
        copy_member(r, kept, obj, "status");
        return kept;
    }
    for (const char *const *path = w->res->status_keeps; *path; path++) {
        if (!**path) { /* all but status */
            copy_member(r, kept, obj, "status");
            return kept;
        }
        struct json *managers = json_clone(r->arena, json_path(obj, "metadata.managedFields"));
        copy_path(r, obj, old, *path);
        if (strcmp(*path, "metadata") == 0 && managers) /* who owns the status is of this write */
            json_set_str(r->arena, meta_object(r->arena, obj), "managedFields", managers);
    }
    return obj;
}

/* What counts as a change of the desired state (metadata.generation). */
static bool desired_changed(const struct resource *res, const struct json *obj, const struct json *old)
{
    static const char *const parts[] = {"spec", "webhooks", "template"};
    switch (res->generation) {
    case GENERATION_SPEC_OR_ANNOTATIONS:
        if (!json_equal(meta_annotations(obj), meta_annotations(old)))
            return true;
        return !json_equal(json_get_str(obj, "spec"), json_get_str(old, "spec"));
    case GENERATION_SPEC:
    case GENERATION_SPEC_FROM_ZERO:
        return !json_equal(json_get_str(obj, parts[0]), json_get_str(old, parts[0]));
    case GENERATION_WEBHOOKS:
        return !json_equal(json_get_str(obj, parts[1]), json_get_str(old, parts[1]));
    case GENERATION_TEMPLATE:
        return !json_equal(json_get_str(obj, parts[2]), json_get_str(old, parts[2]));
    case GENERATION_CONTENT:
    case GENERATION_CONTENT_OR_LABELS:
        json_each (m, obj)
            if (!slice_eq_str(m->key, "metadata") && !slice_eq_str(m->key, "status") &&
                !json_equal(m, json_get(old, m->key)))
                return true;
        return res->generation == GENERATION_CONTENT_OR_LABELS && !json_equal(meta_labels(obj), meta_labels(old));
    default:
        return false;
    }
}

static struct json *prepare_update(struct api_request *r, struct write *w, struct json *obj, const struct json *old)
{
    if (slice_eq_str(w->sub, "status"))
        obj = keep_all_but_status(r, w, obj, old);
    else if (!w->sub.n && w->res->update_keeps_status && !w->force_finalize && !w->remove)
        copy_member(r, obj, old, "status");
    else if (w->sub.n)
        obj = api_strategy_part(r, w, obj, old);
    struct json *meta = meta_object(r->arena, obj);
    const struct json *old_meta = json_get_str(old, "metadata");
    for (size_t i = 0; i < sizeof owned_meta / sizeof *owned_meta; i++)
        if (!w->remove && !w->force_finalize)
            copy_member(r, meta, old_meta, owned_meta[i]);
    if (!json_get_str(meta, "managedFields"))
        copy_member(r, meta, old_meta, "managedFields");
    if (!slice_eq_str(w->sub, "status") && desired_changed(w->res, obj, old))
        meta_set_generation(r->arena, obj, meta_generation(old) + 1);
    return obj;
}

static const struct json *admission_lookup(void *ctx, const struct resource *res, struct slice ns, struct slice name)
{
    return api_object(ctx, res, ns, name);
}

static void admission_each(void *ctx, const struct resource *res, struct slice ns,
                           void (*each)(void *arg, const struct json *obj), void *arg)
{
    struct api_request *r = ctx;
    struct tree_iter it;
    struct slice prefix = ns.n ? api_key(r, ns, SLICE_NONE) : SLICE_NONE;
    tree_iter_init(&it, store_root(api_table(r->api, res)), prefix);
    for (struct store_item *i; (i = tree_iter_next(&it)) && slice_starts(item_key(i), prefix);)
        each(arg, api_item_json(r->api, r->arena, i));
}

static struct admission admission_of(struct api_request *r, struct write *w, const struct json *old)
{
    return (struct admission){
        .a = r->arena,
        .op = w->deletes ? ADMIT_DELETE
              : old      ? ADMIT_UPDATE
                         : ADMIT_CREATE,
        .res = w->res,
        .sub = w->sub,
        .ns = w->ns,
        .name = w->name,
        .user = &r->user,
        .obj = w->obj,
        .old = old,
        .now = loop_wall(r->api->loop),
        .lookup = admission_lookup,
        .each = admission_each,
        .ctx = r,
    };
}

static void track_fields(struct api_request *r, struct write *w, const struct json *old)
{
    struct apply_request rq = {
        .res = w->res, .sub = w->manager_sub, .manager = r->options.field_manager, .now = loop_wall(r->api->loop)};
    if (!rq.manager.n) { /* without fieldManager: the User-Agent up to its first slash */
        struct slice agent = r->http ? http_request_header(r->http, "user-agent") : SLICE_NONE, rest;
        slice_cut(agent.n ? agent : SLICE("pintle"), '/', &rq.manager, &rest);
        if (rq.manager.n > APPLY_MANAGER_MAX)
            rq.manager.n = APPLY_MANAGER_MAX;
    }
    if (!w->keep_managed_fields)
        apply_track_update(r->arena, &rq, old, w->obj);
}

/* From what compute gave to what may be stored. 0, or an HTTP error with *st set. */
static int prepare(struct api_request *r, struct write *w, struct json *old, struct status *st)
{
    /* What is left out is no change of the desired state: it is there again before the two are compared. */
    if (old && !w->remove && w->res->generation != GENERATION_NONE)
        defaults_apply(r->arena, w->res->type, w->obj, loop_wall(r->api->loop));
    if (old)
        w->obj = prepare_update(r, w, w->obj, old);
    else
        prepare_create(r, w, w->obj);
    if (!old) { /* a creator owns what it gave, not what admission and the kind add (a Job's selector, a Service's address) */
        defaults_apply(r->arena, w->res->type, w->obj, loop_wall(r->api->loop));
        track_fields(r, w, old);
    }
    struct admission ad = admission_of(r, w, old);
    int rv = w->remove ? 0 : api_strategy(r, w, w->obj, old, st);
    if (!rv)
        rv = admission_mutate(&ad, st);
    w->obj = ad.obj ? ad.obj : w->obj;
    if (!rv && !w->remove && defaults_apply(r->arena, w->res->type, w->obj, ad.now))
        rv = status_set(st, r->arena, 413, "the object needs more memory than one request may use");
    if (!rv && old && !w->remove)
        track_fields(r, w, old);
    if (!rv && !w->remove && !w->force_finalize) /* a deletion changes nothing that a client gave */
        rv = old ? validate_update(r->arena, w->res, w->sub, w->obj, old, st)
                 : validate_create(r->arena, w->res, w->obj, st);
    return rv ? rv : admission_validate(&ad, st);
}

/* ---- the transaction ---- */

static void write_try(struct api_request *r);

static void write_done(struct write *w)
{
    item_unref(w->old);
    w->old = NULL;
    buf_done(&w->value);
    buf_done(&w->attrs);
    item_unref(w->also.old);
    buf_done(&w->also.value);
    buf_done(&w->also.attrs);
    w->also = (struct write_also){0};
}

static void answer_item(struct api_request *r, struct write *w, const struct store_item *item, bool created)
{
    if (w->reply)
        w->reply(r, w, item, created);
    else
        api_reply_item(r, created ? 201 : 200, item);
}

static void reply_exists(struct api_request *r, struct write *w)
{
    struct status st;
    status_set_reason(&st, r->arena, 409, "AlreadyExists", "%s%s%s \"%" SLICE_FMT "\" already exists%s", w->res->plural,
                      w->res->group[0] ? "." : "", w->res->group, SLICE_ARG(meta_name(w->obj)),
                      w->generated_name ? ", the server was not able to generate a unique name for the object" : "");
    st.retry_after = w->generated_name ? API_RETRY_SECONDS : 0;
    st.name = arena_copy(r->arena, meta_name(w->obj)).p;
    st.group = w->res->group[0] ? w->res->group : NULL;
    st.kind = w->res->plural;
    api_reply_status(r, &st);
}

static void set_conflict(struct api_request *r, struct write *w, struct status *st, const char *why)
{
    status_set(st, r->arena, 409, "Operation cannot be fulfilled on %s%s%s \"%" SLICE_FMT "\": %s", w->res->plural,
               w->res->group[0] ? "." : "", w->res->group, SLICE_ARG(w->name), why);
    st->name = arena_copy(r->arena, w->name).p;
    st->group = w->res->group[0] ? w->res->group : NULL;
    st->kind = w->res->plural;
}

static const char modified[] =
    "the object has been modified; please apply your changes to the latest version and try again";

static void write_refused(struct api_request *r, struct write *w, int err)
{
    struct status st;
    bool again = w->tries < API_TXN_RETRIES && !w->expected;
    bool taken = err == -EEXIST && !w->generated_name && !w->may_create;
    if (again && !taken && (err == -EEXIST || err == -ESTALE || err == -ENOENT)) {
        write_try(r);
    } else if (err == -EEXIST) {
        reply_exists(r, w);
    } else if (err == -ESTALE) {
        set_conflict(r, w, &st, modified);
        api_reply_status(r, &st);
    } else if (err == -ENOENT) {
        status_not_found(&st, r->arena, slice_str(w->res->group), slice_str(w->res->plural), w->name);
        api_reply_status(r, &st);
    } else {
        api_reply_errno(r, err, "writing");
    }
}

/* The answer to a write that took effect before, when it was asked the first time. */
static void answer_repeated(struct api_request *r, struct write *w, uint64_t revision)
{
    const struct store_event *e = store_event_at(r->api->store, revision);
    struct slice ns, name;
    if (!e) {
        api_reply_errno(r, -ETIMEDOUT, "writing");
        return;
    }
    struct store_item *item = item_ref(e->now);
    if (!slice_cut(item_key(item), '/', &ns, &name))
        name = item_key(item);
    w->name = arena_copy(r->arena, name);
    w->remove = e->deleted;
    answer_item(r, w, item, !e->before);
    item_unref(item);
}

/* A write that another replica passed on before, once all that was acknowledged is here: it took effect, or not yet, or
 * nobody can tell. */
static void write_again(struct api_request *r, int err)
{
    struct write *w = r->state;
    uint64_t revision;
    int rv = err ? 0 : store_request_find(r->api->store, r->write_id, r->write_since, &revision);
    if (err)
        api_reply_errno(r, err, "writing");
    else if (rv == -ENOENT)
        write_try(r);
    else if (rv)
        api_reply_errno(r, -ETIMEDOUT, "writing");
    else
        answer_repeated(r, w, revision);
}

static void on_written(struct replica_txn *t, int err)
{
    struct api_request *r = container_of(t, struct api_request, txn);
    struct write *w = r->state;
    bool created = !w->old;
    write_done(w);
    r->allocates = NULL;
    if (r->gone) {
        r->responder->abort(r);
    } else if (err == -EAGAIN && !r->user.forwarded) { /* nothing was proposed: there is another leader by now */
        api_forward(r);
    } else if (err) {
        api_reply_errno(r, err, "writing");
    } else if (t->result.err) {
        write_refused(r, w, t->result.err);
    } else if (t->result.repeated) {
        answer_repeated(r, w, t->result.revision);
    } else {
        answer_item(r, w, t->result.item, created);
    }
}

/* A transaction that creates in a namespace holds only while the namespace is there. */
static size_t add_namespace_check(struct write *w, struct store_op *op)
{
    if (w->old || !w->res->namespaced)
        return 0;
    *op = (struct store_op){.kind = STORE_CHECK, .table = SLICE("namespaces"), .key = w->ns, .compare = STORE_PRESENT};
    return 1;
}

static const struct resource *storage_of(const struct resource *res)
{
    return res->storage ? res->storage : res;
}

/* The op that changes w->also; false when it is too large. */
static bool add_also(struct api_request *r, struct write *w, struct store_op *op)
{
    struct write_also *also = &w->also;
    *op = (struct store_op){.kind = STORE_PUT, .compare = STORE_AT};
    op->table = store_table_name(api_table(r->api, also->res));
    op->key = item_key(also->old);
    op->mod_revision = also->old->mod_revision;
    if (api_attrs(r->arena, also->res, also->obj, &also->attrs) ||
        api_encode(also->obj, &also->value, &op->hole, &op->type_len) ||
        api_seal(r->api, storage_of(also->res), op->key, &also->value, &op->hole, &op->type_len))
        return false;
    op->value = buf_slice(&also->value);
    op->attrs = buf_slice(&also->attrs);
    return true;
}

/* Encodes what is stored: the object in the version that is stored, whichever was written. */
static int encode_stored(struct api_request *r, struct write *w, struct store_op *op)
{
    const struct resource *res = storage_of(w->res);
    const struct json *obj = res == w->res ? w->obj : object_convert(r->arena, res, json_clone(r->arena, w->obj));
    int rv = obj ? api_encode(obj, &w->value, &op->hole, &op->type_len) : -ENOMEM;
    return rv ? rv : api_seal(r->api, res, op->key, &w->value, &op->hole, &op->type_len);
}

static void propose(struct api_request *r, struct write *w)
{
    struct store_op ops[3];
    struct slice table = store_table_name(api_table(r->api, w->res));
    size_t n = add_namespace_check(w, ops);
    bool fits = !w->also.res || add_also(r, w, &ops[n++]); /* first: the result is the last one's */
    struct store_op *op = &ops[n++];
    *op = (struct store_op){.kind = w->remove ? STORE_DELETE : STORE_PUT, .table = table};
    op->key = api_key(r, w->res->namespaced ? w->ns : SLICE_NONE, meta_name(w->obj));
    op->compare = w->old ? STORE_AT : STORE_ABSENT;
    op->mod_revision = w->old ? w->old->mod_revision : 0;
    op->value = buf_slice(&w->value);
    op->attrs = buf_slice(&w->attrs);
    op->ttl_ms = slice_eq_str(table, "events") ? EVENT_TTL_MS : 0;
    if (!fits || (!w->remove && encode_stored(r, w, op))) {
        write_done(w);
        api_reply_error(r, 413, "the object is larger than the limit of %d bytes", HTTP_BODY_MAX);
        return;
    }
    op->value = buf_slice(&w->value);
    op->attrs = buf_slice(&w->attrs);
    r->txn = (struct replica_txn){.done = on_written};
    struct store_txn txn = {.time_ms = replica_time_ms(r->api->o.replica), .ops = ops, .n = n};
    txn.actor = r->user.name;
    txn.request_id = r->write_id;
    replica_txn(r->api->o.replica, &txn, &r->txn);
}

/* Nothing would change: no write, no event, the same revision. */
static bool unchanged(struct api_request *r, struct write *w, const struct json *old)
{
    if (!old || w->remove || api_seal_outdated(r->api, storage_of(w->res), w->old))
        return false;
    struct json *a = json_clone(r->arena, w->obj), *b = json_clone(r->arena, old);
    json_del_str(json_get_str(a, "metadata"), "resourceVersion");
    json_del_str(json_get_str(b, "metadata"), "resourceVersion");
    return json_equal(a, b);
}

/* What the answer would be: an item that the store never sees, at the revision of what is stored. */
static struct store_item *unstored(struct api_request *r, struct write *w)
{
    uint32_t hole, type_len;
    if (w->remove)
        return item_ref(w->old);
    if (api_encode(w->obj, &w->value, &hole, &type_len))
        return NULL;
    struct slice key = api_key(r, w->res->namespaced ? w->ns : SLICE_NONE, meta_name(w->obj));
    struct blob *value =
        w->old ? item_fill_revision(buf_slice(&w->value), hole, w->old->mod_revision) : blob_copy(buf_slice(&w->value));
    return value ? item_new(key, SLICE_NONE, value, type_len) : NULL;
}

static void answer_dry_run(struct api_request *r, struct write *w)
{
    bool created = !w->old;
    struct store_item *item = unstored(r, w);
    if (created &&
        store_get(api_table(r->api, w->res), api_key(r, w->res->namespaced ? w->ns : SLICE_NONE, meta_name(w->obj)))) {
        write_done(w);
        reply_exists(r, w);
    } else if (!item) {
        write_done(w);
        api_reply_error(r, 413, "the object is larger than the limit of %d bytes", HTTP_BODY_MAX);
    } else if (w->reply_dry) {
        write_done(w);
        w->reply_dry(r, w, w->obj);
    } else {
        write_done(w);
        answer_item(r, w, item, created);
    }
    item_unref(item);
}

/* The last finalizer of an object being deleted is gone, and its time is up: so is the object. Namespaces have finalizers
 * of their own. */
static bool may_vanish(const struct write *w)
{
    bool namespace = !strcmp(w->res->plural, "namespaces");
    if (!meta_is_deleting(w->obj) || (w->sub.n && !slice_eq_str(w->sub, "finalize")))
        return false;
    return !json_len(meta_finalizers(w->obj)) && !(namespace && json_len(json_path(w->obj, "spec.finalizers"))) &&
           json_int(json_path(w->obj, "metadata.deletionGracePeriodSeconds"), 0) == 0;
}

/* From here on the object is as it is stored, whichever version was written; also what lists are selected by. */
static int to_storage(struct api_request *r, struct write *w)
{
    const struct resource *res = storage_of(w->res);
    struct json *obj = res == w->res ? w->obj : object_convert(r->arena, res, json_clone(r->arena, w->obj));
    if (!obj)
        return -ENOMEM;
    w->obj = obj;
    return api_attrs(r->arena, res, obj, &w->attrs);
}

static void add_warning(void *ctx, const char *text)
{
    api_warn(ctx, text);
}

static void write_object(struct api_request *r, struct write *w, struct json *old)
{
    struct status st = {0};
    if (prepare(r, w, old, &st)) {
        write_done(w);
        api_reply_status(r, &st);
        return;
    }
    if (r->http && !w->sub.n && !w->deletes && !w->remove)
        object_warnings(r->arena, w->res, w->obj, old, add_warning, r);
    if (old && may_vanish(w))
        w->remove = true;
    if (w->dry_run) {
        answer_dry_run(r, w);
    } else if (unchanged(r, w, old) && r->write_repeated) {
        write_done(w);
        api_reply_errno(r, -ETIMEDOUT, "writing"); /* an earlier try may come yet, and change it back then */
    } else if (unchanged(r, w, old)) {
        struct store_item *item = item_ref(w->old);
        write_done(w);
        answer_item(r, w, item, false);
        item_unref(item);
    } else if (to_storage(r, w)) {
        write_done(w);
        api_reply_error(r, 413, "the object has more labels than the limit allows");
    } else {
        propose(r, w);
    }
}

static int check_expected(struct api_request *r, struct write *w, const struct json *old, struct status *st)
{
    if (w->expected && w->old && w->old->mod_revision != w->expected)
        set_conflict(r, w, st, modified);
    else if (w->expected_uid.n && old && !slice_eq(meta_uid(old), w->expected_uid))
        set_conflict(r, w, st,
                     arena_printf(r->arena,
                                  "StorageError: invalid object, Code: 4, Key: /registry/%s/%" SLICE_FMT
                                  ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: "
                                  "%" SLICE_FMT ", UID in object meta: %" SLICE_FMT,
                                  w->res->plural, SLICE_ARG(item_key(w->old)), SLICE_ARG(w->expected_uid),
                                  SLICE_ARG(meta_uid(old))));
    else
        return 0;
    return st->code;
}

/* An update or apply of what is not there creates it: for those who may create, too. */
static int check_may_create(struct api_request *r, const struct write *w, struct status *st)
{
    const char *why;
    struct access q = {.verb = SLICE("create"),
                       .group = slice_str(w->res->group),
                       .resource = slice_str(w->res->plural),
                       .ns = w->ns,
                       .name = w->name};
    if (api_access_allowed(r->api, &r->user, &q, &why))
        return 0;
    status_set(st, r->arena, 403,
               "%s%s%s \"%" SLICE_FMT "\" is forbidden: User \"%" SLICE_FMT
               "\" cannot create resource \"%s\" in API group \"%s\"",
               w->res->plural, w->res->group[0] ? "." : "", w->res->group, SLICE_ARG(w->name), SLICE_ARG(r->user.name),
               w->res->plural, w->res->group);
    st->name = arena_copy(r->arena, w->name).p;
    st->group = w->res->group[0] ? w->res->group : NULL;
    st->kind = w->res->plural;
    return st->code;
}

static void write_try(struct api_request *r)
{
    struct write *w = r->state;
    struct status st = {0};
    w->tries++;
    w->remove = w->force_finalize = false;
    buf_init(&w->value, RAFT_COMMAND_MAX);
    buf_init(&w->attrs, 1 << 20);
    buf_init(&w->also.value, RAFT_COMMAND_MAX);
    buf_init(&w->also.attrs, 1 << 20);
    struct slice key = w->name.n ? api_key(r, w->res->namespaced ? w->ns : SLICE_NONE, w->name) : SLICE_NONE;
    w->old = key.n && !w->must_create ? item_ref(store_get(api_table(r->api, w->res), key)) : NULL;
    if (w->old && api_locked(r, w->old)) {
        write_done(w);
        return;
    }
    struct json *old = w->old ? api_item_json(r->api, r->arena, w->old) : NULL;
    if (old && w->res->storage && w->res->storage != w->res)
        old = object_convert(r->arena, w->res, old);
    if (!old && !w->may_create && !w->must_create)
        status_not_found(&st, r->arena, slice_str(w->res->group), slice_str(w->res->plural), w->name);
    else if ((old || w->must_create || !check_may_create(r, w, &st)) && !check_expected(r, w, old, &st))
        w->obj = w->compute(r, w, old, &st);
    if (!st.code && arena_error(r->arena))
        status_set(&st, r->arena, 413, "the request needs more memory than one request may use");
    if (st.code) {
        write_done(w);
        api_reply_status(r, &st);
    } else if (w->obj) {
        write_object(r, w, old);
    } else if (w->old && r->write_repeated && !w->dry_run) {
        write_done(w);
        api_reply_errno(r, -ETIMEDOUT, "writing");
    } else if (w->old) {
        struct store_item *item = item_ref(w->old);
        write_done(w);
        answer_item(r, w, item, false);
        item_unref(item);
    } else {
        write_done(w);
        api_reply_error(r, 500, "the new %s could not be made", w->res->kind);
    }
}

void api_write(struct api_request *r, struct write *w)
{
    r->state = w;
    w->dry_run = r->options.dry_run;
    if (r->write_repeated && !w->dry_run)
        api_barrier(r, write_again);
    else
        write_try(r);
}

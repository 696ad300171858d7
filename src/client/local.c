#include "client/local.h"

#include <stdio.h>

#include "apiserver/seal.h"
#include "base/mem.h"
#include "client/path.h"

struct local_client {
    struct client base;
    struct api *api;
    struct arena arena;
    struct user user;
    struct list calls;
    struct list listings; /* informers that have not told of everything yet; the first is at work */
    struct loop_timer listing;
};

struct local_call {
    struct api_local local; /* first: a cancelled call is freed as its api_local */
    struct list link;
    void (*done)(void *ctx, const struct client_reply *reply);
    void *ctx;
};

static const char patch_content[][48] = {"application/merge-patch+json", "application/json-patch+json",
                                         "application/strategic-merge-patch+json", "application/apply-patch+yaml"};

static void on_done(struct api_local *l, int code, struct slice body)
{
    struct local_call *call = container_of(l, struct local_call, local);
    struct client_reply reply = {.code = code, .body = body};
    list_remove(&call->link);
    call->done(call->ctx, &reply);
    mem_free(call);
}

static struct client_call *local_call(struct client *c, const struct client_request *req,
                                      void (*done)(void *ctx, const struct client_reply *reply), void *ctx)
{
    struct local_client *lc = container_of(c, struct local_client, base);
    struct local_call *call = mem_new(struct local_call);
    struct buf path = BUF_INIT(4096), body = BUF_INIT(8 << 20);
    client_path(&path, req);
    if (req->body)
        json_write(&body, req->body);
    call->local.done = on_done;
    call->done = done;
    call->ctx = ctx;
    list_push(&lc->calls, &call->link);
    api_local_start(lc->api, &call->local, &lc->user, client_method(req->verb), path.p, req->query ? req->query : "",
                    req->verb == CLIENT_PATCH ? patch_content[req->patch] : "application/json", buf_slice(&body));
    buf_done(&path);
    buf_done(&body);
    return (struct client_call *)call;
}

static void local_cancel(struct client *c, struct client_call *handle)
{
    struct local_call *call = (struct local_call *)handle;
    (void)c;
    list_remove(&call->link);
    api_local_cancel(&call->local);
}

/* ---- informers over the replica's own tables ----
 *
 * An informer begins with all there is at one revision: the tree as it was then, which costs nothing to keep. The
 * client's
 * informers tell of theirs one after the other, a piece a turn of the loop, so that a new leader answers clients
 * meanwhile, however large its state is. What happens after that revision waits in the event window. */

enum { OPENED_KEPT = 16, PIECE_OBJECTS = 256, PIECE_BYTES = 256 << 10 };

struct local_informer {
    struct informer base;
    struct list link;         /* the client's listings */
    struct tree_node *listed; /* while it lists: all there was */
    struct tree_iter at;
    struct api *api;
    struct store *store;
    struct store_table *table;
    struct store_watch watch;
    const struct informer_handler *handler;
    void *ctx;
    struct slice prefix; /* namespace, owned */
    /* Sealed objects are opened for the reader: what was handed out last, oldest first overwritten. */
    struct blob *opened[OPENED_KEPT];
    size_t n_opened;
};

/* False when it is sealed and cannot be opened: as if it were not there. */
static bool object_of(struct local_informer *i, const struct store_item *item, struct client_object *ret)
{
    struct slice value = blob_slice(item->value);
    if (api_is_sealed(item)) {
        struct api_plain plain;
        if (api_open(i->api, item, &plain))
            return false;
        struct blob **kept = &i->opened[i->n_opened++ % OPENED_KEPT];
        blob_unref(*kept);
        *kept = plain.value;
        value = blob_slice(plain.value);
    }
    *ret = (struct client_object){item_key(item), value, item->mod_revision};
    return true;
}

static bool wanted(const struct local_informer *i, const struct store_item *item)
{
    return slice_starts(item_key(item), i->prefix);
}

static void tell_event(struct local_informer *i, const struct store_event *e)
{
    struct client_object before, now;
    if (!wanted(i, e->now))
        return;
    bool had = e->before && object_of(i, e->before, &before), has = !e->deleted && object_of(i, e->now, &now);
    if (had || has)
        i->handler->on_change(i->ctx, had ? &before : NULL, has ? &now : NULL);
}

static void list_all(struct local_informer *i)
{
    struct local_client *lc = container_of(i->base.client, struct local_client, base);
    list_push(&lc->listings, &i->link);
    if (!loop_timer_armed(&lc->listing))
        loop_timer_start(api_loop(i->api), &lc->listing, 0);
}

/* From here on, events follow. */
static void begin_listing(struct local_informer *i)
{
    i->listed = tree_ref(store_root(i->table));
    tree_iter_init(&i->at, i->listed, i->prefix);
    i->base.revision = store_revision(i->store);
    store_watch_start(i->store, i->table, i->base.revision, &i->watch);
}

static void end_listing(struct local_informer *i)
{
    list_remove(&i->link);
    tree_unref(i->listed);
    i->listed = NULL;
}

/* Also after the state was replaced as a whole. */
static void on_notify(struct store_watch *w)
{
    struct local_informer *i = container_of(w, struct local_informer, watch);
    const struct store_event *e;
    bool lost = false;
    if (i->listed)
        return; /* looked at when that is done */
    while ((e = store_watch_next(i->store, w, &lost)))
        tell_event(i, e);
    if (lost) {
        store_watch_stop(w);
        list_all(i);
    } else {
        i->base.revision = store_revision(i->store);
    }
}

/* True when it was the last piece. */
static bool tell_piece(struct local_informer *i)
{
    size_t bytes = 0;
    for (int n = 0; n < PIECE_OBJECTS && bytes < PIECE_BYTES; n++) {
        struct store_item *item = tree_iter_next(&i->at);
        struct client_object now;
        if (!item || !wanted(i, item))
            return true;
        bytes += item->value->n;
        if (object_of(i, item, &now))
            i->handler->on_change(i->ctx, NULL, &now);
    }
    return false;
}

static void finish_listing(struct local_informer *i)
{
    bool first = !i->base.synced;
    end_listing(i);
    on_notify(&i->watch);
    if (!list_empty(&i->link))
        return; /* the window has passed it by: once more */
    i->base.synced = true;
    if (first && i->handler->on_synced)
        i->handler->on_synced(i->ctx);
}

static void on_listing(struct loop_timer *t)
{
    struct local_client *lc = container_of(t, struct local_client, listing);
    if (list_empty(&lc->listings))
        return;
    struct local_informer *i = container_of(lc->listings.next, struct local_informer, link);
    loop_timer_start(api_loop(lc->api), &lc->listing, 0);
    if (!i->listed)
        begin_listing(i);
    if (tell_piece(i))
        finish_listing(i);
}

static void informer_local_free(struct informer *base)
{
    struct local_informer *i = container_of(base, struct local_informer, base);
    store_watch_stop(&i->watch);
    end_listing(i);
    for (size_t k = 0; k < OPENED_KEPT; k++)
        blob_unref(i->opened[k]);
    mem_free((char *)i->prefix.p);
    mem_free(i);
}

static bool informer_local_get(const struct informer *base, struct slice key, struct client_object *ret)
{
    struct local_informer *i = container_of((struct informer *)base, struct local_informer, base);
    const struct store_item *item = store_get(i->table, key);
    return item && wanted(i, item) && object_of(i, item, ret);
}

static void informer_local_each(const struct informer *base, struct slice prefix,
                                bool (*each)(void *ctx, const struct client_object *o), void *ctx)
{
    struct local_informer *i = container_of((struct informer *)base, struct local_informer, base);
    struct tree_node *root = tree_ref(store_root(i->table));
    struct tree_iter it;
    bool more = true;
    tree_iter_init(&it, root, prefix.n ? prefix : i->prefix);
    for (struct store_item *item;
         more && (item = tree_iter_next(&it)) && slice_starts(item_key(item), prefix) && wanted(i, item);) {
        struct client_object o;
        if (object_of(i, item, &o))
            more = each(ctx, &o);
    }
    tree_unref(root);
}

static size_t informer_local_count(const struct informer *base)
{
    const struct local_informer *i = container_of(base, struct local_informer, base);
    return tree_count(store_root(i->table));
}

static const struct informer_ops local_informer_ops = {informer_local_free, informer_local_get, informer_local_each,
                                                       informer_local_count};

static struct informer *local_informer_new(struct client *c, const struct informer_options *o,
                                           const struct informer_handler *h, void *ctx)
{
    struct local_client *lc = container_of(c, struct local_client, base);
    struct local_informer *i = mem_new(struct local_informer);
    char name[256];
    const struct resource *res = o->res->storage ? o->res->storage : o->res;
    int n = snprintf(name, sizeof name, "%s%s%s", res->group, res->group[0] ? "/" : "", res->plural);
    i->base = (struct informer){.ops = &local_informer_ops, .client = c};
    i->api = lc->api;
    i->store = replica_store(api_replica(lc->api));
    i->table = store_table(i->store, slice_of(name, (size_t)n));
    i->watch.notify = on_notify;
    i->handler = h;
    i->ctx = ctx;
    if (o->ns) {
        char prefix[256];
        n = snprintf(prefix, sizeof prefix, "%s/", o->ns);
        i->prefix = slice_of(mem_strndup(prefix, (size_t)n), (size_t)n);
    }
    list_init(&i->link);
    list_init(&i->watch.link);
    list_all(i);
    return &i->base;
}

static const struct client_ops local_ops = {local_call, local_cancel, local_informer_new};

struct client *client_local_new(struct api *api, const char *user)
{
    struct local_client *lc = mem_new(struct local_client);
    lc->base = (struct client){&local_ops, api_loop(api)};
    lc->api = api;
    list_init(&lc->calls);
    list_init(&lc->listings);
    lc->listing.cb = on_listing;
    arena_init(&lc->arena, 1 << 16);
    user_set_superuser(&lc->user, &lc->arena);
    lc->user.name = arena_copy(&lc->arena, slice_str(user));
    return &lc->base;
}

void client_local_free(struct client *c)
{
    if (!c)
        return;
    struct local_client *lc = container_of(c, struct local_client, base);
    list_each (node, &lc->calls)
        local_cancel(c, (struct client_call *)container_of(node, struct local_call, link));
    loop_timer_stop(api_loop(lc->api), &lc->listing);
    arena_done(&lc->arena);
    mem_free(lc);
}

#include "client/client.h"

struct client_call *client_do(struct client *c, const struct client_request *req,
                              void (*done)(void *ctx, const struct client_reply *reply), void *ctx)
{
    return c->ops->call(c, req, done, ctx);
}

void client_cancel(struct client *c, struct client_call *call)
{
    c->ops->cancel(c, call);
}

struct loop *client_loop(const struct client *c)
{
    return c->loop;
}

struct informer *informer_new(struct client *c, const struct informer_options *o, const struct informer_handler *h,
                              void *ctx)
{
    return c->ops->informer_new(c, o, h, ctx);
}

void informer_free(struct informer *i)
{
    if (i)
        i->ops->free(i);
}

bool informer_synced(const struct informer *i)
{
    return i->synced;
}

bool informer_get(const struct informer *i, struct slice key, struct client_object *ret)
{
    return i->ops->get(i, key, ret);
}

void informer_each(const struct informer *i, struct slice prefix,
                   bool (*each)(void *ctx, const struct client_object *o), void *ctx)
{
    i->ops->each(i, prefix, each, ctx);
}

size_t informer_count(const struct informer *i)
{
    return i->ops->count(i);
}

uint64_t informer_revision(const struct informer *i)
{
    return i->revision;
}

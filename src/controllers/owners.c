#include "controllers/owners.h"

#include <stdio.h>

#include "base/mem.h"
#include "object/meta.h"

enum { ID_MAX = 2048 };

void owners_init(struct owners *o)
{
    map_init(&o->by_uid, 0);
}

void owners_done(struct owners *o)
{
    for (struct map_entry *e = map_first(&o->by_uid); e; e = map_next(&o->by_uid, e)) {
        map_done(e->value);
        mem_free(e->value);
    }
    map_done(&o->by_uid);
}

static void add(struct owners *o, struct slice uid, struct slice id, const struct resource *res)
{
    struct map *dependents = map_get(&o->by_uid, uid);
    if (!dependents) {
        dependents = mem_new(struct map);
        map_init(dependents, 0);
        map_put(&o->by_uid, uid, dependents);
    }
    map_put(dependents, id, (void *)(uintptr_t)res);
}

static void drop(struct owners *o, struct slice uid, struct slice id)
{
    struct map *dependents = map_get(&o->by_uid, uid);
    if (!dependents)
        return;
    map_del(dependents, id);
    if (dependents->n)
        return;
    map_del(&o->by_uid, uid);
    map_done(dependents);
    mem_free(dependents);
}

void owners_update(struct owners *o, const struct resource *res, struct slice key, const struct json *before,
                   const struct json *now)
{
    char text[ID_MAX];
    int n = snprintf(text, sizeof text, "%s|%s|%" SLICE_FMT, res->group, res->plural, SLICE_ARG(key));
    struct slice id = slice_of(text, n < ID_MAX ? (size_t)n : ID_MAX - 1);
    json_each (owner, meta_owners(before))
        drop(o, json_path_string(owner, "uid"), id);
    json_each (owner, meta_owners(now))
        add(o, json_path_string(owner, "uid"), id, res);
}

void owners_each(const struct owners *o, struct slice uid, void (*each)(void *ctx, struct slice id), void *ctx)
{
    const struct map *dependents = map_get(&o->by_uid, uid);
    if (!dependents)
        return;
    for (struct map_entry *e = map_first(dependents); e; e = map_next(dependents, e))
        each(ctx, e->key);
}

/* ConfigMaps and Secrets for the agent, shared for a short while. */
#include <errno.h>
#include <stdio.h>

#include "agent/volumes/fetch.h"
#include "base/mem.h"

/* Somebody who waits; told in a turn of its own. */
struct volume_wait {
    struct list link;
    void (*done)(void *ctx, int err, const struct json *obj);
    void *ctx;
};

struct volume_fetch {
    struct volumes *owner;
    char key[VOLUME_PATH_MAX];
    struct buf json; /* empty = does not exist */
    int err;
    uint64_t until; /* loop_now; the answer is good so long */
    struct client_call *call;
    struct list waits;
    struct loop_timer timer;
};

static void fetch_free(struct volume_fetch *f)
{
    map_del(&f->owner->fetches, slice_str(f->key));
    loop_timer_stop(f->owner->agent->loop, &f->timer);
    if (f->call)
        client_cancel(f->owner->agent->client, f->call);
    list_each (it, &f->waits)
        mem_free(container_of(it, struct volume_wait, link));
    buf_done(&f->json);
    mem_free(f);
}

/* Tells those who wait; with nobody waiting, the answer's time is over. */
static void fetch_tick(struct loop_timer *t)
{
    struct volume_fetch *f = container_of(t, struct volume_fetch, timer);
    struct loop *l = f->owner->agent->loop;
    struct list waits;
    struct arena a;
    if (list_empty(&f->waits)) {
        fetch_free(f);
        return;
    }
    arena_init(&a, VOLUME_ARENA_MAX);
    const struct json *obj = !f->err && f->json.n ? json_parse(&a, buf_slice(&f->json), NULL, NULL, NULL) : NULL;
    int err = f->err ? f->err : f->json.n && !obj ? -EPROTO : 0;
    uint64_t now = loop_now(l);
    loop_timer_start(l, t, f->until > now && !err ? (f->until - now) / 1000000 + 1 : 0);
    list_init(&waits);
    while (!list_empty(&f->waits))
        list_push(&waits, list_pop(&f->waits));
    while (!list_empty(&waits)) {
        struct volume_wait *w = container_of(list_pop(&waits), struct volume_wait, link);
        w->done(w->ctx, err, obj);
        mem_free(w);
    }
    arena_done(&a);
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct volume_fetch *f = ctx;
    struct loop *l = f->owner->agent->loop;
    f->call = NULL;
    f->err = reply->err;
    if (!reply->err && reply->code == 200)
        f->err = buf_add_slice(&f->json, reply->body);
    else if (!reply->err && reply->code != 404)
        f->err = reply->code == 403 ? -EACCES : -EIO;
    f->until = loop_now(l) + (f->json.n ? VOLUME_FETCH_KEEP_MS : VOLUME_FETCH_ABSENT_MS) * 1000000ULL;
    loop_timer_start(l, &f->timer, 0);
}

static struct volume_fetch *fetch_start(struct volumes *v, const char *plural, struct slice ns, struct slice name,
                                        const char *key)
{
    struct volume_fetch *f = mem_new(struct volume_fetch);
    f->owner = v;
    f->timer.cb = fetch_tick;
    list_init(&f->waits);
    buf_init(&f->json, VOLUME_OBJECT_MAX);
    snprintf(f->key, sizeof f->key, "%s", key);
    map_put(&v->fetches, slice_str(key), f);
    f->call =
        client_do(v->agent->client,
                  &(struct client_request){.verb = CLIENT_GET, .ns = ns, .name = name, .res = resource_core(plural)},
                  on_reply, f);
    return f;
}

void volumes_fetch(struct volumes *v, const char *plural, struct slice ns, struct slice name,
                   void (*done)(void *ctx, int err, const struct json *obj), void *ctx)
{
    char key[VOLUME_PATH_MAX];
    struct loop *l = v->agent->loop;
    struct volume_wait *w = mem_new(struct volume_wait);
    snprintf(key, sizeof key, "%s/%" SLICE_FMT "/%" SLICE_FMT, plural, SLICE_ARG(ns), SLICE_ARG(name));
    struct volume_fetch *f = map_get(&v->fetches, slice_str(key));
    if (f && !f->call && list_empty(&f->waits) && (f->err || f->until <= loop_now(l))) {
        fetch_free(f);
        f = NULL;
    }
    if (!f)
        f = fetch_start(v, plural, ns, name, key);
    w->done = done;
    w->ctx = ctx;
    list_push(&f->waits, &w->link);
    if (!f->call)
        loop_timer_start(l, &f->timer, 0);
}

void volumes_fetch_forget(struct volumes *v)
{
    for (struct map_entry *e = map_first(&v->fetches); e; e = map_next(&v->fetches, e))
        fetch_free(e->value);
    map_done(&v->fetches);
}

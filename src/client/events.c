#include "client/events.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "object/meta.h"

struct seen {
    uint64_t hash;
    char name[280];
    int64_t count;
};

struct events {
    struct client *client;
    char *component, *host;
    struct seen ring[EVENTS_REMEMBERED];
    size_t next;
    struct map by_hash; /* hash → struct seen */
    struct map buckets; /* object uid → struct bucket */
    struct list calls;
};

struct bucket {
    double tokens;
    uint64_t at;
};

struct event_call {
    struct list link;
    struct events *owner;
    struct client_call *call;
    uint64_t hash; /* of the event that is counted up, 0 = of none */
};

enum { BUCKETS_MAX = 8192 };

struct events *events_new(struct client *c, const char *component, const char *host)
{
    struct events *e = mem_new(struct events);
    e->client = c;
    e->component = mem_strndup(component, strlen(component));
    e->host = mem_strndup(host, strlen(host));
    map_init(&e->by_hash, 0);
    map_init(&e->buckets, 0);
    list_init(&e->calls);
    return e;
}

static void buckets_clear(struct events *e)
{
    for (struct map_entry *b = map_first(&e->buckets); b; b = map_next(&e->buckets, b))
        mem_free(b->value);
    map_done(&e->buckets);
}

void events_free(struct events *e)
{
    if (!e)
        return;
    list_each (node, &e->calls) {
        struct event_call *call = container_of(node, struct event_call, link);
        client_cancel(e->client, call->call);
        mem_free(call);
    }
    map_done(&e->by_hash);
    buckets_clear(e);
    mem_free(e->component);
    mem_free(e->host);
    mem_free(e);
}

static bool take_token(struct events *e, struct slice uid)
{
    uint64_t now = loop_now(e->client->loop);
    struct bucket *b = map_get(&e->buckets, uid);
    if (!b) {
        if (e->buckets.n >= BUCKETS_MAX)
            buckets_clear(e);
        b = mem_new(struct bucket);
        *b = (struct bucket){EVENTS_BURST, now};
        map_put(&e->buckets, uid, b);
    }
    b->tokens += (double)(now - b->at) / 1e9 / EVENTS_REFILL_S;
    b->at = now;
    if (b->tokens > EVENTS_BURST)
        b->tokens = EVENTS_BURST;
    if (b->tokens < 1)
        return false;
    b->tokens--;
    return true;
}

static struct seen *find_seen(struct events *e, uint64_t hash)
{
    return map_get(&e->by_hash, slice_of(&hash, sizeof hash));
}

static struct seen *remember(struct events *e, uint64_t hash)
{
    struct seen *s = &e->ring[e->next++ % EVENTS_REMEMBERED];
    if (s->hash)
        map_del(&e->by_hash, slice_of(&s->hash, sizeof s->hash));
    *s = (struct seen){.hash = hash};
    map_put(&e->by_hash, slice_of(&hash, sizeof hash), s);
    return s;
}

static void on_done(void *ctx, const struct client_reply *reply)
{
    struct event_call *call = ctx;
    struct seen *s = call->hash && reply->code == 404 ? find_seen(call->owner, call->hash) : NULL;
    if (s) { /* it has expired meanwhile: the next one is made anew */
        map_del(&call->owner->by_hash, slice_of(&s->hash, sizeof s->hash));
        s->hash = 0;
    }
    list_remove(&call->link);
    mem_free(call);
}

static void send(struct events *e, uint64_t hash, const struct client_request *req)
{
    struct event_call *call = mem_new(struct event_call);
    call->owner = e;
    call->hash = hash;
    list_push(&e->calls, &call->link);
    call->call = client_do(e->client, req, on_done, call);
}

static struct json *involved(struct arena *a, const struct json *obj, const char *field)
{
    struct json *v = json_new_object(a);
    json_set_str(a, v, "kind", json_new_string(a, meta_kind(obj)));
    if (meta_namespace(obj).n)
        json_set_str(a, v, "namespace", json_new_string(a, meta_namespace(obj)));
    json_set_str(a, v, "name", json_new_string(a, meta_name(obj)));
    json_set_str(a, v, "uid", json_new_string(a, meta_uid(obj)));
    json_set_str(a, v, "apiVersion", json_new_string(a, meta_api_version(obj)));
    json_set_str(a, v, "resourceVersion", json_new_string(a, meta_resource_version(obj)));
    if (field)
        json_set_str(a, v, "fieldPath", json_new_str(a, field));
    return v;
}

static void create_event(struct events *e, struct arena *a, struct seen *s, const struct json *obj, struct json *event)
{
    struct slice ns = meta_namespace(obj);
    snprintf(s->name, sizeof s->name, "%.*s.%016lx", meta_name(obj).n > 230 ? 230 : (int)meta_name(obj).n,
             meta_name(obj).p, s->hash ^ loop_random_below(e->client->loop, UINT64_MAX));
    s->count = 1;
    struct json *meta = json_new_object(a);
    json_set_str(a, meta, "name", json_new_str(a, s->name));
    json_set_str(a, meta, "namespace", json_new_string(a, ns.n ? ns : SLICE("default")));
    json_set_first(a, event, "metadata", meta);
    send(e, 0,
         &(struct client_request){
             .verb = CLIENT_CREATE, .res = resource_core("events"), .ns = ns.n ? ns : SLICE("default"), .body = event});
}

void events_record(struct events *e, const struct json *obj, const char *component, const char *field, const char *type,
                   const char *reason, const char *message)
{
    char now[TIME_SEC_LEN + 1];
    struct arena a;
    uint64_t hash = hash64(slice_str(field ? field : ""), hash64(meta_uid(obj), 7));
    hash = hash64(slice_str(message), hash64(slice_str(reason), hash));
    struct seen *s = find_seen(e, hash);
    struct slice ns = meta_namespace(obj);
    if (!take_token(e, meta_uid(obj)))
        return;
    time_format_sec(loop_wall(e->client->loop), now);
    arena_init(&a, 1 << 20);
    struct json *event = json_new_object(&a), *source = json_new_object(&a);
    json_set_str(&a, event, "lastTimestamp", json_new_str(&a, now));
    if (s) {
        json_set_str(&a, event, "count", json_new_int(&a, ++s->count));
        send(e, hash,
             &(struct client_request){.verb = CLIENT_PATCH,
                                      .res = resource_core("events"),
                                      .ns = ns.n ? ns : SLICE("default"),
                                      .name = slice_str(s->name),
                                      .patch = CLIENT_MERGE_PATCH,
                                      .body = event});
        arena_done(&a);
        return;
    }
    json_set_str(&a, source, "component", json_new_str(&a, component ? component : e->component));
    if (e->host[0])
        json_set_str(&a, source, "host", json_new_str(&a, e->host));
    json_set_str(&a, event, "involvedObject", involved(&a, obj, field));
    json_set_str(&a, event, "reason", json_new_str(&a, reason));
    json_set_str(&a, event, "message", json_new_str(&a, message));
    json_set_str(&a, event, "source", source);
    json_set_str(&a, event, "firstTimestamp", json_new_str(&a, now));
    json_set_str(&a, event, "count", json_new_int(&a, 1));
    json_set_str(&a, event, "type", json_new_str(&a, type));
    json_set_str(&a, event, "reportingComponent", json_new_str(&a, component ? component : e->component));
    json_set_str(&a, event, "reportingInstance", json_new_str(&a, e->host));
    create_event(e, &a, remember(e, hash), obj, event);
    arena_done(&a);
}

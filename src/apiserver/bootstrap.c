/* The objects every cluster starts with: namespaces, RBAC, priority classes, the kubernetes Service. Each new leader looks
 * for them one after the other and creates what is missing. */
#include <stdio.h>

#include "apiserver/internal.h"
#include "base/mem.h"
#include "object/meta.h"

enum { BOOTSTRAP_RETRY_MS = 500 };

struct api_bootstrap {
    struct api *api;
    struct loop_timer timer;
    struct api_local local;
    size_t next;
    bool running, calling;
};

static size_t total(void)
{
    return bootstrap_n_objects + bootstrap_n_rbac;
}

static struct slice object_text(size_t i)
{
    return i < bootstrap_n_objects ? bootstrap_objects[i] : bootstrap_rbac[i - bootstrap_n_objects];
}

static void step(struct api_bootstrap *b);

static void on_created(struct api_local *l, int code, struct slice body)
{
    struct api_bootstrap *b = container_of(l, struct api_bootstrap, local);
    b->calling = false;
    if (!b->running)
        return;
    if (code == 201 || code == 409) {
        b->next++;
        step(b);
        return;
    }
    if (code >= 400 && code < 500)
        log_error(loop_log(b->api->loop), "bootstrap", "object refused number=%zu code=%d answer=%" SLICE_FMT, b->next, code,
                  SLICE_ARG(body));
    if (code == 400 || code == 422 || code == 404)
        b->next++; /* a fault of ours: the others still count */
    loop_timer_start(b->api->loop, &b->timer, BOOTSTRAP_RETRY_MS);
}

static bool exists(struct api_bootstrap *b, const struct resource *res, const struct json *obj)
{
    char key[1024];
    struct slice ns = meta_namespace(obj), name = meta_name(obj);
    int n = snprintf(key, sizeof key, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(ns), ns.n ? "/" : "", SLICE_ARG(name));
    return store_get(api_table(b->api, res), slice_of(key, (size_t)n)) != NULL;
}

static void create(struct api_bootstrap *b, const struct resource *res, const struct json *obj, struct slice text)
{
    char path[512];
    struct slice ns = meta_namespace(obj);
    struct user user = {0};
    struct arena scratch;
    arena_init(&scratch, 1 << 16);
    user_set_superuser(&user, &scratch);
    snprintf(path, sizeof path, "/%s%s/%s%s%" SLICE_FMT "/%s", res->group[0] ? "apis/" : "api", res->group, res->version,
             ns.n ? "/namespaces/" : "", SLICE_ARG(ns), res->plural);
    b->local.done = on_created;
    b->calling = true;
    api_local_start(b->api, &b->local, &user, "POST", path, "fieldManager=pintle-bootstrap", "application/json", text);
    arena_done(&scratch);
}

/* Creates the next object that is not there. */
static void step(struct api_bootstrap *b)
{
    bool asked = false;
    for (; b->next < total() && !asked; b->next += !asked) {
        struct arena a;
        struct json_error err;
        arena_init(&a, 4 << 20);
        struct json *obj = json_parse(&a, object_text(b->next), &err, NULL, NULL);
        const struct resource *res = obj ? resource_by_api_version(meta_api_version(obj), meta_kind(obj)) : NULL;
        if (res && !exists(b, res, obj)) {
            create(b, res, obj, object_text(b->next));
            asked = true;
        }
        arena_done(&a);
    }
    if (b->next == total() && !asked)
        log_info(loop_log(b->api->loop), "bootstrap", "all objects are there n=%zu", total());
}

static void on_timer(struct loop_timer *t)
{
    struct api_bootstrap *b = container_of(t, struct api_bootstrap, timer);
    if (b->running && !b->calling)
        step(b);
}

struct api_bootstrap *api_bootstrap_new(struct api *api)
{
    struct api_bootstrap *b = mem_new(struct api_bootstrap);
    b->api = api;
    b->timer.cb = on_timer;
    return b;
}

void api_bootstrap_start(struct api_bootstrap *b)
{
    if (b->running)
        return;
    b->running = true;
    b->next = 0;
    loop_timer_start(b->api->loop, &b->timer, 0);
}

void api_bootstrap_stop(struct api_bootstrap *b)
{
    b->running = false;
    loop_timer_stop(b->api->loop, &b->timer);
}

void api_bootstrap_free(struct api_bootstrap *b)
{
    if (!b)
        return;
    api_bootstrap_stop(b);
    mem_free(b);
}

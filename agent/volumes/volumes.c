/* One round for a pod: fetch what is missing, one after the other; then plan; then run the plan; then say so. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/volumes/fetch.h"
#include "agent/volumes/subpath.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "object/meta.h"

enum { TOKEN_RENEW_PERCENT = 80 };

/* A plan on the pool, or a removal; outlives its pod. */
struct plan_work {
    struct loop_work work;
    struct list link;
    struct volumes *owner;  /* NULL when the owner ended */
    struct volume_pod *pod; /* NULL when the pod was removed */
    struct volume_plan plan;
    /* removal */
    void (*removed)(void *ctx, int err, const char *message);
    void *ctx;
};

/* A fetch under way for a pod that may be removed meanwhile. */
struct pod_wait {
    struct list link;
    struct volume_pod *pod; /* NULL when it was removed */
    char key[VOLUME_PATH_MAX];
};

static void advance(struct volume_pod *v);
static void round_begin(struct volume_pod *p);

static void finish(struct volume_pod *v, int err, const char *message)
{
    void (*done)(void *, int, const char *) = v->done;
    v->busy = false;
    v->done = NULL;
    v->prepared = v->prepared || !err;
    if (err && !done)
        log_warn(loop_log(v->owner->agent->loop), "volumes", "refresh failed pod=%s why=\"%s\"", v->uid, message);
    if (done)
        done(v->ctx, err, message);
}

/* ---- what was fetched ---- */

static void forget_objects(struct volume_pod *v)
{
    for (struct map_entry *e = map_first(&v->objects); e; e = map_next(&v->objects, e)) {
        buf_done(e->value);
        mem_free(e->value);
    }
    map_done(&v->objects);
    map_init(&v->objects, 0);
}

static struct slice object_key(char out[VOLUME_PATH_MAX], const char *plural, struct slice name)
{
    snprintf(out, VOLUME_PATH_MAX, "%s/%" SLICE_FMT, plural, SLICE_ARG(name));
    return slice_str(out);
}

const struct json *volume_object(struct volume_pod *v, struct arena *a, const char *plural, struct slice name)
{
    char key[VOLUME_PATH_MAX];
    const struct buf *b = map_get(&v->objects, object_key(key, plural, name));
    return b && b->n ? json_parse(a, buf_slice(b), NULL, NULL, NULL) : NULL;
}

static void keep_object(struct volume_pod *v, const char *key, const struct json *obj)
{
    struct buf *b = mem_new(struct buf);
    buf_init(b, VOLUME_OBJECT_MAX);
    if (obj)
        json_write(b, obj);
    struct buf *old = map_put(&v->objects, slice_str(key), b);
    if (old) {
        buf_done(old);
        mem_free(old);
    }
}

static void on_object(void *ctx, int err, const struct json *obj)
{
    struct pod_wait *w = ctx;
    struct volume_pod *v = w->pod;
    list_remove(&w->link);
    if (v && err) {
        char message[VOLUME_MESSAGE_MAX];
        snprintf(message, sizeof message, "failed to fetch %.300s: %s", w->key, strerror(-err));
        finish(v, err, message);
    } else if (v) {
        keep_object(v, w->key, obj);
        advance(v);
    }
    mem_free(w);
}

static bool fetch_object(struct volume_pod *v, const char *plural, struct slice name)
{
    char key[VOLUME_PATH_MAX];
    if (!name.n || map_get(&v->objects, object_key(key, plural, name)))
        return false;
    struct pod_wait *w = mem_new(struct pod_wait);
    w->pod = v;
    memcpy(w->key, key, sizeof key);
    list_push(&v->owner->waits, &w->link);
    volumes_fetch(v->owner, plural, meta_namespace(v->obj), name, on_object, w);
    return true;
}

/* ---- tokens ---- */

static void keep_token(struct volume_pod *v, const struct json *reply)
{
    struct slice text = json_path_string(reply, "status.token");
    int64_t wall = loop_wall(v->owner->agent->loop), until = wall + VOLUME_TOKEN_S * NS_PER_SEC;
    struct volume_token *t = map_get(&v->tokens, slice_str(v->token_key));
    if (!t) {
        t = mem_new(struct volume_token);
        buf_init(&t->text, 64 << 10);
        map_put(&v->tokens, slice_str(v->token_key), t);
    }
    time_parse(json_path_string(reply, "status.expirationTimestamp"), &until);
    buf_clear(&t->text);
    buf_add_slice(&t->text, text);
    t->renew_at = wall + (until - wall) / 100 * TOKEN_RENEW_PERCENT;
}

static void on_token(void *ctx, const struct client_reply *reply)
{
    struct volume_pod *v = ctx;
    struct arena a;
    v->token_call = NULL;
    arena_init(&a, VOLUME_ARENA_MAX);
    struct json *obj = reply->err ? NULL : json_parse(&a, reply->body, NULL, NULL, NULL);
    if (obj && reply->code < 300) {
        keep_token(v, obj);
        advance(v);
    } else {
        char message[VOLUME_MESSAGE_MAX];
        struct slice why = obj ? json_path_string(obj, "message") : slice_str(strerror(-reply->err));
        snprintf(message, sizeof message, "failed to fetch token: %" SLICE_FMT, SLICE_ARG(why));
        finish(v, reply->err ? reply->err : -EIO, message);
    }
    arena_done(&a);
}

static struct json *token_request(struct volume_pod *v, struct arena *a, const struct json *source)
{
    struct json *body = json_new_object(a), *spec = json_new_object(a), *bound = json_new_object(a);
    struct slice audience = json_path_string(source, "audience");
    json_set_str(a, bound, "kind", json_new_str(a, "Pod"));
    json_set_str(a, bound, "apiVersion", json_new_str(a, "v1"));
    json_set_str(a, bound, "name", json_new_string(a, meta_name(v->obj)));
    json_set_str(a, bound, "uid", json_new_string(a, meta_uid(v->obj)));
    if (audience.n) {
        struct json *list = json_new_array(a);
        json_append(list, json_new_string(a, audience));
        json_set_str(a, spec, "audiences", list);
    }
    json_set_str(a, spec, "expirationSeconds",
                 json_new_int(a, json_int(json_get_str(source, "expirationSeconds"), VOLUME_TOKEN_S)));
    json_set_str(a, spec, "boundObjectRef", bound);
    json_set_str(a, body, "apiVersion", json_new_str(a, "authentication.k8s.io/v1"));
    json_set_str(a, body, "kind", json_new_str(a, "TokenRequest"));
    json_set_str(a, body, "spec", spec);
    return body;
}

static bool fetch_token(struct volume_pod *v, struct slice volume, const struct json *source)
{
    struct slice path = json_path_string(source, "path"), account = json_path_string(v->obj, "spec.serviceAccountName");
    struct arena a;
    if (!source)
        return false;
    snprintf(v->token_key, sizeof v->token_key, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(volume), SLICE_ARG(path));
    const struct volume_token *t = map_get(&v->tokens, slice_str(v->token_key));
    if (t && t->renew_at > loop_wall(v->owner->agent->loop))
        return false;
    arena_init(&a, VOLUME_ARENA_MAX);
    v->token_call = client_do(v->owner->agent->client,
                              &(struct client_request){.verb = CLIENT_CREATE,
                                                       .sub = "token",
                                                       .ns = meta_namespace(v->obj),
                                                       .name = account.n ? account : SLICE("default"),
                                                       .res = resource_core("serviceaccounts"),
                                                       .body = token_request(v, &a, source)},
                              on_token, v);
    arena_done(&a);
    return true;
}

static void forget_tokens(struct volume_pod *v)
{
    for (struct map_entry *e = map_first(&v->tokens); e; e = map_next(&v->tokens, e)) {
        struct volume_token *t = e->value;
        buf_done(&t->text);
        mem_free(t);
    }
    map_done(&v->tokens);
}

/* Begins the next fetch; false when nothing is missing. */
static bool fetch_next(struct volume_pod *v)
{
    json_each (volume, json_path(v->obj, "spec.volumes")) {
        if (fetch_object(v, "configmaps", json_path_string(volume, "configMap.name")) ||
            fetch_object(v, "secrets", json_path_string(volume, "secret.secretName")))
            return true;
        json_each (s, json_path(volume, "projected.sources"))
            if (fetch_object(v, "configmaps", json_path_string(s, "configMap.name")) ||
                fetch_object(v, "secrets", json_path_string(s, "secret.name")) ||
                fetch_token(v, json_path_string(volume, "name"), json_get_str(s, "serviceAccountToken")))
                return true;
    }
    return false;
}

/* ---- the plan ---- */

const char *volume_path(struct volume_pod *v, struct arena *a, struct slice volume)
{
    return arena_printf(a, "%s/pods/%s/volumes/%" SLICE_FMT, v->owner->agent->o.data_dir, v->uid, SLICE_ARG(volume));
}

/* A volume of one source is a projected one with one part. */
static int add_single(struct volume_pod *v, struct volume_plan *p, struct slice name, const struct json *volume)
{
    const struct json *map = json_get_str(volume, "configMap"), *secret = json_get_str(volume, "secret");
    const struct json *downward = json_get_str(volume, "downwardAPI"), *source = map ? map : secret ? secret : downward;
    unsigned mode = (unsigned)json_int(json_get_str(source, "defaultMode"), VOLUME_MODE_DEFAULT);
    if (!source)
        return plan_fail(p, -EOPNOTSUPP, "volume \"%" SLICE_FMT "\" is of a kind that this agent does not have",
                         SLICE_ARG(name));
    struct volume_item *i = plan_item(p, VOLUME_FILES, name, volume_path(v, &p->arena, name));
    if (!i)
        return -ENOMEM;
    if (map)
        return volume_add_keys(v, p, i, "configmaps", json_path_string(map, "name"), map, mode);
    if (secret)
        return volume_add_keys(v, p, i, "secrets", json_path_string(secret, "secretName"), secret, mode);
    return volume_add_downward(v, p, i, downward, mode);
}

static int add_volume(struct volume_pod *v, struct volume_plan *p, const struct json *volume)
{
    static const struct {
        const char *source;
        int (*add)(struct volume_pod *, struct volume_plan *, struct slice, const struct json *);
    } rows[] = {{"emptyDir", volume_empty_dir}, {"hostPath", volume_host_path_plan}, {"projected", volume_projected}};
    struct slice name = json_path_string(volume, "name");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct json *source = json_get_str(volume, rows[i].source);
        if (source)
            return rows[i].add(v, p, name, source);
    }
    return add_single(v, p, name, volume);
}

static void make_plan(struct volume_pod *v, struct volume_plan *p)
{
    arena_init(&p->arena, VOLUME_ARENA_MAX);
    p->items_end = &p->items;
    p->dir = arena_printf(&p->arena, "%s/pods/%s/volumes", v->owner->agent->o.data_dir, v->uid);
    p->fs_group = json_int(json_path(v->obj, "spec.securityContext.fsGroup"), -1);
    p->mounts = v->owner->mounts;
    p->stamp = v->owner->stamps++;
    json_each (volume, json_path(v->obj, "spec.volumes"))
        if (!p->err && add_volume(v, p, volume) && !p->err)
            plan_fail(p, -EINVAL, "volumes cannot be prepared");
    if (arena_error(&p->arena) && !p->err)
        plan_fail(p, arena_error(&p->arena), "volumes have too much content");
}

static void work_free(struct plan_work *w)
{
    list_remove(&w->link);
    arena_done(&w->plan.arena);
    mem_free(w);
}

static struct plan_work *work_new(struct volumes *v, void (*run)(struct loop_work *), void (*done)(struct loop_work *))
{
    struct plan_work *w = mem_new(struct plan_work);
    w->owner = v;
    w->work.run = run;
    w->work.done = done;
    list_push(&v->works, &w->link);
    return w;
}

static void on_run(struct loop_work *work)
{
    struct plan_work *w = container_of(work, struct plan_work, work);
    if (!w->plan.err)
        plan_run(&w->plan);
}

static void on_ran(struct loop_work *work)
{
    struct plan_work *w = container_of(work, struct plan_work, work);
    struct volume_pod *v = w->owner ? w->pod : NULL;
    if (v) {
        v->work = NULL;
        if (v->again) /* the pod changed meanwhile */
            round_begin(v);
        else
            finish(v, w->plan.err, w->plan.message);
    }
    work_free(w);
}

static void advance(struct volume_pod *v)
{
    if (fetch_next(v))
        return;
    struct plan_work *w = work_new(v->owner, on_run, on_ran);
    w->pod = v;
    v->work = w;
    make_plan(v, &w->plan);
    forget_objects(v);
    loop_work_queue(v->owner->agent->loop, LOOP_LANE_MISC, &w->work);
}

/* ---- pods ---- */

static void take_pod(struct volume_pod *v, const struct json *pod)
{
    struct arena fresh;
    arena_init(&fresh, VOLUME_ARENA_MAX);
    v->obj = json_clone(&fresh, pod);
    arena_done(&v->arena);
    v->arena = fresh;
}

static struct volume_pod *pod_of(struct volumes *v, const struct json *pod)
{
    struct volume_pod *p = map_get(&v->pods, meta_uid(pod));
    if (p)
        return p;
    p = mem_new(struct volume_pod);
    p->owner = v;
    snprintf(p->uid, sizeof p->uid, "%" SLICE_FMT, SLICE_ARG(meta_uid(pod)));
    arena_init(&p->arena, VOLUME_ARENA_MAX);
    map_init(&p->objects, 0);
    map_init(&p->tokens, 0);
    map_put(&v->pods, slice_str(p->uid), p);
    return p;
}

static void pod_free(struct volume_pod *v)
{
    map_del(&v->owner->pods, slice_str(v->uid));
    list_each (it, &v->owner->waits) {
        struct pod_wait *w = container_of(it, struct pod_wait, link);
        if (w->pod == v)
            w->pod = NULL;
    }
    if (v->token_call)
        client_cancel(v->owner->agent->client, v->token_call);
    if (v->work)
        v->work->pod = NULL;
    forget_objects(v);
    map_done(&v->objects);
    forget_tokens(v);
    arena_done(&v->arena);
    mem_free(v);
}

static void round_begin(struct volume_pod *p)
{
    p->busy = true;
    p->again = false;
    forget_objects(p);
    advance(p);
}

void volumes_prepare(struct volumes *v, const struct json *pod, void (*done)(void *ctx, int err, const char *message),
                     void *ctx)
{
    struct volume_pod *p = pod_of(v, pod);
    take_pod(p, pod);
    p->done = done;
    p->ctx = ctx;
    p->again = p->work != NULL;
    if (!p->busy) /* else the round at work answers */
        round_begin(p);
}

static bool changes(const struct json *pod)
{
    json_each (volume, json_path(pod, "spec.volumes"))
        if (json_get_str(volume, "configMap") || json_get_str(volume, "secret") || json_get_str(volume, "projected") ||
            json_get_str(volume, "downwardAPI"))
            return true;
    return false;
}

static void refresh(struct loop_timer *t)
{
    struct volumes *v = container_of(t, struct volumes, refresh);
    for (struct map_entry *e = map_first(&v->pods); e; e = map_next(&v->pods, e)) {
        struct volume_pod *p = e->value;
        if (p->prepared && !p->busy && changes(p->obj))
            round_begin(p);
    }
    loop_timer_start(v->agent->loop, t, VOLUME_REFRESH_MS);
}

bool volumes_may_mount(const struct volumes *v)
{
    return v->mounts;
}

int volumes_host_path(const struct volumes *v, const struct json *pod, struct slice volume, char *out, size_t n)
{
    struct slice uid = meta_uid(pod);
    json_each (it, json_path(pod, "spec.volumes")) {
        if (!slice_eq(json_path_string(it, "name"), volume))
            continue;
        struct slice host = json_path_string(it, "hostPath.path");
        int len = host.n ? snprintf(out, n, "%" SLICE_FMT, SLICE_ARG(host))
                         : snprintf(out, n, "%s/pods/%" SLICE_FMT "/volumes/%" SLICE_FMT, v->agent->o.data_dir,
                                    SLICE_ARG(uid), SLICE_ARG(volume));
        return len < (int)n ? 0 : -ENAMETOOLONG;
    }
    return -ENOENT;
}

/* ---- removal ---- */

static void on_remove(struct loop_work *work)
{
    struct plan_work *w = container_of(work, struct plan_work, work);
    w->plan.err = subpaths_release(w->plan.binds_dir, w->plan.message, sizeof w->plan.message);
    if (!w->plan.err)
        w->plan.err = tree_remove(w->plan.dir, w->plan.message, sizeof w->plan.message);
}

static void on_removed(struct loop_work *work)
{
    struct plan_work *w = container_of(work, struct plan_work, work);
    if (w->owner && w->removed)
        w->removed(w->ctx, w->plan.err, w->plan.message);
    work_free(w);
}

void volumes_remove(struct volumes *v, struct slice uid, void (*done)(void *ctx, int err, const char *message),
                    void *ctx)
{
    struct volume_pod *p = map_get(&v->pods, uid);
    if (p)
        pod_free(p);
    struct plan_work *w = work_new(v, on_remove, on_removed); /* runs behind the pod's plan: same lane */
    arena_init(&w->plan.arena, VOLUME_ARENA_MAX);
    w->plan.dir = arena_printf(&w->plan.arena, "%s/pods/%" SLICE_FMT "/volumes", v->agent->o.data_dir, SLICE_ARG(uid));
    w->plan.binds_dir = arena_printf(&w->plan.arena, "%s/subpaths/%" SLICE_FMT, v->agent->o.data_dir, SLICE_ARG(uid));
    w->removed = done;
    w->ctx = ctx;
    loop_work_queue(v->agent->loop, LOOP_LANE_MISC, &w->work);
}

/* ---- life ---- */

struct volumes *volumes_new(struct agent *agent)
{
    struct volumes *v = mem_new(struct volumes);
    v->agent = agent;
    v->mounts = geteuid() == 0;
    map_init(&v->pods, 0);
    map_init(&v->fetches, 0);
    list_init(&v->works);
    list_init(&v->waits);
    loop_random(agent->loop, &v->stamps, sizeof v->stamps); /* other than before a restart */
    v->refresh.cb = refresh;
    loop_timer_start(agent->loop, &v->refresh, VOLUME_REFRESH_MS);
    return v;
}

void volumes_free(struct volumes *v)
{
    if (!v)
        return;
    for (struct map_entry *e = map_first(&v->pods); e; e = map_next(&v->pods, e))
        pod_free(e->value);
    map_done(&v->pods);
    volumes_fetch_forget(v);
    list_each (it, &v->waits)
        mem_free(container_of(it, struct pod_wait, link));
    list_each (it, &v->works) {
        container_of(it, struct plan_work, link)->owner = NULL;
        list_remove(it);
    }
    loop_timer_stop(v->agent->loop, &v->refresh);
    mem_free(v);
}

/* Which pods there are: from the API (an informer over this node's pods) and from the runtime (listed each second). */
#include "agent/pods.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/pod.h"
#include "base/mem.h"
#include "object/meta.h"

static void on_relist(struct loop_timer *t);

/* ---- pods ---- */

struct container *pod_container(struct pod *p, struct slice name)
{
    for (size_t i = 0; i < p->n_containers; i++)
        if (slice_eq(p->containers[i]->name, name))
            return p->containers[i];
    return NULL;
}

static const char *container_list(const struct container *c)
{
    return c->init ? "initContainers" : c->ephemeral ? "ephemeralContainers" : "containers";
}

void pod_event(struct pod *p, const struct container *c, const char *type, const char *reason, const char *fmt, ...)
{
    char message[POD_MESSAGE_MAX], field[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (c)
        snprintf(field, sizeof field, "spec.%s{%" SLICE_FMT "}", container_list(c), SLICE_ARG(c->name));
    events_record(p->owner->agent->events, p->obj, NULL, c ? field : NULL, type, reason, message);
}

static void add_container(struct pod *p, const struct json *spec, size_t list)
{
    struct container *c = mem_new(struct container);
    *c = (struct container){.pod = p, .spec = spec, .name = json_path_string(spec, "name")};
    c->init = list == 0;
    c->ephemeral = list == 2;
    c->sidecar = c->init && slice_eq_str(json_path_string(spec, "restartPolicy"), "Always");
    c->started = !json_get_str(spec, "startupProbe");
    snprintf(c->waiting, sizeof c->waiting, "%s",
             json_len(json_path(p->obj, "spec.initContainers")) && list == 1 ? "PodInitializing" : "ContainerCreating");
    p->containers[p->n_containers++] = c;
}

/* The pod's JSON was replaced: containers point into the new one. Names and order of containers never change; only
 * ephemeral ones are added, at the end. */
static void repoint(struct pod *p)
{
    static const char *const lists[] = {"spec.initContainers", "spec.containers", "spec.ephemeralContainers"};
    size_t i = 0;
    for (size_t l = 0; l < 3; l++)
        json_each (spec, json_path(p->obj, lists[l]))
            if (i < p->n_containers) {
                p->containers[i]->spec = spec;
                p->containers[i++]->name = json_path_string(spec, "name");
            } else if (i < POD_CONTAINERS_MAX) {
                add_container(p, spec, l);
                i++;
            }
    for (; i < p->n_containers; i++) { /* fewer, against the rules: what it was made of goes with the old JSON */
        p->containers[i]->spec = NULL;
        p->containers[i]->name = SLICE_NONE;
    }
}

static void set_object(struct pod *p, struct slice text)
{
    struct arena fresh;
    struct json_error err;
    arena_init(&fresh, POD_ARENA_MAX);
    const struct json *obj = json_parse(&fresh, text, &err, NULL, NULL);
    if (!obj) {
        arena_done(&fresh);
        return;
    }
    struct arena old = p->arena;
    p->arena = fresh;
    p->obj = obj;
    repoint(p);
    arena_done(&old);
}

static void on_timer(struct loop_timer *t)
{
    pod_sync(container_of(t, struct pod, timer));
}

static struct pod *pod_new(struct pods *ps, struct slice uid, struct slice key, struct slice text)
{
    struct pod *p = mem_new(struct pod);
    p->owner = ps;
    arena_init(&p->arena, POD_ARENA_MAX);
    snprintf(p->uid, sizeof p->uid, "%" SLICE_FMT, SLICE_ARG(uid));
    snprintf(p->key, sizeof p->key, "%" SLICE_FMT, SLICE_ARG(key));
    p->timer.cb = on_timer;
    p->start_time = loop_wall(ps->agent->loop);
    map_init(&p->refs, 0);
    buf_init(&p->sent, 1 << 20);
    set_object(p, text);
    map_put(&ps->by_uid, uid, p);
    return p;
}

void pod_forget(struct pod *p)
{
    struct pods *ps = p->owner;
    loop_timer_stop(ps->agent->loop, &p->timer);
    for (size_t i = 0; i < p->n_containers; i++) {
        probes_stop(p->containers[i]->probes);
        mem_free(p->containers[i]);
    }
    if (p->status_call)
        client_cancel(ps->agent->client, p->status_call);
    if (p->delete_call)
        client_cancel(ps->agent->client, p->delete_call);
    map_del(&ps->by_uid, slice_str(p->uid));
    pod_env_forget(p);
    buf_done(&p->sent);
    arena_done(&p->arena);
    mem_free(p);
}

/* ---- the API's pods ---- */

static void on_change(void *ctx, const struct client_object *before, const struct client_object *now)
{
    struct pods *ps = ctx;
    struct arena a;
    struct json_error err;
    struct slice text = now ? now->json : before ? before->json : SLICE_NONE;
    arena_init(&a, POD_ARENA_MAX);
    const struct json *obj = json_parse(&a, text, &err, NULL, NULL);
    struct pod *p = obj ? map_get(&ps->by_uid, meta_uid(obj)) : NULL;
    if (before && obj && now) { /* a name may be used again by another pod before we heard that the first one went */
        const struct json *was = json_parse(&a, before->json, &err, NULL, NULL);
        struct pod *old = was && !slice_eq(meta_uid(was), meta_uid(obj)) ? map_get(&ps->by_uid, meta_uid(was)) : NULL;
        if (old) {
            old->deleted_in_api = true;
            pod_sync(old);
        }
    }
    if (obj && now && !p)
        p = pod_new(ps, meta_uid(obj), now->key, now->json);
    else if (p && now)
        set_object(p, now->json);
    if (p && !now)
        p->deleted_in_api = true;
    arena_done(&a);
    if (p && ps->runtime_ok)
        pod_sync(p);
}

static void on_synced(void *ctx)
{
    struct pods *ps = ctx;
    ps->synced = true;
    pods_relist_soon(ps);
}

static const struct informer_handler handler = {on_change, on_synced};

/* ---- the runtime's pods ---- */

static const char *label(size_t n, Runtime__V1__PodSandbox__LabelsEntry *const *entries, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(entries[i]->key, key))
            return entries[i]->value;
    return "";
}

static const char *container_label(const Runtime__V1__Container *c, const char *key)
{
    for (size_t i = 0; i < c->n_labels; i++)
        if (!strcmp(c->labels[i]->key, key))
            return c->labels[i]->value;
    return "";
}

struct orphan {
    struct pods *owner;
    char id[POD_ID_MAX];
};

static void orphan_removed(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    (void)err, (void)message, (void)response;
    mem_free(ctx);
}

static void orphan_stopped(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct orphan *o = ctx;
    Runtime__V1__RemovePodSandboxRequest q = RUNTIME__V1__REMOVE_POD_SANDBOX_REQUEST__INIT;
    (void)message, (void)response;
    if (err == -ESHUTDOWN) {
        mem_free(o);
        return;
    }
    q.pod_sandbox_id = o->id;
    cri_call(o->owner->agent->cri, CRI_REMOVE_POD_SANDBOX, &q.base, 0, orphan_removed, o);
}

/* A sandbox whose pod the API does not know (any more): nobody will ask for it again. */
static void remove_orphan(struct pods *ps, const char *id)
{
    struct orphan *o = mem_new(struct orphan);
    Runtime__V1__StopPodSandboxRequest q = RUNTIME__V1__STOP_POD_SANDBOX_REQUEST__INIT;
    o->owner = ps;
    snprintf(o->id, sizeof o->id, "%s", id);
    q.pod_sandbox_id = o->id;
    log_info(loop_log(ps->agent->loop), "pods", "removing a sandbox without a pod id=%.12s", id);
    cri_call(ps->agent->cri, CRI_STOP_POD_SANDBOX, &q.base, 0, orphan_stopped, o);
}

static void take_sandbox(struct pods *ps, const Runtime__V1__PodSandbox *s)
{
    const char *uid = label(s->n_labels, s->labels, "io.kubernetes.pod.uid");
    struct pod *p = map_get(&ps->by_uid, slice_str(uid));
    if (!p) {
        if (uid[0] && ps->synced)
            remove_orphan(ps, s->id);
        return;
    }
    bool newer = !p->sandbox[0] || !s->metadata || s->metadata->attempt >= p->sandbox_attempt;
    if (!newer)
        return;
    if (strcmp(p->sandbox, s->id) != 0) {
        snprintf(p->sandbox, sizeof p->sandbox, "%s", s->id);
        p->sandbox_known = false; /* its address is still to be asked for */
        p->sandbox_attempt = s->metadata ? s->metadata->attempt : 0;
    }
    p->listed = true;
    p->sandbox_ready = s->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
}

static enum run_state state_of(Runtime__V1__ContainerState s)
{
    switch (s) {
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED:
        return RUN_CREATED;
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING:
        return RUN_RUNNING;
    default:
        return RUN_EXITED;
    }
}

static void take_container(struct pods *ps, const Runtime__V1__Container *rc)
{
    struct pod *p = map_get(&ps->by_uid, slice_str(container_label(rc, "io.kubernetes.pod.uid")));
    struct container *c = p ? pod_container(p, slice_str(container_label(rc, "io.kubernetes.container.name"))) : NULL;
    uint32_t attempt = rc->metadata ? rc->metadata->attempt : 0;
    if (!c)
        return;
    if (strcmp(c->now.id, rc->id) == 0) {
        enum run_state state = state_of(rc->state);
        c->now.detailed &= state == c->now.state;
        c->now.state = state;
        return;
    }
    if (c->now.id[0] && attempt < c->now.attempt)
        return;
    if (c->now.id[0])
        c->last = c->now;
    c->now = (struct container_run){.attempt = attempt, .state = state_of(rc->state)};
    snprintf(c->now.id, sizeof c->now.id, "%s", rc->id);
    c->restarts = attempt;
}

/* What the list did not show is gone, unless we are about to make it. */
static void forget_unlisted(struct pod *p, const Runtime__V1__ListContainersResponse *list)
{
    bool unseen = p->busy || p->stepped >= p->owner->list_began; /* made after the runtime began to answer */
    if (!p->listed && !unseen) {
        p->sandbox[0] = '\0';
        p->sandbox_ready = p->sandbox_known = false;
    }
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        bool found = false;
        for (size_t j = 0; j < list->n_containers && !found; j++)
            found = !strcmp(list->containers[j]->id, c->now.id);
        if (!found && c->now.id[0] && !unseen) {
            if (c->now.state == RUN_RUNNING || c->now.state == RUN_CREATED) { /* vanished without a word */
                c->now.state = RUN_EXITED;
                c->now.exit_code = 137;
                c->now.finished_at = loop_wall(p->owner->agent->loop);
                snprintf(c->now.reason, sizeof c->now.reason, "ContainerStatusUnknown");
            }
            c->now.detailed = true;
        }
    }
}

static void list_over(struct pods *ps)
{
    ps->listing = false;
    loop_timer_start(ps->agent->loop, &ps->relist, ps->list_again ? 0 : RELIST_MS);
    ps->list_again = false;
}

static void on_containers(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct pods *ps = ctx;
    (void)message;
    ps->list_call = NULL;
    if (err == -ESHUTDOWN)
        return;
    if (err) {
        list_over(ps);
        return;
    }
    const Runtime__V1__ListContainersResponse *list = (const Runtime__V1__ListContainersResponse *)response;
    for (size_t i = 0; i < list->n_containers; i++)
        take_container(ps, list->containers[i]);
    ps->runtime_ok = ps->synced;
    for (struct map_entry *e = map_first(&ps->by_uid); e; e = map_next(&ps->by_uid, e)) {
        struct pod *p = e->value;
        forget_unlisted(p, list);
        p->listed = false;
        if (ps->runtime_ok)
            pod_sync(p);
    }
    list_over(ps);
}

static void on_sandboxes(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct pods *ps = ctx;
    ps->list_call = NULL;
    if (err == -ESHUTDOWN)
        return;
    if (err) {
        log_warn(loop_log(ps->agent->loop), "pods", "the runtime does not answer err=%d message=\"%s\"", err, message);
        list_over(ps);
        return;
    }
    const Runtime__V1__ListPodSandboxResponse *list = (const Runtime__V1__ListPodSandboxResponse *)response;
    for (size_t i = 0; i < list->n_items; i++)
        take_sandbox(ps, list->items[i]);
    Runtime__V1__ListContainersRequest q = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
    ps->list_call = cri_call(ps->agent->cri, CRI_LIST_CONTAINERS, &q.base, 10000, on_containers, ps);
}

static void on_relist(struct loop_timer *t)
{
    struct pods *ps = container_of(t, struct pods, relist);
    Runtime__V1__ListPodSandboxRequest q = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
    ps->listing = true;
    ps->list_began = loop_now(ps->agent->loop);
    ps->list_call = cri_call(ps->agent->cri, CRI_LIST_POD_SANDBOX, &q.base, 10000, on_sandboxes, ps);
}

void pods_relist_soon(struct pods *ps)
{
    if (ps->listing)
        ps->list_again = true;
    else
        loop_timer_start(ps->agent->loop, &ps->relist, 0);
}

/* ---- life and questions ---- */

struct pods *pods_new(struct agent *agent)
{
    struct pods *ps = mem_new(struct pods);
    char selector[320];
    ps->agent = agent;
    map_init(&ps->by_uid, 0);
    ps->relist.cb = on_relist;
    snprintf(selector, sizeof selector, "spec.nodeName=%s", agent->o.node_name);
    ps->informer = informer_new(agent->client,
                                &(struct informer_options){.res = resource_core("pods"), .field_selector = selector},
                                &handler, ps);
    loop_timer_start(agent->loop, &ps->relist, 0);
    return ps;
}

void pods_free(struct pods *ps)
{
    if (!ps)
        return;
    informer_free(ps->informer);
    loop_timer_stop(ps->agent->loop, &ps->relist);
    if (ps->list_call)
        cri_cancel(ps->list_call);
    for (struct map_entry *e = map_first(&ps->by_uid); e; e = map_next(&ps->by_uid, e))
        pod_forget(e->value);
    map_done(&ps->by_uid);
    mem_free(ps);
}

static struct pod *find(const struct pods *ps, struct slice ns, struct slice name)
{
    char key[512];
    snprintf(key, sizeof key, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(ns), SLICE_ARG(name));
    struct pod *found = NULL;
    for (struct map_entry *e = map_first(&ps->by_uid); e; e = map_next(&ps->by_uid, e)) {
        struct pod *p = e->value;
        if (!strcmp(p->key, key) && (!found || !p->deleted_in_api))
            found = p;
    }
    return found;
}

static const struct container_run *find_run(const struct pods *ps, struct slice ns, struct slice name,
                                            struct slice container, bool previous)
{
    struct pod *p = find(ps, ns, name);
    struct container *c = p ? pod_container(p, container) : NULL;
    const struct container_run *run = !c ? NULL : previous ? &c->last : &c->now;
    return run && run->id[0] ? run : NULL;
}

int pods_sandbox_id(const struct pods *ps, struct slice ns, struct slice name, char *out, size_t n)
{
    struct pod *p = find(ps, ns, name);
    if (!p || !p->sandbox[0])
        return -ENOENT;
    snprintf(out, n, "%s", p->sandbox);
    return 0;
}

int pods_container_id(const struct pods *ps, struct slice ns, struct slice name, struct slice container, char *out,
                      size_t n)
{
    const struct container_run *run = find_run(ps, ns, name, container, false);
    if (!run || run->state != RUN_RUNNING)
        return -ENOENT;
    snprintf(out, n, "%s", run->id);
    return 0;
}

/* Why a container has no log, in the words of Kubernetes' own node agent. */
static void why_no_log(const struct container *c, const char *pod, bool previous, char why[512])
{
    char name[256];
    snprintf(name, sizeof name, "container \"%" SLICE_FMT "\" in pod \"%.200s\"", SLICE_ARG(c->name), pod);
    if (previous)
        snprintf(why, 512, "previous terminated %s not found", name);
    else if (!strcmp(c->waiting, "ErrImagePull"))
        snprintf(why, 512, "%s is waiting to start: image can't be pulled", name);
    else if (!strcmp(c->waiting, "ImagePullBackOff"))
        snprintf(why, 512, "%s is waiting to start: trying and failing to pull image", name);
    else
        snprintf(why, 512, "%s is waiting to start: %s", name, c->waiting);
}

int pods_log_path(const struct pods *ps, struct slice ns, struct slice name, struct slice container, bool previous,
                  char *out, size_t n, char why[512])
{
    struct pod *p = find(ps, ns, name);
    struct container *c = p ? pod_container(p, container) : NULL;
    const struct container_run *run = find_run(ps, ns, name, container, previous);
    char dir[512], pod[256];
    snprintf(pod, sizeof pod, "%" SLICE_FMT, SLICE_ARG(name));
    if (!p)
        snprintf(why, 512, "pod \"%s\" does not exist", pod);
    else if (!c)
        snprintf(why, 512, "container \"%" SLICE_FMT "\" not found in pod \"%s\"", SLICE_ARG(container), pod);
    if (!c)
        return -ENOENT;
    if (!run) {
        why_no_log(c, pod, previous, why);
        return -EAGAIN;
    }
    pod_log_dir(p, dir, sizeof dir);
    snprintf(out, n, "%s/%" SLICE_FMT "/%u.log", dir, SLICE_ARG(container), run->attempt);
    return 0;
}

bool pods_container_running(const struct pods *ps, struct slice ns, struct slice name, struct slice container)
{
    const struct container_run *run = find_run(ps, ns, name, container, false);
    return run && run->state == RUN_RUNNING;
}

int pods_list_json(const struct pods *ps, struct buf *out)
{
    bool first = true;
    for (struct map_entry *e = map_first(&ps->by_uid); e; e = map_next(&ps->by_uid, e)) {
        const struct pod *p = e->value;
        if (!first)
            buf_add_char(out, ',');
        first = false;
        json_write(out, p->obj);
    }
    return buf_error(out);
}

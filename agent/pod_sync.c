/* The pod's state machine: pod_sync compares what is with what should be and begins one step; when the step is over it looks
 * again. Nothing is remembered that the runtime does not show, so any step may be lost. */
#include <errno.h>
#include <stdio.h>

#include "agent/files.h"
#include "agent/pod.h"
#include "agent/pull.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "object/meta.h"

enum {
    DEFAULT_GRACE_S = 30,
    GRACE_MAX_S = 4000000 /* in milliseconds it fits 32 bits */,
    STOP_SLACK_MS = 10000,
    HOOK_TIMEOUT_MS = 60000,
    PULL_TIMEOUT_MS = 600000
};

static struct loop *loop_of(const struct pod *p)
{
    return p->owner->agent->loop;
}

static struct cri *cri_of(const struct pod *p)
{
    return p->owner->agent->cri;
}

void pod_sync_later(struct pod *p, uint64_t ms)
{
    loop_timer_start(loop_of(p), &p->timer, ms);
}

/* ---- steps: one at a time ---- */

struct step {
    struct pod *pod;
    struct container *c;
    void (*next)(struct step *s, int err, const char *message, const ProtobufCMessage *response);
    struct files_job files;
    char path[4][1024];
    char text[TERMINATION_MESSAGE_MAX + 1];
    char name[512];
};

static struct step *step_new(struct pod *p, struct container *c,
                             void (*next)(struct step *s, int err, const char *message,
                                          const ProtobufCMessage *response))
{
    struct step *s = mem_new(struct step);
    p->busy = true;
    s->pod = p;
    s->c = c;
    s->next = next;
    return s;
}

/* The step is over; look again. */
static void step_end(struct step *s)
{
    struct pod *p = s->pod;
    p->busy = false;
    p->stepped = loop_now(loop_of(p));
    mem_free(s);
    pods_relist_soon(p->owner);
    pod_sync_later(p, 0);
}

static void step_fail(struct step *s)
{
    struct pod *p = s->pod;
    p->busy = false;
    mem_free(s);
    pods_relist_soon(p->owner);
    pod_report(p);
    pod_sync_later(p, ACTION_RETRY_MS);
}

static void on_cri(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct step *s = ctx;
    if (err == -ESHUTDOWN) { /* the agent is ending: whoever comes next looks again */
        s->pod->busy = false;
        mem_free(s);
        return;
    }
    s->next(s, err, message, response);
}

static void call(struct step *s, enum cri_method method, const ProtobufCMessage *request, unsigned timeout_ms,
                 void (*next)(struct step *s, int err, const char *message, const ProtobufCMessage *response))
{
    s->next = next;
    cri_call(cri_of(s->pod), method, request, timeout_ms, on_cri, s);
}

static void set_waiting(struct container *c, const char *reason, const char *message)
{
    snprintf(c->waiting, sizeof c->waiting, "%s", reason);
    snprintf(c->waiting_message, sizeof c->waiting_message, "%s", message);
}

/* ---- volumes ---- */

static void on_volumes(void *ctx, int err, const char *message)
{
    struct pod *p = ctx;
    p->busy = false;
    p->volumes_ready = !err;
    if (err) {
        if (strcmp(p->problem, message) != 0)
            pod_event(p, NULL, "Warning", "FailedMount", "%s", message);
        snprintf(p->problem, sizeof p->problem, "%s", message);
        pod_sync_later(p, ACTION_RETRY_MS);
    } else {
        p->problem[0] = '\0';
        pod_sync_later(p, 0);
    }
}

/* ---- sandbox ---- */

static void sandbox_made(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct pod *p = s->pod;
    if (err) {
        if (strcmp(p->problem, message) != 0)
            pod_event(p, NULL, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: %s", message);
        snprintf(p->problem, sizeof p->problem, "%s", message);
        p->sandbox_attempt++; /* the name of a half-made sandbox may be taken */
        step_fail(s);
        return;
    }
    const Runtime__V1__RunPodSandboxResponse *r = (const Runtime__V1__RunPodSandboxResponse *)response;
    snprintf(p->sandbox, sizeof p->sandbox, "%s", r->pod_sandbox_id);
    p->sandbox_ready = true;
    p->sandbox_known = false;
    p->problem[0] = '\0';
    step_end(s);
}

static void sandbox_dirs_made(struct loop_work *w)
{
    struct step *s = container_of(container_of(w, struct files_job, work), struct step, files);
    struct pod *p = s->pod;
    Runtime__V1__RunPodSandboxRequest q = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
    struct arena a;
    if (s->files.err) {
        snprintf(p->problem, sizeof p->problem, "the pod's directories cannot be made: %s", strerror(-s->files.err));
        step_fail(s);
        return;
    }
    arena_init(&a, POD_ARENA_MAX);
    q.config = pod_sandbox_config(p, &a);
    if (q.config)
        call(s, CRI_RUN_POD_SANDBOX, &q.base, 0, sandbox_made);
    else
        step_fail(s);
    arena_done(&a);
}

static void make_sandbox(struct pod *p)
{
    struct step *s = step_new(p, NULL, NULL);
    if (p->sandbox[0])
        p->sandbox_attempt++;
    pod_log_dir(p, s->path[0], sizeof s->path[0]);
    pod_dir(p, s->path[1], sizeof s->path[1] - 16);
    size_t n = strlen(s->path[1]);
    snprintf(s->path[1] + n, sizeof s->path[1] - n, "/containers");
    s->files.make_dirs[0] = s->path[0];
    s->files.make_dirs[1] = s->path[1];
    s->files.work.done = sandbox_dirs_made;
    files_run(loop_of(p), &s->files);
}

static void sandbox_told(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct pod *p = s->pod;
    (void)message;
    if (err) {
        step_fail(s);
        return;
    }
    const Runtime__V1__PodSandboxStatusResponse *r = (const Runtime__V1__PodSandboxStatusResponse *)response;
    p->sandbox_known = true;
    bool host = json_bool(json_path(p->obj, "spec.hostNetwork"), false);
    const char *ip = host ? p->owner->agent->o.node_ip : r->status && r->status->network ? r->status->network->ip : "";
    snprintf(p->ip, sizeof p->ip, "%s", ip);
    step_end(s);
}

static void ask_sandbox(struct pod *p)
{
    Runtime__V1__PodSandboxStatusRequest q = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
    struct step *s = step_new(p, NULL, NULL);
    q.pod_sandbox_id = p->sandbox;
    call(s, CRI_POD_SANDBOX_STATUS, &q.base, 10000, sandbox_told);
}

static void sandbox_halted(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct pod *p = s->pod;
    (void)message, (void)response;
    if (err && err != -ENOENT) {
        step_fail(s);
        return;
    }
    p->sandbox_stopped = true;
    p->sandbox_ready = false;
    step_end(s);
}

static void halt_sandbox(struct pod *p)
{
    Runtime__V1__StopPodSandboxRequest q = RUNTIME__V1__STOP_POD_SANDBOX_REQUEST__INIT;
    struct step *s = step_new(p, NULL, NULL);
    q.pod_sandbox_id = p->sandbox;
    call(s, CRI_STOP_POD_SANDBOX, &q.base, 0, sandbox_halted);
}

/* ---- details of a run ---- */

/* A container that ended: how long it must wait before it may run again. */
static void note_exit(struct container *c)
{
    int64_t ran = c->now.finished_at - c->now.started_at;
    if (ran > BACKOFF_RESET_S * NS_PER_SEC)
        c->backoff_ms = 0;
    c->backoff_until = loop_now(loop_of(c->pod)) + c->backoff_ms * 1000000;
    if (c->backoff_ms) {
        char message[POD_MESSAGE_MAX];
        snprintf(message, sizeof message, "back-off %lus restarting failed container=%" SLICE_FMT " pod=%s",
                 c->backoff_ms / 1000, SLICE_ARG(c->name), c->pod->key);
        set_waiting(c, "CrashLoopBackOff", message);
        pod_event(c->pod, c, "Warning", "BackOff", "Back-off restarting failed container %" SLICE_FMT " in pod %s",
                  SLICE_ARG(c->name), c->pod->key);
    } else {
        c->backoff_until = 0;
    }
    c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (c->backoff_ms > BACKOFF_LAST_MS)
        c->backoff_ms = BACKOFF_LAST_MS;
    probes_stop(c->probes);
    c->probes = NULL;
    c->ready = false;
    c->started = !json_get_str(c->spec, "startupProbe");
}

static void message_read(struct loop_work *w)
{
    struct step *s = container_of(container_of(w, struct files_job, work), struct step, files);
    struct container_run *run = &s->c->now;
    size_t n = s->files.text_n < POD_MESSAGE_MAX - 1 ? s->files.text_n : POD_MESSAGE_MAX - 1;
    if (n) {
        memcpy(run->message, s->text, n);
        run->message[n] = '\0';
    }
    step_end(s);
}

static void container_told(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct container *c = s->c;
    (void)message;
    if (err) {
        if (err == -ENOENT)
            c->now.detailed = true;
        step_fail(s);
        return;
    }
    const Runtime__V1__ContainerStatus *st = ((const Runtime__V1__ContainerStatusResponse *)response)->status;
    if (!st || strcmp(st->id, c->now.id) != 0) {
        step_end(s);
        return;
    }
    c->now.detailed = true;
    c->now.started_at = st->started_at;
    c->now.finished_at = st->finished_at;
    c->now.exit_code = st->exit_code;
    snprintf(c->now.reason, sizeof c->now.reason, "%s", st->reason);
    snprintf(c->now.message, sizeof c->now.message, "%s", st->message);
    snprintf(c->now.image_ref, sizeof c->now.image_ref, "%s", st->image_ref);
    if (c->now.state != RUN_EXITED) {
        step_end(s);
        return;
    }
    note_exit(c);
    container_message_path(c, c->now.attempt, s->path[0], sizeof s->path[0]);
    s->files.read_file = s->path[0];
    s->files.text = s->text;
    s->files.text_max = TERMINATION_MESSAGE_MAX;
    s->files.work.done = message_read;
    files_run(loop_of(s->pod), &s->files);
}

static void ask_container(struct container *c)
{
    Runtime__V1__ContainerStatusRequest q = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
    struct step *s = step_new(c->pod, c, NULL);
    q.container_id = c->now.id;
    call(s, CRI_CONTAINER_STATUS, &q.base, 10000, container_told);
}

static struct container *unknown_run(struct pod *p)
{
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        if (c->now.id[0] && !c->now.detailed && c->now.state != RUN_CREATED)
            return c;
    }
    return NULL;
}

/* ---- starting a container: image, environment, create, start, postStart ---- */

static void start_failed(struct step *s, const char *reason, const char *event, const char *message)
{
    struct container *c = s->c;
    bool told = !strcmp(c->waiting_message, message);
    set_waiting(c, reason, message);
    if (!told)
        pod_event(s->pod, c, "Warning", event, "%s", message);
    c->backoff_until = loop_now(loop_of(s->pod)) + (c->backoff_ms ? c->backoff_ms : BACKOFF_FIRST_MS) * 1000000;
    c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (c->backoff_ms > BACKOFF_LAST_MS)
        c->backoff_ms = BACKOFF_LAST_MS;
    step_fail(s);
}

static void hook_stopped(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    (void)err, (void)message, (void)response;
    step_end(s); /* the next list shows that it ended, and it is started again */
}

static void on_hook(void *ctx, bool ok, const char *message)
{
    struct step *s = ctx;
    if (!ok) {
        Runtime__V1__StopContainerRequest q = RUNTIME__V1__STOP_CONTAINER_REQUEST__INIT;
        pod_event(s->pod, s->c, "Warning", "FailedPostStartHook", "PostStartHook failed: %s", message);
        q.container_id = s->c->now.id;
        call(s, CRI_STOP_CONTAINER, &q.base, 0, hook_stopped);
        return;
    }
    step_end(s);
}

static void container_started(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct container *c = s->c;
    (void)response;
    if (err) {
        c->now.state = RUN_CREATED;
        start_failed(s, "RunContainerError", "Failed", message);
        return;
    }
    c->now.state = RUN_RUNNING;
    c->now.detailed = false;
    c->backoff_until = 0;
    c->failed_probe = false;
    c->hook_done = false;
    c->ready = !c->ephemeral && !json_get_str(c->spec, "readinessProbe");
    c->started = !json_get_str(c->spec, "startupProbe");
    set_waiting(c, "ContainerCreating", "");
    pod_event(s->pod, c, "Normal", "Started", "Started container %" SLICE_FMT, SLICE_ARG(c->name));
    const struct json *hook = json_path(c->spec, "lifecycle.postStart");
    if (hook)
        probes_run_handler(s->pod->owner->agent->probes, hook, c->spec, c->now.id, s->pod->ip, HOOK_TIMEOUT_MS, on_hook,
                           s);
    else
        step_end(s);
}

static void start_run(struct step *s)
{
    Runtime__V1__StartContainerRequest q = RUNTIME__V1__START_CONTAINER_REQUEST__INIT;
    q.container_id = s->c->now.id;
    call(s, CRI_START_CONTAINER, &q.base, 0, container_started);
}

static void container_created(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct container *c = s->c;
    if (err) {
        start_failed(s, "CreateContainerError", "Failed", message);
        return;
    }
    const Runtime__V1__CreateContainerResponse *r = (const Runtime__V1__CreateContainerResponse *)response;
    if (c->now.id[0])
        c->last = c->now;
    c->now = (struct container_run){.attempt = c->restarts, .state = RUN_CREATED};
    snprintf(c->now.id, sizeof c->now.id, "%s", r->container_id);
    pod_event(s->pod, c, "Normal", "Created", "Created container: %" SLICE_FMT, SLICE_ARG(c->name));
    start_run(s);
}

/* The request for a container, and what must be bound before it is sent. */
struct creation {
    struct step *step;
    struct arena arena;
    struct binds_job binds;
    Runtime__V1__CreateContainerRequest q;
};

static void creation_end(struct creation *k, const char *problem)
{
    struct step *s = k->step;
    if (problem)
        start_failed(s, "CreateContainerConfigError", "Failed", problem);
    else
        call(s, CRI_CREATE_CONTAINER, &k->q.base, 0, container_created);
    arena_done(&k->arena);
    mem_free(k);
}

static void parts_bound(struct loop_work *w)
{
    struct creation *k = container_of(container_of(w, struct binds_job, work), struct creation, binds);
    creation_end(k, k->binds.err ? k->binds.message : NULL);
}

static void container_dirs_made(struct loop_work *w)
{
    struct step *s = container_of(container_of(w, struct files_job, work), struct step, files);
    struct creation *k = mem_new(struct creation);
    char message[POD_MESSAGE_MAX] = "the container's configuration needs too much memory";
    *k = (struct creation){.step = s, .q = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT};
    arena_init(&k->arena, POD_ARENA_MAX);
    k->q.pod_sandbox_id = s->pod->sandbox;
    k->q.sandbox_config = pod_sandbox_config(s->pod, &k->arena);
    k->q.config = pod_container_config(s->pod, s->c, &k->arena, &k->binds, message);
    k->binds.work.done = parts_bound;
    if (!k->q.config || !k->q.sandbox_config)
        creation_end(k, message);
    else if (k->binds.n)
        binds_run(loop_of(s->pod), &k->binds);
    else
        creation_end(k, NULL);
}

static void create(struct step *s)
{
    struct pod *p = s->pod;
    struct container *c = s->c;
    c->restarts = c->now.id[0] ? c->now.attempt + 1 : 0;
    pod_log_dir(p, s->path[0], sizeof s->path[0] - 300);
    size_t n = strlen(s->path[0]);
    snprintf(s->path[0] + n, sizeof s->path[0] - n, "/%" SLICE_FMT, SLICE_ARG(c->name));
    container_message_path(c, c->restarts, s->path[1], sizeof s->path[1]);
    s->files.make_dirs[0] = s->path[0];
    s->files.make_file = s->path[1];
    s->files.work.done = container_dirs_made;
    files_run(loop_of(p), &s->files);
}

static void collect_env(struct step *s);

static void on_ref(void *ctx, int err, const struct json *obj)
{
    struct step *s = ctx;
    struct slice plural, name;
    if (err) {
        start_failed(s, "CreateContainerConfigError", "Failed",
                     "the objects that the environment refers to cannot be read");
        return;
    }
    slice_cut(slice_str(s->name), '/', &plural, &name);
    pod_env_keep(s->pod, slice_eq_str(plural, "secrets") ? "secrets" : "configmaps", name, obj);
    collect_env(s);
}

static void collect_env(struct step *s)
{
    const char *plural;
    struct slice name;
    if (!pod_env_missing(s->pod, s->c, &plural, &name)) {
        create(s);
        return;
    }
    snprintf(s->name, sizeof s->name, "%s/%" SLICE_FMT, plural, SLICE_ARG(name));
    volumes_fetch(s->pod->owner->agent->volumes, plural, meta_namespace(s->pod->obj), name, on_ref, s);
}

static void image_pulled(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct container *c = s->c;
    struct slice image = json_path_string(c->spec, "image");
    (void)response;
    if (err) {
        char text[POD_MESSAGE_MAX];
        snprintf(text, sizeof text, "Failed to pull image \"%" SLICE_FMT "\": %.800s", SLICE_ARG(image), message);
        start_failed(s, c->pull_failed ? "ImagePullBackOff" : "ErrImagePull", "Failed", text);
        c->pull_failed = true;
        return;
    }
    c->pull_failed = false;
    pod_event(s->pod, c, "Normal", "Pulled", "Successfully pulled image \"%" SLICE_FMT "\"", SLICE_ARG(image));
    collect_env(s);
}

static void image_asked(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct container *c = s->c;
    struct slice image = json_path_string(c->spec, "image"), policy = json_path_string(c->spec, "imagePullPolicy");
    const Runtime__V1__ImageStatusResponse *r = (const Runtime__V1__ImageStatusResponse *)response;
    bool there = !err && r->image, always = slice_eq_str(policy, "Always");
    if (err && err != -ENOENT) {
        start_failed(s, "ImageInspectError", "InspectFailed", message);
        return;
    }
    if (there && !always) {
        if (!c->now.id[0])
            pod_event(s->pod, c, "Normal", "Pulled", "Container image \"%" SLICE_FMT "\" already present on machine",
                      SLICE_ARG(image));
        collect_env(s);
        return;
    }
    if (!there && slice_eq_str(policy, "Never")) {
        start_failed(s, "ErrImageNeverPull", "ErrImageNeverPull",
                     "the image is not present and its pull policy is Never");
        return;
    }
    pod_event(s->pod, c, "Normal", "Pulling", "Pulling image \"%" SLICE_FMT "\"", SLICE_ARG(image));
    s->next = image_pulled;
    image_pull(s->pod->owner->agent, s->pod->obj, image, PULL_TIMEOUT_MS, on_cri, s);
}

static void start_container(struct container *c)
{
    struct step *s = step_new(c->pod, c, NULL);
    Runtime__V1__ImageStatusRequest q = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
    Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    if (c->now.state == RUN_CREATED) { /* made before the agent was restarted */
        start_run(s);
        return;
    }
    snprintf(s->name, sizeof s->name, "%" SLICE_FMT, SLICE_ARG(json_path_string(c->spec, "image")));
    spec.image = s->name;
    q.image = &spec;
    call(s, CRI_IMAGE_STATUS, &q.base, 30000, image_asked);
}

/* ---- which container is next ---- */

static bool wants_run(const struct pod *p, const struct container *c)
{
    struct slice policy = json_path_string(p->obj, "spec.restartPolicy");
    switch (c->now.state) {
    case RUN_RUNNING:
        return false;
    case RUN_EXITED:
        if (c->ephemeral)
            return false;
        if (c->sidecar)
            return true;
        if (c->init)
            return c->now.exit_code != 0 && !slice_eq_str(policy, "Never");
        return slice_eq_str(policy, "Always") || (slice_eq_str(policy, "OnFailure") && c->now.exit_code != 0);
    default:
        return true;
    }
}

/* The init container that the others wait for, or NULL when all are done. */
static struct container *blocking_init(struct pod *p)
{
    for (size_t i = 0; i < p->n_containers && p->containers[i]->init; i++) {
        struct container *c = p->containers[i];
        bool done = c->sidecar ? c->now.state == RUN_RUNNING && c->started
                               : c->now.state == RUN_EXITED && c->now.detailed && c->now.exit_code == 0;
        if (!done)
            return c;
    }
    return NULL;
}

static bool is_due(struct pod *p, struct container *c, uint64_t *wait_ms)
{
    uint64_t now = loop_now(loop_of(p));
    if (c->backoff_until <= now)
        return true;
    uint64_t ms = (c->backoff_until - now) / 1000000 + 1;
    *wait_ms = !*wait_ms || ms < *wait_ms ? ms : *wait_ms;
    return false;
}

static struct container *next_container(struct pod *p, uint64_t *wait_ms)
{
    struct container *init = blocking_init(p);
    bool waiting = false;
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        bool may = c->ephemeral || (!waiting && (c == init || c->sidecar || !init));
        waiting |= init && c == init; /* those after it wait; whoever looks into the pod does not */
        if (may && wants_run(p, c) && is_due(p, c, wait_ms))
            return c;
    }
    return NULL;
}

/* Whether nothing will run any more in this pod. */
static bool is_over(struct pod *p)
{
    struct container *init = blocking_init(p);
    if (init && !init->sidecar)
        return init->now.state == RUN_EXITED && init->now.detailed && !wants_run(p, init);
    bool any = false;
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        if (c->init || c->ephemeral)
            continue;
        any = true;
        if (c->now.state != RUN_EXITED || !c->now.detailed || wants_run(p, c))
            return false;
    }
    return any;
}

/* ---- stopping containers, several at once ---- */

struct stopping {
    struct pod *pod;
    struct container *c;
    char id[POD_ID_MAX];
};

static void on_stopped(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct stopping *k = ctx;
    struct pod *p = k->pod;
    (void)message, (void)response;
    k->c->stopping = false;
    mem_free(k);
    if (err != -ESHUTDOWN)
        pods_relist_soon(p->owner);
}

static int64_t grace_seconds(const struct pod *p)
{
    uint64_t now = loop_now(loop_of(p));
    if (p->phase != POD_TERMINATING)
        return json_int(json_path(p->obj, "spec.terminationGracePeriodSeconds"), DEFAULT_GRACE_S);
    return p->kill_deadline > now ? (int64_t)((p->kill_deadline - now) / 1000000000) + 1 : 0;
}

static void stop_now(struct stopping *k)
{
    Runtime__V1__StopContainerRequest q = RUNTIME__V1__STOP_CONTAINER_REQUEST__INIT;
    int64_t grace = grace_seconds(k->pod);
    if (grace > GRACE_MAX_S)
        grace = GRACE_MAX_S;
    q.container_id = k->id;
    q.timeout = grace;
    cri_call(cri_of(k->pod), CRI_STOP_CONTAINER, &q.base, (unsigned)grace * 1000 + STOP_SLACK_MS, on_stopped, k);
}

static void on_pre_stop(void *ctx, bool ok, const char *message)
{
    struct stopping *k = ctx;
    if (!ok)
        pod_event(k->pod, k->c, "Warning", "FailedPreStopHook", "PreStopHook failed: %s", message);
    stop_now(k);
}

static void stop_container(struct container *c, const char *why)
{
    struct pod *p = c->pod;
    const struct json *hook = json_path(c->spec, "lifecycle.preStop");
    struct stopping *k = mem_new(struct stopping);
    k->pod = p;
    k->c = c;
    snprintf(k->id, sizeof k->id, "%s", c->now.id);
    c->stopping = true;
    probes_stop(c->probes);
    c->probes = NULL;
    pod_event(p, c, "Normal", "Killing", "%s", why);
    int64_t grace = grace_seconds(p);
    if (grace > GRACE_MAX_S)
        grace = GRACE_MAX_S;
    if (hook && grace > 0)
        probes_run_handler(p->owner->agent->probes, hook, c->spec, c->now.id, p->ip, (unsigned)grace * 1000,
                           on_pre_stop, k);
    else
        stop_now(k);
}

static bool any_stopping(const struct pod *p)
{
    for (size_t i = 0; i < p->n_containers; i++)
        if (p->containers[i]->stopping)
            return true;
    return false;
}

/* ---- probes ---- */

static void on_probe(void *ctx, enum probe_kind kind, bool ok, const char *message)
{
    struct container *c = ctx;
    struct pod *p = c->pod;
    if (!ok)
        pod_event(p, c, "Warning", "Unhealthy", "%s", message);
    if (kind == PROBE_READINESS)
        c->ready = ok;
    else if (kind == PROBE_STARTUP && ok)
        c->started = true;
    else if (!ok)
        c->failed_probe = true;
    if (kind == PROBE_STARTUP && ok && !json_get_str(c->spec, "readinessProbe"))
        c->ready = true;
    pod_report(p);
    pod_sync_later(p, 0);
}

static void watch_containers(struct pod *p)
{
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        if (c->now.state != RUN_RUNNING || (c->init && !c->sidecar) || c->ephemeral)
            continue;
        if (!json_get_str(c->spec, "readinessProbe"))
            c->ready = c->started;
        if (!c->probes && !c->stopping && p->ip[0])
            c->probes = probes_watch(p->owner->agent->probes, c->spec, c->now.id, p->ip, on_probe, c);
        if (c->failed_probe && !c->stopping) {
            c->failed_probe = false;
            char why[256];
            snprintf(why, sizeof why, "Container %" SLICE_FMT " failed a probe, will be restarted", SLICE_ARG(c->name));
            stop_container(c, why);
        }
    }
}

/* ---- terminating ---- */

static void removed(struct loop_work *w)
{
    struct step *s = container_of(container_of(w, struct files_job, work), struct step, files);
    struct pod *p = s->pod;
    mem_free(s);
    pod_forget(p);
}

static void sandbox_removed(struct step *s, int err, const char *message, const ProtobufCMessage *response)
{
    struct pod *p = s->pod;
    const char *parent = p->owner->agent->o.cgroup_parent;
    (void)err, (void)message, (void)response; /* an orphan is found again by the next list */
    pod_dir(p, s->path[0], sizeof s->path[0]);
    pod_log_dir(p, s->path[1], sizeof s->path[1]);
    snprintf(s->path[2], sizeof s->path[2], "%s/pod%s", parent ? parent : "/pintle", p->uid);
    s->files.remove_trees[0] = s->path[0];
    s->files.remove_trees[1] = s->path[1];
    s->files.remove_cgroup = s->path[2];
    s->files.work.done = removed;
    files_run(loop_of(p), &s->files);
}

/* The API has forgotten the pod: its traces go, and so does it. */
static void remove_traces(struct pod *p)
{
    Runtime__V1__RemovePodSandboxRequest q = RUNTIME__V1__REMOVE_POD_SANDBOX_REQUEST__INIT;
    struct step *s = step_new(p, NULL, NULL);
    p->phase = POD_GONE;
    if (!p->sandbox[0]) {
        sandbox_removed(s, 0, "", NULL);
        return;
    }
    q.pod_sandbox_id = p->sandbox;
    call(s, CRI_REMOVE_POD_SANDBOX, &q.base, 0, sandbox_removed);
}

static void on_volumes_removed(void *ctx, int err, const char *message)
{
    struct pod *p = ctx;
    p->busy = false;
    if (err)
        log_warn(loop_log(loop_of(p)), "pods", "volumes not wholly removed pod=%s message=\"%s\"", p->key, message);
    p->volumes_removed = true;
    pod_sync_later(p, 0);
}

static void on_deleted(void *ctx, const struct client_reply *reply)
{
    struct pod *p = ctx;
    p->delete_call = NULL;
    p->busy = false;
    if (!reply->err && (reply->code < 400 || reply->code == 404 || reply->code == 409))
        p->deleted_in_api = true;
    pod_sync_later(p, p->deleted_in_api ? 0 : ACTION_RETRY_MS);
}

static void delete_in_api(struct pod *p)
{
    struct arena a;
    arena_init(&a, 65536);
    struct json *options = json_new_object(&a);
    json_set_str(&a, options, "gracePeriodSeconds", json_new_int(&a, 0));
    json_set_str(&a, json_object_at(&a, options, "preconditions"), "uid", json_new_str(&a, p->uid));
    p->busy = true;
    p->delete_call = client_do(p->owner->agent->client,
                               &(struct client_request){.verb = CLIENT_DELETE,
                                                        .res = resource_core("pods"),
                                                        .ns = meta_namespace(p->obj),
                                                        .name = meta_name(p->obj),
                                                        .body = options},
                               on_deleted, p);
    arena_done(&a);
}

static void begin_terminating(struct pod *p)
{
    int64_t grace = json_int(json_path(p->obj, "metadata.deletionGracePeriodSeconds"),
                             json_int(json_path(p->obj, "spec.terminationGracePeriodSeconds"), DEFAULT_GRACE_S));
    if (!meta_is_deleting(p->obj))
        grace = 0; /* deleted by force: nobody waits */
    if (grace > GRACE_MAX_S)
        grace = GRACE_MAX_S;
    p->phase = POD_TERMINATING;
    p->kill_deadline = loop_now(loop_of(p)) + (uint64_t)(grace > 0 ? grace : 0) * 1000000000;
}

static void terminate(struct pod *p)
{
    bool running = false;
    char why[256];
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        if (c->now.state != RUN_RUNNING)
            continue;
        running = true;
        snprintf(why, sizeof why, "Stopping container %" SLICE_FMT, SLICE_ARG(c->name));
        if (!c->stopping)
            stop_container(c, why);
    }
    if (running || any_stopping(p)) {
        pod_report(p);
        return;
    }
    if (unknown_run(p))
        ask_container(unknown_run(p));
    else if (p->sandbox[0] && !p->sandbox_stopped)
        halt_sandbox(p);
    else if (!p->volumes_removed) {
        p->busy = true;
        p->sandbox_stopped = true;
        volumes_remove(p->owner->agent->volumes, slice_str(p->uid), on_volumes_removed, p);
    } else if (!p->finished_report && !p->deleted_in_api) {
        p->finished_report = true;
        pod_report(p);
        pod_sync_later(p, 0);
    } else if (p->status_call) {
        return; /* the last status first */
    } else if (!p->deleted_in_api) {
        delete_in_api(p);
    } else {
        remove_traces(p);
    }
}

/* ---- the next step ---- */

static void run(struct pod *p)
{
    uint64_t wait_ms = 0;
    if (p->sandbox[0] && p->sandbox_ready && !p->sandbox_known) {
        ask_sandbox(p);
    } else if (unknown_run(p)) {
        ask_container(unknown_run(p));
    } else if (is_over(p)) {
        if (p->sandbox[0] && p->sandbox_ready)
            halt_sandbox(p);
    } else if (!p->volumes_ready) {
        p->busy = true;
        volumes_prepare(p->owner->agent->volumes, p->obj, on_volumes, p);
    } else if (!p->sandbox_ready) {
        make_sandbox(p);
    } else {
        struct container *c = next_container(p, &wait_ms);
        watch_containers(p);
        if (c && !c->stopping)
            start_container(c);
        else if (wait_ms)
            pod_sync_later(p, wait_ms);
    }
    pod_report(p);
}

void pod_sync(struct pod *p)
{
    if (p->busy || p->phase == POD_GONE || !p->owner->runtime_ok)
        return;
    if (p->phase == POD_ACTIVE && (p->deleted_in_api || meta_is_deleting(p->obj)))
        begin_terminating(p);
    if (p->phase == POD_TERMINATING)
        terminate(p);
    else
        run(p);
}

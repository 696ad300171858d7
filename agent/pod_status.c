/* A pod's status, from what the runtime and the probes say.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ */
#include <stdio.h>

#include "agent/pod.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "object/meta.h"

static struct json *time_json(struct arena *a, int64_t ns)
{
    char text[TIME_SEC_LEN + 1];
    if (!ns)
        return json_new_null(a);
    time_format_sec(ns, text);
    return json_new_str(a, text);
}

/* ---- containers ---- */

static struct json *terminated_json(struct arena *a, const struct container_run *run)
{
    struct json *t = json_new_object(a), *v = json_new_object(a);
    json_set_str(a, t, "exitCode", json_new_int(a, run->exit_code));
    json_set_str(a, t, "reason",
                 json_new_str(a, run->reason[0]   ? run->reason
                                 : run->exit_code ? "Error"
                                                  : "Completed"));
    if (run->message[0])
        json_set_str(a, t, "message", json_new_str(a, run->message));
    json_set_str(a, t, "startedAt", time_json(a, run->started_at));
    json_set_str(a, t, "finishedAt", time_json(a, run->finished_at));
    json_set_str(a, t, "containerID", json_new_printf(a, "containerd://%s", run->id));
    json_set_str(a, v, "terminated", t);
    return v;
}

static struct json *waiting_json(struct arena *a, const struct container *c)
{
    struct json *w = json_new_object(a), *v = json_new_object(a);
    json_set_str(a, w, "reason", json_new_str(a, c->waiting));
    if (c->waiting_message[0])
        json_set_str(a, w, "message", json_new_str(a, c->waiting_message));
    json_set_str(a, v, "waiting", w);
    return v;
}

static struct json *running_json(struct arena *a, const struct container *c)
{
    struct json *r = json_new_object(a), *v = json_new_object(a);
    json_set_str(a, r, "startedAt", time_json(a, c->now.started_at));
    json_set_str(a, v, "running", r);
    return v;
}

/* In backoff the container waits; what it did last stands in lastState. */
static bool is_waiting(const struct container *c)
{
    return c->now.state == RUN_NONE || c->now.state == RUN_CREATED || (c->now.state == RUN_EXITED && c->backoff_until);
}

static struct json *container_json(struct arena *a, const struct container *c)
{
    struct json *v = json_new_object(a);
    bool waiting = is_waiting(c), running = c->now.state == RUN_RUNNING;
    const struct container_run *last = waiting && c->now.state == RUN_EXITED ? &c->now : &c->last;
    json_set_str(a, v, "name", json_new_string(a, c->name));
    json_set_str(a, v, "state",
                 waiting   ? waiting_json(a, c)
                 : running ? running_json(a, c)
                           : terminated_json(a, &c->now));
    json_set_str(a, v, "lastState", last->id[0] && last->detailed ? terminated_json(a, last) : json_new_object(a));
    json_set_str(
        a, v, "ready",
        json_new_bool(a, c->init && !c->sidecar ? c->now.state == RUN_EXITED && c->now.exit_code == 0 : c->ready));
    json_set_str(a, v, "restartCount", json_new_int(a, c->restarts));
    json_set_str(a, v, "image", json_new_string(a, json_path_string(c->spec, "image")));
    json_set_str(a, v, "imageID", json_new_str(a, c->now.image_ref));
    if (c->now.id[0])
        json_set_str(a, v, "containerID", json_new_printf(a, "containerd://%s", c->now.id));
    if (!c->ephemeral)
        json_set_str(a, v, "started", json_new_bool(a, running && c->started));
    return v;
}

/* ---- phase ---- */

struct counts {
    size_t n, running, waiting, succeeded, failed;
};

static struct counts count(const struct pod *p, bool init)
{
    struct counts k = {0};
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        if (c->init != init || c->sidecar || c->ephemeral)
            continue;
        k.n++;
        k.running += c->now.state == RUN_RUNNING;
        k.succeeded += c->now.state == RUN_EXITED && c->now.exit_code == 0;
        k.failed += c->now.state == RUN_EXITED && c->now.exit_code != 0;
        k.waiting += c->now.state == RUN_NONE || c->now.state == RUN_CREATED;
    }
    return k;
}

static const char *phase_of(const struct pod *p)
{
    struct counts init = count(p, true), main = count(p, false);
    struct slice policy = json_path_string(p->obj, "spec.restartPolicy");
    bool always = slice_eq_str(policy, "Always"), never = slice_eq_str(policy, "Never");
    bool over = p->phase == POD_TERMINATING && p->sandbox_stopped;
    if (init.failed && never)
        return "Failed";
    if (init.succeeded < init.n && !over)
        return "Pending";
    if (main.waiting && !over)
        return main.running || main.succeeded || main.failed ? "Running" : "Pending";
    if (main.running || (always && !over))
        return "Running";
    if (over && main.waiting == main.n)
        return "Failed";
    if (main.failed)
        return never || over ? "Failed" : "Running";
    return "Succeeded";
}

/* ---- conditions ---- */

static void set_condition(struct arena *a, struct json *list, const char *type, bool ok, const char *reason,
                          const char *message, int64_t now)
{
    struct json *c = NULL;
    json_each (it, list)
        if (slice_eq_str(json_path_string(it, "type"), type))
            c = it;
    if (!c) {
        c = json_new_object(a);
        json_set_str(a, c, "type", json_new_str(a, type));
        json_append(list, c);
    }
    const char *status = ok ? "True" : "False";
    if (!slice_eq_str(json_path_string(c, "status"), status)) {
        json_set_str(a, c, "status", json_new_str(a, status));
        json_set_str(a, c, "lastProbeTime", json_new_null(a));
        json_set_str(a, c, "lastTransitionTime", time_json(a, now));
    }
    json_del_str(c, "reason");
    json_del_str(c, "message");
    if (!ok && reason) {
        json_set_str(a, c, "reason", json_new_str(a, reason));
        json_set_str(a, c, "message", json_new_str(a, message));
    }
}

static const char *not_ready_names(const struct pod *p, struct arena *a, bool init)
{
    struct buf names = BUF_INIT(4096);
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        bool fine = init ? c->sidecar ? c->started : c->now.state == RUN_EXITED && !c->now.exit_code : c->ready;
        if (c->init == init && !c->ephemeral && !fine)
            buf_printf(&names, "%s%" SLICE_FMT, names.n ? " " : "", SLICE_ARG(c->name));
    }
    const char *text =
        names.n ? arena_printf(a, "containers with %s status: [%s]", init ? "incomplete" : "unready", names.p) : NULL;
    buf_done(&names);
    return text;
}

static bool gates_open(const struct pod *p, const struct json *conditions)
{
    json_each (gate, json_path(p->obj, "spec.readinessGates")) {
        bool open = false;
        json_each (c, conditions)
            open |= slice_eq(json_path_string(c, "type"), json_path_string(gate, "conditionType")) &&
                    slice_eq_str(json_path_string(c, "status"), "True");
        if (!open)
            return false;
    }
    return true;
}

static struct json *conditions_json(struct pod *p, struct arena *a, const char *phase)
{
    int64_t now = loop_wall(p->owner->agent->loop);
    const struct json *there = json_path(p->obj, "status.conditions");
    struct json *list = there ? json_clone(a, there) : json_new_array(a);
    const char *init = not_ready_names(p, a, true), *unready = not_ready_names(p, a, false);
    bool done = !strcmp(phase, "Succeeded"), over = done || !strcmp(phase, "Failed");
    const char *reason = over ? "PodCompleted" : "ContainersNotReady";
    bool ready = !unready && !over && p->sandbox_ready;
    set_condition(a, list, "PodReadyToStartContainers", p->sandbox_ready && p->ip[0], NULL, NULL, now);
    set_condition(a, list, "Initialized", done || !init, "ContainersNotInitialized", init, now);
    set_condition(a, list, "Ready", ready && gates_open(p, list), ready ? "ReadinessGatesNotReady" : reason,
                  unready ? unready : "", now);
    set_condition(a, list, "ContainersReady", ready, reason, unready ? unready : "", now);
    set_condition(a, list, "PodScheduled", true, NULL, NULL, now);
    return list;
}

struct json *pod_status_json(struct pod *p, struct arena *a)
{
    struct json *status = json_new_object(a), *ips = json_new_array(a), *host_ips = json_new_array(a), *one;
    const char *phase = phase_of(p), *node_ip = p->owner->agent->o.node_ip;
    struct json *init = json_new_array(a), *main = json_new_array(a), *ephemeral = json_new_array(a);
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        json_append(c->init ? init : c->ephemeral ? ephemeral : main, container_json(a, c));
    }
    json_set_str(a, status, "phase", json_new_str(a, phase));
    json_set_str(a, status, "conditions", conditions_json(p, a, phase));
    json_set_str(a, status, "hostIP", json_new_str(a, node_ip));
    one = json_new_object(a);
    json_set_str(a, one, "ip", json_new_str(a, node_ip));
    json_append(host_ips, one);
    json_set_str(a, status, "hostIPs", host_ips);
    if (p->ip[0]) {
        json_set_str(a, status, "podIP", json_new_str(a, p->ip));
        one = json_new_object(a);
        json_set_str(a, one, "ip", json_new_str(a, p->ip));
        json_append(ips, one);
        json_set_str(a, status, "podIPs", ips);
    }
    json_set_str(a, status, "startTime",
                 json_path(p->obj, "status.startTime") ? json_clone(a, json_path(p->obj, "status.startTime"))
                                                       : time_json(a, p->start_time));
    if (json_len(init))
        json_set_str(a, status, "initContainerStatuses", init);
    json_set_str(a, status, "containerStatuses", main);
    if (json_len(ephemeral))
        json_set_str(a, status, "ephemeralContainerStatuses", ephemeral);
    return status;
}

/* ---- sending ---- */

static void on_sent(void *ctx, const struct client_reply *reply)
{
    struct pod *p = ctx;
    p->status_call = NULL;
    if (reply->err || reply->code >= 400) {
        buf_clear(&p->sent); /* the API does not have it: send it again */
        if (reply->code == 404)
            return;
        log_debug(loop_log(p->owner->agent->loop), "pods", "status refused pod=%s code=%d err=%d", p->key, reply->code,
                  reply->err);
        pod_sync_later(p, ACTION_RETRY_MS);
        return;
    }
    if (p->status_again) {
        p->status_again = false;
        pod_report(p);
    }
    if (p->phase == POD_TERMINATING)
        pod_sync(p);
}

/* How a container ended is asked for when the list shows that it did: until it is known nothing is said, for a pod that
 * was once reported as having succeeded must not fail afterwards. */
static bool ending_unknown(const struct pod *p)
{
    for (size_t i = 0; i < p->n_containers; i++)
        if (p->containers[i]->now.state == RUN_EXITED && !p->containers[i]->now.detailed)
            return true;
    return false;
}

void pod_report(struct pod *p)
{
    struct arena a;
    struct buf text = BUF_INIT(1 << 20);
    if (p->deleted_in_api || ending_unknown(p))
        return;
    if (p->status_call) {
        p->status_again = true;
        return;
    }
    arena_init(&a, POD_ARENA_MAX);
    struct json *patch = json_new_object(&a), *status = pod_status_json(p, &a), *meta = json_new_object(&a);
    json_write(&text, status);
    if (!slice_eq(buf_slice(&text), buf_slice(&p->sent))) {
        json_set_str(&a, meta, "uid", json_new_str(&a, p->uid));
        json_set_str(&a, patch, "metadata", meta);
        json_set_str(&a, patch, "status", status);
        buf_clear(&p->sent);
        buf_add_slice(&p->sent, buf_slice(&text));
        p->status_call = client_do(p->owner->agent->client,
                                   &(struct client_request){.verb = CLIENT_PATCH,
                                                            .res = resource_core("pods"),
                                                            .ns = meta_namespace(p->obj),
                                                            .name = meta_name(p->obj),
                                                            .sub = "status",
                                                            .patch = CLIENT_MERGE_PATCH,
                                                            .body = patch},
                                   on_sent, p);
    }
    buf_done(&text);
    arena_done(&a);
}

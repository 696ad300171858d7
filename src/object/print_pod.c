/* Cells of pods and nodes. */
#include <stdlib.h>

#include "base/timefmt.h"
#include "object/print_cell.h"

enum { CELL_MAX = 4096, ROLES_MAX = 100 };

/* What a pod's containers amount to. */
struct summary {
    struct arena *a;
    const char *reason;
    int64_t restarts, last_restart; /* nanoseconds; 0 = never */
    int64_t sidecar_restarts, last_sidecar_restart;
    size_t ready, total;
    bool initializing;
};

static const struct json *state(const struct json *status, const char *which)
{
    return json_get_str(json_get_str(status, "state"), which);
}

static bool is_sidecar(const struct json *pod, struct slice name)
{
    json_each (it, json_path(pod, "spec.initContainers"))
        if (slice_eq(json_path_string(it, "name"), name))
            return slice_eq_str(json_path_string(it, "restartPolicy"), "Always");
    return false;
}

static void count_restarts(const struct json *status, int64_t *restarts, int64_t *last)
{
    int64_t ns;
    *restarts += json_int(json_get_str(status, "restartCount"), 0);
    if (time_parse(json_path_string(status, "lastState.terminated.finishedAt"), &ns) && ns > *last)
        *last = ns;
}

/* Why a container ended: its reason, else signal or exit code. */
static const char *ending(struct arena *a, const struct json *terminated, const char *prefix)
{
    struct slice reason = json_path_string(terminated, "reason");
    int64_t signal = json_int(json_get_str(terminated, "signal"), 0);
    if (reason.n)
        return arena_printf(a, "%s%" SLICE_FMT, prefix, SLICE_ARG(reason));
    if (signal)
        return arena_printf(a, "%sSignal:%d", prefix, (int)signal);
    return arena_printf(a, "%sExitCode:%d", prefix, (int)json_int(json_get_str(terminated, "exitCode"), 0));
}

/* One init container; true when those behind it have not started. */
static bool look_at_init(struct summary *s, const struct json *pod, const struct json *status, size_t i)
{
    const struct json *terminated = state(status, "terminated");
    struct slice waiting = json_path_string(state(status, "waiting"), "reason");
    bool sidecar = is_sidecar(pod, json_path_string(status, "name"));
    count_restarts(status, &s->restarts, &s->last_restart);
    if (sidecar)
        count_restarts(status, &s->sidecar_restarts, &s->last_sidecar_restart);
    if (terminated && json_int(json_get_str(terminated, "exitCode"), 0) == 0)
        return false;
    if (sidecar && json_bool(json_get_str(status, "started"), false)) {
        s->ready += json_bool(json_get_str(status, "ready"), false);
        return false;
    }
    if (terminated)
        s->reason = ending(s->a, terminated, "Init:");
    else if (waiting.n && !slice_eq_str(waiting, "PodInitializing"))
        s->reason = arena_printf(s->a, "Init:%" SLICE_FMT, SLICE_ARG(waiting));
    else
        s->reason = arena_printf(s->a, "Init:%zu/%zu", i, json_len(json_path(pod, "spec.initContainers")));
    return true;
}

static void look_at_inits(struct summary *s, const struct json *pod)
{
    size_t i = 0;
    json_each (it, json_path(pod, "spec.initContainers"))
        s->total += slice_eq_str(json_path_string(it, "restartPolicy"), "Always");
    json_each (it, json_path(pod, "status.initContainerStatuses")) {
        s->initializing = look_at_init(s, pod, it, i++);
        if (s->initializing)
            return;
    }
}

static void look_at_containers(struct summary *s, const struct json *pod)
{
    const struct json *list = json_path(pod, "status.containerStatuses");
    const char *failure = NULL;
    bool running = false;
    s->restarts = s->sidecar_restarts;
    s->last_restart = s->last_sidecar_restart;
    for (const struct json *it = json_len(list) ? list->u.items.last : NULL; it; it = it->prev) {
        const struct json *terminated = state(it, "terminated");
        struct slice waiting = json_path_string(state(it, "waiting"), "reason");
        count_restarts(it, &s->restarts, &s->last_restart);
        if (waiting.n) {
            s->reason = arena_copy(s->a, waiting).p;
        } else if (terminated) {
            s->reason = ending(s->a, terminated, "");
            if (json_int(json_get_str(terminated, "exitCode"), 0))
                failure = s->reason;
        } else if (state(it, "running") && json_bool(json_get_str(it, "ready"), false)) {
            running = true;
            s->ready++;
        }
    }
    if (!s->reason || strcmp(s->reason, "Completed") != 0)
        return;
    if (running && slice_eq_str(cell_condition_status(pod, "Ready"), "True"))
        s->reason = "Running";
    else if (failure)
        s->reason = failure;
    else if (running)
        s->reason = "NotReady";
}

static void start_reason(struct summary *s, const struct json *pod)
{
    struct slice reason = json_path_string(pod, "status.reason");
    struct slice gated = json_path_string(cell_condition(pod, "PodScheduled"), "reason");
    s->reason = arena_copy(s->a, reason.n ? reason : json_path_string(pod, "status.phase")).p;
    if (slice_eq_str(gated, "SchedulingGated"))
        s->reason = "SchedulingGated";
}

static struct summary summarize(const struct cell *c)
{
    const struct json *pod = c->obj;
    struct summary s = {.a = c->a, .total = json_len(json_path(pod, "spec.containers"))};
    struct slice phase = json_path_string(pod, "status.phase");
    start_reason(&s, pod);
    look_at_inits(&s, pod);
    if (!s.initializing || slice_eq_str(cell_condition_status(pod, "Initialized"), "True"))
        look_at_containers(&s, pod);
    if (json_path_string(pod, "metadata.deletionTimestamp").n == 0)
        return s;
    if (slice_eq_str(json_path_string(pod, "status.reason"), "NodeLost"))
        s.reason = "Unknown";
    else if (!slice_eq_str(phase, "Succeeded") && !slice_eq_str(phase, "Failed"))
        s.reason = "Terminating";
    return s;
}

static struct json *pod_status(const struct cell *c)
{
    const char *reason = summarize(c).reason;
    return json_new_str(c->a, reason ? reason : "");
}

static struct json *pod_ready(const struct cell *c)
{
    struct summary s = summarize(c);
    return json_new_printf(c->a, "%zu/%zu", s.ready, s.total);
}

static struct json *pod_restarts(const struct cell *c)
{
    char text[DURATION_TEXT_MAX];
    struct summary s = summarize(c);
    if (s.restarts == 0 || s.last_restart == 0)
        return json_new_printf(c->a, "%lld", (long long)s.restarts);
    print_duration(c->now - s.last_restart, text);
    return json_new_printf(c->a, "%lld (%s ago)", (long long)s.restarts, text);
}

static struct json *pod_gates(const struct cell *c)
{
    const struct json *gates = json_path(c->obj, "spec.readinessGates");
    size_t open = 0;
    if (json_len(gates) == 0)
        return json_new_str(c->a, "<none>");
    json_each (it, gates) {
        const char *type = arena_copy(c->a, json_path_string(it, "conditionType")).p;
        open += type && slice_eq_str(cell_condition_status(c->obj, type), "True");
    }
    return json_new_printf(c->a, "%zu/%zu", open, json_len(gates));
}

/* ---- nodes ---- */

static struct json *node_status(const struct cell *c)
{
    struct slice ready = cell_condition_status(c->obj, "Ready");
    const char *text = !ready.p ? "Unknown" : slice_eq_str(ready, "True") ? "Ready" : "NotReady";
    bool closed = json_bool(json_path(c->obj, "spec.unschedulable"), false);
    return json_new_printf(c->a, "%s%s", text, closed ? ",SchedulingDisabled" : "");
}

static struct json *node_roles(const struct cell *c)
{
    static const struct slice prefix = SLICE_INIT("node-role.kubernetes.io/");
    struct buf b = BUF_INIT(CELL_MAX);
    struct slice roles[ROLES_MAX] = {0};
    size_t n = 0;
    json_each (it, json_path(c->obj, "metadata.labels")) {
        bool named = slice_eq_str(it->key, "kubernetes.io/role");
        struct slice role = named ? json_string(it) : slice_from(it->key, prefix.n);
        if (role.n && n < ROLES_MAX && (named || slice_starts(it->key, prefix)))
            roles[n++] = role;
    }
    qsort(roles, n, sizeof *roles, slice_order);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !slice_eq(roles[i], roles[i - 1]))
            cell_join(&b, ",", roles[i]);
    if (b.n == 0)
        buf_add_str(&b, "<none>");
    return cell_take(c, &b);
}

/* node_address(type): the first of that type. */
static struct json *node_address(const struct cell *c)
{
    json_each (it, json_path(c->obj, "status.addresses"))
        if (slice_eq(json_path_string(it, "type"), c->args[0]))
            return json_new_string(c->a, json_path_string(it, "address"));
    return NULL;
}

static struct json *node_kernel(const struct cell *c)
{
    struct slice kernel = json_path_string(c->obj, "status.nodeInfo.kernelVersion");
    struct slice arch = json_path_string(c->obj, "status.nodeInfo.architecture");
    if (kernel.n == 0)
        kernel = SLICE("<unknown>");
    if (arch.n == 0)
        return json_new_string(c->a, kernel);
    return json_new_printf(c->a, "%" SLICE_FMT " (%" SLICE_FMT ")", SLICE_ARG(kernel), SLICE_ARG(arch));
}

const struct cell_entry cell_pod[] = {
    {"node_address", node_address}, {"node_kernel", node_kernel}, {"node_roles", node_roles},
    {"node_status", node_status},   {"pod_gates", pod_gates},     {"pod_ready", pod_ready},
    {"pod_restarts", pod_restarts}, {"pod_status", pod_status},   {NULL, NULL},
};

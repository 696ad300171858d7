/* From a pod's spec to the messages of the CRI. */
#include <stdio.h>

#include "agent/pod.h"
#include "object/meta.h"
#include "object/quantity.h"

enum { CPU_PERIOD_US = 100000, CPU_SHARES_MIN = 2, LIST_MAX = 256 };

void pod_dir(const struct pod *p, char *out, size_t n)
{
    snprintf(out, n, "%s/pods/%s", p->owner->agent->o.data_dir, p->uid);
}

void pod_log_dir(const struct pod *p, char *out, size_t n)
{
    struct slice ns = meta_namespace(p->obj), name = meta_name(p->obj);
    snprintf(out, n, "%s/logs/%" SLICE_FMT "_%" SLICE_FMT "_%s", p->owner->agent->o.data_dir, SLICE_ARG(ns),
             SLICE_ARG(name), p->uid);
}

void container_message_path(const struct container *c, uint32_t attempt, char *out, size_t n)
{
    char dir[512];
    pod_dir(c->pod, dir, sizeof dir);
    snprintf(out, n, "%s/containers/%" SLICE_FMT "-%u", dir, SLICE_ARG(c->name), attempt);
}

static char *copy(struct arena *a, struct slice s)
{
    struct slice c = arena_copy(a, s);
    return c.p ? (char *)c.p : (char *)"";
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type has none */
#define NEW(a, type, init)                                                                                             \
    __extension__({                                                                                                    \
        type *new_ = arena_alloc((a), sizeof(type));                                                                   \
        if (new_)                                                                                                      \
            init(new_);                                                                                                \
        new_;                                                                                                          \
    })
/* NOLINTEND(bugprone-macro-parentheses) */

static char **texts(struct arena *a, const struct json *list, size_t *ret_n)
{
    size_t n = json_len(list);
    char **out = arena_alloc(a, (n + 1) * sizeof *out);
    *ret_n = 0;
    if (out)
        json_each (v, list)
            out[(*ret_n)++] = copy(a, json_string(v));
    return out;
}

static Runtime__V1__Int64Value *int64_value(struct arena *a, const struct json *v)
{
    if (!v)
        return NULL;
    Runtime__V1__Int64Value *out = NEW(a, Runtime__V1__Int64Value, runtime__v1__int64_value__init);
    if (out)
        out->value = json_int(v, 0);
    return out;
}

/* The container's setting, or the pod's. */
static const struct json *security(const struct pod *p, const struct container *c, const char *name)
{
    const struct json *v = c ? json_get_str(json_get_str(c->spec, "securityContext"), name) : NULL;
    return v ? v : json_get_str(json_path(p->obj, "spec.securityContext"), name);
}

/* c: NULL for the sandbox. An ephemeral container may live among the processes of the one that it looks at. */
static Runtime__V1__NamespaceOption *namespaces(struct pod *p, const struct container *c, struct arena *a)
{
    Runtime__V1__NamespaceOption *o = NEW(a, Runtime__V1__NamespaceOption, runtime__v1__namespace_option__init);
    const struct json *spec = json_get_str(p->obj, "spec");
    if (!o)
        return NULL;
    bool shared = json_bool(json_get_str(spec, "shareProcessNamespace"), false);
    o->network = json_bool(json_get_str(spec, "hostNetwork"), false) ? RUNTIME__V1__NAMESPACE_MODE__NODE
                                                                     : RUNTIME__V1__NAMESPACE_MODE__POD;
    o->ipc = json_bool(json_get_str(spec, "hostIPC"), false) ? RUNTIME__V1__NAMESPACE_MODE__NODE
                                                             : RUNTIME__V1__NAMESPACE_MODE__POD;
    o->pid = json_bool(json_get_str(spec, "hostPID"), false) ? RUNTIME__V1__NAMESPACE_MODE__NODE
             : shared                                        ? RUNTIME__V1__NAMESPACE_MODE__POD
                                                             : RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
    struct slice target = json_path_string(c ? c->spec : NULL, "targetContainerName");
    if (c && c->ephemeral && target.n) {
        const struct container *seen = pod_container(p, target);
        if (!seen || seen->now.state != RUN_RUNNING)
            return NULL;
        o->pid = RUNTIME__V1__NAMESPACE_MODE__TARGET;
        o->target_id = copy(a, slice_str(seen->now.id));
    }
    return o;
}

static Runtime__V1__SecurityProfile *seccomp(struct pod *p, const struct container *c, struct arena *a)
{
    const struct json *profile = security(p, c, "seccompProfile");
    struct slice type = json_path_string(profile, "type");
    if (!profile)
        return NULL;
    Runtime__V1__SecurityProfile *s = NEW(a, Runtime__V1__SecurityProfile, runtime__v1__security_profile__init);
    if (!s)
        return NULL;
    s->profile_type = slice_eq_str(type, "Unconfined")  ? RUNTIME__V1__PROFILE_TYPE__UNCONFINED
                      : slice_eq_str(type, "Localhost") ? RUNTIME__V1__PROFILE_TYPE__LOCALHOST
                                                        : RUNTIME__V1__PROFILE_TYPE__RUNTIME_DEFAULT;
    s->localhost_ref = copy(a, json_path_string(profile, "localhostProfile"));
    return s;
}

static size_t groups(struct pod *p, struct arena *a, int64_t **ret)
{
    const struct json *list = json_path(p->obj, "spec.securityContext.supplementalGroups");
    const struct json *fs_group = json_path(p->obj, "spec.securityContext.fsGroup");
    int64_t *out = arena_alloc(a, (json_len(list) + 1) * sizeof *out);
    size_t n = 0;
    if (!out)
        return 0;
    json_each (g, list)
        out[n++] = json_int(g, 0);
    if (fs_group)
        out[n++] = json_int(fs_group, 0);
    *ret = out;
    return n;
}

/* ---- sandbox ---- */

static Runtime__V1__DNSConfig *dns(struct pod *p, struct arena *a)
{
    const struct agent_options *o = &p->owner->agent->o;
    struct slice policy = json_path_string(p->obj, "spec.dnsPolicy"), ns = meta_namespace(p->obj);
    const struct json *own = json_path(p->obj, "spec.dnsConfig");
    bool cluster =
        o->cluster_dns && (slice_eq_str(policy, "ClusterFirst") || slice_eq_str(policy, "ClusterFirstWithHostNet"));
    if (!cluster && !own)
        return NULL; /* the runtime copies the node's */
    Runtime__V1__DNSConfig *d = NEW(a, Runtime__V1__DNSConfig, runtime__v1__dnsconfig__init);
    if (!d)
        return NULL;
    d->servers = texts(a, json_get_str(own, "nameservers"), &d->n_servers);
    d->searches = texts(a, json_get_str(own, "searches"), &d->n_searches);
    if (cluster && !d->n_servers) {
        const char *domain = o->cluster_domain ? o->cluster_domain : "cluster.local";
        static const char *const options[] = {"ndots:5"};
        d->servers = arena_alloc(a, sizeof *d->servers);
        d->searches = arena_alloc(a, 3 * sizeof *d->searches);
        if (!d->servers || !d->searches)
            return NULL;
        d->servers[0] = copy(a, slice_str(o->cluster_dns));
        d->searches[0] = copy(a, slice_str(arena_printf(a, "%" SLICE_FMT ".svc.%s", SLICE_ARG(ns), domain)));
        d->searches[1] = copy(a, slice_str(arena_printf(a, "svc.%s", domain)));
        d->searches[2] = copy(a, slice_str(domain));
        d->options = (char **)(void *)options;
        d->n_servers = d->n_options = 1;
        d->n_searches = 3;
    }
    return d;
}

static void port_mappings(struct pod *p, struct arena *a, Runtime__V1__PodSandboxConfig *config)
{
    config->port_mappings = arena_alloc(a, LIST_MAX * sizeof *config->port_mappings);
    if (!config->port_mappings)
        return;
    for (size_t i = 0; i < p->n_containers; i++) {
        json_each (port, json_get_str(p->containers[i]->spec, "ports")) {
            struct slice protocol = json_path_string(port, "protocol");
            Runtime__V1__PortMapping *m = NEW(a, Runtime__V1__PortMapping, runtime__v1__port_mapping__init);
            if (!m || config->n_port_mappings == LIST_MAX || !json_int(json_get_str(port, "hostPort"), 0))
                continue;
            m->container_port = (int32_t)json_int(json_get_str(port, "containerPort"), 0);
            m->host_port = (int32_t)json_int(json_get_str(port, "hostPort"), 0);
            m->host_ip = copy(a, json_path_string(port, "hostIP"));
            m->protocol = slice_eq_str(protocol, "UDP") ? 1 : slice_eq_str(protocol, "SCTP") ? 2 : 0;
            config->port_mappings[config->n_port_mappings++] = m;
        }
    }
}

static Runtime__V1__PodSandboxConfig__LabelsEntry *label(struct arena *a, const char *key, struct slice value)
{
    Runtime__V1__PodSandboxConfig__LabelsEntry *e =
        NEW(a, Runtime__V1__PodSandboxConfig__LabelsEntry, runtime__v1__pod_sandbox_config__labels_entry__init);
    if (e) {
        e->key = copy(a, slice_str(key));
        e->value = copy(a, value);
    }
    return e;
}

static void sandbox_linux(struct pod *p, struct arena *a, Runtime__V1__PodSandboxConfig *config)
{
    Runtime__V1__LinuxPodSandboxConfig *l =
        NEW(a, Runtime__V1__LinuxPodSandboxConfig, runtime__v1__linux_pod_sandbox_config__init);
    Runtime__V1__LinuxSandboxSecurityContext *s =
        NEW(a, Runtime__V1__LinuxSandboxSecurityContext, runtime__v1__linux_sandbox_security_context__init);
    const char *parent = p->owner->agent->o.cgroup_parent;
    if (!l || !s)
        return;
    l->cgroup_parent = (char *)arena_printf(a, "%s/pod%s", parent ? parent : "/pintle", p->uid);
    s->namespace_options = namespaces(p, NULL, a);
    for (size_t i = 0; i < p->n_containers; i++)
        s->privileged |= json_bool(json_path(p->containers[i]->spec, "securityContext.privileged"), false);
    s->n_supplemental_groups = groups(p, a, &s->supplemental_groups);
    l->security_context = s;
    config->linux = l;
}

Runtime__V1__PodSandboxConfig *pod_sandbox_config(struct pod *p, struct arena *a)
{
    char logs[512];
    Runtime__V1__PodSandboxConfig *config =
        NEW(a, Runtime__V1__PodSandboxConfig, runtime__v1__pod_sandbox_config__init);
    Runtime__V1__PodSandboxMetadata *meta =
        NEW(a, Runtime__V1__PodSandboxMetadata, runtime__v1__pod_sandbox_metadata__init);
    struct slice hostname = json_path_string(p->obj, "spec.hostname"), name = meta_name(p->obj);
    if (!config || !meta)
        return NULL;
    meta->name = copy(a, name);
    meta->uid = copy(a, slice_str(p->uid));
    meta->namespace_ = copy(a, meta_namespace(p->obj));
    meta->attempt = p->sandbox_attempt;
    config->metadata = meta;
    if (!json_bool(json_path(p->obj, "spec.hostNetwork"), false)) {
        struct slice host = hostname.n ? hostname : name;
        host.n = host.n > 63 ? 63 : host.n;
        config->hostname = copy(a, host);
    }
    pod_log_dir(p, logs, sizeof logs);
    config->log_directory = copy(a, slice_str(logs));
    config->dns_config = dns(p, a);
    port_mappings(p, a, config);
    config->labels = arena_alloc(a, 3 * sizeof *config->labels);
    if (!config->labels)
        return NULL;
    config->labels[config->n_labels++] = label(a, "io.kubernetes.pod.name", name);
    config->labels[config->n_labels++] = label(a, "io.kubernetes.pod.namespace", meta_namespace(p->obj));
    config->labels[config->n_labels++] = label(a, "io.kubernetes.pod.uid", slice_str(p->uid));
    sandbox_linux(p, a, config);
    return arena_error(a) ? NULL : config;
}

/* ---- container ---- */

static int64_t milli(const struct json *v)
{
    struct quantity q;
    return quantity_from_json(v, &q) ? quantity_milli(q) : 0;
}

static int64_t bytes(const struct json *v)
{
    struct quantity q;
    return quantity_from_json(v, &q) ? quantity_value(q) : 0;
}

static Runtime__V1__LinuxContainerResources *resources(const struct container *c, struct arena *a)
{
    Runtime__V1__LinuxContainerResources *r =
        NEW(a, Runtime__V1__LinuxContainerResources, runtime__v1__linux_container_resources__init);
    const struct json *res = json_get_str(c->spec, "resources");
    int64_t request = milli(json_path(res, "requests.cpu")), limit = milli(json_path(res, "limits.cpu"));
    if (!r)
        return NULL;
    if (!request)
        request = limit;
    r->cpu_shares = request * 1024 / 1000 < CPU_SHARES_MIN ? CPU_SHARES_MIN : request * 1024 / 1000;
    if (limit) {
        r->cpu_period = CPU_PERIOD_US;
        r->cpu_quota = limit * CPU_PERIOD_US / 1000 < 1000 ? 1000 : limit * CPU_PERIOD_US / 1000;
    }
    r->memory_limit_in_bytes = bytes(json_path(res, "limits.memory"));
    return r;
}

static Runtime__V1__LinuxContainerSecurityContext *container_security(struct pod *p, struct container *c,
                                                                      struct arena *a)
{
    static const char *const masked[] = {
        "/proc/asound",     "/proc/acpi",        "/proc/kcore",       "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"};
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
    Runtime__V1__LinuxContainerSecurityContext *s =
        NEW(a, Runtime__V1__LinuxContainerSecurityContext, runtime__v1__linux_container_security_context__init);
    const struct json *own = json_get_str(c->spec, "securityContext"), *caps = json_get_str(own, "capabilities");
    if (!s)
        return NULL;
    s->privileged = json_bool(json_get_str(own, "privileged"), false);
    s->namespace_options = namespaces(p, c, a);
    s->run_as_user = int64_value(a, security(p, c, "runAsUser"));
    s->run_as_group = int64_value(a, security(p, c, "runAsGroup"));
    s->readonly_rootfs = json_bool(json_get_str(own, "readOnlyRootFilesystem"), false);
    s->no_new_privs = !json_bool(json_get_str(own, "allowPrivilegeEscalation"), true);
    s->n_supplemental_groups = groups(p, a, &s->supplemental_groups);
    s->seccomp = seccomp(p, c, a);
    if (caps) {
        s->capabilities = NEW(a, Runtime__V1__Capability, runtime__v1__capability__init);
        if (!s->capabilities)
            return NULL;
        s->capabilities->add_capabilities = texts(a, json_get_str(caps, "add"), &s->capabilities->n_add_capabilities);
        s->capabilities->drop_capabilities =
            texts(a, json_get_str(caps, "drop"), &s->capabilities->n_drop_capabilities);
    }
    if (!s->privileged) {
        s->masked_paths = (char **)(void *)masked;
        s->n_masked_paths = sizeof masked / sizeof *masked;
        s->readonly_paths = (char **)(void *)readonly;
        s->n_readonly_paths = sizeof readonly / sizeof *readonly;
    }
    return s;
}

static Runtime__V1__Mount *mount(struct arena *a, struct slice inside, const char *host, bool read_only)
{
    Runtime__V1__Mount *m = NEW(a, Runtime__V1__Mount, runtime__v1__mount__init);
    if (m) {
        m->container_path = copy(a, inside);
        m->host_path = copy(a, slice_str(host));
        m->readonly = read_only;
    }
    return m;
}

/* A path below the volume. What comes of subPathExpr is the pod's word, known only here. */
static bool stays_below(struct slice path)
{
    struct slice part;
    if (slice_starts(path, SLICE("/")) || memchr(path.p, '\0', path.n))
        return false;
    while (path.n) {
        slice_cut(path, '/', &part, &path);
        if (slice_eq_str(part, ".."))
            return false;
    }
    return true;
}

/* Where the part of a volume is to be bound; NULL when there are too many. */
static const char *bind_part(struct pod *p, const struct container *c, struct arena *a, const struct json *volume,
                             const char *base, struct slice sub, struct binds_job *binds)
{
    const char *data = p->owner->agent->o.data_dir;
    if (binds->n == BINDS_MAX)
        return NULL;
    struct bind *b = &binds->binds[binds->n];
    binds->mounts = volumes_may_mount(p->owner->agent->volumes);
    binds->dir = arena_printf(a, "%s/subpaths/%s", data, p->uid);
    *b = (struct bind){.base = arena_printf(a, "%s", base),
                       .path = arena_printf(a, "%" SLICE_FMT, SLICE_ARG(sub)),
                       .group = json_get_str(volume, "hostPath")
                                    ? -1
                                    : json_int(json_path(p->obj, "spec.securityContext.fsGroup"), -1),
                       .target = arena_printf(a, "%s/%" SLICE_FMT ".%zu", binds->dir, SLICE_ARG(c->name), binds->n)};
    binds->n++;
    return binds->mounts ? b->target : arena_printf(a, "%s/%s", base, b->path);
}

static const struct json *volume_of(const struct pod *p, struct slice name)
{
    json_each (v, json_path(p->obj, "spec.volumes"))
        if (slice_eq(json_path_string(v, "name"), name))
            return v;
    return NULL;
}

static int add_mounts(struct pod *p, struct container *c, struct arena *a, const struct env_var *env, size_t n_env,
                      Runtime__V1__ContainerConfig *config, struct binds_job *binds, char message[POD_MESSAGE_MAX])
{
    json_each (vm, json_get_str(c->spec, "volumeMounts")) {
        char host[1024];
        struct slice volume = json_path_string(vm, "name"), sub = json_path_string(vm, "subPath");
        struct slice propagation = json_path_string(vm, "mountPropagation");
        if (json_get_str(vm, "subPathExpr"))
            sub = slice_str(env_expand(a, env, n_env, json_path_string(vm, "subPathExpr")));
        if (volumes_host_path(p->owner->agent->volumes, p->obj, volume, host, sizeof host)) {
            snprintf(message, POD_MESSAGE_MAX, "volume \"%" SLICE_FMT "\" is not there", SLICE_ARG(volume));
            return -1;
        }
        if (sub.n && !stays_below(sub)) {
            snprintf(message, POD_MESSAGE_MAX, "subPath \"%" SLICE_FMT "\" leads out of volume \"%" SLICE_FMT "\"",
                     SLICE_ARG(sub), SLICE_ARG(volume));
            return -1;
        }
        const char *path = sub.n ? bind_part(p, c, a, volume_of(p, volume), host, sub, binds) : host;
        Runtime__V1__Mount *m =
            !path ? NULL
                  : mount(a, json_path_string(vm, "mountPath"), path, json_bool(json_get_str(vm, "readOnly"), false));
        if (!m || config->n_mounts == LIST_MAX)
            return -1;
        m->propagation =
            slice_eq_str(propagation, "HostToContainer") ? RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER
            : slice_eq_str(propagation, "Bidirectional") ? RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL
                                                         : RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE;
        config->mounts[config->n_mounts++] = m;
    }
    return 0;
}

static void add_label(struct arena *a, Runtime__V1__ContainerConfig *config, const char *key, struct slice value)
{
    Runtime__V1__ContainerConfig__LabelsEntry *e =
        NEW(a, Runtime__V1__ContainerConfig__LabelsEntry, runtime__v1__container_config__labels_entry__init);
    if (!e)
        return;
    e->key = copy(a, slice_str(key));
    e->value = copy(a, value);
    config->labels[config->n_labels++] = e;
}

static char **expanded(struct arena *a, const struct json *list, const struct env_var *env, size_t n_env, size_t *ret_n)
{
    char **out = arena_alloc(a, (json_len(list) + 1) * sizeof *out);
    *ret_n = 0;
    if (out)
        json_each (v, list)
            out[(*ret_n)++] = (char *)env_expand(a, env, n_env, json_string(v));
    return out;
}

static void add_env(struct arena *a, Runtime__V1__ContainerConfig *config, const struct env_var *env, size_t n)
{
    config->envs = arena_alloc(a, (n + 1) * sizeof *config->envs);
    for (size_t i = 0; i < n && config->envs; i++) {
        Runtime__V1__KeyValue *kv = NEW(a, Runtime__V1__KeyValue, runtime__v1__key_value__init);
        if (!kv)
            return;
        kv->key = (char *)env[i].name;
        kv->value = (char *)env[i].value;
        config->envs[config->n_envs++] = kv;
    }
}

Runtime__V1__ContainerConfig *pod_container_config(struct pod *p, struct container *c, struct arena *a,
                                                   struct binds_job *binds, char message[POD_MESSAGE_MAX])
{
    size_t n_env;
    struct env_var *env = pod_env(p, c, a, &n_env, message);
    Runtime__V1__ContainerConfig *config = NEW(a, Runtime__V1__ContainerConfig, runtime__v1__container_config__init);
    char termination[1024];
    if (!env || !config)
        return NULL;
    config->metadata = NEW(a, Runtime__V1__ContainerMetadata, runtime__v1__container_metadata__init);
    config->image = NEW(a, Runtime__V1__ImageSpec, runtime__v1__image_spec__init);
    config->linux = NEW(a, Runtime__V1__LinuxContainerConfig, runtime__v1__linux_container_config__init);
    config->mounts = arena_alloc(a, (LIST_MAX + 1) * sizeof *config->mounts);
    config->labels = arena_alloc(a, 4 * sizeof *config->labels);
    if (!config->metadata || !config->image || !config->linux || !config->mounts || !config->labels)
        return NULL;
    config->metadata->name = copy(a, c->name);
    config->metadata->attempt = c->restarts;
    config->image->image = copy(a, json_path_string(c->spec, "image"));
    config->command = expanded(a, json_get_str(c->spec, "command"), env, n_env, &config->n_command);
    config->args = expanded(a, json_get_str(c->spec, "args"), env, n_env, &config->n_args);
    config->working_dir = copy(a, json_path_string(c->spec, "workingDir"));
    add_env(a, config, env, n_env);
    if (add_mounts(p, c, a, env, n_env, config, binds, message))
        return NULL;
    container_message_path(c, c->restarts, termination, sizeof termination);
    struct slice message_path = json_path_string(c->spec, "terminationMessagePath");
    if (message_path.n)
        config->mounts[config->n_mounts++] = mount(a, message_path, termination, false);
    add_label(a, config, "io.kubernetes.container.name", c->name);
    add_label(a, config, "io.kubernetes.pod.name", meta_name(p->obj));
    add_label(a, config, "io.kubernetes.pod.namespace", meta_namespace(p->obj));
    add_label(a, config, "io.kubernetes.pod.uid", slice_str(p->uid));
    config->log_path = (char *)arena_printf(a, "%" SLICE_FMT "/%u.log", SLICE_ARG(c->name), c->restarts);
    config->stdin = json_bool(json_get_str(c->spec, "stdin"), false);
    config->stdin_once = json_bool(json_get_str(c->spec, "stdinOnce"), false);
    config->tty = json_bool(json_get_str(c->spec, "tty"), false);
    config->linux->resources = resources(c, a);
    config->linux->security_context = container_security(p, c, a);
    if (config->linux->security_context && !config->linux->security_context->namespace_options) {
        snprintf(message, POD_MESSAGE_MAX, "unable to find target container \"%" SLICE_FMT "\"",
                 SLICE_ARG(json_path_string(c->spec, "targetContainerName")));
        return NULL;
    }
    return arena_error(a) ? NULL : config;
}

#include "object/warnings.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "object/meta.h"
#include "object/path.h"
#include "object/quantity.h"
#include "object/validate.h"

struct warner;

/* One found by a rule's pattern. */
struct found {
    const char *path;
    const struct json *v;
    struct slice key; /* of the map entry that the pattern's last {*} stands for */
};

struct rule {
    const char *pattern;
    void (*check)(struct warner *w, const struct found *f, const char *arg);
    const char *arg;
};

struct warner {
    struct arena *a;
    void (*add)(void *ctx, const char *text);
    void *ctx;
    const struct resource *res;
    const struct json *obj, *old;
    const char *prefix;      /* of a pod template: "spec.template"; "" = the object itself */
    const struct json *base; /* what stands there */
    const struct rule *rule;
    unsigned budget; /* comparisons left */
};

/* Of one object: what is looked for twice costs squares, and millions of bytes of variables may come. */
enum { COMPARISONS_MAX = 1000000 };

static bool spend(struct warner *w)
{
    if (w->budget > 0)
        w->budget--;
    return w->budget > 0;
}

static void warn(struct warner *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct warner *w, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->add(w->ctx, arena_printf(w->a, "%s", text));
}

static const char *text_of(struct warner *w, struct slice s)
{
    return arena_printf(w->a, "%" SLICE_FMT, SLICE_ARG(s));
}

static const char *child(struct warner *w, const char *path, const char *name)
{
    return *path ? arena_printf(w->a, "%s.%s", path, name) : name;
}

/* ---- patterns: a.b, a[*].b for the items of an array, a{*} for the entries of a map ---- */

static void walk(struct warner *w, const char *pattern, struct found f)
{
    if (!f.v)
        return;
    if (!*pattern) {
        w->rule->check(w, &f, w->rule->arg);
        return;
    }
    if (*pattern == '[' || *pattern == '{') {
        bool map = *pattern == '{';
        size_t i = 0;
        if (!json_is(f.v, map ? JSON_OBJECT : JSON_ARRAY))
            return;
        json_each (m, f.v) {
            const char *path = map ? arena_printf(w->a, "%s[%" SLICE_FMT "]", f.path, SLICE_ARG(m->key))
                                   : arena_printf(w->a, "%s[%zu]", f.path, i++);
            walk(w, pattern + 3, (struct found){path, m, map ? m->key : f.key});
        }
        return;
    }
    if (*pattern == '.')
        pattern++;
    size_t n = strcspn(pattern, ".[{");
    struct slice name = slice_of(pattern, n);
    if (json_is(f.v, JSON_OBJECT))
        walk(w, pattern + n, (struct found){child(w, f.path, text_of(w, name)), json_get(f.v, name), f.key});
}

static void run(struct warner *w, const struct rule *rules, size_t n, const char *path, const struct json *base)
{
    for (size_t i = 0; i < n; i++) {
        w->rule = &rules[i];
        walk(w, rules[i].pattern, (struct found){path, base, SLICE_NONE});
    }
}

/* ---- what rules look for ---- */

static void is_there(struct warner *w, const struct found *f, const char *arg)
{
    bool empty = json_is(f->v, JSON_NULL) || (json_is(f->v, JSON_STRING) && !json_string(f->v).n);
    if (!empty)
        warn(w, "%s: %s", f->path, arg);
}

static const char *node_label_message(struct slice key)
{
    static const char *const rows[][2] = {
        {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
        {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
        {"failure-domain.beta.kubernetes.io/region",
         "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
        {"failure-domain.beta.kubernetes.io/zone",
         "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
        {"beta.kubernetes.io/instance-type",
         "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (slice_eq_str(key, rows[i][0]))
            return rows[i][1];
    return NULL;
}

/* arg: the path to name instead of the entry's, or "". */
static void node_label_key(struct warner *w, const struct found *f, const char *arg)
{
    const char *message = node_label_message(f->key);
    if (message)
        warn(w, "%s: %s", *arg ? arg : f->path, message);
}

/* arg: not empty = the label itself is not told. */
static void node_label_value(struct warner *w, const struct found *f, const char *arg)
{
    const char *message = node_label_message(json_string(f->v));
    if (message)
        warn(w, "%s: %s%s%s", f->path, *arg ? "" : text_of(w, json_string(f->v)), *arg ? "" : " is ", message);
}

/* A preferred term is not validated as strictly as a required one: what can match nothing is told here. */
static void label_value(struct warner *w, const struct found *f, const char *arg)
{
    const char *fault = validate_label_value(json_string(f->v));
    (void)arg;
    if (fault)
        warn(w, "%s: %s is invalid, %s", f->path, text_of(w, json_string(f->v)), fault);
}

static void null_selector(struct warner *w, const struct found *f, const char *arg)
{
    const struct json *v = json_get_str(f->v, "labelSelector");
    (void)arg;
    if (!v || json_is(v, JSON_NULL))
        warn(w, "%s: a null labelSelector results in matching no pod", child(w, f->path, "labelSelector"));
}

static void fractional(struct warner *w, const struct found *f, const char *arg)
{
    struct quantity q;
    struct buf text = BUF_INIT(256);
    (void)arg;
    if (quantity_from_json(f->v, &q) && quantity_cmp(q, quantity_of(quantity_value(q))) != 0 &&
        !quantity_write(&text, q))
        warn(w, "%s: fractional byte value \"%s\" is invalid, must be an integer", f->path, text.p);
    buf_done(&text);
}

static void negative(struct warner *w, const struct found *f, const char *arg)
{
    if (json_int(f->v, 0) < 0)
        warn(w, "%s: %s", f->path, arg);
}

static void empty_name(struct warner *w, const struct found *f, const char *arg)
{
    (void)arg;
    if (!json_path_string(f->v, "name").n)
        warn(w, "%s: invalid empty name \"\"", child(w, f->path, "name"));
}

/* An array of objects in which a member, arg, comes twice. */
static void twice(struct warner *w, const struct found *f, const char *arg)
{
    size_t i = 0;
    json_each (item, f->v) {
        struct slice value = json_path_string(item, arg);
        for (const struct json *before = json_first(f->v); before != item && spend(w); before = before->next) {
            if (!slice_eq(json_path_string(before, arg), value))
                continue;
            warn(w, "%s[%zu].%s: duplicate %s \"%" SLICE_FMT "\"", f->path, i, arg, arg, SLICE_ARG(value));
            break;
        }
        i++;
    }
}

/* ---- addresses ---- */

/* As Go's net: leading zeros are taken, IPv4 in IPv6 is IPv4. The preferred form goes to out. False when it is none. */
static bool parse_ip(struct slice s, char out[INET6_ADDRSTRLEN], bool *ret_standard, bool *ret_v6,
                     unsigned char bytes[16])
{
    char text[64];
    unsigned a, b, c, d;
    int used = 0;
    struct in6_addr six;
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *ret_v6 = false;
    if (!memchr(s.p, ':', s.n)) {
        /* NOLINTNEXTLINE(cert-err34-c): of three digits each nothing overflows */
        if (sscanf(text, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &used) != 4 || text[used] || a > 255 || b > 255 ||
            c > 255 || d > 255)
            return false;
        snprintf(out, INET6_ADDRSTRLEN, "%u.%u.%u.%u", a, b, c, d);
        memcpy(bytes, (unsigned char[]){(unsigned char)a, (unsigned char)b, (unsigned char)c, (unsigned char)d}, 4);
        *ret_standard = slice_eq_str(s, out);
        return true;
    }
    if (inet_pton(AF_INET6, text, &six) != 1)
        return false;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&six);
    *ret_standard = !mapped;
    *ret_v6 = !mapped;
    memcpy(bytes, mapped ? six.s6_addr + 12 : six.s6_addr, mapped ? 4 : 16);
    return inet_ntop(mapped ? AF_INET : AF_INET6, bytes, out, INET6_ADDRSTRLEN) != NULL;
}

static void ip(struct warner *w, const struct found *f, const char *arg)
{
    char out[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    bool standard, v6;
    struct slice s = json_string(f->v);
    (void)arg;
    if (!parse_ip(s, out, &standard, &v6, bytes))
        return;
    if (!standard)
        warn(w,
             "%s: non-standard IP address \"%" SLICE_FMT
             "\" will be considered invalid in a future Kubernetes release: use \"%s\"",
             f->path, SLICE_ARG(s), out);
    else if (v6 && !slice_eq_str(s, out))
        warn(w, "%s: IPv6 address \"%" SLICE_FMT "\" should be in RFC 5952 canonical format (\"%s\")", f->path,
             SLICE_ARG(s), out);
}

/* Clears what stands behind the prefix; true when there was something. */
static bool mask(unsigned char *bytes, unsigned bits, unsigned length)
{
    bool changed = false;
    for (unsigned i = length; i < bits; i++) {
        unsigned char bit = (unsigned char)(0x80 >> i % 8);
        changed |= bytes[i / 8] & bit;
        bytes[i / 8] = (unsigned char)(bytes[i / 8] & ~bit);
    }
    return changed;
}

static void cidr(struct warner *w, const struct found *f, const char *arg)
{
    char out[INET6_ADDRSTRLEN], net[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    bool standard, v6;
    struct slice s = json_string(f->v), address, prefix;
    uint64_t length;
    (void)arg;
    if (!slice_cut(s, '/', &address, &prefix) || !parse_ip(address, out, &standard, &v6, bytes) ||
        !slice_to_u64(prefix, &length))
        return;
    unsigned bits = v6 ? 128 : 32;
    bool mapped = !v6 && memchr(address.p, ':', address.n);
    length -= mapped && length >= 96 ? 96 : 0;
    if (length > bits)
        return;
    bool ambiguous = mask(bytes, bits, (unsigned)length);
    if (!inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, net, sizeof net))
        return;
    if (ambiguous)
        warn(w, "%s: CIDR value \"%" SLICE_FMT "\" is ambiguous in this context (should be \"%s/%lu\" or \"%s/%u\"?)",
             f->path, SLICE_ARG(s), net, length, out, bits);
    if (!standard || (prefix.n > 1 && prefix.p[0] == '0'))
        warn(w,
             "%s: non-standard CIDR value \"%" SLICE_FMT
             "\" will be considered invalid in a future Kubernetes release: use \"%s/%lu\"",
             f->path, SLICE_ARG(s), net, length);
    else if (v6 && !slice_eq_str(address, out) && !ambiguous)
        warn(w, "%s: IPv6 CIDR value \"%" SLICE_FMT "\" should be in RFC 5952 canonical format (\"%s/%lu\")", f->path,
             SLICE_ARG(s), out, length);
}

/* ---- containers ---- */

/* X="a", then X="b": an apply of it may lose the first. X="$(X)b" is fine. */
static void hidden_env(struct warner *w, const struct found *f, const char *arg)
{
    size_t i = 0;
    (void)arg;
    json_each (item, f->v) {
        struct slice name = json_path_string(item, "name"), value = json_path_string(item, "value");
        const char *ref = arena_printf(w->a, "$(%" SLICE_FMT ")", SLICE_ARG(name));
        bool bad = json_get_str(item, "valueFrom") || slice_eq_str(value, ref) || !value.n ||
                   !memmem(value.p, value.n, ref, strlen(ref));
        for (const struct json *before = json_first(f->v); bad && before != item && spend(w); before = before->next) {
            if (!slice_eq(json_path_string(before, "name"), name))
                continue;
            warn(w, "%s[%zu]: hides previous definition of \"%" SLICE_FMT "\", which may be dropped when using apply",
                 f->path, i, SLICE_ARG(name));
            break;
        }
        i++;
    }
}

static void annotated_container(struct warner *w, const struct found *f, const char *annotation, const char *field,
                                const char *message)
{
    struct slice name = json_path_string(f->v, "name");
    const char *key = arena_printf(w->a, "%s%" SLICE_FMT, annotation, SLICE_ARG(name));
    const struct json *annotations = json_path(w->base, "metadata.annotations");
    if (!json_get_str(json_get_str(f->v, "securityContext"), field) && json_get_str(annotations, key))
        warn(w, "%s[%s]: %s", child(w, w->prefix, "metadata.annotations"), key, message);
}

static void container_seccomp(struct warner *w, const struct found *f, const char *arg)
{
    annotated_container(w, f, "container.seccomp.security.alpha.kubernetes.io/", "seccompProfile", arg);
}

/* Of templates: a pod's own field is made of the annotation. */
static void container_apparmor(struct warner *w, const struct found *f, const char *arg)
{
    if (*w->prefix && !json_path(w->base, "spec.securityContext.appArmorProfile"))
        annotated_container(w, f, "container.apparmor.security.beta.kubernetes.io/", "appArmorProfile", arg);
}

static void pod_seccomp(struct warner *w, const struct found *f, const char *arg)
{
    if (!json_path(w->base, "spec.securityContext.seccompProfile"))
        warn(w, "%s: %s", f->path, arg);
}

struct port {
    const char *path;
    const struct json *v;
    struct port *next;
};

static bool same_port(const struct json *a, const struct json *b)
{
    return json_int(json_get_str(a, "containerPort"), 0) == json_int(json_get_str(b, "containerPort"), 0) &&
           slice_eq(json_path_string(a, "protocol"), json_path_string(b, "protocol"));
}

static void compare_ports(struct warner *w, const struct port *p, const struct port *other)
{
    struct slice ip_a = json_path_string(p->v, "hostIP"), ip_b = json_path_string(other->v, "hostIP");
    int64_t a = json_int(json_get_str(p->v, "hostPort"), 0), b = json_int(json_get_str(other->v, "hostPort"), 0);
    if (!same_port(p->v, other->v))
        return;
    if (slice_eq(ip_a, ip_b) && a == b)
        warn(w, "%s: duplicate port definition with %s", p->path, other->path);
    else if (a == 0 || b == 0)
        warn(w, "%s: overlapping port definition with %s", p->path, other->path);
    else if (a == b && (ip_a.n == 0) != (ip_b.n == 0))
        warn(w, "%s: dangerously ambiguous port definition with %s", p->path, other->path);
}

static void compare_names(struct warner *w, const struct port *p, const struct port *all)
{
    struct slice name = json_path_string(p->v, "name");
    for (const struct port *other = all; name.n && other != p && spend(w); other = other->next) {
        if (!slice_eq(json_path_string(other->v, "name"), name))
            continue;
        warn(w,
             "%s: duplicate port name \"%" SLICE_FMT
             "\" with %s, services and probes that select ports by name will use %s",
             p->path, SLICE_ARG(name), other->path, other->path);
        return;
    }
}

static void host_ip_alone(struct warner *w, const struct port *p)
{
    struct slice host_ip = json_path_string(p->v, "hostIP"), name = json_path_string(p->v, "name");
    struct slice protocol = json_path_string(p->v, "protocol");
    if (host_ip.n && json_int(json_get_str(p->v, "hostPort"), 0) == 0)
        warn(w,
             "%s: hostIP set without hostPort: {Name:%" SLICE_FMT " HostPort:0 ContainerPort:%ld Protocol:%" SLICE_FMT
             " HostIP:%" SLICE_FMT "}",
             p->path, SLICE_ARG(name), (long)json_int(json_get_str(p->v, "containerPort"), 0), SLICE_ARG(protocol),
             SLICE_ARG(host_ip));
}

static struct port **add_ports(struct warner *w, const struct json *spec, const char *list, struct port **end)
{
    size_t i = 0;
    json_each (c, json_get_str(spec, list)) {
        size_t k = 0;
        json_each (v, json_get_str(c, "ports")) {
            struct port *p = arena_new(w->a, struct port);
            if (!p)
                return end;
            p->path = child(w, w->prefix, arena_printf(w->a, "spec.%s[%zu].ports[%zu]", list, i, k++));
            p->v = v;
            *end = p;
            end = &p->next;
        }
        i++;
    }
    return end;
}

static void ports(struct warner *w, const struct found *f, const char *arg)
{
    struct port *all = NULL, **end = &all;
    (void)arg;
    end = add_ports(w, f->v, "initContainers", end);
    end = add_ports(w, f->v, "containers", end);
    add_ports(w, f->v, "ephemeralContainers", end);
    for (const struct port *p = all; p; p = p->next) {
        host_ip_alone(w, p);
        for (const struct port *other = all; other != p && spend(w); other = other->next)
            compare_ports(w, p, other);
    }
    for (const struct port *p = all; p; p = p->next)
        compare_names(w, p, all);
}

/* ---- files of volumes that hide each other ---- */

struct file {
    struct slice path;
    const char *source; /* in a projected volume; "" = the volume's own */
    struct file *next;
};

/* Whether one is the other, or a directory above it. */
static bool overlaps(struct slice a, struct slice b)
{
    struct slice shorter = a.n < b.n ? a : b, longer = a.n < b.n ? b : a;
    return shorter.n && slice_starts(longer, shorter) && (longer.n == shorter.n || longer.p[shorter.n] == '/');
}

static const char *file_text(struct warner *w, const struct file *f)
{
    return *f->source ? arena_printf(w->a, "\"%" SLICE_FMT "\" (%s)", SLICE_ARG(f->path), f->source)
                      : arena_printf(w->a, "\"%" SLICE_FMT "\"", SLICE_ARG(f->path));
}

/* Adds a file to those of the volume, and tells of which it stands in the way. */
static void add_file(struct warner *w, const struct json *volume, const char *what, struct file **all,
                     struct slice path, const char *source)
{
    struct file *file = arena_new(w->a, struct file), **end = all;
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (!file)
        return;
    *file = (struct file){path, source, NULL};
    for (; *end && spend(w); end = &(*end)->next)
        if (overlaps((*end)->path, path))
            warn(w, "volume \"%" SLICE_FMT "\" (%s): overlapping paths: %s with %s",
                 SLICE_ARG(json_path_string(volume, "name")), what, file_text(w, file), file_text(w, *end));
    if (!*end)
        *end = file;
}

static void add_items(struct warner *w, const struct json *volume, const char *what, struct file **all,
                      const struct json *from, const char *source)
{
    json_each (item, json_get_str(from, "items"))
        add_file(w, volume, what, all, json_path_string(item, "path"), source);
}

static const char *named(struct warner *w, const char *kind, struct slice name)
{
    return arena_printf(w->a, "%s \"%" SLICE_FMT "\"", kind, SLICE_ARG(name));
}

static void add_projected(struct warner *w, const struct json *volume, struct file **all, const struct json *source)
{
    const struct json *map = json_get_str(source, "configMap"), *secret = json_get_str(source, "secret");
    const struct json *downward = json_get_str(source, "downwardAPI"),
                      *bundle = json_get_str(source, "clusterTrustBundle");
    const struct json *token = json_get_str(source, "serviceAccountToken"),
                      *pod = json_get_str(source, "podCertificate");
    static const char *const certificate[][2] = {{"certificateChainPath", "PodCertificate chain"},
                                                 {"keyPath", "PodCertificate key"},
                                                 {"credentialBundlePath", "PodCertificate credential bundle"}};
    static const char what[] = "Projected";
    if (!map && !secret && !downward && !bundle && !token && !pod)
        warn(w, "volume \"%" SLICE_FMT "\" (Projected) has no sources provided",
             SLICE_ARG(json_path_string(volume, "name")));
    add_items(w, volume, what, all, map, named(w, "ConfigMap", json_path_string(map, "name")));
    add_items(w, volume, what, all, secret, named(w, "Secret", json_path_string(secret, "name")));
    add_items(w, volume, what, all, downward, "DownwardAPI");
    if (token)
        add_file(w, volume, what, all, json_path_string(token, "path"), "ServiceAccountToken");
    struct slice trusted = json_path_string(bundle, "name");
    if (bundle)
        add_file(w, volume, what, all, json_path_string(bundle, "path"),
                 named(w, "ClusterTrustBundle", trusted.n ? trusted : json_path_string(bundle, "signerName")));
    for (size_t i = 0; i < sizeof certificate / sizeof *certificate; i++)
        if (json_path_string(pod, certificate[i][0]).n)
            add_file(w, volume, what, all, json_path_string(pod, certificate[i][0]), certificate[i][1]);
}

static void files(struct warner *w, const struct found *f, const char *arg)
{
    const struct json *map = json_get_str(f->v, "configMap"), *secret = json_get_str(f->v, "secret");
    struct file *all = NULL;
    (void)arg;
    add_items(w, f->v, named(w, "ConfigMap", json_path_string(map, "name")), &all, map, "");
    add_items(w, f->v, named(w, "Secret", json_path_string(secret, "secretName")), &all, secret, "");
    add_items(w, f->v, "DownwardAPI", &all, json_get_str(f->v, "downwardAPI"), "");
    json_each (source, json_get_str(json_get_str(f->v, "projected"), "sources"))
        add_projected(w, f->v, &all, source);
}

/* ---- the tables ---- */

#define SECCOMP  "non-functional in v1.27+; use the \"seccompProfile\" field instead"
#define APPARMOR "deprecated since v1.30; use the \"appArmorProfile\" field instead"
#define CONTAINER(list)                                                                                                \
    {"spec." list "[*]", container_seccomp, SECCOMP}, {"spec." list "[*]", container_apparmor, APPARMOR},              \
        {"spec." list "[*].resources.limits.memory", fractional, ""},                                                  \
        {"spec." list "[*].resources.requests.memory", fractional, ""},                                                \
        {"spec." list "[*].resources.limits.ephemeral-storage", fractional, ""},                                       \
        {"spec." list "[*].resources.requests.ephemeral-storage", fractional, ""},                                     \
    {                                                                                                                  \
        "spec." list "[*].env", hidden_env, ""                                                                         \
    }
#define REQUIRED  "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[*]"
#define PREFERRED "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[*].preference"

/* Of pods, and of the templates of the kinds below. */
static const struct rule pod_rules[] = {
    {"spec.nodeSelector{*}", node_label_key, ""},
    {REQUIRED ".matchExpressions[*].key", node_label_value, ""},
    {PREFERRED ".matchExpressions[*].key", node_label_value, ""},
    {PREFERRED ".matchExpressions[*].values[*]", label_value, ""},
    {"spec.topologySpreadConstraints[*].topologyKey", node_label_value, ""},
    {"spec.topologySpreadConstraints[*]", null_selector, ""},
    {"spec.volumes[*].photonPersistentDisk", is_there, "deprecated in v1.11, non-functional in v1.16+"},
    {"spec.volumes[*].gitRepo", is_there, "deprecated in v1.11, and disabled by default in v1.33+"},
    {"spec.volumes[*].scaleIO", is_there, "deprecated in v1.16, non-functional in v1.22+"},
    {"spec.volumes[*].flocker", is_there, "deprecated in v1.22, non-functional in v1.25+"},
    {"spec.volumes[*].storageos", is_there, "deprecated in v1.22, non-functional in v1.25+"},
    {"spec.volumes[*].quobyte", is_there, "deprecated in v1.22, non-functional in v1.25+"},
    {"spec.volumes[*].glusterfs", is_there, "deprecated in v1.25, non-functional in v1.26+"},
    {"spec.volumes[*].cephfs", is_there, "deprecated in v1.28, non-functional in v1.31+"},
    {"spec.volumes[*].rbd", is_there, "deprecated in v1.28, non-functional in v1.31+"},
    {"spec.volumes[*].ephemeral.volumeClaimTemplate.spec.resources.requests.storage", fractional, ""},
    {"spec.volumes[*].ephemeral.volumeClaimTemplate.spec.resources.limits.storage", fractional, ""},
    {"spec.volumes[*]", files, ""},
    {"spec.hostAliases", twice, "ip"},
    {"spec.imagePullSecrets", twice, "name"},
    {"spec.imagePullSecrets[*]", empty_name, ""},
    {"spec.overhead.memory", fractional, ""},
    {"spec.overhead.ephemeral-storage", fractional, ""},
    CONTAINER("initContainers"),
    CONTAINER("containers"),
    {"spec", ports, ""},
    {"spec.terminationGracePeriodSeconds", negative,
     "must be >= 0; negative values are invalid and will be treated as 1"},
    {"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[*]", null_selector, ""},
    {"spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[*].podAffinityTerm", null_selector, ""},
    {"spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[*]", null_selector, ""},
    {"spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[*].podAffinityTerm", null_selector,
     ""},
    {"spec.dnsConfig.nameservers[*]", ip, ""},
    {"spec.hostAliases[*].ip", ip, ""},
};

static void annotation(struct warner *w, const struct found *f, const char *arg)
{
    static const char *const rows[][2] = {
        {"scheduler.alpha.kubernetes.io/critical-pod",
         "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
        {"security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
        {"security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
    };
    (void)arg;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (slice_eq_str(f->key, rows[i][0]))
            warn(w, "%s: %s", f->path, rows[i][1]);
    if (slice_eq_str(f->key, "seccomp.security.alpha.kubernetes.io/pod"))
        pod_seccomp(w, f, SECCOMP);
}

static const struct rule pod_annotations[] = {{"metadata.annotations{*}", annotation, ""}};

static void volume_annotation(struct warner *w, const struct found *f, const char *arg)
{
    if (slice_eq_str(f->key, "volume.beta.kubernetes.io/storage-class"))
        warn(w, "%s: deprecated since v1.8; use \"storageClassName\" attribute instead", f->path);
    if (*arg && slice_eq_str(f->key, "volume.beta.kubernetes.io/mount-options"))
        warn(w, "%s: deprecated since v1.31; use \"mountOptions\" attribute instead", f->path);
}

static void recycle(struct warner *w, const struct found *f, const char *arg)
{
    if (slice_eq_str(json_string(f->v), "Recycle"))
        warn(w, "%s: %s", f->path, arg);
}

static const struct rule volume_rules[] = {
    {"metadata.annotations{*}", volume_annotation, "and mount options"},
    {"spec.persistentVolumeReclaimPolicy", recycle,
     "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."},
    {"spec.nodeAffinity.required.nodeSelectorTerms[*].matchExpressions[*].key", node_label_value, ""},
    {"spec.cephfs", is_there, "deprecated in v1.28, non-functional in v1.31+"},
    {"spec.photonPersistentDisk", is_there, "deprecated in v1.11, non-functional in v1.16+"},
    {"spec.scaleIO", is_there, "deprecated in v1.16, non-functional in v1.22+"},
    {"spec.storageos", is_there, "deprecated in v1.22, non-functional in v1.25+"},
    {"spec.glusterfs", is_there, "deprecated in v1.25, non-functional in v1.26+"},
    {"spec.rbd", is_there, "deprecated in v1.28, non-functional in v1.31+"},
};
static const struct rule claim_rules[] = {
    {"metadata.annotations{*}", volume_annotation, ""},
    {"spec.resources.requests.storage", fractional, ""},
    {"spec.resources.limits.storage", fractional, ""},
};

static void service_fields(struct warner *w, const struct found *f, const char *arg)
{
    struct slice type = json_path_string(f->v, "type"), affinity = json_path_string(f->v, "sessionAffinity");
    bool external_ips = json_len(json_get_str(f->v, "externalIPs")) > 0, named = slice_eq_str(type, "ExternalName");
    bool headless = slice_eq_str(type, "ClusterIP") && slice_eq_str(json_path_string(f->v, "clusterIP"), "None");
    (void)arg;
    if (headless && json_path_string(f->v, "loadBalancerIP").n)
        warn(w, "spec.loadBalancerIP is ignored for headless services");
    if (headless && external_ips)
        warn(w, "spec.externalIPs is ignored for headless services");
    if (headless && affinity.n && !slice_eq_str(affinity, "None"))
        warn(w, "spec.SessionAffinity is ignored for headless services");
    if (external_ips && !headless && !named)
        warn(w, "spec.externalIPs is deprecated and may no longer be implemented in some clusters");
    if (external_ips && named)
        warn(w, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    if (!named && json_path_string(f->v, "externalName").n)
        warn(w, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
    if (slice_eq_str(json_path_string(f->v, "trafficDistribution"), "PreferClose"))
        warn(w, "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
}

static void service_annotation(struct warner *w, const struct found *f, const char *arg)
{
    if (slice_eq_str(f->key, "service.kubernetes.io/topology-aware-hints"))
        warn(w, "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use %s instead", arg);
}

static const struct rule service_rules[] = {
    {"metadata.annotations{*}", service_annotation, "service.kubernetes.io/topology-mode"},
    {"spec.clusterIPs[*]", ip, ""},
    {"spec.externalIPs[*]", ip, ""},
    {"spec", service_fields, ""},
    {"spec.loadBalancerIP", ip, ""},
    {"spec.loadBalancerSourceRanges[*]", cidr, ""},
};
static const struct rule node_rules[] = {
    {"spec.configSource", is_there, "the feature is removed"},
    {"spec.externalID", is_there, "this field is deprecated, and is unused by Kubernetes"},
    {"spec.podCIDRs[*]", cidr, ""},
};

static void ingress_class(struct warner *w, const struct found *f, const char *arg)
{
    if (slice_eq_str(f->key, "kubernetes.io/ingress.class") && !w->old && !json_path(w->obj, "spec.ingressClassName"))
        warn(w, "annotation \"%" SLICE_FMT "\" is deprecated, please use '%s' instead", SLICE_ARG(f->key), arg);
}

static void mountable_secrets(struct warner *w, const struct found *f, const char *arg)
{
    if (slice_eq_str(f->key, "kubernetes.io/enforce-mountable-secrets") &&
        !json_get(json_path(w->old, "metadata.annotations"), f->key))
        warn(w, "%s: %s", f->path, arg);
}

static void fqdn(struct warner *w, const struct found *f, const char *arg)
{
    if (slice_eq_str(json_string(f->v), "FQDN"))
        warn(w, "spec.%s: %s", f->path, arg);
}

static void large_indexed_job(struct warner *w, const struct found *f, const char *arg)
{
    if (slice_eq_str(json_path_string(f->v, "completionMode"), "Indexed") &&
        json_int(json_get_str(f->v, "completions"), 0) > 100000 &&
        json_int(json_get_str(f->v, "parallelism"), 0) > 10000)
        warn(w, "%s: %s", f->path, arg);
}

static const struct rule ingress_rules[] = {{"metadata.annotations{*}", ingress_class, "spec.ingressClassName"}};
static const struct rule account_rules[] = {
    {"metadata.annotations{*}", mountable_secrets,
     "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"}};
static const struct rule slice_rules[] = {{"addressType", fqdn, "FQDN endpoints are deprecated"},
                                          {"endpoints[*].addresses[*]", ip, ""}};
static const struct rule endpoints_rules[] = {{"subsets[*].addresses[*].ip", ip, ""},
                                              {"subsets[*].notReadyAddresses[*].ip", ip, ""}};
static const struct rule policy_rules[] = {
    {"spec.ingress[*].from[*].ipBlock.cidr", cidr, ""},
    {"spec.ingress[*].from[*].ipBlock.except[*]", cidr, ""},
    {"spec.egress[*].to[*].ipBlock.cidr", cidr, ""},
    {"spec.egress[*].to[*].ipBlock.except[*]", cidr, ""},
};
static const struct rule class_rules[] = {{"allowedTopologies[*].matchLabelExpressions[*].key", node_label_value, "-"}};
static const struct rule capacity_rules[] = {{"nodeTopology.matchExpressions[*].key", node_label_value, ""},
                                             {"nodeTopology.matchLabels{*}", node_label_key, ""}};
static const struct rule runtime_rules[] = {{"scheduling.nodeSelector{*}", node_label_key, "scheduling.nodeSelector"}};
static const struct rule stateful_rules[] = {
    {"spec.volumeClaimTemplates[*].spec.resources.requests.storage", fractional, ""},
    {"spec.volumeClaimTemplates[*].spec.resources.limits.storage", fractional, ""},
    {"spec.revisionHistoryLimit", negative,
     "a negative value retains all historical revisions; a value >= 0 is recommended"}};
#define TOO_MANY                                                                                                       \
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "    \
    "might not be able to track completedIndexes when a big number of indexes fail"
static const struct rule job_rules[] = {{"spec", large_indexed_job, TOO_MANY}};
static const struct rule cron_rules[] = {{"spec.jobTemplate.spec", large_indexed_job, TOO_MANY}};

#define RULES(r) (r), sizeof(r) / sizeof *(r)
enum { NAME_OF_POD = 1, NAME_OF_PODS = 2, NEW_ONLY = 4, CHANGED_ONLY = 8 };

/* template: where a pod or its template stands ("" = the object is one), or NULL. */
static const struct kind_row {
    const char *group, *kind, *template;
    unsigned flags;
    const struct rule *rules;
    size_t n;
} kinds[] = {
    {"", "Pod", "", NAME_OF_POD | NEW_ONLY, NULL, 0}, /* pods are updated by machines, often */
    {"", "PodTemplate", "template", CHANGED_ONLY, NULL, 0},
    {"", "ReplicationController", "spec.template", NAME_OF_PODS | CHANGED_ONLY, NULL, 0},
    {"apps", "Deployment", "spec.template", NAME_OF_PODS | CHANGED_ONLY, NULL, 0},
    {"apps", "ReplicaSet", "spec.template", NAME_OF_PODS | CHANGED_ONLY, NULL, 0},
    {"apps", "DaemonSet", "spec.template", CHANGED_ONLY, NULL, 0},
    {"apps", "StatefulSet", "spec.template", CHANGED_ONLY, RULES(stateful_rules)},
    {"batch", "Job", "spec.template", NAME_OF_PODS | CHANGED_ONLY, RULES(job_rules)},
    {"batch", "CronJob", "spec.jobTemplate.spec.template", NAME_OF_PODS | CHANGED_ONLY, RULES(cron_rules)},
    {"", "PersistentVolume", NULL, 0, RULES(volume_rules)},
    {"", "PersistentVolumeClaim", NULL, 0, RULES(claim_rules)},
    {"", "Service", NULL, 0, RULES(service_rules)},
    {"", "Node", NULL, 0, RULES(node_rules)},
    {"", "ServiceAccount", NULL, 0, RULES(account_rules)},
    {"", "Endpoints", NULL, 0, RULES(endpoints_rules)},
    {"discovery.k8s.io", "EndpointSlice", NULL, 0, RULES(slice_rules)},
    {"networking.k8s.io", "Ingress", NULL, 0, RULES(ingress_rules)},
    {"networking.k8s.io", "NetworkPolicy", NULL, 0, RULES(policy_rules)},
    {"storage.k8s.io", "StorageClass", NULL, 0, RULES(class_rules)},
    {"storage.k8s.io", "CSIStorageCapacity", NULL, 0, RULES(capacity_rules)},
    {"node.k8s.io", "RuntimeClass", NULL, 0, RULES(runtime_rules)},
};

static void check_name(struct warner *w, unsigned flags)
{
    struct slice name = meta_name(w->obj);
    const char *whose = flags & NAME_OF_POD ? "the Pod's hostname" : "Pod names and hostnames";
    bool is_long = name.n > 63, dots = name.n && memchr(name.p, '.', name.n);
    if (!w->old && (flags & (NAME_OF_POD | NAME_OF_PODS)) && (is_long || dots))
        warn(w,
             "metadata.name: this is used in %s, which can result in surprising behavior; a DNS label is "
             "recommended: [%s%s%s]",
             whose, is_long ? "must be no more than 63 bytes" : "", is_long && dots ? " " : "",
             dots ? "must not contain dots" : "");
}

static void check_template(struct warner *w, const struct kind_row *k)
{
    w->prefix = k->template;
    w->base = path_get_str(w->obj, k->template);
    run(w, RULES(pod_rules), w->prefix, w->base);
    run(w, RULES(pod_annotations), w->prefix, w->base);
}

void object_warnings(struct arena *a, const struct resource *res, const struct json *obj, const struct json *old,
                     void (*add)(void *ctx, const char *text), void *ctx)
{
    struct warner w = {.a = a,
                       .add = add,
                       .ctx = ctx,
                       .res = res,
                       .obj = obj,
                       .old = old,
                       .prefix = "",
                       .base = obj,
                       .budget = COMPARISONS_MAX};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind_row *k = &kinds[i];
        if (strcmp(res->kind, k->kind) != 0 || strcmp(res->group, k->group) != 0 || (old && (k->flags & NEW_ONLY)))
            continue;
        if (old && (k->flags & CHANGED_ONLY) && meta_generation(obj) == meta_generation(old) && meta_generation(old))
            continue;
        check_name(&w, k->flags);
        run(&w, k->rules, k->n, "", obj);
        if (k->template)
            check_template(&w, k);
    }
}

const char *resource_warning(const struct resource *res)
{
    static const struct {
        const char *group, *version, *kind, *text;
    } rows[] = {
        {"", "v1", "ComponentStatus", "v1 ComponentStatus is deprecated in v1.19+"},
        {"", "v1", "Endpoints", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(res->kind, rows[i].kind) == 0 && strcmp(res->group, rows[i].group) == 0 &&
            strcmp(res->version, rows[i].version) == 0)
            return rows[i].text;
    return NULL;
}

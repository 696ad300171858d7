#include "auth/node_authz.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

enum { KEY_MAX = 2048, REFS_MAX = 20000 /* of one pod; further ones grant nothing */ };

/* What a key in node_authz.grants stands for: the first byte after the node's name. */
enum kind { KIND_POD = 'P', KIND_SECRET = 'S', KIND_CONFIG_MAP = 'C', KIND_CLAIM = 'V', KIND_ACCOUNT = 'A' };

struct node_authz {
    struct map pods;   /* "ns/name" → struct pod_refs */
    struct map grants; /* node NUL kind ns/name → number of pods that grant it, as a struct grant */
};

struct grant {
    size_t pods;
};

struct pod_refs {
    struct slice *keys; /* in grants; our own copies */
    size_t n, cap;
};

/* ---- the graph ---- */

struct pod_reader {
    struct node_authz *n;
    struct pod_refs *refs;
    struct slice node, ns;
};

static int grant_key(struct buf *out, struct slice node, enum kind kind, struct slice ns, struct slice name)
{
    buf_clear(out);
    buf_add_slice(out, node);
    buf_add_char(out, '\0');
    buf_add_char(out, (char)kind);
    buf_add_slice(out, ns);
    buf_add_char(out, '/');
    return buf_add_slice(out, name);
}

static void remember(struct pod_refs *refs, struct slice key)
{
    if (refs->n == refs->cap) {
        size_t cap = refs->cap ? refs->cap * 2 : 8;
        struct slice *grown = mem_alloc(cap * sizeof *grown);
        if (refs->n)
            memcpy(grown, refs->keys, refs->n * sizeof *grown);
        mem_free(refs->keys);
        refs->keys = grown;
        refs->cap = cap;
    }
    refs->keys[refs->n++] = slice_of(mem_dup(key.p, key.n), key.n);
}

static void refer(struct pod_reader *r, enum kind kind, struct slice name)
{
    struct buf key = BUF_INIT(KEY_MAX);
    if (name.n && r->refs->n < REFS_MAX && !grant_key(&key, r->node, kind, r->ns, name)) {
        struct grant *g = map_get(&r->n->grants, buf_slice(&key));
        if (!g) {
            g = mem_new(struct grant);
            map_put(&r->n->grants, buf_slice(&key), g);
        }
        g->pods++;
        remember(r->refs, buf_slice(&key));
    }
    buf_done(&key);
}

static void refer_path(struct pod_reader *r, enum kind kind, const struct json *v, const char *path)
{
    refer(r, kind, json_path_string(v, path));
}

/* ---- reading pods ---- */

static void read_projected(struct pod_reader *r, const struct json *volume)
{
    json_each (source, json_path(volume, "projected.sources")) {
        refer_path(r, KIND_SECRET, source, "secret.name");
        refer_path(r, KIND_CONFIG_MAP, source, "configMap.name");
    }
}

static void read_ephemeral(struct pod_reader *r, struct slice pod, const struct json *volume)
{
    struct buf claim = BUF_INIT(KEY_MAX);
    struct slice name = json_path_string(volume, "name");
    if (json_get_str(volume, "ephemeral") &&
        !buf_printf(&claim, "%" SLICE_FMT "-%" SLICE_FMT, SLICE_ARG(pod), SLICE_ARG(name)))
        refer(r, KIND_CLAIM, buf_slice(&claim));
    buf_done(&claim);
}

static void read_volumes(struct pod_reader *r, struct slice pod, const struct json *volumes)
{
    static const char *const secrets[] = {
        "secret.secretName",         "azureFile.secretName",         "cephfs.secretRef.name", "cinder.secretRef.name",
        "flexVolume.secretRef.name", "iscsi.secretRef.name",         "rbd.secretRef.name",    "scaleIO.secretRef.name",
        "storageos.secretRef.name",  "csi.nodePublishSecretRef.name"};
    json_each (volume, volumes) {
        for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
            refer_path(r, KIND_SECRET, volume, secrets[i]);
        refer_path(r, KIND_CONFIG_MAP, volume, "configMap.name");
        refer_path(r, KIND_CLAIM, volume, "persistentVolumeClaim.claimName");
        read_projected(r, volume);
        read_ephemeral(r, pod, volume);
    }
}

static void read_containers(struct pod_reader *r, const struct json *containers)
{
    json_each (container, containers) {
        json_each (env, json_get_str(container, "env")) {
            refer_path(r, KIND_SECRET, env, "valueFrom.secretKeyRef.name");
            refer_path(r, KIND_CONFIG_MAP, env, "valueFrom.configMapKeyRef.name");
        }
        json_each (from, json_get_str(container, "envFrom")) {
            refer_path(r, KIND_SECRET, from, "secretRef.name");
            refer_path(r, KIND_CONFIG_MAP, from, "configMapRef.name");
        }
    }
}

/* Mirror pods are made by nodes themselves: a node must not open secrets to itself by them. */
static bool is_mirror(const struct json *pod)
{
    return json_get_str(json_path(pod, "metadata.annotations"), "kubernetes.io/config.mirror") != NULL;
}

static void read_pod(struct pod_reader *r, struct slice name, const struct json *pod)
{
    const struct json *spec = json_get_str(pod, "spec");
    refer(r, KIND_POD, name);
    if (is_mirror(pod))
        return;
    refer_path(r, KIND_ACCOUNT, spec, "serviceAccountName");
    json_each (secret, json_get_str(spec, "imagePullSecrets"))
        refer_path(r, KIND_SECRET, secret, "name");
    read_volumes(r, name, json_get_str(spec, "volumes"));
    read_containers(r, json_get_str(spec, "initContainers"));
    read_containers(r, json_get_str(spec, "containers"));
    read_containers(r, json_get_str(spec, "ephemeralContainers"));
}

static void forget(struct node_authz *n, struct pod_refs *refs)
{
    if (!refs)
        return;
    for (size_t i = 0; i < refs->n; i++) {
        struct grant *g = map_get(&n->grants, refs->keys[i]);
        if (g && --g->pods == 0) {
            map_del(&n->grants, refs->keys[i]);
            mem_free(g);
        }
        mem_free((void *)(uintptr_t)refs->keys[i].p);
    }
    mem_free(refs->keys);
    mem_free(refs);
}

void node_authz_set_pod(struct node_authz *n, struct slice ns, struct slice name, const struct json *pod)
{
    struct buf key = BUF_INIT(KEY_MAX);
    struct slice node = json_path_string(pod, "spec.nodeName");
    if (!buf_printf(&key, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(ns), SLICE_ARG(name))) {
        struct pod_refs *old = map_del(&n->pods, buf_slice(&key));
        if (node.n) {
            struct pod_reader r = {.n = n, .refs = mem_new(struct pod_refs), .node = node, .ns = ns};
            read_pod(&r, name, pod);
            map_put(&n->pods, buf_slice(&key), r.refs);
        }
        forget(n, old); /* after the new ones, so that grants that stay are not made anew */
    }
    buf_done(&key);
}

struct node_authz *node_authz_new(void)
{
    struct node_authz *n = mem_new(struct node_authz);
    uint64_t seed = (uint64_t)(uintptr_t)n; /* names come from clients; the address is as good as random for them */
    map_init(&n->pods, seed);
    map_init(&n->grants, seed);
    return n;
}

void node_authz_free(struct node_authz *n)
{
    if (!n)
        return;
    for (struct map_entry *e = map_first(&n->pods); e; e = map_next(&n->pods, e))
        forget(n, e->value);
    map_done(&n->pods);
    map_done(&n->grants);
    mem_free(n);
}

/* ---- decisions ---- */

/* Who may do something to which objects. */
enum scope {
    ANY,       /* all */
    OWN,       /* the object is named like the node; creations may leave the name to the body (admission looks) */
    OWN_LEASE, /* the same in namespace kube-node-lease */
    POD,       /* a pod bound to the node */
    SECRET,
    CONFIG_MAP,
    CLAIM,
    ACCOUNT /* what such a pod refers to */
};

struct permission {
    const char *group, *resource, *sub;
    const char *verbs; /* words between blanks */
    enum scope scope;
};

#define READ " get list watch "

static const struct permission permissions[] = {
    {"", "services", "", READ, ANY},
    {"", "endpoints", "", READ, ANY},
    {"", "namespaces", "", READ, ANY},
    {"discovery.k8s.io", "endpointslices", "", READ, ANY},
    {"networking.k8s.io", "networkpolicies", "", READ, ANY},
    {"networking.k8s.io", "servicecidrs", "", READ, ANY},
    {"node.k8s.io", "runtimeclasses", "", READ, ANY},
    {"storage.k8s.io", "csidrivers", "", READ, ANY},
    {"storage.k8s.io", "storageclasses", "", READ, ANY},
    {"storage.k8s.io", "volumeattachments", "", " get ", ANY},
    {"storage.k8s.io", "csinodes", "", " get create update patch delete ", OWN},
    {"", "nodes", "", READ, ANY},
    {"", "nodes", "", " create update patch ", OWN},
    {"", "nodes", "status", " get update patch ", OWN},
    {"coordination.k8s.io", "leases", "", " get create update patch delete ", OWN_LEASE},
    {"", "pods", "", " list watch create ",
     ANY}, /* of one node only, and mirror pods only: admission and the query see to it */
    {"", "pods", "", " get delete ", POD},
    {"", "pods", "status", " get update patch ", POD},
    {"", "pods", "eviction", " create ", POD},
    {"", "secrets", "", READ, SECRET},
    {"", "configmaps", "", READ, CONFIG_MAP},
    {"", "persistentvolumeclaims", "", READ, CLAIM},
    {"", "persistentvolumeclaims", "status", " get update patch ", CLAIM},
    {"", "persistentvolumes", "", " get ", ANY},
    {"", "serviceaccounts", "", READ, ACCOUNT},
    {"", "serviceaccounts", "token", " create ", ACCOUNT},
    {"", "events", "", " create update patch ", ANY},
    {"events.k8s.io", "events", "", " create update patch ", ANY},
    {"certificates.k8s.io", "certificatesigningrequests", "", " create get list watch ", ANY},
    {"authentication.k8s.io", "tokenreviews", "", " create ", ANY},
    {"authorization.k8s.io", "subjectaccessreviews", "", " create ", ANY},
    {"authorization.k8s.io", "localsubjectaccessreviews", "", " create ", ANY},
};

static bool has_verb(const char *verbs, struct slice verb)
{
    struct slice rest = slice_str(verbs), word;
    while (rest.n > 0) {
        slice_cut(rest, ' ', &word, &rest);
        if (word.n && slice_eq(word, verb))
            return true;
    }
    return false;
}

static bool granted(const struct node_authz *n, struct slice node, enum kind kind, const struct access *q)
{
    struct buf key = BUF_INIT(KEY_MAX);
    bool ok = q->ns.n && q->name.n && !grant_key(&key, node, kind, q->ns, q->name) &&
              map_get(&n->grants, buf_slice(&key)) != NULL;
    buf_done(&key);
    return ok;
}

static bool is_own(const struct access *q, struct slice node)
{
    return slice_eq(q->name, node) || (!q->name.n && slice_eq(q->verb, SLICE("create")));
}

static bool in_scope(const struct node_authz *n, struct slice node, enum scope scope, const struct access *q)
{
    switch (scope) {
    case ANY:
        return true;
    case OWN:
        return is_own(q, node);
    case OWN_LEASE:
        return slice_eq(q->ns, SLICE("kube-node-lease")) && is_own(q, node);
    case POD:
        return granted(n, node, KIND_POD, q);
    case SECRET:
        return granted(n, node, KIND_SECRET, q);
    case CONFIG_MAP:
        return granted(n, node, KIND_CONFIG_MAP, q);
    case CLAIM:
        return granted(n, node, KIND_CLAIM, q);
    case ACCOUNT:
        return granted(n, node, KIND_ACCOUNT, q);
    }
    return false;
}

static bool permits(const struct permission *p, const struct access *q)
{
    return slice_eq_str(q->group, p->group) && slice_eq_str(q->resource, p->resource) && slice_eq_str(q->sub, p->sub) &&
           has_verb(p->verbs, q->verb);
}

bool node_authz_allows(const struct node_authz *n, const struct user *u, const struct access *q, const char **why)
{
    static const struct slice prefix = SLICE_INIT("system:node:");
    if (!slice_starts(u->name, prefix) || u->name.n == prefix.n || !user_in_group(u, SLICE("system:nodes")) ||
        !q->resource.n)
        return false;
    struct slice node = slice_from(u->name, prefix.n);
    for (size_t i = 0; i < sizeof permissions / sizeof *permissions; i++) {
        if (!permits(&permissions[i], q) || !in_scope(n, node, permissions[i].scope, q))
            continue;
        if (why)
            *why = "node authorizer: a node needs this";
        return true;
    }
    return false;
}

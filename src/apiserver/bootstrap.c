/* The objects every cluster starts with: namespaces, RBAC, priority classes. Each new leader looks for them one after the
 * other and creates what is missing; then it applies what depends on this cluster: the Service "kubernetes" with the
 * servers' addresses, and the ConfigMap that carries the CA certificate. What names addresses is applied again whenever
 * the membership changes. */
#include <stdio.h>

#include "apiserver/internal.h"
#include "base/mem.h"
#include "object/meta.h"
#include "store/members.h"

enum { BOOTSTRAP_RETRY_MS = 500, BOOTSTRAP_FOLLOW_MS = 500, EXTRAS = 6 };

struct api_bootstrap {
    struct api *api;
    struct loop_timer timer;
    struct bootstrap_call *call; /* under way, or NULL */
    size_t next;
    uint64_t version; /* of the membership, as applied or about to be */
    bool running;
};

struct bootstrap_call {
    struct api_local local; /* first: a cancelled call is freed as its api_local */
    struct api_bootstrap *b;
};

static size_t n_static(void)
{
    return bootstrap_n_objects + bootstrap_n_rbac;
}

static size_t total(void)
{
    return n_static() + EXTRAS;
}

static struct slice object_text(size_t i)
{
    return i < bootstrap_n_objects ? bootstrap_objects[i] : bootstrap_rbac[i - bootstrap_n_objects];
}

static void step(struct api_bootstrap *b);

static void on_created(struct api_local *l, int code, struct slice body)
{
    struct bootstrap_call *call = container_of(l, struct bootstrap_call, local);
    struct api_bootstrap *b = call->b;
    mem_free(call);
    b->call = NULL;
    if (!b->running)
        return;
    if (code == 200 || code == 201 || code == 409) {
        b->next++;
        step(b);
        return;
    }
    if (code >= 400 && code < 500)
        log_error(loop_log(b->api->loop), "bootstrap", "object refused number=%zu code=%d answer=%" SLICE_FMT, b->next,
                  code, SLICE_ARG(body));
    if (code == 400 || code == 422 || code == 404)
        b->next++; /* a fault of ours: the others still count */
    loop_timer_start(b->api->loop, &b->timer, BOOTSTRAP_RETRY_MS);
}

static void begin_call(struct api_bootstrap *b)
{
    b->call = mem_new(struct bootstrap_call);
    b->call->b = b;
    b->call->local.done = on_created;
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
    snprintf(path, sizeof path, "/%s%s/%s%s%" SLICE_FMT "/%s", res->group[0] ? "apis/" : "api", res->group,
             res->version, ns.n ? "/namespaces/" : "", SLICE_ARG(ns), res->plural);
    begin_call(b);
    api_local_start(b->api, &b->call->local, &user, "POST", path, "fieldManager=pintle-bootstrap", "application/json",
                    text);
    arena_done(&scratch);
}

/* ---- what depends on this cluster ---- */

static struct slice port_of(const struct api_member *m)
{
    const char *colon = strrchr(m->address, ':');
    return slice_str(colon ? colon + 1 : "6443");
}

/* An IPv6 address stands in brackets. */
static struct slice host_of(const struct api_member *m)
{
    const char *colon = strrchr(m->address, ':');
    struct slice host = slice_of(m->address, colon ? (size_t)(colon - m->address) : strlen(m->address));
    return host.n > 2 && host.p[0] == '[' ? slice_of(host.p + 1, host.n - 2) : host;
}

const char *api_service_ip(const struct api *api, struct arena *a)
{
    struct slice net, bits, cidr = slice_str(api->o.service_cidr ? api->o.service_cidr : "10.96.0.0/16");
    slice_cut(cidr, '/', &net, &bits);
    while (net.n && net.p[net.n - 1] != '.')
        net.n--;
    return arena_printf(a, "%" SLICE_FMT "1", SLICE_ARG(net));
}

struct servers {
    struct api_member at[API_MEMBERS_MAX];
    size_t n;
};

static void write_service(const struct api *api, const struct servers *servers, struct buf *out)
{
    struct arena scratch;
    arena_init(&scratch, 1 << 12);
    buf_add_str(
        out,
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\","
        "\"labels\":{\"component\":\"apiserver\",\"provider\":\"kubernetes\"}},\"spec\":{\"clusterIP\":\"");
    buf_add_str(out, api_service_ip(api, &scratch));
    arena_done(&scratch);
    buf_printf(out,
               "\",\"ports\":[{\"name\":\"https\",\"port\":443,\"protocol\":\"TCP\",\"targetPort\":%" SLICE_FMT "}]}}",
               SLICE_ARG(port_of(&servers->at[0])));
}

/* The addresses of all servers that listen on this port. */
static void write_addresses(const struct servers *servers, struct slice port, struct buf *out, const char *before,
                            const char *after)
{
    const char *comma = "";
    for (size_t i = 0; i < servers->n; i++) {
        if (!slice_eq(port_of(&servers->at[i]), port))
            continue;
        buf_printf(out, "%s%s%" SLICE_FMT "%s", comma, before, SLICE_ARG(host_of(&servers->at[i])), after);
        comma = ",";
    }
}

static bool is_new_port(const struct servers *servers, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (slice_eq(port_of(&servers->at[j]), port_of(&servers->at[i])))
            return false;
    return true;
}

/* A subset for each port, so that every server is found, whatever port it has. */
static void write_endpoints(const struct api *api, const struct servers *servers, struct buf *out)
{
    (void)api;
    /* The slice beside it is ours too: nobody is to make another one from these. */
    buf_add_str(out, "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"kubernetes\","
                     "\"namespace\":\"default\",\"labels\":{\"endpointslice.kubernetes.io/skip-mirror\":\"true\"}},"
                     "\"subsets\":[");
    for (size_t i = 0; i < servers->n; i++) {
        struct slice port = port_of(&servers->at[i]);
        if (!is_new_port(servers, i))
            continue;
        buf_printf(out, "%s{\"addresses\":[", i ? "," : "");
        write_addresses(servers, port, out, "{\"ip\":\"", "\"}");
        buf_printf(out, "],\"ports\":[{\"name\":\"https\",\"port\":%" SLICE_FMT ",\"protocol\":\"TCP\"}]}",
                   SLICE_ARG(port));
    }
    buf_add_str(out, "]}");
}

/* What Services' rules follow: those on the first server's port, for a slice has one. */
static void write_slice(const struct api *api, const struct servers *servers, struct buf *out)
{
    struct slice port = port_of(&servers->at[0]);
    (void)api;
    buf_add_str(
        out, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"kubernetes\","
             "\"namespace\":\"default\",\"labels\":{\"kubernetes.io/service-name\":\"kubernetes\"}},"
             "\"addressType\":\"IPv4\",\"endpoints\":[");
    write_addresses(servers, port, out, "{\"addresses\":[\"", "\"],\"conditions\":{\"ready\":true}}");
    buf_printf(out, "],\"ports\":[{\"name\":\"https\",\"port\":%" SLICE_FMT ",\"protocol\":\"TCP\"}]}",
               SLICE_ARG(port));
}

static void write_ca(const struct api *api, const struct servers *servers, struct buf *out)
{
    (void)servers;
    buf_add_str(out, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"kube-root-ca.crt\","
                     "\"namespace\":\"kube-system\"},\"data\":{\"ca.crt\":");
    json_write_string(out, api->o.ca_pem);
    buf_add_str(out, "}}");
}

/* Where extension servers find whom to trust. */
static void write_authentication(const struct api *api, const struct servers *servers, struct buf *out)
{
    (void)servers;
    buf_add_str(out, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                     "\"extension-apiserver-authentication\",\"namespace\":\"kube-system\"},\"data\":{"
                     "\"client-ca-file\":");
    json_write_string(out, api->o.ca_pem);
    buf_add_str(out, "}}");
}

static void write_service_cidr(const struct api *api, const struct servers *servers, struct buf *out)
{
    (void)servers;
    buf_printf(out,
               "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"ServiceCIDR\",\"metadata\":{\"name\":"
               "\"kubernetes\"},\"spec\":{\"cidrs\":[\"%s\"]}}",
               api->o.service_cidr ? api->o.service_cidr : "10.96.0.0/16");
}

/* True when something was asked. */
static bool apply_extra(struct api_bootstrap *b, size_t i)
{
    static const struct {
        const char *path;
        void (*write)(const struct api *api, const struct servers *servers, struct buf *out);
    } extras[EXTRAS] = {
        {"/api/v1/namespaces/default/services/kubernetes", write_service},
        {"/api/v1/namespaces/default/endpoints/kubernetes", write_endpoints},
        {"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", write_slice},
        {"/apis/networking.k8s.io/v1/servicecidrs/kubernetes", write_service_cidr},
        {"/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt", write_ca},
        {"/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", write_authentication},
    };
    struct buf text = BUF_INIT(1 << 20);
    struct user user = {0};
    struct arena scratch;
    struct servers servers;
    servers.n = api_addresses(b->api, servers.at);
    bool of_ca = extras[i].write == write_ca || extras[i].write == write_authentication;
    if (!servers.n || (of_ca && !b->api->o.ca_pem.n))
        return false;
    arena_init(&scratch, 1 << 16);
    user_set_superuser(&user, &scratch);
    extras[i].write(b->api, &servers, &text);
    begin_call(b);
    api_local_start(b->api, &b->call->local, &user, "PATCH", extras[i].path, "fieldManager=pintle-bootstrap&force=true",
                    "application/apply-patch+yaml", buf_slice(&text));
    buf_done(&text);
    arena_done(&scratch);
    return true;
}

/* Creates the next object that is not there. */
static void step(struct api_bootstrap *b)
{
    bool asked = false;
    for (; b->next < total() && !asked; b->next += !asked) {
        struct arena a;
        if (b->next >= n_static()) {
            asked = apply_extra(b, b->next - n_static());
            continue;
        }
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
    if (b->next < total() || asked)
        return;
    log_info(loop_log(b->api->loop), "bootstrap", "all objects are there n=%zu", total());
    if (b->api->o.membership)
        loop_timer_start(b->api->loop, &b->timer, BOOTSTRAP_FOLLOW_MS);
}

/* Everything is there: does what names the servers' addresses still fit? */
static void follow(struct api_bootstrap *b)
{
    uint64_t version = members_version(b->api->o.membership);
    if (version == b->version) {
        loop_timer_start(b->api->loop, &b->timer, BOOTSTRAP_FOLLOW_MS);
        return;
    }
    b->version = version;
    b->next = n_static();
    step(b);
}

static void on_timer(struct loop_timer *t)
{
    struct api_bootstrap *b = container_of(t, struct api_bootstrap, timer);
    if (!b->running || b->call)
        return;
    if (b->next == total() && b->api->o.membership)
        follow(b);
    else
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
    b->version = b->api->o.membership ? members_version(b->api->o.membership) : 0;
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
    if (b->call)
        api_local_cancel(&b->call->local);
    mem_free(b);
}

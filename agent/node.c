/* Registration, status and lease. Two independent cycles: the status cycle (facts → runtime → API) every NODE_STATUS_MS, and
 * the lease, which must not wait for a slow runtime. */
#include "agent/node.h"

#include <stdio.h>

#include "agent/node_impl.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "object/meta.h"

enum {
    NODE_STATUS_MS = 10000,
    NODE_REPORT_S = 300, /* an unchanged status is sent again after */
    NODE_LEASE_MS = 10000,
    NODE_LEASE_S = 40,
    NODE_RETRY_MS = 2000,
    NODE_CALL_MS = 8000,
    NODE_RUNTIME_MS = 5000,
    NODE_ARENA_MAX = 4 << 20,
    NODE_STATUS_TEXT_MAX = 1 << 20,
};

/* Reading facts on the pool; outlives a node that is freed meanwhile. */
struct facts_job {
    struct loop_work work;
    struct node *node; /* NULL = nobody waits any more */
    struct node_facts facts;
    char data_dir[512];
};

struct node {
    struct agent *agent;
    const struct resource *nodes, *leases;
    struct facts_job *job;
    struct node_facts facts;
    struct node_condition conditions[NODE_CONDITIONS];
    struct arena images_arena;
    struct json *images;
    struct cri_call *cri;
    struct client_call *call, *lease_call;
    struct loop_timer status_timer, lease_timer;
    bool registered;
    char uid[64];
    struct buf sent;  /* the status the API has, heartbeat left out */
    uint64_t sent_at; /* loop_now */
};

static void status_again(struct node *n, uint64_t ms)
{
    loop_timer_start(n->agent->loop, &n->status_timer, ms);
}

static struct client_call *request(struct node *n, struct client_request *req, const struct json *body,
                                   void (*done)(void *, const struct client_reply *))
{
    req->body = body;
    req->timeout_ms = NODE_CALL_MS;
    return client_do(n->agent->client, req, done, n);
}

/* ---- status ---- */

static void status_sent(void *ctx, const struct client_reply *reply)
{
    struct node *n = ctx;
    n->call = NULL;
    if (!reply->err && reply->code < 300) {
        n->sent_at = loop_now(n->agent->loop);
        status_again(n, NODE_STATUS_MS);
        return;
    }
    log_warn(loop_log(n->agent->loop), "node", "status was not taken err=%d code=%d", reply->err, reply->code);
    buf_clear(&n->sent);
    n->registered = n->registered && reply->code != 404;
    status_again(n, NODE_RETRY_MS);
}

/* The same status again needs no patch before NODE_REPORT_S have passed. */
static bool is_news(struct node *n, struct arena *a)
{
    struct buf text = BUF_INIT(NODE_STATUS_TEXT_MAX);
    struct json *plain = node_status_json(a, &n->agent->o, &n->facts, n->conditions, n->images, 0);
    json_write(&text, plain);
    bool same = slice_eq(buf_slice(&text), buf_slice(&n->sent));
    buf_done(&n->sent);
    n->sent = text;
    return !same || loop_now(n->agent->loop) - n->sent_at >= (uint64_t)NODE_REPORT_S * NS_PER_SEC;
}

static void report(struct node *n)
{
    struct arena a;
    arena_init(&a, NODE_ARENA_MAX);
    if (is_news(n, &a)) {
        int64_t wall = loop_wall(n->agent->loop);
        struct json *patch = json_new_object(&a);
        json_set_str(&a, patch, "status",
                     node_status_json(&a, &n->agent->o, &n->facts, n->conditions, n->images, wall));
        struct client_request req = {.verb = CLIENT_PATCH,
                                     .res = n->nodes,
                                     .name = slice_str(n->agent->o.node_name),
                                     .sub = "status",
                                     .patch = CLIENT_STRATEGIC_PATCH};
        n->call = request(n, &req, patch, status_sent);
    } else {
        status_again(n, NODE_STATUS_MS);
    }
    arena_done(&a);
}

/* ---- registration ---- */

/* After a restart the conditions go on from what the API has. */
static void take_conditions(struct node *n, const struct json *obj)
{
    json_each (c, json_path(obj, "status.conditions"))
        for (size_t i = 0; i < NODE_CONDITIONS; i++) {
            bool value = slice_eq_str(json_path_string(c, "status"), "True");
            int64_t since;
            if (slice_eq_str(json_path_string(c, "type"), node_condition_types[i]) && n->conditions[i].value == value &&
                !slice_eq_str(json_path_string(c, "status"), "Unknown") &&
                time_parse(json_path_string(c, "lastTransitionTime"), &since))
                n->conditions[i].since = since;
        }
}

static void take_node(struct node *n, const struct json *obj)
{
    snprintf(n->uid, sizeof n->uid, "%" SLICE_FMT, SLICE_ARG(meta_uid(obj)));
    take_conditions(n, obj);
    n->registered = true;
    buf_clear(&n->sent);
    report(n);
}

static void updated(void *ctx, const struct client_reply *reply)
{
    struct node *n = ctx;
    struct arena a;
    arena_init(&a, NODE_ARENA_MAX);
    n->call = NULL;
    struct json *obj = !reply->err && reply->code < 300 ? json_parse(&a, reply->body, NULL, NULL, NULL) : NULL;
    if (obj) {
        take_node(n, obj);
    } else {
        log_warn(loop_log(n->agent->loop), "node", "registration failed err=%d code=%d", reply->err, reply->code);
        status_again(n, NODE_RETRY_MS);
    }
    arena_done(&a);
}

static bool has_all(const struct json *have, const struct json *want)
{
    json_each (m, want)
        if (!slice_eq(json_string(json_get(have, m->key)), json_string(m)))
            return false;
    return true;
}

/* The Node is there: our labels and pod addresses must be on it. */
static void compare(struct node *n, struct arena *a, const struct json *have)
{
    struct json *want = node_object(a, &n->agent->o, &n->facts);
    bool cidr = !json_path(want, "spec.podCIDR") || json_path_string(have, "spec.podCIDR").n;
    if (cidr && has_all(meta_labels(have), meta_labels(want))) {
        take_node(n, have);
        return;
    }
    if (cidr)
        json_del_str(want, "spec");
    json_del_str(json_get_str(want, "metadata"), "name");
    struct client_request req = {.verb = CLIENT_PATCH,
                                 .res = n->nodes,
                                 .name = slice_str(n->agent->o.node_name),
                                 .patch = CLIENT_STRATEGIC_PATCH};
    n->call = request(n, &req, want, updated);
}

static void looked_up(void *ctx, const struct client_reply *reply)
{
    struct node *n = ctx;
    struct arena a;
    arena_init(&a, NODE_ARENA_MAX);
    n->call = NULL;
    struct json *obj = !reply->err && reply->code == 200 ? json_parse(&a, reply->body, NULL, NULL, NULL) : NULL;
    if (obj) {
        compare(n, &a, obj);
    } else if (!reply->err && reply->code == 404) {
        struct client_request req = {.verb = CLIENT_CREATE, .res = n->nodes};
        n->call = request(n, &req, node_object(&a, &n->agent->o, &n->facts), updated);
    } else {
        status_again(n, NODE_RETRY_MS);
    }
    arena_done(&a);
}

/* ---- facts and runtime ---- */

static void evaluated(struct node *n)
{
    node_conditions_update(n->conditions, &n->facts, loop_wall(n->agent->loop));
    if (n->registered) {
        report(n);
        return;
    }
    struct client_request req = {.verb = CLIENT_GET, .res = n->nodes, .name = slice_str(n->agent->o.node_name)};
    n->call = request(n, &req, NULL, looked_up);
}

static struct json *image_json(struct arena *a, const Runtime__V1__Image *image)
{
    struct json *o = json_new_object(a), *names = json_new_array(a);
    for (size_t i = 0; i < image->n_repo_digests && i < 5; i++)
        json_append(names, json_new_str(a, image->repo_digests[i]));
    for (size_t i = 0; i < image->n_repo_tags && i < 5; i++)
        json_append(names, json_new_str(a, image->repo_tags[i]));
    json_set_str(a, o, "names", names);
    json_set_str(a, o, "sizeBytes", json_new_int(a, (int64_t)image->size));
    return o;
}

static void on_images(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct node *n = ctx;
    const Runtime__V1__ListImagesResponse *r = (const void *)response;
    (void)message;
    n->cri = NULL;
    if (!err) {
        arena_done(&n->images_arena);
        n->images = json_new_array(&n->images_arena);
        for (size_t i = 0; i < r->n_images && i < NODE_IMAGES_MAX; i++)
            json_append(n->images, image_json(&n->images_arena, r->images[i]));
    }
    evaluated(n);
}

static void take_runtime_condition(struct node_facts *f, const Runtime__V1__RuntimeCondition *c)
{
    if (!strcmp(c->type, "RuntimeReady"))
        f->runtime_ready = c->status;
    else if (!strcmp(c->type, "NetworkReady"))
        f->network_ready = c->status;
    else
        return;
    if (!c->status)
        snprintf(f->runtime_message, sizeof f->runtime_message, "%s=false reason:%s message:%s", c->type, c->reason,
                 c->message);
}

static void on_status(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct node *n = ctx;
    const Runtime__V1__StatusResponse *r = (const void *)response;
    n->cri = NULL;
    if (err || !r->status) {
        snprintf(n->facts.runtime_message, sizeof n->facts.runtime_message, "container runtime is down: %s",
                 message && *message ? message : strerror(-err));
        evaluated(n);
        return;
    }
    for (size_t i = 0; i < r->status->n_conditions; i++)
        take_runtime_condition(&n->facts, r->status->conditions[i]);
    Runtime__V1__ListImagesRequest q;
    runtime__v1__list_images_request__init(&q);
    n->cri = cri_call(n->agent->cri, CRI_LIST_IMAGES, &q.base, NODE_RUNTIME_MS, on_images, n);
}

static void on_version(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct node *n = ctx;
    const Runtime__V1__VersionResponse *r = (const void *)response;
    Runtime__V1__StatusRequest q;
    (void)message;
    if (!err) {
        const char *v = r->runtime_version;
        snprintf(n->facts.runtime, sizeof n->facts.runtime, "%s://%s", r->runtime_name, *v == 'v' ? v + 1 : v);
    }
    runtime__v1__status_request__init(&q);
    n->cri = cri_call(n->agent->cri, CRI_STATUS, &q.base, NODE_RUNTIME_MS, on_status, n);
}

static void facts_run(struct loop_work *w)
{
    struct facts_job *j = container_of(w, struct facts_job, work);
    node_facts_read(&j->facts, j->data_dir);
}

static void facts_done(struct loop_work *w)
{
    struct facts_job *j = container_of(w, struct facts_job, work);
    struct node *n = j->node;
    if (n) {
        char runtime[NODE_TEXT_MAX];
        Runtime__V1__VersionRequest q;
        memcpy(runtime, n->facts.runtime, sizeof runtime);
        n->job = NULL;
        n->facts = j->facts;
        memcpy(n->facts.runtime, runtime, sizeof runtime);
        runtime__v1__version_request__init(&q);
        n->cri = cri_call(n->agent->cri, CRI_VERSION, &q.base, NODE_RUNTIME_MS, on_version, n);
    }
    mem_free(j);
}

static void status_tick(struct loop_timer *t)
{
    struct node *n = container_of(t, struct node, status_timer);
    struct facts_job *j = mem_new(struct facts_job);
    n->job = j;
    j->node = n;
    j->work.run = facts_run;
    j->work.done = facts_done;
    snprintf(j->data_dir, sizeof j->data_dir, "%s", n->agent->o.data_dir);
    loop_work_queue(n->agent->loop, LOOP_LANE_MISC, &j->work);
}

/* ---- lease ---- */

static struct json *lease_spec(struct node *n, struct arena *a)
{
    struct json *spec = json_new_object(a);
    char now[TIME_MICRO_LEN + 1];
    time_format_micro(loop_wall(n->agent->loop), now);
    json_set_str(a, spec, "holderIdentity", json_new_str(a, n->agent->o.node_name));
    json_set_str(a, spec, "leaseDurationSeconds", json_new_int(a, NODE_LEASE_S));
    json_set_str(a, spec, "renewTime", json_new_str(a, now));
    return spec;
}

/* The Node owns its lease, so that it goes with it. */
static struct json *lease_owner(struct node *n, struct arena *a)
{
    struct json *list = json_new_array(a), *o = json_new_object(a);
    json_set_str(a, o, "apiVersion", json_new_str(a, "v1"));
    json_set_str(a, o, "kind", json_new_str(a, "Node"));
    json_set_str(a, o, "name", json_new_str(a, n->agent->o.node_name));
    json_set_str(a, o, "uid", json_new_str(a, n->uid));
    json_append(list, o);
    return list;
}

static void lease_created(void *ctx, const struct client_reply *reply)
{
    struct node *n = ctx;
    n->lease_call = NULL;
    bool fine = !reply->err && reply->code < 300;
    loop_timer_start(n->agent->loop, &n->lease_timer, fine ? NODE_LEASE_MS : NODE_RETRY_MS);
}

static void lease_create(struct node *n)
{
    struct arena a;
    arena_init(&a, NODE_ARENA_MAX);
    struct json *lease = json_new_object(&a), *meta = json_new_object(&a);
    json_set_str(&a, lease, "apiVersion", json_new_str(&a, "coordination.k8s.io/v1"));
    json_set_str(&a, lease, "kind", json_new_str(&a, "Lease"));
    json_set_str(&a, meta, "name", json_new_str(&a, n->agent->o.node_name));
    json_set_str(&a, meta, "namespace", json_new_str(&a, "kube-node-lease"));
    if (n->uid[0])
        json_set_str(&a, meta, "ownerReferences", lease_owner(n, &a));
    json_set_str(&a, lease, "metadata", meta);
    json_set_str(&a, lease, "spec", lease_spec(n, &a));
    struct client_request req = {.verb = CLIENT_CREATE, .res = n->leases, .ns = SLICE("kube-node-lease")};
    n->lease_call = request(n, &req, lease, lease_created);
    arena_done(&a);
}

static void lease_renewed(void *ctx, const struct client_reply *reply)
{
    struct node *n = ctx;
    n->lease_call = NULL;
    if (!reply->err && reply->code == 404)
        lease_create(n);
    else
        lease_created(n, reply);
}

static void lease_tick(struct loop_timer *t)
{
    struct node *n = container_of(t, struct node, lease_timer);
    struct arena a;
    if (!n->registered) { /* the owner comes first */
        loop_timer_start(n->agent->loop, t, NODE_RETRY_MS / 4);
        return;
    }
    arena_init(&a, NODE_ARENA_MAX);
    struct json *patch = json_new_object(&a);
    json_set_str(&a, patch, "spec", lease_spec(n, &a));
    struct client_request req = {.verb = CLIENT_PATCH,
                                 .res = n->leases,
                                 .ns = SLICE("kube-node-lease"),
                                 .name = slice_str(n->agent->o.node_name),
                                 .patch = CLIENT_MERGE_PATCH};
    n->lease_call = request(n, &req, patch, lease_renewed);
    arena_done(&a);
}

/* ---- life ---- */

int64_t node_allocatable(const struct node *n, struct slice resource)
{
    if (!n)
        return 0;
    if (slice_eq_str(resource, "cpu"))
        return n->facts.cpus * 1000;
    if (slice_eq_str(resource, "memory"))
        return n->facts.memory > NODE_MEMORY_RESERVED ? n->facts.memory - NODE_MEMORY_RESERVED : 0;
    return slice_eq_str(resource, "ephemeral-storage") ? n->facts.disk : 0;
}

struct node *node_new(struct agent *agent)
{
    struct node *n = mem_new(struct node);
    n->agent = agent;
    n->nodes = resource_core("nodes");
    n->leases = resource_find(SLICE("coordination.k8s.io"), SLICE("v1"), SLICE("leases"));
    arena_init(&n->images_arena, NODE_ARENA_MAX);
    buf_init(&n->sent, NODE_STATUS_TEXT_MAX);
    n->status_timer.cb = status_tick;
    n->lease_timer.cb = lease_tick;
    status_again(n, 0);
    loop_timer_start(agent->loop, &n->lease_timer, 0);
    return n;
}

void node_free(struct node *n)
{
    if (!n)
        return;
    if (n->job)
        n->job->node = NULL;
    if (n->cri)
        cri_cancel(n->cri);
    if (n->call)
        client_cancel(n->agent->client, n->call);
    if (n->lease_call)
        client_cancel(n->agent->client, n->lease_call);
    loop_timer_stop(n->agent->loop, &n->status_timer);
    loop_timer_stop(n->agent->loop, &n->lease_timer);
    buf_done(&n->sent);
    arena_done(&n->images_arena);
    mem_free(n);
}

#include "fake_node.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "client/http.h"
#include "object/meta.h"

enum { TICK_MS = 200, RENEW_MS = 2000, CALL_MS = 3000, NODE_ARENA = 8 << 20 };

struct fake_node {
    struct world *w;
    struct loop *loop;
    char name[32];
    struct client *client; /* NULL while down */
    struct informer *pods;
    struct loop_timer tick, renew;
    struct arena a; /* of the round at work */
    bool node_made, lease_made, busy, renewing;
};

/* ---- requests ---- */

static const struct resource *resource(const char *group, const char *version, const char *plural)
{
    const struct resource *res = resource_find(slice_str(group), slice_str(version), slice_str(plural));
    assert_non_null(res);
    return res;
}

static void send(struct fake_node *n, struct client_request *req, const char *text,
                 void (*done)(void *ctx, const struct client_reply *reply))
{
    req->timeout_ms = CALL_MS;
    if (text) {
        req->body = json_parse(&n->a, slice_str(text), NULL, NULL, NULL);
        assert_non_null(req->body);
    }
    client_do(n->client, req, done, n);
}

static void new_round(struct fake_node *n)
{
    arena_done(&n->a);
    arena_init(&n->a, NODE_ARENA);
}

static const char *now_text(struct fake_node *n, bool micro)
{
    char sec[TIME_SEC_LEN + 1], frac[TIME_MICRO_LEN + 1];
    time_format_sec(loop_wall(n->loop), sec);
    time_format_micro(loop_wall(n->loop), frac);
    return arena_printf(&n->a, "%s", micro ? frac : sec);
}

/* ---- node and lease ---- */

static void on_node(void *ctx, const struct client_reply *reply)
{
    struct fake_node *n = ctx;
    n->renewing = false;
    if (!reply->err && (reply->code == 200 || reply->code == 201 || reply->code == 409))
        n->node_made = true;
    if (!reply->err && reply->code == 404)
        n->node_made = false;
}

static void on_lease(void *ctx, const struct client_reply *reply)
{
    struct fake_node *n = ctx;
    n->renewing = false;
    if (!reply->err && (reply->code == 200 || reply->code == 201 || reply->code == 409))
        n->lease_made = true;
    if (!reply->err && reply->code == 404)
        n->lease_made = false;
}

static void make_node(struct fake_node *n)
{
    struct client_request req = {.verb = CLIENT_CREATE, .res = resource("", "v1", "nodes")};
    const char *now = now_text(n, false);
    send(n, &req,
         arena_printf(&n->a,
                      "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
                      "\"kubernetes.io/hostname\":\"%s\"}},\"status\":{\"capacity\":{\"cpu\":\"8\",\"memory\":\"16Gi\","
                      "\"pods\":\"110\"},\"allocatable\":{\"cpu\":\"8\",\"memory\":\"16Gi\",\"pods\":\"110\"},"
                      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\","
                      "\"lastHeartbeatTime\":\"%s\",\"lastTransitionTime\":\"%s\"}]}}",
                      n->name, n->name, now, now),
         on_node);
}

static void ready_node(struct fake_node *n)
{
    struct client_request req = {.verb = CLIENT_PATCH,
                                 .res = resource("", "v1", "nodes"),
                                 .name = slice_str(n->name),
                                 .sub = "status",
                                 .patch = CLIENT_STRATEGIC_PATCH};
    const char *now = now_text(n, false);
    send(n, &req,
         arena_printf(&n->a,
                      "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":"
                      "\"KubeletReady\",\"lastHeartbeatTime\":\"%s\",\"lastTransitionTime\":\"%s\"}]}}",
                      now, now),
         on_node);
}

static void renew_lease(struct fake_node *n)
{
    struct client_request req = {.verb = n->lease_made ? CLIENT_PATCH : CLIENT_CREATE,
                                 .res = resource("coordination.k8s.io", "v1", "leases"),
                                 .ns = SLICE("kube-node-lease"),
                                 .name = n->lease_made ? slice_str(n->name) : SLICE_NONE};
    send(n, &req,
         arena_printf(&n->a,
                      "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"%s\","
                      "\"namespace\":\"kube-node-lease\"},\"spec\":{\"holderIdentity\":\"%s\","
                      "\"leaseDurationSeconds\":40,\"renewTime\":\"%s\"}}",
                      n->name, n->name, now_text(n, true)),
         on_lease);
}

/* One call after the other: the node, its lease, and now and then its status. */
static void on_renew(struct loop_timer *t)
{
    struct fake_node *n = container_of(t, struct fake_node, renew);
    if (!n->renewing) {
        new_round(n);
        n->renewing = true;
        if (!n->node_made)
            make_node(n);
        else if (loop_random_below(n->loop, 4) == 0)
            ready_node(n);
        else
            renew_lease(n);
    }
    loop_timer_start(n->loop, t, n->lease_made ? RENEW_MS : TICK_MS);
}

/* ---- pods ---- */

static void on_pod(void *ctx, const struct client_reply *reply)
{
    struct fake_node *n = ctx;
    (void)reply; /* the next round looks again */
    n->busy = false;
}

static void run_pod(struct fake_node *n, const struct json *pod)
{
    struct client_request req = {.verb = CLIENT_PATCH,
                                 .res = resource("", "v1", "pods"),
                                 .ns = meta_namespace(pod),
                                 .name = meta_name(pod),
                                 .sub = "status",
                                 .patch = CLIENT_STRATEGIC_PATCH};
    const char *now = now_text(n, false);
    send(n, &req,
         arena_printf(&n->a,
                      "{\"status\":{\"phase\":\"Running\",\"startTime\":\"%s\",\"conditions\":[{\"type\":\"Ready\","
                      "\"status\":\"True\",\"lastTransitionTime\":\"%s\"}]}}",
                      now, now),
         on_pod);
}

static void end_pod(struct fake_node *n, const struct json *pod)
{
    struct client_request req = {
        .verb = CLIENT_DELETE, .res = resource("", "v1", "pods"), .ns = meta_namespace(pod), .name = meta_name(pod)};
    struct slice uid = meta_uid(pod);
    send(n, &req,
         arena_printf(&n->a,
                      "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"gracePeriodSeconds\":0,\"preconditions\":"
                      "{\"uid\":\"%" SLICE_FMT "\"}}",
                      SLICE_ARG(uid)),
         on_pod);
}

static bool look_at_pod(void *ctx, const struct client_object *o)
{
    struct fake_node *n = ctx;
    const struct json *pod = json_parse(&n->a, o->json, NULL, NULL, NULL);
    assert_non_null(pod);
    struct slice node = json_path_string(pod, "spec.nodeName");
    CHECK(n->w, slice_eq_str(node, n->name), "%s was shown a pod of %.*s", n->name, (int)node.n, node.p);
    bool ending = json_path(pod, "metadata.deletionTimestamp") != NULL;
    bool running = slice_eq_str(json_path_string(pod, "status.phase"), "Running");
    if ((running && !ending) || loop_random_below(n->loop, 3) == 0)
        return true;
    n->busy = true;
    if (ending)
        end_pod(n, pod);
    else
        run_pod(n, pod);
    return false;
}

static void on_tick(struct loop_timer *t)
{
    struct fake_node *n = container_of(t, struct fake_node, tick);
    new_round(n);
    if (!n->busy && informer_synced(n->pods))
        informer_each(n->pods, SLICE_NONE, look_at_pod, n);
    loop_timer_start(n->loop, t, 20 + loop_random_below(n->loop, TICK_MS));
}

static void on_change(void *ctx, const struct client_object *before, const struct client_object *now)
{
    (void)ctx, (void)before, (void)now; /* the tick looks at them all */
}

/* ---- life ---- */

static void begin(struct fake_node *n)
{
    static const struct informer_handler handler = {on_change, NULL};
    char selector[64];
    snprintf(selector, sizeof selector, "spec.nodeName=%s", n->name);
    n->client =
        client_http_new(n->loop, &(struct client_http_options){.servers = world_servers, .n_servers = REPLICAS});
    n->pods = informer_new(n->client,
                           &(struct informer_options){.res = resource("", "v1", "pods"), .field_selector = selector},
                           &handler, n);
    n->node_made = n->lease_made = n->busy = n->renewing = false;
    n->tick = (struct loop_timer){.cb = on_tick};
    n->renew = (struct loop_timer){.cb = on_renew};
    loop_timer_start(n->loop, &n->tick, TICK_MS);
    loop_timer_start(n->loop, &n->renew, 1);
}

static void end(struct fake_node *n)
{
    loop_timer_stop(n->loop, &n->tick);
    loop_timer_stop(n->loop, &n->renew);
    informer_free(n->pods);
    client_http_free(n->client);
    n->client = NULL;
    n->pods = NULL;
}

struct fake_node *fake_node_new(struct world *w, struct loop *l, const char *name)
{
    struct fake_node *n = mem_new(struct fake_node);
    n->w = w;
    n->loop = l;
    snprintf(n->name, sizeof n->name, "%s", name);
    arena_init(&n->a, NODE_ARENA);
    begin(n);
    return n;
}

void fake_node_kill(struct fake_node *n, bool crash)
{
    if (!n->client)
        return;
    sim_kill(n->w->sim, n->loop, crash);
    end(n);
}

void fake_node_start(struct fake_node *n)
{
    if (n->client)
        return;
    sim_start(n->w->sim, n->loop);
    begin(n);
}

void fake_node_free(struct fake_node *n)
{
    fake_node_kill(n, false);
    arena_done(&n->a);
    mem_free(n);
}

struct loop *fake_node_loop(const struct fake_node *n)
{
    return n->loop;
}

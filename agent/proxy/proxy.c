#include "agent/proxy/proxy.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/proxy/routes.h"
#include "agent/proxy/rules.h"
#include "base/mem.h"
#include "object/meta.h"

enum {
    COLLECT_MS = 50, /* changes are gathered this long */
    RETRY_MS = 2000,
    ROUTES_MAX = 5000,
    RULES_ARENA_MAX = 512 << 20,
};

struct route {
    char cidr[64], gateway[64];
};

struct proxy {
    struct agent *agent;
    struct informer *services, *slices, *nodes;
    unsigned unsynced;
    struct loop_timer timer;
    bool applying, again;
    struct buf applied; /* the text in force */
};

/* One application, on the pool. */
struct job {
    struct loop_work work;
    struct proxy *proxy; /* NULL: the proxy is gone */
    struct buf text;
    struct route *routes;
    size_t n_routes;
    int err;
    char message[512];
};

/* ---- applying ---- */

static int apply_text(const char *text, char message[512])
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft)
        return -ENOMEM;
    nft_ctx_buffer_error(nft);
    nft_ctx_buffer_output(nft);
    int rv = nft_run_cmd_from_buffer(nft, text) ? -EIO : 0;
    if (rv)
        snprintf(message, 512, "%s", nft_ctx_get_error_buffer(nft));
    nft_ctx_free(nft);
    return rv;
}

static void run(struct loop_work *w)
{
    struct job *j = container_of(w, struct job, work);
    if (j->text.n)
        j->err = apply_text(j->text.p, j->message);
    for (size_t i = 0; i < j->n_routes; i++) {
        int rv = route_replace(j->routes[i].cidr, j->routes[i].gateway);
        if (rv && !j->err) {
            j->err = rv;
            snprintf(j->message, sizeof j->message, "route to %s via %s: %s", j->routes[i].cidr, j->routes[i].gateway,
                     strerror(-rv));
        }
    }
}

static void job_free(struct job *j)
{
    buf_done(&j->text);
    mem_free(j->routes);
    mem_free(j);
}

static void apply_later(struct proxy *p, uint64_t ms)
{
    if (!loop_timer_armed(&p->timer))
        loop_timer_start(p->agent->loop, &p->timer, ms);
}

static void done(struct loop_work *w)
{
    struct job *j = container_of(w, struct job, work);
    struct proxy *p = j->proxy;
    p->applying = false;
    if (j->err) {
        log_warn(loop_log(p->agent->loop), "proxy", "rules not applied message=\"%.300s\"", j->message);
        buf_clear(&p->applied);
        apply_later(p, RETRY_MS);
    }
    if (p->again) {
        p->again = false;
        apply_later(p, COLLECT_MS);
    }
    job_free(j);
}

/* ---- from objects to rules ---- */

struct gather {
    struct proxy *proxy;
    struct arena *a;
    struct rules *rules;
    struct job *job;
    void (*add)(struct rules *r, const struct json *obj);
};

static bool gather_one(void *ctx, const struct client_object *o)
{
    struct gather *g = ctx;
    struct json_error err;
    const struct json *obj = json_parse(g->a, o->json, &err, NULL, NULL);
    if (obj)
        g->add(g->rules, obj);
    return true;
}

static bool gather_route(void *ctx, const struct client_object *o)
{
    struct gather *g = ctx;
    struct json_error err;
    const struct json *node = json_parse(g->a, o->json, &err, NULL, NULL);
    struct slice cidr = json_path_string(node, "spec.podCIDR");
    if (slice_eq_str(meta_name(node), g->proxy->agent->o.node_name) || !cidr.n)
        return true;
    json_each (address, json_path(node, "status.addresses")) {
        if (!slice_eq_str(json_path_string(address, "type"), "InternalIP") || g->job->n_routes == ROUTES_MAX)
            continue;
        struct route *r = &g->job->routes[g->job->n_routes++];
        snprintf(r->cidr, sizeof r->cidr, "%" SLICE_FMT, SLICE_ARG(cidr));
        snprintf(r->gateway, sizeof r->gateway, "%" SLICE_FMT, SLICE_ARG(json_path_string(address, "address")));
        break;
    }
    return true;
}

static void gather_all(struct proxy *p, struct job *j)
{
    struct arena a;
    arena_init(&a, RULES_ARENA_MAX);
    struct gather g = {
        .proxy = p, .a = &a, .job = j, .rules = rules_new(&a, p->agent->o.node_name, p->agent->o.pod_cidr)};
    if (g.rules) {
        g.add = rules_add_node;
        informer_each(p->nodes, SLICE_NONE, gather_one, &g);
        g.add = rules_add_slice;
        informer_each(p->slices, SLICE_NONE, gather_one, &g);
        g.add = rules_add_service;
        informer_each(p->services, SLICE_NONE, gather_one, &g);
        rules_write(g.rules, &j->text);
    }
    j->routes = mem_zalloc((informer_count(p->nodes) + 1) * sizeof *j->routes);
    informer_each(p->nodes, SLICE_NONE, gather_route, &g);
    arena_done(&a);
}

static void on_timer(struct loop_timer *t)
{
    struct proxy *p = container_of(t, struct proxy, timer);
    if (p->unsynced)
        return;
    if (p->applying) {
        p->again = true;
        return;
    }
    struct job *j = mem_new(struct job);
    j->proxy = p;
    buf_init(&j->text, RULES_TEXT_MAX);
    gather_all(p, j);
    struct buf both = BUF_INIT(2UL * RULES_TEXT_MAX); /* routes count as part of what is in force */
    buf_add_slice(&both, buf_slice(&j->text));
    for (size_t i = 0; i < j->n_routes; i++)
        buf_printf(&both, "# %s via %s\n", j->routes[i].cidr, j->routes[i].gateway);
    if (slice_eq(buf_slice(&both), buf_slice(&p->applied))) {
        buf_done(&both);
        job_free(j);
        return;
    }
    buf_done(&p->applied);
    p->applied = both;
    p->applying = true;
    j->work.run = run;
    j->work.done = done;
    loop_work_queue(p->agent->loop, LOOP_LANE_POOL0, &j->work);
}

static void on_change(void *ctx, const struct client_object *before, const struct client_object *now)
{
    (void)before, (void)now;
    apply_later(ctx, COLLECT_MS);
}

static void on_synced(void *ctx)
{
    struct proxy *p = ctx;
    p->unsynced--;
    apply_later(p, COLLECT_MS);
}

static const struct informer_handler handler = {on_change, on_synced};

static struct informer *follow(struct proxy *p, const char *group, const char *plural)
{
    const struct resource *res = resource_find(slice_str(group), SLICE("v1"), slice_str(plural));
    p->unsynced++;
    return informer_new(p->agent->client, &(struct informer_options){.res = res}, &handler, p);
}

int proxy_new(struct agent *agent, struct proxy **ret, char why[256])
{
    char message[512] = "";
    int rv = apply_text("add table ip pintle\n", message);
    if (rv) {
        snprintf(why, 256, "nftables cannot be used (root and a kernel with nf_tables are needed): %.150s", message);
        return rv;
    }
    struct proxy *p = mem_new(struct proxy);
    p->agent = agent;
    p->timer.cb = on_timer;
    buf_init(&p->applied, 2UL * RULES_TEXT_MAX);
    p->services = follow(p, "", "services");
    p->slices = follow(p, "discovery.k8s.io", "endpointslices");
    p->nodes = follow(p, "", "nodes");
    *ret = p;
    return 0;
}

void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    loop_timer_stop(p->agent->loop, &p->timer);
    informer_free(p->services);
    informer_free(p->slices);
    informer_free(p->nodes);
    buf_done(&p->applied);
    if (!p->applying) /* else the job at work still needs it; the process is ending */
        mem_free(p);
}

int proxy_cleanup(void)
{
    char message[512];
    return apply_text("add table ip pintle\ndelete table ip pintle\n", message);
}

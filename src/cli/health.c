#include "cli/health.h"

#include <string.h>

#include "base/mem.h"

enum { METRICS_MAX = 4 << 20 };

struct health {
    struct health_options o;
    struct http_server *server;
};

static void reply(struct http_exchange *x, int code, struct slice text)
{
    const struct http_header type = {SLICE("content-type"), SLICE("text/plain; charset=utf-8")};
    struct blob *b = blob_copy(text);
    struct chunk chunk = b ? chunk_take(b) : chunk_static(SLICE(""));
    http_reply(x, b ? code : 503, &type, 1, &chunk, 1);
}

/* Ready is a witness that knows who leads: it can do its part. */
static void serve_ready(const struct health *h, struct http_exchange *x)
{
    bool ready = raft_node_leader(h->o.raft) != 0;
    reply(x, ready ? 200 : 500, ready ? SLICE("ok") : SLICE("[-]raft-leader failed\n"));
}

static bool may_see_metrics(const struct tls_identity *who)
{
    for (size_t i = 0; who && i < who->n_orgs; i++)
        if (!strcmp(who->orgs[i], "system:masters") || !strcmp(who->orgs[i], "pintle:servers"))
            return true;
    return false;
}

static void serve_metrics(const struct health *h, struct http_exchange *x)
{
    struct buf out = BUF_INIT(METRICS_MAX);
    if (!may_see_metrics(http_request(x)->peer))
        reply(x, 403, SLICE("metrics are for replicas and administrators\n"));
    else if (metrics_render(h->o.metrics, &out))
        reply(x, 503, SLICE("memory is short, try again later\n"));
    else
        reply(x, 200, buf_slice(&out));
    buf_done(&out);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    const struct health *h = ctx;
    struct slice path = http_request(x)->path;
    if (slice_eq_str(path, "/metrics"))
        serve_metrics(h, x);
    else if (slice_eq_str(path, "/readyz"))
        serve_ready(h, x);
    else if (slice_eq_str(path, "/healthz") || slice_eq_str(path, "/livez"))
        reply(x, 200, SLICE("ok"));
    else
        reply(x, 404, SLICE("this is a witness: it votes and has no API; ask another member\n"));
}

int health_new(struct loop *l, const struct health_options *o, struct health **ret)
{
    struct health *h = mem_new(struct health);
    h->o = *o;
    int rv = http_server_new(
        l, &(struct http_server_options){.listen = o->listen, .tls = o->tls, .on_request = on_request, .ctx = h},
        &h->server);
    if (rv) {
        mem_free(h);
        return rv;
    }
    *ret = h;
    return 0;
}

void health_free(struct health *h)
{
    if (!h)
        return;
    http_server_free(h->server);
    mem_free(h);
}

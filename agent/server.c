#include "agent/server.h"

#include <errno.h>
#include <stdio.h>

#include "agent/log_rotate.h"
#include "agent/logs.h"
#include "agent/pods.h"
#include "agent/summary.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/http.h"

enum {
    SERVER_HEADERS_MAX = 64,
    SERVER_COMMAND_MAX = 1024, /* words */
    SERVER_TARGETS_MAX = 64,   /* streaming addresses of the runtime */
    SERVER_CALL_MS = 30000,
    SERVER_TEXT_MAX = 64 << 20,
};

struct agent_server {
    struct agent *agent;
    struct http_server *http;
    struct map targets; /* "127.0.0.1:1234" → struct http_client */
    struct list streams;
    struct log_rotate *rotate;
};

/* ---- answers ---- */

static void reply_text(struct http_exchange *x, int code, const char *type, struct slice text)
{
    struct http_header h = {SLICE("content-type"), slice_str(type)};
    struct blob *b = blob_copy(text);
    struct chunk c = b ? chunk_take(b) : chunk_static(SLICE(""));
    http_reply(x, code, &h, 1, &c, 1);
}

/* As a Status object, so that kubectl shows the message. */
static void reply_error(struct http_exchange *x, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void reply_error(struct http_exchange *x, int code, const char *fmt, ...)
{
    char message[1024];
    struct buf out = BUF_INIT(16 << 10);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    buf_add_str(&out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
    json_write_string(&out, slice_str(message));
    buf_printf(&out, ",\"reason\":\"%s\",\"code\":%d}", status_reason(code), code);
    reply_text(x, code, "application/json", buf_slice(&out));
    buf_done(&out);
}

/* ---- requests ---- */

/* /ENDPOINT/NS/POD/CONTAINER */
struct target {
    struct slice ns, pod, container;
};

static bool target_parse(struct arena *a, struct slice path, struct target *ret)
{
    struct slice part[4], rest = path;
    for (size_t i = 0; i < 4; i++) {
        slice_cut(rest, '/', &part[i], &rest);
        part[i] = percent_decode(a, part[i], false);
        if (part[i].n > 253 || (part[i].n && memchr(part[i].p, '/', part[i].n)))
            return false;
    }
    *ret = (struct target){part[1], part[2], part[3]};
    return part[1].n && part[2].n && !rest.n;
}

static bool may_enter(const struct tls_identity *peer)
{
    for (size_t i = 0; peer && i < peer->n_orgs; i++)
        if (!strcmp(peer->orgs[i], "pintle:servers") || !strcmp(peer->orgs[i], "system:masters"))
            return true;
    return false;
}

/* ---- logs ---- */

static void serve_logs(struct agent_server *s, struct http_exchange *x, const struct target *t)
{
    char path[1024], why[512];
    struct log_options o;
    const struct http_request *q = http_request(x);
    int err = log_options_parse(http_arena(x), q->query, loop_wall(s->agent->loop), &o, why);
    if (!err)
        err = pods_log_path(s->agent->pods, t->ns, t->pod, t->container, o.previous, path, sizeof path, why);
    if (err)
        reply_error(x, err == -ENOENT ? 404 : 400, "%s", why);
    else
        logs_serve(s->agent, x, &o, path, t->ns, t->pod, t->container);
}

/* ---- streams: exec, attach, portForward ---- */

struct stream_request {
    struct list link;
    struct agent_server *server;
    struct http_exchange *x;
    struct cri_call *call;
    bool gone, upgrading; /* the client went away; the runtime is asked to upgrade */
    const char *kind;
    struct slice container; /* as it was asked for */
    char *command[SERVER_COMMAND_MAX];
    size_t n_command;
    int32_t ports[64];
    size_t n_ports;
    bool in, out, err, tty;
};

static void stream_free(struct stream_request *r)
{
    http_set_ctx(r->x, NULL, NULL);
    list_remove(&r->link);
    mem_free(r);
}

static bool truth(struct slice v)
{
    return slice_eq_str(v, "1") || slice_ieq(v, SLICE("true"));
}

static void take_parameter(struct stream_request *r, struct arena *a, struct slice key, struct slice value)
{
    int64_t port;
    if (slice_eq_str(key, "command") && r->n_command < SERVER_COMMAND_MAX)
        r->command[r->n_command++] = (char *)arena_printf(a, "%" SLICE_FMT, SLICE_ARG(value));
    else if (slice_eq_str(key, "input") || slice_eq_str(key, "stdin"))
        r->in |= truth(value);
    else if (slice_eq_str(key, "output") || slice_eq_str(key, "stdout"))
        r->out |= truth(value);
    else if (slice_eq_str(key, "error") || slice_eq_str(key, "stderr"))
        r->err |= truth(value);
    else if (slice_eq_str(key, "tty"))
        r->tty |= truth(value);
    else if (slice_eq_str(key, "port") || slice_eq_str(key, "ports"))
        while (value.n && r->n_ports < sizeof r->ports / sizeof *r->ports) {
            struct slice one;
            slice_cut(value, ',', &one, &value);
            if (slice_to_i64(one, &port) && port > 0 && port < 65536)
                r->ports[r->n_ports++] = (int32_t)port;
        }
}

static void take_query(struct stream_request *r, struct arena *a, struct slice query)
{
    while (query.n) {
        struct slice pair, key, value;
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &key, &value);
        take_parameter(r, a, percent_decode(a, key, true), percent_decode(a, value, true));
    }
    r->err = r->err && !r->tty; /* a terminal has one output */
}

static void on_upgraded(void *ctx, int err, int code, const struct http_header *headers, size_t n, struct slice body,
                        struct conn *raw)
{
    struct stream_request *r = ctx;
    struct http_exchange *x = r->x;
    struct loop *l = r->server->agent->loop;
    bool gone = r->gone;
    stream_free(r);
    if (gone) {
        conn_close(raw);
        http_abort(x);
    } else if (err) {
        reply_error(x, 502, "the container runtime's streaming server does not answer: %s", strerror(-err));
    } else if (raw) {
        struct conn *client = http_upgrade(x, code, headers, n);
        if (client)
            conn_splice(l, client, raw, NULL, NULL);
        else
            conn_close(raw);
    } else {
        reply_text(x, code, "text/plain", body);
    }
}

static struct http_client *target_client(struct agent_server *s, struct slice address)
{
    char text[128];
    struct http_client *c = map_get(&s->targets, address);
    if (c || address.n >= sizeof text || s->targets.n >= SERVER_TARGETS_MAX)
        return c;
    snprintf(text, sizeof text, "%" SLICE_FMT, SLICE_ARG(address));
    c = http_client_new(s->agent->loop, &(struct http_client_options){.addr = text});
    map_put(&s->targets, address, c);
    return c;
}

static size_t passed_headers(const struct http_request *q, struct http_header *out)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n_headers && n < SERVER_HEADERS_MAX; i++)
        if (!slice_eq_str(q->headers[i].name, "host") && !slice_eq_str(q->headers[i].name, "content-length") &&
            !slice_eq_str(q->headers[i].name, "transfer-encoding"))
            out[n++] = q->headers[i];
    return n;
}

/* url: http://127.0.0.1:PORT/exec/TOKEN */
static void connect_stream(struct stream_request *r, const char *url)
{
    struct http_header headers[SERVER_HEADERS_MAX];
    const struct http_request *q = http_request(r->x);
    struct slice rest = slice_str(url), address, path;
    rest = slice_starts(rest, SLICE("http://")) ? slice_from(rest, 7) : SLICE_NONE;
    slice_cut(rest, '/', &address, &path);
    struct http_client *c = address.n ? target_client(r->server, address) : NULL;
    if (!c) {
        struct http_exchange *x = r->x;
        stream_free(r);
        reply_error(x, 502, "the container runtime gave no usable address for the stream");
        return;
    }
    size_t n = passed_headers(q, headers);
    r->upgrading = true;
    http_client_upgrade(
        c,
        &(struct http_call_options){.method = arena_printf(http_arena(r->x), "%" SLICE_FMT, SLICE_ARG(q->method)),
                                    .path = arena_printf(http_arena(r->x), "/%" SLICE_FMT, SLICE_ARG(path)),
                                    .headers = headers,
                                    .n_headers = n,
                                    .timeout_ms = SERVER_CALL_MS},
        on_upgraded, r);
}

/* As plain text: clients put what failed, the upgrade, before it. */
static void reply_not_found(struct http_exchange *x, struct slice container)
{
    const char *text = arena_printf(http_arena(x), "container not found (\"%" SLICE_FMT "\")", SLICE_ARG(container));
    reply_text(x, 500, "text/plain; charset=utf-8", slice_str(text));
}

static void on_url(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct stream_request *r = ctx;
    r->call = NULL;
    if (err) {
        struct http_exchange *x = r->x;
        struct slice container = r->container;
        bool ended = message && strstr(message, "CONTAINER_EXITED"); /* since we looked */
        stream_free(r);
        if (ended)
            reply_not_found(x, container);
        else
            reply_error(x, 500, "%s", message && *message ? message : strerror(-err));
        return;
    }
    /* The three answers have the same shape. */
    connect_stream(r, ((const Runtime__V1__ExecResponse *)(const void *)response)->url);
}

static void call_runtime(struct stream_request *r, const char *id)
{
    struct cri *cri = r->server->agent->cri;
    if (!strcmp(r->kind, "exec")) {
        Runtime__V1__ExecRequest q;
        runtime__v1__exec_request__init(&q);
        q.container_id = (char *)id;
        q.cmd = r->command;
        q.n_cmd = r->n_command;
        q.tty = r->tty;
        q.stdin = r->in;
        q.stdout = r->out;
        q.stderr = r->err;
        r->call = cri_call(cri, CRI_EXEC, &q.base, SERVER_CALL_MS, on_url, r);
    } else if (!strcmp(r->kind, "attach")) {
        Runtime__V1__AttachRequest q;
        runtime__v1__attach_request__init(&q);
        q.container_id = (char *)id;
        q.tty = r->tty;
        q.stdin = r->in;
        q.stdout = r->out;
        q.stderr = r->err;
        r->call = cri_call(cri, CRI_ATTACH, &q.base, SERVER_CALL_MS, on_url, r);
    } else {
        Runtime__V1__PortForwardRequest q;
        runtime__v1__port_forward_request__init(&q);
        q.pod_sandbox_id = (char *)id;
        q.port = r->ports;
        q.n_port = r->n_ports;
        r->call = cri_call(cri, CRI_PORT_FORWARD, &q.base, SERVER_CALL_MS, on_url, r);
    }
}

/* While the runtime is asked to upgrade, its answer ends the request; before, the call is cancelled. */
static void on_gone(struct http_exchange *x)
{
    struct stream_request *r = http_ctx(x);
    r->gone = true;
    if (r->upgrading)
        return;
    cri_cancel(r->call);
    stream_free(r);
    http_abort(x);
}

static void serve_stream(struct agent_server *s, struct http_exchange *x, const char *kind, const struct target *t)
{
    char id[128];
    bool forward = !strcmp(kind, "portForward");
    const struct http_request *q = http_request(x);
    int err = forward ? pods_sandbox_id(s->agent->pods, t->ns, t->pod, id, sizeof id)
                      : pods_container_id(s->agent->pods, t->ns, t->pod, t->container, id, sizeof id);
    if (!q->upgrade) {
        reply_error(x, 400, "unable to upgrade: missing upgrade headers in request");
        return;
    }
    if (err && forward)
        reply_text(x, 404, "text/plain; charset=utf-8", SLICE("pod does not exist"));
    else if (err)
        reply_not_found(x, t->container);
    if (err)
        return;
    struct stream_request *r = mem_new(struct stream_request);
    r->server = s;
    r->x = x;
    r->kind = kind;
    r->container = t->container;
    list_push(&s->streams, &r->link);
    take_query(r, http_arena(x), q->query);
    http_set_ctx(x, r, on_gone);
    call_runtime(r, id);
}

/* ---- the rest ---- */

static void serve_metrics(struct agent_server *s, struct http_exchange *x)
{
    struct buf out = BUF_INIT(SERVER_TEXT_MAX);
    if (s->agent->metrics)
        metrics_render(s->agent->metrics, &out);
    reply_text(x, 200, "text/plain; version=0.0.4", buf_slice(&out));
    buf_done(&out);
}

static void serve_pods(struct agent_server *s, struct http_exchange *x)
{
    struct buf out = BUF_INIT(SERVER_TEXT_MAX);
    buf_add_str(&out, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
    pods_list_json(s->agent->pods, &out);
    buf_add_str(&out, "]}");
    reply_text(x, 200, "application/json", buf_slice(&out));
    buf_done(&out);
}

static void serve_summary(struct agent_server *s, struct http_exchange *x)
{
    summary_serve(s->agent, x);
}

static void serve_health(struct agent_server *s, struct http_exchange *x)
{
    (void)s;
    reply_text(x, 200, "text/plain", SLICE("ok"));
}

static const struct {
    const char *path;
    void (*serve)(struct agent_server *, struct http_exchange *);
} plain[] = {
    {"/healthz", serve_health}, {"/metrics", serve_metrics}, {"/pods", serve_pods}, {"/stats/summary", serve_summary}};

static void on_request(void *ctx, struct http_exchange *x)
{
    struct agent_server *s = ctx;
    const struct http_request *q = http_request(x);
    static const char *const streams[] = {"exec", "attach", "portForward"};
    struct slice path = slice_starts(q->path, SLICE("/")) ? slice_from(q->path, 1) : q->path, endpoint, rest;
    struct target t;
    if (s->agent->o.tls && !may_enter(q->peer)) {
        reply_error(x, 403, "this server is for the cluster's API servers");
        return;
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (slice_eq_str(q->path, plain[i].path)) {
            plain[i].serve(s, x);
            return;
        }
    slice_cut(path, '/', &endpoint, &rest);
    if (target_parse(http_arena(x), path, &t)) {
        if (slice_eq_str(endpoint, "containerLogs") && t.container.n) {
            serve_logs(s, x, &t);
            return;
        }
        for (size_t i = 0; i < 3; i++)
            if (slice_eq_str(endpoint, streams[i]) && (t.container.n || i == 2)) {
                serve_stream(s, x, streams[i], &t);
                return;
            }
    }
    reply_text(x, 404, "text/plain; charset=utf-8", SLICE("404 page not found\n"));
}

int agent_server_new(struct agent *agent, struct agent_server **ret, char why[256])
{
    struct agent_server *s = mem_new(struct agent_server);
    s->agent = agent;
    map_init(&s->targets, 0);
    list_init(&s->streams);
    int err = http_server_new(agent->loop,
                              &(struct http_server_options){
                                  .listen = agent->o.listen, .tls = agent->o.tls, .on_request = on_request, .ctx = s},
                              &s->http);
    if (err) {
        snprintf(why, 256, "cannot listen on %s: %s", agent->o.listen, strerror(-err));
        mem_free(s);
        return err;
    }
    s->rotate = log_rotate_new(agent);
    *ret = s;
    return 0;
}

unsigned agent_server_port(const struct agent_server *s)
{
    return http_server_port(s->http);
}

void agent_server_free(struct agent_server *s)
{
    if (!s)
        return;
    log_rotate_free(s->rotate);
    for (struct map_entry *e = map_first(&s->targets); e; e = map_next(&s->targets, e))
        http_client_free(e->value); /* upgrades under way end with an error here */
    http_server_free(s->http);      /* on_gone runs for what is open */
    map_done(&s->targets);
    mem_free(s);
}

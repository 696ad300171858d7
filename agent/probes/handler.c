#include "agent/probes/handler.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/http.h"

enum { HTTP_PROBE_HEADERS_MAX = 32, EXEC_GRACE_MS = 2000 };

struct handler_run {
    struct agent *agent;
    struct arena arena;
    struct loop_timer timer; /* the timeout; then the turn in which done is called */
    bool over, ok;
    char message[PROBE_MESSAGE_MAX];
    const char *timeout_message;
    /* at most one of these is under way */
    struct cri_call *exec;
    struct http_client *http;
    struct http_call *call;
    struct connecting *connecting;
    /* grpc */
    const char *grpc_address;
    unsigned char grpc_answer[64];
    size_t grpc_n;
    int grpc_status;
    char grpc_message[128];
    void (*done)(void *ctx, bool ok, const char *message);
    void *ctx;
};

static void release(struct handler_run *r)
{
    loop_timer_stop(r->agent->loop, &r->timer);
    if (r->exec)
        cri_cancel(r->exec);
    if (r->call)
        http_call_cancel(r->call);
    if (r->connecting)
        connect_cancel(r->connecting);
    http_client_free(r->http);
    arena_done(&r->arena);
    mem_free(r);
}

/* Remembers the outcome; done is called in a turn of its own, where clients may be freed. */
static void finish(struct handler_run *r, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void finish(struct handler_run *r, bool ok, const char *fmt, ...)
{
    va_list ap;
    if (r->over)
        return;
    va_start(ap, fmt);
    vsnprintf(r->message, sizeof r->message, fmt, ap);
    va_end(ap);
    r->over = true;
    r->ok = ok;
    loop_timer_start(r->agent->loop, &r->timer, 0);
}

static void on_timer(struct loop_timer *t)
{
    struct handler_run *r = container_of(t, struct handler_run, timer);
    if (!r->over) {
        finish(r, false, "%s", r->timeout_message);
        return;
    }
    void (*done)(void *, bool, const char *) = r->done;
    void *ctx = r->ctx;
    bool ok = r->ok;
    char message[PROBE_MESSAGE_MAX];
    memcpy(message, r->message, sizeof message);
    release(r);
    done(ctx, ok, message);
}

/* ---- exec ---- */

static void on_exec(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct handler_run *r = ctx;
    const Runtime__V1__ExecSyncResponse *e = (const void *)response;
    r->exec = NULL;
    if (err) {
        finish(r, false, "command failed: %s", message && *message ? message : strerror(-err));
        return;
    }
    const ProtobufCBinaryData *text = e->stdout.len ? &e->stdout : &e->stderr;
    int n = text->len < PROBE_MESSAGE_MAX / 2 ? (int)text->len : PROBE_MESSAGE_MAX / 2;
    if (e->exit_code == 0 || n)
        finish(r, e->exit_code == 0, "%.*s", n, text->data ? (const char *)text->data : "");
    else
        finish(r, false, "command exited with %d", e->exit_code);
}

static void exec_start(struct handler_run *r, const struct json *spec, const char *id, unsigned timeout_ms)
{
    Runtime__V1__ExecSyncRequest q;
    const struct json *command = json_get_str(spec, "command");
    runtime__v1__exec_sync_request__init(&q);
    q.container_id = (char *)id;
    q.cmd = arena_alloc(&r->arena, (json_len(command) + 1) * sizeof *q.cmd);
    q.timeout = (timeout_ms + 999) / 1000;
    r->timeout_message = arena_printf(&r->arena, "command timed out after %us", (timeout_ms + 999) / 1000);
    json_each (word, command)
        if (q.cmd)
            q.cmd[q.n_cmd++] = (char *)arena_printf(&r->arena, "%" SLICE_FMT, SLICE_ARG(json_string(word)));
    r->exec = cri_call(r->agent->cri, CRI_EXEC_SYNC, &q.base, timeout_ms + EXEC_GRACE_MS, on_exec, r);
}

/* ---- addresses ---- */

/* A port by number, or by the name that the container gives it; 0 when there is none. */
static int64_t port_of(const struct json *v, const struct json *container)
{
    struct slice name = json_string(v);
    int64_t n;
    if (!name.n)
        return json_int(v, 0);
    json_each (p, json_get_str(container, "ports"))
        if (slice_eq(json_path_string(p, "name"), name))
            return json_int(json_get_str(p, "containerPort"), 0);
    return slice_to_i64(name, &n) ? n : 0;
}

/* NULL when there is no such port. */
static const char *address_of(struct handler_run *r, const struct json *spec, const struct json *container,
                              const char *ip)
{
    struct slice host = json_path_string(spec, "host");
    int64_t port = port_of(json_get_str(spec, "port"), container);
    if (!host.n)
        host = slice_str(ip);
    if (slice_eq_str(host, "localhost"))
        host = SLICE("127.0.0.1");
    if (port < 1 || port > 65535 || !host.n)
        return NULL;
    bool six = host.p[0] != '[' && memchr(host.p, ':', host.n);
    return arena_printf(&r->arena, six ? "[%" SLICE_FMT "]:%ld" : "%" SLICE_FMT ":%ld", SLICE_ARG(host), port);
}

/* ---- tcp ---- */

static void on_connect(void *ctx, int err, struct stream *s)
{
    struct handler_run *r = ctx;
    r->connecting = NULL;
    stream_close(s);
    if (err)
        finish(r, false, "dial tcp: %s", strerror(-err));
    else
        finish(r, true, "%s", "");
}

static void tcp_start(struct handler_run *r, const struct json *spec, const struct json *container, const char *ip)
{
    const char *address = address_of(r, spec, container, ip);
    if (!address) {
        finish(r, false, "no such port");
        return;
    }
    r->timeout_message = arena_printf(&r->arena, "dial tcp %s: i/o timeout", address);
    r->connecting = loop_connect(r->agent->loop, address, on_connect, r);
}

/* ---- http ---- */

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct handler_run *r = ctx;
    (void)headers, (void)n;
    if (code >= 200 && code < 400)
        finish(r, true, "HTTP %d", code);
    else
        finish(r, false, "HTTP probe failed with statuscode: %d", code);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct handler_run *r = ctx;
    (void)code, (void)trailers, (void)n, (void)sent;
    r->call = NULL;
    finish(r, false, "%s", err ? strerror(-err) : "no answer");
}

static size_t probe_headers(struct handler_run *r, const struct json *spec, struct http_header *out,
                            const char **ret_host)
{
    size_t n = 0;
    bool agent = false, accept = false;
    json_each (h, json_get_str(spec, "httpHeaders")) {
        struct slice name = arena_copy(&r->arena, json_path_string(h, "name")), value = json_path_string(h, "value");
        for (size_t i = 0; name.p && i < name.n; i++)
            if (name.p[i] >= 'A' && name.p[i] <= 'Z')
                ((char *)name.p)[i] = (char)(name.p[i] + 32);
        agent |= slice_eq_str(name, "user-agent");
        accept |= slice_eq_str(name, "accept");
        if (slice_eq_str(name, "host"))
            *ret_host = arena_printf(&r->arena, "%" SLICE_FMT, SLICE_ARG(value));
        else if (n < HTTP_PROBE_HEADERS_MAX - 2 && name.n)
            out[n++] = (struct http_header){name, value};
    }
    if (!agent)
        out[n++] = (struct http_header){SLICE("user-agent"), SLICE("kube-probe/1.36")};
    if (!accept)
        out[n++] = (struct http_header){SLICE("accept"), SLICE("*/*")};
    return n;
}

/* Whoever probes a container wants to know whether it answers, not who it is: certificates are not verified, as
 * https://kubernetes.io/docs/concepts/workloads/pods/probes/ says. */
static void http_start(struct handler_run *r, const struct json *spec, const struct json *container, const char *ip)
{
    struct http_header headers[HTTP_PROBE_HEADERS_MAX];
    struct slice path = json_path_string(spec, "path");
    const char *address = address_of(r, spec, container, ip), *host = address;
    bool https = slice_eq_str(json_path_string(spec, "scheme"), "HTTPS");
    if (!address || (https && !tls_trusting(&r->agent->trusting))) {
        finish(r, false, address ? "there is no TLS" : "no such port");
        return;
    }
    const char *slash = path.n && path.p[0] == '/' ? "" : "/";
    const char *target = arena_printf(&r->arena, "%s%" SLICE_FMT, slash, SLICE_ARG(path));
    size_t n = probe_headers(r, spec, headers, &host);
    r->timeout_message = arena_printf(&r->arena,
                                      "Get \"%s://%s%s\": context deadline exceeded (Client.Timeout exceeded while "
                                      "awaiting headers)",
                                      https ? "https" : "http", address, target);
    r->http = http_client_new(
        r->agent->loop, &(struct http_client_options){
                            .addr = address, .host = host, .tls = https ? tls_trusting(&r->agent->trusting) : NULL});
    r->call = http_call(r->http, &(struct http_call_options){.method = "GET",
                                                             .path = target,
                                                             .headers = headers,
                                                             .n_headers = n,
                                                             .on_head = on_head,
                                                             .on_done = on_done,
                                                             .ctx = r});
}

/* ---- grpc: grpc.health.v1.Health/Check, https://github.com/grpc/grpc/blob/master/doc/health-checking.md ---- */

enum { GRPC_HEAD = 5, GRPC_SERVING = 1, GRPC_DEADLINE_EXCEEDED = 4, GRPC_UNIMPLEMENTED = 12 };

static void take_grpc_status(struct handler_run *r, const struct http_header *headers, size_t n)
{
    int64_t code;
    for (size_t i = 0; i < n; i++)
        if (slice_eq_str(headers[i].name, "grpc-status") && slice_to_i64(headers[i].value, &code))
            r->grpc_status = (int)code;
        else if (slice_eq_str(headers[i].name, "grpc-message"))
            snprintf(r->grpc_message, sizeof r->grpc_message, "%" SLICE_FMT, SLICE_ARG(headers[i].value));
}

static void on_grpc_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct handler_run *r = ctx;
    if (code != 200)
        finish(r, false, "error: health rpc probe failed: unexpected HTTP status code received from server: %d", code);
    take_grpc_status(r, headers, n); /* an answer without a message has it here */
}

static void on_grpc_data(void *ctx, struct slice data)
{
    struct handler_run *r = ctx;
    for (size_t i = 0; i < data.n && r->grpc_n < sizeof r->grpc_answer; i++)
        r->grpc_answer[r->grpc_n++] = (unsigned char)data.p[i];
}

/* The field 1 of the answer; 0 (UNKNOWN) is not sent. */
static unsigned grpc_health(const struct handler_run *r)
{
    const unsigned char *m = r->grpc_answer;
    return r->grpc_n >= GRPC_HEAD + 2 && m[GRPC_HEAD] == 0x08 ? m[GRPC_HEAD + 1] : 0;
}

static void on_grpc_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    struct handler_run *r = ctx;
    (void)code, (void)sent;
    r->call = NULL;
    take_grpc_status(r, trailers, n);
    unsigned health = grpc_health(r);
    if (err)
        finish(r, false, "error: failed to connect service at \"%s\": %s", r->grpc_address, strerror(-err));
    else if (r->grpc_status == GRPC_UNIMPLEMENTED)
        finish(r, false, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s",
               r->grpc_message);
    else if (r->grpc_status == GRPC_DEADLINE_EXCEEDED)
        finish(r, false, "%s", r->timeout_message);
    else if (r->grpc_status)
        finish(r, false, "error: health rpc probe failed: rpc error: code = %d desc = %s", r->grpc_status,
               r->grpc_message);
    else if (health == GRPC_SERVING)
        finish(r, true, "service healthy");
    else
        finish(r, false, "service unhealthy (responded with \"%s\")", names[health < 4 ? health : 0]);
}

/* HealthCheckRequest in its frame; a service's name is at most 253 bytes. */
static size_t grpc_request(struct slice service, char out[GRPC_HEAD + 3 + 253])
{
    size_t n = service.n > 253 ? 253 : service.n, at = GRPC_HEAD;
    memset(out, 0, GRPC_HEAD);
    if (n) {
        out[at++] = 0x0a;
        if (n > 127)
            out[at++] = (char)((n & 0x7f) | 0x80);
        out[at++] = (char)(n > 127 ? n >> 7 : n);
        memcpy(out + at, service.p, n);
        at += n;
    }
    out[3] = (char)((at - GRPC_HEAD) >> 8);
    out[4] = (char)(at - GRPC_HEAD);
    return at;
}

static void grpc_start(struct handler_run *r, const struct json *spec, const struct json *container, const char *ip,
                       unsigned timeout_ms)
{
    static const struct http_header headers[] = {
        {SLICE_INIT("content-type"), SLICE_INIT("application/grpc")},
        {SLICE_INIT("te"), SLICE_INIT("trailers")},
        {SLICE_INIT("user-agent"), SLICE_INIT("kube-probe/1.36")},
    };
    char body[GRPC_HEAD + 3 + 253];
    r->grpc_address = address_of(r, spec, container, ip);
    if (!r->grpc_address) {
        finish(r, false, "no such port");
        return;
    }
    size_t n = grpc_request(json_path_string(spec, "service"), body);
    r->timeout_message =
        arena_printf(&r->arena, "timeout: health rpc did not complete within %us", (timeout_ms + 999) / 1000);
    r->http = http_client_new(r->agent->loop, &(struct http_client_options){.addr = r->grpc_address, .h2 = true});
    r->call = http_call(r->http, &(struct http_call_options){.method = "POST",
                                                             .path = "/grpc.health.v1.Health/Check",
                                                             .headers = headers,
                                                             .n_headers = sizeof headers / sizeof *headers,
                                                             .body = slice_of(body, n),
                                                             .on_head = on_grpc_head,
                                                             .on_data = on_grpc_data,
                                                             .on_done = on_grpc_done,
                                                             .ctx = r});
}

/* ---- any ---- */

static void sleep_start(struct handler_run *r, const struct json *spec)
{
    int64_t seconds = json_int(json_get_str(spec, "seconds"), 0);
    finish(r, true, "%s", "");
    loop_timer_start(r->agent->loop, &r->timer, seconds > 0 ? (uint64_t)seconds * 1000 : 0);
}

struct handler_run *handler_start(struct agent *agent, const struct json *handler, const struct json *container,
                                  const char *id, const char *ip, unsigned timeout_ms,
                                  void (*done)(void *ctx, bool ok, const char *message), void *ctx)
{
    struct handler_run *r = mem_new(struct handler_run);
    const struct json *exec = json_get_str(handler, "exec"), *http = json_get_str(handler, "httpGet");
    const struct json *tcp = json_get_str(handler, "tcpSocket"), *grpc = json_get_str(handler, "grpc");
    const struct json *pause = json_get_str(handler, "sleep");
    *r = (struct handler_run){
        .agent = agent, .timer = {.cb = on_timer}, .done = done, .ctx = ctx, .timeout_message = "timed out"};
    arena_init(&r->arena, 4 << 20);
    loop_timer_start(agent->loop, &r->timer, timeout_ms);
    if (exec)
        exec_start(r, exec, id, timeout_ms);
    else if (http)
        http_start(r, http, container, ip);
    else if (tcp)
        tcp_start(r, tcp, container, ip);
    else if (grpc)
        grpc_start(r, grpc, container, ip, timeout_ms);
    else if (pause)
        sleep_start(r, pause);
    else
        finish(r, false, "missing handler");
    return r;
}

void handler_cancel(struct handler_run *r)
{
    if (r)
        release(r);
}

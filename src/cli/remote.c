#include "cli/remote.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json.h"
#include "net/http.h"

enum { REMOTE_PATH_MAX = 512, REMOTE_ERROR_MAX = 64 << 10, REMOTE_TRIES = 12, REMOTE_PAUSE_MS = 500 };

struct remote {
    struct loop *loop;
    struct tls_context *tls;
    const char *command, *addresses[REMOTE_SERVERS_MAX];
    bool json;
    struct http_client *clients[REMOTE_SERVERS_MAX];
    size_t n;
    /* the call under way */
    struct http_call *call;
    int (*on_data)(void *ctx, struct slice data);
    void *ctx;
    struct loop_timer idle, pause;
    struct buf error; /* the body of an answer that is none of 2xx */
    int err, code, status;
    bool sent, delivered; /* delivered: bytes of the answer were handed on */
};

static void on_idle(struct loop_timer *t)
{
    struct remote *r = container_of(t, struct remote, idle);
    http_call_cancel(r->call);
    r->err = -ETIMEDOUT;
    r->sent = true;
    loop_stop(r->loop);
}

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct remote *r = ctx;
    (void)headers, (void)n;
    r->code = code;
    loop_timer_start(r->loop, &r->idle, REMOTE_TIMEOUT_MS);
}

static void on_data(void *ctx, struct slice data)
{
    struct remote *r = ctx;
    loop_timer_start(r->loop, &r->idle, REMOTE_TIMEOUT_MS);
    if (r->code / 100 != 2)
        buf_add_slice(&r->error, data);
    else if (!r->status && (r->delivered = true))
        r->status = r->on_data(r->ctx, data);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct remote *r = ctx;
    (void)trailers, (void)n;
    r->err = err;
    r->code = err ? 0 : code;
    r->sent = sent;
    loop_timer_stop(r->loop, &r->idle);
    loop_stop(r->loop);
}

static void ask(struct remote *r, size_t i, const char *method, const char *path, struct slice body)
{
    static const struct http_header json = {SLICE_INIT("content-type"), SLICE_INIT("application/json")};
    static const struct http_header patch = {SLICE_INIT("content-type"), SLICE_INIT("application/merge-patch+json")};
    r->err = r->code = r->status = 0;
    r->delivered = false;
    buf_clear(&r->error);
    if (!r->clients[i])
        r->clients[i] = http_client_new(r->loop, &(struct http_client_options){.addr = r->addresses[i], .tls = r->tls});
    loop_timer_start(r->loop, &r->idle, REMOTE_TIMEOUT_MS);
    r->call = http_call(r->clients[i], &(struct http_call_options){.method = method,
                                                                   .path = path,
                                                                   .headers = strcmp(method, "PATCH") ? &json : &patch,
                                                                   .n_headers = body.n ? 1 : 0,
                                                                   .body = body,
                                                                   .on_head = on_head,
                                                                   .on_data = on_data,
                                                                   .on_done = on_done,
                                                                   .ctx = r});
    loop_run(r->loop);
}

/* The message of a Kubernetes Status, or the whole body. */
static void print_refusal(const struct remote *r, const char *address)
{
    struct arena a;
    arena_init(&a, 4UL * REMOTE_ERROR_MAX);
    struct slice message = json_path_string(json_parse(&a, buf_slice(&r->error), NULL, NULL, NULL), "message");
    if (!message.n)
        message = buf_slice(&r->error);
    fprintf(stderr, "pintle %s: %s answers %d: %" SLICE_FMT "\n", r->command, address, r->code, SLICE_ARG(message));
    if (r->code == 401 || r->code == 403)
        fprintf(stderr, "Is the certificate (--cert-dir, --user) from this cluster, of a member of system:masters?\n");
    arena_done(&a);
}

/* Whether every server was asked in vain in a way that time may heal: leadership moves, or is about to. */
enum asked { ASKED_DONE, ASKED_IN_VAIN, ASKED_BUSY };

/* Asks one server after the other. last: nothing is tried again afterwards, so say why. */
static enum asked ask_all(struct remote *r, const char *method, const char *path, struct slice body, bool last,
                          int *ret_status)
{
    bool busy = false;
    *ret_status = 1;
    for (size_t i = 0; i < r->n; i++) {
        ask(r, i, method, path, body);
        if (!r->err && r->code / 100 == 2) {
            *ret_status = r->status;
            return ASKED_DONE;
        }
        bool later = !r->err && (r->code == 503 || r->code == 429);
        busy |= later;
        if (!r->err && (last || !later))
            print_refusal(r, r->addresses[i]);
        else if (r->err)
            fprintf(stderr, "pintle %s: %s: %s\n", r->command, r->addresses[i], strerror(-r->err));
        if ((!r->err && !later) || (r->err && r->delivered))
            return ASKED_DONE; /* refused; or another server's answer would not go on where this one ended */
        if (r->err && r->sent && strcmp(method, "GET") != 0) {
            fprintf(stderr, "The answer was lost: see `pintle status` for whether it took effect.\n");
            return ASKED_DONE;
        }
    }
    return busy ? ASKED_BUSY : ASKED_IN_VAIN;
}

static void on_pause(struct loop_timer *t)
{
    loop_stop(container_of(t, struct remote, pause)->loop);
}

int remote_stream(struct remote *r, const char *method, const char *path, struct slice body,
                  int (*on_bytes)(void *ctx, struct slice data), void *ctx)
{
    int status = 1;
    enum asked asked = ASKED_BUSY;
    r->on_data = on_bytes;
    r->ctx = ctx;
    for (unsigned tries = 1; asked == ASKED_BUSY && tries <= REMOTE_TRIES; tries++) {
        asked = ask_all(r, method, path, body, tries == REMOTE_TRIES, &status);
        if (asked != ASKED_BUSY || tries == REMOTE_TRIES)
            break;
        loop_timer_start(r->loop, &r->pause, REMOTE_PAUSE_MS);
        loop_run(r->loop);
    }
    if (asked == ASKED_IN_VAIN)
        fprintf(stderr, "No server answered; --server names others.\n");
    return status;
}

static int collect(void *ctx, struct slice data)
{
    return buf_add_slice(ctx, data) ? 1 : 0;
}

int remote_call(struct remote *r, const char *method, const char *path, struct slice body, struct buf *out)
{
    buf_clear(out);
    return remote_stream(r, method, path, body, collect, out);
}

static int load_certificates(struct remote *r, const struct remote_options *o)
{
    char ca[REMOTE_PATH_MAX], cert[REMOTE_PATH_MAX], key[REMOTE_PATH_MAX], why[256];
    const char *dir = o->cert_dir ? o->cert_dir : "/etc/pintle/pki", *user = o->user ? o->user : "admin";
    snprintf(ca, sizeof ca, "%s/ca.crt", dir);
    snprintf(cert, sizeof cert, "%s/%s.crt", dir, user);
    snprintf(key, sizeof key, "%s/%s.key", dir, user);
    const struct tls_options tls = {.cert_file = cert, .key_file = key, .ca_file = ca};
    if (!tls_context_new(&tls, &r->tls, why))
        return 0;
    fprintf(stderr, "pintle %s: %s\n", r->command, why);
    return 1;
}

int remote_open(const struct remote_options *o, const char *command, struct remote **ret)
{
    if (o->output && strcmp(o->output, "json") != 0) {
        fprintf(stderr, "pintle %s: --output %s: only json is known\n", command, o->output);
        return 2;
    }
    struct remote *r = mem_new(struct remote);
    r->command = command;
    r->json = o->output != NULL;
    r->idle.cb = on_idle;
    r->pause.cb = on_pause;
    buf_init(&r->error, REMOTE_ERROR_MAX);
    for (size_t i = 0; i < o->servers.n && i < REMOTE_SERVERS_MAX; i++)
        r->addresses[r->n++] = o->servers.at[i];
    if (!r->n)
        r->addresses[r->n++] = "127.0.0.1:6443";
    signal(SIGPIPE, SIG_IGN);
    r->loop = loop_uv_new("cli");
    loop_log(r->loop)->level = LOG_ERROR;
    int rv = load_certificates(r, o);
    if (rv) {
        remote_close(r);
        return rv;
    }
    *ret = r;
    return 0;
}

void remote_close(struct remote *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        http_client_free(r->clients[i]);
    tls_context_free(r->tls);
    buf_done(&r->error);
    loop_timer_stop(r->loop, &r->idle);
    loop_free(r->loop);
    mem_free(r);
}

struct loop *remote_loop(struct remote *r)
{
    return r->loop;
}

bool remote_wants_json(const struct remote *r)
{
    return r->json;
}

/* A load over HTTP/2 on a number of connections, so many requests outstanding, on an API server or, by the same client, on
 * etcd (gRPC). Prints one line of JSON.
 *   put    creates of ConfigMaps, puts of new keys
 *   pod    creates of pods that nobody schedules
 *   get    linearizable reads of one object or key
 *   watch  watchers (-k) of one object or key that is written so many times a second (-r): from before the write to each
 *          watcher's having it
 * Usage: bench_load pintle|etcd ADDRESS [-m put|pod|get|watch] [-k outstanding] [-c connections] [-s bytes] [-p bytes
 * of a pod's annotation] [-t
 * seconds]
 *                   [-r writes a second] [-n requests] [-d certificates] [-x STALE: any state will do] */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/http.h"

enum { CONNECTIONS_MAX = 64, LATENCIES_MAX = 16 << 20, GRPC_HEAD = 5, CARRY = 64, STREAMS_A_CONNECTION = 100 };

enum mode { PUT, POD, GET, WATCH };

struct load {
    struct loop *loop;
    bool etcd, stopping, stale;
    enum mode mode;
    unsigned k, connections, size, padding, seconds, rate, requests;
    const char *dir;
    struct http_client *clients[CONNECTIONS_MAX], *writer;
    uint64_t *latencies, started, next_key, longest;
    size_t n, errors, began, n_written;
    struct loop_timer end, write;
};

struct op {
    struct load *load;
    struct http_client *client;
    uint64_t from;
    char carry[CARRY]; /* the end of the data so far: a mark may come in two pieces */
    size_t n_carry;
};

static void start(struct op *op);
static void finish(struct load *l);

static void note(struct load *l, uint64_t from)
{
    uint64_t took = loop_now(l->loop) - from;
    if (l->n < LATENCIES_MAX)
        l->latencies[l->n++] = took;
    if (took > l->longest)
        l->longest = took;
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct op *op = ctx;
    struct load *l = op->load;
    (void)trailers, (void)n, (void)sent;
    if (l->stopping)
        return;
    if (err || code >= 300)
        l->errors++;
    else
        note(l, op->from);
    if (l->requests && l->n + l->errors >= l->requests)
        finish(l);
    else if (!l->requests || l->began < l->requests)
        start(op);
}

/* ---- bodies ---- */

static void field(struct buf *out, char tag, struct slice value)
{
    buf_add_char(out, tag);
    for (size_t n = value.n;; n >>= 7) {
        buf_add_char(out, (char)((n & 0x7f) | (n >= 0x80 ? 0x80 : 0)));
        if (n < 0x80)
            break;
    }
    buf_add_slice(out, value);
}

/* Behind a gRPC frame head. */
static void grpc(struct buf *out, struct slice message)
{
    const unsigned char head[GRPC_HEAD] = {0, (unsigned char)(message.n >> 24), (unsigned char)(message.n >> 16),
                                           (unsigned char)(message.n >> 8), (unsigned char)message.n};
    buf_add(out, head, sizeof(head));
    buf_add_slice(out, message);
}

static void fill(struct buf *out, size_t to)
{
    while (out->n < to)
        buf_add_char(out, 'x');
}

/* etcdserverpb.PutRequest {1: key, 2: value} */
static void etcd_put(struct buf *out, struct slice key, struct slice mark, size_t size)
{
    struct buf message = BUF_INIT(1 << 20), value = BUF_INIT(1 << 20);
    buf_add_slice(&value, mark);
    fill(&value, size);
    field(&message, 0x0a, key);
    field(&message, 0x12, buf_slice(&value));
    grpc(out, buf_slice(&message));
    buf_done(&message);
    buf_done(&value);
}

/* RangeRequest {1: key}, or WatchRequest {1: WatchCreateRequest {1: key}} */
static void etcd_ask(struct buf *out, bool watch)
{
    struct buf message = BUF_INIT(256), outer = BUF_INIT(256);
    field(&message, 0x0a, SLICE("one"));
    field(&outer, 0x0a, buf_slice(&message));
    grpc(out, watch ? buf_slice(&outer) : buf_slice(&message));
    buf_done(&message);
    buf_done(&outer);
}

static void pintle_put(struct buf *out, struct slice name, struct slice mark, size_t size)
{
    buf_printf(out, "{\"metadata\":{\"name\":\"%" SLICE_FMT "\"},\"data\":{\"v\":\"%" SLICE_FMT, SLICE_ARG(name),
               SLICE_ARG(mark));
    fill(out, size - 3);
    buf_add_str(out, "\"}}");
}

/* ---- calls ---- */

static const struct http_header json_headers[] = {{SLICE_INIT("content-type"), SLICE_INIT("application/json")}};
static const struct http_header grpc_headers[] = {{SLICE_INIT("te"), SLICE_INIT("trailers")},
                                                  {SLICE_INIT("content-type"), SLICE_INIT("application/grpc")}};

static void call(struct load *l, struct http_client *client, struct http_call_options *o, struct slice body)
{
    o->headers = l->etcd ? grpc_headers : json_headers;
    o->n_headers = l->etcd ? 2 : 1;
    o->body = body;
    http_call(client, o);
}

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"

static void start_put(struct op *op, struct http_call_options *o, struct buf *body)
{
    struct load *l = op->load;
    char key[48];
    struct slice name = slice_of(key, (size_t)snprintf(key, sizeof(key), "b-%d-%012lu", (int)getpid(), l->next_key++));
    o->method = "POST";
    o->path = l->etcd ? "/etcdserverpb.KV/Put" : CONFIGMAPS;
    (l->etcd ? etcd_put : pintle_put)(body, name, SLICE_NONE, l->size);
}

static void start_pod(struct op *op, struct http_call_options *o, struct buf *body)
{
    struct load *l = op->load;
    o->method = "POST";
    o->path = "/api/v1/namespaces/default/pods";
    buf_printf(body,
               "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p-%d-%012lu\",\"labels\":{\"app\":"
               "\"bench\"},\"annotations\":{\"padding\":\"%0*d\"}},"
               "\"spec\":{\"schedulerName\":\"nobody\",\"automountServiceAccountToken\":false,\"containers\":[{"
               "\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80}],"
               "\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]}}",
               (int)getpid(), l->next_key++, (int)l->padding, 0);
}

static void start_get(struct op *op, struct http_call_options *o, struct buf *body)
{
    struct load *l = op->load;
    o->method = l->etcd ? "POST" : "GET";
    o->path = l->etcd ? "/etcdserverpb.KV/Range" : l->stale ? CONFIGMAPS "/one?resourceVersion=0" : CONFIGMAPS "/one";
    if (l->etcd)
        etcd_ask(body, false);
}

static void start(struct op *op)
{
    struct load *l = op->load;
    struct buf body = BUF_INIT(1 << 20);
    struct http_call_options o = {.on_done = on_done, .ctx = op};
    op->from = loop_now(l->loop);
    l->began++;
    static void (*const starts[])(struct op *, struct http_call_options *,
                                  struct buf *) = {[PUT] = start_put, [POD] = start_pod, [GET] = start_get};
    starts[l->mode](op, &o, &body);
    call(l, op->client, &o, buf_slice(&body));
    buf_done(&body);
}

/* ---- watching ---- */

/* A mark is "T=<nanoseconds>;": when its write began. */
static void find_marks(struct load *l, struct slice s)
{
    for (size_t i = 0; i + 3 < s.n; i++) {
        char *end;
        if (s.p[i] != 'T' || s.p[i + 1] != '=' || !memchr(s.p + i, ';', s.n - i))
            continue;
        uint64_t from = strtoull(s.p + i + 2, &end, 10);
        if (*end == ';' && from)
            note(l, from);
        i = (size_t)(end - s.p);
    }
}

static void on_event(void *ctx, struct slice data)
{
    struct op *op = ctx;
    struct buf text = BUF_INIT(32 << 20);
    buf_add(&text, op->carry, op->n_carry);
    buf_add_slice(&text, data);
    buf_add_char(&text, '\0');
    find_marks(op->load, slice_of(text.p, text.n - 1));
    /* What is carried on must hold no whole mark: it would be counted twice. */
    size_t keep = text.n - 1 < CARRY - 1 ? text.n - 1 : CARRY - 1;
    const char *from = text.p + text.n - 1 - keep, *last = memrchr(from, 'T', keep);
    op->n_carry = last && !memchr(last, ';', (size_t)(from + keep - last)) ? (size_t)(from + keep - last) : 0;
    memcpy(op->carry, last ? last : from, op->n_carry);
    buf_done(&text);
}

static void watch_ended(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct op *op = ctx;
    (void)trailers, (void)n, (void)sent, (void)err, (void)code;
    if (!op->load->stopping)
        op->load->errors++;
}

static void start_watch(struct op *op)
{
    struct load *l = op->load;
    struct buf body = BUF_INIT(1 << 10);
    struct http_call_options o = {.method = l->etcd ? "POST" : "GET",
                                  .path = l->etcd ? "/etcdserverpb.Watch/Watch"
                                                  : CONFIGMAPS "?watch=true&fieldSelector=metadata.name%3Done",
                                  .on_data = on_event,
                                  .on_done = watch_ended,
                                  .ctx = op};
    if (l->etcd)
        etcd_ask(&body, true);
    call(l, op->client, &o, buf_slice(&body));
    buf_done(&body);
}

static void written(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct load *l = ctx;
    (void)trailers, (void)n, (void)sent;
    l->errors += err || code >= 300;
}

static void write_one(struct load *l)
{
    struct buf body = BUF_INIT(1 << 20);
    char mark[48];
    struct slice text = slice_of(mark, (size_t)snprintf(mark, sizeof(mark), "T=%lu;", loop_now(l->loop)));
    struct http_call_options o = {.method = l->etcd ? "POST" : "PUT",
                                  .path = l->etcd ? "/etcdserverpb.KV/Put" : CONFIGMAPS "/one",
                                  .on_done = written,
                                  .ctx = l};
    (l->etcd ? etcd_put : pintle_put)(&body, SLICE("one"), text, l->size);
    call(l, l->writer, &o, buf_slice(&body));
    buf_done(&body);
}

/* As many as are due by now. */
static void on_write(struct loop_timer *t)
{
    struct load *l = container_of(t, struct load, write);
    uint64_t due = (loop_now(l->loop) - l->started) * l->rate / 1000000000;
    loop_timer_start(l->loop, t, 1);
    for (; l->n_written < due; l->n_written++)
        write_one(l);
}

static void on_first_write(struct loop_timer *t)
{
    struct load *l = container_of(t, struct load, write);
    l->started = loop_now(l->loop); /* what is counted begins here */
    l->write.cb = on_write;
    loop_timer_start(l->loop, &l->end, 1000UL * l->seconds);
    on_write(t);
}

/* ---- the end ---- */

static int by_value(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void finish(struct load *l)
{
    double seconds = (double)(loop_now(l->loop) - l->started) / 1e9;
    l->stopping = true;
    qsort(l->latencies, l->n, sizeof(uint64_t), by_value);
    printf("{\"rate\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"n\":%zu,\"errors\":%zu}\n",
           (double)l->n / seconds, l->n ? (double)l->latencies[l->n / 2] / 1e6 : 0,
           l->n ? (double)l->latencies[l->n * 99 / 100] / 1e6 : 0, (double)l->longest / 1e6, l->n, l->errors);
    fflush(stdout);
    loop_stop(l->loop);
}

static void on_end(struct loop_timer *t)
{
    finish(container_of(t, struct load, end));
}

static struct tls_context *tls_of(const struct load *l)
{
    char ca[300], cert[300], key[300], why[256];
    struct tls_context *tls = NULL;
    if (!l->dir)
        return NULL;
    snprintf(ca, sizeof(ca), "%s/ca.crt", l->dir);
    snprintf(cert, sizeof(cert), "%s/admin.crt", l->dir);
    snprintf(key, sizeof(key), "%s/admin.key", l->dir);
    if (tls_context_new(&(struct tls_options){.cert_file = cert, .key_file = key, .ca_file = ca, .h2 = true}, &tls,
                        why)) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    return tls;
}

static struct http_client *connect_to(struct load *l, const char *address, struct tls_context *tls)
{
    return http_client_new(l->loop, &(struct http_client_options){.addr = address, .tls = tls, .h2 = true});
}

static void run(struct load *l, const char *address)
{
    struct tls_context *tls = tls_of(l);
    l->latencies = mem_alloc(LATENCIES_MAX * sizeof(uint64_t));
    for (unsigned i = 0; i < l->connections; i++)
        l->clients[i] = connect_to(l, address, tls);
    struct op *ops = mem_zalloc(l->k * sizeof(*ops));
    l->started = loop_now(l->loop);
    for (unsigned i = 0; i < l->k; i++) {
        ops[i] = (struct op){.load = l, .client = l->clients[i % l->connections]};
        (l->mode == WATCH ? start_watch : start)(&ops[i]);
    }
    l->end.cb = on_end;
    if (l->mode == WATCH) {
        l->writer = connect_to(l, address, tls);
        l->write.cb = on_first_write;
        loop_timer_start(l->loop, &l->write, 1000); /* all watchers are there by then */
    } else {
        loop_timer_start(l->loop, &l->end, 1000UL * l->seconds);
    }
    loop_run(l->loop);
}

static enum mode mode_of(const char *text)
{
    if (!text)
        return PUT;
    return !strcmp(text, "get") ? GET : !strcmp(text, "watch") ? WATCH : !strcmp(text, "pod") ? POD : PUT;
}

int main(int argc, char **argv)
{
    struct load l = {.k = 256, .connections = 4, .size = 512, .seconds = 5, .rate = 50};
    int opt;
    if (argc < 3)
        return 2;
    l.etcd = !strcmp(argv[1], "etcd");
    while ((opt = getopt(argc - 2, argv + 2, "m:k:c:s:p:t:r:n:d:x")) != -1) {
        unsigned v = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (opt) {
        case 'm':
            l.mode = mode_of(optarg);
            break;
        case 'k':
            l.k = v;
            break;
        case 'c':
            l.connections = v < CONNECTIONS_MAX ? v : CONNECTIONS_MAX;
            break;
        case 's':
            l.size = v;
            break;
        case 'p':
            l.padding = v;
            break;
        case 't':
            l.seconds = v;
            break;
        case 'r':
            l.rate = v;
            break;
        case 'n':
            l.requests = v;
            break;
        case 'd':
            l.dir = optarg;
            break;
        case 'x':
            l.stale = true;
            break;
        default:
            return 2;
        }
    }
    if (l.mode == WATCH && l.k > l.connections * STREAMS_A_CONNECTION)
        l.connections = (l.k + STREAMS_A_CONNECTION - 1) / STREAMS_A_CONNECTION;
    signal(SIGPIPE, SIG_IGN);
    l.loop = loop_uv_new("load");
    loop_log(l.loop)->level = LOG_ERROR;
    run(&l, argv[2]);
    return 0;
}

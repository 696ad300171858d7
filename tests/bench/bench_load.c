/* A load over HTTP/2 on a number of connections, so many requests outstanding: creates of ConfigMaps at an API server, or
 * puts at etcd (gRPC), by the same client. Prints one line of JSON.
 * Usage: bench_load pintle|etcd ADDRESS [-k outstanding] [-c connections] [-s bytes] [-t seconds] [-d certificates] */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/http.h"

enum { CONNECTIONS_MAX = 64, LATENCIES_MAX = 4 << 20, GRPC_HEAD = 5 };

struct load {
    struct loop *loop;
    bool etcd, stopping;
    unsigned k, connections, size, seconds;
    const char *dir;
    struct http_client *clients[CONNECTIONS_MAX];
    uint64_t *latencies, started, next_key;
    size_t n, errors;
    struct loop_timer end;
};

struct op {
    struct load *load;
    struct http_client *client;
    uint64_t from;
};

static void start(struct op *op);

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct op *op = ctx;
    struct load *l = op->load;
    (void)trailers, (void)n, (void)sent;
    if (l->stopping)
        return;
    if (err || code >= 300)
        l->errors++;
    else if (l->n < LATENCIES_MAX)
        l->latencies[l->n++] = loop_now(l->loop) - op->from;
    start(op);
}

/* etcdserverpb.PutRequest {1: key, 2: value} behind a gRPC frame head. */
static void etcd_body(struct load *l, struct buf *out)
{
    char key[32];
    int key_len = snprintf(key, sizeof(key), "key-%012lu", l->next_key++);
    unsigned value_len = l->size, n = 2u + (unsigned)key_len + 1u + (value_len < 128 ? 1u : 2u) + value_len;
    const unsigned char head[] = {0, 0, 0, (unsigned char)(n >> 8), (unsigned char)(n & 0xff)};
    buf_add(out, head, sizeof(head));
    buf_add_char(out, 0x0a);
    buf_add_char(out, (char)key_len);
    buf_add(out, key, (size_t)key_len);
    buf_add_char(out, 0x12);
    if (value_len < 128) {
        buf_add_char(out, (char)value_len);
    } else {
        buf_add_char(out, (char)((value_len & 0x7f) | 0x80));
        buf_add_char(out, (char)(value_len >> 7));
    }
    for (unsigned i = 0; i < value_len; i++)
        buf_add_char(out, 'x');
}

static void pintle_body(struct load *l, struct buf *out)
{
    buf_printf(out, "{\"metadata\":{\"name\":\"b-%d-%012lu\"},\"data\":{\"v\":\"", (int)getpid(), l->next_key++);
    while (out->n + 3 < l->size)
        buf_add_char(out, 'x');
    buf_add_str(out, "\"}}");
}

static void start(struct op *op)
{
    struct load *l = op->load;
    static const struct http_header json[] = {{SLICE_INIT("content-type"), SLICE_INIT("application/json")}};
    static const struct http_header grpc[] = {{SLICE_INIT("te"), SLICE_INIT("trailers")},
                                              {SLICE_INIT("content-type"), SLICE_INIT("application/grpc")}};
    struct buf body = BUF_INIT(1 << 20);
    op->from = loop_now(l->loop);
    if (l->etcd)
        etcd_body(l, &body);
    else
        pintle_body(l, &body);
    http_call(op->client, &(struct http_call_options){.method = "POST",
                                                      .path = l->etcd ? "/etcdserverpb.KV/Put"
                                                                      : "/api/v1/namespaces/default/configmaps",
                                                      .headers = l->etcd ? grpc : json,
                                                      .n_headers = l->etcd ? 2 : 1,
                                                      .body = buf_slice(&body),
                                                      .on_done = on_done,
                                                      .ctx = op});
    buf_done(&body);
}

static int by_value(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void on_end(struct loop_timer *t)
{
    struct load *l = container_of(t, struct load, end);
    double seconds = (double)(loop_now(l->loop) - l->started) / 1e9;
    l->stopping = true;
    qsort(l->latencies, l->n, sizeof(uint64_t), by_value);
    printf("{\"rate\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"errors\":%zu}\n", (double)l->n / seconds,
           l->n ? (double)l->latencies[l->n / 2] / 1e6 : 0, l->n ? (double)l->latencies[l->n * 99 / 100] / 1e6 : 0,
           l->errors);
    fflush(stdout);
    loop_stop(l->loop);
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

static void run(struct load *l, const char *address)
{
    struct tls_context *tls = tls_of(l);
    l->latencies = mem_alloc(LATENCIES_MAX * sizeof(uint64_t));
    for (unsigned i = 0; i < l->connections; i++)
        l->clients[i] =
            http_client_new(l->loop, &(struct http_client_options){.addr = address, .tls = tls, .h2 = true});
    struct op *ops = mem_zalloc(l->k * sizeof(*ops));
    l->started = loop_now(l->loop);
    for (unsigned i = 0; i < l->k; i++) {
        ops[i] = (struct op){.load = l, .client = l->clients[i % l->connections]};
        start(&ops[i]);
    }
    l->end.cb = on_end;
    loop_timer_start(l->loop, &l->end, l->seconds * 1000);
    loop_run(l->loop);
}

int main(int argc, char **argv)
{
    struct load l = {.k = 256, .connections = 4, .size = 512, .seconds = 5};
    int opt;
    if (argc < 3)
        return 2;
    l.etcd = !strcmp(argv[1], "etcd");
    while ((opt = getopt(argc - 2, argv + 2, "k:c:s:t:d:")) != -1) {
        unsigned v = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (opt) {
        case 'k':
            l.k = v;
            break;
        case 'c':
            l.connections = v < CONNECTIONS_MAX ? v : CONNECTIONS_MAX;
            break;
        case 's':
            l.size = v;
            break;
        case 't':
            l.seconds = v;
            break;
        case 'd':
            l.dir = optarg;
            break;
        default:
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    l.loop = loop_uv_new("load");
    loop_log(l.loop)->level = LOG_ERROR;
    run(&l, argv[2]);
    return 0;
}

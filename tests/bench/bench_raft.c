/* Three replicas as three processes on loopback, the leader driven with k outstanding commands: committed commands a
 * second and the latency from proposal to applied, with every entry synced on a majority.
 * With -S the commands are transactions of the store (a put of an object of that size), encoded, committed and applied
 * to
 * the tree on all replicas: the path that a write of the API takes below the API.
 * With -c the replicas speak mutual TLS: DIRECTORY-1, DIRECTORY-2 … hold ca.crt, server.crt and server.key of each.
 * Usage: bench_raft [-S] [-J] [-k outstanding] [-s bytes] [-t seconds] [-n replicas] [-p first port] [-d directory]
 *                   [-c certificates] */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "net/tls.h"
#include "raft/node.h"
#include "store/store.h"

enum { SETTLE_MS = 500, LATENCIES_MAX = 8 << 20 };

struct bench {
    unsigned k, size, seconds, replicas, port;
    const char *dir, *certificates;
    uint64_t id;
    struct loop *l;
    struct raft_node *n;
    struct metrics metrics;
    struct loop_timer begin, end;
    bool running, stopping;
    uint64_t started;
    uint64_t *latencies;
    size_t n_latencies;
    unsigned outstanding;
    struct store *store; /* with -S */
    bool json;
    uint64_t next_key;
    struct op *ops;
    struct rusage usage;
};

struct op {
    struct raft_proposal p;
    struct bench *b;
    uint64_t from;
};

static void propose(struct op *op);

static void done(struct raft_proposal *p, int err)
{
    struct op *op = container_of(p, struct op, p);
    struct bench *b = op->b;
    b->outstanding--;
    if (err == 0 && b->n_latencies < LATENCIES_MAX)
        b->latencies[b->n_latencies++] = loop_now(b->l) - op->from;
    if (!b->stopping)
        propose(op);
}

enum { KEYS = 100000, OBJECT_MAX = 1 << 20 };

/* A put of a ConfigMap of the size asked for. */
static struct blob *store_command(struct bench *b)
{
    static const char head[] = "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",";
    char key[64];
    struct buf value = BUF_INIT(OBJECT_MAX), command = BUF_INIT(OBJECT_MAX);
    int n = snprintf(key, sizeof(key), "default/key-%lu", b->next_key++ % KEYS);
    buf_printf(&value, "%s\"metadata\":{\"name\":\"%s\",", head, key + 8);
    uint32_t hole = (uint32_t)value.n;
    buf_add_str(&value, "\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"data\":{\"v\":\"");
    while (value.n + 3 < b->size)
        buf_add_char(&value, 'x');
    buf_add_str(&value, "\"}}");
    struct store_op op = {.kind = STORE_PUT,
                          .table = SLICE("configmaps"),
                          .key = slice_of(key, (size_t)n),
                          .value = buf_slice(&value),
                          .hole = hole,
                          .type_len = sizeof(head) - 1};
    store_txn_encode(&command, &(struct store_txn){.ops = &op, .n = 1});
    struct blob *blob = blob_copy(buf_slice(&command));
    buf_done(&value);
    buf_done(&command);
    return blob;
}

static struct blob *plain_command(struct bench *b)
{
    struct blob *command = blob_new(b->size);
    memset(command->bytes, 'x', b->size);
    return command;
}

static void propose(struct op *op)
{
    struct bench *b = op->b;
    struct blob *command = b->store ? store_command(b) : plain_command(b);
    op->from = loop_now(b->l);
    op->p.done = done;
    b->outstanding++;
    raft_node_propose(b->n, command, &op->p);
}

static void apply(void *ctx, uint64_t index, struct slice command, struct raft_proposal *p)
{
    struct bench *b = ctx;
    struct store_result result;
    (void)index;
    (void)p;
    if (b->store)
        store_apply(b->store, command, &result);
}

enum { WINDOW_EVENTS = 50000 };

/* As the leader of a real cluster does once a second: the event window stays bounded. */
static void applied(void *ctx, uint64_t index)
{
    struct bench *b = ctx;
    (void)index;
    uint64_t to = b->store ? store_compact_target(b->store, WINDOW_EVENTS, SIZE_MAX) : 0;
    if (to && to - store_compacted(b->store) > WINDOW_EVENTS) {
        struct buf command = BUF_INIT(64);
        struct store_result result;
        store_compact_encode(&command, to, 0);
        store_apply(b->store, buf_slice(&command), &result);
        buf_done(&command);
    }
}

static void *snapshot_take(void *ctx)
{
    return ctx;
}

static int snapshot_write(void *frozen, struct raft_sink *sink)
{
    (void)frozen;
    return sink->write(sink, "bench", 5);
}

static void snapshot_free(void *ctx, void *frozen)
{
    (void)ctx;
    (void)frozen;
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    char b[5];
    (void)ctx;
    (void)index;
    return source->read(source, b, sizeof(b));
}

static void role(void *ctx, bool is_leader, uint64_t term, uint64_t leader_id)
{
    struct bench *b = ctx;
    (void)term;
    (void)leader_id;
    if (is_leader && !b->running)
        loop_timer_start(b->l, &b->begin, SETTLE_MS);
}

static void failed(void *ctx, int err, const char *reason)
{
    (void)ctx;
    fprintf(stderr, "replica failed: %s (%d)\n", reason, err);
    exit(1);
}

static const struct raft_machine machine = {
    .apply = apply,
    .applied = applied,
    .snapshot_take = snapshot_take,
    .snapshot_write = snapshot_write,
    .snapshot_free = snapshot_free,
    .restore = restore,
    .role = role,
    .failed = failed,
};

static void begin(struct loop_timer *t)
{
    struct bench *b = container_of(t, struct bench, begin);
    b->running = true;
    b->started = loop_now(b->l);
    getrusage(RUSAGE_SELF, &b->usage);
    b->ops = mem_zalloc(b->k * sizeof(*b->ops));
    for (unsigned i = 0; i < b->k; i++) {
        b->ops[i].b = b;
        propose(&b->ops[i]);
    }
    loop_timer_start(b->l, &b->end, 1000UL * b->seconds);
}

static int by_value(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static double cpu_seconds(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static void end(struct loop_timer *t)
{
    struct bench *b = container_of(t, struct bench, end);
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    double seconds = (double)(loop_now(b->l) - b->started) / 1e9;
    double cpu = cpu_seconds(&now) - cpu_seconds(&b->usage);
    b->stopping = true;
    qsort(b->latencies, b->n_latencies, sizeof(uint64_t), by_value);
    size_t n = b->n_latencies;
    if (n && b->json) {
        printf("{\"rate\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", (double)n / seconds,
               (double)b->latencies[n / 2] / 1e6, (double)b->latencies[n * 99 / 100] / 1e6);
    } else if (n) {
        double syncs = metrics_one(&b->metrics, METRIC_COUNTER, "pintle_raft_syncs_total", "")->value;
        double entries = metrics_one(&b->metrics, METRIC_COUNTER, "pintle_raft_entries_synced_total", "")->value;
        printf("replicas=%u bytes=%u outstanding=%u: %.0f committed/s p50=%.2fms p99=%.2fms max=%.1fms | "
               "%.1f entries/sync, leader cpu %.0f%% (%.1f us/command)\n",
               b->replicas, b->size, b->k, (double)n / seconds, (double)b->latencies[n / 2] / 1e6,
               (double)b->latencies[n * 99 / 100] / 1e6, (double)b->latencies[n - 1] / 1e6,
               syncs > 0 ? entries / syncs : 0, 100 * cpu / seconds, 1e6 * cpu / (double)n);
    }
    fflush(stdout);
    loop_stop(b->l);
}

static struct tls_context *tls_of(const struct bench *b)
{
    char ca[300], cert[300], key[300], why[256];
    struct tls_context *tls = NULL;
    if (!b->certificates)
        return NULL;
    snprintf(ca, sizeof(ca), "%s-%u/ca.crt", b->certificates, (unsigned)b->id);
    snprintf(cert, sizeof(cert), "%s-%u/server.crt", b->certificates, (unsigned)b->id);
    snprintf(key, sizeof(key), "%s-%u/server.key", b->certificates, (unsigned)b->id);
    const struct tls_options o = {.cert_file = cert,
                                  .key_file = key,
                                  .ca_file = ca,
                                  .verify_client = true,
                                  .require_client = true,
                                  .tls13_only = true};
    if (tls_context_new(&o, &tls, why)) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    return tls;
}

static void run_replica(struct bench *b)
{
    char dir[256], listen[64], why[256];
    struct raft_member members[RAFT_MEMBERS_MAX];
    memset(members, 0, sizeof(members));
    for (unsigned i = 0; i < b->replicas; i++) {
        members[i].id = i + 1;
        snprintf(members[i].address, sizeof(members[i].address), "127.0.0.1:%u", b->port + i);
    }
    snprintf(dir, sizeof(dir), "%s/%u", b->dir, (unsigned)b->id);
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", b->port + (unsigned)b->id - 1);
    metrics_init(&b->metrics);
    struct raft_options o = {.dir = dir,
                             .id = b->id,
                             .cluster_id = 1,
                             .members = members,
                             .n_members = b->replicas,
                             .listen = listen,
                             .security = {tls_of(b)},
                             .metrics = &b->metrics};
    b->l = loop_uv_new("bench");
    loop_log(b->l)->level = LOG_WARN;
    b->latencies = mem_alloc(LATENCIES_MAX * sizeof(uint64_t));
    b->begin.cb = begin;
    b->end.cb = end;
    if (raft_node_open(b->l, &o, &machine, b, &b->n, why) || raft_node_start(b->n)) {
        fprintf(stderr, "cannot start: %s\n", why);
        exit(1);
    }
    loop_run(b->l);
    exit(0);
}

static void remove_dir(const char *dir)
{
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    if (system(command))
        fprintf(stderr, "cannot remove %s\n", dir);
}

int main(int argc, char **argv)
{
    bool through_store = false;
    struct bench b = {.k = 256, .size = 512, .seconds = 5, .replicas = 3, .port = 19443};
    char dir[] = "./bench_raft.XXXXXX";
    int opt;
    while ((opt = getopt(argc, argv, "SJk:s:t:n:p:d:c:")) != -1) {
        unsigned v = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (opt) {
        case 'S':
            through_store = true;
            break;
        case 'J':
            b.json = true;
            break;
        case 'k':
            b.k = v;
            break;
        case 's':
            b.size = v;
            break;
        case 't':
            b.seconds = v;
            break;
        case 'n':
            b.replicas = v < RAFT_MEMBERS_MAX ? v : RAFT_MEMBERS_MAX;
            break;
        case 'p':
            b.port = v;
            break;
        case 'c':
            b.certificates = optarg;
            break;
        case 'd':
            b.dir = optarg;
            break;
        default:
            return 2;
        }
    }
    if (!b.dir && !(b.dir = mkdtemp(dir)))
        return 1;
    pid_t pids[RAFT_MEMBERS_MAX];
    for (unsigned i = 0; i < b.replicas; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            b.id = i + 1;
            b.store = through_store ? store_new() : NULL;
            run_replica(&b);
        }
    }
    int status;
    pid_t first = wait(&status); /* the leader, when it is done */
    for (unsigned i = 0; i < b.replicas; i++)
        if (pids[i] != first)
            kill(pids[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    remove_dir(b.dir);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

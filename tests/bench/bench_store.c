/* What the state loop pays for a large state: the longest single pause of each thing that it does on its own thread.
 * A store of so many MiB of objects and a full event window; then freezing it, puts while another thread writes the
 * frozen
 * state, freeing it in pieces, checks, reads of the past. Times are of the processor, so that a busy machine does not
 * count: what each thing costs, not how long others were let run instead.
 * Usage: bench_store [MiB of state] [bytes of an object] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "store/replica.h"

#define HEAD "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\","

enum { OBJECT_MAX = 1 << 20, WHILE_WRITING = 200000 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct span {
    double worst, total;
    size_t n;
};

static void add(struct span *s, double from)
{
    double took = now_ms() - from;
    s->total += took;
    s->worst = took > s->worst ? took : s->worst;
    s->n++;
}

static void show(const char *what, const struct span *s)
{
    printf("%-46s %8zu times  mean %9.4f ms  worst %8.3f ms\n", what, s->n, s->n ? s->total / (double)s->n : 0,
           s->worst);
    fflush(stdout);
}

struct bench {
    struct store *s;
    size_t keys, size, next;
    uint64_t time_ms;
    char value[OBJECT_MAX];
    size_t value_n;
};

static void apply(struct bench *b, struct buf *command, struct span *span)
{
    struct store_result res;
    double from = now_ms();
    store_apply(b->s, buf_slice(command), &res);
    if (span)
        add(span, from);
    if (res.err)
        exit(1);
    buf_clear(command);
}

static void put(struct bench *b, struct buf *command, size_t key, struct span *span)
{
    char name[64];
    snprintf(name, sizeof name, "default/object-%zu", key);
    struct store_op op = {.kind = STORE_PUT,
                          .table = SLICE("configmaps"),
                          .key = slice_str(name),
                          .value = slice_of(b->value, b->value_n),
                          .hole = sizeof HEAD - 1,
                          .type_len = 1};
    store_txn_encode(command,
                     &(struct store_txn){.time_ms = ++b->time_ms, .ops = &op, .n = 1, .actor = SLICE("somebody")});
    apply(b, command, span);
}

static void compact(struct bench *b, struct buf *command, struct span *span)
{
    uint64_t to = store_compact_target(b->s, REPLICA_WINDOW_EVENTS, REPLICA_WINDOW_BYTES);
    if (!to)
        return;
    store_compact_encode(command, to, b->time_ms);
    apply(b, command, span);
}

/* ---- the other thread ---- */

struct writing {
    struct store_frozen *frozen;
    atomic_bool done;
    double took;
    int rv;
};

static int to_file(void *ctx, const void *p, size_t n)
{
    return fwrite(p, 1, n, ctx) == n ? 0 : -1;
}

static void *write_frozen(void *ctx)
{
    struct writing *w = ctx;
    double from = now_ms();
    FILE *f = fopen("/dev/null", "w");
    w->rv = store_frozen_write(w->frozen, to_file, f);
    fclose(f);
    w->took = now_ms() - from;
    atomic_store(&w->done, true);
    return NULL;
}

static void while_writing(struct bench *b, struct buf *command)
{
    struct writing w = {0};
    struct span freeze = {0}, puts = {0}, compactions = {0}, frees = {0};
    pthread_t thread;
    atomic_init(&w.done, false);
    double from = now_ms();
    w.frozen = store_freeze(b->s);
    add(&freeze, from);
    show("freeze", &freeze);
    pthread_create(&thread, NULL, write_frozen, &w);
    for (size_t i = 0; i < WHILE_WRITING && !atomic_load(&w.done); i++) {
        put(b, command, (size_t)rand() % b->keys, &puts);
        if (i % 1000 == 999)
            compact(b, command, &compactions);
    }
    pthread_join(thread, NULL);
    printf("written by the other thread in %.0f ms (%d)\n", w.took, w.rv);
    show("puts while it is written", &puts);
    show("compactions of 1000 events meanwhile", &compactions);
    for (bool done = false; !done;) {
        from = now_ms();
        done = store_frozen_free_some(w.frozen, REPLICA_FREE_PIECE);
        add(&frees, from);
    }
    show("freeing the frozen state, in pieces", &frees);
}

static void checks(struct bench *b, struct buf *command)
{
    struct span span = {0};
    struct store_result res;
    char key[STORE_KEY_MAX];
    struct slice table = SLICE_NONE;
    size_t key_n = 0;
    do {
        store_check_encode(command, table, slice_of(key, key_n), b->time_ms);
        double from = now_ms();
        store_apply(b->s, buf_slice(command), &res);
        add(&span, from);
        buf_clear(command);
        table = res.check->table;
        memcpy(key, res.check->key, key_n = res.check->key_n);
    } while (table.n);
    show("checks, until everything was read", &span);
}

static void past(struct bench *b)
{
    struct span list = {0}, frees = {0}, get = {0};
    struct store_table *t = store_table(b->s, SLICE("configmaps"));
    uint64_t oldest = store_table_compacted(b->s, t);
    for (int i = 0; i < 5; i++) {
        struct store_frozen *f;
        struct store_item *item;
        bool done = false;
        if (store_past_begin(b->s, t, oldest, &f))
            exit(1);
        while (!done) {
            double from = now_ms();
            done = store_past_some(f, 300);
            add(&list, from);
        }
        for (done = false; !done;) {
            double from = now_ms();
            done = store_frozen_free_some(f, REPLICA_FREE_PIECE);
            add(&frees, from);
        }
        double from = now_ms();
        store_get_at(b->s, t, SLICE("default/none"), oldest, &item);
        add(&get, from);
    }
    show("lists at the oldest revision kept, in pieces", &list);
    show("freeing those, in pieces", &frees);
    show("a get at the oldest revision kept", &get);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct buf command = BUF_INIT(OBJECT_MAX * 2);
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 1024;
    struct span puts = {0};
    struct store_result res;
    b.s = store_new();
    b.size = argc > 2 ? strtoul(argv[2], NULL, 10) : 2048;
    b.keys = mib * (1 << 20) / (b.size ? b.size : 1);
    b.time_ms = 1;
    b.value_n = (size_t)snprintf(b.value, sizeof b.value, HEAD "\"uid\":\"u\"},\"data\":{\"v\":\"%0*d\"}}",
                                 b.size > 120 ? (int)b.size - 120 : 1, 7);
    store_format_encode(&command, 2, 1);
    store_apply(b.s, buf_slice(&command), &res);
    buf_clear(&command);
    for (size_t i = 0; i < b.keys; i++) {
        put(&b, &command, i, &puts);
        if (i % 1000 == 999)
            compact(&b, &command, NULL);
    }
    for (size_t i = 0; i < REPLICA_WINDOW_EVENTS; i++) /* a window of replaced objects */
        put(&b, &command, (size_t)rand() % (b.keys ? b.keys : 1), &puts);
    compact(&b, &command, NULL);
    printf("%zu objects, %.0f MiB; window of %zu events, %.0f MiB\n", b.keys, (double)store_bytes(b.s) / (1 << 20),
           store_window_events(b.s), (double)store_window_bytes(b.s) / (1 << 20));
    show("puts with nothing else going on", &puts);
    while_writing(&b, &command);
    checks(&b, &command);
    past(&b);
    buf_done(&command);
    store_free(b.s);
    return 0;
}

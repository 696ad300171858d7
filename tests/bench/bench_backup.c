/* What a whole state costs to freeze, write, read and take in, without network and disk: where the time goes.
 * usage: bench_backup MEGABYTES OBJECT_BYTES FILE: makes such a state, writes it to FILE (a backup file that
 * `pintle snapshot restore` takes), reads it back. One line of JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/backup.h"

#define HEAD "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\","

enum { MIB = 1 << 20 };

static double now(struct loop *l)
{
    return (double)loop_wall(l) / 1e9;
}

/* Text about as repetitive as objects are. */
static void fill(struct buf *out, size_t n, uint64_t *seed)
{
    static const char *const words[] = {"name",   "value", "image",   "registry", "container", "restart",
                                        "Always", "node",  "10.244.", "status",   "true",      "condition"};
    while (out->n < n) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        buf_printf(out, "%s-%x ", words[*seed >> 33 & 7], (unsigned)(*seed >> 40));
    }
}

static void put(struct store *s, uint64_t i, size_t bytes, struct buf *command, uint64_t *seed)
{
    struct buf value = BUF_INIT(8 << 20);
    struct store_result res;
    char key[64];
    snprintf(key, sizeof key, "default/object-%lu", i * 2654435761u % 1000000007u);
    buf_printf(&value,
               HEAD "\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"uid\":\"%036lu\",\"creationTimestamp\":"
                    "\"2026-11-21T08:00:00Z\"},\"data\":{\"v\":\"",
               key + 8, i);
    uint32_t hole = (uint32_t)(strstr(value.p, "\"uid\"") - value.p);
    fill(&value, bytes, seed);
    buf_add_str(&value, "\"}}");
    const struct store_op op = {.kind = STORE_PUT,
                                .table = SLICE("configmaps"),
                                .key = slice_str(key),
                                .value = buf_slice(&value),
                                .hole = hole,
                                .type_len = sizeof HEAD - 1};
    buf_clear(command);
    store_txn_encode(command, &(struct store_txn){.time_ms = 1795248000000, .ops = &op, .n = 1});
    store_apply(s, buf_slice(command), &res);
    if (i % 50000 == 49999) { /* as the leader does */
        buf_clear(command);
        store_compact_encode(command, store_revision(s) - 1000, 1795248000000);
        store_apply(s, buf_slice(command), &res);
    }
    buf_done(&value);
}

static int write_file(struct store_frozen *frozen, const struct backup_info *info, struct file *f, uint64_t *bytes)
{
    struct backup_writer w;
    struct buf piece = BUF_INIT(BACKUP_PIECE_MAX);
    int rv = 0;
    backup_writer_init(&w, info, frozen);
    for (*bytes = 0; rv == 0; buf_clear(&piece)) {
        rv = backup_writer_next(&w, &piece);
        ssize_t r = rv < 0 ? rv : file_pwrite(f, piece.p, piece.n, *bytes);
        rv = r < 0 ? (int)r : rv;
        *bytes += piece.n;
    }
    buf_done(&piece);
    backup_writer_done(&w);
    return rv < 0 ? rv : 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct loop *l = loop_uv_new("bench");
    struct store *s = store_new(), *t = store_new();
    struct buf command = BUF_INIT(8 << 20);
    struct backup_reader *r;
    struct store_summary sum;
    struct file *f;
    char why[256];
    uint64_t seed = 1, bytes;
    size_t each = strtoull(argv[2], NULL, 10), n = strtoull(argv[1], NULL, 10) * MIB / each;
    double at[8];
    at[0] = now(l);
    for (size_t i = 0; i < n; i++)
        put(s, i, each, &command, &seed);
    at[1] = now(l);
    struct store_frozen *frozen = store_freeze(s);
    at[2] = now(l);
    const struct backup_info info = {.kind = BACKUP_SNAPSHOT,
                                     .cluster_id = 1,
                                     .index = n + 10,
                                     .term = 2,
                                     .revision = store_revision(s),
                                     .hash = store_hash(s),
                                     .time_ms = store_time_ms(s),
                                     .format = store_format(s)};
    int err = fs_open(loop_fs(l), argv[3], FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &f);
    err = err ? err : write_file(frozen, &info, f, &bytes);
    at[3] = now(l);
    err = err ? err : backup_open(loop_fs(l), argv[3], &r, why);
    err = err ? err : store_inspect(backup_read, r, &sum, NULL, NULL);
    at[4] = now(l);
    if (!err)
        backup_close(r);
    err = err ? err : backup_open(loop_fs(l), argv[3], &r, why);
    err = err ? err : store_restore(t, backup_read, r);
    at[5] = now(l);
    if (err || store_hash(t) != store_hash(s)) {
        fprintf(stderr, "failed: %s\n", strerror(-err));
        return 1;
    }
    double mib = (double)store_bytes(s) / MIB;
    printf("{\"objects\":%zu,\"stateMiB\":%.0f,\"fileMiB\":%.0f,\"apply\":%.0f,\"freezeMs\":%.3f,\"write\":%.0f,"
           "\"inspect\":%.0f,\"restore\":%.0f}\n",
           n, mib, (double)bytes / MIB, mib / (at[1] - at[0]), (at[2] - at[1]) * 1e3, mib / (at[3] - at[2]),
           mib / (at[4] - at[3]), mib / (at[5] - at[4]));
    fflush(stdout);
    _Exit(0);
}

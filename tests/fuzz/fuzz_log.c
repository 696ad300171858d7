/* Log segments and what a replica finds in its directory. First byte: bit 0 gives records right checksums, bit 1 the
 * header too, so that what lies behind them is reached; bit 2 adds a mark whose end the second byte says. What opens
 * once
 * opens again, with the same entries. */
#include "fuzz.h"

#include "base/hash.h"
#include "loop/sim.h"
#include "raft/log.h"
#include "raft/segment.h"

enum { SEQUENCE = 1, CLUSTER = 7, SEGMENT = 16 << 10 };

static int each(void *ctx, const struct record *r)
{
    const struct slice *s = ctx;
    FUZZ_CHECK(r->data.n == 0 || (r->data.p >= s->p && r->data.p + r->data.n <= s->p + s->n));
    return 0;
}

static void seal_records(char *p, size_t n)
{
    uint32_t batch = SEGMENT_HEADER;
    for (size_t at = SEGMENT_HEADER; at + RECORD_HEADER <= n;) {
        uint32_t len;
        memcpy(&len, p + at + 4, sizeof len);
        if (len > n || record_size(len) > n - at)
            return;
        if (p[at + 8] % 2)
            batch = (uint32_t)at;
        record_seal(p + at, SEQUENCE, batch);
        at += record_size(len);
    }
}

static void seal_header(char *p, size_t n)
{
    const struct segment_header h = {CLUSTER, SEQUENCE, 1, 0};
    if (n >= SEGMENT_HEADER)
        segment_header_encode(p, &h);
}

static void scan(struct slice seg)
{
    struct segment_header h;
    (void)segment_header_decode(seg, &h);
    struct segment_scan scan = {.sequence = SEQUENCE, .each = each, .ctx = &seg};
    if (seg.n >= SEGMENT_HEADER && segment_scan(seg, &scan) == 0)
        FUZZ_CHECK(scan.end <= seg.n);
    (void)segment_was_used(seg, SEQUENCE);
}

/* ---- a directory ---- */

static int add_entry(void *ctx, uint64_t index, uint64_t term, uint16_t type, struct slice data)
{
    uint64_t *hash = ctx;
    *hash = hash64(data, *hash + index * 31 + term * 7 + type);
    return 0;
}

static void write_file(struct fs *fs, const char *path, struct slice s)
{
    struct file *f;
    FUZZ_CHECK(fs_open(fs, path, FS_READ | FS_WRITE | FS_CREATE, &f) == 0);
    FUZZ_CHECK(s.n == 0 || file_pwrite(f, s.p, s.n, 0) == (ssize_t)s.n);
    file_close(f);
}

static void write_mark(struct fs *fs, uint64_t end)
{
    char bytes[32] = {'P', 'i', 'n', 't', 'l', 'e', 'W', 'M'};
    const uint64_t sequence = SEQUENCE;
    memcpy(bytes + 16, &sequence, sizeof(sequence));
    memcpy(bytes + 24, &end, sizeof(end));
    uint32_t crc = crc32c(0, bytes + 12, sizeof(bytes) - 12);
    memcpy(bytes + 8, &crc, sizeof(crc));
    write_file(fs, "/d/mark", slice_of(bytes, sizeof(bytes)));
}

static int open_log(const struct wal_options *o, uint64_t *ret_hash)
{
    struct wal_spares spares;
    struct wal *w;
    char why[256];
    *ret_hash = 0;
    int err = wal_open(o, add_entry, ret_hash, &spares, &w, why);
    FUZZ_CHECK(err == 0 || why[0]);
    if (!err)
        wal_close(w);
    return err;
}

static void open_directory(struct slice seg, bool marked, uint64_t end)
{
    struct sim *s = sim_new(1);
    struct fs *fs = loop_fs(sim_host(s, "n1"));
    const struct wal_options o = {fs, "/d", CLUSTER, SEGMENT};
    uint64_t first, again;
    FUZZ_CHECK(fs_mkdir(fs, "/d") == 0);
    write_file(fs, "/d/wal-0000000000000001", seg);
    if (marked)
        write_mark(fs, end);
    if (open_log(&o, &first) == 0)
        FUZZ_CHECK(open_log(&o, &again) == 0 && first == again);
    sim_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 2)
        return 0;
    char *copy = malloc(n);
    memcpy(copy, p + 2, n - 2);
    if (p[0] & 1)
        seal_records(copy, n - 2);
    if (p[0] & 2)
        seal_header(copy, n - 2);
    scan(slice_of(copy, n - 2));
    open_directory(slice_of(copy, n - 2), p[0] & 4, p[1] * 16u);
    free(copy);
    return 0;
}

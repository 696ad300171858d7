/* Files of whole states. First byte: 0 a snapshot's file as it is, 1 one whose checksums are put right first, so that what
 * lies behind them is reached, 2 a backup, which arrives piece by piece. What is verified can be read, and nothing
 * else. */
#include "fuzz.h"

#include <errno.h>

#include "base/hash.h"
#include "base/mem.h"
#include "loop/sim.h"
#include "raft/snapshot.h"
#include "raft/wire.h"
#include "store/backup.h"

enum { HEAD_FIXED = 56, HEAD_CRC_FROM = 16 };

static void mend_blocks(char *p, size_t n)
{
    for (size_t at = 0; n - at >= BLOCK_HEAD;) {
        size_t stored = get_u32(p + at + 4);
        if (stored > n - at - BLOCK_HEAD)
            return;
        put_u32(p + at + 8, crc32c(0, p + at + BLOCK_HEAD, stored));
        at += BLOCK_HEAD + stored;
    }
}

static void mend(char *p, size_t n)
{
    if (n < HEAD_FIXED)
        return;
    size_t conf = get_u32(p + 48);
    if (conf > n - HEAD_FIXED)
        return;
    put_u32(p + 12, crc32c(0, p + HEAD_CRC_FROM, HEAD_FIXED - HEAD_CRC_FROM + conf));
    mend_blocks(p + HEAD_FIXED + conf, n - HEAD_FIXED - conf);
}

/* Whether the whole stream can be read, in odd pieces. */
static bool readable(struct fs *fs, const char *path)
{
    struct snap_reader *r;
    char piece[977];
    if (snap_open(fs, path, &r))
        return false;
    FUZZ_CHECK(r->info.index && r->info.term && r->info.conf_n <= SNAP_CONF_MAX);
    int err = 0;
    while (!err)
        err = r->source.read(&r->source, piece, 1);
    FUZZ_CHECK(err == -ENODATA || err == -EBADMSG);
    FUZZ_CHECK(r->source.read(&r->source, piece, sizeof(piece)) == err); /* sticks */
    snap_close(r);
    return err == -ENODATA;
}

static void read_snapshot(struct slice s)
{
    static const char path[] = "/snapshot-0000000000000005";
    struct sim *w = sim_new(1);
    struct fs *fs = loop_fs(sim_host(w, "n1"));
    struct snap_info info;
    struct file *f;
    FUZZ_CHECK(fs_open(fs, path, FS_READ | FS_WRITE | FS_CREATE, &f) == 0);
    FUZZ_CHECK(s.n == 0 || file_pwrite(f, s.p, s.n, 0) == (ssize_t)s.n);
    file_close(f);
    bool verified = snap_verify(fs, path, &info) == 0;
    FUZZ_CHECK(!verified || readable(fs, path));
    if (!verified)
        (void)readable(fs, path);
    sim_free(w);
}

/* The outcome may not depend on how the bytes were cut. */
static int check_backup(struct slice s, size_t piece)
{
    struct backup_check c;
    int err = 0;
    backup_check_init(&c);
    while (s.n && !err) {
        size_t n = piece < s.n ? piece : s.n;
        err = backup_check_push(&c, slice_of(s.p, n));
        s = slice_from(s, n);
    }
    err = err ? err : c.ended ? 1 : 0;
    backup_check_done(&c);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 1)
        return 0;
    char *copy = malloc(n);
    memcpy(copy, p + 1, n - 1);
    if (p[0] % 3 == 1)
        mend(copy, n - 1);
    if (p[0] % 3 == 2)
        FUZZ_CHECK(check_backup(slice_of(copy, n - 1), n) == check_backup(slice_of(copy, n - 1), 7));
    else
        read_snapshot(slice_of(copy, n - 1));
    free(copy);
    return 0;
}

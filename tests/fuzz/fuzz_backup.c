/* Backup files. The first byte says how much is made right before the bytes are read, so that what lies behind the
 * checksums is reached: 0 nothing (whole files, in pieces as they arrive), 1 blocks, 2 the documents of a state, 3 the
 * records of a segment, behind the state that it goes on from. */
#include "fuzz.h"

#include <errno.h>

#include "loop/sim.h"
#include "store/archive.h"
#include "store/backup.h"

struct bytes {
    struct slice left;
};

static int get(void *ctx, void *p, size_t n)
{
    struct bytes *b = ctx;
    if (n > b->left.n)
        return b->left.n ? -EBADMSG : -ENODATA;
    memcpy(p, b->left.p, n);
    b->left = slice_from(b->left, n);
    return 0;
}

/* In whatever pieces it comes, the verdict is the same. */
static void check_pushed(struct slice s, size_t piece)
{
    struct backup_check whole, parts;
    backup_check_init(&whole);
    backup_check_init(&parts);
    int a = backup_check_push(&whole, s), b = 0;
    for (struct slice left = s; left.n && !b; left = slice_from(left, piece))
        b = backup_check_push(&parts, slice_of(left.p, left.n < piece ? left.n : piece));
    FUZZ_CHECK(a == b && whole.ended == parts.ended && whole.total == parts.total);
    backup_check_done(&whole);
    backup_check_done(&parts);
}

static void read_blocks(struct slice s)
{
    struct bytes b = {s};
    struct block_reader r;
    char out[512];
    block_reader_init(&r, get, &b);
    while (block_read(&r, out, sizeof out) == 0)
        FUZZ_CHECK(r.used <= r.n && r.n <= BLOCK_BYTES);
    block_reader_done(&r);
}

/* Made once: taking a state in empties it first. */
static struct store *the_store(void)
{
    static struct store *s;
    if (!s)
        s = store_new();
    return s;
}

static void read_state(struct slice s)
{
    struct bytes a = {s}, b = {s};
    struct store_summary sum;
    struct store *store = the_store();
    int inspected = store_inspect(get, &a, &sum, NULL, NULL), restored = store_restore(store, get, &b);
    if (!inspected && !restored)
        FUZZ_CHECK(store_revision(store) == sum.revision && store_hash(store) == sum.hash);
    if (!restored)
        store_rebase(store);
}

/* ---- segments: as files on a simulated disk ---- */

static struct fs *disk(void)
{
    static struct sim *sim;
    static struct loop *host;
    if (!sim) {
        sim = sim_new(1);
        host = sim_host(sim, "a");
        fs_mkdir(loop_fs(host), "/d");
    }
    return loop_fs(host);
}

static void save(struct fs *fs, const char *path, struct buf *bytes)
{
    struct file *f;
    FUZZ_CHECK(fs_open(fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &f) == 0);
    FUZZ_CHECK(file_pwrite(f, bytes->p, bytes->n, 0) == (ssize_t)bytes->n);
    file_sync(f);
    file_close(f);
    fs_sync_dir(fs, "/d");
}

static void add_head(struct buf *out, enum backup_kind kind)
{
    char head[BACKUP_HEAD];
    backup_head_encode(head, &(struct backup_info){.kind = kind, .cluster_id = 1, .index = 1, .term = 1, .format = 1});
    buf_add(out, head, sizeof head);
}

static void save_base(struct fs *fs)
{
    struct buf out = BUF_INIT(1 << 20);
    struct store *s = store_new();
    struct store_frozen *frozen = store_freeze(s);
    struct backup_writer w;
    const struct backup_info info = {.kind = BACKUP_SNAPSHOT, .cluster_id = 1, .index = 1, .term = 1, .format = 1};
    backup_writer_init(&w, &info, frozen);
    while (backup_writer_next(&w, &out) == 0)
        ;
    backup_writer_done(&w);
    store_frozen_free(frozen);
    store_free(s);
    save(fs, "/d/base-0000000000000000-20261121T080000Z-0000000000000001", &out);
    buf_done(&out);
}

static void read_segment(struct slice s, bool ended)
{
    static const struct archive_target all = {UINT64_MAX, UINT64_MAX};
    static bool based;
    struct fs *fs = disk();
    struct buf out = BUF_INIT(1 << 20);
    struct archive a;
    struct archive_point p = {0};
    struct archive_range range = {0};
    struct store *store = the_store();
    char why[256];
    if (!based)
        save_base(fs);
    based = true;
    add_head(&out, BACKUP_SEGMENT);
    if (s.n)
        block_pack(&out, s);
    if (ended)
        block_pack_end(&out, s.n);
    save(fs, "/d/segment-0000000000000000-20261121T080000Z-0000000000000001", &out);
    FUZZ_CHECK(archive_open(fs, "/d", &a, why) == 0 && a.n_bases == 1 && a.n_segments == 1);
    int err = archive_restore(&a, &all, store, &p, why);
    int walked = archive_range(&a, 0, &range, why);
    FUZZ_CHECK(err || store_revision(store) == p.revision);
    FUZZ_CHECK(err || walked || range.index == p.index); /* what replays can be listed */
    archive_done(&a);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 2)
        return 0;
    struct slice s = slice_of(p + 1, n - 1);
    switch (p[0] % 4) {
    case 0:
        check_pushed(s, 1 + p[0] / 4);
        break;
    case 1:
        read_blocks(s);
        break;
    case 2:
        read_state(s);
        break;
    default:
        read_segment(s, p[0] & 4);
    }
    return 0;
}

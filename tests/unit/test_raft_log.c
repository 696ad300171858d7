/* What replicas keep on disk: the log with its torn tails, damage and recycled segments; term and vote; snapshots. */
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "loop/sim.h"
#include "raft/entries.h"
#include "raft/frame.h"
#include "raft/log.h"
#include "raft/meta.h"
#include "raft/segment.h"
#include "raft/snapshot.h"
#include "raft/wire.h"

enum { SEGMENT = 16 << 10 };

struct world {
    struct sim *w;
    struct loop *l;
    struct fs *fs;
    struct wal_options o;
    struct wal *wal;
    struct wal_spares spares;
    struct wal_op op;
    struct entries log; /* as replayed */
    char why[256];
};

static void world_init(struct world *x, uint64_t seed)
{
    *x = (struct world){.w = sim_new(seed)};
    x->l = sim_host(x->w, "a");
    x->fs = loop_fs(x->l);
    assert_int_equal(fs_mkdir(x->fs, "/d"), 0);
    assert_int_equal(fs_sync_dir(x->fs, ""), 0);
    x->o = (struct wal_options){x->fs, "/d", 7, SEGMENT};
    wal_op_init(&x->op);
    entries_init(&x->log, 1);
}

static int on_entry(void *ctx, uint64_t index, uint64_t term, uint16_t type, struct slice data)
{
    struct world *x = ctx;
    assert_int_equal(type, 1);
    if (x->log.n == 0 || index < x->log.first)
        entries_reset(&x->log, index);
    assert_true(index <= entries_last(&x->log) + 1);
    const struct entry e = {term, type, chunk_take(blob_copy(data))};
    entries_put(&x->log, index, &e);
    return 0;
}

static int world_open(struct world *x)
{
    entries_reset(&x->log, 1);
    return wal_open(&x->o, on_entry, x, &x->spares, &x->wal, x->why);
}

static void world_close(struct world *x)
{
    wal_close(x->wal);
    x->wal = NULL;
}

static void world_done(struct world *x)
{
    world_close(x);
    wal_op_done(&x->op);
    entries_done(&x->log);
    sim_free(x->w);
}

static void fill(char *b, size_t n, uint64_t index, uint64_t term)
{
    for (size_t i = 0; i < n; i++)
        b[i] = (char)(index * 7 + term * 31 + i);
}

static void add(struct world *x, uint64_t index, uint64_t term, size_t n)
{
    char *b = mem_alloc(n);
    fill(b, n, index, term);
    assert_int_equal(wal_op_add(&x->op, index, term, 1, slice_of(b, n)), 0);
    mem_free(b);
}

static int run(struct world *x)
{
    x->op.spares = x->spares;
    int err = wal_run(x->wal, &x->op);
    x->spares = x->op.spares;
    wal_op_clear(&x->op);
    return err;
}

static void check(struct world *x, uint64_t index, uint64_t term, size_t n)
{
    const struct entry *e = entries_get(&x->log, index);
    char *b = mem_alloc(n);
    fill(b, n, index, term);
    assert_non_null(e);
    assert_int_equal(e->term, term);
    assert_int_equal(e->chunk.n, n);
    assert_memory_equal(e->chunk.p, b, n);
    mem_free(b);
}

static void test_write_and_replay(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    for (uint64_t i = 1; i <= 200; i++) {
        add(&x, i, 1 + i / 50, i * 3 % 700);
        if (i % 7 == 0)
            assert_int_equal(run(&x), 0);
    }
    assert_int_equal(run(&x), 0);
    world_close(&x);
    assert_int_equal(world_open(&x), 0);
    assert_int_equal(x.log.first, 1);
    assert_int_equal(entries_last(&x.log), 200);
    for (uint64_t i = 1; i <= 200; i++)
        check(&x, i, 1 + i / 50, i * 3 % 700);
    world_done(&x);
}

static void test_replaced_suffix(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    for (uint64_t i = 1; i <= 10; i++)
        add(&x, i, 1, 100);
    assert_int_equal(run(&x), 0);
    add(&x, 6, 2, 50);
    add(&x, 7, 2, 50);
    assert_int_equal(run(&x), 0);
    world_close(&x);
    assert_int_equal(world_open(&x), 0);
    assert_int_equal(entries_last(&x.log), 7);
    check(&x, 5, 1, 100);
    check(&x, 6, 2, 50);
    world_done(&x);
}

static void test_larger_than_a_segment(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    add(&x, 1, 1, 10);
    add(&x, 2, 1, 5 * SEGMENT);
    add(&x, 3, 1, 10);
    assert_int_equal(run(&x), 0);
    world_close(&x);
    assert_int_equal(world_open(&x), 0);
    check(&x, 2, 1, 5 * SEGMENT);
    check(&x, 3, 1, 10);
    world_done(&x);
}

static void count_segments(void *ctx, const char *name)
{
    if (strncmp(name, "wal-", 4) == 0)
        ++*(int *)ctx;
}

static int segments(struct world *x)
{
    int n = 0;
    assert_int_equal(fs_list(x->fs, "/d", count_segments, &n), 0);
    return n;
}

/* Segments a snapshot made superfluous are used again, and what they held is not taken for new. */
static void test_recycling(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    uint64_t index = 0;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 30; i++) {
            index++;
            add(&x, index, 1, 100 + index % 300);
        }
        x.op.cut = index > 50 ? index - 50 : 0;
        assert_int_equal(run(&x), 0);
        assert_true(segments(&x) <= 3);
        assert_true(x.spares.n <= WAL_SPARES_MAX);
    }
    assert_true(x.spares.n > 0);
    world_close(&x);
    assert_int_equal(world_open(&x), 0);
    assert_int_equal(entries_last(&x.log), index);
    assert_true(x.log.first <= index - 49);
    for (uint64_t i = x.log.first; i <= index; i++)
        check(&x, i, 1, 100 + i % 300);
    /* A new life in the same files. */
    x.op.reset = true;
    add(&x, 5000, 9, 40);
    assert_int_equal(run(&x), 0);
    world_close(&x);
    assert_int_equal(world_open(&x), 0);
    assert_int_equal(x.log.first, 5000);
    assert_int_equal(x.log.n, 1);
    world_done(&x);
}

static const char *segment_path(struct world *x, char out[64], uint64_t sequence)
{
    (void)x;
    snprintf(out, 64, "/d/wal-%016" PRIx64, sequence);
    return out;
}

static void damage(struct world *x, uint64_t sequence, uint64_t off)
{
    char path[64], b;
    struct file *f;
    assert_int_equal(fs_open(x->fs, segment_path(x, path, sequence), FS_READ | FS_WRITE, &f), 0);
    assert_int_equal(file_pread(f, &b, 1, off), 1);
    b = (char)(b ^ 0x40);
    assert_int_equal(file_pwrite(f, &b, 1, off), 1);
    assert_int_equal(file_sync(f), 0);
    file_close(f);
}

static void write_batches(struct world *x, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        add(x, i, 1, 100);
        add(x, ++i, 1, 100);
        assert_int_equal(run(x), 0);
    }
}

enum { RECORD_100 = RECORD_HEADER + 104 };

static void test_damage_in_the_middle(void **state)
{
    (void)state;
    for (uint64_t off = SEGMENT_HEADER; off < SEGMENT_HEADER + 8 * RECORD_100; off += 37) {
        struct world x;
        world_init(&x, 1);
        assert_int_equal(world_open(&x), 0);
        write_batches(&x, 1, 10);
        world_close(&x);
        if ((off - SEGMENT_HEADER) % RECORD_100 >= RECORD_HEADER + 100) {
            world_done(&x);
            continue; /* padding */
        }
        damage(&x, 1, off);
        assert_int_equal(world_open(&x), -EBADMSG);
        assert_non_null(strstr(x.why, "damaged"));
        world_done(&x);
    }
}

static void test_damaged_header(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    write_batches(&x, 1, 10);
    world_close(&x);
    damage(&x, 1, 20);
    assert_int_equal(world_open(&x), -EBADMSG);
    world_done(&x);
}

/* As if the machine had died before the mark reached the disk. */
static void forget_mark(struct world *x)
{
    assert_int_equal(fs_unlink(x->fs, "/d/mark"), 0);
}

/* The last write may be torn anywhere, first sectors or last: it is cut off, and what follows is written elsewhere. But
 * when the mark says that it was synced, it was not torn. */
static void test_torn_tail(void **state)
{
    (void)state;
    for (uint64_t off = 4 * RECORD_100; off < 8 * RECORD_100; off += 61) {
        struct world x;
        world_init(&x, 1);
        assert_int_equal(world_open(&x), 0);
        write_batches(&x, 1, 4);
        for (uint64_t i = 5; i <= 8; i++)
            add(&x, i, 1, 100);
        assert_int_equal(run(&x), 0);
        world_close(&x);
        if (off % RECORD_100 >= RECORD_HEADER + 100) {
            world_done(&x);
            continue;
        }
        damage(&x, 1, SEGMENT_HEADER + off);
        assert_int_equal(world_open(&x), -EBADMSG);
        assert_non_null(strstr(x.why, "/d/wal-0000000000000001 is damaged at byte"));
        forget_mark(&x);
        assert_int_equal(world_open(&x), 0);
        uint64_t last = entries_last(&x.log);
        assert_int_equal(last, off / RECORD_100);
        add(&x, last + 1, 2, 33);
        assert_int_equal(run(&x), 0);
        world_close(&x);
        assert_int_equal(world_open(&x), 0);
        assert_int_equal(entries_last(&x.log), last + 1);
        check(&x, last + 1, 2, 33);
        world_done(&x);
    }
}

static void test_missing_segment(void **state)
{
    (void)state;
    struct world x;
    char path[64];
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    write_batches(&x, 1, 400);
    world_close(&x);
    assert_true(segments(&x) > 2);
    assert_int_equal(fs_unlink(x.fs, segment_path(&x, path, 2)), 0);
    assert_int_equal(world_open(&x), -EBADMSG);
    assert_non_null(strstr(x.why, "missing"));
    world_done(&x);
}

static void test_missing_last_segment(void **state)
{
    (void)state;
    struct world x;
    char path[64];
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    write_batches(&x, 1, 400);
    world_close(&x);
    for (uint64_t sequence = (uint64_t)segments(&x); sequence > 0; sequence--) {
        assert_int_equal(fs_unlink(x.fs, segment_path(&x, path, sequence)), 0);
        assert_int_equal(world_open(&x), -EBADMSG);
        assert_non_null(strstr(x.why, "is missing after segment"));
    }
    world_done(&x);
}

/* A log that was dropped for a snapshot is not missed. */
static void test_mark_after_reset(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    write_batches(&x, 1, 40);
    x.op.reset = true;
    assert_int_equal(run(&x), 0);
    world_close(&x);
    assert_int_equal(world_open(&x), 0);
    assert_int_equal(x.log.n, 0);
    world_done(&x);
}

static void test_another_cluster(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(world_open(&x), 0);
    write_batches(&x, 1, 4);
    world_close(&x);
    x.o.cluster_id = 8;
    assert_int_equal(world_open(&x), -EINVAL);
    assert_non_null(strstr(x.why, "cluster"));
    world_done(&x);
}

/* Crashes at any moment lose nothing that was synced, and never look like damage. */
static void test_crashes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct world x;
        world_init(&x, seed);
        uint64_t synced = 0;
        for (int life = 0; life < 4; life++) {
            assert_int_equal(world_open(&x), 0);
            uint64_t last = x.log.n ? entries_last(&x.log) : 0;
            assert_true(last >= synced);
            for (uint64_t i = 1; i <= last; i++)
                check(&x, i, 1, i * 11 % 600);
            uint64_t next = last + 1, fail_at = 1 + sim_random(x.w, 40);
            sim_disk_fail(x.w, x.l, fail_at, -EIO);
            for (;;) {
                uint64_t from = next;
                for (uint64_t n = 1 + sim_random(x.w, 20); n > 0; n--, next++)
                    add(&x, next, 1, next * 11 % 600);
                if (run(&x))
                    break;
                synced = next - 1;
                (void)from;
            }
            sim_kill(x.w, x.l, true);
            world_close(&x);
            sim_start(x.w, x.l);
        }
        world_done(&x);
    }
}

static void test_prepare(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, 1);
    assert_int_equal(wal_prepare(&x.o, "new-00000000000000aa"), 0);
    sim_disk_limit(x.w, x.l, SEGMENT + 100);
    assert_int_equal(wal_prepare(&x.o, "new-00000000000000ab"), -ENOSPC);
    assert_int_equal(world_open(&x), 0);
    assert_int_equal(x.spares.n, 1);
    assert_string_equal(x.spares.names[0], "new-00000000000000aa");
    write_batches(&x, 1, 10); /* lives on the spare */
    assert_int_equal(x.spares.n, 0);
    for (uint64_t i = 11; i <= 300; i++)
        add(&x, i, 1, 100);
    assert_int_equal(run(&x), -ENOSPC);
    world_done(&x);
}

/* ---- term and vote ---- */

static void test_meta(void **state)
{
    (void)state;
    struct world x;
    struct meta m;
    world_init(&x, 1);
    assert_int_equal(meta_open(x.fs, "/d", 7, 3, 1, &m, x.why), -ENOENT);
    const struct meta first = {.cluster_id = 7, .id = 3, .term = 1};
    assert_int_equal(meta_create(x.fs, "/d", &first, &m), 0);
    for (uint64_t term = 2; term < 8; term++)
        assert_int_equal(meta_save(&m, term, term * 10), 0);
    meta_close(&m);
    assert_int_equal(meta_open(x.fs, "/d", 7, 3, 1, &m, x.why), 0);
    assert_int_equal(m.term, 7);
    assert_int_equal(m.voted_for, 70);
    meta_close(&m);
    assert_int_equal(meta_open(x.fs, "/d", 7, 4, 1, &m, x.why), -EINVAL);
    assert_int_equal(meta_open(x.fs, "/d", 8, 3, 1, &m, x.why), -EINVAL);
    world_done(&x);
}

static void spoil(struct world *x, uint64_t off)
{
    struct file *f;
    assert_int_equal(fs_open(x->fs, "/d/meta", FS_WRITE, &f), 0);
    assert_int_equal(file_pwrite(f, "!", 1, off), 1);
    file_close(f);
}

/* Either slot is enough for the newest vote; the one that was good is not the first to be written at the next start. */
static void test_meta_damage(void **state)
{
    (void)state;
    struct world x;
    struct meta m;
    world_init(&x, 1);
    const struct meta first = {.cluster_id = 7, .id = 3, .term = 1, .incarnation = 1, .runs = {11}};
    assert_int_equal(meta_create(x.fs, "/d", &first, &m), 0);
    assert_int_equal(meta_save(&m, 2, 3), 0);
    assert_int_equal(meta_save(&m, 3, 4), 0);
    meta_close(&m);
    for (uint64_t slot = 0; slot < 2; slot++) {
        spoil(&x, slot * META_SLOT + 40);
        sim_disk_fail(x.w, x.l, 5, -EIO); /* after open, two reads and the first write: its sync */
        assert_int_equal(meta_open(x.fs, "/d", 7, 3, 12 + slot, &m, x.why), -EIO);
        assert_int_equal(meta_open(x.fs, "/d", 7, 3, 12 + slot, &m, x.why), 0);
        assert_int_equal(m.term, 3);
        assert_int_equal(m.voted_for, 4);
        assert_int_equal(m.runs[0], 12 + slot);
        meta_close(&m);
    }
    spoil(&x, 40);
    spoil(&x, META_SLOT + 40);
    assert_int_equal(meta_open(x.fs, "/d", 7, 3, 1, &m, x.why), -EBADMSG);
    assert_non_null(strstr(x.why, "damaged"));
    world_done(&x);
}

static void test_meta_starts(void **state)
{
    (void)state;
    struct world x;
    struct meta m;
    world_init(&x, 1);
    const struct meta first = {.cluster_id = 7, .id = 3, .term = 1, .incarnation = 1, .runs = {100}};
    assert_int_equal(meta_create(x.fs, "/d", &first, &m), 0);
    meta_close(&m);
    for (uint64_t i = 2; i < 12; i++) {
        assert_int_equal(meta_open(x.fs, "/d", 7, 3, 99 + i, &m, x.why), 0);
        assert_int_equal(m.incarnation, i);
        for (uint64_t j = 0; j < META_RUNS; j++)
            assert_int_equal(m.runs[j], j < i ? 99 + i - j : 0);
        if (i == 11)
            assert_int_equal(meta_refuse(&m, 2), 0);
        meta_close(&m);
    }
    assert_int_equal(meta_open(x.fs, "/d", 7, 3, 1, &m, x.why), -ESTALE);
    assert_non_null(strstr(x.why, "member 2 refused"));
    world_done(&x);
}

/* ---- snapshots ---- */

struct frozen {
    size_t n;
    int fail;
};

static int write_state(void *frozen, struct raft_sink *sink)
{
    struct frozen *f = frozen;
    char b[1000];
    for (size_t i = 0; i < f->n; i++) {
        fill(b, sizeof(b), i, i * i);
        int err = sink->write(sink, b, sizeof(b));
        if (err)
            return err;
    }
    return f->fail;
}

static void read_state(struct world *x, uint64_t index, size_t n)
{
    char path[SNAP_PATH_MAX], b[1000], want[1000];
    struct snap_reader *r;
    snap_path(path, "/d", index);
    assert_int_equal(snap_open(x->fs, path, &r), 0);
    assert_int_equal(r->info.index, index);
    assert_int_equal(r->info.term, 5);
    assert_int_equal(r->info.conf_n, 4);
    for (size_t i = 0; i < n; i++) {
        fill(want, sizeof(want), i, i * i);
        assert_int_equal(r->source.read(&r->source, b, 300), 0);
        assert_int_equal(r->source.read(&r->source, b + 300, 700), 0);
        assert_memory_equal(b, want, sizeof(b));
    }
    assert_int_equal(r->source.read(&r->source, b, 1), -ENODATA);
    snap_close(r);
}

static int take(struct world *x, uint64_t index, size_t n, bool cancelled, int fail)
{
    struct snap_info info = {.cluster_id = 7, .index = index, .term = 5, .conf_index = 1, .conf = "conf", .conf_n = 4};
    struct frozen f = {n, fail};
    atomic_bool cancel = cancelled;
    return snap_write(x->fs, "/d", &info, write_state, &f, &cancel);
}

static void test_snapshot(void **state)
{
    (void)state;
    struct world x;
    uint64_t index;
    world_init(&x, 1);
    assert_int_equal(snap_find(x.fs, "/d", &index), 0);
    assert_int_equal(index, 0);
    assert_int_equal(take(&x, 100, 1000, false, 0), 0);
    read_state(&x, 100, 1000);
    assert_int_equal(take(&x, 200, 0, false, 0), 0);
    read_state(&x, 200, 0);
    assert_int_equal(take(&x, 300, 1000, true, 0), -ECANCELED);
    assert_int_equal(take(&x, 300, 1000, false, -ENODEV), -ENODEV);
    sim_disk_limit(x.w, x.l, 1000);
    assert_int_equal(take(&x, 300, 1000, false, 0), -ENOSPC);
    assert_int_equal(snap_find(x.fs, "/d", &index), 0);
    assert_int_equal(index, 200); /* the one before the failures, and no other */
    world_done(&x);
}

static void test_snapshot_damage(void **state)
{
    (void)state;
    struct world x;
    struct snap_info info;
    char path[SNAP_PATH_MAX], b;
    struct file *f;
    uint64_t size;
    world_init(&x, 1);
    assert_int_equal(take(&x, 100, 600, false, 0), 0);
    snap_path(path, "/d", 100);
    assert_int_equal(snap_verify(x.fs, path, &info), 0);
    assert_int_equal(fs_open(x.fs, path, FS_READ | FS_WRITE, &f), 0);
    assert_int_equal(file_size(f, &size), 0);
    for (uint64_t off = 0; off < size; off += 1 + size / 200) {
        assert_int_equal(file_pread(f, &b, 1, off), 1);
        char bad = (char)(b ^ 1);
        assert_int_equal(file_pwrite(f, &bad, 1, off), 1);
        assert_int_equal(snap_verify(x.fs, path, &info), -EBADMSG);
        assert_int_equal(file_pwrite(f, &b, 1, off), 1);
    }
    assert_int_equal(file_truncate(f, size - 1), 0);
    assert_int_equal(snap_verify(x.fs, path, &info), -EBADMSG);
    file_close(f);
    world_done(&x);
}

/* ---- frames ---- */

static void test_frames(void **state)
{
    (void)state;
    struct frame f;
    size_t n;
    char head[FRAME_HEAD] = {0};
    put_u32(head, FRAME_APPEND_MAX + 1);
    head[4] = FRAME_APPEND;
    assert_int_equal(frame_parse(slice_of(head, sizeof(head)), &f, &n), -EPROTO); /* guard G9: nothing is allocated */
    put_u32(head, 1000);
    head[4] = FRAME_VOTE;
    assert_int_equal(frame_parse(slice_of(head, sizeof(head)), &f, &n), -EPROTO);
    head[4] = FRAME_TYPES;
    assert_int_equal(frame_parse(slice_of(head, sizeof(head)), &f, &n), -EPROTO);
    const struct append a = {.term = 3, .prev_index = 5, .prev_term = 2, .commit = 4, .n = 2};
    struct blob *b = frame_append_new(&a, 30);
    size_t at = frame_append_data_at(2);
    frame_append_add(b, 0, &at, 3, 1, SLICE("0123456789"));
    frame_append_add(b, 1, &at, 3, 1, SLICE("01234567890123456789"));
    for (size_t cut = 0; cut < b->n; cut++)
        assert_int_equal(frame_parse(slice_of(b->bytes, cut), &f, &n), 0);
    assert_int_equal(frame_parse(blob_slice(b), &f, &n), 1);
    assert_int_equal(n, b->n);
    struct append got;
    assert_int_equal(frame_read_append(&f, &got), 0);
    assert_int_equal(got.n, 2);
    /* Counts and lengths that do not add up. */
    uint32_t bad[] = {3, FRAME_APPEND_ENTRIES + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        put_u32(b->bytes + FRAME_HEAD + 32, bad[i]);
        assert_int_equal(frame_read_append(&f, &got), -EPROTO);
    }
    put_u32(b->bytes + FRAME_HEAD + 32, 2);
    put_u32(b->bytes + FRAME_HEAD + FRAME_APPEND_FIXED + 8, 31);
    assert_int_equal(frame_read_append(&f, &got), -EPROTO);
    blob_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_replay),
        cmocka_unit_test(test_replaced_suffix),
        cmocka_unit_test(test_larger_than_a_segment),
        cmocka_unit_test(test_recycling),
        cmocka_unit_test(test_damage_in_the_middle),
        cmocka_unit_test(test_damaged_header),
        cmocka_unit_test(test_torn_tail),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_missing_last_segment),
        cmocka_unit_test(test_mark_after_reset),
        cmocka_unit_test(test_another_cluster),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_meta),
        cmocka_unit_test(test_meta_damage),
        cmocka_unit_test(test_meta_starts),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_snapshot_damage),
        cmocka_unit_test(test_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

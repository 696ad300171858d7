/* Backup files and the directories made of them: formats, damage of every bit, cuts at every byte, disks that fail. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "loop/sim.h"
#include "raft/offline.h"
#include "store/archive.h"
#include "store/backup.h"

#define HEAD "{\"kind\":\"Pod\",\"apiVersion\":\"v1\","
#define META HEAD "\"metadata\":{\"name\":\"x\","

struct world {
    struct sim *w;
    struct loop *l;
    struct fs *fs;
    struct store *store;
    char why[256];
};

static void put(struct store *s, const char *table, const char *key, uint64_t time_ms, size_t extra)
{
    struct buf b = BUF_INIT(1 << 20), value = BUF_INIT(1 << 20), command = BUF_INIT(1 << 20);
    struct store_result res;
    buf_printf(&value, META "\"labels\":{}},\"data\":\"");
    for (size_t i = 0; i < extra; i++)
        buf_add_char(&value, (char)('a' + i * 7 % 26));
    buf_add_str(&value, "\"}");
    const struct store_op op = {.kind = STORE_PUT,
                                .table = slice_str(table),
                                .key = slice_str(key),
                                .value = buf_slice(&value),
                                .hole = sizeof META - 1,
                                .type_len = sizeof HEAD - 1,
                                .ttl_ms = extra == 1 ? 5000 : 0};
    store_txn_encode(&command,
                     &(struct store_txn){.time_ms = time_ms, .request_id = slice_str(key), .ops = &op, .n = 1});
    store_apply(s, buf_slice(&command), &res);
    assert_int_equal(res.err, 0);
    buf_done(&b);
    buf_done(&value);
    buf_done(&command);
}

static void world_init(struct world *x, uint64_t seed, size_t n, size_t extra)
{
    *x = (struct world){.w = sim_new(seed), .store = store_new()};
    x->l = sim_host(x->w, "a");
    x->fs = loop_fs(x->l);
    assert_int_equal(fs_mkdir(x->fs, "/d"), 0);
    for (size_t i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof key, "ns/%zu", i * 31 % n);
        put(x->store, i % 3 ? "pods" : "configmaps", key, 1000 + i, extra + i % 5);
    }
}

static void world_done(struct world *x)
{
    store_free(x->store);
    sim_free(x->w);
}

static const struct backup_info *info_of(const struct store *s)
{
    static struct backup_info info;
    info = (struct backup_info){.kind = BACKUP_SNAPSHOT,
                                .cluster_id = 7,
                                .index = 99,
                                .term = 3,
                                .revision = store_revision(s),
                                .hash = store_hash(s),
                                .time_ms = store_time_ms(s),
                                .made_ms = 123456,
                                .format = store_format(s)};
    return &info;
}

/* The file as bytes. */
static void encode(struct store *s, struct buf *out)
{
    struct backup_writer w;
    struct store_frozen *frozen = store_freeze(s);
    int rv = 0;
    backup_writer_init(&w, info_of(s), frozen);
    while (!rv) {
        struct buf piece = BUF_INIT(BACKUP_PIECE_MAX); /* no piece is larger than was promised */
        rv = backup_writer_next(&w, &piece);
        assert_true(rv >= 0);
        buf_add_slice(out, buf_slice(&piece));
        buf_done(&piece);
    }
    assert_int_equal(buf_error(out), 0);
    backup_writer_done(&w);
    store_frozen_free(frozen);
}

static void save(struct world *x, const char *path, struct slice bytes)
{
    struct file *f;
    assert_int_equal(fs_open(x->fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &f), 0);
    assert_int_equal(file_pwrite(f, bytes.p, bytes.n, 0), bytes.n);
    file_close(f);
}

static int load(struct world *x, const char *path, struct store *s)
{
    struct backup_reader *r;
    x->why[0] = '\0';
    int err = backup_open(x->fs, path, &r, x->why);
    if (err)
        return err;
    err = store_restore(s, backup_read, r);
    if (!err)
        err = backup_read_end(r);
    if (err)
        backup_explain(r, path, err, x->why);
    backup_close(r);
    return err;
}

static int push_all(struct slice bytes, size_t piece, struct backup_check *c)
{
    int err = 0;
    backup_check_init(c);
    for (; bytes.n && !err; bytes = slice_from(bytes, piece))
        err = backup_check_push(c, slice_of(bytes.p, piece < bytes.n ? piece : bytes.n));
    return err;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 300, 2000};
    for (size_t i = 0; i < 4; i++) {
        struct world x;
        struct buf file = BUF_INIT(64 << 20);
        struct store *s = store_new();
        struct store_summary sum;
        struct backup_reader *r;
        struct backup_check c;
        world_init(&x, i, counts[i], 1000);
        encode(x.store, &file);
        save(&x, "/d/file", buf_slice(&file));
        assert_int_equal(load(&x, "/d/file", s), 0);
        assert_int_equal(store_hash(s), store_hash(x.store));
        assert_int_equal(store_revision(s), store_revision(x.store));
        assert_int_equal(store_bytes(s), store_bytes(x.store));
        assert_int_equal(backup_open(x.fs, "/d/file", &r, x.why), 0);
        assert_int_equal(store_inspect(backup_read, r, &sum, NULL, NULL), 0);
        assert_int_equal(backup_read_end(r), 0);
        assert_int_equal(sum.objects, counts[i]);
        assert_int_equal(sum.events, store_window_events(x.store));
        assert_int_equal(sum.hash, store_hash(x.store));
        backup_close(r);
        for (size_t piece = 1; piece < 100000; piece = piece * 7 + 2) {
            assert_int_equal(push_all(buf_slice(&file), piece, &c), 0);
            assert_true(c.ended);
            assert_int_equal(c.at, file.n);
            assert_int_equal(c.info.revision, sum.revision);
            assert_int_equal(c.info.index, 99);
            assert_int_equal(backup_check_push(&c, SLICE("x")), -EBADMSG);
            backup_check_done(&c);
        }
        /* The same state, written again, is the same file. */
        struct buf again = BUF_INIT(64 << 20);
        encode(s, &again);
        assert_int_equal(again.n, file.n);
        assert_memory_equal(again.p, file.p, file.n);
        buf_done(&again);
        buf_done(&file);
        store_free(s);
        world_done(&x);
    }
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    struct world x;
    struct buf file = BUF_INIT(1 << 20);
    world_init(&x, 1, 4, 10);
    encode(x.store, &file);
    assert_true(file.n < 3000);
    for (size_t bit = 0; bit < file.n * 8; bit++) {
        struct backup_check c;
        file.p[bit / 8] ^= (char)(1 << bit % 8);
        int err = push_all(buf_slice(&file), file.n, &c);
        if (!err && c.ended)
            fail_msg("bit %zu of byte %zu is not noticed", bit % 8, bit / 8);
        backup_check_done(&c);
        if (bit % 5 == 0) { /* reading sees the same; it is slower */
            struct store *s = store_new();
            save(&x, "/d/file", buf_slice(&file));
            assert_int_not_equal(load(&x, "/d/file", s), 0);
            assert_true(x.why[0] != '\0');
            store_free(s);
        }
        file.p[bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_done(&file);
    world_done(&x);
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    struct world x;
    struct buf file = BUF_INIT(1 << 20);
    world_init(&x, 1, 4, 10);
    encode(x.store, &file);
    for (size_t n = 0; n < file.n; n++) {
        struct backup_check c;
        struct store *s = store_new();
        save(&x, "/d/file", slice_of(file.p, n));
        assert_int_equal(load(&x, "/d/file", s), -EBADMSG);
        assert_non_null(strstr(x.why, "cut off"));
        assert_int_equal(push_all(slice_of(file.p, n), 100, &c), 0);
        assert_false(c.ended);
        backup_check_done(&c);
        store_free(s);
    }
    buf_add_char(&file, 'x');
    struct store *s = store_new();
    save(&x, "/d/file", buf_slice(&file));
    assert_int_equal(load(&x, "/d/file", s), -EBADMSG);
    store_free(s);
    buf_done(&file);
    world_done(&x);
}

static void test_newer_versions_are_named(void **state)
{
    (void)state;
    char head[BACKUP_HEAD];
    struct backup_info i = {.kind = BACKUP_SNAPSHOT, .format = STORE_FORMAT + 1}, back;
    backup_head_encode(head, &i);
    assert_int_equal(backup_head_decode(head, &back), -EPROTONOSUPPORT);
    i.format = STORE_FORMAT;
    backup_head_encode(head, &i);
    assert_int_equal(backup_head_decode(head, &back), 0);
    head[8]++;
    assert_int_equal(backup_head_decode(head, &back), -EPROTONOSUPPORT);
}

static void test_rebase(void **state)
{
    (void)state;
    struct world x;
    struct tree_node *root;
    struct store_watch w = {0};
    world_init(&x, 1, 50, 20);
    put(x.store, "pintle/members", "1", 2000, 10);
    uint64_t revision = store_revision(x.store);
    struct store_table *pods = store_table(x.store, SLICE("pods"));
    store_rebase(x.store);
    assert_int_equal(store_revision(x.store), revision + STORE_REBASE_JUMP);
    assert_int_equal(store_compacted(x.store), revision + STORE_REBASE_JUMP);
    assert_int_equal(store_window_events(x.store), 0);
    assert_int_equal(store_window_bytes(x.store), 0);
    assert_null(store_get(store_table(x.store, SLICE("pintle/members")), SLICE("1")));
    assert_non_null(store_get(pods, SLICE("ns/31")));
    assert_int_equal(store_root_at(x.store, pods, revision, &root), -ESTALE);
    assert_int_equal(store_root_at(x.store, pods, revision + 5000, &root), -ESTALE);
    assert_int_equal(store_watch_start(x.store, pods, revision + 5000, &w), -ESTALE);
    put(x.store, "pods", "ns/new", 3000, 10);
    assert_int_equal(store_get(pods, SLICE("ns/new"))->mod_revision, revision + STORE_REBASE_JUMP + 1);
    /* Request ids are new, too: the same one does its work again. */
    put(x.store, "pods", "ns/31", 3000, 10);
    assert_int_equal(store_revision(x.store), revision + STORE_REBASE_JUMP + 2);
    world_done(&x);
}

/* ---- directories ---- */

static int sink_write(void *ctx, const void *p, size_t n)
{
    struct raft_sink *sink = ctx;
    return sink->write(sink, p, n);
}

static int write_state(void *frozen, struct raft_sink *sink)
{
    return store_frozen_write(frozen, sink_write, sink);
}

static int source_read(void *ctx, void *p, size_t n)
{
    struct raft_source *source = ctx;
    return source->read(source, p, n);
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    (void)index;
    return store_restore(ctx, source_read, source);
}

static void apply(void *ctx, uint64_t index, struct slice command)
{
    struct store_result res;
    (void)index;
    store_apply(ctx, command, &res);
}

static const struct raft_dir_visitor visitor = {restore, apply};
static const struct raft_member members[] = {{1, "a:1", MEMBER_VOTER}, {2, "b:1", MEMBER_VOTER}};

static int create(struct world *x, const char *dir)
{
    const struct raft_dir_new o = {
        .cluster_id = 77, .id = 2, .index = 100, .term = 4, .members = members, .n_members = 2};
    struct store_frozen *frozen = store_freeze(x->store);
    int err = raft_dir_create(x->fs, dir, &o, write_state, frozen, x->why);
    store_frozen_free(frozen);
    return err;
}

static void check_dir(struct world *x, const char *dir)
{
    struct raft_dir_info info;
    struct store *s = store_new();
    assert_int_equal(raft_dir_read(x->fs, dir, &visitor, s, &info, x->why), 0);
    assert_int_equal(info.cluster_id, 77);
    assert_int_equal(info.id, 2);
    assert_int_equal(info.snapshot_index, 100);
    assert_int_equal(info.last_index, 100);
    assert_int_equal(info.last_term, 4);
    assert_int_equal(info.n_members, 2);
    assert_string_equal(info.members[1].address, "b:1");
    assert_int_equal(store_hash(s), store_hash(x->store));
    store_free(s);
}

static void test_directories(void **state)
{
    (void)state;
    struct world x;
    struct raft_dir_info info;
    world_init(&x, 1, 50, 20);
    assert_int_equal(create(&x, "/d"), 0);
    check_dir(&x, "/d");
    assert_int_equal(create(&x, "/d"), -ENOTEMPTY);
    assert_non_null(strstr(x.why, "is not empty"));
    assert_int_equal(raft_dir_set_aside(x.fs, "/d", "before-now", x.why), 0);
    assert_int_equal(raft_dir_read(x.fs, "/d", &visitor, x.store, &info, x.why), -ENOENT);
    check_dir(&x, "/d/before-now");
    assert_int_equal(create(&x, "/d"), 0);
    check_dir(&x, "/d");
    world_done(&x);
}

/* A directory that could not be made to the end is no directory a server would take. */
static void test_making_fails_at_any_point(void **state)
{
    (void)state;
    bool made = false;
    for (uint64_t nth = 1; !made; nth++) {
        struct world x;
        struct raft_dir_info info;
        struct store *s = store_new();
        world_init(&x, nth, 50, 20);
        sim_disk_fail(x.w, x.l, nth, nth % 2 ? -EIO : -ENOSPC);
        int err = create(&x, "/d");
        sim_disk_fail(x.w, x.l, 0, 0);
        made = !err;
        assert_true(nth < 200);
        if (made)
            check_dir(&x, "/d");
        else if (raft_dir_read(x.fs, "/d", &visitor, s, &info, x.why) == 0)
            assert_int_equal(store_hash(s), store_hash(x.store)); /* only the very last sync failed */
        store_free(s);
        world_done(&x);
    }
}

/* ---- archives ---- */

enum { CHANGES = 12 };

/* A base at revision 4 and a segment of CHANGES records behind it; where: the state's hash after each. */
static void make_archive(struct world *x, struct buf *segment, uint64_t hashes[CHANGES + 1])
{
    struct buf base = BUF_INIT(1 << 20), records = BUF_INIT(1 << 20), command = BUF_INIT(1 << 20);
    char head[BACKUP_HEAD];
    assert_int_equal(fs_mkdir(x->fs, "/d/1"), 0);
    encode(x->store, &base);
    save(x, "/d/1/base-0000000000000004-20261121T080000Z-0000000000000063", buf_slice(&base));
    struct backup_info info = *info_of(x->store);
    info.kind = BACKUP_SEGMENT;
    backup_head_encode(head, &info);
    buf_add(segment, head, sizeof head);
    hashes[0] = store_hash(x->store);
    for (uint64_t i = 1; i <= CHANGES; i++) {
        char key[32], record[SHIP_RECORD_HEAD];
        struct store_result res;
        snprintf(key, sizeof key, "ns/later-%lu", i);
        const struct store_op op = {.kind = STORE_PUT,
                                    .table = SLICE("pods"),
                                    .key = slice_str(key),
                                    .value = SLICE(META "\"labels\":{}}}"),
                                    .hole = sizeof META - 1,
                                    .type_len = sizeof HEAD - 1};
        buf_clear(&command);
        store_txn_encode(&command, &(struct store_txn){.time_ms = 10000 + 1000 * i, .ops = &op, .n = 1});
        store_apply(x->store, buf_slice(&command), &res);
        hashes[i] = store_hash(x->store);
        ship_record_encode(record,
                           &(struct ship_record){.index = 99 + 2 * i, /* between: entries that are no commands */
                                                 .prev = 99 + 2 * (i - 1),
                                                 .revision = store_revision(x->store),
                                                 .hash = hashes[i],
                                                 .time_ms = store_time_ms(x->store),
                                                 .command = buf_slice(&command)});
        buf_clear(&records);
        buf_add(&records, record, sizeof record);
        buf_add_slice(&records, buf_slice(&command));
        block_pack(segment, buf_slice(&records)); /* one flush each */
    }
    buf_done(&base);
    buf_done(&records);
    buf_done(&command);
}

static const char segment_path[] = "/d/1/segment-0000000000000004-20261121T080000Z-0000000000000063";

static int restore_to(struct world *x, uint64_t revision, uint64_t time_ms, struct archive_point *p, uint64_t *ret_hash)
{
    struct archive a;
    struct store *s = store_new();
    const struct archive_target t = {revision, time_ms};
    assert_int_equal(archive_open(x->fs, "/d/1", &a, x->why), 0);
    int err = archive_restore(&a, &t, s, p, x->why);
    *ret_hash = store_hash(s);
    archive_done(&a);
    store_free(s);
    return err;
}

static void test_archive_to_any_moment(void **state)
{
    (void)state;
    struct world x;
    struct buf segment = BUF_INIT(1 << 20);
    uint64_t hashes[CHANGES + 1] = {0}, hash = 0;
    struct archive_point p = {0};
    world_init(&x, 1, 4, 10);
    make_archive(&x, &segment, hashes);
    save(&x, segment_path, buf_slice(&segment));
    for (uint64_t i = 0; i <= CHANGES; i++) {
        assert_int_equal(restore_to(&x, 4 + i, UINT64_MAX, &p, &hash), 0);
        assert_int_equal(hash, hashes[i]);
        assert_int_equal(p.revision, 4 + i);
        assert_int_equal(p.first_after, i < CHANGES ? 5 + i : 0);
        assert_int_equal(restore_to(&x, UINT64_MAX, 10500 + 1000 * i, &p, &hash), 0);
        assert_int_equal(hash, hashes[i]);
    }
    assert_int_equal(restore_to(&x, 3, UINT64_MAX, &p, &hash), -ENOENT);
    assert_int_equal(restore_to(&x, UINT64_MAX, 900, &p, &hash), -ENOENT);
    buf_done(&segment);
    world_done(&x);
}

static void test_archive_cut_anywhere(void **state)
{
    (void)state;
    struct world x;
    struct buf segment = BUF_INIT(1 << 20);
    uint64_t hashes[CHANGES + 1], hash;
    struct archive_point p;
    world_init(&x, 1, 4, 10);
    make_archive(&x, &segment, hashes);
    for (size_t n = BACKUP_HEAD; n < segment.n; n++) {
        char zeros[512] = {0};
        struct buf cut = BUF_INIT(1 << 20);
        buf_add(&cut, segment.p, n);
        save(&x, segment_path, buf_slice(&cut));
        assert_int_equal(restore_to(&x, UINT64_MAX, UINT64_MAX, &p, &hash), 0);
        assert_int_equal(hash, hashes[p.revision - 4]);
        if (n % 16 == 0) { /* what a crash leaves where a block was to be: its length, but not its bytes */
            buf_add(&cut, zeros, sizeof zeros);
            save(&x, segment_path, buf_slice(&cut));
            int err = restore_to(&x, UINT64_MAX, UINT64_MAX, &p, &hash);
            assert_true(err == 0 || err == -EBADMSG);
            assert_int_equal(hash, hashes[p.revision - 4]);
        }
        buf_done(&cut);
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): the loop has set it, an archive has more than a head */
    assert_int_equal(p.revision, 4 + CHANGES - 1);
    buf_done(&segment);
    world_done(&x);
}

/* No damage makes a state that never was; all but what looks like a tail that was being written is named. */
static void test_archive_damage(void **state)
{
    (void)state;
    struct world x;
    struct buf segment = BUF_INIT(1 << 20);
    uint64_t hashes[CHANGES + 1], hash;
    size_t silent = 0, named = 0;
    world_init(&x, 1, 4, 10);
    make_archive(&x, &segment, hashes);
    for (size_t bit = 0; bit < segment.n * 8; bit += 3) {
        struct archive_point p = {0};
        segment.p[bit / 8] ^= (char)(1 << bit % 8);
        save(&x, segment_path, buf_slice(&segment));
        int err = restore_to(&x, UINT64_MAX, UINT64_MAX, &p, &hash);
        assert_true(p.revision >= 4 && p.revision <= 4 + CHANGES);
        assert_int_equal(hash, hashes[p.revision - 4]);
        assert_true(!err || x.why[0]);
        named += err != 0;
        silent += !err;
        segment.p[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(named > 20 * silent);
    /* A record that is missing is a gap, and is said to be one. */
    struct archive_point p;
    struct block_head h;
    assert_int_equal(block_head_decode(segment.p + BACKUP_HEAD, &h), 0);
    size_t first = BLOCK_HEAD + h.stored;
    memmove(segment.p + BACKUP_HEAD, segment.p + BACKUP_HEAD + first, segment.n - BACKUP_HEAD - first);
    segment.n -= first;
    save(&x, segment_path, buf_slice(&segment));
    assert_int_equal(restore_to(&x, UINT64_MAX, UINT64_MAX, &p, &hash), -EBADMSG);
    assert_true(p.gap);
    assert_int_equal(hash, hashes[0]);
    buf_done(&segment);
    world_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_newer_versions_are_named),
        cmocka_unit_test(test_rebase),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_making_fails_at_any_point),
        cmocka_unit_test(test_archive_to_any_moment),
        cmocka_unit_test(test_archive_cut_anywhere),
        cmocka_unit_test(test_archive_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

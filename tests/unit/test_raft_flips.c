/* Every byte of a replica's data directory is damaged in turn, and every file is lost in turn. The replica must then
 * open with the very same promises (term, vote, log, snapshot, state), or refuse, and say which file and what to do. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "loop/sim.h"
#include "raft/node_impl.h"
#include "raft/segment.h"

enum { FILES_MAX = 64, SEGMENT_BYTES = 16 << 10, ZERO_STEP = 97 };

/* ---- a machine: a hash of what was applied, in a snapshot of a few blocks ---- */

struct world {
    struct sim *w;
    struct loop *l;
    struct fs *fs;
    uint64_t hash;
    size_t snapshots;
    char why[256];
};

static void apply(void *ctx, uint64_t index, struct slice command, struct raft_proposal *p)
{
    struct world *x = ctx;
    (void)p;
    x->hash = hash64(command, x->hash + index);
}

static void *snapshot_take(void *ctx)
{
    struct world *x = ctx;
    x->snapshots++;
    return mem_dup(&x->hash, sizeof(x->hash));
}

static int snapshot_write(void *frozen, struct raft_sink *sink)
{
    uint64_t v = *(uint64_t *)frozen;
    int err = 0;
    for (int i = 0; i < 100 && !err; i++, v = v * 6364136223846793005U + 1) /* does not compress */
        err = sink->write(sink, &v, sizeof(v));
    return err;
}

static void snapshot_free(void *ctx, void *frozen)
{
    (void)ctx;
    mem_free(frozen);
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    struct world *x = ctx;
    uint64_t v = 0;
    char end;
    (void)index;
    int err = source->read(source, &x->hash, sizeof(x->hash));
    for (int i = 1; i < 100 && !err; i++)
        err = source->read(source, &v, sizeof(v));
    if (err)
        return err == -ENODATA ? -EBADMSG : err;
    err = source->read(source, &end, 1);
    return err == -ENODATA ? 0 : -EBADMSG;
}

static void role(void *ctx, bool is_leader, uint64_t term, uint64_t leader_id)
{
    (void)ctx, (void)is_leader, (void)term, (void)leader_id;
}

static void failed(void *ctx, int err, const char *reason)
{
    (void)ctx, (void)err;
    fail_msg("%s", reason);
}

static const struct raft_machine machine = {
    .apply = apply,
    .snapshot_take = snapshot_take,
    .snapshot_write = snapshot_write,
    .snapshot_free = snapshot_free,
    .restore = restore,
    .role = role,
    .failed = failed,
};

static int open_node(struct world *x, struct raft_node **ret)
{
    static const struct raft_member members[1] = {{.id = 1, .address = "n1:7443", .role = MEMBER_VOTER}};
    const struct raft_options o = {.dir = "/d",
                                   .id = 1,
                                   .cluster_id = 77,
                                   .members = members,
                                   .n_members = 1,
                                   .listen = "n1:7443",
                                   .segment_bytes = SEGMENT_BYTES,
                                   .snapshot_every = 150};
    x->hash = 0;
    x->why[0] = '\0';
    return raft_node_open(x->l, &o, &machine, x, ret, x->why);
}

/* ---- what a replica promises ---- */

static uint64_t add(uint64_t hash, uint64_t v)
{
    return hash64(slice_of(&v, sizeof(v)), hash);
}

/* What the log holds that the snapshot covers does not matter. */
static uint64_t promises(const struct world *x, const struct raft_node *n)
{
    uint64_t h = add(add(add(x->hash, n->meta.term), n->meta.voted_for), n->snap_index);
    h = add(add(h, n->snap_term), entries_last(&n->log));
    for (uint64_t i = n->snap_index + 1; i <= entries_last(&n->log); i++) {
        const struct entry *e = entries_get(&n->log, i);
        h = hash64(slice_of(e->chunk.p, e->chunk.n), add(add(h, e->term), e->type));
    }
    return h;
}

/* ---- the directory ---- */

struct image {
    char names[FILES_MAX][64];
    struct slice bytes[FILES_MAX];
    size_t n;
};

static struct file *open_in(struct fs *fs, const char *name, unsigned flags)
{
    char path[128];
    struct file *f;
    snprintf(path, sizeof(path), "/d/%s", name);
    assert_int_equal(fs_open(fs, path, flags, &f), 0);
    return f;
}

static void note_name(void *ctx, const char *name)
{
    struct image *i = ctx;
    assert_true(i->n < FILES_MAX);
    snprintf(i->names[i->n++], sizeof(i->names[0]), "%s", name);
}

static void unlink_all(struct fs *fs)
{
    struct image now = {.n = 0};
    char path[128];
    assert_int_equal(fs_list(fs, "/d", note_name, &now), 0);
    for (size_t i = 0; i < now.n; i++) {
        snprintf(path, sizeof(path), "/d/%s", now.names[i]);
        assert_int_equal(fs_unlink(fs, path), 0);
    }
}

static void load_image(struct fs *fs, struct image *ret)
{
    ret->n = 0;
    assert_int_equal(fs_list(fs, "/d", note_name, ret), 0);
    for (size_t i = 0; i < ret->n; i++) {
        struct file *f = open_in(fs, ret->names[i], FS_READ);
        uint64_t size;
        assert_int_equal(file_size(f, &size), 0);
        char *p = mem_alloc(size + 1);
        assert_int_equal(file_pread(f, p, size, 0), (ssize_t)size);
        ret->bytes[i] = slice_of(p, size);
        file_close(f);
    }
}

/* Puts the image back, without the file `lost` (SIZE_MAX: none). */
static void put_image(struct fs *fs, const struct image *im, size_t lost)
{
    unlink_all(fs);
    for (size_t i = 0; i < im->n; i++) {
        if (i == lost)
            continue;
        struct file *f = open_in(fs, im->names[i], FS_READ | FS_WRITE | FS_CREATE);
        if (im->bytes[i].n)
            assert_int_equal(file_pwrite(f, im->bytes[i].p, im->bytes[i].n, 0), (ssize_t)im->bytes[i].n);
        assert_int_equal(file_sync(f), 0);
        file_close(f);
    }
    assert_int_equal(fs_sync_dir(fs, "/d"), 0);
}

/* ---- making one ---- */

static void proposed(struct raft_proposal *p, int err)
{
    assert_int_equal(err, 0);
    mem_free(p);
}

/* A directory with a snapshot, several segments behind it, a used spare, and a vote. */
static void make_image(struct world *x, struct image *ret)
{
    struct raft_node *n;
    char bytes[500];
    *x = (struct world){.w = sim_new(3)};
    x->l = sim_host(x->w, "n1");
    x->fs = loop_fs(x->l);
    assert_int_equal(open_node(x, &n), 0);
    assert_int_equal(raft_node_start(n), 0);
    sim_run_ms(x->w, 1000);
    for (uint64_t i = 0; i < 320; i++) {
        struct raft_proposal *p = mem_new(struct raft_proposal);
        p->done = proposed;
        memset(bytes, (int)(i * 7 + 1), sizeof(bytes));
        raft_node_propose(n, blob_copy(slice_of(bytes, 1 + i * 13 % sizeof(bytes))), p);
        sim_run_ms(x->w, i % 3 ? 0 : 5);
    }
    sim_run_ms(x->w, 1000);
    assert_true(x->snapshots > 0);
    raft_node_free(n);
    sim_run_ms(x->w, 100);
    struct meta m; /* a cluster of one elects itself without a vote */
    assert_int_equal(meta_open(x->fs, "/d", 77, 1, 5, &m, x->why), 0);
    assert_int_equal(meta_save(&m, m.term + 1, 1), 0);
    meta_close(&m);
    load_image(x->fs, ret);
}

static void free_image(struct world *x, struct image *im)
{
    for (size_t i = 0; i < im->n; i++)
        mem_free((char *)im->bytes[i].p);
    sim_free(x->w);
}

/* ---- damage ---- */

struct count {
    size_t same, refused;
};

/* Opens what is there. Either the same promises, or a refusal that names `name`. */
static void expect_same_or_refusal(struct world *x, uint64_t want, const char *name, struct count *c, const char *what)
{
    struct raft_node *n;
    int err = open_node(x, &n);
    if (err == 0) {
        if (promises(x, n) != want)
            fail_msg("%s: opened with other promises", what);
        raft_node_free(n);
        c->same++;
        return;
    }
    if (err != -EBADMSG || !strstr(x->why, name) || !strstr(x->why, "wipe the directory"))
        fail_msg("%s: %d \"%s\"", what, err, x->why);
    c->refused++;
}

static uint64_t baseline(struct world *x, const struct image *im)
{
    struct raft_node *n;
    put_image(x->fs, im, SIZE_MAX);
    assert_int_equal(open_node(x, &n), 0);
    assert_true(n->snap_index > 0 && n->log.n > 0 && n->meta.voted_for == 1 && n->meta.term > 1);
    uint64_t want = promises(x, n);
    raft_node_free(n);
    return want;
}

static void flip(struct world *x, const struct image *im, size_t file, size_t at, unsigned bit)
{
    struct file *f = open_in(x->fs, im->names[file], FS_READ | FS_WRITE);
    char b = (char)(im->bytes[file].p[at] ^ (1 << bit));
    assert_int_equal(file_pwrite(f, &b, 1, at), 1);
    file_close(f);
}

/* Zeros between used bytes are sampled: they make most of a directory. */
static size_t next_offset(struct slice s, size_t at)
{
    static const char zeros[64] = {0};
    bool idle = at + 32 < s.n && at >= 32 && memcmp(s.p + at - 32, zeros, 64) == 0;
    return at + (idle ? ZERO_STEP : 1);
}

static void test_flipped_bits(void **state)
{
    (void)state;
    struct world x;
    struct image im;
    make_image(&x, &im);
    uint64_t want = baseline(&x, &im), tried = 0;
    for (size_t i = 0; i < im.n; i++) {
        struct count c = {0};
        for (size_t at = 0; at < im.bytes[i].n; at = next_offset(im.bytes[i], at)) {
            char what[160];
            unsigned bit = (unsigned)(tried++ * 5 % 8);
            snprintf(what, sizeof(what), "%s, bit %u of byte %zu", im.names[i], bit, at);
            put_image(x.fs, &im, SIZE_MAX);
            flip(&x, &im, i, at, bit);
            expect_same_or_refusal(&x, want, im.names[i], &c, what);
        }
        print_message("%-24s %6zu bytes: %5zu the same, %5zu refused\n", im.names[i], im.bytes[i].n, c.same, c.refused);
    }
    print_message("%llu flips\n", (unsigned long long)tried);
    free_image(&x, &im);
}

static void test_lost_files(void **state)
{
    (void)state;
    struct world x;
    struct image im;
    make_image(&x, &im);
    uint64_t want = baseline(&x, &im);
    for (size_t i = 0; i < im.n; i++) {
        struct count c = {0};
        put_image(x.fs, &im, i);
        expect_same_or_refusal(&x, want, "/d", &c, im.names[i]);
        bool needed = strcmp(im.names[i], "meta") == 0 || strncmp(im.names[i], "wal-", 4) == 0 ||
                      strncmp(im.names[i], "snapshot-", 9) == 0;
        if (!needed && c.refused)
            fail_msg("%s lost: %s", im.names[i], x.why);
    }
    free_image(&x, &im);
}

/* Files that end too early, by any number of bytes. */
static void test_cut_files(void **state)
{
    (void)state;
    struct world x;
    struct image im;
    make_image(&x, &im);
    uint64_t want = baseline(&x, &im);
    for (size_t i = 0; i < im.n; i++)
        for (size_t n = 0; n < im.bytes[i].n; n += 1 + im.bytes[i].n / 50) {
            struct count c = {0};
            char what[160];
            snprintf(what, sizeof(what), "%s, cut to %zu bytes", im.names[i], n);
            put_image(x.fs, &im, SIZE_MAX);
            struct file *f = open_in(x.fs, im.names[i], FS_READ | FS_WRITE);
            assert_int_equal(file_truncate(f, n), 0);
            file_close(f);
            expect_same_or_refusal(&x, want, im.names[i], &c, what);
        }
    free_image(&x, &im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_lost_files),
        cmocka_unit_test(test_cut_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

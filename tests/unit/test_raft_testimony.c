/* Data directories that lost what they promised: set back, wiped, copied. The others must notice, whatever happened
 * meanwhile, and must never refuse an honest one. */
#include "raft_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "raft/testimony.h"

/* ---- the testimony alone ---- */

static bool judge(struct testimony *w, uint64_t incarnation, uint64_t term, uint64_t lineage)
{
    uint64_t runs[FRAME_RUNS] = {0};
    struct message m = {.type = FRAME_PING, .term = term, .incarnation = incarnation};
    for (uint64_t i = 0; i < FRAME_RUNS && i < incarnation; i++)
        runs[i] = lineage * 1000 + incarnation - i;
    frame_put_runs(&m, runs);
    return testimony_judge(w, 2, &m);
}

static void test_judging(void **state)
{
    (void)state;
    struct testimony w = {.n = 0};
    assert_true(judge(&w, 3, 5, 1));
    assert_true(w.changed);
    w.changed = false;
    assert_true(judge(&w, 3, 5, 1)); /* the same process, on a new connection */
    assert_false(w.changed);
    assert_true(judge(&w, 4, 5, 1));
    assert_true(judge(&w, 6, 5, 1)); /* a start we did not hear of */
    assert_false(judge(&w, 5, 5, 1));
    assert_false(judge(&w, 6, 5, 2)); /* as often started, but not the same */
    assert_false(judge(&w, 7, 5, 2)); /* caught up by starting again and again */
    assert_false(judge(&w, 9, 5, 2));
    assert_true(judge(&w, 0, 0, 0)); /* does not tell */
    assert_false(judge(&w, 1, 5, 2));
    assert_true(judge(&w, 30, 5, 2)); /* nothing to compare with: the number must do */
    testimony_term(&w, 2, 9);
    testimony_term(&w, 2, 7);
    assert_false(judge(&w, 30, 8, 2));
    assert_false(judge(&w, 31, 8, 2)); /* voted in term 9, and does not know it */
    assert_true(judge(&w, 31, 9, 2));
    assert_null(testimony_find(&w, 3));
    assert_int_equal(testimony_find(&w, 2)->incarnation, 31);
}

static void test_file(void **state)
{
    (void)state;
    struct sim *s = sim_new(1);
    struct loop *l = sim_host(s, "n1");
    struct fs *fs = loop_fs(l);
    struct testimony w = {.n = 0}, back;
    struct file *f;
    char byte;
    assert_int_equal(fs_mkdir(fs, "/d"), 0);
    testimony_load(fs, "/d", &back);
    assert_int_equal(back.n, 0);
    for (uint64_t i = 1; i <= TESTIMONY_MAX + 3; i++) {
        const struct message m = {.incarnation = i, .seq = i * 7, .term = 3};
        assert_true(testimony_judge(&w, i, &m));
    }
    assert_null(testimony_find(&w, 3)); /* the oldest members are forgotten */
    assert_int_equal(testimony_save(fs, "/d", &w), 0);
    testimony_load(fs, "/d", &back);
    assert_int_equal(back.n, TESTIMONY_MAX);
    assert_memory_equal(back.at, w.at, sizeof(w.at));
    uint64_t size;
    assert_int_equal(fs_open(fs, "/d/peers", FS_READ | FS_WRITE, &f), 0);
    assert_int_equal(file_size(f, &size), 0);
    for (uint64_t bit = 0; bit < size * 8; bit++) { /* damage makes it forget, never remember wrongly */
        assert_int_equal(file_pread(f, &byte, 1, bit / 8), 1);
        byte = (char)(byte ^ (1 << bit % 8));
        assert_int_equal(file_pwrite(f, &byte, 1, bit / 8), 1);
        testimony_load(fs, "/d", &back);
        assert_int_equal(back.n, 0);
        byte = (char)(byte ^ (1 << bit % 8));
        assert_int_equal(file_pwrite(f, &byte, 1, bit / 8), 1);
    }
    file_close(f);
    sim_free(s);
}

/* ---- directories of a cluster ---- */

enum { FILES_MAX = 64 };

struct copy {
    struct fs *fs;
    char *names[FILES_MAX];
    struct slice bytes[FILES_MAX];
    size_t n;
};

static const char *dir_of(const struct cluster *c)
{
    return c->options.dir;
}

static struct file *open_in(const struct cluster *c, struct fs *fs, const char *name, unsigned flags)
{
    char path[512];
    struct file *f;
    snprintf(path, sizeof(path), "%s/%s", dir_of(c), name);
    assert_int_equal(fs_open(fs, path, flags, &f), 0);
    return f;
}

static void note_name(void *ctx, const char *name)
{
    struct copy *x = ctx;
    assert_true(x->n < FILES_MAX);
    x->names[x->n++] = mem_dup(name, strlen(name) + 1);
}

static void copy_dir(struct cluster *c, size_t i, struct copy *ret)
{
    *ret = (struct copy){.fs = loop_fs(c->nodes[i].l)};
    assert_int_equal(fs_list(ret->fs, dir_of(c), note_name, ret), 0);
    for (size_t k = 0; k < ret->n; k++) {
        struct file *f = open_in(c, ret->fs, ret->names[k], FS_READ);
        uint64_t size;
        assert_int_equal(file_size(f, &size), 0);
        char *bytes = mem_alloc(size + 1);
        assert_int_equal(file_pread(f, bytes, size, 0), (ssize_t)size);
        ret->bytes[k] = slice_of(bytes, size);
        file_close(f);
    }
}

static void wipe(struct cluster *c, size_t i)
{
    struct copy now = {.fs = loop_fs(c->nodes[i].l)};
    char path[512];
    assert_int_equal(fs_list(now.fs, dir_of(c), note_name, &now), 0);
    for (size_t k = 0; k < now.n; k++) {
        snprintf(path, sizeof(path), "%s/%s", dir_of(c), now.names[k]);
        assert_int_equal(fs_unlink(now.fs, path), 0);
        mem_free(now.names[k]);
    }
}

static void put_back(struct cluster *c, size_t i, const struct copy *x)
{
    struct fs *fs = loop_fs(c->nodes[i].l);
    wipe(c, i);
    for (size_t k = 0; k < x->n; k++) {
        struct file *f = open_in(c, fs, x->names[k], FS_READ | FS_WRITE | FS_CREATE);
        assert_int_equal(file_pwrite(f, x->bytes[k].p, x->bytes[k].n, 0), (ssize_t)x->bytes[k].n);
        assert_int_equal(file_sync(f), 0);
        file_close(f);
    }
    assert_int_equal(fs_sync_dir(fs, dir_of(c)), 0);
}

static void free_copy(struct copy *x)
{
    for (size_t k = 0; k < x->n; k++) {
        mem_free(x->names[k]);
        mem_free((char *)x->bytes[k].p);
    }
}

static void stop(struct cluster *c, size_t i)
{
    cluster_kill(c, i, false);
    sim_start(c->w, c->nodes[i].l);
}

/* Starts i and waits until it was refused; then it stays so, even if it starts again and again. */
static void expect_refusal(struct cluster *c, size_t i)
{
    char why[256];
    c->expect_failures = true;
    cluster_start(c, i);
    for (int ms = 0; ms < 5000 && !c->nodes[i].failed; ms++)
        sim_run_ms(c->w, 1);
    assert_true(c->nodes[i].failed);
    for (int again = 0; again < 3; again++) {
        stop(c, i);
        assert_int_equal(cluster_try_start(c, i, why), -ESTALE);
        assert_non_null(strstr(why, "join as a new member"));
        c->nodes[i].n = NULL;
    }
}

/* The others go on without it. */
static void expect_writes(struct cluster *c)
{
    assert_int_equal(cluster_write(c, cluster_leader(c), 64), 0);
}

static void begin(struct cluster *c, uint64_t seed)
{
    cluster_init(c, seed, 3);
    for (size_t i = 0; i < 3; i++)
        cluster_start(c, i);
    for (int i = 0; i < 10; i++)
        assert_int_equal(cluster_write(c, cluster_leader(c), 64), 0);
    sim_run_ms(c->w, 200);
}

/* The end of a test: what was refused is not to be settled with. */
static void finish(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++)
        cluster_kill(c, i, false);
    cluster_done(c);
}

static void test_wiped(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster c;
        begin(&c, seed);
        size_t i = (cluster_leader(&c) + seed % 2) % 3; /* the leader too */
        stop(&c, i);
        expect_writes(&c);
        wipe(&c, i);
        expect_refusal(&c, i);
        expect_writes(&c);
        finish(&c);
    }
}

static void test_set_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct cluster c;
        struct copy old;
        begin(&c, seed);
        size_t i = (cluster_leader(&c) + 1 + seed % 2) % 3;
        stop(&c, i);
        copy_dir(&c, i, &old);
        for (uint64_t starts = 0; starts <= seed % 4; starts++) {
            cluster_start(&c, i);
            sim_run_ms(c.w, 300);
            expect_writes(&c);
            stop(&c, i);
        }
        if (seed % 3 == 0) /* those who saw it were restarted since, and remember */
            for (size_t j = 0; j < 3; j++)
                if (j != i) {
                    sim_run_ms(c.w, 500);
                    stop(&c, j);
                    cluster_start(&c, j);
                }
        expect_writes(&c);
        put_back(&c, i, &old);
        free_copy(&old);
        expect_refusal(&c, i);
        expect_writes(&c);
        finish(&c);
    }
}

/* The tail of the log was cut, all else is as it was: only the leader can know. */
static void test_lost_tail(void **state)
{
    (void)state;
    struct cluster c;
    struct copy old, now;
    begin(&c, 5);
    size_t i = (cluster_leader(&c) + 1) % 3;
    stop(&c, i);
    copy_dir(&c, i, &old);
    cluster_start(&c, i);
    for (int k = 0; k < 5; k++)
        expect_writes(&c);
    sim_run_ms(c.w, 200);
    stop(&c, i);
    copy_dir(&c, i, &now);
    put_back(&c, i, &old);
    struct fs *fs = loop_fs(c.nodes[i].l);
    for (size_t k = 0; k < now.n; k++) {
        if (strcmp(now.names[k], "meta") != 0)
            continue;
        struct file *f = open_in(&c, fs, "meta", FS_READ | FS_WRITE);
        assert_true(file_pwrite(f, now.bytes[k].p, now.bytes[k].n, 0) > 0);
        file_close(f);
    }
    free_copy(&old);
    free_copy(&now);
    expect_refusal(&c, i);
    expect_writes(&c);
    finish(&c);
}

/* Honest replicas, killed and restarted in every way, and a whole cluster set back at once: nobody is refused. */
static void test_honest(void **state)
{
    (void)state;
    struct cluster c;
    struct copy old[3];
    begin(&c, 9);
    for (int round = 0; round < 40; round++) {
        size_t i = sim_random(c.w, 3);
        cluster_kill(&c, i, sim_random(c.w, 2));
        sim_run_ms(c.w, sim_random(c.w, 500));
        cluster_start(&c, i);
        sim_run_ms(c.w, sim_random(c.w, 500));
    }
    expect_writes(&c);
    cluster_settle(&c);
    for (size_t i = 0; i < 3; i++)
        stop(&c, i);
    for (size_t i = 0; i < 3; i++)
        copy_dir(&c, i, &old[i]);
    for (size_t i = 0; i < 3; i++)
        cluster_start(&c, i);
    cluster_leader(&c);
    for (size_t i = 0; i < 3; i++)
        stop(&c, i);
    memset(c.leader_of, 0, sizeof(c.leader_of)); /* terms come again now */
    for (size_t i = 0; i < 3; i++) {
        put_back(&c, i, &old[i]);
        free_copy(&old[i]);
        cluster_start(&c, i);
    }
    cluster_settle(&c);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judging),  cmocka_unit_test(test_file),      cmocka_unit_test(test_wiped),
        cmocka_unit_test(test_set_back), cmocka_unit_test(test_lost_tail), cmocka_unit_test(test_honest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

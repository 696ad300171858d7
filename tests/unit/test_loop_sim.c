/* The simulated world: the scenarios every loop must pass, the faults, and that equal seeds give equal worlds. */
#include "loop_common.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "loop/sim.h"

static struct sim *world;
static struct loop_case the_case;

static int setup(void **state)
{
    world = sim_new(42);
    the_case = (struct loop_case){.l = sim_host(world, "a"), .host = "a", .dir = "/data"};
    assert_int_equal(fs_mkdir(loop_fs(the_case.l), "/data"), 0);
    *state = &the_case;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_free(world);
    return 0;
}

LOOP_CASES(LOOP_CASE_RUN)

static void test_echo(void **state)
{
    loop_case_echo(*state, NULL);
    loop_case_echo(*state, "unix:/run/sock");
}

/* ---- two hosts that talk ---- */

struct end {
    struct stream *s;
    struct buf got;
    int ends, err, connects, connect_err;
};

struct talk {
    struct sim *w;
    struct loop *a, *b;
    struct listener *ls;
    struct end client, server;
};

static void on_data(void *ctx, const char *p, size_t n)
{
    buf_add(&((struct end *)ctx)->got, p, n);
}

static void on_end(void *ctx, int err)
{
    ((struct end *)ctx)->ends++;
    ((struct end *)ctx)->err = err;
}

static const struct stream_handler handler = {.on_data = on_data, .on_end = on_end};

static void on_accept(void *ctx, struct stream *s)
{
    struct talk *t = ctx;
    t->server.s = s;
    stream_handle(s, &handler, &t->server);
}

static void on_connect(void *ctx, int err, struct stream *s)
{
    struct talk *t = ctx;
    t->client.connects++;
    t->client.connect_err = err;
    t->client.s = s;
    if (s)
        stream_handle(s, &handler, &t->client);
}

static void talk_listen(struct talk *t)
{
    assert_int_equal(loop_listen(t->b, "b:7", on_accept, t, &t->ls), 0);
}

static void talk_open(struct talk *t, uint64_t seed)
{
    *t = (struct talk){.w = sim_new(seed)};
    buf_init(&t->client.got, 8 << 20);
    buf_init(&t->server.got, 8 << 20);
    t->a = sim_host(t->w, "a");
    t->b = sim_host(t->w, "b");
    talk_listen(t);
    loop_connect(t->a, "b:7", on_connect, t);
    sim_run_ms(t->w, 10);
    assert_non_null(t->client.s);
    assert_non_null(t->server.s);
}

static void talk_close(struct talk *t)
{
    stream_close(t->client.s);
    stream_close(t->server.s);
    listener_close(t->ls);
    buf_done(&t->client.got);
    buf_done(&t->server.got);
    sim_free(t->w);
}

struct say {
    struct stream *s;
    const char *text;
};

static void say_now(void *arg)
{
    struct say *x = arg;
    struct chunk c = chunk_static(slice_str(x->text));
    stream_write(x->s, &c, 1);
}

static void say(struct talk *t, struct loop *l, struct stream *s, const char *text)
{
    struct say x = {s, text};
    loop_post(l, say_now, &x);
    sim_run_ms(t->w, 1);
}

static void test_latency_and_order(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 1);
    sim_latency(t.w, t.a, t.b, 50000, 60000);
    say(&t, t.a, t.client.s, "one ");
    say(&t, t.a, t.client.s, "two ");
    say(&t, t.a, t.client.s, "three");
    sim_run_ms(t.w, 40);
    assert_int_equal(t.server.got.n, 0);
    sim_run_ms(t.w, 30);
    assert_slice(buf_slice(&t.server.got), "one two three");
    talk_close(&t);
}

static void test_process_death_resets(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 2);
    say(&t, t.b, t.server.s, "bye");
    sim_kill(t.w, t.b, false);
    assert_false(sim_alive(t.w, t.b));
    assert_true(loop_is_dead(t.b));
    sim_run_ms(t.w, 5);
    assert_int_equal(t.client.err, -ECONNRESET);
    assert_int_equal(t.client.ends, 1);
    assert_slice(buf_slice(&t.client.got), "bye");
    assert_int_equal(t.server.ends, 0);
    struct chunk c = chunk_static(SLICE("x"));
    assert_int_equal(stream_write(t.server.s, &c, 1), -EPIPE);
    loop_connect(t.a, "b:7", on_connect, &t);
    stream_close(t.client.s);
    sim_run_ms(t.w, 5);
    assert_int_equal(t.client.connect_err, -ECONNREFUSED);
    talk_close(&t);
}

static void test_machine_death_is_silent(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 3);
    sim_kill(t.w, t.b, true);
    say(&t, t.a, t.client.s, "anybody?");
    loop_connect(t.a, "b:7", on_connect, &t);
    struct stream *first = t.client.s;
    sim_run_ms(t.w, 1900);
    assert_int_equal(t.client.ends, 0);
    assert_int_equal(t.client.connects, 1);
    sim_run_ms(t.w, 400);
    assert_int_equal(t.client.ends, 1);
    assert_int_equal(t.client.err, -ETIMEDOUT);
    assert_int_equal(t.client.connects, 2);
    assert_int_equal(t.client.connect_err, -ETIMEDOUT);
    stream_close(first);
    talk_close(&t);
}

static void test_restart(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 4);
    sim_kill(t.w, t.b, true);
    stream_close(t.server.s);
    listener_close(t.ls);
    t.server.s = NULL;
    sim_run_ms(t.w, 100);
    sim_start(t.w, t.b);
    talk_listen(&t);
    sim_run_ms(t.w, 10);
    assert_int_equal(t.client.err, -ECONNRESET);
    stream_close(t.client.s);
    loop_connect(t.a, "b:7", on_connect, &t);
    sim_run_ms(t.w, 10);
    assert_int_equal(t.client.connect_err, 0);
    say(&t, t.a, t.client.s, "again");
    sim_run_ms(t.w, 5);
    assert_slice(buf_slice(&t.server.got), "again");
    talk_close(&t);
}

static void test_cut_stalls_then_heals(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 5);
    sim_cut(t.w, t.a, t.b, true);
    say(&t, t.a, t.client.s, "patience");
    say(&t, t.b, t.server.s, "hello"); /* the other way is open */
    sim_run_ms(t.w, 1000);
    assert_int_equal(t.server.got.n, 0);
    assert_slice(buf_slice(&t.client.got), "hello");
    sim_cut(t.w, t.a, t.b, false);
    sim_run_ms(t.w, 3000);
    assert_slice(buf_slice(&t.server.got), "patience");
    assert_int_equal(t.client.ends + t.server.ends, 0);
    talk_close(&t);
}

static void test_cut_breaks(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 6);
    sim_cut(t.w, t.a, t.b, true);
    sim_run_ms(t.w, 2100);
    assert_int_equal(t.client.err, -ETIMEDOUT);
    assert_int_equal(t.server.err, -ETIMEDOUT);
    sim_cut(t.w, t.a, t.b, false);
    say(&t, t.a, t.client.s, "too late");
    sim_run_ms(t.w, 100);
    assert_int_equal(t.server.got.n, 0);
    talk_close(&t);
}

struct ticking {
    struct loop_timer t;
    int n;
};

static void count(struct loop_timer *t)
{
    container_of(t, struct ticking, t)->n++;
}

static void test_pause_and_wall_jump(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 7);
    struct ticking x = {.t.cb = count};
    loop_timer_start(t.b, &x.t, 10);
    sim_pause(t.w, t.b, 500);
    say(&t, t.a, t.client.s, "sleep well");
    sim_run_ms(t.w, 490);
    assert_int_equal(x.n, 0);
    assert_int_equal(t.server.got.n, 0);
    sim_run_ms(t.w, 20);
    assert_int_equal(x.n, 1);
    assert_slice(buf_slice(&t.server.got), "sleep well");
    int64_t wall = loop_wall(t.b);
    uint64_t now = loop_now(t.b);
    sim_wall_jump(t.w, t.b, -5000000000LL);
    assert_true(loop_wall(t.b) == wall - 5000000000LL);
    assert_true(loop_now(t.b) == now);
    talk_close(&t);
}

static void hook_ran(struct loop_hook *h)
{
    (void)h;
    fail_msg("a dead host's hook ran");
}

static void work_ran(struct loop_work *w)
{
    (void)w;
}

static void work_done(struct loop_work *w)
{
    (void)w;
    fail_msg("a dead host's work was done");
}

static void post_ran(void *arg)
{
    (void)arg;
    fail_msg("a dead host's message arrived");
}

static void timer_ran(struct loop_timer *t)
{
    (void)t;
    fail_msg("a dead host's timer fired");
}

static void test_kill_drops_everything(void **state)
{
    (void)state;
    struct talk t;
    talk_open(&t, 8);
    struct loop_hook hook = {.cb = hook_ran};
    struct loop_timer timer = {.cb = timer_ran};
    struct loop_work work = {.run = work_ran, .done = work_done};
    loop_hook_add(t.b, &hook);
    loop_timer_start(t.b, &timer, 1);
    loop_work_queue(t.b, LOOP_LANE_LOG, &work);
    loop_post(t.b, post_ran, NULL);
    sim_kill(t.w, t.b, false);
    assert_false(loop_timer_armed(&timer));
    sim_start(t.w, t.b);
    sim_run_ms(t.w, 100);
    loop_hook_remove(t.b, &hook);
    loop_timer_stop(t.b, &timer);
    talk_close(&t);
}

/* ---- determinism ---- */

static void chatter(void *ctx, const char *p, size_t n)
{
    struct end *e = ctx;
    struct chunk c = chunk_take(blob_copy(slice_of(p, n)));
    stream_write(e->s, &c, 1);
}

static const struct stream_handler chatting = {.on_data = chatter, .on_end = on_end};

static uint64_t run_world(uint64_t seed)
{
    struct talk t;
    talk_open(&t, seed);
    stream_handle(t.server.s, &chatting, &t.server);
    stream_handle(t.client.s, &chatting, &t.client);
    say(&t, t.a, t.client.s, "round and round");
    sim_run_ms(t.w, 50);
    sim_cut(t.w, t.b, t.a, true);
    sim_run_ms(t.w, 50);
    sim_cut(t.w, t.b, t.a, false);
    sim_run_ms(t.w, 50);
    sim_kill(t.w, t.b, sim_random(t.w, 2));
    sim_run_ms(t.w, 3000);
    uint64_t hash = sim_trace_hash(t.w);
    talk_close(&t);
    return hash;
}

static void test_same_seed_same_world(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t hash = run_world(seed);
        assert_true(hash == run_world(seed));
        assert_true(hash != run_world(seed + 1000));
    }
}

/* ---- disks ---- */

struct disk_world {
    struct sim *w;
    struct loop *l;
    struct fs *fs;
    struct file *f;
};

static void disk_open(struct disk_world *d, uint64_t seed)
{
    d->w = sim_new(seed);
    d->l = sim_host(d->w, "a");
    d->fs = loop_fs(d->l);
    assert_int_equal(fs_mkdir(d->fs, "/d"), 0);
    assert_int_equal(fs_sync_dir(d->fs, "/"), 0);
    assert_int_equal(fs_open(d->fs, "/d/f", FS_READ | FS_WRITE | FS_CREATE, &d->f), 0);
    assert_int_equal(file_prezero(d->f, 4096), 0);
    assert_int_equal(fs_sync_dir(d->fs, "/d"), 0);
}

static void disk_restart(struct disk_world *d, bool crash)
{
    sim_kill(d->w, d->l, crash);
    file_close(d->f);
    d->f = NULL;
    sim_start(d->w, d->l);
}

static void test_crash_keeps_tears_or_loses(void **state)
{
    (void)state;
    int kept = 0, torn = 0, lost = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct disk_world d;
        char out[4096], in[4096];
        disk_open(&d, seed);
        memset(out, 'a', sizeof(out));
        assert_int_equal(file_pwrite(d.f, out, 2048, 0), 2048);
        assert_int_equal(file_sync(d.f), 0);
        memset(out, 'b', sizeof(out));
        assert_int_equal(file_pwrite(d.f, out, 3000, 100), 3000);
        disk_restart(&d, true);
        assert_int_equal(fs_open(d.fs, "/d/f", FS_READ, &d.f), 0);
        assert_int_equal(file_pread(d.f, in, sizeof(in), 0), 4096);
        size_t b = 0;
        while (100 + b < sizeof(in) && in[100 + b] == 'b')
            b++;
        assert_int_equal(in[99], 'a');
        assert_true(b == 0 || b == 3000 || (100 + b) % 512 == 0);
        for (size_t i = 100 + b; i < sizeof(in); i++)
            assert_int_equal(in[i], i < 2048 ? 'a' : 0);
        kept += b == 3000;
        lost += b == 0;
        torn += b != 0 && b != 3000;
        file_close(d.f);
        sim_free(d.w);
    }
    assert_true(kept > 5 && torn > 5 && lost > 5);
}

static void test_process_death_keeps_writes(void **state)
{
    (void)state;
    struct disk_world d;
    char in[4];
    disk_open(&d, 1);
    assert_int_equal(file_pwrite(d.f, "kept", 4, 0), 4);
    disk_restart(&d, false);
    assert_int_equal(fs_open(d.fs, "/d/f", FS_READ, &d.f), 0);
    assert_int_equal(file_pread(d.f, in, 4, 0), 4);
    assert_memory_equal(in, "kept", 4);
    file_close(d.f);
    sim_free(d.w);
}

static void test_crash_and_directories(void **state)
{
    (void)state;
    int renamed = 0, undone = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct disk_world d;
        struct file *f = NULL;
        disk_open(&d, seed);
        assert_int_equal(fs_rename(d.fs, "/d/f", "/d/g"), 0);
        disk_restart(&d, true);
        bool at_g = fs_open(d.fs, "/d/g", FS_READ, &f) == 0;
        file_close(f);
        renamed += at_g;
        undone += !at_g;
        f = NULL;
        assert_int_equal(fs_open(d.fs, "/d/f", FS_READ, &f), at_g ? -ENOENT : 0); /* one of the two, always */
        file_close(f);
        sim_free(d.w);
    }
    assert_true(renamed > 5 && undone > 5);
}

static void test_synced_rename_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct disk_world d;
        disk_open(&d, seed);
        assert_int_equal(fs_rename(d.fs, "/d/f", "/d/g"), 0);
        assert_int_equal(fs_sync_dir(d.fs, "/d"), 0);
        disk_restart(&d, true);
        assert_int_equal(fs_open(d.fs, "/d/f", FS_READ, &d.f), -ENOENT);
        assert_int_equal(fs_open(d.fs, "/d/g", FS_READ, &d.f), 0);
        file_close(d.f);
        sim_free(d.w);
    }
}

static void test_disk_faults(void **state)
{
    (void)state;
    struct disk_world d;
    disk_open(&d, 1);
    sim_disk_fail(d.w, d.l, 2, -EIO);
    assert_int_equal(file_pwrite(d.f, "x", 1, 0), 1);
    assert_int_equal(file_sync(d.f), -EIO);
    assert_int_equal(file_sync(d.f), 0);
    sim_disk_limit(d.w, d.l, 5000);
    assert_int_equal(file_pwrite(d.f, "x", 1, 6000), -ENOSPC);
    assert_int_equal(file_pwrite(d.f, "x", 1, 4999), 1);
    assert_int_equal(file_pwrite(d.f, "x", 1, 100), 1); /* no growth */
    sim_disk_limit(d.w, d.l, 0);
    assert_int_equal(file_pwrite(d.f, "x", 1, 6000), 1);
    file_close(d.f);
    sim_free(d.w);
}

static void test_locks_die_with_the_process(void **state)
{
    (void)state;
    struct disk_world d;
    struct file *lock, *again;
    disk_open(&d, 1);
    assert_int_equal(fs_lock(d.fs, "/d/lock", &lock), 0);
    assert_int_equal(fs_lock(d.fs, "/d/lock", &again), -EWOULDBLOCK);
    disk_restart(&d, false);
    file_close(lock);
    assert_int_equal(fs_lock(d.fs, "/d/lock", &again), 0);
    file_close(again);
    sim_free(d.w);
}

/* Work that the crash caught half-way: the write may be there without what followed it. */
struct half_work {
    struct loop_work w;
    struct file *f;
};

static void half_run(struct loop_work *w)
{
    struct half_work *x = container_of(w, struct half_work, w);
    if (file_pwrite(x->f, "1", 1, 0) == 1 && file_sync(x->f) == 0)
        file_pwrite(x->f, "2", 1, 1);
}

static void test_work_caught_by_a_crash(void **state)
{
    (void)state;
    int seen[3] = {0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct disk_world d;
        char in[2];
        disk_open(&d, seed);
        struct half_work x = {.w = {.run = half_run, .done = work_done}, .f = d.f};
        loop_work_queue(d.l, LOOP_LANE_LOG, &x.w);
        disk_restart(&d, false);
        assert_int_equal(fs_open(d.fs, "/d/f", FS_READ, &d.f), 0);
        assert_int_equal(file_pread(d.f, in, 2, 0), 2);
        seen[(in[0] == '1') + (in[1] == '2')]++;
        assert_true(in[0] == '1' || in[1] == 0);
        file_close(d.f);
        sim_free(d.w);
    }
    assert_true(seen[0] > 5 && seen[1] > 5 && seen[2] > 2);
}

int main(void)
{
#define TEST(name)   cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define LISTED(name) TEST(name),
    const struct CMUnitTest tests[] = {
        LOOP_CASES(LISTED) TEST(echo),
        cmocka_unit_test(test_latency_and_order),
        cmocka_unit_test(test_process_death_resets),
        cmocka_unit_test(test_machine_death_is_silent),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_cut_stalls_then_heals),
        cmocka_unit_test(test_cut_breaks),
        cmocka_unit_test(test_pause_and_wall_jump),
        cmocka_unit_test(test_kill_drops_everything),
        cmocka_unit_test(test_same_seed_same_world),
        cmocka_unit_test(test_crash_keeps_tears_or_loses),
        cmocka_unit_test(test_process_death_keeps_writes),
        cmocka_unit_test(test_crash_and_directories),
        cmocka_unit_test(test_synced_rename_stays),
        cmocka_unit_test(test_disk_faults),
        cmocka_unit_test(test_locks_die_with_the_process),
        cmocka_unit_test(test_work_caught_by_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Replicas in the simulated world: the calm cases one by one, then chaos by seed. */
#include "raft_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "env.h"

static void test_one_replica(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 1, 1);
    cluster_start(&c, 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(cluster_write(&c, cluster_leader(&c), 100), 0);
    cluster_read(&c, 0);
    sim_run_ms(c.w, 50);
    assert_int_equal(c.reads_served, 1);
    uint64_t before = c.nodes[0].state.index;
    cluster_kill(&c, 0, true);
    cluster_start(&c, 0);
    cluster_leader(&c);
    assert_int_equal(c.nodes[0].state.index, before);
    cluster_settle(&c);
    cluster_done(&c);
}

static void start_all(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++)
        cluster_start(c, i);
}

static void test_three_replicas(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 2, 3);
    start_all(&c);
    size_t leader = cluster_leader(&c);
    for (int i = 0; i < 20; i++)
        assert_int_equal(cluster_write(&c, leader, 200), 0);
    assert_int_equal(cluster_write(&c, (leader + 1) % 3, 10), -EAGAIN); /* not the leader */
    sim_run_ms(c.w, 100);
    struct raft_status s;
    raft_node_status(c.nodes[leader].n, &s);
    assert_true(s.is_leader);
    assert_int_equal(s.leader_id, leader + 1);
    assert_int_equal(s.n_members, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(s.members[i].connected);
        assert_int_equal(s.members[i].match_index, s.last_index);
        assert_int_equal(raft_node_leader(c.nodes[i].n), leader + 1);
        cluster_read(&c, i);
    }
    sim_run_ms(c.w, 100);
    assert_int_equal(c.reads_served, 3);
    cluster_settle(&c);
    cluster_done(&c);
}

static uint64_t failover_ms(uint64_t seed, bool crash)
{
    struct cluster c;
    cluster_init(&c, seed, 3);
    start_all(&c);
    size_t leader = cluster_leader(&c);
    for (int i = 0; i < 5; i++)
        assert_int_equal(cluster_write(&c, leader, 200), 0);
    sim_run_ms(c.w, 300);
    uint64_t from = sim_now(c.w);
    cluster_kill(&c, leader, crash);
    cluster_leader(&c);
    uint64_t ms = (sim_now(c.w) - from) / 1000000;
    cluster_settle(&c);
    cluster_done(&c);
    return ms;
}

static void test_failover(void **state)
{
    (void)state;
    uint64_t killed = 0, crashed = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        killed += failover_ms(seed, false);
        crashed += failover_ms(seed, true);
    }
    /* A killed process breaks its connections, which is seen at once; a dead machine is silent. */
    print_message("failover: killed %llu ms, crashed %llu ms\n", (unsigned long long)killed / 20,
                  (unsigned long long)crashed / 20);
    assert_true(killed / 20 < 150);
    assert_true(crashed / 20 < 1000);
}

static void count_done(void *ctx, int err)
{
    *(int *)ctx = err;
}

static void test_transfer(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 3, 3);
    start_all(&c);
    size_t leader = cluster_leader(&c);
    for (int i = 0; i < 5; i++)
        assert_int_equal(cluster_write(&c, leader, 200), 0);
    int result = 1;
    uint64_t from = sim_now(c.w);
    raft_node_transfer(c.nodes[leader].n, 0, 5000, count_done, &result);
    while (result == 1)
        sim_run_ms(c.w, 1);
    assert_int_equal(result, 0);
    assert_true((sim_now(c.w) - from) / 1000000 < 200);
    assert_true(cluster_leader(&c) != leader);
    /* Nobody to hand over to: the call ends in time. */
    size_t next = cluster_leader(&c);
    for (size_t i = 0; i < 3; i++)
        if (i != next)
            cluster_kill(&c, i, true);
    result = 1;
    raft_node_transfer(c.nodes[next].n, 0, 300, count_done, &result);
    sim_run_ms(c.w, 400);
    assert_int_equal(result, -EAGAIN);
    cluster_settle(&c);
    cluster_done(&c);
}

static void test_snapshot_to_a_late_replica(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 4, 3);
    start_all(&c);
    size_t leader = cluster_leader(&c), late = (leader + 1) % 3;
    cluster_kill(&c, late, false);
    for (int i = 0; i < 500; i++) {
        cluster_propose(&c, leader, 300);
        sim_run_ms(c.w, 1);
    }
    sim_run_ms(c.w, 200);
    assert_true(c.nodes[leader].snapshots > 0);
    cluster_start(&c, late);
    assert_int_equal(c.nodes[late].restores, 0);
    cluster_settle(&c);
    assert_int_equal(c.nodes[late].restores, 1);
    /* And again from its own disk. */
    cluster_kill(&c, late, true);
    cluster_start(&c, late);
    assert_int_equal(c.nodes[late].restores, 2);
    cluster_settle(&c);
    cluster_done(&c);
}

static void test_reads_need_a_majority(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 5, 3);
    start_all(&c);
    size_t leader = cluster_leader(&c);
    assert_int_equal(cluster_write(&c, leader, 10), 0);
    for (size_t i = 0; i < 3; i++)
        if (i != leader) {
            sim_cut(c.w, c.nodes[i].l, c.nodes[leader].l, true);
            sim_cut(c.w, c.nodes[leader].l, c.nodes[i].l, true);
        }
    cluster_read(&c, leader);
    sim_run_ms(c.w, 3000);
    assert_int_equal(c.reads_served, 0);
    assert_int_equal(c.pending, 0);
    assert_false(raft_node_is_leader(c.nodes[leader].n)); /* it noticed */
    assert_true(cluster_leader(&c) != leader);
    cluster_settle(&c);
    cluster_done(&c);
}

static void test_limits(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 6, 1);
    c.options.queue_max = 100000;
    cluster_start(&c, 0);
    cluster_leader(&c);
    assert_int_equal(cluster_write(&c, 0, RAFT_COMMAND_MAX + 1), -E2BIG);
    assert_int_equal(cluster_write(&c, 0, 200000), -EBUSY);
    assert_int_equal(cluster_write(&c, 0, 90000), 0); /* larger than a segment */
    cluster_kill(&c, 0, true);
    cluster_start(&c, 0);
    cluster_leader(&c);
    assert_int_equal(cluster_write(&c, 0, 90000), 0);
    cluster_settle(&c);
    cluster_done(&c);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 7, 1);
    c.options.snapshot_every = 1000000;
    cluster_start(&c, 0);
    cluster_leader(&c);
    sim_run_ms(c.w, 100);
    sim_disk_limit(c.w, c.nodes[0].l, 200 << 10);
    int err = 0, n = 0;
    while ((err = cluster_write(&c, 0, 1000)) == 0 && n < 1000)
        n++;
    assert_int_equal(err, -ENOSPC);
    assert_true(n > 20);
    assert_int_equal(cluster_write(&c, 0, 1000), -ENOSPC);
    sim_disk_limit(c.w, c.nodes[0].l, 0);
    sim_run_ms(c.w, 2500);
    assert_int_equal(cluster_write(&c, 0, 1000), 0);
    cluster_settle(&c);
    cluster_done(&c);
}

static void test_disk_error_stops_the_replica(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct cluster c;
        cluster_init(&c, 8, 3);
        c.expect_failures = true;
        start_all(&c);
        size_t leader = cluster_leader(&c);
        sim_run_ms(c.w, 100);
        sim_disk_fail(c.w, c.nodes[leader].l, nth, -EIO);
        for (int i = 0; i < 200 && !c.nodes[leader].failed; i++) {
            cluster_propose(&c, leader, 1000);
            sim_run_ms(c.w, 1);
        }
        assert_true(c.nodes[leader].failed);
        sim_run_ms(c.w, 2000);
        assert_true(cluster_leader(&c) != leader);
        cluster_settle(&c);
        cluster_done(&c);
    }
}

static void test_wrong_directory(void **state)
{
    (void)state;
    struct cluster c;
    char why[256];
    cluster_init(&c, 9, 1);
    cluster_start(&c, 0);
    cluster_leader(&c);
    cluster_kill(&c, 0, false);
    sim_start(c.w, c.nodes[0].l);
    c.options.cluster_id = 78;
    assert_int_equal(cluster_try_start(&c, 0, why), -EINVAL);
    assert_non_null(strstr(why, "cluster"));
    c.options.cluster_id = 77;
    cluster_start(&c, 0);
    struct raft_node *first = c.nodes[0].n;
    assert_int_equal(cluster_try_start(&c, 0, why), -EWOULDBLOCK);
    c.nodes[0].n = first;
    cluster_settle(&c);
    cluster_done(&c);
}

/* ---- chaos ---- */

static size_t alive(const struct cluster *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->nodes[i].n != NULL;
    return n;
}

static void cut_some(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < c->n; j++)
            if (i != j)
                sim_cut(c->w, c->nodes[i].l, c->nodes[j].l, sim_random(c->w, 3) == 0);
}

static void heal(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < c->n; j++)
            sim_cut(c->w, c->nodes[i].l, c->nodes[j].l, false);
}

static void nothing(void *ctx, int err)
{
    (void)ctx;
    (void)err;
}

static void disturb(struct cluster *c)
{
    size_t i = sim_random(c->w, c->n);
    int leader = cluster_leader_now(c);
    switch (sim_random(c->w, 11)) {
    case 0:
    case 1:
        if (alive(c) > c->n / 2)
            cluster_kill(c, i, sim_random(c->w, 2));
        break;
    case 2:
        if (leader >= 0)
            cluster_kill(c, (size_t)leader, sim_random(c->w, 2));
        break;
    case 3:
    case 4:
    case 5:
        for (i = 0; i < c->n; i++)
            if (!c->nodes[i].n)
                cluster_start(c, i);
        break;
    case 6:
        cut_some(c);
        break;
    case 7:
        heal(c);
        break;
    case 8:
        sim_pause(c->w, c->nodes[leader >= 0 ? (size_t)leader : i].l, 50 + sim_random(c->w, 1000));
        break;
    case 9:
        if (sim_random(c->w, 2))
            sim_disk(c->w, c->nodes[i].l, 1000, 100000);
        else
            sim_disk(c->w, c->nodes[i].l, 100, 1000);
        break;
    case 10:
        if (leader >= 0)
            raft_node_transfer(c->nodes[leader].n, 0, 500, nothing, NULL);
        sim_wall_jump(c->w, c->nodes[i].l, (int64_t)sim_random(c->w, 100000) * 1000000 - 50000000000);
        break;
    }
}

static void load(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (!c->nodes[i].n)
            continue;
        if (c->nodes[i].leader || sim_random(c->w, 50) == 0)
            for (uint64_t k = sim_random(c->w, 6); k > 0; k--)
                cluster_propose(c, i, sim_random(c->w, 40) ? sim_random(c->w, 500) : sim_random(c->w, 50000));
        if (sim_random(c->w, 4) == 0)
            cluster_read(c, i);
    }
}

struct totals {
    size_t acked, unknown, reads, snapshots, restores;
};

static void chaos(uint64_t seed, size_t n, int ms, struct totals *t)
{
    struct cluster c;
    cluster_init(&c, seed, n);
    start_all(&c);
    uint64_t next = 500;
    for (uint64_t now = 0; now < (uint64_t)ms; now += 2) {
        load(&c);
        sim_run_ms(c.w, 2);
        if (now < next)
            continue;
        disturb(&c);
        next = now + 20 + sim_random(c.w, 400);
    }
    cluster_settle(&c);
    t->acked += c.acked;
    t->unknown += c.unknown;
    t->reads += c.reads_served;
    for (size_t i = 0; i < n; i++) {
        t->snapshots += c.nodes[i].snapshots;
        t->restores += c.nodes[i].restores;
    }
    cluster_done(&c);
}

/* PINTLE_SIM_FIRST, PINTLE_SIM_SEEDS, PINTLE_SIM_MS: more of it, or one seed again. */
static void test_chaos(void **state)
{
    (void)state;
    struct totals t = {0};
    uint64_t first = env_first_seed(1), seeds = env_seeds(50);
    for (uint64_t seed = first; seed < first + seeds; seed++)
        chaos(seed, seed % 3 ? 3 : 5, (int)env_ms(4000), &t);
    print_message("chaos: %llu seeds, %zu writes acknowledged, %zu unknown, %zu reads, %zu snapshots, %zu restores\n",
                  (unsigned long long)seeds, t.acked, t.unknown, t.reads, t.snapshots, t.restores);
    assert_true(t.acked > seeds * 100);
    assert_true(t.reads > seeds * 50);
}

/* Disks that fail and fill up: the replica stops and is started again, or refuses writes for a while. */
static void disturb_disks(struct cluster *c)
{
    size_t i = sim_random(c->w, c->n);
    switch (sim_random(c->w, 4)) {
    case 0:
        sim_disk_fail(c->w, c->nodes[i].l, 1 + sim_random(c->w, 50), -EIO);
        break;
    case 1:
        sim_disk_limit(c->w, c->nodes[i].l, (300 + sim_random(c->w, 500)) << 10);
        break;
    case 2:
        for (i = 0; i < c->n; i++)
            sim_disk_limit(c->w, c->nodes[i].l, 0);
        break;
    case 3:
        disturb(c);
        break;
    }
}

static void restart_failed(struct cluster *c)
{
    char why[256];
    for (size_t i = 0; i < c->n; i++) {
        if (c->nodes[i].failed)
            cluster_kill(c, i, sim_random(c->w, 2));
        if (c->nodes[i].n || sim_random(c->w, 100))
            continue;
        sim_start(c->w, c->nodes[i].l);
        /* A full or failing disk may keep it from starting, but never looks like damage. */
        int err = cluster_try_start(c, i, why);
        if (err) {
            if (err == -EBADMSG || err == -EINVAL)
                fail_msg("seed %llu: %s (%d)", (unsigned long long)c->seed, why, err);
            cluster_kill(c, i, false);
            sim_kill(c->w, c->nodes[i].l, false);
        }
    }
}

static void test_chaos_of_disks(void **state)
{
    (void)state;
    uint64_t first = env_first_seed(1), seeds = env_seeds(30);
    size_t acked = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct cluster c;
        cluster_init(&c, seed, 3);
        c.expect_failures = true;
        start_all(&c);
        for (int i = 0; i < 1500; i++) {
            load(&c);
            sim_run_ms(c.w, 2);
            restart_failed(&c);
            if (i % 50 == 49)
                disturb_disks(&c);
        }
        cluster_settle(&c);
        acked += c.acked;
        cluster_done(&c);
    }
    assert_true(acked > seeds * 100);
}

/* Memory that runs out once, at every place it is asked for in turn: frames are as if lost, a log that cannot be
 * written stops the replica, nothing is ever wrong. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    bool failed_once = true;
    for (long nth = 1; failed_once && nth < 1000000; nth += 1 + nth / 10) {
        struct cluster c;
        cluster_init(&c, 5, 3);
        c.expect_failures = true;
        start_all(&c);
        size_t leader = cluster_leader(&c);
        mem_fail_at(nth);
        for (int i = 0; i < 300; i++) {
            if (c.nodes[leader].n)
                cluster_propose(&c, leader, 100 + sim_random(c.w, 2000));
            cluster_read(&c, sim_random(c.w, 3));
            sim_run_ms(c.w, 2);
        }
        failed_once = mem_failed();
        mem_fail_at(0);
        cluster_settle(&c);
        cluster_done(&c);
    }
    assert_false(failed_once);
}

static uint64_t chaos_hash(uint64_t seed)
{
    struct cluster c;
    cluster_init(&c, seed, 3);
    start_all(&c);
    for (int i = 0; i < 500; i++) {
        load(&c);
        sim_run_ms(c.w, 2);
        if (i % 60 == 59)
            disturb(&c);
    }
    uint64_t hash = sim_trace_hash(c.w);
    cluster_done(&c);
    return hash;
}

static void test_same_seed_same_run(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 103; seed++)
        assert_true(chaos_hash(seed) == chaos_hash(seed));
}

/* PINTLE_TEST: a pattern, to run some of these only. */
int main(void)
{
    cmocka_set_test_filter(getenv("PINTLE_TEST"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_replica),
        cmocka_unit_test(test_three_replicas),
        cmocka_unit_test(test_failover),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_snapshot_to_a_late_replica),
        cmocka_unit_test(test_reads_need_a_majority),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_disk_error_stops_the_replica),
        cmocka_unit_test(test_wrong_directory),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_chaos),
        cmocka_unit_test(test_chaos_of_disks),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

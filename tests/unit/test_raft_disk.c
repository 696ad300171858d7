/* Disks that are slow, hang, or are full, and who leads then. */
#include "raft_cluster.h"

#include <errno.h>

#include "raft/health.h"

static void begin(struct cluster *c, uint64_t seed)
{
    cluster_init(c, seed, 3);
    for (size_t i = 0; i < 3; i++)
        cluster_start(c, i);
    cluster_leader(c);
    sim_run_ms(c->w, HEALTH_HOLD_MS + 1000); /* long enough a leader */
}

/* Writes every 20 ms for a while; how often leadership moved. */
static size_t write_for(struct cluster *c, uint64_t ms, size_t bytes)
{
    size_t moves = 0;
    int before = cluster_leader_now(c);
    for (uint64_t at = 0; at < ms; at += 20) {
        int i = cluster_leader_now(c);
        if (i >= 0)
            cluster_propose(c, (size_t)i, bytes);
        moves += i >= 0 && i != before;
        before = i >= 0 ? i : before;
        sim_run_ms(c->w, 20);
    }
    return moves;
}

static void test_slow_disk_of_the_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster c;
        begin(&c, seed);
        size_t slow = cluster_leader(&c);
        sim_disk(c.w, c.nodes[slow].l, 80000, 120000);
        size_t moves = write_for(&c, 20000, 64);
        assert_int_equal(moves, 1);
        assert_int_not_equal(cluster_leader(&c), slow);
        cluster_settle(&c);
        cluster_done(&c);
    }
}

static void test_hanging_disk_of_the_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster c;
        begin(&c, seed);
        size_t hangs = cluster_leader(&c);
        sim_disk(c.w, c.nodes[hangs].l, 5000000, 5000000);
        size_t moves = write_for(&c, 3000, 64);
        assert_int_equal(moves, 1);
        assert_int_not_equal(cluster_leader(&c), hangs);
        cluster_settle(&c);
        cluster_done(&c);
    }
}

/* Nobody would do better: leadership stays. */
static void test_all_slow(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster c;
        begin(&c, seed);
        for (size_t i = 0; i < 3; i++)
            sim_disk(c.w, c.nodes[i].l, 80000, 120000);
        assert_true(write_for(&c, 60000, 64) <= 1);
        cluster_settle(&c);
        cluster_done(&c);
    }
}

/* A follower's slow disk is nobody's trouble. */
static void test_slow_follower(void **state)
{
    (void)state;
    struct cluster c;
    begin(&c, 4);
    size_t slow = (cluster_leader(&c) + 1) % 3;
    sim_disk(c.w, c.nodes[slow].l, 200000, 300000);
    assert_int_equal(write_for(&c, 30000, 64), 0);
    cluster_settle(&c);
    cluster_done(&c);
}

enum { FULL = 200 << 10 };

static void test_full_disk_of_the_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster c;
        begin(&c, seed);
        size_t full = cluster_leader(&c);
        sim_disk_limit(c.w, c.nodes[full].l, FULL);
        write_for(&c, 30000, 1000);
        assert_int_not_equal(cluster_leader(&c), full);
        assert_int_equal(cluster_write(&c, cluster_leader(&c), 1000), 0);
        cluster_settle(&c);
        cluster_done(&c);
    }
}

/* A follower whose disk is full lives on, behind the others, and catches up when there is space. */
static void test_full_disk_of_a_follower(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster c;
        begin(&c, seed);
        size_t full = (cluster_leader(&c) + 1) % 3;
        sim_disk_limit(c.w, c.nodes[full].l, FULL);
        for (int i = 0; i < 600; i++)
            assert_int_equal(cluster_write(&c, cluster_leader(&c), 1000), 0);
        assert_non_null(c.nodes[full].n);
        assert_true(c.nodes[full].state.index < c.last);
        cluster_settle(&c);
        cluster_done(&c);
    }
}

/* All full: refused, and leadership does not go round and round. */
static void test_all_full(void **state)
{
    (void)state;
    struct cluster c;
    begin(&c, 7);
    for (size_t i = 0; i < 3; i++)
        sim_disk_limit(c.w, c.nodes[i].l, FULL);
    assert_true(write_for(&c, 60000, 1000) <= 6);
    assert_int_equal(cluster_write(&c, cluster_leader(&c), 1000), -ENOSPC);
    cluster_settle(&c);
    cluster_done(&c);
}

static void test_hold_off(void **state)
{
    (void)state;
    const uint64_t ms = 1000000;
    struct health h = {.lead_since = 1};
    assert_false(health_may_hand_over(&h, HEALTH_HOLD_MS * ms));
    uint64_t now = HEALTH_HOLD_MS * ms + 1, wait = 2 * HEALTH_HOLD_MS * ms;
    for (int i = 0; i < 10; i++) {
        assert_true(health_may_hand_over(&h, now));
        health_handed_over(&h, now);
        assert_false(health_may_hand_over(&h, now + wait - 1));
        now += wait;
        wait = wait * 2 > HEALTH_HOLD_MAX_MS * ms ? HEALTH_HOLD_MAX_MS * ms : wait * 2;
    }
    health_handed_over(&h, now);
    now += HEALTH_FORGIVE_MS * ms + 1;
    assert_true(health_may_hand_over(&h, now));
    health_handed_over(&h, now);
    assert_true(health_may_hand_over(&h, now + 2 * HEALTH_HOLD_MS * ms));
    h.lead_since = 0;
    assert_false(health_may_hand_over(&h, now + 2 * HEALTH_HOLD_MS * ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_disk_of_the_leader),
        cmocka_unit_test(test_hanging_disk_of_the_leader),
        cmocka_unit_test(test_all_slow),
        cmocka_unit_test(test_slow_follower),
        cmocka_unit_test(test_full_disk_of_the_leader),
        cmocka_unit_test(test_full_disk_of_a_follower),
        cmocka_unit_test(test_all_full),
        cmocka_unit_test(test_hold_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Membership: joining, promoting, demoting, removing, moving, in peace and in chaos. */
#include "raft_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "env.h"

static void start_first(struct cluster *c, uint64_t seed, size_t n, size_t initial)
{
    cluster_init(c, seed, n);
    c->initial = c->options.n_members = initial;
    c->next_member = initial + 1;
    for (size_t i = 0; i < initial; i++)
        cluster_start(c, i);
    cluster_leader(c);
}

static const enum raft_member_role no_role = MEMBER_VOTER;

/* Waits until member id has applied what everybody has. */
static void wait_caught_up(struct cluster *c, uint64_t id)
{
    const struct cluster_node *x = cluster_member(c, id);
    for (int ms = 0; ms < 20000 && x->state.index < c->last; ms++)
        sim_run_ms(c->w, 1);
    assert_int_equal(x->state.index, c->last);
}

static uint64_t join_as_voter(struct cluster *c, size_t i)
{
    uint64_t id = cluster_join(c, i);
    assert_int_equal(cluster_change(c, RAFT_CHANGE_ADD, id, MEMBER_SPARE), 0);
    assert_int_equal(cluster_change(c, RAFT_CHANGE_ROLE, id, MEMBER_STANDBY), 0);
    wait_caught_up(c, id);
    sim_run_ms(c->w, 50); /* the leader hears of it */
    assert_int_equal(cluster_change(c, RAFT_CHANGE_ROLE, id, MEMBER_VOTER), 0);
    return id;
}

static size_t voters(struct cluster *c)
{
    struct raft_status s;
    size_t n = 0;
    raft_node_status(c->nodes[cluster_leader(c)].n, &s);
    for (size_t i = 0; i < s.n_members; i++)
        n += s.members[i].member.role == MEMBER_VOTER;
    return n;
}

/* From one replica to three, and the first one is nothing special. */
static void test_from_one_to_three(void **state)
{
    (void)state;
    struct cluster c;
    start_first(&c, 1, 3, 1);
    for (int i = 0; i < 300; i++) /* more than the log keeps: the joiners need the snapshot */
        assert_int_equal(cluster_write(&c, 0, 64), 0);
    join_as_voter(&c, 1);
    join_as_voter(&c, 2);
    assert_int_equal(voters(&c), 3);
    assert_true(c.nodes[1].restores > 0);
    cluster_kill(&c, 0, true);
    sim_run_ms(c.w, 2000);
    assert_int_equal(cluster_write(&c, cluster_leader(&c), 64), 0);
    cluster_settle(&c);
    cluster_done(&c);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct cluster c;
    start_first(&c, 2, 5, 3);
    size_t leader = cluster_leader(&c);
    uint64_t leader_id = c.nodes[leader].id, other = leader_id % 3 + 1;
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_ADD, other, MEMBER_SPARE), -EEXIST);
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_REMOVE, 77, no_role), -ENOENT);
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_REMOVE, leader_id, no_role), -EPERM);
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_ROLE, leader_id, MEMBER_STANDBY), -EPERM);
    /* A second address for the same place. */
    c.nodes[3].id = c.next_member++;
    c.nodes[3].i = other - 1;
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_ADD, c.nodes[3].id, MEMBER_SPARE), -EINVAL);
    c.nodes[3].i = 3;
    /* With one voter down, a fourth that is not there would leave two of four. */
    cluster_kill(&c, other - 1, true);
    sim_run_ms(c.w, 3000);
    uint64_t id = cluster_join(&c, 4);
    cluster_leader(&c);
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_ADD, id, MEMBER_STANDBY), 0);
    wait_caught_up(&c, id);
    cluster_kill(&c, 4, true);
    sim_run_ms(c.w, 3000);
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_ROLE, id, MEMBER_VOTER), -EXDEV);
    assert_int_equal(voters(&c), 3);
    c.nodes[3].id = 4;
    cluster_settle(&c);
    cluster_done(&c);
}

/* A voter that goes for good, and what it does when it comes back. */
static void test_removed_replica_stops(void **state)
{
    (void)state;
    struct cluster c;
    start_first(&c, 3, 3, 3);
    size_t leader = cluster_leader(&c), gone = (leader + 1) % 3;
    c.expect_failures = true;
    cluster_kill(&c, gone, false);
    sim_run_ms(c.w, 100);
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_REMOVE, c.nodes[gone].id, no_role), 0);
    c.removed |= (uint64_t)1 << c.nodes[gone].id;
    assert_int_equal(voters(&c), 2);
    cluster_start(&c, gone);
    sim_run_ms(c.w, 3000);
    assert_true(c.nodes[gone].failed);
    cluster_kill(&c, gone, false);
    /* Under a new id, with an empty directory, it is welcome. */
    uint64_t id = join_as_voter(&c, gone);
    assert_true(id > 3);
    assert_int_equal(voters(&c), 3);
    cluster_settle(&c);
    cluster_done(&c);
}

static void ignore(void *ctx, int err)
{
    (void)ctx;
    (void)err;
}

/* Away while everybody it knew was replaced: it hears of that from a leader it has never heard of. */
static void test_return_to_strangers(void **state)
{
    (void)state;
    struct cluster c;
    start_first(&c, 4, 7, 3);
    cluster_write(&c, cluster_leader(&c), 64);
    size_t away = (cluster_leader(&c) + 1) % 3;
    uint64_t away_id = c.nodes[away].id;
    cluster_kill(&c, away, false);
    join_as_voter(&c, 3);
    join_as_voter(&c, 4);
    for (uint64_t id = 1; id <= 3; id++) {
        if (id == away_id)
            continue;
        if (c.nodes[cluster_leader(&c)].id == id) {
            raft_node_transfer(c.nodes[cluster_leader(&c)].n, 4, 2000, ignore, NULL);
            sim_run_ms(c.w, 2500);
        }
        assert_int_equal(cluster_change(&c, RAFT_CHANGE_REMOVE, id, no_role), 0);
        c.removed |= (uint64_t)1 << id;
        cluster_kill(&c, id - 1, false);
    }
    cluster_write(&c, cluster_leader(&c), 64);
    cluster_start(&c, away);
    wait_caught_up(&c, away_id);
    cluster_settle(&c);
    cluster_done(&c);
}

static const char *address_of(struct cluster *c, uint64_t id)
{
    static struct raft_status s;
    raft_node_status(c->nodes[cluster_leader(c)].n, &s);
    for (size_t i = 0; i < s.n_members; i++)
        if (s.members[i].member.id == id)
            return s.members[i].member.address;
    return "";
}

/* Identity is the id: a replica that comes back elsewhere is dialled there at once, and entered there by the leader. */
static void test_another_address(void **state)
{
    (void)state;
    struct cluster c;
    start_first(&c, 5, 4, 3);
    size_t moved = (cluster_leader(&c) + 1) % 3, third = (cluster_leader(&c) + 2) % 3;
    uint64_t id = c.nodes[moved].id;
    cluster_kill(&c, moved, false);
    cluster_write(&c, cluster_leader(&c), 64);
    c.nodes[moved].port = 9443;
    cluster_start(&c, moved);
    cluster_kill(&c, third, false); /* now it is needed for the majority */
    sim_run_ms(c.w, 3000);
    assert_int_equal(cluster_write(&c, cluster_leader(&c), 64), 0);
    assert_null(strstr(address_of(&c, id), ":9443"));
    if (cluster_leader(&c) != moved) {
        assert_int_equal(cluster_change(&c, RAFT_CHANGE_ADDRESS, id, no_role), 0);
        assert_non_null(strstr(address_of(&c, id), ":9443"));
    }
    cluster_start(&c, third);
    cluster_settle(&c);
    cluster_done(&c);
}

/* Guard G11: a standby that misses its promotion still votes once its leader is silent. */
static void test_g11_promotion_unheard_of(void **state)
{
    (void)state;
    struct cluster c;
    start_first(&c, 6, 2, 1);
    uint64_t id = cluster_join(&c, 1);
    assert_int_equal(cluster_change(&c, RAFT_CHANGE_ADD, id, MEMBER_STANDBY), 0);
    sim_run_ms(c.w, 500);
    sim_pause(c.w, c.nodes[1].l, 1000);                              /* shorter than what breaks links */
    int rv = cluster_change(&c, RAFT_CHANGE_ROLE, id, MEMBER_VOTER); /* its leader loses its place meanwhile */
    assert_true(rv == 0 || rv == -ETIMEDOUT);
    sim_run_ms(c.w, 3000);
    assert_int_equal(voters(&c), 2);
    cluster_settle(&c);
    cluster_done(&c);
}

/* ---- chaos ---- */

struct churn {
    struct raft_proposal p;
    struct cluster *c;
    uint64_t removes; /* the member that it removes, or 0 */
    size_t *done, *refused;
};

static void churn_done(struct raft_proposal *p, int err)
{
    struct churn *x = container_of(p, struct churn, p);
    x->c->pending--;
    ++*(err ? x->refused : x->done);
    if (x->removes && !err)
        x->c->removed |= (uint64_t)1 << x->removes;
    mem_free(x);
}

static void ask(struct cluster *c, size_t leader, const struct raft_change_request *q, size_t counts[2])
{
    struct churn *x = mem_new(struct churn);
    *x = (struct churn){.c = c, .done = &counts[0], .refused = &counts[1]};
    x->removes = q->kind == RAFT_CHANGE_REMOVE ? q->member.id : 0;
    x->p.done = churn_done;
    c->pending++;
    raft_node_change(c->nodes[leader].n, q, &x->p);
}

static void churn(struct cluster *c, size_t counts[2])
{
    int leader = cluster_leader_now(c);
    struct raft_status s;
    if (leader < 0)
        return;
    raft_node_status(c->nodes[leader].n, &s);
    struct raft_member m = s.members[sim_random(c->w, s.n_members)].member;
    struct raft_change_request q = {.member = m};
    size_t i = sim_random(c->w, c->n);
    switch (sim_random(c->w, 4)) {
    case 0: /* whoever was never asked to join, or was removed for sure, joins, if there are ids left */
        if (c->next_member >= 60 || ((c->asked >> c->nodes[i].id & 1) && !(c->removed >> c->nodes[i].id & 1)))
            return;
        q.kind = RAFT_CHANGE_ADD;
        q.member = (struct raft_member){.id = cluster_join(c, i), .role = MEMBER_SPARE};
        snprintf(q.member.address, sizeof(q.member.address), "n%zu:7443", i + 1);
        c->asked |= (uint64_t)1 << q.member.id;
        break;
    case 1:
        if (s.n_members <= 3)
            return;
        q.kind = RAFT_CHANGE_REMOVE;
        break;
    default:
        q.kind = RAFT_CHANGE_ROLE;
        q.member.role = sim_random(c->w, 3) ? MEMBER_VOTER : MEMBER_STANDBY;
        break;
    }
    ask(c, (size_t)leader, &q, counts);
}

static void disturb(struct cluster *c)
{
    size_t i = sim_random(c->w, c->n);
    int leader = cluster_leader_now(c);
    switch (sim_random(c->w, 8)) {
    case 0:
        cluster_kill(c, i, sim_random(c->w, 2));
        break;
    case 1:
        if (leader >= 0)
            cluster_kill(c, (size_t)leader, sim_random(c->w, 2));
        break;
    case 2:
        for (size_t j = 0; j < c->n; j++)
            sim_cut(c->w, c->nodes[i].l, c->nodes[j].l, sim_random(c->w, 2));
        break;
    case 3:
        for (size_t a = 0; a < c->n; a++)
            for (size_t b = 0; b < c->n; b++)
                sim_cut(c->w, c->nodes[a].l, c->nodes[b].l, false);
        break;
    case 4:
        sim_pause(c->w, c->nodes[i].l, 50 + sim_random(c->w, 800));
        break;
    default:
        for (size_t j = 0; j < c->n; j++)
            if (!c->nodes[j].n)
                cluster_start(c, j);
        break;
    }
}

static void chaos(uint64_t seed, uint64_t ms, size_t counts[2], size_t *acked)
{
    struct cluster c;
    start_first(&c, seed, 7, 3);
    for (size_t i = 3; i < 7; i++)
        c.nodes[i].outside = true;
    for (size_t i = 3; i < 7; i++)
        c.nodes[i].id = c.next_member++;
    c.asked = 7 << 1;
    uint64_t next = 300, next_churn = 100;
    for (uint64_t now = 0; now < ms; now += 2) {
        int leader = cluster_leader_now(&c);
        if (leader >= 0)
            cluster_propose(&c, (size_t)leader, sim_random(c.w, 300));
        if (c.nodes[now / 2 % 7].n)
            cluster_read(&c, now / 2 % 7);
        sim_run_ms(c.w, 2);
        if (now >= next_churn) {
            churn(&c, counts);
            next_churn = now + 10 + sim_random(c.w, 150);
        }
        if (now < next)
            continue;
        disturb(&c);
        next = now + 50 + sim_random(c.w, 400);
    }
    cluster_settle(&c);
    *acked += c.acked;
    cluster_done(&c);
}

static void test_chaos_of_members(void **state)
{
    (void)state;
    size_t counts[2] = {0}, acked = 0;
    uint64_t first = env_first_seed(1), seeds = env_seeds(50);
    for (uint64_t seed = first; seed < first + seeds; seed++)
        chaos(seed, env_ms(4000), counts, &acked);
    print_message("membership chaos: %llu seeds, %zu changes, %zu refused, %zu writes acknowledged\n",
                  (unsigned long long)seeds, counts[0], counts[1], acked);
    assert_true(counts[0] > seeds * 2);
    assert_true(acked > seeds * 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_one_to_three),     cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_removed_replica_stops), cmocka_unit_test(test_return_to_strangers),
        cmocka_unit_test(test_another_address),       cmocka_unit_test(test_g11_promotion_unheard_of),
        cmocka_unit_test(test_chaos_of_members),
    };
    cmocka_set_test_filter(getenv("PINTLE_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

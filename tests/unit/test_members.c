/* Membership's policy (store/members.h) over simulated replicas: joining, odd numbers, replacing, moving, formats. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "loop/sim.h"
#include "store/members.h"

enum { HOSTS = 7, REPLACE_MS = 5000, JOIN_MS = 20000 };

struct host {
    struct world *w;
    size_t i;
    uint64_t id; /* 0 = has not joined */
    unsigned port;
    uint8_t format;
    bool first, failed, witness;
    struct loop *l;
    struct replica *r;
    struct members *m;
};

struct world {
    struct sim *sim;
    struct host hosts[HOSTS];
    size_t n_first;
};

static void on_failed(void *ctx, int err, const char *reason)
{
    struct host *h = ctx;
    (void)err, (void)reason;
    h->failed = true;
}

static void start(struct host *h)
{
    struct raft_member first[HOSTS];
    char why[256], listen[64], api[64], dir[64], info[MEMBERS_INFO_MAX];
    memset(first, 0, sizeof first);
    for (size_t i = 0; i < h->w->n_first; i++) {
        first[i].id = i + 1;
        snprintf(first[i].address, sizeof first[i].address, "n%zu:7443", i + 1);
    }
    snprintf(listen, sizeof listen, "n%zu:%u", h->i + 1, h->port);
    snprintf(api, sizeof api, "n%zu:6443", h->i + 1);
    snprintf(dir, sizeof dir, "/data-%llu", (unsigned long long)h->id);
    struct replica_options o = {.raft = {.dir = dir,
                                         .id = h->id,
                                         .cluster_id = 5,
                                         .members = first,
                                         .n_members = h->w->n_first,
                                         .join = !h->first,
                                         .listen = listen,
                                         .address = listen,
                                         .info = members_info(info, h->witness ? NULL : api, h->witness),
                                         .format = h->format,
                                         .stateless = h->witness,
                                         .snapshot_every = 100,
                                         .segment_bytes = 64 << 10},
                                .failed = on_failed,
                                .ctx = h};
    if (!sim_alive(h->w->sim, h->l))
        sim_start(h->w->sim, h->l);
    h->failed = false;
    assert_int_equal(replica_open(h->l, &o, &h->r, why), 0);
    h->m = members_new(
        h->l, &(struct members_options){
                  .replica = h->r, .api = h->witness ? NULL : api, .replace_ms = REPLACE_MS, .join_ms = JOIN_MS});
    assert_int_equal(replica_start(h->r), 0);
}

static void stop(struct host *h, bool crash)
{
    if (!h->r)
        return;
    sim_kill(h->w->sim, h->l, crash);
    members_free(h->m);
    replica_free(h->r);
    h->r = NULL;
    h->m = NULL;
}

static void world_init(struct world *w, uint64_t seed, size_t first)
{
    *w = (struct world){.sim = sim_new(seed), .n_first = first};
    for (size_t i = 0; i < HOSTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%zu", i + 1);
        w->hosts[i] = (struct host){.w = w, .i = i, .l = sim_host(w->sim, name), .port = 7443, .format = STORE_FORMAT};
        if (getenv("PINTLE_SIM_LOG"))
            loop_log(w->hosts[i].l)->fd = 2;
        if (i >= first)
            continue;
        w->hosts[i].id = i + 1;
        w->hosts[i].first = true;
        start(&w->hosts[i]);
    }
}

static void world_done(struct world *w)
{
    for (size_t i = 0; i < HOSTS; i++)
        stop(&w->hosts[i], false);
    sim_free(w->sim);
}

static struct host *leader(struct world *w)
{
    for (int ms = 0; ms < 20000; ms++) {
        for (size_t i = 0; i < HOSTS; i++)
            if (w->hosts[i].r && replica_is_leader(w->hosts[i].r))
                return &w->hosts[i];
        sim_run_ms(w->sim, 1);
    }
    fail_msg("no leader");
    return NULL;
}

struct call {
    struct members_op op;
    int err;
    bool done;
};

static void call_done(struct members_op *op, int err)
{
    struct call *c = container_of(op, struct call, op);
    c->err = err;
    c->done = true;
}

/* Runs an operation on the leader, again while leadership moves. */
static int run(struct world *w, struct call *c)
{
    for (int tries = 0; tries < 20; tries++) {
        c->done = false;
        c->op.done = call_done;
        members_start(leader(w)->m, &c->op);
        assert_false(c->done);
        for (int ms = 0; !c->done && ms < 60000; ms++)
            sim_run_ms(w->sim, 1);
        assert_true(c->done);
        if (c->err != -EAGAIN)
            return c->err;
        sim_run_ms(w->sim, 1000);
    }
    return -EAGAIN;
}

static int operate(struct world *w, enum members_op_kind kind, uint64_t id)
{
    struct call c = {.op = {.kind = kind, .id = id}};
    return run(w, &c);
}

static uint64_t join(struct world *w, size_t i)
{
    char peer[64], api[64];
    snprintf(peer, sizeof peer, "n%zu:7443", i + 1);
    snprintf(api, sizeof api, "n%zu:6443", i + 1);
    struct call c = {.op = {.kind = MEMBERS_ADD, .peer = peer, .api = api}};
    assert_int_equal(run(w, &c), 0);
    w->hosts[i].id = c.op.ret_id;
    start(&w->hosts[i]);
    return c.op.ret_id;
}

static size_t count(struct world *w, enum raft_member_role role)
{
    struct member_view v[RAFT_MEMBERS_MAX];
    size_t n = members_list(leader(w)->m, v), found = 0;
    for (size_t i = 0; i < n; i++)
        found += v[i].role == role;
    return found;
}

static const struct member_view *view(struct world *w, uint64_t id)
{
    static struct member_view v[RAFT_MEMBERS_MAX];
    size_t n = members_list(leader(w)->m, v);
    for (size_t i = 0; i < n; i++)
        if (v[i].id == id)
            return &v[i];
    return NULL;
}

static void put_done(struct replica_txn *t, int err)
{
    (void)err;
    mem_free(t);
}

static void put_some(struct world *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct replica_txn *t = mem_new(struct replica_txn);
        char key[32];
        struct host *h = leader(w);
        t->done = put_done;
        struct store_op op = {.kind = STORE_PUT, .table = SLICE("things"), .value = SLICE("{\"a\":1}"), .hole = 1};
        op.key = slice_of(key, (size_t)snprintf(key, sizeof key, "k%zu", i));
        replica_txn(h->r, &(struct store_txn){.time_ms = replica_time_ms(h->r), .ops = &op, .n = 1}, t);
        sim_run_ms(w->sim, 2);
    }
}

/* One, then a standby, then three voters; a fourth stays standby; a fifth makes five. */
static void test_seats_stay_odd(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1, 1);
    put_some(&w, 300);
    join(&w, 1);
    sim_run_ms(w.sim, 10000);
    assert_int_equal(count(&w, MEMBER_VOTER), 1);
    assert_int_equal(count(&w, MEMBER_STANDBY), 1);
    join(&w, 2);
    sim_run_ms(w.sim, 10000);
    assert_int_equal(count(&w, MEMBER_VOTER), 3);
    join(&w, 3);
    sim_run_ms(w.sim, 10000);
    assert_int_equal(count(&w, MEMBER_VOTER), 3);
    assert_int_equal(count(&w, MEMBER_STANDBY), 1);
    join(&w, 4);
    sim_run_ms(w.sim, 10000);
    assert_int_equal(count(&w, MEMBER_VOTER), 5);
    join(&w, 5);
    join(&w, 6);
    sim_run_ms(w.sim, 10000);
    assert_int_equal(count(&w, MEMBER_VOTER), MEMBERS_VOTERS_MAX);
    assert_int_equal(count(&w, MEMBER_STANDBY), 2);
    /* Everybody knows everybody's API. */
    for (size_t i = 0; i < HOSTS; i++)
        for (size_t j = 0; j < HOSTS; j++) {
            char api[64];
            snprintf(api, sizeof api, "n%zu:6443", j + 1);
            assert_string_equal(members_api_address(w.hosts[i].m, w.hosts[j].id), api);
        }
    world_done(&w);
}

static void test_lost_voter_is_replaced(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, 3);
    leader(&w);
    uint64_t standby = join(&w, 3);
    sim_run_ms(w.sim, 5000);
    assert_int_equal(view(&w, standby)->role, MEMBER_STANDBY);
    struct host *lost = leader(&w); /* the leader itself, even */
    stop(lost, true);
    sim_run_ms(w.sim, REPLACE_MS + 5000);
    assert_int_equal(view(&w, standby)->role, MEMBER_VOTER);
    assert_int_equal(view(&w, lost->id)->role, MEMBER_STANDBY);
    assert_int_equal(count(&w, MEMBER_VOTER), 3);
    start(lost);
    sim_run_ms(w.sim, 5000);
    assert_int_equal(count(&w, MEMBER_VOTER), 3);
    assert_true(view(&w, lost->id)->connected);
    world_done(&w);
}

static void test_operator_decides(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, 3);
    struct host *first = leader(&w);
    assert_int_equal(operate(&w, MEMBERS_REMOVE, 99), -ENOENT);
    assert_int_equal(operate(&w, MEMBERS_REPLACE, first->id), -EXDEV); /* nobody to take the seat */
    uint64_t id = join(&w, 3);
    sim_run_ms(w.sim, 5000);
    assert_int_equal(operate(&w, MEMBERS_PROMOTE, id), 0);
    sim_run_ms(w.sim, 200);
    assert_int_equal(operate(&w, MEMBERS_TRANSFER, id), 0);
    sim_run_ms(w.sim, 1000);
    assert_int_equal(leader(&w)->id, id);
    assert_int_equal(operate(&w, MEMBERS_DEMOTE, id), 0); /* leads: hands over first */
    sim_run_ms(w.sim, 5000);
    assert_int_equal(view(&w, id)->role, MEMBER_STANDBY);
    assert_true(view(&w, id)->pinned);
    assert_int_equal(count(&w, MEMBER_VOTER), 3);
    /* Pinned, it is not promoted by itself. */
    uint64_t lost = leader(&w)->id;
    stop(leader(&w), true);
    sim_run_ms(w.sim, REPLACE_MS + 5000);
    assert_int_equal(view(&w, id)->role, MEMBER_STANDBY);
    assert_int_equal(operate(&w, MEMBERS_REPLACE, lost), -EXDEV);
    assert_int_equal(operate(&w, MEMBERS_PROMOTE, id), 0);
    assert_int_equal(operate(&w, MEMBERS_REMOVE, lost), 0);
    assert_null(view(&w, lost));
    assert_int_equal(count(&w, MEMBER_VOTER), 3);
    /* An id is never given twice, even when it was the highest. */
    assert_int_equal(operate(&w, MEMBERS_REMOVE, id), 0);
    stop(&w.hosts[3], false);
    uint64_t next = join(&w, 4);
    assert_true(next > id);
    world_done(&w);
}

static void test_removed_one_learns_of_it(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 3);
    struct host *gone = leader(&w) == &w.hosts[0] ? &w.hosts[1] : &w.hosts[0];
    assert_int_equal(operate(&w, MEMBERS_REMOVE, gone->id), 0);
    sim_run_ms(w.sim, 5000);
    assert_true(gone->failed);
    world_done(&w);
}

static void test_newcomer_that_never_comes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 3);
    uint64_t id = join(&w, 3);
    stop(&w.hosts[3], true);
    assert_int_equal(operate(&w, MEMBERS_REMOVE, id), 0);
    struct call c = {.op = {.kind = MEMBERS_ADD, .peer = "nobody:7443", .api = "nobody:6443"}};
    assert_int_equal(run(&w, &c), 0);
    assert_non_null(view(&w, c.op.ret_id));
    struct call again = {.op = {.kind = MEMBERS_ADD, .peer = "nobody:7443", .api = "nobody:6443"}};
    assert_int_equal(run(&w, &again), -EEXIST);
    assert_int_equal(again.op.ret_id, c.op.ret_id);
    sim_run_ms(w.sim, JOIN_MS + 5000);
    assert_null(view(&w, c.op.ret_id));
    world_done(&w);
}

static void test_leader_dies_while_one_joins(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 40; seed++) {
        struct world w;
        world_init(&w, seed, 3);
        put_some(&w, 150);
        join(&w, 3);
        sim_run_ms(w.sim, seed * 37 % 1500); /* spare, standby, with half a snapshot, … */
        struct host *old = leader(&w);
        stop(old, true);
        sim_run_ms(w.sim, 1500);
        start(old);
        join(&w, 4);
        sim_run_ms(w.sim, 20000);
        assert_int_equal(count(&w, MEMBER_VOTER), 5);
        world_done(&w);
    }
}

static void test_another_address(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 6, 3);
    struct host *moved = leader(&w) == &w.hosts[0] ? &w.hosts[1] : &w.hosts[0];
    stop(moved, false);
    moved->port = 9443;
    start(moved);
    sim_run_ms(w.sim, 5000);
    assert_non_null(strstr(view(&w, moved->id)->peer, ":9443"));
    assert_true(view(&w, moved->id)->connected);
    world_done(&w);
}

/* Two nodes and a witness: what is acknowledged survives any one of the three, and the witness keeps nothing of it. */
static void test_witness(void **state)
{
    (void)state;
    for (uint64_t seed = 50; seed < 80; seed++) {
        struct world w;
        world_init(&w, seed, 2);
        put_some(&w, 150);
        w.hosts[2].witness = true;
        join(&w, 2); /* it needs a snapshot, and gets an empty one */
        sim_run_ms(w.sim, 5000);
        assert_int_equal(count(&w, MEMBER_VOTER), 3);
        assert_true(view(&w, 3)->witness);
        assert_string_equal(view(&w, 3)->api, "");
        for (int i = 0; i < 6; i++) {
            struct host *h = i % 2 ? leader(&w) : &w.hosts[sim_random(w.sim, 3)];
            put_some(&w, sim_random(w.sim, 150));
            uint64_t revision = store_revision(replica_store(leader(&w)->r));
            stop(h, sim_random(w.sim, 2));
            sim_run_ms(w.sim, sim_random(w.sim, 3000));
            put_some(&w, 20);
            assert_false(leader(&w)->witness);
            assert_true(store_revision(replica_store(leader(&w)->r)) >= revision);
            start(h);
            sim_run_ms(w.sim, 3000);
        }
        assert_int_equal(store_revision(replica_store(w.hosts[2].r)), 0);
        world_done(&w);
    }
}

/* A mixed cluster stays with the old format; once all know the new one, the old one may not come back. */
static void test_formats(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 7, 3);
    stop(&w.hosts[2], false);
    w.hosts[2].format = STORE_FORMAT_OLDEST;
    start(&w.hosts[2]);
    stop(&w.hosts[1], false);
    w.hosts[1].format = STORE_FORMAT_OLDEST;
    start(&w.hosts[1]);
    sim_run_ms(w.sim, 3000);
    put_some(&w, 50);
    assert_int_equal(store_format(replica_store(leader(&w)->r)), STORE_FORMAT_OLDEST);
    for (size_t i = 1; i < 3; i++) { /* the upgrade */
        stop(&w.hosts[i], false);
        w.hosts[i].format = STORE_FORMAT;
        start(&w.hosts[i]);
        sim_run_ms(w.sim, 2000);
    }
    sim_run_ms(w.sim, 3000);
    put_some(&w, 200);
    sim_run_ms(w.sim, 2000);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(store_format(replica_store(w.hosts[i].r)), STORE_FORMAT);
    stop(&w.hosts[2], false);
    w.hosts[2].format = STORE_FORMAT_OLDEST;
    start(&w.hosts[2]);
    sim_run_ms(w.sim, 3000);
    assert_true(w.hosts[2].failed); /* this binary understands the verdict; an older one is just not heard */
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seats_stay_odd),
        cmocka_unit_test(test_lost_voter_is_replaced),
        cmocka_unit_test(test_operator_decides),
        cmocka_unit_test(test_removed_one_learns_of_it),
        cmocka_unit_test(test_newcomer_that_never_comes),
        cmocka_unit_test(test_leader_dies_while_one_joins),
        cmocka_unit_test(test_another_address),
        cmocka_unit_test(test_witness),
        cmocka_unit_test(test_formats),
    };
    cmocka_set_test_filter(getenv("PINTLE_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

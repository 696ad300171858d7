/* Replicas of the store in the simulated world whose state goes wrong: they must notice, show it to nobody, and get well
 * by themselves. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "env.h"
#include "loop/sim.h"
#include "store/replica.h"

enum { HOSTS = 3, KEYS = 300, CHECK_MS = 1000 };

struct host {
    struct world *w;
    size_t i;
    struct loop *l;
    struct replica *r; /* NULL while down */
    struct metrics metrics;
    struct replica_listener listener;
    size_t fences, recoveries;
    bool failed;
};

struct world {
    struct sim *sim;
    size_t n;
    struct host hosts[HOSTS];
    struct raft_member members[HOSTS];
    uint64_t versions[KEYS]; /* newest acknowledged */
    uint64_t flipped_at;     /* virtual time of the newest damage, 0 = none */
    size_t reads;
    size_t window_events;
    uint64_t window_age_ms;
};

static void on_role(struct replica_listener *l, bool is_leader, uint64_t term, uint64_t leader_id)
{
    (void)l, (void)is_leader, (void)term, (void)leader_id;
}

static void on_fenced(struct replica_listener *l, bool fenced)
{
    struct host *h = container_of(l, struct host, listener);
    h->fences += fenced;
    h->recoveries += !fenced;
    assert_int_equal(replica_fenced(h->r) != NULL, fenced);
}

static void on_failed(void *ctx, int err, const char *reason)
{
    struct host *h = ctx;
    (void)err, (void)reason;
    h->failed = true;
}

static void start(struct world *w, size_t i)
{
    struct host *h = &w->hosts[i];
    char why[256];
    metrics_init(&h->metrics);
    struct replica_options o = {.raft = {.dir = "/data",
                                         .id = i + 1,
                                         .cluster_id = 1,
                                         .members = w->members,
                                         .n_members = w->n,
                                         .listen = w->members[i].address,
                                         .address = w->members[i].address,
                                         .snapshot_every = 200,
                                         .segment_bytes = 1 << 20,
                                         .metrics = &h->metrics},
                                .check_ms = CHECK_MS,
                                .window_events = w->window_events,
                                .window_age_ms = w->window_age_ms,
                                .failed = on_failed,
                                .ctx = h};
    assert_int_equal(replica_open(h->l, &o, &h->r, why), 0);
    h->listener = (struct replica_listener){.role = on_role, .fenced = on_fenced};
    replica_listen(h->r, &h->listener);
    assert_int_equal(replica_start(h->r), 0);
}

static void stop(struct world *w, size_t i, bool crash)
{
    struct host *h = &w->hosts[i];
    sim_kill(w->sim, h->l, crash);
    replica_free(h->r);
    metrics_done(&h->metrics);
    h->r = NULL;
}

static void again(struct world *w, size_t i)
{
    sim_start(w->sim, w->hosts[i].l);
    start(w, i);
}

static void init_hosts(struct world *w)
{
    size_t n = w->n;
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "r%zu", i + 1);
        w->hosts[i] = (struct host){.w = w, .i = i, .l = sim_host(w->sim, name)};
        const char *log = getenv("PINTLE_SIM_LOG");
        if (log)
            loop_log(w->hosts[i].l)->fd = 2;
        w->members[i].id = i + 1;
        snprintf(w->members[i].address, sizeof w->members[i].address, "r%zu:7443", i + 1);
    }
    for (size_t i = 0; i < n; i++)
        start(w, i);
}

static void init(struct world *w, uint64_t seed, size_t n)
{
    *w = (struct world){.sim = sim_new(seed), .n = n};
    init_hosts(w);
}

static void done(struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->hosts[i].r) {
            replica_free(w->hosts[i].r);
            w->hosts[i].r = NULL;
        }
    sim_run_ms(w->sim, 100);
    sim_free(w->sim);
    for (size_t i = 0; i < w->n; i++)
        metrics_done(&w->hosts[i].metrics);
}

static struct host *leader(struct world *w)
{
    for (int ms = 0; ms < 20000; ms += 10) {
        for (size_t i = 0; i < w->n; i++)
            if (w->hosts[i].r && replica_is_leader(w->hosts[i].r))
                return &w->hosts[i];
        sim_run_ms(w->sim, 10);
    }
    fail_msg("no leader");
    return NULL;
}

/* ---- writing and reading ---- */

struct writing {
    struct replica_txn t;
    bool done;
    int err;
};

static void written(struct replica_txn *t, int err)
{
    struct writing *x = container_of(t, struct writing, t);
    x->done = true;
    x->err = err ? err : t->result.err;
}

#define HEAD "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\","

static void value_of(char out[512], size_t key, uint64_t version)
{
    snprintf(out, 512, HEAD "\"uid\":\"u\"},\"spec\":{\"key\":%zu,\"version\":%lu,\"more\":\"%0200d\"}}", key, version,
             7);
}

/* One write, tried until acknowledged. */
static void write_to(struct world *w, const char *table, size_t key, const char *text)
{
    char name[32];
    snprintf(name, sizeof name, "ns/%zu", key);
    struct store_op op = {.kind = STORE_PUT,
                          .table = slice_str(table),
                          .key = slice_str(name),
                          .value = slice_str(text),
                          .hole = sizeof HEAD - 1,
                          .type_len = 1};
    for (int tries = 0; tries < 200; tries++) {
        struct writing x = {.t.done = written};
        struct host *h = leader(w);
        replica_txn(h->r, &(struct store_txn){.time_ms = replica_time_ms(h->r), .ops = &op, .n = 1}, &x.t);
        while (!x.done)
            assert_true(sim_step(w->sim));
        if (!x.err)
            return;
        sim_run_ms(w->sim, 50);
    }
    fail_msg("a write never gets through");
}

static void write_key(struct world *w, size_t key)
{
    char text[512];
    value_of(text, key, w->versions[key] + 1);
    write_to(w, "pods", key, text);
    w->versions[key]++;
}

static void fill(struct world *w)
{
    for (size_t i = 0; i < KEYS; i++)
        write_key(w, i);
}

struct reading {
    struct raft_read read;
    struct host *h;
    bool done;
    int err;
};

static void was_read(struct raft_read *read, int err)
{
    struct reading *x = container_of(read, struct reading, read);
    x->done = true;
    x->err = err;
    if (err)
        return;
    assert_null(replica_fenced(x->h->r)); /* what is served is not known to be wrong */
}

/* Whether the object is whole and not older than what was acknowledged. */
static bool is_right(const struct world *w, const struct host *h, size_t key)
{
    char name[32], part[64];
    snprintf(name, sizeof name, "ns/%zu", key);
    const struct store_item *i = store_get(store_table(replica_store(h->r), SLICE("pods")), slice_str(name));
    snprintf(part, sizeof part, "\"key\":%zu,\"version\":%lu,\"more\":\"%040d", key, w->versions[key], 0);
    return i && strstr(i->value->bytes, part);
}

/* A linearizable read on each replica that gives one: long enough after the damage it must be right. */
static void read_all(struct world *w, size_t key)
{
    for (size_t i = 0; i < w->n; i++) {
        struct reading x = {.read.done = was_read, .h = &w->hosts[i]};
        if (!x.h->r)
            continue;
        replica_barrier(x.h->r, &x.read);
        while (!x.done)
            assert_true(sim_step(w->sim));
        if (x.err)
            continue;
        w->reads++;
        /* a check, a housekeeping round, and the time to compare */
        if (!w->flipped_at || sim_now(w->sim) > w->flipped_at + (uint64_t)(CHECK_MS + 2500) * 1000000)
            assert_true(is_right(w, x.h, key));
    }
}

/* Runs until all replicas are sound and have the same, and right, state. */
static void settle(struct world *w)
{
    for (int ms = 0; ms < 30000; ms += 50) {
        bool same = true;
        struct store *first = replica_store(w->hosts[0].r);
        for (size_t i = 0; i < w->n; i++) {
            struct store *s = replica_store(w->hosts[i].r);
            same = same && !replica_fenced(w->hosts[i].r) && store_hash(s) == store_hash(first) &&
                   store_revision(s) == store_revision(first);
        }
        if (same)
            return;
        sim_run_ms(w->sim, 50);
    }
    fail_msg("the replicas do not agree");
}

static void all_right(struct world *w)
{
    settle(w);
    for (size_t i = 0; i < w->n; i++)
        for (size_t key = 0; key < KEYS; key++)
            assert_true(is_right(w, &w->hosts[i], key));
}

/* ---- damage ---- */

static void damage(struct world *w, size_t i, size_t key, bool with_sum)
{
    char name[32];
    snprintf(name, sizeof name, "ns/%zu", key);
    struct store_item *item = store_get(store_table(replica_store(w->hosts[i].r), SLICE("pods")), slice_str(name));
    char *at = strstr(item->value->bytes, "\"more\":\"");
    at[12] ^= 4;
    if (with_sum)
        item->sum = crc32c(crc32c(0, item->data, item->key_len + item->attrs_len), item->value->bytes, item->value->n);
    w->flipped_at = sim_now(w->sim);
}

static void wait_for_fence(struct world *w, size_t i, size_t fences)
{
    for (int ms = 0; w->hosts[i].fences < fences; ms += 10) {
        assert_true(ms < CHECK_MS + 3000);
        sim_run_ms(w->sim, 10);
    }
}

/* Damage of replica i (counted from the leader) is found, replaced, and the replica goes on under its own id. */
static void one_damage(uint64_t seed, size_t behind_leader, bool with_sum)
{
    struct world w;
    init(&w, seed, 3);
    fill(&w);
    size_t i = (leader(&w)->i + behind_leader) % 3;
    damage(&w, i, 42, with_sum);
    write_key(&w, 7); /* an idle state that was read through is not read again */
    wait_for_fence(&w, i, 1);
    assert_false(replica_is_leader(w.hosts[i].r));
    for (size_t k = 0; k < 30; k++) { /* the others go on meanwhile */
        write_key(&w, k);
        read_all(&w, 42);
    }
    all_right(&w);
    assert_int_equal(w.hosts[i].recoveries, 1);
    for (size_t other = 0; other < 3; other++)
        assert_int_equal(w.hosts[other].fences, other == i);
    /* It counts again: with one of the others gone, writes need it. */
    size_t gone = (i + 1) % 3;
    stop(&w, gone, true);
    write_key(&w, 3);
    again(&w, gone);
    all_right(&w);
    /* And what it has on disk is the sound state. */
    stop(&w, i, true);
    again(&w, i);
    sim_run_ms(w.sim, 3 * CHECK_MS);
    all_right(&w);
    assert_int_equal(w.hosts[i].fences, 1);
    done(&w);
}

static void test_damaged_memory(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (size_t behind = 0; behind < 3; behind++)
            one_damage(seed, behind, false);
}

static void test_wrong_state_that_looks_right(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 13; seed++)
        for (size_t behind = 0; behind < 3; behind++)
            one_damage(seed, behind, true);
}

static void test_fenced_over_a_restart(void **state)
{
    (void)state;
    struct world w;
    init(&w, 5, 3);
    fill(&w);
    size_t i = (leader(&w)->i + 1) % 3;
    damage(&w, i, 42, false);
    write_key(&w, 7);
    while (!replica_fenced(w.hosts[i].r))
        assert_true(sim_step(w.sim));
    for (size_t other = 0; other < 3; other++) { /* nobody to ask */
        sim_cut(w.sim, w.hosts[i].l, w.hosts[other].l, true);
        sim_cut(w.sim, w.hosts[other].l, w.hosts[i].l, true);
    }
    sim_run_ms(w.sim, 3000);
    assert_non_null(replica_fenced(w.hosts[i].r));
    stop(&w, i, true);
    again(&w, i);
    sim_run_ms(w.sim, 1000);
    assert_non_null(replica_fenced(w.hosts[i].r));
    for (size_t other = 0; other < 3; other++) {
        sim_cut(w.sim, w.hosts[i].l, w.hosts[other].l, false);
        sim_cut(w.sim, w.hosts[other].l, w.hosts[i].l, false);
    }
    all_right(&w);
    done(&w);
}

static void test_two_cannot_tell(void **state)
{
    (void)state;
    struct world w;
    init(&w, 6, 2);
    fill(&w);
    damage(&w, 0, 42, true);
    write_key(&w, 7);
    sim_run_ms(w.sim, 5000);
    assert_int_equal(w.hosts[0].fences + w.hosts[1].fences, 0);
    for (size_t i = 0; i < 2; i++)
        assert_true(metrics_one(&w.hosts[i].metrics, METRIC_COUNTER, "pintle_state_disagreements_total", "")->value >
                    0);
    done(&w);
}

static void test_alone_stops(void **state)
{
    (void)state;
    struct world w;
    init(&w, 7, 1);
    fill(&w);
    damage(&w, 0, 42, false);
    write_key(&w, 7);
    for (int ms = 0; !w.hosts[0].failed; ms += 10) {
        assert_true(ms < 5000);
        sim_run_ms(w.sim, 10);
    }
    stop(&w, 0, false);
    again(&w, 0);
    w.hosts[0].failed = false;
    leader(&w);
    sim_run_ms(w.sim, 5000);
    assert_false(w.hosts[0].failed);
    all_right(&w);
    done(&w);
}

/* ---- the window ---- */

/* Leases that are renewed all the time cost the Pods nothing; what is too old goes all the same. */
static void test_leases_keep_to_their_share(void **state)
{
    (void)state;
    enum { WINDOW = 800, AGE_MS = 60000 };
    struct world w;
    init(&w, 8, 0);
    w.n = 3;
    w.window_events = WINDOW;
    w.window_age_ms = AGE_MS;
    init_hosts(&w);
    for (size_t i = 0; i < 50; i++)
        write_key(&w, i);
    for (size_t i = 0; i < 2000; i++)
        write_to(&w, "coordination.k8s.io/leases", i % 10, HEAD "\"uid\":\"u\"},\"spec\":{}}");
    sim_run_ms(w.sim, 5000);
    for (size_t i = 0; i < 3; i++) {
        struct store *s = replica_store(w.hosts[i].r);
        struct store_table *leases = store_table(s, SLICE("coordination.k8s.io/leases"));
        assert_in_range(store_table_events(leases), 1, WINDOW / REPLICA_NOISY_SHARE);
        assert_int_equal(store_table_events(store_table(s, SLICE("pods"))), 50);
        assert_int_equal(store_compacted(s), 0);
        assert_true(store_table_compacted(s, leases) > 50);
    }
    sim_run_ms(w.sim, AGE_MS);
    write_key(&w, 1);
    sim_run_ms(w.sim, 8000);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(store_window_events(replica_store(w.hosts[i].r)), 1);
    done(&w);
}

/* Damage here and there while replicas come and go; never a wrong read later than a check, and in the end all is well. */
static void chaos(uint64_t seed)
{
    struct world w;
    init(&w, seed, 3);
    fill(&w);
    size_t down = 3, fences = 0;
    for (int step = 0; step < 120; step++) {
        size_t i = sim_random(w.sim, 3), key = sim_random(w.sim, KEYS);
        write_key(&w, sim_random(w.sim, KEYS));
        read_all(&w, key);
        if (step % 30 == 5 && down == 3) {
            settle(&w);
            damage(&w, i, key, sim_random(w.sim, 2));
        } else if (step % 30 == 6 && down == 3) {
            down = sim_random(w.sim, 3);
            stop(&w, down, sim_random(w.sim, 2));
        } else if (step % 30 == 12 && down < 3) {
            again(&w, down);
            down = 3;
        }
        sim_run_ms(w.sim, sim_random(w.sim, 600));
    }
    sim_run_ms(w.sim, 5000);
    write_key(&w, 0);
    sim_run_ms(w.sim, 5000);
    all_right(&w);
    for (size_t i = 0; i < 3; i++)
        fences += w.hosts[i].fences;
    printf("seed %lu: %zu fences, %zu reads\n", seed, fences, w.reads);
    done(&w);
}

static void test_chaos(void **state)
{
    (void)state;
    for (uint64_t seed = env_first_seed(100), n = env_seeds(8); n; n--, seed++)
        chaos(seed);
}

int main(void)
{
    cmocka_set_test_filter(getenv("PINTLE_TEST"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_memory),
        cmocka_unit_test(test_wrong_state_that_looks_right),
        cmocka_unit_test(test_fenced_over_a_restart),
        cmocka_unit_test(test_two_cannot_tell),
        cmocka_unit_test(test_alone_stops),
        cmocka_unit_test(test_leases_keep_to_their_share),
        cmocka_unit_test(test_chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

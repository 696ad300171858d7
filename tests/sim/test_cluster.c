/* The whole cluster under chaos by seed: kills, partitions, pauses, slow disks and links. See cluster.h and load.h for
 * what is checked on the way; at the end everything heals and has to come to the state that was asked for. */
#include "client/http.h"
#include "cluster.h"
#include "fake_node.h"
#include "load.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "env.h"
#include "object/meta.h"

enum { SETTLE_MS = 120000, SETTLE_STEP_MS = 200 };

struct totals {
    struct load_totals load;
    size_t elections, kills, cuts, pods;
};

/* ---- faults ---- */

static struct loop *any_host(struct world *w)
{
    size_t i = sim_random(w->sim, REPLICAS + NODES + 1);
    return i < REPLICAS ? w->replicas[i].loop : i < REPLICAS + NODES ? fake_node_loop(w->nodes[i - REPLICAS]) : w->load;
}

static void cut_some(struct world *w)
{
    for (size_t i = 0; i < REPLICAS; i++)
        for (size_t j = 0; j < REPLICAS; j++)
            if (i != j)
                sim_cut(w->sim, w->replicas[i].loop, w->replicas[j].loop, sim_random(w->sim, 3) == 0);
    for (size_t i = 0; i < 3; i++) {
        struct loop *from = any_host(w), *to = any_host(w);
        sim_cut(w->sim, from, to, from != to);
    }
    w->cuts++;
}

static void heal_links(struct world *w)
{
    for (size_t i = 0; i < REPLICAS; i++) {
        struct loop *a = w->replicas[i].loop;
        for (size_t j = 0; j < REPLICAS + NODES + 1; j++) {
            struct loop *b = j < REPLICAS           ? w->replicas[j].loop
                             : j < REPLICAS + NODES ? fake_node_loop(w->nodes[j - REPLICAS])
                                                    : w->load;
            sim_cut(w->sim, a, b, false);
            sim_cut(w->sim, b, a, false);
        }
    }
}

static void slow_link(struct world *w)
{
    struct loop *from = any_host(w), *to = any_host(w);
    uint64_t ms = sim_random(w->sim, 2) ? 1 + sim_random(w->sim, 40) : 0;
    if (from != to)
        sim_latency(w->sim, from, to, 100 + ms * 100, 500 + ms * 1000);
}

static void restart_all(struct world *w)
{
    for (size_t i = 0; i < REPLICAS; i++)
        world_start(w, i);
    for (size_t i = 0; i < NODES; i++)
        fake_node_start(w->nodes[i]);
}

static void kill_one(struct world *w, size_t i, bool crash)
{
    if (world_alive(w) == REPLICAS || sim_random(w->sim, 4) == 0)
        world_kill(w, i, crash);
}

static void disturb(struct world *w)
{
    size_t i = sim_random(w->sim, REPLICAS);
    int leader = world_leader(w);
    bool crash = sim_random(w->sim, 2);
    switch (sim_random(w->sim, 12)) {
    case 0:
        kill_one(w, i, crash);
        break;
    case 1:
        if (leader >= 0)
            kill_one(w, (size_t)leader, crash);
        break;
    case 2:
        fake_node_kill(w->nodes[sim_random(w->sim, NODES)], crash);
        break;
    case 3:
    case 4:
    case 5:
        restart_all(w);
        break;
    case 6:
        cut_some(w);
        break;
    case 7:
    case 8:
        heal_links(w);
        break;
    case 9:
        sim_pause(w->sim, leader >= 0 && crash ? w->replicas[leader].loop : any_host(w), 50 + sim_random(w->sim, 2000));
        break;
    case 10:
        sim_disk(w->sim, w->replicas[i].loop, crash ? 1000 : 100, crash ? 100000 : 1000);
        break;
    case 11:
        slow_link(w);
        break;
    }
}

/* ---- the end ---- */

static bool pod_is_ready(const struct json *pod)
{
    json_each (c, json_path(pod, "status.conditions"))
        if (slice_eq_str(json_path_string(c, "type"), "Ready"))
            return slice_eq_str(json_path_string(c, "status"), "True");
    return false;
}

/* Pods of the Deployment that are ready on a node there is, and all others. */
static void count_pods(struct world *w, size_t *ready, size_t *other)
{
    struct store *s = replica_store(w->replicas[0].replica);
    struct tree_node *root = tree_ref(store_root(store_table(s, SLICE("pods"))));
    struct tree_iter it;
    *ready = *other = 0;
    tree_iter_init(&it, root, SLICE("default/web-"));
    for (struct store_item *item; (item = tree_iter_next(&it));) {
        struct arena a;
        arena_init(&a, 1 << 20);
        const struct json *pod = json_parse(&a, blob_slice(item->value), NULL, NULL, NULL);
        struct slice node = json_path_string(pod, "spec.nodeName");
        bool good = node.n && store_get(store_table(s, SLICE("nodes")), node) && pod_is_ready(pod) &&
                    slice_eq_str(json_path_string(pod, "status.phase"), "Running") && !meta_is_deleting(pod);
        *(good ? ready : other) += 1;
        arena_done(&a);
    }
    tree_unref(root);
}

/* No address belonged to two Services at a time. */
static void check_services(struct world *w)
{
    struct store *s = replica_store(w->replicas[0].replica);
    struct store_watch cursor = {0};
    struct arena a;
    struct map owners; /* address → key of its Service */
    bool lost = false;
    arena_init(&a, 256 << 20);
    map_init(&owners, 0);
    list_init(&cursor.link);
    assert_int_equal(store_watch_start(s, store_table(s, SLICE("services")), 1, &cursor), 0);
    for (const struct store_event *e; (e = store_watch_next(s, &cursor, &lost));) {
        struct slice key = arena_copy(&a, item_key(e->now));
        const struct json *svc = json_parse(&a, blob_slice(e->now->value), NULL, NULL, NULL);
        struct slice ip = json_path_string(svc, "spec.clusterIP");
        const char *owner = map_get(&owners, ip);
        CHECK(w, ip.n && (!owner || slice_eq_str(key, owner)), "%.*s has the address %.*s of %s", (int)key.n, key.p,
              (int)ip.n, ip.p, owner);
        if (e->deleted)
            map_del(&owners, ip);
        else
            map_put(&owners, ip, (void *)(uintptr_t)arena_printf(&a, "%.*s", (int)key.n, key.p));
    }
    store_watch_stop(&cursor);
    map_done(&owners);
    arena_done(&a);
}

/* No name was given to two pods. Their number. */
static size_t check_pods(struct world *w)
{
    struct store *s = replica_store(w->replicas[0].replica);
    struct store_watch cursor = {0};
    struct map seen;
    bool lost = false;
    size_t n = 0;
    map_init(&seen, 0);
    list_init(&cursor.link);
    assert_int_equal(store_watch_start(s, store_table(s, SLICE("pods")), 1, &cursor), 0);
    for (const struct store_event *e; (e = store_watch_next(s, &cursor, &lost));) {
        if (e->before)
            continue;
        struct slice key = item_key(e->now);
        CHECK(w, !map_put(&seen, key, (void *)1), "two pods had the name %.*s", (int)key.n, key.p);
        n++;
    }
    store_watch_stop(&cursor);
    map_done(&seen);
    return n;
}

static void show(struct world *w, const char *table, const char *prefix)
{
    struct tree_node *root = tree_ref(store_root(store_table(replica_store(w->replicas[0].replica), slice_str(table))));
    struct tree_iter it;
    tree_iter_init(&it, root, slice_str(prefix));
    for (struct store_item *item; (item = tree_iter_next(&it)) && slice_starts(item_key(item), slice_str(prefix));)
        fprintf(stderr, "%.*s\n", (int)item->value->n, item->value->bytes);
    tree_unref(root);
}

static void settle(struct world *w, struct load *l)
{
    size_t ready = 0, other = 0;
    bool done = false;
    world_heal(w);
    load_quiet(l);
    for (int ms = 0; ms < SETTLE_MS && !done; ms += SETTLE_STEP_MS) {
        world_run(w, SETTLE_STEP_MS);
        count_pods(w, &ready, &other);
        done = world_agrees(w) && load_settled(l) && ready == (size_t)load_pods_wanted(l) && !other &&
               load_watchers_are_current(l, &w->replicas[0]);
    }
    if (!done) {
        show(w, "apps/deployments", "default/web");
        show(w, "apps/replicasets", "default/web");
        show(w, "pods", "default/web");
    }
    CHECK(w, load_settled(l), "calls are not answered after everything was healed");
    CHECK(w, ready == (size_t)load_pods_wanted(l) && !other, "%zu pods are ready and %zu not, %ld wanted", ready, other,
          load_pods_wanted(l));
    CHECK(w, done, "the replicas do not agree or the watchers do not follow");
}

/* ---- a run ---- */

static uint64_t run(uint64_t seed, uint64_t ms, bool calm, struct totals *t)
{
    struct world *w = mem_new(struct world);
    world_init(w, seed);
    struct load *l = load_new(w);
    world_run(w, 2000);
    for (uint64_t now = 0; now < ms;) {
        uint64_t pause = 50 + sim_random(w->sim, 600);
        world_run(w, pause);
        now += pause;
        if (!calm)
            disturb(w);
    }
    settle(w, l);
    for (size_t i = 0; i < REPLICAS; i++)
        load_check(l, &w->replicas[i]);
    t->pods += check_pods(w);
    check_services(w);
    load_count(l, &t->load);
    t->elections += w->elections;
    t->kills += w->kills;
    t->cuts += w->cuts;
    uint64_t hash = sim_trace_hash(w->sim);
    load_free(l);
    world_done(w);
    mem_free(w);
    return hash;
}

static void print_totals(const char *what, uint64_t seeds, const struct totals *t)
{
    print_message(
        "%s: %lu seeds, %zu elections, %zu kills, %zu cuts, %zu writes acknowledged, %zu unknown, %zu refused, "
        "%zu reads, %zu watch events, %zu watches resumed, %zu scalings, %zu pods\n",
        what, seeds, t->elections, t->kills, t->cuts, t->load.acked, t->load.unknown, t->load.refused, t->load.reads,
        t->load.events, t->load.resumed, t->load.scaled, t->pods);
}

static void test_calm(void **state)
{
    (void)state;
    struct totals t = {0};
    run(1, 3000, true, &t);
    print_totals("calm", 1, &t);
    assert_int_equal(t.elections, 1);
    assert_true(t.load.acked > 20);
    assert_true(t.pods > 0);
}

/* PINTLE_SIM_FIRST, PINTLE_SIM_SEEDS, PINTLE_SIM_MS (virtual), PINTLE_SIM_LOG (i or d). */
static void test_chaos(void **state)
{
    (void)state;
    struct totals t = {0};
    uint64_t first = env_first_seed(1), seeds = env_seeds(6);
    for (uint64_t seed = first; seed < first + seeds; seed++)
        run(seed, env_ms(8000), false, &t);
    print_totals("chaos", seeds, &t);
    assert_true(t.load.acked > seeds * 20);
}

static void test_same_seed_same_run(void **state)
{
    (void)state;
    struct totals t = {0};
    uint64_t seed = env_first_seed(100), ms = env_ms(3000);
    assert_true(run(seed, ms, false, &t) == run(seed, ms, false, &t));
}

/* ---- protection of storage ---- */

struct asked {
    int code;
    bool answered;
};

static void on_asked(void *ctx, const struct client_reply *reply)
{
    struct asked *k = ctx;
    k->code = reply->err ? reply->err : reply->code;
    k->answered = true;
}

/* One request of a client of the cluster; the HTTP code. */
static int ask(struct world *w, struct client *c, enum client_verb verb, const char *plural, const char *name,
               const char *sub, const char *body)
{
    struct asked k = {0};
    struct arena a;
    struct json_error err;
    const struct resource *res = resource_core(plural);
    arena_init(&a, 1 << 20);
    struct client_request q = {.verb = verb,
                               .res = res,
                               .ns = res->namespaced ? SLICE("default") : SLICE_NONE,
                               .name = slice_str(name),
                               .sub = sub,
                               .patch = CLIENT_MERGE_PATCH,
                               .body = body ? json_parse(&a, slice_str(body), &err, NULL, NULL) : NULL};
    client_do(c, &q, on_asked, &k);
    for (int ms = 0; ms < 20000 && !k.answered; ms += 20)
        world_run(w, 20);
    arena_done(&a);
    return k.code;
}

static bool goes(struct world *w, struct client *c, const char *plural, const char *name)
{
    for (int ms = 0; ms < 20000; ms += 200) {
        if (ask(w, c, CLIENT_GET, plural, name, NULL, NULL) == 404)
            return true;
        world_run(w, 200);
    }
    return false;
}

#define CLAIM "\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}"

static void test_storage_stays_while_used(void **state)
{
    static const char pod[] = "{\"metadata\":{\"name\":\"user\"},\"spec\":{\"nodeName\":\"nowhere\",\"containers\":[{"
                              "\"name\":\"c\",\"image\":\"i\"}],\"volumes\":[{\"name\":\"v\","
                              "\"persistentVolumeClaim\":{\"claimName\":\"used\"}}]}}";
    static const char volume[] = "{\"metadata\":{\"name\":\"vol\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},"
                                 "\"accessModes\":[\"ReadWriteOnce\"],\"hostPath\":{\"path\":\"/x\"}}}";
    struct world *w = mem_new(struct world);
    (void)state;
    world_init(w, 7);
    world_run(w, 3000);
    struct client *c =
        client_http_new(w->load, &(struct client_http_options){.servers = world_servers, .n_servers = REPLICAS});
    assert_int_equal(
        ask(w, c, CLIENT_CREATE, "persistentvolumeclaims", NULL, NULL, "{\"metadata\":{\"name\":\"used\"}," CLAIM),
        201);
    assert_int_equal(
        ask(w, c, CLIENT_CREATE, "persistentvolumeclaims", NULL, NULL, "{\"metadata\":{\"name\":\"free\"}," CLAIM),
        201);
    assert_int_equal(ask(w, c, CLIENT_CREATE, "pods", NULL, NULL, pod), 201);
    assert_int_equal(ask(w, c, CLIENT_CREATE, "persistentvolumes", NULL, NULL, volume), 201);
    assert_int_equal(
        ask(w, c, CLIENT_PATCH, "persistentvolumes", "vol", "status", "{\"status\":{\"phase\":\"Bound\"}}"), 200);
    assert_int_equal(ask(w, c, CLIENT_DELETE, "persistentvolumeclaims", "used", NULL, NULL), 200);
    assert_int_equal(ask(w, c, CLIENT_DELETE, "persistentvolumeclaims", "free", NULL, NULL), 200);
    assert_int_equal(ask(w, c, CLIENT_DELETE, "persistentvolumes", "vol", NULL, NULL), 200);
    assert_true(goes(w, c, "persistentvolumeclaims", "free"));
    world_run(w, 3000);
    assert_int_equal(ask(w, c, CLIENT_GET, "persistentvolumeclaims", "used", NULL, NULL), 200);
    assert_int_equal(ask(w, c, CLIENT_GET, "persistentvolumes", "vol", NULL, NULL), 200);
    /* Their user goes, and the binding is released. */
    assert_int_equal(ask(w, c, CLIENT_DELETE, "pods", "user", NULL, "{\"gracePeriodSeconds\":0}"), 200);
    assert_int_equal(
        ask(w, c, CLIENT_PATCH, "persistentvolumes", "vol", "status", "{\"status\":{\"phase\":\"Released\"}}"), 200);
    assert_true(goes(w, c, "persistentvolumeclaims", "used"));
    assert_true(goes(w, c, "persistentvolumes", "vol"));
    client_http_free(c);
    world_done(w);
    mem_free(w);
}

/* ---- damage ---- */

static struct store_item *some_role(struct world *w, size_t i, size_t rank)
{
    struct store *s = replica_store(w->replicas[i].replica);
    struct tree_node *root = store_root(store_table(s, SLICE("rbac.authorization.k8s.io/clusterroles")));
    struct tree_iter it;
    struct store_item *item = NULL;
    tree_iter_init(&it, root, SLICE_NONE);
    for (size_t n = rank % tree_count(root) + 1; n; n--)
        item = tree_iter_next(&it);
    return item;
}

/* A bit of a role changes in one replica's memory; its sum may be made to fit, as if it had been wrong from the start. */
static void damage(struct world *w, size_t i, size_t rank)
{
    struct store_item *item = some_role(w, i, rank);
    char *at = memmem(item->value->bytes, item->value->n, "\"name\":\"", 8);
    at[8] ^= 2;
    w->damaged = true;
    if (sim_random(w->sim, 2))
        item->sum = crc32c(crc32c(0, item->data, item->key_len + item->attrs_len), item->value->bytes, item->value->n);
}

/* Runs until *count is n. */
static bool reaches(struct world *w, const size_t *count, size_t n)
{
    for (int ms = 0; ms < 20000 && *count < n; ms += 20)
        world_run(w, 20);
    return *count == n;
}

/* Under load, with clients that read, watch and check: the replica, leader or not, is found, gets a sound state, and
 * nobody else notices. */
static void test_damaged_state(void **state)
{
    (void)state;
    struct totals t = {0};
    for (uint64_t seed = env_first_seed(300), n = env_seeds(3); n; n--, seed++) {
        struct world *w = mem_new(struct world);
        world_init(w, seed);
        struct load *l = load_new(w);
        world_run(w, 4000);
        for (size_t i = 0; i < REPLICAS; i++) {
            size_t rank = sim_random(w->sim, 1000);
            damage(w, i, rank);
            CHECK(w, reaches(w, &w->replicas[i].fences, 1), "the damage of replica %zu is not found", i + 1);
            CHECK(w, reaches(w, &w->replicas[i].recoveries, 1), "replica %zu stays fenced", i + 1);
            world_run(w, 2000);
            for (size_t j = 0; j < REPLICAS; j++)
                CHECK(w, slice_eq(blob_slice(some_role(w, i, rank)->value), blob_slice(some_role(w, j, rank)->value)),
                      "replica %zu got a wrong state", i + 1);
        }
        settle(w, l);
        for (size_t i = 0; i < REPLICAS; i++)
            load_check(l, &w->replicas[i]);
        load_count(l, &t.load);
        t.elections += w->elections;
        load_free(l);
        world_done(w);
        mem_free(w);
    }
    print_totals("damaged state", env_seeds(3), &t);
    assert_true(t.load.acked > 20);
}

/* PINTLE_TEST: a pattern, to run some of these only. */
int main(void)
{
    cmocka_set_test_filter(getenv("PINTLE_TEST"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calm),
        cmocka_unit_test(test_chaos),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_storage_stays_while_used),
        cmocka_unit_test(test_damaged_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Leadership moves without anybody noticing much: writes wait for the next leader and for no timer, and what a new leader
 * has to read is read in pieces. */
#include "cluster.h"

#include <errno.h>

#include "base/map.h"
#include "base/mem.h"
#include "client/local.h"
#include "net/http.h"

enum {
    OBJECTS = 1500,
    WRITERS = 12, /* outstanding writes */
    MOVES = 12,
    SLOWEST_MS = 12, /* below what a write takes that is tried again after a pause */
    PIECE_MAX = 256  /* objects that an informer may tell of in one turn */
};

struct writer {
    struct load *l;
    struct http_client *server;
    uint64_t began;
    bool busy;
};

struct load {
    struct world *w;
    struct http_client *servers[REPLICAS];
    struct writer writers[WRITERS];
    size_t next, done, failed;
    uint64_t slowest;
    bool stop;
};

static void write_next(struct writer *wr);

static void on_written(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct writer *wr = ctx;
    struct load *l = wr->l;
    (void)trailers, (void)n, (void)sent;
    uint64_t took = sim_now(l->w->sim) - wr->began;
    l->slowest = took > l->slowest ? took : l->slowest;
    l->done++;
    l->failed += err || code != 201;
    wr->busy = false;
    if (!l->stop)
        write_next(wr);
}

static void write_next(struct writer *wr)
{
    static const struct http_header json = {SLICE_INIT("content-type"), SLICE_INIT("application/json")};
    char body[128];
    snprintf(body, sizeof body, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c%zu\"}}",
             wr->l->next++);
    wr->began = sim_now(wr->l->w->sim);
    wr->busy = true;
    http_call(wr->server, &(struct http_call_options){.method = "POST",
                                                      .path = "/api/v1/namespaces/default/configmaps",
                                                      .headers = &json,
                                                      .n_headers = 1,
                                                      .body = slice_str(body),
                                                      .timeout_ms = 10000,
                                                      .on_done = on_written,
                                                      .ctx = wr});
}

static void load_begin(struct load *l, struct world *w)
{
    *l = (struct load){.w = w};
    for (size_t i = 0; i < REPLICAS; i++)
        l->servers[i] = http_client_new(w->load, &(struct http_client_options){.addr = world_servers[i], .h2 = true});
    for (size_t i = 0; i < WRITERS; i++) {
        l->writers[i] = (struct writer){.l = l, .server = l->servers[i % REPLICAS]};
        write_next(&l->writers[i]);
    }
}

static void load_end(struct load *l)
{
    l->stop = true;
    for (size_t i = 0; i < WRITERS; i++)
        while (l->writers[i].busy)
            world_run(l->w, 1);
    for (size_t i = 0; i < REPLICAS; i++)
        http_client_free(l->servers[i]);
}

static void note(void *ctx, int err)
{
    *(int *)ctx = err;
}

static void test_writes_wait_for_the_next_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world *w = mem_new(struct world);
        struct load l;
        world_init_bare(w, seed);
        world_run(w, 2000);
        load_begin(&l, w);
        world_run(w, 300);
        l.slowest = 0;
        for (int i = 0; i < MOVES; i++) {
            int leader = world_leader(w), moved = 1;
            assert_true(leader >= 0);
            raft_node_transfer(replica_raft(w->replicas[leader].replica), 0, 3000, note, &moved);
            world_run(w, 20 + sim_random(w->sim, 80));
            CHECK(w, moved == 0, "leadership does not move (%d)", moved);
        }
        CHECK(w, l.failed == 0, "%zu of %zu writes failed", l.failed, l.done);
        CHECK(w, l.slowest < SLOWEST_MS * (uint64_t)1000000, "a write took %lu us", l.slowest / 1000);
        load_end(&l);
        world_done(w);
        mem_free(w);
    }
}

/* ---- informers ---- */

struct mirror {
    struct map objects; /* key → its revision + 1 */
    size_t told, most;  /* in this turn; in any */
    size_t gone;
    uint64_t at; /* virtual time of the turn */
    struct world *w;
    bool synced;
};

static void on_change(void *ctx, const struct client_object *before, const struct client_object *now)
{
    struct mirror *m = ctx;
    if (sim_now(m->w->sim) != m->at)
        m->told = 0;
    m->at = sim_now(m->w->sim);
    m->told++;
    m->most = !m->synced && m->told > m->most ? m->told : m->most;
    const struct client_object *o = now ? now : before;
    void *had = map_get(&m->objects, o->key);
    assert_true(!had == !before);
    if (now)
        map_put(&m->objects, o->key, (void *)(uintptr_t)(now->revision + 1));
    else
        map_del(&m->objects, o->key);
    m->gone += !now;
}

static void on_synced(void *ctx)
{
    ((struct mirror *)ctx)->synced = true;
}

static const struct informer_handler mirror_handler = {on_change, on_synced};

static bool is_mirrored(void *ctx, const struct client_object *o)
{
    struct mirror *m = ctx;
    assert_ptr_equal(map_get(&m->objects, o->key), (void *)(uintptr_t)(o->revision + 1));
    return true;
}

static void ignore(void *ctx, const struct client_reply *reply)
{
    assert_int_equal(reply->code, 200);
    (*(int *)ctx)++;
}

/* What changes while the informer tells of what there was comes after it, once. */
static void test_informer_lists_in_pieces(void **state)
{
    (void)state;
    struct world *w = mem_new(struct world);
    struct load l;
    struct mirror m = {.w = w};
    int deleted = 0;
    world_init_bare(w, 7);
    world_run(w, 2000);
    load_begin(&l, w);
    while (l.done < OBJECTS)
        world_run(w, 10);
    int leader = world_leader(w);
    struct client *c = client_local_new(w->replicas[leader].api, "test");
    const struct resource *res = resource_core("configmaps");
    map_init(&m.objects, 0);
    struct informer *i = informer_new(c, &(struct informer_options){.res = res}, &mirror_handler, &m);
    for (int k = 0; k < 20; k++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", k * 70 + 3);
        client_do(c,
                  &(struct client_request){
                      .verb = CLIENT_DELETE, .res = res, .ns = SLICE("default"), .name = slice_str(name)},
                  ignore, &deleted);
    }
    while (!m.synced)
        world_run(w, 1);
    while (deleted < 20)
        world_run(w, 1);
    load_end(&l);
    world_run(w, 100);
    assert_in_range(m.most, 1, PIECE_MAX);
    assert_int_equal(m.objects.n, informer_count(i));
    assert_true(m.objects.n > OBJECTS - 20);
    informer_each(i, SLICE(""), is_mirrored, &m);
    informer_free(i);
    client_local_free(c);
    map_done(&m.objects);
    world_done(w);
    mem_free(w);
}

/* ---- clocks ---- */

static bool look(void *ctx, const struct client_object *o)
{
    size_t *ready = ctx;
    struct arena a;
    arena_init(&a, 1 << 20);
    *ready += !json_len(json_path(json_parse(&a, o->json, NULL, NULL, NULL), "spec.taints"));
    arena_done(&a);
    return true;
}

/* Nodes that renew their Leases are alive, also in the eyes of a leader whose clock is a day ahead, or an hour behind. */
static void test_a_wrong_clock_loses_no_nodes(void **state)
{
    (void)state;
    static const struct informer_handler nothing = {.on_change = NULL};
    struct world *w = mem_new(struct world);
    world_init(w, 3);
    world_run(w, 8000);
    for (int day = 0; day < 2; day++) {
        int leader = world_leader(w);
        assert_true(leader >= 0);
        sim_wall_jump(w->sim, w->replicas[leader].loop, (day ? -3600 : 86400) * 1000000000ll);
        world_run(w, 60000);
        size_t ready = 0;
        struct informer *nodes =
            informer_new(w->replicas[leader].controller_client,
                         &(struct informer_options){.res = resource_core("nodes")}, &nothing, NULL);
        informer_each(nodes, SLICE(""), look, &ready);
        informer_free(nodes);
        assert_int_equal(ready, NODES);
    }
    world_done(w);
    mem_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_wait_for_the_next_leader),
        cmocka_unit_test(test_informer_lists_in_pieces),
        cmocka_unit_test(test_a_wrong_clock_loses_no_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

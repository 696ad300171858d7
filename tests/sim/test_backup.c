/* What an operator's last resorts promise, under chaos by seed:
 *  - a read is not older than what was acknowledged before it, or it is marked as possibly stale;
 *  - a saved state is exactly the state that all replicas had at its index;
 *  - the best log of any majority of the directories holds every acknowledged write, and replicas start from it. */
#include "cluster.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "env.h"
#include "net/http.h"
#include "raft/offline.h"
#include "store/archive.h"
#include "store/backup.h"

enum { KEYS = 4, CALL_MS = 3000, RUN_MS = 25000 };

struct totals {
    size_t acked, fresh, marked, refused, saved, recovered;
};

struct load {
    struct world *w;
    struct http_client *servers[REPLICAS];
    uint64_t acked[KEYS]; /* newest acknowledged revision */
    uint64_t written;
    struct totals t;
};

struct call {
    struct load *l;
    size_t key;
    uint64_t floor;
    bool write, marked;
    struct buf body;
};

/* ---- reading and writing, each on any replica ---- */

static uint64_t revision_in(struct slice body)
{
    struct arena a;
    uint64_t revision = 0;
    arena_init(&a, 1 << 20);
    slice_to_u64(json_path_string(json_parse(&a, body, NULL, NULL, NULL), "metadata.resourceVersion"), &revision);
    arena_done(&a);
    return revision;
}

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct call *c = ctx;
    (void)code;
    for (size_t i = 0; i < n; i++)
        c->marked |=
            slice_eq_str(headers[i].name, "warning") &&
            slice_starts(headers[i].value, SLICE("299 - \"no quorum: this state may be stale (last confirmed"));
}

static void on_data(void *ctx, struct slice data)
{
    buf_add_slice(&((struct call *)ctx)->body, data);
}

static void check_read(struct call *c, int code)
{
    struct load *l = c->l;
    if (code != 200 && code != 404) {
        l->t.refused++;
        return;
    }
    uint64_t revision = code == 200 ? revision_in(buf_slice(&c->body)) : 0;
    CHECK(l->w, c->marked || revision >= c->floor,
          "a read that is not marked answers revision %lu, %lu was acknowledged", revision, c->floor);
    *(c->marked ? &l->t.marked : &l->t.fresh) += 1;
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct call *c = ctx;
    struct load *l = c->l;
    (void)trailers, (void)n, (void)sent;
    if (!err && !c->write) {
        check_read(c, code);
    } else if (!err && (code == 200 || code == 201)) {
        uint64_t revision = revision_in(buf_slice(&c->body));
        CHECK(l->w, revision > 0, "an answer without a revision");
        if (revision > l->acked[c->key])
            l->acked[c->key] = revision;
        l->t.acked++;
    }
    buf_done(&c->body);
    mem_free(c);
}

static void start(struct load *l, bool write)
{
    static const struct http_header json = {SLICE_INIT("content-type"), SLICE_INIT("application/json")};
    struct call *c = mem_new(struct call);
    char path[128], body[256] = "";
    *c = (struct call){.l = l, .key = sim_random(l->w->sim, KEYS), .write = write, .body = BUF_INIT(1 << 20)};
    c->floor = l->acked[c->key];
    snprintf(path, sizeof path, "/api/v1/namespaces/default/configmaps/k%zu%s", c->key,
             write ? "?fieldManager=t&force=true" : "");
    if (write)
        snprintf(
            body, sizeof body,
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"k%zu\"},\"data\":{\"v\":\"%lu\"}}",
            c->key, ++l->written);
    const struct http_header apply = {SLICE("content-type"), SLICE("application/apply-patch+yaml")};
    http_call(l->servers[sim_random(l->w->sim, REPLICAS)],
              &(struct http_call_options){.method = write ? "PATCH" : "GET",
                                          .path = path,
                                          .headers = write ? &apply : &json,
                                          .n_headers = write,
                                          .body = slice_str(body),
                                          .timeout_ms = CALL_MS,
                                          .on_head = on_head,
                                          .on_data = on_data,
                                          .on_done = on_done,
                                          .ctx = c});
}

static void load_init(struct load *l, struct world *w)
{
    *l = (struct load){.w = w};
    for (size_t i = 0; i < REPLICAS; i++)
        l->servers[i] = http_client_new(w->load, &(struct http_client_options){.addr = world_servers[i], .h2 = true});
}

static void load_done(struct load *l)
{
    for (size_t i = 0; i < REPLICAS; i++)
        http_client_free(l->servers[i]);
}

/* ---- faults that take quorums away ---- */

static void isolate(struct world *w, size_t i, bool cut)
{
    for (size_t j = 0; j < REPLICAS; j++) {
        if (j == i)
            continue;
        sim_cut(w->sim, w->replicas[i].loop, w->replicas[j].loop, cut);
        sim_cut(w->sim, w->replicas[j].loop, w->replicas[i].loop, cut);
    }
}

static void disturb(struct world *w)
{
    size_t i = sim_random(w->sim, REPLICAS);
    switch (sim_random(w->sim, 40)) {
    case 0:
    case 1:
        isolate(w, i, true);
        break;
    case 2:
        isolate(w, 0, true);
        isolate(w, 1, true);
        break;
    case 3:
        world_kill(w, i, sim_random(w->sim, 2));
        break;
    case 4:
    case 5:
        world_start(w, i);
        break;
    case 6:
        world_heal(w);
        break;
    case 7:
        sim_pause(w->sim, w->replicas[i].loop, 100 + sim_random(w->sim, 3000));
        break;
    }
}

static void run_load(struct load *l, uint64_t ms, bool calm)
{
    uint64_t end = sim_now(l->w->sim) + ms * 1000000;
    while (sim_now(l->w->sim) < end) {
        world_run(l->w, 10 + sim_random(l->w->sim, 80));
        start(l, sim_random(l->w->sim, 3) == 0);
        if (!calm)
            disturb(l->w);
    }
}

static void test_stale_reads_are_marked(void **state)
{
    (void)state;
    struct totals t = {0};
    for (uint64_t seed = env_first_seed(1), n = env_seeds(12); n; n--, seed++) {
        struct world *w = mem_new(struct world);
        struct load l;
        world_init_bare(w, seed);
        load_init(&l, w);
        world_run(w, 2000);
        run_load(&l, RUN_MS, false);
        world_heal(w);
        world_run(w, 6000);
        size_t marked = l.t.marked, fresh = l.t.fresh;
        run_load(&l, 2000, true);
        CHECK(w, l.t.marked == marked && l.t.fresh > fresh, "reads are still marked after all was healed");
        world_run(w, 2 * CALL_MS);
        t.acked += l.t.acked;
        t.fresh += l.t.fresh;
        t.marked += l.t.marked;
        t.refused += l.t.refused;
        load_done(&l);
        world_done(w);
        mem_free(w);
    }
    print_message("%zu writes, %zu fresh reads, %zu marked ones, %zu refused\n", t.acked, t.fresh, t.marked, t.refused);
    assert_true(t.fresh > 50 * env_seeds(12) && t.marked > 5 * env_seeds(12));
}

/* An election is no reason to answer with an old state. */
static void test_elections_mark_nothing(void **state)
{
    (void)state;
    size_t elections = 0;
    for (uint64_t seed = env_first_seed(1), n = env_seeds(12); n; n--, seed++) {
        struct world *w = mem_new(struct world);
        struct load l;
        world_init_bare(w, seed);
        load_init(&l, w);
        world_run(w, 2000);
        for (int i = 0; i < 4; i++) {
            int leader = world_leader(w);
            if (leader >= 0)
                world_kill(w, (size_t)leader, i % 2);
            run_load(&l, 1900, true);
            world_heal(w);
            run_load(&l, 1000, true);
        }
        CHECK(w, l.t.marked == 0, "%zu reads were marked during elections", l.t.marked);
        elections += w->elections;
        world_run(w, 2 * CALL_MS);
        load_done(&l);
        world_done(w);
        mem_free(w);
    }
    assert_true(elections > env_seeds(12));
}

/* ---- saving ---- */

struct saving {
    struct load *l;
    struct backup_check check;
    struct buf file;
    int err, code;
    bool done;
};

static void on_save_data(void *ctx, struct slice data)
{
    struct saving *s = ctx;
    if (!s->err)
        s->err = backup_check_push(&s->check, data);
    buf_add_slice(&s->file, data);
}

static void on_save_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct saving *s = ctx;
    (void)trailers, (void)n, (void)sent;
    s->code = err ? 0 : code;
    s->done = true;
}

/* Saves through replica i while the load goes on. Whether it came to the end. */
static bool save(struct load *l, size_t i, struct saving *s)
{
    uint64_t floor = 0;
    for (size_t k = 0; k < KEYS; k++)
        floor = l->acked[k] > floor ? l->acked[k] : floor;
    *s = (struct saving){.l = l, .file = BUF_INIT(64 << 20)};
    backup_check_init(&s->check);
    http_call(l->servers[i], &(struct http_call_options){.method = "GET",
                                                         .path = "/pintle/v1/snapshot",
                                                         .timeout_ms = 4 * CALL_MS,
                                                         .on_data = on_save_data,
                                                         .on_done = on_save_done,
                                                         .ctx = s});
    while (!s->done)
        run_load(l, 50, false);
    if (s->code != 200 || !s->check.ended)
        return false;
    CHECK(l->w, !s->err, "a saved state is damaged (%d)", s->err);
    CHECK(l->w, s->check.info.revision >= floor, "a saved state has revision %lu, %lu was acknowledged before",
          s->check.info.revision, floor);
    CHECK(l->w, s->check.info.index < l->w->n_hashes && l->w->hashes[s->check.info.index] == s->check.info.hash,
          "a saved state is not what the replicas had at index %lu", s->check.info.index);
    return true;
}

static void save_done(struct saving *s)
{
    backup_check_done(&s->check);
    buf_done(&s->file);
}

static void test_saving(void **state)
{
    (void)state;
    size_t whole = 0, broken = 0;
    for (uint64_t seed = env_first_seed(1), n = env_seeds(6); n; n--, seed++) {
        struct world *w = mem_new(struct world);
        struct load l;
        world_init_bare(w, seed);
        load_init(&l, w);
        world_run(w, 2000);
        for (int i = 0; i < 12; i++) {
            struct saving s;
            run_load(&l, 500, false);
            bool got = save(&l, sim_random(w->sim, REPLICAS), &s);
            *(got ? &whole : &broken) += 1;
            save_done(&s);
        }
        world_heal(w);
        world_run(w, 4 * CALL_MS);
        load_done(&l);
        world_done(w);
        mem_free(w);
    }
    print_message("%zu states saved, %zu broke off\n", whole, broken);
    assert_true(whole > env_seeds(6));
}

/* ---- shipping ---- */

/* What replica i shipped gives, for each base, a state that all replicas had. Its newest index. */
static uint64_t check_shipped(struct world *w, size_t i)
{
    static const struct archive_target all = {UINT64_MAX, UINT64_MAX};
    struct archive a;
    char why[256], dir[32];
    uint64_t newest = 0;
    snprintf(dir, sizeof dir, "/backup/%zu", i + 1);
    if (archive_open(loop_fs(w->replicas[i].loop), dir, &a, why))
        return 0;
    CHECK(w, a.n_bases <= 5, /* keep is 3; one that died may not have come to removing */ "replica %zu keeps %zu bases",
          i + 1, a.n_bases);
    for (size_t b = 0; b < a.n_bases; b++) {
        struct archive_point p = {0};
        struct store *s = store_new();
        int err = archive_restore_from(&a, b, &all, s, &p, why);
        CHECK(w, !err || p.gap, "what replica %zu shipped cannot be read: %s", i + 1, why);
        CHECK(w, p.index < w->n_hashes && (!w->hashes[p.index] || w->hashes[p.index] == store_hash(s)),
              "what replica %zu shipped gives another state at index %lu", i + 1, p.index);
        newest = p.gap ? newest : p.index;
        store_free(s);
    }
    archive_done(&a);
    return newest;
}

/* Replicas die, disks fail; what was shipped is right all the time, and is complete soon after all is well again. */
static void test_shipping(void **state)
{
    (void)state;
    size_t bases = 0, gone = 0;
    for (uint64_t seed = env_first_seed(1), n = env_seeds(10); n; n--, seed++) {
        struct world *w = mem_new(struct world);
        struct load l;
        world_init_shipping(w, seed);
        for (size_t i = 0; i < REPLICAS; i++)
            if (i || seed % 2)
                fs_mkdir_synced(loop_fs(w->replicas[i].loop), "/backup");
        load_init(&l, w);
        world_run(w, 2000);
        for (int i = 0; i < 6; i++) {
            run_load(&l, 2000, i == 0);
            check_shipped(w, sim_random(w->sim, REPLICAS));
        }
        gone += !check_shipped(w, 0);
        fs_mkdir_synced(loop_fs(w->replicas[0].loop), "/backup"); /* where it was not mounted, now it is */
        world_heal(w);
        run_load(&l, 1000, true);
        world_run(w, 2 * CALL_MS + 8000);
        for (size_t i = 0; i < REPLICAS; i++) {
            struct archive a;
            char why[256], dir[32];
            uint64_t index = check_shipped(w, i);
            CHECK(w, index && w->hashes[index] == store_hash(replica_store(w->replicas[i].replica)),
                  "replica %zu has not shipped all: index %lu of %lu", i + 1, index, w->replicas[i].applied);
            snprintf(dir, sizeof dir, "/backup/%zu", i + 1);
            assert_int_equal(archive_open(loop_fs(w->replicas[i].loop), dir, &a, why), 0);
            bases += a.n_bases;
            archive_done(&a);
        }
        load_done(&l);
        world_done(w);
        mem_free(w);
    }
    print_message("%zu bases kept, %zu times no directory at first\n", bases, gone);
    assert_true(bases > 2 * env_seeds(10) && (gone > 0 || env_seeds(10) == 1));
}

/* ---- recovering ---- */

static int source_read(void *ctx, void *p, size_t n)
{
    struct raft_source *source = ctx;
    return source->read(source, p, n);
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    (void)index;
    return store_restore(ctx, source_read, source);
}

static void apply(void *ctx, uint64_t index, struct slice command)
{
    struct store_result res;
    (void)index;
    store_apply(ctx, command, &res);
}

static int sink_write(void *ctx, const void *p, size_t n)
{
    struct raft_sink *sink = ctx;
    return sink->write(sink, p, n);
}

static int write_state(void *frozen, struct raft_sink *sink)
{
    return store_frozen_write(frozen, sink_write, sink);
}

static struct store *read_dir(struct world *w, size_t i, struct raft_dir_info *info)
{
    static const struct raft_dir_visitor visitor = {restore, apply};
    struct store *s = store_new();
    char why[256], dir[32];
    world_data_dir(w, i, dir);
    int err = raft_dir_read(loop_fs(w->replicas[i].loop), dir, &visitor, s, info, why);
    CHECK(w, !err, "directory %zu cannot be read: %s", i + 1, why);
    return s;
}

static void check_acked(struct load *l, struct store *s)
{
    for (size_t k = 0; k < KEYS; k++) {
        char key[32];
        snprintf(key, sizeof key, "default/k%zu", k);
        const struct store_item *i = store_get(store_table(s, SLICE("configmaps")), slice_str(key));
        CHECK(l->w, !l->acked[k] || (i && i->mod_revision >= l->acked[k]), "%s of revision %lu is lost", key,
              l->acked[k]);
    }
}

/* Makes each host's directory anew with this state, and lets all three start from it. */
static void go_on(struct world *w, struct store *s, const struct raft_dir_info *info)
{
    char why[256], dir[32];
    store_rebase(s);
    struct store_frozen *frozen = store_freeze(s);
    for (size_t i = 0; i < REPLICAS; i++) {
        const struct raft_dir_new o = {.cluster_id = 1,
                                       .id = i + 1,
                                       .index = info->last_index + 1,
                                       .term = info->term + 1,
                                       .members = w->members,
                                       .n_members = REPLICAS};
        struct fs *fs = loop_fs(w->replicas[i].loop);
        world_data_dir(w, i, dir);
        int err = raft_dir_set_aside(fs, dir, "before-recover", why);
        CHECK(w, !err, "%s", why);
        err = raft_dir_create(fs, dir, &o, write_state, frozen, why);
        CHECK(w, !err, "%s", why);
        w->replicas[i].applied = 0;
    }
    store_frozen_free(frozen);
    memset(w->hashes, 0, w->n_hashes * sizeof *w->hashes);
    memset(w->leader_of, 0, sizeof w->leader_of);
}

static void recover(struct load *l)
{
    struct world *w = l->w;
    struct raft_dir_info info, other;
    for (size_t i = 0; i < REPLICAS; i++)
        world_kill(w, i, sim_random(w->sim, 2));
    for (size_t i = 0; i < REPLICAS; i++)
        sim_start(w->sim, w->replicas[i].loop);
    size_t a = sim_random(w->sim, REPLICAS), b = (a + 1) % REPLICAS;
    struct store *s = read_dir(w, a, &info), *t = read_dir(w, b, &other);
    if (other.last_term > info.last_term || (other.last_term == info.last_term && other.last_index > info.last_index)) {
        struct store *worse = s;
        s = t;
        t = worse;
        info = other;
    }
    store_free(t);
    check_acked(l, s);
    info.term = info.term > info.last_term ? info.term : info.last_term;
    uint64_t revision = store_revision(s);
    go_on(w, s, &info);
    store_free(s);
    for (size_t i = 0; i < REPLICAS; i++)
        sim_kill(w->sim, w->replicas[i].loop, false);
    world_heal(w);
    world_run(w, 5000);
    CHECK(w, world_agrees(w), "the replicas do not go on after recovery");
    CHECK(w, store_revision(replica_store(w->replicas[0].replica)) >= revision + STORE_REBASE_JUMP,
          "revisions go back");
    check_acked(l, replica_store(w->replicas[0].replica));
    l->t.recovered++;
}

static void test_recovering(void **state)
{
    (void)state;
    size_t recovered = 0, acked = 0;
    for (uint64_t seed = env_first_seed(1), n = env_seeds(10); n; n--, seed++) {
        struct world *w = mem_new(struct world);
        struct load l;
        world_init_bare(w, seed);
        load_init(&l, w);
        world_run(w, 2000);
        run_load(&l, 10000, false);
        recover(&l);
        run_load(&l, 3000, true);
        world_run(w, 2 * CALL_MS);
        check_acked(&l, replica_store(w->replicas[1].replica));
        recovered += l.t.recovered;
        acked += l.t.acked;
        load_done(&l);
        world_done(w);
        mem_free(w);
    }
    print_message("%zu recoveries, %zu writes acknowledged\n", recovered, acked);
    assert_true(recovered == env_seeds(10) && acked > 5 * env_seeds(10));
}

/* PINTLE_TEST: a pattern, to run some of these only. PINTLE_SIM_SEEDS: how many. */
int main(void)
{
    cmocka_set_test_filter(getenv("PINTLE_TEST"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_reads_are_marked),
        cmocka_unit_test(test_elections_mark_nothing),
        cmocka_unit_test(test_saving),
        cmocka_unit_test(test_shipping),
        cmocka_unit_test(test_recovering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

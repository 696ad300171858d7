/* The past of the store: every revision in the window is what it was, whatever was dropped, restored and frozen since. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "store/store.h"

#define HEAD "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\","

enum { TABLES = 3, KEYS = 40, STEPS = 4000 };
static const char *const tables[TABLES] = {"pods", "leases", "apps/deployments"};

static void run(struct store *s, struct buf *b, struct store_result *ret)
{
    assert_int_equal(buf_error(b), 0);
    store_apply(s, buf_slice(b), ret);
    buf_done(b);
}

static struct store_result change(struct store *s, size_t table, size_t key, bool remove, uint64_t time_ms,
                                  const char *actor, const char *more)
{
    char name[32], value[4096];
    struct buf b = BUF_INIT(1 << 20);
    struct store_result res;
    snprintf(name, sizeof name, "ns/%zu", key);
    snprintf(value, sizeof value, HEAD "\"uid\":\"u\"},\"more\":\"%s\"}", more);
    struct store_op op = {.kind = remove ? STORE_DELETE : STORE_PUT,
                          .table = slice_str(tables[table]),
                          .key = slice_str(name),
                          .value = slice_str(value),
                          .hole = sizeof HEAD - 1,
                          .type_len = 1};
    store_txn_encode(&b, &(struct store_txn){.time_ms = time_ms, .ops = &op, .n = 1, .actor = slice_str(actor)});
    run(s, &b, &res);
    assert_int_equal(res.err, 0);
    return res;
}

static struct store *new_store(void)
{
    struct store *s = store_new();
    struct buf b = BUF_INIT(100);
    struct store_result res;
    store_format_encode(&b, 2, 1);
    run(s, &b, &res);
    assert_int_equal(store_format(s), 2);
    return s;
}

static int to_buf(void *ctx, const void *p, size_t n)
{
    return buf_add(ctx, p, n);
}

static int from_slice(void *ctx, void *p, size_t n)
{
    struct slice *s = ctx;
    if (s->n < n)
        return -ENODATA;
    memcpy(p, s->p, n);
    *s = slice_from(*s, n);
    return 0;
}

/* The state as a new store reads it from a snapshot. */
static struct store *through_snapshot(struct store *s)
{
    struct buf out = BUF_INIT(1 << 26);
    struct store *copy = store_new();
    struct store_frozen *f = store_freeze(s);
    assert_int_equal(store_frozen_write(f, to_buf, &out), 0);
    store_frozen_free(f);
    struct slice in = buf_slice(&out);
    assert_int_equal(store_restore(copy, from_slice, &in), 0);
    buf_done(&out);
    store_free(s);
    return copy;
}

/* ---- the model ---- */

struct model {
    uint64_t (*states)[TABLES][KEYS]; /* by revision: each key's mod revision, 0 = absent */
    uint64_t hashes[STEPS + 2], times[STEPS + 2];
    char actors[STEPS + 2][16];
    uint64_t revision, compacted, trimmed[TABLES];
};

static void model_change(struct model *m, const struct store *s, size_t table, size_t key, bool remove,
                         uint64_t time_ms, const char *actor)
{
    if (store_revision(s) == m->revision)
        return; /* a delete of what is not there */
    m->revision++;
    assert_int_equal(store_revision(s), m->revision);
    memcpy(m->states[m->revision], m->states[m->revision - 1], sizeof *m->states);
    m->states[m->revision][table][key] = remove ? 0 : m->revision;
    m->hashes[m->revision] = store_hash(s);
    m->times[m->revision] = time_ms;
    snprintf(m->actors[m->revision], sizeof m->actors[0], "%s", actor);
}

/* The same, in pieces. */
static void check_in_pieces(struct store *s, struct store_table *t, uint64_t revision, const struct tree_node *root)
{
    struct store_frozen *f;
    assert_int_equal(store_past_begin(s, t, revision, &f), 0);
    while (!store_past_some(f, 7))
        continue;
    struct tree_iter a, b;
    tree_iter_init(&a, root, SLICE_NONE);
    tree_iter_init(&b, store_past_root(f), SLICE_NONE);
    for (const struct store_item *i = NULL; (i = tree_iter_next(&a));)
        assert_ptr_equal(i, tree_iter_next(&b));
    assert_null(tree_iter_next(&b));
    while (!store_frozen_free_some(f, 2))
        continue;
}

static void check_table(struct store *s, const struct model *m, size_t table, uint64_t revision)
{
    struct store_table *t = store_table(s, slice_str(tables[table]));
    struct tree_node *root;
    uint64_t lost = m->trimmed[table] > m->compacted ? m->trimmed[table] : m->compacted;
    size_t count = 0;
    assert_int_equal(store_table_compacted(s, t), lost);
    if (revision < lost) {
        assert_int_equal(store_root_at(s, t, revision, &root), -ESTALE);
        return;
    }
    assert_int_equal(store_root_at(s, t, revision, &root), 0);
    for (size_t key = 0; key < KEYS; key++) {
        char name[32];
        snprintf(name, sizeof name, "ns/%zu", key);
        const struct store_item *i = tree_get(root, slice_str(name));
        uint64_t expected = m->states[revision][table][key];
        assert_int_equal(i ? i->mod_revision : 0, expected);
        assert_true(!i || item_intact(i));
        count += expected != 0;
    }
    assert_int_equal(tree_count(root), count);
    check_in_pieces(s, t, revision, root);
    tree_unref(root);
}

static void check_event(struct store *s, const struct model *m, uint64_t revision)
{
    uint64_t hash;
    const struct store_event *e = store_event_at(s, revision);
    if (revision <= m->compacted) {
        assert_null(e);
        return;
    }
    if (!e)
        return; /* of a table that was trimmed */
    assert_int_equal(e->time_ms, m->times[revision]);
    assert_true(slice_eq_str(blob_slice(e->actor), m->actors[revision]));
    assert_int_equal(store_hash_at(s, revision, &hash), 0);
    assert_true(hash == m->hashes[revision]);
}

static void check_time(const struct store *s, const struct model *m, uint64_t revision)
{
    uint64_t got, last = revision;
    while (last < m->revision && m->times[last + 1] == m->times[revision])
        last++;
    int rv = store_revision_at(s, m->times[revision], &got);
    if (rv) {
        assert_int_equal(rv, -ESTALE);
        assert_true(last <= m->compacted || !store_event_at(s, last));
    } else if (store_event_at(s, last)) {
        assert_int_equal(got, last);
    } else { /* another table's event is the newest one left: nothing that is left changed in between */
        assert_true(got <= last);
    }
}

static void drop_some(struct store *s, struct model *m, unsigned *seed)
{
    struct buf b = BUF_INIT(1000);
    struct store_result res;
    uint64_t to = m->compacted + (uint64_t)rand_r(seed) % (m->revision - m->compacted + 1);
    size_t table = (size_t)rand_r(seed) % TABLES;
    if (rand_r(seed) % 4 == 0) {
        to = m->compacted + (to - m->compacted) / 4;
        store_compact_encode(&b, to, 0);
        m->compacted = to;
    } else {
        store_trim_encode(&b, slice_str(tables[table]), to, 0);
        if (to > m->trimmed[table])
            m->trimmed[table] = to;
    }
    run(s, &b, &res);
    assert_int_equal(res.err, 0);
}

static void test_random_past(void **state)
{
    (void)state;
    static struct model m;
    struct store *s = new_store();
    struct store_frozen *held = NULL;
    unsigned seed = 11;
    uint64_t now = 1000;
    m.states = calloc(STEPS + 2, sizeof *m.states);
    for (size_t step = 0; step < STEPS; step++) {
        size_t table = (size_t)rand_r(&seed) % TABLES, key = (size_t)rand_r(&seed) % KEYS;
        bool remove = rand_r(&seed) % 4 == 0;
        const char *actor = rand_r(&seed) % 5 == 0 ? "" : rand_r(&seed) % 2 ? "alice" : "bob";
        now += (uint64_t)rand_r(&seed) % 3;
        change(s, table, key, remove, now, actor, "x");
        model_change(&m, s, table, key, remove, now, actor);
        if (step % 100 == 50)
            drop_some(s, &m, &seed);
        if (step % 400 == 399)
            s = through_snapshot(s);
        if (step % 150 == 149) { /* a frozen state shares blocks while others are dropped */
            if (held)
                while (!store_frozen_free_some(held, 3))
                    continue;
            held = step % 400 < 200 ? store_freeze(s) : NULL;
        }
        uint64_t revision = (uint64_t)rand_r(&seed) % (m.revision + 1);
        for (size_t t = 0; t < TABLES && step % 10 == 0; t++)
            check_table(s, &m, t, revision);
        if (revision) {
            check_event(s, &m, revision);
            check_time(s, &m, revision);
        }
    }
    store_frozen_free(held);
    uint64_t none;
    assert_int_equal(store_hash_at(s, m.revision + 1, &none), -EAGAIN);
    assert_true(m.compacted == 0 || store_hash_at(s, m.compacted - 1, &none) == -ESTALE);
    store_free(s);
    free(m.states);
}

/* ---- one table's share ---- */

static void on_notify(struct store_watch *w)
{
    (void)w;
}

static void test_a_noisy_table_costs_only_itself(void **state)
{
    (void)state;
    struct store *s = new_store();
    struct store_table *pods = store_table(s, SLICE("pods")), *leases = store_table(s, SLICE("leases"));
    struct store_watch on_pods = {.notify = on_notify}, on_leases = {.notify = on_notify};
    struct store_result res;
    struct buf b = BUF_INIT(1000);
    bool lost;
    change(s, 0, 1, false, 10, "alice", "first");
    assert_int_equal(store_watch_start(s, pods, 0, &on_pods), 0);
    assert_int_equal(store_watch_start(s, leases, 0, &on_leases), 0);
    for (size_t i = 0; i < 1000; i++)
        change(s, 1, i % 5, false, 20 + i, "", "renewed");
    assert_int_equal(store_trim_target(leases, 1000, SIZE_MAX), 0);
    assert_int_equal(store_trim_target(pods, 100, SIZE_MAX), 0);
    uint64_t to = store_trim_target(leases, 100, SIZE_MAX);
    assert_int_equal(to, 901);
    store_trim_encode(&b, SLICE("leases"), to, 0);
    run(s, &b, &res);
    assert_int_equal(res.err, 0);
    assert_int_equal(store_table_events(leases), 100);
    assert_int_equal(store_table_events(pods), 1);
    assert_int_equal(store_compacted(s), 0);
    /* The watcher of pods has lost nothing, the one of leases has. */
    const struct store_event *e = store_watch_next(s, &on_pods, &lost);
    assert_int_equal(e->revision, 1);
    assert_null(store_watch_next(s, &on_leases, &lost));
    assert_true(lost);
    store_watch_stop(&on_pods);
    store_watch_stop(&on_leases);
    assert_int_equal(store_watch_start(s, leases, 900, &on_leases), -ESTALE);
    assert_int_equal(store_watch_start(s, leases, 901, &on_leases), 0);
    store_watch_stop(&on_leases);
    /* By bytes too: what an event holds is the item before it. */
    size_t bytes = store_table_window_bytes(leases);
    to = store_trim_target(leases, SIZE_MAX, bytes / 2);
    assert_in_range(to, 940, 960);
    store_free(s);
}

static void test_window_by_age_and_size(void **state)
{
    (void)state;
    struct store *s = new_store();
    for (size_t i = 0; i < 300; i++)
        change(s, i % 2, i % 7, false, 1000 + i, "", "x");
    assert_int_equal(store_compact_older(s, 1000), 0);
    assert_int_equal(store_compact_older(s, 1100), 100);
    assert_int_equal(store_compact_older(s, 99999), 300);
    assert_int_equal(store_compact_target(s, 300, SIZE_MAX), 0);
    assert_int_equal(store_compact_target(s, 100, SIZE_MAX), 200);
    assert_int_equal(store_oldest_time(s), 1000);
    store_free(s);
}

static void test_malformed_checks_and_trims(void **state)
{
    (void)state;
    struct store *s = new_store();
    struct store_result res;
    struct buf b = BUF_INIT(10000);
    char *huge = mem_zalloc(STORE_KEY_MAX + 2);
    memset(huge, 'k', STORE_KEY_MAX + 1);
    store_check_encode(&b, SLICE("pods"), slice_str(huge), 5);
    run(s, &b, &res);
    assert_int_equal(res.err, -EBADMSG);
    assert_null(res.check);
    store_trim_encode(&b, SLICE_NONE, 5, 5);
    run(s, &b, &res);
    assert_int_equal(res.err, -EBADMSG);
    store_trim_encode(&b, SLICE("nothing"), 5, 5); /* no such table: none is made */
    run(s, &b, &res);
    assert_int_equal(res.err, 0);
    assert_null(store_table_at(s, 0));
    /* An actor of any length is cut, not refused. */
    memset(huge, 'a', STORE_KEY_MAX);
    change(s, 0, 1, false, 6, huge, "x");
    assert_int_equal(store_event_at(s, 1)->actor->n, STORE_ACTOR_MAX);
    mem_free(huge);
    store_free(s);
}

/* ---- checks ---- */

static struct store_check check_from(struct store *s, const struct store_check *last)
{
    struct buf b = BUF_INIT(10000);
    struct store_result res;
    store_check_encode(&b, last ? last->table : SLICE_NONE, last ? slice_of(last->key, last->key_n) : SLICE_NONE, 7);
    run(s, &b, &res);
    assert_non_null(res.check);
    return *res.check;
}

/* Checks read everything once, in pieces, the same on a replica whose tables were made in another order. */
static void test_checks_read_everything(void **state)
{
    (void)state;
    enum { COUNT = 8000 };
    struct store *a = new_store(), *b = store_new();
    struct buf format = BUF_INIT(100);
    struct store_result res;
    char more[3000];
    memset(more, 'y', sizeof more - 1);
    more[sizeof more - 1] = '\0';
    store_table(b, SLICE("pods"));
    store_table(b, SLICE("zzz"));
    store_table(b, SLICE("apps/deployments"));
    store_format_encode(&format, 2, 1);
    run(b, &format, &res);
    for (size_t i = 0; i < COUNT; i++) {
        change(a, i % TABLES, i, false, 1000 + i, "", more);
        change(b, i % TABLES, i, false, 1000 + i, "", more);
    }
    size_t items = 0, rounds = 0;
    struct store_check x = check_from(a, NULL), y = check_from(b, NULL);
    for (;; rounds++) {
        assert_true(x.digest == y.digest);
        assert_false(x.damaged);
        assert_true(x.bytes < STORE_CHECK_BYTES + 4096);
        items += x.items;
        if (!x.table.n)
            break;
        x = check_from(a, &x);
        y = check_from(b, &y);
    }
    assert_int_equal(items, COUNT);
    assert_true(rounds >= 2);
    /* One byte, anywhere: the pass that reads it finds it, and no snapshot of it is kept. */
    struct store_item *bad = store_get(store_table(a, SLICE("leases")), SLICE("ns/4"));
    bad->value->bytes[bad->value->n / 2] ^= 1;
    size_t found = 0;
    x = check_from(a, NULL);
    for (found += x.damaged; x.table.n; found += x.damaged)
        x = check_from(a, &x);
    assert_int_equal(found, 1);
    struct buf out = BUF_INIT(1 << 26);
    struct store_frozen *f = store_freeze(a);
    assert_int_equal(store_frozen_write(f, to_buf, &out), -EBADMSG);
    store_frozen_free(f);
    buf_done(&out);
    store_free(a);
    store_free(b);
}

/* ---- freezing ---- */

static double ms_since(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from->tv_sec) * 1e3 + (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

/* A full window: the loop's thread must not notice. The limit is ten times what was measured, for busy machines and
 * sanitizers. */
static void test_freezing_is_quick(void **state)
{
    (void)state;
    struct store *s = new_store();
    struct timespec from;
    for (size_t i = 0; i < 100000; i++)
        change(s, i % TABLES, i % 5000, false, 1000 + i, "alice", "x");
    clock_gettime(CLOCK_MONOTONIC, &from);
    struct store_frozen *f = store_freeze(s);
    double freeze = ms_since(&from), worst = 0, total = 0;
    for (size_t i = 0; i < 5000; i++) /* so that the frozen state has much of its own */
        change(s, i % TABLES, i, false, 200000 + i, "alice", "x");
    for (bool done = false; !done;) {
        clock_gettime(CLOCK_MONOTONIC, &from);
        done = store_frozen_free_some(f, 1000);
        double took = ms_since(&from);
        total += took;
        worst = took > worst ? took : worst;
    }
    printf("freezing 100000 events: %.2f ms; freeing: %.2f ms in pieces of at most %.2f ms\n", freeze, total, worst);
    assert_true(freeze < 50);
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_past),
        cmocka_unit_test(test_a_noisy_table_costs_only_itself),
        cmocka_unit_test(test_window_by_age_and_size),
        cmocka_unit_test(test_malformed_checks_and_trims),
        cmocka_unit_test(test_checks_read_everything),
        cmocka_unit_test(test_freezing_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

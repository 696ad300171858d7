#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/store.h"

/* An object with its resourceVersion missing behind the uid. */
#define HEAD "{\"kind\":\"Pod\",\"apiVersion\":\"v1\","
#define META HEAD "\"metadata\":{\"name\":\"x\","

static struct store_op put_op(const char *key, enum store_compare compare, uint64_t rev, const char *value)
{
    return (struct store_op){.kind = STORE_PUT,
                             .table = SLICE("pods"),
                             .key = slice_str(key),
                             .compare = compare,
                             .mod_revision = rev,
                             .value = slice_str(value),
                             .hole = sizeof META - 1,
                             .type_len = sizeof HEAD - 1};
}

static struct store_result run(struct store *s, const struct store_op *ops, size_t n, uint64_t time_ms, const char *id)
{
    struct buf b = BUF_INIT(1 << 20);
    struct store_result res;
    store_txn_encode(&b, &(struct store_txn){.time_ms = time_ms, .request_id = slice_str(id), .ops = ops, .n = n});
    store_apply(s, buf_slice(&b), &res);
    buf_done(&b);
    return res;
}

static struct store_result put(struct store *s, const char *key)
{
    struct store_op op = put_op(key, STORE_ANY, 0, META "\"labels\":{\"a\":\"b\"}},\"spec\":{}}");
    return run(s, &op, 1, 1000, NULL);
}

static struct store_result del(struct store *s, const char *key)
{
    struct store_op op = {
        .kind = STORE_DELETE, .table = SLICE("pods"), .key = slice_str(key), .compare = STORE_PRESENT};
    return run(s, &op, 1, 1000, NULL);
}

static void test_put_fills_revision(void **state)
{
    (void)state;
    struct store *s = store_new();
    assert_int_equal(put(s, "ns/a").revision, 1);
    assert_int_equal(put(s, "ns/a").revision, 2);
    struct store_item *i = store_get(store_table(s, SLICE("pods")), SLICE("ns/a"));
    assert_slice(blob_slice(i->value), META "\"resourceVersion\":\"2\",\"labels\":{\"a\":\"b\"}},\"spec\":{}}");
    assert_int_equal(i->create_revision, 1);
    assert_int_equal(i->mod_revision, 2);
    assert_slice(slice_from(blob_slice(i->value), i->type_len),
                 "\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"2\",\"labels\":{\"a\":\"b\"}},\"spec\":{}}");
    store_free(s);
}

static void test_compares(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct store_op ops[2] = {put_op("ns/a", STORE_ABSENT, 0, META "}}"), put_op("ns/b", STORE_ABSENT, 0, META "}}")};
    assert_int_equal(run(s, ops, 2, 0, NULL).err, 0);
    assert_int_equal(store_revision(s), 2);
    struct store_result res = run(s, ops, 2, 0, NULL);
    assert_int_equal(res.err, -EEXIST);
    assert_int_equal(res.failed_op, 0);
    assert_int_equal(res.current, 1);
    ops[0] = put_op("ns/a", STORE_AT, 1, META "}}");
    ops[1] = put_op("ns/b", STORE_AT, 1, META "}}");
    res = run(s, ops, 2, 0, NULL);
    assert_int_equal(res.err, -ESTALE);
    assert_int_equal(res.failed_op, 1);
    assert_int_equal(res.current, 2);
    assert_int_equal(store_revision(s), 2); /* all or nothing */
    ops[1] = put_op("ns/c", STORE_PRESENT, 0, META "}}");
    assert_int_equal(run(s, ops, 2, 0, NULL).err, -ENOENT);
    store_free(s);
}

static void test_repeated_request(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct store_op op = put_op("ns/a", STORE_ABSENT, 0, META "}}");
    assert_int_equal(run(s, &op, 1, 0, "id-1").revision, 1);
    struct store_result res = run(s, &op, 1, 0, "id-1");
    assert_true(res.repeated);
    assert_int_equal(res.err, 0);
    assert_int_equal(res.revision, 1);
    assert_int_equal(run(s, &op, 1, 0, "id-2").err, -EEXIST);
    store_free(s);
}

static void test_finding_a_request(void **state)
{
    (void)state;
    struct store *s = store_new();
    uint64_t revision = 0;
    struct store_op op = put_op("ns/a", STORE_ABSENT, 0, META "}}");
    assert_int_equal(store_request_find(s, SLICE("id-1"), 0, &revision), -ENOENT);
    run(s, &op, 1, 0, "id-1");
    assert_int_equal(run(s, &op, 1, 0, "refused").err, -EEXIST);
    assert_int_equal(store_request_find(s, SLICE("id-1"), 0, &revision), 0);
    assert_int_equal(revision, 1);
    assert_int_equal(store_request_find(s, SLICE("refused"), 0, &revision), -ENOENT);
    op.compare = STORE_ANY;
    for (int i = 0; i < STORE_REQUESTS_MAX; i++) {
        char id[32];
        snprintf(id, sizeof id, "next-%d", i);
        run(s, &op, 1, 0, id);
    }
    /* Forgotten: whoever asks about a time that half of the ids are newer than cannot be told. */
    uint64_t now = store_revision(s);
    assert_int_equal(store_request_find(s, SLICE("id-1"), 0, &revision), -ESTALE);
    assert_int_equal(store_request_find(s, SLICE("id-1"), now - STORE_REQUESTS_MAX / 2, &revision), -ESTALE);
    assert_int_equal(store_request_find(s, SLICE("id-1"), now - STORE_REQUESTS_MAX / 2 + 1, &revision), -ENOENT);
    assert_int_equal(store_request_find(s, SLICE("next-0"), 0, &revision), 0);
    assert_int_equal(revision, 2);
    /* A restored cluster begins anew. */
    store_rebase(s);
    assert_int_equal(store_request_find(s, SLICE("next-0"), now, &revision), -ESTALE);
    store_free(s);
}

static void test_malformed_commands(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct store_result res;
    const char *bad[] = {
        "", "\xc1", "\x91\x01", "\x94\x01\x00\xc4\x00\x90", "\x94\x01\x00\xc4\x00\x91\x90", "\x93\x09\x00\x00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        store_apply(s, slice_of(bad[i], i == 3 || i == 4 ? (size_t)(i + 3) : strlen(bad[i])), &res);
        assert_int_equal(res.err, -EBADMSG);
    }
    /* Refused before memory for four thousand million operations is asked for; the time stays as well. */
    store_apply(s, slice_of("\x94\x01\x05\xc4\x00\xdd\xff\xff\xff\xff", 10), &res);
    assert_int_equal(res.err, -EBADMSG);
    assert_int_equal(store_time_ms(s), 0);
    struct store_op op = put_op("ns/a", STORE_ANY, 0, "{}");
    op.value = SLICE_NONE;
    op.hole = op.type_len = 0;
    assert_int_equal(run(s, &op, 1, 7, NULL).err, -EBADMSG);
    assert_int_equal(store_time_ms(s), 0);
    op = put_op("ns/a", STORE_ANY, 0, "{}");
    op.hole = 3; /* past the end */
    assert_int_equal(run(s, &op, 1, 0, NULL).err, -EBADMSG);
    assert_int_equal(store_revision(s), 0);
    store_free(s);
}

struct counting_watch {
    struct store_watch w;
    int notified;
};

static void on_notify(struct store_watch *w)
{
    container_of(w, struct counting_watch, w)->notified++;
}

static void test_watch_sees_every_change_once(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct store_table *t = store_table(s, SLICE("pods"));
    struct counting_watch c = {.w.notify = on_notify};
    bool lost;
    put(s, "ns/a");
    assert_int_equal(store_watch_start(s, t, 5, &c.w), -EAGAIN);
    assert_int_equal(store_watch_start(s, t, 0, &c.w), 0);
    put(s, "ns/a");
    del(s, "ns/a");
    store_notify(s);
    assert_int_equal(c.notified, 1);
    const struct store_event *e = store_watch_next(s, &c.w, &lost);
    assert_int_equal(e->revision, 1);
    assert_null(e->before);
    e = store_watch_next(s, &c.w, &lost);
    assert_int_equal(e->before->mod_revision, 1);
    e = store_watch_next(s, &c.w, &lost);
    assert_true(e->deleted);
    assert_int_equal(e->revision, 3);
    assert_non_null(strstr(e->now->value->bytes, "\"resourceVersion\":\"3\",\"labels\""));
    assert_null(store_watch_next(s, &c.w, &lost));
    assert_false(lost);
    store_watch_stop(&c.w);
    store_free(s);
}

static void test_compaction_loses_slow_watchers(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct store_table *t = store_table(s, SLICE("pods"));
    struct counting_watch c = {.w.notify = on_notify};
    struct store_result res;
    struct buf b = BUF_INIT(1000);
    bool lost;
    assert_int_equal(store_watch_start(s, t, 0, &c.w), 0);
    for (int i = 0; i < 100; i++)
        put(s, "ns/a");
    assert_int_equal(store_compact_target(s, 10, SIZE_MAX), 90);
    assert_int_equal(store_compact_target(s, 100, SIZE_MAX), 0);
    store_compact_encode(&b, 90, 0);
    store_apply(s, buf_slice(&b), &res);
    buf_done(&b);
    store_notify(s);
    assert_null(store_watch_next(s, &c.w, &lost));
    assert_true(lost);
    store_watch_stop(&c.w);
    assert_int_equal(store_window_events(s), 10);
    assert_int_equal(store_watch_start(s, t, 89, &c.w), -ESTALE);
    assert_int_equal(store_watch_start(s, t, 90, &c.w), 0);
    struct tree_node *root;
    assert_int_equal(store_root_at(s, t, 89, &root), -ESTALE);
    assert_int_equal(store_root_at(s, t, 101, &root), -EAGAIN);
    store_watch_stop(&c.w);
    store_free(s);
}

static void test_root_at_a_revision(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct store_table *t = store_table(s, SLICE("pods"));
    put(s, "ns/a");
    put(s, "ns/b");
    put(s, "ns/a"); /* 3 */
    del(s, "ns/b");
    put(s, "ns/c"); /* 5 */
    struct tree_node *root;
    assert_int_equal(store_root_at(s, t, 2, &root), 0);
    assert_int_equal(tree_count(root), 2);
    assert_int_equal(tree_get(root, SLICE("ns/a"))->mod_revision, 1);
    assert_non_null(tree_get(root, SLICE("ns/b")));
    tree_unref(root);
    assert_int_equal(store_root_at(s, t, 0, &root), 0);
    assert_int_equal(tree_count(root), 0);
    tree_unref(root);
    assert_int_equal(tree_count(store_root(t)), 2);
    store_free(s);
}

static void test_expiry(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct store_op op = put_op("ns/a", STORE_ANY, 0, META "}}");
    op.ttl_ms = 1000;
    run(s, &op, 1, 5000, NULL);
    struct store_op again = op;
    again.key = SLICE("ns/b");
    run(s, &again, 1, 5500, NULL);
    op.ttl_ms = 0; /* a renewed object does not expire */
    assert_false(store_expiry_due(s, 5999));
    assert_true(store_expiry_due(s, 6000));
    struct buf b = BUF_INIT(1000);
    struct store_result res;
    store_expire_encode(&b, 6000);
    store_apply(s, buf_slice(&b), &res);
    buf_done(&b);
    assert_null(store_get(store_table(s, SLICE("pods")), SLICE("ns/a")));
    assert_non_null(store_get(store_table(s, SLICE("pods")), SLICE("ns/b")));
    assert_int_equal(store_time_ms(s), 6000);
    run(s, &op, 1, 1, NULL); /* time never goes back */
    assert_int_equal(store_time_ms(s), 6000);
    store_free(s);
}

/* Against a plain array: random puts and deletes, with roots held now and then. */
static void test_tree_random(void **state)
{
    (void)state;
    enum { KEYS = 500, STEPS = 20000 };
    struct store *s = store_new();
    struct store_table *t = store_table(s, SLICE("pods"));
    bool present[KEYS] = {false};
    struct tree_node *held = NULL;
    size_t held_count = 0, count = 0;
    unsigned seed = 7;
    for (int i = 0; i < STEPS; i++) {
        char key[32];
        int k = rand_r(&seed) % KEYS;
        snprintf(key, sizeof key, "ns/%d", k);
        if (rand_r(&seed) % 3) {
            put(s, key);
            count += !present[k];
            present[k] = true;
        } else {
            assert_int_equal(del(s, key).err, present[k] ? 0 : -ENOENT);
            count -= present[k];
            present[k] = false;
        }
        assert_int_equal(tree_count(store_root(t)), count);
        if (i % 1000 == 0) {
            if (held)
                assert_int_equal(tree_count(held), held_count);
            tree_unref(held);
            held = tree_ref(store_root(t));
            held_count = count;
        }
    }
    struct tree_iter it;
    struct slice last = SLICE_NONE;
    size_t seen = 0;
    tree_iter_init(&it, store_root(t), SLICE_NONE);
    for (struct store_item *item; (item = tree_iter_next(&it)); seen++) {
        assert_true(slice_cmp(last, item_key(item)) < 0);
        assert_int_equal(tree_rank(store_root(t), item_key(item)), seen);
        last = item_key(item);
    }
    assert_int_equal(seen, count);
    seen = 0;
    tree_iter_init(&it, store_root(t), SLICE("ns/3"));
    for (struct store_item *item; (item = tree_iter_next(&it)); seen++)
        assert_true(slice_cmp(item_key(item), SLICE("ns/3")) >= 0);
    assert_int_equal(seen, count - tree_rank(store_root(t), SLICE("ns/3")));
    tree_unref(held);
    store_free(s);
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

static void test_snapshot_keeps_everything(void **state)
{
    (void)state;
    struct store *s = store_new(), *copy = store_new();
    struct buf out = BUF_INIT(1 << 24);
    struct store_result res;
    put(s, "ns/old");
    put(s, "ns/gone");
    store_compact_encode(&out, 1, 0);
    store_apply(s, buf_slice(&out), &res);
    buf_clear(&out);
    struct store_op op = put_op("ns/a", STORE_ABSENT, 0, META "}}");
    op.ttl_ms = 10;
    run(s, &op, 1, 77, "request");
    put(s, "ns/old");
    del(s, "ns/gone");
    put(s, "ns/old");
    struct store_frozen *f = store_freeze(s);
    put(s, "ns/later");
    assert_int_equal(store_frozen_write(f, to_buf, &out), 0);
    store_frozen_free(f);

    /* A watcher of the restored replica goes on where it was when its place is still known. */
    struct counting_watch c = {.w.notify = on_notify};
    bool lost;
    put(copy, "ns/x");
    put(copy, "ns/x");
    put(copy, "ns/x");
    assert_int_equal(store_watch_start(copy, store_table(copy, SLICE("pods")), 3, &c.w), 0);
    struct slice in = buf_slice(&out);
    assert_int_equal(store_restore(copy, from_slice, &in), 0);
    assert_int_equal(store_revision(copy), 6);
    assert_int_equal(store_compacted(copy), 1);
    assert_int_equal(store_time_ms(copy), 1000);
    assert_int_equal(store_window_events(copy), 5);
    assert_int_equal(tree_count(store_root(store_table(copy, SLICE("pods")))), 2);
    const struct store_event *e = store_watch_next(copy, &c.w, &lost);
    assert_int_equal(e->revision, 4);
    assert_int_equal(e->before->mod_revision, 1);
    e = store_watch_next(copy, &c.w, &lost);
    assert_true(e->deleted);
    assert_int_equal(e->before->mod_revision, 2);
    e = store_watch_next(copy, &c.w, &lost);
    assert_int_equal(e->before->mod_revision, 4);
    store_watch_stop(&c.w);
    assert_true(store_expiry_due(copy, 2000));
    assert_true(run(copy, &op, 1, 0, "request").repeated);
    /* From here on both develop alike. */
    put(copy, "ns/later");
    assert_true(store_hash(s) == store_hash(copy));
    assert_int_equal(store_bytes(s), store_bytes(copy));

    /* Cut short anywhere, a snapshot is refused. */
    for (size_t n = 0; n < out.n; n += 7) {
        struct store *broken = store_new();
        in = slice_of(out.p, n);
        assert_int_equal(store_restore(broken, from_slice, &in), -EBADMSG);
        store_free(broken);
    }
    buf_done(&out);
    store_free(s);
    store_free(copy);
}

static void test_attrs(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    attrs_add(&b, STORE_ATTR_LABEL, SLICE("app"), SLICE("web"));
    attrs_add(&b, STORE_ATTR_FIELD, SLICE("app"), SLICE(""));
    assert_slice(attrs_get(buf_slice(&b), STORE_ATTR_LABEL, SLICE("app")), "web");
    assert_non_null(attrs_get(buf_slice(&b), STORE_ATTR_FIELD, SLICE("app")).p);
    assert_null(attrs_get(buf_slice(&b), STORE_ATTR_FIELD, SLICE("ap")).p);
    assert_null(attrs_get(slice_of(b.p, b.n - 1), STORE_ATTR_FIELD, SLICE("app")).p);
    buf_done(&b);
}

/* What a damaged or foreign state may hold: no end of the member that is replaced. */
static void test_last_state_without_an_end(void **state)
{
    static const char *const values[] = {"", "{}", "{\"spec\":{\"resourceVersion\":\"1\"}}", "\"resourceVersion\":\""};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct store_item *item = item_new(SLICE("a/b"), SLICE_NONE, blob_copy(slice_str(values[i])), 0);
        struct store_item *last = item_at_revision(item, 77);
        assert_slice(blob_slice(last->value), values[i]);
        assert_int_equal(last->mod_revision, 77);
        item_unref(item);
        item_unref(last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_fills_revision),
        cmocka_unit_test(test_compares),
        cmocka_unit_test(test_repeated_request),
        cmocka_unit_test(test_finding_a_request),
        cmocka_unit_test(test_malformed_commands),
        cmocka_unit_test(test_watch_sees_every_change_once),
        cmocka_unit_test(test_compaction_loses_slow_watchers),
        cmocka_unit_test(test_root_at_a_revision),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_tree_random),
        cmocka_unit_test(test_snapshot_keeps_everything),
        cmocka_unit_test(test_attrs),
        cmocka_unit_test(test_last_state_without_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

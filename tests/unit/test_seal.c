/* Objects sealed and opened again: byte for byte what they would be without, and never anything else. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apiserver/seal.h"
#include "apiserver/write.h"
#include "auth/sealer.h"
#include "loop/sim.h"
#include "unit_json.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

struct world {
    struct sim *sim;
    struct api api;
    struct sealer *sealer;
    struct arena a;
};

static const char *const sealed[] = {"secrets", "widgets.example.com"};

static void world_init(struct world *x, const char *keys)
{
    char why[256];
    *x = (struct world){.sim = sim_new(1)};
    assert_int_equal(sealer_parse(slice_str(keys), &x->sealer, why), 0);
    x->api.loop = sim_host(x->sim, "n1");
    x->api.o.sealer = x->sealer;
    x->api.o.sealed = sealed;
    x->api.o.n_sealed = 2;
    arena_init(&x->a, 1 << 20);
}

static void world_done(struct world *x)
{
    arena_done(&x->a);
    sealer_free(x->sealer);
    sim_free(x->sim);
}

/* The object at a revision, as the store has it: sealed or not. */
static struct store_item *store(struct world *x, const char *text, const char *key, bool seal, uint64_t revision)
{
    struct buf value = BUF_INIT(1 << 20);
    uint32_t hole, type_len;
    struct json_error err;
    struct json *obj = json_parse(&x->a, slice_str(text), &err, NULL, NULL);
    assert_non_null(obj);
    assert_int_equal(api_encode(obj, &value, &hole, &type_len), 0);
    if (seal)
        assert_int_equal(api_seal(&x->api, resource_core("secrets"), slice_str(key), &value, &hole, &type_len), 0);
    struct blob *b = item_fill_revision(buf_slice(&value), hole, revision);
    buf_done(&value);
    struct store_item *item = item_new(slice_str(key), SLICE_NONE, b, type_len);
    item->mod_revision = revision;
    return item;
}

static const char text[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"n\",\"namespace\":\"ns\","
    "\"creationTimestamp\":\"2026-11-21T10:00:00Z\",\"annotations\":{\"a\":\"pencil\"}},"
    "\"data\":{\"v\":\"cGVuY2ls\"},\"type\":\"Opaque\"}";

static void expect_same(struct world *x, const struct store_item *item, const struct store_item *plain)
{
    struct api_plain open;
    assert_int_equal(api_open(&x->api, item, &open), 0);
    assert_int_equal(open.type_len, plain->type_len);
    assert_int_equal(open.value->n, plain->value->n);
    assert_memory_equal(open.value->bytes, plain->value->bytes, open.value->n);
    blob_unref(open.value);
}

static void test_same_bytes(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "new:" KEY_A);
    for (uint64_t revision = 1; revision < 10000000000; revision = revision * 7 + 3) {
        struct store_item *item = store(&x, text, "ns/n", true, revision);
        struct store_item *plain = store(&x, text, "ns/n", false, revision);
        assert_true(api_is_sealed(item));
        assert_false(api_is_sealed(plain));
        assert_slice(api_seal_key(item), "new");
        assert_null(memmem(item->value->bytes, item->value->n, "pencil", 6));
        assert_null(memmem(item->value->bytes, item->value->n, "cGVuY2ls", 8));
        expect_same(&x, item, plain);
        expect_same(&x, plain, plain);
        /* The last state of what was deleted has the deletion's revision. */
        struct store_item *gone = item_at_revision(item, revision + 5),
                          *gone_plain = item_at_revision(plain, revision + 5);
        expect_same(&x, gone, gone_plain);
        item_unref(item);
        item_unref(plain);
        item_unref(gone);
        item_unref(gone_plain);
    }
    world_done(&x);
}

static void expect_error(struct world *x, const struct store_item *item, int want, const char *says)
{
    struct api_plain open = {NULL, 0};
    struct status st = {0};
    int err = api_open(&x->api, item, &open);
    assert_int_equal(err, want);
    assert_null(open.value);
    api_open_status(item, err, &x->a, &st);
    assert_int_equal(st.code, 500);
    if (!strstr(st.message, says))
        fail_msg("%s", st.message);
}

static void test_locked(void **state)
{
    (void)state;
    struct world x, other, wrong;
    world_init(&x, "new:" KEY_A);
    world_init(&other, "third:" KEY_B);
    world_init(&wrong, "new:" KEY_B);
    struct store_item *item = store(&x, text, "ns/n", true, 7);
    expect_error(&other, item, -ENOKEY, "ns/n is encrypted with the key \"new\"");
    expect_error(&wrong, item, -EBADMSG, "ns/n cannot be decrypted with the key \"new\"");
    /* In another object's place, or said to be of another kind. */
    struct store_item *moved = item_new(SLICE("ns/m"), SLICE_NONE, blob_ref(item->value), item->type_len);
    expect_error(&x, moved, -EBADMSG, "ns/m cannot be decrypted");
    x.api.o.sealer = NULL;
    expect_error(&x, item, -ENOKEY, "which is not in this replica's --encryption-key-file");
    item_unref(item);
    item_unref(moved);
    world_done(&x);
    world_done(&other);
    world_done(&wrong);
}

static void test_outdated(void **state)
{
    (void)state;
    struct world x, next;
    world_init(&x, "old:" KEY_A);
    world_init(&next, "new:" KEY_B "\nold:" KEY_A);
    const struct resource *secrets = resource_core("secrets"), *maps = resource_core("configmaps");
    struct store_item *item = store(&x, text, "ns/n", true, 7), *plain = store(&x, text, "ns/n", false, 7);
    assert_false(api_seal_outdated(&x.api, secrets, item));
    assert_true(api_seal_outdated(&x.api, secrets, plain));
    assert_true(api_seal_outdated(&next.api, secrets, item));
    expect_same(&next, item, plain);
    assert_true(api_seal_outdated(&x.api, maps, item));
    assert_false(api_seal_outdated(&x.api, maps, plain));
    x.api.o.sealer = NULL;
    assert_false(api_seal_outdated(&x.api, secrets, plain));
    item_unref(item);
    item_unref(plain);
    world_done(&x);
    world_done(&next);
}

/* Whatever a client writes, what is stored for it is not taken for a sealed object. */
static void test_not_to_be_forged(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "k:" KEY_A);
    x.api.o.sealer = NULL;
    static const char forged[] =
        "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"7\",\"creationTimestamp\":null,"
        "\"name\":\"n\"},\"sealed\":\"k:AAAA\"}";
    struct store_item *item = store(&x, forged, "n", false, 9);
    assert_false(api_is_sealed(item));
    item_unref(item);
    world_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_outdated),
        cmocka_unit_test(test_not_to_be_forged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* JSON texts: what is read, written and read again is the same, by value and by bytes; repeated names are told; and
 * looking things up, copying and comparing take any tree. */
#include "fuzz.h"

static void on_duplicate(void *ctx, const char *path, struct slice name)
{
    size_t *n = ctx;
    FUZZ_CHECK(path && (name.p || name.n == 0));
    (*n)++;
}

static void walk(const struct json *v)
{
    json_each (it, v) {
        FUZZ_CHECK(v->type != JSON_OBJECT || json_get(v, it->key));
        walk(it);
    }
}

static void check_json(struct arena *a, const struct json *v)
{
    struct buf once = BUF_INIT(16 << 20), twice = BUF_INIT(16 << 20);
    struct json *copy = json_clone(a, v), *back;
    walk(v);
    FUZZ_CHECK(!copy || json_equal(copy, v));
    if (json_write(&once, v) == 0 && (back = fuzz_json(a, buf_slice(&once)))) {
        FUZZ_CHECK(json_equal(back, v));
        FUZZ_CHECK(json_write(&twice, back) == 0 && slice_eq(buf_slice(&once), buf_slice(&twice)));
    }
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct json_error err;
    struct arena a;
    size_t repeated = 0;
    arena_init(&a, FUZZ_ARENA_MAX);
    struct json *v = json_parse(&a, slice_of((const char *)p, n), &err, on_duplicate, &repeated);
    if (v)
        check_json(&a, v);
    else
        FUZZ_CHECK(err.message && err.offset <= n);
    arena_done(&a);
    return 0;
}

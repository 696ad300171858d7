/* Commands and snapshots of the store. First byte even: commands, each behind a length of two bytes; every command has
 * the same effect on two stores, and what results survives a snapshot. Odd: the rest is a snapshot. */
#include "fuzz.h"

#include <errno.h>

#include "store/store.h"

static int take(void *ctx, void *p, size_t n)
{
    struct slice *s = ctx;
    if (n > s->n)
        return -EBADMSG;
    if (n)
        memcpy(p, s->p, n);
    *s = slice_from(*s, n);
    return 0;
}

static int put(void *ctx, const void *p, size_t n)
{
    return buf_add(ctx, p, n);
}

static void check_snapshot(struct store *s)
{
    struct buf b = BUF_INIT(64 << 20);
    struct store_frozen *f = store_freeze(s);
    FUZZ_CHECK(store_frozen_write(f, put, &b) == 0);
    store_frozen_free(f);
    struct slice rest = buf_slice(&b);
    struct store *back = store_new();
    FUZZ_CHECK(store_restore(back, take, &rest) == 0);
    FUZZ_CHECK(rest.n == 0);
    FUZZ_CHECK(store_revision(back) == store_revision(s));
    FUZZ_CHECK(store_hash(back) == store_hash(s));
    FUZZ_CHECK(store_bytes(back) == store_bytes(s));
    store_free(back);
    buf_done(&b);
}

static void apply_both(struct store *a, struct store *b, struct slice command)
{
    struct store_result ra, rb;
    uint64_t before = store_revision(a), hash = store_hash(a), time_ms = store_time_ms(a);
    store_apply(a, command, &ra);
    store_apply(b, command, &rb);
    FUZZ_CHECK(ra.err == rb.err && ra.revision == rb.revision && ra.failed_op == rb.failed_op);
    FUZZ_CHECK(store_hash(a) == store_hash(b));
    FUZZ_CHECK(!ra.check == !rb.check);
    if (ra.check)
        FUZZ_CHECK(ra.check->digest == rb.check->digest && !ra.check->damaged && !rb.check->damaged);
    FUZZ_CHECK(store_revision(a) >= before);
    if (ra.err == -EBADMSG)
        FUZZ_CHECK(store_revision(a) == before && store_hash(a) == hash && store_time_ms(a) == time_ms);
    store_notify(a);
}

static void run_commands(struct slice s)
{
    struct store *a = store_new(), *b = store_new();
    while (s.n >= 2) {
        size_t n = (uint8_t)s.p[0] | (size_t)(uint8_t)s.p[1] << 8;
        s = slice_from(s, 2);
        n = n < s.n ? n : s.n;
        apply_both(a, b, slice_of(s.p, n));
        s = slice_from(s, n);
    }
    check_snapshot(a);
    store_free(a);
    store_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    struct slice s = slice_of(p + 1, n - 1);
    if (p[0] % 2 == 0) {
        run_commands(s);
        return 0;
    }
    struct store *st = store_new();
    if (store_restore(st, take, &s) == 0)
        check_snapshot(st);
    store_free(st);
    return 0;
}

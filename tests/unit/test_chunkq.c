/* The queue of outgoing bytes against a plain string. */
#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/chunkq.h"

static void check(const struct chunkq *q, const struct buf *want)
{
    size_t n, at = 0;
    const struct chunk *c = chunkq_chunks(q, &n);
    assert_int_equal(q->bytes, want->n);
    for (size_t i = 0; i < n; i++) {
        assert_true(c[i].n > 0 && at + c[i].n <= want->n);
        assert_memory_equal(c[i].p, want->p + at, c[i].n);
        at += c[i].n;
    }
    assert_int_equal(at, want->n);
}

static struct blob *pattern(size_t n, unsigned *seed)
{
    struct blob *b = blob_new(n);
    for (size_t i = 0; b && i < n; i++)
        b->bytes[i] = (char)('a' + (*seed)++ % 26);
    return b;
}

static void test_against_a_string(void **state)
{
    (void)state;
    struct chunkq q, to;
    struct buf want = BUF_INIT(1 << 24), moved = BUF_INIT(1 << 24);
    unsigned seed = 1;
    chunkq_init(&q);
    chunkq_init(&to);
    srand(1);
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = (size_t)rand() % (i % 50 == 0 ? 40000 : 700);
        struct blob *b = pattern(n, &seed);
        switch (rand() % 4) {
        case 0:
            assert_int_equal(chunkq_push(&q, chunk_part(b, 0, n)), 0);
            buf_add(&want, b->bytes, n);
            break;
        case 1:
            assert_int_equal(chunkq_copy(&q, b->bytes, n), 0);
            buf_add(&want, b->bytes, n);
            break;
        case 2:
            n = n < q.bytes ? n : q.bytes;
            chunkq_drop(&q, n);
            buf_shift(&want, n);
            break;
        default:
            n = n < q.bytes ? n : q.bytes;
            assert_int_equal(chunkq_move(&to, &q, n), 0);
            buf_add(&moved, want.p, n);
            buf_shift(&want, n);
        }
        blob_unref(b);
        if (i % 10 == 0) {
            check(&q, &want);
            check(&to, &moved);
        }
    }
    chunkq_done(&q);
    chunkq_done(&to);
    buf_done(&want);
    buf_done(&moved);
}

static void test_small_pieces_are_gathered(void **state)
{
    (void)state;
    struct chunkq q;
    size_t n;
    chunkq_init(&q);
    for (unsigned i = 0; i < 100; i++)
        chunkq_push(&q, chunk_static(SLICE("12345678")));
    struct blob *passed_on = chunkq_chunks(&q, &n)[0].blob;
    assert_int_equal(n, 1);
    chunkq_forget(&q);
    chunkq_done(&q);
    assert_int_equal(passed_on->refs, 1);
    blob_unref(passed_on);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    bool failed = true;
    for (long nth = 1; failed; nth++) {
        struct chunkq q;
        unsigned seed = 0;
        chunkq_init(&q);
        struct blob *big = pattern(5000, &seed);
        mem_fail_at(nth);
        for (unsigned i = 0; i < 100; i++) {
            chunkq_copy(&q, "abc", 3);
            chunkq_push(&q, chunk_part(big, 0, big->n));
        }
        failed = mem_failed();
        mem_fail_at(0);
        assert_int_equal(q.error != 0, failed);
        chunkq_done(&q);
        assert_int_equal(big->refs, 1);
        blob_unref(big);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_string),
        cmocka_unit_test(test_small_pieces_are_gathered),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

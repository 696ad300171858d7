#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/text.h"
#include "base/timefmt.h"

static void test_slice(void **state)
{
    (void)state;
    struct slice head, tail;
    assert_true(slice_cut(SLICE("a=b=c"), '=', &head, &tail));
    assert_slice(head, "a");
    assert_slice(tail, "b=c");
    assert_false(slice_cut(SLICE("abc"), '=', &head, &tail));
    assert_int_equal(tail.n, 0);
    assert_true(slice_cmp(SLICE("a"), SLICE("ab")) < 0);
    assert_true(slice_cmp(SLICE("b"), SLICE("ab")) > 0);
    int64_t v;
    assert_true(slice_to_i64(SLICE("-9223372036854775808"), &v));
    assert_true(v == INT64_MIN);
    assert_false(slice_to_i64(SLICE("9223372036854775808"), &v));
    assert_false(slice_to_i64(SLICE(""), &v));
    assert_false(slice_to_i64(SLICE("-"), &v));
    assert_false(slice_to_i64(SLICE("1x"), &v));
    assert_slice(slice_trim(SLICE(" \tx y\r\n")), "x y");
}

static void test_buf_limit_sticks(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(8);
    assert_int_equal(buf_add_str(&b, "12345678"), 0);
    assert_int_equal(buf_add_char(&b, 'x'), -E2BIG);
    assert_int_equal(buf_add_str(&b, ""), -E2BIG);
    assert_slice(buf_slice(&b), "12345678");
    buf_clear(&b);
    assert_int_equal(buf_printf(&b, "%d", 42), 0);
    buf_shift(&b, 1);
    assert_string_equal(b.p, "2");
    buf_done(&b);
}

static void test_buf_out_of_memory(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20);
    mem_fail_at(1);
    assert_int_equal(buf_add_str(&b, "x"), -ENOMEM);
    mem_fail_at(0);
    assert_true(mem_failed());
    buf_done(&b);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 100000);
    for (int i = 0; i < 1000; i++)
        assert_string_equal(arena_printf(&a, "%d", 7), "7");
    assert_slice(arena_copy(&a, SLICE("text")), "text");
    assert_null(arena_alloc(&a, 100000));
    assert_int_equal(arena_error(&a), -E2BIG);
    assert_null(arena_alloc(&a, 1));
    arena_done(&a);
    assert_non_null(arena_alloc(&a, 1));
    arena_done(&a);
}

static void test_map_keeps_order_and_survives_growth(void **state)
{
    (void)state;
    struct map m;
    char key[16];
    map_init(&m, 42);
    for (intptr_t i = 1; i <= 1000; i++) {
        int n = snprintf(key, sizeof key, "k%ld", (long)i);
        assert_null(map_put(&m, slice_of(key, (size_t)n), (void *)i));
    }
    for (intptr_t i = 1; i <= 1000; i += 2) {
        int n = snprintf(key, sizeof key, "k%ld", (long)i);
        assert_ptr_equal(map_del(&m, slice_of(key, (size_t)n)), (void *)i);
    }
    assert_int_equal(m.n, 500);
    assert_null(map_get(&m, SLICE("k1")));
    assert_null(map_put(&m, SLICE("k1"), (void *)5000));
    assert_ptr_equal(map_get(&m, SLICE("k1")), (void *)5000);
    assert_ptr_equal(map_put(&m, SLICE("k2"), (void *)9), (void *)2);
    intptr_t seen = 0;
    for (struct map_entry *e = map_first(&m); e; e = map_next(&m, e))
        seen++;
    assert_int_equal(seen, 501);
    map_done(&m);
}

static void test_crc32c(void **state)
{
    (void)state;
    char zeros[32] = {0};
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aau);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

static void test_text(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    base64_encode(&b, SLICE("hello"));
    assert_string_equal(b.p, "aGVsbG8=");
    struct buf back = BUF_INIT(1000);
    assert_int_equal(base64_decode(&back, buf_slice(&b)), 0);
    assert_string_equal(back.p, "hello");
    assert_int_equal(base64_decode(&back, SLICE("a===")), -EINVAL);
    assert_int_equal(base64_decode(&back, SLICE("a\nb=")), -EINVAL);
    buf_clear(&back);
    assert_int_equal(base64url_decode(&back, SLICE("_-8")), 0);
    assert_memory_equal(back.p, "\xff\xef", 2);
    struct arena a;
    arena_init(&a, 1000);
    assert_slice(percent_decode(&a, SLICE("a%20b+c"), true), "a b c");
    assert_slice(percent_decode(&a, SLICE("a%20"), true), "a ");
    assert_null(percent_decode(&a, SLICE("%2"), false).p);
    assert_null(percent_decode(&a, SLICE("%zz"), false).p);
    arena_done(&a);
    buf_done(&b);
    buf_done(&back);
}

static void test_time(void **state)
{
    (void)state;
    int64_t ns;
    char out[TIME_MICRO_LEN + 1];
    assert_true(time_parse(SLICE("2026-11-21T08:00:00Z"), &ns));
    assert_true(ns == 1795248000 * NS_PER_SEC);
    assert_true(time_parse(SLICE("2026-11-21T10:00:00.25+02:00"), &ns));
    assert_true(ns == 1795248000 * NS_PER_SEC + 250 * NS_PER_MS);
    time_format_micro(ns, out);
    assert_string_equal(out, "2026-11-21T08:00:00.250000Z");
    time_format_sec(ns, out);
    assert_string_equal(out, "2026-11-21T08:00:00Z");
    time_format_sec(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59Z");
    assert_false(time_parse(SLICE("2026-13-21T08:00:00Z"), &ns));
    assert_false(time_parse(SLICE("2026-11-21T08:00:00"), &ns));
    assert_false(time_parse(SLICE("2026-11-21T08:00:00."), &ns));
}

static void test_status(void **state)
{
    (void)state;
    struct arena a;
    struct status st;
    arena_init(&a, 10000);
    assert_int_equal(status_not_found(&st, &a, SLICE("apps"), SLICE("deployments"), SLICE("web")), 404);
    assert_string_equal(st.message, "deployments.apps \"web\" not found");
    assert_string_equal(st.reason, "NotFound");
    status_cause(&st, &a, "FieldValueRequired", "spec", "Required value");
    assert_int_equal(st.n_causes, 1);
    assert_string_equal(st.causes->field, "spec");
    arena_done(&a);
}

static void test_metrics(void **state)
{
    (void)state;
    struct metrics m;
    struct buf out = BUF_INIT(100000);
    metrics_init(&m);
    metrics_one(&m, METRIC_GAUGE, "pintle_raft_is_leader", "1 on the leader")->value = 1;
    struct metric_family *f = metrics_family(&m, METRIC_HISTOGRAM, "t_seconds", "time");
    metric_observe(metric_get(f, "verb=\"GET\""), 0.003);
    assert_int_equal(metrics_render(&m, &out), 0);
    assert_non_null(strstr(out.p, "\npintle_raft_is_leader 1\n"));
    assert_non_null(strstr(out.p, "t_seconds_bucket{verb=\"GET\",le=\"0.0025\"} 0\n"));
    assert_non_null(strstr(out.p, "t_seconds_bucket{verb=\"GET\",le=\"0.005\"} 1\n"));
    assert_non_null(strstr(out.p, "t_seconds_count{verb=\"GET\"} 1\n"));
    buf_done(&out);
    metrics_done(&m);
}

static void test_blob(void **state)
{
    (void)state;
    struct blob *b = blob_copy(SLICE("abc"));
    struct chunk c = chunk_part(b, 1, 1);
    assert_memory_equal(c.p, "b", 1);
    assert_slice(blob_slice(b), "abc");
    blob_unref(c.blob);
    blob_unref(b);
    blob_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_buf_limit_sticks),
        cmocka_unit_test(test_buf_out_of_memory),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_map_keeps_order_and_survives_growth),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_blob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

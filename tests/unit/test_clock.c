/* Cluster time, whatever wall clocks say. */
#include "unit.h"

#include "store/clock.h"

#define S    1000000000ull
#define HOUR (3600 * S)

static const uint64_t noon = 1000 * 24 * HOUR;

static void test_a_new_cluster_takes_the_wall_clock(void **state)
{
    (void)state;
    struct cluster_clock c = {0};
    assert_int_equal(clock_time(&c, 5 * S, noon), noon);
    clock_lead(&c, 0, 5 * S, noon);
    assert_int_equal(clock_time(&c, 7 * S, noon + HOUR), noon + 2 * S);
}

static void test_the_next_leader_goes_on(void **state)
{
    (void)state;
    struct cluster_clock c = {0};
    clock_heard(&c, noon, 10 * S);
    clock_lead(&c, noon - S, 20 * S, noon + 24 * HOUR); /* its own clock is a day ahead */
    assert_int_equal(clock_time(&c, 30 * S, noon + 24 * HOUR), noon + 20 * S);
    clock_lead(&c, noon + HOUR, 40 * S, 0); /* never behind what commands were stamped with */
    assert_int_equal(clock_time(&c, 40 * S, 0), noon + HOUR);
}

static void test_messages_may_take_their_time(void **state)
{
    (void)state;
    struct cluster_clock c = {0};
    clock_heard(&c, noon, 10 * S);
    clock_heard(&c, noon + S - S / 5, 11 * S); /* a fifth of a second late */
    assert_int_equal(clock_time(&c, 11 * S, 0), noon + S);
    clock_heard(&c, noon + 9 * S, 12 * S);
    assert_int_equal(clock_time(&c, 12 * S, 0), noon + 9 * S);
    clock_heard(&c, noon + 3 * S, 13 * S); /* another leader's time is another one */
    assert_int_equal(clock_time(&c, 13 * S, 0), noon + 3 * S);
}

static void test_a_jump_is_followed_slowly(void **state)
{
    (void)state;
    struct cluster_clock c = {0};
    clock_lead(&c, 0, 0, noon);
    for (uint64_t t = S; t <= HOUR; t += S)
        clock_slew(&c, t, noon + t + 24 * HOUR);
    uint64_t ahead = clock_time(&c, HOUR, 0) - noon - HOUR;
    assert_in_range(ahead, HOUR / CLOCK_SLEW - S, HOUR / CLOCK_SLEW);
    /* It was set right again: back to it, as slowly, and never backwards. */
    uint64_t before = clock_time(&c, HOUR, 0);
    for (uint64_t t = HOUR + S; t <= 3 * HOUR; t += S) {
        clock_slew(&c, t, noon + t);
        uint64_t time = clock_time(&c, t, 0);
        assert_true(time > before);
        before = time;
    }
    assert_int_equal(clock_time(&c, 3 * HOUR, 0), noon + 3 * HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_cluster_takes_the_wall_clock),
        cmocka_unit_test(test_the_next_leader_goes_on),
        cmocka_unit_test(test_messages_may_take_their_time),
        cmocka_unit_test(test_a_jump_is_followed_slowly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

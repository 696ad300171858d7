#include "unit_json.h"

#include "object/quantity.h"

static void assert_canonical(struct arena *a, const char *text, const char *want)
{
    struct quantity q;
    if (!quantity_parse(slice_str(text), &q))
        fail_msg("%s is refused", text);
    struct json *v = quantity_to_json(a, q);
    assert_slice(json_string(v), want);
}

static void test_canonical(void **state)
{
    static const char *const cases[][2] = {
        {"0", "0"},
        {"1", "1"},
        {"100m", "100m"},
        {"1000m", "1"},
        {"1.5", "1500m"},
        {"0.5Gi", "512Mi"},
        {"1Gi", "1Gi"},
        {"1024Mi", "1Gi"},
        {"1500Mi", "1500Mi"},
        {"1536Ki", "1536Ki"},
        {"1000", "1k"},
        {"12e3", "12e3"},
        {"1e3", "1e3"},
        {"1E", "1E"},
        {"1Ei", "1Ei"},
        {"0.1Ki", "102400m"},
        {"-1500m", "-1500m"},
        {"+3", "3"},
        {".5", "500m"},
        {"5.", "5"},
        {"1n", "1n"},
        {"0.1n", "1n"},
        {"1u", "1u"},
        {"1000Ki", "1000Ki"},
        {"512", "512"},
        {"1e-3", "1e-3"},
        {"1.2.3", NULL},
        {"2e2", "200"},
        {"128974848", "128974848"},
        {"9999999999999999999999", "9223372036854775807"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i][1])
            assert_canonical(*state, cases[i][0], cases[i][1]);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "x",   "1x", "1.2.3", "1 ",  "--1", "Ki",
                                      "1KiB", "1kk", "1e", "e3",    "1ii", "+",   "."};
    struct quantity q;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (quantity_parse(slice_str(bad[i]), &q))
            fail_msg("\"%s\" is accepted", bad[i]);
}

static struct quantity of(const char *text)
{
    struct quantity q = {0};
    assert_true(quantity_parse(slice_str(text), &q));
    return q;
}

static void test_arithmetic(void **state)
{
    assert_int_equal(quantity_cmp(of("1Gi"), of("1024Mi")), 0);
    assert_true(quantity_cmp(of("999m"), of("1")) < 0);
    assert_json(*state, quantity_to_json(*state, quantity_add(of("1Gi"), of("512Mi"))), "'1536Mi'");
    assert_json(*state, quantity_to_json(*state, quantity_sub(of("1"), of("1500m"))), "'-500m'");
    assert_int_equal(quantity_value(of("1500m")), 2);
    assert_int_equal(quantity_milli(of("1u")), 1);
    assert_int_equal(quantity_value(of("-1500m")), -2);
    assert_true(quantity_value(quantity_add(of("8Ei"), of("8Ei"))) == INT64_MAX);
    assert_json(*state, quantity_to_json(*state, quantity_round_milli(of("1n"))), "'1m'");
    assert_true(quantity_is_zero(quantity_of(0)));
    assert_int_equal(quantity_milli(quantity_of_milli(250)), 250);
}

static void test_json(void **state)
{
    struct quantity q;
    assert_true(quantity_from_json(json_of(*state, "2"), &q));
    assert_int_equal(quantity_value(q), 2);
    assert_true(quantity_from_json(json_of(*state, "0.5"), &q));
    assert_int_equal(quantity_milli(q), 500);
    assert_false(quantity_from_json(json_of(*state, "true"), &q));
    assert_false(quantity_from_json(NULL, &q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_canonical), unit(test_refused), unit(test_arithmetic),
                                       unit(test_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

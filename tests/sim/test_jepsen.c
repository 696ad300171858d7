/* The workloads and checkers of jepsen/ in the simulated world: faults by seed, a history, a verdict. A failing seed
 * names itself and leaves its history in jepsen-WORKLOAD-SEED.edn. */
#include "direct.h"
#include "env.h"
#include "hands_sim.h"
#include "jepsen_run.h"

#include <stdlib.h>

/* PINTLE_SIM_FIRST, PINTLE_SIM_SEEDS, PINTLE_SIM_MS (virtual), PINTLE_SIM_FAULTS (as jepsen/run --faults). */
static void run_load(const struct workload *load, unsigned kinds)
{
    const char *faults = getenv("PINTLE_SIM_FAULTS");
    uint64_t first = env_first_seed(1), seeds = env_seeds(4), bad = 0;
    struct coverage c = {0};
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct jepsen_run r = {.load = load,
                               .seed = seed,
                               .ms = env_ms(8000),
                               .kinds = faults ? faults_parse(faults, hands_sim_able) : kinds};
        jepsen_run(&r, &c);
        bad += !verdict_valid(&r.verdict);
    }
    jepsen_print_coverage(load->name, &c);
    assert_int_equal(bad, 0);
    assert_true(c.operations > seeds * 20);
}

static void run_workload(const char *name)
{
    run_load(workload_find(name), hands_sim_able);
}

static void test_register(void **state)
{
    (void)state;
    run_workload("register");
}

static void test_set(void **state)
{
    (void)state;
    run_workload("set");
}

static void test_counter(void **state)
{
    (void)state;
    run_workload("counter");
}

static void test_append(void **state)
{
    (void)state;
    run_workload("append");
}

static void test_watch(void **state)
{
    (void)state;
    run_workload("watch");
}

static void test_pages(void **state)
{
    (void)state;
    run_workload("pages");
}

static void test_lease(void **state)
{
    (void)state;
    run_workload("lease");
}

static void test_deploy(void **state)
{
    (void)state;
    run_workload("deploy");
}

static void test_txn(void **state)
{
    (void)state;
    run_workload("txn");
}

static void test_lists(void **state)
{
    (void)state;
    run_load(&workload_lists, hands_sim_able);
}

static void test_ttl(void **state)
{
    (void)state;
    run_workload("ttl");
}

static void test_promotion(void **state)
{
    (void)state;
    struct coverage c = {0};
    uint64_t first = env_first_seed(1), seeds = env_seeds(4) * 5;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct jepsen_run r = {.load = workload_find("register"), .seed = seed};
        jepsen_promotion(&r, &c);
    }
    jepsen_print_coverage("promotion", &c);
}

/* PINTLE_TEST: a pattern, to run some of these only. */
int main(void)
{
    cmocka_set_test_filter(getenv("PINTLE_TEST"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_register), cmocka_unit_test(test_set),    cmocka_unit_test(test_counter),
        cmocka_unit_test(test_append),   cmocka_unit_test(test_watch),  cmocka_unit_test(test_pages),
        cmocka_unit_test(test_lease),    cmocka_unit_test(test_deploy), cmocka_unit_test(test_txn),
        cmocka_unit_test(test_lists),    cmocka_unit_test(test_ttl),    cmocka_unit_test(test_promotion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A build that is broken on purpose must be caught, and by name: else the checkers, the workloads or the faults are
 * not worth their time. See broken.h. */
#include "broken.h"
#include "direct.h"
#include "hands_sim.h"
#include "jepsen_run.h"

static bool caught(const struct jepsen_run *r)
{
    if (broken_build.violation && strstr(r->violation, broken_build.violation)) {
        print_message("%s: caught with seed %lu: %s\n", broken_build.what, r->seed, r->violation);
        return true;
    }
    for (const char *const *name = broken_build.anomalies; *name; name++) {
        for (size_t i = 0; i < r->verdict.n && i < VERDICT_ANOMALIES; i++) {
            if (strcmp(r->verdict.anomalies[i].name, *name) != 0)
                continue;
            print_message("%s: caught with seed %lu: %s: %s\n", broken_build.what, r->seed, *name,
                          r->verdict.anomalies[i].text);
            return true;
        }
    }
    return false;
}

static void run(struct jepsen_run *r, struct coverage *c)
{
    const char *name = broken_build.workload ? broken_build.workload : "register";
    r->load = !strcmp(name, "lists") ? &workload_lists : workload_find(name);
    r->ordered_disks = broken_build.ordered_disks;
    if (!broken_build.workload) {
        jepsen_promotion(r, c);
        return;
    }
    r->ms = 8000;
    r->kinds = faults_parse(broken_build.faults, hands_sim_able);
    jepsen_run(r, c);
}

static void test_is_caught(void **state)
{
    (void)state;
    struct coverage c = {0};
    size_t violations = 0, anomalies = 0;
    for (uint64_t seed = 1; seed <= broken_build.seeds; seed++) {
        struct jepsen_run r = {.seed = seed, .tolerate = true};
        run(&r, &c);
        violations += r.violations;
        anomalies += r.verdict.n;
        if (caught(&r))
            return;
        if (r.violations)
            print_message("seed %lu: %s\n", seed, r.violation);
    }
    fail_msg("%s was not caught in %lu seeds (%zu other anomalies, %zu violations of the world's own checks)",
             broken_build.what, broken_build.seeds, anomalies, violations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_is_caught)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

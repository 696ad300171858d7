/* For the tests of jepsen's checkers: histories as short EDN texts. */
#ifndef PINTLE_TESTS_UNIT_JEPSEN_COMMON_H
#define PINTLE_TESTS_UNIT_JEPSEN_COMMON_H

#include "unit.h"

#include "jepsen/check.h"

/* One event: J(invoke, read, "[1 nil]", 0) */
#define J(type, f, value, process) "{:type :" #type ", :f :" #f ", :value " value ", :process " #process "}\n"
/* The same with a resourceVersion. */
#define JR(type, f, value, process, revision)                                                                          \
    "{:type :" #type ", :f :" #f ", :value " value ", :process " #process ", :revision " #revision "}\n"
/* The same at a time in milliseconds. */
#define JT(type, f, value, process, ms)                                                                                \
    "{:type :" #type ", :f :" #f ", :value " value ", :process " #process ", :time " #ms "000000}\n"
/* An operation that is answered before the next one begins. */
#define OK(f, asked, answered, process) J(invoke, f, asked, process) J(ok, f, answered, process)
#define FAIL(f, asked, process)         J(invoke, f, asked, process) J(fail, f, asked, process)

static inline struct verdict judged(void (*check)(const struct history *h, struct verdict *v), const char *text)
{
    struct history h;
    struct verdict v = {0};
    size_t line;
    history_init(&h);
    assert_int_equal(history_parse(&h, slice_str(text), &line), 0);
    check(&h, &v);
    history_done(&h);
    return v;
}

static inline void linear(const struct history *h, struct verdict *v)
{
    check_linear(h, 0, v);
}

static inline void lease(const struct history *h, struct verdict *v)
{
    check_lease(h, 5000000, v);
}

#define assert_good(check, edn)                                                                                        \
    do {                                                                                                               \
        struct verdict v_ = judged(check, edn);                                                                        \
        if (!verdict_valid(&v_))                                                                                       \
            fail_msg("%s: %s", v_.anomalies[0].name, v_.anomalies[0].text);                                            \
    } while (0)
#define assert_bad(check, which, edn)                                                                                  \
    do {                                                                                                               \
        struct verdict v_ = judged(check, edn);                                                                        \
        if (!verdict_has(&v_, which))                                                                                  \
            fail_msg("%s was not found, but %zu others, first %s: %s", which, v_.n, v_.anomalies[0].name,              \
                     v_.anomalies[0].text);                                                                            \
    } while (0)

#endif

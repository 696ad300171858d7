/* The checker of registers: known-good and known-bad histories, all small histories against a naive search, and a large
 * one within its time and memory. */
#include "jepsen_common.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/mem.h"

static void test_good(void **state)
{
    (void)state;
    assert_good(linear, OK(read, "[1 nil]", "[1 nil]", 0));
    assert_good(linear, OK(write, "[1 5]", "[1 5]", 0) OK(read, "[1 nil]", "[1 5]", 1));
    assert_good(linear,
                OK(write, "[1 5]", "[1 5]", 0) OK(cas, "[1 [5 6]]", "[1 [5 6]]", 1) OK(read, "[1 nil]", "[1 6]", 2));
    assert_good(linear,
                OK(write, "[1 5]", "[1 5]", 0) OK(delete, "[1 nil]", "[1 nil]", 0) OK(read, "[1 nil]", "[1 nil]", 1));
    /* a read during a write may see either */
    assert_good(linear, OK(write, "[1 5]", "[1 5]", 0) J(invoke, write, "[1 6]", 1) OK(read, "[1 nil]", "[1 5]", 0)
                            OK(read, "[1 nil]", "[1 6]", 0) J(ok, write, "[1 6]", 1));
    /* a write of unknown fate may take effect late, or never */
    assert_good(linear, OK(write, "[1 5]", "[1 5]", 0) J(invoke, write, "[1 6]", 1) J(info, write, "[1 6]", 1)
                            OK(read, "[1 nil]", "[1 5]", 0) OK(read, "[1 nil]", "[1 6]", 0));
    assert_good(linear, OK(write, "[1 5]", "[1 5]", 0) J(invoke, write, "[1 6]", 1) OK(read, "[1 nil]", "[1 5]", 0));
    /* of single registers too, as Jepsen writes them */
    assert_good(linear, OK(write, "5", "5", 0) OK(cas, "[5 6]", "[5 6]", 0) OK(read, "nil", "6", 0));
}

static void test_bad(void **state)
{
    (void)state;
    assert_bad(linear, "stale-read",
               OK(write, "[1 5]", "[1 5]", 0) OK(write, "[1 6]", "[1 6]", 0) OK(read, "[1 nil]", "[1 5]", 1));
    assert_bad(linear, "dirty-read", FAIL(write, "[1 5]", 0) OK(read, "[1 nil]", "[1 5]", 1));
    assert_bad(linear, "dirty-read", OK(read, "[1 nil]", "[1 5]", 1) OK(write, "[1 5]", "[1 5]", 0));
    assert_bad(linear, "lost-update",
               OK(write, "[1 5]", "[1 5]", 0) J(invoke, cas, "[1 [5 6]]", 1) J(invoke, cas, "[1 [5 7]]", 2)
                   J(ok, cas, "[1 [5 6]]", 1) J(ok, cas, "[1 [5 7]]", 2));
    /* an acknowledged write that is gone */
    assert_bad(linear, "non-linearizable", OK(write, "[1 5]", "[1 5]", 0) OK(read, "[1 nil]", "[1 nil]", 1));
    /* two reads that see two concurrent writes in opposite orders */
    assert_bad(linear, "non-linearizable",
               J(invoke, write, "[1 5]", 0) J(invoke, write, "[1 6]", 1) OK(read, "[1 nil]", "[1 5]", 2)
                   OK(read, "[1 nil]", "[1 6]", 3) OK(read, "[1 nil]", "[1 5]", 2) J(ok, write, "[1 5]", 0)
                       J(ok, write, "[1 6]", 1));
    /* values written twice: no quick rule applies */
    assert_bad(linear, "non-linearizable",
               OK(write, "[1 5]", "[1 5]", 0) OK(write, "[1 6]", "[1 6]", 0) OK(read, "[1 nil]", "[1 5]", 1)
                   OK(write, "[1 5]", "[1 5]", 0));
    /* seen, then unseen again: what a leader without a quorum may answer */
    assert_bad(linear, "non-linearizable",
               OK(write, "[1 5]", "[1 5]", 0) J(invoke, write, "[1 6]", 1) J(info, write, "[1 6]", 1)
                   OK(read, "[1 nil]", "[1 6]", 0) OK(read, "[1 nil]", "[1 5]", 0));
    /* one bad key among good ones */
    assert_bad(linear, "stale-read",
               OK(write, "[2 5]", "[2 5]", 0) OK(write, "[1 5]", "[1 5]", 0) OK(write, "[1 6]", "[1 6]", 0)
                   OK(read, "[2 nil]", "[2 5]", 1) OK(read, "[1 nil]", "[1 5]", 1));
}

/* ---- small histories, against the definition ---- */

enum { SMALL = 5 };

struct small {
    struct hist_event events[2 * SMALL];
    size_t n;
};

/* All orders of what may have happened, tried one by one. */
static bool explained(const struct hist_op *ops, size_t n, unsigned done, int64_t value)
{
    bool rest = false;
    for (size_t i = 0; i < n; i++)
        rest |= !(done >> i & 1) && hist_outcome(&ops[i]) == HIST_OK;
    if (!rest)
        return true;
    for (size_t i = 0; i < n; i++) {
        const struct hist_event *e = hist_best(&ops[i]);
        bool ready = !(done >> i & 1) && hist_outcome(&ops[i]) != HIST_FAIL;
        for (size_t j = 0; j < n; j++)
            ready &= done >> j & 1 || hist_outcome(&ops[j]) != HIST_OK || ops[j].returned > ops[i].called;
        if (!ready)
            continue;
        bool read = e->f == HIST_READ, unknown = read && hist_outcome(&ops[i]) != HIST_OK;
        if ((read && !unknown && e->value != value) || (e->f == HIST_CAS && e->expected != value))
            continue;
        if (explained(ops, n, done | 1u << i, read ? value : e->value))
            return true;
    }
    return false;
}

static void make_small(struct history *h, unsigned values)
{
    struct hist_event open[3], done;
    bool busy[3] = {0};
    for (int ops = 0; ops < SMALL || busy[0] || busy[1] || busy[2];) {
        int p = rand() % 3;
        if (!busy[p] && ops < SMALL) {
            struct hist_event e = HIST_EVENT_INIT;
            e.f = (uint8_t)(rand() % 4);
            e.key = 1;
            e.value = e.f == HIST_READ || e.f == HIST_DELETE ? HIST_NIL : rand() % (int)values;
            e.expected = e.f == HIST_CAS ? rand() % (int)values : HIST_NIL;
            e.process = p + 3 * ops++;
            open[p] = e;
            busy[p] = true;
            history_add(h, &e, NULL, 0, NULL);
        } else if (busy[p]) {
            int r = rand() % 8;
            done = open[p];
            done.type = r == 0 ? HIST_INFO : r == 1 ? HIST_FAIL : HIST_OK;
            if (done.f == HIST_READ && done.type == HIST_OK)
                done.value = rand() % 4 ? rand() % (int)values : HIST_NIL;
            history_add(h, &done, NULL, 0, NULL);
            busy[p] = false;
        }
    }
}

static void test_small_histories_against_the_definition(void **state)
{
    (void)state;
    size_t good = 0, bad = 0;
    srand(7);
    for (int round = 0; round < 200000; round++) {
        struct history h;
        struct verdict v = {0};
        struct hist_op *ops;
        history_init(&h);
        make_small(&h, round % 2 ? 2 : 4);
        size_t n = history_ops(&h, &ops);
        bool want = explained(ops, n, 0, HIST_NIL);
        check_linear(&h, 0, &v);
        if (want != verdict_valid(&v)) {
            struct buf text = BUF_INIT(1 << 16);
            for (size_t i = 0; i < h.n; i++)
                history_format(&h, i, true, &text), buf_add_char(&text, '\n');
            fail_msg("the checker says %d (%s), the definition %d:\n%s", verdict_valid(&v), v.anomalies[0].text, want,
                     text.p);
        }
        *(want ? &good : &bad) += 1;
        mem_free(ops);
        history_done(&h);
    }
    assert_true(good > 10000 && bad > 10000);
}

/* ---- large ones ---- */

/* A history of a register that behaves: `processes` clients, each operation takes effect at a random moment while it
 * is open; one in `unknown` is never answered, and happens or not. */
static void make_large(struct history *h, size_t n, int processes, int keys, int unknown)
{
    struct hist_event open[64];
    bool busy[64] = {0}, happened[64], took[64] = {0};
    int64_t registers[64], next = 1;
    int32_t number[64];
    for (int i = 0; i < 64; i++)
        registers[i] = HIST_NIL, number[i] = i;
    for (size_t made = 0; made < n;) {
        int p = rand() % processes;
        struct hist_event *e = &open[p];
        if (!busy[p]) {
            *e = (struct hist_event)HIST_EVENT_INIT;
            e->f = (uint8_t)(rand() % 3);
            e->key = rand() % keys;
            e->value = e->f == HIST_READ ? HIST_NIL : next++;
            e->expected = e->f == HIST_CAS ? registers[e->key] : HIST_NIL;
            e->process = number[p];
            busy[p] = true;
            took[p] = happened[p] = false;
            history_add(h, e, NULL, 0, NULL);
            made++;
        } else if (!happened[p]) {
            int64_t *r = &registers[e->key];
            happened[p] = true;
            took[p] = e->f != HIST_CAS || *r == e->expected;
            if (e->f == HIST_READ)
                e->value = *r;
            else if (took[p])
                *r = e->value;
        } else {
            e->type = unknown && rand() % unknown == 0 ? HIST_INFO : took[p] ? HIST_OK : HIST_FAIL;
            history_add(h, e, NULL, 0, NULL);
            if (e->type == HIST_INFO)
                number[p] += 64;
            busy[p] = false;
        }
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void judge_large(size_t n, int processes, int keys, int unknown, bool spoil)
{
    struct history h;
    struct verdict v = {0};
    history_init(&h);
    make_large(&h, n, processes, keys, unknown);
    for (size_t i = h.n - h.n / 10; spoil && i < h.n; i++) {
        struct hist_event *e = &h.events[i];
        if (e->type != HIST_OK || e->f != HIST_READ || e->value == HIST_NIL)
            continue;
        e->value = 7; /* long overwritten */
        break;
    }
    double from = seconds();
    check_linear(&h, 0, &v);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    print_message("%zu operations, %d processes, %d keys, unknown 1 in %d: %s in %.2f s, %zu steps, %ld MiB\n", n,
                  processes, keys, unknown,
                  verdict_valid(&v) ? "valid"
                  : v.unknown       ? "unknown"
                                    : v.anomalies[0].name,
                  seconds() - from, v.explored, use.ru_maxrss / 1024);
    assert_true(seconds() - from < 60);
    assert_true(use.ru_maxrss < 1 << 20);
    if (!verdict_valid(&v) && !v.unknown)
        print_message("%s\n", v.anomalies[0].text);
    assert_false(v.unknown);
    history_done(&h);
}

static void test_large(void **state)
{
    (void)state;
    srand(1);
    judge_large(100000, 10, 10, 100, false);
    judge_large(100000, 10, 1, 0, false);
    judge_large(100000, 10, 1, 50, false);
    judge_large(100000, 20, 1, 200, false);
    judge_large(100000, 10, 10, 100, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_small_histories_against_the_definition),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

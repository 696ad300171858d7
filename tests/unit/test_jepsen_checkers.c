/* The checkers of sets, counters, transactions, watches, lists, leases and Deployments, on known-good and known-bad
 * histories. */
#include "jepsen_common.h"

/* ---- sets and counters ---- */

static void test_sets(void **state)
{
    (void)state;
    assert_good(check_set, OK(add, "1", "1", 0) OK(read, "nil", "[1]", 1));
    assert_good(check_set,
                J(invoke, add, "1", 0) J(info, add, "1", 0) OK(read, "nil", "[]", 1) OK(read, "nil", "[1]", 1));
    assert_good(check_set,
                J(invoke, add, "1", 0) OK(read, "nil", "[]", 1) J(ok, add, "1", 0) OK(read, "nil", "[1]", 1));
    assert_bad(check_set, "lost", OK(add, "1", "1", 0) OK(read, "nil", "[]", 1));
    assert_bad(check_set, "stale", OK(add, "1", "1", 0) OK(read, "nil", "[]", 1) OK(read, "nil", "[1]", 1));
    /* unknown, but somebody has seen it */
    assert_bad(check_set, "lost",
               J(invoke, add, "1", 0) J(info, add, "1", 0) OK(read, "nil", "[1]", 1) OK(read, "nil", "[]", 1));
    assert_bad(check_set, "phantom", FAIL(add, "1", 0) OK(read, "nil", "[1]", 1));
    assert_bad(check_set, "phantom", FAIL(add, "1", 0) OK(read, "nil", "[2]", 1));
    assert_bad(check_set, "doubled", OK(add, "1", "1", 0) OK(read, "nil", "[1 1]", 1));
}

static void test_counters(void **state)
{
    (void)state;
    assert_good(check_counter, OK(add, "1", "1", 0) OK(add, "2", "2", 0) OK(read, "nil", "3", 1));
    assert_good(check_counter,
                OK(add, "1", "1", 0) J(invoke, add, "2", 0) OK(read, "nil", "1", 1) OK(read, "nil", "3", 1));
    assert_good(check_counter, FAIL(add, "1", 0) OK(read, "nil", "0", 1));
    assert_bad(check_counter, "lost-update", OK(add, "1", "1", 0) OK(add, "1", "1", 1) OK(read, "nil", "1", 0));
    assert_bad(check_counter, "phantom-add", OK(add, "1", "1", 0) OK(read, "nil", "2", 0));
    assert_bad(check_counter, "phantom-add", FAIL(add, "1", 0) OK(read, "nil", "1", 0));
    assert_bad(check_counter, "stale-read", J(invoke, add, "1", 0) OK(read, "nil", "1", 1) OK(read, "nil", "0", 1));
}

/* ---- transactions ---- */

static void test_txns_good(void **state)
{
    (void)state;
    assert_good(check_txn, OK(txn, "[[:append 1 1]]", "[[:append 1 1]]", 0)
                               OK(txn, "[[:r 1 nil] [:append 1 2]]", "[[:r 1 [1]] [:append 1 2]]", 1)
                                   OK(txn, "[[:r 1 nil]]", "[[:r 1 [1 2]]]", 0));
    assert_good(check_txn, OK(txn, "[[:append 1 1] [:r 1 nil]]", "[[:append 1 1] [:r 1 [1]]]", 0));
    assert_good(check_txn, J(invoke, txn, "[[:append 1 1]]", 0) J(info, txn, "[[:append 1 1]]", 0)
                               OK(txn, "[[:r 1 nil]]", "[[:r 1 []]]", 1) OK(txn, "[[:r 1 nil]]", "[[:r 1 [1]]]", 1));
    /* concurrent: either order will do */
    assert_good(check_txn, J(invoke, txn, "[[:append 1 1]]", 0) OK(txn, "[[:r 1 nil]]", "[[:r 1 []]]", 1)
                               J(ok, txn, "[[:append 1 1]]", 0));
}

static void test_txns_bad(void **state)
{
    (void)state;
    /* dirty write: two transactions write two keys in opposite orders */
    assert_bad(check_txn, "G0",
               J(invoke, txn, "[[:append 1 1] [:append 2 1]]", 0) J(invoke, txn, "[[:append 1 2] [:append 2 2]]", 1)
                   J(ok, txn, "[[:append 1 1] [:append 2 1]]", 0) J(ok, txn, "[[:append 1 2] [:append 2 2]]", 1)
                       OK(txn, "[[:r 1 nil] [:r 2 nil]]", "[[:r 1 [1 2]] [:r 2 [2 1]]]", 2));
    /* aborted read */
    assert_bad(check_txn, "G1a", FAIL(txn, "[[:append 1 1]]", 0) OK(txn, "[[:r 1 nil]]", "[[:r 1 [1]]]", 1));
    /* intermediate read */
    assert_bad(check_txn, "G1b",
               J(invoke, txn, "[[:append 1 1] [:append 1 2]]", 0) OK(txn, "[[:r 1 nil]]", "[[:r 1 [1]]]", 1)
                   J(ok, txn, "[[:append 1 1] [:append 1 2]]", 0) OK(txn, "[[:r 1 nil]]", "[[:r 1 [1 2]]]", 1));
    /* circular information flow */
    assert_bad(check_txn, "G1c",
               J(invoke, txn, "[[:append 1 1] [:r 2 nil]]", 0) J(invoke, txn, "[[:append 2 1] [:r 1 nil]]", 1)
                   J(ok, txn, "[[:append 1 1] [:r 2 [1]]]", 0) J(ok, txn, "[[:append 2 1] [:r 1 [1]]]", 1));
    /* read skew */
    assert_bad(check_txn, "G-single",
               OK(txn, "[[:append 1 1] [:append 2 1]]", "[[:append 1 1] [:append 2 1]]", 0)
                   J(invoke, txn, "[[:r 1 nil] [:r 2 nil]]", 1)
                       OK(txn, "[[:append 1 2] [:append 2 2]]", "[[:append 1 2] [:append 2 2]]", 0)
                           J(ok, txn, "[[:r 1 [1]] [:r 2 [1 2]]]", 1)
                               OK(txn, "[[:r 1 nil] [:r 2 nil]]", "[[:r 1 [1 2]] [:r 2 [1 2]]]", 1));
    /* write skew: each sees the other's key empty and writes its own */
    assert_bad(check_txn, "G2",
               J(invoke, txn, "[[:r 1 nil] [:append 2 1]]", 0) J(invoke, txn, "[[:r 2 nil] [:append 1 1]]", 1)
                   J(ok, txn, "[[:r 1 []] [:append 2 1]]", 0) J(ok, txn, "[[:r 2 []] [:append 1 1]]", 1)
                       OK(txn, "[[:r 1 nil] [:r 2 nil]]", "[[:r 1 [1]] [:r 2 [1]]]", 2));
    /* lost update: both read the empty list and appended */
    assert_bad(check_txn, "G-single",
               J(invoke, txn, "[[:r 1 nil] [:append 1 1]]", 0) J(invoke, txn, "[[:r 1 nil] [:append 1 2]]", 1)
                   J(ok, txn, "[[:r 1 []] [:append 1 1]]", 0) J(ok, txn, "[[:r 1 []] [:append 1 2]]", 1)
                       OK(txn, "[[:r 1 nil]]", "[[:r 1 [1 2]]]", 2));
    /* stale read: serializable, but not in real time */
    assert_bad(check_txn, "G-single-realtime",
               OK(txn, "[[:append 1 1]]", "[[:append 1 1]]", 0) OK(txn, "[[:append 1 2]]", "[[:append 1 2]]", 0)
                   OK(txn, "[[:r 1 nil]]", "[[:r 1 [1]]]", 1) OK(txn, "[[:r 1 nil]]", "[[:r 1 [1 2]]]", 1));
    assert_bad(check_txn, "lost-append",
               OK(txn, "[[:append 1 1]]", "[[:append 1 1]]", 0) OK(txn, "[[:r 1 nil]]", "[[:r 1 []]]", 1));
    assert_bad(check_txn, "incompatible-order",
               J(invoke, txn, "[[:append 1 1]]", 0) J(invoke, txn, "[[:append 1 2]]", 1)
                   OK(txn, "[[:r 1 nil]]", "[[:r 1 [1 2]]]", 2) OK(txn, "[[:r 1 nil]]", "[[:r 1 [2 1]]]", 3)
                       J(ok, txn, "[[:append 1 1]]", 0) J(ok, txn, "[[:append 1 2]]", 1));
    assert_bad(check_txn, "duplicate",
               OK(txn, "[[:append 1 1]]", "[[:append 1 1]]", 0) OK(txn, "[[:r 1 nil]]", "[[:r 1 [1 1]]]", 1));
    assert_bad(check_txn, "phantom",
               OK(txn, "[[:append 1 1]]", "[[:append 1 1]]", 0) OK(txn, "[[:r 1 nil]]", "[[:r 1 [1 9]]]", 1));
    assert_bad(check_txn, "internal", OK(txn, "[[:append 1 1] [:r 1 nil]]", "[[:append 1 1] [:r 1 []]]", 0));
}

/* ---- watches ---- */

#define WROTE(key_value, revision)       J(invoke, write, "[" key_value "]", 0) JR(ok, write, "[" key_value "]", 0, revision)
#define BEGINS(watcher)                  JR(invoke, covered, "nil", watcher, 0)
#define TOLD(event, watcher, revision)   JR(ok, event, "[" event "]", watcher, revision)
#define ADDED(key, value, w, revision)   JR(ok, event, "[" #key " [65 " #value "]]", w, revision)
#define CHANGED(key, value, w, revision) JR(ok, event, "[" #key " [77 " #value "]]", w, revision)
#define REMOVED(key, value, w, revision) JR(ok, event, "[" #key " [68 " #value "]]", w, revision)
#define COVERED(w, revision)             JR(ok, covered, "nil", w, revision)

static void test_watches(void **state)
{
    (void)state;
    assert_good(check_watch, BEGINS(8) BEGINS(9) WROTE("1 5", 10) ADDED(1, 5, 8, 10) WROTE("1 6", 12) CHANGED(
                                 1, 6, 8, 12) COVERED(8, 12) ADDED(1, 5, 9, 10) CHANGED(1, 6, 9, 12) COVERED(9, 12));
    /* one that has not caught up has lost nothing yet */
    assert_good(check_watch, BEGINS(8) WROTE("1 5", 10) ADDED(1, 5, 8, 10) WROTE("1 6", 12) COVERED(8, 11));
    /* begins later, after a list */
    assert_good(check_watch, BEGINS(8) WROTE("1 5", 10) ADDED(1, 5, 8, 10) COVERED(8, 10)
                                 JR(invoke, covered, "nil", 9, 10) WROTE("1 6", 12) CHANGED(1, 6, 9, 12));
    assert_bad(check_watch, "lost-event",
               BEGINS(8) WROTE("1 5", 10) WROTE("1 6", 12) CHANGED(1, 6, 8, 12) COVERED(8, 12));
    assert_bad(check_watch, "lost-event",
               BEGINS(8) WROTE("1 5", 10) ADDED(1, 5, 8, 10) WROTE("1 6", 12) COVERED(8, 12));
    /* known from another watcher only */
    assert_bad(check_watch, "lost-event",
               BEGINS(8) BEGINS(9) J(invoke, write, "[1 5]", 0) ADDED(1, 5, 8, 10) COVERED(9, 10));
    assert_bad(check_watch, "doubled-event", BEGINS(8) WROTE("1 5", 10) ADDED(1, 5, 8, 10) ADDED(1, 5, 8, 10));
    assert_bad(check_watch, "reordered-event",
               BEGINS(8) WROTE("1 5", 10) WROTE("2 6", 12) ADDED(2, 6, 8, 12) ADDED(1, 5, 8, 10));
    assert_bad(check_watch, "phantom-event", BEGINS(8) WROTE("1 5", 10) ADDED(1, 5, 8, 10) CHANGED(1, 7, 8, 11));
    assert_bad(check_watch, "phantom-event", BEGINS(8) FAIL(write, "[1 5]", 0) ADDED(1, 5, 8, 10));
    assert_bad(check_watch, "wrong-event", BEGINS(8) WROTE("1 5", 10) WROTE("1 6", 12) ADDED(1, 6, 8, 10));
    assert_bad(check_watch, "wrong-kind",
               BEGINS(8) WROTE("1 5", 10) WROTE("1 6", 12) ADDED(1, 5, 8, 10) ADDED(1, 6, 8, 12));
    assert_bad(check_watch, "wrong-kind",
               BEGINS(8) WROTE("1 5", 10) ADDED(1, 5, 8, 10) REMOVED(1, 5, 8, 11) REMOVED(1, 5, 8, 12));
}

#define PAGES(list, revision) J(invoke, pages, "nil", 7) JR(ok, pages, list, 7, revision)
#define TWO_KEYS              BEGINS(8) WROTE("1 5", 10) ADDED(1, 5, 8, 10) WROTE("2 6", 12) ADDED(2, 6, 8, 12)

static void test_pages(void **state)
{
    (void)state;
    assert_good(check_pages, TWO_KEYS COVERED(8, 12) PAGES("[1 5 10 2 6 12]", 12));
    assert_good(check_pages, TWO_KEYS REMOVED(1, 5, 8, 13) PAGES("[2 6 12]", 13));
    assert_bad(check_pages, "missing-object", TWO_KEYS PAGES("[2 6 12]", 12));
    assert_bad(check_pages, "extra-object", TWO_KEYS REMOVED(1, 5, 8, 13) PAGES("[1 5 10 2 6 12]", 13));
    assert_bad(check_pages, "doubled-object", TWO_KEYS PAGES("[1 5 10 1 5 10 2 6 12]", 12));
    assert_bad(check_pages, "wrong-page", TWO_KEYS PAGES("[1 4 9 2 6 12]", 12));
    assert_bad(check_pages, "stale-page", TWO_KEYS PAGES("[1 5 10]", 10));
}

/* ---- leases and Deployments ---- */

static void test_leases(void **state)
{
    (void)state;
    assert_good(lease,
                JT(invoke, acquire, "[1 [1000000000 1]]", 1, 0) JT(ok, acquire, "[1 [1000000000 1]]", 1, 10)
                    JT(invoke, acquire, "[1 [1000000000 2]]", 2, 900) JT(ok, acquire, "[1 [1000000000 2]]", 2, 1010));
    assert_good(lease,
                JT(invoke, acquire, "[1 [1000000000 1]]", 1, 0) JT(ok, acquire, "[1 [1000000000 1]]", 1, 10)
                    JT(invoke, release, "[1 1]", 1, 20) JT(ok, release, "[1 1]", 1, 30)
                        JT(invoke, acquire, "[1 [1000000000 2]]", 2, 25) JT(ok, acquire, "[1 [1000000000 2]]", 2, 40));
    assert_bad(lease, "two-holders",
               JT(invoke, acquire, "[1 [1000000000 1]]", 1, 0) JT(ok, acquire, "[1 [1000000000 1]]", 1, 10)
                   JT(invoke, acquire, "[1 [1000000000 2]]", 2, 500) JT(ok, acquire, "[1 [1000000000 2]]", 2, 510));
    assert_bad(lease, "two-holders",
               JT(invoke, acquire, "[1 [1000000000 1]]", 1, 0) JT(ok, acquire, "[1 [1000000000 1]]", 1, 10)
                   JT(invoke, renew, "[1 [1000000000 1]]", 1, 900) JT(ok, renew, "[1 [1000000000 1]]", 1, 910)
                       JT(invoke, acquire, "[1 [1000000000 2]]", 2, 1100)
                           JT(ok, acquire, "[1 [1000000000 2]]", 2, 1110));
    assert_bad(lease, "early-expiry", JT(invoke, expire, "[1 nil]", 1, 0) JT(ok, expire, "[1 [500000000 0]]", 1, 10));
    assert_bad(lease, "late-expiry", JT(invoke, expire, "[1 nil]", 1, 900) JT(ok, expire, "[1 [500000000 1]]", 1, 910));
    assert_good(lease, JT(invoke, expire, "[1 nil]", 1, 900) JT(ok, expire, "[1 [500000000 0]]", 1, 910));
}

/* A list: term, leader, commit index; then id, place, role (0 = voter) of each member. */
#define LIST(list, process) OK(members, "nil", "[" list "]", process)
#define ABC                 " 1 11 0 2 12 0 3 13 0"

static void test_members(void **state)
{
    (void)state;
    /* 3 is removed, 4 joins in its place; another one leads */
    assert_good(check_members, LIST("2 1 10" ABC, 0) LIST("2 1 12 1 11 0 2 12 0", 1)
                                   LIST("3 2 12 1 11 0 2 12 0 4 13 1", 0) LIST("3 2 15 1 11 0 2 12 0 4 13 0", 2));
    /* the old leader still speaks of its term, which is no news */
    assert_good(check_members, LIST("2 1 10" ABC, 0) LIST("3 2 12" ABC, 1) LIST("2 1 11" ABC, 2));
    assert_bad(check_members, "two-leaders", LIST("2 1 10" ABC, 0) LIST("2 3 10" ABC, 1));
    assert_bad(check_members, "commit-went-back", LIST("2 1 10" ABC, 0) LIST("2 1 9" ABC, 1));
    assert_bad(check_members, "commit-went-back", LIST("2 1 10" ABC, 0) LIST("3 2 9" ABC, 1));
    assert_bad(check_members, "commit-went-back", LIST("3 2 9" ABC, 0) LIST("2 1 10" ABC, 1));
    assert_bad(check_members, "id-used-twice", LIST("2 1 10" ABC, 0) LIST("2 1 11 1 11 0 2 12 0 3 14 0", 1));
    assert_bad(check_members, "two-at-a-place", LIST("2 1 10" ABC, 0) LIST("2 1 11" ABC " 4 13 1", 1));
    assert_bad(check_members, "few-voters",
               LIST("2 1 10" ABC, 0) LIST("2 1 11 1 11 0 2 12 1", 1) LIST("2 1 12" ABC, 1));
    assert_bad(check_members, "not-whole", LIST("2 1 10" ABC, 0) LIST("2 1 11 1 11 0 2 12 0", 1));
    assert_bad(check_members, "not-whole", LIST("2 1 10" ABC, 0) LIST("2 1 11" ABC " 4 14 1", 1));
}

static void test_deployments(void **state)
{
    (void)state;
    assert_good(check_pods,
                OK(scale, "[1 3]", "[1 3]", 0) OK(pods, "[1 nil]", "[1 [1 2]]", 0) OK(pods, "[1 nil]", "[1 [0 3]]", 0));
    assert_bad(check_pods, "not-converged", OK(scale, "[1 3]", "[1 3]", 0) OK(pods, "[1 nil]", "[1 [0 2]]", 0));
    assert_bad(check_pods, "orphan", OK(scale, "[1 3]", "[1 3]", 0) OK(pods, "[1 nil]", "[1 [1 3]]", 0));
    assert_bad(check_pods, "never-looked", OK(pods, "[1 nil]", "[1 [0 3]]", 0) OK(scale, "[1 3]", "[1 3]", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),     cmocka_unit_test(test_counters), cmocka_unit_test(test_txns_good),
        cmocka_unit_test(test_txns_bad), cmocka_unit_test(test_watches),  cmocka_unit_test(test_pages),
        cmocka_unit_test(test_leases),   cmocka_unit_test(test_members),  cmocka_unit_test(test_deployments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

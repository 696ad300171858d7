/* Histories: pairing, and both formats there and back. */
#include "jepsen_common.h"

#include "base/mem.h"

static const char text[] =
    "{:type :invoke, :f :cas, :value [3 [1 2]], :process 4, :time 12, :index 0, :node 2}\n"
    "{:type :ok, :f :cas, :value [3 [1 2]], :process 4, :time 15, :index 1, :node 2, :revision 99}\n"
    "{:type :invoke, :f :read, :value [3 nil], :process 0, :time 16, :index 2}\n"
    "{:type :info, :f :read, :value [3 nil], :process 0, :time 17, :index 3, :error \"no \\\"answer\\\"\"}\n"
    "{:type :invoke, :f :txn, :value [[:append 1 2] [:r 3 nil]], :process 5, :time 18, :index 4}\n"
    "{:type :ok, :f :txn, :value [[:append 1 2] [:r 3 [4 5]] [:r 4 []]], :process 5, :time 19, :index 5}\n"
    "{:type :ok, :f :event, :value [3 [77 8]], :process 6, :time 20, :index 6, :revision 12}\n"
    "{:type :ok, :f :pages, :value [1 2 3], :process 6, :time 21, :index 7, :revision 12}\n"
    "{:type :info, :f :fault, :value nil, :process :nemesis, :time 22, :index 8, :error \"kill leader n2\"}\n";

static void parse(struct history *h, struct slice from)
{
    size_t line;
    history_init(h);
    assert_int_equal(history_parse(h, from, &line), 0);
}

static void format_all(const struct history *h, bool edn, struct buf *out)
{
    for (size_t i = 0; i < h->n; i++) {
        history_format(h, i, edn, out);
        buf_add_char(out, '\n');
    }
}

static void test_edn_and_json_there_and_back(void **state)
{
    (void)state;
    struct history h, again;
    struct buf edn = BUF_INIT(1 << 16), json = BUF_INIT(1 << 16), back = BUF_INIT(1 << 16);
    parse(&h, slice_str(text));
    format_all(&h, true, &edn);
    assert_string_equal(edn.p, text);
    format_all(&h, false, &json);
    parse(&again, buf_slice(&json));
    format_all(&again, true, &back);
    assert_string_equal(back.p, text);
    buf_done(&edn);
    buf_done(&json);
    buf_done(&back);
    history_done(&h);
    history_done(&again);
}

static void test_sets_and_single_registers(void **state)
{
    (void)state;
    struct history h;
    parse(&h, SLICE("{:type :ok, :f :add, :value 1, :process 0}\n"
                    "{:type :ok, :f :read, :value #{1 2}, :process 0}\n"
                    "{:type :ok, :f :read, :value [], :process 0}\n"));
    assert_int_equal(h.events[1].n_list, 2);
    assert_true(h.events[2].list != 0 && h.events[2].n_list == 0);
    history_done(&h);
    parse(&h, SLICE("#jepsen.history.Op{:type :ok, :f :cas, :value [1 2], :process 0} ; a comment\n"));
    assert_int_equal(h.events[0].expected, 1);
    assert_int_equal(h.events[0].value, 2);
    history_done(&h);
}

static void test_pairs(void **state)
{
    (void)state;
    struct history h;
    struct hist_op *ops;
    parse(&h, slice_str(text));
    assert_int_equal(history_ops(&h, &ops), 3);
    assert_int_equal(ops[0].returned, 1);
    assert_int_equal(hist_outcome(&ops[1]), HIST_INFO);
    assert_true(ops[1].returned == SIZE_MAX);
    assert_int_equal(hist_best(&ops[2])->n_list, 3 + 5 + 3);
    struct hist_micro m;
    size_t at = 3;
    assert_true(hist_micro_next(&h, ops[2].ret, &at, &m));
    assert_int_equal(m.n, 2);
    assert_int_equal(m.items[1], 5);
    mem_free(ops);
    history_done(&h);
}

static void test_refuses_what_is_no_history(void **state)
{
    (void)state;
    static const char *const bad[] = {"{:type :ok", "{:type :odd, :f :read}", "[1 2]",
                                      "{:type :ok, :f :txn, :value [[:x 1 2]]}", "{\"type\":\"ok\",\"f\":}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct history h;
        size_t line;
        history_init(&h);
        assert_true(history_parse(&h, slice_str(bad[i]), &line) < 0);
        assert_int_equal(line, 1);
        history_done(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edn_and_json_there_and_back),
        cmocka_unit_test(test_sets_and_single_registers),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_refuses_what_is_no_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit.h"

#include "agent/proxy/rules.h"
#include "codec/json.h"

static const char *const node = "{\"metadata\":{\"name\":\"n2\"},\"spec\":{\"podCIDR\":\"10.244.2.0/24\"}}";
static const char *const service = "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"type\":"
                                   "\"NodePort\",\"clusterIP\":\"10.96.0.7\",\"ports\":[{\"name\":\"h\","
                                   "\"port\":80,\"protocol\":\"TCP\",\"nodePort\":30080}]}}";
static const char *const endpoints =
    "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web-1\",\"labels\":{\"kubernetes.io/"
    "service-name\":\"web\"}},\"addressType\":\"IPv4\","
    "\"ports\":[{\"name\":\"h\",\"port\":8080,\"protocol\":\"TCP\"}],\"endpoints\":["
    "{\"addresses\":[\"10.244.1.5\"],\"conditions\":{\"ready\":true},\"nodeName\":\"n1\"},"
    "{\"addresses\":[\"10.244.2.5\"],\"conditions\":{\"ready\":true},\"nodeName\":\"n2\"},"
    "{\"addresses\":[\"10.244.2.6\"],\"conditions\":{\"ready\":false},\"nodeName\":\"n2\"},"
    "{\"addresses\":[\"1;drop\"],\"conditions\":{\"ready\":true},\"nodeName\":\"n2\"}]}";

static const struct json *parse(struct arena *a, const char *text)
{
    struct json_error err;
    const struct json *v = json_parse(a, slice_str(text), &err, NULL, NULL);
    assert_non_null(v);
    return v;
}

static void write_rules(struct buf *out, const char *svc, bool with_endpoints)
{
    struct arena a;
    arena_init(&a, 16 << 20);
    struct rules *r = rules_new(&a, "n1", "10.244.1.0/24");
    rules_add_node(r, parse(&a, node));
    if (with_endpoints)
        rules_add_slice(r, parse(&a, endpoints));
    rules_add_service(r, parse(&a, svc));
    assert_int_equal(rules_write(r, out), 0);
    arena_done(&a);
}

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void test_endpoints_share_the_load(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 20);
    write_rules(&out, service, true);
    assert_non_null(strstr(out.p, "10.96.0.7 . tcp . 80 : goto svc_"));
    assert_non_null(strstr(out.p, "tcp . 30080 : goto svc_"));
    assert_int_equal(occurrences(out.p, "dnat to 10.244.1.5:8080"), 2); /* by address and by node port */
    assert_int_equal(occurrences(out.p, "numgen random mod 2"), 2);
    assert_null(strstr(out.p, "10.244.2.6")); /* not ready */
    assert_null(strstr(out.p, "drop"));       /* no address */
    assert_non_null(strstr(out.p, "ip saddr 10.244.1.0/24 ip daddr != @pod_cidrs masquerade"));
    buf_done(&out);
}

static void test_without_endpoints_is_refused(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 20);
    write_rules(&out, service, false);
    assert_non_null(strstr(out.p, "10.96.0.7 . tcp . 80 : goto refuse"));
    assert_non_null(strstr(out.p, "tcp . 30080 : goto refuse"));
    buf_done(&out);
}

static void test_local_policies(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 20);
    write_rules(&out,
                "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.96.0.7\","
                "\"internalTrafficPolicy\":\"Local\","
                "\"sessionAffinity\":\"ClientIP\",\"ports\":[{\"name\":\"h\",\"port\":80}]}}",
                true);
    assert_non_null(strstr(out.p, "dnat to 10.244.1.5:8080"));
    assert_null(strstr(out.p, "dnat to 10.244.2.5"));
    assert_non_null(strstr(out.p, "jhash ip saddr mod 1"));
    buf_done(&out);
}

static void test_headless_has_no_rules(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 20);
    write_rules(&out,
                "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"None\",\"ports\":"
                "[{\"name\":\"h\",\"port\":80}]}}",
                true);
    assert_null(strstr(out.p, "goto"));
    buf_done(&out);
}

/* nft refuses the whole table for one element that is malformed or there twice. */
static void test_hostile_services_spoil_nothing(void **state)
{
    (void)state;
    static const char *const twins = "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{"
                                     "\"clusterIP\":\"10.96.0.7\",\"externalIPs\":"
                                     "[\"10.96.0.7\",\"1.2.3\",\"1.2.3.4/"
                                     "5\"],\"ports\":[{\"name\":\"h\",\"port\":80,\"nodePort\":70000},{\"name\":\"h\","
                                     "\"port\":99999},{\"name\":\"h\",\"port\":80}]}}";
    struct buf out = BUF_INIT(1 << 20);
    write_rules(&out, twins, true);
    assert_int_equal(occurrences(out.p, " : goto svc_"), 1);
    assert_null(strstr(out.p, "70000"));
    assert_null(strstr(out.p, "99999"));
    assert_null(strstr(out.p, "1.2.3"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints_share_the_load),
        cmocka_unit_test(test_without_endpoints_is_refused),
        cmocka_unit_test(test_local_policies),
        cmocka_unit_test(test_headless_has_no_rules),
        cmocka_unit_test(test_hostile_services_spoil_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Log lines, options, and the agent's server over plain HTTP with pods that the test makes up. */
#include "unit_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/log_rotate.h"
#include "agent/logs.h"
#include "agent/pods.h"
#include "agent/server.h"
#include "auth/pki.h"
#include "base/timefmt.h"
#include "net_common.h"

/* ---- lines ---- */

static void lines_of_the_runtime(void **state)
{
    struct log_line l;
    (void)state;
    assert_true(log_line_parse(SLICE("2026-01-02T03:04:05.123456789Z stdout F hello  world"), &l));
    assert_slice(l.text, "hello  world");
    assert_slice(l.time, "2026-01-02T03:04:05.123456789Z");
    assert_int_equal(l.ns % NS_PER_SEC, 123456789);
    assert_int_equal(l.stream, LOG_STDOUT);
    assert_false(l.partial);
    assert_true(log_line_parse(SLICE("2026-01-02T03:04:05.1+01:00 stderr P:x "), &l));
    assert_slice(l.text, "");
    assert_true(l.partial);
    assert_int_equal(l.stream, LOG_STDERR);
    static const char *const bad[] = {"",
                                      "x",
                                      "2026-01-02T03:04:05Z",
                                      "2026-01-02T03:04:05Z stdout",
                                      "2026-01-02T03:04:05Z stdnone F x",
                                      "yesterday stdout F x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(log_line_parse(slice_str(bad[i]), &l));
}

#define LINE(second, tag, text) "2026-01-02T03:04:0" second "Z stdout " tag " " text "\n"

static void assert_filtered(struct log_filter *f, const char *text, const char *expected)
{
    struct buf out = BUF_INIT(4096);
    struct slice rest = slice_str(text), one;
    struct log_line l;
    bool more = true;
    while (rest.n && more) {
        slice_cut(rest, '\n', &one, &rest);
        assert_true(log_line_parse(one, &l));
        more = log_filter_line(f, &l, &out);
    }
    assert_slice(buf_slice(&out), expected);
    buf_done(&out);
}

static void lines_are_selected(void **state)
{
    const char *text = LINE("1", "F", "one") LINE("2", "P", "tw") LINE("2", "F", "o") LINE("3", "F", "three");
    struct log_filter all = {{.tail = -1, .limit_bytes = -1}, false, 0}, times = all, since = all, limit = all,
                      err = all;
    (void)state;
    assert_filtered(&all, text, "one\ntwo\nthree\n");
    times.o.timestamps = true;
    assert_filtered(&times, text, "2026-01-02T03:04:01Z one\n2026-01-02T03:04:02Z two\n2026-01-02T03:04:03Z three\n");
    assert_true(time_parse(SLICE("2026-01-02T03:04:02Z"), &since.o.since));
    assert_filtered(&since, text, "two\nthree\n");
    limit.o.limit_bytes = 6;
    assert_filtered(&limit, text, "one\ntw");
    err.o.stream = LOG_STDERR;
    assert_filtered(&err, text, "");
}

static void options_of_a_query(void **state)
{
    struct log_options o;
    char why[256];
    assert_int_equal(
        log_options_parse(*state, SLICE("follow=true&tailLines=7&timestamps=1&container=c&limitBytes=9&sinceSeconds=2"),
                          10 * NS_PER_SEC, &o, why),
        0);
    assert_true(o.follow && o.timestamps && !o.previous);
    assert_int_equal(o.tail, 7);
    assert_int_equal(o.limit_bytes, 9);
    assert_int_equal(o.since, 8 * NS_PER_SEC);
    assert_int_equal(log_options_parse(*state, SLICE("sinceTime=2026-01-02T03%3A04%3A05Z"), 0, &o, why), 0);
    assert_true(o.since > 0 && o.tail == -1);
    static const char *const bad[] = {"tailLines=-1", "tailLines=x", "limitBytes=0", "sinceSeconds=0", "sinceTime=now"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(log_options_parse(*state, slice_str(bad[i]), 0, &o, why), -EINVAL);
    assert_string_equal(why, "sinceTime: Invalid value: \"now\"");
}

/* ---- pods of the test ---- */

static char log_dir[64];
static bool running;

static const char *log_file(const char *suffix)
{
    static char out[2][128];
    static unsigned n;
    char *p = out[n++ % 2];
    snprintf(p, 128, "%s/0.log%s", log_dir, suffix);
    return p;
}

int pods_sandbox_id(const struct pods *p, struct slice ns, struct slice name, char *out, size_t n)
{
    (void)p, (void)ns, (void)name, (void)out, (void)n;
    return -ENOENT;
}

int pods_container_id(const struct pods *p, struct slice ns, struct slice name, struct slice container, char *out,
                      size_t n)
{
    (void)p, (void)ns, (void)name, (void)container, (void)out, (void)n;
    return -ENOENT;
}

int pods_log_path(const struct pods *p, struct slice ns, struct slice name, struct slice container, bool previous,
                  char *out, size_t n, char why[512])
{
    (void)p;
    snprintf(why, 512, previous ? "no log yet" : "no such log");
    if (!slice_eq_str(ns, "ns") || !slice_eq_str(name, "pod") || !slice_eq_str(container, "c") || previous)
        return previous ? -EAGAIN : -ENOENT;
    snprintf(out, n, "%s", log_file(""));
    return 0;
}

bool pods_container_running(const struct pods *p, struct slice ns, struct slice name, struct slice container)
{
    (void)p, (void)ns, (void)name, (void)container;
    return running;
}

int pods_list_json(const struct pods *p, struct buf *out)
{
    (void)p;
    return buf_add_str(out, "{}");
}

/* ---- the server ---- */

struct bench {
    struct loop *l;
    struct agent agent;
    struct http_client *client;
    struct loop_timer later;
    unsigned step;
    char got[4096];
    size_t n;
    int code, err;
    bool done;
};

static void append(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void bench_open(struct bench *b)
{
    char why[256], addr[64];
    *b = (struct bench){.l = loop_uv_new("test")};
    snprintf(log_dir, sizeof log_dir, "/tmp/pintle-logs-XXXXXX");
    assert_non_null(mkdtemp(log_dir));
    running = false;
    b->agent = (struct agent){.loop = b->l, .o = {.listen = "127.0.0.1:0", .node_name = "n1"}};
    assert_int_equal(agent_server_new(&b->agent, &b->agent.server, why), 0);
    snprintf(addr, sizeof addr, "127.0.0.1:%u", agent_server_port(b->agent.server));
    b->client = http_client_new(b->l, &(struct http_client_options){.addr = addr});
}

static void bench_close(struct bench *b)
{
    http_client_free(b->client);
    agent_server_free(b->agent.server);
    loop_free(b->l);
    unlink(log_file(""));
    unlink(log_file(".20260101-000000"));
    unlink(log_file(".20260102-000000"));
    assert_int_equal(rmdir(log_dir), 0);
}

static void on_data(void *ctx, struct slice data)
{
    struct bench *b = ctx;
    assert_true(b->n + data.n < sizeof b->got);
    memcpy(b->got + b->n, data.p, data.n);
    b->n += data.n;
    b->got[b->n] = '\0';
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct bench *b = ctx;
    (void)trailers, (void)n, (void)sent;
    b->done = true;
    b->err = err;
    b->code = code;
    loop_stop(b->l);
}

static const char *get(struct bench *b, const char *path)
{
    b->n = 0;
    b->got[0] = '\0';
    http_call(
        b->client,
        &(struct http_call_options){
            .method = "GET", .path = path, .timeout_ms = 10000, .on_data = on_data, .on_done = on_done, .ctx = b});
    loop_run(b->l);
    assert_int_equal(b->err, 0);
    return b->got;
}

static void serves_rotated_logs(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    append(log_file(".20260102-000000"), LINE("2", "F", "two"));
    append(log_file(".20260101-000000"), LINE("1", "F", "one"));
    append(log_file(""), LINE("3", "F", "three") LINE("4", "F", "four"));
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c"), "one\ntwo\nthree\nfour\n");
    assert_int_equal(b.code, 200);
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c?tailLines=1"), "four\n");
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c?tailLines=3"), "two\nthree\nfour\n");
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c?tailLines=9"), "one\ntwo\nthree\nfour\n");
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c?tailLines=0"), "");
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c?limitBytes=5"), "one\nt");
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c?follow=true"),
                        "one\ntwo\nthree\nfour\n"); /* it does not run: over */
    bench_close(&b);
}

/* What happens while a client follows. */
static void on_later(struct loop_timer *t)
{
    struct bench *b = container_of(t, struct bench, later);
    switch (b->step++) {
    case 0:
        append(log_file(""), LINE("2", "F", "two"));
        break;
    case 1:
        append(log_file(""), LINE("3", "F", "three"));
        assert_int_equal(rename(log_file(""), log_file(".20260101-000000")), 0);
        append(log_file(""), LINE("4", "F", "four"));
        break;
    default:
        append(log_file(""), LINE("5", "F", "five"));
        running = false;
        return;
    }
    loop_timer_start(b->l, t, 300);
}

static void follows_until_the_container_ends(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    running = true;
    append(log_file(""), LINE("1", "F", "one"));
    b.later.cb = on_later;
    loop_timer_start(b.l, &b.later, 300);
    assert_string_equal(get(&b, "/containerLogs/ns/pod/c?follow=true"), "one\ntwo\nthree\nfour\nfive\n");
    bench_close(&b);
}

static void stop(struct loop_timer *t)
{
    loop_stop(container_of(t, struct bench, later)->l);
}

static void a_follower_that_goes_away(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    running = true;
    append(log_file(""), LINE("1", "F", "one"));
    struct http_call *call = http_call(b.client, &(struct http_call_options){.method = "GET",
                                                                             .path = "/containerLogs/ns/pod/c?follow=1",
                                                                             .on_data = on_data,
                                                                             .on_done = on_done,
                                                                             .ctx = &b});
    b.later.cb = stop;
    loop_timer_start(b.l, &b.later, 300);
    loop_run(b.l);
    assert_string_equal(b.got, "one\n");
    http_call_cancel(call);
    loop_timer_start(b.l, &b.later, 300);
    loop_run(b.l);
    assert_false(b.done);
    bench_close(&b);
}

static void other_answers(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    assert_string_equal(get(&b, "/healthz"), "ok");
    assert_non_null(strstr(get(&b, "/pods"), "\"items\":[{}]"));
    assert_non_null(strstr(get(&b, "/stats/summary"), "\"nodeName\":\"n1\""));
    get(&b, "/containerLogs/ns/other/c");
    assert_int_equal(b.code, 404);
    assert_non_null(strstr(b.got, "no such log"));
    get(&b, "/containerLogs/ns/pod/c?previous=true");
    assert_int_equal(b.code, 400);
    assert_non_null(strstr(b.got, "no log yet"));
    get(&b, "/containerLogs/ns/pod/c?tailLines=x");
    assert_int_equal(b.code, 400);
    get(&b, "/containerLogs/ns/pod");
    assert_int_equal(b.code, 404);
    get(&b, "/exec/ns/pod/c?command=ls");
    assert_int_equal(b.code, 400);
    get(&b, "/nothing");
    assert_int_equal(b.code, 404);
    bench_close(&b);
}

/* ---- who may enter ---- */

static int code_for(struct net_env *e, struct agent *agent, const struct pki_pair *ca, const char *org)
{
    struct pki_request client = {.common_name = "x", .orgs = &org, .n_orgs = org ? 1 : 0, .client = true, .days = 10};
    struct tls_options o = {
        .cert_file = net_file(e, "who.crt"), .key_file = net_file(e, "who.key"), .ca_file = net_file(e, "ca.crt")};
    struct net_call call = {0};
    struct pki_pair *pair;
    char why[256], addr[64];
    assert_int_equal(pki_issue(ca, &client, loop_wall(e->l), &pair), 0);
    assert_int_equal(pki_pair_write(pair, loop_fs(e->l), o.cert_file, o.key_file), 0);
    pki_pair_free(pair);
    struct tls_context *tls;
    assert_int_equal(tls_context_new(&o, &tls, why), 0);
    snprintf(addr, sizeof addr, "127.0.0.1:%u", agent_server_port(agent->server));
    struct http_client *http = http_client_new(e->l, &(struct http_client_options){.addr = addr, .tls = tls});
    net_get(&call, http, "/healthz");
    net_run(e, net_is_done, &call);
    net_call_done(&call);
    http_client_free(http);
    tls_context_free(tls);
    return call.err ? call.err : call.code;
}

static void only_servers_and_administrators_enter(void **state)
{
    struct net_env e;
    struct pki_pair *ca, *pair;
    char why[256];
    static const char *const ips[] = {"127.0.0.1"};
    const struct pki_request server = {.common_name = "n1", .ips = ips, .n_ips = 1, .server = true, .days = 10};
    (void)state;
    net_setup(&e);
    assert_int_equal(pki_ca_create("ca", PKI_CA_DAYS, loop_wall(e.l), &ca), 0);
    assert_int_equal(pki_pair_write(ca, loop_fs(e.l), net_file(&e, "ca.crt"), net_file(&e, "ca.key")), 0);
    assert_int_equal(pki_issue(ca, &server, loop_wall(e.l), &pair), 0);
    assert_int_equal(pki_pair_write(pair, loop_fs(e.l), net_file(&e, "server.crt"), net_file(&e, "server.key")), 0);
    pki_pair_free(pair);
    struct agent agent = {.loop = e.l, .o = {.listen = "127.0.0.1:0", .node_name = "n1"}};
    struct tls_options o = {.cert_file = net_file(&e, "server.crt"),
                            .key_file = net_file(&e, "server.key"),
                            .ca_file = net_file(&e, "ca.crt"),
                            .verify_client = true,
                            .require_client = true};
    assert_int_equal(tls_context_new(&o, &agent.o.tls, why), 0);
    assert_int_equal(agent_server_new(&agent, &agent.server, why), 0);
    assert_int_equal(code_for(&e, &agent, ca, "pintle:servers"), 200);
    assert_int_equal(code_for(&e, &agent, ca, "system:masters"), 200);
    assert_int_equal(code_for(&e, &agent, ca, "system:nodes"), 403);
    assert_int_equal(code_for(&e, &agent, ca, NULL), 403);
    agent_server_free(agent.server);
    tls_context_free(agent.o.tls);
    pki_pair_free(ca);
    net_teardown(&e);
}

static void old_files_go(void **state)
{
    char message[16];
    struct bench b;
    (void)state;
    bench_open(&b);
    assert_int_equal(log_rotate_file(log_file(""), 10, 3, 1), 0); /* none there */
    append(log_file(""), "short");
    assert_int_equal(log_rotate_file(log_file(""), 10, 3, 1), 0);
    for (int i = 1; i < 5; i++) {
        snprintf(message, sizeof message, "message %d", i);
        append(log_file(""), message);
        assert_int_equal(log_rotate_file(log_file(""), 9, 3, i * NS_PER_SEC), 1);
    }
    assert_int_equal(access(log_file(""), F_OK), -1);
    assert_int_equal(access(log_file(".1970-01-01T00:00:02.000000Z"), F_OK), -1);
    assert_int_equal(unlink(log_file(".1970-01-01T00:00:03.000000Z")), 0);
    assert_int_equal(unlink(log_file(".1970-01-01T00:00:04.000000Z")), 0);
    bench_close(&b); /* nothing else is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(lines_of_the_runtime),
                                       unit(lines_are_selected),
                                       unit(options_of_a_query),
                                       unit(serves_rotated_logs),
                                       unit(follows_until_the_container_ends),
                                       unit(a_follower_that_goes_away),
                                       unit(other_answers),
                                       unit(old_files_go),
                                       unit(only_servers_and_administrators_enter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

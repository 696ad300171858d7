/* pintle status: who leads, who lags, in one screen. Asks each replica for its metrics. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "net/http.h"

enum { STATUS_TIMEOUT_MS = 2000, STATUS_BODY_MAX = 16 << 20 };

struct status_options {
    const char *cert_dir, *user, *output;
    struct option_list servers;
};

static const struct option_row rows[] = {
    {"server", OPTION_LIST, offsetof(struct status_options, servers), "ADDR", "a replica's API address; once for each"},
    {"cert-dir", OPTION_TEXT, offsetof(struct status_options, cert_dir), "DIR",
     "ca.crt, USER.crt, USER.key (/etc/pintle/pki)"},
    {"user", OPTION_TEXT, offsetof(struct status_options, user), "NAME", "whose certificate (admin)"},
    {"output", OPTION_TEXT, offsetof(struct status_options, output), "json", "print JSON"},
    {0},
};

struct asked {
    struct loop *loop;
    size_t *pending;
    const char *address;
    struct http_client *client;
    struct buf body;
    int err, code;
};

static void on_data(void *ctx, struct slice data)
{
    struct asked *q = ctx;
    buf_add_slice(&q->body, data);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct asked *q = ctx;
    (void)trailers, (void)n, (void)sent;
    q->err = err;
    q->code = code;
    if (--*q->pending == 0)
        loop_stop(q->loop);
}

/* The value of a metric without labels, or fallback. */
static double value_of(const struct asked *q, const char *name, double fallback)
{
    char line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = q->body.p ? strstr(q->body.p, line) : NULL;
    return at ? strtod(at + strlen(line), NULL) : fallback;
}

static const char *advice(const struct asked *q)
{
    if (q->err)
        return "not reachable: is the process running? see its log";
    if (q->code == 401 || q->code == 403)
        return "refused our certificate: is it from this cluster's authority?";
    return q->code == 200 ? "" : "answers with an error: see its log";
}

static const char *role_of(const struct asked *q)
{
    if (value_of(q, "pintle_state_fenced", 0) > 0)
        return "fenced"; /* its state was found wrong: it is getting another one */
    return value_of(q, "pintle_raft_is_leader", 0) > 0 ? "leader" : "follower";
}

static void print_json(const struct asked *q, size_t n)
{
    printf("{\"replicas\":[");
    for (size_t i = 0; i < n; i++)
        printf("%s{\"address\":\"%s\",\"reachable\":%s,\"leader\":%s,\"term\":%.0f,\"commitIndex\":%.0f,"
               "\"appliedIndex\":%.0f,"
               "\"revision\":%.0f,\"fenced\":%s}",
               i ? "," : "", q[i].address, q[i].err ? "false" : "true",
               value_of(&q[i], "pintle_raft_is_leader", 0) > 0 ? "true" : "false",
               value_of(&q[i], "pintle_raft_term", 0), value_of(&q[i], "pintle_raft_commit_index", 0),
               value_of(&q[i], "pintle_raft_applied_index", 0), value_of(&q[i], "pintle_store_revision", 0),
               value_of(&q[i], "pintle_state_fenced", 0) > 0 ? "true" : "false");
    printf("]}\n");
}

static int print_table(const struct asked *q, size_t n)
{
    size_t up = 0;
    double newest = 0;
    printf("%-24s %-10s %6s %12s %10s\n", "REPLICA", "ROLE", "TERM", "REVISION", "BEHIND");
    for (size_t i = 0; i < n; i++)
        if (value_of(&q[i], "pintle_raft_commit_index", 0) > newest)
            newest = value_of(&q[i], "pintle_raft_commit_index", 0);
    for (size_t i = 0; i < n; i++) {
        bool ok = !q[i].err && q[i].code == 200;
        up += ok;
        if (!ok)
            printf("%-24s %-10s %s\n", q[i].address, "down", advice(&q[i]));
        else
            printf("%-24s %-10s %6.0f %12.0f %10.0f\n", q[i].address, role_of(&q[i]),
                   value_of(&q[i], "pintle_raft_term", 0), value_of(&q[i], "pintle_store_revision", 0),
                   newest - value_of(&q[i], "pintle_raft_applied_index", 0));
    }
    if (up * 2 <= n)
        printf("\nNo quorum: %zu of %zu replicas answer, %zu are needed for writes. Start the others.\n", up, n,
               n / 2 + 1);
    return up * 2 > n ? 0 : 1;
}

static int ask_all(struct loop *l, const struct status_options *o, struct tls_context *tls)
{
    struct asked *q = mem_zalloc(o->servers.n * sizeof *q);
    size_t pending = o->servers.n;
    for (size_t i = 0; i < o->servers.n; i++) {
        q[i] = (struct asked){
            .loop = l, .pending = &pending, .address = o->servers.at[i], .body = BUF_INIT(STATUS_BODY_MAX)};
        q[i].client = http_client_new(l, &(struct http_client_options){.addr = q[i].address, .tls = tls});
        http_call(q[i].client, &(struct http_call_options){.method = "GET",
                                                           .path = "/metrics",
                                                           .timeout_ms = STATUS_TIMEOUT_MS,
                                                           .on_data = on_data,
                                                           .on_done = on_done,
                                                           .ctx = &q[i]});
    }
    loop_run(l);
    int rv = 0;
    if (o->output && !strcmp(o->output, "json"))
        print_json(q, o->servers.n);
    else
        rv = print_table(q, o->servers.n);
    for (size_t i = 0; i < o->servers.n; i++) {
        http_client_free(q[i].client);
        buf_done(&q[i].body);
    }
    mem_free(q);
    return rv;
}

static int run(int argc, char **argv, const struct command *c)
{
    struct status_options o = {.cert_dir = "/etc/pintle/pki", .user = "admin"};
    char ca[512], cert[512], key[512], why[256];
    struct tls_context *tls;
    int rv = options_parse(c, argc, argv, &o, "/etc/pintle/status.yaml", NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!o.servers.n) {
        fprintf(stderr, "pintle status: at least one --server ADDR is needed\n");
        return 2;
    }
    snprintf(ca, sizeof ca, "%s/ca.crt", o.cert_dir);
    snprintf(cert, sizeof cert, "%s/%s.crt", o.cert_dir, o.user);
    snprintf(key, sizeof key, "%s/%s.key", o.cert_dir, o.user);
    signal(SIGPIPE, SIG_IGN);
    struct loop *l = loop_uv_new("status");
    loop_log(l)->level = LOG_ERROR;
    if (tls_context_new(&(struct tls_options){.cert_file = cert, .key_file = key, .ca_file = ca}, &tls, why)) {
        fprintf(stderr, "pintle status: %s\n", why);
        loop_free(l);
        return 1;
    }
    rv = ask_all(l, &o, tls);
    tls_context_free(tls);
    loop_free(l);
    return rv;
}

const struct command command_status = {"status", "Shows who leads and who lags.", "", NULL, rows, run};

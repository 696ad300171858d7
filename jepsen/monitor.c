#include "jepsen/monitor.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { ASK_MS = 250, ANSWER_MS = 1000, METRICS_MAX = 4 << 20 };

struct asked {
    struct monitor *m;
    unsigned node;
    struct http_client *client;
    struct http_call *call;
    struct loop_timer timer;
    struct buf body;
    bool answers, leads;
    int64_t term;
};

struct monitor {
    struct drive *d;
    int leader;
    int64_t term;
    struct asked nodes[DRIVE_NODES_MAX];
};

/* The value of a metric without labels; -1 when it is not there. */
static int64_t metric(struct slice text, const char *name)
{
    struct slice line;
    size_t n = strlen(name);
    while (text.n) {
        slice_cut(text, '\n', &line, &text);
        if (line.n > n + 1 && !memcmp(line.p, name, n) && line.p[n] == ' ') {
            char number[32];
            snprintf(number, sizeof number, "%.*s", (int)(line.n - n - 1), line.p + n + 1);
            return (int64_t)strtod(number, NULL);
        }
    }
    return -1;
}

/* The one that leads in the newest term. */
static void decide(struct monitor *m)
{
    int leader = -1;
    int64_t term = -1;
    for (unsigned i = 0; i < drive_opts(m->d)->n_nodes; i++) {
        const struct asked *a = &m->nodes[i];
        if (a->answers && a->leads && a->term > term) {
            leader = (int)i;
            term = a->term;
        }
    }
    if (leader == m->leader && (leader < 0 || term == m->term))
        return;
    m->leader = leader;
    m->term = term;
    drive_note(m->d, HIST_LEADER, (unsigned)(leader + 1), leader < 0 ? HIST_NIL : term, NULL);
}

static void on_data(void *ctx, struct slice data)
{
    struct asked *a = ctx;
    buf_add_slice(&a->body, data);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct asked *a = ctx;
    (void)trailers, (void)n, (void)sent;
    a->call = NULL;
    a->answers = !err && code == 200;
    if (a->answers) {
        a->leads = metric(buf_slice(&a->body), "pintle_raft_is_leader") == 1;
        a->term = metric(buf_slice(&a->body), "pintle_raft_term");
    }
    decide(a->m);
    loop_timer_start(drive_loop(a->m->d), &a->timer, ASK_MS);
}

static void on_ask(struct loop_timer *t)
{
    struct asked *a = container_of(t, struct asked, timer);
    buf_clear(&a->body);
    a->call = http_call(a->client, &(struct http_call_options){.method = "GET",
                                                               .path = "/metrics",
                                                               .timeout_ms = ANSWER_MS,
                                                               .on_data = on_data,
                                                               .on_done = on_done,
                                                               .ctx = a});
}

struct monitor *monitor_new(struct drive *d)
{
    struct monitor *m = mem_new(struct monitor);
    const struct drive_options *o = drive_opts(d);
    m->d = d;
    m->leader = -1;
    for (unsigned i = 0; i < o->n_nodes; i++) {
        struct asked *a = &m->nodes[i];
        a->m = m;
        a->node = i;
        a->timer.cb = on_ask;
        buf_init(&a->body, METRICS_MAX);
        a->client = http_client_new(
            drive_loop(d),
            &(struct http_client_options){.addr = o->nodes[i], .tls = o->tls, .h2 = true, .connect_ms = ANSWER_MS});
        loop_timer_start(drive_loop(d), &a->timer, 1);
    }
    return m;
}

void monitor_free(struct monitor *m)
{
    for (unsigned i = 0; i < drive_opts(m->d)->n_nodes; i++) {
        struct asked *a = &m->nodes[i];
        if (a->call)
            http_call_cancel(a->call);
        loop_timer_stop(drive_loop(m->d), &a->timer);
        http_client_free(a->client);
        buf_done(&a->body);
    }
    mem_free(m);
}

const int *monitor_leader(const struct monitor *m)
{
    return &m->leader;
}

size_t monitor_answering(const struct monitor *m)
{
    size_t n = 0;
    for (unsigned i = 0; i < drive_opts(m->d)->n_nodes; i++)
        n += m->nodes[i].answers;
    return n;
}

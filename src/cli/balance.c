/* pintle balance: one local address for many replicas. Each connection goes to the first replica that accepts it, beginning
 * with the one that worked last; bytes pass unread, TLS stays end to end. For kubectl and other clients that know only
 * one
 * server address. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "net/conn.h"

enum { BALANCE_CONNECTIONS_MAX = 4096 };

struct balance_options {
    const char *listen;
    struct option_list targets;
};

static const struct option_row rows[] = {
    {"listen", OPTION_TEXT, offsetof(struct balance_options, listen), "ADDR", "local address (127.0.0.1:6440)"},
    {"to", OPTION_LIST, offsetof(struct balance_options, targets), "ADDR", "a replica's API address; once for each"},
    {0},
};

struct balancer {
    struct balance_options o;
    struct loop *loop;
    struct listener *listener;
    size_t last; /* the replica that worked last */
    size_t connections;
};

struct passage {
    struct balancer *b;
    struct stream *client;
    size_t tries, at;
};

static void try_next(struct passage *p);

static void on_over(void *ctx)
{
    struct passage *p = ctx;
    p->b->connections--;
    mem_free(p);
}

static void on_connected(void *ctx, int err, struct stream *s)
{
    struct passage *p = ctx;
    struct balancer *b = p->b;
    if (!err) {
        b->last = p->at;
        conn_splice(b->loop, conn_plain(p->client), conn_plain(s), on_over, p);
        return;
    }
    p->at = (p->at + 1) % b->o.targets.n;
    if (++p->tries < b->o.targets.n) {
        try_next(p);
        return;
    }
    stream_close(p->client);
    on_over(p);
}

static void try_next(struct passage *p)
{
    loop_connect(p->b->loop, p->b->o.targets.at[p->at], on_connected, p);
}

static void on_accept(void *ctx, struct stream *s)
{
    struct balancer *b = ctx;
    if (b->connections >= BALANCE_CONNECTIONS_MAX) {
        stream_close(s);
        return;
    }
    struct passage *p = mem_new(struct passage);
    *p = (struct passage){.b = b, .client = s, .at = b->last};
    b->connections++;
    try_next(p);
}

static void on_signal(void *ctx, int signo)
{
    struct balancer *b = ctx;
    (void)signo;
    loop_stop(b->loop);
}

static int run(int argc, char **argv, const struct command *c)
{
    struct balancer b = {.o = {.listen = "127.0.0.1:6440"}};
    int rv = options_parse(c, argc, argv, &b.o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!b.o.targets.n) {
        fprintf(stderr, "pintle balance: at least one --to ADDR is needed\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    b.loop = loop_uv_new("balance");
    if ((rv = loop_listen(b.loop, b.o.listen, on_accept, &b, &b.listener))) {
        fprintf(stderr, "pintle balance: cannot listen on %s: %s\n", b.o.listen, strerror(-rv));
        return 1;
    }
    loop_on_signal(b.loop, on_signal, &b);
    loop_run(b.loop);
    return 0; /* connections end with the process */
}

const struct command command_balance = {"balance", "Offers many replicas at one local address.", "", NULL, rows, run};

/* A client over HTTP with several servers: one that hangs or is gone costs about a second; the list follows the cluster. */
#include "net_common.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "client/servers.h"

enum { SERVERS = 3 };

struct host {
    struct http_server *server;
    char address[64];
    bool silent;
    unsigned asked;
    struct http_exchange *held[256];
    size_t n_held;
    const char *endpoints; /* what a list of Endpoints holds */
};

struct env {
    struct net_env e;
    struct host hosts[SERVERS];
    struct client *client;
    bool done;
    int err, code;
};

static void on_gone(struct http_exchange *x)
{
    struct host *h = http_ctx(x);
    for (size_t i = 0; i < h->n_held; i++)
        if (h->held[i] == x)
            h->held[i] = NULL;
    http_abort(x);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct host *h = ctx;
    const struct http_header json = {SLICE("content-type"), SLICE("application/json")};
    struct slice path = http_request(x)->path, query = http_request(x)->query;
    bool watch = query.n && memmem(query.p, query.n, "watch=true", 10);
    h->asked += !slice_eq_str(path, "/livez");
    if ((h->silent || watch) && h->n_held < 256) {
        http_set_ctx(x, h, on_gone);
        h->held[h->n_held++] = x;
        return;
    }
    struct chunk body = chunk_static(slice_str(h->endpoints && !slice_eq_str(path, "/livez") ? h->endpoints : "{}"));
    http_reply(x, 200, &json, 1, &body, 1);
}

static void env_init(struct env *v, size_t n)
{
    *v = (struct env){.done = false};
    net_setup(&v->e);
    const char *addresses[SERVERS];
    for (size_t i = 0; i < SERVERS; i++) {
        struct host *h = &v->hosts[i];
        const struct http_server_options o = {.listen = "127.0.0.1:0", .on_request = on_request, .ctx = h};
        assert_int_equal(http_server_new(v->e.l, &o, &h->server), 0);
        snprintf(h->address, sizeof h->address, "127.0.0.1:%u", http_server_port(h->server));
        addresses[i] = h->address;
    }
    v->client = client_http_new(v->e.l, &(struct client_http_options){.servers = addresses, .n_servers = n});
}

static void env_done(struct env *v)
{
    client_http_free(v->client);
    for (size_t i = 0; i < SERVERS; i++)
        http_server_free(v->hosts[i].server);
    net_teardown(&v->e);
}

static void on_reply(void *ctx, const struct client_reply *reply)
{
    struct env *v = ctx;
    v->done = true;
    v->err = reply->err;
    v->code = reply->code;
}

static bool is_done(void *ctx)
{
    return ((struct env *)ctx)->done;
}

static uint64_t get_ms(struct env *v)
{
    uint64_t from = loop_now(v->e.l);
    v->done = false;
    client_do(v->client,
              &(struct client_request){
                  .verb = CLIENT_GET, .res = resource_core("nodes"), .name = SLICE("n"), .timeout_ms = 20000},
              on_reply, v);
    net_run(&v->e, is_done, v);
    return (loop_now(v->e.l) - from) / NS_PER_MS;
}

static struct host *in_use(struct env *v)
{
    for (size_t i = 0; i < SERVERS; i++)
        if (!strcmp(v->hosts[i].address, client_http_server(v->client)))
            return &v->hosts[i];
    fail();
    return NULL;
}

static void test_silent_server(void **state)
{
    (void)state;
    struct env v;
    env_init(&v, SERVERS);
    get_ms(&v);
    struct host *first = in_use(&v);
    first->silent = true;
    uint64_t ms = get_ms(&v);
    print_message("a silent server cost %lu ms\n", ms);
    assert_int_equal(v.err, 0);
    assert_int_equal(v.code, 200);
    assert_true(ms < CLIENT_PROBE_MS + CLIENT_SILENCE_MS + 300);
    assert_ptr_not_equal(in_use(&v), first);
    env_done(&v);
}

static void test_lost_server(void **state)
{
    (void)state;
    struct env v;
    env_init(&v, SERVERS);
    get_ms(&v);
    struct host *first = in_use(&v);
    http_server_free(first->server);
    first->server = NULL;
    uint64_t ms = get_ms(&v);
    print_message("a server that was lost cost %lu ms\n", ms);
    assert_int_equal(v.err, 0);
    assert_true(ms < 300);
    assert_ptr_not_equal(in_use(&v), first);
    env_done(&v);
}

static bool uses_second(void *ctx)
{
    struct env *v = ctx;
    return in_use(v) == &v->hosts[1];
}

/* Told of one server, it learns of the others, and finds them again after a restart. */
static void test_learns_servers(void **state)
{
    (void)state;
    struct env v;
    char list[2048], text[256] = "";
    env_init(&v, 1);
    const char *path = net_file(&v.e, "servers"), *given[] = {v.hosts[0].address};
    snprintf(list, sizeof list,
             "{\"kind\":\"EndpointsList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{"
             "\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\",\"resourceVersion\":\"7\"},\"subsets\":["
             "{\"addresses\":[{\"ip\":\"127.0.0.1\"}],\"ports\":[{\"port\":%s}]},"
             "{\"addresses\":[{\"ip\":\"127.0.0.1\"}],\"ports\":[{\"port\":%s}]}]}]}",
             strchr(v.hosts[1].address, ':') + 1, strchr(v.hosts[2].address, ':') + 1);
    for (size_t i = 0; i < SERVERS; i++)
        v.hosts[i].endpoints = list;
    struct client_servers *s = client_servers_new(v.client, path, given, 1);
    net_run_ms(&v.e, 300);
    http_server_free(v.hosts[0].server);
    v.hosts[0].server = NULL;
    net_run_ms(&v.e, 1500);
    get_ms(&v);
    assert_int_equal(v.err, 0);
    client_servers_free(s);
    client_http_free(v.client);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    assert_non_null(strstr(text, v.hosts[1].address));
    assert_non_null(strstr(text, v.hosts[2].address));
    /* the next start, whose only server is gone */
    v.hosts[2].silent = true;
    v.client = client_http_new(v.e.l, &(struct client_http_options){.servers = given, .n_servers = 1});
    s = client_servers_new(v.client, path, given, 1);
    net_run(&v.e, uses_second, &v);
    get_ms(&v);
    assert_int_equal(v.err, 0);
    client_servers_free(s);
    env_done(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_server),
        cmocka_unit_test(test_lost_server),
        cmocka_unit_test(test_learns_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Probes against a server of the test, in the simulator's absence: real sockets on loopback, short periods are whole seconds,
 * so thresholds are 1 or 2. And the network's configuration. */
#include "unit_json.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/cni/cni.h"
#include "agent/probes/probes.h"
#include "net/http.h"

struct bench {
    struct loop *l;
    struct agent agent;
    struct http_server *server;
    struct probes *probes;
    int code;
    unsigned asked;
    char path[64], agent_name[64];
    char grpc[16], asked_body[64]; /* the answer to gRPC, when grpc_n is set */
    size_t grpc_n;
    const char *grpc_status;
    /* results */
    bool done, ok;
    char message[256];
    unsigned results;
    enum probe_kind kind[16];
    bool oks[16];
    unsigned wanted;
};

static void on_request(void *ctx, struct http_exchange *x)
{
    struct bench *b = ctx;
    b->asked++;
    snprintf(b->path, sizeof b->path, "%" SLICE_FMT, SLICE_ARG(http_request(x)->path));
    snprintf(b->agent_name, sizeof b->agent_name, "%" SLICE_FMT, SLICE_ARG(http_request_header(x, "user-agent")));
    if (b->grpc_n) {
        struct http_header head = {SLICE("grpc-status"), slice_str(b->grpc_status)};
        struct blob *text = blob_copy(slice_of(b->grpc, b->grpc_n));
        struct chunk c = chunk_take(text);
        snprintf(b->asked_body, sizeof b->asked_body, "%" SLICE_FMT,
                 SLICE_ARG(slice_from(http_request(x)->body, http_request(x)->body.n < 7 ? 0 : 7)));
        http_reply(x, 200, &head, 1, &c, 1);
        return;
    }
    http_reply(x, b->code, NULL, 0, NULL, 0);
}

static void bench_open(struct bench *b)
{
    *b = (struct bench){.code = 200};
    b->l = loop_uv_new("test");
    b->agent.loop = b->l;
    assert_int_equal(
        http_server_new(b->l,
                        &(struct http_server_options){.listen = "127.0.0.1:0", .on_request = on_request, .ctx = b},
                        &b->server),
        0);
    b->probes = probes_new(&b->agent);
}

static void bench_close(struct bench *b)
{
    probes_free(b->probes);
    http_server_free(b->server);
    tls_context_free(b->agent.trusting);
    loop_free(b->l);
}

static void on_done(void *ctx, bool ok, const char *message)
{
    struct bench *b = ctx;
    assert_false(b->done);
    b->done = true;
    b->ok = ok;
    snprintf(b->message, sizeof b->message, "%s", message);
    loop_stop(b->l);
}

/* '%u' in the text is the server's port. */
static void run_once(struct bench *b, struct arena *a, const char *text, unsigned timeout_ms)
{
    const struct json *container =
        json_of(a, arena_printf(a, "{'ports':[{'name':'web','containerPort':%u}]}", http_server_port(b->server)));
    b->done = false;
    probes_run_handler(b->probes, json_of(a, text), container, "id", "127.0.0.1", timeout_ms, on_done, b);
    assert_false(b->done); /* never inside the call */
    loop_run(b->l);
    assert_true(b->done);
}

static void handlers(void **state)
{
    struct arena *a = *state;
    struct bench b;
    bench_open(&b);
    run_once(&b, a, "{'httpGet':{'path':'/ready','port':'web'}}", 1000);
    assert_true(b.ok);
    assert_string_equal(b.path, "/ready");
    assert_string_equal(b.agent_name, "kube-probe/1.36");
    run_once(&b, a, "{'httpGet':{'path':'x','port':'web','httpHeaders':[{'name':'User-Agent','value':'me'}]}}", 1000);
    assert_string_equal(b.path, "/x");
    assert_string_equal(b.agent_name, "me");
    b.code = 503;
    run_once(&b, a, "{'httpGet':{'port':'web'}}", 1000);
    assert_false(b.ok);
    assert_string_equal(b.message, "HTTP probe failed with statuscode: 503");
    run_once(&b, a, "{'httpGet':{'port':'none'}}", 1000);
    assert_false(b.ok);
    run_once(&b, a, "{'httpGet':{'port':'web','scheme':'HTTPS'}}", 1000);
    assert_false(b.ok);
    run_once(&b, a, "{'tcpSocket':{'port':'web'}}", 1000);
    assert_true(b.ok);
    run_once(&b, a, "{'tcpSocket':{'port':1}}", 1000);
    assert_false(b.ok);
    run_once(&b, a, "{'grpc':{'port':1}}", 1000);
    assert_false(b.ok);
    run_once(&b, a, "{'sleep':{'seconds':0}}", 1000);
    assert_true(b.ok);
    run_once(&b, a, "{}", 1000);
    assert_false(b.ok);
    bench_close(&b);
}

static void grpc_says(struct bench *b, const char *status, int health)
{
    memcpy(b->grpc, "\0\0\0\0\2\10", 6);
    b->grpc[6] = (char)health;
    b->grpc_n = 7;
    b->grpc_status = status;
}

static void grpc_health(void **state)
{
    static const struct {
        const char *status;
        int health;
        bool ok;
        const char *message;
    } rows[] = {
        {"0", 1, true, "service healthy"},
        {"0", 2, false, "service unhealthy (responded with \"NOT_SERVING\")"},
        {"0", 0, false, "service unhealthy (responded with \"UNKNOWN\")"},
        {"12", 1, false, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "},
        {"5", 1, false, "error: health rpc probe failed: rpc error: code = 5 desc = "},
        {"4", 1, false, "timeout: health rpc did not complete within 1s"},
    };
    struct arena *a = *state;
    struct bench b;
    bench_open(&b);
    const char *probe = arena_printf(a, "{'grpc':{'port':%u,'service':'mine'}}", http_server_port(b.server));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        grpc_says(&b, rows[i].status, rows[i].health);
        run_once(&b, a, probe, 1000);
        assert_string_equal(b.message, rows[i].message);
        assert_int_equal(b.ok, rows[i].ok);
    }
    assert_string_equal(b.path, "/grpc.health.v1.Health/Check");
    assert_string_equal(b.asked_body, "mine");
    b.grpc_n = 0;
    b.code = 404;
    run_once(&b, a, probe, 1000);
    assert_false(b.ok);
    assert_non_null(strstr(b.message, "unexpected HTTP status code received from server: 404"));
    bench_close(&b);
}

static void ignore_stream(void *ctx, struct stream *s)
{
    *(struct stream **)ctx = s; /* accepts and says nothing */
}

static void a_silent_server_times_out(void **state)
{
    struct arena *a = *state;
    struct bench b;
    struct listener *ls;
    struct stream *s = NULL;
    bench_open(&b);
    assert_int_equal(loop_listen(b.l, "127.0.0.1:0", ignore_stream, &s, &ls), 0);
    run_once(&b, a, arena_printf(a, "{'httpGet':{'port':%u}}", listener_port(ls)), 100);
    assert_false(b.ok);
    assert_non_null(strstr(b.message, "context deadline exceeded"));
    stream_close(s);
    listener_close(ls);
    bench_close(&b);
}

static void on_result(void *ctx, enum probe_kind kind, bool ok, const char *message)
{
    struct bench *b = ctx;
    assert_true(b->results < 16);
    snprintf(b->message, sizeof b->message, "%s", message);
    b->kind[b->results] = kind;
    b->oks[b->results++] = ok;
    if (b->results == b->wanted)
        loop_stop(b->l);
}

static void results_wait_for_thresholds(void **state)
{
    struct arena *a = *state;
    struct bench b;
    bench_open(&b);
    const char *get = arena_printf(a, "'httpGet':{'port':%u},'periodSeconds':1", http_server_port(b.server));
    const struct json *container =
        json_of(a, arena_printf(a, "{'startupProbe':{%s},'readinessProbe':{%s,'failureThreshold':2}}", get, get));
    struct probe_watch *w = probes_watch(b.probes, container, "id", "127.0.0.1", on_result, &b);
    b.wanted = 2;
    loop_run(b.l);
    assert_int_equal(b.kind[0], PROBE_STARTUP);
    assert_int_equal(b.kind[1], PROBE_READINESS);
    assert_true(b.oks[0] && b.oks[1]);
    b.code = 500;
    b.asked = 0;
    b.wanted = 3;
    loop_run(b.l);
    assert_false(b.oks[2]);
    assert_int_equal(b.asked, 2);
    assert_string_equal(b.message, "Readiness probe failed: HTTP probe failed with statuscode: 500");
    probes_stop(w);
    assert_null(probes_watch(b.probes, json_of(a, "{}"), "id", "127.0.0.1", on_result, &b));
    bench_close(&b);
}

static void network_configuration(void **state)
{
    char dir[] = "/tmp/pintle-cni-XXXXXX", path[128], text[2048] = "";
    struct arena *a = *state;
    struct loop *l = loop_uv_new("test");
    struct file *f;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/net.d", dir);
    assert_int_equal(cni_write_config(loop_fs(l), path, "a-node-with-a-long-name", "10.244.1.0/24", "/data/cni"), 0);
    snprintf(path, sizeof path, "%s/net.d/10-pintle.conflist", dir);
    assert_int_equal(fs_open(loop_fs(l), path, FS_READ, &f), 0);
    assert_true(file_pread(f, text, sizeof text - 1, 0) > 0);
    file_close(f);
    struct json *o = json_parse(a, slice_str(text), NULL, NULL, NULL);
    const struct json *bridge = json_at(json_get_str(o, "plugins"), 0);
    assert_slice(json_path_string(bridge, "type"), "bridge");
    assert_true(json_path_string(bridge, "bridge").n <= 15);
    assert_json(a, json_get_str(bridge, "ipam"),
                "{'type':'host-local','dataDir':'/data/cni','ranges':[[{'subnet':'10.244.1.0/24'}]],"
                "'routes':[{'dst':'0.0.0.0/0'}]}");
    assert_json(a, json_at(json_get_str(o, "plugins"), 1),
                "{'type':'portmap','capabilities':{'portMappings':true},'snat':true}");
    unlink(path);
    snprintf(path, sizeof path, "%s/net.d", dir);
    rmdir(path);
    rmdir(dir);
    assert_true(cni_write_config(loop_fs(l), "/proc/none", "n", "10.244.1.0/24", "/data/cni") < 0);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(handlers), unit(grpc_health), unit(a_silent_server_times_out),
                                       unit(results_wait_for_thresholds), unit(network_configuration)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

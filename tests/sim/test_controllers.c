/* Controllers over a change of leaders: what one leader's controllers began the next one's finish, once. */
#include "cluster.h"

#include "base/mem.h"
#include "codec/json.h"
#include "net/http.h"

enum { SETTLE_MS = 60000, STEP_MS = 50 };

struct client_of_test {
    struct world *w;
    struct http_client *servers[REPLICAS];
    struct arena a;
    struct buf body;
    int code;
    bool done;
    size_t turn;
};

static void on_data(void *ctx, struct slice data)
{
    buf_add(&((struct client_of_test *)ctx)->body, data.p, data.n);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct client_of_test *c = ctx;
    (void)trailers, (void)n, (void)sent;
    c->code = err ? err : code;
    c->done = true;
}

/* One request at a replica that runs; its answer parsed, or NULL. */
static struct json *ask(struct client_of_test *c, const char *method, const char *path, const char *body)
{
    bool patch = !strcmp(method, "PATCH");
    struct http_header type = {SLICE("content-type"),
                               slice_str(patch ? "application/merge-patch+json" : "application/json")};
    struct json_error err;
    do
        c->turn = (c->turn + 1) % REPLICAS;
    while (!c->w->replicas[c->turn].replica);
    buf_done(&c->body);
    buf_init(&c->body, 8 << 20);
    c->done = false;
    http_call(c->servers[c->turn], &(struct http_call_options){.method = method,
                                                               .path = path,
                                                               .headers = &type,
                                                               .n_headers = body ? 1 : 0,
                                                               .body = slice_str(body ? body : ""),
                                                               .timeout_ms = 10000,
                                                               .on_data = on_data,
                                                               .on_done = on_done,
                                                               .ctx = c});
    while (!c->done)
        world_run(c->w, 1);
    arena_done(&c->a);
    arena_init(&c->a, 16 << 20);
    return c->code > 0 ? json_parse(&c->a, buf_slice(&c->body), &err, NULL, NULL) : NULL;
}

/* A write: again until a replica says what became of it. */
static void write_one(struct client_of_test *c, const char *method, const char *path, const char *body)
{
    for (int i = 0; i < 200 && (ask(c, method, path, body), c->code < 200 || c->code >= 500); i++)
        world_run(c->w, STEP_MS);
    if (c->code >= 300 && c->code != 409)
        fail_msg("%s %s: %d %.*s", method, path, c->code, SLICE_ARG(buf_slice(&c->body)));
}

/* Until the text at a path of an object is this; "" = until there is none. */
static void until(struct client_of_test *c, const char *object, const char *path, const char *wanted)
{
    for (int ms = 0; ms < SETTLE_MS; ms += STEP_MS) {
        const struct json *v = json_path(ask(c, "GET", object, NULL), path);
        struct buf text = BUF_INIT(64 << 10);
        if (v)
            json_write(&text, v);
        bool is = *wanted ? slice_eq_str(buf_slice(&text), wanted) : !v;
        buf_done(&text);
        if (is)
            return;
        world_run(c->w, STEP_MS);
    }
    fail_msg("seed %lu: %s of %s is not %s: %.*s", c->w->seed, path, object, wanted, SLICE_ARG(buf_slice(&c->body)));
}

/* The leader dies here, and is back a while later. */
static void lose_leader(struct client_of_test *c, uint64_t after_ms)
{
    world_run(c->w, after_ms);
    int leader = world_leader(c->w);
    if (leader < 0)
        return;
    world_kill(c->w, (size_t)leader, true);
    world_run(c->w, 3000);
    world_start(c->w, (size_t)leader);
}

static void begin(struct client_of_test *c, uint64_t seed)
{
    *c = (struct client_of_test){.w = mem_new(struct world)};
    world_init(c->w, seed);
    arena_init(&c->a, 1 << 20);
    for (size_t i = 0; i < REPLICAS; i++)
        c->servers[i] =
            http_client_new(c->w->load, &(struct http_client_options){.addr = world_servers[i], .h2 = true});
    world_run(c->w, 3000);
    until(c, "/api/v1/namespaces/default/serviceaccounts/default", "metadata.name", "\"default\"");
}

static void end(struct client_of_test *c)
{
    for (size_t i = 0; i < REPLICAS; i++)
        http_client_free(c->servers[i]);
    buf_done(&c->body);
    arena_done(&c->a);
    world_done(c->w);
    mem_free(c->w);
}

#define CORE "/api/v1/namespaces/default/"

static const char rc[] =
    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,\"selector\":{\"app\":\"%s\"},\"template\":{"
    "\"metadata\":"
    "{\"labels\":{\"app\":\"%s\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}";

static void make_controller(struct client_of_test *c, const char *name, int replicas)
{
    char body[512];
    snprintf(body, sizeof body, rc, name, replicas, name, name);
    write_one(c, "POST", CORE "replicationcontrollers", body);
}

static void test_replication_quota_and_mirrors(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct client_of_test c;
        begin(&c, seed);
        write_one(
            &c, "POST", CORE "resourcequotas",
            "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"pods\":\"9\",\"replicationcontrollers\":\"9\"}}}");
        make_controller(&c, "rc", 4);
        write_one(&c, "POST", CORE "services", "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
        write_one(&c, "POST", CORE "endpoints",
                  "{\"metadata\":{\"name\":\"s\"},\"subsets\":[{\"addresses\":[{\"ip\":\"10.1.2.3\"}],\"ports\":[{"
                  "\"port\":81}"
                  "]}]}");
        lose_leader(&c, seed * 7);
        until(&c, CORE "replicationcontrollers/rc", "status.availableReplicas", "4");
        until(&c, CORE "resourcequotas/q", "status.used", "{\"pods\":\"4\",\"replicationcontrollers\":\"1\"}");
        const struct json *slices = ask(&c, "GET",
                                        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector="
                                        "kubernetes.io%2Fservice-name%3Ds",
                                        NULL);
        assert_int_equal(json_len(json_path(slices, "items")), 1); /* not one by each leader */
        write_one(&c, "PATCH", CORE "replicationcontrollers/rc", "{\"spec\":{\"replicas\":1}}");
        lose_leader(&c, seed * 3);
        until(&c, CORE "resourcequotas/q", "status.used.pods", "\"1\"");
        end(&c);
    }
}

/* What another owner keeps stays when an owner is deleted in the foreground, whoever leads. */
static void test_foreground_spares_what_others_own(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct client_of_test c;
        char body[512], uid[40], other[40];
        begin(&c, seed);
        make_controller(&c, "first", 2);
        make_controller(&c, "second", 0);
        until(&c, CORE "replicationcontrollers/first", "status.availableReplicas", "2");
        struct json *v = ask(&c, "GET", CORE "replicationcontrollers/second", NULL);
        snprintf(other, sizeof other, "%.*s", SLICE_ARG(json_path_string(v, "metadata.uid")));
        v = ask(&c, "GET", CORE "replicationcontrollers/first", NULL);
        snprintf(uid, sizeof uid, "%.*s", SLICE_ARG(json_path_string(v, "metadata.uid")));
        v = ask(&c, "GET", CORE "pods?labelSelector=app%3Dfirst", NULL);
        char path[256];
        snprintf(path, sizeof path, CORE "pods/%.*s",
                 SLICE_ARG(json_path_string(json_at(json_path(v, "items"), 0), "metadata.name")));
        snprintf(
            body, sizeof body,
            "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ReplicationController\",\"name\":"
            "\"first\",\"uid\":\"%s\",\"controller\":true,\"blockOwnerDeletion\":true},{\"apiVersion\":\"v1\",\"kind\":"
            "\"ReplicationController\",\"name\":\"second\",\"uid\":\"%s\"}]}}",
            uid, other);
        write_one(&c, "PATCH", path, body);
        write_one(&c, "DELETE", CORE "replicationcontrollers/first", "{\"propagationPolicy\":\"Foreground\"}");
        lose_leader(&c, seed * 5);
        until(&c, CORE "replicationcontrollers/first", "metadata.uid", "");
        world_run(c.w, 5000);
        v = ask(&c, "GET", CORE "pods?labelSelector=app%3Dfirst", NULL);
        assert_int_equal(json_len(json_path(v, "items")), 1);
        const struct json *kept = json_at(json_path(v, "items"), 0);
        assert_true(
            slice_eq_str(json_path_string(json_at(json_path(kept, "metadata.ownerReferences"), 0), "uid"), other));
        assert_null(json_path(kept, "metadata.deletionTimestamp"));
        end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replication_quota_and_mirrors),
        cmocka_unit_test(test_foreground_spares_what_others_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

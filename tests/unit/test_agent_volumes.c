/* Volumes against a client that answers from a table, and the pieces below: writer, subPaths, downward fields. */
#include "unit_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/volumes/subpath.h"
#include "agent/volumes/volumes_impl.h"
#include "loop/loop.h"

/* ---- a directory of the test ---- */

static char dir[64];

static int dir_setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/pintle-volumes-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return arena_setup(state);
}

static int dir_teardown(void **state)
{
    char message[VOLUME_MESSAGE_MAX];
    assert_int_equal(tree_remove(dir, message, sizeof message), 0);
    return arena_teardown(state);
}

#define dir_test(test) cmocka_unit_test_setup_teardown(test, dir_setup, dir_teardown)

static const char *below(const char *path)
{
    static char out[4][256];
    static unsigned n;
    char *p = out[n++ % 4];
    snprintf(p, 256, "%s/%s", dir, path);
    return p;
}

static void assert_content(const char *path, const char *text)
{
    char got[256] = "";
    int fd = open(below(path), O_RDONLY);
    if (fd < 0)
        fail_msg("no file %s", path);
    ssize_t n = read(fd, got, sizeof got - 1);
    close(fd);
    assert_true(n >= 0);
    assert_string_equal(got, text);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(below(path), &st), 0);
    return st.st_mode & 07777;
}

/* ---- writer ---- */

static void writer_switches_generations(void **state)
{
    struct volume_file b = {"sub/b", SLICE("two"), 0400, NULL}, a = {"a", SLICE("one"), 0644, &b};
    char first[128], second[128];
    (void)state;
    assert_int_equal(writer_update(dir, &a, -1, 1), 0);
    assert_content("a", "one");
    assert_content("sub/b", "two");
    assert_int_equal(mode_of("sub/b"), 0400);
    ssize_t n = readlink(below("..data"), first, sizeof first);
    assert_int_equal(writer_update(dir, &a, -1, 2), 0); /* nothing new: nothing written */
    assert_int_equal(readlink(below("..data"), second, sizeof second), n);
    assert_memory_equal(first, second, (size_t)n);
    a.data = SLICE("three");
    a.next = NULL;
    assert_int_equal(writer_update(dir, &a, -1, 3), 0);
    assert_content("a", "three");
    assert_int_equal(access(below("sub"), F_OK), -1);
    assert_int_equal(access(below("..gen_1"), F_OK), -1);
}

static void writer_says_what_failed(void **state)
{
    struct volume_file a = {"a", SLICE("one"), 0644, NULL};
    (void)state;
    assert_int_equal(writer_update(below("absent"), &a, -1, 1), -ENOENT);
}

/* ---- subPaths and deletion ---- */

static void subpaths_follow_no_link(void **state)
{
    (void)state;
    assert_int_equal(subpath_make(dir, "x//y/./z", -1), 0);
    assert_int_equal(mode_of("x/y/z"), 0755);
    assert_int_equal(subpath_make(dir, "x/../..", -1), -EINVAL);
    assert_int_equal(symlink("/tmp", below("out")), 0);
    assert_int_equal(subpath_make(dir, "out/evil", -1), -ELOOP);
    close(open(below("x/file"), O_CREAT | O_WRONLY, 0600));
    assert_int_equal(subpath_make(dir, "x/file", -1), 0);
    assert_int_equal(subpath_make(dir, "x/file/more", -1), -ENOTDIR);
}

static void stop_loop(struct loop_work *w)
{
    loop_stop(w->loop);
}

static int binds_err(const char *path, const char *target, bool mounts)
{
    char base[256], at[300], binds[256];
    snprintf(binds, sizeof binds, "%s", below("binds"));
    snprintf(base, sizeof base, "%s", below("vol"));
    snprintf(at, sizeof at, "%s/%s", binds, target);
    struct binds_job job = {.dir = binds, .n = 1, .mounts = mounts, .work.done = stop_loop};
    job.binds[0] = (struct bind){.base = base, .path = path, .group = -1, .target = at};
    struct loop *l = loop_uv_new("binds");
    binds_run(l, &job);
    loop_run(l);
    loop_free(l);
    return job.err;
}

static void make_link(const char *to, const char *at)
{
    assert_int_equal(symlink(to, below(at)), 0);
}

static void binds_stay_below_the_volume(void **state)
{
    char message[VOLUME_MESSAGE_MAX], secret[256];
    bool root = geteuid() == 0;
    (void)state;
    assert_int_equal(tree_make(below("vol/in/deep"), 0755), 0);
    snprintf(secret, sizeof secret, "%s", below("secret"));
    assert_int_equal(tree_make(secret, 0755), 0);
    make_link(secret, "vol/abs");
    make_link("../secret", "vol/up");
    make_link("in/deep", "vol/..data");
    assert_int_equal(binds_err("abs", "c.0", root), -EXDEV);
    assert_int_equal(binds_err("up", "c.0", root), -EXDEV);
    assert_int_equal(binds_err("../secret", "c.0", root), -EXDEV);
    assert_int_equal(binds_err("..data", "c.0", root), 0); /* what ConfigMaps are made of */
    assert_int_equal(binds_err("new/made", "c.1", root), 0);
    assert_int_equal(mode_of("vol/new/made"), 0755);
    close(open(below("vol/in/file"), O_CREAT | O_WRONLY, 0600));
    assert_int_equal(binds_err("in/file", "c.0", root), 0); /* in the place of a directory */
    if (root) {
        close(open(below("binds/c.1/x"), O_CREAT | O_WRONLY, 0600));
        assert_int_equal(mode_of("vol/new/made/x"), 0600);
    }
    /* Releasing deletes nothing of the volume. */
    char binds[256];
    snprintf(binds, sizeof binds, "%s", below("binds"));
    assert_int_equal(subpaths_release(binds, message, sizeof message), 0);
    assert_int_equal(access(binds, F_OK), -1);
    assert_int_equal(access(below("vol/in/file"), F_OK), 0);
    if (root)
        assert_int_equal(mode_of("vol/new/made/x"), 0600);
    assert_int_equal(subpaths_release(binds, message, sizeof message), 0);
}

static void deletion_follows_no_link(void **state)
{
    char message[VOLUME_MESSAGE_MAX];
    (void)state;
    assert_int_equal(tree_make(below("keep"), 0755), 0);
    assert_int_equal(tree_make(below("gone/deep/er"), 0755), 0);
    assert_int_equal(symlink(below("keep"), below("gone/link")), 0);
    assert_int_equal(tree_remove(below("gone"), message, sizeof message), 0);
    assert_int_equal(access(below("gone"), F_OK), -1);
    assert_int_equal(access(below("keep"), F_OK), 0);
    assert_int_equal(tree_remove(below("gone"), message, sizeof message), 0);
}

/* ---- plans ---- */

static void plan_refuses_paths_that_leave(void **state)
{
    struct volume_plan p = {.fs_group = -1};
    (void)state;
    arena_init(&p.arena, 1 << 20);
    p.items_end = &p.items;
    struct volume_item *i = plan_item(&p, VOLUME_FILES, SLICE("v"), dir);
    static const char *const bad[] = {"", "/etc/passwd", "../x", "a/../../x", "..data", "a//b", "a/."};
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        assert_int_equal(plan_file(&p, i, slice_str(bad[n]), SLICE("x"), 0644), -EINVAL);
    assert_int_equal(plan_file(&p, i, SLICE("a/b"), SLICE("x"), 0644), 0);
    assert_int_equal(plan_file(&p, i, SLICE("a/b"), SLICE("y"), 0600), 0); /* the last counts */
    assert_int_equal(i->n_files, 1);
    assert_slice(i->files->data, "y");
    arena_done(&p.arena);
}

/* ---- downward API ---- */

static void downward_fields(void **state)
{
    struct arena *a = *state;
    struct volume_pod v = {
        .obj = json_of(a, "{'metadata':{'name':'p','namespace':'n','uid':'u','labels':{'b':'2','a':'say \\\\x'},"
                          "'annotations':{'k/x':'v'}},'spec':{'containers':[{'name':'c','resources':"
                          "{'limits':{'cpu':'1500m','memory':'64Mi'}}}]}}")};
    assert_slice(volume_field(&v, a, SLICE("metadata.name")), "p");
    assert_slice(volume_field(&v, a, SLICE("metadata.labels")), "a=\"say \\\\x\"\nb=\"2\"");
    assert_slice(volume_field(&v, a, SLICE("metadata.labels['b']")), "2");
    assert_slice(volume_field(&v, a, SLICE("metadata.annotations['k/x']")), "v");
    assert_slice(volume_field(&v, a, SLICE("metadata.labels['none']")), "");
    assert_null(volume_field(&v, a, SLICE("status.wrong")).p);
    assert_slice(volume_resource(&v, a, json_of(a, "{'containerName':'c','resource':'limits.cpu'}")), "2");
    assert_slice(volume_resource(&v, a, json_of(a, "{'containerName':'c','resource':'limits.cpu','divisor':'1m'}")),
                 "1500");
    assert_slice(volume_resource(&v, a, json_of(a, "{'containerName':'c','resource':'limits.memory','divisor':'1Mi'}")),
                 "64");
    assert_slice(volume_resource(&v, a, json_of(a, "{'containerName':'c','resource':'requests.cpu'}")), "0");
}

/* ---- a whole pod ---- */

struct fake_call {
    struct loop_timer timer;
    struct fake *fake;
    struct client_reply reply;
    char body[1024];
    void (*done)(void *ctx, const struct client_reply *reply);
    void *ctx;
};

struct fake {
    struct client base;
    const char *value; /* of the ConfigMap */
    unsigned calls, tokens;
};

static void fake_fire(struct loop_timer *t)
{
    struct fake_call *c = container_of(t, struct fake_call, timer);
    c->reply.body = slice_str(c->body);
    c->done(c->ctx, &c->reply);
    mem_free(c);
}

static struct client_call *fake_do(struct client *client, const struct client_request *req,
                                   void (*done)(void *, const struct client_reply *), void *ctx)
{
    struct fake *f = container_of(client, struct fake, base);
    struct fake_call *c = mem_new(struct fake_call);
    *c = (struct fake_call){.timer = {.cb = fake_fire}, .fake = f, .reply = {.code = 200}, .done = done, .ctx = ctx};
    f->calls++;
    if (req->sub) {
        f->tokens++;
        assert_slice(json_path_string(req->body, "spec.boundObjectRef.uid"), "u1");
        snprintf(c->body, sizeof c->body,
                 "{\"status\":{\"token\":\"tok%u\",\"expirationTimestamp\":\"2100-01-01T00:00:00Z\"}}", f->tokens);
        c->reply.code = 201;
    } else if (slice_eq_str(req->name, "map")) {
        snprintf(c->body, sizeof c->body, "{\"data\":{\"k\":\"%s\",\"l\":\"x\"},\"binaryData\":{\"bin\":\"AAE=\"}}",
                 f->value);
    } else if (slice_eq_str(req->name, "sec")) {
        snprintf(c->body, sizeof c->body, "{\"data\":{\"pw\":\"aGk=\"}}");
    } else {
        c->reply.code = 404;
        snprintf(c->body, sizeof c->body, "{}");
    }
    loop_timer_start(client->loop, &c->timer, 1);
    return (struct client_call *)(void *)c;
}

static void fake_cancel(struct client *client, struct client_call *call)
{
    struct fake_call *c = (void *)call;
    loop_timer_stop(client->loop, &c->timer);
    mem_free(c);
}

static const struct client_ops fake_ops = {.call = fake_do, .cancel = fake_cancel};

struct outcome {
    struct loop *l;
    int err;
    char message[VOLUME_MESSAGE_MAX];
};

static void on_outcome(void *ctx, int err, const char *message)
{
    struct outcome *o = ctx;
    o->err = err;
    snprintf(o->message, sizeof o->message, "%s", message ? message : "");
    loop_stop(o->l);
}

struct bench {
    struct fake fake;
    struct agent agent;
    struct outcome o;
    struct volumes *v;
};

static void bench_open(struct bench *b)
{
    *b = (struct bench){.fake = {.value = "v1"}};
    struct loop *l = loop_uv_new("test");
    b->fake.base = (struct client){&fake_ops, l};
    b->agent = (struct agent){.loop = l, .o = {.data_dir = dir, .node_name = "n"}, .client = &b->fake.base};
    b->o.l = l;
    b->v = volumes_new(&b->agent);
    b->v->mounts = false;
}

static void bench_close(struct bench *b)
{
    volumes_free(b->v);
    loop_free(b->agent.loop);
}

static void bench_prepare(struct bench *b, const struct json *pod)
{
    volumes_prepare(b->v, pod, on_outcome, &b->o);
    loop_run(b->agent.loop);
}

#define POD_HEAD                                                                                                       \
    "{'metadata':{'name':'p','namespace':'n','uid':'u1','labels':{'a':'b'}},'spec':{'containers':[{'name':'c','"       \
    "volumeMounts':["                                                                                                  \
    "{'name':'empty','subPath':'s/t'}]}],'volumes':["

static void prepares_and_removes_a_pod(void **state)
{
    struct arena *a = *state;
    struct bench b;
    char path[256];
    const struct json *pod = json_of(
        a, POD_HEAD
        "{'name':'empty','emptyDir':{}},{'name':'cm','configMap':{'name':'map','defaultMode':256}},"
        "{'name':'sec','secret':{'secretName':'sec','items':[{'key':'pw','path':'deep/pw','mode':384}]}},"
        "{'name':'opt','configMap':{'name':'absent','optional':true}},"
        "{'name':'proj','projected':{'sources':[{'serviceAccountToken':{'path':'token','expirationSeconds':3607}},"
        "{'configMap':{'name':'map','items':[{'key':'l','path':'l'}]}},"
        "{'downwardAPI':{'items':[{'path':'ns','fieldRef':{'fieldPath':'metadata.namespace'}}]}}]}}]}}");
    bench_open(&b);
    bench_prepare(&b, pod);
    assert_string_equal(b.o.message, "");
    assert_int_equal(b.o.err, 0);
    assert_int_equal(mode_of("pods/u1/volumes/empty"), 0777);
    assert_content("pods/u1/volumes/cm/k", "v1");
    assert_int_equal(mode_of("pods/u1/volumes/cm/k"), 0400);
    assert_content("pods/u1/volumes/sec/deep/pw", "hi");
    assert_int_equal(mode_of("pods/u1/volumes/sec/deep/pw"), 0600);
    assert_content("pods/u1/volumes/proj/token", "tok1");
    assert_content("pods/u1/volumes/proj/ns", "n");
    assert_content("pods/u1/volumes/proj/l", "x");
    assert_int_equal(volumes_host_path(b.v, pod, SLICE("cm"), path, sizeof path), 0);
    assert_string_equal(path, below("pods/u1/volumes/cm"));
    assert_int_equal(volumes_host_path(b.v, pod, SLICE("none"), path, sizeof path), -ENOENT);
    unsigned calls = b.fake.calls;
    bench_prepare(&b, pod); /* answers are shared, the token is fresh */
    assert_int_equal(b.fake.calls, calls);
    volumes_remove(b.v, SLICE("u1"), on_outcome, &b.o);
    loop_run(b.agent.loop);
    assert_int_equal(b.o.err, 0);
    assert_int_equal(access(below("pods/u1/volumes"), F_OK), -1);
    bench_close(&b);
}

static void says_what_is_missing(void **state)
{
    static const struct {
        const char *volume, *message;
    } rows[] = {
        {"{'name':'v','configMap':{'name':'absent'}}",
         "MountVolume.SetUp failed for volume \"v\" : configmap \"absent\" not found"},
        {"{'name':'v','secret':{'secretName':'sec','items':[{'key':'no','path':'p'}]}}",
         "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: no in n/sec"},
        {"{'name':'v','hostPath':{'path':'/nowhere','type':'Directory'}}",
         "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /nowhere is not a directory"},
        {"{'name':'v','hostPath':{'path':'/etc','type':'File'}}",
         "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /etc is not a file"},
        {"{'name':'v','nfs':{}}", "volume \"v\" is of a kind that this agent does not have"},
    };
    struct arena *a = *state;
    struct bench b;
    bench_open(&b);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bench_prepare(&b, json_of(a, arena_printf(a, "%s%s]}}", POD_HEAD, rows[i].volume)));
        assert_true(b.o.err < 0);
        assert_string_equal(b.o.message, rows[i].message);
    }
    bench_close(&b);
}

static void removal_during_a_fetch(void **state)
{
    struct arena *a = *state;
    struct bench b;
    bench_open(&b);
    volumes_prepare(b.v, json_of(a, POD_HEAD "{'name':'cm','configMap':{'name':'map'}}]}}"), on_outcome, &b.o);
    b.o.err = 1;
    volumes_remove(b.v, SLICE("u1"), on_outcome, &b.o);
    loop_run(b.agent.loop);
    assert_int_equal(b.o.err, 0);
    volumes_prepare(b.v, json_of(a, POD_HEAD "{'name':'cm','configMap':{'name':'map'}}]}}"), on_outcome, &b.o);
    bench_close(&b); /* with a fetch under way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {dir_test(writer_switches_generations),
                                       dir_test(writer_says_what_failed),
                                       dir_test(subpaths_follow_no_link),
                                       dir_test(binds_stay_below_the_volume),
                                       dir_test(deletion_follows_no_link),
                                       dir_test(plan_refuses_paths_that_leave),
                                       dir_test(downward_fields),
                                       dir_test(prepares_and_removes_a_pod),
                                       dir_test(says_what_is_missing),
                                       dir_test(removal_during_a_fetch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

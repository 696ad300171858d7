/* The real loop: the common scenarios, and what only it has: Unix sockets, threads, signals. */
#include "loop_common.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop_case the_case;
static char dir[128];

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof(dir), "%s/pintle-loop-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    the_case = (struct loop_case){.l = loop_uv_new("test"), .host = "127.0.0.1", .dir = dir};
    *state = &the_case;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[256];
    loop_free(the_case.l);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

LOOP_CASES(LOOP_CASE_RUN)

static void test_echo_tcp(void **state)
{
    loop_case_echo(*state, NULL);
}

static void test_echo_unix(void **state)
{
    char addr[160];
    snprintf(addr, sizeof(addr), "unix:%s/sock", dir);
    loop_case_echo(*state, addr);
}

static void test_echo_ipv6(void **state)
{
    struct loop_case c = *(struct loop_case *)*state;
    c.host = "[::1]";
    struct listener *ls;
    if (loop_listen(c.l, "[::1]:0", NULL, NULL, &ls))
        skip();
    listener_close(ls);
    loop_case_echo(&c, NULL);
}

static void test_stale_unix_socket(void **state)
{
    struct loop_case *c = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%.80s/stale", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    char addr[160];
    snprintf(addr, sizeof(addr), "unix:%s/stale", dir);
    loop_case_echo(c, addr);
}

struct poster {
    struct loop *l;
    int got;
};

enum { POSTS = 10000 };

static void on_post(void *arg)
{
    struct poster *x = arg;
    if (++x->got == 2 * POSTS)
        loop_stop(x->l);
}

static void *post_many(void *arg)
{
    struct poster *x = arg;
    for (int i = 0; i < POSTS; i++)
        loop_post(x->l, on_post, x);
    return NULL;
}

static void test_posts_from_threads(void **state)
{
    struct loop_case *c = *state;
    struct poster x = {.l = c->l};
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, post_many, &x), 0);
    loop_run(c->l);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(x.got, 2 * POSTS);
}

struct meeting_work {
    struct loop_work w;
    pthread_barrier_t *barrier;
    int *left;
};

static void meet(struct loop_work *w)
{
    pthread_barrier_wait(container_of(w, struct meeting_work, w)->barrier);
}

static void met(struct loop_work *w)
{
    struct meeting_work *m = container_of(w, struct meeting_work, w);
    if (--*m->left == 0)
        loop_stop(w->loop);
}

/* Two lanes block on each other: only lanes that truly run in parallel get past this. */
static void test_lanes_run_in_parallel(void **state)
{
    struct loop_case *c = *state;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, LOOP_LANES);
    int left = LOOP_LANES;
    struct meeting_work m[LOOP_LANES];
    for (unsigned i = 0; i < LOOP_LANES; i++) {
        m[i] = (struct meeting_work){.w = {.run = meet, .done = met}, .barrier = &barrier, .left = &left};
        loop_work_queue(c->l, i, &m[i].w);
    }
    loop_run(c->l);
    pthread_barrier_destroy(&barrier);
}

static void on_signal(void *ctx, int signo)
{
    struct loop_case *c = ctx;
    assert_int_equal(signo, SIGTERM);
    loop_stop(c->l);
}

static void test_signal(void **state)
{
    struct loop_case *c = *state;
    loop_on_signal(c->l, on_signal, c);
    kill(getpid(), SIGTERM);
    loop_run(c->l);
}

static void test_clock(void **state)
{
    struct loop_case *c = *state;
    assert_false(loop_is_sim(c->l));
    assert_true(loop_wall(c->l) > 1600000000LL * 1000000000);
    uint64_t now = loop_now(c->l);
    assert_true(loop_now(c->l) == now); /* one time a turn */
}

int main(void)
{
#define TEST(name)   cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define LISTED(name) TEST(name),
    const struct CMUnitTest tests[] = {
        LOOP_CASES(LISTED) TEST(echo_tcp),
        TEST(echo_unix),
        TEST(echo_ipv6),
        TEST(stale_unix_socket),
        TEST(posts_from_threads),
        TEST(lanes_run_in_parallel),
        TEST(signal),
        TEST(clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

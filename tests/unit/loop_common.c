#include "loop_common.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"

/* ---- timers and turns ---- */

struct timer_test {
    struct loop_timer t;
    struct loop *l;
    char name;
    char *log;
    bool last;
};

static void note(char *log, char c)
{
    size_t n = strlen(log);
    log[n] = c;
    log[n + 1] = '\0';
}

static void on_timer(struct loop_timer *t)
{
    struct timer_test *x = container_of(t, struct timer_test, t);
    note(x->log, x->name);
    if (x->last)
        loop_stop(x->l);
}

void loop_case_timers(struct loop_case *c)
{
    char log[16] = "";
    struct timer_test t[6];
    for (int i = 0; i < 6; i++)
        t[i] = (struct timer_test){.t.cb = on_timer, .l = c->l, .name = (char)('a' + i), .log = log};
    uint64_t start = loop_now(c->l);
    loop_timer_start(c->l, &t[0].t, 30);
    loop_timer_start(c->l, &t[1].t, 10);
    loop_timer_start(c->l, &t[2].t, 10);
    loop_timer_start(c->l, &t[3].t, 0);
    loop_timer_start(c->l, &t[4].t, 5);
    loop_timer_stop(c->l, &t[4].t);
    loop_timer_stop(c->l, &t[4].t);
    loop_timer_start(c->l, &t[5].t, 1);
    loop_timer_start(c->l, &t[5].t, 20); /* replaces */
    assert_true(loop_timer_armed(&t[0].t));
    assert_false(loop_timer_armed(&t[4].t));
    t[0].last = true;
    loop_run(c->l);
    assert_string_equal(log, "dbcfa");
    assert_true(loop_now(c->l) - start >= 30000000);
    assert_false(loop_timer_armed(&t[0].t));
}

struct turn_test {
    struct loop *l;
    struct loop_timer timer, second;
    struct loop_hook first_hook, hook, gone;
    int turns, timers, hooked, removed;
};

static void on_turn_timer(struct loop_timer *t)
{
    struct turn_test *x = container_of(t, struct turn_test, timer);
    x->timers++;
    assert_int_equal(x->hooked, 0);
}

static void on_second_timer(struct loop_timer *t)
{
    struct turn_test *x = container_of(t, struct turn_test, second);
    assert_int_equal(x->timers, 1);
    loop_stop(x->l);
}

static void on_first_hook(struct loop_hook *h)
{
    struct turn_test *x = container_of(h, struct turn_test, first_hook);
    loop_hook_remove(x->l, &x->gone); /* one that has not run yet */
    loop_hook_remove(x->l, h);        /* itself */
}

static void on_gone_hook(struct loop_hook *h)
{
    container_of(h, struct turn_test, gone)->removed++;
}

static void on_hook(struct loop_hook *h)
{
    struct turn_test *x = container_of(h, struct turn_test, hook);
    x->turns++;
    if (x->timers && !x->hooked) {
        x->hooked = 1;
        loop_timer_start(x->l, &x->second, 0); /* armed in a hook: fires without anything else happening */
    }
}

void loop_case_turns(struct loop_case *c)
{
    struct turn_test x = {.l = c->l,
                          .timer.cb = on_turn_timer,
                          .second.cb = on_second_timer,
                          .first_hook.cb = on_first_hook,
                          .gone.cb = on_gone_hook,
                          .hook.cb = on_hook};
    loop_hook_add(c->l, &x.first_hook);
    loop_hook_add(c->l, &x.gone);
    loop_hook_add(c->l, &x.hook);
    loop_timer_start(c->l, &x.timer, 1);
    loop_run(c->l);
    loop_hook_remove(c->l, &x.hook);
    assert_true(x.turns >= 2);
    assert_int_equal(x.removed, 0);
}

struct post_test {
    struct loop *l;
    int ran;
};

static void on_second_post(void *arg)
{
    struct post_test *x = arg;
    assert_int_equal(x->ran, 1);
    loop_stop(x->l);
}

static void on_post(void *arg)
{
    struct post_test *x = arg;
    x->ran++;
    loop_post(x->l, on_second_post, x);
    assert_int_equal(x->ran, 1);
}

void loop_case_posts(struct loop_case *c)
{
    struct post_test x = {.l = c->l};
    loop_post(c->l, on_post, &x);
    assert_int_equal(x.ran, 0);
    loop_run(c->l);
}

/* ---- threads ---- */

struct work_test {
    struct loop_work w;
    struct loop *l;
    char *log;
    int *left;
    int *running; /* in this lane */
    char name;
};

static void work_run(struct loop_work *w)
{
    struct work_test *x = container_of(w, struct work_test, w);
    assert_int_equal(*x->running, 0);
    *x->running = 1;
    for (volatile int i = 0; i < 100000; i++)
        ;
    *x->running = 0;
}

static void work_done(struct loop_work *w)
{
    struct work_test *x = container_of(w, struct work_test, w);
    note(x->log, x->name);
    if (--*x->left == 0)
        loop_stop(x->l);
}

void loop_case_lanes(struct loop_case *c)
{
    char log[3][16] = {"", "", ""};
    int left = 24, running[3] = {0};
    struct work_test w[24];
    for (int i = 0; i < 24; i++) {
        w[i] = (struct work_test){.w = {.run = work_run, .done = work_done},
                                  .l = c->l,
                                  .log = log[i % 3],
                                  .left = &left,
                                  .running = &running[i % 3],
                                  .name = (char)('a' + i / 3)};
        loop_work_queue(c->l, (unsigned)(LOOP_LANE_LOG + i % 3), &w[i].w);
    }
    loop_run(c->l);
    for (int i = 0; i < 3; i++)
        assert_string_equal(log[i], "abcdefgh");
}

void loop_case_random(struct loop_case *c)
{
    int seen[5] = {0};
    for (int i = 0; i < 1000; i++) {
        uint64_t v = loop_random_below(c->l, 5);
        assert_true(v < 5);
        seen[v]++;
    }
    for (int i = 0; i < 5; i++)
        assert_true(seen[i] > 100);
    unsigned char a[64] = {0}, b[64] = {0};
    loop_random(c->l, a, sizeof(a));
    loop_random(c->l, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

/* ---- streams ---- */

struct side {
    struct loop_case *c;
    struct stream *s;
    struct buf got;
    struct loop_timer timer;
    size_t sent, want;
    int ends, end_err, drains;
    bool echo, stop_at_want, stop_at_end, close_at_end, shutdown_at_end;
};

struct pair {
    struct loop_case *c;
    struct listener *ls;
    struct side client, server;
    const struct stream_handler *server_handler, *client_handler;
    void (*both)(struct pair *p);
    int ready;
};

static struct chunk text(const char *s)
{
    return chunk_static(slice_str(s));
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct side *x = ctx;
    assert_true(n > 0);
    buf_add(&x->got, p, n);
    if (x->echo) {
        struct chunk ch = chunk_take(blob_copy(slice_of(p, n)));
        stream_write(x->s, &ch, 1);
    }
    if (x->stop_at_want && x->got.n >= x->want)
        loop_stop(x->c->l);
}

static void on_end(void *ctx, int err)
{
    struct side *x = ctx;
    x->ends++;
    x->end_err = err;
    if (x->shutdown_at_end)
        stream_shutdown(x->s);
    if (x->close_at_end) {
        stream_close(x->s);
        x->s = NULL;
    }
    if (x->stop_at_end)
        loop_stop(x->c->l);
}

static void on_drain(void *ctx)
{
    ((struct side *)ctx)->drains++;
}

static const struct stream_handler plain = {.on_data = on_data, .on_end = on_end, .on_drain = on_drain};

static void pair_ready(struct pair *p)
{
    if (++p->ready < 2)
        return;
    stream_handle(p->server.s, p->server_handler ? p->server_handler : &plain, &p->server);
    stream_handle(p->client.s, p->client_handler ? p->client_handler : &plain, &p->client);
    p->both(p);
}

static void pair_accepted(void *ctx, struct stream *s)
{
    struct pair *p = ctx;
    p->server.s = s;
    pair_ready(p);
}

static void pair_connected(void *ctx, int err, struct stream *s)
{
    struct pair *p = ctx;
    assert_int_equal(err, 0);
    p->client.s = s;
    pair_ready(p);
}

/* Runs the loop until a side stops it; p->both is called once both ends are there. */
static void pair_run(struct pair *p, struct loop_case *c, const char *addr)
{
    char text_addr[128];
    p->c = p->client.c = p->server.c = c;
    buf_init(&p->client.got, 64 << 20);
    buf_init(&p->server.got, 64 << 20);
    if (!addr) {
        snprintf(text_addr, sizeof(text_addr), "%s:0", c->host);
        assert_int_equal(loop_listen(c->l, text_addr, pair_accepted, p, &p->ls), 0);
        assert_true(listener_port(p->ls) != 0);
        snprintf(text_addr, sizeof(text_addr), "%s:%u", c->host, listener_port(p->ls));
        addr = text_addr;
    } else {
        assert_int_equal(loop_listen(c->l, addr, pair_accepted, p, &p->ls), 0);
    }
    loop_connect(c->l, addr, pair_connected, p);
    loop_run(c->l);
}

static void pair_done(struct pair *p)
{
    stream_close(p->client.s);
    stream_close(p->server.s);
    listener_close(p->ls);
    buf_done(&p->client.got);
    buf_done(&p->server.got);
}

static void echo_both(struct pair *p)
{
    p->server.echo = true;
    p->client.stop_at_want = true;
    p->client.want = 11;
    struct chunk parts[] = {text("hello"), text(""), chunk_take(blob_copy(SLICE(" wor")))};
    assert_int_equal(stream_write(p->client.s, parts, 3), 0);
    struct chunk more = text("ld");
    assert_int_equal(stream_write(p->client.s, &more, 1), 0);
    assert_int_equal(stream_queued(p->client.s), 11);
    assert_int_equal(p->client.got.n, 0);
}

void loop_case_echo(struct loop_case *c, const char *addr)
{
    struct pair p = {.both = echo_both};
    pair_run(&p, c, addr);
    assert_slice(buf_slice(&p.client.got), "hello world");
    assert_int_equal(stream_queued(p.client.s), 0);
    assert_non_null(stream_peer(p.client.s));
    if (!addr)
        assert_true(strchr(stream_peer(p.server.s), ':') != NULL);
    pair_done(&p);
}

enum { FLOOD = 24 << 20, FLOOD_CHUNK = 64 << 10 };

static void flood(struct side *x)
{
    static const char zeros[FLOOD_CHUNK];
    while (x->sent < FLOOD && stream_queued(x->s) <= STREAM_HIGH_WATER) {
        struct chunk ch = chunk_static(slice_of(zeros, sizeof(zeros)));
        assert_int_equal(stream_write(x->s, &ch, 1), 0);
        x->sent += sizeof(zeros);
    }
}

static void flood_drain(void *ctx)
{
    struct side *x = ctx;
    x->drains++;
    assert_true(stream_queued(x->s) < STREAM_LOW_WATER);
    flood(x);
}

static const struct stream_handler flooding = {.on_data = on_data, .on_end = on_end, .on_drain = flood_drain};

static void on_resume(struct loop_timer *t)
{
    struct side *x = container_of(t, struct side, timer);
    size_t got = x->got.n;
    assert_true(got < FLOOD / 2); /* the writer had to wait */
    stream_pause(x->s, false);
}

static void flood_both(struct pair *p)
{
    p->server.stop_at_want = true;
    p->server.want = FLOOD;
    p->server.timer.cb = on_resume;
    stream_pause(p->server.s, true);
    loop_timer_start(p->c->l, &p->server.timer, 20);
    flood(&p->client);
}

void loop_case_backpressure(struct loop_case *c)
{
    struct pair p = {.both = flood_both, .client_handler = &flooding};
    pair_run(&p, c, NULL);
    assert_int_equal(p.server.got.n, FLOOD);
    assert_true(p.client.drains > 1);
    assert_true(p.client.drains <= FLOOD / (STREAM_HIGH_WATER - STREAM_LOW_WATER) + 1);
    pair_done(&p);
}

static void shutdown_both(struct pair *p)
{
    p->server.echo = true;
    p->server.shutdown_at_end = true;
    p->client.stop_at_end = true;
    struct chunk ch = text("last words");
    stream_write(p->client.s, &ch, 1);
    stream_shutdown(p->client.s);
    struct chunk late = chunk_take(blob_copy(SLICE("too late")));
    assert_int_equal(stream_write(p->client.s, &late, 1), -EPIPE);
}

void loop_case_shutdown(struct loop_case *c)
{
    struct pair p = {.both = shutdown_both};
    pair_run(&p, c, NULL);
    assert_slice(buf_slice(&p.client.got), "last words"); /* reading went on after our own end */
    assert_int_equal(p.server.ends, 1);
    assert_int_equal(p.server.end_err, 0);
    assert_int_equal(p.client.ends, 1);
    assert_int_equal(p.client.end_err, 0);
    pair_done(&p);
}

static void close_both(struct pair *p)
{
    p->client.stop_at_end = true;
    stream_close(p->server.s);
    p->server.s = NULL;
}

void loop_case_close_tells_peer(struct loop_case *c)
{
    struct pair p = {.both = close_both};
    pair_run(&p, c, NULL);
    assert_int_equal(p.client.ends, 1);
    assert_int_equal(p.server.ends, 0);
    pair_done(&p);
}

struct connect_test {
    struct loop *l;
    int ran, err;
    struct loop_timer timer;
};

static void on_refused(void *ctx, int err, struct stream *s)
{
    struct connect_test *x = ctx;
    x->ran++;
    x->err = err;
    assert_null(s);
    loop_stop(x->l);
}

static int connect_error(struct loop *l, const char *addr)
{
    struct connect_test x = {.l = l};
    loop_connect(l, addr, on_refused, &x);
    assert_int_equal(x.ran, 0); /* never inside the call */
    loop_run(l);
    assert_int_equal(x.ran, 1);
    return x.err;
}

static void never_accept(void *ctx, struct stream *s)
{
    (void)ctx;
    stream_close(s);
}

void loop_case_connect_refused(struct loop_case *c)
{
    char addr[128];
    struct listener *ls, *again;
    snprintf(addr, sizeof(addr), "%s:0", c->host);
    assert_int_equal(loop_listen(c->l, addr, never_accept, NULL, &ls), 0);
    snprintf(addr, sizeof(addr), "%s:%u", c->host, listener_port(ls));
    assert_int_equal(loop_listen(c->l, addr, never_accept, NULL, &again), -EADDRINUSE);
    listener_close(ls);
    assert_int_equal(connect_error(c->l, addr), -ECONNREFUSED);
    assert_int_equal(connect_error(c->l, "no port"), -EINVAL);
    assert_int_equal(loop_listen(c->l, "1.2.3.4:99999", never_accept, NULL, &ls), -EINVAL);
}

static void on_stop_timer(struct loop_timer *t)
{
    loop_stop(container_of(t, struct connect_test, timer)->l);
}

void loop_case_connect_cancel(struct loop_case *c)
{
    char addr[128];
    struct listener *ls;
    struct connect_test x = {.l = c->l, .timer.cb = on_stop_timer};
    snprintf(addr, sizeof(addr), "%s:0", c->host);
    assert_int_equal(loop_listen(c->l, addr, never_accept, NULL, &ls), 0);
    snprintf(addr, sizeof(addr), "%s:%u", c->host, listener_port(ls));
    connect_cancel(loop_connect(c->l, addr, on_refused, &x));
    connect_cancel(loop_connect(c->l, "not an address", on_refused, &x));
    loop_timer_start(c->l, &x.timer, 10);
    loop_run(c->l);
    assert_int_equal(x.ran, 0);
    listener_close(ls);
}

/* ---- files ---- */

static void add_name(void *ctx, const char *name)
{
    buf_printf(ctx, "%s ", name);
}

static const char *path_in(const struct loop_case *c, char out[256], const char *name)
{
    snprintf(out, 256, "%s/%s", c->dir, name);
    return out;
}

static void case_file_content(struct loop_case *c)
{
    char p[256], b[8] = "";
    struct file *f;
    uint64_t size;
    struct fs *fs = loop_fs(c->l);
    assert_int_equal(fs_open(fs, path_in(c, p, "b"), FS_READ, &f), -ENOENT);
    assert_int_equal(fs_open(fs, p, FS_READ | FS_WRITE | FS_CREATE | FS_EXCL, &f), 0);
    assert_int_equal(file_pwrite(f, "abcdef", 6, 2), 6);
    assert_int_equal(file_pread(f, b, sizeof(b), 0), 8);
    assert_memory_equal(b, "\0\0abcdef", 8);
    assert_int_equal(file_pread(f, b, sizeof(b), 5), 3);
    assert_int_equal(file_pread(f, b, sizeof(b), 100), 0);
    assert_int_equal(file_truncate(f, 4), 0);
    assert_int_equal(file_prezero(f, 10), 0);
    assert_int_equal(file_size(f, &size), 0);
    assert_int_equal(size, 10);
    assert_int_equal(file_pread(f, b, 8, 2), 8);
    assert_memory_equal(b, "ab\0\0\0\0\0\0", 8);
    assert_int_equal(file_sync(f), 0);
    file_close(f);
    assert_int_equal(fs_open(fs, p, FS_WRITE | FS_CREATE | FS_EXCL, &f), -EEXIST);
    assert_int_equal(fs_open(fs, p, FS_WRITE | FS_TRUNC, &f), 0);
    assert_int_equal(file_size(f, &size), 0);
    assert_int_equal(size, 0);
    file_close(f);
}

void loop_case_files(struct loop_case *c)
{
    char p[256], q[256];
    struct file *f, *second;
    struct buf names = BUF_INIT(1024);
    struct fs *fs = loop_fs(c->l);
    case_file_content(c);
    assert_int_equal(fs_mkdir(fs, path_in(c, p, "d")), 0);
    assert_int_equal(fs_mkdir(fs, p), -EEXIST);
    assert_int_equal(fs_rename(fs, path_in(c, p, "b"), path_in(c, q, "a")), 0);
    assert_int_equal(fs_lock(fs, path_in(c, p, "lock"), &f), 0);
    assert_int_equal(fs_lock(fs, p, &second), -EWOULDBLOCK);
    file_close(f);
    assert_int_equal(fs_lock(fs, p, &f), 0);
    file_close(f);
    assert_int_equal(fs_sync_dir(fs, c->dir), 0);
    assert_int_equal(fs_list(fs, c->dir, add_name, &names), 0);
    assert_slice(buf_slice(&names), "a d lock ");
    assert_int_equal(fs_unlink(fs, q), 0);
    assert_int_equal(fs_unlink(fs, q), -ENOENT);
    assert_int_equal(fs_list(fs, path_in(c, p, "none"), add_name, &names), -ENOENT);
    buf_done(&names);
}

#include "loop/loop.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "loop/loop_impl.h"

enum { PREZERO_BLOCK = 1 << 20, PATH_BYTES_MAX = 1024 };

static int64_t log_wall(void *clock)
{
    return loop_wall(clock);
}

void loop_init(struct loop *l, const struct loop_ops *ops, const char *name)
{
    l->ops = ops;
    l->name = mem_strndup(name, strlen(name));
    l->log = (struct log){.fd = -1, .level = LOG_INFO, .wall_ns = log_wall, .clock = l, .name = l->name};
    list_init(&l->hooks);
}

void loop_done(struct loop *l)
{
    timers_done(&l->timers);
    mem_free(l->name);
}

uint64_t loop_now(const struct loop *l)
{
    return l->ops->now((struct loop *)l);
}

int64_t loop_wall(const struct loop *l)
{
    return l->ops->wall((struct loop *)l);
}

void loop_random(struct loop *l, void *p, size_t n)
{
    l->ops->random(l, p, n);
}

uint64_t loop_random_below(struct loop *l, uint64_t bound)
{
    uint64_t biased = UINT64_MAX - UINT64_MAX % bound; /* numbers from here on would favour small results */
    uint64_t v;
    do
        loop_random(l, &v, sizeof(v));
    while (v >= biased);
    return v % bound;
}

struct log *loop_log(struct loop *l)
{
    return &l->log;
}

bool loop_is_sim(const struct loop *l)
{
    return l->ops->is_sim;
}

void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
    uint64_t now = loop_now(l), most = (UINT64_MAX - now) / NS_PER_MS;
    timers_arm(&l->timers, t, now + (delay_ms < most ? delay_ms : most) * NS_PER_MS);
    l->ops->timers_changed(l);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    timers_disarm(&l->timers, t);
}

void loop_hook_add(struct loop *l, struct loop_hook *h)
{
    list_push(&l->hooks, &h->link);
}

void loop_hook_remove(struct loop *l, struct loop_hook *h)
{
    if (l->hook_next == &h->link)
        l->hook_next = h->link.next;
    list_remove(&h->link);
}

void loop_run_hooks(struct loop *l)
{
    for (struct list *it = l->hooks.next; it != &l->hooks; it = l->hook_next) {
        l->hook_next = it->next;
        struct loop_hook *h = container_of(it, struct loop_hook, link);
        h->cb(h);
    }
    l->hook_next = NULL;
}

void loop_post(struct loop *l, void (*cb)(void *arg), void *arg)
{
    l->ops->post(l, cb, arg);
}

void loop_work_queue(struct loop *l, unsigned lane, struct loop_work *w)
{
    w->loop = l;
    l->ops->work_queue(l, lane % LOOP_LANES, w);
}

void stream_handle(struct stream *s, const struct stream_handler *h, void *ctx)
{
    s->ops->handle(s, h, ctx);
}

int stream_write(struct stream *s, const struct chunk *chunks, size_t n)
{
    return s->ops->write(s, chunks, n);
}

size_t stream_queued(const struct stream *s)
{
    return s->ops->queued(s);
}

void stream_pause(struct stream *s, bool paused)
{
    s->ops->pause(s, paused);
}

void stream_shutdown(struct stream *s)
{
    s->ops->shutdown(s);
}

void stream_close(struct stream *s)
{
    if (s)
        s->ops->close(s);
}

const char *stream_peer(const struct stream *s)
{
    return s->ops->peer(s);
}

int loop_listen(struct loop *l, const char *addr, void (*on_accept)(void *ctx, struct stream *s), void *ctx,
                struct listener **ret)
{
    return l->ops->listen(l, addr, on_accept, ctx, ret);
}

unsigned listener_port(const struct listener *ls)
{
    return ls->ops->port(ls);
}

void listener_close(struct listener *ls)
{
    if (ls)
        ls->ops->close(ls);
}

struct connecting *loop_connect(struct loop *l, const char *addr, void (*on_done)(void *ctx, int err, struct stream *s),
                                void *ctx)
{
    return l->ops->connect(l, addr, on_done, ctx);
}

void connect_cancel(struct connecting *c)
{
    if (c)
        c->cancel(c);
}

struct fs *loop_fs(struct loop *l)
{
    return l->fs;
}

int fs_open(struct fs *fs, const char *path, unsigned flags, struct file **ret)
{
    return fs->ops->open(fs, path, flags, ret);
}

int fs_rename(struct fs *fs, const char *from, const char *to)
{
    return fs->ops->rename(fs, from, to);
}

int fs_mkdir_synced(struct fs *fs, const char *path)
{
    char parent[PATH_BYTES_MAX];
    int err = fs_mkdir(fs, path);
    if (err && err != -EEXIST)
        return err;
    snprintf(parent, sizeof(parent), "%s", path);
    size_t n = strlen(parent);
    while (n > 1 && parent[n - 1] == '/')
        parent[--n] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    err = fs_sync_dir(fs, slash ? parent : ".");
    return err == -EACCES ? 0 : err; /* not ours to read: then it was made by somebody else, long ago */
}

int fs_unlink(struct fs *fs, const char *path)
{
    return fs->ops->unlink(fs, path);
}

int fs_mkdir(struct fs *fs, const char *path)
{
    return fs->ops->mkdir(fs, path);
}

int fs_mkdirs(struct fs *fs, const char *path)
{
    char above[PATH_BYTES_MAX];
    for (size_t i = 1; i < sizeof above && path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(above, path, i);
        above[i] = '\0';
        fs_mkdir(fs, above); /* what cannot be made shows at the last one */
    }
    int err = fs_mkdir(fs, path);
    return err == -EEXIST ? 0 : err;
}

int fs_sync_dir(struct fs *fs, const char *path)
{
    return fs->ops->sync_dir(fs, path);
}

int fs_lock(struct fs *fs, const char *path, struct file **ret)
{
    return fs->ops->lock(fs, path, ret);
}

int fs_list(struct fs *fs, const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
    return fs->ops->list(fs, path, each, ctx);
}

ssize_t file_pread(struct file *f, void *p, size_t n, uint64_t off)
{
    return f->ops->pread(f, p, n, off);
}

ssize_t file_pwrite(struct file *f, const void *p, size_t n, uint64_t off)
{
    return f->ops->pwrite(f, p, n, off);
}

int file_sync(struct file *f)
{
    return f->ops->sync(f);
}

int file_truncate(struct file *f, uint64_t size)
{
    return f->ops->truncate(f, size);
}

int file_size(struct file *f, uint64_t *ret)
{
    return f->ops->size(f, ret);
}

static int write_zeros(struct file *f, const char *zeros, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t n = to - from < PREZERO_BLOCK ? to - from : PREZERO_BLOCK;
        ssize_t r = file_pwrite(f, zeros, n, from);
        if (r < 0)
            return (int)r;
        from += (uint64_t)r;
    }
    return 0;
}

int file_prezero(struct file *f, uint64_t size)
{
    uint64_t at;
    int err = file_size(f, &at);
    if (err)
        return err;
    uint64_t most = size > at ? size - at : 1;
    char *zeros = mem_zalloc(most < PREZERO_BLOCK ? most : PREZERO_BLOCK);
    err = write_zeros(f, zeros, at, size);
    mem_free(zeros);
    return err ? err : file_sync(f);
}

void file_close(struct file *f)
{
    if (f)
        f->ops->close(f);
}

void loop_run(struct loop *l)
{
    l->ops->run(l);
}

void loop_stop(struct loop *l)
{
    l->ops->stop(l);
}

void loop_on_signal(struct loop *l, void (*cb)(void *ctx, int signo), void *ctx)
{
    if (l->ops->on_signal)
        l->ops->on_signal(l, cb, ctx);
}

void loop_free(struct loop *l)
{
    if (l)
        l->ops->free(l);
}

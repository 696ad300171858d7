/* What a loop is made of: the vtables that loop_uv.c and loop_sim.c fill, and the parts they share (timers, hooks,
 * logger). Only for src/loop.
 *
 * Every public object starts with a pointer to its operations; loop.c dispatches. The implementation embeds these
 * structs as the first member of its own. */
#ifndef PINTLE_LOOP_LOOP_IMPL_H
#define PINTLE_LOOP_LOOP_IMPL_H

#include "loop/loop.h"
#include "loop/timers.h"

struct loop_ops {
    bool is_sim;
    uint64_t (*now)(struct loop *l);
    int64_t (*wall)(struct loop *l);
    void (*random)(struct loop *l, void *p, size_t n);
    /* The earliest timer may have changed. */
    void (*timers_changed)(struct loop *l);
    void (*post)(struct loop *l, void (*cb)(void *arg), void *arg);
    void (*work_queue)(struct loop *l, unsigned lane, struct loop_work *w);
    int (*listen)(struct loop *l, const char *addr, void (*on_accept)(void *ctx, struct stream *s), void *ctx,
                  struct listener **ret);
    struct connecting *(*connect)(struct loop *l, const char *addr,
                                  void (*on_done)(void *ctx, int err, struct stream *s), void *ctx);
    void (*run)(struct loop *l);
    void (*stop)(struct loop *l);
    void (*on_signal)(struct loop *l, void (*cb)(void *ctx, int signo), void *ctx);
    void (*free)(struct loop *l);
};

struct loop {
    const struct loop_ops *ops;
    struct log log;
    char *name;
    struct timers timers;
    struct list hooks;
    struct list *hook_next; /* the hook to run after the current one, so that hooks may remove hooks */
    struct fs *fs;
};

struct stream_ops {
    void (*handle)(struct stream *s, const struct stream_handler *h, void *ctx);
    int (*write)(struct stream *s, const struct chunk *chunks, size_t n);
    size_t (*queued)(const struct stream *s);
    void (*pause)(struct stream *s, bool paused);
    void (*shutdown)(struct stream *s);
    void (*close)(struct stream *s);
    const char *(*peer)(const struct stream *s);
};

struct stream {
    const struct stream_ops *ops;
};

struct listener_ops {
    unsigned (*port)(const struct listener *ls);
    void (*close)(struct listener *ls);
};

struct listener {
    const struct listener_ops *ops;
};

struct connecting {
    void (*cancel)(struct connecting *c);
};

struct fs_ops {
    int (*open)(struct fs *fs, const char *path, unsigned flags, struct file **ret);
    int (*rename)(struct fs *fs, const char *from, const char *to);
    int (*unlink)(struct fs *fs, const char *path);
    int (*mkdir)(struct fs *fs, const char *path);
    int (*sync_dir)(struct fs *fs, const char *path);
    int (*lock)(struct fs *fs, const char *path, struct file **ret);
    int (*list)(struct fs *fs, const char *path, void (*each)(void *ctx, const char *name), void *ctx);
};

struct fs {
    const struct fs_ops *ops;
};

struct file_ops {
    ssize_t (*pread)(struct file *f, void *p, size_t n, uint64_t off);
    ssize_t (*pwrite)(struct file *f, const void *p, size_t n, uint64_t off);
    int (*sync)(struct file *f);
    int (*truncate)(struct file *f, uint64_t size);
    int (*size)(struct file *f, uint64_t *ret);
    void (*close)(struct file *f);
};

struct file {
    const struct file_ops *ops;
};

/* Fills the shared part; name is copied. The logger is off until its owner opens it. */
void loop_init(struct loop *l, const struct loop_ops *ops, const char *name);
/* Frees the shared part. */
void loop_done(struct loop *l);
/* Runs the hooks, in order. */
void loop_run_hooks(struct loop *l);
/* The real file system; free with mem_free. */
struct fs *fs_real_new(void);

#endif

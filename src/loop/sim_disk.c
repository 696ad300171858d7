/* The simulated disk: what was not synced may be lost or torn when the machine crashes.
 *
 * The live state is kept as it is; every operation since the last sync keeps what it needs to be undone and done
 * again. A crash undoes all of them, then keeps, tears or loses each. Directory changes are journalled by real file
 * systems in their order, so a crash keeps a prefix of those since the last sync of the directory. */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "loop/sim_impl.h"

enum { PATH_LIMIT = 512 };

struct sim_file {
    struct file base;
    struct sim_disk *disk; /* NULL: its host died */
    struct sim_inode *inode;
    struct list link; /* in disk->files */
    unsigned flags;
    bool lock;
};

static struct sim_file *file_of(struct file *f)
{
    return container_of(f, struct sim_file, base);
}

static struct sim_disk *disk_of(struct fs *fs)
{
    return container_of(fs, struct sim_disk, base);
}

/* ---- faults ---- */

/* Counts an operation; the error it has to end with, or 0. */
static int fault(struct sim_disk *d)
{
    if (d->dying) {
        if (d->ops_left == 0)
            return -EIO;
        d->ops_left--;
    }
    if (d->fail_nth && --d->fail_nth == 0)
        return d->fail_err;
    return 0;
}

/* ---- inodes ---- */

static void free_write(struct sim_write *w)
{
    list_remove(&w->link);
    mem_free(w->bytes);
    mem_free(w->old_bytes);
    mem_free(w);
}

static void forget_writes(struct sim_inode *i)
{
    while (!list_empty(&i->unsynced))
        free_write(container_of(i->unsynced.next, struct sim_write, link));
}

static struct sim_inode *ref(struct sim_inode *i)
{
    if (i)
        i->refs++;
    return i;
}

static void unref(struct sim_disk *d, struct sim_inode *i)
{
    if (!i || --i->refs > 0)
        return;
    d->used -= i->size;
    forget_writes(i);
    mem_free(i->bytes);
    mem_free(i);
}

static struct sim_inode *new_inode(bool is_dir)
{
    struct sim_inode *i = mem_new(struct sim_inode);
    i->is_dir = is_dir;
    list_init(&i->unsynced);
    return i;
}

static void set_size(struct sim_disk *d, struct sim_inode *i, uint64_t size)
{
    if (size > i->cap) {
        uint64_t cap = i->cap ? i->cap : 4096;
        while (cap < size)
            cap *= 2;
        char *bytes = mem_zalloc(cap);
        if (i->size)
            memcpy(bytes, i->bytes, i->size);
        mem_free(i->bytes);
        i->bytes = bytes;
        i->cap = cap;
    }
    if (size < i->size)
        memset(i->bytes + size, 0, i->size - size);
    d->used = d->used - i->size + size;
    i->size = size;
}

static void put_bytes(struct sim_disk *d, struct sim_inode *i, uint64_t off, const char *p, size_t n)
{
    if (off + n > i->size)
        set_size(d, i, off + n);
    if (n)
        memcpy(i->bytes + off, p, n);
}

/* ---- files ---- */

static ssize_t sim_pread(struct file *base, void *p, size_t n, uint64_t off)
{
    struct sim_file *f = file_of(base);
    if (!f->disk)
        return -EIO;
    int err = fault(f->disk);
    if (err)
        return err;
    if (off >= f->inode->size)
        return 0;
    if (n > f->inode->size - off)
        n = f->inode->size - off;
    memcpy(p, f->inode->bytes + off, n);
    return (ssize_t)n;
}

static void remember(struct sim_inode *i, struct sim_write *w)
{
    w->old_size = i->size;
    if (w->off < i->size)
        w->n_old = w->truncate || w->n > i->size - w->off ? i->size - w->off : w->n;
    w->old_bytes = w->n_old ? mem_dup(i->bytes + w->off, w->n_old) : NULL;
    list_push(&i->unsynced, &w->link);
}

static void take_time(struct sim_disk *d)
{
    struct sim_host *h = d->host;
    if (h->in_work || !h->alive)
        return;
    uint64_t from = h->busy_until > h->sim->now ? h->busy_until : h->sim->now;
    h->busy_until = from + sim_between(h->sim, d->sync_min_ns, d->sync_max_ns);
}

static int sim_sync(struct file *base)
{
    struct sim_file *f = file_of(base);
    if (!f->disk)
        return -EIO;
    int err = fault(f->disk);
    if (err)
        return err;
    forget_writes(f->inode);
    take_time(f->disk);
    return 0;
}

static ssize_t sim_pwrite(struct file *base, const void *p, size_t n, uint64_t off)
{
    struct sim_file *f = file_of(base);
    struct sim_disk *d = f->disk;
    if (!d)
        return -EIO;
    int err = fault(d);
    if (err)
        return err;
    uint64_t grows = off + n > f->inode->size ? off + n - f->inode->size : 0;
    if (grows && d->limit && d->used + grows > d->limit)
        return -ENOSPC;
    struct sim_write *w = mem_new(struct sim_write);
    w->off = off;
    w->n = n;
    w->bytes = n ? mem_dup(p, n) : NULL;
    remember(f->inode, w);
    put_bytes(d, f->inode, off, p, n);
    sim_trace(d->host->sim, hash64(slice_of(p, n), off));
    if (f->flags & FS_DSYNC) {
        err = sim_sync(base);
        if (err)
            return err;
    }
    return (ssize_t)n;
}

static int sim_truncate(struct file *base, uint64_t size)
{
    struct sim_file *f = file_of(base);
    if (!f->disk)
        return -EIO;
    int err = fault(f->disk);
    if (err)
        return err;
    if (f->disk->limit && size > f->inode->size && f->disk->used + size - f->inode->size > f->disk->limit)
        return -ENOSPC;
    struct sim_write *w = mem_new(struct sim_write);
    w->truncate = true;
    w->off = size;
    remember(f->inode, w);
    set_size(f->disk, f->inode, size);
    return 0;
}

static int sim_size(struct file *base, uint64_t *ret)
{
    struct sim_file *f = file_of(base);
    if (!f->disk)
        return -EIO;
    *ret = f->inode->size;
    return 0;
}

static void detach_file(struct sim_file *f)
{
    if (!f->disk)
        return;
    if (f->lock)
        f->inode->locked = false;
    unref(f->disk, f->inode);
    f->disk = NULL;
    f->inode = NULL;
    list_remove(&f->link);
}

static void sim_close_file(struct file *base)
{
    detach_file(file_of(base));
    mem_free(file_of(base));
}

static const struct file_ops sim_file_ops = {
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .sync = sim_sync,
    .truncate = sim_truncate,
    .size = sim_size,
    .close = sim_close_file,
};

/* ---- directories ---- */

/* Paths are compared as text: "a//b/" is "a/b", "/" is "". */
static void clean_path(const char *path, char out[PATH_LIMIT])
{
    size_t n = 0;
    for (const char *p = path; *p && n < PATH_LIMIT - 1; p++)
        if (!(*p == '/' && n > 0 && out[n - 1] == '/'))
            out[n++] = *p;
    if (n > 0 && out[n - 1] == '/')
        n--; /* the root is "" */
    out[n] = '\0';
}

static size_t parent_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

static bool is_in_dir(const char *path, const char *dir)
{
    size_t n = parent_length(path);
    return n == strlen(dir) && memcmp(path, dir, n) == 0;
}

static struct sim_inode *lookup(struct sim_disk *d, const char *path)
{
    return map_get(&d->entries, slice_str(path));
}

/* The root and "." always exist; any other directory must have been made. */
static bool dir_exists(struct sim_disk *d, const char *path)
{
    if (path[0] == '\0' || strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
        return true;
    const struct sim_inode *i = lookup(d, path);
    return i && i->is_dir;
}

static bool parent_exists(struct sim_disk *d, const char *path)
{
    char dir[PATH_LIMIT];
    size_t n = parent_length(path);
    memcpy(dir, path, n);
    dir[n] = '\0';
    return dir_exists(d, dir);
}

/* Points path at inode (NULL: nothing), without a record. */
static void set_entry(struct sim_disk *d, const char *path, struct sim_inode *inode)
{
    ref(inode);
    struct sim_inode *old =
        inode ? map_put(&d->entries, slice_str(path), inode) : map_del(&d->entries, slice_str(path));
    unref(d, old);
}

static struct sim_dirop *change_entry(struct sim_disk *d, const char *path, struct sim_inode *after)
{
    struct sim_dirop *op = mem_new(struct sim_dirop);
    op->path = mem_strndup(path, strlen(path));
    op->before = ref(lookup(d, path));
    op->after = ref(after);
    list_push(&d->dirops, &op->link);
    set_entry(d, path, after);
    return op;
}

static void free_dirop(struct sim_disk *d, struct sim_dirop *op)
{
    list_remove(&op->link);
    if (op->other)
        op->other->other = NULL;
    unref(d, op->before);
    unref(d, op->after);
    mem_free(op->path);
    mem_free(op);
}

static struct file *open_inode(struct sim_disk *d, struct sim_inode *i, unsigned flags)
{
    struct sim_file *f = mem_new(struct sim_file);
    f->base.ops = &sim_file_ops;
    f->disk = d;
    f->inode = ref(i);
    f->flags = flags;
    list_push(&d->files, &f->link);
    return &f->base;
}

static int sim_open(struct fs *fs, const char *path, unsigned flags, struct file **ret)
{
    struct sim_disk *d = disk_of(fs);
    char p[PATH_LIMIT];
    clean_path(path, p);
    int err = fault(d);
    if (err)
        return err;
    struct sim_inode *i = lookup(d, p);
    if (i && (flags & FS_CREATE) && (flags & FS_EXCL))
        return -EEXIST;
    if (i && i->is_dir)
        return -EISDIR;
    if (!i && (!(flags & FS_CREATE) || !parent_exists(d, p)))
        return -ENOENT;
    if (!i) {
        i = new_inode(false);
        change_entry(d, p, i);
    }
    *ret = open_inode(d, i, flags);
    if (flags & FS_TRUNC && i->size)
        return sim_truncate(*ret, 0);
    return 0;
}

static int sim_rename(struct fs *fs, const char *from, const char *to)
{
    struct sim_disk *d = disk_of(fs);
    char a[PATH_LIMIT], b[PATH_LIMIT];
    clean_path(from, a);
    clean_path(to, b);
    int err = fault(d);
    if (err)
        return err;
    struct sim_inode *i = lookup(d, a);
    if (!i || !parent_exists(d, b))
        return -ENOENT;
    ref(i);
    struct sim_dirop *made = change_entry(d, b, i), *gone = change_entry(d, a, NULL);
    made->other = gone;
    gone->other = made;
    unref(d, i);
    return 0;
}

static bool dir_in_use(struct sim_disk *d, const char *dir)
{
    for (struct map_entry *e = map_first(&d->entries); e; e = map_next(&d->entries, e)) {
        char p[PATH_LIMIT];
        memcpy(p, e->key.p, e->key.n);
        p[e->key.n] = '\0';
        if (is_in_dir(p, dir))
            return true;
    }
    return false;
}

static int sim_unlink(struct fs *fs, const char *path)
{
    struct sim_disk *d = disk_of(fs);
    char p[PATH_LIMIT];
    clean_path(path, p);
    int err = fault(d);
    if (err)
        return err;
    const struct sim_inode *i = lookup(d, p);
    if (!i)
        return -ENOENT;
    if (i->is_dir && dir_in_use(d, p))
        return -ENOTEMPTY;
    change_entry(d, p, NULL);
    return 0;
}

static int sim_mkdir(struct fs *fs, const char *path)
{
    struct sim_disk *d = disk_of(fs);
    char p[PATH_LIMIT];
    clean_path(path, p);
    int err = fault(d);
    if (err)
        return err;
    if (lookup(d, p) || dir_exists(d, p))
        return -EEXIST;
    if (!parent_exists(d, p))
        return -ENOENT;
    change_entry(d, p, new_inode(true));
    return 0;
}

static int sim_sync_dir(struct fs *fs, const char *path)
{
    struct sim_disk *d = disk_of(fs);
    char dir[PATH_LIMIT];
    clean_path(path, dir);
    int err = fault(d);
    if (err)
        return err;
    if (!dir_exists(d, dir))
        return -ENOENT;
    list_each (it, &d->dirops) {
        struct sim_dirop *op = container_of(it, struct sim_dirop, link);
        if (is_in_dir(op->path, dir))
            free_dirop(d, op);
    }
    take_time(d);
    return 0;
}

static int sim_lock(struct fs *fs, const char *path, struct file **ret)
{
    struct file *f;
    int err = sim_open(fs, path, FS_READ | FS_WRITE | FS_CREATE, &f);
    if (err)
        return err;
    if (file_of(f)->inode->locked) {
        sim_close_file(f);
        return -EWOULDBLOCK;
    }
    file_of(f)->inode->locked = file_of(f)->lock = true;
    *ret = f;
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t collect_names(struct sim_disk *d, const char *dir, char **names)
{
    size_t n = 0, skip = strlen(dir) + 1;
    for (struct map_entry *e = map_first(&d->entries); e; e = map_next(&d->entries, e)) {
        char p[PATH_LIMIT];
        memcpy(p, e->key.p, e->key.n);
        p[e->key.n] = '\0';
        if (is_in_dir(p, dir))
            names[n++] = mem_strndup(p + skip, e->key.n - skip);
    }
    qsort(names, n, sizeof(*names), by_bytes);
    return n;
}

static int sim_list(struct fs *fs, const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
    struct sim_disk *d = disk_of(fs);
    char dir[PATH_LIMIT];
    clean_path(path, dir);
    int err = fault(d);
    if (err)
        return err;
    if (!dir_exists(d, dir))
        return -ENOENT;
    char **names = mem_alloc(d->entries.n * sizeof(char *));
    size_t n = collect_names(d, dir, names);
    for (size_t i = 0; i < n; i++) {
        each(ctx, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    return 0;
}

static const struct fs_ops sim_fs_ops = {
    .open = sim_open,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .sync_dir = sim_sync_dir,
    .lock = sim_lock,
    .list = sim_list,
};

/* ---- crashes ---- */

static void undo_write(struct sim_disk *d, struct sim_inode *i, const struct sim_write *w)
{
    set_size(d, i, w->old_size);
    if (w->n_old)
        memcpy(i->bytes + w->off, w->old_bytes, w->n_old);
}

/* How much of a write survives: all, nothing, or its first sectors. */
static size_t surviving(struct sim *s, const struct sim_write *w)
{
    uint64_t fate = sim_random(s, 3);
    if (fate < 2)
        return fate == 0 ? 0 : w->n;
    uint64_t sectors = (w->off + w->n) / SIM_SECTOR - w->off / SIM_SECTOR;
    uint64_t end = (w->off / SIM_SECTOR + sim_random(s, sectors + 1)) * SIM_SECTOR;
    return end <= w->off ? 0 : end - w->off < w->n ? end - w->off : w->n;
}

static void redo_write(struct sim_disk *d, struct sim_inode *i, const struct sim_write *w)
{
    struct sim *s = d->host->sim;
    if (w->truncate) {
        if (sim_random(s, 2))
            set_size(d, i, w->off);
        return;
    }
    size_t n = surviving(s, w);
    if (n)
        put_bytes(d, i, w->off, w->bytes, n);
}

static void crash_inode(struct sim_disk *d, struct sim_inode *i)
{
    for (struct list *it = i->unsynced.prev; it != &i->unsynced; it = it->prev)
        undo_write(d, i, container_of(it, struct sim_write, link));
    uint64_t n = 0, kept = UINT64_MAX;
    list_each (it, &i->unsynced) {
        n++;
    }
    if (d->ordered)
        kept = sim_random(d->host->sim, n + 1);
    n = 0;
    list_each (it, &i->unsynced) {
        const struct sim_write *w = container_of(it, struct sim_write, link);
        bool keep = n++ < kept;
        if (!d->ordered)
            redo_write(d, i, w);
        else if (keep && w->truncate)
            set_size(d, i, w->off);
        else if (keep)
            put_bytes(d, i, w->off, w->bytes, w->n);
    }
    forget_writes(i);
}

static void undo_newest_dirop(struct sim_disk *d)
{
    struct sim_dirop *op = container_of(d->dirops.prev, struct sim_dirop, link);
    set_entry(d, op->path, op->before);
    free_dirop(d, op);
}

static void crash_dirs(struct sim_disk *d)
{
    uint64_t n = 0, kept;
    list_each (it, &d->dirops) {
        n++;
    }
    kept = sim_random(d->host->sim, n + 1);
    while (n > kept) {
        /* The second half of a rename takes the first along. */
        bool pair = container_of(d->dirops.prev, struct sim_dirop, link)->other != NULL;
        undo_newest_dirop(d);
        n--;
        if (!pair)
            continue;
        undo_newest_dirop(d);
        n--;
    }
}

static void settle_dirs(struct sim_disk *d)
{
    while (!list_empty(&d->dirops))
        free_dirop(d, container_of(d->dirops.next, struct sim_dirop, link));
}

void sim_disk_kill(struct sim_host *h, bool crash)
{
    struct sim_disk *d = &h->disk;
    list_each (it, &d->files) {
        detach_file(container_of(it, struct sim_file, link));
    }
    if (crash) {
        crash_dirs(d);
        for (struct map_entry *e = map_first(&d->entries); e; e = map_next(&d->entries, e))
            crash_inode(d, e->value);
        settle_dirs(d);
    }
    d->fail_nth = 0;
}

void sim_disk_init(struct sim_host *h)
{
    struct sim_disk *d = &h->disk;
    d->base.ops = &sim_fs_ops;
    d->host = h;
    d->sync_min_ns = 100 * NS_PER_US;
    d->sync_max_ns = 1000 * NS_PER_US;
    map_init(&d->entries, 0);
    list_init(&d->dirops);
    list_init(&d->files);
    h->base.fs = &d->base;
}

void sim_disk_done(struct sim_host *h)
{
    struct sim_disk *d = &h->disk;
    settle_dirs(d);
    for (struct map_entry *e = map_first(&d->entries); e; e = map_next(&d->entries, e))
        unref(d, e->value);
    map_done(&d->entries);
}

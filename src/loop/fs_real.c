/* Files of the real world: plain blocking calls, for the loop's pool threads and for the start. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "loop/loop_impl.h"

struct file_real {
    struct file base;
    int fd;
};

static int fd_of(const struct file *f)
{
    return container_of(f, struct file_real, base)->fd;
}

static ssize_t real_pread(struct file *f, void *p, size_t n, uint64_t off)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(fd_of(f), (char *)p + got, n - got, (off_t)(off + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

static ssize_t real_pwrite(struct file *f, const void *p, size_t n, uint64_t off)
{
    size_t put = 0;
    while (put < n) {
        ssize_t r = pwrite(fd_of(f), (const char *)p + put, n - put, (off_t)(off + put));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        put += (size_t)r;
    }
    return (ssize_t)put;
}

static int real_sync(struct file *f)
{
    return fdatasync(fd_of(f)) ? -errno : 0;
}

static int real_truncate(struct file *f, uint64_t size)
{
    return ftruncate(fd_of(f), (off_t)size) ? -errno : 0;
}

static int real_size(struct file *f, uint64_t *ret)
{
    struct stat st;
    if (fstat(fd_of(f), &st))
        return -errno;
    *ret = (uint64_t)st.st_size;
    return 0;
}

static void real_close(struct file *f)
{
    close(fd_of(f));
    mem_free(f);
}

static const struct file_ops real_file_ops = {
    .pread = real_pread,
    .pwrite = real_pwrite,
    .sync = real_sync,
    .truncate = real_truncate,
    .size = real_size,
    .close = real_close,
};

static struct file *file_of(int fd)
{
    struct file_real *f = mem_new(struct file_real);
    f->base.ops = &real_file_ops;
    f->fd = fd;
    return &f->base;
}

static int open_flags(unsigned flags)
{
    int o = O_CLOEXEC;
    o |= flags & FS_WRITE ? (flags & FS_READ ? O_RDWR : O_WRONLY) : O_RDONLY;
    o |= flags & FS_CREATE ? O_CREAT : 0;
    o |= flags & FS_EXCL ? O_EXCL : 0;
    o |= flags & FS_TRUNC ? O_TRUNC : 0;
    o |= flags & FS_DSYNC ? O_DSYNC : 0;
    return o;
}

static int real_open(struct fs *fs, const char *path, unsigned flags, struct file **ret)
{
    (void)fs;
    int fd = open(path, open_flags(flags), 0600);
    if (fd < 0)
        return -errno;
    *ret = file_of(fd);
    return 0;
}

static int real_rename(struct fs *fs, const char *from, const char *to)
{
    (void)fs;
    return rename(from, to) ? -errno : 0;
}

static int real_unlink(struct fs *fs, const char *path)
{
    (void)fs;
    return unlink(path) ? -errno : 0;
}

static int real_mkdir(struct fs *fs, const char *path)
{
    (void)fs;
    return mkdir(path, 0700) ? -errno : 0;
}

static int real_sync_dir(struct fs *fs, const char *path)
{
    (void)fs;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fsync(fd) ? -errno : 0;
    close(fd);
    return err;
}

static int real_lock(struct fs *fs, const char *path, struct file **ret)
{
    (void)fs;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int err = -errno;
        close(fd);
        return err;
    }
    *ret = file_of(fd);
    return 0;
}

static int keep(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int real_list(struct fs *fs, const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
    (void)fs;
    struct dirent **entries;
    int n = scandir(path, &entries, keep, by_bytes);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        each(ctx, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

static const struct fs_ops real_fs_ops = {
    .open = real_open,
    .rename = real_rename,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .sync_dir = real_sync_dir,
    .lock = real_lock,
    .list = real_list,
};

struct fs *fs_real_new(void)
{
    struct fs *fs = mem_new(struct fs);
    fs->ops = &real_fs_ops;
    return fs;
}

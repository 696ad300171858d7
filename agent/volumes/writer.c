/* Files that change together. A volume's directory holds, for each file or directory at its top, a link into "..data", and
 * "..data" is a link to one generation's directory. Replacing that one link switches all files at once. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/volumes/volumes_impl.h"

#define DATA_LINK "..data"

/* ---- is it the same already? ---- */

static bool same_bytes(int fd, struct slice data)
{
    char chunk[16 << 10];
    size_t at = 0;
    ssize_t r;
    while ((r = read(fd, chunk, sizeof chunk)) > 0) {
        if (at + (size_t)r > data.n || memcmp(chunk, data.p + at, (size_t)r) != 0)
            return false;
        at += (size_t)r;
    }
    return r == 0 && at == data.n;
}

static bool same_file(const char *dir, const struct volume_file *f)
{
    char path[2 * VOLUME_PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s/" DATA_LINK "/%s", dir, f->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool same = !fstat(fd, &st) && S_ISREG(st.st_mode) && (st.st_mode & 07777) == f->mode && same_bytes(fd, f->data);
    close(fd);
    return same;
}

static size_t count_files(const char *path, unsigned depth)
{
    size_t n = 0;
    DIR *d = depth ? opendir(path) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char below[2 * VOLUME_PATH_MAX];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below)
            n += e->d_type == DT_DIR ? count_files(below, depth - 1) : 1;
    }
    if (d)
        closedir(d);
    return n;
}

static bool unchanged(const char *dir, const struct volume_file *files)
{
    char path[2 * VOLUME_PATH_MAX];
    size_t n = 0;
    struct stat st;
    snprintf(path, sizeof path, "%s/" DATA_LINK "/", dir);
    if (stat(path, &st))
        return false;
    for (const struct volume_file *f = files; f; f = f->next, n++)
        if (!same_file(dir, f))
            return false;
    return count_files(path, VOLUME_DEPTH_MAX) == n;
}

/* ---- writing ---- */

static int write_all(int fd, struct slice data)
{
    while (data.n) {
        ssize_t w = write(fd, data.p, data.n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        data = slice_from(data, (size_t)w);
    }
    return 0;
}

static int write_file(const char *dir, const struct volume_file *f, int64_t group)
{
    char path[2 * VOLUME_PATH_MAX];
    const char *slash = strrchr(f->path, '/');
    if (slash) {
        snprintf(path, sizeof path, "%s/%.*s", dir, (int)(slash - f->path), f->path);
        int err = tree_make(path, 0755);
        if (err)
            return err;
    }
    snprintf(path, sizeof path, "%s/%s", dir, f->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int err = write_all(fd, f->data);
    if (!err && group >= 0 && fchown(fd, (uid_t)-1, (gid_t)group))
        err = -errno;
    if (!err && fchmod(fd, f->mode))
        err = -errno;
    close(fd);
    return err;
}

static size_t top_of(const char *path)
{
    return strcspn(path, "/");
}

/* The links that readers use; they are the same for every generation. */
static int link_top(const char *dir, const char *path)
{
    char link[2 * VOLUME_PATH_MAX], to[VOLUME_PATH_MAX + 16], now[VOLUME_PATH_MAX + 16];
    int top = (int)top_of(path);
    snprintf(link, sizeof link, "%s/%.*s", dir, top, path);
    snprintf(to, sizeof to, DATA_LINK "/%.*s", top, path);
    ssize_t n = readlink(link, now, sizeof now);
    if (n >= 0 && slice_eq(slice_of(now, (size_t)n), slice_str(to)))
        return 0;
    if (symlink(to, link) && errno != EEXIST)
        return -errno;
    return 0;
}

static bool is_wanted(const struct volume_file *files, const char *top)
{
    for (const struct volume_file *f = files; f; f = f->next)
        if (slice_eq(slice_of(f->path, top_of(f->path)), slice_str(top)))
            return true;
    return false;
}

/* Links and generations that nobody needs any more. */
static void sweep(const char *dir, const struct volume_file *files, const char *generation)
{
    char message[VOLUME_MESSAGE_MAX], path[2 * VOLUME_PATH_MAX];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, DATA_LINK) ||
            !strcmp(e->d_name, generation))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= (int)sizeof path)
            continue;
        if (e->d_type == DT_LNK && !is_wanted(files, e->d_name))
            unlink(path);
        else if (e->d_type == DT_DIR && !strncmp(e->d_name, "..", 2))
            tree_remove(path, message, sizeof message);
    }
    if (d)
        closedir(d);
}

static int switch_to(const char *dir, const char *generation)
{
    char fresh[VOLUME_PATH_MAX + 32], link[VOLUME_PATH_MAX + 32];
    snprintf(fresh, sizeof fresh, "%s/" DATA_LINK "_tmp", dir);
    snprintf(link, sizeof link, "%s/" DATA_LINK, dir);
    unlink(fresh);
    if (symlink(generation, fresh) || rename(fresh, link))
        return -errno;
    return 0;
}

int writer_update(const char *dir, const struct volume_file *files, int64_t group, unsigned stamp)
{
    char generation[64], path[VOLUME_PATH_MAX + 80], message[VOLUME_MESSAGE_MAX];
    if (unchanged(dir, files))
        return 0;
    snprintf(generation, sizeof generation, "..gen_%u", stamp);
    snprintf(path, sizeof path, "%s/%s", dir, generation);
    tree_remove(path, message, sizeof message); /* of an agent that died while writing */
    if (mkdir(path, 0755) || chmod(path, group >= 0 ? 02775 : 0755))
        return -errno;
    if (group >= 0 && chown(path, (uid_t)-1, (gid_t)group))
        return -errno;
    int err = 0;
    for (const struct volume_file *f = files; f && !err; f = f->next)
        err = write_file(path, f, group);
    if (!err)
        err = switch_to(dir, generation);
    for (const struct volume_file *f = files; f && !err; f = f->next)
        err = link_top(dir, f->path);
    if (err)
        tree_remove(path, message, sizeof message);
    else
        sweep(dir, files, generation);
    return err;
}

#include "agent/volumes/subpath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/volumes/volumes_impl.h"

/* ---- walking ---- */

/* Opens (or makes) one directory in dir. ret_file: it is there, and no directory: a subPath may name a file at its end. */
static int step(int dir, const char *name, int64_t group, bool *ret_file)
{
    struct stat st;
    bool made = mkdirat(dir, name, 0755) == 0;
    if (!made && errno != EEXIST)
        return -errno;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return -errno;
    if (S_ISLNK(st.st_mode))
        return -ELOOP;
    if (!S_ISDIR(st.st_mode)) {
        *ret_file = true;
        return -ENOTDIR;
    }
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = 0;
    if (made && group >= 0 && (fchown(fd, (uid_t)-1, (gid_t)group) || fchmod(fd, 02775)))
        err = -errno;
    if (err)
        close(fd);
    return err ? err : fd;
}

int subpath_make(const char *base, const char *path, int64_t group)
{
    struct slice rest = slice_str(path), part;
    int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    while (rest.n) {
        char name[256];
        bool file = false;
        slice_cut(rest, '/', &part, &rest);
        if (part.n == 0 || slice_eq_str(part, "."))
            continue;
        if (slice_eq_str(part, "..") || part.n >= sizeof name) {
            close(dir);
            return -EINVAL;
        }
        snprintf(name, sizeof name, "%" SLICE_FMT, SLICE_ARG(part));
        int next = step(dir, name, group, &file);
        close(dir);
        if (next < 0)
            return file && !rest.n ? 0 : next;
        dir = next;
    }
    close(dir);
    return 0;
}

static int open_beneath(int base, const char *path)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, base, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

int subpath_open(const char *base, const char *path, int64_t group)
{
    int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int fd = open_beneath(dir, path);
    if (fd == -ENOENT && !(fd = subpath_make(base, path, group)))
        fd = open_beneath(dir, path);
    close(dir);
    return fd;
}

/* ---- binding ---- */

static void unmount_all(const char *target)
{
    for (int i = 0; i < 64 && !umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW); i++)
        ;
}

static int make_target(const char *target, bool directory)
{
    unmount_all(target); /* of the container's run before */
    if (rmdir(target) && errno == ENOTDIR)
        unlink(target);
    if (directory)
        return mkdir(target, 0700) ? -errno : 0;
    int fd = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static int bind_one(const struct bind *b, bool mounts)
{
    struct stat st;
    char opened[64];
    int fd = subpath_open(b->base, b->path, b->group);
    if (fd < 0)
        return fd;
    int err = fstat(fd, &st) ? -errno : 0;
    if (!err && mounts)
        err = make_target(b->target, S_ISDIR(st.st_mode));
    snprintf(opened, sizeof opened, "/proc/self/fd/%d", fd);
    if (!err && mounts && mount(opened, b->target, NULL, MS_BIND | MS_REC, NULL))
        err = -errno;
    close(fd);
    return err;
}

static void run(struct loop_work *work)
{
    struct binds_job *job = container_of(work, struct binds_job, work);
    job->err = job->n && job->mounts ? tree_make(job->dir, 0700) : 0;
    if (job->err)
        snprintf(job->message, sizeof job->message, "cannot make %.200s: %s", job->dir, strerror(-job->err));
    for (size_t i = 0; i < job->n && !job->err; i++) {
        job->err = bind_one(&job->binds[i], job->mounts);
        if (job->err)
            snprintf(job->message, sizeof job->message, "failed to prepare subPath \"%.200s\": %s", job->binds[i].path,
                     job->err == -EXDEV ? "it leads out of the volume" : strerror(-job->err));
    }
}

void binds_run(struct loop *l, struct binds_job *job)
{
    job->work.run = run;
    loop_work_queue(l, LOOP_LANE_MISC, &job->work);
}

int subpaths_release(const char *dir, char *message, size_t n)
{
    DIR *d = opendir(dir);
    int err = 0;
    if (!d)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *e; (e = readdir(d));) {
        char target[2 * VOLUME_PATH_MAX];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            snprintf(target, sizeof target, "%s/%s", dir, e->d_name) >= (int)sizeof target)
            continue;
        unmount_all(target);
        if (rmdir(target) && (errno != ENOTDIR || unlink(target)))
            err = err ? err : -errno;
    }
    closedir(d);
    if (!err && rmdir(dir) && errno != ENOENT)
        err = -errno;
    if (err)
        snprintf(message, n, "cannot release %s: %s", dir, strerror(-err));
    return err;
}

/* Making and deleting directory trees. Deleting follows no link and does not leave the file system it began on, so that
 * nothing mounted below a volume is lost; what is mounted as a volume is unmounted first. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/volumes/volumes_impl.h"

int tree_make(const char *path, unsigned mode)
{
    char part[2 * VOLUME_PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= n; i++) {
        struct stat st;
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) == 0)
            continue;
        if (errno != EEXIST)
            return -errno;
        if (stat(part, &st) || !S_ISDIR(st.st_mode))
            return -ENOTDIR;
    }
    return 0;
}

static int remove_below(int parent, const char *name, dev_t device, unsigned depth)
{
    struct stat st;
    int err = 0;
    int fd = depth ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        return depth ? -errno : -ELOOP;
    DIR *d = !fstat(fd, &st) && st.st_dev == device ? fdopendir(fd) : NULL;
    if (!d) {
        close(fd);
        return -EBUSY;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !unlinkat(dirfd(d), e->d_name, 0))
            continue;
        int one = errno == EISDIR || errno == EPERM ? remove_below(dirfd(d), e->d_name, device, depth - 1) : -errno;
        if (!one && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR))
            one = -errno;
        err = err ? err : one;
    }
    closedir(d);
    return err;
}

/* Each volume may be a mount of its own, even several on top of each other. */
static void unmount_volumes(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char below[2 * VOLUME_PATH_MAX];
        struct stat self, parent;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || fstat(dirfd(d), &parent) ||
            snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= (int)sizeof below)
            continue;
        for (unsigned i = 0; i < 8 && !lstat(below, &self) && S_ISDIR(self.st_mode) && self.st_dev != parent.st_dev;
             i++)
            if (umount2(below, MNT_DETACH | UMOUNT_NOFOLLOW))
                break;
    }
    if (d)
        closedir(d);
}

int tree_remove(const char *path, char *message, size_t n)
{
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT ? 0 : -errno;
    unmount_volumes(path);
    int err = remove_below(AT_FDCWD, path, st.st_dev, VOLUME_DEPTH_MAX);
    if (!err && rmdir(path) && errno != ENOENT)
        err = -errno;
    if (err)
        snprintf(message, n, "cannot delete %s: %s", path, strerror(-err));
    return err;
}

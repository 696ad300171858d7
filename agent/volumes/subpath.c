/* Directories that volumeMounts name by subPath. A pod can put links into its own volumes, so the walk follows none: each
 * step opens one name in the directory before, and a link ends it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/volumes/volumes_impl.h"

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

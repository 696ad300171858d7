/* Plans: made on the loop's thread, carried out on the pool. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/volumes/volumes_impl.h"

/* ---- making ---- */

int plan_fail(struct volume_plan *p, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->message, sizeof p->message, fmt, ap);
    va_end(ap);
    p->err = err;
    return err;
}

struct volume_item *plan_item(struct volume_plan *p, enum volume_action action, struct slice name, const char *path)
{
    struct volume_item *i = arena_new(&p->arena, struct volume_item);
    if (!i)
        return NULL;
    i->action = action;
    i->name = arena_copy(&p->arena, name).p;
    i->path = path;
    *p->items_end = i;
    p->items_end = &i->next;
    return i;
}

static bool is_inside(struct slice path)
{
    if (!path.n || path.p[0] == '/' || path.n >= VOLUME_PATH_MAX || slice_starts(path, SLICE("..")) ||
        memchr(path.p, '\0', path.n))
        return false;
    while (path.n) {
        struct slice part;
        slice_cut(path, '/', &part, &path);
        if (slice_eq_str(part, "..") || slice_eq_str(part, ".") || !part.n || part.n > 255)
            return false;
    }
    return true;
}

int plan_file(struct volume_plan *p, struct volume_item *i, struct slice path, struct slice data, unsigned mode)
{
    struct volume_file *f = i ? i->files : NULL;
    if (!is_inside(path))
        return plan_fail(p, -EINVAL, "invalid path \"%" SLICE_FMT "\" in volume", SLICE_ARG(path));
    while (f && !slice_eq_str(path, f->path))
        f = f->next;
    if (!f) {
        f = arena_new(&p->arena, struct volume_file);
        if (!i || !f || i->n_files == VOLUME_FILES_MAX)
            return plan_fail(p, -E2BIG, "volume has too much content");
        i->n_files++;
        f->next = i->files;
        i->files = f;
    }
    f->path = arena_copy(&p->arena, path).p;
    f->data = arena_copy(&p->arena, data);
    f->mode = mode & 0777;
    if (p->fs_group >= 0)
        f->mode |= 0440;
    return arena_error(&p->arena) ? plan_fail(p, -E2BIG, "volume has too much content") : 0;
}

/* ---- running ---- */

static bool is_mounted(const char *path)
{
    char up[VOLUME_PATH_MAX + 8];
    struct stat self, parent;
    snprintf(up, sizeof up, "%s/..", path);
    return !stat(path, &self) && !stat(up, &parent) && self.st_dev != parent.st_dev;
}

static int mount_tmpfs(const char *path, int64_t size)
{
    char options[64] = "mode=0777";
    if (is_mounted(path))
        return 0;
    if (size > 0)
        snprintf(options, sizeof options, "mode=0777,size=%ld", size);
    return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) ? -errno : 0;
}

/* The directory of an emptyDir; what is in it stays. */
static int make_empty(const struct volume_plan *p, const struct volume_item *i)
{
    struct stat st;
    bool there = !stat(i->path, &st);
    int err = tree_make(i->path, 0755);
    if (!err && i->action == VOLUME_MEMORY && !is_mounted(i->path)) {
        there = false;
        err = mount_tmpfs(i->path, i->size);
    }
    if (err || there)
        return err;
    if (p->fs_group >= 0 && chown(i->path, (uid_t)-1, (gid_t)p->fs_group))
        return -errno;
    return chmod(i->path, p->fs_group >= 0 ? 02777 : 0777) ? -errno : 0;
}

static int make_files(const struct volume_plan *p, const struct volume_item *i)
{
    int err = tree_make(i->path, 0755);
    if (err)
        return err;
    if (p->mounts)
        (void)mount_tmpfs(i->path, 0); /* where it is not allowed, a plain directory serves */
    if (p->fs_group >= 0 && chown(i->path, (uid_t)-1, (gid_t)p->fs_group))
        return -errno;
    if (chmod(i->path, p->fs_group >= 0 ? 02775 : 0755))
        return -errno;
    return writer_update(i->path, i->files, p->fs_group, p->stamp);
}

static int make_host(struct volume_plan *p, const struct volume_item *i)
{
    static const struct {
        const char *type, *what;
        mode_t format;
    } rows[] = {{"DirectoryOrCreate", "a directory", S_IFDIR}, {"Directory", "a directory", S_IFDIR},
                {"FileOrCreate", "a file", S_IFREG},           {"File", "a file", S_IFREG},
                {"Socket", "a socket file", S_IFSOCK},         {"CharDevice", "a character device", S_IFCHR},
                {"BlockDevice", "a block device", S_IFBLK}};
    struct stat st;
    if (!strcmp(i->host_type, "DirectoryOrCreate") && stat(i->path, &st))
        tree_make(i->path, 0755);
    if (!strcmp(i->host_type, "FileOrCreate") && stat(i->path, &st)) {
        int fd = open(i->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0)
            close(fd);
    }
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        if (!strcmp(rows[r].type, i->host_type) && (stat(i->path, &st) || (st.st_mode & S_IFMT) != rows[r].format))
            return plan_fail(p, -ENOENT,
                             "MountVolume.SetUp failed for volume \"%s\" : hostPath type check failed: %s is not %s",
                             i->name, i->path, rows[r].what);
    return 0;
}

static int make_item(struct volume_plan *p, const struct volume_item *i)
{
    switch (i->action) {
    case VOLUME_HOST:
        return make_host(p, i);
    case VOLUME_FILES:
        return make_files(p, i);
    default:
        return make_empty(p, i);
    }
}

void plan_run(struct volume_plan *p)
{
    int err = tree_make(p->dir, 0755);
    if (err)
        plan_fail(p, err, "cannot make %s: %s", p->dir, strerror(-err));
    for (const struct volume_item *i = p->items; i && !p->err; i = i->next) {
        err = make_item(p, i);
        if (err && !p->err)
            plan_fail(p, err, "MountVolume.SetUp failed for volume \"%s\" : %s", i->name, strerror(-err));
    }
}

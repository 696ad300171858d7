#include "jepsen/damage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { FILES_MAX = 64, NAME_LIMIT = 64, TAIL = 4096 };

struct target {
    int dir, fd;
    char names[FILES_MAX][NAME_LIMIT];
    size_t n;
    uint64_t seed;
    char *bytes; /* of the file */
    size_t size, used;
};

/* splitmix64 */
static uint64_t pick(struct target *t, uint64_t bound)
{
    uint64_t z = t->seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % bound;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Log segments and snapshots; with all, what else has promises in it too. server.json only says who it is. */
static void find_files(struct target *t, const char *dir, int all)
{
    static const char *const prefixes[] = {"wal-", "snapshot-", "meta", "mark", "peers"};
    DIR *d = opendir(dir);
    t->n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        for (size_t i = 0; i < (all ? 5u : 2u) && t->n < FILES_MAX; i++) {
            if (strncmp(e->d_name, prefixes[i], strlen(prefixes[i])) != 0 || strlen(e->d_name) >= NAME_LIMIT)
                continue;
            memcpy(t->names[t->n++], e->d_name, strlen(e->d_name) + 1);
            break;
        }
    }
    if (d)
        closedir(d);
    qsort(t->names, t->n, NAME_LIMIT, by_name);
}

static int open_file(struct target *t, const char *name)
{
    struct stat st;
    t->fd = openat(t->dir, name, O_RDWR | O_CLOEXEC);
    if (t->fd < 0 || fstat(t->fd, &st) || st.st_size == 0)
        return -EIO;
    t->size = (size_t)st.st_size;
    t->bytes = mem_alloc(t->size);
    if (pread(t->fd, t->bytes, t->size, 0) != (ssize_t)t->size)
        return -EIO;
    for (t->used = t->size; t->used > 1 && !t->bytes[t->used - 1];)
        t->used--; /* segments are zeroed in advance */
    return 0;
}

static void close_file(struct target *t)
{
    if (t->fd >= 0)
        close(t->fd);
    mem_free(t->bytes);
    t->bytes = NULL;
    t->fd = -1;
}

/* Half of the time near the end, where what is newest stands. */
static size_t some_place(struct target *t)
{
    size_t tail = t->used < TAIL ? t->used : TAIL;
    return pick(t, 2) ? t->used - 1 - pick(t, tail) : pick(t, t->used);
}

static int corrupt(struct target *t)
{
    const char *name = t->names[pick(t, t->n)];
    int err = open_file(t, name);
    for (uint64_t left = err ? 0 : 1 + pick(t, 3); left; left--) {
        size_t at = some_place(t);
        t->bytes[at] ^= (char)(1 << pick(t, 8));
        if (pwrite(t->fd, &t->bytes[at], 1, (off_t)at) != 1)
            err = -EIO;
        printf("%s byte %zu of %zu; ", name, at, t->used);
    }
    return err;
}

/* The last of that kind in the order of names is the newest. */
static const char *newest(const struct target *t, const char *prefix)
{
    const char *name = NULL;
    for (size_t i = 0; i < t->n; i++)
        if (!strncmp(t->names[i], prefix, strlen(prefix)))
            name = t->names[i];
    return name;
}

static int cut_off(struct target *t)
{
    if (pick(t, 6) == 0) {
        const char *lost = t->names[pick(t, t->n)];
        printf("%s is gone", lost);
        return unlinkat(t->dir, lost, 0) ? -errno : 0;
    }
    const char *name = newest(t, pick(t, 4) ? "wal-" : "snapshot-");
    name = name ? name : t->names[0];
    int err = open_file(t, name);
    size_t at = err ? 0 : some_place(t);
    printf("%s cut at %zu of %zu", name, at, t->used);
    return err || !ftruncate(t->fd, (off_t)at) ? err : -errno;
}

int damage(const char *how, const char *dir, uint64_t seed)
{
    struct target *t = mem_new(struct target);
    bool corrupts = !strcmp(how, "corrupt");
    t->seed = seed;
    t->fd = -1;
    t->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    find_files(t, dir, corrupts);
    int err = t->dir < 0 || !t->n ? -ENOENT : corrupts ? corrupt(t) : cut_off(t);
    printf("\n");
    close_file(t);
    if (t->dir >= 0)
        close(t->dir);
    mem_free(t);
    return err;
}

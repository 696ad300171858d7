/* Four of five syncs of the log do nothing: the disk of a machine that dies may lose what was acknowledged. (With no
 * sync at all, replicas find their directories damaged and refuse them before anybody is told anything wrong.) */
#include "broken.h"

#include "loop/loop.h"

int __wrap_fs_open(struct fs *fs, const char *path, unsigned flags, struct file **ret);
int __real_fs_open(struct fs *fs, const char *path, unsigned flags, struct file **ret);
int __wrap_file_sync(struct file *f);
int __real_file_sync(struct file *f);

enum { LOGS = 64 };

/* The test's own, in one thread: which files are segments of a log, newest last, and how often they were synced. */
static struct {
    struct file *at[LOGS];
    unsigned n, calls;
} logs;

int __wrap_fs_open(struct fs *fs, const char *path, unsigned flags, struct file **ret)
{
    int rv = __real_fs_open(fs, path, flags, ret);
    for (unsigned i = 0; !rv && i < LOGS; i++)
        if (logs.at[i] == *ret)
            logs.at[i] = NULL; /* the address of a file that was closed */
    if (!rv && strstr(path, "/wal-"))
        logs.at[logs.n++ % LOGS] = *ret;
    return rv;
}

int __wrap_file_sync(struct file *f)
{
    for (unsigned i = 0; i < LOGS; i++)
        if (logs.at[i] == f && ++logs.calls % 5)
            return 0;
    return __real_file_sync(f);
}

static const char *const anomalies[] = {"lost", "stale", NULL};
const struct broken_build broken_build = {.what = "fsync off",
                                          .workload = "set",
                                          .faults = "crash",
                                          .anomalies = anomalies,
                                          .seeds = 120,
                                          .ordered_disks = true};

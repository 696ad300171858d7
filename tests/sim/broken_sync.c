/* Nothing is synced: the disk of a machine that dies may lose what was acknowledged. */
#include "broken.h"

#include "loop/loop.h"

int __wrap_file_sync(struct file *f);
int __real_file_sync(struct file *f);

int __wrap_file_sync(struct file *f)
{
    static unsigned calls; /* a test's own: the simulator is one thread */
    return ++calls % 5 ? 0 : __real_file_sync(f);
}

static const char *const anomalies[] = {"lost", "stale", NULL};
const struct broken_build broken_build = {.what = "fsync off",
                                          .workload = "set",
                                          .faults = "crash",
                                          .anomalies = anomalies,
                                          .seeds = 120,
                                          .ordered_disks = true};

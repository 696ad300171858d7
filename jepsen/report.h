/* A run as one HTML page that needs nothing else: what was asked and answered over time, which faults when, who led,
 * latencies and throughput, and the verdict. */
#ifndef PINTLE_JEPSEN_REPORT_H
#define PINTLE_JEPSEN_REPORT_H

#include "jepsen/check.h"

struct report_options {
    const char *workload, *faults;
    uint64_t seed;
    size_t nodes; /* 0: as many as the history names */
};

/* 0 or negative errno. */
int report_write(const struct history *h, const struct report_options *o, const struct verdict *v, const char *path);

#endif

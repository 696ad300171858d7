/* Reads without the round that asks a majority; see jepsen/stale_reads.c. */
#include "broken.h"

#include <stddef.h>

static const char *const anomalies[] = {"stale-read", NULL};
const struct broken_build broken_build = {
    .what = "stale reads on", .workload = "register", .faults = "all", .anomalies = anomalies, .seeds = 20};

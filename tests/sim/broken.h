/* A build that is broken on purpose: one function of the product is replaced when the test is linked (ld --wrap), so
 * that the product's own code knows nothing of it. */
#ifndef PINTLE_TESTS_SIM_BROKEN_H
#define PINTLE_TESTS_SIM_BROKEN_H

#include <stdbool.h>
#include <stdint.h>

struct broken_build {
    const char *what;              /* for people */
    const char *workload, *faults; /* workload NULL: jepsen_promotion */
    const char *const *anomalies;  /* one of these must be found; ends with NULL */
    const char *violation;         /* or this, by the world's own checks; may be NULL */
    uint64_t seeds;                /* within so many */
    bool ordered_disks;            /* sim_disk_ordered */
};

extern const struct broken_build broken_build;

#endif

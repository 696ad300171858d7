/* A workload of jepsen/ in the simulated world, disturbed, healed and judged. */
#ifndef PINTLE_TESTS_SIM_JEPSEN_RUN_H
#define PINTLE_TESTS_SIM_JEPSEN_RUN_H

#include "cluster.h"
#include "jepsen/nemesis.h"

struct coverage {
    size_t seeds, operations, unknown, failed, elections, kills, cuts, gave_up, snapshots, changes, replaced,
        faults[FAULT_KINDS];
    size_t few_elections, most_elections; /* of a seed */
};

struct jepsen_run {
    const struct workload *load;
    uint64_t seed;
    uint64_t ms;        /* virtual time under faults */
    unsigned kinds;     /* faults */
    bool tolerate;      /* a broken build: the world's own checks only count */
    bool ordered_disks; /* sim_disk_ordered */
    size_t violations;  /* out: of the world's checks */
    char violation[256];
    struct verdict verdict; /* out */
};

/* Runs one seed, adds to *c. */
void jepsen_run(struct jepsen_run *r, struct coverage *c);
/* A standby is made a voter, and the leader dies for good within milliseconds: the other two are a majority, one of
 * them must lead. Counts violations when tolerate is set. */
void jepsen_promotion(struct jepsen_run *r, struct coverage *c);
void jepsen_print_coverage(const char *what, const struct coverage *c);

#endif

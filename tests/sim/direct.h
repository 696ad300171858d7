/* Transactions over several keys, straight on the simulated replicas, below the API: lists that are appended to and read
 * (judged by check_txn).
 *
 * A client hands its operation to a replica's loop; there a barrier makes the state fresh, the lists are read, and what
 * is appended goes into one transaction that checks every key that was read. A replica that dies takes the operation
 * along: its fate is unknown. */
#ifndef PINTLE_TESTS_SIM_DIRECT_H
#define PINTLE_TESTS_SIM_DIRECT_H

#include "cluster.h"
#include "jepsen/drive.h"

struct direct;

extern const struct workload workload_lists;

/* Records into d, a drive of workload_lists without workers. */
struct direct *direct_new(struct world *w, struct drive *d);
void direct_quiet(struct direct *x);
/* The last look: reads every key there was. */
void direct_finish(struct direct *x);
bool direct_idle(const struct direct *x);
/* After all replicas were killed. */
void direct_free(struct direct *x);

#endif

/* The workloads, and what they share. */
#ifndef PINTLE_JEPSEN_WORKLOAD_H
#define PINTLE_JEPSEN_WORKLOAD_H

#include "jepsen/drive.h"

/* Wants w, the worker. */
#define CONFIGMAPS configmaps_path(w, "")

extern const struct workload workload_register;
extern const struct workload workload_set;
extern const struct workload workload_counter;
extern const struct workload workload_append;
extern const struct workload workload_txn;
extern const struct workload workload_watch;
extern const struct workload workload_pages;
extern const struct workload workload_lease;
extern const struct workload workload_members;
extern const struct workload workload_ttl;
extern const struct workload workload_deploy;

#endif

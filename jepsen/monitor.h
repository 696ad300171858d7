/* Watches who leads: asks every replica for its metrics, some times a second, and notes changes in the history. */
#ifndef PINTLE_JEPSEN_MONITOR_H
#define PINTLE_JEPSEN_MONITOR_H

#include "jepsen/drive.h"

struct monitor;

struct monitor *monitor_new(struct drive *d);
void monitor_free(struct monitor *m);
/* From 0; -1 = nobody says so. */
const int *monitor_leader(const struct monitor *m);
/* Replicas that answered the last time they were asked. */
size_t monitor_answering(const struct monitor *m);

#endif

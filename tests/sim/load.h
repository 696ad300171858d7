/* What clients do to the simulated cluster while it is disturbed, and what they remember for the checks at the end:
 * writers create and update ConfigMaps on any replica, readers check that no read is older than what was acknowledged
 * before it began, watchers follow ConfigMaps raw, on one replica after the other, and a scaler changes the size of a
 * Deployment; Services come and go, many at once, and share few addresses. */
#ifndef PINTLE_TESTS_SIM_LOAD_H
#define PINTLE_TESTS_SIM_LOAD_H

#include "cluster.h"

enum { WRITERS = 4, WRITER_KEYS = 6, WATCHERS = 3, EXPOSERS = 20 };

struct load;

struct load_totals {
    size_t acked, unknown, refused, reads, scaled, events, resumed;
};

/* On w->load. */
struct load *load_new(struct world *w);
void load_free(struct load *l);
/* No new writes; the scaler insists on its last number, watchers go on. */
void load_quiet(struct load *l);
/* All calls are answered and the number of pods wanted has been acknowledged. */
bool load_settled(const struct load *l);
/* Pods the Deployment was asked for. */
int64_t load_pods_wanted(const struct load *l);
/* Whether all watchers have seen everything up to the last write of the history. */
bool load_watchers_are_current(const struct load *l, const struct replica_host *h);
/* Compares what was acknowledged and seen with what the replica's history says. */
void load_check(const struct load *l, const struct replica_host *h);
void load_count(const struct load *l, struct load_totals *t);

#endif

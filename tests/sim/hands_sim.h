/* The nemesis' hands in the simulated world. A member leaves by being made a standby, and comes back as a voter; one that
 * lost its data is removed, joins under a new id, and becomes a voter: each a step of membership, repeated until it is
 * done, whoever leads. That goes on while other faults come and go; a fault of this kind is skipped meanwhile. */
#ifndef PINTLE_TESTS_SIM_HANDS_SIM_H
#define PINTLE_TESTS_SIM_HANDS_SIM_H

#include "cluster.h"
#include "jepsen/nemesis.h"

/* What can be done here, as a set of fault_kind. */
extern const unsigned hands_sim_able;

struct sim_hands;

struct sim_hands *sim_hands_new(struct world *w);
/* The replicas may be gone already. */
void sim_hands_free(struct sim_hands *h);
struct nemesis_hands hands_sim(struct sim_hands *h);
/* The replica that left last, from 0. */
size_t sim_hands_member(const struct sim_hands *h);
/* Nobody is on the way out or back. */
bool sim_hands_idle(const struct sim_hands *h);
/* Replicas that lost their data and joined anew. */
size_t sim_hands_replaced(const struct sim_hands *h);
/* Steps of membership that were committed. */
size_t sim_hands_changes(const struct sim_hands *h);

#endif

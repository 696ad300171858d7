/* The nemesis' hands in the simulated world. */
#ifndef PINTLE_TESTS_SIM_HANDS_SIM_H
#define PINTLE_TESTS_SIM_HANDS_SIM_H

#include "cluster.h"
#include "jepsen/nemesis.h"

/* What can be done here, as a set of fault_kind. */
extern const unsigned hands_sim_able;

struct nemesis_hands hands_sim(struct world *w);

#endif

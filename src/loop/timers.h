/* A binary heap of the loop's timers, ordered by due time, then by order of arming: no allocation a timer, O(log n).
 * Used by the real loop and by each simulated host, so that both fire timers in the same order. */
#ifndef PINTLE_LOOP_TIMERS_H
#define PINTLE_LOOP_TIMERS_H

#include "loop/loop.h"

struct timers {
    struct loop_timer **heap; /* heap[1] is the earliest; heap[0] is unused */
    size_t n, cap;
    uint64_t order; /* armings so far */
};

void timers_done(struct timers *t);
/* Forgets all timers without firing them. */
void timers_clear(struct timers *t);
/* Arms timer for due (nanoseconds), replacing an earlier arming. */
void timers_arm(struct timers *t, struct loop_timer *timer, uint64_t due);
/* Harmless when not armed. */
void timers_disarm(struct timers *t, struct loop_timer *timer);
/* When the earliest is due, UINT64_MAX when none is armed. */
uint64_t timers_next(const struct timers *t);
/* Fires what is due at now and was armed before this call: a timer armed by a callback waits for the next turn. */
void timers_fire(struct timers *t, uint64_t now);

#endif

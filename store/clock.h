/* Cluster time: what commands are stamped with, and times to live and history run by. It is the leader's, never goes
 * back, and goes on at the next leader where the last one left it, whatever that one's wall clock says.
 *
 * Happy path: a replica that follows hears the time of each command (clock_heard) and counts on by its monotonic clock;
 * when
 * it leads it goes on from there (clock_lead), and draws slowly towards its own wall clock (clock_slew), so that a
 * clock
 * that is set a little is followed, and one that jumps by a day makes an hour a minute longer or shorter at most.
 * Failures: a replica that starts to lead without having heard of the time since its own start, as the first of a
 * cluster that was down as a whole, has nothing but its wall clock to begin with.
 * Ownership: a plain struct in its replica. Thread: the state loop's. Times are nanoseconds: `now` monotonic, `wall`
 * since
 * 1970. */
#ifndef PINTLE_STORE_CLOCK_H
#define PINTLE_STORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CLOCK_SLEW = 60,      /* one part in so many of the time that passes */
    CLOCK_SLACK_MS = 250, /* by which a follower may differ from what it hears, as messages take their time */
};

struct cluster_clock {
    uint64_t time;  /* cluster time … */
    uint64_t since; /* … at this moment */
    bool known;     /* heard, or led since it was opened; else the wall clock has to do */
};

/* Cluster time in nanoseconds. */
uint64_t clock_time(const struct cluster_clock *c, uint64_t now, uint64_t wall);
/* A command of the present leader has this time. What was made long ago and only now arrives must not be told. */
void clock_heard(struct cluster_clock *c, uint64_t time, uint64_t now);
/* This replica leads from now on; the state's time is not gone below. */
void clock_lead(struct cluster_clock *c, uint64_t state_time, uint64_t now, uint64_t wall);
/* Draws towards the wall clock; on the leader, now and then. */
void clock_slew(struct cluster_clock *c, uint64_t now, uint64_t wall);

#endif

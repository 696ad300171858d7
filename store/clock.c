#include "store/clock.h"

static const uint64_t slack = (uint64_t)CLOCK_SLACK_MS * 1000000;

uint64_t clock_time(const struct cluster_clock *c, uint64_t now, uint64_t wall)
{
    return c->known ? c->time + (now - c->since) : wall;
}

static void set(struct cluster_clock *c, uint64_t time, uint64_t now)
{
    *c = (struct cluster_clock){.time = time, .since = now, .known = true};
}

void clock_heard(struct cluster_clock *c, uint64_t time, uint64_t now)
{
    uint64_t ours = clock_time(c, now, 0);
    bool agrees = time <= ours + slack && ours <= time + slack;
    if (!c->known || !agrees)
        set(c, time, now);
}

void clock_lead(struct cluster_clock *c, uint64_t state_time, uint64_t now, uint64_t wall)
{
    uint64_t ours = clock_time(c, now, wall);
    set(c, ours > state_time ? ours : state_time, now);
}

void clock_slew(struct cluster_clock *c, uint64_t now, uint64_t wall)
{
    uint64_t ours = clock_time(c, now, wall), most = (now - c->since) / CLOCK_SLEW;
    if (wall > ours)
        ours += wall - ours < most ? wall - ours : most;
    else
        ours -= ours - wall < most ? ours - wall : most;
    set(c, ours, now);
}

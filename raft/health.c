#include "raft/health.h"

#include "base/timefmt.h"

enum { RECENT_WEIGHT = 8 };

void health_note_sync(struct health *h, uint64_t ns, bool overtaken)
{
    uint64_t recent = h->recent_ns;
    h->recent_ns = ns > recent ? recent + (ns - recent) / RECENT_WEIGHT : recent - (recent - ns) / RECENT_WEIGHT;
    h->behind = overtaken ? h->behind + 1 : 0;
}

enum health_trouble health_judge(const struct health *h, const struct health_signs *s)
{
    if (s->full)
        return HEALTH_FULL;
    if (s->busy_ns > s->stall_ns && s->overtaken)
        return HEALTH_STALLED;
    bool slow = h->behind >= HEALTH_BEHIND && h->recent_ns > HEALTH_SLOW_MS * (uint64_t)NS_PER_MS;
    return slow ? HEALTH_SLOW : HEALTH_FINE;
}

bool health_may_hand_over(struct health *h, uint64_t now)
{
    if (h->last && now - h->last > HEALTH_FORGIVE_MS * (uint64_t)NS_PER_MS)
        h->hold = 0;
    uint64_t hold = h->hold ? h->hold : HEALTH_HOLD_MS * (uint64_t)NS_PER_MS;
    return h->lead_since && now - h->lead_since >= HEALTH_HOLD_MS * (uint64_t)NS_PER_MS &&
           (!h->last || now - h->last >= hold);
}

void health_handed_over(struct health *h, uint64_t now)
{
    uint64_t most = HEALTH_HOLD_MAX_MS * (uint64_t)NS_PER_MS, hold = HEALTH_HOLD_MS * (uint64_t)NS_PER_MS;
    h->hold = h->hold ? h->hold * 2 : hold * 2;
    if (h->hold > most)
        h->hold = most;
    h->last = now;
    h->n_handovers++;
}

const char *health_name(enum health_trouble t)
{
    static const char *const names[] = {"fine", "stalled", "slow", "full"};
    return names[t];
}

#include "net/h2_guard.h"

#include <errno.h>

#include "base/timefmt.h"

enum { FRAME_HEAD = 9, FLAG_ACK = 1, FLAG_END_STREAM = 1 };
enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4, PING = 6, CONTINUATION = 9 };

static const struct {
    const char *name;
    uint32_t burst, per_second;
} limits[H2_GUARD_KINDS] = {
    [H2_GUARD_RESET] = {"rapid-reset", H2_RESETS, H2_RESETS_PER_SECOND},
    [H2_GUARD_CONTROL] = {"control-flood", H2_CONTROLS, H2_CONTROLS_PER_SECOND},
    [H2_GUARD_PRIORITY] = {"priority-flood", H2_PRIORITIES, H2_PRIORITIES_PER_SECOND},
    [H2_GUARD_EMPTY] = {"empty-data-flood", H2_EMPTIES, H2_EMPTIES_PER_SECOND},
};

void h2_guard_init(struct h2_guard *g, uint32_t preface, uint64_t now)
{
    *g = (struct h2_guard){.skip = preface};
    for (unsigned i = 0; i < H2_GUARD_KINDS; i++) {
        g->buckets[i].tokens = limits[i].burst;
        g->buckets[i].filled_at = now;
    }
}

static int take(struct h2_guard *g, enum h2_guarded kind, uint64_t now, const char **ret_why)
{
    uint64_t elapsed = now - g->buckets[kind].filled_at;
    uint64_t full_after = (uint64_t)limits[kind].burst * NS_PER_SEC / limits[kind].per_second;
    uint64_t gain = (elapsed < full_after ? elapsed : full_after) * limits[kind].per_second / NS_PER_SEC;
    if (gain > 0) {
        uint64_t tokens = g->buckets[kind].tokens + gain;
        g->buckets[kind].tokens = tokens < limits[kind].burst ? (uint32_t)tokens : limits[kind].burst;
        g->buckets[kind].filled_at = now;
    }
    if (g->buckets[kind].tokens == 0) {
        *ret_why = limits[kind].name;
        return -EPROTO;
    }
    g->buckets[kind].tokens--;
    return 0;
}

static int count_continuation(struct h2_guard *g, const char **ret_why)
{
    if (++g->continuations <= H2_CONTINUATIONS_MAX)
        return 0;
    *ret_why = "continuation-flood";
    return -EPROTO;
}

static int count_frame(struct h2_guard *g, uint64_t now, const char **ret_why)
{
    uint32_t length = (uint32_t)g->head[0] << 16 | (uint32_t)g->head[1] << 8 | g->head[2];
    unsigned type = g->head[3], flags = g->head[4];
    g->skip = length;
    switch (type) {
    case RST_STREAM:
        return take(g, H2_GUARD_RESET, now, ret_why);
    case SETTINGS:
    case PING:
        return flags & FLAG_ACK ? 0 : take(g, H2_GUARD_CONTROL, now, ret_why);
    case PRIORITY:
        return take(g, H2_GUARD_PRIORITY, now, ret_why);
    case DATA:
        return length == 0 && !(flags & FLAG_END_STREAM) ? take(g, H2_GUARD_EMPTY, now, ret_why) : 0;
    case HEADERS:
        g->continuations = 0;
        return 0;
    case CONTINUATION:
        return count_continuation(g, ret_why);
    default:
        return type > CONTINUATION ? take(g, H2_GUARD_CONTROL, now, ret_why) : 0;
    }
}

int h2_guard_feed(struct h2_guard *g, const char *p, size_t n, uint64_t now, const char **ret_why)
{
    while (n > 0) {
        if (g->skip > 0) {
            size_t step = g->skip < n ? g->skip : n;
            g->skip -= (uint32_t)step;
            p += step;
            n -= step;
            continue;
        }
        g->head[g->head_n++] = (unsigned char)*p++;
        n--;
        if (g->head_n < FRAME_HEAD)
            continue;
        g->head_n = 0;
        int rv = count_frame(g, now, ret_why);
        if (rv)
            return rv;
    }
    return 0;
}

int h2_guard_reset(struct h2_guard *g, uint64_t now, const char **ret_why)
{
    return take(g, H2_GUARD_RESET, now, ret_why);
}

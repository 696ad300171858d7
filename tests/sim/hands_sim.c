#include "hands_sim.h"

#include <errno.h>

const unsigned hands_sim_able = 1u << FAULT_KILL | 1u << FAULT_CRASH | 1u << FAULT_PAUSE | 1u << FAULT_CUT |
                                1u << FAULT_CUT_OUT | 1u << FAULT_CUT_IN | 1u << FAULT_CUT_RING | 1u << FAULT_HIDE |
                                1u << FAULT_SLOW | 1u << FAULT_RESTART | 1u << FAULT_FULL | 1u << FAULT_SLOW_DISK |
                                1u << FAULT_EIO | 1u << FAULT_CLOCK;

static int leader(void *ctx)
{
    return world_leader(ctx);
}

/* Cuts or heals between the nodes of a fault and the others. */
static void cut(struct world *w, const struct fault *f, bool on)
{
    for (size_t i = 0; i < REPLICAS; i++) {
        for (size_t j = 0; j < REPLICAS; j++) {
            bool inside = f->nodes >> i & 1, other = f->nodes >> j & 1;
            struct loop *from = w->replicas[i].loop, *to = w->replicas[j].loop;
            if (i == j)
                continue;
            if (f->kind == FAULT_CUT_RING ? j == (i + 1) % REPLICAS : inside != other) {
                if (inside || f->kind != FAULT_CUT_OUT)
                    if (!inside || f->kind != FAULT_CUT_IN)
                        sim_cut(w->sim, from, to, on);
            }
        }
        if (f->kind == FAULT_HIDE && f->nodes >> i & 1) {
            sim_cut(w->sim, w->replicas[i].loop, w->load, on);
            sim_cut(w->sim, w->load, w->replicas[i].loop, on);
        }
    }
    w->cuts += on;
}

static void slow_links(struct world *w, size_t i, const struct fault *f, bool on)
{
    struct loop *mine = w->replicas[i].loop;
    uint64_t min = on ? (uint64_t)f->param * 100 : 100, max = on ? (uint64_t)f->param * 1000 : 500;
    for (size_t j = 0; j < REPLICAS; j++) {
        if (i == j)
            continue;
        sim_latency(w->sim, mine, w->replicas[j].loop, min, max);
        sim_latency(w->sim, w->replicas[j].loop, mine, min, max);
    }
}

static void begin_one(struct world *w, size_t i, const struct fault *f)
{
    struct loop *host = w->replicas[i].loop;
    switch (f->kind) {
    case FAULT_KILL:
    case FAULT_CRASH:
        world_kill(w, i, f->kind == FAULT_CRASH);
        break;
    case FAULT_RESTART:
        world_kill(w, i, false);
        world_start(w, i);
        break;
    case FAULT_PAUSE:
        sim_pause(w->sim, host, 50 + (uint64_t)f->param * 3);
        break;
    case FAULT_SLOW:
        slow_links(w, i, f, true);
        break;
    case FAULT_FULL:
        sim_disk_limit(w->sim, host, 1);
        break;
    case FAULT_SLOW_DISK:
        sim_disk(w->sim, host, 1000, (uint64_t)f->param * 1000);
        break;
    case FAULT_EIO:
        sim_disk_fail(w->sim, host, 1 + (uint64_t)f->param % 40, -EIO);
        break;
    case FAULT_CLOCK:
        sim_wall_jump(w->sim, host, (int64_t)f->param * 1000000000);
        break;
    default:
        break;
    }
}

static void end_one(struct world *w, size_t i, const struct fault *f)
{
    struct loop *host = w->replicas[i].loop;
    switch (f->kind) {
    case FAULT_KILL:
    case FAULT_CRASH:
    case FAULT_EIO:
        sim_disk_fail(w->sim, host, 0, 0);
        break;
    case FAULT_SLOW:
        slow_links(w, i, f, false);
        break;
    case FAULT_FULL:
        sim_disk_limit(w->sim, host, 0);
        break;
    case FAULT_SLOW_DISK:
        sim_disk(w->sim, host, 100, 1000);
        break;
    case FAULT_CLOCK:
        sim_wall_jump(w->sim, host, -(int64_t)f->param * 1000000000);
        break;
    default:
        break;
    }
    world_start(w, i);
}

static void begin(void *ctx, const struct fault *f, nemesis_done_fn *done, void *arg)
{
    struct world *w = ctx;
    for (size_t i = 0; i < REPLICAS; i++)
        if (f->nodes >> i & 1)
            begin_one(w, i, f);
    if (f->kind >= FAULT_CUT && f->kind <= FAULT_HIDE)
        cut(w, f, true);
    done(arg);
}

static void end(void *ctx, const struct fault *f, nemesis_done_fn *done, void *arg)
{
    struct world *w = ctx;
    if (f->kind >= FAULT_CUT && f->kind <= FAULT_HIDE)
        cut(w, f, false);
    for (size_t i = 0; i < REPLICAS; i++)
        if (f->nodes >> i & 1)
            end_one(w, i, f);
    done(arg);
}

struct nemesis_hands hands_sim(struct world *w)
{
    return (struct nemesis_hands){.ctx = w, .leader = leader, .begin = begin, .end = end};
}

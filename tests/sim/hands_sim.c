#include "hands_sim.h"

#include <errno.h>

#include "base/mem.h"

const unsigned hands_sim_able = 1u << FAULT_KILL | 1u << FAULT_CRASH | 1u << FAULT_PAUSE | 1u << FAULT_CUT |
                                1u << FAULT_CUT_OUT | 1u << FAULT_CUT_IN | 1u << FAULT_CUT_RING | 1u << FAULT_HIDE |
                                1u << FAULT_SLOW | 1u << FAULT_RESTART | 1u << FAULT_FULL | 1u << FAULT_SLOW_DISK |
                                1u << FAULT_EIO | 1u << FAULT_CLOCK | 1u << FAULT_MEMBER;

enum { STEP_AGAIN_MS = 60, LEAVE_TRIES = 40 };

struct sim_hands {
    struct world *w;
    struct raft_proposal step;
    struct loop_timer again;
    bool pending;
    enum raft_member_role role; /* wanted of it */
    uint64_t id;                /* who leaves, and comes back */
    unsigned tries;
    size_t changes;
    nemesis_done_fn *done;
    void *arg;
};

static int leader(void *ctx)
{
    return world_leader(((struct sim_hands *)ctx)->w);
}

/* ---- membership ---- */

static void on_step(struct raft_proposal *p, int err)
{
    struct sim_hands *h = container_of(p, struct sim_hands, step);
    h->pending = false;
    h->changes += !err;
    if (!loop_is_dead(h->w->load))
        loop_timer_start(h->w->load, &h->again, err ? STEP_AGAIN_MS : 1);
}

static enum raft_member_role role_of(struct raft_node *n, uint64_t id)
{
    struct raft_status st;
    raft_node_status(n, &st);
    for (size_t i = 0; i < st.n_members; i++)
        if (st.members[i].member.id == id)
            return st.members[i].member.role;
    return MEMBER_SPARE;
}

static void on_again(struct loop_timer *t)
{
    struct sim_hands *h = container_of(t, struct sim_hands, again);
    struct world *w = h->w;
    int i = world_leader(w);
    if (h->pending)
        return;
    struct raft_node *n = i < 0 ? NULL : replica_raft(w->replicas[i].replica);
    bool settled = n && role_of(n, h->id) == h->role;
    if (settled || (h->role != MEMBER_VOTER && ++h->tries > LEAVE_TRIES)) {
        h->done(h->arg);
        return;
    }
    loop_timer_start(w->load, &h->again, STEP_AGAIN_MS);
    if (!n || (h->role != MEMBER_VOTER && h->id == (uint64_t)i + 1))
        return; /* a leader does not demote itself */
    h->pending = true;
    h->step = (struct raft_proposal){.done = on_step};
    raft_node_change(n, &(struct raft_change_request){RAFT_CHANGE_ROLE, {.id = h->id, .role = h->role}}, &h->step);
}

static void step_begin(struct sim_hands *h, enum raft_member_role role, nemesis_done_fn *done, void *arg)
{
    h->role = role;
    h->done = done;
    h->arg = arg;
    h->tries = 0;
    h->again.cb = on_again;
    loop_timer_start(h->w->load, &h->again, 1);
}

static void member_leaves(struct sim_hands *h, const struct fault *f, nemesis_done_fn *done, void *arg)
{
    int now = world_leader(h->w);
    h->id = 1;
    while (h->id < REPLICAS && !(f->nodes >> (h->id - 1) & 1))
        h->id++;
    if ((int)h->id == now + 1)
        h->id = h->id % REPLICAS + 1;
    step_begin(h, MEMBER_STANDBY, done, arg);
}

/* ---- the rest ---- */

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
    struct sim_hands *h = ctx;
    struct world *w = h->w;
    if (f->kind == FAULT_MEMBER) {
        member_leaves(h, f, done, arg);
        return;
    }
    for (size_t i = 0; i < REPLICAS; i++)
        if (f->nodes >> i & 1)
            begin_one(w, i, f);
    if (f->kind >= FAULT_CUT && f->kind <= FAULT_HIDE)
        cut(w, f, true);
    done(arg);
}

static void end(void *ctx, const struct fault *f, nemesis_done_fn *done, void *arg)
{
    struct sim_hands *h = ctx;
    struct world *w = h->w;
    if (f->kind == FAULT_MEMBER) {
        step_begin(h, MEMBER_VOTER, done, arg);
        return;
    }
    if (f->kind >= FAULT_CUT && f->kind <= FAULT_HIDE)
        cut(w, f, false);
    for (size_t i = 0; i < REPLICAS; i++)
        if (f->nodes >> i & 1)
            end_one(w, i, f);
    done(arg);
}

struct sim_hands *sim_hands_new(struct world *w)
{
    struct sim_hands *h = mem_new(struct sim_hands);
    h->w = w;
    return h;
}

void sim_hands_free(struct sim_hands *h)
{
    loop_timer_stop(h->w->load, &h->again);
    mem_free(h);
}

struct nemesis_hands hands_sim(struct sim_hands *h)
{
    return (struct nemesis_hands){.ctx = h, .leader = leader, .begin = begin, .end = end};
}

size_t sim_hands_changes(const struct sim_hands *h)
{
    return h->changes;
}

size_t sim_hands_member(const struct sim_hands *h)
{
    return (size_t)h->id - 1;
}

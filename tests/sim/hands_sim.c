#include "hands_sim.h"

#include <errno.h>

#include "base/mem.h"

const unsigned hands_sim_able = 1u << FAULT_KILL | 1u << FAULT_CRASH | 1u << FAULT_PAUSE | 1u << FAULT_CUT |
                                1u << FAULT_CUT_OUT | 1u << FAULT_CUT_IN | 1u << FAULT_CUT_RING | 1u << FAULT_HIDE |
                                1u << FAULT_SLOW | 1u << FAULT_RESTART | 1u << FAULT_FULL | 1u << FAULT_SLOW_DISK |
                                1u << FAULT_EIO | 1u << FAULT_CLOCK | 1u << FAULT_MEMBER | 1u << FAULT_WIPE;

enum { STEP_AGAIN_MS = 60, LEAVE_TRIES = 40 };

struct sim_hands {
    struct world *w;
    struct raft_proposal step;
    struct loop_timer again;
    bool pending;
    enum stage { IDLE, LEAVING, REMOVING, ADDING, COMING } stage;
    bool skipped;  /* the present fault came while another member was still coming back */
    size_t member; /* index of who leaves, and comes back */
    uint64_t lost; /* id of the one to be removed */
    unsigned tries;
    size_t changes, replaced;
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

/* What the leader says; MEMBER_NONE: it is none. */
enum { MEMBER_NONE = MEMBER_SPARE + 1 };
static unsigned role_of(struct raft_node *n, uint64_t id)
{
    struct raft_status st;
    raft_node_status(n, &st);
    for (size_t i = 0; i < st.n_members; i++)
        if (st.members[i].member.id == id)
            return st.members[i].member.role;
    return MEMBER_NONE;
}

static void change(struct sim_hands *h, struct raft_node *n, enum raft_change_kind kind, struct raft_member member)
{
    h->pending = true;
    h->step = (struct raft_proposal){.done = on_step};
    raft_node_change(n, &(struct raft_change_request){kind, member}, &h->step);
}

static uint64_t member_id(const struct sim_hands *h)
{
    return h->w->replicas[h->member].id;
}

/* One step towards what is wanted, on the leader; true when there is nothing left to do at this stage. */
static bool leaves(struct sim_hands *h, struct raft_node *n, size_t leads)
{
    if (role_of(n, member_id(h)) == MEMBER_STANDBY || ++h->tries > LEAVE_TRIES)
        return true;
    if (leads != h->member) /* a leader does not demote itself */
        change(h, n, RAFT_CHANGE_ROLE, (struct raft_member){.id = member_id(h), .role = MEMBER_STANDBY});
    return false;
}

static bool is_removed(struct sim_hands *h, struct raft_node *n)
{
    if (role_of(n, h->lost) == MEMBER_NONE)
        return true;
    change(h, n, RAFT_CHANGE_REMOVE, (struct raft_member){.id = h->lost});
    return false;
}

static bool is_added(struct sim_hands *h, struct raft_node *n)
{
    if (role_of(n, member_id(h)) != MEMBER_NONE)
        return true;
    struct raft_member m = h->w->members[h->member];
    m.role = MEMBER_SPARE;
    change(h, n, RAFT_CHANGE_ADD, m);
    return false;
}

static bool is_back(struct sim_hands *h, struct raft_node *n)
{
    unsigned role = role_of(n, member_id(h));
    if (role == MEMBER_VOTER)
        return true;
    enum raft_member_role next = role == MEMBER_SPARE ? MEMBER_STANDBY : MEMBER_VOTER;
    change(h, n, RAFT_CHANGE_ROLE, (struct raft_member){.id = member_id(h), .role = next});
    return false;
}

static void next_stage(struct sim_hands *h)
{
    switch (h->stage) {
    case REMOVING:
        world_new_id(h->w, h->member);
        h->stage = ADDING;
        break;
    case ADDING:
        world_join(h->w, h->member);
        h->replaced++;
        h->stage = COMING;
        break;
    default:
        h->stage = IDLE;
    }
}

static void on_again(struct loop_timer *t)
{
    static bool (*const steps[])(struct sim_hands * h, struct raft_node * n) = {
        [REMOVING] = is_removed, [ADDING] = is_added, [COMING] = is_back};
    struct sim_hands *h = container_of(t, struct sim_hands, again);
    struct world *w = h->w;
    int i = world_leader(w);
    if (h->pending || h->stage == IDLE)
        return;
    loop_timer_start(w->load, &h->again, STEP_AGAIN_MS);
    if (i < 0)
        return;
    struct raft_node *n = replica_raft(w->replicas[i].replica);
    if (h->stage == LEAVING ? leaves(h, n, (size_t)i) : steps[h->stage](h, n))
        next_stage(h);
}

static void enter(struct sim_hands *h, enum stage stage)
{
    h->stage = stage;
    h->tries = 0;
    h->again.cb = on_again;
    loop_timer_start(h->w->load, &h->again, 1);
}

static void member_begin(struct sim_hands *h, const struct fault *f)
{
    int now = world_leader(h->w);
    h->skipped = h->stage != IDLE;
    if (h->skipped)
        return;
    h->member = 0;
    while (h->member + 1 < REPLICAS && !(f->nodes >> h->member & 1))
        h->member++;
    if (f->kind == FAULT_WIPE) {
        h->lost = member_id(h);
        world_lose(h->w, h->member);
        return;
    }
    if ((int)h->member == now)
        h->member = (h->member + 1) % REPLICAS;
    enter(h, LEAVING);
}

static void member_end(struct sim_hands *h, const struct fault *f)
{
    if (!h->skipped)
        enter(h, f->kind == FAULT_WIPE ? REMOVING : COMING);
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
    if (f->kind == FAULT_MEMBER || f->kind == FAULT_WIPE) {
        member_begin(h, f);
        done(arg);
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
    if (f->kind == FAULT_MEMBER || f->kind == FAULT_WIPE) {
        member_end(h, f);
        done(arg);
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

size_t sim_hands_replaced(const struct sim_hands *h)
{
    return h->replaced;
}

bool sim_hands_idle(const struct sim_hands *h)
{
    return h->stage == IDLE;
}

size_t sim_hands_member(const struct sim_hands *h)
{
    return h->member;
}

#include "jepsen_run.h"

#include <stdlib.h>

#include "base/mem.h"
#include "direct.h"
#include "hands_sim.h"

enum { SETTLE_MS = 60000, STEP_MS = 50 };

static void on_healed(void *arg)
{
    *(bool *)arg = true;
}

static void count(struct world *w, struct drive *d, const struct nemesis *n, struct coverage *c)
{
    const struct history *h = drive_history(d);
    c->seeds++;
    for (size_t i = 0; i < h->n; i++) {
        c->operations += h->events[i].type == HIST_INVOKE;
        c->unknown += h->events[i].type == HIST_INFO && h->events[i].process >= 0;
        c->failed += h->events[i].type == HIST_FAIL;
    }
    c->elections += w->elections;
    c->kills += w->kills;
    c->cuts += w->cuts;
    c->gave_up += w->gave_up;
    if (w->elections > c->most_elections)
        c->most_elections = w->elections;
    c->few_elections += w->elections <= 1;
    for (size_t i = 0; i < REPLICAS; i++) {
        struct raft_status st = {0};
        if (w->replicas[i].replica)
            raft_node_status(replica_raft(w->replicas[i].replica), &st);
        c->snapshots += st.snapshot_index != 0;
    }
    for (int i = 0; i < FAULT_KINDS; i++)
        c->faults[i] += nemesis_counts(n)[i];
}

static void judge(struct drive *d, struct jepsen_run *r)
{
    struct verdict *v = &r->verdict;
    *v = (struct verdict){0};
    r->load->check(drive_history(d), v);
    if (verdict_valid(v) || r->tolerate)
        return;
    char path[96];
    snprintf(path, sizeof path, "jepsen-%s-%lu.edn", r->load->name, r->seed);
    history_write(drive_history(d), path, true);
    for (size_t i = 0; i < v->n && i < VERDICT_ANOMALIES; i++)
        fprintf(stderr, "%s seed %lu: %s: %s\n", r->load->name, r->seed, v->anomalies[i].name, v->anomalies[i].text);
}

static bool is_direct(const struct jepsen_run *r)
{
    return r->load == &workload_lists;
}

static struct world *new_world(const struct jepsen_run *r)
{
    struct world *w = mem_new(struct world);
    if (r->load == workload_find("deploy"))
        world_init(w, r->seed);
    else
        world_init_bare(w, r->seed);
    w->expect_failures = true;
    w->tolerate = r->tolerate;
    for (size_t i = 0; i < REPLICAS; i++)
        sim_disk_ordered(w->sim, w->replicas[i].loop, r->ordered_disks || r->seed % 4 == 0);
    w->snapshot_every = 60 + sim_random(w->sim, 300);
    return w;
}

static struct drive *new_drive(struct world *w, const struct jepsen_run *r)
{
    return drive_new(w->load, &(struct drive_options){.workload = r->load,
                                                      .nodes = world_servers,
                                                      .n_nodes = REPLICAS,
                                                      .workers = is_direct(r) ? 0 : 6 + (unsigned)sim_random(w->sim, 8),
                                                      .think_ms = 10 + (unsigned)sim_random(w->sim, 60),
                                                      .call_ms = 1500,
                                                      .seed = r->seed});
}

static struct nemesis *new_nemesis(struct world *w, struct drive *d, struct sim_hands *h, const struct jepsen_run *r)
{
    struct nemesis_hands hands = hands_sim(h);
    struct nemesis_options o = {.kinds = r->kinds,
                                .quiet_ms = 100 + (unsigned)sim_random(w->sim, 900),
                                .hold_ms = 200 + (unsigned)sim_random(w->sim, 1800)};
    return nemesis_new(d, &hands, &o);
}

static void heal(struct world *w, struct nemesis *n, const struct sim_hands *h)
{
    bool healed = false;
    nemesis_stop(n, on_healed, &healed);
    for (int i = 0; i < 60 && !healed; i++)
        world_run(w, STEP_MS);
    CHECK(w, healed, "the nemesis does not end");
    world_heal(w); /* a member comes back only where there is a leader */
    for (int i = 0; i < 600 && !sim_hands_idle(h); i++)
        world_run(w, STEP_MS);
    CHECK(w, sim_hands_idle(h), "no leader takes the member back");
    world_heal(w);
}

/* The clients: of the API, or straight on the replicas. */
struct clients {
    struct drive *d;
    struct direct *x; /* or NULL */
};

static bool idle(const struct clients *c)
{
    return drive_idle(c->d) && (!c->x || direct_idle(c->x));
}

/* Until nothing is under way; fails after SETTLE_MS. */
static void run_until_idle(struct world *w, struct clients *c, const char *what)
{
    for (int ms = 0; ms < SETTLE_MS && !idle(c); ms += STEP_MS)
        world_run(w, STEP_MS);
    CHECK(w, idle(c), "%s: not done in %d s", what, SETTLE_MS / 1000);
}

static void quiet(struct world *w, struct clients *c)
{
    drive_quiet(c->d);
    if (c->x)
        direct_quiet(c->x);
    run_until_idle(w, c, "calls");
    world_run(w, c->x ? 6000 : 3000);
    CHECK(w, world_leader(w) >= 0, "nobody leads after everything was healed");
}

static void finish(struct world *w, struct clients *c)
{
    drive_finish(c->d);
    if (c->x)
        direct_finish(c->x);
    run_until_idle(w, c, "last looks");
}

void jepsen_run(struct jepsen_run *r, struct coverage *cov)
{
    struct world *w = new_world(r);
    world_run(w, 1500);
    struct clients c = {.d = new_drive(w, r)};
    struct sim_hands *h = sim_hands_new(w);
    struct nemesis *n = new_nemesis(w, c.d, h, r);
    drive_start(c.d);
    if (is_direct(r))
        c.x = direct_new(w, c.d);
    nemesis_start(n);
    world_run(w, r->ms);
    heal(w, n, h);
    quiet(w, &c);
    finish(w, &c);
    count(w, c.d, n, cov);
    cov->changes += sim_hands_changes(h);
    cov->replaced += sim_hands_replaced(h);
    judge(c.d, r);
    r->violations = w->violations;
    memcpy(r->violation, w->violation, sizeof r->violation);
    nemesis_free(n);
    for (size_t i = 0; i < REPLICAS; i++)
        world_kill(w, i, false); /* what is under way ends now */
    if (c.x)
        direct_free(c.x);
    drive_free(c.d);
    sim_hands_free(h);
    world_done(w);
    mem_free(w);
}

/* ---- a promotion and the leader's death ---- */

static void on_done(void *arg)
{
    *(bool *)arg = true;
}

static void wait_until_idle(struct world *w, const struct sim_hands *h)
{
    for (int i = 0; i < 400 && !sim_hands_idle(h); i++)
        world_run(w, 5);
    CHECK(w, sim_hands_idle(h), "a step of membership is not done");
}

/* Somebody who lives has the promotion in its log; else there are two voters, and one of them is dead. */
static bool knows_promotion(const struct world *w)
{
    bool knows = false;
    for (size_t i = 0; i < REPLICAS; i++) {
        struct raft_status st = {0};
        size_t voters = 0;
        if (w->replicas[i].replica)
            raft_node_status(replica_raft(w->replicas[i].replica), &st);
        for (size_t k = 0; k < st.n_members; k++)
            voters += st.members[k].member.role == MEMBER_VOTER;
        knows |= voters == REPLICAS;
    }
    return knows;
}

void jepsen_promotion(struct jepsen_run *r, struct coverage *c)
{
    struct world *w = new_world(r);
    struct sim_hands *h = sim_hands_new(w);
    struct nemesis_hands hands = hands_sim(h);
    struct fault f = {.kind = FAULT_MEMBER, .nodes = 1u << sim_random(w->sim, REPLICAS)};
    bool left = false, back = false;
    world_run(w, 1000 + sim_random(w->sim, 500));
    hands.begin(h, &f, on_done, &left);
    wait_until_idle(w, h);
    int leader = world_leader(w);
    if (leader >= 0 && sim_random(w->sim, 2)) /* the newcomer does not hear of its promotion */
        sim_cut(w->sim, w->replicas[leader].loop, w->replicas[sim_hands_member(h)].loop, true);
    hands.end(h, &f, on_done, &back);
    world_run(w, 1 + sim_random(w->sim, 25));
    if (leader >= 0)
        world_kill(w, (size_t)leader, true);
    bool promoted = knows_promotion(w);
    world_run(w, 8000);
    CHECK(w, !promoted || world_leader(w) >= 0, "nobody leads: a promotion and the leader's death");
    c->seeds += promoted;
    c->elections += w->elections;
    c->changes += sim_hands_changes(h);
    r->violations = w->violations;
    memcpy(r->violation, w->violation, sizeof r->violation);
    for (size_t i = 0; i < REPLICAS; i++)
        world_kill(w, i, false);
    sim_hands_free(h);
    world_done(w);
    mem_free(w);
}

void jepsen_print_coverage(const char *what, const struct coverage *c)
{
    char faults[512];
    int at = 0;
    for (int i = 0; i < FAULT_KINDS; i++)
        if (c->faults[i])
            at += snprintf(faults + at, sizeof faults - (size_t)at, " %s %zu", fault_name((enum fault_kind)i),
                           c->faults[i]);
    print_message(
        "%s: %zu seeds, %zu operations (%zu unknown, %zu refused), %zu elections (at most %zu a seed, %zu seeds "
        "with one), %zu kills, %zu replicas gave up, %zu ended "
        "with a snapshot, %zu steps of membership, %zu replicas replaced; faults:%s\n",
        what, c->seeds, c->operations, c->unknown, c->failed, c->elections, c->most_elections, c->few_elections,
        c->kills, c->gave_up, c->snapshots, c->changes, c->replaced, at ? faults : " none");
}

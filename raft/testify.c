/* The replica as one that testifies to its peers, and as one they testify to (testimony.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "raft/node_impl.h"

void node_fill_greeting(void *ctx, struct message *m)
{
    const struct raft_node *n = ctx;
    _Static_assert((int)FRAME_RUNS == (int)META_RUNS, "a greeting tells all the marks that a directory has");
    m->stateless = n->o.stateless;
    m->term = n->meta.term;
    m->index = entries_last(&n->log);
    m->incarnation = n->meta.incarnation;
    frame_put_runs(m, n->meta.runs);
}

/* As leader we know what the member confirmed in our term; nobody else could make it drop any of that in this term.
 * Confirmations come on the same link as PINGs, in order. */
static bool lost_entries(struct raft_node *n, uint64_t from, const struct message *m)
{
    raft_index match = 0;
    return m->incarnation && n->core_open && raft_state(&n->core) == RAFT_LEADER &&
           m->term <= raft_current_term(&n->core) && raft_match_index(&n->core, from, &match) == 0 && m->index < match;
}

enum refusal node_judge(struct raft_node *n, uint64_t from, const struct message *m)
{
    if (!lost_entries(n, from, m) && testimony_judge(&n->testimony, from, m)) {
        if (n->testimony.changed)
            node_wake(n);
        return REFUSAL_NONE;
    }
    const struct testified *known = testimony_find(&n->testimony, from);
    if (n->metrics.refused)
        n->metrics.refused->value += 1;
    log_error(loop_log(n->l), "raft",
              "refused peer=%" PRIu64 " incarnation=%" PRIu64 " known=%" PRIu64
              " reason=\"its data directory lost what it confirmed\" remedy=\"wipe it and join as a new member\"",
              from, m->incarnation, known ? known->incarnation : 0);
    return REFUSAL_OUTDATED;
}

void node_outdated(struct raft_node *n, uint64_t by)
{
    char reason[256];
    snprintf(reason, sizeof(reason),
             "this data directory is older than what member %" PRIu64
             " confirmed: it was lost, set back, or is in use twice; wipe it and join as a new member",
             by);
    int err = meta_refuse(&n->meta, by);
    if (err)
        log_error(loop_log(n->l), "raft", "cannot mark the data directory as refused error=\"%s\"", strerror(-err));
    node_fail(n, -ESTALE, reason);
}

/* ---- the file ---- */

static void save_run(struct node_work *w)
{
    struct testifying *t = container_of(w, struct testifying, w);
    t->err = testimony_save(loop_fs(w->n->l), w->n->dir, &t->copy);
}

static void save_done(struct node_work *w)
{
    struct testifying *t = container_of(w, struct testifying, w);
    t->busy = false;
    if (t->err && !w->n->closing) /* the next change writes it again; until then the others' memory must do */
        log_debug(loop_log(w->n->l), "raft", "cannot write what is known of the peers error=\"%s\"", strerror(-t->err));
}

void node_testify_turn(struct raft_node *n)
{
    struct testifying *t = &n->testifying;
    if (!n->testimony.changed || t->busy)
        return;
    n->testimony.changed = false;
    t->copy = n->testimony;
    t->busy = true;
    t->w.run = save_run;
    t->w.done = save_done;
    node_work_queue(n, LOOP_LANE_MISC, &t->w);
}

/* The replica as a witness of its peers, and as one of whom they bear witness (witness.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "raft/node_impl.h"

void node_fill_hello(void *ctx, struct hello *h)
{
    const struct raft_node *n = ctx;
    _Static_assert((int)FRAME_RUNS == (int)META_RUNS, "hello tells all the marks that a directory has");
    h->term = n->meta.term;
    h->last_index = entries_last(&n->log);
    h->incarnation = n->meta.incarnation;
    memcpy(h->runs, n->meta.runs, sizeof(h->runs));
}

/* As leader we know what the member confirmed in our term; nobody else could make it drop any of that in this term. */
static bool lost_entries(struct raft_node *n, const struct hello *h)
{
    raft_index match = 0;
    return n->core_open && raft_state(&n->core) == RAFT_LEADER && h->term <= raft_current_term(&n->core) &&
           raft_match_index(&n->core, h->from, &match) == 0 && h->last_index < match;
}

bool node_judge_hello(void *ctx, const struct hello *h, struct message *ret_why)
{
    struct raft_node *n = ctx;
    if (!lost_entries(n, h) && witness_judge(&n->witness, h)) {
        node_wake(n);
        return true;
    }
    const struct witnessed *known = witness_find(&n->witness, h->from);
    ret_why->seq = h->incarnation;
    ret_why->index = known ? known->incarnation : 0;
    log_error(loop_log(n->l), "raft",
              "refused peer=%" PRIu64 " incarnation=%" PRIu64 " known=%" PRIu64
              " reason=\"its data directory lost what it confirmed\" remedy=\"wipe it and join as a new member\"",
              h->from, ret_why->seq, ret_why->index);
    return false;
}

void node_on_refused(void *ctx, uint64_t from, const struct message *why)
{
    struct raft_node *n = ctx;
    char reason[256];
    if (n->failed || n->closing)
        return;
    snprintf(reason, sizeof(reason),
             "this data directory is older than what member %" PRIu64 " confirmed (incarnation %" PRIu64
             ", peers saw %" PRIu64 "): it was lost, set back, or is in use twice; wipe it and join as a new member",
             from, why->seq, why->index);
    int err = meta_refuse(&n->meta, from);
    if (err)
        log_error(loop_log(n->l), "raft", "cannot mark the data directory as refused error=\"%s\"", strerror(-err));
    node_fail(n, -ESTALE, reason);
}

/* ---- the file ---- */

static void save_run(struct node_work *w)
{
    struct testifying *t = container_of(w, struct testifying, w);
    t->err = witness_save(loop_fs(w->n->l), w->n->dir, &t->copy);
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
    if (!n->witness.changed || t->busy)
        return;
    n->witness.changed = false;
    t->copy = n->witness;
    t->busy = true;
    t->w.run = save_run;
    t->w.done = save_done;
    node_work_queue(n, LOOP_LANE_MISC, &t->w);
}

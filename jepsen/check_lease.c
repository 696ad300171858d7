/* Leases, things with a time to live, and Deployments. */
#include <stdlib.h>

#include "base/mem.h"
#include "jepsen/check.h"

/* ---- leases ---- */

/* A time during which somebody may believe to hold a lease. */
struct hold {
    int64_t key, holder;
    uint64_t from, until;
    size_t at;
};

static int by_key_from(const void *x, const void *y)
{
    const struct hold *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->from < b->from ? -1 : a->from > b->from;
}

/* A release ends what its holder held. */
static void take_release(struct hold *holds, size_t n, const struct hist_op *op)
{
    for (size_t i = n; i-- > 0;) {
        struct hold *x = &holds[i];
        if (x->key == op->call->key && x->holder == op->call->value && x->from <= op->call->time &&
            x->until > op->call->time)
            x->until = op->call->time;
    }
}

static void check_expiry(const struct hist_op *op, uint64_t slack, struct verdict *v)
{
    const struct hist_event *e = op->ret;
    uint64_t due = e->expected == HIST_NIL ? UINT64_MAX / 2 : (uint64_t)e->expected;
    if (!e->value && e->time < due)
        verdict_add(v, "early-expiry", "event %zu finds key %ld gone %lu ms before its time", op->returned, e->key,
                    (due - e->time) / 1000000);
    if (e->value == 1 && op->call->time > due + slack)
        verdict_add(v, "late-expiry", "event %zu finds key %ld there %lu ms after its time", op->returned, e->key,
                    (op->call->time - due) / 1000000);
}

static void check_overlaps(struct hold *holds, size_t n, struct verdict *v)
{
    qsort(holds, n, sizeof *holds, by_key_from);
    size_t latest = 0; /* of this key so far: the one that lasts longest */
    for (size_t i = 1; i < n; i++) {
        const struct hold *a = &holds[latest], *b = &holds[i];
        if (a->key == b->key && a->holder != b->holder && b->from < a->until)
            verdict_add(v, "two-holders",
                        "lease %ld: %ld holds it until %lu ms (event %zu), %ld from %lu ms on (event %zu)", b->key,
                        a->holder, a->until / 1000000, a->at, b->holder, b->from / 1000000, b->at);
        if (a->key != b->key || b->until >= a->until)
            latest = i;
    }
}

void check_lease(const struct history *h, uint64_t slack_ns, struct verdict *v)
{
    struct hist_op *ops;
    size_t n = history_ops(h, &ops), n_holds = 0;
    struct hold *holds = mem_alloc((n + 1) * sizeof *holds);
    for (size_t i = 0; i < n; i++) {
        const struct hist_op *op = &ops[i];
        bool ok = hist_outcome(op) == HIST_OK;
        if (op->call->f == HIST_RELEASE)
            take_release(holds, n_holds, op);
        if (!ok)
            continue;
        if (op->call->f == HIST_EXPIRE)
            check_expiry(op, slack_ns, v);
        uint64_t until = op->call->time + (uint64_t)op->ret->expected;
        if ((op->call->f == HIST_ACQUIRE || op->call->f == HIST_RENEW) && op->ret->expected != HIST_NIL &&
            until > op->ret->time)
            holds[n_holds++] = (struct hold){op->call->key, op->call->value, op->ret->time, until, op->returned};
    }
    check_overlaps(holds, n_holds, v);
    v->checked += n;
    mem_free(holds);
    mem_free(ops);
}

/* ---- Deployments ---- */

static int by_key_call(const void *x, const void *y)
{
    const struct hist_op *a = x, *b = y;
    if (a->call->key != b->call->key)
        return a->call->key < b->call->key ? -1 : 1;
    return a->called < b->called ? -1 : a->called > b->called;
}

static void check_deployment(const struct hist_op *ops, size_t n, struct verdict *v)
{
    const struct hist_op *wanted = NULL, *found = NULL;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].call->f == HIST_SCALE && hist_outcome(&ops[i]) != HIST_FAIL)
            wanted = &ops[i], found = NULL;
        if (ops[i].call->f == HIST_PODS && hist_outcome(&ops[i]) == HIST_OK)
            found = &ops[i];
    }
    if (!wanted)
        return;
    if (hist_outcome(wanted) != HIST_OK || !found) {
        verdict_add(v, "never-looked", "Deployment %ld: nobody looked at it after the last scaling (event %zu)",
                    wanted->call->key, wanted->called);
        return;
    }
    if (found->ret->value != wanted->call->value)
        verdict_add(v, "not-converged", "Deployment %ld: %ld pods in the end, %ld were asked for at event %zu",
                    wanted->call->key, found->ret->value, wanted->call->value, wanted->called);
    if (found->ret->expected > 0)
        verdict_add(v, "orphan", "Deployment %ld: %ld pods in the end that should not be", wanted->call->key,
                    found->ret->expected);
}

void check_pods(const struct history *h, struct verdict *v)
{
    struct hist_op *ops;
    size_t n = history_ops(h, &ops);
    qsort(ops, n, sizeof *ops, by_key_call);
    for (size_t i = 0, from = 0; i < n; i++) {
        if (i + 1 < n && ops[i + 1].call->key == ops[from].call->key)
            continue;
        check_deployment(ops + from, i + 1 - from, v);
        from = i + 1;
    }
    v->checked += n;
    mem_free(ops);
}

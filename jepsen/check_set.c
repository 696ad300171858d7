/* Sets and counters: what was acknowledged stays, what is seen was asked for. */
#include <stdlib.h>

#include "base/mem.h"
#include "jepsen/check.h"

/* ---- sets ---- */

struct member {
    int64_t value;
    size_t called;   /* of its add; SIZE_MAX: never asked for, or refused */
    size_t known;    /* from this event on somebody knows that it is in; SIZE_MAX: nobody does */
    size_t seen;     /* the latest call of a read that has it, + 1 */
    uint32_t absent; /* reads that should have it and have not */
    size_t first_absent;
    uint64_t stamp; /* of the read looked at */
};

struct members {
    struct member *at;
    size_t n;
};

static int by_value(const void *x, const void *y)
{
    const struct member *a = x, *b = y;
    return a->value < b->value ? -1 : a->value > b->value;
}

static struct member *find(const struct members *m, int64_t value)
{
    return bsearch(&(struct member){.value = value}, m->at, m->n, sizeof *m->at, by_value);
}

static struct members collect(const struct hist_op *ops, size_t n)
{
    struct members m = {.at = mem_alloc((n + 1) * sizeof *m.at)};
    for (size_t i = 0; i < n; i++) {
        bool failed = hist_outcome(&ops[i]) == HIST_FAIL;
        if (ops[i].call->f == HIST_ADD)
            m.at[m.n++] = (struct member){.value = ops[i].call->value,
                                          .called = failed ? SIZE_MAX : ops[i].called,
                                          .known = failed ? SIZE_MAX : ops[i].returned};
    }
    qsort(m.at, m.n, sizeof *m.at, by_value);
    return m;
}

static bool is_set_read(const struct hist_op *op)
{
    return op->call->f == HIST_READ && hist_outcome(op) == HIST_OK && op->ret->list;
}

static void look_at_read(const struct history *h, const struct hist_op *op, struct members *m, uint64_t stamp,
                         struct verdict *v)
{
    const int64_t *list = history_list(h, op->ret);
    for (size_t i = 0; i < op->ret->n_list; i++) {
        struct member *x = find(m, list[i]);
        if (!x || x->called == SIZE_MAX || x->called > op->returned) {
            verdict_add(v, "phantom", "the read at event %zu has %ld, which nobody had added", op->returned, list[i]);
            continue;
        }
        if (x->stamp == stamp)
            verdict_add(v, "doubled", "the read at event %zu has %ld twice", op->returned, list[i]);
        x->stamp = stamp;
        if (op->returned < x->known)
            x->known = op->returned;
        if (op->called + 1 > x->seen)
            x->seen = op->called + 1;
    }
}

static void look_for_absent(const struct history *h, const struct hist_op *op, struct members *m, uint64_t stamp)
{
    const int64_t *list = history_list(h, op->ret);
    for (size_t i = 0; i < op->ret->n_list; i++) {
        struct member *x = find(m, list[i]);
        if (x)
            x->stamp = stamp;
    }
    for (size_t i = 0; i < m->n; i++) {
        struct member *x = &m->at[i];
        if (x->stamp != stamp && x->known != SIZE_MAX && x->known < op->called && !x->absent++)
            x->first_absent = op->returned;
    }
}

void check_set(const struct history *h, struct verdict *v)
{
    struct hist_op *ops;
    size_t n = history_ops(h, &ops), reads = 0;
    struct members m = collect(ops, n);
    for (size_t i = 0; i < n; i++)
        if (is_set_read(&ops[i]))
            look_at_read(h, &ops[i], &m, i + 1, v), reads++;
    for (size_t i = 0; i < n; i++)
        if (is_set_read(&ops[i]))
            look_for_absent(h, &ops[i], &m, n + i + 1);
    for (size_t i = 0; i < m.n; i++) {
        const struct member *x = &m.at[i];
        if (!x->absent)
            continue;
        bool back = x->seen > x->first_absent;
        verdict_add(v, back ? "stale" : "lost",
                    "%ld was known to be in at event %zu, and %u reads are without it, first event %zu", x->value,
                    x->known, x->absent, x->first_absent);
    }
    if (m.n && !reads)
        v->unknown = true;
    v->checked += n;
    mem_free(m.at);
    mem_free(ops);
}

/* ---- counters ---- */

struct tally {
    int64_t sure, possible, seen; /* added surely and possibly; the largest value a read has returned */
};

/* sums[i]: before event i. */
static struct tally *tallies(const struct history *h, const struct hist_op *ops, size_t n)
{
    struct tally *t = mem_zalloc((h->n + 2) * sizeof *t);
    for (size_t i = 0; i < n; i++) {
        const struct hist_op *op = &ops[i];
        enum hist_type outcome = hist_outcome(op);
        if (op->call->f == HIST_ADD && outcome != HIST_FAIL) {
            t[op->called + 1].possible += op->call->value;
            if (outcome == HIST_OK)
                t[op->returned + 1].sure += op->call->value;
        } else if (op->call->f == HIST_READ && outcome == HIST_OK) {
            t[op->returned + 1].seen = op->ret->value;
        }
    }
    for (size_t i = 1; i <= h->n + 1; i++) {
        t[i].sure += t[i - 1].sure;
        t[i].possible += t[i - 1].possible;
        if (t[i].seen < t[i - 1].seen)
            t[i].seen = t[i - 1].seen;
    }
    return t;
}

void check_counter(const struct history *h, struct verdict *v)
{
    struct hist_op *ops;
    size_t n = history_ops(h, &ops);
    struct tally *t = tallies(h, ops, n);
    for (size_t i = 0; i < n; i++) {
        const struct hist_op *op = &ops[i];
        if (op->call->f != HIST_READ || hist_outcome(op) != HIST_OK)
            continue;
        int64_t value = op->ret->value, least = t[op->called].sure, most = t[op->returned].possible;
        if (value < least)
            verdict_add(v, "lost-update", "the read at event %zu says %ld, %ld had surely been added before it began",
                        op->returned, value, least);
        else if (value < t[op->called].seen)
            verdict_add(v, "stale-read", "the read at event %zu says %ld, an earlier one said %ld", op->returned, value,
                        t[op->called].seen);
        if (value > most)
            verdict_add(v, "phantom-add", "the read at event %zu says %ld, at most %ld can have been added",
                        op->returned, value, most);
    }
    v->checked += n;
    mem_free(t);
    mem_free(ops);
}

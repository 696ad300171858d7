/* Membership, as leaders tell it. A list is: term, leader, commit index, then id, place and role of each member. */
#include <stdlib.h>

#include "base/mem.h"
#include "jepsen/check.h"

enum { HEAD = 3, EACH = 3 };

struct told {
    const struct hist_op *op;
    const int64_t *list;
    size_t members, voters;
};

static struct told told_of(const struct history *h, const struct hist_op *op)
{
    struct told t = {.op = op, .list = history_list(h, op->ret)};
    t.members = t.list ? (op->ret->n_list - HEAD) / EACH : 0;
    for (size_t i = 0; i < t.members; i++)
        t.voters += t.list[HEAD + i * EACH + 2] == 0;
    return t;
}

static int by_term(const void *x, const void *y)
{
    const struct told *a = x, *b = y;
    if (a->list[0] != b->list[0])
        return a->list[0] < b->list[0] ? -1 : 1;
    return a->op->returned < b->op->returned ? -1 : a->op->returned > b->op->returned;
}

/* One leader a term; what is committed stays so, in the order of terms, and within a term in the order of time: a leader
 * speaks only once it committed an entry of its own term, behind all that was committed before. */
static void check_terms(const struct told *all, size_t n, struct verdict *v)
{
    int64_t before = 0, highest = 0; /* of all terms before this one; of operations that have returned in this term */
    for (size_t i = 0; i < n; i++) {
        const int64_t *list = all[i].list;
        bool same_term = i && all[i - 1].list[0] == list[0];
        if (!same_term)
            before = highest > before ? highest : before;
        if (same_term && all[i - 1].list[1] != list[1])
            verdict_add(v, "two-leaders", "term %ld: %ld leads at event %zu, %ld at event %zu", list[0],
                        all[i - 1].list[1], all[i - 1].op->returned, list[1], all[i].op->returned);
        if (list[2] < before)
            verdict_add(v, "commit-went-back", "event %zu: %ld is committed in term %ld, %ld was in a term before",
                        all[i].op->returned, list[2], list[0], before);
        for (size_t k = i; same_term && k-- > 0 && all[k].list[0] == list[0];)
            if (all[k].op->returned < all[i].op->called && all[k].list[2] > list[2]) {
                verdict_add(v, "commit-went-back", "event %zu: %ld is committed, %ld was at event %zu",
                            all[i].op->returned, list[2], all[k].list[2], all[k].op->returned);
                break;
            }
        highest = list[2] > highest ? list[2] : highest;
    }
}

struct place {
    int64_t id, place;
};

static int by_id(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* A place has one member at a time, and two voters are never made one. */
static void check_one(const struct told *t, size_t whole, struct verdict *v)
{
    if (t->voters < 2 && whole >= 2)
        verdict_add(v, "few-voters", "event %zu: %zu voters, of %zu in the beginning", t->op->returned, t->voters,
                    whole);
    for (size_t i = 0; i < t->members; i++)
        for (size_t k = 0; k < i; k++)
            if (t->list[HEAD + i * EACH + 1] == t->list[HEAD + k * EACH + 1])
                verdict_add(v, "two-at-a-place", "event %zu: members %ld and %ld are at place %ld", t->op->returned,
                            t->list[HEAD + k * EACH], t->list[HEAD + i * EACH], t->list[HEAD + i * EACH + 1]);
}

/* An id has one place for ever. */
static void check_ids(const struct told *all, size_t n, struct verdict *v)
{
    size_t n_places = 0;
    for (size_t i = 0; i < n; i++)
        n_places += all[i].members;
    struct place *places = mem_alloc((n_places + 1) * sizeof *places);
    n_places = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < all[i].members; k++)
            places[n_places++] = (struct place){all[i].list[HEAD + k * EACH], all[i].list[HEAD + k * EACH + 1]};
    qsort(places, n_places, sizeof *places, by_id);
    for (size_t i = 1; i < n_places; i++)
        if (places[i].id == places[i - 1].id && places[i].place != places[i - 1].place &&
            places[i - 1].place != HIST_NIL && places[i].place != HIST_NIL)
            verdict_add(v, "id-used-twice", "member %ld is at place %ld and at place %ld", places[i].id,
                        places[i - 1].place, places[i].place);
    mem_free(places);
}

void check_members(const struct history *h, struct verdict *v)
{
    struct hist_op *ops;
    size_t n_ops = history_ops(h, &ops), n = 0;
    struct told *all = mem_alloc((n_ops + 1) * sizeof *all), *first = NULL, *last = NULL;
    for (size_t i = 0; i < n_ops; i++)
        if (ops[i].call->f == HIST_MEMBERS && hist_outcome(&ops[i]) == HIST_OK && ops[i].ret->n_list >= HEAD)
            all[n++] = told_of(h, &ops[i]);
    for (size_t i = 0; i < n; i++) {
        first = !first || all[i].op->returned < first->op->returned ? &all[i] : first;
        last = !last || all[i].op->returned > last->op->returned ? &all[i] : last;
    }
    if (first && (last->voters != first->voters || last->members != first->members))
        verdict_add(v, "not-whole", "%zu members, %zu of them voters, in the end; %zu and %zu in the beginning",
                    last->members, last->voters, first->members, first->voters);
    for (size_t i = 0; i < n; i++)
        check_one(&all[i], first->voters, v);
    check_ids(all, n, v);
    qsort(all, n, sizeof *all, by_term);
    check_terms(all, n, v);
    v->checked += n;
    mem_free(all);
    mem_free(ops);
}

/* Linearizability of registers, each key alone (a history is linearizable when each object's is).
 *
 * The search walks over the calls and returns of one key in the order of the history. A configuration is the register's
 * value and the set of open operations that have taken effect already. At a return of an operation that has not, one of
 * the open operations takes effect, whichever may, until that one has; where none may, the walk goes back to the last
 * choice. Configurations seen at a return are remembered and never looked at twice (Lowe).
 *
 * Three things keep it small, and change no verdict:
 *  - a read takes effect at once when the value is right: it changes nothing for the others;
 *  - an operation of unknown fate that no answer later than it depends on is forgotten: what nobody has seen may as
 *    well not have happened;
 *  - quick rules name the usual anomalies, where values are written once only, without any search. */
#include <stdlib.h>

#include "base/mem.h"
#include "jepsen/check.h"

enum { SLOTS = 256, MASK_WORDS = SLOTS / 64, LIMIT = 20000000 };

struct lop {
    enum hist_f f; /* READ, WRITE or CAS; a delete writes HIST_NIL */
    int64_t value, expected;
    size_t call, ret; /* indexes in the history; ret SIZE_MAX: fate unknown */
    size_t last_use;  /* of unknown fate: the last return that may depend on it */
    uint32_t slot;
};

enum step_kind { STEP_CALL, STEP_RETURN, STEP_FORGET };

struct step {
    size_t at; /* orders steps */
    uint32_t op;
    enum step_kind kind;
    uint32_t open, n_open; /* at a return: which operations are open, in the pool */
};

struct config {
    int64_t value;
    uint64_t mask[MASK_WORDS];
};

/* A choice that can be taken back: the configuration before, where, and which candidate is next. */
struct choice {
    struct config before;
    uint32_t step, next;
};

struct key_search {
    const struct history *h;
    int64_t key;
    struct lop *ops;
    size_t n_ops;
    struct step *steps;
    size_t n_steps;
    uint32_t *open; /* pool */
    size_t n_open, cap_open;
    struct choice *choices;
    size_t n_choices, cap_choices;
    uint64_t *seen; /* hashes of configurations; open addressing */
    size_t n_seen, cap_seen, limit;
    size_t furthest, explored;
};

/* ---- preparing ---- */

static bool observes(const struct lop *o, int64_t value)
{
    return (o->f == HIST_READ && o->value == value) || (o->f == HIST_CAS && o->expected == value);
}

static int by_value(const void *x, const void *y)
{
    const struct lop *a = *(struct lop *const *)x, *b = *(struct lop *const *)y;
    int64_t v = a->f == HIST_CAS ? a->expected : a->value, w = b->f == HIST_CAS ? b->expected : b->value;
    return v < w ? -1 : v > w;
}

/* For operations of unknown fate: the last return of an operation that observes what they write. Until nothing changes:
 * a compare-and-set of unknown fate observes too, but only while it may matter itself. */
static void find_last_uses(struct key_search *s)
{
    struct lop **sorted = mem_alloc((s->n_ops + 1) * sizeof *sorted);
    size_t n = 0;
    for (size_t i = 0; i < s->n_ops; i++)
        if (s->ops[i].f != HIST_WRITE)
            sorted[n++] = &s->ops[i];
    qsort(sorted, n, sizeof *sorted, by_value);
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < s->n_ops; i++) {
            struct lop *o = &s->ops[i];
            if (o->ret != SIZE_MAX || o->f == HIST_READ || !o->last_use)
                continue;
            size_t last = 0, low = 0, high = n;
            while (low < high) {
                size_t mid = (low + high) / 2;
                const struct lop *m = sorted[mid];
                if ((m->f == HIST_CAS ? m->expected : m->value) < o->value)
                    low = mid + 1;
                else
                    high = mid;
            }
            for (; low < n && observes(sorted[low], o->value); low++) {
                const struct lop *m = sorted[low];
                size_t until = m == o ? 0 : m->ret != SIZE_MAX ? m->ret : m->last_use;
                last = until > last ? until : last;
            }
            last = last > o->call ? last : 0;
            changed |= last != o->last_use;
            o->last_use = last;
        }
    }
    mem_free(sorted);
}

static int by_time(const void *x, const void *y)
{
    const struct step *a = x, *b = y;
    return a->at != b->at ? (a->at < b->at ? -1 : 1) : (int)a->kind - (int)b->kind;
}

static void make_steps(struct key_search *s)
{
    s->steps = mem_alloc((2 * s->n_ops + 1) * sizeof *s->steps);
    for (uint32_t i = 0; i < s->n_ops; i++) {
        const struct lop *o = &s->ops[i];
        if (o->ret == SIZE_MAX && !o->last_use)
            continue;
        s->steps[s->n_steps++] = (struct step){.at = o->call, .op = i, .kind = STEP_CALL};
        if (o->ret != SIZE_MAX)
            s->steps[s->n_steps++] = (struct step){.at = o->ret, .op = i, .kind = STEP_RETURN};
        else if (o->last_use != SIZE_MAX)
            s->steps[s->n_steps++] = (struct step){.at = o->last_use, .op = i, .kind = STEP_FORGET};
    }
    qsort(s->steps, s->n_steps, sizeof *s->steps, by_time);
}

static uint32_t *open_room(struct key_search *s, size_t n)
{
    if (s->n_open + n > s->cap_open) {
        size_t cap = (s->cap_open + n) * 2;
        uint32_t *open = mem_alloc(cap * sizeof *open);
        if (s->open)
            memcpy(open, s->open, s->n_open * sizeof *open);
        mem_free(s->open);
        s->open = open;
        s->cap_open = cap;
    }
    return s->open + s->n_open;
}

/* Which operations are open at each step, and their slots. False when there are more than SLOTS. */
static bool assign_slots(struct key_search *s)
{
    uint32_t slots[SLOTS];
    size_t used = 0; /* slots[0…used) hold open operations or UINT32_MAX */
    for (size_t i = 0; i < s->n_steps; i++) {
        struct step *t = &s->steps[i];
        struct lop *o = &s->ops[t->op];
        if (t->kind == STEP_CALL) {
            size_t k = 0;
            while (k < used && slots[k] != UINT32_MAX)
                k++;
            if (k == SLOTS)
                return false;
            used += k == used;
            slots[k] = t->op;
            o->slot = (uint32_t)k;
        }
        t->open = (uint32_t)s->n_open;
        uint32_t *room = open_room(s, used);
        for (size_t k = 0; k < used; k++)
            if (slots[k] != UINT32_MAX)
                room[t->n_open++] = slots[k];
        s->n_open += t->n_open;
        if (t->kind != STEP_CALL)
            slots[o->slot] = UINT32_MAX;
    }
    return true;
}

/* ---- searching ---- */

static bool has(const struct config *c, const struct lop *o)
{
    return c->mask[o->slot / 64] >> (o->slot % 64) & 1;
}

static void set(struct config *c, const struct lop *o, bool on)
{
    uint64_t bit = UINT64_C(1) << (o->slot % 64);
    c->mask[o->slot / 64] = on ? c->mask[o->slot / 64] | bit : c->mask[o->slot / 64] & ~bit;
}

static bool may_happen(const struct config *c, const struct lop *o)
{
    return o->f == HIST_WRITE || c->value == (o->f == HIST_CAS ? o->expected : o->value);
}

static void happen(struct config *c, const struct lop *o)
{
    set(c, o, true);
    if (o->f != HIST_READ)
        c->value = o->value;
}

/* Reads that are open and right. */
static void happen_reads(const struct key_search *s, const struct step *t, struct config *c)
{
    for (uint32_t i = 0; i < t->n_open; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): with n_open > 0 there is something */
        const struct lop *o = &s->ops[s->open[t->open + i]];
        if (o->f == HIST_READ && o->value == c->value)
            set(c, o, true);
    }
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t config_hash(const struct config *c, size_t step)
{
    uint64_t h = mix(mix(0x1234567, step), (uint64_t)c->value);
    for (int i = 0; i < MASK_WORDS; i++)
        h = mix(h, c->mask[i]);
    h = mix(h, h >> 32);
    return h ? h : 1;
}

static void seen_grow(struct key_search *s)
{
    size_t old = s->cap_seen;
    uint64_t *from = s->seen;
    s->cap_seen = old ? old * 2 : 4096;
    s->seen = mem_zalloc(s->cap_seen * sizeof *s->seen);
    for (size_t i = 0; i < old; i++) {
        if (!from[i])
            continue;
        size_t at = from[i] & (s->cap_seen - 1);
        while (s->seen[at])
            at = (at + 1) & (s->cap_seen - 1);
        s->seen[at] = from[i];
    }
    mem_free(from);
}

/* False when it was there. */
static bool remember(struct key_search *s, const struct config *c, size_t step)
{
    if (s->n_seen * 4 >= s->cap_seen * 3)
        seen_grow(s);
    uint64_t hash = config_hash(c, step);
    size_t at = hash & (s->cap_seen - 1);
    for (; s->seen[at]; at = (at + 1) & (s->cap_seen - 1))
        if (s->seen[at] == hash)
            return false;
    s->seen[at] = hash;
    s->n_seen++;
    return true;
}

static void choose_later(struct key_search *s, const struct config *before, size_t step, uint32_t next)
{
    if (s->n_choices == s->cap_choices) {
        size_t cap = s->cap_choices ? s->cap_choices * 2 : 1024;
        struct choice *choices = mem_alloc(cap * sizeof *choices);
        if (s->n_choices)
            memcpy(choices, s->choices, s->n_choices * sizeof *choices);
        mem_free(s->choices);
        s->choices = choices;
        s->cap_choices = cap;
    }
    s->choices[s->n_choices++] = (struct choice){.before = *before, .step = (uint32_t)step, .next = next};
}

/* Candidate number `rank` at a step: first the operation that returns, then what writes the value it needs, then all. */
static const struct lop *candidate(const struct key_search *s, const struct step *t, uint32_t rank)
{
    const struct lop *due = &s->ops[t->op];
    if (!rank)
        return due;
    int64_t wanted = due->f == HIST_CAS ? due->expected : due->value;
    bool first_round = rank <= t->n_open;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): with n_open > 0 there is something */
    const struct lop *o = &s->ops[s->open[t->open + (rank - 1) % t->n_open]];
    bool helps = due->f != HIST_WRITE && o->f != HIST_READ && o->value == wanted;
    return o != due && o->f != HIST_READ && helps == first_round ? o : NULL;
}

/* From candidate `rank` on, the first that may happen does, in *c; false when none may. */
static bool branch(struct key_search *s, size_t step, uint32_t rank, struct config *c)
{
    const struct step *t = &s->steps[step];
    struct config before = *c;
    for (; rank <= 2 * t->n_open; rank++) {
        const struct lop *o = candidate(s, t, rank);
        if (!o || has(&before, o) || !may_happen(&before, o))
            continue;
        *c = before;
        happen(c, o);
        happen_reads(s, t, c);
        if (!remember(s, c, step))
            continue;
        choose_later(s, &before, step, rank + 1);
        s->explored++;
        return true;
    }
    return false;
}

/* Takes the newest choice back and goes on with its next candidate; the step to go on from, or SIZE_MAX. */
static size_t back(struct key_search *s, struct config *c)
{
    while (s->n_choices) {
        struct choice at = s->choices[--s->n_choices];
        *c = at.before;
        if (branch(s, at.step, at.next, c))
            return at.step;
    }
    return SIZE_MAX;
}

enum outcome { FOUND, NONE, GAVE_UP };

static enum outcome search(struct key_search *s)
{
    struct config c = {.value = HIST_NIL};
    for (size_t i = 0; i < s->n_steps;) {
        const struct step *t = &s->steps[i];
        const struct lop *o = &s->ops[t->op];
        if (s->n_seen > s->limit)
            return GAVE_UP;
        if (t->kind == STEP_CALL) {
            if (o->f == HIST_READ && o->value == c.value)
                set(&c, o, true);
            i++;
        } else if (has(&c, o) || t->kind == STEP_FORGET) {
            set(&c, o, false);
            i++;
            if (i > s->furthest)
                s->furthest = i;
        } else if (!branch(s, i, 0, &c)) {
            i = back(s, &c);
            if (i == SIZE_MAX)
                return NONE;
        }
    }
    return FOUND;
}

/* ---- quick rules, for keys whose values are written once only ---- */

static int by_written(const void *x, const void *y)
{
    const struct lop *a = *(struct lop *const *)x, *b = *(struct lop *const *)y;
    return a->value < b->value ? -1 : a->value > b->value;
}

static const struct lop *writer_of(struct lop **writers, size_t n, int64_t value)
{
    struct lop want = {.value = value}, *p = &want;
    struct lop **found = bsearch(&p, writers, n, sizeof *writers, by_written);
    return found ? *found : NULL;
}

static void check_observer(struct key_search *s, struct lop **writers, size_t n, const struct lop *o, size_t *newest,
                           struct verdict *v)
{
    int64_t value = o->f == HIST_CAS ? o->expected : o->value;
    const struct lop *w = value == HIST_NIL ? NULL : writer_of(writers, n, value);
    if (value != HIST_NIL && !w) {
        verdict_add(v, "dirty-read", "event %zu sees value %ld of key %ld, which nobody wrote (or whose write failed)",
                    o->ret, value, s->key);
    } else if (w && w->call > o->ret) {
        verdict_add(v, "dirty-read", "event %zu sees value %ld of key %ld before it was written", o->ret, value,
                    s->key);
    } else if (w && w->ret != SIZE_MAX && newest[o->call] != SIZE_MAX && newest[o->call] > w->ret) {
        verdict_add(v, "stale-read",
                    "event %zu (called at %zu) sees value %ld of key %ld, whose write had returned at %zu; another "
                    "write was called at %zu and returned before the read was called",
                    o->ret, o->call, value, s->key, w->ret, newest[o->call]);
    }
}

/* newest[i]: the latest call among the writes that had returned before event i. */
static size_t *newest_writes(const struct key_search *s)
{
    size_t *newest = mem_alloc((s->h->n + 1) * sizeof *newest), latest = SIZE_MAX, at = 0;
    for (size_t i = 0; i < s->n_steps; i++) {
        const struct lop *o = &s->ops[s->steps[i].op];
        if (s->steps[i].kind != STEP_RETURN || o->f == HIST_READ)
            continue;
        while (at <= s->steps[i].at)
            newest[at++] = latest;
        if (latest == SIZE_MAX || o->call > latest)
            latest = o->call;
    }
    while (at <= s->h->n)
        newest[at++] = latest;
    return newest;
}

static void check_twins(struct key_search *s, struct lop **writers, size_t n, struct verdict *v)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n && j < i + 2; j++)
            if (writers[i]->expected == writers[j]->expected && writers[i]->expected != HIST_NIL)
                verdict_add(v, "lost-update", "events %zu and %zu both changed key %ld from value %ld", writers[i]->ret,
                            writers[j]->ret, s->key, writers[i]->expected);
}

static int by_expected(const void *x, const void *y)
{
    const struct lop *a = *(struct lop *const *)x, *b = *(struct lop *const *)y;
    return a->expected < b->expected ? -1 : a->expected > b->expected;
}

static void quick(struct key_search *s, struct verdict *v)
{
    struct lop **writers = mem_alloc((s->n_ops + 1) * sizeof *writers);
    size_t n = 0, n_cas = 0;
    bool once = true;
    for (size_t i = 0; i < s->n_ops; i++)
        if (s->ops[i].f != HIST_READ && s->ops[i].value != HIST_NIL)
            writers[n++] = &s->ops[i];
    qsort(writers, n, sizeof *writers, by_written);
    for (size_t i = 1; i < n; i++)
        once &= writers[i]->value != writers[i - 1]->value;
    if (once) {
        size_t *newest = newest_writes(s);
        for (size_t i = 0; i < s->n_ops; i++)
            if (s->ops[i].f != HIST_WRITE && s->ops[i].ret != SIZE_MAX)
                check_observer(s, writers, n, &s->ops[i], newest, v);
        mem_free(newest);
        for (size_t i = 0; i < n; i++)
            if (writers[i]->f == HIST_CAS && writers[i]->ret != SIZE_MAX)
                writers[n_cas++] = writers[i];
        qsort(writers, n_cas, sizeof *writers, by_expected);
        check_twins(s, writers, n_cas, v);
    }
    mem_free(writers);
}

/* ---- keys ---- */

static void report(const struct key_search *s, enum outcome found, struct verdict *v)
{
    if (found == GAVE_UP) {
        v->unknown = true;
    } else if (found == NONE && s->furthest < s->n_steps) {
        const struct step *t = &s->steps[s->furthest];
        const struct lop *o = &s->ops[t->op];
        verdict_add(v, "non-linearizable",
                    "key %ld: no order explains the history up to event %zu, the return of a %s of %ld", s->key, t->at,
                    hist_f_name(o->f), o->value);
    }
}

static void check_key(struct key_search *s, struct verdict *v)
{
    size_t before = v->n;
    for (size_t i = 0; i < s->n_ops; i++)
        s->ops[i].last_use = SIZE_MAX;
    find_last_uses(s);
    make_steps(s);
    quick(s, v);
    if (v->n == before)
        report(s, assign_slots(s) ? search(s) : GAVE_UP, v);
    v->checked += s->n_ops;
    v->explored += s->explored;
    mem_free(s->steps);
    mem_free(s->open);
    mem_free(s->choices);
    mem_free(s->seen);
}

/* What of an operation matters; false: nothing does. */
static bool take(const struct hist_op *op, struct lop *ret)
{
    const struct hist_event *e = hist_best(op);
    enum hist_type outcome = hist_outcome(op);
    if (outcome == HIST_FAIL || (e->f == HIST_READ && outcome != HIST_OK) ||
        (e->f != HIST_READ && e->f != HIST_WRITE && e->f != HIST_CAS && e->f != HIST_DELETE))
        return false;
    *ret = (struct lop){.f = e->f == HIST_DELETE ? HIST_WRITE : (enum hist_f)e->f,
                        .value = e->f == HIST_DELETE ? HIST_NIL : e->value,
                        .expected = e->expected,
                        .call = op->called,
                        .ret = op->returned};
    return true;
}

static int by_key(const void *x, const void *y)
{
    const struct hist_op *a = x, *b = y;
    if (a->call->key != b->call->key)
        return a->call->key < b->call->key ? -1 : 1;
    return a->called < b->called ? -1 : a->called > b->called;
}

void check_linear(const struct history *h, size_t limit, struct verdict *v)
{
    struct hist_op *ops;
    size_t n = history_ops(h, &ops);
    struct lop *lops = mem_alloc((n + 1) * sizeof *lops);
    qsort(ops, n, sizeof *ops, by_key);
    for (size_t i = 0; i < n;) {
        struct key_search s = {.h = h, .key = ops[i].call->key, .ops = lops, .limit = limit ? limit : LIMIT};
        for (; i < n && ops[i].call->key == s.key; i++)
            s.n_ops += take(&ops[i], &lops[s.n_ops]);
        check_key(&s, v);
    }
    mem_free(lops);
    mem_free(ops);
}

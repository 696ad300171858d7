/* Watches and lists in pages. The truth is what all watchers together were told, and what writers know the revision of;
 * it must not contradict itself, every watcher must have been told all of it in the range it covered, and a list is the
 * state that the truth up to its revision adds up to. */
#include <stdlib.h>

#include "base/mem.h"
#include "jepsen/check.h"

/* One change, as somebody learned of it. */
struct change {
    int64_t revision, key, value;
    char kind; /* 'A', 'M', 'D'; 0: known from an acknowledgement */
    size_t at; /* event of the history */
};

struct truth {
    struct change *at;
    size_t n;
};

static int by_revision(const void *x, const void *y)
{
    const struct change *a = x, *b = y;
    if (a->revision != b->revision)
        return a->revision < b->revision ? -1 : 1;
    return a->kind != b->kind ? (a->kind > b->kind ? -1 : 1) : 0;
}

static bool is_write(const struct hist_event *e)
{
    return e->f == HIST_WRITE || e->f == HIST_CAS || e->f == HIST_DELETE;
}

/* Of two reports of the same revision, one that was told as an event stays. */
static void merge(struct truth *t, struct verdict *v)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct change *c = &t->at[i], *before = n ? &t->at[n - 1] : NULL;
        if (!before || before->revision != c->revision) {
            t->at[n++] = *c;
            continue;
        }
        bool same = before->key == c->key && (before->value == c->value || c->value == HIST_NIL) &&
                    (!c->kind || !before->kind || before->kind == c->kind);
        if (!same)
            verdict_add(v, "wrong-event",
                        "revision %ld is %c of key %ld with %ld at event %zu, and %c of key %ld with %ld at event %zu",
                        c->revision, before->kind ? before->kind : '-', before->key, before->value, before->at,
                        c->kind ? c->kind : '-', c->key, c->value, c->at);
    }
    t->n = n;
}

static struct truth find_truth(const struct history *h, struct verdict *v)
{
    struct truth t = {.at = mem_alloc((h->n + 1) * sizeof *t.at)};
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_event *e = &h->events[i];
        if (e->revision == HIST_NIL || e->type != HIST_OK)
            continue;
        if (e->f == HIST_EVENT)
            t.at[t.n++] = (struct change){e->revision, e->key, e->value, (char)e->expected, i};
        else if (is_write(e))
            t.at[t.n++] = (struct change){e->revision, e->key, e->f == HIST_DELETE ? HIST_NIL : e->value, 0, i};
    }
    qsort(t.at, t.n, sizeof *t.at, by_revision);
    merge(&t, v);
    return t;
}

/* The first change after a revision. */
static size_t after(const struct truth *t, int64_t revision)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->at[mid].revision <= revision)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- what was asked for ---- */

struct wish {
    int64_t key, value;
    size_t called;
};

static int by_wish(const void *x, const void *y)
{
    const struct wish *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

/* A value may be told only after somebody asked for it, and not when the cluster refused. */
static void check_phantoms(const struct history *h, struct verdict *v)
{
    struct hist_op *ops;
    size_t n = history_ops(h, &ops), n_wishes = 0;
    struct wish *wishes = mem_alloc((n + 1) * sizeof *wishes);
    for (size_t i = 0; i < n; i++)
        if ((ops[i].call->f == HIST_WRITE || ops[i].call->f == HIST_CAS) && hist_outcome(&ops[i]) != HIST_FAIL)
            wishes[n_wishes++] = (struct wish){ops[i].call->key, ops[i].call->value, ops[i].called};
    qsort(wishes, n_wishes, sizeof *wishes, by_wish);
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_event *e = &h->events[i];
        if (e->f != HIST_EVENT)
            continue;
        const struct wish *w = bsearch(&(struct wish){e->key, e->value, 0}, wishes, n_wishes, sizeof *wishes, by_wish);
        if (!w || w->called > i)
            verdict_add(v, "phantom-event", "event %zu tells of key %ld with %ld, which nobody had written", i, e->key,
                        e->value);
    }
    mem_free(wishes);
    mem_free(ops);
}

/* ---- one watcher ---- */

struct watcher {
    int32_t process;
    int64_t from, last; /* told everything after `from` up to `last`, as far as checked; HIST_NIL: not begun */
    size_t next;        /* into the truth */
};

/* Everything of the truth up to and without a revision should have been told by now. */
static void expect_up_to(struct watcher *w, const struct truth *t, int64_t revision, size_t at, struct verdict *v)
{
    for (; w->next < t->n && t->at[w->next].revision < revision; w->next++) {
        const struct change *c = &t->at[w->next];
        verdict_add(v, "lost-event",
                    "watcher %d was not told of revision %ld (key %ld, value %ld, event %zu) before event %zu",
                    w->process, c->revision, c->key, c->value, c->at, at);
    }
}

static void take_event(struct watcher *w, const struct truth *t, const struct hist_event *e, size_t at,
                       struct verdict *v)
{
    if (e->revision <= w->last) {
        const char *name = e->revision == w->last ? "doubled-event" : "reordered-event";
        verdict_add(v, name, "watcher %d is told of revision %ld at event %zu, after revision %ld", w->process,
                    e->revision, at, w->last);
        return;
    }
    expect_up_to(w, t, e->revision, at, v);
    w->next += w->next < t->n && t->at[w->next].revision == e->revision;
    w->last = e->revision;
}

static void take_covered(struct watcher *w, const struct truth *t, const struct hist_event *e, size_t at,
                         struct verdict *v)
{
    if (e->type == HIST_INVOKE || w->from == HIST_NIL) { /* begins, or begins anew after a list */
        w->from = w->last = e->revision;
        w->next = after(t, e->revision);
        return;
    }
    expect_up_to(w, t, e->revision + 1, at, v);
    if (e->revision > w->last)
        w->last = e->revision;
}

/* ---- kinds, over the truth ---- */

static int by_key_revision(const void *x, const void *y)
{
    const struct change *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static void check_kinds(const struct truth *t, struct verdict *v)
{
    struct change *c = mem_alloc((t->n + 1) * sizeof *c);
    memcpy(c, t->at, t->n * sizeof *c);
    qsort(c, t->n, sizeof *c, by_key_revision);
    bool exists = false, known = false;
    for (size_t i = 0; i < t->n; i++) {
        if (!i || c[i].key != c[i - 1].key)
            known = false;
        if (known && c[i].kind && (c[i].kind == 'A') == exists)
            verdict_add(v, "wrong-kind", "revision %ld of key %ld is told as %c, and the key %s before", c[i].revision,
                        c[i].key, c[i].kind, exists ? "existed" : "did not exist");
        known = c[i].kind != 0;
        exists = c[i].kind != 'D';
    }
    mem_free(c);
}

static struct watcher *watcher_of(struct watcher *all, size_t *n, int32_t process)
{
    for (size_t i = 0; i < *n; i++)
        if (all[i].process == process)
            return &all[i];
    all[*n] = (struct watcher){.process = process, .from = HIST_NIL, .last = HIST_NIL};
    return &all[(*n)++];
}

enum { WATCHERS_MAX = 4096 };

void check_watch(const struct history *h, struct verdict *v)
{
    struct truth t = find_truth(h, v);
    struct watcher *all = mem_zalloc(WATCHERS_MAX * sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < h->n && n < WATCHERS_MAX; i++) {
        const struct hist_event *e = &h->events[i];
        if (e->f == HIST_EVENT)
            take_event(watcher_of(all, &n, e->process), &t, e, i, v);
        else if (e->f == HIST_COVERED)
            take_covered(watcher_of(all, &n, e->process), &t, e, i, v);
        v->checked += e->f == HIST_EVENT;
    }
    if (!v->checked || n == WATCHERS_MAX)
        v->unknown = true;
    check_phantoms(h, v);
    check_kinds(&t, v);
    mem_free(all);
    mem_free(t.at);
}

/* ---- lists in pages ---- */

/* The state at a revision: for each key its newest change. */
struct state {
    struct change *at; /* by key */
    size_t n;
};

static void state_apply(struct state *s, const struct change *c)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->at[mid].key < c->key)
            low = mid + 1;
        else
            high = mid;
    }
    bool there = low < s->n && s->at[low].key == c->key;
    if (c->kind == 'D') {
        if (there)
            memmove(&s->at[low], &s->at[low + 1], (--s->n - low) * sizeof *s->at);
        return;
    }
    if (!there)
        memmove(&s->at[low + 1], &s->at[low], (s->n++ - low) * sizeof *s->at);
    s->at[low] = *c;
}

static int by_first(const void *x, const void *y)
{
    const int64_t *a = x, *b = y;
    return *a < *b ? -1 : *a > *b;
}

static void compare(const struct state *s, const int64_t *list, size_t n, size_t at, int64_t revision,
                    struct verdict *v)
{
    size_t i = 0, j = 0;
    while (i < s->n || j < n) {
        int64_t want = i < s->n ? s->at[i].key : INT64_MAX, got = j < n ? list[3 * j] : INT64_MAX;
        if (j && j < n && got == list[3 * (j - 1)]) {
            verdict_add(v, "doubled-object", "the list at event %zu has key %ld twice", at, got);
            j++;
        } else if (want < got) {
            verdict_add(v, "missing-object", "the list of revision %ld at event %zu is without key %ld (revision %ld)",
                        revision, at, want, s->at[i].revision);
            i++;
        } else if (got < want) {
            verdict_add(v, "extra-object", "the list of revision %ld at event %zu has key %ld, which was not there",
                        revision, at, got);
            j++;
        } else {
            if (list[3 * j + 1] != s->at[i].value || list[3 * j + 2] != s->at[i].revision)
                verdict_add(v, "wrong-page",
                            "the list of revision %ld at event %zu has key %ld as of revision %ld, it was %ld",
                            revision, at, got, list[3 * j + 2], s->at[i].revision);
            i++, j++;
        }
    }
}

struct paged {
    const struct hist_op *op;
    int64_t floor; /* what was acknowledged before it began */
};

static int by_list_revision(const void *x, const void *y)
{
    const struct paged *a = x, *b = y;
    return a->op->ret->revision < b->op->ret->revision ? -1 : a->op->ret->revision > b->op->ret->revision;
}

/* Lists that were answered, with the newest revision that was acknowledged before each began. */
static size_t collect_lists(const struct history *h, const struct hist_op *ops, size_t n, struct paged *ret)
{
    int64_t *floor = mem_alloc((h->n + 1) * sizeof *floor), newest = HIST_NIL;
    size_t found = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_event *e = &h->events[i];
        floor[i] = newest;
        if (e->type == HIST_OK && is_write(e) && e->revision > newest)
            newest = e->revision;
    }
    for (size_t i = 0; i < n; i++)
        if (ops[i].call->f == HIST_PAGES && hist_outcome(&ops[i]) == HIST_OK && ops[i].ret->list)
            ret[found++] = (struct paged){&ops[i], floor[ops[i].called]};
    mem_free(floor);
    return found;
}

/* Up to where some watcher was told everything from the start. */
static int64_t told_up_to(const struct history *h)
{
    int64_t last = HIST_NIL;
    for (size_t i = 0; i < h->n; i++)
        if ((h->events[i].f == HIST_COVERED || h->events[i].f == HIST_EVENT) && h->events[i].revision > last)
            last = h->events[i].revision;
    return last;
}

static void check_lists(const struct history *h, const struct truth *t, struct paged *lists, size_t n,
                        struct verdict *v)
{
    struct state s = {.at = mem_alloc((t->n + 1) * sizeof *s.at)};
    int64_t end = told_up_to(h);
    size_t next = 0;
    qsort(lists, n, sizeof *lists, by_list_revision);
    for (size_t i = 0; i < n; i++) {
        const struct hist_event *e = lists[i].op->ret;
        if (e->revision < lists[i].floor)
            verdict_add(v, "stale-page",
                        "the list at event %zu is of revision %ld, %ld was acknowledged before it began",
                        lists[i].op->returned, e->revision, lists[i].floor);
        if (e->revision > end)
            continue; /* nobody told how it came about */
        for (; next < t->n && t->at[next].revision <= e->revision; next++)
            state_apply(&s, &t->at[next]);
        size_t items = e->n_list / 3;
        int64_t *sorted = mem_alloc((e->n_list + 1) * sizeof *sorted);
        memcpy(sorted, history_list(h, e), e->n_list * sizeof *sorted);
        qsort(sorted, items, 3 * sizeof *sorted, by_first);
        compare(&s, sorted, items, lists[i].op->returned, e->revision, v);
        mem_free(sorted);
        v->checked++;
    }
    mem_free(s.at);
}

void check_pages(const struct history *h, struct verdict *v)
{
    struct hist_op *ops;
    size_t n = history_ops(h, &ops);
    struct truth t = find_truth(h, v);
    struct paged *lists = mem_alloc((n + 1) * sizeof *lists);
    check_lists(h, &t, lists, collect_lists(h, ops, n, lists), v);
    mem_free(lists);
    mem_free(t.at);
    mem_free(ops);
}

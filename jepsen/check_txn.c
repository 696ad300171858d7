/* Transactions over lists of appends (the method of Elle, Kingsbury & Alvaro 2020): the longest list read of a key is
 * the order of its versions, and gives dependencies between transactions:
 *   ww  the next append to a key after another's
 *   wr  a read whose last element the other appended
 *   rw  a read that does not see the other's append, which follows what it saw
 *   rt  one had returned before the other was called
 * A cycle cannot happen when transactions take effect one after the other; the kinds of its edges name the anomaly. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "jepsen/check.h"

enum edge_kind { WW = 1, WR = 2, RW = 4, RT = 8 };
enum { CYCLE_TEXT = 256 };

static const char *kind_name(unsigned kind)
{
    return kind == WW ? "ww" : kind == WR ? "wr" : kind == RW ? "rw" : "rt";
}

struct edge {
    uint32_t to, next; /* next: of the same node, + 1 */
    unsigned kind;
};

/* One append of one transaction. */
struct append {
    int64_t key, value;
    uint32_t txn;
    bool last;   /* of its transaction to this key */
    size_t seen; /* place in the key's order, + 1; 0: nobody saw it */
};

struct key_order {
    int64_t key;
    const int64_t *items;
    size_t n;
    size_t first, end; /* its appends in the sorted table */
};

struct txns {
    const struct history *h;
    struct hist_op *ops;
    size_t n;
    struct append *appends; /* by key and value */
    size_t n_appends;
    struct key_order *keys;
    size_t n_keys;
    uint32_t *first; /* of each node: its first edge, + 1 */
    size_t n_nodes;  /* transactions, then barriers */
    struct edge *edges;
    size_t n_edges, cap_edges;
    uint32_t *component; /* of each node */
    struct verdict *v;
};

static void add_edge(struct txns *t, uint32_t from, uint32_t to, unsigned kind)
{
    if (from == to)
        return;
    if (t->n_edges == t->cap_edges) {
        size_t cap = t->cap_edges ? t->cap_edges * 2 : 4096;
        struct edge *edges = mem_alloc(cap * sizeof *edges);
        if (t->n_edges)
            memcpy(edges, t->edges, t->n_edges * sizeof *edges);
        mem_free(t->edges);
        t->edges = edges;
        t->cap_edges = cap;
    }
    t->edges[t->n_edges++] = (struct edge){.to = to, .next = t->first[from], .kind = kind};
    t->first[from] = (uint32_t)t->n_edges;
}

/* ---- appends and orders ---- */

static int by_key_value(const void *x, const void *y)
{
    const struct append *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

static struct append *find_append(const struct txns *t, int64_t key, int64_t value)
{
    return bsearch(&(struct append){.key = key, .value = value}, t->appends, t->n_appends, sizeof *t->appends,
                   by_key_value);
}

static void collect_appends(struct txns *t)
{
    size_t cap = 0, at;
    struct hist_micro m;
    for (size_t i = 0; i < t->n; i++)
        cap += t->ops[i].call->n_list / 3;
    t->appends = mem_alloc((cap + 1) * sizeof *t->appends);
    for (uint32_t i = 0; i < t->n; i++) {
        size_t from = t->n_appends;
        for (at = 0; hist_micro_next(t->h, t->ops[i].call, &at, &m);) {
            if (m.kind != HIST_MICRO_APPEND)
                continue;
            for (size_t k = from; k < t->n_appends; k++)
                if (t->appends[k].key == m.key)
                    t->appends[k].last = false;
            t->appends[t->n_appends++] = (struct append){.key = m.key, .value = m.value, .txn = i, .last = true};
        }
    }
    qsort(t->appends, t->n_appends, sizeof *t->appends, by_key_value);
}

static struct key_order *order_of(const struct txns *t, int64_t key)
{
    size_t low = 0, high = t->n_keys;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->keys[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->n_keys && t->keys[low].key == key ? &t->keys[low] : NULL;
}

static void collect_keys(struct txns *t)
{
    t->keys = mem_alloc((t->n_appends + 1) * sizeof *t->keys);
    for (size_t i = 0; i < t->n_appends; i++) {
        if (!i || t->appends[i].key != t->appends[i - 1].key)
            t->keys[t->n_keys++] = (struct key_order){.key = t->appends[i].key, .first = i};
        t->keys[t->n_keys - 1].end = i + 1;
    }
}

typedef void each_read_fn(struct txns *t, uint32_t txn, const struct hist_micro *m, struct key_order *k);

static void each_read(struct txns *t, each_read_fn *each)
{
    struct hist_micro m;
    for (uint32_t i = 0; i < t->n; i++) {
        size_t at = 0;
        if (hist_outcome(&t->ops[i]) != HIST_OK)
            continue;
        while (hist_micro_next(t->h, t->ops[i].ret, &at, &m))
            if (m.kind == HIST_MICRO_READ)
                each(t, i, &m, order_of(t, m.key));
    }
}

static void look_for_longest(struct txns *t, uint32_t txn, const struct hist_micro *m, struct key_order *k)
{
    if (!k && m->n)
        verdict_add(t->v, "phantom", "event %zu reads from key %ld, to which nobody appends", t->ops[txn].returned,
                    m->key);
    if (k && m->n > k->n) {
        k->items = m->items;
        k->n = m->n;
    }
}

static void place_appends(struct txns *t)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        const struct key_order *k = &t->keys[i];
        for (size_t j = 0; j < k->n; j++) {
            struct append *a = find_append(t, k->key, k->items[j]);
            if (!a)
                verdict_add(t->v, "phantom", "%ld stands in key %ld, and nobody appended it", k->items[j], k->key);
            else if (a->seen)
                verdict_add(t->v, "duplicate", "%ld stands twice in key %ld", a->value, k->key);
            else
                a->seen = j + 1;
            if (a && hist_outcome(&t->ops[a->txn]) == HIST_FAIL)
                verdict_add(t->v, "G1a", "%ld was read from key %ld, and its append (event %zu) failed", a->value,
                            k->key, t->ops[a->txn].called);
        }
    }
}

/* ---- rules for one read ---- */

static bool is_own(const struct txns *t, uint32_t txn, int64_t key, int64_t value)
{
    const struct append *a = find_append(t, key, value);
    return a && a->txn == txn;
}

static void check_read(struct txns *t, uint32_t txn, const struct hist_micro *m, struct key_order *k)
{
    size_t at = t->ops[txn].returned;
    if (!k || !m->n)
        return;
    if (memcmp(m->items, k->items, m->n * sizeof *m->items) != 0)
        verdict_add(t->v, "incompatible-order", "event %zu reads another order of key %ld than the longest read has",
                    at, m->key);
    const struct append *a = find_append(t, m->key, m->items[m->n - 1]);
    if (a && !a->last && a->txn != txn)
        verdict_add(t->v, "G1b", "event %zu reads key %ld up to %ld, in the middle of the transaction at event %zu", at,
                    m->key, a->value, t->ops[a->txn].called);
}

/* A transaction sees its own appends and the same list each time. */
static void check_internal(struct txns *t, uint32_t txn)
{
    struct hist_micro m, earlier;
    size_t at = 0, back;
    while (hist_micro_next(t->h, t->ops[txn].ret, &at, &m)) {
        if (m.kind != HIST_MICRO_READ)
            continue;
        size_t own = 0, before = SIZE_MAX;
        for (back = 0; hist_micro_next(t->h, t->ops[txn].ret, &back, &earlier) && earlier.items != m.items;) {
            if (earlier.key != m.key)
                continue;
            if (earlier.kind == HIST_MICRO_READ)
                before = earlier.n, own = 0;
            else
                own++;
        }
        bool fits = m.n >= own && (before == SIZE_MAX || m.n == before + own);
        for (size_t i = 0; fits && i < own; i++)
            fits = is_own(t, txn, m.key, m.items[m.n - 1 - i]);
        if (!fits)
            verdict_add(t->v, "internal", "event %zu reads key %ld otherwise than its own earlier steps say",
                        t->ops[txn].returned, m.key);
    }
}

/* ---- dependencies ---- */

static void add_version_edges(struct txns *t)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        const struct key_order *k = &t->keys[i];
        const struct append *before = NULL;
        for (size_t j = 0; j < k->n; j++) {
            const struct append *a = find_append(t, k->key, k->items[j]);
            if (a && before)
                add_edge(t, before->txn, a->txn, WW);
            before = a ? a : before;
        }
    }
}

/* Appends that nobody saw follow all that somebody did, when they took effect. */
static void add_unseen(struct txns *t, uint32_t txn, const struct key_order *k)
{
    for (size_t i = k->first; i < k->end; i++) {
        const struct append *a = &t->appends[i];
        const struct hist_op *op = &t->ops[a->txn];
        if (a->seen || hist_outcome(op) != HIST_OK)
            continue;
        add_edge(t, txn, a->txn, RW);
        if (op->returned < t->ops[txn].called)
            verdict_add(t->v, "lost-append", "%ld was appended to key %ld at event %zu, and event %zu does not see it",
                        a->value, k->key, op->returned, t->ops[txn].returned);
    }
}

static void add_read_edges(struct txns *t, uint32_t txn, const struct hist_micro *m, struct key_order *k)
{
    if (!k)
        return;
    const struct append *a = m->n ? find_append(t, m->key, m->items[m->n - 1]) : NULL;
    if (a)
        add_edge(t, a->txn, txn, WR);
    if (m->n < k->n) {
        const struct append *next = find_append(t, m->key, k->items[m->n]);
        if (next)
            add_edge(t, txn, next->txn, RW);
    } else {
        add_unseen(t, txn, k);
    }
}

struct moment {
    size_t at;
    uint32_t txn;
    bool returns;
};

static int by_moment(const void *x, const void *y)
{
    const struct moment *a = x, *b = y;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Real time: each return is a barrier, barriers follow each other, and a call follows the latest one. */
static void add_time_edges(struct txns *t)
{
    struct moment *moments = mem_alloc((2 * t->n + 1) * sizeof *moments);
    uint32_t barrier = (uint32_t)t->n;
    size_t n = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (hist_outcome(&t->ops[i]) == HIST_FAIL)
            continue;
        moments[n++] = (struct moment){t->ops[i].called, i, false};
        if (t->ops[i].returned != SIZE_MAX)
            moments[n++] = (struct moment){t->ops[i].returned, i, true};
    }
    qsort(moments, n, sizeof *moments, by_moment);
    for (size_t i = 0; i < n; i++) {
        if (!moments[i].returns) {
            if (barrier > t->n)
                add_edge(t, barrier - 1, moments[i].txn, RT);
            continue;
        }
        if (barrier > t->n)
            add_edge(t, barrier - 1, barrier, RT);
        add_edge(t, moments[i].txn, barrier++, RT);
    }
    mem_free(moments);
}

/* ---- cycles ---- */

struct frame {
    uint32_t node, edge;
};

struct tarjan {
    uint32_t *index, *low, *stack;
    bool *on;
    struct frame *frames;
    uint32_t next, n_stack, n_frames, n_components;
};

static void enter(struct tarjan *k, const struct txns *t, uint32_t node)
{
    k->index[node] = k->low[node] = ++k->next;
    k->stack[k->n_stack++] = node;
    k->on[node] = true;
    k->frames[k->n_frames++] = (struct frame){node, t->first[node]};
}

static void leave(struct tarjan *k, struct txns *t, uint32_t node)
{
    k->n_frames--;
    if (k->n_frames) {
        uint32_t up = k->frames[k->n_frames - 1].node;
        if (k->low[node] < k->low[up])
            k->low[up] = k->low[node];
    }
    if (k->low[node] != k->index[node])
        return;
    for (uint32_t x = UINT32_MAX; x != node;) {
        x = k->stack[--k->n_stack];
        k->on[x] = false;
        t->component[x] = k->n_components;
    }
    k->n_components++;
}

static void walk(struct tarjan *k, struct txns *t, uint32_t from, unsigned kinds)
{
    enter(k, t, from);
    while (k->n_frames) {
        struct frame *f = &k->frames[k->n_frames - 1];
        if (!f->edge) {
            leave(k, t, f->node);
            continue;
        }
        const struct edge *e = &t->edges[f->edge - 1];
        f->edge = e->next;
        if (!(e->kind & kinds))
            continue;
        if (!k->index[e->to])
            enter(k, t, e->to);
        else if (k->on[e->to] && k->index[e->to] < k->low[f->node])
            k->low[f->node] = k->index[e->to];
    }
}

/* Tarjan's strongly connected components over edges of these kinds, into t->component. */
static void components(struct txns *t, unsigned kinds)
{
    size_t n = t->n_nodes + 1;
    struct tarjan k = {.index = mem_zalloc(n * sizeof(uint32_t)),
                       .low = mem_zalloc(n * sizeof(uint32_t)),
                       .stack = mem_alloc(n * sizeof(uint32_t)),
                       .on = mem_zalloc(n * sizeof(bool)),
                       .frames = mem_alloc(n * sizeof(struct frame))};
    for (uint32_t i = 0; i < t->n_nodes; i++)
        if (!k.index[i])
            walk(&k, t, i, kinds);
    mem_free(k.index);
    mem_free(k.low);
    mem_free(k.stack);
    mem_free(k.on);
    mem_free(k.frames);
}

/* The shortest way between two nodes inside their component, by edges of these kinds, as edge numbers of each node
 * on the way (via[node] = the edge by which it was reached, + 1). */
static bool find_way(const struct txns *t, uint32_t from, uint32_t to, unsigned kinds, uint32_t *via, uint32_t *origin)
{
    uint32_t *queue = mem_alloc((t->n_nodes + 1) * sizeof *queue);
    size_t head = 0, tail = 0;
    memset(via, 0, (t->n_nodes + 1) * sizeof *via);
    queue[tail++] = from;
    while (head < tail && !via[to]) {
        uint32_t node = queue[head++];
        for (uint32_t i = t->first[node]; i; i = t->edges[i - 1].next) {
            const struct edge *e = &t->edges[i - 1];
            if (!(e->kind & kinds) || via[e->to] || t->component[e->to] != t->component[from])
                continue;
            via[e->to] = i;
            origin[e->to] = node;
            queue[tail++] = e->to;
        }
    }
    mem_free(queue);
    return via[to] != 0;
}

/* "ww T3 → wr T8 …", written from the end; barriers are left out. */
static void describe(const struct txns *t, uint32_t from, uint32_t to, const uint32_t *via, const uint32_t *origin,
                     char text[CYCLE_TEXT])
{
    text[0] = 0;
    for (uint32_t node = to;;) {
        char piece[48], rest[CYCLE_TEXT];
        memcpy(rest, text, CYCLE_TEXT);
        if (node < t->n) {
            snprintf(piece, sizeof piece, " -%s-> event %zu", kind_name(t->edges[via[node] - 1].kind),
                     t->ops[node].called);
            snprintf(text, CYCLE_TEXT, "%.40s%.200s", piece, rest);
        }
        node = origin[node];
        if (node == from)
            return;
    }
}

static void report_cycle(struct txns *t, const char *name, bool realtime, uint32_t from, unsigned first_kind,
                         uint32_t to, const uint32_t *via, const uint32_t *origin)
{
    char full[VERDICT_NAME], text[CYCLE_TEXT];
    snprintf(full, sizeof full, "%s%s", name, realtime ? "-realtime" : "");
    describe(t, to, from, via, origin, text);
    verdict_add(t->v, full, "a cycle: event %zu -%s-> event %zu%s", from < t->n ? t->ops[from].called : 0,
                kind_name(first_kind), to < t->n ? t->ops[to].called : 0, text);
}

/* Looks for a cycle through an edge of kind `first`, closed by edges of `kinds`; reports one a component. */
static bool look_for_cycle(struct txns *t, unsigned first, unsigned kinds, const char *name, bool realtime)
{
    uint32_t *via = mem_alloc((t->n_nodes + 1) * sizeof *via), *origin = mem_zalloc((t->n_nodes + 1) * sizeof *origin);
    bool *done = mem_zalloc(t->n_nodes + 1), any = false;
    components(t, first | kinds);
    for (uint32_t node = 0; node < t->n; node++) {
        for (uint32_t i = t->first[node]; i && !done[t->component[node]]; i = t->edges[i - 1].next) {
            const struct edge *e = &t->edges[i - 1];
            if (e->kind != first || t->component[e->to] != t->component[node] ||
                !find_way(t, e->to, node, kinds, via, origin))
                continue;
            report_cycle(t, name, realtime, node, first, e->to, via, origin);
            done[t->component[node]] = any = true;
        }
    }
    mem_free(via);
    mem_free(origin);
    mem_free(done);
    return any;
}

/* From the worst to the mildest; what a stronger name says is not said again. */
static void look_for_cycles(struct txns *t, unsigned time)
{
    bool realtime = time != 0;
    if (look_for_cycle(t, WW, WW | time, "G0", realtime))
        return;
    if (look_for_cycle(t, WR, WW | WR | time, "G1c", realtime))
        return;
    if (look_for_cycle(t, RW, WW | WR | time, "G-single", realtime))
        return;
    look_for_cycle(t, RW, WW | WR | RW | time, "G2", realtime);
}

static void keep_txns(struct txns *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->ops[i].call->f == HIST_TXN)
            t->ops[n++] = t->ops[i];
    t->n = n;
}

void check_txn(const struct history *h, struct verdict *v)
{
    struct txns t = {.h = h, .v = v};
    t.n = history_ops(h, &t.ops);
    keep_txns(&t);
    t.n_nodes = 2 * t.n;
    t.first = mem_zalloc((t.n_nodes + 1) * sizeof *t.first);
    t.component = mem_zalloc((t.n_nodes + 1) * sizeof *t.component);
    collect_appends(&t);
    collect_keys(&t);
    each_read(&t, look_for_longest);
    place_appends(&t);
    each_read(&t, check_read);
    for (uint32_t i = 0; i < t.n; i++)
        if (hist_outcome(&t.ops[i]) == HIST_OK)
            check_internal(&t, i);
    add_version_edges(&t);
    each_read(&t, add_read_edges);
    size_t before = v->n;
    look_for_cycles(&t, 0);
    if (v->n == before) {
        add_time_edges(&t);
        look_for_cycles(&t, RT);
    }
    v->checked += t.n;
    v->explored += t.n_edges;
    mem_free(t.ops);
    mem_free(t.appends);
    mem_free(t.keys);
    mem_free(t.first);
    mem_free(t.edges);
    mem_free(t.component);
}

#include "jepsen/nemesis.h"

#include <stdio.h>

#include "base/mem.h"

enum { ACTIVE_MAX = 2 };

struct nemesis {
    struct drive *d;
    struct nemesis_hands hands;
    struct nemesis_options o;
    struct loop_timer timer;
    struct fault active[ACTIVE_MAX];
    size_t n_active, counts[FAULT_KINDS];
    struct fault changing; /* being begun or ended */
    bool beginning, busy, stopping;
    nemesis_done_fn *stopped;
    void *stopped_arg;
};

static const char *const names[FAULT_KINDS] = {
    [FAULT_KILL] = "kill",           [FAULT_CRASH] = "crash",
    [FAULT_PAUSE] = "pause",         [FAULT_CUT] = "cut",
    [FAULT_CUT_OUT] = "cut-out",     [FAULT_CUT_IN] = "cut-in",
    [FAULT_CUT_RING] = "cut-ring",   [FAULT_HIDE] = "hide",
    [FAULT_LOSS] = "loss",           [FAULT_SLOW] = "slow",
    [FAULT_RESTART] = "restart",     [FAULT_FULL] = "full",
    [FAULT_SLOW_DISK] = "slow-disk", [FAULT_EIO] = "eio",
    [FAULT_TORN] = "torn",           [FAULT_SNAPSHOT] = "snapshot",
    [FAULT_TRUNCATE] = "truncate",   [FAULT_CORRUPT] = "corrupt",
    [FAULT_WIPE] = "wipe",           [FAULT_CLOCK] = "clock",
    [FAULT_MEMBER] = "member",       [FAULT_JOIN] = "join",
};

static const struct {
    const char *name;
    unsigned kinds;
} groups[] = {
    {"process", 1u << FAULT_KILL | 1u << FAULT_CRASH | 1u << FAULT_PAUSE | 1u << FAULT_RESTART},
    {"network", 1u << FAULT_CUT | 1u << FAULT_CUT_OUT | 1u << FAULT_CUT_IN | 1u << FAULT_CUT_RING | 1u << FAULT_HIDE |
                    1u << FAULT_LOSS | 1u << FAULT_SLOW},
    {"disk", 1u << FAULT_FULL | 1u << FAULT_SLOW_DISK | 1u << FAULT_EIO | 1u << FAULT_TORN | 1u << FAULT_SNAPSHOT},
    {"damage", 1u << FAULT_TRUNCATE | 1u << FAULT_CORRUPT | 1u << FAULT_WIPE},
    {"membership", 1u << FAULT_MEMBER | 1u << FAULT_JOIN},
};

/* Of these there is one at a time. Clocks are among them because certificates and tokens for newcomers are good from and
 * until some time. */
static const unsigned exclusive = 1u << FAULT_TRUNCATE | 1u << FAULT_CORRUPT | 1u << FAULT_WIPE | 1u << FAULT_MEMBER |
                                  1u << FAULT_JOIN | 1u << FAULT_CLOCK;
static const unsigned of_one =
    1u << FAULT_TRUNCATE | 1u << FAULT_CORRUPT | 1u << FAULT_WIPE | 1u << FAULT_MEMBER | 1u << FAULT_JOIN;

const char *fault_name(enum fault_kind k)
{
    return names[k];
}

static unsigned word_kinds(struct slice word, unsigned able)
{
    if (slice_eq_str(word, "all"))
        return able;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (slice_eq_str(word, groups[i].name))
            return groups[i].kinds & able;
    for (unsigned k = 0; k < FAULT_KINDS; k++)
        if (slice_eq_str(word, names[k]))
            return 1u << k & able;
    return 0;
}

unsigned faults_parse(const char *text, unsigned able)
{
    struct slice rest = slice_str(text), word;
    unsigned kinds = 0;
    while (rest.n) {
        slice_cut(rest, ',', &word, &rest);
        unsigned more = word_kinds(word, able);
        if (!more)
            return 0;
        kinds |= more;
    }
    return kinds;
}

/* ---- whom and what ---- */

static unsigned node_count(const struct nemesis *n)
{
    return (unsigned)drive_opts(n->d)->n_nodes;
}

static unsigned some_nodes(struct nemesis *n, unsigned count)
{
    unsigned nodes = 0, all = node_count(n);
    while (count) {
        unsigned bit = 1u << drive_random(n->d, all);
        count -= !(nodes & bit);
        nodes |= bit;
    }
    return nodes;
}

static void choose_whom(struct nemesis *n, struct fault *f)
{
    unsigned all = node_count(n), majority = all / 2 + 1;
    int leader = n->hands.leader(n->hands.ctx);
    unsigned dice = (unsigned)drive_random(n->d, 10);
    bool few_only = of_one >> f->kind & 1;
    if (leader >= 0 && (dice < 4 || few_only)) {
        bool follower = dice % 2;
        f->nodes = follower ? 1u << (((unsigned)leader + 1 + drive_random(n->d, all - 1)) % all) : 1u << leader;
        f->whom = follower ? "follower" : "leader";
    } else if (dice < 7 || few_only) {
        f->nodes = some_nodes(n, few_only ? 1 : all - majority);
        f->whom = "minority";
    } else if (dice < 9) {
        f->nodes = some_nodes(n, majority);
        f->whom = "majority";
    } else {
        f->nodes = (1u << all) - 1;
        f->whom = "all";
    }
}

static void choose_param(struct nemesis *n, struct fault *f)
{
    static const int clocks[] = {-3600, -120, -5, 5, 120, 3600, 86400};
    switch (f->kind) {
    case FAULT_LOSS:
        f->param = 5 + (int)drive_random(n->d, 40);
        break;
    case FAULT_SLOW:
        f->param = 20 + (int)drive_random(n->d, 300);
        break;
    case FAULT_SLOW_DISK:
        f->param = 5 + (int)drive_random(n->d, 200);
        break;
    case FAULT_CLOCK:
        f->param = clocks[drive_random(n->d, sizeof clocks / sizeof *clocks)];
        break;
    default:
        f->param = (int)drive_random(n->d, 1000);
    }
}

static struct fault choose(struct nemesis *n)
{
    struct fault f = {.kind = (enum fault_kind)drive_random(n->d, FAULT_KINDS)};
    while (!(n->o.kinds >> f.kind & 1))
        f.kind = (enum fault_kind)drive_random(n->d, FAULT_KINDS);
    choose_whom(n, &f);
    choose_param(n, &f);
    return f;
}

/* A second fault on top: not the same kind, nor two that must come alone. */
static bool goes_with(const struct nemesis *n, const struct fault *f)
{
    for (size_t i = 0; i < n->n_active; i++) {
        enum fault_kind k = n->active[i].kind;
        if (k == f->kind || (exclusive >> k & exclusive >> f->kind & 1))
            return false;
    }
    return true;
}

static void note(struct nemesis *n, const char *what, const struct fault *f)
{
    char text[128];
    int at = snprintf(text, sizeof text, "%s %s %s:", what, names[f->kind], f->whom);
    for (unsigned i = 0; i < node_count(n); i++)
        if (f->nodes >> i & 1)
            at += snprintf(text + at, sizeof text - (size_t)at, " n%u", i + 1);
    snprintf(text + at, sizeof text - (size_t)at, " (%d)", f->param);
    drive_note(n->d, HIST_FAULT, 0, HIST_NIL, text);
}

/* ---- turns ---- */

static void turn_later(struct nemesis *n, uint64_t mean)
{
    loop_timer_start(drive_loop(n->d), &n->timer, n->stopping ? 1 : mean / 3 + drive_random(n->d, mean * 4 / 3 + 1));
}

static void on_changed(void *arg)
{
    struct nemesis *n = arg;
    n->busy = false;
    note(n, n->beginning ? "begin" : "end", &n->changing);
    const char *said = n->hands.said ? n->hands.said(n->hands.ctx) : "";
    if (*said)
        drive_note(n->d, HIST_FAULT, 0, HIST_NIL, said);
    if (n->beginning)
        n->active[n->n_active++] = n->changing;
    turn_later(n, n->n_active ? n->o.hold_ms : n->o.quiet_ms);
}

static void begin(struct nemesis *n, const struct fault *f)
{
    n->changing = *f;
    n->beginning = n->busy = true;
    n->counts[f->kind]++;
    n->hands.begin(n->hands.ctx, &n->changing, on_changed, n);
}

static void end(struct nemesis *n)
{
    size_t i = n->n_active > 1 ? drive_random(n->d, n->n_active) : 0;
    n->changing = n->active[i];
    n->active[i] = n->active[--n->n_active];
    n->beginning = false;
    n->busy = true;
    n->hands.end(n->hands.ctx, &n->changing, on_changed, n);
}

static void on_turn(struct loop_timer *t)
{
    struct nemesis *n = container_of(t, struct nemesis, timer);
    if (n->busy)
        return;
    if (n->stopping) {
        if (n->n_active)
            end(n);
        else if (n->stopped)
            n->stopped(n->stopped_arg);
        return;
    }
    struct fault f = choose(n);
    if (n->n_active < ACTIVE_MAX && goes_with(n, &f) && (!n->n_active || drive_random(n->d, 3) == 0))
        begin(n, &f);
    else if (n->n_active)
        end(n);
    else
        turn_later(n, n->o.quiet_ms);
}

/* ---- life ---- */

struct nemesis *nemesis_new(struct drive *d, const struct nemesis_hands *h, const struct nemesis_options *o)
{
    struct nemesis *n = mem_new(struct nemesis);
    n->d = d;
    n->hands = *h;
    n->o = *o;
    n->timer.cb = on_turn;
    return n;
}

void nemesis_start(struct nemesis *n)
{
    if (n->o.kinds)
        turn_later(n, n->o.quiet_ms);
}

void nemesis_stop(struct nemesis *n, nemesis_done_fn *done, void *arg)
{
    n->stopping = true;
    n->stopped = done;
    n->stopped_arg = arg;
    if (!n->busy)
        turn_later(n, 0);
}

void nemesis_free(struct nemesis *n)
{
    loop_timer_stop(drive_loop(n->d), &n->timer);
    mem_free(n);
}

const size_t *nemesis_counts(const struct nemesis *n)
{
    return n->counts;
}

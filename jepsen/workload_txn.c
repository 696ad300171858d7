/* Transactions of reads and appends over several keys, by the API's own request for them (/pintle/v1/kv). A transaction
 * first reads the lists it appends to, then asks for everything at once, provided that these have not changed; what it
 * only reads it sees in that one answer. Lists that have grown long are left behind for new keys. */
#include <stdio.h>

#include "jepsen/workload.h"

enum { KEYS = 4, STEPS_MAX = 4, ITEMS_MAX = 40, LIST_MAX = ITEMS_MAX * 4, TRIES = 6 };

struct shared {
    int64_t epoch; /* keys epoch × KEYS … are in use */
};

/* An append of value, or (0) a read. */
struct step {
    int64_t key, value;
};

struct transacting {
    struct step steps[STEPS_MAX];
    size_t n;
    unsigned tries;
    int64_t epoch; /* of the last look */
    bool looking;
};

static const char *path_of(struct worker *w)
{
    return arena_printf(&w->a, "/pintle/v1/kv/%s/txn", drive_opts(w->d)->ns);
}

static size_t items_of(struct slice rest, int64_t out[LIST_MAX])
{
    struct slice head;
    size_t n = 0;
    while (rest.n && n < LIST_MAX) {
        slice_cut(rest, ' ', &head, &rest);
        n += slice_to_i64(head, &out[n]);
    }
    return n;
}

static bool appends(const struct transacting *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->steps[i].value)
            return true;
    return false;
}

/* As long as nothing was read. */
static size_t intention(const struct transacting *s, int64_t micros[3 * STEPS_MAX])
{
    for (size_t i = 0; i < s->n; i++) {
        const struct step *step = &s->steps[i];
        micros[3 * i] = step->value ? HIST_MICRO_APPEND : HIST_MICRO_UNREAD;
        micros[3 * i + 1] = step->key;
        micros[3 * i + 2] = step->value ? step->value : HIST_NIL;
    }
    return 3 * s->n;
}

static void end_unread(struct worker *w, enum hist_type type, const char *note)
{
    int64_t micros[3 * STEPS_MAX];
    size_t n = intention(w->state, micros);
    op_end(w, type, micros, n, note);
}

/* ---- the answer ---- */

static void end_read(struct worker *w, const struct json *results)
{
    struct transacting *s = w->state;
    struct shared *shared = drive_shared(w->d);
    int64_t *micros = arena_alloc(&w->a, sizeof *micros * STEPS_MAX * (LIST_MAX + 3));
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct step *step = &s->steps[i];
        size_t items = step->value ? 0 : items_of(json_path_string(json_at(results, i), "value"), micros + n + 3);
        micros[n] = step->value ? HIST_MICRO_APPEND : HIST_MICRO_READ;
        micros[n + 1] = step->key;
        micros[n + 2] = step->value ? step->value : (int64_t)items;
        n += 3 + items;
        if (items >= ITEMS_MAX && shared->epoch == step->key / KEYS)
            shared->epoch++;
    }
    op_end(w, HIST_OK, micros, n, NULL);
}

static bool answered(const struct answer *a, const struct transacting *s)
{
    return !a->err && a->code == 200 && !a->marked && json_len(json_get_str(a->json, "results")) == s->n;
}

static void ask_old(struct worker *w);

static void on_txn(struct worker *w, const struct answer *a)
{
    struct transacting *s = w->state;
    bool done = json_bool(json_get_str(a->json, "succeeded"), false);
    if (done && answered(a, s))
        end_read(w, json_get_str(a->json, "results"));
    else if (!a->err && a->code == 200 && !done && ++s->tries < TRIES)
        ask_old(w);
    else if (!a->err && a->code == 200 && !done)
        end_unread(w, HIST_FAIL, "others were always first");
    else if (!appends(s))
        end_unread(w, HIST_FAIL, "no answer");
    else
        end_unread(w, answer_fate(a) == HIST_OK ? HIST_INFO : answer_fate(a), "not acknowledged");
}

/* ---- the request ---- */

static void add_step(struct buf *b, const struct step *step, const struct json *old)
{
    struct slice list = json_path_string(old, "value");
    if (!step->value)
        buf_printf(b, "{\"read\":\"list-%ld\"}", step->key);
    else
        buf_printf(b, "{\"put\":\"list-%ld\",\"value\":\"%" SLICE_FMT "%s%ld\"}", step->key, SLICE_ARG(list),
                   list.n ? " " : "", step->value);
}

static void add_compare(struct buf *b, const struct step *step, const struct json *old)
{
    int64_t revision = json_int(json_get_str(old, "revision"), 0);
    if (revision)
        buf_printf(b, "{\"key\":\"list-%ld\",\"revision\":%ld}", step->key, revision);
    else
        buf_printf(b, "{\"key\":\"list-%ld\",\"exists\":false}", step->key);
}

/* old: what the lists were, in the order of the steps that append; NULL when none does. */
static void ask(struct worker *w, const struct json *old)
{
    struct transacting *s = w->state;
    struct buf b = BUF_INIT(1 << 20);
    buf_add_str(&b, "{\"compare\":[");
    for (size_t i = 0, k = 0; i < s->n; i++) {
        if (!s->steps[i].value)
            continue;
        buf_add_str(&b, k ? "," : "");
        add_compare(&b, &s->steps[i], json_at(old, k++));
    }
    buf_add_str(&b, "],\"then\":[");
    for (size_t i = 0, k = 0; i < s->n; i++) {
        buf_add_str(&b, i ? "," : "");
        add_step(&b, &s->steps[i], s->steps[i].value ? json_at(old, k++) : NULL);
    }
    buf_add_str(&b, "]}");
    const char *body = arena_printf(&w->a, "%" SLICE_FMT, SLICE_ARG(buf_slice(&b)));
    buf_done(&b);
    worker_call(w, "POST", path_of(w), body, on_txn);
}

static void on_old(struct worker *w, const struct answer *a)
{
    if (a->err || a->code != 200 || !a->json)
        end_unread(w, HIST_FAIL, "no answer to the read before"); /* nothing was asked to change */
    else
        ask(w, json_get_str(a->json, "results"));
}

static void ask_old(struct worker *w)
{
    struct transacting *s = w->state;
    struct buf b = BUF_INIT(1 << 16);
    buf_add_str(&b, "{\"then\":[");
    for (size_t i = 0, k = 0; i < s->n; i++)
        if (s->steps[i].value)
            buf_printf(&b, "%s{\"read\":\"list-%ld\"}", k++ ? "," : "", s->steps[i].key);
    buf_add_str(&b, "]}");
    const char *body = arena_printf(&w->a, "%" SLICE_FMT, SLICE_ARG(buf_slice(&b)));
    buf_done(&b);
    worker_call(w, "POST", path_of(w), body, on_old);
}

static void begin(struct worker *w)
{
    struct transacting *s = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    int64_t micros[3 * STEPS_MAX];
    size_t n = intention(s, micros);
    s->tries = 0;
    e.f = HIST_TXN;
    op_begin(w, &e, micros, n);
    if (appends(s))
        ask_old(w);
    else
        ask(w, NULL);
}

/* A transaction writes a key once. */
static bool appended_before(const struct transacting *s, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (s->steps[k].value && s->steps[k].key == s->steps[i].key)
            return true;
    return false;
}

static void next(struct worker *w)
{
    struct transacting *s = w->state;
    const struct shared *shared = drive_shared(w->d);
    s->n = 1 + drive_random(w->d, STEPS_MAX);
    for (size_t i = 0; i < s->n; i++) {
        s->steps[i].key = shared->epoch * KEYS + (int64_t)drive_random(w->d, KEYS);
        bool append = drive_random(w->d, 2) && !appended_before(s, i);
        s->steps[i].value = append ? drive_unique(w->d) : 0;
    }
    begin(w);
}

/* ---- all keys there ever were ---- */

static void on_last(struct worker *w, const struct answer *a)
{
    struct transacting *s = w->state;
    bool read = answered(a, s);
    on_txn(w, a);
    if (read && s->epoch-- == 0)
        worker_done(w);
    else
        worker_again(w);
}

static void last(struct worker *w)
{
    struct transacting *s = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    int64_t micros[3 * STEPS_MAX];
    if (w->i >= 2) {
        worker_done(w);
        return;
    }
    if (!s->looking)
        s->epoch = ((const struct shared *)drive_shared(w->d))->epoch;
    s->looking = true;
    s->n = KEYS;
    for (size_t i = 0; i < KEYS; i++)
        s->steps[i] = (struct step){.key = s->epoch * KEYS + (int64_t)i};
    e.f = HIST_TXN;
    op_begin(w, &e, micros, intention(s, micros));
    worker_call(w, "POST", path_of(w),
                arena_printf(&w->a,
                             "{\"then\":[{\"read\":\"list-%ld\"},{\"read\":\"list-%ld\"},{\"read\":\"list-%ld\"},"
                             "{\"read\":\"list-%ld\"}]}",
                             s->steps[0].key, s->steps[1].key, s->steps[2].key, s->steps[3].key),
                on_last);
}

const struct workload workload_txn = {
    .name = "txn", .state_size = sizeof(struct transacting), .next = next, .last = last, .check = check_txn};

/* Lists that transactions append to. A ConfigMap holds a key's list; a transaction reads one and appends to it (a
 * compare-and-set by resourceVersion), or reads several keys at one revision (a list by label). Lists that have grown
 * long are left behind for new keys. */
#include <stdio.h>

#include "jepsen/workload.h"

enum { KEYS = 4, ITEMS_MAX = 40, TRIES = 6 };

struct shared {
    int64_t epoch; /* keys epoch × KEYS … are in use */
};

struct appending {
    int64_t key, value, epoch;
    unsigned tries;
};

static void try_append(struct worker *w);

/* The numbers of data.l into out (of room for max); their count. */
static size_t items_of(const struct json *obj, int64_t *out, size_t max)
{
    struct slice rest = json_path_string(obj, "data.l"), head;
    size_t n = 0;
    while (rest.n && n < max) {
        slice_cut(rest, ' ', &head, &rest);
        n += slice_to_i64(head, &out[n]);
    }
    return n;
}

static void on_appended(struct worker *w, const struct answer *a, const int64_t *micros, size_t n)
{
    struct appending *s = w->state;
    if (!a->err && a->code == 409 && ++s->tries < TRIES)
        try_append(w);
    else if (answer_fate(a) == HIST_OK)
        op_end(w, HIST_OK, micros, n, NULL);
    else
        op_end(w, answer_fate(a),
               (const int64_t[]){HIST_MICRO_UNREAD, s->key, HIST_NIL, HIST_MICRO_APPEND, s->key, s->value}, 6,
               "not acknowledged");
}

/* What was read stands in the new list before the last item. */
static void on_put(struct worker *w, const struct answer *a)
{
    struct appending *s = w->state;
    int64_t *micros = arena_alloc(&w->a, (ITEMS_MAX * 4 + 8) * sizeof *micros);
    size_t n = a->json && answer_fate(a) == HIST_OK ? items_of(a->json, micros + 3, 4UL * ITEMS_MAX) : 1;
    micros[0] = HIST_MICRO_READ;
    micros[1] = s->key;
    micros[2] = (int64_t)n - 1;
    micros[2 + n] = HIST_MICRO_APPEND;
    micros[3 + n] = s->key;
    micros[4 + n] = s->value;
    on_appended(w, a, micros, 5 + n);
}

static void on_old(struct worker *w, const struct answer *a)
{
    struct appending *s = w->state;
    struct shared *shared = drive_shared(w->d);
    bool absent = !a->err && a->code == 404;
    if (!absent && (a->err || a->code != 200 || !a->json)) {
        op_end(w, HIST_FAIL, NULL, 0, "no answer to the read");
        return;
    }
    int64_t items[ITEMS_MAX * 4];
    if (items_of(a->json, items, 4UL * ITEMS_MAX) >= ITEMS_MAX && shared->epoch == s->epoch)
        shared->epoch++;
    struct slice old = absent ? SLICE_NONE : json_path_string(a->json, "data.l");
    const char *at = absent ? "" : arena_printf(&w->a, ",\"resourceVersion\":\"%ld\"", json_revision(a->json));
    const char *text = arena_printf(
        &w->a,
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"list-%ld\"%s,\"labels\":{\"jepsen\":"
        "\"list-%ld\"}},\"data\":{\"l\":\"%.*s%s%ld\"}}",
        s->key, at, s->epoch, (int)old.n, old.n ? old.p : "", old.n ? " " : "", s->value);
    worker_call(w, absent ? "POST" : "PUT",
                absent ? CONFIGMAPS : arena_printf(&w->a, "%s/list-%ld", CONFIGMAPS, s->key), text, on_put);
}

static void try_append(struct worker *w)
{
    struct appending *s = w->state;
    worker_call(w, "GET", arena_printf(&w->a, "%s/list-%ld", CONFIGMAPS, s->key), NULL, on_old);
}

static void append(struct worker *w)
{
    struct appending *s = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    s->key = s->epoch * KEYS + (int64_t)drive_random(w->d, KEYS);
    s->value = drive_unique(w->d);
    s->tries = 0;
    e.f = HIST_TXN;
    op_begin(w, &e, (const int64_t[]){HIST_MICRO_UNREAD, s->key, HIST_NIL, HIST_MICRO_APPEND, s->key, s->value}, 6);
    try_append(w);
}

/* ---- several keys at once ---- */

static const struct json *item_named(const struct json *list, const char *name)
{
    json_each (item, json_get_str(list, "items"))
        if (slice_eq_str(json_path_string(item, "metadata.name"), name))
            return item;
    return NULL;
}

static bool end_read(struct worker *w, const struct answer *a)
{
    struct appending *s = w->state;
    if (!answer_tells(a) || a->code != 200) {
        op_end(w, HIST_FAIL, NULL, 0, "no answer");
        return false;
    }
    int64_t *micros = arena_alloc(&w->a, sizeof *micros * KEYS * (ITEMS_MAX * 4 + 3));
    size_t n = 0;
    for (int64_t key = s->epoch * KEYS; key < (s->epoch + 1) * KEYS; key++) {
        const struct json *item = item_named(a->json, arena_printf(&w->a, "list-%ld", key));
        size_t items = item ? items_of(item, micros + n + 3, 4UL * ITEMS_MAX) : 0;
        micros[n] = HIST_MICRO_READ;
        micros[n + 1] = key;
        micros[n + 2] = (int64_t)items;
        n += 3 + items;
    }
    w->op.revision = json_revision(a->json);
    op_end(w, HIST_OK, micros, n, NULL);
    return true;
}

static void on_lists(struct worker *w, const struct answer *a)
{
    end_read(w, a);
}

static void read_all(struct worker *w, answer_fn *done)
{
    struct appending *s = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    int64_t micros[3 * KEYS];
    for (int64_t i = 0; i < KEYS; i++) {
        micros[3 * i] = HIST_MICRO_UNREAD;
        micros[3 * i + 1] = s->epoch * KEYS + i;
        micros[3 * i + 2] = HIST_NIL;
    }
    e.f = HIST_TXN;
    op_begin(w, &e, micros, 3UL * KEYS);
    worker_call(w, "GET", arena_printf(&w->a, "%s?labelSelector=jepsen%%3Dlist-%ld", CONFIGMAPS, s->epoch), NULL, done);
}

static void next(struct worker *w)
{
    struct appending *s = w->state;
    const struct shared *shared = drive_shared(w->d);
    s->epoch = shared->epoch;
    if (drive_random(w->d, 2))
        append(w);
    else
        read_all(w, on_lists);
}

static void on_last(struct worker *w, const struct answer *a)
{
    struct appending *s = w->state;
    if (end_read(w, a) && s->epoch-- == 0)
        worker_done(w);
    else
        worker_again(w);
}

/* All keys there ever were. */
static void last(struct worker *w)
{
    struct appending *s = w->state;
    const struct shared *shared = drive_shared(w->d);
    if (w->i >= 2) {
        worker_done(w);
        return;
    }
    if (s->tries != UINT32_MAX) { /* the first time */
        s->tries = UINT32_MAX;
        s->epoch = shared->epoch;
    }
    read_all(w, on_last);
}

const struct workload workload_append = {
    .name = "append", .state_size = sizeof(struct appending), .next = next, .last = last, .check = check_txn};

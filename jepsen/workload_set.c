/* A set: ConfigMaps of one label are its members, reads are lists. And a counter: one ConfigMap, raised by
 * read, add, compare-and-set. */
#include "jepsen/workload.h"

/* ---- the set ---- */

#define MEMBERS configmaps_path(w, "?labelSelector=jepsen%3Dset")

struct growth {
    uint64_t added;
};

static void on_added(struct worker *w, const struct answer *a)
{
    op_end_as(w, a);
}

static void add(struct worker *w)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_ADD;
    e.value = drive_unique(w->d);
    op_begin(w, &e, NULL, 0);
    worker_call(
        w, "POST", CONFIGMAPS,
        configmap_text(w, arena_printf(&w->a, "set-%ld", e.value), e.value, 0, ",\"labels\":{\"jepsen\":\"set\"}"),
        on_added);
}

static bool end_read(struct worker *w, const struct answer *a)
{
    if (!answer_tells(a) || a->code != 200) {
        op_end(w, HIST_FAIL, NULL, 0, "no answer");
        return false;
    }
    const struct json *items = json_get_str(a->json, "items");
    size_t n = 0;
    int64_t *list = arena_alloc(&w->a, (json_len(items) + 1) * sizeof *list);
    json_each (item, items)
        list[n++] = json_value(item);
    w->op.revision = json_revision(a->json);
    op_end(w, HIST_OK, list, n, NULL);
    return true;
}

static void on_members(struct worker *w, const struct answer *a)
{
    end_read(w, a);
}

static void read_members(struct worker *w, answer_fn *done)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_READ;
    op_begin(w, &e, NULL, 0);
    worker_call(w, "GET", MEMBERS, NULL, done);
}

static void set_next(struct worker *w)
{
    /* Reads of a large set are dear. */
    struct growth *g = drive_shared(w->d);
    if (drive_random(w->d, 12 + g->added / 200) == 0)
        read_members(w, on_members);
    else
        add(w);
}

static void on_last_members(struct worker *w, const struct answer *a)
{
    if (end_read(w, a))
        worker_done(w);
    else
        worker_again(w);
}

static void set_last(struct worker *w)
{
    read_members(w, on_last_members);
}

const struct workload workload_set = {.name = "set", .next = set_next, .last = set_last, .check = check_set};

/* ---- the counter ---- */

#define COUNTER configmaps_path(w, "/counter")
enum { ADD_TRIES = 8 };

struct counting {
    unsigned tries;
};

static void try_add(struct worker *w);

static void on_raised(struct worker *w, const struct answer *a)
{
    struct counting *c = w->state;
    if (!a->err && a->code == 409 && ++c->tries < ADD_TRIES)
        try_add(w);
    else
        op_end_as(w, a);
}

static void on_count(struct worker *w, const struct answer *a)
{
    if (!a->err && a->code == 404) {
        worker_call(w, "POST", CONFIGMAPS, configmap_text(w, "counter", w->op.value, 0, ""), on_raised);
    } else if (a->err || a->code != 200 || json_value(a->json) == HIST_NIL) {
        op_end(w, HIST_FAIL, NULL, 0, "no answer to the read before"); /* nothing was asked to change */
    } else {
        worker_call(w, "PUT", COUNTER,
                    configmap_text(w, "counter", json_value(a->json) + w->op.value, json_revision(a->json), ""),
                    on_raised);
    }
}

static void try_add(struct worker *w)
{
    worker_call(w, "GET", COUNTER, NULL, on_count);
}

static bool end_count(struct worker *w, const struct answer *a)
{
    bool answered = answer_tells(a);
    w->op.value = !answered ? HIST_NIL : a->code == 200 ? json_value(a->json) : 0;
    op_end(w, answered ? HIST_OK : HIST_FAIL, NULL, 0, answered ? NULL : "no answer");
    return answered;
}

static void on_counted(struct worker *w, const struct answer *a)
{
    end_count(w, a);
}

static void read_count(struct worker *w, answer_fn *done)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_READ;
    op_begin(w, &e, NULL, 0);
    worker_call(w, "GET", COUNTER, NULL, done);
}

static void counter_next(struct worker *w)
{
    struct counting *c = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    if (drive_random(w->d, 3) == 0) {
        read_count(w, on_counted);
        return;
    }
    c->tries = 0;
    e.f = HIST_ADD;
    e.value = 1 + (int64_t)drive_random(w->d, 5);
    op_begin(w, &e, NULL, 0);
    try_add(w);
}

static void on_last_count(struct worker *w, const struct answer *a)
{
    if (end_count(w, a))
        worker_done(w);
    else
        worker_again(w);
}

static void counter_last(struct worker *w)
{
    read_count(w, on_last_count);
}

const struct workload workload_counter = {.name = "counter",
                                          .state_size = sizeof(struct counting),
                                          .next = counter_next,
                                          .last = counter_last,
                                          .check = check_counter};

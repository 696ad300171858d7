/* Registers: ConfigMaps that are read, written with PUT and PATCH, compared and set by resourceVersion, created and
 * deleted. No value is written twice. */
#include <stdio.h>

#include "jepsen/workload.h"

enum { KEYS = 6 };

/* What a worker saw last of each key. */
struct seen {
    int64_t value, revision;
};

struct registers {
    struct seen seen[KEYS];
    int64_t key, last; /* of the operation under way; of the last look */
};

static const char *key_path(struct worker *w, int64_t key)
{
    return arena_printf(&w->a, "%s/reg-%ld", CONFIGMAPS, key);
}

static const char *key_name(struct worker *w, int64_t key)
{
    return arena_printf(&w->a, "reg-%ld", key);
}

static void remember(struct worker *w, const struct json *obj)
{
    struct registers *r = w->state;
    r->seen[r->key] = (struct seen){json_value(obj), json_revision(obj)};
}

static void on_written(struct worker *w, const struct answer *a)
{
    struct registers *r = w->state;
    if (answer_fate(a) == HIST_OK) {
        w->op.revision = json_revision(a->json);
        remember(w, a->json);
    } else if (!a->err && a->code < 500) {
        r->seen[r->key] = (struct seen){0};
    }
    op_end_as(w, a);
}

static void on_deleted(struct worker *w, const struct answer *a)
{
    struct registers *r = w->state;
    r->seen[r->key] = (struct seen){0};
    op_end_as(w, a);
}

static void on_read(struct worker *w, const struct answer *a)
{
    struct registers *r = w->state;
    if (answer_tells(a)) {
        r->seen[r->key] = (struct seen){0};
        if (a->code == 200)
            remember(w, a->json);
        w->op.value = a->code == 200 ? json_value(a->json) : HIST_NIL;
        w->op.revision = a->code == 200 ? json_revision(a->json) : HIST_NIL;
        op_end(w, HIST_OK, NULL, 0, NULL);
        return;
    }
    op_end(w, HIST_FAIL, NULL, 0, "no answer"); /* a read changes nothing */
}

static void read_key(struct worker *w, struct hist_event *e)
{
    e->f = HIST_READ;
    op_begin(w, e, NULL, 0);
    worker_call(w, "GET", key_path(w, e->key), NULL, on_read);
}

static void write_key(struct worker *w, struct hist_event *e)
{
    bool patch = drive_random(w->d, 3) == 0;
    e->f = HIST_WRITE;
    e->value = drive_unique(w->d);
    op_begin(w, e, NULL, 0);
    const char *text = patch ? arena_printf(&w->a, "{\"data\":{\"v\":\"%ld\"}}", e->value)
                             : configmap_text(w, key_name(w, e->key), e->value, 0, "");
    worker_call(w, patch ? "PATCH" : "PUT", key_path(w, e->key), text, on_written);
}

static void swap_key(struct worker *w, struct hist_event *e, const struct seen *seen)
{
    e->f = HIST_CAS;
    e->expected = seen->value;
    e->value = drive_unique(w->d);
    op_begin(w, e, NULL, 0);
    worker_call(w, "PUT", key_path(w, e->key), configmap_text(w, key_name(w, e->key), e->value, seen->revision, ""),
                on_written);
}

/* A compare-and-set from nothing. */
static void create_key(struct worker *w, struct hist_event *e)
{
    e->f = HIST_CAS;
    e->value = drive_unique(w->d);
    op_begin(w, e, NULL, 0);
    worker_call(w, "POST", CONFIGMAPS, configmap_text(w, key_name(w, e->key), e->value, 0, ""), on_written);
}

static void delete_key(struct worker *w, struct hist_event *e)
{
    e->f = HIST_DELETE;
    op_begin(w, e, NULL, 0);
    worker_call(w, "DELETE", key_path(w, e->key), NULL, on_deleted);
}

static void next(struct worker *w)
{
    struct registers *r = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    e.key = r->key = (int64_t)drive_random(w->d, KEYS);
    const struct seen *seen = &r->seen[r->key];
    uint64_t dice = drive_random(w->d, 100);
    if (!seen->revision && dice < 15)
        create_key(w, &e);
    else if (dice < 3)
        delete_key(w, &e);
    else if (dice < 25)
        write_key(w, &e);
    else if (dice < 50 && seen->revision)
        swap_key(w, &e, seen);
    else
        read_key(w, &e);
}

/* The last look: each key once more, until there is an answer. */
static void on_last_read(struct worker *w, const struct answer *a)
{
    struct registers *r = w->state;
    bool answered = answer_tells(a);
    r->key = r->last;
    on_read(w, a);
    r->last += answered;
    if (r->last == KEYS)
        worker_done(w);
    else
        worker_again(w);
}

static void last(struct worker *w)
{
    struct registers *r = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_READ;
    e.key = r->last;
    op_begin(w, &e, NULL, 0);
    worker_call(w, "GET", key_path(w, e.key), NULL, on_last_read);
}

static void check(const struct history *h, struct verdict *v)
{
    check_linear(h, 0, v);
}

const struct workload workload_register = {
    .name = "register", .state_size = sizeof(struct registers), .next = next, .last = last, .check = check};

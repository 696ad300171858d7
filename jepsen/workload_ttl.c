/* Times to live: keys that are put with some seconds to live (/pintle/v1/kv), and looked at. None may be gone before its
 * time, measured from before it was put; in the end none may be left. Cluster time may run slow or fast by one part in
 * CLOCK_SLEW while clocks are wrong, a new leader's may differ by what messages take (EARLY_MS is plenty), and it
 * begins
 * with the first leader's clock after all were down at once (store/clock.h). */
#include <stdio.h>

#include "jepsen/workload.h"
#include "store/clock.h"

enum { SLOTS = 250, SLACK_MS = 5000, EARLY_MS = 1000 };

/* The newest keys, each in its slot. */
struct shared {
    int64_t next;
    uint64_t due[SLOTS]; /* ns; 0 = not acknowledged */
};
_Static_assert(sizeof(struct shared) <= DRIVE_SHARED, "fits what workers share");

struct living {
    int64_t key, looked; /* looked: of the last look, the slot */
    unsigned seconds;
    bool looking;
};

static void call(struct worker *w, const char *operation, answer_fn *done)
{
    worker_call(w, "POST", arena_printf(&w->a, "/pintle/v1/kv/%s/txn", drive_opts(w->d)->ns),
                arena_printf(&w->a, "{\"then\":[%s]}", operation), done);
}

static void on_put(struct worker *w, const struct answer *a)
{
    struct living *l = w->state;
    struct shared *s = drive_shared(w->d);
    uint64_t ms = (uint64_t)l->seconds * 1000, lives = (ms - ms / CLOCK_SLEW - EARLY_MS) * 1000000;
    if (answer_fate(a) == HIST_OK && l->key + SLOTS >= s->next)
        s->due[l->key % SLOTS] = w->op.time + lives;
    op_end_as(w, a);
}

static void put(struct worker *w)
{
    struct living *l = w->state;
    struct shared *s = drive_shared(w->d);
    struct hist_event e = HIST_EVENT_INIT;
    l->key = s->next++;
    l->seconds = 2 + (unsigned)drive_random(w->d, 4);
    s->due[l->key % SLOTS] = 0;
    e.f = HIST_WRITE;
    e.key = l->key;
    e.value = l->seconds;
    op_begin(w, &e, NULL, 0);
    call(w, arena_printf(&w->a, "{\"put\":\"ttl-%ld\",\"value\":\"\",\"ttlSeconds\":%u}", l->key, l->seconds), on_put);
}

/* What is late counts only when all is well again. */
static bool end_look(struct worker *w, const struct answer *a)
{
    const struct living *l = w->state;
    const struct json *result = json_at(json_get_str(a->json, "results"), 0);
    bool told = !a->err && a->code == 200 && !a->marked && result;
    w->op.value = told ? json_get_str(result, "value") != NULL : HIST_NIL;
    bool counts = told && (!w->op.value || l->looking);
    op_end(w, counts ? HIST_OK : HIST_FAIL, NULL, 0, counts ? NULL : told ? "still there" : "no answer");
    return told;
}

static void on_look(struct worker *w, const struct answer *a)
{
    end_look(w, a);
}

static void look(struct worker *w, answer_fn *done)
{
    struct living *l = w->state;
    const struct shared *s = drive_shared(w->d);
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_EXPIRE;
    e.key = l->key;
    e.expected = (int64_t)s->due[l->key % SLOTS]; /* as acknowledged before the look begins */
    op_begin(w, &e, NULL, 0);
    call(w, arena_printf(&w->a, "{\"read\":\"ttl-%ld\"}", l->key), done);
}

static void next(struct worker *w)
{
    struct living *l = w->state;
    const struct shared *s = drive_shared(w->d);
    int64_t first = s->next > SLOTS ? s->next - SLOTS : 0;
    if (first == s->next || drive_random(w->d, 2)) {
        put(w);
        return;
    }
    l->key = first + (int64_t)drive_random(w->d, (uint64_t)(s->next - first));
    look(w, on_look);
}

static void on_last(struct worker *w, const struct answer *a)
{
    struct living *l = w->state;
    l->looked += end_look(w, a) ? drive_opts(w->d)->workers : 0;
    worker_again(w);
}

/* The workers share what there is to be looked at. */
static void last(struct worker *w)
{
    struct living *l = w->state;
    const struct shared *s = drive_shared(w->d);
    if (!l->looking)
        l->looked = w->i;
    l->looking = true;
    while (l->looked < SLOTS && !s->due[l->looked])
        l->looked += drive_opts(w->d)->workers;
    if (l->looked >= SLOTS) {
        worker_done(w);
        return;
    }
    l->key = s->next - 1 - ((s->next - 1 - l->looked) % SLOTS + SLOTS) % SLOTS; /* the newest key of that slot */
    look(w, on_last);
}

static void check(const struct history *h, struct verdict *v)
{
    check_lease(h, (uint64_t)SLACK_MS * 1000000, v);
}

const struct workload workload_ttl = {
    .name = "ttl", .state_size = sizeof(struct living), .next = next, .last = last, .check = check};

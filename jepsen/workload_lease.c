/* Leases as leader election uses them: a candidate takes a Lease that is free, was given back, or has not been renewed
 * for its whole duration as far as this candidate has seen; the holder renews it. Time is the candidates' own clock
 * (one process, one clock), never the servers'. */
#include <stdio.h>

#include "jepsen/workload.h"

enum { LEASES = 2, DURATION_MS = 1200, MARGIN_MS = 20 };

struct candidate {
    uint64_t until;       /* believes to hold it until then, ns */
    int64_t observed;     /* revision seen last */
    uint64_t observed_at; /* and when it was seen first, ns */
    enum hist_f wish;
};

static int64_t lease_of(const struct worker *w)
{
    return w->i % LEASES;
}

static const char *lease_path(struct worker *w, bool one)
{
    const char *name = one ? arena_printf(&w->a, "/lease-%ld", lease_of(w)) : "";
    return arena_printf(&w->a, "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s", drive_opts(w->d)->ns, name);
}

static void on_put(struct worker *w, const struct answer *a)
{
    struct candidate *c = w->state;
    enum hist_type fate = answer_fate(a);
    c->until = 0;
    if (fate == HIST_OK && c->wish != HIST_RELEASE) {
        const struct hist_event *call = &w->op;
        c->until = call->time + (uint64_t)DURATION_MS * 1000000;
    }
    op_end_as(w, a);
}

static void put(struct worker *w, enum hist_f f, int64_t revision)
{
    struct candidate *c = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    e.f = (uint8_t)f;
    e.key = lease_of(w);
    e.value = w->i;
    e.expected = f == HIST_RELEASE ? HIST_NIL : (int64_t)DURATION_MS * 1000000;
    c->wish = f;
    if (f == HIST_RELEASE)
        c->until = 0;
    op_begin(w, &e, NULL, 0);
    const char *at = revision > 0 ? arena_printf(&w->a, ",\"resourceVersion\":\"%ld\"", revision) : "";
    const char *holder = f == HIST_RELEASE ? "" : arena_printf(&w->a, "\"holderIdentity\":\"c%u\",", w->i);
    const char *text = arena_printf(&w->a,
                                    "{\"apiVersion\":\"coordination.k8s.io/"
                                    "v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"lease-%ld\"%s},\"spec\":"
                                    "{%s\"leaseDurationSeconds\":2,\"leaseTransitions\":%ld}}",
                                    e.key, at, holder, drive_unique(w->d));
    worker_call(w, revision ? "PUT" : "POST", revision ? lease_path(w, true) : lease_path(w, false), text, on_put);
}

static void decide(struct worker *w, const struct json *obj)
{
    struct candidate *c = w->state;
    uint64_t now = drive_time(w->d);
    int64_t revision = json_revision(obj);
    struct slice holder = json_path_string(obj, "spec.holderIdentity");
    bool mine = slice_eq_str(holder, arena_printf(&w->a, "c%u", w->i));
    if (c->observed != revision) {
        c->observed = revision;
        c->observed_at = now;
    }
    if (mine && c->until > now)
        put(w, drive_random(w->d, 6) == 0 ? HIST_RELEASE : HIST_RENEW, revision);
    else if (!holder.n || mine || now - c->observed_at > (uint64_t)(DURATION_MS + MARGIN_MS) * 1000000)
        put(w, HIST_ACQUIRE, revision);
    else
        worker_skip(w);
}

static void on_looked(struct worker *w, const struct answer *a)
{
    if (!a->err && a->code == 404)
        put(w, HIST_ACQUIRE, 0);
    else if (a->err || a->code != 200 || !a->json)
        worker_skip(w);
    else
        decide(w, a->json);
}

/* Some holders forget to renew for a while. */
static void next(struct worker *w)
{
    const struct candidate *c = w->state;
    if (c->until && drive_random(w->d, 20) == 0)
        worker_skip(w);
    else
        worker_call(w, "GET", lease_path(w, true), NULL, on_looked);
}

static void check(const struct history *h, struct verdict *v)
{
    check_lease(h, 5000000, v);
}

const struct workload workload_lease = {
    .name = "lease", .state_size = sizeof(struct candidate), .next = next, .check = check, .think_ms = 120};

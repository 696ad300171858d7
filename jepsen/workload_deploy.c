/* Deployments: their sizes change while all else fails; in the end each has the pods it was asked for last, and no
 * others. */
#include <stdio.h>

#include "jepsen/workload.h"

enum { DEPLOYMENTS = 3, PODS_MAX = 8, LOOKS_MAX = 300 };

struct scaling {
    int64_t wanted;
    bool insisted;
    unsigned looks;
};

static const char *deploy_path(struct worker *w, const char *rest)
{
    return arena_printf(&w->a, "/apis/apps/v1/namespaces/%s/deployments%s", drive_opts(w->d)->ns, rest);
}

static const char *deployment_text(struct worker *w, int64_t pods)
{
    return arena_printf(
        &w->a,
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"dep-%u\"},\"spec\":{"
        "\"replicas\":%ld,\"selector\":{\"matchLabels\":{\"app\":\"dep-%u\"}},\"template\":{\"metadata\":{"
        "\"labels\":{\"app\":\"dep-%u\"}},\"spec\":{\"terminationGracePeriodSeconds\":1,\"containers\":[{"
        "\"name\":\"c\",\"image\":\"example.com/web:1\"}]}}}}",
        w->i, pods, w->i, w->i);
}

static void on_created(struct worker *w, const struct answer *a)
{
    op_end_as(w, a);
}

static void on_scaled(struct worker *w, const struct answer *a)
{
    struct scaling *s = w->state;
    if (!a->err && a->code == 404)
        worker_call(w, "POST", deploy_path(w, ""), deployment_text(w, s->wanted), on_created);
    else
        op_end_as(w, a);
}

static void scale(struct worker *w, answer_fn *done)
{
    struct scaling *s = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_SCALE;
    e.key = w->i;
    e.value = s->wanted;
    op_begin(w, &e, NULL, 0);
    worker_call(w, "PATCH", deploy_path(w, arena_printf(&w->a, "/dep-%u", w->i)),
                arena_printf(&w->a, "{\"spec\":{\"replicas\":%ld}}", s->wanted), done);
}

/* A look at a Deployment's pods: how many stay, how many should not be there. */
static void on_pods(struct worker *w, const struct answer *a)
{
    if (!answer_tells(a) || a->code != 200) {
        op_end(w, HIST_FAIL, NULL, 0, "no answer");
        return;
    }
    w->op.value = w->op.expected = 0;
    json_each (pod, json_get_str(a->json, "items")) {
        const struct json *owner = json_at(json_path(pod, "metadata.ownerReferences"), 0);
        bool going = json_path(pod, "metadata.deletionTimestamp") || !owner;
        *(going ? &w->op.expected : &w->op.value) += 1;
    }
    op_end(w, HIST_OK, NULL, 0, NULL);
}

static void look(struct worker *w, answer_fn *done)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_PODS;
    e.key = w->i % DEPLOYMENTS;
    op_begin(w, &e, NULL, 0);
    worker_call(
        w, "GET",
        arena_printf(&w->a, "/api/v1/namespaces/%s/pods?labelSelector=app%%3Ddep-%ld", drive_opts(w->d)->ns, e.key),
        NULL, done);
}

static void next(struct worker *w)
{
    struct scaling *s = w->state;
    if (w->i < DEPLOYMENTS && drive_random(w->d, 3)) {
        s->wanted = (int64_t)drive_random(w->d, PODS_MAX + 1);
        scale(w, on_scaled);
    } else {
        look(w, on_pods);
    }
}

static void on_acknowledged(struct worker *w, const struct answer *a)
{
    struct scaling *s = w->state;
    s->insisted = answer_fate(a) == HIST_OK;
    op_end_as(w, a);
    worker_again(w);
}

static void on_insisted(struct worker *w, const struct answer *a)
{
    const struct scaling *s = w->state;
    if (!a->err && a->code == 404) /* nobody answered before */
        worker_call(w, "POST", deploy_path(w, ""), deployment_text(w, s->wanted), on_acknowledged);
    else
        on_acknowledged(w, a);
}

static void on_last_pods(struct worker *w, const struct answer *a)
{
    struct scaling *s = w->state;
    on_pods(w, a);
    bool settled = w->op.type == HIST_OK && w->op.value == s->wanted && !w->op.expected;
    if (settled || ++s->looks > LOOKS_MAX)
        worker_done(w);
    else
        worker_again(w);
}

/* The last size is asked for again until acknowledged: an earlier call that nobody answered may have come late. */
static void last(struct worker *w)
{
    struct scaling *s = w->state;
    if (w->i >= DEPLOYMENTS)
        worker_done(w);
    else if (!s->insisted)
        scale(w, on_insisted);
    else
        look(w, on_last_pods);
}

const struct workload workload_deploy = {.name = "deploy",
                                         .state_size = sizeof(struct scaling),
                                         .next = next,
                                         .last = last,
                                         .check = check_pods,
                                         .think_ms = 400};

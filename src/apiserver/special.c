#include "apiserver/special.h"

#include "apiserver/internal.h"
#include "apiserver/options.h"
#include "apiserver/output.h"

/* ANYWHERE_FRESH: on this replica, once its state has all that was acknowledged: who made a pod may ask for its log. */
enum place { ANYWHERE, ANYWHERE_FRESH, ON_LEADER, ON_LEADER_TO_WRITE };

/* plural "*" = any resource; sub "" = the resource itself. */
static const struct {
    const char *group, *plural, *sub;
    enum place place;
    void (*run)(struct api_request *r);
} rows[] = {
    {"*", "*", "scale", ON_LEADER_TO_WRITE, api_scale},
    {"", "pods", "binding", ON_LEADER, api_bind},
    {"", "bindings", "", ON_LEADER, api_bind},
    {"", "pods", "eviction", ON_LEADER, api_evict},
    {"", "pods", "log", ANYWHERE_FRESH, api_pod_log},
    {"", "pods", "exec", ANYWHERE_FRESH, api_pod_stream},
    {"", "pods", "attach", ANYWHERE_FRESH, api_pod_stream},
    {"", "pods", "portforward", ANYWHERE_FRESH, api_pod_stream},
    {"", "*", "proxy", ANYWHERE_FRESH, api_proxy},
    {"", "serviceaccounts", "token", ON_LEADER, api_token_request},
    {"authentication.k8s.io", "tokenreviews", "", ANYWHERE_FRESH, api_token_review},
    {"authentication.k8s.io", "selfsubjectreviews", "", ANYWHERE, api_self_review},
    {"authorization.k8s.io", "selfsubjectaccessreviews", "", ANYWHERE, api_access_review},
    {"authorization.k8s.io", "subjectaccessreviews", "", ANYWHERE, api_access_review},
    {"authorization.k8s.io", "localsubjectaccessreviews", "", ANYWHERE, api_access_review},
    {"authorization.k8s.io", "selfsubjectrulesreviews", "", ANYWHERE, api_rules_review},
    {"", "componentstatuses", "", ANYWHERE, api_component_statuses},
};

static bool is(const char *pattern, const char *text)
{
    return !strcmp(pattern, "*") || !strcmp(pattern, text);
}

static bool changes(enum api_verb v)
{
    return v == API_CREATE || v == API_UPDATE || v == API_PATCH;
}

static void run_fresh(struct api_request *r, int err)
{
    size_t i = (size_t)((const char *)r->fixed - (const char *)rows) / sizeof *rows;
    if (err)
        api_reply_errno(r, err, "the state cannot be read");
    else
        rows[i].run(r);
}

bool api_special(struct api_request *r)
{
    struct status st;
    const char *sub = r->sub ? r->sub->name : "";
    bool leader = replica_is_leader(r->api->o.replica), reads = r->verb == API_GET || r->verb == API_LIST;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!is(rows[i].group, r->res->group) || !is(rows[i].plural, r->res->plural) || strcmp(rows[i].sub, sub) != 0)
            continue;
        if (!leader && (rows[i].place == ON_LEADER || (rows[i].place == ON_LEADER_TO_WRITE && !reads)))
            api_forward(r);
        else if (rows[i].place == ANYWHERE_FRESH) {
            r->fixed = &rows[i];
            api_when_confirmed(r, run_fresh);
        } else if (changes(r->verb) && rows[i].place != ANYWHERE && api_check_write_options(r, &st))
            api_reply_status(r, &st);
        else
            rows[i].run(r);
        return true;
    }
    return false;
}

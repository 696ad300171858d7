/* Rules of what makes pods: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob, ReplicationController. */
#include <ctype.h>

#include "object/intstr.h"
#include "object/meta.h"
#include "object/path.h"
#include "object/selector.h"
#include "object/validate_rules.h"

static const char *lower_kind(const struct rule_call *c)
{
    struct slice kind = arena_copy(c->v->a, meta_kind(c->root));
    for (size_t i = 0; i < kind.n; i++)
        ((char *)kind.p)[i] = (char)tolower((unsigned char)kind.p[i]);
    return kind.p ? kind.p : "";
}

static void check_template_labels(const struct rule_call *c, const struct selector *s)
{
    struct place template = place_member(c->at, "template"), meta = place_member(&template, "metadata");
    struct place here = place_member(&meta, "labels");
    const struct json *labels = json_path(c->value, "template.metadata.labels");
    if (!selector_matches_labels(s, labels))
        place_invalid(c->v, &here, labels ? labels : json_new_object(c->v->a),
                      "`selector` does not match template `labels`");
}

/* Pods that are kept running: always restarted, without a deadline. */
static void check_template_policy(const struct rule_call *c)
{
    static const char *const always[] = {"Always", NULL};
    struct place template = place_member(c->at, "template"), spec = place_member(&template, "spec");
    struct place policy = place_member(&spec, "restartPolicy"), deadline = place_member(&spec, "activeDeadlineSeconds");
    const struct json *p = json_path(c->value, "template.spec");
    const struct json *restart = json_get_str(p, "restartPolicy");
    if (restart && !slice_eq_str(json_string(restart), "Always"))
        place_not_supported(c->v, &policy, restart, always);
    if (json_get_str(p, "activeDeadlineSeconds"))
        place_forbidden(c->v, &deadline,
                        arena_printf(c->v->a, "activeDeadlineSeconds in %" SLICE_FMT " is not Supported",
                                     SLICE_ARG(meta_kind(c->root))));
}

/* value: the spec. */
static void workload(const struct rule_call *c)
{
    struct place here = place_member(c->at, "selector");
    const struct json *selector = json_get_str(c->value, "selector");
    struct selector s;
    if (selector && json_len(selector) == 0)
        place_invalid(c->v, &here, selector, arena_printf(c->v->a, "empty selector is invalid for %s", lower_kind(c)));
    else if (selector && selector_from_object(c->v->a, selector, &s) == 0)
        check_template_labels(c, &s);
    check_template_policy(c);
}

static void replication_controller(const struct rule_call *c)
{
    const struct json *selector = json_get_str(c->value, "selector");
    struct selector s;
    if (json_len(selector) && selector_from_map(c->v->a, selector, &s) == 0)
        check_template_labels(c, &s);
    check_template_policy(c);
}

static void deadline(const struct rule_call *c)
{
    struct place here = place_member(c->at, "progressDeadlineSeconds");
    const struct json *seconds = json_get_str(c->value, "progressDeadlineSeconds");
    check_range(c->v, &here, seconds, 0, INT64_MAX);
    if (seconds && json_int(seconds, 0) <= json_int(json_get_str(c->value, "minReadySeconds"), 0))
        place_invalid(c->v, &here, seconds, "must be greater than minReadySeconds");
}

static bool is_zero(const struct json *v)
{
    int64_t percent;
    return !v || (intstr_is_percent(v, &percent) ? percent == 0 : json_int(v, 1) == 0);
}

static void not_both_zero(const struct rule_call *c)
{
    struct place here = place_member(c->at, "maxUnavailable");
    const struct json *unavailable = json_get_str(c->value, "maxUnavailable");
    if (is_zero(unavailable) && is_zero(json_get_str(c->value, "maxSurge")))
        place_invalid(c->v, &here, unavailable, "may not be 0 when `maxSurge` is 0");
}

static void recreate_alone(const struct rule_call *c)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    struct place rolling = place_member(c->at, "rollingUpdate"), type = place_member(c->at, "type");
    struct slice t = json_path_string(c->value, "type");
    if (slice_eq_str(t, "Recreate") && json_get_str(c->value, "rollingUpdate"))
        place_forbidden(c->v, &rolling, "may not be specified when strategy `type` is 'Recreate'");
    if (t.n && !slice_eq_str(t, "Recreate") && !slice_eq_str(t, "RollingUpdate"))
        place_not_supported(c->v, &type, json_get_str(c->value, "type"), types);
}

/* The new value with the members that may change taken from the stored one. */
static struct json *without_changes(const struct rule_call *c, const char *const *paths, size_t n)
{
    struct json *copy = json_clone(c->v->a, c->value);
    for (size_t i = 0; i < n; i++) {
        const struct json *before = path_get_str(c->old, paths[i]);
        if (before)
            path_set(c->v->a, copy, slice_str(paths[i]), json_clone(c->v->a, before));
        else
            path_del(copy, slice_str(paths[i]));
    }
    return copy;
}

/* value: a DaemonSet's strategy: exactly one of the two numbers lets it move. */
static void daemon_strategy(const struct rule_call *c)
{
    static const char *const types[] = {"OnDelete", "RollingUpdate", NULL};
    struct place rolling = place_member(c->at, "rollingUpdate"), type = place_member(c->at, "type");
    struct place here = place_member(&rolling, "maxUnavailable"), surge = place_member(&rolling, "maxSurge");
    const struct json *r = json_get_str(c->value, "rollingUpdate"), *t = json_get_str(c->value, "type");
    if (!is_blank(t) && !text_is_one_of(json_string(t), types))
        place_not_supported(c->v, &type, t, types);
    if (!slice_eq_str(json_string(t), "RollingUpdate"))
        return;
    const struct json *gone = json_get_str(r, "maxUnavailable"), *extra = json_get_str(r, "maxSurge");
    if (!r)
        place_required(c->v, &rolling, NULL);
    else if (is_zero(gone) && is_zero(extra))
        place_required(c->v, &here, "cannot be 0 when maxSurge is 0");
    else if (!is_zero(gone) && !is_zero(extra))
        place_invalid(c->v, &surge, extra, "may not be set when maxUnavailable is non-zero");
}

/* value: a StatefulSet's spec. */
static void stateful_strategy(const struct rule_call *c)
{
    static const char *const types[] = {"OnDelete", "RollingUpdate", NULL};
    static const char *const managements[] = {"OrderedReady", "Parallel", NULL};
    struct place strategy = place_member(c->at, "updateStrategy"), manage = place_member(c->at, "podManagementPolicy");
    const struct json *management = json_get_str(c->value, "podManagementPolicy");
    struct place rolling = place_member(&strategy, "rollingUpdate"), max = place_member(&rolling, "maxUnavailable");
    const struct json *t = json_path(c->value, "updateStrategy.type"),
                      *r = json_path(c->value, "updateStrategy.rollingUpdate");
    const struct json *n = json_get_str(r, "maxUnavailable");
    if (!text_is_one_of(json_string(management), managements))
        place_invalid(c->v, &manage, management, "must be 'OrderedReady' or 'Parallel'");
    if (!text_is_one_of(json_string(t), types))
        place_invalid(c->v, &strategy, json_get_str(c->value, "updateStrategy"),
                      "must be 'RollingUpdate' or 'OnDelete'");
    if (slice_eq_str(json_string(t), "OnDelete") && r)
        place_invalid(c->v, &rolling, r, "only allowed for updateStrategy 'RollingUpdate'");
    if (n && is_zero(n))
        place_invalid(c->v, &max, n, "cannot be 0");
}

/* value: a new StatefulSet: its pods' names end in the service's. */
static void service_name(const struct rule_call *c)
{
    const struct json *name = json_path(c->value, "spec.serviceName");
    struct place spec = place_member(c->at, "spec"), here = place_member(&spec, "serviceName");
    if (!c->update && !is_blank(name))
        place_invalid(c->v, &here, name, validate_label_name(json_string(name)));
}

static void stateful_set_update(const struct rule_call *c)
{
    static const char *const free[] = {"replicas",
                                       "ordinals",
                                       "template",
                                       "updateStrategy",
                                       "revisionHistoryLimit",
                                       "persistentVolumeClaimRetentionPolicy",
                                       "minReadySeconds"};
    if (c->update && !json_equal(without_changes(c, free, sizeof free / sizeof *free), c->old))
        place_forbidden(c->v, c->at,
                        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                        "'minReadySeconds' are forbidden");
}

/* ---- jobs ---- */

static void job(const struct rule_call *c)
{
    static const char *const modes[] = {"Indexed", "NonIndexed", NULL};
    struct place template = place_member(c->at, "template"), spec = place_member(&template, "spec");
    struct place policy = place_member(&spec, "restartPolicy"), completions = place_member(c->at, "completions");
    struct place mode = place_member(c->at, "completionMode");
    struct slice restart = json_path_string(c->value, "template.spec.restartPolicy");
    struct slice m = json_path_string(c->value, "completionMode");
    if (restart.n == 0 || slice_eq_str(restart, "Always"))
        place_required(c->v, &policy, "valid values: \"OnFailure\", \"Never\"");
    if (slice_eq_str(m, "Indexed") && !json_get_str(c->value, "completions"))
        place_required(c->v, &completions, "when completion mode is Indexed");
    else if (m.n && !slice_eq_str(m, "Indexed") && !slice_eq_str(m, "NonIndexed"))
        place_not_supported(c->v, &mode, json_get_str(c->value, "completionMode"), modes);
}

/* Completions of an Indexed job may change together with parallelism. */
static bool is_elastic(const struct rule_call *c)
{
    const struct json *spec = json_get_str(c->root, "spec");
    return slice_eq_str(c->at->name, "completions") &&
           slice_eq_str(json_path_string(spec, "completionMode"), "Indexed") &&
           json_equal(json_get_str(spec, "completions"), json_get_str(spec, "parallelism"));
}

/* While a job is suspended, where and with what its pods run may change. */
static bool is_rescheduled(const struct rule_call *c)
{
    static const char *const free[] = {"metadata.labels",  "metadata.annotations", "spec.nodeSelector",
                                       "spec.tolerations", "spec.affinity",        "spec.schedulingGates"};
    if (!slice_eq_str(c->at->name, "template") || !json_bool(json_path(c->root, "spec.suspend"), false))
        return false;
    struct json *copy = without_changes(c, free, sizeof free / sizeof *free);
    const struct json *before = json_first(json_path(c->old, "spec.containers"));
    json_each (it, json_path(copy, "spec.containers")) {
        if (before)
            json_set_str(c->v->a, it, "resources", json_clone(c->v->a, json_get_str(before, "resources")));
        before = before ? before->next : NULL;
    }
    return json_equal(copy, c->old);
}

static void job_immutable(const struct rule_call *c)
{
    bool same = (is_blank(c->value) && is_blank(c->old)) || json_equal(c->value, c->old);
    if (c->update && !same && !is_elastic(c) && !is_rescheduled(c))
        place_invalid(c->v, c->at, c->value, "field is immutable");
}

/* ---- cron ---- */

static bool is_macro(struct slice s)
{
    static const char *const macros[] = {"@yearly", "@annually", "@monthly", "@weekly",
                                         "@daily",  "@midnight", "@hourly"};
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (slice_eq_str(s, macros[i]))
            return true;
    return slice_starts(s, SLICE("@every "));
}

static size_t count_fields(struct slice s, bool *fine)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool space = s.p[i] == ' ' || s.p[i] == '\t';
        n += !space && (i == 0 || s.p[i - 1] == ' ' || s.p[i - 1] == '\t');
        *fine &= space || isalnum((unsigned char)s.p[i]) || (s.p[i] && strchr("*/,-?", s.p[i]));
    }
    return n;
}

/* Numbers of a field that are above what it counts, as in "60 * * * *". NULL when none. */
static const char *above_range(struct arena *a, struct slice s)
{
    static const uint64_t most[] = {59, 23, 31, 12, 6};
    struct slice field, part, number;
    for (size_t i = 0; i < 5; i++) {
        s = slice_trim(s);
        slice_cut(s, ' ', &field, &s);
        while (field.n) {
            uint64_t n;
            slice_cut(field, ',', &part, &field);
            slice_cut(part, '/', &part, &number);
            while (part.n) {
                slice_cut(part, '-', &number, &part);
                if (slice_to_u64(number, &n) && n > most[i] && !(i == 4 && n == 7))
                    return arena_printf(a, "end of range (%d) above maximum (%d): %d", (int)n, (int)most[i], (int)n);
            }
        }
    }
    return NULL;
}

static void cron_schedule(const struct rule_call *c)
{
    struct slice s = json_string(c->value);
    bool fine = true;
    if (s.n == 0 || is_macro(s)) /* its absence is told by the schema */
        return;
    size_t n = count_fields(s, &fine);
    bool zone = slice_starts(s, SLICE("TZ=")) || slice_starts(s, SLICE("CRON_TZ="));
    if (zone)
        place_invalid(c->v, c->at, c->value, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    else if (n != 5)
        place_invalid(c->v, c->at, c->value,
                      arena_printf(c->v->a, "expected exactly 5 fields, found %zu: [%" SLICE_FMT "]", n, SLICE_ARG(s)));
    else if (!fine)
        place_invalid(c->v, c->at, c->value, "failed to parse the schedule");
    else
        place_invalid(c->v, c->at, c->value, above_range(c->v->a, s));
}

static const struct rule_entry entries[] = {
    {"cron_schedule", cron_schedule},
    {"daemon_strategy", daemon_strategy},
    {"deadline", deadline},
    {"job", job},
    {"job_immutable", job_immutable},
    {"not_both_zero", not_both_zero},
    {"recreate_alone", recreate_alone},
    {"replication_controller", replication_controller},
    {"service_name", service_name},
    {"stateful_set_update", stateful_set_update},
    {"stateful_strategy", stateful_strategy},
    {"workload", workload},
};

const struct rule_table rules_workloads = RULE_TABLE(entries);

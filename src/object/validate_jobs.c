/* Rules of Jobs beyond the basic ones, and of the statuses of what makes pods. */
#include "object/meta.h"
#include "object/path.h"
#include "object/validate_rules.h"

enum {
    RULES_MAX = 20,
    EXIT_CODES_MAX = 255,
    PARALLELISM_MAX = 100000,
    LARGE_COMPLETIONS = 100000,
    LARGE_MAX = 10000,
    SUCCESS_INDEXES_MAX = 64 << 10,
};

static int64_t number(const struct json *obj, const char *member)
{
    return json_int(json_get_str(obj, member), 0);
}

/* ---- indexes ---- */

static void check_large(const struct rule_call *c)
{
    struct place failed = place_member(c->at, "maxFailedIndexes");
    if (number(c->value, "completions") <= LARGE_COMPLETIONS || !json_get_str(c->value, "backoffLimitPerIndex"))
        return;
    if (!json_get_str(c->value, "maxFailedIndexes"))
        place_required(c->v, &failed, "must be specified when completions is above 100000");
    else if (number(c->value, "maxFailedIndexes") > LARGE_MAX)
        member_invalid(c->v, c->at, c->value, "maxFailedIndexes",
                       "must be less than or equal to 10000 when completions are above 100000 and used with "
                       "backoff limit per index");
    if (number(c->value, "parallelism") > LARGE_MAX)
        member_invalid(c->v, c->at, c->value, "parallelism",
                       "must be less than or equal to 10000 when completions are above 100000 and used with backoff "
                       "limit per index");
}

static void check_pod_names(const struct rule_call *c)
{
    struct slice name = meta_name(c->root);
    int64_t n = number(c->value, "completions");
    if (!slice_eq_str(meta_kind(c->root), "Job") || name.n == 0 || n <= 0 || c->update)
        return;
    const char *last = arena_printf(c->v->a, "%" SLICE_FMT "-%lld", SLICE_ARG(name), (long long)n - 1);
    const char *why = validate_label_name(slice_str(last));
    if (why)
        validation_invalid(c->v, "metadata.name", json_path(c->root, "metadata.name"),
                           arena_printf(c->v->a, "will not able to create pod with invalid DNS label: %s", last));
}

static void check_indexed(const struct rule_call *c)
{
    if (number(c->value, "parallelism") > PARALLELISM_MAX)
        member_invalid(c->v, c->at, c->value, "parallelism",
                       "must be less than or equal to 100000 when completion mode is Indexed");
    if (number(c->value, "maxFailedIndexes") > PARALLELISM_MAX)
        member_invalid(c->v, c->at, c->value, "maxFailedIndexes", "must be less than or equal to 100000");
    if (json_get_str(c->value, "completions") && number(c->value, "maxFailedIndexes") > number(c->value, "completions"))
        member_invalid(c->v, c->at, c->value, "maxFailedIndexes", "must be less than or equal to completions");
    check_large(c);
    check_pod_names(c);
}

static void check_not_indexed(const struct rule_call *c)
{
    static const char *const no[] = {"backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"};
    static const char *const why[] = {"requires indexed completion mode", "requires indexed completion mode",
                                      "requires indexed completion mode"};
    for (size_t i = 0; i < 3; i++)
        if (json_get_str(c->value, no[i]))
            member_invalid(c->v, c->at, c->value, no[i], why[i]);
}

/* ---- policies ---- */

static const struct json *container_named(const struct json *pod, struct slice name)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t l = 0; l < 2; l++)
        json_each (it, json_get_str(pod, lists[l]))
            if (slice_eq(json_path_string(it, "name"), name))
                return it;
    return NULL;
}

static void check_codes(const struct rule_call *c, const struct json *on, const struct place *at)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    struct place values = place_member(at, "values");
    const struct json *list = json_get_str(on, "values"), *before = NULL;
    bool in = slice_eq_str(json_path_string(on, "operator"), "In");
    size_t i = 0;
    member_one_of(c->v, at, on, "operator", operators);
    if (json_len(list) == 0)
        place_invalid(c->v, &values, json_new_array(c->v->a), "at least one value is required");
    if (json_len(list) > EXIT_CODES_MAX)
        validation_too_many(c->v, place_path(c->v, &values), (int64_t)json_len(list), EXIT_CODES_MAX);
    json_each (it, list) {
        struct place here = place_item(&values, i++);
        if (in && json_int(it, 1) == 0)
            place_invalid(c->v, &here, it, "must not be 0 for the In operator");
        if (before && json_int(it, 0) == json_int(before, 0))
            place_duplicate(c->v, &here, it);
        else if (before && json_int(it, 0) < json_int(before, 0))
            place_invalid(c->v, &values, list, "must be ordered");
        before = it;
    }
}

static void check_failure_rule(const struct rule_call *c, const struct json *rule, const struct place *at)
{
    static const char *const actions[] = {"Count", "FailIndex", "FailJob", "Ignore", NULL};
    const struct json *codes = json_get_str(rule, "onExitCodes"), *conditions = json_get_str(rule, "onPodConditions");
    struct place on = place_member(at, "onExitCodes"), name = place_member(&on, "containerName");
    member_one_of(c->v, at, rule, "action", actions);
    if (slice_eq_str(json_path_string(rule, "action"), "FailIndex") && !json_get_str(c->value, "backoffLimitPerIndex"))
        member_invalid(c->v, at, rule, "action", "requires the backoffLimitPerIndex to be set");
    if (codes && json_len(conditions))
        place_invalid(c->v, at, rule, "specifying both OnExitCodes and OnPodConditions is not supported");
    else if (!codes && !json_len(conditions))
        place_invalid(c->v, at, rule, "specifying one of OnExitCodes and OnPodConditions is required");
    if (!codes)
        return;
    struct slice container = json_path_string(codes, "containerName");
    if (container.n && !container_named(json_path(c->value, "template.spec"), container))
        place_invalid(c->v, &name, json_get_str(codes, "containerName"),
                      "must be one of the container or initContainer names in the pod template");
    check_codes(c, codes, &on);
}

static void check_failure_policy(const struct rule_call *c)
{
    struct place policy = place_member(c->at, "podFailurePolicy"), list = place_member(&policy, "rules");
    const struct json *rules = json_path(c->value, "podFailurePolicy.rules");
    size_t i = 0;
    if (!json_get_str(c->value, "podFailurePolicy"))
        return;
    if (!slice_eq_str(json_path_string(c->value, "template.spec.restartPolicy"), "Never"))
        place_invalid(c->v, &policy, json_get_str(c->value, "podFailurePolicy"),
                      "only \"Never\" restartPolicy is supported when podFailurePolicy is specified");
    if (json_len(rules) > RULES_MAX)
        validation_too_many(c->v, place_path(c->v, &list), (int64_t)json_len(rules), RULES_MAX);
    json_each (it, rules) {
        struct place here = place_item(&list, i++), conditions = place_member(&here, "onPodConditions");
        if (json_len(json_get_str(it, "onPodConditions")) > RULES_MAX)
            validation_too_many(c->v, place_path(c->v, &conditions),
                                (int64_t)json_len(json_get_str(it, "onPodConditions")), RULES_MAX);
        check_failure_rule(c, it, &here);
    }
}

/* "0,2-4": numbers in growing order, below the number of completions. What is wrong with it, or NULL. */
static const char *index_problem(struct arena *a, struct slice s, int64_t completions)
{
    int64_t last = -1;
    struct slice range, ends[2];
    while (s.n) {
        slice_cut(s, ',', &range, &s);
        size_t n = slice_cut(range, '-', &ends[0], &ends[1]) ? 2 : 1;
        for (size_t i = 0; i < n; i++) {
            int64_t number;
            if (!slice_to_i64(ends[i], &number) || number < 0)
                return arena_printf(
                    a, "error parsing succeededIndexes: cannot convert string to integer for index: \"%" SLICE_FMT "\"",
                    SLICE_ARG(ends[i]));
            if (number >= completions)
                return arena_printf(a, "error parsing succeededIndexes: too large index: \"%" SLICE_FMT "\"",
                                    SLICE_ARG(ends[i]));
            if (number <= last)
                return arena_printf(
                    a, "error parsing succeededIndexes: non-increasing order, previous: %lld, current: %lld",
                    (long long)last, (long long)number);
            last = number;
        }
    }
    return NULL;
}

static void check_success_policy(const struct rule_call *c)
{
    struct place policy = place_member(c->at, "successPolicy"), list = place_member(&policy, "rules");
    const struct json *rules = json_path(c->value, "successPolicy.rules");
    size_t i = 0;
    if (!json_get_str(c->value, "successPolicy"))
        return;
    if (json_len(rules) == 0)
        place_required(c->v, &list, "at least one rules must be specified when the successPolicy is specified");
    if (json_len(rules) > RULES_MAX)
        validation_too_many(c->v, place_path(c->v, &list), (int64_t)json_len(rules), RULES_MAX);
    json_each (it, rules) {
        struct place here = place_item(&list, i++), indexes = place_member(&here, "succeededIndexes");
        const struct json *count = json_get_str(it, "succeededCount");
        if (!json_get_str(it, "succeededIndexes") && !count)
            place_required(c->v, &here, "at least one of succeededCount or succeededIndexes must be specified");
        if (json_path_string(it, "succeededIndexes").n > SUCCESS_INDEXES_MAX)
            validation_too_long(c->v, place_path(c->v, &indexes), SUCCESS_INDEXES_MAX);
        member_invalid(
            c->v, &here, it, "succeededIndexes",
            index_problem(c->v->a, json_path_string(it, "succeededIndexes"), number(c->value, "completions")));
        if (count && json_int(count, 0) > number(c->value, "completions"))
            member_invalid(c->v, &here, it, "succeededCount",
                           arena_printf(c->v->a,
                                        "must be less than or equal to %lld (the number of specified completions)",
                                        (long long)number(c->value, "completions")));
    }
}

/* value: a Job's spec. */
static void job_more(const struct rule_call *c)
{
    static const char *const replacements[] = {"Failed", "TerminatingOrFailed", NULL}, *const failed[] = {"Failed",
                                                                                                          NULL};
    struct place replace = place_member(c->at, "podReplacementPolicy");
    const struct json *r = json_get_str(c->value, "podReplacementPolicy");
    bool policy = json_get_str(c->value, "podFailurePolicy");
    if (slice_eq_str(json_path_string(c->value, "completionMode"), "Indexed"))
        check_indexed(c);
    else
        check_not_indexed(c);
    if (json_get_str(c->value, "maxFailedIndexes") && !json_get_str(c->value, "backoffLimitPerIndex"))
        member_required(c->v, c->at, c->value, "backoffLimitPerIndex");
    check_failure_policy(c);
    check_success_policy(c);
    if (!is_blank(r) && !text_is_one_of(json_string(r), policy ? failed : replacements))
        place_not_supported(c->v, &replace, r, policy ? failed : replacements);
}

/* value: a Job: labels that its pods are found by. */
static void job_labels(const struct rule_call *c)
{
    static const char *const keys[] = {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid",
                                       "batch.kubernetes.io/job-name"};
    const struct json *labels = json_path(c->value, "spec.template.metadata.labels");
    struct place spec = place_member(c->at, "spec"), template = place_member(&spec, "template");
    struct place meta = place_member(&template, "metadata"), at = place_member(&meta, "labels");
    struct place selector = place_member(&spec, "selector");
    if (json_bool(json_path(c->value, "spec.manualSelector"), false)) {
        if (!json_path(c->value, "spec.selector"))
            place_required(c->v, &selector, NULL);
        return;
    }
    for (size_t i = 0; i < 4 && meta_uid(c->value).n; i++) {
        struct place here = place_key(&at, slice_str(keys[i]));
        struct slice want = i % 2 ? meta_name(c->value) : meta_uid(c->value);
        const struct json *has = json_get_str(labels, keys[i]);
        if (!has)
            place_required(c->v, &here, arena_printf(c->v->a, "must be '%" SLICE_FMT "'", SLICE_ARG(want)));
        else if (!slice_eq(json_string(has), want))
            place_invalid(c->v, &here, has, arena_printf(c->v->a, "must be '%" SLICE_FMT "'", SLICE_ARG(want)));
    }
}

/* value: a CronJob's template of Jobs. */
static void cron_template(const struct rule_call *c)
{
    struct place spec = place_member(c->at, "spec"), selector = place_member(&spec, "selector");
    struct place manual = place_member(&spec, "manualSelector");
    static const char *const none[] = {"nil", "false", NULL};
    if (json_path(c->value, "spec.selector"))
        place_invalid(c->v, &selector, json_path(c->value, "spec.selector"), "`selector` will be auto-generated");
    if (json_bool(json_path(c->value, "spec.manualSelector"), false))
        place_not_supported(c->v, &manual, json_path(c->value, "spec.manualSelector"), none);
}

/* An IANA name: no white space, nothing of the file system, and not the server's own. */
static void time_zone(const struct rule_call *c)
{
    struct slice s = json_string(c->value);
    if (!c->value)
        return;
    bool fine = s.n && s.p[0] != '/' && s.p[0] != '-';
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i], low = (char)(ch | 0x20);
        fine &= (low >= 'a' && low <= 'z') || (ch >= '0' && ch <= '9') || (ch && strchr("/_+-", ch));
    }
    if (s.n == 0)
        place_invalid(c->v, c->at, c->value, "timeZone must be nil or non-empty string");
    else if (s.n == 5 && (s.p[0] | 0x20) == 'l' && (s.p[1] | 0x20) == 'o' && (s.p[2] | 0x20) == 'c' &&
             (s.p[3] | 0x20) == 'a' && (s.p[4] | 0x20) == 'l')
        place_invalid(c->v, c->at, c->value,
                      "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    else if (!fine)
        place_invalid(c->v, c->at, c->value, arena_printf(c->v->a, "unknown time zone %" SLICE_FMT, SLICE_ARG(s)));
}

/* ---- Job status ---- */

static bool has_condition(const struct json *status, const char *type)
{
    json_each (it, json_get_str(status, "conditions"))
        if (slice_eq_str(json_path_string(it, "type"), type) && slice_eq_str(json_path_string(it, "status"), "True"))
            return true;
    return false;
}

static void check_finished(const struct rule_call *c, bool complete)
{
    struct place uncounted = place_member(c->at, "uncountedTerminatedPods");
    if (number(c->value, "active"))
        member_invalid(c->v, c->at, c->value, "active", "active>0 is invalid for finished job");
    if (number(c->value, "terminating"))
        member_invalid(c->v, c->at, c->value, "terminating", "terminating>0 is invalid for finished job");
    if (!json_get_str(c->value, "startTime"))
        member_required(c->v, c->at, c->value, "startTime");
    if (json_len(json_path(c->value, "uncountedTerminatedPods.succeeded")) ||
        json_len(json_path(c->value, "uncountedTerminatedPods.failed")))
        place_invalid(c->v, &uncounted, json_get_str(c->value, "uncountedTerminatedPods"),
                      "uncountedTerminatedPods needs to be empty for finished job");
    if (complete && !json_get_str(c->value, "completionTime"))
        member_required(c->v, c->at, c->value, "completionTime");
}

static void check_terminal(const struct rule_call *c)
{
    static const char *const stay[] = {"Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"};
    struct place conditions = place_member(c->at, "conditions");
    const struct json *list = json_get_str(c->value, "conditions");
    bool complete = has_condition(c->value, "Complete"), failed = has_condition(c->value, "Failed");
    if (complete && failed)
        place_invalid(c->v, &conditions, list, "cannot set Complete=True and Failed=true conditions");
    if (complete && !has_condition(c->value, "SuccessCriteriaMet"))
        place_invalid(c->v, &conditions, list,
                      "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    if (failed && !has_condition(c->value, "FailureTarget"))
        place_invalid(c->v, &conditions, list,
                      "cannot set Failed=True condition without the FailureTarget=true condition");
    for (size_t i = 0; i < 4; i++)
        if (has_condition(c->old, stay[i]) && !has_condition(c->value, stay[i]))
            place_invalid(c->v, &conditions, list,
                          arena_printf(c->v->a, "cannot disable the %s=True condition", stay[i]));
}

/* value: the status of a Job. */
static void job_status(const struct rule_call *c)
{
    const struct json *done = json_get_str(c->value, "completionTime"), *start = json_get_str(c->value, "startTime");
    bool complete = has_condition(c->value, "Complete");
    if (!c->update || json_equal(c->value, c->old))
        return;
    check_terminal(c);
    if (complete || has_condition(c->value, "Failed"))
        check_finished(c, complete);
    if (done && !complete)
        member_invalid(c->v, c->at, c->value, "completionTime",
                       "cannot set completionTime when there is no Complete=True condition");
    if (done && start && slice_cmp(json_string(done), json_string(start)) < 0)
        member_invalid(c->v, c->at, c->value, "completionTime", "completionTime cannot be set before startTime");
    if (json_get_str(c->old, "completionTime") && !json_equal(done, json_get_str(c->old, "completionTime")))
        member_invalid(c->v, c->at, c->value, "completionTime", "field is immutable");
    if (json_get_str(c->old, "startTime") && !json_equal(start, json_get_str(c->old, "startTime")) &&
        !json_bool(json_path(c->root, "spec.suspend"), false))
        member_required(c->v, c->at, json_new_object(c->v->a), "startTime");
    if (number(c->value, "failed") < number(c->old, "failed"))
        member_invalid(c->v, c->at, c->value, "failed", "cannot decrease the failed counter");
    if (number(c->value, "succeeded") < number(c->old, "succeeded"))
        member_invalid(c->v, c->at, c->value, "succeeded", "cannot decrease the succeeded counter");
    if (number(c->value, "ready") > number(c->value, "active"))
        member_invalid(c->v, c->at, c->value, "ready", "cannot set more ready pods than active");
}

static const struct rule_entry entries[] = {
    {"cron_template", cron_template}, {"job_labels", job_labels}, {"job_more", job_more},
    {"job_status", job_status},       {"time_zone", time_zone},
};

const struct rule_table rules_jobs = RULE_TABLE(entries);

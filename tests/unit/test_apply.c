#include "unit_json.h"

#include "object/apply.h"
#include "object/check.h"
#include "object/convert.h"
#include "object/fieldset.h"
#include "object/meta.h"

static const struct resource *resource_of(const char *plural)
{
    for (size_t i = 0; i < resource_count(); i++)
        if (strcmp(resource_at(i)->plural, plural) == 0)
            return resource_at(i);
    return NULL;
}

static struct json *normal(struct arena *a, const struct resource *res, const char *text, bool partial)
{
    struct check c = {.a = a, .partial = partial};
    struct status st = {0};
    struct json *o = json_of(a, text);
    if (!res || check_object(&c, res->type, o, &st))
        fail_msg("%s", st.message);
    return o;
}

static struct apply_request request(const char *plural, const char *manager, bool force)
{
    return (struct apply_request){
        .res = resource_of(plural), .manager = slice_str(manager), .force = force, .now = 1000000000LL};
}

static struct json *apply(struct arena *a, const char *plural, const char *manager, bool force, const struct json *live,
                          const char *patch, struct status *st)
{
    struct apply_request rq = request(plural, manager, force);
    return apply_patch(a, &rq, live, normal(a, rq.res, patch, true), st);
}

static struct json *applied(struct arena *a, const char *plural, const char *manager, const struct json *live,
                            const char *patch)
{
    struct status st = {0};
    struct json *o = apply(a, plural, manager, false, live, patch, &st);
    if (!o)
        fail_msg("%s", st.message);
    return o;
}

static const struct json *fields_of(const struct json *obj, const char *manager)
{
    json_each (e, json_path(obj, "metadata.managedFields"))
        if (slice_eq_str(json_path_string(e, "manager"), manager))
            return json_get_str(e, "fieldsV1");
    return NULL;
}

static void test_create_by_apply(void **state)
{
    struct arena *a = *state;
    struct json *o =
        applied(a, "configmaps", "m", NULL, "{'metadata':{'name':'x','labels':{'l':'1'}},'data':{'k':'v'}}");
    assert_json(a, o,
                "{'metadata':{'name':'x','labels':{'l':'1'},'managedFields':[{'manager':'m','operation':'Apply','"
                "apiVersion':'v1',"
                "'time':'1970-01-01T00:00:01Z','fieldsType':'FieldsV1','fieldsV1':{'f:data':{'f:k':{}},'f:metadata':{'"
                "f:labels':{"
                "'f:l':{}}}}}]},'data':{'k':'v'}}");
    o = applied(
        a, "deployments", "m", NULL,
        "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'i','ports':[{'containerPort':80}]}]}}}}");
    assert_json(
        a, fields_of(o, "m"),
        "{'f:spec':{'f:template':{'f:spec':{'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:image':{},'f:name':{},"
        "'f:ports':{'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},'f:containerPort':{}}}}}}}}}");
}

/* What was given up is all that goes: not what it stood in. */
static void test_what_stands_around_stays(void **state)
{
    struct arena *a = *state;
    struct json *o =
        applied(a, "configmaps", "m", NULL, "{'metadata':{'name':'x','annotations':{'n':'1'}},'data':{'a':'1'}}");
    o = applied(a, "configmaps", "m", o, "{'metadata':{'name':'x'},'data':{'a':'1'}}");
    json_del_str(json_get_str(o, "metadata"), "managedFields");
    assert_json(a, o, "{'metadata':{'name':'x'},'data':{'a':'1'}}");
}

static void test_fields_given_up_go(void **state)
{
    struct arena *a = *state;
    struct json *o = applied(a, "configmaps", "m", NULL, "{'data':{'a':'1','b':'2'}}");
    o = applied(a, "configmaps", "n", o, "{'data':{'b':'2','c':'3'}}");
    o = applied(a, "configmaps", "m", o, "{'data':{'a':'9'}}");
    assert_json(a, json_get_str(o, "data"), "{'a':'9','b':'2','c':'3'}");
    o = applied(a, "configmaps", "n", o, "{'data':{'c':'3'}}");
    assert_json(a, json_get_str(o, "data"), "{'a':'9','c':'3'}");
    assert_json(a, fields_of(o, "n"), "{'f:data':{'f:c':{}}}");
}

static void test_list_items_merge(void **state)
{
    struct arena *a = *state;
    static const char pod[] = "{'spec':{'containers':[%s]}}";
    struct json *o =
        applied(a, "pods", "m", NULL, arena_printf(a, pod, "{'name':'a','image':'1'},{'name':'b','image':'1'}"));
    o = applied(a, "pods", "n", o, arena_printf(a, pod, "{'name':'s','image':'x'},{'name':'b','tty':true}"));
    assert_json(a, json_path(o, "spec.containers"),
                "[{'name':'a','image':'1'},{'name':'s','image':'x'},{'name':'b','image':'1','tty':true}]");
    o = applied(a, "pods", "m", o, arena_printf(a, pod, "{'name':'a','image':'2'}"));
    assert_json(a, json_path(o, "spec.containers"),
                "[{'name':'a','image':'2'},{'name':'s','image':'x'},{'name':'b','tty':true}]");
}

static void test_conflicts(void **state)
{
    struct arena *a = *state;
    struct status st = {0};
    struct json *o = applied(a, "configmaps", "m", NULL, "{'data':{'a':'1','b':'1'}}");
    assert_null(apply(a, "configmaps", "n", false, o, "{'data':{'a':'2'}}", &st));
    assert_int_equal(st.code, 409);
    assert_string_equal(st.reason, "Conflict");
    assert_string_equal(st.message, "Apply failed with 1 conflict: conflict with \"m\": .data.a");
    assert_string_equal(st.causes->reason, "FieldManagerConflict");
    assert_string_equal(st.causes->field, ".data.a");
    assert_string_equal(st.causes->message, "conflict with \"m\"");
    st = (struct status){0};
    assert_null(apply(a, "configmaps", "n", false, o, "{'data':{'a':'2','b':'2'}}", &st));
    assert_string_equal(st.message, "Apply failed with 2 conflicts: conflicts with \"m\":\n- .data.a\n- .data.b");
    o = apply(a, "configmaps", "n", true, o, "{'data':{'a':'2'}}", &st);
    assert_json(a, json_get_str(o, "data"), "{'a':'2','b':'1'}");
    assert_json(a, fields_of(o, "m"), "{'f:data':{'f:b':{}}}");
    assert_json(a, fields_of(o, "n"), "{'f:data':{'f:a':{}}}");
    o = applied(a, "configmaps", "k", o, "{'data':{'a':'2'}}");
    assert_json(a, fields_of(o, "n"), "{'f:data':{'f:a':{}}}");
}

/* kubectl apply, then kubectl apply --server-side: what the annotation says was the same user's all along. */
static void test_kubectl_comes_from_the_client_side(void **state)
{
    struct arena *a = *state;
    struct apply_request rq = request("configmaps", "kubectl-client-side-apply", false);
    struct status st = {0};
    struct json *o = normal(a, rq.res,
                            "{'metadata':{'name':'x','annotations':{'kubectl.kubernetes.io/last-applied-configuration':"
                            "'{\\'data\\':{\\'a\\':\\'1\\',\\'b\\':\\'1\\'}}'}},'data':{'a':'1','b':'1'}}",
                            false);
    assert_int_equal(apply_track_update(a, &rq, NULL, o), 0);
    assert_null(apply(a, "configmaps", "me", false, o, "{'data':{'a':'2'}}", &st)); /* another manager: no such luck */
    assert_string_equal(st.message,
                        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.a");
    struct json *next = applied(a, "configmaps", "kubectl", o, "{'kind':'ConfigMap','data':{'b':'1','a':'2'}}");
    assert_json(a, json_get_str(next, "data"), "{'a':'2','b':'1'}");
    assert_json(a, fields_of(next, "kubectl"), "{'f:data':{'f:a':{},'f:b':{}}}");
    assert_slice(meta_annotation(next, SLICE("kubectl.kubernetes.io/last-applied-configuration")),
                 "{\"data\":{\"a\":\"2\",\"b\":\"1\"},\"kind\":\"ConfigMap\"}\n");
    rq.manager = SLICE("other"); /* what others changed since is theirs */
    next = json_clone(a, o);
    json_set_str(a, json_get_str(next, "data"), "b", json_new_str(a, "9"));
    assert_int_equal(apply_track_update(a, &rq, o, next), 0);
    st = (struct status){0};
    assert_null(apply(a, "configmaps", "kubectl", false, next, "{'data':{'a':'2','b':'2'}}", &st));
    assert_string_equal(st.message, "Apply failed with 1 conflict: conflict with \"other\" using v1: .data.b");
}

static void test_updates_are_tracked(void **state)
{
    struct arena *a = *state;
    struct apply_request rq = request("deployments", "kubectl", false);
    struct json *o = normal(
        a, rq.res,
        "{'metadata':{'name':'d','labels':{'l':'1'}},'spec':{'replicas':1,'selector':{'matchLabels':{'a':'b'}}}}",
        false);
    assert_int_equal(apply_track_update(a, &rq, NULL, o), 0);
    assert_json(a, fields_of(o, "kubectl"),
                "{'f:metadata':{'f:labels':{'.':{},'f:l':{}}},'f:spec':{'f:replicas':{},'f:selector':{}}}");
    struct json *next = json_clone(a, o);
    json_set_str(a, json_get_str(next, "spec"), "replicas", json_new_int(a, 5));
    json_del_str(json_path(next, "metadata"), "labels");
    rq.manager = SLICE("hpa");
    assert_int_equal(apply_track_update(a, &rq, o, next), 0);
    assert_json(a, fields_of(next, "hpa"), "{'f:spec':{'f:replicas':{}}}");
    assert_json(a, fields_of(next, "kubectl"), "{'f:spec':{'f:selector':{}}}");
    struct status st = {0};
    assert_null(apply(a, "deployments", "m", false, next, "{'spec':{'replicas':2}}", &st));
    assert_string_equal(st.message,
                        "Apply failed with 1 conflict: conflict with \"hpa\" using apps/v1: .spec.replicas");
}

static void test_status_is_not_owned_on_main(void **state)
{
    struct arena *a = *state;
    struct apply_request rq = request("deployments", "c", false);
    struct json *live = normal(a, rq.res, "{'spec':{'replicas':1}}", false);
    struct json *o = normal(a, rq.res, "{'spec':{'replicas':2},'status':{'replicas':1}}", false);
    struct json *p = json_clone(a, o);
    assert_int_equal(apply_track_update(a, &rq, live, o), 0);
    assert_json(a, fields_of(o, "c"), "{'f:spec':{'f:replicas':{}}}");
    rq.sub = SLICE("status");
    assert_int_equal(apply_track_update(a, &rq, live, p), 0);
    assert_json(a, fields_of(p, "c"), "{'f:status':{'f:replicas':{}}}");
    assert_slice(json_path_string(json_at(json_path(p, "metadata.managedFields"), 0), "subresource"), "status");
}

static void test_refused(void **state)
{
    struct arena *a = *state;
    struct status st = {0};
    assert_null(apply(a, "pods", "m", false, NULL, "{'spec':{'containers':[{'image':'x'}]}}", &st));
    assert_string_equal(st.message,
                        "failed to create typed patch object: .spec.containers: associative list with keys has an "
                        "element that omits key field \"name\" (and doesn't have default value)");
    st = (struct status){0};
    assert_null(apply(a, "pods", "m", false, NULL, "{'spec':{'containers':[{'name':'x'},{'name':'x'}]}}", &st));
    assert_int_equal(st.code, 400);
    st = (struct status){0};
    assert_null(apply(a, "pods", "m", false, NULL, "{'metadata':{'managedFields':[{'manager':'x'}]}}", &st));
    assert_string_equal(st.message, "metadata.managedFields must be nil");
}

/* ---- two versions of one kind ---- */

static const struct resource *hpa(const char *version)
{
    return resource_by_api_version(slice_str(version), SLICE("HorizontalPodAutoscaler"));
}

static struct json *hpa_apply(struct arena *a, const char *version, const char *manager, bool force,
                              const struct json *live, const char *patch, struct status *st)
{
    const struct resource *res = hpa(version);
    struct apply_request rq = {.res = res, .manager = slice_str(manager), .force = force, .now = 1000000000LL};
    struct json *o = normal(a, res, patch, true), *there = live ? object_convert(a, res, json_clone(a, live)) : NULL;
    json_set_first(a, o, "kind", json_new_str(a, "HorizontalPodAutoscaler"));
    json_set_first(a, o, "apiVersion", json_new_str(a, version));
    return apply_patch(a, &rq, there, o, st);
}

#define TARGET "'scaleTargetRef':{'kind':'Deployment','name':'d','apiVersion':'apps/v1'},'maxReplicas':5"
#define CPU(n)                                                                                                         \
    "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization','averageUtilization':" n    \
    "}}}]"

static void test_versions(void **state)
{
    struct arena *a = *state;
    struct status st = {0};
    struct json *o =
        hpa_apply(a, "autoscaling/v1", "old", false, NULL,
                  "{'metadata':{'name':'h'},'spec':{" TARGET ",'targetCPUUtilizationPercentage':50}}", &st);
    assert_non_null(o);
    /* the same in the other version is no conflict, and is owned by both, each by its own paths */
    o = hpa_apply(a, "autoscaling/v2", "new", false, o, "{'metadata':{'name':'h'},'spec':{" TARGET "," CPU("50") "}}",
                  &st);
    if (!o)
        fail_msg("%s", st.message);
    assert_json(a, json_path(fields_of(o, "old"), "f:spec.f:targetCPUUtilizationPercentage"), "{}");
    assert_non_null(json_path(fields_of(o, "new"), "f:spec.f:metrics"));
    /* a change in one version conflicts with who owns it in the other, told by the owner's path */
    assert_null(hpa_apply(a, "autoscaling/v2", "new", false, o,
                          "{'metadata':{'name':'h'},'spec':{" TARGET "," CPU("60") "}}", &st));
    assert_int_equal(st.code, 409);
    assert_string_equal(st.causes->field, ".spec.targetCPUUtilizationPercentage");
    struct json *forced = hpa_apply(a, "autoscaling/v2", "new", true, o,
                                    "{'metadata':{'name':'h'},'spec':{" TARGET "," CPU("60") "}}", &st);
    assert_null(json_path(fields_of(forced, "old"), "f:spec.f:targetCPUUtilizationPercentage"));
    assert_non_null(json_path(fields_of(forced, "old"), "f:spec.f:maxReplicas"));
    /* what one gives up stays while the other owns it, and goes when nobody does */
    o = hpa_apply(a, "autoscaling/v2", "new", false, o, "{'metadata':{'name':'h'},'spec':{" TARGET "}}", &st);
    assert_int_equal(json_len(json_path(o, "spec.metrics")), 1);
    st = (struct status){0};
    o = hpa_apply(a, "autoscaling/v2", "old", false, o, "{'metadata':{'name':'h'},'spec':{" TARGET "}}", &st);
    if (!o)
        fail_msg("%s", st.message);
    assert_null(json_path(o, "spec.metrics"));
    assert_json(a, json_path(json_at(json_path(o, "metadata.managedFields"), 1), "apiVersion"), "'autoscaling/v2'");
}

/* ---- the well-known cases: who owns what after which writes ---- */

enum step_kind { APPLY, FORCE, UPDATE };

struct step {
    enum step_kind kind;
    const char *manager, *sub, *body;
    const char *conflict; /* the first field in conflict, when it is refused */
};

struct story {
    const char *name, *plural;
    struct step steps[5];
    const char *spec; /* what is under "spec" or "data" in the end */
    const char *owners[3][2];
};

static struct json *take_step(struct arena *a, const struct story *s, const struct step *step, struct json *live)
{
    struct apply_request rq = request(s->plural, step->manager, step->kind == FORCE);
    struct status st = {0};
    rq.sub = slice_str(step->sub);
    if (step->kind == UPDATE) {
        struct json *now = normal(a, rq.res, step->body, false);
        const struct json *entries = json_path(live, "metadata.managedFields");
        if (entries)
            json_set_str(a, json_object_at(a, now, "metadata"), "managedFields", json_clone(a, entries));
        assert_int_equal(apply_track_update(a, &rq, live, now), 0);
        return now;
    }
    struct json *now = apply_patch(a, &rq, live, normal(a, rq.res, step->body, true), &st);
    if (!!now == !!step->conflict || (!now && strcmp(st.causes ? st.causes->field : "", step->conflict) != 0))
        fail_msg("%s, %s: %s %s", s->name, step->manager, now ? "no conflict" : st.message, step->body);
    return now ? now : live;
}

static const struct json *entry_of(const struct json *obj, const char *who)
{
    struct slice manager, rest, operation;
    slice_cut(slice_str(who), ' ', &manager, &rest);
    slice_cut(rest, ' ', &operation, &rest);
    json_each (e, json_path(obj, "metadata.managedFields"))
        if (slice_eq(json_path_string(e, "manager"), manager) &&
            slice_eq(json_path_string(e, "operation"), operation) && slice_eq(json_path_string(e, "subresource"), rest))
            return json_get_str(e, "fieldsV1");
    return NULL;
}

static const struct story stories[] = {
    {"a client that updated moves to apply: both own, until it forgets the first",
     "configmaps",
     {{UPDATE, "kubectl", "", "{'data':{'a':'1'}}", NULL},
      {APPLY, "kubectl", "", "{'data':{'a':'1','b':'2'}}", NULL},
      {APPLY, "kubectl", "", "{'data':{'b':'2'}}", NULL}},
     "{'a':'1','b':'2'}",
     {{"kubectl Apply ", "{'f:data':{'f:b':{}}}"}, {"kubectl Update ", "{'f:data':{'.':{},'f:a':{}}}"}}},
    {"a value is handed over: the second applies it too, the first lets go",
     "configmaps",
     {{APPLY, "one", "", "{'data':{'a':'1','b':'1'}}", NULL},
      {APPLY, "two", "", "{'data':{'a':'1'}}", NULL},
      {APPLY, "one", "", "{'data':{'b':'1'}}", NULL}},
     "{'a':'1','b':'1'}",
     {{"one Apply ", "{'f:data':{'f:b':{}}}"}, {"two Apply ", "{'f:data':{'f:a':{}}}"}}},
    {"an autoscaler takes the replicas that the applier lets go",
     "deployments",
     {{APPLY, "owner", "", "{'spec':{'replicas':1,'paused':true}}", NULL},
      {UPDATE, "hpa", "scale", "{'spec':{'replicas':3,'paused':true}}", NULL},
      {APPLY, "owner", "", "{'spec':{'replicas':1,'paused':true}}", ".spec.replicas"},
      {APPLY, "owner", "", "{'spec':{'paused':true}}", NULL}},
     NULL,
     {{"owner Apply ", "{'f:spec':{'f:paused':{}}}"}, {"hpa Update scale", "{'f:spec':{'f:replicas':{}}}"}}},
    {"a removal takes the field from everybody",
     "configmaps",
     {{APPLY, "one", "", "{'data':{'a':'1','b':'1'}}", NULL}, {UPDATE, "two", "", "{'data':{'b':'1'}}", NULL}},
     "{'b':'1'}",
     {{"one Apply ", "{'f:data':{'f:b':{}}}"}}},
    {"force takes one field and leaves the rest",
     "configmaps",
     {{APPLY, "one", "", "{'data':{'a':'1','b':'1'}}", NULL},
      {APPLY, "two", "", "{'data':{'a':'2'}}", ".data.a"},
      {FORCE, "two", "", "{'data':{'a':'2'}}", NULL}},
     "{'a':'2','b':'1'}",
     {{"one Apply ", "{'f:data':{'f:b':{}}}"}, {"two Apply ", "{'f:data':{'f:a':{}}}"}}},
    {"items of a set have owners of their own",
     "pods",
     {{APPLY, "one", "", "{'metadata':{'finalizers':['x/a']}}", NULL},
      {APPLY, "two", "", "{'metadata':{'finalizers':['x/b']}}", NULL},
      {APPLY, "one", "", "{'metadata':{'finalizers':['x/c']}}", NULL}},
     NULL,
     {{"one Apply ", "{'f:metadata':{'f:finalizers':{'v:\\'x/c\\'':{}}}}"},
      {"two Apply ", "{'f:metadata':{'f:finalizers':{'v:\\'x/b\\'':{}}}}"}}},
    {"an atomic list has one owner",
     "pods",
     {{APPLY, "one", "", "{'spec':{'containers':[{'name':'c','args':['x']}]}}", NULL},
      {APPLY, "two", "", "{'spec':{'containers':[{'name':'c','args':['y']}]}}", ".spec.containers[name=\"c\"].args"},
      {FORCE, "two", "", "{'spec':{'containers':[{'name':'c','args':['y']}]}}", NULL}},
     NULL,
     {{"one Apply ", "{'f:spec':{'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:name':{}}}}}"},
      {"two Apply ", "{'f:spec':{'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:args':{},'f:name':{}}}}}"}}},
    {"a list item goes when its only owner drops it",
     "services",
     {{APPLY, "one", "", "{'spec':{'ports':[{'port':80,'protocol':'TCP'},{'port':81,'protocol':'TCP'}]}}", NULL},
      {APPLY, "two", "", "{'spec':{'ports':[{'port':81,'protocol':'TCP','name':'x'}]}}", NULL},
      {APPLY, "one", "", "{'spec':{'ports':[{'port':80,'protocol':'TCP'}]}}", NULL}},
     NULL,
     {{"two Apply ",
       "{'f:spec':{'f:ports':{'k:{\\'port\\':81,\\'protocol\\':\\'TCP\\'}':{'.':{},'f:name':{},'f:port':{}"
       ",'f:protocol':{}}}}}"}}},
    {"status has managers of its own",
     "deployments",
     {{APPLY, "owner", "", "{'spec':{'paused':true},'status':{'replicas':9}}", NULL},
      {APPLY, "controller", "status", "{'status':{'replicas':2}}", NULL},
      {APPLY, "controller", "status", "{'status':{'readyReplicas':2}}", NULL}},
     NULL,
     {{"owner Apply ", "{'f:spec':{'f:paused':{}}}"},
      {"controller Apply status", "{'f:status':{'f:readyReplicas':{}}}"}}},
    {"one manager, two operations: each has its own entry",
     "configmaps",
     {{APPLY, "m", "", "{'data':{'a':'1'}}", NULL},
      {UPDATE, "m", "", "{'data':{'a':'1','b':'2'}}", NULL},
      {APPLY, "m", "", "{'data':{'a':'1','b':'3'}}", ".data.b"}},
     "{'a':'1','b':'2'}",
     {{"m Apply ", "{'f:data':{'f:a':{}}}"}, {"m Update ", "{'f:data':{'f:b':{}}}"}}},
};

static void test_stories(void **state)
{
    struct arena *a = *state;
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        const struct story *s = &stories[i];
        struct json *o = NULL;
        for (size_t n = 0; n < 5 && s->steps[n].manager; n++)
            o = take_step(a, s, &s->steps[n], o);
        if (s->spec)
            assert_json(a, json_get_str(o, "data"), s->spec);
        for (size_t n = 0; n < 3 && s->owners[n][0]; n++) {
            const struct json *want = json_of(a, s->owners[n][1]), *has = entry_of(o, s->owners[n][0]);
            if (!has || !json_equal(has, want))
                fail_msg("%s: %s owns %s", s->name, s->owners[n][0], has ? json_text(a, has) : "nothing");
        }
    }
}

static void test_algebra(void **state)
{
    struct arena *a = *state;
    struct json *x = json_of(a, "{'f:a':{'.':{},'f:b':{}},'f:c':{}}"), *y = json_of(a, "{'f:a':{'f:b':{},'f:d':{}}}");
    assert_json(a, fieldset_union(a, x, y), "{'f:a':{'.':{},'f:b':{},'f:d':{}},'f:c':{}}");
    assert_json(a, fieldset_minus(a, x, y), "{'f:a':{},'f:c':{}}");
    assert_json(a, fieldset_and(a, x, y), "{'f:a':{'f:b':{}}}");
    assert_null(fieldset_minus(a, y, y));
    assert_null(fieldset_and(a, NULL, y));
    assert_json(a, fieldset_without(json_clone(a, x), "a.b"), "{'f:a':{'.':{}},'f:c':{}}");
    assert_json(a, fieldset_without(json_of(a, "{'f:a':{},'f:status':{}}"), ""), "{'f:status':{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(test_create_by_apply),
        unit(test_what_stands_around_stays),
        unit(test_fields_given_up_go),
        unit(test_list_items_merge),
        unit(test_conflicts),
        unit(test_kubectl_comes_from_the_client_side),
        unit(test_updates_are_tracked),
        unit(test_status_is_not_owned_on_main),
        unit(test_refused),
        unit(test_versions),
        unit(test_stories),
        unit(test_algebra),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

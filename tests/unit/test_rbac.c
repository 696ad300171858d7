/* Role-based access control: matching, the index that follows the objects, aggregation, listing, escalation. */
#include "unit.h"

#include "auth/rbac.h"

struct world {
    struct rbac *r;
    struct arena a;
};

static void set(struct world *w, const char *kind, const char *ns, const char *name, const char *text)
{
    struct json_error err;
    struct json *obj = text ? json_parse(&w->a, slice_str(text), &err, NULL, NULL) : NULL;
    if (text)
        assert_non_null(obj);
    rbac_set(w->r, slice_str(kind), slice_str(ns), slice_str(name), obj);
}

static int setup(void **state)
{
    static struct world w;
    arena_init(&w.a, 64 << 20);
    w.r = rbac_new();
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    rbac_free(w->r);
    arena_done(&w->a);
    return 0;
}

static const struct slice dev_groups[] = {SLICE_INIT("dev"), SLICE_INIT("system:authenticated")};
static const struct slice master_groups[] = {SLICE_INIT("system:masters")};
static const struct user alice = {.name = SLICE_INIT("alice"), .groups = dev_groups, .n_groups = 2};
static const struct user bob = {.name = SLICE_INIT("bob")};
static const struct user root = {.name = SLICE_INIT("root"), .groups = master_groups, .n_groups = 1};
static const struct user robot = {.name = SLICE_INIT("system:serviceaccount:apps:robot")};

/* what: "verb group/resource[/sub] ns name", "-" for an empty word; or "verb /path". */
static bool may(struct world *w, const struct user *u, const char *what)
{
    struct access q = {0};
    struct slice rest = slice_str(what), word;
    slice_cut(rest, ' ', &q.verb, &rest);
    slice_cut(rest, ' ', &word, &rest);
    if (word.p[0] == '/') {
        q.path = word;
        return rbac_allows(w->r, u, &q, NULL);
    }
    slice_cut(word, '/', &q.group, &word);
    slice_cut(word, '/', &q.resource, &q.sub);
    slice_cut(rest, ' ', &q.ns, &q.name);
    if (slice_eq_str(q.group, "-"))
        q.group = SLICE_NONE;
    if (slice_eq_str(q.ns, "-"))
        q.ns = SLICE_NONE;
    return rbac_allows(w->r, u, &q, NULL);
}

static void test_matching(void **state)
{
    struct world *w = *state;
    set(w, "ClusterRole", "", "r",
        "{\"rules\":["
        "{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"pods/log\"]},"
        "{\"verbs\":[\"*\"],\"apiGroups\":[\"apps\"],\"resources\":[\"*\"]},"
        "{\"verbs\":[\"update\"],\"apiGroups\":[\"*\"],\"resources\":[\"*/scale\"]},"
        "{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"one\",\"two\"]},"
        "{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/healthz\",\"/metrics/*\"]}]}");
    set(w, "ClusterRoleBinding", "", "b",
        "{\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"}],\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"}"
        "}");
    static const struct {
        const char *what;
        bool allowed;
    } cases[] = {
        {"get -/pods default x", true},
        {"list -/pods -", true},
        {"delete -/pods default x", false},
        {"get -/pods/log default x", true},
        {"get -/pods/exec default x", false},
        {"get -/podsx default x", false},
        {"get apps/pods default x", true},
        {"delete apps/deployments/status default x", true},
        {"get batch/jobs default x", false},
        {"update batch/jobs/scale default x", true},
        {"update batch/jobs default x", false},
        {"update batch/scale default x", false},
        {"get -/secrets default one", true},
        {"get -/secrets default three", false},
        {"get -/secrets default ", false}, /* no name: more than the names given */
        {"list -/secrets default ", false},
        {"get /healthz", true},
        {"get /healthz/x", false},
        {"get /metrics/a/b", true},
        {"get /metrics", false},
        {"post /healthz", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (may(w, &alice, cases[i].what) != cases[i].allowed)
            fail_msg("%s", cases[i].what);
        assert_false(may(w, &bob, cases[i].what));
        assert_true(may(w, &root, cases[i].what));
    }
}

static void test_subjects_and_namespaces(void **state)
{
    struct world *w = *state;
    const char *why = NULL;
    const struct access q = {.verb = SLICE("get"), .resource = SLICE("pods"), .ns = SLICE("apps"), .name = SLICE("x")};
    set(w, "RoleBinding", "apps", "b", /* before its role */
        "{\"subjects\":[{\"kind\":\"Group\",\"name\":\"dev\"},{\"kind\":\"ServiceAccount\",\"name\":\"robot\"},"
        "{\"kind\":\"Planet\",\"name\":\"bob\"}],"
        "\"roleRef\":{\"kind\":\"Role\",\"name\":\"r\"}}");
    assert_false(may(w, &alice, "get -/pods apps x"));
    set(w, "Role", "apps", "r",
        "{\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]},"
        "{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"*\"]}]}");
    assert_true(may(w, &alice, "get -/pods apps x"));
    assert_true(may(w, &robot, "get -/pods apps x")); /* the account's namespace is the binding's */
    assert_false(may(w, &bob, "get -/pods apps x"));
    assert_false(may(w, &alice, "get -/pods other x"));
    assert_false(may(w, &alice, "get -/pods - x"));
    assert_false(may(w, &alice, "get /healthz")); /* no URLs by a namespaced binding */
    assert_true(rbac_allows(w->r, &alice, &q, &why));
    assert_string_equal(why, "RBAC: allowed by RoleBinding \"b/apps\" of Role \"r\" to Group \"dev\"");
    assert_true(rbac_allows(w->r, &robot, &q, &why));
    assert_string_equal(why, "RBAC: allowed by RoleBinding \"b/apps\" of Role \"r\" to ServiceAccount \"robot/apps\"");
    set(w, "Role", "other", "r", "{\"rules\":[]}");
    set(w, "RoleBinding", "other", "b",
        "{\"subjects\":[{\"kind\":\"User\",\"name\":\"bob\"}],\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"c\"}}");
    set(w, "ClusterRole", "", "c", "{\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}");
    assert_true(may(w, &bob, "get -/pods other x"));
    assert_false(may(w, &bob, "get -/pods apps x"));
}

static void test_changes(void **state)
{
    struct world *w = *state;
    set(w, "ClusterRole", "", "r", "{\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}");
    const char *binding =
        "{\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"},{\"kind\":\"User\",\"name\":\"alice\"}],"
        "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"}}";
    set(w, "ClusterRoleBinding", "", "b", binding);
    set(w, "ClusterRoleBinding", "", "b2", binding);
    assert_true(may(w, &alice, "get -/pods a x"));
    set(w, "ClusterRoleBinding", "", "b", NULL);
    assert_true(may(w, &alice, "get -/pods a x"));
    set(w, "ClusterRoleBinding", "", "b2",
        "{\"subjects\":[{\"kind\":\"User\",\"name\":\"bob\"}],\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"}}");
    assert_false(may(w, &alice, "get -/pods a x"));
    assert_true(may(w, &bob, "get -/pods a x"));
    set(w, "ClusterRole", "", "r",
        "{\"rules\":[{\"verbs\":[\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}");
    assert_false(may(w, &bob, "get -/pods a x"));
    assert_true(may(w, &bob, "list -/pods a "));
    set(w, "ClusterRole", "", "r", NULL);
    assert_false(may(w, &bob, "list -/pods a "));
    set(w, "ClusterRole", "", "none", NULL); /* was never there */
    set(w, "RoleBinding", "x", "none", NULL);
}

static void test_aggregation(void **state)
{
    struct world *w = *state;
    set(w, "ClusterRoleBinding", "", "b",
        "{\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"}],"
        "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"admin\"}}");
    set(w, "ClusterRole", "", "admin",
        "{\"aggregationRule\":{\"clusterRoleSelectors\":[{\"matchLabels\":{\"to-admin\":\"true\"}}]},"
        "\"rules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}]}");
    assert_false(may(w, &alice, "get -/pods a x")); /* its own rules do not count */
    set(w, "ClusterRole", "", "edit",
        "{\"metadata\":{\"labels\":{\"to-admin\":\"true\"}},"
        "\"aggregationRule\":{\"clusterRoleSelectors\":[{\"matchLabels\":{\"to-edit\":\"true\"}}]}}");
    set(w, "ClusterRole", "", "part",
        "{\"metadata\":{\"labels\":{\"to-edit\":\"true\"}},"
        "\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}");
    assert_true(may(w, &alice, "get -/pods a x"));
    set(w, "ClusterRole", "", "part",
        "{\"metadata\":{\"labels\":{\"to-edit\":\"false\"}},"
        "\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}");
    assert_false(may(w, &alice, "get -/pods a x"));
    set(w, "ClusterRole", "", "direct",
        "{\"metadata\":{\"labels\":{\"to-admin\":\"true\"}},"
        "\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}");
    assert_true(may(w, &alice, "get -/pods a x"));
    set(w, "ClusterRole", "", "direct", NULL);
    assert_false(may(w, &alice, "get -/pods a x"));
    /* roles that aggregate each other */
    set(w, "ClusterRole", "", "edit",
        "{\"metadata\":{\"labels\":{\"to-admin\":\"true\"}},"
        "\"aggregationRule\":{\"clusterRoleSelectors\":[{}]}}");
    set(w, "ClusterRole", "", "admin",
        "{\"metadata\":{\"labels\":{\"x\":\"y\"}},\"aggregationRule\":{\"clusterRoleSelectors\":[{}]}}");
    assert_true(may(w, &alice, "get -/pods a x"));
}

static void test_listing(void **state)
{
    struct world *w = *state;
    struct json *res = json_new_array(&w->a), *non = json_new_array(&w->a);
    struct buf out = BUF_INIT(1 << 16);
    set(w, "ClusterRole", "", "r",
        "{\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"resourceNames\":[\"n\"]},"
        "{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/x\"]}]}");
    set(w, "ClusterRoleBinding", "", "b",
        "{\"subjects\":[{\"kind\":\"Group\",\"name\":\"dev\"}],\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"}}");
    set(w, "RoleBinding", "ns", "b",
        "{\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"}],\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"}"
        "}");
    rbac_rules(w->r, &alice, SLICE("ns"), &w->a, res, non);
    assert_int_equal(json_len(res), 2);
    assert_int_equal(json_len(non), 1); /* not by the namespaced binding */
    assert_int_equal(json_write(&out, json_at(res, 0)), 0);
    assert_slice(buf_slice(&out),
                 "{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"resourceNames\":[\"n\"]}");
    buf_done(&out);
    res = json_new_array(&w->a);
    rbac_rules(w->r, &alice, SLICE("other"), &w->a, res, non);
    assert_int_equal(json_len(res), 1);
    res = json_new_array(&w->a);
    rbac_rules(w->r, &root, SLICE("other"), &w->a, res, non);
    assert_slice(json_string(json_at(json_get_str(json_at(res, 0), "verbs"), 0)), "*");
}

static bool covered(struct world *w, const struct user *u, const char *ns, const char *rules, const char *missing)
{
    struct json_error err;
    const char *why = NULL;
    const struct json *v = json_parse(&w->a, slice_str(rules), &err, NULL, NULL);
    assert_non_null(v);
    bool ok = rbac_covers(w->r, u, slice_str(ns), v, &w->a, &why);
    if (!ok && missing)
        assert_non_null(strstr(why, missing));
    return ok;
}

static void test_escalation(void **state)
{
    struct world *w = *state;
    set(w, "ClusterRole", "", "r",
        "{\"rules\":[{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]},"
        "{\"verbs\":[\"watch\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"*/scale\"]},"
        "{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"one\"]},"
        "{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/a/*\"]}]}");
    set(w, "ClusterRoleBinding", "", "b",
        "{\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"}],\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"}"
        "}");
    assert_true(covered(w, &alice, "ns", "[]", NULL));
    /* put together from two rules */
    assert_true(covered(w, &alice, "ns",
                        "[{\"verbs\":[\"get\",\"watch\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]", NULL));
    assert_true(covered(
        w, &alice, "ns",
        "[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"resourceNames\":[\"x\"]}]", NULL));
    assert_true(covered(w, &alice, "ns",
                        "[{\"verbs\":[\"watch\"],\"apiGroups\":[\"\"],\"resources\":[\"jobs/scale\",\"*/scale\"]}]",
                        NULL));
    assert_true(covered(w, &alice, "", "[{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/a/b\",\"/a/*\"]}]", NULL));
    assert_false(covered(w, &alice, "ns", "[{\"verbs\":[\"*\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]",
                         "Verbs:[\"*\"]"));
    assert_false(covered(w, &alice, "ns", "[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"*\"]}]",
                         "Resources:[\"*\"]"));
    assert_false(covered(w, &alice, "ns", "[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"secrets\"]}]",
                         "secrets"));
    assert_true(covered(
        w, &alice, "ns",
        "[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"one\"]}]", NULL));
    assert_false(covered(w, &alice, "", "[{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/*\"]}]", "/*"));
    assert_true(covered(w, &root, "", "[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}]", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_matching, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subjects_and_namespaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aggregation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escalation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a node may do, and what it may not. */
#include "unit.h"

#include "auth/node_authz.h"

static const struct slice groups[] = {SLICE_INIT("system:nodes"), SLICE_INIT("system:authenticated")};
static const struct user n1 = {.name = SLICE_INIT("system:node:n1"), .groups = groups, .n_groups = 2};
static const struct user n2 = {.name = SLICE_INIT("system:node:n2"), .groups = groups, .n_groups = 2};
static const struct user impostor = {.name = SLICE_INIT("system:node:n1")};

static const char pod_text[] =
    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"nodeName\":\"n1\",\"serviceAccountName\":\"robot\","
    "\"imagePullSecrets\":[{\"name\":\"pull\"}],"
    "\"volumes\":[{\"name\":\"a\",\"secret\":{\"secretName\":\"sec\"}},{\"name\":\"b\",\"configMap\":{\"name\":"
    "\"conf\"}},"
    "{\"name\":\"c\",\"persistentVolumeClaim\":{\"claimName\":\"claim\"}},{\"name\":\"scratch\",\"ephemeral\":{}},"
    "{\"name\":\"d\",\"projected\":{\"sources\":[{\"secret\":{\"name\":\"psec\"}},{\"configMap\":{\"name\":\"root-ca\"}"
    "}]}}],"
    "\"initContainers\":[{\"envFrom\":[{\"secretRef\":{\"name\":\"esec\"}}]}],"
    "\"containers\":[{\"env\":[{\"valueFrom\":{\"secretKeyRef\":{\"name\":\"vsec\"}}},"
    "{\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"vconf\"}}}]}]}}";

static void set_pod(struct node_authz *n, const char *name, const char *text)
{
    struct arena a;
    struct json_error err;
    arena_init(&a, 1 << 20);
    struct json *pod = text ? json_parse(&a, slice_str(text), &err, NULL, NULL) : NULL;
    if (text)
        assert_non_null(pod);
    node_authz_set_pod(n, SLICE("default"), slice_str(name), pod);
    arena_done(&a);
}

/* what: "verb group/resource[/sub] ns name", "-" for an empty word. */
static bool may(const struct node_authz *n, const struct user *u, const char *what)
{
    struct access q = {0};
    const char *why = NULL;
    struct slice rest = slice_str(what), word;
    slice_cut(rest, ' ', &q.verb, &rest);
    slice_cut(rest, ' ', &word, &rest);
    slice_cut(word, '/', &q.group, &word);
    slice_cut(word, '/', &q.resource, &q.sub);
    slice_cut(rest, ' ', &q.ns, &q.name);
    if (slice_eq_str(q.group, "-"))
        q.group = SLICE_NONE;
    if (slice_eq_str(q.ns, "-"))
        q.ns = SLICE_NONE;
    bool ok = node_authz_allows(n, u, &q, &why);
    assert_true(!ok || why);
    return ok;
}

static void test_references(void **state)
{
    (void)state;
    static const char *const referenced[] = {
        "get -/secrets default sec",
        "watch -/secrets default psec",
        "get -/secrets default esec",
        "get -/secrets default vsec",
        "get -/secrets default pull",
        "list -/configmaps default conf",
        "get -/configmaps default root-ca",
        "get -/configmaps default vconf",
        "get -/persistentvolumeclaims default claim",
        "get -/persistentvolumeclaims default web-scratch",
        "get -/serviceaccounts default robot",
        "create -/serviceaccounts/token default robot",
        "get -/pods default web",
        "delete -/pods default web",
        "patch -/pods/status default web",
    };
    struct node_authz *n = node_authz_new();
    for (unsigned round = 0; round < 3; round++) {
        set_pod(n, "web", round == 1 ? NULL : pod_text);
        for (size_t i = 0; i < sizeof referenced / sizeof *referenced; i++) {
            if (may(n, &n1, referenced[i]) != (round != 1))
                fail_msg("round %u: %s", round, referenced[i]);
            assert_false(may(n, &n2, referenced[i]));
            assert_false(may(n, &impostor, referenced[i]));
        }
    }
    assert_false(may(n, &n1, "get -/secrets other sec"));
    assert_false(may(n, &n1, "get -/secrets default conf"));
    assert_false(may(n, &n1, "list -/secrets default "));
    assert_false(may(n, &n1, "update -/secrets default sec"));
    assert_false(may(n, &n1, "get -/secrets - sec"));
    set_pod(n, "web2", pod_text); /* shares the references */
    set_pod(n, "web", NULL);
    assert_true(may(n, &n1, "get -/secrets default sec"));
    assert_false(may(n, &n1, "get -/pods default web"));
    set_pod(n, "web2", "{\"spec\":{\"nodeName\":\"n2\"}}"); /* made anew elsewhere */
    assert_false(may(n, &n1, "get -/secrets default sec"));
    assert_true(may(n, &n2, "get -/pods default web2"));
    set_pod(n, "web2", "{\"spec\":{}}"); /* not bound yet */
    assert_false(may(n, &n2, "get -/pods default web2"));
    node_authz_free(n);
}

static void test_mirror_pods_open_nothing(void **state)
{
    (void)state;
    struct node_authz *n = node_authz_new();
    set_pod(n, "static",
            "{\"metadata\":{\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}},\"spec\":{\"nodeName\":\"n1\","
            "\"volumes\":[{\"secret\":{\"secretName\":\"sec\"}}]}}");
    assert_true(may(n, &n1, "get -/pods default static"));
    assert_false(may(n, &n1, "get -/secrets default sec"));
    node_authz_free(n);
}

static void test_own_objects(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        bool allowed;
    } cases[] = {
        {"create -/nodes - ", true},
        {"update -/nodes - n1", true},
        {"update -/nodes - n2", false},
        {"patch -/nodes/status - n1", true},
        {"patch -/nodes/status - n2", false},
        {"delete -/nodes - n1", false},
        {"update coordination.k8s.io/leases kube-node-lease n1", true},
        {"create coordination.k8s.io/leases kube-node-lease ", true},
        {"update coordination.k8s.io/leases kube-node-lease n2", false},
        {"update coordination.k8s.io/leases default n1", false},
        {"list coordination.k8s.io/leases kube-node-lease ", false},
        {"watch -/services - ", true},
        {"list discovery.k8s.io/endpointslices - ", true},
        {"create -/pods default ", true},
        {"update -/pods default web", false},
        {"create -/events default ", true},
        {"create certificates.k8s.io/certificatesigningrequests - ", true},
        {"update certificates.k8s.io/certificatesigningrequests/approval - x", false},
        {"create -/secrets default ", false},
        {"get apps/deployments default x", false},
        {"*  -/nodes - n1", false},
    };
    struct node_authz *n = node_authz_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (may(n, &n1, cases[i].what) != cases[i].allowed)
            fail_msg("%s", cases[i].what);
    const struct access path = {.verb = SLICE("get"), .path = SLICE("/metrics")};
    const struct user nameless = {.name = SLICE("system:node:"), .groups = groups, .n_groups = 2};
    assert_false(node_authz_allows(n, &n1, &path, NULL));
    assert_false(may(n, &nameless, "create -/nodes - "));
    node_authz_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_mirror_pods_open_nothing),
        cmocka_unit_test(test_own_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Warnings of objects: each row of the table by what it finds, and what it lets pass; words are Kubernetes'. */
#include "unit_json.h"

#include "object/warnings.h"

struct heard {
    struct buf text; /* a line each */
};

static void hear(void *ctx, const char *text)
{
    buf_printf(&((struct heard *)ctx)->text, "%s\n", text);
}

static void expect_update(const char *group, const char *version, const char *kind, const char *text, const char *old,
                          const char *expected)
{
    struct arena a;
    struct json_error err;
    struct heard h = {.text = BUF_INIT(1 << 16)};
    arena_init(&a, 1 << 20);
    const struct resource *res = resource_by_kind(slice_str(group), slice_str(version), slice_str(kind));
    assert_non_null(res);
    struct json *obj = json_parse(&a, slice_str(text), &err, NULL, NULL);
    struct json *before = old ? json_parse(&a, slice_str(old), &err, NULL, NULL) : NULL;
    if (!obj || (old && !before))
        fail_msg("no JSON: %s", text);
    object_warnings(&a, res, obj, before, hear, &h);
    if (strcmp(h.text.p ? h.text.p : "", expected) != 0)
        fail_msg("of %s\nexpected: %s\nbut heard: %s", text, expected, h.text.p ? h.text.p : "");
    buf_done(&h.text);
    arena_done(&a);
}

static void expect(const char *group, const char *version, const char *kind, const char *text, const char *expected)
{
    expect_update(group, version, kind, text, NULL, expected);
}

#define POD(meta, spec) "{\"metadata\":{\"name\":\"p\"" meta "},\"spec\":{" spec "}}"
#define C(more)         "\"containers\":[{\"name\":\"c\"" more "}]"

static void test_pods(void **state)
{
    static const char *const cases[][2] = {
        {POD("", C("")), ""},
        {"{\"metadata\":{\"name\":\"a.b\"},\"spec\":{}}",
         "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
         "recommended: [must not contain dots]\n"},
        {POD("", "\"nodeSelector\":{\"beta.kubernetes.io/os\":\"linux\",\"kubernetes.io/os\":\"linux\"}"),
         "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead\n"},
        {POD("", "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{"
                 "\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"failure-domain.beta.kubernetes.io/"
                 "zone\"}]}]}}}"),
         "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]."
         "matchExpressions[0].key: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "
         "\"topology.kubernetes.io/zone\" instead\n"},
        {POD("", "\"topologySpreadConstraints\":[{\"topologyKey\":\"beta.kubernetes.io/arch\",\"labelSelector\":{}},"
                 "{\"topologyKey\":\"z\"}]"),
         "spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/arch is deprecated since v1.14; use "
         "\"kubernetes.io/arch\" instead\n"
         "spec.topologySpreadConstraints[1].labelSelector: a null labelSelector results in matching no pod\n"},
        {POD("", "\"affinity\":{\"podAntiAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{"
                 "\"podAffinityTerm\":{\"topologyKey\":\"z\"}}]}}"),
         "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm."
         "labelSelector: a null labelSelector results in matching no pod\n"},
        {POD(",\"annotations\":{\"scheduler.alpha.kubernetes.io/critical-pod\":\"\","
             "\"seccomp.security.alpha.kubernetes.io/pod\":\"x\","
             "\"container.seccomp.security.alpha.kubernetes.io/c\":\"x\","
             "\"container.apparmor.security.beta.kubernetes.io/c\":\"x\"}",
             C("")),
         "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the "
         "\"seccompProfile\" field instead\n"
         "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "
         "\"priorityClassName\" field instead\n"
         "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "
         "\"seccompProfile\" field instead\n"},
        {POD(",\"annotations\":{\"seccomp.security.alpha.kubernetes.io/pod\":\"x\"}",
             "\"securityContext\":{\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}"),
         ""},
        {POD("", "\"volumes\":[{\"name\":\"a\",\"gitRepo\":{\"repository\":\"x\"}},{\"name\":\"b\",\"glusterfs\":{"
                 "\"path\":\"x\"}},"
                 "{\"name\":\"c\",\"emptyDir\":{}}]"),
         "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+\n"
         "spec.volumes[1].glusterfs: deprecated in v1.25, non-functional in v1.26+\n"},
        {POD("", "\"hostAliases\":[{\"ip\":\"1.2.3.4\"},{\"ip\":\"2001:db8:0::1\"},{\"ip\":\"1.2.3.4\"}]"),
         "spec.hostAliases[2].ip: duplicate ip \"1.2.3.4\"\n"
         "spec.hostAliases[1].ip: IPv6 address \"2001:db8:0::1\" should be in RFC 5952 canonical format "
         "(\"2001:db8::1\")\n"},
        {POD("", "\"imagePullSecrets\":[{\"name\":\"a\"},{\"name\":\"a\"},{}]"),
         "spec.imagePullSecrets[1].name: duplicate name \"a\"\nspec.imagePullSecrets[2].name: invalid empty name "
         "\"\"\n"},
        {POD("",
             C(",\"resources\":{\"limits\":{\"memory\":\"1.5\",\"cpu\":\"1.5\"},\"requests\":{\"ephemeral-storage\":"
               "\"100m\"}}")),
         "spec.containers[0].resources.limits.memory: fractional byte value \"1500m\" is invalid, must be an integer\n"
         "spec.containers[0].resources.requests.ephemeral-storage: fractional byte value \"100m\" is invalid, must be "
         "an "
         "integer\n"},
        {POD("", C(",\"env\":[{\"name\":\"X\",\"value\":\"a\"},{\"name\":\"X\",\"value\":\"$(X)b\"},{\"name\":\"X\","
                   "\"value\":\"c\"},{\"name\":\"Y\"}]")),
         "spec.containers[0].env[2]: hides previous definition of \"X\", which may be dropped when using apply\n"},
        {POD("", C(",\"ports\":[{\"containerPort\":80,\"protocol\":\"TCP\",\"name\":\"w\"},{\"containerPort\":80,"
                   "\"protocol\":"
                   "\"TCP\"},{\"containerPort\":80,\"protocol\":\"UDP\"},{\"containerPort\":80,\"protocol\":\"TCP\","
                   "\"hostPort\":80},{\"containerPort\":81,\"protocol\":\"TCP\",\"name\":\"w\"}]")),
         "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]\n"
         "spec.containers[0].ports[3]: overlapping port definition with spec.containers[0].ports[0]\n"
         "spec.containers[0].ports[3]: overlapping port definition with spec.containers[0].ports[1]\n"
         "spec.containers[0].ports[4]: duplicate port name \"w\" with spec.containers[0].ports[0], services and probes "
         "that select ports by name will use spec.containers[0].ports[0]\n"},
        {POD("",
             C(",\"ports\":[{\"containerPort\":80,\"protocol\":\"UDP\",\"hostPort\":80,\"hostIP\":\"10.0.0.1\"},"
               "{\"containerPort\":80,\"protocol\":\"UDP\",\"hostPort\":80},{\"containerPort\":81,\"protocol\":\"UDP\","
               "\"hostIP\":\"10.0.0.1\"}]")),
         "spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]\n"
         "spec.containers[0].ports[2]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:UDP "
         "HostIP:10.0.0.1}\n"},
        {POD("", "\"terminationGracePeriodSeconds\":-1"),
         "spec.terminationGracePeriodSeconds: must be >= 0; negative values "
         "are invalid and will be treated as 1\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect("", "v1", "Pod", cases[i][0], cases[i][1]);
    expect_update("", "v1", "Pod", cases[2][0], cases[0][0], ""); /* changes of pods are the machines' */
}

static void test_files(void **state)
{
    (void)state;
    expect("", "v1", "Pod",
           POD("", "\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"m\",\"items\":[{\"path\":\"a/"
                   "b\"},{\"path\":\"a/\"},"
                   "{\"path\":\"ab\"},{\"path\":\"ab\"}]}},{\"name\":\"s\",\"secret\":{\"secretName\":\"x\",\"items\":["
                   "{\"path\":"
                   "\"a\"},{\"path\":\"b\"}]}}]"),
           "volume \"v\" (ConfigMap \"m\"): overlapping paths: \"a\" with \"a/b\"\n"
           "volume \"v\" (ConfigMap \"m\"): overlapping paths: \"ab\" with \"ab\"\n");
    expect(
        "", "v1", "Pod",
        POD("", "\"volumes\":[{\"name\":\"v\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"path\":\"token\"}"
                "},{\"secret\":"
                "{\"name\":\"s\",\"items\":[{\"path\":\"token\"}]}},{\"configMap\":{\"name\":\"m\"}},{}]}}]"),
        "volume \"v\" (Projected): overlapping paths: \"token\" (Secret \"s\") with \"token\" (ServiceAccountToken)\n"
        "volume \"v\" (Projected) has no sources provided\n");
}

/* Many thousand variables cost no more than the budget. */
static void test_budget(void **state)
{
    struct arena a;
    struct heard h = {.text = BUF_INIT(1 << 20)};
    struct buf text = BUF_INIT(8 << 20);
    (void)state;
    arena_init(&a, 256 << 20);
    buf_add_str(&text,
                "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"env\":[{\"name\":\"A\"}");
    for (unsigned i = 0; i < 100000; i++)
        buf_printf(&text, ",{\"name\":\"V%u\"}", i);
    buf_add_str(&text, ",{\"name\":\"A\"}]}]}}");
    struct json *obj = json_parse(&a, buf_slice(&text), NULL, NULL, NULL);
    assert_non_null(obj);
    object_warnings(&a, resource_core("pods"), obj, NULL, hear, &h); /* 5 × 10^9 comparisons would be seen */
    assert_int_equal(h.text.n, 0);
    buf_done(&text);
    buf_done(&h.text);
    arena_done(&a);
}

static void test_templates(void **state)
{
    static const char one[] = "{\"metadata\":{\"name\":\"d\",\"generation\":1},\"spec\":{\"template\":{\"metadata\":{"
                              "\"annotations\":{\"container.apparmor.security.beta.kubernetes.io/c\":\"x\"}},\"spec\":{"
                              "\"nodeSelector\":{\"beta.kubernetes.io/os\":\"x\"}," C("") "}}}}";
    static const char two[] = "{\"metadata\":{\"name\":\"d\",\"generation\":2},\"spec\":{\"template\":{\"spec\":{"
                              "\"nodeSelector\":{\"beta.kubernetes.io/os\":\"x\"}}}}}";
    static const char *const words = "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; "
                                     "use \"kubernetes.io/os\" instead\n";
    (void)state;
    expect(
        "apps", "v1", "DaemonSet", one,
        "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" "
        "instead\n"
        "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; "
        "use the \"appArmorProfile\" field instead\n");
    expect_update("apps", "v1", "Deployment", two, one, words);
    expect_update("apps", "v1", "Deployment", two, two, ""); /* nothing is new */
    expect(
        "apps", "v1", "Deployment", "{\"metadata\":{\"name\":\"a.b\"}}",
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label "
        "is recommended: [must not contain dots]\n");
    expect(
        "batch", "v1", "CronJob",
        "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{\"nodeSelector\":{"
        "\"beta.kubernetes.io/arch\":\"x\"}}}}}}}",
        "spec.jobTemplate.spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "
        "\"kubernetes.io/arch\" instead\n");
    expect("batch", "v1", "Job",
           "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"completionMode\":\"Indexed\",\"completions\":100001,"
           "\"parallelism\":10001}}",
           "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
           "Kubernetes might not be able to track completedIndexes when a big number of indexes fail\n");
    expect(
        "apps", "v1", "StatefulSet",
        "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"revisionHistoryLimit\":-1,\"volumeClaimTemplates\":[{\"spec\":{"
        "\"resources\":{\"requests\":{\"storage\":\"0.5\"}}}}]}}",
        "spec.volumeClaimTemplates[0].spec.resources.requests.storage: fractional byte value \"500m\" is invalid, must "
        "be "
        "an integer\n"
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended\n");
}

static void test_services(void **state)
{
    static const char *const cases[][2] = {
        {"{\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"],\"sessionAffinity\":"
         "\"None\"}}",
         ""},
        {"{\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"None\",\"sessionAffinity\":\"ClientIP\",\"loadBalancerIP\":"
         "\"1.2.3.4\",\"externalIPs\":[\"1.2.3.4\"]}}",
         "spec.loadBalancerIP is ignored for headless services\nspec.externalIPs is ignored for headless services\n"
         "spec.SessionAffinity is ignored for headless services\n"},
        {"{\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"10.0.0.1\",\"externalIPs\":[\"01.2.3.4\"]}}",
         "spec.externalIPs[0]: non-standard IP address \"01.2.3.4\" will be considered invalid in a future Kubernetes "
         "release: use \"1.2.3.4\"\n"
         "spec.externalIPs is deprecated and may no longer be implemented in some clusters\n"},
        {"{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"a\",\"externalIPs\":[\"1.2.3.4\"]}}",
         "spec.externalIPs is ignored when spec.type is \"ExternalName\"\n"},
        {"{\"spec\":{\"type\":\"ClusterIP\",\"externalName\":\"a\",\"trafficDistribution\":\"PreferClose\"}}",
         "spec.externalName is ignored when spec.type is not \"ExternalName\"\n"
         "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"\n"},
        {"{\"metadata\":{\"annotations\":{\"service.kubernetes.io/topology-aware-hints\":\"auto\"}}}",
         "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
         "service.kubernetes.io/topology-mode instead\n"},
        {"{\"spec\":{\"type\":\"LoadBalancer\",\"loadBalancerSourceRanges\":[\"192.12.2.8/24\",\"192.012.2.0/24\","
         "\"::ffff:192.12.2.0/120\",\"2001:db8:0:0::/64\",\"192.12.2.0/024\",\"10.0.0.0/8\"]}}",
         "spec.loadBalancerSourceRanges[0]: CIDR value \"192.12.2.8/24\" is ambiguous in this context (should be "
         "\"192.12.2.0/24\" or \"192.12.2.8/32\"?)\n"
         "spec.loadBalancerSourceRanges[1]: non-standard CIDR value \"192.012.2.0/24\" will be considered invalid in a "
         "future Kubernetes release: use \"192.12.2.0/24\"\n"
         "spec.loadBalancerSourceRanges[2]: non-standard CIDR value \"::ffff:192.12.2.0/120\" will be considered "
         "invalid in "
         "a future Kubernetes release: use \"192.12.2.0/24\"\n"
         "spec.loadBalancerSourceRanges[3]: IPv6 CIDR value \"2001:db8:0:0::/64\" should be in RFC 5952 canonical "
         "format "
         "(\"2001:db8::/64\")\n"
         "spec.loadBalancerSourceRanges[4]: non-standard CIDR value \"192.12.2.0/024\" will be considered invalid in a "
         "future Kubernetes release: use \"192.12.2.0/24\"\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect("", "v1", "Service", cases[i][0], cases[i][1]);
}

static void test_others(void **state)
{
    static const char ingress[] = "{\"metadata\":{\"annotations\":{\"kubernetes.io/ingress.class\":\"x\"}}}";
    static const char account[] =
        "{\"metadata\":{\"annotations\":{\"kubernetes.io/enforce-mountable-secrets\":\"true\"}}}";
    (void)state;
    expect("", "v1", "Node", "{\"spec\":{\"externalID\":\"x\",\"configSource\":{\"configMap\":{}}}}",
           "spec.configSource: the feature is removed\n"
           "spec.externalID: this field is deprecated, and is unused by Kubernetes\n");
    expect(
        "", "v1", "PersistentVolume",
        "{\"metadata\":{\"annotations\":{\"volume.beta.kubernetes.io/storage-class\":\"a\","
        "\"volume.beta.kubernetes.io/mount-options\":\"b\"}},\"spec\":{\"persistentVolumeReclaimPolicy\":\"Recycle\","
        "\"cephfs\":{\"monitors\":[\"m\"]}}}",
        "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "
        "\"storageClassName\" "
        "attribute instead\n"
        "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" "
        "attribute instead\n"
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
        "approach is to use dynamic provisioning.\n"
        "spec.cephfs: deprecated in v1.28, non-functional in v1.31+\n");
    expect(
        "", "v1", "PersistentVolumeClaim",
        "{\"metadata\":{\"annotations\":{\"volume.beta.kubernetes.io/mount-options\":\"b\"}},\"spec\":{\"resources\":{"
        "\"requests\":{\"storage\":\"1.1\"}}}}",
        "spec.resources.requests.storage: fractional byte value \"1100m\" is invalid, must be an integer\n");
    expect("networking.k8s.io", "v1", "Ingress", ingress,
           "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead\n");
    expect_update("networking.k8s.io", "v1", "Ingress", ingress, ingress, "");
    expect("", "v1", "ServiceAccount", account,
           "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
           "namespaces "
           "to isolate access to mounted secrets\n");
    expect_update("", "v1", "ServiceAccount", account, account, "");
    expect("discovery.k8s.io", "v1", "EndpointSlice", "{\"addressType\":\"FQDN\"}",
           "spec.addressType: FQDN endpoints are deprecated\n");
    expect("storage.k8s.io", "v1", "StorageClass",
           "{\"allowedTopologies\":[{\"matchLabelExpressions\":[{\"key\":\"beta.kubernetes.io/arch\"}]}]}",
           "allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.14; use \"kubernetes.io/arch\" "
           "instead\n");
    expect("node.k8s.io", "v1", "RuntimeClass", "{\"scheduling\":{\"nodeSelector\":{\"beta.kubernetes.io/os\":\"x\"}}}",
           "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead\n");
    expect("", "v1", "ConfigMap", "{\"metadata\":{\"name\":\"a.b\"},\"data\":{}}", "");
}

static void test_deprecated_resources(void **state)
{
    (void)state;
    assert_string_equal(resource_warning(resource_core("endpoints")),
                        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
    assert_string_equal(resource_warning(resource_core("componentstatuses")),
                        "v1 ComponentStatus is deprecated in v1.19+");
    assert_null(resource_warning(resource_core("pods")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pods),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_deprecated_resources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

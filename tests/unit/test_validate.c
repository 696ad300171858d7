#include "unit_json.h"

#include "object/check.h"
#include "object/defaults.h"
#include "object/validate.h"
#include "object/validate_rules.h"
#include "schema/tables.h"

static const struct resource *resource_of(const char *plural)
{
    for (size_t i = 0; i < resource_count(); i++)
        if (strcmp(resource_at(i)->plural, plural) == 0)
            return resource_at(i);
    fail_msg("no resource %s", plural);
    return NULL;
}

/* The object as the server has it before validation. */
static struct json *prepared(struct arena *a, const struct resource *res, const char *text)
{
    struct check c = {.a = a};
    struct status st = {0};
    struct json *o = json_of(a, text);
    json_set_str(a, o, "kind", json_new_str(a, res->kind));
    if (check_object(&c, res->type, o, &st))
        fail_msg("%s", st.message);
    assert_int_equal(defaults_apply(a, res->type, o, 0), 0);
    return o;
}

/* want NULL: valid. */
static void assert_create(struct arena *a, const char *plural, const char *text, const char *want)
{
    const struct resource *res = resource_of(plural);
    struct status st = {0};
    int rv = validate_create(a, res, prepared(a, res, text), &st);
    assert_string_equal(rv ? st.message : "", want ? want : "");
    assert_int_equal(rv, want ? 422 : 0);
}

static void assert_update(struct arena *a, const char *plural, const char *before, const char *now, const char *want)
{
    const struct resource *res = resource_of(plural);
    struct status st = {0};
    int rv = validate_update(a, res, SLICE(""), prepared(a, res, now), prepared(a, res, before), &st);
    assert_string_equal(rv ? st.message : "", want ? want : "");
}

#define META "'metadata':{'name':'x','namespace':'n'}"

static void test_metadata(void **state)
{
    struct arena *a = *state;
    assert_create(a, "configmaps", "{" META "}", NULL);
    assert_create(a, "configmaps", "{'metadata':{'namespace':'n'}}",
                  "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required");
    assert_create(
        a, "clusterroles", "{'metadata':{'name':'system:x','namespace':'n'}}",
        "ClusterRole.rbac.authorization.k8s.io \"system:x\" is invalid: metadata.namespace: Forbidden: not allowed "
        "on this type");
    assert_create(
        a, "configmaps", "{'metadata':{'name':'x','namespace':'n','labels':{'a':'-'},'finalizers':['x']}}",
        "ConfigMap \"x\" is invalid: [metadata.labels: Invalid value: \"-\": a valid label must be an empty string or "
        "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
        "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'), metadata.finalizers: Invalid value: \"x\": name is neither a "
        "standard finalizer name nor is it fully qualified]");
    assert_update(a, "configmaps", "{'metadata':{'name':'x','namespace':'n','uid':'1'}}",
                  "{'metadata':{'name':'x','namespace':'n','uid':'2'}}",
                  "ConfigMap \"x\" is invalid: metadata.uid: Invalid value: \"2\": field is immutable");
    assert_update(
        a, "leases", "{" META "}", "{" META "}",
        "Lease.coordination.k8s.io \"x\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified "
        "for an update");
}

static void test_causes(void **state)
{
    struct arena *a = *state;
    const struct resource *res = resource_of("pods");
    struct status st = {0};
    struct json *o = prepared(a, res, "{" META ",'spec':{'restartPolicy':'No','containers':[]}}");
    assert_int_equal(validate_create(a, res, o, &st), 422);
    assert_string_equal(st.reason, "Invalid");
    assert_string_equal(st.kind, "Pod");
    assert_string_equal(st.name, "x");
    assert_int_equal(st.n_causes, 2);
    assert_string_equal(st.causes->reason, "FieldValueRequired");
    assert_string_equal(st.causes->field, "spec.containers");
    assert_string_equal(st.causes->message, "Required value");
    assert_string_equal(st.causes->next->message,
                        "Unsupported value: \"No\": supported values: \"Always\", \"Never\", \"OnFailure\"");
}

#define POD(spec) "{" META ",'spec':{'containers':[{'name':'c','image':'i'}]" spec "}}"

static void test_pods(void **state)
{
    struct arena *a = *state;
    assert_create(a, "pods", POD(""), NULL);
    assert_create(
        a, "pods",
        POD(",'volumes':[{'name':'v'},{'name':'v','hostPath':{'path':'/"
            "'},'emptyDir':{}}],'initContainers':[{'name':'c'}]"),
        "Pod \"x\" is invalid: [spec.initContainers[0].name: Duplicate value: \"c\", spec.volumes[1].name: Duplicate "
        "value: \"v\", spec.volumes[1].hostPath: Forbidden: may not specify more than 1 volume type, "
        "spec.initContainers[0].image: Required value]");
    assert_create(
        a, "pods",
        "{" META ",'spec':{'containers':[{'name':'C','image':'i','ports':[{'containerPort':0},{'containerPort':70000}],"
        "'volumeMounts':[{'name':'v','mountPath':'/a'}]}]}}",
        "Pod \"x\" is invalid: [spec.containers[0].volumeMounts[0].name: Not found: \"v\", spec.containers[0].name: "
        "Invalid value: \"C\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
        "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?'), spec.containers[0].ports[0].containerPort: Required value, "
        "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive]");
    assert_create(
        a, "pods",
        "{" META ",'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'2'},'limits':{'cpu':"
        "'1'}},'livenessProbe':{'successThreshold':2,'exec':{'command':['x']},'tcpSocket':{'port':1}}}]}}",
        "Pod \"x\" is invalid: [spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1, "
        "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1, "
        "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type]");
    assert_create(a, "pods", POD(",'tolerations':[{'value':'v'},{'key':'k','operator':'Exists','effect':'NoExecute'}]"),
                  "Pod \"x\" is invalid: spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists "
                  "when `key` is "
                  "empty, which means \"match all values and all keys\"");
}

static void test_pod_updates(void **state)
{
    struct arena *a = *state;
    static const char forbidden[] =
        "Pod \"x\" is invalid: spec: Forbidden: pod updates may not change fields other than "
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
        "(only "
        "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
        "previously negative)";
    assert_update(a, "pods", POD(""), POD(""), NULL);
    assert_update(a, "pods", POD(""),
                  "{" META ",'spec':{'containers':[{'name':'c','image':'j','imagePullPolicy':'Always'}]}}", NULL);
    assert_update(a, "pods", POD(""), POD(",'tolerations':[{'operator':'Exists'}]"), NULL);
    assert_update(
        a, "pods", POD(",'tolerations':[{'operator':'Exists'}]"), POD(""),
        "Pod \"x\" is invalid: spec.tolerations: Forbidden: existing toleration can not be modified except its "
        "tolerationSeconds");
    assert_update(a, "pods", POD(""), POD(",'hostname':'h'"), forbidden);
    assert_update(
        a, "pods", POD(""), POD(",'schedulingGates':[{'name':'g'}]"),
        "Pod \"x\" is invalid: spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling "
        "gate 'g'");
    assert_update(a, "pods", POD(",'schedulingGates':[{'name':'g'}]"), POD(",'nodeSelector':{'a':'b'}"), NULL);
}

#define DEPLOYMENT(spec)                                                                                               \
    "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{"      \
    "'containers':[{'name':'c','image':'i'}]}}" spec "}}"

static void test_workloads(void **state)
{
    struct arena *a = *state;
    assert_create(a, "deployments", DEPLOYMENT(""), NULL);
    assert_create(
        a, "deployments", DEPLOYMENT(",'replicas':-1"),
        "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0");
    assert_create(
        a, "deployments",
        "{" META ",'spec':{'template':{'spec':{'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}}}",
        "Deployment.apps \"x\" is invalid: [spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported "
        "values: \"Always\", spec.selector: Required value]");
    assert_create(
        a, "statefulsets",
        "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'c'}},'spec':{"
        "'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'d','mountPath':'/d'}]}]}},"
        "'volumeClaimTemplates':[{'metadata':{'name':'d'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{"
        "'requests':{'storage':'1Gi'}}}}]}}",
        "StatefulSet.apps \"x\" is invalid: spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` "
        "does not match template `labels`");
    assert_update(a, "deployments", DEPLOYMENT(""), DEPLOYMENT(",'replicas':2"), NULL);
    assert_update(
        a, "statefulsets", DEPLOYMENT(""), DEPLOYMENT(",'serviceName':'s'"),
        "StatefulSet.apps \"x\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than "
        "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
        "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
    assert_create(
        a, "jobs", "{" META ",'spec':{'template':{'spec':{'containers':[{'name':'c','image':'i'}]}}}}",
        "Job.batch \"x\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", "
        "\"Never\"");
    static const char cron[] =
        "{" META ",'spec':{'schedule':'%s','jobTemplate':{'spec':{'template':{'spec':{'restartPolicy':"
        "'Never','containers':[{'name':'c','image':'i'}]}}}}}}";
    assert_create(a, "cronjobs", arena_printf(a, cron, "*/5 * * * MON"), NULL);
    assert_create(a, "cronjobs", arena_printf(a, cron, "@daily"), NULL);
    assert_create(
        a, "cronjobs", arena_printf(a, cron, "* *"),
        "CronJob.batch \"x\" is invalid: spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2: [* "
        "*]");
}

static void test_selector_update(void **state)
{
    assert_update(
        *state, "deployments", DEPLOYMENT(""),
        "{" META ",'spec':{'selector':{'matchLabels':{'a':'c'}},'template':{'metadata':{'labels':{'a':'c'}},'spec':{"
        "'containers':[{'name':'c','image':'i'}]}}}}",
        "Deployment.apps \"x\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is "
        "immutable");
}

static void test_services(void **state)
{
    struct arena *a = *state;
    assert_create(a, "services", "{" META ",'spec':{'ports':[{'port':80}]}}", NULL);
    assert_create(a, "services", "{" META ",'spec':{'clusterIP':'None'}}", NULL);
    assert_create(a, "services", "{" META ",'spec':{}}", "Service \"x\" is invalid: spec.ports: Required value");
    assert_create(
        a, "services", "{" META ",'spec':{'ports':[{'port':0},{'port':80,'name':'a'},{'port':80,'name':'a'}]}}",
        "Service \"x\" is invalid: [spec.ports[0].name: Required value, spec.ports[2].name: Duplicate value: \"a\", "
        "spec.ports[2]: Duplicate value: {\"name\":\"a\",\"protocol\":\"TCP\",\"port\":80,\"targetPort\":80}, "
        "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, spec.ports[0].targetPort: "
        "Invalid value: 0: must be between 1 and 65535, inclusive]");
    assert_create(a, "services", "{" META ",'spec':{'type':'ExternalName'}}",
                  "Service \"x\" is invalid: spec.externalName: Required value");
    assert_update(a, "services", "{" META ",'spec':{'clusterIP':'10.0.0.1','ports':[{'port':80}]}}",
                  "{" META ",'spec':{'clusterIP':'10.0.0.2','ports':[{'port':80}]}}",
                  "Service \"x\" is invalid: spec.clusterIPs[0]: Invalid value: \"10.0.0.2\": may not change once set");
}

static void test_configuration(void **state)
{
    struct arena *a = *state;
    assert_create(
        a, "configmaps", "{" META ",'data':{'a b':'','c':''},'binaryData':{'c':''}}",
        "ConfigMap \"x\" is invalid: [data[a b]: Invalid value: \"a b\": a valid config key must consist of "
        "alphanumeric "
        "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
        "'[-._a-zA-Z0-9]+'), data[c]: Invalid value: \"c\": duplicate of key present in binaryData]");
    assert_update(a, "configmaps", "{" META ",'immutable':true,'data':{'a':'1'}}",
                  "{" META ",'immutable':true,'data':{'a':'2'}}",
                  "ConfigMap \"x\" is invalid: data: Forbidden: field is immutable when `immutable` is set");
    assert_create(a, "secrets", "{" META ",'type':'kubernetes.io/tls','data':{'tls.crt':''}}",
                  "Secret \"x\" is invalid: data[tls.key]: Required value");
    assert_update(a, "secrets", "{" META "}", "{" META ",'type':'x'}",
                  "Secret \"x\" is invalid: type: Invalid value: \"x\": field is immutable");
    assert_create(a, "persistentvolumeclaims", "{" META ",'spec':{}}",
                  "PersistentVolumeClaim \"x\" is invalid: [spec.accessModes: Required value: at least 1 access mode "
                  "is required, "
                  "spec.resources[storage]: Required value]");
}

static void test_rbac(void **state)
{
    struct arena *a = *state;
    assert_create(a, "roles", "{" META ",'rules':[{'verbs':['get'],'nonResourceURLs':['/x']}]}",
                  "Role.rbac.authorization.k8s.io \"x\" is invalid: rules[0].nonResourceURLs: Invalid value: [\"/x\"]: "
                  "namespaced "
                  "rules cannot apply to non-resource URLs");
    assert_create(
        a, "rolebindings",
        "{" META
        ",'roleRef':{'kind':'Role','name':'r'},'subjects':[{'kind':'Robot','name':'b'},{'kind':'User','name':''}]}",
        "RoleBinding.rbac.authorization.k8s.io \"x\" is invalid: [subjects[0].kind: Unsupported value: \"Robot\": "
        "supported values: \"ServiceAccount\", \"User\", \"Group\", subjects[1].name: Required value]");
    assert_update(
        a, "rolebindings", "{" META ",'roleRef':{'kind':'Role','name':'r'}}",
        "{" META ",'roleRef':{'kind':'Role','name':'s'}}",
        "RoleBinding.rbac.authorization.k8s.io \"x\" is invalid: roleRef: Invalid value: "
        "{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"s\"}: cannot change roleRef");
}

static void test_bootstrap_objects_are_valid(void **state)
{
    struct arena *a = *state;
    const struct slice *lists[] = {bootstrap_rbac, bootstrap_objects};
    size_t counts[] = {bootstrap_n_rbac, bootstrap_n_objects};
    for (size_t l = 0; l < 2; l++) {
        for (size_t i = 0; i < counts[l]; i++) {
            struct status st = {0};
            struct json *o = json_parse(a, lists[l][i], NULL, NULL, NULL);
            const struct resource *r =
                resource_by_api_version(json_path_string(o, "apiVersion"), json_path_string(o, "kind"));
            defaults_apply(a, r->type, o, 0);
            if (validate_create(a, r, o, &st))
                fail_msg("%s", st.message);
        }
    }
}

/* ---- statuses, and parts that are subresources ---- */

static void test_parts(void **state)
{
    static const struct {
        const char *plural, *sub, *before, *now, *want; /* members beside metadata; want: NULL = valid */
    } cases[] = {
        {"deployments", "status", "'status':{'collisionCount':2}",
         "'status':{'replicas':1,'readyReplicas':2,'collisionCount':1}",
         "Deployment.apps \"x\" is invalid: [status.collisionCount: Invalid value: 1: cannot be decremented, "
         "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas]"},
        {"deployments", "status", "'status':{}", "'status':{'replicas':2,'readyReplicas':2},'spec':{'replicas':-1}",
         NULL},
        {"pods", "status", "'status':{'qosClass':'Burstable'}",
         "'status':{'qosClass':'BestEffort','podIPs':[{'ip':'1.2.3.4'},{'ip':'1.2.3.5'}]}",
         "Pod \"x\" is invalid: [status.qosClass: Invalid value: \"BestEffort\": field is immutable, status.podIPs: "
         "Invalid "
         "value: [{\"ip\":\"1.2.3.4\"},{\"ip\":\"1.2.3.5\"}]: may specify no more than one IP for each IP family]"},
        {"pods", "status",
         "'spec':{'restartPolicy':'Never'},'status':{'containerStatuses':[{'name':'c','state':{'terminated':{'exitCode'"
         ":0}}}]}",
         "'spec':{'restartPolicy':'Never'},'status':{'containerStatuses':[{'name':'c','state':{'running':{}}}]}",
         "Pod \"x\" is invalid: status.containerStatuses[0].state: Forbidden: may not be transitioned to "
         "non-terminated state"},
        {"pods", "ephemeralcontainers", "'spec':{'ephemeralContainers':[{'name':'d','image':'i'}]}", "'spec':{}",
         "Pod \"x\" is invalid: [spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be "
         "removed, "
         "spec.containers: Required value]"},
        {"pods", "ephemeralcontainers", "'spec':{'containers':[{'name':'c','image':'i'}]}",
         "'spec':{'containers':[{'name':'c','image':'i'}],'ephemeralContainers':[{'name':'d','image':'i','"
         "targetContainerName':'e','"
         "ports':[{'containerPort':1}]}]}",
         "Pod \"x\" is invalid: [spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral "
         "Container, "
         "spec.ephemeralContainers[0].targetContainerName: Not found: \"e\"]"},
        {"pods", "resize", "'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'1'}}}]}",
         "'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'2'}}}]}", NULL},
        {"pods", "resize",
         "'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'1','memory':'1'}}}]}",
         "'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'memory':'1','a.b/c':'1'}}}]}",
         "Pod \"x\" is invalid: [spec.containers[0].resources.requests: Forbidden: resource requests cannot be "
         "removed, "
         "spec.containers[0].resources.requests: Forbidden: only cpu and memory resources are mutable, "
         "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources]"},
        {"pods", "resize", "'spec':{'containers':[{'name':'c','image':'i'}]}",
         "'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'1'}}}]}",
         "Pod \"x\" is invalid: spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of "
         "resizing"},
        {"jobs", "status", "'status':{'failed':2}",
         "'status':{'failed':1,'active':1,'conditions':[{'type':'Complete','status':'True'}]}",
         "Job.batch \"x\" is invalid: [status.conditions: Invalid value: "
         "[{\"type\":\"Complete\",\"status\":\"True\"}]: cannot "
         "set Complete=True condition without the SuccessCriteriaMet=true condition, status.active: Invalid value: 1: "
         "active>0 is invalid for finished job, status.startTime: Required value, status.completionTime: Required "
         "value, "
         "status.failed: Invalid value: 1: cannot decrease the failed counter]"},
        {"certificatesigningrequests", "approval", "'status':{}",
         "'status':{'conditions':[{'type':'Approved','status':'True'},{'type':'Denied','status':'False'}]}",
         "CertificateSigningRequest.certificates.k8s.io \"x\" is invalid: [status.conditions[1].type: Invalid value: "
         "\"Denied\": Approved and Denied conditions are mutually exclusive, status.conditions[1].status: Unsupported "
         "value: \"False\": supported values: \"True\"]"},
        {"services", "status", "'spec':{'type':'ClusterIP'}",
         "'spec':{'type':'ClusterIP'},'status':{'loadBalancer':{'ingress':[{'hostname':'1.2.3.4'}]}}",
         "Service \"x\" is invalid: [status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is "
         "\"LoadBalancer\", status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, "
         "not an IP "
         "address]"},
    };
    struct arena *a = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct resource *res = resource_of(cases[i].plural);
        const char *ns = res->namespaced ? ",'namespace':'n'" : "";
        struct json *both[2];
        struct status st = {0};
        for (size_t k = 0; k < 2; k++) {
            struct check c = {.a = a};
            both[k] =
                json_of(a, arena_printf(a, "{'metadata':{'name':'x'%s},%s}", ns, k ? cases[i].now : cases[i].before));
            json_set_str(a, both[k], "kind", json_new_str(a, res->kind));
            json_set_str(a, both[k], "apiVersion", json_new_str(a, res->api_version));
            assert_int_equal(check_object(&c, res->type, both[k], &st), 0);
        }
        int rv = validate_update(a, res, slice_str(cases[i].sub), both[1], both[0], &st);
        assert_string_equal(rv ? st.message : "", cases[i].want ? cases[i].want : "");
    }
}

/* Without the subresource it is for. */
static const char *check_of(const struct schema_rule *rule)
{
    const char *cut = strchr(rule->check, '/');
    return cut ? cut + 1 : rule->check;
}

static void test_every_check_exists(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_n_types; i++)
        for (size_t r = 0; r < schema_types[i].n_checks; r++)
            if (!rule_find(check_of(&schema_types[i].checks[r])))
                fail_msg("%s: %s", schema_types[i].name, schema_types[i].checks[r].check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(test_metadata),  unit(test_causes),
        unit(test_pods),      unit(test_pod_updates),
        unit(test_workloads), unit(test_selector_update),
        unit(test_services),  unit(test_configuration),
        unit(test_rbac),      unit(test_bootstrap_objects_are_valid),
        unit(test_parts),     unit(test_every_check_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

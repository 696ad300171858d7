#include "controllers/builtin.h"

/* The built-in controllers, in no particular order: each works on its own. */
const struct controller controllers_builtin[] = {
    {.name = "deployment-controller",
     .watches = {{"apps", "deployments", NULL}, {"apps", "replicasets", deployment_map_replicaset}, {"", "pods", deployment_map_pod}},
     .reconcile = deployment_reconcile},
    {.name = "replicaset-controller",
     .watches = {{"apps", "replicasets", NULL}, {"", "pods", replicaset_map_pod}},
     .reconcile = replicaset_reconcile},
    {.name = "endpoints-controller",
     .watches = {{"", "services", NULL},
                 {"", "pods", endpoints_map_pod},
                 {"", "endpoints", NULL},
                 {"discovery.k8s.io", "endpointslices", endpoints_map_slice}},
     .reconcile = endpoints_reconcile},
    {.name = "namespace-controller", .watches = {{"", "namespaces", NULL}}, .reads_everything = true, .reconcile = namespace_reconcile},
    {.name = "serviceaccount-controller",
     .watches = {{"", "namespaces", NULL}, {"", "serviceaccounts", serviceaccount_map}},
     .reconcile = serviceaccount_reconcile},
    {.name = "root-ca-controller",
     .watches = {{"", "namespaces", NULL}, {"", "configmaps", rootca_map}},
     .reconcile = rootca_reconcile},
    {.name = "garbage-collector-controller", .reads_everything = true, .map_any = gc_map, .reconcile = gc_reconcile},
    {0},
};

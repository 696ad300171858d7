#include "controllers/builtin.h"

/* The built-in controllers, in no particular order: each works on its own. */
const struct controller controllers_builtin[] = {
    {.name = "deployment-controller",
     .watches = {{"apps", "deployments", NULL}, {"apps", "replicasets", deployment_map_replicaset}, {"", "pods", deployment_map_pod}},
     .reconcile = deployment_reconcile},
    {.name = "replicaset-controller",
     .watches = {{"apps", "replicasets", NULL}, {"", "pods", replicaset_map_pod}},
     .reconcile = replicaset_reconcile},
    {0},
};

#include "jepsen/workload.h"

const struct workload *const workloads[] = {&workload_register, &workload_set,     &workload_counter, &workload_append,
                                            &workload_txn,      &workload_watch,   &workload_pages,   &workload_lease,
                                            &workload_ttl,      &workload_members, &workload_deploy,  NULL};

const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; workloads[i]; i++)
        if (!strcmp(workloads[i]->name, name))
            return workloads[i];
    return NULL;
}

#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>

#include "agent/cni/cni.h"
#include "agent/node.h"
#include "agent/pods.h"
#include "agent/probes/probes.h"
#include "agent/proxy/proxy.h"
#include "agent/server.h"
#include "agent/volumes/volumes.h"
#include "base/mem.h"

static int write_network(struct agent *a, char why[256])
{
    char leases[512];
    if (!a->o.cni_conf_dir || !a->o.pod_cidr)
        return 0;
    snprintf(leases, sizeof leases, "%s/cni", a->o.data_dir);
    int rv = cni_write_config(loop_fs(a->loop), a->o.cni_conf_dir, a->o.node_name, a->o.pod_cidr, leases);
    if (rv)
        snprintf(why, 256, "the pod network's configuration cannot be written to %s: %s", a->o.cni_conf_dir,
                 strerror(-rv));
    return rv;
}

static void make_dirs(struct agent *a)
{
    static const char *const below[] = {"", "/pods", "/logs", "/cni"};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s%s", a->o.data_dir, below[i]);
        fs_mkdir(loop_fs(a->loop), path);
    }
}

int agent_start(struct loop *l, const struct agent_options *o, struct client *client, struct metrics *m,
                struct agent **ret, char why[256])
{
    struct agent *a = mem_new(struct agent);
    a->loop = l;
    a->o = *o;
    a->client = client;
    a->metrics = m;
    make_dirs(a);
    int rv = write_network(a, why);
    if (rv) {
        mem_free(a);
        return rv;
    }
    a->cri = cri_new(l, o->runtime_socket);
    a->events = events_new(client, "kubelet", o->node_name);
    a->volumes = volumes_new(a);
    a->probes = probes_new(a);
    a->node = node_new(a);
    a->pods = pods_new(a);
    if (o->listen)
        rv = agent_server_new(a, &a->server, why);
    if (!rv)
        rv = proxy_new(a, &a->proxy, why);
    if (rv) {
        agent_free(a);
        return rv;
    }
    *ret = a;
    return 0;
}

void agent_free(struct agent *a)
{
    if (!a)
        return;
    agent_server_free(a->server);
    proxy_free(a->proxy);
    cri_free(a->cri); /* ends the calls in flight, while those who wait for them are still there */
    pods_free(a->pods);
    node_free(a->node);
    probes_free(a->probes);
    volumes_free(a->volumes);
    events_free(a->events);
    tls_context_free(a->trusting);
    mem_free(a);
}

/* The node agent: runs the pods that are bound to this node, and says how they do.
 *
 * Parts, each behind its header: node.h (registration, status, heartbeats), pods.h (pod workers over the CRI),
 * volumes/,
 * probes/, server.h (logs and streams for the API server), proxy/ (Services in nftables), cni/ (the pod network's
 * configuration). All of them see the cluster through client.h only.
 *
 * Everything that must survive the agent's death lives with the runtime (labels and annotations of sandboxes and
 * containers) or in the data directory; after a restart the agent finds running pods and goes on with them.
 *
 * Thread: one loop; blocking work (files, mounts, nftables, processes) on the loop's pool. */
#ifndef PINTLE_AGENT_AGENT_H
#define PINTLE_AGENT_AGENT_H

#include "agent/cri/cri.h"
#include "base/metrics.h"
#include "client/client.h"
#include "client/events.h"
#include "net/tls.h"

struct pods;
struct volumes;
struct probes;
struct proxy;
struct agent_server;
struct node;

struct agent_options {
    const char *node_name;
    const char *node_ip;        /* address of this node, as others reach it */
    const char *data_dir;       /* pods' directories and logs below it */
    const char *runtime_socket; /* containerd */
    const char *cgroup_parent;  /* e.g. "/pintle-node-1"; NULL = "/pintle" */
    const char *pod_cidr;       /* this node's pod addresses, e.g. "10.244.1.0/24" */
    const char *service_cidr;   /* e.g. "10.96.0.0/16" */
    const char *cluster_dns;    /* nameserver for pods, or NULL = the node's own */
    const char *cluster_domain; /* "cluster.local" */
    const char *cni_conf_dir;   /* where the network's configuration is written; NULL = not written */
    const char *labels;         /* "k=v,k=v" for the Node, or NULL */
    const char *listen;         /* the agent's own server, e.g. "10.0.0.2:10250" */
    int64_t max_pods;           /* 0 = 110 */
    struct tls_context *tls;    /* server side: its certificate; requires a client certificate */
};

/* What the parts share. Owned by agent.c. */
struct agent {
    struct loop *loop;
    struct agent_options o;
    struct client *client;
    struct cri *cri;
    struct events *events; /* component "kubelet", host = node name */
    struct metrics *metrics;
    struct volumes *volumes;
    struct probes *probes;
    struct pods *pods;
    struct node *node;
    struct proxy *proxy;
    struct agent_server *server;
    struct tls_context *trusting; /* client side, takes any certificate: for probes; made when used */
};

/* Starts everything. client is borrowed. 0, or negative errno with why. */
int agent_start(struct loop *l, const struct agent_options *o, struct client *client, struct metrics *m,
                struct agent **ret, char why[256]);
/* Stops; pods keep running. */
void agent_free(struct agent *a);

#endif

/* pintle agent: a node. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/proxy/proxy.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "client/http.h"
#include "client/servers.h"

enum { STOP_GRACE_MS = 200 };

struct options {
    const char *node_name, *node_ip, *data_dir, *cert_dir, *runtime, *cgroup_parent, *pod_cidr, *service_cidr, *dns,
        *domain;
    const char *cni_conf_dir, *labels, *listen, *log_level;
    struct option_list servers;
    int64_t max_pods;
    bool cleanup;
};

#define ROW(name, kind, member, value, help)                                                                           \
    {                                                                                                                  \
        name, kind, offsetof(struct options, member), value, help                                                      \
    }
static const struct option_row rows[] = {
    ROW("server", OPTION_LIST, servers, "ADDR",
        "an API server's address, such as 10.0.0.1:6443; the others are learnt, more help a first start"),
    ROW("node-name", OPTION_TEXT, node_name, "NAME", "this node's name"),
    ROW("node-ip", OPTION_TEXT, node_ip, "IP", "this node's address"),
    ROW("data-dir", OPTION_TEXT, data_dir, "DIR", "pods' directories and logs (/var/lib/pintle/agent)"),
    ROW("cert-dir", OPTION_TEXT, cert_dir, "DIR", "ca.crt, node.crt, node.key (/etc/pintle/pki)"),
    ROW("runtime", OPTION_TEXT, runtime, "SOCKET", "containerd's socket (/run/containerd/containerd.sock)"),
    ROW("cgroup-parent", OPTION_TEXT, cgroup_parent, "PATH", "control group of all pods (/pintle)"),
    ROW("pod-cidr", OPTION_TEXT, pod_cidr, "CIDR", "addresses of this node's pods, such as 10.244.1.0/24"),
    ROW("service-cidr", OPTION_TEXT, service_cidr, "CIDR", "addresses of Services (10.96.0.0/16)"),
    ROW("cluster-dns", OPTION_TEXT, dns, "IP", "name server of pods (the node's own)"),
    ROW("cluster-domain", OPTION_TEXT, domain, "NAME", "(cluster.local)"),
    ROW("cni-conf-dir", OPTION_TEXT, cni_conf_dir, "DIR",
        "where the pod network's configuration is written; not given = leave it alone"),
    ROW("labels", OPTION_TEXT, labels, "K=V,K=V", "labels of the Node"),
    ROW("listen", OPTION_TEXT, listen, "ADDR", "where the API server reaches this agent (0.0.0.0:10250)"),
    ROW("max-pods", OPTION_NUMBER, max_pods, "N", "(110)"),
    ROW("cleanup", OPTION_FLAG, cleanup, "", "remove the Service rules of this network namespace and exit"),
    ROW("log-level", OPTION_TEXT, log_level, "LEVEL", "debug, info, warn or error (info)"),
    {0},
};

struct process {
    struct loop *loop;
    struct loop_timer stop;
};

static void on_stop(struct loop_timer *t)
{
    loop_stop(container_of(t, struct process, stop)->loop);
}

static void on_signal(void *ctx, int signo)
{
    struct process *p = ctx;
    (void)signo;
    loop_timer_start(p->loop, &p->stop, STOP_GRACE_MS);
}

static int check(const struct options *o)
{
    if (!o->servers.n || !o->node_name || !o->node_ip) {
        fprintf(stderr, "pintle agent: --server, --node-name and --node-ip are needed; see pintle agent --help\n");
        return 2;
    }
    return 0;
}

static int serve(const struct options *o, struct loop *l)
{
    char ca[512], cert[512], key[512], why[256] = "";
    struct tls_context *client_tls = NULL, *server_tls = NULL;
    struct metrics metrics;
    struct agent *agent = NULL;
    struct process process = {.loop = l, .stop.cb = on_stop};
    snprintf(ca, sizeof ca, "%s/ca.crt", o->cert_dir);
    snprintf(cert, sizeof cert, "%s/node.crt", o->cert_dir);
    snprintf(key, sizeof key, "%s/node.key", o->cert_dir);
    struct tls_options tls = {.cert_file = cert, .key_file = key, .ca_file = ca, .h2 = true};
    int rv = tls_context_new(&tls, &client_tls, why);
    tls.verify_client = tls.require_client = true;
    tls.h2 = false;
    if (!rv)
        rv = tls_context_new(&tls, &server_tls, why);
    if (rv) {
        fprintf(stderr, "pintle agent: %s\n", why);
        return 1;
    }
    metrics_init(&metrics);
    struct client *client = client_http_new(l, &(struct client_http_options){.servers = o->servers.at,
                                                                             .n_servers = o->servers.n,
                                                                             .tls = client_tls,
                                                                             .user_agent = "kubelet/v1.36.4"});
    struct agent_options a = {.node_name = o->node_name,
                              .node_ip = o->node_ip,
                              .data_dir = o->data_dir,
                              .runtime_socket = o->runtime,
                              .cgroup_parent = o->cgroup_parent,
                              .pod_cidr = o->pod_cidr,
                              .service_cidr = o->service_cidr,
                              .cluster_dns = o->dns,
                              .cluster_domain = o->domain,
                              .cni_conf_dir = o->cni_conf_dir,
                              .labels = o->labels,
                              .listen = o->listen,
                              .max_pods = o->max_pods,
                              .tls = server_tls};
    if (agent_start(l, &a, client, &metrics, &agent, why)) {
        fprintf(stderr, "pintle agent: %s\n", why);
        return 1;
    }
    snprintf(ca, sizeof ca, "%s/servers", o->data_dir);
    struct client_servers *servers = client_servers_new(client, ca, o->servers.at, o->servers.n);
    loop_on_signal(l, on_signal, &process);
    log_info(loop_log(l), "agent", "running node=%s ip=%s runtime=%s", o->node_name, o->node_ip, o->runtime);
    loop_run(l);
    client_servers_free(servers);
    agent_free(agent);
    client_http_free(client);
    tls_context_free(client_tls);
    tls_context_free(server_tls);
    metrics_done(&metrics);
    return 0;
}

static enum log_level level_of(const char *text)
{
    return !text                    ? LOG_INFO
           : !strcmp(text, "debug") ? LOG_DEBUG
           : !strcmp(text, "warn")  ? LOG_WARN
           : !strcmp(text, "error") ? LOG_ERROR
                                    : LOG_INFO;
}

static int run(int argc, char **argv, const struct command *c)
{
    struct options o = {.data_dir = "/var/lib/pintle/agent",
                        .cert_dir = "/etc/pintle/pki",
                        .listen = "0.0.0.0:10250",
                        .runtime = "/run/containerd/containerd.sock",
                        .cgroup_parent = "/pintle",
                        .service_cidr = "10.96.0.0/16",
                        .domain = "cluster.local",
                        .max_pods = 110};
    int rv = options_parse(c, argc, argv, &o, "/etc/pintle/agent.yaml", NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (o.cleanup)
        return proxy_cleanup() ? 1 : 0;
    if ((rv = check(&o)))
        return rv;
    signal(SIGPIPE, SIG_IGN);
    struct loop *l = loop_uv_new(o.node_name);
    loop_log(l)->level = level_of(o.log_level);
    rv = serve(&o, l);
    loop_free(l);
    return rv;
}

const struct command command_agent = {
    "agent",
    "Runs a node: pods, volumes, probes, Services.",
    "",
    "Needs root, a containerd to talk to, and a certificate made with `pintle cert issue --node`.\n"
    "Pods keep running when the agent ends; the next one goes on with them.",
    rows,
    run};

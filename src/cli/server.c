/* pintle server: one replica: Raft, store, API server, and on the leader scheduler and controllers. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "apiserver/api.h"
#include "auth/authn.h"
#include "auth/sa_token.h"
#include "auth/sealer.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "client/local.h"
#include "controllers/runtime.h"
#include "net/tls.h"
#include "scheduler/scheduler.h"

enum { DRAIN_GRACE_MS = 1000, TRANSFER_MS = 2000, FILES_WANTED = 65536 };

struct server_options {
    int64_t id;
    const char *data_dir, *cert_dir, *listen, *peer_listen, *token_file, *service_cidr, *issuer, *log_level;
    const char *encryption_key_file;
    struct option_list members, encryption_resources;
    const char *backup_dir;
    int64_t backup_lag, backup_keep;
    int64_t election_ms, heartbeat_ms, snapshot_every;
    int64_t history_bytes, history_age;
};

enum { HISTORY_AGE_MIN = 60 };
static const int64_t HISTORY_BYTES_MIN = 16 << 20, HISTORY_BYTES_MAX = (int64_t)16 << 30;

#define ROW(name, kind, member, value, help)                                                                           \
    {                                                                                                                  \
        name, kind, offsetof(struct server_options, member), value, help                                               \
    }
static const struct option_row rows[] = {
    ROW("id", OPTION_NUMBER, id, "N", "this replica's member id (1, 2, 3 …)"),
    ROW("member", OPTION_LIST, members, "ID=PEER,API",
        "a member's peer and API addresses, once for each, e.g. 1=10.0.0.1:7443,10.0.0.1:6443"),
    ROW("listen", OPTION_TEXT, listen, "ADDR", "where the API is served (0.0.0.0:6443)"),
    ROW("peer-listen", OPTION_TEXT, peer_listen, "ADDR", "where other replicas connect (0.0.0.0:7443)"),
    ROW("data-dir", OPTION_TEXT, data_dir, "DIR", "log, snapshots, identity (/var/lib/pintle)"),
    ROW("cert-dir", OPTION_TEXT, cert_dir, "DIR", "ca.crt, server.crt, server.key, sa.key (/etc/pintle/pki)"),
    ROW("token-file", OPTION_TEXT, token_file, "FILE", "static tokens: token,user,uid,\"group1,group2\" a line"),
    ROW("service-cidr", OPTION_TEXT, service_cidr, "CIDR", "addresses of Services (10.96.0.0/16)"),
    ROW("service-account-issuer", OPTION_TEXT, issuer, "URL", "issuer of ServiceAccount tokens"),
    ROW("encryption-key-file", OPTION_TEXT, encryption_key_file, "FILE",
        "keys that encrypt Secrets at rest: NAME:BASE64 a line, the first one encrypts, all decrypt"),
    ROW("encryption-resource", OPTION_LIST, encryption_resources, "RESOURCE",
        "what is encrypted, PLURAL or PLURAL.GROUP, once for each (secrets)"),
    ROW("election-ms", OPTION_NUMBER, election_ms, "MS", "election timeout (250)"),
    ROW("heartbeat-ms", OPTION_NUMBER, heartbeat_ms, "MS", "heartbeat interval (25)"),
    ROW("snapshot-every", OPTION_NUMBER, snapshot_every, "N", "log entries between snapshots (100000)"),
    ROW("history-window-bytes", OPTION_NUMBER, history_bytes, "BYTES",
        "changes kept for watches, pintle history and pintleAsOf, 16 MiB to 16 GiB (256 MiB)"),
    ROW("history-window-age", OPTION_NUMBER, history_age, "SECONDS",
        "changes older than that are dropped too, 60 or more (0: kept while there is room)"),
    ROW("backup-dir", OPTION_TEXT, backup_dir, "DIR", "ship all changes to DIR/ID, a mounted network disk for example"),
    ROW("backup-lag", OPTION_NUMBER, backup_lag, "SECONDS", "at most so late (10)"),
    ROW("backup-keep", OPTION_NUMBER, backup_keep, "N", "whole states kept there, with all that follows (7)"),
    ROW("log-level", OPTION_TEXT, log_level, "LEVEL", "debug, info, warn or error (info)"),
    {0},
};

struct server {
    struct server_options o;
    struct loop *loop;
    struct metrics metrics;
    struct replica *replica;
    struct api *api;
    struct tls_context *tls, *client_tls, *peer_tls;
    struct sa_signer *signer;
    struct sealer *sealer;
    struct authn *authn;
    struct client *controller_client, *scheduler_client;
    struct controllers *controllers;
    struct scheduler *scheduler;
    struct replica_listener role;
    struct loop_timer stop_timer;
    struct raft_member members[RAFT_MEMBERS_MAX];
    struct api_member api_members[RAFT_MEMBERS_MAX];
    size_t n_members;
    struct buf ca_pem;
    int exit_status;
    bool stopping;
};

/* ---- options ---- */

static int parse_member(struct server *s, const char *text)
{
    struct slice id, rest, peer, api;
    uint64_t number;
    if (s->n_members == RAFT_MEMBERS_MAX || !slice_cut(slice_str(text), '=', &id, &rest) ||
        !slice_to_u64(id, &number) || !number || !slice_cut(rest, ',', &peer, &api) || peer.n >= RAFT_ADDR_MAX ||
        api.n >= RAFT_ADDR_MAX || !api.n) {
        fprintf(stderr,
                "pintle server: --member %s: want ID=PEER,API such as 1=10.0.0.1:7443,10.0.0.1:6443, at most %d\n",
                text, RAFT_MEMBERS_MAX);
        return 2;
    }
    struct raft_member *m = &s->members[s->n_members];
    struct api_member *a = &s->api_members[s->n_members++];
    m->id = a->id = number;
    memcpy(m->address, peer.p, peer.n);
    memcpy(a->address, api.p, api.n);
    return 0;
}

static int check_options(struct server *s)
{
    bool found = false;
    for (size_t i = 0; i < s->o.members.n; i++) {
        int rv = parse_member(s, s->o.members.at[i]);
        if (rv)
            return rv;
    }
    for (size_t i = 0; i < s->n_members; i++)
        found |= s->members[i].id == (uint64_t)s->o.id;
    if (!found) {
        fprintf(stderr, "pintle server: --id %ld must be one of the --member ids\n", s->o.id);
        return 2;
    }
    return 0;
}

static int check_history(const struct server_options *o)
{
    if (o->history_bytes && (o->history_bytes < HISTORY_BYTES_MIN || o->history_bytes > HISTORY_BYTES_MAX)) {
        fprintf(stderr, "pintle server: --history-window-bytes %ld: want %ld to %ld\n", o->history_bytes,
                (long)HISTORY_BYTES_MIN, (long)HISTORY_BYTES_MAX);
        return 2;
    }
    if (o->history_age && o->history_age < HISTORY_AGE_MIN) {
        fprintf(stderr, "pintle server: --history-window-age %ld: want %d or more seconds, or 0\n", o->history_age,
                HISTORY_AGE_MIN);
        return 2;
    }
    return 0;
}

static enum log_level level_of(const char *text)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; text && i < 4; i++)
        if (!strcmp(text, names[i]))
            return (enum log_level)i;
    return LOG_INFO;
}

/* ---- certificates ---- */

enum { FILE_PATH_MAX = 512 };

static const char *in_dir(char out[FILE_PATH_MAX], const char *dir, const char *file)
{
    snprintf(out, FILE_PATH_MAX, "%s/%s", dir, file);
    return out;
}

static int load_file(struct loop *l, const char *path, struct buf *out)
{
    struct file *f;
    uint64_t size;
    int rv = fs_open(loop_fs(l), path, FS_READ, &f);
    if (rv)
        return rv;
    rv = file_size(f, &size);
    if (!rv)
        rv = buf_reserve(out, size);
    if (!rv) {
        ssize_t n = file_pread(f, out->p, size, 0);
        rv = n < 0 ? (int)n : 0;
        out->n = n < 0 ? 0 : (size_t)n;
    }
    file_close(f);
    return rv;
}

static int load_security(struct server *s, char why[256])
{
    char ca_path[FILE_PATH_MAX], cert[FILE_PATH_MAX], key[FILE_PATH_MAX], sa_key[FILE_PATH_MAX];
    const char *dir = s->o.cert_dir, *ca = in_dir(ca_path, dir, "ca.crt");
    struct tls_options serving = {.cert_file = in_dir(cert, dir, "server.crt"),
                                  .key_file = in_dir(key, dir, "server.key"),
                                  .ca_file = ca,
                                  .verify_client = true,
                                  .h2 = true};
    struct tls_options peers = serving, outgoing = serving;
    peers.require_client = peers.tls13_only = true;
    peers.h2 = false;
    outgoing.verify_client = false;
    int rv = tls_context_new(&serving, &s->tls, why);
    if (!rv)
        rv = tls_context_new(&peers, &s->peer_tls, why);
    if (!rv)
        rv = tls_context_new(&outgoing, &s->client_tls, why);
    if (!rv)
        rv = sa_signer_new(in_dir(sa_key, dir, "sa.key"), NULL, &s->signer, why);
    if (!rv && (rv = load_file(s->loop, ca, &s->ca_pem)))
        snprintf(why, 256, "%s: %s", ca, strerror(-rv));
    return rv;
}

static int load_sealer(struct server *s, char why[256])
{
    const char *path = s->o.encryption_key_file;
    struct buf text = BUF_INIT(SEALER_FILE_MAX);
    char wrong[256] = "";
    if (!s->o.encryption_resources.n)
        s->o.encryption_resources = (struct option_list){{"secrets"}, 1};
    if (!path)
        return 0;
    int rv = load_file(s->loop, path, &text);
    if (rv)
        snprintf(wrong, sizeof wrong, "%s", strerror(-rv));
    else
        rv = sealer_parse(buf_slice(&text), &s->sealer, wrong);
    if (rv)
        snprintf(why, 256, "%.100s: %.150s", path, wrong);
    if (text.p)
        explicit_bzero(text.p, text.n);
    buf_done(&text);
    return rv;
}

/* ---- leadership ---- */

static void on_role(struct replica_listener *l, bool is_leader, uint64_t term, uint64_t leader_id)
{
    struct server *s = container_of(l, struct server, role);
    log_info(loop_log(s->loop), "server", "role leader=%d term=%lu leader_id=%lu", is_leader, term, leader_id);
    if (is_leader && !s->stopping) {
        controllers_start(s->controllers);
        scheduler_start(s->scheduler);
    } else {
        controllers_stop(s->controllers);
        scheduler_stop(s->scheduler);
    }
}

/* ---- stopping ---- */

static void finish(struct loop_timer *t)
{
    struct server *s = container_of(t, struct server, stop_timer);
    loop_stop(s->loop);
}

static void on_transferred(void *ctx, int err)
{
    struct server *s = ctx;
    log_info(loop_log(s->loop), "server", "leadership handed over err=%d", err);
    api_drain(s->api, DRAIN_GRACE_MS);
    loop_timer_start(s->loop, &s->stop_timer, DRAIN_GRACE_MS);
}

static void on_signal(void *ctx, int signo)
{
    struct server *s = ctx;
    if (s->stopping) {
        loop_stop(s->loop);
        return;
    }
    s->stopping = true;
    log_info(loop_log(s->loop), "server", "stopping signal=%d", signo);
    if (replica_is_leader(s->replica))
        raft_node_transfer(replica_raft(s->replica), 0, TRANSFER_MS, on_transferred, s);
    else
        on_transferred(s, 0);
}

static void on_failed(void *ctx, int err, const char *reason)
{
    struct server *s = ctx;
    log_error(loop_log(s->loop), "server", "this replica cannot go on err=%d reason=\"%s\"", err, reason);
    s->exit_status = 1;
    loop_stop(s->loop);
}

/* ---- assembly ---- */

static bool bound_exists(void *ctx, const char *kind, struct slice ns, struct slice name, struct slice uid)
{
    return api_object_exists(ctx, kind, ns, name, uid);
}

static int open_replica(struct server *s, char why[256])
{
    struct replica_options o = {.raft = {.dir = s->o.data_dir,
                                         .id = (uint64_t)s->o.id,
                                         .cluster_id = 0, /* as the data directory says */
                                         .members = s->members,
                                         .n_members = s->n_members,
                                         .listen = s->o.peer_listen,
                                         .security = {s->peer_tls},
                                         .election_ms = (uint32_t)s->o.election_ms,
                                         .heartbeat_ms = (uint32_t)s->o.heartbeat_ms,
                                         .snapshot_every = (uint64_t)s->o.snapshot_every,
                                         .metrics = &s->metrics},
                                .window_bytes = (size_t)s->o.history_bytes,
                                .window_age_ms = (uint64_t)s->o.history_age * 1000,
                                .backup = {.dir = s->o.backup_dir,
                                           .lag_ms = (uint64_t)s->o.backup_lag * 1000,
                                           .keep = (unsigned)s->o.backup_keep,
                                           .metrics = &s->metrics},
                                .failed = on_failed,
                                .ctx = s};
    return replica_open(s->loop, &o, &s->replica, why);
}

static int assemble(struct server *s, char why[256])
{
    const char *issuer = s->o.issuer ? s->o.issuer : "https://kubernetes.default.svc.cluster.local";
    int rv = load_security(s, why);
    if (!rv)
        rv = load_sealer(s, why);
    if (!rv)
        rv = open_replica(s, why);
    if (!rv)
        rv = authn_new(s->loop,
                       &(struct authn_options){
                           .token_file = s->o.token_file, .signer = s->signer, .issuer = issuer, .audience = issuer},
                       &s->authn, why);
    if (rv)
        return rv;
    s->api = api_new(s->loop, &(struct api_options){.replica = s->replica,
                                                    .metrics = &s->metrics,
                                                    .authn = s->authn,
                                                    .tls = s->tls,
                                                    .peer_tls = s->client_tls,
                                                    .id = (uint64_t)s->o.id,
                                                    .members = s->api_members,
                                                    .n_members = s->n_members,
                                                    .service_cidr = s->o.service_cidr,
                                                    .service_account_issuer = issuer,
                                                    .signer = s->signer,
                                                    .sealer = s->sealer,
                                                    .sealed = s->o.encryption_resources.at,
                                                    .n_sealed = s->o.encryption_resources.n,
                                                    .ca_pem = buf_slice(&s->ca_pem),
                                                    .authorize = true});
    authn_set_bound(s->authn, bound_exists, s->api);
    s->controller_client = client_local_new(s->api, "system:kube-controller-manager");
    s->scheduler_client = client_local_new(s->api, "system:kube-scheduler");
    s->controllers = controllers_new(s->controller_client, controllers_builtin, &s->metrics);
    s->scheduler = scheduler_new(s->scheduler_client, &s->metrics);
    s->role.role = on_role;
    replica_listen(s->replica, &s->role);
    if ((rv = api_serve(s->api, s->o.listen, NULL)))
        snprintf(why, 256, "cannot listen on %s: %s", s->o.listen, strerror(-rv));
    else if ((rv = replica_start(s->replica)))
        snprintf(why, 256, "cannot listen for peers on %s: %s", s->o.peer_listen, strerror(-rv));
    return rv;
}

static void disassemble(struct server *s)
{
    scheduler_free(s->scheduler);
    controllers_free(s->controllers);
    client_local_free(s->controller_client);
    client_local_free(s->scheduler_client);
    api_free(s->api);
    replica_free(s->replica);
    authn_free(s->authn);
    sa_signer_free(s->signer);
    sealer_free(s->sealer);
    tls_context_free(s->tls);
    tls_context_free(s->client_tls);
    tls_context_free(s->peer_tls);
    metrics_done(&s->metrics);
    buf_done(&s->ca_pem);
}

static void raise_file_limit(void)
{
    struct rlimit r;
    if (!getrlimit(RLIMIT_NOFILE, &r)) {
        r.rlim_cur = r.rlim_max < FILES_WANTED ? r.rlim_max : FILES_WANTED;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static int run(int argc, char **argv, const struct command *c)
{
    static struct server server;
    struct server *s = &server;
    char why[256] = "", name[32];
    *s = (struct server){.o = {.id = 1,
                               .data_dir = "/var/lib/pintle",
                               .cert_dir = "/etc/pintle/pki",
                               .listen = "0.0.0.0:6443",
                               .peer_listen = "0.0.0.0:7443"}};
    int rv = options_parse(c, argc, argv, &s->o, "/etc/pintle/server.yaml", NULL, NULL);
    if (!rv)
        rv = check_options(s);
    if (!rv)
        rv = check_history(&s->o);
    if (rv)
        return rv == 1 ? 0 : rv;
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    snprintf(name, sizeof name, "server-%ld", s->o.id);
    s->loop = loop_uv_new(name);
    loop_log(s->loop)->level = level_of(s->o.log_level);
    metrics_init(&s->metrics);
    buf_init(&s->ca_pem, 1 << 20);
    s->stop_timer.cb = finish;
    if (assemble(s, why)) {
        fprintf(stderr, "pintle server: %s\n", why);
        return 1;
    }
    loop_on_signal(s->loop, on_signal, s);
    log_info(loop_log(s->loop), "server", "serving listen=%s peers=%s data=%s", s->o.listen, s->o.peer_listen,
             s->o.data_dir);
    loop_run(s->loop);
    disassemble(s);
    loop_free(s->loop);
    return s->exit_status;
}

const struct command command_server = {"server",
                                       "Runs one replica of the control plane.",
                                       "",
                                       "Three or more replicas with the same --member list form a cluster; each needs "
                                       "its own --id, --data-dir and certificate.\n"
                                       "SIGTERM hands leadership over and ends open watches before it exits.",
                                       rows,
                                       run};

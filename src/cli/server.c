/* pintle server: one replica: Raft, store, API server, and on the leader scheduler and controllers. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "apiserver/api.h"
#include "auth/authn.h"
#include "auth/pki.h"
#include "auth/sa_token.h"
#include "auth/sealer.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/health.h"
#include "cli/identity.h"
#include "cli/join.h"
#include "client/local.h"
#include "controllers/runtime.h"
#include "net/tls.h"
#include "scheduler/scheduler.h"
#include "store/members.h"

enum { DRAIN_GRACE_MS = 1000, TRANSFER_MS = 2000, FILES_WANTED = 65536, JOIN_TIMEOUT_S = 600 };

struct server_options {
    int64_t id;
    const char *data_dir, *cert_dir, *listen, *peer_listen, *token_file, *service_cidr, *issuer, *log_level;
    const char *token, *join_token_file, *peer_address, *api_address, *encryption_key_file;
    struct option_list members, join, encryption_resources;
    int64_t election_ms, heartbeat_ms, snapshot_every, join_timeout, replace_after, format;
    const char *backup_dir;
    int64_t backup_lag, backup_keep;
    int64_t history_bytes, history_age;
    bool witness;
};

enum { HISTORY_AGE_MIN = 60 };
static const int64_t HISTORY_BYTES_MIN = 16 << 20, HISTORY_BYTES_MAX = (int64_t)16 << 30;

#define ROW(name, kind, member, value, help)                                                                           \
    {                                                                                                                  \
        name, kind, offsetof(struct server_options, member), value, help                                               \
    }
static const struct option_row rows[] = {
    ROW("id", OPTION_NUMBER, id, "N", "this replica's member id (1, 2, 3 …), when it is one of the first"),
    ROW("member", OPTION_LIST, members, "ID=PEER,API",
        "a member's peer and API addresses, once for each, e.g. 1=10.0.0.1:7443,10.0.0.1:6443"),
    ROW("join", OPTION_LIST, join, "URL",
        "with an empty data directory: join the cluster of this server, e.g. https://10.0.0.1:6443; more are tried in "
        "turn"),
    ROW("token", OPTION_TEXT, token, "TOKEN", "what `pintle token create` printed there"),
    ROW("join-token-file", OPTION_TEXT, join_token_file, "FILE", "the same in a file, which others cannot see"),
    ROW("join-timeout", OPTION_NUMBER, join_timeout, "S", "give up joining after so many seconds (600)"),
    ROW("peer-address", OPTION_TEXT, peer_address, "ADDR",
        "where other replicas reach this one (--peer-listen, when it names an address)"),
    ROW("api-address", OPTION_TEXT, api_address, "ADDR",
        "where this replica's API is reached (--listen, when it names an address)"),
    ROW("witness", OPTION_FLAG, witness, "",
        "vote and keep the log's tail, but no state and no API: the third of two nodes"),
    ROW("replace-after", OPTION_NUMBER, replace_after, "S",
        "a standby takes the seat of a voter that was away so many seconds (60)"),
    ROW("listen", OPTION_TEXT, listen, "ADDR", "where the API is served (0.0.0.0:6443)"),
    ROW("peer-listen", OPTION_TEXT, peer_listen, "ADDR", "where other replicas connect (0.0.0.0:7443)"),
    ROW("data-dir", OPTION_TEXT, data_dir, "DIR", "log, snapshots, identity (/var/lib/pintle)"),
    ROW("cert-dir", OPTION_TEXT, cert_dir, "DIR",
        "ca.crt, server.crt, server.key, sa.key, ca.key to admit others (/etc/pintle/pki)"),
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
    ROW("format", OPTION_NUMBER, format, "N", "use nothing newer than this format, to be able to go back (the newest)"),
    ROW("log-level", OPTION_TEXT, log_level, "LEVEL", "debug, info, warn or error (info)"),
    {0},
};

struct server {
    struct server_options o;
    struct loop *loop;
    struct metrics metrics;
    struct identity identity;
    struct replica *replica;
    struct members *membership;
    struct api *api;
    struct health *health; /* of a witness */
    struct tls_context *tls, *client_tls, *peer_tls;
    struct sa_signer *signer;
    struct sealer *sealer;
    struct authn *authn;
    struct client *controller_client, *scheduler_client;
    struct controllers *controllers;
    struct scheduler *scheduler;
    struct replica_listener role;
    struct loop_timer stop_timer;
    struct api_join join;
    struct buf ca_pem, ca_key, sa_key, encryption_key;
    int exit_status;
    bool stopping;
};

/* ---- options ---- */

static int parse_member(struct identity *i, const char *text)
{
    struct slice id, rest, peer, api;
    uint64_t number;
    struct identity_member m = {0};
    if (i->n_members == RAFT_MEMBERS_MAX || !slice_cut(slice_str(text), '=', &id, &rest) ||
        !slice_to_u64(id, &number) || !number || !slice_cut(rest, ',', &peer, &api) || !identity_set(m.peer, peer) ||
        !identity_set(m.api, api) || !peer.n) {
        fprintf(stderr,
                "pintle server: --member %s: want ID=PEER,API such as 1=10.0.0.1:7443,10.0.0.1:6443, at most %d\n",
                text, RAFT_MEMBERS_MAX);
        return 2;
    }
    m.id = number;
    i->members[i->n_members++] = m;
    return 0;
}

/* The address others should use, from what was said now and before: an option of its own; the member list; the address
 * listened on, when it is one that others can reach; what held before. */
static const char *choose_address(const char *given, const char *of_member, const char *listen, const char *old,
                                  const char *old_listen)
{
    bool names_one = strncmp(listen, "0.0.0.0:", 8) != 0 && strncmp(listen, "[::]:", 5) != 0;
    if (given)
        return given;
    if (of_member && of_member[0])
        return of_member;
    if (old[0] && (!names_one || !strcmp(listen, old_listen)))
        return old;
    return names_one ? listen : "";
}

/* Fills in how others reach this replica; from_options: the members are those of the command line. */
static int choose_addresses(struct server *s, bool from_options)
{
    struct identity *i = &s->identity;
    const struct identity_member *own = from_options ? identity_member(i, i->id) : NULL;
    char peer[RAFT_ADDR_MAX], api[RAFT_ADDR_MAX];
    if (!identity_set(peer, slice_str(choose_address(s->o.peer_address, own ? own->peer : NULL, s->o.peer_listen,
                                                     i->peer, i->peer_listen))) ||
        !identity_set(
            api, slice_str(choose_address(s->o.api_address, own ? own->api : NULL, s->o.listen, i->api, i->listen))) ||
        !peer[0] || (!api[0] && !s->o.witness)) {
        fprintf(stderr,
                "pintle server: how do others reach this replica? Give --peer-address and --api-address, or let "
                "--peer-listen and --listen name its address\n");
        return 2;
    }
    memcpy(i->peer, peer, sizeof peer);
    memcpy(i->api, s->o.witness ? "" : api, s->o.witness ? 1 : sizeof api);
    identity_set(i->peer_listen, slice_str(s->o.peer_listen));
    identity_set(i->listen, slice_str(s->o.listen));
    return 0;
}

/* ---- who we are ---- */

static bool has_data(struct server *s, struct loop *l)
{
    char path[IDENTITY_PATH_MAX];
    struct file *f;
    snprintf(path, sizeof path, "%s/meta", s->o.data_dir);
    if (fs_open(loop_fs(l), path, FS_READ, &f))
        return false;
    file_close(f);
    return true;
}

static int join(struct server *s, struct loop *l)
{
    struct identity *i = &s->identity;
    if (has_data(s, l)) {
        fprintf(stderr,
                "pintle server: %s holds a replica's data: start it without --join, with its --id and --member; "
                "or, to join as a new member, with an empty --data-dir\n",
                s->o.data_dir);
        return 2;
    }
    if (s->o.id) {
        fprintf(stderr, "pintle server: --id is given by the cluster to a replica that joins\n");
        return 2;
    }
    int rv = choose_addresses(s, false);
    if (rv)
        return rv;
    struct identity answer;
    rv = join_cluster(l,
                      &(struct join_options){.servers = s->o.join.at,
                                             .n_servers = s->o.join.n,
                                             .token = s->o.token,
                                             .token_file = s->o.join_token_file,
                                             .data_dir = s->o.data_dir,
                                             .cert_dir = s->o.cert_dir,
                                             .peer = i->peer,
                                             .api = i->api,
                                             .witness = s->o.witness,
                                             .timeout_s = (unsigned)s->o.join_timeout},
                      &answer);
    if (rv)
        return rv;
    memcpy(answer.peer_listen, i->peer_listen, sizeof answer.peer_listen);
    memcpy(answer.listen, i->listen, sizeof answer.listen);
    *i = answer;
    return 0;
}

/* A replica that was here before. */
static int come_back(struct server *s, const struct identity *known)
{
    struct identity *i = &s->identity, given = *i;
    if (s->o.id && (uint64_t)s->o.id != known->id) {
        fprintf(stderr,
                "pintle server: %s belongs to member %lu, not to --id %ld: leave --id out, or give it another "
                "--data-dir\n",
                s->o.data_dir, known->id, s->o.id);
        return 2;
    }
    if (s->o.witness && !known->witness) {
        fprintf(stderr,
                "pintle server: %s holds a replica with a state, which cannot become a witness: remove it and join "
                "again\n",
                s->o.data_dir);
        return 2;
    }
    *i = *known;
    s->o.witness = known->witness;
    if (given.n_members) {
        memcpy(i->members, given.members, sizeof i->members);
        i->n_members = given.n_members;
    }
    return choose_addresses(s, given.n_members > 0);
}

static int be_first(struct server *s)
{
    struct identity *i = &s->identity;
    i->id = s->o.id ? (uint64_t)s->o.id : 1;
    i->witness = s->o.witness;
    if (!identity_member(i, i->id)) {
        fprintf(stderr,
                "pintle server: --id %lu must be one of the --member ids; to join a cluster that runs, use --join "
                "and --token\n",
                i->id);
        return 2;
    }
    return choose_addresses(s, true);
}

static int find_identity(struct server *s, struct loop *l)
{
    struct identity known;
    int rv = identity_load(loop_fs(l), s->o.data_dir, &known);
    if (rv && rv != -ENOENT) {
        fprintf(stderr, "pintle server: %s/server.json: %s\n", s->o.data_dir,
                rv == -EBADMSG ? "damaged; remove it and start with --id and --member" : strerror(-rv));
        return 1;
    }
    for (size_t i = 0; i < s->o.members.n; i++)
        if (parse_member(&s->identity, s->o.members.at[i]))
            return 2;
    if (!rv)
        return come_back(s, &known);
    return s->o.join.n ? join(s, l) : be_first(s);
}

/* Once the directory is ours. */
static int keep_identity(struct server *s, char why[256])
{
    int rv = identity_save(loop_fs(s->loop), s->o.data_dir, &s->identity);
    if (rv)
        snprintf(why, 256, "%s/server.json: %s", s->o.data_dir, strerror(-rv));
    else
        join_finish(s->loop, s->o.data_dir);
    return rv;
}

static int check_format(const struct server_options *o)
{
    if (o->format >= STORE_FORMAT_OLDEST && o->format <= STORE_FORMAT)
        return 0;
    fprintf(stderr, "pintle server: --format %ld: this version knows the formats %d to %d\n", o->format,
            STORE_FORMAT_OLDEST, STORE_FORMAT);
    return 2;
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

/* What newcomers are given. Without ca.key this replica admits nobody. */
static int load_join_keys(struct server *s, const char *sa_key, char why[256])
{
    static char path[FILE_PATH_MAX];
    int rv = load_file(s->loop, sa_key, &s->sa_key);
    if (rv) {
        snprintf(why, 256, "%s: %s", sa_key, strerror(-rv));
        return rv;
    }
    rv = load_file(s->loop, in_dir(path, s->o.cert_dir, "ca.key"), &s->ca_key);
    if (rv && rv != -ENOENT) {
        snprintf(why, 256, "%s: %s", path, strerror(-rv));
        return rv;
    }
    s->join = (struct api_join){.ca_key = buf_slice(&s->ca_key), .sa_key = buf_slice(&s->sa_key), .ca_key_path = path};
    return 0;
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
    if (rv || s->identity.witness) /* which has no API, and none of its keys */
        return rv;
    rv = sa_signer_new(in_dir(sa_key, dir, "sa.key"), NULL, &s->signer, why);
    if (!rv && (rv = load_file(s->loop, ca, &s->ca_pem)))
        snprintf(why, 256, "%s: %s", ca, strerror(-rv));
    return rv ? rv : load_join_keys(s, sa_key, why);
}

static int load_sealer(struct server *s, char why[256])
{
    char given[FILE_PATH_MAX], wrong[256] = "";
    const char *path = s->o.encryption_key_file;
    struct buf *text = &s->encryption_key;
    if (!s->o.encryption_resources.n)
        s->o.encryption_resources = (struct option_list){{"secrets"}, 1};
    if (!path)
        path = in_dir(given, s->o.cert_dir, "encryption.key"); /* what a replica that joined was given */
    int rv = load_file(s->loop, path, text);
    if (rv == -ENOENT && !s->o.encryption_key_file)
        return 0;
    if (rv)
        snprintf(wrong, sizeof wrong, "%s", strerror(-rv));
    else
        rv = sealer_parse(buf_slice(text), &s->sealer, wrong);
    if (rv)
        snprintf(why, 256, "%.100s: %.150s", path, wrong);
    s->join.encryption_key = buf_slice(text); /* newcomers need it, too */
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
    if (s->api)
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
    struct identity *i = &s->identity;
    struct raft_member members[RAFT_MEMBERS_MAX] = {{0}}, hints[RAFT_MEMBERS_MAX] = {{0}};
    char info[MEMBERS_INFO_MAX];
    for (size_t k = 0; k < i->n_members; k++) {
        members[k].id = hints[k].id = i->members[k].id;
        memcpy(members[k].address, i->members[k].peer, RAFT_ADDR_MAX);
        memcpy(hints[k].address, i->members[k].api, RAFT_ADDR_MAX);
    }
    struct replica_options o = {.raft = {.dir = s->o.data_dir,
                                         .id = i->id,
                                         /* 0: as the data directory says */
                                         .cluster_id = has_data(s, s->loop) ? 0 : i->cluster_id,
                                         .members = members,
                                         .n_members = i->n_members,
                                         .join = i->joined,
                                         .stateless = i->witness,
                                         .listen = s->o.peer_listen,
                                         .address = i->peer,
                                         .info = members_info(info, i->api, i->witness),
                                         .format = (uint8_t)s->o.format,
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
    int rv = replica_open(s->loop, &o, &s->replica, why);
    if (rv || (rv = keep_identity(s, why)))
        return rv;
    s->membership = members_new(s->loop, &(struct members_options){.replica = s->replica,
                                                                   .api = i->api,
                                                                   .witness = i->witness,
                                                                   .replace_ms = (uint64_t)s->o.replace_after * 1000,
                                                                   .hints = hints,
                                                                   .n_hints = i->n_members});
    return 0;
}

static int start_replica(struct server *s, char why[256])
{
    int rv = replica_start(s->replica);
    if (rv)
        snprintf(why, 256, "cannot listen for peers on %s: %s", s->o.peer_listen, strerror(-rv));
    return rv;
}

/* A witness: Raft, its health, and nothing else. */
static int assemble_witness(struct server *s, char why[256])
{
    int rv = open_replica(s, why);
    if (rv)
        return rv;
    rv = health_new(s->loop,
                    &(struct health_options){
                        .listen = s->o.listen, .tls = s->tls, .metrics = &s->metrics, .raft = replica_raft(s->replica)},
                    &s->health);
    if (!rv)
        return start_replica(s, why);
    snprintf(why, 256, "cannot listen on %s: %s", s->o.listen, strerror(-rv));
    return rv;
}

static int assemble(struct server *s, char why[256])
{
    const char *issuer = s->o.issuer ? s->o.issuer : "https://kubernetes.default.svc.cluster.local";
    int rv = load_security(s, why);
    if (!rv && s->identity.witness)
        return assemble_witness(s, why);
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
                                                    .id = s->identity.id,
                                                    .membership = s->membership,
                                                    .join = &s->join,
                                                    .service_cidr = s->o.service_cidr,
                                                    .service_account_issuer = issuer,
                                                    .signer = s->signer,
                                                    .sealer = s->sealer,
                                                    .sealed = s->o.encryption_resources.at,
                                                    .n_sealed = s->o.encryption_resources.n,
                                                    .ca_pem = buf_slice(&s->ca_pem),
                                                    .authorize = true});
    authn_set_bound(s->authn, bound_exists, s->api);
    authn_set_bootstrap(s->authn, api_bootstrap_user, s->api);
    s->controller_client = client_local_new(s->api, "system:kube-controller-manager");
    s->scheduler_client = client_local_new(s->api, "system:kube-scheduler");
    s->controllers = controllers_new(s->controller_client, controllers_builtin, &s->metrics);
    s->scheduler = scheduler_new(s->scheduler_client, &s->metrics);
    s->role.role = on_role;
    replica_listen(s->replica, &s->role);
    if (!(rv = api_serve(s->api, s->o.listen, NULL)))
        return start_replica(s, why);
    snprintf(why, 256, "cannot listen on %s: %s", s->o.listen, strerror(-rv));
    return rv;
}

static void disassemble(struct server *s)
{
    scheduler_free(s->scheduler);
    controllers_free(s->controllers);
    client_local_free(s->controller_client);
    client_local_free(s->scheduler_client);
    if (s->api)
        api_free(s->api);
    health_free(s->health);
    members_free(s->membership);
    replica_free(s->replica);
    authn_free(s->authn);
    sa_signer_free(s->signer);
    sealer_free(s->sealer);
    tls_context_free(s->tls);
    tls_context_free(s->client_tls);
    tls_context_free(s->peer_tls);
    metrics_done(&s->metrics);
    pki_wipe(&s->ca_key);
    pki_wipe(&s->sa_key);
    pki_wipe(&s->encryption_key);
    buf_done(&s->encryption_key);
    buf_done(&s->ca_pem);
    buf_done(&s->ca_key);
    buf_done(&s->sa_key);
}

static void raise_file_limit(void)
{
    struct rlimit r;
    if (!getrlimit(RLIMIT_NOFILE, &r)) {
        r.rlim_cur = r.rlim_max < FILES_WANTED ? r.rlim_max : FILES_WANTED;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

/* Joining needs a loop, and the loop that serves is named by what comes of it. */
static int prepare(struct server *s)
{
    struct loop *l = loop_uv_new("server");
    loop_log(l)->level = level_of(s->o.log_level);
    int rv = find_identity(s, l);
    loop_free(l);
    return rv;
}

static int run(int argc, char **argv, const struct command *c)
{
    static struct server server;
    struct server *s = &server;
    char why[256] = "", name[32];
    *s = (struct server){.o = {.data_dir = "/var/lib/pintle",
                               .cert_dir = "/etc/pintle/pki",
                               .listen = "0.0.0.0:6443",
                               .peer_listen = "0.0.0.0:7443",
                               .join_timeout = JOIN_TIMEOUT_S,
                               .format = STORE_FORMAT}};
    int rv = options_parse(c, argc, argv, &s->o, "/etc/pintle/server.yaml", NULL, NULL);
    if (!rv)
        rv = check_history(&s->o);
    if (!rv)
        rv = check_format(&s->o);
    if (rv)
        return rv == 1 ? 0 : rv;
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    if ((rv = prepare(s)))
        return rv;
    snprintf(name, sizeof name, "server-%lu", s->identity.id);
    s->loop = loop_uv_new(name);
    loop_log(s->loop)->level = level_of(s->o.log_level);
    metrics_init(&s->metrics);
    buf_init(&s->ca_pem, PKI_PEM_MAX);
    buf_init(&s->ca_key, PKI_PEM_MAX);
    buf_init(&s->sa_key, PKI_PEM_MAX);
    buf_init(&s->encryption_key, SEALER_FILE_MAX);
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
                                       "The first replicas of a cluster have the same --member list, and each its own "
                                       "--id, --data-dir and certificate; any\n"
                                       "other one joins with --join and --token and needs nothing but them. Later "
                                       "starts need neither: the data directory\n"
                                       "says who it is.\n"
                                       "SIGTERM hands leadership over and ends open watches before it exits.",
                                       rows,
                                       run};

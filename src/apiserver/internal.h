/* What the files of the API server share; nobody else includes this. */
#ifndef PINTLE_APISERVER_INTERNAL_H
#define PINTLE_APISERVER_INTERNAL_H

#include "apiserver/api.h"
#include "apiserver/request.h"
#include "auth/rbac.h"
#include "codec/pretty.h"

enum {
    API_STALE_AFTER_MS = 2000, /* without a known leader: there is no quorum, not a mere election */
    API_CONFIRMED_MAX = 64,
    API_BARRIER_MS = 5000,        /* a linearizable read waits this long for the leader */
    API_TXN_RETRIES = 8,          /* a patch is computed anew this often when others write the same object */
    API_LIST_BATCH = 256 << 10,   /* bytes of a list queued at a time */
    API_LIST_TURN = 1 << 20,      /* bytes of stored objects a list looks at before others have their turn */
    API_DERIVED_MAX = 32 << 20,   /* encodings made of stored objects that are kept */
    API_SNAPSHOT_QUEUE = 2 << 20, /* bytes of a snapshot queued before more is made */
    API_RETRY_SECONDS = 1,        /* Retry-After while there is no leader */
};

struct api_listener {
    struct http_server *server;
    struct api_listener *next;
};

struct api_derived; /* derived.h: encodings made of stored objects */
struct api_authz;   /* authz.c: RBAC and Node authorizer fed from the store */
struct api_forward; /* forward.c: connections to the other replicas */
struct api_nodes;   /* nodeproxy.c: connections to agents */
struct api_tokens;  /* tokens.c: bootstrap tokens */

/* A document made once and kept. */
struct api_document {
    struct blob *body, *packed; /* packed: compressed, or NULL */
    char etag[40];              /* quoted */
};
/* NULL is fine. */
void api_document_free(struct api_document *d);

struct api {
    struct loop *loop;
    struct api_options o;
    struct store *store;
    struct api_listener *listeners;
    struct list streams;   /* api_request.link: watches and streamed lists */
    struct list snapshots; /* snapshot_stream.link */
    struct list requests;  /* api_request.at_work */
    struct list answered;  /* api_local.link: in-process requests whose done is to run in the next turn */
    struct loop_timer deliver;
    struct replica_listener role;
    struct api_derived *derived;
    struct api_authz *authz;
    struct api_forward *forward;
    struct api_nodes *nodes;
    struct api_tokens *tokens;
    struct api_bootstrap *bootstrap;
    bool leaderless; /* no leader is known, since (loop_now); confirmed: wall clock then, 0 = never knew one */
    uint64_t leaderless_since;
    int64_t confirmed;
    uint64_t instance; /* random, for request ids */
    uint64_t next_request;
    size_t inflight, snapshot_streams;
    bool joining; /* a newcomer is being added */
    bool draining;
    bool closed; /* freed as soon as the last request has left */
    uint64_t started;
    /* metrics */
    struct metric_family *m_requests, *m_seconds;
    struct metric *m_inflight, *m_watches, *m_stale;
    /* api_document: discovery and OpenAPI */
    struct map documents;
};

/* The table of a resource's objects. */
struct store_table *api_table(struct api *api, const struct resource *res);
/* "ns/name" or "name". */
struct slice api_key(struct api_request *r, struct slice ns, struct slice name);
/* The request was answered: it is no longer the api's; the last one frees an api that was closed. */
void api_leave(struct api_request *r);
/* Counts an answer in the metrics. */
void api_account(struct api_request *r, int code);

/* ---- pipeline.c ---- */
/* Routes, authorizes and runs r, whose user, method, path, query and body are set. */
void api_run(struct api_request *r);
/* Runs next(r, err) once the local state is linearizable. */
void api_barrier(struct api_request *r, void (*next)(struct api_request *r, int err));
/* Runs next(r, 0) once the local state has reached a revision; answers 504 itself when it does not come. */
void api_wait_revision(struct api_request *r, uint64_t revision, void (*next)(struct api_request *r, int err));
/* The chunks, whose references it takes over, indented as one; p goes on where it was. NULL when memory is short, or the
 * result is too large: then they are the caller's still. */
struct blob *api_indent(struct json_pretty *p, const struct chunk *chunks, size_t n);
/* Answers with this content are indented. */
bool api_is_pretty(const struct api_request *r, struct slice content_type);
/* Answers err (negative errno) of a barrier, a transaction or a forward. */
void api_reply_errno(struct api_request *r, int err, const char *what);

/* ---- snapshot.c ---- */
/* The api is about to be freed; snapshots that threads still work on go on their own. */
void api_snapshots_forget(struct api *api);

/* ---- quorum.c ---- */
void api_note_leader(struct api *api, uint64_t leader_id);
/* No leader has been known for longer than an election takes. */
bool api_no_quorum(const struct api *api);
/* When the local state was last known to be the newest, for people: "at …" or "not since …". */
const char *api_confirmed_text(const struct api *api, char out[API_CONFIRMED_MAX]);
/* Whether the state here may not be shown to anybody at present (replica_fenced); then r was answered with 503. */
bool api_fenced(struct api_request *r);
/* api_barrier for reads: without a quorum, next runs too, with 0 and a Warning in the answer, unless r insists. */
void api_when_confirmed(struct api_request *r, void (*next)(struct api_request *r, int err));
/* For reads that ask nobody: the Warning when there is no quorum. */
void api_warn_stale(struct api_request *r);

/* ---- handlers ---- */
void api_discovery(struct api_request *r);
void api_get(struct api_request *r);
void api_list(struct api_request *r);
void api_watch(struct api_request *r);
/* Ends an open watch so that the client lists anew (410): what it got so far may be wrong. */
void api_watch_expire(struct api_request *r);
void api_create(struct api_request *r);
void api_update(struct api_request *r);
void api_patch(struct api_request *r);
void api_delete(struct api_request *r);
void api_delete_collection(struct api_request *r);
/* Subresources that are no plain read or write of the object; false when r is none of them. */
bool api_special(struct api_request *r);
/* Passes r on to the leader. */
void api_forward(struct api_request *r);

/* ---- authz.c ---- */
struct api_authz *api_authz_new(struct api *api);
void api_authz_free(struct api_authz *z);
/* Forgets all and reads the state anew: it was replaced. */
void api_authz_reload(struct api_authz *z);
/* Whether r->user may do what r asks; sets *st to 403 with Kubernetes' wording when not. */
bool api_authorize(struct api_request *r, struct status *st);

/* The same question for reviews. why: who allows it, or "". */
bool api_access_allowed(struct api *api, const struct user *u, const struct access *q, const char **why);
void api_access_rules(struct api *api, const struct user *u, struct slice ns, struct arena *a,
                      struct json *resource_rules, struct json *nonresource_rules);
/* Whether u holds all rules already (writes of roles and bindings). */
bool api_access_covers(struct api *api, const struct user *u, struct slice ns, const struct json *rules,
                       struct arena *a, const char **missing);

/* ---- tokens.c ---- */
struct api_tokens *api_tokens_new(struct api *api);
void api_tokens_free(struct api_tokens *t);
/* False when user is a bootstrap token's that is gone or has expired. */
bool api_token_stands(struct api *api, struct slice user);

/* ---- members.c, join.c, kv.c: rows of nonresource.c ---- */
void api_kv(struct api_request *r);
void api_members(struct api_request *r);
void api_ca(struct api_request *r);
void api_join(struct api_request *r);
/* Where replica id's API is reached, or NULL. Valid until control returns to the loop. */
const char *api_address_of(struct api *api, uint64_t id);
/* The replicas that serve the API, by id. */
size_t api_addresses(struct api *api, struct api_member out[API_MEMBERS_MAX]);
/* Answers the end of an operation on members. */
struct members_op;
void api_reply_members_error(struct api_request *r, const struct members_op *op, int err);

/* ---- forward.c, nodeproxy.c, bootstrap.c ---- */
struct api_forward *api_forward_new(struct api *api);
void api_forward_free(struct api_forward *f);
/* Somebody else leads, or nobody: what waits is tried again, and the new leader is connected to. */
void api_forward_leader(struct api *api);
struct api_nodes *api_nodes_new(struct api *api);
void api_nodes_free(struct api_nodes *n);
/* The first address of the service range: the Service "kubernetes". */
const char *api_service_ip(const struct api *api, struct arena *a);
struct api_bootstrap *api_bootstrap_new(struct api *api);
void api_bootstrap_start(struct api_bootstrap *b);
void api_bootstrap_stop(struct api_bootstrap *b);
void api_bootstrap_free(struct api_bootstrap *b);

#endif

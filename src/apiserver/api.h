/* The API server of one replica: serves reads and watches from the local state, admits writes on the leader, passes them
 * on elsewhere.
 *
 * Happy path: api_new over an open replica; api_serve listens. A request is routed, authenticated, authorized; a read
 * waits until the local state is fresh enough and is answered from it; a write is decoded, defaulted, validated,
 * admitted
 * and becomes one transaction; its answer is the stored object.
 *
 * Failures: every refusal is a Kubernetes Status. While no leader is known, writes and linearizable reads answer 503
 * with
 * Retry-After; once that lasts longer than an election, reads are answered from the local state and marked (quorum.c).
 * Reads with resourceVersion=0 and watches go on. Limits: API_INFLIGHT_MAX requests at work (429 beyond),
 * the body and head limits of net/http.h.
 *
 * Thread: the state loop's. */
#ifndef PINTLE_APISERVER_API_H
#define PINTLE_APISERVER_API_H

#include "auth/user.h"
#include "base/metrics.h"
#include "net/http.h"
#include "store/replica.h"

enum { API_INFLIGHT_MAX = 4000, API_MEMBERS_MAX = RAFT_MEMBERS_MAX };

struct api;
struct api_request;
struct authn;
struct members;
struct sealer;

struct api_member {
    uint64_t id;
    char address[RAFT_ADDR_MAX]; /* where its API listens, for passing writes on */
};

/* What a replica hands to one that joins by a token (join.c). Texts are PEM; an empty ca_key means that this one cannot
 * certify anybody. */
struct api_join {
    struct slice ca_key, sa_key;
    struct slice encryption_key; /* the whole file's text; empty = nothing is encrypted */
    const char *ca_key_path;     /* for the message that says what is missing */
};

struct api_options {
    struct replica *replica;
    struct metrics *metrics;
    struct authn *authn;          /* who callers are; NULL = everyone is system:masters (simulation only) */
    struct tls_context *tls;      /* server side; NULL = plain */
    struct tls_context *peer_tls; /* client side, towards other replicas and agents; NULL = plain */
    uint64_t id;                  /* our member id */
    struct members *membership;   /* who the replicas are (store/members.h); NULL = those below, for ever */
    const struct api_member *members;
    size_t n_members;
    const struct api_join *join;        /* what newcomers get; NULL = nobody can join here */
    const char *service_cidr;           /* IPv4 range of Service addresses; NULL = 10.96.0.0/16 */
    const char *service_account_issuer; /* NULL = https://kubernetes.default.svc.cluster.local */
    struct sa_signer *signer;           /* signs ServiceAccount tokens; NULL = tokens cannot be made */
    struct slice ca_pem;                /* published as kube-root-ca.crt */
    struct sealer *sealer;              /* encrypts what sealed names; NULL = nothing is encrypted */
    const char *const *sealed;          /* resources, PLURAL or PLURAL.GROUP, e.g. "secrets" */
    size_t n_sealed;
    bool authorize; /* false: everything is allowed (simulation only) */
};

/* Borrows what the options point to. */
struct api *api_new(struct loop *l, const struct api_options *o);
/* Ends all requests; to be called before replica_free. Those that wait for the replica are ended by replica_free, and the
 * last of them frees the rest of the api: metrics and loop must last until then. In-process requests must have been
 * cancelled. */
void api_free(struct api *api);
/* Listens; may be called for several addresses. 0 or negative errno. */
int api_serve(struct api *api, const char *listen, unsigned *ret_port);
/* No new connections and streams; watches end; what is at work finishes within grace_ms. */
void api_drain(struct api *api, unsigned grace_ms);
struct replica *api_replica(struct api *api);
struct loop *api_loop(struct api *api);
/* Whether a core object exists with this uid (uid empty = any): what bound tokens depend on. */
bool api_object_exists(struct api *api, const char *kind, struct slice ns, struct slice name, struct slice uid);

/* Whose bootstrap token this is (authn_bootstrap_fn of auth/authn.h); ctx is the api. */
int api_bootstrap_user(void *ctx, struct slice token, const char *from, struct arena *a, struct user *u);

/* ---- in-process requests ---- */

struct api_local {
    void (*done)(struct api_local *l, int code, struct slice body); /* once; body is valid during the call */
    struct arena arena;                                             /* the request's */
    struct api_request *request;
    struct buf out;
    struct list link; /* the api's, once answered */
    int code;
    bool cancelled;
};

/* Runs a request as user, without HTTP. method, path and query as over HTTP; body is copied. l belongs to the caller until
 * done ran (or, after api_local_cancel, to the api, which frees it with mem_free). */
void api_local_start(struct api *api, struct api_local *l, const struct user *user, const char *method,
                     const char *path, const char *query, const char *content_type, struct slice body);
void api_local_cancel(struct api_local *l);

#endif

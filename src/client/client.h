/* How controllers, scheduler and agent see a cluster: one interface with two backends, in-process on the leader
 * (client_local.h) and HTTPS against any Kubernetes API server (client_http.h).
 *
 * Writing: client_do sends one request; its done runs exactly once, unless cancelled. Requests are not repeated here:
 * the
 * caller's work queue does that, with a fresh look at the state.
 * Reading: an informer keeps a resource's objects at hand and tells of every change once and in order per object. After
 * on_synced the cache is complete; from then on it follows. An informer that loses its place lists again and reports
 * the difference, so that handlers need no case for it.
 *
 * Thread: the loop's that the client was made on. */
#ifndef PINTLE_CLIENT_CLIENT_H
#define PINTLE_CLIENT_CLIENT_H

#include "base/arena.h"
#include "base/status.h"
#include "codec/json.h"
#include "loop/loop.h"
#include "schema/schema.h"

struct client;

enum client_verb { CLIENT_GET, CLIENT_LIST, CLIENT_CREATE, CLIENT_UPDATE, CLIENT_PATCH, CLIENT_DELETE };
enum client_patch { CLIENT_MERGE_PATCH, CLIENT_JSON_PATCH, CLIENT_STRATEGIC_PATCH, CLIENT_APPLY };

struct client_request {
    enum client_verb verb;
    const struct resource *res;
    struct slice ns, name;   /* ns empty for cluster-scoped resources and lists over all */
    const char *sub;         /* subresource such as "status", or NULL */
    enum client_patch patch; /* with CLIENT_PATCH */
    const struct json *body; /* object, patch or DeleteOptions; encoded before client_do returns; NULL = none */
    const char *query;       /* further options such as "fieldManager=x", already encoded; or NULL */
    unsigned timeout_ms;     /* 0 = 30,000 */
};

struct client_reply {
    int err;           /* 0, or negative errno when no answer came (-ETIMEDOUT: unknown whether it took effect) */
    int code;          /* HTTP status */
    struct slice body; /* JSON: the object, or a Status when code ≥ 400; valid during done */
};

struct client_call;

/* Never NULL. done runs in a later turn. */
struct client_call *client_do(struct client *c, const struct client_request *req,
                              void (*done)(void *ctx, const struct client_reply *reply), void *ctx);
/* done will not run; the request may still take effect. */
void client_cancel(struct client *c, struct client_call *call);
struct loop *client_loop(const struct client *c);

/* ---- informers ---- */

/* One cached object; valid until control returns to the loop. */
struct client_object {
    struct slice key;  /* "namespace/name" or "name" */
    struct slice json; /* the complete object */
    uint64_t revision; /* resourceVersion, 0 when it is no number */
};

struct informer_handler {
    /* Exactly one of before and now is NULL when the object is new or gone. before and now are valid during the call. */
    void (*on_change)(void *ctx, const struct client_object *before, const struct client_object *now);
    /* The cache is complete; once. May be NULL. */
    void (*on_synced)(void *ctx);
};

struct informer_options {
    const struct resource *res;
    const char *ns;             /* NULL = all namespaces */
    const char *label_selector; /* NULL = all */
    const char *field_selector; /* such as "spec.nodeName=node-1", NULL = all */
};

struct informer;

struct informer *informer_new(struct client *c, const struct informer_options *o, const struct informer_handler *h,
                              void *ctx);
/* No callback runs after this. NULL is fine. */
void informer_free(struct informer *i);
bool informer_synced(const struct informer *i);
/* False when absent. */
bool informer_get(const struct informer *i, struct slice key, struct client_object *ret);
/* Calls each for the objects in key order whose key starts with prefix ("ns/" for one namespace, "" for all), until it
 * returns false. */
void informer_each(const struct informer *i, struct slice prefix,
                   bool (*each)(void *ctx, const struct client_object *o), void *ctx);
size_t informer_count(const struct informer *i);
/* Everything up to this revision has been told. */
uint64_t informer_revision(const struct informer *i);

/* ---- for backends ---- */

struct client_ops {
    struct client_call *(*call)(struct client *c, const struct client_request *req,
                                void (*done)(void *ctx, const struct client_reply *reply), void *ctx);
    void (*cancel)(struct client *c, struct client_call *call);
    struct informer *(*informer_new)(struct client *c, const struct informer_options *o,
                                     const struct informer_handler *h, void *ctx);
};
struct client {
    const struct client_ops *ops;
    struct loop *loop;
};
struct informer_ops {
    void (*free)(struct informer *i);
    bool (*get)(const struct informer *i, struct slice key, struct client_object *ret);
    void (*each)(const struct informer *i, struct slice prefix, bool (*each)(void *ctx, const struct client_object *o),
                 void *ctx);
    size_t (*count)(const struct informer *i);
};
struct informer {
    const struct informer_ops *ops;
    struct client *client;
    bool synced;
    uint64_t revision;
};

#endif

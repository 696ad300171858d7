/* One API request on its way through the pipeline: route → authenticate → limit → authorize → decode → admit → registry →
 * store → encode.
 *
 * A request comes from an HTTP exchange or from the in-process client; both give it an arena and a responder. It lives
 * until it was answered: every path ends in exactly one api_reply*, api_stream_end or api_abort. Thread: the state
 * loop's. */
#ifndef PINTLE_APISERVER_REQUEST_H
#define PINTLE_APISERVER_REQUEST_H

#include "auth/user.h"
#include "base/status.h"
#include "codec/json.h"
#include "net/http.h"
#include "schema/schema.h"
#include "store/replica.h"

struct api;
struct api_request;

enum api_verb {
    API_GET,
    API_LIST,
    API_WATCH,
    API_CREATE,
    API_UPDATE,
    API_PATCH,
    API_DELETE,
    API_DELETECOLLECTION,
    API_VERBS,
};

/* What a path names. */
enum api_route {
    ROUTE_NOT_FOUND,
    ROUTE_RESOURCE,
    ROUTE_API_VERSIONS, /* /api */
    ROUTE_API_GROUPS,   /* /apis */
    ROUTE_API_GROUP,    /* /apis/G */
    ROUTE_API_LIST,     /* /api/v1, /apis/G/V */
    ROUTE_FIXED,        /* /version, /healthz, /metrics …: a row of the table in nonresource.c */
};

enum api_patch_type { PATCH_NONE, PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };
enum api_encoding { ENCODE_JSON, ENCODE_YAML, ENCODE_PROTOBUF };
enum api_shape { SHAPE_OBJECT, SHAPE_TABLE, SHAPE_PARTIAL, SHAPE_DISCOVERY /* aggregated, of /api and /apis */ };
enum api_validation { VALIDATION_WARN, VALIDATION_STRICT, VALIDATION_IGNORE };

/* The query string, decoded. */
struct api_query {
    struct slice label_selector, field_selector, resource_version, resource_version_match, continue_token;
    struct slice field_manager, propagation, include_object, as_of;
    struct slice bad_dry_run, bad_validation;      /* values that there are not; p NULL = none */
    int64_t limit, timeout_seconds, grace_seconds; /* -1 = not given */
    bool watch, bookmarks, send_initial_events, send_initial_set, dry_run, force, force_set, orphan_set, orphan;
    bool pretty; /* JSON with lines and indentation, for people */
    enum api_validation validation;
};

struct api_responder {
    void (*reply)(struct api_request *r, int code, const struct http_header *headers, size_t n_headers,
                  const struct chunk *body, size_t n_chunks);
    void (*start)(struct api_request *r, int code, const struct http_header *headers, size_t n_headers);
    void (*write)(struct api_request *r, const struct chunk *chunks, size_t n);
    size_t (*queued)(const struct api_request *r);
    void (*end)(struct api_request *r);
    void (*abort)(struct api_request *r);
};

enum {
    API_PATH_PARTS_MAX = 64,
    API_WARNINGS_MAX = 64, /* of one answer */
    API_HEADERS_MAX = 8 + API_WARNINGS_MAX,
    API_WARNINGS_RUNES =
        4096, /* characters of all of them; above, each is cut to API_WARNING_RUNES, as Kubernetes does */
    API_WARNING_RUNES = 256,
    API_ARENA_MAX = 64 << 20,
    API_GZIP_ABOVE = 128 << 10, /* answers larger than this are compressed for who accepts it, as Kubernetes does */
    API_REPLY_CHUNKS = 8,
};

#define API_PROTOBUF "application/vnd.kubernetes.protobuf"

struct api_request {
    struct api *api;
    struct arena *arena;
    const struct api_responder *responder;
    void *responder_ctx;        /* the exchange or the local call */
    struct http_exchange *http; /* NULL when in-process */

    struct slice method, path, query;
    struct slice body;
    struct slice content_type, accept;
    uint64_t started; /* loop_now */

    /* routing */
    enum api_route route;
    enum api_verb verb;
    const struct resource *res;
    const struct resource_sub *sub;
    struct slice group, version, plural, ns, name, sub_name;
    struct slice rest; /* what follows /proxy, with its slash */
    const void *fixed; /* row of ROUTE_FIXED, or of special.c */

    /* negotiation and options */
    struct api_query options;
    enum api_patch_type patch_type;
    enum api_encoding encoding;
    enum api_shape shape;
    bool shape_beta; /* a Table or PartialObjectMetadata in meta.k8s.io/v1beta1, as old clients ask */

    struct user user;
    /* Of a write that another replica passed on: what it is remembered by, and, when it was passed on before without an
     * answer, a revision from before the first time. */
    struct slice write_id;
    uint64_t write_since;
    bool write_repeated;
    const char *warnings[API_WARNINGS_MAX]; /* each once */
    size_t n_warnings;
    const char *expires; /* of a document that never changes: its Expires header, or NULL */
    bool websocket;      /* asked for one, and gets it: a watch */
    bool replied;        /* head sent */
    bool gone;           /* the client went away */

    /* asynchronous steps */
    struct raft_read read;
    struct replica_txn txn;
    void (*next)(struct api_request *r, int err);  /* what follows the barrier */
    void (*fresh)(struct api_request *r, int err); /* likewise, of api_when_confirmed */
    void *state;                                   /* of the handler at work */
    void (*on_gone)(struct api_request *r);        /* the client went away: stop producing */
    void (*on_drain)(struct api_request *r);
    struct list link;    /* the api's list of streams, while streaming */
    struct list at_work; /* the api's list of all requests */
    /* Set while the request waits for nothing but a timer: the api is being freed, stop waiting and abort. */
    void (*on_close)(struct api_request *r);
    void *waiting;                /* for on_close */
    uint64_t forward_until;       /* loop_now up to which it may be passed on; 0 = it never was */
    const struct json *allocates; /* a Service with addresses or ports that are not in the table yet */
};

/* Splits path and query into the routing fields and options. 0, or an HTTP error with *st set. */
int api_route_request(struct api_request *r, struct status *st);
/* Reads Accept and Content-Type. 0, or 406/415 with *st set. */
int api_negotiate(struct api_request *r, struct status *st);
/* Reads Accept for errors alone, which may come before the path is known: what is not acceptable becomes JSON. */
void api_negotiate_errors(struct api_request *r);
/* The verb as RBAC and metrics name it: "get", "list" … */
const char *api_verb_name(enum api_verb v);
/* A query parameter's raw value(s): calls each for every value of name, decoded. */
void api_query_each(struct api_request *r, struct slice name, void (*each)(void *ctx, struct slice value), void *ctx);

/* ---- answering ---- */

void api_reply_bytes(struct api_request *r, int code, const char *content_type, struct chunk body);
/* The same of several chunks (at most API_REPLY_CHUNKS), whose references it takes over. A large body is compressed for
 * clients who accept that. */
void api_reply_chunks(struct api_request *r, int code, const char *content_type, const struct chunk *chunks, size_t n);
/* A document that changes rarely: 304 when If-None-Match has its etag (quoted). gzip: the body is compressed. */
void api_reply_document(struct api_request *r, const char *content_type, const char *etag, struct chunk body,
                        bool gzip);
/* Whether the client takes gzip. */
bool api_accepts_gzip(const struct api_request *r);
/* JSON, YAML or protobuf as negotiated; v is any tree. What protobuf cannot say is answered in JSON. */
void api_reply_json(struct api_request *r, int code, const struct json *v);
void api_reply_status(struct api_request *r, const struct status *st);
/* Shorthand for status_set + api_reply_status. */
void api_reply_error(struct api_request *r, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A Status as a JSON tree; a zero code gives Success. */
struct json *api_status_json(struct arena *a, const struct status *st);
void api_stream_start(struct api_request *r, int code, const char *content_type);
/* The same of a body that the caller compresses. */
void api_stream_start_gzip(struct api_request *r, int code, const char *content_type);
/* Adds a Warning header, once for each text. text lives as long as r. */
void api_warn(struct api_request *r, const char *text);

#endif

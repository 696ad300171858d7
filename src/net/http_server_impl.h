/* What the parts of the HTTP server share: http_server.c (connections, timers, draining), http_exchange.c (requests and
 * answers), h1_server.c and h2_server.c (the two protocols behind struct server_proto).
 *
 * Life of a connection: accepted → TLS handshake → protocol known (ALPN or the first bytes) → requests → closing (our
 * half is shut, what comes is dropped until the peer ends or lingering is over) → freed at the end of a turn, because
 * callbacks further up the stack may still hold it.
 *
 * Life of an exchange: made at the request's head → dispatched to the handler once the request is whole → answered →
 * ended by the handler → freed once its bytes have been passed on. When the client goes away first it is aborted and
 * waits for the handler to end it, if need be without its connection. */
#ifndef PINTLE_NET_HTTP_SERVER_IMPL_H
#define PINTLE_NET_HTTP_SERVER_IMPL_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/chunkq.h"
#include "net/http.h"
#include "net/http_head.h"
#include "net/turn.h"

enum { HTTP_ARENA_MAX = 64 << 20, HTTP_REMOTE_MAX = 64 };

struct server_conn;

/* Who is at the other end; outlives the connection as long as exchanges point to it. */
struct client_info {
    unsigned refs;
    bool has_peer;
    struct tls_identity peer;
    char remote[HTTP_REMOTE_MAX];
};

struct http_exchange {
    struct list link;         /* conn->exchanges */
    struct list ready_link;   /* h2: whole, to be dispatched */
    struct server_conn *conn; /* NULL once the connection is gone */
    struct client_info *client;
    struct http_request req;
    struct arena arena;
    struct http_header *headers; /* in the arena; req.headers */
    size_t headers_cap;
    size_t head_bytes;
    struct buf body;
    struct buf inflated;
    struct chunkq out;          /* answer bytes not yet passed on */
    struct loop_timer timer;    /* the request must be whole when it fires */
    bool dispatched;            /* the handler has it */
    bool started;               /* the answer's head was given */
    bool ended;                 /* the handler is done with it */
    bool aborted;               /* the client is gone */
    bool bodyless;              /* the answer has no body: HEAD, 204, 304 */
    bool above;                 /* the queue was above the high watermark since the last on_drain */
    bool deferred;              /* h2: the protocol waits for more bytes */
    int reject;                 /* h2: the code for a request that is not for the handler; 0 = none */
    bool expects;               /* asked for 100-continue */
    unsigned message;           /* of a WebSocket: each write is a frame of this opcode; 0 = it is none */
    int32_t stream_id;          /* h2 */
    uint64_t moved, seen_moved; /* h2: answer bytes given to the connection; at the last look for stalled peers */
    unsigned stalled;           /* looks since then */
    size_t held;                /* h2: body bytes not yet given back to the connection's window */
    void *ctx;
    void (*on_abort)(struct http_exchange *x);
    void (*on_drain)(struct http_exchange *x);
};

/* A protocol on a connection. */
struct server_proto {
    void (*data)(struct server_conn *c, const char *p, size_t n);
    /* The head of an answer; length < 0 when unknown. */
    void (*head)(struct http_exchange *x, int code, const struct http_header *headers, size_t n, int64_t length);
    /* The exchange has new bytes or has ended. */
    void (*wrote)(struct http_exchange *x);
    /* Ends the exchange without a full answer; may free it. */
    void (*abort)(struct http_exchange *x);
    /* Turns what exchanges have queued into bytes in c->out. 0 or a negative errno. */
    int (*produce)(struct server_conn *c);
    /* The peer takes nothing of this answer, though it may of others: ends it as if the peer had gone. May be NULL. */
    void (*give_up)(struct http_exchange *x);
    /* Nothing new shall come on this connection. */
    void (*drain)(struct server_conn *c);
    size_t (*queued)(const struct http_exchange *x);
    void (*destroy)(struct server_conn *c);
};

extern const struct server_proto h1_server_proto, h2_server_proto;

struct server_conn {
    struct list link; /* server->conns */
    struct http_server *server;
    struct conn *conn; /* NULL before the handshake's end and after closing */
    struct tls_handshake *handshake;
    const struct server_proto *proto; /* NULL until known */
    void *state;                      /* the protocol's */
    struct client_info *client;
    struct list exchanges;
    size_t n_exchanges;
    struct chunkq out; /* bytes for the peer, flushed at the end of the turn */
    struct turn_item flush, reap;
    struct loop_timer timer; /* what it is for: timer_for */
    enum { TIMER_NONE, TIMER_HEAD, TIMER_IDLE, TIMER_LINGER } timer_for;
    unsigned lingers;        /* rounds left */
    size_t linger_last;      /* bytes queued at the last round */
    struct buf sniff;        /* first bytes of a plain connection */
    struct loop_timer drain; /* looks again where the conn promises no on_drain */
    unsigned drain_ms;       /* after so long */
    bool above;              /* the conn promised an on_drain */
    bool want_close;         /* close once all that was produced is out */
    bool closing;            /* our half is shut */
    bool dead;               /* to be freed at the end of the turn */
    bool draining;
    uint64_t written, seen_written; /* bytes given to the conn; at the last look for stalled peers */
    size_t seen_queued;
    unsigned stalled;
};

struct http_server {
    struct loop *loop;
    struct http_server_options options;
    struct listener *listener;
    struct turn turn;
    struct list conns;
    size_t n_conns;
    struct loop_timer sweep; /* looks for stalled peers */
    struct loop_timer grace; /* end of draining */
    bool draining;
    int64_t date_second; /* that date_text is for */
    char date_text[40];
};

/* ---- http_server.c ---- */

/* Flushes at the end of the turn. */
void server_conn_dirty(struct server_conn *c);
/* Aborts everything on it and closes at once. */
void server_conn_close(struct server_conn *c);
/* Produces and gives to the conn what there is. */
void server_conn_flush(struct server_conn *c);
/* The request in work or the lack of one decides which timer runs. */
void server_conn_timers(struct server_conn *c, bool in_request);
/* Bytes the conn has not passed to the kernel. */
size_t server_conn_queued(const struct server_conn *c);
/* "Sat, 21 Nov 2026 08:00:00 GMT" */
struct slice server_date(struct http_server *s);

/* ---- http_exchange.c ---- */

struct http_exchange *exchange_new(struct server_conn *c);
/* Frees it, or leaves that to the handler's end when the handler still has it (then as aborted). */
void exchange_gone(struct http_server *server, struct http_exchange *x);
/* The connection is gone: cuts all its exchanges loose. */
void exchange_abandon_all(struct server_conn *c);
void exchange_free(struct http_exchange *x);
/* Adds a request header; name is lower case already. 0, -E2BIG over the limits, -ENOMEM. */
int exchange_header(struct http_exchange *x, struct slice name, struct slice value);
/* Splits a request target into path and query. */
void exchange_target(struct http_exchange *x, struct slice target);
/* Hands the whole request to the handler. x may be freed by it. */
void exchange_dispatch(struct http_exchange *x);
/* Answers a request that is not for the handler, with a Status object. x must not be dispatched. */
void exchange_reject(struct http_exchange *x, int code, const char *message);
/* Calls on_drain when the queue has fallen; x may be freed by it. True when it has not and all of it is the conn's, which
 * tells of its own low watermark only after having been above the high one. */
bool exchange_check_drain(struct http_exchange *x);
/* "Not Found" */
const char *http_reason(int code);

#endif

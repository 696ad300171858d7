/* What the parts of the HTTP client share: http_client.c (pool and connections), http_call.c (calls), h1_client.c and
 * h2_client.c (the protocols behind struct client_proto).
 *
 * Life of a call: waiting (client->waiting) → given to a connection at the end of a turn (conn->calls) → over: the
 * protocol has the whole answer or gave up → done: on_done ran, freed. A paused call that is over keeps what was not
 * delivered in `held` until it is resumed.
 *
 * Connections are freed at the end of a turn, as callbacks further up the stack may still hold them. */
#ifndef PINTLE_NET_HTTP_CLIENT_IMPL_H
#define PINTLE_NET_HTTP_CLIENT_IMPL_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/chunkq.h"
#include "net/http.h"
#include "net/turn.h"

enum {
    CLIENT_H1_CONNECTIONS = 8,
    CLIENT_TRIES_MAX = 3,              /* a call that surely did not reach the server is repeated */
    CLIENT_HEAD_MAX = 256 << 10,       /* bytes of an answer's head */
    CLIENT_UPGRADE_BODY_MAX = 64 << 10 /* of a refused upgrade's answer */
};

struct client_conn;

struct http_call {
    struct list link; /* client->waiting, conn->calls or client->finishing */
    struct http_client *client;
    struct client_conn *conn;         /* NULL while waiting and once over */
    struct http_call_options options; /* strings and headers are copies in the arena */
    struct arena arena;
    struct loop_timer timeout;
    struct turn_item resume;    /* delivers what was held, then the end */
    struct http_header *fields; /* head or trailers being read, in the arena */
    size_t n_fields, fields_cap, field_bytes;
    size_t sent_body;  /* h2: bytes of the body given to nghttp2 */
    int32_t stream_id; /* h2 */
    unsigned tries;
    bool sent, head_seen, paused, over;
    int err, code;
    struct chunkq held; /* arrived while paused */
    size_t unconsumed;  /* h2: of the stream's window */
    bool upgrade;
    void (*on_upgraded)(void *ctx, int err, int code, const struct http_header *headers, size_t n, struct slice body,
                        struct conn *raw);
    struct buf upgrade_body; /* of a refusal */
};

struct client_proto {
    /* Starts the call on the connection. 0 or a negative errno (then the connection is of no use). */
    int (*submit)(struct client_conn *c, struct http_call *call);
    void (*data)(struct client_conn *c, const char *p, size_t n);
    /* The peer's end: err 0 when orderly. Ends what can be ended in good order; the rest fails after it. */
    void (*end)(struct client_conn *c, int err);
    /* Takes a call off the connection (call_detach): cancelled or late. */
    void (*cancel)(struct client_conn *c, struct http_call *call);
    void (*pause)(struct client_conn *c, struct http_call *call, bool paused);
    int (*produce)(struct client_conn *c);
    /* Calls that may be submitted now. */
    size_t (*room)(const struct client_conn *c);
    void (*destroy)(struct client_conn *c);
};

extern const struct client_proto h1_client_proto, h2_client_proto;

struct client_conn {
    struct list link; /* client->conns */
    struct http_client *client;
    struct connecting *connecting;
    struct tls_handshake *handshake;
    struct conn *conn;
    const struct client_proto *proto; /* NULL while connecting */
    void *state;
    bool alone;                /* made for one upgrade: not part of the pool */
    struct http_call *upgrade; /* that one, until it is over */
    struct list calls;
    size_t n_calls;
    bool used;   /* an answer came in on it before: the server may have closed it meanwhile */
    bool no_new; /* no further calls */
    bool above, dead;
    struct chunkq out;
    struct turn_item flush, reap;
    struct loop_timer timer; /* connecting: its limit; open: idleness */
};

struct http_client {
    struct loop *loop;
    struct http_client_options options; /* strings are our own */
    char *host, *tls_name, *tls_subject, *addr;
    bool is_h2;    /* known to speak HTTP/2 */
    bool is_known; /* is_h2 can be relied on */
    struct turn turn;
    struct turn_item assign; /* gives waiting calls to connections */
    struct list waiting, conns, finishing;
    size_t upgrades_waiting;
    size_t n_conns;
};

/* ---- http_client.c ---- */

void client_conn_dirty(struct client_conn *c);
/* Closes it; calls still on it are repeated where that is safe, or fail with err (0 counts as -EPIPE). */
void client_conn_close(struct client_conn *c, int err);
/* Waiting calls may find room. */
void client_assign_later(struct http_client *cl);
/* A call left the connection: idleness may begin. */
void client_conn_idle_check(struct client_conn *c);

/* ---- http_call.c ---- */

/* Forgets the head read so far. */
void call_begin_fields(struct http_call *call);
/* 0, -EPROTO over the limits, -ENOMEM. */
int call_add_field(struct http_call *call, struct slice name, struct slice value);
/* The head is whole: fields are handed out. The call may be gone after it. */
void call_head(struct http_call *call, int code);
/* Body bytes. The call may be gone after it. Returns the bytes delivered; the rest (all of it) is held. */
size_t call_data(struct http_call *call, struct slice data);
/* The answer is whole (err 0) or failed. Takes the call off its connection; on_done runs now, or once resumed. Fields
 * read since the head are the trailers. */
void call_end(struct http_call *call, int err);
/* Back into the waiting list, when it may be repeated; otherwise it ends with err. */
void call_retry_or_end(struct http_call *call, bool unprocessed, int err);
/* Takes the call off its connection without telling the protocol. */
void call_detach(struct http_call *call);
/* An upgrade succeeded. */
void call_upgraded(struct http_call *call, struct conn *raw);

#endif

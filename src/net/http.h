/* HTTP server and client over TLS: HTTP/1.1 (llhttp) and HTTP/2 (nghttp2), chosen by ALPN; plain on unix sockets and in
 * the simulator.
 *
 * Server, happy path: http_server_new listens; for each request on_request gets an exchange once the head and the
 * whole body are in (a body above body_max was answered 413 already). The handler answers at once or later, on the
 * loop's thread, with http_reply, or streams with http_reply_start, _write…, _end. An Upgrade request (HTTP/1.1) is
 * handed over at its head: http_upgrade turns it into a raw byte stream, http_websocket_start into a WebSocket on which
 * the handler sends messages as it would write pieces of a streamed answer.
 *
 * Failures: a client that goes away makes on_abort run once (if set); the exchange stays valid until the handler ends
 * it with http_reply*, _end or http_abort. Slow clients: header and body timeouts, limits on headers, streams,
 * connections; broken frames and floods (rapid reset, continuation, settings, ping) close the connection cleanly.
 *
 * Ownership: the exchange belongs to the server; pointers into the request are valid until it ends. */
#ifndef PINTLE_NET_HTTP_H
#define PINTLE_NET_HTTP_H

#include "base/metrics.h"
#include "loop/loop.h"
#include "net/conn.h"
#include "net/tls.h"

enum {
    HTTP_HEADERS_MAX = 100,       /* fields in one head */
    HTTP_HEAD_MAX = 64 << 10,     /* bytes of one head */
    HTTP_BODY_MAX = 3 << 20,      /* default body_max; Kubernetes' limit on a request body */
    HTTP_STREAMS_MAX = 1000,      /* concurrent HTTP/2 streams of a connection */
    HTTP_CONNECTIONS_MAX = 20000, /* of a server */
};

/* What is said with 413: Kubernetes' words, which clients look for. */
#define HTTP_TOO_LARGE "Request entity too large: limit is 3145728"
_Static_assert(HTTP_BODY_MAX == 3145728, "HTTP_TOO_LARGE names the limit");

struct http_header {
    struct slice name; /* lower case */
    struct slice value;
};

/* ---- server ---- */

struct http_server;
struct http_exchange;

struct http_request {
    struct slice method;               /* "GET" */
    struct slice path;                 /* as sent, still percent-encoded, without the query */
    struct slice query;                /* as sent, without '?' */
    struct slice body;                 /* whole, decoded from chunks; gzip is undone when content-encoding says so */
    const struct http_header *headers; /* without pseudo-headers; "host" holds :authority */
    size_t n_headers;
    unsigned version;                /* 1 or 2 */
    bool upgrade;                    /* HTTP/1.1 with Connection: Upgrade */
    const struct tls_identity *peer; /* the verified client certificate, or NULL */
    const char *remote;              /* the client's address as text */
};

struct http_server_options {
    const char *listen;      /* as loop_listen */
    struct tls_context *tls; /* NULL = plain */
    size_t body_max;         /* 0 = HTTP_BODY_MAX */
    unsigned idle_ms;        /* close a connection without streams after; 0 = 180,000 */
    unsigned head_ms;        /* a request's head and body must be in within; 0 = 30,000 */
    /* x is the server's until ended. */
    void (*on_request)(void *ctx, struct http_exchange *x);
    void *ctx;
};

int http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **ret);
unsigned http_server_port(const struct http_server *s);
/* Stops accepting, tells HTTP/2 clients to go elsewhere (GOAWAY), closes connections when idle or after grace_ms. */
void http_server_drain(struct http_server *s, unsigned grace_ms);
/* Closes everything; aborts what is open (on_abort runs for those with one set). Not from inside a callback of the
 * server. NULL is fine. */
void http_server_free(struct http_server *s);
/* Connections open now, those being closed included; 0 once draining is over. */
size_t http_server_connections(const struct http_server *s);

const struct http_request *http_request(const struct http_exchange *x);
/* A request header by lower-case name; p is NULL when absent. */
struct slice http_request_header(const struct http_exchange *x, const char *name);
/* An arena for the request's own pieces, freed with the exchange. At most 64 MiB. */
struct arena *http_arena(struct http_exchange *x);
/* The handler's own pointer, kept on the exchange, and what runs when the client goes away before the end. */
void http_set_ctx(struct http_exchange *x, void *ctx, void (*on_abort)(struct http_exchange *x));
void *http_ctx(const struct http_exchange *x);

/* Answers and ends x. headers may be NULL; content-length is added. Takes over the chunks' references. */
void http_reply(struct http_exchange *x, int code, const struct http_header *headers, size_t n_headers,
                const struct chunk *body, size_t n_chunks);
/* A streamed answer: chunked, or DATA frames. */
void http_reply_start(struct http_exchange *x, int code, const struct http_header *headers, size_t n_headers);
/* Queues bytes; takes over the references. Everything queued in one turn goes out together. */
void http_reply_write(struct http_exchange *x, const struct chunk *chunks, size_t n);
/* Bytes accepted by http_reply_write that the peer's window or socket has not taken. */
size_t http_reply_queued(const struct http_exchange *x);
/* cb runs each time the queue has fallen below STREAM_LOW_WATER, once after each time it was not below. */
void http_on_drain(struct http_exchange *x, void (*cb)(struct http_exchange *x));
void http_reply_end(struct http_exchange *x);
/* Ends x without a (full) answer: resets the stream or closes the connection. */
void http_abort(struct http_exchange *x);
/* Answers 101 (or the code given) and ends x; the raw stream from here on is the caller's; it reads nothing before
 * conn_handle. NULL when x was no upgrade request or the client is gone; x is ended (aborted) then too. */
struct conn *http_upgrade(struct http_exchange *x, int code, const struct http_header *headers, size_t n_headers);

/* Whether the request asks for a WebSocket (HTTP/1.1 only). */
bool http_wants_websocket(const struct http_exchange *x);
/* What is wrong with its handshake (RFC 6455 section 4.2.1), or NULL. */
const char *http_websocket_fault(const struct http_exchange *x);
/* Answers 101 to a faultless handshake. From here on each http_reply_write is one message, text or binary, and
 * http_reply_end closes in good order. Pings are answered; data of the client is dropped, up to the limits of
 * net/websocket.h; when it closes, on_abort runs. protocol: the subprotocol chosen, n 0 = none. */
void http_websocket_start(struct http_exchange *x, bool text, struct slice protocol);

/* ---- client ---- */

struct http_client;
struct http_call;

struct http_client_options {
    const char *addr;        /* as loop_connect */
    const char *host;        /* Host / :authority; NULL = addr */
    struct tls_context *tls; /* NULL = plain */
    const char *tls_name;    /* name or IP expected in the server's certificate; NULL = from addr */
    const char *tls_subject; /* common name expected instead: who it is counts, not where; NULL = tls_name */
    bool h2;                 /* plain connections: speak HTTP/2 with prior knowledge (gRPC); TLS: by ALPN */
    unsigned connect_ms;     /* 0 = 5,000 */
    unsigned quiet_ms;       /* HTTP/2, with calls open: a peer that was silent for so long is probed, and given up when
                              * it stays silent for as long again; 0 = 30,000 and then 15,000 */
};

struct http_call_options {
    const char *method;
    const char *path; /* with query */
    const struct http_header *headers;
    size_t n_headers;
    struct slice body;   /* copied */
    unsigned timeout_ms; /* to the end of the answer; 0 = none (watches) */
    /* The head arrived; headers are valid during the call. May be NULL. */
    void (*on_head)(void *ctx, int code, const struct http_header *headers, size_t n_headers);
    /* Body bytes. May be NULL. */
    void (*on_data)(void *ctx, struct slice data);
    /* The end, exactly once: err 0 with code and (HTTP/2) trailers, or negative errno: -ECONNREFUSED …, -ETIMEDOUT,
     * -EPIPE (answer cut short), -EPROTO, -EKEYREJECTED (certificate). sent is false when no byte of the request can
     * have reached the server: repeating is safe. */
    void (*on_done)(void *ctx, int err, int code, const struct http_header *trailers, size_t n_trailers, bool sent);
    void *ctx;
};

/* Connects on demand; one connection with HTTP/2, up to 8 with HTTP/1.1. */
struct http_client *http_client_new(struct loop *l, const struct http_client_options *o);
/* Connects now, if there is no connection: the first call need not wait for it. */
void http_client_warm(struct http_client *c);
/* Open calls end with -ESHUTDOWN before this returns. Not from inside a callback of the client. NULL is fine. */
void http_client_free(struct http_client *c);
/* Never NULL; the handle is valid until on_done. A method, path or header with control characters in it ends with
 * -EINVAL. */
struct http_call *http_call(struct http_client *c, const struct http_call_options *o);
/* Ends the call without on_done. */
void http_call_cancel(struct http_call *call);
/* Stops reading the answer until resumed (backpressure for proxies). */
void http_call_pause(struct http_call *call, bool paused);
/* An HTTP/1.1 Upgrade on a connection of its own. done runs exactly once: with a raw stream after 101 and the head
 * (valid during the call), or conn NULL with err 0 and the other code, its head and up to 64 KiB of body, or err < 0.
 */
void http_client_upgrade(struct http_client *c, const struct http_call_options *o,
                         void (*done)(void *ctx, int err, int code, const struct http_header *headers, size_t n,
                                      struct slice body, struct conn *raw),
                         void *ctx);

#endif

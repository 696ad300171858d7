/* A server with a few paths, a client for it, and certificates, for the tests of src/net. */
#ifndef PINTLE_TESTS_NET_COMMON_H
#define PINTLE_TESTS_NET_COMMON_H

#include "unit.h"

#include "base/buf.h"
#include "net/http.h"

struct net_mode {
    bool tls, h2, unix_socket;
    bool client_cert;
};

struct net_env {
    struct loop *l;
    char dir[128];
    char path[16][192]; /* storage for file_in */
    unsigned n_paths;
    struct loop_hook hook;
    struct loop_timer limit;
    bool (*until)(void *ctx);
    void *until_ctx;
    bool late;
    /* the server */
    struct http_server *server;
    struct tls_context *server_tls, *client_tls;
    char addr[192];
    struct net_mode mode;
    unsigned requests, aborts;
    struct http_exchange *held; /* the last one of /hold */
    size_t most_queued;         /* of a streamed answer */
    struct list timers;         /* of answers that come in pieces */
};

void net_setup(struct net_env *e);
void net_teardown(struct net_env *e);
/* The path of a file in the test's directory; up to 16. */
const char *net_file(struct net_env *e, const char *name);
/* Makes ca.crt, server.crt/.key, client.crt/.key (CN "tester", O "team-a", "team-b") and other.crt/.key of another CA. */
void net_make_certs(struct net_env *e);
/* Starts the server; o may be NULL (its listen, tls, on_request, ctx are set here). */
void net_serve(struct net_env *e, struct net_mode mode, const struct http_server_options *o);
struct http_client *net_client(struct net_env *e);
/* Runs the loop until the condition holds; fails the test after 20 s. */
void net_run(struct net_env *e, bool (*until)(void *ctx), void *ctx);
void net_run_ms(struct net_env *e, unsigned ms);

/* A call and what came of it. */
struct net_call {
    struct http_call *call;
    bool done, head;
    int err, code;
    bool sent;
    struct buf body;
    size_t bytes;     /* of the body, kept or not */
    bool drop;        /* count the body only */
    char trailer[64]; /* value of "grpc-status", from head or trailers */
    size_t n_headers;
};
void net_call_start(struct net_call *c, struct http_client *client, const struct http_call_options *o);
void net_get(struct net_call *c, struct http_client *client, const char *path);
void net_call_done(struct net_call *c);
bool net_is_done(void *call);

/* A peer that speaks bytes. */
struct net_raw {
    struct net_env *e;
    struct stream *stream;
    struct buf in;
    bool ended, connected;
    int err;
    const char *expect; /* net_raw_has waits for it */
};
void net_raw_open(struct net_raw *r, struct net_env *e);
void net_raw_send(struct net_raw *r, struct slice bytes);
bool net_raw_has(void *raw);
bool net_raw_ended(void *raw);
void net_raw_close(struct net_raw *r);

#endif

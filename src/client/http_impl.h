/* Shared by http.c and http_informer.c. */
#ifndef PINTLE_CLIENT_HTTP_IMPL_H
#define PINTLE_CLIENT_HTTP_IMPL_H

#include "client/http.h"
#include "net/http.h"

/* One server. Its connection is made anew when the server says nothing any more: what waits for it then goes on elsewhere. */
struct client_server {
    char *address;
    struct http_client *http;
};

struct http_client_set {
    struct client base;
    struct client_server servers[CLIENT_SERVERS_MAX];
    size_t n, current;
    struct tls_context *tls;
    /* looking whether the server in use still answers */
    struct loop_timer probe_timer, renew_timer;
    struct http_call *probe;
    size_t probed;
    unsigned silent; /* probes in a row that were not answered */
    bool renew;      /* the probed server's connection is to be made anew */
    /* a new list that waits for the next turn */
    char *wanted[CLIENT_SERVERS_MAX];
    size_t n_wanted;
    char *authorization, *user_agent;
    struct list calls;
};

/* Appends the headers of every request; returns how many. */
size_t client_headers(const struct http_client_set *s, struct http_header *out, const char *content_type);
/* The server in use failed: take the next one, unless somebody did already. */
void client_failed(struct http_client_set *s, size_t which);
struct informer *client_http_informer(struct client *c, const struct informer_options *o,
                                      const struct informer_handler *h, void *ctx);

#endif

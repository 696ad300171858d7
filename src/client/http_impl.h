/* Shared by http.c and http_informer.c. */
#ifndef PINTLE_CLIENT_HTTP_IMPL_H
#define PINTLE_CLIENT_HTTP_IMPL_H

#include "client/http.h"
#include "net/http.h"

struct http_client_set {
    struct client base;
    struct http_client *servers[CLIENT_SERVERS_MAX];
    size_t n, current;
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

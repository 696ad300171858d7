/* Requests that another HTTP server answers: a node's agent, a pod, what stands behind a Service. The answer is streamed
 * through with backpressure; an Upgrade becomes a tunnel of bytes.
 *
 * The caller has found the target and filled a relay_target; api_relay answers the request, whatever becomes of it.
 * Failures: a target that cannot be reached is a Status with the code and words of relay_target; one that goes away in
 * the middle cuts the answer off. A client that goes away ends the call.
 * Ownership: a client made with api_once belongs to the api's nodes until it was used. Thread: the state loop's. */
#ifndef PINTLE_APISERVER_RELAY_H
#define PINTLE_APISERVER_RELAY_H

#include "apiserver/request.h"

struct api_once;

struct relay_target {
    struct http_client *client;
    struct api_once *once; /* client is used for this one request and given back after it; or NULL */
    const char *path;      /* with its query */
    const char *address;   /* "ip:port", for messages */
    const char *prepend;   /* stands in front of the paths that a Location header names; NULL = the header stays */
    const char *host;      /* the Host header; NULL = the client's own */
    bool headers;          /* the client's headers go along, and the answer's come back */
    int unreachable;       /* HTTP code when there is no answer */
    const char *problem;   /* the message then: followed by ": " and why */
};

/* Answers r with what the target answers; an Upgrade request as a tunnel. */
void api_relay(struct api_request *r, const struct relay_target *t);

/* A client for one request. tls: NULL = plain. NULL when there are too many at work. */
struct api_once *api_once_new(struct api *api, const char *address, struct tls_context *tls, const char *host);
struct http_client *api_once_client(struct api_once *once);

#endif

/* Paths that are no resources: health, version, metrics, OpenAPI, tokens' keys. A table: one row a path. */
#ifndef PINTLE_APISERVER_NONRESOURCE_H
#define PINTLE_APISERVER_NONRESOURCE_H

#include "base/slice.h"

struct api_request;

struct api_fixed {
    const char *path;
    bool prefix;    /* paths below it too */
    bool anonymous; /* served to anybody */
    void (*serve)(struct api_request *r);
};

/* The row for a path, or NULL. */
const struct api_fixed *api_fixed_find(struct slice path);

/* The operator's API, one file a topic. */
void api_snapshot(struct api_request *r); /* snapshot.c */
void api_history(struct api_request *r);  /* history.c */
void api_deleted(struct api_request *r);
void api_hash(struct api_request *r);

/* OpenID Connect discovery of the issuer of ServiceAccount tokens (issuer.c). */
void api_issuer(struct api_request *r);
void api_issuer_keys(struct api_request *r);

#endif

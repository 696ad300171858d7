/* The body of a streamed answer: compressed when it turns out large and the client accepts that.
 *
 * Happy path: api_body_begin; api_body_write as pieces come; api_body_end. The first API_GZIP_ABOVE bytes are held back
 * (as references) until it is clear which way it goes; an answer that ends before is sent whole.
 *
 * Owned by the request: the struct lives in its arena, and api_body_end must run before the request ends. */
#ifndef PINTLE_APISERVER_BODY_H
#define PINTLE_APISERVER_BODY_H

#include "apiserver/request.h"
#include "codec/pretty.h"

struct gzip;

enum { API_BODY_HELD = 2048 }; /* chunks held back at most */

struct api_body {
    struct gzip *gzip;    /* while compressing */
    struct chunk *held;   /* NULL: the head was sent */
    size_t n_held, bytes; /* bytes: given so far */
    const char *content_type;
    struct json_pretty indent;
};

/* Starts the answer (200). */
void api_body_begin(struct api_request *r, struct api_body *b, const char *content_type);
/* Takes over the chunks' references. 0, or -ENOMEM (then end with whole false). */
int api_body_write(struct api_request *r, struct api_body *b, const struct chunk *chunks, size_t n);
/* Ends the request: with the answer whole, or cut off when it cannot be made. */
void api_body_end(struct api_request *r, struct api_body *b, bool whole);

#endif

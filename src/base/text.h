/* Bytes as text: base64 (RFC 4648), base64url without padding, hex, percent-encoding (RFC 3986). */
#ifndef PINTLE_BASE_TEXT_H
#define PINTLE_BASE_TEXT_H

#include "base/arena.h"
#include "base/buf.h"

int base64_encode(struct buf *out, struct slice in);
int base64url_encode(struct buf *out, struct slice in);
/* Accepts padded standard base64, line breaks not allowed. 0 or -EINVAL, -E2BIG, -ENOMEM. */
int base64_decode(struct buf *out, struct slice in);
int base64url_decode(struct buf *out, struct slice in);
int hex_encode(struct buf *out, struct slice in);
/* Undoes %XX ('+' to space when plus is true, for query strings); p is NULL when s is malformed or memory is short. */
struct slice percent_decode(struct arena *a, struct slice s, bool plus);
/* Escapes everything but unreserved characters. */
int percent_encode(struct buf *out, struct slice in);

#endif

/* Small things that both sides of HTTP need for heads. */
#ifndef PINTLE_NET_HTTP_HEAD_H
#define PINTLE_NET_HTTP_HEAD_H

#include "net/chunkq.h"
#include "net/http.h"

/* False for what would break the head of a message: line ends and NUL, and in names blanks and colons too. */
bool header_is_clean(const struct http_header *h);
/* Whether a header is about an HTTP/1.1 connection: HTTP/2 has none of these (RFC 9113 section 8.2.2). */
bool header_is_for_h1(struct slice name);
/* Whether a comma-separated header value has the token (any case). */
bool header_has_token(struct slice value, struct slice token);
/* Writes one header line of HTTP/1.1; the caller has checked that it is clean. Running out of memory marks q. */
void header_line(struct chunkq *q, struct slice name, struct slice value);

#endif

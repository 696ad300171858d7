/* gzip (RFC 1952) compression, as fast as zlib can: for large answers on their way.
 *
 * Happy path: gzip_new; gzip_write for each piece, the last one with last set; what is ready is appended to the
 * caller's
 * buffer. Owned by one thread. */
#ifndef PINTLE_CODEC_GZIP_H
#define PINTLE_CODEC_GZIP_H

#include "base/buf.h"

struct gzip;

/* NULL when memory is short (about 256 KiB are needed). */
struct gzip *gzip_new(void);
/* Compresses in behind what came before; last ends the stream. 0, -ENOMEM or -E2BIG (out is full). */
int gzip_write(struct gzip *g, struct slice in, bool last, struct buf *out);
/* NULL is fine. */
void gzip_free(struct gzip *g);
/* The whole of in at once. 0 or negative errno. */
int gzip_pack(struct slice in, struct buf *out);

#endif

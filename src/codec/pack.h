/* msgpack (msgpack-c) for what goes into the log, snapshots and peer messages.
 *
 * Writing appends to a struct buf. Reading gives a tree of values that point into the input; a reader keeps its memory
 * between documents, so that decoding one command costs no allocation. Input comes from peers and disks: every accessor
 * checks types and answers a neutral value for what is missing. */
#ifndef PINTLE_CODEC_PACK_H
#define PINTLE_CODEC_PACK_H

#include "base/buf.h"

/* Each appends one value; errors stick in out. */
void pack_array(struct buf *out, size_t n);
void pack_u64(struct buf *out, uint64_t v);
void pack_bin(struct buf *out, struct slice s);
void pack_nil(struct buf *out);

struct pack_reader; /* keeps the memory of the last document */
struct pack_value;  /* one value of it, opaque */

struct pack_reader *pack_reader_new(void);
/* NULL is fine. */
void pack_reader_free(struct pack_reader *r);
/* Reads one document from the front of in; NULL when it is malformed or cut short. *ret_used (may be NULL) gets its
 * length. The value is valid until the next pack_read and as long as in. */
const struct pack_value *pack_read(struct pack_reader *r, struct slice in, size_t *ret_used);
/* Items of an array; 0 for anything else. */
size_t pack_len(const struct pack_value *v);
/* Item i, or NULL. */
const struct pack_value *pack_at(const struct pack_value *v, size_t i);
/* The number, or 0. */
uint64_t pack_get_u64(const struct pack_value *v);
/* The bytes; empty for anything else. */
struct slice pack_get_bin(const struct pack_value *v);

#endif

/* A queue of chunks: bytes on their way out, large ones by reference, small ones gathered.
 *
 * Large pieces are queued as they are (zero copy); small ones are copied behind each other into a shared tail block, so
 * that a hundred small frames become one piece for writev or one TLS record.
 *
 * The queue itself has no limit: its owner looks at q.bytes and stops producing (STREAM_HIGH_WATER). Without memory an
 * append fails with -ENOMEM and the failure sticks in q.error; the owner gives the connection up. One thread. */
#ifndef PINTLE_NET_CHUNKQ_H
#define PINTLE_NET_CHUNKQ_H

#include "base/blob.h"

/* Pieces below CHUNKQ_SMALL bytes are copied rather than referenced; the blocks they are gathered in have CHUNKQ_FIRST
 * bytes at first, CHUNKQ_BLOCK when more is queued. */
enum { CHUNKQ_SMALL = 1024, CHUNKQ_FIRST = 2 << 10, CHUNKQ_BLOCK = 16 << 10 };

struct chunkq {
    struct chunk *items;
    size_t head, n, cap; /* items[head … head+n) are queued */
    size_t bytes;        /* queued */
    struct blob *tail;   /* block being filled, or NULL */
    size_t tail_used;
    int error; /* 0 or -ENOMEM */
};

void chunkq_init(struct chunkq *q);
/* Drops what is queued; the queue can be used again. */
void chunkq_done(struct chunkq *q);
/* Appends one chunk and takes over its reference, also on failure. Empty chunks vanish. */
int chunkq_push(struct chunkq *q, struct chunk c);
/* Appends a copy of the bytes. */
int chunkq_copy(struct chunkq *q, const void *p, size_t n);
/* The queued chunks as an array of *ret_n; valid until the queue changes. */
const struct chunk *chunkq_chunks(const struct chunkq *q, size_t *ret_n);
/* Forgets all chunks without dropping their references: the caller has passed them on. */
void chunkq_forget(struct chunkq *q);
/* Drops n bytes (≤ q->bytes) from the front. */
void chunkq_drop(struct chunkq *q, size_t n);
/* Moves n bytes (≤ from->bytes) from the front of one queue to the end of another. */
int chunkq_move(struct chunkq *to, struct chunkq *from, size_t n);

#endif

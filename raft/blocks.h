/* A stream of bytes as blocks with checksums, lz4 inside, and an end mark with the total: what snapshots and backups are
 * made of.
 *
 * Happy path: block_pack appends one block for up to BLOCK_BYTES of the stream to a buffer, block_pack_end the end
 * mark;
 * a block_reader gives the bytes back, asking its get() for what it needs, so memory stays constant on both sides.
 *
 * Layout, little-endian: raw length 4, stored length 4, crc32c 4 (of the stored bytes), kind 4, stored bytes. The end
 * mark stores the total of raw bytes. A change of any bit is found: by the checksum, or because lengths, kind and total
 * do not fit any more.
 *
 * Failures: -EBADMSG with any damage; get()'s errors are passed on, and stick. Any one thread. */
#ifndef PINTLE_RAFT_BLOCKS_H
#define PINTLE_RAFT_BLOCKS_H

#include "base/buf.h"

enum {
    BLOCK_BYTES = 256 << 10, /* of the stream in one block at most */
    BLOCK_HEAD = 16,
    BLOCK_STORED_MAX = BLOCK_HEAD + BLOCK_BYTES,
};
enum block_kind { BLOCK_LZ4 = 1, BLOCK_RAW = 2, BLOCK_END = 3 };

struct block_head {
    uint32_t raw, stored, crc;
    enum block_kind kind;
};

/* Appends raw (1 to BLOCK_BYTES bytes) as one block. 0, -E2BIG or -ENOMEM. */
int block_pack(struct buf *out, struct slice raw);
/* Appends the end mark of a stream of total bytes. */
int block_pack_end(struct buf *out, uint64_t total);
/* The head at p. 0, or -EBADMSG when no block looks like that. */
int block_head_decode(const char p[BLOCK_HEAD], struct block_head *ret);
/* Checks h->stored bytes and gives h->raw bytes of the stream in out; total: bytes before this block, which an end mark
 * must name. 0 or -EBADMSG. */
int block_unpack(const struct block_head *h, const char *stored, uint64_t total, char *out);

struct block_reader {
    int (*get)(void *ctx, void *p, size_t n); /* exactly n bytes: 0; else a negative errno */
    void *ctx;
    uint64_t total;       /* bytes of the stream read so far */
    uint64_t digest;      /* over all blocks so far: two streams with equal digests are the same */
    char *block, *packed; /* as large as the largest block so far */
    size_t block_cap, packed_cap;
    size_t n, used; /* of block */
    bool end;       /* the end mark was met */
    int err;        /* sticks: what follows a block that could not be read makes no sense */
};

void block_reader_init(struct block_reader *r, int (*get)(void *ctx, void *p, size_t n), void *ctx);
void block_reader_done(struct block_reader *r);
/* Takes the next block in; 0 also for the end mark (then r->end). */
int block_reader_next(struct block_reader *r);
/* Exactly n bytes of the stream; -ENODATA behind the end. */
int block_read(struct block_reader *r, void *p, size_t n);

#endif

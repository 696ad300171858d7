/* LZ4 block compression: fast, for snapshots. */
#ifndef PINTLE_CODEC_LZ4_H
#define PINTLE_CODEC_LZ4_H

#include "base/slice.h"

enum { LZ4_INPUT_MAX = 64 << 20 };

/* The most bytes n (≤ LZ4_INPUT_MAX) can compress to. */
size_t lz4_bound(size_t n);
/* Compresses in into out (cap bytes); the size, or 0 when it does not fit. */
size_t lz4_pack(struct slice in, char *out, size_t cap);
/* Decompresses in to exactly n bytes at out. 0, or -EBADMSG when in is not such a block. */
int lz4_unpack(struct slice in, char *out, size_t n);

#endif

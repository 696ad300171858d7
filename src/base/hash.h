/* Hashes and checksums, all with fixed results on every machine.
 *  - hash64: seeded, fast, for tables and the rolling state hash; not for secrets.
 *  - crc32c: Castagnoli (RFC 3720 appendix B.4), for what goes to disk and between peers.
 *  - fnv32: FNV-1a, for short readable suffixes such as a ReplicaSet's pod-template-hash. */
#ifndef PINTLE_BASE_HASH_H
#define PINTLE_BASE_HASH_H

#include "base/slice.h"

uint64_t hash64(struct slice s, uint64_t seed);
/* crc: 0 to start, or the result of the bytes before. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
uint32_t fnv32(struct slice s);

#endif

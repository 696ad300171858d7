/* The bytes of a log segment: a header, then records.
 *
 * A record's checksum covers the segment's sequence number, so that records left over in a recycled segment are not
 * taken for new ones. It also names the batch (the offset at which the write began that it was part of): a batch is
 * synced before the next is written, so only the last one can be torn. Hence the rule that tells a torn tail from
 * corruption: after a bad record, a good one of a later batch means that synced bytes were damaged.
 *
 * All numbers little-endian.
 *   header (512 bytes): magic 8, version 4, crc32c 4 (of the rest), cluster id 8, sequence 8, first index 8, previous 8, zeros
 *   record (8-aligned): crc32c 4 (of sequence and the rest), length 4, index 8, term 8, batch 4, type 2, zero 2, data
 * Types are those of libraft's entries, and RECORD_END: the log goes on in the next segment. */
#ifndef PINTLE_RAFT_SEGMENT_H
#define PINTLE_RAFT_SEGMENT_H

#include "base/slice.h"

enum { SEGMENT_HEADER = 512, RECORD_HEADER = 32, SEGMENT_VERSION = 1, RECORD_END = 255 };

struct segment_header {
    uint64_t cluster_id, sequence, first_index;
    uint64_t previous; /* sequence of the segment this one goes on from; 0 = none */
};

struct record {
    uint64_t index, term;
    uint16_t type;
    uint32_t batch;
    struct slice data; /* in the scanned bytes */
};

void segment_header_encode(char out[SEGMENT_HEADER], const struct segment_header *h);
/* 0, or -EBADMSG. */
int segment_header_decode(struct slice s, struct segment_header *ret);

/* Bytes a record with n bytes of data takes. */
static inline size_t record_size(size_t n)
{
    return RECORD_HEADER + ((n + 7) & ~(size_t)7);
}
/* Writes header, data and padding at `at`, all but batch and checksum. */
void record_encode(char *at, uint64_t index, uint64_t term, uint16_t type, struct slice data);
/* Fills in batch and checksum of an encoded record. */
void record_seal(char *at, uint64_t sequence, uint32_t batch);
/* The record at the start of s. 0, or -EBADMSG when there is none. */
int record_decode(struct slice s, uint64_t sequence, struct record *ret);

struct segment_scan {
    uint64_t sequence;
    /* Called for each good record in order; not 0 ends the scan with that error. */
    int (*each)(void *ctx, const struct record *r);
    void *ctx;
    size_t end;    /* out: behind the last good record */
    bool complete; /* out: an end record was met */
};

/* Walks the records of a whole segment (s with its header). 0, -EBADMSG on corruption, or each()'s error. */
int segment_scan(struct slice s, struct segment_scan *scan);
/* Whether s (a segment whose header is bad) holds a record of a batch later than its first: its header was good once. */
bool segment_was_used(struct slice s, uint64_t sequence);

#endif

#include "raft/segment.h"

#include <errno.h>

#include "base/hash.h"
#include "raft/wire.h"

static const char segment_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'W', 'L'};

enum { CRC_AT = 12, CRC_FROM = 16, RECORD_CRC_FROM = 4 };

void segment_header_encode(char out[SEGMENT_HEADER], const struct segment_header *h)
{
    memset(out, 0, SEGMENT_HEADER);
    memcpy(out, segment_magic, sizeof(segment_magic));
    put_u32(out + 8, SEGMENT_VERSION);
    put_u64(out + 16, h->cluster_id);
    put_u64(out + 24, h->sequence);
    put_u64(out + 32, h->first_index);
    put_u64(out + 40, h->previous);
    put_u32(out + CRC_AT, crc32c(0, out + CRC_FROM, SEGMENT_HEADER - CRC_FROM));
}

int segment_header_decode(struct slice s, struct segment_header *ret)
{
    if (s.n < SEGMENT_HEADER || memcmp(s.p, segment_magic, sizeof(segment_magic)) != 0)
        return -EBADMSG;
    if (get_u32(s.p + 8) != SEGMENT_VERSION)
        return -EBADMSG;
    if (get_u32(s.p + CRC_AT) != crc32c(0, s.p + CRC_FROM, SEGMENT_HEADER - CRC_FROM))
        return -EBADMSG;
    *ret = (struct segment_header){get_u64(s.p + 16), get_u64(s.p + 24), get_u64(s.p + 32), get_u64(s.p + 40)};
    return 0;
}

void record_encode(char *at, uint64_t index, uint64_t term, uint16_t type, struct slice data)
{
    memset(at, 0, RECORD_HEADER);
    put_u32(at + 4, (uint32_t)data.n);
    put_u64(at + 8, index);
    put_u64(at + 16, term);
    put_u16(at + 28, type);
    if (data.n)
        memcpy(at + RECORD_HEADER, data.p, data.n);
    memset(at + RECORD_HEADER + data.n, 0, record_size(data.n) - RECORD_HEADER - data.n);
}

static uint32_t record_crc(const char *at, uint64_t sequence, size_t n)
{
    char seed[8];
    put_u64(seed, sequence);
    return crc32c(crc32c(0, seed, sizeof(seed)), at + RECORD_CRC_FROM, RECORD_HEADER - RECORD_CRC_FROM + n);
}

void record_seal(char *at, uint64_t sequence, uint32_t batch)
{
    put_u32(at + 24, batch);
    put_u32(at, record_crc(at, sequence, get_u32(at + 4)));
}

int record_decode(struct slice s, uint64_t sequence, struct record *ret)
{
    if (s.n < RECORD_HEADER)
        return -EBADMSG;
    size_t n = get_u32(s.p + 4);
    if (n > s.n - RECORD_HEADER || get_u16(s.p + 30) != 0 || get_u64(s.p + 8) == 0)
        return -EBADMSG;
    if (get_u32(s.p) != record_crc(s.p, sequence, n))
        return -EBADMSG;
    ret->index = get_u64(s.p + 8);
    ret->term = get_u64(s.p + 16);
    ret->batch = get_u32(s.p + 24);
    ret->type = get_u16(s.p + 28);
    ret->data = slice_of(s.p + RECORD_HEADER, n);
    return 0;
}

/* Whether a good record of a batch that began behind `bad` stands somewhere behind it. */
static bool later_batch_follows(struct slice s, uint64_t sequence, size_t bad)
{
    struct record r;
    for (size_t at = bad + 8; at + RECORD_HEADER <= s.n; at += 8) {
        uint32_t batch = get_u32(s.p + at + 24);
        if (batch > bad && batch <= at && record_decode(slice_from(s, at), sequence, &r) == 0)
            return true;
    }
    return false;
}

int segment_scan(struct slice s, struct segment_scan *scan)
{
    struct record r;
    scan->complete = false;
    scan->end = SEGMENT_HEADER;
    while (record_decode(slice_from(s, scan->end), scan->sequence, &r) == 0 && r.batch <= scan->end) {
        scan->end += record_size(r.data.n);
        if (r.type == RECORD_END) {
            scan->complete = true;
            return 0;
        }
        int err = scan->each(scan->ctx, &r);
        if (err)
            return err;
    }
    return later_batch_follows(s, scan->sequence, scan->end) ? -EBADMSG : 0;
}

bool segment_was_used(struct slice s, uint64_t sequence)
{
    return later_batch_follows(s, sequence, SEGMENT_HEADER);
}

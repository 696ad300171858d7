/* Frames of peers (first byte even) and log segments (odd). Half of the segments get right checksums first, so that
 * what lies behind them is reached. */
#include "fuzz.h"

#include "raft/frame.h"
#include "raft/segment.h"

enum { SEQUENCE = 1 };

static void read_append(const struct frame *f)
{
    struct append ap;
    if (frame_read_append(f, &ap))
        return;
    size_t at = frame_append_data_at(ap.n) - FRAME_HEAD;
    for (uint32_t i = 0; i < ap.n; i++) {
        struct append_entry e;
        frame_append_entry(f->payload, i, &at, &e);
        FUZZ_CHECK(e.data.n <= f->payload.n);
        FUZZ_CHECK(e.data.n == 0 || (e.data.p >= f->payload.p && e.data.p + e.data.n <= f->payload.p + f->payload.n));
    }
}

static void read_frames(struct slice s)
{
    struct frame f;
    size_t used;
    while (frame_parse(s, &f, &used) == 1) {
        struct hello h;
        struct message m;
        FUZZ_CHECK(used >= FRAME_HEAD && used <= s.n && f.payload.n <= frame_limit(f.type));
        if (f.type == FRAME_HELLO)
            (void)frame_read_hello(f.payload, &h);
        else if (f.type == FRAME_APPEND)
            read_append(&f);
        else if (frame_read_message(&f, &m) == 0)
            blob_unref(frame_message(&m));
        s = slice_from(s, used);
    }
}

static int each(void *ctx, const struct record *r)
{
    const struct slice *s = ctx;
    FUZZ_CHECK(r->data.n == 0 || (r->data.p >= s->p && r->data.p + r->data.n <= s->p + s->n));
    return 0;
}

static void seal(char *p, size_t n)
{
    uint32_t batch = SEGMENT_HEADER;
    for (size_t at = SEGMENT_HEADER; at + RECORD_HEADER <= n;) {
        uint32_t len;
        memcpy(&len, p + at + 4, sizeof len);
        if (len > n || record_size(len) > n - at)
            return;
        if (p[at + 8] % 2)
            batch = (uint32_t)at;
        record_seal(p + at, SEQUENCE, batch);
        at += record_size(len);
    }
}

static void read_segment(struct slice s, bool sealed)
{
    char *copy = malloc(s.n + 1);
    memcpy(copy, s.p, s.n);
    if (sealed)
        seal(copy, s.n);
    struct slice seg = slice_of(copy, s.n);
    struct segment_header h = {.sequence = SEQUENCE};
    (void)segment_header_decode(seg, &h);
    struct segment_scan scan = {.sequence = SEQUENCE, .each = each, .ctx = &seg};
    if (seg.n >= SEGMENT_HEADER && segment_scan(seg, &scan) == 0)
        FUZZ_CHECK(scan.end <= seg.n);
    (void)segment_was_used(seg, SEQUENCE);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 2)
        return 0;
    if (p[0] % 2 == 0)
        read_frames(slice_of(p + 1, n - 1));
    else
        read_segment(slice_of(p + 1, n - 1), p[0] % 4 == 1);
    return 0;
}

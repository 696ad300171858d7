/* What a peer sends: frames, one after another. What is read and written again is the same. */
#include "fuzz.h"

#include "raft/frame.h"

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

static void check_same(struct blob *b, const struct frame *f)
{
    FUZZ_CHECK(b && b->n == FRAME_HEAD + f->payload.n);
    FUZZ_CHECK(memcmp(b->bytes + FRAME_HEAD, f->payload.p, f->payload.n) == 0);
    blob_unref(b);
}

static void read_message(const struct frame *f)
{
    struct message m, again;
    struct frame back;
    uint64_t runs[FRAME_RUNS];
    size_t used;
    if (frame_read_message(f, &m))
        return;
    struct blob *b = frame_message(&m);
    FUZZ_CHECK(b && frame_parse(blob_slice(b), &back, &used) == 1 && frame_read_message(&back, &again) == 0);
    FUZZ_CHECK(m.term == again.term && m.index == again.index && m.incarnation == again.incarnation);
    FUZZ_CHECK(m.refusal == again.refusal && m.format == again.format && m.granted == again.granted);
    frame_get_runs(&m, runs);
    frame_put_runs(&again, runs);
    blob_unref(b);
}

static void read_frames(struct slice s)
{
    struct frame f;
    size_t used;
    while (frame_parse(s, &f, &used) == 1) {
        struct hello h;
        struct slice address, info;
        FUZZ_CHECK(used >= FRAME_HEAD && used <= s.n && f.payload.n <= frame_limit(f.type));
        if (f.type == FRAME_HELLO && frame_read_hello(f.payload, &h) == 0)
            check_same(frame_hello(&h), &f);
        else if (f.type == FRAME_APPEND)
            read_append(&f);
        else if (f.type == FRAME_INFO && frame_read_info(f.payload, &address, &info) == 0)
            check_same(frame_info(address, info), &f);
        else
            read_message(&f);
        s = slice_from(s, used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    read_frames(slice_of((const char *)p, n));
    return 0;
}

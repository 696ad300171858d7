/* HTTP/2 from the accepted stream to the handler.
 *
 * The first byte's low bits say in which pieces the bytes arrive. With its top bit the rest are bytes as they are,
 * behind
 * the preface; without it they are instructions, so that floods are a few bytes and a mutation is still frames:
 *
 *   kind | repeat << 4    the frame's type; it is sent 2^repeat times, its stream going on by 2 each time
 *   flags  stream         as they are
 *   n  times              a payload of n bytes that follow, 2^times of them on end */
#include "fuzz_server.h"

enum { FRAMES_MAX = 64 << 10, INSTRUCTION = 5, REPEAT_MAX = 11, TIMES_MAX = 7, H2_FRAME_HEAD = 9 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

static void add_frames(struct buf *out, const uint8_t head[static INSTRUCTION], struct slice payload)
{
    unsigned repeat = head[0] >> 4 > REPEAT_MAX ? REPEAT_MAX : head[0] >> 4, times = head[4] & TIMES_MAX;
    size_t bytes = payload.n << times;
    for (uint32_t i = 0; i < 1u << repeat && !buf_error(out); i++) {
        uint32_t stream = head[2] ? head[2] + 2 * i : 0;
        const unsigned char frame[H2_FRAME_HEAD] = {(unsigned char)(bytes >> 16),
                                                    (unsigned char)(bytes >> 8),
                                                    (unsigned char)bytes,
                                                    head[0] & 0x0f,
                                                    head[1],
                                                    (unsigned char)(stream >> 24),
                                                    (unsigned char)(stream >> 16),
                                                    (unsigned char)(stream >> 8),
                                                    (unsigned char)stream};
        buf_add(out, frame, sizeof frame);
        for (unsigned k = 0; k < 1u << times; k++)
            buf_add_slice(out, payload);
    }
}

static void follow(struct buf *out, const uint8_t *p, size_t n)
{
    while (n >= INSTRUCTION) {
        size_t payload = p[3] < n - INSTRUCTION ? p[3] : n - INSTRUCTION;
        add_frames(out, p, slice_of(p + INSTRUCTION, payload));
        p += INSTRUCTION + payload;
        n -= INSTRUCTION + payload;
    }
}

/* What the server says: whole frames but perhaps the last, none larger than agreed, no answers behind an error. */
static void check_h2_frames(struct slice out)
{
    bool gone = false;
    while (out.n >= H2_FRAME_HEAD) {
        const unsigned char *p = (const unsigned char *)out.p;
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        FUZZ_CHECK(n <= 16384 && p[3] <= 9);
        FUZZ_CHECK(!gone || (p[3] != 1 && p[3] != 0));
        if (p[3] == 7 && out.n >= H2_FRAME_HEAD + 8)
            gone |= p[13] || p[14] || p[15] || p[16];
        out = slice_from(out, H2_FRAME_HEAD + n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const size_t steps[] = {4 << 20, 1, 9, 1000};
    struct buf bytes = BUF_INIT(FRAMES_MAX);
    struct fuzz_server f;
    if (n == 0)
        return 0;
    buf_add(&bytes, preface, sizeof preface - 1);
    if (p[0] & 0x80)
        buf_add(&bytes, p + 1, n - 1);
    else
        follow(&bytes, p + 1, n - 1);
    size_t step = steps[p[0] & 3];
    if (step < bytes.n / 64)
        step = bytes.n / 64;
    fuzz_server_open(&f);
    fuzz_server_send(&f, buf_slice(&bytes), step);
    FUZZ_CHECK(f.out.n > 9); /* it greets */
    check_h2_frames(buf_slice(&f.out));
    FUZZ_CHECK(f.most_open <= HTTP_STREAMS_MAX);
    fuzz_server_close(&f);
    buf_done(&bytes);
    return 0;
}

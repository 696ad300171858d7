/* HTTP/1.1 and WebSocket frames, from the accepted stream to the handler.
 *
 * The first byte says how: its low bits the size of the pieces in which the rest arrives, its top bit that a
 * WebSocket's
 * handshake goes before it. */
#include "fuzz_server.h"

static const char handshake[] = "GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/* A server's frame: never masked, never in pieces, of the kinds that we send. The bytes behind it, or p NULL. */
static struct slice after_frame(struct slice s)
{
    static const char kinds[] = {'\x81', '\x88', '\x8a'};
    FUZZ_CHECK(memchr(kinds, s.p[0], sizeof kinds));
    if (s.n < 2)
        return SLICE_NONE;
    FUZZ_CHECK((unsigned char)s.p[1] <= 125); /* nothing that we say here is longer */
    size_t n = 2 + (unsigned char)s.p[1];
    return s.n < n ? SLICE_NONE : slice_of(s.p + n, s.n - n);
}

static void check_ws_frames(struct slice out)
{
    const char *end = out.n ? memmem(out.p, out.n, "\r\n\r\n", 4) : NULL;
    bool closed = false;
    FUZZ_CHECK(end && slice_starts(out, SLICE("HTTP/1.1 101 ")));
    for (out = slice_from(out, (size_t)(end - out.p) + 4); out.n > 0;) {
        FUZZ_CHECK(!closed); /* the last word */
        closed = out.p[0] == '\x88';
        out = after_frame(out);
        FUZZ_CHECK(out.p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const size_t steps[] = {1 << 20, 1, 7, 100};
    struct fuzz_server f;
    if (n == 0)
        return 0;
    struct slice in = slice_of(p + 1, n - 1);
    size_t step = steps[p[0] & 3];
    if (step < in.n / 64)
        step = in.n / 64; /* a bounded number of turns */
    bool websocket = p[0] & 0x80;
    fuzz_server_open(&f);
    if (websocket)
        fuzz_server_send(&f, SLICE(handshake), 1 << 20);
    fuzz_server_send(&f, in, step);
    if (websocket)
        check_ws_frames(buf_slice(&f.out));
    else if (f.out.n >= 9 && !slice_starts(in, SLICE("PRI "))) /* else it became HTTP/2 */
        FUZZ_CHECK(slice_starts(buf_slice(&f.out), SLICE("HTTP/1.1 ")));
    FUZZ_CHECK(f.most_open <= 1); /* one at a time */
    fuzz_server_close(&f);
    return 0;
}

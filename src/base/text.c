#include "base/text.h"

#include <errno.h>

static const char std_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int encode(struct buf *out, struct slice in, const char *alphabet, bool pad)
{
    int rv = buf_reserve(out, (in.n + 2) / 3 * 4);
    for (size_t i = 0; i < in.n && !rv; i += 3) {
        size_t left = in.n - i;
        uint32_t v = (uint32_t)(unsigned char)in.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)(unsigned char)in.p[i + 1] << 8;
        if (left > 2)
            v |= (unsigned char)in.p[i + 2];
        char quad[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], alphabet[v >> 6 & 63], alphabet[v & 63]};
        size_t n = left > 2 ? 4 : left + 1;
        if (pad)
            for (; n < 4; n++)
                quad[n] = '=';
        rv = buf_add(out, quad, n);
    }
    return rv;
}

int base64_encode(struct buf *out, struct slice in)
{
    return encode(out, in, std_alphabet, true);
}

int base64url_encode(struct buf *out, struct slice in)
{
    return encode(out, in, url_alphabet, false);
}

static int decode(struct buf *out, struct slice in, const char *alphabet)
{
    uint32_t v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < in.n; i++) {
        const char *at = in.p[i] ? memchr(alphabet, in.p[i], 64) : NULL;
        if (!at)
            return -EINVAL;
        v = v << 6 | (uint32_t)(at - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            int rv = buf_add_char(out, (char)(v >> bits & 0xff));
            if (rv)
                return rv;
        }
    }
    return bits == 6 ? -EINVAL : buf_reserve(out, 0);
}

int base64_decode(struct buf *out, struct slice in)
{
    if (in.n % 4)
        return -EINVAL;
    for (int pad = 0; pad < 2 && in.n && in.p[in.n - 1] == '='; pad++)
        in.n--;
    return decode(out, in, std_alphabet);
}

int base64url_decode(struct buf *out, struct slice in)
{
    return decode(out, in, url_alphabet);
}

static const char hex_digits[] = "0123456789abcdef";

int hex_encode(struct buf *out, struct slice in)
{
    int rv = buf_reserve(out, in.n * 2);
    for (size_t i = 0; i < in.n && !rv; i++) {
        unsigned char c = (unsigned char)in.p[i];
        char pair[2] = {hex_digits[c >> 4], hex_digits[c & 15]};
        rv = buf_add(out, pair, 2);
    }
    return rv;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct slice percent_decode(struct arena *a, struct slice s, bool plus)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    if (!out)
        return SLICE_NONE;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            bool whole = s.n - i >= 3;
            int hi = whole ? hex_value(s.p[i + 1]) : -1;
            int lo = whole ? hex_value(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return SLICE_NONE;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return slice_of(out, n);
}

static bool unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

int percent_encode(struct buf *out, struct slice in)
{
    int rv = buf_reserve(out, 0);
    for (size_t i = 0; i < in.n && !rv; i++) {
        unsigned char c = (unsigned char)in.p[i];
        rv = unreserved((char)c) ? buf_add_char(out, (char)c) : buf_printf(out, "%%%02X", c);
    }
    return rv;
}

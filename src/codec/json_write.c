/* Values to JSON text, byte for byte as Go's encoding/json without HTML escaping. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/json.h"

/* Bytes of the UTF-8 sequence at p (1 to 4), or 0 when it is malformed (RFC 3629). */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] >= 0xa0) || (c == 0xf0 && p[1] < 0x90) ||
               (c == 0xf4 && p[1] >= 0x90);
    return bad ? 0 : len;
}

static int write_escape(struct buf *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;
    if (!at)
        return buf_printf(out, "\\u%04x", c);
    char pair[2] = {'\\', to[at - from]};
    return buf_add(out, pair, 2);
}

static bool needs_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* Writes what stands at p and cannot be copied as it is; returns the bytes it took. */
static size_t write_special(struct buf *out, const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) {
        write_escape(out, p[0]);
        return 1;
    }
    if (utf8_len(p, n) == 0) {
        buf_add_str(out, "\\ufffd");
        return 1;
    }
    buf_printf(out, "\\u20%02x", p[2] & 0x3f);
    return 3;
}

int json_write_string(struct buf *out, struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t from = 0, i = 0;
    buf_add_char(out, '"');
    while (i < s.n) {
        size_t len = needs_escape(p[i]) ? 0 : utf8_len(p + i, s.n - i);
        bool separator = len == 3 && p[i] == 0xe2 && p[i + 1] == 0x80 && (p[i + 2] & 0xfe) == 0xa8;
        if (len && !separator) {
            i += len;
            continue;
        }
        buf_add(out, s.p + from, i - from);
        i += write_special(out, p + i, s.n - i);
        from = i;
    }
    if (i > from)
        buf_add(out, s.p + from, i - from);
    return buf_add_char(out, '"');
}

/* The shortest text that reads back as v. */
static void shortest(char text[40], double v, const char *fmt, int from)
{
    for (int digits = from; digits <= 17; digits++) {
        snprintf(text, 40, fmt, digits, v);
        if (strtod(text, NULL) == v)
            return;
    }
}

/* Go: exponent form below 1e-6 and from 1e21 on, with at least one digit of exponent. */
static int write_real(struct buf *out, double v)
{
    char text[40];
    if (!isfinite(v))
        return buf_add_str(out, "null");
    if (fpclassify(v) == FP_ZERO)
        return buf_add_char(out, '0');
    double size = fabs(v);
    shortest(text, v, "%.*e", 0);
    char *e = strchr(text, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    int fraction = (int)(e - text) - (v < 0) - 2; /* digits behind the point, -1 without one */
    int decimals = (fraction < 0 ? 0 : fraction) - exponent;
    if (size < 1e-6 || size >= 1e21) {
        *e = '\0';
        return buf_printf(out, exponent < 0 ? "%se-%d" : "%se+%d", text, abs(exponent));
    }
    if (decimals > 0)
        return buf_printf(out, "%.*f", decimals, v);
    for (char *p = text; p < e; p++)
        if (*p != '.')
            buf_add_char(out, *p);
    for (int i = decimals; i < 0; i++)
        buf_add_char(out, '0');
    return buf_error(out);
}

static int write_value(struct buf *out, const struct json *v, unsigned depth);

static int write_items(struct buf *out, const struct json *v, unsigned depth)
{
    bool object = v->type == JSON_OBJECT;
    if (depth > 2 * JSON_DEPTH_MAX)
        return -E2BIG;
    buf_add_char(out, object ? '{' : '[');
    json_each (it, v) {
        if (it->prev)
            buf_add_char(out, ',');
        if (object) {
            json_write_string(out, it->key);
            buf_add_char(out, ':');
        }
        int rv = write_value(out, it, depth + 1);
        if (rv)
            return rv;
    }
    return buf_add_char(out, object ? '}' : ']');
}

static int write_int(struct buf *out, int64_t v)
{
    if (v < 0)
        buf_add_char(out, '-');
    return buf_add_u64(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static int write_value(struct buf *out, const struct json *v, unsigned depth)
{
    switch (v->type) {
    case JSON_BOOL:
        return buf_add_str(out, v->u.boolean ? "true" : "false");
    case JSON_INT:
        return write_int(out, v->u.integer);
    case JSON_REAL:
        return write_real(out, v->u.real);
    case JSON_STRING:
        return json_write_string(out, v->u.string);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return write_items(out, v, depth);
    case JSON_NULL:
        break;
    }
    return buf_add_str(out, "null");
}

int json_write(struct buf *out, const struct json *v)
{
    return v ? write_value(out, v, 1) : buf_add_str(out, "null");
}

#include "codec/pretty.h"

static void new_line(const struct json_pretty *p, struct buf *out)
{
    static const char spaces[] = "                                ";
    buf_add_char(out, '\n');
    for (size_t left = 2 * p->depth, n; left; left -= n) {
        n = left < sizeof spaces - 1 ? left : sizeof spaces - 1;
        if (buf_add(out, spaces, n))
            return;
    }
}

/* Outside of strings. */
static void add_char(struct json_pretty *p, char c, struct buf *out)
{
    bool closes = c == '}' || c == ']';
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        return;
    p->depth -= closes && p->depth;
    if (p->opened != closes && (p->opened || closes))
        new_line(p, out);
    p->opened = c == '{' || c == '[';
    p->depth += p->opened;
    buf_add_char(out, c);
    if (c == ',')
        new_line(p, out);
    else if (c == ':')
        buf_add_char(out, ' ');
    p->in_string = c == '"';
}

/* Bytes up to the end of the string, or of the piece. */
static size_t string_bytes(struct json_pretty *p, struct slice in)
{
    size_t i = 0;
    for (; i < in.n && p->in_string; i++) {
        p->in_string = p->escaped || in.p[i] != '"';
        p->escaped = !p->escaped && in.p[i] == '\\';
    }
    return i;
}

int json_pretty(struct json_pretty *p, struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.n && !buf_error(out);) {
        if (!p->in_string) {
            add_char(p, in.p[i++], out);
            continue;
        }
        size_t n = string_bytes(p, slice_from(in, i));
        buf_add(out, in.p + i, n);
        i += n;
    }
    return buf_error(out);
}

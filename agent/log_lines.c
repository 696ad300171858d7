/* Lines and options of container logs. Pure, but for log_tail, which reads. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/logs.h"
#include "base/text.h"
#include "base/timefmt.h"

enum { TAIL_BLOCK = 64 << 10 };

bool log_line_parse(struct slice line, struct log_line *ret)
{
    struct log_line l;
    struct slice stream, tag, rest;
    if (!slice_cut(line, ' ', &l.time, &rest) || !slice_cut(rest, ' ', &stream, &rest))
        return false;
    slice_cut(rest, ' ', &tag, &l.text);
    if (!time_parse(l.time, &l.ns) || !tag.n)
        return false;
    if (!slice_eq_str(stream, "stdout") && !slice_eq_str(stream, "stderr"))
        return false;
    l.stream = slice_eq_str(stream, "stdout") ? LOG_STDOUT : LOG_STDERR;
    slice_cut(tag, ':', &tag, &rest); /* tags are a list; the first says whether the line is whole */
    l.partial = slice_eq_str(tag, "P");
    *ret = l;
    return true;
}

bool log_filter_line(struct log_filter *f, const struct log_line *line, struct buf *out)
{
    size_t before = out->n;
    if (line->ns < f->o.since || (f->o.stream != LOG_ALL && f->o.stream != line->stream))
        return true;
    if (f->o.timestamps && !f->midline) {
        buf_add_slice(out, line->time);
        buf_add_char(out, ' ');
    }
    buf_add_slice(out, line->text);
    if (!line->partial)
        buf_add_char(out, '\n');
    f->midline = line->partial;
    f->sent += (int64_t)(out->n - before);
    if (f->o.limit_bytes < 0 || f->sent < f->o.limit_bytes)
        return true;
    out->n -= (size_t)(f->sent - f->o.limit_bytes);
    f->sent = f->o.limit_bytes;
    return false;
}

int log_tail(int fd, int64_t n, uint64_t *ret_offset, int64_t *ret_lines)
{
    char block[TAIL_BLOCK];
    off_t end = lseek(fd, 0, SEEK_END), at = end;
    int64_t lines = 0;
    if (end < 0)
        return -errno;
    if (n == 0) {
        *ret_offset = (uint64_t)end;
        *ret_lines = 0;
        return 0;
    }
    while (at > 0) {
        size_t want = at < TAIL_BLOCK ? (size_t)at : TAIL_BLOCK;
        ssize_t got = pread(fd, block, want, at - (off_t)want);
        if (got != (ssize_t)want)
            return got < 0 ? -errno : -EIO;
        for (size_t i = want; i-- > 0;) {
            off_t here = at - (off_t)want + (off_t)i;
            if (block[i] != '\n' || here == end - 1)
                continue;
            if (++lines == n) {
                *ret_offset = (uint64_t)here + 1;
                *ret_lines = n;
                return 0;
            }
        }
        at -= (off_t)want;
    }
    *ret_offset = 0;
    *ret_lines = lines + (end > 0);
    return 0;
}

/* ---- options ---- */

static int bad(char why[256], const char *what, struct slice value)
{
    snprintf(why, 256, "%s: Invalid value: \"%" SLICE_FMT "\"", what, value.n < 64 ? (int)value.n : 64,
             value.n ? value.p : "");
    return -EINVAL;
}

static bool truth(struct slice v)
{
    return !v.n || slice_ieq(v, SLICE("true")) || slice_eq_str(v, "1");
}

static int take_option(struct log_options *o, struct slice key, struct slice v, int64_t wall, char why[256])
{
    int64_t n;
    if (slice_eq_str(key, "follow"))
        o->follow = truth(v);
    else if (slice_eq_str(key, "timestamps"))
        o->timestamps = truth(v);
    else if (slice_eq_str(key, "previous"))
        o->previous = truth(v);
    else if (slice_eq_str(key, "tailLines"))
        return slice_to_i64(v, &o->tail) && o->tail >= 0 ? 0 : bad(why, "tailLines", v);
    else if (slice_eq_str(key, "limitBytes"))
        return slice_to_i64(v, &o->limit_bytes) && o->limit_bytes > 0 ? 0 : bad(why, "limitBytes", v);
    else if (slice_eq_str(key, "sinceTime"))
        return time_parse(v, &o->since) ? 0 : bad(why, "sinceTime", v);
    else if (slice_eq_str(key, "stream"))
        o->stream = slice_eq_str(v, "Stdout") ? LOG_STDOUT : slice_eq_str(v, "Stderr") ? LOG_STDERR : LOG_ALL;
    else if (slice_eq_str(key, "sinceSeconds")) {
        if (!slice_to_i64(v, &n) || n < 1 || n > INT32_MAX)
            return bad(why, "sinceSeconds", v);
        o->since = wall - n * NS_PER_SEC;
    }
    return 0;
}

int log_options_parse(struct arena *a, struct slice query, int64_t wall, struct log_options *ret, char why[256])
{
    struct log_options o = {.tail = -1, .limit_bytes = -1};
    while (query.n) {
        struct slice pair, key, value;
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &key, &value);
        key = percent_decode(a, key, true);
        value = percent_decode(a, value, true);
        int err = take_option(&o, key, value, wall, why);
        if (err)
            return err;
    }
    *ret = o;
    return 0;
}

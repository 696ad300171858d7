#include "object/quantity.h"

#include <errno.h>

/* A quantity's text is at most this long; longer ones are no sensible numbers. */
enum { TEXT_MAX = 64 };

#define NANO_PER_UNIT  ((quantity_nano)1000000000)
#define NANO_PER_MILLI ((quantity_nano)1000000)
/* Kubernetes caps at 2^63-1 units. */
#define NANO_MAX ((quantity_nano)INT64_MAX * NANO_PER_UNIT)

static const char decimal_suffixes[] = "num\0kMGTPE"; /* 10^-9, 10^-6, 10^-3, 1, 10^3 … 10^18 */
static const char binary_suffixes[] = "KMGTPE";

/* A number as it is read: nano units exact up to the cap, and whether something finer was cut off. */
struct scan {
    quantity_nano nano;
    bool inexact;
};

static quantity_nano saturated(quantity_nano v)
{
    return v > NANO_MAX ? NANO_MAX : v < -NANO_MAX ? -NANO_MAX : v;
}

/* v × factor, capped. v is not negative. */
static quantity_nano scale_up(quantity_nano v, quantity_nano factor)
{
    return v > NANO_MAX / factor ? NANO_MAX : v * factor;
}

/* digits × 10^exponent units, in nano. */
static struct scan scale_decimal(struct scan s, int exponent)
{
    for (; exponent > 0 && s.nano; exponent--)
        s.nano = scale_up(s.nano, 10);
    for (; exponent < 0 && s.nano; exponent++) {
        s.inexact |= s.nano % 10 != 0;
        s.nano /= 10;
    }
    return s;
}

/* Reads "digits[.digits]" and returns how many bytes it took; 0 when there are no digits. The value comes out as an
 * integer of all digits; *fraction says how many of them stood behind the point. */
static size_t scan_digits(struct slice s, struct scan *value, int *fraction)
{
    size_t i = 0, digits = 0;
    bool point = false;
    *value = (struct scan){0};
    *fraction = 0;
    for (; i < s.n; i++) {
        if (s.p[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (s.p[i] < '0' || s.p[i] > '9')
            break;
        digits++;
        if (digits > 36) { /* beyond what 128 bits hold: more digits only shift or vanish */
            value->inexact |= point && s.p[i] != '0';
            *fraction -= !point;
            continue;
        }
        value->nano = value->nano * 10 + (s.p[i] - '0');
        *fraction += point;
    }
    return digits ? i : 0;
}

static bool parse_exponent(struct slice s, int *ret)
{
    int64_t e;
    if (s.n && s.p[0] == '+')
        s = slice_from(s, 1);
    if (!slice_to_i64(s, &e) || e > 1000 || e < -1000)
        return false;
    *ret = (int)e;
    return true;
}

/* The meaning of what follows the digits: powers of 10 or of 1024. */
static bool parse_suffix(struct slice s, int *ten, int *kibi, enum quantity_format *format)
{
    *ten = *kibi = 0;
    *format = QUANTITY_DECIMAL;
    if (s.n == 0)
        return true;
    const char *at;
    if (s.n == 2 && s.p[1] == 'i' && (at = strchr(binary_suffixes, s.p[0]))) {
        *format = QUANTITY_BINARY;
        *kibi = (int)(at - binary_suffixes) + 1;
        return true;
    }
    if (s.n == 1 && s.p[0] && (at = memchr(decimal_suffixes, s.p[0], sizeof decimal_suffixes - 1))) {
        *ten = 3 * ((int)(at - decimal_suffixes) - 3);
        return true;
    }
    if (s.p[0] != 'e' && s.p[0] != 'E')
        return false;
    *format = QUANTITY_EXPONENT;
    return parse_exponent(slice_from(s, 1), ten);
}

bool quantity_parse(struct slice s, struct quantity *ret)
{
    struct scan v;
    int fraction, ten, kibi;
    enum quantity_format format;
    if (s.n == 0 || s.n > TEXT_MAX)
        return false;
    bool negative = s.p[0] == '-';
    if (negative || s.p[0] == '+')
        s = slice_from(s, 1);
    size_t n = scan_digits(s, &v, &fraction);
    if (n == 0 || !parse_suffix(slice_from(s, n), &ten, &kibi, &format))
        return false;
    for (; kibi > 0; kibi--)
        v.nano = v.nano > (quantity_nano)1 << 116 ? (quantity_nano)1 << 126 : v.nano * 1024;
    v = scale_decimal(v, 9 + ten - fraction);
    v.nano = saturated(v.nano + (v.inexact && v.nano < NANO_MAX ? 1 : 0));
    *ret = (struct quantity){negative ? -v.nano : v.nano, format};
    return true;
}

bool quantity_from_json(const struct json *v, struct quantity *ret)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    bool ok = false;
    if (json_is(v, JSON_STRING))
        return quantity_parse(v->u.string, ret);
    if (json_is(v, JSON_INT) || json_is(v, JSON_REAL))
        ok = json_write(&text, v) == 0 && quantity_parse(buf_slice(&text), ret);
    buf_done(&text);
    return ok;
}

struct quantity quantity_of(int64_t n)
{
    return (struct quantity){(quantity_nano)n * NANO_PER_UNIT, QUANTITY_DECIMAL};
}

struct quantity quantity_of_milli(int64_t milli)
{
    return (struct quantity){(quantity_nano)milli * NANO_PER_MILLI, QUANTITY_DECIMAL};
}

int quantity_cmp(struct quantity a, struct quantity b)
{
    return a.nano < b.nano ? -1 : a.nano > b.nano;
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    return (struct quantity){saturated(a.nano + b.nano), a.nano ? a.format : b.format};
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
    return (struct quantity){saturated(a.nano - b.nano), a.nano ? a.format : b.format};
}

bool quantity_is_zero(struct quantity q)
{
    return q.nano == 0;
}

/* Away from zero, as Kubernetes rounds. */
static quantity_nano divide_up(quantity_nano v, quantity_nano by)
{
    quantity_nano rest = v % by;
    return v / by + (rest > 0) - (rest < 0);
}

static int64_t to_i64(quantity_nano v)
{
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_value(struct quantity q)
{
    return to_i64(divide_up(q.nano, NANO_PER_UNIT));
}

int64_t quantity_milli(struct quantity q)
{
    return to_i64(divide_up(q.nano, NANO_PER_MILLI));
}

struct quantity quantity_round_milli(struct quantity q)
{
    q.nano = divide_up(q.nano, NANO_PER_MILLI) * NANO_PER_MILLI;
    return q;
}

static int write_number(struct buf *out, quantity_nano v)
{
    char digits[48];
    size_t n = sizeof digits;
    for (; v; v /= 10)
        digits[--n] = (char)('0' + (int)(v % 10));
    return buf_add(out, digits + n, sizeof digits - n);
}

/* Decimal and exponent form: the largest power of 1000 that leaves an integer. */
static int write_decimal(struct buf *out, quantity_nano v, bool exponent)
{
    int power = -3;
    for (; v % 1000 == 0 && power < 6; power++)
        v /= 1000;
    write_number(out, v);
    if (power == 0)
        return buf_error(out);
    return exponent ? buf_printf(out, "e%d", power * 3) : buf_add_char(out, decimal_suffixes[power + 3]);
}

static int write_binary(struct buf *out, quantity_nano v)
{
    int power = 0;
    v /= NANO_PER_UNIT;
    for (; v % 1024 == 0 && power < 6; power++)
        v /= 1024;
    write_number(out, v);
    return power ? buf_printf(out, "%ci", binary_suffixes[power - 1]) : buf_error(out);
}

int quantity_write(struct buf *out, struct quantity q)
{
    quantity_nano v = q.nano;
    if (v == 0)
        return buf_add_char(out, '0');
    if (v < 0) {
        buf_add_char(out, '-');
        v = -v;
    }
    /* Kubernetes writes binary suffixes only for integers of at least 1024. */
    if (q.format == QUANTITY_BINARY && v % NANO_PER_UNIT == 0 && v >= 1024 * NANO_PER_UNIT)
        return write_binary(out, v);
    return write_decimal(out, v, q.format == QUANTITY_EXPONENT);
}

struct json *quantity_to_json(struct arena *a, struct quantity q)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    struct json *v = quantity_write(&text, q) ? NULL : json_new_string(a, buf_slice(&text));
    buf_done(&text);
    return v;
}

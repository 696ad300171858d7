#include "base/timefmt.h"

#include <stdio.h>

struct civil {
    int64_t year;
    unsigned month, day, hour, minute, second;
};

/* Days since 1970-01-01 of a proleptic Gregorian date; years start in March so that leap days come last. */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + (int64_t)d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct civil civil_from_seconds(int64_t secs)
{
    int64_t days = secs / 86400, rest = secs % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    return (struct civil){.year = yoe + era * 400 + (month <= 2),
                          .month = month,
                          .day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
                          .hour = (unsigned)(rest / 3600),
                          .minute = (unsigned)(rest / 60 % 60),
                          .second = (unsigned)(rest % 60)};
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static struct civil civil_of(int64_t ns)
{
    struct civil c = civil_from_seconds(floor_div(ns, NS_PER_SEC));
    if (c.year < 0 || c.year > 9999)
        c = (struct civil){.year = 9999, .month = 12, .day = 31};
    return c;
}

void time_format_sec(int64_t ns, char out[TIME_SEC_LEN + 1])
{
    struct civil c = civil_of(ns);
    snprintf(out, TIME_SEC_LEN + 1, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)c.year % 10000u, c.month % 100u,
             c.day % 100u, c.hour % 100u, c.minute % 100u, c.second % 100u);
}

void time_format_ms(uint64_t ms, char out[TIME_SEC_LEN + 1])
{
    time_format_sec((int64_t)(ms * NS_PER_MS), out);
}

void time_format_micro(int64_t ns, char out[TIME_MICRO_LEN + 1])
{
    struct civil c = civil_of(ns);
    unsigned micro = (unsigned)((ns - floor_div(ns, NS_PER_SEC) * NS_PER_SEC) / 1000);
    snprintf(out, TIME_MICRO_LEN + 1, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)c.year % 10000u, c.month % 100u,
             c.day % 100u, c.hour % 100u, c.minute % 100u, c.second % 100u, micro % 1000000u);
}

static bool digits(struct slice s, size_t at, size_t n, unsigned *ret)
{
    uint64_t v;
    if (s.n < at + n || !slice_to_u64(slice_of(s.p + at, n), &v))
        return false;
    *ret = (unsigned)v;
    return true;
}

static bool parse_civil(struct slice s, struct civil *c)
{
    unsigned year;
    if (s.n < 20 || !digits(s, 0, 4, &year) || s.p[4] != '-' || !digits(s, 5, 2, &c->month) || s.p[7] != '-' ||
        !digits(s, 8, 2, &c->day) || (s.p[10] != 'T' && s.p[10] != 't') || !digits(s, 11, 2, &c->hour) ||
        s.p[13] != ':' || !digits(s, 14, 2, &c->minute) || s.p[16] != ':' || !digits(s, 17, 2, &c->second))
        return false;
    c->year = year;
    return c->month >= 1 && c->month <= 12 && c->day >= 1 && c->day <= 31 && c->hour < 24 && c->minute < 60 &&
           c->second < 60;
}

/* Reads ".digits" at *at into nanoseconds; digits past the ninth are dropped. */
static bool parse_fraction(struct slice s, size_t *at, int64_t *ret)
{
    *ret = 0;
    if (s.p[*at] != '.')
        return true;
    size_t start = ++*at;
    int64_t unit = NS_PER_SEC / 10;
    for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at, unit /= 10)
        *ret += (s.p[*at] - '0') * unit;
    return *at > start && *at < s.n;
}

static bool parse_offset(struct slice s, size_t at, int64_t *ret_seconds)
{
    unsigned h, m;
    if (s.n - at == 1 && (s.p[at] == 'Z' || s.p[at] == 'z')) {
        *ret_seconds = 0;
        return true;
    }
    if (s.n - at != 6 || (s.p[at] != '+' && s.p[at] != '-') || !digits(s, at + 1, 2, &h) || s.p[at + 3] != ':' ||
        !digits(s, at + 4, 2, &m) || h > 23 || m > 59)
        return false;
    *ret_seconds = ((int64_t)h * 3600 + (int64_t)m * 60) * (s.p[at] == '-' ? -1 : 1);
    return true;
}

bool time_parse(struct slice s, int64_t *ret_ns)
{
    struct civil c;
    int64_t fraction, offset;
    size_t at = 19;
    if (!parse_civil(s, &c) || !parse_fraction(s, &at, &fraction) || !parse_offset(s, at, &offset))
        return false;
    int64_t secs = days_from_civil(c.year, c.month, c.day) * 86400 + (int64_t)c.hour * 3600 + (int64_t)c.minute * 60 +
                   c.second - offset;
    /* int64 nanoseconds reach from 1677 to 2262. */
    if (secs < -9223372036 || secs > 9223372035)
        return false;
    *ret_ns = secs * NS_PER_SEC + fraction;
    return true;
}

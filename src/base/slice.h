/* A slice: bytes that someone else owns, as pointer and length. Text in a slice is not NUL-terminated.
 * Passed by value. A slice is valid as long as what it points into; the header that hands one out says how long. */
#ifndef PINTLE_BASE_SLICE_H
#define PINTLE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
};

/* A slice of a string literal; usable in static initialisers as SLICE_INIT. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_INIT(literal)                                                                                            \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }
#define SLICE_NONE ((struct slice){NULL, 0})

/* For printf: printf("%" SLICE_FMT, SLICE_ARG(s)). */
#define SLICE_FMT    ".*s"
#define SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){(const char *)p, n};
}

/* A slice of a NUL-terminated string; NULL gives an empty slice. */
static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): where there are bytes there is a pointer */
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_eq_str(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

/* Byte order, shorter first: <0, 0, >0. */
int slice_cmp(struct slice a, struct slice b);
/* The same order of two struct slice, for qsort and bsearch. */
int slice_order(const void *a, const void *b);

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* What is left of s from byte `from` on (nothing, when from is past the end). */
static inline struct slice slice_from(struct slice s, size_t from)
{
    return from >= s.n ? SLICE_NONE : slice_of(s.p + from, s.n - from);
}

/* Splits s at the first c: what stands before it goes into *head, what follows into *tail; without c, *head is all
 * of s, *tail is empty and the answer is false. head and tail may alias s. */
bool slice_cut(struct slice s, char c, struct slice *head, struct slice *tail);
/* Case-insensitive (ASCII) equality. */
bool slice_ieq(struct slice a, struct slice b);
/* Without ASCII white space at both ends. */
struct slice slice_trim(struct slice s);
/* Decimal number without sign or with '-'; false when s is not wholly one or out of range. */
bool slice_to_i64(struct slice s, int64_t *ret);
bool slice_to_u64(struct slice s, uint64_t *ret);

#endif

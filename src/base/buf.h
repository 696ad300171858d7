/* A growable byte buffer with a limit that is named where it is made.
 *
 * Appending past the limit, or without memory, fails with -E2BIG or -ENOMEM; the failure sticks (buf_error), so a
 * writer may append many pieces and look once at the end. The bytes stay NUL-terminated behind their end, so that
 * buf.p can be used as a C string. Owned by one thread at a time. */
#ifndef PINTLE_BASE_BUF_H
#define PINTLE_BASE_BUF_H

#include <stdarg.h>

#include "base/slice.h"

struct buf {
    char *p;    /* NULL until the first append */
    size_t n;   /* bytes in use */
    size_t cap; /* bytes reserved, without the NUL */
    size_t max; /* limit in bytes */
    int error;  /* 0, or the first failure */
};

#define BUF_INIT(limit)                                                                                                \
    {                                                                                                                  \
        .max = (limit)                                                                                                 \
    }

static inline void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf)BUF_INIT(max);
}

/* Frees the bytes; the buffer can be used again. */
void buf_done(struct buf *b);
/* Forgets the bytes and the error, keeps the memory. */
void buf_clear(struct buf *b);
/* Makes room for n more bytes. 0, -E2BIG or -ENOMEM. */
int buf_reserve(struct buf *b, size_t n);
/* Appends; all return 0, -E2BIG or -ENOMEM, and do nothing once an error stuck. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_slice(struct buf *b, struct slice s);
int buf_add_str(struct buf *b, const char *s);
int buf_add_char(struct buf *b, char c);
int buf_add_u64(struct buf *b, uint64_t v);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Drops n bytes (≤ b->n) from the front. */
void buf_shift(struct buf *b, size_t n);

static inline int buf_error(const struct buf *b)
{
    return b->error;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->p, b->n);
}

#endif

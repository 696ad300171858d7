/* A blob: immutable bytes shared by reference. What is stored, served, listed and watched is a blob, so that bytes
 * are encoded once and never copied between those who send them.
 *
 * Filled by its maker before anyone else sees it, then never changed. References may be taken and dropped on any
 * thread. A chunk is a piece of a blob together with a reference to it. */
#ifndef PINTLE_BASE_BLOB_H
#define PINTLE_BASE_BLOB_H

#include <stdatomic.h>

#include "base/slice.h"

struct blob {
    atomic_uint refs;
    size_t n;     /* bytes */
    char bytes[]; /* NUL-terminated behind n */
};

/* A blob of n uninitialised bytes with one reference, or NULL when memory is short. */
struct blob *blob_new(size_t n);
/* A blob with a copy of s, or NULL. */
struct blob *blob_copy(struct slice s);
struct blob *blob_ref(struct blob *b);
/* NULL is fine. */
void blob_unref(struct blob *b);

static inline struct slice blob_slice(const struct blob *b)
{
    return b ? slice_of(b->bytes, b->n) : SLICE_NONE;
}

struct chunk {
    struct blob *blob; /* one reference, or NULL when the bytes are static */
    const char *p;
    size_t n;
};

/* A chunk of the whole blob; takes over the caller's reference. */
static inline struct chunk chunk_take(struct blob *b)
{
    return (struct chunk){b, b->bytes, b->n};
}

/* A chunk of part of the blob; adds a reference. */
static inline struct chunk chunk_part(struct blob *b, size_t off, size_t n)
{
    return (struct chunk){blob_ref(b), b->bytes + off, n};
}

/* A chunk of bytes that live for ever, such as a literal. */
static inline struct chunk chunk_static(struct slice s)
{
    return (struct chunk){NULL, s.p, s.n};
}

#endif

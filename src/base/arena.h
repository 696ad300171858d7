/* An arena: many small pieces that die together, one for each request or decoded document.
 *
 * Pieces are never freed one by one. Allocation fails (NULL) past the limit or without memory, and the failure
 * sticks, so that a long computation may look at arena_error once. Owned by one thread at a time. */
#ifndef PINTLE_BASE_ARENA_H
#define PINTLE_BASE_ARENA_H

#include "base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    char *at, *end;             /* free part of the newest block */
    size_t used;                /* bytes handed out */
    size_t max;                 /* limit in bytes */
    int error;                  /* 0, -E2BIG or -ENOMEM */
};

/* max: the most bytes the arena may hand out. */
void arena_init(struct arena *a, size_t max);
/* Frees all pieces; the arena can be used again. */
void arena_done(struct arena *a);
/* n bytes aligned for any type, or NULL. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
/* A copy, NUL-terminated behind its end; p is NULL on failure. */
struct slice arena_copy(struct arena *a, struct slice s);
/* Formatted text, NUL-terminated; "" (not NULL) on failure. */
const char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* n zeroed bytes for small state of our own, such as a request's: never NULL, and given even past the limit, so that a
 * hostile request runs into the limit with its data and not with our bookkeeping. */
void *arena_always(struct arena *a, size_t n);

#define arena_state(a, type) ((type *)arena_always((a), sizeof(type)))
#define arena_new(a, type)   ((type *)arena_zalloc((a), sizeof(type)))

static inline int arena_error(const struct arena *a)
{
    return a->error;
}

#endif

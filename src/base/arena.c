#include "base/arena.h"

#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

enum { BLOCK_MIN = 4096, BLOCK_MAX = 256 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void arena_done(struct arena *a)
{
    struct arena_block *next;
    for (struct arena_block *b = a->blocks; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    arena_init(a, a->max);
}

static int add_block(struct arena *a, size_t need)
{
    size_t size = a->at ? a->blocks->size * 2 : BLOCK_MIN;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    if (size < need)
        size = need;
    struct arena_block *b = mem_try(sizeof *b + size);
    if (!b)
        return -ENOMEM;
    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->at = b->bytes;
    a->end = b->bytes + size;
    return 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (a->error)
        return NULL;
    if (n > a->max || a->used > a->max - n) {
        a->error = -E2BIG;
        return NULL;
    }
    size_t size = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!a->at || (size_t)(a->end - a->at) < size) {
        a->error = add_block(a, size);
        if (a->error)
            return NULL;
    }
    void *p = a->at;
    a->at += size;
    a->used += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_always(struct arena *a, size_t n)
{
    struct arena_block *b = mem_zalloc(sizeof *b + n);
    b->size = n;
    /* Behind the newest, whose free part is still in use. */
    if (a->blocks) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        a->blocks = b;
    }
    return b->bytes;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return SLICE_NONE;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return slice_of(p, s.n);
}

const char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p ? p : "";
}

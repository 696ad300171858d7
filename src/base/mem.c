#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Test hook only: counts down to the allocation that is to fail. */
static _Atomic long fail_countdown;
static atomic_bool fail_happened;

void mem_fail_at(long nth)
{
    if (nth)
        atomic_store(&fail_happened, false);
    atomic_store(&fail_countdown, nth);
}

bool mem_failed(void)
{
    return atomic_load(&fail_happened);
}

static bool fails_now(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)
        return false;
    if (atomic_fetch_sub(&fail_countdown, 1) != 1)
        return false;
    atomic_store(&fail_happened, true);
    return true;
}

void *mem_try(size_t n)
{
    return fails_now() ? NULL : malloc(n ? n : 1);
}

void *mem_try_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : realloc(p, n ? n : 1);
}

static void *or_die(void *p, size_t n)
{
    if (p)
        return p;
    fprintf(stderr, "pintle: out of memory asking for %zu bytes; stopping, a restart recovers from the log\n", n);
    abort();
}

void *mem_alloc(size_t n)
{
    return or_die(malloc(n ? n : 1), n);
}

void *mem_zalloc(size_t n)
{
    return or_die(calloc(1, n ? n : 1), n);
}

void *mem_dup(const void *p, size_t n)
{
    void *copy = mem_alloc(n);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

char *mem_strndup(const char *p, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

void mem_free(void *p)
{
    free(p);
}

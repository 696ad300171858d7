/* Memory: the only place, beside the loop, that asks the C library for memory.
 *
 * Two families, by who chose the size:
 *  - mem_try, mem_try_realloc: the size comes from a client, a peer or a file. They return NULL when memory is
 *    short, and the caller answers with an error.
 *  - mem_alloc, mem_zalloc, mem_new: small pieces of our own state. There is no useful way on without them, and a
 *    replica that is started again recovers from its log, so they stop the process with one plain line.
 *
 * Tests make the Nth mem_try fail with mem_fail_at(), N = 1, 2, … until a run finishes without a failure.
 * Any thread. */
#ifndef PINTLE_BASE_MEM_H
#define PINTLE_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* n bytes (n ≥ 0), uninitialised, or NULL when memory is short. */
void *mem_try(size_t n);
/* Like realloc: p may be NULL. On NULL the old block is still valid. */
void *mem_try_realloc(void *p, size_t n);
/* n bytes, uninitialised; never NULL: stops the process instead. */
void *mem_alloc(size_t n) __attribute__((returns_nonnull));
/* n zeroed bytes; never NULL. */
void *mem_zalloc(size_t n) __attribute__((returns_nonnull));
/* A copy of n bytes of p; never NULL. */
void *mem_dup(const void *p, size_t n) __attribute__((returns_nonnull));
/* A NUL-terminated copy of n bytes of p; never NULL. */
char *mem_strndup(const char *p, size_t n) __attribute__((returns_nonnull));
/* Frees what any of the above returned; NULL is fine. */
void mem_free(void *p);

/* A zeroed object of a type; never NULL. */
#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))

/* Test hook: the nth mem_try from now on (1 = the next) fails once; 0 switches it off. */
void mem_fail_at(long nth);
/* Whether the failure asked for by mem_fail_at has happened. */
bool mem_failed(void);

#endif

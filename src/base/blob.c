#include "base/blob.h"

#include "base/mem.h"

struct blob *blob_new(size_t n)
{
    struct blob *b = n > SIZE_MAX - sizeof *b - 1 ? NULL : mem_try(sizeof *b + n + 1);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->n = n;
    b->bytes[n] = '\0';
    return b;
}

struct blob *blob_copy(struct slice s)
{
    struct blob *b = blob_new(s.n);
    if (b && s.n)
        memcpy(b->bytes, s.p, s.n);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    if (b)
        atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void blob_unref(struct blob *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        mem_free(b);
}

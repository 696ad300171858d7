#include "net/chunkq.h"

#include <errno.h>

#include "base/mem.h"

void chunkq_init(struct chunkq *q)
{
    *q = (struct chunkq){0};
}

void chunkq_done(struct chunkq *q)
{
    for (size_t i = 0; i < q->n; i++)
        blob_unref(q->items[q->head + i].blob);
    mem_free(q->items);
    blob_unref(q->tail);
    chunkq_init(q);
}

static int make_room(struct chunkq *q)
{
    if (q->head + q->n < q->cap)
        return 0;
    if (q->head > q->cap / 2) {
        memmove(q->items, q->items + q->head, q->n * sizeof *q->items);
        q->head = 0;
        return 0;
    }
    size_t cap = q->cap ? q->cap * 2 : 16;
    struct chunk *items = mem_try_realloc(q->items, cap * sizeof *items);
    if (!items)
        return q->error = -ENOMEM;
    q->items = items;
    q->cap = cap;
    return 0;
}

static int append(struct chunkq *q, struct chunk c)
{
    int rv = q->error ? q->error : make_room(q);
    if (rv) {
        blob_unref(c.blob);
        return rv;
    }
    q->items[q->head + q->n++] = c;
    q->bytes += c.n;
    return 0;
}

int chunkq_push(struct chunkq *q, struct chunk c)
{
    if (c.n >= CHUNKQ_SMALL)
        return append(q, c);
    int rv = chunkq_copy(q, c.p, c.n);
    blob_unref(c.blob);
    return rv;
}

static bool ends_in_tail(const struct chunkq *q)
{
    if (q->n == 0 || !q->tail)
        return false;
    const struct chunk *last = &q->items[q->head + q->n - 1];
    return last->blob == q->tail && last->p + last->n == q->tail->bytes + q->tail_used;
}

static int new_tail(struct chunkq *q)
{
    blob_unref(q->tail);
    q->tail_used = 0;
    q->tail = blob_new(q->bytes < CHUNKQ_FIRST ? CHUNKQ_FIRST : CHUNKQ_BLOCK);
    return q->tail ? 0 : (q->error = -ENOMEM);
}

int chunkq_copy(struct chunkq *q, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0 && !q->error) {
        if ((!q->tail || q->tail_used == q->tail->n) && new_tail(q))
            break;
        size_t take = q->tail->n - q->tail_used;
        take = take < n ? take : n;
        memcpy(q->tail->bytes + q->tail_used, at, take);
        if (ends_in_tail(q)) {
            q->items[q->head + q->n - 1].n += take;
            q->bytes += take;
        } else if (append(q, chunk_part(q->tail, q->tail_used, take))) {
            break;
        }
        q->tail_used += take;
        at += take;
        n -= take;
    }
    return q->error;
}

const struct chunk *chunkq_chunks(const struct chunkq *q, size_t *ret_n)
{
    *ret_n = q->n;
    return q->items ? q->items + q->head : NULL;
}

void chunkq_forget(struct chunkq *q)
{
    q->head = q->n = q->bytes = 0;
    blob_unref(q->tail);
    q->tail = NULL;
}

void chunkq_drop(struct chunkq *q, size_t n)
{
    q->bytes -= n;
    while (n > 0) {
        struct chunk *c = &q->items[q->head];
        if (c->n > n) {
            c->p += n;
            c->n -= n;
            break;
        }
        n -= c->n;
        blob_unref(c->blob);
        q->head++;
        q->n--;
    }
    if (q->n == 0)
        q->head = 0;
}

int chunkq_move(struct chunkq *to, struct chunkq *from, size_t n)
{
    while (n > 0 && !to->error) {
        const struct chunk *c = &from->items[from->head];
        size_t take = c->n < n ? c->n : n;
        chunkq_push(to, (struct chunk){blob_ref(c->blob), c->p, take});
        chunkq_drop(from, take);
        n -= take;
    }
    return to->error;
}

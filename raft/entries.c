#include "raft/entries.h"

#include "base/mem.h"

enum { ENTRIES_FIRST_CAP = 1024 };

void entries_init(struct entries *e, uint64_t first)
{
    *e = (struct entries){.first = first};
}

static void drop(struct entries *e, struct entry *entry)
{
    e->bytes -= entry->chunk.n;
    blob_unref(entry->chunk.blob);
}

void entries_reset(struct entries *e, uint64_t first)
{
    for (size_t i = 0; i < e->n; i++)
        drop(e, &e->at[e->head + i]);
    e->head = e->n = 0;
    e->first = first;
}

void entries_done(struct entries *e)
{
    entries_reset(e, 1);
    mem_free(e->at);
    *e = (struct entries){.first = 1};
}

const struct entry *entries_get(const struct entries *e, uint64_t index)
{
    if (index < e->first || index - e->first >= e->n)
        return NULL;
    return &e->at[e->head + (index - e->first)];
}

uint64_t entries_term(const struct entries *e, uint64_t index)
{
    const struct entry *entry = entries_get(e, index);
    return entry ? entry->term : 0;
}

static void make_room(struct entries *e)
{
    if (e->head + e->n < e->cap)
        return;
    if (e->head > e->n) { /* more than half is behind us */
        memmove(e->at, e->at + e->head, e->n * sizeof(*e->at));
        e->head = 0;
        return;
    }
    size_t cap = e->cap ? e->cap * 2 : ENTRIES_FIRST_CAP;
    struct entry *at = mem_alloc(cap * sizeof(*at));
    if (e->n)
        memcpy(at, e->at + e->head, e->n * sizeof(*at));
    mem_free(e->at);
    e->at = at;
    e->head = 0;
    e->cap = cap;
}

void entries_put(struct entries *e, uint64_t index, const struct entry *entry)
{
    while (e->n && entries_last(e) >= index)
        drop(e, &e->at[e->head + --e->n]);
    make_room(e);
    e->at[e->head + e->n++] = *entry;
    e->bytes += entry->chunk.n;
}

void entries_cut(struct entries *e, uint64_t index)
{
    while (e->n && e->first <= index) {
        drop(e, &e->at[e->head++]);
        e->n--;
        e->first++;
    }
    if (e->n == 0)
        e->head = 0;
}

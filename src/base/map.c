#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

enum { MAP_MIN = 8 };

void map_init(struct map *m, uint64_t seed)
{
    *m = (struct map){.seed = seed};
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->used; i++)
        mem_free((char *)m->entries[i].key.p);
    mem_free(m->entries);
    mem_free(m->slots);
    map_init(m, m->seed);
}

/* The slot that holds the key, or the first free one of its run. */
static size_t find_slot(const struct map *m, struct slice key)
{
    size_t mask = m->cap * 2 - 1;
    size_t at = (size_t)hash64(key, m->seed) & mask;
    for (; m->slots[at]; at = (at + 1) & mask)
        if (slice_eq(m->entries[m->slots[at] - 1].key, key))
            break;
    return at;
}

/* Makes room for one more entry, leaving out the holes. */
static void rehash(struct map *m)
{
    struct map old = *m;
    m->cap = MAP_MIN;
    while (m->cap < old.n * 2 + 1)
        m->cap *= 2;
    m->entries = mem_alloc(m->cap * sizeof *m->entries);
    m->slots = mem_zalloc(m->cap * 2 * sizeof *m->slots);
    m->used = 0;
    for (size_t i = 0; i < old.used; i++) {
        if (!old.entries[i].value) {
            mem_free((char *)old.entries[i].key.p);
            continue;
        }
        m->entries[m->used++] = old.entries[i];
        m->slots[find_slot(m, old.entries[i].key)] = (uint32_t)m->used;
    }
    mem_free(old.entries);
    mem_free(old.slots);
}

void *map_get(const struct map *m, struct slice key)
{
    if (m->n == 0)
        return NULL;
    uint32_t i = m->slots[find_slot(m, key)];
    return i ? m->entries[i - 1].value : NULL;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    if (m->cap) {
        uint32_t i = m->slots[find_slot(m, key)];
        if (i) {
            void *old = m->entries[i - 1].value;
            m->entries[i - 1].value = value;
            m->n += !old;
            return old;
        }
    }
    if (m->used == m->cap)
        rehash(m);
    m->entries[m->used] = (struct map_entry){slice_of(mem_strndup(key.p, key.n), key.n), value};
    m->slots[find_slot(m, key)] = (uint32_t)m->used + 1;
    m->used++;
    m->n++;
    return NULL;
}

void *map_del(struct map *m, struct slice key)
{
    if (m->n == 0)
        return NULL;
    uint32_t i = m->slots[find_slot(m, key)];
    if (!i)
        return NULL;
    void *old = m->entries[i - 1].value;
    m->entries[i - 1].value = NULL; /* the key stays as a hole until the next rehash */
    m->n -= old != NULL;
    return old;
}

static struct map_entry *skip_holes(const struct map *m, size_t i)
{
    while (i < m->used && !m->entries[i].value)
        i++;
    return i < m->used ? &m->entries[i] : NULL;
}

struct map_entry *map_first(const struct map *m)
{
    return skip_holes(m, 0);
}

struct map_entry *map_next(const struct map *m, const struct map_entry *e)
{
    return skip_holes(m, (size_t)(e - m->entries) + 1);
}

/* A hash map from byte strings to pointers that iterates in insertion order, so that what is derived from an
 * iteration is the same on every run and every replica.
 *
 * Keys are copied. Values are the caller's. Hashing is seeded per map by its maker where keys come from clients
 * (map_init's seed), so that nobody can aim for collisions. Owned by one thread at a time. */
#ifndef PINTLE_BASE_MAP_H
#define PINTLE_BASE_MAP_H

#include "base/slice.h"

struct map_entry {
    struct slice key; /* owned by the map */
    void *value;      /* NULL marks a removed entry: skip it */
};

struct map {
    struct map_entry *entries; /* in insertion order, with holes */
    uint32_t *slots;           /* entry number + 1, or 0; open addressing */
    size_t n;                  /* live entries */
    size_t used;               /* entries with holes */
    size_t cap;                /* of entries; slots has twice as many */
    uint64_t seed;
};

/* seed: any number; 0 where keys are our own. */
void map_init(struct map *m, uint64_t seed);
/* Frees the map, not the values. */
void map_done(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, struct slice key);
/* Adds or replaces; returns the value replaced, or NULL. value must not be NULL. */
void *map_put(struct map *m, struct slice key, void *value);
/* Removes; returns the value removed, or NULL. */
void *map_del(struct map *m, struct slice key);

/* for (struct map_entry *e = map_first(m); e; e = map_next(m, e)); removing the current entry is allowed, adding
 * is not. */
struct map_entry *map_first(const struct map *m);
struct map_entry *map_next(const struct map *m, const struct map_entry *e);

#endif

/* What the files of the store share; nobody else includes this. */
#ifndef PINTLE_STORE_INTERNAL_H
#define PINTLE_STORE_INTERNAL_H

#include "base/map.h"
#include "codec/pack.h"
#include "store/store.h"

struct store_table {
    struct slice name;
    struct tree_node *root;
    uint64_t revision; /* newest change */
    /* Event ring: sequence numbers [first_seq, next_seq) live at seq % cap. */
    struct store_event *events;
    size_t cap; /* a power of two, or 0 */
    uint64_t first_seq, next_seq;
    struct list watches;
    bool dirty; /* changed since the last store_notify */
};

/* Something that expires; entries of objects that changed since are skipped when they come up. */
struct expiry {
    uint64_t due_ms;
    uint64_t mod_revision;
    struct store_table *table;
    struct store_item *item; /* a reference */
};

struct store {
    struct map tables; /* name → struct store_table */
    uint64_t revision, compacted, hash, time_ms;
    unsigned format; /* in force */
    size_t bytes, window_bytes, window_events;
    struct expiry *heap; /* binary heap by due_ms, then mod_revision */
    size_t heap_n, heap_cap;
    struct map requests;        /* request id → revision + 1 as a pointer */
    struct slice *request_ring; /* STORE_REQUESTS_MAX ids in order of arrival */
    uint64_t request_next;
    struct pack_reader *reader;
};

/* What an item counts in store->bytes. */
static inline size_t item_bytes(const struct store_item *i)
{
    return i->value->n + i->key_len + i->attrs_len + sizeof *i;
}

enum { STORE_DOCUMENT_MAX = 64 << 20 }; /* bytes of one document of a snapshot */

/* A snapshot being read, document by document (frozen.c tells what they are). */
struct source {
    struct store *store;
    struct pack_reader *reader;
    int (*read)(void *ctx, void *p, size_t n);
    void *ctx;
    char *doc;
    size_t cap;
    const struct pack_value *value; /* the newest document */
};

/* 0, -EBADMSG, -ENOMEM or read's error. */
int document_next(struct source *r);

static inline struct store_event *event_at(const struct store_table *t, uint64_t seq)
{
    return &t->events[seq & (t->cap - 1)];
}

/* First sequence number whose event is newer than revision. */
uint64_t event_seq_after(const struct store_table *t, uint64_t revision);
/* Appends an event, taking over the references of now and before. */
void event_push(struct store *s, struct store_table *t, const struct store_event *e);
/* Drops events up to and including revision from all tables. */
void events_compact(struct store *s, uint64_t revision);
void event_clear(struct store_event *e);
void expiry_push(struct store *s, struct store_table *t, struct store_item *item);
void expiry_clear(struct store *s);
void request_remember(struct store *s, struct slice id, uint64_t revision);
void store_reset(struct store *s);

#endif

/* What the files of the store share; nobody else includes this. */
#ifndef PINTLE_STORE_INTERNAL_H
#define PINTLE_STORE_INTERNAL_H

#include "base/map.h"
#include "codec/pack.h"
#include "store/store.h"

enum { EVENTS_PER_BLOCK = 64 };

/* Events are kept in blocks that frozen states share. A place in a block is written once; a frozen state looks only at
 * those that were filled when it was made. What is compacted is cleared at once unless somebody shares the block: then
 * it goes with the block. */
struct event_block {
    unsigned refs; /* counted on the state loop's thread */
    struct store_event events[EVENTS_PER_BLOCK];
};

struct store_table {
    struct slice name;
    struct tree_node *root;
    uint64_t revision;  /* newest change */
    uint64_t compacted; /* what was compacted of this table alone; what counts is table_compacted() */
    /* Events have sequence numbers [first_seq, next_seq); block number seq / EVENTS_PER_BLOCK is in blocks[number % cap].
     * Only blocks that hold an event of these are there. */
    struct event_block **blocks;
    size_t cap; /* a power of two, or 0 */
    uint64_t first_seq, next_seq;
    struct list watches;
    size_t window_bytes; /* held only by its events */
    bool dirty;          /* changed since the last store_notify */
};

/* Something that expires; entries of objects that changed since are skipped when they come up. */
struct expiry {
    uint64_t due_ms;
    uint64_t mod_revision;
    struct store_table *table;
    struct store_item *item; /* a reference */
};

/* Flat, so that freezing copies them in one go. */
struct request {
    uint64_t revision;
    unsigned char n; /* 0 = an empty place */
    char id[STORE_REQUEST_ID_MAX];
};

struct store {
    struct map tables; /* name → struct store_table */
    uint64_t revision, compacted, hash, time_ms;
    unsigned format; /* in force */
    size_t bytes, window_bytes, window_events;
    struct expiry *heap; /* binary heap by due_ms, then mod_revision */
    size_t heap_n, heap_cap;
    struct map requests;          /* request id → revision + 1 as a pointer */
    struct request *request_ring; /* request_cap slots for ids in order of arrival; the newest STORE_REQUESTS_MAX */
    size_t request_cap;
    uint64_t request_next;
    struct blob *actor;  /* of the newest transaction that named one: most name the same as the one before */
    struct blob *acting; /* of the command being applied: actor or NULL */
    struct pack_reader *reader;
    struct store_check check; /* the newest one's outcome */
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
    return &t->blocks[seq / EVENTS_PER_BLOCK & (t->cap - 1)]->events[seq % EVENTS_PER_BLOCK];
}

static inline uint64_t table_compacted(const struct store *s, const struct store_table *t)
{
    return t->compacted > s->compacted ? t->compacted : s->compacted;
}

/* ---- events.c ---- */
/* First sequence number whose event is newer than revision. */
uint64_t event_seq_after(const struct store_table *t, uint64_t revision);
/* Appends an event, taking over the references of now, before and actor. */
void event_push(struct store *s, struct store_table *t, const struct store_event *e);
/* Drops events up to and including revision from all tables. */
void events_compact(struct store *s, uint64_t revision);
/* Drops events up to and including revision from one table. */
void events_trim(struct store *s, struct store_table *t, uint64_t revision);
/* Drops all events. */
void events_reset(struct store_table *t);
size_t events_blocks(const struct store_table *t);
/* Drops a reference to a block; the last one frees it. */
void event_block_unref(struct event_block *b);

/* ---- check.c ---- */
void state_check(struct store *s, struct slice table, struct slice key, struct store_check *ret);

/* ---- store.c ---- */
void expiry_push(struct store *s, struct store_table *t, struct store_item *item);
void expiry_clear(struct store *s);
void request_remember(struct store *s, struct slice id, uint64_t revision);
void store_reset(struct store *s);

#endif

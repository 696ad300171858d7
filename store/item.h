/* One stored object at one revision: immutable, shared by the tree, the event window, snapshots and answers.
 *
 * value is the object's complete JSON, resourceVersion filled in: the bytes that GET, LIST and WATCH send. attrs are
 * the
 * labels and selectable fields, taken out once by the proposer, so that selecting needs no decoding.
 *
 * References are counted on the state loop's thread only; the value blob may be referenced from any thread. */
#ifndef PINTLE_STORE_ITEM_H
#define PINTLE_STORE_ITEM_H

#include "base/blob.h"

enum store_attr_kind { STORE_ATTR_LABEL = 'l', STORE_ATTR_FIELD = 'f' };

struct store_item {
    unsigned refs;
    unsigned type_len; /* bytes of value before the first member after kind and apiVersion */
    uint64_t create_revision;
    uint64_t mod_revision;
    uint64_t expires_ms; /* cluster time; 0 = never */
    struct blob *value;
    unsigned key_len, attrs_len;
    uint32_t sum; /* of key, attrs and value, as they were made: finds memory that changed behind our back */
    char data[];  /* key, then encoded attrs */
};

static inline struct slice item_key(const struct store_item *i)
{
    return slice_of(i->data, i->key_len);
}

static inline struct slice item_attrs(const struct store_item *i)
{
    return slice_of(i->data + i->key_len, i->attrs_len);
}

/* Takes over the caller's reference to value. */
struct store_item *item_new(struct slice key, struct slice attrs, struct blob *value, unsigned type_len);
static inline struct store_item *item_ref(struct store_item *i)
{
    if (i)
        i->refs++;
    return i;
}
/* Whether the item still is what it was made as. Any thread that holds it. */
bool item_intact(const struct store_item *i);
/* NULL is fine. */
void item_unref(struct store_item *i);

/* value with `"resourceVersion":"N",` put in at hole (≤ value.n), or NULL when memory is short. */
struct blob *item_fill_revision(struct slice value, uint32_t hole, uint64_t revision);
/* A copy of an item whose JSON carries another revision: the last state of a deleted object has the deletion's. */
struct store_item *item_at_revision(const struct store_item *last, uint64_t revision);

struct buf;
/* Appends one attribute; keys and values are at most 64 KiB - 1 bytes long (longer values are cut). */
int attrs_add(struct buf *attrs, enum store_attr_kind kind, struct slice key, struct slice value);
/* The attribute's value; p is NULL when absent or attrs is malformed. */
struct slice attrs_get(struct slice attrs, enum store_attr_kind kind, struct slice key);

#endif

/* Checks: is the state here what it is elsewhere, and what it was when it was written?
 *
 * Two questions, for two kinds of damage. The chain of changes (store_hash) says whether all replicas did the same with
 * the same commands; it says nothing of what memory or a snapshot made of the objects since. So a check also reads
 * items,
 * some with each check, in the order of table names and keys, until all were read and it begins anew. An item that does
 * not fit the sum it was made with is damaged, and the replica knows without asking anybody. What was wrong from the
 * start (a snapshot that was altered, a fault in applying) fits its sum, but not the other replicas' digests. */
#include "base/hash.h"
#include "store/internal.h"

/* The first table, by name, with items and with a name ≥ from (> from: after). Tables are in order of creation, which
 * readers cause too: it differs between replicas. */
static const struct store_table *next_table(const struct store *s, struct slice from, bool after)
{
    const struct store_table *best = NULL, *t;
    for (size_t i = 0; (t = store_table_at(s, i)); i++) {
        int order = slice_cmp(t->name, from);
        if (t->root && (order > 0 || (order == 0 && !after)) && (!best || slice_cmp(t->name, best->name) < 0))
            best = t;
    }
    return best;
}

static void check_item(const struct store_item *i, struct store_check *c)
{
    const uint64_t fixed[] = {i->sum, i->create_revision, i->mod_revision, i->expires_ms};
    c->damaged = c->damaged || !item_intact(i);
    for (size_t n = 0; n < sizeof fixed / sizeof *fixed; n++)
        c->digest = (c->digest ^ fixed[n]) * 0x9e3779b97f4a7c15u ^ c->digest >> 29;
    c->items++;
    c->bytes += i->value->n + i->key_len + i->attrs_len;
}

/* False when the check has read enough: it stopped behind c->key. */
static bool check_table(const struct store_table *t, struct slice from, struct store_check *c)
{
    struct tree_iter it;
    c->digest = hash64(t->name, c->digest + tree_count(t->root));
    tree_iter_init(&it, t->root, from);
    for (struct store_item *i; (i = tree_iter_next(&it));) {
        if (slice_eq(item_key(i), from))
            continue; /* was the last of the check before */
        check_item(i, c);
        if (c->bytes < STORE_CHECK_BYTES || i->key_len > sizeof c->key)
            continue;
        c->table = t->name;
        c->key_n = i->key_len;
        memcpy(c->key, i->data, i->key_len);
        return false;
    }
    return true;
}

void state_check(struct store *s, struct slice table, struct slice key, struct store_check *ret)
{
    const uint64_t fixed[] = {s->hash, s->revision, s->compacted, s->time_ms};
    *ret = (struct store_check){.done = true};
    for (size_t n = 0; n < sizeof fixed / sizeof *fixed; n++)
        ret->digest = (ret->digest ^ fixed[n]) * 0x9e3779b97f4a7c15u ^ ret->digest >> 29;
    const struct store_table *t = next_table(s, table, false);
    while (t && check_table(t, slice_eq(t->name, table) ? key : SLICE_NONE, ret))
        t = next_table(s, t->name, true);
    ret->digest = hash64(slice_of(ret->key, ret->key_n), ret->digest);
}

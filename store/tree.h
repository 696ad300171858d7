/* A copy-on-write B-tree of store items, ordered by key. A tree is just its root: holding a reference to a root is
 * holding a consistent snapshot, in O(1), for as long as one likes. A change copies only the nodes that somebody else
 * holds too, so that without snapshots it changes in place.
 *
 * Reference counts are plain: all functions run on the state loop's thread; another thread may read (only read) a root
 * that the state loop holds for it. */
#ifndef PINTLE_STORE_TREE_H
#define PINTLE_STORE_TREE_H

#include "base/slice.h"

struct store_item;
struct tree_node;

enum { TREE_DEPTH_MAX = 16 };

/* The item with this key, or NULL. No reference is added. NULL is the empty tree. */
struct store_item *tree_get(const struct tree_node *root, struct slice key);
/* Puts an item (taking over the caller's reference) and returns the one it replaces (whose reference is the caller's
 * now), or NULL. *root is the caller's and is replaced. */
struct store_item *tree_put(struct tree_node **root, struct store_item *item);
/* Removes; returns the item removed, whose reference is the caller's now, or NULL. */
struct store_item *tree_del(struct tree_node **root, struct slice key);
size_t tree_count(const struct tree_node *root);
struct tree_node *tree_ref(struct tree_node *root);
void tree_unref(struct tree_node *root);
/* Dropping what only one snapshot holds may free the whole tree: tree_unref_later puts what is to be freed on a pile,
 * tree_reap frees at most *n nodes of it and counts *n down. */
void tree_unref_later(struct tree_node *root, struct tree_node **pile);
void tree_reap(struct tree_node **pile, size_t *n);
/* Items with key < the one given. */
size_t tree_rank(const struct tree_node *root, struct slice key);

struct tree_iter {
    struct {
        const struct tree_node *node;
        unsigned at;
    } path[TREE_DEPTH_MAX];
    unsigned depth;
};

/* Stands before the first item with key ≥ from. The root must stay referenced while iterating. */
void tree_iter_init(struct tree_iter *it, const struct tree_node *root, struct slice from);
/* The next item in key order, or NULL at the end. */
struct store_item *tree_iter_next(struct tree_iter *it);

#endif

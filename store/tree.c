#include "store/tree.h"

#include "base/mem.h"
#include "store/item.h"

/* Nodes but the root hold MIN to MAX items. 31 keeps a node's item pointers in four cache lines. */
enum { MIN_ITEMS = 15, MAX_ITEMS = 2 * MIN_ITEMS + 1 };

struct tree_node {
    unsigned refs;
    unsigned short n;
    bool leaf;
    union {
        size_t count;           /* items in this subtree */
        struct tree_node *next; /* dead: in the pile to be freed */
    };
    struct store_item *items[MAX_ITEMS];
    struct tree_node *children[]; /* MAX_ITEMS + 1, when no leaf */
};

static struct tree_node *node_new(bool leaf)
{
    size_t n = sizeof(struct tree_node) + (leaf ? 0 : (MAX_ITEMS + 1) * sizeof(struct tree_node *));
    struct tree_node *node = mem_alloc(n);
    node->refs = 1;
    node->n = 0;
    node->leaf = leaf;
    node->count = 0;
    return node;
}

struct tree_node *tree_ref(struct tree_node *root)
{
    if (root)
        root->refs++;
    return root;
}

void tree_unref(struct tree_node *root)
{
    if (!root || --root->refs)
        return;
    for (unsigned i = 0; i < root->n; i++)
        item_unref(root->items[i]);
    if (!root->leaf)
        for (unsigned i = 0; i <= root->n; i++)
            tree_unref(root->children[i]);
    mem_free(root);
}

void tree_unref_later(struct tree_node *root, struct tree_node **pile)
{
    if (!root || --root->refs)
        return;
    root->next = *pile;
    *pile = root;
}

void tree_reap(struct tree_node **pile, size_t *n)
{
    for (; *pile && *n; (*n)--) {
        struct tree_node *node = *pile;
        *pile = node->next;
        for (unsigned i = 0; i < node->n; i++)
            item_unref(node->items[i]);
        for (unsigned i = 0; !node->leaf && i <= node->n; i++)
            tree_unref_later(node->children[i], pile);
        mem_free(node);
    }
}

/* Makes *slot a node that nobody else holds. */
static struct tree_node *own(struct tree_node **slot)
{
    struct tree_node *old = *slot;
    if (old->refs == 1)
        return old;
    struct tree_node *copy = node_new(old->leaf);
    copy->n = old->n;
    copy->count = old->count;
    for (unsigned i = 0; i < old->n; i++)
        copy->items[i] = item_ref(old->items[i]);
    if (!old->leaf)
        for (unsigned i = 0; i <= old->n; i++)
            copy->children[i] = tree_ref(old->children[i]);
    old->refs--;
    return *slot = copy;
}

/* First place whose key is ≥ key; *found says whether it is equal. */
static unsigned search(const struct tree_node *node, struct slice key, bool *found)
{
    unsigned lo = 0, hi = node->n;
    *found = false;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int order = slice_cmp(item_key(node->items[mid]), key);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct store_item *tree_get(const struct tree_node *root, struct slice key)
{
    for (const struct tree_node *node = root; node;) {
        bool found;
        unsigned at = search(node, key, &found);
        if (found)
            return node->items[at];
        node = node->leaf ? NULL : node->children[at];
    }
    return NULL;
}

size_t tree_count(const struct tree_node *root)
{
    return root ? root->count : 0;
}

static void recount(struct tree_node *node)
{
    node->count = node->n;
    if (!node->leaf)
        for (unsigned i = 0; i <= node->n; i++)
            node->count += node->children[i]->count;
}

static void shift_items(struct tree_node *node, unsigned from, unsigned to, unsigned n)
{
    memmove(node->items + to, node->items + from, n * sizeof *node->items);
}

static void shift_children(struct tree_node *node, unsigned from, unsigned to, unsigned n)
{
    memmove(node->children + to, node->children + from, n * sizeof *node->children);
}

/* Splits the full child `at` of an owned parent that has room. */
static void split_child(struct tree_node *parent, unsigned at)
{
    struct tree_node *left = own(&parent->children[at]);
    struct tree_node *right = node_new(left->leaf);
    right->n = MIN_ITEMS;
    memcpy(right->items, left->items + MIN_ITEMS + 1, MIN_ITEMS * sizeof *right->items);
    if (!left->leaf)
        memcpy(right->children, left->children + MIN_ITEMS + 1, (MIN_ITEMS + 1) * sizeof *right->children);
    left->n = MIN_ITEMS;
    recount(left);
    recount(right);
    shift_items(parent, at, at + 1, parent->n - at);
    shift_children(parent, at + 1, at + 2, parent->n - at);
    parent->items[at] = left->items[MIN_ITEMS];
    parent->children[at + 1] = right;
    parent->n++;
}

static struct store_item *put_below(struct tree_node *node, struct store_item *item)
{
    bool found;
    unsigned at = search(node, item_key(item), &found);
    if (found) {
        struct store_item *old = node->items[at];
        node->items[at] = item;
        return old;
    }
    if (node->leaf) {
        shift_items(node, at, at + 1, node->n - at);
        node->items[at] = item;
        node->n++;
        node->count++;
        return NULL;
    }
    if (node->children[at]->n == MAX_ITEMS) {
        split_child(node, at);
        int order = slice_cmp(item_key(node->items[at]), item_key(item));
        if (order == 0) {
            struct store_item *old = node->items[at];
            node->items[at] = item;
            return old;
        }
        at += order < 0;
    }
    struct store_item *old = put_below(own(&node->children[at]), item);
    node->count += !old;
    return old;
}

struct store_item *tree_put(struct tree_node **root, struct store_item *item)
{
    if (!*root)
        *root = node_new(true);
    struct tree_node *top = own(root);
    if (top->n == MAX_ITEMS) {
        struct tree_node *grown = node_new(false);
        grown->children[0] = top;
        grown->count = top->count;
        *root = grown;
        split_child(grown, 0);
        top = grown;
    }
    return put_below(top, item);
}

/* Moves the separator at `at` down, and the right child's items behind it, into the left child. */
static void merge_children(struct tree_node *parent, unsigned at)
{
    struct tree_node *left = own(&parent->children[at]);
    struct tree_node *right = own(&parent->children[at + 1]);
    left->items[left->n] = parent->items[at];
    memcpy(left->items + left->n + 1, right->items, right->n * sizeof *left->items);
    if (!left->leaf)
        memcpy(left->children + left->n + 1, right->children, (right->n + 1u) * sizeof *left->children);
    left->n = (unsigned short)(left->n + 1 + right->n);
    mem_free(right); /* its references moved */
    recount(left);
    shift_items(parent, at + 1, at, parent->n - at - 1u);
    shift_children(parent, at + 2, at + 1, parent->n - at - 1u);
    parent->n--;
}

static void borrow_from_left(struct tree_node *parent, unsigned at)
{
    struct tree_node *to = own(&parent->children[at]), *from = own(&parent->children[at - 1]);
    shift_items(to, 0, 1, to->n);
    to->items[0] = parent->items[at - 1];
    parent->items[at - 1] = from->items[from->n - 1];
    if (!to->leaf) {
        shift_children(to, 0, 1, to->n + 1u);
        to->children[0] = from->children[from->n];
    }
    to->n++;
    from->n--;
    recount(to);
    recount(from);
}

static void borrow_from_right(struct tree_node *parent, unsigned at)
{
    struct tree_node *to = own(&parent->children[at]), *from = own(&parent->children[at + 1]);
    to->items[to->n] = parent->items[at];
    parent->items[at] = from->items[0];
    shift_items(from, 1, 0, from->n - 1u);
    if (!to->leaf) {
        to->children[to->n + 1] = from->children[0];
        shift_children(from, 1, 0, from->n);
    }
    to->n++;
    from->n--;
    recount(to);
    recount(from);
}

/* Makes sure that child `at` can lose an item; returns the place of the child that now covers its keys. */
static unsigned fill_child(struct tree_node *parent, unsigned at)
{
    if (parent->children[at]->n > MIN_ITEMS)
        return at;
    if (at > 0 && parent->children[at - 1]->n > MIN_ITEMS) {
        borrow_from_left(parent, at);
        return at;
    }
    if (at < parent->n && parent->children[at + 1]->n > MIN_ITEMS) {
        borrow_from_right(parent, at);
        return at;
    }
    at -= at == parent->n;
    merge_children(parent, at);
    return at;
}

static struct store_item *take_last(struct tree_node *node)
{
    node->count--;
    if (node->leaf)
        return node->items[--node->n];
    unsigned at = fill_child(node, node->n);
    return take_last(own(&node->children[at]));
}

static struct store_item *del_below(struct tree_node *node, struct slice key)
{
    bool found;
    unsigned at = search(node, key, &found);
    node->count--;
    if (node->leaf) {
        struct store_item *old = node->items[at];
        shift_items(node, at + 1, at, node->n - at - 1u);
        node->n--;
        return old;
    }
    if (found && node->children[at]->n > MIN_ITEMS) {
        struct store_item *old = node->items[at];
        node->items[at] = take_last(own(&node->children[at]));
        return old;
    }
    if (found) { /* the item goes down into the refilled or merged child and is removed there */
        if (node->children[at + 1]->n > MIN_ITEMS)
            borrow_from_right(node, at);
        else
            merge_children(node, at);
    } else {
        at = fill_child(node, at);
    }
    return del_below(own(&node->children[at]), key);
}

struct store_item *tree_del(struct tree_node **root, struct slice key)
{
    if (!tree_get(*root, key))
        return NULL;
    struct tree_node *top = own(root);
    struct store_item *old = del_below(top, key);
    if (top->n == 0) {
        *root = top->leaf ? NULL : top->children[0];
        mem_free(top);
    }
    return old;
}

size_t tree_rank(const struct tree_node *root, struct slice key)
{
    size_t rank = 0;
    for (const struct tree_node *node = root; node;) {
        bool found;
        unsigned at = search(node, key, &found);
        rank += at;
        if (node->leaf)
            break;
        for (unsigned i = 0; i < at + found; i++)
            rank += node->children[i]->count;
        if (found)
            break;
        node = node->children[at];
    }
    return rank;
}

void tree_iter_init(struct tree_iter *it, const struct tree_node *root, struct slice from)
{
    it->depth = 0;
    for (const struct tree_node *node = root; node;) {
        bool found;
        unsigned at = search(node, from, &found);
        it->path[it->depth].node = node;
        it->path[it->depth++].at = at;
        node = found || node->leaf ? NULL : node->children[at];
    }
}

/* After an inner item comes the leftmost leaf of the child behind it. */
static void descend(struct tree_iter *it, const struct tree_node *node)
{
    for (; node; node = node->leaf ? NULL : node->children[0]) {
        it->path[it->depth].node = node;
        it->path[it->depth++].at = 0;
    }
}

struct store_item *tree_iter_next(struct tree_iter *it)
{
    while (it->depth) {
        const struct tree_node *node = it->path[it->depth - 1].node;
        unsigned at = it->path[it->depth - 1].at;
        if (at < node->n) {
            it->path[it->depth - 1].at++;
            if (!node->leaf)
                descend(it, node->children[at + 1]);
            return node->items[at];
        }
        it->depth--;
    }
    return NULL;
}

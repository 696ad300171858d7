/* An intrusive doubly linked list: the node lives in its object, a head is a node too. No allocation. */
#ifndef PINTLE_BASE_LIST_H
#define PINTLE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(head)                                                                                                \
    {                                                                                                                  \
        &(head), &(head)                                                                                               \
    }
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert(struct list *after, struct list *node)
{
    node->next = after->next;
    node->prev = after;
    after->next->prev = node;
    after->next = node;
}

/* Appends at the end. */
static inline void list_push(struct list *head, struct list *node)
{
    list_insert(head->prev, node);
}

/* Takes the node out; harmless on a node that is in no list but was initialised. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, taken out, or NULL. */
static inline struct list *list_pop(struct list *head)
{
    if (list_empty(head))
        return NULL;
    struct list *node = head->next;
    list_remove(node);
    return node;
}

/* Walks the list; the body may remove the current node. */
/* NOLINTBEGIN(bugprone-macro-parentheses): it is the name of what is declared */
#define list_each(it, head)                                                                                            \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif

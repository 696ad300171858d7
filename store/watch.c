/* The watch hub: cursors into the tables' events. */
#include <errno.h>

#include "store/internal.h"

int store_watch_start(struct store *s, struct store_table *t, uint64_t after, struct store_watch *w)
{
    if (after > s->revision)
        return -EAGAIN;
    if (after < table_compacted(s, t))
        return -ESTALE;
    w->table = t;
    w->next = event_seq_after(t, after);
    list_push(&t->watches, &w->link);
    return 0;
}

void store_watch_stop(struct store_watch *w)
{
    list_remove(&w->link);
}

const struct store_event *store_watch_next(struct store *s, struct store_watch *w, bool *ret_lost)
{
    (void)s;
    const struct store_table *t = w->table;
    *ret_lost = w->next < t->first_seq || w->next > t->next_seq;
    if (*ret_lost || w->next == t->next_seq)
        return NULL;
    return event_at(t, w->next++);
}

uint64_t store_watch_newest(const struct store_table *t)
{
    return t->next_seq;
}

static void notify_table(struct store_table *t)
{
    /* A watcher may stop itself, or another, or start new ones while it is told: walk a private list. */
    struct list pending = LIST_INIT(pending);
    if (list_empty(&t->watches))
        return;
    pending = t->watches;
    pending.next->prev = pending.prev->next = &pending;
    list_init(&t->watches);
    for (struct list *node; (node = list_pop(&pending));) {
        struct store_watch *w = container_of(node, struct store_watch, link);
        list_push(&t->watches, node);
        if (w->next != t->next_seq)
            w->notify(w);
    }
}

void store_notify(struct store *s)
{
    for (size_t i = 0; i < s->tables.used; i++) {
        struct store_table *t = s->tables.entries[i].value;
        if (t->dirty) {
            t->dirty = false;
            notify_table(t);
        }
    }
}

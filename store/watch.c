/* The event window and the watch hub. */
#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"

enum { RING_MIN = 16 };

static size_t event_bytes(const struct store_event *e)
{
    return sizeof *e + (e->before ? e->before->value->n : 0) + (e->deleted ? e->now->value->n : 0);
}

void event_clear(struct store_event *e)
{
    item_unref(e->now);
    item_unref(e->before);
    *e = (struct store_event){0};
}

static void ring_grow(struct store_table *t)
{
    size_t cap = t->cap ? t->cap * 2 : RING_MIN;
    struct store_event *events = mem_zalloc(cap * sizeof *events);
    for (uint64_t seq = t->first_seq; seq < t->next_seq; seq++)
        events[seq & (cap - 1)] = *event_at(t, seq);
    mem_free(t->events);
    t->events = events;
    t->cap = cap;
}

void event_push(struct store *s, struct store_table *t, const struct store_event *e)
{
    if (t->next_seq - t->first_seq == t->cap)
        ring_grow(t);
    *event_at(t, t->next_seq++) = *e;
    t->dirty = true;
    s->window_events++;
    s->window_bytes += event_bytes(e);
}

uint64_t event_seq_after(const struct store_table *t, uint64_t revision)
{
    uint64_t lo = t->first_seq, hi = t->next_seq;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (event_at(t, mid)->revision <= revision)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void events_compact(struct store *s, uint64_t revision)
{
    if (revision > s->revision)
        revision = s->revision;
    if (revision <= s->compacted)
        return;
    s->compacted = revision;
    for (struct map_entry *entry = map_first(&s->tables); entry; entry = map_next(&s->tables, entry)) {
        struct store_table *t = entry->value;
        for (; t->first_seq < t->next_seq && event_at(t, t->first_seq)->revision <= revision; t->first_seq++) {
            s->window_events--;
            s->window_bytes -= event_bytes(event_at(t, t->first_seq));
            event_clear(event_at(t, t->first_seq));
            t->dirty = true; /* slow watchers must hear that they are lost */
        }
    }
}

uint64_t store_compact_target(const struct store *s, size_t max_events, size_t max_bytes)
{
    uint64_t kept = s->revision - s->compacted;
    uint64_t by_events = kept > max_events ? s->revision - max_events : 0;
    uint64_t by_bytes = 0;
    if (s->window_bytes > max_bytes && s->window_events) /* by average size: close enough, and cheap */
        by_bytes = s->compacted + (uint64_t)((double)kept * (1.0 - (double)max_bytes / (double)s->window_bytes)) + 1;
    uint64_t target = by_events > by_bytes ? by_events : by_bytes;
    return target > s->compacted ? target : 0;
}

int store_watch_start(struct store *s, struct store_table *t, uint64_t after, struct store_watch *w)
{
    if (after > s->revision)
        return -EAGAIN;
    if (after < s->compacted)
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

/* The event window: what changed, newest last, and who is to make room when it is full. */
#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"

enum { RING_MIN = 4 /* blocks */ };

static size_t event_bytes(const struct store_event *e)
{
    return sizeof *e + (e->before ? e->before->value->n : 0) + (e->deleted ? e->now->value->n : 0) +
           (e->actor ? e->actor->n : 0);
}

static void event_clear(struct store_event *e)
{
    item_unref(e->now);
    item_unref(e->before);
    blob_unref(e->actor);
    *e = (struct store_event){0};
}

/* ---- blocks ---- */

void event_block_unref(struct event_block *b)
{
    if (!b || --b->refs)
        return;
    for (size_t i = 0; i < EVENTS_PER_BLOCK; i++)
        event_clear(&b->events[i]);
    mem_free(b);
}

size_t events_blocks(const struct store_table *t)
{
    uint64_t end = (t->next_seq + EVENTS_PER_BLOCK - 1) / EVENTS_PER_BLOCK;
    return (size_t)(end - t->first_seq / EVENTS_PER_BLOCK);
}

static void ring_grow(struct store_table *t)
{
    size_t cap = t->cap ? t->cap * 2 : RING_MIN, n = events_blocks(t);
    struct event_block **blocks = mem_zalloc(cap * sizeof(*blocks));
    uint64_t first = t->first_seq / EVENTS_PER_BLOCK;
    for (uint64_t number = first; number < first + n; number++)
        blocks[number & (cap - 1)] = t->blocks[number & (t->cap - 1)];
    mem_free(t->blocks);
    t->blocks = blocks;
    t->cap = cap;
}

static void add_block(struct store_table *t)
{
    if (events_blocks(t) == t->cap)
        ring_grow(t);
    struct event_block *b = mem_new(struct event_block);
    b->refs = 1;
    t->blocks[t->next_seq / EVENTS_PER_BLOCK & (t->cap - 1)] = b;
}

void event_push(struct store *s, struct store_table *t, const struct store_event *e)
{
    if (t->next_seq % EVENTS_PER_BLOCK == 0)
        add_block(t);
    *event_at(t, t->next_seq++) = *e;
    t->dirty = true;
    s->window_events++;
    s->window_bytes += event_bytes(e);
    t->window_bytes += event_bytes(e);
}

static void drop_first(struct store *s, struct store_table *t)
{
    struct event_block **slot = &t->blocks[t->first_seq / EVENTS_PER_BLOCK & (t->cap - 1)];
    struct store_event *e = event_at(t, t->first_seq);
    s->window_events--;
    s->window_bytes -= event_bytes(e);
    t->window_bytes -= event_bytes(e);
    if ((*slot)->refs == 1)
        event_clear(e);
    if (++t->first_seq % EVENTS_PER_BLOCK == 0) {
        event_block_unref(*slot);
        *slot = NULL;
    }
    t->dirty = true; /* slow watchers must hear that they are lost */
}

void events_reset(struct store_table *t)
{
    size_t n = events_blocks(t);
    for (uint64_t number = t->first_seq / EVENTS_PER_BLOCK; n--; number++) {
        event_block_unref(t->blocks[number & (t->cap - 1)]);
        t->blocks[number & (t->cap - 1)] = NULL;
    }
    t->next_seq = (t->next_seq + EVENTS_PER_BLOCK - 1) / EVENTS_PER_BLOCK * EVENTS_PER_BLOCK; /* begins a block */
    t->first_seq = t->next_seq;
    t->window_bytes = 0;
}

/* ---- looking ---- */

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

/* The first whose time is not before time_ms. */
static uint64_t seq_from_time(const struct store_table *t, uint64_t time_ms)
{
    uint64_t lo = t->first_seq, hi = t->next_seq;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (event_at(t, mid)->time_ms < time_ms)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t store_table_events(const struct store_table *t)
{
    return (size_t)(t->next_seq - t->first_seq);
}

size_t store_table_window_bytes(const struct store_table *t)
{
    return t->window_bytes;
}

const struct store_event *store_table_event(const struct store_table *t, size_t i)
{
    return i < store_table_events(t) ? event_at(t, t->first_seq + i) : NULL;
}

const struct store_event *store_event_at(const struct store *s, uint64_t revision)
{
    const struct store_table *t;
    for (size_t i = 0; revision && (t = store_table_at(s, i)); i++) {
        uint64_t seq = event_seq_after(t, revision - 1);
        if (seq < t->next_seq && event_at(t, seq)->revision == revision)
            return event_at(t, seq);
    }
    return NULL;
}

int store_hash_at(const struct store *s, uint64_t revision, uint64_t *ret)
{
    if (revision > s->revision)
        return -EAGAIN;
    const struct store_event *e = revision == s->revision ? NULL : store_event_at(s, revision);
    if (revision != s->revision && (!e || !e->hash))
        return -ESTALE;
    *ret = e ? e->hash : s->hash;
    return 0;
}

uint64_t store_oldest_time(const struct store *s)
{
    const struct store_table *t;
    uint64_t oldest = s->time_ms;
    for (size_t i = 0; (t = store_table_at(s, i)); i++) {
        uint64_t seq = seq_from_time(t, 1);
        if (seq < t->next_seq && event_at(t, seq)->time_ms < oldest)
            oldest = event_at(t, seq)->time_ms;
    }
    return oldest;
}

/* The newest event before time_ms, or NULL. */
static const struct store_event *newest_before(const struct store *s, uint64_t time_ms)
{
    const struct store_table *t;
    const struct store_event *newest = NULL;
    for (size_t i = 0; (t = store_table_at(s, i)); i++) {
        uint64_t seq = seq_from_time(t, time_ms);
        if (seq > t->first_seq && (!newest || event_at(t, seq - 1)->revision > newest->revision))
            newest = event_at(t, seq - 1);
    }
    return newest;
}

/* A time before the oldest event kept can be answered only when nothing was ever dropped. */
int store_revision_at(const struct store *s, uint64_t time_ms, uint64_t *ret)
{
    const struct store_event *e = time_ms < s->time_ms ? newest_before(s, time_ms + 1) : NULL;
    if (time_ms >= s->time_ms)
        *ret = s->revision;
    else if (e ? !e->time_ms : s->compacted)
        return -ESTALE;
    else
        *ret = e ? e->revision : 0;
    return 0;
}

int store_get_at(const struct store *s, const struct store_table *t, struct slice key, uint64_t revision,
                 struct store_item **ret)
{
    if (revision > s->revision)
        return -EAGAIN;
    if (revision < table_compacted(s, t))
        return -ESTALE;
    for (uint64_t seq = event_seq_after(t, revision); seq < t->next_seq; seq++) {
        const struct store_event *e = event_at(t, seq);
        if (!slice_eq(item_key(e->now), key))
            continue;
        *ret = e->before; /* the first change since shows what was there */
        return 0;
    }
    *ret = store_get(t, key);
    return 0;
}

/* ---- making room ---- */

void events_trim(struct store *s, struct store_table *t, uint64_t revision)
{
    if (revision > s->revision)
        revision = s->revision;
    if (revision <= table_compacted(s, t))
        return;
    t->compacted = revision;
    while (t->first_seq < t->next_seq && event_at(t, t->first_seq)->revision <= revision)
        drop_first(s, t);
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
        while (t->first_seq < t->next_seq && event_at(t, t->first_seq)->revision <= revision)
            drop_first(s, t);
    }
}

static size_t events_until(const struct store *s, uint64_t revision)
{
    size_t n = 0;
    const struct store_table *t;
    for (size_t i = 0; (t = store_table_at(s, i)); i++)
        n += (size_t)(event_seq_after(t, revision) - t->first_seq);
    return n;
}

/* How many of n events, together bytes, must go so that at most max_events and max_bytes are left; by average size:
 * close enough, and cheap. */
static size_t surplus(size_t n, size_t bytes, size_t max_events, size_t max_bytes)
{
    size_t by_events = n > max_events ? n - max_events : 0, by_bytes = 0;
    if (bytes > max_bytes && n)
        by_bytes = (size_t)((double)n * (1.0 - (double)max_bytes / (double)bytes)) + 1;
    if (by_bytes > n)
        by_bytes = n;
    return by_events > by_bytes ? by_events : by_bytes;
}

/* The lowest revision up to which there are at least n events. */
static uint64_t revision_of_oldest(const struct store *s, size_t n)
{
    uint64_t lo = s->compacted, hi = s->revision;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (events_until(s, mid) < n)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint64_t store_compact_target(const struct store *s, size_t max_events, size_t max_bytes)
{
    size_t n = surplus(s->window_events, s->window_bytes, max_events, max_bytes);
    return n ? revision_of_oldest(s, n) : 0;
}

uint64_t store_compact_older(const struct store *s, uint64_t time_ms)
{
    const struct store_event *e = newest_before(s, time_ms);
    return e && e->time_ms ? e->revision : 0;
}

uint64_t store_trim_target(const struct store_table *t, size_t max_events, size_t max_bytes)
{
    size_t n = surplus(store_table_events(t), t->window_bytes, max_events, max_bytes);
    return n ? event_at(t, t->first_seq + n - 1)->revision : 0;
}

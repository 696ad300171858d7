#include "store/store.h"

#include <errno.h>

#include "base/hash.h"
#include "base/mem.h"
#include "store/internal.h"

enum { REQUESTS_FIRST = 64 }; /* room for request ids; doubles up to STORE_REQUESTS_MAX */

struct store *store_new(void)
{
    struct store *s = mem_new(struct store);
    map_init(&s->tables, 0);
    map_init(&s->requests, 0);
    s->reader = pack_reader_new();
    s->format = STORE_FORMAT_OLDEST;
    return s;
}

static void table_clear(struct store_table *t)
{
    events_reset(t);
    tree_unref(t->root);
    t->root = NULL;
    t->revision = t->compacted = 0;
}

static void requests_forget(struct store *s)
{
    mem_free(s->request_ring);
    s->request_ring = NULL;
    s->request_cap = 0;
    map_done(&s->requests);
    blob_unref(s->actor);
    s->actor = s->acting = NULL;
    s->request_next = 0;
}

void store_reset(struct store *s)
{
    for (struct map_entry *e = map_first(&s->tables); e; e = map_next(&s->tables, e))
        table_clear(e->value);
    while (s->heap_n)
        expiry_clear(s);
    requests_forget(s);
    s->revision = s->compacted = s->hash = s->time_ms = 0;
    s->bytes = s->window_bytes = s->window_events = 0;
    s->format = STORE_FORMAT_OLDEST;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    store_reset(s);
    for (struct map_entry *e = map_first(&s->tables); e; e = map_next(&s->tables, e)) {
        struct store_table *t = e->value;
        mem_free(t->blocks);
        mem_free((char *)t->name.p);
        mem_free(t);
    }
    map_done(&s->tables);
    mem_free(s->heap);
    pack_reader_free(s->reader);
    mem_free(s);
}

uint64_t store_revision(const struct store *s)
{
    return s->revision;
}

uint64_t store_compacted(const struct store *s)
{
    return s->compacted;
}

uint64_t store_table_compacted(const struct store *s, const struct store_table *t)
{
    return table_compacted(s, t);
}

uint64_t store_hash(const struct store *s)
{
    return s->hash;
}

uint64_t store_time_ms(const struct store *s)
{
    return s->time_ms;
}

unsigned store_format(const struct store *s)
{
    return s->format;
}

size_t store_bytes(const struct store *s)
{
    return s->bytes;
}

size_t store_window_bytes(const struct store *s)
{
    return s->window_bytes;
}

size_t store_window_events(const struct store *s)
{
    return s->window_events;
}

struct store_table *store_table(struct store *s, struct slice name)
{
    struct store_table *t = map_get(&s->tables, name);
    if (t)
        return t;
    t = mem_new(struct store_table);
    t->name = slice_of(mem_strndup(name.p, name.n), name.n);
    list_init(&t->watches);
    map_put(&s->tables, name, t);
    return t;
}

struct slice store_table_name(const struct store_table *t)
{
    return t->name;
}

struct store_table *store_table_at(const struct store *s, size_t i)
{
    return i < s->tables.used ? s->tables.entries[i].value : NULL; /* tables are never removed: no holes */
}

struct store_item *store_get(const struct store_table *t, struct slice key)
{
    return tree_get(t->root, key);
}

struct tree_node *store_root(const struct store_table *t)
{
    return t->root;
}

uint64_t store_table_revision(const struct store_table *t)
{
    return t->revision;
}

int store_root_at(const struct store *s, const struct store_table *t, uint64_t revision, struct tree_node **ret)
{
    if (revision > s->revision)
        return -EAGAIN;
    if (revision < table_compacted(s, t))
        return -ESTALE;
    struct tree_node *root = tree_ref(t->root);
    /* Undo, newest first, what came later: the tree shares all that did not change. */
    for (uint64_t seq = t->next_seq; seq > t->first_seq && event_at(t, seq - 1)->revision > revision; seq--) {
        const struct store_event *e = event_at(t, seq - 1);
        item_unref(e->before ? tree_put(&root, item_ref(e->before)) : tree_del(&root, item_key(e->now)));
    }
    *ret = root;
    return 0;
}

/* ---- request ids ---- */

/* What the old cluster knew of its members (members.h) says nothing of the new one's. */
static void members_forget(struct store *s)
{
    struct store_table *t = store_table(s, SLICE("pintle/members"));
    struct tree_iter it;
    tree_iter_init(&it, t->root, SLICE_NONE);
    for (const struct store_item *i; (i = tree_iter_next(&it));)
        s->bytes -= item_bytes(i);
    tree_unref(t->root);
    t->root = NULL;
}

void store_rebase(struct store *s)
{
    members_forget(s);
    events_compact(s, s->revision);
    s->revision += STORE_REBASE_JUMP;
    s->compacted = s->revision;
    requests_forget(s);
}

/* The ring grows to its full size as ids come; it wraps only then. */
static void grow_requests(struct store *s)
{
    if (s->request_cap == STORE_REQUESTS_MAX)
        return;
    size_t cap = s->request_cap ? s->request_cap * 2 : REQUESTS_FIRST;
    struct request *ring = mem_zalloc(cap * sizeof *ring);
    if (s->request_cap)
        memcpy(ring, s->request_ring, s->request_cap * sizeof *ring);
    mem_free(s->request_ring);
    s->request_ring = ring;
    s->request_cap = cap;
}

void request_remember(struct store *s, struct slice id, uint64_t revision)
{
    if (id.n == 0 || id.n > STORE_REQUEST_ID_MAX)
        return;
    if (s->request_next == s->request_cap)
        grow_requests(s);
    struct request *slot = &s->request_ring[s->request_next++ % STORE_REQUESTS_MAX];
    if (slot->n)
        map_del(&s->requests, slice_of(slot->id, slot->n));
    *slot = (struct request){.revision = revision, .n = (unsigned char)id.n};
    memcpy(slot->id, id.p, id.n);
    map_put(&s->requests, id, (void *)(uintptr_t)(revision + 1));
}

int store_request_find(const struct store *s, struct slice id, uint64_t since, uint64_t *ret)
{
    enum { HALF = STORE_REQUESTS_MAX / 2 };
    void *seen = map_get(&s->requests, id);
    if (seen) {
        *ret = (uint64_t)(uintptr_t)seen - 1;
        return 0;
    }
    if (since < s->compacted && s->request_next == 0) /* it may have been forgotten: store_rebase */
        return -ESTALE;
    if (s->request_next < HALF)
        return -ENOENT;
    return s->request_ring[(s->request_next - HALF) % STORE_REQUESTS_MAX].revision <= since ? -ENOENT : -ESTALE;
}

/* ---- expiry heap ---- */

static bool expires_before(const struct expiry *a, const struct expiry *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->mod_revision < b->mod_revision;
}

static void heap_swap(struct store *s, size_t a, size_t b)
{
    struct expiry t = s->heap[a];
    s->heap[a] = s->heap[b];
    s->heap[b] = t;
}

void expiry_push(struct store *s, struct store_table *t, struct store_item *item)
{
    if (s->heap_n == s->heap_cap) {
        size_t cap = s->heap_cap ? s->heap_cap * 2 : 64;
        struct expiry *heap = mem_alloc(cap * sizeof *heap);
        if (s->heap_n)
            memcpy(heap, s->heap, s->heap_n * sizeof *heap);
        mem_free(s->heap);
        s->heap = heap;
        s->heap_cap = cap;
    }
    size_t i = s->heap_n++;
    s->heap[i] = (struct expiry){item->expires_ms, item->mod_revision, t, item_ref(item)};
    for (; i && expires_before(&s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap_swap(s, i, (i - 1) / 2);
}

/* Drops the earliest. */
void expiry_clear(struct store *s)
{
    item_unref(s->heap[0].item);
    s->heap[0] = s->heap[--s->heap_n];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->heap_n; child++)
            if (expires_before(&s->heap[child], &s->heap[least]))
                least = child;
        if (least == i)
            return;
        heap_swap(s, i, least);
        i = least;
    }
}

bool store_expiry_due(const struct store *s, uint64_t time_ms)
{
    return s->heap_n && s->heap[0].due_ms <= time_ms;
}

/* Snapshots of the state: msgpack documents, each behind its length (32 bits little-endian).
 *   [format in force, revision, compacted, hash, time_ms, n_tables, n_requests]
 *   per table: [name, revision, n_items, n_events, compacted], then its items and events
 *   item:  [key, attrs, value, type_len, create_revision, mod_revision, expires_ms]
 *   event: [revision, deleted, now, before, time_ms, hash, actor]; now and before are an item, or nil when there is none,
 *          or a number when the reader has it already: 1 = the table's current item, 2 = the `now` of an earlier event
 *          of this table; actor is nil when unknown, or 1: that of the event before
 *   requests: [[id, revision], …] oldest first
 * A table's compacted and an event's time_ms, hash and actor are there since format 2. */
#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"

enum {
    HEAD_FIELDS = 7,
    ITEM_FIELDS = 7,
    IN_TREE = 1,
    IN_WINDOW = 2,
    LAST_ACTOR = 1,
    REQUESTS_PER_DOCUMENT = 1024,
    BLOCK_WEIGHT = 16, /* of freeing a block of events, in tree nodes */
    WRITE_BYTES = 256 << 10,
};

struct frozen_table {
    struct slice name; /* a copy: a snapshot may be written while the store is freed */
    struct tree_node *root;
    uint64_t revision, compacted; /* compacted: what counts for this table */
    struct event_block **blocks;  /* references, oldest first */
    size_t n_blocks;
    uint64_t first_seq, next_seq;
};

struct store_frozen {
    unsigned format;
    uint64_t revision, compacted, hash, time_ms;
    struct frozen_table *tables;
    size_t n_tables;
    struct request *requests; /* a copy of the ring */
    uint64_t request_next;
    struct tree_node *pile; /* being freed */
};

static const struct store_event *frozen_event(const struct frozen_table *t, uint64_t seq)
{
    return &t->blocks[seq / EVENTS_PER_BLOCK - t->first_seq / EVENTS_PER_BLOCK]->events[seq % EVENTS_PER_BLOCK];
}

static void freeze_table(const struct store *s, const struct store_table *t, struct frozen_table *f)
{
    *f = (struct frozen_table){.name = slice_of(mem_strndup(t->name.p, t->name.n), t->name.n),
                               .root = tree_ref(t->root),
                               .revision = t->revision,
                               .compacted = table_compacted(s, t),
                               .first_seq = t->first_seq,
                               .next_seq = t->next_seq};
    if (t->first_seq == t->next_seq)
        return;
    f->n_blocks = events_blocks(t);
    f->blocks = mem_alloc(f->n_blocks * sizeof(*f->blocks));
    uint64_t first = t->first_seq / EVENTS_PER_BLOCK;
    for (size_t i = 0; i < f->n_blocks; i++) {
        f->blocks[i] = t->blocks[(first + i) & (t->cap - 1)];
        f->blocks[i]->refs++;
    }
}

/* One table is frozen, and its root goes back event by event: the tree shares all that did not change. */
int store_past_begin(const struct store *s, const struct store_table *t, uint64_t revision, struct store_frozen **ret)
{
    if (revision > s->revision)
        return -EAGAIN;
    if (revision < table_compacted(s, t))
        return -ESTALE;
    struct store_frozen *f = mem_new(struct store_frozen);
    f->revision = revision;
    f->tables = mem_alloc(sizeof *f->tables);
    f->n_tables = 1;
    freeze_table(s, t, f->tables);
    *ret = f;
    return 0;
}

bool store_past_some(struct store_frozen *f, size_t n)
{
    struct frozen_table *t = f->tables;
    for (; t->next_seq > t->first_seq; t->next_seq--) {
        const struct store_event *e = frozen_event(t, t->next_seq - 1);
        if (e->revision <= f->revision)
            break;
        if (!n--)
            return false;
        item_unref(e->before ? tree_put(&t->root, item_ref(e->before)) : tree_del(&t->root, item_key(e->now)));
    }
    return true;
}

struct tree_node *store_past_root(const struct store_frozen *f)
{
    return f->tables->root;
}

struct store_frozen *store_freeze(struct store *s)
{
    struct store_frozen *f = mem_new(struct store_frozen);
    f->format = s->format;
    f->revision = s->revision;
    f->compacted = s->compacted;
    f->hash = s->hash;
    f->time_ms = s->time_ms;
    f->tables = mem_alloc(s->tables.n * sizeof *f->tables);
    for (struct map_entry *e = map_first(&s->tables); e; e = map_next(&s->tables, e))
        freeze_table(s, e->value, &f->tables[f->n_tables++]);
    size_t used = s->request_next < STORE_REQUESTS_MAX ? s->request_next : STORE_REQUESTS_MAX;
    f->requests = mem_dup(s->request_ring, used * sizeof *f->requests);
    f->request_next = s->request_next;
    return f;
}

static void free_blocks(struct frozen_table *t, size_t *n)
{
    while (t->n_blocks && *n) {
        event_block_unref(t->blocks[--t->n_blocks]);
        *n -= *n < BLOCK_WEIGHT ? *n : BLOCK_WEIGHT;
    }
    if (t->n_blocks)
        return;
    mem_free(t->blocks);
    t->blocks = NULL;
}

bool store_frozen_free_some(struct store_frozen *f, size_t n)
{
    for (tree_reap(&f->pile, &n); f->n_tables && n; tree_reap(&f->pile, &n)) {
        struct frozen_table *t = &f->tables[f->n_tables - 1];
        tree_unref_later(t->root, &f->pile);
        t->root = NULL;
        free_blocks(t, &n);
        if (t->n_blocks)
            continue;
        mem_free((char *)t->name.p);
        f->n_tables--;
    }
    if (f->n_tables || f->pile)
        return false;
    mem_free(f->requests);
    mem_free(f->tables);
    mem_free(f);
    return true;
}

void store_frozen_free(struct store_frozen *f)
{
    if (f)
        store_frozen_free_some(f, SIZE_MAX);
}

/* ---- writing ---- */

/* A document begins with room for its length. */
static size_t doc_begin(struct buf *out)
{
    size_t at = out->n;
    buf_add(out, "\0\0\0", 4);
    return at;
}

static int doc_end(struct buf *out, size_t at)
{
    if (buf_error(out))
        return buf_error(out);
    uint32_t n = (uint32_t)(out->n - at - 4);
    for (int i = 0; i < 4; i++)
        out->p[at + (size_t)i] = (char)(n >> (8 * i) & 0xff);
    return 0;
}

static void pack_item(struct buf *out, const struct store_item *i)
{
    pack_array(out, ITEM_FIELDS);
    pack_bin(out, item_key(i));
    pack_bin(out, item_attrs(i));
    pack_bin(out, blob_slice(i->value));
    pack_u64(out, i->type_len);
    pack_u64(out, i->create_revision);
    pack_u64(out, i->mod_revision);
    pack_u64(out, i->expires_ms);
}

static void pack_more(struct buf *out, const struct store_event *e, const struct store_event *last)
{
    pack_u64(out, e->time_ms);
    pack_u64(out, e->hash);
    if (!e->actor)
        pack_nil(out);
    else if (last && last->actor && slice_eq(blob_slice(e->actor), blob_slice(last->actor)))
        pack_u64(out, LAST_ACTOR);
    else
        pack_bin(out, blob_slice(e->actor));
}

/* last: the event before, or NULL. */
static void pack_event(struct buf *out, unsigned format, const struct frozen_table *t, const struct store_event *e,
                       const struct store_event *last)
{
    pack_array(out, format >= 2 ? 7 : 4);
    pack_u64(out, e->revision);
    pack_u64(out, e->deleted);
    if (tree_get(t->root, item_key(e->now)) == e->now)
        pack_u64(out, IN_TREE);
    else
        pack_item(out, e->now);
    /* Every change made an event, so what was current before is in the window when it is newer than its start. */
    if (!e->before)
        pack_nil(out);
    else if (e->before->mod_revision > t->compacted)
        pack_u64(out, IN_WINDOW);
    else
        pack_item(out, e->before);
    if (format >= 2)
        pack_more(out, e, last);
}

static size_t n_events(const struct frozen_table *t)
{
    return (size_t)(t->next_seq - t->first_seq);
}

static size_t n_requests(const struct store_frozen *f)
{
    return f->request_next < STORE_REQUESTS_MAX ? (size_t)f->request_next : STORE_REQUESTS_MAX;
}

enum { STAGE_HEAD, STAGE_TABLE, STAGE_ITEMS, STAGE_EVENTS, STAGE_REQUESTS, STAGE_END };

static unsigned add_head(const struct store_frozen *f, struct buf *out)
{
    const uint64_t head[] = {f->format, f->revision, f->compacted, f->hash, f->time_ms, f->n_tables, n_requests(f)};
    pack_array(out, sizeof head / sizeof *head);
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        pack_u64(out, head[i]);
    return f->n_tables ? STAGE_TABLE : STAGE_REQUESTS;
}

static unsigned add_table(const struct store_frozen *f, struct store_frozen_cursor *c, struct buf *out)
{
    const struct frozen_table *t = &f->tables[c->table];
    pack_array(out, f->format >= 2 ? 5 : 4);
    pack_bin(out, t->name);
    pack_u64(out, t->revision);
    pack_u64(out, tree_count(t->root));
    pack_u64(out, t->next_seq - t->first_seq);
    if (f->format >= 2)
        pack_u64(out, t->compacted);
    tree_iter_init(&c->iter, t->root, SLICE_NONE);
    return STAGE_ITEMS;
}

/* c->at counts from the oldest. */
static unsigned add_requests(const struct store_frozen *f, struct store_frozen_cursor *c, struct buf *out)
{
    size_t total = n_requests(f), left = total - c->at, n = left < REQUESTS_PER_DOCUMENT ? left : REQUESTS_PER_DOCUMENT;
    pack_array(out, n);
    for (size_t end = c->at + n; c->at < end; c->at++) {
        const struct request *r = &f->requests[(f->request_next - total + c->at) % STORE_REQUESTS_MAX];
        pack_array(out, 2);
        pack_bin(out, slice_of(r->id, r->n));
        pack_u64(out, r->revision);
    }
    return STAGE_REQUESTS;
}

static void add_event(const struct store_frozen *f, struct store_frozen_cursor *c, struct buf *out)
{
    const struct frozen_table *t = &f->tables[c->table];
    const struct store_event *last = c->at ? frozen_event(t, t->first_seq + c->at - 1) : NULL;
    pack_event(out, f->format, t, frozen_event(t, t->first_seq + c->at), last);
    c->at++;
}

/* The stage to go on with when the current one has no more documents. */
static unsigned skip_done(const struct store_frozen *f, struct store_frozen_cursor *c, struct store_item **ret_item)
{
    unsigned stage = c->stage;
    if (stage == STAGE_ITEMS && !(*ret_item = tree_iter_next(&c->iter)))
        stage = STAGE_EVENTS, c->at = 0;
    if (stage == STAGE_EVENTS && c->at == n_events(&f->tables[c->table]))
        stage = ++c->table < f->n_tables ? STAGE_TABLE : STAGE_REQUESTS, c->at = 0;
    if (stage == STAGE_REQUESTS && c->at == n_requests(f))
        stage = STAGE_END;
    return stage;
}

static int add_document(const struct store_frozen *f, struct store_frozen_cursor *c, struct buf *out)
{
    struct store_item *item = NULL;
    c->stage = skip_done(f, c, &item);
    if (c->stage == STAGE_END)
        return 1;
    size_t at = doc_begin(out);
    if (c->stage == STAGE_HEAD)
        c->stage = add_head(f, out);
    else if (c->stage == STAGE_TABLE)
        c->stage = add_table(f, c, out);
    else if (c->stage == STAGE_ITEMS)
        pack_item(out, item);
    else if (c->stage == STAGE_EVENTS)
        add_event(f, c, out);
    else
        c->stage = add_requests(f, c, out);
    if (item && !item_intact(item))
        return -EBADMSG; /* what is damaged stays in memory, and goes with it */
    return doc_end(out, at);
}

int store_frozen_next(const struct store_frozen *f, struct store_frozen_cursor *c, struct buf *out, size_t want)
{
    int rv = 0;
    while (!rv && out->n < want)
        rv = add_document(f, c, out);
    return rv;
}

int store_frozen_write(struct store_frozen *f, int (*write)(void *ctx, const void *p, size_t n), void *ctx)
{
    struct store_frozen_cursor c = {0};
    struct buf out = BUF_INIT(STORE_FROZEN_BUF_MAX);
    int rv = 0;
    while (rv == 0) {
        rv = store_frozen_next(f, &c, &out, WRITE_BYTES);
        int err = rv < 0 ? rv : write(ctx, out.p, out.n);
        rv = err ? err : rv;
        buf_clear(&out);
    }
    buf_done(&out);
    return rv < 0 ? rv : 0;
}

/* ---- reading ---- */

int document_next(struct source *r)
{
    unsigned char head[4];
    int rv = r->read(r->ctx, head, sizeof head);
    if (rv)
        return rv;
    size_t n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    if (n > STORE_DOCUMENT_MAX)
        return -EBADMSG;
    if (n > r->cap) {
        char *doc = mem_try_realloc(r->doc, n);
        if (!doc)
            return -ENOMEM;
        r->doc = doc;
        r->cap = n;
    }
    rv = r->read(r->ctx, r->doc, n);
    if (rv)
        return rv;
    r->value = pack_read(r->reader, slice_of(r->doc, n), NULL);
    return r->value ? 0 : -EBADMSG;
}

static struct store_item *unpack_item(const struct pack_value *v)
{
    struct slice key = pack_get_bin(pack_at(v, 0)), value = pack_get_bin(pack_at(v, 2));
    uint64_t type_len = pack_get_u64(pack_at(v, 3));
    struct blob *blob = pack_len(v) < ITEM_FIELDS || !key.n || type_len > value.n ? NULL : blob_copy(value);
    if (!blob)
        return NULL;
    struct store_item *i = item_new(key, pack_get_bin(pack_at(v, 1)), blob, (unsigned)type_len);
    i->create_revision = pack_get_u64(pack_at(v, 4));
    i->mod_revision = pack_get_u64(pack_at(v, 5));
    i->expires_ms = pack_get_u64(pack_at(v, 6));
    return i;
}

static int read_item(struct source *r, struct store_table *t)
{
    int rv = document_next(r);
    if (rv)
        return rv;
    struct store_item *i = unpack_item(r->value);
    if (!i)
        return -EBADMSG;
    r->store->bytes += item_bytes(i);
    if (i->expires_ms)
        expiry_push(r->store, t, i);
    item_unref(tree_put(&t->root, i));
    return 0;
}

static void read_actor(struct source *r, const struct store_table *t, const struct pack_value *v, struct store_event *e)
{
    struct slice name = pack_get_bin(v);
    struct blob *last = t->next_seq > t->first_seq ? event_at(t, t->next_seq - 1)->actor : NULL;
    if (pack_get_u64(v) == LAST_ACTOR)
        e->actor = last ? blob_ref(last) : NULL;
    else if (slice_eq(name, blob_slice(r->store->actor)))
        e->actor = name.n ? blob_ref(r->store->actor) : NULL;
    else if (name.n && name.n <= STORE_ACTOR_MAX && (e->actor = blob_copy(name))) {
        blob_unref(r->store->actor);
        r->store->actor = blob_ref(e->actor);
    }
}

static int read_event(struct source *r, struct store_table *t, const struct map *by_revision, struct map *last)
{
    int rv = document_next(r);
    if (rv)
        return rv;
    const struct pack_value *now = pack_at(r->value, 2), *before = pack_at(r->value, 3);
    struct store_event e = {.revision = pack_get_u64(pack_at(r->value, 0)),
                            .deleted = pack_get_u64(pack_at(r->value, 1)) != 0};
    /* A current item that an event names carries the event's revision as its own. */
    e.now = pack_get_u64(now) == IN_TREE ? item_ref(map_get(by_revision, slice_of(&e.revision, sizeof e.revision)))
                                         : unpack_item(now);
    if (!e.now)
        return -EBADMSG;
    if (pack_get_u64(before) == IN_WINDOW)
        e.before = item_ref(map_get(last, item_key(e.now)));
    else if (pack_len(before))
        e.before = unpack_item(before);
    e.time_ms = pack_get_u64(pack_at(r->value, 4));
    e.hash = pack_get_u64(pack_at(r->value, 5));
    read_actor(r, t, pack_at(r->value, 6), &e);
    map_put(last, item_key(e.now), e.now);
    event_push(r->store, t, &e);
    return 0;
}

static void index_by_revision(const struct store_table *t, struct map *by_revision)
{
    struct tree_iter it;
    tree_iter_init(&it, t->root, SLICE_NONE);
    for (struct store_item *i; (i = tree_iter_next(&it));)
        map_put(by_revision, slice_of(&i->mod_revision, sizeof i->mod_revision), i);
}

static int read_table(struct source *r)
{
    int rv = document_next(r);
    struct slice name = rv ? SLICE_NONE : pack_get_bin(pack_at(r->value, 0));
    if (rv || !name.n)
        return rv ? rv : -EBADMSG;
    struct store_table *t = store_table(r->store, name);
    uint64_t n_items = pack_get_u64(pack_at(r->value, 2)), n_events = pack_get_u64(pack_at(r->value, 3));
    t->revision = pack_get_u64(pack_at(r->value, 1));
    uint64_t compacted = pack_get_u64(pack_at(r->value, 4));
    t->compacted = compacted > r->store->compacted ? compacted : 0;
    for (uint64_t i = 0; i < n_items && !rv; i++)
        rv = read_item(r, t);
    struct map by_revision, last;
    map_init(&by_revision, 0);
    map_init(&last, 0);
    if (n_events)
        index_by_revision(t, &by_revision);
    for (uint64_t i = 0; i < n_events && !rv; i++)
        rv = read_event(r, t, &by_revision, &last);
    map_done(&by_revision);
    map_done(&last);
    return rv;
}

static int read_requests(struct source *r, uint64_t n)
{
    for (uint64_t i = 0; i < n;) {
        int rv = document_next(r);
        size_t got = rv ? 0 : pack_len(r->value);
        if (rv || !got)
            return rv ? rv : -EBADMSG;
        for (size_t j = 0; j < got; j++, i++) {
            const struct pack_value *pair = pack_at(r->value, j);
            request_remember(r->store, pack_get_bin(pack_at(pair, 0)), pack_get_u64(pack_at(pair, 1)));
        }
    }
    return 0;
}

static int read_all(struct source *r)
{
    struct store *s = r->store;
    int rv = document_next(r);
    uint64_t head[HEAD_FIELDS];
    for (size_t i = 0; i < HEAD_FIELDS && !rv; i++)
        head[i] = pack_get_u64(pack_at(r->value, i));
    if (rv || head[0] < STORE_FORMAT_OLDEST || head[0] > STORE_FORMAT)
        return rv ? rv : -EBADMSG;
    s->format = (unsigned)head[0];
    s->revision = head[1];
    s->compacted = head[2];
    s->hash = head[3];
    s->time_ms = head[4];
    for (uint64_t i = 0; i < head[5] && !rv; i++)
        rv = read_table(r);
    return rv ? rv : read_requests(r, head[6]);
}

/* Watchers keep their place by revision over a restore; sequence numbers are this replica's own. */
static void remember_places(struct store *s)
{
    for (struct map_entry *e = map_first(&s->tables); e; e = map_next(&s->tables, e)) {
        struct store_table *t = e->value;
        list_each (node, &t->watches) {
            struct store_watch *w = container_of(node, struct store_watch, link);
            if (w->next == t->next_seq)
                w->next = s->revision;
            else if (w->next == t->first_seq)
                w->next = table_compacted(s, t);
            else
                w->next = w->next > t->first_seq && w->next < t->next_seq ? event_at(t, w->next - 1)->revision : 0;
        }
    }
}

static void find_places(struct store *s)
{
    for (struct map_entry *e = map_first(&s->tables); e; e = map_next(&s->tables, e)) {
        struct store_table *t = e->value;
        t->dirty = true;
        list_each (node, &t->watches) {
            struct store_watch *w = container_of(node, struct store_watch, link);
            w->next = w->next >= table_compacted(s, t) ? event_seq_after(t, w->next) : UINT64_MAX; /* lost */
        }
    }
}

int store_restore(struct store *s, int (*read)(void *ctx, void *p, size_t n), void *ctx)
{
    struct source r = {.store = s, .reader = s->reader, .read = read, .ctx = ctx};
    remember_places(s);
    store_reset(s);
    int rv = read_all(&r);
    mem_free(r.doc);
    if (rv)
        return rv == -ENODATA ? -EBADMSG : rv;
    find_places(s);
    return 0;
}

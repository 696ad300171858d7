/* Reading snapshots only to check and to count. */
#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"

enum { HEAD_FIELDS = 7, ITEM_FIELDS = 7, EVENT_FIELDS = 4, TABLE_FIELDS = 4, REQUEST_FIELDS = 2 };

static bool item_fits(const struct pack_value *v)
{
    struct slice key = pack_get_bin(pack_at(v, 0)), value = pack_get_bin(pack_at(v, 2));
    return pack_len(v) >= ITEM_FIELDS && key.n && value.n && pack_get_u64(pack_at(v, 3)) <= value.n;
}

static int inspect_item(struct source *r, uint64_t *bytes)
{
    int rv = document_next(r);
    if (rv)
        return rv;
    *bytes += pack_get_bin(pack_at(r->value, 2)).n;
    return item_fits(r->value) ? 0 : -EBADMSG;
}

static int inspect_event(struct source *r)
{
    int rv = document_next(r);
    if (rv)
        return rv;
    const struct pack_value *now = pack_at(r->value, 2), *before = pack_at(r->value, 3);
    if (pack_len(r->value) < EVENT_FIELDS || (!pack_get_u64(now) && !item_fits(now)))
        return -EBADMSG;
    return !pack_len(before) || item_fits(before) ? 0 : -EBADMSG;
}

static int inspect_table(struct source *r, struct store_summary *sum,
                         void (*table)(void *arg, struct slice name, uint64_t objects, uint64_t bytes), void *arg)
{
    char name[STORE_KEY_MAX];
    uint64_t bytes = 0;
    int rv = document_next(r);
    if (rv)
        return rv;
    struct slice text = pack_get_bin(pack_at(r->value, 0));
    uint64_t items = pack_get_u64(pack_at(r->value, 2)), events = pack_get_u64(pack_at(r->value, 3));
    if (pack_len(r->value) < TABLE_FIELDS || !text.n || text.n > sizeof name)
        return -EBADMSG;
    memcpy(name, text.p, text.n);
    for (uint64_t i = 0; i < items && !rv; i++)
        rv = inspect_item(r, &bytes);
    for (uint64_t i = 0; i < events && !rv; i++)
        rv = inspect_event(r);
    if (!rv && table)
        table(arg, slice_of(name, text.n), items, bytes);
    sum->objects += items;
    sum->events += events;
    sum->bytes += bytes;
    return rv;
}

static int inspect_requests(struct source *r, uint64_t n)
{
    for (uint64_t i = 0; i < n;) {
        int rv = document_next(r);
        size_t got = rv ? 0 : pack_len(r->value);
        if (rv || !got || got > n - i)
            return rv ? rv : -EBADMSG;
        for (size_t j = 0; j < got; j++, i++)
            if (pack_len(pack_at(r->value, j)) < REQUEST_FIELDS)
                return -EBADMSG;
    }
    return 0;
}

int store_inspect(int (*read)(void *ctx, void *p, size_t n), void *ctx, struct store_summary *ret,
                  void (*table)(void *arg, struct slice name, uint64_t objects, uint64_t bytes), void *arg)
{
    struct source r = {.reader = pack_reader_new(), .read = read, .ctx = ctx};
    uint64_t head[HEAD_FIELDS] = {0};
    int rv = document_next(&r);
    for (size_t i = 0; i < HEAD_FIELDS && !rv; i++)
        head[i] = pack_get_u64(pack_at(r.value, i));
    if (!rv && (head[0] < STORE_FORMAT_OLDEST || head[0] > STORE_FORMAT || head[5] > STORE_TABLES_MAX))
        rv = -EBADMSG;
    struct store_summary sum = {
        .format = (unsigned)head[0], .revision = head[1], .compacted = head[2], .hash = head[3], .time_ms = head[4]};
    for (uint64_t i = 0; i < head[5] && !rv; i++)
        rv = inspect_table(&r, &sum, table, arg);
    if (!rv)
        rv = inspect_requests(&r, head[6]);
    pack_reader_free(r.reader);
    mem_free(r.doc);
    if (rv)
        return rv == -ENODATA ? -EBADMSG : rv;
    *ret = sum;
    return 0;
}

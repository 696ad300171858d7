#include "raft/blocks.h"

#include <errno.h>

#include "base/hash.h"
#include "base/mem.h"
#include "codec/lz4.h"
#include "raft/wire.h"

enum { END_BYTES = 8 };

/* ---- writing ---- */

static void put_head(char *p, enum block_kind kind, size_t raw, size_t stored)
{
    put_u32(p, (uint32_t)raw);
    put_u32(p + 4, (uint32_t)stored);
    put_u32(p + 8, crc32c(0, p + BLOCK_HEAD, stored));
    put_u32(p + 12, (uint32_t)kind);
}

int block_pack(struct buf *out, struct slice raw)
{
    int err = buf_reserve(out, BLOCK_HEAD + raw.n);
    if (err)
        return err;
    char *p = out->p + out->n;
    size_t n = lz4_pack(raw, p + BLOCK_HEAD, raw.n - 1);
    enum block_kind kind = n ? BLOCK_LZ4 : BLOCK_RAW;
    if (!n)
        memcpy(p + BLOCK_HEAD, raw.p, n = raw.n);
    put_head(p, kind, raw.n, n);
    out->n += BLOCK_HEAD + n;
    return 0;
}

int block_pack_end(struct buf *out, uint64_t total)
{
    int err = buf_reserve(out, BLOCK_HEAD + END_BYTES);
    if (err)
        return err;
    char *p = out->p + out->n;
    put_u64(p + BLOCK_HEAD, total);
    put_head(p, BLOCK_END, 0, END_BYTES);
    out->n += BLOCK_HEAD + END_BYTES;
    return 0;
}

/* ---- reading ---- */

int block_head_decode(const char p[BLOCK_HEAD], struct block_head *ret)
{
    struct block_head h = {get_u32(p), get_u32(p + 4), get_u32(p + 8), (enum block_kind)get_u32(p + 12)};
    bool fits = false;
    switch (h.kind) {
    case BLOCK_LZ4:
        fits = h.raw && h.raw <= BLOCK_BYTES && h.stored && h.stored < h.raw;
        break;
    case BLOCK_RAW:
        fits = h.raw && h.raw <= BLOCK_BYTES && h.stored == h.raw;
        break;
    case BLOCK_END:
        fits = h.raw == 0 && h.stored == END_BYTES;
        break;
    }
    if (!fits)
        return -EBADMSG;
    *ret = h;
    return 0;
}

int block_unpack(const struct block_head *h, const char *stored, uint64_t total, char *out)
{
    if (crc32c(0, stored, h->stored) != h->crc)
        return -EBADMSG;
    if (h->kind == BLOCK_END)
        return get_u64(stored) == total ? 0 : -EBADMSG;
    if (h->kind == BLOCK_LZ4)
        return lz4_unpack(slice_of(stored, h->stored), out, h->raw);
    memcpy(out, stored, h->raw);
    return 0;
}

void block_reader_init(struct block_reader *r, int (*get)(void *ctx, void *p, size_t n), void *ctx)
{
    *r = (struct block_reader){.get = get, .ctx = ctx};
}

void block_reader_done(struct block_reader *r)
{
    mem_free(r->block);
    mem_free(r->packed);
    r->block = r->packed = NULL;
    r->block_cap = r->packed_cap = 0;
}

/* Makes *p hold n bytes; what it held is not kept. */
static void ensure(char **p, size_t *cap, size_t n)
{
    if (*p && n <= *cap)
        return;
    mem_free(*p);
    *p = mem_alloc(n + 1);
    *cap = n;
}

static int read_block(struct block_reader *r)
{
    char head[BLOCK_HEAD];
    struct block_head h;
    int err = r->get(r->ctx, head, sizeof(head));
    if (!err)
        err = block_head_decode(head, &h);
    if (err)
        return err;
    ensure(&r->packed, &r->packed_cap, h.stored);
    ensure(&r->block, &r->block_cap, h.raw);
    err = r->get(r->ctx, r->packed, h.stored);
    if (!err)
        err = block_unpack(&h, r->packed, r->total, r->block);
    if (err)
        return err;
    r->end = h.kind == BLOCK_END;
    r->digest = hash64(slice_of(head, sizeof(head)), r->digest);
    r->n = h.raw;
    r->used = 0;
    r->total += h.raw;
    return 0;
}

int block_reader_next(struct block_reader *r)
{
    if (!r->err)
        r->err = r->end ? -ENODATA : read_block(r);
    return r->err;
}

int block_read(struct block_reader *r, void *p, size_t n)
{
    for (char *to = p; n > 0;) {
        size_t left = r->n - r->used, part = n < left ? n : left;
        if (left == 0) {
            int err = block_reader_next(r);
            if (err)
                return err;
            continue;
        }
        memcpy(to, r->block + r->used, part);
        r->used += part;
        to += part;
        n -= part;
    }
    return 0;
}

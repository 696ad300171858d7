/* The head: magic 8, version 4, crc32c 4 (of the rest), cluster id 8, index 8, term 8, revision 8, hash 8, time 8, made 8,
 * format 4, kind 4, zeros 16. */
#include "store/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "raft/wire.h"

enum { HEAD_CRC_FROM = 16 };

static const char backup_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'B', 'K'};

void backup_head_encode(char out[BACKUP_HEAD], const struct backup_info *i)
{
    const uint64_t numbers[] = {i->cluster_id, i->index, i->term, i->revision, i->hash, i->time_ms, i->made_ms};
    memset(out, 0, BACKUP_HEAD);
    memcpy(out, backup_magic, sizeof backup_magic);
    put_u32(out + 8, BACKUP_VERSION);
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
        put_u64(out + HEAD_CRC_FROM + 8 * n, numbers[n]);
    put_u32(out + 72, i->format);
    put_u32(out + 76, (uint32_t)i->kind);
    put_u32(out + 12, crc32c(0, out + HEAD_CRC_FROM, BACKUP_HEAD - HEAD_CRC_FROM));
}

int backup_head_decode(const char in[BACKUP_HEAD], struct backup_info *ret)
{
    if (memcmp(in, backup_magic, sizeof backup_magic) != 0)
        return -EBADMSG;
    if (get_u32(in + 8) > BACKUP_VERSION)
        return -EPROTONOSUPPORT;
    struct backup_info i = {.cluster_id = get_u64(in + 16),
                            .index = get_u64(in + 24),
                            .term = get_u64(in + 32),
                            .revision = get_u64(in + 40),
                            .hash = get_u64(in + 48),
                            .time_ms = get_u64(in + 56),
                            .made_ms = get_u64(in + 64),
                            .format = get_u32(in + 72),
                            .kind = (enum backup_kind)get_u32(in + 76)};
    if (get_u32(in + 8) != BACKUP_VERSION ||
        get_u32(in + 12) != crc32c(0, in + HEAD_CRC_FROM, BACKUP_HEAD - HEAD_CRC_FROM) ||
        (i.kind != BACKUP_SNAPSHOT && i.kind != BACKUP_SEGMENT))
        return -EBADMSG;
    if (i.format > STORE_FORMAT)
        return -EPROTONOSUPPORT;
    *ret = i;
    return 0;
}

struct store_frozen *backup_begin(struct replica *r, struct backup_info *ret)
{
    const struct store *s = replica_store(r);
    struct raft_status st;
    raft_node_status(replica_raft(r), &st);
    *ret = (struct backup_info){.kind = BACKUP_SNAPSHOT,
                                .cluster_id = st.cluster_id,
                                .index = st.applied_index,
                                .term = st.term,
                                .revision = store_revision(s),
                                .hash = store_hash(s),
                                .time_ms = store_time_ms(s),
                                .made_ms = replica_time_ms(r),
                                .format = store_format(s)};
    return store_freeze(replica_store(r));
}

/* ---- writing ---- */

void backup_writer_init(struct backup_writer *w, const struct backup_info *info, const struct store_frozen *frozen)
{
    *w = (struct backup_writer){.info = *info, .frozen = frozen, .documents = BUF_INIT(STORE_FROZEN_BUF_MAX)};
}

void backup_writer_done(struct backup_writer *w)
{
    buf_done(&w->documents);
}

int backup_writer_next(struct backup_writer *w, struct buf *out)
{
    char head[BACKUP_HEAD];
    if (!w->begun) {
        backup_head_encode(head, &w->info);
        buf_add(out, head, sizeof head);
        w->begun = true;
    }
    if (!w->read && w->documents.n < BLOCK_BYTES) {
        int rv = store_frozen_next(w->frozen, &w->cursor, &w->documents, BLOCK_BYTES);
        if (rv < 0)
            return rv;
        w->read = rv == 1;
    }
    size_t n = w->documents.n < BLOCK_BYTES ? w->documents.n : BLOCK_BYTES;
    w->total += n;
    int err = n ? block_pack(out, slice_of(w->documents.p, n)) : block_pack_end(out, w->total);
    buf_shift(&w->documents, n);
    return err ? err : n == 0;
}

/* ---- checking while it comes ---- */

void backup_check_init(struct backup_check *c)
{
    *c = (struct backup_check){.part = BUF_INIT(BLOCK_STORED_MAX), .block = mem_alloc(BLOCK_BYTES)};
}

void backup_check_done(struct backup_check *c)
{
    buf_done(&c->part);
    mem_free(c->block);
    c->block = NULL;
}

/* Bytes that what is being gathered has in all; what is there is enough for its head, or less. */
static int wanted(const struct backup_check *c, size_t *ret)
{
    struct block_head h;
    *ret = c->begun ? BLOCK_HEAD : BACKUP_HEAD;
    if (!c->begun || c->part.n < BLOCK_HEAD)
        return 0;
    int err = block_head_decode(c->part.p, &h);
    if (!err)
        *ret = BLOCK_HEAD + h.stored;
    return err;
}

static int take_whole(struct backup_check *c)
{
    struct block_head h;
    if (!c->begun) {
        c->begun = true;
        return backup_head_decode(c->part.p, &c->info);
    }
    int err = block_head_decode(c->part.p, &h);
    if (!err)
        err = block_unpack(&h, c->part.p + BLOCK_HEAD, c->total, c->block);
    if (err)
        return err;
    c->total += h.raw;
    c->ended = h.kind == BLOCK_END;
    return 0;
}

int backup_check_push(struct backup_check *c, struct slice data)
{
    while (data.n > 0) {
        size_t want;
        int err = c->ended ? -EBADMSG : wanted(c, &want);
        if (err)
            return err;
        size_t n = want - c->part.n < data.n ? want - c->part.n : data.n;
        err = buf_add(&c->part, data.p, n);
        data = slice_from(data, n);
        if (!err)
            err = wanted(c, &want);
        if (!err && c->part.n == want && (!c->begun || want > BLOCK_HEAD)) {
            err = take_whole(c);
            c->at += c->part.n;
            buf_clear(&c->part);
        }
        if (err)
            return err;
    }
    return 0;
}

/* ---- reading ---- */

static int get(void *ctx, void *p, size_t n)
{
    struct backup_reader *r = ctx;
    ssize_t got = file_pread(r->file, p, n, r->at);
    if (got < 0)
        return (int)got;
    r->cut = (size_t)got != n;
    if (r->cut)
        return -EBADMSG;
    r->at += n;
    return 0;
}

void backup_explain(const struct backup_reader *r, const char *path, int err, char why[256])
{
    if (err == -EPROTONOSUPPORT)
        snprintf(why, 256, "%.160s was made by a newer version of pintle: use that one", path);
    else if (err == -EBADMSG && r && r->cut)
        snprintf(why, 256, "%.160s is cut off after byte %" PRIu64, path, r->at);
    else if (err == -EBADMSG && (!r || r->at == 0))
        snprintf(why, 256, "%.160s is no backup of pintle, or its head is damaged", path);
    else if (err == -EBADMSG)
        snprintf(why, 256, "%.160s is damaged before byte %" PRIu64, path, r->at);
    else
        snprintf(why, 256, "%.160s: %s", path, strerror(-err));
}

int backup_open(struct fs *fs, const char *path, struct backup_reader **ret, char why[256])
{
    char head[BACKUP_HEAD];
    struct file *f;
    int err = fs_open(fs, path, FS_READ, &f);
    if (err) {
        backup_explain(NULL, path, err, why);
        return err;
    }
    struct backup_reader *r = mem_new(struct backup_reader);
    r->file = f;
    block_reader_init(&r->blocks, get, r);
    err = get(r, head, sizeof head);
    if (!err) {
        r->at = 0; /* until the head is known to be good */
        err = backup_head_decode(head, &r->info);
    }
    if (err) {
        backup_explain(r, path, err, why);
        backup_close(r);
        return err;
    }
    r->at = sizeof head;
    *ret = r;
    return 0;
}

void backup_close(struct backup_reader *r)
{
    if (!r)
        return;
    file_close(r->file);
    block_reader_done(&r->blocks);
    mem_free(r);
}

int backup_read(void *ctx, void *p, size_t n)
{
    struct backup_reader *r = ctx;
    return block_read(&r->blocks, p, n);
}

int backup_read_end(struct backup_reader *r)
{
    char byte;
    uint64_t size;
    int err = block_read(&r->blocks, &byte, 1);
    if (err != -ENODATA)
        return err ? err : -EBADMSG;
    err = file_size(r->file, &size);
    return err ? err : size == r->at ? 0 : -EBADMSG;
}

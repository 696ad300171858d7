#include "raft/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "raft/wire.h"

/* Header: magic 8, version 4, crc32c 4 (of the rest), cluster id 8, index 8, term 8, conf index 8, conf length 4, zero
 * 4, conf. */
enum { HEAD_FIXED = 56, HEAD_CRC_FROM = 16 };

static const char snap_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'S', 'N'};

/* ---- writing ---- */

struct writer {
    struct raft_sink sink;
    struct file *file;
    atomic_bool *cancel;
    uint64_t at, total;
    struct buf block, packed;
    int err;
};

static int put(struct writer *w, const char *p, size_t n)
{
    if (!w->err && atomic_load(w->cancel))
        w->err = -ECANCELED;
    if (w->err)
        return w->err;
    ssize_t r = file_pwrite(w->file, p, n, w->at);
    if (r < 0)
        w->err = (int)r;
    else
        w->at += n;
    return w->err;
}

static int put_header(struct writer *w, const struct snap_info *info)
{
    char head[HEAD_FIXED + SNAP_CONF_MAX] = {0};
    memcpy(head, snap_magic, sizeof(snap_magic));
    put_u32(head + 8, SNAP_VERSION);
    put_u64(head + 16, info->cluster_id);
    put_u64(head + 24, info->index);
    put_u64(head + 32, info->term);
    put_u64(head + 40, info->conf_index);
    put_u32(head + 48, (uint32_t)info->conf_n);
    memcpy(head + HEAD_FIXED, info->conf, info->conf_n);
    put_u32(head + 12, crc32c(0, head + HEAD_CRC_FROM, HEAD_FIXED - HEAD_CRC_FROM + info->conf_n));
    return put(w, head, HEAD_FIXED + info->conf_n);
}

static int flush_block(struct writer *w)
{
    if (w->block.n == 0 || w->err)
        return w->err;
    buf_clear(&w->packed);
    w->err = block_pack(&w->packed, buf_slice(&w->block));
    w->total += w->block.n;
    buf_clear(&w->block);
    return put(w, w->packed.p, w->packed.n);
}

static int sink_write(struct raft_sink *sink, const void *p, size_t n)
{
    struct writer *w = container_of(sink, struct writer, sink);
    const char *from = p;
    while (n > 0 && !w->err) {
        size_t room = BLOCK_BYTES - w->block.n, part = n < room ? n : room;
        w->err = buf_add(&w->block, from, part);
        from += part;
        n -= part;
        if (w->block.n == BLOCK_BYTES)
            flush_block(w);
    }
    return w->err;
}

static int put_end(struct writer *w)
{
    buf_clear(&w->packed);
    w->err = block_pack_end(&w->packed, w->total);
    return put(w, w->packed.p, w->packed.n);
}

static int write_file(struct writer *w, const struct snap_info *info,
                      int (*write)(void *frozen, struct raft_sink *sink), void *frozen)
{
    int err = put_header(w, info);
    if (!err)
        err = write(frozen, &w->sink);
    if (!err)
        err = w->err;
    if (!err)
        err = flush_block(w);
    if (!err)
        err = put_end(w);
    return err ? err : file_sync(w->file);
}

void snap_path(char out[SNAP_PATH_MAX], const char *dir, uint64_t index)
{
    snprintf(out, SNAP_PATH_MAX, "%s/snapshot-%016" PRIx64, dir, index);
}

int snap_write(struct fs *fs, const char *dir, const struct snap_info *info,
               int (*write)(void *frozen, struct raft_sink *sink), void *frozen, atomic_bool *cancel)
{
    char path[SNAP_PATH_MAX], tmp[SNAP_PATH_MAX];
    struct writer w = {.sink.write = sink_write, .cancel = cancel};
    snap_path(path, dir, info->index);
    snprintf(tmp, sizeof(tmp), "%s/snapshot.tmp", dir);
    int err = fs_open(fs, tmp, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &w.file);
    if (err)
        return err;
    buf_init(&w.block, BLOCK_BYTES);
    buf_init(&w.packed, BLOCK_STORED_MAX);
    err = write_file(&w, info, write, frozen);
    file_close(w.file);
    buf_done(&w.block);
    buf_done(&w.packed);
    if (!err)
        err = fs_rename(fs, tmp, path);
    if (!err)
        err = fs_sync_dir(fs, dir);
    if (err)
        fs_unlink(fs, tmp);
    return err ? err : snap_remove_others(fs, dir, info->index);
}

/* ---- finding ---- */

struct finding {
    struct fs *fs;
    const char *dir;
    uint64_t keep; /* what to leave; UINT64_MAX: only look */
    uint64_t newest;
    int err;
};

static bool parse_name(const char *name, uint64_t *ret)
{
    char check[64];
    if (strncmp(name, "snapshot-", 9) != 0)
        return false;
    *ret = strtoull(name + 9, NULL, 16);
    snprintf(check, sizeof(check), "snapshot-%016" PRIx64, *ret);
    return strcmp(name, check) == 0;
}

static void on_name(void *ctx, const char *name)
{
    struct finding *f = ctx;
    uint64_t index;
    if (!parse_name(name, &index) || f->err)
        return;
    if (index > f->newest)
        f->newest = index;
    if (f->keep == UINT64_MAX || index == f->keep)
        return;
    char path[SNAP_PATH_MAX];
    snap_path(path, f->dir, index);
    f->err = fs_unlink(f->fs, path);
}

int snap_remove_others(struct fs *fs, const char *dir, uint64_t index)
{
    struct finding f = {.fs = fs, .dir = dir, .keep = index};
    int err = fs_list(fs, dir, on_name, &f);
    return err ? err : f.err;
}

int snap_find(struct fs *fs, const char *dir, uint64_t *ret_index)
{
    struct finding f = {.fs = fs, .dir = dir, .keep = UINT64_MAX};
    char path[SNAP_PATH_MAX];
    int err = fs_list(fs, dir, on_name, &f);
    if (err)
        return err;
    static const char *const leftovers[] = {"snapshot.tmp", "incoming.tmp"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, leftovers[i]);
        err = fs_unlink(fs, path);
        if (err && err != -ENOENT)
            return err;
    }
    err = f.newest ? snap_remove_others(fs, dir, f.newest) : 0;
    if (!err)
        *ret_index = f.newest;
    return err;
}

/* ---- reading ---- */

static int read_exact(void *ctx, void *p, size_t n)
{
    struct snap_reader *r = ctx;
    ssize_t got = file_pread(r->file, p, n, r->at);
    if (got < 0)
        return (int)got;
    if ((size_t)got != n)
        return -EBADMSG;
    r->at += n;
    return 0;
}

static int read_header(struct snap_reader *r)
{
    char head[HEAD_FIXED + SNAP_CONF_MAX];
    int err = read_exact(r, head, HEAD_FIXED);
    if (err)
        return err;
    size_t n = get_u32(head + 48);
    if (memcmp(head, snap_magic, sizeof(snap_magic)) != 0 || get_u32(head + 8) != SNAP_VERSION || n > SNAP_CONF_MAX)
        return -EBADMSG;
    err = read_exact(r, head + HEAD_FIXED, n);
    if (err)
        return err;
    if (get_u32(head + 12) != crc32c(0, head + HEAD_CRC_FROM, HEAD_FIXED - HEAD_CRC_FROM + n))
        return -EBADMSG;
    r->info.cluster_id = get_u64(head + 16);
    r->info.index = get_u64(head + 24);
    r->info.term = get_u64(head + 32);
    r->info.conf_index = get_u64(head + 40);
    r->info.conf_n = n;
    memcpy(r->info.conf, head + HEAD_FIXED, n);
    return r->info.index && r->info.term ? 0 : -EBADMSG;
}

static int source_read(struct raft_source *source, void *p, size_t n)
{
    return block_read(&container_of(source, struct snap_reader, source)->blocks, p, n);
}

int snap_open(struct fs *fs, const char *path, struct snap_reader **ret)
{
    struct file *f;
    int err = fs_open(fs, path, FS_READ, &f);
    if (err)
        return err;
    struct snap_reader *r = mem_new(struct snap_reader);
    r->source.read = source_read;
    r->file = f;
    block_reader_init(&r->blocks, read_exact, r);
    err = read_header(r);
    if (err) {
        snap_close(r);
        return err;
    }
    *ret = r;
    return 0;
}

void snap_close(struct snap_reader *r)
{
    if (!r)
        return;
    file_close(r->file);
    block_reader_done(&r->blocks);
    mem_free(r);
}

int snap_verify(struct fs *fs, const char *path, struct snap_info *ret_info)
{
    struct snap_reader *r;
    int err = snap_open(fs, path, &r);
    if (err)
        return err;
    while (!err && !r->blocks.end)
        err = block_reader_next(&r->blocks);
    if (!err)
        *ret_info = r->info;
    snap_close(r);
    return err;
}

ssize_t snap_read_head(struct file *f, char *out)
{
    ssize_t got = file_pread(f, out, HEAD_FIXED + SNAP_CONF_MAX, 0);
    size_t n = got < HEAD_FIXED ? 0 : get_u32(out + 48);
    if (got < 0 || n > SNAP_CONF_MAX || (size_t)got < HEAD_FIXED + n)
        return got < 0 ? got : -EBADMSG;
    char *end = out + HEAD_FIXED + n;
    put_u32(end, 0);
    put_u32(end + 4, 8);
    put_u32(end + 12, BLOCK_END);
    put_u64(end + BLOCK_HEAD, 0); /* bytes of state */
    put_u32(end + 8, crc32c(0, end + BLOCK_HEAD, 8));
    return (ssize_t)(HEAD_FIXED + n + BLOCK_HEAD + 8);
}

#include "raft/meta.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "raft/wire.h"

enum { SLOT_BYTES = 64, SLOT_CRC_FROM = 16, META_PATH_MAX = 512 };

static const char meta_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'M', 'T'};

static void encode(char out[SLOT_BYTES], const struct meta *m)
{
    memset(out, 0, SLOT_BYTES);
    memcpy(out, meta_magic, sizeof(meta_magic));
    put_u32(out + 8, META_VERSION);
    put_u64(out + 16, m->cluster_id);
    put_u64(out + 24, m->id);
    put_u64(out + 32, m->sequence);
    put_u64(out + 40, m->term);
    put_u64(out + 48, m->voted_for);
    put_u32(out + 12, crc32c(0, out + SLOT_CRC_FROM, SLOT_BYTES - SLOT_CRC_FROM));
}

static bool decode(const char in[SLOT_BYTES], struct meta *ret)
{
    if (memcmp(in, meta_magic, sizeof(meta_magic)) != 0 || get_u32(in + 8) != META_VERSION ||
        get_u32(in + 12) != crc32c(0, in + SLOT_CRC_FROM, SLOT_BYTES - SLOT_CRC_FROM))
        return false;
    ret->cluster_id = get_u64(in + 16);
    ret->id = get_u64(in + 24);
    ret->sequence = get_u64(in + 32);
    ret->term = get_u64(in + 40);
    ret->voted_for = get_u64(in + 48);
    return true;
}

static int read_newest(struct file *f, struct meta *ret)
{
    bool found = false;
    for (uint64_t slot = 0; slot < 2; slot++) {
        char bytes[SLOT_BYTES];
        struct meta m = {0};
        ssize_t r = file_pread(f, bytes, sizeof(bytes), slot * META_SLOT);
        if (r < 0)
            return (int)r;
        if (r != SLOT_BYTES || !decode(bytes, &m) || (found && m.sequence < ret->sequence))
            continue;
        *ret = m;
        found = true;
    }
    return found ? 0 : -EBADMSG;
}

int meta_read(struct fs *fs, const char *dir, struct meta *ret)
{
    char path[META_PATH_MAX];
    struct file *f;
    struct meta m = {0};
    snprintf(path, sizeof(path), "%s/meta", dir);
    int err = fs_open(fs, path, FS_READ, &f);
    if (err)
        return err;
    err = read_newest(f, &m);
    file_close(f);
    if (!err)
        *ret = m;
    return err;
}

int meta_open(struct fs *fs, const char *dir, uint64_t cluster_id, uint64_t id, struct meta *ret, char why[256])
{
    char path[META_PATH_MAX];
    struct file *f;
    struct meta m = {0};
    snprintf(path, sizeof(path), "%s/meta", dir);
    int err = fs_open(fs, path, FS_READ | FS_WRITE, &f);
    if (err)
        return err;
    err = read_newest(f, &m);
    if (err == -EBADMSG)
        snprintf(why, 256, "%.120s is damaged: wipe the directory and join under a new member id", path);
    if (!err && (m.cluster_id != cluster_id || m.id != id)) {
        snprintf(why, 256,
                 "%.120s belongs to member %" PRIu64 " of cluster %" PRIx64 ", not to member %" PRIu64 " of %" PRIx64,
                 path, m.id, m.cluster_id, id, cluster_id);
        err = -EINVAL;
    }
    if (err) {
        file_close(f);
        return err;
    }
    m.file = f;
    err = meta_save(&m, m.term, m.voted_for); /* what was read may never have reached the disk: see log.c */
    if (err) {
        file_close(f);
        return err;
    }
    *ret = m;
    return 0;
}

static int write_slot(struct meta *m)
{
    char bytes[SLOT_BYTES];
    encode(bytes, m);
    ssize_t r = file_pwrite(m->file, bytes, sizeof(bytes), (m->sequence % 2) * META_SLOT);
    return r < 0 ? (int)r : file_sync(m->file);
}

int meta_create(struct fs *fs, const char *dir, const struct meta *m, struct meta *ret)
{
    char path[META_PATH_MAX], tmp[META_PATH_MAX];
    snprintf(path, sizeof(path), "%s/meta", dir);
    snprintf(tmp, sizeof(tmp), "%s/meta.tmp", dir);
    struct meta made = *m;
    made.sequence = 1;
    int err = fs_open(fs, tmp, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &made.file);
    if (err)
        return err;
    err = file_prezero(made.file, 2 * META_SLOT);
    if (!err)
        err = write_slot(&made);
    if (!err)
        err = fs_rename(fs, tmp, path);
    if (!err)
        err = fs_sync_dir(fs, dir);
    if (err) {
        file_close(made.file);
        return err;
    }
    *ret = made;
    return 0;
}

int meta_save(struct meta *m, uint64_t term, uint64_t voted_for)
{
    m->sequence++;
    m->term = term;
    m->voted_for = voted_for;
    return write_slot(m);
}

void meta_close(struct meta *m)
{
    file_close(m->file);
    m->file = NULL;
}

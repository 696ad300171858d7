#include "raft/meta.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "raft/wire.h"

/* A slot: magic 8, version 4, crc32c 4 (of the next 48), cluster id 8, id 8, sequence 8, term 8, vote 8, zero 8; this is
 * all that format 1 knows, which a replica may be downgraded to, so the rest is behind it and has a checksum of its
 * own:
 * crc32c 4 (of the rest), zero 4, incarnation 8, refused by 8, runs 8 each. A replica of format 1 leaves that alone. */
enum { SLOT_HEAD = 64, SLOT_CRC_FROM = 16, SLOT_MORE = 16 + 8 + 8 * META_RUNS, SLOT_BYTES = SLOT_HEAD + SLOT_MORE };
enum { META_PATH_MAX = 512 };

static const char meta_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'M', 'T'};

static void encode(char out[SLOT_BYTES], const struct meta *m)
{
    char *more = out + SLOT_HEAD;
    memset(out, 0, SLOT_BYTES);
    memcpy(out, meta_magic, sizeof(meta_magic));
    put_u32(out + 8, META_VERSION);
    put_u64(out + 16, m->cluster_id);
    put_u64(out + 24, m->id);
    put_u64(out + 32, m->sequence);
    put_u64(out + 40, m->term);
    put_u64(out + 48, m->voted_for);
    put_u32(out + 12, crc32c(0, out + SLOT_CRC_FROM, SLOT_HEAD - SLOT_CRC_FROM));
    put_u64(more + 8, m->incarnation);
    put_u64(more + 16, m->refused_by);
    for (size_t i = 0; i < META_RUNS; i++)
        put_u64(more + 24 + 8 * i, m->runs[i]);
    put_u32(more, crc32c(0, more + 4, SLOT_MORE - 4));
}

static bool decode(const char in[SLOT_BYTES], struct meta *ret)
{
    if (memcmp(in, meta_magic, sizeof(meta_magic)) != 0 || get_u32(in + 8) != META_VERSION ||
        get_u32(in + 12) != crc32c(0, in + SLOT_CRC_FROM, SLOT_HEAD - SLOT_CRC_FROM))
        return false;
    ret->cluster_id = get_u64(in + 16);
    ret->id = get_u64(in + 24);
    ret->sequence = get_u64(in + 32);
    ret->term = get_u64(in + 40);
    ret->voted_for = get_u64(in + 48);
    return true;
}

/* The part that format 1 has not. 1: it is there and newer than what ret has; 0: absent, or older; -EBADMSG. */
static int decode_more(const char *more, struct meta *ret)
{
    static const char nothing[SLOT_MORE];
    if (memcmp(more, nothing, SLOT_MORE) == 0)
        return 0;
    if (get_u32(more) != crc32c(0, more + 4, SLOT_MORE - 4))
        return -EBADMSG;
    uint64_t incarnation = get_u64(more + 8), refused_by = get_u64(more + 16);
    if (incarnation < ret->incarnation || (incarnation == ret->incarnation && !refused_by))
        return 0;
    ret->incarnation = incarnation;
    ret->refused_by = refused_by;
    for (size_t i = 0; i < META_RUNS; i++)
        ret->runs[i] = get_u64(more + 24 + 8 * i);
    return 1;
}

/* *ret_slot: where the newest was found. */
static int read_newest(struct file *f, struct meta *ret, uint64_t *ret_slot)
{
    struct meta newest = {.sequence = 0};
    bool found = false, more = false, damaged = false;
    for (uint64_t slot = 0; slot < 2; slot++) {
        char bytes[SLOT_BYTES];
        struct meta m = newest;
        ssize_t r = file_pread(f, bytes, sizeof(bytes), slot * META_SLOT);
        if (r < 0)
            return (int)r;
        if (r != SLOT_BYTES)
            continue;
        int rv = decode_more(bytes + SLOT_HEAD, &m);
        more = more || rv > 0;
        damaged = damaged || rv < 0;
        if (decode(bytes, &m) && (!found || m.sequence > newest.sequence)) {
            newest = m;
            *ret_slot = slot;
            found = true;
        } else { /* what it says of incarnations still counts */
            newest.incarnation = m.incarnation;
            newest.refused_by = m.refused_by;
            memcpy(newest.runs, m.runs, sizeof(m.runs));
        }
    }
    if (!found || (damaged && !more))
        return -EBADMSG;
    *ret = newest;
    return 0;
}

/* Writes both slots, beginning with `first`: the other one is good until that is on disk. */
static int write_slots(struct meta *m, uint64_t first)
{
    char bytes[SLOT_BYTES];
    int err = 0;
    m->sequence++;
    encode(bytes, m);
    for (uint64_t i = 0; i < 2 && !err; i++) {
        ssize_t r = file_pwrite(m->file, bytes, sizeof(bytes), (first + i) % 2 * META_SLOT);
        err = r < 0 ? (int)r : file_sync(m->file);
    }
    return err;
}

static int check_owner(const struct meta *m, const char *path, uint64_t cluster_id, uint64_t id, char why[256])
{
    if (m->cluster_id != cluster_id || m->id != id) {
        snprintf(why, 256,
                 "%.120s belongs to member %" PRIu64 " of cluster %" PRIx64 ", not to member %" PRIu64 " of %" PRIx64,
                 path, m->id, m->cluster_id, id, cluster_id);
        return -EINVAL;
    }
    if (m->refused_by) {
        snprintf(why, 256,
                 "%.100s: member %" PRIu64
                 " refused this data directory: an older copy, or in use twice; wipe it and join as a new member",
                 path, m->refused_by);
        return -ESTALE;
    }
    return 0;
}

int meta_read(struct fs *fs, const char *dir, struct meta *ret)
{
    char path[META_PATH_MAX];
    struct file *f;
    struct meta m = {0};
    uint64_t slot;
    snprintf(path, sizeof(path), "%s/meta", dir);
    int err = fs_open(fs, path, FS_READ, &f);
    if (err)
        return err;
    err = read_newest(f, &m, &slot);
    file_close(f);
    if (!err)
        *ret = m;
    return err;
}

int meta_open(struct fs *fs, const char *dir, uint64_t cluster_id, uint64_t id, uint64_t run, struct meta *ret,
              char why[256])
{
    char path[META_PATH_MAX];
    struct file *f;
    struct meta m = {0};
    uint64_t slot = 0;
    snprintf(path, sizeof(path), "%s/meta", dir);
    int err = fs_open(fs, path, FS_READ | FS_WRITE, &f);
    if (err)
        return err;
    err = read_newest(f, &m, &slot);
    if (err == -EBADMSG)
        snprintf(why, 256, "%.120s is damaged: wipe the directory and join under a new member id", path);
    if (!err)
        err = check_owner(&m, path, cluster_id, id, why);
    if (!err) {
        m.file = f;
        m.incarnation++;
        memmove(m.runs + 1, m.runs, sizeof(m.runs) - sizeof(*m.runs));
        m.runs[0] = run;
        /* What was read may never have reached the disk (see log.c), so this does not hurt the slot it was in. */
        err = write_slots(&m, slot + 1);
    }
    if (err) {
        file_close(f);
        return err;
    }
    *ret = m;
    return 0;
}

int meta_create(struct fs *fs, const char *dir, const struct meta *m, struct meta *ret)
{
    char path[META_PATH_MAX], tmp[META_PATH_MAX];
    snprintf(path, sizeof(path), "%s/meta", dir);
    snprintf(tmp, sizeof(tmp), "%s/meta.tmp", dir);
    struct meta made = *m;
    int err = fs_open(fs, tmp, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &made.file);
    if (err)
        return err;
    err = file_prezero(made.file, 2UL * META_SLOT);
    if (!err)
        err = write_slots(&made, 0);
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
    m->term = term;
    m->voted_for = voted_for;
    return write_slots(m, 0);
}

int meta_refuse(struct meta *m, uint64_t by)
{
    m->refused_by = by;
    return write_slots(m, 0);
}

void meta_close(struct meta *m)
{
    file_close(m->file);
    m->file = NULL;
}

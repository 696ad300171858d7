#include "raft/offline.h"

#include <errno.h>
#include <inttypes.h>
#include <raft.h>
#include <stdio.h>

#include "base/mem.h"
#include "raft/entries.h"
#include "raft/log.h"
#include "raft/meta.h"
#include "raft/snapshot.h"

enum { SEGMENT_BYTES = 16 << 20, DIR_SHOWN = 120 };

/* ---- reading ---- */

struct reading {
    struct fs *fs;
    const char *dir;
    const struct raft_dir_visitor *v;
    void *ctx;
    struct raft_dir_info info;
    uint64_t snapshot_term;
    struct entries log;
};

static int take_members(struct reading *r, const void *p, size_t n)
{
    struct raft_configuration conf;
    struct raft_buffer buf = {(void *)p, n};
    if (raft_configuration_decode(&buf, &conf))
        return -EBADMSG;
    r->info.n_members = 0;
    for (unsigned i = 0; i < conf.n && i < RAFT_MEMBERS_MAX; i++) {
        struct raft_member *m = &r->info.members[r->info.n_members++];
        *m = (struct raft_member){.id = conf.servers[i].id};
        snprintf(m->address, sizeof(m->address), "%s", conf.servers[i].address);
    }
    raft_configuration_close(&conf);
    return 0;
}

static int read_snapshot(struct reading *r)
{
    char path[SNAP_PATH_MAX];
    struct snap_reader *reader;
    uint64_t index = 0;
    int err = snap_find(r->fs, r->dir, &index);
    if (err || !index)
        return err;
    snap_path(path, r->dir, index);
    err = snap_open(r->fs, path, &reader);
    if (err)
        return err;
    r->info.snapshot_index = r->info.last_index = index;
    r->info.last_term = r->snapshot_term = reader->info.term;
    err = take_members(r, reader->info.conf, reader->info.conf_n);
    if (!err && r->v->restore)
        err = r->v->restore(r->ctx, index, &reader->source);
    snap_close(reader);
    return err;
}

static int on_entry(void *ctx, uint64_t index, uint64_t term, uint16_t type, struct slice data)
{
    struct reading *r = ctx;
    if (r->log.n == 0 || index < r->log.first)
        entries_reset(&r->log, index);
    if (index > entries_last(&r->log) + 1)
        return -EBADMSG;
    struct blob *b = blob_copy(data);
    if (!b)
        return -ENOMEM;
    const struct entry entry = {term, type, chunk_take(b)};
    entries_put(&r->log, index, &entry);
    return 0;
}

/* The same rule as at a start: a log that does not go on from the snapshot holds nothing of use. */
static bool log_continues(const struct reading *r)
{
    uint64_t index = r->info.snapshot_index, term = entries_term(&r->log, index);
    return index == 0 || term == r->snapshot_term || (r->log.first == index + 1 && !term);
}

static int apply_log(struct reading *r)
{
    int err = 0;
    if (r->log.n && r->log.first > r->info.snapshot_index + 1)
        return -EBADMSG;
    if (!r->log.n || !log_continues(r))
        return 0;
    for (uint64_t i = r->info.snapshot_index + 1; i <= entries_last(&r->log) && !err; i++) {
        const struct entry *e = entries_get(&r->log, i);
        r->info.last_index = i;
        r->info.last_term = e->term;
        if (e->type == RAFT_CHANGE)
            err = take_members(r, e->chunk.p, e->chunk.n);
        else if (e->type == RAFT_COMMAND && r->v->apply)
            r->v->apply(r->ctx, i, slice_of(e->chunk.p, e->chunk.n));
    }
    return err;
}

static int read_log(struct reading *r, char why[256])
{
    const struct wal_options o = {r->fs, r->dir, r->info.cluster_id, SEGMENT_BYTES};
    struct wal_spares spares;
    struct wal *wal;
    int err = wal_open(&o, on_entry, r, &spares, &wal, why);
    if (err)
        return err;
    wal_close(wal);
    return apply_log(r);
}

static int read_dir(struct reading *r, char why[256])
{
    struct meta m;
    int err = meta_read(r->fs, r->dir, &m);
    if (err)
        return err;
    r->info.cluster_id = m.cluster_id;
    r->info.id = m.id;
    r->info.term = m.term;
    err = read_snapshot(r);
    return err ? err : read_log(r, why);
}

static int lock_dir(struct fs *fs, const char *dir, struct file **ret, char why[256])
{
    char path[SNAP_PATH_MAX];
    snprintf(path, sizeof(path), "%s/lock", dir);
    int err = fs_lock(fs, path, ret);
    if (err)
        snprintf(why, 256, "%.*s %s", DIR_SHOWN, dir,
                 err == -EWOULDBLOCK ? "is in use: stop the server that runs on it" : strerror(-err));
    return err;
}

int raft_dir_read(struct fs *fs, const char *dir, const struct raft_dir_visitor *v, void *ctx,
                  struct raft_dir_info *ret, char why[256])
{
    struct reading r = {.fs = fs, .dir = dir, .v = v, .ctx = ctx};
    struct file *lock;
    why[0] = '\0';
    int err = lock_dir(fs, dir, &lock, why);
    if (err)
        return err;
    entries_init(&r.log, 1);
    err = read_dir(&r, why);
    entries_done(&r.log);
    file_close(lock);
    if (!err)
        *ret = r.info;
    else if (!why[0])
        snprintf(why, 256, "%.*s: %s", DIR_SHOWN, dir,
                 err == -ENOENT    ? "no replica's data is there"
                 : err == -EBADMSG ? "what is there is damaged"
                                   : strerror(-err));
    return err;
}

/* ---- making ---- */

static void note_name(void *ctx, const char *name)
{
    if (strcmp(name, "lock") != 0 && strcmp(name, "lost+found") != 0 && strncmp(name, "before-", 7) != 0)
        *(bool *)ctx = true;
}

static int check_empty(struct fs *fs, const char *dir, char why[256])
{
    bool found = false;
    int err = fs_mkdir_synced(fs, dir);
    if (err) {
        snprintf(why, 256, "cannot make %.*s: %s", DIR_SHOWN, dir, strerror(-err));
        return err;
    }
    err = fs_list(fs, dir, note_name, &found);
    if (!err && found) {
        snprintf(why, 256, "%.*s is not empty: choose a new directory, or move what is there away", DIR_SHOWN, dir);
        err = -ENOTEMPTY;
    }
    return err;
}

static int fill_info(const struct raft_dir_new *o, struct snap_info *info)
{
    struct raft_configuration conf;
    struct raft_buffer buf = {0};
    raft_configuration_init(&conf);
    int rv = 0;
    for (size_t i = 0; i < o->n_members && !rv; i++)
        rv = raft_configuration_add(&conf, o->members[i].id, o->members[i].address, RAFT_VOTER);
    if (!rv)
        rv = raft_configuration_encode(&conf, &buf);
    raft_configuration_close(&conf);
    if (rv || buf.len > SNAP_CONF_MAX) {
        raft_free(buf.base);
        return -EINVAL;
    }
    *info = (struct snap_info){
        .cluster_id = o->cluster_id, .index = o->index, .term = o->term, .conf_index = o->index, .conf_n = buf.len};
    memcpy(info->conf, buf.base, buf.len);
    raft_free(buf.base);
    return 0;
}

static int create(struct fs *fs, const char *dir, const struct raft_dir_new *o,
                  int (*write)(void *frozen, struct raft_sink *sink), void *frozen, char why[256])
{
    struct snap_info *info = mem_new(struct snap_info);
    struct meta made, m = {.cluster_id = o->cluster_id, .id = o->id, .term = o->term}; /* no start yet: incarnation 0 */
    atomic_bool cancel = false;
    int err = fill_info(o, info);
    if (err)
        snprintf(why, 256, "the members are refused: each needs an id and an address of its own");
    if (!err)
        err = snap_write(fs, dir, info, write, frozen, &cancel);
    mem_free(info);
    if (!err)
        err = meta_create(fs, dir, &m, &made);
    if (!err)
        meta_close(&made);
    return err;
}

int raft_dir_create(struct fs *fs, const char *dir, const struct raft_dir_new *o,
                    int (*write)(void *frozen, struct raft_sink *sink), void *frozen, char why[256])
{
    struct file *lock;
    why[0] = '\0';
    int err = check_empty(fs, dir, why);
    if (!err)
        err = lock_dir(fs, dir, &lock, why);
    if (err)
        return err;
    err = create(fs, dir, o, write, frozen, why);
    file_close(lock);
    if (err && !why[0])
        snprintf(why, 256, "cannot write to %.*s: %s", DIR_SHOWN, dir, strerror(-err));
    return err;
}

/* ---- setting aside ---- */

struct moving {
    struct fs *fs;
    const char *dir, *aside;
    bool last; /* the identity, which goes first so that a half moved directory is refused */
    int err;
};

static void move_name(void *ctx, const char *name)
{
    struct moving *m = ctx;
    char from[SNAP_PATH_MAX], to[SNAP_PATH_MAX];
    bool keep = !strcmp(name, "lock") || !strcmp(name, "lost+found") || !strncmp(name, "before-", 7);
    if (m->err || keep || m->last != !strcmp(name, "meta"))
        return;
    snprintf(from, sizeof(from), "%.240s/%.200s", m->dir, name);
    snprintf(to, sizeof(to), "%.200s/%.100s/%.200s", m->dir, m->aside, name);
    m->err = fs_rename(m->fs, from, to);
}

static int move_all(struct fs *fs, const char *dir, const char *aside)
{
    char path[SNAP_PATH_MAX];
    struct moving m = {.fs = fs, .dir = dir, .aside = aside};
    snprintf(path, sizeof(path), "%.240s/%.200s", dir, aside);
    int err = fs_mkdir(fs, path);
    for (int i = 0; i < 2 && !err; i++) {
        m.last = i == 0;
        err = fs_list(fs, dir, move_name, &m);
        if (!err)
            err = m.err;
    }
    if (!err)
        err = fs_sync_dir(fs, path);
    return err ? err : fs_sync_dir(fs, dir);
}

int raft_dir_set_aside(struct fs *fs, const char *dir, const char *aside, char why[256])
{
    struct file *lock;
    why[0] = '\0';
    int err = lock_dir(fs, dir, &lock, why);
    if (err)
        return err;
    err = move_all(fs, dir, aside);
    file_close(lock);
    if (err)
        snprintf(why, 256, "cannot move %.100s to %.100s: %s", dir, aside, strerror(-err));
    return err;
}

#include "store/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "raft/wire.h"

enum { FILES_MIN = 64 };

/* ---- names ---- */

bool archive_parse_name(const char *name, struct archive_file *ret, bool *ret_base)
{
    uint64_t revision, index;
    char time[24];
    bool base = !strncmp(name, "base-", 5);
    int end = 0;
    if (!base && strncmp(name, "segment-", 8) != 0)
        return false;
    const char *at = name + (base ? 5 : 8);
    /* NOLINTNEXTLINE(cert-err34-c): no number of so few digits is out of range */
    if (sscanf(at, "%16" SCNu64 "-%16[0-9TZ]-%16" SCNx64 "%n", &revision, time, &index, &end) != 3 || !end || at[end] ||
        strlen(name) >= ARCHIVE_NAME_MAX)
        return false;
    *ret = (struct archive_file){.index = index, .revision = revision};
    snprintf(ret->name, sizeof ret->name, "%s", name);
    *ret_base = base;
    return true;
}

/* Doubles the array whenever its number is a power of two from FILES_MIN on. */
static void add_file(struct archive_file **files, size_t *n, const struct archive_file *f)
{
    if (*n == ARCHIVE_FILES_MAX)
        return;
    if (*n == 0 || (*n >= FILES_MIN && (*n & (*n - 1)) == 0)) {
        struct archive_file *more = mem_alloc((*n ? 2 * *n : FILES_MIN) * sizeof *more);
        if (*n)
            memcpy(more, *files, *n * sizeof *more);
        mem_free(*files);
        *files = more;
    }
    (*files)[(*n)++] = *f;
}

static void note_name(void *ctx, const char *name)
{
    struct archive *a = ctx;
    struct archive_file f;
    bool base;
    if (!archive_parse_name(name, &f, &base))
        return;
    if (base)
        add_file(&a->bases, &a->n_bases, &f);
    else
        add_file(&a->segments, &a->n_segments, &f);
}

static int by_index(const void *x, const void *y)
{
    const struct archive_file *a = x, *b = y;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return strcmp(a->name, b->name);
}

int archive_open(struct fs *fs, const char *dir, struct archive *ret, char why[256])
{
    struct archive a = {.fs = fs};
    snprintf(a.dir, sizeof a.dir, "%s", dir);
    int err = fs_list(fs, dir, note_name, &a);
    if (err) {
        snprintf(why, 256, "%.200s: %s", dir, strerror(-err));
        archive_done(&a);
        return err;
    }
    if (a.n_bases)
        qsort(a.bases, a.n_bases, sizeof *a.bases, by_index);
    if (a.n_segments)
        qsort(a.segments, a.n_segments, sizeof *a.segments, by_index);
    *ret = a;
    return 0;
}

void archive_done(struct archive *a)
{
    mem_free(a->bases);
    mem_free(a->segments);
    *a = (struct archive){0};
}

static void path_of(const struct archive *a, const struct archive_file *f, char out[SHIP_PATH_MAX])
{
    snprintf(out, SHIP_PATH_MAX, "%.360s/%s", a->dir, f->name);
}

/* ---- segments ---- */

static int read_record(struct backup_reader *r, struct buf *command, struct ship_record *ret)
{
    char head[SHIP_RECORD_HEAD];
    int err = backup_read(r, head, sizeof head);
    if (err)
        return err;
    uint32_t n = ship_record_decode(head, ret);
    buf_clear(command);
    if (n > RAFT_COMMAND_MAX || ret->prev >= ret->index)
        return -EBADMSG;
    err = buf_reserve(command, n);
    if (!err)
        err = backup_read(r, command->p, n);
    ret->command = slice_of(command->p, n);
    return err == -ENODATA ? -EBADMSG : err;
}

/* A crash may leave zeros where a block was to be. */
static bool ends_in_zeros(struct backup_reader *r)
{
    char bytes[4096];
    for (uint64_t at = r->at > BLOCK_HEAD ? r->at - BLOCK_HEAD : 0;;) {
        ssize_t n = file_pread(r->file, bytes, sizeof bytes, at);
        for (ssize_t i = 0; i < n; i++)
            if (bytes[i])
                return false;
        if (n < (ssize_t)sizeof bytes)
            return n >= 0;
        at += (uint64_t)n;
    }
}

int archive_read_segment(struct fs *fs, const char *path, int (*each)(void *ctx, const struct ship_record *r),
                         void *ctx, struct backup_info *ret_info, bool *ret_cut, char why[256])
{
    struct backup_reader *r;
    struct buf command = BUF_INIT(RAFT_COMMAND_MAX);
    struct ship_record record;
    int err = backup_open(fs, path, &r, why);
    if (err)
        return err;
    *ret_info = r->info;
    *ret_cut = false;
    if (r->info.kind != BACKUP_SEGMENT)
        err = -EBADMSG;
    while (!err && !(err = read_record(r, &command, &record)))
        err = each(ctx, &record);
    if (err == -ENODATA) {
        err = backup_read_end(r);
    } else if (err == -EBADMSG && (r->cut || ends_in_zeros(r))) {
        *ret_cut = true;
        err = 0;
    }
    if (err < 0 && !why[0])
        backup_explain(r, path, err, why);
    buf_done(&command);
    backup_close(r);
    return err;
}

/* ---- restoring ---- */

struct replay {
    const struct archive_target *target;
    struct store *store;
    struct archive_point *point;
    const char *path;
    char *why;
    bool gap;
    struct backup_info info; /* of the segment being read */
};

enum { STOP = 1, FOREIGN = 2 };

static int on_record(void *ctx, const struct ship_record *r)
{
    struct replay *p = ctx;
    struct store_result res;
    if (p->info.cluster_id != p->point->base.cluster_id)
        return FOREIGN;
    if (r->index <= p->point->index)
        return 0; /* written twice, or before the base */
    if (r->prev > p->point->index) {
        p->gap = true;
        return STOP;
    }
    if (r->revision > p->target->revision || r->time_ms > p->target->time_ms) {
        p->point->first_after = r->revision;
        return STOP;
    }
    store_apply(p->store, r->command, &res);
    p->point->index = r->index;
    if (store_hash(p->store) == r->hash && store_revision(p->store) == r->revision)
        return 0;
    snprintf(p->why, 256, "%.160s: the command at index %" PRIu64 " does not give what it gave the replica", p->path,
             r->index);
    return -EBADMSG;
}

static void note_point(struct replay *p)
{
    struct archive_point *at = p->point;
    at->revision = store_revision(p->store);
    at->hash = store_hash(p->store);
    at->time_ms = store_time_ms(p->store);
    const uint64_t parts[] = {at->base.cluster_id, at->revision, at->hash, at->time_ms};
    at->digest = hash64(slice_of(parts, sizeof parts), 0);
}

static int replay_segments(const struct archive *a, struct replay *p)
{
    char path[SHIP_PATH_MAX], why[256];
    int err = 0;
    for (size_t i = 0; i < a->n_segments && !err; i++) {
        bool cut;
        if (i + 1 < a->n_segments && a->segments[i + 1].index <= p->point->base.index)
            continue; /* all before the base */
        path_of(a, &a->segments[i], path);
        p->path = path;
        p->why[0] = why[0] = '\0';
        err = archive_read_segment(a->fs, path, on_record, p, &p->info, &cut, why);
        if (err < 0 && !p->why[0])
            snprintf(p->why, 256, "%s", why);
        if (err == FOREIGN)
            err = 0;
        else if (!err && p->info.term > p->point->term)
            p->point->term = p->info.term;
    }
    return err < 0 ? err : 0;
}

static int load_base(const struct archive *a, const struct archive_file *f, struct store *s, struct backup_info *ret,
                     char why[256])
{
    char path[SHIP_PATH_MAX];
    struct backup_reader *r;
    path_of(a, f, path);
    int err = backup_open(a->fs, path, &r, why);
    if (err)
        return err;
    err = r->info.kind == BACKUP_SNAPSHOT ? store_restore(s, backup_read, r) : -EBADMSG;
    if (!err)
        err = backup_read_end(r);
    if (err)
        backup_explain(r, path, err, why);
    *ret = r->info;
    backup_close(r);
    return err;
}

/* Whether the base's state is not beyond the target, by its head. */
static bool base_fits(const struct archive *a, const struct archive_file *f, const struct archive_target *t)
{
    char path[SHIP_PATH_MAX], why[256];
    struct backup_reader *r;
    path_of(a, f, path);
    if (f->revision > t->revision || backup_open(a->fs, path, &r, why))
        return false;
    bool fits = r->info.time_ms <= t->time_ms && r->info.revision <= t->revision;
    backup_close(r);
    return fits;
}

int archive_restore_from(const struct archive *a, size_t base, const struct archive_target *target, struct store *s,
                         struct archive_point *ret, char why[256])
{
    struct archive_point point = {0};
    struct replay p = {.target = target, .store = s, .point = &point, .why = why};
    why[0] = '\0';
    int err = load_base(a, &a->bases[base], s, &point.base, why);
    if (err)
        return err;
    point.index = point.base.index;
    point.term = point.base.term;
    err = replay_segments(a, &p);
    note_point(&p);
    point.gap = p.gap;
    if (!err && p.gap)
        snprintf(why, 256, "%.120s has a gap behind revision %" PRIu64 ": what follows was not shipped", a->dir,
                 point.revision);
    *ret = point;
    return !err && p.gap ? -EBADMSG : err;
}

int archive_restore(const struct archive *a, const struct archive_target *target, struct store *s,
                    struct archive_point *ret, char why[256])
{
    int err = -ENOENT;
    *ret = (struct archive_point){0};
    snprintf(why, 256, "%.150s holds no whole state from before that", a->dir);
    for (size_t i = a->n_bases; i > 0; i--) {
        if (!base_fits(a, &a->bases[i - 1], target))
            continue;
        /* The newest base first; a damaged one is no loss as long as there is an older one. */
        err = archive_restore_from(a, i - 1, target, s, ret, why);
        if (!err || ret->index)
            return err;
    }
    return err;
}

/* ---- listing ---- */

struct walk {
    struct archive_range *range;
    bool gap;
    struct backup_info info; /* of the segment being read */
};

static int walk_record(void *ctx, const struct ship_record *r)
{
    struct walk *w = ctx;
    if (w->info.cluster_id != w->range->cluster_id)
        return FOREIGN;
    if (r->index <= w->range->index)
        return 0;
    w->gap = r->prev > w->range->index;
    if (w->gap)
        return STOP;
    w->range->index = r->index;
    w->range->to_revision = r->revision;
    w->range->to_ms = r->time_ms;
    return 0;
}

int archive_range(const struct archive *a, size_t base, struct archive_range *ret, char why[256])
{
    char path[SHIP_PATH_MAX];
    struct backup_reader *r;
    struct walk w = {.range = ret};
    bool cut;
    why[0] = '\0';
    path_of(a, &a->bases[base], path);
    int err = backup_open(a->fs, path, &r, why);
    if (err)
        return err;
    *ret = (struct archive_range){r->info.cluster_id, r->info.index,   r->info.revision,
                                  r->info.revision,   r->info.time_ms, r->info.time_ms};
    backup_close(r);
    for (size_t i = 0; i < a->n_segments && (!err || err == FOREIGN); i++) {
        if (i + 1 < a->n_segments && a->segments[i + 1].index <= ret->index)
            continue;
        path_of(a, &a->segments[i], path);
        err = archive_read_segment(a->fs, path, walk_record, &w, &w.info, &cut, why);
    }
    return err < 0 ? err : 0;
}

#include "raft/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "raft/segment.h"
#include "raft/wire.h"

enum { FILES_MAX = 65536 };

struct wal_segment {
    uint64_t sequence, first_index, bytes;
};

/* How far the log was synced, as far as the mark's file says; sequence 0 = it does not. */
struct wal_mark {
    uint64_t sequence, end;
};

struct wal {
    struct wal_options o;
    struct wal_segment *closed; /* oldest first */
    size_t n_closed, cap_closed;
    struct file *file; /* the one being written; NULL = the next write starts one */
    struct wal_segment open;
    uint64_t at;       /* end of what is written in file; 0 = not even the header */
    uint64_t batch;    /* where what is not synced yet begins; 0 = all is synced */
    uint64_t sequence; /* last one used; never used twice, for a recycled file keeps the records of its past */
    struct file *mark; /* NULL: the disk was too full to make one */
    struct wal_mark marked;
};

/* ---- names ---- */

static void segment_name(char out[WAL_NAME_MAX], const char *kind, uint64_t number)
{
    snprintf(out, WAL_NAME_MAX, "%s-%016" PRIx64, kind, number);
}

static void path_of(const struct wal_options *o, char out[WAL_PATH_MAX], const char *name)
{
    snprintf(out, WAL_PATH_MAX, "%s/%s", o->dir, name);
}

static bool parse_name(const char *name, const char *kind, uint64_t *ret)
{
    size_t n = strlen(kind);
    if (strncmp(name, kind, n) != 0 || name[n] != '-' || strlen(name) != n + 17)
        return false;
    uint64_t v = 0;
    for (const char *p = name + n + 1; *p; p++) {
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')))
            return false;
        v = v << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    }
    *ret = v;
    return true;
}

static int rename_in(const struct wal_options *o, const char *from, const char *to)
{
    char a[WAL_PATH_MAX], b[WAL_PATH_MAX];
    path_of(o, a, from);
    path_of(o, b, to);
    return fs_rename(o->fs, a, b);
}

static int unlink_in(const struct wal_options *o, const char *name)
{
    char p[WAL_PATH_MAX];
    path_of(o, p, name);
    return fs_unlink(o->fs, p);
}

/* ---- spares ---- */

int wal_prepare(const struct wal_options *o, const char *name)
{
    char path[WAL_PATH_MAX], tmp[WAL_NAME_MAX + 4];
    struct file *f;
    snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    path_of(o, path, tmp);
    int err = fs_open(o->fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &f);
    if (err)
        return err;
    err = file_prezero(f, o->segment_bytes);
    file_close(f);
    if (!err)
        err = rename_in(o, tmp, name);
    if (err)
        unlink_in(o, tmp);
    return err ? err : fs_sync_dir(o->fs, o->dir);
}

static void add_spare(struct wal_spares *s, const char *name)
{
    snprintf(s->names[s->n++], WAL_NAME_MAX, "%s", name);
}

/* Turns a segment into a spare, or removes it when there are enough. */
static int retire(struct wal *w, const struct wal_segment *seg, struct wal_spares *spares)
{
    char from[WAL_NAME_MAX], to[WAL_NAME_MAX];
    segment_name(from, "wal", seg->sequence);
    if (spares->n == WAL_SPARES_MAX || seg->bytes < w->o.segment_bytes)
        return unlink_in(&w->o, from);
    segment_name(to, "old", seg->sequence);
    int err = rename_in(&w->o, from, to);
    if (!err)
        add_spare(spares, to);
    return err;
}

/* ---- the mark ----
 *
 * A torn tail and a damaged one look alike. So after each sync its end is noted in a file of its own, which is not
 * synced: what the mark says was on disk before the mark was written, and if the machine dies before the mark is on
 * disk, an older one stands there, or a torn one, which says nothing. */

enum { MARK_BYTES = 32, MARK_FILE_BYTES = 4096, MARK_CRC_FROM = 12 };

static const char mark_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'W', 'M'};

static int write_mark(struct wal *w, uint64_t sequence, uint64_t end)
{
    char bytes[MARK_BYTES] = {0};
    if (!w->mark)
        return 0;
    memcpy(bytes, mark_magic, sizeof(mark_magic));
    put_u64(bytes + 16, sequence);
    put_u64(bytes + 24, end);
    put_u32(bytes + 8, crc32c(0, bytes + MARK_CRC_FROM, MARK_BYTES - MARK_CRC_FROM));
    ssize_t r = file_pwrite(w->mark, bytes, sizeof(bytes), 0);
    return r < 0 ? (int)r : 0;
}

static int read_mark(struct wal *w)
{
    char bytes[MARK_BYTES] = {0};
    ssize_t r = file_pread(w->mark, bytes, sizeof(bytes), 0);
    if (r == MARK_BYTES && memcmp(bytes, mark_magic, sizeof(mark_magic)) == 0 &&
        get_u32(bytes + 8) == crc32c(0, bytes + MARK_CRC_FROM, MARK_BYTES - MARK_CRC_FROM))
        w->marked = (struct wal_mark){get_u64(bytes + 16), get_u64(bytes + 24)};
    return r < 0 ? (int)r : 0;
}

static int open_mark(struct wal *w)
{
    char path[WAL_PATH_MAX];
    path_of(&w->o, path, "mark");
    int err = fs_open(w->o.fs, path, FS_READ | FS_WRITE | FS_CREATE, &w->mark);
    if (!err)
        err = read_mark(w);
    if (!err)
        err = file_prezero(w->mark, MARK_FILE_BYTES);
    if (err != -ENOSPC)
        return err;
    file_close(w->mark); /* goes on without: the next start has space, or not */
    w->mark = NULL;
    return 0;
}

/* ---- segments ---- */

static void push_closed(struct wal *w, const struct wal_segment *seg)
{
    if (w->n_closed == w->cap_closed) {
        size_t cap = w->cap_closed ? w->cap_closed * 2 : 16;
        struct wal_segment *closed = mem_alloc(cap * sizeof(*closed));
        if (w->n_closed)
            memcpy(closed, w->closed, w->n_closed * sizeof(*closed));
        mem_free(w->closed);
        w->closed = closed;
        w->cap_closed = cap;
    }
    w->closed[w->n_closed++] = *seg;
}

/* Gives the log a new file to write to, whose first record will be index. */
static int start_segment(struct wal *w, uint64_t index, struct wal_spares *spares)
{
    char name[WAL_NAME_MAX], path[WAL_PATH_MAX];
    segment_name(name, "wal", w->sequence + 1);
    int err = spares->n ? rename_in(&w->o, spares->names[spares->n - 1], name) : wal_prepare(&w->o, name);
    if (err)
        return err;
    if (spares->n)
        spares->n--;
    path_of(&w->o, path, name);
    err = fs_sync_dir(w->o.fs, w->o.dir);
    if (!err)
        err = fs_open(w->o.fs, path, FS_READ | FS_WRITE, &w->file);
    if (err)
        return err;
    w->open = (struct wal_segment){++w->sequence, index, w->o.segment_bytes};
    w->at = 0;
    return 0;
}

static int write_all(struct wal *w, const char *p, size_t n)
{
    ssize_t r = file_pwrite(w->file, p, n, w->at);
    if (r < 0)
        return (int)r;
    w->at += n;
    if (w->at > w->open.bytes)
        w->open.bytes = w->at;
    return 0;
}

static int write_header(struct wal *w)
{
    char header[SEGMENT_HEADER];
    uint64_t previous = w->n_closed ? w->closed[w->n_closed - 1].sequence : 0;
    const struct segment_header h = {w->o.cluster_id, w->open.sequence, w->open.first_index, previous};
    segment_header_encode(header, &h);
    return write_all(w, header, sizeof(header));
}

/* Says in the segment that the log goes on in the next one. */
static int end_segment(struct wal *w)
{
    char end[RECORD_HEADER];
    record_encode(end, 1, 0, RECORD_END, SLICE_NONE);
    record_seal(end, w->open.sequence, (uint32_t)(w->batch ? w->batch : w->at));
    int err = write_all(w, end, sizeof(end));
    if (!err)
        err = file_sync(w->file);
    w->batch = 0;
    file_close(w->file);
    w->file = NULL;
    push_closed(w, &w->open);
    return err;
}

/* ---- writing ---- */

void wal_op_init(struct wal_op *op)
{
    *op = (struct wal_op){0};
    buf_init(&op->records, WAL_OP_MAX);
}

void wal_op_done(struct wal_op *op)
{
    buf_done(&op->records);
}

void wal_op_clear(struct wal_op *op)
{
    buf_clear(&op->records);
    op->n_records = 0;
    op->reset = false;
    op->cut = 0;
    op->spares.n = 0;
}

int wal_op_add(struct wal_op *op, uint64_t index, uint64_t term, uint16_t type, struct slice data)
{
    size_t n = record_size(data.n);
    int err = buf_reserve(&op->records, n);
    if (err)
        return err;
    record_encode(op->records.p + op->records.n, index, term, type, data);
    op->records.n += n;
    op->n_records++;
    return 0;
}

static size_t size_at(const char *p)
{
    return record_size(get_u32(p + 4));
}

/* How many bytes of the records fit into the open segment, its end record included; at least one record fits into a
 * fresh one, however large. */
static size_t fitting(const struct wal *w, const char *p, size_t n)
{
    uint64_t at = w->at ? w->at : SEGMENT_HEADER;
    bool fresh = w->at == 0;
    size_t fit = 0;
    while (fit < n && (at + fit + size_at(p + fit) + RECORD_HEADER <= w->o.segment_bytes || (fresh && fit == 0)))
        fit += size_at(p + fit);
    return fit;
}

/* Writes records that fit: one pwrite. */
static int write_batch(struct wal *w, char *p, size_t n)
{
    int err = w->at == 0 ? write_header(w) : 0;
    w->batch = w->at;
    for (size_t i = 0; i < n; i += size_at(p + i))
        record_seal(p + i, w->open.sequence, (uint32_t)w->batch);
    return err ? err : write_all(w, p, n);
}

static int write_records(struct wal *w, struct wal_op *op)
{
    char *p = op->records.p;
    size_t n = op->records.n;
    while (n > 0) {
        int err = w->file ? 0 : start_segment(w, get_u64(p + 8), &op->spares);
        if (err)
            return err;
        size_t fit = fitting(w, p, n);
        if (fit)
            err = write_batch(w, p, fit);
        if (!err && fit < n)
            err = end_segment(w);
        if (err)
            return err;
        p += fit;
        n -= fit;
    }
    return 0;
}

/* ---- dropping ---- */

static int cut_prefix(struct wal *w, struct wal_op *op)
{
    size_t n = 0;
    for (; n < w->n_closed; n++) {
        bool last = n + 1 == w->n_closed;
        if (last && !w->file)
            break; /* what follows is not known yet */
        uint64_t next = last ? w->open.first_index : w->closed[n + 1].first_index;
        if (next > op->cut + 1)
            break;
        int err = retire(w, &w->closed[n], &op->spares);
        if (err)
            return err;
    }
    if (n == 0)
        return 0;
    memmove(w->closed, w->closed + n, (w->n_closed - n) * sizeof(*w->closed));
    w->n_closed -= n;
    return fs_sync_dir(w->o.fs, w->o.dir);
}

static int drop_all(struct wal *w, struct wal_op *op)
{
    if (w->file) {
        file_close(w->file);
        w->file = NULL;
        push_closed(w, &w->open);
    }
    int marked = write_mark(w, 0, 0);
    if (!marked && w->mark)
        marked = file_sync(w->mark);
    if (marked)
        return marked;
    /* Newest first: what a crash leaves is always a log without gaps. */
    while (w->n_closed) {
        int err = retire(w, &w->closed[w->n_closed - 1], &op->spares);
        if (err)
            return err;
        w->n_closed--;
    }
    return fs_sync_dir(w->o.fs, w->o.dir);
}

uint64_t wal_size(const struct wal *w)
{
    uint64_t bytes = w->file ? w->open.bytes : 0;
    for (size_t i = 0; i < w->n_closed; i++)
        bytes += w->closed[i].bytes;
    return bytes;
}

int wal_run(struct wal *w, struct wal_op *op)
{
    int err = op->reset ? drop_all(w, op) : 0;
    if (!err && op->records.n)
        err = write_records(w, op);
    if (!err && w->batch) {
        err = file_sync(w->file);
        if (!err)
            err = write_mark(w, w->open.sequence, w->at);
    }
    w->batch = 0;
    if (!err && op->cut)
        err = cut_prefix(w, op);
    op->wal_bytes = wal_size(w);
    return err;
}

/* ---- opening ---- */

struct listing {
    uint64_t *sequences;
    size_t n, cap;
    struct wal *w;
    struct wal_spares *spares;
    int err;
};

static int check_spare(struct wal *w, const char *name, struct wal_spares *spares)
{
    char path[WAL_PATH_MAX];
    struct file *f;
    uint64_t size = 0;
    path_of(&w->o, path, name);
    int err = fs_open(w->o.fs, path, FS_READ, &f);
    if (err)
        return err;
    err = file_size(f, &size);
    file_close(f);
    if (err)
        return err;
    if (size < w->o.segment_bytes || spares->n == WAL_SPARES_MAX)
        return unlink_in(&w->o, name);
    add_spare(spares, name);
    return 0;
}

/* A spare whose making was interrupted. */
static bool is_leftover(const char *name)
{
    struct slice s = slice_str(name);
    return slice_ends(s, SLICE(".tmp")) && (slice_starts(s, SLICE("new-")) || slice_starts(s, SLICE("wal-")));
}

static void note_sequence(struct listing *l, uint64_t number)
{
    if (l->n == FILES_MAX) {
        l->err = -EMFILE;
        return;
    }
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        uint64_t *sequences = mem_alloc(l->cap * sizeof(*sequences));
        if (l->n)
            memcpy(sequences, l->sequences, l->n * sizeof(*sequences));
        mem_free(l->sequences);
        l->sequences = sequences;
    }
    l->sequences[l->n++] = number;
}

static void on_name(void *ctx, const char *name)
{
    struct listing *l = ctx;
    uint64_t number;
    if (l->err)
        return;
    if (parse_name(name, "wal", &number)) {
        note_sequence(l, number);
    } else if (parse_name(name, "old", &number)) {
        l->w->sequence = number > l->w->sequence ? number : l->w->sequence;
        l->err = check_spare(l->w, name, l->spares);
    } else if (parse_name(name, "new", &number)) {
        l->err = check_spare(l->w, name, l->spares);
    } else if (is_leftover(name)) {
        l->err = unlink_in(&l->w->o, name);
    }
}

struct replay {
    wal_entry_fn *each;
    void *ctx;
};

static int on_record(void *ctx, const struct record *r)
{
    struct replay *x = ctx;
    return x->each(x->ctx, r->index, r->term, r->type, r->data);
}

static int read_whole(struct file *f, struct slice *ret)
{
    uint64_t size;
    int err = file_size(f, &size);
    if (err)
        return err;
    char *bytes = mem_try(size);
    if (!bytes)
        return -ENOMEM;
    ssize_t r = file_pread(f, bytes, size, 0);
    if (r < 0) {
        mem_free(bytes);
        return (int)r;
    }
    *ret = slice_of(bytes, (size_t)r);
    return 0;
}

static int read_segment(struct wal *w, uint64_t sequence, struct file **ret_file, struct slice *ret)
{
    char name[WAL_NAME_MAX], path[WAL_PATH_MAX];
    struct file *f;
    segment_name(name, "wal", sequence);
    path_of(&w->o, path, name);
    int err = fs_open(w->o.fs, path, FS_READ | FS_WRITE, &f);
    if (err)
        return err;
    err = read_whole(f, ret);
    if (err) {
        file_close(f);
        return err;
    }
    *ret_file = f;
    return 0;
}

enum { DIR_SHOWN = 130 }; /* of its name, in a message */

/* Says that a segment is bad, and what to do. */
static int damaged(const struct wal *w, uint64_t sequence, const char *how, uint64_t at, char why[256])
{
    snprintf(why, 256, "%.*s/wal-%016" PRIx64 " %s %" PRIu64 ": wipe the directory and join under a new member id",
             DIR_SHOWN, w->o.dir, sequence, how, at);
    return -EBADMSG;
}

/* A last segment without a good header: never written to, or damaged. */
static int replay_headless(struct wal *w, uint64_t sequence, struct slice bytes, bool last, struct wal_spares *spares,
                           char why[256])
{
    if (!last || segment_was_used(bytes, sequence) || w->marked.sequence == sequence)
        return damaged(w, sequence, "is damaged at byte", 0, why);
    const struct wal_segment seg = {sequence, 0, bytes.n};
    return retire(w, &seg, spares);
}

static int check_header(struct wal *w, const struct segment_header *h, uint64_t sequence, char why[256])
{
    if (h->cluster_id != w->o.cluster_id) {
        snprintf(why, 256, "the log in %s belongs to cluster %" PRIx64 ", not %" PRIx64, w->o.dir, h->cluster_id,
                 w->o.cluster_id);
        return -EINVAL;
    }
    if (h->sequence != sequence)
        return damaged(w, sequence, "says that it is segment", h->sequence, why);
    if (w->n_closed && h->previous != w->closed[w->n_closed - 1].sequence)
        return damaged(w, h->previous, "is missing before segment", sequence, why);
    return 0;
}

/* What was read may be in the kernel's memory only: its writer may have died before its sync, or of a sync that failed
 * (after which a sync that succeeds says nothing). Writing it again is what brings it to the disk for sure. */
static int settle(struct wal *w, struct slice bytes)
{
    ssize_t r = file_pwrite(w->file, bytes.p, bytes.n, 0);
    return r < 0 ? (int)r : file_sync(w->file);
}

static int replay_records(struct wal *w, struct slice bytes, const struct segment_header *h, bool last,
                          struct replay *replay, char why[256])
{
    struct segment_scan scan = {.sequence = h->sequence, .each = on_record, .ctx = replay};
    int err = segment_scan(bytes, &scan);
    bool marked = w->marked.sequence == h->sequence && scan.end < w->marked.end;
    if (!err && !scan.complete && (!last || marked))
        err = -EBADMSG;
    if (err == -EBADMSG)
        return damaged(w, h->sequence, "is damaged at byte", scan.end, why);
    if (err)
        return err;
    w->open = (struct wal_segment){h->sequence, h->first_index, bytes.n};
    w->at = scan.end;
    if (last)
        err = settle(w, slice_of(bytes.p, scan.end));
    if (!err && !scan.complete)
        return end_segment(w); /* a torn tail is never written over: new entries go to a new segment */
    push_closed(w, &w->open);
    return err;
}

static int replay_segment(struct wal *w, uint64_t sequence, bool last, struct replay *replay, struct wal_spares *spares,
                          char why[256])
{
    struct slice bytes;
    struct segment_header h;
    int err = read_segment(w, sequence, &w->file, &bytes);
    if (err)
        return err;
    if (sequence > w->sequence)
        w->sequence = sequence;
    /* A recycled file still has the header of its former life until the first write. */
    if (segment_header_decode(bytes, &h) || (last && h.sequence < sequence && h.cluster_id == w->o.cluster_id))
        err = replay_headless(w, sequence, bytes, last, spares, why);
    else if (!(err = check_header(w, &h, sequence, why)))
        err = replay_records(w, bytes, &h, last, replay, why);
    mem_free((char *)bytes.p);
    file_close(w->file);
    w->file = NULL;
    return err;
}

static int replay_all(struct wal *w, const struct listing *l, struct replay *replay, char why[256])
{
    for (size_t i = 0; i < l->n; i++) {
        int err = replay_segment(w, l->sequences[i], i + 1 == l->n, replay, l->spares, why);
        if (err)
            return err;
    }
    uint64_t newest = l->n ? l->sequences[l->n - 1] : 0;
    return w->marked.sequence > newest ? damaged(w, w->marked.sequence, "is missing after segment", newest, why) : 0;
}

int wal_open(const struct wal_options *o, wal_entry_fn *each, void *ctx, struct wal_spares *ret_spares,
             struct wal **ret, char why[256])
{
    struct wal *w = mem_new(struct wal);
    struct wal_spares spares = {.n = 0};
    struct listing l = {.w = w, .spares = &spares};
    struct replay replay = {each, ctx};
    w->o = *o;
    why[0] = '\0';
    int err = fs_sync_dir(o->fs, o->dir); /* names, too, may not be on disk yet */
    if (!err)
        err = fs_list(o->fs, o->dir, on_name, &l);
    if (!err)
        err = l.err;
    if (!err)
        err = open_mark(w);
    if (!err)
        err = replay_all(w, &l, &replay, why);
    mem_free(l.sequences);
    if (err) {
        if (!why[0])
            snprintf(why, 256, "cannot read the log in %s: %s", o->dir, strerror(-err));
        wal_close(w);
        return err;
    }
    *ret_spares = spares;
    *ret = w;
    return 0;
}

void wal_close(struct wal *w)
{
    if (!w)
        return;
    file_close(w->file);
    file_close(w->mark);
    mem_free(w->closed);
    mem_free(w);
}

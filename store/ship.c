#include "store/ship.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "raft/wire.h"
#include "store/archive.h"

enum {
    TICK_MS_MIN = 20,
    TICK_MS_MAX = 1000,
    RETRY_MS = 5000,
    FLUSH_BYTES = 1 << 20, /* this much does not wait for lag_ms */
    LANE_SEGMENT = LOOP_LANE_POOL0 + 3,
    LANE_BASE = LOOP_LANE_POOL0 + 4,
};

/* Where a chain of records stands. */
struct place {
    uint64_t index, revision, hash;
};

/* What the segment lane works on; while busy it belongs to that lane. */
struct segment_work {
    struct loop_work w;
    bool busy, scan;
    struct buf records;        /* to be written */
    struct backup_info begins; /* where they go on from */
    struct place ends;
    uint64_t oldest; /* loop_now of the first one */
    struct file *file;
    uint64_t at, total, begun; /* of the open segment: bytes, bytes of records, loop_now when it was begun */
    uint64_t now;
    bool close; /* end the segment afterwards */
    int err;
    /* scan's result */
    bool found;
    struct place tail;
    uint64_t tail_cluster;
    bool anew; /* the directory had to be made again */
};

struct base_work {
    struct loop_work w;
    bool busy;
    struct store_frozen *frozen;
    struct backup_writer writer;
    struct backup_info info;
    uint64_t bytes;
    atomic_bool cancel;
    int err;
};

struct ship {
    struct loop *loop;
    struct replica *replica;
    struct fs *fs;
    char root[SHIP_PATH_MAX], dir[SHIP_PATH_MAX];
    struct ship_options o;
    struct loop_timer timer;
    bool started, closing;
    /* records that wait */
    struct buf pending;
    struct backup_info pending_begins;
    uint64_t pending_oldest;
    struct place last; /* newest command seen */
    bool scanned;
    struct place skip; /* shipped in an earlier life: not again; index 0 = none */
    bool need_base;
    uint64_t retry_at, base_retry_at, base_made; /* loop_now */
    uint64_t since_base, base_bytes;
    struct segment_work seg;
    struct base_work base;
    bool failing, seg_failing, base_failing;
    struct metric *m_lag, *m_failing, *m_revision;
};

/* ---- format ---- */

void ship_record_encode(char head[SHIP_RECORD_HEAD], const struct ship_record *r)
{
    put_u32(head, (uint32_t)r->command.n);
    put_u32(head + 4, 0);
    put_u64(head + 8, r->index);
    put_u64(head + 16, r->prev);
    put_u64(head + 24, r->revision);
    put_u64(head + 32, r->hash);
    put_u64(head + 40, r->time_ms);
}

uint32_t ship_record_decode(const char head[SHIP_RECORD_HEAD], struct ship_record *ret)
{
    *ret = (struct ship_record){.index = get_u64(head + 8),
                                .prev = get_u64(head + 16),
                                .revision = get_u64(head + 24),
                                .hash = get_u64(head + 32),
                                .time_ms = get_u64(head + 40)};
    return get_u32(head);
}

void ship_name(char out[128], const struct backup_info *i)
{
    char text[TIME_SEC_LEN + 1], time[TIME_SEC_LEN + 1];
    size_t n = 0;
    time_format_sec((int64_t)(i->made_ms * NS_PER_MS), text);
    for (const char *p = text; *p; p++)
        if (*p != '-' && *p != ':')
            time[n++] = *p;
    time[n] = '\0';
    snprintf(out, 128, "%s-%016" PRIu64 "-%s-%016" PRIx64, i->kind == BACKUP_SEGMENT ? "segment" : "base", i->revision,
             time, i->index);
}

static void path_in(const struct ship *s, char out[SHIP_PATH_MAX], const char *name)
{
    snprintf(out, SHIP_PATH_MAX, "%.360s/%.128s", s->dir, name);
}

/* ---- telling ---- */

static void set_failing(struct ship *s, bool *part, int err, const char *what)
{
    *part = err != 0;
    bool failing = s->seg_failing || s->base_failing;
    if (failing && !s->failing)
        log_warn(loop_log(s->loop), "backup",
                 "%s in %s failed error=\"%s\" remedy=\"mend the directory; it is tried again\"", what, s->dir,
                 strerror(-err));
    else if (!failing && s->failing)
        log_info(loop_log(s->loop), "backup", "writing to %s works again", s->dir);
    s->failing = failing;
    if (s->m_failing)
        s->m_failing->value = failing;
}

static void set_lag(struct ship *s)
{
    uint64_t oldest = s->seg.oldest ? s->seg.oldest : s->pending.n ? s->pending_oldest : 0;
    if (s->m_lag)
        s->m_lag->value = oldest ? (double)(loop_now(s->loop) - oldest) / 1e9 : 0;
}

/* ---- the segment lane ---- */

struct tail_scan {
    struct place place;
    bool broken; /* what follows does not go on from there */
};

static int note_record(void *ctx, const struct ship_record *r)
{
    struct tail_scan *t = ctx;
    if (r->index <= t->place.index)
        return 0;
    t->broken = t->broken || r->prev > t->place.index;
    t->place = (struct place){r->index, r->revision, r->hash};
    return 0;
}

/* The state that the newest base and the segments behind it lead to. */
static int scan_tail(struct ship *s, const struct archive *a, struct segment_work *w)
{
    char path[SHIP_PATH_MAX], why[256] = "";
    struct backup_reader *r;
    struct tail_scan t = {0};
    path_in(s, path, a->bases[a->n_bases - 1].name);
    int err = backup_open(s->fs, path, &r, why);
    if (err)
        return err;
    t.place = (struct place){r->info.index, r->info.revision, r->info.hash};
    w->tail_cluster = r->info.cluster_id;
    backup_close(r);
    for (size_t i = 0; i < a->n_segments && !err; i++) {
        struct backup_info info;
        bool cut;
        if (i + 1 < a->n_segments && a->segments[i + 1].index <= t.place.index)
            continue;
        path_in(s, path, a->segments[i].name);
        err = archive_read_segment(s->fs, path, note_record, &t, &info, &cut, why);
    }
    w->tail = t.place;
    w->found = !err && !t.broken;
    return err;
}

static int scan(struct ship *s, struct segment_work *w)
{
    struct archive a;
    char why[256];
    int err = fs_mkdir(s->fs, s->dir); /* not what it is in: an empty mount point is no backup directory */
    if (err && err != -EEXIST)
        return err;
    err = archive_open(s->fs, s->dir, &a, why);
    if (err)
        return err;
    w->found = false;
    err = a.n_bases ? scan_tail(s, &a, w) : 0;
    archive_done(&a);
    return err == -EBADMSG ? 0 : err; /* what is damaged cannot be gone on from: a base will be written */
}

static int open_segment(struct ship *s, struct segment_work *w)
{
    char name[128], path[SHIP_PATH_MAX], head[BACKUP_HEAD];
    ship_name(name, &w->begins);
    path_in(s, path, name);
    int err = fs_mkdir(s->fs, s->dir);
    w->anew = w->anew || !err; /* somebody took everything away */
    if (err && err != -EEXIST)
        return err;
    err = fs_open(s->fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &w->file);
    if (err)
        return err;
    backup_head_encode(head, &w->begins);
    ssize_t r = file_pwrite(w->file, head, sizeof head, 0);
    w->at = sizeof head;
    w->total = 0;
    w->begun = w->now;
    return r < 0 ? (int)r : fs_sync_dir(s->fs, s->dir);
}

static int append(struct segment_work *w, struct buf *out)
{
    ssize_t r = buf_error(out) ? buf_error(out) : file_pwrite(w->file, out->p, out->n, w->at);
    if (r < 0)
        return (int)r;
    w->at += out->n;
    buf_clear(out);
    return 0;
}

static int append_records(struct segment_work *w)
{
    struct buf out = BUF_INIT(BLOCK_STORED_MAX);
    int err = 0;
    for (struct slice left = buf_slice(&w->records); left.n && !err; left = slice_from(left, BLOCK_BYTES)) {
        size_t n = left.n < BLOCK_BYTES ? left.n : BLOCK_BYTES;
        err = block_pack(&out, slice_of(left.p, n));
        w->total += n;
        if (!err)
            err = append(w, &out);
    }
    if (!err && w->close) {
        block_pack_end(&out, w->total);
        err = append(w, &out);
    }
    buf_done(&out);
    return err ? err : file_sync(w->file);
}

static void close_segment(struct segment_work *w)
{
    file_close(w->file);
    w->file = NULL;
}

static void segment_run(struct loop_work *lw)
{
    struct segment_work *w = container_of(lw, struct segment_work, w);
    struct ship *s = container_of(w, struct ship, seg);
    if (w->scan) {
        w->err = scan(s, w);
        return;
    }
    w->err = w->file ? 0 : open_segment(s, w);
    w->close = w->at + w->records.n >= SHIP_SEGMENT_BYTES || w->now - w->begun >= (uint64_t)SHIP_SEGMENT_MS * NS_PER_MS;
    if (!w->err)
        w->err = append_records(w);
    if (w->err || w->close)
        close_segment(w); /* after a failure nobody knows what is in it: the records go to another one */
}

/* ---- pruning: what only older bases than the kept ones need ---- */

static int prune(struct ship *s)
{
    struct archive a;
    char why[256], path[SHIP_PATH_MAX];
    int err = archive_open(s->fs, s->dir, &a, why);
    if (err)
        return err;
    size_t drop = a.n_bases > s->o.keep ? a.n_bases - s->o.keep : 0;
    uint64_t oldest = drop ? a.bases[drop].index : 0;
    /* Segments first: a base without what follows it is still a base. */
    for (size_t i = 0; i + 1 < a.n_segments && a.segments[i + 1].index <= oldest && !err; i++) {
        path_in(s, path, a.segments[i].name);
        err = fs_unlink(s->fs, path);
    }
    for (size_t i = 0; i < drop && !err; i++) {
        path_in(s, path, a.bases[i].name);
        err = fs_unlink(s->fs, path);
    }
    archive_done(&a);
    return err;
}

/* ---- the base lane ---- */

static int write_pieces(struct base_work *b, struct file *f)
{
    struct buf piece = BUF_INIT(BACKUP_PIECE_MAX);
    int rv = 0;
    b->bytes = 0;
    while (rv == 0) {
        rv = atomic_load(&b->cancel) ? -ECANCELED : backup_writer_next(&b->writer, &piece);
        ssize_t r = rv < 0 ? rv : file_pwrite(f, piece.p, piece.n, b->bytes);
        rv = r < 0 ? (int)r : rv;
        b->bytes += piece.n;
        buf_clear(&piece);
    }
    buf_done(&piece);
    return rv < 0 ? rv : file_sync(f);
}

static void base_run(struct loop_work *lw)
{
    struct base_work *b = container_of(lw, struct base_work, w);
    struct ship *s = container_of(b, struct ship, base);
    char name[128], path[SHIP_PATH_MAX], tmp[SHIP_PATH_MAX];
    struct file *f;
    ship_name(name, &b->info);
    path_in(s, path, name);
    path_in(s, tmp, "base.tmp");
    b->err = fs_open(s->fs, tmp, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &f);
    if (b->err)
        return;
    b->err = write_pieces(b, f);
    file_close(f);
    if (!b->err)
        b->err = fs_rename(s->fs, tmp, path);
    if (!b->err)
        b->err = fs_sync_dir(s->fs, s->dir);
    if (!b->err)
        b->err = prune(s);
    else
        fs_unlink(s->fs, tmp);
}

static void free_when_idle(struct ship *s);

static void drop_frozen(struct ship *s)
{
    if (!s->closing)
        replica_free_frozen(s->replica, s->base.frozen);
    else
        store_frozen_free(s->base.frozen);
    s->base.frozen = NULL;
    backup_writer_done(&s->base.writer);
}

static void base_done(struct loop_work *lw)
{
    struct base_work *b = container_of(lw, struct base_work, w);
    struct ship *s = container_of(b, struct ship, base);
    b->busy = false;
    drop_frozen(s);
    if (s->closing) {
        free_when_idle(s);
        return;
    }
    set_failing(s, &s->base_failing, b->err, "writing a base");
    s->base_made = loop_now(s->loop);
    if (b->err) {
        s->base_retry_at = loop_now(s->loop) + (uint64_t)RETRY_MS * NS_PER_MS;
        s->need_base = true;
        return;
    }
    s->base_bytes = b->bytes;
    log_info(loop_log(s->loop), "backup", "base written revision=%" PRIu64 " bytes=%" PRIu64, b->info.revision,
             b->bytes);
}

static void begin_base(struct ship *s)
{
    struct base_work *b = &s->base;
    b->frozen = backup_begin(s->replica, &b->info);
    backup_writer_init(&b->writer, &b->info, b->frozen);
    b->busy = true;
    s->need_base = false;
    s->since_base = 0;
    loop_work_queue(s->loop, LANE_BASE, &b->w);
}

static bool base_is_due(const struct ship *s)
{
    uint64_t now = loop_now(s->loop), enough = s->base_bytes > SHIP_BASE_BYTES ? s->base_bytes : SHIP_BASE_BYTES;
    if (s->base.busy || now < s->base_retry_at || replica_fenced(s->replica) ||
        !store_revision(replica_store(s->replica)))
        return false;
    return s->need_base || s->since_base >= enough ||
           (s->since_base && now - s->base_made >= s->o.base_every_ms * (uint64_t)NS_PER_MS);
}

/* ---- following ---- */

/* What had to wait is given up: the chain has a gap, and a base is needed behind it. */
static void give_up_pending(struct ship *s)
{
    buf_clear(&s->pending);
    s->need_base = true;
}

static struct backup_info begins_here(const struct ship *s)
{
    const struct store *st = replica_store(s->replica);
    struct raft_status status;
    raft_node_status(replica_raft(s->replica), &status);
    return (struct backup_info){.kind = BACKUP_SEGMENT,
                                .cluster_id = status.cluster_id,
                                .index = s->last.index,
                                .term = status.term,
                                .revision = s->last.revision,
                                .hash = s->last.hash,
                                .time_ms = store_time_ms(st),
                                .made_ms = replica_time_ms(s->replica),
                                .format = store_format(st)};
}

void ship_jump(struct ship *s, uint64_t index)
{
    const struct store *st = replica_store(s->replica);
    if (s->started)
        give_up_pending(s);
    s->last = (struct place){index, store_revision(st), store_hash(st)};
}

/* What an earlier life shipped comes once more out of the log at a start. */
static bool shipped_before(struct ship *s, uint64_t index, uint64_t hash)
{
    if (!s->skip.index || index > s->skip.index) {
        if (s->skip.index) /* went past it without meeting it: not the same history */
            s->need_base = true;
        s->skip.index = 0;
        return false;
    }
    if (index < s->skip.index)
        return true;
    s->need_base = s->need_base || hash != s->skip.hash;
    s->skip.index = 0;
    return true;
}

void ship_entry(struct ship *s, uint64_t index, struct slice command)
{
    const struct store *st = replica_store(s->replica);
    const struct place now = {index, store_revision(st), store_hash(st)};
    const struct ship_record r = {index, s->last.index, now.revision, now.hash, store_time_ms(st), command};
    char head[SHIP_RECORD_HEAD];
    if (s->scanned && shipped_before(s, index, now.hash)) {
        s->last = now;
        return;
    }
    if (s->pending.n + SHIP_RECORD_HEAD + command.n > SHIP_QUEUE_MAX) {
        give_up_pending(s);
        s->last = now;
        return;
    }
    if (!s->pending.n) {
        s->pending_begins = begins_here(s);
        s->pending_oldest = loop_now(s->loop);
    }
    ship_record_encode(head, &r);
    buf_add(&s->pending, head, sizeof head);
    if (buf_add_slice(&s->pending, command))
        give_up_pending(s);
    s->last = now;
}

/* Drops from what waits the records that an earlier life shipped, now that it is known which. */
static void drop_shipped(struct ship *s, const struct place *tail)
{
    struct ship_record r;
    size_t at = 0;
    struct backup_info begins = s->pending_begins;
    bool met = s->pending.n ? begins.index == tail->index && begins.hash == tail->hash
                            : s->last.index == tail->index && s->last.hash == tail->hash;
    while (at < s->pending.n) {
        uint32_t n = ship_record_decode(s->pending.p + at, &r);
        if (at == 0 && r.prev > tail->index) { /* the log does not reach back that far */
            s->need_base = true;
            return;
        }
        if (r.index > tail->index)
            break;
        met = r.index == tail->index && r.hash == tail->hash;
        begins.index = r.index;
        begins.revision = r.revision;
        begins.hash = r.hash;
        begins.time_ms = r.time_ms;
        at += SHIP_RECORD_HEAD + n;
    }
    s->pending_begins = begins;
    if (at < s->pending.n && !met)
        s->need_base = true;
    else if (at == s->pending.n && !met)
        s->skip = *tail; /* still to come */
    buf_shift(&s->pending, at);
}

static void scan_done(struct ship *s)
{
    struct segment_work *w = &s->seg;
    struct raft_status status;
    raft_node_status(replica_raft(s->replica), &status);
    s->scanned = true;
    s->base_made = loop_now(s->loop);
    s->need_base = s->need_base || !w->found || w->tail_cluster != status.cluster_id;
    if (s->need_base)
        return;
    if (s->last.index > w->tail.index && !s->pending.n)
        s->need_base = true; /* the state began behind what was shipped */
    else
        drop_shipped(s, &w->tail);
}

static void segment_done(struct loop_work *lw)
{
    struct segment_work *w = container_of(lw, struct segment_work, w);
    struct ship *s = container_of(w, struct ship, seg);
    w->busy = false;
    if (s->closing) {
        free_when_idle(s);
        return;
    }
    set_failing(s, &s->seg_failing, w->err, "writing");
    if (w->err) {
        s->retry_at = loop_now(s->loop) + (uint64_t)RETRY_MS * NS_PER_MS;
    } else if (w->scan) {
        w->scan = false;
        scan_done(s);
    } else {
        s->since_base += w->records.n;
        s->need_base = s->need_base || w->anew;
        w->anew = false;
        if (s->m_revision)
            s->m_revision->value = (double)w->ends.revision;
        buf_clear(&w->records);
        w->oldest = 0;
    }
    set_lag(s);
}

/* Records whose write failed come first, with what has gathered behind them. */
static void take_pending(struct ship *s)
{
    struct segment_work *w = &s->seg;
    if (!s->pending.n)
        return;
    if (!w->records.n) {
        struct buf empty = w->records;
        w->records = s->pending;
        s->pending = empty;
        w->begins = s->pending_begins;
        w->oldest = s->pending_oldest;
        w->ends = s->last;
    }
}

static void write_more(struct ship *s)
{
    struct segment_work *w = &s->seg;
    uint64_t now = loop_now(s->loop);
    bool waited = s->pending.n && now - s->pending_oldest >= s->o.lag_ms / 2 * (uint64_t)NS_PER_MS;
    if (w->busy || now < s->retry_at || replica_fenced(s->replica))
        return;
    if (!w->scan && !w->records.n && !waited && s->pending.n < FLUSH_BYTES)
        return;
    if (!w->scan)
        take_pending(s);
    w->now = now;
    w->busy = true;
    loop_work_queue(s->loop, LANE_SEGMENT, &w->w);
}

static void on_tick(struct loop_timer *t)
{
    struct ship *s = container_of(t, struct ship, timer);
    uint64_t every = s->o.lag_ms / 8;
    write_more(s);
    if (s->scanned && base_is_due(s))
        begin_base(s);
    set_lag(s);
    loop_timer_start(s->loop, t, every < TICK_MS_MIN ? TICK_MS_MIN : every > TICK_MS_MAX ? TICK_MS_MAX : every);
}

/* ---- life ---- */

static void register_metrics(struct ship *s, struct metrics *m)
{
    if (!m)
        return;
    s->m_lag = metrics_one(m, METRIC_GAUGE, "pintle_backup_lag_seconds", "Age of the oldest change not yet shipped.");
    s->m_failing =
        metrics_one(m, METRIC_GAUGE, "pintle_backup_failing", "Whether the backup directory refuses writes.");
    s->m_revision = metrics_one(m, METRIC_GAUGE, "pintle_backup_revision", "Newest revision that was shipped.");
}

struct ship *ship_new(struct loop *l, struct replica *r, const struct ship_options *o)
{
    struct ship *s = mem_new(struct ship);
    s->loop = l;
    s->replica = r;
    s->fs = loop_fs(l);
    s->o = *o;
    s->o.lag_ms = o->lag_ms ? o->lag_ms : SHIP_LAG_MS;
    s->o.keep = o->keep ? o->keep : SHIP_KEEP;
    s->o.base_every_ms = o->base_every_ms ? o->base_every_ms : SHIP_BASE_EVERY_MS;
    snprintf(s->root, sizeof s->root, "%.300s", o->dir);
    snprintf(s->dir, sizeof s->dir, "%.300s/%" PRIu64, o->dir, o->id);
    s->timer.cb = on_tick;
    buf_init(&s->pending, SHIP_QUEUE_MAX);
    buf_init(&s->seg.records, SHIP_QUEUE_MAX);
    s->seg.w.run = segment_run;
    s->seg.w.done = segment_done;
    s->seg.scan = true;
    s->base.w.run = base_run;
    s->base.w.done = base_done;
    atomic_init(&s->base.cancel, false);
    register_metrics(s, o->metrics);
    return s;
}

void ship_start(struct ship *s)
{
    s->started = true;
    loop_timer_start(s->loop, &s->timer, 0);
}

static void free_when_idle(struct ship *s)
{
    bool dead = loop_is_dead(s->loop);
    if (!dead && (s->seg.busy || s->base.busy))
        return;
    if (s->base.frozen)
        drop_frozen(s);
    close_segment(&s->seg);
    buf_done(&s->pending);
    buf_done(&s->seg.records);
    mem_free(s);
}

void ship_free(struct ship *s)
{
    if (!s)
        return;
    s->closing = true;
    atomic_store(&s->base.cancel, true);
    loop_timer_stop(s->loop, &s->timer);
    free_when_idle(s);
}

/* Streaming a log: a small state machine around one read at a time on the pool. */
#include "agent/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/pods.h"
#include "base/mem.h"

enum { LOG_PATH_MAX = 1024, LOG_NAME_MAX = 512 };

/* What the pool works on: the files, oldest first, and where we are. */
struct log_reader {
    struct loop_work work;
    struct log_stream_state *stream; /* NULL = the client is gone: free */
    char path[LOG_PATH_MAX];
    char files[LOG_FILES_MAX][LOG_PATH_MAX];
    size_t n_files, file;
    int fd;
    uint64_t offset;
    int64_t tail;
    bool begun, at_end; /* at_end: nothing more now */
    int err;
    char chunk[LOG_CHUNK_MAX];
    size_t n;
};

struct log_stream_state {
    struct agent *agent;
    struct http_exchange *x;
    struct log_reader *reader;
    struct loop_timer timer;
    struct log_filter filter;
    struct buf rest; /* a line whose end was not read yet */
    bool reading, waiting, last_look;
    char ns[LOG_NAME_MAX], pod[LOG_NAME_MAX], container[LOG_NAME_MAX];
};

/* ---- on the pool ---- */

/* Rotated files are called like the newest with a time behind: in byte order the oldest comes first, the newest last. */
static void list_files(struct log_reader *r)
{
    char dir[LOG_PATH_MAX];
    const char *slash = strrchr(r->path, '/'), *base = slash ? slash + 1 : r->path;
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - r->path) : 1, slash ? r->path : ".");
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) && r->n_files < LOG_FILES_MAX - 1;) {
        char path[2 * LOG_PATH_MAX];
        size_t n = strlen(base), at = r->n_files;
        if (strncmp(e->d_name, base, n) != 0 || e->d_name[n] != '.' ||
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= LOG_PATH_MAX)
            continue;
        while (at > 0 && strcmp(r->files[at - 1], path) > 0) {
            memcpy(r->files[at], r->files[at - 1], LOG_PATH_MAX);
            at--;
        }
        memcpy(r->files[at], path, strlen(path) + 1);
        r->n_files++;
    }
    if (d)
        closedir(d);
    memcpy(r->files[r->n_files++], r->path, LOG_PATH_MAX);
}

static void open_file(struct log_reader *r, size_t i)
{
    if (r->fd >= 0)
        close(r->fd);
    r->file = i;
    r->offset = 0;
    r->fd = open(r->files[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* Where to begin: the oldest file, or as many lines back from the end as wanted. */
static void begin(struct log_reader *r)
{
    int64_t wanted = r->tail;
    r->begun = true;
    list_files(r);
    if (r->tail < 0) {
        open_file(r, 0);
        return;
    }
    for (size_t i = r->n_files; i-- > 0;) {
        int64_t lines = 0;
        uint64_t offset = 0;
        open_file(r, i);
        if (r->fd < 0)
            continue;
        r->err = log_tail(r->fd, wanted, &offset, &lines);
        r->offset = offset;
        wanted -= lines;
        if (r->err || wanted <= 0)
            return;
    }
}

/* The runtime began a new file after a rotation. */
static bool was_replaced(const struct log_reader *r)
{
    struct stat ours, now;
    return r->fd < 0 || (!fstat(r->fd, &ours) && !stat(r->path, &now) && ours.st_ino != now.st_ino);
}

static void next_file(struct log_reader *r)
{
    if (r->file + 1 < r->n_files) {
        open_file(r, r->file + 1);
    } else if (was_replaced(r)) {
        ssize_t more = r->fd < 0 ? 0 : pread(r->fd, r->chunk, sizeof r->chunk, (off_t)r->offset);
        if (more > 0) { /* written between our read and the rotation */
            r->n = (size_t)more;
            r->offset += r->n;
            return;
        }
        open_file(r, r->n_files - 1);
        r->at_end = r->fd < 0;
    } else {
        r->at_end = true;
    }
}

static void read_chunk(struct loop_work *w)
{
    struct log_reader *r = container_of(w, struct log_reader, work);
    r->n = 0;
    r->at_end = false;
    if (!r->begun)
        begin(r);
    while (!r->err && !r->n && !r->at_end) {
        ssize_t got = r->fd < 0 ? 0 : pread(r->fd, r->chunk, sizeof r->chunk, (off_t)r->offset);
        if (got < 0) {
            r->err = -errno;
        } else if (got > 0) {
            r->n = (size_t)got;
            r->offset += r->n;
        } else {
            next_file(r);
        }
    }
}

/* ---- on the loop ---- */

static void reader_free(struct log_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    mem_free(r);
}

static void stream_free(struct log_stream_state *s)
{
    loop_timer_stop(s->agent->loop, &s->timer);
    if (s->reading)
        s->reader->stream = NULL;
    else
        reader_free(s->reader);
    buf_done(&s->rest);
    mem_free(s);
}

static void end(struct log_stream_state *s)
{
    struct http_exchange *x = s->x;
    stream_free(s);
    http_set_ctx(x, NULL, NULL);
    http_on_drain(x, NULL);
    http_reply_end(x);
}

static void on_gone(struct http_exchange *x)
{
    stream_free(http_ctx(x));
    http_abort(x);
}

static void read_more(struct log_stream_state *s)
{
    s->reading = true;
    unsigned lane = LOOP_LANE_POOL0 + (unsigned)loop_random_below(s->agent->loop, LOOP_LANES - LOOP_LANE_POOL0);
    loop_work_queue(s->agent->loop, lane, &s->reader->work);
}

/* Passes the whole lines of in on; *used is how much of it they were. False when the limit is reached. */
static bool pass_lines(struct log_stream_state *s, struct slice in, size_t *used, struct buf *out)
{
    *used = 0;
    for (const char *nl; (nl = memchr(in.p + *used, '\n', in.n - *used));) {
        struct log_line line;
        struct slice text = slice_of(in.p + *used, (size_t)(nl - in.p) - *used);
        *used += text.n + 1;
        if (log_line_parse(text, &line) && !log_filter_line(&s->filter, &line, out))
            return false;
        if (*used == in.n)
            break;
    }
    return true;
}

static void send(struct log_stream_state *s, struct buf *out)
{
    struct blob *b = out->n ? blob_copy(buf_slice(out)) : NULL;
    if (b)
        http_reply_write(s->x, &(struct chunk){b, b->bytes, b->n}, 1);
    buf_done(out);
}

static bool take_chunk(struct log_stream_state *s)
{
    struct buf out = BUF_INIT(2 * (LOG_LINE_BYTES_MAX + LOG_CHUNK_MAX) + 4096);
    size_t used;
    buf_add(&s->rest, s->reader->chunk, s->reader->n);
    bool more = pass_lines(s, buf_slice(&s->rest), &used, &out);
    buf_shift(&s->rest, used);
    if (s->rest.n > LOG_LINE_BYTES_MAX) /* not a log of the runtime */
        buf_clear(&s->rest);
    send(s, &out);
    return more;
}

/* All there is was sent: over, or look again later. */
static void look_later(struct log_stream_state *s)
{
    bool runs = !s->filter.o.previous &&
                pods_container_running(s->agent->pods, slice_str(s->ns), slice_str(s->pod), slice_str(s->container));
    if (!s->filter.o.follow || (!runs && s->last_look)) {
        end(s);
        return;
    }
    s->last_look = !runs; /* what it wrote last may have come behind our read */
    loop_timer_start(s->agent->loop, &s->timer, LOG_POLL_MS);
}

static void on_read(struct loop_work *w)
{
    struct log_reader *r = container_of(w, struct log_reader, work);
    struct log_stream_state *s = r->stream;
    if (!s) {
        reader_free(r);
        return;
    }
    s->reading = false;
    if (r->err || !take_chunk(s))
        end(s);
    else if (r->at_end)
        look_later(s);
    else if (http_reply_queued(s->x) > STREAM_HIGH_WATER)
        s->waiting = true;
    else
        read_more(s);
}

static void on_drain(struct http_exchange *x)
{
    struct log_stream_state *s = http_ctx(x);
    if (s->waiting) {
        s->waiting = false;
        read_more(s);
    }
}

static void on_poll(struct loop_timer *t)
{
    struct log_stream_state *s = container_of(t, struct log_stream_state, timer);
    if (http_reply_queued(s->x) > STREAM_HIGH_WATER)
        s->waiting = true;
    else
        read_more(s);
}

void logs_serve(struct agent *agent, struct http_exchange *x, const struct log_options *o, const char *path,
                struct slice ns, struct slice pod, struct slice container)
{
    struct log_stream_state *s = mem_new(struct log_stream_state);
    struct log_reader *r = mem_new(struct log_reader);
    *r = (struct log_reader){.work = {.run = read_chunk, .done = on_read}, .stream = s, .fd = -1, .tail = o->tail};
    snprintf(r->path, sizeof r->path, "%s", path);
    s->agent = agent;
    s->x = x;
    s->reader = r;
    s->timer.cb = on_poll;
    s->filter.o = *o;
    buf_init(&s->rest, LOG_LINE_BYTES_MAX + 2 * LOG_CHUNK_MAX);
    snprintf(s->ns, sizeof s->ns, "%" SLICE_FMT, SLICE_ARG(ns));
    snprintf(s->pod, sizeof s->pod, "%" SLICE_FMT, SLICE_ARG(pod));
    snprintf(s->container, sizeof s->container, "%" SLICE_FMT, SLICE_ARG(container));
    http_set_ctx(x, s, on_gone);
    http_on_drain(x, on_drain);
    http_reply_start(x, 200, &(struct http_header){SLICE("content-type"), SLICE("text/plain")}, 1);
    read_more(s);
}

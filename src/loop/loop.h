/* The seam to the outside: clock, randomness, timers, byte streams, files and threads, behind one vtable.
 *
 * Everything above this header is deterministic given what comes through it. loop_uv.c is the real world (libuv);
 * loop_sim.c is a simulated one, in which many hosts live in one process and a seed decides every delay, loss and
 * crash. No other code reads a clock, draws a random number, opens a file or socket, or starts a thread.
 *
 * Happy path: make a loop, register what should happen (timers, listeners, work), loop_run; callbacks run one at a
 * time on the loop's thread until loop_stop. Only loop_post may be called from other threads.
 *
 * Turns: a turn is one batch of callbacks. Turn hooks run at the end of each turn, in the order of registration; work
 * that many callbacks of a turn asked for (one Raft submit, one log write, one socket flush) is done there, once.
 *
 * Errors are negative errno. Callbacks never run inside the call that asked for them. */
#ifndef PINTLE_LOOP_LOOP_H
#define PINTLE_LOOP_LOOP_H

#include <sys/types.h>

#include "base/blob.h"
#include "base/list.h"
#include "base/log.h"

struct loop;

/* ---- clock and randomness ---- */

/* Monotonic nanoseconds; taken once a turn (cheap), never backwards. */
uint64_t loop_now(const struct loop *l);
/* Wall clock, nanoseconds since 1970; may jump. */
int64_t loop_wall(const struct loop *l);
/* n random bytes; cryptographically strong in the real world, seeded in the simulated one. */
void loop_random(struct loop *l, void *p, size_t n);
/* Uniform in [0, bound), bound > 0. */
uint64_t loop_random_below(struct loop *l, uint64_t bound);
struct log *loop_log(struct loop *l);
/* True in the simulator; only for leaving out what cannot be simulated, such as TLS handshakes. */
bool loop_is_sim(const struct loop *l);
/* True between sim_kill and sim_start: nothing that was queued here will run or be done any more, so owners that free
 * their objects now free their queued work too. Never true in the real world. */
bool loop_is_dead(const struct loop *l);

/* ---- timers: the struct belongs to the caller and must outlive its being armed ---- */

struct loop_timer {
    void (*cb)(struct loop_timer *t);
    uint64_t due;      /* loop_now at which it fires */
    uint64_t order;    /* ties fire in the order of arming */
    size_t heap_index; /* 1-based place in the loop's heap; 0 = not armed */
};

/* Arms t to fire once, delay_ms from now (0 = next turn), replacing an earlier arming. Set t->cb first and zero the
 * rest before the first use. */
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
/* Harmless when not armed. */
void loop_timer_stop(struct loop *l, struct loop_timer *t);
static inline bool loop_timer_armed(const struct loop_timer *t)
{
    return t->heap_index != 0;
}

/* ---- turns and messages ---- */

struct loop_hook {
    void (*cb)(struct loop_hook *h);
    struct list link;
};

/* Runs h->cb at the end of every turn. Caller owns h. */
void loop_hook_add(struct loop *l, struct loop_hook *h);
void loop_hook_remove(struct loop *l, struct loop_hook *h);

/* Runs cb(arg) on the loop's thread in a later turn. The one call allowed from any thread. */
void loop_post(struct loop *l, void (*cb)(void *arg), void *arg);

/* ---- threads: blocking work ---- */

struct loop_work {
    void (*run)(struct loop_work *w);  /* on a pool thread: may block; sees only w and what it owns */
    void (*done)(struct loop_work *w); /* then on the loop's thread, exactly once */
    struct list link;                  /* the loop's */
    struct loop *loop;                 /* the loop's */
};

/* Queues w; works of one lane (0..LOOP_LANES-1) run one after another in the order queued, lanes run in parallel.
 * In the simulator run() is called after the simulated latency of a disk, and not at all if the host died before. */
enum { LOOP_LANE_LOG, LOOP_LANE_SNAPSHOT, LOOP_LANE_MISC, LOOP_LANE_POOL0, LOOP_LANES = 8 };
void loop_work_queue(struct loop *l, unsigned lane, struct loop_work *w);

/* ---- byte streams ---- */

struct stream;

struct stream_handler {
    /* Bytes arrived (n > 0); valid during the call. */
    void (*on_data)(void *ctx, const char *p, size_t n);
    /* The stream is over: err 0 after the peer's orderly end, else negative errno. Called exactly once for each
     * stream that was given to the owner, unless the owner closed it; the stream must still be closed. */
    void (*on_end)(void *ctx, int err);
    /* The write queue fell below the low watermark after having been above the high one. May be NULL. */
    void (*on_drain)(void *ctx);
};

enum { STREAM_HIGH_WATER = 1 << 20, STREAM_LOW_WATER = 256 << 10 };

/* Sets who hears of the stream; reading starts (or goes on) with this. */
void stream_handle(struct stream *s, const struct stream_handler *h, void *ctx);
/* Queues bytes; takes over the chunks' references. 0, or -EPIPE when the stream is over (references are dropped all
 * the same). Everything queued in one turn goes out in one writev. */
int stream_write(struct stream *s, const struct chunk *chunks, size_t n);
/* Bytes queued and not yet given to the kernel. Writers that produce on demand stop above STREAM_HIGH_WATER. */
size_t stream_queued(const struct stream *s);
/* Stops and restarts on_data; what arrives meanwhile fills the kernel's buffer, then the peer waits. */
void stream_pause(struct stream *s, bool paused);
/* Ends our half after what is queued has gone out; reading goes on. */
void stream_shutdown(struct stream *s);
/* Drops the queue, closes at once and forgets s. No callback runs after this. NULL is fine. */
void stream_close(struct stream *s);
/* Remote address as text, "" when there is none (unix sockets). Valid while s is open. */
const char *stream_peer(const struct stream *s);

struct listener;
/* addr: "ip:port", "[ip6]:port" (port 0 = any free one) or "unix:/path". on_accept owns the stream it gets.
 * 0, or -EADDRINUSE, -EACCES, -EINVAL … */
int loop_listen(struct loop *l, const char *addr, void (*on_accept)(void *ctx, struct stream *s), void *ctx,
                struct listener **ret);
/* The port really bound; 0 for unix sockets. */
unsigned listener_port(const struct listener *ls);
/* NULL is fine. */
void listener_close(struct listener *ls);

struct connecting;
/* Connects to "ip:port", "[ip6]:port" or "unix:/path"; names are not resolved here. on_done runs exactly once, with
 * an open stream or a negative errno, unless cancelled. Returns a handle for connect_cancel, valid until on_done. */
struct connecting *loop_connect(struct loop *l, const char *addr, void (*on_done)(void *ctx, int err, struct stream *s),
                                void *ctx);
void connect_cancel(struct connecting *c);

/* ---- files: blocking calls, for use inside loop_work.run (and at start, before the loop runs) ---- */

struct fs; /* the file system of the loop's host */
struct file;

struct fs *loop_fs(struct loop *l);

enum { FS_READ = 1, FS_WRITE = 2, FS_CREATE = 4, FS_EXCL = 8, FS_TRUNC = 16, FS_DSYNC = 32 };
/* All return 0 or a negative errno; reads and writes return the count (short only at the end of file). In the
 * simulator, what was not synced may be lost, wholly or in part, when the host crashes; directory entries count as
 * synced after fs_sync_dir. */
int fs_open(struct fs *fs, const char *path, unsigned flags, struct file **ret);
ssize_t file_pread(struct file *f, void *p, size_t n, uint64_t off);
ssize_t file_pwrite(struct file *f, const void *p, size_t n, uint64_t off);
/* Data and size reach the disk (fdatasync). After a failure the file's state is unknown: fail-stop. */
int file_sync(struct file *f);
int file_truncate(struct file *f, uint64_t size);
/* Writes zeros from the current end to size and syncs, so that later writes only replace blocks. */
int file_prezero(struct file *f, uint64_t size);
int file_size(struct file *f, uint64_t *ret);
void file_close(struct file *f);
int fs_rename(struct fs *fs, const char *from, const char *to);
int fs_unlink(struct fs *fs, const char *path);
int fs_mkdir(struct fs *fs, const char *path);
/* The directory (its path has at most 4 KiB) and those above it; those that are there already are no error. */
int fs_mkdirs(struct fs *fs, const char *path);
int fs_sync_dir(struct fs *fs, const char *path);
/* Makes a directory that survives a crash of the machine: syncs the one it is in. Likewise when it was there already. */
int fs_mkdir_synced(struct fs *fs, const char *path);
/* Takes an exclusive lock on the path for the process's life; -EWOULDBLOCK when another process has it. */
int fs_lock(struct fs *fs, const char *path, struct file **ret);
/* Calls each(name) for the entries of a directory, in byte order, "." and ".." left out. */
int fs_list(struct fs *fs, const char *path, void (*each)(void *ctx, const char *name), void *ctx);

/* ---- life ---- */

/* A real loop. name: shown in its log lines; copied. */
struct loop *loop_uv_new(const char *name);
/* Runs until loop_stop. */
void loop_run(struct loop *l);
/* Ends loop_run after the current turn; from the loop's thread. */
void loop_stop(struct loop *l);
/* Calls cb(ctx, signo) on SIGTERM and SIGINT (real loops only). */
void loop_on_signal(struct loop *l, void (*cb)(void *ctx, int signo), void *ctx);
/* Frees a loop on which nothing is registered any more; waits for queued work. */
void loop_free(struct loop *l);

#endif

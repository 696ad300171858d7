/* The simulated world's insides, shared by loop_sim.c (events, hosts, faults), sim_net.c and sim_disk.c.
 *
 * Everything is an event: a time, a sequence number for ties, and a callback. An event with a host is one of the
 * host's callbacks: it joins the host's next turn, which starts once the host's earlier turn is over (a turn costs
 * some microseconds) and the host is not paused; so several callbacks share a turn, as in the real loop. An event
 * without a host is the hardware's: packets, acknowledgements, a link that has been cut for too long. */
#ifndef PINTLE_LOOP_SIM_IMPL_H
#define PINTLE_LOOP_SIM_IMPL_H

#include "base/map.h"
#include "loop/loop_impl.h"
#include "loop/sim.h"

#define NS_PER_US 1000ULL

enum {
    SIM_HOSTS_MAX = 64,
    SIM_WINDOW = 512 << 10, /* bytes a stream may have on the way or unread */
    SIM_BREAK_MS = 2000,    /* silence after which a stream breaks */
    SIM_RETRY_MS = 100,     /* a connect over a cut link is tried again after */
    SIM_SECTOR = 512,
    SIM_PORT_FIRST = 40000,
};

struct sim_host;

struct sim_event {
    uint64_t at, seq;
    size_t heap_index;     /* 1-based; 0 = not in the heap */
    struct sim_host *host; /* NULL: the hardware's */
    void (*cb)(struct sim_event *e);
    void (*drop)(
        struct sim_event *e); /* frees an event of its own when its host dies; NULL when it is part of something */
    struct list ready;        /* in its host's turn */
};

struct sim_link {
    uint64_t min_ns, max_ns;
    uint64_t cuts; /* times cut so far: tells one cut from the next */
    bool cut;
};

/* One operation that has not reached the disk: what it did and how to undo it. */
struct sim_write {
    struct list link;
    bool truncate;
    uint64_t off; /* of a write; the new size of a truncation */
    uint64_t old_size;
    size_t n, n_old;
    char *bytes, *old_bytes; /* written, and what was there before */
};

struct sim_inode {
    unsigned refs; /* directory entries, open files, unsynced directory operations */
    bool is_dir, locked;
    char *bytes;
    uint64_t size, cap;
    struct list unsynced; /* of sim_write, oldest first */
};

/* An unsynced change of a directory: the entry at path was before, is after (either may be NULL). */
struct sim_dirop {
    struct list link;
    char *path;
    struct sim_inode *before, *after;
    struct sim_dirop *other; /* the other half of a rename: both happen or none */
};

struct sim_disk {
    struct fs base;
    struct sim_host *host;
    struct map entries;   /* path → sim_inode */
    struct list dirops;   /* oldest first */
    struct list files;    /* open ones */
    uint64_t used, limit; /* bytes; limit 0 = none */
    uint64_t fail_nth;    /* operations until one fails; 0 = off */
    int fail_err;
    bool ordered;      /* a crash keeps a file's older writes and loses the newer */
    bool dying;        /* a crash is under way: */
    uint64_t ops_left; /* … after so many operations nothing reaches the disk any more */
    uint64_t sync_min_ns, sync_max_ns;
};

struct sim_lane {
    struct list queue; /* of loop_work; the first one is under way while ev is armed */
    struct sim_event ev;
    struct sim_host *host;
};

struct sim_host {
    struct loop base;
    struct sim *sim;
    size_t index;
    uint64_t generation;
    bool alive, crashed;
    bool stop; /* loop_stop was called */
    bool in_work;
    uint64_t busy_until, paused_until;
    int64_t wall_offset;
    struct list ready, batch; /* events: waiting for the next turn, left of the running one */
    struct sim_event turn, timer;
    struct sim_lane lanes[LOOP_LANES];
    struct list streams, listeners, connects, flush;
    unsigned next_port;
    struct sim_link links[SIM_HOSTS_MAX]; /* to the host of that index */
    struct sim_disk disk;
};

struct sim {
    uint64_t now, seq, rng, trace;
    struct sim_event **heap;
    size_t n, cap;
    struct sim_host *hosts[SIM_HOSTS_MAX];
    size_t n_hosts;
};

static inline struct sim_host *sim_host_of(struct loop *l)
{
    return container_of(l, struct sim_host, base);
}

/* Puts e at a time, replacing an earlier one. */
void sim_event_at(struct sim *s, struct sim_event *e, uint64_t at);
void sim_event_remove(struct sim *s, struct sim_event *e);
static inline bool sim_event_armed(const struct sim_event *e)
{
    return e->heap_index != 0 || (e->ready.next && !list_empty(&e->ready));
}
uint64_t sim_between(struct sim *s, uint64_t min, uint64_t max);
void sim_trace(struct sim *s, uint64_t what);

/* sim_net.c */
int sim_net_listen(struct loop *l, const char *addr, void (*on_accept)(void *ctx, struct stream *s), void *ctx,
                   struct listener **ret);
struct connecting *sim_net_connect(struct loop *l, const char *addr,
                                   void (*on_done)(void *ctx, int err, struct stream *s), void *ctx);
/* Sends what was queued in the host's turn. */
void sim_net_flush(struct sim_host *h);
/* The host died: its handles are dead, its peers learn of it in time. */
void sim_net_kill(struct sim_host *h, bool crash);
/* The machine is back: it answers what comes for streams it knows nothing of with a reset. */
void sim_net_start(struct sim_host *h);
void sim_net_cut(struct sim_host *from, struct sim_host *to, bool cut);
/* Frees handles nobody closed. */
void sim_net_done(struct sim_host *h);

/* sim_disk.c */
void sim_disk_init(struct sim_host *h);
void sim_disk_done(struct sim_host *h);
void sim_disk_kill(struct sim_host *h, bool crash);

#endif

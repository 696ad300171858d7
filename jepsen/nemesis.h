/* The nemesis: faults by seed, alone and two at a time, on the leader, a follower, a minority, a majority, everything.
 *
 * It decides what fails when; hands do it: on real processes a shell that signals, drops packets and fills disks
 * (hands_shell.c), in the simulator calls of sim.h. begin and end are given a done that must be called exactly once,
 * at once or later. Every beginning and end is noted in the history, and what the hands say of it.
 *
 * Faults that take a replica's data or change who the members are come one at a time, so that never more than a
 * minority
 * has lost what it confirmed; anything else may come on top.
 *
 * Happy path: nemesis_new, nemesis_start; nemesis_stop ends all faults one after the other and calls back when
 * everything is whole again. Thread: the loop's. */
#ifndef PINTLE_JEPSEN_NEMESIS_H
#define PINTLE_JEPSEN_NEMESIS_H

#include "jepsen/drive.h"

enum fault_kind {
    FAULT_KILL,     /* processes die (SIGKILL) and start again */
    FAULT_CRASH,    /* machines die: what was not synced is lost (simulator only) */
    FAULT_PAUSE,    /* SIGSTOP … SIGCONT */
    FAULT_CUT,      /* no packets between these replicas and the others; clients still reach all */
    FAULT_CUT_OUT,  /* the others hear nothing from them */
    FAULT_CUT_IN,   /* they hear nothing from the others */
    FAULT_CUT_RING, /* each replica sees a majority, no two the same one */
    FAULT_HIDE,     /* cut from everybody, clients too */
    FAULT_LOSS,     /* param: percent of packets */
    FAULT_SLOW,     /* param: ms of delay */
    FAULT_RESTART,  /* SIGTERM and start, one after the other */
    FAULT_FULL,     /* no space on the disk */
    FAULT_SLOW_DISK,
    FAULT_EIO,      /* the disk fails once: the replica must stop, and come back */
    FAULT_TORN,     /* killed in the middle of a write */
    FAULT_SNAPSHOT, /* killed in the middle of writing or receiving a snapshot, while a backup is taken */
    FAULT_TRUNCATE, /* one is killed, and its newest log segment or snapshot loses its tail */
    FAULT_CORRUPT,  /* one is killed, and bits of a file are flipped: it repairs, or refuses and is replaced */
    FAULT_WIPE,     /* one is killed, and its data directory is lost: refused under its old id, then replaced */
    FAULT_CLOCK,    /* wall clock jumps; param: seconds, may be negative */
    FAULT_MEMBER,   /* a voter becomes a standby, and comes back */
    FAULT_JOIN,     /* a new server joins and one is removed, which joins again later, when the new one is removed */
    FAULT_KINDS,
};

struct fault {
    enum fault_kind kind;
    unsigned nodes; /* bit i: node i, from 0 */
    int param;
    const char *whom; /* "leader", "minority" … */
};

typedef void nemesis_done_fn(void *arg);

struct nemesis_hands {
    void *ctx;
    int (*leader)(void *ctx); /* from 0; -1: unknown */
    void (*begin)(void *ctx, const struct fault *f, nemesis_done_fn *done, void *arg);
    void (*end)(void *ctx, const struct fault *f, nemesis_done_fn *done, void *arg);
    const char *(*said)(void *ctx); /* about the last begin or end, or ""; may be NULL */
};

struct nemesis_options {
    unsigned kinds;    /* bit set of fault_kind */
    unsigned quiet_ms; /* mean time without a new fault, and mean time a fault lasts */
    unsigned hold_ms;
};

struct nemesis;

const char *fault_name(enum fault_kind k);
/* "kill,pause,cut", a group such as "process", "network", "disk", or "all" (what `able` says); 0 when a word is none. */
unsigned faults_parse(const char *text, unsigned able);

struct nemesis *nemesis_new(struct drive *d, const struct nemesis_hands *h, const struct nemesis_options *o);
void nemesis_start(struct nemesis *n);
/* No new faults; done is called when all have ended. */
void nemesis_stop(struct nemesis *n, nemesis_done_fn *done, void *arg);
void nemesis_free(struct nemesis *n);
/* Faults begun so far, of each kind. */
const size_t *nemesis_counts(const struct nemesis *n);

#endif

/* A history: what clients asked of a cluster and what they were told, in the order in which it happened.
 *
 * Each operation is two events of one process: an invocation, and a completion that says whether it took effect (ok),
 * certainly did not (fail), or that nobody knows (info: no answer in time, a broken connection). A process with an
 * operation of unknown fate takes no further one; its client goes on under a new process number. Faults, leaders and
 * what watchers were told are events without an invocation.
 *
 * Recording: history_add while the run goes on; history_write_edn and _json afterwards, history_read to judge a file
 * again. The EDN is Jepsen's: {:type :invoke, :f :cas, :value [3 [1 2]], :process 4, :time 12, :index 0}, with keys as
 * independent tuples and transactions as Elle's micro-operations; :node and :revision are ours.
 *
 * Ownership: the history owns lists and notes. Thread: one at a time. */
#ifndef PINTLE_JEPSEN_HISTORY_H
#define PINTLE_JEPSEN_HISTORY_H

#include "base/buf.h"

enum { HIST_EVENTS_MAX = 20000000, HIST_FILE_MAX = 1 << 30 };
#define HIST_NIL INT64_MIN /* no value: an absent key, a read not answered yet */

enum hist_type { HIST_INVOKE, HIST_OK, HIST_FAIL, HIST_INFO, HIST_TYPES };

enum hist_f {
    HIST_READ,    /* key's value; without a key: of the only object; with a list: all members of a set */
    HIST_WRITE,   /* value, whatever it was before */
    HIST_CAS,     /* value if it is `expected` */
    HIST_DELETE,  /* the key is absent afterwards */
    HIST_ADD,     /* value to a set, or to a counter */
    HIST_TXN,     /* list: micro-operations, see hist_micro */
    HIST_EVENT,   /* a watcher was told: key, value, revision; expected: 'A', 'M' or 'D' */
    HIST_COVERED, /* a watcher has been told everything up to revision */
    HIST_PAGES,   /* a whole list at one revision; list: key, value, revision of each */
    HIST_ACQUIRE, /* a lease; value: the holder, expected: how long, ns */
    HIST_RENEW,
    HIST_RELEASE,
    HIST_EXPIRE, /* an object with a time to live was seen (value 1) or found gone (0); expected: when it was due, ns */
    HIST_SCALE,  /* key: Deployment, value: pods wanted */
    HIST_PODS,   /* key: Deployment, value: pods running, expected: pods that should not be */
    HIST_MEMBERS, /* list: term, leader, commit index, then id, place and role of each member */
    HIST_FAULT,   /* note: what */
    HIST_LEADER,  /* node leads, value: term; HIST_INFO */
    HIST_FS,
};

struct hist_event {
    uint64_t time; /* ns since the run's start */
    int64_t key, value, expected, revision;
    uint32_t list, n_list; /* list: 0 = none, else 1 + offset in the history's numbers */
    uint32_t note;         /* 0 = none, else offset in the history's text */
    int32_t process;       /* ≥ 0; -1: the nemesis */
    uint16_t node;         /* which replica was asked, from 1; 0 = none */
    uint8_t type, f;
};

/* An event with nothing in it. */
#define HIST_EVENT_INIT                                                                                                \
    {                                                                                                                  \
        .key = HIST_NIL, .value = HIST_NIL, .expected = HIST_NIL, .revision = HIST_NIL                                 \
    }

struct history {
    struct hist_event *events;
    size_t n, cap;
    int64_t *numbers; /* pool of lists */
    size_t n_numbers, cap_numbers;
    char *text; /* pool of notes, NUL-terminated; text[0] is 0 */
    size_t n_text, cap_text;
};

void history_init(struct history *h);
void history_done(struct history *h);
/* Appends a copy; list (n numbers, may be NULL) and note (may be NULL) are copied too. Returns its index. */
size_t history_add(struct history *h, const struct hist_event *e, const int64_t *list, size_t n, const char *note);

static inline const int64_t *history_list(const struct history *h, const struct hist_event *e)
{
    return e->list ? h->numbers + e->list - 1 : NULL;
}
static inline const char *history_note(const struct history *h, const struct hist_event *e)
{
    return h->text ? h->text + e->note : "";
}

/* ---- operations: invocations with their completions ---- */

struct hist_op {
    const struct hist_event *call, *ret; /* ret NULL: never completed; the same as info */
    size_t called, returned;             /* indexes; SIZE_MAX when there is no completion that ends it (info) */
};

/* What is known of the outcome. */
static inline enum hist_type hist_outcome(const struct hist_op *op)
{
    return op->ret ? (enum hist_type)op->ret->type : HIST_INFO;
}
/* The completion where it says more than the invocation, else the invocation. */
static inline const struct hist_event *hist_best(const struct hist_op *op)
{
    return op->ret && op->ret->type == HIST_OK ? op->ret : op->call;
}
/* Pairs them, in the order of invocation; *ret is the caller's to mem_free. */
size_t history_ops(const struct history *h, struct hist_op **ret);

/* ---- micro-operations of a transaction: [kind, key, value] or [kind, key, n, items…] in a list ---- */

enum { HIST_MICRO_APPEND = 1, HIST_MICRO_READ = 2, HIST_MICRO_UNREAD = 3 };

struct hist_micro {
    int64_t kind, key, value; /* value: of an append */
    const int64_t *items;     /* of a read */
    size_t n;
};

/* The micro-operation at *at, which moves on; false at the end. */
bool hist_micro_next(const struct history *h, const struct hist_event *e, size_t *at, struct hist_micro *ret);

/* ---- files ---- */

const char *hist_type_name(enum hist_type t);
const char *hist_f_name(enum hist_f f);
/* One event's text, without a newline. */
void history_format(const struct history *h, size_t i, bool edn, struct buf *out);
/* 0 or negative errno. */
int history_write(const struct history *h, const char *path, bool edn);
/* Reads either format; 0, -EBADMSG with the line number in *ret_line, or what opening said. h must be empty. */
int history_read(struct history *h, const char *path, size_t *ret_line);
/* The same from memory. */
int history_parse(struct history *h, struct slice text, size_t *ret_line);

#endif

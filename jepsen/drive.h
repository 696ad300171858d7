/* Drives clients of one workload against all replicas of a cluster and records the history. The same code runs over
 * real processes (loop_uv, TLS) and in the simulator (loop_sim).
 *
 * A worker is one client: it takes one operation after the other, each on its home replica or, now and then, another
 * one. The workload's next() begins an operation: op_begin, one or several worker_call, and op_end, which says what is
 * known of its fate and lets the worker go on after a pause. Watchers are workers that never end.
 *
 * Happy path: drive_new, drive_start; faults come and go; drive_quiet; when all is healed drive_finish lets each worker
 * do the workload's last look; drive_idle; then judge drive_history.
 *
 * Half of the requests insist on linearizable answers; the others may be answered without a quorum, marked as possibly
 * stale, and such an answer counts as none.
 *
 * Fate: an answer below 300 is ok; a refusal (4xx), "no leader is known", "no quorum", and a request that cannot have
 * been sent are
 * fail; anything else is info.
 *
 * Randomness comes from the run's seed. Thread: the loop's. */
#ifndef PINTLE_JEPSEN_DRIVE_H
#define PINTLE_JEPSEN_DRIVE_H

#include "codec/json.h"
#include "jepsen/check.h"
#include "loop/loop.h"
#include "net/http.h"

enum { DRIVE_NODES_MAX = 9, DRIVE_BODY_MAX = 256 << 20, DRIVE_CALL_MS = 2500, DRIVE_WATCHER = 1000000 };

struct drive;
struct worker;

struct answer {
    int err;           /* 0, or negative errno when no answer came */
    bool sent;         /* the request may have reached a server */
    int code;          /* HTTP */
    bool marked;       /* as possibly stale: there is no quorum; proves nothing */
    struct slice body; /* valid during the call */
    struct json *json; /* of the body; NULL when it is none */
};

typedef void answer_fn(struct worker *w, const struct answer *a);

struct workload {
    const char *name;
    size_t state_size;              /* of each worker's own state, zeroed */
    void (*next)(struct worker *w); /* begins an operation */
    void (*last)(struct worker *w); /* the last look, when all is healed; calls worker_done; NULL: none */
    void (*stop)(struct worker *w); /* frees what the state holds; may be NULL */
    void (*check)(const struct history *h, struct verdict *v);
    bool by_clock;     /* may go wrong when all replicas start at once with wrong clocks: not among "all" then */
    unsigned think_ms; /* pause between two operations at rate 1; 0 = as the options say */
};

/* Ends with NULL. */
extern const struct workload *const workloads[];
const struct workload *workload_find(const char *name);

struct drive_options {
    const struct workload *workload;
    const char *ns;           /* namespace of its objects; NULL = default */
    const char *const *nodes; /* API addresses */
    size_t n_nodes;
    struct tls_context *tls; /* NULL = plain */
    unsigned workers;
    unsigned think_ms; /* mean pause of a worker between two operations */
    unsigned call_ms;  /* 0 = DRIVE_CALL_MS */
    uint64_t seed;
};

struct worker {
    struct drive *d;
    unsigned i;
    int32_t process;
    unsigned node; /* of the operation under way, from 0 */
    struct http_client *clients[DRIVE_NODES_MAX];
    struct loop_timer timer;
    struct http_call *call;
    struct buf body;
    answer_fn *on_answer;
    struct answer answer;
    struct hist_event op; /* under way */
    struct arena a;       /* of the operation under way */
    bool busy, finished;
    void *state;
};

struct drive *drive_new(struct loop *l, const struct drive_options *o);
void drive_start(struct drive *d);
/* No new operations; those under way end. */
void drive_quiet(struct drive *d);
/* After drive_quiet: the last looks. */
void drive_finish(struct drive *d);
/* Nothing is under way (and, after drive_finish, all last looks are done). */
bool drive_idle(const struct drive *d);
bool drive_is_quiet(const struct drive *d);
void drive_free(struct drive *d);
struct history *drive_history(struct drive *d);
uint64_t drive_time(const struct drive *d); /* ns since drive_start */
const struct drive_options *drive_opts(const struct drive *d);
struct loop *drive_loop(const struct drive *d);
size_t drive_ops(const struct drive *d);
/* Uniform in [0, bound). */
uint64_t drive_random(struct drive *d, uint64_t bound);
/* Numbers 1, 2, 3 …: values that are never used twice. */
int64_t drive_unique(struct drive *d);
/* Shared by all workers of a workload; zeroed, of DRIVE_SHARED bytes. */
enum { DRIVE_SHARED = 4096 };
void *drive_shared(struct drive *d);
/* What is noted with d is noted with next too: several workloads at once under the same faults. */
void drive_chain(struct drive *d, struct drive *next);
/* A fault or a leader, as an event of the nemesis. */
void drive_note(struct drive *d, enum hist_f f, unsigned node, int64_t value, const char *note);

/* ---- for workloads ---- */

/* Records the invocation: f, key, value, expected of *e; list may be NULL. */
void op_begin(struct worker *w, const struct hist_event *e, const int64_t *list, size_t n);
/* Records the completion (w->op, as changed by the workload) and pauses. */
void op_end(struct worker *w, enum hist_type type, const int64_t *list, size_t n, const char *note);
/* An answer to a read of one object that may be believed: 200, or 404 for one that is absent, and not marked. */
bool answer_tells(const struct answer *a);
/* What an answer says of a write's fate. */
enum hist_type answer_fate(const struct answer *a);
/* The end with that fate and the answer's code as the note. */
void op_end_as(struct worker *w, const struct answer *a);
/* Gives up this turn without an operation; pauses. */
void worker_skip(struct worker *w);
/* After the last look. */
void worker_done(struct worker *w);
/* The last look again, in a while. */
void worker_again(struct worker *w);
/* Asks the worker's node. body may be NULL; done runs in a later turn, and w->a holds the answer's JSON until the next
 * operation. */
void worker_call(struct worker *w, const char *method, const char *path, const char *body, answer_fn *done);
/* The path of ConfigMaps, with what follows it. */
const char *configmaps_path(struct worker *w, const char *rest);
/* Another node from now on. */
void worker_move(struct worker *w);
int64_t json_revision(const struct json *obj);
/* data.v as a number; HIST_NIL when absent. */
int64_t json_value(const struct json *obj);
/* A ConfigMap's text with data.v; revision 0 = none; extra: further members of metadata such as ",\"labels\":{…}". */
const char *configmap_text(struct worker *w, const char *name, int64_t value, int64_t revision, const char *extra);

#endif

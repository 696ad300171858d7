/* The replicated state: tables of objects with revisions, changed by transactions, watched through an event window.
 *
 * Happy path: the leader encodes a transaction (store_txn_encode), Raft commits it, every replica applies it
 * (store_apply) with the same result: all compares hold → all operations take effect, each at a revision of its own;
 * any compare fails → nothing does. Applying is deterministic: it reads the command and the state, nothing else. Time
 * is
 * the cluster time the command carries (monotonic across leaders), what expires and what is compacted is proposed by
 * the
 * leader as commands too.
 *
 * A value is encoded once: the command carries the object's JSON without resourceVersion and the place where it
 * belongs;
 * applying fills it in, and that blob serves every GET, LIST and watch event from then on.
 *
 * The state hash chains every change; two replicas with equal applied index have equal hashes or one is damaged.
 *
 * Failures: a malformed command is refused the same way on every replica (-EBADMSG), the state unchanged. Revisions
 * older
 * than the window answer -ESTALE (Kubernetes' 410), newer than the state -EAGAIN.
 *
 * Thread: the state loop's. Frozen states (store_freeze) may be written by one other thread. */
#ifndef PINTLE_STORE_STORE_H
#define PINTLE_STORE_STORE_H

#include "base/blob.h"
#include "base/buf.h"
#include "base/list.h"
#include "store/format.h"
#include "store/item.h"
#include "store/tree.h"

enum {
    STORE_OPS_MAX = 10000, /* operations of one transaction */
    STORE_KEY_MAX = 1024,  /* bytes of a key */
    STORE_TABLES_MAX = 4096,
    STORE_REQUESTS_MAX = 16384,  /* request ids remembered */
    STORE_REQUEST_ID_MAX = 64,   /* bytes of one */
    STORE_ACTOR_MAX = 256,       /* bytes of an actor; longer ones are cut */
    STORE_CHECK_BYTES = 8 << 20, /* of items that one check reads: a millisecond or two */
};

struct store;
struct store_table;

/* ---- transactions ---- */

enum store_compare {
    STORE_ANY,     /* no condition (a delete of what is absent does nothing) */
    STORE_ABSENT,  /* the key must not exist → else -EEXIST */
    STORE_PRESENT, /* the key must exist → else -ENOENT */
    STORE_AT,      /* the key must exist at mod_revision → else -ENOENT or -ESTALE */
};

enum store_op_kind { STORE_PUT = 1, STORE_DELETE = 2, STORE_CHECK = 3 };

struct store_op {
    enum store_op_kind kind;
    struct slice table; /* e.g. "pods", "apps/deployments" */
    struct slice key;   /* "namespace/name" or "name" */
    enum store_compare compare;
    uint64_t mod_revision; /* for STORE_AT */
    struct slice value;    /* PUT: JSON object without metadata.resourceVersion, compact */
    uint32_t hole;         /* PUT: offset in value where `"resourceVersion":"N",` goes (just behind a '{' or ',') */
    uint32_t type_len;     /* PUT: offset of the first member after kind and apiVersion */
    struct slice attrs;    /* PUT: encoded labels and fields (store/item.h) */
    uint64_t ttl_ms;       /* PUT: expires this long after the command's time; 0 = never */
};

struct store_txn {
    uint64_t time_ms;        /* proposer's wall clock; the state's time never goes backwards */
    struct slice request_id; /* empty, or ≤ 64 bytes: a repeated id does nothing and reports the first result */
    const struct store_op *ops;
    size_t n;           /* 1 to STORE_OPS_MAX */
    struct slice actor; /* who asked, kept in the event window; format 2, empty before */
};

/* What a check found (store_check_encode). Two replicas that applied the same log up to it have the same digest, or one
 * of them is wrong. */
struct store_check {
    bool done;       /* the command was a check */
    bool damaged;    /* an item here is not what was put: the memory, or somebody who wrote to it, is at fault */
    uint64_t digest; /* of the chain of changes, and of the items read */
    size_t items, bytes;
    struct slice table; /* where the next check goes on; empty = from the start. Valid for the store's life */
    size_t key_n;
    char key[STORE_KEY_MAX]; /* and behind which key */
};

struct store_result {
    int err;                 /* 0, or the first failed compare's error, or -EBADMSG */
    bool repeated;           /* the request id was seen before; revision is the first run's */
    size_t failed_op;        /* when a compare failed */
    uint64_t revision;       /* of the last operation; the state's revision when err is set */
    uint64_t current;        /* the failed key's mod_revision, 0 when absent */
    struct store_item *item; /* what the last put stored, or the last state of what the last delete removed; valid until
                              * the next apply */
    const struct store_check *check; /* of a check, valid until the next apply; else NULL */
};

/* Appends the command for a transaction, a compaction of everything up to a revision, or the expiry of what is due. */
void store_txn_encode(struct buf *out, const struct store_txn *txn);
void store_compact_encode(struct buf *out, uint64_t revision, uint64_t time_ms);
void store_expire_encode(struct buf *out, uint64_t time_ms);
/* Raises the format in force; only once every member knows it. */
void store_format_encode(struct buf *out, unsigned format, uint64_t time_ms);
/* Drops events of one table up to a revision, so that a noisy one does not use up the others' window. Format 2. */
void store_trim_encode(struct buf *out, struct slice table, uint64_t revision, uint64_t time_ms);
/* Makes every replica take its digest here: the chain of all changes, and STORE_CHECK_BYTES of items behind key of table
 * (empty: from the first). One after the other, checks read all items. Format 2. */
void store_check_encode(struct buf *out, struct slice table, struct slice key, uint64_t time_ms);

/* ---- state ---- */

struct store *store_new(void);
void store_free(struct store *s);
/* Applies one committed command. */
void store_apply(struct store *s, struct slice command, struct store_result *ret);
uint64_t store_revision(const struct store *s);
/* Events up to and including this revision are gone; of one table, they may be gone up to a later one. */
uint64_t store_compacted(const struct store *s);
uint64_t store_table_compacted(const struct store *s, const struct store_table *t);
uint64_t store_hash(const struct store *s);
/* Cluster time: the latest a command carried. */
uint64_t store_time_ms(const struct store *s);
/* The format in force (store/format.h). */
unsigned store_format(const struct store *s);
/* Whether something has expired by time_ms and should be proposed for removal. */
bool store_expiry_due(const struct store *s, uint64_t time_ms);
/* Bytes of values and keys in tables, and held only by the event window. */
size_t store_bytes(const struct store *s);
size_t store_window_bytes(const struct store *s);
size_t store_window_events(const struct store *s);
/* The revision to compact to so that at most max_events and max_bytes stay in the window, or nothing from before
 * time_ms; 0 = nothing to do. */
uint64_t store_compact_target(const struct store *s, size_t max_events, size_t max_bytes);
uint64_t store_compact_older(const struct store *s, uint64_t time_ms);
/* Likewise the revision to trim one table to. */
uint64_t store_trim_target(const struct store_table *t, size_t max_events, size_t max_bytes);

/* The table of this name, made when absent. Valid for the store's life. */
struct store_table *store_table(struct store *s, struct slice name);
struct slice store_table_name(const struct store_table *t);
/* The current item, no reference added, or NULL. */
struct store_item *store_get(const struct store_table *t, struct slice key);
/* The current root, for tree_*; hold it with tree_ref to keep it. */
struct tree_node *store_root(const struct store_table *t);
/* Revision of the newest change of this table. */
uint64_t store_table_revision(const struct store_table *t);
/* Tables in order of creation, for totals: index 0 … until NULL. */
struct store_table *store_table_at(const struct store *s, size_t i);

/* The table as it was at a revision: a root that the caller must tree_unref (NULL = empty). 0, -ESTALE when the window
 * does not reach back that far, -EAGAIN when the revision is yet to come. O(1) for the current revision, else
 * O(changes since). */
int store_root_at(const struct store *s, const struct store_table *t, uint64_t revision, struct tree_node **ret);

/* The same in pieces, for when much was changed since. _begin: 0, -ESTALE or -EAGAIN; then _some, which undoes at most n
 * events, until it returns true; then _root, which lives as long as *ret. To be freed as a frozen state is, at any
 * time. */
struct store_frozen;
int store_past_begin(const struct store *s, const struct store_table *t, uint64_t revision, struct store_frozen **ret);
bool store_past_some(struct store_frozen *f, size_t n);
struct tree_node *store_past_root(const struct store_frozen *f);
/* The item of one key as it was at a revision, or NULL in *ret when there was none; no reference added. 0, -ESTALE or
 * -EAGAIN as above; O(events of the table since). */
int store_get_at(const struct store *s, const struct store_table *t, struct slice key, uint64_t revision,
                 struct store_item **ret);

/* ---- events ---- */

struct store_event {
    uint64_t revision;
    struct store_item *now;    /* after the change; of a deletion: the last state with the deletion's revision */
    struct store_item *before; /* before the change, or NULL when created */
    struct blob *actor;        /* who asked for it; NULL = unknown */
    uint64_t time_ms;          /* cluster time; 0 = unknown (the event comes from a snapshot of format 1) */
    uint64_t hash;             /* store_hash() after it; 0 = unknown, likewise */
    bool deleted;
};

/* The events of a table that are in the window, 0 = the oldest; NULL behind the newest. */
size_t store_table_events(const struct store_table *t);
const struct store_event *store_table_event(const struct store_table *t, size_t i);
size_t store_table_window_bytes(const struct store_table *t);
/* Whether a transaction with this request id took effect, and its last operation's revision: 0, -ENOENT (it did not: it
 * would be remembered, as no more than half of what can be remembered came after revision `since`), or -ESTALE (that
 * cannot be told any more). */
int store_request_find(const struct store *s, struct slice id, uint64_t since, uint64_t *ret);
/* The event of a revision, or NULL when it is not in the window. */
const struct store_event *store_event_at(const struct store *s, uint64_t revision);
/* The newest revision at a time (its command's cluster time was not later). 0, or -ESTALE when the window does not tell. */
int store_revision_at(const struct store *s, uint64_t time_ms, uint64_t *ret);
/* The time of the oldest event in the window; the state's time when there is none. */
uint64_t store_oldest_time(const struct store *s);
/* store_hash() as it was at a revision. 0, -ESTALE (not in the window), -EAGAIN (yet to come). */
int store_hash_at(const struct store *s, uint64_t revision, uint64_t *ret);

/* A watcher: a cursor into a table's events. The caller owns the struct. */
struct store_watch {
    struct list link; /* the table's */
    struct store_table *table;
    uint64_t next; /* sequence number of the next event to look at */
    /* New events came, or the cursor fell out of the window; called at most once a batch. */
    void (*notify)(struct store_watch *w);
};

/* Starts after revision `after`. 0, -ESTALE or -EAGAIN as above. */
int store_watch_start(struct store *s, struct store_table *t, uint64_t after, struct store_watch *w);
void store_watch_stop(struct store_watch *w);
/* The next event, valid until control returns to the loop; NULL when there is none yet, with *ret_lost set when the
 * cursor fell out of the window (then stop). */
const struct store_event *store_watch_next(struct store *s, struct store_watch *w, bool *ret_lost);
/* The sequence number that the next event of the table will get: a watcher whose next is this has seen all. */
uint64_t store_watch_newest(const struct store_table *t);
/* Notifies the watchers of tables that changed since the last call. To be called once after each batch of applies. */
void store_notify(struct store *s);

/* ---- snapshots ---- */

struct store_frozen;
/* The state as it is now. Costs a reference for each table and each 64 events, and a copy of the request ids (1.3 MiB):
 * well below 5 ms for a full window, however large the state is. */
struct store_frozen *store_freeze(struct store *s);
/* How far a frozen state is written; zeroed at the start. */
struct store_frozen_cursor {
    unsigned stage;
    size_t table, at;
    struct tree_iter iter;
};
enum { STORE_FROZEN_BUF_MAX = 64 << 20 }; /* what out must be able to hold */
/* Appends whole documents to out until it has want bytes. 0 = there is more, 1 = that was all, or a negative errno;
 * -EBADMSG: an item is not what was put (see store_check), such a snapshot must not be kept.
 * Any thread, one at a time: for those who produce on demand. */
int store_frozen_next(const struct store_frozen *f, struct store_frozen_cursor *c, struct buf *out, size_t want);
/* Writes it all through write(ctx, p, n), which returns 0 or a negative errno. On any one thread. */
int store_frozen_write(struct store_frozen *f, int (*write)(void *ctx, const void *p, size_t n), void *ctx);
/* Frees it whole. What only it held may be much: store_frozen_free_some frees at most about n things (nodes of 31 items,
 * blocks of 64 events) and tells whether all is done; call it until then, and nothing else. */
void store_frozen_free(struct store_frozen *f);
bool store_frozen_free_some(struct store_frozen *f, size_t n);
/* Replaces the state of s by what read(ctx, p, n) gives (exactly n bytes: 0; else negative errno). Watchers are told that
 * they are lost when their place is not in the new window. 0, -EBADMSG, -ENOMEM, or read's error: the state is then
 * undefined and must not be used. */
int store_restore(struct store *s, int (*read)(void *ctx, void *p, size_t n), void *ctx);

/* What is in a snapshot, without taking it in. */
struct store_summary {
    uint64_t revision, compacted, hash, time_ms;
    unsigned format;
    uint64_t objects, events, bytes; /* bytes: of values */
};
/* Reads a whole snapshot, checks that all of it is well-formed, and calls table (may be NULL) for each. Memory stays
 * constant. 0, -EBADMSG, -ENOMEM or read's error. */
int store_inspect(int (*read)(void *ctx, void *p, size_t n), void *ctx, struct store_summary *ret,
                  void (*table)(void *arg, struct slice name, uint64_t objects, uint64_t bytes), void *arg);
/* Makes s the beginning of another history: its revision jumps by STORE_REBASE_JUMP, and everything before is compacted,
 * so that whoever has seen the old one, or a part of it that is not in s, must list anew (410). Request ids and
 * the members are forgotten. */
enum { STORE_REBASE_JUMP = 1000000 };
void store_rebase(struct store *s);

#endif

/* The log on disk: segments that are filled one after the other, pre-zeroed and recycled.
 *
 * Happy path: wal_open replays what is there; each turn's entries become one struct wal_op, which wal_run writes on
 * the log lane with one pwrite and one fdatasync; after a snapshot an op cuts off the segments it made superfluous.
 * Nothing is ever truncated on disk: a record with an index not above the last one means that the suffix from there on
 * was replaced (Raft §5.3), which makes "drop the conflicting entries" and "append the new ones" one write.
 *
 * Failures: any error of wal_run is final (guard G10): what reached the disk is unknown, the replica must stop and
 * recover. A torn tail is cut off at wal_open, silently, for it was never acknowledged; damage to what was synced is
 * -EBADMSG. What tells them apart in the last batch is the file "mark", which holds how far the log was synced.
 *
 * Reserve: spare segments are made ahead (wal_prepare, on another lane). WAL_RESERVE of them are the ballast on which
 * the log lives while the disk is full; the owner refuses proposals when only they are left.
 *
 * Threads: struct wal belongs to whoever runs wal_open, then to the log lane: one wal_run at a time. The spares are
 * the loop's; an op takes them along and brings back what is left. */
#ifndef PINTLE_RAFT_LOG_H
#define PINTLE_RAFT_LOG_H

#include "base/buf.h"
#include "loop/loop.h"

enum {
    WAL_RESERVE = 2,       /* spare segments kept for a full disk */
    WAL_SPARES_WANTED = 3, /* made ahead */
    WAL_SPARES_MAX = 8,    /* kept when recycling */
    WAL_NAME_MAX = 40,
    WAL_PATH_MAX = 512,
    WAL_OP_MAX = 128 << 20, /* bytes of records one op may hold */
};

struct wal_spares {
    char names[WAL_SPARES_MAX][WAL_NAME_MAX]; /* files in the directory */
    size_t n;
};

struct wal_options {
    struct fs *fs;
    const char *dir; /* exists; must outlive the log */
    uint64_t cluster_id;
    uint64_t segment_bytes;
};

/* An entry found at the start, in the order written; see above for indexes that go back. Not 0 ends the replay. */
typedef int wal_entry_fn(void *ctx, uint64_t index, uint64_t term, uint16_t type, struct slice data);

struct wal;

/* Opens or makes the log. 0, -EBADMSG (damage), -EINVAL (another cluster's) or an I/O error; why (256 bytes) then says
 * what. The spares found go to ret_spares. */
int wal_open(const struct wal_options *o, wal_entry_fn *each, void *ctx, struct wal_spares *ret_spares,
             struct wal **ret, char why[256]);
/* Bytes of all segments in use. */
uint64_t wal_size(const struct wal *w);
/* NULL is fine. */
void wal_close(struct wal *w);

struct wal_op {
    struct buf records; /* wal_op_add fills it */
    size_t n_records;
    bool reset;               /* drop everything first: a snapshot replaced the log */
    uint64_t cut;             /* segments with nothing above this index may go; 0 = none */
    struct wal_spares spares; /* lent to the op */
    /* results */
    uint64_t wal_bytes; /* of all segments in use */
};

void wal_op_init(struct wal_op *op);
void wal_op_done(struct wal_op *op);
/* Forgets the contents, keeps the memory. */
void wal_op_clear(struct wal_op *op);
static inline bool wal_op_empty(const struct wal_op *op)
{
    return op->n_records == 0 && !op->reset && op->cut == 0;
}
/* Appends an entry. 0, -E2BIG or -ENOMEM. */
int wal_op_add(struct wal_op *op, uint64_t index, uint64_t term, uint16_t type, struct slice data);
/* Does all of op and syncs. 0 or a negative errno (final). On the log lane. */
int wal_run(struct wal *w, struct wal_op *op);

/* Makes a spare segment named name. 0 or a negative errno, -ENOSPC above all. On any lane but one at a time. */
int wal_prepare(const struct wal_options *o, const char *name);

#endif

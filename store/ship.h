/* Continuous backup: a replica ships what it applies to a directory, normally a mounted network disk.
 *
 * Happy path: ship_entry takes each command as it is applied, in memory; a pool lane appends what has gathered to a
 * segment
 * file and syncs it, at the latest after lag_ms. Now and then another lane writes a base: the whole state, as
 * `pintle snapshot save` would. With a base and the segments behind it every moment since can be had again (archive.h).
 * Each replica has a subdirectory of its own, by its member id: a change of leaders changes nothing, and the loss of a
 * replica loses no more than its copy.
 *
 *   DIR/ID/base-REVISION-TIME-INDEX       a backup file of a state (backup.h)
 *   DIR/ID/segment-REVISION-TIME-INDEX    a backup file of records; the name says what it goes on from
 *   record: length 4, zero 4, index 8, prev 8, revision 8, hash 8, time 8, command
 * A record's numbers are those of the state after it; prev: there is no command between it and this record, so a state
 * of
 * any index from prev on can go on with it. The hash makes sure that replaying gives what the replica had.
 *
 * After a restart the shipper reads where it stopped, and goes on from there when the log still holds all since; else
 * (and when more than SHIP_QUEUE_MAX bytes had to wait) there is a gap, and a new base is written.
 *
 * Failures: the replica never waits for the directory. What cannot be written is tried again; the log, and the metrics
 * pintle_backup_failing and pintle_backup_lag_seconds, tell. Thread: the state loop's. */
#ifndef PINTLE_STORE_SHIP_H
#define PINTLE_STORE_SHIP_H

#include "base/metrics.h"
#include "loop/loop.h"
#include "raft/node.h"

enum {
    SHIP_LAG_MS = 10000,
    SHIP_KEEP = 7,
    SHIP_BASE_EVERY_MS = 24 * 3600 * 1000,
    SHIP_BASE_BYTES = 64 << 20, /* of segments since the last base, or as many as that one had: time for another */
    SHIP_QUEUE_MAX = 32 << 20,  /* bytes of records waiting for the directory */
    SHIP_SEGMENT_BYTES = 16 << 20,
    SHIP_SEGMENT_MS = 3600 * 1000,
    SHIP_RECORD_HEAD = 48,
    SHIP_PATH_MAX = 512,
};

struct replica;
struct ship;

struct ship_options {
    const char *dir;         /* NULL: no backup; copied */
    uint64_t id;             /* the member's: the subdirectory */
    uint64_t lag_ms;         /* 0 = SHIP_LAG_MS */
    unsigned keep;           /* bases; 0 = SHIP_KEEP */
    uint64_t base_every_ms;  /* 0 = SHIP_BASE_EVERY_MS */
    struct metrics *metrics; /* may be NULL */
};

struct ship_record {
    uint64_t index, prev, revision, hash, time_ms;
    struct slice command;
};

void ship_record_encode(char head[SHIP_RECORD_HEAD], const struct ship_record *r);
/* Fills all but the command, whose length it returns. */
uint32_t ship_record_decode(const char head[SHIP_RECORD_HEAD], struct ship_record *ret);
/* The name of a file that begins with this state. */
struct backup_info;
void ship_name(char out[128], const struct backup_info *info);

/* r is being opened; nothing is written before ship_start. */
struct ship *ship_new(struct loop *l, struct replica *r, const struct ship_options *o);
void ship_start(struct ship *s);
/* NULL is fine. What has not been written yet stays in Raft's log, for the next start. */
void ship_free(struct ship *s);
/* The state was replaced as a whole: it is now that of a log index. */
void ship_jump(struct ship *s, uint64_t index);
/* A command was applied. */
void ship_entry(struct ship *s, uint64_t index, struct slice command);

#endif

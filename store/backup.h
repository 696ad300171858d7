/* Backup files: one whole state (a snapshot), or what changed after one (a segment of the log), self-contained and
 * checksummed, to be kept anywhere and to be read on any machine.
 *
 * Happy path, writing: backup_begin freezes a replica's state; a backup_writer gives the file piece by piece, as fast
 * as
 * whoever takes the pieces wants them, on any thread: memory stays constant, and no disk of the replica is needed.
 * Reading: backup_open checks the head, store_restore or store_inspect take the rest through backup_read.
 * A backup_check follows a file as it arrives, without keeping it.
 *
 * Layout: the head (BACKUP_HEAD bytes, see backup.c), then a stream of blocks (raft/blocks.h). In a snapshot the stream
 * is
 * what store_frozen_next gives; in a segment it is records (store/ship.h).
 *
 * Failures: -EBADMSG with any damage, with why saying where. */
#ifndef PINTLE_STORE_BACKUP_H
#define PINTLE_STORE_BACKUP_H

#include "raft/blocks.h"
#include "store/replica.h"

enum { BACKUP_HEAD = 96, BACKUP_VERSION = 1 };
enum backup_kind { BACKUP_SNAPSHOT = 1, BACKUP_SEGMENT = 2 };

/* What the head says. Of a segment: where its first record goes on from. */
struct backup_info {
    enum backup_kind kind;
    uint64_t cluster_id;
    uint64_t index, term; /* of Raft's log: the last entry in the state, and a term not below its own */
    uint64_t revision, hash;
    uint64_t time_ms; /* cluster time of the state */
    uint64_t made_ms; /* wall clock of whoever made it */
    unsigned format;  /* store/format.h */
};

void backup_head_encode(char out[BACKUP_HEAD], const struct backup_info *info);
/* 0, -EBADMSG (not such a file, or damaged), -EPROTONOSUPPORT (of a newer version). */
int backup_head_decode(const char in[BACKUP_HEAD], struct backup_info *ret);

/* The state of r as it is now. To be freed by store_frozen_free, on the loop's thread. */
struct store_frozen *backup_begin(struct replica *r, struct backup_info *ret);

/* ---- writing ---- */

struct backup_writer {
    struct backup_info info;
    const struct store_frozen *frozen;
    struct store_frozen_cursor cursor;
    struct buf documents; /* not yet in a block */
    uint64_t total;
    bool begun, read; /* read: all documents are out of frozen */
};

void backup_writer_init(struct backup_writer *w, const struct backup_info *info, const struct store_frozen *frozen);
void backup_writer_done(struct backup_writer *w);
/* Appends the file's next bytes, at most BACKUP_PIECE_MAX, to out. 0 = there is more, 1 = that was all, or a negative
 * errno. */
enum { BACKUP_PIECE_MAX = BACKUP_HEAD + BLOCK_STORED_MAX };
int backup_writer_next(struct backup_writer *w, struct buf *out);

/* ---- checking while it comes ---- */

struct backup_check {
    struct backup_info info; /* once begun */
    bool begun, ended;
    uint64_t at, total; /* bytes of the file checked; of the state in them */
    struct buf part;    /* of what is not complete yet */
    char *block;
};

void backup_check_init(struct backup_check *c);
void backup_check_done(struct backup_check *c);
/* The file's next bytes. 0, -EBADMSG (damage, or bytes behind the end), -EPROTONOSUPPORT, -ENOMEM. */
int backup_check_push(struct backup_check *c, struct slice data);

/* ---- reading ---- */

struct backup_reader {
    struct backup_info info;
    struct file *file;
    uint64_t at; /* in the file */
    struct block_reader blocks;
    bool cut; /* the file ends before its end mark: a segment that was being written, or half a file */
};

/* 0; -EBADMSG and I/O errors with why (256 bytes). */
int backup_open(struct fs *fs, const char *path, struct backup_reader **ret, char why[256]);
/* NULL is fine. */
void backup_close(struct backup_reader *r);
/* For store_restore and store_inspect; ctx is the reader. Exactly n bytes of the stream; -ENODATA at its end. */
int backup_read(void *ctx, void *p, size_t n);
/* That the stream ends here, and the file with it. 0 or -EBADMSG. */
int backup_read_end(struct backup_reader *r);
/* Says where reading stopped and why. */
void backup_explain(const struct backup_reader *r, const char *path, int err, char why[256]);

#endif

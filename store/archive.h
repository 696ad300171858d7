/* Reading what replicas shipped (ship.h): what can be restored, and restoring it.
 *
 * Happy path: archive_open lists one replica's subdirectory; archive_restore takes the newest base that is not behind
 * the
 * target and replays the segments' records up to it, comparing the hash of the state after each.
 *
 * A segment may end in the middle of a block: it was being written when its replica died; the next segment goes on from
 * what came before. Anything else that does not fit is damage, and is named. Blocking; any thread. */
#ifndef PINTLE_STORE_ARCHIVE_H
#define PINTLE_STORE_ARCHIVE_H

#include "store/backup.h"
#include "store/ship.h"

enum { ARCHIVE_FILES_MAX = 65536, ARCHIVE_NAME_MAX = 128 };

struct archive_file {
    char name[ARCHIVE_NAME_MAX];
    uint64_t index, revision; /* what its name says */
};

struct archive {
    struct fs *fs;
    char dir[SHIP_PATH_MAX];
    struct archive_file *bases, *segments; /* by index */
    size_t n_bases, n_segments;
};

/* Lists dir. 0, or negative errno with why. */
int archive_open(struct fs *fs, const char *dir, struct archive *ret, char why[256]);
void archive_done(struct archive *a);
/* Whether a file's name is one of a base or a segment, and which. */
bool archive_parse_name(const char *name, struct archive_file *ret, bool *ret_base);

/* Where a restore is to end: behind the last command with neither more than this revision nor a later time. */
struct archive_target {
    uint64_t revision; /* UINT64_MAX = any */
    uint64_t time_ms;  /* of the cluster; UINT64_MAX = any */
};

struct archive_point {
    struct backup_info base;
    uint64_t index, term, revision, hash, time_ms; /* of the state reached */
    uint64_t first_after; /* revision of the first record beyond the target; 0 = the archive ends here */
    bool gap;             /* there are segments behind, but not what lies between */
    uint64_t digest;      /* names the point: equal when all of the above is */
};

/* Loads the newest usable state that the target allows into s. 0; -ENOENT when there is no base before the target; -EBADMSG
 * with why naming what is damaged or missing (ret then says how far it went). */
int archive_restore(const struct archive *a, const struct archive_target *target, struct store *s,
                    struct archive_point *ret, char why[256]);

/* The same, from one base. */
int archive_restore_from(const struct archive *a, size_t base, const struct archive_target *target, struct store *s,
                         struct archive_point *ret, char why[256]);

/* What can be restored from one base and the segments behind it, by their heads and records' numbers alone. */
struct archive_range {
    uint64_t cluster_id, index; /* index: of the end */
    uint64_t from_revision, to_revision, from_ms, to_ms;
};
/* 0; -EBADMSG with why when something behind the base is damaged (ret says how far it goes). */
int archive_range(const struct archive *a, size_t base, struct archive_range *ret, char why[256]);

/* The records of one segment. each: not 0 ends it with that. *ret_cut: it ends in the middle, as when its writer died.
 * *ret_info is set before each is called. */
int archive_read_segment(struct fs *fs, const char *path, int (*each)(void *ctx, const struct ship_record *r),
                         void *ctx, struct backup_info *ret_info, bool *ret_cut, char why[256]);

#endif

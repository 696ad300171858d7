/* What `pintle snapshot` does with a directory of continuous backups (store/archive.h): all replicas' subdirectories in it,
 * or one of them. */
#ifndef PINTLE_CLI_ARCHIVE_H
#define PINTLE_CLI_ARCHIVE_H

#include "cli/fresh.h"

struct archive_options {
    const char *dir, *to_time;
    int64_t to_revision; /* 0 = not given */
};

/* Loads the point asked for from whichever replica's backup reaches it. 0, or 1 or 2 with a message. */
int archive_load(struct loop *l, const struct archive_options *o, const char *command, struct fresh_state *state);
/* Reads everything. 0, or 1 with what is damaged. */
int archive_verify(struct loop *l, const char *dir, const char *command);

#endif

/* File work of the agent that may block, done on the pool: making and removing the directories of pods and containers. */
#ifndef PINTLE_AGENT_FILES_H
#define PINTLE_AGENT_FILES_H

#include "loop/loop.h"

enum { FILES_PATHS_MAX = 4 };

struct files_job {
    struct loop_work work;
    const char *make_dirs[FILES_PATHS_MAX];    /* with parents; mode 0755 */
    const char *make_file;                     /* empty, mode 0666; or NULL */
    const char *read_file;                     /* up to text_max bytes from its end into text; or NULL */
    const char *remove_trees[FILES_PATHS_MAX]; /* whatever is below, not crossing mounts */
    const char *remove_cgroup;                 /* path below every cgroup hierarchy; or NULL */
    char *text;
    size_t text_max, text_n;
    int err; /* the first failure of making */
};

/* The strings must live until done ran. job->work.done is the caller's. */
void files_run(struct loop *l, struct files_job *job);

#endif

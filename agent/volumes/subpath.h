/* volumeMounts with subPath or subPathExpr: a part of a volume, safe from what a pod does to its volumes.
 *
 * A pod can put links into volumes it writes to, at any time, so a path that was looked at says nothing about where it
 * leads a moment later. Hence each time a container is created: the path is resolved below the volume (a link may lead
 * to another place in it, not out of it), what is missing is made without following links, and what was found is bound,
 * by its descriptor, to a place of our own, DATA/subpaths/UID/CONTAINER.N, which the runtime mounts.
 *
 * Those places hold nothing but mounts; they are released by unmounting and removing what is empty, never by deleting a
 * tree. Where mounting is not allowed (not root), the resolved path itself is used.
 * Thread: binds_run is for the loop, the others block. */
#ifndef PINTLE_AGENT_SUBPATH_H
#define PINTLE_AGENT_SUBPATH_H

#include "loop/loop.h"

enum { BINDS_MAX = 64, BIND_PATH_MAX = 1024, BIND_MESSAGE_MAX = 512 };

struct bind {
    const char *base, *path; /* the volume on the host; what the pod asked for in it */
    int64_t group;           /* of directories that are made; -1 = none */
    const char *target;      /* in the directory below */
};

struct binds_job {
    struct loop_work work; /* done is the caller's */
    const char *dir;       /* DATA/subpaths/UID, made when absent */
    struct bind binds[BINDS_MAX];
    size_t n;
    bool mounts; /* false: only look that the path is fine */
    int err;     /* of the first one that failed */
    char message[BIND_MESSAGE_MAX];
};

/* On the pool. The strings must live until done ran. */
void binds_run(struct loop *l, struct binds_job *job);
/* Makes the directories of path below base, following no link. 0, -ELOOP for a link, -EINVAL for "..", -ENOTDIR. */
int subpath_make(const char *base, const char *path, int64_t group);
/* Opens path below base (O_PATH), making directories that are missing. A descriptor, or -EXDEV when it leads out of base,
 * and what subpath_make says. */
int subpath_open(const char *base, const char *path, int64_t group);
/* Unmounts and removes all that is in dir, and dir. 0 also when it is not there. */
int subpaths_release(const char *dir, char *message, size_t n);

#endif

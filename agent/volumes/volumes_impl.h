/* Shared by the files of this folder. volumes.c fetches what a pod refers to and decides what to write (a plan, made by the
 * file of each volume kind); plan.c carries it out on the pool with writer.c and subpath.c; tree.c deletes.
 *
 * A plan lives in one arena that one thread owns at a time: the loop's while it is made, the pool's while it runs. */
#ifndef PINTLE_AGENT_VOLUMES_IMPL_H
#define PINTLE_AGENT_VOLUMES_IMPL_H

#include "agent/volumes/volumes.h"
#include "base/map.h"

enum {
    VOLUME_MESSAGE_MAX = 512,
    VOLUME_PATH_MAX = 1024,
    VOLUME_FILES_MAX = 10000, /* in one volume */
    VOLUME_ARENA_MAX = 64 << 20,
    VOLUME_OBJECT_MAX = 8 << 20,
    VOLUME_FETCH_KEEP_MS = 10000,  /* answers are shared so long */
    VOLUME_FETCH_ABSENT_MS = 1000, /* that there is none: people are waiting for the pod then */
    VOLUME_REFRESH_MS = 60000,
    VOLUME_TOKEN_S = 3600,  /* life of a token that says nothing */
    VOLUME_DEPTH_MAX = 128, /* of directories while deleting */
    VOLUME_MODE_DEFAULT = 0644,
};

/* ---- the plan ---- */

struct volume_file {
    const char *path; /* relative, without ".." */
    struct slice data;
    unsigned mode;
    struct volume_file *next;
};

enum volume_action { VOLUME_EMPTY, VOLUME_MEMORY, VOLUME_HOST, VOLUME_FILES };

struct volume_item {
    enum volume_action action;
    const char *name, *path;   /* the volume's name; where it stands on the host */
    int64_t size;              /* VOLUME_MEMORY: bytes, 0 = the kernel's default */
    const char *host_type;     /* VOLUME_HOST */
    struct volume_file *files; /* VOLUME_FILES */
    size_t n_files;
    struct volume_item *next;
};

struct volume_plan {
    struct arena arena;
    const char *dir;       /* DATA/pods/UID/volumes */
    const char *binds_dir; /* to remove: DATA/subpaths/UID */
    int64_t fs_group;      /* -1 = none */
    bool mounts;           /* secrets and the like on tmpfs, where the host allows mounts */
    unsigned stamp;        /* tells generations of a volume's files apart */
    struct volume_item *items, **items_end;
    int err;
    char message[VOLUME_MESSAGE_MAX];
};

/* Blocking. Sets err and message. */
void plan_run(struct volume_plan *p);
/* Adds a row; never NULL unless the arena is full. */
struct volume_item *plan_item(struct volume_plan *p, enum volume_action action, struct slice name, const char *path);
/* Adds a file; -EINVAL for a path that leaves the volume, -E2BIG, -ENOMEM. data is copied. Of one path the last counts. */
int plan_file(struct volume_plan *p, struct volume_item *i, struct slice path, struct slice data, unsigned mode);
int plan_fail(struct volume_plan *p, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- one pod ---- */

struct volumes {
    struct agent *agent;
    struct map pods;    /* uid → struct volume_pod */
    struct map fetches; /* "plural/ns/name" → struct volume_fetch */
    struct list works;  /* plans at work, to be told when we end */
    struct list waits;  /* pods' fetches under way */
    struct loop_timer refresh;
    unsigned stamps;
    bool mounts;
};

struct volume_token {
    struct buf text;
    int64_t renew_at; /* wall clock, nanoseconds */
};

struct volume_pod {
    struct volumes *owner;
    char uid[64];
    struct arena arena; /* obj lives here */
    const struct json *obj;
    struct map objects; /* "plural/name" → struct buf: what this round fetched; empty = does not exist */
    struct map tokens;  /* "volume/path" → struct volume_token */
    struct client_call *token_call;
    char token_key[VOLUME_PATH_MAX];
    struct plan_work *work;
    bool busy, again, prepared;
    void (*done)(void *ctx, int err, const char *message);
    void *ctx;
};

/* Whether the fetched object is there; parsed into the plan's arena. NULL when it does not exist. */
const struct json *volume_object(struct volume_pod *v, struct arena *a, const char *plural, struct slice name);
const char *volume_path(struct volume_pod *v, struct arena *a, struct slice volume);

/* ---- volume kinds: each adds its rows for source, or fails the plan ---- */

int volume_empty_dir(struct volume_pod *v, struct volume_plan *p, struct slice name, const struct json *source);
int volume_host_path_plan(struct volume_pod *v, struct volume_plan *p, struct slice name, const struct json *source);
int volume_projected(struct volume_pod *v, struct volume_plan *p, struct slice name, const struct json *source);
/* Parts of projected volumes and volumes of their own: into one item. object: the name of the ConfigMap or Secret. */
int volume_add_keys(struct volume_pod *v, struct volume_plan *p, struct volume_item *i, const char *plural,
                    struct slice object, const struct json *source, unsigned mode);
int volume_add_downward(struct volume_pod *v, struct volume_plan *p, struct volume_item *i, const struct json *source,
                        unsigned mode);
int volume_add_token(struct volume_pod *v, struct volume_plan *p, struct volume_item *i, const struct json *source,
                     unsigned mode);
/* One downward field as text in a; p is NULL when the path is unknown. */
struct slice volume_field(struct volume_pod *v, struct arena *a, struct slice path);
struct slice volume_resource(struct volume_pod *v, struct arena *a, const struct json *ref);

/* ---- blocking parts, on the pool ---- */

/* Makes dir hold exactly the files, switched at once. stamp: differs from the last call's. */
int writer_update(const char *dir, const struct volume_file *files, int64_t group, unsigned stamp);
/* mkdir -p. */
int tree_make(const char *path, unsigned mode);
/* Deletes path and all below it; unmounts what is mounted at path/NAME (volumes), else does not leave the file system. */
int tree_remove(const char *path, char *message, size_t n);

#endif

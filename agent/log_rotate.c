#include "agent/log_rotate.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/logs.h"
#include "agent/pods.h"
#include "base/mem.h"
#include "base/timefmt.h"

enum { ROTATE_CONTAINERS_MAX = 512, ROTATE_PATH_MAX = 1024, ROTATE_CALL_MS = 10000, ROTATE_DELETE_MAX = 64 };

struct rotation {
    char id[128], path[ROTATE_PATH_MAX];
    bool done;
};

/* One look at all logs; outlives a log_rotate that is freed meanwhile. */
struct rotate_job {
    struct loop_work work;
    struct log_rotate *owner; /* NULL = nobody waits any more */
    int64_t wall;
    size_t n;
    struct rotation at[ROTATE_CONTAINERS_MAX];
};

struct log_rotate {
    struct agent *agent;
    struct loop_timer timer;
    struct cri_call *call;
    struct rotate_job *job;
    size_t next; /* of the job's files: the next one to be opened anew */
};

/* ---- files ---- */

/* The oldest of more than keep files called BASE.something; false when there are not so many. */
static bool find_surplus(const char *dir, const char *base, unsigned keep, char oldest[ROTATE_PATH_MAX])
{
    unsigned n = 0;
    size_t len = strlen(base);
    DIR *d = opendir(dir);
    oldest[0] = '\0';
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, base, len) != 0 || e->d_name[len] != '.')
            continue;
        n++;
        if (!oldest[0] || strcmp(e->d_name, oldest) < 0)
            snprintf(oldest, ROTATE_PATH_MAX, "%s", e->d_name);
    }
    if (d)
        closedir(d);
    return n > keep;
}

static void delete_surplus(const char *path, unsigned keep)
{
    char dir[ROTATE_PATH_MAX], oldest[ROTATE_PATH_MAX], full[2 * ROTATE_PATH_MAX + 2];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    for (unsigned i = 0; i < ROTATE_DELETE_MAX && find_surplus(dir, slash ? slash + 1 : path, keep, oldest); i++) {
        snprintf(full, sizeof full, "%s/%s", dir, oldest);
        if (unlink(full))
            return;
    }
}

int log_rotate_file(const char *path, int64_t max, unsigned keep, int64_t wall)
{
    char aside[ROTATE_PATH_MAX + 64], at[TIME_MICRO_LEN + 1];
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < max)
        return 0;
    time_format_micro(wall, at);
    snprintf(aside, sizeof aside, "%s.%s", path, at);
    if (rename(path, aside))
        return -errno;
    delete_surplus(path, keep > 0 ? keep - 1 : 0);
    return 1;
}

static void rotate_run(struct loop_work *w)
{
    struct rotate_job *j = container_of(w, struct rotate_job, work);
    for (size_t i = 0; i < j->n; i++) {
        struct rotation *at = &j->at[i];
        /* Absent, though the container runs: an agent died between putting it aside and telling the runtime. */
        at->done = log_rotate_file(at->path, LOG_ROTATE_BYTES, LOG_ROTATE_FILES, j->wall) > 0 || access(at->path, F_OK);
    }
}

/* ---- the runtime ---- */

static void reopen_next(struct log_rotate *r);

static void on_reopened(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct log_rotate *r = ctx;
    (void)response;
    r->call = NULL;
    if (err) /* it goes on writing into the file that was put aside; nothing is lost */
        log_warn(loop_log(r->agent->loop), "logs", "runtime did not begin a new log: %s", message ? message : "");
    reopen_next(r);
}

static void reopen_next(struct log_rotate *r)
{
    while (r->next < r->job->n && !r->job->at[r->next].done)
        r->next++;
    if (r->next == r->job->n) {
        mem_free(r->job);
        r->job = NULL;
        loop_timer_start(r->agent->loop, &r->timer, LOG_ROTATE_MS);
        return;
    }
    Runtime__V1__ReopenContainerLogRequest q;
    runtime__v1__reopen_container_log_request__init(&q);
    q.container_id = r->job->at[r->next++].id;
    r->call = cri_call(r->agent->cri, CRI_REOPEN_CONTAINER_LOG, &q.base, ROTATE_CALL_MS, on_reopened, r);
}

static void rotate_done(struct loop_work *w)
{
    struct rotate_job *j = container_of(w, struct rotate_job, work);
    if (!j->owner) {
        mem_free(j);
        return;
    }
    j->owner->next = 0;
    reopen_next(j->owner);
}

static struct slice label(const Runtime__V1__Container *c, const char *key)
{
    for (size_t i = 0; i < c->n_labels; i++)
        if (!strcmp(c->labels[i]->key, key))
            return slice_str(c->labels[i]->value);
    return SLICE_NONE;
}

static void add_container(struct log_rotate *r, struct rotate_job *j, const Runtime__V1__Container *c)
{
    char why[512];
    struct rotation *at = &j->at[j->n];
    struct slice ns = label(c, "io.kubernetes.pod.namespace"), pod = label(c, "io.kubernetes.pod.name");
    if (c->state != RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING || strlen(c->id) >= sizeof at->id)
        return;
    if (pods_log_path(r->agent->pods, ns, pod, label(c, "io.kubernetes.container.name"), false, at->path,
                      sizeof at->path, why))
        return;
    snprintf(at->id, sizeof at->id, "%s", c->id);
    j->n++;
}

static void on_list(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct log_rotate *r = ctx;
    const Runtime__V1__ListContainersResponse *list = (const void *)response;
    (void)message;
    r->call = NULL;
    if (err) {
        loop_timer_start(r->agent->loop, &r->timer, LOG_ROTATE_MS);
        return;
    }
    struct rotate_job *j = mem_new(struct rotate_job);
    r->job = j;
    j->owner = r;
    j->wall = loop_wall(r->agent->loop);
    j->work.run = rotate_run;
    j->work.done = rotate_done;
    for (size_t i = 0; i < list->n_containers && j->n < ROTATE_CONTAINERS_MAX; i++)
        add_container(r, j, list->containers[i]);
    loop_work_queue(r->agent->loop, LOOP_LANE_MISC, &j->work);
}

static void on_timer(struct loop_timer *t)
{
    struct log_rotate *r = container_of(t, struct log_rotate, timer);
    Runtime__V1__ListContainersRequest q;
    runtime__v1__list_containers_request__init(&q);
    r->call = cri_call(r->agent->cri, CRI_LIST_CONTAINERS, &q.base, ROTATE_CALL_MS, on_list, r);
}

struct log_rotate *log_rotate_new(struct agent *agent)
{
    struct log_rotate *r = mem_new(struct log_rotate);
    r->agent = agent;
    r->timer.cb = on_timer;
    loop_timer_start(agent->loop, &r->timer, LOG_ROTATE_MS);
    return r;
}

void log_rotate_free(struct log_rotate *r)
{
    if (!r)
        return;
    loop_timer_stop(r->agent->loop, &r->timer);
    bool reopening = r->job && r->call;
    if (r->call)
        cri_cancel(r->call);
    if (reopening)
        mem_free(r->job);
    else if (r->job)
        r->job->owner = NULL;
    mem_free(r);
}

/* One pod on this node, as the files of the pod workers share it: pods.c (which pods there are), pod_sync.c (what to do
 * next), pod_config.c (spec to CRI), pod_env.c (environment), pod_status.c (what to report). Nobody else includes this.
 */
#ifndef PINTLE_AGENT_POD_H
#define PINTLE_AGENT_POD_H

#include "agent/pods.h"
#include "agent/probes/probes.h"
#include "agent/volumes/subpath.h"
#include "agent/volumes/volumes.h"
#include "base/map.h"

enum {
    POD_CONTAINERS_MAX = 128,
    POD_ID_MAX = 80,
    POD_MESSAGE_MAX = 1024,
    POD_ARENA_MAX = 32 << 20,
    RELIST_MS = 1000,
    BACKOFF_FIRST_MS = 10000,
    BACKOFF_LAST_MS = 300000,
    BACKOFF_RESET_S = 600,  /* a container that ran this long starts afresh */
    ACTION_RETRY_MS = 2000, /* after a step that failed */
    TERMINATION_MESSAGE_MAX = 4096,
    SANDBOX_ATTEMPTS_MAX = 1000,
};

enum run_state { RUN_NONE, RUN_CREATED, RUN_RUNNING, RUN_EXITED };

/* One run of a container. */
struct container_run {
    char id[POD_ID_MAX];
    enum run_state state;
    uint32_t attempt;
    int64_t started_at, finished_at; /* wall clock, nanoseconds */
    int exit_code;
    bool detailed; /* the fields above but state are known */
    char reason[64], message[POD_MESSAGE_MAX], image_ref[256];
};

struct container {
    struct pod *pod;
    const struct json *spec; /* in the pod's arena */
    struct slice name;
    bool init, sidecar;             /* sidecar: an init container with restartPolicy Always */
    bool ephemeral;                 /* added to the running pod, run once, of no account to its phase */
    struct container_run now, last; /* newest run and the one before */
    uint32_t restarts;
    bool ready, started, failed_probe, stopping, hook_done, post_started;
    char waiting[64], waiting_message[POD_MESSAGE_MAX]; /* reason while there is no run */
    uint64_t backoff_until;                             /* loop_now */
    uint64_t backoff_ms;
    struct probe_watch *probes;
    bool pull_failed;
};

enum pod_phase { POD_ACTIVE, POD_TERMINATING, POD_GONE };

struct pod {
    struct pods *owner;
    char key[512]; /* namespace/name */
    char uid[64];
    struct arena arena; /* obj lives here; replaced with it */
    const struct json *obj;
    /* Init containers first, then the main ones, then ephemeral ones in the order in which they were added. */
    struct container *containers[POD_CONTAINERS_MAX];
    size_t n_containers;
    enum pod_phase phase;
    /* runtime */
    char sandbox[POD_ID_MAX];
    bool sandbox_ready, sandbox_known, sandbox_stopped;
    uint32_t sandbox_attempt;
    char ip[64];
    int64_t start_time;
    bool volumes_ready, volumes_asked, volumes_removed, finished_report;
    bool listed; /* seen by the runtime's list at work */
    /* the one step in flight */
    bool busy;
    uint64_t stepped;              /* loop_now when the last one ended: older lists do not show what it made */
    struct loop_timer timer;       /* to look again */
    uint64_t kill_deadline;        /* loop_now; when terminating */
    bool deleted_in_api;           /* the API has forgotten it */
    char problem[POD_MESSAGE_MAX]; /* why it cannot go on now */
    /* status */
    struct buf sent; /* the status that the API has */
    struct client_call *status_call;
    bool status_again;
    struct client_call *delete_call;
    /* environment being collected */
    struct map refs; /* "configmaps/name" → struct buf with the object's JSON, or a mark for absent */
};

struct pods {
    struct agent *agent;
    struct informer *informer;
    struct map by_uid; /* uid → struct pod */
    struct loop_timer relist;
    bool listing, list_again, synced, runtime_ok;
    uint64_t list_began; /* loop_now */
    struct cri_call *list_call;
    Runtime__V1__ListContainersResponse *unused;
};

/* pod_sync.c */
/* Looks at what is and what should be, and begins the next step when none is in flight. */
void pod_sync(struct pod *p);
void pod_sync_later(struct pod *p, uint64_t ms);
/* pods.c */
/* Lists the runtime soon; every pod is synced then. */
void pods_relist_soon(struct pods *ps);
void pod_event(struct pod *p, const struct container *c, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
struct container *pod_container(struct pod *p, struct slice name);
/* Forgets and frees a pod whose work is over. */
void pod_forget(struct pod *p);
/* pod_status.c */
/* Computes the status and sends it when it changed. */
void pod_report(struct pod *p);
struct json *pod_status_json(struct pod *p, struct arena *a);
/* pod_config.c: messages live in a. */
Runtime__V1__PodSandboxConfig *pod_sandbox_config(struct pod *p, struct arena *a);
/* NULL with message when something it refers to is missing. binds gets what must be bound before the container is made;
 * its strings live in a. */
Runtime__V1__ContainerConfig *pod_container_config(struct pod *p, struct container *c, struct arena *a,
                                                   struct binds_job *binds, char message[POD_MESSAGE_MAX]);
/* pod_env.c */
struct env_var {
    const char *name, *value;
};
/* The environment of a container; *ret_n entries in a. NULL with message on failure. */
struct env_var *pod_env(struct pod *p, struct container *c, struct arena *a, size_t *ret_n,
                        char message[POD_MESSAGE_MAX]);
/* $(NAME) replaced by the environment's values, $$ by $. */
const char *env_expand(struct arena *a, const struct env_var *env, size_t n, struct slice text);
/* The next object that the environment of c refers to and that was not fetched; false when all are there. */
bool pod_env_missing(struct pod *p, struct container *c, const char **ret_plural, struct slice *ret_name);
void pod_env_keep(struct pod *p, const char *plural, struct slice name, const struct json *obj);
void pod_env_forget(struct pod *p);

/* Paths; out of n bytes. */
void pod_dir(const struct pod *p, char *out, size_t n);
void pod_log_dir(const struct pod *p, char *out, size_t n);
void container_message_path(const struct container *c, uint32_t attempt, char *out, size_t n);

#endif

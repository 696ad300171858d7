/* Shared by node.c (talks to API and runtime), node_facts.c (reads the host) and node_status.c (what to report). */
#ifndef PINTLE_AGENT_NODE_IMPL_H
#define PINTLE_AGENT_NODE_IMPL_H

#include "agent/agent.h"

enum {
    NODE_CONDITIONS = 4,
    NODE_TEXT_MAX = 256,
    NODE_IMAGES_MAX = 50,             /* listed in the status, as the kubelet does */
    NODE_MEMORY_RESERVED = 100 << 20, /* bytes pods cannot have; below it the node is under MemoryPressure */
    NODE_DISK_FREE_PERCENT = 5,       /* less free space is DiskPressure */
    NODE_PID_FREE_PERCENT = 5,        /* fewer free process numbers are PIDPressure */
};

/* What the host and the runtime say. Texts are empty when unknown. */
struct node_facts {
    int64_t cpus;
    int64_t memory, memory_available; /* bytes */
    int64_t disk, disk_available;     /* bytes, of the data directory's file system */
    int64_t pids_max, pids_used;
    char hostname[NODE_TEXT_MAX], kernel[NODE_TEXT_MAX], os_image[NODE_TEXT_MAX], architecture[64];
    char machine_id[64], boot_id[64], system_uuid[64];
    char runtime[NODE_TEXT_MAX]; /* "containerd://1.6.20" */
    bool runtime_ready, network_ready;
    char runtime_message[NODE_TEXT_MAX]; /* why one of them is not */
};

/* One condition's memory: since when it has its status. */
struct node_condition {
    bool value;
    int64_t since; /* wall clock, nanoseconds; 0 = never evaluated */
};

/* Ready, MemoryPressure, DiskPressure, PIDPressure, in this order. */
extern const char *const node_condition_types[NODE_CONDITIONS];

/* Blocking: fills all but the runtime's part. data_dir: whose file system counts. */
void node_facts_read(struct node_facts *f, const char *data_dir);
/* The value of KEY= in the text of /etc/os-release, without quotes, into out; false when absent. */
bool node_os_release(struct slice text, const char *key, char *out, size_t n);

/* Brings the conditions' values and transition times up to date; true when one changed. */
bool node_conditions_update(struct node_condition c[NODE_CONDITIONS], const struct node_facts *f, int64_t wall);
/* The node's status as JSON. images: JSON array or NULL. heartbeat: wall clock of the conditions' heartbeat. */
struct json *node_status_json(struct arena *a, const struct agent_options *o, const struct node_facts *f,
                              const struct node_condition c[NODE_CONDITIONS], const struct json *images,
                              int64_t heartbeat);
/* The Node to create: labels, pod addresses. */
struct json *node_object(struct arena *a, const struct agent_options *o, const struct node_facts *f);

#endif

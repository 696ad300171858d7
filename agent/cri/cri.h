/* The Container Runtime Interface client: gRPC (HTTP/2) over containerd's unix socket.
 *
 * One call is one request message and one answer; methods are rows of a table (cri.c). Calls run at the same time on
 * one
 * connection, which is made again after the runtime was restarted. Thread: the loop's. */
#ifndef PINTLE_AGENT_CRI_H
#define PINTLE_AGENT_CRI_H

#include "loop/loop.h"

/* Field names such as `linux` are macros in GNU C. */
#undef linux
#include "agent/cri/cri.pb-c.h"

enum {
    CRI_MESSAGE_MAX = 32 << 20, /* bytes of one answer */
    CRI_TIMEOUT_MS = 120000,    /* for calls without one of their own */
};

enum cri_method {
    CRI_VERSION,
    CRI_STATUS,
    CRI_RUN_POD_SANDBOX,
    CRI_STOP_POD_SANDBOX,
    CRI_REMOVE_POD_SANDBOX,
    CRI_POD_SANDBOX_STATUS,
    CRI_LIST_POD_SANDBOX,
    CRI_CREATE_CONTAINER,
    CRI_START_CONTAINER,
    CRI_STOP_CONTAINER,
    CRI_REMOVE_CONTAINER,
    CRI_LIST_CONTAINERS,
    CRI_CONTAINER_STATUS,
    CRI_EXEC_SYNC,
    CRI_EXEC,
    CRI_ATTACH,
    CRI_PORT_FORWARD,
    CRI_REOPEN_CONTAINER_LOG,
    CRI_LIST_CONTAINER_STATS,
    CRI_IMAGE_STATUS,
    CRI_PULL_IMAGE,
    CRI_LIST_IMAGES,
    CRI_REMOVE_IMAGE,
    CRI_METHODS,
};

struct cri;
struct cri_call;

struct cri *cri_new(struct loop *l, const char *socket);
/* Calls in flight end with -ESHUTDOWN first. */
void cri_free(struct cri *c);
/* Never NULL; request is encoded before this returns. done runs exactly once unless cancelled: err 0 with the answer (valid
 * during the call, of the method's response type), or -ENOENT (gRPC NOT_FOUND), -EEXIST, -ETIMEDOUT, -ECONNREFUSED and
 * the
 * like (the runtime is away), -EIO (the runtime's error: message says what). */
struct cri_call *cri_call(struct cri *c, enum cri_method method, const ProtobufCMessage *request, unsigned timeout_ms,
                          void (*done)(void *ctx, int err, const char *message, const ProtobufCMessage *response),
                          void *ctx);
void cri_cancel(struct cri_call *call);

#endif

#include "agent/cri/cri.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/http.h"

enum {
    GRPC_HEAD = 5,
    GRPC_OK = 0,
    GRPC_DEADLINE = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_UNAVAILABLE = 14
};

#define RUNTIME "/runtime.v1.RuntimeService/"
#define IMAGES  "/runtime.v1.ImageService/"

static const struct {
    const char *path;
    const ProtobufCMessageDescriptor *response;
} methods[CRI_METHODS] = {
    [CRI_VERSION] = {RUNTIME "Version", &runtime__v1__version_response__descriptor},
    [CRI_STATUS] = {RUNTIME "Status", &runtime__v1__status_response__descriptor},
    [CRI_RUN_POD_SANDBOX] = {RUNTIME "RunPodSandbox", &runtime__v1__run_pod_sandbox_response__descriptor},
    [CRI_STOP_POD_SANDBOX] = {RUNTIME "StopPodSandbox", &runtime__v1__stop_pod_sandbox_response__descriptor},
    [CRI_REMOVE_POD_SANDBOX] = {RUNTIME "RemovePodSandbox", &runtime__v1__remove_pod_sandbox_response__descriptor},
    [CRI_POD_SANDBOX_STATUS] = {RUNTIME "PodSandboxStatus", &runtime__v1__pod_sandbox_status_response__descriptor},
    [CRI_LIST_POD_SANDBOX] = {RUNTIME "ListPodSandbox", &runtime__v1__list_pod_sandbox_response__descriptor},
    [CRI_CREATE_CONTAINER] = {RUNTIME "CreateContainer", &runtime__v1__create_container_response__descriptor},
    [CRI_START_CONTAINER] = {RUNTIME "StartContainer", &runtime__v1__start_container_response__descriptor},
    [CRI_STOP_CONTAINER] = {RUNTIME "StopContainer", &runtime__v1__stop_container_response__descriptor},
    [CRI_REMOVE_CONTAINER] = {RUNTIME "RemoveContainer", &runtime__v1__remove_container_response__descriptor},
    [CRI_LIST_CONTAINERS] = {RUNTIME "ListContainers", &runtime__v1__list_containers_response__descriptor},
    [CRI_CONTAINER_STATUS] = {RUNTIME "ContainerStatus", &runtime__v1__container_status_response__descriptor},
    [CRI_EXEC_SYNC] = {RUNTIME "ExecSync", &runtime__v1__exec_sync_response__descriptor},
    [CRI_EXEC] = {RUNTIME "Exec", &runtime__v1__exec_response__descriptor},
    [CRI_ATTACH] = {RUNTIME "Attach", &runtime__v1__attach_response__descriptor},
    [CRI_PORT_FORWARD] = {RUNTIME "PortForward", &runtime__v1__port_forward_response__descriptor},
    [CRI_REOPEN_CONTAINER_LOG] = {RUNTIME "ReopenContainerLog",
                                  &runtime__v1__reopen_container_log_response__descriptor},
    [CRI_LIST_CONTAINER_STATS] = {RUNTIME "ListContainerStats",
                                  &runtime__v1__list_container_stats_response__descriptor},
    [CRI_IMAGE_STATUS] = {IMAGES "ImageStatus", &runtime__v1__image_status_response__descriptor},
    [CRI_PULL_IMAGE] = {IMAGES "PullImage", &runtime__v1__pull_image_response__descriptor},
    [CRI_LIST_IMAGES] = {IMAGES "ListImages", &runtime__v1__list_images_response__descriptor},
    [CRI_REMOVE_IMAGE] = {IMAGES "RemoveImage", &runtime__v1__remove_image_response__descriptor},
};

struct cri {
    struct loop *loop;
    struct http_client *http;
};

struct cri_call {
    struct http_call *http;
    enum cri_method method;
    struct buf body;
    int grpc_status;
    char message[512];
    void (*done)(void *ctx, int err, const char *message, const ProtobufCMessage *response);
    void *ctx;
};

struct cri *cri_new(struct loop *l, const char *socket)
{
    struct cri *c = mem_new(struct cri);
    char addr[256];
    snprintf(addr, sizeof addr, "unix:%s", socket);
    c->loop = l;
    c->http = http_client_new(l, &(struct http_client_options){.addr = addr, .host = "localhost", .h2 = true});
    return c;
}

void cri_free(struct cri *c)
{
    if (!c)
        return;
    http_client_free(c->http);
    mem_free(c);
}

static void call_free(struct cri_call *call)
{
    buf_done(&call->body);
    mem_free(call);
}

/* grpc-status and grpc-message come with the trailers, or with the head when there is no answer. */
static void take_status(struct cri_call *call, const struct http_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t code;
        if (slice_eq_str(headers[i].name, "grpc-status") && slice_to_i64(headers[i].value, &code))
            call->grpc_status = (int)code;
        else if (slice_eq_str(headers[i].name, "grpc-message"))
            snprintf(call->message, sizeof call->message, "%" SLICE_FMT, SLICE_ARG(headers[i].value));
    }
}

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    (void)code;
    take_status(ctx, headers, n);
}

static void on_data(void *ctx, struct slice data)
{
    struct cri_call *call = ctx;
    buf_add_slice(&call->body, data);
}

static int error_of(const struct cri_call *call)
{
    switch (call->grpc_status) {
    case GRPC_OK:
        return 0;
    case GRPC_NOT_FOUND:
        return -ENOENT;
    case GRPC_ALREADY_EXISTS:
        return -EEXIST;
    case GRPC_DEADLINE:
        return -ETIMEDOUT;
    case GRPC_UNAVAILABLE:
        return -ECONNREFUSED;
    default:
        return -EIO;
    }
}

/* The answer's message, or NULL when what came is none: one frame {compressed = 0, length, bytes}. */
static ProtobufCMessage *unpack(const struct cri_call *call)
{
    const unsigned char *p = (const unsigned char *)call->body.p;
    if (buf_error(&call->body) || call->body.n < GRPC_HEAD || p[0])
        return NULL;
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (n != call->body.n - GRPC_HEAD)
        return NULL;
    return protobuf_c_message_unpack(methods[call->method].response, NULL, n, p + GRPC_HEAD);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct cri_call *call = ctx;
    ProtobufCMessage *response = NULL;
    (void)sent;
    take_status(call, trailers, n);
    if (err)
        snprintf(call->message, sizeof call->message, "the runtime does not answer: %s", strerror(-err));
    else if (code != 200)
        err = -EPROTO;
    else
        err = error_of(call);
    if (!err && !(response = unpack(call))) {
        err = -EBADMSG;
        snprintf(call->message, sizeof call->message, "the runtime's answer cannot be read");
    }
    call->done(call->ctx, err, call->message, response);
    if (response)
        protobuf_c_message_free_unpacked(response, NULL);
    call_free(call);
}

struct cri_call *cri_call(struct cri *c, enum cri_method method, const ProtobufCMessage *request, unsigned timeout_ms,
                          void (*done)(void *ctx, int err, const char *message, const ProtobufCMessage *response),
                          void *ctx)
{
    struct cri_call *call = mem_new(struct cri_call);
    size_t n = protobuf_c_message_get_packed_size(request);
    unsigned char *frame = mem_alloc(n + GRPC_HEAD);
    const struct http_header headers[] = {{SLICE("te"), SLICE("trailers")},
                                          {SLICE("content-type"), SLICE("application/grpc+proto")}};
    frame[0] = 0;
    for (int i = 0; i < 4; i++)
        frame[1 + i] = (unsigned char)(n >> (24 - 8 * i) & 0xff);
    protobuf_c_message_pack(request, frame + GRPC_HEAD);
    *call = (struct cri_call){
        .method = method, .grpc_status = -1, .done = done, .ctx = ctx, .body = BUF_INIT(CRI_MESSAGE_MAX)};
    call->http = http_call(c->http, &(struct http_call_options){.method = "POST",
                                                                .path = methods[method].path,
                                                                .headers = headers,
                                                                .n_headers = 2,
                                                                .body = slice_of(frame, n + GRPC_HEAD),
                                                                .timeout_ms = timeout_ms ? timeout_ms : CRI_TIMEOUT_MS,
                                                                .on_head = on_head,
                                                                .on_data = on_data,
                                                                .on_done = on_done,
                                                                .ctx = call});
    mem_free(frame);
    return call;
}

void cri_cancel(struct cri_call *call)
{
    http_call_cancel(call->http);
    call_free(call);
}

#include "agent/summary.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"

enum { SUMMARY_ARENA_MAX = 32 << 20, SUMMARY_TEXT_MAX = 16 << 20, SUMMARY_CALL_MS = 10000 };

struct summary {
    struct agent *agent;
    struct http_exchange *x;
    struct cri_call *call;
};

static void set_time(struct arena *a, struct json *v, int64_t ns)
{
    char text[TIME_SEC_LEN + 1];
    time_format_sec(ns, text);
    json_set_str(a, v, "time", json_new_str(a, text));
}

static void set_number(struct arena *a, struct json *v, const char *name, const Runtime__V1__UInt64Value *n)
{
    if (n)
        json_set_str(a, v, name, json_new_int(a, (int64_t)n->value));
}

static struct json *container_json(struct arena *a, const Runtime__V1__ContainerStats *s)
{
    struct json *v = json_new_object(a), *part;
    json_set_str(a, v, "name", json_new_str(a, s->attributes->metadata ? s->attributes->metadata->name : ""));
    if (s->cpu) {
        part = json_object_at(a, v, "cpu");
        set_time(a, part, s->cpu->timestamp);
        set_number(a, part, "usageNanoCores", s->cpu->usage_nano_cores);
        set_number(a, part, "usageCoreNanoSeconds", s->cpu->usage_core_nano_seconds);
    }
    if (s->memory) {
        part = json_object_at(a, v, "memory");
        set_time(a, part, s->memory->timestamp);
        set_number(a, part, "availableBytes", s->memory->available_bytes);
        set_number(a, part, "usageBytes", s->memory->usage_bytes);
        set_number(a, part, "workingSetBytes", s->memory->working_set_bytes);
        set_number(a, part, "rssBytes", s->memory->rss_bytes);
        set_number(a, part, "pageFaults", s->memory->page_faults);
        set_number(a, part, "majorPageFaults", s->memory->major_page_faults);
    }
    if (s->writable_layer) {
        part = json_object_at(a, v, "rootfs");
        set_time(a, part, s->writable_layer->timestamp);
        set_number(a, part, "usedBytes", s->writable_layer->used_bytes);
        set_number(a, part, "inodesUsed", s->writable_layer->inodes_used);
    }
    return v;
}

static const char *label(const Runtime__V1__ContainerAttributes *c, const char *key)
{
    for (size_t i = 0; i < c->n_labels; i++)
        if (!strcmp(c->labels[i]->key, key))
            return c->labels[i]->value;
    return "";
}

/* The pod's entry in the list, made when it is the first container of it. */
static struct json *pod_entry(struct arena *a, struct json *pods, const Runtime__V1__ContainerAttributes *c)
{
    const char *uid = label(c, "io.kubernetes.pod.uid");
    json_each (it, pods)
        if (slice_eq_str(json_path_string(it, "podRef.uid"), uid))
            return it;
    struct json *v = json_new_object(a), *ref = json_object_at(a, v, "podRef");
    json_set_str(a, ref, "name", json_new_str(a, label(c, "io.kubernetes.pod.name")));
    json_set_str(a, ref, "namespace", json_new_str(a, label(c, "io.kubernetes.pod.namespace")));
    json_set_str(a, ref, "uid", json_new_str(a, uid));
    json_set_str(a, v, "containers", json_new_array(a));
    json_append(pods, v);
    return v;
}

static void reply(struct agent *agent, struct http_exchange *x, const Runtime__V1__ListContainerStatsResponse *list)
{
    struct http_header type = {SLICE("content-type"), SLICE("application/json")};
    struct buf text = BUF_INIT(SUMMARY_TEXT_MAX);
    struct arena a;
    arena_init(&a, SUMMARY_ARENA_MAX);
    struct json *v = json_new_object(&a), *pods = json_new_array(&a);
    json_set_str(&a, json_object_at(&a, v, "node"), "nodeName", json_new_str(&a, agent->o.node_name));
    for (size_t i = 0; list && i < list->n_stats; i++) {
        const Runtime__V1__ContainerStats *s = list->stats[i];
        if (s->attributes)
            json_append(json_get_str(pod_entry(&a, pods, s->attributes), "containers"), container_json(&a, s));
    }
    json_set_str(&a, v, "pods", pods);
    struct blob *b = json_write(&text, v) || arena_error(&a) ? NULL : blob_copy(buf_slice(&text));
    struct chunk c = b ? chunk_take(b) : chunk_static(SLICE("{}"));
    http_reply(x, b ? 200 : 500, &type, 1, &c, 1);
    buf_done(&text);
    arena_done(&a);
}

static void on_stats(void *ctx, int err, const char *message, const ProtobufCMessage *response)
{
    struct summary *s = ctx;
    struct http_exchange *x = s->x;
    (void)message;
    http_set_ctx(x, NULL, NULL);
    reply(s->agent, x, err ? NULL : (const Runtime__V1__ListContainerStatsResponse *)(const void *)response);
    mem_free(s);
}

static void on_gone(struct http_exchange *x)
{
    struct summary *s = http_ctx(x);
    cri_cancel(s->call);
    mem_free(s);
    http_abort(x);
}

void summary_serve(struct agent *agent, struct http_exchange *x)
{
    Runtime__V1__ListContainerStatsRequest q = RUNTIME__V1__LIST_CONTAINER_STATS_REQUEST__INIT;
    if (!agent->cri) {
        reply(agent, x, NULL);
        return;
    }
    struct summary *s = mem_new(struct summary);
    s->agent = agent;
    s->x = x;
    http_set_ctx(x, s, on_gone);
    s->call = cri_call(agent->cri, CRI_LIST_CONTAINER_STATS, &q.base, SUMMARY_CALL_MS, on_stats, s);
}

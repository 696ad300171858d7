#include "scheduler/cache.h"

#include "base/hash.h"
#include "base/mem.h"
#include "object/meta.h"
#include "object/quantity.h"

enum { NODE_ARENA_MAX = 16 << 20 };

#define AMOUNT_MAX ((int64_t)1 << 48) /* more than any node has; sums over a node's pods stay within 64 bits */

static const char *const names[] = {
    [RES_CPU] = "cpu", [RES_MEMORY] = "memory", [RES_STORAGE] = "ephemeral-storage", [RES_PODS] = "pods"};

/* ---- amounts ---- */

static int64_t amount(const struct json *list, int res)
{
    struct quantity q;
    if (!quantity_from_json(json_get_str(list, names[res]), &q))
        return 0;
    int64_t v = res == RES_CPU ? quantity_milli(q) : quantity_value(q);
    return v < 0 ? 0 : v < AMOUNT_MAX ? v : AMOUNT_MAX;
}

static int64_t sum_of(int64_t a, int64_t b)
{
    return a + b < AMOUNT_MAX ? a + b : AMOUNT_MAX;
}

static struct sched_amounts container_requests(const struct json *container)
{
    struct sched_amounts a = {{0}};
    for (int res = RES_CPU; res <= RES_STORAGE; res++)
        a.of[res] = amount(json_path(container, "resources.requests"), res);
    return a;
}

/* A pod needs the sum of its containers (and sidecars), or what its largest init container needs beside the sidecars that
 * started before it, plus its overhead. */
static struct sched_amounts pod_requests(const struct json *obj)
{
    struct sched_amounts sum = {{0}}, init_max = {{0}}, sidecars = {{0}};
    json_each (c, json_path(obj, "spec.containers")) {
        struct sched_amounts a = container_requests(c);
        for (int res = 0; res < RES_PODS; res++)
            sum.of[res] = sum_of(sum.of[res], a.of[res]);
    }
    json_each (c, json_path(obj, "spec.initContainers")) {
        struct sched_amounts a = container_requests(c);
        bool sidecar = slice_eq_str(json_path_string(c, "restartPolicy"), "Always");
        for (int res = 0; res < RES_PODS; res++) {
            if (sidecar)
                sidecars.of[res] = sum_of(sidecars.of[res], a.of[res]);
            int64_t then = sum_of(sidecars.of[res], sidecar ? 0 : a.of[res]);
            init_max.of[res] = then > init_max.of[res] ? then : init_max.of[res];
        }
    }
    for (int res = 0; res < RES_PODS; res++) {
        sum.of[res] = sum_of(sum.of[res], sidecars.of[res]);
        sum.of[res] = sum.of[res] > init_max.of[res] ? sum.of[res] : init_max.of[res];
        sum.of[res] = sum_of(sum.of[res], amount(json_path(obj, "spec.overhead"), res));
    }
    sum.of[RES_PODS] = 1;
    return sum;
}

static void add_amounts(struct sched_amounts *to, const struct sched_amounts *what, int sign)
{
    for (int res = 0; res < RES_COUNT; res++)
        to->of[res] += sign * what->of[res];
}

static void add_port(struct sched_pod *p, const struct json *port)
{
    int64_t host_port = json_int(json_get_str(port, "hostPort"), 0);
    struct slice protocol = json_path_string(port, "protocol"), ip = json_path_string(port, "hostIP");
    bool any = !ip.n || slice_eq_str(ip, "0.0.0.0");
    if (host_port <= 0 || host_port > 65535 || p->n_ports == SCHED_PORTS_MAX)
        return;
    p->ports[p->n_ports++] =
        (struct sched_port){(uint16_t)host_port, protocol.n ? protocol.p[0] : 'T', any ? 0 : fnv32(ip)};
}

void sched_pod_init(struct sched_pod *p, struct slice key, const struct json *obj)
{
    *p = (struct sched_pod){.key = key, .obj = obj, .ns = meta_namespace(obj), .requests = pod_requests(obj)};
    p->owner_uid = json_path_string(meta_controller(obj), "uid");
    json_each (c, json_path(obj, "spec.containers"))
        json_each (port, json_get_str(c, "ports"))
            add_port(p, port);
}

/* ---- cache ---- */

void cache_init(struct sched_cache *c)
{
    map_init(&c->nodes, 0);
    map_init(&c->pods, 0);
}

static void attach(struct sched_cache *c, struct sched_placed *p)
{
    p->node = map_get(&c->nodes, p->node_name);
    if (!p->node)
        return;
    list_push(&p->node->pods, &p->link);
    add_amounts(&p->node->used, &p->requests, 1);
}

static void detach(struct sched_placed *p)
{
    if (p->node)
        add_amounts(&p->node->used, &p->requests, -1);
    list_remove(&p->link);
    p->node = NULL;
}

static void placed_free(struct sched_placed *p)
{
    detach(p);
    mem_free((char *)p->key.p);
    mem_free((char *)p->node_name.p);
    mem_free((char *)p->owner_uid.p);
    mem_free(p);
}

static void node_free(struct sched_node *n)
{
    list_each (link, &n->pods)
        detach(container_of(link, struct sched_placed, link));
    mem_free((char *)n->name.p);
    arena_done(&n->arena);
    mem_free(n);
}

void cache_done(struct sched_cache *c)
{
    for (struct map_entry *e = map_first(&c->pods); e; e = map_next(&c->pods, e))
        placed_free(e->value);
    for (struct map_entry *e = map_first(&c->nodes); e; e = map_next(&c->nodes, e))
        node_free(e->value);
    map_done(&c->pods);
    map_done(&c->nodes);
}

static struct slice copy(struct slice s)
{
    return slice_of(mem_strndup(s.p, s.n), s.n);
}

void cache_set_node(struct sched_cache *c, struct slice name, struct slice text)
{
    struct sched_node *n = map_get(&c->nodes, name);
    struct json_error err;
    bool fresh = !n;
    if (fresh) {
        n = mem_new(struct sched_node);
        n->name = copy(name);
        list_init(&n->pods);
        arena_init(&n->arena, NODE_ARENA_MAX);
        map_put(&c->nodes, name, n);
    }
    arena_done(&n->arena);
    n->obj = json_parse(&n->arena, text, &err, NULL, NULL);
    for (int res = 0; res < RES_COUNT; res++)
        n->allocatable.of[res] = amount(json_path(n->obj, "status.allocatable"), res);
    for (struct map_entry *e = fresh ? map_first(&c->pods) : NULL; e; e = map_next(&c->pods, e)) {
        struct sched_placed *p = e->value;
        if (!p->node && slice_eq(p->node_name, name))
            attach(c, p);
    }
}

void cache_del_node(struct sched_cache *c, struct slice name)
{
    struct sched_node *n = map_del(&c->nodes, name);
    if (n)
        node_free(n);
}

static void place(struct sched_cache *c, const struct sched_pod *pod, struct slice node_name, bool assumed)
{
    struct sched_placed *old = map_del(&c->pods, pod->key), *p = mem_new(struct sched_placed);
    if (old)
        placed_free(old);
    p->key = copy(pod->key);
    p->node_name = copy(node_name);
    p->owner_uid = copy(pod->owner_uid);
    p->requests = pod->requests;
    memcpy(p->ports, pod->ports, sizeof p->ports);
    p->n_ports = pod->n_ports;
    p->assumed = assumed;
    list_init(&p->link);
    map_put(&c->pods, pod->key, p);
    attach(c, p);
}

void cache_set_pod(struct sched_cache *c, struct slice key, const struct json *obj)
{
    struct sched_pod pod;
    sched_pod_init(&pod, key, obj);
    place(c, &pod, json_path_string(obj, "spec.nodeName"), false);
}

void cache_del_pod(struct sched_cache *c, struct slice key)
{
    struct sched_placed *p = map_del(&c->pods, key);
    if (p)
        placed_free(p);
}

void cache_assume(struct sched_cache *c, const struct sched_pod *pod, struct sched_node *node)
{
    place(c, pod, node->name, true);
}

void cache_forget(struct sched_cache *c, struct slice key)
{
    struct sched_placed *p = map_get(&c->pods, key);
    if (p && p->assumed)
        cache_del_pod(c, key);
}

#include "cluster.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/local.h"
#include "fake_node.h"

const char *const world_servers[REPLICAS] = {"r1:6443", "r2:6443", "r3:6443"};

/* ---- checks ---- */

void world_violated(struct world *w, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (w->tolerate) {
        if (!w->violations++)
            snprintf(w->violation, sizeof w->violation, "%s", text);
        return;
    }
    fprintf(stderr, "seed %llu at %llu ms: %s\n", (unsigned long long)w->seed,
            (unsigned long long)(sim_now(w->sim) / 1000000), text);
    fail();
}

static void remember_hash(struct world *w, const struct replica_host *h, uint64_t index, uint64_t hash)
{
    if (index >= w->n_hashes) {
        size_t n = w->n_hashes ? w->n_hashes : 4096;
        while (n <= index)
            n *= 2;
        uint64_t *hashes = mem_zalloc(n * sizeof *hashes);
        if (w->n_hashes)
            memcpy(hashes, w->hashes, w->n_hashes * sizeof *hashes);
        mem_free(w->hashes);
        w->hashes = hashes;
        w->n_hashes = n;
    }
    if (!w->hashes[index])
        w->hashes[index] = hash;
    CHECK(w, w->hashes[index] == hash, "replica %zu has another state at index %lu", h->i + 1, index);
}

static void check_replica(struct world *w, struct replica_host *h)
{
    if (!h->replica)
        return;
    if (h->failed && w->expect_failures) {
        w->gave_up++;
        world_kill(w, h->i, false);
        return;
    }
    CHECK(w, !h->failed, "replica %zu gave up", h->i + 1);
    uint64_t applied = raft_node_applied(replica_raft(h->replica));
    if (applied == h->applied)
        return;
    struct store *s = replica_store(h->replica);
    CHECK(w, applied > h->applied, "replica %zu went back from index %lu to %lu", h->i + 1, h->applied, applied);
    CHECK(w, store_revision(s) >= h->revision, "replica %zu went back from revision %lu to %lu", h->i + 1, h->revision,
          store_revision(s));
    h->applied = applied;
    h->revision = store_revision(s);
    remember_hash(w, h, applied, store_hash(s));
}

void world_run(struct world *w, uint64_t ms)
{
    uint64_t end = sim_now(w->sim) + ms * 1000000;
    while (sim_now(w->sim) < end) {
        if (!sim_step(w->sim))
            break;
        for (size_t i = 0; i < REPLICAS; i++)
            check_replica(w, &w->replicas[i]);
    }
}

/* ---- a replica ---- */

static void on_role(struct replica_listener *l, bool is_leader, uint64_t term, uint64_t leader_id)
{
    struct replica_host *h = container_of(l, struct replica_host, role);
    struct world *w = h->w;
    h->leader = is_leader;
    h->term = term;
    if (!is_leader) {
        controllers_stop(h->controllers);
        scheduler_stop(h->scheduler);
        return;
    }
    CHECK(w, leader_id == h->id && term < WORLD_TERMS, "replica %zu leads as %lu in term %lu", h->i + 1, leader_id,
          term);
    if (term >= WORLD_TERMS)
        return;
    CHECK(w, !w->leader_of[term] || w->leader_of[term] == h->id, "two leaders in term %lu", term);
    w->elections += !w->leader_of[term];
    w->leader_of[term] = h->id;
    if (w->bare)
        return;
    controllers_start(h->controllers);
    scheduler_start(h->scheduler);
}

static void on_fenced(struct replica_listener *l, bool fenced)
{
    struct replica_host *h = container_of(l, struct replica_host, role);
    CHECK(h->w, h->w->damaged, "replica %zu is fenced, and nothing was damaged", h->i + 1);
    h->fences += fenced;
    h->recoveries += !fenced;
}

static void on_failed(void *ctx, int err, const char *reason)
{
    struct replica_host *h = ctx;
    if (!h->w->expect_failures)
        fprintf(stderr, "replica %zu failed: %s (%d)\n", h->i + 1, reason, err);
    h->failed = true;
}

void world_data_dir(const struct world *w, size_t i, char out[32])
{
    snprintf(out, 32, "/data-%lu", w->replicas[i].id);
}

static bool open_replica(struct replica_host *h)
{
    char why[256], dir[32];
    world_data_dir(h->w, h->i, dir);
    struct replica_options o = {
        .raft = {.dir = dir,
                 .id = h->id,
                 .join = h->id > REPLICAS,
                 .cluster_id = 1,
                 .members = h->w->members,
                 .n_members = REPLICAS,
                 .listen = h->w->members[h->i].address,
                 .address = h->id > REPLICAS ? h->w->members[h->i].address : NULL,
                 .snapshot_every = h->w->snapshot_every,
                 .segment_bytes = 1 << 20,
                 .metrics = &h->metrics},
        .backup = {.dir = h->w->backup ? "/backup" : NULL, .lag_ms = 400, .keep = 3, .base_every_ms = 3000},
        .failed = on_failed,
        .ctx = h};
    int rv = replica_open(h->loop, &o, &h->replica, why);
    if (h->id > REPLICAS && h->w->expect_failures && (rv == -ENOSPC || rv == -EIO))
        return false; /* a newcomer on a full disk has nowhere to begin; it is started again */
    CHECK(h->w, rv == 0, "replica %zu does not open: %s (%d)", h->i + 1, why, rv);
    return rv == 0;
}

static void assemble(struct replica_host *h)
{
    metrics_init(&h->metrics);
    if (!open_replica(h)) {
        metrics_done(&h->metrics);
        return;
    }
    h->api = api_new(h->loop, &(struct api_options){.replica = h->replica,
                                                    .metrics = &h->metrics,
                                                    .id = h->id,
                                                    .members = h->w->api_members,
                                                    .n_members = REPLICAS,
                                                    /* so few that two writes at once like the same one */
                                                    .service_cidr = "10.96.0.0/26"});
    h->controller_client = client_local_new(h->api, "system:kube-controller-manager");
    h->scheduler_client = client_local_new(h->api, "system:kube-scheduler");
    h->controllers = controllers_new(h->controller_client, controllers_builtin, &h->metrics);
    h->scheduler = scheduler_new(h->scheduler_client, &h->metrics);
    h->role = (struct replica_listener){.role = on_role, .fenced = on_fenced};
    replica_listen(h->replica, &h->role);
    h->leader = h->failed = false;
    h->applied = h->revision = 0;
    int rv = api_serve(h->api, world_servers[h->i], NULL);
    CHECK(h->w, rv == 0, "replica %zu does not serve (%d)", h->i + 1, rv);
    rv = replica_start(h->replica);
    CHECK(h->w, rv == 0, "replica %zu does not start (%d)", h->i + 1, rv);
}

static void disassemble(struct replica_host *h)
{
    scheduler_free(h->scheduler);
    controllers_free(h->controllers);
    client_local_free(h->controller_client);
    client_local_free(h->scheduler_client);
    api_free(h->api);
    replica_free(h->replica);
    metrics_done(&h->metrics);
    h->replica = NULL;
    h->api = NULL;
    h->leader = false;
}

void world_start(struct world *w, size_t i)
{
    struct replica_host *h = &w->replicas[i];
    if (h->replica || h->gone)
        return;
    sim_start(w->sim, h->loop);
    assemble(h);
    if (!h->replica)
        sim_kill(w->sim, h->loop, false);
}

void world_lose(struct world *w, size_t i)
{
    world_kill(w, i, true);
    w->replicas[i].gone = true;
}

uint64_t world_new_id(struct world *w, size_t i)
{
    struct replica_host *h = &w->replicas[i];
    h->id = w->members[i].id = w->api_members[i].id = ++w->last_id;
    return h->id;
}

void world_join(struct world *w, size_t i)
{
    w->replicas[i].gone = false;
    world_start(w, i);
}

void world_kill(struct world *w, size_t i, bool crash)
{
    struct replica_host *h = &w->replicas[i];
    if (!h->replica)
        return;
    w->kills++;
    sim_kill(w->sim, h->loop, crash);
    disassemble(h);
}

/* ---- the world ---- */

static struct loop *new_host(struct world *w, const char *name)
{
    struct loop *l = sim_host(w->sim, name);
    const char *log = getenv("PINTLE_SIM_LOG");
    if (log) {
        loop_log(l)->fd = 2;
        loop_log(l)->level = *log == 'd' ? LOG_DEBUG : LOG_INFO;
    }
    return l;
}

static void init(struct world *w, uint64_t seed, bool bare, bool backup)
{
    *w = (struct world){.sim = sim_new(seed), .seed = seed, .snapshot_every = 300, .bare = bare, .backup = backup};
    w->last_id = REPLICAS;
    for (size_t i = 0; i < REPLICAS; i++) {
        char name[32];
        snprintf(name, sizeof name, "r%zu", i + 1);
        w->replicas[i] = (struct replica_host){.w = w, .i = i, .id = i + 1, .loop = new_host(w, name)};
        w->members[i].id = w->api_members[i].id = i + 1;
        snprintf(w->members[i].address, sizeof w->members[i].address, "r%zu:7443", i + 1);
        snprintf(w->api_members[i].address, sizeof w->api_members[i].address, "%s", world_servers[i]);
    }
    for (size_t i = 0; i < REPLICAS; i++)
        assemble(&w->replicas[i]);
    for (size_t i = 0; i < NODES && !bare; i++) {
        char name[32];
        snprintf(name, sizeof name, "node-%zu", i + 1);
        w->nodes[i] = fake_node_new(w, new_host(w, name), name);
    }
    w->load = new_host(w, "load");
}

void world_init(struct world *w, uint64_t seed)
{
    init(w, seed, false, false);
}

void world_init_bare(struct world *w, uint64_t seed)
{
    init(w, seed, true, false);
}

void world_init_shipping(struct world *w, uint64_t seed)
{
    init(w, seed, true, true);
}

void world_done(struct world *w)
{
    for (size_t i = 0; i < NODES && !w->bare; i++)
        fake_node_free(w->nodes[i]);
    for (size_t i = 0; i < REPLICAS; i++)
        world_kill(w, i, false);
    sim_free(w->sim);
    mem_free(w->hashes);
}

size_t world_alive(const struct world *w)
{
    size_t n = 0;
    for (size_t i = 0; i < REPLICAS; i++)
        n += w->replicas[i].replica != NULL;
    return n;
}

int world_leader(const struct world *w)
{
    int best = -1;
    for (int i = 0; i < REPLICAS; i++) {
        const struct replica_host *h = &w->replicas[i];
        if (h->replica && h->leader && (best < 0 || h->term > w->replicas[best].term))
            best = i;
    }
    return best;
}

static size_t all_hosts(const struct world *w, struct loop *out[REPLICAS + NODES + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < REPLICAS; i++)
        out[n++] = w->replicas[i].loop;
    for (size_t i = 0; i < NODES && !w->bare; i++)
        out[n++] = fake_node_loop(w->nodes[i]);
    out[n++] = w->load;
    return n;
}

void world_heal(struct world *w)
{
    struct loop *hosts[REPLICAS + NODES + 1];
    size_t n = all_hosts(w, hosts);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            sim_cut(w->sim, hosts[i], hosts[j], false);
            sim_latency(w->sim, hosts[i], hosts[j], 100, 500);
        }
        sim_disk(w->sim, hosts[i], 100, 1000);
    }
    for (size_t i = 0; i < REPLICAS; i++)
        world_start(w, i);
    for (size_t i = 0; i < NODES && !w->bare; i++)
        fake_node_start(w->nodes[i]);
}

bool world_agrees(const struct world *w)
{
    size_t same = 0, leaders = 0;
    for (size_t i = 0; i < REPLICAS; i++) {
        const struct replica_host *h = &w->replicas[i];
        if (!h->replica)
            return false;
        same += h->applied == w->replicas[0].applied;
        leaders += h->leader;
    }
    return same == REPLICAS && leaders == 1;
}

#include "raft_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define CHECK(c, cond, ...)                                                                                            \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "seed %llu: ", (unsigned long long)(c)->seed);                                             \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            fail();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* ---- the machine ---- */

struct command {
    uint64_t id, key;
};

static void remember(struct cluster *c, uint64_t index, uint64_t id, uint64_t hash, size_t node)
{
    if (index >= c->cap) {
        size_t cap = c->cap ? c->cap : 4096;
        while (cap <= index)
            cap *= 2;
        uint64_t *ids = mem_zalloc(cap * sizeof(*ids)), *hashes = mem_zalloc(cap * sizeof(*hashes));
        if (c->cap) {
            memcpy(ids, c->ids, c->cap * sizeof(*ids));
            memcpy(hashes, c->hashes, c->cap * sizeof(*hashes));
        }
        mem_free(c->ids);
        mem_free(c->hashes);
        c->ids = ids;
        c->hashes = hashes;
        c->cap = cap;
    }
    if (c->hashes[index] == 0) {
        c->ids[index] = id;
        c->hashes[index] = hash;
    }
    CHECK(c, c->ids[index] == id, "node %zu applied another command at index %llu", node, (unsigned long long)index);
    CHECK(c, c->hashes[index] == hash, "node %zu has another state at index %llu", node, (unsigned long long)index);
    if (index > c->last)
        c->last = index;
}

static void apply(void *ctx, uint64_t index, struct slice command, struct raft_proposal *p)
{
    struct cluster_node *x = ctx;
    struct command cmd;
    (void)p;
    assert_true(command.n >= sizeof(cmd));
    memcpy(&cmd, command.p, sizeof(cmd));
    assert_true(cmd.key < CLUSTER_KEYS);
    CHECK(x->c, index > x->state.index, "node %zu applied %llu after %llu", x->i, (unsigned long long)index,
          (unsigned long long)x->state.index);
    x->state.index = index;
    x->state.hash = hash64(command, x->state.hash + index) | 1;
    x->state.value[cmd.key] = cmd.id;
    x->state.at[cmd.key] = index;
    remember(x->c, index, cmd.id, x->state.hash, x->i);
}

static void applied(void *ctx, uint64_t index)
{
    struct cluster_node *x = ctx;
    assert_true(index >= x->state.index);
    x->applied_calls++;
}

static void *snapshot_take(void *ctx)
{
    struct cluster_node *x = ctx;
    x->snapshots++;
    return mem_dup(&x->state, sizeof(x->state));
}

static int snapshot_write(void *frozen, struct raft_sink *sink)
{
    static const char filler[100000] = "filler";
    int err = sink->write(sink, frozen, sizeof(struct machine_state));
    for (int i = 0; i < 3 && !err; i++)
        err = sink->write(sink, filler, sizeof(filler));
    return err;
}

static void snapshot_free(void *ctx, void *frozen)
{
    (void)ctx;
    mem_free(frozen);
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    struct cluster_node *x = ctx;
    struct machine_state s;
    char b[1000];
    int err = source->read(source, &s, sizeof(s));
    for (int i = 0; i < 300 && !err; i++)
        err = source->read(source, b, sizeof(b));
    int end = source->read(source, b, 1);
    assert_int_not_equal(end, 0);
    if (err || end != -ENODATA) /* a disk that fails here is what some tests are about */
        return err ? err : end;
    CHECK(x->c, s.index <= index, "snapshot of %llu claims to be of %llu", (unsigned long long)s.index,
          (unsigned long long)index);
    CHECK(x->c, s.index == 0 || x->c->hashes[s.index] == s.hash, "node %zu restored a state nobody had at %llu", x->i,
          (unsigned long long)s.index);
    CHECK(x->c, s.index >= x->state.index, "node %zu went back to %llu", x->i, (unsigned long long)s.index);
    x->state = s;
    x->restores++;
    return 0;
}

static void role(void *ctx, bool is_leader, uint64_t term, uint64_t leader_id)
{
    struct cluster_node *x = ctx;
    x->leader = is_leader;
    x->term = term;
    if (!is_leader)
        return;
    assert_int_equal(leader_id, x->id);
    assert_true(term < CLUSTER_TERMS);
    uint64_t *who = &x->c->leader_of[term];
    CHECK(x->c, *who == 0 || *who == x->id, "two leaders in term %llu", (unsigned long long)term);
    *who = x->id;
}

static bool removed(void *ctx, uint64_t id)
{
    struct cluster_node *x = ctx;
    return id < 64 && (x->c->removed >> id & 1);
}

static void failed(void *ctx, int err, const char *reason)
{
    struct cluster_node *x = ctx;
    CHECK(x->c, x->c->expect_failures || removed(x, x->id), "node %zu failed: %s (%d)", x->i, reason, err);
    x->failed = true;
}

static const struct raft_machine machine = {
    .removed = removed,
    .apply = apply,
    .applied = applied,
    .snapshot_take = snapshot_take,
    .snapshot_write = snapshot_write,
    .snapshot_free = snapshot_free,
    .restore = restore,
    .role = role,
    .failed = failed,
};

/* ---- writes and reads ---- */

struct write_request {
    struct raft_proposal p;
    struct cluster *c;
    uint64_t id, key;
    int *ret;
};

static void write_done(struct raft_proposal *p, int err)
{
    struct write_request *x = container_of(p, struct write_request, p);
    struct cluster *c = x->c;
    c->pending--;
    if (x->ret)
        *x->ret = err;
    if (err == 0) {
        c->acked++;
        CHECK(c, p->index < c->cap && c->ids[p->index] == x->id, "acknowledged write %llu is not at index %llu",
              (unsigned long long)x->id, (unsigned long long)p->index);
        if (p->index > c->floor[x->key])
            c->floor[x->key] = p->index;
    } else if (err == -ETIMEDOUT) {
        c->unknown++;
    } else {
        c->refused++;
    }
    mem_free(x);
}

static void propose(struct cluster *c, size_t i, size_t bytes, int *ret)
{
    struct command cmd = {++c->next_id, sim_random(c->w, CLUSTER_KEYS)};
    struct blob *b = blob_new(bytes < sizeof(cmd) ? sizeof(cmd) : bytes);
    if (!b) { /* asked for with mem_fail_at */
        if (ret)
            *ret = -ENOMEM;
        return;
    }
    struct write_request *x = mem_new(struct write_request);
    memset(b->bytes, (int)(cmd.id & 0x7f), b->n);
    memcpy(b->bytes, &cmd, sizeof(cmd));
    x->c = c;
    x->id = cmd.id;
    x->key = cmd.key;
    x->ret = ret;
    x->p.done = write_done;
    c->proposed++;
    c->pending++;
    raft_node_propose(c->nodes[i].n, b, &x->p);
}

void cluster_propose(struct cluster *c, size_t i, size_t bytes)
{
    propose(c, i, bytes, NULL);
}

int cluster_write(struct cluster *c, size_t i, size_t bytes)
{
    int ret = 1;
    propose(c, i, bytes, &ret);
    for (int ms = 0; ret == 1 && ms < 20000; ms++)
        sim_run_ms(c->w, 1);
    return ret;
}

struct read_request {
    struct raft_read r;
    struct cluster_node *x;
    uint64_t key, floor;
};

static void read_done(struct raft_read *r, int err)
{
    struct read_request *x = container_of(r, struct read_request, r);
    struct cluster *c = x->x->c;
    c->pending--;
    if (err == 0) {
        uint64_t seen = x->x->state.at[x->key];
        c->reads_served++;
        CHECK(c, seen >= x->floor, "stale read on node %zu: key %llu is of %llu, should be of %llu", x->x->i,
              (unsigned long long)x->key, (unsigned long long)seen, (unsigned long long)x->floor);
        if (seen > c->floor[x->key])
            c->floor[x->key] = seen;
    }
    mem_free(x);
}

void cluster_read(struct cluster *c, size_t i)
{
    struct read_request *x = mem_new(struct read_request);
    x->x = &c->nodes[i];
    x->key = sim_random(c->w, CLUSTER_KEYS);
    x->floor = c->floor[x->key];
    x->r.done = read_done;
    c->reads++;
    c->pending++;
    raft_node_read(c->nodes[i].n, &x->r);
}

/* ---- life ---- */

int cluster_try_start(struct cluster *c, size_t i, char why[256])
{
    struct cluster_node *x = &c->nodes[i];
    char listen[64], dir[64];
    snprintf(listen, sizeof(listen), "n%zu:%u", i + 1, x->port);
    snprintf(dir, sizeof(dir), "/raft-%llu", (unsigned long long)x->id);
    struct raft_options o = c->options;
    o.id = x->id;
    o.listen = o.address = listen;
    o.format = 2;
    if (x->id > c->initial) {
        o.join = true;
        o.dir = dir;
    }
    x->state = (struct machine_state){.index = 0};
    x->leader = x->failed = false;
    int err = raft_node_open(x->l, &o, &machine, x, &x->n, why);
    if (err) {
        x->n = NULL;
        return err;
    }
    return raft_node_start(x->n);
}

void cluster_start(struct cluster *c, size_t i)
{
    char why[256];
    struct cluster_node *x = &c->nodes[i];
    if (!sim_alive(c->w, x->l))
        sim_start(c->w, x->l);
    int err = cluster_try_start(c, i, why);
    bool tolerated = c->expect_failures && err != -EBADMSG && err != -EINVAL; /* a disk that fails just now */
    CHECK(c, err == 0 || tolerated, "node %zu does not start: %s (%d)", i, why, err);
    if (err) {
        cluster_kill(c, i, false);
        sim_kill(c->w, x->l, false);
    }
}

void cluster_kill(struct cluster *c, size_t i, bool crash)
{
    struct cluster_node *x = &c->nodes[i];
    if (!x->n)
        return;
    sim_kill(c->w, x->l, crash);
    raft_node_free(x->n);
    x->n = NULL;
    x->leader = false;
}

void cluster_init(struct cluster *c, uint64_t seed, size_t n)
{
    *c = (struct cluster){.w = sim_new(seed), .seed = seed, .n = n};
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%zu", i + 1);
        c->nodes[i] = (struct cluster_node){.c = c, .i = i, .id = i + 1, .port = 7443, .l = sim_host(c->w, name)};
        c->members[i].id = i + 1;
        snprintf(c->members[i].address, sizeof(c->members[i].address), "n%zu:7443", i + 1);
        if (getenv("PINTLE_SIM_LOG")) {
            loop_log(c->nodes[i].l)->fd = 2;
            loop_log(c->nodes[i].l)->level = LOG_DEBUG;
        }
    }
    c->initial = n;
    c->next_member = n + 1;
    c->options = (struct raft_options){.dir = "/raft",
                                       .cluster_id = 77,
                                       .members = c->members,
                                       .n_members = n,
                                       .snapshot_every = 100,
                                       .segment_bytes = 32 << 10};
}

void cluster_done(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++)
        cluster_kill(c, i, false);
    CHECK(c, c->pending == 0, "%zu callbacks never ran", c->pending);
    sim_free(c->w);
    mem_free(c->ids);
    mem_free(c->hashes);
}

int cluster_leader_now(const struct cluster *c)
{
    int best = -1;
    for (size_t i = 0; i < c->n; i++)
        if (c->nodes[i].n && c->nodes[i].leader && (best < 0 || c->nodes[i].term > c->nodes[best].term))
            best = (int)i;
    return best;
}

size_t cluster_leader(struct cluster *c)
{
    for (int ms = 0; ms < 20000; ms++) {
        int i = cluster_leader_now(c);
        if (i >= 0)
            return (size_t)i;
        sim_run_ms(c->w, 1);
    }
    CHECK(c, false, "no leader after 20 s");
    return 0;
}

struct cluster_node *cluster_member(struct cluster *c, uint64_t id)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->nodes[i].id == id)
            return &c->nodes[i];
    return NULL;
}

uint64_t cluster_join(struct cluster *c, size_t i)
{
    cluster_kill(c, i, false);
    c->nodes[i].id = c->next_member++;
    c->nodes[i].outside = true;
    cluster_start(c, i);
    return c->nodes[i].id;
}

struct change {
    struct raft_proposal p;
    struct cluster *c;
    int *ret;
};

static void change_done(struct raft_proposal *p, int err)
{
    struct change *x = container_of(p, struct change, p);
    x->c->pending--;
    if (x->ret)
        *x->ret = err;
    mem_free(x);
}

int cluster_change(struct cluster *c, enum raft_change_kind kind, uint64_t id, enum raft_member_role role)
{
    int ret = 1;
    struct change *x = mem_new(struct change);
    struct raft_change_request q = {.kind = kind, .member = {.id = id, .role = role}};
    struct cluster_node *node = cluster_member(c, id);
    snprintf(q.member.address, sizeof(q.member.address), "n%zu:%u", node ? node->i + 1 : 99, node ? node->port : 7443);
    x->p.done = change_done;
    x->c = c;
    x->ret = &ret;
    c->pending++;
    raft_node_change(c->nodes[cluster_leader(c)].n, &q, &x->p);
    for (int ms = 0; ret == 1 && ms < 20000; ms++)
        sim_run_ms(c->w, 1);
    if (ret == 1) /* else x is gone */
        x->ret = NULL;
    return ret;
}

/* Those that the leader's membership does not know are outside. */
static void find_outside(struct cluster *c)
{
    struct raft_status s;
    raft_node_status(c->nodes[cluster_leader(c)].n, &s);
    for (size_t i = 0; i < c->n; i++) {
        c->nodes[i].outside = true;
        for (size_t j = 0; j < s.n_members; j++)
            if (s.members[j].member.id == c->nodes[i].id && s.members[j].member.role != MEMBER_SPARE)
                c->nodes[i].outside = false;
    }
}

static bool all_same(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->nodes[i].outside &&
            (c->nodes[i].state.index != c->last || c->nodes[i].state.hash != c->hashes[c->last]))
            return false;
    return true;
}

void cluster_settle(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++) {
        for (size_t j = 0; j < c->n; j++)
            sim_cut(c->w, c->nodes[i].l, c->nodes[j].l, false);
        sim_disk(c->w, c->nodes[i].l, 100, 1000);
        sim_disk_limit(c->w, c->nodes[i].l, 0);
        sim_disk_fail(c->w, c->nodes[i].l, 0, 0);
        if (c->nodes[i].failed)
            cluster_kill(c, i, false);
        if (!c->nodes[i].n && !(c->removed >> c->nodes[i].id & 1))
            cluster_start(c, i);
        CHECK(c, c->nodes[i].n || c->removed >> c->nodes[i].id & 1, "node %zu does not start on a healthy disk", i);
    }
    int err = 1;
    for (int i = 0; i < 50 && err; i++) { /* leadership may be changing hands */
        err = cluster_write(c, cluster_leader(c), 64);
        sim_run_ms(c->w, err ? 100 : 0);
    }
    CHECK(c, err == 0, "no write goes through after everything was healed (%d)", err);
    for (int ms = 0; ms < 20000 && !(c->last && all_same(c)); ms++) {
        if (ms % 1000 == 0)
            find_outside(c);
        sim_run_ms(c->w, 1);
    }
    for (size_t i = 0; i < c->n; i++)
        CHECK(c, c->nodes[i].outside || c->nodes[i].state.index == c->last, "node %zu is stuck at %llu of %llu", i,
              (unsigned long long)c->nodes[i].state.index, (unsigned long long)c->last);
    CHECK(c, all_same(c), "states differ");
}

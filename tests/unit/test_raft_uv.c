/* Replicas on the real loop: plain and mutual TLS, the death of a process' worth of replica, restart, strangers. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/pki.h"
#include "base/mem.h"
#include "net/tls.h"
#include "raft/node.h"

enum { NODES = 3, LIMIT_MS = 20000, CERT_DAYS = 10 };

struct replica {
    struct cluster *c;
    size_t i;
    struct raft_node *n;
    struct tls_context *tls;
    bool leader, failed;
    uint64_t applied;
};

struct cluster {
    struct loop *l;
    char dir[128];
    struct raft_member members[NODES];
    struct replica r[NODES];
    bool tls;
    struct loop_hook hook;
    struct loop_timer limit;
    bool (*until)(struct cluster *c);
    bool late;
    int write_err, read_err;
};

/* ---- the machine ---- */

static void apply(void *ctx, uint64_t index, struct slice command, struct raft_proposal *p)
{
    (void)command;
    (void)p;
    ((struct replica *)ctx)->applied = index;
}

static void *snapshot_take(void *ctx)
{
    return ctx;
}

static int snapshot_write(void *frozen, struct raft_sink *sink)
{
    (void)frozen;
    char b[4096] = "state";
    int err = 0;
    for (int i = 0; i < 1000 && !err; i++)
        err = sink->write(sink, b, sizeof(b));
    return err;
}

static void snapshot_free(void *ctx, void *frozen)
{
    (void)ctx;
    (void)frozen;
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    char b[4096];
    int err = 0;
    for (int i = 0; i < 1000 && !err; i++)
        err = source->read(source, b, sizeof(b));
    ((struct replica *)ctx)->applied = index;
    return err;
}

static void role(void *ctx, bool is_leader, uint64_t term, uint64_t leader_id)
{
    (void)term;
    (void)leader_id;
    ((struct replica *)ctx)->leader = is_leader;
}

static void failed(void *ctx, int err, const char *reason)
{
    (void)err;
    (void)reason;
    ((struct replica *)ctx)->failed = true;
}

static const struct raft_machine machine = {
    .apply = apply,
    .snapshot_take = snapshot_take,
    .snapshot_write = snapshot_write,
    .snapshot_free = snapshot_free,
    .restore = restore,
    .role = role,
    .failed = failed,
};

/* ---- running until ---- */

static void on_hook(struct loop_hook *h)
{
    struct cluster *c = container_of(h, struct cluster, hook);
    if (c->until && c->until(c)) {
        c->until = NULL;
        loop_stop(c->l);
    }
}

static void on_limit(struct loop_timer *t)
{
    struct cluster *c = container_of(t, struct cluster, limit);
    c->late = true;
    loop_stop(c->l);
}

static void run_until(struct cluster *c, bool (*until)(struct cluster *c))
{
    c->until = until;
    c->late = false;
    loop_timer_start(c->l, &c->limit, LIMIT_MS);
    loop_run(c->l);
    loop_timer_stop(c->l, &c->limit);
    assert_false(c->late);
}

static void run_ms(struct cluster *c, uint64_t ms)
{
    c->until = NULL;
    loop_timer_start(c->l, &c->limit, ms);
    loop_run(c->l);
}

/* ---- the cluster ---- */

static void free_addresses(struct cluster *c)
{
    struct listener *ls[NODES];
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(loop_listen(c->l, "127.0.0.1:0", NULL, NULL, &ls[i]), 0);
        c->members[i].id = i + 1;
        snprintf(c->members[i].address, sizeof(c->members[i].address), "127.0.0.1:%u", listener_port(ls[i]));
    }
    for (size_t i = 0; i < NODES; i++)
        listener_close(ls[i]);
}

static void file_in(const struct cluster *c, char out[256], const char *name, size_t i)
{
    snprintf(out, 256, "%s/%s%zu", c->dir, name, i + 1);
}

/* The certificate of replica i names member `as`. */
static void make_tls(struct cluster *c, const struct pki_pair *ca, size_t i, size_t as, const char *org)
{
    char name[64], cert[256], key[256], ca_file[256], why[256];
    const struct pki_request r = {
        .common_name = name, .orgs = &org, .n_orgs = 1, .server = true, .client = true, .days = CERT_DAYS};
    struct pki_pair *p;
    snprintf(name, sizeof(name), "pintle:server:%zu", as + 1);
    file_in(c, cert, "cert", i);
    file_in(c, key, "key", i);
    snprintf(ca_file, sizeof(ca_file), "%s/ca", c->dir);
    assert_int_equal(pki_issue(ca, &r, loop_wall(c->l), &p), 0);
    assert_int_equal(pki_pair_write(p, loop_fs(c->l), cert, key), 0);
    pki_pair_free(p);
    const struct tls_options o = {.cert_file = cert,
                                  .key_file = key,
                                  .ca_file = ca_file,
                                  .verify_client = true,
                                  .require_client = true,
                                  .tls13_only = true};
    tls_context_free(c->r[i].tls);
    assert_int_equal(tls_context_new(&o, &c->r[i].tls, why), 0);
}

static struct pki_pair *make_ca(struct cluster *c)
{
    char cert[256], key[256];
    struct pki_pair *ca;
    snprintf(cert, sizeof(cert), "%s/ca", c->dir);
    snprintf(key, sizeof(key), "%s/ca.key", c->dir);
    assert_int_equal(pki_ca_create("ca", CERT_DAYS, loop_wall(c->l), &ca), 0);
    assert_int_equal(pki_pair_write(ca, loop_fs(c->l), cert, key), 0);
    return ca;
}

static void cluster_init(struct cluster *c, bool tls)
{
    const char *tmp = getenv("TMPDIR");
    *c = (struct cluster){.tls = tls};
    snprintf(c->dir, sizeof(c->dir), "%s/pintle-raft-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(c->dir));
    c->l = loop_uv_new("test");
    loop_log(c->l)->level = getenv("PINTLE_SIM_LOG") ? LOG_DEBUG : LOG_ERROR;
    c->hook.cb = on_hook;
    c->limit.cb = on_limit;
    loop_hook_add(c->l, &c->hook);
    free_addresses(c);
    struct pki_pair *ca = tls ? make_ca(c) : NULL;
    for (size_t i = 0; i < NODES; i++) {
        c->r[i].c = c;
        c->r[i].i = i;
        if (tls)
            make_tls(c, ca, i, i, "pintle:servers");
    }
    pki_pair_free(ca);
}

static void start(struct cluster *c, size_t i)
{
    char dir[256], why[256];
    file_in(c, dir, "data", i);
    const struct raft_options o = {.dir = dir,
                                   .id = i + 1,
                                   .cluster_id = 5,
                                   .members = c->members,
                                   .n_members = NODES,
                                   .listen = c->members[i].address,
                                   .security.tls = c->tls ? c->r[i].tls : NULL,
                                   .snapshot_every = 200,
                                   .segment_bytes = 256 << 10};
    c->r[i].leader = false;
    c->r[i].applied = 0;
    int err = raft_node_open(c->l, &o, &machine, &c->r[i], &c->r[i].n, why);
    if (err)
        fail_msg("%s (%d)", why, err);
    assert_int_equal(raft_node_start(c->r[i].n), 0);
}

static void stop(struct cluster *c, size_t i)
{
    raft_node_free(c->r[i].n);
    c->r[i].n = NULL;
    c->r[i].leader = false;
    run_ms(c, 100); /* what its threads were at ends, and the lock is free */
}

static void cluster_done(struct cluster *c)
{
    char command[256];
    for (size_t i = 0; i < NODES; i++)
        raft_node_free(c->r[i].n);
    loop_hook_remove(c->l, &c->hook);
    loop_free(c->l);
    for (size_t i = 0; i < NODES; i++)
        tls_context_free(c->r[i].tls);
    snprintf(command, sizeof(command), "rm -rf '%s'", c->dir);
    assert_int_equal(system(command), 0);
}

static struct replica *leader_of(struct cluster *c)
{
    for (size_t i = 0; i < NODES; i++)
        if (c->r[i].n && c->r[i].leader)
            return &c->r[i];
    return NULL;
}

static bool has_leader(struct cluster *c)
{
    return leader_of(c) != NULL;
}

static void another_turn(void *arg)
{
    (void)arg; /* our hook runs before the replicas': let it see what they did */
}

struct write {
    struct raft_proposal p;
    struct cluster *c;
};

static void write_done(struct raft_proposal *p, int err)
{
    struct write *w = container_of(p, struct write, p);
    w->c->write_err = err;
    loop_post(w->c->l, another_turn, NULL);
    mem_free(w);
}

static bool written(struct cluster *c)
{
    return c->write_err != 1;
}

static int write_one(struct cluster *c, size_t n)
{
    struct write *w = mem_new(struct write);
    struct blob *b = blob_new(n);
    memset(b->bytes, 'x', n);
    w->c = c;
    w->p.done = write_done;
    c->write_err = 1;
    run_until(c, has_leader);
    raft_node_propose(leader_of(c)->n, b, &w->p);
    run_until(c, written);
    return c->write_err;
}

static struct cluster *reading;

static void read_done(struct raft_read *r, int err)
{
    (void)r;
    reading->read_err = err;
    loop_post(reading->l, another_turn, NULL);
}

static bool read_is_done(struct cluster *c)
{
    return c->read_err != 1;
}

static bool all_equal(struct cluster *c)
{
    for (size_t i = 0; i < NODES; i++)
        if (!c->r[i].n || c->r[i].applied != c->r[0].applied || c->r[i].applied < 2)
            return false;
    return true;
}

static void whole_story(bool tls)
{
    struct cluster c;
    cluster_init(&c, tls);
    for (size_t i = 0; i < NODES; i++)
        start(&c, i);
    for (int i = 0; i < 20; i++)
        assert_int_equal(write_one(&c, 1000), 0);
    assert_int_equal(write_one(&c, 5 << 20), 0);
    run_until(&c, all_equal);
    for (size_t i = 0; i < NODES; i++) {
        struct raft_read r = {.done = read_done};
        reading = &c;
        c.read_err = 1;
        raft_node_read(c.r[i].n, &r);
        run_until(&c, read_is_done);
        assert_int_equal(c.read_err, 0);
    }
    size_t dead = leader_of(&c)->i;
    uint64_t from = loop_now(c.l);
    stop(&c, dead);
    run_until(&c, has_leader);
    print_message("failover in %llu ms\n", (unsigned long long)(loop_now(c.l) - from) / 1000000);
    for (int i = 0; i < 500; i++) /* enough for a snapshot */
        assert_int_equal(write_one(&c, 100), 0);
    start(&c, dead);
    run_until(&c, all_equal);
    for (size_t i = 0; i < NODES; i++)
        assert_false(c.r[i].failed);
    cluster_done(&c);
}

static void test_plain(void **state)
{
    (void)state;
    whole_story(false);
}

static void test_tls(void **state)
{
    (void)state;
    whole_story(true);
}

/* Certificates of the right CA that speak for somebody else, or for no server, get nowhere. */
static void test_wrong_certificates(void **state)
{
    (void)state;
    struct cluster c;
    char key[256], cert[256];
    struct pki_pair *ca;
    cluster_init(&c, true);
    snprintf(cert, sizeof(cert), "%s/ca", c.dir);
    snprintf(key, sizeof(key), "%s/ca.key", c.dir);
    assert_int_equal(pki_pair_load(loop_fs(c.l), cert, key, &ca), 0);
    make_tls(&c, ca, 1, 2, "pintle:servers"); /* member 2 with member 3's name */
    make_tls(&c, ca, 2, 2, "system:nodes");
    loop_log(c.l)->fd = -1;
    for (size_t i = 0; i < NODES; i++)
        start(&c, i);
    run_ms(&c, 1500);
    assert_null(leader_of(&c));
    make_tls(&c, ca, 2, 2, "pintle:servers");
    stop(&c, 2);
    start(&c, 2);
    run_until(&c, has_leader); /* members 1 and 3 */
    assert_int_not_equal(leader_of(&c)->i, 1);
    pki_pair_free(ca);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_wrong_certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A whole cluster in one process: three replicas with API, controllers and scheduler, five fake nodes, and the checks that
 * must hold after every event of the simulated world:
 *  - at most one leader a term;
 *  - replicas that have applied the same log index have the same state hash;
 *  - the revision of a running replica only grows.
 *
 * Happy path: world_init, world_step or world_run for as long as wanted, faults through sim.h, world_kill and
 * world_start; world_done. A violated check fails the test and names the seed. */
#ifndef PINTLE_TESTS_SIM_CLUSTER_H
#define PINTLE_TESTS_SIM_CLUSTER_H

#include "unit.h"

#include <stdio.h>

#include "apiserver/api.h"
#include "client/client.h"
#include "controllers/runtime.h"
#include "loop/sim.h"
#include "scheduler/scheduler.h"

enum { REPLICAS = 3, NODES = 5, WORLD_TERMS = 65536 };

#define CHECK(w, cond, ...)                                                                                            \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            world_violated((w), __VA_ARGS__);                                                                          \
    } while (0)

struct world;
struct fake_node;

struct replica_host {
    struct world *w;
    size_t i;
    uint64_t id; /* of the member; another one after it lost its data */
    bool gone;   /* lost, and not a member again yet */
    struct loop *loop;
    struct metrics metrics;
    struct replica *replica; /* NULL while down */
    struct api *api;
    struct client *controller_client, *scheduler_client;
    struct controllers *controllers;
    struct scheduler *scheduler;
    struct replica_listener role;
    bool leader, failed;
    size_t fences, recoveries;        /* its state was found wrong; was replaced */
    uint64_t term, applied, revision; /* applied, revision: as last seen by the checks */
};

struct world {
    struct sim *sim;
    uint64_t seed;
    struct replica_host replicas[REPLICAS];
    struct fake_node *nodes[NODES];
    struct loop *load; /* the host of the clients */
    struct raft_member members[REPLICAS];
    struct api_member api_members[REPLICAS];
    uint64_t last_id; /* of a member, ever */
    uint64_t snapshot_every;
    uint64_t leader_of[WORLD_TERMS];
    uint64_t *hashes; /* by log index; 0 = nobody applied it yet */
    size_t n_hashes;
    size_t elections, kills, cuts;
    bool damaged;         /* some replica's state is, or was */
    bool bare;            /* no nodes, controllers and scheduler */
    bool backup;          /* replicas ship to /backup on their own disks */
    bool expect_failures; /* of disks: a replica that gives up is killed, as its process would end */
    bool tolerate;        /* a broken build: violated checks are counted, what follows may find more */
    size_t gave_up, violations;
    char violation[256]; /* the first one */
};

/* Names the seed and the time, and fails the test. */
void world_violated(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The API's addresses, for clients. */
extern const char *const world_servers[REPLICAS];

/* All hosts, running. */
void world_init(struct world *w, uint64_t seed);
/* The replicas and their API alone: for what is about the data, many times as fast. */
void world_init_bare(struct world *w, uint64_t seed);
/* Likewise, and each replica ships to /backup on its own disk, once somebody makes that directory. */
void world_init_shipping(struct world *w, uint64_t seed);
void world_done(struct world *w);
/* Starts or kills replica i; neither is harmful when it is so already. */
void world_start(struct world *w, size_t i);
void world_kill(struct world *w, size_t i, bool crash);
/* Where replica i has its data, on its own disk. */
void world_data_dir(const struct world *w, size_t i, char out[32]);
/* Replica i dies with its data, and does not start until it joins as another member: world_new_id, whose id is to be
 * added to the membership, then world_join. */
void world_lose(struct world *w, size_t i);
uint64_t world_new_id(struct world *w, size_t i);
void world_join(struct world *w, size_t i);
size_t world_alive(const struct world *w);
/* The replica that says it leads in the newest term, or -1. */
int world_leader(const struct world *w);
/* Runs events, with all checks after each, until ms of virtual time have passed. */
void world_run(struct world *w, uint64_t ms);
/* All faults end, everything runs. */
void world_heal(struct world *w);
/* Every replica runs, has applied the same index, and one leads. */
bool world_agrees(const struct world *w);

#endif

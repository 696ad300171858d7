/* The simulated world: hosts with clocks, disks and a network between them, in one thread, decided by one seed.
 *
 * Each host has a struct loop (loop.h) on which real code runs unchanged. Time is virtual: it jumps to the next event.
 * Faults are calls: kill a host (its unsynced writes are lost, torn or kept, as the seed says; its streams break at
 * the other end after a while, as when a machine dies, or at once, as when a process does), start it again, cut links
 * one way or both, slow disks and links, fail or fill a disk, pause a host, let its wall clock jump.
 *
 * A killed host's loop drops every timer, stream, hook and work; the owner then frees its objects (closing handles of
 * a dead loop is harmless) and builds new ones on the same loop after sim_start. */
#ifndef PINTLE_LOOP_SIM_H
#define PINTLE_LOOP_SIM_H

#include "loop/loop.h"

struct sim;

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *s);
/* Adds a running host. Its addresses are "name:port". */
struct loop *sim_host(struct sim *s, const char *name);
/* Runs the next event; false when there is none. */
bool sim_step(struct sim *s);
/* Runs events until virtual time has advanced by ms. */
void sim_run_ms(struct sim *s, uint64_t ms);
uint64_t sim_now(const struct sim *s);
/* For the test's own decisions: draws from the world's seed. */
uint64_t sim_random(struct sim *s, uint64_t bound);
/* A hash of everything that happened so far: equal for equal seeds, or something is not deterministic. */
uint64_t sim_trace_hash(const struct sim *s);

/* Work that was under way on the host's pool threads may have run in part: its run() is called then, its file
 * operations fail from some point on, and its done() is not called.
 * crash: the machine dies (peers see silence, unsynced writes may be lost); otherwise the process is killed (peers see
 * a reset, what was written stays). */
void sim_kill(struct sim *s, struct loop *host, bool crash);
void sim_start(struct sim *s, struct loop *host);
bool sim_alive(const struct sim *s, const struct loop *host);
/* A paused host runs nothing until the time has passed (SIGSTOP, VM pause). */
void sim_pause(struct sim *s, struct loop *host, uint64_t ms);
/* Cuts or heals what `from` sends to `to`. Streams over a cut link stall; after 2 s of it they break. */
void sim_cut(struct sim *s, struct loop *from, struct loop *to, bool cut);
/* Latency of a link, uniform in [min, max] µs. Default 100 to 500. Bytes of a stream stay in order. */
void sim_latency(struct sim *s, struct loop *from, struct loop *to, uint64_t min_us, uint64_t max_us);
/* Time a sync takes, uniform in [min, max] µs. Default 100 to 1000. */
void sim_disk(struct sim *s, struct loop *host, uint64_t min_us, uint64_t max_us);
/* Bytes the host's disk holds at most (0 = no limit): writes past it get -ENOSPC. */
void sim_disk_limit(struct sim *s, struct loop *host, uint64_t bytes);
/* Whether a crash keeps the older of a file's unsynced writes whole and loses the newer ones, as a file system that
 * writes back in order does; else each write may be kept, torn or lost by itself. */
void sim_disk_ordered(struct sim *s, struct loop *host, bool ordered);
/* The nth file operation from now fails with err (a negative errno); n = 0 switches it off. */
void sim_disk_fail(struct sim *s, struct loop *host, uint64_t nth, int err);
/* Adds ns to the host's wall clock. */
void sim_wall_jump(struct sim *s, struct loop *host, int64_t ns);

#endif

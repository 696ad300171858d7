/* The scheduler: gives every pod that has no node the best node that can run it, or says why there is none.
 *
 * Happy path: pods without spec.nodeName wait in a queue; for the first, filter plugins leave the nodes that can run
 * it,
 * score plugins rank them, the best one is bound through the binding subresource. A snapshot of nodes and of what runs
 * on
 * them is kept up to date from informers; a pod being bound counts at once (assumed) until the informer shows it or the
 * binding failed.
 *
 * Failures: a pod that fits nowhere gets the condition PodScheduled=False (reason Unschedulable) and an event that
 * counts
 * the nodes by what was missing; it is tried again when something changes that could help, and at the latest after its
 * backoff (1 s to 10 s) or 5 minutes. A binding that fails puts the pod back.
 *
 * Runs on the leader only: scheduler_start and _stop follow leadership. Pods with another spec.schedulerName are left
 * alone.
 * Thread: the client's loop. */
#ifndef PINTLE_SCHEDULER_SCHEDULER_H
#define PINTLE_SCHEDULER_SCHEDULER_H

#include "base/metrics.h"
#include "client/client.h"

struct scheduler;

/* metrics may be NULL. */
struct scheduler *scheduler_new(struct client *c, struct metrics *metrics);
void scheduler_start(struct scheduler *s);
void scheduler_stop(struct scheduler *s);
void scheduler_free(struct scheduler *s);

#endif

/* Recording Events: what happened to an object, for people (`kubectl describe`). Best effort: an event that cannot be
 * written is dropped.
 *
 * The same event (object, reason, message) again within EVENTS_REMEMBERED others only raises its count. Rate-limited
 * per
 * object: EVENTS_BURST at once, then one every EVENTS_REFILL_S seconds. Thread: the client's loop. */
#ifndef PINTLE_CLIENT_EVENTS_H
#define PINTLE_CLIENT_EVENTS_H

#include "client/client.h"

enum { EVENTS_REMEMBERED = 4096, EVENTS_BURST = 25, EVENTS_REFILL_S = 300 };

struct events;

/* component: "deployment-controller", "default-scheduler", "kubelet" …; host: node name, or "". Both copied. */
struct events *events_new(struct client *c, const char *component, const char *host);
void events_free(struct events *e);
/* obj: the object it is about (its kind, namespace, name and uid count). field: fieldPath such as
 * "spec.containers{web}", or NULL. component may be NULL = the recorder's. */
void events_record(struct events *e, const struct json *obj, const char *component, const char *field, const char *type,
                   const char *reason, const char *message);

#endif

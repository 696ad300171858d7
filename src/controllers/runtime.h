/* The controller runtime: keys of objects that may need work go through a queue to reconcile functions that look at the
 * state and say what should be written; the runtime writes it and tries again when that fails.
 *
 * A controller is data plus a pure function. Its watches name resources and, for each, how a changed object leads to
 * keys.
 * reconcile(r) gets one key, reads objects through r (views of the informers), and answers with operations; it does no
 * I/O and knows no clock but r->now. Operations run in order; the key is not reconciled again before they are done and
 * their results are visible in the informers, so that no controller needs to remember what it asked for. A failed
 * operation
 * ends the run; the key comes back with exponential backoff (5 ms to 5 min). Conflicts and "already exists" come back
 * at
 * once: the state has changed, a fresh look decides.
 *
 * controllers_start begins (informers, then work) and controllers_stop ends all of it; on the leader that is gaining
 * and
 * losing leadership. Thread: the loop's. */
#ifndef PINTLE_CONTROLLERS_RUNTIME_H
#define PINTLE_CONTROLLERS_RUNTIME_H

#include "base/metrics.h"
#include "client/client.h"
#include "object/selector.h"

enum { CONTROLLER_WATCHES_MAX = 8, RECONCILE_ARENA_MAX = 64 << 20 };

struct controllers;
struct reconcile;
struct key_sink;

/* Adds a key to the controller's queue. */
void key_add(struct key_sink *sink, struct slice key);
/* The key "ns/name" (ns may be empty). */
void key_add_parts(struct key_sink *sink, struct slice ns, struct slice name);
/* A view on other objects while mapping: false when absent. json is parsed into a. */
const struct json *sink_get(struct key_sink *sink, struct arena *a, const char *group, const char *plural,
                            struct slice key);
/* Calls each for the objects of a resource in a namespace ("" = all). */
void sink_each(struct key_sink *sink, struct arena *a, const char *group, const char *plural, struct slice ns,
               void (*each)(void *ctx, const struct json *obj), void *ctx);

/* Calls each for the dependents of an owner; ids are "group|plural|namespace/name". */
void sink_dependents(struct key_sink *sink, struct slice uid, void (*each)(void *ctx, struct slice id), void *ctx);

struct controller_watch {
    const char *group, *plural;
    /* Which keys a change leads to. obj is the object now, or its last state when it is gone; before is what it was, or
     * NULL. NULL map = the object's own key. */
    void (*map)(struct key_sink *sink, struct arena *a, const struct json *obj, const struct json *before);
};

struct controller {
    const char *name;
    struct controller_watch watches[CONTROLLER_WATCHES_MAX]; /* ends at the first without plural */
    const char *reads[CONTROLLER_WATCHES_MAX][2];            /* {group, plural} read but not watched; ends at NULL */
    bool reads_everything;                                   /* every kind that is stored */
    /* Hears of every change of every kind: of objects that have owners or finalizers, or are gone. May be NULL. */
    void (*map_any)(struct key_sink *sink, struct arena *a, const struct resource *res, const struct json *obj,
                    bool gone);
    void (*reconcile)(struct reconcile *r);
    /* For keys that no object has, such as "tick": added at start. NULL-terminated, may be NULL. */
    const char *const *initial_keys;
};

/* What a controller has seen of a key, in nanoseconds of reconcile.up and numbers of its own. */
struct memo {
    uint64_t what, seen, since;
};

struct reconcile {
    struct arena *a;
    struct slice key, ns, name; /* key split at '/' */
    int64_t now;                /* wall clock, nanoseconds: to be written, not to be waited by, as it may jump */
    uint64_t up;                /* nanoseconds that these controllers have been at work: never jumps */
    struct memo *memo;          /* the key's, kept as long as requeue_ms brings it back; zeros at first */
    struct controllers *owner;
    uint64_t requeue_ms; /* set to come back after this time even if nothing changes; 0 = not */
    uint64_t seed;       /* random, for names */
    void *run;           /* the runtime's */
};

/* ---- reading: objects parsed into r->a, to be treated as constant; NULL when absent ---- */
const struct json *view_get(struct reconcile *r, const char *group, const char *plural, struct slice ns,
                            struct slice name);
/* The objects of a namespace ("" = all or cluster-scoped), as a NULL-terminated array. */
const struct json **view_list(struct reconcile *r, const char *group, const char *plural, struct slice ns);
/* Those among them whose controlling owner has this uid. */
const struct json **view_owned(struct reconcile *r, const char *group, const char *plural, struct slice ns,
                               struct slice uid);

/* As sink_dependents. */
void view_dependents(struct reconcile *r, struct slice uid, void (*each)(void *ctx, struct slice id), void *ctx);

/* ---- writing: queued, run after reconcile returned ---- */
void op_create(struct reconcile *r, const char *group, const char *plural, struct slice ns, struct json *obj);
/* Full update; obj carries resourceVersion. sub: "status", or NULL. */
void op_update(struct reconcile *r, const char *group, const char *plural, struct json *obj, const char *sub);
/* JSON merge patch. */
void op_patch(struct reconcile *r, const char *group, const char *plural, struct slice ns, struct slice name,
              struct json *patch, const char *sub);
/* policy: "Background", "Foreground", "Orphan" or NULL; uid: precondition, or empty; grace −1 = the object's own. */
void op_delete(struct reconcile *r, const char *group, const char *plural, struct slice ns, struct slice name,
               struct slice uid, const char *policy, int64_t grace);
/* An Event about obj. type "Normal" or "Warning". Never fails the run. */
void op_event(struct reconcile *r, const struct json *obj, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- life ---- */
/* table: the controllers, ended by one without a name; must live as long. metrics may be NULL. */
struct controllers *controllers_new(struct client *c, const struct controller *table, struct metrics *metrics);
void controllers_start(struct controllers *cs);
/* No operation is begun after this; those in flight are forgotten. */
void controllers_stop(struct controllers *cs);
void controllers_free(struct controllers *cs);
/* True when nothing is queued or running (for tests). */
bool controllers_idle(const struct controllers *cs);

/* All built-in controllers (table.c). */
extern const struct controller controllers_builtin[];

#endif

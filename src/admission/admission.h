/* Built-in admission: what happens to a decoded, defaulted object between authorization and the store.
 *
 * Plugins are rows of a table in Kubernetes' order (admission.c): first every plugin's mutate, then, after validation,
 * every plugin's validate. A plugin refuses with a Status. They read other objects through the lookup handed in and
 * keep no
 * state, so that the same request gives the same answer on whichever replica leads. Webhooks and policies will be rows
 * too. Thread: the state loop's. */
#ifndef PINTLE_ADMISSION_ADMISSION_H
#define PINTLE_ADMISSION_ADMISSION_H

#include "auth/user.h"
#include "base/status.h"
#include "codec/json.h"
#include "schema/schema.h"

enum admission_op { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE, ADMIT_CONNECT };

struct admission {
    struct arena *a;
    enum admission_op op;
    const struct resource *res;
    struct slice sub; /* subresource, "" = main */
    struct slice ns, name;
    const struct user *user;
    struct json *obj;       /* new object; NULL on delete */
    const struct json *old; /* stored object; NULL on create */
    int64_t now;            /* wall clock, nanoseconds */
    /* A stored object, parsed into a; NULL when absent. */
    const struct json *(*lookup)(void *ctx, const struct resource *res, struct slice ns, struct slice name);
    /* Calls each for the stored objects of a resource in a namespace ("" = all or cluster-scoped). */
    void (*each)(void *ctx, const struct resource *res, struct slice ns,
                 void (*each)(void *arg, const struct json *obj), void *arg);
    void *ctx;
};

/* 0, or an HTTP error with *st set. */
int admission_mutate(struct admission *ad, struct status *st);
int admission_validate(struct admission *ad, struct status *st);

/* The name of the i-th plugin in the order they run; NULL behind the last. */
const char *admission_plugin(size_t i);

#endif

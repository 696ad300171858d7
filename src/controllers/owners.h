/* Which objects name an owner: an index from owner uid to dependents, kept up to date from changes. The runtime has one
 * for all controllers. Thread: the loop's. */
#ifndef PINTLE_CONTROLLERS_OWNERS_H
#define PINTLE_CONTROLLERS_OWNERS_H

#include "base/map.h"
#include "codec/json.h"
#include "schema/schema.h"

struct owners {
    struct map by_uid; /* uid → struct map of "group|plural|key" → struct resource */
};

void owners_init(struct owners *o);
void owners_done(struct owners *o);
/* before and now: the object's JSON values before and after the change; NULL = not there (or without owners). */
void owners_update(struct owners *o, const struct resource *res, struct slice key, const struct json *before,
                   const struct json *now);
/* Calls each for the dependents of uid; id is "group|plural|key". The index must not change meanwhile. */
void owners_each(const struct owners *o, struct slice uid, void (*each)(void *ctx, struct slice id), void *ctx);

#endif

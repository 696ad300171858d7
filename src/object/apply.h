/* Server-side apply and field ownership (metadata.managedFields, FieldsV1).
 *
 * Every write goes through here: an apply merges a manager's intent into the live object and fails with 409 and one
 * cause per conflicting field when other managers own what it changes (unless forced); any other write only records
 * what changed and who changed it. Merging follows the schema: maps and objects member by member, lists by
 * x-kubernetes-list-type. Inputs are left alone, results are made in the arena. */
#ifndef PINTLE_OBJECT_APPLY_H
#define PINTLE_OBJECT_APPLY_H

#include "base/status.h"
#include "codec/json.h"
#include "schema/schema.h"

enum { APPLY_MANAGER_MAX = 128 };

struct apply_request {
    const struct resource *res;
    struct slice sub;     /* subresource written to; "" = main */
    struct slice manager; /* fieldManager */
    bool force;
    int64_t now; /* wall clock, nanoseconds */
};

/* Applies patch (a partial object, checked with check.partial) to live (NULL = create). The merged object with its
 * managedFields, or NULL and st (400, 409, 422). */
struct json *apply_patch(struct arena *a, const struct apply_request *rq, const struct json *live,
                         const struct json *patch, struct status *st);
/* Records a create, update or other patch: compares obj with live (NULL = create) and sets obj's managedFields. obj
 * is changed in place. 0 or -ENOMEM, -E2BIG. */
int apply_track_update(struct arena *a, const struct apply_request *rq, const struct json *live, struct json *obj);

#endif

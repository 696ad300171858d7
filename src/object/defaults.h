/* Defaulting: what Kubernetes fills in on every decode (rules "D" of the tables), everywhere a type occurs, so also
 * deep inside templates.
 *
 * Rules are data (src/schema/tables/defaults.tsv): type, path, condition, value; the few that no table can say are
 * named functions. Runs after check_object, before admission and validation, and is idempotent. What is set on create
 * only (uid, creation time, status) is the registry's, what admission adds is admission's. */
#ifndef PINTLE_OBJECT_DEFAULTS_H
#define PINTLE_OBJECT_DEFAULTS_H

#include "codec/json.h"
#include "schema/schema.h"

/* Applies the defaults of type to obj, in place. now: wall clock in nanoseconds, for the few defaults that are times.
 * 0 or -ENOMEM, -E2BIG when the arena is full. */
int defaults_apply(struct arena *a, const struct schema_type *type, struct json *obj, int64_t now);

#endif

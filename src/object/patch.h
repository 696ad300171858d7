/* Patches: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch.
 *
 * Each makes a new value in the arena and leaves its inputs alone. Strategic merge patches merge lists by the keys of
 * the schema and know $patch (delete, replace, merge), $deleteFromPrimitiveList/x, $setElementOrder/x, $retainKeys.
 * Errors: 400 for a malformed patch, 422 for one that does not fit the object, with Kubernetes' messages. A JSON patch
 * has at most PATCH_OPERATIONS_MAX operations; results nest at most JSON_DEPTH_MAX deep. */
#ifndef PINTLE_OBJECT_PATCH_H
#define PINTLE_OBJECT_PATCH_H

#include "base/status.h"
#include "codec/json.h"
#include "schema/schema.h"

enum { PATCH_OPERATIONS_MAX = 10000 };

/* The patched value, or NULL and st. */
struct json *patch_json(struct arena *a, const struct json *obj, const struct json *patch, struct status *st);
struct json *patch_merge(struct arena *a, const struct json *obj, const struct json *patch, struct status *st);
/* type: of obj; built-in kinds only (custom resources answer 415 before they come here). */
struct json *patch_strategic(struct arena *a, const struct schema_type *type, const struct json *obj,
                             const struct json *patch, struct status *st);

#endif

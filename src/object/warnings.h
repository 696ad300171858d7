/* What Kubernetes 1.36 warns of in objects that it takes: deprecated fields and annotations, values that do nothing or
 * not what they seem to. Beside them, which versions of the API are deprecated as such.
 *
 * Rules are rows of one table (warnings.c): kinds, a path pattern, what is looked for, words. The words are
 * Kubernetes': clients and their tests read them. What no row can say (ports that overlap, variables that hide each
 * other) is a named function. Asked once an object was found valid. Pure. */
#ifndef PINTLE_OBJECT_WARNINGS_H
#define PINTLE_OBJECT_WARNINGS_H

#include "codec/json.h"
#include "schema/schema.h"

/* Calls add for each warning, text in a. old: the stored object on updates, NULL on creates. */
void object_warnings(struct arena *a, const struct resource *res, const struct json *obj, const struct json *old,
                     void (*add)(void *ctx, const char *text), void *ctx);
/* What any request to a deprecated version of a resource is warned of, or NULL. */
const char *resource_warning(const struct resource *res);

#endif

/* Paths into objects, as the tables write them: "spec.ports[0].name", "metadata.annotations[example.com/key]".
 *
 * Member names are separated by dots; [n] is an item of an array, [text] a member whose name may contain dots.
 * Pure functions; results point into the object. */
#ifndef PINTLE_OBJECT_PATH_H
#define PINTLE_OBJECT_PATH_H

#include "codec/json.h"

/* What stands at the path, or NULL. An empty path is v itself. */
struct json *path_get(const struct json *v, struct slice path);
struct json *path_get_str(const struct json *v, const char *path);
/* The first of the paths joined by '|' at which something other than null or "" stands, or NULL. */
struct json *path_first(const struct json *v, struct slice paths);
/* A scalar as text: strings as they are, numbers and booleans in JSON (made in a); p is NULL for anything else. */
struct slice path_text(struct arena *a, const struct json *scalar);

/* Puts v at the path, making the objects on the way (no arrays). Does nothing when something else is in the way. */
void path_set(struct arena *a, struct json *obj, struct slice path, struct json *v);
/* Removes what stands at the path, a member of an object. */
void path_del(struct json *obj, struct slice path);

#endif

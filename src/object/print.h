/* Server-side tables (meta.k8s.io/v1 Table): what `kubectl get` shows, for every kind.
 *
 * Each column has a cell expression in the tables (src/schema/tables/columns.tsv):
 *   expression = alternative {"|" alternative}        the first that is not absent or ""
 *   alternative = path | 'text' | number | true | false | name(argument {, argument})
 *   path = member {"." member | "[" index or key "]"}
 * Functions are C functions with a name, for what a path cannot say (pod_status, service_ports …). A cell is a JSON
 * value; absent ones are "" for strings, 0 for integers, false for booleans, null in custom resources' tables. */
#ifndef PINTLE_OBJECT_PRINT_H
#define PINTLE_OBJECT_PRINT_H

#include "base/buf.h"
#include "codec/json.h"
#include "schema/schema.h"

/* columnDefinitions as a JSON array. A kind without columns of its own gets Name and Age. */
struct json *print_columns(struct arena *a, const struct resource *res);
/* The cells of one object as a JSON array. now: wall clock in nanoseconds. */
struct json *print_cells(struct arena *a, const struct resource *res, const struct json *obj, int64_t now);
/* A whole row: {cells, conditions?, object}. object may be NULL (includeObject=None). */
struct json *print_row(struct arena *a, const struct resource *res, const struct json *obj, int64_t now,
                       struct json *object);
/* PartialObjectMetadata of obj, sharing its metadata by copy. */
struct json *print_partial(struct arena *a, const struct json *obj);

enum { DURATION_TEXT_MAX = 24 };
/* A duration as Kubernetes shows ages: 45s, 3m20s, 5h, 2d3h, 400d … */
void print_duration(int64_t ns, char out[DURATION_TEXT_MAX]);

#endif

/* Versions of a kind that share storage: core/v1 Event and events.k8s.io/v1 Event, autoscaling/v1 and v2. */
#ifndef PINTLE_OBJECT_CONVERT_H
#define PINTLE_OBJECT_CONVERT_H

#include "codec/json.h"
#include "schema/schema.h"

/* obj, of a resource with the same storage, as `to` has it: kind, apiVersion and members. obj may be changed and be part
 * of the result. Lossless both ways, as Kubernetes does it (annotations carry what one side lacks). NULL when the arena
 * is
 * full. */
struct json *object_convert(struct arena *a, const struct resource *to, struct json *obj);

/* What the field label of a selector for res is called in the version that is stored ("regarding.kind": "involvedObject.
 * kind"), by which the store knows its objects; in a, or the label itself. */
struct slice convert_field_label(struct arena *a, const struct resource *res, struct slice label);

#endif

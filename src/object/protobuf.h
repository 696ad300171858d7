/* Kubernetes protobuf (application/vnd.kubernetes.protobuf): the envelope "k8s\0" + runtime.Unknown around a message whose
 * field numbers the schema knows. */
#ifndef PINTLE_OBJECT_PROTOBUF_H
#define PINTLE_OBJECT_PROTOBUF_H

#include "base/buf.h"
#include "base/status.h"
#include "codec/json.h"
#include "schema/schema.h"

/* Decodes an enveloped object of type, with kind and apiVersion from the envelope. NULL with *st set (400). Lengths, depth
 * (JSON_DEPTH_MAX) and types are checked; unknown fields are skipped. */
struct json *protobuf_decode(struct arena *a, const struct schema_type *type, struct slice body, struct status *st);
/* Appends obj, of type, with its envelope. 0 or negative errno. */
int protobuf_encode(struct buf *out, const struct schema_type *type, const struct json *obj);

#endif

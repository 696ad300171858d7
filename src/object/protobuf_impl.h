/* What reading and writing Kubernetes protobuf share; nobody else includes this. */
#ifndef PINTLE_OBJECT_PROTOBUF_IMPL_H
#define PINTLE_OBJECT_PROTOBUF_IMPL_H

#include "object/protobuf.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

enum { PROTOBUF_MAGIC_LEN = 4 };
static const char protobuf_magic[] = {'k', '8', 's', '\0'};

/* Members of JSONSchemaProps that are one of two things; their message has the object in field `object`. */
bool protobuf_union(const struct schema_type *type, const struct schema_field *f, unsigned *object, unsigned *other);

#endif

/* Kubernetes protobuf (application/vnd.kubernetes.protobuf): the envelope "k8s\0" + runtime.Unknown {1 typeMeta {1
 * apiVersion, 2 kind}, 2 raw, 3 contentEncoding, 4 contentType} around a message whose field numbers the schema knows.
 *
 * What has no number (kind and apiVersion inside the message, all of Table) is not written. Members that Go writes
 * though they are empty may be left out: readers take absence for the zero value. */
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

/* ---- in pieces ---- */

/* Appends obj's message alone, as it stands inside a list's. 0 or negative errno. */
int protobuf_encode_message(struct buf *out, const struct schema_type *type, const struct json *obj);
/* Appends all of an envelope that stands before a message of length bytes; PROTOBUF_TAIL follows the message. */
int protobuf_encode_head(struct buf *out, struct slice api_version, struct slice kind, uint64_t length);
/* Appends the tag and length that stand before a nested message or bytes in field number. */
int protobuf_encode_part(struct buf *out, unsigned number, uint64_t length);
/* Appends a whole field of bytes or text. */
int protobuf_encode_bytes(struct buf *out, unsigned number, struct slice bytes);

/* Appends a whole field of a number or boolean. */
int protobuf_encode_number(struct buf *out, unsigned number, int64_t v);
/* Opens a nested message, whose length is not known yet; what is appended until protobuf_close is inside it. */
size_t protobuf_open(struct buf *out, unsigned number);
void protobuf_close(struct buf *out, size_t start);

/* Empty contentEncoding and contentType, which Go always writes. */
#define PROTOBUF_TAIL SLICE("\x1a\0\"\0")

#endif

/* What the files that make OpenAPI documents share; nobody else includes this. */
#ifndef PINTLE_APISERVER_OPENAPI_IMPL_H
#define PINTLE_APISERVER_OPENAPI_IMPL_H

#include "base/map.h"
#include "codec/json.h"
#include "schema/schema.h"

enum { OPENAPI_MAX = 32 << 20, OPENAPI_TYPES_MAX = 4096 };

/* One document in the making. */
struct openapi {
    struct buf out;
    bool v3;
    struct map seen; /* schema name → itself */
    struct openapi_schema {
        const char *name;
        const struct schema_type *type; /* NULL: of a value that is no object */
        unsigned kind;                  /* enum schema_kind, then */
    } schemas[OPENAPI_TYPES_MAX];       /* referred to, in the order of being found */
    size_t n_schemas;
};

/* ---- openapi_text.c ---- */
/* Appends a sentence or two on a field of a type, or on a type, as a JSON string. */
void openapi_describe_field(struct buf *out, const struct schema_type *type, const struct schema_field *f);
void openapi_describe_type(struct buf *out, const struct schema_type *type);
/* On a query or path parameter. */
void openapi_describe_parameter(struct buf *out, struct slice name);
/* On an operation. */
void openapi_describe_operation(struct buf *out, const struct api_operation *op);

/* ---- openapi_schema.c ---- */
/* Appends {"$ref":…} to a type's schema, which is written later. */
void openapi_ref(struct openapi *o, const struct schema_type *type);
/* Appends the members of the object of all schemas that were referred to. */
void openapi_write_schemas(struct openapi *o);

/* ---- openapi_paths.c ---- */
/* Appends the members of the object of the paths whose operations begin at api_operations[first], n of them. */
void openapi_write_paths(struct openapi *o, size_t first, size_t n);

/* ---- openapi_proto.c ---- */
/* Encodes a v2 or v3 document in the protobuf form that clients ask for. 0 or negative errno. */
int openapi_v2_protobuf(struct buf *out, const struct json *document);
int openapi_v3_protobuf(struct buf *out, const struct json *document);

#endif

/* OpenAPI documents in protobuf: the messages of gnostic's openapi.v2 and openapi.v3, whose members have the names of
 * JSON's, and numbers. Values that JSON nests less deeply stand in wrappers, which a member's way of numbers leads
 * through. */
#include <errno.h>

#include "apiserver/openapi_impl.h"
#include "object/protobuf.h"

enum proto_kind {
    PROTO_TEXT,
    PROTO_BOOL,
    PROTO_TEXTS,     /* a list of texts */
    PROTO_MESSAGE,   /* an object */
    PROTO_MESSAGES,  /* a list of objects */
    PROTO_NAMED,     /* an object as a list of {1 name, 2 value} */
    PROTO_VALUE,     /* any value: {2 yaml} */
    PROTO_VALUES,    /* a list of those */
    PROTO_PARAMETER, /* a list of parameters: each in the wrapper of its kind */
    /* v3: */
    PROTO_WRAPPED,       /* a list of objects: {1 object} each */
    PROTO_SCHEMA,        /* a schema {1} or a reference {2 {1 text}} */
    PROTO_SCHEMAS,       /* a list of those */
    PROTO_NAMED_SCHEMAS, /* PROTO_NAMED of those */
    PROTO_SCALAR,        /* {1 number}, {2 truth} or {3 text}; other values cannot be said */
};

enum { WAY_MAX = 3 };

struct proto_member {
    const char *name;
    enum proto_kind kind;
    unsigned way[WAY_MAX]; /* numbers from the message to the value, 0 = no more */
    const struct proto_member *inside;
    unsigned value_way[WAY_MAX]; /* PROTO_NAMED: from {2 value} on */
};

/* The member "x-" stands for all extensions. */
static const struct proto_member schema_members[] = {
    {"$ref", PROTO_TEXT, {1}, NULL, {0}},
    {"format", PROTO_TEXT, {2}, NULL, {0}},
    {"description", PROTO_TEXT, {4}, NULL, {0}},
    {"default", PROTO_VALUE, {5}, NULL, {0}},
    {"required", PROTO_TEXTS, {19}, NULL, {0}},
    {"enum", PROTO_VALUES, {20}, NULL, {0}},
    {"additionalProperties", PROTO_MESSAGE, {21, 1}, schema_members, {0}},
    {"type", PROTO_TEXT, {22, 1}, NULL, {0}},
    {"items", PROTO_MESSAGE, {23, 1}, schema_members, {0}},
    {"properties", PROTO_NAMED, {25, 1}, schema_members, {0}},
    {"x-", PROTO_VALUE, {31}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member body_members[] = {
    {"description", PROTO_TEXT, {1}, NULL, {0}},
    {"name", PROTO_TEXT, {2}, NULL, {0}},
    {"in", PROTO_TEXT, {3}, NULL, {0}},
    {"required", PROTO_BOOL, {4}, NULL, {0}},
    {"schema", PROTO_MESSAGE, {5}, schema_members, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member query_members[] = {
    {"required", PROTO_BOOL, {1}, NULL, {0}},    {"in", PROTO_TEXT, {2}, NULL, {0}},
    {"description", PROTO_TEXT, {3}, NULL, {0}}, {"name", PROTO_TEXT, {4}, NULL, {0}},
    {"type", PROTO_TEXT, {6}, NULL, {0}},        {"uniqueItems", PROTO_BOOL, {20}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member path_members[] = {
    {"required", PROTO_BOOL, {1}, NULL, {0}},    {"in", PROTO_TEXT, {2}, NULL, {0}},
    {"description", PROTO_TEXT, {3}, NULL, {0}}, {"name", PROTO_TEXT, {4}, NULL, {0}},
    {"type", PROTO_TEXT, {5}, NULL, {0}},        {"uniqueItems", PROTO_BOOL, {19}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member response_members[] = {
    {"description", PROTO_TEXT, {1}, NULL, {0}},
    {"schema", PROTO_MESSAGE, {2, 1}, schema_members, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member operation_members[] = {
    {"tags", PROTO_TEXTS, {1}, NULL, {0}},
    {"description", PROTO_TEXT, {3}, NULL, {0}},
    {"operationId", PROTO_TEXT, {5}, NULL, {0}},
    {"produces", PROTO_TEXTS, {6}, NULL, {0}},
    {"consumes", PROTO_TEXTS, {7}, NULL, {0}},
    {"parameters", PROTO_PARAMETER, {8}, NULL, {0}},
    {"responses", PROTO_NAMED, {9, 1}, response_members, {1}},
    {"schemes", PROTO_TEXTS, {10}, NULL, {0}},
    {"x-", PROTO_VALUE, {13}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member item_members[] = {
    {"get", PROTO_MESSAGE, {2}, operation_members, {0}},
    {"put", PROTO_MESSAGE, {3}, operation_members, {0}},
    {"post", PROTO_MESSAGE, {4}, operation_members, {0}},
    {"delete", PROTO_MESSAGE, {5}, operation_members, {0}},
    {"options", PROTO_MESSAGE, {6}, operation_members, {0}},
    {"head", PROTO_MESSAGE, {7}, operation_members, {0}},
    {"patch", PROTO_MESSAGE, {8}, operation_members, {0}},
    {"parameters", PROTO_PARAMETER, {9}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member info_members[] = {
    {"title", PROTO_TEXT, {1}, NULL, {0}}, {"version", PROTO_TEXT, {2}, NULL, {0}}, {NULL, PROTO_TEXT, {0}, NULL, {0}}};
static const struct proto_member document_members[] = {
    {"swagger", PROTO_TEXT, {1}, NULL, {0}},
    {"info", PROTO_MESSAGE, {2}, info_members, {0}},
    {"paths", PROTO_NAMED, {8, 2}, item_members, {0}},
    {"definitions", PROTO_NAMED, {9, 1}, schema_members, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};

/* ---- v3 ---- */

static const struct proto_member schema3_members[] = {
    {"uniqueItems", PROTO_BOOL, {20}, NULL, {0}},
    {"required", PROTO_TEXTS, {23}, NULL, {0}},
    {"enum", PROTO_VALUES, {24}, NULL, {0}},
    {"type", PROTO_TEXT, {25}, NULL, {0}},
    {"allOf", PROTO_SCHEMAS, {26}, NULL, {0}},
    {"oneOf", PROTO_SCHEMAS, {27}, NULL, {0}},
    {"items", PROTO_SCHEMA, {30, 1}, NULL, {0}},
    {"properties", PROTO_NAMED_SCHEMAS, {31, 1}, NULL, {0}},
    {"additionalProperties", PROTO_SCHEMA, {32, 1}, NULL, {0}},
    {"default", PROTO_SCALAR, {33}, NULL, {0}},
    {"description", PROTO_TEXT, {34}, NULL, {0}},
    {"format", PROTO_TEXT, {35}, NULL, {0}},
    {"x-", PROTO_VALUE, {36}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member parameter3_members[] = {
    {"name", PROTO_TEXT, {1}, NULL, {0}},        {"in", PROTO_TEXT, {2}, NULL, {0}},
    {"description", PROTO_TEXT, {3}, NULL, {0}}, {"required", PROTO_BOOL, {4}, NULL, {0}},
    {"schema", PROTO_SCHEMA, {10}, NULL, {0}},   {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member media3_members[] = {{"schema", PROTO_SCHEMA, {1}, NULL, {0}},
                                                     {NULL, PROTO_TEXT, {0}, NULL, {0}}};
static const struct proto_member response3_members[] = {
    {"description", PROTO_TEXT, {1}, NULL, {0}},
    {"content", PROTO_NAMED, {3, 1}, media3_members, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member body3_members[] = {
    {"description", PROTO_TEXT, {1}, NULL, {0}},
    {"content", PROTO_NAMED, {2, 1}, media3_members, {0}},
    {"required", PROTO_BOOL, {3}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member operation3_members[] = {
    {"tags", PROTO_TEXTS, {1}, NULL, {0}},
    {"description", PROTO_TEXT, {3}, NULL, {0}},
    {"operationId", PROTO_TEXT, {5}, NULL, {0}},
    {"parameters", PROTO_WRAPPED, {6}, parameter3_members, {0}},
    {"requestBody", PROTO_MESSAGE, {7, 1}, body3_members, {0}},
    {"responses", PROTO_NAMED, {8, 2}, response3_members, {1}},
    {"x-", PROTO_VALUE, {13}, NULL, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member item3_members[] = {
    {"get", PROTO_MESSAGE, {4}, operation3_members, {0}},
    {"put", PROTO_MESSAGE, {5}, operation3_members, {0}},
    {"post", PROTO_MESSAGE, {6}, operation3_members, {0}},
    {"delete", PROTO_MESSAGE, {7}, operation3_members, {0}},
    {"options", PROTO_MESSAGE, {8}, operation3_members, {0}},
    {"head", PROTO_MESSAGE, {9}, operation3_members, {0}},
    {"patch", PROTO_MESSAGE, {10}, operation3_members, {0}},
    {"parameters", PROTO_WRAPPED, {13}, parameter3_members, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};
static const struct proto_member info3_members[] = {
    {"title", PROTO_TEXT, {1}, NULL, {0}}, {"version", PROTO_TEXT, {6}, NULL, {0}}, {NULL, PROTO_TEXT, {0}, NULL, {0}}};
static const struct proto_member components3_members[] = {{"schemas", PROTO_NAMED_SCHEMAS, {1, 1}, NULL, {0}},
                                                          {NULL, PROTO_TEXT, {0}, NULL, {0}}};
static const struct proto_member document3_members[] = {
    {"openapi", PROTO_TEXT, {1}, NULL, {0}},
    {"info", PROTO_MESSAGE, {2}, info3_members, {0}},
    {"paths", PROTO_NAMED, {4, 1}, item3_members, {0}},
    {"components", PROTO_MESSAGE, {5}, components3_members, {0}},
    {NULL, PROTO_TEXT, {0}, NULL, {0}},
};

/* ---- writing ---- */

/* Opens the messages on the way but for the last number; returns how many. */
static size_t enter(struct buf *out, const unsigned way[WAY_MAX], size_t starts[WAY_MAX])
{
    size_t n = 0;
    while (n + 1 < WAY_MAX && way[n + 1]) {
        starts[n] = protobuf_open(out, way[n]);
        n++;
    }
    return n;
}

static void leave(struct buf *out, size_t n, const size_t starts[WAY_MAX])
{
    while (n > 0)
        protobuf_close(out, starts[--n]);
}

static unsigned last_of(const unsigned way[WAY_MAX])
{
    size_t n = 0;
    while (n + 1 < WAY_MAX && way[n + 1])
        n++;
    return way[n];
}

static void write_object(struct buf *out, const struct proto_member *members, const struct json *v);

static void write_message(struct buf *out, unsigned number, const struct proto_member *members, const struct json *v)
{
    size_t start = protobuf_open(out, number);
    write_object(out, members, v);
    protobuf_close(out, start);
}

/* Any value, as YAML: its JSON is. */
static void write_value(struct buf *out, unsigned number, const struct json *v)
{
    size_t start = protobuf_open(out, number), text = protobuf_open(out, 2);
    json_write(out, v);
    buf_add_char(out, '\n');
    protobuf_close(out, text);
    protobuf_close(out, start);
}

static void write_extension(struct buf *out, unsigned number, const struct json *v)
{
    size_t start = protobuf_open(out, number);
    protobuf_encode_bytes(out, 1, v->key);
    write_value(out, 2, v);
    protobuf_close(out, start);
}

static void write_schema(struct buf *out, const struct json *v)
{
    struct slice ref = json_string(json_get_str(v, "$ref"));
    if (!ref.n) {
        write_message(out, 1, schema3_members, v);
        return;
    }
    size_t start = protobuf_open(out, 2);
    protobuf_encode_bytes(out, 1, ref);
    protobuf_close(out, start);
}

static void write_in(struct buf *out, unsigned number, const struct json *v,
                     void (*write)(struct buf *out, const struct json *v))
{
    size_t start = protobuf_open(out, number);
    write(out, v);
    protobuf_close(out, start);
}

static void write_scalar(struct buf *out, unsigned number, const struct json *v)
{
    union {
        double real;
        uint64_t bits;
    } n = {.real = json_is(v, JSON_REAL) ? v->u.real : (double)json_int(v, 0)};
    bool real = json_is(v, JSON_INT) || json_is(v, JSON_REAL);
    if (!real && !json_is(v, JSON_BOOL) && !json_is(v, JSON_STRING))
        return;
    size_t start = protobuf_open(out, number);
    if (json_is(v, JSON_BOOL))
        protobuf_encode_number(out, 2, json_bool(v, false));
    else if (json_is(v, JSON_STRING))
        protobuf_encode_bytes(out, 3, json_string(v));
    else
        buf_add_char(out, 1 << 3 | 1); /* field 1, eight bytes */
    for (unsigned i = 0; real && i < 8; i++)
        buf_add_char(out, (char)(n.bits >> 8 * i));
    protobuf_close(out, start);
}

static void write_named(struct buf *out, const struct proto_member *m, const struct json *v)
{
    json_each (it, v) {
        size_t starts[WAY_MAX], start = protobuf_open(out, last_of(m->way));
        protobuf_encode_bytes(out, 1, it->key);
        size_t value = protobuf_open(out, 2), n = 0;
        if (m->kind == PROTO_NAMED_SCHEMAS) {
            write_schema(out, it);
        } else if (m->value_way[0]) {
            n = enter(out, m->value_way, starts);
            write_message(out, last_of(m->value_way), m->inside, it);
            leave(out, n, starts);
        } else {
            write_object(out, m->inside, it);
        }
        protobuf_close(out, value);
        protobuf_close(out, start);
    }
}

static void write_parameters(struct buf *out, unsigned number, const struct json *list)
{
    json_each (it, list) {
        struct slice in = json_string(json_get_str(it, "in"));
        size_t item = protobuf_open(out, number), parameter = protobuf_open(out, 1);
        if (slice_eq_str(in, "body")) {
            write_message(out, 1, body_members, it);
        } else {
            bool query = slice_eq_str(in, "query");
            size_t other = protobuf_open(out, 2);
            write_message(out, query ? 3 : 4, query ? query_members : path_members, it);
            protobuf_close(out, other);
        }
        protobuf_close(out, parameter);
        protobuf_close(out, item);
    }
}

static void write_member(struct buf *out, const struct proto_member *m, const struct json *v)
{
    size_t starts[WAY_MAX], n = enter(out, m->way, starts);
    unsigned number = last_of(m->way);
    switch (m->kind) {
    case PROTO_TEXT:
        protobuf_encode_bytes(out, number, json_string(v));
        break;
    case PROTO_BOOL:
        protobuf_encode_number(out, number, json_bool(v, false));
        break;
    case PROTO_TEXTS:
        json_each (it, v)
            protobuf_encode_bytes(out, number, json_string(it));
        break;
    case PROTO_MESSAGE:
        write_message(out, number, m->inside, v);
        break;
    case PROTO_MESSAGES:
        json_each (it, v)
            write_message(out, number, m->inside, it);
        break;
    case PROTO_NAMED:
    case PROTO_NAMED_SCHEMAS:
        write_named(out, m, v);
        break;
    case PROTO_VALUE:
        write_value(out, number, v);
        break;
    case PROTO_VALUES:
        json_each (it, v)
            write_value(out, number, it);
        break;
    case PROTO_PARAMETER:
        write_parameters(out, number, v);
        break;
    case PROTO_WRAPPED:
        json_each (it, v) {
            size_t start = protobuf_open(out, number);
            write_message(out, 1, m->inside, it);
            protobuf_close(out, start);
        }
        break;
    case PROTO_SCHEMA:
        write_in(out, number, v, write_schema);
        break;
    case PROTO_SCHEMAS:
        json_each (it, v)
            write_in(out, number, it, write_schema);
        break;
    case PROTO_SCALAR:
        write_scalar(out, number, v);
        break;
    }
    leave(out, n, starts);
}

static void write_object(struct buf *out, const struct proto_member *members, const struct json *v)
{
    json_each (it, v) {
        const struct proto_member *m = members;
        bool extension = slice_starts(it->key, SLICE("x-"));
        while (m->name && !(extension ? !strcmp(m->name, "x-") : slice_eq_str(it->key, m->name)))
            m++;
        if (!m->name && !out->error)
            out->error = -EINVAL; /* a member that this table forgot */
        if (m->name && extension)
            write_extension(out, m->way[0], it);
        else if (m->name)
            write_member(out, m, it);
    }
}

int openapi_v2_protobuf(struct buf *out, const struct json *document)
{
    write_object(out, document_members, document);
    return buf_error(out);
}

int openapi_v3_protobuf(struct buf *out, const struct json *document)
{
    write_object(out, document3_members, document);
    return buf_error(out);
}

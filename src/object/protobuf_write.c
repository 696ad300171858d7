/* Writing Kubernetes protobuf. A message's length stands before it, so each message is written behind one byte for its
 * length, and moved when the length needs more. */
#include <errno.h>

#include "base/text.h"
#include "base/timefmt.h"
#include "object/meta.h"
#include "object/path.h"
#include "object/protobuf_impl.h"

bool protobuf_union(const struct schema_type *type, const struct schema_field *f, unsigned *object, unsigned *other)
{
    bool boolean = slice_eq_str(f->name, "additionalProperties") || slice_eq_str(f->name, "additionalItems");
    if (strcmp(schema_short_name(type), "JSONSchemaProps") != 0 ||
        !(boolean || slice_eq_str(f->name, "items") || slice_eq_str(f->name, "dependencies")))
        return false;
    *object = boolean ? 2 : 1;
    *other = boolean ? 1 : 2;
    return true;
}

/* v's bytes; returns how many. */
static size_t varint(char bytes[10], uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        bytes[n++] = (char)(v | 0x80);
    bytes[n++] = (char)v;
    return n;
}

static void write_varint(struct buf *out, uint64_t v)
{
    char bytes[10];
    buf_add(out, bytes, varint(bytes, v));
}

static void write_tag(struct buf *out, unsigned number, enum wire wire)
{
    write_varint(out, (uint64_t)number << 3 | wire);
}

static void write_bytes(struct buf *out, unsigned number, struct slice s)
{
    write_tag(out, number, WIRE_BYTES);
    write_varint(out, s.n);
    buf_add_slice(out, s);
}

static void write_number(struct buf *out, unsigned number, int64_t v)
{
    write_tag(out, number, WIRE_VARINT);
    write_varint(out, (uint64_t)v);
}

/* Opens a nested message whose length is not known yet: one byte is kept for it. */
size_t protobuf_open(struct buf *out, unsigned number)
{
    write_tag(out, number, WIRE_BYTES);
    buf_add_char(out, 0);
    return out->n;
}

/* Puts the length before what was written since, and moves that when the length takes more than the one byte. */
void protobuf_close(struct buf *out, size_t start)
{
    char head[10];
    if (out->error)
        return;
    size_t length = out->n - start, n = varint(head, length);
    if (n > 1) {
        if (buf_add(out, head, n - 1))
            return;
        memmove(out->p + start + n - 1, out->p + start, length);
    }
    memcpy(out->p + start - 1, head, n);
}

static void write_message(struct buf *out, const struct schema_type *type, const struct json *obj, unsigned depth);

static void write_time(struct buf *out, const struct json *v)
{
    int64_t ns;
    if (!time_parse(json_string(v), &ns))
        return;
    int64_t seconds = ns / NS_PER_SEC - (ns % NS_PER_SEC < 0), nanos = ns - seconds * NS_PER_SEC;
    write_number(out, 1, seconds);
    write_number(out, 2, nanos);
}

static void write_int_or_string(struct buf *out, const struct json *v)
{
    bool text = json_is(v, JSON_STRING);
    write_number(out, 1, text);
    write_number(out, 2, text ? 0 : json_int(v, 0));
    write_bytes(out, 3, text ? v->u.string : SLICE_NONE);
}

static void write_base64(struct buf *out, unsigned number, const struct json *v)
{
    struct buf bytes = BUF_INIT(json_string(v).n + 8);
    base64_decode(&bytes, json_string(v));
    write_bytes(out, number, buf_slice(&bytes));
    buf_done(&bytes);
}

static void write_raw(struct buf *out, const struct json *v)
{
    size_t start = protobuf_open(out, 1);
    if (json_write(out, v) == 0)
        protobuf_close(out, start);
}

static void write_union(struct buf *out, const struct schema_type *type, const struct json *v, unsigned object,
                        unsigned other, unsigned depth)
{
    size_t start;
    if (json_is(v, JSON_BOOL))
        write_number(out, other, v->u.boolean);
    if (json_is(v, JSON_OBJECT) && other < object) /* "or a boolean": an object allows */
        write_number(out, other, 1);
    if (json_is(v, JSON_OBJECT)) {
        start = protobuf_open(out, object);
        write_message(out, type, v, depth);
        protobuf_close(out, start);
    }
    json_each (it, json_is(v, JSON_ARRAY) ? v : NULL) {
        if (it->type == JSON_STRING) {
            write_bytes(out, other, it->u.string);
            continue;
        }
        start = protobuf_open(out, other);
        write_message(out, type, it, depth);
        protobuf_close(out, start);
    }
}

/* What stands inside the message of a value that has one. */
static void write_inside(struct buf *out, const struct schema_type *type, const struct schema_field *f,
                         const struct json *v, unsigned depth)
{
    unsigned object, other;
    struct slice text = json_string(v);
    switch (f->kind) {
    case SCHEMA_QUANTITY:
        write_bytes(out, 1, text);
        break;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        write_time(out, v);
        break;
    case SCHEMA_INT_OR_STRING:
        write_int_or_string(out, v);
        break;
    case SCHEMA_ARRAY:
        json_each (it, v)
            write_bytes(out, 1, json_string(it));
        break;
    case SCHEMA_REF:
        write_message(out, f->type, v, depth);
        break;
    default:
        if (f->kind == SCHEMA_ANY && protobuf_union(type, f, &object, &other))
            write_union(out, type, v, object, other, depth);
        else
            write_raw(out, v);
    }
}

static void write_value(struct buf *out, const struct schema_type *type, const struct schema_field *f, unsigned number,
                        const struct json *v, unsigned depth)
{
    double real;
    switch (f->kind) {
    case SCHEMA_STRING:
    case SCHEMA_DURATION:
        write_bytes(out, number, json_string(v));
        return;
    case SCHEMA_BYTES:
        write_base64(out, number, v);
        return;
    case SCHEMA_BOOL:
        write_number(out, number, json_bool(v, false));
        return;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        write_number(out, number, json_int(v, 0));
        return;
    case SCHEMA_DOUBLE:
        real = json_is(v, JSON_REAL) ? v->u.real : (double)json_int(v, 0);
        write_tag(out, number, WIRE_FIXED64);
        buf_add(out, &real, sizeof real);
        return;
    default:
        break;
    }
    size_t start = protobuf_open(out, number);
    write_inside(out, type, f, v, depth + 1);
    protobuf_close(out, start);
}

static void write_map(struct buf *out, const struct schema_type *type, const struct schema_field *f,
                      const struct json *map, unsigned depth)
{
    struct schema_field item = *f->item;
    item.name = f->name;
    json_each (it, map) {
        size_t start = protobuf_open(out, f->pb);
        write_bytes(out, 1, it->key);
        write_value(out, type, &item, 2, it, depth);
        protobuf_close(out, start);
    }
}

static void write_field(struct buf *out, const struct schema_type *type, const struct schema_field *f,
                        const struct json *v, unsigned depth)
{
    if (v->type == JSON_NULL || !f->pb)
        return;
    if (f->kind == SCHEMA_MAP)
        write_map(out, type, f, v, depth);
    else if (f->kind == SCHEMA_ARRAY)
        json_each (it, v)
            write_value(out, type, f->item, f->pb, it, depth);
    else
        write_value(out, type, f, f->pb, v, depth);
}

/* Members of some types stand in messages of their own that JSON does not have. */
static void write_nested(struct buf *out, const struct schema_type *type, const struct json *obj, unsigned depth)
{
    for (size_t i = 0; i < type->n_own && !out->error; i++) {
        const struct schema_field *f = &type->own[i];
        if (f->flags & SCHEMA_INLINE) {
            if (!f->pb)
                continue;
            size_t start = protobuf_open(out, f->pb);
            write_message(out, f->type, obj, depth);
            protobuf_close(out, start);
            continue;
        }
        const struct json *v = json_get(obj, f->name);
        if (v)
            write_field(out, type, f, v, depth);
    }
}

/* Members come in the order of the fields nearly always: then each is found one step behind the last. */
static void write_flat(struct buf *out, const struct schema_type *type, const struct json *obj, unsigned depth)
{
    size_t next = 0;
    json_each (it, obj) {
        size_t i = next;
        while (i < type->n_fields && !slice_eq(type->fields[i].name, it->key))
            i++;
        const struct schema_field *f = i < type->n_fields ? &type->fields[i] : schema_field_find(type, it->key);
        if (!f || out->error)
            continue;
        if (i < type->n_fields)
            next = i + 1;
        write_field(out, type, f, it, depth);
    }
}

static void write_message(struct buf *out, const struct schema_type *type, const struct json *obj, unsigned depth)
{
    if (depth > 4 * JSON_DEPTH_MAX && !out->error) /* a level of JSON counts twice here */
        out->error = -E2BIG;
    if (type->own == type->fields)
        write_flat(out, type, obj, depth + 1);
    else
        write_nested(out, type, obj, depth + 1);
}

int protobuf_encode_message(struct buf *out, const struct schema_type *type, const struct json *obj)
{
    write_message(out, type, obj, 1);
    return buf_error(out);
}

int protobuf_encode_head(struct buf *out, struct slice api_version, struct slice kind, uint64_t length)
{
    buf_add(out, protobuf_magic, PROTOBUF_MAGIC_LEN);
    size_t start = protobuf_open(out, 1);
    write_bytes(out, 1, api_version);
    write_bytes(out, 2, kind);
    protobuf_close(out, start);
    return protobuf_encode_part(out, 2, length);
}

int protobuf_encode_part(struct buf *out, unsigned number, uint64_t length)
{
    write_tag(out, number, WIRE_BYTES);
    write_varint(out, length);
    return buf_error(out);
}

int protobuf_encode_number(struct buf *out, unsigned number, int64_t v)
{
    write_number(out, number, v);
    return buf_error(out);
}

int protobuf_encode_bytes(struct buf *out, unsigned number, struct slice bytes)
{
    write_bytes(out, number, bytes);
    return buf_error(out);
}

int protobuf_encode(struct buf *out, const struct schema_type *type, const struct json *obj)
{
    protobuf_encode_head(out, meta_api_version(obj), meta_kind(obj), 0);
    if (buf_error(out))
        return buf_error(out);
    size_t start = out->n; /* behind the one byte of the length 0 */
    write_message(out, type, obj, 1);
    protobuf_close(out, start);
    return buf_add_slice(out, PROTOBUF_TAIL);
}

/* Reading Kubernetes protobuf. Numbers and nesting come from the schema; the few messages that stand for one JSON value
 * (quantities, times, numbers-or-strings, raw JSON) are spelt out here. */
#include "object/protobuf.h"

#include <errno.h>

#include "base/text.h"
#include "base/timefmt.h"
#include "object/meta.h"
#include "object/path.h"
#include "object/protobuf_impl.h"

struct reader {
    struct arena *a;
    struct status *st;
};

static struct json *malformed(const struct reader *r, const char *why)
{
    if (r->st->code == 0)
        status_set(r->st, r->a, 400, "the protobuf body is malformed: %s", why);
    return NULL;
}

static bool read_varint(struct slice *s, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && s->n; shift += 7) {
        unsigned char byte = (unsigned char)s->p[0];
        *s = slice_of(s->p + 1, s->n - 1);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* One field of a message: its number, and its value as a number or as bytes. */
struct wire_field {
    uint64_t number;
    enum wire wire;
    uint64_t value;
    struct slice bytes;
};

static uint64_t little_endian(struct slice s)
{
    uint64_t v = 0;
    for (size_t i = s.n; i > 0; i--)
        v = v << 8 | (unsigned char)s.p[i - 1];
    return v;
}

/* Takes the next field off; false when it is malformed. */
static bool read_field(struct slice *s, struct wire_field *f)
{
    uint64_t tag, n = 0;
    if (!read_varint(s, &tag) || tag >> 3 == 0 || tag >> 3 > UINT16_MAX)
        return false;
    *f = (struct wire_field){.number = tag >> 3, .wire = (enum wire)(tag & 7)};
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(s, &f->value);
    case WIRE_FIXED64:
        n = 8;
        break;
    case WIRE_FIXED32:
        n = 4;
        break;
    case WIRE_BYTES:
        if (!read_varint(s, &n))
            return false;
        break;
    default:
        return false;
    }
    if (n > s->n)
        return false;
    f->bytes = slice_of(s->p, (size_t)n);
    f->value = f->wire == WIRE_BYTES ? 0 : little_endian(f->bytes);
    *s = slice_from(*s, (size_t)n);
    return true;
}

static bool well_formed(struct slice message)
{
    struct wire_field f;
    while (message.n)
        if (!read_field(&message, &f))
            return false;
    return true;
}

/* The last field of that number in a message; false when absent or malformed. */
static bool find_field(struct slice message, uint64_t number, struct wire_field *ret)
{
    struct wire_field f;
    bool found = false;
    while (message.n) {
        if (!read_field(&message, &f))
            return false;
        if (f.number == number) {
            *ret = f;
            found = true;
        }
    }
    return found;
}

static struct slice inner_bytes(struct slice message, uint64_t number)
{
    struct wire_field f;
    return find_field(message, number, &f) ? f.bytes : SLICE_NONE;
}

static int64_t inner_number(struct slice message, uint64_t number)
{
    struct wire_field f;
    return find_field(message, number, &f) ? (int64_t)f.value : 0;
}

static bool read_message(const struct reader *r, const struct schema_type *type, struct slice s, struct json *obj,
                         unsigned depth);

static struct json *read_time(struct arena *a, struct slice s, bool micro)
{
    char text[TIME_MICRO_LEN + 1];
    int64_t seconds = inner_number(s, 1), nanos = inner_number(s, 2);
    const int64_t most = INT64_MAX / NS_PER_SEC - 1;
    if (seconds > most || seconds < -most || nanos < 0 || nanos >= NS_PER_SEC)
        return json_new_null(a);
    nanos = micro ? nanos - nanos % 1000 : 0; /* as the text will have it */
    if (seconds == 0 && nanos == 0)
        return json_new_null(a);
    if (micro)
        time_format_micro(seconds * NS_PER_SEC + nanos, text);
    else
        time_format_sec(seconds * NS_PER_SEC, text);
    return json_new_str(a, text);
}

static struct json *read_int_or_string(struct arena *a, struct slice s)
{
    if (inner_number(s, 1))
        return json_new_string(a, inner_bytes(s, 3));
    return json_new_int(a, (int32_t)inner_number(s, 2));
}

static struct json *read_bytes(struct arena *a, struct slice s)
{
    struct buf text = BUF_INIT(s.n / 3 * 4 + 8);
    struct json *v = base64_encode(&text, s) ? NULL : json_new_string(a, buf_slice(&text));
    buf_done(&text);
    return v;
}

static struct json *read_raw(const struct reader *r, struct slice s)
{
    struct slice raw = inner_bytes(s, 1);
    if (raw.n == 0)
        return json_new_null(r->a);
    struct json *v = json_parse(r->a, raw, NULL, NULL, NULL);
    return v ? v : malformed(r, "a raw value is no JSON");
}

static struct json *read_object(const struct reader *r, const struct schema_type *type, struct slice s, unsigned depth)
{
    struct json *obj = json_new_object(r->a);
    return obj && read_message(r, type, s, obj, depth + 1) ? obj : NULL;
}

static struct json *read_strings(const struct reader *r, struct slice s, uint64_t number)
{
    struct json *list = json_new_array(r->a);
    struct wire_field f;
    while (s.n) {
        if (!read_field(&s, &f))
            return malformed(r, "a list of strings");
        if (f.number == number && f.wire == WIRE_BYTES)
            json_append(list, json_new_string(r->a, f.bytes));
    }
    return list;
}

/* A schema, or a list of schemas, a boolean, a list of strings. */
static struct json *read_union(const struct reader *r, const struct schema_type *type, const struct schema_field *f,
                               struct slice s, unsigned object, unsigned other, unsigned depth)
{
    struct wire_field w;
    struct json *list = json_new_array(r->a);
    if (find_field(s, object, &w))
        return read_object(r, type, w.bytes, depth);
    if (slice_eq_str(f->name, "dependencies"))
        return read_strings(r, s, other);
    if (!slice_eq_str(f->name, "items"))
        return json_new_bool(r->a, inner_number(s, other) != 0);
    while (s.n) {
        if (!read_field(&s, &w))
            return malformed(r, "a list of schemas");
        if (w.number == other)
            json_append(list, read_object(r, type, w.bytes, depth));
    }
    return list;
}

static struct json *read_number(const struct reader *r, const struct schema_field *f, uint64_t value)
{
    double real;
    switch (f->kind) {
    case SCHEMA_BOOL:
        return json_new_bool(r->a, value != 0);
    case SCHEMA_INT32:
        return json_new_int(r->a, (int32_t)value);
    case SCHEMA_DOUBLE:
        memcpy(&real, &value, sizeof real);
        return json_new_real(r->a, real);
    default:
        return json_new_int(r->a, (int64_t)value);
    }
}

static bool is_number(const struct schema_field *f)
{
    return f->kind == SCHEMA_BOOL || f->kind == SCHEMA_INT32 || f->kind == SCHEMA_INT64 || f->kind == SCHEMA_DOUBLE;
}

/* Whether a value stands in a message that the readers below look into without checking it. */
static bool has_message(const struct schema_field *f)
{
    switch (f->kind) {
    case SCHEMA_QUANTITY:
    case SCHEMA_INT_OR_STRING:
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_RAW:
    case SCHEMA_ANY:
        return true;
    default:
        return false;
    }
}

/* One value of a field that is no list or map. */
static struct json *read_value(const struct reader *r, const struct schema_type *type, const struct schema_field *f,
                               const struct wire_field *w, unsigned depth)
{
    unsigned object, other;
    if ((w->wire != WIRE_BYTES) != is_number(f))
        return malformed(r, "a field has the wrong wire type");
    if (is_number(f))
        return read_number(r, f, w->value);
    if (has_message(f) && !well_formed(w->bytes))
        return malformed(r, "a field is cut short");
    switch (f->kind) {
    case SCHEMA_QUANTITY:
        return json_new_string(r->a, inner_bytes(w->bytes, 1).n ? inner_bytes(w->bytes, 1) : SLICE("0"));
    case SCHEMA_INT_OR_STRING:
        return read_int_or_string(r->a, w->bytes);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return read_time(r->a, w->bytes, f->kind == SCHEMA_MICRO_TIME);
    case SCHEMA_BYTES:
        return read_bytes(r->a, w->bytes);
    case SCHEMA_ANY:
        if (protobuf_union(type, f, &object, &other))
            return read_union(r, type, f, w->bytes, object, other, depth);
        return read_raw(r, w->bytes);
    case SCHEMA_RAW:
        return read_raw(r, w->bytes);
    case SCHEMA_REF:
        return read_object(r, f->type, w->bytes, depth);
    case SCHEMA_ARRAY: /* only as a map's value, wrapped in a message of its own */
        return read_strings(r, w->bytes, 1);
    default:
        return json_new_string(r->a, w->bytes);
    }
}

static bool read_entry(const struct reader *r, const struct schema_type *type, const struct schema_field *f,
                       struct slice entry, struct json *map, unsigned depth)
{
    struct wire_field value = {.wire = is_number(f->item) ? WIRE_VARINT : WIRE_BYTES};
    struct schema_field item = *f->item;
    item.name = f->name;
    if (!well_formed(entry))
        return malformed(r, "an entry of a map is cut short") != NULL;
    find_field(entry, 2, &value);
    struct json *v = read_value(r, type, &item, &value, depth);
    json_set(r->a, map, inner_bytes(entry, 1), v);
    return v != NULL;
}

static struct json *container(struct arena *a, struct json *obj, const struct schema_field *f)
{
    struct json *v = json_get(obj, f->name);
    if (v)
        return v;
    v = f->kind == SCHEMA_MAP ? json_new_object(a) : json_new_array(a);
    json_set(a, obj, f->name, v);
    return v;
}

/* Repeated numbers may come packed into one field. */
static bool read_packed(const struct reader *r, const struct schema_field *item, struct slice s, struct json *list)
{
    uint64_t v;
    while (s.n) {
        if (!read_varint(&s, &v))
            return malformed(r, "packed numbers");
        json_append(list, read_number(r, item, v));
    }
    return true;
}

static bool read_member(const struct reader *r, const struct schema_type *type, const struct schema_field *f,
                        const struct wire_field *w, struct json *obj, unsigned depth)
{
    bool nested = (f->flags & SCHEMA_INLINE) || f->kind == SCHEMA_MAP;
    if (nested && w->wire != WIRE_BYTES) {
        malformed(r, "a field has the wrong wire type");
        return false;
    }
    if (f->flags & SCHEMA_INLINE)
        return read_message(r, f->type, w->bytes, obj, depth + 1);
    if (f->kind == SCHEMA_MAP)
        return read_entry(r, type, f, w->bytes, container(r->a, obj, f), depth);
    if (f->kind == SCHEMA_ARRAY) {
        struct json *list = container(r->a, obj, f);
        if (is_number(f->item) && w->wire == WIRE_BYTES)
            return read_packed(r, f->item, w->bytes, list);
        struct json *v = read_value(r, type, f->item, w, depth);
        json_append(list, v);
        return v != NULL;
    }
    struct json *v = read_value(r, type, f, w, depth);
    if (v && v->type != JSON_NULL)
        json_set(r->a, obj, f->name, v);
    return v != NULL;
}

static const struct schema_field *field_of(const struct schema_type *type, uint64_t number)
{
    for (size_t i = 0; i < type->n_own; i++)
        if (type->own[i].pb == number)
            return &type->own[i];
    return NULL;
}

static bool read_message(const struct reader *r, const struct schema_type *type, struct slice s, struct json *obj,
                         unsigned depth)
{
    struct wire_field w;
    if (depth > JSON_DEPTH_MAX)
        return malformed(r, "it nests too deep");
    while (s.n) {
        if (!read_field(&s, &w))
            return malformed(r, "a field is cut short");
        const struct schema_field *f = field_of(type, w.number);
        if (f && !read_member(r, type, f, &w, obj, depth))
            return arena_error(r->a) ? malformed(r, "it is too large") : false;
    }
    return true;
}

struct json *protobuf_decode(struct arena *a, const struct schema_type *type, struct slice body, struct status *st)
{
    struct reader r = {a, st};
    struct json *obj = json_new_object(a);
    if (!slice_starts(body, slice_of(protobuf_magic, PROTOBUF_MAGIC_LEN)))
        return malformed(&r, "it does not start with the magic number");
    struct slice unknown = slice_from(body, PROTOBUF_MAGIC_LEN), meta = inner_bytes(unknown, 1);
    if (!well_formed(unknown) || !well_formed(meta))
        return malformed(&r, "it is cut short");
    if (inner_bytes(unknown, 3).n)
        return malformed(&r, "its content encoding is not supported");
    if (!obj || !read_message(&r, type, inner_bytes(unknown, 2), obj, 1))
        return malformed(&r, "it is too large");
    if (inner_bytes(meta, 1).n)
        json_set_first(a, obj, "apiVersion", json_new_string(a, inner_bytes(meta, 1)));
    if (inner_bytes(meta, 2).n)
        json_set_first(a, obj, "kind", json_new_string(a, inner_bytes(meta, 2)));
    return arena_error(a) ? malformed(&r, "it is too large") : obj;
}

#include "apiserver/output.h"

#include <errno.h>

#include "apiserver/derived.h"
#include "apiserver/internal.h"
#include "apiserver/seal.h"
#include "object/convert.h"
#include "object/meta.h"
#include "object/print.h"
#include "object/protobuf.h"

bool api_output_raw(const struct api_request *r)
{
    return r->encoding == ENCODE_JSON && r->shape == SHAPE_OBJECT && (!r->res->storage || r->res->storage == r->res);
}

struct json *api_item_json(const struct api *api, struct arena *a, const struct store_item *item)
{
    struct json_error err;
    struct api_plain plain;
    if (api_open(api, item, &plain))
        return NULL;
    struct json *v = json_parse(a, blob_slice(plain.value), &err, NULL, NULL);
    blob_unref(plain.value);
    return v;
}

struct json *api_object(struct api_request *r, const struct resource *res, struct slice ns, struct slice name)
{
    const struct store_item *item = store_get(api_table(r->api, res), api_key(r, ns, name));
    return item ? api_item_json(r->api, r->arena, item) : NULL;
}

static const char *shape_version(const struct api_request *r)
{
    return r->shape_beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1";
}

static struct json *partial_of(const struct api_request *r, struct arena *a, const struct json *obj)
{
    struct json *v = print_partial(a, obj);
    json_set_str(a, v, "apiVersion", json_new_str(a, shape_version(r)));
    return v;
}

/* What a row carries beside its cells: includeObject=None, Metadata (default) or Object. */
static struct json *row_object(struct api_request *r, struct arena *a, struct json *obj)
{
    if (slice_eq_str(r->options.include_object, "None"))
        return NULL;
    return slice_eq_str(r->options.include_object, "Object") ? obj : partial_of(r, a, obj);
}

static struct json *table_of(struct api_request *r, struct arena *a, const struct json *obj, struct json *row,
                             bool columns)
{
    struct json *t = json_new_object(a), *meta = json_new_object(a), *rows = json_new_array(a);
    json_set_str(a, t, "kind", json_new_str(a, "Table"));
    json_set_str(a, t, "apiVersion", json_new_str(a, shape_version(r)));
    json_set_str(a, meta, "resourceVersion", json_clone(a, json_path(obj, "metadata.resourceVersion")));
    json_set_str(a, t, "metadata", meta);
    json_set_str(a, t, "columnDefinitions", columns ? print_columns(a, r->res) : json_new_null(a));
    json_append(rows, row);
    json_set_str(a, t, "rows", rows);
    return t;
}

/* The object in the version asked for. */
static struct json *in_version(struct api_request *r, struct arena *a, struct json *obj)
{
    if (r->res->storage && r->res->storage != r->res)
        return object_convert(a, r->res, obj);
    return obj;
}

static struct json *shape_object(struct api_request *r, struct arena *a, struct json *obj, bool columns, bool row_only)
{
    obj = obj ? in_version(r, a, obj) : NULL;
    if (!obj || r->shape == SHAPE_OBJECT)
        return obj;
    if (r->shape == SHAPE_PARTIAL)
        return partial_of(r, a, obj);
    struct json *row = print_row(a, r->res, obj, loop_wall(r->api->loop), row_object(r, a, obj));
    return row_only ? row : table_of(r, a, obj, row, columns);
}

struct json *api_output_item(struct api_request *r, struct arena *a, const struct store_item *item, bool columns)
{
    return shape_object(r, a, api_item_json(r->api, a, item), columns, false);
}

struct json *api_output_tree(struct api_request *r, struct arena *a, struct json *obj, bool columns)
{
    if (r->shape == SHAPE_OBJECT)
        return obj;
    if (r->shape == SHAPE_PARTIAL)
        return partial_of(r, a, obj);
    struct json *row = print_row(a, r->res, obj, loop_wall(r->api->loop), row_object(r, a, obj));
    return table_of(r, a, obj, row, columns);
}

/* ---- protobuf ---- */

struct api_kind api_answer_kind(const struct api_request *r, bool list)
{
    const char *meta = shape_version(r);
    switch (r->shape) {
    case SHAPE_TABLE:
        return (struct api_kind){meta, "Table"};
    case SHAPE_PARTIAL:
        return (struct api_kind){meta, list ? "PartialObjectMetadataList" : "PartialObjectMetadata"};
    default:
        return (struct api_kind){r->res->api_version, list ? r->res->list_kind : r->res->kind};
    }
}

static const struct schema_type *meta_type(struct arena *a, struct slice kind)
{
    const struct schema_type *t = schema_type_find(
        slice_str(arena_printf(a, "io.k8s.apimachinery.pkg.apis.meta.v1.%" SLICE_FMT, SLICE_ARG(kind))));
    return t && !slice_eq_str(kind, "Table") ? t : NULL;
}

/* The body of a subresource that is no resource itself: Scale, Eviction, TokenRequest. */
static const struct schema_type *sub_type(struct slice group, struct slice version, struct slice kind)
{
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        for (size_t j = 0; j < res->n_subs; j++) {
            const struct resource_sub *sub = &res->subs[j];
            if (slice_eq_str(group, sub->group) && slice_eq_str(version, sub->version) && slice_eq_str(kind, sub->kind))
                return sub->type;
        }
    }
    return NULL;
}

const struct schema_type *api_answer_type(struct arena *a, const struct json *v)
{
    struct slice api_version = meta_api_version(v), kind = meta_kind(v), group, version;
    const struct resource *res = resource_by_api_version(api_version, kind);
    if (res)
        return res->type;
    if (!api_version.n) /* APIVersions has none */
        return meta_type(a, kind);
    if (!api_version_split(api_version, &group, &version))
        return NULL;
    if (kind.n > 4 && slice_eq_str(slice_from(kind, kind.n - 4), "List") &&
        (res = resource_by_api_version(api_version, slice_of(kind.p, kind.n - 4))))
        return schema_type_find(slice_str(arena_printf(a, "%sList", res->type->name)));
    const struct schema_type *t = sub_type(group, version, kind);
    if (t || !group.n || slice_eq_str(group, "meta.k8s.io"))
        return t ? t : meta_type(a, kind);
    struct slice label, rest; /* of no resource: apidiscovery.k8s.io */
    slice_cut(group, '.', &label, &rest);
    return schema_type_find(slice_str(arena_printf(a, "io.k8s.api.%" SLICE_FMT ".%" SLICE_FMT ".%" SLICE_FMT,
                                                   SLICE_ARG(label), SLICE_ARG(version), SLICE_ARG(kind))));
}

static const struct schema_type *item_type(const struct api_request *r)
{
    return r->shape == SHAPE_PARTIAL
               ? schema_type_find(SLICE("io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata"))
               : r->res->type;
}

/* ---- items ---- */

enum { ITEMS_FIELD = 2, ITEM_HEAD_MAX = 11, ITEM_GUESS = 4096 }; /* every list has its items in field 2 */

/* A list's item in protobuf: its tag, its length, its message. */
static int encode_item(struct api_request *r, struct buf *out, const struct json *v)
{
    struct buf head = BUF_INIT(ITEM_HEAD_MAX);
    char room[ITEM_HEAD_MAX] = {0};
    if (r->encoding != ENCODE_PROTOBUF)
        return json_write(out, v);
    buf_reserve(out, ITEM_GUESS);
    buf_add(out, room, sizeof room);
    int rv = protobuf_encode_message(out, item_type(r), v);
    if (!rv)
        rv = protobuf_encode_part(&head, ITEMS_FIELD, out->n - sizeof room);
    if (!rv) { /* the head ends where the message begins */
        memcpy(out->p + sizeof room - head.n, head.p, head.n);
        buf_shift(out, sizeof room - head.n);
    }
    buf_done(&head);
    return rv;
}

static unsigned form_of(const struct api_request *r, bool alone)
{
    return (unsigned)r->res->index << 6 | (unsigned)r->shape_beta << 5 | (unsigned)alone << 4 |
           (unsigned)r->encoding << 2 | (unsigned)r->shape;
}

static struct blob *make_item(struct api_request *r, const struct store_item *item, bool alone)
{
    struct arena scratch;
    struct buf out = BUF_INIT(API_ARENA_MAX);
    arena_init(&scratch, API_ARENA_MAX);
    struct json *v = shape_object(r, &scratch, api_item_json(r->api, &scratch, item), false, true);
    if (!alone && r->shape == SHAPE_OBJECT) { /* a list's items have none */
        json_del_str(v, "kind");
        json_del_str(v, "apiVersion");
    }
    struct blob *b = v && !encode_item(r, &out, v) ? blob_copy(buf_slice(&out)) : NULL;
    arena_done(&scratch);
    buf_done(&out);
    return b;
}

static int kept_or_made(struct api_request *r, const struct store_item *item, bool alone, struct chunk *ret)
{
    struct api_derived *d = r->api->derived;
    bool keep = r->shape != SHAPE_TABLE && !api_is_sealed(item); /* rows tell ages; secrets stay sealed in memory */
    struct blob *b = keep ? api_derived_get(d, item->value, form_of(r, alone)) : NULL;
    if (!b) {
        b = make_item(r, item, alone);
        if (!b)
            return -ENOMEM;
        if (keep)
            api_derived_put(d, item->value, form_of(r, alone), b);
    }
    *ret = chunk_take(b);
    return 0;
}

int api_output_list_item(struct api_request *r, const struct store_item *item, struct chunk *ret)
{
    return kept_or_made(r, item, false, ret);
}

int api_output_alone(struct api_request *r, const struct store_item *item, struct chunk *ret)
{
    return kept_or_made(r, item, true, ret);
}

/* Bytes of the tag and length before a list's item. */
static size_t item_head(struct slice item)
{
    size_t n = 1;
    while (n < item.n && (item.p[n] & 0x80))
        n++;
    return n + 1;
}

int api_output_envelope(struct api_request *r, const struct store_item *item,
                        struct chunk out[static API_ENVELOPE_CHUNKS])
{
    struct buf head = BUF_INIT(1024);
    struct api_kind kind = api_answer_kind(r, false);
    int rv = api_output_list_item(r, item, &out[1]);
    if (rv)
        return rv;
    size_t skip = item_head(slice_of(out[1].p, out[1].n));
    out[1].p += skip;
    out[1].n -= skip;
    rv = protobuf_encode_head(&head, slice_str(kind.api_version), slice_str(kind.kind), out[1].n);
    struct blob *b = rv ? NULL : blob_copy(buf_slice(&head));
    buf_done(&head);
    if (!b) {
        blob_unref(out[1].blob);
        return rv ? rv : -ENOMEM;
    }
    out[0] = chunk_take(b);
    out[2] = chunk_static(PROTOBUF_TAIL);
    return 0;
}

/* ---- answers ---- */
void api_list_none(struct api_request *r)
{
    struct arena *a = r->arena;
    struct json *list = json_new_object(a);
    struct api_kind kind = api_answer_kind(r, true);
    bool table = r->shape == SHAPE_TABLE;
    json_set_str(a, list, "kind", json_new_str(a, kind.kind));
    json_set_str(a, list, "apiVersion", json_new_str(a, kind.api_version));
    json_set_str(a, list, "metadata", json_new_object(a));
    if (table)
        json_set_str(a, list, "columnDefinitions", print_columns(a, r->res));
    json_set_str(a, list, table ? "rows" : "items", json_new_array(a));
    api_reply_json(r, 200, list);
}

void api_reply_object(struct api_request *r, int code, struct json *obj)
{
    struct json *v = shape_object(r, r->arena, obj, true, false);
    if (!v)
        api_reply_error(r, 503, "memory is short, try again later");
    else
        api_reply_json(r, code, v);
}

void api_reply_item(struct api_request *r, int code, const struct store_item *item)
{
    struct chunk chunks[API_ENVELOPE_CHUNKS];
    struct api_plain plain;
    int err = api_open(r->api, item, &plain);
    if (err) {
        api_reply_locked(r, item, err);
    } else if (api_output_raw(r)) {
        api_reply_bytes(r, code, "application/json", chunk_take(plain.value));
    } else {
        blob_unref(plain.value);
        if (r->encoding == ENCODE_PROTOBUF && !api_output_envelope(r, item, chunks))
            api_reply_chunks(r, code, API_PROTOBUF, chunks, API_ENVELOPE_CHUNKS);
        else
            api_reply_object(r, code, api_item_json(r->api, r->arena, item));
    }
}

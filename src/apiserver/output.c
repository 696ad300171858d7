#include "apiserver/output.h"

#include <errno.h>

#include "apiserver/internal.h"
#include "apiserver/seal.h"
#include "object/convert.h"
#include "object/print.h"

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

/* What a row carries beside its cells: includeObject=None, Metadata (default) or Object. */
static struct json *row_object(struct api_request *r, struct arena *a, struct json *obj)
{
    if (slice_eq_str(r->options.include_object, "None"))
        return NULL;
    return slice_eq_str(r->options.include_object, "Object") ? obj : print_partial(a, obj);
}

static struct json *table_of(struct api_request *r, struct arena *a, const struct json *obj, struct json *row,
                             bool columns)
{
    struct json *t = json_new_object(a), *meta = json_new_object(a), *rows = json_new_array(a);
    json_set_str(a, t, "kind", json_new_str(a, "Table"));
    json_set_str(a, t, "apiVersion", json_new_str(a, "meta.k8s.io/v1"));
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
        return print_partial(a, obj);
    struct json *row = print_row(a, r->res, obj, loop_wall(r->api->loop), row_object(r, a, obj));
    return row_only ? row : table_of(r, a, obj, row, columns);
}

struct json *api_output_item(struct api_request *r, struct arena *a, const struct store_item *item, bool columns)
{
    return shape_object(r, a, api_item_json(r->api, a, item), columns, false);
}

int api_output_list_item(struct api_request *r, const struct store_item *item, struct chunk *ret)
{
    struct arena scratch;
    struct buf out = BUF_INIT(API_ARENA_MAX);
    arena_init(&scratch, API_ARENA_MAX);
    struct json *v = shape_object(r, &scratch, api_item_json(r->api, &scratch, item), false, true);
    int rv = v ? json_write(&out, v) : -ENOMEM;
    struct blob *b = rv ? NULL : blob_copy(buf_slice(&out));
    arena_done(&scratch);
    buf_done(&out);
    if (!b)
        return rv ? rv : -ENOMEM;
    *ret = chunk_take(b);
    return 0;
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
    struct api_plain plain;
    int err = api_open(r->api, item, &plain);
    if (err) {
        api_reply_locked(r, item, err);
    } else if (api_output_raw(r)) {
        api_reply_bytes(r, code, "application/json", chunk_take(plain.value));
    } else {
        blob_unref(plain.value);
        api_reply_object(r, code, api_item_json(r->api, r->arena, item));
    }
}

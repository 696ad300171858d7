/* JSON text to values: yyjson reads, this copies into the arena and looks for repeated names. */
#include <errno.h>
#include <stdio.h>
#include <yyjson.h>

#include "base/mem.h"
#include "codec/json.h"

/* Where we are, from the root down; one on the C stack a level. */
struct level {
    const struct level *up;
    const struct json *at; /* the container being filled */
    struct slice name;     /* of the member whose value is being read */
    size_t i;              /* or number of the item */
};

struct reader {
    struct arena *a;
    struct json_error *err;
    void (*dup)(void *ctx, const char *path, struct slice name);
    void *ctx;
};

static void *alloc_cb(void *ctx, size_t n)
{
    (void)ctx;
    return mem_try(n);
}

static void *realloc_cb(void *ctx, void *p, size_t old, size_t n)
{
    (void)ctx;
    (void)old;
    return mem_try_realloc(p, n);
}

static void free_cb(void *ctx, void *p)
{
    (void)ctx;
    mem_free(p);
}

static void write_path(struct buf *out, const struct level *l)
{
    if (l->up)
        write_path(out, l->up);
    else
        return;
    const struct level *up = l->up;
    if (up->at->type == JSON_ARRAY)
        buf_printf(out, "[%zu]", up->i);
    else
        buf_printf(out, "%s%" SLICE_FMT, out->n ? "." : "", SLICE_ARG(up->name));
}

static void report_duplicate(struct reader *r, const struct level *l, struct slice name)
{
    struct buf path = BUF_INIT(16 << 10);
    r->err->duplicate = true;
    if (!r->dup)
        return;
    write_path(&path, l);
    r->dup(r->ctx, path.p ? path.p : "", name);
    buf_done(&path);
}

static struct json *read_value(struct reader *r, yyjson_val *val, const struct level *up, unsigned depth);

static struct json *fail(struct reader *r, const char *message)
{
    r->err->message = message;
    return NULL;
}

static struct json *read_array(struct reader *r, yyjson_val *val, struct level *l, unsigned depth)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(val);
    struct json *array = json_new_array(r->a);
    l->at = array;
    for (yyjson_val *item; array && (item = yyjson_arr_iter_next(&it)); l->i++) {
        struct json *v = read_value(r, item, l, depth + 1);
        if (!v)
            return NULL;
        json_append(array, v);
    }
    return array ? array : fail(r, "the document is too large");
}

static struct json *read_object(struct reader *r, yyjson_val *val, struct level *l, unsigned depth)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(val);
    struct json *obj = json_new_object(r->a);
    l->at = obj;
    for (yyjson_val *key; obj && (key = yyjson_obj_iter_next(&it));) {
        l->name = slice_of(yyjson_get_str(key), yyjson_get_len(key));
        if (json_get(obj, l->name))
            report_duplicate(r, l, l->name);
        struct json *v = read_value(r, yyjson_obj_iter_get_val(key), l, depth + 1);
        if (!v)
            return NULL;
        json_set(r->a, obj, l->name, v);
    }
    return obj && !arena_error(r->a) ? obj : fail(r, "the document is too large");
}

static struct json *read_number(struct arena *a, yyjson_val *val)
{
    if (yyjson_is_sint(val))
        return json_new_int(a, yyjson_get_sint(val));
    if (yyjson_is_real(val))
        return json_new_real(a, yyjson_get_real(val));
    uint64_t u = yyjson_get_uint(val);
    return u <= INT64_MAX ? json_new_int(a, (int64_t)u) : json_new_real(a, (double)u);
}

static struct json *read_scalar(struct arena *a, yyjson_val *val)
{
    switch (yyjson_get_type(val)) {
    case YYJSON_TYPE_BOOL:
        return json_new_bool(a, yyjson_get_bool(val));
    case YYJSON_TYPE_NUM:
        return read_number(a, val);
    case YYJSON_TYPE_STR:
        return json_new_string(a, slice_of(yyjson_get_str(val), yyjson_get_len(val)));
    default:
        return json_new_null(a);
    }
}

static struct json *read_value(struct reader *r, yyjson_val *val, const struct level *up, unsigned depth)
{
    struct level l = {.up = up};
    bool container = yyjson_is_ctn(val);
    if (container && depth > JSON_DEPTH_MAX)
        return fail(r, "exceeded max depth");
    if (container)
        return yyjson_is_arr(val) ? read_array(r, val, &l, depth) : read_object(r, val, &l, depth);
    struct json *v = read_scalar(r->a, val);
    return v ? v : fail(r, "the document is too large");
}

struct json *json_parse(struct arena *a, struct slice text, struct json_error *err,
                        void (*dup)(void *ctx, const char *path, struct slice name), void *ctx)
{
    static const yyjson_alc alc = {.malloc = alloc_cb, .realloc = realloc_cb, .free = free_cb};
    struct json_error ignored = {0};
    struct reader r = {.a = a, .err = err ? err : &ignored, .dup = dup, .ctx = ctx};
    yyjson_read_err why;
    *r.err = (struct json_error){.message = ""};
    if (text.n == 0)
        return fail(&r, "unexpected end of JSON input");
    yyjson_doc *doc = yyjson_read_opts((char *)text.p, text.n, YYJSON_READ_NOFLAG, &alc, &why);
    if (!doc) {
        r.err->offset = why.pos;
        return fail(&r, why.msg ? why.msg : "malformed JSON");
    }
    struct json *v = read_value(&r, yyjson_doc_get_root(doc), NULL, 1);
    yyjson_doc_free(doc);
    return v;
}

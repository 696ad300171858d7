/* An object as the store keeps it: kind, apiVersion, metadata first; resourceVersion left out, with a hole for it. */
#include <errno.h>

#include "apiserver/write.h"
#include "object/meta.h"

/* Members of metadata that stand before resourceVersion on the wire. */
static bool before_revision(struct slice key)
{
    static const char *const early[] = {"name", "generateName", "namespace", "selfLink", "uid"};
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        if (slice_eq_str(key, early[i]))
            return true;
    return false;
}

static void add_member(struct buf *out, const struct json *m, bool *first)
{
    if (!*first)
        buf_add_char(out, ',');
    *first = false;
    json_write_string(out, m->key);
    buf_add_char(out, ':');
    json_write(out, m);
}

/* The hole stands behind a '{' or ','; what is filled in ends with a comma, so something must follow: creationTimestamp
 * always does. */
static int add_metadata(struct buf *out, const struct json *meta, uint32_t *ret_hole)
{
    bool first = true, rest = false;
    buf_add_char(out, '{');
    json_each (m, meta)
        if (before_revision(m->key))
            add_member(out, m, &first);
    if (!first)
        buf_add_char(out, ',');
    *ret_hole = (uint32_t)out->n;
    first = true;
    json_each (m, meta) {
        if (before_revision(m->key) || slice_eq_str(m->key, "resourceVersion"))
            continue;
        add_member(out, m, &first);
        rest = true;
    }
    if (!rest)
        buf_add_str(out, "\"creationTimestamp\":null");
    return buf_add_char(out, '}');
}

int api_encode(const struct json *obj, struct buf *value, uint32_t *ret_hole, uint32_t *ret_type_len)
{
    buf_add_str(value, "{\"kind\":");
    json_write_string(value, meta_kind(obj));
    buf_add_str(value, ",\"apiVersion\":");
    json_write_string(value, meta_api_version(obj));
    buf_add_char(value, ',');
    *ret_type_len = (uint32_t)value->n;
    buf_add_str(value, "\"metadata\":");
    add_metadata(value, json_get_str(obj, "metadata"), ret_hole);
    bool first = false;
    json_each (m, obj)
        if (!slice_eq_str(m->key, "kind") && !slice_eq_str(m->key, "apiVersion") && !slice_eq_str(m->key, "metadata"))
            add_member(value, m, &first);
    return buf_add_char(value, '}');
}

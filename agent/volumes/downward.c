/* downwardAPI: the pod's own fields and resources as files.
 * https://kubernetes.io/docs/concepts/workloads/pods/downward-api/ */
#include <errno.h>

#include "agent/node.h"
#include "agent/volumes/volumes_impl.h"
#include "object/meta.h"
#include "object/quantity.h"

static int by_key(const void *ctx, const struct json *a, const struct json *b)
{
    (void)ctx;
    return slice_cmp(a->key, b->key);
}

/* A value in double quotes, with escapes as Go's %q writes them for text without control characters. */
static void add_quoted(struct buf *out, struct slice s)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            buf_add_str(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_add_char(out, s.p[i]);
    }
    buf_add_char(out, '"');
}

/* One key="value" a line, sorted, no line end after the last. */
static struct slice map_text(struct arena *a, const struct json *map)
{
    struct buf out = BUF_INIT(VOLUME_OBJECT_MAX);
    struct json *sorted = map ? json_clone(a, map) : json_new_object(a);
    if (sorted)
        json_sort(sorted, by_key, NULL);
    json_each (m, sorted) {
        if (out.n)
            buf_add_char(&out, '\n');
        buf_add_slice(&out, m->key);
        buf_add_char(&out, '=');
        add_quoted(&out, json_string(m));
    }
    struct slice text = arena_copy(a, buf_slice(&out));
    buf_done(&out);
    return text;
}

struct slice volume_field(struct volume_pod *v, struct arena *a, struct slice path)
{
    struct slice head, key;
    if (slice_cut(path, '[', &head, &key) && key.n > 3) {
        key = slice_of(key.p + 1, key.n - 3);
        struct slice value =
            slice_eq_str(head, "metadata.labels") ? meta_label(v->obj, key) : meta_annotation(v->obj, key);
        return value.p ? value : SLICE("");
    }
    if (slice_eq_str(path, "metadata.labels"))
        return map_text(a, meta_labels(v->obj));
    if (slice_eq_str(path, "metadata.annotations"))
        return map_text(a, meta_annotations(v->obj));
    static const char *const plain[] = {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
                                        "spec.serviceAccountName"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (slice_eq_str(path, plain[i])) {
            struct slice value = json_path_string(v->obj, plain[i]);
            return value.p ? value : SLICE("");
        }
    return SLICE_NONE;
}

static const struct json *container_of_pod(const struct volume_pod *v, struct slice name)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t i = 0; i < 2; i++)
        json_each (c, json_path(v->obj, lists[i]))
            if (slice_eq(json_path_string(c, "name"), name))
                return c;
    return NULL;
}

struct slice volume_resource(struct volume_pod *v, struct arena *a, const struct json *ref)
{
    struct slice list, res;
    slice_cut(json_path_string(ref, "resource"), '.', &list, &res);
    const struct json *container = container_of_pod(v, json_path_string(ref, "containerName"));
    const struct json *given = json_get(json_get(json_get_str(container, "resources"), list), res);
    bool cpu = slice_eq_str(res, "cpu");
    struct quantity q = quantity_of(0), divisor = quantity_of(1);
    quantity_from_json(json_get_str(ref, "divisor"), &divisor);
    if (quantity_is_zero(divisor))
        divisor = quantity_of(1);
    int64_t have, by = cpu ? quantity_milli(divisor) : quantity_value(divisor);
    if (quantity_from_json(given, &q))
        have = cpu ? quantity_milli(q) : quantity_value(q);
    else /* without a limit, all that the node has */
        have = slice_eq_str(list, "limits") && v->owner ? node_allocatable(v->owner->agent->node, res) : 0;
    return slice_str(arena_printf(a, "%ld", by ? have / by + (have % by != 0) : 0));
}

int volume_add_downward(struct volume_pod *v, struct volume_plan *p, struct volume_item *i, const struct json *source,
                        unsigned mode)
{
    json_each (it, json_get_str(source, "items")) {
        const struct json *resource = json_get_str(it, "resourceFieldRef");
        struct slice path = json_path_string(it, "fieldRef.fieldPath");
        struct slice text = resource ? volume_resource(v, &p->arena, resource) : volume_field(v, &p->arena, path);
        if (!text.p)
            return plan_fail(p, -EINVAL, "unsupported fieldPath: %" SLICE_FMT, SLICE_ARG(path));
        int err =
            plan_file(p, i, json_path_string(it, "path"), text, (unsigned)json_int(json_get_str(it, "mode"), mode));
        if (err)
            return err;
    }
    return 0;
}

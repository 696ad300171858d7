/* configMap and secret: all keys as files, or those that items name. */
#include <errno.h>

#include "agent/volumes/volumes_impl.h"
#include "base/text.h"
#include "object/meta.h"

struct keys {
    struct volume_plan *plan;
    struct volume_item *item;
    bool secret;
};

static int add_encoded(struct keys *k, struct slice path, struct slice text, unsigned mode)
{
    struct buf plain = BUF_INIT(VOLUME_OBJECT_MAX);
    int err = base64_decode(&plain, text);
    err = err ? plan_fail(k->plan, err, "bad base64 in \"%" SLICE_FMT "\"", SLICE_ARG(path))
              : plan_file(k->plan, k->item, path, buf_slice(&plain), mode);
    buf_done(&plain);
    return err;
}

/* -ENOENT when there is no such key. */
static int add_key(struct keys *k, const struct json *obj, struct slice key, struct slice path, unsigned mode)
{
    const struct json *text = json_get(json_get_str(obj, "data"), key),
                      *binary = json_get(json_get_str(obj, "binaryData"), key);
    if (text)
        return k->secret ? add_encoded(k, path, json_string(text), mode)
                         : plan_file(k->plan, k->item, path, json_string(text), mode);
    return binary ? add_encoded(k, path, json_string(binary), mode) : -ENOENT;
}

static int add_all(struct keys *k, const struct json *obj, unsigned mode)
{
    static const char *const boxes[] = {"data", "binaryData"};
    int err = 0;
    for (size_t b = 0; b < 2; b++)
        json_each (m, json_get_str(obj, boxes[b]))
            if (!err)
                err = add_key(k, obj, m->key, m->key, mode);
    return err;
}

int volume_add_keys(struct volume_pod *v, struct volume_plan *p, struct volume_item *i, const char *plural,
                    struct slice object, const struct json *source, unsigned mode)
{
    struct keys k = {p, i, !strcmp(plural, "secrets")};
    const struct json *obj = volume_object(v, &p->arena, plural, object), *items = json_get_str(source, "items");
    bool optional = json_bool(json_get_str(source, "optional"), false);
    struct slice ns = meta_namespace(v->obj);
    if (!obj && optional)
        return 0;
    if (!obj)
        return plan_fail(p, -ENOENT, "MountVolume.SetUp failed for volume \"%s\" : %s \"%" SLICE_FMT "\" not found",
                         i->name, k.secret ? "secret" : "configmap", SLICE_ARG(object));
    if (!json_len(items))
        return add_all(&k, obj, mode);
    json_each (it, items) {
        struct slice key = json_path_string(it, "key");
        int err =
            add_key(&k, obj, key, json_path_string(it, "path"), (unsigned)json_int(json_get_str(it, "mode"), mode));
        if (err == -ENOENT && !optional)
            return plan_fail(p, err,
                             "MountVolume.SetUp failed for volume \"%s\" : references non-existent %s key: %" SLICE_FMT
                             " in %" SLICE_FMT "/%" SLICE_FMT,
                             i->name, k.secret ? "secret" : "config", SLICE_ARG(key), SLICE_ARG(ns), SLICE_ARG(object));
        if (err && err != -ENOENT)
            return err;
    }
    return 0;
}

/* projected: several sources in one directory, ServiceAccount tokens among them. */
#include <errno.h>

#include "agent/volumes/volumes_impl.h"

int volume_add_token(struct volume_pod *v, struct volume_plan *p, struct volume_item *i, const struct json *source,
                     unsigned mode)
{
    struct slice path = json_path_string(source, "path");
    const struct volume_token *t =
        map_get(&v->tokens, slice_str(arena_printf(&p->arena, "%s/%" SLICE_FMT, i->name, SLICE_ARG(path))));
    if (!t)
        return plan_fail(p, -ENOENT, "MountVolume.SetUp failed for volume \"%s\" : no token for the service account",
                         i->name);
    return plan_file(p, i, path, buf_slice(&t->text), mode);
}

static int add_source(struct volume_pod *v, struct volume_plan *p, struct volume_item *i, const struct json *source,
                      unsigned mode)
{
    const struct json *map = json_get_str(source, "configMap"), *secret = json_get_str(source, "secret");
    const struct json *downward = json_get_str(source, "downwardAPI"),
                      *token = json_get_str(source, "serviceAccountToken");
    if (map)
        return volume_add_keys(v, p, i, "configmaps", json_path_string(map, "name"), map, mode);
    if (secret)
        return volume_add_keys(v, p, i, "secrets", json_path_string(secret, "name"), secret, mode);
    if (downward)
        return volume_add_downward(v, p, i, downward, mode);
    if (token)
        return volume_add_token(v, p, i, token, mode);
    return plan_fail(p, -EOPNOTSUPP, "volume \"%s\" projects a source of a kind that this agent does not have",
                     i->name);
}

int volume_projected(struct volume_pod *v, struct volume_plan *p, struct slice name, const struct json *source)
{
    struct volume_item *i = plan_item(p, VOLUME_FILES, name, volume_path(v, &p->arena, name));
    unsigned mode = (unsigned)json_int(json_get_str(source, "defaultMode"), VOLUME_MODE_DEFAULT);
    int err = i ? 0 : -ENOMEM;
    json_each (s, json_get_str(source, "sources"))
        if (!err)
            err = add_source(v, p, i, s, mode);
    return err;
}

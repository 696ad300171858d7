/* hostPath: nothing of ours, but its type is checked or made. */
#include "agent/volumes/volumes_impl.h"

int volume_host_path_plan(struct volume_pod *v, struct volume_plan *p, struct slice name, const struct json *source)
{
    struct volume_item *i = plan_item(p, VOLUME_HOST, name, arena_copy(&p->arena, json_path_string(source, "path")).p);
    (void)v;
    if (i)
        i->host_type = arena_printf(&p->arena, "%" SLICE_FMT, SLICE_ARG(json_path_string(source, "type")));
    return 0;
}

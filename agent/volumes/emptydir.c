/* emptyDir: on disk, or in memory with a size. */
#include "agent/volumes/volumes_impl.h"
#include "object/quantity.h"

int volume_empty_dir(struct volume_pod *v, struct volume_plan *p, struct slice name, const struct json *source)
{
    bool memory = slice_eq_str(json_path_string(source, "medium"), "Memory");
    struct quantity size;
    struct volume_item *i = plan_item(p, memory ? VOLUME_MEMORY : VOLUME_EMPTY, name, volume_path(v, &p->arena, name));
    if (i && quantity_from_json(json_get_str(source, "sizeLimit"), &size))
        i->size = quantity_value(size);
    return 0;
}

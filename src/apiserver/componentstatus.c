/* ComponentStatuses: what older tools ask to hear whether a control plane is well. Here one process is all of it: the
 * scheduler and the controllers run on the leader, and what etcd does elsewhere is done by the replicas' own log. So
 * all
 * three are well while there is a leader that a majority confirms. */
#include "apiserver/internal.h"
#include "apiserver/output.h"
#include "apiserver/special.h"
#include "store/item.h"

static const char *const components[] = {"scheduler", "controller-manager", "etcd-0"};
enum { COMPONENTS = sizeof components / sizeof *components };

static bool is_well(const struct api *api)
{
    return replica_leader(api->o.replica) && !api_no_quorum(api);
}

/* As JSON; *ret_type is how many of its bytes tell the type. */
static const char *component(struct api_request *r, const char *name, unsigned *ret_type)
{
    static const char type[] = "{\"kind\":\"ComponentStatus\",\"apiVersion\":\"v1\",";
    *ret_type = sizeof type - 1;
    return arena_printf(r->arena, "%s\"metadata\":{\"name\":\"%s\"},\"conditions\":[{\"type\":\"Healthy\",%s}]}", type,
                        name,
                        is_well(r->api) ? "\"status\":\"True\",\"message\":\"ok\""
                                        : "\"status\":\"False\",\"error\":\"no leader that a majority confirms\"");
}

static struct store_item *item(struct api_request *r, const char *name)
{
    unsigned type_len;
    struct blob *value = blob_copy(slice_str(component(r, name, &type_len)));
    return value ? item_new(slice_str(name), SLICE(""), value, type_len) : NULL;
}

static void list(struct api_request *r)
{
    struct store_item **items = arena_alloc(r->arena, COMPONENTS * sizeof(struct store_item *));
    size_t n = 0;
    for (size_t i = 0; items && i < COMPONENTS; i++) {
        items[n] = item(r, components[i]);
        n += items[n] != NULL;
    }
    api_list_items(r, items, n);
}

void api_component_statuses(struct api_request *r)
{
    struct status st;
    struct json_error err;
    unsigned type_len;
    api_warn(r, "v1 ComponentStatus is deprecated in v1.19+");
    if (r->verb == API_LIST) {
        list(r);
        return;
    }
    for (size_t i = 0; i < COMPONENTS; i++)
        if (slice_eq_str(r->name, components[i])) {
            struct slice text = slice_str(component(r, components[i], &type_len));
            api_reply_object(r, 200, json_parse(r->arena, text, &err, NULL, NULL));
            return;
        }
    status_not_found(&st, r->arena, SLICE(""), SLICE("componentstatuses"), r->name);
    api_reply_status(r, &st);
}

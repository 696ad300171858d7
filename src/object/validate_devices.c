/* Rules of devices: DeviceClass, ResourceClaim, ResourceSlice. Most of theirs are rows. */
#include "object/meta.h"
#include "object/validate_rules.h"

/* value: a request: either one way of asking or a list of ways. */
static void device_request(const struct rule_call *c)
{
    static const char *const ways[] = {"exactly", "firstAvailable"};
    size_t n = members_given(c->value, ways, 2);
    if (n == 0)
        place_required(c->v, c->at, "exactly one of `exactly` or `firstAvailable` is required");
    else if (n > 1)
        place_invalid(c->v, c->at, c->value,
                      "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
}

/* value: how many devices are asked for. */
static void device_count(const struct rule_call *c)
{
    static const char *const modes[] = {"All", "ExactCount", NULL};
    struct slice mode = json_path_string(c->value, "allocationMode");
    struct place here = place_member(c->at, "count"), at = place_member(c->at, "allocationMode");
    const struct json *n = json_get_str(c->value, "count");
    if (slice_eq_str(mode, "ExactCount") && json_int(n, 1) <= 0)
        place_invalid(c->v, &here, n, "must be greater than zero");
    else if (slice_eq_str(mode, "All") && json_int(n, 0) != 0)
        place_invalid(c->v, &here, n, "must not be specified when allocationMode is 'All'");
    else if (mode.n && !text_is_one_of(mode, modes))
        place_not_supported(c->v, &at, json_get_str(c->value, "allocationMode"), modes);
}

/* value: an attribute: one value of one kind. */
static void device_attribute(const struct rule_call *c)
{
    static const char *const kinds[] = {"bool", "int", "string", "version", "bools", "ints", "strings", "versions"};
    size_t n = members_given(c->value, kinds, 8);
    if (n == 0)
        place_required(c->v, c->at, "exactly one value must be specified");
    else if (n > 1)
        place_invalid(c->v, c->at, c->value, "exactly one value must be specified");
}

/* value: the spec of a ResourceSlice: whose devices these are. */
static void slice_owner(const struct rule_call *c)
{
    static const char *const owners[] = {"nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"};
    size_t n = members_given(c->value, owners, 4);
    if (n == 0)
        place_required(c->v, c->at,
                       "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required");
    else if (n > 1)
        place_invalid(
            c->v, c->at, c->value,
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but "
            "multiple fields are set");
}

/* value: the spec of a ResourceSlice: driver, pool and node do not change. */
static void slice_update(const struct rule_call *c)
{
    static const char *const fixed[] = {"driver", "nodeName"};
    const struct json *now = json_get_str(json_get_str(c->value, "pool"), "name");
    const struct json *before = json_get_str(json_get_str(c->old, "pool"), "name");
    struct place pool = place_member(c->at, "pool");
    if (!c->update || !c->old)
        return;
    for (size_t i = 0; i < 2; i++) {
        const struct json *x = json_get_str(c->value, fixed[i]), *y = json_get_str(c->old, fixed[i]);
        if (!(is_blank(x) && is_blank(y)) && !json_equal(x, y))
            member_invalid(c->v, c->at, c->value, fixed[i], "field is immutable");
    }
    if (!json_equal(now, before))
        member_invalid(c->v, &pool, json_get_str(c->value, "pool"), "name", "field is immutable");
}

static const struct rule_entry entries[] = {
    {"device_attribute", device_attribute}, {"device_count", device_count}, {"device_request", device_request},
    {"slice_owner", slice_owner},           {"slice_update", slice_update},
};

const struct rule_table rules_devices = RULE_TABLE(entries);

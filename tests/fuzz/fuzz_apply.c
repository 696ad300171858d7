/* Server-side apply: the first byte chooses the kind, then come the live object (with whatever managedFields it says)
 * and the applied one, with a byte 0xff between. What both make can be applied again, and then nothing changes. */
#include "fuzz.h"

#include "object/apply.h"
#include "object/check.h"
#include "object/validate.h"

static const struct resource *chosen(uint8_t byte)
{
    static const char *const plurals[] = {"pods", "services", "configmaps", "nodes"};
    return byte % 5 == 4 ? resource_find(SLICE("apps"), SLICE("v1"), SLICE("deployments"))
                         : resource_core(plurals[byte % 5]);
}

static bool typed(struct arena *a, const struct resource *res, struct json *o, bool partial)
{
    struct check c = {.a = a, .partial = partial};
    struct status st = {0};
    if (!json_is(o, JSON_OBJECT) || check_object(&c, res->type, o, &st))
        return false;
    json_set_first(a, o, "apiVersion", json_new_str(a, res->api_version)); /* the path of a request says them */
    json_set_first(a, o, "kind", json_new_str(a, res->kind));
    return arena_error(a) == 0;
}

static void use(struct arena *a, const struct resource *res, struct json *live, const struct json *patch)
{
    static const char *const subs[] = {"", "status", "ephemeralcontainers", "resize", "approval"};
    struct apply_request rq = {.res = res, .manager = SLICE("m"), .force = true, .now = 1};
    struct status st = {0};
    struct json *now = apply_patch(a, &rq, live, patch, &st);
    if (now) {
        rq.now = 2;
        struct json *again = apply_patch(a, &rq, now, patch, &st);
        FUZZ_CHECK(!again || arena_error(a) || json_equal(again, now));
        for (size_t i = 0; i < sizeof subs / sizeof *subs; i++)
            (void)validate_update(a, res, slice_str(subs[i]), now, live, &st);
    }
    (void)apply_track_update(a, &rq, live, json_clone(a, patch));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct slice first, second;
    if (n == 0 || !fuzz_split(slice_of((const char *)p + 1, n - 1), &first, &second))
        return 0;
    struct arena a;
    arena_init(&a, FUZZ_ARENA_MAX);
    const struct resource *res = chosen(p[0]);
    struct json *live = fuzz_json(&a, first), *patch = fuzz_json(&a, second);
    if (typed(&a, res, live, false) && typed(&a, res, patch, true))
        use(&a, res, live, patch);
    arena_done(&a);
    return 0;
}

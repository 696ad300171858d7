/* An object in JSON, of the resource that the first byte chooses, on the way of a create: parsed, checked, defaulted,
 * validated, printed. Checking what was checked changes nothing. */
#include "fuzz.h"

#include "object/check.h"
#include "object/defaults.h"
#include "object/print.h"
#include "object/validate.h"

enum { NOW = 1000000000 };

static void create(struct arena *a, const struct resource *res, struct json *o)
{
    struct check c = {.a = a, .mode = CHECK_WARN}, again = {.a = a};
    struct status st = {0};
    if (check_object(&c, res->type, o, &st))
        return;
    struct json *copy = json_clone(a, o);
    if (copy && check_object(&again, res->type, copy, &st) == 0 && arena_error(a) == 0)
        FUZZ_CHECK(json_equal(copy, o));
    if (defaults_apply(a, res->type, o, NOW))
        return;
    (void)validate_create(a, res, o, &st);
    (void)print_row(a, res, o, NOW, NULL);
    (void)print_partial(a, o);
}

static void write_again(struct arena *a, const struct json *o)
{
    struct buf out = BUF_INIT(16 << 20);
    if (json_write(&out, o) == 0) {
        struct json *back = fuzz_json(a, buf_slice(&out));
        FUZZ_CHECK(back || arena_error(a));
    }
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    const struct resource *res = resource_at(p[0] % resource_count());
    struct arena a;
    arena_init(&a, FUZZ_ARENA_MAX);
    struct json *o = fuzz_json(&a, slice_of(p + 1, n - 1));
    if (o)
        write_again(&a, o);
    if (json_is(o, JSON_OBJECT) && res->type)
        create(&a, res, o);
    arena_done(&a);
    return 0;
}

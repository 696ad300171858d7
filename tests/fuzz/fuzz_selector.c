/* Label selectors (first byte even) and field selectors (odd). A label selector that is written and parsed again is
 * the same. */
#include "fuzz.h"

#include "object/selector.h"

static int parse(struct arena *a, bool fields, struct slice text, struct selector *ret)
{
    struct status st = {0};
    const struct resource *res = resource_find(SLICE(""), SLICE("v1"), SLICE("pods"));
    return fields ? selector_parse_fields(a, res, text, ret, &st) : selector_parse_labels(a, text, ret, &st);
}

static void check_selector(struct arena *a, bool fields, const struct selector *s)
{
    struct buf out = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
    struct selector back = {0};
    const struct json *labels = fuzz_json(a, SLICE("{\"app\":\"web\",\"n\":\"5\",\"e\":\"\"}"));
    if (selector_write(&out, s) == 0 && !fields) { /* field selectors are written for people only, without escapes */
        FUZZ_CHECK(parse(a, fields, buf_slice(&out), &back) == 0 || arena_error(a));
        FUZZ_CHECK(selector_write(&again, &back) == 0 && slice_eq(buf_slice(&out), buf_slice(&again)));
        FUZZ_CHECK(selector_matches_labels(s, labels) == selector_matches_labels(&back, labels));
    }
    buf_done(&out);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    struct arena a;
    struct selector s = {0};
    arena_init(&a, FUZZ_ARENA_MAX);
    if (parse(&a, p[0] % 2, slice_of(p + 1, n - 1), &s) == 0)
        check_selector(&a, p[0] % 2, &s);
    arena_done(&a);
    return 0;
}

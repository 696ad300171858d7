/* Patches: the first byte chooses the kind, then come document and patch with a byte 0xff between. The document stays
 * as it was. */
#include "fuzz.h"

#include "object/patch.h"

static struct json *patched(struct arena *a, unsigned kind, const struct json *doc, const struct json *patch)
{
    struct status st = {0};
    if (kind % 4 == 0)
        return patch_json(a, doc, patch, &st);
    if (kind % 4 == 1)
        return patch_merge(a, doc, patch, &st);
    const char *name = kind % 4 == 2 ? "io.k8s.api.core.v1.Pod" : "io.k8s.api.apps.v1.Deployment";
    return patch_strategic(a, schema_type_find(slice_str(name)), doc, patch, &st);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct slice first, second;
    if (n == 0 || !fuzz_split(slice_of(p + 1, n - 1), &first, &second))
        return 0;
    struct arena a;
    arena_init(&a, FUZZ_ARENA_MAX);
    struct json *doc = fuzz_json(&a, first), *patch = fuzz_json(&a, second);
    if (json_is(doc, JSON_OBJECT) && patch) {
        struct json *copy = json_clone(&a, doc), *now = patched(&a, p[0], doc, patch);
        struct buf out = BUF_INIT(16 << 20);
        FUZZ_CHECK(!copy || json_equal(copy, doc));
        if (now && json_write(&out, now) == 0)
            FUZZ_CHECK(fuzz_json(&a, buf_slice(&out)) || arena_error(&a));
        buf_done(&out);
    }
    arena_done(&a);
    return 0;
}

/* YAML: what is read can be written and read again. */
#include "fuzz.h"

#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct arena a;
    const char *why = NULL;
    arena_init(&a, FUZZ_ARENA_MAX);
    struct json *o = yaml_parse(&a, slice_of(p, n), &why);
    struct buf out = BUF_INIT(16 << 20);
    if (o && yaml_write(&out, o) == 0) {
        struct json *back = yaml_parse(&a, buf_slice(&out), &why);
        FUZZ_CHECK(back || arena_error(&a));
        FUZZ_CHECK(!back || json_equal(o, back));
    }
    buf_done(&out);
    arena_done(&a);
    return 0;
}

/* Kubernetes protobuf of the type that the first byte chooses. What is decoded and checked can be encoded, and comes
 * back as the same object. */
#include "fuzz.h"

#include "object/check.h"
#include "object/protobuf.h"

/* Those with everything in them that has a form of its own: inlined messages, maps of maps, quantities, micro times,
 * schemas of schemas. */
static const char *const types[] = {
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.api.core.v1.Secret",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.authorization.v1.SubjectAccessReview",
    "io.k8s.api.resource.v1.ResourceSlice",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
};

static bool normal(struct arena *a, const struct schema_type *type, struct json *o)
{
    struct check c = {.a = a};
    struct status st = {0};
    return o && check_object(&c, type, o, &st) == 0;
}

static void round_trip(struct arena *a, const struct schema_type *type, struct json *o)
{
    struct buf out = BUF_INIT(16 << 20), again = BUF_INIT(16 << 20);
    struct status st = {0};
    if (normal(a, type, o) && protobuf_encode(&out, type, o) == 0) {
        struct json *back = protobuf_decode(a, type, buf_slice(&out), &st);
        FUZZ_CHECK(back || arena_error(a));
        if (normal(a, type, back) && protobuf_encode(&again, type, back) == 0)
            FUZZ_CHECK(slice_eq(buf_slice(&out), buf_slice(&again)));
    }
    buf_done(&out);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    const struct schema_type *type = schema_type_find(slice_str(types[p[0] % (sizeof types / sizeof types[0])]));
    struct arena a;
    struct status st = {0};
    FUZZ_CHECK(type);
    arena_init(&a, FUZZ_ARENA_MAX);
    struct json *o = protobuf_decode(&a, type, slice_of(p + 1, n - 1), &st);
    if (o)
        round_trip(&a, type, o);
    arena_done(&a);
    return 0;
}

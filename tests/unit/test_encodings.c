/* What decides on the bytes of answers: negotiation, the cache of encodings, compression. */
#include "unit_json.h"

#include <errno.h>
#include <zlib.h>

#include "apiserver/derived.h"
#include "apiserver/output.h"
#include "codec/gzip.h"
#include "codec/pretty.h"

/* ---- indentation ---- */

static void test_pretty(void **state)
{
    (void)state;
    static const char compact[] =
        "{\"a\":{},\"b\":[],\"c\":[1,-2.5e3,{\"d\":null}],\"e, {\":\"x\\\"]: \\\\\",\"f\": [ [ ], true ] }\n";
    static const char indented[] =
        "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1,\n    -2.5e3,\n    {\n      \"d\": null\n    }\n"
        "  ],\n  \"e, {\": \"x\\\"]: \\\\\",\n  \"f\": [\n    [],\n    true\n  ]\n}";
    for (size_t cut = 0; cut < sizeof compact; cut++) { /* in two pieces, wherever it is cut */
        struct json_pretty p = {0};
        struct buf out = BUF_INIT(4096);
        assert_int_equal(json_pretty(&p, slice_of(compact, cut), &out), 0);
        assert_int_equal(json_pretty(&p, slice_of(compact + cut, sizeof compact - 1 - cut), &out), 0);
        assert_int_equal(out.n, sizeof indented - 1);
        assert_memory_equal(out.p, indented, out.n);
        buf_done(&out);
    }
    struct json_pretty p = {0};
    struct buf small = BUF_INIT(64);
    char deep[40];
    memset(deep, '[', sizeof deep);
    assert_int_equal(json_pretty(&p, slice_of(deep, sizeof deep), &small), -E2BIG);
    buf_done(&small);
}

/* ---- negotiation ---- */

static struct api_request request(struct arena *a, const char *accept, enum api_verb verb)
{
    return (struct api_request){
        .arena = a, .accept = slice_str(accept), .route = ROUTE_RESOURCE, .verb = verb, .res = resource_core("pods")};
}

static void assert_chosen(struct arena *a, const char *accept, enum api_encoding encoding, enum api_shape shape)
{
    struct api_request r = request(a, accept, API_LIST);
    struct status st = {0};
    assert_int_equal(api_negotiate(&r, &st), 0);
    assert_int_equal(r.encoding, encoding);
    assert_int_equal(r.shape, shape);
}

#define META      ";g=meta.k8s.io;v=v1"
#define PROTOBUF_ "application/vnd.kubernetes.protobuf"

static void test_accept(void **state)
{
    struct arena *a = *state;
    assert_chosen(a, "", ENCODE_JSON, SHAPE_OBJECT);
    assert_chosen(a, "*/*", ENCODE_JSON, SHAPE_OBJECT);
    assert_chosen(a, "application/*", ENCODE_JSON, SHAPE_OBJECT);
    assert_chosen(a, "application/yaml", ENCODE_YAML, SHAPE_OBJECT);
    assert_chosen(a, "application/json;charset=utf-8", ENCODE_JSON, SHAPE_OBJECT);
    assert_chosen(a, PROTOBUF_ ",application/json", ENCODE_PROTOBUF, SHAPE_OBJECT);
    assert_chosen(a, "application/json, " PROTOBUF_, ENCODE_JSON, SHAPE_OBJECT);
    assert_chosen(a, "application/json;q=0.8, " PROTOBUF_ ";q=0.9", ENCODE_PROTOBUF, SHAPE_OBJECT);
    assert_chosen(a, "*/*, application/yaml", ENCODE_YAML, SHAPE_OBJECT);
    assert_chosen(a, "text/html, application/cbor, application/yaml;q=0.1", ENCODE_YAML, SHAPE_OBJECT);
    assert_chosen(a, "application/json;as=Table" META ",application/json", ENCODE_JSON, SHAPE_TABLE);
    assert_chosen(a, "application/json;as=Table;v=v9;g=meta.k8s.io,application/json", ENCODE_JSON, SHAPE_OBJECT);
    assert_chosen(a, "application/json;as=Table;v=v1;g=other,application/json", ENCODE_JSON, SHAPE_OBJECT);
    assert_chosen(a, PROTOBUF_ ";as=Table" META ",application/yaml", ENCODE_YAML, SHAPE_OBJECT);
    assert_chosen(a, PROTOBUF_ ";as=PartialObjectMetadataList" META, ENCODE_PROTOBUF, SHAPE_PARTIAL);
    assert_chosen(a, "application/yaml;as=PartialObjectMetadata" META, ENCODE_YAML, SHAPE_PARTIAL);
}

static void assert_refused(struct arena *a, const char *accept, enum api_verb verb, const char *named)
{
    struct api_request r = request(a, accept, verb);
    struct status st = {0};
    assert_int_equal(api_negotiate(&r, &st), 406);
    assert_string_equal(st.reason, "NotAcceptable");
    assert_non_null(strstr(st.message, "only the following media types are accepted: "));
    assert_string_equal(st.message + strlen("only the following media types are accepted: "), named);
    assert_int_equal(r.encoding, ENCODE_JSON);
}

static void test_not_acceptable(void **state)
{
    struct arena *a = *state;
    const char *all = "application/json, application/yaml, " PROTOBUF_;
    assert_refused(a, "text/plain", API_LIST, all);
    assert_refused(a, "application/cbor", API_GET, all);
    assert_refused(a, PROTOBUF_ ";as=Table" META, API_LIST, all);
    assert_refused(a, "application/json;as=Table;v=v1", API_LIST, all);
    assert_refused(a, "application/yaml", API_WATCH,
                   "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
    assert_refused(a, "application/json;stream=other", API_WATCH,
                   "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
}

static int body_code(struct arena *a, const char *type, enum api_verb verb)
{
    struct api_request r = request(a, "", verb);
    struct status st = {0};
    r.content_type = slice_str(type);
    r.body = SLICE("{}");
    int rv = api_negotiate(&r, &st);
    assert_true(rv == 0 || (rv == 415 && !strcmp(st.reason, "UnsupportedMediaType")));
    return rv;
}

static void test_media_types(void **state)
{
    struct arena *a = *state;
    assert_int_equal(body_code(a, "", API_CREATE), 0);
    assert_int_equal(body_code(a, "application/json; charset=utf-8", API_CREATE), 0);
    assert_int_equal(body_code(a, PROTOBUF_, API_UPDATE), 0);
    assert_int_equal(body_code(a, "application/cbor", API_CREATE), 415);
    assert_int_equal(body_code(a, "text/plain", API_DELETE), 415);
    assert_int_equal(body_code(a, "application/json", API_PATCH), 415);
    assert_int_equal(body_code(a, "application/apply-patch+yaml", API_PATCH), 0);
    assert_int_equal(body_code(a, "application/apply-patch+cbor", API_PATCH), 415);
}

/* ---- types of answers ---- */

static void test_answer_types(void **state)
{
    static const struct {
        const char *api_version, *kind, *type;
    } rows[] = {
        {"v1", "Pod", "io.k8s.api.core.v1.Pod"},
        {"apps/v1", "DeploymentList", "io.k8s.api.apps.v1.DeploymentList"},
        {"autoscaling/v1", "Scale", "io.k8s.api.autoscaling.v1.Scale"},
        {"authentication.k8s.io/v1", "TokenRequest", "io.k8s.api.authentication.v1.TokenRequest"},
        {"v1", "Status", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"},
        {"meta.k8s.io/v1", "PartialObjectMetadata", "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata"},
        {"v1", "APIResourceList", "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList"},
        {"apidiscovery.k8s.io/v2", "APIGroupDiscoveryList", "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList"},
        {"meta.k8s.io/v1", "Table", NULL},
        {"v1", "Nothing", NULL},
        {"a/b/c", "Pod", NULL},
    };
    struct arena *a = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *v = json_new_object(a);
        json_set_str(a, v, "kind", json_new_str(a, rows[i].kind));
        json_set_str(a, v, "apiVersion", json_new_str(a, rows[i].api_version));
        const struct schema_type *t = api_answer_type(a, v);
        if (!t || !rows[i].type)
            assert_true(!t && !rows[i].type);
        else
            assert_string_equal(t->name, rows[i].type);
    }
}

/* ---- the cache ---- */

static void test_derived(void **state)
{
    (void)state;
    enum { BUDGET = 8000, SIZE = 900, VALUES = 20 };
    struct api_derived *d = api_derived_new(BUDGET);
    struct blob *values[VALUES], *large = blob_new(BUDGET / 8 + 1);
    for (unsigned i = 0; i < VALUES; i++) {
        struct blob *made = blob_new(SIZE);
        values[i] = blob_new(1);
        memset(made->bytes, (int)i, SIZE);
        api_derived_put(d, values[i], 3, made);
        api_derived_put(d, values[i], 3, large); /* too large, and there already */
        blob_unref(made);
        assert_true(api_derived_bytes(d) <= BUDGET);
    }
    assert_null(api_derived_get(d, values[0], 3)); /* made room */
    assert_null(api_derived_get(d, values[VALUES - 1], 4));
    struct blob *found = api_derived_get(d, values[VALUES - 1], 3);
    assert_non_null(found);
    assert_int_equal(found->bytes[SIZE - 1], VALUES - 1);
    blob_unref(found);
    assert_true(api_derived_bytes(d) > BUDGET / 2);
    api_derived_put(d, values[0], 3, large);
    assert_null(api_derived_get(d, values[0], 3));
    api_derived_free(d);
    for (unsigned i = 0; i < VALUES; i++)
        blob_unref(values[i]);
    blob_unref(large);
}

/* ---- gzip ---- */

static void inflated(struct slice packed, struct buf *out)
{
    unsigned char piece[4096];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)packed.p, .avail_in = (unsigned)packed.n};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    int rv = Z_OK;
    while (rv == Z_OK) {
        z.next_out = piece;
        z.avail_out = sizeof piece;
        rv = inflate(&z, Z_NO_FLUSH);
        assert_int_equal(buf_add(out, piece, sizeof piece - z.avail_out), 0);
    }
    assert_int_equal(rv, Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    inflateEnd(&z);
}

static void test_gzip(void **state)
{
    (void)state;
    struct buf text = BUF_INIT(1 << 20), packed = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);
    for (unsigned i = 0; text.n < 300000; i++)
        buf_printf(&text, "line %u of many, %u\n", i, i * i);
    struct gzip *g = gzip_new();
    for (size_t at = 0, step = 1; at < text.n; at += step, step = step * 3 + 1) {
        size_t n = text.n - at < step ? text.n - at : step;
        assert_int_equal(gzip_write(g, slice_of(text.p + at, n), false, &packed), 0);
    }
    assert_int_equal(gzip_write(g, SLICE_NONE, true, &packed), 0);
    gzip_free(g);
    assert_true(packed.n < text.n / 2);
    inflated(buf_slice(&packed), &back);
    assert_true(slice_eq(buf_slice(&back), buf_slice(&text)));
    struct buf small = BUF_INIT(1000);
    assert_int_equal(gzip_pack(buf_slice(&text), &small), -E2BIG);
    buf_done(&small);
    buf_done(&text);
    buf_done(&packed);
    buf_done(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_accept),       unit(test_not_acceptable), unit(test_media_types),
                                       unit(test_answer_types), unit(test_derived),        unit(test_gzip),
                                       unit(test_pretty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

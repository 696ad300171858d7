/* The OpenAPI documents: whole, without loose ends, in our own words, and the same in protobuf. */
#include "unit_json.h"

#include "apiserver/openapi_impl.h"

static struct json *document(struct arena *a, bool v3, size_t first, size_t n)
{
    struct openapi *o = mem_new(struct openapi);
    o->v3 = v3;
    buf_init(&o->out, OPENAPI_MAX);
    map_init(&o->seen, 0);
    buf_add_str(&o->out, "{\"paths\":{");
    openapi_write_paths(o, first, n);
    buf_add_str(&o->out, v3 ? "},\"components\":{\"schemas\":{" : "},\"definitions\":{");
    openapi_write_schemas(o);
    buf_add_str(&o->out, v3 ? "}}}" : "}}");
    assert_int_equal(buf_error(&o->out), 0);
    assert_true(o->n_schemas < OPENAPI_TYPES_MAX);
    struct json *v = json_parse(a, buf_slice(&o->out), NULL, NULL, NULL);
    assert_non_null(v);
    buf_done(&o->out);
    map_done(&o->seen);
    mem_free(o);
    return v;
}

/* Every $ref leads to a schema of the document; what has a description has one that says something. */
static size_t check_refs(const struct json *v, const struct json *schemas, const char *prefix)
{
    size_t n = 0;
    struct slice ref = json_string(json_get_str(v, "$ref"));
    if (ref.n) {
        assert_true(slice_starts(ref, slice_str(prefix)));
        assert_non_null(json_get(schemas, slice_from(ref, strlen(prefix))));
        n++;
    }
    const struct json *description = json_get_str(v, "description");
    if (json_is(description, JSON_STRING))
        assert_true(description->u.string.n > 1);
    json_each (it, v)
        n += check_refs(it, schemas, prefix);
    return n;
}

static void test_v2(void **state)
{
    struct arena *a = *state;
    struct json *v = document(a, false, 0, api_n_operations), *definitions = json_get_str(v, "definitions");
    assert_true(check_refs(v, definitions, "#/definitions/") > 1500);
    size_t operations = 0, fields = 0;
    json_each (path, json_get_str(v, "paths"))
        json_each (op, path)
            operations += !slice_eq_str(op->key, "parameters");
    assert_int_equal(operations, api_n_operations);
    json_each (type, definitions) {
        assert_non_null(json_get_str(type, "description"));
        json_each (field, json_get_str(type, "properties")) {
            assert_non_null(json_get_str(field, "description"));
            fields++;
        }
    }
    assert_true(fields > 2000);
    /* Every kind can be found by its group, version and kind. */
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        const struct json *kinds =
            json_get_str(json_get(definitions, slice_str(res->type->name)), "x-kubernetes-group-version-kind");
        bool found = false;
        json_each (it, kinds)
            found |= slice_eq_str(json_path_string(it, "group"), res->group) &&
                     slice_eq_str(json_path_string(it, "version"), res->version) &&
                     slice_eq_str(json_path_string(it, "kind"), res->kind);
        if (!found)
            fail_msg("%s has no definition", res->kind);
    }
}

static void test_extensions(void **state)
{
    struct arena *a = *state;
    struct json *v = document(a, false, 0, api_n_operations), *definitions = json_get_str(v, "definitions");
    struct json *pod = json_get_str(json_get_str(definitions, "io.k8s.api.core.v1.PodSpec"), "properties");
    struct json *containers = json_get_str(pod, "containers");
    assert_slice(json_path_string(containers, "x-kubernetes-list-type"), "map");
    assert_slice(json_path_string(containers, "x-kubernetes-patch-strategy"), "merge");
    assert_slice(json_path_string(containers, "x-kubernetes-patch-merge-key"), "name");
    assert_json(a, json_get_str(containers, "x-kubernetes-list-map-keys"), "['name']");
    assert_slice(json_path_string(json_get_str(pod, "volumes"), "x-kubernetes-patch-strategy"), "merge,retainKeys");
    assert_non_null(
        json_get_str(json_get_str(definitions, "io.k8s.api.core.v1.SeccompProfile"), "x-kubernetes-unions"));
    struct json *post =
        json_get_str(json_get_str(json_get_str(v, "paths"), "/api/v1/namespaces/{namespace}/pods"), "post");
    bool dry_run = false;
    json_each (it, json_get_str(post, "parameters"))
        dry_run |= slice_eq_str(json_path_string(it, "name"), "dryRun");
    assert_true(dry_run);
}

static uint64_t varint(struct slice *s)
{
    uint64_t v = 0;
    for (unsigned shift = 0; s->n; shift += 7) {
        unsigned char byte = (unsigned char)s->p[0];
        *s = slice_from(*s, 1);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
    fail_msg("cut short");
    return 0;
}

/* How often a field is in a message; all of it is walked over. */
static size_t count_fields(struct slice message, unsigned number)
{
    size_t n = 0;
    while (message.n) {
        uint64_t tag = varint(&message), value = varint(&message);
        if ((tag & 7) == 2) {
            assert_true(value <= message.n);
            message = slice_from(message, value);
        }
        n += tag >> 3 == number;
    }
    return n;
}

static void test_protobuf(void **state)
{
    struct arena *a = *state;
    struct buf out = BUF_INIT(OPENAPI_MAX);
    struct json *v = document(a, false, 0, api_n_operations);
    assert_int_equal(openapi_v2_protobuf(&out, v), 0); /* refuses members it does not know */
    assert_int_equal(count_fields(buf_slice(&out), 8), 1);
    assert_int_equal(count_fields(buf_slice(&out), 9), 1);
    buf_clear(&out);
    assert_true(openapi_v2_protobuf(&out, json_of(a, "{'swagger':'2.0','unheard':1}")) < 0);
    buf_done(&out);
}

static void test_v3(void **state)
{
    struct arena *a = *state;
    struct json *v = document(a, true, 0, api_n_operations);
    assert_true(check_refs(v, json_path(v, "components.schemas"), "#/components/schemas/") > 3000);
    struct buf out = BUF_INIT(OPENAPI_MAX);
    assert_int_equal(openapi_v3_protobuf(&out, v), 0); /* refuses members it does not know */
    assert_int_equal(count_fields(buf_slice(&out), 4), 1);
    assert_int_equal(count_fields(buf_slice(&out), 5), 1);
    static const struct {
        const char *document;
        struct slice bytes;
    } cases[] = {
        {"{'components':{'schemas':{'A':{'type':'x'}}}}",
         SLICE_INIT("\x2a\x0f\x0a\x0d\x0a\x0b\x0a\x01\x41\x12\x06\x0a\x04\xca\x01\x01\x78")},
        {"{'components':{'schemas':{'A':{'$ref':'r'}}}}",
         SLICE_INIT("\x2a\x0e\x0a\x0c\x0a\x0a\x0a\x01\x41\x12\x05\x12\x03\x0a\x01\x72")},
        {"{'components':{'schemas':{'A':{'default':1.5}}}}",
         SLICE_INIT("\x2a\x17\x0a\x15\x0a\x13\x0a\x01\x41\x12\x0e\x0a\x0c\x8a\x02\x09\x09\0\0\0\0\0\0\xf8\x3f")},
        {"{'components':{'schemas':{'A':{'default':{}}}}}", /* cannot be said */
         SLICE_INIT("\x2a\x0b\x0a\x09\x0a\x07\x0a\x01\x41\x12\x02\x0a\x00")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&out);
        assert_int_equal(openapi_v3_protobuf(&out, json_of(a, cases[i].document)), 0);
        if (!slice_eq(buf_slice(&out), cases[i].bytes))
            fail_msg("%s: other bytes", cases[i].document);
    }
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {unit(test_v2), unit(test_extensions), unit(test_protobuf), unit(test_v3)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit.h"

#include "codec/json.h"
#include "schema/schema.h"

static void test_every_type_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *r = resource_at(i);
        assert_int_equal(r->index, i);
        assert_non_null(r->type);
        assert_ptr_equal(schema_type_find(slice_str(r->type->name)), r->type);
        for (size_t f = 0; f < r->type->n_fields; f++)
            assert_ptr_equal(schema_field_find(r->type, r->type->fields[f].name), &r->type->fields[f]);
        assert_ptr_equal(resource_find(slice_str(r->group), slice_str(r->version), slice_str(r->plural)), r);
        assert_ptr_equal(resource_by_api_version(slice_str(r->api_version), slice_str(r->kind)), r);
        assert_ptr_equal(r->storage->storage, r->storage);
    }
    assert_null(resource_at(resource_count()));
}

static void test_pod(void **state)
{
    (void)state;
    const struct resource *pod = resource_find(SLICE(""), SLICE("v1"), SLICE("pods"));
    assert_string_equal(pod->short_names[0], "po");
    assert_string_equal(pod->categories[0], "all");
    assert_true(pod->namespaced);
    assert_true(resource_has_status(pod));
    assert_string_equal(resource_sub_find(pod, SLICE("eviction"))->group, "policy");
    assert_non_null(resource_sub_find(pod, SLICE("binding"))->type);
    const struct schema_field *spec = schema_field_find(pod->type, SLICE("spec"));
    assert_string_equal(schema_short_name(spec->type), "PodSpec");
    const struct schema_field *containers = schema_field_find(spec->type, SLICE("containers"));
    assert_int_equal(containers->kind, SCHEMA_ARRAY);
    assert_int_equal(containers->list_type, SCHEMA_LIST_MAP);
    assert_string_equal(containers->list_keys[0], "name");
    assert_string_equal(containers->merge_key, "name");
    assert_string_equal(schema_short_name(containers->item->type), "Container");
    assert_null(schema_field_find(spec->type, SLICE("Containers")));
    assert_null(schema_field_find(NULL, SLICE("x")));
}

static void test_inlined_fields(void **state)
{
    (void)state;
    const struct schema_type *volume = schema_type_find(SLICE("io.k8s.api.core.v1.Volume"));
    assert_int_equal(volume->n_own, 2);
    assert_true(volume->own[1].flags & SCHEMA_INLINE);
    assert_string_equal(schema_short_name(schema_field_find(volume, SLICE("emptyDir"))->type), "EmptyDirVolumeSource");
}

static void test_shared_storage(void **state)
{
    (void)state;
    const struct resource *core = resource_find(SLICE(""), SLICE("v1"), SLICE("events"));
    const struct resource *events = resource_find(SLICE("events.k8s.io"), SLICE("v1"), SLICE("events"));
    assert_ptr_equal(events->storage, core);
    assert_ptr_equal(core->storage, core);
    assert_true(resource_find(SLICE(""), SLICE("v1"), SLICE("bindings"))->virtual);
}

static void test_groups(void **state)
{
    (void)state;
    assert_string_equal(api_group_at(0)->name, "");
    assert_string_equal(api_group_find(SLICE("autoscaling"))->versions[0], "v2");
    assert_string_equal(api_group_find(SLICE("autoscaling"))->versions[1], "v1");
    assert_null(api_group_find(SLICE("nowhere")));
    assert_null(api_group_at(api_group_count()));
}

static void test_names(void **state)
{
    (void)state;
    struct slice group, version;
    assert_true(api_version_split(SLICE("apps/v1"), &group, &version));
    assert_slice(group, "apps");
    assert_slice(version, "v1");
    assert_true(api_version_split(SLICE("v1"), &group, &version));
    assert_int_equal(group.n, 0);
    assert_false(api_version_split(SLICE("a/b/c"), &group, &version));
    assert_false(api_version_split(SLICE("apps/"), &group, &version));
    assert_false(api_version_split(SLICE("/v1"), &group, &version));
    assert_false(api_version_split(SLICE(""), &group, &version));
    const char *names[8];
    assert_int_equal(verb_names(VERB_WATCH | VERB_CREATE, names), 2);
    assert_string_equal(names[0], "create");
    assert_int_equal(verb_by_name(SLICE("patch")), VERB_PATCH);
    assert_int_equal(verb_by_name(SLICE("use")), 0);
}

static void check_objects(const struct slice *texts, size_t n)
{
    struct arena a;
    arena_init(&a, 16 << 20);
    for (size_t i = 0; i < n; i++) {
        struct json *o = json_parse(&a, texts[i], NULL, NULL, NULL);
        assert_non_null(o);
        assert_non_null(resource_by_api_version(json_path_string(o, "apiVersion"), json_path_string(o, "kind")));
        assert_true(json_path_string(o, "metadata.name").n > 0);
    }
    arena_done(&a);
}

static void test_bootstrap(void **state)
{
    (void)state;
    check_objects(bootstrap_rbac, bootstrap_n_rbac);
    check_objects(bootstrap_objects, bootstrap_n_objects);
    assert_true(bootstrap_n_rbac > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_is_sound),
        cmocka_unit_test(test_pod),
        cmocka_unit_test(test_inlined_fields),
        cmocka_unit_test(test_shared_storage),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bootstrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rules of metadata. */
#include "object/meta.h"
#include "object/path.h"
#include "object/validate_rules.h"

enum { ANNOTATIONS_MAX = 256 << 10, MANAGER_MAX = 128, SUBRESOURCE_MAX = 256 };

/* What a name is generated from follows its kind's rule, but may end with a dash. */
static void check_prefix(struct validation *v, const struct resource *res, const struct json *obj)
{
    struct slice s = meta_generate_name(obj);
    if (s.n > 1 && s.p[s.n - 1] == '-')
        s = slice_str(arena_printf(v->a, "%" SLICE_FMT "a", SLICE_ARG(slice_of(s.p, s.n - 2))));
    if (s.n && res->name_rule != NAME_CRD && res->name_rule != NAME_IP && validate_name(res, s))
        validation_invalid(v, "metadata.generateName", json_path(obj, "metadata.generateName"), validate_name(res, s));
}

static void check_name(struct validation *v, const struct resource *res, const struct json *obj)
{
    check_prefix(v, res, obj);
    struct slice name = meta_name(obj);
    if (name.n == 0)
        validation_required(v, "metadata.name", "name or generateName is required");
    else if (validate_name(res, name))
        validation_invalid(v, "metadata.name", json_path(obj, "metadata.name"), validate_name(res, name));
}

static void check_namespace(struct validation *v, const struct resource *res, const struct json *obj)
{
    struct slice ns = meta_namespace(obj);
    if (!res->namespaced && ns.n)
        validation_forbidden(v, "metadata.namespace", "not allowed on this type");
    if (!res->namespaced)
        return;
    if (ns.n == 0)
        validation_required(v, "metadata.namespace", NULL);
    else if (validate_label_name(ns))
        validation_invalid(v, "metadata.namespace", json_path(obj, "metadata.namespace"), validate_label_name(ns));
}

void validate_labels(struct validation *v, const struct place *at, const struct json *labels)
{
    json_each (it, labels) {
        place_invalid(v, at, json_new_string(v->a, it->key), validate_qualified_name(it->key));
        place_invalid(v, at, it, validate_label_value(json_string(it)));
    }
}

static struct slice lower(struct arena *a, struct slice s)
{
    struct slice copy = arena_copy(a, s);
    for (size_t i = 0; i < copy.n; i++)
        if (copy.p[i] >= 'A' && copy.p[i] <= 'Z')
            ((char *)copy.p)[i] = (char)(copy.p[i] | 0x20);
    return copy;
}

static void check_annotations(struct validation *v, const struct json *annotations)
{
    size_t total = 0;
    json_each (it, annotations) {
        const char *why = validate_qualified_name(it->key);
        if (why)
            why = validate_qualified_name(lower(v->a, it->key));
        if (why)
            validation_invalid(v, "metadata.annotations", json_new_string(v->a, it->key), why);
        total += it->key.n + json_string(it).n;
    }
    if (total > ANNOTATIONS_MAX)
        validation_too_long(v, "metadata.annotations", ANNOTATIONS_MAX);
}

const char *validate_finalizer(struct slice s)
{
    static const char *const plain[] = {"orphan", "foregroundDeletion", "kubernetes", NULL};
    const char *why = validate_qualified_name(s);
    if (why || (s.n && memchr(s.p, '/', s.n)) || text_is_one_of(s, plain))
        return why;
    return "name is neither a standard finalizer name nor is it fully qualified";
}

static void check_finalizers(struct validation *v, const struct json *obj)
{
    json_each (it, meta_finalizers(obj)) {
        const char *why = validate_finalizer(json_string(it));
        if (why)
            validation_invalid(v, "metadata.finalizers", it, why);
    }
    if (meta_has_finalizer(obj, SLICE("orphan")) && meta_has_finalizer(obj, SLICE("foregroundDeletion")))
        validation_invalid(v, "metadata.finalizers", meta_finalizers(obj),
                           "finalizer orphan and foregroundDeletion cannot be both set");
}

static void check_owner(struct validation *v, const struct place *at, const struct json *owner)
{
    static const char *const needed[] = {"apiVersion", "kind", "name", "uid"};
    static const char *const messages[] = {"version must not be empty", "must not be empty", "must not be empty",
                                           "must not be empty"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        struct place here = place_member(at, i ? needed[i] : "version");
        const struct json *value = json_get_str(owner, needed[i]);
        if (is_blank(value))
            place_invalid(v, &here, value ? value : json_new_str(v->a, ""), messages[i]);
    }
    if (slice_eq_str(json_path_string(owner, "kind"), "Event") &&
        slice_eq_str(json_path_string(owner, "apiVersion"), "v1"))
        place_invalid(v, at, owner, "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(struct validation *v, const struct json *obj)
{
    struct place root = {0}, meta = place_member(&root, "metadata"), at = place_member(&meta, "ownerReferences");
    size_t i = 0, controllers = 0;
    json_each (it, meta_owners(obj)) {
        struct place here = place_item(&at, i++);
        check_owner(v, &here, it);
        controllers += json_bool(json_get_str(it, "controller"), false);
    }
    if (controllers > 1)
        place_invalid(v, &at, meta_owners(obj), "Only one reference can have Controller set to true");
}

/* Who owns which fields: written by the server, but a client may send it back. */
static void check_managed_fields(struct validation *v, const struct json *obj)
{
    static const char *const operations[] = {"Apply", "Update", NULL}, *const types[] = {"FieldsV1", NULL};
    struct place root = {0}, meta = place_member(&root, "metadata"), list = place_member(&meta, "managedFields");
    size_t i = 0;
    json_each (it, json_path(obj, "metadata.managedFields")) {
        struct place here = place_item(&list, i++), manager = place_member(&here, "manager");
        struct place operation = place_member(&here, "operation"), type = place_member(&here, "fieldsType");
        struct place sub = place_member(&here, "subresource");
        struct slice name = json_path_string(it, "manager");
        if (!text_is_one_of(json_path_string(it, "operation"), operations))
            place_invalid(v, &operation, json_get_str(it, "operation"), "must be `Apply` or `Update`");
        if (json_path_string(it, "fieldsType").n && !text_is_one_of(json_path_string(it, "fieldsType"), types))
            place_invalid(v, &type, json_get_str(it, "fieldsType"), "must be `FieldsV1`");
        if (name.n > MANAGER_MAX)
            validation_too_long(v, place_path(v, &manager), MANAGER_MAX);
        for (size_t n = 0; n < name.n; n++)
            if ((unsigned char)name.p[n] < ' ' || name.p[n] == 0x7f) {
                place_invalid(v, &manager, json_get_str(it, "manager"), "should not contain non-printable characters");
                break;
            }
        if (json_path_string(it, "subresource").n > SUBRESOURCE_MAX)
            validation_too_long(v, place_path(v, &sub), SUBRESOURCE_MAX);
    }
}

void validate_metadata(struct validation *v, const struct resource *res, const struct json *obj)
{
    struct place root = {0}, meta = place_member(&root, "metadata"), labels = place_member(&meta, "labels");
    check_name(v, res, obj);
    check_namespace(v, res, obj);
    validate_labels(v, &labels, meta_labels(obj));
    check_annotations(v, meta_annotations(obj));
    check_finalizers(v, obj);
    check_owners(v, obj);
    check_managed_fields(v, obj);
    if (meta_generation(obj) < 0)
        validation_invalid(v, "metadata.generation", json_path(obj, "metadata.generation"),
                           "must be greater than or equal to 0");
}

static void check_new_finalizers(struct validation *v, const struct json *obj, const struct json *old)
{
    if (!meta_is_deleting(old))
        return;
    json_each (it, meta_finalizers(obj))
        if (!meta_has_finalizer(old, json_string(it)))
            validation_forbidden(
                v, "metadata.finalizers",
                arena_printf(v->a,
                             "no new finalizers can be added if the object is being deleted, found new "
                             "finalizers []string{\"%" SLICE_FMT "\"}",
                             SLICE_ARG(json_string(it))));
}

void validate_metadata_update(struct validation *v, const struct resource *res, bool main, const struct json *obj,
                              const struct json *old)
{
    static const char *const fixed[] = {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.creationTimestamp",
        "metadata.deletionTimestamp",
        "metadata.deletionGracePeriodSeconds",
    };
    if (main && !res->unconditional_update && meta_resource_version(obj).n == 0)
        status_cause(&v->st, v->a, "FieldValueInvalid", "metadata.resourceVersion",
                     "Invalid value: 0x0: must be specified for an update");
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const struct json *now = json_path(obj, fixed[i]), *before = json_path(old, fixed[i]);
        if (!(is_blank(now) && is_blank(before)) && !json_equal(now, before))
            validation_invalid(v, fixed[i], now, "field is immutable");
    }
    if (meta_generation(obj) < meta_generation(old))
        validation_invalid(v, "metadata.generation", json_path(obj, "metadata.generation"), "must not be decremented");
    check_new_finalizers(v, obj, old);
}

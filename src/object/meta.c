#include "object/meta.h"

#include "base/timefmt.h"

static const struct json *metadata(const struct json *obj)
{
    return json_get_str(obj, "metadata");
}

static struct slice text(const struct json *obj, const char *member)
{
    return json_string(json_get_str(metadata(obj), member));
}

struct slice meta_name(const struct json *obj)
{
    return text(obj, "name");
}

struct slice meta_namespace(const struct json *obj)
{
    return text(obj, "namespace");
}

struct slice meta_uid(const struct json *obj)
{
    return text(obj, "uid");
}

struct slice meta_generate_name(const struct json *obj)
{
    return text(obj, "generateName");
}

struct slice meta_api_version(const struct json *obj)
{
    return json_string(json_get_str(obj, "apiVersion"));
}

struct slice meta_kind(const struct json *obj)
{
    return json_string(json_get_str(obj, "kind"));
}

struct slice meta_resource_version(const struct json *obj)
{
    return text(obj, "resourceVersion");
}

int64_t meta_generation(const struct json *obj)
{
    return json_int(json_get_str(metadata(obj), "generation"), 0);
}

int64_t meta_creation_time(const struct json *obj)
{
    int64_t ns;
    return time_parse(text(obj, "creationTimestamp"), &ns) ? ns : 0;
}

static const struct json *container(const struct json *obj, const char *member, enum json_type type)
{
    const struct json *v = json_get_str(metadata(obj), member);
    return json_is(v, type) ? v : NULL;
}

const struct json *meta_labels(const struct json *obj)
{
    return container(obj, "labels", JSON_OBJECT);
}

const struct json *meta_annotations(const struct json *obj)
{
    return container(obj, "annotations", JSON_OBJECT);
}

struct slice meta_label(const struct json *obj, struct slice key)
{
    return json_string(json_get(meta_labels(obj), key));
}

struct slice meta_annotation(const struct json *obj, struct slice key)
{
    return json_string(json_get(meta_annotations(obj), key));
}

const struct json *meta_owners(const struct json *obj)
{
    return container(obj, "ownerReferences", JSON_ARRAY);
}

const struct json *meta_finalizers(const struct json *obj)
{
    return container(obj, "finalizers", JSON_ARRAY);
}

bool meta_has_finalizer(const struct json *obj, struct slice finalizer)
{
    json_each (it, meta_finalizers(obj))
        if (slice_eq(json_string(it), finalizer))
            return true;
    return false;
}

bool meta_is_deleting(const struct json *obj)
{
    return text(obj, "deletionTimestamp").n > 0;
}

const struct json *meta_controller(const struct json *obj)
{
    json_each (it, meta_owners(obj))
        if (json_bool(json_get_str(it, "controller"), false))
            return it;
    return NULL;
}

bool meta_is_controlled_by(const struct json *obj, struct slice uid)
{
    const struct json *owner = meta_controller(obj);
    return owner && slice_eq(json_string(json_get_str(owner, "uid")), uid);
}

struct json *meta_object(struct arena *a, struct json *obj)
{
    return json_object_at(a, obj, "metadata");
}

static void set_text(struct arena *a, struct json *obj, const char *member, struct slice s)
{
    json_set_str(a, meta_object(a, obj), member, json_new_string(a, s));
}

void meta_set_name(struct arena *a, struct json *obj, struct slice name)
{
    set_text(a, obj, "name", name);
}

void meta_set_namespace(struct arena *a, struct json *obj, struct slice ns)
{
    set_text(a, obj, "namespace", ns);
}

void meta_set_uid(struct arena *a, struct json *obj, struct slice uid)
{
    set_text(a, obj, "uid", uid);
}

void meta_set_resource_version(struct arena *a, struct json *obj, uint64_t rv)
{
    if (rv)
        json_set_str(a, meta_object(a, obj), "resourceVersion", json_new_printf(a, "%llu", (unsigned long long)rv));
    else
        json_del_str(json_get_str(obj, "metadata"), "resourceVersion");
}

void meta_set_generation(struct arena *a, struct json *obj, int64_t generation)
{
    if (generation)
        json_set_str(a, meta_object(a, obj), "generation", json_new_int(a, generation));
    else
        json_del_str(json_get_str(obj, "metadata"), "generation");
}

static void set_time(struct arena *a, struct json *obj, const char *member, int64_t ns)
{
    char out[TIME_SEC_LEN + 1];
    time_format_sec(ns, out);
    set_text(a, obj, member, slice_str(out));
}

void meta_set_creation_time(struct arena *a, struct json *obj, int64_t ns)
{
    set_time(a, obj, "creationTimestamp", ns);
}

void meta_set_deletion(struct arena *a, struct json *obj, int64_t ns, int64_t grace_seconds)
{
    set_time(a, obj, "deletionTimestamp", ns);
    json_set_str(a, meta_object(a, obj), "deletionGracePeriodSeconds", json_new_int(a, grace_seconds));
}

void meta_set_label(struct arena *a, struct json *obj, struct slice key, struct slice value)
{
    json_set(a, json_object_at(a, meta_object(a, obj), "labels"), key, json_new_string(a, value));
}

void meta_set_annotation(struct arena *a, struct json *obj, struct slice key, struct slice value)
{
    json_set(a, json_object_at(a, meta_object(a, obj), "annotations"), key, json_new_string(a, value));
}

/* The member as an array, made when absent or null. */
static struct json *array_at(struct arena *a, struct json *obj, const char *member)
{
    struct json *v = json_get_str(obj, member);
    if (!v || v->type == JSON_NULL) {
        v = json_new_array(a);
        json_set_str(a, obj, member, v);
    }
    return v;
}

void meta_add_finalizer(struct arena *a, struct json *obj, struct slice finalizer)
{
    if (!meta_has_finalizer(obj, finalizer))
        json_append(array_at(a, meta_object(a, obj), "finalizers"), json_new_string(a, finalizer));
}

bool meta_remove_finalizer(struct json *obj, struct slice finalizer)
{
    struct json *list = json_path(obj, "metadata.finalizers");
    size_t i = 0;
    json_each (it, list) {
        if (slice_eq(json_string(it), finalizer)) {
            json_remove_at(list, i);
            if (json_len(list) == 0)
                json_del_str(json_get_str(obj, "metadata"), "finalizers");
            return true;
        }
        i++;
    }
    return false;
}

void meta_set_controller(struct arena *a, struct json *obj, const struct json *owner)
{
    struct json *ref = json_new_object(a);
    json_set_str(a, ref, "apiVersion", json_new_string(a, meta_api_version(owner)));
    json_set_str(a, ref, "kind", json_new_string(a, meta_kind(owner)));
    json_set_str(a, ref, "name", json_new_string(a, meta_name(owner)));
    json_set_str(a, ref, "uid", json_new_string(a, meta_uid(owner)));
    json_set_str(a, ref, "controller", json_new_bool(a, true));
    json_set_str(a, ref, "blockOwnerDeletion", json_new_bool(a, true));
    json_append(array_at(a, meta_object(a, obj), "ownerReferences"), ref);
}

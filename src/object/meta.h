/* Reading and changing metadata: accessors over an object's JSON, for any kind.
 *
 * Readers answer empty slices, 0 or NULL for what is absent or of the wrong type, so that nothing needs checking.
 * Slices point into the object. Setters copy their strings into the arena a, which must be the object's own. No
 * state, any thread that owns the object. */
#ifndef PINTLE_OBJECT_META_H
#define PINTLE_OBJECT_META_H

#include "codec/json.h"

struct slice meta_name(const struct json *obj);
struct slice meta_namespace(const struct json *obj);
struct slice meta_uid(const struct json *obj);
struct slice meta_generate_name(const struct json *obj);
struct slice meta_api_version(const struct json *obj);
struct slice meta_kind(const struct json *obj);
/* metadata.resourceVersion as text; "" when absent. */
struct slice meta_resource_version(const struct json *obj);
/* 0 when absent. */
int64_t meta_generation(const struct json *obj);
/* Nanoseconds since 1970; 0 when absent or malformed. */
int64_t meta_creation_time(const struct json *obj);
/* metadata.labels / annotations as objects of strings, or NULL. */
const struct json *meta_labels(const struct json *obj);
const struct json *meta_annotations(const struct json *obj);
/* The value of one label or annotation; p is NULL when it is not there (a value may be ""). */
struct slice meta_label(const struct json *obj, struct slice key);
struct slice meta_annotation(const struct json *obj, struct slice key);
/* metadata.ownerReferences / finalizers as arrays, or NULL. */
const struct json *meta_owners(const struct json *obj);
const struct json *meta_finalizers(const struct json *obj);
bool meta_has_finalizer(const struct json *obj, struct slice finalizer);
/* True when metadata.deletionTimestamp is set. */
bool meta_is_deleting(const struct json *obj);
/* The owner reference with controller=true, or NULL. */
const struct json *meta_controller(const struct json *obj);
/* True when the controlling owner has this uid. */
bool meta_is_controlled_by(const struct json *obj, struct slice uid);

/* The metadata object, made when absent; NULL when metadata is no object or the arena is full. */
struct json *meta_object(struct arena *a, struct json *obj);
void meta_set_name(struct arena *a, struct json *obj, struct slice name);
void meta_set_namespace(struct arena *a, struct json *obj, struct slice ns);
void meta_set_uid(struct arena *a, struct json *obj, struct slice uid);
/* rv 0 removes it. */
void meta_set_resource_version(struct arena *a, struct json *obj, uint64_t rv);
/* 0 removes it. */
void meta_set_generation(struct arena *a, struct json *obj, int64_t generation);
/* ns: wall clock; written in whole seconds. */
void meta_set_creation_time(struct arena *a, struct json *obj, int64_t ns);
void meta_set_deletion(struct arena *a, struct json *obj, int64_t ns, int64_t grace_seconds);
void meta_set_label(struct arena *a, struct json *obj, struct slice key, struct slice value);
void meta_set_annotation(struct arena *a, struct json *obj, struct slice key, struct slice value);
/* No effect when it is there already. */
void meta_add_finalizer(struct arena *a, struct json *obj, struct slice finalizer);
/* False when it was not there; the list is removed with its last entry. */
bool meta_remove_finalizer(struct json *obj, struct slice finalizer);
/* An owner reference to owner with controller=true and blockOwnerDeletion=true, appended. */
void meta_set_controller(struct arena *a, struct json *obj, const struct json *owner);

#endif

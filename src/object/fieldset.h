/* Sets of field paths in the form of managedFields (FieldsV1), and the schema's view of a value as such paths.
 *
 * A set is a JSON object: members "f:name" (field or map key), "k:{…}" (list item by its keys), "v:…" (item of a set),
 * each holding the set below it. {} says that the path itself belongs to the set, "." says so beside children. NULL is
 * the empty set. Functions share no structure with their inputs unless they say so. For apply.c. */
#ifndef PINTLE_OBJECT_FIELDSET_H
#define PINTLE_OBJECT_FIELDSET_H

#include "codec/json.h"
#include "schema/schema.h"

/* How a value is taken apart. */
enum field_shape { SHAPE_LEAF, SHAPE_STRUCT, SHAPE_MAP, SHAPE_SET, SHAPE_LIST };

/* f NULL: no schema (objects are maps, everything else leaves). */
enum field_shape fieldset_shape(const struct schema_field *f, const struct json *v);
/* The field of a member of a STRUCT or MAP, or the item of a list; NULL without schema. */
const struct schema_field *fieldset_child(const struct schema_field *f, struct slice member);
/* The members or items of v by their path elements. */
struct fieldset_items {
    struct json *elements; /* "k:{…}" → number in values */
    struct json **values;
    size_t n;
    struct slice duplicate; /* an element that occurs twice (the first counts); p NULL when there is none */
    const char *missing;    /* key field that an item lacks, or NULL */
};
/* False when the arena is full. */
bool fieldset_items(struct arena *a, const struct schema_field *f, struct json *v, struct fieldset_items *ret);
struct json *fieldset_at(const struct fieldset_items *items, struct slice element);

/* What a partial object names (as an applier owns it). */
struct json *fieldset_of(struct arena *a, const struct schema_field *f, struct json *v);
/* What differs: changed = added or modified, removed. Each NULL when empty. */
struct fieldset_diff {
    struct json *changed, *removed;
};
struct fieldset_diff fieldset_compare(struct arena *a, const struct schema_field *f, struct json *before,
                                      struct json *now);

bool fieldset_has_self(const struct json *set);
struct json *fieldset_union(struct arena *a, const struct json *x, const struct json *y);
struct json *fieldset_minus(struct arena *a, const struct json *x, const struct json *y);
struct json *fieldset_and(struct arena *a, const struct json *x, const struct json *y);
/* Removes the path "spec.replicas" and all below it, in place; "" removes all but status. */
struct json *fieldset_without(struct json *set, const char *path);
/* Calls each with the path of every member, as ".spec.containers[name="c"].image". */
void fieldset_each(struct arena *a, const struct json *set, void (*each)(void *ctx, const char *path), void *ctx);

#endif

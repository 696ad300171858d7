/* Shared by validate*.c only: places in an object, and the functions that rules call by name. */
#ifndef PINTLE_OBJECT_VALIDATE_RULES_H
#define PINTLE_OBJECT_VALIDATE_RULES_H

#include "object/validate.h"

/* A field on the way down from the object; one on the C stack a level. */
struct place {
    const struct place *up; /* NULL at the root */
    struct slice name;      /* member, or map key */
    size_t index;           /* item of an array, when name.p is NULL */
    bool key;               /* name is a map key: written in brackets */
};

static inline struct place place_member(const struct place *up, const char *name)
{
    return (struct place){.up = up, .name = slice_str(name)};
}
static inline struct place place_item(const struct place *up, size_t index)
{
    return (struct place){.up = up, .index = index};
}
static inline struct place place_key(const struct place *up, struct slice key)
{
    return (struct place){.up = up, .name = key, .key = true};
}
/* "spec.ports[0].name", in the arena. */
const char *place_path(const struct validation *v, const struct place *at);

/* Errors at a place. why == NULL adds none, so that validate_* answers can be passed on. */
void place_required(struct validation *v, const struct place *at, const char *detail);
void place_invalid(struct validation *v, const struct place *at, const struct json *value, const char *why);
void place_forbidden(struct validation *v, const struct place *at, const char *detail);
void place_duplicate(struct validation *v, const struct place *at, const struct json *value);
void place_not_supported(struct validation *v, const struct place *at, const struct json *value,
                         const char *const *supported);

/* One rule's function. value: what stands at the rule's path (NULL when nothing does); old: the same of the stored
 * object, NULL on create; root: the whole object. */
struct rule_call {
    struct validation *v;
    const struct place *at;
    const struct json *value, *old, *root;
    const char *argument;
    bool update;
};
typedef void rule_function(const struct rule_call *c);

struct rule_entry {
    const char *name;
    rule_function *function;
};

extern const struct rule_entry rules_general[];   /* validate_checks.c; all end with a NULL name */
extern const struct rule_entry rules_pod[];       /* validate_pod.c */
extern const struct rule_entry rules_workloads[]; /* validate_workloads.c */
extern const struct rule_entry rules_kinds[];     /* validate_kinds.c */
rule_function *rule_find(const char *name);

/* metadata of any object. */
void validate_metadata(struct validation *v, const struct resource *res, const struct json *obj);
void validate_metadata_update(struct validation *v, const struct resource *res, bool main, const struct json *obj,
                              const struct json *old);
/* A map of labels at a place. */
void validate_labels(struct validation *v, const struct place *at, const struct json *labels);
/* True when v is absent, null, "", [] or {}. */
bool is_blank(const struct json *v);
/* Adds an Invalid error when the number is outside min … max (absent is fine). */
void check_range(struct validation *v, const struct place *at, const struct json *value, int64_t min, int64_t max);

#endif

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
 * object, NULL on create and inside lists; root, old_root: the whole objects. */
struct rule_call {
    struct validation *v;
    const struct place *at;
    const struct json *value, *old, *root, *old_root;
    const char *argument;
    bool update;
};
typedef void rule_function(const struct rule_call *c);

struct rule_entry {
    const char *name;
    rule_function *function;
};

/* The rules of one file, in byte order of their names. */
struct rule_table {
    const struct rule_entry *entries;
    size_t n;
};
#define RULE_TABLE(list)                                                                                               \
    {                                                                                                                  \
        (list), sizeof(list) / sizeof *(list)                                                                          \
    }

extern const struct rule_table rules_general;      /* validate_checks.c */
extern const struct rule_table rules_values;       /* validate_values.c */
extern const struct rule_table rules_pod;          /* validate_pod.c */
extern const struct rule_table rules_container;    /* validate_container.c */
extern const struct rule_table rules_volumes;      /* validate_volumes.c */
extern const struct rule_table rules_placement;    /* validate_placement.c */
extern const struct rule_table rules_podsub;       /* validate_podsub.c */
extern const struct rule_table rules_network;      /* validate_network.c */
extern const struct rule_table rules_storage;      /* validate_storage.c */
extern const struct rule_table rules_workloads;    /* validate_workloads.c */
extern const struct rule_table rules_jobs;         /* validate_jobs.c */
extern const struct rule_table rules_policy;       /* validate_policy.c */
extern const struct rule_table rules_extend;       /* validate_extend.c */
extern const struct rule_table rules_devices;      /* validate_devices.c */
extern const struct rule_table rules_resources;    /* validate_resources.c */
extern const struct rule_table rules_definitions;  /* validate_definitions.c */
extern const struct rule_table rules_certificates; /* validate_certificates.c */
extern const struct rule_table rules_kinds;        /* validate_kinds.c */
/* The function of a check, NULL when there is none. */
rule_function *rule_find(const char *name);
rule_function *rule_find_slice(struct slice name);

/* Errors at a member of obj, which stands at `at`. check: a rule for texts; blank ones pass. */
void member_required(struct validation *v, const struct place *at, const struct json *obj, const char *member);
void member_invalid(struct validation *v, const struct place *at, const struct json *obj, const char *member,
                    const char *why);
void member_forbidden(struct validation *v, const struct place *at, const char *member, const char *why);
void member_check(struct validation *v, const struct place *at, const struct json *obj, const char *member,
                  const char *(*check)(struct slice s));
/* A member that must be there and be one of the texts (NULL-terminated). */
void member_one_of(struct validation *v, const struct place *at, const struct json *obj, const char *member,
                   const char *const *allowed);
/* Number of these members that are there and not null. */
size_t members_given(const struct json *obj, const char *const *members, size_t n);
bool text_is_one_of(struct slice s, const char *const *texts);
/* Text of an IP address or a CIDR. family: 4 or 6. False when it is none. */
bool text_is_ip(struct slice s, int *ret_family);
bool text_is_cidr(struct slice s, int *ret_family);
/* What is wrong with a new address or network, NULL when nothing: they must not be readable in two ways. */
const char *ip_problem(struct slice s);
const char *cidr_problem(struct slice s);

/* metadata of any object. */
void validate_metadata(struct validation *v, const struct resource *res, const struct json *obj);
void validate_metadata_update(struct validation *v, const struct resource *res, bool main, const struct json *obj,
                              const struct json *old);
/* NULL when a finalizer's name is fine, else why not. */
const char *validate_finalizer(struct slice s);
/* A map of labels at a place. */
void validate_labels(struct validation *v, const struct place *at, const struct json *labels);
/* True when v is absent, null, "", [] or {}. */
bool is_blank(const struct json *v);
/* Adds an Invalid error when the number is outside min … max (absent is fine). */
void check_range(struct validation *v, const struct place *at, const struct json *value, int64_t min, int64_t max);

#endif

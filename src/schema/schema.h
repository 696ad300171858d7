/* Kubernetes types and resources as data: the one description every module above walks objects by.
 *
 * tables.c holds the built-in ones; generate.py makes it from the tables of src/schema/tables. A
 * CustomResourceDefinition compiles to the same structs at run time, so that no code may assume a type or resource
 * is one of the built-in: pass the pointers around, compare pointers of types never, look names up through the
 * functions below for built-in kinds and through the API server's catalog for all.
 *
 * Happy path: resource_find(group, version, plural) for a request, res->type for its objects' schema,
 * schema_field_find for each member on the way down.
 *
 * Everything here is immutable; the built-in tables live for ever, a custom resource's as long as its owner says.
 * Any thread. */
#ifndef PINTLE_SCHEMA_SCHEMA_H
#define PINTLE_SCHEMA_SCHEMA_H

#include "base/slice.h"

/* ---- types ---- */

/* What a value is on the wire. */
enum schema_kind {
    SCHEMA_STRING,
    SCHEMA_BOOL,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_DOUBLE,
    SCHEMA_QUANTITY,      /* string or number; written in canonical form */
    SCHEMA_INT_OR_STRING, /* integer or string such as "25%" */
    SCHEMA_TIME,          /* RFC 3339, whole seconds */
    SCHEMA_MICRO_TIME,    /* RFC 3339, six digits */
    SCHEMA_DURATION,      /* Go's text: "1h30m" */
    SCHEMA_BYTES,         /* base64 */
    SCHEMA_RAW,           /* any JSON object */
    SCHEMA_ANY,           /* any JSON value */
    SCHEMA_REF,           /* an object of field->type */
    SCHEMA_ARRAY,         /* of field->item */
    SCHEMA_MAP,           /* string keys, values of field->item */
};

enum schema_field_flag {
    SCHEMA_REQUIRED = 1,    /* OpenAPI: must be there */
    SCHEMA_OMIT_EMPTY = 2,  /* the zero value is not written; does not drop a plain REF or TIME */
    SCHEMA_OMIT_ZERO = 4,   /* an empty REF or zero TIME is not written */
    SCHEMA_POINTER = 8,     /* absent and zero differ: zero is written when set */
    SCHEMA_INLINE = 16,     /* in `own` only: its type's fields stand flattened in the JSON object */
    SCHEMA_NULLABLE = 32,   /* custom resources: null is a value that is kept */
    SCHEMA_ENUM_KNOWN = 64, /* enums lists known constants, which are not enforced by OpenAPI */
};

/* How lists and maps are merged by server-side apply. */
enum schema_list_type { SCHEMA_LIST_NONE, SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP, SCHEMA_GRANULAR };

enum schema_patch { SCHEMA_PATCH_MERGE = 1, SCHEMA_PATCH_REPLACE = 2, SCHEMA_PATCH_RETAIN_KEYS = 4 };

struct schema_type;
struct schema_rules; /* further limits, patterns and expressions of a custom resource; NULL on built-in fields */

struct schema_field {
    struct slice name; /* JSON name; "" for an item */
    uint8_t kind;      /* enum schema_kind */
    uint8_t flags;     /* enum schema_field_flag */
    uint8_t list_type; /* enum schema_list_type; SCHEMA_LIST_NONE on an ARRAY means atomic, on a MAP or REF granular */
    uint8_t patch;     /* enum schema_patch, strategic merge patch */
    uint16_t pb;       /* protobuf number, 0 = not in protobuf */
    const struct schema_type *type;  /* REF */
    const struct schema_field *item; /* ARRAY, MAP: what it holds (itself perhaps an ARRAY, MAP or REF) */
    const char *const *list_keys;    /* SCHEMA_LIST_MAP: key members, NULL-terminated */
    const char *merge_key;           /* strategic merge patch, or NULL */
    const char *const *enums;        /* allowed or known values, NULL-terminated, or NULL */
    const char *default_json;        /* JSON text of the OpenAPI default, or NULL */
    const struct schema_rules *rules;
};

enum schema_type_flag {
    SCHEMA_PRESERVE_UNKNOWN = 1, /* unknown members are kept */
    SCHEMA_EMBEDDED = 2,         /* holds apiVersion, kind and metadata of its own */
    SCHEMA_ATOMIC = 4,           /* server-side apply treats it as one value */
    SCHEMA_DEFAULTED = 8,        /* defaults may apply to it or below it */
    SCHEMA_CUSTOM = 16,          /* of a custom resource: default_json of its fields applies */
};

enum schema_when { SCHEMA_WHEN_UNSET, SCHEMA_WHEN_EMPTY, SCHEMA_ALWAYS };

/* One row of tables/defaults.tsv; its first line says what the texts mean. */
struct schema_default {
    const char *path;
    enum schema_when when;
    const char *condition, *value;
};

/* One row of tables/validation.tsv: at path below an object of the type, the check of object/validate*.c. */
struct schema_rule {
    const char *path, *check, *argument;
};

struct schema_type {
    const char *name;                  /* full name such as "io.k8s.api.core.v1.PodSpec" */
    const struct schema_field *fields; /* in wire order, inlined ones flattened */
    const uint16_t *by_name;           /* numbers of fields in byte order of their names */
    const struct schema_field *own;    /* as protobuf nests them: SCHEMA_INLINE members instead of flattened ones */
    uint16_t n_fields, n_own;
    uint16_t n_defaults, n_checks;
    uint8_t flags; /* enum schema_type_flag */
    const struct schema_default *defaults;
    const struct schema_rule *checks;
    const struct schema_rules *rules;
};

/* The field called name, or NULL. Names are case-sensitive. */
const struct schema_field *schema_field_find(const struct schema_type *t, struct slice name);
/* A built-in type by its full name, or NULL. */
const struct schema_type *schema_type_find(struct slice name);
/* The part of a type's name that Go calls it by: "PodSpec". */
const char *schema_short_name(const struct schema_type *t);

/* ---- resources ---- */

enum resource_verb {
    VERB_GET = 1,
    VERB_LIST = 2,
    VERB_WATCH = 4,
    VERB_CREATE = 8,
    VERB_UPDATE = 16,
    VERB_PATCH = 32,
    VERB_DELETE = 64,
    VERB_DELETECOLLECTION = 128,
};

/* When metadata.generation grows (it starts at 1 unless said otherwise). */
enum resource_generation {
    GENERATION_NONE,                /* the kind has none */
    GENERATION_CONSTANT,            /* 1 for ever */
    GENERATION_SPEC,                /* spec changes */
    GENERATION_SPEC_FROM_ZERO,      /* the same, not set on create */
    GENERATION_SPEC_OR_ANNOTATIONS, /* spec or metadata.annotations change */
    GENERATION_WEBHOOKS,            /* webhooks changes */
    GENERATION_TEMPLATE,            /* template changes */
    GENERATION_CONTENT_OR_LABELS,   /* anything but metadata, or metadata.labels, changes */
    GENERATION_CONTENT,             /* anything but metadata (and status, when there is a status subresource) */
};

/* What a create does with the client's status. */
enum resource_status_create { STATUS_AS_GIVEN, STATUS_CLEARED, STATUS_BY_KIND /* by code of its own */ };

enum resource_propagation { PROPAGATION_BACKGROUND, PROPAGATION_ORPHAN, PROPAGATION_UNSUPPORTED };

/* Which rule metadata.name follows. */
enum resource_name_rule {
    NAME_SUBDOMAIN, /* RFC 1123 subdomain, max 253 */
    NAME_LABEL,     /* RFC 1123 label, max 63 */
    NAME_SEGMENT,   /* path segment: not "." or "..", no "/" or "%" */
    NAME_IP,        /* canonical IP address */
    NAME_CRD,       /* <plural>.<group>: a subdomain, further checked by the kind */
    NAME_ANY,
};

struct resource_sub {
    const char *name;                   /* "status", "scale", "log" … */
    const char *group, *version, *kind; /* of its body */
    unsigned verbs;                     /* enum resource_verb */
    const struct schema_type *type;     /* of its body */
};

/* A field label that lists can be selected by, beside metadata.name and metadata.namespace. */
struct resource_selectable {
    const char *label;    /* as in a field selector */
    const char *path;     /* where the value stands: "spec.nodeName", "status.podIPs[0].ip"; more than one path
                           * joined by "|" means the first non-empty; "" always gives an empty value */
    const char *fallback; /* text when nothing stands there: "", "false", "0" */
};

struct resource_column {
    const char *name;
    const char *type;   /* string, integer, number, boolean, date */
    const char *format; /* "name" or "" */
    const char *description;
    int priority;     /* 0 = always shown, > 0 only with -o wide */
    const char *cell; /* expression: see object/print.h */
};

struct resource {
    uint16_t index;               /* dense: built-in ones are 0 … resource_count() - 1 and never change in a version;
                                   * custom ones follow */
    const char *group, *version;  /* group "" = core */
    const char *api_version;      /* "v1", "apps/v1" */
    const char *kind, *list_kind; /* list_kind "" = cannot be listed */
    const char *plural, *singular;
    const char *const *short_names; /* NULL-terminated */
    const char *const *categories;  /* NULL-terminated */
    bool namespaced;
    bool virtual;              /* never stored: reviews, bindings, ComponentStatus */
    bool create_on_update;     /* PUT to an absent name creates */
    bool unconditional_update; /* PUT without resourceVersion is allowed */
    bool returns_deleted;      /* DELETE answers with the last state, not with a Status */
    bool update_keeps_status;  /* PUT on the main resource leaves status as stored */
    uint8_t generation;        /* enum resource_generation */
    uint8_t status_create;     /* enum resource_status_create */
    uint8_t propagation;       /* enum resource_propagation, when a DELETE names none */
    uint8_t name_rule;         /* enum resource_name_rule */
    uint16_t name_max;         /* 0 = as name_rule says */
    unsigned verbs;            /* enum resource_verb */
    const char *storage_hash;  /* storageVersionHash of discovery, or "" */
    const struct schema_type *type;
    const struct resource *storage; /* whose objects these are: itself, or the version that is stored */
    const struct resource_sub *subs;
    size_t n_subs;
    const struct resource_selectable *selectable;
    size_t n_selectable;
    const struct resource_column *columns;
    size_t n_columns;
    const char *const
        *status_keeps; /* PUT on /status takes these paths from the stored object: "spec", "metadata.labels" */
    const char *const *reset_main;   /* paths no manager owns after an apply to the main resource */
    const char *const *reset_status; /* and to /status; "" in status_keeps or reset_status: all but status */
};

size_t resource_count(void);
/* i < resource_count(); in discovery order. */
const struct resource *resource_at(size_t i);
/* NULL when there is none. */
const struct resource *resource_find(struct slice group, struct slice version, struct slice plural);
/* The same in the core group's "v1". */
const struct resource *resource_core(const char *plural);
const struct resource *resource_by_kind(struct slice group, struct slice version, struct slice kind);
/* The same by "apps/v1" or "v1". */
const struct resource *resource_by_api_version(struct slice api_version, struct slice kind);
/* The subresource, or NULL. */
const struct resource_sub *resource_sub_find(const struct resource *r, struct slice name);
/* True when r has a status subresource. */
bool resource_has_status(const struct resource *r);

/* Splits "apps/v1" or "v1" (group ""). False when there are more slashes or the version is empty. */
bool api_version_split(struct slice api_version, struct slice *ret_group, struct slice *ret_version);

/* Text of a set of verbs as discovery sorts it: create, delete, deletecollection, get, list, patch, update, watch.
 * Returns the number of names put into out. */
size_t verb_names(unsigned verbs, const char *out[8]);
/* One verb's bit by its name; 0 when unknown. */
unsigned verb_by_name(struct slice name);

/* ---- API groups, in discovery order ---- */

struct api_group {
    const char *name;            /* "" = core, first */
    const char *const *versions; /* preferred first, NULL-terminated */
    int group_priority;          /* APIService spec.groupPriorityMinimum */
    int version_priority;        /* of the preferred version; each next one less */
};

size_t api_group_count(void);
const struct api_group *api_group_at(size_t i);
const struct api_group *api_group_find(struct slice name);

/* ---- what OpenAPI tells beside types ---- */

/* One row of tables/operations.tsv. */
struct api_operation {
    const char *method; /* lower case */
    const char *path;   /* "/api/v1/namespaces/{namespace}/pods/{name}" */
    const char *action; /* get, list, put …, or "" */
    const char *id;
    const char *group, *version, *kind; /* what it is about; kind "" = nothing */
    const struct schema_type *body;     /* or NULL */
    bool patch;                         /* the body is a patch */
    const struct schema_type *answer;   /* of a success; NULL = text */
    unsigned codes;                     /* of a success: 1 = 200, 2 = 201, 4 = 202 */
    const char *consumes, *produces;    /* media types joined by "," */
    const char *query;                  /* "name:type" joined by "," */
};
extern const struct api_operation api_operations[]; /* sorted by path */
extern const size_t api_n_operations;

/* The sentence of tables/descriptions.tsv for a type's or field's name ("Pod", "metadata", "Probe.path"), or NULL. */
const char *schema_description(const char *name);

/* ---- objects every cluster starts with ---- */

/* Complete objects as JSON text, in the order to create them; made by the server when absent. */
extern const struct slice bootstrap_rbac[]; /* ClusterRoles, Roles and their bindings; reconciled at each start */
extern const size_t bootstrap_n_rbac;
extern const struct slice bootstrap_objects[]; /* namespaces, priority classes, flow schemas … */
extern const size_t bootstrap_n_objects;

#endif

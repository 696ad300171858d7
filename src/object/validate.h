/* Validation: an object's meaning, after its types (object/check.h) and defaults are right.
 *
 * All errors of an object are collected into one 422 Invalid with a cause each, in Kubernetes' shape:
 * `Deployment.apps "web" is invalid: spec.selector: Required value`, or `[a, b]` for several. Rules are rows: a path
 * pattern, a check, its argument; what no row can say is a named function of the kind. old is the stored object on
 * updates, and rules of immutability apply then. */
#ifndef PINTLE_OBJECT_VALIDATE_H
#define PINTLE_OBJECT_VALIDATE_H

#include "base/status.h"
#include "codec/json.h"
#include "schema/schema.h"

/* Collects errors. Zero it before use; set arena. */
struct validation {
    struct arena *a;
    struct status st; /* its causes; code stays 0 until validation_result */
};

/* Adds an error. path: the field, such as "spec.ports[0].port". value: the value at fault as JSON, or NULL. */
void validation_required(struct validation *v, const char *path, const char *detail);
void validation_invalid(struct validation *v, const char *path, const struct json *value, const char *detail);
void validation_not_supported(struct validation *v, const char *path, const struct json *value,
                              const char *const *supported);
void validation_forbidden(struct validation *v, const char *path, const char *detail);
void validation_duplicate(struct validation *v, const char *path, const struct json *value);
void validation_not_found(struct validation *v, const char *path, const struct json *value);
void validation_too_long(struct validation *v, const char *path, int64_t max);
void validation_too_many(struct validation *v, const char *path, int64_t n, int64_t max);

/* Turns what was collected into a 422 for the object; 0 when there were no errors. */
int validation_result(struct validation *v, const struct resource *res, const struct json *obj, struct status *ret);

/* All rules of a create. 0 or 422. */
int validate_create(struct arena *a, const struct resource *res, const struct json *obj, struct status *st);
/* All rules of an update; sub is the subresource written to ("" = the main resource). 0 or 422. */
int validate_update(struct arena *a, const struct resource *res, struct slice sub, const struct json *obj,
                    const struct json *old, struct status *st);

/* A pod's quality of service by what its containers ask for: Guaranteed, Burstable or BestEffort. */
const char *validate_qos_class(const struct json *pod);

/* ---- name rules: NULL when s is fine, else the message Kubernetes gives ---- */
const char *validate_subdomain(struct slice s);      /* RFC 1123 subdomain, ≤ 253 */
const char *validate_label_name(struct slice s);     /* RFC 1123 label, ≤ 63 */
const char *validate_label_1035(struct slice s);     /* RFC 1035 label, ≤ 63 */
const char *validate_path_segment(struct slice s);   /* not "." or "..", no "/" or "%" */
const char *validate_qualified_name(struct slice s); /* [subdomain/]name: label and annotation keys */
const char *validate_label_value(struct slice s);    /* "" or ≤ 63 */
const char *validate_port_name(struct slice s);      /* IANA service name, ≤ 15 */
/* metadata.name of a kind. */
const char *validate_name(const struct resource *res, struct slice name);

#endif

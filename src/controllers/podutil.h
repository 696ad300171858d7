/* What several controllers ask about pods and templates. */
#ifndef PINTLE_CONTROLLERS_PODUTIL_H
#define PINTLE_CONTROLLERS_PODUTIL_H

#include "codec/json.h"

/* The status condition of this type, or NULL. */
const struct json *condition_get(const struct json *obj, const char *type);
bool condition_is(const struct json *obj, const char *type, const char *status);
/* Sets a condition in the array; lastTransitionTime moves only when status changes. Returns whether anything changed. */
bool condition_set(struct arena *a, struct json *conditions, const char *type, const char *status, const char *reason,
                   const char *message, int64_t now);
/* Ready, and not being deleted. */
bool pod_is_ready(const struct json *pod);
/* Ready for at least min_seconds. *ret_wait_ms (may be NULL) is raised/lowered to when it could become so. */
bool pod_is_available(const struct json *pod, int64_t min_seconds, int64_t now, uint64_t *ret_wait_ms);
/* Neither Succeeded nor Failed nor being deleted. */
bool pod_is_active(const struct json *pod);
/* A new pod from obj.spec.template, controlled by obj, with generateName "NAME-". */
struct json *pod_from_template(struct arena *a, const struct json *obj, const struct json *template);
/* Deeply equal templates, the label pod-template-hash left aside. */
bool template_equal(struct arena *a, const struct json *x, const struct json *y);

#endif

/* IntOrString: a number or a string such as "25%" or a port's name. Pure functions over JSON, any thread. */
#ifndef PINTLE_OBJECT_INTSTR_H
#define PINTLE_OBJECT_INTSTR_H

#include "codec/json.h"

/* The number when v is an integer, or a string that is wholly one (0 otherwise). */
int64_t intstr_int(const struct json *v);
/* True when v is a string of the form "<digits>%". */
bool intstr_is_percent(const struct json *v, int64_t *ret_percent);
/* v of total: the number itself, or the percentage scaled, rounded up or down. 0, or -EINVAL when v is neither a
 * number nor a percentage. An absent v counts as 0. */
int intstr_scaled(const struct json *v, int64_t total, bool round_up, int64_t *ret);

#endif

/* The defaulting rules that no table can say: functions called by name from tables/defaults.tsv. For defaults.c only. */
#ifndef PINTLE_OBJECT_DEFAULTS_KINDS_H
#define PINTLE_OBJECT_DEFAULTS_KINDS_H

#include "codec/json.h"

/* Works on one object of the rule's type, in place. now: nanoseconds, wall clock. */
typedef void defaults_function(struct arena *a, struct json *obj, int64_t now);

/* NULL when there is none of that name. */
defaults_function *defaults_function_find(struct slice name);

#endif

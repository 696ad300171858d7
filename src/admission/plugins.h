/* The admission plugins that have files of their own, and what plugins share. Rows of the table in admission.c. */
#ifndef PINTLE_ADMISSION_PLUGINS_H
#define PINTLE_ADMISSION_PLUGINS_H

#include "admission/admission.h"

/* Whether the request is about a resource itself, not about a subresource of it. */
bool admission_is(const struct admission *ad, const char *group, const char *plural);
/* Sets *st to 403 `PLURAL "NAME" is forbidden: WHY`; returns 403. */
int admission_forbidden(struct admission *ad, struct status *st, const char *why);

/* LimitRanger (limits.c): default requests and limits of containers; what pods and claims may ask for. */
int limit_ranger_mutate(struct admission *ad, struct status *st);
int limit_ranger_validate(struct admission *ad, struct status *st);

/* RuntimeClass (runtime_class.c): a pod gets the overhead and the place of the class it names. */
int runtime_class_mutate(struct admission *ad, struct status *st);
int runtime_class_validate(struct admission *ad, struct status *st);

#endif

/* What kubectl's server-side apply is allowed for the sake of objects that were applied client-side before.
 *
 * `kubectl apply` keeps what it applied last in an annotation. When the same user turns to --server-side (manager
 * "kubectl"), the fields that annotation names, and that nobody has changed since, were theirs all along: to apply them
 * is
 * no conflict, whoever managedFields says owns them. And the annotation is kept up to date, so that the user may go
 * back.
 * Other managers, and objects without the annotation, are none of this. */
#ifndef PINTLE_OBJECT_APPLY_KUBECTL_H
#define PINTLE_OBJECT_APPLY_KUBECTL_H

#include "object/apply.h"

/* The fields rq may take without a conflict, in a; NULL = none. */
const struct json *apply_kubectl_allowed(struct arena *a, const struct apply_request *rq, const struct json *live);
/* Writes the annotation of merged anew, from what was applied. */
void apply_kubectl_note(struct arena *a, const struct apply_request *rq, const struct json *live,
                        const struct json *patch, struct json *merged);

#endif

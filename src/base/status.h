/* The answer to a failed API request, as Kubernetes shapes it (meta/v1 Status): an HTTP code, a reason a program can
 * switch on, a message for people, and causes that name the fields at fault.
 *
 * Inside the program errors are an int, 0 or a negative errno; a status is made at the API's edge and travels from
 * there outward. Text lives in the arena given to the maker. A zeroed status (code 0) means success. */
#ifndef PINTLE_BASE_STATUS_H
#define PINTLE_BASE_STATUS_H

#include "base/arena.h"

enum { STATUS_CAUSES_MAX = 64 };

struct status_cause {
    const char *reason; /* e.g. "FieldValueRequired" */
    const char *message;
    const char *field; /* e.g. "spec.containers[0].name"; may be "" */
    struct status_cause *next;
};

struct status {
    int code;           /* HTTP status; 0 = success */
    const char *reason; /* e.g. "NotFound"; "" when Kubernetes gives none */
    const char *message;
    const char *name;  /* details.name, or NULL */
    const char *group; /* details.group, or NULL */
    const char *kind;  /* details.kind, or NULL (for NotFound and Conflict: the plural resource name) */
    const char *uid;   /* details.uid, or NULL */
    int retry_after;   /* seconds; 0 = none */
    unsigned n_causes;
    struct status_cause *causes, **causes_end;
};

/* Sets code, the reason that Kubernetes uses for that code, and a message. Returns st->code for `return`. */
int status_set(struct status *st, struct arena *a, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with a reason of its own. */
int status_set_reason(struct status *st, struct arena *a, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Adds a cause; past STATUS_CAUSES_MAX it is dropped. Strings must live as long as the arena. */
void status_cause(struct status *st, struct arena *a, const char *reason, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The reason Kubernetes gives an HTTP code, e.g. 404 → "NotFound"; "" when it has none. */
const char *status_reason(int code);
/* 404 for one object: `pods "web" not found`. group may be "". */
int status_not_found(struct status *st, struct arena *a, struct slice group, struct slice plural, struct slice name);
/* An errno from below as a 5xx/4xx: ENOSPC 507, ENOMEM 503, ETIMEDOUT 504, others 500. err is negative. */
int status_errno(struct status *st, struct arena *a, int err, const char *what);

#endif

/* Reading the past: what `pintleAsOf=<revision or RFC 3339 time>` on an ordinary GET or LIST means.
 *
 * The event window is the past that there is (--history-window-bytes, --history-window-age). What is older answers 410.
 * Who may read the present may read the past: RBAC is asked as it is now. The answer carries a Warning that says which
 * moment it shows, so that nobody takes it for the present. Thread: the state loop's. */
#ifndef PINTLE_APISERVER_PAST_H
#define PINTLE_APISERVER_PAST_H

#include "apiserver/internal.h"

/* Of a request without the parameter 0. Refuses it where it makes no sense: 400 in *st. */
int api_past_check(struct api_request *r, struct status *st);
/* The revision r asks for, and the Warning; once the local state is fresh. 0, or 400 or 410 in *st. */
int api_past_revision(struct api_request *r, uint64_t *ret, struct status *st);

#endif

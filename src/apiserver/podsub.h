/* What the writes to pods by way of subresources share: binding (podsub.c) and eviction (evict.c). */
#ifndef PINTLE_APISERVER_PODSUB_H
#define PINTLE_APISERVER_PODSUB_H

#include "apiserver/write.h"

/* Answers 201 with a Status Success, as struct write's reply and reply_dry. */
void api_pod_success(struct api_request *r, struct write *w, const struct store_item *item, bool created);
void api_pod_success_dry(struct api_request *r, struct write *w, const struct json *obj);
/* Sets or replaces the condition of this type in obj's status: True, from now on. reason, message: may be NULL. */
void api_pod_condition(struct api_request *r, struct json *obj, const char *type, const char *reason,
                       const char *message);

#endif

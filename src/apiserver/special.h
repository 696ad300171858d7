/* Resources and subresources that are no plain read or write of a stored object: one row each in special.c. */
#ifndef PINTLE_APISERVER_SPECIAL_H
#define PINTLE_APISERVER_SPECIAL_H

#include "apiserver/write.h"

/* scale.c */
void api_scale(struct api_request *r);
/* podsub.c */
void api_bind(struct api_request *r);
void api_evict(struct api_request *r);
/* token.c */
void api_token_request(struct api_request *r);
void api_token_review(struct api_request *r);
/* componentstatus.c */
void api_component_statuses(struct api_request *r);
/* review.c */
void api_access_review(struct api_request *r);
void api_rules_review(struct api_request *r);
void api_self_review(struct api_request *r);
/* nodeproxy.c */
void api_pod_log(struct api_request *r);
void api_pod_stream(struct api_request *r);
/* proxy.c */
void api_proxy(struct api_request *r);

#endif

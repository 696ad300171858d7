/* What the files of strategy*.c share: the one write that a kind's own code prepares. */
#ifndef PINTLE_APISERVER_STRATEGY_H
#define PINTLE_APISERVER_STRATEGY_H

#include "apiserver/write.h"

struct strategy {
    struct api_request *r;
    struct write *w;
    struct json *obj;
    const struct json *old; /* NULL on create */
    struct status *st;
};

/* Services (strategy_service.c). 0, or an HTTP error with s->st set. */
int strategy_service(struct strategy *s);
/* Pods on their creation (strategy_pod.c). 0. */
int strategy_pod(struct strategy *s);
/* Conditions of a CertificateSigningRequest (strategy_sub.c): stamped; a write to /status keeps the stored verdicts. */
void strategy_csr_conditions(struct strategy *s);

#endif

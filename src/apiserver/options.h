/* The rules of a request's options: which may stand together, and what each may say. What breaks one is a 422 of
 * ListOptions, CreateOptions, UpdateOptions, PatchOptions or DeleteOptions in group meta.k8s.io, with a cause for each
 * option at fault, as clients know it from Kubernetes. They are looked at before anything is read or written.
 *
 * Each returns 0, or 422 with *st set in r's arena. */
#ifndef PINTLE_APISERVER_OPTIONS_H
#define PINTLE_APISERVER_OPTIONS_H

#include "apiserver/request.h"

enum { FIELD_MANAGER_MAX = 128 };

/* DeleteOptions, from the body or the query. */
struct delete_options {
    int64_t grace;            /* seconds, -1 = the kind's */
    struct slice propagation; /* Background, Foreground, Orphan or empty */
    struct slice uid;         /* preconditions */
    struct slice revision;
    bool dry_run;
};

/* Of a list or a watch: resourceVersionMatch and sendInitialEvents. */
int api_check_list_options(struct api_request *r, struct status *st);
/* Of a create, update or patch: fieldManager, dryRun, fieldValidation, force. */
int api_check_write_options(struct api_request *r, struct status *st);
/* Reads a delete's options, v (from the body, may be NULL) before the query; sets r's dry run. */
int api_delete_options(struct api_request *r, const struct json *v, struct delete_options *ret, struct status *st);

#endif

/* The functions of the built-in controllers that table.c puts together. */
#ifndef PINTLE_CONTROLLERS_BUILTIN_H
#define PINTLE_CONTROLLERS_BUILTIN_H

#include "controllers/runtime.h"

void replicaset_reconcile(struct reconcile *r);
void replicaset_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before);

void replicationcontroller_reconcile(struct reconcile *r);
void replicationcontroller_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod,
                                   const struct json *before);

void deployment_reconcile(struct reconcile *r);
void deployment_map_replicaset(struct key_sink *sink, struct arena *a, const struct json *rs,
                               const struct json *before);
void deployment_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before);

void endpoints_reconcile(struct reconcile *r);
void endpoints_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before);
void endpoints_map_slice(struct key_sink *sink, struct arena *a, const struct json *slice, const struct json *before);

void mirror_reconcile(struct reconcile *r);
void mirror_map_slice(struct key_sink *sink, struct arena *a, const struct json *slice, const struct json *before);

void namespace_reconcile(struct reconcile *r);

void serviceaccount_reconcile(struct reconcile *r);
void serviceaccount_map(struct key_sink *sink, struct arena *a, const struct json *obj, const struct json *before);
void rootca_reconcile(struct reconcile *r);
void rootca_map(struct key_sink *sink, struct arena *a, const struct json *obj, const struct json *before);

void gc_reconcile(struct reconcile *r);
void gc_map(struct key_sink *sink, struct arena *a, const struct resource *res, const struct json *obj, bool gone);

void nodelifecycle_reconcile(struct reconcile *r);
void nodelifecycle_map_lease(struct key_sink *sink, struct arena *a, const struct json *lease,
                             const struct json *before);
void nodelifecycle_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before);
void podgc_reconcile(struct reconcile *r);
void podgc_map_node(struct key_sink *sink, struct arena *a, const struct json *node, const struct json *before);

void disruption_reconcile(struct reconcile *r);
void disruption_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before);

void claimprotection_reconcile(struct reconcile *r);
void claimprotection_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before);
void volumeprotection_reconcile(struct reconcile *r);

void quota_reconcile(struct reconcile *r);
void quota_map_object(struct key_sink *sink, struct arena *a, const struct json *obj, const struct json *before);
void quota_map_pod(struct key_sink *sink, struct arena *a, const struct json *pod, const struct json *before);

#endif

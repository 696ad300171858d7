/* Volumes of pods: emptyDir (disk and memory), hostPath (with its types), configMap, secret, downwardAPI, projected
 * (serviceAccountToken, configMap, secret, downwardAPI).
 *
 * Happy path: volumes_prepare fetches what the pod refers to, writes DATA/pods/UID/volumes/NAME, and calls done; mounts
 * then
 * come from volume_host_path. Files of configMap, secret and projected volumes are written aside and switched by
 * renaming
 * the link "..data", so that readers see all of the old or all of the new content; modes and fsGroup are applied.
 * volumes_refresh does that again when content changed, and renews tokens at 80 % of their life (checked each minute
 * for
 * every prepared pod). volumes_remove unmounts and deletes.
 *
 * Failures: a missing ConfigMap, Secret or key (not optional), a hostPath of the wrong type: done(ctx, err, message)
 * with
 * the words that belong into the pod's event; the caller tries again later. Files are written on the pool.
 * Thread: the loop's. */
#ifndef PINTLE_AGENT_VOLUMES_H
#define PINTLE_AGENT_VOLUMES_H

#include "agent/agent.h"

struct volumes *volumes_new(struct agent *agent);
void volumes_free(struct volumes *v);
/* pod is copied. done runs exactly once, unless volumes_remove came first. Preparing a prepared pod refreshes it. */
void volumes_prepare(struct volumes *v, const struct json *pod, void (*done)(void *ctx, int err, const char *message),
                     void *ctx);
/* Where a volume's content is on the host; out gets at most n bytes. 0, or -ENOENT when the pod has no such volume. */
int volumes_host_path(const struct volumes *v, const struct json *pod, struct slice volume, char *out, size_t n);
/* Whether the agent may mount: it runs as root. */
bool volumes_may_mount(const struct volumes *v);
/* Deletes a pod's volumes and unmounts their parts (subpath.h); done runs once they are gone (err: what was left). uid as text. */
void volumes_remove(struct volumes *v, struct slice uid, void (*done)(void *ctx, int err, const char *message),
                    void *ctx);
/* The value of an env entry's valueFrom configMapKeyRef / secretKeyRef, or all of an envFrom's keys, comes from objects that
 * the agent fetches: calls done with the object (kind "configmaps" or "secrets"), or NULL when it does not exist, or
 * err.
 * Answers are shared for a short while (10 s). */
void volumes_fetch(struct volumes *v, const char *plural, struct slice ns, struct slice name,
                   void (*done)(void *ctx, int err, const struct json *obj), void *ctx);

#endif

/* Pulling an image with the credentials of a pod's imagePullSecrets.
 *
 * Happy path: the secrets are fetched, one after the other; of what they hold, the credentials for the image's registry
 * are
 * tried in their order until one works; without any, the image is pulled as anybody may.
 * Failures: a secret that is absent or holds nonsense is passed over, as Kubernetes does; when nothing works, the
 * runtime's last word is told. Thread: the loop's. */
#ifndef PINTLE_AGENT_PULL_H
#define PINTLE_AGENT_PULL_H

#include "agent/agent.h"
#include "codec/json.h"

enum { PULL_CREDENTIALS_MAX = 16 };

struct pull_credential {
    const char *username, *password;
};

/* Appends what a Secret (type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg) holds for the image's registry to
 * out, which has *n of at most PULL_CREDENTIALS_MAX entries; strings live in a.
 * https://kubernetes.io/docs/concepts/containers/images/#config-json */
void pull_credentials(struct arena *a, const struct json *secret, struct slice image, struct pull_credential *out,
                      size_t *n);

/* Pulls image for a pod; done as cri_call's, never inside this call. */
void image_pull(struct agent *agent, const struct json *pod, struct slice image, unsigned timeout_ms,
                void (*done)(void *ctx, int err, const char *message, const ProtobufCMessage *response), void *ctx);

#endif

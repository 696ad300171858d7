/* Probes: liveness, readiness and startup, by exec, httpGet, tcpSocket (and grpc as tcp connect).
 *
 * probes_watch begins for one running container; results that change (after successThreshold or failureThreshold in a
 * row)
 * are told to on_result. Readiness begins as failed, startup as failed, liveness as passed; until the startup probe
 * passed,
 * liveness and readiness do not run. Periods, delays and timeouts as the spec says; the first run of each is spread a
 * little.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
 * Thread: the loop's. */
#ifndef PINTLE_AGENT_PROBES_H
#define PINTLE_AGENT_PROBES_H

#include "agent/agent.h"

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS };

struct probe_watch;

struct probes *probes_new(struct agent *agent);
void probes_free(struct probes *p);
/* container: its spec (copied); id: the runtime's container id; ip: the pod's address. on_result(ctx, kind, ok, message):
 * message is for the event ("Readiness probe failed: …"). Returns a handle for probes_stop; NULL when it has no probes.
 */
struct probe_watch *probes_watch(struct probes *p, const struct json *container, const char *id, const char *ip,
                                 void (*on_result)(void *ctx, enum probe_kind kind, bool ok, const char *message),
                                 void *ctx);
void probes_stop(struct probe_watch *w);
/* Runs one handler once (lifecycle hooks use it): handler has exec, httpGet, tcpSocket or sleep. done(ctx, ok, message)
 * exactly once. */
void probes_run_handler(struct probes *p, const struct json *handler, const struct json *container, const char *id,
                        const char *ip, unsigned timeout_ms, void (*done)(void *ctx, bool ok, const char *message),
                        void *ctx);

#endif

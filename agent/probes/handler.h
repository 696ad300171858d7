/* One run of a probe's or hook's handler: exec, httpGet, tcpSocket, grpc, sleep. */
#ifndef PINTLE_AGENT_PROBES_HANDLER_H
#define PINTLE_AGENT_PROBES_HANDLER_H

#include "agent/probes/probes.h"

enum { PROBE_MESSAGE_MAX = 1024 };

struct handler_run;

/* done runs exactly once, in a later turn, unless cancelled. Never NULL. */
struct handler_run *handler_start(struct agent *agent, const struct json *handler, const struct json *container,
                                  const char *id, const char *ip, unsigned timeout_ms,
                                  void (*done)(void *ctx, bool ok, const char *message), void *ctx);
void handler_cancel(struct handler_run *r);

#endif

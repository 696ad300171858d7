/* The agent's HTTPS server, for the API server only (client certificate of group "pintle:servers", or a cluster
 * administrator's):
 *   GET  /containerLogs/NS/POD/CONTAINER?follow&tailLines&sinceSeconds&sinceTime&limitBytes&timestamps&previous
 *   *    /exec/NS/POD/CONTAINER?command=…, /attach/…, /portForward/NS/POD: Upgrade requests, passed as bytes to the runtime's
 *        streaming server (the URL that the CRI call gave)
 *   GET  /healthz, /metrics, /pods, /stats/summary
 * Logs are read from the runtime's log files (CRI format: time, stream, tag P or F, text), rotated ones included,
 * followed
 * by polling the file. Thread: the loop's; file reading on the pool. */
#ifndef PINTLE_AGENT_SERVER_H
#define PINTLE_AGENT_SERVER_H

#include "agent/agent.h"

int agent_server_new(struct agent *agent, struct agent_server **ret, char why[256]);
/* The port really bound, for listen addresses with port 0. */
unsigned agent_server_port(const struct agent_server *s);
void agent_server_free(struct agent_server *s);

#endif

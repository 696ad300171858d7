/* Services on this node, as rules of nftables (libnftables): ClusterIP, NodePort, externalIPs, session affinity by client
 * address, reject without endpoints, hairpin masquerade; and masquerade of pod traffic that leaves the cluster.
 *
 * One table "ip pintle" of our own; nothing else on the machine is touched. Verdict maps are keyed by address, protocol
 * and
 * port; one chain a service port spreads over its ready endpoints. Changes are collected for a moment (50 ms) and
 * applied as
 * one transaction that edits elements; the whole table is loaded at start. Rules are set on the pool (libnftables
 * blocks).
 * internalTrafficPolicy and externalTrafficPolicy Local use this node's endpoints only.
 *
 * Failures: a transaction that the kernel refuses is logged, and the whole table is loaded anew. On proxy_free the
 * rules
 * stay (pods keep talking); proxy_cleanup removes the table. Thread: the loop's. */
#ifndef PINTLE_AGENT_PROXY_H
#define PINTLE_AGENT_PROXY_H

#include "agent/agent.h"

/* 0, or negative errno with why (no nftables, no permission). */
int proxy_new(struct agent *agent, struct proxy **ret, char why[256]);
void proxy_free(struct proxy *p);
/* Deletes the table from the kernel; blocking. */
int proxy_cleanup(void);

#endif

/* Routes to the other nodes' pods: each node's pod range by way of its address (no overlay: nodes share a network). */
#ifndef PINTLE_AGENT_PROXY_ROUTES_H
#define PINTLE_AGENT_PROXY_ROUTES_H

#include "base/slice.h"

/* Replaces the route to an IPv4 range (as text, "10.244.2.0/24") by one through gateway. Blocking (rtnetlink). 0, -EINVAL,
 * or the kernel's error (-ENETUNREACH: the gateway is on no network of ours). */
int route_replace(const char *cidr, const char *gateway);

#endif

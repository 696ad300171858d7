/* The pod network's configuration for the CNI plugins that containerd runs: bridge with host-local addresses from this
 * node's pod CIDR, portmap for host ports, loopback. Written once at start, atomically. Blocking. */
#ifndef PINTLE_AGENT_CNI_H
#define PINTLE_AGENT_CNI_H

#include "loop/loop.h"

/* dir: containerd's CNI conf_dir; name: network and bridge are called after it (bridge: at most 15 characters);
 * data_dir: where host-local keeps its leases. 0 or negative errno. */
int cni_write_config(struct fs *fs, const char *dir, const char *name, const char *pod_cidr, const char *data_dir);

#endif

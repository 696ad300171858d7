/* From Services, EndpointSlices and Nodes to the text of an nftables table. Pure: the same objects give the same text. */
#ifndef PINTLE_AGENT_PROXY_RULES_H
#define PINTLE_AGENT_PROXY_RULES_H

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"

enum { RULES_TEXT_MAX = 64 << 20, RULES_PORTS_MAX = 64, RULES_ENDPOINTS_MAX = 1000 };

struct rules;

/* node_name, pod_cidr: ours; pod_cidr may be NULL. */
struct rules *rules_new(struct arena *a, const char *node_name, const char *pod_cidr);
void rules_add_node(struct rules *r, const struct json *node);
void rules_add_slice(struct rules *r, const struct json *slice);
/* After all slices. */
void rules_add_service(struct rules *r, const struct json *svc);
/* Appends the whole transaction. 0 or negative errno. */
int rules_write(struct rules *r, struct buf *out);

#endif

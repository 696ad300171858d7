/* What the protocols of this folder share about connections. */
#ifndef PINTLE_NET_CONN_IMPL_H
#define PINTLE_NET_CONN_IMPL_H

#include "net/conn.h"

/* A conn that reads nothing until somebody listens, then yields prefix (copied) and after that what below yields: for
 * a connection that changes hands, with bytes that were read beyond the head of an upgraded request or answer. Takes
 * below over. below must not have ended yet. */
struct conn *conn_prefixed(struct loop *l, struct conn *below, struct slice prefix);

#endif

/* Turns a fresh stream into a connection to a known peer: plain, or mutually authenticated TLS. */
#ifndef PINTLE_RAFT_SECURE_H
#define PINTLE_RAFT_SECURE_H

#include "net/conn.h"

/* done runs exactly once, without TLS inside the call, with a connection or a negative errno (s is closed then). tls NULL gives plain. */
void secure_accept(struct loop *l, void *tls, struct stream *s, void (*done)(void *ctx, int err, struct conn *c),
                   void *ctx);
void secure_connect(struct loop *l, void *tls, struct stream *s, void (*done)(void *ctx, int err, struct conn *c),
                    void *ctx);
/* Whether c may speak for member id: its certificate says so, or there is no TLS. */
bool secure_speaks_for(void *tls, const struct conn *c, uint64_t id);

#endif

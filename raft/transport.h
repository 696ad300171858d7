/* Connections between replicas.
 *
 * Each replica dials every other one and sends on what it dialled; it hears its peers on what it accepted. A link is
 * first in, first out. A broken link drops what it still had, and so does the receiver when the peer dials anew
 * (guard G5): libraft's pipeline relies on it. Dialling is repeated with growing pauses (50 ms to 1 s); pings show
 * within 2 s that a silent link is dead.
 *
 * With a TLS context every connection is mutually authenticated and the peer's certificate must speak for the member
 * that was dialled, or that says hello (guard G9); no frame is read before.
 *
 * After hello, and then every TRANSPORT_PING_MS, the dialler says what it is (format, data directory), and hears in
 * turn
 * what the listener is and whether it refuses the dialler.
 *
 * Snapshots travel on connections of their own (guard G8): transport_dial_snapshot, and on_snapshot at the other end.
 *
 * Identity is the id: a peer that says it is reached elsewhere than its membership entry says is dialled there too.
 *
 * Ownership: handlers are called on the loop's thread; transport_free may not be called from inside one. */
#ifndef PINTLE_RAFT_TRANSPORT_H
#define PINTLE_RAFT_TRANSPORT_H

#include "loop/loop.h"
#include "net/conn.h"
#include "raft/frame.h"

enum {
    TRANSPORT_QUEUE_MAX = 32 << 20,                /* bytes queued to one peer; more is dropped, as a network would */
    TRANSPORT_INCOMING_MAX = 4 * RAFT_MEMBERS_MAX, /* accepted connections */
    TRANSPORT_PEERS_MAX = 2 * RAFT_MEMBERS_MAX,    /* members and guests */
    TRANSPORT_RETRY_MIN_MS = 50,
    TRANSPORT_RETRY_MAX_MS = 1000,
    TRANSPORT_CONNECT_MS = 1000, /* to dial and shake hands */
    TRANSPORT_PING_MS = 500,
    TRANSPORT_SILENCE_MS = 2000, /* a link silent for so long is dead */
};

struct transport;

struct transport_handler {
    /* A frame of a peer; false ends the connection (it was not well formed). */
    bool (*on_frame)(void *ctx, uint64_t from, const struct frame *f);
    /* Fills in what a greeting says of our data directory. */
    void (*fill_greeting)(void *ctx, struct message *m);
    /* A peer said who it is (PING; the result goes back to it, and nothing more is heard from a peer that is refused), or
     * answered (PONG: m->refusal is its verdict on us). */
    enum refusal (*on_greeting)(void *ctx, uint64_t from, const struct message *m);
    /* The link from a peer broke, after having been up. */
    void (*on_lost)(void *ctx, uint64_t from);
    /* A replica that is no member we know of, but has the cluster's certificate for its id, dials: REFUSAL_NONE takes it as a
     * guest. A replica that was away while the membership changed hears of it from a leader it does not know. */
    enum refusal (*on_stranger)(void *ctx, uint64_t id);
    /* A peer wants to send a snapshot; c is the handler's, rest are bytes already read from it (valid in the call). */
    void (*on_snapshot)(void *ctx, uint64_t from, struct conn *c, struct slice rest);
};

struct transport_options {
    struct loop *loop;
    uint64_t cluster_id, id;
    const struct raft_member *members; /* others and ourselves, to begin with; copied */
    size_t n_members;
    const char *listen, *address; /* address: how others reach us */
    struct slice info;            /* must outlive the transport */
    uint8_t format;               /* newest one we know */
    void *tls;                    /* struct tls_context, or NULL */
    const struct transport_handler *handler;
    void *ctx;
};

/* Listens and starts dialling. 0 or a negative errno of loop_listen. */
int transport_new(const struct transport_options *o, struct transport **ret);
/* NULL is fine. */
void transport_free(struct transport *t);
/* Queues frames for a peer; takes over the references. Drops them when the link is down or full (false). */
bool transport_send(struct transport *t, uint64_t to, const struct chunk *chunks, size_t n);
bool transport_is_up(const struct transport *t, uint64_t to);
/* Others and ourselves, from now on. Links to those that are gone end. Not from inside a handler. */
void transport_set_members(struct transport *t, const struct raft_member *members, size_t n);
/* Where id is reached, as the members say, or as it told itself when it is a guest; "" when unknown. */
const char *transport_address(const struct transport *t, uint64_t id);
/* What a peer told of itself: its address ("" when nothing) and info. */
const char *transport_told(const struct transport *t, uint64_t id, struct slice *ret_info);
/* Whether a peer said that it keeps no state. */
bool transport_is_stateless(const struct transport *t, uint64_t id);
/* The newest format a peer said it knows on the present connections; 0 while it has said nothing. */
unsigned transport_format(const struct transport *t, uint64_t id);

/* A connection to a peer for a snapshot; hello has been sent. Nothing is called after transport_dial_cancel. */
struct transport_dial;
struct transport_dial *transport_dial_snapshot(struct transport *t, uint64_t to,
                                               void (*done)(void *ctx, int err, struct conn *c), void *ctx);
void transport_dial_cancel(struct transport_dial *d);

#endif

/* TLS 1.3 and 1.2 (OpenSSL 3) as a filter over streams, and the identities certificates carry.
 *
 * A context holds our certificate chain and key and the CAs we trust; it may be reloaded live, new handshakes use the
 * new files. Why a handshake failed goes to the log. With TLS 1.3 a client hears only after its handshake that the
 * server refused its certificate: then as on_end(-EKEYREJECTED). An end without TLS's own goodbye is
 * on_end(-ECONNRESET), as it may be an attacker's cut.
 *
 * A context and its conns belong to one thread; each loop has a context of its own. */
#ifndef PINTLE_NET_TLS_H
#define PINTLE_NET_TLS_H

#include "loop/loop.h"
#include "net/conn.h"

enum { TLS_ORGS_MAX = 16 };

/* Who a verified certificate speaks for. */
struct tls_identity {
    char common_name[256];
    char orgs[TLS_ORGS_MAX][128];
    size_t n_orgs;
    char fingerprint[65]; /* SHA-256 of the certificate, hex */
    int64_t not_after;    /* nanoseconds since 1970 */
};

struct tls_context;

struct tls_options {
    const char *cert_file; /* PEM chain, leaf first; NULL = none (client without a certificate) */
    const char *key_file;
    const char *ca_file; /* PEM bundle that peers' certificates must chain to; NULL = the system's (client) */
    bool verify_client;  /* server: ask for a client certificate and verify it when given */
    bool require_client; /* server: refuse clients without one */
    bool h2;             /* offer/accept "h2" by ALPN beside "http/1.1" */
    bool tls13_only;
    bool trust_anyone; /* client: takes any certificate; only for asking what is checked by other means */
};

/* 0 or negative errno; why (256 bytes) then says what is wrong with which file. */
int tls_context_new(const struct tls_options *o, struct tls_context **ret, char why[256]);
/* Reads the files again; on failure the old ones stay in use. */
int tls_context_reload(struct tls_context *t, char why[256]);
void tls_context_free(struct tls_context *t);
/* A client's side that takes any certificate, made at the first use and kept in *kept, whose owner frees it; NULL when it
 * cannot be made. For whoever wants to know whether somebody answers, not who. */
struct tls_context *tls_trusting(struct tls_context **kept);

enum { TLS_HANDSHAKE_MS = 10000 }; /* a handshake that takes longer fails with -ETIMEDOUT */

/* Server side of a handshake over s, which is taken over. on_ready runs exactly once: with a conn, or NULL and a
 * negative errno (then s is closed): -EKEYREJECTED when either side refuses the other's certificate, -EPROTO for other
 * TLS errors, -ETIMEDOUT, -ECONNRESET. The handle is for tls_cancel, valid until on_ready. */
typedef void tls_ready_fn(void *ctx, int err, struct conn *c);
struct tls_handshake;
struct tls_handshake *tls_accept(struct loop *l, struct tls_context *t, struct stream *s, tls_ready_fn *on_ready,
                                 void *ctx);
/* Client side. name: the DNS name or IP address the certificate must carry; NULL skips the name check (the caller
 * checks the identity itself). */
struct tls_handshake *tls_connect(struct loop *l, struct tls_context *t, struct stream *s, const char *name,
                                  tls_ready_fn *on_ready, void *ctx);
/* The same, offering only "http/1.1" whatever the context says: for upgrades. */
struct tls_handshake *tls_connect_http1(struct loop *l, struct tls_context *t, struct stream *s, const char *name,
                                        tls_ready_fn *on_ready, void *ctx);
/* Gives a handshake up and closes its stream; on_ready does not run. NULL is fine. */
void tls_cancel(struct tls_handshake *h);
/* The verified peer of a TLS conn; NULL when it gave no certificate or c is not TLS. Valid while c is open. */
const struct tls_identity *tls_peer(const struct conn *c);
/* "h2", "http/1.1" or "" */
const char *tls_alpn(const struct conn *c);

#endif

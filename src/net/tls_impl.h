/* What tls.c (contexts) and tls_conn.c (the filter) share. */
#ifndef PINTLE_NET_TLS_IMPL_H
#define PINTLE_NET_TLS_IMPL_H

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_context {
    unsigned refs;              /* the owner and each conn */
    SSL_CTX *ssl;               /* what new handshakes use */
    BIO_METHOD *bio;            /* reads from and writes to a tls_conn */
    struct list lingering;      /* refused peers that are still being told why */
    struct tls_options options; /* strings are our own copies */
};

/* In tls_conn.c: the methods of the BIO between OpenSSL and a tls_conn; NULL when memory is short. */
BIO_METHOD *tls_bio_method(void);
/* In tls_conn.c: closes what still lingers. */
void tls_close_lingering(struct tls_context *t);
void tls_context_unref(struct tls_context *t);
/* Fills who the certificate speaks for. False when its names cannot be trusted to mean what they show. */
bool tls_identity_of(X509 *cert, struct tls_identity *ret);
/* The same for a subject alone: without fingerprint and time. */
bool tls_identity_subject(X509_NAME *subject, struct tls_identity *ret);

#endif

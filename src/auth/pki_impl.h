/* What pki.c shares with jwt.c: OpenSSL's own types behind the opaque ones. */
#ifndef PINTLE_AUTH_PKI_IMPL_H
#define PINTLE_AUTH_PKI_IMPL_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "auth/pki.h"

struct pki_key {
    EVP_PKEY *pkey;
    bool is_private;
};

struct pki_pair {
    X509 *cert;
    EVP_PKEY *key;
};

struct pki_csr {
    X509_REQ *req;
};

#endif

/* Certificates and keys that the cluster makes itself: its certificate authorities, the certificates of servers, nodes
 * and administrators, and the key that signs ServiceAccount tokens.
 *
 * Happy path: pki_ca_create once; pki_issue for each party; pki_pair_write puts a pair on disk so that tls_context_new
 * can use it (the key readable by its owner alone, both files replaced whole or not at all); pki_pair_load reads it
 * again. Keys made here are ECDSA P-256. A node that keeps its key to itself sends a request (CSR): pki_csr_parse reads
 * who it asks to be, pki_sign_csr certifies that.
 *
 * Failures: -EINVAL for what is no certificate, key or request, or a name that does not fit; -ENOMEM when OpenSSL
 * fails; file errors as they are. Nothing here keeps state; blocking (file access, a few hundred µs for a key). Any
 * thread. */
#ifndef PINTLE_AUTH_PKI_H
#define PINTLE_AUTH_PKI_H

#include "base/buf.h"
#include "loop/loop.h"
#include "net/tls.h"

enum {
    PKI_NAMES_MAX = 32,      /* DNS names and IP addresses of a certificate, together */
    PKI_PEM_MAX = 256 << 10, /* bytes of a PEM file */
    PKI_CA_DAYS = 3650,
    PKI_BACKDATE_S = 300 /* certificates are valid from a little earlier, for clocks that lag */
};

struct pki_key;  /* a private key, or a public one to verify with */
struct pki_pair; /* a certificate with its private key */

struct pki_request {
    const char *common_name; /* 1 to 64 bytes, or longer up to 255: X.509's own limit is not kept by Kubernetes */
    const char *const *orgs;
    size_t n_orgs; /* at most TLS_ORGS_MAX */
    const char *const *dns;
    size_t n_dns;
    const char *const *ips; /* as text */
    size_t n_ips;
    bool server, client; /* what the certificate may be used for */
    unsigned days;       /* from now on */
};

/* A new certificate authority. now: loop_wall. 0, -EINVAL, -ENOMEM. */
int pki_ca_create(const char *common_name, unsigned days, int64_t now, struct pki_pair **ret);
/* A new key and its certificate, signed by ca. The certificate never outlives its ca. */
int pki_issue(const struct pki_pair *ca, const struct pki_request *r, int64_t now, struct pki_pair **ret);
void pki_pair_free(struct pki_pair *p);

/* Appends PEM text. */
int pki_pair_cert_pem(const struct pki_pair *p, struct buf *out);
int pki_pair_key_pem(const struct pki_pair *p, struct buf *out);
/* Writes both files, the key first, each whole or not at all. */
int pki_pair_write(const struct pki_pair *p, struct fs *fs, const char *cert_path, const char *key_path);
/* -ENOENT when either is missing. */
int pki_pair_load(struct fs *fs, const char *cert_path, const char *key_path, struct pki_pair **ret);
int pki_pair_parse(struct slice cert_pem, struct slice key_pem, struct pki_pair **ret);
/* Subject, fingerprint and end of validity. -EINVAL when the subject's names do not fit. */
int pki_pair_identity(const struct pki_pair *p, struct tls_identity *ret);
/* Who a PEM certificate speaks for (its first, when there are many). */
int pki_cert_identity(struct slice cert_pem, struct tls_identity *ret);
/* SHA-256 of the public key (SubjectPublicKeyInfo, DER) of a PEM certificate, as 64 hex digits. -EINVAL. */
int pki_cert_key_hash(struct slice cert_pem, char out[65]);

/* Reads or replaces a file whole; for PEM files and the like, readable by its owner alone. */
int pki_file_write(struct fs *fs, const char *path, struct slice bytes);
int pki_file_read(struct fs *fs, const char *path, struct buf *out);

/* The same as pki_file_read for the real file system, where no loop is at hand. */
int pki_text_load(const char *path, struct buf *out);
/* Overwrites secret bytes; then buf_done. */
void pki_wipe(struct buf *b);

/* ---- keys for signing tokens ---- */

int pki_key_create(struct pki_key **ret);
void pki_key_free(struct pki_key *k);
/* Reads a PEM private key, public key or certificate: ECDSA P-256, or RSA of at least 2048 bits. */
int pki_key_parse(struct slice pem, struct pki_key **ret);
int pki_key_load(struct fs *fs, const char *path, struct pki_key **ret);
int pki_key_write(const struct pki_key *k, struct fs *fs, const char *path);
/* The private key as PEM (PKCS #8); the public key (SubjectPublicKeyInfo) as PEM. */
int pki_key_pem(const struct pki_key *k, struct buf *out);
int pki_key_public_pem(const struct pki_key *k, struct buf *out);

/* ---- certificate signing requests ---- */

struct pki_csr; /* its signature was checked */

/* pem: one CERTIFICATE REQUEST. */
int pki_csr_parse(struct slice pem, struct pki_csr **ret);
void pki_csr_free(struct pki_csr *c);
/* Who it asks to be. -EINVAL when the names do not fit. */
int pki_csr_subject(const struct pki_csr *c, struct tls_identity *ret);
/* The same hash of the key it wants certified. */
int pki_csr_key_hash(const struct pki_csr *c, char out[65]);
/* Calls each(ctx, is_ip, text) for the names it asks for. -EINVAL for kinds of names other than DNS and IP. */
int pki_csr_names(const struct pki_csr *c, void (*each)(void *ctx, bool is_ip, const char *text), void *ctx);
/* Certifies the request's key with what r says (the request's own wishes are for the caller to copy into r). Appends the
 * certificate as PEM. */
int pki_sign_csr(const struct pki_pair *ca, const struct pki_csr *c, const struct pki_request *r, int64_t now,
                 struct buf *cert_pem);
/* A request for a key, as nodes make it. Appends PEM. */
int pki_csr_make(const struct pki_key *key, const struct pki_request *r, struct buf *pem);

#endif

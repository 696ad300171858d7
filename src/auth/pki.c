#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "auth/pki_impl.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "net/tls_impl.h"

enum { SERIAL_BYTES = 16, COMMON_NAME_MAX = 255, ORG_MAX = 127, DAYS_MAX = 36500, RSA_BITS_MIN = 2048 };

static int failed(int err)
{
    ERR_clear_error();
    return err;
}

/* ---- making certificates ---- */

static int set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -ENOMEM;
    bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40); /* positive and of full length */
    BIGNUM *bn = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
    BN_free(bn);
    return ok ? 0 : -ENOMEM;
}

static int set_times(X509 *cert, int64_t now, unsigned days, const X509 *ca)
{
    time_t from = (time_t)(now / NS_PER_SEC) - PKI_BACKDATE_S;
    time_t to = (time_t)(now / NS_PER_SEC) + (time_t)days * 86400;
    if (!ASN1_TIME_set(X509_getm_notBefore(cert), from) || !ASN1_TIME_set(X509_getm_notAfter(cert), to))
        return -ENOMEM;
    if (ca && ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca)) > 0 &&
        X509_set1_notAfter(cert, X509_get0_notAfter(ca)) != 1)
        return -ENOMEM;
    return 0;
}

/* OpenSSL's own check of lengths (64 bytes, X.520) is passed by: Kubernetes' node and service account names are longer.
 * Each entry is an RDN of its own. */
static int add_name(X509_NAME *name, int nid, const char *text, size_t max)
{
    size_t n = strlen(text);
    if (n == 0 || n > max)
        return -EINVAL;
    ASN1_STRING *value = ASN1_STRING_type_new(V_ASN1_UTF8STRING);
    X509_NAME_ENTRY *entry = NULL;
    bool ok =
        value && ASN1_STRING_set(value, text, (int)n) == 1 &&
        (entry = X509_NAME_ENTRY_create_by_NID(NULL, nid, V_ASN1_UTF8STRING, (const unsigned char *)text, (int)n));
    ok = ok && X509_NAME_add_entry(name, entry, -1, 0) == 1;
    X509_NAME_ENTRY_free(entry);
    ASN1_STRING_free(value);
    return ok ? 0 : -ENOMEM;
}

static int make_name(const struct pki_request *r, X509_NAME **ret)
{
    if (r->n_orgs > TLS_ORGS_MAX)
        return -EINVAL;
    X509_NAME *name = X509_NAME_new();
    int rv = name ? 0 : -ENOMEM;
    for (size_t i = 0; !rv && i < r->n_orgs; i++)
        rv = add_name(name, NID_organizationName, r->orgs[i], ORG_MAX);
    if (!rv)
        rv = add_name(name, NID_commonName, r->common_name, COMMON_NAME_MAX);
    if (rv)
        X509_NAME_free(name);
    else
        *ret = name;
    return rv;
}

static int add_alt_name(GENERAL_NAMES *names, const char *text, bool is_ip)
{
    GENERAL_NAME *g = GENERAL_NAME_new();
    ASN1_STRING *value = is_ip ? a2i_IPADDRESS(text) : ASN1_IA5STRING_new();
    bool ok = g && value && (is_ip || ASN1_STRING_set(value, text, (int)strlen(text)) == 1);
    if (ok) {
        GENERAL_NAME_set0_value(g, is_ip ? GEN_IPADD : GEN_DNS, value);
        ok = sk_GENERAL_NAME_push(names, g) > 0;
        if (ok)
            return 0;
        value = NULL; /* belongs to g */
    }
    ASN1_STRING_free(value);
    GENERAL_NAME_free(g);
    return -EINVAL;
}

static int make_alt_names(const struct pki_request *r, GENERAL_NAMES **ret)
{
    *ret = NULL;
    if (r->n_dns + r->n_ips == 0)
        return 0;
    if (r->n_dns > PKI_NAMES_MAX || r->n_ips > PKI_NAMES_MAX - r->n_dns)
        return -EINVAL;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    int rv = names ? 0 : -ENOMEM;
    for (size_t i = 0; !rv && i < r->n_dns; i++)
        rv = add_alt_name(names, r->dns[i], false);
    for (size_t i = 0; !rv && i < r->n_ips; i++)
        rv = add_alt_name(names, r->ips[i], true);
    if (rv)
        GENERAL_NAMES_free(names);
    else
        *ret = names;
    return rv;
}

static int add_ext(X509 *cert, const X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok ? 0 : -ENOMEM;
}

static int add_leaf_exts(X509 *cert, const X509 *ca, const struct pki_request *r)
{
    const char *usage = r->server && r->client ? "serverAuth,clientAuth" : r->server ? "serverAuth" : "clientAuth";
    GENERAL_NAMES *names = NULL;
    int rv = make_alt_names(r, &names);
    if (!rv)
        rv = add_ext(cert, ca, NID_basic_constraints, "critical,CA:FALSE");
    if (!rv)
        rv = add_ext(cert, ca, NID_key_usage, "critical,digitalSignature");
    if (!rv)
        rv = add_ext(cert, ca, NID_ext_key_usage, usage);
    if (!rv)
        rv = add_ext(cert, ca, NID_authority_key_identifier, "keyid:always");
    if (!rv && names && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) != 1)
        rv = -ENOMEM;
    GENERAL_NAMES_free(names);
    return rv;
}

static int add_ca_exts(X509 *cert)
{
    int rv = add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
    if (!rv)
        rv = add_ext(cert, cert, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign");
    return rv ? rv : add_ext(cert, cert, NID_subject_key_identifier, "hash");
}

/* An unsigned certificate with everything but its extensions. */
static int make_cert(const struct pki_request *r, EVP_PKEY *key, const X509 *ca, int64_t now, X509 **ret)
{
    X509_NAME *name = NULL;
    if (r->days == 0 || r->days > DAYS_MAX || !r->common_name)
        return -EINVAL;
    int rv = make_name(r, &name);
    if (rv)
        return rv;
    X509 *cert = X509_new();
    bool ok = cert && X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_subject_name(cert, name) == 1 &&
              X509_set_issuer_name(cert, ca ? X509_get_subject_name(ca) : name) == 1 && X509_set_pubkey(cert, key) == 1;
    X509_NAME_free(name);
    rv = ok ? set_serial(cert) : -ENOMEM;
    if (!rv)
        rv = set_times(cert, now, r->days, ca);
    if (rv)
        X509_free(cert);
    else
        *ret = cert;
    return rv;
}

static int sign_cert(X509 *cert, EVP_PKEY *key)
{
    bool digestless = EVP_PKEY_is_a(key, "ED25519");
    return X509_sign(cert, key, digestless ? NULL : EVP_sha256()) > 0 ? 0 : -ENOMEM;
}

/* Certifies key with what r says: by ca, or by itself when ca is NULL. */
static int certify(const struct pki_pair *ca, const struct pki_request *r, EVP_PKEY *key, int64_t now, X509 **ret)
{
    X509 *cert = NULL;
    int rv = make_cert(r, key, ca ? ca->cert : NULL, now, &cert);
    if (rv)
        return failed(rv);
    rv = ca ? add_leaf_exts(cert, ca->cert, r) : add_ca_exts(cert);
    if (!rv)
        rv = sign_cert(cert, ca ? ca->key : key);
    if (rv) {
        X509_free(cert);
        return failed(rv);
    }
    *ret = cert;
    return 0;
}

static int make_pair(const struct pki_pair *ca, const struct pki_request *r, int64_t now, struct pki_pair **ret)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = NULL;
    int rv = key ? certify(ca, r, key, now, &cert) : failed(-ENOMEM);
    if (rv) {
        EVP_PKEY_free(key);
        return rv;
    }
    struct pki_pair *p = mem_new(struct pki_pair);
    *p = (struct pki_pair){cert, key};
    *ret = p;
    return 0;
}

int pki_ca_create(const char *common_name, unsigned days, int64_t now, struct pki_pair **ret)
{
    const struct pki_request r = {.common_name = common_name, .days = days};
    return make_pair(NULL, &r, now, ret);
}

int pki_issue(const struct pki_pair *ca, const struct pki_request *r, int64_t now, struct pki_pair **ret)
{
    return r->server || r->client ? make_pair(ca, r, now, ret) : -EINVAL;
}

void pki_pair_free(struct pki_pair *p)
{
    if (!p)
        return;
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    mem_free(p);
}

/* ---- PEM ---- */

/* Moves what was written to a memory BIO to the buffer. */
static int take_bio(BIO *bio, bool ok, struct buf *out)
{
    char *p = NULL;
    long n = bio ? BIO_get_mem_data(bio, &p) : 0;
    int rv = ok && n > 0 ? buf_add(out, p, (size_t)n) : -ENOMEM;
    BIO_free(bio);
    return rv ? failed(rv) : 0;
}

static int key_pem(EVP_PKEY *key, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return take_bio(bio, bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1, out);
}

static int cert_pem(X509 *cert, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return take_bio(bio, bio && PEM_write_bio_X509(bio, cert) == 1, out);
}

int pki_pair_cert_pem(const struct pki_pair *p, struct buf *out)
{
    return cert_pem(p->cert, out);
}

int pki_pair_key_pem(const struct pki_pair *p, struct buf *out)
{
    return key_pem(p->key, out);
}

static BIO *bio_over(struct slice s)
{
    return s.n > 0 && s.n <= PKI_PEM_MAX ? BIO_new_mem_buf(s.p, (int)s.n) : NULL;
}

/* Keys in files are never encrypted: without this OpenSSL would ask at the terminal. */
static int no_password(char *p, int n, int rw, void *arg)
{
    (void)p;
    (void)n;
    (void)rw;
    (void)arg;
    return -1;
}

static X509 *read_cert(struct slice pem)
{
    BIO *bio = bio_over(pem);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return cert;
}

static EVP_PKEY *read_private(struct slice pem)
{
    BIO *bio = bio_over(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return key;
}

int pki_pair_parse(struct slice cert_text, struct slice key_text, struct pki_pair **ret)
{
    X509 *cert = read_cert(cert_text);
    EVP_PKEY *key = read_private(key_text);
    if (!cert || !key || X509_check_private_key(cert, key) != 1) {
        X509_free(cert);
        EVP_PKEY_free(key);
        return failed(-EINVAL);
    }
    struct pki_pair *p = mem_new(struct pki_pair);
    *p = (struct pki_pair){cert, key};
    *ret = p;
    return 0;
}

int pki_pair_identity(const struct pki_pair *p, struct tls_identity *ret)
{
    return tls_identity_of(p->cert, ret) ? 0 : -EINVAL;
}

int pki_cert_identity(struct slice pem, struct tls_identity *ret)
{
    X509 *cert = read_cert(pem);
    bool ok = cert && tls_identity_of(cert, ret);
    X509_free(cert);
    return ok ? 0 : failed(-EINVAL);
}

static int hash_key(X509_PUBKEY *key, char out[65])
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    size_t digest_n = sizeof digest;
    int n = key ? i2d_X509_PUBKEY(key, &der) : -1;
    bool ok = n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, digest, &digest_n) == 1 && digest_n == 32;
    OPENSSL_free(der);
    for (size_t i = 0; ok && i < digest_n; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return ok ? 0 : failed(-EINVAL);
}

int pki_cert_key_hash(struct slice pem, char out[65])
{
    X509 *cert = read_cert(pem);
    int rv = cert ? hash_key(X509_get_X509_PUBKEY(cert), out) : failed(-EINVAL);
    X509_free(cert);
    return rv;
}

/* ---- files ---- */

static int write_synced(struct fs *fs, const char *path, struct slice bytes)
{
    struct file *f;
    int rv = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNC, &f);
    if (rv)
        return rv;
    ssize_t n = file_pwrite(f, bytes.p, bytes.n, 0);
    rv = n < 0 ? (int)n : (size_t)n < bytes.n ? -EIO : file_sync(f);
    file_close(f);
    return rv;
}

int pki_file_write(struct fs *fs, const char *path, struct slice bytes)
{
    struct buf temp = BUF_INIT(4096);
    const char *slash = strrchr(path, '/');
    int rv = buf_printf(&temp, "%s.new", path);
    if (!rv)
        rv = write_synced(fs, temp.p, bytes);
    if (!rv)
        rv = fs_rename(fs, temp.p, path);
    buf_clear(&temp);
    if (!rv)
        rv = slash ? buf_add(&temp, path, slash == path ? 1 : (size_t)(slash - path)) : buf_add_str(&temp, ".");
    if (!rv)
        rv = fs_sync_dir(fs, temp.p);
    buf_done(&temp);
    return rv;
}

int pki_file_read(struct fs *fs, const char *path, struct buf *out)
{
    struct file *f;
    uint64_t size;
    int rv = fs_open(fs, path, FS_READ, &f);
    if (rv)
        return rv;
    rv = file_size(f, &size);
    if (!rv)
        rv = size > out->max ? -E2BIG : buf_reserve(out, (size_t)size);
    if (!rv) {
        ssize_t n = file_pread(f, out->p + out->n, (size_t)size, 0);
        rv = n < 0 ? (int)n : 0;
        out->n += n < 0 ? 0 : (size_t)n;
        out->p[out->n] = '\0';
    }
    file_close(f);
    return rv;
}

int pki_text_load(const char *path, struct buf *out)
{
    char piece[4096];
    int n = 0, rv = 0;
    BIO *bio = BIO_new_file(path, "r");
    if (!bio)
        return failed(-ENOENT);
    while (!rv && (n = BIO_read(bio, piece, sizeof piece)) > 0)
        rv = buf_add(out, piece, (size_t)n);
    OPENSSL_cleanse(piece, sizeof piece);
    BIO_free(bio);
    return failed(rv ? rv : n < 0 ? -EIO : 0);
}

void pki_wipe(struct buf *b)
{
    if (b->p)
        OPENSSL_cleanse(b->p, b->n);
}

/* The key goes first: a certificate without its key would stop a start, a new key beside an old certificate is
 * noticed and made anew by the caller. */
int pki_pair_write(const struct pki_pair *p, struct fs *fs, const char *cert_path, const char *key_path)
{
    struct buf cert = BUF_INIT(PKI_PEM_MAX), key = BUF_INIT(PKI_PEM_MAX);
    int rv = cert_pem(p->cert, &cert);
    if (!rv)
        rv = key_pem(p->key, &key);
    if (!rv)
        rv = pki_file_write(fs, key_path, buf_slice(&key));
    if (!rv)
        rv = pki_file_write(fs, cert_path, buf_slice(&cert));
    pki_wipe(&key);
    buf_done(&cert);
    buf_done(&key);
    return rv;
}

int pki_pair_load(struct fs *fs, const char *cert_path, const char *key_path, struct pki_pair **ret)
{
    struct buf cert = BUF_INIT(PKI_PEM_MAX), key = BUF_INIT(PKI_PEM_MAX);
    int rv = pki_file_read(fs, cert_path, &cert);
    if (!rv)
        rv = pki_file_read(fs, key_path, &key);
    if (!rv)
        rv = pki_pair_parse(buf_slice(&cert), buf_slice(&key), ret);
    pki_wipe(&key);
    buf_done(&cert);
    buf_done(&key);
    return rv;
}

/* ---- signing keys ---- */

static struct pki_key *wrap_key(EVP_PKEY *pkey, bool is_private)
{
    struct pki_key *k = mem_new(struct pki_key);
    *k = (struct pki_key){pkey, is_private};
    return k;
}

int pki_key_create(struct pki_key **ret)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    if (!pkey)
        return failed(-ENOMEM);
    *ret = wrap_key(pkey, true);
    return 0;
}

void pki_key_free(struct pki_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    mem_free(k);
}

static bool is_usable(const EVP_PKEY *pkey)
{
    char group[32] = "";
    if (EVP_PKEY_is_a(pkey, "RSA"))
        return EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN;
    return EVP_PKEY_is_a(pkey, "EC") && EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static EVP_PKEY *read_public(struct slice pem)
{
    BIO *bio = bio_over(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    if (key)
        return key;
    X509 *cert = read_cert(pem);
    key = cert ? X509_get_pubkey(cert) : NULL;
    X509_free(cert);
    return key;
}

int pki_key_parse(struct slice pem, struct pki_key **ret)
{
    EVP_PKEY *pkey = read_private(pem);
    bool is_private = pkey != NULL;
    if (!pkey)
        pkey = read_public(pem);
    ERR_clear_error();
    if (!pkey || !is_usable(pkey)) {
        EVP_PKEY_free(pkey);
        return failed(-EINVAL);
    }
    *ret = wrap_key(pkey, is_private);
    return 0;
}

int pki_key_pem(const struct pki_key *k, struct buf *out)
{
    return k->is_private ? key_pem(k->pkey, out) : -EINVAL;
}

int pki_key_public_pem(const struct pki_key *k, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return take_bio(bio, bio && PEM_write_bio_PUBKEY(bio, k->pkey) == 1, out);
}

int pki_key_load(struct fs *fs, const char *path, struct pki_key **ret)
{
    struct buf pem = BUF_INIT(PKI_PEM_MAX);
    int rv = pki_file_read(fs, path, &pem);
    if (!rv)
        rv = pki_key_parse(buf_slice(&pem), ret);
    pki_wipe(&pem);
    buf_done(&pem);
    return rv;
}

int pki_key_write(const struct pki_key *k, struct fs *fs, const char *path)
{
    struct buf pem = BUF_INIT(PKI_PEM_MAX);
    int rv = pki_key_pem(k, &pem);
    if (!rv)
        rv = pki_file_write(fs, path, buf_slice(&pem));
    pki_wipe(&pem);
    buf_done(&pem);
    return rv;
}

/* ---- requests ---- */

int pki_csr_parse(struct slice pem, struct pki_csr **ret)
{
    BIO *bio = bio_over(pem);
    X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
    if (!key || X509_REQ_verify(req, key) != 1) {
        X509_REQ_free(req);
        return failed(-EINVAL);
    }
    struct pki_csr *c = mem_new(struct pki_csr);
    c->req = req;
    *ret = c;
    return 0;
}

void pki_csr_free(struct pki_csr *c)
{
    if (!c)
        return;
    X509_REQ_free(c->req);
    mem_free(c);
}

int pki_csr_subject(const struct pki_csr *c, struct tls_identity *ret)
{
    return tls_identity_subject(X509_REQ_get_subject_name(c->req), ret) ? 0 : -EINVAL;
}

int pki_csr_key_hash(const struct pki_csr *c, char out[65])
{
    return hash_key(X509_REQ_get_X509_PUBKEY(c->req), out);
}

static int tell_name(const GENERAL_NAME *g, void (*each)(void *ctx, bool is_ip, const char *text), void *ctx)
{
    char text[256];
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(g, &type);
    const unsigned char *p = value ? ASN1_STRING_get0_data(value) : NULL;
    int n = p && (type == GEN_DNS || type == GEN_IPADD) ? ASN1_STRING_length(value) : 0;
    if (type == GEN_DNS && n > 0 && n < (int)sizeof text && !memchr(p, '\0', (size_t)n)) {
        memcpy(text, p, (size_t)n);
        text[n] = '\0';
    } else if (type != GEN_IPADD || (n != 4 && n != 16) ||
               !inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof text)) {
        return -EINVAL;
    }
    each(ctx, type == GEN_IPADD, text);
    return 0;
}

int pki_csr_names(const struct pki_csr *c, void (*each)(void *ctx, bool is_ip, const char *text), void *ctx)
{
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(c->req);
    GENERAL_NAMES *names = exts ? X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL) : NULL;
    int n = names ? sk_GENERAL_NAME_num(names) : 0;
    int rv = n > PKI_NAMES_MAX ? -EINVAL : 0;
    for (int i = 0; !rv && i < n; i++)
        rv = tell_name(sk_GENERAL_NAME_value(names, i), each, ctx);
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return rv;
}

int pki_sign_csr(const struct pki_pair *ca, const struct pki_csr *c, const struct pki_request *r, int64_t now,
                 struct buf *out)
{
    X509 *cert = NULL;
    EVP_PKEY *key = X509_REQ_get0_pubkey(c->req);
    int rv = key && (r->server || r->client) ? certify(ca, r, key, now, &cert) : -EINVAL;
    if (!rv)
        rv = cert_pem(cert, out);
    X509_free(cert);
    return rv;
}

static int add_csr_names(X509_REQ *req, const struct pki_request *r)
{
    GENERAL_NAMES *names = NULL;
    int rv = make_alt_names(r, &names);
    if (rv || !names)
        return rv;
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    bool ok = exts && X509V3_add1_i2d(&exts, NID_subject_alt_name, names, 0, 0) == 1 &&
              X509_REQ_add_extensions(req, exts) == 1;
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    return ok ? 0 : -ENOMEM;
}

int pki_csr_make(const struct pki_key *key, const struct pki_request *r, struct buf *pem)
{
    X509_NAME *name = NULL;
    if (!key->is_private || !r->common_name)
        return -EINVAL;
    int rv = make_name(r, &name);
    if (rv)
        return failed(rv);
    X509_REQ *req = X509_REQ_new();
    bool ok = req && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 && X509_REQ_set_subject_name(req, name) == 1 &&
              X509_REQ_set_pubkey(req, key->pkey) == 1;
    rv = ok ? add_csr_names(req, r) : -ENOMEM;
    if (!rv)
        rv = X509_REQ_sign(req, key->pkey, EVP_sha256()) > 0 ? 0 : -ENOMEM;
    BIO *bio = rv ? NULL : BIO_new(BIO_s_mem());
    if (!rv)
        rv = take_bio(bio, bio && PEM_write_bio_X509_REQ(bio, req) == 1, pem);
    X509_REQ_free(req);
    X509_NAME_free(name);
    return rv ? failed(rv) : 0;
}

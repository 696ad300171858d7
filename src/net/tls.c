#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "net/tls_impl.h"

enum { WHY_MAX = 256 };

static const char TLS12_CIPHERS[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char TLS13_CIPHERS[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

__attribute__((format(printf, 3, 4))) static int fail(char why[WHY_MAX], int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(why, WHY_MAX, fmt, ap);
    va_end(ap);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (reason && n > 0 && n < WHY_MAX)
        snprintf(why + n, WHY_MAX - (size_t)n, ": %s", reason);
    ERR_clear_error();
    return err;
}

static int load_own(SSL_CTX *ctx, const struct tls_options *o, char why[WHY_MAX])
{
    if (!o->cert_file)
        return 0;
    if (!o->key_file)
        return fail(why, -EINVAL, "certificate %s is given without its key", o->cert_file);
    if (SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) != 1)
        return fail(why, -EINVAL, "cannot use certificate %s", o->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, o->key_file, SSL_FILETYPE_PEM) != 1)
        return fail(why, -EINVAL, "cannot use key %s", o->key_file);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail(why, -EINVAL, "key %s does not belong to certificate %s", o->key_file, o->cert_file);
    return 0;
}

static int load_trusted(SSL_CTX *ctx, const struct tls_options *o, char why[WHY_MAX])
{
    if (!o->ca_file) {
        SSL_CTX_set_default_verify_paths(ctx); /* a system without any simply trusts nobody */
        ERR_clear_error();
        return 0;
    }
    if (SSL_CTX_load_verify_file(ctx, o->ca_file) != 1)
        return fail(why, -EINVAL, "cannot read certificate authorities %s", o->ca_file);
    if (!o->verify_client)
        return 0;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->ca_file);
    if (!names)
        return fail(why, -EINVAL, "cannot read certificate authorities %s", o->ca_file);
    SSL_CTX_set_client_CA_list(ctx, names);
    return 0;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *arg)
{
    (void)ssl;
    const struct tls_context *t = arg;
    static const unsigned char both[] = "\x02h2\x08http/1.1", http1[] = "\x08http/1.1";
    const unsigned char *ours = t->options.h2 ? both : http1;
    unsigned ours_n = t->options.h2 ? sizeof both - 1 : sizeof http1 - 1;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_n, ours, ours_n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* No session tickets: a resumed session would keep an identity that may have been withdrawn since. */
static void set_policy(SSL_CTX *ctx, struct tls_context *t)
{
    SSL_CTX_set_min_proto_version(ctx, t->options.tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, t);
}

static int make_ssl(struct tls_context *t, SSL_CTX **ret, char why[WHY_MAX])
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (!ctx)
        return fail(why, -ENOMEM, "cannot set up TLS");
    set_policy(ctx, t);
    int rv = 0;
    if (SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) != 1 || SSL_CTX_set_ciphersuites(ctx, TLS13_CIPHERS) != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1)
        rv = fail(why, -EINVAL, "OpenSSL lacks the ciphers needed");
    if (!rv)
        rv = load_own(ctx, &t->options, why);
    if (!rv)
        rv = load_trusted(ctx, &t->options, why);
    if (rv) {
        SSL_CTX_free(ctx);
        return rv;
    }
    *ret = ctx;
    return 0;
}

static const char *dup_or_null(const char *s)
{
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

int tls_context_new(const struct tls_options *o, struct tls_context **ret, char why[WHY_MAX])
{
    struct tls_context *t = mem_new(struct tls_context);
    t->refs = 1;
    list_init(&t->lingering);
    t->options = *o;
    t->options.cert_file = dup_or_null(o->cert_file);
    t->options.key_file = dup_or_null(o->key_file);
    t->options.ca_file = dup_or_null(o->ca_file);
    t->bio = tls_bio_method();
    int rv = t->bio ? make_ssl(t, &t->ssl, why) : fail(why, -ENOMEM, "cannot set up TLS");
    if (rv) {
        tls_context_unref(t);
        return rv;
    }
    *ret = t;
    return 0;
}

int tls_context_reload(struct tls_context *t, char why[WHY_MAX])
{
    SSL_CTX *fresh = NULL;
    int rv = make_ssl(t, &fresh, why);
    if (rv)
        return rv;
    SSL_CTX_free(t->ssl);
    t->ssl = fresh;
    return 0;
}

static void free_str(const char *s)
{
    mem_free((void *)(uintptr_t)s);
}

void tls_context_unref(struct tls_context *t)
{
    if (--t->refs > 0)
        return;
    SSL_CTX_free(t->ssl);
    BIO_meth_free(t->bio);
    free_str(t->options.cert_file);
    free_str(t->options.key_file);
    free_str(t->options.ca_file);
    mem_free(t);
}

void tls_context_free(struct tls_context *t)
{
    if (!t)
        return;
    tls_close_lingering(t);
    tls_context_unref(t);
}

struct tls_context *tls_trusting(struct tls_context **kept)
{
    char why[256];
    if (!*kept)
        (void)tls_context_new(&(struct tls_options){.trust_anyone = true}, kept, why);
    return *kept;
}

/* ---- identities ---- */

/* One name of the subject as UTF-8. Names with a NUL inside are a known way to pretend; too long ones do not fit. */
static bool copy_name(const X509_NAME_ENTRY *entry, char *out, size_t cap)
{
    unsigned char *text = NULL;
    int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
    if (n < 0)
        return false;
    bool ok = (size_t)n < cap && !memchr(text, '\0', (size_t)n);
    if (ok) {
        memcpy(out, text, (size_t)n);
        out[n] = '\0';
    }
    OPENSSL_free(text);
    return ok;
}

static bool copy_subject(X509_NAME *subject, struct tls_identity *id)
{
    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        if (nid == NID_commonName && !copy_name(entry, id->common_name, sizeof id->common_name))
            return false;
        if (nid != NID_organizationName)
            continue;
        if (id->n_orgs == TLS_ORGS_MAX || !copy_name(entry, id->orgs[id->n_orgs], sizeof id->orgs[0]))
            return false;
        id->n_orgs++;
    }
    return true;
}

bool tls_identity_subject(X509_NAME *subject, struct tls_identity *ret)
{
    struct tls_identity id = {.n_orgs = 0};
    if (!copy_subject(subject, &id))
        return false;
    *ret = id;
    return true;
}

static int64_t asn1_ns(const ASN1_TIME *t)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int ok = epoch ? ASN1_TIME_diff(&days, &seconds, epoch, t) : 0;
    ASN1_TIME_free(epoch);
    return ok ? ((int64_t)days * 86400 + seconds) * NS_PER_SEC : 0;
}

bool tls_identity_of(X509 *cert, struct tls_identity *ret)
{
    struct tls_identity id = {.n_orgs = 0};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!copy_subject(X509_get_subject_name(cert), &id) || X509_digest(cert, EVP_sha256(), digest, &n) != 1 || n != 32)
        return false;
    for (unsigned i = 0; i < n; i++)
        snprintf(id.fingerprint + 2 * (size_t)i, 3, "%02x", digest[i]);
    id.not_after = asn1_ns(X509_get0_notAfter(cert));
    *ret = id;
    return true;
}

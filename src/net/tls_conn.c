/* The TLS filter: OpenSSL between a stream and the conn's handler, joined by a BIO that reads the bytes of the stream's
 * callback in place and writes into a chunk queue. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/chunkq.h"
#include "net/tls_impl.h"

enum {
    RECORD_MAX = 16 << 10, /* plaintext in one TLS record */
    HELD_MAX = 4 << 20,    /* ciphertext held back while the reader pauses */
    LINGER_MS = 1000,      /* a refused peer gets this long to read why */
    ALERT_BAD_CERTIFICATE = 42,
    ALERT_ACCESS_DENIED = 49,
    ALERT_CERTIFICATE_REQUIRED = 116
};

enum state { HANDSHAKE, OPEN, LINGER };

struct tls_handshake {
    char unused; /* only its address is of interest */
};

struct tls_conn {
    struct conn conn;
    struct tls_handshake handshake;
    struct loop *loop;
    struct tls_context *context;
    SSL *ssl;
    struct stream *stream;
    enum state state;
    tls_ready_fn *on_ready;
    void *ready_ctx;
    const struct conn_handler *handler;
    void *ctx;
    struct slice in;         /* ciphertext of the running call, not yet read by OpenSSL */
    struct buf held;         /* ciphertext kept from earlier calls */
    struct chunkq out;       /* ciphertext to be written */
    struct loop_timer timer; /* handshake: its limit; open: reading goes on; linger: closes */
    struct list link;        /* context->lingering */
    unsigned busy;           /* depth of our own calls on the stack: the struct must stay */
    bool paused, closed, told_end, no_write;
    bool broken; /* OpenSSL failed: it must not be used again */
    bool ended;  /* nothing more will come: end_err says why, told once all was read */
    int end_err;
    bool has_peer;
    struct tls_identity peer;
    char alpn[16];
};

static struct tls_conn *tls_of(const struct conn *c)
{
    return container_of((struct conn *)(uintptr_t)c, struct tls_conn, conn);
}

/* ---- the BIO ---- */

static int bio_read(BIO *b, char *p, int n)
{
    struct tls_conn *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    size_t take = (size_t)n < t->in.n ? (size_t)n : t->in.n;
    if (take == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    memcpy(p, t->in.p, take);
    t->in = slice_from(t->in, take);
    return (int)take;
}

static int bio_write(BIO *b, const char *p, int n)
{
    struct tls_conn *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    return n <= 0 || chunkq_copy(&t->out, p, (size_t)n) ? -1 : n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "pintle stream");
    if (m) {
        BIO_meth_set_read(m, bio_read);
        BIO_meth_set_write(m, bio_write);
        BIO_meth_set_ctrl(m, bio_ctrl);
    }
    return m;
}

/* ---- life ---- */

static void destroy(struct tls_conn *t)
{
    loop_timer_stop(t->loop, &t->timer);
    list_remove(&t->link);
    SSL_free(t->ssl);
    stream_close(t->stream);
    buf_done(&t->held);
    chunkq_done(&t->out);
    tls_context_unref(t->context);
    mem_free(t);
}

static void leave(struct tls_conn *t)
{
    if (--t->busy == 0 && t->closed)
        destroy(t);
}

static void close_conn(struct tls_conn *t)
{
    t->closed = true;
    if (t->busy == 0)
        destroy(t);
}

/* Hands the ciphertext made so far to the stream. */
static int flush_out(struct tls_conn *t)
{
    size_t n;
    const struct chunk *chunks = chunkq_chunks(&t->out, &n);
    if (t->out.error)
        return t->out.error;
    int rv = n ? stream_write(t->stream, chunks, n) : 0;
    chunkq_forget(&t->out);
    return rv;
}

/* ---- handshake ---- */

static bool about_certificate(unsigned long error)
{
    int reason = ERR_GET_REASON(error);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED || reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return true;
    int alert = reason - SSL_AD_REASON_OFFSET;
    return alert == ALERT_CERTIFICATE_REQUIRED || (alert >= ALERT_BAD_CERTIFICATE && alert <= ALERT_ACCESS_DENIED);
}

/* What OpenSSL's last failure means; also logs it. */
static int ssl_failure(struct tls_conn *t, const char *when)
{
    unsigned long error = ERR_peek_error();
    const char *reason = ERR_reason_error_string(error);
    long verify = SSL_get_verify_result(t->ssl);
    int err = about_certificate(error) ? -EKEYREJECTED : -EPROTO;
    log_debug(loop_log(t->loop), "tls", "%s failed peer=%s error=\"%s\" verify=\"%s\"", when, stream_peer(t->stream),
              reason ? reason : "unknown", verify == X509_V_OK ? "ok" : X509_verify_cert_error_string(verify));
    ERR_clear_error();
    t->broken = true;
    return err;
}

static void on_linger_data(void *ctx, const char *p, size_t n)
{
    (void)ctx;
    (void)p;
    (void)n;
}

static void on_linger_end(void *ctx, int err)
{
    (void)err;
    close_conn(ctx);
}

static const struct stream_handler linger_handler = {on_linger_data, on_linger_end, NULL};

static void on_linger_over(struct loop_timer *timer)
{
    close_conn(container_of(timer, struct tls_conn, timer));
}

/* The alert that says why is still to go out: the stream is closed a little later. */
static void fail_handshake(struct tls_conn *t, int err)
{
    t->state = LINGER;
    t->timer.cb = on_linger_over;
    if (t->ended || flush_out(t)) {
        t->closed = true;
    } else {
        stream_handle(t->stream, &linger_handler, t);
        stream_shutdown(t->stream);
        list_push(&t->context->lingering, &t->link);
        loop_timer_start(t->loop, &t->timer, LINGER_MS);
    }
    t->on_ready(t->ready_ctx, err, NULL);
}

void tls_close_lingering(struct tls_context *c)
{
    for (struct list *l; (l = list_pop(&c->lingering));)
        close_conn(container_of(l, struct tls_conn, link));
}

static bool learn_peer(struct tls_conn *t)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    if (!cert)
        return true;
    t->has_peer = SSL_get_verify_result(t->ssl) == X509_V_OK;
    return !t->has_peer || tls_identity_of(cert, &t->peer);
}

static void on_resume(struct loop_timer *timer);

static void finish_handshake(struct tls_conn *t)
{
    if (!learn_peer(t)) {
        log_debug(loop_log(t->loop), "tls", "certificate with unusable names peer=%s", stream_peer(t->stream));
        fail_handshake(t, -EKEYREJECTED);
        return;
    }
    const unsigned char *alpn = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(t->ssl, &alpn, &n);
    if (n < sizeof t->alpn && n > 0)
        memcpy(t->alpn, alpn, n);
    t->state = OPEN;
    loop_timer_stop(t->loop, &t->timer);
    t->timer.cb = on_resume;
    t->on_ready(t->ready_ctx, 0, &t->conn);
}

static void handshake(struct tls_conn *t)
{
    ERR_clear_error();
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        int rv = flush_out(t);
        if (rv)
            fail_handshake(t, rv);
        else
            finish_handshake(t);
        return;
    }
    int why = SSL_get_error(t->ssl, r);
    if (why == SSL_ERROR_WANT_READ) {
        int rv = flush_out(t);
        if (rv)
            fail_handshake(t, rv);
        return;
    }
    fail_handshake(t, ssl_failure(t, "handshake"));
}

static void on_handshake_late(struct loop_timer *timer)
{
    struct tls_conn *t = container_of(timer, struct tls_conn, timer);
    t->busy++;
    fail_handshake(t, -ETIMEDOUT);
    leave(t);
}

/* ---- reading ---- */

static void set_end(struct tls_conn *t, int err)
{
    if (t->ended)
        return;
    t->ended = true;
    t->end_err = err;
}

static bool may_read(const struct tls_conn *t)
{
    return t->state == OPEN && t->handler && !t->paused && !t->closed;
}

/* One record or less. False when there is no more for now. */
static bool read_some(struct tls_conn *t)
{
    char plain[RECORD_MAX];
    ERR_clear_error();
    int n = SSL_read(t->ssl, plain, sizeof plain);
    if (n > 0) {
        t->handler->on_data(t->ctx, plain, (size_t)n);
        return true;
    }
    switch (SSL_get_error(t->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return false;
    case SSL_ERROR_ZERO_RETURN:
        set_end(t, 0);
        break;
    default:
        t->ended = false; /* what TLS says is nearer to the cause than the stream's end */
        set_end(t, ssl_failure(t, "reading"));
    }
    t->in = SLICE_NONE;
    buf_clear(&t->held);
    return false;
}

static void read_all(struct tls_conn *t)
{
    bool more = true;
    while (more && may_read(t) && !t->broken && !t->told_end)
        more = read_some(t);
    if (t->closed || flush_out(t) || more)
        return;
    if (t->ended && !t->told_end && may_read(t)) {
        t->told_end = true;
        t->handler->on_end(t->ctx, t->end_err);
    }
}

static void advance(struct tls_conn *t)
{
    if (t->state == HANDSHAKE)
        handshake(t);
    if (t->state == OPEN && !t->closed)
        read_all(t);
}

/* Runs on what was held back. */
static void advance_held(struct tls_conn *t)
{
    t->busy++;
    struct buf held = t->held;
    buf_init(&t->held, HELD_MAX);
    t->in = buf_slice(&held);
    advance(t);
    if (!t->closed)
        buf_add_slice(&t->held, t->in);
    t->in = SLICE_NONE;
    buf_done(&held);
    leave(t);
}

static void on_resume(struct loop_timer *timer)
{
    advance_held(container_of(timer, struct tls_conn, timer));
}

static void on_stream_data(void *ctx, const char *p, size_t n)
{
    struct tls_conn *t = ctx;
    if (t->held.n > 0) {
        if (buf_add(&t->held, p, n))
            set_end(t, buf_error(&t->held));
        if (!t->paused)
            advance_held(t);
        return;
    }
    t->busy++;
    t->in = slice_of(p, n);
    advance(t);
    if (!t->closed && t->in.n > 0 && buf_add_slice(&t->held, t->in))
        set_end(t, buf_error(&t->held));
    t->in = SLICE_NONE;
    leave(t);
}

static void on_stream_end(void *ctx, int err)
{
    struct tls_conn *t = ctx;
    set_end(t, err ? err : -ECONNRESET);
    if (t->state == HANDSHAKE) {
        t->busy++;
        fail_handshake(t, t->end_err);
        leave(t);
    } else {
        advance_held(t);
    }
}

static void on_stream_drain(void *ctx)
{
    struct tls_conn *t = ctx;
    if (t->state == OPEN && t->handler && t->handler->on_drain)
        t->handler->on_drain(t->ctx);
}

static const struct stream_handler stream_handler = {on_stream_data, on_stream_end, on_stream_drain};

/* ---- the conn ---- */

static void resume_later(struct tls_conn *t)
{
    if (may_read(t) && !t->told_end && (t->held.n > 0 || t->ended || SSL_has_pending(t->ssl)))
        loop_timer_start(t->loop, &t->timer, 0);
}

static void tls_handle(struct conn *c, const struct conn_handler *h, void *ctx)
{
    struct tls_conn *t = tls_of(c);
    t->handler = h;
    t->ctx = ctx;
    resume_later(t);
}

/* Gathers plaintext into full records. */
struct gather {
    struct tls_conn *conn;
    size_t n;
    int error;
    char bytes[RECORD_MAX];
};

static void encrypt(struct gather *g, const char *p, size_t n)
{
    if (g->error || n == 0)
        return;
    ERR_clear_error();
    size_t written = 0;
    if (SSL_write_ex(g->conn->ssl, p, n, &written) != 1 || written != n)
        g->error = ssl_failure(g->conn, "writing");
}

static void gather_add(struct gather *g, const char *p, size_t n)
{
    if (g->n > 0) {
        size_t take = RECORD_MAX - g->n < n ? RECORD_MAX - g->n : n;
        memcpy(g->bytes + g->n, p, take);
        g->n += take;
        p += take;
        n -= take;
        if (g->n < RECORD_MAX)
            return;
        encrypt(g, g->bytes, g->n);
        g->n = 0;
    }
    size_t whole = n - n % RECORD_MAX;
    encrypt(g, p, whole);
    if (n > whole)
        memcpy(g->bytes, p + whole, n - whole);
    g->n = n - whole;
}

static int tls_write(struct conn *c, const struct chunk *chunks, size_t n)
{
    struct tls_conn *t = tls_of(c);
    struct gather g;
    g.conn = t;
    g.n = 0;
    g.error = t->broken || t->no_write ? -EPIPE : 0;
    for (size_t i = 0; i < n; i++) {
        if (!g.error)
            gather_add(&g, chunks[i].p, chunks[i].n);
        blob_unref(chunks[i].blob);
    }
    encrypt(&g, g.bytes, g.n);
    if (g.error)
        return -EPIPE;
    return flush_out(t) ? -EPIPE : 0;
}

static size_t tls_queued(const struct conn *c)
{
    return stream_queued(tls_of(c)->stream);
}

static void tls_pause(struct conn *c, bool paused)
{
    struct tls_conn *t = tls_of(c);
    t->paused = paused;
    stream_pause(t->stream, paused);
    if (paused)
        loop_timer_stop(t->loop, &t->timer);
    else
        resume_later(t);
}

static void tls_shutdown(struct conn *c)
{
    struct tls_conn *t = tls_of(c);
    if (t->no_write)
        return;
    t->no_write = true;
    if (!t->broken) {
        ERR_clear_error();
        SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
    if (!flush_out(t))
        stream_shutdown(t->stream);
}

static void tls_close(struct conn *c)
{
    close_conn(tls_of(c));
}

static const struct conn_ops tls_ops = {tls_handle, tls_write, tls_queued, tls_pause, tls_shutdown, tls_close};

const struct tls_identity *tls_peer(const struct conn *c)
{
    return c && c->ops == &tls_ops && tls_of(c)->has_peer ? &tls_of(c)->peer : NULL;
}

const char *tls_alpn(const struct conn *c)
{
    return c && c->ops == &tls_ops ? tls_of(c)->alpn : "";
}

/* ---- starting ---- */

static void start_later(struct loop_timer *timer)
{
    struct tls_conn *t = container_of(timer, struct tls_conn, timer);
    t->busy++;
    t->timer.cb = on_handshake_late;
    if (!t->ssl) {
        fail_handshake(t, -ENOMEM);
    } else {
        loop_timer_start(t->loop, &t->timer, TLS_HANDSHAKE_MS);
        stream_handle(t->stream, &stream_handler, t);
        handshake(t);
    }
    leave(t);
}

static void attach_ssl(struct tls_conn *t)
{
    t->ssl = SSL_new(t->context->ssl);
    BIO *bio = t->ssl ? BIO_new(t->context->bio) : NULL;
    if (!bio) {
        SSL_free(t->ssl);
        t->ssl = NULL;
        return;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
}

static struct tls_conn *tls_new(struct loop *l, struct tls_context *c, struct stream *s, tls_ready_fn *on_ready,
                                void *ctx)
{
    struct tls_conn *t = mem_new(struct tls_conn);
    t->conn.ops = &tls_ops;
    t->loop = l;
    t->context = c;
    c->refs++;
    t->stream = s;
    t->on_ready = on_ready;
    t->ready_ctx = ctx;
    list_init(&t->link);
    buf_init(&t->held, HELD_MAX);
    chunkq_init(&t->out);
    attach_ssl(t);
    t->timer.cb = start_later; /* on_ready must not run inside our caller */
    loop_timer_start(l, &t->timer, 0);
    return t;
}

struct tls_handshake *tls_accept(struct loop *l, struct tls_context *c, struct stream *s, tls_ready_fn *on_ready,
                                 void *ctx)
{
    struct tls_conn *t = tls_new(l, c, s, on_ready, ctx);
    int mode = c->options.verify_client || c->options.require_client ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
    if (c->options.require_client)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (t->ssl) {
        SSL_set_verify(t->ssl, mode, NULL);
        SSL_set_accept_state(t->ssl);
    }
    return &t->handshake;
}

static bool expect_name(SSL *ssl, const char *name)
{
    unsigned char address[16];
    if (!name)
        return true;
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static struct tls_handshake *connect_with(struct loop *l, struct tls_context *c, struct stream *s, const char *name,
                                          bool h2, tls_ready_fn *on_ready, void *ctx)
{
    struct tls_conn *t = tls_new(l, c, s, on_ready, ctx);
    static const unsigned char both[] = "\x02h2\x08http/1.1", http1[] = "\x08http/1.1";
    if (!t->ssl)
        return &t->handshake;
    SSL_set_verify(t->ssl, c->options.trust_anyone ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    SSL_set_connect_state(t->ssl);
    int alpn =
        h2 ? SSL_set_alpn_protos(t->ssl, both, sizeof both - 1) : SSL_set_alpn_protos(t->ssl, http1, sizeof http1 - 1);
    if (alpn != 0 || !expect_name(t->ssl, name)) {
        SSL_free(t->ssl);
        t->ssl = NULL;
    }
    return &t->handshake;
}

struct tls_handshake *tls_connect(struct loop *l, struct tls_context *c, struct stream *s, const char *name,
                                  tls_ready_fn *on_ready, void *ctx)
{
    return connect_with(l, c, s, name, c->options.h2, on_ready, ctx);
}

struct tls_handshake *tls_connect_http1(struct loop *l, struct tls_context *c, struct stream *s, const char *name,
                                        tls_ready_fn *on_ready, void *ctx)
{
    return connect_with(l, c, s, name, false, on_ready, ctx);
}

void tls_cancel(struct tls_handshake *h)
{
    if (h)
        close_conn(container_of(h, struct tls_conn, handshake));
}

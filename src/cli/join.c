#include "cli/join.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "auth/join_token.h"
#include "auth/pki.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "net/http.h"

enum {
    JOIN_CALL_MS = 15000, /* the leader may be changing meanwhile */
    JOIN_PAUSE_MS = 1000,
    JOIN_REFUSALS_MAX = 2, /* a token made a moment ago may not be known everywhere yet */
    JOIN_ANSWER_MAX = 4 << 20,
};

enum outcome { JOIN_DONE, JOIN_AGAIN, JOIN_FAILED };

struct joining {
    struct loop *loop;
    const struct join_options *o;
    struct join_token token;
    struct buf key, csr; /* PEM */
    unsigned refusals;
    /* the call under way */
    struct loop_timer pause;
    struct buf answer;
    int err, code;
};

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "pintle server: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    return 1;
}

static const char *in_dir(char out[IDENTITY_PATH_MAX], const char *dir, const char *file)
{
    snprintf(out, IDENTITY_PATH_MAX, "%s/%s", dir, file);
    return out;
}

/* ---- one call ---- */

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct joining *j = ctx;
    (void)headers, (void)n;
    j->code = code;
}

static void on_data(void *ctx, struct slice data)
{
    struct joining *j = ctx;
    buf_add_slice(&j->answer, data);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct joining *j = ctx;
    (void)code, (void)trailers, (void)n, (void)sent;
    j->err = err ? err : buf_error(&j->answer);
    loop_stop(j->loop);
}

/* Asks address; err, code and answer say what came of it. */
static void ask(struct joining *j, const char *address, struct tls_context *tls, const char *method, const char *path,
                const char *authorization, struct slice body)
{
    struct http_header headers[2];
    size_t n = 0;
    struct http_client *client = http_client_new(j->loop, &(struct http_client_options){.addr = address, .tls = tls});
    pki_wipe(&j->answer);
    buf_clear(&j->answer);
    j->err = j->code = 0;
    if (authorization)
        headers[n++] = (struct http_header){SLICE("authorization"), slice_str(authorization)};
    if (body.n)
        headers[n++] = (struct http_header){SLICE("content-type"), SLICE("application/json")};
    http_call(client, &(struct http_call_options){.method = method,
                                                  .path = path,
                                                  .headers = headers,
                                                  .n_headers = n,
                                                  .body = body,
                                                  .timeout_ms = JOIN_CALL_MS,
                                                  .on_head = on_head,
                                                  .on_data = on_data,
                                                  .on_done = on_done,
                                                  .ctx = j});
    loop_run(j->loop);
    http_client_free(client);
}

static void on_pause(struct loop_timer *t)
{
    loop_stop(container_of(t, struct joining, pause)->loop);
}

static void rest(struct joining *j)
{
    j->pause.cb = on_pause;
    loop_timer_start(j->loop, &j->pause, JOIN_PAUSE_MS);
    loop_run(j->loop);
}

/* ---- the authority ---- */

static int save_authority(struct joining *j, struct slice pem)
{
    char path[IDENTITY_PATH_MAX];
    struct buf old = BUF_INIT(PKI_PEM_MAX);
    struct fs *fs = loop_fs(j->loop);
    in_dir(path, j->o->cert_dir, "ca.crt");
    int rv = pki_file_read(fs, path, &old);
    bool other = !rv && !join_token_knows(&j->token, buf_slice(&old));
    buf_done(&old);
    if (other)
        return fail("%s is another cluster's: give --cert-dir a directory of its own, or remove the file", path);
    if (rv != -ENOENT)
        return rv ? fail("%s: %s", path, strerror(-rv)) : 0;
    rv = pki_file_write(fs, path, pem);
    return rv ? fail("%s: %s", path, strerror(-rv)) : 0;
}

/* Whom the server's certificate will be checked against: what the token names, or nobody. */
static enum outcome learn_authority(struct joining *j, const char *address)
{
    char why[256];
    struct tls_context *tls;
    if (tls_context_new(&(struct tls_options){.trust_anyone = true}, &tls, why)) {
        fail("%s", why);
        return JOIN_FAILED;
    }
    ask(j, address, tls, "GET", "/pintle/v1/ca", NULL, SLICE_NONE);
    tls_context_free(tls);
    if (j->err || j->code != 200) {
        log_warn(loop_log(j->loop), "join", "no answer server=%s code=%d error=\"%s\"", address, j->code,
                 j->err ? strerror(-j->err) : "");
        return JOIN_AGAIN;
    }
    if (!join_token_knows(&j->token, buf_slice(&j->answer))) {
        fail("%s is not of the cluster that the token is from: its authority has another key. The token was not shown "
             "to "
             "it. Is the address right, and is nobody in between?",
             address);
        return JOIN_FAILED;
    }
    return save_authority(j, buf_slice(&j->answer)) ? JOIN_FAILED : JOIN_DONE;
}

/* ---- asking to be a member ---- */

static void write_request(const struct joining *j, struct buf *out)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct json *v = json_new_object(&a);
    json_set_str(&a, v, "csr", json_new_string(&a, buf_slice(&j->csr)));
    json_set_str(&a, v, "peer", json_new_str(&a, j->o->peer));
    json_set_str(&a, v, "api", json_new_str(&a, j->o->api ? j->o->api : ""));
    json_set_str(&a, v, "witness", json_new_bool(&a, j->o->witness));
    json_write(out, v);
    arena_done(&a);
}

/* What an answer that is none of 2xx means. */
static enum outcome judge(struct joining *j, const char *address)
{
    struct arena a;
    arena_init(&a, 4UL * JOIN_ANSWER_MAX);
    struct json *status = j->err ? NULL : json_parse(&a, buf_slice(&j->answer), NULL, NULL, NULL);
    struct slice message = json_path_string(status, "message");
    const char *text = arena_printf(&a, "%" SLICE_FMT, SLICE_ARG(message));
    bool refused = !j->err && (j->code == 401 || j->code == 403);
    bool again = j->err || j->code == 429 || j->code >= 502 || (refused && ++j->refusals < JOIN_REFUSALS_MAX);
    if (j->err == -EKEYREJECTED)
        text = "its certificate is not valid for this address, or not from the cluster's authority";
    else if (j->err)
        text = strerror(-j->err);
    if (again)
        log_warn(loop_log(j->loop), "join", "not yet server=%s code=%d reason=\"%s\"", address, j->err ? 0 : j->code,
                 text);
    else if (refused)
        fail("%s refuses the token (%d): it is unknown, expired, or not one for servers. Make a new one with "
             "`pintle token create`",
             address, j->code);
    else
        fail("%s answers %d: %s", address, j->code, text);
    arena_done(&a);
    return again ? JOIN_AGAIN : JOIN_FAILED;
}

static enum outcome ask_to_join(struct joining *j, const char *address)
{
    char why[256], ca[IDENTITY_PATH_MAX], authorization[64];
    struct tls_context *tls;
    struct buf body = BUF_INIT(1 << 16);
    if (tls_context_new(&(struct tls_options){.ca_file = in_dir(ca, j->o->cert_dir, "ca.crt")}, &tls, why)) {
        fail("%s", why);
        return JOIN_FAILED;
    }
    snprintf(authorization, sizeof authorization, "Bearer %s.%s", j->token.id, j->token.secret);
    write_request(j, &body);
    ask(j, address, tls, "POST", "/pintle/v1/join", authorization, buf_slice(&body));
    tls_context_free(tls);
    buf_done(&body);
    return !j->err && j->code == 200 ? JOIN_DONE : judge(j, address);
}

/* ---- what it is given ---- */

static int write_file(struct joining *j, const char *name, struct slice text)
{
    char path[IDENTITY_PATH_MAX];
    if (!text.n)
        return 0; /* not for a witness */
    int rv = pki_file_write(loop_fs(j->loop), in_dir(path, j->o->cert_dir, name), text);
    return rv ? fail("%s: %s", path, strerror(-rv)) : 0;
}

/* The keys go first: a certificate without its key would be of no use. */
static int write_files(struct joining *j, const struct json *v)
{
    static const char *const files[][2] = {{"ca.key", "caKey"},
                                           {"sa.key", "serviceAccountKey"},
                                           {"encryption.key", "encryptionKey"},
                                           {"ca.crt", "ca"},
                                           {"server.crt", "certificate"}};
    int rv = write_file(j, "server.key", buf_slice(&j->key));
    for (size_t i = 0; !rv && i < sizeof files / sizeof *files; i++)
        rv = write_file(j, files[i][0], json_path_string(v, files[i][1]));
    return rv;
}

static bool take_member(const struct json *v, struct identity *ret)
{
    if (ret->n_members == RAFT_MEMBERS_MAX)
        return false;
    struct identity_member *m = &ret->members[ret->n_members++];
    m->id = (uint64_t)json_int(json_get_str(v, "id"), 0);
    return m->id && identity_set(m->peer, json_path_string(v, "peer")) &&
           identity_set(m->api, json_path_string(v, "api"));
}

static int take_answer(struct joining *j, const char *address, struct identity *ret)
{
    struct arena a;
    arena_init(&a, 4UL * JOIN_ANSWER_MAX);
    const struct json *v = json_parse(&a, buf_slice(&j->answer), NULL, NULL, NULL);
    *ret = (struct identity){.id = (uint64_t)json_int(json_get_str(v, "id"), 0),
                             .cluster_id = identity_cluster(json_path_string(v, "clusterId")),
                             .joined = true,
                             .witness = j->o->witness};
    bool ok = ret->id && ret->cluster_id && json_path_string(v, "certificate").n;
    json_each (m, json_get_str(v, "members"))
        ok = ok && take_member(m, ret);
    ok = ok && identity_set(ret->peer, slice_str(j->o->peer)) && identity_set(ret->api, slice_str(j->o->api));
    int rv = ok ? write_files(j, v) : fail("%s: the answer makes no sense", address);
    arena_done(&a);
    return rv;
}

/* ---- before all ---- */

static int read_token(struct joining *j)
{
    struct buf text = BUF_INIT(4096);
    struct slice token = slice_str(j->o->token);
    if (j->o->token_file) {
        int rv = pki_file_read(loop_fs(j->loop), j->o->token_file, &text);
        if (rv)
            return fail("%s: %s", j->o->token_file, strerror(-rv));
        token = buf_slice(&text);
    }
    bool ok = join_token_parse(token, &j->token) == 0 && j->token.ca[0];
    pki_wipe(&text);
    buf_done(&text);
    return ok ? 0 : fail("--token: want ID.SECRET.AUTHORITY, as `pintle token create` prints it");
}

/* The key of an earlier attempt, or a new one. */
static int prepare_key(struct joining *j)
{
    char path[IDENTITY_PATH_MAX];
    struct fs *fs = loop_fs(j->loop);
    struct pki_key *key = NULL;
    in_dir(path, j->o->data_dir, "join.key");
    int rv = pki_key_load(fs, path, &key);
    if (rv == -ENOENT && !(rv = pki_key_create(&key)))
        rv = pki_key_write(key, fs, path);
    if (!rv)
        rv = pki_key_pem(key, &j->key);
    if (!rv)
        rv = pki_csr_make(key, &(struct pki_request){.common_name = "pintle:server"}, &j->csr);
    pki_key_free(key);
    return rv ? fail("%s: %s", path, strerror(-rv)) : 0;
}

static const char *address_of(const char *server)
{
    return strncmp(server, "https://", 8) ? server : server + 8;
}

static int ask_around(struct joining *j, struct identity *ret)
{
    uint64_t until = loop_now(j->loop) + j->o->timeout_s * (uint64_t)NS_PER_SEC;
    for (size_t i = 0;; i++) {
        const char *address = address_of(j->o->servers[i % j->o->n_servers]);
        log_info(loop_log(j->loop), "join", "asking server=%s peer=%s api=%s", address, j->o->peer,
                 j->o->api ? j->o->api : "");
        enum outcome out = learn_authority(j, address);
        if (out == JOIN_DONE)
            out = ask_to_join(j, address);
        if (out == JOIN_DONE)
            return take_answer(j, address, ret);
        if (out == JOIN_FAILED)
            return 1;
        if (loop_now(j->loop) >= until)
            return fail("no server has let this one in for %u s (--join-timeout); the log says why. Nothing is lost by "
                        "trying again",
                        j->o->timeout_s);
        rest(j);
    }
}

int join_cluster(struct loop *l, const struct join_options *o, struct identity *ret)
{
    struct joining j = {.loop = l,
                        .o = o,
                        .key = BUF_INIT(PKI_PEM_MAX),
                        .csr = BUF_INIT(PKI_PEM_MAX),
                        .answer = BUF_INIT(JOIN_ANSWER_MAX)};
    int rv = read_token(&j);
    if (!rv) {
        fs_mkdirs(loop_fs(l), o->data_dir);
        fs_mkdirs(loop_fs(l), o->cert_dir);
        rv = prepare_key(&j);
    }
    if (!rv)
        rv = ask_around(&j, ret);
    if (!rv)
        log_info(loop_log(l), "join", "let in id=%" PRIu64 " members=%zu", ret->id, ret->n_members);
    pki_wipe(&j.key);
    pki_wipe(&j.answer);
    buf_done(&j.key);
    buf_done(&j.csr);
    buf_done(&j.answer);
    return rv;
}

void join_finish(struct loop *l, const char *data_dir)
{
    char path[IDENTITY_PATH_MAX];
    fs_unlink(loop_fs(l), in_dir(path, data_dir, "join.key"));
}

/* How a machine becomes a replica: GET /pintle/v1/ca (anybody) gives the authority's certificate, which the newcomer checks
 * against its token; POST /pintle/v1/join {csr, peer, api, witness} with a token for servers makes it a member,
 * certifies
 * its key and answers with what it needs to run.
 *
 * The leader does it, one newcomer at a time. First it notes in the ConfigMap kube-system/pintle-joins which key asked
 * for
 * which peer address; then it adds the member. So the same key may ask again, after whatever went wrong, and gets the
 * same
 * id; and no key gets the id of a member it is not. Of what the request names only the two addresses go into the
 * certificate; its name and group are ours. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "apiserver/output.h"
#include "apiserver/write.h"
#include "auth/join_token.h"
#include "auth/pki.h"
#include "base/mem.h"
#include "store/members.h"

enum { JOIN_CERT_DAYS = 365, JOIN_HASH = 65 };

static const char intents[] = "pintle-joins";

struct join {
    struct members_op op; /* first: a cancelled one is freed by the members */
    struct api_request *r;
    struct intent_call *intent; /* under way, or NULL */
    struct slice csr;           /* PEM, in r's arena */
    char key[JOIN_HASH];        /* hash of the key that asks */
    char peer[RAFT_ADDR_MAX], api[RAFT_ADDR_MAX];
    bool witness;
};

struct intent_call {
    struct api_local local; /* first: a cancelled call is freed as its api_local */
    struct join *j;
};

void api_ca(struct api_request *r)
{
    struct blob *b = r->api->o.ca_pem.n ? blob_copy(r->api->o.ca_pem) : NULL;
    if (b)
        api_reply_bytes(r, 200, "application/x-pem-file", chunk_take(b));
    else
        api_reply_error(r, 404, "this server has no certificate authority");
}

/* ---- certifying ---- */

/* The host of "host:port" or "[ip6]:port". */
static const char *host_of(struct arena *a, const char *address)
{
    const char *colon = strrchr(address, ':');
    struct slice host = slice_of(address, colon ? (size_t)(colon - address) : strlen(address));
    if (host.n > 2 && host.p[0] == '[')
        host = slice_of(host.p + 1, host.n - 2);
    return arena_printf(a, "%" SLICE_FMT, SLICE_ARG(host));
}

static int certify(struct join *j, uint64_t id, struct buf *cert)
{
    static const char *const dns[] = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                                      "kubernetes.default.svc.cluster.local"};
    static const char *const orgs[] = {"pintle:servers"};
    struct api *api = j->r->api;
    struct arena *a = j->r->arena;
    const char *ips[4] = {"127.0.0.1", api_service_ip(api, a), host_of(a, j->peer), host_of(a, j->api)};
    const struct pki_request q = {.common_name = arena_printf(a, "pintle:server:%" PRIu64, id),
                                  .orgs = orgs,
                                  .n_orgs = 1,
                                  .dns = dns,
                                  .n_dns = sizeof dns / sizeof *dns,
                                  .ips = ips,
                                  .n_ips = j->api[0] ? 4 : 3,
                                  .server = true,
                                  .client = true,
                                  .days = JOIN_CERT_DAYS};
    struct pki_pair *ca = NULL;
    struct pki_csr *csr = NULL;
    int rv = pki_pair_parse(api->o.ca_pem, api->o.join->ca_key, &ca);
    if (!rv)
        rv = pki_csr_parse(j->csr, &csr);
    if (!rv)
        rv = pki_sign_csr(ca, csr, &q, loop_wall(api->loop), cert);
    pki_csr_free(csr);
    pki_pair_free(ca);
    return rv;
}

/* ---- the answer ---- */

static struct json *members_json(struct arena *a, struct members *m)
{
    struct member_view all[RAFT_MEMBERS_MAX];
    struct json *list = json_new_array(a);
    size_t n = members_list(m, all);
    for (size_t i = 0; i < n; i++) {
        struct json *v = json_new_object(a);
        json_set_str(a, v, "id", json_new_int(a, (int64_t)all[i].id));
        json_set_str(a, v, "peer", json_new_str(a, all[i].peer));
        json_set_str(a, v, "api", json_new_str(a, all[i].api));
        json_append(list, v);
    }
    return list;
}

/* A witness has no API: the keys that make certificates and tokens are not for it. */
static struct json *answer_json(struct join *j, uint64_t id, struct slice cert)
{
    struct api *api = j->r->api;
    struct arena *a = j->r->arena;
    struct raft_status status;
    struct json *v = json_new_object(a);
    raft_node_status(replica_raft(api->o.replica), &status);
    json_set_str(a, v, "id", json_new_int(a, (int64_t)id));
    json_set_str(a, v, "clusterId", json_new_printf(a, "%" PRIx64, status.cluster_id));
    json_set_str(a, v, "certificate", json_new_string(a, cert));
    json_set_str(a, v, "ca", json_new_string(a, api->o.ca_pem));
    if (!j->witness) {
        json_set_str(a, v, "serviceAccountKey", json_new_string(a, api->o.join->sa_key));
        json_set_str(a, v, "caKey", json_new_string(a, api->o.join->ca_key));
        json_set_str(a, v, "encryptionKey", json_new_string(a, api->o.join->encryption_key));
    }
    json_set_str(a, v, "members", members_json(a, api->o.membership));
    return v;
}

/* ---- steps ---- */

/* Ends the join: nothing of it is used afterwards. */
static struct api_request *leave(struct join *j)
{
    struct api_request *r = j->r;
    r->on_close = NULL;
    r->api->joining = false;
    mem_free(j);
    return r;
}

static void succeed(struct join *j, uint64_t id)
{
    struct buf cert = BUF_INIT(PKI_PEM_MAX);
    int rv = certify(j, id, &cert);
    struct json *v = rv ? NULL : answer_json(j, id, buf_slice(&cert));
    buf_done(&cert);
    log_info(loop_log(j->r->api->loop), "join", "member id=%" PRIu64 " peer=%s api=%s witness=%d certified err=%d", id,
             j->peer, j->api, j->witness, rv);
    struct api_request *r = leave(j);
    if (r->gone)
        r->responder->abort(r);
    else if (rv)
        api_reply_error(r, 500, "the certificate could not be made");
    else
        api_reply_json(r, 200, v);
}

static void on_added(struct members_op *op, int err)
{
    struct join *j = container_of(op, struct join, op);
    struct members_op ended = *op;
    if (!err) {
        succeed(j, op->ret_id);
        return;
    }
    struct api_request *r = leave(j);
    if (r->gone)
        r->responder->abort(r);
    else
        api_reply_members_error(r, &ended, err);
}

static void on_close_adding(struct api_request *r)
{
    struct join *j = r->waiting;
    r->api->joining = false;
    members_cancel(&j->op);
    r->responder->abort(r);
}

static void add_member(struct join *j)
{
    struct api_request *r = j->r;
    j->op = (struct members_op){
        .kind = MEMBERS_ADD, .peer = j->peer, .api = j->api, .witness = j->witness, .done = on_added};
    r->waiting = j;
    r->on_close = on_close_adding;
    members_start(r->api->o.membership, &j->op);
}

static void on_close_noting(struct api_request *r)
{
    struct join *j = r->waiting;
    api_local_cancel(&j->intent->local);
    leave(j);
    r->responder->abort(r);
}

static void on_noted(struct api_local *l, int code, struct slice body)
{
    struct intent_call *call = container_of(l, struct intent_call, local);
    struct join *j = call->j;
    (void)body;
    mem_free(call);
    j->intent = NULL;
    if (code / 100 == 2) {
        add_member(j);
        return;
    }
    struct api_request *r = leave(j);
    if (r->gone)
        r->responder->abort(r);
    else
        api_reply_errno(r, -EAGAIN, "noting who joins");
}

/* ConfigMaps' keys have no colons and brackets. */
static const char *intent_name(struct arena *a, const char *peer)
{
    char name[RAFT_ADDR_MAX];
    size_t n = 0;
    for (; n < sizeof name - 1 && peer[n]; n++) {
        char c = peer[n];
        bool fine = c == '.' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        name[n] = fine ? c : '_';
    }
    name[n] = '\0';
    return arena_printf(a, "%s", name);
}

/* The peer address may hold anything but what the name lets pass: the value has it whole. */
static const char *intent_value(struct join *j)
{
    return arena_printf(j->r->arena, "%s %s", j->key, j->peer);
}

static void note_intent(struct join *j)
{
    struct api *api = j->r->api;
    struct arena *a = j->r->arena;
    struct user user = {0};
    struct buf text = BUF_INIT(1 << 16);
    struct json *v = json_new_object(a), *meta = json_new_object(a), *data = json_new_object(a);
    json_set_str(a, v, "apiVersion", json_new_str(a, "v1"));
    json_set_str(a, v, "kind", json_new_str(a, "ConfigMap"));
    json_set_str(a, meta, "name", json_new_str(a, intents));
    json_set_str(a, v, "metadata", meta);
    json_set_str(a, v, "data", data);
    json_set_str(a, data, intent_name(a, j->peer), json_new_str(a, intent_value(j)));
    json_write(&text, v);
    user_set_superuser(&user, a);
    j->intent = mem_new(struct intent_call);
    j->intent->j = j;
    j->intent->local.done = on_noted;
    j->r->waiting = j;
    j->r->on_close = on_close_noting;
    /* a field manager of its own: applying one line leaves the others alone */
    api_local_start(api, &j->intent->local, &user, "PATCH", "/api/v1/namespaces/kube-system/configmaps/pintle-joins",
                    arena_printf(a, "fieldManager=pintle-join-%.16s&force=true", j->key),
                    "application/apply-patch+yaml", buf_slice(&text));
    buf_done(&text);
}

static bool was_noted(struct join *j)
{
    const struct json *map = api_object(j->r, resource_core("configmaps"), SLICE("kube-system"), slice_str(intents));
    struct slice value = json_string(json_get_str(json_get_str(map, "data"), intent_name(j->r->arena, j->peer)));
    return slice_eq_str(value, intent_value(j));
}

static uint64_t member_at(struct join *j)
{
    struct member_view all[RAFT_MEMBERS_MAX];
    size_t n = members_list(j->r->api->o.membership, all);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(all[i].peer, j->peer))
            return all[i].id;
    return 0;
}

static void begin(struct join *j)
{
    uint64_t id = member_at(j);
    bool noted = was_noted(j);
    if (id && noted) {
        succeed(j, id); /* it asks again: the answer was lost */
    } else if (id) {
        struct api_request *r = leave(j);
        api_reply_error(r, 409,
                        "the peer address belongs to member %" PRIu64 ". If that one's data is lost, remove it first: "
                        "pintle member remove %" PRIu64,
                        id, id);
    } else if (noted) {
        add_member(j);
    } else {
        note_intent(j);
    }
}

/* ---- the request ---- */

static bool take_address(struct slice text, char out[RAFT_ADDR_MAX])
{
    if (text.n >= RAFT_ADDR_MAX || memchr(text.n ? text.p : "", '\0', text.n))
        return false;
    memcpy(out, text.n ? text.p : "", text.n);
    return true;
}

static int read_request(struct join *j, struct status *st)
{
    struct api_request *r = j->r;
    struct json *body = api_decode_any(r, st);
    struct pki_csr *csr = NULL;
    struct buf cert = BUF_INIT(PKI_PEM_MAX);
    if (!body)
        return st->code;
    j->csr = json_path_string(body, "csr");
    j->witness = json_bool(json_get_str(body, "witness"), false);
    if (!take_address(json_path_string(body, "peer"), j->peer) || !j->peer[0] ||
        !take_address(json_path_string(body, "api"), j->api) || (!j->api[0] && !j->witness))
        return status_set(st, r->arena, 422, "want the addresses peer and api, HOST:PORT each");
    if (pki_csr_parse(j->csr, &csr) || pki_csr_key_hash(csr, j->key))
        status_set(st, r->arena, 422, "csr is no certificate signing request, or not signed by its key");
    else if (certify(j, 0, &cert))
        status_set(st, r->arena, 422, "nothing can be certified for peer \"%s\" and api \"%s\": want IP:PORT", j->peer,
                   j->api);
    buf_done(&cert);
    pki_csr_free(csr);
    return st->code;
}

static int check(struct api_request *r, struct status *st)
{
    const struct api_join *join = r->api->o.join;
    if (!slice_eq_str(r->method, "POST"))
        return status_set(st, r->arena, 405, "the server does not allow this method on the requested resource");
    if (!join || !r->api->o.membership)
        return status_set(st, r->arena, 501, "this server's members are fixed");
    if (!replica_is_leader(r->api->o.replica))
        return 0;
    if (!api_token_stands(r->api, r->user.name))
        return status_set(st, r->arena, 401, "the token is gone or has expired");
    if (!join->ca_key.n)
        return status_set(st, r->arena, 501,
                          "server %" PRIu64 ", which leads, cannot certify a new one: it has no %s. Put the cluster's "
                          "ca.key there and restart it, or hand leadership to one that has it",
                          r->api->o.id, join->ca_key_path);
    if (r->api->joining) {
        status_set(st, r->arena, 503, "another machine is joining right now, please ask again");
        st->retry_after = API_RETRY_SECONDS;
    }
    return st->code;
}

void api_join(struct api_request *r)
{
    struct status st = {0};
    if (check(r, &st)) {
        api_reply_status(r, &st);
        return;
    }
    if (!replica_is_leader(r->api->o.replica)) {
        api_forward(r);
        return;
    }
    struct join *j = mem_new(struct join);
    j->r = r;
    if (read_request(j, &st)) {
        mem_free(j);
        api_reply_status(r, &st);
        return;
    }
    r->api->joining = true;
    begin(j);
}

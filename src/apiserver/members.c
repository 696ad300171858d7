/* /pintle/v1/members: who the replicas are, for operators.
 *   GET members                          all of them, the quorum's health, and on the leader how far each lags
 *   POST members {peer, api, witness}    adds one (the way of machines that bring their own certificate; else: join.c)
 *   DELETE members/ID
 *   POST members/ID/promote, demote, transfer, replace; POST members/0/transfer: to whoever is best
 *
 * The leader answers; others pass it on. Without a leader a GET is answered from what this replica knows, and says so;
 * so is one with ?local=true. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "apiserver/write.h"
#include "base/mem.h"
#include "store/members.h"

/* ---- for the other files ---- */

const char *api_address_of(struct api *api, uint64_t id)
{
    if (api->o.membership)
        return members_api_address(api->o.membership, id);
    for (size_t i = 0; i < api->o.n_members; i++)
        if (api->o.members[i].id == id)
            return api->o.members[i].address;
    return NULL;
}

size_t api_addresses(struct api *api, struct api_member out[API_MEMBERS_MAX])
{
    struct member_view all[RAFT_MEMBERS_MAX];
    size_t n = 0, n_all = api->o.membership ? members_list(api->o.membership, all) : 0;
    for (size_t i = 0; i < n_all; i++) {
        if (all[i].role == MEMBER_SPARE || all[i].witness || !all[i].api[0])
            continue;
        out[n].id = all[i].id;
        memcpy(out[n++].address, all[i].api, RAFT_ADDR_MAX);
    }
    for (size_t i = 0; !api->o.membership && i < api->o.n_members; i++)
        out[n++] = api->o.members[i];
    return n;
}

/* ---- the list ---- */

static const char *role_name(enum raft_member_role role)
{
    return role == MEMBER_VOTER ? "voter" : role == MEMBER_STANDBY ? "standby" : "spare";
}

static struct json *member_json(struct arena *a, const struct member_view *v)
{
    struct json *m = json_new_object(a);
    json_set_str(a, m, "id", json_new_int(a, (int64_t)v->id));
    json_set_str(a, m, "role", json_new_str(a, role_name(v->role)));
    json_set_str(a, m, "witness", json_new_bool(a, v->witness));
    json_set_str(a, m, "leader", json_new_bool(a, v->leader));
    json_set_str(a, m, "self", json_new_bool(a, v->self));
    json_set_str(a, m, "pinned", json_new_bool(a, v->pinned));
    json_set_str(a, m, "connected", json_new_bool(a, v->connected));
    json_set_str(a, m, "peer", json_new_str(a, v->peer));
    json_set_str(a, m, "api", json_new_str(a, v->api));
    json_set_str(a, m, "format", json_new_int(a, v->format));
    if (v->has_match) {
        json_set_str(a, m, "matchIndex", json_new_int(a, (int64_t)v->match_index));
        json_set_str(a, m, "behind", json_new_int(a, (int64_t)v->behind));
    }
    return m;
}

/* How many voters there are, how many a majority is, how many are connected, and how many of those may still fail. */
static struct json *quorum_json(struct arena *a, const struct member_view *all, size_t n)
{
    int64_t voters = 0, up = 0;
    for (size_t i = 0; i < n; i++) {
        voters += all[i].role == MEMBER_VOTER;
        up += all[i].role == MEMBER_VOTER && (all[i].connected || all[i].self);
    }
    int64_t needed = voters / 2 + 1;
    struct json *q = json_new_object(a);
    json_set_str(a, q, "voters", json_new_int(a, voters));
    json_set_str(a, q, "needed", json_new_int(a, needed));
    json_set_str(a, q, "connected", json_new_int(a, up));
    json_set_str(a, q, "survives", json_new_int(a, up > needed ? up - needed : 0));
    return q;
}

static void reply_list(struct api_request *r, const char *note)
{
    struct api *api = r->api;
    struct arena *a = r->arena;
    struct raft_status status;
    struct member_view all[RAFT_MEMBERS_MAX];
    size_t n = members_list(api->o.membership, all);
    raft_node_status(replica_raft(api->o.replica), &status);
    struct json *v = json_new_object(a), *list = json_new_array(a);
    for (size_t i = 0; i < n; i++)
        json_append(list, member_json(a, &all[i]));
    json_set_str(a, v, "answeredBy", json_new_int(a, (int64_t)api->o.id));
    json_set_str(a, v, "leader", json_new_int(a, (int64_t)status.leader_id));
    json_set_str(a, v, "term", json_new_int(a, (int64_t)status.term));
    json_set_str(a, v, "commitIndex", json_new_int(a, (int64_t)status.commit_index));
    json_set_str(a, v, "appliedIndex", json_new_int(a, (int64_t)status.applied_index));
    json_set_str(a, v, "quorum", quorum_json(a, all, n));
    if (note)
        json_set_str(a, v, "note", json_new_str(a, note));
    json_set_str(a, v, "members", list);
    api_reply_json(r, 200, v);
}

static void note_local(void *ctx, struct slice value)
{
    *(bool *)ctx = !slice_eq_str(value, "false");
}

static void serve_list(struct api_request *r)
{
    bool local = false;
    api_query_each(r, SLICE("local"), note_local, &local);
    if (replica_is_leader(r->api->o.replica))
        reply_list(r, NULL);
    else if (local || r->user.forwarded || !replica_leader(r->api->o.replica))
        reply_list(r, "this replica does not lead: what it knows may be old, and how far others lag it does not know");
    else
        api_forward(r);
}

/* ---- operations ---- */

struct member_call {
    struct members_op op;
    struct api_request *r;
    char peer[RAFT_ADDR_MAX], api[RAFT_ADDR_MAX];
};

void api_reply_members_error(struct api_request *r, const struct members_op *op, int err)
{
    static const struct {
        int err, code;
        const char *text;
    } rows[] = {{EAGAIN, 503, "leadership is being handed over, please ask again"},
                {EBUSY, 503, "another change of membership is under way, please ask again"},
                {ESHUTDOWN, 503, "this server is shutting down, please ask another one"},
                {ENOENT, 404, "there is no such member"},
                {EEXIST, 409, "another member has this address"},
                {EXDEV, 409, "too few healthy voters would be left for a majority"},
                {E2BIG, 409, "there are as many members as can be"},
                {EINVAL, 400, "the address is no good"},
                {ETIMEDOUT, 504, "it was not confirmed in time; it may still take effect, see the list of members"}};
    struct status st;
    status_set(&st, r->arena, 500, "changing the membership failed (%d)", err);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].err == -err)
            status_set(&st, r->arena, rows[i].code, "%s", op->why[0] ? op->why : rows[i].text);
    if (st.code == 503)
        st.retry_after = API_RETRY_SECONDS;
    api_reply_status(r, &st);
}

static struct json *done_json(struct arena *a, const struct members_op *op)
{
    static const char *const done[] = {
        [MEMBERS_ADD] = "added",      [MEMBERS_REMOVE] = "removed", [MEMBERS_PROMOTE] = "promoted",
        [MEMBERS_DEMOTE] = "demoted", [MEMBERS_TRANSFER] = "leads", [MEMBERS_REPLACE] = "replaced"};
    struct json *v = json_new_object(a);
    json_set_str(a, v, "id", json_new_int(a, (int64_t)(op->kind == MEMBERS_ADD ? op->ret_id : op->id)));
    json_set_str(a, v, "done", json_new_str(a, done[op->kind]));
    return v;
}

static void on_op_done(struct members_op *op, int err)
{
    struct member_call *c = container_of(op, struct member_call, op);
    struct api_request *r = c->r;
    r->on_close = NULL;
    if (r->gone)
        r->responder->abort(r);
    else if (!err)
        api_reply_json(r, op->kind == MEMBERS_ADD ? 201 : 200, done_json(r->arena, op));
    else if (err == -EAGAIN && !r->user.forwarded && !replica_is_leader(r->api->o.replica))
        api_forward(r); /* the next leader can do it */
    else
        api_reply_members_error(r, op, err);
    mem_free(c);
}

static void on_close(struct api_request *r)
{
    struct member_call *c = r->waiting;
    members_cancel(&c->op); /* first in c: the members free it */
    r->responder->abort(r);
}

static void start(struct api_request *r, enum members_op_kind kind, uint64_t id, const struct json *body)
{
    struct member_call *c = mem_new(struct member_call);
    struct slice peer = json_path_string(body, "peer"), address = json_path_string(body, "api");
    c->r = r;
    c->op = (struct members_op){.kind = kind,
                                .id = id,
                                .peer = c->peer,
                                .api = c->api,
                                .witness = json_bool(json_get_str(body, "witness"), false),
                                .done = on_op_done};
    memcpy(c->peer, peer.n ? peer.p : "", peer.n);
    memcpy(c->api, address.n ? address.p : "", address.n);
    r->waiting = c;
    r->on_close = on_close;
    members_start(r->api->o.membership, &c->op);
}

static void serve_add(struct api_request *r)
{
    struct status st = {0};
    struct json *body = api_decode_any(r, &st);
    struct slice peer = json_path_string(body, "peer"), address = json_path_string(body, "api");
    bool witness = json_bool(json_get_str(body, "witness"), false);
    if (body && (!peer.n || peer.n >= RAFT_ADDR_MAX || address.n >= RAFT_ADDR_MAX || (!address.n && !witness)))
        status_set(&st, r->arena, 422,
                   "want {\"peer\":\"HOST:PORT\",\"api\":\"HOST:PORT\"}, and \"witness\":true for one without an API");
    if (st.code)
        api_reply_status(r, &st);
    else
        start(r, MEMBERS_ADD, 0, body);
}

static bool operation(struct slice name, enum members_op_kind *ret)
{
    static const struct {
        const char *name;
        enum members_op_kind kind;
    } rows[] = {{"promote", MEMBERS_PROMOTE},
                {"demote", MEMBERS_DEMOTE},
                {"transfer", MEMBERS_TRANSFER},
                {"replace", MEMBERS_REPLACE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (slice_eq_str(name, rows[i].name)) {
            *ret = rows[i].kind;
            return true;
        }
    return false;
}

static void serve_one(struct api_request *r, struct slice rest)
{
    struct slice number, what;
    enum members_op_kind kind = MEMBERS_REMOVE;
    uint64_t id;
    slice_cut(rest, '/', &number, &what);
    bool deletes = slice_eq_str(r->method, "DELETE");
    if (!slice_to_u64(number, &id) || (what.n ? !operation(what, &kind) : !deletes) ||
        (!id && kind != MEMBERS_TRANSFER))
        api_reply_error(r, 404, "there is no /pintle/v1/members/%" SLICE_FMT, SLICE_ARG(rest));
    else if (deletes ? what.n > 0 : !slice_eq_str(r->method, "POST"))
        api_reply_error(r, 405, "the server does not allow this method on the requested resource");
    else
        start(r, kind, id, NULL);
}

void api_members(struct api_request *r)
{
    static const struct slice base = SLICE_INIT("/pintle/v1/members");
    struct slice rest = slice_from(r->path, base.n + 1);
    bool reads = slice_eq_str(r->method, "GET") || slice_eq_str(r->method, "HEAD");
    if (!r->api->o.membership)
        api_reply_error(r, 501, "this server's members are fixed");
    else if (reads && !rest.n)
        serve_list(r);
    else if (!reads && !replica_is_leader(r->api->o.replica))
        api_forward(r);
    else if (rest.n)
        serve_one(r, rest);
    else if (slice_eq_str(r->method, "POST"))
        serve_add(r);
    else
        api_reply_error(r, 405, "the server does not allow this method on the requested resource");
}

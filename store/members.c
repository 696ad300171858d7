#include "store/members.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/timefmt.h"

enum { OP_PATIENCE_MS = 15000, TRANSFER_MS = 3000, KEY_MAX = 32 };

/* Steps only the leader itself takes, beside those of members_op_kind. */
enum { OWN_ROLE = 100, OWN_ADDRESS, OWN_RECORD, OWN_REMOVE };

/* What the leader has seen of a member since it leads. */
struct track {
    uint64_t id;
    uint64_t since_ms; /* loop time: when it was first seen */
    uint64_t away_ms;  /* since when it is not connected; 0 = it is */
};

struct record {
    char api[RAFT_ADDR_MAX];
    bool there, witness, pinned, caught_up;
};

struct members {
    struct loop *loop;
    struct replica *replica;
    struct members_options o;
    struct raft_member hints[RAFT_MEMBERS_MAX];
    char api[RAFT_ADDR_MAX];
    struct store_table *table;
    struct loop_timer timer;
    struct list ops;       /* asked for, in order; the first one is at work */
    struct members_op own; /* the leader's own step */
    enum raft_member_role own_role;
    bool own_busy;
    struct raft_status status; /* as of the newest look */
    struct track tracks[RAFT_MEMBERS_MAX];
    size_t n_tracks;
    struct raft_member apis[RAFT_MEMBERS_MAX]; /* id → API's address, for members_api_address */
    size_t n_apis;
    bool closing;
};

static uint64_t now_ms(const struct members *m)
{
    return loop_now(m->loop) / NS_PER_MS;
}

/* ---- what members say, and their records ---- */

struct slice members_info(char out[MEMBERS_INFO_MAX], const char *api, bool witness)
{
    int n = snprintf(out, MEMBERS_INFO_MAX, "%s%s", api && api[0] ? api : "-", witness ? " witness" : "");
    return slice_of(out, (size_t)n);
}

static void parse_info(struct slice info, struct record *ret)
{
    struct slice api = info, flag = SLICE_NONE;
    slice_cut(info, ' ', &api, &flag);
    ret->witness = slice_eq_str(flag, "witness");
    if (api.n && api.n < sizeof ret->api && !slice_eq_str(api, "-"))
        memcpy(ret->api, api.p, api.n);
}

static struct slice key_of(uint64_t id, char out[KEY_MAX])
{
    return slice_of(out, (size_t)snprintf(out, KEY_MAX, "%" PRIu64, id));
}

static struct slice attr(const struct store_item *i, const char *name)
{
    return attrs_get(item_attrs(i), STORE_ATTR_FIELD, slice_str(name));
}

static void read_record(const struct members *m, uint64_t id, struct record *ret)
{
    char key[KEY_MAX];
    const struct store_item *i = store_get(m->table, key_of(id, key));
    *ret = (struct record){.there = i != NULL};
    if (!i)
        return;
    struct slice api = attr(i, "api");
    if (api.n && api.n < sizeof ret->api)
        memcpy(ret->api, api.p, api.n);
    ret->witness = attr(i, "witness").n > 0;
    ret->pinned = attr(i, "pinned").n > 0;
    ret->caught_up = attr(i, "caughtUp").n > 0;
}

/* Ids from here on were never given away. */
static uint64_t next_id(const struct members *m)
{
    const struct store_item *i = store_get(m->table, SLICE("next"));
    uint64_t next = 1;
    if (i)
        slice_to_u64(attr(i, "id"), &next);
    for (size_t k = 0; k < m->status.n_members; k++)
        if (m->status.members[k].member.id >= next)
            next = m->status.members[k].member.id + 1;
    return next;
}

bool members_was_removed(struct store *s, uint64_t id)
{
    uint64_t next = 0;
    const struct store_item *i = store_get(store_table(s, SLICE("pintle/members")), SLICE("next"));
    return i && slice_to_u64(attr(i, "id"), &next) && id < next;
}

struct write {
    struct store_op ops[2];
    struct buf attrs[2];
    char keys[2][KEY_MAX];
    size_t n;
};

static void add_flag(struct buf *attrs, const char *name, bool on)
{
    if (on)
        attrs_add(attrs, STORE_ATTR_FIELD, slice_str(name), SLICE("1"));
}

static struct buf *add_put(struct write *w, struct slice key)
{
    static const char value[] = "{\"kind\":\"Member\"}";
    struct buf *attrs = &w->attrs[w->n];
    buf_init(attrs, 4096);
    w->ops[w->n++] = (struct store_op){.kind = STORE_PUT,
                                       .table = SLICE("pintle/members"),
                                       .key = key,
                                       .value = slice_of(value, sizeof value - 1),
                                       .hole = 1,
                                       .type_len = 1};
    return attrs;
}

static void put_record(struct write *w, uint64_t id, const struct record *r)
{
    struct buf *attrs = add_put(w, key_of(id, w->keys[w->n]));
    attrs_add(attrs, STORE_ATTR_FIELD, SLICE("api"), slice_str(r->api));
    add_flag(attrs, "witness", r->witness);
    add_flag(attrs, "pinned", r->pinned);
    add_flag(attrs, "caughtUp", r->caught_up);
}

static void put_next(struct write *w, uint64_t next)
{
    char text[KEY_MAX];
    attrs_add(add_put(w, SLICE("next")), STORE_ATTR_FIELD, SLICE("id"), key_of(next, text));
}

/* ---- operations ---- */

static void work(struct members_op *op);

static void destroy(struct members *m)
{
    if (m->closing && list_empty(&m->ops) && !m->own_busy)
        mem_free(m);
}

static void op_end(struct members_op *op, int err)
{
    struct members *m = op->members;
    if (op == &m->own)
        m->own_busy = false;
    else
        list_remove(&op->link);
    if (op->cancelled)
        mem_free(op);
    else if (op->done)
        op->done(op, err);
    destroy(m);
}

/* The step that op waited for is done. */
static void op_next(struct members_op *op, int err)
{
    struct members *m = op->members;
    op->waiting = false;
    if (m->closing && !err)
        err = -ESHUTDOWN;
    if (err) {
        op_end(op, err);
        return;
    }
    op->step++;
    work(op);
}

static void change_done(struct raft_proposal *p, int err)
{
    op_next(container_of(p, struct members_op, proposal), err);
}

static void txn_done(struct replica_txn *t, int err)
{
    op_next(container_of(t, struct members_op, txn), err ? err : t->result.err);
}

static int change(struct members_op *op, enum raft_change_kind kind, uint64_t id, enum raft_member_role role,
                  const char *address)
{
    struct raft_change_request q = {.kind = kind, .member = {.id = id, .role = role}};
    snprintf(q.member.address, sizeof q.member.address, "%s", address ? address : "");
    op->proposal.done = change_done;
    op->waiting = true;
    raft_node_change(replica_raft(op->members->replica), &q, &op->proposal);
    return -EINPROGRESS;
}

static int commit(struct members_op *op, struct write *w)
{
    struct members *m = op->members;
    op->txn.done = txn_done;
    op->waiting = true;
    for (size_t i = 0; i < w->n; i++)
        w->ops[i].attrs = buf_slice(&w->attrs[i]);
    replica_txn(
        m->replica,
        &(struct store_txn){
            .time_ms = replica_time_ms(m->replica), .ops = w->ops, .n = w->n, .actor = SLICE("system:pintle:members")},
        &op->txn);
    for (size_t i = 0; i < w->n; i++)
        buf_done(&w->attrs[i]);
    return -EINPROGRESS;
}

/* The place of a member in the status, or -1. */
static int place(const struct members *m, uint64_t id)
{
    for (size_t i = 0; i < m->status.n_members; i++)
        if (m->status.members[i].member.id == id)
            return (int)i;
    return -1;
}

static bool keeps_up(const struct members *m, size_t i)
{
    const struct raft_status *s = &m->status;
    return s->members[i].connected && s->members[i].match_index &&
           s->members[i].match_index + MEMBERS_LAG_MAX >= s->commit_index;
}

static bool is_candidate(const struct members *m, size_t i)
{
    struct record r;
    read_record(m, m->status.members[i].member.id, &r);
    return m->status.members[i].member.role == MEMBER_STANDBY && keeps_up(m, i) && !r.pinned;
}

/* The standby that should get the next seat, or -1: witnesses last. */
static int best_candidate(const struct members *m)
{
    int best = -1;
    for (size_t i = 0; i < m->status.n_members; i++) {
        struct record r;
        if (!is_candidate(m, i))
            continue;
        read_record(m, m->status.members[i].member.id, &r);
        if (best < 0 || !r.witness)
            best = (int)i;
        if (!r.witness)
            break;
    }
    return best;
}

static int refuse(struct members_op *op, int err, const char *why)
{
    snprintf(op->why, sizeof op->why, "%s", why);
    return err;
}

static void transferred(void *ctx, int err)
{
    struct members *m = ctx;
    log_info(loop_log(m->loop), "members", "leadership handed over err=%d", err);
}

static int step_known(struct members_op *op)
{
    return place(op->members, op->id) >= 0 ? 0 : refuse(op, -ENOENT, "there is no such member");
}

/* What is to happen to the leader, its successor does. */
static int step_not_leader(struct members_op *op)
{
    struct members *m = op->members;
    if (op->id != m->status.id)
        return 0;
    raft_node_transfer(replica_raft(m->replica), 0, TRANSFER_MS, transferred, m);
    return refuse(op, -EAGAIN, "that member leads: leadership is being handed over, ask again");
}

static int step_new_id(struct members_op *op)
{
    struct members *m = op->members;
    for (size_t i = 0; i < m->status.n_members; i++)
        if (strcmp(m->status.members[i].member.address, op->peer) == 0) {
            op->ret_id = m->status.members[i].member.id;
            return refuse(op, -EEXIST, "a member has that peer address already");
        }
    op->ret_id = next_id(m);
    return 0;
}

static int step_add(struct members_op *op)
{
    return change(op, RAFT_CHANGE_ADD, op->ret_id, MEMBER_SPARE, op->peer);
}

static int step_enter(struct members_op *op)
{
    struct write w = {.n = 0};
    struct record r = {.witness = op->witness};
    snprintf(r.api, sizeof r.api, "%s", op->api ? op->api : "");
    put_record(&w, op->ret_id, &r);
    put_next(&w, next_id(op->members));
    return commit(op, &w);
}

/* So that the id is never given again, even when it was the highest. */
static int step_use_up_id(struct members_op *op)
{
    struct write w = {.n = 0};
    put_next(&w, next_id(op->members));
    return commit(op, &w);
}

static int step_remove(struct members_op *op)
{
    return change(op, RAFT_CHANGE_REMOVE, op->id, MEMBER_SPARE, NULL);
}

static int step_forget(struct members_op *op)
{
    struct write w = {.n = 1};
    buf_init(&w.attrs[0], 1);
    w.ops[0] =
        (struct store_op){.kind = STORE_DELETE, .table = SLICE("pintle/members"), .key = key_of(op->id, w.keys[0])};
    return commit(op, &w);
}

static int put_pin(struct members_op *op, bool pinned)
{
    struct write w = {.n = 0};
    struct record r;
    read_record(op->members, op->id, &r);
    if (r.pinned == pinned)
        return 0;
    r.pinned = pinned;
    put_record(&w, op->id, &r);
    return commit(op, &w);
}

static int step_unpin(struct members_op *op)
{
    return put_pin(op, false);
}

static int step_pin(struct members_op *op)
{
    return put_pin(op, true);
}

static enum raft_member_role role_of(const struct members_op *op)
{
    int i = place(op->members, op->id);
    return i < 0 ? MEMBER_SPARE : op->members->status.members[i].member.role;
}

static int step_to_standby(struct members_op *op)
{
    return role_of(op) == MEMBER_SPARE ? change(op, RAFT_CHANGE_ROLE, op->id, MEMBER_STANDBY, NULL) : 0;
}

static int step_wait(struct members_op *op)
{
    int i = place(op->members, op->id);
    if (i < 0 || keeps_up(op->members, (size_t)i))
        return 0;
    return refuse(op, -EBUSY, "it does not keep up with the log yet");
}

static int step_to_voter(struct members_op *op)
{
    return role_of(op) != MEMBER_VOTER ? change(op, RAFT_CHANGE_ROLE, op->id, MEMBER_VOTER, NULL) : 0;
}

static int step_demote(struct members_op *op)
{
    return role_of(op) == MEMBER_VOTER ? change(op, RAFT_CHANGE_ROLE, op->id, MEMBER_STANDBY, NULL) : 0;
}

static void op_transferred(void *ctx, int err)
{
    op_next(ctx, err);
}

static int step_transfer(struct members_op *op)
{
    struct members *m = op->members;
    int i = op->id ? place(m, op->id) : -1;
    if (op->id == m->status.id)
        return 0;
    if (op->id && i < 0)
        return refuse(op, -ENOENT, "there is no such member");
    if (op->id && m->status.members[i].member.role != MEMBER_VOTER)
        return refuse(op, -EXDEV, "only a voter can lead");
    op->waiting = true;
    raft_node_transfer(replica_raft(m->replica), op->id, TRANSFER_MS, op_transferred, op);
    return -EINPROGRESS;
}

static unsigned count_voters(const struct members *m)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->status.n_members; i++)
        n += m->status.members[i].member.role == MEMBER_VOTER;
    return n;
}

static int step_successor(struct members_op *op)
{
    struct members *m = op->members;
    int i = best_candidate(m);
    if (role_of(op) != MEMBER_VOTER || count_voters(m) % 2 == 0)
        return 0; /* nobody need take its seat */
    if (i < 0)
        return refuse(op, -EXDEV, "no standby keeps up with the log: let one join first");
    return change(op, RAFT_CHANGE_ROLE, m->status.members[i].member.id, MEMBER_VOTER, NULL);
}

static int step_own_role(struct members_op *op)
{
    return change(op, RAFT_CHANGE_ROLE, op->id, op->members->own_role, NULL);
}

static int step_own_address(struct members_op *op)
{
    int i = place(op->members, op->id);
    return i < 0 ? -ENOENT
                 : change(op, RAFT_CHANGE_ADDRESS, op->id, MEMBER_SPARE, op->members->status.members[i].address);
}

/* The record as it should be: what the member says, and whether it ever kept up. */
static void wanted_record(const struct members *m, size_t i, struct record *now, struct record *ret)
{
    struct record told = {.there = false};
    read_record(m, m->status.members[i].member.id, now);
    *ret = *now;
    parse_info(slice_of(m->status.members[i].info, m->status.members[i].info_n), &told);
    if (m->status.members[i].info_n) {
        memcpy(ret->api, told.api, sizeof ret->api);
        ret->witness = told.witness;
    }
    ret->caught_up = now->caught_up || m->status.members[i].member.role == MEMBER_VOTER || keeps_up(m, i);
}

static int step_own_record(struct members_op *op)
{
    struct write w = {.n = 0};
    struct record now, wanted;
    int i = place(op->members, op->id);
    if (i < 0)
        return 0;
    wanted_record(op->members, (size_t)i, &now, &wanted);
    put_record(&w, op->id, &wanted);
    return commit(op, &w);
}

typedef int step_fn(struct members_op *op);

enum { STEPS_MAX = 8 };

static const struct {
    int kind;
    step_fn *steps[STEPS_MAX];
} plans[] = {
    {MEMBERS_ADD, {step_new_id, step_add, step_enter}},
    {MEMBERS_REMOVE, {step_known, step_not_leader, step_use_up_id, step_remove, step_forget}},
    {MEMBERS_PROMOTE, {step_known, step_unpin, step_to_standby, step_wait, step_to_voter}},
    {MEMBERS_DEMOTE, {step_known, step_not_leader, step_pin, step_demote}},
    {MEMBERS_TRANSFER, {step_transfer}},
    {MEMBERS_REPLACE, {step_known, step_not_leader, step_successor, step_use_up_id, step_remove, step_forget}},
    {OWN_ROLE, {step_own_role}},
    {OWN_ADDRESS, {step_own_address}},
    {OWN_RECORD, {step_own_record}},
    {OWN_REMOVE, {step_use_up_id, step_remove, step_forget}},
};

static step_fn *step_of(const struct members_op *op)
{
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        if (plans[i].kind == (int)op->kind)
            return op->step < STEPS_MAX ? plans[i].steps[op->step] : NULL;
    return NULL;
}

/* Does steps of op until one waits, or asks for another round by -EBUSY, or all are done. */
static void work(struct members_op *op)
{
    struct members *m = op->members;
    int rv = 0;
    raft_node_status(replica_raft(m->replica), &m->status);
    if (!m->status.is_leader && step_of(op)) /* the last step may have been to hand leadership over */
        rv = refuse(op, -EAGAIN, "this replica does not lead");
    for (step_fn *step; !rv && (step = step_of(op));) {
        rv = step(op);
        op->step += rv == 0;
    }
    if (rv == -EINPROGRESS || (rv == -EBUSY && op != &m->own && now_ms(m) < op->deadline_ms))
        return;
    op_end(op, rv);
}

/* ---- the leader's own steps ---- */

static struct track *track_of(struct members *m, uint64_t id)
{
    for (size_t i = 0; i < m->n_tracks; i++)
        if (m->tracks[i].id == id)
            return &m->tracks[i];
    if (m->n_tracks == RAFT_MEMBERS_MAX)
        m->n_tracks = 0; /* members came and went: begin anew */
    m->tracks[m->n_tracks] = (struct track){.id = id, .since_ms = now_ms(m)};
    return &m->tracks[m->n_tracks++];
}

static void watch_connections(struct members *m)
{
    for (size_t i = 0; i < m->status.n_members; i++) {
        struct track *t = track_of(m, m->status.members[i].member.id);
        if (m->status.members[i].connected)
            t->away_ms = 0;
        else if (!t->away_ms)
            t->away_ms = now_ms(m);
    }
}

static bool begin(struct members *m, int kind, uint64_t id, enum raft_member_role role, const char *why)
{
    static const char *const names[] = {"voter", "standby", "spare"};
    log_info(loop_log(m->loop), "members", "%s member=%" PRIu64 "%s%s", why, id, kind == OWN_ROLE ? " role=" : "",
             kind == OWN_ROLE ? names[role] : "");
    m->own = (struct members_op){.kind = (enum members_op_kind)kind, .id = id, .members = m};
    m->own_role = role;
    m->own_busy = true;
    work(&m->own);
    return true;
}

static bool fix_address(struct members *m, size_t i)
{
    const char *told = m->status.members[i].address;
    if (!told[0] || strcmp(told, m->status.members[i].member.address) == 0)
        return false;
    return begin(m, OWN_ADDRESS, m->status.members[i].member.id, MEMBER_SPARE, "another address");
}

static bool fix_record(struct members *m, size_t i)
{
    struct record now, wanted;
    wanted_record(m, i, &now, &wanted);
    if (now.there && strcmp(now.api, wanted.api) == 0 && now.witness == wanted.witness &&
        now.caught_up == wanted.caught_up)
        return false;
    return begin(m, OWN_RECORD, m->status.members[i].member.id, MEMBER_SPARE, "entering");
}

static bool welcome_spare(struct members *m, size_t i)
{
    if (m->status.members[i].member.role != MEMBER_SPARE || !m->status.members[i].connected)
        return false;
    return begin(m, OWN_ROLE, m->status.members[i].member.id, MEMBER_STANDBY, "connected");
}

static bool give_up_newcomer(struct members *m, size_t i)
{
    uint64_t id = m->status.members[i].member.id;
    struct record r;
    read_record(m, id, &r);
    if (m->status.members[i].member.role == MEMBER_VOTER || r.caught_up ||
        now_ms(m) - track_of(m, id)->since_ms < m->o.join_ms)
        return false;
    return begin(m, OWN_REMOVE, id, MEMBER_SPARE, "did not catch up in time, removing");
}

/* A voter that was away for too long, or -1. */
static int lost_voter(struct members *m)
{
    for (size_t i = 0; i < m->status.n_members; i++) {
        const struct track *t = track_of(m, m->status.members[i].member.id);
        if (m->status.members[i].member.role == MEMBER_VOTER && t->away_ms && now_ms(m) - t->away_ms >= m->o.replace_ms)
            return (int)i;
    }
    return -1;
}

/* Who gives up the seat that makes their number even: one that is away, else the one with the highest id; never the leader. */
static int voter_to_spare(const struct members *m)
{
    int best = -1;
    for (size_t i = 0; i < m->status.n_members; i++) {
        if (m->status.members[i].member.role != MEMBER_VOTER || m->status.members[i].member.id == m->status.id)
            continue;
        if (!m->status.members[i].connected)
            return (int)i;
        if (best < 0 || m->status.members[i].member.id > m->status.members[best].member.id)
            best = (int)i;
    }
    return best;
}

static unsigned odd_at_most(unsigned n)
{
    return n % 2 || n == 0 ? n : n - 1;
}

static bool fix_seats(struct members *m)
{
    unsigned voters = count_voters(m), candidates = 0;
    for (size_t i = 0; i < m->status.n_members; i++)
        candidates += is_candidate(m, i);
    unsigned wanted = odd_at_most(voters + candidates);
    if (wanted > m->o.voters_max)
        wanted = m->o.voters_max;
    int lost = candidates ? lost_voter(m) : -1;
    if (lost >= 0 && voters > 2)
        return begin(m, OWN_ROLE, m->status.members[lost].member.id, MEMBER_STANDBY, "away for too long, replacing");
    int i = best_candidate(m);
    if (voters < wanted && i >= 0)
        return begin(m, OWN_ROLE, m->status.members[i].member.id, MEMBER_VOTER, "keeps up, promoting");
    i = voters > 2 && voters % 2 == 0 && voters > wanted ? voter_to_spare(m) : -1;
    return i >= 0 && begin(m, OWN_ROLE, m->status.members[i].member.id, MEMBER_STANDBY, "an even number of voters");
}

/* At most one step a round. */
static void look_around(struct members *m)
{
    static bool (*const looks[])(struct members * m, size_t i) = {fix_address, welcome_spare, fix_record,
                                                                  give_up_newcomer};
    watch_connections(m);
    if (m->status.changing)
        return;
    for (size_t k = 0; k < sizeof looks / sizeof *looks; k++)
        for (size_t i = 0; i < m->status.n_members; i++)
            if (looks[k](m, i))
                return;
    fix_seats(m);
}

/* ---- rounds ---- */

static void add_api(struct members *m, uint64_t id, const char *api)
{
    if (!api[0] || m->n_apis == RAFT_MEMBERS_MAX)
        return;
    struct raft_member *a = &m->apis[m->n_apis++];
    a->id = id;
    snprintf(a->address, sizeof a->address, "%s", api);
}

/* What is known of member i's API: what it said, else what is written, else what we were told at the start. */
static void find_api(const struct members *m, size_t i, struct record *ret)
{
    uint64_t id = m->status.members[i].member.id;
    read_record(m, id, ret);
    if (id == m->status.id && m->o.api[0])
        snprintf(ret->api, sizeof ret->api, "%s", m->o.api);
    else if (m->status.members[i].info_n)
        parse_info(slice_of(m->status.members[i].info, m->status.members[i].info_n), ret);
    for (size_t k = 0; k < m->o.n_hints && !ret->api[0] && !ret->witness; k++)
        if (m->hints[k].id == id)
            memcpy(ret->api, m->hints[k].address, sizeof ret->api);
}

static void refresh_apis(struct members *m)
{
    m->n_apis = 0;
    for (size_t i = 0; i < m->status.n_members; i++) {
        struct record r;
        find_api(m, i, &r);
        add_api(m, m->status.members[i].member.id, r.api);
    }
}

static void on_round(struct loop_timer *t)
{
    struct members *m = container_of(t, struct members, timer);
    loop_timer_start(m->loop, t, MEMBERS_ROUND_MS);
    raft_node_status(replica_raft(m->replica), &m->status);
    refresh_apis(m);
    if (!m->status.is_leader)
        m->n_tracks = 0;
    struct members_op *first = list_empty(&m->ops) ? NULL : container_of(m->ops.next, struct members_op, link);
    if (m->own_busy || (first && first->waiting))
        return;
    if (first)
        work(first);
    else if (m->status.is_leader)
        look_around(m);
}

/* ---- interface ---- */

struct members *members_new(struct loop *l, const struct members_options *o)
{
    struct members *m = mem_new(struct members);
    m->loop = l;
    m->replica = o->replica;
    m->o = *o;
    snprintf(m->api, sizeof m->api, "%s", o->api ? o->api : "");
    m->o.api = m->api;
    m->o.voters_max = odd_at_most(o->voters_max ? o->voters_max : MEMBERS_VOTERS_MAX);
    m->o.replace_ms = o->replace_ms ? o->replace_ms : MEMBERS_REPLACE_MS;
    m->o.join_ms = o->join_ms ? o->join_ms : MEMBERS_JOIN_MS;
    m->o.n_hints = o->n_hints < RAFT_MEMBERS_MAX ? o->n_hints : RAFT_MEMBERS_MAX;
    if (m->o.n_hints)
        memcpy(m->hints, o->hints, m->o.n_hints * sizeof *o->hints);
    m->table = store_table(replica_store(o->replica), SLICE("pintle/members"));
    list_init(&m->ops);
    m->timer.cb = on_round;
    loop_timer_start(l, &m->timer, 0);
    return m;
}

void members_free(struct members *m)
{
    if (!m)
        return;
    loop_timer_stop(m->loop, &m->timer);
    struct list idle;
    list_init(&idle);
    list_each (it, &m->ops) {
        struct members_op *op = container_of(it, struct members_op, link);
        if (op->waiting)
            continue;
        list_remove(it);
        list_push(&idle, it);
    }
    for (struct list *it; (it = list_pop(&idle));)
        op_end(container_of(it, struct members_op, link), -ESHUTDOWN);
    m->closing = true;
    destroy(m);
}

size_t members_list(struct members *m, struct member_view out[RAFT_MEMBERS_MAX])
{
    struct raft_status *s = &m->status;
    raft_node_status(replica_raft(m->replica), s);
    for (size_t i = 0; i < s->n_members; i++) {
        struct record r;
        struct member_view *v = &out[i];
        find_api(m, i, &r);
        *v = (struct member_view){.id = s->members[i].member.id,
                                  .role = s->members[i].member.role,
                                  .witness = r.witness,
                                  .leader = s->members[i].member.id == s->leader_id,
                                  .self = s->members[i].member.id == s->id,
                                  .pinned = r.pinned,
                                  .connected = s->members[i].connected,
                                  .format = s->members[i].format,
                                  .has_match = s->is_leader,
                                  .match_index = s->members[i].match_index};
        if (s->is_leader && v->match_index < s->commit_index)
            v->behind = s->commit_index - v->match_index;
        memcpy(v->peer, s->members[i].member.address, sizeof v->peer);
        memcpy(v->api, r.api, sizeof v->api);
    }
    return s->n_members;
}

const char *members_api_address(struct members *m, uint64_t id)
{
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < m->n_apis; i++)
            if (m->apis[i].id == id)
                return m->apis[i].address;
        raft_node_status(replica_raft(m->replica), &m->status);
        refresh_apis(m);
    }
    return NULL;
}

uint64_t members_version(const struct members *m)
{
    return store_table_revision(m->table) + (raft_node_members_version(replica_raft(m->replica)) << 40);
}

void members_start(struct members *m, struct members_op *op)
{
    op->members = m;
    op->step = 0;
    op->waiting = op->cancelled = false;
    op->ret_id = 0;
    op->why[0] = '\0';
    op->deadline_ms = now_ms(m) + OP_PATIENCE_MS;
    list_push(&m->ops, &op->link);
    loop_timer_start(m->loop, &m->timer, 0); /* a round now: never inside this call */
}

void members_cancel(struct members_op *op)
{
    op->cancelled = true;
    if (!op->waiting)
        op_end(op, -ECANCELED);
}

/* Membership (Raft §4): who the members are, changed by one step at a time, and what peers say of themselves.
 *
 * libraft's configuration in force is the newest one in the log, committed or not (§4.1); the transport, reads and
 * status
 * follow it at the end of the turn. A step is one CHANGE entry, submitted alone (guard G3), and only when enough
 * healthy
 * voters are left for a majority afterwards. Positions in the configuration never move but by a removal: the core's
 * progress array follows the number of servers alone. */
#include <errno.h>
#include <inttypes.h>

#include "base/mem.h"
#include "raft/node_impl.h"

static enum raft_member_role role_of(int core_role)
{
    return core_role == RAFT_VOTER ? MEMBER_VOTER : core_role == RAFT_STANDBY ? MEMBER_STANDBY : MEMBER_SPARE;
}

static int core_role_of(enum raft_member_role role)
{
    return role == MEMBER_VOTER ? RAFT_VOTER : role == MEMBER_STANDBY ? RAFT_STANDBY : RAFT_SPARE;
}

const struct raft_member *node_member(const struct raft_node *n, uint64_t id)
{
    for (size_t i = 0; i < n->n_members; i++)
        if (n->members[i].id == id)
            return &n->members[i];
    return NULL;
}

/* ---- following the configuration ---- */

static bool same(const struct raft_server *s, const struct raft_member *m)
{
    return s->id == m->id && role_of(s->role) == m->role && strcmp(s->address, m->address) == 0;
}

static bool up_to_date(const struct raft_node *n)
{
    const struct raft_configuration *c = &n->core.configuration;
    if (c->n != n->n_members)
        return false;
    for (unsigned i = 0; i < c->n; i++)
        if (!same(&c->servers[i], &n->members[i]))
            return false;
    return true;
}

void node_follow_members(struct raft_node *n)
{
    const struct raft_configuration *c = &n->core.configuration;
    if (c->n == 0 || c->n > RAFT_MEMBERS_MAX || up_to_date(n))
        return;
    for (unsigned i = 0; i < c->n; i++) {
        struct raft_member *m = &n->members[i];
        if (i < n->n_members && same(&c->servers[i], m))
            continue;
        *m = (struct raft_member){.id = c->servers[i].id, .role = role_of(c->servers[i].role)};
        snprintf(m->address, sizeof(m->address), "%s", c->servers[i].address);
        log_info(loop_log(n->l), "raft", "member id=%" PRIu64 " address=%s role=%s", m->id, m->address,
                 raft_role_name(c->servers[i].role));
    }
    n->n_members = c->n;
    n->members_version++;
    if (n->transport)
        transport_set_members(n->transport, n->members, n->n_members);
    node_reads_reset(n); /* acknowledgements are by place in members */
}

/* ---- greetings ---- */

/* What a verdict on us means. NULL: nothing that stops us. */
static const char *fatal(uint8_t refusal)
{
    switch (refusal) {
    case REFUSAL_REMOVED:
        return "this replica was removed from the cluster: wipe its data directory to join again as a new member";
    case REFUSAL_FORMAT:
        return "the cluster uses a newer format than this version of pintle knows: upgrade this replica";
    default:
        return NULL;
    }
}

enum refusal node_on_greeting(void *ctx, uint64_t from, const struct message *m)
{
    struct raft_node *n = ctx;
    if (n->failed || n->closing)
        return REFUSAL_NONE;
    if ((m->format ? m->format : 1) < n->required_format)
        return REFUSAL_FORMAT;
    if (m->type == FRAME_PING)
        return node_judge(n, from, m);
    if (m->refusal == REFUSAL_OUTDATED)
        node_outdated(n, from);
    const char *reason = fatal(m->refusal);
    if (reason && !n->failed) {
        log_error(loop_log(n->l), "raft", "refused by peer=%" PRIu64, from);
        node_fail(n, -ESTALE, reason);
    }
    return REFUSAL_NONE;
}

/* A removal that is not committed may yet be taken back. */
static bool is_committed_member(const struct raft_node *n, uint64_t id)
{
    const struct raft_configuration *c = &n->core.configuration_committed;
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return true;
    return false;
}

enum refusal node_on_stranger(void *ctx, uint64_t id)
{
    struct raft_node *n = ctx;
    if (!is_committed_member(n, id) && n->machine.removed && n->machine.removed(n->ctx, id))
        return REFUSAL_REMOVED;
    return REFUSAL_NONE;
}

/* ---- changing ---- */

static bool healthy(const struct raft_node *n, uint64_t id)
{
    raft_index match = 0;
    return id == n->o.id || (n->transport && transport_is_up(n->transport, id) &&
                             raft_match_index(&n->core, id, &match) == 0 && match > 0);
}

/* Whether a majority of conf's voters is healthy. */
static bool has_healthy_majority(const struct raft_node *n, const struct raft_configuration *conf)
{
    unsigned voters = 0, well = 0;
    for (unsigned i = 0; i < conf->n; i++) {
        if (conf->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        well += healthy(n, conf->servers[i].id);
    }
    return well > voters / 2;
}

static bool address_taken(const struct raft_configuration *c, const struct raft_member *m)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id != m->id && strcmp(c->servers[i].address, m->address) == 0)
            return true;
    return false;
}

static int check_change(struct raft_node *n, const struct raft_change_request *q)
{
    const struct raft_configuration *c = &n->core.configuration;
    bool known = node_member(n, q->member.id), own = q->member.id == n->o.id;
    if (!n->told_leader || n->failed || n->closing || node_hands_over(n))
        return -EAGAIN;
    if (n->change || c->n == 0 || n->core.configuration_uncommitted_index)
        return -EBUSY;
    if (q->kind == RAFT_CHANGE_ADD ? known : !known)
        return known ? -EEXIST : -ENOENT;
    if (q->kind == RAFT_CHANGE_ADD && c->n >= RAFT_MEMBERS_MAX)
        return -E2BIG;
    bool addresses = q->kind == RAFT_CHANGE_ADD || q->kind == RAFT_CHANGE_ADDRESS;
    if (!q->member.id || (addresses && (!q->member.address[0] || address_taken(c, &q->member))))
        return -EINVAL;
    if (own && (q->kind == RAFT_CHANGE_REMOVE || (q->kind == RAFT_CHANGE_ROLE && q->member.role != MEMBER_VOTER)))
        return -EPERM;
    return 0;
}

/* The configuration in force with one step taken. 0 or a code of libraft. */
static int changed_configuration(const struct raft_node *n, const struct raft_change_request *q,
                                 struct raft_configuration *ret)
{
    const struct raft_configuration *c = &n->core.configuration;
    int rv = 0;
    raft_configuration_init(ret);
    for (unsigned i = 0; i < c->n && !rv; i++) {
        const struct raft_server *s = &c->servers[i];
        bool meant = s->id == q->member.id;
        if (meant && q->kind == RAFT_CHANGE_REMOVE)
            continue;
        rv =
            raft_configuration_add(ret, s->id, meant && q->kind == RAFT_CHANGE_ADDRESS ? q->member.address : s->address,
                                   meant && q->kind == RAFT_CHANGE_ROLE ? core_role_of(q->member.role) : s->role);
    }
    if (!rv && q->kind == RAFT_CHANGE_ADD)
        rv = raft_configuration_add(ret, q->member.id, q->member.address, core_role_of(q->member.role));
    return rv;
}

static int encode_change(const struct raft_node *n, const struct raft_change_request *q, struct blob **ret)
{
    struct raft_configuration conf;
    struct raft_buffer buf;
    int err = changed_configuration(n, q, &conf) ? -ENOMEM : 0;
    if (!err && !has_healthy_majority(n, &conf))
        err = -EXDEV;
    if (!err && raft_configuration_encode(&conf, &buf))
        err = -ENOMEM;
    raft_configuration_close(&conf);
    if (err)
        return err;
    *ret = blob_copy(slice_of(buf.base, buf.len));
    raft_free(buf.base);
    return *ret ? 0 : -ENOMEM;
}

void raft_node_change(struct raft_node *n, const struct raft_change_request *q, struct raft_proposal *p)
{
    struct blob *command = NULL;
    int err = check_change(n, q);
    if (!err)
        err = encode_change(n, q, &command);
    p->index = p->term = 0;
    p->command = command;
    if (err) {
        node_fail_proposal(n, p, err);
        return;
    }
    n->proposal_bytes += command->n + sizeof(*p);
    n->change = p;
    node_wake(n);
}

/* Guard G3: alone in its SUBMIT, for a refused CHANGE leaves the other entries of its batch behind. */
void node_submit_change(struct raft_node *n)
{
    struct raft_proposal *p = n->change;
    if (!p)
        return;
    n->change = NULL;
    struct raft_entry entry = {.term = raft_current_term(&n->core),
                               .type = RAFT_CHANGE,
                               .buf = {p->command->bytes, p->command->n},
                               .batch = p->command};
    bool may = raft_state(&n->core) == RAFT_LEADER && n->told_leader && !n->core.configuration_uncommitted_index;
    uint64_t index = entries_last(&n->log) + 1;
    if (!may || node_submit(n, &entry, 1)) {
        node_fail_proposal(n, p, -EAGAIN);
        return;
    }
    p->index = index;
    p->term = entry.term;
    list_push(&n->appended, &p->link);
}

/* ---- asking ---- */

uint64_t raft_node_members_version(const struct raft_node *n)
{
    return n->members_version;
}

void raft_node_require_format(struct raft_node *n, unsigned format)
{
    n->required_format = format;
}

unsigned raft_node_common_format(const struct raft_node *n)
{
    unsigned common = n->o.format ? n->o.format : 1;
    for (size_t i = 0; i < n->n_members; i++) {
        unsigned format = n->members[i].id == n->o.id ? common : transport_format(n->transport, n->members[i].id);
        if (format < common)
            common = format;
    }
    return common;
}

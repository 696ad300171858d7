/* Driving libraft's core. Each event is stepped, then its update is acted on in the order the core asks for: term and
 * vote to disk, entries to the log writer, messages out; applying and timers wait for the end of the turn. */
#include <errno.h>
#include <inttypes.h>

#include "base/mem.h"
#include "raft/node_impl.h"

/* ---- updates ---- */

static int save_vote(struct raft_node *n)
{
    int err = meta_save(&n->meta, raft_current_term(&n->core), raft_voted_for(&n->core));
    if (err)
        node_fail(n, err, "cannot write term and vote");
    return err;
}

/* The bytes of an entry the core wants stored, as a chunk with a reference. */
static struct chunk entry_chunk(struct raft_node *n, const struct raft_entry *e)
{
    if (n->submitting && e->batch)
        return (struct chunk){blob_ref(e->batch), e->buf.base, e->buf.len};
    if (n->receiving)
        return (struct chunk){blob_ref(n->receiving), e->buf.base, e->buf.len};
    struct blob *b = blob_copy(slice_of(e->buf.base, e->buf.len)); /* the core's own barrier: a few bytes */
    return b ? chunk_take(b) : (struct chunk){NULL, NULL, 0};
}

/* A write under way of entries that are replaced now says nothing about the new ones. */
static void note_truncation(struct raft_node *n, uint64_t index)
{
    if (n->writing.busy && n->writing.valid >= index)
        n->writing.valid = index - 1;
    if (n->stored >= index)
        n->stored = index - 1;
}

static void store_entries(struct raft_node *n, const struct raft_update *u)
{
    if (u->entries.index <= entries_last(&n->log))
        note_truncation(n, u->entries.index);
    for (unsigned i = 0; i < u->entries.n && !n->failed; i++) {
        const struct raft_entry *e = &u->entries.batch[i];
        struct entry entry = {e->term, (uint16_t)e->type, entry_chunk(n, e)};
        uint64_t index = u->entries.index + i;
        int err = wal_op_add(&n->pending, index, e->term, entry.type, slice_of(entry.chunk.p, entry.chunk.n));
        if (err)
            node_fail(n, err, "no memory for entries that wait for the disk");
        entries_put(&n->log, index, &entry);
        n->pending_last = index;
        n->snap_bytes_mark += entry.chunk.n + sizeof(entry);
    }
    if (!n->submitting)
        raft_free(u->entries.batch[0].batch); /* the core gave it up with this update */
}

static void begin_install(struct raft_node *n, struct raft_update *u)
{
    n->installing = true;
    n->pending_install = u->snapshot.metadata.index;
    raft_free(u->snapshot.chunk.base);
    raft_configuration_close(&u->snapshot.metadata.configuration);
    note_truncation(n, 1);
    entries_reset(&n->log, n->pending_install + 1);
    wal_op_clear(&n->pending); /* what waits for the disk is history now */
    n->pending.reset = true;
    n->pending_last = n->pending_install;
}

/* ---- messages out ---- */

void node_send_message(struct raft_node *n, uint64_t to, const struct message *m)
{
    struct blob *b = n->transport ? frame_message(m) : NULL;
    if (!b)
        return; /* as if the network had lost it */
    struct chunk c = chunk_take(b);
    transport_send(n->transport, to, &c, 1);
}

/* The newest frame built: peers in step get the very same one. */
struct frame_cache {
    struct append key;
    struct blob *frame;
};

/* How many entries from first on fit into one frame, and their bytes. */
static uint32_t frame_share(struct raft_node *n, uint64_t first, uint32_t n_max, size_t *ret_bytes)
{
    uint32_t i = 0;
    *ret_bytes = 0;
    for (; i < n_max && i < FRAME_APPEND_ENTRIES; i++) {
        const struct entry *e = entries_get(&n->log, first + i);
        if (!e || (i > 0 && *ret_bytes + e->chunk.n > FRAME_APPEND_BYTES))
            break;
        *ret_bytes += e->chunk.n;
    }
    return i;
}

static struct blob *build_append(struct raft_node *n, const struct append *a, size_t bytes)
{
    struct blob *b = frame_append_new(a, bytes);
    size_t at = frame_append_data_at(a->n);
    for (uint32_t i = 0; b && i < a->n; i++) {
        const struct entry *e = entries_get(&n->log, a->prev_index + 1 + i);
        frame_append_add(b, i, &at, e->term, e->type, slice_of(e->chunk.p, e->chunk.n));
    }
    return b;
}

static bool same_append(const struct append *a, const struct append *b)
{
    return a->prev_index == b->prev_index && a->prev_term == b->prev_term && a->n == b->n && a->term == b->term &&
           a->commit == b->commit && a->version == b->version;
}

static bool send_frame(struct raft_node *n, uint64_t to, const struct append *a, size_t bytes,
                       struct frame_cache *cache)
{
    if (!cache->frame || !same_append(a, &cache->key)) {
        blob_unref(cache->frame);
        cache->frame = build_append(n, a, bytes);
        cache->key = *a;
    }
    if (!cache->frame)
        return false;
    struct chunk c = chunk_take(blob_ref(cache->frame));
    return transport_send(n->transport, to, &c, 1);
}

/* Guard G6: however many entries the core wants in one message, frames are bounded in bytes. Links are FIFO, so a
 * message in several frames is the same as several messages. */
static void send_append(struct raft_node *n, const struct raft_message *m, struct frame_cache *cache)
{
    const struct raft_append_entries *args = &m->append_entries;
    struct append a = {args->version, args->term, args->prev_log_index, args->prev_log_term, args->leader_commit, 0};
    uint32_t left = args->n_entries;
    do {
        size_t bytes;
        a.n = frame_share(n, a.prev_index + 1, left, &bytes);
        if (a.n == 0 && left > 0)
            return; /* not here any more: the core will find out and send a snapshot */
        if (!send_frame(n, m->server_id, &a, bytes, cache))
            return;
        left -= a.n;
        a.prev_index += a.n;
        a.prev_term = a.n ? entries_term(&n->log, a.prev_index) : a.prev_term;
    } while (left > 0);
}

static void send_other(struct raft_node *n, const struct raft_message *m)
{
    struct message out = {0};
    switch (m->type) {
    case RAFT_APPEND_ENTRIES_RESULT:
        out = (struct message){.type = FRAME_APPEND_RESULT,
                               .version = m->append_entries_result.version,
                               .term = m->append_entries_result.term,
                               .rejected = m->append_entries_result.rejected,
                               .index = m->append_entries_result.last_log_index,
                               .features = m->append_entries_result.features,
                               .capacity = m->append_entries_result.capacity};
        break;
    case RAFT_REQUEST_VOTE:
        out = (struct message){.type = FRAME_VOTE,
                               .version = m->request_vote.version,
                               .term = m->request_vote.term,
                               .id = m->request_vote.candidate_id,
                               .index = m->request_vote.last_log_index,
                               .index_term = m->request_vote.last_log_term,
                               .disrupt = m->request_vote.disrupt_leader,
                               .pre_vote = m->request_vote.pre_vote};
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        out = (struct message){.type = FRAME_VOTE_RESULT,
                               .version = m->request_vote_result.version,
                               .term = m->request_vote_result.term,
                               .granted = m->request_vote_result.vote_granted,
                               .pre_vote = m->request_vote_result.pre_vote,
                               .features = m->request_vote_result.features,
                               .capacity = m->request_vote_result.capacity};
        break;
    case RAFT_TIMEOUT_NOW:
        out = (struct message){.type = FRAME_TIMEOUT_NOW,
                               .version = m->timeout_now.version,
                               .term = m->timeout_now.term,
                               .index = m->timeout_now.last_log_index,
                               .index_term = m->timeout_now.last_log_term};
        break;
    default:
        return;
    }
    node_send_message(n, m->server_id, &out);
}

static void send_messages(struct raft_node *n, const struct raft_update *u)
{
    struct frame_cache cache = {.frame = NULL};
    for (unsigned i = 0; i < u->messages.n && n->transport; i++) {
        const struct raft_message *m = &u->messages.batch[i];
        if (m->type == RAFT_APPEND_ENTRIES)
            send_append(n, m, &cache);
        else if (m->type == RAFT_INSTALL_SNAPSHOT)
            node_send_snapshot(n, m->server_id);
        else
            send_other(n, m);
    }
    blob_unref(cache.frame);
}

/* ---- stepping ---- */

static void leads_now(struct raft_node *n, const struct raft_update *u)
{
    log_info(loop_log(n->l), "raft", "elected term=%llu", raft_current_term(&n->core));
    /* The core submits a barrier itself when it has entries it does not know to be committed; else we do (turn.c). */
    bool barrier = u->flags & (RAFT_UPDATE_ENTRIES);
    n->own_index = barrier ? u->entries.index + u->entries.n - 1 : 0;
}

static int step_error(struct raft_node *n, const struct raft_event *e, int rv)
{
    char reason[160];
    switch (rv) {
    case RAFT_NOTLEADER:
    case RAFT_CANTCHANGE:
    case RAFT_NOSPACE:
    case RAFT_BADID:
    case RAFT_NOTFOUND:
    case RAFT_BUSY:
        return -EAGAIN;
    default:
        snprintf(reason, sizeof(reason), "consensus core refused an event type=%d error=\"%s\"", (int)e->type,
                 raft_strerror(rv));
        node_fail(n, rv == RAFT_NOMEM ? -ENOMEM : -EBADMSG, reason);
        return -EBADMSG;
    }
}

int node_step(struct raft_node *n, struct raft_event *e)
{
    if (n->failed || n->closing)
        return -ESHUTDOWN;
    struct raft_update u = {0};
    enum raft_state before = raft_state(&n->core);
    e->time = node_ms(n);
    e->capacity = NODE_CAPACITY; /* guard G7: our segments are none of the core's business */
    int rv = raft_step(&n->core, e, &u);
    if (rv)
        return step_error(n, e, rv);
    if (u.flags & (RAFT_UPDATE_CURRENT_TERM | (RAFT_UPDATE_VOTED_FOR)) && save_vote(n))
        return -EIO;
    if (u.flags & (RAFT_UPDATE_ENTRIES))
        store_entries(n, &u);
    if (u.flags & (RAFT_UPDATE_SNAPSHOT))
        begin_install(n, &u);
    if (u.flags & (RAFT_UPDATE_MESSAGES))
        send_messages(n, &u);
    enum raft_state after = raft_state(&n->core);
    if (after == RAFT_LEADER && before != RAFT_LEADER) {
        node_drop_leftovers(n);
        leads_now(n, &u);
    }
    if (before == RAFT_LEADER && after != RAFT_LEADER)
        node_drop_proposals(n);
    return 0;
}

/* ---- messages in ---- */

/* Entries [from, to) of a received message as one event. */
static int step_entries(struct raft_node *n, struct raft_message *m, const struct raft_append_entries *all,
                        unsigned from, unsigned to)
{
    struct raft_event e = {.type = RAFT_RECEIVE};
    struct raft_append_entries *args = &m->append_entries;
    *args = *all;
    args->entries = from < to ? all->entries + from : NULL;
    args->n_entries = to - from;
    args->prev_log_index = all->prev_log_index + from;
    args->prev_log_term = from ? all->entries[from - 1].term : all->prev_log_term;
    if (from < to) {
        void *token = raft_malloc(1); /* the core frees "the batch"; the bytes are in n->receiving */
        if (!token)
            return -ENOMEM;
        for (unsigned i = from; i < to; i++)
            all->entries[i].batch = token;
    }
    e.receive.message = m;
    return node_step(n, &e);
}

/* Guard G1: the core takes the index of a batch for that of its CHANGE entry, so a CHANGE must come first in one. */
static void step_split(struct raft_node *n, struct raft_message *m, const struct raft_append_entries *all)
{
    unsigned from = 0;
    do {
        unsigned to = from + 1;
        while (to < all->n_entries && all->entries[to].type != RAFT_CHANGE)
            to++;
        if (to > all->n_entries)
            to = all->n_entries;
        if (step_entries(n, m, all, from, to))
            return;
        from = to;
    } while (from < all->n_entries);
}

/* Reads the entries into memory of their own. False when they make no sense. */
static bool read_entries(struct raft_node *n, const struct frame *f, const struct append *a, struct raft_entry *out)
{
    size_t at = frame_append_data_at(a->n) - FRAME_HEAD, start = at;
    uint64_t term = a->prev_term;
    for (uint32_t i = 0; i < a->n; i++) {
        struct append_entry e;
        frame_append_entry(f->payload, i, &at, &e);
        if (e.term < term || e.term > a->term || e.type < RAFT_COMMAND || e.type > RAFT_CHANGE)
            return false;
        term = e.term;
        out[i] = (struct raft_entry){.term = e.term, .type = e.type};
        out[i].buf.base = n->receiving->bytes + (e.data.p - f->payload.p) - start;
        out[i].buf.len = e.data.n;
    }
    return true;
}

/* The core refuses what begins before its compacted log, though all of that is committed, hence the same on the leader;
 * a leader whose own snapshot is older than ours would ask for ever. Lets the message begin at the first entry we know
 * the term of. */
static void skip_compacted(struct raft_node *n, struct raft_append_entries *all)
{
    uint64_t base = n->log.n ? n->log.first : n->snap_index;
    uint64_t term = n->log.n ? entries_term(&n->log, base) : n->snap_term;
    if (n->installing || all->prev_log_index >= base || all->prev_log_index == n->snap_index ||
        base > raft_commit_index(&n->core))
        return;
    uint64_t skip = base - all->prev_log_index;
    unsigned known = skip < all->n_entries ? (unsigned)skip : all->n_entries;
    all->entries = known < all->n_entries ? all->entries + known : NULL;
    all->n_entries -= known;
    all->prev_log_index = base;
    all->prev_log_term = term;
}

static bool on_append(struct raft_node *n, const struct raft_member *from, const struct frame *f)
{
    struct append a;
    if (frame_read_append(f, &a))
        return false;
    if (a.n && (n->pending.records.n > NODE_BACKLOG_MAX || !node_has_room(n, f->payload.n)))
        return true; /* the disk does not keep up, or is full: lose it, the leader sends it again */
    size_t start = frame_append_data_at(a.n) - FRAME_HEAD;
    struct raft_entry *entries = a.n ? mem_try(a.n * sizeof(*entries)) : NULL;
    n->receiving = a.n ? blob_copy(slice_from(f->payload, start)) : NULL;
    bool ok = true;
    if (a.n == 0 || (entries && n->receiving)) {
        struct raft_append_entries all = {a.version, a.term, a.prev_index, a.prev_term, a.commit, entries, a.n};
        struct raft_message m = {.type = RAFT_APPEND_ENTRIES, .server_id = from->id, .server_address = from->address};
        ok = read_entries(n, f, &a, entries);
        if (ok) {
            skip_compacted(n, &all);
            step_split(n, &m, &all);
        }
    }
    blob_unref(n->receiving);
    n->receiving = NULL;
    mem_free(entries);
    return ok;
}

/* A newcomer that does not have the entry yet which made it a member. */
static void step_vote_unlisted(struct raft_node *n, struct raft_event *e)
{
    struct raft_configuration *c = &n->core.configuration, listed = *c;
    struct raft_server servers[RAFT_MEMBERS_MAX + 1];
    char address[] = "";
    if (c->n > RAFT_MEMBERS_MAX)
        return;
    if (c->n)
        memcpy(servers, c->servers, c->n * sizeof *servers);
    servers[c->n] = (struct raft_server){.id = n->o.id, .address = address, .role = RAFT_VOTER};
    c->servers = servers;
    c->n++;
    node_step(n, e);
    *c = listed;
}

/* Guard G2: while it answers a vote request, a server counts itself a voter, whatever its newest configuration says,
 * and also when it is not in it; else a promotion and the leader's death may leave nobody who can be elected. Whether
 * its vote counts is for the candidate's configuration to say (Raft §4.1). */
static void step_vote(struct raft_node *n, struct raft_event *e)
{
    struct raft_configuration *c = &n->core.configuration;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id != n->o.id)
            continue;
        int role = c->servers[i].role;
        c->servers[i].role = RAFT_VOTER;
        node_step(n, e);
        c->servers[i].role = role;
        return;
    }
    step_vote_unlisted(n, e);
}

static void fill_vote(struct raft_message *out, const struct message *m)
{
    out->type = RAFT_REQUEST_VOTE;
    out->request_vote = (struct raft_request_vote){.version = m->version,
                                                   .term = m->term,
                                                   .candidate_id = m->id,
                                                   .last_log_index = m->index,
                                                   .last_log_term = m->index_term,
                                                   .disrupt_leader = m->disrupt,
                                                   .pre_vote = m->pre_vote};
}

static void fill_vote_result(struct raft_message *out, const struct message *m)
{
    out->type = RAFT_REQUEST_VOTE_RESULT;
    out->request_vote_result = (struct raft_request_vote_result){.version = m->version,
                                                                 .term = m->term,
                                                                 .vote_granted = m->granted,
                                                                 .pre_vote = m->pre_vote,
                                                                 .features = m->features,
                                                                 .capacity = m->capacity};
}

static void fill_append_result(struct raft_message *out, const struct message *m)
{
    out->type = RAFT_APPEND_ENTRIES_RESULT;
    out->append_entries_result = (struct raft_append_entries_result){.version = m->version,
                                                                     .term = m->term,
                                                                     .rejected = m->rejected,
                                                                     .last_log_index = m->index,
                                                                     .features = m->features,
                                                                     .capacity = m->capacity};
}

static void fill_timeout_now(struct raft_message *out, const struct message *m)
{
    out->type = RAFT_TIMEOUT_NOW;
    out->timeout_now = (struct raft_timeout_now){
        .version = m->version, .term = m->term, .last_log_index = m->index, .last_log_term = m->index_term};
}

static bool on_message(struct raft_node *n, const struct raft_member *from, const struct message *m)
{
    struct raft_message out = {.server_id = from->id, .server_address = from->address};
    struct raft_event e = {.type = RAFT_RECEIVE};
    e.receive.message = &out;
    switch (m->type) {
    case FRAME_VOTE:
        if (m->id != from->id)
            return false;
        fill_vote(&out, m);
        step_vote(n, &e);
        return true;
    case FRAME_VOTE_RESULT:
        fill_vote_result(&out, m);
        break;
    case FRAME_APPEND_RESULT:
        testimony_term(&n->testimony, from->id, m->term);
        fill_append_result(&out, m);
        break;
    case FRAME_TIMEOUT_NOW:
        if (n->installing)
            return true; /* the core asserts that no candidate installs a snapshot */
        fill_timeout_now(&out, m);
        break;
    case FRAME_DIGEST:
        node_on_digest(n, from->id, m);
        return true;
    case FRAME_RESYNC:
        node_on_resync(n, from->id, m);
        return true;
    default:
        return node_on_read_frame(n, from->id, m);
    }
    node_step(n, &e);
    return true;
}

bool node_on_frame(void *ctx, uint64_t from, const struct frame *f)
{
    struct raft_node *n = ctx;
    struct message m;
    if (n->failed || n->closing)
        return true;
    struct raft_member member = {.id = from};
    snprintf(member.address, sizeof(member.address), "%s", transport_address(n->transport, from));
    if (f->type == FRAME_APPEND)
        return on_append(n, &member, f);
    return frame_read_message(f, &m) == 0 && on_message(n, &member, &m);
}

void node_forget_leader(struct raft_node *n)
{
    struct raft *r = &n->core;
    r->follower_state.current_leader.id = 0;
    raft_free(r->follower_state.current_leader.address);
    r->follower_state.current_leader.address = NULL;
}

/* A broken link to the leader is a much earlier sign of its death than the election timer: forget it, so that we also
 * vote for others, and ask for an election soon. Pre-vote keeps a flapping link from deposing a healthy leader. */
void node_on_lost(void *ctx, uint64_t from)
{
    struct raft_node *n = ctx;
    struct raft *r = &n->core;
    if (n->failed || n->closing || n->installing || raft_state(r) != RAFT_FOLLOWER ||
        r->follower_state.current_leader.id != from)
        return;
    node_forget_leader(n);
    uint64_t delay = 1 + loop_random_below(n->l, n->o.election_ms / 4 + 1);
    r->election_timer_start = node_ms(n) + delay - r->follower_state.randomized_election_timeout;
    node_wake(n);
}

/* The guards that libraft's core needs, each with the case it is for. The replica under test is member 1 of three; the
 * others are puppets that speak the peers' protocol frame by frame. (G8 and G10 are in test_raft_sim: a late replica,
 * a disk error. G3 holds as long as nothing but commands and barriers is ever submitted, which G6's case shows.) */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "loop/sim.h"
#include "raft/node_impl.h"
#include "raft/wire.h"

enum { SEEN_MAX = 512, REMOVED_ID = 9 };

struct seen {
    enum frame_type type;
    uint64_t by;      /* which puppet */
    struct message m; /* of small frames */
    struct append a;  /* of APPEND */
    size_t bytes;     /* of APPEND's payload */
    unsigned changes, barriers, commands;
};

struct puppet {
    struct stage *s;
    uint64_t id;
    struct loop *l;
    struct listener *ls;
    struct stream *in, *out; /* from the replica, to the replica */
    struct buf got;
    int ended;
};

struct stage {
    struct sim *w;
    struct loop *l;
    struct raft_node *n;
    struct puppet puppets[2];
    struct seen seen[SEEN_MAX];
    size_t n_seen;
    uint64_t applied, snapshots;
    bool leader;
};

/* ---- the machine ---- */

static void apply(void *ctx, uint64_t index, struct slice command, struct raft_proposal *p)
{
    (void)command;
    (void)p;
    ((struct stage *)ctx)->applied = index;
}

static void *snapshot_take(void *ctx)
{
    ((struct stage *)ctx)->snapshots++;
    return ctx;
}

static int snapshot_write(void *frozen, struct raft_sink *sink)
{
    (void)frozen;
    return sink->write(sink, "state", 5);
}

static void snapshot_free(void *ctx, void *frozen)
{
    (void)ctx;
    (void)frozen;
}

static int restore(void *ctx, uint64_t index, struct raft_source *source)
{
    char b[5];
    (void)ctx;
    (void)index;
    return source->read(source, b, sizeof(b));
}

static void role(void *ctx, bool is_leader, uint64_t term, uint64_t leader_id)
{
    (void)term;
    (void)leader_id;
    ((struct stage *)ctx)->leader = is_leader;
}

static void failed(void *ctx, int err, const char *reason)
{
    (void)ctx;
    fail_msg("replica failed: %s (%d)", reason, err);
}

static bool was_removed(void *ctx, uint64_t id)
{
    (void)ctx;
    return id == REMOVED_ID;
}

static const struct raft_machine machine = {
    .removed = was_removed,
    .apply = apply,
    .snapshot_take = snapshot_take,
    .snapshot_write = snapshot_write,
    .snapshot_free = snapshot_free,
    .restore = restore,
    .role = role,
    .failed = failed,
};

/* ---- puppets ---- */

static void note_append(struct seen *x, const struct frame *f)
{
    size_t at;
    assert_int_equal(frame_read_append(f, &x->a), 0);
    at = frame_append_data_at(x->a.n) - FRAME_HEAD;
    x->bytes = f->payload.n;
    for (uint32_t i = 0; i < x->a.n; i++) {
        struct append_entry e;
        frame_append_entry(f->payload, i, &at, &e);
        x->changes += e.type == RAFT_CHANGE;
        x->barriers += e.type == RAFT_BARRIER;
        x->commands += e.type == RAFT_COMMAND;
    }
}

static void on_frame(struct puppet *p, const struct frame *f)
{
    struct stage *s = p->s;
    if (f->type == FRAME_HELLO || s->n_seen == SEEN_MAX)
        return;
    if (f->type == FRAME_PING) {
        const struct message pong = {.type = FRAME_PONG};
        struct chunk c = chunk_take(frame_message(&pong));
        stream_write(p->in, &c, 1);
        return;
    }
    struct seen *x = &s->seen[s->n_seen++];
    *x = (struct seen){.type = f->type, .by = p->id};
    if (f->type == FRAME_APPEND)
        note_append(x, f);
    else
        assert_int_equal(frame_read_message(f, &x->m), 0);
}

static void on_data(void *ctx, const char *bytes, size_t n)
{
    struct puppet *p = ctx;
    size_t used = 0, size;
    struct frame f;
    buf_add(&p->got, bytes, n);
    while (frame_parse(slice_from(buf_slice(&p->got), used), &f, &size) == 1) {
        on_frame(p, &f);
        used += size;
    }
    buf_shift(&p->got, used);
}

static void on_end(void *ctx, int err)
{
    (void)ctx;
    (void)err;
}

static const struct stream_handler in_handler = {.on_data = on_data, .on_end = on_end};

static void on_pong(void *ctx, const char *p, size_t n)
{
    (void)ctx;
    (void)p;
    (void)n;
}

static void on_out_end(void *ctx, int err)
{
    (void)err;
    ((struct puppet *)ctx)->ended++;
}

static const struct stream_handler out_handler = {.on_data = on_pong, .on_end = on_out_end};

static void on_accept(void *ctx, struct stream *s)
{
    struct puppet *p = ctx;
    stream_close(p->in);
    buf_clear(&p->got);
    p->in = s;
    stream_handle(s, &in_handler, p);
}

static void on_connect(void *ctx, int err, struct stream *s)
{
    struct puppet *p = ctx;
    assert_int_equal(err, 0);
    p->out = s;
    stream_handle(s, &out_handler, p);
}

static void write_blob(struct puppet *p, struct blob *b)
{
    struct chunk c = chunk_take(b);
    stream_write(p->out, &c, 1);
    sim_run_ms(p->s->w, 0);
}

static void say(struct puppet *p, const struct message *m)
{
    write_blob(p, frame_message(m));
}

static void turn(void *arg)
{
    (void)arg;
}

/* Lets what was said arrive, and answers come back. */
static void settle(struct stage *s, unsigned ms)
{
    loop_post(s->puppets[0].l, turn, NULL);
    loop_post(s->puppets[1].l, turn, NULL);
    sim_run_ms(s->w, ms);
}

static void connect_puppet(struct puppet *p, uint64_t cluster_id)
{
    const struct hello h = {HELLO_LOG, cluster_id, p->id, 1};
    p->out = NULL;
    loop_connect(p->l, "n1:7443", on_connect, p);
    sim_run_ms(p->s->w, 10);
    assert_non_null(p->out);
    write_blob(p, frame_hello(&h));
    settle(p->s, 5);
}

static void stage_open(struct stage *s, uint64_t snapshot_every)
{
    char why[256];
    *s = (struct stage){.w = sim_new(11)};
    s->l = sim_host(s->w, "n1");
    static const struct raft_member members[3] = {
        {.id = 1, .address = "n1:7443"}, {.id = 2, .address = "n2:7443"}, {.id = 3, .address = "n3:7443"}};
    for (size_t i = 0; i < 2; i++) {
        struct puppet *p = &s->puppets[i];
        *p = (struct puppet){.s = s, .id = i + 2, .l = sim_host(s->w, i ? "n3" : "n2")};
        buf_init(&p->got, 64 << 20);
        assert_int_equal(loop_listen(p->l, members[i + 1].address, on_accept, p, &p->ls), 0);
    }
    const struct raft_options o = {.dir = "/raft",
                                   .id = 1,
                                   .cluster_id = 77,
                                   .members = members,
                                   .n_members = 3,
                                   .listen = "n1:7443",
                                   .election_ms = 60000, /* stays what the puppets make of it */
                                   .heartbeat_ms = 50,
                                   .snapshot_every = snapshot_every,
                                   .segment_bytes = 64 << 10};
    assert_int_equal(raft_node_open(s->l, &o, &machine, s, &s->n, why), 0);
    assert_int_equal(raft_node_start(s->n), 0);
    sim_run_ms(s->w, 20);
    connect_puppet(&s->puppets[0], 77);
    connect_puppet(&s->puppets[1], 77);
    s->n_seen = 0;
}

static void stage_close(struct stage *s)
{
    sim_kill(s->w, s->l, false);
    raft_node_free(s->n);
    for (size_t i = 0; i < 2; i++) {
        stream_close(s->puppets[i].in);
        stream_close(s->puppets[i].out);
        listener_close(s->puppets[i].ls);
        buf_done(&s->puppets[i].got);
    }
    sim_free(s->w);
}

/* An APPEND of n entries after prev_index (of term prev_term), of these types. */
static struct blob *append(uint64_t term, uint64_t prev_index, uint64_t prev_term, uint64_t commit, const char *types,
                           struct slice change)
{
    const struct append a = {
        .term = term, .prev_index = prev_index, .prev_term = prev_term, .commit = commit, .n = (uint32_t)strlen(types)};
    size_t bytes = 0;
    for (const char *t = types; *t; t++)
        bytes += *t == 'C' ? change.n : 5;
    struct blob *b = frame_append_new(&a, bytes);
    size_t at = frame_append_data_at(a.n);
    for (uint32_t i = 0; i < a.n; i++) {
        bool is_change = types[i] == 'C';
        frame_append_add(b, i, &at, term, is_change ? RAFT_CHANGE : RAFT_COMMAND, is_change ? change : SLICE("hello"));
    }
    return b;
}

static const struct seen *last_of(const struct stage *s, enum frame_type type)
{
    for (size_t i = s->n_seen; i > 0; i--)
        if (s->seen[i - 1].type == type)
            return &s->seen[i - 1];
    return NULL;
}

static struct raft_buffer make_change(int role_of_three)
{
    struct raft_configuration c;
    struct raft_buffer b;
    raft_configuration_init(&c);
    raft_configuration_add(&c, 1, "n1:7443", RAFT_VOTER);
    raft_configuration_add(&c, 2, "n2:7443", RAFT_VOTER);
    raft_configuration_add(&c, 3, "n3:7443", role_of_three);
    assert_int_equal(raft_configuration_encode(&c, &b), 0);
    raft_configuration_close(&c);
    return b;
}

/* G1: a CHANGE in the middle of a batch is known, and committed, under its own index. */
static void test_g1_change_inside_a_batch(void **state)
{
    (void)state;
    struct stage s;
    struct raft_buffer change = make_change(RAFT_STANDBY);
    stage_open(&s, 0);
    write_blob(&s.puppets[0], append(2, 1, 1, 1, "ccCcc", slice_of(change.base, change.len)));
    settle(&s, 20);
    assert_int_equal(entries_last(&s.n->log), 6);
    assert_int_equal(s.n->core.configuration_uncommitted_index, 4);
    assert_int_equal(s.n->core.configuration.servers[2].role, RAFT_STANDBY);
    write_blob(&s.puppets[0], append(2, 6, 2, 6, "", SLICE_NONE));
    settle(&s, 20);
    assert_int_equal(s.applied, 6);
    assert_int_equal(s.n->core.configuration_committed_index, 4);
    assert_int_equal(s.n->core.configuration_uncommitted_index, 0);
    raft_free(change.base);
    stage_close(&s);
}

/* G2: a server that its own newest configuration calls a standby still votes. */
static void test_g2_standby_votes(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    s.n->core.configuration.servers[0].role = RAFT_STANDBY;
    const struct message vote = {
        .type = FRAME_VOTE, .version = 2, .term = 2, .id = 2, .index = 1, .index_term = 1, .disrupt = false};
    say(&s.puppets[0], &vote);
    settle(&s, 20);
    const struct seen *x = last_of(&s, FRAME_VOTE_RESULT);
    assert_non_null(x);
    assert_true(x->m.granted);
    assert_int_equal(s.n->core.configuration.servers[0].role, RAFT_STANDBY); /* put back */
    assert_int_equal(s.n->meta.voted_for, 2);
    /* Nobody votes in another's name. */
    struct message forged = vote;
    forged.id = 3;
    forged.term = 3;
    say(&s.puppets[0], &forged);
    settle(&s, 20);
    assert_int_equal(s.puppets[0].ended, 1);
    assert_int_equal(s.n->meta.term, 2);
    stage_close(&s);
}

/* G2: nor need it be in its newest configuration: a newcomer may be a voter without having heard of itself. Found by the
 * whole cluster's simulation: a replica was replaced, and the leader lost for good a moment later. */
static void test_g2_newcomer_votes(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    struct raft_configuration *c = &s.n->core.configuration, listed = *c;
    raft_id id = c->servers[0].id;
    for (unsigned n = 0; n < 2; n++) { /* no configuration at all; one of others */
        c->servers[0].id = 9;
        c->n = n ? listed.n : 0;
        say(&s.puppets[0],
            &(struct message){.type = FRAME_VOTE, .version = 2, .term = 2 + n, .id = 2, .index = 1, .index_term = 1});
        settle(&s, 20);
        const struct seen *x = last_of(&s, FRAME_VOTE_RESULT);
        assert_non_null(x);
        assert_true(x->m.granted);
        assert_int_equal(x->m.term, 2 + n);
        assert_ptr_equal(c->servers, listed.servers); /* put back */
        assert_int_equal(c->n, n ? listed.n : 0);
        assert_int_equal(s.n->meta.voted_for, 2);
    }
    *c = listed;
    c->servers[0].id = id;
    stage_close(&s);
}

/* G4: entries that are committed, but not on our own disk yet, are applied, and no snapshot is taken of them. */
static void test_g4_snapshot_waits_for_the_disk(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 4);
    settle(&s, 100);
    sim_disk(s.w, s.l, 500000, 500000);
    write_blob(&s.puppets[0], append(2, 1, 1, 9, "cccccccc", SLICE_NONE));
    settle(&s, 100);
    assert_int_equal(s.applied, 9);
    assert_int_equal(s.n->core.last_stored, 1);
    assert_int_equal(s.snapshots, 0);
    sim_disk(s.w, s.l, 100, 1000);
    settle(&s, 1700); /* the new term went to the disk first, in two syncs */
    assert_int_equal(s.n->core.last_stored, 9);
    assert_int_equal(s.snapshots, 1);
    assert_int_equal(s.n->snap_index, 9);
    stage_close(&s);
}

/* G5: once a peer has dialled anew, nothing of its old connection is taken any more. */
static void test_g5_old_connection_is_dropped(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    struct puppet *p = &s.puppets[0];
    struct stream *old = p->out;
    struct blob *first_half = append(2, 1, 1, 1, "c", SLICE_NONE);
    struct chunk half = chunk_part(first_half, 0, 20), rest = chunk_part(first_half, 20, first_half->n - 20);
    stream_write(old, &half, 1);
    settle(&s, 10);
    connect_puppet(p, 77);
    stream_write(old, &rest, 1);
    settle(&s, 10);
    assert_int_equal(entries_last(&s.n->log), 1); /* the frame was never completed */
    assert_int_equal(p->ended, 1);                /* the old one was closed */
    write_blob(p, append(2, 1, 1, 1, "c", SLICE_NONE));
    settle(&s, 10);
    assert_int_equal(entries_last(&s.n->log), 2);
    blob_unref(first_half);
    stream_close(old);
    stage_close(&s);
}

/* ---- as the leader ---- */

static void grant(struct stage *s, struct puppet *p)
{
    const struct seen *vote = last_of(s, FRAME_VOTE);
    const struct message yes = {.type = FRAME_VOTE_RESULT,
                                .version = vote->m.version,
                                .term = vote->m.term,
                                .granted = true,
                                .pre_vote = vote->m.pre_vote,
                                .capacity = 60000,
                                .features = 1};
    say(p, &yes);
    settle(s, 10);
}

/* The puppet has stored the log up to index. */
static void acknowledge_to(struct stage *s, struct puppet *p, uint64_t index)
{
    const struct message ok = {.type = FRAME_APPEND_RESULT,
                               .version = 1,
                               .term = raft_current_term(&s->n->core),
                               .index = index,
                               .features = 1,
                               .capacity = 60000};
    say(p, &ok);
    settle(s, 10);
}

static void acknowledge(struct stage *s, struct puppet *p)
{
    acknowledge_to(s, p, entries_last(&s->n->log));
}

static void become_leader(struct stage *s)
{
    s->n->core.election_timer_start -= 200000; /* its time is over */
    node_wake(s->n);
    settle(s, 200);
    for (int i = 0; i < 3 && raft_state(&s->n->core) != RAFT_LEADER; i++)
        grant(s, &s->puppets[0]); /* pre-vote, vote */
    assert_int_equal(raft_state(&s->n->core), RAFT_LEADER);
    settle(s, 100);
    assert_false(s->leader); /* not before an entry of its own term is committed */
    acknowledge(s, &s->puppets[0]);
    settle(s, 50);
    assert_true(s->leader);
}

struct write {
    struct raft_proposal p;
    int done, err;
};

static void write_done(struct raft_proposal *p, int err)
{
    struct write *x = container_of(p, struct write, p);
    x->done++;
    x->err = err;
}

/* G6: what is proposed in one turn is one submit, one message to each peer, one write; but no frame is huge.
 * G3: none of it is a CHANGE. */
static void test_g6_one_submit_a_turn(void **state)
{
    (void)state;
    struct stage s;
    struct write w[100];
    stage_open(&s, 0);
    become_leader(&s);
    s.n_seen = 0;
    for (int i = 0; i < 100; i++) {
        w[i] = (struct write){.p.done = write_done};
        raft_node_propose(s.n, blob_copy(SLICE("command")), &w[i].p);
    }
    settle(&s, 20);
    unsigned frames = 0, commands = 0;
    for (size_t i = 0; i < s.n_seen; i++) {
        assert_int_equal(s.seen[i].changes, 0);
        if (s.seen[i].by != 2)
            continue; /* has not answered yet: not in the pipeline */
        frames += s.seen[i].type == FRAME_APPEND && s.seen[i].a.n > 0;
        commands += s.seen[i].commands;
    }
    assert_int_equal(commands, 100);
    assert_int_equal(frames, 1);
    assert_int_equal(w[99].done, 0);
    acknowledge(&s, &s.puppets[0]);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(w[i].done, 1);
        assert_int_equal(w[i].err, 0);
    }
    stage_close(&s);
}

static void test_g6_frames_are_bounded(void **state)
{
    (void)state;
    struct stage s;
    struct write w[8];
    stage_open(&s, 0);
    become_leader(&s);
    s.n_seen = 0;
    for (int i = 0; i < 8; i++) {
        struct blob *b = blob_new(400000);
        memset(b->bytes, 'x', b->n);
        w[i] = (struct write){.p.done = write_done};
        raft_node_propose(s.n, b, &w[i].p);
    }
    settle(&s, 40);
    unsigned commands = 0;
    uint64_t next = 0;
    for (size_t i = 0; i < s.n_seen; i++) {
        const struct seen *x = &s.seen[i];
        if (x->type != FRAME_APPEND || x->a.n == 0 || x->by != 2)
            continue;
        assert_true(x->bytes <= FRAME_APPEND_BYTES + 1000);
        assert_true(next == 0 || x->a.prev_index == next); /* one continues the other */
        next = x->a.prev_index + x->a.n;
        commands += x->commands;
    }
    assert_int_equal(commands, 8);
    acknowledge(&s, &s.puppets[0]);
    assert_int_equal(w[7].done, 1);
    stage_close(&s);
}

/* G7: whatever our segments' size, the core and the peers are told that there is room. */
static void test_g7_capacity(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    write_blob(&s.puppets[0], append(2, 1, 1, 1, "c", SLICE_NONE));
    settle(&s, 20);
    const struct seen *x = last_of(&s, FRAME_APPEND_RESULT);
    assert_non_null(x);
    assert_int_equal(x->m.capacity, NODE_CAPACITY);
    assert_int_equal(x->m.index, 2);
    assert_int_equal(x->m.rejected, 0);
    stage_close(&s);
}

/* G8: a snapshot stream that is damaged, cut short or for another cluster changes nothing. */
static void test_g8_bad_snapshot_streams(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    for (int variant = 0; variant < 3; variant++) {
        struct puppet p = {.s = &s, .id = 2, .l = s.puppets[0].l};
        loop_connect(p.l, "n1:7443", on_connect, &p);
        settle(&s, 10);
        const struct hello h = {HELLO_SNAPSHOT, 77, 2, 1};
        const struct message head = {.type = FRAME_SNAP_HEAD, .term = 5, .index = 100};
        const struct message end = {.type = FRAME_SNAP_END};
        write_blob(&p, frame_hello(&h));
        if (variant != 1)
            say(&p, &head); /* else: data without a head */
        struct blob *data = blob_new(FRAME_HEAD + 100);
        memset(data->bytes, 'x', data->n);
        frame_data_head(data->bytes, 100);
        write_blob(&p, data);
        if (variant == 0)
            say(&p, &end);
        settle(&s, 20);
        if (variant == 2)
            stream_close(p.out); /* cut short */
        settle(&s, 100);
        assert_int_equal(p.ended, variant == 2 ? 0 : 1);
        if (variant != 2)
            stream_close(p.out);
        assert_null(s.n->receive);
        assert_false(s.n->installing);
    }
    assert_int_equal(s.n->snap_index, 0);
    stage_close(&s);
}

/* G9: lengths are looked at before anything is allocated, and only members of our own cluster are listened to. */
static void test_g9_strangers(void **state)
{
    (void)state;
    struct stage s;
    char huge[FRAME_HEAD] = {0};
    stage_open(&s, 0);
    put_u32(huge, UINT32_MAX);
    huge[4] = FRAME_APPEND;
    write_blob(&s.puppets[0], blob_copy(slice_of(huge, sizeof(huge))));
    settle(&s, 20);
    assert_int_equal(s.puppets[0].ended, 1);
    const struct hello bad[] = {
        {HELLO_LOG, 78, 2, 1}, {HELLO_LOG, 77, 0, 1}, {HELLO_LOG, 77, 2, 3}, {HELLO_LOG, 77, 1, 1}};
    for (size_t i = 0; i < 4; i++) {
        struct puppet p = {.s = &s, .l = s.puppets[0].l};
        loop_connect(p.l, "n1:7443", on_connect, &p);
        settle(&s, 10);
        write_blob(&p, frame_hello(&bad[i]));
        settle(&s, 20);
        assert_int_equal(p.ended, 1);
        stream_close(p.out);
    }
    struct puppet p = {.s = &s, .l = s.puppets[0].l};
    loop_connect(p.l, "n1:7443", on_connect, &p);
    settle(&s, 10);
    write_blob(&p, append(9, 1, 1, 1, "c", SLICE_NONE)); /* no hello */
    settle(&s, 20);
    assert_int_equal(p.ended, 1);
    stream_close(p.out);
    /* One that was removed may say hello, and is not heard. */
    const struct hello removed = {HELLO_LOG, 77, REMOVED_ID, 1};
    p = (struct puppet){.s = &s, .l = s.puppets[0].l};
    loop_connect(p.l, "n1:7443", on_connect, &p);
    settle(&s, 10);
    write_blob(&p, frame_hello(&removed));
    write_blob(&p, append(9, 1, 1, 1, "c", SLICE_NONE));
    settle(&s, 20);
    assert_int_equal(p.ended, 0);
    stream_close(p.out);
    assert_int_equal(s.n->meta.term, 1);
    stage_close(&s);
}

/* A follower that has compacted its log further than the leader accepts what begins before that: it is committed. */
static void note_transfer(void *ctx, int err)
{
    *(int *)ctx = err;
}

/* A leader that hears of a newer term leads nothing any more, at once and not only at the end of the turn: its status
 * said that it led the newer term. Found by jepsen/, workload `members`. */
static void test_status_of_a_deposed_leader(void **state)
{
    (void)state;
    struct stage s;
    struct raft_status st;
    stage_open(&s, 0);
    become_leader(&s);
    raft_node_status(s.n, &st);
    assert_int_equal(st.leader_id, 1);
    uint64_t term = st.term;
    struct raft_message vote = {.type = RAFT_REQUEST_VOTE, .server_id = 3, .server_address = "n3:7443"};
    vote.request_vote = (struct raft_request_vote){.version = 2,
                                                   .term = term + 1,
                                                   .candidate_id = 3,
                                                   .last_log_index = 99,
                                                   .last_log_term = term,
                                                   .disrupt_leader = true};
    struct raft_event e = {.type = RAFT_RECEIVE};
    e.receive.message = &vote;
    node_step(s.n, &e);
    raft_node_status(s.n, &st);
    assert_int_equal(st.term, term + 1);
    assert_int_equal(st.leader_id, 0);
    stage_close(&s);
}

/* G12: TimeoutNow goes out once the next leader has everything; what is proposed meanwhile waits for how that ends. */
static void test_g12_transfer_waits_for_the_next_leader(void **state)
{
    (void)state;
    struct stage s;
    struct write w[8], late = {.p.done = write_done};
    int transferred = 1;
    stage_open(&s, 0);
    become_leader(&s);
    for (int i = 0; i < 8; i++) {
        w[i] = (struct write){.p.done = write_done};
        raft_node_propose(s.n, blob_copy(SLICE("command")), &w[i].p);
    }
    settle(&s, 20);
    uint64_t last = entries_last(&s.n->log);
    raft_node_transfer(s.n, 2, 30000, note_transfer, &transferred);
    settle(&s, 5);
    raft_node_propose(s.n, blob_copy(SLICE("late")), &late.p);
    acknowledge_to(&s, &s.puppets[0], last - 3);
    assert_int_equal(entries_last(&s.n->log), last);
    assert_null(last_of(&s, FRAME_TIMEOUT_NOW));
    acknowledge_to(&s, &s.puppets[0], last);
    const struct seen *now = last_of(&s, FRAME_TIMEOUT_NOW);
    assert_non_null(now);
    assert_int_equal(now->by, 2);
    assert_int_equal(now->m.index, last);
    assert_int_equal(late.done, 0);
    assert_int_equal(transferred, 1);
    /* Nobody was elected in time: the write that waited is taken after all. */
    for (int i = 0; i < 90 && entries_last(&s.n->log) == last; i++) {
        acknowledge(&s, &s.puppets[0]);
        settle(&s, 1000);
    }
    assert_int_equal(transferred, -EAGAIN);
    assert_int_equal(entries_last(&s.n->log), last + 1);
    stage_close(&s);
}

static void test_append_before_the_compacted_log(void **state)
{
    (void)state;
    struct stage s;
    char types[129];
    stage_open(&s, 100);
    settle(&s, 50);
    memset(types, 'c', 128);
    types[128] = '\0';
    write_blob(&s.puppets[0], append(2, 1, 1, 129, types, SLICE_NONE));
    settle(&s, 200);
    assert_int_equal(s.snapshots, 1);
    assert_true(s.n->log.first > 20);
    uint64_t first = s.n->log.first;
    /* Wholly, in part, and as a heartbeat before what is left. */
    s.n_seen = 0;
    write_blob(&s.puppets[0], append(2, 9, 2, 129, "", SLICE_NONE));
    settle(&s, 20);
    assert_int_equal(last_of(&s, FRAME_APPEND_RESULT)->m.rejected, 0);
    assert_int_equal(last_of(&s, FRAME_APPEND_RESULT)->m.index, first);
    write_blob(&s.puppets[0], append(2, 9, 2, 129, "ccc", SLICE_NONE));
    settle(&s, 20);
    assert_int_equal(last_of(&s, FRAME_APPEND_RESULT)->m.rejected, 0);
    types[125] = '\0';
    write_blob(&s.puppets[0], append(2, 9, 2, 129, types, SLICE_NONE)); /* 10 to 134 */
    settle(&s, 20);
    assert_int_equal(last_of(&s, FRAME_APPEND_RESULT)->m.rejected, 0);
    assert_int_equal(last_of(&s, FRAME_APPEND_RESULT)->m.index, 134);
    assert_int_equal(entries_last(&s.n->log), 134);
    stage_close(&s);
}

/* A voter says yes to a probe of its own term only. */
static void test_probe_answers(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, 0);
    const struct message same = {.type = FRAME_PROBE, .term = 1, .seq = 4};
    const struct message older = {.type = FRAME_PROBE, .term = 0, .seq = 5};
    const struct message newer = {.type = FRAME_PROBE, .term = 2, .seq = 6};
    say(&s.puppets[0], &older);
    say(&s.puppets[0], &newer);
    settle(&s, 10);
    assert_null(last_of(&s, FRAME_PROBE_RESULT));
    say(&s.puppets[0], &same);
    settle(&s, 10);
    assert_int_equal(last_of(&s, FRAME_PROBE_RESULT)->m.seq, 4);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_g1_change_inside_a_batch),
        cmocka_unit_test(test_g2_standby_votes),
        cmocka_unit_test(test_g2_newcomer_votes),
        cmocka_unit_test(test_status_of_a_deposed_leader),
        cmocka_unit_test(test_g4_snapshot_waits_for_the_disk),
        cmocka_unit_test(test_g5_old_connection_is_dropped),
        cmocka_unit_test(test_g6_one_submit_a_turn),
        cmocka_unit_test(test_g6_frames_are_bounded),
        cmocka_unit_test(test_g7_capacity),
        cmocka_unit_test(test_g8_bad_snapshot_streams),
        cmocka_unit_test(test_g9_strangers),
        cmocka_unit_test(test_g12_transfer_waits_for_the_next_leader),
        cmocka_unit_test(test_append_before_the_compacted_log),
        cmocka_unit_test(test_probe_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

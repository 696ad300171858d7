/* A replica whose state is wrong, while its log and its vote are good.
 *
 * It fences itself at once: nothing is applied any more, no snapshot is taken, no read is confirmed, it does not act as
 * leader (and hands leadership on when it has it); the machine is told, so that nobody sees the state. It goes on
 * voting
 * and storing entries: those it promised to keep, and they are not in doubt. A file `fenced` in the directory keeps it
 * so
 * over a restart, for the wrong state may be in its snapshot.
 *
 * Then it asks one peer after the other for a snapshot of what they have applied, at or behind what it has applied
 * itself
 * (FRAME_RESYNC), which comes on a connection of its own as one from a leader does (send.c, receive.c). Once it is
 * whole,
 * checked, and its index is one that we have stored and know committed, it becomes our snapshot, as if we had taken it:
 * the machine is restored from it, and what comes behind it is applied from our own log. The same Raft id, log, term
 * and
 * vote all the time. Should the leader send one of its own in the meantime, since our log ends too early, that one
 * does.
 *
 * A peer may be wrong too: only those are asked whose state is known to be what a majority has (verify.c). While there
 * is
 * no such one, for a third replica is down or others differ as well, the replica stays fenced.
 *
 * A cluster of one has nobody to ask: the replica stops, and has what the disk has when it is started again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "raft/node_impl.h"

enum {
    RESYNC_ASK_MS = 300,
    RESYNC_PATIENCE = 20, /* that many questions to one peer without an answer: try the next */
    RESYNC_TRANSFER_MS = 2000,
};

struct resync {
    struct raft_node *n;
    struct node_work mark, install; /* on the log lane */
    bool marking, mark_wanted, installing;
    bool told; /* the machine was told */
    const char *why;
    uint64_t from;   /* whom we ask */
    unsigned asked;  /* how often */
    unsigned waited; /* looks at a snapshot that could not be installed yet */
    struct loop_timer timer;
    struct snap_info info; /* info.index != 0: in incoming.tmp */
    int err;
};

static void marker_path(const struct raft_node *n, char out[SNAP_PATH_MAX])
{
    snprintf(out, SNAP_PATH_MAX, "%s/fenced", n->dir);
}

/* ---- fencing ---- */

static void on_ask(struct loop_timer *t)
{
    node_wake(container_of(t, struct resync, timer)->n);
}

static struct resync *new_resync(struct raft_node *n, const char *why)
{
    struct resync *r = mem_new(struct resync);
    r->n = n;
    r->why = why;
    r->timer.cb = on_ask;
    return n->resync = r;
}

static bool alone(const struct raft_node *n)
{
    for (size_t i = 0; i < n->n_members; i++)
        if (n->members[i].id != n->o.id && n->members[i].role != MEMBER_SPARE &&
            !(n->transport && transport_is_stateless(n->transport, n->members[i].id)))
            return false;
    return true;
}

void node_fence(struct raft_node *n, const char *why)
{
    if (n->resync || n->failed || n->closing)
        return;
    if (alone(n)) {
        node_fail(n, -EBADMSG,
                  "the state is damaged and there is no other replica: start again to read it from the disk");
        return;
    }
    log_error(loop_log(n->l), "raft",
              "fenced reason=\"%s\" applied=%" PRIu64
              " action=\"serves nothing until it has a sound state from a peer\"",
              why, n->applied);
    new_resync(n, why)->mark_wanted = true;
    node_snapshot_cancel(n);
    for (struct list *it; (it = list_pop(&n->appended));)
        node_fail_proposal(n, container_of(it, struct raft_proposal, link), -ETIMEDOUT);
    for (struct list *it; (it = list_pop(&n->queued));)
        node_fail_proposal(n, container_of(it, struct raft_proposal, link), -EAGAIN);
    node_wake(n);
}

void node_resync_recover(struct raft_node *n)
{
    char path[SNAP_PATH_MAX];
    struct file *f;
    marker_path(n, path);
    if (fs_open(loop_fs(n->l), path, FS_READ, &f))
        return;
    file_close(f);
    if (alone(n)) {
        log_warn(loop_log(n->l), "raft", "was fenced, and is alone now: goes on with the state on its disk");
        fs_unlink(loop_fs(n->l), path);
        return;
    }
    log_warn(loop_log(n->l), "raft", "is fenced since before the start");
    new_resync(n, "the state was found wrong before the restart");
}

const char *raft_node_fenced(const struct raft_node *n)
{
    return n->resync ? n->resync->why : NULL;
}

static void mark_run(struct node_work *w)
{
    char path[SNAP_PATH_MAX];
    struct file *f;
    struct fs *fs = loop_fs(w->n->l);
    marker_path(w->n, path);
    int err = fs_open(fs, path, FS_READ | FS_WRITE | FS_CREATE, &f);
    if (!err) {
        err = file_sync(f);
        file_close(f);
    }
    if (!err)
        err = fs_sync_dir(fs, w->n->dir);
    container_of(w, struct resync, mark)->err = err;
}

static void mark_done(struct node_work *w)
{
    struct resync *r = container_of(w, struct resync, mark);
    struct raft_node *n = w->n;
    r->marking = false;
    if (n->closing) {
        node_resync_free(n);
        return;
    }
    if (r->err)
        log_warn(loop_log(n->l), "raft", "cannot note on disk that we are fenced error=\"%s\"", strerror(-r->err));
    node_wake(n);
}

static void mark(struct raft_node *n, struct resync *r)
{
    r->mark_wanted = false;
    r->marking = true;
    r->mark.run = mark_run;
    r->mark.done = mark_done;
    node_work_queue(n, LOOP_LANE_LOG, &r->mark);
}

/* ---- asking ---- */

static bool can_ask(const struct raft_node *n, uint64_t id)
{
    const struct raft_member *m = node_member(n, id);
    return m && id != n->o.id && m->role != MEMBER_SPARE && transport_is_up(n->transport, id) &&
           !transport_is_stateless(n->transport, id) && transport_format(n->transport, id) >= 2 &&
           node_verify_vouched(n, id);
}

/* The member behind the one asked so far that can be asked, or 0. */
static uint64_t next_peer(const struct raft_node *n, uint64_t last)
{
    size_t at = 0;
    while (at < n->n_members && n->members[at].id != last)
        at++;
    for (size_t i = 1; i <= n->n_members; i++) {
        uint64_t id = n->members[(at + i) % n->n_members].id;
        if (can_ask(n, id))
            return id;
    }
    return 0;
}

static void ask(struct raft_node *n, struct resync *r)
{
    if (loop_timer_armed(&r->timer))
        return;
    loop_timer_start(n->l, &r->timer, RESYNC_ASK_MS);
    if (n->receive)
        return; /* something comes */
    if (!can_ask(n, r->from) || r->asked >= RESYNC_PATIENCE) {
        r->from = next_peer(n, r->from);
        r->asked = 0;
    }
    if (!r->from)
        return;
    r->asked++;
    const struct message m = {.type = FRAME_RESYNC, .index = n->applied ? n->applied : 1};
    node_send_message(n, r->from, &m);
}

void node_on_resync(struct raft_node *n, uint64_t from, const struct message *m)
{
    if (n->resync || n->installing || n->applied < m->index)
        return; /* it asks again, or somebody else */
    if (n->snap_index >= m->index)
        node_send_snapshot(n, from);
    else
        n->snapshot_asked = true; /* and the next question will find it */
}

/* ---- the snapshot ---- */

bool node_resync_wants(const struct raft_node *n, uint64_t index)
{
    return n->resync && !n->resync->info.index && index >= n->applied && index > 0;
}

bool node_resync_holds(const struct raft_node *n)
{
    return n->resync && n->resync->info.index;
}

bool node_resync_take(struct raft_node *n, const struct snap_info *info)
{
    if (!node_resync_wants(n, info->index) || info->cluster_id != n->o.cluster_id)
        return false;
    n->resync->info = *info;
    node_wake(n);
    return true;
}

static void install_run(struct node_work *w)
{
    char from[SNAP_PATH_MAX], to[SNAP_PATH_MAX];
    struct resync *r = container_of(w, struct resync, install);
    struct fs *fs = loop_fs(w->n->l);
    snprintf(from, sizeof(from), "%s/incoming.tmp", w->n->dir);
    snap_path(to, w->n->dir, r->info.index);
    r->err = fs_rename(fs, from, to);
    if (!r->err)
        r->err = fs_sync_dir(fs, w->n->dir);
    if (!r->err)
        r->err = snap_remove_others(fs, w->n->dir, r->info.index);
    marker_path(w->n, from);
    if (!r->err) /* the disk is sound from here on; what is in memory is replaced next, or goes with the process */
        r->err = fs_unlink(fs, from);
    if (!r->err)
        r->err = fs_sync_dir(fs, w->n->dir);
    if (r->err == -ENOENT)
        r->err = 0;
}

static int restore(struct raft_node *n, uint64_t index)
{
    char path[SNAP_PATH_MAX];
    struct snap_reader *reader;
    snap_path(path, n->dir, index);
    int err = snap_open(loop_fs(n->l), path, &reader);
    if (err)
        return err;
    err = n->machine.restore(n->ctx, index, &reader->source);
    snap_close(reader);
    return err;
}

static void sound_again(struct raft_node *n)
{
    bool told = n->resync->told;
    node_verify_reset(n);
    node_resync_free(n);
    if (n->resync)
        return; /* its note is being written yet; it will find out once more */
    log_info(loop_log(n->l), "raft", "fenced no more: state resynchronised applied=%" PRIu64, n->applied);
    if (told && n->machine.fenced)
        n->machine.fenced(n->ctx, false);
    node_wake(n);
}

static void install_done(struct node_work *w)
{
    struct resync *r = container_of(w, struct resync, install);
    struct raft_node *n = w->n;
    r->installing = false;
    if (n->closing) {
        node_resync_free(n);
        return;
    }
    int err = r->err ? r->err : restore(n, r->info.index);
    if (err) {
        node_fail(n, err, "cannot take over the state of a peer");
        return;
    }
    n->applied = r->info.index;
    n->snap_bytes_mark = 0;
    if (r->info.index > n->snap_index)
        node_snapshot_taken(n, &r->info);
    sound_again(n);
}

/* As with a snapshot of our own (guard G4): not ahead of what is stored and committed here. */
static bool may_install(struct raft_node *n, const struct resync *r)
{
    uint64_t index = r->info.index;
    return index && !r->installing && !r->marking && !n->taking && !n->installing && !n->core.snapshot.installing &&
           index <= n->core.last_stored && index <= raft_commit_index(&n->core);
}

static void install(struct raft_node *n, struct resync *r)
{
    r->installing = true;
    r->install.run = install_run;
    r->install.done = install_done;
    node_work_queue(n, LOOP_LANE_LOG, &r->install);
}

void node_resync_installed(struct raft_node *n)
{
    char path[SNAP_PATH_MAX];
    node_verify_reset(n);
    if (!n->resync)
        return;
    marker_path(n, path);
    fs_unlink(loop_fs(n->l), path); /* rare: no lane for it */
    sound_again(n);
}

/* ---- the turn ---- */

static void transferred(void *ctx, int err)
{
    (void)ctx;
    (void)err; /* the turn tries again */
}

/* A snapshot is there, and we have not got so far. Not for ever: if our log cannot get there without a snapshot of the
 * leader's, that one needs the place. */
static void wait_more(struct raft_node *n, struct resync *r)
{
    loop_timer_start(n->l, &r->timer, RESYNC_ASK_MS);
    if (r->info.index && ++r->waited > RESYNC_PATIENCE)
        r->info.index = r->waited = 0;
}

void node_resync_turn(struct raft_node *n)
{
    struct resync *r = n->resync;
    if (n->m_fenced)
        n->m_fenced->value = r != NULL;
    if (!r)
        return;
    if (!r->told) {
        r->told = true;
        if (n->machine.fenced)
            n->machine.fenced(n->ctx, true);
    }
    if (raft_state(&n->core) == RAFT_LEADER && !n->transfer_done)
        raft_node_transfer(n, 0, RESYNC_TRANSFER_MS, transferred, n);
    if (r->mark_wanted)
        mark(n, r);
    if (r->info.index && r->info.index < n->applied)
        r->info.index = 0;
    if (may_install(n, r))
        install(n, r);
    else if (!r->info.index && !n->installing)
        ask(n, r);
    else if (!r->installing && !loop_timer_armed(&r->timer))
        wait_more(n, r);
}

void node_resync_free(struct raft_node *n)
{
    struct resync *r = n->resync;
    if (!r || r->marking || r->installing)
        return; /* goes when the work is done */
    n->resync = NULL;
    loop_timer_stop(n->l, &r->timer);
    mem_free(r);
}

#include "direct.h"

#include <errno.h>

#include "base/mem.h"
#include "store/clock.h"

enum { CLIENTS = 8, KEYS = 4, ITEMS_MAX = 30, MICROS_MAX = 4, OP_MS = 1500, LISTS = 400 };

/* A step of a transaction: an append of value, or (0) a read. */
struct step {
    int64_t key, value;
};

struct operation {
    struct operation *next; /* all there were, for freeing */
    struct direct *x;
    struct direct_client *client;
    size_t replica;
    struct replica *at; /* the one that began it */
    struct hist_event event;
    struct step steps[MICROS_MAX];
    size_t n;
    int64_t *micros;
    size_t n_micros;
    struct raft_read read;
    struct replica_txn txn;
    bool ended, proposed;
};

struct direct_client {
    struct direct *x;
    size_t i;
    int32_t process;
    struct loop_timer timer;
    struct operation *op; /* under way */
    struct loop_timer late;
    int64_t look; /* of the last look: the next epoch or key */
    bool finished;
};

struct direct {
    struct world *w;
    struct drive *d;
    bool quiet, finishing;
    struct direct_client clients[CLIENTS];
    struct operation *operations;
    int64_t epoch;
    size_t lengths[LISTS];
};

/* ---- the end of an operation ---- */

static void client_later(struct direct_client *c)
{
    struct direct *x = c->x;
    if (!x->quiet || (x->finishing && !c->finished))
        loop_timer_start(x->w->load, &c->timer, 1 + drive_random(x->d, 60));
}

static void end(struct operation *op, enum hist_type type, const int64_t *list, size_t n)
{
    struct direct_client *c = op->client;
    if (op->ended)
        return;
    op->ended = true;
    op->event.type = (uint8_t)type;
    op->event.time = drive_time(op->x->d);
    history_add(drive_history(op->x->d), &op->event, list, n, NULL);
    if (type == HIST_INFO)
        c->process += CLIENTS;
    c->op = NULL;
    loop_timer_stop(op->x->w->load, &c->late);
    client_later(c);
}

static void on_late(struct loop_timer *t)
{
    struct direct_client *c = container_of(t, struct direct_client, late);
    if (c->op)
        end(c->op, HIST_INFO, c->op->micros, c->op->n_micros);
}

/* ---- values ---- */

#define HEAD "{\"kind\":\"L\",\"apiVersion\":\"v1\","
#define META HEAD "\"metadata\":{"

#define TABLE SLICE("jepsen/lists")

static const char *key_text(struct arena *a, int64_t key)
{
    return arena_printf(a, "k%ld", key);
}

static struct store_item *item_of(const struct operation *op, struct arena *a, int64_t key)
{
    struct store *s = replica_store(op->at);
    return store_get(store_table(s, TABLE), slice_str(key_text(a, key)));
}

/* The numbers of a stored list; their count. */
static size_t items_of(const struct store_item *item, struct arena *a, int64_t *out)
{
    size_t n = 0;
    if (!item)
        return 0;
    struct slice rest = json_path_string(json_parse(a, blob_slice(item->value), NULL, NULL, NULL), "l"), head;
    while (rest.n && n < 4 * ITEMS_MAX) {
        slice_cut(rest, ' ', &head, &rest);
        n += slice_to_i64(head, &out[n]);
    }
    return n;
}

static struct store_op put_of(const struct operation *op, struct arena *a, int64_t key, struct slice value)
{
    const struct store_item *old = item_of(op, a, key);
    return (struct store_op){.kind = STORE_PUT,
                             .table = TABLE,
                             .key = slice_str(key_text(a, key)),
                             .compare = old ? STORE_AT : STORE_ABSENT,
                             .mod_revision = old ? old->mod_revision : 0,
                             .value = value,
                             .hole = sizeof META - 1,
                             .type_len = sizeof HEAD - 1};
}

/* ---- a transaction, on the replica ---- */

static void on_txn(struct replica_txn *t, int err)
{
    struct operation *op = container_of(t, struct operation, txn);
    bool refused = err == -EAGAIN || err == -EBUSY || err == -ENOSPC || err == -E2BIG || (!err && t->result.err);
    enum hist_type fate = refused ? HIST_FAIL : err ? HIST_INFO : HIST_OK;
    end(op, fate, op->micros, op->n_micros);
}

struct plan {
    struct arena a;
    struct store_op ops[MICROS_MAX];
    size_t n_ops;
    int64_t micros[MICROS_MAX * (4 * ITEMS_MAX + 8)];
    size_t n;
};

/* What the key's list is at this step: as stored, and what the transaction itself appended before. */
static size_t list_at(struct operation *op, struct plan *p, size_t step, int64_t *out)
{
    int64_t key = op->steps[step].key;
    size_t n = items_of(item_of(op, &p->a, key), &p->a, out);
    for (size_t i = 0; i < step; i++)
        if (op->steps[i].key == key && op->steps[i].value)
            out[n++] = op->steps[i].value;
    return n;
}

static void plan_step(struct operation *op, struct plan *p, size_t step)
{
    const struct step *s = &op->steps[step];
    if (s->value) {
        memcpy(p->micros + p->n, (int64_t[]){HIST_MICRO_APPEND, s->key, s->value}, 3 * sizeof(int64_t));
        p->n += 3;
        return;
    }
    size_t n = list_at(op, p, step, p->micros + p->n + 3);
    memcpy(p->micros + p->n, (int64_t[]){HIST_MICRO_READ, s->key, (int64_t)n}, 3 * sizeof(int64_t));
    p->n += 3 + n;
    if (n > op->x->lengths[s->key])
        op->x->lengths[s->key] = n;
}

/* One operation of the store for each key: a new list, or a check that it is as it was read. */
static void plan_key(struct operation *op, struct plan *p, size_t step)
{
    int64_t key = op->steps[step].key, items[4 * ITEMS_MAX + MICROS_MAX];
    bool appends = false;
    for (size_t i = 0; i < op->n; i++) {
        if (i < step && op->steps[i].key == key)
            return;
        appends |= op->steps[i].key == key && op->steps[i].value;
    }
    struct store_op *o = &p->ops[p->n_ops++];
    if (!appends) {
        *o = put_of(op, &p->a, key, SLICE_NONE);
        o->kind = STORE_CHECK;
        return;
    }
    size_t n = items_of(item_of(op, &p->a, key), &p->a, items);
    for (size_t i = 0; i < op->n; i++)
        if (op->steps[i].key == key && op->steps[i].value)
            items[n++] = op->steps[i].value;
    struct buf text = BUF_INIT(1 << 20);
    buf_printf(&text, META "\"name\":\"k%ld\"},\"l\":\"", key);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s%ld", i ? " " : "", items[i]);
    buf_add_str(&text, "\"}");
    *o = put_of(op, &p->a, key, arena_copy(&p->a, buf_slice(&text)));
    buf_done(&text);
}

static void propose(struct operation *op, const struct store_op *ops, size_t n)
{
    op->txn.done = on_txn;
    op->proposed = true;
    replica_txn(op->at, &(struct store_txn){.time_ms = replica_time_ms(op->at), .ops = ops, .n = n}, &op->txn);
}

static void do_lists(struct operation *op)
{
    struct plan *p = mem_new(struct plan);
    bool writes = false;
    arena_init(&p->a, 64 << 20);
    for (size_t i = 0; i < op->n; i++) {
        plan_step(op, p, i);
        plan_key(op, p, i);
        writes |= op->steps[i].value != 0;
    }
    if (!writes) {
        end(op, HIST_OK, p->micros, p->n);
    } else if (!replica_is_leader(op->at)) {
        end(op, HIST_FAIL, op->micros, op->n_micros);
    } else {
        mem_free(op->micros);
        op->micros = mem_dup(p->micros, p->n * sizeof *p->micros);
        op->n_micros = p->n;
        propose(op, p->ops, p->n_ops);
    }
    arena_done(&p->a);
    mem_free(p);
}

static void on_fresh(struct raft_read *read, int err)
{
    struct operation *op = container_of(read, struct operation, read);
    if (op->ended)
        return;
    if (err)
        end(op, HIST_FAIL, op->micros, op->n_micros);
    else
        do_lists(op);
}

static void on_replica(void *arg)
{
    struct operation *op = arg;
    op->at = op->x->w->replicas[op->replica].replica;
    if (op->ended || !op->at)
        return;
    op->read.done = on_fresh;
    replica_barrier(op->at, &op->read);
}

/* ---- clients ---- */

static struct operation *begin(struct direct_client *c)
{
    struct direct *x = c->x;
    struct operation *op = mem_new(struct operation);
    int leader = world_leader(x->w);
    op->next = x->operations;
    x->operations = op;
    op->x = x;
    op->client = c;
    op->replica = leader >= 0 && drive_random(x->d, 4) ? (size_t)leader : drive_random(x->d, REPLICAS);
    op->event = (struct hist_event)HIST_EVENT_INIT;
    op->event.process = c->process;
    op->event.node = (uint16_t)(op->replica + 1);
    op->event.time = drive_time(x->d);
    c->op = op;
    return op;
}

static void go(struct operation *op)
{
    struct direct_client *c = op->client;
    struct hist_event e = op->event;
    e.type = HIST_INVOKE;
    history_add(drive_history(op->x->d), &e, op->micros, op->n_micros, NULL);
    loop_timer_start(op->x->w->load, &c->late, OP_MS);
    loop_post(op->x->w->replicas[op->replica].loop, on_replica, op);
}

static void begin_lists(struct direct_client *c, int64_t epoch)
{
    struct direct *x = c->x;
    struct operation *op = begin(c);
    op->event.f = HIST_TXN;
    op->n = x->finishing ? KEYS : 1 + drive_random(x->d, MICROS_MAX);
    op->n_micros = 3 * op->n;
    op->micros = mem_alloc(op->n_micros * sizeof *op->micros);
    for (size_t i = 0; i < op->n; i++) {
        struct step *s = &op->steps[i];
        bool append = !x->finishing && drive_random(x->d, 2);
        s->key = epoch * KEYS + (int64_t)(x->finishing ? i : drive_random(x->d, KEYS));
        s->value = append ? drive_unique(x->d) : 0;
        int64_t micro[] = {append ? HIST_MICRO_APPEND : HIST_MICRO_UNREAD, s->key, append ? s->value : HIST_NIL};
        memcpy(op->micros + 3 * i, micro, sizeof micro);
        if (x->lengths[s->key] >= ITEMS_MAX && x->epoch == epoch && (epoch + 2) * KEYS <= LISTS)
            x->epoch++;
    }
    go(op);
}

/* What is left of the last look is shared out among the clients. */
static void look(struct direct_client *c)
{
    struct direct *x = c->x;
    if (c->look > x->epoch) {
        c->finished = true;
        return;
    }
    begin_lists(c, c->look);
    c->look += CLIENTS;
}

static void on_client(struct loop_timer *t)
{
    struct direct_client *c = container_of(t, struct direct_client, timer);
    struct direct *x = c->x;
    if (c->op || (x->quiet && !x->finishing))
        return;
    if (x->finishing)
        look(c);
    else
        begin_lists(c, x->epoch);
}

/* ---- life ---- */

struct direct *direct_new(struct world *w, struct drive *d)
{
    struct direct *x = mem_new(struct direct);
    x->w = w;
    x->d = d;
    for (size_t i = 0; i < CLIENTS; i++) {
        struct direct_client *c = &x->clients[i];
        c->x = x;
        c->i = i;
        c->process = (int32_t)i;
        c->look = (int64_t)i;
        c->timer.cb = on_client;
        c->late.cb = on_late;
        client_later(c);
    }
    return x;
}

void direct_quiet(struct direct *x)
{
    x->quiet = true;
}

void direct_finish(struct direct *x)
{
    x->finishing = true;
    for (size_t i = 0; i < CLIENTS; i++)
        client_later(&x->clients[i]);
}

bool direct_idle(const struct direct *x)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (x->clients[i].op || (x->finishing && !x->clients[i].finished))
            return false;
    return true;
}

void direct_free(struct direct *x)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        loop_timer_stop(x->w->load, &x->clients[i].timer);
        loop_timer_stop(x->w->load, &x->clients[i].late);
    }
    for (struct operation *op; (op = x->operations);) {
        x->operations = op->next;
        mem_free(op->micros);
        mem_free(op);
    }
    mem_free(x);
}

const struct workload workload_lists = {.name = "lists", .check = check_txn};

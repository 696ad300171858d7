/* /pintle/v1/kv/SPACE/txn: transactions on keys and values of their own, for add-ons that would otherwise want an etcd.
 *   POST {compare: [...], then: [...], else: [...]} → {succeeded, revision, results}
 *
 * All comparisons hold → the operations of `then` are carried out, else those of `else`; all at one moment, or none.
 * They
 * go in order: a read sees what the same transaction wrote before it.
 *
 * A space is a prefix of keys that its users cannot leave: RBAC says who may post to which path. The table "pintle/kv"
 * holds nothing else, and no Kubernetes resource is ever stored in it.
 *
 * Happy path: a transaction that only reads is answered by any replica, from one linearizable state. One that may write
 * goes to the leader, which makes its state fresh, compares, reads, and proposes the writes together with a check of
 * each
 * key that was looked at; when another write came in between, all is done anew.
 *
 * Repetition: a follower that got no answer asks the next leader with the same id. The id that the store remembers says
 * more: which branch was taken and how many changes it made, so that the state from before, and with it the answer, can
 * be
 * found again. When the event window no longer has that state, the answer is 504: it may be looked for. */
#include <errno.h>
#include <stdio.h>

#include "apiserver/write.h"
#include "base/text.h"

enum {
    KV_OPS_MAX = 128,       /* comparisons, and operations of either branch */
    KV_KEY_MAX = 512,       /* bytes */
    KV_VALUE_MAX = 1 << 20, /* bytes */
    KV_SPACE_MAX = 63,
    KV_KEYS_MAX = 100000, /* of all spaces together */
    KV_LIST_MAX = 1000,   /* keys of one list */
    KV_LIST_BYTES = 4 << 20,
    KV_TTL_MAX_S = 10 * 365 * 86400,
    KV_TRIES = 16, /* while others write the same keys */
};

#define KV_TABLE SLICE("pintle/kv")

enum kv_kind { KV_READ, KV_LIST, KV_PUT, KV_DELETE };

struct kv_op {
    enum kv_kind kind;
    struct slice key; /* with its space; of a list: the prefix */
    struct slice value, after;
    uint64_t ttl_ms, limit;
    struct store_item *seen; /* reference: what the key was before the transaction; NULL = absent */
    bool changes;            /* it makes a revision */
};

struct kv_compare {
    struct slice key, value;
    uint64_t revision;
    enum { KV_EXISTS, KV_ABSENT, KV_REVISION, KV_VALUE } kind;
};

struct kv_branch {
    struct kv_op ops[KV_OPS_MAX];
    size_t n;
};

struct kv {
    struct slice space;
    struct kv_compare compares[KV_OPS_MAX];
    size_t n_compares;
    struct kv_branch branches[2]; /* else, then */
    bool taken;                   /* which one */
    unsigned tries;
    struct store_op store_ops[2 * KV_OPS_MAX];
    struct buf values[KV_OPS_MAX];
    size_t n_values;
};

/* ---- what was asked ---- */

static bool key_is_good(struct slice key)
{
    for (size_t i = 0; i < key.n; i++)
        if ((unsigned char)key.p[i] < ' ' || key.p[i] == 0x7f)
            return false;
    return key.n <= KV_KEY_MAX;
}

/* The key with its space; an empty one is good for a prefix only. */
static int take_key(struct api_request *r, struct kv *k, const struct json *v, bool may_be_empty, struct slice *ret,
                    struct status *st)
{
    struct slice key = json_string(v);
    if (!json_is(v, JSON_STRING) || (!key.n && !may_be_empty) || !key_is_good(key))
        return status_set(st, r->arena, 422, "a key must be text of 1 to %d bytes without control characters",
                          KV_KEY_MAX);
    *ret = slice_str(arena_printf(r->arena, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(k->space), SLICE_ARG(key)));
    return 0;
}

static int take_value(struct api_request *r, const struct json *v, struct slice *ret, struct status *st)
{
    if (!json_is(v, JSON_STRING) || json_string(v).n > KV_VALUE_MAX)
        return status_set(st, r->arena, 422, "a value must be text of at most %d bytes", KV_VALUE_MAX);
    *ret = json_string(v);
    return 0;
}

/* A member that must be a number from 1 to max when it is there. */
static int take_number(struct api_request *r, const struct json *v, const char *name, int64_t max, uint64_t *ret,
                       struct status *st)
{
    const struct json *member = json_get_str(v, name);
    int64_t n = json_int(member, 0);
    if (member && (n < 1 || n > max))
        return status_set(st, r->arena, 422, "%s must be a number from 1 to %ld", name, max);
    *ret = (uint64_t)n;
    return 0;
}

static int take_compare(struct api_request *r, struct kv *k, const struct json *v, struct status *st)
{
    struct kv_compare *c = &k->compares[k->n_compares];
    const struct json *exists = json_get_str(v, "exists"), *value = json_get_str(v, "value");
    int rv = take_key(r, k, json_get_str(v, "key"), false, &c->key, st);
    if (!rv)
        rv = take_number(r, v, "revision", INT64_MAX, &c->revision, st);
    if (!rv && value)
        rv = take_value(r, value, &c->value, st);
    if (rv)
        return rv;
    if ((exists != NULL) + (value != NULL) + (c->revision != 0) != 1)
        return status_set(st, r->arena, 422, "a comparison wants a key and one of exists, revision and value");
    c->kind = value ? KV_VALUE : c->revision ? KV_REVISION : json_bool(exists, true) ? KV_EXISTS : KV_ABSENT;
    k->n_compares++;
    return 0;
}

static int take_op(struct api_request *r, struct kv *k, struct kv_branch *b, const struct json *v, struct status *st)
{
    static const char *const names[] = {
        [KV_READ] = "read", [KV_LIST] = "list", [KV_PUT] = "put", [KV_DELETE] = "delete"};
    struct kv_op *op = &b->ops[b->n];
    const struct json *key = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        const struct json *named = json_get_str(v, names[i]);
        if (named) {
            op->kind = (enum kv_kind)i;
            key = named;
            n++;
        }
    }
    if (n != 1)
        return status_set(st, r->arena, 422, "an operation is one of read, list, put and delete");
    int rv = take_key(r, k, key, op->kind == KV_LIST, &op->key, st);
    if (!rv && op->kind == KV_PUT)
        rv = take_value(r, json_get_str(v, "value"), &op->value, st);
    if (!rv && op->kind == KV_PUT)
        rv = take_number(r, v, "ttlSeconds", KV_TTL_MAX_S, &op->ttl_ms, st);
    if (!rv && op->kind == KV_LIST)
        rv = take_number(r, v, "limit", KV_LIST_MAX, &op->limit, st);
    if (!rv && json_get_str(v, "after"))
        rv = take_key(r, k, json_get_str(v, "after"), false, &op->after, st);
    op->ttl_ms *= 1000;
    b->n++;
    return rv;
}

static bool writes(const struct kv_branch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->ops[i].kind >= KV_PUT)
            return true;
    return false;
}

/* A key is written once; what a list shows cannot be held still until the writes are done. */
static int check_branch(struct api_request *r, const struct kv_branch *b, struct status *st)
{
    bool lists = false;
    for (size_t i = 0; i < b->n; i++) {
        lists |= b->ops[i].kind == KV_LIST;
        for (size_t j = 0; j < i && b->ops[i].kind >= KV_PUT; j++)
            if (b->ops[j].kind >= KV_PUT && slice_eq(b->ops[i].key, b->ops[j].key))
                return status_set(st, r->arena, 422, "a transaction can write a key only once");
    }
    return lists && writes(b) ? status_set(st, r->arena, 422, "a transaction that lists cannot write") : 0;
}

static int take_branch(struct api_request *r, struct kv *k, const struct json *list, struct kv_branch *b,
                       struct status *st)
{
    int rv = json_len(list) > KV_OPS_MAX
                 ? status_set(st, r->arena, 422, "a transaction has at most %d operations", KV_OPS_MAX)
                 : 0;
    for (const struct json *v = rv ? NULL : json_first(list); v && !rv; v = v->next)
        rv = take_op(r, k, b, v, st);
    return rv ? rv : check_branch(r, b, st);
}

static int take_request(struct api_request *r, struct kv *k, struct status *st)
{
    struct json *body = api_decode_any(r, st);
    const struct json *compares = json_get_str(body, "compare");
    if (!body)
        return st->code;
    if (!json_is(body, JSON_OBJECT) || json_len(compares) > KV_OPS_MAX)
        return status_set(st, r->arena, 422, "want {\"compare\":[…],\"then\":[…],\"else\":[…]} with at most %d of each",
                          KV_OPS_MAX);
    json_each (v, compares) {
        int rv = take_compare(r, k, v, st);
        if (rv)
            return rv;
    }
    int rv = take_branch(r, k, json_get_str(body, "then"), &k->branches[1], st);
    return rv ? rv : take_branch(r, k, json_get_str(body, "else"), &k->branches[0], st);
}

/* ---- looking ---- */

static struct store_table *table_of(struct api_request *r)
{
    return store_table(r->api->store, KV_TABLE);
}

static struct slice value_of(struct arena *a, const struct store_item *item)
{
    return json_path_string(json_parse(a, blob_slice(item->value), NULL, NULL, NULL), "value");
}

static bool holds(struct api_request *r, const struct kv_compare *c)
{
    const struct store_item *item = store_get(table_of(r), c->key);
    struct arena a;
    if (c->kind != KV_VALUE || !item)
        return c->kind == KV_ABSENT ? !item : item && (c->kind != KV_REVISION || item->mod_revision == c->revision);
    arena_init(&a, API_ARENA_MAX);
    bool same = slice_eq(value_of(&a, item), c->value);
    arena_done(&a);
    return same;
}

static bool all_hold(struct api_request *r, const struct kv *k)
{
    for (size_t i = 0; i < k->n_compares; i++)
        if (!holds(r, &k->compares[i]))
            return false;
    return true;
}

static void forget_seen(struct kv_branch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        item_unref(b->ops[i].seen);
        b->ops[i].seen = NULL;
    }
}

/* Notes for each operation what its key was at a revision. 0, or -ESTALE: it is not known any more. */
static int see(struct api_request *r, struct kv_branch *b, uint64_t revision)
{
    for (size_t i = 0; i < b->n; i++) {
        struct kv_op *op = &b->ops[i];
        struct store_item *item = NULL;
        int rv = op->kind == KV_LIST ? 0 : store_get_at(r->api->store, table_of(r), op->key, revision, &item);
        if (rv) {
            forget_seen(b);
            return rv;
        }
        op->seen = item_ref(item);
        op->changes = op->kind == KV_PUT || (op->kind == KV_DELETE && item);
    }
    return 0;
}

static size_t count_changes(const struct kv_branch *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += b->ops[i].changes;
    return n;
}

/* ---- answering ---- */

static void add_entry(struct api_request *r, const struct kv *k, struct json *to, struct slice key, struct slice value,
                      uint64_t revision)
{
    json_set_str(r->arena, to, "key", json_new_string(r->arena, slice_from(key, k->space.n + 1)));
    if (!revision)
        return;
    json_set_str(r->arena, to, "value", json_new_string(r->arena, value));
    json_set_str(r->arena, to, "revision", json_new_int(r->arena, (int64_t)revision));
}

/* What the transaction itself did to the key before operation i, or NULL. before: the revision it started from. */
static const struct kv_op *own_write(const struct kv_branch *b, size_t i, uint64_t before, uint64_t *ret_revision)
{
    const struct kv_op *found = NULL;
    for (size_t j = 0; j < i; j++) {
        before += b->ops[j].changes;
        if (b->ops[j].kind < KV_PUT || !slice_eq(b->ops[j].key, b->ops[i].key))
            continue;
        found = &b->ops[j];
        *ret_revision = before;
    }
    return found;
}

static void add_read(struct api_request *r, const struct kv *k, const struct kv_branch *b, size_t i, uint64_t before,
                     struct json *to)
{
    const struct kv_op *op = &b->ops[i];
    uint64_t revision = 0;
    const struct kv_op *own = own_write(b, i, before, &revision);
    if (own)
        add_entry(r, k, to, op->key, own->value, own->kind == KV_PUT ? revision : 0);
    else
        add_entry(r, k, to, op->key, op->seen ? value_of(r->arena, op->seen) : SLICE_NONE,
                  op->seen ? op->seen->mod_revision : 0);
}

static void add_list(struct api_request *r, const struct kv *k, const struct kv_op *op, struct json *to)
{
    struct json *items = json_new_array(r->arena);
    struct tree_iter it;
    size_t bytes = 0;
    bool more = false;
    tree_iter_init(&it, store_root(table_of(r)), slice_cmp(op->after, op->key) > 0 ? op->after : op->key);
    for (struct store_item *item; (item = tree_iter_next(&it)) && slice_starts(item_key(item), op->key);) {
        if (op->after.n && slice_eq(item_key(item), op->after))
            continue;
        bytes += item->value->n;
        more = json_len(items) == (op->limit ? op->limit : KV_LIST_MAX) || (json_len(items) && bytes > KV_LIST_BYTES);
        if (more)
            break;
        struct json *v = json_new_object(r->arena);
        add_entry(r, k, v, item_key(item), value_of(r->arena, item), item->mod_revision);
        json_append(items, v);
    }
    json_set_str(r->arena, to, "items", items);
    if (more)
        json_set_str(r->arena, to, "more", json_new_bool(r->arena, true));
}

/* before: the revision of the state that was seen. */
static void answer(struct api_request *r, struct kv *k, uint64_t before)
{
    struct kv_branch *b = &k->branches[k->taken];
    struct json *v = json_new_object(r->arena), *results = json_new_array(r->arena);
    uint64_t revision = before;
    for (size_t i = 0; i < b->n; i++) {
        const struct kv_op *op = &b->ops[i];
        struct json *to = json_new_object(r->arena);
        revision += op->changes;
        if (op->kind == KV_READ)
            add_read(r, k, b, i, before, to);
        else if (op->kind == KV_LIST)
            add_list(r, k, op, to);
        else if (op->kind == KV_PUT)
            json_set_str(r->arena, to, "revision", json_new_int(r->arena, (int64_t)revision));
        else
            json_set_str(r->arena, to, "deleted", json_new_bool(r->arena, op->changes));
        json_append(results, to);
    }
    forget_seen(b);
    json_set_str(r->arena, v, "succeeded", json_new_bool(r->arena, k->taken));
    json_set_str(r->arena, v, "revision", json_new_int(r->arena, (int64_t)revision));
    json_set_str(r->arena, v, "results", results);
    if (arena_error(r->arena))
        api_reply_error(r, 413, "the answer needs more memory than one request may use");
    else
        api_reply_json(r, 200, v);
}

/* ---- the transaction ---- */

static void kv_try(struct api_request *r);

/* What the store remembers it by: with the branch and the number of changes. */
static struct slice id_of(struct api_request *r, bool taken, size_t changes)
{
    if (!r->write_id.n)
        return SLICE_NONE;
    struct slice id =
        slice_str(arena_printf(r->arena, "%" SLICE_FMT "%c%zu", SLICE_ARG(r->write_id), taken ? '+' : '-', changes));
    return id.n > STORE_REQUEST_ID_MAX ? SLICE_NONE : id;
}

/* Answers as the first time, when a transaction took effect before. revision: of its last change. */
static void answer_repeated(struct api_request *r, struct kv *k, bool taken, size_t changes, uint64_t revision)
{
    struct kv_branch *b = &k->branches[taken];
    k->taken = taken;
    int rv = see(r, b, revision - changes);
    if (rv || count_changes(b) != changes) {
        forget_seen(b);
        api_reply_errno(r, -ETIMEDOUT, "writing");
    } else {
        answer(r, k, revision - changes);
    }
}

/* Whether it took effect already, and was answered. */
static bool was_done(struct api_request *r, struct kv *k)
{
    int worst = -ENOENT;
    if (!r->write_id.n || (!r->write_repeated && !k->tries))
        return false;
    for (int taken = 0; taken < 2; taken++) {
        for (size_t changes = 1; changes <= k->branches[taken].n; changes++) {
            uint64_t revision;
            int rv = store_request_find(r->api->store, id_of(r, taken, changes), r->write_since, &revision);
            if (!rv) {
                answer_repeated(r, k, taken, changes, revision);
                return true;
            }
            worst = rv == -ENOENT ? worst : rv;
        }
    }
    if (worst == -ENOENT || !r->write_repeated)
        return false;
    api_reply_errno(r, -ETIMEDOUT, "writing");
    return true;
}

static void values_done(struct kv *k)
{
    while (k->n_values)
        buf_done(&k->values[--k->n_values]);
}

static void on_written(struct replica_txn *t, int err)
{
    struct api_request *r = container_of(t, struct api_request, txn);
    struct kv *k = r->state;
    struct kv_branch *b = &k->branches[k->taken];
    values_done(k);
    if (!r->gone && !err && !t->result.err && !t->result.repeated) {
        answer(r, k, t->result.revision - count_changes(b));
        return;
    }
    size_t changes = count_changes(b);
    forget_seen(b);
    if (r->gone)
        r->responder->abort(r);
    else if (err == -EAGAIN && !r->user.forwarded)
        api_forward(r); /* nothing was proposed: there is another leader by now */
    else if (err)
        api_reply_errno(r, err, "writing");
    else if (!t->result.err)
        answer_repeated(r, k, k->taken, changes, t->result.revision);
    else if (t->result.err != -EEXIST && t->result.err != -ENOENT && t->result.err != -ESTALE)
        api_reply_errno(r, t->result.err, "writing");
    else if (++k->tries < KV_TRIES)
        kv_try(r);
    else
        api_reply_error(r, 409, "others write the same keys all the time; please try again");
}

/* A check that the key is as it was seen, unless there is one already. */
static size_t add_check(struct api_request *r, struct kv *k, size_t n, struct slice key)
{
    const struct store_item *item = store_get(table_of(r), key);
    for (size_t i = 0; i < n; i++)
        if (slice_eq(k->store_ops[i].key, key))
            return n;
    k->store_ops[n] = (struct store_op){.kind = STORE_CHECK,
                                        .table = KV_TABLE,
                                        .key = key,
                                        .compare = item ? STORE_AT : STORE_ABSENT,
                                        .mod_revision = item ? item->mod_revision : 0};
    return n + 1;
}

/* Appends the value as the store wants it; false when memory is short. */
static bool encode(struct api_request *r, struct kv *k, const struct kv_op *op, struct store_op *to)
{
    struct buf *value = &k->values[k->n_values++];
    struct json *v = json_new_object(r->arena), *metadata = json_new_object(r->arena);
    buf_init(value, RAFT_COMMAND_MAX);
    json_set_str(r->arena, v, "kind", json_new_str(r->arena, "KeyValue"));
    json_set_str(r->arena, v, "apiVersion", json_new_str(r->arena, "pintle/v1"));
    json_set_str(r->arena, metadata, "name", json_new_string(r->arena, op->key));
    json_set_str(r->arena, v, "metadata", metadata);
    json_set_str(r->arena, v, "value", json_new_string(r->arena, op->value));
    if (arena_error(r->arena) || api_encode(v, value, &to->hole, &to->type_len))
        return false;
    to->kind = STORE_PUT;
    to->compare = STORE_ANY; /* the check before it says more */
    to->value = buf_slice(value);
    to->ttl_ms = op->ttl_ms;
    return true;
}

/* Checks of all keys that decided anything, then the changes. */
static bool plan(struct api_request *r, struct kv *k, const struct kv_branch *b, size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < k->n_compares; i++)
        n = add_check(r, k, n, k->compares[i].key);
    for (size_t i = 0; i < b->n; i++)
        if (b->ops[i].kind == KV_READ || b->ops[i].kind == KV_DELETE)
            n = add_check(r, k, n, b->ops[i].key);
    for (size_t i = 0; i < b->n; i++) {
        const struct kv_op *op = &b->ops[i];
        if (!op->changes)
            continue;
        struct store_op *to = &k->store_ops[n++];
        *to = (struct store_op){.kind = STORE_DELETE, .table = KV_TABLE, .key = op->key, .compare = STORE_ANY};
        if (op->kind == KV_PUT && !encode(r, k, op, to))
            return false;
    }
    *ret_n = n;
    return true;
}

static bool is_full(struct api_request *r, const struct kv_branch *b)
{
    size_t n = tree_count(store_root(table_of(r)));
    for (size_t i = 0; i < b->n; i++)
        if (b->ops[i].kind == KV_PUT && !b->ops[i].seen && ++n > KV_KEYS_MAX)
            return true;
    return false;
}

static void propose(struct api_request *r, struct kv *k, struct kv_branch *b)
{
    size_t n;
    bool fits = plan(r, k, b, &n);
    if (!fits || is_full(r, b)) {
        values_done(k);
        forget_seen(b);
        if (fits)
            api_reply_error(r, 507, "there are %d keys already, as many as can be", KV_KEYS_MAX);
        else
            api_reply_error(r, 413, "the transaction is larger than the limit");
        return;
    }
    r->txn = (struct replica_txn){.done = on_written};
    struct store_txn txn = {.time_ms = replica_time_ms(r->api->o.replica), .ops = k->store_ops, .n = n};
    txn.actor = r->user.name;
    txn.request_id = id_of(r, k->taken, count_changes(b));
    replica_txn(r->api->o.replica, &txn, &r->txn);
}

/* On a fresh state. */
static void kv_try(struct api_request *r)
{
    struct kv *k = r->state;
    if (was_done(r, k))
        return;
    k->taken = all_hold(r, k);
    struct kv_branch *b = &k->branches[k->taken];
    see(r, b, store_revision(r->api->store)); /* of now: it is known */
    if (count_changes(b)) {
        propose(r, k, b);
    } else if (r->write_repeated) { /* an earlier try may come yet, and find that the comparisons hold */
        forget_seen(b);
        api_reply_errno(r, -ETIMEDOUT, "writing");
    } else {
        answer(r, k, store_revision(r->api->store));
    }
}

static void on_fresh(struct api_request *r, int err)
{
    const struct kv *k = r->state;
    bool may_write = writes(&k->branches[0]) || writes(&k->branches[1]);
    if (err == -EAGAIN && may_write && !r->user.forwarded)
        api_forward(r); /* leadership was lost meanwhile */
    else if (err)
        api_reply_errno(r, err, "reading");
    else
        kv_try(r);
}

/* ---- the path ---- */

static bool space_is_good(struct slice space)
{
    for (size_t i = 0; i < space.n; i++) {
        char c = space.p[i];
        bool inner = i && i + 1 < space.n;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (inner && (c == '-' || c == '.'))))
            return false;
    }
    return space.n > 0 && space.n <= KV_SPACE_MAX;
}

void api_kv(struct api_request *r)
{
    static const struct slice base = SLICE_INIT("/pintle/v1/kv");
    struct kv *k = arena_state(r->arena, struct kv);
    struct status st = {0};
    struct slice what;
    *k = (struct kv){0};
    slice_cut(slice_from(r->path, base.n + 1), '/', &k->space, &what);
    r->state = k;
    if (!space_is_good(k->space) || !slice_eq_str(what, "txn"))
        api_reply_error(r, 404,
                        "want /pintle/v1/kv/SPACE/txn, SPACE being a name of small letters, digits, '-' and '.'");
    else if (!slice_eq_str(r->method, "POST"))
        api_reply_error(r, 405, "this path is for POST only");
    else if (take_request(r, k, &st))
        api_reply_status(r, &st);
    else if (!writes(&k->branches[0]) && !writes(&k->branches[1]))
        api_when_confirmed(r, on_fresh);
    else if (!replica_is_leader(r->api->o.replica))
        api_forward(r);
    else
        api_barrier(r, on_fresh);
}

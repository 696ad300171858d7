/* How transactions look in the log: msgpack arrays that begin with a command number.
 *   [1, time_ms, request_id, [[kind, table, key, compare, mod_revision, value, hole, type_len, attrs, ttl_ms], …], actor]
 *                               transaction; actor only since format 2
 *   [2, time_ms, revision]      compaction
 *   [3, time_ms]                expiry
 *   [4, time_ms, format]        from now on this format is in force (since format 2; see store/format.h)
 *   [5, time_ms, table, key]    check of the state, of the items from there on (since format 2)
 *   [6, time_ms, table, revision] compaction of one table (since format 2) */
#include <errno.h>

#include "base/hash.h"
#include "store/internal.h"

enum { CMD_TXN = 1, CMD_COMPACT = 2, CMD_EXPIRE = 3, CMD_FORMAT = 4, CMD_CHECK = 5, CMD_TRIM = 6, OP_FIELDS = 10 };

static struct slice cut_actor(struct slice actor)
{
    return slice_of(actor.p, actor.n < STORE_ACTOR_MAX ? actor.n : STORE_ACTOR_MAX);
}

static void encode_op(struct buf *out, const struct store_op *op)
{
    pack_array(out, OP_FIELDS);
    pack_u64(out, op->kind);
    pack_bin(out, op->table);
    pack_bin(out, op->key);
    pack_u64(out, op->compare);
    pack_u64(out, op->mod_revision);
    pack_bin(out, op->value);
    pack_u64(out, op->hole);
    pack_u64(out, op->type_len);
    pack_bin(out, op->attrs);
    pack_u64(out, op->ttl_ms);
}

void store_txn_encode(struct buf *out, const struct store_txn *txn)
{
    pack_array(out, txn->actor.n ? 5 : 4);
    pack_u64(out, CMD_TXN);
    pack_u64(out, txn->time_ms);
    pack_bin(out, txn->request_id);
    pack_array(out, txn->n);
    for (size_t i = 0; i < txn->n; i++)
        encode_op(out, &txn->ops[i]);
    if (txn->actor.n)
        pack_bin(out, cut_actor(txn->actor));
}

void store_compact_encode(struct buf *out, uint64_t revision, uint64_t time_ms)
{
    pack_array(out, 3);
    pack_u64(out, CMD_COMPACT);
    pack_u64(out, time_ms);
    pack_u64(out, revision);
}

void store_expire_encode(struct buf *out, uint64_t time_ms)
{
    pack_array(out, 2);
    pack_u64(out, CMD_EXPIRE);
    pack_u64(out, time_ms);
}

void store_format_encode(struct buf *out, unsigned format, uint64_t time_ms)
{
    pack_array(out, 3);
    pack_u64(out, CMD_FORMAT);
    pack_u64(out, time_ms);
    pack_u64(out, format);
}

void store_trim_encode(struct buf *out, struct slice table, uint64_t revision, uint64_t time_ms)
{
    pack_array(out, 4);
    pack_u64(out, CMD_TRIM);
    pack_u64(out, time_ms);
    pack_bin(out, table);
    pack_u64(out, revision);
}

void store_check_encode(struct buf *out, struct slice table, struct slice key, uint64_t time_ms)
{
    pack_array(out, 4);
    pack_u64(out, CMD_CHECK);
    pack_u64(out, time_ms);
    pack_bin(out, table);
    pack_bin(out, key);
}

static bool decode_op(const struct pack_value *v, struct store_op *op)
{
    *op = (struct store_op){
        .kind = (enum store_op_kind)pack_get_u64(pack_at(v, 0)),
        .table = pack_get_bin(pack_at(v, 1)),
        .key = pack_get_bin(pack_at(v, 2)),
        .compare = (enum store_compare)pack_get_u64(pack_at(v, 3)),
        .mod_revision = pack_get_u64(pack_at(v, 4)),
        .value = pack_get_bin(pack_at(v, 5)),
        .hole = (uint32_t)pack_get_u64(pack_at(v, 6)),
        .type_len = (uint32_t)pack_get_u64(pack_at(v, 7)),
        .attrs = pack_get_bin(pack_at(v, 8)),
        .ttl_ms = pack_get_u64(pack_at(v, 9)),
    };
    return pack_len(v) >= OP_FIELDS && op->kind >= STORE_PUT && op->kind <= STORE_CHECK && op->compare <= STORE_AT &&
           op->table.n && op->key.n && (op->kind != STORE_PUT || op->value.n) && op->key.n <= STORE_KEY_MAX &&
           op->hole <= op->value.n && op->type_len <= op->value.n;
}

/* Whether the compare of op holds; sets the error and the current revision when not. */
static int check_op(struct store *s, const struct store_op *op, uint64_t *current)
{
    const struct store_item *item = store_get(store_table(s, op->table), op->key);
    *current = item ? item->mod_revision : 0;
    switch (op->compare) {
    case STORE_ABSENT:
        return item ? -EEXIST : 0;
    case STORE_PRESENT:
        return item ? 0 : -ENOENT;
    case STORE_AT:
        return !item ? -ENOENT : item->mod_revision == op->mod_revision ? 0 : -ESTALE;
    case STORE_ANY:
    default:
        return 0;
    }
}

static void chain_hash(struct store *s, const struct store_table *t, struct slice key, struct slice value)
{
    s->hash = hash64(t->name, s->hash + s->revision);
    s->hash = hash64(key, s->hash);
    s->hash = hash64(value, s->hash);
}

static void record(struct store *s, struct store_table *t, struct store_item *now, struct store_item *before,
                   bool deleted)
{
    t->revision = s->revision;
    event_push(s, t,
               &(struct store_event){.revision = s->revision,
                                     .now = item_ref(now),
                                     .before = before,
                                     .actor = s->acting ? blob_ref(s->acting) : NULL,
                                     .time_ms = s->time_ms,
                                     .hash = s->hash,
                                     .deleted = deleted});
}

static int put(struct store *s, const struct store_op *op, struct store_item **ret)
{
    struct store_table *t = store_table(s, op->table);
    struct blob *value = item_fill_revision(op->value, op->hole, s->revision + 1);
    if (!value)
        return -ENOMEM;
    struct store_item *item = item_new(op->key, op->attrs, value, op->type_len);
    s->revision++;
    item->mod_revision = s->revision;
    item->expires_ms = op->ttl_ms ? s->time_ms + op->ttl_ms : 0;
    struct store_item *before = tree_put(&t->root, item_ref(item));
    item->create_revision = before ? before->create_revision : s->revision;
    s->bytes += item_bytes(item) - (before ? item_bytes(before) : 0);
    chain_hash(s, t, op->key, op->value);
    if (item->expires_ms)
        expiry_push(s, t, item);
    record(s, t, item, before, false);
    item_unref(item); /* the tree has it */
    *ret = item;
    return 0;
}

static struct store_item *delete_item(struct store *s, struct store_table *t, struct slice key)
{
    struct store_item *before = tree_del(&t->root, key);
    if (!before)
        return NULL;
    s->revision++;
    s->bytes -= item_bytes(before);
    chain_hash(s, t, item_key(before), SLICE_NONE);
    struct store_item *last = item_at_revision(before, s->revision);
    record(s, t, last, before, true);
    item_unref(last); /* the event has it */
    return last;
}

static bool seen_before(struct store *s, struct slice id, struct store_result *ret)
{
    void *seen = id.n ? map_get(&s->requests, id) : NULL;
    if (!seen)
        return false;
    ret->repeated = true;
    ret->revision = (uint64_t)(uintptr_t)seen - 1;
    return true;
}

/* Transactions in a row are often the same one's: then they share the name. */
static void act_as(struct store *s, struct slice actor)
{
    s->acting = NULL;
    if (!actor.n)
        return;
    actor = cut_actor(actor);
    if (!slice_eq(blob_slice(s->actor), actor)) {
        blob_unref(s->actor);
        s->actor = blob_copy(actor);
    }
    s->acting = s->actor;
}

static void apply_txn(struct store *s, const struct pack_value *cmd, struct store_result *ret)
{
    const struct pack_value *ops = pack_at(cmd, 3);
    struct slice id = pack_get_bin(pack_at(cmd, 2));
    struct store_op op;
    if (pack_len(ops) == 0 || pack_len(ops) > STORE_OPS_MAX || id.n > STORE_REQUEST_ID_MAX) {
        ret->err = -EBADMSG;
        return;
    }
    if (seen_before(s, id, ret))
        return;
    for (size_t i = 0; i < pack_len(ops) && !ret->err; i++) {
        ret->failed_op = i;
        ret->err = decode_op(pack_at(ops, i), &op) ? check_op(s, &op, &ret->current) : -EBADMSG;
    }
    act_as(s, pack_get_bin(pack_at(cmd, 4)));
    for (size_t i = 0; i < pack_len(ops) && !ret->err; i++) {
        decode_op(pack_at(ops, i), &op);
        if (op.kind == STORE_PUT)
            ret->err = put(s, &op, &ret->item);
        else if (op.kind == STORE_DELETE)
            ret->item = delete_item(s, store_table(s, op.table), op.key);
    }
    ret->revision = s->revision;
    if (!ret->err)
        request_remember(s, id, s->revision);
}

static void apply_expiry(struct store *s)
{
    while (s->heap_n && s->heap[0].due_ms <= s->time_ms) {
        struct expiry due = s->heap[0];
        const struct store_item *current = store_get(due.table, item_key(due.item));
        struct store_item *item = item_ref(due.item);
        expiry_clear(s);
        if (current && current->mod_revision == due.mod_revision)
            delete_item(s, due.table, item_key(item));
        item_unref(item);
    }
}

/* A format that this binary does not know must not be reached: the leader asked all members before. */
static void apply_format(struct store *s, uint64_t format, struct store_result *ret)
{
    if (format <= s->format)
        return;
    if (format > STORE_FORMAT)
        ret->err = -EBADMSG;
    else
        s->format = (unsigned)format;
}

static void apply_check(struct store *s, struct slice table, struct slice key, struct store_result *ret)
{
    if (table.n > STORE_KEY_MAX || key.n > STORE_KEY_MAX) {
        ret->err = -EBADMSG;
        return;
    }
    state_check(s, table, key, &s->check);
    ret->check = &s->check;
}

static void apply_trim(struct store *s, struct slice table, uint64_t revision, struct store_result *ret)
{
    struct store_table *t = map_get(&s->tables, table);
    if (!table.n)
        ret->err = -EBADMSG;
    else if (t)
        events_trim(s, t, revision);
}

void store_apply(struct store *s, struct slice command, struct store_result *ret)
{
    const struct pack_value *cmd = pack_read(s->reader, command, NULL);
    uint64_t time_ms = pack_get_u64(pack_at(cmd, 1));
    uint64_t time_before = s->time_ms;
    *ret = (struct store_result){.revision = s->revision};
    s->acting = NULL;
    if (time_ms > s->time_ms)
        s->time_ms = time_ms;
    switch (pack_get_u64(pack_at(cmd, 0))) {
    case CMD_TXN:
        apply_txn(s, cmd, ret);
        break;
    case CMD_COMPACT:
        events_compact(s, pack_get_u64(pack_at(cmd, 2)));
        break;
    case CMD_EXPIRE:
        apply_expiry(s);
        ret->revision = s->revision;
        break;
    case CMD_FORMAT:
        apply_format(s, pack_get_u64(pack_at(cmd, 2)), ret);
        break;
    case CMD_CHECK:
        apply_check(s, pack_get_bin(pack_at(cmd, 2)), pack_get_bin(pack_at(cmd, 3)), ret);
        break;
    case CMD_TRIM:
        apply_trim(s, pack_get_bin(pack_at(cmd, 2)), pack_get_u64(pack_at(cmd, 3)), ret);
        break;
    default:
        ret->err = -EBADMSG;
    }
    if (ret->err == -EBADMSG) /* what cannot be read changes nothing, nor the time */
        s->time_ms = time_before;
}

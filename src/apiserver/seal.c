#include "apiserver/seal.h"

#include <errno.h>
#include <stdio.h>

#include "auth/sealer.h"
#include "base/mem.h"
#include "raft/wire.h"

/* Sealed bytes: hole 4, type length 4, the value. */
enum { SEAL_HEAD = 8 };

static const char meta_begins[] = "\"metadata\":{\"resourceVersion\":\"", member[] = "\"sealed\":\"";

/* ---- sealed objects ---- */

bool api_is_sealed(const struct store_item *item)
{
    return slice_starts(slice_from(blob_slice(item->value), item->type_len), slice_str(meta_begins));
}

/* The text between the quotes; empty when it is not there. */
static struct slice sealed_text(const struct store_item *item)
{
    struct slice v = slice_from(blob_slice(item->value), item->type_len);
    const char *at = v.n ? memmem(v.p, v.n, member, sizeof(member) - 1) : NULL;
    if (!at)
        return SLICE_NONE;
    v = slice_from(v, (size_t)(at - v.p) + sizeof(member) - 1);
    return v.n >= 2 ? slice_of(v.p, v.n - 2) : SLICE_NONE; /* before "} */
}

struct slice api_seal_key(const struct store_item *item)
{
    return sealer_name_of(sealed_text(item));
}

static uint64_t sealed_revision(const struct store_item *item)
{
    struct slice v = slice_from(blob_slice(item->value), item->type_len + sizeof(meta_begins) - 1), digits, rest;
    uint64_t revision = 0;
    slice_cut(v, '"', &digits, &rest);
    return slice_to_u64(digits, &revision) ? revision : item->mod_revision;
}

static int add_aad(struct buf *out, struct slice type, struct slice key)
{
    buf_add_slice(out, type);
    return buf_add_slice(out, key);
}

/* ---- opening ---- */

static int take_plain(struct slice s, uint64_t revision, struct api_plain *ret)
{
    if (s.n < SEAL_HEAD)
        return -EBADMSG;
    uint32_t hole = get_u32(s.p), type_len = get_u32(s.p + 4);
    s = slice_from(s, SEAL_HEAD);
    if (hole > s.n || type_len > s.n)
        return -EBADMSG;
    ret->value = item_fill_revision(s, hole, revision);
    ret->type_len = type_len;
    return ret->value ? 0 : -ENOMEM;
}

int api_open(const struct api *api, const struct store_item *item, struct api_plain *ret)
{
    if (!api_is_sealed(item)) {
        *ret = (struct api_plain){blob_ref(item->value), item->type_len};
        return 0;
    }
    struct slice sealed = sealed_text(item);
    struct buf aad = BUF_INIT(item->type_len + STORE_KEY_MAX), plain = BUF_INIT(sealed.n + 64);
    int err = add_aad(&aad, slice_of(item->value->bytes, item->type_len), item_key(item));
    if (!err)
        err = sealer_open(api->o.sealer, sealed, buf_slice(&aad), &plain);
    if (!err)
        err = take_plain(buf_slice(&plain), sealed_revision(item), ret);
    buf_done(&aad);
    buf_done(&plain);
    return err;
}

void api_open_status(const struct store_item *item, int err, struct arena *a, struct status *st)
{
    struct slice name = api_seal_key(item), key = item_key(item);
    if (err == -ENOMEM)
        status_set(st, a, 503, "memory is short, try again later");
    else if (err == -ENOKEY)
        status_set(st, a, 500,
                   "%" SLICE_FMT " is encrypted with the key \"%" SLICE_FMT
                   "\", which is not in this replica's --encryption-key-file",
                   SLICE_ARG(key), SLICE_ARG(name));
    else
        status_set(
            st, a, 500,
            "%" SLICE_FMT " cannot be decrypted with the key \"%" SLICE_FMT
            "\": the --encryption-key-file of this replica has another key of that name, or the object is damaged",
            SLICE_ARG(key), SLICE_ARG(name));
}

void api_reply_locked(struct api_request *r, const struct store_item *item, int err)
{
    struct status st = {0};
    api_open_status(item, err, r->arena, &st);
    api_reply_status(r, &st);
}

bool api_locked(struct api_request *r, const struct store_item *item)
{
    struct api_plain plain;
    int err = api_is_sealed(item) ? api_open(r->api, item, &plain) : 0;
    if (err)
        api_reply_locked(r, item, err);
    else if (api_is_sealed(item))
        blob_unref(plain.value);
    return err != 0;
}

/* ---- sealing ---- */

bool api_may_be_sealed(const struct api *api, const struct resource *res)
{
    bool found = false;
    for (size_t i = 0; i < api->o.n_sealed && !found; i++) {
        struct slice plural, group;
        slice_cut(slice_str(api->o.sealed[i]), '.', &plural, &group);
        found = slice_eq_str(plural, res->plural) && slice_eq_str(group, res->group);
    }
    return found;
}

static bool wanted(const struct api *api, const struct resource *res)
{
    return api->o.sealer && api_may_be_sealed(api, res);
}

static int seal(struct api *api, struct slice key, struct slice value, uint32_t hole, uint32_t type_len,
                struct buf *out)
{
    unsigned char nonce[SEALER_NONCE];
    char head[SEAL_HEAD];
    struct buf aad = BUF_INIT(type_len + STORE_KEY_MAX), plain = BUF_INIT(value.n + SEAL_HEAD);
    put_u32(head, hole);
    put_u32(head + 4, type_len);
    loop_random(api->loop, nonce, sizeof(nonce));
    buf_add(&plain, head, sizeof(head));
    buf_add_slice(&plain, value);
    int err = add_aad(&aad, slice_of(value.p, type_len), key);
    if (!err)
        err = buf_error(&plain);
    if (!err)
        err = sealer_seal(api->o.sealer, nonce, buf_slice(&aad), buf_slice(&plain), out);
    buf_done(&aad);
    buf_done(&plain);
    return err;
}

int api_seal(struct api *api, const struct resource *res, struct slice key, struct buf *value, uint32_t *hole,
             uint32_t *type_len)
{
    static const char meta_open[] = "\"metadata\":{";
    if (!wanted(api, res))
        return 0;
    struct buf out = BUF_INIT(RAFT_COMMAND_MAX);
    buf_add(&out, value->p, *type_len);
    buf_add_str(&out, meta_open);
    uint32_t sealed_hole = (uint32_t)out.n;
    buf_printf(&out, "\"creationTimestamp\":null},%s", member);
    int err = seal(api, key, buf_slice(value), *hole, *type_len, &out);
    if (!err)
        err = buf_add_str(&out, "\"}");
    if (err) {
        buf_done(&out);
        return err;
    }
    buf_done(value);
    *value = out;
    *hole = sealed_hole;
    return 0;
}

bool api_seal_outdated(const struct api *api, const struct resource *res, const struct store_item *item)
{
    if (!wanted(api, res))
        return api_is_sealed(item);
    return !api_is_sealed(item) || !slice_eq(api_seal_key(item), sealer_key_name(api->o.sealer, 0));
}

/* ---- metrics ---- */

static void count_table(const struct store_table *t, struct metric_family *family)
{
    struct tree_node *root = tree_ref(store_root(t));
    struct tree_iter it;
    tree_iter_init(&it, root, SLICE_NONE);
    for (const struct store_item *item; (item = tree_iter_next(&it));) {
        struct slice name = api_is_sealed(item) ? api_seal_key(item) : SLICE_NONE;
        char labels[512];
        snprintf(labels, sizeof(labels), "key=\"%" SLICE_FMT "\",resource=\"%" SLICE_FMT "\"", SLICE_ARG(name),
                 SLICE_ARG(store_table_name(t)));
        metric_get(family, labels)->value += 1;
    }
    tree_unref(root);
}

void api_seal_metrics(struct api *api)
{
    struct metric_family *family =
        metrics_family(api->o.metrics, METRIC_GAUGE, "pintle_encrypted_objects",
                       "Objects of encrypted resources by the key they are encrypted with; none = not yet.");
    for (struct map_entry *e = map_first(&family->series); e; e = map_next(&family->series, e))
        ((struct metric *)e->value)->value = 0;
    for (size_t i = 0; i < api->o.n_sealed; i++) {
        struct slice plural, group;
        char name[256];
        slice_cut(slice_str(api->o.sealed[i]), '.', &plural, &group);
        int n = snprintf(name, sizeof(name), "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(group), group.n ? "/" : "",
                         SLICE_ARG(plural));
        count_table(store_table(api->store, slice_of(name, (size_t)n)), family);
    }
}

#include "store/item.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"

static uint32_t sum_of(const struct store_item *i)
{
    uint32_t sum = crc32c(0, i->data, i->key_len + i->attrs_len);
    return crc32c(sum, i->value->bytes, i->value->n);
}

bool item_intact(const struct store_item *i)
{
    return i->sum == sum_of(i);
}

struct store_item *item_new(struct slice key, struct slice attrs, struct blob *value, unsigned type_len)
{
    struct store_item *i = mem_alloc(sizeof *i + key.n + attrs.n);
    *i = (struct store_item){
        .refs = 1, .type_len = type_len, .value = value, .key_len = (unsigned)key.n, .attrs_len = (unsigned)attrs.n};
    memcpy(i->data, key.p, key.n);
    if (attrs.n)
        memcpy(i->data + key.n, attrs.p, attrs.n);
    i->sum = sum_of(i);
    return i;
}

void item_unref(struct store_item *i)
{
    if (!i || --i->refs)
        return;
    blob_unref(i->value);
    mem_free(i);
}

/* Layout of one attribute: kind, key length and value length (16 bits little-endian each), key, value. */
enum { ATTR_HEAD = 5, ATTR_MAX = 0xffff };

int attrs_add(struct buf *attrs, enum store_attr_kind kind, struct slice key, struct slice value)
{
    if (key.n > ATTR_MAX)
        return 0;
    if (value.n > ATTR_MAX)
        value.n = ATTR_MAX;
    unsigned char head[ATTR_HEAD] = {(unsigned char)kind, (unsigned char)(key.n & 0xff), (unsigned char)(key.n >> 8),
                                     (unsigned char)(value.n & 0xff), (unsigned char)(value.n >> 8)};
    buf_add(attrs, head, sizeof head);
    buf_add_slice(attrs, key);
    return buf_add_slice(attrs, value);
}

struct slice attrs_get(struct slice attrs, enum store_attr_kind kind, struct slice key)
{
    while (attrs.n >= ATTR_HEAD) {
        const unsigned char *head = (const unsigned char *)attrs.p;
        size_t klen = head[1] | (size_t)head[2] << 8, vlen = head[3] | (size_t)head[4] << 8;
        if (attrs.n < ATTR_HEAD + klen + vlen)
            break;
        if (head[0] == (unsigned char)kind && slice_eq(slice_of(attrs.p + ATTR_HEAD, klen), key))
            return slice_of(attrs.p + ATTR_HEAD + klen, vlen);
        attrs = slice_from(attrs, ATTR_HEAD + klen + vlen);
    }
    return SLICE_NONE;
}

enum { RV_TEXT_MAX = 48 };

struct blob *item_fill_revision(struct slice value, uint32_t hole, uint64_t revision)
{
    char text[RV_TEXT_MAX];
    int n = snprintf(text, sizeof text, "\"resourceVersion\":\"%lu\",", revision);
    struct blob *b = blob_new(value.n + (size_t)n);
    if (!b)
        return NULL;
    memcpy(b->bytes, value.p, hole);
    memcpy(b->bytes + hole, text, (size_t)n);
    memcpy(b->bytes + hole + n, value.p + hole, value.n - hole);
    return b;
}

struct store_item *item_at_revision(const struct store_item *last, uint64_t revision)
{
    static const char member[] = "\"resourceVersion\":\"";
    struct slice old = blob_slice(last->value);
    const char *at = old.n ? memmem(old.p, old.n, member, sizeof member - 1) : NULL;
    struct blob *value = NULL;
    if (at) {
        size_t hole = (size_t)(at - old.p);
        const char *end = memchr(at + sizeof member - 1, ',', old.n - hole - (sizeof member - 1));
        size_t rest = end ? (size_t)(end + 1 - old.p) : 0;
        struct buf bare = BUF_INIT(old.n);
        if (end && !buf_add(&bare, old.p, hole) && !buf_add(&bare, old.p + rest, old.n - rest))
            value = item_fill_revision(buf_slice(&bare), (uint32_t)hole, revision);
        buf_done(&bare);
    }
    if (!value)
        value = blob_ref(last->value);
    struct store_item *item = item_new(item_key(last), item_attrs(last), value, last->type_len);
    item->create_revision = last->create_revision;
    item->mod_revision = revision;
    return item;
}

#include "raft/frame.h"

#include <errno.h>

#include "raft/wire.h"

enum { HELLO_PAYLOAD = 40, MESSAGE_PAYLOAD = 64, INFO_FIXED = 4 };
enum { FLAG_GRANTED = 1, FLAG_PRE_VOTE = 2, FLAG_DISRUPT = 4, FLAG_STATELESS = 8 };

static const char hello_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'P', 'R'};

size_t frame_limit(unsigned type)
{
    switch (type) {
    case FRAME_HELLO:
        return HELLO_PAYLOAD;
    case FRAME_APPEND:
        return FRAME_APPEND_MAX;
    case FRAME_SNAP_DATA:
        return FRAME_SNAP_MAX;
    case FRAME_INFO:
        return INFO_FIXED + RAFT_ADDR_MAX + RAFT_INFO_MAX;
    default:
        return type > 0 && type < FRAME_TYPES ? MESSAGE_PAYLOAD : 0;
    }
}

int frame_parse(struct slice s, struct frame *ret, size_t *ret_n)
{
    if (s.n < FRAME_HEAD)
        return 0;
    size_t n = get_u32(s.p);
    unsigned type = (unsigned char)s.p[4];
    if (n > frame_limit(type) || type == 0 || type >= FRAME_TYPES || get_u16(s.p + 6) != 0)
        return -EPROTO;
    if (s.n - FRAME_HEAD < n)
        return 0;
    *ret = (struct frame){(enum frame_type)type, (uint8_t)s.p[5], slice_of(s.p + FRAME_HEAD, n)};
    *ret_n = FRAME_HEAD + n;
    return 1;
}

static void put_head(char *p, size_t n, enum frame_type type, uint8_t version)
{
    put_u32(p, (uint32_t)n);
    p[4] = (char)type;
    p[5] = (char)version;
    put_u16(p + 6, 0);
}

static struct blob *new_frame(size_t n, enum frame_type type, uint8_t version)
{
    struct blob *b = blob_new(FRAME_HEAD + n);
    if (b)
        put_head(b->bytes, n, type, version);
    return b;
}

void frame_data_head(char out[FRAME_HEAD], size_t n)
{
    put_head(out, n, FRAME_SNAP_DATA, 0);
}

struct blob *frame_hello(const struct hello *h)
{
    struct blob *b = new_frame(HELLO_PAYLOAD, FRAME_HELLO, 0);
    if (!b)
        return NULL;
    char *p = b->bytes + FRAME_HEAD;
    memcpy(p, hello_magic, sizeof(hello_magic));
    put_u32(p + 8, FRAME_VERSION);
    put_u32(p + 12, (uint32_t)h->kind);
    put_u64(p + 16, h->cluster_id);
    put_u64(p + 24, h->from);
    put_u64(p + 32, h->to);
    return b;
}

int frame_read_hello(struct slice s, struct hello *ret)
{
    if (s.n != HELLO_PAYLOAD || memcmp(s.p, hello_magic, sizeof(hello_magic)) != 0 || get_u32(s.p + 8) != FRAME_VERSION)
        return -EPROTO;
    uint32_t kind = get_u32(s.p + 12);
    if (kind != HELLO_LOG && kind != HELLO_SNAPSHOT)
        return -EPROTO;
    *ret = (struct hello){(enum hello_kind)kind, get_u64(s.p + 16), get_u64(s.p + 24), get_u64(s.p + 32)};
    return 0;
}

struct blob *frame_info(struct slice address, struct slice info)
{
    struct blob *b = new_frame(INFO_FIXED + address.n + info.n, FRAME_INFO, 0);
    if (!b)
        return NULL;
    char *p = b->bytes + FRAME_HEAD;
    put_u16(p, (uint16_t)address.n);
    put_u16(p + 2, (uint16_t)info.n);
    memcpy(p + INFO_FIXED, address.p, address.n);
    if (info.n)
        memcpy(p + INFO_FIXED + address.n, info.p, info.n);
    return b;
}

int frame_read_info(struct slice s, struct slice *ret_address, struct slice *ret_info)
{
    if (s.n < INFO_FIXED)
        return -EPROTO;
    size_t address = get_u16(s.p), info = get_u16(s.p + 2);
    if (address == 0 || address >= RAFT_ADDR_MAX || info > RAFT_INFO_MAX || s.n != INFO_FIXED + address + info ||
        memchr(s.p + INFO_FIXED, '\0', address))
        return -EPROTO;
    *ret_address = slice_of(s.p + INFO_FIXED, address);
    *ret_info = slice_from(s, INFO_FIXED + address);
    return 0;
}

struct blob *frame_message(const struct message *m)
{
    struct blob *b = new_frame(MESSAGE_PAYLOAD, m->type, m->version);
    if (!b)
        return NULL;
    char *p = b->bytes + FRAME_HEAD;
    memset(p, 0, MESSAGE_PAYLOAD);
    put_u64(p, m->term);
    put_u64(p + 8, m->index);
    put_u64(p + 16, m->index_term);
    put_u64(p + 24, m->id);
    put_u64(p + 32, m->seq);
    put_u64(p + 40, m->rejected);
    put_u16(p + 48, m->features);
    put_u16(p + 50, m->capacity);
    p[52] = (char)((m->granted ? FLAG_GRANTED : 0) | (m->pre_vote ? FLAG_PRE_VOTE : 0) |
                   (m->disrupt ? FLAG_DISRUPT : 0) | (m->stateless ? FLAG_STATELESS : 0));
    p[53] = (char)m->format;
    p[54] = (char)m->refusal;
    put_u64(p + 56, m->incarnation);
    return b;
}

int frame_read_message(const struct frame *f, struct message *ret)
{
    const char *p = f->payload.p;
    if (f->payload.n != MESSAGE_PAYLOAD)
        return -EPROTO;
    *ret = (struct message){
        .type = f->type,
        .version = f->version,
        .term = get_u64(p),
        .index = get_u64(p + 8),
        .index_term = get_u64(p + 16),
        .id = get_u64(p + 24),
        .seq = get_u64(p + 32),
        .rejected = get_u64(p + 40),
        .features = get_u16(p + 48),
        .capacity = get_u16(p + 50),
        .granted = p[52] & FLAG_GRANTED,
        .pre_vote = p[52] & FLAG_PRE_VOTE,
        .disrupt = p[52] & FLAG_DISRUPT,
        .stateless = p[52] & FLAG_STATELESS,
        .format = (uint8_t)p[53],
        .refusal = (uint8_t)p[54],
        .incarnation = get_u64(p + 56),
    };
    return 0;
}

/* ---- entries ---- */

size_t frame_append_data_at(uint32_t n)
{
    return FRAME_HEAD + FRAME_APPEND_FIXED + (size_t)n * FRAME_ENTRY_FIXED;
}

struct blob *frame_append_new(const struct append *a, size_t data_bytes)
{
    struct blob *b = new_frame(frame_append_data_at(a->n) - FRAME_HEAD + data_bytes, FRAME_APPEND, a->version);
    if (!b)
        return NULL;
    char *p = b->bytes + FRAME_HEAD;
    put_u64(p, a->term);
    put_u64(p + 8, a->prev_index);
    put_u64(p + 16, a->prev_term);
    put_u64(p + 24, a->commit);
    put_u32(p + 32, a->n);
    put_u32(p + 36, 0);
    return b;
}

void frame_append_add(struct blob *b, uint32_t i, size_t *at, uint64_t term, uint16_t type, struct slice data)
{
    char *p = b->bytes + FRAME_HEAD + FRAME_APPEND_FIXED + (size_t)i * FRAME_ENTRY_FIXED;
    put_u64(p, term);
    put_u32(p + 8, (uint32_t)data.n);
    put_u16(p + 12, type);
    put_u16(p + 14, 0);
    if (data.n)
        memcpy(b->bytes + *at, data.p, data.n);
    *at += data.n;
}

int frame_read_append(const struct frame *f, struct append *ret)
{
    struct slice s = f->payload;
    if (s.n < FRAME_APPEND_FIXED)
        return -EPROTO;
    struct append a = {.version = f->version,
                       .term = get_u64(s.p),
                       .prev_index = get_u64(s.p + 8),
                       .prev_term = get_u64(s.p + 16),
                       .commit = get_u64(s.p + 24),
                       .n = get_u32(s.p + 32)};
    if (a.term == 0 || a.n > FRAME_APPEND_ENTRIES || (a.prev_index == 0) != (a.prev_term == 0) ||
        a.prev_index > UINT64_MAX - FRAME_APPEND_ENTRIES)
        return -EPROTO;
    size_t left = s.n - FRAME_APPEND_FIXED;
    if (left < (size_t)a.n * FRAME_ENTRY_FIXED)
        return -EPROTO;
    left -= (size_t)a.n * FRAME_ENTRY_FIXED;
    for (uint32_t i = 0; i < a.n; i++) {
        const char *p = s.p + FRAME_APPEND_FIXED + (size_t)i * FRAME_ENTRY_FIXED;
        size_t n = get_u32(p + 8);
        if (n > left || get_u64(p) == 0)
            return -EPROTO;
        left -= n;
    }
    if (left != 0)
        return -EPROTO;
    *ret = a;
    return 0;
}

void frame_append_entry(struct slice payload, uint32_t i, size_t *at, struct append_entry *ret)
{
    const char *p = payload.p + FRAME_APPEND_FIXED + (size_t)i * FRAME_ENTRY_FIXED;
    *ret = (struct append_entry){get_u64(p), get_u16(p + 12), slice_of(payload.p + *at, get_u32(p + 8))};
    *at += ret->data.n;
}

#include "codec/pack.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <msgpack.h>
#pragma GCC diagnostic pop

#include "base/mem.h"

struct pack_reader {
    msgpack_zone zone;
};

static int write_buf(void *data, const char *p, size_t n)
{
    return buf_add(data, p, n);
}

static msgpack_packer packer(struct buf *out)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, out, write_buf);
    return pk;
}

void pack_array(struct buf *out, size_t n)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_array(&pk, n);
}

void pack_u64(struct buf *out, uint64_t v)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_uint64(&pk, v);
}

void pack_bin(struct buf *out, struct slice s)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_bin(&pk, s.n);
    msgpack_pack_bin_body(&pk, s.n ? s.p : "", s.n);
}

void pack_nil(struct buf *out)
{
    msgpack_packer pk = packer(out);
    msgpack_pack_nil(&pk);
}

struct pack_reader *pack_reader_new(void)
{
    struct pack_reader *r = mem_new(struct pack_reader);
    msgpack_zone_init(&r->zone, MSGPACK_ZONE_CHUNK_SIZE);
    return r;
}

void pack_reader_free(struct pack_reader *r)
{
    if (r)
        msgpack_zone_destroy(&r->zone);
    mem_free(r);
}

static uint64_t big_endian(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* What a value takes that starts with this byte: bytes of a number behind it, and what that number counts. False for
 * what we never write. */
static bool value_shape(unsigned char tag, size_t *number, bool *bin, bool *array)
{
    *bin = tag >= 0xc4 && tag <= 0xc6;
    *array = tag >> 4 == 9 || tag == 0xdc || tag == 0xdd;
    *number = 0;
    if (tag < 0x80 || tag >> 4 == 9 || tag == 0xc0)
        return true;
    if (*bin)
        *number = (size_t)1 << (tag - 0xc4);
    else if (*array)
        *number = (size_t)2 << (tag - 0xdc);
    else if (tag >= 0xcc && tag <= 0xcf)
        *number = (size_t)1 << (tag - 0xcc);
    return *number > 0;
}

/* The library allocates for as many elements as an array says it has: look first whether they can be there. */
static bool all_there(struct slice in)
{
    const unsigned char *p = (const unsigned char *)in.p;
    uint64_t left = in.n, wanted = 1;
    for (; wanted; wanted--) {
        size_t number;
        bool bin, array;
        if (left < wanted || !value_shape(*p, &number, &bin, &array) || number >= left)
            return false;
        uint64_t n = number ? big_endian(p + 1, number) : *p & 0x0f;
        p += 1 + number;
        left -= 1 + number;
        if ((bin || array) && n > left)
            return false;
        if (array)
            wanted += n;
        if (bin) {
            p += n;
            left -= n;
        }
    }
    return true;
}

const struct pack_value *pack_read(struct pack_reader *r, struct slice in, size_t *ret_used)
{
    size_t used = 0;
    msgpack_object root;
    msgpack_zone_clear(&r->zone);
    if (!all_there(in))
        return NULL;
    msgpack_unpack_return rv = msgpack_unpack(in.p, in.n, &used, &r->zone, &root);
    if (rv != MSGPACK_UNPACK_SUCCESS && rv != MSGPACK_UNPACK_EXTRA_BYTES)
        return NULL;
    msgpack_object *keep = msgpack_zone_malloc(&r->zone, sizeof *keep);
    if (!keep)
        return NULL;
    *keep = root;
    if (ret_used)
        *ret_used = used;
    return (const struct pack_value *)keep;
}

static const msgpack_object *object(const struct pack_value *v)
{
    return (const msgpack_object *)(const void *)v;
}

size_t pack_len(const struct pack_value *v)
{
    return v && object(v)->type == MSGPACK_OBJECT_ARRAY ? object(v)->via.array.size : 0;
}

const struct pack_value *pack_at(const struct pack_value *v, size_t i)
{
    return i < pack_len(v) ? (const struct pack_value *)(const void *)&object(v)->via.array.ptr[i] : NULL;
}

uint64_t pack_get_u64(const struct pack_value *v)
{
    return v && object(v)->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? object(v)->via.u64 : 0;
}

struct slice pack_get_bin(const struct pack_value *v)
{
    if (!v || object(v)->type != MSGPACK_OBJECT_BIN)
        return SLICE_NONE;
    return slice_of(object(v)->via.bin.ptr, object(v)->via.bin.size);
}

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

const struct pack_value *pack_read(struct pack_reader *r, struct slice in, size_t *ret_used)
{
    size_t used = 0;
    msgpack_object root;
    msgpack_zone_clear(&r->zone);
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

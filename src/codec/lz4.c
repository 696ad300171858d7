#include "codec/lz4.h"

#include <errno.h>
#include <lz4.h>

size_t lz4_bound(size_t n)
{
    return n > LZ4_INPUT_MAX ? 0 : (size_t)LZ4_compressBound((int)n);
}

size_t lz4_pack(struct slice in, char *out, size_t cap)
{
    if (in.n > LZ4_INPUT_MAX || cap > INT32_MAX)
        return 0;
    int n = LZ4_compress_default(in.p, out, (int)in.n, (int)cap);
    return n > 0 ? (size_t)n : 0;
}

int lz4_unpack(struct slice in, char *out, size_t n)
{
    if (in.n > INT32_MAX || n > LZ4_INPUT_MAX)
        return -EBADMSG;
    int got = LZ4_decompress_safe(in.p, out, (int)in.n, (int)n);
    return got >= 0 && (size_t)got == n ? 0 : -EBADMSG;
}

#include "codec/gzip.h"

#include <errno.h>
#include <zlib.h>

#include "base/mem.h"

enum { GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8, GZIP_STEP = 16 << 10, GZIP_INPUT = 1 << 30 };

struct gzip {
    z_stream z;
};

struct gzip *gzip_new(void)
{
    struct gzip *g = mem_new(struct gzip);
    if (deflateInit2(&g->z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK)
        return g;
    mem_free(g);
    return NULL;
}

static int step(struct gzip *g, int flush, struct buf *out)
{
    unsigned char piece[GZIP_STEP];
    int rv = 0;
    do {
        g->z.next_out = piece;
        g->z.avail_out = sizeof piece;
        if (deflate(&g->z, flush) == Z_STREAM_ERROR)
            return -EINVAL;
        rv = buf_add(out, piece, sizeof piece - g->z.avail_out);
    } while (!rv && g->z.avail_out == 0);
    return rv;
}

int gzip_write(struct gzip *g, struct slice in, bool last, struct buf *out)
{
    int rv = 0;
    do {
        size_t n = in.n < GZIP_INPUT ? in.n : GZIP_INPUT;
        g->z.next_in = (unsigned char *)(uintptr_t)in.p;
        g->z.avail_in = (unsigned)n;
        in = slice_from(in, n);
        rv = step(g, last && !in.n ? Z_FINISH : Z_NO_FLUSH, out);
    } while (!rv && in.n);
    return rv;
}

void gzip_free(struct gzip *g)
{
    if (g)
        deflateEnd(&g->z);
    mem_free(g);
}

int gzip_pack(struct slice in, struct buf *out)
{
    struct gzip *g = gzip_new();
    int rv = g ? gzip_write(g, in, true, out) : -ENOMEM;
    gzip_free(g);
    return rv;
}

#include "apiserver/body.h"

#include <errno.h>

#include "apiserver/internal.h"
#include "codec/gzip.h"

void api_body_begin(struct api_request *r, struct api_body *b, const char *content_type)
{
    *b = (struct api_body){.content_type = content_type};
    if (api_accepts_gzip(r))
        b->held = arena_alloc(r->arena, API_BODY_HELD * sizeof *b->held);
    if (!b->held)
        api_stream_start(r, 200, content_type);
}

static void drop(const struct chunk *chunks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        blob_unref(chunks[i].blob);
}

/* Compresses the chunks, and last what there is still inside. */
static int compress(struct api_request *r, struct api_body *b, const struct chunk *chunks, size_t n, bool last)
{
    struct buf out = BUF_INIT(API_ARENA_MAX);
    int rv = 0;
    for (size_t i = 0; i < n && !rv; i++)
        rv = gzip_write(b->gzip, slice_of(chunks[i].p, chunks[i].n), false, &out);
    if (last && !rv)
        rv = gzip_write(b->gzip, SLICE_NONE, true, &out);
    drop(chunks, n);
    struct blob *packed = !rv && out.n ? blob_copy(buf_slice(&out)) : NULL;
    if (!rv && out.n && !packed)
        rv = -ENOMEM;
    buf_done(&out);
    if (packed)
        r->responder->write(r, &(struct chunk){packed, packed->bytes, packed->n}, 1);
    return rv;
}

/* It is large: from here on compressed, or as it is when there is no memory for that. */
static int let_go(struct api_request *r, struct api_body *b)
{
    struct chunk *held = b->held;
    b->held = NULL;
    b->gzip = gzip_new();
    if (b->gzip) {
        api_stream_start_gzip(r, 200, b->content_type);
        return compress(r, b, held, b->n_held, false);
    }
    api_stream_start(r, 200, b->content_type);
    r->responder->write(r, held, b->n_held);
    return 0;
}

/* Takes over the chunks' references, as they are to be sent. */
static int add(struct api_request *r, struct api_body *b, const struct chunk *chunks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        b->bytes += chunks[i].n;
    if (b->held && (b->bytes > API_GZIP_ABOVE || b->n_held + n > API_BODY_HELD)) {
        int rv = let_go(r, b);
        if (rv) {
            drop(chunks, n);
            return rv;
        }
    }
    if (b->held) {
        memcpy(b->held + b->n_held, chunks, n * sizeof *chunks);
        b->n_held += n;
        return 0;
    }
    if (b->gzip)
        return compress(r, b, chunks, n, false);
    r->responder->write(r, chunks, n);
    return 0;
}

int api_body_write(struct api_request *r, struct api_body *b, const struct chunk *chunks, size_t n)
{
    if (!api_is_pretty(r, slice_str(b->content_type)))
        return add(r, b, chunks, n);
    struct blob *indented = api_indent(&b->indent, chunks, n);
    if (!indented) {
        drop(chunks, n);
        return -ENOMEM;
    }
    struct chunk whole = chunk_take(indented);
    return add(r, b, &whole, 1);
}

void api_body_end(struct api_request *r, struct api_body *b, bool whole)
{
    if (b->held && whole) {
        api_stream_start(r, 200, b->content_type);
        r->responder->write(r, b->held, b->n_held);
    } else if (b->held) {
        drop(b->held, b->n_held);
    } else if (b->gzip && whole) {
        whole = compress(r, b, NULL, 0, true) == 0;
    }
    gzip_free(b->gzip);
    b->gzip = NULL;
    b->held = NULL;
    if (whole)
        r->responder->end(r);
    else
        r->responder->abort(r);
}

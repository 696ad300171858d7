#include "net/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "base/text.h"

enum { KEY_BYTES = 16, MASK_BYTES = 4, SHORT_MAX = 125, LENGTH_16 = 126, LENGTH_64 = 127 };
enum { BIT_FIN = 0x80, BITS_RESERVED = 0x70, BITS_OPCODE = 0x0f, BIT_MASK = 0x80, BIT_CONTROL = 0x08 };

/* ---- handshake ---- */

int websocket_accept(struct slice key, char out[static WEBSOCKET_ACCEPT_MAX])
{
    static const struct slice magic = SLICE_INIT("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"); /* RFC 6455 section 1.3 */
    struct buf nonce = BUF_INIT(2UL * KEY_BYTES), text = BUF_INIT(WEBSOCKET_ACCEPT_MAX - 1), joined = BUF_INIT(128);
    unsigned char digest[SHA_DIGEST_LENGTH];
    int rv = base64_decode(&nonce, key);
    if (!rv && nonce.n != KEY_BYTES)
        rv = -EINVAL;
    buf_add_slice(&joined, key);
    buf_add_slice(&joined, magic);
    if (!rv)
        rv = buf_error(&joined);
    if (!rv && !EVP_Digest(joined.p, joined.n, digest, NULL, EVP_sha1(), NULL))
        rv = -ENOMEM;
    if (!rv)
        rv = base64_encode(&text, slice_of(digest, sizeof digest));
    if (!rv)
        snprintf(out, WEBSOCKET_ACCEPT_MAX, "%s", text.p);
    buf_done(&nonce);
    buf_done(&joined);
    buf_done(&text);
    return rv && rv != -ENOMEM ? -EINVAL : rv;
}

/* ---- what we send ---- */

size_t websocket_head(enum websocket_opcode opcode, uint64_t n, unsigned char out[static WEBSOCKET_HEAD_MAX])
{
    unsigned wide = n <= SHORT_MAX ? 0 : n <= UINT16_MAX ? 2 : 8;
    out[0] = (unsigned char)(BIT_FIN | opcode);
    out[1] = (unsigned char)(wide == 0 ? n : wide == 2 ? LENGTH_16 : LENGTH_64);
    for (unsigned i = 0; i < wide; i++)
        out[2 + i] = (unsigned char)(n >> 8 * (wide - 1 - i));
    return 2 + wide;
}

size_t websocket_close(unsigned code, unsigned char out[static WEBSOCKET_HEAD_MAX])
{
    size_t at = websocket_head(WEBSOCKET_CLOSE, 2, out);
    out[at] = (unsigned char)(code >> 8);
    out[at + 1] = (unsigned char)code;
    return at + 2;
}

/* ---- what clients send ---- */

static unsigned length_bytes(const struct websocket_reader *w)
{
    unsigned length = w->head[1] & ~(unsigned)BIT_MASK;
    return length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
}

/* What the first two bytes say that may not be said: RFC 6455 sections 5.1, 5.2, 5.4, 5.5. */
static int check_start(const struct websocket_reader *w)
{
    unsigned opcode = w->head[0] & BITS_OPCODE;
    bool control = opcode & BIT_CONTROL, fin = w->head[0] & BIT_FIN;
    if ((w->head[0] & BITS_RESERVED) || !(w->head[1] & BIT_MASK))
        return -WEBSOCKET_PROTOCOL_ERROR;
    if (control)
        return opcode <= WEBSOCKET_PONG && fin && length_bytes(w) == 0 ? 0 : -WEBSOCKET_PROTOCOL_ERROR;
    if (opcode > WEBSOCKET_BINARY || (opcode == WEBSOCKET_CONTINUE) != w->in_message)
        return -WEBSOCKET_PROTOCOL_ERROR;
    return 0;
}

/* The head is whole. */
static int begin_frame(struct websocket_reader *w)
{
    unsigned wide = length_bytes(w), opcode = w->head[0] & BITS_OPCODE;
    w->left = wide ? 0 : w->head[1] & ~(unsigned)BIT_MASK;
    for (unsigned i = 0; i < wide; i++)
        w->left = w->left << 8 | w->head[2 + i];
    w->in_frame = true;
    w->payload_n = 0;
    if (opcode & BIT_CONTROL)
        return 0;
    if (w->left > WEBSOCKET_MESSAGE_MAX || w->message + w->left > WEBSOCKET_MESSAGE_MAX)
        return -WEBSOCKET_TOO_BIG;
    w->message += w->left;
    w->in_message = !(w->head[0] & BIT_FIN);
    if (!w->in_message)
        w->message = 0;
    return 0;
}

static int read_head(struct websocket_reader *w, struct slice *in)
{
    w->head[w->head_n++] = (unsigned char)in->p[0];
    *in = slice_from(*in, 1);
    if (w->head_n == 2)
        return check_start(w);
    if (w->head_n > 2 && w->head_n == 2 + length_bytes(w) + MASK_BYTES)
        return begin_frame(w);
    return 0;
}

static void keep(struct websocket_reader *w, struct slice piece)
{
    const unsigned char *mask = w->head + 2 + length_bytes(w);
    for (size_t i = 0; i < piece.n; i++, w->payload_n++)
        w->payload[w->payload_n] = (unsigned char)piece.p[i] ^ mask[w->payload_n % MASK_BYTES];
}

/* The frame's payload; its opcode when that is whole and of interest. */
static int read_payload(struct websocket_reader *w, struct slice *in)
{
    unsigned opcode = w->head[0] & BITS_OPCODE;
    struct slice piece = slice_of(in->p, in->n < w->left ? in->n : (size_t)w->left);
    if (opcode & BIT_CONTROL)
        keep(w, piece);
    *in = slice_from(*in, piece.n);
    w->left -= piece.n;
    if (w->left > 0)
        return 0;
    w->in_frame = false;
    w->head_n = 0;
    return opcode == WEBSOCKET_PING || opcode == WEBSOCKET_CLOSE ? (int)opcode : 0;
}

int websocket_read(struct websocket_reader *w, struct slice *in)
{
    int rv = 0;
    while (!rv && (in->n > 0 || (w->in_frame && w->left == 0)))
        rv = w->in_frame ? read_payload(w, in) : read_head(w, in);
    return rv;
}

unsigned websocket_close_code(const struct websocket_reader *w)
{
    if (w->payload_n == 0)
        return WEBSOCKET_NORMAL;
    unsigned code = w->payload_n > 1 ? (unsigned)w->payload[0] << 8 | w->payload[1] : 0;
    bool known = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
    return known ? code : WEBSOCKET_PROTOCOL_ERROR;
}

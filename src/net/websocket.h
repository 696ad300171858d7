/* WebSocket (RFC 6455) on the server's side, as bytes: the handshake's answer, heads of frames to send, a reader of the
 * client's frames. No I/O; h1_server.c drives it (http_websocket_start).
 *
 * Our clients only listen: what they send as data is counted and dropped. The reader stops at each ping and close,
 * whose
 * payload it keeps, and at what breaks the protocol or a limit. It holds no more than one control frame, however the
 * bytes come. */
#ifndef PINTLE_NET_WEBSOCKET_H
#define PINTLE_NET_WEBSOCKET_H

#include "base/slice.h"

enum {
    WEBSOCKET_MESSAGE_MAX = 64 << 10, /* bytes of a client's message; more ends the connection with 1009 */
    WEBSOCKET_CONTROL_MAX = 125,      /* RFC 6455 section 5.5 */
    WEBSOCKET_HEAD_MAX = 10,          /* of a frame that we send: those are not masked */
    WEBSOCKET_ACCEPT_MAX = 32,
    WEBSOCKET_PINGS = 100,          /* that a client may send at once; more ends the connection with 1008 */
    WEBSOCKET_PINGS_PER_SECOND = 1, /* that it regains */
};

enum websocket_opcode {
    WEBSOCKET_CONTINUE = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

/* Why a connection is closed: RFC 6455 section 7.4.1. */
enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
};

struct websocket_reader {
    unsigned char head[14];
    unsigned head_n;
    uint64_t left; /* of the frame's payload */
    bool in_frame, in_message;
    uint64_t message; /* bytes of the message so far */
    unsigned char payload[WEBSOCKET_CONTROL_MAX];
    unsigned payload_n; /* of the control frame that was reported */
};

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; NUL-terminated. -EINVAL when the key is not 16 bytes in base64. */
int websocket_accept(struct slice key, char out[static WEBSOCKET_ACCEPT_MAX]);
/* The head of an unfragmented frame around n bytes; its length. */
size_t websocket_head(enum websocket_opcode opcode, uint64_t n, unsigned char out[static WEBSOCKET_HEAD_MAX]);
/* A whole close frame; its length, at most 4. */
size_t websocket_close(unsigned code, unsigned char out[static WEBSOCKET_HEAD_MAX]);
/* Reads from *in and moves it on: 0 when all was read, WEBSOCKET_PING or WEBSOCKET_CLOSE when one is whole (its payload
 * is w->payload), or minus the code to close with. */
int websocket_read(struct websocket_reader *w, struct slice *in);
/* The code to answer a close frame with: the client's, or what is wrong with it. */
unsigned websocket_close_code(const struct websocket_reader *w);

#endif

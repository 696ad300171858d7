/* What both sides of HTTP/2 need of nghttp2: a session with our options, and header fields. The callbacks and what the
 * session means are the side's own. */
#ifndef PINTLE_NET_H2_SESSION_H
#define PINTLE_NET_H2_SESSION_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "base/slice.h"

/* A callback that is NULL is not called. */
struct h2_callbacks {
    nghttp2_on_begin_headers_callback on_begin_headers;
    nghttp2_on_header_callback on_header;
    nghttp2_on_frame_recv_callback on_frame_recv;
    nghttp2_on_data_chunk_recv_callback on_data_chunk_recv;
    nghttp2_on_stream_close_callback on_stream_close;
    nghttp2_on_frame_send_callback on_frame_send;
    nghttp2_send_callback send;
    nghttp2_send_data_callback send_data;
};

/* Makes a session and submits its SETTINGS. Windows are given back by hand as bodies are read, closed streams are
 * forgotten at once. user: handed to the callbacks. window: bytes that the peer may send ahead on the connection.
 * *ret_session is the caller's as soon as it is not NULL, also when this fails. 0, or not. */
int h2_session_open(nghttp2_session **ret_session, bool server, const struct h2_callbacks *callbacks, void *user,
                    const nghttp2_settings_entry *settings, size_t n_settings, int32_t window);
/* A field to submit: nghttp2 copies both. */
nghttp2_nv h2_nv(struct slice name, struct slice value);

#endif

#include "config.h"

#include "net/h2_session.h"

#include <errno.h>

#include "net/h2_guard.h"

static void set_callbacks(nghttp2_session_callbacks *cb, const struct h2_callbacks *from)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, from->on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, from->on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, from->on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, from->on_data_chunk_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, from->on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, from->on_frame_send);
    nghttp2_session_callbacks_set_send_callback(cb, from->send);
    nghttp2_session_callbacks_set_send_data_callback(cb, from->send_data);
}

/* Newer versions bound resets and continuations themselves, lower than we do and without saying why. */
static void leave_limits_to_guard(nghttp2_option *option)
{
#ifdef HAVE_NGHTTP2_OPTION_SET_STREAM_RESET_RATE_LIMIT
    nghttp2_option_set_stream_reset_rate_limit(option, (uint64_t)2 * H2_RESETS, (uint64_t)2 * H2_RESETS_PER_SECOND);
#endif
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(option, (size_t)2 * H2_CONTINUATIONS_MAX);
#endif
    (void)option;
}

static int make_session(nghttp2_session **ret_session, bool server, const struct h2_callbacks *callbacks, void *user)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb))
        return -ENOMEM;
    set_callbacks(cb, callbacks);
    nghttp2_option *option = NULL;
    int rv = nghttp2_option_new(&option);
    if (!rv) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        leave_limits_to_guard(option);
        rv = (server ? nghttp2_session_server_new2 : nghttp2_session_client_new2)(ret_session, cb, user, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    return rv ? -ENOMEM : 0;
}

int h2_session_open(nghttp2_session **ret_session, bool server, const struct h2_callbacks *callbacks, void *user,
                    const nghttp2_settings_entry *settings, size_t n_settings, int32_t window)
{
    int rv = make_session(ret_session, server, callbacks, user);
    if (!rv)
        rv = nghttp2_submit_settings(*ret_session, NGHTTP2_FLAG_NONE, settings, n_settings);
    return rv ? rv : nghttp2_session_set_local_window_size(*ret_session, NGHTTP2_FLAG_NONE, 0, window);
}

nghttp2_nv h2_nv(struct slice name, struct slice value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n,
                        NGHTTP2_NV_FLAG_NONE};
}

/* Sockets of the real loop: TCP and Unix streams, listeners, connects. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "loop/loop_uv.h"

enum { IOV_LIMIT = 512, PEER_MAX = 80, ADDR_HOST_MAX = 64, QUEUE_FIRST_CAP = 8 };

union uv_socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct uv_stream {
    struct stream base;
    struct loop_uv *loop;
    union uv_socket socket;
    struct list link;       /* in loop->streams */
    struct list flush_link; /* in loop->flush while bytes wait for the end of the turn */
    struct uv_deferred end; /* tells on_end */
    struct uv_deferred drain;
    const struct stream_handler *handler;
    void *ctx;
    struct chunk *queue; /* queue[head .. head + n): not yet taken by the kernel */
    size_t head, n, cap;
    size_t bytes; /* in the queue */
    uv_write_t write_req;
    bool writing; /* write_req is in flight; its chunks are the first ones of the queue */
    size_t writing_bytes;
    uv_shutdown_t shutdown_req;
    bool paused, reading, above_high, want_shutdown, did_shutdown;
    bool eof;  /* the peer ended its half */
    bool told; /* on_end ran or is about to */
    int err;   /* why the stream is over, 0 while it can be written */
    bool closing;
    char peer[PEER_MAX];
    /* while connecting */
    struct connecting connecting;
    struct uv_deferred connect_failed;
    uv_connect_t connect_req;
    void (*on_connect)(void *ctx, int err, struct stream *s);
    void *connect_ctx;
    int connect_err;
};

struct uv_listener {
    struct listener base;
    struct loop_uv *loop;
    union uv_socket socket;
    struct list link;
    void (*on_accept)(void *ctx, struct stream *s);
    void *ctx;
    bool unix_socket, closing;
};

static struct uv_stream *stream_of(const struct stream *s)
{
    return container_of(s, struct uv_stream, base);
}

/* ---- addresses ---- */

struct address {
    bool unix_socket;
    const char *path;
    struct sockaddr_storage sockaddr;
};

static int parse_port(const char *text, int *ret)
{
    uint64_t port;
    if (!slice_to_u64(slice_str(text), &port) || port > 65535)
        return -EINVAL;
    *ret = (int)port;
    return 0;
}

static int parse_address(const char *addr, struct address *ret)
{
    *ret = (struct address){0};
    if (strncmp(addr, "unix:", 5) == 0) {
        ret->unix_socket = true;
        ret->path = addr + 5;
        size_t n = strlen(ret->path);
        return n == 0 ? -EINVAL : n >= sizeof(((struct sockaddr_un *)0)->sun_path) ? -ENAMETOOLONG : 0;
    }
    const char *colon = strrchr(addr, ':');
    char host[ADDR_HOST_MAX];
    int port;
    if (!colon || parse_port(colon + 1, &port) || (size_t)(colon - addr) >= sizeof(host))
        return -EINVAL;
    bool v6 = addr[0] == '[' && colon > addr && colon[-1] == ']';
    size_t n = (size_t)(colon - addr) - (v6 ? 2 : 0);
    memcpy(host, addr + (v6 ? 1 : 0), n);
    host[n] = '\0';
    int err = v6 ? uv_ip6_addr(host, port, (struct sockaddr_in6 *)&ret->sockaddr)
                 : uv_ip4_addr(host, port, (struct sockaddr_in *)&ret->sockaddr);
    return err ? -EINVAL : 0;
}

static void format_peer(struct uv_stream *s)
{
    struct sockaddr_storage a;
    int n = sizeof(a);
    char host[ADDR_HOST_MAX] = "";
    if (s->socket.handle.type != UV_TCP || uv_tcp_getpeername(&s->socket.tcp, (struct sockaddr *)&a, &n))
        return;
    if (a.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a;
        uv_ip6_name(v6, host, sizeof(host));
        snprintf(s->peer, sizeof(s->peer), "[%s]:%u", host, (unsigned)ntohs(v6->sin6_port));
        return;
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a;
    uv_ip4_name(v4, host, sizeof(host));
    snprintf(s->peer, sizeof(s->peer), "%s:%u", host, (unsigned)ntohs(v4->sin_port));
}

/* ---- ends ---- */

static void free_stream(uv_handle_t *h)
{
    struct uv_stream *s = h->data;
    for (size_t i = 0; i < s->n; i++)
        blob_unref(s->queue[s->head + i].blob);
    mem_free(s->queue);
    mem_free(s);
}

static void close_stream(struct uv_stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    list_remove(&s->link);
    list_remove(&s->flush_link);
    list_remove(&s->end.link);
    list_remove(&s->drain.link);
    list_remove(&s->connect_failed.link);
    uv_close(&s->socket.handle, free_stream);
}

static void uvs_close(struct stream *s)
{
    close_stream(stream_of(s));
}

static void tell_end(struct uv_deferred *d)
{
    struct uv_stream *s = container_of(d, struct uv_stream, end);
    if (s->handler)
        s->handler->on_end(s->ctx, s->err);
    else
        s->told = false; /* nobody listened yet: stream_handle asks again */
}

/* The stream failed outside a read callback. After the peer's orderly end nobody waits for a second one. */
static void fail_stream(struct uv_stream *s, int err)
{
    if (!s->err)
        s->err = err;
    uv_read_stop(&s->socket.stream);
    s->reading = false;
    if (s->told)
        return;
    s->told = true;
    loop_uv_defer(s->loop, &s->end);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct uv_stream *s = h->data;
    *buf = uv_buf_init(s->loop->read_buffer, sizeof(s->loop->read_buffer));
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
    struct uv_stream *s = h->data;
    if (n == 0)
        return;
    if (n > 0) {
        s->handler->on_data(s->ctx, buf->base, (size_t)n);
        return;
    }
    uv_read_stop(h);
    s->reading = false;
    if (n == UV_EOF)
        s->eof = true;
    else if (!s->err)
        s->err = (int)n;
    if (s->told)
        return;
    s->told = true;
    s->handler->on_end(s->ctx, n == UV_EOF ? 0 : (int)n);
}

static void update_reading(struct uv_stream *s)
{
    bool want = s->handler && !s->paused && !s->eof && !s->err;
    if (want == s->reading)
        return;
    s->reading = want;
    if (!want) {
        uv_read_stop(&s->socket.stream);
        return;
    }
    int err = uv_read_start(&s->socket.stream, on_alloc, on_read);
    if (err)
        fail_stream(s, err);
}

static void uvs_handle(struct stream *base, const struct stream_handler *h, void *ctx)
{
    struct uv_stream *s = stream_of(base);
    s->handler = h;
    s->ctx = ctx;
    if (s->err)
        fail_stream(s, s->err);
    update_reading(s);
}

static void uvs_pause(struct stream *base, bool paused)
{
    struct uv_stream *s = stream_of(base);
    s->paused = paused;
    update_reading(s);
}

/* ---- writing ---- */

static void flush_later(struct uv_stream *s)
{
    list_remove(&s->flush_link);
    list_push(&s->loop->flush, &s->flush_link);
}

static void reserve(struct uv_stream *s, size_t more)
{
    if (s->head + s->n + more <= s->cap)
        return;
    if (s->head >= s->n + more) { /* at least half of it is behind us */
        memmove(s->queue, s->queue + s->head, s->n * sizeof(*s->queue));
        s->head = 0;
        return;
    }
    size_t cap = s->cap ? s->cap * 2 : QUEUE_FIRST_CAP;
    while (cap < s->n + more)
        cap *= 2;
    struct chunk *queue = mem_alloc(cap * sizeof(*queue));
    if (s->n)
        memcpy(queue, s->queue + s->head, s->n * sizeof(*queue));
    mem_free(s->queue);
    s->queue = queue;
    s->head = 0;
    s->cap = cap;
}

static int uvs_write(struct stream *base, const struct chunk *chunks, size_t n)
{
    struct uv_stream *s = stream_of(base);
    if (s->err || s->want_shutdown) {
        for (size_t i = 0; i < n; i++)
            blob_unref(chunks[i].blob);
        return -EPIPE;
    }
    reserve(s, n);
    for (size_t i = 0; i < n; i++) {
        if (chunks[i].n == 0) {
            blob_unref(chunks[i].blob);
            continue;
        }
        s->queue[s->head + s->n++] = chunks[i];
        s->bytes += chunks[i].n;
    }
    s->above_high = s->above_high || s->bytes > STREAM_HIGH_WATER;
    if (!s->writing)
        flush_later(s);
    return 0;
}

static size_t uvs_queued(const struct stream *base)
{
    return stream_of(base)->bytes;
}

static void tell_drain(struct uv_deferred *d)
{
    struct uv_stream *s = container_of(d, struct uv_stream, drain);
    if (s->handler && s->handler->on_drain)
        s->handler->on_drain(s->ctx);
}

/* The kernel took n bytes from the front of the queue. */
static void taken(struct uv_stream *s, size_t n)
{
    s->bytes -= n;
    while (n > 0) {
        struct chunk *c = &s->queue[s->head];
        if (n < c->n) {
            c->p += n;
            c->n -= n;
            break;
        }
        n -= c->n;
        blob_unref(c->blob);
        s->head++;
        s->n--;
    }
    if (s->n == 0)
        s->head = 0;
    if (s->above_high && s->bytes < STREAM_LOW_WATER) {
        s->above_high = false;
        loop_uv_defer(s->loop, &s->drain);
    }
}

static unsigned fill_iov(const struct uv_stream *s, uv_buf_t iov[IOV_LIMIT], size_t *ret_bytes)
{
    unsigned n = 0;
    *ret_bytes = 0;
    for (; n < s->n && n < IOV_LIMIT; n++) {
        const struct chunk *c = &s->queue[s->head + n];
        iov[n] = (uv_buf_t){.base = (char *)c->p, .len = c->n};
        *ret_bytes += c->n;
    }
    return n;
}

static void flush_stream(struct uv_stream *s);

static void on_written(uv_write_t *req, int status)
{
    struct uv_stream *s = req->data;
    s->writing = false;
    if (s->closing)
        return;
    if (status) {
        fail_stream(s, status);
        return;
    }
    taken(s, s->writing_bytes);
    flush_stream(s);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status; /* a broken stream tells its reader */
}

static void shutdown_now(struct uv_stream *s)
{
    if (s->did_shutdown || !s->want_shutdown)
        return;
    s->did_shutdown = true;
    uv_shutdown(&s->shutdown_req, &s->socket.stream, on_shutdown);
}

/* Gives the kernel as much as it takes at once; waits for room with the rest. */
static void flush_stream(struct uv_stream *s)
{
    uv_buf_t iov[IOV_LIMIT];
    size_t bytes;
    while (s->n > 0) {
        unsigned n = fill_iov(s, iov, &bytes);
        int r = uv_try_write(&s->socket.stream, iov, n);
        if (r < 0 && r != UV_EAGAIN) {
            fail_stream(s, r);
            return;
        }
        if (r > 0)
            taken(s, (size_t)r);
        if (r < 0 || (size_t)r < bytes)
            break;
    }
    if (s->n == 0) {
        shutdown_now(s);
        return;
    }
    unsigned n = fill_iov(s, iov, &s->writing_bytes);
    s->write_req.data = s;
    int err = uv_write(&s->write_req, &s->socket.stream, iov, n, on_written);
    s->writing = err == 0;
    if (err)
        fail_stream(s, err);
}

void loop_uv_flush(struct loop_uv *l)
{
    for (struct list *it; (it = list_pop(&l->flush));) {
        struct uv_stream *s = container_of(it, struct uv_stream, flush_link);
        if (!s->writing && !s->err)
            flush_stream(s);
    }
}

static void uvs_shutdown(struct stream *base)
{
    struct uv_stream *s = stream_of(base);
    s->want_shutdown = true;
    if (!s->writing)
        flush_later(s);
}

static const char *uvs_peer(const struct stream *base)
{
    return stream_of(base)->peer;
}

static const struct stream_ops stream_ops = {
    .handle = uvs_handle,
    .write = uvs_write,
    .queued = uvs_queued,
    .pause = uvs_pause,
    .shutdown = uvs_shutdown,
    .close = uvs_close,
    .peer = uvs_peer,
};

static struct uv_stream *new_stream(struct loop_uv *l, bool unix_socket)
{
    struct uv_stream *s = mem_new(struct uv_stream);
    s->base.ops = &stream_ops;
    s->loop = l;
    if (unix_socket)
        uv_pipe_init(&l->uv, &s->socket.pipe, 0);
    else
        uv_tcp_init(&l->uv, &s->socket.tcp);
    s->socket.handle.data = s;
    s->end.cb = tell_end;
    s->drain.cb = tell_drain;
    list_init(&s->flush_link);
    list_init(&s->end.link);
    list_init(&s->drain.link);
    list_init(&s->connect_failed.link);
    list_push(&l->streams, &s->link);
    return s;
}

static void connected(struct uv_stream *s)
{
    if (s->socket.handle.type == UV_TCP) {
        uv_tcp_nodelay(&s->socket.tcp, 1);
        format_peer(s);
    }
}

/* ---- listening ---- */

static void free_listener(uv_handle_t *h)
{
    mem_free(h->data);
}

static void uvl_close(struct listener *base)
{
    struct uv_listener *ls = container_of(base, struct uv_listener, base);
    if (ls->closing)
        return;
    ls->closing = true;
    list_remove(&ls->link);
    uv_close(&ls->socket.handle, free_listener);
}

static unsigned uvl_port(const struct listener *base)
{
    const struct uv_listener *ls = container_of(base, struct uv_listener, base);
    struct sockaddr_storage a;
    int n = sizeof(a);
    if (ls->unix_socket || uv_tcp_getsockname(&ls->socket.tcp, (struct sockaddr *)&a, &n))
        return 0;
    return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port)
                                   : ntohs(((struct sockaddr_in *)&a)->sin_port);
}

static const struct listener_ops listener_ops = {.port = uvl_port, .close = uvl_close};

static void on_connection(uv_stream_t *server, int status)
{
    struct uv_listener *ls = server->data;
    if (status) {
        log_warn(&ls->loop->base.log, "loop", "cannot accept a connection error=\"%s\"", uv_strerror(status));
        return;
    }
    struct uv_stream *s = new_stream(ls->loop, ls->unix_socket);
    if (uv_accept(server, &s->socket.stream)) {
        close_stream(s);
        return;
    }
    connected(s);
    ls->on_accept(ls->ctx, &s->base);
}

/* A socket file that a dead process left behind: nobody answers on it. */
static bool stale_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int bind_unix(struct uv_listener *ls, const char *path)
{
    int err = uv_pipe_bind(&ls->socket.pipe, path);
    if (err != UV_EADDRINUSE || !stale_socket(path))
        return err;
    unlink(path);
    return uv_pipe_bind(&ls->socket.pipe, path);
}

int loop_uv_listen(struct loop *base, const char *addr, void (*on_accept)(void *ctx, struct stream *s), void *ctx,
                   struct listener **ret)
{
    struct loop_uv *l = loop_uv_of(base);
    struct address a;
    int err = parse_address(addr, &a);
    if (err)
        return err;
    struct uv_listener *ls = mem_new(struct uv_listener);
    *ls = (struct uv_listener){
        .base.ops = &listener_ops, .loop = l, .on_accept = on_accept, .ctx = ctx, .unix_socket = a.unix_socket};
    if (a.unix_socket)
        uv_pipe_init(&l->uv, &ls->socket.pipe, 0);
    else
        uv_tcp_init(&l->uv, &ls->socket.tcp);
    ls->socket.handle.data = ls;
    list_push(&l->listeners, &ls->link);
    err = a.unix_socket ? bind_unix(ls, a.path) : uv_tcp_bind(&ls->socket.tcp, (struct sockaddr *)&a.sockaddr, 0);
    if (!err)
        err = uv_listen(&ls->socket.stream, UV_BACKLOG, on_connection);
    if (err) {
        uvl_close(&ls->base);
        return err;
    }
    *ret = &ls->base;
    return 0;
}

/* ---- connecting ---- */

static void finish_connect(struct uv_stream *s, int err)
{
    void (*on_done)(void *, int, struct stream *) = s->on_connect;
    void *ctx = s->connect_ctx;
    s->on_connect = NULL;
    if (err) {
        close_stream(s);
        on_done(ctx, err, NULL);
        return;
    }
    connected(s);
    on_done(ctx, 0, &s->base);
}

static void connect_failed(struct uv_deferred *d)
{
    struct uv_stream *s = container_of(d, struct uv_stream, connect_failed);
    finish_connect(s, s->connect_err);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct uv_stream *s = req->data;
    if (!s->closing)
        finish_connect(s, status);
}

static void cancel_connect(struct connecting *c)
{
    close_stream(container_of(c, struct uv_stream, connecting));
}

struct connecting *loop_uv_connect(struct loop *base, const char *addr,
                                   void (*on_done)(void *ctx, int err, struct stream *s), void *ctx)
{
    struct loop_uv *l = loop_uv_of(base);
    struct address a;
    int err = parse_address(addr, &a);
    struct uv_stream *s = new_stream(l, a.unix_socket);
    s->connecting.cancel = cancel_connect;
    s->connect_failed.cb = connect_failed;
    s->on_connect = on_done;
    s->connect_ctx = ctx;
    s->connect_req.data = s;
    if (!err && a.unix_socket)
        uv_pipe_connect(&s->connect_req, &s->socket.pipe, a.path, on_connected);
    else if (!err)
        err = uv_tcp_connect(&s->connect_req, &s->socket.tcp, (struct sockaddr *)&a.sockaddr, on_connected);
    if (err) {
        s->connect_err = err;
        loop_uv_defer(l, &s->connect_failed);
    }
    return &s->connecting;
}

/* ---- the loop's end ---- */

void loop_uv_close_handles(struct loop_uv *l)
{
    list_each (it, &l->streams) {
        close_stream(container_of(it, struct uv_stream, link));
    }
    list_each (it, &l->listeners) {
        uvl_close(&container_of(it, struct uv_listener, link)->base);
    }
}

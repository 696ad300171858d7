#include "apiserver/relay.h"

#include <errno.h>

#include "apiserver/nodeproxy.h"
#include "apiserver/output.h"
#include "auth/authn.h"
#include "base/mem.h"

enum { RELAY_HEADERS_MAX = HTTP_HEADERS_MAX + 4, RELAY_QUEUE_MAX = 1 << 20, ONCE_MAX = 1000 };

/* ---- clients for one request ---- */

struct api_once {
    struct list link; /* of the nodes' list */
    struct api_nodes *nodes;
    struct http_client *client;
};

static void once_free(struct api_once *o)
{
    list_remove(&o->link);
    o->nodes->n_once--;
    http_client_free(o->client);
    mem_free(o);
}

static void free_spent(struct loop_timer *t)
{
    struct api_nodes *n = container_of(t, struct api_nodes, sweep);
    list_each (node, &n->spent)
        once_free(container_of(node, struct api_once, link));
}

void api_once_init(struct api_nodes *n)
{
    list_init(&n->once);
    list_init(&n->spent);
    n->sweep.cb = free_spent;
}

void api_once_done(struct api_nodes *n)
{
    loop_timer_stop(n->api->loop, &n->sweep);
    free_spent(&n->sweep);
    list_each (node, &n->once)
        once_free(container_of(node, struct api_once, link));
    free_spent(&n->sweep);
}

struct api_once *api_once_new(struct api *api, const char *address, struct tls_context *tls, const char *host)
{
    struct api_nodes *n = api->nodes;
    if (n->n_once >= ONCE_MAX)
        return NULL;
    struct api_once *o = mem_new(struct api_once);
    o->nodes = n;
    o->client = http_client_new(api->loop, &(struct http_client_options){.addr = address, .tls = tls, .host = host});
    list_push(&n->once, &o->link);
    n->n_once++;
    return o;
}

struct http_client *api_once_client(struct api_once *once)
{
    return once->client;
}

/* Not freed at once: a client may not be freed from a callback of its own. */
static void once_spent(struct api_once *o)
{
    if (!o)
        return;
    list_remove(&o->link);
    list_push(&o->nodes->spent, &o->link);
    loop_timer_start(o->nodes->api->loop, &o->nodes->sweep, 0);
}

/* ---- headers ---- */

/* Headers that belong to one connection only, or tell who the caller is (a subprotocol may hold a token). */
static bool stays_here(struct slice name)
{
    static const char *const own[] = {"host",
                                      "authorization",
                                      "content-length",
                                      "transfer-encoding",
                                      "te",
                                      "trailer",
                                      "proxy-authorization",
                                      "proxy-authenticate",
                                      "proxy-connection",
                                      "keep-alive",
                                      "sec-websocket-protocol"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (slice_eq_str(name, own[i]))
            return true;
    return slice_starts(name, SLICE("x-remote-")) || slice_starts(name, SLICE("impersonate-")) ||
           slice_starts(name, SLICE("x-pintle-"));
}

static bool is_upgrade_header(struct slice name)
{
    return slice_eq_str(name, "connection") || slice_eq_str(name, "upgrade");
}

static size_t passed_headers(struct api_request *r, const struct relay_target *t, struct http_header *out)
{
    const struct http_request *q = r->http ? http_request(r->http) : NULL;
    size_t n = 0;
    for (size_t i = 0; q && i < q->n_headers; i++)
        if (!stays_here(q->headers[i].name) && (q->upgrade || !is_upgrade_header(q->headers[i].name)))
            out[n++] = q->headers[i];
    struct slice protocols = q ? authn_subprotocols(r->http, r->arena) : SLICE_NONE;
    if (protocols.n)
        out[n++] = (struct http_header){SLICE("sec-websocket-protocol"), protocols};
    if (t->prepend && q) {
        out[n++] = (struct http_header){SLICE("x-forwarded-for"), slice_str(q->remote)};
        out[n++] = (struct http_header){SLICE("x-forwarded-uri"), r->path};
    }
    return n;
}

/* Where a redirect leads for the client: a path of the target's gets the proxy's path in front.
 * https://github.com/kubernetes/apimachinery, util/proxy: other hosts and relative paths stay. */
static struct slice rewritten(struct arena *a, const struct relay_target *t, struct slice location)
{
    struct slice rest = location, host = SLICE_NONE;
    if (slice_starts(location, SLICE("http://")) || slice_starts(location, SLICE("https://"))) {
        rest = slice_from(location, slice_starts(location, SLICE("https://")) ? 8 : 7);
        const char *slash = memchr(rest.p, '/', rest.n);
        size_t at = slash ? (size_t)(slash - rest.p) : rest.n;
        host = slice_of(rest.p, at);
        rest = slice_from(rest, at);
        if (!slice_eq_str(host, t->address) && !(t->host && slice_eq_str(host, t->host)))
            return location;
    }
    if (!slice_starts(rest, SLICE("/")) || slice_starts(rest, slice_str(t->prepend)))
        return host.n ? rest : location;
    return slice_str(arena_printf(a, "%s%" SLICE_FMT, t->prepend, SLICE_ARG(rest)));
}

static size_t answer_headers(struct api_request *r, const struct relay_target *t, const struct http_header *headers,
                             size_t n, struct http_header *out)
{
    size_t k = 0;
    bool head = slice_eq_str(r->method, "HEAD");
    for (size_t i = 0; i < n && k < RELAY_HEADERS_MAX; i++) {
        struct slice name = headers[i].name;
        bool length = slice_eq_str(name, "content-length");
        if (is_upgrade_header(name) || slice_eq_str(name, "date") ||
            slice_starts(name, SLICE("access-control-allow-")) || (stays_here(name) && !(length && head)))
            continue;
        bool moves = t->prepend && slice_eq_str(name, "location");
        out[k++] = (struct http_header){name, moves ? rewritten(r->arena, t, headers[i].value) : headers[i].value};
    }
    return k;
}

/* ---- one streamed answer ---- */

struct relay {
    struct api_request *r;
    struct relay_target target;
    struct http_call *call;
    bool started, paused;
};

static void relay_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct relay *y = ctx;
    struct http_header out[RELAY_HEADERS_MAX];
    const char *type = "text/plain";
    for (size_t i = 0; i < n; i++)
        if (slice_eq_str(headers[i].name, "content-type"))
            type = arena_printf(y->r->arena, "%" SLICE_FMT, SLICE_ARG(headers[i].value));
    y->started = true;
    if (!y->target.headers) {
        api_stream_start(y->r, code, type);
        return;
    }
    api_account(y->r, code);
    y->r->replied = true;
    y->r->responder->start(y->r, code, out, answer_headers(y->r, &y->target, headers, n, out));
}

static void relay_data(void *ctx, struct slice data)
{
    struct relay *y = ctx;
    struct blob *b = blob_copy(data);
    if (!b)
        return;
    y->r->responder->write(y->r, &(struct chunk){b, b->bytes, b->n}, 1);
    if (y->r->responder->queued(y->r) > RELAY_QUEUE_MAX && !y->paused) {
        y->paused = true;
        http_call_pause(y->call, true);
    }
}

static void relay_drain(struct api_request *r)
{
    struct relay *y = r->state;
    if (!y->paused)
        return;
    y->paused = false;
    http_call_pause(y->call, false);
}

static void relay_gone(struct api_request *r)
{
    struct relay *y = r->state;
    http_call_cancel(y->call);
    once_spent(y->target.once);
    r->responder->abort(r);
}

/* Why there was no answer, as programs written in Go say it. */
static const char *why(struct arena *a, const struct relay_target *t, int err)
{
    switch (-err) {
    case ECONNREFUSED:
        return arena_printf(a, "dial tcp %s: connect: connection refused", t->address);
    case EHOSTUNREACH:
        return arena_printf(a, "dial tcp %s: connect: no route to host", t->address);
    case ENETUNREACH:
        return arena_printf(a, "dial tcp %s: connect: network is unreachable", t->address);
    case ETIMEDOUT:
        return arena_printf(a, "dial tcp %s: i/o timeout", t->address);
    case EPIPE:
    case ECONNRESET:
        return "EOF";
    default:
        return strerror(-err);
    }
}

static void reply_unreachable(struct api_request *r, const struct relay_target *t, int err)
{
    struct status st;
    status_set_reason(&st, r->arena, t->unreachable, t->unreachable == 500 ? "" : status_reason(t->unreachable),
                      "%s: %s", t->problem, why(r->arena, t, err));
    api_reply_status(r, &st);
}

static void relay_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct relay *y = ctx;
    struct api_request *r = y->r;
    (void)code, (void)trailers, (void)n, (void)sent;
    r->on_gone = NULL;
    r->on_drain = NULL;
    once_spent(y->target.once);
    if (!y->started)
        reply_unreachable(r, &y->target, err);
    else if (err)
        r->responder->abort(r);
    else
        r->responder->end(r);
}

static void stream(struct api_request *r, const struct relay_target *t)
{
    struct http_header headers[RELAY_HEADERS_MAX];
    struct relay *y = arena_state(r->arena, struct relay);
    y->r = r;
    y->target = *t;
    r->state = y;
    r->on_gone = relay_gone;
    r->on_drain = relay_drain;
    list_push(&r->api->streams, &r->link);
    y->call = http_call(
        t->client, &(struct http_call_options){.method = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(r->method)),
                                               .path = t->path,
                                               .headers = headers,
                                               .n_headers = t->headers ? passed_headers(r, t, headers) : 0,
                                               .body = r->body,
                                               .on_head = relay_head,
                                               .on_data = relay_data,
                                               .on_done = relay_done,
                                               .ctx = y});
}

/* ---- tunnels ---- */

static void refused_upgrade(struct api_request *r, int code, const struct http_header *headers, size_t n,
                            struct slice body)
{
    const char *type = "text/plain";
    for (size_t i = 0; i < n; i++)
        if (slice_eq_str(headers[i].name, "content-type"))
            type = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(headers[i].value));
    struct blob *b = blob_copy(body);
    api_reply_bytes(r, code, type, b ? chunk_take(b) : chunk_static(SLICE("")));
}

static void tunnel_ready(void *ctx, int err, int code, const struct http_header *headers, size_t n, struct slice body,
                         struct conn *raw)
{
    struct relay *y = ctx;
    struct api_request *r = y->r;
    once_spent(y->target.once);
    if (r->gone) {
        conn_close(raw);
        r->responder->abort(r);
    } else if (err) {
        reply_unreachable(r, &y->target, err);
    } else if (!raw) {
        refused_upgrade(r, code, headers, n, body);
    } else {
        struct loop *l = r->api->loop;
        struct http_exchange *x = r->http;
        api_account(r, code);
        api_leave(r);
        conn_splice(l, http_upgrade(x, code, headers, n), raw, NULL, NULL);
    }
}

static void tunnel(struct api_request *r, const struct relay_target *t)
{
    struct http_header headers[RELAY_HEADERS_MAX];
    struct relay *y = arena_state(r->arena, struct relay);
    y->r = r;
    y->target = *t;
    http_client_upgrade(
        t->client,
        &(struct http_call_options){.method = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(r->method)),
                                    .path = t->path,
                                    .headers = headers,
                                    .n_headers = passed_headers(r, t, headers),
                                    .body = r->body},
        tunnel_ready, y);
}

void api_relay(struct api_request *r, const struct relay_target *t)
{
    if (r->http && http_request(r->http)->upgrade)
        tunnel(r, t);
    else
        stream(r, t);
}

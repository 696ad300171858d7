/* Followers pass writes to the leader, whole, over mutual TLS, with the caller's identity in headers that the leader
 * believes only from another server (x-remote-user …, auth/authn.h). One HTTP/2 connection to each other replica.
 *
 * A leader that says nothing for FORWARD_QUIET_MS is probed, and after as long again its connection is given up:
 * packets that were lost while a link was cut are sent again later and later, long after the link is whole. The
 * connection to a new leader is made when it is heard of, not when it is needed.
 *
 * A request whose bytes cannot have reached the leader, or that it answered with 503 (nothing was proposed), is tried
 * again for FORWARD_WAIT_MS: at once when somebody else leads, and now and then. One that comes from another replica to
 * one that may just have been elected waits here for FORWARD_ELECTED_MS. One that may have reached it is tried again
 * too: it carries an id that its transaction is
 * remembered by, so that a leader that finds it done answers as the first would have. When the answer has not come by
 * then, or a leader cannot tell any more, it is 504 for the client to look. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "apiserver/internal.h"
#include "base/mem.h"

enum {
    FORWARD_HEADERS_MAX = 40,
    FORWARD_TIMEOUT_MS = 30000,
    FORWARD_WAIT_MS = 3000,
    FORWARD_RETRY_MS = 20,
    FORWARD_ELECTED_MS = 100, /* from an election to the new leader's first commit, generously */
    FORWARD_QUIET_MS = 500
};

/* The connection to one other replica, made at its first use as leader, anew when it comes back elsewhere. */
struct peer {
    uint64_t id;
    char address[RAFT_ADDR_MAX];
    struct http_client *client;
};

struct api_forward {
    struct api *api;
    struct peer peers[API_MEMBERS_MAX]; /* the place of one that leads no more is taken by the next */
    size_t next;
    struct list waiting; /* struct forwarding, to be tried again */
};

struct forwarding {
    struct list link; /* waiting, while its timer runs */
    struct api_request *r;
    struct loop_timer timer;
    uint64_t deadline;
    uint64_t tried;  /* the member that it was last sent to; 0 = none */
    struct slice id; /* of the write: the same each time it is tried */
    struct buf body;
    uint64_t since; /* a revision from before the request was first sent, 0 = it was not */
    bool unknown;   /* it may have taken effect */
    int code;
    struct http_header headers[API_HEADERS_MAX]; /* the answer's */
    size_t n_headers;
};

struct api_forward *api_forward_new(struct api *api)
{
    struct api_forward *f = mem_new(struct api_forward);
    f->api = api;
    list_init(&f->waiting);
    return f;
}

void api_forward_free(struct api_forward *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < API_MEMBERS_MAX; i++)
        http_client_free(f->peers[i].client);
    list_each (it, &f->waiting)
        list_remove(it); /* these end with their requests */
    mem_free(f);
}

static struct peer *peer_of(struct api_forward *f, uint64_t id)
{
    for (size_t i = 0; i < API_MEMBERS_MAX; i++)
        if (f->peers[i].id == id)
            return &f->peers[i];
    return &f->peers[f->next++ % API_MEMBERS_MAX];
}

static struct http_client *client_of_leader(struct api_forward *f)
{
    const struct api_options *o = &f->api->o;
    uint64_t leader = replica_leader(o->replica);
    const char *address = leader && leader != o->id ? api_address_of(f->api, leader) : NULL;
    if (!address)
        return NULL;
    struct peer *p = peer_of(f, leader);
    if (p->client && p->id == leader && !strcmp(p->address, address))
        return p->client;
    http_client_free(p->client); /* its calls end as not answered, and are tried again where that is safe */
    p->id = leader;
    snprintf(p->address, sizeof p->address, "%s", address);
    /* Its certificate need not name the address: it may have come back elsewhere. Who it is counts. */
    char subject[64];
    snprintf(subject, sizeof subject, "pintle:server:%" PRIu64, leader);
    p->client = http_client_new(
        f->api->loop,
        &(struct http_client_options){
            .addr = p->address, .tls = o->peer_tls, .tls_subject = subject, .h2 = true, .quiet_ms = FORWARD_QUIET_MS});
    return p->client;
}

static void forward_try(struct forwarding *fw);

static void forward_end(struct forwarding *fw)
{
    list_remove(&fw->link);
    loop_timer_stop(fw->r->api->loop, &fw->timer);
    buf_done(&fw->body);
}

static void forward_close(struct api_request *r)
{
    forward_end(r->waiting);
    r->responder->abort(r);
}

static void forward_later(struct forwarding *fw)
{
    struct api *api = fw->r->api;
    uint64_t leader = replica_leader(api->o.replica);
    fw->r->waiting = fw;
    fw->r->on_close = forward_close;
    list_push(&api->forward->waiting, &fw->link);
    loop_timer_start(api->loop, &fw->timer, leader && fw->tried && leader != fw->tried ? 0 : FORWARD_RETRY_MS);
}

/* What of an answer's head is the API's; the rest is the connection's. */
static bool passes(struct slice name)
{
    static const char *const names[] = {"content-type", "cache-control", "warning", "retry-after"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq_str(name, names[i]))
            return true;
    return false;
}

static void on_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct forwarding *fw = ctx;
    struct arena *a = fw->r->arena;
    fw->code = code;
    fw->n_headers = 0;
    for (size_t i = 0; i < n && fw->n_headers < API_HEADERS_MAX; i++)
        if (passes(headers[i].name))
            fw->headers[fw->n_headers++] =
                (struct http_header){arena_copy(a, headers[i].name), arena_copy(a, headers[i].value)};
}

static void on_data(void *ctx, struct slice data)
{
    struct forwarding *fw = ctx;
    buf_add_slice(&fw->body, data);
}

static void reply_forwarded(struct forwarding *fw)
{
    struct api_request *r = fw->r;
    struct blob *b = buf_error(&fw->body) ? NULL : blob_copy(buf_slice(&fw->body));
    int code = b ? fw->code : 503;
    struct chunk body = b ? chunk_take(b) : chunk_static(SLICE(""));
    api_account(r, code);
    forward_end(fw);
    r->responder->reply(r, code, fw->headers, fw->n_headers, &body, 1);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct forwarding *fw = ctx;
    struct api_request *r = fw->r;
    bool late = loop_now(r->api->loop) >= fw->deadline;
    /* Answers of a leader that did not look whether the request had been there before. */
    bool blind = !err && (fw->code == 503 || fw->code == 429);
    (void)code, (void)trailers, (void)n;
    if (r->gone) {
        forward_end(fw);
        r->responder->abort(r);
    } else if (!err && !(fw->unknown && blind) && ((fw->code != 503 && fw->code != 504) || late)) {
        reply_forwarded(fw);
    } else if (!late) {
        fw->unknown |= (err && sent) || (!err && fw->code == 504);
        forward_later(fw);
    } else {
        forward_end(fw);
        api_reply_errno(r, fw->unknown || (err && sent) ? -ETIMEDOUT : -EAGAIN, "passing the request to the leader");
    }
}

static void on_timer(struct loop_timer *t)
{
    struct forwarding *fw = container_of(t, struct forwarding, timer);
    fw->r->on_close = NULL;
    list_remove(&fw->link);
    forward_try(fw);
}

void api_forward_leader(struct api *api)
{
    struct http_client *client = client_of_leader(api->forward);
    if (client)
        http_client_warm(client);
    list_each (it, &api->forward->waiting)
        loop_timer_start(api->loop, &container_of(it, struct forwarding, link)->timer, 0);
}

static void add(struct http_header *h, size_t *n, const char *name, struct slice value)
{
    if (*n < FORWARD_HEADERS_MAX && value.n)
        h[(*n)++] = (struct http_header){slice_str(name), value};
}

/* What the leader's transaction is remembered by, and how far back it has to remember. */
static void add_id(struct forwarding *fw, struct http_header *headers, size_t *n)
{
    struct api_request *r = fw->r;
    if (!fw->since)
        fw->since = store_revision(r->api->store);
    add(headers, n, "x-pintle-write-id", fw->id);
    if (fw->unknown)
        add(headers, n, "x-pintle-write-since", slice_str(arena_printf(r->arena, "%lu", fw->since)));
}

static void forward_try(struct forwarding *fw)
{
    struct api_request *r = fw->r;
    struct http_client *client = client_of_leader(r->api->forward);
    if (replica_is_leader(r->api->o.replica)) { /* it is us by now */
        forward_end(fw);
        r->write_id = fw->id;
        r->write_since = fw->since;
        r->write_repeated = fw->unknown;
        api_run(r);
        return;
    }
    if (r->user.forwarded) { /* another one leads, or nobody: the first replica tries again */
        uint64_t leader = replica_leader(r->api->o.replica);
        if ((!leader || leader == r->api->o.id) && loop_now(r->api->loop) < fw->deadline) {
            forward_later(fw);
            return;
        }
        forward_end(fw);
        api_reply_errno(r, -EAGAIN, "writing");
        return;
    }
    if (!client) {
        if (!api_no_quorum(r->api) && loop_now(r->api->loop) < fw->deadline) {
            forward_later(fw);
            return;
        }
        forward_end(fw);
        api_reply_errno(r, fw->unknown ? -ETIMEDOUT : -EAGAIN, "passing the request to the leader");
        return;
    }
    fw->tried = replica_leader(r->api->o.replica);
    struct http_header headers[FORWARD_HEADERS_MAX];
    size_t n = 0;
    add(headers, &n, "content-type", r->content_type);
    add(headers, &n, "accept", r->accept);
    if (r->http)
        add(headers, &n, "user-agent", http_request_header(r->http, "user-agent"));
    add(headers, &n, "x-remote-user", r->user.name);
    add(headers, &n, "x-remote-uid", r->user.uid);
    add_id(fw, headers, &n);
    for (size_t i = 0; i < r->user.n_groups; i++)
        add(headers, &n, "x-remote-group", r->user.groups[i]);
    buf_clear(&fw->body);
    const char *path = arena_printf(r->arena, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(r->path), r->query.n ? "?" : "",
                                    SLICE_ARG(r->query));
    const char *method = arena_printf(r->arena, "%" SLICE_FMT, SLICE_ARG(r->method));
    http_call(client, &(struct http_call_options){.method = method,
                                                  .path = path,
                                                  .headers = headers,
                                                  .n_headers = n,
                                                  .body = r->body,
                                                  .timeout_ms = FORWARD_TIMEOUT_MS,
                                                  .on_head = on_head,
                                                  .on_data = on_data,
                                                  .on_done = on_done,
                                                  .ctx = fw});
}

/* What no header can carry is dropped on the way: the leader would take the request for this server's own. */
static bool fits_header(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return s.n && s.p[0] != ' ' && s.p[s.n - 1] != ' ';
}

static struct slice new_id(struct api_request *r)
{
    struct api *api = r->api;
    return slice_str(arena_printf(r->arena, "%lx-%016lx-%lx", api->o.id, api->instance, ++api->next_request));
}

void api_forward(struct api_request *r)
{
    if (!fits_header(r->user.name)) {
        api_reply_error(r, 403, "the name of the user cannot be passed to the leader");
        return;
    }
    struct forwarding *fw = arena_state(r->arena, struct forwarding);
    *fw = (struct forwarding){.r = r, .timer.cb = on_timer, .body = BUF_INIT(API_ARENA_MAX)};
    list_init(&fw->link);
    bool came_back = r->forward_until != 0;
    if (!came_back)
        r->forward_until =
            loop_now(r->api->loop) + (uint64_t)(r->user.forwarded ? FORWARD_ELECTED_MS : FORWARD_WAIT_MS) * 1000000;
    fw->deadline = r->forward_until;
    if (r->write_id.n) { /* we led for a while */
        fw->id = r->write_id;
        fw->since = r->write_since;
        fw->unknown = r->write_repeated;
    } else {
        fw->id = new_id(r);
    }
    if (!came_back && !replica_is_leader(r->api->o.replica))
        forward_try(fw);
    else if (loop_now(r->api->loop) < fw->deadline)
        forward_later(fw); /* we lead, but take nothing while we hand leadership over */
    else
        api_reply_errno(r, fw->unknown ? -ETIMEDOUT : -EAGAIN, "writing");
}

#include "client/servers.h"

#include <errno.h>
#include <stdio.h>

#include "auth/pki.h"
#include "base/mem.h"

struct list_of {
    char at[CLIENT_SERVERS_MAX][CLIENT_SERVER_MAX];
    size_t n;
};

struct client_servers {
    struct client *client;
    struct informer *informer;
    char *path;
    struct list_of given, now;
    struct writing *writing; /* the file, under way, or NULL */
    bool again;              /* the list has changed since */
};

/* Outlives its owner when that is freed meanwhile. */
struct writing {
    struct loop_work work;
    struct client_servers *owner; /* NULL once freed */
    struct fs *fs;
    char *path;
    struct buf text;
    int err;
};

static void add(struct list_of *l, struct slice address)
{
    if (!address.n || address.n >= CLIENT_SERVER_MAX || l->n == CLIENT_SERVERS_MAX)
        return;
    for (size_t i = 0; i < l->n; i++)
        if (slice_eq_str(address, l->at[i]))
            return;
    memcpy(l->at[l->n], address.p, address.n);
    l->at[l->n++][address.n] = '\0';
}

static void use(struct client_servers *s, const struct list_of *l)
{
    const char *addresses[CLIENT_SERVERS_MAX];
    for (size_t i = 0; i < l->n; i++)
        addresses[i] = l->at[i];
    client_http_set_servers(s->client, addresses, l->n);
}

/* ---- the file ---- */

static void write_file(struct client_servers *s);

static void run_write(struct loop_work *w)
{
    struct writing *x = container_of(w, struct writing, work);
    x->err = pki_file_write(x->fs, x->path, buf_slice(&x->text));
}

static void write_done(struct loop_work *w)
{
    struct writing *x = container_of(w, struct writing, work);
    struct client_servers *s = x->owner;
    if (s) {
        s->writing = NULL;
        if (x->err)
            log_warn(loop_log(s->client->loop), "servers", "cannot write file=%s error=\"%s\"", x->path,
                     strerror(-x->err));
        if (s->again)
            write_file(s);
    }
    mem_free(x->path);
    buf_done(&x->text);
    mem_free(x);
}

static void write_file(struct client_servers *s)
{
    s->again = s->writing != NULL;
    if (!s->path || s->writing)
        return;
    struct writing *x = s->writing = mem_new(struct writing);
    x->owner = s;
    x->fs = loop_fs(s->client->loop);
    x->path = mem_strndup(s->path, strlen(s->path));
    buf_init(&x->text, CLIENT_SERVERS_FILE_MAX);
    for (size_t i = 0; i < s->now.n; i++)
        buf_printf(&x->text, "%s\n", s->now.at[i]);
    x->work.run = run_write;
    x->work.done = write_done;
    loop_work_queue(s->client->loop, LOOP_LANE_MISC, &x->work);
}

static void read_file(struct client_servers *s)
{
    struct buf text = BUF_INIT(CLIENT_SERVERS_FILE_MAX);
    int rv = s->path ? pki_file_read(loop_fs(s->client->loop), s->path, &text) : -ENOENT;
    struct slice rest = rv ? SLICE_NONE : buf_slice(&text), line;
    if (rv && rv != -ENOENT)
        log_warn(loop_log(s->client->loop), "servers", "cannot read file=%s error=\"%s\"", s->path, strerror(-rv));
    while (rest.n) {
        slice_cut(rest, '\n', &line, &rest);
        add(&s->now, slice_trim(line));
    }
    buf_done(&text);
}

/* ---- following ---- */

static void add_subset(struct list_of *l, const struct json *subset)
{
    char address[CLIENT_SERVER_MAX];
    int64_t port = json_int(json_get_str(json_at(json_get_str(subset, "ports"), 0), "port"), 6443);
    json_each (a, json_get_str(subset, "addresses")) {
        struct slice ip = json_path_string(a, "ip");
        bool v6 = ip.n && memchr(ip.p, ':', ip.n);
        int n = snprintf(address, sizeof address, "%s%" SLICE_FMT "%s:%ld", v6 ? "[" : "", SLICE_ARG(ip), v6 ? "]" : "",
                         port);
        if (ip.n && n > 0 && (size_t)n < sizeof address)
            add(l, slice_of(address, (size_t)n));
    }
}

static void on_change(void *ctx, const struct client_object *before, const struct client_object *now)
{
    struct client_servers *s = ctx;
    struct arena a;
    struct list_of fresh = {.n = 0};
    (void)before;
    arena_init(&a, 4 << 20);
    const struct json *v = now ? json_parse(&a, now->json, NULL, NULL, NULL) : NULL;
    json_each (subset, json_get_str(v, "subsets"))
        add_subset(&fresh, subset);
    arena_done(&a);
    if (!fresh.n)
        return; /* nobody at all cannot be true: somebody has told us so */
    for (size_t i = 0; i < s->given.n; i++)
        add(&fresh, slice_str(s->given.at[i]));
    if (fresh.n == s->now.n && !memcmp(fresh.at, s->now.at, sizeof fresh.at))
        return;
    log_info(loop_log(s->client->loop), "servers", "the servers are now n=%zu first=%s", fresh.n, fresh.at[0]);
    s->now = fresh;
    use(s, &s->now);
    write_file(s);
}

static const struct informer_handler handler = {.on_change = on_change};

struct client_servers *client_servers_new(struct client *client, const char *path, const char *const *given,
                                          size_t n_given)
{
    struct client_servers *s = mem_new(struct client_servers);
    s->client = client;
    s->path = path ? mem_strndup(path, strlen(path)) : NULL;
    for (size_t i = 0; i < n_given; i++)
        add(&s->given, slice_str(given[i]));
    read_file(s);
    bool known = s->now.n > 0;
    for (size_t i = 0; i < s->given.n; i++)
        add(&s->now, slice_str(s->given.at[i]));
    if (known)
        use(s, &s->now);
    s->informer = informer_new(client,
                               &(struct informer_options){.res = resource_core("endpoints"),
                                                          .ns = "default",
                                                          .field_selector = "metadata.name=kubernetes"},
                               &handler, s);
    return s;
}

void client_servers_free(struct client_servers *s)
{
    if (!s)
        return;
    informer_free(s->informer);
    if (s->writing)
        s->writing->owner = NULL;
    mem_free(s->path);
    mem_free(s);
}

/* pintle reseal: has every object of a resource encrypted with the newest key, by a patch that changes nothing else. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/remote.h"
#include "codec/json.h"
#include "schema/schema.h"

enum { PATH_BYTES = 1024, RESEAL_ARENA_MAX = 512 << 20 };

struct reseal_options {
    struct remote_options remote;
};

static const struct option_row rows[] = {
    REMOTE_ROWS(struct reseal_options),
    {0},
};

static const struct resource *find_resource(const char *text)
{
    struct slice plural, group;
    slice_cut(slice_str(text), '.', &plural, &group);
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        if (slice_eq_str(plural, res->plural) && slice_eq_str(group, res->group) &&
            (!res->storage || res->storage == res))
            return res;
    }
    fprintf(stderr, "pintle reseal: %s: no such resource; want PLURAL or PLURAL.GROUP, such as secrets\n", text);
    return NULL;
}

static void path_of(char out[PATH_BYTES], const struct resource *res, struct slice ns, struct slice name)
{
    int n = snprintf(out, PATH_BYTES, "/%s/%s", res->group[0] ? "apis" : "api", res->api_version);
    if (ns.n)
        n += snprintf(out + n, (size_t)(PATH_BYTES - n), "/namespaces/%" SLICE_FMT, SLICE_ARG(ns));
    n += snprintf(out + n, (size_t)(PATH_BYTES - n), "/%s", res->plural);
    if (name.n)
        snprintf(out + n, (size_t)(PATH_BYTES - n), "/%" SLICE_FMT, SLICE_ARG(name));
}

/* One page; path becomes that of the one after, or "". */
static int reseal_page(struct remote *r, const struct resource *res, char path[2 * PATH_BYTES], struct buf *body,
                       size_t *count)
{
    struct arena a;
    struct json_error err;
    arena_init(&a, RESEAL_ARENA_MAX);
    int rv = remote_call(r, "GET", path, SLICE_NONE, body);
    const struct json *list = rv ? NULL : json_parse(&a, buf_slice(body), &err, NULL, NULL);
    if (!rv && !list) {
        fprintf(stderr, "pintle reseal: the server's list cannot be read\n");
        rv = 1;
    }
    struct slice more = json_path_string(list, "metadata.continue");
    path[0] = '\0';
    if (more.n) {
        char base[PATH_BYTES];
        path_of(base, res, SLICE_NONE, SLICE_NONE);
        snprintf(path, 2UL * PATH_BYTES, "%s?limit=100&continue=%" SLICE_FMT, base, SLICE_ARG(more));
    }
    json_each (item, json_get_str(list, "items")) {
        char one[PATH_BYTES];
        if (rv)
            break;
        path_of(one, res, json_path_string(item, "metadata.namespace"), json_path_string(item, "metadata.name"));
        rv = remote_call(r, "PATCH", one, SLICE("{}"), body);
        *count += !rv;
    }
    arena_done(&a);
    return rv;
}

static int reseal(struct remote *r, const char *name)
{
    const struct resource *res = find_resource(name);
    char path[2 * PATH_BYTES], base[PATH_BYTES];
    struct buf body = BUF_INIT(REMOTE_BODY_MAX);
    size_t count = 0;
    int rv = res ? 0 : 2;
    if (res) {
        path_of(base, res, SLICE_NONE, SLICE_NONE);
        snprintf(path, sizeof path, "%s?limit=100", base);
    }
    while (!rv && path[0])
        rv = reseal_page(r, res, path, &body, &count);
    if (!rv && remote_wants_json(r))
        printf("{\"resource\":\"%s\",\"objects\":%zu}\n", name, count);
    else if (!rv)
        printf("%s: %zu objects are encrypted with the newest key of the leader\n", name, count);
    buf_done(&body);
    return rv;
}

static int run(int argc, char **argv, const struct command *c)
{
    struct reseal_options o = {0};
    struct remote *r;
    char **rest;
    int n;
    int rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    rv = remote_open(&o.remote, c->name, &r);
    if (rv)
        return rv;
    if (n == 0)
        rv = reseal(r, "secrets");
    for (int i = 0; i < n && !rv; i++)
        rv = reseal(r, rest[i]);
    remote_close(r);
    return rv;
}

const struct command command_reseal = {"reseal",
                                       "Encrypts stored Secrets with the newest key.",
                                       "[RESOURCE ...]",
                                       "To be run after a new key was put first into every replica's "
                                       "--encryption-key-file. Objects that are encrypted with it already are left as "
                                       "they are.",
                                       rows,
                                       run};

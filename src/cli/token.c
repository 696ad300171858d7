/* pintle token: bootstrap tokens, with which a machine without a certificate may ask for one. They are Secrets as Kubernetes
 * keeps them: bootstrap-token-ID in kube-system. */
#include "cli/token.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "auth/join_token.h"
#include "auth/pki.h"
#include "base/text.h"
#include "base/timefmt.h"
#include "cli/commands.h"
#include "codec/json.h"

enum { TOKEN_ARENA_MAX = 64 << 20, TOKEN_TTL_MAX_S = 365 * 86400, TOKEN_PATH_MAX = 512 };

static const char secrets[] = "/api/v1/namespaces/kube-system/secrets";

/* ---- create ---- */

/* "90s", "30m", "24h", "7d" or a number of seconds; 0 = for ever. */
static bool parse_ttl(const char *text, int64_t *ret_s)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct slice s = slice_str(text);
    int64_t factor = 1, n;
    for (size_t i = 0; s.n && i < sizeof units / sizeof *units; i++)
        if (s.p[s.n - 1] == units[i].unit) {
            factor = units[i].seconds;
            s.n--;
            break;
        }
    if (!slice_to_i64(s, &n) || n < 0 || n > TOKEN_TTL_MAX_S / factor)
        return false;
    *ret_s = n * factor;
    return true;
}

static void add_text(struct arena *a, struct json *data, const char *name, const char *value)
{
    if (value)
        json_set_str(a, data, name, json_new_str(a, value));
}

static int encode_secret(struct remote *r, const struct join_token *t, const struct token_wish *w, int64_t ttl_s,
                         struct buf *out)
{
    struct arena a;
    char until[TIME_SEC_LEN + 1];
    arena_init(&a, 1 << 20);
    struct json *v = json_new_object(&a), *meta = json_new_object(&a), *data = json_new_object(&a);
    json_set_str(&a, v, "apiVersion", json_new_str(&a, "v1"));
    json_set_str(&a, v, "kind", json_new_str(&a, "Secret"));
    json_set_str(&a, v, "type", json_new_str(&a, "bootstrap.kubernetes.io/token"));
    json_set_str(&a, meta, "name", json_new_printf(&a, "bootstrap-token-%s", t->id));
    json_set_str(&a, meta, "namespace", json_new_str(&a, "kube-system"));
    json_set_str(&a, v, "metadata", meta);
    json_set_str(&a, v, "stringData", data);
    add_text(&a, data, "token-id", t->id);
    add_text(&a, data, "token-secret", t->secret);
    add_text(&a, data, "description", w->description);
    add_text(&a, data, !strcmp(w->usage, "server") ? "usage-pintle-server" : "usage-bootstrap-authentication", "true");
    time_format_sec(loop_wall(remote_loop(r)) + ttl_s * NS_PER_SEC, until);
    add_text(&a, data, "expiration", ttl_s ? until : NULL);
    int rv = json_write(out, v);
    arena_done(&a);
    return rv;
}

static int hash_authority(struct remote *r, const struct remote_options *o, const char *command,
                          char out[JOIN_TOKEN_CA_MAX + 1])
{
    struct buf pem = BUF_INIT(PKI_PEM_MAX), path = BUF_INIT(TOKEN_PATH_MAX);
    buf_printf(&path, "%s/ca.crt", o->cert_dir ? o->cert_dir : "/etc/pintle/pki");
    int rv = buf_error(&path) ? buf_error(&path) : pki_file_read(loop_fs(remote_loop(r)), path.p, &pem);
    if (!rv)
        rv = join_token_ca_of(buf_slice(&pem), out);
    if (rv)
        fprintf(stderr, "pintle %s: %s: %s\n", command, path.p, rv == -EINVAL ? "no certificate" : strerror(-rv));
    out[JOIN_TOKEN_CA_MIN] = '\0';
    buf_done(&pem);
    buf_done(&path);
    return rv ? 1 : 0;
}

static void print_token(const struct remote *r, const struct remote_options *o, const struct join_token *t,
                        const struct token_wish *w)
{
    const char *address = o->servers.n ? o->servers.at[0] : "127.0.0.1:6443";
    if (remote_wants_json(r)) {
        printf("{\"id\":\"%s\",\"token\":\"%s.%s.%s\"}\n", t->id, t->id, t->secret, t->ca);
        return;
    }
    printf("%s.%s.%s\n", t->id, t->secret, t->ca);
    if (!strcmp(w->usage, "server"))
        printf("\nOn the new machine, with its own address:\n\n    pintle server --join https://%s \\\n"
               "        --token %s.%s.%s \\\n        --listen ADDRESS:6443 --peer-listen ADDRESS:7443%s\n",
               address, t->id, t->secret, t->ca, w->witness ? " --witness" : "");
}

int token_make(struct remote *r, const struct remote_options *o, const char *command, const struct token_wish *w)
{
    struct join_token t;
    struct buf body = BUF_INIT(1 << 16), answer = BUF_INIT(REMOTE_BODY_MAX);
    int64_t ttl_s;
    if (!parse_ttl(w->ttl, &ttl_s)) {
        fprintf(stderr, "pintle %s: --ttl %s: want a time such as 30m, 24h or 7d, at most a year\n", command, w->ttl);
        return 2;
    }
    if (strcmp(w->usage, "server") != 0 && strcmp(w->usage, "node") != 0) {
        fprintf(stderr, "pintle %s: --usage %s: want server or node\n", command, w->usage);
        return 2;
    }
    join_token_make(remote_loop(r), &t);
    int rv = hash_authority(r, o, command, t.ca);
    if (!rv)
        rv = encode_secret(r, &t, w, ttl_s, &body) ? 1 : 0;
    if (!rv)
        rv = remote_call(r, "POST", secrets, buf_slice(&body), &answer);
    if (!rv)
        print_token(r, o, &t, w);
    pki_wipe(&body);
    pki_wipe(&answer);
    buf_done(&body);
    buf_done(&answer);
    return rv;
}

struct token_options {
    struct remote_options remote;
    const char *ttl, *description, *usage;
};

static const struct option_row create_rows[] = {
    {"ttl", OPTION_TEXT, offsetof(struct token_options, ttl), "TIME",
     "how long it is good: 30m, 24h, 7d; 0 = for ever (24h)"},
    {"description", OPTION_TEXT, offsetof(struct token_options, description), "TEXT", "what it is for, shown by list"},
    {"usage", OPTION_TEXT, offsetof(struct token_options, usage), "USE",
     "server: may join as a replica; node: may authenticate as system:bootstrappers (server)"},
    REMOTE_ROWS(struct token_options),
    {0},
};

static int run_create(int argc, char **argv, const struct command *c)
{
    struct token_options o = {.ttl = "24h", .usage = "server"};
    struct remote *r;
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if ((rv = remote_open(&o.remote, c->name, &r)))
        return rv;
    rv = token_make(r, &o.remote, c->name,
                    &(struct token_wish){.ttl = o.ttl, .description = o.description, .usage = o.usage});
    remote_close(r);
    return rv;
}

const struct command command_token_create = {
    "token create",
    "Makes a join token.",
    "",
    "Who has it may join: give it to one machine, over a safe way, and delete it when it is done.",
    create_rows,
    run_create};

/* ---- list ---- */

static struct slice datum(struct arena *a, const struct json *secret, const char *name)
{
    struct buf out = BUF_INIT(4096);
    struct slice text = json_string(json_get_str(json_get_str(secret, "data"), name)), value = SLICE("");
    if (text.n && !base64_decode(&out, text))
        value = arena_copy(a, buf_slice(&out));
    buf_done(&out);
    return value;
}

static const char *usage_of(struct arena *a, const struct json *secret)
{
    bool server = slice_eq_str(datum(a, secret, "usage-pintle-server"), "true");
    bool node = slice_eq_str(datum(a, secret, "usage-bootstrap-authentication"), "true");
    return server && node ? "server,node" : server ? "server" : node ? "node" : "none";
}

/* Whole minutes or hours that are left, as a person would say it. */
static const char *left(struct arena *a, struct slice expiration, int64_t now)
{
    int64_t until;
    if (!expiration.n)
        return "for ever";
    if (!time_parse(expiration, &until) || until <= now)
        return "expired";
    int64_t minutes = (until - now) / NS_PER_SEC / 60;
    return minutes < 120 ? arena_printf(a, "%ldm", minutes) : arena_printf(a, "%ldh", minutes / 60);
}

static void print_row(struct arena *a, const struct json *secret, int64_t now, bool json, bool *first)
{
    struct slice id = datum(a, secret, "token-id"), until = datum(a, secret, "expiration");
    if (!slice_eq_str(json_path_string(secret, "type"), "bootstrap.kubernetes.io/token"))
        return;
    if (json) {
        struct json *v = json_new_object(a);
        struct buf out = BUF_INIT(1 << 16);
        json_set_str(a, v, "id", json_new_string(a, id));
        json_set_str(a, v, "usage", json_new_str(a, usage_of(a, secret)));
        json_set_str(a, v, "expiration", json_new_string(a, until));
        json_set_str(a, v, "description", json_new_string(a, datum(a, secret, "description")));
        if (!json_write(&out, v))
            printf("%s%s", *first ? "" : ",", out.p);
        buf_done(&out);
    } else {
        printf("%-8" SLICE_FMT " %-12s %-10s %" SLICE_FMT "\n", SLICE_ARG(id), usage_of(a, secret), left(a, until, now),
               SLICE_ARG(datum(a, secret, "description")));
    }
    *first = false;
}

static int print_list(struct remote *r, struct slice body)
{
    struct arena a;
    bool first = true, json = remote_wants_json(r);
    arena_init(&a, TOKEN_ARENA_MAX);
    struct json *list = json_parse(&a, body, NULL, NULL, NULL);
    if (json)
        printf("{\"tokens\":[");
    else
        printf("%-8s %-12s %-10s %s\n", "ID", "USAGE", "LEFT", "DESCRIPTION");
    json_each (secret, json_get_str(list, "items"))
        print_row(&a, secret, loop_wall(remote_loop(r)), json, &first);
    if (json)
        printf("]}\n");
    arena_done(&a);
    return list ? 0 : 1;
}

static const struct option_row list_rows[] = {REMOTE_ROWS(struct token_options), {0}};

static int run_list(int argc, char **argv, const struct command *c)
{
    struct token_options o = {0};
    struct remote *r;
    struct buf answer = BUF_INIT(REMOTE_BODY_MAX);
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if ((rv = remote_open(&o.remote, c->name, &r)))
        return rv;
    rv = remote_call(r, "GET",
                     "/api/v1/namespaces/kube-system/secrets?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken",
                     SLICE_NONE, &answer);
    if (!rv)
        rv = print_list(r, buf_slice(&answer));
    pki_wipe(&answer);
    buf_done(&answer);
    remote_close(r);
    return rv;
}

const struct command command_token_list = {
    "token list", "Lists the join tokens.", "", "The secrets are not shown.", list_rows, run_list};

/* ---- delete ---- */

static int run_delete(int argc, char **argv, const struct command *c)
{
    struct token_options o = {0};
    struct remote *r;
    struct buf answer = BUF_INIT(REMOTE_BODY_MAX), path = BUF_INIT(TOKEN_PATH_MAX);
    char **rest;
    int n, rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    struct slice id, secret;
    slice_cut(slice_str(n == 1 ? rest[0] : ""), '.', &id, &secret);
    if (id.n != JOIN_TOKEN_ID) {
        fprintf(stderr, "usage: pintle token delete ID\n");
        return 2;
    }
    if ((rv = remote_open(&o.remote, c->name, &r)))
        return rv;
    buf_printf(&path, "%s/bootstrap-token-", secrets);
    percent_encode(&path, id);
    rv = remote_call(r, "DELETE", path.p, SLICE_NONE, &answer);
    if (!rv)
        printf("token %" SLICE_FMT " is deleted\n", SLICE_ARG(id));
    buf_done(&path);
    buf_done(&answer);
    remote_close(r);
    return rv;
}

const struct command command_token_delete = {
    "token delete", "Deletes a join token.", "ID", "Replicas that have joined with it stay.", list_rows, run_delete};

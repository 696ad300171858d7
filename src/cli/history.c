/* pintle history, pintle undelete: who changed an object, and having back what was deleted. Both read the event window of
 * a running cluster (src/apiserver/history.c). */
#include <stdio.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "codec/json.h"

enum { ARENA_MAX = 256 << 20, PATH_BYTES_MAX = 4096, TIME_SHOWN = 19 };

struct history_options {
    struct remote_options remote;
    const char *ns;
    int64_t limit;
    bool status;
};

struct undelete_options {
    struct remote_options remote;
    const char *ns;
    bool dry_run;
};

static void add_parameter(struct buf *path, const char *name, struct slice value)
{
    buf_printf(path, "%s=", name);
    percent_encode(path, value);
}

/* `what?type=T&name=N&namespace=NS` for the arguments TYPE/NAME or TYPE NAME. False after a message. */
static bool make_path(const struct command *c, struct buf *path, const char *what, char **rest, int n, const char *ns)
{
    struct slice type, name;
    if (n == 2)
        type = slice_str(rest[0]), name = slice_str(rest[1]);
    else if (n != 1 || !slice_cut(slice_str(rest[0]), '/', &type, &name))
        n = 0;
    if (!n || !type.n || !name.n) {
        fprintf(stderr, "usage: pintle %s TYPE/NAME [-n NAMESPACE] [options]; see pintle %s --help\n", c->name,
                c->name);
        return false;
    }
    buf_printf(path, "/pintle/v1/%s?", what);
    add_parameter(path, "type", type);
    add_parameter(path, "&name", name);
    if (ns)
        add_parameter(path, "&namespace", slice_str(ns));
    return buf_error(path) == 0;
}

/* Asks and reads the answer; *ret lives in a, text in body. 0 or the exit status. */
static int ask(struct remote *remote, const char *path, struct buf *body, struct arena *a, const struct json **ret)
{
    struct json_error err;
    int rv = remote_call(remote, "GET", path, SLICE_NONE, body);
    if (rv)
        return rv;
    *ret = json_parse(a, buf_slice(body), &err, NULL, NULL);
    if (*ret)
        return 0;
    fprintf(stderr, "The server's answer makes no sense: %s\n", err.message);
    return 1;
}

/* Asks for path and tells what comes: v is the answer, body its text. The exit status. */
static int ask_and_tell(const struct remote_options *ro, const struct command *c, const char *path, const void *options,
                        int (*tell)(struct remote *remote, const void *options, const struct json *v, struct buf *body))
{
    struct remote *remote;
    struct buf body = BUF_INIT(REMOTE_BODY_MAX);
    struct arena a;
    const struct json *v = NULL;
    int rv = remote_open(ro, c->name, &remote);
    if (rv)
        return rv;
    arena_init(&a, ARENA_MAX);
    rv = ask(remote, path, &body, &a, &v);
    if (!rv)
        rv = tell(remote, options, v, &body);
    arena_done(&a);
    buf_done(&body);
    remote_close(remote);
    return rv;
}

/* ---- history ---- */

static const struct option_row history_rows[] = {
    REMOTE_ROWS(struct history_options),
    {"namespace", OPTION_TEXT, offsetof(struct history_options, ns), "NS", "of the object; also -n (default)"},
    {"limit", OPTION_NUMBER, offsetof(struct history_options, limit), "N", "changes to show, at most 500 (50)"},
    {"status", OPTION_FLAG, offsetof(struct history_options, status), NULL, "also changes of nothing but the status"},
    {0},
};

static void print_change(const struct json *change)
{
    struct slice old = json_path_string(change, "old"), new = json_path_string(change, "new");
    printf("    %" SLICE_FMT, SLICE_ARG(json_path_string(change, "path")));
    if (old.n || new.n)
        printf(": %" SLICE_FMT " → %" SLICE_FMT, SLICE_ARG(old.n ? old : SLICE("(none)")),
               SLICE_ARG(new.n ? new : SLICE("(none)")));
    printf("\n");
}

static void print_event(const struct json *e)
{
    struct slice time = json_path_string(e, "time"), user = json_path_string(e, "user");
    struct slice manager = json_path_string(e, "manager");
    int64_t more = json_int(json_get_str(e, "moreChanges"), 0);
    char when[TIME_SHOWN + 2] = "unknown";
    if (time.n >= TIME_SHOWN)
        snprintf(when, sizeof when, "%.*sZ", TIME_SHOWN, time.p);
    printf("%-10ld %-21s %-7.*s %-32.*s %.*s\n", json_int(json_get_str(e, "revision"), 0), when,
           (int)json_path_string(e, "verb").n, json_path_string(e, "verb").p, user.n ? (int)user.n : 1,
           user.n ? user.p : "-", manager.n ? (int)manager.n : 1, manager.n ? manager.p : "-");
    json_each (change, json_get_str(e, "changes"))
        print_change(change);
    if (more)
        printf("    … and %ld more\n", more);
}

static void print_history(const struct history_options *o, const struct json *v)
{
    printf("%-10s %-21s %-7s %-32s %s\n", "REVISION", "TIME", "VERB", "USER", "MANAGER");
    json_each (e, json_get_str(v, "items"))
        print_event(e);
    int64_t hidden = json_int(json_get_str(v, "statusOnly"), 0);
    if (hidden && !o->status)
        printf("Not shown: %ld changes of nothing but the status; --status shows them.\n", hidden);
    if (!json_bool(json_get_str(v, "complete"), false))
        printf("What is older is not shown, or not kept: the history begins about %" SLICE_FMT ".\n",
               SLICE_ARG(json_path_string(v, "oldest")));
}

static int tell_history(struct remote *remote, const void *options, const struct json *v, struct buf *body)
{
    if (remote_wants_json(remote))
        printf("%.*s", (int)body->n, body->p);
    else
        print_history(options, v);
    return 0;
}

static int run_history(int argc, char **argv, const struct command *c)
{
    struct history_options o = {0};
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    char **rest;
    int n, rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!make_path(c, &path, "history", rest, n, o.ns))
        return 2;
    if (o.limit)
        buf_printf(&path, "&limit=%ld", o.limit);
    if (o.status)
        buf_add_str(&path, "&status=true");
    rv = ask_and_tell(&o.remote, c, path.p, &o, tell_history);
    buf_done(&path);
    return rv;
}

/* ---- undelete ---- */

static const struct option_row undelete_rows[] = {
    REMOTE_ROWS(struct undelete_options),
    {"namespace", OPTION_TEXT, offsetof(struct undelete_options, ns), "NS", "of the object; also -n (default)"},
    {"dry-run", OPTION_FLAG, offsetof(struct undelete_options, dry_run), NULL,
     "let the server check what would be created, and create nothing"},
    {0},
};

static void print_dropped(const struct json *v)
{
    struct slice time = json_path_string(v, "time"), user = json_path_string(v, "user");
    fprintf(stderr,
            "Deleted at %" SLICE_FMT " by %" SLICE_FMT
            ", revision %ld. Left out, as it belongs to the one that is gone:\n",
            SLICE_ARG(time.n ? time : SLICE("an unknown time")), SLICE_ARG(user.n ? user : SLICE("somebody unknown")),
            json_int(json_get_str(v, "revision"), 0));
    json_each (path, json_get_str(v, "dropped"))
        fprintf(stderr, "    %" SLICE_FMT "\n", SLICE_ARG(json_string(path)));
}

/* By an ordinary create: with the caller's rights, defaults, validation, admission. */
static int create(struct remote *remote, const struct undelete_options *o, const struct json *v, struct buf *body)
{
    struct buf object = BUF_INIT(REMOTE_BODY_MAX), path = BUF_INIT(PATH_BYTES_MAX);
    buf_printf(&path, "%" SLICE_FMT "%s", SLICE_ARG(json_path_string(v, "path")), o->dry_run ? "?dryRun=All" : "");
    int rv = json_write(&object, json_get_str(v, "object")) || buf_error(&path);
    if (!rv)
        rv = remote_call(remote, "POST", path.p, buf_slice(&object), body);
    if (!rv && remote_wants_json(remote))
        printf("%.*s", (int)body->n, body->p);
    else if (!rv)
        printf("%s created%s\n", path.p, o->dry_run ? " (dry run: nothing was)" : "");
    buf_done(&object);
    buf_done(&path);
    return rv;
}

static int tell_undelete(struct remote *remote, const void *options, const struct json *v, struct buf *body)
{
    print_dropped(v);
    return create(remote, options, v, body);
}

static int run_undelete(int argc, char **argv, const struct command *c)
{
    struct undelete_options o = {0};
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    char **rest;
    int n, rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!make_path(c, &path, "deleted", rest, n, o.ns))
        return 2;
    rv = ask_and_tell(&o.remote, c, path.p, &o, tell_undelete);
    buf_done(&path);
    return rv;
}

const struct command command_history = {
    "history",
    "Shows who changed an object, when, and what.",
    "TYPE/NAME",
    "TYPE is a plural, kind or short name (deploy/web), or plural.group. The values "
    "of Secrets are never shown.\n"
    "The cluster keeps the newest changes only: see --history-window-bytes and "
    "--history-window-age of pintle server.",
    history_rows,
    run_history};

const struct command command_undelete = {"undelete",
                                         "Creates anew what was deleted, as it was last.",
                                         "TYPE/NAME",
                                         "The object is created like any other: with your rights, with validation and "
                                         "admission, under a new uid. What belonged to the deleted one is left out and "
                                         "listed: uid, status, owners that are gone. What had been deleted along with "
                                         "it, such as the Pods of a Deployment, its controller makes anew.",
                                         undelete_rows,
                                         run_undelete};

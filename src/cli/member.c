/* pintle member: who the replicas are, and changing it. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/token.h"
#include "codec/json.h"

enum { MEMBER_ARENA_MAX = 16 << 20, MEMBER_PATH_MAX = 128 };

struct member_options {
    struct remote_options remote;
    const char *ttl, *description;
    bool witness;
};

static const struct option_row rows[] = {REMOTE_ROWS(struct member_options), {0}};

/* ---- list ---- */

static const char *text(struct arena *a, const struct json *v, const char *name)
{
    struct slice s = json_path_string(v, name);
    return s.n ? arena_printf(a, "%" SLICE_FMT, SLICE_ARG(s)) : "-";
}

static const char *state_of(struct arena *a, const struct json *m)
{
    int64_t behind = json_int(json_get_str(m, "behind"), 0);
    if (!json_flag(m, "connected") && !json_flag(m, "self"))
        return "not connected";
    if (behind)
        return arena_printf(a, "%ld behind", behind);
    return json_flag(m, "pinned") ? "demoted by hand" : "";
}

static void print_members(struct arena *a, const struct json *v)
{
    printf("%-5s %-8s %-22s %-22s %s\n", "ID", "ROLE", "PEERS", "API", "STATE");
    json_each (m, json_get_str(v, "members")) {
        const char *role = json_flag(m, "leader") ? "leader" : json_flag(m, "witness") ? "witness" : text(a, m, "role");
        printf("%-5ld %-8s %-22s %-22s %s\n", json_int(json_get_str(m, "id"), 0), role, text(a, m, "peer"),
               text(a, m, "api"), state_of(a, m));
    }
    struct slice note = json_path_string(v, "note");
    if (note.n)
        printf("\nNote: %" SLICE_FMT ".\n", SLICE_ARG(note));
}

static int run_list(int argc, char **argv, const struct command *c)
{
    struct member_options o = {0};
    struct remote *r;
    struct arena a;
    struct buf answer = BUF_INIT(REMOTE_BODY_MAX);
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if ((rv = remote_open(&o.remote, c->name, &r)))
        return rv;
    arena_init(&a, MEMBER_ARENA_MAX);
    rv = remote_call(r, "GET", "/pintle/v1/members", SLICE_NONE, &answer);
    if (!rv && remote_wants_json(r))
        fwrite(answer.p, 1, answer.n, stdout);
    else if (!rv)
        print_members(&a, json_parse(&a, buf_slice(&answer), NULL, NULL, NULL));
    arena_done(&a);
    buf_done(&answer);
    remote_close(r);
    return rv;
}

const struct command command_member_list = {
    "member list", "Lists the replicas: roles, addresses, and who lags.", "", NULL, rows, run_list};

/* ---- add ---- */

static const struct option_row add_rows[] = {
    {"ttl", OPTION_TEXT, offsetof(struct member_options, ttl), "TIME",
     "how long the token is good: 30m, 24h, 7d (24h)"},
    {"description", OPTION_TEXT, offsetof(struct member_options, description), "TEXT", "what it is for"},
    {"witness", OPTION_FLAG, offsetof(struct member_options, witness), "", "print the line for a witness"},
    REMOTE_ROWS(struct member_options),
    {0},
};

static int run_add(int argc, char **argv, const struct command *c)
{
    struct member_options o = {.ttl = "24h"};
    struct remote *r;
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if ((rv = remote_open(&o.remote, c->name, &r)))
        return rv;
    rv = token_make(
        r, &o.remote, c->name,
        &(struct token_wish){.ttl = o.ttl, .description = o.description, .usage = "server", .witness = o.witness});
    remote_close(r);
    return rv;
}

const struct command command_member_add = {"member add",
                                           "Makes a join token and prints how the new machine uses it.",
                                           "",
                                           "Nothing changes until the machine asks. It first gets the log, then a vote "
                                           "when an odd number of voters comes of it.",
                                           add_rows,
                                           run_add};

/* ---- changing one ---- */

struct operation {
    const char *method, *path; /* behind the id */
    const char *said;
    bool id_optional;
};

static int operate(const struct member_options *o, const struct command *c, const char *id, const struct operation *op)
{
    struct remote *r;
    char path[MEMBER_PATH_MAX];
    struct buf answer = BUF_INIT(REMOTE_BODY_MAX);
    int rv = remote_open(&o->remote, c->name, &r);
    if (rv)
        return rv;
    snprintf(path, sizeof path, "/pintle/v1/members/%s%s", id, op->path);
    rv = remote_call(r, op->method, path, SLICE_NONE, &answer);
    if (!rv && remote_wants_json(r))
        fwrite(answer.p, 1, answer.n, stdout);
    else if (!rv && strcmp(id, "0") != 0)
        printf("member %s %s\n", id, op->said);
    else if (!rv)
        printf("leadership was handed over\n");
    buf_done(&answer);
    remote_close(r);
    return rv;
}

static int run_operation(int argc, char **argv, const struct command *c, const struct operation *op)
{
    struct member_options o = {0};
    char **rest;
    uint64_t id = 0;
    int n, rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (n > 1 || (n == 0 && !op->id_optional) || (n == 1 && (!slice_to_u64(slice_str(rest[0]), &id) || !id))) {
        fprintf(stderr, "usage: pintle %s %s\n", c->name, c->arguments);
        return 2;
    }
    return operate(&o, c, n ? rest[0] : "0", op);
}

static int run_remove(int argc, char **argv, const struct command *c)
{
    return run_operation(argc, argv, c, &(struct operation){"DELETE", "", "is removed", false});
}

static int run_promote(int argc, char **argv, const struct command *c)
{
    return run_operation(argc, argv, c, &(struct operation){"POST", "/promote", "is a voter", false});
}

static int run_demote(int argc, char **argv, const struct command *c)
{
    return run_operation(argc, argv, c, &(struct operation){"POST", "/demote", "is a standby", false});
}

static int run_transfer(int argc, char **argv, const struct command *c)
{
    return run_operation(argc, argv, c, &(struct operation){"POST", "/transfer", "leads", true});
}

static int run_replace(int argc, char **argv, const struct command *c)
{
    return run_operation(argc, argv, c,
                         &(struct operation){"POST", "/replace", "is removed, a standby has its seat", false});
}

const struct command command_member_remove = {
    "member remove",
    "Removes a replica.",
    "ID",
    "It ends by itself when it hears of it; its data directory is of no use any more, wipe it.",
    rows,
    run_remove};
const struct command command_member_promote = {
    "member promote", "Makes a standby a voter.", "ID", "It must keep up with the log.", rows, run_promote};
const struct command command_member_demote = {"member demote",
                                              "Makes a voter a standby, until it is promoted again.",
                                              "ID",
                                              "It goes on getting the log and answering reads; it has no vote.",
                                              rows,
                                              run_demote};
const struct command command_member_transfer = {
    "member transfer-leader",
    "Lets another replica lead.",
    "[ID]",
    "Without an ID, the one that is furthest. No write is lost or refused by it.",
    rows,
    run_transfer};
const struct command command_member_replace = {
    "member replace",
    "Gives a voter's seat to a standby and removes it.",
    "ID",
    "For a replica that is lost for good, without waiting for --replace-after.",
    rows,
    run_replace};

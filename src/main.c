/* pintle: one executable, many subcommands. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

const struct command *const commands[] = {
    &command_server,        &command_agent,           &command_status,          &command_balance,
    &command_member_list,   &command_member_add,      &command_member_remove,   &command_member_promote,
    &command_member_demote, &command_member_transfer, &command_member_replace,  &command_token_create,
    &command_token_list,    &command_token_delete,    &command_cert_init,       &command_cert_issue,
    &command_kubeconfig,    &command_snapshot_save,   &command_snapshot_verify, &command_snapshot_restore,
    &command_snapshot_list, &command_recover,         &command_history,         &command_undelete,
    &command_reseal,        &command_completion,      &command_version,         NULL,
};

static void usage(FILE *out)
{
    fprintf(out, "pintle: a Kubernetes control plane and node agent\n\nusage: pintle COMMAND [options]\n\ncommands:\n");
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, "  %-18s %s\n", (*c)->name, (*c)->summary);
    fprintf(out, "\n`pintle COMMAND --help` tells more; the manual is in pintle(1).\n");
}

/* How many words of argv the command's name takes; 0 = another command. */
static int matches(const struct command *c, int argc, char **argv)
{
    char name[64];
    if (!strchr(c->name, ' '))
        return !strcmp(argv[0], c->name);
    snprintf(name, sizeof name, "%s %s", argv[0], argc > 1 ? argv[1] : "");
    return !strcmp(name, c->name) ? 2 : 0;
}

static int run(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (!strcmp(argv[1], "--version"))
        return command_version.run(0, argv, &command_version);
    for (const struct command *const *c = commands; *c; c++) {
        int words = matches(*c, argc - 1, argv + 1);
        if (words)
            return (*c)->run(argc - 1 - words, argv + 1 + words, *c);
    }
    fprintf(stderr, "pintle: there is no command \"%s\"\n\n", argv[1]);
    usage(stderr);
    return 2;
}

/* What was not written (the disk is full, nobody reads the pipe) is no success; a script must hear of it. */
int main(int argc, char **argv)
{
    int rv = run(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && !rv) {
        fprintf(stderr, "pintle: the output cannot be written\n");
        rv = 1;
    }
    return rv;
}

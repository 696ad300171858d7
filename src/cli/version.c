#include "config.h"

#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

struct version_options {
    const char *output;
};

static const struct option_row rows[] = {
    {"output", OPTION_TEXT, offsetof(struct version_options, output), "json", "print JSON"},
    {0},
};

static int run(int argc, char **argv, const struct command *c)
{
    struct version_options o = {0};
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (o.output && !strcmp(o.output, "json"))
        puts("{\"version\":\"" PACKAGE_VERSION "\",\"kubernetes\":\"v1.36\"}");
    else
        puts("pintle " PACKAGE_VERSION " (Kubernetes API v1.36)");
    return 0;
}

const struct command command_version = {"version", "Prints the version.", "", NULL, rows, run};

/* ---- completion ---- */

static const struct option_row no_rows[] = {{0}};

static int run_completion(int argc, char **argv, const struct command *c)
{
    char **rest;
    int n, rv = options_parse(c, argc, argv, NULL, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (n != 1 || strcmp(rest[0], "bash") != 0) {
        fprintf(stderr, "usage: pintle completion bash\n");
        return 2;
    }
    puts("_pintle() {\n    local cur=${COMP_WORDS[COMP_CWORD]}\n    case \"${COMP_WORDS[*]:1:2}\" in");
    for (const struct command *const *k = commands; *k; k++) {
        printf("    \"%s\"*) COMPREPLY=($(compgen -W \"", (*k)->name);
        for (const struct option_row *o = (*k)->options; o->name; o++)
            printf("--%s ", o->name);
        puts("--config --help\" -- \"$cur\")) ;;");
    }
    printf("    *) COMPREPLY=($(compgen -W \"");
    for (const struct command *const *k = commands; *k; k++)
        printf("%s ", (*k)->name);
    puts("\" -- \"$cur\")) ;;\n    esac\n}\ncomplete -F _pintle pintle");
    return 0;
}

const struct command command_completion = {"completion", "Prints a shell completion script.",
                                           "bash",       "Use it with: source <(pintle completion bash)",
                                           no_rows,      run_completion};

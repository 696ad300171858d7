/* pintle agent: a node. */
#include <stdio.h>

#include "cli/commands.h"

static const struct option_row rows[] = {{0}};

static int run(int argc, char **argv, const struct command *c)
{
    (void)argc, (void)argv, (void)c;
    fprintf(stderr, "pintle agent: not in this build\n");
    return 1;
}

const struct command command_agent = {"agent", "Runs a node: pods, volumes, probes, service proxy.", "", NULL, rows, run};
